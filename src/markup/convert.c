/* SPDX-License-Identifier: MIT */
/*
 * Bytes into UTF-8, piece by piece. UTF-8 is checked here; sets of single bytes go by a table that
 * iconv fills once; the others by iconv itself.
 */
#include "charsets.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

static const char unknown[] = "\xef\xbf\xbd"; /* U+FFFD */

/* --- strings that grow -------------------------------------------------------------------- */

static int reserve(ac__text *t, size_t more)
{
    return ac__grow(&t->data, &t->cap, t->len + more, 1);
}

int ac__text_add(ac__text *t, const char *data, size_t len)
{
    int rc = reserve(t, len);

    if (rc == 0 && len > 0) {
        memcpy(t->data + t->len, data, len);
        t->len += len;
    }
    return rc;
}

void ac__text_drop(ac__text *t, size_t len)
{
    t->len -= len;
    if (len > 0 && t->len > 0)
        memmove(t->data, t->data + len, t->len);
}

void ac__text_free(ac__text *t)
{
    ac__free(t->data);
    *t = (ac__text){.data = NULL};
}

/* The same where room was reserved. */
static void put(ac__text *t, const void *data, size_t len)
{
    memcpy(t->data + t->len, data, len);
    t->len += len;
}

/* --- UTF-8 -------------------------------------------------------------------------------- */

int ac__utf8_step(ac__converter *c, unsigned char b)
{
    if (c->held_len == c->want) { /* a new character */
        c->held_len = c->want = 0;
        c->low                = 0x80;
        c->top                = 0xbf;
        if (b >= 0xc2 && b <= 0xdf) {
            c->want = 2;
        } else if (b >= 0xe0 && b <= 0xef) {
            c->want = 3;
            if (b == 0xe0)
                c->low = 0xa0; /* no longer form than needed */
            else if (b == 0xed)
                c->top = 0x9f; /* no surrogates */
        } else if (b >= 0xf0 && b <= 0xf4) {
            c->want = 4;
            if (b == 0xf0)
                c->low = 0x90;
            else if (b == 0xf4)
                c->top = 0x8f; /* nothing above U+10FFFF */
        } else if (b >= 0x80) {
            return -1;
        } else {
            return 1;
        }
        c->held[c->held_len++] = b;
        return 0;
    }
    if (b < c->low || b > c->top) {
        c->held_len = c->want = 0;
        return -2;
    }
    c->low                 = 0x80;
    c->top                 = 0xbf;
    c->held[c->held_len++] = b;
    return c->held_len == c->want;
}

static void run_utf8(ac__converter *c, const char *data, size_t len, ac__text *out)
{
    const char *end = data + len;

    while (data < end) {
        unsigned char b = (unsigned char)*data;
        int           rc;

        if (c->held_len == c->want && b < 0x80) {
            const char *run = data;

            while (data < end && (unsigned char)(*data - 1) < 0x7f) /* ASCII but NUL */
                data++;
            put(out, run, (size_t)(data - run));
            if (data < end && *data == '\0') {
                put(out, unknown, 3);
                data++;
            }
            continue;
        }
        rc = ac__utf8_step(c, b);
        if (rc == 1) {
            put(out, c->held, c->held_len);
            c->held_len = c->want = 0;
        } else if (rc < 0) {
            put(out, unknown, 3);
        }
        data += rc != -2;
    }
}

/* --- single bytes ------------------------------------------------------------------------- */

/* The code point that iconv makes of one byte: -1: none; -2: it is the beginning of more. */
static int32_t decode_byte(iconv_t cd, unsigned char byte)
{
    char     in  = (char)byte;
    char    *inp = &in;
    uint32_t out[2];
    char    *outp     = (char *)out;
    size_t   in_left  = 1;
    size_t   out_left = sizeof out;
    size_t   rc;

    (void)iconv(cd, NULL, NULL, NULL, NULL);
    rc = iconv(cd, &inp, &in_left, &outp, &out_left);
    if (rc == (size_t)-1)
        return errno == EINVAL ? -2 : -1;
    /* Some keep a character back until the next one shows whether they combine. */
    (void)iconv(cd, NULL, NULL, &outp, &out_left);
    return out_left == sizeof out - 4 ? (int32_t)out[0] : -2;
}

static int open_iconv(const char *to, const char *from, iconv_t *cd)
{
    *cd = iconv_open(to, from);
    if (*cd == (iconv_t)-1) /* NOLINT: the interface's own form of failure */
        return errno == ENOMEM ? -ENOMEM : -ENOSYS;
    return 0;
}

/* windows-1252, which pages without a word about it are in, needs nothing that is installed. */
static const uint16_t latin_high[32] = {
    0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
    0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178,
};

/* The upper half of a set of single bytes; 0 where there is no character. */
static int fill_high(const ac__charset *charset, uint16_t high[128])
{
    bool    windows = strncmp(charset->name, "CP", 2) == 0;
    iconv_t cd;
    int     rc;

    if (strcmp(charset->name, "CP1252") == 0) {
        for (unsigned i = 0; i < 128; i++)
            high[i] = i < 32 ? latin_high[i] : (uint16_t)(i + 0x80);
        return 0;
    }
    rc = open_iconv("UCS-4LE", charset->name, &cd);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < 128; i++) {
        int32_t c = decode_byte(cd, (unsigned char)(0x80 + i));

        /* The standard makes controls of what the windows sets leave out. */
        if (c < 0 && windows && i < 32)
            c = (int32_t)(0x80 + i);
        high[i] = c > 0 && c < 0xffff ? (uint16_t)c : 0;
    }
    (void)iconv_close(cd);
    return 0;
}

int ac__charset_table(const char *label, int table[256])
{
    const ac__charset *charset = ac__charset_find(label, strlen(label));
    uint16_t           high[128];
    int                rc;

    if (charset == NULL || charset->kind != AC__CS_SINGLE)
        return -ENOSYS;
    rc = fill_high(charset, high);
    for (int i = 0; i < 256 && rc == 0; i++)
        table[i] = i < 128 ? i : high[i - 128] != 0 ? high[i - 128] : -1;
    return rc;
}

static void run_single(const ac__converter *c, const char *data, size_t len, ac__text *out)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char b = (unsigned char)data[i];
        unsigned      u = b < 0x80 ? b : c->high[b - 0x80];
        char          utf8[3];

        if (u == 0) {
            put(out, unknown, 3);
        } else if (u < 0x80) {
            out->data[out->len++] = (char)u;
        } else if (u < 0x800) {
            utf8[0] = (char)(0xc0 | u >> 6);
            utf8[1] = (char)(0x80 | (u & 0x3f));
            put(out, utf8, 2);
        } else {
            utf8[0] = (char)(0xe0 | u >> 12);
            utf8[1] = (char)(0x80 | (u >> 6 & 0x3f));
            utf8[2] = (char)(0x80 | (u & 0x3f));
            put(out, utf8, 3);
        }
    }
}

/* --- iconv -------------------------------------------------------------------------------- */

/* Converts as far as whole characters go. What is left is the beginning of one. */
static int run_some(ac__converter *c, char **in, size_t *len, ac__text *out)
{
    while (*len > 0) {
        char  *at   = out->data + out->len;
        size_t room = out->cap - out->len;
        size_t rc   = iconv(c->cd, in, len, &at, &room);
        int    why  = errno;
        size_t step;

        out->len = out->cap - room;
        if (rc != (size_t)-1)
            continue;
        if (why == EINVAL)
            return 0;
        /* Room for U+FFFD in both cases: 3 bytes out for each byte in, and a reserve. */
        if (reserve(out, 3 * *len + 64) < 0)
            return -ENOMEM;
        if (why == E2BIG)
            continue;
        put(out, unknown, 3);
        step = c->charset->kind == AC__CS_WIDE && *len > 1 ? 2 : 1;
        *in += step;
        *len -= step;
    }
    return 0;
}

/* Gives the bytes at `data` to what is held, one by one, until it is a character. */
static int run_held(ac__converter *c, const char **data, size_t *len, ac__text *out)
{
    while (c->held_len > 0 && *len > 0) {
        char   buf[sizeof c->held];
        char  *in = buf;
        size_t left;

        c->held[c->held_len++] = (unsigned char)*(*data)++;
        (*len)--;
        left = c->held_len;
        memcpy(buf, c->held, left);
        if (run_some(c, &in, &left, out) < 0)
            return -ENOMEM;
        if (left == sizeof c->held) { /* no character is so long */
            if (reserve(out, 3) < 0)
                return -ENOMEM;
            put(out, unknown, 3);
            in++;
            left--;
        }
        memcpy(c->held, in, left);
        c->held_len = left;
    }
    return 0;
}

/* NUL, which parsers take for the end of a string, becomes U+FFFD from `from` on. */
static int replace_nuls(ac__text *out, size_t from)
{
    size_t nuls = 0, to;

    for (size_t i = from; i < out->len; i++)
        nuls += out->data[i] == '\0';
    if (nuls == 0)
        return 0;
    if (reserve(out, 2 * nuls) < 0)
        return -ENOMEM;
    to = out->len + 2 * nuls;
    for (size_t i = out->len; i-- > from;) {
        if (out->data[i] != '\0') {
            out->data[--to] = out->data[i];
        } else {
            to -= 3;
            memcpy(out->data + to, unknown, 3);
        }
    }
    out->len += 2 * nuls;
    return 0;
}

static int run_iconv(ac__converter *c, const char *data, size_t len, bool last, ac__text *out)
{
    size_t from = out->len;
    /* iconv() does not write to it, whatever its parameter says. */
    char *in;
    int   rc = run_held(c, &data, &len, out);

    memcpy(&in, &data, sizeof in);
    if (rc == 0)
        rc = run_some(c, &in, &len, out);
    if (rc < 0)
        return rc;
    if (len > sizeof c->held - 1)
        len = sizeof c->held - 1; /* cannot be: no beginning of a character is so long */
    if (len > 0) {
        memcpy(c->held, in, len);
        c->held_len = len;
    }
    if (last) {
        char  *at;
        size_t room;

        if (reserve(out, 32) < 0)
            return -ENOMEM;
        if (c->held_len > 0)
            put(out, unknown, 3);
        c->held_len = 0;
        at          = out->data + out->len;
        room        = out->cap - out->len;
        (void)iconv(c->cd, NULL, NULL, &at, &room); /* what waited for a combining character */
        out->len = out->cap - room;
    }
    return replace_nuls(out, from);
}

/* --- entries ------------------------------------------------------------------------------ */

int ac__converter_open(ac__converter *c, const ac__charset *charset)
{
    int rc = 0;

    memset(c, 0, sizeof *c);
    c->charset = charset;
    if (charset->kind == AC__CS_SINGLE)
        rc = fill_high(charset, c->high);
    else if (charset->kind != AC__CS_UTF8)
        rc = open_iconv("UTF-8", charset->name, &c->cd);
    c->open = rc == 0;
    return rc;
}

void ac__converter_close(ac__converter *c)
{
    if (c->open && c->charset->kind != AC__CS_UTF8 && c->charset->kind != AC__CS_SINGLE)
        (void)iconv_close(c->cd);
    c->open = false;
}

int ac__converter_run(ac__converter *c, const char *data, size_t len, bool last, ac__text *out)
{
    /* No byte makes more than 3, and what is held was counted as nothing. */
    if (reserve(out, 3 * len + 64) < 0)
        return -ENOMEM;
    if (c->charset->kind == AC__CS_SINGLE) {
        run_single(c, data, len, out);
        return 0;
    }
    if (c->charset->kind != AC__CS_UTF8)
        return run_iconv(c, data, len, last, out);
    run_utf8(c, data, len, out);
    if (last && c->held_len > 0) {
        put(out, unknown, 3);
        c->held_len = c->want = 0;
    }
    return 0;
}
