/* SPDX-License-Identifier: MIT */
/*
 * br (RFC 7932). Its window is at most 16 MiB: larger ones are an extension, and refused. Nothing
 * may follow its end.
 */
#include "decoder.h"

#include "asyncore/base.h"

#include "../base/alloc.h"

#include <brotli/decode.h>
#include <errno.h>

struct brotli {
    ac__decoder         base;
    BrotliDecoderState *state;
    bool                ended;
};

static void *take(void *opaque, size_t len)
{
    (void)opaque;
    return ac__alloc(len);
}

static void give(void *opaque, void *ptr)
{
    (void)opaque;
    ac__free(ptr);
}

static struct brotli *self_of(ac__decoder *d)
{
    return (struct brotli *)(void *)d;
}

static void release(ac__decoder *d)
{
    struct brotli *self = self_of(d);

    if (self->state != NULL)
        BrotliDecoderDestroyInstance(self->state);
    ac__free(self);
}

static ac__decoder *make(ac__coding coding)
{
    struct brotli *self = ac__calloc(sizeof *self);

    (void)coding;
    if (self == NULL)
        return NULL;
    self->base.ops = &ac__brotli_ops;
    self->state    = BrotliDecoderCreateInstance(take, give, NULL);
    if (self->state == NULL) {
        release(&self->base);
        return NULL;
    }
    return &self->base;
}

/* The codes of the library that mean that memory ran out are a range of their own. */
static int error_of(const BrotliDecoderState *state)
{
    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(state);

    return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES
                   && code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES
               ? -ENOMEM
               : -AC_ECODING;
}

static ssize_t step(ac__decoder *d, const char **in, size_t *len, char *out, size_t room)
{
    struct brotli      *self = self_of(d);
    const uint8_t      *at   = (const uint8_t *)*in;
    uint8_t            *to   = (uint8_t *)out;
    size_t              left = room;
    BrotliDecoderResult result;

    if (self->ended)
        return *len > 0 ? -AC_ECODING : 0;
    result = BrotliDecoderDecompressStream(self->state, len, &at, &left, &to, NULL);
    *in    = (const char *)at;
    if (result == BROTLI_DECODER_RESULT_ERROR)
        return error_of(self->state);
    self->ended = result == BROTLI_DECODER_RESULT_SUCCESS;
    if (self->ended && *len > 0 && left == room)
        return -AC_ECODING;
    return (ssize_t)(room - left);
}

static bool at_end(const ac__decoder *d)
{
    return ((const struct brotli *)(const void *)d)->ended;
}

const ac__decoder_ops ac__brotli_ops = {
    .make    = make,
    .release = release,
    .step    = step,
    .at_end  = at_end,
};
