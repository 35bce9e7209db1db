/* SPDX-License-Identifier: MIT */
/*
 * Responses: what comes in over a connection becomes heads, bodies and trailers, and the body goes
 * through its codings to the consumer. After each call of the consumer the request may be closed or
 * paused; what came and was not used is then kept with the connection.
 */
#include "private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DROP_MAX = 64 * 1024, SMALL_PIECE = 16 * 1024, RATIO_FROM = 16 * 1024 * 1024 };

/* What is left of the input: a piece of the body without its framing, then bytes as they came. */
struct input {
    const char *span, *at;
    size_t      span_len, len;
};

static bool stopped(const ac_http_request *r)
{
    return (r->flags & (AC__R_CLOSED | AC__R_PAUSED)) != 0;
}

/* --- keeping ------------------------------------------------------------------------------ */

/* Keeps what a paused request has not used. 0 or -ENOMEM. `old` is what the input lies in, or NULL. */
static int keep(ac__conn *n, const struct input *in)
{
    size_t len  = in->span_len + in->len;
    char  *kept = NULL;

    if (len > 0) {
        kept = ac__alloc(len);
        if (kept == NULL)
            return -ENOMEM;
        memcpy(kept, in->span, in->span_len);
        memcpy(kept + in->span_len, in->at, in->len);
    }
    n->kept     = kept;
    n->kept_len = len;
    n->span     = in->span_len;
    return 0;
}

/* --- the body ----------------------------------------------------------------------------- */

/* Gives a piece of the decoded body to the consumer: 0, or the limit that it passed. */
static int feed(ac_http_request *r, const char *data, size_t len)
{
    ac__exchange *x     = r->x;
    const int64_t total = (int64_t)(x->times.bytes + len);

    if (x->limits.decoded >= 0 && total > x->limits.decoded)
        return -AC_ETOOLARGE;
    if (x->coding_count > 0 && x->limits.ratio > 0 && total > RATIO_FROM
        && total / x->limits.ratio > (int64_t)x->times.wire_bytes)
        return -AC_ETOOLARGE;
    x->times.bytes += len;
    if ((r->consumer->cls->flags & AC_DISCARD) != 0)
        return 0;
    r->client->loop->stats.callbacks++;
    ac_consumer_feed(r->consumer, data, len);
    return 0;
}

/* Makes what the decoders need, at the first byte. */
static int make_decoders(ac__exchange *x, ac_http_client *c)
{
    if (c->scratch == NULL && (c->scratch = ac__alloc(AC__PIECE)) == NULL)
        return -ENOMEM;
    if (x->coding_count == 2 && x->mid == NULL && (x->mid = ac__alloc(AC__PIECE)) == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < x->coding_count; i++) {
        /* The coding that was applied last is listed last, and comes off first. */
        if (x->decoders[i] == NULL
            && (x->decoders[i] = ac__decoder_new(x->codings[x->coding_count - 1 - i])) == NULL)
            return -ENOMEM;
    }
    return 0;
}

/* One step of one or two decoders: bytes made in client->scratch; 0: all input is used up. */
static ssize_t decode(ac__exchange *x, char *out, size_t room, const char **in, size_t *len)
{
    ssize_t n;

    if (x->coding_count == 1)
        return ac__decoder_step(x->decoders[0], in, len, out, room);
    for (;;) {
        n = ac__decoder_step(x->decoders[1], &x->mid_at, &x->mid_len, out, room);
        if (n != 0)
            return n;
        n = ac__decoder_step(x->decoders[0], in, len, x->mid, AC__PIECE);
        if (n <= 0)
            return n;
        x->mid_at  = x->mid;
        x->mid_len = (size_t)n;
    }
}

/* Decodes and feeds until the input is used up or the request stops: 0 or an error. */
static int deliver(ac_http_request *r, struct input *in)
{
    ac__exchange   *x   = r->x;
    ac_http_client *c   = r->client;
    size_t          max = (r->consumer->cls->flags & AC_PIECES) != 0 ? SMALL_PIECE : SIZE_MAX;
    int             rc;

    if (x->coding_count == 0) {
        for (rc = 0; rc == 0 && in->span_len > 0 && !stopped(r);) {
            const char *data = in->span;
            size_t      len  = in->span_len < max ? in->span_len : max;

            in->span += len;
            in->span_len -= len;
            rc = feed(r, data, len);
        }
        return rc;
    }
    if (in->span_len == 0 && x->decoders[0] == NULL)
        return 0; /* an empty body is empty under any coding */
    rc              = make_decoders(x, c);
    x->more_decoded = true;
    while (rc == 0 && !stopped(r)) {
        ssize_t n =
            decode(x, c->scratch, max < AC__PIECE ? max : AC__PIECE, &in->span, &in->span_len);

        if (n == 0) {
            x->more_decoded = false;
            break;
        }
        rc = n < 0 ? (int)n : feed(r, c->scratch, (size_t)n);
    }
    return rc;
}

/* Whether every coding has come to its own end: 0 or -AC_ETRUNCATED. */
static int codings_end(const ac__exchange *x)
{
    int rc = 0;

    for (size_t i = 0; i < x->coding_count && rc == 0; i++)
        if (x->decoders[i] != NULL)
            rc = ac__decoder_end(x->decoders[i]);
    return rc;
}

/* --- heads -------------------------------------------------------------------------------- */

/* Makes room for more bytes of the head. */
static int grow_block(ac__exchange *x)
{
    size_t cap = x->block_cap * 2;
    char  *block;

    if (x->limits.head >= 0 && (int64_t)x->block_cap > x->limits.head)
        return -AC_ETOOLARGE;
    if (x->block == x->inline_block || x->status != 0) {
        /* Trailers: the caller may hold strings of the head, which live as long as the request. */
        if (x->told_count == sizeof x->told / sizeof x->told[0])
            return -AC_ETOOLARGE;
        block = ac__alloc(cap);
        if (block == NULL)
            return -ENOMEM;
        memcpy(block, x->block, x->block_len);
        if (x->block != x->inline_block)
            x->told[x->told_count++] = x->block;
    } else {
        block = ac__realloc(x->block, cap);
        if (block == NULL)
            return -ENOMEM;
    }
    x->block     = block;
    x->block_cap = cap;
    return 0;
}

/* Makes room for more fields. */
static int grow_fields(ac__exchange *x)
{
    uint32_t   cap = x->field_cap * 2;
    ac__field *fields;

    if (x->limits.fields >= 0 && (int64_t)cap > x->limits.fields)
        cap = (uint32_t)x->limits.fields;
    if (cap <= x->field_cap)
        return -AC_ETOOLARGE;
    fields = ac__realloc(x->fields == x->inline_fields ? NULL : x->fields, cap * sizeof *fields);
    if (fields == NULL)
        return -ENOMEM;
    if (x->fields == x->inline_fields)
        memcpy(fields, x->inline_fields, x->field_cap * sizeof *fields);
    x->fields          = fields;
    x->field_cap       = cap;
    x->head.fields     = fields + x->field_count;
    x->head.max_fields = cap - x->field_count;
    return 0;
}

/*
 * Takes bytes of a head or trailer section, which begins at `base` of the block. Returns 1 when it is
 * whole, with the input behind it; 0: more is needed; or an error.
 */
static int take_section(ac__exchange *x, size_t base, struct input *in)
{
    while (in->len > 0) {
        size_t  room = x->block_cap - x->block_len;
        size_t  n    = in->len < room ? in->len : room;
        ssize_t rc;

        if (room == 0) {
            int grown = grow_block(x);

            if (grown < 0)
                return grown;
            continue;
        }
        memcpy(x->block + x->block_len, in->at, n);
        x->block_len += n;
        in->at += n;
        in->len -= n;
        while ((rc = ac__head_parse(&x->head, x->block + base, x->block_len - base))
                   == -AC_ETOOLARGE
               && x->head.full) {
            int grown = grow_fields(x);

            if (grown < 0)
                return grown;
        }
        if (rc > 0) {
            size_t behind = x->block_len - base - (size_t)rc;

            in->at -= behind;
            in->len += behind;
            x->block_len -= behind;
            x->times.header_bytes += (uint64_t)rc;
            if (x->limits.head >= 0 && (int64_t)x->times.header_bytes > x->limits.head)
                return -AC_ETOOLARGE;
            return 1;
        }
        if (rc != -EAGAIN)
            return (int)rc;
        if (x->limits.head >= 0
            && (int64_t)(x->times.header_bytes + x->block_len - base) > x->limits.head)
            return -AC_ETOOLARGE;
    }
    return 0;
}

/* An interim response: dropped, but for what 100 means. */
static int interim(ac__conn *n)
{
    ac__exchange *x = n->request->x;

    if (x->head.status == 101)
        return -AC_EPROTO; /* nobody asked to switch */
    if (x->limits.interims >= 0 && ++x->interims > (uint64_t)x->limits.interims)
        return -AC_ETOOLARGE;
    if (x->head.status == 100)
        ac__conn_continue(n);
    x->block_len = 0;
    ac__head_init(&x->head, x->fields, x->field_cap, false);
    return 0;
}

/* Reads the codings of the body: 0 or -AC_ECODING. */
static int read_codings(ac__exchange *x)
{
    int rc = 0;

    if (x->raw || x->framing == AC__NO_BODY)
        return 0;
    for (uint32_t i = 0; i < x->field_count && rc == 0; i++) {
        const ac__field *f = &x->fields[i];

        if (ac__token_is(x->block + f->name, f->name_len, "content-encoding"))
            rc = ac__codings_parse(x->block + f->value, f->value_len, x->codings, &x->coding_count);
    }
    return rc;
}

/* Whether the response says no more than that the request should be sent in another way. */
static bool asks_again(ac__conn *n)
{
    ac_http_request *r = n->request;
    const int        s = r->x->status;

    if (s == 417 && r->x->expect_sent && ac__request_rewind(r) == 0) {
        r->flags |= AC__R_NO_EXPECT;
        return true;
    }
    /* An idle connection that the server gives up, with a word of why (RFC 9110, 15.5.9). */
    return s == 408 && n->reused && !n->persists && (r->flags & AC__R_FRESH) == 0
           && ac__request_repeatable(r) && ac__request_rewind(r) == 0;
}

/* How long the server says it keeps an idle connection ("timeout=5", RFC 2068, 19.7.1); 0: nothing. */
static int64_t keep_alive(const ac__exchange *x)
{
    static const char name[] = "timeout=";
    int64_t           seconds;

    for (uint32_t i = 0; i < x->field_count; i++) {
        const ac__field *f  = &x->fields[i];
        const char      *at = x->block + f->value;

        if (!ac__token_is(x->block + f->name, f->name_len, "keep-alive"))
            continue;
        at = strcasestr(at, name);
        if (at == NULL || at[sizeof name - 1] < '0' || at[sizeof name - 1] > '9')
            continue;
        seconds = strtol(at + sizeof name - 1, NULL, 10);
        return (seconds < 86400 ? seconds + (seconds == 0) : 86400) * AC_SECOND;
    }
    return 0;
}

/* The final head is whole: what it means. Returns 0, or an error of which the body dies. */
static int understand(ac__conn *n)
{
    ac_http_request *r      = n->request;
    ac__exchange    *x      = r->x;
    int64_t          length = -1;
    bool             head   = strcmp(ac__request_method(r), "HEAD") == 0;
    int              rc;

    x->field_count = x->head.count;
    x->head_len    = x->block_len;
    rc             = ac__framing_of(&x->head, x->block, head, &x->framing, &length);
    if (rc < 0)
        return rc;
    x->status         = x->head.status;
    x->minor          = x->head.minor;
    x->reason         = x->head.reason;
    x->times.length   = length;
    n->origin->http10 = x->minor == 0;
    n->idle_limit     = keep_alive(x);
    n->persists       = ac__persists(&x->head, x->block) && x->framing != AC__UNTIL_CLOSE;
    /* It must not (RFC 9110, 8.6); what comes behind it would pass for the next response. */
    if (x->status == 204 && ac__announces_body(&x->head, x->block))
        n->persists = false;
    if (!n->sent) { /* answered before the body was out: the rest is not sent */
        x->body_ended = true;
        n->persists   = false;
    }
    return 0;
}

/* Tells the consumer of the head, and checks what can be checked before the body. */
static void begin_body(ac__conn *n)
{
    ac_http_request *r = n->request;
    ac__exchange    *x = r->x;
    int              rc;

    n->state        = AC__CONN_BODY;
    n->window       = ac__now(n->client->loop);
    n->window_bytes = 0;
    n->expecting    = false;
    x->phase        = AC_HTTP_BODY;
    ac__body_init(&n->body, x->framing, x->times.length);
    rc = read_codings(x);
    r->flags |= AC__R_HEADER;
    n->client->loop->stats.callbacks++;
    ac_consumer_header(r->consumer, r);
    if ((r->flags & AC__R_CLOSED) != 0 || n->request != r)
        return;
    if (rc == 0 && x->framing == AC__BY_LENGTH && x->limits.body >= 0
        && x->times.length > x->limits.body)
        rc = -AC_ETOOLARGE;
    if (rc < 0)
        ac__conn_fail(n, rc);
    else
        ac__conn_arm(n);
}

/* Goes on with the head. Returns whether there is more to do. */
static bool step_head(ac__conn *n, struct input *in)
{
    ac__exchange *x = n->request->x;
    bool          again;
    int           rc;

    if (in->len == 0)
        return false;
    if (!n->got_byte) {
        n->got_byte         = true;
        x->times.first_byte = ac__now(n->client->loop) - x->started;
        if (x->phase < AC_HTTP_HEAD && n->sent)
            x->phase = AC_HTTP_HEAD;
    }
    rc = take_section(x, 0, in);
    if (rc == 0)
        return false;
    if (rc > 0 && x->head.status < 200) {
        rc = interim(n);
        if (rc == 0)
            return true;
    }
    if (rc > 0)
        rc = understand(n);
    if (rc < 0) {
        ac__conn_fail(n, rc);
        return false;
    }
    again = asks_again(n);
    if (n->request == NULL)
        return false; /* closed while its body was rewound */
    if (again) {
        ac__conn_again(n);
        return false;
    }
    begin_body(n);
    return true;
}

/* --- the steps behind the head ------------------------------------------------------------------ */

/* Goes on with the body. Returns whether there is more to do. */
static bool step_body(ac__conn *n, struct input *in)
{
    ac_http_request *r = n->request;
    ssize_t          used;
    size_t           len;
    int              rc;

    if (in->span_len == 0 && n->body.done) {
        n->state = n->body.framing == AC__CHUNKED ? AC__CONN_TRAILER : AC__CONN_FLUSH;
        if (r != NULL && n->state == AC__CONN_TRAILER) {
            r->x->trailer_base = (uint32_t)r->x->block_len;
            ac__head_init(&r->x->head, r->x->fields + r->x->field_count,
                          r->x->field_cap - r->x->field_count, true);
        }
        return true;
    }
    if (in->span_len == 0 && r != NULL && r->x->more_decoded) { /* it was paused in the middle */
        rc = deliver(r, in);
        if (rc < 0 && n->request == r)
            ac__conn_fail(n, rc);
        return true;
    }
    if (in->span_len == 0) {
        if (in->len == 0)
            return false;
        used = ac__body_next(&n->body, in->at, in->len, &in->span, &len);
        if (used < 0) {
            ac__conn_fail(n, (int)used);
            return false;
        }
        in->at += used;
        in->len -= (size_t)used;
        in->span_len = len;
        if (r != NULL)
            r->x->times.wire_bytes += len;
    }
    if (r == NULL) { /* nobody wants it: read for the sake of the connection */
        n->dropped += (int64_t)in->span_len;
        in->span_len = 0;
        if (n->dropped > DROP_MAX)
            ac__conn_fail(n, -AC_ETOOLARGE);
        return true;
    }
    rc = 0;
    if (r->x->limits.body >= 0 && (int64_t)r->x->times.wire_bytes > r->x->limits.body)
        rc = -AC_ETOOLARGE;
    if (rc == 0)
        rc = deliver(r, in);
    if (rc < 0 && n->request == r)
        ac__conn_fail(n, rc);
    return true;
}

static bool step_trailer(ac__conn *n, struct input *in)
{
    ac_http_request *r = n->request;
    int              rc;

    if (r == NULL) {
        /* Trailers of a body that nobody wants are not worth a parser. */
        if (in->len < 2 || memcmp(in->at, "\r\n", 2) != 0) {
            ac__conn_fail(n, -AC_EPROTO);
            return false;
        }
        in->at += 2;
        in->len -= 2;
        n->state = AC__CONN_FLUSH;
        return true;
    }
    rc = take_section(r->x, r->x->trailer_base, in);
    if (rc == 0)
        return false;
    if (rc < 0) {
        ac__conn_fail(n, rc);
        return false;
    }
    n->state = AC__CONN_FLUSH;
    return true;
}

/* The message is whole: the decoders give what they still have, and the request ends. */
static bool step_flush(ac__conn *n, struct input *in)
{
    ac_http_request *r  = n->request;
    int              rc = 0;

    if (r != NULL) {
        in->span_len = 0;
        rc           = deliver(r, in);
        if (n->request == r && (r->flags & AC__R_PAUSED) != 0 && rc == 0)
            return true;
        if (rc == 0 && n->request == r)
            rc = codings_end(r->x);
        if (n->request != r)
            return true;
    }
    if (rc < 0) {
        ac__conn_fail(n, rc);
        return false;
    }
    if (in->len > 0)
        n->persists = false; /* bytes that nobody asked for: whose are they? */
    ac__conn_done(n);
    if (r != NULL)
        ac__request_end(r, 0);
    return false;
}

/* --- entries ------------------------------------------------------------------------------ */

static bool step(ac__conn *n, struct input *in)
{
    switch (n->state) {
    case AC__CONN_HEAD:
        if (n->request != NULL)
            return step_head(n, in);
        break;
    case AC__CONN_BODY:
        return step_body(n, in);
    case AC__CONN_TRAILER:
        return step_trailer(n, in);
    case AC__CONN_FLUSH:
        return step_flush(n, in);
    case AC__CONN_CONNECTING:
    case AC__CONN_IDLE:
        break;
    }
    if (in->len > 0)
        ac__conn_fail(n, -AC_EPROTO); /* bytes that answer nothing */
    return false;
}

/* What was to come has come: the end of the connection means something now. */
static void act_on_end(ac__conn *n)
{
    struct input in  = {.span = "", .at = ""};
    int          err = n->ended == 1 ? -AC_ETRUNCATED : n->ended;

    if (n->state == AC__CONN_BODY && n->body.framing == AC__UNTIL_CLOSE && n->ended == 1) {
        n->body.done = true;
        while (!n->gone && step(n, &in))
            if (n->request != NULL && (n->request->flags & AC__R_PAUSED) != 0)
                return;
        return;
    }
    /* Once the connection stood, losing it is losing the response. */
    if (n->state != AC__CONN_CONNECTING && (err == -ECONNRESET || err == -EPIPE))
        err = -AC_ETRUNCATED;
    ac__conn_fail(n, err);
}

void ac__response_input(ac__conn *n, const char *data, size_t len)
{
    char        *kept = n->kept;
    struct input in   = {.span = "", .at = data, .len = len};
    bool         more = true;

    if (data == NULL) {
        in.span     = kept != NULL ? kept : "";
        in.span_len = n->span;
        in.at       = in.span + n->span;
        in.len      = n->kept_len - n->span;
        n->kept     = NULL;
        n->kept_len = n->span = 0;
        if (n->request != NULL && n->state >= AC__CONN_BODY && !stopped(n->request))
            ac_consumer_resume(n->request->consumer);
    } else {
        kept = NULL;
    }
    while (more && !n->gone) {
        ac_http_request *r = n->request;

        if (r != NULL && (r->flags & AC__R_PAUSED) != 0) {
            if (keep(n, &in) < 0)
                ac__conn_fail(n, -ENOMEM);
            break;
        }
        more = step(n, &in);
        if (n->request != r && n->request != NULL)
            break; /* the next request is on its way already */
    }
    ac__free(kept);
    if (!n->gone && n->ended != 0 && n->kept_len == 0
        && (n->request == NULL || (n->request->flags & AC__R_PAUSED) == 0))
        act_on_end(n);
}

void ac__response_ended(ac__conn *n, int ended)
{
    n->ended    = ended;
    n->persists = false;
    if (n->resumed || (n->request != NULL && (n->request->flags & AC__R_PAUSED) != 0))
        return; /* acted on when it goes on: what came before the end is first */
    act_on_end(n);
}
