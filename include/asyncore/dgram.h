/* SPDX-License-Identifier: MIT */
/**
 * Datagrams: UDP (RFC 768) and Unix datagram sockets.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_DGRAM_H
#define ASYNCORE_DGRAM_H

#include "asyncore/dispatcher.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Where a datagram came from and where it was sent to: what an answer goes back by. */
typedef struct ac_dgram {
    ac_addr  peer;      /**< who sent it, or who is to get it */
    ac_addr  local;     /**< the address of ours that it was sent to; `len` 0: not known */
    unsigned ifindex;   /**< the interface that it came by; 0: not known */
    bool     truncated; /**< it was longer than the buffer */
} ac_dgram;

/**
 * Receives UDP at a port. Arguments and results are those of ac_listen(). Where all addresses are
 * listened at, an answer by ac_sendto() leaves from the address that was asked.
 */
AC_API int ac_listen_udp(ac_dispatcher *d, const char *host, uint16_t port);

/**
 * Receives one datagram.
 *
 * @param from  out, or NULL.
 * @return      >= 0: its length, at most `len`; 0 is an empty datagram and no end; -EAGAIN: none
 *              now, or the channel's share of this turn is used up; -EBADF, -EINVAL; another -errno,
 *              which for a connected channel is also told.
 */
AC_API ssize_t ac_recvfrom(ac_dispatcher *d, void *buf, size_t len, ac_dgram *from);

/**
 * Sends one datagram.
 *
 * @param to  the peer, and the address of ours to send from if known; NULL: the connected peer.
 * @return    its length; -EAGAIN: the system has no room now, nothing was sent, and handle_write
 *            is told when it may have; -EMSGSIZE: too long; another -errno.
 */
AC_API ssize_t ac_sendto(ac_dispatcher *d, const void *buf, size_t len, const ac_dgram *to);

#ifdef __cplusplus
}
#endif
#endif
