/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: heads and trailer sections. The first byte is made of: bit 0, a trailer
 * section; bit 1, little room for fields, which grows on demand; the rest, the size of the pieces.
 * Each piece ends where its block ends, so that a byte read or written too far is seen.
 */
#include "../../src/http/http1.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { INPUT_MAX = 16 * 1024 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* A head as it is now: where its bytes and fields lie, of exactly the size that is known. */
struct run {
    ac__head   head;
    char      *buf;
    ac__field *fields;
    ssize_t    rc;
};

static void *exactly(void *old, size_t old_len, size_t len)
{
    void *block = malloc(len);

    require(block != NULL);
    if (old_len > 0)
        memcpy(block, old, old_len);
    free(old);
    return block;
}

static void run(struct run *r, const uint8_t *data, size_t len, size_t piece, uint32_t room,
                bool trailers)
{
    r->buf    = NULL;
    r->fields = exactly(NULL, 0, room * sizeof(ac__field));
    ac__head_init(&r->head, r->fields, room, trailers);
    r->rc = -EAGAIN;
    for (size_t at = 0, n; r->rc == -EAGAIN && at < len; at += n) {
        n      = piece < len - at ? piece : len - at;
        r->buf = exactly(r->buf, at, at + n);
        memcpy(r->buf + at, data + at, n);
        while ((r->rc = ac__head_parse(&r->head, r->buf, at + n)) == -AC_ETOOLARGE) {
            require(r->head.full && r->head.count == room);
            r->fields =
                exactly(r->fields, room * sizeof(ac__field), (room + 1) * sizeof(ac__field));
            r->head.fields     = r->fields;
            r->head.max_fields = ++room;
        }
        require(!r->head.full && r->head.count <= room);
        require(r->rc == -EAGAIN || r->rc == -AC_EPROTO || (r->rc > (ssize_t)at));
    }
}

static void check(const struct run *r, const uint8_t *data, bool trailers)
{
    const ac__head *h   = &r->head;
    size_t          end = trailers ? 0 : h->reason + h->reason_len;

    require(trailers || (h->status >= 100 && h->status <= 599 && h->minor <= 1));
    require(trailers || (memcmp(data, "HTTP/1.", 7) == 0 && r->buf[end] == '\0'));
    require(trailers || ac__is_field_value(r->buf + h->reason, h->reason_len));
    for (uint32_t i = 0; i < h->count; i++) {
        const ac__field *f = &r->fields[i];

        require(f->name >= end && ac__is_token(r->buf + f->name, f->name_len));
        require(r->buf[f->name + f->name_len] == '\0' && f->value > f->name + f->name_len);
        require(ac__is_field_value(r->buf + f->value, f->value_len));
        end = f->value + f->value_len;
        require(end < (size_t)r->rc && r->buf[end] == '\0');
        require(
            f->value_len == 0
            || (strchr(" \t", r->buf[f->value]) == NULL && strchr(" \t", r->buf[end - 1]) == NULL));
    }
    require(memcmp(data + r->rc - 2, "\r\n", 2) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct run  whole, split;
    bool        trailers;
    ac__framing framing;
    int64_t     length;

    if (len < 2 || len > INPUT_MAX)
        return 0;
    trailers = (data[0] & 1) != 0;
    run(&whole, data + 1, len - 1, len, 64, trailers);
    run(&split, data + 1, len - 1, 1 + (size_t)(data[0] >> 2), (data[0] & 2) != 0 ? 0 : 64,
        trailers);
    require(whole.rc == split.rc);
    if (whole.rc > 0) {
        check(&whole, data + 1, trailers);
        require(whole.head.count == split.head.count);
        require(memcmp(whole.fields, split.fields, whole.head.count * sizeof(ac__field)) == 0);
        require(memcmp(whole.buf, split.buf, (size_t)whole.rc) == 0);
        (void)ac__persists(&whole.head, whole.buf);
        for (int head = 0; head < 2; head++)
            if (ac__framing_of(&whole.head, whole.buf, head != 0, &framing, &length) == 0)
                require(length >= (framing == AC__BY_LENGTH ? 0 : -1));
    }
    free(whole.buf);
    free(whole.fields);
    free(split.buf);
    free(split.fields);
    return 0;
}
