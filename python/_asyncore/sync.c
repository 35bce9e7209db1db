/* SPDX-License-Identifier: MIT */
/* Tables and maps: finding the table of a map, and making its channels equal to the map's. */
#include "table.h"

#include "base/alloc.h"

#include <limits.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>

/* More maps at a time than that are rare, and served by the simple pass now and then. */
enum { MOST_TABLES = 4 };

/* Whatever is under a descriptor; zeros, if nothing is. */
static void file_of(int fd, uint64_t file[2])
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        memset(&st, 0, sizeof st);
    file[0] = (uint64_t)st.st_dev;
    file[1] = (uint64_t)st.st_ino;
}

void table_own(struct table *t, ac__poller *poller)
{
    t->poller = poller;
    file_of(ac__poller_epoll.fileno(poller), t->file);
}

/* Whether the poller's descriptor is the poller's yet: daemons close all that they find. */
bool table_owns(const struct table *t)
{
    uint64_t file[2];

    file_of(ac__poller_epoll.fileno(t->poller), file);
    return file[0] == t->file[0] && file[1] == t->file[1];
}

void table_close_poller(struct table *t, bool forked)
{
    if (t->poller == NULL)
        return;
    if (table_owns(t))
        ac__poller_epoll.close(t->poller, forked);
    else
        ac__free(t->poller); /* it is no more than memory: the number is somebody else's */
    t->poller = NULL;
}

static void table_free(struct table *t)
{
    table_close_poller(t, false);
    ac__free(t->chans);
    ac__free(t->by_fd);
    ac__free(t->held);
    ac__free(t->look);
    ac__free(t->place);
    ac__free(t->ready);
    ac__free(t);
}

void tables_free(struct state *st)
{
    while (st->tables != NULL) {
        struct table *t = st->tables;

        st->tables = t->next;
        table_free(t);
    }
}

static void free_one(struct state *st, struct table **link)
{
    struct table *t = *link;

    (void)st;
    if (t->busy)
        return;
    *link = t->next;
    table_free(t);
}

void tables_small(struct state *st, PyObject *map)
{
    for (struct table **link = &st->tables; *link != NULL; link = &(*link)->next) {
        if ((*link)->map == map) {
            free_one(st, link);
            return;
        }
    }
}

/*
 * A poller whose descriptor has no number that is in the map: one that was closed behind our back is
 * to be found closed. 0 or -1.
 */
int table_open_poller(PyObject *map, ac__poller **out)
{
    ac__poller *poller = NULL;
    PyObject   *owner;
    int         rc;

    if (ac__poller_epoll.open(&poller) < 0)
        return -1;
    owner = pass_owner(map, ac__poller_epoll.fileno(poller));
    PyErr_Clear();
    if (owner == NULL) {
        *out = poller;
        return 0;
    }
    Py_DECREF(owner);
    rc = table_open_poller(map, out);
    ac__poller_epoll.close(poller, false);
    return rc;
}

struct table *table_of(struct state *st, PyObject *map, bool make)
{
    struct table **link   = &st->tables, *t;
    ac__poller    *poller = NULL;
    int            n      = 0;

    for (; *link != NULL; link = &(*link)->next, n++) {
        if ((*link)->map == map) {
            t = *link;
            /* To the front. */
            *link      = t->next;
            t->next    = st->tables;
            st->tables = t;
            return t;
        }
    }
    if (!make)
        return NULL;
    if (n >= MOST_TABLES) {
        for (link = &st->tables; (*link)->next != NULL; link = &(*link)->next)
            ;
        free_one(st, link);
    }
    t = ac__calloc(sizeof *t);
    if (t == NULL)
        return NULL;
    if (table_open_poller(map, &poller) < 0) {
        ac__free(t);
        return NULL;
    }
    table_own(t, poller);
    t->map     = map;
    t->next    = st->tables;
    st->tables = t;
    return t;
}

/* --- channels ----------------------------------------------------------------------------------- */

/* A new descriptor, or one that may be another file by now: the poller knows nothing of it. */
static void renew(struct chan *c)
{
    c->known  = 0;
    c->stuck  = false;
    c->fresh  = false;
    c->answer = ANSWER_NONE;
    c->maybe  = POLLOUT;
}

/* The descriptor of a key, or -1: not one of ours. */
static int key_fd(PyObject *key)
{
    int  overflow = 0;
    long fd       = PyLong_CheckExact(key) ? PyLong_AsLongAndOverflow(key, &overflow) : -1;

    return fd < 0 || fd > INT_MAX - 1 || overflow != 0 ? -1 : (int)fd;
}

static int make_room(struct table *t, int fd)
{
    if (ac__grow(&t->by_fd, &t->fds, (size_t)fd + 1, sizeof *t->by_fd) < 0
        || ac__grow(&t->chans, &t->cap, t->n + 1, sizeof *t->chans) < 0)
        return -1;
    return 0;
}

static int append(struct table *t, int fd, PyObject *channel)
{
    struct chan *c;

    if (make_room(t, fd) < 0)
        return -1;
    c       = &t->chans[t->n];
    *c      = (struct chan){.channel = channel, .fd = fd};
    t->high = t->high || fd >= FD_SETSIZE;
    renew(c);
    t->by_fd[fd] = (uint32_t)++t->n;
    return 0;
}

static struct chan *chan_of(const struct table *t, int fd)
{
    if (fd < 0 || (size_t)fd >= t->fds || t->by_fd[fd] == 0)
        return NULL;
    return &t->chans[t->by_fd[fd] - 1];
}

/* Reads the whole map anew; what was known of a channel that is still there is kept. */
static int read_map(struct table *t, PyObject *map)
{
    struct chan *old   = t->chans;
    size_t       old_n = t->n;
    Py_ssize_t   at    = 0;
    PyObject    *key, *channel;
    int          rc = 0;

    t->chans = NULL;
    t->n = t->cap = t->gone = 0;
    t->high                 = false;
    while (rc == 0 && PyDict_Next(map, &at, &key, &channel)) {
        int      fd    = key_fd(key);
        uint32_t place = fd >= 0 && (size_t)fd < t->fds ? t->by_fd[fd] : 0;

        if (fd < 0) {
            rc = 1;
        } else if (append(t, fd, channel) < 0) {
            rc = -1;
        } else if (place != 0 && old[place - 1].channel == channel && !old[place - 1].fresh) {
            t->chans[t->n - 1]         = old[place - 1];
            t->chans[t->n - 1].channel = channel;
        } else {
            t->chans[t->n - 1].gen = 0;
        }
    }
    /* Numbers that are not in the map any more. */
    for (size_t i = 0; i < old_n; i++) {
        int fd = old[i].fd;

        if (t->by_fd[fd] > t->n || (t->by_fd[fd] != 0 && t->chans[t->by_fd[fd] - 1].fd != fd))
            t->by_fd[fd] = 0;
    }
    if (rc != 0) {
        for (size_t i = 0; i < t->n; i++)
            t->by_fd[t->chans[i].fd] = 0;
        t->n   = 0;
        t->tag = 0;
    }
    ac__free(old);
    return rc;
}

/* Takes the places of those that have left together. */
static void compact(struct table *t)
{
    size_t k = 0;

    for (size_t i = 0; i < t->n; i++) {
        if (t->chans[i].channel == NULL)
            continue;
        if (k != i)
            t->chans[k] = t->chans[i];
        t->by_fd[t->chans[k].fd] = (uint32_t)k + 1;
        k++;
    }
    t->n    = k;
    t->gone = 0;
}

int table_sync(struct table *t, PyObject *map)
{
    if (t->tag != dict_tag(map)) {
        int rc = read_map(t, map);

        if (rc != 0)
            return rc;
        t->tag = dict_tag(map);
    } else if (t->gone > 16 + t->n / 4) {
        compact(t);
    }
    return 0;
}

/* --- add_channel(), del_channel() --------------------------------------------------------------- */

/* map[fd] = channel has been done; `before` is the tag that the map had. */
static void table_added(struct table *t, PyObject *map, int fd, PyObject *channel, uint64_t before)
{
    struct chan *c = chan_of(t, fd);

    if (c != NULL)
        c->fresh = true;
    if (t->tag != before)
        return;
    if (c != NULL) {
        c->channel = channel;
        c->answer  = ANSWER_NONE;
    } else if (append(t, fd, channel) < 0) {
        return;
    }
    t->tag = dict_tag(map);
}

static void table_removed(struct table *t, PyObject *map, int fd, uint64_t before)
{
    struct chan *c = chan_of(t, fd);

    if (t->tag != before) {
        if (c != NULL)
            c->fresh = true;
        return;
    }
    if (c != NULL) {
        c->channel   = NULL;
        t->by_fd[fd] = 0;
        t->gone++;
    }
    t->tag = dict_tag(map);
}

/* The map that a call is about, a new reference; NULL: the Python text is to see about it. */
static PyObject *map_of(PyObject *const *args, Py_ssize_t n)
{
    PyObject *map;

    if (n == 2 && args[1] != Py_None)
        map = Py_NewRef(args[1]);
    else if (n == 1 || n == 2)
        map = PyObject_GetAttr(args[0], names._map);
    else
        return NULL;
    if (map != NULL && !PyDict_CheckExact(map))
        Py_CLEAR(map);
    PyErr_Clear();
    return map;
}

/*
 * Sets or, with `value` NULL, deletes map[key], and tells the table. What was there before is held
 * until the table is up to date: letting go of it may run code.
 */
static int change(struct state *st, PyObject *map, PyObject *key, int fd, PyObject *value)
{
    PyObject     *old    = PyDict_GetItemWithError(map, key);
    struct table *t      = fd < 0 || st->tables == NULL ? NULL : table_of(st, map, false);
    uint64_t      before = dict_tag(map);
    int           rc     = 0;

    if (old == NULL && PyErr_Occurred())
        return -1;
    Py_XINCREF(old);
    if (value != NULL)
        rc = PyDict_SetItem(map, key, value);
    else if (old != NULL)
        rc = PyDict_DelItem(map, key);
    if (rc == 0 && t != NULL && value != NULL)
        table_added(t, map, fd, value, before);
    else if (rc == 0 && t != NULL && old != NULL)
        table_removed(t, map, fd, before);
    /* There may be no pass after the last channel: its poller is given back now. */
    if (t != NULL && PyDict_GET_SIZE(map) == 0)
        tables_small(st, map);
    Py_XDECREF(old);
    return rc;
}

PyObject *do_add_channel(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    PyObject *map = map_of(args, n);
    PyObject *key = map == NULL ? NULL : PyObject_GetAttr(args[0], names._fileno);
    int       rc  = 1;

    if (key != NULL && key_fd(key) >= 0)
        rc = change(st, map, key, key_fd(key), args[0]);
    else
        PyErr_Clear();
    Py_XDECREF(key);
    Py_XDECREF(map);
    return rc > 0 ? not_mine : rc < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *do_del_channel(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    PyObject *map = map_of(args, n);
    PyObject *key = map == NULL ? NULL : PyObject_GetAttr(args[0], names._fileno);
    int       rc  = 1;

    if (key != NULL && key_fd(key) >= 0)
        rc = change(st, map, key, key_fd(key), NULL);
    else
        PyErr_Clear();
    if (rc == 0)
        rc = PyObject_SetAttr(args[0], names._fileno, Py_None);
    Py_XDECREF(key);
    Py_XDECREF(map);
    return rc > 0 ? not_mine : rc < 0 ? NULL : Py_NewRef(Py_None);
}

void tables_drained(struct state *st, PyObject *channel, int fd)
{
    for (struct table *t = st->tables; t != NULL; t = t->next) {
        struct chan *c = chan_of(t, fd);

        /* The end, an error or urgent data is another thing to be read. */
        if (c != NULL && c->channel == channel && !c->stuck
            && !(c->maybe & (POLLHUP | POLLERR | POLLPRI | POLLRDHUP)))
            c->maybe &= (short)~POLLIN;
    }
}
