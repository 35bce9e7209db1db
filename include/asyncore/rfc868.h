/* SPDX-License-Identifier: MIT */
/**
 * The time protocol (RFC 868): a server answers a connection, or an empty datagram, with the
 * seconds since 1900-01-01T00:00:00Z as a number of 32 bits, which wraps on 2036-02-07.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_RFC868_H
#define ASYNCORE_RFC868_H

#include "asyncore/dgram.h"
#include "asyncore/dispatcher.h"
#include "asyncore/timer.h"

#ifdef __cplusplus
extern "C" {
#endif

/** 1970-01-01T00:00:00Z in seconds since 1900-01-01T00:00:00Z. */
#define AC_RFC868_EPOCH UINT32_C(2208988800)

/** The port that IANA gave to the protocol. */
#define AC_RFC868_PORT 37

/** The transport of a request or server. */
typedef enum ac_rfc868_transport { AC_RFC868_TCP, AC_RFC868_UDP } ac_rfc868_transport;

typedef struct ac_time_request ac_time_request;

/**
 * One question for the time, in storage of the caller's: embed it. All but `adjust_time` is private.
 */
struct ac_time_request {
    ac_dispatcher base;

    /**
     * The last call, exactly once, unless ac_time_request_cancel() came first; the storage is the
     * caller's again. Runs from the loop.
     *
     * @param delta  seconds: the clock here minus the server's, modulo 2^32 as a signed number
     *               (so right within 68 years, across 2036 too); 0 with an error.
     * @param err    0, or negative: -AC_EEOF the connection closed without an answer, -AC_ETRUNCATED
     *               after 1 to 3 bytes, -AC_EPROTO an answer that is not 4 bytes long,
     *               -ETIMEDOUT, -AC_ECANCELED the channel or the loop was closed by the program,
     *               and what ac_connect() tells.
     */
    void (*adjust_time)(ac_time_request *r, int32_t delta, int err);

    ac_timer timer_;
    int64_t  deadline_;
    uint32_t there_;
    int      result_;
    uint8_t  buf_[8];
    uint8_t  got_;
    uint8_t  state_;
    uint8_t  transport_;
    int32_t  delta_;
};

/**
 * Asks a server for its time.
 *
 * @param r            kept until adjust_time has been called. Its content is overwritten.
 * @param host         name or address, as ac_connect(); copied.
 * @param port         1 to 65535; AC_RFC868_PORT is usual.
 * @param timeout      nanoseconds for all of it. A UDP question is asked again every second.
 * @param adjust_time  kept.
 * @return             0: adjust_time will be called, in a later turn; -EINVAL, -ENOMEM: it will not.
 */
AC_API int ac_time_request_start(ac_time_request *r, ac_loop *loop, const char *host, uint16_t port,
                                 ac_rfc868_transport transport, int64_t timeout,
                                 void (*adjust_time)(ac_time_request *r, int32_t delta, int err));

/**
 * Gives a question up: adjust_time is not called any more. The storage stays kept until the end of
 * the turn, as after ac_close().
 */
AC_API void ac_time_request_cancel(ac_time_request *r);

/** A time server, in storage of the caller's. Close it with ac_close(&s->base). */
typedef struct ac_time_server {
    ac_dispatcher base;
    void         *reserved_[4];
} ac_time_server;

/**
 * Serves the time. Over UDP only empty datagrams are answered, so that no two servers can answer
 * each other for ever. A TCP client that does not take its answer is dropped after a second.
 *
 * @param s     kept until the end of the turn in which it was closed.
 * @param host  a literal, NULL for all addresses, as ac_listen().
 * @param port  0: one of the system's choice: ac_local_port(&s->base).
 * @return      0, or as ac_listen().
 */
AC_API int ac_time_server_start(ac_time_server *s, ac_loop *loop, const char *host, uint16_t port,
                                ac_rfc868_transport transport);

#ifdef __cplusplus
}
#endif
#endif
