/* SPDX-License-Identifier: MIT */
/*
 * Timers: a wheel of lists, as fine as the clock.
 *
 * Seen from `base`, a time that no timer which waits is earlier than, a deadline is a number of
 * eleven digits of six bits. The highest digit in which it differs from `base` says which level the
 * timer is in, and the value of that digit which of the level's 64 slots. So what is in a level is
 * earlier than all in the levels above it, and what is in a slot than all in the slots behind it; at
 * level 0 a slot is one nanosecond. When time reaches the first slot in use, `base` becomes the
 * beginning of that slot, and the timers of it go to lower levels, in the order in which they were.
 *
 * Why the order is exact: the deadlines are told apart to the last digit, and equal ones are in one
 * slot at all times, so that they stay in the order of their starts: a list is only appended to.
 *
 * What it costs: a start, a stop, a move are a few stores; a timer moves down once for each digit at
 * most. The timers are linked by their own storage, so no call needs memory.
 *
 * Invariants: base <= now. Each timer that runs is in `due` or in one slot, the one that its deadline
 * and `base` say. All in `due` are earlier than all in slots, or as early and started before. The bit
 * of a slot in use is set, and a list is only valid where its bit is; the bit of a slot that stops
 * have emptied is cleared when it is found. `next` is no later than any deadline.
 */
#include "loop_private.h"

#include <errno.h>

/* started_ of a timer: flags, and above them the number of the pass in which it was started. */
enum {
    STARTED  = 1, /* has been, so that it can be started again */
    INTERNAL = 2, /* the library's own: does not keep ac_run() */
    PASS     = 4
};

enum {
    DIGIT = 6,
    /* A slot of that many is sorted where it is, and searched for its first deadline. */
    FEW = 16
};

/* `next` when the first timer was stopped: to be found anew. */
#define UNKNOWN INT64_MIN

#define TIMER(link) AC__OF(ac_timer, link_, link)

static void place(ac__wheel *w, ac_timer *t)
{
    uint64_t  at    = (uint64_t)t->deadline_;
    unsigned  level = (unsigned)(63 - __builtin_clzll((at ^ (uint64_t)w->base) | 1)) / DIGIT;
    unsigned  digit = (at >> level * DIGIT) % AC__SLOTS;
    ac__link *slot  = &w->slots[level * AC__SLOTS + digit];

    if ((w->used[level] >> digit & 1) == 0) {
        w->used[level] |= UINT64_C(1) << digit;
        w->levels |= 1u << level;
        ac__list_init(slot);
    }
    ac__list_append(slot, &t->link_);
}

/* The first slot in use, its level and the time at which it begins; NULL: there is none. */
static ac__link *first_slot(ac__wheel *w, unsigned *level, int64_t *begin)
{
    while (w->levels != 0) {
        unsigned l = *level = (unsigned)__builtin_ctz(w->levels);

        while (w->used[l] != 0) {
            unsigned  digit = (unsigned)__builtin_ctzll(w->used[l]);
            ac__link *slot  = &w->slots[l * AC__SLOTS + digit];

            if (!ac__list_empty(slot)) {
                uint64_t above = (uint64_t)w->base >> l * DIGIT & ~(uint64_t)(AC__SLOTS - 1);

                *begin = (int64_t)((above | digit) << l * DIGIT);
                return slot;
            }
            w->used[l] &= w->used[l] - 1;
        }
        w->levels &= w->levels - 1;
    }
    return NULL;
}

/* Appends to a list of few timers that are sorted. */
static void sort_in(ac__link *list, ac_timer *t)
{
    ac__link *after = list->prev;

    while (after != list && TIMER(after)->deadline_ > t->deadline_)
        after = after->prev;
    ac__list_append(after->next, &t->link_);
}

/* Takes the first slot apart; time has reached it, and nothing is due that was before it. */
static void open_slot(ac__wheel *w, ac__link *slot, unsigned level, int64_t begin, int64_t now)
{
    ac__link  batch;
    ac__link *n;
    unsigned  count = 0;

    if (level == 0) {
        ac__list_take(&w->due, slot);
        return;
    }
    ac__list_take(&batch, slot);
    w->base = begin;
    for (n = batch.next; n != &batch && count <= FEW; n = n->next)
        count++;
    for (n = batch.next; n != &batch;) {
        ac_timer *t = TIMER(n);

        n = n->next;
        if (count <= FEW && t->deadline_ <= now)
            sort_in(&w->due, t);
        else
            place(w, t);
    }
}

/* The first timer that is due at `now`; NULL: none. */
static ac_timer *first_due(ac__wheel *w, int64_t now)
{
    while (ac__list_empty(&w->due)) {
        unsigned  level;
        int64_t   begin;
        ac__link *slot = first_slot(w, &level, &begin);

        if (slot == NULL || begin > now)
            return NULL;
        open_slot(w, slot, level, begin, now);
    }
    return TIMER(w->due.next);
}

/* The first deadline; of many timers in a slot the slot's beginning, when it will be taken apart. */
static int64_t first_deadline(ac__wheel *w)
{
    int64_t   least = AC_FOREVER, begin;
    unsigned  level, count = 0;
    ac__link *slot = !ac__list_empty(&w->due) ? &w->due : first_slot(w, &level, &begin);

    if (slot == NULL)
        return AC_FOREVER;
    if (slot == &w->due || level == 0)
        return TIMER(slot->next)->deadline_;
    for (ac__link *n = slot->next; n != slot; n = n->next) {
        if (++count > FEW)
            return begin;
        if (TIMER(n)->deadline_ < least)
            least = TIMER(n)->deadline_;
    }
    return least;
}

/* Takes a running timer out of its list. Works in the child of a fork, too. */
static void unlink_timer(ac_loop *loop, ac_timer *t)
{
    ac__list_remove(&t->link_);
    if (t->deadline_ == loop->wheel.next)
        loop->wheel.next = loop->stats.timers == 1 ? AC_FOREVER : UNKNOWN;
}

static void withdraw(ac_loop *loop, ac_timer *t)
{
    unlink_timer(loop, t);
    loop->stats.timers--;
    if ((t->started_ & INTERNAL) == 0)
        ac__unkeep(loop);
}

int64_t ac__deadline(ac_loop *loop, int64_t delay)
{
    int64_t now;

    if (delay < 0)
        delay = 0;
    now = ac__now(loop);
    return now > 0 && delay > INT64_MAX - now ? INT64_MAX : now + delay;
}

void ac_timer_init(ac_timer *t, ac_loop *loop, void (*fire)(ac_timer *t))
{
    if (t != NULL)
        *t = (ac_timer){.fire = fire, .loop = loop};
}

void ac__timer_init(ac_timer *t, ac_loop *loop, void (*fire)(ac_timer *t))
{
    ac_timer_init(t, loop, fire);
    t->started_ = INTERNAL;
}

int ac_timer_start(ac_timer *t, int64_t delay)
{
    ac_loop *loop;
    int      rc;

    if (t == NULL || t->loop == NULL || t->fire == NULL)
        return -EINVAL;
    loop = t->loop;
    rc   = ac__loop_fine(loop) ? 0 : ac__loop_check(loop);
    if (rc < 0)
        return rc;
    if (loop->freeing) /* there will be no turn for it */
        return -EINVAL;

    if (loop->level == 0) /* the time of the last turn may be long ago: a timer must not be early */
        ac_loop_update(loop);
    if (ac__linked(&t->link_)) {
        unlink_timer(loop, t);
    } else {
        loop->stats.timers++;
        if ((t->started_ & INTERNAL) == 0)
            ac__keep(loop);
    }
    if ((t->started_ & INTERNAL) == 0)
        t->interval_ = delay;
    t->deadline_ = ac__deadline(loop, delay);
    t->started_  = loop->wheel.pass * PASS | STARTED | (t->started_ & INTERNAL);
    if (t->deadline_ < loop->wheel.next)
        loop->wheel.next = t->deadline_;
    place(&loop->wheel, t);
    return 0;
}

int ac_timer_again(ac_timer *t)
{
    if (t == NULL || (t->started_ & STARTED) == 0)
        return -EINVAL;
    return ac_timer_start(t, t->interval_);
}

void ac_timer_stop(ac_timer *t)
{
    if (ac_timer_running(t))
        withdraw(t->loop, t);
}

bool ac_timer_running(const ac_timer *t)
{
    return t != NULL && ac__linked(&t->link_);
}

/*
 * Fires what was due when the pass began. What a callback starts has a deadline of `now` at the
 * least, and so is behind all of that: the first one started in the pass ends it.
 */
void ac__timers_run(ac_loop *loop)
{
    ac__wheel     *w    = &loop->wheel;
    const int64_t  now  = ac__now(loop);
    const uint64_t pass = ++w->pass * PASS;
    ac_timer      *t;

    /* After a fork in a callback the rest is the parent's to run. */
    while (loop->fork_gen == ac__fork_gen && (t = first_due(w, now)) != NULL
           && t->started_ < pass) {
        withdraw(loop, t);
        if ((t->started_ & INTERNAL) == 0) /* the library's own are no callbacks of the user's */
            loop->stats.callbacks++;
        /* The callback may free the storage of the timer. */
        t->fire(t);
    }
    w->next = first_deadline(w);
}

int64_t ac__timers_next(ac_loop *loop)
{
    ac__wheel *w = &loop->wheel;

    if (w->next <= loop->now) {
        (void)first_due(w, loop->now);
        w->next = first_deadline(w);
    }
    return w->next;
}

void ac__timers_begin(ac_loop *loop)
{
    loop->wheel.base = ac__now(loop);
    loop->wheel.next = AC_FOREVER;
    ac__list_init(&loop->wheel.due);
}

void ac__timers_end(ac_loop *loop)
{
    ac__wheel *w = &loop->wheel;
    unsigned   level;
    int64_t    begin;
    ac__link  *list;

    while ((list = !ac__list_empty(&w->due) ? &w->due : first_slot(w, &level, &begin)) != NULL)
        withdraw(loop, TIMER(list->next));
}
