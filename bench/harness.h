/* SPDX-License-Identifier: MIT */
/* What the files of the harness share. */
#ifndef HARNESS_H
#define HARNESS_H

#include "bench.h"

#include <time.h>

static const int64_t SECOND = 1000000000;

static inline int64_t clock_ns(clockid_t id)
{
    struct timespec ts = {0, 0};

    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * SECOND + ts.tv_nsec;
}

static inline int64_t cpu(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void harness_dispatch(size_t n, size_t active, size_t events, int half);
void harness_watch(size_t n, size_t rounds);
void harness_timers(size_t n);
void harness_far_timers(size_t n);
void harness_post(size_t bursts, size_t burst);

#endif
