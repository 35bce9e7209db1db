/* SPDX-License-Identifier: MIT */
/*
 * Limits on size, number and time: at the limit all is well, one more is an error of its own kind.
 */
#include "http_origin.h"

#define OK "HTTP/1.1 200 OK\r\n"

/* --- heads ------------------------------------------------------------------------------------ */

struct text {
    char  *data;
    size_t len, cap;
};

static void add(struct text *t, const char *data, size_t n)
{
    if (t->len + n + 1 > t->cap) {
        t->cap  = 2 * (t->len + n + 1);
        t->data = realloc(t->data, t->cap);
        assert_non_null(t->data);
    }
    memcpy(t->data + t->len, data, n);
    t->len += n;
    t->data[t->len] = '\0';
}

static void adds(struct text *t, const char *data)
{
    add(t, data, strlen(data));
}

static void fill(struct text *t, const char *data, size_t times)
{
    while (times-- > 0)
        adds(t, data);
}

/* Each makes a response of a size n. */
static void many_fields(struct text *t, size_t n)
{
    adds(t, OK);
    fill(t, "A: b\r\n", n - 1);
    adds(t, "Content-Length: 0\r\n\r\n");
}

static void long_value(struct text *t, size_t n)
{
    adds(t, OK "Content-Length: 0\r\nA: ");
    fill(t, "v", n - strlen(OK "Content-Length: 0\r\nA: \r\n\r\n"));
    adds(t, "\r\n\r\n");
}

static void long_name(struct text *t, size_t n)
{
    adds(t, OK "Content-Length: 0\r\n");
    fill(t, "n", n - strlen(OK "Content-Length: 0\r\n: x\r\n\r\n"));
    adds(t, ": x\r\n\r\n");
}

static void long_reason(struct text *t, size_t n)
{
    adds(t, "HTTP/1.1 200 ");
    fill(t, "r", n - strlen("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"));
    adds(t, "\r\nContent-Length: 0\r\n\r\n");
}

static void many_folds(struct text *t, size_t n)
{
    adds(t, OK "Content-Length: 0\r\nA: b");
    fill(t, "\r\n c", n / 4);
    adds(t, "\r\n\r\n");
}

static void blank_folds(struct text *t, size_t n)
{
    adds(t, OK "Content-Length: 0\r\nA: b");
    fill(t, "\r\n ", n / 3);
    adds(t, "\r\n\r\n");
}

static void long_interims(struct text *t, size_t n)
{
    for (int i = 0; i < 8; i++) {
        adds(t, "HTTP/1.1 103 X\r\nA: ");
        fill(t, "v", n / 8);
        adds(t, "\r\n\r\n");
    }
    adds(t, OK "Content-Length: 0\r\n\r\n");
}

static void many_interims(struct text *t, size_t n)
{
    fill(t, "HTTP/1.1 103 X\r\n\r\n", n);
    adds(t, OK "Content-Length: 0\r\n\r\n");
}

static void many_trailers(struct text *t, size_t n)
{
    adds(t, OK "Transfer-Encoding: chunked\r\n\r\n0\r\n");
    fill(t, "A: b\r\n", n - 1);
    adds(t, "\r\n");
}

static void long_trailer(struct text *t, size_t n)
{
    adds(t, OK "Transfer-Encoding: chunked\r\n\r\n0\r\nA: ");
    fill(t, "v", n);
    adds(t, "\r\n\r\n");
}

static void long_extension(struct text *t, size_t n)
{
    adds(t, OK "Transfer-Encoding: chunked\r\n\r\n0;");
    fill(t, "x", n - 2);
    adds(t, "\r\n\r\n");
}

static void zeros_of_size(struct text *t, size_t n)
{
    adds(t, OK "Transfer-Encoding: chunked\r\n\r\n");
    fill(t, "0", n);
    adds(t, "\r\n\r\n");
}

#define HEAD (256 * 1024)
#define BIG  -AC_ETOOLARGE

static const struct built {
    const char *name;
    void (*make)(struct text *t, size_t n);
    size_t         n;
    ac_http_limits limits;
    int            status, err;
} built[] = {
    {"500 fields", many_fields, 500, {0}, 200, 0},
    {"501 fields", many_fields, 501, {0}, 0, BIG},
    {"10,000 fields", many_fields, 10000, {0}, 0, BIG},
    {"65 fields", many_fields, 65, {0}, 200, 0},
    {"3 fields of 3", many_fields, 3, {.fields = 3}, 200, 0},
    {"4 fields of 3", many_fields, 4, {.fields = 3}, 0, BIG},
    {"10,000 fields, no limit", many_fields, 10000, {.fields = AC_NO_LIMIT}, 200, 0},
    {"a head of 256 KiB", long_value, HEAD, {0}, 200, 0},
    {"a head of 256 KiB + 1", long_value, HEAD + 1, {0}, 0, BIG},
    {"a value of 4 MiB", long_value, 4 * 1024 * 1024, {0}, 0, BIG},
    {"a value of 4 MiB, no limit", long_value, 4 * 1024 * 1024, {.head = AC_NO_LIMIT}, 200, 0},
    {"a head of 4,096", long_value, 4096, {0}, 200, 0},
    {"a head of 4,097", long_value, 4097, {0}, 200, 0},
    {"a head of 100 of 100", long_value, 100, {.head = 100}, 200, 0},
    {"a head of 101 of 100", long_value, 101, {.head = 100}, 0, BIG},
    {"a name of 256 KiB", long_name, HEAD, {0}, 200, 0},
    {"a name of 1 MiB", long_name, 1024 * 1024, {0}, 0, BIG},
    {"a reason of 256 KiB", long_reason, HEAD, {0}, 200, 0},
    {"a reason of 1 MiB", long_reason, 1024 * 1024, {0}, 0, BIG},
    {"folds of 200 KiB", many_folds, 200 * 1024, {0}, 200, 0},
    {"folds of 1 MiB", many_folds, 1024 * 1024, {0}, 0, BIG},
    {"blank folds of 200 KiB", blank_folds, 200 * 1024, {0}, 200, 0},
    {"blank folds of 1 MiB", blank_folds, 1024 * 1024, {0}, 0, BIG},
    {"interims of 200 KiB in all", long_interims, 200 * 1024, {0}, 200, 0},
    {"interims of 1 MiB in all", long_interims, 1024 * 1024, {0}, 0, BIG},
    {"16 interims", many_interims, 16, {0}, 200, 0},
    {"17 interims", many_interims, 17, {0}, 0, BIG},
    {"10,000 interims", many_interims, 10000, {0}, 0, BIG},
    {"3 interims of 2", many_interims, 3, {.interims = 2}, 0, BIG},
    {"500 interims, no limit", many_interims, 500, {.interims = AC_NO_LIMIT}, 200, 0},
    {"499 trailers with a field", many_trailers, 500, {0}, 200, 0},
    {"500 trailers with a field", many_trailers, 501, {0}, 200, BIG},
    {"10,000 trailers", many_trailers, 10000, {0}, 200, BIG},
    {"a trailer of 250 KiB", long_trailer, 250 * 1024, {0}, 200, 0},
    {"a trailer of 256 KiB", long_trailer, HEAD, {0}, 200, BIG},
    {"a trailer of 4 MiB", long_trailer, 4 * 1024 * 1024, {0}, 200, BIG},
    {"an extension of 4 KiB", long_extension, 4096, {0}, 200, 0},
    {"an extension of 4 KiB + 1", long_extension, 4097, {0}, 200, BIG},
    {"an extension of 4 MiB", long_extension, 4 * 1024 * 1024, {0}, 200, BIG},
    {"4 KiB of zeros", zeros_of_size, 4096, {0}, 200, 0},
    {"1 MiB of zeros", zeros_of_size, 1024 * 1024, {0}, 200, BIG},
};

static bool run_built(ac_loop *loop, const struct built *b, size_t cut)
{
    ac_http_options o = {.size = sizeof o, .limits = b->limits};
    struct text     t = {0};
    struct o_reply  r = {0};
    struct world    w;
    struct sink    *s;
    bool            ok;

    b->make(&t, b->n);
    r.data = t.data;
    r.len  = t.len;
    w_open(&w, loop, &o);
    w.a.replies     = &r;
    w.a.reply_count = 1;
    w.a.cut         = cut;
    s               = s_new(&w);
    s_get(s, w_url(&w.a, "/"));
    W_UNTIL(&w, s->closes);
    ok = s_is(s, b->status, b->err, "");
    if (!ok)
        print_error("%s (cut %zu): status %d, %s\n", b->name, cut, s->status, s_errname(s->err));
    w_close(&w);
    free(t.data);
    return ok;
}

static void test_built(void **state)
{
    size_t failed = 0, runs = 0;

    for (size_t i = 0; i < sizeof built / sizeof built[0]; i++) {
        failed += run_built(*state, &built[i], 0) ? 0 : 1;
        failed += run_built(*state, &built[i], 1000) ? 0 : 1;
        runs += 2;
        if (built[i].n < 5000) {
            failed += !run_built(*state, &built[i], 1);
            runs++;
        }
    }
    print_message("             %zu cases, %zu runs, %zu failed\n", sizeof built / sizeof built[0],
                  runs, failed);
    assert_int_equal(failed, 0);
}

/* --- bodies ----------------------------------------------------------------------------------- */

static const struct wire by_body[] = {
    {"10 of 10 by length", NULL, STAY(OK "Content-Length: 10\r\n\r\n0123456789"), 200, 0,
     "0123456789", true, NULL, NULL},
    {"11 of 10 by length: before the body", NULL, STAY(OK "Content-Length: 11\r\n\r\n01234567890"),
     200, BIG, "", false, NULL, NULL},
    {"2^63 - 1 by length", NULL, STAY(OK "Content-Length: 9223372036854775807\r\n\r\n0123"), 200,
     BIG, "", false, NULL, NULL},
    {"10 of 10 by chunks", NULL,
     STAY(OK "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"), 200, 0,
     "0123456789", true, NULL, NULL},
    {"11 of 10 by chunks", NULL,
     STAY(OK "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n"), 200, BIG, NULL,
     false, NULL, NULL},
    {"10 of 10 until close", NULL, FIN(OK "\r\n0123456789"), 200, 0, "0123456789", false, NULL,
     NULL},
    {"11 of 10 until close", NULL, FIN(OK "\r\n01234567890"), 200, BIG, NULL, false, NULL, NULL},
    {"HEAD of a large one", "HEAD", STAY(OK "Content-Length: 1000\r\n\r\n"), 200, 0, "", true, NULL,
     NULL},
    {"304 of a large one", NULL, STAY("HTTP/1.1 304 X\r\nContent-Length: 1000\r\n\r\n"), 304, 0, "",
     true, NULL, NULL},
};

static void test_bodies(void **state)
{
    ac_http_options o = {.size = sizeof o, .limits = {.body = 10}};

    w_wire(*state, by_body, sizeof by_body / sizeof by_body[0], &o);
    o.limits = (ac_http_limits){.decoded = 10};
    for (size_t i = 3; i < sizeof by_body / sizeof by_body[0]; i++)
        w_wire(*state, &by_body[i], 1, &o);
}

/* A request's own limits, where it has them, else the client's. */
static void test_own_limits(void **state)
{
    static const ac_http_limits own   = {.size = sizeof own, .body = 20},
                                none  = {.size = sizeof none, .body = AC_NO_LIMIT},
                                other = {.size = sizeof other, .fields = 3};
    static const struct {
        const ac_http_limits *limits;
        int                   err;
    } cases[] = {{NULL, BIG}, {&own, 0}, {&none, 0}, {&other, BIG}};

    for (size_t i = 0; i < 4; i++) {
        ac_http_options o    = {.size = sizeof o, .limits = {.body = 10}};
        ac_http_args    args = {.size = sizeof args, .limits = cases[i].limits};
        struct world    w;
        struct sink    *s;

        w_open(&w, *state, &o);
        SCRIPT(w.a, STAY(OK "Content-Length: 15\r\n\r\n012345678901234"));
        args.url = w_url(&w.a, "/");
        s        = s_new(&w);
        assert_int_equal(s_send(s, &args, NULL), 0);
        W_UNTIL(&w, s->closes);
        assert_string_equal(s_errname(s->err), s_errname(cases[i].err));
        w_close(&w);
    }
}

/* --- time ------------------------------------------------------------------------------------- */

enum { MS = 1000000 };

/* Since when the time of the case at hand runs: the client's runs from a moment later. */
static int64_t since;

static struct sink *timed(struct world *w, ac_loop *loop, ac_http_limits limits)
{
    ac_http_options o = {.size = sizeof o, .limits = limits};
    struct sink    *s;

    w_open(w, loop, &o);
    s     = s_new(w);
    since = h_now();
    s_get(s, w_url(&w->a, "/"));
    return s;
}

/*
 * Waits for the end, which is to be by time-out, after `ms` at least; feeds a byte each `every`
 * ms.
 */
static void times_out(struct world *w, struct sink *s, int64_t ms, int64_t every, const char *byte)
{
    int64_t from = since, next = h_now() + every * MS;

    while (!s->closes) {
        struct h_bound b = h_bound(UINT32_MAX - 1);

        w_turn(w, &b, __FILE__, __LINE__);
        if (every > 0 && h_now() >= next && w->a.request_count > 0) {
            o_push(&w->a, 0, byte, 1, O_STAY);
            next += every * MS;
        }
        assert_true(h_now() - from < 5 * AC_SECOND);
    }
    if (s->err != -ETIMEDOUT || h_now() - from < (ms - 2) * MS)
        print_error("%s after %ld us\n", s_errname(s->err), (long)((h_now() - from) / 1000));
    assert_int_equal(s->err, -ETIMEDOUT);
    assert_true(h_now() - from >= (ms - 2) * MS);
    w_settle(w);
    assert_int_equal(w->a.open_count, 0);
    w_close(w);
}

static void test_connect_timeout(void **state)
{
    ac_http_options o = {.size = sizeof o, .limits = {.connect = 50 * MS}};
    struct world    w;
    struct sink    *s;
    ac_addr         addr;
    int             listener = h_raw_listen(&addr, "127.0.0.1", 0), full[8];
    char            url[64];

    /* The queue of the listener is full: more connections are not answered. */
    for (int i = 0; i < 8; i++) {
        full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(full[i], &addr.u.sa, addr.len);
    }
    w_open(&w, *state, &o);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ac_addr_port(&addr));
    s     = s_new(&w);
    since = h_now();
    s_get(s, url);
    times_out(&w, s, 50, 0, NULL);
    for (int i = 0; i < 8; i++)
        close(full[i]);
    close(listener);
}

static void test_response_timeout(void **state)
{
    struct world w;
    struct sink *s = timed(&w, *state, (ac_http_limits){.response = 50 * MS});

    SCRIPT(w.a, FLAGS("", O_MUTE));
    times_out(&w, s, 50, 0, NULL); /* silence */

    s = timed(&w, *state, (ac_http_limits){.response = 50 * MS});
    SCRIPT(w.a, STAY(OK "A: "));
    times_out(&w, s, 50, 5, "x"); /* a head that drips: absolute */

    s = timed(&w, *state, (ac_http_limits){.response = 50 * MS});
    SCRIPT(w.a, STAY("HTTP/1.1 103 X\r\n\r\n"));
    times_out(&w, s, 50, 0, NULL); /* an interim response does not begin it anew */
}

static void test_idle_timeout(void **state)
{
    struct world w;
    struct sink *s = timed(&w, *state, (ac_http_limits){.idle = 50 * MS});

    SCRIPT(w.a, FLAGS("", O_MUTE));
    times_out(&w, s, 50, 0, NULL);
    s = timed(&w, *state, (ac_http_limits){.idle = 50 * MS});
    SCRIPT(w.a, STAY(OK "Content-Length: 10\r\n\r\nhello"));
    times_out(&w, s, 50, 0, NULL);
    s = timed(&w, *state, (ac_http_limits){.idle = 50 * MS});
    SCRIPT(w.a, STAY(OK "\r\nhello"));
    times_out(&w, s, 50, 0, NULL);
}

static void sleep_once(struct sink *s)
{
    const struct timespec longer = {0, 120 * 1000 * 1000};

    if (s->number++ == 0)
        (void)nanosleep(&longer, NULL);
}

/* A consumer that takes its time, or a stopped program, is no silence of the peer's: more is there. */
static void test_busy_is_not_idle(void **state)
{
    enum { SIZE = 1024 * 1024 };
    static const char head[] = OK "Content-Length: 1048576\r\n\r\n";
    struct world      w;
    struct sink      *s = timed(&w, *state, (ac_http_limits){.idle = 50 * MS});
    struct o_reply    r = {.len = sizeof head - 1 + SIZE};
    char             *text;

    text = w_text(&w, r.len);
    memcpy(text, head, sizeof head - 1);
    memset(text + sizeof head - 1, 'x', SIZE);
    r.data          = text;
    w.a.replies     = &r;
    w.a.reply_count = 1;
    s->forget       = true;
    s->on_feed      = sleep_once;
    W_UNTIL(&w, s->closes);
    assert_int_equal(s->err, 0);
    assert_int_equal(s->times.bytes, SIZE);
    w_close(&w);
}

/* What drips goes under the idle limit; the total and the low speed are there for it. */
static void test_drip(void **state)
{
    struct world w;
    struct sink *s = timed(&w, *state, (ac_http_limits){.total = 100 * MS, .idle = 50 * MS});

    SCRIPT(w.a, STAY(OK "\r\n"));
    times_out(&w, s, 100, 10, "x");
    s = timed(&w, *state, (ac_http_limits){.low_speed = 1000, .low_speed_time = 100 * MS});
    SCRIPT(w.a, STAY(OK "\r\n"));
    times_out(&w, s, 100, 10, "x");
    s = timed(&w, *state, (ac_http_limits){.total = 60 * MS});
    SCRIPT(w.a, FLAGS("", O_MUTE));
    times_out(&w, s, 60, 0, NULL);
}

/* Just fast enough, for several times the limit. */
static void test_fast_enough(void **state)
{
    struct world w;
    struct sink *s = timed(
        &w, *state, (ac_http_limits){.idle = 60 * MS, .low_speed = 20, .low_speed_time = 60 * MS});
    int64_t end = h_now() + 250 * MS, next = h_now();

    SCRIPT(w.a, STAY(OK "\r\n"));
    while (h_now() < end) {
        struct h_bound b = h_bound(UINT32_MAX - 1);

        w_turn(&w, &b, __FILE__, __LINE__);
        if (h_now() >= next && w.a.request_count > 0) {
            o_push(&w.a, 0, "x", 1, O_STAY);
            next = h_now() + 10 * MS;
        }
    }
    if (s->closes > 0)
        print_error("%s after %zu bytes\n", s_errname(s->err), s->len);
    assert_int_equal(s->closes, 0);
    assert_true(s->len > 5);
    s->closing = true;
    ac_http_close(s->request);
    w_close(&w);
}

static void pause_it(struct sink *s)
{
    assert_int_equal(ac_http_pause(s->request), 0);
}

/* While it is paused no clock runs but the total. */
static void test_paused(void **state)
{
    struct world w;
    struct sink *s =
        timed(&w, *state,
              (ac_http_limits){.idle = 40 * MS, .low_speed = 1000, .low_speed_time = 40 * MS});
    int64_t end = h_now() + 150 * MS;

    SCRIPT(w.a, STAY(OK "Content-Length: 10\r\n\r\nhello"));
    s->on_header = pause_it;
    while (h_now() < end) {
        struct h_bound b = h_bound(UINT32_MAX - 1);

        w_turn(&w, &b, __FILE__, __LINE__);
    }
    assert_int_equal(s->closes, 0);
    since = h_now();
    assert_int_equal(ac_http_resume(s->request), 0);
    times_out(&w, s, 40, 0, NULL); /* they begin anew */

    s            = timed(&w, *state, (ac_http_limits){.total = 80 * MS});
    s->on_header = pause_it;
    SCRIPT(w.a, STAY(OK "Content-Length: 10\r\n\r\nhello"));
    times_out(&w, s, 80, 0, NULL);
}

/* A server that does not take the body of a request. */
static void test_send_timeout(void **state)
{
    enum { SIZE = 64 * 1024 * 1024 };
    ac_http_options o    = {.size = sizeof o, .limits = {.idle = 60 * MS}};
    ac_http_body    body = {.len = SIZE};
    ac_http_args    args = {.size = sizeof args, .method = "PUT", .body = &body};
    struct world    w;
    struct sink    *s;

    w_open(&w, *state, &o);
    w.a.replies     = &(struct o_reply){"", 0, O_STAY, O_DEAF, "HTTP/1.1 100 X\r\n\r\n"};
    w.a.reply_count = 1;
    body.data       = w_text(&w, SIZE);
    args.url        = w_url(&w.a, "/");
    s               = s_new(&w);
    assert_int_equal(s_send(s, &args, NULL), 0);
    W_UNTIL(&w, w.a.request_count == 1);
    w.a.conns[0]->deaf = true;
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 0, -ETIMEDOUT, ""));
    w_close(&w);
}

/* What is left of a followed redirect is not waited for very long, and holds nothing up. */
static void test_slow_rest(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY("HTTP/1.1 302 X\r\nLocation: http://{B}/\r\nContent-Length: 10\r\n\r\nhello"));
    SCRIPT(w.b, STAY(OK "Content-Length: 0\r\n\r\n"));
    s = s_new(&w);
    assert_int_equal(ac_http_get(w.client, w_url(&w.a, "/"), ac_redirect_new(&s->base, NULL)), 0);
    s->issued = true;
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, ""));
    assert_int_equal(ac_run(w.loop), 0); /* it does not keep the loop either */
    W_UNTIL(&w, w.a.open_count == 0);
    w_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_built),
        O_TEST(test_bodies),
        O_TEST(test_own_limits),
        O_TEST(test_connect_timeout),
        O_TEST(test_response_timeout),
        O_TEST(test_idle_timeout),
        O_TEST(test_busy_is_not_idle),
        O_TEST(test_drip),
        O_TEST(test_fast_enough),
        O_TEST(test_paused),
        O_TEST(test_send_timeout),
        O_TEST(test_slow_rest),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
