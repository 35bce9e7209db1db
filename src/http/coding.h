/* SPDX-License-Identifier: MIT */
/* Content codings (RFC 9110, 8.4): gzip, deflate, br, zstd, as streams. */
#ifndef AC__CODING_H
#define AC__CODING_H

#include "asyncore/base.h"

typedef enum ac__coding { AC__GZIP, AC__DEFLATE, AC__BROTLI, AC__ZSTD } ac__coding;

enum { AC__CODINGS = 2 }; /* at most, of one body */

/*
 * Adds the codings that one Content-Encoding value lists to `list`, which holds `*count` already.
 * "identity" and empty elements are skipped. 0, or -AC_ECODING: unknown, or too many.
 */
int ac__codings_parse(const char *value, size_t len, ac__coding list[AC__CODINGS], size_t *count);

typedef struct ac__decoder ac__decoder;

/* NULL: out of memory. Memory of the codecs comes from ac__alloc() too. */
ac__decoder *ac__decoder_new(ac__coding coding);
void         ac__decoder_free(ac__decoder *d);

/*
 * Decodes from *in, and moves *in and *len past what was used up, into at most `room` bytes at `out`.
 * Returns the bytes made: 0 with *len == 0 means that more input is needed. -AC_ECODING: damaged;
 * -ENOMEM. Output may be left inside when `room` was filled: call again, with *len 0 too.
 */
ssize_t ac__decoder_step(ac__decoder *d, const char **in, size_t *len, char *out, size_t room);

/* The input has ended: 0: it ended where the coding does, or there was none at all; -AC_ETRUNCATED. */
int ac__decoder_end(ac__decoder *d);

#endif
