/* SPDX-License-Identifier: MIT */
/*
 * A response of each framing, cut at every byte by FIN and by RST: no cut is a success, but for a
 * body until close without a coding, whose end is a FIN. And each in two pieces, parted at every
 * byte.
 */
#include "http_origin.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#define TEXT "hello hello hello, a text that is cut at every byte"

struct message {
    const char *name;
    char        data[1024];
    size_t      len;
    size_t      head;        /* bytes up to the body */
    bool        until_close; /* ends with the connection */
    bool        coded;
};

enum { CODINGS = 5, FRAMINGS = 4 };

static size_t encode(int coding, char *out, size_t room)
{
    z_stream z   = {0};
    size_t   len = room;

    switch (coding) {
    case 1: /* gzip */
    case 2: /* deflate */
        assert_int_equal(
            deflateInit2(&z, 9, Z_DEFLATED, coding == 1 ? 31 : 15, 9, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in   = (Bytef *)(uintptr_t)TEXT;
        z.avail_in  = sizeof TEXT - 1;
        z.next_out  = (Bytef *)out;
        z.avail_out = (uInt)room;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        len = z.total_out;
        deflateEnd(&z);
        return len;
    case 3:
        assert_int_equal(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, sizeof TEXT - 1,
                                               (const uint8_t *)TEXT, &len, (uint8_t *)out),
                         BROTLI_TRUE);
        return len;
    case 4:
        return ZSTD_compress(out, room, TEXT, sizeof TEXT - 1, 3);
    default:
        memcpy(out, TEXT, sizeof TEXT - 1);
        return sizeof TEXT - 1;
    }
}

static const char *const fields[CODINGS] = {
    "",
    "Content-Encoding: gzip\r\n",
    "Content-Encoding: deflate\r\n",
    "Content-Encoding: br\r\n",
    "Content-Encoding: zstd\r\n",
};

/* framing 0: Content-Length, 1: chunked, 2: chunked with trailers, 3: until close */
static void make(struct message *m, int coding, int framing)
{
    static const char *const framings[] = {"by length", "chunked", "chunked with trailers",
                                           "until close"};
    static char              name[128];
    char                     body[256];
    size_t                   len = encode(coding, body, sizeof body), half = len / 2;

    snprintf(name, sizeof name, "%s, %.26s", framings[framing], fields[coding]);
    name[strcspn(name, "\r")] = '\0';
    *m     = (struct message){.name = name, .until_close = framing == 3, .coded = coding > 0};
    m->len = (size_t)snprintf(m->data, sizeof m->data, "HTTP/1.1 200 OK\r\n%s", fields[coding]);
    if (framing == 0)
        m->len += (size_t)snprintf(m->data + m->len, 64, "Content-Length: %zu\r\n\r\n", len);
    else
        m->len += (size_t)snprintf(m->data + m->len, 64, "%s\r\n",
                                   framing == 3 ? "" : "Transfer-Encoding: chunked\r\n");
    m->head = m->len;
    if (framing == 1 || framing == 2) {
        m->len += (size_t)snprintf(m->data + m->len, 32, "%zX;e=\"x\"\r\n", half);
        memcpy(m->data + m->len, body, half);
        m->len += half;
        m->len += (size_t)snprintf(m->data + m->len, 32, "\r\n%zx\r\n", len - half);
        memcpy(m->data + m->len, body + half, len - half);
        m->len += len - half;
        m->len += (size_t)snprintf(m->data + m->len, 64, "\r\n0\r\n%s\r\n",
                                   framing == 2 ? "A: b\r\nC: d\r\n" : "");
    } else {
        memcpy(m->data + m->len, body, len);
        m->len += len;
    }
}

/* One fetch of the first `cut` bytes, which the client gets in the pieces that `step` says. */
static bool fetch(ac_loop *loop, const struct message *m, size_t cut, enum o_end end, size_t step,
                  bool settled)
{
    struct o_reply r = {m->data, cut, O_STAY, 0, NULL};
    struct world   w;
    struct sink   *s;
    bool           whole, ok;

    w_open(&w, loop, NULL);
    if (!settled)
        r.end = end;
    w.a.replies     = &r;
    w.a.reply_count = 1;
    w.a.cut         = step;
    s               = s_new(&w);
    s_get(s, w_url(&w.a, "/"));
    if (settled) { /* the end comes when all that was sent has been taken */
        W_UNTIL(&w, w.a.request_count > 0);
        w_settle(&w);
        o_push(&w.a, 0, "", 0, end);
    }
    W_UNTIL(&w, s->closes);
    if (m->until_close)
        whole = end == O_FIN && cut >= m->head && (!m->coded || cut == m->len || cut == m->head);
    else
        whole = cut == m->len && (settled || s->err == 0);
    ok = s->err == (whole ? 0 : -AC_ETRUNCATED) && s->headers == 1;
    if (whole)
        ok = ok && s->status == 200 && (cut < m->len || s->len == sizeof TEXT - 1);
    if (cut < m->head)
        ok = ok && s->status == 0;
    ok = ok && s->len < sizeof TEXT && (s->len == 0 || memcmp(s->body, TEXT, s->len) == 0);
    /* A body until close that was reset is no whole one, whatever came before. */
    if (!ok)
        print_error("%s: cut at %zu of %zu by %s%s: status %d, %s, %zu bytes\n", m->name, cut,
                    m->len, end == O_FIN ? "FIN" : "RST", settled ? ", later" : "", s->status,
                    s_errname(s->err), s->len);
    w_close(&w);
    return ok;
}

static void test_cut(void **state)
{
    size_t cuts = 0, failed = 0;

    for (int coding = 0; coding < CODINGS; coding++)
        for (int framing = 0; framing < FRAMINGS; framing++) {
            struct message m;

            make(&m, coding, framing);
            for (size_t cut = 0; cut <= m.len; cut++) {
                failed += !fetch(*state, &m, cut, O_FIN, 0, false);
                failed += !fetch(*state, &m, cut, O_RST, 0, true);
                cuts += 2;
                /* A reset that comes with the last bytes may take them along. */
                if (cut < m.len || m.until_close) {
                    failed += !fetch(*state, &m, cut, O_RST, 0, false);
                    cuts++;
                }
            }
        }
    print_message("             %zu cuts, %zu failed\n", cuts, failed);
    assert_int_equal(failed, 0);
}

/* In two pieces, parted at every byte, the second one with the end of the connection. */
static void test_parted(void **state)
{
    size_t runs = 0, failed = 0;

    for (int coding = 0; coding < CODINGS; coding++)
        for (int framing = 0; framing < FRAMINGS; framing++) {
            struct message m;

            make(&m, coding, framing);
            for (size_t at = 1; at < m.len; at++, runs++)
                failed += !fetch(*state, &m, m.len, O_FIN, at, false);
        }
    print_message("             %zu partings, %zu failed\n", runs, failed);
    assert_int_equal(failed, 0);
}

/* The same behind an interim response, and for a consumer that has paused when the end comes. */
static void pause_it(struct sink *s)
{
    assert_int_equal(ac_http_pause(s->request), 0);
}

static void test_paused(void **state)
{
    size_t failed = 0;

    for (int coding = 0; coding < CODINGS; coding++)
        for (int framing = 0; framing < FRAMINGS; framing++) {
            struct message m;

            make(&m, coding, framing);
            for (size_t cut = m.head; cut <= m.len; cut++) {
                struct o_reply r = {m.data, cut, O_FIN, 0, NULL};
                struct world   w;
                struct sink   *s;
                int            want = -AC_ETRUNCATED;

                if (cut == m.len || (m.until_close && (!m.coded || cut == m.head)))
                    want = 0;
                w_open(&w, *state, NULL);
                w.a.replies     = &r;
                w.a.reply_count = 1;
                s               = s_new(&w);
                s->on_header    = pause_it;
                s->on_feed      = pause_it;
                s_get(s, w_url(&w.a, "/"));
                W_UNTIL(&w, s->headers);
                for (int i = 0; i < 200 && !s->closes; i++) {
                    w_settle(&w);
                    if (!s->closes)
                        (void)ac_http_resume(s->request);
                }
                if (!s->closes || s->err != want) {
                    print_error("%s: paused, cut at %zu of %zu: closed %u, %s\n", m.name, cut,
                                m.len, s->closes, s_errname(s->err));
                    failed++;
                }
                w_close(&w);
            }
        }
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_cut),
        O_TEST(test_parted),
        O_TEST(test_paused),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
