/* SPDX-License-Identifier: MIT */
/*
 * Rare meetings: callbacks of bodies that close their request, pauses before there is a
 * connection, the flags of consumers; and requests by the hundred whose consumers, replies and
 * cuts are drawn from a seeded generator, of which only the contract is asked: each consumer
 * closed once, nothing left.
 */
#include "http_origin.h"

#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

/* --- callbacks that close --------------------------------------------------------------------- */

static ac_http_request *to_close;

static ssize_t more(void *context, const void **data)
{
    int *given = context;

    *data = "data";
    return (*given)++ == 0 ? 4 : 0;
}

static int rewind_closes(void *context)
{
    *(int *)context = 0;
    ac_http_close(to_close);
    return 0;
}

static int rewind_fails_closing(void *context)
{
    (void)context;
    ac_http_close(to_close);
    return -EIO;
}

/* The body is asked to rewind by a stale connection, by 417, by a redirect; its callback closes. */
static void test_rewind_closes(void **state)
{
    for (int i = 0; i < 6; i++) {
        struct world w;
        struct sink *s;
        int          given = 0;
        ac_http_body body  = {.len     = i / 2 == 1 ? -1 : 4,
                              .more    = more,
                              .rewind  = i % 2 == 0 ? rewind_closes : rewind_fails_closing,
                              .context = &given};
        ac_http_args args  = {.size = sizeof args, .method = "PUT", .body = &body};
        ac_consumer *c;

        w_open(&w, *state, NULL);
        SCRIPT(w.a, STAY(HELLO), FIN(""));
        if (i / 2 == 1)
            SCRIPT(w.a, STAY(HELLO), FLAGS("HTTP/1.1 417 X\r\nContent-Length: 0\r\n\r\n", O_EARLY));
        if (i / 2 == 2)
            SCRIPT(w.a, STAY(HELLO),
                   STAY("HTTP/1.1 307 X\r\nLocation: http://{B}/\r\nContent-Length: 0\r\n\r\n"));
        SCRIPT(w.b, STAY(HELLO));
        s = s_new(&w);
        s_get(s, w_url(&w.a, "/"));
        W_UNTIL(&w, s->closes);
        args.url = w_url(&w.a, "/x");
        s        = s_new(&w);
        c        = &s->base;
        if (i / 2 == 2)
            c = ac_redirect_new(&s->base, NULL);
        assert_int_equal(ac_http_send(w.client, &args, c, &to_close), 0);
        s->issued = true;
        W_UNTIL(&w, s->closes);
        w_settle(&w);
        if (s->err != -AC_ECANCELED)
            print_error("case %d: %d %s\n", i, s->status, s_errname(s->err));
        assert_int_equal(s->err, -AC_ECANCELED);
        assert_int_equal(s->headers, 0);
        assert_int_equal(w.a.request_count, 2);
        assert_int_equal(w.b.request_count, 0);
        w_close(&w);
    }
}

/* --- holding back ----------------------------------------------------------------------------- */

/*
 * Paused while it waits in the queue, or before it is sent again: nothing is fed, and nothing
 * spins.
 */
static void test_pause_waiting(void **state)
{
    for (int i = 0; i < 2; i++) {
        enum { SIZE = 8 * 1024 * 1024 };
        ac_http_options  o    = {.size = sizeof o, .per_host = 1};
        ac_http_args     args = {.size = sizeof args};
        struct o_reply   replies[3];
        struct world     w;
        struct sink     *s, *t;
        ac_http_request *r;
        char            *text;

        w_open(&w, *state, &o);
        text = w_text(&w, SIZE + 128);
        snprintf(text, 128, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
        replies[0] = (struct o_reply)STAY(HELLO);
        replies[1] = (struct o_reply){text, strlen(text) + SIZE, O_STAY, 0, NULL};
        replies[2] = replies[1];
        if (i == 1)
            replies[1] = (struct o_reply)FIN("");
        w.a.replies     = replies;
        w.a.reply_count = 3;
        t               = s_new(&w);
        s_get(t, w_url(&w.a, "/"));
        args.url  = w_url(&w.a, "/x");
        s         = s_new(&w);
        s->forget = true;
        if (i == 1)
            W_UNTIL(&w, t->closes);
        assert_int_equal(s_send(s, &args, &r), 0);
        assert_int_equal(ac_http_pause(r), 0);
        W_UNTIL(&w, t->closes && w.a.request_count == 2);
        w_settle(&w);
        assert_int_equal(s->feeds + s->closes, 0);
        assert_true(h_idle(w.loop, 30 * AC_MILLISECOND) < 10);
        assert_true(w.a.conns[w.a.conn_count - 1]->sent < SIZE);
        assert_int_equal(ac_http_resume(r), 0);
        W_UNTIL(&w, s->closes);
        assert_int_equal(w.a.request_count, i == 1 ? 3 : 2); /* its stale end is seen now */
        assert_int_equal(s->err, 0);
        assert_int_equal(s->len, SIZE);
        w_close(&w);
    }
}

/* --- flags of classes ------------------------------------------------------------------------- */

struct counter {
    ac_consumer      base;
    size_t           fed, largest;
    unsigned         closes;
    int              err;
    uint64_t         bytes;
    ac_http_request *request;
};

static void counter_header(ac_consumer *c, ac_http_request *r)
{
    AC_SELF(struct counter, c)->request = r;
}

static void counter_feed(ac_consumer *c, const void *data, size_t len)
{
    struct counter *n = AC_SELF(struct counter, c);

    (void)data;
    n->fed += len;
    n->largest = len > n->largest ? len : n->largest;
}

static void counter_close(ac_consumer *c, int err)
{
    struct counter *n = AC_SELF(struct counter, c);

    n->closes++;
    n->err   = err;
    n->bytes = ac_http_timings(n->request)->bytes;
}

static const ac_consumer_class discarding = {.name        = "Discarding",
                                             .http_header = counter_header,
                                             .feed        = counter_feed,
                                             .close       = counter_close,
                                             .flags       = AC_DISCARD};
static const ac_consumer_class in_pieces  = {.name        = "InPieces",
                                             .http_header = counter_header,
                                             .feed        = counter_feed,
                                             .close       = counter_close,
                                             .flags       = AC_PIECES};

static void test_flags(void **state)
{
    enum { SIZE = 1000000 };
    static const char *const heads[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n",
        "HTTP/1.1 200 OK\r\n\r\n"};
    static const char *const tails[] = {"", "\r\n0\r\nA: b\r\n\r\n", ""};

    for (int i = 0; i < 12; i++) { /* framing, flag, cut short or not */
        int            framing = i % 3;
        bool           discard = i / 3 % 2 == 0, cut = i >= 6;
        struct counter c = {.fed = 0};
        struct o_reply r = {.end = framing == 2 || cut ? O_FIN : O_STAY};
        struct world   w;
        struct sink   *s;
        char          *text;
        size_t         len;

        w_open(&w, *state, NULL);
        text = w_text(&w, SIZE + 256);
        strcpy(text, heads[framing]);
        len = strlen(text);
        memcpy(text + len + SIZE, tails[framing], strlen(tails[framing]));
        r.data = text;
        r.len  = len + SIZE + strlen(tails[framing]) - (cut ? 1 : 0);
        {
            struct o_reply replies[2] = {r, STAY(HELLO)};

            w.a.replies     = replies;
            w.a.reply_count = 2;
            ac_consumer_init(&c.base, discard ? &discarding : &in_pieces);
            assert_int_equal(ac_http_get(w.client, w_url(&w.a, "/"), &c.base), 0);
            W_UNTIL(&w, c.closes);
            assert_int_equal(c.err, cut && framing < 2 ? -AC_ETRUNCATED : 0);
            assert_int_equal(c.bytes, SIZE - (cut && framing != 1 ? 1 : 0));
            assert_int_equal(c.fed, discard ? 0 : c.bytes);
            assert_true(c.largest <= 16 * 1024);
            w_settle(&w);
            s = s_new(&w);
            s_get(s, w_url(&w.a, "/"));
            W_UNTIL(&w, s->closes);
            assert_true(s_is(s, 200, 0, "hello"));
            assert_int_equal(w.a.conn_count, framing == 2 || cut ? 2 : 1);
        }
        w_close(&w);
    }
}

/* A discarded body never swallows what lies behind it. */
static void test_discard_behind(void **state)
{
    struct counter c = {.fed = 0};
    struct world   w;
    struct sink   *s;

    w_open(&w, *state, NULL);
    SCRIPT(w.a,
           STAY("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 "
                "OK\r\nContent-Length: 6\r\n\r\npoison"),
           STAY(HELLO));
    ac_consumer_init(&c.base, &discarding);
    assert_int_equal(ac_http_get(w.client, w_url(&w.a, "/"), &c.base), 0);
    W_UNTIL(&w, c.closes);
    assert_int_equal(c.err, 0);
    assert_int_equal(c.bytes, 5);
    s = s_new(&w);
    s_get(s, w_url(&w.a, "/"));
    W_UNTIL(&w, s->closes);
    assert_true(s_is(s, 200, 0, "hello"));
    assert_int_equal(w.a.conn_count, 2);
    w_close(&w);
}

/* --- drawn from a generator ------------------------------------------------------------------- */

static uint64_t seed;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static const struct o_reply pool[] = {
    STAY(HELLO),
    STAY(HELLO),
    STAY(HELLO),
    STAY("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\nA: "
         "b\r\n\r\n"),
    FIN("HTTP/1.1 200 OK\r\n\r\nuntil close"),
    RST("HTTP/1.1 200 OK\r\n\r\nuntil close"),
    FIN(""),
    RST(""),
    FIN("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"),
    STAY("HTTP/1.1 204 X\r\n\r\n"),
    STAY("HTTP/1.1 204 X\r\n\r\nbehind"),
    STAY("garbage\r\n"),
    STAY("HTTP/1.1 302 X\r\nLocation: http://{B}/\r\nContent-Length: 4\r\n\r\nmove"),
    STAY("HTTP/1.1 307 X\r\nLocation: http://{A}/\r\nTransfer-Encoding: "
         "chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
    FIN("HTTP/1.1 303 X\r\nLocation: /x\r\nContent-Length: 9\r\n\r\nmo"),
    STAY(
        "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"),
    FIN("HTTP/1.1 408 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
    STAY("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone"),
    FLAGS("HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n", O_EARLY),
    FLAGS("HTTP/1.1 417 X\r\nContent-Length: 0\r\n\r\n", O_EARLY),
};

enum { REQUESTS = 40 };

static struct sink *all[REQUESTS];
static unsigned     started;

static void begin(struct world *w);

static void act(struct sink *s)
{
    switch (draw(14)) {
    case 0:
        s->closing = true;
        ac_http_close(s->request);
        break;
    case 1:
        s->closing = true;
        ac_http_fail(s->request, -ENOSPC);
        break;
    case 2:
        (void)ac_http_pause(s->request);
        break;
    case 3:
        (void)ac_http_pause(s->request);
        (void)ac_http_resume(s->request);
        break;
    case 4:
        begin(s->world);
        break;
    case 5: /* another one, which may have ended: then it is not touched */
        for (unsigned i = 0; i < started; i++)
            if (all[i] != s && all[i]->headers && !all[i]->closes
                && all[i]->base.request == all[i]->request) {
                all[i]->closing = true;
                ac_http_close(all[i]->request);
                break;
            }
        break;
    case 6: /* moves, if it is the request's own consumer */
        if (ac_http_consumer(s->request) == &s->base && s->number++ < 3) {
            ac_http_request *r = s->request;

            ac_http_close(r);
            if (ac_http_get(s->world->client,
                            w_url(draw(2) ? &s->world->a : &s->world->b, "/moved"), &s->base)
                == 0) {
                s->headers = 0;
                s->status  = -1;
            }
        }
        break;
    default:
        break;
    }
}

static void act_in_close(struct sink *s)
{
    if (draw(4) == 0)
        begin(s->world);
}

static int given[REQUESTS];

static int rewind_some(void *context)
{
    *(int *)context = 0;
    return draw(8) == 0 ? -EIO : 0;
}

static void begin(struct world *w)
{
    static const char *const methods[] = {NULL, "HEAD", "POST", "PUT", "DELETE"};
    ac_http_args             args      = {.size = sizeof args};
    ac_http_body             body;
    struct sink             *s;
    ac_consumer             *c;
    int                      rc;

    if (started == REQUESTS)
        return;
    s              = s_new(w);
    given[started] = 0;
    body           = (ac_http_body){.len     = draw(2) ? 4 : -1,
                                    .more    = more,
                                    .context = &given[started],
                                    .rewind  = draw(3) ? rewind_some : NULL};
    all[started++] = s;
    s->on_header = s->on_feed = act;
    s->on_close               = act_in_close;
    args.method               = methods[draw(5)];
    args.url                  = draw(20) == 0 ? "nonsense" : w_url(draw(2) ? &w->a : &w->b, "/");
    if (draw(4) == 0)
        args.body = &body;
    c = draw(2) ? ac_redirect_new(&s->base, NULL) : &s->base;
    if (c == NULL)
        return;
    rc        = ac_http_send(w->client, &args, c, NULL);
    s->issued = rc == 0;
    if (rc < 0 && c != &s->base)
        ac_redirect_free(c);
    assert_true(rc == 0 || (rc == -ENOMEM && h_alloc_fail > 0));
}

static void one_seed(ac_loop *loop, uint64_t number, bool short_of_memory)
{
    static struct o_reply a[4 * REQUESTS], b[4 * REQUESTS];
    ac_http_options       o  = {.size = sizeof o};
    ac_http_stats         st = {.size = sizeof st};
    struct world          w;
    int64_t               end = h_now() + 20 * AC_SECOND;
    unsigned              open;

    seed              = number * 2654435761u + 1;
    o.per_host        = 1 + draw(3);
    o.max_connections = 1 + draw(5);
    o.limits.idle     = 10 * AC_MILLISECOND;
    w_open(&w, loop, &o);
    w.a.cut = draw(3) == 0 ? 1 + draw(10) : 0;
    w.b.cut = draw(3) == 0 ? 1 + draw(10) : 0;
    for (int i = 0; i < 4 * REQUESTS; i++) {
        a[i]       = pool[draw(sizeof pool / sizeof pool[0])];
        b[i]       = pool[draw(sizeof pool / sizeof pool[0])];
        a[i].early = b[i].early = "HTTP/1.1 100 Continue\r\n\r\n";
    }
    w.a.replies     = a;
    w.b.replies     = b;
    w.a.reply_count = w.b.reply_count = 4 * REQUESTS;
    w.a.repeat = w.b.repeat = true;
    started                 = 0;
    if (short_of_memory) {
        h_alloc_calls   = 0;
        h_alloc_fail    = 1 + (long)draw(400);
        h_alloc_fail_on = draw(4) == 0;
    }
    for (int i = 0; i < 10; i++)
        begin(&w);
    do {
        struct h_bound bound = h_bound(UINT32_MAX - 1);

        w_turn(&w, &bound, __FILE__, __LINE__);
        if (draw(3) == 0)
            begin(&w);
        open = 0;
        for (unsigned i = 0; i < started; i++) {
            struct sink *s = all[i];

            open += s->issued && !s->closes;
            if (s->headers && !s->closes && !s->closing && s->base.request == s->request
                && draw(3) == 0)
                (void)ac_http_resume(s->request);
        }
        if (h_now() > end) {
            for (unsigned i = 0; i < started; i++)
                if (all[i]->issued && !all[i]->closes)
                    print_error("seed %lu: request %u (%s) is not closed, status %d\n",
                                (unsigned long)number, i, all[i]->url, all[i]->status);
            break;
        }
        /* Now and then in the middle of it all the client ends. */
        if (number % 7 == 0 && started == REQUESTS && draw(4) == 0)
            break;
    } while (open > 0 || started < REQUESTS);
    assert_true(h_now() <= end);
    assert_int_equal(ac_http_client_get_stats(w.client, &st), 0);
    if (open == 0) {
        assert_int_equal(st.active, 0);
        assert_int_equal(st.queued, 0);
        assert_true(st.open <= o.max_connections);
    }
    h_alloc_fail = 0;
    started      = REQUESTS; /* the ends of the rest begin nothing */
    w_close(&w);
}

/* $ASYNCORE_SEEDS is "FROM-TO", to look further than a test does. */
static void test_drawn(void **state)
{
    const char   *range = getenv("ASYNCORE_SEEDS");
    unsigned long from = 0, to = 150;

    if (range != NULL)
        (void)sscanf(range, "%lu-%lu", &from, &to);
    for (; from < to; from++) {
        ac_loop *loop = ac_loop_new(); /* one that was short of memory is not used again */

        one_seed(*state, from, false);
        assert_true(ac_loop_turn(loop, 0) >= 0);
        one_seed(loop, from, true);
        ac_loop_free(loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_rewind_closes),  O_TEST(test_pause_waiting), O_TEST(test_flags),
        O_TEST(test_discard_behind), O_TEST(test_drawn),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
