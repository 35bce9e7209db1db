/* SPDX-License-Identifier: MIT */
/*
 * Conversations: output from strings and producers, in order. A string with nothing before it goes
 * to the send queue at once. Behind a producer it waits here, as an item, until the loop finds room
 * in the send queue and takes the items in turn.
 *
 * No producer runs inside a call: the loop asks for more, and the loop tells that one is done.
 *
 * Many messages that came by one read are answered by one write: while a conversation cuts its input,
 * what it pushes is gathered in a buffer of the loop's, the cork, and written when it has done, or as
 * soon as anything else is done to the channel (ac__verb() sees to that).
 */
#include "chat_private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

enum { SLICE = 64 * 1024 };

/* What waits behind a producer: a copied string, a producer, or the goodbye. */
struct ac__chat_item {
    struct ac__chat_item *next;
    ac_producer          *producer; /* NULL: a string, or the goodbye */
    const char           *piece;    /* not sent yet; a producer's stays its own until it is asked */
    size_t                left;
    bool                  goodbye;
    bool                  dropped; /* by ac_chat_discard(): only its `done` is left to be called */
    char                  data[];
};

static int append(ac_chat *c, ac_producer *producer, const void *data, size_t len)
{
    ac__ext              *x    = ac__chat_ext(c);
    struct ac__chat_item *item = x != NULL ? ac__alloc(sizeof *item + len) : NULL;

    if (item == NULL)
        return -ENOMEM;
    *item = (struct ac__chat_item){.producer = producer, .left = len};
    if (len > 0)
        memcpy(item->data, data, len);
    item->piece = item->data;
    if (c->last_ != NULL)
        c->last_->next = item;
    else
        c->first_ = item;
    c->last_ = item;
    c->held_ += len;
    x->refilling = true;
    ac__source_touch(c->base.loop, &c->base.source_);
    return 0;
}

/* Takes the first item off, and calls its `done`. */
static void remove_first(ac_chat *c)
{
    struct ac__chat_item *item = c->first_;
    ac_producer          *p    = item->producer;

    c->first_ = item->next;
    if (c->first_ == NULL)
        c->last_ = NULL;
    ac__free(item);
    if (p != NULL && p->done != NULL) {
        c->base.loop->stats.callbacks++;
        p->done(p);
    }
}

void ac__chat_drop_output(ac_chat *c)
{
    struct ac__chat_item **at = &c->first_;

    c->last_ = NULL;
    while (*at != NULL) {
        struct ac__chat_item *item = *at;

        if (item->producer != NULL) {
            item->dropped = true;
            c->last_      = item;
            at            = &item->next;
        } else {
            *at = item->next;
            ac__free(item);
        }
    }
    c->held_ = 0;
}

void ac__chat_end_output(ac_chat *c)
{
    while (c->first_ != NULL)
        remove_first(c);
    c->held_ = 0;
}

/* --- the cork --------------------------------------------------------------------------------- */

enum { CORK = 16 * 1024 };

struct ac__cork {
    ac_dispatcher *d; /* NULL: nobody's */
    size_t         len;
    char           data[CORK];
};

/* Gathers a push. Returns false where it must be written as any other. */
static bool cork(ac_chat *c, const void *data, size_t len)
{
    const uint32_t   plain = AC__PLAIN & ~(uint32_t)AC__QUICK;
    ac_dispatcher   *d     = &c->base;
    struct ac__cork *cork;

    /* A channel with rare parts may have a queue, or a limit that the gathered bytes do not fit in. */
    if ((d->flags_ & (plain | AC__ODD)) != plain || d->ext_ != NULL || data == NULL || len == 0
        || len > CORK / 2 || !ac__chat_cuts(c) || ac__loop_check(d->loop) < 0)
        return false;
    if (d->loop->cork == NULL && (d->loop->cork = ac__calloc(sizeof *cork)) == NULL)
        return false;
    cork = d->loop->cork;
    if (cork->d == d && len > CORK - cork->len)
        ac__uncork(d);
    if (d->ext_ != NULL || (cork->d != NULL && cork->d != d))
        return false; /* a part had to be queued; or a turn inside a callback: it is in use */
    cork->d = d;
    memcpy(cork->data + cork->len, data, len);
    cork->len += len;
    d->flags_ |= AC__CORKED | ac__tried(d);
    return true;
}

void ac__uncork(ac_dispatcher *d)
{
    struct ac__cork *cork = d->loop->cork;
    size_t           len;
    int              rc;

    if ((d->flags_ & AC__CORKED) == 0)
        return;
    d->flags_ &= ~AC__CORKED;
    len       = cork->len;
    cork->d   = NULL;
    cork->len = 0;
    rc        = ac_write(d, cork->data, len);
    if (rc < 0 && rc != -EPIPE
        && rc != -ECHILD) /* it was taken: the stream cannot go on without it */
        ac__fail(d, rc, "write", NULL);
}

/* --- verbs ---------------------------------------------------------------------------------- */

/* 0, or why nothing more can be pushed. */
static int pushable(ac_chat *c)
{
    int rc = ac__verb(c != NULL ? &c->base : NULL);

    if (rc < 0)
        return rc;
    if ((c->base.flags_ & (AC__SHUT | AC__SHUT_WANT | AC__GOODBYE)) != 0)
        return -EPIPE;
    return c->last_ != NULL && c->last_->goodbye ? -EPIPE : 0;
}

int ac_chat_push(ac_chat *c, const void *data, size_t len)
{
    int rc;

    if (c != NULL && c->first_ == NULL && cork(c, data, len))
        return 0;
    rc = pushable(c);
    if (rc < 0)
        return rc;
    if (c->first_ == NULL)
        return ac_write(&c->base, data, len);
    if (data == NULL && len > 0)
        return -EINVAL;
    if (len == 0)
        return 0;
    if (len > c->base.ext_->limit || c->held_ + c->base.ext_->queued > c->base.ext_->limit - len)
        return -ENOBUFS;
    return append(c, NULL, data, len);
}

int ac_chat_push_producer(ac_chat *c, ac_producer *p)
{
    int rc = pushable(c);

    if (rc < 0)
        return rc;
    if (p == NULL || p->more == NULL)
        return -EINVAL;
    if ((c->base.flags_ & (AC__DGRAM | AC__LISTENING)) != 0)
        return -EINVAL;
    return append(c, p, NULL, 0);
}

int ac_chat_close_when_done(ac_chat *c)
{
    int rc = pushable(c);

    if (rc < 0 && rc != -EPIPE)
        return rc;
    if (c->first_ == NULL) {
        ac_close_when_sent(&c->base);
        return 0;
    }
    if (c->last_->goodbye)
        return 0;
    rc = append(c, NULL, NULL, 0);
    if (rc == 0)
        c->last_->goodbye = true;
    return rc;
}

/* --- from the loop -------------------------------------------------------------------------- */

/* Asks the producer in front for its next piece. Returns whether there may be more to do. */
static bool ask_producer(ac_chat *c)
{
    struct ac__chat_item *item = c->first_;
    const void           *data = NULL;
    ssize_t               n;

    c->base.loop->stats.callbacks++;
    n = item->producer->more(item->producer, &data);
    if (item->dropped || !ac_is_open(&c->base))
        return true;
    if (n > 0 && data != NULL) {
        item->piece = data;
        item->left  = (size_t)n;
    } else if (n == 0) {
        remove_first(c);
    } else {
        ac__fail_text(&c->base, n < 0 && n > -AC_ELAST ? (int)n : -EINVAL, "produce", NULL);
        return false;
    }
    return true;
}

/* Writes a slice of the first item: as much as fits below the high mark, which is for others. */
static bool write_slice(ac_chat *c)
{
    ac_dispatcher        *d    = &c->base;
    struct ac__chat_item *item = c->first_;
    size_t                room = d->ext_->high - 1;
    uint32_t              shut = d->flags_ & (AC__SHUT_WANT | AC__GOODBYE); /* follow all this */
    int                   rc;

    room = room > d->ext_->queued ? room - d->ext_->queued : 1;
    if (room > SLICE)
        room = SLICE;
    if (room > item->left)
        room = item->left;
    d->flags_ &= ~(uint32_t)(AC__SHUT_WANT | AC__GOODBYE);
    rc = ac_write(d, item->piece, room);
    d->flags_ |= shut;
    if (rc < 0) {
        if (rc != -ENOBUFS && rc != -EPIPE)
            ac__fail(d, rc, "write", NULL);
        return rc == -ENOBUFS;
    }
    item->piece += room;
    item->left -= room;
    if (item->producer == NULL)
        c->held_ -= room;
    return true;
}

bool ac__chat_refill(ac_dispatcher *d)
{
    const uint32_t        stop = AC__FAILED | AC__LATER | AC__SHUT;
    ac_chat              *c    = ac_chat_of(d);
    struct ac__chat_item *item = c->first_;
    bool                  more = true;

    if (item == NULL)
        return false;
    if (item->dropped) {
        remove_first(c);
    } else if ((d->flags_ & stop) != 0) {
        return false; /* what waits here is released at the close */
    } else if (item->left > 0) {
        more = write_slice(c);
    } else if (item->producer != NULL) {
        more = ask_producer(c);
    } else if (item->goodbye) {
        remove_first(c);
        ac_close_when_sent(d);
        return false;
    } else {
        remove_first(c);
    }
    return more && c->first_ != NULL;
}
