/* SPDX-License-Identifier: MIT */
/*
 * HTML while it arrives: the consumer. It finds the character set, turns bytes into UTF-8, and
 * gives the parser what it may get: what follows the last "<" without a ">" waits for more, since
 * of a piece that ends inside of a tag the parser may make something else.
 */
#include "html_private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

/* Looks for the last "<" without ">" in what is new of what is held. */
static void look(struct ac__html *h)
{
    const char *fresh = h->held.data + h->seen;
    size_t      len   = h->held.len - h->seen;
    const char *lt    = len > 0 ? memrchr(fresh, '<', len) : NULL;
    const char *gt    = len > 0 ? memrchr(fresh, '>', len) : NULL;

    if (lt != NULL)
        h->open = gt != NULL && gt > lt ? NONE : (size_t)(lt - h->held.data);
    else if (gt != NULL)
        h->open = NONE;
    h->seen = h->held.len;
}

/* Gives the parser what it may get. */
static void give(struct ac__html *h, bool last)
{
    size_t end, at = 0;

    look(h);
    if (last || (h->open != NONE && h->held.len - h->open > HELD_MAX))
        h->open = NONE;
    end = h->open != NONE ? h->open : h->held.len;
    if (!last && end < ac__batch(h->quiet))
        return;
    while (at < end && !h->muted)
        at += ac__html_take_piece(h, h->held.data + at, end - at);
    if (h->muted)
        return;
    /* The parser loses a "<" that is the last byte. */
    h->ends_open = last && end > 0 && h->held.data[end - 1] == '<' && !ac__html_is_raw(h);
    ac__text_drop(&h->held, end);
    h->seen -= end;
    if (h->open != NONE)
        h->open -= end;
}

/* --- the character set -------------------------------------------------------------------- */

/* Finds the character set. Returns whether it is known now. */
static bool decide(struct ac__html *h, bool last)
{
    const char        *data = h->head.data;
    size_t             len  = h->head.len < SCAN ? h->head.len : SCAN;
    size_t             mark;
    const ac__charset *marked;

    if (len == 0 || (!last && ac__charset_mark_begun(data, len)))
        return false;
    marked = ac__charset_of_mark(data, len, &mark);
    if (marked != NULL)
        h->charset = marked;
    if (h->charset == NULL)
        h->charset = ac__charset_of_meta(data, len);
    if (h->charset == NULL && (last || len == SCAN))
        h->charset = ac__charset_guess(data, len, h->head.len > len || !last);
    if (h->charset == NULL)
        return false;
    ac__text_drop(&h->head, mark);
    return true;
}

static int open_converter(struct ac__html *h)
{
    int rc = ac__converter_open(&h->converter, h->charset);

    /* A set that the C library lacks; the one that always works shows at least what is ASCII. */
    if (rc == -ENOSYS)
        rc = ac__converter_open(&h->converter, ac__charset_find("windows-1252", 12));
    return rc;
}

static void take(struct ac__html *h, const char *data, size_t len, bool last)
{
    int rc = 0;

    if (!h->decided) {
        rc = ac__text_add(&h->head, data, len);
        if (rc == 0) {
            if (!decide(h, last))
                return;
            h->decided = true;
            rc         = open_converter(h);
        }
        if (rc == 0)
            rc = ac__converter_run(&h->converter, h->head.data, h->head.len, last, &h->held);
        ac__text_free(&h->head);
    } else {
        rc = ac__converter_run(&h->converter, data, len, last, &h->held);
    }
    if (rc < 0)
        ac__html_give_up(h, rc);
    else
        give(h, last);
}

/* --- the consumer ------------------------------------------------------------------------- */

static void free_state(ac_html_consumer *c)
{
    struct ac__html *h = c->state_;

    if (h == NULL)
        return;
    c->state_ = NULL;
    if (h->parser != NULL)
        htmlFreeParserCtxt(h->parser);
    ac__converter_close(&h->converter);
    ac__text_free(&h->head);
    ac__text_free(&h->held);
    ac__free(h);
}

void ac__html_fail(ac_html_consumer *c, int err)
{
    if (c->state_ != NULL)
        ac__html_give_up(c->state_, err);
}

static void html_header(ac_consumer *base, ac_http_request *request)
{
    ac_html_consumer *c = AC_SELF(ac_html_consumer, base);

    free_state(c); /* of a request that was closed when the consumer moved on */
    if (ac_http_status(request) != 0) {
        struct ac__html *h = ac__calloc(sizeof *h);

        if (h == NULL) {
            ac_http_fail(request, -ENOMEM);
            return;
        }
        h->owner   = c;
        h->request = request;
        h->open    = NONE;
        h->charset = ac__charset_of_type(ac_http_field_get(request, "content-type"));
        c->state_  = h;
    }
    if (c->cls->header != NULL)
        c->cls->header(c, request);
}

static void html_feed(ac_consumer *base, const void *data, size_t len)
{
    struct ac__html *h  = AC_SELF(ac_html_consumer, base)->state_;
    const char      *at = data;

    while (h != NULL && len > 0 && !h->muted) {
        size_t n = len < PIECE ? len : PIECE;

        take(h, at, n, false);
        at += n;
        len -= n;
    }
}

/* The end of a page: what is open is ended. */
static void finish(struct ac__html *h)
{
    h->closing = true;
    take(h, "", 0, true);
    if (h->parser == NULL || h->muted)
        return;
    if (h->ends_open)
        ac__html_parse(h, "\n", 1);
    (void)htmlParseChunk(h->parser, NULL, 0, 1);
    ac__html_check(h);
    /* Behind what it cannot make sense of, the parser ends without ending the elements. */
    for (int i = h->parser->nameNr; i-- > 0;)
        ac__html_end(h, h->parser->nameTab[i]);
}

static void html_close(ac_consumer *base, int err)
{
    ac_html_consumer *c = AC_SELF(ac_html_consumer, base);
    struct ac__html  *h = c->state_;

    if (h != NULL && err == 0 && !h->muted) {
        base->request = h->request; /* for the slots: it is there until the last of them */
        finish(h);
        base->request = NULL;
        err           = h->err;
    }
    free_state(c);
    if (c->cls->close != NULL)
        c->cls->close(c, err);
}

static const ac_consumer_class html_class = {
    .name        = "html",
    .http_header = html_header,
    .feed        = html_feed,
    .close       = html_close,
    .flags       = AC_PIECES,
};

void ac_html_consumer_init(ac_html_consumer *c, const ac_html_class *cls)
{
    if (c == NULL)
        return;
    ac_consumer_init(&c->base, &html_class);
    c->cls    = cls;
    c->state_ = NULL;
}
