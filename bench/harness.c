/* SPDX-License-Identifier: MIT */
/*
 * The harness around the table of a library:
 *
 *   PROGRAM MODE echo|churn|fan|lines [IDLE [TIMERS]]
 *                                  prints the port, serves until a peer ends a connection, then
 *                                  prints the heap in use for each connection; IDLE: seconds after
 *                                  which idle ones are closed, TIMERS: that many run as well
 *   PROGRAM MODE bulk BYTES        the same; each byte that comes is answered by BYTES
 *   PROGRAM MODE workers N         the same as echo, by N threads, each on a CPU of its own
 *   PROGRAM MODE dispatch N ACTIVE EVENTS
 *   PROGRAM MODE half N ACTIVE EVENTS
 *                                  N sockets are watched, bytes are under way to ACTIVE of them;
 *                                  prints nanoseconds of CPU for each event; half: two bytes come,
 *                                  of which a handler reads one at a time
 *   PROGRAM MODE watch N ROUNDS    N connections are added to what is watched, and ROUNDS times
 *                                  removed and added; prints nanoseconds of CPU for each
 *   PROGRAM MODE timers N          prints nanoseconds of CPU for each operation
 *   PROGRAM MODE post BURSTS BURST another thread posts work; prints nanoseconds for each piece
 */
#include "harness.h"

#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LONGEST = 900 }; /* seconds that any run may take */

size_t bench_take = BENCH_BUF;
size_t bench_bulk;
int    bench_idle;
char   bench_piece[BENCH_BUF];

static cpu_set_t        allowed; /* the CPUs of this process */
static _Atomic unsigned opened;  /* of several threads, where there are workers */
static size_t           heap_at_first;

void bench_fail(const char *what)
{
    (void)fprintf(stderr, "bench: %s failed\n", what);
    exit(1);
}

static size_t number(const char *text)
{
    return (size_t)strtoull(text, NULL, 10);
}

/* --- servers ------------------------------------------------------------------------------ */

static size_t heap(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

int bench_listen(uint16_t *port)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int       fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    bench_need(fd >= 0, "socket");
    /* What is accepted inherits it: answers are not held back, in any of the programs. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    bench_need(bind(fd, (struct sockaddr *)&addr, len) == 0, "bind");
    bench_need(listen(fd, 4096) == 0, "listen");
    bench_need(getsockname(fd, (struct sockaddr *)&addr, &len) == 0, "getsockname");
    *port = ntohs(addr.sin_port);
    return fd;
}

void bench_own_cpu(unsigned i, int listener)
{
    cpu_set_t one;
    size_t    cpu = 0;
    int       number;

    for (unsigned left = i % (unsigned)CPU_COUNT(&allowed);; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && left-- == 0)
            break;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    bench_need(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
    number = (int)cpu;
    bench_need(setsockopt(listener, SOL_SOCKET, SO_INCOMING_CPU, &number, sizeof number) == 0,
               "SO_INCOMING_CPU");
}

int bench_accept(int listener)
{
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void bench_port(uint16_t port)
{
    printf("%d\n", port);
    (void)fflush(stdout);
    heap_at_first = heap(); /* with the buffer of stdout, without any connection */
}

void bench_opened(void)
{
    opened++;
}

void bench_closed(void)
{
    static atomic_flag ends = ATOMIC_FLAG_INIT;

    while (atomic_flag_test_and_set(&ends))
        (void)pause(); /* another thread saw an end first */
    if (opened > 0)
        printf("heap %.0f\n", (double)(heap() - heap_at_first) / opened);
    exit(0);
}

static void serve(enum bench_role role)
{
    bench_need(bench.serve != NULL, "serving");
    bench_port(bench.serve(role));
    bench.run();
}

/* --- main --------------------------------------------------------------------------------- */

static int serve_by_name(int argc, char **argv)
{
    static const char *const names[] = {
        [BENCH_ECHO] = "echo", [BENCH_CHURN] = "churn", [BENCH_FAN] = "fan",
        [BENCH_BULK] = "bulk", [BENCH_LINES] = "lines",
    };

    for (int role = BENCH_ECHO; role <= BENCH_LINES; role++) {
        if (strcmp(argv[2], names[role]) != 0)
            continue;
        if (role == BENCH_BULK)
            bench_bulk = argc > 3 ? number(argv[3]) : BENCH_BUF;
        else if (argc > 3)
            bench_idle = (int)number(argv[3]);
        if (argc > 4 && number(argv[4]) > 0)
            harness_far_timers(number(argv[4]));
        serve((enum bench_role)role);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    const char   *what = argc > 2 ? argv[2] : "";

    bench_need(argc >= 3 && strstr(bench.modes, argv[1]) != NULL, "reading the arguments");
    (void)alarm(LONGEST);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    bench_need(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
    bench.open(argv[1]);
    if (serve_by_name(argc, argv))
        return 0;
    if (strcmp(what, "workers") == 0 && argc == 4 && bench.workers != NULL)
        bench.workers((unsigned)number(argv[3]));
    else if ((strcmp(what, "dispatch") == 0 || strcmp(what, "half") == 0) && argc == 6)
        harness_dispatch(number(argv[3]), number(argv[4]), number(argv[5]), what[0] == 'h');
    else if (strcmp(what, "watch") == 0 && argc == 5 && bench.gather != NULL)
        harness_watch(number(argv[3]), number(argv[4]));
    else if (strcmp(what, "timers") == 0 && argc == 4 && bench.timer_size > 0)
        harness_timers(number(argv[3]));
    else if (strcmp(what, "post") == 0 && argc == 5 && bench.post != NULL)
        harness_post(number(argv[3]), number(argv[4]));
    else
        bench_fail("reading the arguments");
    return 0;
}
