/* SPDX-License-Identifier: MIT */
/*
 * Redirects: what goes along with a hop, and what becomes of connections and consumers meanwhile.
 */
#include "http_origin.h"

#define TO(code, where)                                                                            \
    STAY("HTTP/1.1 " code " X\r\nLocation: " where "\r\nContent-Length: 4\r\n\r\nmove")
#define END STAY("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend")

static void follow(struct world *w, struct sink *s, const char *url, const ac_redirect_options *o)
{
    assert_int_equal(ac_http_get(w->client, url, ac_redirect_new(&s->base, o)), 0);
    s->issued = true;
    W_UNTIL(w, s->closes);
}

/* --- what goes along -------------------------------------------------------------------------- */

#define FIELD(n, v)                                                                                \
    {                                                                                              \
        n, v, sizeof(n) - 1, sizeof(v) - 1                                                         \
    }

static const ac_http_field secrets[] = {
    FIELD("Authorization", "Bearer t"),
    FIELD("Cookie", "c=1"),
    FIELD("X-Api-Key", "k"),
    FIELD("Proxy-Authorization", "p"),
    FIELD("Accept", "text/x"),
    FIELD("Accept-Language", "de"),
    FIELD("Accept-Encoding", "br"),
    FIELD("User-Agent", "ua"),
    FIELD("Content-Type", "text/c"),
    FIELD("Content-Language", "fr"),
    FIELD("Range", "bytes=0-1"),
    FIELD("Referer", "http://r/"),
    FIELD("If-None-Match", "\"e\""),
    FIELD("Origin", "http://o"),
};

static const char *const private_names[] = {"Authorization", "Cookie",        "X-Api-Key",
                                            "Referer",       "If-None-Match", "Proxy-Authorization",
                                            "Origin"};

static bool has_all(const struct o_request *q)
{
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        const char *v = o_field(q, secrets[i].name);

        if (v == NULL || strcmp(v, secrets[i].value) != 0)
            return false;
    }
    return true;
}

static bool has_no_secret(const struct o_request *q)
{
    for (size_t i = 0; i < sizeof private_names / sizeof private_names[0]; i++)
        if (o_field(q, private_names[i]) != NULL)
            return false;
    return strcmp(o_field(q, "Accept"), "text/x") == 0
           && strcmp(o_field(q, "Accept-Language"), "de") == 0
           && strcmp(o_field(q, "Accept-Encoding"), "br") == 0
           && strcmp(o_field(q, "User-Agent"), "ua") == 0
           && strcmp(o_field(q, "Range"), "bytes=0-1") == 0;
}

static struct sink *send_secrets(struct world *w, const ac_http_body *body)
{
    struct sink *s    = s_new(w);
    ac_http_args args = {.size        = sizeof args,
                         .url         = w_url(&w->a, "/"),
                         .fields      = secrets,
                         .field_count = sizeof secrets / sizeof secrets[0],
                         .body        = body};

    assert_int_equal(ac_http_send(w->client, &args, ac_redirect_new(&s->base, NULL), NULL), 0);
    s->issued = true;
    W_UNTIL(w, s->closes);
    assert_true(s_is(s, 200, 0, "end"));
    return s;
}

static void test_secrets_stay(void **state)
{
    struct world w;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, TO("302", "/x"), TO("302", "http://{B}/y"), END);
    SCRIPT(w.b, TO("302", "/z"), TO("302", "http://{A}/back"));
    send_secrets(&w, NULL);
    assert_int_equal(w.a.request_count, 3);
    assert_int_equal(w.b.request_count, 2);
    assert_true(has_all(&w.a.requests[0]));
    assert_true(has_all(&w.a.requests[1])); /* the same origin */
    assert_true(has_no_secret(&w.b.requests[0]));
    assert_true(has_no_secret(&w.b.requests[1]));
    assert_true(has_no_secret(&w.a.requests[2])); /* they do not come back */
    w_close(&w);
}

/* Fields that speak of the body go with it. */
static void test_content_fields(void **state)
{
    const ac_http_body body = {.data = "payload", .len = 7};
    struct world       w;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, TO("307", "/x"), TO("302", "/y"), END);
    send_secrets(&w, &body);
    assert_string_equal(o_field(&w.a.requests[1], "Content-Type"), "text/c");
    assert_string_equal(o_field(&w.a.requests[1], "Content-Length"), "7");
    assert_null(o_field(&w.a.requests[2], "Content-Type"));
    assert_null(o_field(&w.a.requests[2], "Content-Language"));
    assert_null(o_field(&w.a.requests[2], "Content-Length"));
    assert_string_equal(o_field(&w.a.requests[2], "Authorization"), "Bearer t");
    w_close(&w);
}

static void test_userinfo(void **state)
{
    struct world w;
    struct sink *s;
    char         url[128];

    w_open(&w, *state, NULL);
    SCRIPT(w.a, TO("302", "/x"), TO("302", "http://evil:pw@{A}/y"), TO("302", "http://{B}/"), END);
    SCRIPT(w.b, TO("302", "http://no:no@{B}/q"), TO("302", "http://{A}/z"));
    s = s_new(&w);
    snprintf(url, sizeof url, "http://us%%20er:p%%3Aw@%s/", w.a.name);
    follow(&w, s, url, NULL);
    assert_true(s_is(s, 200, 0, "end"));
    assert_null(strchr(s->url, '@'));
    for (unsigned i = 0; i < 3; i++) { /* "us er:p:w" */
        assert_non_null(o_field(&w.a.requests[i], "Authorization"));
        assert_string_equal(o_field(&w.a.requests[i], "Authorization"), "Basic dXMgZXI6cDp3");
        assert_string_equal(o_field(&w.a.requests[i], "Host"), w.a.name);
        assert_null(strchr(w.a.requests[i].head, '@'));
    }
    assert_null(o_field(&w.b.requests[0], "Authorization"));
    assert_null(o_field(&w.b.requests[1], "Authorization")); /* nor what a Location brings */
    assert_null(o_field(&w.a.requests[3], "Authorization"));
    assert_string_equal(o_field(&w.b.requests[0], "Host"), w.b.name);
    w_close(&w);
}

/* --- connections ------------------------------------------------------------------------------ */

/* What is left of a followed response is read if it is small, else the connection goes. */
static void test_bodies_between(void **state)
{
    static const struct {
        const char *fields;
        size_t      len;
        bool        kept;
    } cases[] = {
        {"Content-Length: 0\r\n\r\n", 0, true},
        {"Content-Length: 60000\r\n\r\n", 60000, true},
        {"Content-Length: 70000\r\n\r\n", 70000, false},
        {"Content-Length: 70000\r\n\r\n", 10, false},
        {"Transfer-Encoding: chunked\r\n\r\n4\r\nmove\r\n0\r\n\r\n", 0, true},
        {"Content-Length: 4\r\nConnection: close\r\n\r\n", 4, false},
        {"\r\n", 4, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct o_reply replies[2] = {{0}, END};
        struct world   w;
        struct sink   *s;
        char          *text;
        int            head;

        w_open(&w, *state, NULL);
        text = w_text(&w, cases[i].len + 256);
        head = snprintf(text, 256, "HTTP/1.1 302 X\r\nLocation: /x\r\n%s", cases[i].fields);
        memset(text + head, 'm', cases[i].len);
        replies[0].data = text;
        replies[0].len  = (size_t)head + cases[i].len;
        w.a.replies     = replies;
        w.a.reply_count = 2;
        s               = s_new(&w);
        follow(&w, s, w_url(&w.a, "/"), NULL);
        w_settle(&w);
        if (!s_is(s, 200, 0, "end") || (w.a.conns[0]->fd >= 0) != cases[i].kept)
            print_error("case %zu: %s, %u connections\n", i, s_errname(s->err), w.a.conn_count);
        assert_true(s_is(s, 200, 0, "end"));
        assert_int_equal(w.a.conns[0]->fd >= 0, cases[i].kept);
        if (cases[i].kept && cases[i].len < 1000)
            assert_int_equal(w.a.conn_count, 1); /* it was here with the head */
        w_close(&w);
    }
}

static void test_refused_next(void **state)
{
    struct world   w;
    struct sink   *s;
    ac_addr        addr;
    char          *text;
    struct o_reply r    = {0};
    int            gone = h_raw_listen(&addr, "127.0.0.1", 1);

    close(gone);
    w_open(&w, *state, NULL);
    text = w_text(&w, 256);
    snprintf(text, 256,
             "HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:%u/\r\nContent-Length: 0\r\n\r\n",
             ac_addr_port(&addr));
    r.data          = text;
    r.len           = strlen(text);
    w.a.replies     = &r;
    w.a.reply_count = 1;
    s               = s_new(&w);
    follow(&w, s, w_url(&w.a, "/"), NULL);
    assert_true(s_is(s, 0, -ECONNREFUSED, ""));
    w_close(&w);
}

/* --- consumers -------------------------------------------------------------------------------- */

static void hop_note(void *context, ac_http_request *r, const char *to)
{
    struct sink *s = context;

    s->number++;
    snprintf(s->field, sizeof s->field, "%d %s", ac_http_status(r), to);
}

static void hop_close(void *context, ac_http_request *r, const char *to)
{
    struct sink *s = context;

    (void)to;
    s->closing = true;
    ac_http_close(r);
}

static void test_hop(void **state)
{
    struct world        w;
    struct sink        *s;
    ac_redirect_options o = {.size = sizeof o, .hop = hop_note};
    char                want[256];

    w_open(&w, *state, NULL);
    SCRIPT(w.a, TO("307", "http://u:p@{B}/x?y#z"), TO("302", "/"));
    SCRIPT(w.b, END);
    s         = s_new(&w);
    o.context = s;
    follow(&w, s, w_url(&w.a, "/"), &o);
    assert_true(s_is(s, 200, 0, "end"));
    assert_int_equal(s->number, 1);
    snprintf(want, sizeof want, "307 http://%s/x?y#z", w.b.name);
    assert_string_equal(s->field, want);

    s         = s_new(&w);
    o.context = s;
    o.hop     = hop_close;
    follow(&w, s, w_url(&w.a, "/n"), &o);
    assert_int_equal(s->headers, 0);
    assert_int_equal(s->err, -AC_ECANCELED);
    assert_int_equal(w.a.request_count, 2);
    w_close(&w);
}

static void close_it(struct sink *s)
{
    s->closing = true;
    ac_http_close(s->request);
}

static void fail_it(struct sink *s)
{
    s->closing = true;
    ac_http_fail(s->request, -ENOSPC);
}

static void pause_it(struct sink *s)
{
    assert_int_equal(ac_http_pause(s->request), 0);
}

static void test_inner_closes(void **state)
{
    struct world w;
    struct sink *s;

    for (int i = 0; i < 4; i++) {
        w_open(&w, *state, NULL);
        SCRIPT(w.a, TO("302", "/x"), END);
        s = s_new(&w);
        if (i % 2 == 0)
            s->on_header = i < 2 ? close_it : fail_it;
        else
            s->on_feed = i < 2 ? close_it : fail_it;
        follow(&w, s, w_url(&w.a, "/"), NULL);
        assert_int_equal(s->headers, 1);
        assert_int_equal(s->err, i < 2 ? -AC_ECANCELED : -ENOSPC);
        assert_int_equal(s->len, i % 2 == 0 ? 0 : 3);
        w_close(&w);
    }
}

static void test_inner_pauses(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, TO("302", "/x"), END);
    s            = s_new(&w);
    s->on_header = pause_it;
    assert_int_equal(ac_http_get(w.client, w_url(&w.a, "/"), ac_redirect_new(&s->base, NULL)), 0);
    s->issued = true;
    W_UNTIL(&w, s->headers);
    w_settle(&w);
    assert_int_equal(s->feeds + s->closes, 0);
    assert_int_equal(ac_http_resume(s->request), 0);
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, "end"));
    w_close(&w);
}

/* One that was never given to a request is freed; a client that is freed closes the others. */
static void test_ends(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, TO("302", "/x"));
    s = s_new(&w);
    ac_redirect_free(ac_redirect_new(&s->base, NULL));
    ac_redirect_free(NULL);
    assert_null(ac_redirect_new(NULL, NULL));
    assert_int_equal(s->closes, 0);
    assert_int_equal(ac_http_get(w.client, w_url(&w.a, "/"), ac_redirect_new(&s->base, NULL)), 0);
    s->issued = true;
    W_UNTIL(&w, w.a.request_count == 2); /* the second is not answered */
    w_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_secrets_stay),   O_TEST(test_content_fields), O_TEST(test_userinfo),
        O_TEST(test_bodies_between), O_TEST(test_refused_next),   O_TEST(test_hop),
        O_TEST(test_inner_closes),   O_TEST(test_inner_pauses),   O_TEST(test_ends),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
