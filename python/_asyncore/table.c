/* SPDX-License-Identifier: MIT */
/* One pass over a large map: see table.h. */
#include "table.h"

#include "base/alloc.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { BATCH = 256, SOME_EVENTS = 64 };

#define SWEEP_EVERY INT64_C(100000000) /* ns */
#define SWEEP_SHARE 64                 /* and at most this part of the time */

PyTypeObject *deque_type;

/* Counts the forks that this process comes from. */
static atomic_uint forks;

static void forked(void)
{
    atomic_fetch_add(&forks, 1);
}

int tables_ready(void)
{
    static bool watching;
    PyObject   *module = PyImport_ImportModule("collections");
    PyObject   *deque  = module == NULL ? NULL : PyObject_GetAttrString(module, "deque");

    Py_XDECREF(module);
    if (deque == NULL)
        return -1;
    if (deque_type == NULL)
        deque_type = (PyTypeObject *)(void *)deque;
    else
        Py_DECREF(deque);
    if (!watching && pthread_atfork(NULL, NULL, forked) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    watching = true;
    return 0;
}

/* --- the poller --------------------------------------------------------------------------------- */

int table_register(struct table *t, struct chan *c, unsigned bits)
{
    int rc;

    if (c->known == 0)
        c->gen = ++t->gen;
    rc = ac__poller_epoll.set(t->poller, c->fd, c->gen, c->known, c->known | bits);
    if (rc == 0)
        c->known |= (uint8_t)bits;
    else
        c->stuck = true; /* a regular file, a closed descriptor, no memory: poll() knows */
    return rc;
}

/* The poller knows nothing any more: each channel is registered again when it is asked. */
static void forget_all(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        t->chans[i].fresh = true;
}

/* After a fork the set is the parent's, too; and its descriptor may have been closed behind our back. */
static int open_another(struct table *t, PyObject *map)
{
    ac__poller *poller;

    if (table_open_poller(map, &poller) < 0)
        return -1;
    table_close_poller(t, true);
    table_own(t, poller);
    t->forks = atomic_load(&forks);
    forget_all(t);
    return 0;
}

/* An event of a registration whose channel is gone. */
static void stale(struct table *t, int fd)
{
    bool live = (size_t)fd < t->fds && t->by_fd[fd] != 0;

    if (ac__poller_epoll.stale(t->poller, fd, live) == 0)
        return;
    /* Its file lives on under another number, perhaps in another process. */
    if (ac__poller_epoll.renew(t->poller) == 0)
        for (size_t i = 0; i < t->n; i++) {
            struct chan *c = &t->chans[i];

            /* With its generation: what is left of a batch of events is the channel's still. */
            if (c->known != 0 && c->channel != NULL
                && ac__poller_epoll.set(t->poller, c->fd, c->gen, 0, c->known) < 0) {
                c->known = 0;
                c->stuck = true;
            }
        }
}

/* --- results ------------------------------------------------------------------------------------ */

/* A channel has this result of poll(): 0, or -1 where select() would fail. */
static int note(const struct pass *p, struct table *t, size_t place, short result)
{
    struct chan *c = &t->chans[place];
    short        due;

    if (c->want == 0)
        return 0;
    if ((result & POLLNVAL) && p->by_select)
        return pass_bad_descriptor(p);
    due = pass_due(p, c->want, result);
    if (due == 0)
        return 0;
    if (c->got == 0) {
        t->ready[place / 64] |= UINT64_C(1) << place % 64;
        t->due++;
    }
    c->got |= due;
    return 0;
}

static short result_of(const struct chan *c, unsigned bits)
{
    int result = 0;

    if (bits & AC__HUP) {
        /* A hang-up or an error: the poller does not say which. */
        struct pollfd one = {.fd = c->fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};

        if (poll(&one, 1, 0) >= 0)
            return one.revents;
    }
    if (bits & AC__READ)
        result |= POLLIN;
    if (bits & AC__WRITE)
        result |= POLLOUT;
    if (bits & AC__PRI)
        result |= POLLPRI;
    if (bits & AC__RDHUP)
        result |= POLLRDHUP;
    return (short)result;
}

static int take_events(const struct pass *p, struct table *t, const ac__event *events, int n)
{
    for (int i = 0; i < n; i++) {
        int          fd    = events[i].fd;
        uint32_t     place = (size_t)fd < t->fds ? t->by_fd[fd] : 0;
        struct chan *c     = place == 0 ? NULL : &t->chans[place - 1];
        short        result;

        if (c == NULL || c->known == 0 || c->gen != events[i].gen) {
            stale(t, fd);
            continue;
        }
        result = result_of(c, ac__poller_epoll.bits(events[i].bits));
        c->maybe |= result;
        if (note(p, t, place - 1, result) < 0)
            return -1;
    }
    return 0;
}

/* Takes all that the poller has: 0 or -1. */
static int drain(const struct pass *p, struct table *t)
{
    ac__event events[BATCH];
    int       n;

    do {
        n = ac__poller_epoll.wait(t->poller, 0, events, BATCH);
        if (n > 0 && take_events(p, t, events, n) < 0)
            return -1;
    } while (n == BATCH);
    return 0;
}

/* What poll() said of those that it was to look at. `swept`: of all. */
static int take_looks(const struct pass *p, struct table *t, bool swept)
{
    for (size_t k = 0; k < t->looks; k++) {
        struct chan *c      = &t->chans[t->place[k]];
        short        asked  = t->look[k].events | POLLHUP | POLLERR | POLLNVAL;
        short        result = t->look[k].revents;
        short        news   = (short)(result & ~c->maybe);

        if (t->look[k].fd < 0)
            continue;
        c->maybe = (short)((c->maybe & ~asked) | result);
        if (result & POLLNVAL) {
            c->known = 0;
            c->stuck = true;
        } else if (swept && !c->stuck && (news & (POLLIN | POLLPRI | POLLHUP | POLLERR))) {
            /* The poller should have said so. It will not, if it has lost the descriptor. */
            unsigned bits = c->known;

            c->known = 0;
            table_register(t, c, bits | AC__READ);
        }
        if ((asked & POLLOUT) && !(result & POLLOUT) && !(c->known & AC__WRITE) && !c->stuck)
            table_register(t, c, AC__WRITE);
        if (result != 0 && note(p, t, t->place[k], result) < 0)
            return -1;
        /* What select() does not wake for must not wake it again and again. */
        if (result != 0 && c->got == 0)
            t->look[k].fd = -1;
    }
    return 0;
}

/* --- waiting ------------------------------------------------------------------------------------ */

/* The poller alone, up to a point in time: the number of its events, or -1 with an exception. */
static int wait_poller(const struct pass *p, struct table *t, int64_t until)
{
    ac__event events[BATCH];

    for (;;) {
        int64_t left = until == INT64_MAX ? INT64_MAX : until == 0 ? 0 : until - monotonic();
        int     n;

        if (left <= 0) {
            n = ac__poller_epoll.wait(t->poller, 0, events, BATCH);
        } else {
            Py_BEGIN_ALLOW_THREADS n = ac__poller_epoll.wait(t->poller, left, events, BATCH);
            Py_END_ALLOW_THREADS
        }
        if (n >= 0) {
            if (take_events(p, t, events, n) < 0 || (n == BATCH && drain(p, t) < 0))
                return -1;
            return n;
        }
        if (n != -EINTR) {
            errno = -n;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
}

/* poll() of what is to be looked at, of the poller and of the waker. As wait_poller(). */
static int wait_looks(const struct pass *p, struct table *t, int64_t until, bool swept, bool *woken)
{
    size_t n     = t->looks;
    int    found = 0;

    t->look[n++] = (struct pollfd){.fd = ac__poller_epoll.fileno(t->poller), .events = POLLIN};
    if (p->waker >= 0)
        t->look[n++] = (struct pollfd){.fd = p->waker, .events = POLLIN};
    /* Who wants to write can do so, as a rule: no need to let the GIL go. */
    if (t->writes && until != 0)
        found = wait_for(t->look, n, 0);
    if (found == 0)
        found = wait_for(t->look, n, until);
    if (found < 0)
        return -1;
    *woken = p->waker >= 0 && t->look[t->looks + 1].revents != 0;
    if (take_looks(p, t, swept) < 0)
        return -1;
    if (t->look[t->looks].revents != 0 && drain(p, t) < 0)
        return -1;
    return found;
}

/* All that want anything are to be looked at. */
static int look_at_all(struct table *t, size_t n)
{
    t->looks = 0;
    for (size_t i = 0; i < n; i++) {
        const struct chan *c = &t->chans[i];

        if (c->want == 0)
            continue;
        t->place[t->looks]  = (uint32_t)i;
        t->look[t->looks++] = (struct pollfd){
            .fd     = c->fd,
            .events = (short)(c->want | (c->want & POLLIN ? POLLRDHUP : 0)),
        };
    }
    return 0;
}

static void plan_sweep(struct table *t, int64_t began)
{
    int64_t now = monotonic(), cost = (now - began) * SWEEP_SHARE;

    t->next_sweep = now + (cost > SWEEP_EVERY ? cost : SWEEP_EVERY);
}

/* Waits until something is due, or the time is over. 0 or -1. */
static int table_wait(const struct pass *p, struct table *t, size_t n, int64_t now, bool sweeping)
{
    int64_t until = p->wait == INT64_MAX || p->wait == 0 ? p->wait : now + p->wait;
    bool    swept = false, woken = false;

    for (;;) {
        int64_t limit = sweeping ? 0 : swept || until < t->next_sweep ? until : t->next_sweep;
        int64_t began = now;
        int     found;

        if (sweeping) {
            began = monotonic();
            if (drain(p, t) < 0)
                return -1;
        }
        found = t->looks > 0 || p->waker >= 0 ? wait_looks(p, t, limit, sweeping, &woken)
                                              : wait_poller(p, t, limit);
        if (found < 0) {
            if (!p->by_select || !PyErr_ExceptionMatches(PyExc_OSError))
                trace(p->st, PASS_SITE(p, WAIT));
            return -1;
        }
        if (sweeping) {
            swept = true;
            plan_sweep(t, began);
        }
        if (t->due > 0 || woken || until == 0
            || (until != INT64_MAX && (found == 0 || sweeping) && monotonic() >= until))
            return 0;
        /* Not for long: what the poller may have lost is looked for once, then it can wait. */
        sweeping = !swept && monotonic() >= t->next_sweep;
        if (sweeping) {
            look_at_all(t, n);
        } else if (found > 0 || swept) {
            size_t k = 0;

            /* What was looked at is not ready; the poller says when, but of those it cannot take. */
            for (size_t i = 0; i < t->looks; i++) {
                if (t->look[i].fd >= 0 && t->chans[t->place[i]].stuck) {
                    t->place[k]  = t->place[i];
                    t->look[k++] = t->look[i];
                }
            }
            t->looks = k;
        }
        t->writes = false;
    }
}

/* --- the pass ----------------------------------------------------------------------------------- */

static int make_room(struct table *t)
{
    size_t words = t->n / 64 + 1;

    if (ac__grow_unset(&t->look, &t->look_cap, t->n + 2, sizeof *t->look) < 0
        || ac__grow_unset(&t->place, &t->place_cap, t->n + 2, sizeof *t->place) < 0
        || ac__grow(&t->ready, &t->ready_cap, words, sizeof *t->ready) < 0)
        return -1;
    return 0;
}

/* Makes events of what is due: their number; -1 with an exception. */
static long collect(const struct pass *p, struct table *t, struct event *events)
{
    bool   same = t->tag == dict_tag(p->map);
    size_t n    = 0;
    bool   bad  = false;

    for (size_t w = 0; w < t->ready_cap && t->due > 0; w++) {
        while (t->ready[w] != 0) {
            size_t             place = w * 64 + (size_t)__builtin_ctzll(t->ready[w]);
            const struct chan *c     = &t->chans[place];
            struct event      *event = &events[n];

            t->ready[w] &= t->ready[w] - 1;
            t->due--;
            *event = (struct event){.fd = c->fd, .got = c->got};
            if (bad)
                continue;
            if (p->owned && same) {
                event->owner = c->channel;
                Py_XINCREF(event->owner);
            } else if (p->owned) {
                event->owner = pass_owner(p->map, c->fd);
                bad          = event->owner == NULL && PyErr_Occurred();
            }
            n++;
        }
    }
    if (!bad)
        return (long)n;
    for (size_t i = 0; i < n; i++)
        Py_CLEAR(events[i].owner);
    return -1;
}

static int tell_due(const struct pass *p, struct table *t)
{
    struct event  some[SOME_EVENTS];
    struct event *events = some;
    long          n;
    int           rc = -1;

    if (t->due > SOME_EVENTS)
        events = PyMem_Malloc(t->due * sizeof *events);
    if (events == NULL) {
        PyErr_NoMemory();
        memset(t->ready, 0, t->ready_cap * sizeof *t->ready);
        n = -1;
    } else {
        n = collect(p, t, events);
    }
    /* From here on the table may be used by others, or be gone. */
    t->busy = false;
    if (n >= 0)
        rc = pass_tell(p, events, (size_t)n);
    if (events != some)
        PyMem_Free(events);
    return rc;
}

int table_pass(const struct pass *p)
{
    struct table *t = table_of(p->st, p->map, true);
    int64_t       now;
    long          wanting;
    bool          sweeping;
    int           rc;

    if (t == NULL || t->busy
        || ((t->forks != atomic_load(&forks) || !table_owns(t)) && open_another(t, p->map) < 0)
        || table_sync(t, p->map) != 0 || make_room(t) < 0)
        return 1;
    if (p->by_select && !p->owned && t->high)
        return 1;
    now = monotonic();
    if (t->next_sweep == 0)
        t->next_sweep = now + SWEEP_EVERY;
    sweeping = now >= t->next_sweep;
    t->busy  = true;
    t->due   = 0;
    wanting  = table_ask(p, t, t->n, sweeping);
    if (wanting < 0)
        rc = -1;
    else if (wanting == 0 && p->by_select && p->waker < 0)
        rc = pass_sleep(p);
    else
        rc = table_wait(p, t, t->n, now, sweeping);
    if (rc == 0)
        return tell_due(p, t);
    memset(t->ready, 0, t->ready_cap * sizeof *t->ready);
    t->busy = false;
    return rc;
}
