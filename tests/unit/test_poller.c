/* SPDX-License-Identifier: MIT */
/*
 * The backends, each by its table alone: what the loop relies on, with real descriptors on the other
 * side. A test that says nothing else holds for level and edge reports alike.
 */
#define HARNESS_BARE
#include "harness.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { MAX = 256 };

static const ac__poller_class *pc;
static ac__poller             *poller;
static ac__event               events[MAX];
static size_t                  fds_before;

static int setup(void **state)
{
    const char *name = getenv("ASYNCORE_BACKEND");

    (void)state;
    h_live     = 0;
    fds_before = h_fds();
    pc         = name != NULL && *name != '\0' ? ac__poller_find(name) : ac__pollers[0];
    return pc == NULL ? -1 : pc->open(&poller);
}

static int teardown(void **state)
{
    (void)state;
    pc->close(poller, false);
    if (h_live != 0 || h_fds() != fds_before) {
        print_error("left: %ld allocations, %zu descriptors\n", h_live, h_fds() - fds_before);
        return -1;
    }
    return 0;
}

static void pair(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

static void close_pair(const int fd[2])
{
    close(fd[0]);
    close(fd[1]);
}

/* Changes the interest, as the loop does: a descriptor of none is a new one. */
static void want(int fd, uint32_t gen, unsigned old, unsigned now)
{
    assert_int_equal(pc->set(poller, fd, gen, old, now), 0);
}

/* Waits, and reads the reports as the loop does. */
static int wait_ms(int ms)
{
    int n = pc->wait(poller, ms * AC_MILLISECOND, events, MAX);

    assert_true(n >= 0 && n <= MAX);
    for (int i = 0; i < n && pc->bits != NULL; i++)
        if (events[i].bits != AC__READ)
            events[i].bits = pc->bits(events[i].bits);
    return n;
}

/* The bits of the one event that there is to be; 0: none came in time. */
static unsigned one_event(int fd, uint32_t gen, int ms)
{
    int n = wait_ms(ms);

    assert_true(n <= 1);
    if (n == 0)
        return 0;
    assert_int_equal(events[0].fd, fd);
    assert_int_equal(events[0].gen, gen);
    return events[0].bits;
}

static void drain(int fd)
{
    char    buf[4096];
    ssize_t n;

    while ((n = read(fd, buf, sizeof buf)) > 0)
        continue;
    assert_true(n == 0 || errno == EAGAIN);
}

static void fill(int fd)
{
    static const char block[65536];

    while (write(fd, block, sizeof block) > 0)
        continue;
    assert_int_equal(errno, EAGAIN);
}

/* --- the table ------------------------------------------------------------------------------------ */

static void best_first(void **state)
{
#ifdef AC__IO_URING
    static const char *const names[] = {"epoll", "io_uring", "poll", "select"};
#else
    static const char *const names[] = {"epoll", "poll", "select"};
#endif
    enum { N = sizeof names / sizeof names[0] };

    (void)state;
    for (size_t i = 0; i < N; i++) {
        assert_string_equal(ac__pollers[i]->name, names[i]);
        assert_ptr_equal(ac__poller_find(names[i]), ac__pollers[i]);
    }
    assert_null(ac__pollers[N]);
    assert_null(ac__poller_find("kqueue"));
    assert_null(ac__poller_find("epol"));
    assert_null(ac__poller_find(""));
    assert_null(ac__poller_find(NULL));
}

/* --- readiness ------------------------------------------------------------------------------------- */

static void nothing_is_reported_of_nothing(void **state)
{
    int fd[2];

    (void)state;
    assert_int_equal(wait_ms(0), 0);
    assert_int_equal(wait_ms(2), 0);
    pair(fd);
    want(fd[0], 1, 0, AC__READ | AC__RDHUP | AC__PRI | AC__WATCH);
    assert_int_equal(wait_ms(2), 0);
    pc->forget(poller, fd[0], AC__READ, false);
    close_pair(fd);
}

/* The contract: after EAGAIN a new event. */
static void each_arrival_is_reported(void **state)
{
    int fd[2];

    (void)state;
    pair(fd);
    want(fd[0], 42, 0, AC__READ);
    for (int i = 0; i < 500; i++) {
        h_put(fd[1], "x", 1);
        assert_int_equal(one_event(fd[0], 42, 1000), AC__READ);
        drain(fd[0]);
        assert_int_equal(wait_ms(0), 0);
    }
    close_pair(fd);
    pc->forget(poller, fd[0], AC__READ, false);
}

static void room_is_reported(void **state)
{
    int fd[2];

    (void)state;
    pair(fd);
    for (int i = 0; i < 20; i++) {
        fill(fd[0]);
        want(fd[0], 7, i > 0 ? AC__WRITE : 0, AC__WRITE);
        assert_int_equal(wait_ms(0), 0);
        drain(fd[1]);
        assert_int_equal(one_event(fd[0], 7, 1000), AC__WRITE);
    }
    pc->forget(poller, fd[0], AC__WRITE, false);
    close_pair(fd);
}

static void both_sides_at_once(void **state)
{
    int fd[2];

    (void)state;
    pair(fd);
    h_put(fd[1], "x", 1);
    want(fd[0], 7, 0, AC__READ | AC__WRITE);
    assert_int_equal(one_event(fd[0], 7, 1000), AC__READ | AC__WRITE);
    pc->forget(poller, fd[0], AC__READ | AC__WRITE, false);
    close_pair(fd);
}

/* Interest that is changed while a descriptor is ready tells it at once, with the new generation. */
static void a_change_reports_what_is_ready(void **state)
{
    int fd[2];

    (void)state;
    pair(fd);
    want(fd[0], 1, 0, AC__WATCH);
    assert_int_equal(wait_ms(0), 0);
    want(fd[0], 2, AC__WATCH, AC__WATCH | AC__WRITE);
    assert_int_equal(one_event(fd[0], 2, 1000), AC__WRITE);
    h_put(fd[1], "x", 1);
    want(fd[0], UINT32_MAX, AC__WATCH | AC__WRITE, AC__WATCH | AC__READ);
    assert_int_equal(one_event(fd[0], UINT32_MAX, 1000), AC__READ);
    want(fd[0], 3, AC__WATCH | AC__READ, 0);
    assert_int_equal(wait_ms(2), 0);
    /* And again as a new one. */
    want(fd[0], 4, 0, AC__READ);
    assert_int_equal(one_event(fd[0], 4, 1000), AC__READ);
    pc->forget(poller, fd[0], AC__READ, false);
    close_pair(fd);
}

static void forgotten_is_silent(void **state)
{
    int fd[2], twin;

    (void)state;
    pair(fd);
    want(fd[0], 1, 0, AC__READ);
    twin = dup(fd[0]);
    pc->forget(poller, fd[0], AC__READ, true);
    h_put(fd[1], "x", 1);
    assert_int_equal(wait_ms(2), 0);
    close(fd[0]);
    assert_int_equal(wait_ms(2), 0);
    /* What was never set, or is forgotten already, can be forgotten. */
    pc->forget(poller, fd[0], 0, true);
    pc->forget(poller, fd[0], AC__READ, true);
    pc->forget(poller, 700, 0, true);
    close(twin);
    close(fd[1]);
}

static void bad_numbers(void **state)
{
    (void)state;
    assert_int_equal(pc->set(poller, -1, 1, 0, AC__READ), -EBADF);
    pc->forget(poller, -1, 0, true);
    assert_int_equal(wait_ms(0), 0);
}

/* --- hang-ups -------------------------------------------------------------------------------------- */

/* Nothing but the hang-up is wanted, and once it is not wanted any more it is not repeated. */
static void hang_up_of_a_watched_one(void **state)
{
    int fd[2];

    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        if (reset)
            h_raw_pair(fd);
        else
            pair(fd);
        want(fd[0], 9, 0, AC__WATCH);
        assert_int_equal(wait_ms(2), 0);
        if (reset)
            h_reset(fd[1]);
        else
            close(fd[1]);
        assert_true(one_event(fd[0], 9, 1000) & AC__HUP);
        want(fd[0], 9, AC__WATCH, 0);
        for (int i = 0; i < 5; i++)
            assert_int_equal(wait_ms(1), 0);
        if (reset) {
            /* The reason is left for the owner to find. */
            int       err = 0;
            socklen_t len = sizeof err;

            assert_int_equal(getsockopt(fd[0], SOL_SOCKET, SO_ERROR, &err, &len), 0);
            assert_int_equal(err, ECONNRESET);
        }
        close(fd[0]);
    }
}

/* The peer shuts its side, which is wanted; later the rest of the connection goes. */
static void half_close_then_hang_up(void **state)
{
    unsigned bits;
    int      fd[2];

    (void)state;
    h_raw_pair(fd);
    want(fd[0], 9, 0, AC__RDHUP | AC__WATCH);
    assert_int_equal(wait_ms(2), 0);
    assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
    bits = one_event(fd[0], 9, 1000);
    assert_true(bits & AC__RDHUP);
    assert_false(bits & AC__HUP);
    if (!pc->grows)
        want(fd[0], 9, AC__RDHUP | AC__WATCH, AC__WATCH);
    /* select() has one empty report at the most. */
    wait_ms(2);
    for (int i = 0; i < 5; i++)
        assert_int_equal(wait_ms(1), 0);
    h_reset(fd[1]);
    assert_true(one_event(fd[0], 9, 1000) & AC__HUP);
    pc->forget(poller, fd[0], AC__WATCH, false);
    close(fd[0]);
}

/* Data that nobody wants neither spins nor hides the hang-up behind it. */
static void unwanted_data(void **state)
{
    int fd[2], busy[2], n;

    (void)state;
    for (int with_busy = 0; with_busy < 2; with_busy++) {
        int64_t end = h_now() + 5 * AC_SECOND;
        bool    hup = false;

        h_raw_pair(fd);
        pair(busy);
        want(fd[0], 9, 0, AC__WATCH);
        h_put(fd[1], "data", 4);
        h_wait(fd[0], POLLIN);
        n = wait_ms(5);
        assert_true(n <= 1);
        if (n == 1)
            assert_int_equal(events[0].bits, AC__READ);
        for (int i = 0; i < 5; i++)
            assert_int_equal(wait_ms(1), 0);
        if (with_busy) {
            /* Waits that never come to their end. */
            h_put(busy[1], "x", 1);
            want(busy[0], 5, 0, AC__READ);
        }
        h_reset(fd[1]);
        while (!hup && h_now() < end) {
            n = wait_ms(50);
            for (int i = 0; i < n; i++)
                hup |= events[i].fd == fd[0] && (events[i].bits & AC__HUP);
        }
        assert_true(hup);
        pc->forget(poller, fd[0], AC__WATCH, false);
        pc->forget(poller, busy[0], AC__READ, false);
        close(fd[0]);
        close_pair(busy);
    }
}

/* Waiting with something unwanted there is as long as without. */
static void unwanted_data_does_not_shorten_waits(void **state)
{
    int64_t begin;
    int     fd[2];

    (void)state;
    pair(fd);
    want(fd[0], 9, 0, AC__WATCH);
    h_put(fd[1], "data", 4);
    wait_ms(1);
    begin = h_now();
    assert_int_equal(wait_ms(230), 0);
    assert_true(h_now() - begin >= 230 * AC_MILLISECOND);
    /* Wanted after all. */
    want(fd[0], 9, AC__WATCH, AC__WATCH | AC__READ);
    assert_int_equal(one_event(fd[0], 9, 1000), AC__READ);
    pc->forget(poller, fd[0], AC__WATCH | AC__READ, false);
    close_pair(fd);
}

static void end_of_stream_is_readable(void **state)
{
    int fd[2];

    (void)state;
    pair(fd);
    want(fd[0], 9, 0, AC__READ);
    assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
    assert_true(one_event(fd[0], 9, 1000) & AC__READ);
    pc->forget(poller, fd[0], AC__READ, false);
    close_pair(fd);
}

static void pipes(void **state)
{
    int fd[2];

    (void)state;
    /* The writer goes. */
    assert_int_equal(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
    want(fd[0], 1, 0, AC__READ);
    close(fd[1]);
    assert_true(one_event(fd[0], 1, 1000) & (AC__READ | AC__HUP));
    pc->forget(poller, fd[0], AC__READ, false);
    close(fd[0]);
    /* The reader goes. */
    assert_int_equal(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
    fill(fd[1]);
    want(fd[1], 2, 0, AC__WATCH);
    assert_int_equal(wait_ms(1), 0);
    close(fd[0]);
    assert_true(one_event(fd[1], 2, 1000) & AC__HUP);
    pc->forget(poller, fd[1], AC__WATCH, false);
    close(fd[1]);
}

static void out_of_band(void **state)
{
    unsigned bits;
    int      fd[2];

    (void)state;
    h_raw_pair(fd);
    want(fd[0], 9, 0, AC__PRI | AC__WATCH);
    assert_int_equal(wait_ms(1), 0);
    assert_int_equal(send(fd[1], "!", 1, MSG_OOB), 1);
    bits = one_event(fd[0], 9, 1000);
    assert_true(bits & AC__PRI);
    assert_false(bits & AC__HUP);
    pc->forget(poller, fd[0], AC__PRI, false);
    close_pair(fd);
}

/* A regular file is always ready: epoll says that it cannot be waited for. */
static void regular_file(void **state)
{
    char name[] = "/tmp/asyncore-test-XXXXXX";
    int  fd     = mkstemp(name), rc;

    (void)state;
    assert_true(fd >= 0);
    unlink(name);
    rc = pc->set(poller, fd, 3, 0, AC__READ | AC__WRITE);
    if (h_is("epoll")) {
        assert_int_equal(rc, -EPERM);
    } else {
        assert_int_equal(rc, 0);
        assert_int_equal(one_event(fd, 3, 1000), AC__READ | AC__WRITE);
        pc->forget(poller, fd, AC__READ | AC__WRITE, false);
    }
    close(fd);
}

/* A descriptor that somebody else closed: its owner is told, the others are served. */
static void closed_behind_the_back(void **state)
{
    int fd[2], other[2];

    (void)state;
    pair(fd);
    pair(other);
    want(fd[0], 1, 0, AC__READ);
    want(other[0], 2, 0, AC__READ);
    close(fd[0]);
    if (h_is("epoll")) {
        assert_int_equal(wait_ms(2), 0);
    } else {
        assert_int_equal(one_event(fd[0], 1, 1000), AC__READ | AC__WRITE | AC__HUP);
    }
    pc->forget(poller, fd[0], AC__READ, false);
    h_put(other[1], "x", 1);
    assert_int_equal(one_event(other[0], 2, 1000), AC__READ);
    pc->forget(poller, other[0], AC__READ, false);
    close(fd[1]);
    close_pair(other);
}

/* --- many ------------------------------------------------------------------------------------------- */

/* A batch that is full takes nobody's turn: those that did not fit come next. */
static void full_batches_are_fair(void **state)
{
    enum { N = 40, BATCH = 8 };
    int      fd[N][2];
    unsigned seen[N] = {0};

    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        pair(fd[i]);
        h_put(fd[i][1], "x", 1);
        want(fd[i][0], i, 0, AC__READ);
    }
    for (int round = 0; round < N / BATCH; round++) {
        int n = pc->wait(poller, AC_SECOND, events, BATCH);

        assert_int_equal(n, BATCH);
        for (int i = 0; i < n; i++) {
            assert_int_equal(events[i].fd, fd[events[i].gen][0]);
            seen[events[i].gen]++;
        }
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(seen[i], 1);
        pc->forget(poller, fd[i][0], AC__READ, false);
        close_pair(fd[i]);
    }
}

/*
 * More is ready at once than any backend can have in hand (io_uring: 4,096 completions; its polls end
 * then), several times over, of a kind of file that is no socket: all is reported, and later too.
 */
static void more_than_fits(void **state)
{
    enum { N = 5000, ROUNDS = 5 };
    static int    fd[N];
    struct rlimit limit, was;

    (void)state;
    if (h_is("select"))
        skip();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    limit          = was;
    limit.rlim_cur = N + 100;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        skip();
    for (uint32_t i = 0; i < N; i++) {
        fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(fd[i] >= 0);
        want(fd[i], i, 0, AC__READ);
    }
    for (int round = 0; round < ROUNDS; round++) {
        int left = N;

        for (int i = 0; i < N; i++)
            assert_int_equal(eventfd_write(fd[i], 1), 0);
        while (left > 0) {
            int n = wait_ms(2000);

            assert_true(n > 0);
            for (int i = 0; i < n; i++) {
                eventfd_t count;

                assert_int_equal(events[i].fd, fd[events[i].gen]);
                left -= eventfd_read(events[i].fd, &count) == 0;
            }
        }
    }
    for (int i = 0; i < N; i++) {
        pc->forget(poller, fd[i], AC__READ, false);
        close(fd[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

static void *wait_elsewhere(void *fd)
{
    assert_int_equal(one_event(*(int *)fd, 7, 2000), AC__READ);
    drain(*(int *)fd);
    return NULL;
}

/* A loop may be made in one thread, run in another, and come back. */
static void waited_for_by_several_threads(void **state)
{
    int fd[2];

    (void)state;
    pair(fd);
    want(fd[0], 7, 0, AC__READ);
    for (int round = 0; round < 3; round++) {
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, wait_elsewhere, &fd[0]), 0);
        h_put(fd[1], "x", 1);
        assert_int_equal(pthread_join(thread, NULL), 0);
        h_put(fd[1], "y", 1);
        assert_int_equal(one_event(fd[0], 7, 2000), AC__READ);
        drain(fd[0]);
    }
    pc->forget(poller, fd[0], AC__READ, false);
    close_pair(fd);
}

enum { MANY = 600 };

static void *watch_elsewhere(void *fds)
{
    for (uint32_t i = 0; i < MANY; i++)
        want(((int *)fds)[i], i, 0, AC__READ);
    return NULL;
}

static void *forget_elsewhere(void *fds)
{
    for (int i = 0; i < MANY; i++)
        pc->forget(poller, ((int *)fds)[i], AC__READ, true);
    if (pc->flush != NULL)
        pc->flush(poller);
    return NULL;
}

static void in_thread(void *(*f)(void *), int *fds)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, f, fds), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* More than a backend may collect before it tells the kernel. */
static void watched_by_several_threads(void **state)
{
    static int fd[MANY];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(fd[i] >= 0);
    }
    assert_int_equal(wait_ms(0), 0);
    for (int round = 0; round < 3; round++) {
        bool told[MANY] = {false};

        in_thread(watch_elsewhere, fd);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(eventfd_write(fd[i], 1), 0);
        for (int left = MANY; left > 0;) {
            int n = wait_ms(2000);

            assert_true(n > 0);
            for (int i = 0; i < n; i++) {
                left -= !told[events[i].gen];
                told[events[i].gen] = true;
            }
        }
        in_thread(forget_elsewhere, fd);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(eventfd_write(fd[i], 1), 0);
        assert_int_equal(wait_ms(0), 0);
    }
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
}

static void *write_later(void *fd)
{
    poll(NULL, 0, 20); /* so that the other most likely sleeps */
    h_put(*(int *)fd, "x", 1);
    return NULL;
}

/* Whoever waits for the poller's descriptor is woken. */
static void descriptor_wakes_a_sleeper(void **state)
{
    struct pollfd p;
    pthread_t     thread;
    int           fd[2];

    (void)state;
    if (pc->fileno == NULL || pc->fileno(poller) < 0)
        skip();
    pair(fd);
    want(fd[0], 7, 0, AC__READ);
    assert_int_equal(wait_ms(0), 0);
    p = (struct pollfd){.fd = pc->fileno(poller), .events = POLLIN};
    for (int round = 0; round < 3; round++) {
        int64_t begin = h_now();

        assert_int_equal(pthread_create(&thread, NULL, write_later, &fd[1]), 0);
        assert_int_equal(poll(&p, 1, 10000), 1);
        assert_true(h_now() - begin < 9 * AC_SECOND); /* at its end it looks in any case */
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(one_event(fd[0], 7, 0), AC__READ);
        drain(fd[0]);
        assert_int_equal(wait_ms(0), 0);
    }
    pc->forget(poller, fd[0], AC__READ, false);
    close_pair(fd);
}

/* A close is seen by the peer though much else is to be told. */
static void close_behind_news(void **state)
{
    static int fd[MANY];
    int        end[2];

    (void)state;
    pair(end);
    want(end[0], MANY, 0, AC__READ);
    for (uint32_t i = 0; i < MANY; i++) {
        fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(fd[i] >= 0);
        want(fd[i], i, 0, AC__READ);
    }
    assert_int_equal(wait_ms(0), 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(eventfd_write(fd[i], 1), 0);
    pc->forget(poller, end[0], AC__READ, false);
    close(end[0]);
    if (pc->flush != NULL)
        pc->flush(poller);
    assert_true(h_ended(end[1]));
    close(end[1]);
    for (int i = 0; i < MANY; i++) {
        pc->forget(poller, fd[i], AC__READ, false);
        close(fd[i]);
    }
}

/* A long random sequence of changes, with a plain table as the oracle. */
static void random_changes(void **state)
{
    enum { N = 60 };
    int      fd[N][2];
    unsigned wanted[N] = {0}, seed = 12345;
    bool     told[N];

    (void)state;
    for (int i = 0; i < N; i++)
        pair(fd[i]);
    for (int round = 0; round < 150; round++) {
        int count = 0, n;

        for (int change = 0; change < 20; change++) {
            size_t   i   = (size_t)rand_r(&seed) % N;
            unsigned now = rand_r(&seed) % 3 == 0 ? 0 : AC__READ;

            if (rand_r(&seed) % 4 == 0) {
                pc->forget(poller, fd[i][0], wanted[i], true);
                wanted[i] = 0;
            } else if (now != wanted[i]) {
                want(fd[i][0], (uint32_t)i, wanted[i], now);
                wanted[i] = now;
            }
        }
        for (int i = 0; i < N; i++) {
            h_put(fd[i][1], "x", 1);
            told[i] = false;
            count += wanted[i] != 0;
        }
        n = wait_ms(0);
        assert_int_equal(n, count);
        for (int i = 0; i < n; i++) {
            assert_int_equal(events[i].fd, fd[events[i].gen][0]);
            assert_int_equal(wanted[events[i].gen], events[i].bits);
            assert_false(told[events[i].gen]);
            told[events[i].gen] = true;
        }
        for (int i = 0; i < N; i++)
            drain(fd[i][0]);
    }
    for (int i = 0; i < N; i++) {
        pc->forget(poller, fd[i][0], wanted[i], true);
        close_pair(fd[i]);
    }
    assert_int_equal(wait_ms(0), 0);
}

static void high_numbers(void **state)
{
    static const int numbers[] = {FD_SETSIZE - 1, FD_SETSIZE, FD_SETSIZE + 1, 4000};
    struct rlimit    limit, was;
    int              fd[2], high;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    limit          = was;
    limit.rlim_cur = limit.rlim_max < 5000 ? limit.rlim_max : 5000;
    assert_true(limit.rlim_cur > 4000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        pair(fd);
        high = dup2(fd[0], numbers[i]);
        assert_int_equal(high, numbers[i]);
        h_put(fd[1], "x", 1);
        if (h_is("select") && high >= FD_SETSIZE) {
            assert_int_equal(pc->set(poller, high, 5, 0, AC__READ), -EMFILE);
            assert_int_equal(wait_ms(2), 0);
            assert_int_equal(pc->set(poller, high, 5, 0, 0), 0);
        } else {
            assert_int_equal(pc->set(poller, high, 5, 0, AC__READ), 0);
            assert_int_equal(one_event(high, 5, 1000), AC__READ);
        }
        pc->forget(poller, high, AC__READ, true);
        assert_int_equal(wait_ms(0), 0);
        close(high);
        close_pair(fd);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

/* --- time ------------------------------------------------------------------------------------------- */

static void assert_never_early(void)
{
    static const int64_t waits[] = {1, 1000, 500000, 999999, 1000000, 1000001, 2345678, 15000001};

    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        for (int again = 0; again < 5; again++) {
            int64_t begin = h_now();

            assert_int_equal(pc->wait(poller, waits[i], events, MAX), 0);
            assert_true(h_now() - begin >= waits[i]);
            assert_true(h_now() - begin < AC_SECOND);
        }
    }
}

static void waits_are_never_early(void **state)
{
    int fd[2];

    (void)state;
    assert_never_early();
    pair(fd);
    want(fd[0], 1, 0, AC__READ);
    assert_never_early();
    pc->forget(poller, fd[0], AC__READ, false);
    close_pair(fd);
}

static atomic_bool enough;

static void *send_now_and_then(void *fd)
{
    for (int i = 0; i < 100 && !atomic_load(&enough); i++) {
        h_put(*(int *)fd, "x", 1);
        poll(NULL, 0, 20);
    }
    return NULL;
}

/*
 * Data that comes where only urgent data is wanted wakes a wait that has nothing to tell (io_uring's, by
 * the set inside). That makes no wait longer.
 */
static void woken_for_nothing(void **state)
{
    pthread_t thread;
    int       fd[2];

    (void)state;
    h_raw_pair(fd);
    want(fd[0], 9, 0, AC__PRI | AC__WATCH);
    assert_int_equal(wait_ms(1), 0);
    atomic_store(&enough, false);
    assert_int_equal(pthread_create(&thread, NULL, send_now_and_then, &fd[1]), 0);
    for (int i = 0; i < 2; i++) {
        int64_t begin = h_now();

        assert_true(wait_ms(100) <= 1); /* select() tells of what is readable once */
        assert_true(h_now() - begin < AC_SECOND);
    }
    atomic_store(&enough, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pc->forget(poller, fd[0], AC__PRI, true);
    close_pair(fd);
}

static void on_alarm(int signo)
{
    (void)signo;
}

/* Waits without limit, and those beyond what a system call can count, go on until something comes. */
static void long_waits(void **state)
{
    static const int64_t   waits[] = {INT64_MAX, INT64_MAX - 1, INT64_C(1) << 62, 1 << 30};
    const struct itimerval soon = {{0, 0}, {0, 20000}}, never = {{0, 0}, {0, 0}};
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct sigaction       was;

    (void)state;
    sigaction(SIGALRM, &action, &was);
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        int64_t begin = h_now();

        setitimer(ITIMER_REAL, &soon, NULL);
        assert_int_equal(pc->wait(poller, waits[i], events, MAX), -EINTR);
        assert_true(h_now() - begin >= 15 * AC_MILLISECOND);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &was, NULL);
    alarm(60);
    assert_int_equal(pc->wait(poller, -1, events, MAX), 0);
    assert_int_equal(pc->wait(poller, INT64_MIN, events, MAX), 0);
}

/* A kernel, or a container, without epoll_pwait2(): milliseconds, rounded up. */
static void without_the_fine_call(void **state)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};
    pid_t                   pid;
    int                     status;

    (void)state;
    if (!h_is("epoll"))
        return;
    pid = fork();
    if (pid == 0) {
        int64_t begin;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
            _exit(3);
        if (pc->open(&poller) != 0)
            _exit(4);
        for (int i = 0; i < 3; i++) {
            begin = h_now();
            if (pc->wait(poller, 2000001, events, MAX) != 0)
                _exit(5);
            /* Three whole milliseconds, or what the call refused would have been used. */
            if (h_now() - begin < 3 * AC_MILLISECOND)
                _exit(6);
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* --- registrations that outlive their descriptor ------------------------------------------------------ */

static void stale_registration(void **state)
{
    int fd[2], twin, number;

    (void)state;
    if (pc->stale == NULL)
        return;
    pair(fd);
    number = fd[0];
    want(number, 1, 0, AC__READ);
    twin = dup(number);
    close(number);
    h_put(fd[1], "x", 1);
    /* The event of a descriptor that is closed, which cannot be removed by its number. */
    assert_int_equal(one_event(number, 1, 1000), AC__READ);
    assert_int_equal(pc->stale(poller, number, false), -EBADF);
    assert_int_equal(pc->stale(poller, number, true), -EBADF);

    /* The file is back at its number, and no channel's: it can. */
    assert_int_equal(dup2(twin, number), number);
    h_put(fd[1], "x", 1);
    assert_int_equal(one_event(number, 1, 1000), AC__READ);
    assert_int_equal(pc->stale(poller, number, true), -EBADF);
    assert_int_equal(pc->stale(poller, number, false), 0);
    h_put(fd[1], "x", 1);
    assert_int_equal(wait_ms(2), 0);
    close(number);
    close(twin);
    close(fd[1]);
}

/* The set knows the number, and the caller does not; and the other way round. */
static void registrations_are_mended(void **state)
{
    int fd[2], twin, number;

    (void)state;
    pair(fd);
    number = fd[0];
    want(number, 1, 0, AC__READ);
    twin = dup(number);
    close(number);
    assert_int_equal(dup2(twin, number), number);
    want(number, 2, 0, AC__READ);
    h_put(fd[1], "x", 1);
    assert_int_equal(one_event(number, 2, 1000), AC__READ);
    pc->forget(poller, number, AC__READ, true);
    close(twin);
    close(number);
    close(fd[1]);

    pair(fd);
    want(fd[0], 3, AC__READ, AC__READ | AC__WRITE);
    assert_int_equal(one_event(fd[0], 3, 1000), AC__WRITE);
    pc->forget(poller, fd[0], AC__READ | AC__WRITE, true);
    want(fd[0], 3, AC__READ, 0);
    close_pair(fd);
}

/* The set made anew: empty, with the number of the old one, and rid of what outlived its close. */
static void set_made_anew(void **state)
{
    int fd[2], other[2], twin, number, own;

    (void)state;
    assert_true((pc->stale == NULL) == (pc->renew == NULL));
    if (pc->renew == NULL)
        return;
    own = pc->fileno(poller);
    pair(fd);
    pair(other);
    number = fd[0];
    want(number, 1, 0, AC__READ);
    want(other[0], 2, 0, AC__READ);
    twin = dup(number);
    close(number);
    h_put(fd[1], "x", 1);
    h_put(other[1], "x", 1);
    h_wait(own, POLLIN);
    assert_int_equal(pc->renew(poller), 0);
    assert_int_equal(pc->fileno(poller), own);
    assert_true(fcntl(own, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(wait_ms(2), 0);
    want(other[0], 3, 0, AC__READ);
    h_wait(own, POLLIN);
    assert_int_equal(one_event(other[0], 3, 1000), AC__READ);
    h_put(fd[1], "x", 1);
    assert_int_equal(wait_ms(2), 0);

    /* No descriptor for it: the old one stays as it is. */
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none          = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(pc->renew(poller), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    h_put(other[1], "x", 1);
    assert_int_equal(one_event(other[0], 3, 1000), AC__READ);
    close(twin);
    close(fd[1]);
    close_pair(other);
}

/* --- its own life ------------------------------------------------------------------------------------- */

static void descriptor_of_the_set(void **state)
{
    int fd[2], own = pc->fileno != NULL ? pc->fileno(poller) : -1;

    (void)state;
    if (!h_edges()) {
        assert_int_equal(own, -1);
        return;
    }
    assert_true(fcntl(own, F_GETFD) & FD_CLOEXEC);
    pair(fd);
    for (int i = 0; i < 20; i++) {
        want(fd[0], 1, i == 0 ? 0 : AC__READ, AC__READ);
        if (pc->flush != NULL)
            pc->flush(poller);
        h_put(fd[1], "x", 1);
        h_wait(own, POLLIN);
        assert_int_equal(one_event(fd[0], 1, 0), AC__READ);
        drain(fd[0]);
        assert_int_equal(poll(&(struct pollfd){.fd = own, .events = POLLIN}, 1, 0), 0);
    }
    pc->forget(poller, fd[0], AC__READ, false);
    close_pair(fd);
}

/* The descriptor stays readable while a batch has left something: also of what is watched inside. */
static void descriptor_tells_what_is_left(void **state)
{
    enum { N = MAX + 20 };
    struct pollfd own = {.events = POLLIN};
    int           fd[N][2], n = 0;

    (void)state;
    if (!h_edges())
        return;
    own.fd = pc->fileno(poller);
    for (unsigned kind = 0; kind < 2; kind++) {
        for (uint32_t i = 0; i < N; i++) {
            assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fd[i]), 0);
            want(fd[i][0], i, 0, kind == 0 ? AC__READ : AC__READ | AC__EXACT);
            h_put(fd[i][1], "x", 1);
        }
        for (int left = N; left > 0; left -= n) {
            if (pc->flush != NULL)
                pc->flush(poller);
            assert_int_equal(poll(&own, 1, 2000), 1);
            n = wait_ms(0);
            for (int i = 0; i < n; i++)
                drain(events[i].fd);
        }
        for (int i = 0; i < N; i++) {
            pc->forget(poller, fd[i][0], AC__READ, true);
            close_pair(fd[i]);
        }
        assert_int_equal(wait_ms(0), 0);
    }
}

static void child_leaves_the_parents_alone(void **state)
{
    int   fd[2], status;
    pid_t pid;

    (void)state;
    pair(fd);
    want(fd[0], 1, 0, AC__READ);
    pid = fork();
    if (pid == 0) {
        pc->close(poller, true);
        close(fd[0]);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    h_put(fd[1], "x", 1);
    assert_int_equal(one_event(fd[0], 1, 1000), AC__READ);
    pc->forget(poller, fd[0], AC__READ, true);
    close_pair(fd);
}

static void out_of_memory(void **state)
{
    ac__poller *other;
    int         fd[2], failed = 0;

    (void)state;
    h_alloc_fail = h_alloc_calls + 1;
    assert_int_equal(pc->open(&other), -ENOMEM);
    h_alloc_fail = 0;

    pair(fd);
    for (int k = 1;; k++) {
        int rc;

        assert_int_equal(pc->open(&other), 0);
        h_alloc_fail = h_alloc_calls + k;
        rc           = pc->set(other, fd[0], 1, 0, AC__WRITE);
        h_alloc_fail = 0;
        if (rc < 0) {
            failed++;
            assert_int_equal(rc, -ENOMEM);
            assert_int_equal(pc->wait(other, 0, events, MAX), 0);
            assert_int_equal(pc->set(other, fd[0], 1, 0, AC__WRITE), 0);
        }
        assert_int_equal(pc->wait(other, 0, events, MAX), 1);
        pc->close(other, false);
        if (rc == 0)
            break;
    }
    assert_true(h_is("poll") ? failed > 0 : failed == 0);
    close_pair(fd);
}

static void out_of_descriptors(void **state)
{
    struct rlimit limit, was;
    ac__poller   *other = NULL;

    (void)state;
    if (!h_is("epoll"))
        return;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    limit          = was;
    limit.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(pc->open(&other), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_null(other);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(best_first),
        TEST(nothing_is_reported_of_nothing),
        TEST(each_arrival_is_reported),
        TEST(room_is_reported),
        TEST(both_sides_at_once),
        TEST(a_change_reports_what_is_ready),
        TEST(forgotten_is_silent),
        TEST(bad_numbers),
        TEST(hang_up_of_a_watched_one),
        TEST(half_close_then_hang_up),
        TEST(unwanted_data),
        TEST(unwanted_data_does_not_shorten_waits),
        TEST(end_of_stream_is_readable),
        TEST(pipes),
        TEST(out_of_band),
        TEST(regular_file),
        TEST(closed_behind_the_back),
        TEST(full_batches_are_fair),
        TEST(more_than_fits),
        TEST(waited_for_by_several_threads),
        TEST(watched_by_several_threads),
        TEST(descriptor_wakes_a_sleeper),
        TEST(close_behind_news),
        TEST(random_changes),
        TEST(high_numbers),
        TEST(waits_are_never_early),
        TEST(woken_for_nothing),
        TEST(long_waits),
        TEST(without_the_fine_call),
        TEST(stale_registration),
        TEST(registrations_are_mended),
        TEST(set_made_anew),
        TEST(descriptor_of_the_set),
        TEST(descriptor_tells_what_is_left),
        TEST(child_leaves_the_parents_alone),
        TEST(out_of_memory),
        TEST(out_of_descriptors),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
