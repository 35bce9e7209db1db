/* SPDX-License-Identifier: MIT */
/* The time protocol's server against raw clients, good and bad. */
#include "harness.h"

#include <netinet/in.h>

/* The loop of the harness logs, for the sake of its probes; here there are none. */
static int setup(void **state)
{
    int rc = h_setup(state);

    if (rc != 0 || ac_loop_free(*state) != 0)
        return -1;
    *state = ac_loop_new();
    return *state == NULL ? -1 : 0;
}

/* Runs until what was closed is finalized: its storage is of the test that returns. */
static void drain(ac_loop *loop)
{
    H_UNTIL(loop, h_stats(loop).channels == 0);
    assert_int_equal(h_stats(loop).timers, 0);
}

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

static void test_server_after_the_wrap(void **state)
{
    ac__sys        sys;
    ac_loop       *loop = loop_at(&sys, (INT64_C(1) << 32) - AC_RFC868_EPOCH + 258);
    ac_time_server server;
    uint8_t        got[8] = {0};
    size_t         n      = 0;
    ac_addr        addr;
    int            fd;

    (void)state;
    assert_int_equal(ac_time_server_start(&server, loop, "127.0.0.1", 0, AC_RFC868_TCP), 0);
    assert_int_equal(ac_sockname(&server.base, &addr), 0);
    fd = h_raw_connect(&addr);
    H_UNTIL(loop, (n += h_get(fd, got + n, sizeof got - n)) >= 4);
    H_UNTIL(loop, h_ended(fd));
    assert_int_equal(n, 4);
    assert_memory_equal(got, "\0\0\1\2", 4);
    close(fd);
    assert_int_equal(ac_loop_free(loop), 0);
}

/* --- the server ------------------------------------------------------------------------------ */

static int raw_udp(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return fd;
}

/* Takes the answers that have come: how many. */
static int answers(int fd)
{
    char    buf[8];
    ssize_t n;
    int     count = 0;

    while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) >= 0) {
        assert_int_equal(n, 4);
        count++;
    }
    return count;
}

static void test_server_and_datagrams(void **state)
{
    ac_loop           *loop = *state;
    ac_time_server     server;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int                fd = raw_udp(), n = 0;

    assert_int_equal(ac_time_server_start(&server, loop, NULL, 0, AC_RFC868_UDP), 0);
    to.sin_port = htons(ac_local_port(&server.base));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    for (int i = 0; i < 150; i++) { /* more than one callback takes */
        assert_int_equal(send(fd, "time", i % 2 ? 4 : 0, 0), i % 2 ? 4 : 0);
        assert_true(ac_loop_turn(loop, 0) >= 0);
    }
    H_UNTIL(loop, (n += answers(fd)) >= 75);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(n + answers(fd), 75);
    assert_int_equal(h_stats(loop).stalls, 0);
    ac_close(&server.base);
    drain(loop);
    close(fd);
}

static void test_flood_of_datagrams(void **state)
{
    ac_loop           *loop = *state;
    ac_time_server     server;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int                fd = raw_udp(), n = 0;

    assert_int_equal(ac_time_server_start(&server, loop, NULL, 0, AC_RFC868_UDP), 0);
    to.sin_port = htons(ac_local_port(&server.base));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    for (int i = 0; i < 150; i++)
        assert_int_equal(send(fd, "", 0, 0), 0);
    H_UNTIL(loop, (n += answers(fd)) == 150);
    assert_int_equal(h_stats(loop).stalls, 0);
    ac_close(&server.base);
    drain(loop);
    close(fd);
}

enum { CLIENTS = 200 }; /* more than one turn accepts */

static void test_clients_that_do_nothing(void **state)
{
    ac_loop       *loop = *state;
    ac_time_server server;
    ac_addr        addr;
    int            fd[CLIENTS];
    int64_t        begin;
    char           buf[8];

    assert_int_equal(ac_time_server_start(&server, loop, "127.0.0.1", 0, AC_RFC868_TCP), 0);
    assert_int_equal(ac_sockname(&server.base, &addr), 0);
    for (int i = 0; i < CLIENTS; i++)
        fd[i] = h_raw_connect(&addr);
    begin = h_now();
    H_UNTIL_IN(loop, 20, h_stats(loop).channels == CLIENTS + 1); /* many at once */
    H_UNTIL(loop, h_stats(loop).channels == 1);
    assert_true(h_now() - begin < AC_SECOND);
    assert_int_equal(h_stats(loop).timers, 0);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(h_get(fd[i], buf, sizeof buf), 4);
        close(fd[i]);
    }
    ac_close(&server.base);
    drain(loop);
}

/* What the client has sent is unread when the server says goodbye. */
static void test_client_that_talks(void **state)
{
    ac_loop       *loop = *state;
    ac_time_server server;
    ac_addr        addr;
    char           buf[8];
    size_t         n = 0;
    int            fd;

    assert_int_equal(ac_time_server_start(&server, loop, "127.0.0.1", 0, AC_RFC868_TCP), 0);
    assert_int_equal(ac_sockname(&server.base, &addr), 0);
    fd = h_raw_connect(&addr);
    h_put(fd, "what time is it?", 16);
    H_UNTIL(loop, h_stats(loop).channels == 2);
    H_UNTIL(loop, (n += h_get(fd, buf + n, sizeof buf - n)) == 4);
    h_put(fd, "thank you", 9);
    close(fd);
    H_UNTIL(loop, h_stats(loop).channels == 1);
    ac_close(&server.base);
    drain(loop);
}

static void test_server_is_closed(void **state)
{
    ac_loop       *loop = *state;
    ac_time_server server;
    ac_addr        addr;
    int            fd;

    assert_int_equal(ac_time_server_start(&server, loop, "127.0.0.1", 0, AC_RFC868_TCP), 0);
    assert_int_equal(ac_sockname(&server.base, &addr), 0);
    fd = h_raw_connect(&addr);
    ac_close(&server.base);
    assert_int_equal(ac_run(loop), 0);
    close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, h_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_server_after_the_wrap), TEST(test_server_and_datagrams),
        TEST(test_flood_of_datagrams),    TEST(test_clients_that_do_nothing),
        TEST(test_client_that_talks),     TEST(test_server_is_closed),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
