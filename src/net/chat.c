/* SPDX-License-Identifier: MIT */
/*
 * Conversations: input cut into messages.
 *
 * Input is cut where it lies, in the view that ac_read() gives: a message that came whole costs no
 * copy. Only what is left over is kept in `in_`, from `start_` to its `len`:
 *
 *   a part of a message, which was looked at (LOOKED is set): no terminator is in it, and only its
 *   end can begin one. With collect_incoming_data that end is all that is kept back;
 *   or input that came while the channel was paused or failed, and is yet to be looked at.
 *
 * Whatever calls a slot reads the terms (terminator, length, limit) anew afterwards, and asks
 * whether the channel can still go on. So a change of them in a slot needs no bookkeeping.
 */
#include "chat_private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

enum { LIMIT = 64 * 1024, KEEP = 4 * 1024, LEAST = 256 };

/* state_ */
enum {
    LOOKED  = 1 << 0, /* `in_` holds no message by the present terms */
    OWED    = 1 << 1, /* a message by length was collected whole: found_terminator is to be told */
    DROPPED = 1 << 2, /* ac_chat_discard() has been called since the input came */
    CUTTING = 1 << 3, /* inside ac_chat_handle_read() */
    HELD    = 1 << 4  /* AC__HUNG was set by us: no hang-up is told before what is kept */
};

static const ac_chat_class *class_of(const ac_chat *c)
{
    return (const ac_chat_class *)(const void *)c->base.cls;
}

/* Whether more input may be looked at. */
static bool goes_on(const ac_chat *c)
{
    const uint32_t stop = AC__PAUSED | AC__FAILED | AC__ENDED | AC__GOODBYE;

    return (c->base.flags_ & (AC__OPEN | stop)) == AC__OPEN && (c->state_ & DROPPED) == 0;
}

/* Whether it goes on later with what has come. */
static bool is_paused(const ac_chat *c)
{
    const uint32_t stop = AC__FAILED | AC__ENDED | AC__GOODBYE;

    return (c->base.flags_ & (AC__OPEN | AC__PAUSED | stop)) == (AC__OPEN | AC__PAUSED)
           && (c->state_ & DROPPED) == 0;
}

static size_t kept(const ac_chat *c)
{
    return c->in_.len - c->start_;
}

/* --- memory --------------------------------------------------------------------------------- */

static void chat_closed(ac_dispatcher *d);

ac__ext *ac__chat_ext(ac_chat *c)
{
    ac__ext *x = ac__ext_get(&c->base);

    if (x != NULL) {
        x->closed = chat_closed;
        x->refill = ac__chat_refill;
    }
    return x;
}

/* Appends to what is kept. Out of memory fails the channel. */
static bool keep(ac_chat *c, const char *data, size_t len)
{
    if (c->start_ > 0) {
        memmove(c->in_.data, c->in_.data + c->start_, kept(c));
        c->in_.len -= c->start_;
        c->start_ = 0;
    }
    if (c->in_.cap - c->in_.len < len) {
        size_t want = c->in_.len + len;
        size_t cap  = c->in_.cap > LEAST ? c->in_.cap : LEAST;
        char  *bigger;

        while (cap < want)
            cap *= 2;
        bigger = ac__chat_ext(c) != NULL ? ac__realloc(c->in_.data, cap) : NULL;
        if (bigger == NULL) {
            ac__fail(&c->base, -ENOMEM, "read", NULL);
            return false;
        }
        c->in_.data = bigger;
        c->in_.cap  = cap;
    }
    memcpy(c->in_.data + c->in_.len, data, len);
    c->in_.len += len;
    return true;
}

static void forget_input(ac_chat *c)
{
    c->in_.len = c->start_ = 0;
    c->state_ &= ~(unsigned)LOOKED;
}

/* --- cutting -------------------------------------------------------------------------------- */

static size_t too_large(ac_chat *c)
{
    ac__fail_text(&c->base, -AC_ETOOLARGE, "read", "a message");
    return 0;
}

static void collect(ac_chat *c, const char *data, size_t len)
{
    c->got_ += len;
    c->base.loop->stats.callbacks++;
    class_of(c)->collect_incoming_data(c, data, len);
}

static void found(ac_chat *c, const char *data, size_t len)
{
    c->got_ = 0;
    c->state_ &= ~(unsigned)OWED;
    if (class_of(c)->found_terminator == NULL)
        return;
    c->base.loop->stats.callbacks++;
    class_of(c)->found_terminator(c, data, len);
}

/* The length of the longest end of `data` that may be the beginning of the terminator. */
static size_t beginning(const ac_chat *c, const char *data, size_t len)
{
    size_t k = c->terminator_len_ - 1U;

    for (k = k < len ? k : len; k > 0; k--) {
        if (memcmp(data + len - k, c->terminator_, k) == 0)
            break;
    }
    return k;
}

/* The steps below take what they can from the front of `data`, with one call of a slot, and return
 * how much that was; 0: it takes more input, or the channel has failed. */

static size_t cut_string(ac_chat *c, const char *data, size_t len)
{
    size_t      t    = c->terminator_len_;
    const char *at   = memmem(data, len, c->terminator_, t);
    size_t      text = at != NULL ? (size_t)(at - data) : len;

    if (class_of(c)->collect_incoming_data == NULL) {
        if (at == NULL)
            return len >= t && len - t >= c->limit_ ? too_large(c) : 0;
        if (text > c->limit_)
            return too_large(c);
        found(c, data, text);
        return text + t;
    }
    if (at == data) {
        found(c, NULL, 0);
        return t;
    }
    if (at == NULL)
        text -= beginning(c, data, len);
    if (text > c->limit_ || c->got_ > c->limit_ - text)
        return too_large(c);
    if (text > 0)
        collect(c, data, text);
    return text;
}

static size_t cut_length(ac_chat *c, const char *data, size_t len)
{
    size_t need = c->count_;

    if (need > c->limit_ || c->got_ > c->limit_ - need)
        return too_large(c);
    if (class_of(c)->collect_incoming_data == NULL) {
        if (len < need)
            return 0;
        c->count_ = 0;
        found(c, data, need);
        return need;
    }
    if (len > need)
        len = need;
    c->count_ -= len;
    if (c->count_ == 0)
        c->state_ |= OWED;
    collect(c, data, len);
    return len;
}

static size_t cut_nothing(ac_chat *c, const char *data, size_t len)
{
    if (class_of(c)->collect_incoming_data != NULL) {
        collect(c, data, len);
        c->got_ = 0; /* there is no message to be too large */
    }
    return len;
}

/* Cuts `data`, before which nothing is kept. Returns how much of it is done with. */
static size_t cut(ac_chat *c, const char *data, size_t len)
{
    size_t done = 0;

    c->state_ &= ~(unsigned)LOOKED;
    while (goes_on(c)) {
        size_t n;

        if ((c->state_ & OWED) != 0) {
            found(c, NULL, 0);
            continue;
        }
        if (done == len)
            break;
        if (c->terminator_len_ > 0)
            n = cut_string(c, data + done, len - done);
        else if (c->count_ > 0)
            n = cut_length(c, data + done, len - done);
        else
            n = cut_nothing(c, data + done, len - done);
        if (n == 0) {
            c->state_ |= LOOKED;
            break;
        }
        done += n;
    }
    return done;
}

/* Cuts what is kept. */
static void cut_kept(ac_chat *c)
{
    size_t done = cut(c, c->in_.data + c->start_, kept(c));

    if (done > 0)
        c->base.flags_ |= AC__TOOK;
    if (c->in_.len > 0) /* ac_chat_discard() leaves nothing */
        c->start_ += done;
    if (kept(c) == 0)
        c->in_.len = c->start_ = 0;
}

/* --- a message that goes on ------------------------------------------------------------------- */

/* Where in `data` the terminator ends that begins in what is kept, or there too; 0: nowhere. */
static size_t terminator_end(const ac_chat *c, const char *data, size_t len)
{
    const char *end = c->in_.data + c->in_.len;
    size_t      t   = c->terminator_len_;
    const char *at;

    for (size_t k = beginning(c, c->in_.data + c->start_, kept(c)); k > 0; k--) {
        if (t - k <= len && memcmp(end - k, c->terminator_, k) == 0
            && memcmp(data, c->terminator_ + k, t - k) == 0)
            return t - k;
    }
    at = memmem(data, len, c->terminator_, t);
    return at != NULL ? (size_t)(at - data) + t : 0;
}

/* Completes the kept part of a message. Returns how much of `data` that took. */
static size_t complete(ac_chat *c, const char *data, size_t len)
{
    size_t t    = c->terminator_len_;
    size_t had  = kept(c);
    size_t take = t > 0 ? terminator_end(c, data, len) : c->count_ - had;
    size_t text, at;

    if (take == 0 || take > len) {
        text = had + len;
        if (t > 0 && text >= t && text - t >= c->limit_)
            return too_large(c);
        (void)keep(c, data, len);
        return len;
    }
    text = had + take - t;
    if (text > c->limit_)
        return too_large(c);
    if (!keep(c, data, take))
        return len;
    at = c->start_;
    forget_input(c); /* the memory stays, also if the slot discards */
    if (t == 0)
        c->count_ = 0;
    found(c, c->in_.data + at, text);
    return take;
}

/*
 * The same where data is collected as it comes. What is kept is then shorter than the terminator,
 * so a terminator's worth of `data` behind it tells what it is; whatever of that is not used up
 * goes back to `data`.
 */
static size_t complete_collecting(ac_chat *c, const char *data, size_t len)
{
    size_t part = len < c->terminator_len_ ? len : c->terminator_len_;

    if (!keep(c, data, part))
        return len;
    cut_kept(c);
    if (kept(c) > part || !goes_on(c))
        return part;
    part -= kept(c);
    forget_input(c);
    return part;
}

/* Deals with new input. What is not used up is kept. */
static void feed(ac_chat *c, const char *data, size_t len)
{
    bool   collects = class_of(c)->collect_incoming_data != NULL;
    size_t done     = 0;

    while (kept(c) > 0 && done < len && goes_on(c)) {
        done += collects ? complete_collecting(c, data + done, len - done)
                         : complete(c, data + done, len - done);
    }
    if (done < len && goes_on(c))
        done += cut(c, data + done, len - done);
    if (done < len && (goes_on(c) || is_paused(c)))
        (void)keep(c, data + done, len - done);
}

/* --- the slot --------------------------------------------------------------------------------- */

/* Whether there is something that was not looked at, or not told. */
static bool is_behind(const ac_chat *c)
{
    return (kept(c) > 0 && (c->state_ & LOOKED) == 0) || (c->state_ & OWED) != 0;
}

/*
 * What was kept for later is served as soon as the channel may go on. A hang-up of the peer is
 * found by reading on after that, never before.
 */
static void ask_again(ac_chat *c)
{
    ac_dispatcher *d = &c->base;

    if ((d->flags_ & AC__SERVING) != 0 && (d->source_.ready & AC__READ) == 0)
        ac__stamp_read(d); /* READ tells no more that something was read */
    d->source_.ready |= AC__READ;
    if ((d->flags_ & AC__HUNG) == 0) {
        d->flags_ |= AC__HUNG;
        c->state_ |= HELD;
    }
    ac__source_touch(d->loop, &d->source_);
}

bool ac__chat_cuts(const ac_chat *c)
{
    return (c->state_ & CUTTING) != 0;
}

static void begin(ac_chat *c)
{
    if ((c->state_ & HELD) != 0)
        c->base.flags_ &= ~(uint32_t)AC__HUNG;
    c->state_ = (c->state_ & ~(unsigned)(HELD | DROPPED)) | CUTTING;
}

static void end(ac_chat *c)
{
    c->state_ &= ~(unsigned)(CUTTING | DROPPED);
    if (!ac_is_open(&c->base))
        return;
    ac__uncork(&c->base);
    if (kept(c) == 0 && c->in_.cap > KEEP) {
        ac__free(c->in_.data);
        c->in_.data = NULL;
        c->in_.cap  = 0;
    }
    if (is_paused(c) && is_behind(c))
        ask_again(c);
}

void ac_chat_handle_read(ac_dispatcher *d)
{
    ac_chat    *c    = ac_chat_of(d);
    ac_loop    *loop = d->loop;
    const void *data;
    void       *view;
    ssize_t     n;

    if ((c->state_ & CUTTING) != 0)
        return;
    begin(c);
    if (is_behind(c) && goes_on(c))
        cut_kept(c);
    while (goes_on(c) && (n = ac_read(d, &data)) > 0) {
        /* A slot may read another channel: it gets another view, and ours stays as it is. */
        view       = loop->view;
        loop->view = NULL;
        feed(c, data, (size_t)n);
        ac__free(loop->view);
        loop->view = view;
        if ((d->source_.ready & AC__READ) == 0)
            break;
    }
    end(c);
}

/* --- terms ---------------------------------------------------------------------------------- */

/* 0, or why the conversation cannot be changed. */
static int usable(const ac_chat *c)
{
    int rc;

    if (c == NULL || c->base.loop == NULL)
        return -EINVAL;
    rc = ac__loop_check(c->base.loop);
    if (rc < 0)
        return rc;
    return (c->base.flags_ & AC__CLOSED) != 0 ? -EBADF : 0;
}

/* The terms are others: what is kept is to be looked at by them. */
static void changed(ac_chat *c)
{
    c->state_ &= ~(unsigned)(LOOKED | OWED);
    if (kept(c) > 0 && (c->state_ & CUTTING) == 0 && ac_is_open(&c->base))
        ask_again(c);
}

int ac_chat_set_terminator(ac_chat *c, const void *terminator, size_t len)
{
    int rc = usable(c);

    if (rc < 0)
        return rc;
    if (terminator == NULL || len == 0 || len > AC_CHAT_TERMINATOR)
        return -EINVAL;
    memmove(c->terminator_, terminator, len);
    c->terminator_len_ = (uint8_t)len;
    c->count_          = 0;
    changed(c);
    return 0;
}

int ac_chat_set_length(ac_chat *c, size_t len)
{
    int rc = usable(c);

    if (rc < 0)
        return rc;
    if (len == 0)
        return -EINVAL;
    c->terminator_len_ = 0;
    c->count_          = len;
    changed(c);
    return 0;
}

int ac_chat_set_no_terminator(ac_chat *c)
{
    int rc = usable(c);

    if (rc < 0)
        return rc;
    c->terminator_len_ = 0;
    c->count_          = 0;
    changed(c);
    return 0;
}

int ac_chat_set_limit(ac_chat *c, size_t limit)
{
    int rc = usable(c);

    if (rc < 0)
        return rc;
    if (limit == 0)
        return -EINVAL;
    c->limit_ = limit;
    changed(c);
    return 0;
}

void ac_chat_discard(ac_chat *c)
{
    if (c == NULL || ac__verb(&c->base) < 0)
        return;
    forget_input(c);
    c->got_ = 0;
    c->state_ &= ~(unsigned)OWED;
    if ((c->state_ & CUTTING) != 0)
        c->state_ |= DROPPED;
    ac__chat_drop_output(c);
}

/* --- life ----------------------------------------------------------------------------------- */

/* The channel is closed: releases all, before finalize. */
static void chat_closed(ac_dispatcher *d)
{
    ac_chat *c = ac_chat_of(d);

    ac__chat_end_output(c);
    ac__free(c->in_.data);
    c->in_.data = NULL;
    c->in_.cap  = 0;
    forget_input(c);
}

static void set_up(ac_chat *c)
{
    size_t first = offsetof(ac_chat, in_);

    memset((char *)c + first, 0, sizeof *c - first);
    c->limit_ = LIMIT;
}

int ac_chat_init(ac_chat *c, ac_loop *loop, const ac_chat_class *cls)
{
    bool whole = cls != NULL && cls->base.handle_read != NULL;

    if (c == NULL)
        return -EINVAL;
    set_up(c);
    return ac_init(&c->base, whole ? loop : NULL, cls != NULL ? &cls->base : NULL);
}

void *ac_chat_new_(ac_loop *loop, const ac_chat_class *cls, size_t len)
{
    ac_chat *c;

    if (cls == NULL || cls->base.handle_read == NULL || len < sizeof *c)
        return NULL;
    c = ac_new_(loop, &cls->base, len, sizeof(ac_dispatcher), AC_ABI);
    if (c != NULL)
        set_up(c);
    return c;
}
