/* SPDX-License-Identifier: MIT */
/* The dispatch of events among many watched sockets, and what it costs to watch one. */
#include "harness.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* --- dispatch ----------------------------------------------------------------------------- */

/* Rounds of warming up where handlers read a half: a library may watch how they do it. */
enum { HALF_ROUNDS = 8 };

static int    *hop_to; /* the end that wakes the socket after i */
static char   *odd;    /* half of what was sent to socket i has been read */
static size_t  nsockets, count, left;
static int64_t began;

/* The warming up has ended, or all. */
static void lap(void)
{
    if (began == 0) {
        began = cpu();
        left  = count;
    } else {
        printf("event %.2f\n", (double)(cpu() - began) / (double)count);
        bench.stop();
    }
}

/* In as few steps as can be: it is the program that is measured, and this is in all of them. */
void bench_hop(unsigned i)
{
    if (odd == NULL)
        (void)send(hop_to[i], "x", 1, 0);
    else if ((odd[i] ^= 1) == 0)
        (void)send(hop_to[i], "xx", 2, 0);
    if (--left == 0)
        lap();
}

/*
 * Bytes go round among stream pairs. Where the limit on descriptors does not leave two for each of
 * the watched sockets, the others are datagram sockets to which nobody sends.
 */
void harness_dispatch(size_t n, size_t active, size_t events, int half)
{
    struct rlimit limit = {.rlim_cur = 1024};
    size_t        room;

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    bench_need(limit.rlim_cur > 64 + n + active, "the limit on descriptors");
    room     = (size_t)limit.rlim_cur - 64 - n;
    nsockets = n < room ? n : room;
    hop_to   = calloc(n, sizeof *hop_to);
    /* Bytes that are closer to each other would meet in one socket, and be one from then on. */
    bench_need(hop_to != NULL && active > 0 && (active == 1 || active * 8 <= nsockets), "dispatch");
    if (half) {
        odd        = calloc(n, 1);
        bench_take = 1;
        bench_need(odd != NULL, "dispatch");
    }
    left  = half ? nsockets * HALF_ROUNDS : nsockets;
    count = events;
    for (size_t i = 0, pairs = 0; i < n; i++) {
        int pair[2];

        if (i * nsockets / n < pairs) {
            pair[0] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            bench_need(pair[0] >= 0, "socket");
            bench.watch(pair[0], (unsigned)n);
            continue;
        }
        bench_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0,
                   "socketpair");
        hop_to[(pairs + nsockets - 1) % nsockets] = pair[1];
        bench.watch(pair[0], (unsigned)pairs++);
    }
    for (size_t i = 0; i < active; i++)
        (void)send(hop_to[(i * (nsockets / active) + nsockets - 1) % nsockets], "xx", half ? 2 : 1,
                   0);
    bench.run();
}

/* --- watching ----------------------------------------------------------------------------- */

void harness_watch(size_t n, size_t rounds)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint16_t           port = 0;
    int                listener = bench_listen(&port);
    int64_t            t0;

    addr.sin_port = htons(port);
    for (size_t i = 0; i < n; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        bench_need(fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0, "connect");
    }
    bench.gather(listener, (unsigned)n);
    bench.turn();
    t0 = cpu();
    for (unsigned i = 0; i < n; i++)
        bench.add(i);
    bench.turn();
    printf("add %.2f\n", (double)(cpu() - t0) / (double)n);
    t0 = cpu();
    for (size_t round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < n; i++)
            bench.again(i);
        bench.turn();
    }
    if (rounds > 0)
        printf("again %.2f\n", (double)(cpu() - t0) / (double)(n * rounds));
}
