/* SPDX-License-Identifier: MIT */
/*
 * Bodies of requests that come from a file. A regular one is read in pieces, by each request from
 * its beginning; anything else is a stream that can be sent once, as it comes.
 */
#include "get.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };

/* --- regular files ------------------------------------------------------------------------ */

static ssize_t more_of_file(void *context, const void **data)
{
    struct upload_reader *r = context;
    ssize_t               n;

    if (r->piece == NULL && (r->piece = malloc(PIECE)) == NULL)
        return -ENOMEM;
    do
        n = pread(r->upload->fd - 1, r->piece, PIECE, r->at);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    r->at += n;
    *data = r->piece;
    return n;
}

static int rewind_file(void *context)
{
    struct upload_reader *r = context;

    r->at = 0;
    return 0;
}

/* --- streams ------------------------------------------------------------------------------ */

/* The request that waits, if it has not ended or become another one meanwhile. */
static void tell(struct upload *u)
{
    if (u->waiting != NULL)
        (void)ac_http_body_ready(transfer_request(u->waiting));
}

static void handle_read(ac_dispatcher *d)
{
    struct upload *u = AC_SELF(struct upload, d);
    ssize_t        n;

    if (u->len == 0) {
        n      = ac_recv(d, u->data, PIECE);
        u->len = n > 0 ? (size_t)n : 0;
    }
    if (u->len > 0) {
        (void)ac_pause(d);
        tell(u);
    }
}

static void handle_close(ac_dispatcher *d)
{
    struct upload *u = AC_SELF(struct upload, d);

    u->ended = true;
    u->err   = ac_error(d);
    ac_close(d);
    tell(u);
}

static void handle_error(ac_dispatcher *d, int err)
{
    (void)d; /* handle_close asks for it */
    (void)err;
}

static const ac_class upload_class = {
    .name         = "Upload",
    .handle_read  = handle_read,
    .handle_error = handle_error,
    .handle_close = handle_close,
};

static ssize_t more_of_stream(void *context, const void **data)
{
    struct upload_reader *r = context;
    struct upload        *u = r->upload;

    if (u->held > 0) { /* the last piece is sent */
        u->held = u->len = 0;
        if (!u->ended)
            (void)ac_resume(&u->base);
    }
    if (u->len > 0) {
        *data   = u->data;
        u->held = u->len;
        return (ssize_t)u->len;
    }
    if (u->ended)
        return u->err;
    u->waiting = r->transfer;
    return -EAGAIN;
}

/* --- both --------------------------------------------------------------------------------- */

static int open_it(struct upload *u, const char *name)
{
    int         fd = descriptor_of(name, 0);
    struct stat st;

    fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    u->fd = fd + 1;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    u->regular = S_ISREG(st.st_mode);
    u->size    = st.st_size;
    return 0;
}

int upload_open(struct upload *u, ac_loop *loop, const char *name)
{
    int rc = open_it(u, name);

    if (rc < 0 || u->regular)
        return rc;
    u->data = malloc(PIECE);
    if (u->data == NULL)
        return -ENOMEM;
    rc = ac_init(&u->base, loop, &upload_class);
    return rc == 0 ? ac_file_attach(&u->base, u->fd - 1, AC_BORROW) : rc;
}

void upload_close(struct upload *u)
{
    if (u->base.loop != NULL)
        ac_close(&u->base);
    if (u->fd > 0)
        (void)close(u->fd - 1);
    u->fd = 0;
}

void upload_body(struct upload_reader *r, ac_http_body *body)
{
    r->at = 0;
    *body = (ac_http_body){.context = r};
    if (r->upload->regular) {
        body->len    = r->upload->size;
        body->more   = more_of_file;
        body->rewind = rewind_file;
    } else {
        body->len  = -1;
        body->more = more_of_stream;
    }
}
