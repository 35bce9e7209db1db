/* SPDX-License-Identifier: MIT */
/*
 * gzip (RFC 1952) and deflate by zlib.
 *
 * A gzip body is members until the input ends; behind the last one padding of zero bytes is let
 * pass, and nothing else. "deflate" is the zlib format (RFC 1950), but some servers send the raw
 * one (RFC 1951): the first two bytes tell which it is. Nothing may follow it.
 */
#include "decoder.h"

#include "asyncore/base.h"

#include "../base/alloc.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <zlib.h>

enum { RAW = -15, ZLIB = 15, GZIP = 16 + 15 }; /* of inflateInit2() */

enum state {
    DETECT, /* of deflate: the first two bytes are not there yet */
    INSIDE,
    BETWEEN, /* a member has ended: another one, padding, or the end */
    PADDING,
    ENDED /* of deflate */
};

struct inflater {
    ac__decoder base;
    z_stream    z;
    enum state  state;
    bool        gzip, init;
    char        head[2]; /* of deflate: gathered first, and then its input */
    const char *head_at;
    size_t      held;
};

static void *take(void *opaque, uInt items, uInt size)
{
    (void)opaque;
    return size != 0 && items > SIZE_MAX / size ? NULL : ac__alloc((size_t)items * size);
}

static void give(void *opaque, void *ptr)
{
    (void)opaque;
    ac__free(ptr);
}

static struct inflater *self_of(ac__decoder *d)
{
    return (struct inflater *)(void *)d;
}

static void release(ac__decoder *d)
{
    struct inflater *self = self_of(d);

    if (self->init)
        (void)inflateEnd(&self->z);
    ac__free(self);
}

static int init(struct inflater *self, int bits)
{
    int rc = inflateInit2(&self->z, bits);

    self->init = rc == Z_OK;
    return rc == Z_OK ? 0 : -ENOMEM;
}

static ac__decoder *make(ac__coding coding)
{
    struct inflater *self = ac__calloc(sizeof *self);

    if (self == NULL)
        return NULL;
    self->base.ops = &ac__inflate_ops;
    self->z.zalloc = take;
    self->z.zfree  = give;
    self->gzip     = coding == AC__GZIP;
    self->state    = self->gzip ? INSIDE : DETECT;
    if (self->gzip && init(self, GZIP) < 0) {
        release(&self->base);
        return NULL;
    }
    return &self->base;
}

/* Runs zlib over the input: bytes made, or an error. The state is ENDED behind the end. */
static ssize_t inflate_some(struct inflater *self, const char **in, size_t *len, char *out,
                            size_t room)
{
    z_stream *z     = &self->z;
    uInt      given = *len < UINT_MAX ? (uInt)*len : UINT_MAX;
    uInt      space = room < UINT_MAX ? (uInt)room : UINT_MAX;
    int       rc;

    z->next_in   = (z_const Bytef *)(uintptr_t)*in;
    z->avail_in  = given;
    z->next_out  = (Bytef *)out;
    z->avail_out = space;
    rc           = inflate(z, Z_NO_FLUSH);
    *in += given - z->avail_in;
    *len -= given - z->avail_in;
    if (rc == Z_MEM_ERROR)
        return -ENOMEM;
    if (rc == Z_STREAM_END)
        self->state = self->gzip ? BETWEEN : ENDED;
    else if (rc != Z_OK && rc != Z_BUF_ERROR) /* Z_BUF_ERROR: no input, and no output left inside */
        return -AC_ECODING;                   /* Z_NEED_DICT too: nobody has agreed on one */
    return (ssize_t)(space - z->avail_out);
}

/* Gathers the first two bytes of deflate, and begins as they say. 1: begun; 0: more is needed. */
static int detect(struct inflater *self, const char **in, size_t *len)
{
    const unsigned char *h = (const unsigned char *)self->head;
    bool                 zlib;
    int                  rc;

    while (self->held < 2 && *len > 0) {
        self->head[self->held++] = *(*in)++;
        (*len)--;
    }
    if (self->held < 2)
        return 0;
    zlib = (h[0] & 0x0f) == Z_DEFLATED && h[0] >> 4 <= 7 && (h[0] * 256 + h[1]) % 31 == 0;
    rc   = init(self, zlib ? ZLIB : RAW);
    if (rc < 0)
        return rc;
    self->state   = INSIDE;
    self->head_at = self->head;
    return 1;
}

/* Behind a member of gzip: what the next byte begins. 0, or an error: nothing that may follow. */
static int next_member(struct inflater *self, char first)
{
    if (first == '\0') {
        self->state = PADDING;
        return 0;
    }
    self->state = INSIDE;
    return first == 0x1f && inflateReset(&self->z) == Z_OK ? 0 : -AC_ECODING;
}

static int skip_padding(const char **in, size_t *len)
{
    for (; *len > 0; (*in)++, (*len)--)
        if (**in != '\0')
            return -AC_ECODING;
    return 0;
}

static ssize_t step(ac__decoder *d, const char **in, size_t *len, char *out, size_t room)
{
    struct inflater *self = self_of(d);
    ssize_t          n    = 0;

    for (;;) {
        switch (self->state) {
        case DETECT:
            n = detect(self, in, len);
            if (n <= 0)
                return n;
            break;
        case INSIDE:
            if (self->held > 0)
                n = inflate_some(self, &self->head_at, &self->held, out, room);
            else
                n = inflate_some(self, in, len, out, room);
            if (n != 0 || (self->state == INSIDE && *len == 0 && self->held == 0))
                return n;
            break;
        case BETWEEN:
            if (*len == 0)
                return 0;
            n = next_member(self, **in);
            if (n < 0)
                return n;
            break;
        case PADDING:
            return skip_padding(in, len);
        case ENDED:
            return *len > 0 || self->held > 0 ? -AC_ECODING : 0;
        }
    }
}

static bool at_end(const ac__decoder *d)
{
    const struct inflater *self = (const struct inflater *)(const void *)d;

    return self->state == BETWEEN || self->state == PADDING
           || (self->state == ENDED && self->held == 0);
}

const ac__decoder_ops ac__inflate_ops = {
    .make    = make,
    .release = release,
    .step    = step,
    .at_end  = at_end,
};
