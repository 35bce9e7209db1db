/* SPDX-License-Identifier: MIT */
/* Holding requests back, and what ends them from above: the client, the loop, its channels. */
#include "http_origin.h"

#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define TE    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define TWO   TE "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
#define HALF  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"

static void pause_it(struct sink *s)
{
    assert_int_equal(ac_http_pause(s->request), 0);
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

/* --- holding back ----------------------------------------------------------------------------- */

/*
 * While it is paused nothing is fed, the peer can write only so much, and the loop does not spin.
 */
static void test_pause(void **state)
{
    enum { SIZE = 24 * 1024 * 1024 };

    for (int i = 0; i < 2; i++) {
        struct world   w;
        struct sink   *s;
        struct o_reply r = {0};
        char          *text;
        size_t         head, len;
        uint64_t       sent;

        w_open(&w, *state, NULL);
        text = w_text(&w, SIZE + 128);
        head =
            (size_t)snprintf(text, 128,
                             i == 0 ? "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                                    : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
                             SIZE);
        h_pattern((uint8_t *)text + head, SIZE, 0);
        if (i == 1)
            memcpy(text + head + SIZE, "\r\n0\r\n\r\n", 7);
        r.data          = text;
        r.len           = head + SIZE + (i == 1 ? 7 : 0);
        w.a.replies     = &r;
        w.a.reply_count = 1;
        s               = start(&w, w_url(&w.a, "/"), NULL, pause_it);
        W_UNTIL(&w, s->feeds == 1);
        w_settle(&w);
        assert_int_equal(s->feeds, 1);
        sent = w.a.conns[0]->sent;
        assert_true(sent < SIZE - 1024 * 1024);
        assert_true(h_idle(w.loop, 30 * AC_MILLISECOND) < 10);
        assert_int_equal(s->feeds, 1);
        len = s->len;
        assert_int_equal(ac_http_resume(s->request), 0);
        assert_int_equal(s->len, len);
        W_UNTIL(&w, s->feeds == 2);
        w_settle(&w);
        assert_int_equal(s->feeds, 2); /* it paused again */
        s->on_feed = NULL;
        assert_int_equal(ac_http_resume(s->request), 0);
        W_UNTIL(&w, s->closes);
        assert_int_equal(s->err, 0);
        assert_int_equal(s->len, SIZE);
        assert_true(h_pattern_ok((uint8_t *)s->body, SIZE, 0));
        w_close(&w);
    }
}

static void pause_resume(struct sink *s)
{
    assert_int_equal(ac_http_pause(s->request), 0);
    assert_int_equal(ac_http_pause(s->request), 0);
    assert_int_equal(ac_http_resume(s->request), 0);
    assert_int_equal(ac_http_resume(s->request), 0);
}

static void test_pause_resume(void **state)
{
    static const size_t cuts[] = {0, 1};

    for (int i = 0; i < 2; i++) {
        struct world w;
        struct sink *s;

        w_open(&w, *state, NULL);
        SCRIPT(w.a, STAY(TWO), STAY(HELLO));
        w.a.cut = cuts[i];
        s       = start(&w, w_url(&w.a, "/"), pause_resume, pause_resume);
        W_UNTIL(&w, s->closes);
        assert_true(s_is(s, 200, 0, "abcdef"));
        s = start(&w, w_url(&w.a, "/"), NULL, NULL);
        W_UNTIL(&w, s->closes);
        assert_int_equal(w.a.conn_count, 1);
        w_close(&w);
    }
}

/* Paused in the header, with the whole response there; resumed, closed, or the peer has gone. */
static void test_pause_in_header(void **state)
{
    for (int i = 0; i < 4; i++) {
        struct world w;
        struct sink *s;

        w_open(&w, *state, NULL);
        if (i < 2)
            SCRIPT(w.a, STAY(TWO));
        else
            SCRIPT(w.a, FIN(TWO));
        s = start(&w, w_url(&w.a, "/"), pause_it, NULL);
        W_UNTIL(&w, s->headers);
        w_settle(&w);
        assert_int_equal(s->feeds + s->closes, 0);
        if (i % 2 == 0) {
            assert_int_equal(ac_http_resume(s->request), 0);
            W_UNTIL(&w, s->closes);
            assert_true(s_is(s, 200, 0, "abcdef"));
        } else {
            s->closing = true;
            ac_http_close(s->request);
            W_UNTIL(&w, s->closes);
            assert_int_equal(s->err, -AC_ECANCELED);
        }
        w_close(&w);
    }
}

/* Paused before anything came: from outside, right after it was issued. */
static void test_pause_early(void **state)
{
    struct world     w;
    struct sink     *s;
    ac_http_args     args = {.size = sizeof args};
    ac_http_request *r;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO));
    args.url = w_url(&w.a, "/");
    s        = s_new(&w);
    assert_int_equal(s_send(s, &args, &r), 0);
    assert_int_equal(ac_http_pause(r), 0);
    w_settle(&w);
    assert_int_equal(s->feeds + s->closes, 0);
    assert_int_equal(ac_http_resume(r), 0);
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, "hello"));
    w_close(&w);
}

/* --- ends from above -------------------------------------------------------------------------- */

static void free_client(struct sink *s)
{
    s->rc = ac_http_client_free(s->world->client);
}

static void get_when_ended(struct sink *s)
{
    s->rc = ac_http_get(s->world->client, w_url(&s->world->a, "/"), &s->base);
}

/* Requests at every step, over several connections and in the queue. */
static void at_every_step(struct world *w, struct sink *s[10])
{
    SCRIPT(w->a, STAY(HALF), STAY(HALF), STAY("HTTP/1.1 200"), FLAGS("", O_MUTE));
    w->a.repeat = true;
    s[0]        = start(w, w_url(&w->a, "/"), NULL, NULL);
    s[1]        = start(w, w_url(&w->a, "/"), pause_it, NULL);
    for (int i = 2; i < 8; i++) /* the last two wait */
        s[i] = start(w, w_url(&w->a, "/"), NULL, NULL);
    w_settle(w);
    s[8] = start(w, w_url(&w->b, "/"), NULL, NULL); /* connecting */
    s[9] = start(w, "nonsense", NULL, NULL);
}

static void test_client_free(void **state)
{
    struct world w;
    struct sink *s[10], *t;

    w_open(&w, *state, NULL);
    at_every_step(&w, s);
    t           = s_new(&w);
    t->on_close = free_client;
    s_get(t, "nonsense");
    W_UNTIL(&w, t->closes);
    assert_int_equal(t->rc, -EBUSY);
    s[9]->on_close = NULL;
    assert_int_equal(s[9]->closes, 1);
    s[0]->closing  = true;
    s[0]->on_close = get_when_ended;
    assert_int_equal(ac_http_client_free(w.client), 0);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(s[i]->closes, 1);
        assert_int_equal(s[i]->err, -AC_ECANCELED);
    }
    assert_int_equal(s[0]->rc, -EINVAL);
    w.client = NULL;
    assert_int_equal(ac_run(w.loop), 0); /* nothing is left that keeps it */
    w_close(&w);
}

static void test_loop_free(void **state)
{
    struct world w;
    struct sink *s[10];

    w_open(&w, *state, NULL);
    at_every_step(&w, s);
    assert_int_equal(ac_loop_free(w.loop), 0);
    H_LOOP_GONE(state);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(s[i]->closes, 1);
        assert_int_equal(s[i]->err, -AC_ECANCELED);
    }
    assert_int_equal(ac_http_get(w.client, w_url(&w.a, "/"), &s[0]->base), -EINVAL);
    w_close(&w); /* the client after its loop */
}

/* All channels are closed behind the client's back. */
static void test_close_all(void **state)
{
    struct world w;
    struct sink *s[10], *t;

    w_open(&w, *state, NULL);
    at_every_step(&w, s);
    assert_true(ac_close_all(w.loop) > 0);
    for (int i = 0; i < 6; i++) {
        W_UNTIL(&w, s[i]->closes);
        assert_int_equal(s[i]->err, -AC_ECANCELED);
    }
    SCRIPT(w.b, STAY(HELLO));
    w.b.repeat = true;
    t          = start(&w, w_url(&w.b, "/"), NULL, NULL);
    W_UNTIL(&w, t->closes);
    assert_true(s_is(t, 200, 0, "hello"));
    w_close(&w);
}

static void stop_it(struct sink *s)
{
    ac_stop(s->world->loop);
}

/* Stopped in the middle and run again. */
static void test_stop(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(TWO));
    s = start(&w, w_url(&w.a, "/"), stop_it, NULL);
    w_settle(&w);
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, "abcdef"));
    w_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_pause),       O_TEST(test_pause_resume), O_TEST(test_pause_in_header),
        O_TEST(test_pause_early), O_TEST(test_client_free),  O_TEST(test_loop_free),
        O_TEST(test_close_all),   O_TEST(test_stop),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
