/* SPDX-License-Identifier: MIT */
/* The time protocol's client: who is called, when its storage is free, and what happens without
 * memory. */
#include "rfc868.h"

#include <fcntl.h>

/* --- lifetime -------------------------------------------------------------------------------- */

static void test_cancel(void **state)
{
    ac_loop     *loop = *state;
    struct asked a    = {.calls = 0};
    ac_addr      addr;
    int          fd, listener = h_raw_listen(&addr, "127.0.0.1", 1);

    start(&a, loop, ac_addr_port(&addr), AC_RFC868_TCP, WAIT); /* before a turn has run */
    ac_time_request_cancel(&a.base);
    ac_time_request_cancel(&a.base);
    H_UNTIL(loop, h_stats(loop).channels == 0);
    assert_int_equal(a.calls, 0);
    close(listener);

    fd = start_raw(&a, loop, WAIT); /* while it waits for the answer */
    h_put(fd, "\1\2\3\4", 4);
    ac_time_request_cancel(&a.base);
    assert_int_equal(h_stats(loop).timers, 0);
    H_UNTIL(loop, h_stats(loop).channels == 0);
    assert_int_equal(a.calls, 0);
    close(fd);

    start(&a, loop, 9, AC_RFC868_UDP, WAIT);
    ac_time_request_cancel(&a.base);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(a.calls, 0);
}

static struct asked *victim;

static void cancel_victim(struct asked *a)
{
    (void)a;
    ac_time_request_cancel(&victim->base);
}

/* Both have their answer in the same batch: at most one of the two is told. */
static void test_cancel_another(void **state)
{
    ac_loop     *loop = *state;
    struct asked a[2] = {{.then = cancel_victim}, {.then = cancel_victim}};
    int          fd[2];

    fd[0]  = start_raw(&a[0], loop, WAIT);
    fd[1]  = start_raw(&a[1], loop, WAIT);
    victim = &a[1];
    for (int i = 0; i < 2; i++) {
        h_put(fd[i], "\1\2\3\4", 4);
        close(fd[i]);
    }
    H_UNTIL(loop, h_stats(loop).channels == 0);
    assert_int_equal(a[0].calls, 1);
    assert_in_range(a[1].calls, 0, 1);
}

static void test_close_is_told(void **state)
{
    ac_loop     *loop = *state;
    struct asked a    = {.calls = 0};
    int          fd   = start_raw(&a, loop, AC_MILLISECOND);
    int64_t      end  = h_now() + 5 * AC_MILLISECOND;

    ac_close(&a.base.base);
    while (h_now() < end)
        ; /* so that the deadline is passed when the turn begins */
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, -AC_ECANCELED);
    assert_int_equal(h_stats(loop).timers, 0);
    close(fd);
}

static int      again_left;
static uint16_t again_port;

static void again(struct asked *a)
{
    assert_int_equal(a->err, 0);
    memset(&a->base, 0xa5, sizeof a->base); /* the storage is ours */
    if (again_left-- > 0) {
        int calls = a->calls;

        start(a, victim->base.base.loop, again_port, again_left % 2 ? AC_RFC868_TCP : AC_RFC868_UDP,
              WAIT);
        a->calls = calls;
    }
}

static void test_storage_is_used_again(void **state)
{
    ac_loop       *loop = *state;
    ac_time_server tcp, udp;
    struct asked   a = {.then = again}, keeper;

    victim           = &keeper;
    keeper.base.base = (ac_dispatcher){.loop = loop};
    assert_int_equal(ac_time_server_start(&tcp, loop, "127.0.0.1", 0, AC_RFC868_TCP), 0);
    again_port = ac_local_port(&tcp.base);
    assert_int_equal(ac_time_server_start(&udp, loop, "127.0.0.1", again_port, AC_RFC868_UDP), 0);
    again_left = 20;
    start(&a, loop, again_port, AC_RFC868_TCP, WAIT);
    H_UNTIL(loop, again_left < 0);
    assert_int_equal(a.calls, 21);
    ac_close(&tcp.base);
    ac_close(&udp.base);
    drain(loop);
}

static int freed;

static void free_it(struct asked *a)
{
    freed++;
    free(a);
}

static void test_storage_is_freed(void **state)
{
    ac_loop      *loop = *state;
    struct asked *a    = calloc(1, sizeof *a);
    int           fd;

    freed = 0;
    assert_non_null(a);
    a->then = free_it;
    fd      = start_raw(a, loop, WAIT);
    h_put(fd, "\1\2\3\4", 4);
    close(fd);
    H_UNTIL(loop, freed > 0);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(freed, 1);
}

static void test_loop_ends_first(void **state)
{
    ac_loop     *loop = *state;
    struct asked a[3] = {{.calls = 0}};
    int          fd   = start_raw(&a[0], loop, WAIT);

    start(&a[1], loop, 9, AC_RFC868_UDP, WAIT);
    start(&a[2], loop, 9, AC_RFC868_TCP, WAIT);
    assert_int_equal(ac_loop_free(loop), 0);
    H_LOOP_GONE(state);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].err, -AC_ECANCELED);
    }
    close(fd);
}

/* --- memory ---------------------------------------------------------------------------------- */

/* One exchange in which an allocation fails, or all from it on: it ends, by an answer or an error. */
static bool exchange_within(ac_rfc868_transport transport, long fail, bool on, int64_t timeout,
                            int *err)
{
    ac_loop       *loop;
    ac_time_server server;
    struct asked   a   = {.calls = 0};
    bool           hit = false;

    loop = ac_loop_new();
    assert_non_null(loop);
    h_alloc_calls   = 0;
    h_alloc_fail    = fail;
    h_alloc_fail_on = on;
    if (ac_time_server_start(&server, loop, "127.0.0.1", 0, transport) == 0) {
        int rc = ac_time_request_start(&a.base, loop, "127.0.0.1", ac_local_port(&server.base),
                                       transport, timeout, told);

        if (rc == 0) {
            struct h_bound b = h_bound(2000);

            while (a.calls == 0 && ac_loop_turn(loop, timeout) >= 0)
                if (b.turns-- == 0)
                    break;
        } else {
            assert_int_equal(rc, -ENOMEM);
        }
    }
    hit             = h_alloc_calls >= fail;
    h_alloc_fail    = 0;
    h_alloc_fail_on = false;
    assert_int_equal(ac_loop_free(loop), 0);
    assert_in_range(a.calls, 0, 1);
    assert_true(hit || a.calls == 1);
    *err = a.err;
    return hit;
}

/* Not for long, as one that lost its memory would wait; but one that lost nothing has the time. */
static bool exchange(ac_rfc868_transport transport, long fail, bool on)
{
    int  err;
    bool hit = exchange_within(transport, fail, on, 50 * AC_MILLISECOND, &err);

    if (!hit && err == -ETIMEDOUT)
        hit = exchange_within(transport, fail, on, 20 * AC_SECOND, &err);
    assert_true(hit || err == 0);
    return hit;
}

/* With other numbers of descriptors, so that the tables that they index grow at another place. */
static void test_out_of_memory(void **state)
{
    int plug[40];

    (void)state;
    for (size_t n = 0; n < sizeof plug / sizeof plug[0]; n++) {
        for (int i = 0; i < 4; i++) {
            long fail = 1;

            while (exchange(i % 2 ? AC_RFC868_UDP : AC_RFC868_TCP, fail, i / 2 > 0))
                fail++;
            assert_true(fail > 1);
        }
        plug[n] = fcntl(0, F_DUPFD_CLOEXEC, 0);
        assert_true(plug[n] >= 0);
    }
    for (size_t n = 0; n < sizeof plug / sizeof plug[0]; n++)
        close(plug[n]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_cancel),           TEST(test_cancel_another),
        TEST(test_close_is_told),    TEST(test_storage_is_used_again),
        TEST(test_storage_is_freed), TEST(test_loop_ends_first),
        TEST(test_out_of_memory),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
