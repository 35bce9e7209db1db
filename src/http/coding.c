/* SPDX-License-Identifier: MIT */
/* Content-Encoding as a list, and what all decoders have in common. */
#include "coding.h"

#include "asyncore/base.h"
#include "decoder.h"

#include <string.h>
#include <strings.h>

/* --- the list ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    ac__coding  coding;
} names[] = {
    {"gzip", AC__GZIP},       {"x-gzip", AC__GZIP}, /* the same (RFC 9110, 8.4.1.3) */
    {"deflate", AC__DEFLATE}, {"br", AC__BROTLI},   {"zstd", AC__ZSTD},
};

static bool is_name(const char *text, size_t len, const char *name)
{
    return len == strlen(name) && strncasecmp(text, name, len) == 0;
}

static int add(const char *text, size_t len, ac__coding list[AC__CODINGS], size_t *count)
{
    if (len == 0 || is_name(text, len, "identity"))
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!is_name(text, len, names[i].name))
            continue;
        if (*count >= AC__CODINGS)
            return -AC_ECODING;
        list[(*count)++] = names[i].coding;
        return 0;
    }
    return -AC_ECODING;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

int ac__codings_parse(const char *value, size_t len, ac__coding list[AC__CODINGS], size_t *count)
{
    size_t at = 0;

    while (at < len) {
        size_t start = at, end;
        int    rc;

        while (at < len && value[at] != ',')
            at++;
        end = at++; /* behind the comma */
        while (start < end && is_space(value[start]))
            start++;
        while (end > start && is_space(value[end - 1]))
            end--;
        rc = add(value + start, end - start, list, count);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- decoders ------------------------------------------------------------------------------- */

ac__decoder *ac__decoder_new(ac__coding coding)
{
    switch (coding) {
    case AC__GZIP:
    case AC__DEFLATE:
        return ac__inflate_ops.make(coding);
    case AC__BROTLI:
        return ac__brotli_ops.make(coding);
    case AC__ZSTD:
        return ac__zstd_ops.make(coding);
    }
    return NULL;
}

void ac__decoder_free(ac__decoder *d)
{
    if (d != NULL)
        d->ops->release(d);
}

ssize_t ac__decoder_step(ac__decoder *d, const char **in, size_t *len, char *out, size_t room)
{
    ssize_t n;

    if (d->err < 0)
        return d->err;
    if (*len > 0)
        d->begun = true;
    if (!d->begun || room == 0)
        return 0;
    n = d->ops->step(d, in, len, out, room);
    if (n < 0)
        d->err = (int)n;
    return n;
}

int ac__decoder_end(ac__decoder *d)
{
    if (d->err < 0)
        return d->err;
    return !d->begun || d->ops->at_end(d) ? 0 : -AC_ETRUNCATED;
}
