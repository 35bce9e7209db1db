/* SPDX-License-Identifier: MIT */
/* Heads on the wire: status lines, fields, interim responses (RFC 9110, 15; RFC 9112, 2 to 5). */
#include "http_origin.h"

#define OK    "HTTP/1.1 200 OK\r\n"
#define LEN5  "Content-Length: 5\r\n"
#define HELLO LEN5 "\r\nhello"
#define KEPT  true
#define GONE  false

#define GOOD(text) NULL, STAY(text), 200, 0, "hello", KEPT
#define CUT(text)  NULL, FIN(text), 0, -AC_ETRUNCATED, "", GONE
#define BAD(text)  NULL, STAY(text), 0, -AC_EPROTO, "", GONE

static const struct wire status_lines[] = {
    {"plain", GOOD(OK HELLO), "content-length", "5"},
    {"empty reason", GOOD("HTTP/1.1 200 \r\n" HELLO), NULL, NULL},
    {"no reason and no space", GOOD("HTTP/1.1 200\r\n" HELLO), NULL, NULL},
    {"reason with spaces", GOOD("HTTP/1.1 200 all  is well \r\n" HELLO), NULL, NULL},
    {"reason with TAB", GOOD("HTTP/1.1 200 a\tb\r\n" HELLO), NULL, NULL},
    {"reason with obs-text", GOOD("HTTP/1.1 200 \xe4\xff\r\n" HELLO), NULL, NULL},
    {"minor version 2", GOOD("HTTP/1.2 200 OK\r\n" HELLO), NULL, NULL},
    {"minor version 9", GOOD("HTTP/1.9 200 OK\r\n" HELLO), NULL, NULL},
    {"unknown class member 299", NULL, STAY("HTTP/1.1 299 X\r\n" HELLO), 299, 0, "hello", KEPT,
     NULL, NULL},
    {"status 300", NULL, STAY("HTTP/1.1 300 X\r\n" HELLO), 300, 0, "hello", KEPT, NULL, NULL},
    {"status 404", NULL, STAY("HTTP/1.1 404 X\r\n" HELLO), 404, 0, "hello", KEPT, NULL, NULL},
    {"status 417, nothing expected", NULL, STAY("HTTP/1.1 417 X\r\n" HELLO), 417, 0, "hello", KEPT,
     NULL, NULL},
    {"status 408, first use", NULL, FIN("HTTP/1.1 408 X\r\nConnection: close\r\n" HELLO), 408, 0,
     "hello", GONE, NULL, NULL},
    {"status 599", NULL, STAY("HTTP/1.1 599 X\r\n" HELLO), 599, 0, "hello", KEPT, NULL, NULL},
    {"ESC in the reason", BAD("HTTP/1.1 200 \x1b[2J\r\n" HELLO), NULL, NULL},
    {"DEL in the reason", BAD("HTTP/1.1 200 a\x7f\r\n" HELLO), NULL, NULL},
    {"NUL in the reason", BAD("HTTP/1.1 200 a\0b\r\n" HELLO), NULL, NULL},
    {"CR in the reason", BAD("HTTP/1.1 200 a\rb\r\n" HELLO), NULL, NULL},
    {"LF ends the line", BAD("HTTP/1.1 200 OK\n" HELLO), NULL, NULL},
    {"CR CR LF ends the line", BAD("HTTP/1.1 200 OK\r\r\n" HELLO), NULL, NULL},
    {"version 2.0", BAD("HTTP/2.0 200 OK\r\n" HELLO), NULL, NULL},
    {"version 2", BAD("HTTP/2 200 OK\r\n" HELLO), NULL, NULL},
    {"version 0.9", BAD("HTTP/0.9 200 OK\r\n" HELLO), NULL, NULL},
    {"version 1.10", BAD("HTTP/1.10 200 OK\r\n" HELLO), NULL, NULL},
    {"version 1.", BAD("HTTP/1. 200 OK\r\n" HELLO), NULL, NULL},
    {"version 01.1", BAD("HTTP/01.1 200 OK\r\n" HELLO), NULL, NULL},
    {"lower case", BAD("http/1.1 200 OK\r\n" HELLO), NULL, NULL},
    {"ICY", BAD("ICY 200 OK\r\n" HELLO), NULL, NULL},
    {"RTSP", BAD("RTSP/1.0 200 OK\r\n" HELLO), NULL, NULL},
    {"no response but a page", BAD("<html>hello</html>\r\n\r\n"), NULL, NULL},
    {"a banner of SSH", BAD("SSH-2.0-OpenSSH_9.2p1\r\n"), NULL, NULL},
    {"an alert of TLS", BAD("\x15\x03\x01\x00\x02\x02\x46"), NULL, NULL},
    {"two spaces before the status", BAD("HTTP/1.1  200 OK\r\n" HELLO), NULL, NULL},
    {"TAB before the status", BAD("HTTP/1.1\t200 OK\r\n" HELLO), NULL, NULL},
    {"TAB behind the status", BAD("HTTP/1.1 200\tOK\r\n" HELLO), NULL, NULL},
    {"nothing behind the version", BAD("HTTP/1.1\r\n" HELLO), NULL, NULL},
    {"space and nothing", BAD("HTTP/1.1 \r\n" HELLO), NULL, NULL},
    {"status 20", BAD("HTTP/1.1 20 OK\r\n" HELLO), NULL, NULL},
    {"status 2000", BAD("HTTP/1.1 2000 OK\r\n" HELLO), NULL, NULL},
    {"status 000", BAD("HTTP/1.1 000 OK\r\n" HELLO), NULL, NULL},
    {"status 099", BAD("HTTP/1.1 099 OK\r\n" HELLO), NULL, NULL},
    {"status 600", BAD("HTTP/1.1 600 OK\r\n" HELLO), NULL, NULL},
    {"status 999", BAD("HTTP/1.1 999 OK\r\n" HELLO), NULL, NULL},
    {"status 2x0", BAD("HTTP/1.1 2x0 OK\r\n" HELLO), NULL, NULL},
    {"status -20", BAD("HTTP/1.1 -20 OK\r\n" HELLO), NULL, NULL},
    {"status +20", BAD("HTTP/1.1 +20 OK\r\n" HELLO), NULL, NULL},
    {"status 200OK", BAD("HTTP/1.1 200OK\r\n" HELLO), NULL, NULL},
    {"an empty line first", BAD("\r\n" OK HELLO), NULL, NULL},
    {"a space first", BAD(" " OK HELLO), NULL, NULL},
    {"a BOM first", BAD("\xef\xbb\xbf" OK HELLO), NULL, NULL},
    {"the end at once", CUT(""), NULL, NULL},
    {"reset at once", NULL, RST(""), 0, -AC_ETRUNCATED, "", GONE, NULL, NULL},
    {"CR LF and the end", NULL, FIN("\r\n"), 0, -AC_EPROTO, "", GONE, NULL, NULL},
    {"the end in the version", CUT("HTTP/1."), NULL, NULL},
    {"the end behind the status line", CUT(OK), NULL, NULL},
    {"the end behind a field", CUT(OK LEN5), NULL, NULL},
    {"the end in the last CR LF", CUT(OK LEN5 "\r"), NULL, NULL},
    {"reset in the head", NULL, RST(OK LEN5), 0, -AC_ETRUNCATED, "", GONE, NULL, NULL},
};

static const struct wire fields[] = {
    {"empty value", GOOD(OK "A:\r\n" HELLO), "A", ""},
    {"value of white space", GOOD(OK "A: \t \r\n" HELLO), "A", ""},
    {"no space behind the colon", GOOD(OK "A:b\r\n" HELLO), "A", "b"},
    {"white space round the value", GOOD(OK "A: \t b c\t \r\n" HELLO), "A", "b c"},
    {"colons in the value", GOOD(OK "A: b:c::d\r\n" HELLO), "A", "b:c::d"},
    {"obs-text in the value", GOOD(OK "A: \xe4\xf6\x80\r\n" HELLO), "A", "\xe4\xf6\x80"},
    {"TAB in the value", GOOD(OK "A: b\tc\r\n" HELLO), "A", "b\tc"},
    {"any case", GOOD(OK "x-YES: 1\r\n" HELLO), "X-yes", "1"},
    {"all of a token", GOOD(OK "!#$%&'*+-.^_`|~0aZ: 1\r\n" HELLO), "!#$%&'*+-.^_`|~0aZ", "1"},
    {"two of a name are joined", GOOD(OK "A: b\r\nB: x\r\na: c\r\n" HELLO), "A", "b, c"},
    {"three, one empty", GOOD(OK "A: b\r\nA:\r\nA: c\r\n" HELLO), "A", "b, , c"},
    {"no such field", GOOD(OK "AB: b\r\n" HELLO), "A", "(none)"},
    {"folded", GOOD(OK "A: b\r\n c\r\n" HELLO), "A", "b c"},
    {"folded with TAB and more", GOOD(OK "A: b \r\n\t  c\r\n" HELLO), "A", "b c"},
    {"folded three times", GOOD(OK "A: b\r\n c\r\n d\r\n e\r\n" HELLO), "A", "b c d e"},
    {"folded before the value", GOOD(OK "A:\r\n b\r\n" HELLO), "A", "b"},
    {"folded to nothing", GOOD(OK "A: b\r\n \r\n" HELLO), "A", "b"},
    {"folded Content-Length", GOOD(OK "Content-Length:\r\n 5\r\n\r\nhello"), NULL, NULL},
    {"folded name-like line", GOOD(OK "A: b\r\n Content-Length: 9\r\n" HELLO), "A",
     "b Content-Length: 9"},
    {"last field folded", GOOD(OK LEN5 "A: b\r\n c\r\n\r\nhello"), "A", "b c"},
    {"space before the colon", BAD(OK "A : b\r\n" HELLO), NULL, NULL},
    {"TAB before the colon", BAD(OK "A\t: b\r\n" HELLO), NULL, NULL},
    {"space before the colon of a framing", BAD(OK "Content-Length : 5\r\n\r\nhello"), NULL, NULL},
    {"space in the name", BAD(OK "A B: c\r\n" HELLO), NULL, NULL},
    {"no name", BAD(OK ": c\r\n" HELLO), NULL, NULL},
    {"no colon", BAD(OK "A\r\n" HELLO), NULL, NULL},
    {"no colon in the last", BAD(OK LEN5 "A\r\n\r\nhello"), NULL, NULL},
    {"obs-text in the name", BAD(OK "\xe4: b\r\n" HELLO), NULL, NULL},
    {"NUL in the name", BAD(OK "A\0B: c\r\n" HELLO), NULL, NULL},
    {"bracket in the name", BAD(OK "A(B: c\r\n" HELLO), NULL, NULL},
    {"slash in the name", BAD(OK "A/B: c\r\n" HELLO), NULL, NULL},
    {"NUL in the value", BAD(OK "A: b\0c\r\n" HELLO), NULL, NULL},
    {"ESC in the value", BAD(OK "A: \x1b]0;x\r\n" HELLO), NULL, NULL},
    {"DEL in the value", BAD(OK "A: \x7f\r\n" HELLO), NULL, NULL},
    {"VT in the value", BAD(OK "A: b\vc\r\n" HELLO), NULL, NULL},
    {"FF in the value", BAD(OK "A: b\fc\r\n" HELLO), NULL, NULL},
    {"CR in the value", BAD(OK "A: b\rc\r\n" HELLO), NULL, NULL},
    {"LF ends a field", BAD(OK "A: b\nB: c\r\n" HELLO), NULL, NULL},
    {"LF ends the head", BAD(OK "Content-Length: 5\r\n\nhello"), NULL, NULL},
    {"CR ends the head", BAD(OK "Content-Length: 5\r\n\rhello"), NULL, NULL},
    {"LF LF ends the head", BAD(OK "A: b\n\nhello\r\n\r\n"), NULL, NULL},
    {"white space before the first field", BAD(OK " A: b\r\n" HELLO), NULL, NULL},
    {"white space line first", BAD(OK " \r\n" HELLO), NULL, NULL},
    {"NUL in a fold", BAD(OK "A: b\r\n \0\r\n" HELLO), NULL, NULL},
    {"LF before a fold", BAD(OK "A: b\n c\r\n" HELLO), NULL, NULL},
};

#define I100 "HTTP/1.1 100 Continue\r\n\r\n"
#define I4   I100 I100 I100 I100

static const struct wire interims[] = {
    {"100 that nobody waits for", GOOD(I100 OK HELLO), NULL, NULL},
    {"102", GOOD("HTTP/1.1 102 Processing\r\n\r\n" OK HELLO), NULL, NULL},
    {"103 with fields",
     GOOD("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nA: early\r\n\r\n" OK "A: late\r\n" HELLO), "A",
     "late"},
    {"fields of 103 are not those of the response",
     GOOD("HTTP/1.1 103 X\r\nA: early\r\n\r\n" OK HELLO), "A", "(none)"},
    {"199", GOOD("HTTP/1.1 199 X\r\n\r\n" OK HELLO), NULL, NULL},
    {"104, 110, 150",
     GOOD("HTTP/1.1 104 X\r\n\r\nHTTP/1.1 110 X\r\n\r\nHTTP/1.1 150\r\n\r\n" OK HELLO), NULL, NULL},
    {"Content-Length of 100 counts for nothing",
     GOOD("HTTP/1.1 100 X\r\nContent-Length: 7\r\n\r\n" OK HELLO), NULL, NULL},
    {"Transfer-Encoding of 103 neither",
     GOOD("HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n" OK HELLO), NULL, NULL},
    {"Connection: close of 100 neither",
     GOOD("HTTP/1.1 100 X\r\nConnection: close\r\n\r\n" OK HELLO), NULL, NULL},
    {"16 of them", GOOD(I4 I4 I4 I4 OK HELLO), NULL, NULL},
    {"17 of them", NULL, STAY(I4 I4 I4 I4 I100 OK HELLO), 0, -AC_ETOOLARGE, "", GONE, NULL, NULL},
    {"101 that nobody asked for",
     BAD("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" OK HELLO),
     NULL, NULL},
    {"100, 101", BAD(I100 "HTTP/1.1 101 X\r\n\r\n"), NULL, NULL},
    {"100 and the end", CUT(I100), NULL, NULL},
    {"100 and half a head", CUT(I100 "HTTP/1.1 2"), NULL, NULL},
    {"100 and reset", NULL, RST(I100), 0, -AC_ETRUNCATED, "", GONE, NULL, NULL},
    {"100 with a body", BAD("HTTP/1.1 100 X\r\nContent-Length: 4\r\n\r\nabcd" OK HELLO), NULL,
     NULL},
    {"bad head of 100", BAD("HTTP/1.1 100 X\r\nA : b\r\n\r\n" OK HELLO), NULL, NULL},
    {"100, then garbage", BAD(I100 "garbage\r\n\r\n"), NULL, NULL},
    {"100 before HEAD's", "HEAD", STAY(I100 OK LEN5 "\r\n"), 200, 0, "", KEPT, NULL, NULL},
    {"100 before 204", NULL, STAY(I100 "HTTP/1.1 204 X\r\n\r\n"), 204, 0, "", KEPT, NULL, NULL},
    {"100 before until-close", NULL, FIN(I100 OK "\r\nhello"), 200, 0, "hello", GONE, NULL, NULL},
};

static void test_status_lines(void **state)
{
    W_WIRE(*state, status_lines);
}

static void test_fields(void **state)
{
    W_WIRE(*state, fields);
}

static void test_interims(void **state)
{
    W_WIRE(*state, interims);
}

/* What the consumer can ask of the head. */
static void test_getters(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY("HTTP/1.1 404 Not  Here \r\nLocation: ../x?y#z\r\n" HELLO),
           STAY("HTTP/1.0 200\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
    s       = s_new(&w);
    s->want = "location";
    s_get(s, w_url(&w.a, "/a/b/c?d#e"));
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 404, 0, "hello"));
    assert_string_equal(s->version, "HTTP/1.1");
    assert_string_equal(s->method, "GET");
    assert_string_equal(s->field, "../x?y#z");
    assert_string_equal(s->url, w_url(&w.a, "/a/b/c?d#e"));
    assert_string_equal(ac_errname(s->err), ac_errname(0));
    assert_int_equal(s->times.length, 5);
    assert_int_equal(s->times.bytes, 5);
    assert_int_equal(s->times.wire_bytes, 5);
    assert_true(s->times.connect >= 0 && s->times.sent >= s->times.connect);
    assert_true(s->times.first_byte >= s->times.sent && s->times.total >= s->times.first_byte);
    assert_false(s->times.reused);
    assert_int_equal(ac_addr_port(&s->times.peer), ac_addr_port(&w.a.addr));
    s = s_new(&w);
    s_get(s, w_url(&w.a, "/"));
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, ""));
    assert_string_equal(s->version, "HTTP/1.0");
    assert_string_equal(s->reason, "");
    assert_true(s->times.reused);
    assert_int_equal(w.a.conn_count, 1);
    w_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_status_lines),
        O_TEST(test_fields),
        O_TEST(test_interims),
        O_TEST(test_getters),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
