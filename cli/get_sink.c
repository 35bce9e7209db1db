/* SPDX-License-Identifier: MIT */
/* Descriptors that are written to without blocking: the channel's queue, with marks. */
#include "get.h"

#include <errno.h>
#include <fcntl.h>

/* What may wait: the marks hold the peers back long before the limit. */
enum { PIPE_SIZE = 1024 * 1024 }; /* what a pipe is asked to hold: as much as anyone may ask for */
enum { SINK_LOW = 64 * 1024, SINK_HIGH = 256 * 1024, SINK_LIMIT = 64 * 1024 * 1024 };

static struct sink *sink_of(ac_dispatcher *d)
{
    return AC_SELF(struct sink, d);
}

static void has_room(ac_dispatcher *d)
{
    struct sink *s = sink_of(d);

    if (s->err == 0 && s->room != NULL)
        s->room(s);
}

static void set_failed(struct sink *s, int err)
{
    if (s->err == 0)
        s->err = err;
    if (s->failed != NULL)
        s->failed(s);
}

static void handle_error(ac_dispatcher *d, int err)
{
    set_failed(sink_of(d), err);
}

static void handle_close(ac_dispatcher *d)
{
    set_failed(sink_of(d), -EPIPE);
    ac_close(d);
}

static const ac_class sink_class = {
    .name         = "Output",
    .handle_write = has_room,
    .handle_drain = has_room,
    .handle_error = handle_error,
    .handle_close = handle_close,
};

/*
 * A pipe holds 64 KiB, a quarter of what is read at once: with more room in it reader and writer wait for
 * each other less often. One that has more keeps it, and a refusal is no failure.
 */
static void widen(int fd)
{
    int size = fcntl(fd, F_GETPIPE_SZ);

    if (size >= 0 && size < PIPE_SIZE)
        (void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
}

int sink_open(struct sink *s, ac_loop *loop, int fd, ac_owner owner)
{
    int flags = fcntl(fd, F_GETFL);
    int rc;

    s->err = 0;
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
        return s->err = -EBADF;
    widen(fd);
    rc = ac_init(&s->base, loop, &sink_class);
    if (rc == 0)
        rc = ac_file_attach(&s->base, fd, owner);
    if (rc == 0)
        rc = ac_set_marks(&s->base, SINK_LOW, SINK_HIGH, SINK_LIMIT);
    return s->err = rc;
}

bool sink_is_open(const struct sink *s)
{
    return s->base.loop != NULL && ac_is_open(&s->base);
}

int sink_write(struct sink *s, const void *data, size_t len)
{
    int rc = s->err;

    if (rc == 0)
        rc = ac_write(&s->base, data, len);
    if (rc == 0)
        rc = ac_error(&s->base); /* it is told of later, but known now */
    if (s->err == 0)
        s->err = rc;
    return rc;
}

bool sink_full(const struct sink *s)
{
    return s->err == 0 && s->base.loop != NULL && ac_queued(&s->base) >= SINK_HIGH;
}

bool sink_empty(const struct sink *s)
{
    return s->err != 0 || s->base.loop == NULL || ac_queued(&s->base) == 0;
}

void sink_close(struct sink *s)
{
    if (s->base.loop != NULL)
        ac_close(&s->base);
}
