/* SPDX-License-Identifier: MIT */
/**
 * More cores: one loop per thread.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_WORKERS_H
#define ASYNCORE_WORKERS_H

#include "asyncore/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Runs `n` loops, each in a thread of its own, worker 0 in the caller's; returns when all have
 * ended. Listeners that share a port set ac_set_reuseport(). ac_stop() on any of the loops stops all:
 * each takes the connections that still wait at its listeners, serves what is ready, and frees its
 * loop. Signals reach worker 0 only.
 *
 * @param n      1 to 1024.
 * @param start  sets a worker up, in its thread: first worker 0, so that it can choose a port, and
 *               then the others; 0 or a negative error, which stops all and is the result.
 * @param arg    kept until this returns.
 * @return       0: every loop ran out of things to do; 1: stopped; a failure of `start`; -EINVAL,
 *               -ENOMEM, -EAGAIN (no thread could be made); or as ac_run().
 * May call back: `start`, and all that ac_run() calls.
 */
AC_API int ac_workers(unsigned n, int (*start)(ac_loop *loop, unsigned index, void *arg),
                      void    *arg);

#ifdef __cplusplus
}
#endif
#endif
