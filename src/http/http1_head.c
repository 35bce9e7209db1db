/* SPDX-License-Identifier: MIT */
/*
 * Heads and trailer sections of HTTP/1 (RFC 9112, sections 4, 5 and 7.1.2). Each byte is looked at
 * once, runs of names and values at a time; the state between two calls is a few offsets. What the
 * grammar allows is accepted, and nothing else: no lone LF as a line's end, no empty line before
 * the status line (section 2.2 lets servers skip it, not clients), no white space before a colon.
 */
#include "http1.h"

#include <errno.h>
#include <string.h>

/* --- characters --------------------------------------------------------------------------- */

/* `T`: a character of tokens (RFC 9110, 5.6.2); `V`: else one of values, TAB, SP, obs-text too. */
enum { V = 1, T = 3, TOKEN = 2 };

static const uint8_t kind_of[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0, /* TAB */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, V, T, V, T, T, T, T, T, V, V,
    T, T, V, T, T, V,                               /* SP ! " # $ % & ' ( ) * + , - . / */
    T, T, T, T, T, T, T, T, T, T, V, V, V, V, V, V, /* 0 to 9 : ; < = > ? */
    V, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* @ A to O */
    T, T, T, T, T, T, T, T, T, T, T, V, V, V, T, T, /* P to Z [ \ ] ^ _ */
    T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* ` a to o */
    T, T, T, T, T, T, T, T, T, T, T, V, T, V, T, 0, /* p to z { | } ~ DEL */
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
};

static bool is_a(char c, unsigned kind)
{
    return (kind_of[(unsigned char)c] & kind) != 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool ac__is_token(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_a(text[i], TOKEN))
            return false;
    return len > 0;
}

bool ac__is_field_value(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_a(text[i], V))
            return false;
    return true;
}

bool ac__token_is(const char *text, size_t len, const char *lower)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != lower[i] || c == '\0') /* the latter: `lower` ends here */
            return false;
    }
    return lower[len] == '\0';
}

/* --- the parser --------------------------------------------------------------------------- */

enum state {
    STATUS, /* in the part of the status line whose places are fixed */
    REASON,
    LINE_LF, /* behind the CR of the status line */
    LINE,    /* at the first byte of a line that is no folded one */
    NAME,
    SPACE, /* before a value */
    VALUE,
    VALUE_LF, /* behind the CR of a value */
    BEHIND,   /* at the first byte of the line behind a value, which may go on with the value */
    FOLD,     /* before the text of a folded line */
    END_LF,   /* behind the CR of the empty line */
    END
};

void ac__head_init(ac__head *h, ac__field *fields, uint32_t max_fields, bool trailers)
{
    *h = (ac__head){
        .fields     = fields,
        .max_fields = max_fields,
        .trailers   = trailers,
        .state      = trailers ? LINE : STATUS,
    };
}

/* Takes a byte of "HTTP/1.1 200" or what is behind it; its offset says what it has to be. */
static bool status_line(ac__head *h, char c)
{
    static const char version[] = "HTTP/1.";

    switch (h->at) {
    case 7:
        h->minor = c == '0' ? 0 : 1;
        h->at++;
        return is_digit(c);
    case 8:
        h->at++;
        return c == ' ';
    case 9: /* 100 to 599: other classes have no meaning, not even that of a final response */
        h->status = (uint16_t)(c - '0');
        h->at++;
        return c >= '1' && c <= '5';
    case 10:
    case 11:
        h->status = (uint16_t)(h->status * 10 + (c - '0'));
        h->at++;
        return is_digit(c);
    case 12:
        /* The SP is missing when there is no reason, with too many servers to refuse them. */
        h->state = REASON;
        if (c == ' ')
            h->at++;
        h->reason = h->at;
        return c == ' ' || c == '\r';
    default:
        return c == version[h->at++];
    }
}

/* Goes on with the reason: 0, or -AC_EPROTO. */
static int reason(ac__head *h, char *buf, uint32_t len)
{
    uint32_t at = h->at;

    while (at < len && is_a(buf[at], V))
        at++;
    h->at = at;
    if (at == len)
        return 0;
    if (buf[at] != '\r')
        return -AC_EPROTO;
    h->reason_len = at - h->reason;
    buf[at]       = '\0';
    h->at         = at + 1;
    h->state      = LINE_LF;
    return 0;
}

/* At the beginning of a line: a field, or the empty line. */
static int line(ac__head *h, char c)
{
    if (c == '\r') {
        h->at++;
        h->state = END_LF;
        return 0;
    }
    if (!is_a(c, TOKEN))
        return -AC_EPROTO;
    if (h->count == h->max_fields) {
        h->full = true;
        return -AC_ETOOLARGE;
    }
    h->fields[h->count].name = h->at;
    h->state                 = NAME;
    return 0;
}

static int name(ac__head *h, char *buf, uint32_t len)
{
    ac__field *f  = &h->fields[h->count];
    uint32_t   at = h->at;

    while (at < len && is_a(buf[at], TOKEN))
        at++;
    h->at = at;
    if (at == len)
        return 0;
    if (buf[at] != ':')
        return -AC_EPROTO;
    f->name_len = at - f->name;
    buf[at]     = '\0';
    h->at       = at + 1;
    h->state    = SPACE;
    return 0;
}

/* Skips white space before a value, or before the text of a folded line. */
static void space(ac__head *h, const char *buf, uint32_t len)
{
    while (h->at < len && is_space(buf[h->at]))
        h->at++;
    if (h->at == len)
        return;
    if (h->state == SPACE)
        h->mark = h->mark2 = h->at;
    h->state = VALUE;
}

/* Goes on with a value. Behind a fold its bytes move to where the value ends so far, `mark2`. */
static int value(ac__head *h, char *buf, uint32_t len)
{
    uint32_t from = h->at, at = from;

    while (at < len && is_a(buf[at], V))
        at++;
    if (h->mark2 != from)
        memmove(buf + h->mark2, buf + from, at - from);
    h->mark2 += at - from;
    h->at = at;
    if (at == len)
        return 0;
    if (buf[at] != '\r')
        return -AC_EPROTO;
    while (h->mark2 > h->mark && is_space(buf[h->mark2 - 1]))
        h->mark2--;
    h->at    = at + 1;
    h->state = VALUE_LF;
    return 0;
}

/* The line behind a value goes on with it (obs-fold, RFC 9112, 5.2), or the field is whole. */
static int behind(ac__head *h, char *buf)
{
    ac__field *f = &h->fields[h->count];

    if (is_space(buf[h->at])) {
        if (h->trailers)
            return -AC_EPROTO;
        if (h->mark2 > h->mark)
            buf[h->mark2++] = ' ';
        h->state = FOLD;
        return 0;
    }
    f->value      = h->mark;
    f->value_len  = h->mark2 - h->mark;
    buf[h->mark2] = '\0'; /* at the CR at the latest, which is used up */
    h->count++;
    h->state = LINE;
    return 0;
}

static int line_feed(ac__head *h, char c, enum state next)
{
    if (c != '\n')
        return -AC_EPROTO;
    h->at++;
    h->state = (uint8_t)next;
    return 0;
}

/* One step from a state, of one byte or a run of them: 0, or an error. */
static int step(ac__head *h, char *buf, uint32_t len)
{
    char c = buf[h->at];

    switch ((enum state)h->state) {
    case STATUS:
        return status_line(h, c) ? 0 : -AC_EPROTO;
    case REASON:
        return reason(h, buf, len);
    case LINE_LF:
        return line_feed(h, c, LINE);
    case LINE:
        return line(h, c);
    case NAME:
        return name(h, buf, len);
    case SPACE:
    case FOLD:
        space(h, buf, len);
        return 0;
    case VALUE:
        return value(h, buf, len);
    case VALUE_LF:
        return line_feed(h, c, BEHIND);
    case BEHIND:
        return behind(h, buf);
    default: /* END_LF; there is no step from END */
        return line_feed(h, c, END);
    }
}

ssize_t ac__head_parse(ac__head *h, char *buf, size_t len)
{
    h->full = false;
    if (len > UINT32_MAX)
        return -AC_ETOOLARGE;
    while (h->state != END) {
        int rc;

        if (h->at == len)
            return -EAGAIN;
        rc = step(h, buf, (uint32_t)len);
        if (rc < 0)
            return rc;
    }
    return (ssize_t)h->at;
}
