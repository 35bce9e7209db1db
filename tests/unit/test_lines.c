/* SPDX-License-Identifier: MIT */
/*
 * Two loops in two threads write to no line of cache in common: what each event costs does not grow
 * with the number of loops. Seen are the reads and writes of the library's own code; the C library's
 * and the kernel's are not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asyncore.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "lines.h"

enum { PAIRS = 8, EVENTS = 20000, OFTEN = EVENTS / 20 };

static const int64_t MINUTE = 60000000000;

static atomic_uint ended; /* threads that had all of their events */

/* One of two loops. */
struct side {
    ac_loop  *loop;
    ac_timer  timer;
    unsigned  index, events;
    pthread_t thread;
    int       rc;
};

static struct side sides[LINE_THREADS];

struct end {
    ac_dispatcher base;
    struct side  *side;
};

static void count(struct side *s)
{
    s->events++;
    if (s->events == EVENTS / 2)
        lines_begin(s->index);
    if (s->events == EVENTS + EVENTS / 2) {
        lines_end();
        ended++;
    }
    if (ended == LINE_THREADS)
        ac_stop(s->loop);
}

/* Bytes go to and fro for ever; the timer moves on with each. */
static void handle_read(ac_dispatcher *d)
{
    struct end *e = AC_SELF(struct end, d);
    const void *data;
    ssize_t     n = ac_read(d, &data);

    if (n <= 0)
        return;
    (void)ac_timer_start(&e->side->timer, MINUTE);
    (void)ac_write(d, data, (size_t)n);
    count(e->side);
}

static void handle_timer(ac_timer *t)
{
    (void)t;
}

static const ac_class end_class = {.name = "End", .handle_read = handle_read};

static struct end *open_end(struct side *s, int fd)
{
    struct end *e = ac_new(struct end, s->loop, &end_class);

    if (e == NULL || ac_attach(&e->base, ac_sock_from_fd(s->loop, fd)) < 0)
        return NULL;
    e->side = s;
    (void)ac_set_timeout(&e->base, AC_IDLE, MINUTE);
    return e;
}

static int set_up(struct side *s)
{
    ac_timer_init(&s->timer, s->loop, handle_timer);
    for (int i = 0; i < PAIRS; i++) {
        int         fd[2];
        struct end *e;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) < 0)
            return -errno;
        e = open_end(s, fd[0]);
        if (e == NULL || open_end(s, fd[1]) == NULL)
            return -ENOMEM;
        (void)ac_write(&e->base, "x", 1);
    }
    return 0;
}

static void clear(void)
{
    lines_clear();
    ended = 0;
    memset(sides, 0, sizeof sides);
}

static void check(void)
{
    for (unsigned i = 0; i < LINE_THREADS; i++)
        assert_true(lines_written(i, OFTEN) > 0);
    assert_int_equal(lines_shared(OFTEN), 0);
}

static int start(ac_loop *loop, unsigned index, void *arg)
{
    (void)arg;
    sides[index].loop  = loop;
    sides[index].index = index;
    return set_up(&sides[index]);
}

static void of_workers(void **state)
{
    (void)state;
    clear();
    assert_int_equal(ac_workers(LINE_THREADS, start, NULL), 1);
    check();
}

static void *thread_main(void *arg)
{
    struct side *s = arg;

    s->rc = set_up(s);
    if (s->rc == 0)
        s->rc = ac_run(s->loop);
    return NULL;
}

/* Loops that lie side by side in memory. */
static void of_one_maker(void **state)
{
    (void)state;
    clear();
    for (unsigned i = 0; i < LINE_THREADS; i++) {
        sides[i].loop  = ac_loop_new();
        sides[i].index = i;
        assert_non_null(sides[i].loop);
    }
    for (unsigned i = 0; i < LINE_THREADS; i++)
        assert_int_equal(pthread_create(&sides[i].thread, NULL, thread_main, &sides[i]), 0);
    for (unsigned i = 0; i < LINE_THREADS; i++) {
        assert_int_equal(pthread_join(sides[i].thread, NULL), 0);
        assert_int_equal(sides[i].rc, 1);
        assert_int_equal(ac_loop_free(sides[i].loop), 0);
    }
    check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_workers),
        cmocka_unit_test(of_one_maker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
