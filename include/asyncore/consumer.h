/* SPDX-License-Identifier: MIT */
/**
 * The consumer: what a response is fed to. Put an ac_consumer first in your own structure, and get
 * from one to the other with AC_SELF.
 *
 *     http_header(request)  at most once per response that is delivered, before its body
 *     feed(data, len)       any number of times
 *     close(err)            last, exactly once
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_CONSUMER_H
#define ASYNCORE_CONSUMER_H

#include "asyncore/dispatcher.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ac_consumer     ac_consumer;
typedef struct ac_http_request ac_http_request;

/** Flags of a class. */
enum {
    AC_DISCARD = 1, /**< `feed` is not called: the bytes are counted, and may be dropped unseen */
    AC_PIECES  = 2 /**< `feed` gets at most 16 KiB, and no more after one that paused the request */
};

/** What a kind of consumer does: a constant table of slots, each of which may be left empty. */
typedef struct ac_consumer_class {
    const char *name; /**< for logs. Kept, as the table. */

    /**
     * The final response has begun: ac_http_status() and the fields can be asked. Or the request
     * failed before one: ac_http_status() is 0, ac_http_error() says why, and `close` follows.
     * Interim responses (1xx) never come here.
     */
    void (*http_header)(ac_consumer *c, ac_http_request *request);

    /** A piece of the decoded body. @param data borrowed; @param len > 0. */
    void (*feed)(ac_consumer *c, const void *data, size_t len);

    /**
     * The last call, exactly once: the consumer may be freed here, or given to another request.
     *
     * @param err  0: the response was complete, by its framing and its codings;
     *             -AC_ECANCELED: by ac_http_close(); else why it was not.
     */
    void (*close)(ac_consumer *c, int err);

    unsigned flags;

    /**
     * The request goes on after a pause: before the next `feed` or `close`, for a consumer that held
     * something back. It may pause again: then neither comes.
     */
    void (*resume)(ac_consumer *c);

    void (*reserved_[3])(void);
} ac_consumer_class;

/** A consumer: `request` is the one that it serves now, NULL when it serves none. */
struct ac_consumer {
    const ac_consumer_class *cls;     /**< read only */
    ac_http_request         *request; /**< read only */
    void                    *reserved_[2];
};

/** Makes a consumer of storage of the caller's. @param cls kept as long as the consumer. */
AC_API void ac_consumer_init(ac_consumer *c, const ac_consumer_class *cls);

/**
 * For consumers that stand before another one: call the slot of the other, if it is filled.
 *
 * ac_consumer_header() also tells the other which request it serves now, and ac_consumer_close() that
 * it serves none any more.
 * May call back: the slot.
 */
AC_API void ac_consumer_header(ac_consumer *c, ac_http_request *request);
AC_API void ac_consumer_feed(ac_consumer *c, const void *data, size_t len);
AC_API void ac_consumer_close(ac_consumer *c, int err);
AC_API void ac_consumer_resume(ac_consumer *c);

#ifdef __cplusplus
}
#endif
#endif
