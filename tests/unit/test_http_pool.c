/* SPDX-License-Identifier: MIT */
/*
 * The pool and the queue: what is reused, retried and kept; in which order, and how many at once.
 */
#include "http_origin.h"

#include "../../src/http/private.h"

#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static ac_http_stats stats(const struct world *w)
{
    ac_http_stats s = {.size = sizeof s};

    assert_int_equal(ac_http_client_get_stats(w->client, &s), 0);
    return s;
}

static struct sink *get(struct world *w, const char *url)
{
    struct sink *s = s_new(w);

    s_get(s, url);
    return s;
}

static struct sink *fetch(struct world *w, const char *url)
{
    struct sink *s = get(w, url);

    W_UNTIL(w, s->closes);
    w_settle(w);
    return s;
}

/* The targets that an origin was asked for, in order. */
static const char *targets(const struct origin *o)
{
    static char text[1024];
    size_t      n = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < o->request_count; i++) {
        const char *at = strchr(o->requests[i].head, ' ') + 1;

        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s ", (int)strcspn(at, " "), at);
    }
    return text;
}

/* --- reuse ------------------------------------------------------------------------------------ */

static void test_sequence(void **state)
{
    struct world w;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO));
    w.a.repeat = true;
    for (int i = 0; i < 10; i++) {
        struct sink *s = fetch(&w, w_url(&w.a, "/"));

        assert_true(s_is(s, 200, 0, "hello"));
        assert_int_equal(s->times.reused, i > 0);
    }
    assert_int_equal(w.a.conn_count, 1);
    assert_int_equal(stats(&w).requests, 10);
    assert_int_equal(stats(&w).connections, 1);
    assert_int_equal(stats(&w).reused, 9);
    assert_int_equal(stats(&w).idle, 1);
    assert_int_equal(stats(&w).open, 1);
    assert_int_equal(stats(&w).active, 0);
    w_close(&w);
}

static void next_in_close(struct sink *s)
{
    if (s->other != NULL)
        s_get(s->other, w_url(&s->world->a, "/next"));
}

/* What is started in the close of one goes out over its connection, in the same turn. */
static void test_next_in_close(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO));
    w.a.repeat  = true;
    s           = s_new(&w);
    s->other    = s_new(&w);
    s->on_close = next_in_close;
    s_get(s, w_url(&w.a, "/"));
    W_UNTIL(&w, s->other->closes);
    assert_true(s_is(s->other, 200, 0, "hello"));
    assert_int_equal(w.a.conn_count, 1);
    w_close(&w);
}

/* The connection that was used last is used first. */
static void test_last_in_first_out(void **state)
{
    struct world w;
    struct sink *a, *b;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, FLAGS(HELLO, O_MUTE), STAY(HELLO), STAY(HELLO));
    a = get(&w, w_url(&w.a, "/"));
    b = get(&w, w_url(&w.a, "/"));
    W_UNTIL(&w, b->closes); /* whichever came second */
    o_push(&w.a, w.a.requests[0].conn, HELLO, sizeof HELLO - 1, O_STAY);
    W_UNTIL(&w, a->closes && b->closes);
    w_settle(&w);
    assert_int_equal(stats(&w).idle, 2);
    fetch(&w, w_url(&w.a, "/"));
    assert_int_equal(w.a.requests[2].conn, w.a.requests[0].conn);
    w_close(&w);
}

static void test_idle_limits(void **state)
{
    ac_http_options o = {.size = sizeof o, .idle_per_host = 2, .max_idle = 3};
    struct world    w;
    struct sink    *s[8];

    w_open(&w, *state, &o);
    SCRIPT(w.a, STAY(HELLO));
    SCRIPT(w.b, STAY(HELLO));
    w.a.repeat = w.b.repeat = true;
    for (int i = 0; i < 8; i++)
        s[i] = get(&w, w_url(i < 4 ? &w.a : &w.b, "/"));
    for (int i = 0; i < 8; i++)
        W_UNTIL(&w, s[i]->closes);
    w_settle(&w);
    assert_int_equal(stats(&w).idle, 3);
    assert_int_equal(stats(&w).open, 3);
    assert_true(w.a.open_count <= 2 && w.b.open_count <= 2);
    assert_int_equal(w.a.open_count + w.b.open_count, 3);
    w_close(&w);
}

static void test_expiry(void **state)
{
    ac_http_options o = {.size = sizeof o, .idle_time = 30 * AC_MILLISECOND};
    struct world    w;
    int64_t         from;

    w_open(&w, *state, &o);
    SCRIPT(w.a, STAY(HELLO), STAY(HELLO));
    fetch(&w, w_url(&w.a, "/"));
    from = h_now();
    assert_int_equal(w.a.open_count, 1);
    W_UNTIL(&w, w.a.open_count == 0);
    assert_true(h_now() - from >= 20 * AC_MILLISECOND);
    assert_int_equal(stats(&w).open, 0);
    assert_true(s_is(fetch(&w, w_url(&w.a, "/")), 200, 0, "hello"));
    assert_int_equal(w.a.conn_count, 2);
    w_close(&w);
}

/* What the server says of its patience counts, less a second for the way. */
static void test_keep_alive_field(void **state)
{
    struct world w;

    w_open(&w, *state, NULL);
    SCRIPT(
        w.a, STAY("HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=1\r\nContent-Length: 0\r\n\r\n"),
        STAY("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=100\r\nContent-Length: 0\r\n\r\n"), STAY(OK));
    fetch(&w, w_url(&w.a, "/"));
    W_UNTIL(&w, w.a.open_count == 0);
    fetch(&w, w_url(&w.a, "/"));
    fetch(&w, w_url(&w.a, "/"));
    assert_int_equal(w.a.conn_count, 2);
    w_close(&w);
}

/* Idle connections do not keep the loop; what is under way does. */
static void test_run_ends(void **state)
{
    struct world w;
    struct sink *s;
    int64_t      from;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO), STAY(HELLO));
    from = h_now();
    assert_int_equal(ac_run(w.loop), 0);
    fetch(&w, w_url(&w.a, "/"));
    assert_int_equal(stats(&w).idle, 1);
    assert_int_equal(ac_run(w.loop), 0);
    assert_true(h_now() - from < 5 * AC_SECOND);
    s = get(&w, w_url(&w.a, "/"));
    W_UNTIL(&w, w.a.request_count == 2);
    assert_int_equal(ac_run(w.loop), 0); /* the answer lies in the socket */
    assert_int_equal(s->closes, 1);
    w_close(&w);
}

/* --- what happens to an idle connection ------------------------------------------------------- */

static void test_idle_ends(void **state)
{
    static const struct {
        const char *bytes;
        enum o_end  end;
    } cases[] = {
        {"", O_FIN},
        {"", O_RST},
        {"x", O_STAY},
        {"\r\n", O_STAY},
        {HELLO, O_STAY},
        {"HTTP/1.1 408 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", O_FIN},
        {"HTTP/1.1 100 Continue\r\n\r\n", O_STAY},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world w;
        struct sink *s;

        w_open(&w, *state, NULL);
        SCRIPT(w.a, STAY(HELLO), STAY("HTTP/1.1 201 X\r\nContent-Length: 4\r\n\r\ntrue"));
        fetch(&w, w_url(&w.a, "/"));
        assert_int_equal(stats(&w).open, 1);
        o_push(&w.a, 0, cases[i].bytes, strlen(cases[i].bytes), cases[i].end);
        w_settle(&w);
        assert_int_equal(stats(&w).open, 0);
        s = fetch(&w, w_url(&w.a, "/"));
        assert_true(s_is(s, 201, 0, "true"));
        assert_int_equal(w.a.conn_count, 2);
        assert_int_equal(stats(&w).stale, 0);
        w_close(&w);
    }
}

/*
 * A response that ends where a read of the client's ends, with more behind it in the socket, while
 * the next request waits: that does not get these bytes for its answer.
 */
static void test_behind_a_read(void **state)
{
    static const char poison[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

    for (size_t read = 16 * 1024; read <= 256 * 1024; read *= 2) {
        ac_http_options o          = {.size = sizeof o, .per_host = 1};
        struct o_reply  replies[3] = {{0}, STAY(HELLO), STAY(HELLO)};
        struct world    w;
        struct sink    *s, *t;
        char           *text;
        size_t          head;

        w_open(&w, *state, &o);
        text = w_text(&w, read + sizeof poison + 64);
        head = strlen("HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n");
        snprintf(text, 64, "HTTP/1.1 200 OK\r\nContent-Length: %06zu\r\n\r\n", read - head);
        memset(text + head, 'x', read - head);
        memcpy(text + read, poison, sizeof poison - 1);
        replies[0].data = text;
        replies[0].len  = read + sizeof poison - 1;
        w.a.replies     = replies;
        w.a.reply_count = 3;
        s               = get(&w, w_url(&w.a, "/"));
        t               = get(&w, w_url(&w.a, "/"));
        W_UNTIL(&w, s->closes && t->closes);
        assert_int_equal(s->err, 0);
        assert_int_equal(s->len, read - head);
        assert_true(s_is(t, 200, 0, "hello"));
        w_close(&w);
    }
}

/* A greeting before anything was asked is no answer. */
static void test_greeting(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY("220 mail ready\r\n"));
    w.a.greeted = true;
    s           = fetch(&w, w_url(&w.a, "/"));
    assert_true(s_is(s, 0, -AC_EPROTO, ""));
    w_close(&w);
}

/* --- the queue -------------------------------------------------------------------------------- */

static void test_fifo(void **state)
{
    ac_http_options o = {.size = sizeof o, .per_host = 1};
    struct world    w;
    struct sink    *s[20];
    char            path[16], want[256] = "";

    w_open(&w, *state, &o);
    SCRIPT(w.a, STAY(HELLO));
    w.a.repeat = true;
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "/%d", i);
        s[i] = get(&w, w_url(&w.a, path));
        snprintf(want + strlen(want), sizeof want - strlen(want), "%s ", path);
    }
    assert_int_equal(stats(&w).queued, 19);
    W_UNTIL(&w, s[19]->closes);
    assert_string_equal(targets(&w.a), want);
    assert_int_equal(w.a.conn_count, 1);
    assert_int_equal(stats(&w).queued, 0);
    w_close(&w);
}

static void test_per_host(void **state)
{
    ac_http_options o = {.size = sizeof o, .per_host = 3};
    struct world    w;
    struct sink    *s[10];

    w_open(&w, *state, &o);
    SCRIPT(w.a, FLAGS(HELLO, O_MUTE));
    w.a.repeat = true;
    for (int i = 0; i < 10; i++)
        s[i] = get(&w, w_url(&w.a, "/"));
    w_settle(&w);
    assert_int_equal(w.a.conn_count, 3);
    assert_int_equal(w.a.request_count, 3);
    assert_int_equal(stats(&w).active, 3);
    for (unsigned n = 0; n < 10; n++) { /* one by one they are answered */
        W_UNTIL(&w, w.a.request_count > n);
        o_push(&w.a, w.a.requests[n].conn, HELLO, sizeof HELLO - 1, O_STAY);
        w_settle(&w);
        assert_true(w.a.open_count <= 3);
    }
    for (int i = 0; i < 10; i++)
        W_UNTIL(&w, s[i]->closes);
    assert_int_equal(w.a.conn_count, 3);
    w_close(&w);
}

/* All together no more than that, and one origin does not keep the other from its turn. */
static void test_max_connections(void **state)
{
    ac_http_options o = {.size = sizeof o, .max_connections = 2, .per_host = 2};
    struct world    w;
    struct sink    *a[20], *b[3];
    unsigned        before;

    w_open(&w, *state, &o);
    SCRIPT(w.a, STAY(HELLO));
    SCRIPT(w.b, STAY(HELLO));
    w.a.repeat = w.b.repeat = true;
    for (int i = 0; i < 20; i++)
        a[i] = get(&w, w_url(&w.a, "/"));
    for (int i = 0; i < 3; i++)
        b[i] = get(&w, w_url(&w.b, "/"));
    while (!b[2]->closes) {
        struct h_bound bound = h_bound(10000);

        w_turn(&w, &bound, __FILE__, __LINE__);
        assert_true(stats(&w).open <= 2);
    }
    before = 0;
    for (int i = 0; i < 20; i++)
        before += a[i]->closes;
    assert_true(before < 15); /* they did not wait for all of the first origin's */
    for (int i = 0; i < 20; i++)
        W_UNTIL(&w, a[i]->closes);
    for (int i = 0; i < 20; i++)
        assert_true(s_is(a[i], 200, 0, "hello"));
    w_close(&w);
}

/* An idle connection of another origin makes way. */
static void test_makes_way(void **state)
{
    ac_http_options o = {.size = sizeof o, .max_connections = 1};
    struct world    w;

    w_open(&w, *state, &o);
    SCRIPT(w.a, STAY(HELLO));
    SCRIPT(w.b, STAY(HELLO));
    w.a.repeat = w.b.repeat = true;
    for (int i = 0; i < 3; i++) {
        assert_true(s_is(fetch(&w, w_url(&w.a, "/")), 200, 0, "hello"));
        assert_true(s_is(fetch(&w, w_url(&w.b, "/")), 200, 0, "hello"));
    }
    assert_int_equal(w.a.conn_count, 3);
    assert_int_equal(w.b.conn_count, 3);
    w_close(&w);
}

/* A redirect, and what is sent again, go before those that wait. */
static void test_keeps_place(void **state)
{
    ac_http_options o = {.size = sizeof o, .per_host = 1};
    struct world    w;
    struct sink    *s, *t, *u;

    w_open(&w, *state, &o);
    SCRIPT(w.a, STAY("HTTP/1.1 302 X\r\nLocation: /2\r\nContent-Length: 0\r\n\r\n"), STAY(HELLO));
    w.a.repeat = true;
    s          = s_new(&w);
    assert_int_equal(ac_http_get(w.client, w_url(&w.a, "/1"), ac_redirect_new(&s->base, NULL)), 0);
    s->issued = true;
    t         = get(&w, w_url(&w.a, "/3"));
    u         = get(&w, w_url(&w.a, "/4"));
    W_UNTIL(&w, s->closes && t->closes && u->closes);
    assert_string_equal(targets(&w.a), "/1 /2 /3 /4 ");
    w_close(&w);

    w_open(&w, *state, &o);
    SCRIPT(w.a, STAY(HELLO), FIN(""), STAY(HELLO), STAY(HELLO));
    fetch(&w, w_url(&w.a, "/0"));
    s = get(&w, w_url(&w.a, "/1"));
    t = get(&w, w_url(&w.a, "/2"));
    W_UNTIL(&w, s->closes && t->closes);
    assert_string_equal(targets(&w.a), "/0 /1 /1 /2 ");
    assert_int_equal(s->err, 0);
    w_close(&w);
}

static void test_cancel_queued(void **state)
{
    ac_http_options  o = {.size = sizeof o, .per_host = 1};
    struct world     w;
    struct sink     *s[6];
    ac_http_request *r[6];
    char             path[16];

    w_open(&w, *state, &o);
    SCRIPT(w.a, STAY(HELLO));
    w.a.repeat = true;
    for (int i = 0; i < 6; i++) {
        ac_http_args args = {.size = sizeof args};

        snprintf(path, sizeof path, "/%d", i);
        args.url = w_url(&w.a, path);
        s[i]     = s_new(&w);
        assert_int_equal(s_send(s[i], &args, &r[i]), 0);
    }
    for (int i = 1; i < 6; i += 2) {
        s[i]->closing = true;
        ac_http_close(r[i]);
        ac_http_close(r[i]);
        assert_int_equal(s[i]->closes, 0);
    }
    W_UNTIL(&w, s[4]->closes && s[5]->closes);
    assert_string_equal(targets(&w.a), "/0 /2 /4 ");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(s[i]->closes, 1);
        assert_int_equal(s[i]->err, i % 2 == 1 ? -AC_ECANCELED : 0);
        assert_int_equal(s[i]->headers, i % 2 == 1 ? 0 : 1);
    }
    assert_int_equal(stats(&w).queued, 0);
    w_close(&w);
}

/* A failed connection makes room as well: none of many is lost. */
static void test_many_fail(void **state)
{
    ac_http_options o = {.size = sizeof o, .per_host = 2, .max_connections = 3};
    struct world    w;
    struct sink    *s[50];

    w_open(&w, *state, &o);
    SCRIPT(w.a, FIN(""));
    SCRIPT(w.b, RST("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
    w.a.repeat = w.b.repeat = true;
    for (int i = 0; i < 50; i++)
        s[i] = get(&w, w_url(i % 2 == 0 ? &w.a : &w.b, "/"));
    for (int i = 0; i < 50; i++) {
        W_UNTIL(&w, s[i]->closes);
        assert_int_equal(s[i]->err, -AC_ETRUNCATED);
    }
    w_settle(&w);
    assert_int_equal(stats(&w).open, 0);
    assert_int_equal(stats(&w).active, 0);
    w_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_sequence),        O_TEST(test_next_in_close), O_TEST(test_last_in_first_out),
        O_TEST(test_idle_limits),     O_TEST(test_expiry),        O_TEST(test_keep_alive_field),
        O_TEST(test_run_ends),        O_TEST(test_idle_ends),     O_TEST(test_behind_a_read),
        O_TEST(test_greeting),        O_TEST(test_fifo),          O_TEST(test_per_host),
        O_TEST(test_max_connections), O_TEST(test_makes_way),     O_TEST(test_keeps_place),
        O_TEST(test_cancel_queued),   O_TEST(test_many_fail),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
