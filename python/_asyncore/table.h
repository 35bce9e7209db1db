/* SPDX-License-Identifier: MIT */
/*
 * What a large map has in store from pass to pass: its channels in the map's order, and the core's
 * epoll poller with their descriptors.
 *
 * The dict is the truth. `tag` is its tag when `chans` was last made equal to it; add_channel() and
 * del_channel() keep both up to date, and after any other change all of it is read anew. The channels
 * are borrowed: the map holds them for as long as its tag is `tag`.
 *
 * The poller reports edges, and each channel has sticky bits of what may be ready (`maybe`). What is
 * wanted and may be ready is looked at by poll() in each pass, together with the epoll descriptor, so
 * what is told is what poll() says at that moment. What is not ready loses its bit, and the poller
 * reports it again. Interest only grows.
 *
 * What the kernel forgets without a word (a descriptor closed, or another file put in its place, behind
 * the module's back) is found by a *sweep*: a poll() of all that is wanted, at times.
 */
#ifndef PYAC_TABLE_H
#define PYAC_TABLE_H

#include "poll/poller.h"
#include "state.h"

#include <poll.h>

/* What readable(), writable() and `accepting` say without being asked. */
enum {
    ANSWER_NONE   = 0, /* nothing is kept */
    ANSWER_KEPT   = 1,
    ANSWER_READ   = 2,
    ANSWER_WRITE  = 4,
    ANSWER_ACCEPT = 8
};

struct chan {
    PyObject     *channel; /* NULL: it has left the map */
    PyTypeObject *type;    /* these three: whose answer is kept, and of what state */
    uint64_t      dict_tag;
    unsigned      type_tag;
    int           fd;
    uint32_t      gen;
    short         want;  /* in this pass */
    short         maybe; /* POLLIN, POLLOUT, POLLPRI, POLLRDHUP, POLLHUP, POLLERR, POLLNVAL */
    short         got;
    uint8_t       known;  /* what the poller reports: AC__READ, AC__WRITE, AC__PRI */
    uint8_t       answer; /* ANSWER_... */
    bool          stuck;  /* the poller cannot take it: poll() looks at it each time */
    uint8_t       quiet;  /* passes in which nothing was heard of it, up to some */
    bool          fresh;  /* to be registered anew */
    PyObject     *fifo; /* borrowed like channel, or NULL: a deque; not empty is a wish to write */
};

struct table {
    struct table *next;
    PyObject     *map; /* never followed: it may be gone */
    uint64_t      tag;
    struct chan  *chans;
    size_t        n, cap, gone;
    uint32_t     *by_fd; /* place in chans, plus 1 */
    size_t        fds;
    bool          high; /* there is a descriptor that select() refuses */
    bool          busy; /* a pass is under way: another one on the same map does without */

    ac__poller *poller;
    uint64_t    file[2]; /* what is under its descriptor, as fstat() tells: device and inode */
    uint32_t    gen;
    unsigned    forks;
    int64_t     next_sweep;

    /* Of the pass under way. */
    PyObject     **held; /* references to the channels, once Python code has to be called */
    size_t         held_n, held_cap;
    struct pollfd *look;  /* what poll() is to look at */
    uint32_t      *place; /* and whose it is */
    size_t         looks, look_cap, place_cap;
    uint64_t      *ready; /* bit set: places with an event */
    size_t         ready_cap, due;
    bool           writes;
};

extern PyTypeObject *deque_type; /* collections.deque */

/* sync.c */
struct table *table_of(struct state *st, PyObject *map, bool make);
int           table_open_poller(PyObject *map, ac__poller **out);
void          table_own(struct table *t, ac__poller *poller);
bool          table_owns(const struct table *t);
void          table_close_poller(struct table *t, bool forked);
int           table_sync(struct table *t, PyObject *map); /* 0, -1 without memory, 1: odd keys */

/* ask.c: fills `want` of all, and what poll() has to look at: how many want anything, or -1. */
long table_ask(const struct pass *p, struct table *t, size_t n, bool all);

/* table.c */
int table_register(struct table *t, struct chan *c, unsigned bits);

/* pass.c: time.sleep() instead of a wait for nothing. */
int pass_sleep(const struct pass *p);

#endif
