/* SPDX-License-Identifier: MIT */
/**
 * The loop: waits for what can be done, and calls the objects that it concerns.
 *
 * One turn of a loop runs, in this order: timers that are due, the events of a batch (each channel:
 * connect, out-of-band, accept, read, write, then errors and the end), posted work, signals, and at
 * its end the finalizers of what was closed. A turn is bounded: one greedy channel, timer or poster
 * cannot starve the rest.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_LOOP_H
#define ASYNCORE_LOOP_H

#include "asyncore/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ac_loop       ac_loop;
typedef struct ac_dispatcher ac_dispatcher;

/* Private: a place in a list of the loop's. */
struct ac__link_ {
    struct ac__link_ *prev, *next;
};

/** A switch of the options: left to the environment, off, or on. */
enum { AC_UNSET = 0, AC_OFF = -1, AC_ON = 1 };

/** How a loop is made. Zero is the default of each field. */
typedef struct ac_loop_options {
    size_t      size;    /**< sizeof(ac_loop_options) */
    const char *backend; /**< "epoll", "io_uring", "poll" or "select"; NULL: $ASYNCORE_BACKEND,
                                  else epoll. Where the system refuses io_uring, this is logged
                                  and epoll is used. Copied. */
    int         verbose; /**< log "adding channel" and "closing channel"; unset: on where
                                  $ASYNCORE_VERBOSE is "1" */
    int         debug;   /**< check predicates, threads and storage, and poison what ended;
                                  unset: on where $ASYNCORE_DEBUG is "1" */
    const char
            *nameservers; /**< "ADDR[:PORT],..." to ask instead of /etc/resolv.conf's; the text is
                                  copied; NULL: the system's */
    unsigned max_lookups; /**< lookups of names under way at once; 0: 1000. More wait their turn. */
} ac_loop_options;

/**
 * Makes a loop with the default options. It opens no descriptor before its first turn.
 *
 * @return  given, to be ended by ac_loop_free(); NULL: out of memory. Every call that is given a
 *          NULL loop answers -EINVAL, so a program may check once, at ac_run().
 */
AC_API ac_loop *ac_loop_new(void);

/**
 * Makes a loop as `options` say. The environment is not read under setuid.
 *
 * @param options  copied; NULL: the defaults.
 * @return         as ac_loop_new(). A backend that is not known is told by the first turn: -EINVAL.
 */
AC_API ac_loop *ac_loop_new_with(const ac_loop_options *options);

/**
 * Ends a loop: closes all that is open on it, runs what is owed (finalizers; posted work with
 * -ECANCELED), and frees it. Timers and signals on it stop.
 *
 * @param loop  taken, but for -EBUSY; NULL is allowed.
 * @return      0, or -EBUSY: called from inside a callback of this loop; nothing was done.
 * May call back: finalize, run of posted work.
 */
AC_API int ac_loop_free(ac_loop *loop);

/**
 * Runs turns until ac_stop(), or until nothing keeps the loop: open channels, closed ones whose
 * finalize is due, running timers, lookups, ac_hold(). Signals and posted work do not keep it, nor
 * do channels after ac_unref().
 *
 * @return  0 when nothing was left, 1 when stopped, or
 *          -EDEADLK called from inside a callback of this loop,
 *          -EINVAL  no loop, or an unknown backend,
 *          another -errno: the loop could not be opened, or its poller broke.
 * May call back: yes, everything.
 */
AC_API int ac_run(ac_loop *loop);

/**
 * Runs one turn: waits up to `timeout` for something to do, and does it.
 *
 * @param timeout  nanoseconds; 0 only looks, AC_FOREVER waits without limit.
 * @return         the number of callbacks run (0: timed out, or woken), or as ac_run().
 * May call back: yes, everything.
 */
AC_API int ac_loop_turn(ac_loop *loop, int64_t timeout);

/**
 * Ends the run that goes on, or, where none does, the next one: each stop ends one run. Several
 * stops before a run ends count as one.
 * Thread-safe: yes. Signal-safe: yes.
 */
AC_API void ac_stop(ac_loop *loop);

/**
 * Ends the wait of the turn that goes on, or makes the next one not wait. Costs no system call when
 * the loop has been woken already.
 * Thread-safe: yes. Signal-safe: yes.
 */
AC_API void ac_wake(ac_loop *loop);

/**
 * Closes every channel of the loop, as ac_close() does. Timers, signals and posted work stay.
 * @return  the number of channels closed, or -EINVAL.
 */
AC_API int ac_close_all(ac_loop *loop);

/**
 * Keeps ac_run() from returning for want of things to do, until as many ac_unhold() calls.
 * @return  0, -EINVAL, or for ac_unhold() -EINVAL when nothing is held.
 */
AC_API int ac_hold(ac_loop *loop);
AC_API int ac_unhold(ac_loop *loop);

/* --- time --------------------------------------------------------------------------------- */

/**
 * The loop's monotonic time in nanoseconds: read once a turn, after the wait; where no timer runs, when
 * it is first asked for. 0 for no loop.
 */
AC_API int64_t ac_loop_now(const ac_loop *loop);

/** Reads the monotonic clock again: for a callback that worked long and then starts timers. */
AC_API void ac_loop_update(ac_loop *loop);

/**
 * The wall clock as the loop sees it, as time(): seconds since 1970-01-01T00:00:00Z. A simulated
 * loop has its own.
 */
AC_API int64_t ac_time(const ac_loop *loop);

/* --- inside another loop, and after fork() -------------------------------------------------- */

/**
 * Sends the queued changes of interest to the kernel and tells how long a foreign loop may sleep
 * before it calls ac_loop_turn(loop, 0). Any call on this loop or its channels after it may make
 * it out of date: a foreign loop calls this before each of its sleeps.
 *
 * @param timeout  out: nanoseconds, 0 when there is something to do now, AC_FOREVER.
 * @return         0 or -errno, as ac_run().
 */
AC_API int ac_loop_prepare(ac_loop *loop, int64_t *timeout);

/**
 * The descriptor that becomes readable when the loop has something to do, for poll() or another
 * loop; by its level, not by edges (EPOLLET). Opens the loop if no turn has yet. Where the loop has to make its epoll set anew (counted as
 * set_rebuilds), the number stays; a foreign *epoll* must then add it again, poll() need not. With
 * io_uring a wait for it may end for nothing, also by EINTR without a signal.
 * @return  the descriptor of the epoll set or the ring, borrowed; -1 with the other backends, or as
 *          ac_run().
 */
AC_API int ac_loop_fileno(ac_loop *loop);

/**
 * Makes the loop usable in the child of a fork(): a new poller, a new wake descriptor, a new
 * resolver; all channels are watched anew. Lookups under way are started again. The parent's loop
 * is not touched.
 * @return  0 (also where no fork has happened), or -errno, after which only ac_loop_free() is left.
 */
AC_API int ac_loop_after_fork(ac_loop *loop);

/* --- what it has, and what it did ----------------------------------------------------------- */

/**
 * The name of the loop's backend, as "epoll"; constant. "none" for no or an unknown backend. Changes
 * to "epoll" when a loop of "io_uring" is opened, by its first turn, and the system refuses that.
 */
AC_API const char *ac_loop_backend(const ac_loop *loop);

/** The name of the backend at `index`, best first, or NULL past the last. Thread-safe: yes. */
AC_API const char *ac_backend_name(size_t index);

/** Counters since the loop was made; "now" marks the ones that go down again. */
typedef struct ac_stats {
    size_t   size;         /**< sizeof(ac_stats), set by the caller */
    uint64_t turns;        /**< turns run */
    uint64_t callbacks;    /**< callbacks run */
    uint64_t events;       /**< events that the poller gave */
    uint64_t stale_events; /**< of them, dropped: the channel was closed, or its number reused */
    uint64_t poller_waits; /**< system calls that waited */
    uint64_t interest_changes; /**< changes of interest sent to the poller */
    uint64_t set_rebuilds; /**< kernel sets made anew, for a registration that outlived its close */
    uint64_t accept_pauses; /**< times that a listener was paused: out of descriptors or memory */
    uint64_t stalls;        /**< read handlers that were paused: they took nothing 16 times */
    uint64_t budget_stops;  /**< times that a channel had used up its share of a turn */
    uint64_t wakes;         /**< wake-ups written to the wake descriptor */
    uint64_t channels;      /**< now: channels open, or closed and not yet finalized */
    uint64_t timers;        /**< now: timers running, the library's own included */
    uint64_t queued_bytes;  /**< now: bytes in the send queues of all channels */
    uint64_t lookups;       /**< now: names being looked up */
} ac_stats;

/**
 * Copies the counters.
 * @param out  `size` set by the caller; no more than that is written.
 * @return     0 or -EINVAL.
 */
AC_API int ac_loop_stats(const ac_loop *loop, ac_stats *out);

#ifdef __cplusplus
}
#endif
#endif
