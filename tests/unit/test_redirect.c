/* SPDX-License-Identifier: MIT */
/*
 * Redirects (RFC 9110, 15.4): which are followed, with what method, body and fields, and how far.
 */
#include "http_origin.h"

#define TO(code, where)                                                                            \
    STAY("HTTP/1.1 " code " X\r\nLocation: " where "\r\nContent-Length: 4\r\n\r\nmove")
#define END              STAY("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend")
#define HEAD_TO(code, w) STAY("HTTP/1.1 " code " X\r\nLocation: " w "\r\nContent-Length: 4\r\n\r\n")
#define HEAD_END         STAY("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")

enum { BODY = 1, STREAM = 2, REWIND = 4 }; /* what the request brings with it */

struct hops {
    const char    *name, *method;
    unsigned       brings;
    int            max;
    struct o_reply a[4], b[3];
    int            status, err;
    const char    *body;
    const char    *asked_a, *asked_b; /* "METHOD target;..." of each origin */
    const char    *url; /* of the final response, behind its origin; NULL: not compared */
};

#define G(name) name, NULL, 0, 0
#define FINAL   200, 0, "end"
#define REFUSED 302, -AC_EREDIRECT, "", "GET /;", ""

/* clang-format off */
static const struct hops table[] = {
    {G("301"), {TO("301", "/x"), END}, {END}, FINAL, "GET /;GET /x;", "", "/x"},
    {G("302"), {TO("302", "/x"), END}, {END}, FINAL, "GET /;GET /x;", "", "/x"},
    {G("303"), {TO("303", "/x"), END}, {END}, FINAL, "GET /;GET /x;", "", "/x"},
    {G("307"), {TO("307", "/x"), END}, {END}, FINAL, "GET /;GET /x;", "", "/x"},
    {G("308"), {TO("308", "/x"), END}, {END}, FINAL, "GET /;GET /x;", "", "/x"},
    {G("300 is final"), {TO("300", "/x"), END}, {END}, 300, 0, "move", "GET /;", "", "/"},
    {G("304 is final"), {STAY("HTTP/1.1 304 X\r\nLocation: /x\r\n\r\n"), END}, {END}, 304, 0, "",
     "GET /;", "", "/"},
    {G("305 is final"), {TO("305", "/x"), END}, {END}, 305, 0, "move", "GET /;", "", "/"},
    {G("306 is final"), {TO("306", "/x"), END}, {END}, 306, 0, "move", "GET /;", "", "/"},
    {G("309 is final"), {TO("309", "/x"), END}, {END}, 309, 0, "move", "GET /;", "", "/"},
    {G("201 is final"), {TO("201", "/x"), END}, {END}, 201, 0, "move", "GET /;", "", "/"},
    {G("200 is final"), {TO("200", "/x"), END}, {END}, 200, 0, "move", "GET /;", "", "/"},
    {G("404 is final"), {TO("404", "/x"), END}, {END}, 404, 0, "move", "GET /;", "", "/"},
    {G("302 without Location is final"), {STAY("HTTP/1.1 302 X\r\nContent-Length: 4\r\n\r\nmove"),
     END}, {END}, 302, 0, "move", "GET /;", "", "/"},
    {G("two equal Locations"), {TO("302", "/x\r\nLocation: /x"), END}, {END}, FINAL,
     "GET /;GET /x;", "", "/x"},
    {G("two different Locations"), {TO("302", "/x\r\nLocation: /y"), END}, {END}, REFUSED, NULL},
    {G("Location and an empty one"), {TO("302", "/x\r\nLocation:"), END}, {END}, REFUSED, NULL},
    {G("absolute, the other origin"), {TO("302", "http://{B}/x"), END}, {END}, FINAL, "GET /;",
     "GET /x;", "/x"},
    {G("scheme in capitals"), {TO("302", "HTTP://{B}/x"), END}, {END}, FINAL, "GET /;", "GET /x;",
     "/x"},
    {G("relative to the scheme"), {TO("302", "//{B}/x"), END}, {END}, FINAL, "GET /;", "GET /x;",
     "/x"},
    {G("backslashes are slashes"), {TO("302", "\\\\{B}\\x"), END}, {END}, FINAL, "GET /;",
     "GET /x;", "/x"},
    {G("origin alone"), {TO("302", "http://{B}"), END}, {END}, FINAL, "GET /;", "GET /;", "/"},
    {G("relative"), {TO("302", "/a/b/c"), TO("302", "d"), END}, {END}, FINAL,
     "GET /;GET /a/b/c;GET /a/b/d;", "", NULL},
    {G("relative upwards"), {TO("302", "/a/b/c"), TO("302", "../../../d"), END}, {END}, FINAL,
     "GET /;GET /a/b/c;GET /d;", "", NULL},
    {G("query alone"), {TO("302", "/a?b"), TO("302", "?c"), END}, {END}, FINAL,
     "GET /;GET /a?b;GET /a?c;", "", NULL},
    {G("scheme and path"), {TO("302", "http:x"), END}, {END}, FINAL, "GET /;GET /x;", "", NULL},
    {G("space is encoded"), {TO("302", "/a b"), END}, {END}, FINAL, "GET /;GET /a%20b;", "", NULL},
    {G("obs-text is encoded"), {TO("302", "/\xc3\xa4"), END}, {END}, FINAL, "GET /;GET /%C3%A4;",
     "", NULL},
    {G("obs-text that is no UTF-8 is kept"), {TO("302", "/\xe4?\xff\xc3"), END}, {END}, FINAL,
     "GET /;GET /%E4?%FF%C3;", "", NULL},
    {G("a host in UTF-8"), {TO("302", "http://\xef\xbc\x91\x32\x37.0.0.1:0/"), END}, {END}, 0,
     -EADDRNOTAVAIL, "", "GET /;", "", NULL},
    {G("a host in no UTF-8"), {TO("302", "http://b\xfc" "cher.test/"), END}, {END}, REFUSED, NULL},
    {G("TAB is left out"), {TO("302", "/a\tb"), END}, {END}, FINAL, "GET /;GET /ab;", "", NULL},
    {G("white space round it"), {TO("302", "  /x \t"), END}, {END}, FINAL, "GET /;GET /x;", "",
     NULL},
    {G("folded"), {TO("302", "\r\n /x"), END}, {END}, FINAL, "GET /;GET /x;", "", NULL},
    {G("encoded CR LF stays encoded"), {TO("302", "/x%0d%0aA:b"), END}, {END}, FINAL,
     "GET /;GET /x%0d%0aA:b;", "", NULL},
    {G("fragment is not sent"), {TO("302", "/x#f"), END}, {END}, FINAL, "GET /;GET /x;", "",
     "/x#f"},
    {G("fragment is inherited"), {TO("302", "/x#f"), TO("302", "/y"), END}, {END}, FINAL,
     "GET /;GET /x;GET /y;", "", "/y#f"},
    {G("fragment is replaced"), {TO("302", "/x#f"), TO("302", "/y#g"), END}, {END}, FINAL,
     "GET /;GET /x;GET /y;", "", "/y#g"},
    {G("fragment alone is a loop"), {TO("302", "#f"), END}, {END}, 302, -AC_EREDIRLOOP, "",
     "GET /;", "", NULL},
    {G("empty Location is a loop"), {TO("302", ""), END}, {END}, 302, -AC_EREDIRLOOP, "", "GET /;",
     "", NULL},
    {G("to itself"), {TO("302", "/"), END}, {END}, 302, -AC_EREDIRLOOP, "", "GET /;", "", NULL},
    {G("there and back"), {TO("302", "/x"), TO("301", "/"), END}, {END}, 301, -AC_EREDIRLOOP, "",
     "GET /;GET /x;", "", NULL},
    {G("over two origins and back"), {TO("302", "http://{B}/"), END}, {TO("302", "http://{A}/")},
     302, -AC_EREDIRLOOP, "", "GET /;", "GET /;", NULL},
    {G("file"), {TO("302", "file:///etc/passwd"), END}, {END}, REFUSED, NULL},
    {G("ftp"), {TO("302", "ftp://{B}/x"), END}, {END}, REFUSED, NULL},
    {G("gopher"), {TO("302", "gopher://{B}/x"), END}, {END}, REFUSED, NULL},
    {G("javascript"), {TO("302", "javascript:alert(1)"), END}, {END}, REFUSED, NULL},
    {G("data"), {TO("302", "data:text/plain,x"), END}, {END}, REFUSED, NULL},
    {G("ws"), {TO("302", "ws://{B}/x"), END}, {END}, REFUSED, NULL},
    {G("unix"), {TO("302", "unix:/run/docker.sock"), END}, {END}, REFUSED, NULL},
    {G("about"), {TO("302", "about:blank"), END}, {END}, REFUSED, NULL},
    {G("https"), {TO("302", "https://{B}/x"), END}, {END}, REFUSED, NULL},
    {G("no host"), {TO("302", "http://"), END}, {END}, REFUSED, NULL},
    {G("space in the host"), {TO("302", "http://a b/"), END}, {END}, REFUSED, NULL},
    {G("bad address"), {TO("302", "http://[::1/"), END}, {END}, REFUSED, NULL},
    {G("bad port"), {TO("302", "http://127.0.0.1:99999/"), END}, {END}, REFUSED, NULL},
    {G("two ports"), {TO("302", "http://127.0.0.1:1:2/"), END}, {END}, REFUSED, NULL},
    {G("zone"), {TO("302", "http://[fe80::1%25lo]/"), END}, {END}, REFUSED, NULL},
    {G("port 0"), {TO("302", "http://127.0.0.1:0/"), END}, {END}, 0, -EADDRNOTAVAIL, "", "GET /;",
     "", NULL},
    {G("100 before a redirect"),
     {STAY("HTTP/1.1 100 X\r\n\r\nHTTP/1.1 302 X\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
     END}, {END}, FINAL, "GET /;GET /x;", "", NULL},
    {G("Location of 103 counts for nothing"),
     {STAY("HTTP/1.1 103 X\r\nLocation: /x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend"),
     END}, {END}, FINAL, "GET /;", "", NULL},
    {G("the next is cut"), {TO("302", "/x"), FIN("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nen")},
     {END}, 200, -AC_ETRUNCATED, "en", "GET /;GET /x;", "", NULL},
    {G("the next is no response"), {TO("302", "/x"), STAY("garbage\r\n")}, {END}, 0, -AC_EPROTO, "",
     "GET /;GET /x;", "", NULL},
    {G("the body of a redirect is cut"),
     {FIN("HTTP/1.1 302 X\r\nLocation: http://{B}/x\r\nContent-Length: 9\r\n\r\nmo"), END}, {END},
     FINAL, "GET /;", "GET /x;", NULL},
    {G("the body of a redirect is reset"),
     {RST("HTTP/1.1 302 X\r\nLocation: http://{B}/x\r\nContent-Length: 9\r\n\r\nmo"), END}, {END},
     FINAL, "GET /;", "GET /x;", NULL},
    {G("the body of a redirect is damaged"),
     {STAY("HTTP/1.1 302 X\r\nLocation: http://{B}/x\r\nTransfer-Encoding: chunked\r\n\r\nx"), END},
     {END}, FINAL, "GET /;", "GET /x;", NULL},
    {G("the coding of a redirect is unknown"),
     {TO("302", "/x\r\nContent-Encoding: x"),
     END}, {END}, FINAL, "GET /;GET /x;", "", NULL},
    {G("the framing of a redirect is doubtful"),
     {STAY("HTTP/1.1 302 X\r\nLocation: /x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nmove"),
     END}, {END}, 0, -AC_EPROTO, "", "GET /;", "", NULL},
    {G("one hop of one"), {TO("302", "/x"), END}, {END}, FINAL, "GET /;GET /x;", "", NULL},

    {"one hop too many", NULL, 0, 1, {TO("302", "/x"), TO("307", "/y"), END}, {END}, 307,
     -AC_EREDIRLOOP, "", "GET /;GET /x;", "", NULL},
    {"HEAD 301", "HEAD", 0, 0, {HEAD_TO("301", "/x"), HEAD_END}, {END}, 200, 0, "",
     "HEAD /;HEAD /x;", "", NULL},
    {"HEAD 303 stays HEAD", "HEAD", 0, 0, {HEAD_TO("303", "/x"), HEAD_END}, {END}, 200, 0, "",
     "HEAD /;HEAD /x;", "", NULL},
    {"DELETE 302 stays", "DELETE", 0, 0, {TO("302", "/x"), END}, {END}, FINAL,
     "DELETE /;DELETE /x;", "", NULL},
    {"DELETE 303 becomes GET", "DELETE", 0, 0, {TO("303", "/x"), END}, {END}, FINAL,
     "DELETE /;GET /x;", "", NULL},
    {"OPTIONS 307", "OPTIONS", 0, 0, {TO("307", "/x"), END}, {END}, FINAL, "OPTIONS /;OPTIONS /x;",
     "", NULL},
    {"POST 301 becomes GET", NULL, BODY, 0, {TO("301", "/x"), END}, {END}, FINAL,
     "POST / payload;GET /x;", "", NULL},
    {"POST 302 becomes GET", NULL, BODY, 0, {TO("302", "/x"), END}, {END}, FINAL,
     "POST / payload;GET /x;", "", NULL},
    {"POST 303 becomes GET", NULL, BODY, 0, {TO("303", "/x"), END}, {END}, FINAL,
     "POST / payload;GET /x;", "", NULL},
    {"POST 307 stays", NULL, BODY, 0, {TO("307", "/x"), END}, {END}, FINAL,
     "POST / payload;POST /x payload;", "", NULL},
    {"POST 308 stays", NULL, BODY, 0, {TO("308", "/x"), END}, {END}, FINAL,
     "POST / payload;POST /x payload;", "", NULL},
    {"POST 308 to the other origin", NULL, BODY, 0, {TO("308", "http://{B}/x"), END}, {END}, FINAL,
     "POST / payload;", "POST /x payload;", NULL},
    {"POST without a body 307", "POST", 0, 0, {TO("307", "/x"), END}, {END}, FINAL,
     "POST /;POST /x;", "", NULL},
    {"POST without a body 302", "POST", 0, 0, {TO("302", "/x"), END}, {END}, FINAL,
     "POST /;GET /x;", "", NULL},
    {"PUT 301 stays", "PUT", BODY, 0, {TO("301", "/x"), END}, {END}, FINAL,
     "PUT / payload;PUT /x payload;", "", NULL},
    {"PUT 303 becomes GET", "PUT", BODY, 0, {TO("303", "/x"), END}, {END}, FINAL,
     "PUT / payload;GET /x;", "", NULL},
    {"POST 303 to itself is no loop", NULL, BODY, 0, {TO("303", "/"), END}, {END}, FINAL,
     "POST / payload;GET /;", "", NULL},
    {"POST 307 to itself is a loop", NULL, BODY, 0, {TO("307", "/"), END}, {END}, 307,
     -AC_EREDIRLOOP, "", "POST / payload;", "", NULL},
    {"POST 307 of a stream", NULL, STREAM, 0, {TO("307", "/x"), END}, {END}, 307, -AC_EREDIRECT, "",
     "POST / payload;", "", NULL},
    {"POST 303 of a stream", NULL, STREAM, 0, {TO("303", "/x"), END}, {END}, FINAL,
     "POST / payload;GET /x;", "", NULL},
    {"POST 307 of a stream that rewinds", NULL, STREAM | REWIND, 0, {TO("307", "/x"), END}, {END},
     FINAL, "POST / payload;POST /x payload;", "", NULL},
    {"PUT 308 of one, other origin", "PUT", STREAM | REWIND, 0, {TO("308", "http://{B}/x"), END},
     {END}, FINAL, "PUT / payload;", "PUT /x payload;", NULL},
};
/* clang-format on */

struct stream {
    bool     given;
    unsigned rewound;
};

static ssize_t more(void *context, const void **data)
{
    struct stream *t = context;

    if (t->given)
        return 0;
    t->given = true;
    *data    = "payload";
    return 7;
}

static int rewind_it(void *context)
{
    struct stream *t = context;

    t->given = false;
    t->rewound++;
    return 0;
}

/* Notes what an origin was asked as "METHOD target body;". */
static void asked(const struct origin *o, char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < o->request_count && n < size; i++) {
        const struct o_request *q   = &o->requests[i];
        const char             *end = strstr(q->head, " HTTP/1.1\r\n");

        n +=
            (size_t)snprintf(out + n, size - n, "%.*s%s%s;", end != NULL ? (int)(end - q->head) : 0,
                             q->head, q->body_len > 0 ? " " : "", q->body_len > 0 ? q->body : "");
    }
}

static size_t count_of(const struct o_reply *replies, size_t max)
{
    size_t n = 0;

    while (n < max && replies[n].data != NULL)
        n++;
    return n;
}

static bool run_hops(ac_loop *loop, const struct hops *h, size_t cut)
{
    ac_redirect_options options = {.size = sizeof options, .max = h->max};
    ac_http_args        args    = {.size = sizeof args, .method = h->method};
    ac_http_body        body    = {.data = "payload", .len = 7};
    struct stream       stream  = {false, 0};
    struct world        w;
    struct sink        *s;
    char                a[512], b[512];
    bool                ok;

    w_open(&w, loop, NULL);
    w.a.replies     = h->a;
    w.a.reply_count = count_of(h->a, 4);
    w.b.replies     = h->b;
    w.b.reply_count = count_of(h->b, 3);
    w.a.cut = w.b.cut = cut;
    args.url          = w_url(&w.a, "/");
    if ((h->brings & STREAM) != 0)
        body = (ac_http_body){.len = 7, .more = more, .context = &stream};
    if ((h->brings & REWIND) != 0)
        body.rewind = rewind_it;
    if (h->brings != 0)
        args.body = &body;
    s = s_new(&w);
    assert_int_equal(ac_http_send(w.client, &args, ac_redirect_new(&s->base, &options), NULL), 0);
    s->issued = true;
    W_UNTIL(&w, s->closes);
    w_settle(&w);
    asked(&w.a, a, sizeof a);
    asked(&w.b, b, sizeof b);
    ok = s_is(s, h->status, h->err, h->body) && strcmp(a, h->asked_a) == 0
         && strcmp(b, h->asked_b) == 0
         && (h->url == NULL || strcmp(strchr(s->url + 7, '/'), h->url) == 0);
    if (!ok)
        print_error("%s (cut %zu): status %d, %s, %zu bytes, url %s, asked %s and %s\n", h->name,
                    cut, s->status, s_errname(s->err), s->len, s->url, a, b);
    w_close(&w);
    return ok;
}

static void test_table(void **state)
{
    size_t failed = 0, count = sizeof table / sizeof table[0];

    for (size_t i = 0; i < count; i++)
        failed += (size_t)(!run_hops(*state, &table[i], 0) + !run_hops(*state, &table[i], 1));
    print_message("             %zu cases, %zu runs, %zu failed\n", count, 2 * count, failed);
    assert_int_equal(failed, 0);
}

/* A chain of n hops to /1, /2 ... in a script that the world keeps. */
static void chain(struct world *w, unsigned hops)
{
    struct o_reply *r = (struct o_reply *)(void *)w_text(w, (hops + 1) * sizeof *r);

    for (unsigned i = 0; i < hops; i++) {
        char *text = w_text(w, 128);

        snprintf(text, 128, "HTTP/1.1 302 X\r\nLocation: /%u\r\nContent-Length: 0\r\n\r\n", i + 1);
        r[i] = (struct o_reply){text, strlen(text), O_STAY, 0, NULL};
    }
    r[hops]          = (struct o_reply)END;
    w->a.replies     = r;
    w->a.reply_count = hops + 1;
}

static void follow(struct world *w, struct sink *s, const char *url, const ac_redirect_options *o)
{
    assert_int_equal(ac_http_get(w->client, url, ac_redirect_new(&s->base, o)), 0);
    s->issued = true;
    W_UNTIL(w, s->closes);
}

static void test_limit(void **state)
{
    static const struct {
        unsigned hops;
        int      max, status, err;
        unsigned requests;
    } cases[] = {
        {20, 0, 200, 0, 21}, {21, 0, 302, -AC_EREDIRLOOP, 21}, {22, 0, 302, -AC_EREDIRLOOP, 21},
        {5, 5, 200, 0, 6},   {6, 5, 302, -AC_EREDIRLOOP, 6},   {25, AC_NO_LIMIT, 200, 0, 26},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ac_redirect_options o = {.size = sizeof o, .max = cases[i].max};
        struct world        w;
        struct sink        *s;

        w_open(&w, *state, NULL);
        chain(&w, cases[i].hops);
        s = s_new(&w);
        follow(&w, s, w_url(&w.a, "/"), &o);
        assert_int_equal(s->status, cases[i].status);
        assert_string_equal(s_errname(s->err), s_errname(cases[i].err));
        assert_int_equal(w.a.request_count, cases[i].requests);
        assert_int_equal(w.a.conn_count, 1); /* their bodies were read for the sake of it */
        w_close(&w);
    }
}

/* --- fields that go along -------------------------------------------------------------------- */

#define FIELD(n, v)                                                                                \
    {                                                                                              \
        n, v, sizeof(n) - 1, sizeof(v) - 1                                                         \
    }

/* Sends a request with some fields, and follows it to the end. */
static void follow_with(struct world *w, const char *method, const ac_http_field *fields,
                        size_t count)
{
    struct sink *s    = s_new(w);
    ac_http_args args = {.size        = sizeof args,
                         .url         = w_url(&w->a, "/"),
                         .method      = method,
                         .fields      = fields,
                         .field_count = count};

    assert_int_equal(ac_http_send(w->client, &args, ac_redirect_new(&s->base, NULL), NULL), 0);
    s->issued = true;
    W_UNTIL(w, s->closes);
    assert_true(s_is(s, 200, 0, "end"));
}

/* A Host of the caller's own names the origin that it was meant for. */
static void test_own_host(void **state)
{
    static const ac_http_field host = FIELD("Host", "x");
    struct world               w;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, TO("302", "/same"), TO("302", "http://{B}/other"), END);
    SCRIPT(w.b, TO("302", "http://{A}/back"));
    follow_with(&w, NULL, &host, 1);
    assert_int_equal(w.a.request_count, 3);
    assert_string_equal(o_field(&w.a.requests[0], "Host"), "x");
    assert_string_equal(o_field(&w.a.requests[1], "Host"), "x");
    assert_string_equal(o_field(&w.b.requests[0], "Host"), w.b.name);
    assert_string_equal(o_field(&w.a.requests[2], "Host"), w.a.name);
    w_close(&w);
}

/* Range never goes without its condition: what came from another file would be taken for a part. */
static void test_range_and_its_condition(void **state)
{
    static const ac_http_field fields[] = {FIELD("Range", "bytes=5-"), FIELD("If-Range", "\"v1\"")};
    struct world               w;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, TO("302", "http://{B}/other"));
    SCRIPT(w.b, END);
    follow_with(&w, NULL, fields, 2);
    assert_string_equal(o_field(&w.b.requests[0], "Range"), "bytes=5-");
    assert_non_null(o_field(&w.b.requests[0], "If-Range"));
    assert_string_equal(o_field(&w.b.requests[0], "If-Range"), "\"v1\"");
    w_close(&w);
}

/* A POST that becomes a GET has no content any more, though it had no body before either. */
static void test_content_without_a_body(void **state)
{
    static const ac_http_field type = FIELD("Content-Type", "text/c");
    struct world               w;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, TO("307", "/x"), TO("302", "/y"), END);
    follow_with(&w, "POST", &type, 1);
    assert_int_equal(w.a.request_count, 3);
    assert_true(strncmp(w.a.requests[1].head, "POST /x ", 8) == 0);
    assert_non_null(o_field(&w.a.requests[1], "Content-Type"));
    assert_true(strncmp(w.a.requests[2].head, "GET /y ", 7) == 0);
    assert_null(o_field(&w.a.requests[2], "Content-Type"));
    w_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_table),
        O_TEST(test_limit),
        O_TEST(test_own_host),
        O_TEST(test_range_and_its_condition),
        O_TEST(test_content_without_a_body),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
