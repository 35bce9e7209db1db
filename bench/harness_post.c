/* SPDX-License-Identifier: MIT */
/* Another thread posts work in bursts, and awaits the end of each. */
#include "harness.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t    lock = PTHREAD_MUTEX_INITIALIZER;
static struct bench_item *first, **last = &first;

static sem_t  done;
static char  *items;
static size_t nbursts, nburst, ran, all;

int bench_push(struct bench_item *item)
{
    int was_empty;

    item->next = NULL;
    (void)pthread_mutex_lock(&lock);
    was_empty = first == NULL;
    *last     = item;
    last      = &item->next;
    (void)pthread_mutex_unlock(&lock);
    return was_empty;
}

struct bench_item *bench_pull(void)
{
    struct bench_item *list;

    (void)pthread_mutex_lock(&lock);
    list  = first;
    first = NULL;
    last  = &first;
    (void)pthread_mutex_unlock(&lock);
    return list;
}

void bench_posted(void)
{
    if (++ran % nburst == 0)
        (void)sem_post(&done);
    if (ran == all)
        bench.stop();
}

static void *producer(void *arg)
{
    int64_t cpu0 = 0, wall0 = 0;
    size_t  warm = nbursts / 10;

    (void)arg;
    for (size_t i = 0; i < nbursts; i++) {
        if (i == warm) {
            cpu0  = cpu();
            wall0 = clock_ns(CLOCK_MONOTONIC);
        }
        for (size_t k = 0; k < nburst; k++)
            bench.post(items + k * bench.item_size);
        while (sem_wait(&done) != 0)
            ;
    }
    printf("post %.2f\n", (double)(cpu() - cpu0) / (double)((nbursts - warm) * nburst));
    printf("burst %.2f\n", (double)(clock_ns(CLOCK_MONOTONIC) - wall0) / (double)(nbursts - warm));
    return NULL;
}

/* A CPU for each of the two threads, where there are two. */
static void pin(pthread_t thread, int to_last)
{
    cpu_set_t all_cpus, one;

    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all_cpus, &all_cpus) != 0)
        return;
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &all_cpus))
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        if (!to_last)
            break;
    }
    (void)pthread_setaffinity_np(thread, sizeof one, &one);
}

void harness_post(size_t bursts, size_t burst)
{
    pthread_t thread;

    nbursts = bursts;
    nburst  = burst;
    all     = bursts * burst;
    items   = calloc(burst, bench.item_size);
    bench_need(items != NULL && all > 0 && sem_init(&done, 0, 0) == 0, "post");
    bench.post_open();
    bench_need(pthread_create(&thread, NULL, producer, NULL) == 0, "pthread_create");
    pin(thread, 1);
    pin(pthread_self(), 0);
    bench.run();
    (void)pthread_join(thread, NULL);
}
