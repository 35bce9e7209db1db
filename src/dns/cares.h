/* SPDX-License-Identifier: MIT */
/*
 * One c-ares channel on a loop: its sockets are sources of the loop and go through its system
 * table, its time-outs are one timer, its memory comes from the library's allocator.
 *
 * c-ares may run the callbacks of queries inside ares_query(), ares_cancel() and ares_destroy(),
 * and while its sockets are served. So a callback of a query calls nothing of c-ares and nothing of
 * the user's: it notes the answer.
 */
#ifndef AC__CARES_H
#define AC__CARES_H

#include "../loop/loop_private.h"

#include <ares.h>

/*
 * How long the first question to a server waits for its answer, in milliseconds; each round after
 * it waits twice as long as the one before. A variable, so that a test can be quick.
 */
extern int ac__dns_timeout;

typedef struct ac__cares {
    ac_loop            *loop;
    ares_channel        channel; /* NULL: not open */
    ac_timer            timer;   /* always running, so that no start of it needs memory */
    int64_t             due;     /* when it fires */
    ac__source         *serving; /* the socket whose events are being served, while it is open */
    struct ares_options config;  /* what the system's configuration says; `domains`, `ndots` */
    unsigned            pending; /* queries whose callback is yet to come */
} ac__cares;

/* Sets it up, closed. 0 or -ENOMEM. */
int ac__cares_init(ac__cares *c, ac_loop *loop);

/*
 * Opens it unless it is: 0, -ENOMEM, -AC_EDNS (a configuration that cannot be used), or -EINVAL:
 * the text of the loop's `nameservers` is no list of addresses.
 */
int ac__cares_open(ac__cares *c);

/* Closes it. The callback of every query runs with ARES_EDESTRUCTION. */
void ac__cares_close(ac__cares *c);

/* Closes it and gives up the timer. */
void ac__cares_end(ac__cares *c);

/* Gives up every query, as ac__cares_close() does, and stays open. */
void ac__cares_cancel(ac__cares *c);

/* Asks for the records of a name; the answer goes to `answer`, in here or later. */
void ac__cares_query(ac__cares *c, const char *name, int type, ares_callback answer, void *arg);

/* To be called by the callback of every query. */
static inline void ac__cares_answered(ac__cares *c)
{
    c->pending--;
}

#endif
