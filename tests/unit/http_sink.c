/* SPDX-License-Identifier: MIT */
/* Sinks, and tables of responses with their outcomes: see http_origin.h. */
#include "http_origin.h"

static struct sink **sinks;
static size_t        sink_count;

/* --- sinks ------------------------------------------------------------------------------------ */

static struct sink *of(ac_consumer *c)
{
    return AC_SELF(struct sink, c);
}

static void note(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text != NULL ? text : "(none)");
}

static void sink_header(ac_consumer *c, ac_http_request *r)
{
    struct sink *s = of(c);
    const char  *value;

    assert_int_equal(h_inside, 0);
    assert_false(s->closing);
    assert_int_equal(s->headers, 0);
    assert_int_equal(s->closes, 0);
    assert_ptr_equal(c->request, r);
    s->headers++;
    s->request    = r;
    s->status     = ac_http_status(r);
    s->header_err = ac_http_error(r);
    assert_true((s->status == 0) == (s->header_err < 0));
    note(s->reason, sizeof s->reason, ac_http_reason(r));
    note(s->version, sizeof s->version, ac_http_version(r));
    note(s->method, sizeof s->method, ac_http_method(r));
    note(s->url, sizeof s->url, ac_http_url(r));
    for (size_t i = 0; i < ac_http_field_count(r); i++) {
        ac_http_field f = ac_http_field_at(r, i);

        assert_int_equal(f.name_len, strlen(f.name));
        assert_int_equal(f.value_len, strlen(f.value));
    }
    assert_null(ac_http_field_at(r, ac_http_field_count(r)).name);
    if (s->want != NULL) {
        value = ac_http_field_get(r, s->want);
        note(s->field, sizeof s->field, value);
    }
    if (s->on_header != NULL)
        s->on_header(s);
}

static void sink_feed(ac_consumer *c, const void *data, size_t len)
{
    struct sink *s = of(c);

    assert_int_equal(h_inside, 0);
    assert_false(s->closing);
    assert_int_equal(s->headers, 1);
    assert_true(s->status > 0);
    assert_int_equal(s->closes, 0);
    assert_true(len > 0);
    s->feeds++;
    if (!s->forget) {
        if (s->len + len + 1 > s->cap) {
            s->cap  = 2 * (s->len + len + 1);
            s->body = realloc(s->body, s->cap);
            assert_non_null(s->body);
        }
        memcpy(s->body + s->len, data, len);
        s->body[s->len + len] = '\0';
    }
    s->len += len;
    if (s->on_feed != NULL)
        s->on_feed(s);
}

static void sink_close(ac_consumer *c, int err)
{
    struct sink           *s = of(c);
    const ac_http_request *r = s->headers ? s->request : NULL;
    size_t                 n = 0;

    assert_int_equal(h_inside, 0);
    assert_int_equal(s->closes, 0);
    assert_true(err <= 0);
    s->closes++;
    s->err = err;
    if (r != NULL) {
        s->times = *ac_http_timings(r);
        for (size_t i = 0; i < ac_http_trailer_count(r); i++) {
            ac_http_field f = ac_http_trailer_at(r, i);

            n += (size_t)snprintf(s->trailers + n,
                                  n < sizeof s->trailers ? sizeof s->trailers - n : 0, "%s=%s;",
                                  f.name, f.value);
        }
    }
    if (s->on_close != NULL)
        s->on_close(s);
}

static const ac_consumer_class sink_class = {
    .name = "Sink", .http_header = sink_header, .feed = sink_feed, .close = sink_close};

bool s_release(void)
{
    bool ok = true;

    while (sink_count > 0) {
        struct sink *s = sinks[--sink_count];

        if (s->issued && s->closes != 1) {
            print_error("a consumer was closed %u times\n", s->closes);
            ok = false;
        }
        free(s->body);
        free(s);
    }
    free(sinks);
    sinks = NULL;
    return ok;
}

struct sink *s_new(struct world *w)
{
    struct sink *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->world  = w;
    s->status = -1;
    ac_consumer_init(&s->base, &sink_class);
    sinks = realloc(sinks, (sink_count + 1) * sizeof *sinks);
    assert_non_null(sinks);
    sinks[sink_count++] = s;
    return s;
}

int s_send(struct sink *s, const ac_http_args *args, ac_http_request **request)
{
    int rc = ac_http_send(s->world->client, args, &s->base, request);

    if (rc == 0)
        s->issued = true;
    return rc;
}

void s_get(struct sink *s, const char *url)
{
    assert_int_equal(ac_http_get(s->world->client, url, &s->base), 0);
    s->issued = true;
}

bool s_is(const struct sink *s, int status, int err, const char *body)
{
    return s->closes == 1 && s->headers == 1 && s->status == status && s->err == err
           && s->len == strlen(body) && (s->len == 0 || memcmp(s->body, body, s->len) == 0);
}

const char *s_errname(int err)
{
    switch (err) {
    case 0:
        return "complete";
    case -AC_EURL:
        return "AC_EURL";
    case -AC_ECODING:
        return "AC_ECODING";
    case -AC_EREDIRECT:
        return "AC_EREDIRECT";
    case -AC_EREDIRLOOP:
        return "AC_EREDIRLOOP";
    default:
        return ac_errname(err);
    }
}

/* --- tables ----------------------------------------------------------------------------------- */

static bool wire_case(ac_loop *loop, const struct wire *c, const ac_http_options *options,
                      size_t cut)
{
    static const char again[]    = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain";
    struct o_reply    replies[2] = {c->reply, STAY(again)};
    ac_http_args      args       = {.size = sizeof args, .method = c->method};
    struct world      w;
    struct sink      *s, *t;
    const char       *wrong = NULL;

    w_open(&w, loop, options);
    w.a.replies     = replies;
    w.a.reply_count = 2;
    w.a.cut         = cut;
    s               = s_new(&w);
    t               = s_new(&w);
    s->want         = c->field;
    args.url        = w_url(&w.a, "/");
    assert_int_equal(s_send(s, &args, NULL), 0);
    W_UNTIL(&w, s->closes);
    w_settle(&w);
    s_get(t, w_url(&w.a, "/again"));
    W_UNTIL(&w, t->closes);
    if (s->headers != 1 || s->status != c->status)
        wrong = "the status";
    else if (s->err != c->err)
        wrong = "the error";
    else if (c->body != NULL
             && (s->len != strlen(c->body)
                 || (s->len > 0 && memcmp(s->body, c->body, s->len) != 0)))
        wrong = "the body";
    else if (c->field != NULL && strcmp(s->field, c->value) != 0)
        wrong = "the field";
    else if (!s_is(t, 200, 0, "again"))
        wrong = "the next fetch";
    else if (w.a.request_count != 2)
        wrong = "the number of requests";
    else if ((w.a.requests[1].conn == w.a.requests[0].conn) != c->kept)
        wrong = "what became of the connection";
    if (wrong != NULL) {
        print_error(
            "%s (cut %zu): %s: status %d, %s, %zu bytes \"%.60s\", field \"%s\", %u requests, "
            "%u connections; next: %d, %s\n",
            c->name, cut, wrong, s->status, s_errname(s->err), s->len, s->len > 0 ? s->body : "",
            s->field, w.a.request_count, w.a.conn_count, t->status, s_errname(t->err));
    }
    w_close(&w);
    return wrong == NULL;
}

void w_wire(ac_loop *loop, const struct wire *table, size_t count, const ac_http_options *options)
{
    static const size_t cuts[] = {0, 7, 1};
    size_t              failed = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++)
            failed += !wire_case(loop, &table[i], options, cuts[k]);
    print_message("             %zu cases, %zu runs, %zu failed\n", count,
                  count * sizeof cuts / sizeof cuts[0], failed);
    assert_int_equal(failed, 0);
}
