/* SPDX-License-Identifier: MIT */
/*
 * What a content coding does. coding.c stands before it: a decoder that failed is not asked again,
 * and each step comes with room, and with input where the decoder needs some.
 */
#ifndef AC__DECODER_H
#define AC__DECODER_H

#include "coding.h"

typedef struct ac__decoder_ops {
    ac__decoder *(*make)(ac__coding coding);
    void (*release)(ac__decoder *d); /* all of it, the structure too */
    ssize_t (*step)(ac__decoder *d, const char **in, size_t *len, char *out, size_t room);
    bool (*at_end)(const ac__decoder *d); /* the input may end here */
} ac__decoder_ops;

/* The first member of every decoder. */
struct ac__decoder {
    const ac__decoder_ops *ops;
    int                    err;   /* what it failed with */
    bool                   begun; /* has seen a byte */
};

extern const ac__decoder_ops ac__inflate_ops, ac__brotli_ops, ac__zstd_ops;

#endif
