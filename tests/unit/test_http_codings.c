/* SPDX-License-Identifier: MIT */
/*
 * Content codings over whole responses (RFC 9110, 8.4): each coding in each framing, lists of
 * them, cut, damaged and with more behind them, bombs and limits; and what is asked for.
 */
#include "http_origin.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

static const char text[] =
    "hello hello hello, a text that has something to be left out, hello hello, "
    "and a text that has something to be left out, hello hello hello, again";

/* --- encoding --------------------------------------------------------------------------------- */

struct bytes {
    char  *data;
    size_t len;
};

static struct bytes deflated(struct world *w, const char *data, size_t len, int bits)
{
    z_stream     z   = {0};
    struct bytes out = {w_text(w, len + len / 100 + 128), 0};

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in   = (Bytef *)(uintptr_t)data;
    z.avail_in  = (uInt)len;
    z.next_out  = (Bytef *)out.data;
    z.avail_out = (uInt)(len + len / 100 + 128);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.len = z.total_out;
    deflateEnd(&z);
    return out;
}

/*
 * Applies the codings of a list of letters, the first first: Gzip, zlib, raw Deflate, Brotli,
 * zStd.
 */
static struct bytes encode(struct world *w, const char *data, size_t len, const char *codings)
{
    struct bytes in = {(char *)(uintptr_t)data, len}, out = in;

    for (; *codings != '\0'; codings++, in = out) {
        switch (*codings) {
        case 'G':
            out = deflated(w, in.data, in.len, 31);
            break;
        case 'Z':
            out = deflated(w, in.data, in.len, 15);
            break;
        case 'D':
            out = deflated(w, in.data, in.len, -15);
            break;
        case 'B':
            out.len  = BrotliEncoderMaxCompressedSize(in.len) + 64;
            out.data = w_text(w, out.len);
            assert_int_equal(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, in.len,
                                                   (const uint8_t *)in.data, &out.len,
                                                   (uint8_t *)out.data),
                             BROTLI_TRUE);
            break;
        case 'S':
            out.len  = ZSTD_compressBound(in.len);
            out.data = w_text(w, out.len);
            out.len  = ZSTD_compress(out.data, out.len, in.data, in.len, 3);
            assert_false(ZSTD_isError(out.len));
            break;
        default:
            fail();
        }
    }
    return out;
}

static struct bytes join(struct world *w, struct bytes a, const char *data, size_t len)
{
    struct bytes out = {w_text(w, a.len + len), a.len + len};

    memcpy(out.data, a.data, a.len);
    memcpy(out.data + a.len, data, len);
    return out;
}

enum framing { BY_LENGTH, CHUNKED, UNTIL_CLOSE, FRAMINGS };

static struct o_reply *reply(struct world *w, const char *fields, struct bytes body,
                             enum framing framing)
{
    struct o_reply *r  = (struct o_reply *)(void *)w_text(w, sizeof *r);
    char           *at = w_text(w, body.len + 512);
    size_t          n  = 0;

    n = (size_t)snprintf(at, 512, "HTTP/1.1 200 OK\r\n%s", fields);
    if (framing == BY_LENGTH)
        n += (size_t)snprintf(at + n, 64, "Content-Length: %zu\r\n\r\n", body.len);
    else if (framing == UNTIL_CLOSE)
        n += (size_t)snprintf(at + n, 8, "\r\n");
    else
        n += (size_t)snprintf(at + n, 64, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", body.len);
    memcpy(at + n, body.data, body.len);
    n += body.len;
    if (framing == CHUNKED)
        n += (size_t)snprintf(at + n, 16, body.len > 0 ? "\r\n0\r\n\r\n" : "\r\n");
    *r = (struct o_reply){at, n, framing == UNTIL_CLOSE ? O_FIN : O_STAY, 0, NULL};
    return r;
}

static struct sink *fetch(struct world *w, const struct o_reply *r)
{
    struct sink *s = s_new(w);

    w->a.replies       = r;
    w->a.reply_count   = 1;
    w->a.request_count = 0;
    s_get(s, w_url(&w->a, "/"));
    W_UNTIL(w, s->closes);
    return s;
}

/* --- the table -------------------------------------------------------------------------------- */

enum change {
    AS_IS,
    TWICE,   /* two members, frames */
    NOTHING, /* an empty body */
    CUT_1,   /* the last byte is missing */
    CUT_HALF,
    FIRST_ONLY,  /* one byte */
    GARBAGE,     /* behind it */
    ZEROS,       /* behind it */
    HALF_MEMBER, /* half of a second one behind it */
    DAMAGED,     /* in the middle */
    PLAIN        /* not coded at all */
};

static const struct coded {
    const char *name, *fields, *codings;
    enum change change;
    int         err;
    bool        whole; /* the text comes out, even if an error follows */
} coded[] = {
    {"gzip", "Content-Encoding: gzip\r\n", "G", AS_IS, 0, true},
    {"gzip in any case", "content-encoding: GZip\r\n", "G", AS_IS, 0, true},
    {"x-gzip", "Content-Encoding: x-gzip\r\n", "G", AS_IS, 0, true},
    {"deflate as zlib", "Content-Encoding: deflate\r\n", "Z", AS_IS, 0, true},
    {"deflate as raw", "Content-Encoding: deflate\r\n", "D", AS_IS, 0, true},
    {"br", "Content-Encoding: br\r\n", "B", AS_IS, 0, true},
    {"zstd", "Content-Encoding: zstd\r\n", "S", AS_IS, 0, true},
    {"identity", "Content-Encoding: identity\r\n", "", AS_IS, 0, true},
    {"identity, gzip", "Content-Encoding: identity, gzip\r\n", "G", AS_IS, 0, true},
    {"empty", "Content-Encoding:\r\n", "", AS_IS, 0, true},
    {"empty elements", "Content-Encoding: , gzip ,\r\n", "G", AS_IS, 0, true},
    {"gzip, gzip", "Content-Encoding: gzip, gzip\r\n", "GG", AS_IS, 0, true},
    {"gzip, br: the last was applied last", "Content-Encoding: gzip, br\r\n", "GB", AS_IS, 0, true},
    {"br and zstd in two fields", "Content-Encoding: br\r\nContent-Encoding: zstd\r\n", "BS", AS_IS,
     0, true},
    {"three", "Content-Encoding: gzip, gzip, gzip\r\n", "GGG", AS_IS, -AC_ECODING, false},
    {"three in fields", "Content-Encoding: gzip, br\r\nContent-Encoding: gzip\r\n", "GBG", AS_IS,
     -AC_ECODING, false},
    {"unknown", "Content-Encoding: compress\r\n", "", AS_IS, -AC_ECODING, false},
    {"unknown behind gzip", "Content-Encoding: gzip, x\r\n", "G", AS_IS, -AC_ECODING, false},
    {"with a parameter", "Content-Encoding: gzip;q=1\r\n", "G", AS_IS, -AC_ECODING, false},
    {"chunked is none", "Content-Encoding: chunked\r\n", "", AS_IS, -AC_ECODING, false},
    {"no field", "", "", AS_IS, 0, true},
    {"gzip, nothing", "Content-Encoding: gzip\r\n", "G", NOTHING, 0, false},
    {"deflate, nothing", "Content-Encoding: deflate\r\n", "Z", NOTHING, 0, false},
    {"br, nothing", "Content-Encoding: br\r\n", "B", NOTHING, 0, false},
    {"zstd, nothing", "Content-Encoding: zstd\r\n", "S", NOTHING, 0, false},
    {"gzip, two members", "Content-Encoding: gzip\r\n", "G", TWICE, 0, true},
    {"zstd, two frames", "Content-Encoding: zstd\r\n", "S", TWICE, 0, true},
    {"br twice is garbage", "Content-Encoding: br\r\n", "B", TWICE, -AC_ECODING, true},
    {"gzip, a byte short", "Content-Encoding: gzip\r\n", "G", CUT_1, -AC_ETRUNCATED, true},
    {"gzip, half", "Content-Encoding: gzip\r\n", "G", CUT_HALF, -AC_ETRUNCATED, false},
    {"gzip, one byte", "Content-Encoding: gzip\r\n", "G", FIRST_ONLY, -AC_ETRUNCATED, false},
    {"gzip, half a member behind", "Content-Encoding: gzip\r\n", "G", HALF_MEMBER, -AC_ETRUNCATED,
     true},
    {"gzip, garbage behind", "Content-Encoding: gzip\r\n", "G", GARBAGE, -AC_ECODING, true},
    {"gzip, zeros behind", "Content-Encoding: gzip\r\n", "G", ZEROS, 0, true},
    {"gzip, damaged", "Content-Encoding: gzip\r\n", "G", DAMAGED, -AC_ECODING, false},
    {"gzip, not coded", "Content-Encoding: gzip\r\n", "", PLAIN, -AC_ECODING, false},
    {"deflate, a byte short", "Content-Encoding: deflate\r\n", "Z", CUT_1, -AC_ETRUNCATED, true},
    {"raw deflate, half", "Content-Encoding: deflate\r\n", "D", CUT_HALF, -AC_ETRUNCATED, false},
    {"deflate, damaged", "Content-Encoding: deflate\r\n", "Z", DAMAGED, -AC_ECODING, false},
    {"br, a byte short", "Content-Encoding: br\r\n", "B", CUT_1, -AC_ETRUNCATED, false},
    {"br, half", "Content-Encoding: br\r\n", "B", CUT_HALF, -AC_ETRUNCATED, false},
    {"br, garbage behind", "Content-Encoding: br\r\n", "B", GARBAGE, -AC_ECODING, true},
    {"zstd, a byte short", "Content-Encoding: zstd\r\n", "S", CUT_1, -AC_ETRUNCATED, false},
    {"zstd, half", "Content-Encoding: zstd\r\n", "S", CUT_HALF, -AC_ETRUNCATED, false},
    {"zstd, garbage behind", "Content-Encoding: zstd\r\n", "S", GARBAGE, -AC_ECODING, true},
    {"zstd, not coded", "Content-Encoding: zstd\r\n", "", PLAIN, -AC_ECODING, false},
    {"gzip in gzip, the inner cut", "Content-Encoding: gzip, gzip\r\n", "GG", CUT_1, -AC_ETRUNCATED,
     true},
};

static struct bytes change(struct world *w, struct bytes b, enum change how)
{
    switch (how) {
    case TWICE:
        return join(w, b, b.data, b.len);
    case NOTHING:
        b.len = 0;
        break;
    case CUT_1:
        b.len--;
        break;
    case CUT_HALF:
        b.len /= 2;
        break;
    case FIRST_ONLY:
        b.len = 1;
        break;
    case GARBAGE:
        return join(w, b, "garbage", 7);
    case ZEROS:
        return join(w, b, "\0\0\0\0\0", 5);
    case HALF_MEMBER:
        return join(w, b, b.data, b.len / 2);
    case DAMAGED:
        b = join(w, b, "", 0);
        memset(b.data + b.len / 2, 0xee, 6);
        break;
    case AS_IS:
    case PLAIN:
        break;
    }
    return b;
}

static bool run_coded(ac_loop *loop, const struct coded *c, enum framing framing, size_t cut)
{
    struct world w;
    struct bytes in;
    struct sink *s;
    size_t       copies = c->change == TWICE && c->err == 0 ? 2 : 1;
    bool         ok;

    w_open(&w, loop, NULL);
    w.a.cut = cut;
    in      = change(&w, encode(&w, text, strlen(text), c->codings), c->change);
    s       = fetch(&w, reply(&w, c->fields, in, framing));
    ok      = s->err == c->err && s->headers == 1 && s->status == 200;
    if (c->err == 0 && c->change != NOTHING)
        ok = ok && s->len == copies * strlen(text);
    if (c->change == NOTHING)
        ok = ok && s->len == 0 && s->feeds == 0;
    /* What came out before an error is a part of the text. */
    if (c->whole && c->err != 0 && c->err != -AC_ECODING)
        ok = ok && s->len >= strlen(text);
    if (s->len > 0 && c->change != DAMAGED)
        ok = ok && memcmp(s->body, text, s->len < strlen(text) ? s->len : strlen(text)) == 0;
    if (!ok)
        print_error("%s (framing %d, cut %zu): status %d, %s, %zu bytes\n", c->name, framing, cut,
                    s->status, s_errname(s->err), s->len);
    w_close(&w);
    return ok;
}

static void test_table(void **state)
{
    static const size_t cuts[] = {0, 1};
    size_t              failed = 0, count = sizeof coded / sizeof coded[0];

    for (size_t i = 0; i < count; i++)
        for (int f = 0; f < FRAMINGS; f++)
            for (size_t k = 0; k < 2; k++)
                failed += !run_coded(*state, &coded[i], (enum framing)f, cuts[k]);
    print_message("             %zu cases, %zu runs, %zu failed\n", count, 2 * FRAMINGS * count,
                  failed);
    assert_int_equal(failed, 0);
}

/* --- limits ----------------------------------------------------------------------------------- */

/* 64 MiB of nothing, in some 64 KB: stopped by the ratio, without all of it having come out. */
static void test_bomb(void **state)
{
    enum { SIZE = 64 * 1024 * 1024 };
    static const char *const names[]   = {"gzip", "br", "zstd"};
    static const char *const codings[] = {"G", "B", "S"};

    for (int i = 0; i < 3; i++) {
        struct world w;
        struct sink *s;
        char         field[64];

        w_open(&w, *state, NULL);
        snprintf(field, sizeof field, "Content-Encoding: %s\r\n", names[i]);
        w.a.replies = reply(&w, field, encode(&w, w_text(&w, SIZE), SIZE, codings[i]), BY_LENGTH);
        w.a.reply_count = 1;
        s               = s_new(&w);
        s->forget       = true;
        s_get(s, w_url(&w.a, "/"));
        W_UNTIL(&w, s->closes);
        assert_int_equal(s->status, 200);
        assert_string_equal(s_errname(s->err), s_errname(-AC_ETOOLARGE));
        assert_true(s->len <= 16 * 1024 * 1024 + 256 * 1024);
        w_close(&w);
    }
}

static void test_decoded_limit(void **state)
{
    static const struct {
        int64_t decoded, body;
        int     err;
    } cases[] = {
        {100000, 0, 0},           {99999, 0, -AC_ETOOLARGE}, {0, 10, -AC_ETOOLARGE},
        {AC_NO_LIMIT, 100000, 0}, {10, 0, -AC_ETOOLARGE},
    };
    enum { SIZE = 100000 };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int f = 0; f < FRAMINGS; f++) {
            ac_http_options o = {.size = sizeof o};
            struct world    w;
            struct sink    *s;

            o.limits.decoded = cases[i].decoded;
            o.limits.body    = cases[i].body;
            w_open(&w, *state, &o);
            s = fetch(&w, reply(&w, "Content-Encoding: gzip\r\n",
                                encode(&w, w_text(&w, SIZE), SIZE, "G"), (enum framing)f));
            assert_string_equal(s_errname(s->err), s_errname(cases[i].err));
            assert_true(cases[i].err == 0 ? s->len == SIZE : s->len <= (size_t)(cases[i].decoded));
            w_close(&w);
        }
}

/* --- what is asked for ------------------------------------------------------------------------ */

static void test_raw(void **state)
{
    ac_http_options o = {.size = sizeof o, .raw = true};
    struct world    w;
    struct sink    *s;
    struct bytes    gz;

    for (int i = 0; i < 2; i++) {
        ac_http_args args = {.size = sizeof args, .raw = i == 1};

        w_open(&w, *state, i == 0 ? &o : NULL);
        gz              = encode(&w, text, strlen(text), "G");
        w.a.replies     = reply(&w, "Content-Encoding: gzip, x\r\n", gz, CHUNKED);
        w.a.reply_count = 1;
        s               = s_new(&w);
        args.url        = w_url(&w.a, "/");
        assert_int_equal(s_send(s, &args, NULL), 0);
        W_UNTIL(&w, s->closes);
        assert_int_equal(s->err, 0);
        assert_int_equal(s->len, gz.len);
        assert_memory_equal(s->body, gz.data, gz.len);
        assert_null(o_field(&w.a.requests[0], "Accept-Encoding"));
        w_close(&w);
    }
}

static void test_asked(void **state)
{
    struct world w;
    struct sink *s;

    w_open(&w, *state, NULL);
    s = fetch(
        &w, reply(&w, "Content-Encoding: gzip\r\n", encode(&w, text, strlen(text), "G"), CHUNKED));
    assert_true(s_is(s, 200, 0, text));
    assert_string_equal(o_field(&w.a.requests[0], "Accept-Encoding"), "gzip, deflate, br, zstd");
    assert_true(s->times.wire_bytes < s->times.bytes);
    assert_int_equal(s->times.bytes, strlen(text));
    w_close(&w);
}

/* --- back-pressure ---------------------------------------------------------------------------- */

static void pause_it(struct sink *s)
{
    assert_int_equal(ac_http_pause(s->request), 0);
}

/* A decoder that has more to give waits too: one piece a resume. */
static void test_pause(void **state)
{
    enum { SIZE = 1024 * 1024 };
    static const char *const fields[]  = {"Content-Encoding: gzip\r\n", "Content-Encoding: br\r\n",
                                          "Content-Encoding: zstd\r\n",
                                          "Content-Encoding: gzip, gzip\r\n"};
    static const char *const codings[] = {"G", "B", "S", "GG"};

    for (int i = 0; i < 4 * FRAMINGS; i++) {
        struct world w;
        struct sink *s;
        char        *data;
        size_t       last = 0;

        w_open(&w, *state, NULL);
        data = w_text(&w, SIZE);
        for (size_t k = 0; k < SIZE; k++)
            data[k] = (char)(k / 1000);
        w.a.replies =
            reply(&w, fields[i % 4], encode(&w, data, SIZE, codings[i % 4]), (enum framing)(i / 4));
        w.a.reply_count = 1;
        s               = s_new(&w);
        s->on_feed      = pause_it;
        s_get(s, w_url(&w.a, "/"));
        while (!s->closes) {
            W_UNTIL(&w, s->len > last || s->closes);
            w_settle(&w);
            assert_true(s->len - last <= 64 * 1024);
            last = s->len;
            if (!s->closes)
                assert_int_equal(ac_http_resume(s->request), 0);
        }
        assert_int_equal(s->err, 0);
        assert_int_equal(s->len, SIZE);
        assert_memory_equal(s->body, data, SIZE);
        w_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        O_TEST(test_table), O_TEST(test_bomb),  O_TEST(test_decoded_limit),
        O_TEST(test_raw),   O_TEST(test_asked), O_TEST(test_pause),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
