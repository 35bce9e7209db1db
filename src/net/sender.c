/* SPDX-License-Identifier: MIT */
/*
 * The buffered sender: a list of chunks, filled at the end and sent from the front. One chunk's worth
 * of memory stays with the loop, so that a busy sender does not allocate for each burst.
 */
#include "channel.h"

#include "../base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    CHUNK   = 16 * 1024 - (int)sizeof(ac__chunk),
    SPARE   = 16,        /* chunks that a loop keeps */
    VECTORS = 64,        /* chunks sent by one call */
    DROP    = 64 * 1024, /* input dropped after our side is shut */
    LIMIT   = 1024 * 1024
};

/* --- the queue ---------------------------------------------------------------------------- */

static ac__chunk *chunk_new(ac_loop *loop, size_t len)
{
    size_t     cap = len > CHUNK ? len : CHUNK;
    ac__chunk *c;

    if (cap == CHUNK && loop->spare != NULL) {
        c           = loop->spare;
        loop->spare = c->next;
        loop->nspare--;
    } else {
        c = ac__alloc(sizeof *c + cap);
        if (c == NULL)
            return NULL;
        c->cap = (uint32_t)cap;
    }
    c->next  = NULL;
    c->start = c->end = 0;
    return c;
}

static void chunk_free(ac_loop *loop, ac__chunk *c)
{
    if (c->cap != CHUNK || loop->nspare >= SPARE) {
        ac__free(c);
        return;
    }
    c->next     = loop->spare;
    loop->spare = c;
    loop->nspare++;
}

void ac__spare_drop(ac_loop *loop)
{
    while (loop->spare != NULL) {
        ac__chunk *c = loop->spare;

        loop->spare = c->next;
        ac__free(c);
    }
    loop->nspare = 0;
}

void ac__queue_drop(ac_dispatcher *d)
{
    ac__ext *x = d->ext_;

    if (x == NULL)
        return;
    while (x->first != NULL) {
        ac__chunk *c = x->first;

        x->first = c->next;
        chunk_free(d->loop, c);
    }
    x->last = NULL;
    d->loop->stats.queued_bytes -= x->queued;
    x->queued = 0;
}

/* Appends a copy: all of it, or nothing and -ENOMEM. */
static int queue(ac_dispatcher *d, const char *buf, size_t len)
{
    ac__ext   *x     = ac__ext_get(d);
    ac__chunk *fresh = NULL;
    size_t     room, part;

    if (x == NULL)
        return -ENOMEM;
    room = x->last != NULL ? x->last->cap - x->last->end : 0;
    if (len > room && (fresh = chunk_new(d->loop, len - room)) == NULL)
        return -ENOMEM;
    part = len < room ? len : room;
    if (part > 0) {
        memcpy(x->last->data + x->last->end, buf, part);
        x->last->end += (uint32_t)part;
    }
    if (fresh != NULL) {
        memcpy(fresh->data, buf + part, len - part);
        fresh->end = (uint32_t)(len - part);
        if (x->last != NULL)
            x->last->next = fresh;
        else
            x->first = fresh;
        x->last = fresh;
    }
    x->queued += len;
    d->loop->stats.queued_bytes += len;
    if (x->queued == len)
        ac__times_begin(d, AC_WRITE, AC_FOREVER);
    if (x->queued >= x->high)
        x->above = true;
    return 0;
}

/* Takes `n` bytes off the front. */
static void consume(ac_dispatcher *d, size_t n)
{
    ac__ext *x = d->ext_;

    x->queued -= n;
    d->loop->stats.queued_bytes -= n;
    while (n > 0) {
        ac__chunk *c    = x->first;
        size_t     here = c->end - c->start;

        if (n < here) {
            c->start += (uint32_t)n;
            return;
        }
        n -= here;
        x->first = c->next;
        if (x->first == NULL)
            x->last = NULL;
        chunk_free(d->loop, c);
    }
}

static void shut(ac_dispatcher *d)
{
    d->flags_ = (d->flags_ | AC__SHUT) & ~(uint32_t)AC__SHUT_WANT;
    (void)ac__transport_of(d)->shutdown(d);
}

/* One call's worth of the queue. Returns whether all that was offered was taken. */
static bool send_some(ac_dispatcher *d)
{
    struct iovec iov[VECTORS];
    size_t       offered = 0;
    int          n       = 0;
    ssize_t      sent;

    for (ac__chunk *c = d->ext_->first; c != NULL && n < VECTORS; c = c->next) {
        iov[n].iov_base = c->data + c->start;
        iov[n].iov_len  = c->end - c->start;
        offered += iov[n++].iov_len;
    }
    sent = ac__write_result(d, offered, ac__transport_of(d)->write(d, iov, n));
    if (sent > 0)
        consume(d, (size_t)sent);
    return sent == (ssize_t)offered;
}

void ac__flush(ac_dispatcher *d)
{
    ac__ext *x    = d->ext_;
    bool     more = true;

    if (x != NULL && x->queued > 0) {
        while (x->queued > 0 && more)
            more = send_some(d);
        if (x->above && x->queued <= x->low) {
            x->above = false;
            x->drain = true;
        }
        if (x->queued == 0)
            ac__arm(d);
    }
    if ((d->flags_ & AC__SHUT_WANT) != 0 && ac_queued(d) == 0 && (x == NULL || !x->refilling))
        shut(d);
}

/* --- verbs -------------------------------------------------------------------------------- */

/* 0, or why `len` more bytes cannot be taken. */
static int accepts(ac_dispatcher *d, const void *buf, size_t len)
{
    int    rc = ac__verb(d);
    size_t limit, queued;

    if (rc < 0)
        return rc;
    if ((d->flags_ & (AC__DGRAM | AC__LISTENING)) != 0)
        return -ENOTSUP;
    if ((d->flags_ & (AC__SHUT | AC__SHUT_WANT | AC__GOODBYE)) != 0)
        return -EPIPE;
    if ((d->flags_ & AC__ENDED) != 0 && d->err_ != 0)
        return -EPIPE;
    if ((d->flags_ & (AC__CONNECTED | AC__CONNECTING)) == 0)
        return -ENOTCONN;
    if (buf == NULL && len > 0)
        return -EINVAL;
    limit  = d->ext_ != NULL ? d->ext_->limit : LIMIT;
    queued = ac_queued(d);
    return len > limit || queued > limit - len ? -ENOBUFS : 0;
}

/* Takes what an attempt to send left: `n` of it was sent, or is why not. */
AC__ASIDE static int write_rest(ac_dispatcher *d, const char *buf, size_t len, ssize_t n)
{
    size_t done;
    int    rc;

    if (n == (ssize_t)len || (n < 0 && n != -EAGAIN))
        return 0; /* sent; or broken, which is told later */
    done = n > 0 ? (size_t)n : 0;
    rc   = queue(d, buf + done, len - done);
    if (rc < 0 && done == 0)
        return rc;
    if (rc < 0)
        ac__fail(d, rc, "queue", NULL); /* a part is on its way: the stream cannot go on */
    ac__source_touch(d->loop, &d->source_);
    return 0;
}

AC__ASIDE static int write_any(ac_dispatcher *d, const void *buf, size_t len)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    int          rc  = accepts(d, buf, len);
    ssize_t      n   = -EAGAIN;

    if (rc < 0 || len == 0)
        return rc;
    d->flags_ |= ac__tried(d);
    if ((d->flags_ & AC__CONNECTED) != 0 && (d->source_.ready & AC__WRITE) != 0
        && ac_queued(d) == 0)
        n = ac__write_result(d, len, ac__transport_of(d)->write(d, &iov, 1));
    return write_rest(d, buf, len, n);
}

/* The same for the kernel's own call. */
AC__ASIDE static int write_part(ac_dispatcher *d, const char *buf, size_t len, ssize_t n)
{
    n = ac__sent(d, buf, len, n);
    return buf == NULL ? (int)n : write_rest(d, buf, len, n);
}

AC__HOT int ac_write(ac_dispatcher *d, const void *buf, size_t len)
{
    ssize_t n;

    if (!ac__is_plain(d) || len - 1 >= LIMIT || (d->source_.ready & AC__WRITE) == 0
        || d->ext_ != NULL)
        return write_any(d, buf, len);
    n = send(d->source_.fd, buf, len, MSG_NOSIGNAL);
    if (n != (ssize_t)len)
        return write_part(d, buf, len, n);
    d->flags_ |= AC__TOOK | AC__WROTE;
    return 0;
}

int ac_vwritef(ac_dispatcher *d, const char *format, va_list args)
{
    char    small[1024] __attribute__((uninitialized)); /* filled before it is read */
    char   *text = small;
    va_list again;
    int     rc = ac__verb(d);
    int     n;

    if (rc < 0)
        return rc;
    va_copy(again, args);
    n = vsnprintf(small, sizeof small, format, args);
    if (n < 0) {
        rc = -EINVAL;
    } else if ((size_t)n >= sizeof small) {
        text = ac__alloc((size_t)n + 1);
        if (text == NULL)
            rc = -ENOMEM;
        else
            (void)vsnprintf(text, (size_t)n + 1, format, again);
    }
    va_end(again);
    if (rc == 0)
        rc = ac_write(d, text, (size_t)n);
    if (text != small)
        ac__free(text);
    return rc;
}

int ac_writef(ac_dispatcher *d, const char *format, ...)
{
    va_list args;
    int     rc;

    va_start(args, format);
    rc = ac_vwritef(d, format, args);
    va_end(args);
    return rc;
}

size_t ac_queued(const ac_dispatcher *d)
{
    return d != NULL && d->loop != NULL && d->ext_ != NULL ? d->ext_->queued : 0;
}

int ac_set_marks(ac_dispatcher *d, size_t low, size_t high, size_t limit)
{
    ac__ext *x;
    int      rc;

    if (d == NULL || d->loop == NULL)
        return -EINVAL;
    rc = ac__loop_check(d->loop);
    if (rc < 0)
        return rc;
    if ((d->flags_ & AC__CLOSED) != 0)
        return -EBADF;
    if (low >= high || high > limit || limit > UINT32_MAX / 2)
        return -EINVAL;
    x = ac__ext_get(d);
    if (x == NULL)
        return -ENOMEM;
    x->low   = (uint32_t)low;
    x->high  = (uint32_t)high;
    x->limit = (uint32_t)limit;
    if ((d->flags_ & AC__OPEN) != 0)
        ac__touch(d);
    return 0;
}

int ac_shutdown_write(ac_dispatcher *d)
{
    int rc = ac__verb(d);

    if (rc < 0)
        return rc;
    if ((d->flags_ & (AC__DGRAM | AC__LISTENING)) != 0)
        return -EINVAL;
    if ((d->flags_ & (AC__CONNECTED | AC__CONNECTING)) == 0)
        return -ENOTCONN;
    d->flags_ |= ac__tried(d);
    if ((d->flags_ & (AC__SHUT | AC__GOODBYE)) != 0)
        return 0;
    d->flags_ |= AC__SHUT_WANT;
    if ((d->flags_ & AC__CONNECTED) != 0)
        ac__flush(d);
    ac__source_touch(d->loop, &d->source_);
    return 0;
}

/* --- goodbye ------------------------------------------------------------------------------ */

/* Reads and drops. Returns whether it is over: the end, an error, or enough. */
static bool drop_input(ac_dispatcher *d)
{
    char    waste[8 * 1024] __attribute__((uninitialized)); /* only written to */
    ssize_t n;

    for (;;) {
        n = ac__transport_of(d)->read(d, waste, sizeof waste);
        if (n == -EAGAIN) {
            d->source_.ready &= (uint8_t)~AC__READ;
            return false;
        }
        if (n <= 0 || (d->ext_->goodbye += (uint32_t)n) > DROP)
            return true;
    }
}

bool ac__unsent(ac_dispatcher *d)
{
    ac__sys *sys = d->loop->sys;

    if (ac_queued(d) > 0)
        return true;
    /* The end of the stream itself counts as one byte until the peer has it. */
    return (d->flags_ & AC__FILE) == 0 && d->source_.fd >= 0 && sys->unsent != NULL
           && sys->unsent(sys, d->source_.fd) > 1;
}

void ac__abort(ac_dispatcher *d)
{
    const struct linger none = {.l_onoff = 1, .l_linger = 0};

    if ((d->flags_ & AC__FILE) == 0 && d->source_.fd >= 0)
        (void)d->loop->sys->setsockopt(d->loop->sys, d->source_.fd, SOL_SOCKET, SO_LINGER, &none,
                                       sizeof none);
    ac__log_error(d);
    ac_close(d);
}

void ac__goodbye(ac_dispatcher *d)
{
    if ((d->flags_ & (AC__FAILED | AC__LATER)) != 0 || (d->flags_ & AC__CONNECTED) == 0)
        return; /* the failure ends it; or it has to connect first */
    if ((d->flags_ & AC__SHUT) == 0) {
        ac__flush(d);
        if (ac_queued(d) > 0 || (d->flags_ & AC__LATER) != 0
            || (d->ext_ != NULL && d->ext_->refilling))
            return;
        if ((d->flags_ & AC__SHUT) == 0)
            shut(d);
    }
    if ((d->flags_ & (AC__EOF | AC__FILE)) == 0) {
        if (d->ext_ == NULL || !d->ext_->lingers)
            ac__times_begin(d, AC_LINGER, 2 * AC_SECOND);
        if (d->ext_ != NULL && d->ext_->lingers && !drop_input(d))
            return;
    }
    ac_close(d);
}

void ac_close_when_sent(ac_dispatcher *d)
{
    if (ac__verb(d) < 0 || (d->flags_ & AC__GOODBYE) != 0)
        return;
    if ((d->flags_ & (AC__CONNECTED | AC__CONNECTING)) == 0
        || (d->flags_ & (AC__DGRAM | AC__FAILED | AC__LATER)) != 0) {
        ac_close(d);
        return;
    }
    d->flags_ |= AC__GOODBYE | ac__tried(d);
    ac__source_touch(d->loop, &d->source_);
    if (ac_queued(d) > 0 || (d->ext_ != NULL && d->ext_->refilling))
        ac__times_begin(d, AC_WRITE,
                        30 * AC_SECOND); /* a peer that takes nothing is not waited for */
    ac__goodbye(d);
}
