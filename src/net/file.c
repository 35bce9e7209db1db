/* SPDX-License-Identifier: MIT */
/*
 * Channels on files. What matters here is whom O_NONBLOCK belongs to: not to the descriptor but to
 * the open file behind it, which other processes may share. So each kind of file is read and
 * written in the way that leaves that flag alone, where there is one:
 *
 *   pipe                RWF_NOWAIT with each call; where the system knows it not, the flag
 *   socket              MSG_DONTWAIT with each call
 *   terminal            opened anew, which makes an open file of our own
 *   regular file, disk  blocks, and is always ready
 *   anything else       the flag, put back at the close
 */
#include "asyncore/file.h"

#include "channel.h"

#include "../base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const ac__transport file_lent, pipe_taken, pipe_lent, socket_taken, socket_lent;

/* --- O_NONBLOCK ----------------------------------------------------------------------------- */

/* Sets the flag. Returns 1 when it was not set before, 0, or -errno. */
static int set_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    if (flags & O_NONBLOCK)
        return 0;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 1;
}

static void clear_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/*
 * Whether two numbers stand for one open file. In doubt they do: that nothing blocks is worth more
 * than that a flag is put back.
 */
static bool same_file(int a, int b)
{
    struct stat x, y;
    long        order = syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, (long)a, (long)b);

    if (order >= 0)
        return order == 0;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/*
 * Puts the flag back, unless another channel of the loop stands on the same open file: then that
 * one does when it closes. `restore` is the count of forks at which the flag was set: what a parent
 * set is the parent's to put back, who may still need it.
 */
static void put_back(ac_dispatcher *d, int fd)
{
    ac_loop *loop = d->loop;

    if (d->ext_ == NULL || d->ext_->restore < 0 || d->ext_->restore != ac__fork_gen)
        return;
    d->ext_->restore = -1;
    for (ac__link *n = loop->all.next; n != &loop->all; n = n->next) {
        ac__source    *s = AC__OF(ac__source, all, n);
        ac_dispatcher *other;

        if (s->ops != &ac__transport_file.source && s->ops != &file_lent.source)
            continue;
        other = ac__channel(s);
        if (other == d || s->fd < 0 || other->ext_ == NULL || !same_file(fd, s->fd))
            continue;
        other->ext_->restore = ac__fork_gen;
        return;
    }
    clear_nonblock(fd);
}

/* --- transports ----------------------------------------------------------------------------- */

static ssize_t read_plain(ac_dispatcher *d, void *buf, size_t len)
{
    struct iovec iov = {buf, len};
    ssize_t      n;

    AC__RETRY(n, d->loop->sys->readv(d->loop->sys, d->source_.fd, &iov, 1, 0));
    return n;
}

/*
 * Writes with SIGPIPE held back in this thread, and taken away again if it was this write that
 * raised it. The disposition belongs to the program.
 */
static ssize_t write_quiet(ac_dispatcher *d, const struct iovec *iov, int n, int flags)
{
    static const struct timespec none = {0, 0};
    sigset_t                     pipe_only, before, pending;
    bool                         was_pending = false;
    ssize_t                      wrote;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    if (sigismember(&before, SIGPIPE) == 1 && sigpending(&pending) == 0)
        was_pending = sigismember(&pending, SIGPIPE) == 1;
    AC__RETRY(wrote, d->loop->sys->writev(d->loop->sys, d->source_.fd, iov, n, flags));
    if (wrote == -EPIPE && !was_pending) {
        while (sigtimedwait(&pipe_only, NULL, &none) < 0 && errno == EINTR)
            continue;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return wrote;
}

static ssize_t write_plain(ac_dispatcher *d, const struct iovec *iov, int n)
{
    ssize_t wrote;

    if (!(d->flags_ & AC__ALWAYS))
        return write_quiet(d, iov, n, 0);
    AC__RETRY(wrote, d->loop->sys->writev(d->loop->sys, d->source_.fd, iov, n, 0));
    return wrote;
}

/* A pipe that cannot be asked not to wait, by an older system: from now on by the flag. */
static int pipe_by_flag(ac_dispatcher *d)
{
    bool lent = d->source_.ops == &pipe_lent.source;
    int  rc   = set_nonblock(d->source_.fd);

    if (rc < 0)
        return rc;
    if (rc > 0)
        d->ext_->restore = ac__fork_gen;
    d->source_.ops = lent ? &file_lent.source : &ac__transport_file.source;
    return 0;
}

static ssize_t read_pipe(ac_dispatcher *d, void *buf, size_t len)
{
    struct iovec iov = {buf, len};
    ssize_t      n;

    AC__RETRY(n, d->loop->sys->readv(d->loop->sys, d->source_.fd, &iov, 1, RWF_NOWAIT));
    if (n != -EOPNOTSUPP && n != -ENOSYS)
        return n;
    n = pipe_by_flag(d);
    return n < 0 ? n : read_plain(d, buf, len);
}

static ssize_t write_pipe(ac_dispatcher *d, const struct iovec *iov, int n)
{
    ssize_t wrote = write_quiet(d, iov, n, RWF_NOWAIT);

    if (wrote != -EOPNOTSUPP && wrote != -ENOSYS)
        return wrote;
    wrote = pipe_by_flag(d);
    return wrote < 0 ? wrote : write_plain(d, iov, n);
}

static ssize_t read_socket(ac_dispatcher *d, void *buf, size_t len)
{
    ssize_t n;

    AC__RETRY(n, d->loop->sys->recv(d->loop->sys, d->source_.fd, buf, len, MSG_DONTWAIT));
    return n;
}

static ssize_t write_socket(ac_dispatcher *d, const struct iovec *iov, int n)
{
    struct msghdr msg = {.msg_iovlen = (size_t)n};
    ssize_t       wrote;

    /* sendmsg() only reads the vector; the structure is recvmsg()'s too, hence not const. */
    memcpy(&msg.msg_iov, &iov, sizeof iov);
    AC__RETRY(wrote, d->loop->sys->sendmsg(d->loop->sys, d->source_.fd, &msg, MSG_DONTWAIT));
    return wrote;
}

/* A file has one side only: its end is seen when it is closed. */
static int shutdown_file(ac_dispatcher *d)
{
    (void)d;
    return 0;
}

static int shutdown_socket(ac_dispatcher *d)
{
    return d->loop->sys->shutdown(d->loop->sys, d->source_.fd, SHUT_WR);
}

static void close_taken(ac_dispatcher *d, int fd)
{
    put_back(d, fd);
    (void)d->loop->sys->close(d->loop->sys, fd);
}

static void close_lent(ac_dispatcher *d, int fd)
{
    put_back(d, fd);
}

#define TRANSPORT(kind, shut, ending)                                                              \
    {                                                                                              \
        .source = AC__CHANNEL_OPS, .name = "file", .read = read_##kind, .write = write_##kind,     \
        .shutdown = shut, .close = ending                                                          \
    }

const ac__transport        ac__transport_file = TRANSPORT(plain, shutdown_file, close_taken);
static const ac__transport file_lent          = TRANSPORT(plain, shutdown_file, close_lent);
static const ac__transport pipe_taken         = TRANSPORT(pipe, shutdown_file, close_taken);
static const ac__transport pipe_lent          = TRANSPORT(pipe, shutdown_file, close_lent);
static const ac__transport socket_taken       = TRANSPORT(socket, shutdown_socket, close_taken);
static const ac__transport socket_lent        = TRANSPORT(socket, shutdown_socket, close_lent);

/* --- attaching ------------------------------------------------------------------------------ */

/* What is known of a file before it becomes a channel. */
struct file {
    int                  fd;    /* the descriptor to watch */
    bool                 own;   /* which is ours to close */
    bool                 flag;  /* O_NONBLOCK was set here */
    unsigned             flags; /* AC__ALWAYS or 0 */
    const ac__transport *transport;
};

/* A device that never makes anyone wait, and that epoll refuses. */
static bool never_waits(const struct stat *st)
{
    unsigned number = minor(st->st_rdev);

    /* The memory devices: null, zero, full. */
    return S_ISCHR(st->st_mode) && major(st->st_rdev) == 1
           && (number == 3 || number == 5 || number == 7);
}

/*
 * Opens a terminal anew: a descriptor, or -errno. Not the master of a pseudo-terminal, whose path
 * would open another one.
 */
static int open_anew(int fd, const struct stat *st)
{
    char        path[32];
    struct stat now;
    unsigned    number;
    int         mode = fcntl(fd, F_GETFL);
    int         fresh;

    if (mode < 0 || ioctl(fd, TIOCGPTN, &number) == 0)
        return -ENOTTY;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    fresh = open(path, (mode & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fresh < 0)
        return -errno;
    if (fstat(fresh, &now) < 0 || now.st_rdev != st->st_rdev || !S_ISCHR(now.st_mode)) {
        close(fresh);
        return -ENOTTY;
    }
    return fresh;
}

/* Finds out how the file is to be read and written, and prepares it for that. 0 or -errno. */
static int examine(struct file *f)
{
    struct stat st;
    int         rc;

    if (fstat(f->fd, &st) < 0)
        return -errno;
    f->transport = f->own ? &ac__transport_file : &file_lent;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (S_ISFIFO(st.st_mode)) {
        f->transport = f->own ? &pipe_taken : &pipe_lent;
        return 0;
    }
    if (S_ISSOCK(st.st_mode)) {
        f->transport = f->own ? &socket_taken : &socket_lent;
        return 0;
    }
    if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || never_waits(&st)) {
        f->flags = AC__ALWAYS;
        return 0;
    }
    if (S_ISCHR(st.st_mode) && isatty(f->fd)) {
        rc = open_anew(f->fd, &st);
        if (rc >= 0) {
            f->fd        = rc;
            f->own       = true;
            f->transport = &ac__transport_file;
            return 0;
        }
    }
    rc      = set_nonblock(f->fd);
    f->flag = rc > 0;
    return rc < 0 ? rc : 0;
}

/*
 * Gives the channel its descriptor. A number may be lent twice, to a channel that reads and to one
 * that writes; but the loop watches a number for one channel only, so that the second one gets a
 * number of its own.
 */
static int adopt(ac_dispatcher *d, struct file *f)
{
    int rc = ac__adopt(d, f->fd);

    if (rc != -EEXIST || f->own)
        return rc;
    rc = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
    if (rc < 0)
        return -errno;
    f->fd  = rc;
    f->own = true;
    if (f->transport == &pipe_lent)
        f->transport = &pipe_taken;
    else if (f->transport == &socket_lent)
        f->transport = &socket_taken;
    else
        f->transport = &ac__transport_file;
    return ac__adopt(d, f->fd);
}

/* What can never be read, or never written, is as if that side had ended. */
static uint32_t sides(int fd)
{
    switch (fcntl(fd, F_GETFL) & O_ACCMODE) {
    case O_RDONLY:
        return AC__SHUT;
    case O_WRONLY:
        return AC__EOF | AC__EOF_TOLD;
    default:
        return 0;
    }
}

static int attach(ac_dispatcher *d, struct file *f)
{
    bool     had = d->ext_ != NULL;
    ac__ext *ext = ac__ext_get(d);
    int      rc;

    if (ext == NULL)
        return -ENOMEM;
    rc = adopt(d, f);
    if (rc < 0) {
        /* A channel that is not opened need not be closed: it keeps nothing. */
        if (!had) {
            ac__free(ext);
            d->ext_ = NULL;
        }
        return rc;
    }
    ext->restore = f->flag ? ac__fork_gen : -1;
    ext->exact   = f->transport == &ac__transport_file || f->transport == &file_lent;
    ac__join(d, f->transport);
    d->flags_ |= AC__FILE | AC__CONNECTED | f->flags | sides(f->fd);
    d->rare_ |= AC__RARE_SHARED;
    if ((d->flags_ & AC__SHUT) == 0)
        ac__arm(d);
    d->source_.ready |= (f->flags & AC__ALWAYS) != 0 ? AC__READ | AC__WRITE : AC__WRITE;
    ac__times_begin(d, AC_IDLE, AC_FOREVER);
    return 0;
}

int ac_file_attach(ac_dispatcher *d, int fd, ac_owner owner)
{
    struct file f  = {.fd = fd, .own = owner == AC_TAKE};
    int         rc = ac__verb_open(d);

    if (rc == 0 && owner != AC_TAKE && owner != AC_BORROW)
        rc = -EINVAL;
    if (rc == 0)
        rc = examine(&f);
    if (rc == 0) {
        rc = attach(d, &f);
        if (rc < 0 && f.flag)
            clear_nonblock(f.fd);
        if (rc < 0 && f.fd != fd)
            close(f.fd);
    }
    if (owner == AC_TAKE && fd >= 0 && (rc < 0 ? rc != -EEXIST : f.fd != fd))
        close(fd); /* not where it is the number of another channel, which goes on to use it */
    return rc;
}
