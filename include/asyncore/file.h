/* SPDX-License-Identifier: MIT */
/**
 * Channels on files: pipes, terminals, eventfds and their kind; what asyncore called
 * file_dispatcher. Regular files work too, but are always ready, and reading them blocks.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_FILE_H
#define ASYNCORE_FILE_H

#include "asyncore/dispatcher.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Whose the descriptor is that ac_file_attach() is given. */
typedef enum ac_owner {
    AC_TAKE,  /**< taken: closed with the channel, and also when the call fails */
    AC_BORROW /**< borrowed: left open, with its flags as they were, when the channel closes */
} ac_owner;

/**
 * Makes a channel of a file descriptor. It is connected at once; ac_recv(), ac_read(), ac_send(),
 * ac_write() and the rest work as on a stream. No handle_connect.
 *
 * O_NONBLOCK belongs to the open file, which other processes may share: pipes are read and written
 * with RWF_NOWAIT where the system has it, a terminal is opened anew, and only else is the flag set,
 * and put back at the close. Writing to a pipe that nobody reads is -EPIPE and no signal.
 *
 * A file that is open one way only begins with its other side ended: a write to what can only be read
 * is -EPIPE, and handle_read is never called for what can only be written.
 *
 * @param fd     see `owner`.
 * @return       0, -EISCONN, -EBADF, -EINVAL, -ENOMEM, or a result of fstat(2) or fcntl(2);
 *               -EISDIR: a directory; -EEXIST: the number is taken by another channel of the loop,
 *               and is not closed.
 */
AC_API int ac_file_attach(ac_dispatcher *d, int fd, ac_owner owner);

#ifdef __cplusplus
}
#endif
#endif
