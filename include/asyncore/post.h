/* SPDX-License-Identifier: MIT */
/**
 * Work from other threads.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_POST_H
#define ASYNCORE_POST_H

#include "asyncore/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A piece of work, in storage of the caller's, zeroed but for `run`. */
typedef struct ac_work {
    /**
     * Runs once, in the loop's thread, after the events of a turn.
     * @param work    the caller's again: it may be posted again or freed here.
     * @param status  0, or -ECANCELED: the loop is being freed, and nothing of it may be used.
     */
    void (*run)(struct ac_work *work, int status);
    struct ac_work *next_;
} ac_work;

/**
 * Hands a piece of work to a loop. Allocates nothing and cannot fail. Work of one thread runs in
 * the order in which that thread posted it.
 *
 * @param loop  must exist until this returns; that is the caller's to see to.
 * @param work  kept until `run` is called. Not to be posted again before that.
 * Thread-safe: yes. Signal-safe: yes.
 */
AC_API void ac_post(ac_loop *loop, ac_work *work);

#ifdef __cplusplus
}
#endif
#endif
