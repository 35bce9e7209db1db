/* SPDX-License-Identifier: MIT */
/*
 * One pass over a map: who wants what is asked in the map's order, poll() waits, and the events are
 * told in that order. This file does it for a map that is small, afresh each time; what a large one
 * has in store from pass to pass is table.c's.
 *
 * By select() or by poll() is a difference in what is asked for, how an answer is read, and whom it is
 * told to first. The system call is poll() in both.
 */
#include "shape.h"
#include "table.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sys/select.h>
#include <time.h>

/* Up to so many channels, poll() is as quick as epoll, and nothing can be out of date. */
#ifndef PYAC_FEW
#define PYAC_FEW 32 /* 0 has the tests go by the table always */
#endif
enum { FEW = PYAC_FEW };

int64_t monotonic(void)
{
    struct timespec ts = {0, 0};

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* --- waiting ---------------------------------------------------------------------------------- */

short pass_due(const struct pass *p, short want, short result)
{
    int due = 0;

    if (!p->by_select)
        return (short)(result & (want | POLLHUP | POLLERR | POLLNVAL));
    /* As the kernel's select() takes what poll() would say. */
    if ((want & POLLIN) && (result & (POLLIN | POLLHUP | POLLERR)))
        due |= POLLIN;
    if ((want & POLLOUT) && (result & (POLLOUT | POLLERR)))
        due |= POLLOUT;
    return (short)(due | (want & result & POLLPRI));
}

int pass_bad_descriptor(const struct pass *p)
{
    errno = EBADF;
    PyErr_SetFromErrno(PyExc_OSError);
    trace(p->st, SITE_SELECT_WAIT);
    return -1;
}

int wait_for(struct pollfd *fds, size_t n, int64_t until)
{
    for (;;) {
        int64_t         left = until == INT64_MAX || until == 0 ? 0 : until - monotonic();
        struct timespec ts   = {0, 0};
        int             found, error;

        if (left > 0)
            ts = (struct timespec){(time_t)(left / 1000000000), (long)(left % 1000000000)};
        if (left <= 0 && until != INT64_MAX) {
            found = ppoll(fds, (nfds_t)n, &ts, NULL);
            error = errno;
        } else {
            Py_BEGIN_ALLOW_THREADS found =
                ppoll(fds, (nfds_t)n, until == INT64_MAX ? NULL : &ts, NULL);
            error = errno;
            Py_END_ALLOW_THREADS
        }
        if (found >= 0)
            return found;
        if (error != EINTR) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
}

/* The timeout of a pass in nanoseconds; false: one that the Python text has to deal with. */
bool pass_timeout(struct pass *p)
{
    double seconds;

    p->wait = INT64_MAX;
    if (p->timeout == Py_None)
        return true;
    if (PyFloat_CheckExact(p->timeout))
        seconds = PyFloat_AS_DOUBLE(p->timeout);
    else if (PyLong_CheckExact(p->timeout))
        seconds = PyLong_AsDouble(p->timeout);
    else
        return false;
    if (!(seconds > -1e6 && seconds < 1e6)) {
        PyErr_Clear();
        return false;
    }
    if (p->by_select) {
        if (seconds < 0)
            return false;
        p->wait = (int64_t)ceil(seconds * 1e6) * 1000;
    } else {
        /* int(timeout * 1000): what is left of less than a millisecond is nothing. */
        int64_t ms = (int64_t)(seconds * 1000);

        p->wait = ms < 0 ? INT64_MAX : ms * 1000000;
    }
    return true;
}

/* Nobody wants anything: time.sleep(timeout), of whatever is called `time`. */
int pass_sleep(const struct pass *p)
{
    PyObject *module = PyDict_GetItemWithError(p->st->globals, names.time);
    PyObject *result = NULL;

    if (module != NULL) {
        Py_INCREF(module);
        result = PyObject_CallMethodObjArgs(module, names.sleep, p->timeout, NULL);
        Py_DECREF(module);
    } else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_NameError, "name 'time' is not defined");
    }
    if (result == NULL) {
        trace(p->st, SITE_SELECT_WAIT);
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

/* --- telling ---------------------------------------------------------------------------------- */

PyObject *pass_owner(PyObject *map, int fd)
{
    PyObject *key   = PyLong_FromLong(fd);
    PyObject *owner = key == NULL ? NULL : PyDict_GetItemWithError(map, key);

    Py_XINCREF(owner);
    Py_XDECREF(key);
    if (owner == Py_None)
        Py_CLEAR(owner);
    return owner;
}

/* Tells one event, if there is still somebody to be told. `tag` is the map's of the wait's end. */
static int tell(const struct pass *p, const struct event *event, int kind, uint64_t tag)
{
    PyObject *channel;
    int       rc;

    if (p->owned && (event->owner == NULL || dict_tag(p->map) == tag)) {
        channel = event->owner;
        Py_XINCREF(channel);
    } else {
        channel = pass_owner(p->map, event->fd);
        if (channel == NULL && PyErr_Occurred())
            return -1;
        if (p->owned && channel != event->owner)
            Py_CLEAR(channel);
    }
    if (channel == NULL)
        return 0;
    rc = !p->by_select     ? channel_readwrite(p->st, channel, event->got)
         : kind == POLLIN  ? channel_read(p->st, channel)
         : kind == POLLOUT ? channel_write(p->st, channel)
                           : channel_exception(p->st, channel);
    Py_DECREF(channel);
    if (rc < 0)
        trace(p->st, p->by_select ? p->owned ? SITE_SELECT_TELL_OWNER : SITE_SELECT_TELL
                     : p->owned   ? SITE_POLL_TELL_OWNER
                                  : SITE_POLL_TELL);
    return rc;
}

int pass_tell(const struct pass *p, struct event *events, size_t n)
{
    static const int kinds[] = {POLLIN, POLLOUT, POLLPRI};
    uint64_t         tag     = dict_tag(p->map);
    int              rc      = 0;

    for (int k = 0; k < (p->by_select ? 3 : 1); k++) {
        for (size_t i = 0; i < n && rc == 0; i++) {
            if (p->by_select && !(events[i].got & kinds[k]))
                continue;
            rc = tell(p, &events[i], kinds[k], tag);
            events[i].got &= (short)~kinds[k];
            /* Let go of here, and not at the end: a channel may have been closed and forgotten. */
            if (!p->by_select || !(events[i].got & (POLLIN | POLLOUT | POLLPRI)))
                Py_CLEAR(events[i].owner);
        }
    }
    for (size_t i = 0; i < n; i++)
        Py_CLEAR(events[i].owner);
    return rc;
}

/* --- the simple pass -------------------------------------------------------------------------- */

/* What was in a map when it had this tag. */
struct few {
    uint64_t  tag;
    size_t    n;
    PyObject *channels[FEW + 1];
    int       fds[FEW + 1];
    bool      by_select, owned;
};

struct item {
    PyObject
         *channel; /* a reference while asking; after that borrowed, as long as the map is as was */
    short want;
};

struct simple {
    struct item   *items;
    struct pollfd *fds;
    struct event  *events;
    size_t         n, nfds, nevents;
    uint64_t       tag;
    bool          writes; /* somebody wants to write, so that the answer comes at once, as a rule */
    struct item   some_items[FEW + 1];
    struct pollfd some_fds[FEW + 1];
    struct event  some_events[FEW + 1];
    void         *memory;
};

/* Room for `n` channels: false without memory. */
static bool make_room(struct simple *s, size_t n)
{
    s->items  = s->some_items;
    s->fds    = s->some_fds;
    s->events = s->some_events;
    s->memory = NULL;
    s->n = s->nfds = s->nevents = 0;
    s->writes                   = false;
    if (n <= FEW)
        return true;
    s->memory = PyMem_Malloc(n * (sizeof *s->items + sizeof *s->events) + (n + 1) * sizeof *s->fds);
    if (s->memory == NULL)
        return false;
    s->items  = s->memory;
    s->events = (struct event *)(void *)(s->items + n);
    s->fds    = (struct pollfd *)(void *)(s->events + n);
    return true;
}

/* Reads the map's content; false: it has keys that are no descriptors. */
static bool read_map(const struct pass *p, struct simple *s)
{
    Py_ssize_t at = 0;
    PyObject  *key, *channel;

    while (PyDict_Next(p->map, &at, &key, &channel)) {
        int  overflow = 0;
        long fd       = PyLong_CheckExact(key) ? PyLong_AsLongAndOverflow(key, &overflow) : -1;

        if (fd < 0 || fd > INT_MAX || overflow != 0
            || (p->by_select && !p->owned && fd >= FD_SETSIZE))
            return false;
        s->fds[s->n].fd          = (int)fd;
        s->items[s->n++].channel = channel;
    }
    return true;
}

/*
 * Takes the map's content, as read_map(). It is kept for the passes that find the map as it was; the
 * channels are borrowed, since only that map can hold them with that tag.
 */
static bool take_map(const struct pass *p, struct simple *s)
{
    struct few *few = p->st->few;

    if (few != NULL && few->tag == s->tag && few->by_select == p->by_select
        && few->owned == p->owned) {
        s->n = few->n;
        for (size_t i = 0; i < few->n; i++) {
            s->fds[i].fd        = few->fds[i];
            s->items[i].channel = few->channels[i];
        }
    } else {
        if (!read_map(p, s))
            return false;
        if (few == NULL && s->n <= FEW)
            few = p->st->few = PyMem_Calloc(1, sizeof *few);
        if (few != NULL && s->n <= FEW) {
            few->tag       = s->tag;
            few->by_select = p->by_select;
            few->owned     = p->owned;
            few->n         = s->n;
            for (size_t i = 0; i < s->n; i++) {
                few->fds[i]      = s->fds[i].fd;
                few->channels[i] = s->items[i].channel;
            }
        }
    }
    for (size_t i = 0; i < s->n; i++)
        Py_INCREF(s->items[i].channel);
    return true;
}

/* What was learnt in the pass before, if all of it still holds, for the channel that is to be asked. */
static void asker_take(const struct pass *p, struct asker *asker, PyObject *channel)
{
    struct asker *kept = p->st->asker;

    /* The class of a channel is there; the one that was asked before may be gone. */
    if (kept == NULL || kept->type != Py_TYPE(channel) || kept->by_select != p->by_select
        || !asker_is_current(kept))
        return;
    *asker        = *kept;
    asker->p      = p;
    asker->called = NULL;
}

static void asker_put(const struct pass *p, const struct asker *asker)
{
    struct state *st = p->st;

    if (st->asker == NULL)
        st->asker = PyMem_Calloc(1, sizeof *st->asker);
    if (st->asker == NULL)
        return;
    *st->asker           = *asker;
    st->asker->by_select = p->by_select;
}

static int ask_all(const struct pass *p, struct simple *s)
{
    struct asker asker = {.p = p};
    size_t       k     = 0;
    int          rc    = 0;

    if (s->n > 0)
        asker_take(p, &asker, s->items[0].channel);
    for (size_t i = 0; i < s->n; i++) {
        PyObject *channel = s->items[i].channel;
        int       fd      = s->fds[i].fd;
        short     want    = 0;

        if (rc == 0)
            rc = pass_ask(p, &asker, &s->items[i].channel, &want);
        if (want != 0) {
            /* Only who wants something stays: the arrays are packed. */
            s->items[k].channel = channel;
            s->items[k].want    = want;
            s->fds[k++]         = (struct pollfd){.fd = fd, .events = want};
            s->writes           = s->writes || (want & POLLOUT);
            continue;
        }
        s->items[i].channel = NULL;
        /* The last one that has it: letting go runs code. */
        if (Py_REFCNT(channel) == 1)
            asker.type = NULL;
        Py_DECREF(channel);
    }
    s->n = k;
    asker_put(p, &asker);
    for (size_t i = 0; i < k; i++)
        Py_DECREF(s->items[i].channel);
    return rc;
}

/* Looks through the results: how many are due, or -1. What select() would not wake for is left out. */
static int look_through(const struct pass *p, struct simple *s)
{
    int due = 0;

    for (size_t i = 0; i < s->n; i++) {
        short result = s->fds[i].revents;

        if (result == 0)
            continue;
        if ((result & POLLNVAL) && p->by_select)
            return pass_bad_descriptor(p);
        s->fds[i].revents = pass_due(p, s->items[i].want, result);
        if (s->fds[i].revents != 0)
            due++;
        else
            s->fds[i].fd = ~s->fds[i].fd;
    }
    return due;
}

static int wait_simple(const struct pass *p, struct simple *s)
{
    int64_t until = p->wait == INT64_MAX || p->wait == 0 ? p->wait : monotonic() + p->wait;
    size_t  n     = s->n;

    if (p->waker >= 0)
        s->fds[n++] = (struct pollfd){.fd = p->waker, .events = POLLIN};
    for (bool first = true;; first = false) {
        int found = 0, due;

        if (first && s->writes && until != 0)
            found = wait_for(s->fds, n, 0);
        if (found == 0)
            found = wait_for(s->fds, n, until);
        if (found < 0) {
            trace(p->st, PASS_SITE(p, WAIT));
            return -1;
        }
        due = look_through(p, s);
        if (due != 0 || found == 0 || (n > s->n && s->fds[s->n].revents != 0))
            return due;
    }
}

/* The results become events, whose owners are looked up if there is anything that they may not be. */
static int collect(const struct pass *p, struct simple *s)
{
    bool same = dict_tag(p->map) == s->tag;

    for (size_t i = 0; i < s->n; i++) {
        struct event *event = &s->events[s->nevents];

        if (s->fds[i].fd < 0 || s->fds[i].revents == 0)
            continue;
        event->fd    = s->fds[i].fd;
        event->got   = s->fds[i].revents;
        event->owner = NULL;
        if (p->owned && same) {
            event->owner = Py_NewRef(s->items[i].channel);
        } else if (p->owned) {
            event->owner = pass_owner(p->map, event->fd);
            if (event->owner == NULL && PyErr_Occurred())
                return -1;
        }
        s->nevents++;
    }
    return 0;
}

/* 0, -1, or 1: not a map for us. */
static int simple_pass(const struct pass *p)
{
    struct simple s;
    int           rc;

    if (!make_room(&s, (size_t)PyDict_GET_SIZE(p->map))) {
        PyErr_NoMemory();
        return -1;
    }
    s.tag = dict_tag(p->map);
    if (!take_map(p, &s)) {
        PyMem_Free(s.memory);
        return 1;
    }
    rc = ask_all(p, &s);
    if (rc == 0 && s.n == 0 && p->waker < 0 && p->by_select) {
        rc = pass_sleep(p);
    } else if (rc == 0) {
        rc = wait_simple(p, &s);
        if (rc > 0)
            rc = collect(p, &s);
        if (rc == 0)
            rc = pass_tell(p, s.events, s.nevents);
        else
            for (size_t i = 0; i < s.nevents; i++)
                Py_CLEAR(s.events[i].owner);
    }
    PyMem_Free(s.memory);
    return rc;
}

int pass_run(const struct pass *p)
{
    struct state *st = p->st;
    int           rc = 1;

    if (PyDict_GET_SIZE(p->map) == 0 && p->waker < 0)
        return 0;
    if (st->tables != NULL && PyDict_GET_SIZE(p->map) < FEW / 2)
        tables_small(st, p->map);
    if (PyDict_GET_SIZE(p->map) > FEW)
        rc = table_pass(p);
    if (rc == 1)
        rc = simple_pass(p);
    if (rc != 1 && st->tables != NULL && PyDict_GET_SIZE(p->map) == 0)
        tables_small(st, p->map);
    return rc;
}

/* _select_pass(timeout, map, owned, waker), _poll_pass(...) */
static PyObject *do_pass(struct state *st, PyObject *const *args, Py_ssize_t n, bool by_select)
{
    struct pass p = {.st = st, .by_select = by_select};
    int         rc, overflow;
    long        waker;

    if (n != 4 || !PyDict_CheckExact(args[1]) || !PyLong_CheckExact(args[3]) || !state_is_plain(st))
        return not_mine;
    waker     = PyLong_AsLongAndOverflow(args[3], &overflow);
    p.timeout = args[0];
    p.map     = args[1];
    p.owned   = args[2] == Py_True;
    p.waker   = waker < 0 || waker > INT_MAX ? -1 : (int)waker;
    if ((args[2] != Py_True && args[2] != Py_False) || overflow != 0)
        return not_mine;
    if (PyDict_GET_SIZE(p.map) == 0 && p.waker < 0 && by_select)
        return Py_NewRef(Py_None);
    rc = pass_timeout(&p) ? pass_run(&p) : 1;
    if (rc == 1)
        return not_mine;
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *do_select_pass(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    return do_pass(st, args, n, true);
}

PyObject *do_poll_pass(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    return do_pass(st, args, n, false);
}
