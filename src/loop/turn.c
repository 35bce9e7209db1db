/* SPDX-License-Identifier: MIT */
/*
 * One turn: brings interest up to date, waits, serves. The order is
 *
 *     prepare -> wait -> timers -> events -> sources ready without an event -> posts -> signals -> reap
 *
 * Everything is bounded by what there was when its step began: a source that is touched while
 * sources are served waits for the next turn.
 */
#include "loop_private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

enum { REAP_ROUNDS = 64 };

/* How long a source waits that the poller had no room for. */
#define STARVED (10 * AC_MILLISECOND)

static bool is_due(const ac__source *s)
{
    return (s->ready & (s->want | AC__CALL)) != 0;
}

/* Looks at every source in `work`; the ones that are not to be served leave it. */
AC__HOT static void prepare(ac_loop *loop)
{
    if (loop->debug && ac__net_hooks.check != NULL)
        ac__net_hooks.check(loop);
    loop->starved = false;
    for (ac__link *n = loop->work.next, *next; n != &loop->work; n = next) {
        ac__source *s  = AC__OF(ac__source, work, n);
        int         rc = ac__source_sync(loop, s);

        next = n->next;
        if (rc < 0)
            loop->starved = true; /* stays, and is not served */
        else if (!is_due(s))
            ac__list_remove(n);
    }
}

/* How long the wait may be, at most `timeout`. */
AC__HOT static int64_t wait_for(ac_loop *loop, int64_t timeout)
{
    int64_t next;

    if (timeout <= 0 || !ac__list_empty(&loop->reap))
        return 0;
    if (loop->starved)
        timeout = timeout < STARVED ? timeout : STARVED;
    else if (!ac__list_empty(&loop->work))
        return 0;
    if (atomic_load(&loop->woken) != 0 || atomic_load(&loop->posted) != NULL)
        return 0;
    if (loop->wheel.next == AC_FOREVER)
        return timeout;
    /* The callbacks of the last turn took time: without a new reading timers would be late by it. */
    ac_loop_update(loop);
    next = ac__timers_next(loop);
    if (next == AC_FOREVER)
        return timeout;
    if (next <= loop->now)
        return 0;
    return next - loop->now < timeout ? next - loop->now : timeout;
}

/* Makes the set anew: the only way to be rid of a registration that outlived its descriptor. */
AC__ASIDE static void rebuild(ac_loop *loop)
{
    if (loop->pc->renew(loop->poller) < 0)
        return; /* the stale events go on to be dropped, each when something happens */
    loop->stats.set_rebuilds++;
    for (size_t fd = 0; fd < loop->nwatch; fd++) {
        ac__source *s = loop->watch[fd].source;

        if (s == NULL || s->sent == 0)
            continue;
        s->sent = 0;
        ac__source_touch(loop, s);
    }
}

/* An event that is nobody's. Returns whether the poller must be made anew. */
AC__ASIDE static bool stale(ac_loop *loop, const ac__event *e)
{
    const ac__watch *w = (size_t)e->fd < loop->nwatch ? &loop->watch[e->fd] : NULL;

    loop->stats.stale_events++;
    if (w != NULL && w->turn == loop->turn)
        return false; /* closed in this very turn, before its event came up */
    return loop->pc->stale != NULL
           && loop->pc->stale(loop->poller, e->fd, w != NULL && w->source != NULL) < 0;
}

void ac__view_end(ac_loop *loop)
{
    if (loop->view != NULL)
        memset(loop->view, 0xA5, AC__VIEW);
    loop->view_out = false;
}

/* A report other than plain AC__READ, in AC__ bits. */
AC__ASIDE static unsigned meaning(const ac_loop *loop, uint32_t report)
{
    return loop->pc->bits != NULL ? loop->pc->bits(report) : report;
}

/*
 * Serves what was reported. Returns whether the poller must be made anew. `serving` is set for each
 * source and cleared once, behind the last; a turn inside a callback gives the outer one back. A
 * poller reports nothing but numbers that it was given, so these need no check against the table.
 */
AC__HOT AC__ASIDE static bool dispatch(ac_loop *loop, const ac__event *e, const ac__event *end)
{
    ac__source *const      outer     = loop->serving;
    const ac__event *const outer_end = loop->batch_end;
    bool                   broken    = false;

    for (loop->batch_end = end; e < loop->batch_end; e++) {
        const ac__watch *w    = &loop->watch[e->fd];
        unsigned         bits = e->bits, due;
        ac__source      *s;

        if (w->gen != e->gen) {
            broken |= stale(loop, e);
            continue;
        }
        s = w->source;
        if (bits != AC__READ) {
            bits = meaning(loop, bits);
        } else if (s->ops->run != NULL) {
            const ac__event *next = s->ops->run(loop, e);

            if (next != e) {
                e = next - 1;
                continue;
            }
        }
        bits |= s->ready;
        s->ready = (uint8_t)bits;
        if (ac__linked(&s->work))
            continue; /* is served with the others that were ready before the wait */
        due = bits & s->want;
        if (due == 0) {
            ac__source_touch(loop, s); /* nobody asked: the interest is out of date */
            continue;
        }
        loop->serving = s;
        s->ops->serve(loop, s, due);
    }
    loop->serving = outer;
    if (loop->fork_gen == ac__fork_gen)
        loop->batch_end = outer_end;
    return broken;
}

static void serve_batch(ac_loop *loop, ac__link *batch)
{
    ac__source *const outer = loop->serving;

    while (!ac__list_empty(batch)) {
        ac__source *s = AC__OF(ac__source, work, batch->next);

        ac__list_remove(&s->work);
        if (!is_due(s) || loop->fork_gen != ac__fork_gen) {
            ac__source_touch(loop, s);
            continue;
        }
        s->ready &= (uint8_t)~AC__CALL;
        loop->serving = s;
        s->ops->serve(loop, s, s->ready & s->want);
    }
    loop->serving = outer;
}

/*
 * Gives the last call to all that were closed, also by the last calls of others. Finalizers that go on
 * to close something for ever are stopped by a bound: what is left has its call in the next turn.
 */
static void reap(ac_loop *loop)
{
    for (int round = 0; round < REAP_ROUNDS && !ac__list_empty(&loop->reap); round++) {
        ac__link batch;

        ac__list_take(&batch, &loop->reap);
        while (!ac__list_empty(&batch)) {
            ac__source *s = AC__OF(ac__source, work, batch.next);

            ac__list_remove(&s->work);
            s->ops->reap(loop, s);
        }
    }
}

/*
 * Whether this turn does without a wait: some are served anyway, and the turn before has asked. So a
 * handler that leaves something unread costs no wait for the rest; in ac_run() alone, where no caller
 * counts on a turn to see what has come.
 */
static inline bool skips(const ac_loop *loop)
{
    return !ac__list_empty(&loop->work) && loop->running && !loop->skipped && loop->level == 1
           && !loop->starved;
}

AC__HOT static int turn(ac_loop *loop, int64_t timeout)
{
    ac__event events[AC__BATCH] __attribute__((uninitialized)); /* filled by the wait */
    ac__link  batch;
    uint64_t  before = loop->stats.callbacks;
    uint64_t  run;
    int       n = 0;

    prepare(loop);
    loop->skipped = skips(loop);
    if (!loop->skipped) {
        n = loop->pc->wait(loop->poller, wait_for(loop, timeout), events, AC__BATCH);
        loop->stats.poller_waits++;
    }
    if (n < 0 && n != -EINTR)
        return n;
    if (++loop->turn == 0)
        loop->turn = 1;
    loop->stats.turns++;
    if (loop->wheel.next == AC_FOREVER)
        loop->now_past = true; /* to be read by who asks */
    else
        ac_loop_update(loop);
    if (atomic_load(&loop->woken) != 0)
        atomic_store(&loop->woken, 0);
    ac__list_take(&batch, &loop->work);
    if (loop->wheel.next <= loop->now) {
        loop->full = n < 0 || n == AC__BATCH || loop->skipped;
        ac__timers_run(loop);
        if (loop->fork_gen != ac__fork_gen)
            n = 0; /* a child: the events are the parent's */
    }
    if (n > 0) {
        loop->stats.events += (uint64_t)n;
        if (dispatch(loop, events, events + n) && loop->fork_gen == ac__fork_gen)
            rebuild(loop);
    }
    if (!ac__list_empty(&batch))
        serve_batch(loop, &batch);
    if (atomic_load(&loop->posted) != NULL && loop->fork_gen == ac__fork_gen)
        (void)ac__posts_run(loop, 0);
    if (loop->sigslot != NULL && loop->fork_gen == ac__fork_gen)
        (void)ac__signals_run(loop);
    if (loop->fork_gen != ac__fork_gen)
        return -ECHILD; /* a callback forked, and this is the child: the rest is the parent's */
    if (loop->view_out) /* of a timer or a post */
        ac__view_end(loop);
    if (loop->level == 1 && !ac__list_empty(&loop->reap))
        reap(loop);
    run = loop->stats.callbacks - before;
    return run > INT32_MAX ? INT32_MAX : (int)run;
}

/* What a turn needs before it may begin: 0 or -errno. */
AC__ASIDE static int enter_first(ac_loop *loop)
{
    int rc = ac__loop_check(loop);

    if (rc == 0)
        rc = ac__loop_open(loop);
    if (rc == 0 && !loop->thread_known) {
        loop->thread       = pthread_self();
        loop->thread_known = true;
    }
    return rc;
}

static inline int enter(ac_loop *loop)
{
    if (loop != NULL && ac__loop_fine(loop) && loop->poller != NULL && loop->thread_known)
        return 0;
    return enter_first(loop);
}

/* Where the next wait may be far: what was closed is to be closed for the peer too. */
static inline void settle(ac_loop *loop)
{
    if (loop->pc->flush != NULL)
        ac__source_flush(loop, true);
}

static int outer_turn(ac_loop *loop, int64_t timeout)
{
    int rc;

    loop->level = 1;
    rc          = turn(loop, timeout);
    loop->level = 0;
    return rc;
}

int ac_loop_turn(ac_loop *loop, int64_t timeout)
{
    int rc;

    if (loop != NULL && loop->level > 0)
        return -EDEADLK;
    rc = enter(loop);
    if (rc < 0)
        return rc;
    rc = outer_turn(loop, timeout);
    settle(loop);
    return rc;
}

int ac__turn_nested(ac_loop *loop, int64_t timeout)
{
    void *view;
    int   rc = enter(loop);

    if (rc < 0)
        return rc;
    if (loop->serving != NULL && loop->serving->ops->lengthen != NULL)
        loop->serving->ops->lengthen(loop->serving);
    view       = loop->view; /* the callback around this one may be reading it */
    loop->view = NULL;
    loop->level++;
    rc = turn(loop, timeout);
    loop->level--;
    ac__free(loop->view);
    loop->view = view;
    return rc;
}

int ac_loop_prepare(ac_loop *loop, int64_t *timeout)
{
    int rc = enter(loop);

    if (rc < 0)
        return rc;
    if (timeout == NULL)
        return -EINVAL;
    prepare(loop);
    settle(loop);
    *timeout = wait_for(loop, AC_FOREVER);
    return 0;
}

AC__HOT int ac_run(ac_loop *loop)
{
    int rc;

    if (loop != NULL && loop->level > 0)
        return -EDEADLK;
    rc = enter(loop);
    if (rc < 0)
        return rc;
    while (rc >= 0) {
        /* A load first: most turns are not to cost a locked instruction. */
        if (atomic_load(&loop->stop) != 0 && atomic_exchange(&loop->stop, 0) != 0) {
            rc = 1;
            break;
        }
        if (loop->alive == 0 && loop->holds == 0) {
            rc = 0;
            break;
        }
        rc = enter(loop);
        if (rc < 0)
            break;
        loop->running = true;
        rc            = outer_turn(loop, AC_FOREVER);
        loop->running = false;
    }
    settle(loop);
    return rc;
}
