/* SPDX-License-Identifier: MIT */
/*
 * The kernel's system table. It is thin on purpose: no retries and no policy, so that what a test or
 * a simulated network puts in its place meets the same code above.
 */
#include "sys.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int result(int rc)
{
    return rc < 0 ? -errno : rc;
}

static ssize_t size_result(ssize_t n)
{
    return n < 0 ? -errno : n;
}

static int posix_socket(ac__sys *s, int family, int type, int protocol)
{
    (void)s;
    return result(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

static int posix_bind(ac__sys *s, int fd, const struct sockaddr *addr, socklen_t len)
{
    (void)s;
    return result(bind(fd, addr, len));
}

static int posix_connect(ac__sys *s, int fd, const struct sockaddr *addr, socklen_t len)
{
    (void)s;
    return result(connect(fd, addr, len));
}

static int posix_listen(ac__sys *s, int fd, int backlog)
{
    (void)s;
    return result(listen(fd, backlog));
}

static int posix_accept(ac__sys *s, int fd, struct sockaddr *addr, socklen_t *len)
{
    (void)s;
    return result(accept4(fd, addr, len, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

static ssize_t posix_recv(ac__sys *s, int fd, void *buf, size_t len, int flags)
{
    (void)s;
    return size_result(recv(fd, buf, len, flags));
}

/* A peer that is gone must be a result and never a signal: hence MSG_NOSIGNAL. */
static ssize_t posix_send(ac__sys *s, int fd, const void *buf, size_t len, int flags)
{
    (void)s;
    return size_result(send(fd, buf, len, flags | MSG_NOSIGNAL));
}

static ssize_t posix_recvmsg(ac__sys *s, int fd, struct msghdr *msg, int flags)
{
    (void)s;
    return size_result(recvmsg(fd, msg, flags));
}

static ssize_t posix_sendmsg(ac__sys *s, int fd, const struct msghdr *msg, int flags)
{
    (void)s;
    return size_result(sendmsg(fd, msg, flags | MSG_NOSIGNAL));
}

/* An offset of -1 is the position of the file, as for readv(): only that takes flags. */
static ssize_t posix_readv(ac__sys *s, int fd, const struct iovec *iov, int n, int flags)
{
    (void)s;
    return size_result(flags != 0 ? preadv2(fd, iov, n, -1, flags) : readv(fd, iov, n));
}

static ssize_t posix_writev(ac__sys *s, int fd, const struct iovec *iov, int n, int flags)
{
    (void)s;
    return size_result(flags != 0 ? pwritev2(fd, iov, n, -1, flags) : writev(fd, iov, n));
}

static int posix_unsent(ac__sys *s, int fd)
{
    int n = 0;

    (void)s;
    return ioctl(fd, SIOCOUTQ, &n) < 0 ? -errno : n;
}

static int posix_shutdown(ac__sys *s, int fd, int how)
{
    (void)s;
    return result(shutdown(fd, how));
}

/*
 * Linux frees the number before it does what can fail, EINTR included. Closing again would close
 * what another thread has opened in the meantime.
 */
static int posix_close(ac__sys *s, int fd)
{
    (void)s;
    return result(close(fd));
}

static int posix_getsockname(ac__sys *s, int fd, struct sockaddr *addr, socklen_t *len)
{
    (void)s;
    return result(getsockname(fd, addr, len));
}

static int posix_getpeername(ac__sys *s, int fd, struct sockaddr *addr, socklen_t *len)
{
    (void)s;
    return result(getpeername(fd, addr, len));
}

static int posix_getsockopt(ac__sys *s, int fd, int level, int name, void *value, socklen_t *len)
{
    (void)s;
    return result(getsockopt(fd, level, name, value, len));
}

static int posix_setsockopt(ac__sys *s, int fd, int level, int name, const void *value,
                            socklen_t len)
{
    (void)s;
    return result(setsockopt(fd, level, name, value, len));
}

static int64_t posix_monotonic(ac__sys *s)
{
    struct timespec ts = {0, 0};

    (void)s;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t posix_wall(ac__sys *s)
{
    struct timespec ts = {0, 0};

    (void)s;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec;
}

static int posix_random(ac__sys *s, void *buf, size_t len)
{
    char *at = buf;

    (void)s;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

ac__sys ac__sys_posix = {
    .socket      = posix_socket,
    .bind        = posix_bind,
    .connect     = posix_connect,
    .listen      = posix_listen,
    .accept      = posix_accept,
    .recv        = posix_recv,
    .send        = posix_send,
    .recvmsg     = posix_recvmsg,
    .sendmsg     = posix_sendmsg,
    .readv       = posix_readv,
    .writev      = posix_writev,
    .unsent      = posix_unsent,
    .shutdown    = posix_shutdown,
    .close       = posix_close,
    .getsockname = posix_getsockname,
    .getpeername = posix_getpeername,
    .getsockopt  = posix_getsockopt,
    .setsockopt  = posix_setsockopt,
    .monotonic   = posix_monotonic,
    .wall        = posix_wall,
    .random      = posix_random,
};
