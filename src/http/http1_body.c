/* SPDX-License-Identifier: MIT */
/*
 * Where the body of a response ends (RFC 9112, 6.3 and 7.1): how it is framed, and its framing
 * taken off. Bytes of the body are never copied.
 */
#include "http1.h"

#include <string.h>

enum { SIZE_LINE_MAX = 4096 }; /* without its CRLF; extensions mean nothing to us */

/* --- lists -------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* The next element of a list (RFC 9110, 5.6.1) that is not empty; *at goes on. False: no more. */
static bool next_element(const char **at, const char *end, const char **element, size_t *len)
{
    const char *from = *at, *to;

    while (from < end && (is_space(*from) || *from == ','))
        from++;
    if (from == end)
        return false;
    to = memchr(from, ',', (size_t)(end - from));
    if (to == NULL)
        to = end;
    *at = to;
    while (is_space(to[-1]))
        to--;
    *element = from;
    *len     = (size_t)(to - from);
    return true;
}

/* What the fields of one name list, taken together. */
struct listed {
    size_t fields, elements; /* how many there are */
    size_t first, second;    /* how many of them are this word */
};

static struct listed read_lists(const ac__head *h, const char *buf, const char *name,
                                const char *first, const char *second)
{
    struct listed l = {0};

    for (uint32_t i = 0; i < h->count; i++) {
        const ac__field *f  = &h->fields[i];
        const char      *at = buf + f->value, *end = at + f->value_len, *element;
        size_t           len;

        if (!ac__token_is(buf + f->name, f->name_len, name))
            continue;
        l.fields++;
        while (next_element(&at, end, &element, &len)) {
            l.elements++;
            l.first += ac__token_is(element, len, first);
            l.second += ac__token_is(element, len, second);
        }
    }
    return l;
}

/* --- framing ------------------------------------------------------------------------------ */

/* Reads 1*DIGIT up to 2^63-1; -1: it is not that. */
static int64_t read_length(const char *text, size_t len)
{
    int64_t value = len > 0 ? 0 : -1;

    for (size_t i = 0; i < len; i++) {
        int digit = text[i] - '0';

        if (digit < 0 || digit > 9 || value > (INT64_MAX - digit) / 10)
            return -1;
        value = value * 10 + digit;
    }
    return value;
}

/* How many Content-Length fields there are; *length is the value of the last one, -1: malformed. */
static size_t content_length(const ac__head *h, const char *buf, int64_t *length)
{
    size_t count = 0;

    *length = -1;
    for (uint32_t i = 0; i < h->count; i++) {
        const ac__field *f = &h->fields[i];

        if (ac__token_is(buf + f->name, f->name_len, "content-length")) {
            count++;
            *length = read_length(buf + f->value, f->value_len);
        }
    }
    return count;
}

int ac__framing_of(const ac__head *h, const char *buf, bool head_request, ac__framing *framing,
                   int64_t *length)
{
    int64_t       value;
    size_t        lengths = content_length(h, buf, &value);
    struct listed te      = read_lists(h, buf, "transfer-encoding", "chunked", "");

    *length = -1;
    if (head_request || h->status < 200 || h->status == 204 || h->status == 304) {
        *framing = AC__NO_BODY;
        if (lengths == 1 && te.fields == 0 && h->status >= 200 && h->status != 204)
            *length = value;
        return 0;
    }
    if (te.fields > 0) {
        /* Not even a sole chunked below 1.1: what sent it may not know what it means. */
        if (lengths > 0 || h->minor == 0 || te.elements != 1 || te.first != 1)
            return -AC_EPROTO;
        *framing = AC__CHUNKED;
        return 0;
    }
    if (lengths == 0) {
        *framing = AC__UNTIL_CLOSE;
        return 0;
    }
    if (lengths > 1 || value < 0)
        return -AC_EPROTO;
    *framing = AC__BY_LENGTH;
    *length  = value;
    return 0;
}

bool ac__persists(const ac__head *h, const char *buf)
{
    struct listed c = read_lists(h, buf, "connection", "close", "keep-alive");

    return c.first == 0 && (h->minor > 0 || c.second > 0);
}

bool ac__announces_body(const ac__head *h, const char *buf)
{
    int64_t value;
    size_t  lengths = content_length(h, buf, &value);

    return lengths > 1 || (lengths == 1 && value != 0)
           || read_lists(h, buf, "transfer-encoding", "", "").fields > 0;
}

/* --- chunks ------------------------------------------------------------------------------- */

enum state {
    SIZE_FIRST, /* at the first digit of a size line */
    SIZE,
    EXT,        /* white space; a semicolon has to come */
    NAME_FIRST, /* behind a semicolon; the name of an extension has to come */
    NAME,
    NAME_SPACE, /* behind a name and white space: a semicolon or an equals sign */
    TEXT_FIRST, /* behind an equals sign; a value has to come */
    TEXT,
    QUOTED,
    ESCAPED,
    QUOTED_END, /* behind the closing quote */
    SIZE_LF,    /* behind the CR of the size line */
    DATA,
    DATA_CR, /* behind the data */
    DATA_LF,
    BAD
};

void ac__body_init(ac__body *b, ac__framing framing, int64_t length)
{
    *b = (ac__body){.framing = framing, .left = -1};
    if (framing == AC__BY_LENGTH) {
        b->left = length;
        b->done = length == 0;
    } else if (framing == AC__CHUNKED) {
        b->left = 0;
    } else {
        b->done = framing == AC__NO_BODY;
    }
}

/* The value of a digit, also hexadecimal, or -1. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Takes a digit into the size. */
static enum state size_digit(ac__body *b, int digit)
{
    if (b->left > INT64_MAX >> 4)
        return BAD;
    b->left = b->left << 4 | digit;
    return SIZE;
}

/* The state behind something that another extension or the line's end may follow. */
static enum state behind(char c)
{
    if (c == ';')
        return NAME_FIRST;
    if (c == '\r')
        return SIZE_LF;
    return is_space(c) ? EXT : BAD;
}

/* The state behind a byte of extensions (RFC 9112, 7.1.1). */
static enum state extension(enum state state, char c)
{
    const bool token = ac__is_token(&c, 1);

    switch (state) {
    case NAME_FIRST:
        if (token)
            return NAME;
        return is_space(c) ? NAME_FIRST : BAD;
    case NAME:
    case NAME_SPACE:
        if (token && state == NAME)
            return NAME;
        if (c == '=')
            return TEXT_FIRST;
        if (is_space(c))
            return NAME_SPACE;
        return c == '\r' && state == NAME_SPACE ? BAD : behind(c);
    case TEXT_FIRST:
        if (c == '"')
            return QUOTED;
        if (token)
            return TEXT;
        return is_space(c) ? TEXT_FIRST : BAD;
    case TEXT:
        return token ? TEXT : behind(c);
    case QUOTED:
        if (c == '"')
            return QUOTED_END;
        if (c == '\\')
            return ESCAPED;
        return ac__is_field_value(&c, 1) ? QUOTED : BAD;
    case ESCAPED:
        return ac__is_field_value(&c, 1) ? QUOTED : BAD;
    case QUOTED_END:
        return behind(c);
    default: /* EXT: white space with nothing behind it is in no rule of the grammar */
        return c == '\r' ? BAD : behind(c);
    }
}

/* The state behind a byte of framing. */
static enum state framing_byte(ac__body *b, char c)
{
    const enum state state = (enum state)b->state;
    const int        digit = hex_digit(c);

    switch (state) {
    case SIZE_FIRST:
        return digit >= 0 ? size_digit(b, digit) : BAD;
    case SIZE:
        return digit >= 0 ? size_digit(b, digit) : behind(c);
    case SIZE_LF:
        if (c != '\n')
            return BAD;
        b->line = 0;
        b->done = b->left == 0;
        return DATA;
    case DATA_CR:
        return c == '\r' ? DATA_LF : BAD;
    case DATA_LF:
        return c == '\n' ? SIZE_FIRST : BAD;
    case BAD:
        return BAD;
    default:
        return extension(state, c);
    }
}

/* Takes framing up to the next byte of data: bytes used up, or an error. */
static ssize_t take_framing(ac__body *b, const char *buf, size_t len)
{
    size_t at = 0;

    while (at < len && b->state != DATA) {
        if (b->state < SIZE_LF && buf[at] != '\r' && ++b->line > SIZE_LINE_MAX) {
            b->state = BAD;
            return -AC_ETOOLARGE;
        }
        b->state = (uint8_t)framing_byte(b, buf[at]);
        if (b->state == BAD)
            return -AC_EPROTO;
        at++;
    }
    return (ssize_t)at;
}

ssize_t ac__body_next(ac__body *b, const char *buf, size_t len, const char **data, size_t *data_len)
{
    ssize_t used = 0;

    *data     = buf;
    *data_len = 0;
    if (b->done)
        return 0;
    if (b->framing == AC__CHUNKED) {
        used = take_framing(b, buf, len);
        if (used < 0 || b->done || b->state != DATA)
            return used;
    }
    *data     = buf + used;
    *data_len = len - (size_t)used;
    if (b->left >= 0 && (uint64_t)b->left < *data_len)
        *data_len = (size_t)b->left;
    used += (ssize_t)*data_len;
    ac__body_skip(b, (int64_t)*data_len);
    return used;
}

int64_t ac__body_known(const ac__body *b)
{
    if (b->framing == AC__CHUNKED)
        return b->state == DATA ? b->left : 0;
    return b->framing == AC__NO_BODY ? 0 : b->left;
}

void ac__body_skip(ac__body *b, int64_t n)
{
    if (b->left < 0)
        return;
    b->left -= n;
    if (b->left > 0)
        return;
    if (b->framing == AC__CHUNKED)
        b->state = DATA_CR;
    else
        b->done = true;
}
