/* SPDX-License-Identifier: MIT */
/* Reading and writing of channels, and the plain socket as a transport. */
#include "channel.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

enum { DATAGRAM = 256 }; /* what one costs of a turn's share, besides its bytes */

/* --- the plain socket --------------------------------------------------------------------- */

static ssize_t socket_read(ac_dispatcher *d, void *buf, size_t len)
{
    ac__sys *sys = d->loop->sys;
    ssize_t  n;

    AC__RETRY(n, sys->recv(sys, d->source_.fd, buf, len, 0));
    return n;
}

static ssize_t socket_send(ac_dispatcher *d, const void *buf, size_t len)
{
    ac__sys *sys = d->loop->sys;
    ssize_t  n;

    AC__RETRY(n, sys->send(sys, d->source_.fd, buf, len, MSG_NOSIGNAL));
    return n;
}

static ssize_t socket_write(ac_dispatcher *d, const struct iovec *iov, int count)
{
    ac__sys      *sys = d->loop->sys;
    struct msghdr msg;
    ssize_t       n;

    if (count == 1)
        return socket_send(d, iov[0].iov_base, iov[0].iov_len);
    msg = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    AC__RETRY(n, sys->sendmsg(sys, d->source_.fd, &msg, MSG_NOSIGNAL));
    return n;
}

static int socket_shutdown(ac_dispatcher *d)
{
    return d->loop->sys->shutdown(d->loop->sys, d->source_.fd, SHUT_WR);
}

static void socket_close(ac_dispatcher *d, int fd)
{
    (void)d->loop->sys->close(d->loop->sys, fd);
}

const ac__transport ac__transport_socket = {
    .source   = AC__CHANNEL_OPS,
    .name     = "socket",
    .read     = socket_read,
    .write    = socket_write,
    .shutdown = socket_shutdown,
    .close    = socket_close,
};

/* --- what a read or write tells of the channel ------------------------------------------------ */

size_t ac__budget(ac_dispatcher *d, size_t len)
{
    size_t used = ac__used(d), left;

    if (used == 0 && (d->flags_ & AC__SERVING) != 0) {
        used = AC__FIRST; /* by a first read, which does not count */
        ac__use(d, used);
    }
    left = used < AC__BUDGET ? AC__BUDGET - used : 0;
    if (left == 0) {
        d->loop->stats.budget_stops++;
        d->source_.ready |= AC__READ;
        ac__source_touch(d->loop, &d->source_);
    }
    /* A file may give its bytes in records, which a shorter read would refuse: it may go over. */
    return left == 0 || (len > left && (d->flags_ & AC__FILE) == 0) ? left : len;
}

/* What was found out must be acted on: by the serve that goes on, or by one to come. */
static void look_again(ac_dispatcher *d)
{
    if (d->loop->serving != &d->source_)
        ac__source_call(d->loop, &d->source_);
}

/* UDP: nobody listens at this address; the next one of the name may do better. */
static bool next_address(ac_dispatcher *d, ssize_t *n)
{
    const ac__ext *x = d->ext_;

    return *n == -ECONNREFUSED && (d->flags_ & AC__DGRAM) != 0 && x != NULL && x->other < x->nothers
           && ac__connect_next(d, n);
}

/* Whether an error of a call is one of the channel: not of a datagram socket that speaks with many. */
static bool fails_by_errors(const ac_dispatcher *d)
{
    return (d->flags_ & (AC__DGRAM | AC__CONNECTED)) != AC__DGRAM;
}

/* Nothing is left: not behind urgent data either. */
static void past_mark(ac_dispatcher *d)
{
    d->source_.ready &= (uint8_t)~AC__PRI;
    if (d->ext_ != NULL)
        d->ext_->at_mark = false;
}

/*
 * Whether a short read means that nothing is left: of a stream, unless something else than data has
 * come. The end would be lost by it, and urgent data stops a read before the end.
 */
static inline bool short_is_all(const ac_dispatcher *d)
{
    return (d->flags_ & AC__SHORT_OK) != 0
           && (d->source_.ready & (AC__RDHUP | AC__HUP | AC__PRI)) == 0
           && (d->ext_ == NULL || !d->ext_->at_mark);
}

ssize_t ac__read_result(ac_dispatcher *d, size_t asked, ssize_t n)
{
    ac__source *s    = &d->source_;
    bool        told = fails_by_errors(d);

    d->flags_ |= AC__TOOK;
    if (n > 0 || (n == 0 && (d->flags_ & AC__DGRAM) != 0)) {
        ac__use(d, (size_t)n + ((d->flags_ & AC__DGRAM) != 0 ? DATAGRAM : 0));
        ac__stamp_read(d);
        if ((size_t)n < asked && short_is_all(d)) {
            s->ready &= (uint8_t) ~(AC__READ | AC__FULL);
            if (d->loop->serving != s)
                ac__source_touch(d->loop, s);
        }
        return n;
    }
    if ((d->flags_ & AC__ALWAYS) == 0)
        s->ready &= (uint8_t) ~(AC__READ | AC__FULL);
    if (n == 0)
        n = ac__ended(d);
    else if (n == -EAGAIN)
        past_mark(d);
    else if (next_address(d, &n))
        return -EAGAIN;
    else if (told)
        ac__fail(d, (int)n, "recv", NULL);
    look_again(d);
    return n;
}

ssize_t ac__write_result(ac_dispatcher *d, size_t asked, ssize_t n)
{
    ac__source *s    = &d->source_;
    bool        told = fails_by_errors(d);

    d->flags_ |= ac__tried(d);
    if (n == (ssize_t)asked) {
        ac__stamp_write(d);
        return n;
    }
    if (n >= 0 || n == -EAGAIN) {
        if (n > 0)
            ac__stamp_write(d);
        if ((d->flags_ & AC__ALWAYS) == 0)
            s->ready &= (uint8_t)~AC__WRITE;
        ac__arm(d);
        ac__source_touch(d->loop, s);
        return n;
    }
    if (next_address(d, &n))
        return -EAGAIN;
    if ((d->flags_ & AC__DGRAM) == 0)
        ac__fail_write(d, (int)n);
    else if (n != -EMSGSIZE && told)
        ac__fail(d, (int)n, "send", NULL);
    return n;
}

/* --- verbs -------------------------------------------------------------------------------- */

/* Whether a read may be made now: > 0, or the result of the verb. */
static ssize_t readable(ac_dispatcher *d)
{
    int rc = ac__verb(d);

    if (rc < 0)
        return rc;
    if ((d->flags_ & (AC__CONNECTED | AC__DGRAM)) == 0)
        return -ENOTCONN;
    if ((d->flags_ & AC__GOODBYE) != 0)
        return -EAGAIN; /* what comes in is dropped from here on */
    if ((d->flags_ & AC__EOF) != 0)
        return 0;
    return 1;
}

/* Reads within the channel's share of the turn, whatever it is. */
AC__ASIDE static ssize_t read_any(ac_dispatcher *d, void *buf, size_t len)
{
    size_t n = ac__budget(d, len);

    if (n == 0)
        return -EAGAIN;
    return ac__read_result(d, n, ac__transport_of(d)->read(d, buf, n));
}

AC__ASIDE static ssize_t recv_any(ac_dispatcher *d, void *buf, size_t len)
{
    ssize_t rc = readable(d);

    if (rc <= 0)
        return rc;
    if (buf == NULL || len == 0)
        return buf == NULL && len > 0 ? -EINVAL : 0;
    return read_any(d, buf, len);
}

AC__ASIDE static ssize_t view_any(ac_dispatcher *d, const void **data)
{
    ssize_t  rc = readable(d);
    ac_loop *loop;

    if (data == NULL)
        return -EINVAL;
    *data = "";
    if (rc <= 0)
        return rc;
    loop = d->loop;
    if (loop->level == 0)
        return -EINVAL;
    if (loop->view == NULL && (loop->view = ac__alloc(AC__VIEW)) == NULL)
        return -ENOMEM;
    rc = read_any(d, loop->view, AC__VIEW);
    if (rc > 0)
        *data = loop->view;
    loop->view_out = loop->debug;
    return rc;
}

/*
 * Whether this is the first read of a plain stream in its own short serve, with data reported and
 * nothing else: then a short read is all, and nothing has to be checked or counted: ac__budget() takes
 * AC__FIRST as used if it is asked after that.
 */
static inline bool reads_first(const ac_dispatcher *d)
{
    return d != NULL && (d->flags_ & (AC__ODD | AC__SERVING)) == AC__SERVING
           && (d->source_.ready & AC__READ) != 0;
}

/* The results of the first read that are no short read. */
AC__ASIDE static ssize_t first_read(ac_dispatcher *d, size_t len, ssize_t n)
{
    int err = errno;

    if (n < 0 && err == EFAULT)
        return -EINVAL;
    if (n < 0 && err == EINTR) {
        d->flags_ |= AC__TOOK;
        return -EAGAIN; /* the data is there as before, and is told of again */
    }
    ac__channel_lengthen(&d->source_); /* the reads behind it go by the share */
    return ac__read_result(d, len, n < 0 ? -err : n);
}

/*
 * A read was in vain behind one that filled its buffer. That is counted, but where the socket is not readable
 * for less than some bytes (SO_RCVLOWAT): what a read has left would not be told.
 */
AC__ASIDE static void note_vain(ac_dispatcher *d)
{
    int       low = 1;
    socklen_t len = sizeof low;

    if (!d->loop->pc->levels || (d->rare_ & AC__RARE_LEVEL) == AC__RARE_LEVEL)
        return;
    d->rare_ = (uint16_t)(d->rare_ + AC__RARE_VAIN);
    if ((d->rare_ & AC__RARE_LEVEL) == AC__RARE_LEVEL
        && (d->loop->sys->getsockopt(d->loop->sys, d->source_.fd, SOL_SOCKET, SO_RCVLOWAT, &low,
                                     &len)
                < 0
            || low > 1))
        d->rare_ &= (uint16_t)~AC__RARE_LEVEL;
}

/*
 * The same of ac_recv(), whose buffer may well be full each time. What is left then is found by reading on
 * in the next turn; where that was in vain so often, the poller is asked to tell.
 */
AC__ASIDE static ssize_t first_recv(ac_dispatcher *d, size_t len, ssize_t n)
{
    ac__source *s = &d->source_;

    if (n > 0) {
        d->flags_ |= AC__TOOK;
        s->ready &= (uint8_t)~AC__READ;
        if ((s->sent & AC__LEVEL) == 0) {
            s->ready |= AC__FULL;
            ac__use(d, (size_t)n); /* more of it may be read in this callback */
        }
        return n;
    }
    if (n < 0 && errno == EAGAIN) {
        note_vain(d);
        errno = EAGAIN;
    }
    return first_read(d, len, n);
}

AC__HOT ssize_t ac_recv(ac_dispatcher *d, void *buf, size_t len)
{
    ssize_t n;

    if (!reads_first(d) || len - 1 >= AC__FIRST)
        return recv_any(d, buf, len);
    n = recv(d->source_.fd, buf, len, 0);
    if (n <= 0 || (size_t)n >= len)
        return first_recv(d, len, n);
    d->source_.ready &= (uint8_t)~AC__READ;
    return n;
}

AC__HOT ssize_t ac_read(ac_dispatcher *d, const void **data)
{
    void   *view;
    ssize_t n;

    if (data == NULL || !reads_first(d) || (view = d->loop->view) == NULL)
        return view_any(d, data);
    *data = view;
    n     = recv(d->source_.fd, view, AC__VIEW, 0);
    if ((size_t)n - 1 >= AC__VIEW - 1)
        return first_read(d, AC__VIEW, n);
    d->source_.ready &= (uint8_t)~AC__READ;
    return n;
}

/* 0, or why nothing can be written: not connected, or our side is shut. */
static int writable(ac_dispatcher *d)
{
    int rc = ac__verb(d);

    if (rc < 0)
        return rc;
    if ((d->flags_ & AC__CONNECTED) == 0)
        return -ENOTCONN;
    if ((d->flags_ & (AC__SHUT | AC__SHUT_WANT | AC__GOODBYE)) != 0)
        return -EPIPE;
    return 0;
}

/* A send() by the kernel's own call that did not take all. */
ssize_t ac__sent(ac_dispatcher *d, const void *buf, size_t len, ssize_t n)
{
    if (buf == NULL)
        return -EINVAL; /* what the kernel has said too */
    if (n < 0)
        n = errno == EINTR ? socket_send(d, buf, len) : -errno;
    return ac__write_result(d, len, n);
}

AC__ASIDE static ssize_t send_any(ac_dispatcher *d, const void *buf, size_t len)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    int          rc  = writable(d);

    if (rc < 0)
        return rc;
    if (buf == NULL && len > 0)
        return -EINVAL;
    if (len == 0 && (d->flags_ & AC__DGRAM) == 0)
        return 0;
    if (ac_queued(d) > 0) {
        d->flags_ |= ac__tried(d);
        ac__arm(d);
        return -EAGAIN;
    }
    return ac__write_result(d, len, ac__transport_of(d)->write(d, &iov, 1));
}

AC__HOT ssize_t ac_send(ac_dispatcher *d, const void *buf, size_t len)
{
    ssize_t n;

    if (!ac__is_plain(d) || len == 0 || d->ext_ != NULL)
        return send_any(d, buf, len);
    n = send(d->source_.fd, buf, len, MSG_NOSIGNAL);
    if (n != (ssize_t)len)
        return ac__sent(d, buf, len, n);
    d->flags_ |= AC__TOOK | AC__WROTE;
    return n;
}

int ac_oob(ac_dispatcher *d)
{
    int rc = ac__verb(d);

    if (rc < 0)
        return rc;
    return d->ext_ != NULL && d->ext_->oob >= 0 ? d->ext_->oob : -EAGAIN;
}

int ac_send_oob(ac_dispatcher *d, uint8_t byte)
{
    int     rc = writable(d);
    ssize_t n;

    if (rc < 0)
        return rc;
    if ((d->flags_ & (AC__DGRAM | AC__FILE)) != 0)
        return -ENOTSUP;
    if (ac_queued(d) > 0)
        return -EAGAIN;
    AC__RETRY(n, d->loop->sys->send(d->loop->sys, d->source_.fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL));
    n = ac__write_result(d, 1, n);
    return n < 0 ? (int)n : 0;
}
