/* SPDX-License-Identifier: MIT */
/*
 * The poller table: what a backend does for the loop. Filling one is all that a new backend takes.
 *
 * The contract. Readiness belongs to the loop, which remembers what it was told until the system
 * says EAGAIN; so a poller owes no more than this: *after EAGAIN, a new event is reported.* Level
 * reports are fine (select, poll), edges are fine (epoll here, io_uring's multishot poll), and a
 * report that turns out to be empty is fine too.
 *
 * Events carry (fd, gen). `gen` is a number that the loop gives each use of a descriptor number; the
 * loop drops an event whose gen is not the present one. A poller stores it and never compares it.
 */
#ifndef AC__POLLER_H
#define AC__POLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AC__READ  = 1,  /* bytes, a connection, or the end of the stream */
    AC__WRITE = 2,  /* room to write; the end of a connect() */
    AC__RDHUP = 4,  /* the peer shut its side */
    AC__HUP   = 8,  /* both sides are shut, or an error stands */
    AC__PRI   = 16, /* out-of-band data */
    AC__CALL  = 32, /* never the poller's: the loop owes the source a call */
    AC__LEVEL = 32, /* interest only, with READ: to be reported for as long as it is so */
    AC__WATCH = 64, /* interest only: HUP is wanted, though nothing else may be */
    AC__EXACT =
        128 /* interest only: errors come that end nothing (datagrams), or wakers lie (ttys) */
};

/* Laid out as the kernel's own where that is possible, so that nothing is copied: see epoll.c. */
typedef struct ac__event {
    uint32_t bits; /* AC__READ to AC__PRI, or what the poller's `bits` makes these of */
    int32_t  fd;
    uint32_t gen;
} ac__event;

typedef struct ac__poller ac__poller;

typedef struct ac__poller_class {
    const char *name;

    /*
     * Whether interest need only grow. True: `set` is called with what was ever wanted of the
     * descriptor, and what comes and goes with each blocked write costs no call (edge reports).
     * False: with what is wanted now and not known to be ready, so that a level report cannot spin.
     */
    bool grows;

    /*
     * Whether it knows AC__LEVEL: what a read has left is reported in the next wait. Such an interest is
     * the whole of what is wanted and holds no AC__WRITE, even where others grow.
     */
    bool levels;

    /* Makes a poller: 0 or -errno. */
    int (*open)(ac__poller **out);

    /* The one to use where the system refuses this one: `open` fails, and not by -ENOMEM. Or NULL. */
    const struct ac__poller_class *instead;

    /*
     * Changes the interest of a descriptor from `old` to `want` (AC__READ, AC__WRITE, AC__RDHUP,
     * AC__PRI, AC__LEVEL, AC__WATCH, AC__EXACT); `old` 0 is a new one, `want` 0 forgets it. Called when the loop is about to wait,
     * once for each descriptor that differs. 0 or -errno; -EPERM: it cannot be waited for, being
     * always ready.
     */
    int (*set)(ac__poller *p, int fd, uint32_t gen, unsigned old, unsigned want);

    /*
     * Forgets a descriptor that is about to be closed. `shared`: another descriptor may stand for
     * the same open file, so that the close alone will not end the kernel's registration.
     */
    void (*forget)(ac__poller *p, int fd, unsigned old, bool shared);

    /*
     * Sends what `set` and `forget` have put off to the next wait, while which a descriptor that is
     * forgotten may keep its file open. NULL: they put nothing off.
     */
    void (*flush)(ac__poller *p);

    /*
     * An event of a descriptor that was closed before this batch: a registration outlived its
     * descriptor. `live`: the number is in use again. Returns 0 when the registration is removed,
     * or -EBADF: only a new poller gets rid of it. NULL: cannot happen.
     */
    int (*stale)(ac__poller *p, int fd, bool live);

    /*
     * Makes the kernel's set anew, empty, under the descriptor of the old one: 0 or -errno, with the
     * old one as it was. NULL with `stale`.
     */
    int (*renew)(ac__poller *p);

    /*
     * Waits up to `timeout` nanoseconds (rounded up, never down; INT64_MAX: no limit) and fills at
     * most `max` events. Returns their number, or -errno; -EINTR is no failure.
     */
    int (*wait)(ac__poller *p, int64_t timeout, ac__event *out, int max);

    /*
     * What a report other than plain AC__READ (1) means, in AC__ bits: for a poller whose events are
     * the kernel's. NULL: they are AC__ bits already.
     */
    unsigned (*bits)(uint32_t report);

    /* The descriptor by which another loop can wait for this one, or -1. NULL: -1. */
    int (*fileno)(ac__poller *p);

    /* Ends it. `forked`: in the child of a fork, whose parent goes on to use it. */
    void (*close)(ac__poller *p, bool forked);
} ac__poller_class;

extern const ac__poller_class ac__poller_epoll, ac__poller_poll, ac__poller_select;
#ifdef AC__IO_URING
extern const ac__poller_class ac__poller_io_uring;
#endif

/* All that are compiled in, best first, NULL at the end. */
extern const ac__poller_class *const ac__pollers[];

/* The one of that name, or NULL. */
const ac__poller_class *ac__poller_find(const char *name);

#endif
