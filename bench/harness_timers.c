/* SPDX-License-Identifier: MIT */
/* Many timers: started, restarted, cancelled, fired, and whether they fired in order. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

static char     *timers;
static size_t    ntimers, fired;
static int       script_ran;
static int64_t   began;
static uint64_t  seed = 1;
static int32_t  *delays; /* of the last start, in microseconds */
static uint32_t *order;  /* in which they fired */

static int64_t random_below(int64_t limit)
{
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    return (int64_t)(seed >> 33) % (limit / 1000) * 1000;
}

static void *timer_at(size_t i)
{
    return timers + i * bench.timer_size;
}

static void start_all(const char *what, int64_t least, int64_t spread)
{
    int64_t t0 = cpu();

    for (size_t i = 0; i < ntimers; i++)
        bench.timer_start(timer_at(i), least + random_below(spread));
    if (what != NULL)
        printf("%s %.1f\n", what, (double)(cpu() - t0) / (double)ntimers);
}

/* All were started in one callback, one after the other, so age is the index. */
static const char *order_of(int32_t unit)
{
    int aged = 1;

    for (size_t i = 1; i < ntimers; i++) {
        int32_t a = delays[order[i - 1]] / unit, b = delays[order[i]] / unit;

        if (a > b)
            return "none";
        if (a == b && order[i - 1] > order[i])
            aged = 0;
    }
    return aged ? "deadline+age" : "deadline";
}

/* Runs in a callback, where the library knows the time. */
static void script(void)
{
    int64_t until, t0;

    start_all("insert", 3600 * SECOND, 3600 * SECOND);
    start_all("restart", 3600 * SECOND, 3600 * SECOND);
    t0 = cpu();
    for (size_t i = 0; i < ntimers; i++)
        bench.timer_stop(timer_at(i));
    printf("cancel %.1f\n", (double)(cpu() - t0) / (double)ntimers);
    for (size_t i = 0; i < ntimers; i++) {
        delays[i] = (int32_t)(random_below(SECOND / 10) / 1000);
        bench.timer_start(timer_at(i), delays[i] * INT64_C(1000));
    }
    until = clock_ns(CLOCK_MONOTONIC) + SECOND / 5;
    while (clock_ns(CLOCK_MONOTONIC) < until)
        ; /* until all are due */
    began = cpu();
}

void bench_fired(void *t)
{
    if (!script_ran) {
        script_ran = 1;
        script();
        return;
    }
    order[fired] = (uint32_t)((size_t)((char *)t - timers) / bench.timer_size);
    if (++fired == ntimers) {
        printf("fire %.1f\n", (double)(cpu() - began) / (double)ntimers);
        printf("order %s\n", order_of(1));
        printf("order_ms %s\n", order_of(1000));
        bench.stop();
    }
}

static void make(size_t n)
{
    timers = calloc(n, bench.timer_size);
    bench_need(timers != NULL && bench.timer_size > 0, "timers");
    for (size_t i = 0; i < n; i++)
        bench.timer_init(timer_at(i));
}

void harness_timers(size_t n)
{
    ntimers = n;
    delays  = calloc(n, sizeof *delays);
    order   = calloc(n, sizeof *order);
    bench_need(delays != NULL && order != NULL, "timers");
    make(n + 1);
    bench.timer_start(timer_at(n), 0);
    bench.run();
}

void harness_far_timers(size_t n)
{
    ntimers = n;
    make(n);
    start_all(NULL, 3600 * SECOND, 3600 * SECOND);
}
