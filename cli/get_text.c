/* SPDX-License-Identifier: MIT */
/* Texts that grow, and what a peer says made safe: for a terminal, for JSON, for a reader. */
#include "get.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A NUL in the first bytes of a body makes it binary. */
enum { LOOK_FOR_NUL = 4096 };

void text_free(struct text *t)
{
    free(t->data);
    *t = (struct text){.data = NULL};
}

static bool reserve(struct text *t, size_t more)
{
    size_t cap = t->cap > 0 ? t->cap : 256;
    char  *data;

    if (t->failed)
        return false;
    while (cap < t->len + more + 1)
        cap *= 2;
    if (cap == t->cap)
        return true;
    data = realloc(t->data, cap);
    if (data == NULL) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->cap  = cap;
    return true;
}

void text_add(struct text *t, const char *data, size_t len)
{
    if (!reserve(t, len))
        return;
    memcpy(t->data + t->len, data, len);
    t->len += len;
    t->data[t->len] = '\0';
}

void text_puts(struct text *t, const char *string)
{
    text_add(t, string, strlen(string));
}

void text_printf(struct text *t, const char *format, ...)
{
    char    buf[512];
    va_list args;
    int     n;

    va_start(args, format);
    n = vsnprintf(buf, sizeof buf, format, args);
    va_end(args);
    if (n > 0)
        text_add(t, buf, (size_t)n < sizeof buf ? (size_t)n : sizeof buf - 1);
}

/* --- UTF-8 -------------------------------------------------------------------------------- */

enum { NOT_WHOLE = -1, NOT_UTF8 = -2 };

/* The length of the character at `p`, and the character; NOT_WHOLE: it may go on behind `len`. */
static int decode(const unsigned char *p, size_t len, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t              c       = p[0];
    size_t need = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

    if (need == 0)
        return NOT_UTF8;
    if (need > 1)
        c &= 0xffu >> (need + 1);
    for (size_t i = 1; i < need; i++) {
        if (i >= len)
            return NOT_WHOLE;
        if ((p[i] & 0xc0) != 0x80)
            return NOT_UTF8;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[need] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return NOT_UTF8;
    *out = c;
    return (int)need;
}

/* What changes the direction or the look of the text around it, or cannot be seen. */
static bool is_hidden(uint32_t c)
{
    return c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e)
           || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb)
           || (c >= 0xe0000 && c <= 0xe007f);
}

size_t text_character(const char *p, size_t left, bool *plain)
{
    uint32_t c = 0;
    int      n = decode((const unsigned char *)p, left, &c);

    *plain = n > 0 && c >= 0x20 && (c < 0x7f || c > 0x9f) && !is_hidden(c);
    return n > 0 ? (size_t)n : 1;
}

static void add_character(struct text *t, const char *bytes, int len, uint32_t c)
{
    if (c < 0x20 || c == 0x7f)
        text_printf(t, "^%c", (char)(c ^ 0x40));
    else if ((c >= 0x80 && c < 0xa0) || is_hidden(c))
        text_printf(t, c > 0xffff ? "\\u{%x}" : "\\u%04x", (unsigned)c);
    else
        text_add(t, bytes, (size_t)len);
}

/* Adds what is whole; returns the bytes left over, which a next piece may complete. */
static size_t add_shown(struct text *t, const char *data, size_t len, bool lines)
{
    size_t at = 0, plain = 0;

    while (at < len) {
        unsigned char first = (unsigned char)data[at];
        uint32_t      c;
        int           n;

        if ((first >= 0x20 && first < 0x7f) || (lines && (first == '\n' || first == '\t'))) {
            at++;
            continue;
        }
        text_add(t, data + plain, at - plain);
        n = decode((const unsigned char *)data + at, len - at, &c);
        if (n == NOT_WHOLE)
            return len - at;
        if (n == NOT_UTF8)
            text_puts(t, "\\ufffd");
        else
            add_character(t, data + at, n, c);
        at += n > 0 ? (size_t)n : 1;
        plain = at;
    }
    text_add(t, data + plain, at - plain);
    return 0;
}

void text_shown(struct text *t, const char *data, size_t len)
{
    if (add_shown(t, data, len, false) > 0)
        text_puts(t, "\\ufffd");
}

int text_body(struct text *t, struct shown *state, const char *data, size_t len)
{
    size_t look = LOOK_FOR_NUL - state->looked;

    if (look > len)
        look = len;
    if (memchr(data, '\0', look) != NULL)
        return -EILSEQ;
    state->looked += look;
    while (state->len > 0 && len > 0) {
        uint32_t c;
        int      n;

        state->part[state->len++] = *data++;
        len--;
        n = decode((const unsigned char *)state->part, state->len, &c);
        if (n == NOT_WHOLE)
            continue;
        if (n == NOT_UTF8) { /* what broke it may begin another one */
            text_puts(t, "\\ufffd");
            data--;
            len++;
        } else {
            add_character(t, state->part, n, c);
        }
        state->len = 0;
    }
    if (len > 0) {
        state->len = add_shown(t, data, len, true);
        memcpy(state->part, data + len - state->len, state->len);
    }
    return t->failed ? -ENOMEM : 0;
}

void text_body_end(struct text *t, struct shown *state)
{
    if (state->len > 0)
        text_puts(t, "\\ufffd");
    state->len = 0;
}

/* --- JSON --------------------------------------------------------------------------------- */

void text_json(struct text *t, const char *string)
{
    size_t len = string != NULL ? strlen(string) : 0;

    if (string == NULL) {
        text_puts(t, "null");
        return;
    }
    text_puts(t, "\"");
    for (size_t at = 0; at < len;) {
        uint32_t c = 0;
        int      n = decode((const unsigned char *)string + at, len - at, &c);

        if (n < 0)
            text_puts(t, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\')
            text_printf(t, "\\%c", (char)c);
        else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
            text_printf(t, "\\u%04x", (unsigned)c);
        else
            text_add(t, string + at, (size_t)n);
        at += n > 0 ? (size_t)n : 1;
    }
    text_puts(t, "\"");
}

/* --- credentials -------------------------------------------------------------------------- */

char *url_without_user(const char *url)
{
    size_t len  = strlen(url);
    size_t from = strcspn(url, ":"), end, at;
    char  *copy = malloc(len + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, url, len + 1);
    if (from == len)
        return copy;
    from++;
    from += strspn(url + from, "/\\ \t\r\n");
    end = from + strcspn(url + from, "/\\?#");
    for (at = end; at > from && url[at - 1] != '@';)
        at--;
    if (at > from)
        memmove(copy + from, copy + at, len - at + 1);
    return copy;
}
