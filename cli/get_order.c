/* SPDX-License-Identifier: MIT */
/*
 * Output in the order of the URLs, whatever the order of arrival. The first transfer that has not
 * ended streams; the later ones are kept, since a server that is made to wait may give up.
 */
#include "get.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_first(const struct transfer *t)
{
    return t->get->order.first == t;
}

static bool has_kept(const struct kept *k)
{
    return k->at < k->len || k->spill_at < k->spilled;
}

/* --- what is kept ------------------------------------------------------------------------- */

static void kept_free(struct order *o, struct kept *k)
{
    o->memory -= k->cap;
    free(k->data);
    for (size_t i = (size_t)(k->spill_at / SPILL_BLOCK); i < k->block_count; i++)
        spill_give(&o->spill, k->blocks[i]);
    free(k->blocks);
    *k = (struct kept){.data = NULL};
}

/* Whether it went into memory. */
static bool keep_in_memory(struct order *o, struct kept *k, const void *data, size_t len)
{
    size_t cap = k->cap > 0 ? k->cap : 1024;
    char  *bigger;

    if (k->at == k->len)
        k->at = k->len = 0;
    if (k->spilled > 0 || k->len + len > KEPT_EACH)
        return false;
    while (cap < k->len + len)
        cap *= 2;
    if (cap != k->cap) {
        if (o->memory - k->cap + cap > KEPT_ALL)
            return false;
        bigger = realloc(k->data, cap);
        if (bigger == NULL)
            return false;
        o->memory += cap - k->cap;
        k->data = bigger;
        k->cap  = cap;
    }
    memcpy(k->data + k->len, data, len);
    k->len += len;
    return true;
}

static int add_block(struct order *o, struct kept *k)
{
    int64_t block;

    if (k->block_count == k->block_cap) {
        size_t    cap  = k->block_cap > 0 ? 2 * k->block_cap : 8;
        uint32_t *list = realloc(k->blocks, cap * sizeof *list);

        if (list == NULL)
            return -ENOMEM;
        k->blocks    = list;
        k->block_cap = cap;
    }
    block = spill_take(&o->spill);
    if (block < 0)
        return (int)block;
    k->blocks[k->block_count++] = (uint32_t)block;
    return 0;
}

static int keep(struct order *o, struct kept *k, const char *data, size_t len)
{
    if (keep_in_memory(o, k, data, len))
        return 0;
    while (len > 0) {
        size_t at   = (size_t)(k->spilled % SPILL_BLOCK);
        size_t some = SPILL_BLOCK - at < len ? SPILL_BLOCK - at : len;
        int    rc   = k->spilled / SPILL_BLOCK == k->block_count ? add_block(o, k) : 0;

        if (rc == 0)
            rc = spill_write(&o->spill, k->blocks[k->spilled / SPILL_BLOCK], at, data, some);
        if (rc < 0)
            return rc;
        k->spilled += some;
        data += some;
        len -= some;
    }
    return 0;
}

/* Writes a piece of what is kept. */
static int print_kept(struct order *o, struct kept *k)
{
    uint32_t block;
    size_t   at, some;
    int      rc;

    if (k->at < k->len) {
        rc    = sink_write(&o->out, k->data + k->at, k->len - k->at);
        k->at = k->len;
        return rc;
    }
    if (o->buffer == NULL && (o->buffer = malloc(SPILL_BLOCK)) == NULL)
        return -ENOMEM;
    at    = (size_t)(k->spill_at % SPILL_BLOCK);
    some  = k->spilled - k->spill_at < SPILL_BLOCK - at ? (size_t)(k->spilled - k->spill_at)
                                                        : SPILL_BLOCK - at;
    block = k->blocks[k->spill_at / SPILL_BLOCK];
    rc    = spill_read(&o->spill, block, at, o->buffer, some);
    if (rc == 0)
        rc = sink_write(&o->out, o->buffer, some);
    k->spill_at += some;
    if (k->spill_at % SPILL_BLOCK == 0)
        spill_give(&o->spill, block);
    return rc;
}

/* --- the order ---------------------------------------------------------------------------- */

void order_add(struct get *g, struct transfer *t)
{
    struct order *o = &g->order;

    t->order_prev      = o->last;
    t->order_following = NULL;
    if (o->last != NULL)
        o->last->order_following = t;
    else
        o->first = t;
    o->last = t;
    o->count++;
}

void order_drop(struct transfer *t)
{
    struct order *o = &t->get->order;

    if (t->order_prev != NULL)
        t->order_prev->order_following = t->order_following;
    else
        o->first = t->order_following;
    if (t->order_following != NULL)
        t->order_following->order_prev = t->order_prev;
    else
        o->last = t->order_prev;
    o->count--;
    kept_free(o, &t->kept);
}

/* A report that may begin anew is held back until it is known to be the last one. */
static bool may_print(const struct transfer *t)
{
    return is_first(t) && (t->ended || t->get->o.text != TEXT_REPORT || t->get->o.retries == 0);
}

static void hold_back(struct transfer *t)
{
    if (!t->paused && transfer_request(t) != NULL && ac_http_pause(transfer_request(t)) == 0)
        t->paused = true;
}

static void order_failed(struct get *g, int err)
{
    g->order.out.err = err;
    g->order.out.failed(&g->order.out);
}

int order_feed(struct transfer *t, const void *data, size_t len)
{
    struct get *g = t->get;
    int         rc;

    if (len == 0)
        return 0;
    if (g->out_err != 0)
        return g->out_err;
    if (may_print(t) && !has_kept(&t->kept)) {
        t->printed = true;
        rc         = sink_write(&g->order.out, data, len);
        if (rc < 0)
            order_failed(g, rc); /* for all that would still write there */
        else if (sink_full(&g->order.out))
            hold_back(t);
        return rc;
    }
    rc = keep(&g->order, &t->kept, data, len);
    if (rc == 0 && may_print(t))
        hold_back(t);
    return rc;
}

void order_pump(struct get *g)
{
    struct order    *o = &g->order;
    struct transfer *t;

    while ((t = o->first) != NULL && g->out_err == 0) {
        while (may_print(t) && has_kept(&t->kept)) {
            int rc;

            if (sink_full(&o->out))
                return;
            t->printed = true;
            rc         = print_kept(o, &t->kept);
            if (rc < 0) {
                order_failed(g, rc);
                return;
            }
        }
        if (!t->ended) {
            if (t->paused && !sink_full(&o->out)) {
                t->paused = false;
                (void)ac_http_resume(transfer_request(t));
            }
            return;
        }
        if (!t->finished)
            return;
        order_drop(t);
        transfer_free(t);
    }
}

void order_rewind(struct transfer *t)
{
    kept_free(&t->get->order, &t->kept);
}

bool order_flushed(const struct transfer *t)
{
    if (!is_first(t))
        return true; /* it is kept, which is as good as it gets */
    return !has_kept(&t->kept) && sink_empty(&t->get->order.out);
}

void order_free(struct order *o)
{
    spill_close(&o->spill);
    free(o->buffer);
    o->buffer = NULL;
}
