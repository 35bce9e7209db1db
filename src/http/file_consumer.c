/* SPDX-License-Identifier: MIT */
/*
 * The file consumer. A regular file is written to as the body comes. Everything else can make the
 * writer wait, so it gets a channel of the loop's, whose queue holds the request back when it is
 * full, and which may have to send on when the request has ended: `done` waits for it.
 */
#include "asyncore/consumers.h"

#include "asyncore/file.h"
#include "asyncore/sender.h"

#include "hold.h"

#include "../base/sys.h"
#include "../loop/loop_private.h"

#include <errno.h>
#include <sys/stat.h>

enum {
    LOW   = 16 * 1024,
    HIGH  = 64 * 1024,
    LIMIT = 16 * 1024 * 1024, /* of a consumer before this one that does not heed the pause */
    PIECE = 64 * 1024
};

/* The channel. It outlives its consumer until its finalize. */
struct ac__file_out {
    ac_dispatcher     base;
    ac_file_consumer *owner; /* NULL: nobody is to be told any more */
    uint64_t          taken; /* bytes that were given to the channel */
    bool              held;
};

static const ac_class out_class;

static struct ac__file_out *out_of(ac_dispatcher *d)
{
    return AC_SELF(struct ac__file_out, d);
}

/* --- the end -------------------------------------------------------------------------------- */

static void note_written(ac_file_consumer *self)
{
    struct ac__file_out *out  = self->out_;
    uint64_t             gone = out->taken - ac_queued(&out->base);

    self->written += gone;
    out->taken -= gone;
}

static void drop_channel(ac_file_consumer *self)
{
    struct ac__file_out *out = self->out_;

    if (out == NULL)
        return;
    self->out_ = NULL;
    out->owner = NULL;
    ac_close(&out->base);
}

/* The last call, once the request has ended and nothing is left to write. */
static void finish(ac_file_consumer *self)
{
    int err = self->err_;

    drop_channel(self);
    self->err_    = 0;
    self->closed_ = false; /* it may be used again from here on */
    if (self->done != NULL)
        self->done(self, err);
}

/* Writing cannot go on: the request is to end, or `done` waited for this only. */
static void give_up(ac_file_consumer *self, int err)
{
    drop_channel(self);
    if (self->err_ == 0)
        self->err_ = err;
    if (self->closed_)
        finish(self);
    else
        ac_http_fail(self->base.request, err);
}

/* --- the channel ---------------------------------------------------------------------------- */

static void let_go(struct ac__file_out *out)
{
    if (!out->held)
        return;
    out->held = false;
    if (out->owner->base.request != NULL)
        ac__consumer_release(&out->owner->base);
}

static void out_drain(ac_dispatcher *d)
{
    struct ac__file_out *out = out_of(d);

    if (ac_error(d) < 0) { /* the queue was not sent but dropped */
        give_up(out->owner, ac_error(d));
        return;
    }
    note_written(out->owner);
    let_go(out);
}

/* The queue is empty. */
static void out_write(ac_dispatcher *d)
{
    ac_file_consumer *self = out_of(d)->owner;

    note_written(self);
    let_go(out_of(d));
    if (self->closed_)
        finish(self);
}

/* What can be read and written may end on the side that is not used here. */
static void out_eof(ac_dispatcher *d)
{
    (void)d;
}

static void out_error(ac_dispatcher *d, int err)
{
    give_up(out_of(d)->owner, err);
}

static void out_close(ac_dispatcher *d)
{
    if (out_of(d)->owner != NULL)
        give_up(out_of(d)->owner, -EPIPE);
}

static void out_finalize(ac_dispatcher *d)
{
    if (out_of(d)->owner != NULL) /* closed by others, as ac_close_all() or ac_loop_free() */
        give_up(out_of(d)->owner, -AC_ECANCELED);
}

static const ac_class out_class = {
    .name         = "FileConsumer",
    .handle_write = out_write,
    .handle_eof   = out_eof,
    .handle_drain = out_drain,
    .handle_close = out_close,
    .handle_error = out_error,
    .finalize     = out_finalize,
};

static int open_channel(ac_file_consumer *self, ac_loop *loop)
{
    struct ac__file_out *out = ac_new(struct ac__file_out, loop, &out_class);
    int                  rc;

    if (out == NULL)
        return -ENOMEM;
    rc = ac_set_marks(&out->base, LOW, HIGH, LIMIT);
    if (rc == 0)
        rc = ac_file_attach(&out->base, self->fd, AC_BORROW);
    if (rc < 0) {
        ac_close(&out->base);
        return rc;
    }
    self->out_ = out;
    out->owner = self;
    return 0;
}

/* --- writing -------------------------------------------------------------------------------- */

/* Writes all of it to a file that takes it or fails. 0 or -errno. */
static int write_through(ac_file_consumer *self, ac__sys *sys, const char *data, size_t len)
{
    while (len > 0) {
        struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
        ssize_t      n;

        AC__RETRY(n, sys->writev(sys, self->fd, &iov, 1, 0));
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        self->written += (uint64_t)n;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Gives it to the channel, in pieces that the queue takes. 0 or the error of the file. */
static int write_channel(ac_file_consumer *self, const char *data, size_t len)
{
    struct ac__file_out *out = self->out_;

    while (len > 0) {
        size_t n  = len < PIECE ? len : PIECE;
        int    rc = ac_write(&out->base, data, n);

        if (ac_error(&out->base) < 0) /* known now, and told only later */
            return ac_error(&out->base);
        if (rc < 0)
            return rc;
        out->taken += n;
        data += n;
        len -= n;
        note_written(self);
    }
    if (ac_queued(&out->base) >= HIGH) {
        out->held = true;
        ac__consumer_hold(&self->base);
    }
    return 0;
}

/* Finds out at the first byte what kind of file it is. 0 or -errno. */
static int begin(ac_file_consumer *self, ac_loop *loop)
{
    struct stat st;

    if (fstat(self->fd, &st) < 0)
        return -errno;
    self->regular_ = S_ISREG(st.st_mode);
    return self->regular_ ? 0 : open_channel(self, loop);
}

/* --- slots ---------------------------------------------------------------------------------- */

/* What an earlier request left in the queue holds this one back as well. */
static void file_header(ac_consumer *c, ac_http_request *request)
{
    ac_file_consumer *self = AC_SELF(ac_file_consumer, c);

    (void)request;
    self->closed_ = false;
    if (self->out_ != NULL && self->out_->held)
        ac__consumer_hold(c);
}

static void file_feed(ac_consumer *c, const void *data, size_t len)
{
    ac_file_consumer *self = AC_SELF(ac_file_consumer, c);
    ac_loop          *loop = ac_http_client_loop(ac_http_client_of(c->request));
    int               rc   = 0;

    if (!self->regular_ && self->out_ == NULL)
        rc = begin(self, loop);
    if (rc == 0)
        rc = self->regular_ ? write_through(self, loop->sys, data, len)
                            : write_channel(self, data, len);
    if (rc < 0)
        give_up(self, rc);
}

static void file_close(ac_consumer *c, int err)
{
    ac_file_consumer *self = AC_SELF(ac_file_consumer, c);

    self->closed_ = true;
    if (self->err_ == 0)
        self->err_ = err;
    if (self->out_ == NULL)
        finish(self);
    else if (ac_error(&self->out_->base) < 0)
        give_up(self, ac_error(&self->out_->base));
    else if (ac_queued(&self->out_->base) == 0)
        finish(self);
}

static const ac_consumer_class file_class = {
    .name        = "FileConsumer",
    .http_header = file_header,
    .feed        = file_feed,
    .close       = file_close,
};

void ac_file_consumer_init(ac_file_consumer *c, int fd, void (*done)(ac_file_consumer *c, int err))
{
    if (c == NULL)
        return;
    *c = (ac_file_consumer){.fd = fd, .done = done};
    ac_consumer_init(&c->base, &file_class);
}
