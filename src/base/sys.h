/* SPDX-License-Identifier: MIT */
/*
 * The system table: every call by which the reactor reaches sockets, files, clocks and chance. A
 * loop has one, so that a simulated network, or a test that makes calls fail, can stand in for the
 * kernel. Results are >= 0 or -errno, errno itself is never looked at above this table.
 */
#ifndef AC__SYS_H
#define AC__SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct ac__sys ac__sys;
struct ac__sys {
    int (*socket)(ac__sys *s, int family, int type, int protocol); /* non-blocking, close-on-exec */
    int (*bind)(ac__sys *s, int fd, const struct sockaddr *addr, socklen_t len);
    int (*connect)(ac__sys *s, int fd, const struct sockaddr *addr, socklen_t len);
    int (*listen)(ac__sys *s, int fd, int backlog);
    int (*accept)(ac__sys *s, int fd, struct sockaddr *addr, socklen_t *len); /* as socket's */
    ssize_t (*recv)(ac__sys *s, int fd, void *buf, size_t len, int flags);
    ssize_t (*send)(ac__sys *s, int fd, const void *buf, size_t len, int flags);
    ssize_t (*recvmsg)(ac__sys *s, int fd, struct msghdr *msg, int flags);
    ssize_t (*sendmsg)(ac__sys *s, int fd, const struct msghdr *msg, int flags);
    ssize_t (*readv)(ac__sys *s, int fd, const struct iovec *iov, int n, int flags);  /* RWF_... */
    ssize_t (*writev)(ac__sys *s, int fd, const struct iovec *iov, int n, int flags); /* RWF_... */
    int (*unsent)(ac__sys *s, int fd); /* bytes of a stream that the peer has not acknowledged */
    int (*shutdown)(ac__sys *s, int fd, int how);
    int (*close)(ac__sys *s, int fd); /* the descriptor is gone whatever the result */
    int (*getsockname)(ac__sys *s, int fd, struct sockaddr *addr, socklen_t *len);
    int (*getpeername)(ac__sys *s, int fd, struct sockaddr *addr, socklen_t *len);
    int (*getsockopt)(ac__sys *s, int fd, int level, int name, void *value, socklen_t *len);
    int (*setsockopt)(ac__sys *s, int fd, int level, int name, const void *value, socklen_t len);
    int64_t (*monotonic)(ac__sys *s); /* nanoseconds */
    int64_t (*wall)(ac__sys *s);      /* seconds since 1970 */
    int (*random)(ac__sys *s, void *buf, size_t len);
};

/* The kernel's. */
extern ac__sys ac__sys_posix;

/* Calls again while a signal interrupts. */
#define AC__RETRY(result, call)                                                                    \
    do {                                                                                           \
        (result) = (call);                                                                         \
    } while ((result) == -EINTR)

#endif
