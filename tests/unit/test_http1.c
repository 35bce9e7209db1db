/* SPDX-License-Identifier: MIT */
/*
 * The HTTP/1 parser. Each case is read in one piece, byte by byte, and split in two at every place,
 * always with the last byte before a page that cannot be read; and once more beside llhttp, cut at
 * every byte.
 */
#include "../../src/http/http1.h"
#include "http1_oracle.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define S(text)      (text), sizeof(text) - 1

#define OK      "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define LENGTH  OK "Content-Length: "

/* --- a place that ends before a page that cannot be read ---------------------------------- */

enum { PLACE = 64 * 1024 };

static char *edge; /* the first byte that cannot be touched */

static int set_up(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char  *map =
        mmap(NULL, PLACE + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    if (map == MAP_FAILED || mprotect(map + PLACE, page, PROT_NONE) < 0)
        return -1;
    edge = map + PLACE;
    return 0;
}

static const char *error_name(ssize_t rc)
{
    switch (rc) {
    case -EAGAIN:
        return "EAGAIN";
    case -AC_EPROTO:
        return "AC_EPROTO";
    case -AC_ETOOLARGE:
        return "AC_ETOOLARGE";
    default:
        return "?";
    }
}

/* --- heads -------------------------------------------------------------------------------- */

/* "200 1 [OK] name=value|name=value", or the name of an error. */
static void show(const ac__head *h, ssize_t rc, size_t len, const char *buf, char *out, size_t room)
{
    int n = 0;

    *out = '\0';
    if (rc < 0) {
        snprintf(out, room, "%s", error_name(rc));
        return;
    }
    if (!h->trailers)
        n = snprintf(out, room, "%u %u [%s]", h->status, h->minor, buf + h->reason);
    if (!h->trailers)
        assert_int_equal(strlen(buf + h->reason), h->reason_len);
    for (uint32_t i = 0; i < h->count; i++) {
        const ac__field *f = &h->fields[i];

        assert_int_equal(strlen(buf + f->name), f->name_len);
        assert_int_equal(strlen(buf + f->value), f->value_len);
        n += snprintf(out + n, room - (size_t)n, "%s%s=%s",
                      i > 0   ? "|"
                      : n > 0 ? " "
                              : "",
                      buf + f->name, buf + f->value);
    }
    if ((size_t)rc != len)
        snprintf(out + n, room - (size_t)n, " +%zu", len - (size_t)rc);
}

/* Parses in pieces of `first`, then of `then` bytes; the buffer moves each time. */
static void parse(const char *text, size_t len, bool trailers, size_t first, size_t then, char *out,
                  size_t room)
{
    static ac__field fields[64];
    ac__head         h;
    size_t           at = 0, avail = first < len ? first : len;
    char            *buf = edge;
    ssize_t          rc;

    ac__head_init(&h, fields, COUNT(fields), trailers);
    for (;;) {
        char *place = edge - avail;

        memmove(place, buf, at);
        buf = place;
        memcpy(buf + at, text + at, avail - at);
        at = avail;
        rc = ac__head_parse(&h, buf, avail);
        if (rc != -EAGAIN || avail == len)
            break;
        avail = then < len - avail ? avail + then : len;
    }
    if (rc > 0) /* what is there stays there */
        assert_int_equal(ac__head_parse(&h, buf, avail), rc);
    /* The bytes behind belong to another message, and how many came with it is chance. */
    show(&h, rc, rc > 0 ? len : 0, buf, out, room);
}

static void head_case(const char *text, size_t len, bool trailers, const char *expected)
{
    char out[PLACE];

    parse(text, len, trailers, len, 1, out, sizeof out);
    assert_string_equal(out, expected);
    for (size_t first = 0; first < len; first++) {
        parse(text, len, trailers, first, len, out, sizeof out);
        assert_string_equal(out, expected);
    }
    parse(text, len, trailers, 0, 1, out, sizeof out);
    assert_string_equal(out, expected);
}

struct head_case {
    const char *text;
    size_t      len;
    const char *expected;
};

static const struct head_case heads[] = {
    /* status lines */
    {S("HTTP/1.1 200 OK\r\n\r\n"), "200 1 [OK]"},
    {S("HTTP/1.0 404 Not Found\r\n\r\n"), "404 0 [Not Found]"},
    {S("HTTP/1.1 200 \r\n\r\n"), "200 1 []"},
    {S("HTTP/1.1 200\r\n\r\n"), "200 1 []"},
    {S("HTTP/1.2 200 OK\r\n\r\n"), "200 1 [OK]"},
    {S("HTTP/1.9 200 OK\r\n\r\n"), "200 1 [OK]"},
    {S("HTTP/1.1 100 Continue\r\n\r\n"), "100 1 [Continue]"},
    {S("HTTP/1.1 599 x\r\n\r\n"), "599 1 [x]"},
    {S("HTTP/1.1 200  two \r\n\r\n"), "200 1 [ two ]"},
    {S("HTTP/1.1 200 a\tb\r\n\r\n"), "200 1 [a\tb]"},
    {S("HTTP/1.1 200 \xc3\xa9\xff\r\n\r\n"), "200 1 [\xc3\xa9\xff]"},
    {S("HTTP/1.1 200 OK\r\n\r\nbody"), "200 1 [OK] +4"},
    {S("HTTP/1.1 200 OK\r\n\r\n\r\n"), "200 1 [OK] +2"},
    {S("HTTP/1.1 099 x\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 000 x\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 600 x\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 999 x\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 20 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 2000 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 2x0 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 20/ OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 -20 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 200OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 200\tOK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1  200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1\t200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.10 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1. 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.x 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/0.9 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/2.0 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/2 200\r\n\r\n"), "AC_EPROTO"},
    {S("http/1.1 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("ICY 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("<html>"), "AC_EPROTO"},
    {S("\r\nHTTP/1.1 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("\nHTTP/1.1 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S(" HTTP/1.1 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("\0HTTP/1.1 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 200 O\033K\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 200 O\0K\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 200 O\177K\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 200 O\rK\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 200 OK\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 200\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 200 OK\r\r\n\r\n"), "AC_EPROTO"},
    /* fields */
    {S(OK "A: b\r\n\r\n"), "200 1 [OK] A=b"},
    {S(OK "A:b\r\nC: d\r\n\r\n"), "200 1 [OK] A=b|C=d"},
    {S(OK "A: \t b \t\r\n\r\n"), "200 1 [OK] A=b"},
    {S(OK "A: b \t c\r\n\r\n"), "200 1 [OK] A=b \t c"},
    {S(OK "A:\r\n\r\n"), "200 1 [OK] A="},
    {S(OK "A:  \t\r\nB:\r\n\r\n"), "200 1 [OK] A=|B="},
    {S(OK "A:::\r\n\r\n"), "200 1 [OK] A=::"},
    {S(OK "!#$%&'*+-.^_`|~09AZaz: x\r\n\r\n"), "200 1 [OK] !#$%&'*+-.^_`|~09AZaz=x"},
    {S(OK "A: \"(),/:;<=>?@[\\]{}\r\n\r\n"), "200 1 [OK] A=\"(),/:;<=>?@[\\]{}"},
    {S(OK "A: \x80\xff\r\n\r\n"), "200 1 [OK] A=\x80\xff"},
    {S(OK "A: b\r\nA: c\r\n\r\n"), "200 1 [OK] A=b|A=c"},
    {S(OK ": b\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A : b\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A\t: b\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A b: c\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A(b): c\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A\xc3\xa9: c\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A\0: c\r\n\r\n"), "AC_EPROTO"},
    {S(OK " A: b\r\n\r\n"), "AC_EPROTO"},
    {S(OK "\tA: b\r\n\r\n"), "AC_EPROTO"},
    {S(OK " \r\n\r\n"), "AC_EPROTO"},
    {S(OK "A: b\0c\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A: b\001c\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A: b\177c\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A: b\rc\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A: b\nC: d\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A: b\r\r\n\r\n"), "AC_EPROTO"},
    {S(OK "\n"), "AC_EPROTO"},
    {S(OK "A: b\r\n\n"), "AC_EPROTO"},
    {S(OK "A: b\r\n\rX"), "AC_EPROTO"},
    /* folded lines */
    {S(OK "A: b\r\n c\r\n\r\n"), "200 1 [OK] A=b c"},
    {S(OK "A: b \t\r\n \t c \r\nD: e\r\n\r\n"), "200 1 [OK] A=b c|D=e"},
    {S(OK "A: b\r\n\tc\r\n d\r\n\r\n"), "200 1 [OK] A=b c d"},
    {S(OK "A:\r\n b\r\n\r\n"), "200 1 [OK] A=b"},
    {S(OK "A:\r\n \r\n\tb\r\n\r\n"), "200 1 [OK] A=b"},
    {S(OK "A: b\r\n \r\n\r\n"), "200 1 [OK] A=b"},
    {S(OK "A: b\r\n \r\n \r\n c\r\nD: e\r\n\r\n"), "200 1 [OK] A=b c|D=e"},
    {S(OK "A:\r\n \r\n\r\n"), "200 1 [OK] A="},
    {S(OK "A: b\r\n c:d\r\n\r\n"), "200 1 [OK] A=b c:d"},
    {S(OK "A: b\r\n \001\r\n\r\n"), "AC_EPROTO"},
    {S(OK "A: b\r\n c\n\r\n"), "AC_EPROTO"},
    /* cut */
    {S(""), "EAGAIN"},
    {S("HTTP/1.1 200"), "EAGAIN"},
    {S(OK "A: b\r\n"), "EAGAIN"},
    {S(OK "A: b\r\n\r"), "EAGAIN"},
};

static const struct head_case trailers[] = {
    {S("\r\n"), ""},
    {S("\r\nHTTP/1.1"), " +8"},
    {S("A: b\r\n\r\n"), "A=b"},
    {S("A: b\r\nC:\r\n\r\n"), "A=b|C="},
    {S("A: b\r\n c\r\n\r\n"), "AC_EPROTO"},
    {S("A: b\r\n\tc\r\n\r\n"), "AC_EPROTO"},
    {S(" A: b\r\n\r\n"), "AC_EPROTO"},
    {S(": b\r\n\r\n"), "AC_EPROTO"},
    {S("HTTP/1.1 200 OK\r\n\r\n"), "AC_EPROTO"},
    {S("\n"), "AC_EPROTO"},
    {S("\rX"), "AC_EPROTO"},
    {S("A: b\n\n"), "AC_EPROTO"},
    {S("A: b\r\n"), "EAGAIN"},
};

static void test_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(heads); i++)
        head_case(heads[i].text, heads[i].len, false, heads[i].expected);
}

static void test_trailers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(trailers); i++)
        head_case(trailers[i].text, trailers[i].len, true, trailers[i].expected);
}

/* Every byte alone, in each place where it may stand. */
static void test_every_byte(void **state)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char              out[128], text[128];

    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        const char c     = (char)byte;
        const bool name  = byte != 0 && strchr(token, byte) != NULL;
        const bool value = byte == '\t' || (byte >= ' ' && byte != 0x7f);
        int        len   = snprintf(text, sizeof text, OK "AxB: CxD\r\n\r\n");

        assert_int_equal(ac__is_token(&c, 1), name);
        assert_int_equal(ac__is_field_value(&c, 1), value);
        text[23] = c;
        parse(text, (size_t)len, false, (size_t)len, 1, out, sizeof out);
        assert_int_equal(strcmp(out, "AC_EPROTO") != 0, value);
        text[23] = 'x';
        text[18] = c;
        parse(text, (size_t)len, false, (size_t)len, 1, out, sizeof out);
        assert_int_equal(strcmp(out, "AC_EPROTO") != 0, name || c == ':');
    }
    assert_false(ac__is_token("", 0));
    assert_true(ac__is_field_value("", 0));
    assert_false(ac__is_token("a b", 3));
    assert_false(ac__is_field_value("a\nb", 3));
}

/* Room for fields that grows by one each time it is asked for. */
static void test_room_for_fields(void **state)
{
    char      text[] = OK "A: b\r\nC: d\r\n e\r\nF:\r\n\r\n";
    ac__field fields[3];
    ac__head  h;
    uint32_t  asked = 0;
    ssize_t   rc;

    (void)state;
    ac__head_init(&h, fields, 0, false);
    while ((rc = ac__head_parse(&h, text, sizeof text - 1)) == -AC_ETOOLARGE) {
        assert_true(h.full);
        assert_int_equal(h.count, asked);
        h.max_fields = ++asked;
    }
    assert_int_equal(rc, sizeof text - 1);
    assert_false(h.full);
    assert_int_equal(asked, 3);
    assert_string_equal(text + fields[1].value, "d e");
    assert_string_equal(text + fields[2].name, "F");
}

/* Offsets are of 32 bits. */
static void test_too_long(void **state)
{
    ac__head h;
    char     none[1] = "";

    (void)state;
    ac__head_init(&h, NULL, 0, false);
    assert_int_equal(ac__head_parse(&h, none, (size_t)UINT32_MAX + 1), -AC_ETOOLARGE);
    assert_false(h.full);
}

/* Many folds, a byte at a time: if a call began again, this would take minutes. */
static void test_long_head(void **state)
{
    enum { LINES = 4000 };
    static const char fold[] = " y \r\n";
    size_t            room = LINES * sizeof fold + 64, len = sizeof OK "A: x\r\n" - 1;
    char             *text = malloc(room);
    ac__head          h;
    ac__field         field;

    (void)state;
    assert_non_null(text);
    memcpy(text, OK "A: x\r\n", len);
    for (int i = 0; i < LINES; i++, len += sizeof fold - 1)
        memcpy(text + len, fold, sizeof fold - 1);
    memcpy(text + len, "\r\n", 2);
    len += 2;
    ac__head_init(&h, &field, 1, false);
    for (size_t n = 1; n < len; n++)
        assert_int_equal(ac__head_parse(&h, text, n), -EAGAIN);
    assert_int_equal(ac__head_parse(&h, text, len), len);
    assert_int_equal(field.value_len, 1 + 2 * LINES);
    free(text);
}

/* --- framing ------------------------------------------------------------------------------ */

/* "200" and fields, as "close" or "chunked" or "length" or "none" or an error, and the length. */
static const struct {
    const char *text;
    bool        head_request;
    int         framing; /* or an error */
    int64_t     length;
} framings[] = {
    {LENGTH "5\r\n\r\n", false, AC__BY_LENGTH, 5},
    {LENGTH "0\r\n\r\n", false, AC__BY_LENGTH, 0},
    {LENGTH "007\r\n\r\n", false, AC__BY_LENGTH, 7},
    {LENGTH "\t5 \t\r\n\r\n", false, AC__BY_LENGTH, 5},
    {LENGTH "9223372036854775807\r\n\r\n", false, AC__BY_LENGTH, INT64_MAX},
    {LENGTH "000000000000000000000000000009223372036854775807\r\n\r\n", false, AC__BY_LENGTH,
     INT64_MAX},
    {"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", false, AC__BY_LENGTH, 5},
    {OK "CONTENT-LENGTH: 5\r\n\r\n", false, AC__BY_LENGTH, 5},
    {LENGTH "9223372036854775808\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "18446744073709551616\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "18446744073709551621\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "-1\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "+5\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "0x10\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "5.0\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "5 5\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "5;\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "5, 5\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "5, 6\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "5,\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "5\r\nContent-Length: 5\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "5\r\nContent-Length: 6\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "x\r\nContent-Length: 6\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "\r\n 5\r\n\r\n", false, AC__BY_LENGTH, 5},
    {LENGTH "5\r\n 5\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "\r\n", false, AC__UNTIL_CLOSE, -1},
    {"HTTP/1.0 200 OK\r\n\r\n", false, AC__UNTIL_CLOSE, -1},
    {OK "Content-Lengths: 5\r\nContent-Lengt: 5\r\n\r\n", false, AC__UNTIL_CLOSE, -1},
    {CHUNKED, false, AC__CHUNKED, -1},
    {OK "transfer-encoding: CHUNKED\r\n\r\n", false, AC__CHUNKED, -1},
    {OK "Transfer-Encoding: , chunked\t,,\r\n\r\n", false, AC__CHUNKED, -1},
    {OK "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n", false, AC__CHUNKED, -1},
    {OK "Transfer-Encoding:\r\nTransfer-Encoding: ,\r\nTransfer-Encoding: chunked\r\n\r\n", false,
     AC__CHUNKED, -1},
    {OK "Transfer-Encoding:\r\n chunked\r\n\r\n", false, AC__CHUNKED, -1},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, -AC_EPROTO, -1},
    {"HTTP/1.2 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, AC__CHUNKED, -1},
    {OK "Transfer-Encoding:\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: ,\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: gzip\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: identity\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: gzip, chunked\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: chunked, gzip\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: gzip,\r\n chunked\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: chunked, chunked\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: xchunked\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: chunked;a=b\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: \"chunked\"\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: chunked chunked\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: chunke\r\n\r\n", false, -AC_EPROTO, -1},
    {OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "5\r\nTransfer-Encoding: chunked\r\n\r\n", false, -AC_EPROTO, -1},
    {LENGTH "0\r\nTransfer-Encoding:\r\n\r\n", false, -AC_EPROTO, -1},
    /* no body */
    {LENGTH "5\r\n\r\n", true, AC__NO_BODY, 5},
    {OK "\r\n", true, AC__NO_BODY, -1},
    {CHUNKED, true, AC__NO_BODY, -1},
    {LENGTH "x\r\n\r\n", true, AC__NO_BODY, -1},
    {LENGTH "5\r\nContent-Length: 5\r\n\r\n", true, AC__NO_BODY, -1},
    {LENGTH "5\r\nTransfer-Encoding: chunked\r\n\r\n", true, AC__NO_BODY, -1},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", true, AC__NO_BODY, -1},
    {"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", false, AC__NO_BODY, 5},
    {"HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", false, AC__NO_BODY, -1},
    {"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", false, AC__NO_BODY, -1},
    {"HTTP/1.1 204 x\r\n\r\n", false, AC__NO_BODY, -1},
    {"HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n", false, AC__NO_BODY, -1},
    {"HTTP/1.1 205 x\r\nContent-Length: 5\r\n\r\n", false, AC__BY_LENGTH, 5},
};

static void parse_whole(const char *text, ac__head *h, char *buf)
{
    static ac__field fields[16];
    size_t           len = strlen(text);

    memcpy(buf, text, len);
    ac__head_init(h, fields, COUNT(fields), false);
    assert_int_equal(ac__head_parse(h, buf, len), len);
}

static void test_framing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(framings); i++) {
        char        buf[512];
        ac__head    h;
        ac__framing framing = AC__NO_BODY;
        int64_t     length;
        int         rc;

        parse_whole(framings[i].text, &h, buf);
        rc = ac__framing_of(&h, buf, framings[i].head_request, &framing, &length);
        if ((rc < 0 ? rc : (int)framing) != framings[i].framing || length != framings[i].length)
            fail_msg("%s: %d, %d, %lld", framings[i].text, rc, (int)framing, (long long)length);
    }
}

static const struct {
    const char *text;
    bool        persists;
} persistence[] = {
    {OK "\r\n", true},
    {OK "Connection:\r\n\r\n", true},
    {OK "Connection: keep-alive\r\n\r\n", true},
    {OK "Connection: close\r\n\r\n", false},
    {OK "connection: CLOSE\r\n\r\n", false},
    {OK "Connection: x, close\r\n\r\n", false},
    {OK "Connection: ,\tclose\t,\r\n\r\n", false},
    {OK "Connection: keep-alive\r\nConnection: close\r\n\r\n", false},
    {OK "Connection: close\r\nConnection: keep-alive\r\n\r\n", false},
    {OK "Connection: closed, xclose, close x, \"close\"\r\n\r\n", true},
    {OK "Proxy-Connection: close\r\n\r\n", true},
    {"HTTP/1.7 200 OK\r\n\r\n", true},
    {"HTTP/1.0 200 OK\r\n\r\n", false},
    {"HTTP/1.0 200 OK\r\nConnection: x\r\n\r\n", false},
    {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", true},
    {"HTTP/1.0 200 OK\r\nConnection: x,keep-alive\r\n\r\n", true},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n\r\n", false},
    {"HTTP/1.0 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", false},
};

static void test_persists(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(persistence); i++) {
        char     buf[512];
        ac__head h;

        parse_whole(persistence[i].text, &h, buf);
        if (ac__persists(&h, buf) != persistence[i].persists)
            fail_msg("%s", persistence[i].text);
    }
}

static void test_token_is(void **state)
{
    (void)state;
    assert_true(ac__token_is(S("X-y"), "x-y"));
    assert_true(ac__token_is("", 0, ""));
    assert_false(ac__token_is(S("X-"), "x-y"));
    assert_false(ac__token_is(S("X-yz"), "x-y"));
    assert_false(ac__token_is(S("x\ry"), "x-y"));
    assert_false(ac__token_is(S("@"), "`"));
    assert_false(ac__token_is(S("x\0"), "x"));
    assert_false(ac__token_is(S("["), "{"));
}

/* --- bodies ------------------------------------------------------------------------------- */

#define ZEROS "0000000000000000000000000000000000000000"

static const struct body_case {
    const char *text;
    size_t      len;
    ac__framing framing;
    int64_t     length;
    const char *expected; /* the body, and " +n" for what lies behind it, or an error */
} bodies[] = {
    {S("abcde"), AC__BY_LENGTH, 5, "abcde"},
    {S("abcdeHTTP"), AC__BY_LENGTH, 5, "abcde +4"},
    {S("HTTP"), AC__BY_LENGTH, 0, " +4"},
    {S("abcd"), AC__BY_LENGTH, 5, "EAGAIN"},
    {S("HTTP"), AC__NO_BODY, 9, " +4"},
    {S("abcde"), AC__UNTIL_CLOSE, -1, "EAGAIN"},
    {S("0\r\n"), AC__CHUNKED, -1, ""},
    {S("0\r\n\r\n"), AC__CHUNKED, -1, " +2"},
    {S("5\r\nabcde\r\n0\r\n"), AC__CHUNKED, -1, "abcde"},
    {S("1\r\na\r\n2\r\nbc\r\n000\r\nX: y"), AC__CHUNKED, -1, "abc +4"},
    {S("00a\r\n\r\n0\r\n\r\nabc\r\n0\r\n"), AC__CHUNKED, -1, "\r\n0\r\n\r\nabc"},
    {S("0A\r\nabcdefghij\r\n0\r\n"), AC__CHUNKED, -1, "abcdefghij"},
    {S(ZEROS ZEROS "1\r\na\r\n" ZEROS "\r\n"), AC__CHUNKED, -1, "a"},
    {S("7fffffffffffffff\r\nabc"), AC__CHUNKED, -1, "EAGAIN"},
    {S(ZEROS "7FFFFFFFFFFFFFFF\r\nabc"), AC__CHUNKED, -1, "EAGAIN"},
    {S("8000000000000000\r\nabc"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("ffffffffffffffff\r\nabc"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("10000000000000000\r\nabc"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("10000000000000003\r\nabc\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("g\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("-1\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("+1\r\na\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("0x1\r\na\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S(" 1\r\na\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1 \r\na\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1\t\r\na\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1_0\r\na\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("G\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("@\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("`\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1\na\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1\r\ra\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1\rXa\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1\r\na\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1\r\naX\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1\r\nab\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1\r\na\rX0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1\r\na\r\n\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1\r\na0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("0\rX"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("0\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    /* extensions */
    {S("1;a\r\nx\r\n0;a=b\r\n"), AC__CHUNKED, -1, "x"},
    {S("1;a;b\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "x"},
    {S("1;a=b;c=d;e\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "x"},
    {S("1 ;\ta = b ; c\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "x"},
    {S("1 \t;\t a \t=\t b\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "x"},
    {S("1;a ;b\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "x"},
    {S("1;a=\"\"\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "x"},
    {S("1;a=\"b; \tc\" ;d=\"e\";f\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "x"},
    {S("1;a=\"\\\"\\\\\\\t\\\xff\xff\"\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "x"},
    {S("1;\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;;a\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;=b\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=;b\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=b=c\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a b\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a \r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=b \r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=b c\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=\"b\"c\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=b\"c\"\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=\"b\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=\"b\\\r\n\"x\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=\"b\n\"x\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=\"b\0\"\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=\"b\\\0\"\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a\0\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a\n\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a\xc3\xa9\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1 a\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    {S("1;a=b\033\r\nx\r\n0\r\n"), AC__CHUNKED, -1, "AC_EPROTO"},
    /* cut */
    {S("5\r\nabcde"), AC__CHUNKED, -1, "EAGAIN"},
    {S("5\r\nabcde\r\n0\r"), AC__CHUNKED, -1, "EAGAIN"},
    {S("5;a=\"b"), AC__CHUNKED, -1, "EAGAIN"},
};

/* Reads with pieces as parse() does; `skipping` takes what may be taken without the parser. */
static void read_body(const struct body_case *c, size_t first, size_t then, bool skipping,
                      char *out)
{
    ac__body b;
    size_t   at = 0, avail = first < c->len ? first : c->len, n = 0;
    ssize_t  used = 0;

    ac__body_init(&b, c->framing, c->length);
    while (!b.done && (at < avail || avail < c->len)) {
        const char   *data;
        char         *buf   = edge - (avail - at);
        const int64_t known = ac__body_known(&b);
        size_t        len;

        if (at == avail) {
            avail = then < c->len - avail ? avail + then : c->len;
            continue;
        }
        if (skipping && known > 0) {
            len = (uint64_t)known < avail - at ? (size_t)known : avail - at;
            memcpy(out + n, c->text + at, len);
            ac__body_skip(&b, (int64_t)len);
            n += len;
            at += len;
            continue;
        }
        memcpy(buf, c->text + at, avail - at);
        used = ac__body_next(&b, buf, avail - at, &data, &len);
        if (used < 0)
            break;
        assert_true(used > 0 && data >= buf && data + len <= buf + used);
        memcpy(out + n, data, len);
        n += len;
        at += (size_t)used;
    }
    if (used < 0) {
        const char *data;
        size_t      len;

        strcpy(out, error_name(used));
        assert_true(ac__body_next(&b, "\r", 1, &data, &len) < 0); /* and so it stays */
    } else if (!b.done) {
        strcpy(out, "EAGAIN");
    } else {
        const char *data;
        size_t      len;

        assert_int_equal(ac__body_next(&b, "x", 1, &data, &len), 0);
        assert_int_equal(len, 0);
        out[n] = '\0';
        if (at < c->len)
            sprintf(out + n, " +%zu", c->len - at);
    }
}

static void body_case(const struct body_case *c)
{
    char out[PLACE];

    for (int skipping = 0; skipping < 2; skipping++) {
        for (size_t first = 0; first <= c->len; first++) {
            read_body(c, first, c->len, skipping != 0, out);
            assert_string_equal(out, c->expected);
        }
        read_body(c, 0, 1, skipping != 0, out);
        assert_string_equal(out, c->expected);
    }
}

static void test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++)
        body_case(&bodies[i]);
}

/* What is known to come, place by place. */
static void test_known(void **state)
{
    const char *data;
    size_t      len;
    ac__body    b;

    (void)state;
    ac__body_init(&b, AC__NO_BODY, 7);
    assert_int_equal(ac__body_known(&b), 0);
    ac__body_init(&b, AC__UNTIL_CLOSE, -1);
    assert_int_equal(ac__body_known(&b), -1);
    assert_int_equal(ac__body_next(&b, "abc", 3, &data, &len), 3);
    assert_int_equal(ac__body_known(&b), -1);
    ac__body_init(&b, AC__BY_LENGTH, 7);
    assert_int_equal(ac__body_next(&b, "abc", 3, &data, &len), 3);
    assert_int_equal(ac__body_known(&b), 4);
    ac__body_init(&b, AC__CHUNKED, -1);
    assert_int_equal(ac__body_known(&b), 0);
    assert_int_equal(ac__body_next(&b, "5", 1, &data, &len), 1);
    assert_int_equal(ac__body_known(&b), 0);
    assert_int_equal(ac__body_next(&b, "\r\na", 3, &data, &len), 3);
    assert_int_equal(ac__body_known(&b), 4);
    ac__body_skip(&b, 4);
    assert_int_equal(ac__body_known(&b), 0);
    assert_int_equal(ac__body_next(&b, "\r\n0\r\n\r\n", 7, &data, &len), 5);
    assert_true(b.done);
}

/* A size line of 4 KiB is the longest, whatever it is made of. */
static void test_long_size_line(void **state)
{
    static const char *const forms[] = {"0", "1;a=", "1 ;", "1;a=\"", "1;a"};
    static char              text[5000], out[PLACE];

    (void)state;
    for (size_t i = 0; i < COUNT(forms); i++) {
        const size_t form  = strlen(forms[i]);
        const bool   quote = strchr(forms[i], '"') != NULL;

        for (size_t len = 4095; len <= 4098; len++) {
            struct body_case c = {text, len, AC__CHUNKED, -1, NULL};

            memset(text, forms[i][0] == '0' ? '0' : 'a', sizeof text);
            memcpy(text, forms[i], form);
            text[len - 1] = quote ? '"' : '1';
            c.len += (size_t)sprintf(text + len, "\r\nx\r\n0\r\n");
            read_body(&c, c.len, 1, false, out);
            assert_string_equal(out, len <= 4096 ? "x" : "AC_ETOOLARGE");
            read_body(&c, 0, 1, false, out);
            assert_string_equal(out, len <= 4096 ? "x" : "AC_ETOOLARGE");
        }
    }
}

/* --- beside llhttp ------------------------------------------------------------------------ */

static struct reading ours, theirs;

static void compare(const char *text, size_t len, bool head_request)
{
    read_ours(text, len, head_request, len, len, &ours);
    read_llhttp(text, len, head_request, &theirs);
    if (!readings_agree(&ours, &theirs)
        && known_difference(text, len, head_request, &ours, &theirs) == NULL)
        fail_msg("%.*s\nours %d (%d) at %zu, llhttp %d (%d) at %zu", (int)len, text, ours.outcome,
                 ours.error, ours.used, theirs.outcome, theirs.error, theirs.used);
}

/* Whole and cut at every byte, to GET and to HEAD. */
static void compare_cuts(const char *text, size_t len)
{
    for (size_t cut = 0; cut <= len; cut++) {
        compare(text, cut, false);
        compare(text, cut, true);
    }
}

static void test_beside_llhttp(void **state)
{
    char text[1024];

    (void)state;
    for (size_t i = 0; i < COUNT(heads); i++)
        compare_cuts(heads[i].text, heads[i].len);
    for (size_t i = 0; i < COUNT(framings); i++)
        compare_cuts(framings[i].text, strlen(framings[i].text));
    for (size_t i = 0; i < COUNT(persistence); i++)
        compare_cuts(persistence[i].text, strlen(persistence[i].text));
    for (size_t i = 0; i < COUNT(bodies); i++) {
        int n = bodies[i].framing == AC__BY_LENGTH
                    ? snprintf(text, sizeof text, LENGTH "%d\r\n\r\n", (int)bodies[i].length)
                    : snprintf(text, sizeof text, "%s", CHUNKED);

        memcpy(text + n, bodies[i].text, bodies[i].len);
        compare_cuts(text, (size_t)n + bodies[i].len);
    }
    for (size_t i = 0; i < COUNT(trailers); i++) {
        int n = snprintf(text, sizeof text, CHUNKED "0\r\n");

        memcpy(text + n, trailers[i].text, trailers[i].len);
        compare_cuts(text, (size_t)n + trailers[i].len);
    }
}

/* Each way to differ, with what the two make of it. */
static const struct {
    const char *text, *difference;
    int         ours, theirs;
} known[] = {
    {"HTTP/1.1 20 OK\r\n\r\n", "9112-4:", BAD, MORE},
    {"HTTP/1.1 999 OK\r\n\r\n", "9112-4:", BAD, WHOLE},
    {"HTTP/2.0 200 OK\r\n\r\n", "9112-4:", BAD, WHOLE},
    {"HTTP/1.1 200 \033[\r\n\r\n", "9112-4:", BAD, WHOLE},
    {"\r\n\r\n" OK "\r\n", "9112-4:", BAD, WHOLE},
    {"HTTP/1.1 200\n\r\n", "9112-2.2:", BAD, WHOLE},
    {OK ": b\r\n\r\n", "9112-5.1:", BAD, WHOLE},
    {CHUNKED "0\r\nA: b\r\n c\r\n\r\n", "9112-7.1.2, 5.2:", BAD, WHOLE},
    {OK "Transfer-Encoding: gzip\r\n\r\nx", "9112-6.1:", BAD, WHOLE},
    {OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "9112-6.1:", BAD, WHOLE},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "9112-6.1:", BAD, WHOLE},
    {"HTTP/1.1 101 x\r\n\r\n" OK "\r\n", "9110-15.2.2:", BAD, WHOLE},
    {LENGTH "9223372036854775808\r\n\r\n", "9112-6.2:", BAD, MORE},
    {CHUNKED "8000000000000000\r\n", "9112-7.1:", BAD, MORE},
    {CHUNKED "0;\r\n\r\n", "", BAD, BAD},
    {CHUNKED "0;a=\r\n\r\n", "9112-7.1.1:", BAD, WHOLE},
    {"HTTP/1.2 200 OK\r\n\r\n", "9110-2.5:", WHOLE, BAD},
    {"HTTP/1.1 204 x\r\nContent-Length: x\r\n\r\n", "9112-6.3-1:", WHOLE, BAD},
    {LENGTH "x", "9112-6.3:", MORE, BAD},
    {LENGTH "0\t\r\n\r\n", "9110-5.6.3:", WHOLE, BAD},
    {CHUNKED "0;a=\"\\b\"\r\n\r\n", "9112-7.1.1:", WHOLE, BAD},
    {CHUNKED "0 ; a = b\r\n\r\n", "9112-7.1.1:", WHOLE, BAD},
    {CHUNKED "0;a=b;c\r\n\r\n", "9112-7.1.1:", WHOLE, BAD},
    {CHUNKED "0\r\nConnection: close\r\n\r\n", "9110-6.5.1:", WHOLE, WHOLE},
    {"HTTP/1.0 100 x\r\n\r\n" OK "\r\n", "9110-15.2:", WHOLE, BAD},
    {OK "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", "9110-5.6.1:", WHOLE, WHOLE},
    {"HTTP/1.1 204 x\r\nProxy-Connection: close\r\n\r\n", "9112-C.2.2:", WHOLE, WHOLE},
    {"HTTP/1.0 204 x\r\nConnection: keep-alive, close\r\n\r\n", "9112-9.3:", WHOLE, WHOLE},
};

static void test_known_differences(void **state)
{
    static char text[5000];
    int         n;

    (void)state;
    for (size_t i = 0; i < COUNT(known); i++) {
        const char *name;
        size_t      len = strlen(known[i].text);

        read_ours(known[i].text, len, false, len, len, &ours);
        read_llhttp(known[i].text, len, false, &theirs);
        if (readings_agree(&ours, &theirs) != (known[i].difference[0] == '\0'))
            fail_msg("%s: agree, or do not", known[i].text);
        name = known_difference(known[i].text, len, false, &ours, &theirs);
        if (known[i].difference[0] != '\0'
            && (name == NULL
                || strncmp(name, known[i].difference, strlen(known[i].difference)) != 0))
            fail_msg("%s: %s", known[i].text, name != NULL ? name : "unknown");
        if (ours.outcome != (enum outcome)known[i].ours
            || theirs.outcome != (enum outcome)known[i].theirs)
            fail_msg("%s: %d, %d", known[i].text, ours.outcome, theirs.outcome);
    }
    n = snprintf(text, sizeof text, CHUNKED "1;a=%04200d\r\nx\r\n0\r\n\r\n", 0);
    compare(text, (size_t)n, false);
    assert_int_equal(ours.error, -AC_ETOOLARGE);
    assert_int_equal(theirs.outcome, WHOLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),         cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_every_byte),    cmocka_unit_test(test_room_for_fields),
        cmocka_unit_test(test_too_long),      cmocka_unit_test(test_long_head),
        cmocka_unit_test(test_framing),       cmocka_unit_test(test_persists),
        cmocka_unit_test(test_token_is),      cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_known),         cmocka_unit_test(test_long_size_line),
        cmocka_unit_test(test_beside_llhttp), cmocka_unit_test(test_known_differences),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
