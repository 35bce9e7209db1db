/* SPDX-License-Identifier: MIT */
/**
 * The buffered sender: what asyncore called dispatcher_with_send, on every stream channel. What the
 * system does not take at once is queued, up to a limit, and sent as the peer reads.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_SENDER_H
#define ASYNCORE_SENDER_H

#include "asyncore/dispatcher.h"

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Sends all of `len` bytes, or takes none. What can be sent now is, without a copy; the rest is
 * copied and queued. While the channel connects, all is queued.
 *
 * @return  0: all taken; -ENOBUFS: it would not fit under the limit, nothing was taken; -EPIPE: our
 *          side is shut; -ENOMEM: nothing taken; -ENOTSUP: a datagram channel or a listener;
 *          -EINVAL, -EBADF. A failure of the connection is told later, the result is 0.
 */
AC_API int ac_write(ac_dispatcher *d, const void *buf, size_t len);

/** Formats as printf(3) and writes the text, without its NUL. @return as ac_write(). */
AC_API int ac_writef(ac_dispatcher *d, const char *format, ...) AC_PRINTF(2, 3);
AC_API int ac_vwritef(ac_dispatcher *d, const char *format, va_list args) AC_PRINTF(2, 0);

/** The bytes queued and not yet taken by the system. 0 for none, and for no channel. */
AC_API size_t ac_queued(const ac_dispatcher *d);

/**
 * Sets the marks of the send queue, in bytes. handle_drain is told once, when the queue has fallen
 * to `low` or less after it had reached `high` or more.
 *
 * @param low    default 16 KiB.
 * @param high   default 64 KiB.
 * @param limit  default 1 MiB: more than this is never queued, and a single write of more than this
 *               is refused.
 * @return       0, -ENOMEM, -EBADF, or -EINVAL: not low < high <= limit.
 */
AC_API int ac_set_marks(ac_dispatcher *d, size_t low, size_t high, size_t limit);

/**
 * Shuts our side behind the queue (FIN): the peer sees the end of the stream, and may go on
 * sending. @return 0, -ENOTCONN, -EBADF, -EINVAL.
 */
AC_API int ac_shutdown_write(ac_dispatcher *d);

/**
 * Says goodbye: sends the queue, shuts our side, then drops what still comes in until the peer has
 * shut its side, 64 KiB have come or AC_LINGER has passed, and closes. Without that, input that
 * nobody read would make the system destroy the reply on its way (RFC 1122, 4.2.2.13). A peer that
 * takes nothing of the queue for AC_WRITE (30 s unless set) ends it, with a line in the log. Nothing but
 * `finalize` is called any more, and ac_write() gives -EPIPE. A channel that is not connected closes
 * at once; one that still connects, when it has connected and sent.
 */
AC_API void ac_close_when_sent(ac_dispatcher *d);

#ifdef __cplusplus
}
#endif
#endif
