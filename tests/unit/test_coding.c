/* SPDX-License-Identifier: MIT */
/*
 * Content codings: every split, every step size, every cut, every flipped bit. What is decoded
 * here was made by the encoders of the same libraries.
 */
#include "harness.h"

#include "../../src/http/coding.h"
#include "asyncore/base.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

enum { ROOM = 64 * 1024, PLAIN = 700 };

/* --- encoding -------------------------------------------------------------------------------- */

struct bytes {
    char  *data;
    size_t len, cap;
};

/* Text that compresses, but not to nothing. */
static struct bytes plain(size_t len)
{
    struct bytes b = {malloc(len + 1), len, 0};
    uint32_t     x = 1;

    assert_non_null(b.data);
    for (size_t i = 0; i < len; i++) {
        x         = x * 1664525 + 1013904223;
        b.data[i] = "the quick brown fox\n"[i % 3 != 0 ? i % 20 : x >> 24 & 15];
    }
    return b;
}

static void append(struct bytes *b, const void *data, size_t len)
{
    if (b->len + len >= b->cap) {
        b->cap  = 2 * (b->len + len) + 64;
        b->data = realloc(b->data, b->cap);
    }
    assert_non_null(b->data);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void by_zlib(struct bytes *to, const struct bytes *from, int bits, const char *dictionary)
{
    z_stream z   = {.next_in = (Bytef *)from->data, .avail_in = (uInt)from->len};
    size_t   cap = from->len + 1024;
    Bytef   *buf = malloc(cap);

    assert_non_null(buf);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    if (dictionary != NULL)
        assert_int_equal(
            deflateSetDictionary(&z, (const Bytef *)dictionary, (uInt)strlen(dictionary)), Z_OK);
    z.next_out  = buf;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    append(to, buf, cap - z.avail_out);
    deflateEnd(&z);
    free(buf);
}

static void by_brotli(struct bytes *to, const struct bytes *from)
{
    size_t   len = BrotliEncoderMaxCompressedSize(from->len) + 64;
    uint8_t *buf = malloc(len);

    assert_non_null(buf);
    assert_true(BrotliEncoderCompress(9, 22, BROTLI_MODE_GENERIC, from->len,
                                      (const uint8_t *)from->data, &len, buf));
    append(to, buf, len);
    free(buf);
}

/* Without its size in the frame, as a server that streams has it. */
static void by_zstd(struct bytes *to, const struct bytes *from, int window, bool sized)
{
    ZSTD_CCtx     *c   = ZSTD_createCCtx();
    size_t         cap = ZSTD_compressBound(from->len) + 64;
    ZSTD_outBuffer out = {malloc(cap), cap, 0};
    ZSTD_inBuffer  in  = {from->data, from->len, 0};
    ZSTD_inBuffer  end = {NULL, 0, 0};

    assert_non_null(c);
    assert_non_null(out.dst);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    if (window != 0)
        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window);
    if (!sized)
        while (in.pos < in.size)
            assert_false(ZSTD_isError(ZSTD_compressStream2(c, &out, &in, ZSTD_e_continue)));
    assert_int_equal(ZSTD_compressStream2(c, &out, sized ? &in : &end, ZSTD_e_end), 0);
    append(to, out.dst, out.pos);
    free(out.dst);
    ZSTD_freeCCtx(c);
}

/* A beginning of a body: all of the text, and no end. */
static void flushed(ac__coding coding, struct bytes *to, const struct bytes *from)
{
    size_t              cap = from->len + 1024, left = from->len, room = cap;
    uint8_t            *buf = malloc(cap), *at = buf;
    const uint8_t      *in   = (const uint8_t *)from->data;
    z_stream            z    = {.next_in   = (Bytef *)from->data,
                                .avail_in  = (uInt)from->len,
                                .next_out  = buf,
                                .avail_out = (uInt)cap};
    ZSTD_outBuffer      zout = {buf, cap, 0};
    ZSTD_inBuffer       zin  = {from->data, from->len, 0};
    BrotliEncoderState *b;
    ZSTD_CCtx          *c;

    assert_non_null(buf);
    if (coding == AC__BROTLI) {
        b = BrotliEncoderCreateInstance(NULL, NULL, NULL);
        assert_true(
            BrotliEncoderCompressStream(b, BROTLI_OPERATION_FLUSH, &left, &in, &room, &at, NULL));
        append(to, buf, cap - room);
        BrotliEncoderDestroyInstance(b);
    } else if (coding == AC__ZSTD) {
        c = ZSTD_createCCtx();
        assert_int_equal(ZSTD_compressStream2(c, &zout, &zin, ZSTD_e_flush), 0);
        append(to, buf, zout.pos);
        ZSTD_freeCCtx(c);
    } else {
        assert_int_equal(
            deflateInit2(&z, 9, Z_DEFLATED, coding == AC__GZIP ? 31 : 15, 8, Z_DEFAULT_STRATEGY),
            Z_OK);
        assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
        append(to, buf, cap - z.avail_out);
        deflateEnd(&z);
    }
    free(buf);
}

static const char skippable[] = {0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};

/* All the forms that a body can have. */
enum form {
    GZIP,
    GZIP_MEMBERS, /* two, an empty one between them */
    ZLIB,
    RAW,
    BROTLI,
    ZSTD,
    ZSTD_SIZED,
    ZSTD_FRAMES, /* two, a skippable one and an empty one between them */
    FORMS
};
static const ac__coding coding_of[FORMS] = {AC__GZIP,   AC__GZIP, AC__DEFLATE, AC__DEFLATE,
                                            AC__BROTLI, AC__ZSTD, AC__ZSTD,    AC__ZSTD};

static struct bytes encode(enum form form, const struct bytes *from)
{
    struct bytes to   = {NULL, 0, 0};
    struct bytes head = {from->data, from->len / 3, 0};
    struct bytes none = {from->data, 0, 0};
    struct bytes tail = {from->data + head.len, from->len - head.len, 0};

    switch (form) {
    case GZIP:
        by_zlib(&to, from, 31, NULL);
        break;
    case GZIP_MEMBERS:
        by_zlib(&to, &head, 31, NULL);
        by_zlib(&to, &none, 31, NULL);
        by_zlib(&to, &tail, 31, NULL);
        break;
    case ZLIB:
        by_zlib(&to, from, 15, NULL);
        break;
    case RAW:
        by_zlib(&to, from, -15, NULL);
        break;
    case BROTLI:
        by_brotli(&to, from);
        break;
    case ZSTD:
        by_zstd(&to, from, 0, false);
        break;
    case ZSTD_SIZED:
        by_zstd(&to, from, 0, true);
        break;
    default:
        by_zstd(&to, &head, 0, false);
        append(&to, skippable, sizeof skippable);
        by_zstd(&to, &none, 0, true);
        by_zstd(&to, &tail, 0, true);
        break;
    }
    return to;
}

/* --- decoding -------------------------------------------------------------------------------- */

/* Gives `len` bytes to the decoder and appends what it makes: 0 or an error. */
static int push(ac__decoder *d, const char *in, size_t len, size_t room, struct bytes *out)
{
    /* Of its own, so that a byte read or written too much is seen. */
    char   *copy = malloc(len > 0 ? len : 1), *buf = malloc(room);
    char   *end = copy + len;
    ssize_t n;

    memcpy(copy, in, len);
    in = copy;
    for (;;) {
        const char *before = in;

        n = ac__decoder_step(d, &in, &len, buf, room);
        assert_true(n <= (ssize_t)room && in >= before && in + len == end);
        if (n <= 0)
            break;
        append(out, buf, (size_t)n);
    }
    if (n == 0)
        assert_int_equal(len, 0);
    free(copy);
    free(buf);
    return (int)n;
}

/* Decodes what comes in pieces: a first one of `first`, then ones of `piece`. */
static int decode_in(ac__coding coding, const struct bytes *in, size_t first, size_t piece,
                     size_t room, struct bytes *out)
{
    ac__decoder *d  = ac__decoder_new(coding);
    size_t       at = first < in->len ? first : in->len;
    int          rc;

    *out = (struct bytes){NULL, 0, 0};
    if (d == NULL)
        return -ENOMEM;
    rc = push(d, in->data, at, room, out);
    while (rc == 0 && at < in->len) {
        size_t n = piece < in->len - at ? piece : in->len - at;

        rc = push(d, in->data + at, n, room, out);
        at += n;
    }
    if (rc == 0)
        rc = ac__decoder_end(d);
    else
        assert_int_equal(ac__decoder_end(d), rc); /* what failed stays so */
    ac__decoder_free(d);
    return rc;
}

static int decode(ac__coding coding, const struct bytes *in, struct bytes *out)
{
    return decode_in(coding, in, in->len, 1, ROOM, out);
}

static bool same(const struct bytes *a, const struct bytes *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* The result of decoding these bytes, whatever they make. */
static int outcome(ac__coding coding, const void *data, size_t len)
{
    struct bytes in = {NULL, 0, 0}, out, again;
    int          rc, rc2;

    append(&in, data, len);
    rc  = decode(coding, &in, &out);
    rc2 = decode_in(coding, &in, 0, 1, 1, &again);
    assert_int_equal(rc, rc2);
    free(in.data);
    free(out.data);
    free(again.data);
    return rc;
}

/* --- the list -------------------------------------------------------------------------------- */

static void lists(void **state)
{
    static const struct {
        const char *value;
        int         rc;
        size_t      count;
        ac__coding  list[AC__CODINGS];
    } cases[] = {
        {"", 0, 0, {0}},
        {"gzip", 0, 1, {AC__GZIP}},
        {"X-GZip", 0, 1, {AC__GZIP}},
        {"deflate", 0, 1, {AC__DEFLATE}},
        {"BR", 0, 1, {AC__BROTLI}},
        {"zstd", 0, 1, {AC__ZSTD}},
        {"identity", 0, 0, {0}},
        {", ,\t,", 0, 0, {0}},
        {" gzip , identity,,\tbr\t", 0, 2, {AC__GZIP, AC__BROTLI}},
        {"identity,identity,identity,zstd", 0, 1, {AC__ZSTD}},
        {"gzip,gzip", 0, 2, {AC__GZIP, AC__GZIP}},
        {"gzip,gzip,gzip", -AC_ECODING, 2, {AC__GZIP, AC__GZIP}},
        {"gzip br", -AC_ECODING, 0, {0}},
        {"gzip;q=1", -AC_ECODING, 0, {0}},
        {"compress", -AC_ECODING, 0, {0}},
        {"gzi", -AC_ECODING, 0, {0}},
        {"gzipp", -AC_ECODING, 0, {0}},
        {"br, aes128gcm", -AC_ECODING, 1, {AC__BROTLI}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ac__coding list[AC__CODINGS];
        size_t     count = 0;
        char      *value = strdup(cases[i].value); /* no NUL is promised, and none is needed */
        size_t     len   = strlen(value);

        value = realloc(value, len > 0 ? len : 1);
        assert_int_equal(ac__codings_parse(value, len, list, &count), cases[i].rc);
        assert_int_equal(count, cases[i].count);
        for (size_t k = 0; k < count; k++)
            assert_int_equal(list[k], cases[i].list[k]);
        free(value);
    }
}

static void lists_over_several_fields(void **state)
{
    ac__coding list[AC__CODINGS];
    size_t     count = 0;

    (void)state;
    assert_int_equal(ac__codings_parse("gzip", 4, list, &count), 0);
    assert_int_equal(ac__codings_parse("br", 2, list, &count), 0);
    assert_int_equal(ac__codings_parse("identity", 8, list, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(list[0], AC__GZIP);
    assert_int_equal(list[1], AC__BROTLI);
    assert_int_equal(ac__codings_parse("zstd", 4, list, &count), -AC_ECODING);
}

/* --- whole, split, stepped ------------------------------------------------------------------- */

static void every_room(void **state)
{
    static const size_t rooms[] = {1, 2, 3, 7, 64, 699, 700, 701, 4096, ROOM};
    struct bytes        text = plain(PLAIN), big = plain(300000);

    (void)state;
    for (enum form f = 0; f < FORMS; f++) {
        struct bytes in = encode(f, &text), out;

        for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
            assert_int_equal(decode_in(coding_of[f], &in, in.len, 1, rooms[i], &out), 0);
            assert_true(same(&out, &text));
            free(out.data);
        }
        free(in.data);
        in = encode(f, &big);
        for (size_t room = 1; room <= ROOM; room = room * 5 + 2) {
            assert_int_equal(decode_in(coding_of[f], &in, 1000, 16384, room, &out), 0);
            assert_true(same(&out, &big));
            free(out.data);
        }
        free(in.data);
    }
    free(text.data);
    free(big.data);
}

static void every_split(void **state)
{
    struct bytes text = plain(PLAIN);

    (void)state;
    for (enum form f = 0; f < FORMS; f++) {
        struct bytes in = encode(f, &text), out;

        for (size_t at = 0; at <= in.len; at++) {
            assert_int_equal(decode_in(coding_of[f], &in, at, in.len, ROOM, &out), 0);
            assert_true(same(&out, &text));
            free(out.data);
        }
        for (size_t piece = 1; piece <= 16; piece++) {
            assert_int_equal(decode_in(coding_of[f], &in, piece, piece, piece, &out), 0);
            assert_true(same(&out, &text));
            free(out.data);
        }
        free(in.data);
    }
    free(text.data);
}

/* --- cut and damaged ------------------------------------------------------------------------- */

/* Where the cut body is a whole one: behind a member or a frame. */
static bool ends_there(enum form f, const struct bytes *in, size_t at)
{
    static const char gzip[] = {0x1f, (char)0x8b, 8}, zstd[] = {0x28, (char)0xb5, 0x2f, (char)0xfd};

    if (f == GZIP_MEMBERS)
        return in->len - at >= 3 && memcmp(in->data + at, gzip, 3) == 0;
    if (f == ZSTD_FRAMES)
        return in->len - at >= 4
               && (memcmp(in->data + at, zstd, 4) == 0 || memcmp(in->data + at, skippable, 4) == 0);
    return false;
}

static void every_cut(void **state)
{
    struct bytes text = plain(PLAIN);

    (void)state;
    for (enum form f = 0; f < FORMS; f++) {
        struct bytes in    = encode(f, &text), out;
        unsigned     whole = 0;

        for (size_t at = 1; at < in.len; at++) {
            struct bytes cut  = {in.data, at, 0};
            bool         ends = ends_there(f, &in, at);

            whole += ends;
            assert_int_equal(decode(coding_of[f], &cut, &out), ends ? 0 : -AC_ETRUNCATED);
            assert_true(out.len <= text.len
                        && memcmp(out.data ? out.data : "", text.data, out.len) == 0);
            free(out.data);
            assert_int_equal(decode_in(coding_of[f], &cut, 1, 1, 1, &out),
                             ends ? 0 : -AC_ETRUNCATED);
            free(out.data);
        }
        assert_int_equal(whole, f == GZIP_MEMBERS ? 2 : f == ZSTD_FRAMES ? 3 : 0);
        free(in.data);
    }
    free(text.data);
}

/*
 * A flipped bit is an error, or does no harm where the format has a checksum (a gzip head's time,
 * the padding behind the last code), or makes other bytes where it has none.
 */
static void every_bit(void **state)
{
    struct bytes text = plain(PLAIN);

    (void)state;
    for (enum form f = 0; f < FORMS; f++) {
        struct bytes in       = encode(f, &text), out;
        unsigned     harmless = 0, others = 0;

        for (size_t at = 0; at < in.len; at++) {
            for (int bit = 0; bit < 8; bit++) {
                int rc, rc2;

                in.data[at] = (char)(in.data[at] ^ 1 << bit);
                rc          = decode(coding_of[f], &in, &out);
                harmless += rc == 0 && same(&out, &text);
                others += rc == 0 && !same(&out, &text);
                free(out.data);
                rc2 = decode_in(coding_of[f], &in, 7, 11, 512, &out);
                free(out.data);
                in.data[at] = (char)(in.data[at] ^ 1 << bit);
                /* An empty zstd frame that claims a size: noticed only if it comes as a whole. */
                assert_true(rc == rc2 || (f == ZSTD_FRAMES && rc2 == 0));
                assert_true(rc == 0 || rc == -AC_ECODING || rc == -AC_ETRUNCATED);
            }
        }
        if (f == GZIP || f == ZSTD || f == ZSTD_SIZED)
            assert_int_equal(others, 0);
        if (f == GZIP)
            assert_in_range(harmless, 6 * 8,
                            7 * 8 + 7 + 1); /* time, system, flags; padding; text */
        else if (f == ZSTD || f == ZSTD_SIZED)
            assert_in_range(harmless, 0, 40); /* the size of the window */
        else if (f == RAW)
            assert_true(others > 0);
        free(in.data);
    }
    free(text.data);
}

/* --- ends ------------------------------------------------------------------------------------ */

static int with_tail(enum form f, const char *tail, size_t len)
{
    struct bytes text = plain(PLAIN), in = encode(f, &text);
    int          rc;

    append(&in, tail, len);
    rc = outcome(coding_of[f], in.data, in.len);
    free(in.data);
    free(text.data);
    return rc;
}

static void behind_the_end(void **state)
{
    (void)state;
    for (enum form f = GZIP; f <= GZIP_MEMBERS; f++) {
        assert_int_equal(with_tail(f, "\0\0\0\0\0\0\0\0\0", 9), 0);
        assert_int_equal(with_tail(f, "\0", 1), 0);
        assert_int_equal(with_tail(f, "x", 1), -AC_ECODING);
        assert_int_equal(with_tail(f, "\0\0x", 3), -AC_ECODING);
        assert_int_equal(with_tail(f, "\0\x1f\x8b\x08", 4), -AC_ECODING); /* no member behind it */
        assert_int_equal(with_tail(f, "\x1f", 1), -AC_ETRUNCATED);
        assert_int_equal(with_tail(f, "\x1f\x8c", 2), -AC_ECODING);
    }
    for (enum form f = ZLIB; f <= ZSTD_FRAMES; f++) {
        assert_int_equal(with_tail(f, "x", 1), -AC_ECODING);
        assert_int_equal(with_tail(f, "\0", 1), -AC_ECODING);
    }
    assert_int_equal(with_tail(ZSTD, "\x28\xb5", 2), -AC_ETRUNCATED);
    assert_int_equal(with_tail(ZSTD, "\x28\xb5\x2f\xfc", 4), -AC_ECODING);
}

static void empty_bodies(void **state)
{
    struct bytes none = plain(0), out;

    (void)state;
    for (enum form f = 0; f < FORMS; f++) {
        struct bytes in = encode(f, &none), nothing = {none.data, 0, 0};

        assert_int_equal(decode(coding_of[f], &nothing, &out), 0);
        assert_int_equal(out.len, 0);
        assert_int_equal(decode_in(coding_of[f], &in, 1, 1, 1, &out), 0);
        assert_int_equal(out.len, 0);
        free(in.data);
    }
    assert_int_equal(outcome(AC__ZSTD, skippable, sizeof skippable), 0);
    free(none.data);
}

/* The caller may ask as often as it likes, with nothing to give. */
static void steps_without_input(void **state)
{
    struct bytes text = plain(PLAIN);

    (void)state;
    for (enum form f = 0; f < FORMS; f++) {
        struct bytes in = encode(f, &text), out = {NULL, 0, 0};
        ac__decoder *d = ac__decoder_new(coding_of[f]);

        assert_non_null(d);
        for (size_t at = 0; at < in.len; at++) {
            for (int i = 0; i < 40; i++)
                assert_int_equal(push(d, "", 0, 100, &out), 0);
            assert_int_equal(push(d, in.data + at, 1, 100, &out), 0);
        }
        for (int i = 0; i < 40; i++)
            assert_int_equal(push(d, "", 0, 100, &out), 0);
        assert_int_equal(ac__decoder_end(d), 0);
        assert_true(same(&out, &text));
        ac__decoder_free(d);
        free(out.data);
        free(in.data);
    }
    ac__decoder_free(NULL);
    free(text.data);
}

/* What the other side has flushed comes out although nothing follows yet, in whatever room. */
static void flushed_parts_come_out(void **state)
{
    static const ac__coding codings[] = {AC__GZIP, AC__DEFLATE, AC__BROTLI, AC__ZSTD};
    struct bytes            text      = plain(20000);

    (void)state;
    for (int i = 0; i < 4; i++) {
        for (size_t room = 1; room < 30000; room = 3 * room + 1) {
            struct bytes in = {NULL, 0, 0}, out = {NULL, 0, 0};
            ac__decoder *d = ac__decoder_new(codings[i]);

            flushed(codings[i], &in, &text);
            assert_int_equal(push(d, in.data, in.len, room, &out), 0);
            assert_true(same(&out, &text));
            assert_int_equal(ac__decoder_end(d), -AC_ETRUNCATED);
            ac__decoder_free(d);
            free(in.data);
            free(out.data);
        }
    }
    free(text.data);
}

/* --- what is refused ------------------------------------------------------------------------- */

static void deflate_forms(void **state)
{
    static const char dictionary[] = "the quick brown fox";
    struct bytes      text = plain(PLAIN), in = {NULL, 0, 0};

    (void)state;
    by_zlib(&in, &text, 15, dictionary);
    assert_int_equal(outcome(AC__DEFLATE, in.data, in.len), -AC_ECODING);
    free(in.data);
    in = encode(GZIP, &text); /* not what was said: neither form */
    assert_int_equal(outcome(AC__DEFLATE, in.data, in.len), -AC_ECODING);
    free(in.data);
    in = encode(ZLIB, &text);
    assert_int_equal(outcome(AC__GZIP, in.data, in.len), -AC_ECODING);
    free(in.data);
    assert_int_equal(outcome(AC__DEFLATE, "\x03", 1), -AC_ETRUNCATED);
    assert_int_equal(outcome(AC__DEFLATE, "\x03\x00", 2), 0);     /* raw, empty */
    assert_int_equal(outcome(AC__DEFLATE, "\x4b\x04\x00", 3), 0); /* raw, one byte */
    assert_int_equal(outcome(AC__DEFLATE,
                             "\x01\x01\x00\xfe\xff"
                             "a",
                             6),
                     0); /* raw, stored */
    assert_int_equal(outcome(AC__DEFLATE, "<html>", 6), -AC_ECODING);
    free(text.data);
}

static void large_windows(void **state)
{
    struct bytes        big = plain(3 * 1024 * 1024), in = {NULL, 0, 0}, out;
    BrotliEncoderState *b    = BrotliEncoderCreateInstance(NULL, NULL, NULL);
    size_t              left = big.len, room = big.len;
    const uint8_t      *from = (const uint8_t *)big.data;
    uint8_t            *buf = malloc(room), *to = buf;

    (void)state;
    by_zstd(&in, &big, 23, false);
    assert_int_equal(decode(AC__ZSTD, &in, &out), 0);
    assert_true(same(&out, &big));
    free(out.data);
    free(in.data);
    in = (struct bytes){NULL, 0, 0};
    by_zstd(&in, &big, 24, false);
    assert_int_equal(outcome(AC__ZSTD, in.data, 100), -AC_ECODING);
    free(in.data);

    BrotliEncoderSetParameter(b, BROTLI_PARAM_QUALITY, 5);
    BrotliEncoderSetParameter(b, BROTLI_PARAM_LARGE_WINDOW, 1);
    BrotliEncoderSetParameter(b, BROTLI_PARAM_LGWIN, 26);
    assert_true(
        BrotliEncoderCompressStream(b, BROTLI_OPERATION_FINISH, &left, &from, &room, &to, NULL));
    assert_int_equal(buf[0], 0x11); /* the mark of the extension */
    assert_int_equal(outcome(AC__BROTLI, buf, 100), -AC_ECODING);
    BrotliEncoderDestroyInstance(b);
    free(buf);
    free(big.data);
}

/* The library reads what was before the standard; a body has none of it. */
static void old_zstd(void **state)
{
    static const size_t lens[]   = {1, 4, 5, 16};
    char                head[16] = {0, (char)0xb5, 0x2f, (char)0xfd};

    (void)state;
    for (char first = 0x1e; first < 0x30; first++) {
        head[0] = first;
        for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
            if (first != 0x28)
                assert_int_equal(outcome(AC__ZSTD, head, lens[i]), -AC_ECODING);
    }
    assert_int_equal(outcome(AC__ZSTD, "\x28\xb5\x2f\xfd", 4), -AC_ETRUNCATED);
    assert_int_equal(outcome(AC__ZSTD, "\x28\x2a\x4d\x18\x01\x00\x00\x00x", 9), -AC_ECODING);
    assert_int_equal(outcome(AC__ZSTD, "\x50\xb5\x2f\xfd\x20\x00\x01\x00\x00", 9), -AC_ECODING);
}

/* --- bombs and memory ------------------------------------------------------------------------ */

static void bombs_come_in_steps(void **state)
{
    struct bytes zeros = {calloc(1, 16 * 1024 * 1024), 16 * 1024 * 1024, 0};

    (void)state;
    for (enum form f = 0; f < FORMS; f++) {
        struct bytes in  = encode(f, &zeros);
        const char  *at  = in.data;
        size_t       len = in.len, total = 0, steps = 0;
        ac__decoder *d   = ac__decoder_new(coding_of[f]);
        char        *buf = malloc(ROOM);
        ssize_t      n;

        assert_true(in.len < 64 * 1024);
        while ((n = ac__decoder_step(d, &at, &len, buf, ROOM)) > 0) {
            assert_true(n <= ROOM);
            total += (size_t)n;
            steps++;
        }
        assert_int_equal(n, 0);
        assert_int_equal(total, zeros.len);
        assert_true(steps >= zeros.len / ROOM);
        assert_int_equal(ac__decoder_end(d), 0);
        ac__decoder_free(d);
        free(buf);
        free(in.data);
    }
    free(zeros.data);
}

static void out_of_memory(void **state)
{
    struct bytes text = plain(300000);

    (void)state;
    for (enum form f = 0; f < FORMS; f++) {
        struct bytes in = encode(f, &text), out;
        int          rc = -ENOMEM;
        long         k  = 0;

        for (int on = 0; on < 2; on++) {
            for (k = 1, rc = -ENOMEM; rc != 0; k++) {
                h_alloc_calls   = 0;
                h_alloc_fail    = k;
                h_alloc_fail_on = on != 0;
                rc              = decode_in(coding_of[f], &in, 0, 5000, 4096, &out);
                h_alloc_fail    = 0;
                assert_true(rc == 0 || rc == -ENOMEM);
                if (rc == 0)
                    assert_true(same(&out, &text));
                assert_int_equal(h_live, 0);
                free(out.data);
                assert_true(k < 1000);
            }
        }
        assert_true(k > (coding_of[f] == AC__ZSTD ? 1 : 3)); /* zstd's own are the C library's */
        free(in.data);
    }
    free(text.data);
}

static int no_loop(void **state)
{
    *state       = NULL;
    h_live       = 0;
    h_alloc_fail = 0;
    return 0;
}

static int nothing_left(void **state)
{
    (void)state;
    return h_live == 0 ? 0 : -1;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, no_loop, nothing_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lists),
        TEST(lists_over_several_fields),
        TEST(every_room),
        TEST(every_split),
        TEST(every_cut),
        TEST(every_bit),
        TEST(behind_the_end),
        TEST(empty_bodies),
        TEST(steps_without_input),
        TEST(flushed_parts_come_out),
        TEST(deflate_forms),
        TEST(large_windows),
        TEST(old_zstd),
        TEST(bombs_come_in_steps),
        TEST(out_of_memory),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
