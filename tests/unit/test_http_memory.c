/* SPDX-License-Identifier: MIT */
/*
 * Memory: what waits in the queue costs little, and no failure of an allocation crashes, leaks,
 * hangs or loses a close.
 */
#include "http_origin.h"

#include <brotli/encode.h>
#include <malloc.h>
#include <zlib.h>
#include <zstd.h>

/* The allocator of sanitizers tells nothing of its blocks, and takes far more. */
#if defined(__has_feature) /* clang's way to say it */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(SANITIZED) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { QUEUED = 50000, MEASURED = 0 };
#else
enum { QUEUED = 1000000, MEASURED = 1 };
#endif

/* --- the queue -------------------------------------------------------------------------------- */

static unsigned queue_closes;
static int      queue_err;

static void queue_close(ac_consumer *c, int err)
{
    assert_null(c->request);
    queue_closes++;
    queue_err = err;
}

static const ac_consumer_class queue_class = {.name = "Queued", .close = queue_close};

static void test_queue(void **state)
{
    /* No turn runs while they are queued, which on a busy machine is longer than a connect may take. */
    ac_http_options   o = {.size = sizeof o, .per_host = 1, .limits = {.connect = AC_FOREVER}};
    ac_consumer      *consumers;
    ac_http_request **requests;
    struct world      w;
    size_t            before, used, url_len = 0;
    int64_t           from;
    char              url[64];

    w_open(&w, *state, &o);
    SCRIPT(w.a, FLAGS("", O_MUTE));
    w.a.repeat   = true;
    consumers    = malloc(QUEUED * sizeof *consumers);
    requests     = malloc(QUEUED * sizeof *requests);
    queue_closes = 0;
    assert_true(consumers != NULL && requests != NULL);
    before = mallinfo2().uordblks;
    from   = h_now();
    for (unsigned i = 0; i < QUEUED; i++) {
        ac_http_args args = {.size = sizeof args, .url = url};

        url_len = (size_t)snprintf(url, sizeof url, "http://%s/%07u", w.a.name, i);
        ac_consumer_init(&consumers[i], &queue_class);
        assert_int_equal(ac_http_send(w.client, &args, &consumers[i], &requests[i]), 0);
    }
    used = mallinfo2().uordblks - before;
    print_message("             %u queued in %ld ms, %zu bytes each, of which %zu of URL\n", QUEUED,
                  (long)((h_now() - from) / AC_MILLISECOND), used / QUEUED, url_len);
    if (MEASURED)
        assert_true(used / QUEUED <= url_len + 128);
    w_settle(&w);
    assert_int_equal(w.a.request_count, 1);
    /* Every second one is cancelled, from the end. */
    from = h_now();
    for (unsigned i = QUEUED - 1; i < QUEUED; i -= 2)
        ac_http_close(requests[i]);
    w_settle(&w);
    assert_int_equal(queue_closes, QUEUED / 2);
    assert_int_equal(ac_http_client_free(w.client), 0);
    assert_int_equal(queue_closes, QUEUED);
    assert_int_equal(queue_err, -AC_ECANCELED);
    print_message("             cancelled in %ld ms\n", (long)((h_now() - from) / AC_MILLISECOND));
    assert_true(h_now() - from < 10 * AC_SECOND);
    w.client = NULL;
    w_close(&w);
    free(consumers);
    free(requests);
}

/* Many requests of many origins: what an origin took is given back with its last connection. */
static void test_origins(void **state)
{
    struct world w;
    struct sink *s[200];
    char         url[64];

    w_open(&w, *state, NULL);
    for (int i = 0; i < 200; i++) {
        s[i] = s_new(&w);
        snprintf(url, sizeof url, "http://127.0.%d.%d:1/", 1 + i / 250, 1 + i % 250);
        s_get(s[i], url);
    }
    for (int i = 0; i < 200; i++) {
        W_UNTIL(&w, s[i]->closes);
        assert_int_equal(s[i]->err, -ECONNREFUSED);
    }
    w_close(&w);
}

/* --- failing allocations ---------------------------------------------------------------------- */

#define TEXT "hello hello hello, a text that is decoded while memory is short"

static size_t encode(int coding, char *out, size_t room)
{
    z_stream z   = {0};
    size_t   len = room;

    switch (coding) {
    case 0:
        assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in   = (Bytef *)(uintptr_t)TEXT;
        z.avail_in  = sizeof TEXT - 1;
        z.next_out  = (Bytef *)out;
        z.avail_out = (uInt)room;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        len = z.total_out;
        deflateEnd(&z);
        return len;
    case 1:
        assert_int_equal(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, sizeof TEXT - 1,
                                               (const uint8_t *)TEXT, &len, (uint8_t *)out),
                         BROTLI_TRUE);
        return len;
    default:
        return ZSTD_compress(out, room, TEXT, sizeof TEXT - 1, 3);
    }
}

static const char *const codings[] = {"gzip", "br", "zstd"};

static ssize_t more(void *context, const void **data)
{
    int *given = context;

    *data = "payload";
    return (*given)++ == 0 ? 7 : 0;
}

static int rewind_it(void *context)
{
    *(int *)context = 0;
    return 0;
}

static void pause_once(struct sink *s)
{
    if (s->number++ == 0)
        (void)ac_http_pause(s->request);
}

static void turn(struct world *w)
{
    struct h_bound b = h_bound(UINT32_MAX - 1);

    w_turn(w, &b, __FILE__, __LINE__);
}

static bool fine(const struct sink *s)
{
    if (!s->issued)
        return true;
    if (s->err == 0)
        return s_is(s, 200, 0, TEXT);
    return s->closes == 1 && s->err == -ENOMEM;
}

/*
 * POST to A with a body from a callback, which redirects (307) to B; there a coded, chunked
 * response with trailers, in a paused consumer; and two GETs of B, the second when the others have
 * ended. Returns whether no allocation failed.
 */
static bool scenario(ac_loop *loop, int coding, long k, bool on)
{
    static const ac_http_field fields[] = {{"X-A", "b", 3, 1}, {"Accept", "", 6, 0}};
    char                       body[256], reply[1024];
    size_t                     len   = encode(coding, body, sizeof body);
    int                        given = 0;
    ac_http_body   out  = {.len = 7, .more = more, .rewind = rewind_it, .context = &given};
    ac_http_args   args = {.size = sizeof args, .fields = fields, .field_count = 2, .body = &out};
    struct o_reply r    = {reply, 0, O_STAY, 0, NULL};
    struct world   w;
    struct sink   *s[3];
    ac_consumer   *redirect;
    int64_t        end = h_now() + 5 * AC_SECOND;
    bool           unfailed, ok;

    w_open(&w, loop, NULL);
    SCRIPT(w.a, STAY("HTTP/1.1 307 X\r\nLocation: http://{B}/x\r\nContent-Length: 3\r\n\r\nabc"));
    w.a.repeat = true;
    r.len      = (size_t)snprintf(
             reply, sizeof reply,
             "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Encoding: %s\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
             codings[coding], len);
    memcpy(reply + r.len, body, len);
    r.len += len;
    r.len += (size_t)snprintf(reply + r.len, 64, "\r\n0\r\nA: b\r\n\r\n");
    w.b.replies     = &r;
    w.b.reply_count = 1;
    w.b.repeat      = true;
    for (int i = 0; i < 3; i++)
        s[i] = s_new(&w);
    s[0]->want      = "set-cookie";
    s[0]->on_header = pause_once;
    h_alloc_calls   = 0;
    h_alloc_fail    = k;
    h_alloc_fail_on = on;
    args.url        = w_url(&w.a, "/");
    redirect        = ac_redirect_new(&s[0]->base, NULL);
    if (redirect != NULL) {
        if (ac_http_send(w.client, &args, redirect, NULL) == 0)
            s[0]->issued = true;
        else
            ac_redirect_free(redirect);
    }
    s[1]->issued = ac_http_get(w.client, w_url(&w.b, "/"), &s[1]->base) == 0;
    while ((s[0]->issued && !s[0]->closes) || (s[1]->issued && !s[1]->closes)) {
        turn(&w);
        if (s[0]->headers && !s[0]->closes)
            (void)ac_http_resume(s[0]->request);
        if (h_now() > end)
            break;
    }
    s[2]->issued = ac_http_get(w.client, w_url(&w.b, "/"), &s[2]->base) == 0;
    while (s[2]->issued && !s[2]->closes && h_now() < end)
        turn(&w);
    unfailed        = h_alloc_calls < k;
    h_alloc_fail    = 0;
    h_alloc_fail_on = false;
    ok              = fine(s[0]) && fine(s[1]) && fine(s[2]);
    if (!ok)
        print_error("%s, allocation %ld%s: %s, %s, %s\n", codings[coding], k,
                    on ? " and all after it" : "",
                    s[0]->closes ? s_errname(s[0]->err) : "not closed",
                    s[1]->closes ? s_errname(s[1]->err) : "not closed",
                    s[2]->closes ? s_errname(s[2]->err) : "not closed");
    assert_true(ok);
    if (unfailed)
        for (int i = 0; i < 3; i++)
            assert_int_equal(s[i]->err, 0);
    w_close(&w);
    return unfailed;
}

static void sweep(void **state, bool on)
{
    (void)state;
    for (int coding = 0; coding < 3; coding++)
        for (long k = 1;; k++) {
            ac_loop *loop = ac_loop_new();
            bool     done;

            assert_true(k < 5000);
            assert_true(ac_loop_turn(loop, 0) >= 0); /* what the loop itself needs is its tests' */
            done = scenario(loop, coding, k, on);
            ac_loop_free(loop);
            if (!done)
                continue;
            print_message("             %s: %ld allocations\n", codings[coding], k - 1);
            break;
        }
}

static void test_fail_one(void **state)
{
    sweep(state, false);
}

static void test_fail_on(void **state)
{
    sweep(state, true);
}

/* A client that cannot be made is none. */
static void test_client_new(void **state)
{
    ac_http_client *c = NULL;

    for (long k = 1; c == NULL; k++) {
        assert_true(k < 100);
        h_alloc_calls = 0;
        h_alloc_fail  = k;
        c             = ac_http_client_new(*state, NULL);
    }
    for (long k = 1;; k++) {
        int rc;

        h_alloc_calls = 0;
        h_alloc_fail  = k;
        rc            = ac_http_client_resolve(c, "name.test", 80, "127.0.0.1");
        if (rc == 0)
            break;
        assert_int_equal(rc, -ENOMEM);
        assert_true(k < 100);
    }
    h_alloc_fail = 0;
    assert_int_equal(ac_http_client_free(c), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_queue),   O_TEST(test_origins),    O_TEST(test_fail_one),
        O_TEST(test_fail_on), O_TEST(test_client_new),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
