/* SPDX-License-Identifier: MIT */
/*
 * The tee. Its two consumers see the request itself, so each of them may close it, which the other
 * must not notice before its `close`; or close it and move to another request, which then closes
 * that one.
 */
#include "asyncore/consumers.h"

#include "hold.h"
#include "private.h"

enum { FIRST = 1, SECOND = 2 };

static bool is_closed(const ac_http_request *r)
{
    return r != NULL && (r->flags & AC__R_CLOSED) != 0;
}

/* --- holding -------------------------------------------------------------------------------- */

/* The tee that a consumer stands behind, for the request that it serves now; or NULL. */
static ac_tee_consumer *above(const ac_consumer *c)
{
    ac_tee_consumer *tee = c->reserved_[0];

    return tee != NULL && c->request != NULL && tee->base.request == c->request ? tee : NULL;
}

void ac__consumer_hold(ac_consumer *c)
{
    ac_tee_consumer *tee;

    for (; (tee = above(c)) != NULL; c = &tee->base)
        tee->held_ |= c == tee->first ? FIRST : SECOND;
    (void)ac_http_pause(c->request);
}

void ac__consumer_release(ac_consumer *c)
{
    ac_tee_consumer *tee;

    for (; (tee = above(c)) != NULL; c = &tee->base) {
        tee->held_ &= c == tee->first ? ~(unsigned)FIRST : ~(unsigned)SECOND;
        if (tee->held_ != 0)
            return;
    }
    (void)ac_http_resume(c->request);
}

/* --- slots ---------------------------------------------------------------------------------- */

static void tee_header(ac_consumer *c, ac_http_request *request)
{
    ac_tee_consumer *self = AC_SELF(ac_tee_consumer, c);

    self->told_               = request;
    self->held_               = 0;
    self->first->reserved_[0] = self->second->reserved_[0] = self;
    ac_consumer_header(self->first, request);
    if (!is_closed(request))
        ac_consumer_header(self->second, request);
}

static void feed(ac_consumer *to, const void *data, size_t len)
{
    if ((to->cls->flags & AC_DISCARD) == 0)
        ac_consumer_feed(to, data, len);
}

static void tee_feed(ac_consumer *c, const void *data, size_t len)
{
    ac_tee_consumer *self = AC_SELF(ac_tee_consumer, c);

    feed(self->first, data, len);
    if (!is_closed(c->request))
        feed(self->second, data, len);
}

/* Ends one of the two, unless it serves another request by now. */
static void end(ac_consumer *to, const ac_http_request *told, int err)
{
    if (to->request != NULL && to->request != told)
        return;
    ac_consumer_close(to, err);
}

static void tee_close(ac_consumer *c, int err)
{
    ac_tee_consumer *self  = AC_SELF(ac_tee_consumer, c);
    ac_consumer     *first = self->first, *second = self->second;
    ac_http_request *told = self->told_;

    first->reserved_[0] = second->reserved_[0] = NULL;
    end(first, told, err); /* may be the last that is seen of the tee */
    end(second, told, err);
}

static const ac_consumer_class tee_class = {
    .name        = "TeeConsumer",
    .http_header = tee_header,
    .feed        = tee_feed,
    .close       = tee_close,
};

static const ac_consumer_class discarding_class = {
    .name        = "TeeConsumer",
    .http_header = tee_header,
    .close       = tee_close,
    .flags       = AC_DISCARD,
};

void ac_tee_consumer_init(ac_tee_consumer *c, ac_consumer *first, ac_consumer *second)
{
    unsigned flags;

    if (c == NULL || first == NULL || second == NULL)
        return;
    flags = first->cls->flags & second->cls->flags;
    ac_consumer_init(&c->base, (flags & AC_DISCARD) != 0 ? &discarding_class : &tee_class);
    c->first  = first;
    c->second = second;
    c->told_  = NULL;
    c->held_  = 0;
}
