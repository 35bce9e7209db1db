/* SPDX-License-Identifier: MIT */
/*
 * Bodies of requests: known length, chunked, from a callback with back-pressure; Expect:
 * 100-continue.
 */
#include "http_origin.h"

#define OK      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define HELLO   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define TOO_BIG "HTTP/1.1 413 X\r\nContent-Length: 5\r\n\r\nlarge"
#define MORE100 "HTTP/1.1 100 Continue\r\n\r\n"

#define CLOSING "HTTP/1.1 413 X\r\n\r\nlarge"

#define EARLY(text, end)                                                                           \
    {                                                                                              \
        (text), sizeof(text) - 1, (end), O_EARLY, NULL                                             \
    }

enum { LARGE = 3 * 1024 * 1024 + 7 };

/* A body that is made as it is asked for: `len` bytes of the pattern in pieces. */
struct source {
    size_t           len, at, piece;
    size_t           again_at; /* -EAGAIN from there on */
    size_t           fail_at;  /* -EIO there */
    size_t           close_at; /* closes the request there */
    unsigned         calls, rewinds;
    ac_http_request *request;
    uint8_t          buf[100000];
};

static ssize_t more(void *context, const void **data)
{
    struct source *s = context;
    size_t         n = s->len - s->at < s->piece ? s->len - s->at : s->piece;

    assert_int_equal(h_inside, 0);
    s->calls++;
    if (s->again_at > 0 && s->at >= s->again_at)
        return -EAGAIN;
    if (s->fail_at > 0 && s->at >= s->fail_at)
        return -EIO;
    if (s->close_at > 0 && s->at >= s->close_at) {
        ac_http_close(s->request);
        s->close_at = 0;
    }
    h_pattern(s->buf, n, s->at);
    *data = s->buf;
    s->at += n;
    return (ssize_t)n;
}

static int rewind_it(void *context)
{
    struct source *s = context;

    s->at = 0;
    s->rewinds++;
    return 0;
}

static struct source *source(struct world *w, size_t len, size_t piece)
{
    struct source *s = (struct source *)(void *)w_text(w, sizeof *s);

    s->len   = len;
    s->piece = piece;
    return s;
}

static ac_http_body body_of(struct source *s, bool known)
{
    return (ac_http_body){
        .len = known ? (int64_t)s->len : -1, .more = more, .rewind = rewind_it, .context = s};
}

static struct sink *put(struct world *w, const char *method, const ac_http_body *body,
                        struct source *from)
{
    ac_http_args args = {
        .size = sizeof args, .method = method, .body = body, .url = w_url(&w->a, "/up")};
    struct sink     *s = s_new(w);
    ac_http_request *r;

    assert_int_equal(s_send(s, &args, &r), 0);
    if (from != NULL)
        from->request = r;
    return s;
}

static void check_body(const struct o_request *q, size_t len)
{
    assert_true(q->whole);
    assert_int_equal(q->body_len, len);
    assert_true(h_pattern_ok((const uint8_t *)q->body, len, 0));
}

/* --- framing ---------------------------------------------------------------------------------- */

static void test_callback(void **state)
{
    static const struct {
        size_t len, piece;
        bool   known;
    } cases[] = {
        {1, 1, true},          {1000, 1, true},      {200000, 7919, true},  {300000, 100000, true},
        {0, 1, true},          {0, 1, false},        {1, 1, false},         {1000, 1, false},
        {200000, 7919, false}, {LARGE, 65536, true}, {LARGE, 99991, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world   w;
        struct source *from;
        ac_http_body   body;
        struct sink   *s;

        w_open(&w, *state, NULL);
        w.a.replies     = &(struct o_reply){HELLO, sizeof HELLO - 1, O_STAY, 0, MORE100};
        w.a.reply_count = 1;
        w.a.repeat      = true;
        from            = source(&w, cases[i].len, cases[i].piece);
        body            = body_of(from, cases[i].known);
        s               = put(&w, NULL, &body, from);
        W_UNTIL(&w, s->closes);
        assert_true(s_is(s, 200, 0, "hello"));
        check_body(&w.a.requests[0], cases[i].len);
        assert_int_equal(w.a.requests[0].chunked, !cases[i].known);
        assert_true(strncmp(w.a.requests[0].head, "POST /up HTTP/1.1\r\n", 19) == 0);
        assert_int_equal(o_field(&w.a.requests[0], "Expect") != NULL,
                         !cases[i].known || cases[i].len > 1024 * 1024);
        s = s_new(&w);
        s_get(s, w_url(&w.a, "/"));
        W_UNTIL(&w, s->closes);
        assert_int_equal(w.a.conn_count, 1); /* it was sent whole: the connection is good */
        w_close(&w);
    }
}

static void test_pointer(void **state)
{
    static const size_t sizes[] = {1, 16384, 16385, 100000, 1024 * 1024, 1024 * 1024 + 1, LARGE};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct world w;
        ac_http_body body = {.len = (int64_t)sizes[i]};
        struct sink *s;
        char        *data;

        w_open(&w, *state, NULL);
        w.a.replies     = &(struct o_reply){HELLO, sizeof HELLO - 1, O_STAY, 0, MORE100};
        w.a.reply_count = 1;
        data            = w_text(&w, sizes[i]);
        h_pattern((uint8_t *)data, sizes[i], 0);
        body.data = data;
        s         = put(&w, "PUT", &body, NULL);
        W_UNTIL(&w, s->closes);
        assert_true(s_is(s, 200, 0, "hello"));
        check_body(&w.a.requests[0], sizes[i]);
        assert_int_equal(strtoul(o_field(&w.a.requests[0], "Content-Length"), NULL, 10), sizes[i]);
        assert_int_equal(o_field(&w.a.requests[0], "Expect") != NULL, sizes[i] > 1024 * 1024);
        assert_int_equal(s->times.sent_bytes, w.a.conns[0]->received);
        w_close(&w);
    }
}

/* --- the callback ----------------------------------------------------------------------------- */

static void test_again(void **state)
{
    struct world   w;
    unsigned       calls;
    struct source *from;
    ac_http_body   body;
    struct sink   *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO));
    from           = source(&w, 100000, 1000);
    from->again_at = 50000;
    body           = body_of(from, true);
    s              = put(&w, NULL, &body, from);
    w_settle(&w);
    assert_int_equal(from->at, 50000);
    calls = from->calls;
    assert_true(h_idle(w.loop, 20 * AC_MILLISECOND) < 10);
    assert_int_equal(from->calls, calls); /* nobody asks again and again */
    from->again_at = 0;
    assert_int_equal(ac_http_body_ready(from->request), 0);
    assert_int_equal(from->at, 50000); /* nor inside the call */
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, "hello"));
    check_body(&w.a.requests[0], 100000);
    w_close(&w);
}

static void test_bad_callbacks(void **state)
{
    static const struct {
        size_t  fail_at, close_at;
        int64_t promised;
        int     err;
    } cases[] = {
        {50000, 0, 100000, -EIO},      {50000, 0, -1, -EIO},    {0, 50000, 100000, -AC_ECANCELED},
        {0, 50000, -1, -AC_ECANCELED}, {0, 0, 100001, -EINVAL}, {0, 0, 99999, -EINVAL},
        {0, 0, 50000, -EINVAL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world   w;
        struct source *from;
        ac_http_body   body;
        struct sink   *s;

        w_open(&w, *state, NULL);
        w.a.replies     = &(struct o_reply){HELLO, sizeof HELLO - 1, O_STAY, 0, MORE100};
        w.a.reply_count = 1;
        from            = source(&w, 100000, 30000);
        from->fail_at   = cases[i].fail_at;
        from->close_at  = cases[i].close_at;
        body            = body_of(from, true);
        body.len        = cases[i].promised;
        s               = put(&w, NULL, &body, from);
        W_UNTIL(&w, s->closes);
        if (s->err != cases[i].err)
            print_error("case %zu: %s\n", i, s_errname(s->err));
        assert_int_equal(s->err, cases[i].err);
        assert_int_equal(s->headers, cases[i].close_at == 0);
        w_settle(&w);
        assert_int_equal(w.a.open_count, 0);
        w_close(&w);
    }
}

/* A server that reads nothing: what is taken from the callback is bounded. */
static void test_back_pressure(void **state)
{
    enum { SIZE = 64 * 1024 * 1024 };

    for (int i = 0; i < 2; i++) {
        struct world   w;
        struct source *from;
        ac_http_body   body;
        struct sink   *s;
        size_t         at;

        w_open(&w, *state, NULL);
        w.a.replies     = &(struct o_reply){HELLO, sizeof HELLO - 1, O_STAY, 0, MORE100};
        w.a.reply_count = 1;
        from            = source(&w, SIZE, 65536);
        body            = body_of(from, i == 0);
        s               = put(&w, "PUT", &body, from);
        W_UNTIL(&w, w.a.request_count == 1);
        w.a.conns[0]->deaf = true;
        w_settle(&w);
        at = from->at;
        assert_true(at > 0 && at < 24 * 1024 * 1024);
        assert_true(h_idle(w.loop, 20 * AC_MILLISECOND) < 10);
        assert_int_equal(from->at, at);
        w.a.conns[0]->deaf = false;
        W_UNTIL(&w, from->at > at + 8 * 1024 * 1024);
        /* The rest is not worth its time: */
        s->closing = true;
        ac_http_close(from->request);
        W_UNTIL(&w, s->closes);
        w_close(&w);
    }
}

/* --- Expect ----------------------------------------------------------------------------------- */

static void test_silence(void **state)
{
    struct world   w;
    struct source *from;
    ac_http_body   body;
    struct sink   *s;
    int64_t        began = h_now();

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO)); /* no 100: the body goes out after a second */
    from = source(&w, 5000, 1000);
    body = body_of(from, false);
    s    = put(&w, NULL, &body, from);
    W_UNTIL(&w, w.a.request_count == 1);
    w_settle(&w);
    assert_int_equal(from->calls, 0);
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, "hello"));
    check_body(&w.a.requests[0], 5000);
    assert_true(h_now() - began >= 900 * AC_MILLISECOND && h_now() - began < 3 * AC_SECOND);
    w_close(&w);
}

static const struct expect {
    const char    *name;
    struct o_reply first;
    bool           rewinds;
    int            status, err;
    const char    *body;
    unsigned       requests, conns;
    int            sent; /* 1: the first request went out with its body; 2: perhaps */
} expects[] = {
    {"100, then 200",
     {HELLO, sizeof HELLO - 1, O_STAY, 0, MORE100},
     true,
     200,
     0,
     "hello",
     1,
     1,
     true},
    {"100 twice",
     {HELLO, sizeof HELLO - 1, O_STAY, 0, MORE100 MORE100},
     true,
     200,
     0,
     "hello",
     1,
     1,
     true},
    {"102, 100",
     {HELLO, sizeof HELLO - 1, O_STAY, 0, "HTTP/1.1 102 X\r\n\r\n" MORE100},
     true,
     200,
     0,
     "hello",
     1,
     1,
     true},
    {"417: once more without", EARLY("HTTP/1.1 417 X\r\nContent-Length: 0\r\n\r\n", O_STAY), true,
     201, 0, "", 2, 2, false},
    {"417, no rewinding", EARLY("HTTP/1.1 417 X\r\nContent-Length: 0\r\n\r\n", O_STAY), false, 417,
     0, "", 1, 1, false},
    {"413 instead of 100", EARLY(TOO_BIG, O_STAY), true, 413, 0, "large", 1, 1, false},
    {"413 and close",
     EARLY("HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge", O_FIN), true,
     413, 0, "large", 1, 1, false},
    {"413 until close", EARLY("HTTP/1.1 413 X\r\n\r\nlarge", O_FIN), true, 413, 0, "large", 1, 1,
     false},
    {"200 instead of 100", EARLY(HELLO, O_STAY), true, 200, 0, "hello", 1, 1, false},
    {"101 instead of 100", EARLY("HTTP/1.1 101 X\r\n\r\n", O_STAY), true, 0, -AC_EPROTO, "", 1, 1,
     false},
    {"the end instead of 100", EARLY("", O_FIN), true, 0, -AC_ETRUNCATED, "", 1, 1, false},
    {"reset instead of 100", EARLY("", O_RST), true, 0, -AC_ETRUNCATED, "", 1, 1, false},
    {"100, then the end", {"", 0, O_FIN, O_EARLY, MORE100}, true, 0, -AC_ETRUNCATED, "", 1, 1, 2},
    {"garbage instead of 100", EARLY("100 Continue\r\n\r\n", O_STAY), true, 0, -AC_EPROTO, "", 1, 1,
     false},
};

static bool run_expect(ac_loop *loop, const struct expect *e)
{
    struct o_reply replies[] = {e->first, STAY("HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n")};
    struct world   w;
    struct source *from;
    ac_http_body   body;
    struct sink   *s;
    bool           ok;

    w_open(&w, loop, NULL);
    w.a.replies     = replies;
    w.a.reply_count = 2;
    from            = source(&w, LARGE, 65536);
    body            = body_of(from, true);
    if (!e->rewinds)
        body.rewind = NULL;
    s = put(&w, "PUT", &body, from);
    W_UNTIL(&w, s->closes);
    w_settle(&w);
    ok = s_is(s, e->status, e->err, e->body) && w.a.request_count == e->requests
         && w.a.conn_count == e->conns && (e->sent == 2 || w.a.requests[0].whole == (e->sent == 1))
         && strcmp(o_field(&w.a.requests[0], "Expect"), "100-continue") == 0;
    if (e->requests == 2)
        ok = ok && w.a.requests[1].whole && w.a.requests[1].body_len == LARGE
             && o_field(&w.a.requests[1], "Expect") == NULL;
    /* A request that was not sent whole leaves its connection useless. */
    if (e->sent != 1)
        ok = ok && w.a.conns[0]->fd < 0;
    if (!ok)
        print_error(
            "%s: status %d, %s, %zu bytes, %u requests, %u connections, whole %d, open %d\n",
            e->name, s->status, s_errname(s->err), s->len, w.a.request_count, w.a.conn_count,
            w.a.requests[0].whole, w.a.conns[0]->fd >= 0);
    w_close(&w);
    return ok;
}

static void test_expect(void **state)
{
    size_t failed = 0;

    for (size_t i = 0; i < sizeof expects / sizeof expects[0]; i++)
        failed += !run_expect(*state, &expects[i]);
    print_message("             %zu cases, %zu failed\n", sizeof expects / sizeof expects[0],
                  failed);
    assert_int_equal(failed, 0);
}

/* --- answered before it was out --------------------------------------------------------------- */

/* The response is delivered, the rest of the body is not sent. */
static void test_early(void **state)
{
    for (int i = 0; i < 3; i++) {
        static const struct o_reply replies[] = {
            {TOO_BIG, sizeof TOO_BIG - 1, O_STAY, O_DEAF, NULL},
            {TOO_BIG, sizeof TOO_BIG - 1, O_FIN, O_DEAF, NULL},
            {CLOSING, sizeof CLOSING - 1, O_FIN, O_DEAF, NULL},
        };
        struct world   w;
        struct source *from;
        ac_http_body   body;
        struct sink   *s;

        w_open(&w, *state, NULL);
        w.a.replies     = &(struct o_reply){"", 0, O_STAY, O_MUTE, MORE100};
        w.a.reply_count = 1;
        from            = source(&w, 64 * 1024 * 1024, 65536);
        body            = body_of(from, true);
        s               = put(&w, "PUT", &body, from);
        W_UNTIL(&w, from->at > 1024 * 1024);
        w.a.conns[0]->deaf = true;
        o_push(&w.a, 0, replies[i].data, replies[i].len, replies[i].end);
        W_UNTIL(&w, s->closes);
        assert_true(s_is(s, 413, 0, "large"));
        assert_true(from->at < 32 * 1024 * 1024);
        w.a.conns[0]->deaf = false;
        w_settle(&w);
        assert_int_equal(w.a.open_count, 0);
        w_close(&w);
    }
}

/* The server goes away in the middle of a body. */
static void test_gone(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct world   w;
        struct source *from;
        ac_http_body   body;
        struct sink   *s;

        w_open(&w, *state, NULL);
        w.a.replies     = &(struct o_reply){"", 0, O_STAY, O_MUTE, MORE100};
        w.a.reply_count = 1;
        from            = source(&w, 64 * 1024 * 1024, 65536);
        body            = body_of(from, i == 0);
        s               = put(&w, "PUT", &body, from);
        W_UNTIL(&w, from->at > 1024 * 1024);
        o_push(&w.a, 0, "", 0, i == 0 ? O_RST : O_FIN);
        W_UNTIL(&w, s->closes);
        assert_true(s_is(s, 0, -AC_ETRUNCATED, ""));
        w_close(&w);
    }
}

/* A server of HTTP/1.0 knows no chunks. */
static void test_http10(void **state)
{
    struct world   w;
    struct source *from;
    ac_http_body   body;
    struct sink   *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"));
    w.a.repeat = true;
    s          = s_new(&w);
    s_get(s, w_url(&w.a, "/"));
    W_UNTIL(&w, s->closes);
    from = source(&w, 1000, 100);
    body = body_of(from, false);
    s    = put(&w, NULL, &body, from);
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 0, -AC_EPROTO, ""));
    assert_int_equal(from->calls, 0);
    body = body_of(from, true);
    s    = put(&w, NULL, &body, from);
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, ""));
    check_body(&w.a.requests[w.a.request_count - 1], 1000);
    w_close(&w);
}

/* A server that wants to know the length says so; that is an answer like others. */
static void test_411(void **state)
{
    struct world   w;
    struct source *from;
    ac_http_body   body;
    struct sink   *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, EARLY("HTTP/1.1 411 X\r\nContent-Length: 0\r\n\r\n", O_STAY));
    from = source(&w, 1000, 100);
    body = body_of(from, false);
    s    = put(&w, NULL, &body, from);
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 411, 0, ""));
    assert_int_equal(from->calls, 0);
    w_close(&w);
}

/* The time in which the caller has nothing to send is not the peer's. */
static void test_slow_producer(void **state)
{
    for (int known = 0; known < 2; known++) {
        ac_http_limits limits = {.size = sizeof limits, .idle = 100 * AC_MILLISECOND};
        ac_http_args   args   = {.size = sizeof args, .limits = &limits};
        struct world   w;
        struct source *from;
        ac_http_body   body;
        struct sink   *s;
        int64_t        begin;

        w_open(&w, *state, NULL);
        SCRIPT(w.a, {HELLO, sizeof HELLO - 1, O_STAY, 0, MORE100});
        from           = source(&w, 1000, 100);
        from->again_at = 300;
        body           = body_of(from, known != 0);
        args.body      = &body;
        args.url       = w_url(&w.a, "/up");
        s              = s_new(&w);
        assert_int_equal(s_send(s, &args, &from->request), 0);
        W_UNTIL(&w, from->at == 300);
        begin = h_now();
        while (h_now() - begin < 400 * AC_MILLISECOND) { /* four times what a peer may take */
            w_settle(&w);
            h_idle(w.loop, 10 * AC_MILLISECOND);
        }
        assert_int_equal(s->closes, 0);
        from->again_at = 0;
        assert_int_equal(ac_http_body_ready(from->request), 0);
        W_UNTIL(&w, s->closes);
        assert_true(s_is(s, 200, 0, "hello"));
        check_body(&w.a.requests[0], 1000);
        w_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_callback),      O_TEST(test_pointer),       O_TEST(test_again),
        O_TEST(test_bad_callbacks), O_TEST(test_back_pressure), O_TEST(test_silence),
        O_TEST(test_expect),        O_TEST(test_early),         O_TEST(test_gone),
        O_TEST(test_http10),        O_TEST(test_411),           O_TEST(test_slow_producer),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
