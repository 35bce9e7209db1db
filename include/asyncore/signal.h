/* SPDX-License-Identifier: MIT */
/**
 * Signals of the process as events of a loop.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_SIGNAL_H
#define ASYNCORE_SIGNAL_H

#include "asyncore/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A watcher of one signal, in storage of the caller's; kept while it is started. */
typedef struct ac_signal {
    void (*fire)(struct ac_signal *s); /**< read only */
    ac_loop          *loop;            /**< read only */
    int               signo;           /**< read only: the signal, while started; else 0 */
    int               due_;
    struct ac_signal *prev_, *next_;
} ac_signal;

/**
 * Prepares a watcher; starts nothing.
 *
 * @param loop  kept while the watcher is started.
 * @param fire  runs in a turn after the signal came, once for all that came since the last time. It
 *              may do anything but free the loop.
 */
AC_API void ac_signal_init(ac_signal *s, ac_loop *loop, void (*fire)(ac_signal *s));

/**
 * Starts to watch `signo`. Any number of watchers on any number of loops may watch one signal; each
 * is told. The handler is installed with SA_RESTART by the first watcher in the process, and the
 * disposition from before comes back with the last.
 *
 * @return  0, -EINVAL (SIGKILL, SIGSTOP, no signal, or started already), -ECHILD, or another -errno.
 */
AC_API int ac_signal_start(ac_signal *s, int signo);

/** Stops watching; `fire` is not called any more. One that is not started is left alone. */
AC_API void ac_signal_stop(ac_signal *s);

#ifdef __cplusplus
}
#endif
#endif
