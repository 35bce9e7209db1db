/* SPDX-License-Identifier: MIT */
/*
 * Requests as they go out, and what is refused before: methods, URLs, fields, credentials,
 * addresses.
 */
#include "http_origin.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define F(n, v)                                                                                    \
    {                                                                                              \
        n, v, sizeof(n) - 1, sizeof(v) - 1                                                         \
    }

/* Sends one request and returns what the origin got: borrowed from the world. */
static const struct o_request *sent(struct world *w, ac_http_args *args, const char *path)
{
    static const struct o_reply reply = STAY(OK);
    struct sink                *s     = s_new(w);
    char                        url[512];

    snprintf(url, sizeof url, "http://%s%s", w->a.name, path);
    w->a.replies     = &reply;
    w->a.reply_count = 1;
    w->a.repeat      = true;
    if (args->url == NULL)
        args->url = url;
    assert_int_equal(s_send(s, args, NULL), 0);
    W_UNTIL(w, s->closes);
    assert_true(s_is(s, 200, 0, ""));
    return &w->a.requests[w->a.request_count - 1];
}

static void check_head(struct world *w, ac_http_args *args, const char *path, const char *want)
{
    const struct o_request *q = sent(w, args, path);
    char                    expected[2048];
    const char             *host = strstr(want, "{A}");

    if (host != NULL)
        snprintf(expected, sizeof expected, "%.*s%s%s", (int)(host - want), want, w->a.name,
                 host + 3);
    else
        snprintf(expected, sizeof expected, "%s", want);
    assert_string_equal(q->head, expected);
}

#define HOST   "Host: {A}\r\n"
#define AGENT  "User-Agent: asyncore/" AC_VERSION "\r\n"
#define ACCEPT "Accept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"

static void test_heads(void **state)
{
    struct world w;
    ac_http_args args = {.size = sizeof args};

    w_open(&w, *state, NULL);
    check_head(&w, &args, "/", "GET / HTTP/1.1\r\n" HOST AGENT ACCEPT "\r\n");
    args = (ac_http_args){.size = sizeof args, .method = "HEAD"};
    check_head(&w, &args, "", "HEAD / HTTP/1.1\r\n" HOST AGENT ACCEPT "\r\n");
    args = (ac_http_args){.size = sizeof args, .method = "Foo-bar"};
    check_head(&w, &args, "/a/../b;c?d=e&f#g",
               "Foo-bar /b;c?d=e&f HTTP/1.1\r\n" HOST AGENT ACCEPT "\r\n");
    args = (ac_http_args){.size = sizeof args, .raw = true};
    check_head(&w, &args, "?x", "GET /?x HTTP/1.1\r\n" HOST AGENT "Accept: */*\r\n\r\n");
    w_close(&w);
}

/* Bytes that would break the line do not get as far. */
static void test_targets(void **state)
{
    static const struct {
        const char *path, *target;
    } cases[] = {
        {"/a b", "/a%20b"},
        {"/a\r\nX: y", "/aX:%20y"},
        {"/a\tb", "/ab"},
        {"/\x01\x7f", "/%01%7F"},
        {"/\xc3\xa4?\xc3\xa4", "/%C3%A4?%C3%A4"},
        {"/%0d%0a", "/%0d%0a"},
        {"/ HTTP/1.1\r\nX: y\r\n\r\n", "/%20HTTP/1.1X:%20y"},
        {"/a\\b", "/a/b"},
        {"/?a b\"<>", "/?a%20b%22%3C%3E"},
        {"/%", "/%"},
        {"//x", "//x"},
        {"/.//./x/..", "//"},
    };
    struct world w;

    w_open(&w, *state, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ac_http_args            args = {.size = sizeof args};
        const struct o_request *q    = sent(&w, &args, cases[i].path);
        char                    line[256];

        snprintf(line, sizeof line, "GET %s HTTP/1.1\r\nHost: %s\r\n", cases[i].target, w.a.name);
        if (strncmp(q->head, line, strlen(line)) != 0)
            print_error("%s: %s\n", cases[i].path, q->head);
        assert_true(strncmp(q->head, line, strlen(line)) == 0);
    }
    w_close(&w);
}

static void test_fields(void **state)
{
    static const ac_http_field fields[] = {
        F("X-One", "1"), F("uSER-agent", "me"), F("X-Two", "a\tb \xe4"),
        F("Accept", ""), F("X-Gone", ""),       F("X-One", "again"),
    };
    static const ac_http_field host[] = {F("Host", "elsewhere.test:7")};
    struct world               w;
    ac_http_args               args = {.size = sizeof args, .fields = fields, .field_count = 6};

    w_open(&w, *state, NULL);
    check_head(&w, &args, "/",
               "GET / HTTP/1.1\r\n" HOST "Accept-Encoding: gzip, deflate, br, zstd\r\n"
               "X-One: 1\r\nuSER-agent: me\r\nX-Two: a\tb \xe4\r\nX-One: again\r\n\r\n");
    args = (ac_http_args){
        .size = sizeof args, .fields = fields + 3, .field_count = 2, .keep_empty = true};
    check_head(&w, &args, "/",
               "GET / HTTP/1.1\r\n" HOST AGENT "Accept-Encoding: gzip, deflate, br, zstd\r\n"
               "Accept: \r\nX-Gone: \r\n\r\n");
    args = (ac_http_args){.size = sizeof args, .fields = host, .field_count = 1};
    check_head(&w, &args, "/", "GET / HTTP/1.1\r\nHost: elsewhere.test:7\r\n" AGENT ACCEPT "\r\n");
    assert_int_equal(w.a.conn_count, 1); /* Host does not make another origin */
    w_close(&w);
}

static void test_user_agent(void **state)
{
    static const char *const agents[] = {"", "me/1"};
    static const char *const lines[]  = {"", "User-Agent: me/1\r\n"};

    for (int i = 0; i < 2; i++) {
        ac_http_options o    = {.size = sizeof o, .user_agent = agents[i]};
        ac_http_args    args = {.size = sizeof args};
        struct world    w;
        char            want[512];

        w_open(&w, *state, &o);
        snprintf(want, sizeof want, "GET / HTTP/1.1\r\n" HOST "%s" ACCEPT "\r\n", lines[i]);
        check_head(&w, &args, "/", want);
        w_close(&w);
    }
}

static void test_bodies(void **state)
{
    static const struct {
        const char *method;
        const char *body; /* NULL: none */
        const char *seen, *length;
    } cases[] = {
        {NULL, NULL, "GET", NULL},
        {NULL, "data", "POST", "4"},
        {"POST", NULL, "POST", "0"},
        {"PUT", NULL, "PUT", "0"},
        {"PATCH", NULL, "PATCH", "0"},
        {"DELETE", NULL, "DELETE", NULL},
        {"GET", "data", "GET", "4"},
        {"DELETE", "data", "DELETE", "4"},
        {NULL, "", "POST", "0"},
        {"OPTIONS", NULL, "OPTIONS", NULL},
        {"PUT", "\r\n\r\nGET / HTTP/1.1\r\n\r\n", "PUT", "22"},
    };
    struct world w;

    w_open(&w, *state, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ac_http_body            body = {.data = cases[i].body};
        ac_http_args            args = {.size = sizeof args, .method = cases[i].method};
        const struct o_request *q;
        const char             *length;

        body.len = cases[i].body != NULL ? (int64_t)strlen(cases[i].body) : 0;
        if (cases[i].body != NULL)
            args.body = &body;
        q = sent(&w, &args, "/");
        assert_true(strncmp(q->head, cases[i].seen, strlen(cases[i].seen)) == 0);
        length = o_field(q, "Content-Length");
        assert_true((length == NULL) == (cases[i].length == NULL));
        if (length != NULL)
            assert_string_equal(length, cases[i].length);
        assert_string_equal(q->body_len > 0 ? q->body : "",
                            cases[i].body != NULL ? cases[i].body : "");
        assert_null(o_field(q, "Expect"));
        assert_null(o_field(q, "Connection"));
        assert_null(o_field(q, "Transfer-Encoding"));
    }
    assert_int_equal(w.a.conn_count, 1);
    w_close(&w);
}

/* --- refused ---------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    static const ac_http_field bad[] = {
        F("Content-Length", "5"),
        F("content-length", "5"),
        F("Transfer-Encoding", "chunked"),
        F("Connection", "close"),
        F("Keep-Alive", "x"),
        F("TE", "trailers"),
        F("Trailer", "x"),
        F("Upgrade", "h2c"),
        F("Expect", "100-continue"),
        F("", "x"),
        F("A B", "x"),
        F("A:", "x"),
        F("A\r", "x"),
        F("A\n", "x"),
        F("A\0B", "x"),
        F(" A", "x"),
        F("\xe4", "x"),
        F("A", "x\r\ny"),
        F("A", "x\n"),
        F("A", "\r"),
        F("A", "x\0y"),
        F("A", "\x1b"),
        F("A", "\x7f"),
        F("(A)", "x"),
    };
    static const char *const methods[] = {"",    "GET ",  " GET", "G T",     "GET\r\n", "G\nX: y",
                                          "G/T", "G\xe4", "(G)",  "CONNECT", "GET /"};
    struct world             w;
    struct sink             *s;
    ac_http_args             args = {.size = sizeof args};
    ac_http_request         *r    = (ac_http_request *)&w;
    ac_http_body             body;

    w_open(&w, *state, NULL);
    s = s_new(&w);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        args = (ac_http_args){
            .size = sizeof args, .url = w_url(&w.a, "/"), .fields = &bad[i], .field_count = 1};
        if (ac_http_send(w.client, &args, &s->base, &r) != -EINVAL)
            print_error("field %zu %s\n", i, bad[i].name);
        assert_int_equal(ac_http_send(w.client, &args, &s->base, &r), -EINVAL);
        assert_null(r);
    }
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        args = (ac_http_args){.size = sizeof args, .url = w_url(&w.a, "/"), .method = methods[i]};
        if (ac_http_send(w.client, &args, &s->base, NULL) != -EINVAL)
            print_error("method %s\n", methods[i]);
        assert_int_equal(ac_http_send(w.client, &args, &s->base, NULL), -EINVAL);
    }
    args = (ac_http_args){.size = sizeof args, .url = w_url(&w.a, "/"), .body = &body};
    body = (ac_http_body){.len = 5};
    assert_int_equal(ac_http_send(w.client, &args, &s->base, NULL), -EINVAL);
    body = (ac_http_body){.data = "x", .len = -1};
    assert_int_equal(ac_http_send(w.client, &args, &s->base, NULL), -EINVAL);
    args.body = NULL;
    assert_int_equal(ac_http_send(NULL, &args, &s->base, NULL), -EINVAL);
    assert_int_equal(ac_http_send(w.client, NULL, &s->base, NULL), -EINVAL);
    assert_int_equal(ac_http_send(w.client, &args, NULL, NULL), -EINVAL);
    assert_int_equal(ac_http_get(w.client, NULL, &s->base), -EINVAL);
    assert_int_equal(ac_http_get(NULL, w_url(&w.a, "/"), &s->base), -EINVAL);
    w_settle(&w);
    assert_int_equal(w.a.conn_count, 0);
    assert_int_equal(s->headers + s->closes, 0);
    assert_null(s->base.request);
    w_close(&w);
}

/* RFC 9112, 3.2: a request has one. */
static void test_one_host(void **state)
{
    static const ac_http_field two[] = {F("Host", "a"), F("X", "y"), F("hOST", "a")};
    struct world               w;
    struct sink               *s;
    ac_http_args               args = {.size = sizeof args, .fields = two, .field_count = 3};

    w_open(&w, *state, NULL);
    s        = s_new(&w);
    args.url = w_url(&w.a, "/");
    assert_int_equal(s_send(s, &args, NULL), -EINVAL);
    assert_null(s->base.request);
    args.field_count = 2;
    args.url         = NULL;
    assert_string_equal(o_field(sent(&w, &args, "/"), "Host"), "a");
    assert_int_equal(w.a.request_count, 1);
    w_close(&w);
}

/* A bad URL is told from the loop, as all other failures. */
static void test_urls(void **state)
{
    static const char *const bad[] = {
        "",
        "foo",
        "/path",
        "//host/",
        "http://",
        "http://a b/",
        "ftp://x/",
        "file:///etc",
        "javascript:x",
        "http://[::1/",
        "http://x:y/",
        "http://x:70000/",
        "https://x/",
        "http://%00/",
        "http://a<b/",
        "http://[fe80::1%25lo]/",
        "data:,x",
        "http://1.2.3.4.5/",
    };
    struct world w;

    w_open(&w, *state, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sink *s = s_new(&w);

        s_get(s, bad[i]);
        assert_int_equal(s->headers, 0);
        W_UNTIL(&w, s->closes);
        if (!s_is(s, 0, -AC_EURL, ""))
            print_error("%s: %d %s\n", bad[i], s->status, s_errname(s->err));
        assert_true(s_is(s, 0, -AC_EURL, ""));
        assert_string_equal(s_errname(s->header_err), s_errname(-AC_EURL));
    }
    w_close(&w);
}

/* --- credentials ------------------------------------------------------------------------------ */

static void test_userinfo(void **state)
{
    static const struct {
        const char *info, *value;
    } cases[] = {
        {"user:pass@", "Basic dXNlcjpwYXNz"},
        {"user@", "Basic dXNlcjo="},
        {"user:@", "Basic dXNlcjo="},
        {":pass@", "Basic OnBhc3M="},
        {"a%3Ab:c%40d@", "Basic YTpiOmNAZA=="},
        {"%C3%A4:%F0%9F%98%80@", "Basic w6Q68J+YgA=="},
        {"u:%0d%0aX:y@", "Basic dToNClg6eQ=="},
        {"u:%@", "Basic dTol"},
        {"u:%4@", "Basic dTolNA=="},
        {"u:%zz@", "Basic dToleno="},
        {"u%-1:p@", "Basic dSUtMTpw"},
        {"u%+1:p% 1@", "Basic dSUrMTpwJSAx"},
        {"@", NULL},
        {":@", NULL},
    };
    struct world w;

    w_open(&w, *state, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ac_http_args            args = {.size = sizeof args};
        const struct o_request *q;
        char                    url[256];
        const char             *value;

        snprintf(url, sizeof url, "http://%s%s/", cases[i].info, w.a.name);
        args.url = url;
        q        = sent(&w, &args, "");
        value    = o_field(q, "Authorization");
        if ((value == NULL) != (cases[i].value == NULL)
            || (value != NULL && strcmp(value, cases[i].value) != 0))
            print_error("%s: %s\n", cases[i].info, value != NULL ? value : "none");
        assert_true((value == NULL) == (cases[i].value == NULL));
        if (value != NULL)
            assert_string_equal(value, cases[i].value);
        assert_null(strchr(q->head, '@'));
        assert_string_equal(o_field(q, "Host"), w.a.name);
    }
    w_close(&w);
}

/* The caller's field stands instead of the URL's credentials. */
static void test_own_authorization(void **state)
{
    static const ac_http_field field[] = {F("authorization", "Bearer x")};
    struct world               w;
    ac_http_args               args = {.size = sizeof args, .fields = field, .field_count = 1};
    char                       url[128];

    w_open(&w, *state, NULL);
    snprintf(url, sizeof url, "http://u:p@%s/", w.a.name);
    args.url = url;
    check_head(&w, &args, "",
               "GET / HTTP/1.1\r\n" HOST AGENT ACCEPT "authorization: Bearer x\r\n\r\n");
    w_close(&w);
}

/* --- addresses -------------------------------------------------------------------------------- */

static void test_resolve(void **state)
{
    struct world            w;
    ac_http_args            args = {.size = sizeof args};
    const struct o_request *q;
    char                    url[128], host[64];
    uint16_t                port;
    ac_addr                 gone;

    w_open(&w, *state, NULL);
    port = ac_addr_port(&w.a.addr);
    (void)gone;
    /* The first address answers nobody there. */
    assert_int_equal(ac_http_client_resolve(w.client, "ONE.test", port, "127.0.0.9"), 0);
    assert_int_equal(ac_http_client_resolve(w.client, "one.TEST", port, "127.0.0.1"), 0);
    assert_int_equal(ac_http_client_resolve(w.client,
                                            "b\xc3\xbc"
                                            "cher.test",
                                            port, "127.0.0.1"),
                     0);
    assert_int_equal(ac_http_client_resolve(w.client, "127.0.0.2", port, "127.0.0.1"), -AC_ENAME);
    assert_int_equal(ac_http_client_resolve(w.client, "::1", port, "127.0.0.1"), -AC_ENAME);
    assert_int_equal(ac_http_client_resolve(w.client, "x.test", port, "y.test"), -AC_ENAME);
    assert_int_equal(ac_http_client_resolve(w.client, "a b", port, "127.0.0.1"), -AC_ENAME);
    assert_int_equal(ac_http_client_resolve(w.client, "a/b", port, "127.0.0.1"), -AC_ENAME);
    assert_int_equal(ac_http_client_resolve(NULL, "x", port, "127.0.0.1"), -EINVAL);
    snprintf(url, sizeof url, "http://One.Test:%u/", port);
    args.url = url;
    q        = sent(&w, &args, "");
    snprintf(host, sizeof host, "one.test:%u", port);
    assert_string_equal(o_field(q, "Host"), host);
    snprintf(url, sizeof url,
             "http://b\xc3\xbc"
             "cher.test:%u/",
             port);
    q = sent(&w, &args, "");
    snprintf(host, sizeof host, "xn--bcher-kva.test:%u", port);
    assert_string_equal(o_field(q, "Host"), host);
    w_close(&w);
}

static void test_refused_connection(void **state)
{
    struct world w;
    struct sink *s;
    ac_addr      addr;
    int          gone = h_raw_listen(&addr, "127.0.0.1", 1);
    char         url[64];

    close(gone);
    w_open(&w, *state, NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ac_addr_port(&addr));
    for (int i = 0; i < 2; i++) {
        s = s_new(&w);
        s_get(s, url);
        W_UNTIL(&w, s->closes);
        assert_true(s_is(s, 0, -ECONNREFUSED, ""));
    }
    s = s_new(&w);
    s_get(s, "http://127.0.0.1:0/");
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 0, -EADDRNOTAVAIL, ""));
    w_close(&w);
}

static void test_ipv6(void **state)
{
    struct world w;
    struct sink *s;
    ac_addr      addr;
    int          listener, fd;
    char         url[64], host[64], buf[512];
    size_t       n;

    w_open(&w, *state, NULL);
    listener = socket(AF_INET6, SOCK_STREAM, 0);
    if (listener < 0) {
        w_close(&w);
        skip();
    }
    close(listener);
    listener = h_raw_listen(&addr, "::1", 4);
    s        = s_new(&w);
    snprintf(url, sizeof url, "http://[0:0::1]:%u/", ac_addr_port(&addr));
    s_get(s, url);
    w_settle(&w);
    fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    w_settle(&w);
    n      = h_get(fd, buf, sizeof buf - 1);
    buf[n] = '\0';
    snprintf(host, sizeof host, "GET / HTTP/1.1\r\nHost: [::1]:%u\r\n", ac_addr_port(&addr));
    assert_true(strncmp(buf, host, strlen(host)) == 0);
    h_put(fd, OK, sizeof OK - 1);
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, ""));
    close(fd);
    close(listener);
    w_close(&w);
}

/* --- the rest --------------------------------------------------------------------------------- */

/* A consumer serves one request at a time, and may be used again. */
static void test_busy(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a, STAY(OK));
    w.a.repeat = true;
    s          = s_new(&w);
    s_get(s, w_url(&w.a, "/"));
    assert_int_equal(ac_http_get(w.client, w_url(&w.a, "/"), &s->base), -EBUSY);
    W_UNTIL(&w, s->closes);
    assert_null(s->base.request);
    s->headers = s->closes = 0;
    s_get(s, w_url(&w.a, "/"));
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, ""));
    assert_int_equal(w.a.request_count, 2);
    w_close(&w);
}

static void test_null(void **state)
{
    (void)state;
    assert_null(ac_http_client_new(NULL, NULL));
    assert_int_equal(ac_http_client_free(NULL), 0);
    assert_int_equal(ac_http_status(NULL), 0);
    assert_int_equal(ac_http_error(NULL), 0);
    assert_string_equal(ac_http_reason(NULL), "");
    assert_string_equal(ac_http_version(NULL), "");
    assert_string_equal(ac_http_url(NULL), "");
    assert_string_equal(ac_http_method(NULL), "");
    assert_null(ac_http_location(NULL));
    assert_null(ac_http_field_get(NULL, "a"));
    assert_int_equal(ac_http_field_count(NULL), 0);
    assert_int_equal(ac_http_trailer_count(NULL), 0);
    assert_int_equal(ac_http_timings(NULL)->total, -1);
    assert_null(ac_http_client_of(NULL));
    assert_int_equal(ac_http_pause(NULL), -EBADF);
    assert_int_equal(ac_http_resume(NULL), -EBADF);
    assert_int_equal(ac_http_body_ready(NULL), -EBADF);
    ac_http_close(NULL);
    ac_http_fail(NULL, -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_heads),    O_TEST(test_targets),
        O_TEST(test_fields),   O_TEST(test_user_agent),
        O_TEST(test_bodies),   O_TEST(test_refused),
        O_TEST(test_one_host), O_TEST(test_urls),
        O_TEST(test_userinfo), O_TEST(test_own_authorization),
        O_TEST(test_resolve),  O_TEST(test_refused_connection),
        O_TEST(test_ipv6),     O_TEST(test_busy),
        O_TEST(test_null),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
