/* SPDX-License-Identifier: MIT */
/*
 * Connections of the pool that are dead when they are used: what is sent once more, and what not.
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

/* --- stale connections ------------------------------------------------------------------------ */

static ssize_t no_more(void *context, const void **data)
{
    int *given = context;

    *data = "data";
    return (*given)++ == 0 ? 4 : 0;
}

static int again(void *context)
{
    *(int *)context = 0;
    return 0;
}

enum { NONE, DATA, STREAM, REWINDS };

static const struct stale {
    const char    *name, *method;
    int            body;
    struct o_reply reply; /* to the second request, over the pooled connection */
    bool           retried;
    int            status, err; /* if not */
} stales[] = {
    {"GET, FIN", "GET", NONE, FIN(""), true, 0, 0},
    {"GET, RST", "GET", NONE, RST(""), true, 0, 0},
    {"HEAD, FIN", "HEAD", NONE, FIN(""), true, 0, 0},
    {"OPTIONS, FIN", "OPTIONS", NONE, FIN(""), true, 0, 0},
    {"TRACE, FIN", "TRACE", NONE, FIN(""), true, 0, 0},
    {"DELETE, RST", "DELETE", NONE, RST(""), true, 0, 0},
    {"PUT, FIN", "PUT", DATA, FIN(""), true, 0, 0},
    {"PUT of a stream, FIN", "PUT", STREAM, FIN(""), false, 0, -AC_ETRUNCATED},
    {"PUT of a stream that rewinds, FIN", "PUT", REWINDS, FIN(""), true, 0, 0},
    {"POST, FIN", "POST", DATA, FIN(""), false, 0, -AC_ETRUNCATED},
    {"POST, RST", "POST", NONE, RST(""), false, 0, -AC_ETRUNCATED},
    {"PATCH, FIN", "PATCH", DATA, FIN(""), false, 0, -AC_ETRUNCATED},
    {"an unknown method, FIN", "MKCOL", NONE, FIN(""), false, 0, -AC_ETRUNCATED},
    {"a byte, then FIN", "GET", NONE, FIN("H"), false, 0, -AC_ETRUNCATED},
    {"a byte, then RST", "GET", NONE, RST("H"), false, 0, -AC_ETRUNCATED},
    {"100, then FIN", "GET", NONE, FIN("HTTP/1.1 100 X\r\n\r\n"), false, 0, -AC_ETRUNCATED},
    {"a head, then FIN", "GET", NONE, FIN("HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\n"), false,
     200, -AC_ETRUNCATED},
    {"garbage", "GET", NONE, FIN("garbage"), false, 0, -AC_EPROTO},
    {"408 and close", "GET", NONE,
     FIN("HTTP/1.1 408 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), true, 0, 0},
    {"408 without close", "GET", NONE, STAY("HTTP/1.1 408 X\r\nContent-Length: 0\r\n\r\n"), false,
     408, 0},
    {"408 and close, POST", "POST", DATA,
     FIN("HTTP/1.1 408 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), false, 408, 0},
    {"503 and close", "GET", NONE,
     FIN("HTTP/1.1 503 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), false, 503, 0},
};

static bool run_stale(ac_loop *loop, const struct stale *c)
{
    struct o_reply replies[] = {STAY(HELLO), c->reply,
                                STAY("HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n")};
    ac_http_body   body      = {.data = "data", .len = 4};
    ac_http_args   args      = {.size = sizeof args, .method = c->method};
    int            given     = 0;
    struct world   w;
    struct sink   *s;
    bool           ok;

    w_open(&w, loop, NULL);
    w.a.replies     = replies;
    w.a.reply_count = 3;
    fetch(&w, w_url(&w.a, "/"));
    if (c->body >= STREAM)
        body = (ac_http_body){.len = 4, .more = no_more, .context = &given};
    if (c->body == REWINDS)
        body.rewind = again;
    if (c->body != NONE)
        args.body = &body;
    args.url = w_url(&w.a, "/x");
    s        = s_new(&w);
    assert_int_equal(s_send(s, &args, NULL), 0);
    W_UNTIL(&w, s->closes);
    w_settle(&w);
    ok = w.a.request_count == (c->retried ? 3 : 2) && stats(&w).reused >= 1
         && s_is(s, c->retried ? 202 : c->status, c->err, "");
    if (c->retried)
        ok = ok && w.a.requests[2].conn == 1 && !s->times.reused
             && w.a.requests[2].body_len == w.a.requests[1].body_len;
    if (!ok)
        print_error("%s: %u requests, status %d, %s\n", c->name, w.a.request_count, s->status,
                    s_errname(s->err));
    w_close(&w);
    return ok;
}

static void test_stale(void **state)
{
    size_t failed = 0;

    for (size_t i = 0; i < sizeof stales / sizeof stales[0]; i++)
        failed += !run_stale(*state, &stales[i]);
    print_message("             %zu cases, %zu failed\n", sizeof stales / sizeof stales[0], failed);
    assert_int_equal(failed, 0);
}

/* Once more, and no further: also when there are more dead ones in the pool. */
static void test_stale_once(void **state)
{
    struct world w;
    struct sink *s, *t;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, FLAGS(HELLO, O_MUTE), STAY(HELLO), FIN(""), FIN(""), STAY(HELLO));
    s = get(&w, w_url(&w.a, "/"));
    t = get(&w, w_url(&w.a, "/"));
    W_UNTIL(&w, w.a.request_count == 2 && s->closes + t->closes == 1);
    o_push(&w.a, w.a.requests[0].conn, HELLO, sizeof HELLO - 1, O_STAY);
    W_UNTIL(&w, s->closes && t->closes);
    w_settle(&w);
    assert_int_equal(stats(&w).idle, 2);
    s = fetch(&w, w_url(&w.a, "/"));
    assert_true(s_is(s, 0, -AC_ETRUNCATED, ""));
    assert_int_equal(w.a.request_count, 4);
    assert_int_equal(w.a.requests[3].conn, 2); /* not over the other one of the pool */
    w_close(&w);
}

/* What must not be sent twice goes over a pooled connection only if it was alive a moment ago. */
static void test_old_for_post(void **state)
{
    struct world w;
    ac_http_args args = {.size = sizeof args, .method = "POST"};
    struct sink *s;
    ac__link    *l;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(HELLO));
    w.a.repeat = true;
    args.url   = w_url(&w.a, "/");
    fetch(&w, w_url(&w.a, "/"));
    s = s_new(&w);
    s_send(s, &args, NULL);
    W_UNTIL(&w, s->closes);
    assert_int_equal(w.a.conn_count, 1);
    for (l = w.client->idle.next; l != &w.client->idle; l = l->next)
        AC__OF(ac__conn, lru, l)->stamp -= 2 * AC_SECOND;
    s = s_new(&w);
    s_send(s, &args, NULL);
    W_UNTIL(&w, s->closes);
    assert_int_equal(w.a.conn_count, 2);
    assert_true(s_is(s, 200, 0, "hello"));
    w_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_stale),
        O_TEST(test_stale_once),
        O_TEST(test_old_for_post),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
