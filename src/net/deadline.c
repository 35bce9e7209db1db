/* SPDX-License-Identifier: MIT */
/*
 * The deadlines of a channel. Reads and writes only leave a stamp; the one timer of the channel, when
 * it fires, works out from the stamps whether time is up or when to look again.
 */
#include "channel.h"

#include "../base/alloc.h"

#include <errno.h>

enum { UNSET = -1 };

_Static_assert(offsetof(ac__times, written) == 72,
               "an idle channel with a deadline is to be small");

static bool is_long(const ac_dispatcher *d)
{
    return (d->rare_ & AC__RARE_TIMES) != 0;
}

static int64_t limit(const ac_dispatcher *d, ac_timeout which)
{
    if (which == AC_IDLE)
        return d->times_->idle;
    return is_long(d) ? d->times_->limit[which] : UNSET;
}

static int64_t add(int64_t stamp, int64_t limit)
{
    if (limit == UNSET || limit > AC_FOREVER - stamp)
        return AC_FOREVER;
    return stamp + limit;
}

static void earlier(int64_t *best, ac_timeout *which, int64_t deadline, ac_timeout candidate)
{
    if (deadline < *best) {
        *best  = deadline;
        *which = candidate;
    }
}

/* The earliest deadline that stands now, and which one it is. */
static int64_t next(const ac_dispatcher *d, ac_timeout *which)
{
    const ac__times *t    = d->times_;
    const ac__ext   *x    = d->ext_;
    int64_t          best = AC_FOREVER;

    *which = AC_IDLE;
    if ((d->flags_ & AC__CONNECTING) != 0) {
        if (is_long(d))
            earlier(&best, which, add(t->since, t->limit[AC_CONNECT]), AC_CONNECT);
        return best;
    }
    if (x != NULL && x->lingers) {
        earlier(&best, which, add(t->since, limit(d, AC_LINGER)), AC_LINGER);
        return best;
    }
    if ((d->flags_ & AC__CONNECTED) == 0)
        return best;
    if (!is_long(d)) {
        earlier(&best, which, add(t->read, t->idle), AC_IDLE);
        return best;
    }
    earlier(&best, which, add(t->read > t->written ? t->read : t->written, t->idle), AC_IDLE);
    if ((d->flags_ & (AC__PAUSED | AC__EOF | AC__GOODBYE)) == 0)
        earlier(&best, which, add(t->read > t->resumed ? t->read : t->resumed, t->limit[AC_READ]),
                AC_READ);
    if (x != NULL && x->queued > 0)
        earlier(&best, which, add(t->written, t->limit[AC_WRITE]), AC_WRITE);
    return best;
}

static void expire(ac_dispatcher *d, ac_timeout which)
{
    static const char *const names[] = {"connect", "idle", "read", "write", "linger"};

    if (which == AC_LINGER) {
        if (ac__unsent(d)) {
            d->err_ = -ETIMEDOUT;
            ac__abort(d);
        } else {
            ac_close(d);
        }
        return;
    }
    if (which == AC_CONNECT) {
        ac__connect_failed(d, -ETIMEDOUT);
        return;
    }
    ac__fail_text(d, -ETIMEDOUT, "wait:", names[which]);
}

/* Starts the timer for the earliest deadline; 0, or -EINVAL: the loop is being freed. */
static int arm(ac_dispatcher *d)
{
    ac__times *t = d->times_;
    ac_timeout which;
    int64_t    deadline = next(d, &which);

    if (deadline == AC_FOREVER)
        return 0; /* a timer that runs already finds that out by itself */
    if (ac_timer_running(&t->timer) && t->timer.deadline_ <= deadline)
        return 0;
    return ac_timer_start(&t->timer, deadline - ac__now(d->loop));
}

/*
 * A deadline that is passed is told behind the events of a turn: what had come by then came in time, also
 * where a callback kept the loop for long, or the process was stopped. Where the wait of the turn may not
 * have told of all, the next one's is awaited, but not for ever.
 */
static void fire(ac_timer *timer)
{
    ac_dispatcher *d = (ac_dispatcher *)timer->owner_;
    ac_timeout     which;
    int64_t        deadline = next(d, &which);

    if (deadline > ac__now(d->loop)) {
        d->rare_ &= (uint16_t)~AC__RARE_PUT_OFF;
        (void)arm(d);
    } else if ((d->rare_ & AC__RARE_LATE) != 0 && deadline <= timer->deadline_) {
        expire(d, which);
    } else {
        d->rare_ &= (uint16_t)~AC__RARE_LATE;
        if (d->loop->full && d->rare_ < AC__RARE_TURNS)
            d->rare_ = (uint16_t)(d->rare_ + AC__RARE_TURN);
        else
            d->rare_ |= AC__RARE_LATE;
        (void)ac_timer_start(timer, 0);
    }
}

/* Times of the form that `which` needs; NULL: out of memory, and nothing has changed. */
static ac__times *times_for(ac_dispatcher *d, ac_timeout which)
{
    const bool       longer = which != AC_IDLE;
    ac__times *const old    = d->times_;
    ac__times       *t;

    if (old != NULL && (is_long(d) || !longer))
        return old;
    t = ac__calloc(longer ? sizeof *t : offsetof(ac__times, written));
    if (t == NULL)
        return NULL;
    if (d->loop->level == 0)
        ac_loop_update(d->loop);
    ac__timer_init(&t->timer, d->loop, fire);
    t->timer.owner_ = d;
    t->idle         = old != NULL ? old->idle : UNSET;
    t->read         = old != NULL ? old->read : ac__now(d->loop);
    if (longer) {
        t->written = old != NULL ? old->read : ac__now(d->loop);
        t->resumed = t->since = ac__now(d->loop);
        for (int i = 0; i <= AC_LINGER; i++)
            t->limit[i] = UNSET;
    }
    ac__times_free(d);
    d->times_ = t;
    d->flags_ |= AC__EXTRAS;
    if (longer)
        d->rare_ |= AC__RARE_TIMES;
    if (old != NULL)
        (void)arm(d);
    return t;
}

void ac__times_free(ac_dispatcher *d)
{
    ac__times *t = d->times_;

    if (t == NULL)
        return;
    ac_timer_stop(&t->timer);
    d->times_ = NULL;
    d->rare_ &= (uint16_t) ~(AC__RARE_TIMES | AC__RARE_PUT_OFF);
    ac__free(t);
}

void ac__stamp(ac_dispatcher *d, bool write)
{
    if (d->loop->level == 0) /* the time of the last turn may be long ago */
        ac_loop_update(d->loop);
    if (write && is_long(d))
        d->times_->written = ac__now(d->loop);
    else
        d->times_->read = ac__now(d->loop);
}

/* The connection stands: times that only bounded the connecting are not kept. */
static void connected(ac_dispatcher *d)
{
    ac__times *t = d->times_;

    if (t->idle == UNSET && limit(d, AC_READ) == UNSET && limit(d, AC_WRITE) == UNSET
        && limit(d, AC_LINGER) == UNSET) {
        ac__times_free(d);
        return;
    }
    t->read = ac__now(d->loop);
    if (is_long(d))
        t->written = t->read;
    (void)arm(d);
}

void ac__times_begin(ac_dispatcher *d, ac_timeout which, int64_t standard)
{
    ac__times *t;

    /* Most have none, and need not know the time. */
    if (which == AC_IDLE ? d->times_ == NULL : standard == AC_FOREVER && !is_long(d))
        return;
    if (d->loop->level == 0)
        ac_loop_update(d->loop);
    if (which == AC_IDLE) {
        connected(d);
        return;
    }
    t = which == AC_LINGER && ac__ext_get(d) == NULL ? NULL : times_for(d, which);
    if (t == NULL) {
        if (which == AC_CONNECT)
            ac__fail(d, -ENOMEM, "connect", NULL);
        return; /* AC_LINGER: without it there is no lingering, the channel closes */
    }
    if (t->limit[which] == UNSET && standard != AC_FOREVER)
        t->limit[which] = standard;
    if (which == AC_WRITE)
        t->written = ac__now(d->loop);
    else
        t->since = ac__now(d->loop);
    if (which == AC_LINGER)
        d->ext_->lingers = true;
    (void)arm(d);
    if (which == AC_LINGER && !ac_timer_running(&t->timer) && t->limit[which] != AC_FOREVER)
        d->ext_->lingers = false;
}

void ac__times_resume(ac_dispatcher *d)
{
    if (!is_long(d))
        return;
    if (d->loop->level == 0)
        ac_loop_update(d->loop);
    d->times_->resumed = ac__now(d->loop);
    (void)arm(d);
}

int ac_set_timeout(ac_dispatcher *d, ac_timeout which, int64_t ns)
{
    ac__times *t;
    int        rc;

    if (d == NULL || d->loop == NULL || (unsigned)which > AC_LINGER)
        return -EINVAL;
    rc = ac__loop_check(d->loop);
    if (rc < 0)
        return rc;
    if ((d->flags_ & AC__CLOSED) != 0)
        return -EBADF;
    if ((d->flags_ & AC__OPEN) != 0)
        ac__touch(d);
    t = times_for(d, which);
    if (t == NULL)
        return -ENOMEM;
    *(which == AC_IDLE ? &t->idle : &t->limit[which]) = ns < 0 ? 0 : ns;
    if (d->loop->level == 0)
        ac_loop_update(d->loop);
    if (which == AC_IDLE && (d->flags_ & AC__CONNECTED) != 0)
        t->read = ac__now(d->loop);
    if (which == AC_READ)
        t->resumed = ac__now(d->loop);
    if (which == AC_WRITE)
        t->written = ac__now(d->loop);
    return (d->flags_ & AC__OPEN) != 0 ? arm(d) : 0;
}
