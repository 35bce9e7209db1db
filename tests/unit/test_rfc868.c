/* SPDX-License-Identifier: MIT */
/* The time protocol's client: answers, what is no answer, and time, against raw servers whose every
 * byte is known and against the server of the library. */
#include "rfc868.h"

/* --- a clock of the test's ------------------------------------------------------------------- */

static int64_t wall_now;

static int64_t wall(ac__sys *s)
{
    (void)s;
    return wall_now;
}

static ac_loop *loop_at(ac__sys *sys, int64_t when)
{
    ac_loop *loop;

    *sys      = ac__sys_posix;
    sys->wall = wall;
    wall_now  = when;
    loop      = ac__loop_new_sys(NULL, sys);
    assert_non_null(loop);
    return loop;
}

/* --- the answer ------------------------------------------------------------------------------ */

static void test_both_ends(void **state)
{
    ac_loop       *loop = *state;
    ac_time_server server;
    struct asked   a = {.calls = 0};

    for (ac_rfc868_transport t = AC_RFC868_TCP; t <= AC_RFC868_UDP; t++) {
        assert_int_equal(ac_time_server_start(&server, loop, NULL, 0, t), 0);
        assert_true(ac_local_port(&server.base) > 0);
        start(&a, loop, ac_local_port(&server.base), t, WAIT);
        H_UNTIL(loop, a.calls > 0);
        assert_int_equal(a.err, 0);
        assert_in_range(a.delta, 0, 1);
        ac_close(&server.base);
        drain(loop);
        assert_int_equal(a.calls, 1);
    }
    assert_int_equal(ac_run(loop), 0);
}

static void test_differences(void **state)
{
    static const int64_t wrap = (INT64_C(1) << 32) - AC_RFC868_EPOCH;
    const struct {
        int64_t  when; /* the clock here */
        uint32_t there;
        int32_t  delta;
    } cases[] = {
        {0, AC_RFC868_EPOCH, 0},
        {0, AC_RFC868_EPOCH + 1, -1},
        {0, AC_RFC868_EPOCH - 1, 1},
        {-1, AC_RFC868_EPOCH, -1},
        {wrap - 1, UINT32_MAX, 0},
        {wrap - 1, 0, -1},
        {wrap, 0, 0},
        {wrap, UINT32_MAX, 1},
        {wrap + 5, 5, 0},
        {wrap + 5, UINT32_MAX, 6},
        {wrap + 5, UINT32_MAX - 9, 15},
        {wrap - 5, 5, -10},
        {0, AC_RFC868_EPOCH + INT32_MAX, -INT32_MAX},
        {0, AC_RFC868_EPOCH - INT32_MAX, INT32_MAX},
        {0, AC_RFC868_EPOCH + (UINT32_C(1) << 31), INT32_MIN},
        {wrap, UINT32_C(1) << 31, INT32_MIN},
        {wrap + 100, INT32_MAX, -INT32_MAX + 100},
    };
    ac__sys sys;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ac_loop     *loop = loop_at(&sys, cases[i].when);
        struct asked a    = {.calls = 0};
        uint8_t      bytes[4];
        int          fd = start_raw(&a, loop, WAIT);

        ac_put_be32(bytes, cases[i].there);
        h_put(fd, bytes, sizeof bytes);
        close(fd);
        H_UNTIL(loop, a.calls > 0);
        assert_int_equal(a.err, 0);
        assert_int_equal(a.delta, cases[i].delta);
        assert_int_equal(ac_loop_free(loop), 0);
    }
}

/* "Here" is when the fourth byte comes, not when the connection ends. */
static void test_clock_is_read_with_the_fourth_byte(void **state)
{
    ac__sys      sys;
    ac_loop     *loop = loop_at(&sys, 1000);
    struct asked a    = {.calls = 0};
    int          fd   = start_raw(&a, loop, WAIT);
    uint8_t      bytes[4];

    (void)state;
    ac_put_be32(bytes, AC_RFC868_EPOCH + 1000);
    h_put(fd, bytes, 1);
    H_UNTIL(loop, a.base.got_ == 1);
    wall_now = 1010;
    h_put(fd, bytes + 1, 3);
    H_UNTIL(loop, a.base.got_ == 4);
    wall_now = 2000;
    close(fd);
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, 0);
    assert_int_equal(a.delta, 10);
    assert_int_equal(ac_loop_free(loop), 0);
}

/* --- what is no answer ----------------------------------------------------------------------- */

static void test_lengths_over_tcp(void **state)
{
    static const int errors[] = {-AC_EEOF,   -AC_ETRUNCATED, -AC_ETRUNCATED, -AC_ETRUNCATED,
                                 0,          -AC_EPROTO,     -AC_EPROTO,     -AC_EPROTO,
                                 -AC_EPROTO, -AC_EPROTO};
    ac_loop         *loop     = *state;

    for (size_t len = 0; len < sizeof errors / sizeof errors[0]; len++) {
        struct asked a  = {.calls = 0};
        int          fd = start_raw(&a, loop, WAIT);

        h_put(fd, "\1\2\3\4\5\6\7\10\11", len);
        close(fd);
        H_UNTIL(loop, a.calls > 0);
        assert_int_equal(a.err, errors[len]);
    }
}

static void test_lengths_byte_by_byte(void **state)
{
    ac_loop     *loop = *state;
    struct asked a    = {.calls = 0};
    int          fd   = start_raw(&a, loop, WAIT);

    for (unsigned i = 1; i <= 4; i++) {
        h_put(fd, "x", 1);
        H_UNTIL(loop, a.base.got_ == i);
        assert_int_equal(a.calls, 0);
    }
    h_put(fd, "x", 1);
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, -AC_EPROTO);
    close(fd);
}

static void test_lengths_over_udp(void **state)
{
    ac_loop *loop = *state;
    uint16_t port;
    int      fd = raw_udp(&port);

    for (size_t len = 0; len <= 9; len++) {
        struct asked a = {.calls = 0};

        start(&a, loop, port, AC_RFC868_UDP, WAIT);
        H_UNTIL(loop, ac_is_connected(&a.base.base));
        answer_udp(fd, "\1\2\3\4\5\6\7\10\11", len);
        H_UNTIL(loop, a.calls > 0);
        assert_int_equal(a.err, len == 4 ? 0 : -AC_EPROTO);
    }
    close(fd);
}

static void test_reset(void **state)
{
    ac_loop *loop = *state;

    for (unsigned len = 0; len <= 4; len++) {
        struct asked a  = {.calls = 0};
        int          fd = start_raw(&a, loop, WAIT);

        if (len > 0) {
            h_put(fd, "\1\2\3\4", len);
            H_UNTIL(loop, a.base.got_ == len);
        }
        h_reset(fd);
        H_UNTIL(loop, a.calls > 0);
        assert_int_equal(a.err, len == 4 ? 0 : -ECONNRESET);
    }
}

static void test_refused(void **state)
{
    ac_loop     *loop = *state;
    struct asked a    = {.calls = 0};
    ac_addr      addr;
    int64_t      begin;
    uint16_t     port;

    close(h_raw_listen(&addr, "127.0.0.1", 1));
    start(&a, loop, ac_addr_port(&addr), AC_RFC868_TCP, WAIT);
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, -ECONNREFUSED);
    close(raw_udp(&port));
    begin = h_now();
    start(&a, loop, port, AC_RFC868_UDP, WAIT);
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, -ECONNREFUSED);
    assert_true(h_now() - begin < AC_SECOND); /* not only when it is asked again */
}

static void test_bad_name(void **state)
{
    ac_loop     *loop = *state;
    struct asked a    = {.calls = 0};

    assert_int_equal(
        ac_time_request_start(&a.base, loop, "1.2.3.4 x", 37, AC_RFC868_TCP, WAIT, told), 0);
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, -AC_ENAME);
}

static void test_misuse(void **state)
{
    ac_loop        *loop = *state;
    ac_time_request r;
    ac_time_server  s, s2;

    assert_int_equal(ac_time_request_start(NULL, loop, "::1", 1, AC_RFC868_TCP, 1, told), -EINVAL);
    assert_int_equal(ac_time_request_start(&r, NULL, "::1", 1, AC_RFC868_TCP, 1, told), -EINVAL);
    assert_int_equal(ac_time_request_start(&r, loop, NULL, 1, AC_RFC868_TCP, 1, told), -EINVAL);
    assert_int_equal(ac_time_request_start(&r, loop, "::1", 0, AC_RFC868_TCP, 1, told), -EINVAL);
    assert_int_equal(ac_time_request_start(&r, loop, "::1", 0, AC_RFC868_UDP, 1, told), -EINVAL);
    assert_int_equal(ac_time_request_start(&r, loop, "::1", 1, (ac_rfc868_transport)2, 1, told),
                     -EINVAL);
    assert_int_equal(ac_time_request_start(&r, loop, "::1", 1, AC_RFC868_TCP, 1, NULL), -EINVAL);
    assert_int_equal(ac_time_server_start(NULL, loop, NULL, 0, AC_RFC868_TCP), -EINVAL);
    assert_int_equal(ac_time_server_start(&s, NULL, NULL, 0, AC_RFC868_TCP), -EINVAL);
    assert_int_equal(ac_time_server_start(&s, loop, NULL, 0, (ac_rfc868_transport)2), -EINVAL);
    assert_int_equal(ac_time_server_start(&s, loop, "localhost", 0, AC_RFC868_TCP), -EINVAL);
    ac_time_request_cancel(NULL);
    assert_int_equal(ac_time_server_start(&s, loop, "127.0.0.1", 0, AC_RFC868_TCP), 0);
    assert_int_equal(
        ac_time_server_start(&s2, loop, "127.0.0.1", ac_local_port(&s.base), AC_RFC868_TCP),
        -EADDRINUSE);
    ac_close(&s.base);
    assert_int_equal(h_stats(loop).timers, 0);
    assert_int_equal(ac_run(loop), 0); /* nothing was left on the loop */
}

/* --- time ------------------------------------------------------------------------------------ */

static void test_deadline(void **state)
{
    static const struct {
        size_t  sent;
        int64_t timeout;
        int     err;
    } cases[] = {
        {0, 30 * AC_MILLISECOND, -ETIMEDOUT},
        {3, 30 * AC_MILLISECOND, -ETIMEDOUT},
        {4, 30 * AC_MILLISECOND, 0}, /* the wait for the end is bounded by what is left */
        {4, WAIT, 0},                /* and by a second */
        {4, AC_FOREVER, 0},
    };
    ac_loop *loop = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asked a     = {.calls = 0};
        int64_t      begin = h_now(), took;
        int          fd    = start_raw(&a, loop, cases[i].timeout);

        h_put(fd, "\1\2\3\4", cases[i].sent);
        H_UNTIL(loop, a.calls > 0);
        took = h_now() - begin;
        assert_int_equal(a.err, cases[i].err);
        assert_true(took >= (cases[i].timeout < AC_SECOND ? cases[i].timeout : AC_SECOND));
        assert_true(took < (cases[i].timeout < AC_SECOND ? AC_SECOND : 3 * AC_SECOND));
        close(fd);
    }
}

static void test_no_time_at_all(void **state)
{
    ac_loop     *loop = *state;
    struct asked a    = {.calls = 0};
    ac_addr      addr;
    int          listener = h_raw_listen(&addr, "127.0.0.1", 1);

    start(&a, loop, ac_addr_port(&addr), AC_RFC868_TCP, -1);
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, -ETIMEDOUT);
    start(&a, loop, ac_addr_port(&addr), AC_RFC868_TCP, 0);
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, -ETIMEDOUT);
    close(listener);
}

/* A loop that was idle for long has an old time: the deadline counts from the call. */
static void test_deadline_counts_from_the_start(void **state)
{
    ac_loop      *loop = *state;
    struct asked  a    = {.calls = 0};
    struct pollfd none = {.fd = -1};
    uint16_t      port;
    int           fd = raw_udp(&port);
    int64_t       begin;

    assert_true(ac_loop_turn(loop, 0) >= 0);
    assert_int_equal(poll(&none, 1, 60), 0); /* what passes is the very subject */
    begin = h_now();
    start(&a, loop, port, AC_RFC868_UDP, 40 * AC_MILLISECOND);
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, -ETIMEDOUT);
    assert_true(h_now() - begin >= 40 * AC_MILLISECOND);
    close(fd);
}

static int64_t ahead;

static int64_t monotonic(ac__sys *s)
{
    return ac__sys_posix.monotonic(s) + ahead;
}

/* The 30 seconds of ac_connect() do not hold here: the timeout of the question does. */
static void test_deadline_bounds_the_connect(void **state)
{
    ac__sys      sys  = ac__sys_posix;
    ac_loop     *loop = loop_at(&sys, 1000);
    struct asked a    = {.calls = 0};
    ac_addr      addr;
    int          listener = h_raw_listen(&addr, "127.0.0.1", 0);
    int          fill     = h_raw_connect(&addr); /* nobody else gets in */

    (void)state;
    ahead         = 0;
    sys.monotonic = monotonic;
    start(&a, loop, ac_addr_port(&addr), AC_RFC868_TCP, 60 * AC_SECOND);
    H_UNTIL(loop, a.base.base.source_.fd >= 0 || h_stats(loop).turns > 3);
    ahead = 40 * AC_SECOND;
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(a.calls, 0);
    assert_false(ac_is_connected(&a.base.base));
    ahead = 61 * AC_SECOND;
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, -ETIMEDOUT);
    assert_int_equal(ac_loop_free(loop), 0);
    close(fill);
    close(listener);
}

static void test_question_is_repeated(void **state)
{
    ac_loop     *loop = *state;
    struct asked a    = {.calls = 0};
    uint16_t     port;
    int          fd    = raw_udp(&port);
    int64_t      begin = h_now();
    char         c;

    start(&a, loop, port, AC_RFC868_UDP, AC_FOREVER);
    H_UNTIL(loop, recv(fd, &c, 1, MSG_DONTWAIT) == 0); /* lost */
    H_UNTIL(loop, recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0);
    assert_true(h_now() - begin >= AC_SECOND);
    answer_udp(fd, "\1\2\3\4", 4);
    H_UNTIL(loop, a.calls > 0);
    assert_int_equal(a.err, 0);
    close(fd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_both_ends),
        TEST(test_differences),
        TEST(test_clock_is_read_with_the_fourth_byte),
        TEST(test_lengths_over_tcp),
        TEST(test_lengths_byte_by_byte),
        TEST(test_lengths_over_udp),
        TEST(test_reset),
        TEST(test_refused),
        TEST(test_bad_name),
        TEST(test_misuse),
        TEST(test_deadline),
        TEST(test_no_time_at_all),
        TEST(test_deadline_counts_from_the_start),
        TEST(test_deadline_bounds_the_connect),
        TEST(test_question_is_repeated),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
