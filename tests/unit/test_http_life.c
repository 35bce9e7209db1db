/* SPDX-License-Identifier: MIT */
/*
 * The life of requests and consumers: closing, failing, moving and pausing in every slot and from
 * outside, and what ends them from above: the client, the loop, its channels.
 */
#include "http_origin.h"

#include <malloc.h>

#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define TE    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define TWO   TE "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
#define HALF  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"

static void close_it(struct sink *s)
{
    s->closing = true;
    ac_http_close(s->request);
    ac_http_close(s->request);
}

static void fail_it(struct sink *s)
{
    s->closing = true;
    ac_http_fail(s->request, (int)s->number);
    ac_http_fail(s->request, -EPERM); /* the first reason counts */
    ac_http_close(s->request);
}

static void pause_it(struct sink *s)
{
    assert_int_equal(ac_http_pause(s->request), 0);
}

static void close_then_ask(struct sink *s)
{
    close_it(s);
    assert_int_equal(ac_http_pause(s->request), -EBADF);
    assert_int_equal(ac_http_resume(s->request), -EBADF);
    assert_int_equal(ac_http_body_ready(s->request), -EBADF);
    assert_int_equal(ac_http_status(s->request), s->status); /* borrowed until its close */
}

static struct sink *start(struct world *w, const char *url, void (*on_header)(struct sink *),
                          void (*on_feed)(struct sink *))
{
    struct sink *s = s_new(w);

    s->on_header = on_header;
    s->on_feed   = on_feed;
    s_get(s, url);
    return s;
}

/* --- closing in slots ------------------------------------------------------------------------- */

static void test_close_in_slots(void **state)
{
    static const size_t cuts[] = {0, 1};

    for (int i = 0; i < 8; i++) {
        struct world w;
        struct sink *s, *t;

        w_open(&w, *state, NULL);
        w.a.cut = cuts[i % 2];
        SCRIPT(w.a, STAY(TWO), STAY(HELLO));
        s         = s_new(&w);
        s->number = -ENOSPC;
        if (i < 4)
            s->on_header = i < 2 ? close_then_ask : fail_it;
        else
            s->on_feed = i < 6 ? close_then_ask : fail_it;
        s_get(s, w_url(&w.a, "/"));
        W_UNTIL(&w, s->closes);
        assert_int_equal(s->headers, 1);
        assert_int_equal(s->err, i % 4 < 2 ? -AC_ECANCELED : -ENOSPC);
        assert_true(i < 4 ? s->len == 0 : s->len == (i % 2 == 1 ? 1 : 3));
        w_settle(&w);
        assert_int_equal(w.a.open_count, 0); /* the rest is not read for it */
        t = start(&w, w_url(&w.a, "/"), NULL, NULL);
        W_UNTIL(&w, t->closes);
        assert_true(s_is(t, 200, 0, "hello"));
        w_close(&w);
    }
}

/* The reason of a consumer may have either sign, and none is a cancellation. */
static void test_fail_signs(void **state)
{
    static const int given[] = {ENOSPC, -ENOSPC, 0};
    static const int got[]   = {-ENOSPC, -ENOSPC, -AC_ECANCELED};

    for (int i = 0; i < 3; i++) {
        struct world w;
        struct sink *s;

        w_open(&w, *state, NULL);
        SCRIPT(w.a, STAY(HELLO));
        s         = start(&w, w_url(&w.a, "/"), fail_it, NULL);
        s->number = given[i];
        W_UNTIL(&w, s->closes);
        assert_int_equal(s->err, got[i]);
        w_close(&w);
    }
}

/* Of a failure told by http_header with status 0, closing changes the reason, and nothing else. */
static void test_close_in_failure(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, FIN(""));
    s = start(&w, w_url(&w.a, "/"), close_it, NULL);
    W_UNTIL(&w, s->closes);
    assert_int_equal(s->status, 0);
    assert_int_equal(s->header_err, -AC_ETRUNCATED);
    assert_int_equal(s->err, -AC_ECANCELED);
    s = start(&w, "nonsense", close_it, NULL);
    W_UNTIL(&w, s->closes);
    assert_int_equal(s->header_err, -AC_EURL);
    w_close(&w);
}

static void close_in_close(struct sink *s)
{
    ac_http_close(s->request);
    ac_http_fail(s->request, -EIO);
    assert_int_equal(ac_http_pause(s->request), -EBADF);
}

static void test_close_in_close(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO), STAY(HELLO));
    s           = s_new(&w);
    s->on_close = close_in_close;
    s_get(s, w_url(&w.a, "/"));
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, "hello"));
    w_settle(&w);
    assert_int_equal(w.a.open_count, 1); /* it was complete */
    w_close(&w);
}

/* --- closing from outside --------------------------------------------------------------------- */

/* At every step that a request can be at: its close comes, from the loop, and nothing else. */
static void test_close_outside(void **state)
{
    for (int when = 0; when < 7; when++) {
        struct world     w;
        struct sink     *s;
        ac_http_args     args = {.size = sizeof args};
        ac_http_request *r;
        unsigned         headers;

        w_open(&w, *state, NULL);
        SCRIPT(w.a, STAY(HALF));
        if (when == 2)
            SCRIPT(w.a, FLAGS(HALF, O_MUTE));
        if (when == 3)
            SCRIPT(w.a, STAY("HTTP/1.1 200 OK\r\nConte"));
        args.url = when == 6 ? "nonsense" : w_url(&w.a, "/");
        s        = s_new(&w);
        if (when == 5)
            s->on_feed = pause_it;
        assert_int_equal(s_send(s, &args, &r), 0);
        if (when == 1)
            assert_true(ac_loop_turn(w.loop, 0) >= 0); /* connected or about to be */
        if (when >= 2 && when < 6)
            w_settle(&w);
        headers = s->headers;
        assert_int_equal(headers, when == 4 || when == 5);
        s->closing = true;
        ac_http_close(r);
        assert_int_equal(s->closes, 0);
        ac_http_close(r);
        W_UNTIL(&w, s->closes);
        assert_int_equal(s->headers, headers);
        assert_int_equal(s->err, -AC_ECANCELED);
        w_settle(&w);
        assert_int_equal(w.a.open_count, 0);
        w_close(&w);
    }
}

static void test_run_gives_close(void **state)
{
    struct world     w;
    struct sink     *s;
    ac_http_args     args = {.size = sizeof args};
    ac_http_request *r;

    w_open(&w, *state, NULL);
    args.url = w_url(&w.a, "/");
    s        = s_new(&w);
    assert_int_equal(s_send(s, &args, &r), 0);
    ac_http_close(r);
    assert_int_equal(ac_run(w.loop), 0); /* does not end before the close was told */
    assert_int_equal(s->closes, 1);
    assert_int_equal(s->headers, 0);
    w_close(&w);
}

static void close_other(struct sink *s)
{
    if (s->other->closes > 0)
        return;
    s->other->closing = true;
    ac_http_close(s->other->request);
}

/* A consumer closes another one's request, which has input at the same time. */
static void test_close_each_other(void **state)
{
    struct world w;
    struct sink *s, *t;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"));
    w.a.repeat = true;
    s          = start(&w, w_url(&w.a, "/"), NULL, close_other);
    t          = start(&w, w_url(&w.a, "/"), NULL, close_other);
    s->other   = t;
    t->other   = s;
    W_UNTIL(&w, s->headers && t->headers);
    o_push(&w.a, 0, "hello", 5, O_STAY);
    o_push(&w.a, 1, "hello", 5, O_STAY);
    W_UNTIL(&w, s->closes + t->closes == 1);
    w_settle(&w);
    assert_int_equal(s->closes + t->closes, 1);
    w_close(&w);
}

/* --- moving ----------------------------------------------------------------------------------- */

static void move_on(struct sink *s)
{
    const char *url = ac_http_url(s->request); /* lives to the end of the turn */

    if (s->number++ > 0)
        return;
    ac_http_close(s->request);
    assert_int_equal(ac_http_get(s->world->client, w_url(&s->world->b, "/next"), &s->base), 0);
    assert_string_equal(url, w_url(&s->world->a, "/"));
    assert_int_equal(ac_http_status(s->request), s->status);
    s->headers = 0;
    s->len     = 0;
}

/* A consumer that was given to another request has moved, with its one close. */
static void test_move(void **state)
{
    static const size_t cuts[] = {0, 1};

    for (int i = 0; i < 4; i++) {
        struct world w;
        struct sink *s;

        w_open(&w, *state, NULL);
        w.a.cut = w.b.cut = cuts[i % 2];
        SCRIPT(w.a, STAY(TWO));
        SCRIPT(w.b, STAY(HELLO));
        s = start(&w, w_url(&w.a, "/"), i < 2 ? move_on : NULL, i < 2 ? NULL : move_on);
        W_UNTIL(&w, s->closes);
        assert_true(s_is(s, 200, 0, "hello"));
        w_settle(&w);
        assert_int_equal(s->closes, 1);
        w_close(&w);
    }
}

static void move_then_close(struct sink *s)
{
    ac_http_args     args = {.size = sizeof args, .url = w_url(&s->world->b, "/next")};
    ac_http_request *r;

    ac_http_close(s->request);
    assert_int_equal(ac_http_send(s->world->client, &args, &s->base, &r), 0);
    s->closing = true;
    ac_http_close(r);
    assert_int_equal(ac_http_send(s->world->client, &args, &s->base, &r), 0);
    ac_http_close(r);
    s->request = r;
}

/* Several moves in one turn: one close, at its end. */
static void test_move_twice(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(TWO));
    s = start(&w, w_url(&w.a, "/"), move_then_close, NULL);
    W_UNTIL(&w, s->closes);
    assert_int_equal(s->err, -AC_ECANCELED);
    w_settle(&w);
    assert_int_equal(s->closes, 1);
    assert_int_equal(w.b.request_count, 0);
    w_close(&w);
}

static void move_from_failure(struct sink *s)
{
    if (s->number++ > 0)
        return;
    assert_int_equal(s->status, 0);
    ac_http_close(s->request);
    assert_int_equal(ac_http_get(s->world->client, w_url(&s->world->b, "/"), &s->base), 0);
    s->headers = 0;
}

static void test_move_from_failure(void **state)
{
    static const char *const urls[] = {"nonsense", NULL};

    for (int i = 0; i < 2; i++) {
        struct world w;
        struct sink *s;

        w_open(&w, *state, NULL);
        SCRIPT(w.a, FIN("HTTP/1.1 2"));
        SCRIPT(w.b, STAY(HELLO));
        s = start(&w, urls[i] != NULL ? urls[i] : w_url(&w.a, "/"), move_from_failure, NULL);
        W_UNTIL(&w, s->closes);
        assert_true(s_is(s, 200, 0, "hello"));
        w_close(&w);
    }
}

static void give_again(struct sink *s)
{
    if (s->number++ > 2)
        return;
    s->headers = s->closes = 0;
    s->len                 = 0;
    assert_int_equal(ac_http_get(s->world->client, w_url(&s->world->a, "/"), &s->base), 0);
}

/* In its close a consumer is free already. */
static void test_give_in_close(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO), STAY(HELLO), FIN("HTTP/1.1 5"), STAY(HELLO));
    s           = s_new(&w);
    s->on_close = give_again;
    s_get(s, w_url(&w.a, "/"));
    W_UNTIL(&w, s->number == 4);
    w_settle(&w);
    assert_true(s_is(s, 200, 0, "hello"));
    assert_int_equal(w.a.request_count, 4);
    w_close(&w);
}

static void busy_elsewhere(struct sink *s)
{
    assert_int_equal(ac_http_get(s->world->client, w_url(&s->world->b, "/"), &s->base), -EBUSY);
    s->rc++;
}

static void test_busy_in_slots(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO));
    s = start(&w, w_url(&w.a, "/"), busy_elsewhere, busy_elsewhere);
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, "hello"));
    assert_int_equal(s->rc, 2);
    assert_int_equal(w.b.conn_count, 0);
    w_close(&w);
}

/* --- starting others -------------------------------------------------------------------------- */

struct plain {
    ac_consumer base;
    unsigned    closes, *total;
};

static void plain_close(ac_consumer *c, int err)
{
    struct plain *p = AC_SELF(struct plain, c);

    assert_int_equal(err, 0);
    (*p->total)++;
    free(p); /* a consumer may free itself in its close */
}

/* Every slot may be left empty but the close, which frees the consumer. */
static const ac_consumer_class plain_class = {.name = "Plain", .close = plain_close};

static unsigned plain_total;

static void start_plain(struct sink *s)
{
    for (int i = 0; i < 20; i++) {
        struct plain *p = calloc(1, sizeof *p);

        assert_non_null(p);
        p->total = &plain_total;
        ac_consumer_init(&p->base, &plain_class);
        assert_int_equal(ac_http_get(s->world->client, w_url(&s->world->a, "/"), &p->base), 0);
    }
}

static void test_start_others(void **state)
{
    for (int i = 0; i < 3; i++) {
        struct world w;
        struct sink *s;

        w_open(&w, *state, NULL);
        SCRIPT(w.a, STAY(HELLO));
        w.a.repeat  = true;
        plain_total = 0;
        s           = s_new(&w);
        if (i == 0)
            s->on_header = start_plain;
        else if (i == 1)
            s->on_feed = start_plain;
        else
            s->on_close = start_plain;
        s_get(s, w_url(&w.a, "/"));
        W_UNTIL(&w, plain_total == 20);
        assert_true(s_is(s, 200, 0, "hello"));
        assert_true(w.a.conn_count <= 6);
        w_close(&w);
    }
}

/* A consumer with no slot at all takes everything. */
static void test_no_slots(void **state)
{
    static const ac_consumer_class none = {.name = "None"};
    struct world                   w;
    ac_consumer                    c;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO));
    ac_consumer_init(&c, &none);
    assert_int_equal(ac_http_get(w.client, w_url(&w.a, "/"), &c), 0);
    W_UNTIL(&w, c.request == NULL);
    w_close(&w);
}

/* --- strings of the head ---------------------------------------------------------------------- */

enum { BIG = 5000, TRAILERS = 400, TRAILER = 250 };

static struct {
    const char   *big, *one, *two, *missing;
    ac_http_field last;
    unsigned      looked;
} held;

static void look_at_held(struct sink *s)
{
    assert_string_equal(held.one, "1, 2");
    assert_string_equal(held.two, "3, 4, 5");
    assert_int_equal(strlen(held.big), BIG);
    assert_int_equal(strspn(held.big, "b"), BIG);
    assert_int_equal(held.last.name_len, 4);
    assert_memory_equal(held.last.name, "Last", 5);
    assert_memory_equal(held.last.value, "end", 4);
    assert_string_equal(ac_http_field_get(s->request, "X-One"), "1, 2");
    held.looked++;
}

static void hold_strings(struct sink *s)
{
    held.big  = ac_http_field_get(s->request, "Big");
    held.one  = ac_http_field_get(s->request, "X-One");
    held.two  = ac_http_field_get(s->request, "X-Two");
    held.last = ac_http_field_at(s->request, ac_http_field_count(s->request) - 1);
    (void)w_text(s->world, 20000); /* what was behind the head in memory is taken */
    look_at_held(s);
}

static void look_at_trailers(struct sink *s)
{
    assert_int_equal(ac_http_trailer_count(s->request), TRAILERS);
    look_at_held(s);
}

/* What http_header was given lives as long as the request, however much comes behind the body. */
static void test_strings_outlive_trailers(void **state)
{
    static const size_t cuts[] = {0, 1500};
    static const char   fields[] =
        "X-One: 1\r\nX-Two: 3\r\nx-one: 2\r\nX-Two: 4\r\nX-TWO: 5\r\nLast: end\r\n\r\n";

    (void)mallopt(M_PERTURB, 0xa5); /* memory that was given back does not look as before */
    for (int i = 0; i < 2; i++) {
        struct world   w;
        struct sink   *s;
        struct o_reply reply = {.end = O_STAY};
        char          *text;
        size_t         at;

        w_open(&w, *state, NULL);
        text = w_text(&w, BIG + 1000 + (size_t)TRAILERS * (TRAILER + 16));
        at   = (size_t)sprintf(text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nBig: ");
        memset(text + at, 'b', BIG);
        at += BIG;
        at += (size_t)sprintf(text + at, "\r\n%s3\r\nabc\r\n0\r\n", fields);
        for (int n = 0; n < TRAILERS; n++)
            at += (size_t)sprintf(text + at, "T-%d: %0*d\r\n", n, TRAILER, n);
        at += (size_t)sprintf(text + at, "\r\n");
        reply.data      = text;
        reply.len       = at;
        w.a.replies     = &reply;
        w.a.reply_count = 1;
        w.a.cut         = cuts[i];
        held.looked     = 0;
        s               = s_new(&w);
        s->on_header    = hold_strings;
        s->on_feed      = look_at_held;
        s->on_close     = look_at_trailers;
        s_get(s, w_url(&w.a, "/"));
        W_UNTIL(&w, s->closes);
        assert_true(s_is(s, 200, 0, "abc"));
        assert_true(held.looked >= 3);
        w_close(&w);
    }
    (void)mallopt(M_PERTURB, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_close_in_slots),
        O_TEST(test_fail_signs),
        O_TEST(test_close_in_failure),
        O_TEST(test_close_in_close),
        O_TEST(test_close_outside),
        O_TEST(test_run_gives_close),
        O_TEST(test_close_each_other),
        O_TEST(test_move),
        O_TEST(test_move_twice),
        O_TEST(test_move_from_failure),
        O_TEST(test_give_in_close),
        O_TEST(test_busy_in_slots),
        O_TEST(test_start_others),
        O_TEST(test_no_slots),
        O_TEST(test_strings_outlive_trailers),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
