/* SPDX-License-Identifier: MIT */
/**
 * Timers. They fire in the order of their deadlines, and of their starts where those are equal;
 * never early; in the turn after which they became due. Suspended time does not count.
 *
 * A start, a stop and a move cost the same however many timers run, and none of them needs memory.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_TIMER_H
#define ASYNCORE_TIMER_H

#include "asyncore/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A timer, in storage of the caller's: embed it and use AC_CONTAINER to get from `t` to the
 * structure around it. Kept while it runs; when it does not run the library holds no pointer to it.
 */
typedef struct ac_timer {
    void (*fire)(struct ac_timer *t); /**< read only */
    ac_loop         *loop;            /**< read only */
    int64_t          deadline_;
    struct ac__link_ link_;
    uint64_t         started_;
    union {
        int64_t interval_;
        void   *owner_; /* of the library's own */
    };
} ac_timer;

/** From a pointer to the member `member` of a `T` to the `T`. */
#define AC_CONTAINER(T, member, ptr)                                                               \
    ((T *)(void *)((char *)(1 ? (ptr) : &((T *)0)->member) - offsetof(T, member)))

/**
 * Prepares a timer; starts nothing. Not to be called on a timer that runs.
 *
 * @param loop  kept while the timer runs.
 * @param fire  what to call. It may do anything: start or stop any timer, this one included, free
 *              the storage of this one, close channels. It is not to free the loop.
 */
AC_API void ac_timer_init(ac_timer *t, ac_loop *loop, void (*fire)(ac_timer *t));

/**
 * Starts a timer, or starts it anew if it runs: it fires once, `delay` after the time of this turn.
 * One started from a callback with a delay of 0 fires in the next turn.
 *
 * @param delay  nanoseconds; AC_FOREVER: never, but it counts as running.
 * @return       0; it fails only by misuse: -EINVAL (not initialised, or the loop is being freed)
 *               or -ECHILD.
 */
AC_API int ac_timer_start(ac_timer *t, int64_t delay);

/**
 * Starts a timer again with the delay of its last start: from `fire`, a periodic timer.
 * @return  as ac_timer_start(); -EINVAL if it was never started.
 */
AC_API int ac_timer_again(ac_timer *t);

/**
 * Stops a timer; it does not fire any more, not even if it is due in this very turn. The storage is
 * the caller's again when this returns. One that does not run is left alone.
 */
AC_API void ac_timer_stop(ac_timer *t);

/** Whether the timer runs. Inside `fire` it does not. */
AC_API bool ac_timer_running(const ac_timer *t);

#ifdef __cplusplus
}
#endif
#endif
