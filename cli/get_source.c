/* SPDX-License-Identifier: MIT */
/*
 * Where URLs come from: arguments, then the lines of a file. Lines are read when they are wanted
 * and not before, so that a list of any length takes the memory of one piece of it.
 */
#include "get.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 16 * 1024 };

static char *find_line(const struct source *s)
{
    return s->len > s->at ? memchr(s->data + s->at, '\n', s->len - s->at) : NULL;
}

static void source_stop(struct source *s, int err)
{
    if (!s->ended && err < 0)
        s->err = err;
    s->ended = true;
    ac_close(&s->base);
}

/* Drops what was used up. */
static void compact(struct source *s)
{
    if (s->at == 0)
        return;
    memmove(s->data, s->data + s->at, s->len - s->at);
    s->len -= s->at;
    s->at = 0;
}

static void handle_read(ac_dispatcher *d)
{
    struct source *s = AC_SELF(struct source, d);
    ssize_t        n;

    compact(s);
    if (s->len > LINE_LONGEST && find_line(s) == NULL) {
        s->too_long = true; /* the beginning stays, to be shown */
        s->len      = LINE_LONGEST;
    }
    n = ac_recv(d, s->data + s->len, PIECE);
    if (n <= 0)
        return; /* the end and errors are told next */
    s->len += (size_t)n;
    if (s->too_long && memchr(s->data + LINE_LONGEST, '\n', (size_t)n) == NULL)
        s->len = LINE_LONGEST;
    if (find_line(s) != NULL)
        (void)ac_pause(d);
    s->more(s);
}

static void handle_close(ac_dispatcher *d)
{
    struct source *s = AC_SELF(struct source, d);

    source_stop(s, ac_error(d));
    s->more(s);
}

static void handle_error(ac_dispatcher *d, int err)
{
    (void)d; /* handle_close asks for it */
    (void)err;
}

static const ac_class source_class = {
    .name         = "List",
    .handle_read  = handle_read,
    .handle_error = handle_error,
    .handle_close = handle_close,
};

int source_open(struct source *s, ac_loop *loop, const char *input)
{
    int fd = descriptor_of(input, 0);
    int flags, rc;

    s->data = malloc(LINE_LONGEST + PIECE + 2);
    if (s->data == NULL)
        return -ENOMEM;
    rc = ac_init(&s->base, loop, &source_class);
    if (rc < 0)
        return rc;
    if (fd < 0) {
        fd = open(input, O_RDONLY | O_CLOEXEC);
        rc = fd < 0 ? -errno : ac_file_attach(&s->base, fd, AC_TAKE);
    } else {
        flags = fcntl(fd, F_GETFL);
        rc    = -EBADF;
        if (flags >= 0 && (flags & O_ACCMODE) != O_WRONLY)
            rc = ac_file_attach(&s->base, fd, AC_BORROW);
    }
    s->reading = rc == 0;
    return rc;
}

/* Without white space at its ends; NULL: there is nothing else, or no memory. */
static char *take_line(struct source *s, const char *end, int *err)
{
    const char *line = s->data + s->at;
    size_t      len  = (size_t)(end - line);
    char       *copy;

    *err  = s->too_long || len > LINE_LONGEST ? -AC_ETOOLARGE : 0;
    s->at = (size_t)(end - s->data) + 1;
    if (s->at > s->len)
        s->at = s->len; /* the last one has no LF */
    if (*err < 0)
        len = 80; /* enough to know it by */
    s->too_long = false;
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    if (len == 0)
        return NULL;
    copy = malloc(len + 1);
    if (copy == NULL) {
        *err = -ENOMEM;
        return NULL;
    }
    memcpy(copy, line, len);
    copy[len] = '\0';
    if (memchr(copy, '\0', len) != NULL)
        *err = -AC_EURL;
    return copy;
}

char *source_next(struct source *s, int *err)
{
    *err = 0;
    if (s->argument_count > 0) {
        char *copy = strdup(*s->arguments);

        if (copy == NULL)
            *err = -ENOMEM;
        s->arguments++;
        s->argument_count--;
        return copy;
    }
    while (s->reading && *err == 0) {
        const char *end = find_line(s);
        char       *line;

        if (end == NULL && s->ended && s->at < s->len)
            end = s->data + s->len;
        if (end == NULL) {
            if (!s->ended)
                (void)ac_resume(&s->base);
            return NULL;
        }
        line = take_line(s, end, err);
        if (line != NULL)
            return line;
    }
    return NULL;
}

bool source_ended(const struct source *s)
{
    return s->argument_count == 0 && (!s->reading || (s->ended && s->at >= s->len));
}

void source_close(struct source *s)
{
    if (s->reading && !s->ended)
        ac_close(&s->base);
    s->ended          = true;
    s->at             = s->len;
    s->argument_count = 0;
}
