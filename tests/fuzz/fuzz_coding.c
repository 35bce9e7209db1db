/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target of the content codings. The first three bytes choose the coding, the pieces in
 * which the rest comes, and the room of the output. What comes in other pieces, or goes into other
 * room, must have the same result; what breaks a promise of the decoders is a crash.
 */
#include "asyncore/base.h"
#include "http/coding.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1024 * 1024 }; /* of output that is looked at */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char out[2][MOST];

static void require(bool truth)
{
    if (!truth)
        abort();
}

struct result {
    int    rc;
    size_t len;
    bool   stopped; /* made more than is looked at */
};

/* One piece: 0, or an error; `stopped` when there is more than enough. */
static int push(ac__decoder *d, const char *in, size_t len, size_t room, char *to, struct result *r)
{
    const char *end = in + len;

    for (;;) {
        const char *before = in;
        char        step[8192];
        ssize_t     n = ac__decoder_step(d, &in, &len, step, room);

        require(n <= (ssize_t)room && in >= before && in + len == end);
        require(n >= 0 || n == -AC_ECODING || n == -ENOMEM);
        require(n != 0 || len == 0);
        if (n <= 0)
            return (int)n;
        if ((size_t)n > MOST - r->len) {
            r->stopped = true;
            return 0;
        }
        memcpy(to + r->len, step, (size_t)n);
        r->len += (size_t)n;
    }
}

static struct result decode(ac__coding coding, const char *in, size_t len, size_t piece,
                            size_t room, char *to)
{
    struct result r = {0, 0, false};
    ac__decoder  *d = ac__decoder_new(coding);

    require(d != NULL);
    while (len > 0 && r.rc == 0 && !r.stopped) {
        size_t n    = piece < len ? piece : len;
        char  *copy = malloc(n); /* so that a byte too far is seen */

        require(copy != NULL);
        memcpy(copy, in, n);
        r.rc = push(d, copy, n, room, to, &r);
        free(copy);
        in += n;
        len -= n;
    }
    if (!r.stopped) {
        int end = ac__decoder_end(d);

        require(r.rc == 0 ? end == 0 || end == -AC_ETRUNCATED : end == r.rc);
        r.rc = end;
    }
    ac__decoder_free(d);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    ac__coding    coding, list[AC__CODINGS];
    size_t        piece, room, count = 0;
    struct result a, b;
    int           rc;

    rc = ac__codings_parse((const char *)data, len, list, &count);
    require(count <= AC__CODINGS && (rc == 0 || rc == -AC_ECODING));
    if (len < 3)
        return 0;
    coding = (ac__coding)(data[0] % 4);
    piece  = (size_t)data[1] + 1;
    room   = data[2] < 128 ? (size_t)data[2] + 1 : (size_t)(data[2] - 127) * 64;
    a      = decode(coding, (const char *)data + 3, len - 3, piece, room, out[0]);
    b      = decode(coding, (const char *)data + 3, len - 3, len, sizeof out[1] / 128, out[1]);
    if (a.stopped || b.stopped)
        return 0;
    /* Whether a zstd frame has the size that it claims is not looked at on every path. */
    require(a.rc == b.rc || coding == AC__ZSTD);
    /* Where the input is damaged, how much came out before depends on when that was noticed. */
    require(a.rc != 0 || b.rc != 0 || a.len == b.len);
    require(memcmp(out[0], out[1], a.len < b.len ? a.len : b.len) == 0);
    return 0;
}
