/* SPDX-License-Identifier: MIT */
/*
 * Where bodies end, and what becomes of the connection (RFC 9112, 6, 7 and 9): responses without a
 * body, Content-Length, chunks, Transfer-Encoding, HTTP/1.0, until close, persistence, what lies
 * behind.
 */
#include "http_origin.h"

#define OK    "HTTP/1.1 200 OK\r\n"
#define OK10  "HTTP/1.0 200 OK\r\n"
#define LEN5  "Content-Length: 5\r\n"
#define HELLO LEN5 "\r\nhello"
#define TE    OK "Transfer-Encoding: chunked\r\n\r\n"
#define C5    "5\r\nhello\r\n"
#define END   "0\r\n\r\n"
#define NEXT  "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
#define KEPT  true
#define GONE  false

#define GOOD(text)        NULL, STAY(text), 200, 0, "hello", KEPT, NULL, NULL
#define LAST(text)        NULL, STAY(text), 200, 0, "hello", GONE, NULL, NULL
#define BAD(text)         NULL, STAY(text), 0, -AC_EPROTO, "", GONE, NULL, NULL
#define BROKEN(text, got) NULL, STAY(text), 200, -AC_EPROTO, got, GONE, NULL, NULL
#define CUT(text, got)    NULL, FIN(text), 200, -AC_ETRUNCATED, got, GONE, NULL, NULL
#define HEAD_(text, kept) "HEAD", STAY(text), 200, 0, "", kept, NULL, NULL
#define NO(code, text, kept)                                                                       \
    NULL, STAY("HTTP/1.1 " #code " X\r\n" text), code, 0, "", kept, NULL, NULL

static const struct wire without[] = {
    {"HEAD with Content-Length", HEAD_(OK LEN5 "\r\n", KEPT)},
    {"HEAD with chunked", HEAD_(TE, KEPT)},
    {"HEAD with neither", HEAD_(OK "\r\n", KEPT)},
    {"HEAD with both", HEAD_(OK LEN5 "Transfer-Encoding: chunked\r\n\r\n", KEPT)},
    {"HEAD with an unknown coding", HEAD_(OK LEN5 "Content-Encoding: x\r\n\r\n", KEPT)},
    {"HEAD with gzip", HEAD_(OK LEN5 "Content-Encoding: gzip\r\n\r\n", KEPT)},
    {"HEAD with a body", HEAD_(OK HELLO, GONE)},
    {"HEAD with chunks", HEAD_(TE C5 END, GONE)},
    {"HEAD and close", HEAD_(OK LEN5 "Connection: close\r\n\r\n", GONE)},
    {"HEAD and the end", "HEAD", FIN(OK LEN5 "\r\n"), 200, 0, "", GONE, NULL, NULL},
    {"HEAD over HTTP/1.0", HEAD_(OK10 LEN5 "\r\n", GONE)},
    {"HEAD over HTTP/1.0, keep-alive", HEAD_(OK10 LEN5 "Connection: keep-alive\r\n\r\n", KEPT)},
    {"204", NO(204, "\r\n", KEPT)},
    {"204 with Content-Length: 0", NO(204, "Content-Length: 0\r\n\r\n", KEPT)},
    {"204 with Content-Length: 5 and nothing", NO(204, LEN5 "\r\n", GONE)},
    {"204 with no Content-Length that counts", NO(204, "Content-Length: x\r\n\r\n", GONE)},
    {"204 with two", NO(204, LEN5 "Content-Length: 0\r\n\r\n", GONE)},
    {"204 with Content-Length and a body", NO(204, HELLO, GONE)},
    {"204 with chunks", NO(204, "Transfer-Encoding: chunked\r\n\r\n" C5 END, GONE)},
    {"204 with chunked and nothing", NO(204, "Transfer-Encoding: chunked\r\n\r\n", GONE)},
    {"204 with the next response behind", NO(204, "\r\n" NEXT, GONE)},
    {"204 with an unknown coding", NO(204, "Content-Encoding: x\r\n\r\n", KEPT)},
    {"304", NO(304, "\r\n", KEPT)},
    {"304 with Content-Length", NO(304, "Content-Length: 1000000\r\n\r\n", KEPT)},
    {"304 with a body", NO(304, HELLO, GONE)},
    {"304 with chunked", NO(304, "Transfer-Encoding: chunked\r\n\r\n", KEPT)},
    {"304 with Location", NO(304, "Location: /x\r\n\r\n", KEPT)},
    {"205 with Content-Length: 0", NO(205, "Content-Length: 0\r\n\r\n", KEPT)},
    {"205 with no chunk", NO(205, "Transfer-Encoding: chunked\r\n\r\n" END, KEPT)},
    {"CR LF behind 204", NO(204, "\r\n\r\n", GONE)},
};

static const struct wire lengths[] = {
    {"5", GOOD(OK HELLO)},
    {"0", NO(200, "Content-Length: 0\r\n\r\n", KEPT)},
    {"in lower case", GOOD(OK "content-length: 5\r\n\r\nhello")},
    {"with leading zeros", GOOD(OK "Content-Length: 0000000000000000000000005\r\n\r\nhello")},
    {"with SP behind", GOOD(OK "Content-Length: 5 \r\n\r\nhello")},
    {"with TAB behind", GOOD(OK "Content-Length: 5\t\r\n\r\nhello")},
    {"a body that looks like a head", NULL,
     STAY(OK "Content-Length: 19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), 200, 0,
     "HTTP/1.1 200 OK\r\n\r\n", KEPT, NULL, NULL},
    {"-1", BAD(OK "Content-Length: -1\r\n\r\n")},
    {"-0", BAD(OK "Content-Length: -0\r\n\r\n")},
    {"+5", BAD(OK "Content-Length: +5\r\n\r\nhello")},
    {"0x5", BAD(OK "Content-Length: 0x5\r\n\r\nhello")},
    {"5.0", BAD(OK "Content-Length: 5.0\r\n\r\nhello")},
    {"5e0", BAD(OK "Content-Length: 5e0\r\n\r\nhello")},
    {"5 5", BAD(OK "Content-Length: 5 5\r\n\r\nhello")},
    {"5;", BAD(OK "Content-Length: 5;\r\n\r\nhello")},
    {"quoted", BAD(OK "Content-Length: \"5\"\r\n\r\nhello")},
    {"empty", BAD(OK "Content-Length:\r\n\r\nhello")},
    {"a word", BAD(OK "Content-Length: five\r\n\r\nhello")},
    {"digits that are none of ASCII", BAD(OK "Content-Length: \xd9\xa5\r\n\r\nhello")},
    {"5, 5", BAD(OK "Content-Length: 5, 5\r\n\r\nhello")},
    {"5,", BAD(OK "Content-Length: 5,\r\n\r\nhello")},
    {",5", BAD(OK "Content-Length: ,5\r\n\r\nhello")},
    {"5, 6", BAD(OK "Content-Length: 5, 6\r\n\r\nhello!")},
    {"5 twice", BAD(OK LEN5 LEN5 "\r\nhello")},
    {"5 and 6", BAD(OK LEN5 "Content-Length: 6\r\n\r\nhello!")},
    {"0 and 5", BAD(OK "Content-Length: 0\r\n" LEN5 "\r\nhello")},
    {"5 and nothing", BAD(OK LEN5 "Content-Length:\r\n\r\nhello")},
    {"2^63 - 1, and the end", CUT(OK "Content-Length: 9223372036854775807\r\n\r\nhello", "hello")},
    {"2^63", BAD(OK "Content-Length: 9223372036854775808\r\n\r\nhello")},
    {"2^64 - 1", BAD(OK "Content-Length: 18446744073709551615\r\n\r\nhello")},
    {"2^64", BAD(OK "Content-Length: 18446744073709551616\r\n\r\n")},
    {"2^64 + 5", BAD(OK "Content-Length: 18446744073709551621\r\n\r\nhello")},
    {"2^32 + 5, and the end", CUT(OK "Content-Length: 4294967301\r\n\r\nhello", "hello")},
    {"30 digits", BAD(OK "Content-Length: 100000000000000000000000000000\r\n\r\n")},
    {"folded into two numbers", BAD(OK "Content-Length: 5\r\n 5\r\n\r\nhello")},
    {"one byte short, the end", CUT(OK LEN5 "\r\nhell", "hell")},
    {"one byte short, reset", NULL, RST(OK LEN5 "\r\nhell"), 200, -AC_ETRUNCATED, NULL, GONE, NULL,
     NULL},
    {"none of it, the end", CUT(OK LEN5 "\r\n", "")},
    {"one byte more", LAST(OK HELLO "!")},
    {"CR LF more", LAST(OK HELLO "\r\n")},
    {"a response behind", LAST(OK HELLO NEXT)},
    {"an error page behind",
     LAST(OK HELLO "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")},
    {"100 behind", LAST(OK HELLO "HTTP/1.1 100 Continue\r\n\r\n")},
    {"408 behind, and the end", NULL, FIN(OK HELLO "HTTP/1.1 408 X\r\nConnection: close\r\n\r\n"),
     200, 0, "hello", GONE, NULL, NULL},
    {"and the end", NULL, FIN(OK HELLO), 200, 0, "hello", GONE, NULL, NULL},
    {"with Transfer-Encoding behind", BAD(OK LEN5 "Transfer-Encoding: chunked\r\n\r\n" C5 END)},
    {"with Transfer-Encoding before", BAD(OK "Transfer-Encoding: chunked\r\n" LEN5 "\r\n" C5 END)},
    {"with an empty Transfer-Encoding", BAD(OK "Transfer-Encoding:\r\n" HELLO)},
    {"with Transfer-Encoding: identity", BAD(OK "Transfer-Encoding: identity\r\n" HELLO)},
};

static const struct wire chunks[] = {
    {"one", GOOD(TE C5 END)},
    {"five", GOOD(TE "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n" END)},
    {"none", NO(200, "Transfer-Encoding: chunked\r\n\r\n" END, KEPT)},
    {"size of two digits", NULL, STAY(TE "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n" END), 200, 0,
     "abcdefghijklmnopqrstuvwxyz", KEPT, NULL, NULL},
    {"size in upper case", NULL, STAY(TE "1A\r\nabcdefghijklmnopqrstuvwxyz\r\n" END), 200, 0,
     "abcdefghijklmnopqrstuvwxyz", KEPT, NULL, NULL},
    {"leading zeros", GOOD(TE "000005\r\nhello\r\n" END)},
    {"17 digits, most of them 0", GOOD(TE "00000000000000005\r\nhello\r\n" END)},
    {"last chunk of several zeros", GOOD(TE C5 "000\r\n\r\n")},
    {"data that looks like framing", NULL, STAY(TE "9\r\n\r\n0\r\n\r\n\r\n\r\n" END), 200, 0,
     "\r\n0\r\n\r\n\r\n", KEPT, NULL, NULL},
    {"extension", GOOD(TE "5;a\r\nhello\r\n" END)},
    {"extension with value", GOOD(TE "5;a=b;c=d\r\nhello\r\n" END)},
    {"quoted value", GOOD(TE "5;a=\"b c;=,\"\r\nhello\r\n" END)},
    {"quoted pair", GOOD(TE "5;a=\"b\\\"c\\\\\"\r\nhello\r\n" END)},
    {"white space round them", GOOD(TE "5 ; a = b ;c\r\nhello\r\n" END)},
    {"extension of the last", GOOD(TE C5 "0;a=b\r\n\r\n")},
    {"trailer", GOOD(TE C5 "0\r\nA: b\r\n\r\n")},
    {"trailers that look like framing",
     GOOD(TE C5 "0\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\nConnection: x\r\n\r\n")},
    {"folded trailer", BROKEN(TE C5 "0\r\nA: b\r\n c\r\n\r\n", "hello")},
    {"trailer without colon", BROKEN(TE C5 "0\r\nA\r\n\r\n", "hello")},
    {"trailer without name", BROKEN(TE C5 "0\r\n: b\r\n\r\n", "hello")},
    {"space before a trailer", BROKEN(TE C5 "0\r\n A: b\r\n\r\n", "hello")},
    {"space in the name of a trailer", BROKEN(TE C5 "0\r\nA : b\r\n\r\n", "hello")},
    {"NUL in a trailer", BROKEN(TE C5 "0\r\nA: \0\r\n\r\n", "hello")},
    {"LF ends the trailers", BROKEN(TE C5 "0\r\nA: b\r\n\n", "hello")},
    {"a response for a trailer", BROKEN(TE C5 "0\r\n" NEXT, "hello")},
    {"LF instead of the empty line", BROKEN(TE C5 "0\r\n\n", "hello")},
    {"0x5", BROKEN(TE "0x5\r\nhello\r\n" END, "")},
    {"-5", BROKEN(TE "-5\r\nhello\r\n" END, "")},
    {"+5", BROKEN(TE "+5\r\nhello\r\n" END, "")},
    {"space before the size", BROKEN(TE " 5\r\nhello\r\n" END, "")},
    {"space behind the size", BROKEN(TE "5 \r\nhello\r\n" END, "")},
    {"size in quotes", BROKEN(TE "\"5\"\r\nhello\r\n" END, "")},
    {"5g", BROKEN(TE "5g\r\nhello\r\n" END, "")},
    {"5_0", BROKEN(TE "5_0\r\nhello\r\n" END, "")},
    {"no size", BROKEN(TE "\r\nhello\r\n" END, "")},
    {"an extension without size", BROKEN(TE ";a\r\nhello\r\n" END, "")},
    {"LF ends the size", BROKEN(TE "5\nhello\r\n" END, "")},
    {"CR ends the size", BROKEN(TE "5\rhello\r\n" END, "")},
    {"CR CR LF ends the size", BROKEN(TE "5\r\r\nhello\r\n" END, "")},
    {"NUL behind the size", BROKEN(TE "5\0\r\nhello\r\n" END, "")},
    {"empty extension", BROKEN(TE "5;\r\nhello\r\n" END, "")},
    {"extension without name", BROKEN(TE "5;=b\r\nhello\r\n" END, "")},
    {"extension without value", BROKEN(TE "5;a=\r\nhello\r\n" END, "")},
    {"LF in an extension", BROKEN(TE "5;a\nhello\r\n" END, "")},
    {"CR in an extension", BROKEN(TE "5;a\rb\r\nhello\r\n" END, "")},
    {"NUL in an extension", BROKEN(TE "5;a=\"\0\"\r\nhello\r\n" END, "")},
    {"CR LF in a quoted value", BROKEN(TE "5;a=\"\r\n\"\r\nhello\r\n" END, "")},
    {"the quote does not end", BROKEN(TE "5;a=\"b\r\nhello\r\n" END, "")},
    {"no CR LF behind the data", BROKEN(TE "5\r\nhello0\r\n\r\n", "hello")},
    {"LF behind the data", BROKEN(TE "5\r\nhello\n0\r\n\r\n", "hello")},
    {"CR behind the data", BROKEN(TE "5\r\nhello\r0\r\n\r\n", "hello")},
    {"two other bytes behind the data", BROKEN(TE "5\r\nhelloxx0\r\n\r\n", "hello")},
    {"more data than its size", BROKEN(TE "5\r\nhello!\r\n0\r\n\r\n", "hello")},
    {"less data than its size", BROKEN(TE "6\r\nhello\r\n0\r\n\r\n", "hello\r")},
    {"2^63 - 1, and the end", CUT(TE "7fffffffffffffff\r\nhello", "hello")},
    {"2^63", BROKEN(TE "8000000000000000\r\nhello", "")},
    {"2^64 - 1", BROKEN(TE "ffffffffffffffff\r\nhello", "")},
    {"2^64", BROKEN(TE "10000000000000000\r\nhello", "")},
    {"2^64 + 5", BROKEN(TE "10000000000000005\r\nhello\r\n" END, "")},
    {"the end in a size", CUT(TE C5 "1", "hello")},
    {"the end in the data", CUT(TE "5\r\nhel", "hel")},
    {"the end behind the data", CUT(TE "5\r\nhello", "hello")},
    {"the end behind a chunk", CUT(TE C5, "hello")},
    {"the end behind 0", CUT(TE C5 "0", "hello")},
    {"the end behind the last chunk", CUT(TE C5 "0\r\n", "hello")},
    {"the end in the last CR LF", CUT(TE C5 "0\r\n\r", "hello")},
    {"the end in the trailers", CUT(TE C5 "0\r\nA: b\r\n", "hello")},
    {"reset behind the last chunk", NULL, RST(TE C5 "0\r\n"), 200, -AC_ETRUNCATED, NULL, GONE, NULL,
     NULL},
    {"one byte more", LAST(TE C5 END "x")},
    {"CR LF more", LAST(TE C5 END "\r\n")},
    {"a chunk behind the last", LAST(TE C5 END C5)},
    {"a response behind", LAST(TE C5 END NEXT)},
    {"and close", LAST(OK "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" C5 END)},
    {"and the end", NULL, FIN(TE C5 END), 200, 0, "hello", GONE, NULL, NULL},
};

#define CODED(name, value)                                                                         \
    {                                                                                              \
        name, GOOD(OK "Transfer-Encoding: " value "\r\n\r\n" C5 END)                               \
    }
#define REFUSED(name, value)                                                                       \
    {                                                                                              \
        name, NULL, FIN(OK "Transfer-Encoding: " value "\r\n\r\n" C5 END), 0, -AC_EPROTO, "",      \
            GONE, NULL, NULL                                                                       \
    }

static const struct wire encodings[] = {
    CODED("any case", "ChunkeD"),
    CODED("empty elements", ", chunked ,,"),
    CODED("comma behind", "chunked,"),
    CODED("white space round it", " \t chunked \t "),
    CODED("an empty field and one", "\r\nTransfer-Encoding: chunked"),
    CODED("folded", "\r\n chunked"),
    REFUSED("chunked twice in a list", "chunked, chunked"),
    REFUSED("chunked twice in fields", "chunked\r\nTransfer-Encoding: chunked"),
    REFUSED("gzip", "gzip"),
    REFUSED("gzip, chunked", "gzip, chunked"),
    REFUSED("chunked, gzip", "chunked, gzip"),
    REFUSED("gzip and chunked in fields", "gzip\r\nTransfer-Encoding: chunked"),
    REFUSED("gzip folded before chunked", "gzip,\r\n chunked"),
    REFUSED("identity", "identity"),
    REFUSED("identity, chunked", "identity, chunked"),
    REFUSED("chunked, identity", "chunked, identity"),
    REFUSED("xchunked", "xchunked"),
    REFUSED("chunkedx", "chunkedx"),
    REFUSED("chunked;a=b", "chunked;a=b"),
    REFUSED("quoted", "\"chunked\""),
    REFUSED("chunk ed", "chunk ed"),
    REFUSED("empty", ""),
    REFUSED("commas alone", ", ,"),
    REFUSED("VT before it", "\vchunked"),
    REFUSED("NBSP before it", "\xa0"
                              "chunked"),
    REFUSED("obs-text in it", "chunked\xff"),
    {"space before the colon", BAD(OK "Transfer-Encoding : chunked\r\n\r\n" C5 END)},
    {"chunked over HTTP/1.0", BAD(OK10 "Transfer-Encoding: chunked\r\n\r\n" C5 END)},
    {"chunked and close over HTTP/1.0",
     BAD(OK10 "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" C5 END)},
    {"chunked over HTTP/1.2", GOOD("HTTP/1.2 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" C5 END)},
    {"underscore is another field",
     LAST(OK "Transfer_Encoding: chunked\r\nConnection: close\r\n" HELLO)},
};

static const struct wire persistence[] = {
    {"1.1", GOOD(OK HELLO)},
    {"1.1 close", LAST(OK "Connection: close\r\n" HELLO)},
    {"1.1 close in any case", LAST(OK "connection: CLOSE\r\n" HELLO)},
    {"1.1 close in a list", LAST(OK "Connection: x, close ,y\r\n" HELLO)},
    {"1.1 close in the second field", LAST(OK "Connection: x\r\nConnection: close\r\n" HELLO)},
    {"1.1 keep-alive, close", LAST(OK "Connection: keep-alive, close\r\n" HELLO)},
    {"1.1 keep-alive", GOOD(OK "Connection: keep-alive\r\n" HELLO)},
    {"1.1 closed is another word", GOOD(OK "Connection: closed\r\n" HELLO)},
    {"1.1 upgrade", GOOD(OK "Connection: upgrade\r\nUpgrade: h2c\r\n" HELLO)},
    {"1.1 Proxy-Connection", GOOD(OK "Proxy-Connection: close\r\n" HELLO)},
    {"1.1 until close", NULL, FIN(OK "\r\nhello"), 200, 0, "hello", GONE, NULL, NULL},
    {"1.1 until close, keep-alive", NULL, FIN(OK "Connection: keep-alive\r\n\r\nhello"), 200, 0,
     "hello", GONE, NULL, NULL},
    {"1.1 until close, empty", NULL, FIN(OK "\r\n"), 200, 0, "", GONE, NULL, NULL},
    {"1.1 until close, reset", NULL, RST(OK "\r\nhello"), 200, -AC_ETRUNCATED, NULL, GONE, NULL,
     NULL},
    {"1.1 until close, reset when empty", NULL, RST(OK "\r\n"), 200, -AC_ETRUNCATED, "", GONE, NULL,
     NULL},
    {"1.1 until close, what looks like a response", NULL, FIN(OK "\r\n" NEXT), 200, 0, NEXT, GONE,
     NULL, NULL},
    {"1.1 404 until close", NULL, FIN("HTTP/1.1 404 X\r\n\r\nhello"), 404, 0, "hello", GONE, NULL,
     NULL},
    {"1.0", LAST(OK10 HELLO)},
    {"1.0 keep-alive", GOOD(OK10 "Connection: keep-alive\r\n" HELLO)},
    {"1.0 keep-alive in any case", GOOD(OK10 "Connection: Keep-Alive\r\n" HELLO)},
    {"1.0 keep-alive, close", LAST(OK10 "Connection: keep-alive, close\r\n" HELLO)},
    {"1.0 Keep-Alive is no Connection", LAST(OK10 "Keep-Alive: timeout=5\r\n" HELLO)},
    {"1.0 short, the end", CUT(OK10 LEN5 "\r\nhell", "hell")},
    {"1.0 until close", NULL, FIN(OK10 "\r\nhello"), 200, 0, "hello", GONE, NULL, NULL},
    {"1.0 until close, keep-alive", NULL, FIN(OK10 "Connection: keep-alive\r\n\r\nhello"), 200, 0,
     "hello", GONE, NULL, NULL},
    {"1.0 until close, reset", NULL, RST(OK10 "\r\nhello"), 200, -AC_ETRUNCATED, NULL, GONE, NULL,
     NULL},
    {"1.0 204", NULL, STAY("HTTP/1.0 204 X\r\n\r\n"), 204, 0, "", GONE, NULL, NULL},
};

static void test_without(void **state)
{
    W_WIRE(*state, without);
}

static void test_lengths(void **state)
{
    W_WIRE(*state, lengths);
}

static void test_chunks(void **state)
{
    W_WIRE(*state, chunks);
}

static void test_encodings(void **state)
{
    W_WIRE(*state, encodings);
}

static void test_persistence(void **state)
{
    W_WIRE(*state, persistence);
}

/* Trailers are told apart from fields, and known at the close. */
static void test_trailers(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(OK "A: head\r\nTransfer-Encoding: chunked\r\n\r\n" C5
                        "0\r\nA: 1\r\nb:\r\nC:  x y \r\n\r\n"));
    s       = s_new(&w);
    s->want = "A";
    s_get(s, w_url(&w.a, "/"));
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, "hello"));
    assert_string_equal(s->field, "head");
    assert_string_equal(s->trailers, "A=1;b=;C=x y;");
    w_close(&w);
}

/* A body of some size, in every framing, in the pieces that the kernel makes of it. */
static void test_large(void **state)
{
    enum { SIZE = 3 * 1024 * 1024 };
    static const char *const heads[] = {OK "Content-Length: 3145728\r\n\r\n",
                                        OK "Transfer-Encoding: chunked\r\n\r\n300000\r\n",
                                        OK "\r\n"};
    static const char *const tails[] = {"", "\r\n0\r\n\r\n", ""};

    for (int i = 0; i < 3; i++) {
        struct world   w;
        struct sink   *s;
        struct o_reply r = {.end = i == 2 ? O_FIN : O_STAY};
        char          *text;
        size_t         head = strlen(heads[i]);

        w_open(&w, *state, NULL);
        text = w_text(&w, head + SIZE + 16);
        memcpy(text, heads[i], head);
        h_pattern((uint8_t *)text + head, SIZE, 0);
        memcpy(text + head + SIZE, tails[i], strlen(tails[i]));
        r.data          = text;
        r.len           = head + SIZE + strlen(tails[i]);
        w.a.replies     = &r;
        w.a.reply_count = 1;
        s               = s_new(&w);
        s_get(s, w_url(&w.a, "/"));
        W_UNTIL(&w, s->closes);
        assert_int_equal(s->err, 0);
        assert_int_equal(s->len, SIZE);
        assert_true(h_pattern_ok((uint8_t *)s->body, SIZE, 0));
        assert_int_equal(s->times.wire_bytes, SIZE);
        w_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_without),   O_TEST(test_lengths),     O_TEST(test_chunks),
        O_TEST(test_encodings), O_TEST(test_persistence), O_TEST(test_trailers),
        O_TEST(test_large),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
