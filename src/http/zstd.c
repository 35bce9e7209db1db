/* SPDX-License-Identifier: MIT */
/*
 * zstd (RFC 8878): frames as one, until the input ends, with windows of at most 8 MiB (RFC 9659).
 *
 * The memory of its decoder, up to 8.7 MiB, is the C library's: taking it from elsewhere is a part
 * of its interface that a shared library does not promise to keep.
 */
#include "decoder.h"

#include "asyncore/base.h"

#include "../base/alloc.h"

#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { WINDOW_LOG = 23, MAGIC = 4 };

struct zstd {
    ac__decoder base;
    ZSTD_DCtx  *context;
    size_t      magic;   /* bytes seen of the frame's first ones */
    bool        inside;  /* a frame has begun, and not ended */
    bool        pending; /* output was left inside */
};

static struct zstd *self_of(ac__decoder *d)
{
    return (struct zstd *)(void *)d;
}

static void release(ac__decoder *d)
{
    struct zstd *self = self_of(d);

    (void)ZSTD_freeDCtx(self->context);
    ac__free(self);
}

static ac__decoder *make(ac__coding coding)
{
    struct zstd *self = ac__calloc(sizeof *self);

    (void)coding;
    if (self == NULL)
        return NULL;
    self->base.ops = &ac__zstd_ops;
    self->context  = ZSTD_createDCtx();
    if (self->context == NULL
        || ZSTD_isError(ZSTD_DCtx_setParameter(self->context, ZSTD_d_windowLogMax, WINDOW_LOG))) {
        release(&self->base);
        return NULL;
    }
    return &self->base;
}

/*
 * Whether this can begin a frame, behind the `magic` bytes that did. The library also reads formats
 * that were before the standard, and is not bound by the window's limit there.
 */
static bool begins_frame(size_t magic, const char *in, size_t len)
{
    static const unsigned char frame[MAGIC]     = {0x28, 0xb5, 0x2f, 0xfd};
    static const unsigned char skippable[MAGIC] = {0x50, 0x2a, 0x4d, 0x18};
    bool                       ok               = true;

    for (size_t i = magic; ok && i < MAGIC && i - magic < len; i++) {
        unsigned char byte = (unsigned char)in[i - magic];

        /* Half of a skippable one's first byte is free. Mixtures are refused by the library. */
        ok = byte == frame[i] || (i == 0 ? byte & 0xf0 : byte) == skippable[i];
    }
    return ok;
}

static ssize_t step(ac__decoder *d, const char **in, size_t *len, char *out, size_t room)
{
    struct zstd   *self = self_of(d);
    ZSTD_outBuffer to   = {out, room, 0};

    /* It takes calls without input or output to do for an error. */
    while ((*len > 0 || self->pending) && to.pos == 0) {
        ZSTD_inBuffer from = {*in, *len, 0};
        size_t        rc;

        if (!begins_frame(self->magic, *in, *len))
            return -AC_ECODING;
        rc = ZSTD_decompressStream(self->context, &to, &from);
        if (ZSTD_isError(rc))
            return ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation ? -ENOMEM : -AC_ECODING;
        *in += from.pos;
        *len -= from.pos;
        self->inside  = rc != 0; /* a call ends with the frame, so that the next is looked at too */
        self->pending = rc != 0 && to.pos == to.size;
        if (rc == 0)
            self->magic = 0;
        else if (self->magic < MAGIC)
            self->magic += from.pos;
    }
    return (ssize_t)to.pos;
}

static bool at_end(const ac__decoder *d)
{
    return !((const struct zstd *)(const void *)d)->inside;
}

const ac__decoder_ops ac__zstd_ops = {
    .make    = make,
    .release = release,
    .step    = step,
    .at_end  = at_end,
};
