/* SPDX-License-Identifier: MIT */
/* What the tests of the time protocol's client share: a question that counts its answers, raw far
 * sides, and a clock of the test's. To be included by a test program alone. */
#ifndef RFC868_H
#define RFC868_H

#include "harness.h"

#include <netinet/in.h>

#define WAIT (5 * AC_SECOND)

struct asked {
    ac_time_request base;
    int             calls;
    int32_t         delta;
    int             err;
    void (*then)(struct asked *a);
};

static inline struct asked *asked_of(ac_time_request *r)
{
    return AC_CONTAINER(struct asked, base, r);
}

static inline void told(ac_time_request *r, int32_t delta, int err)
{
    struct asked *a = asked_of(r);

    assert_int_equal(h_inside, 0);
    assert_false(ac_is_open(&r->base));
    assert_false(ac_timer_running(&r->timer_));
    assert_true(err <= 0);
    if (err < 0)
        assert_int_equal(delta, 0);
    a->calls++;
    a->delta = delta;
    a->err   = err;
    if (a->then != NULL)
        a->then(a);
}

static inline void start(struct asked *a, ac_loop *loop, uint16_t port,
                         ac_rfc868_transport transport, int64_t timeout)
{
    a->calls = 0;
    h_inside++;
    assert_int_equal(
        ac_time_request_start(&a->base, loop, "127.0.0.1", port, transport, timeout, told), 0);
    h_inside--;
    assert_int_equal(a->calls, 0);
}

/* The loop of the harness logs, for the sake of its probes; here there are none. */
static inline int setup(void **state)
{
    int rc = h_setup(state);

    if (rc != 0 || ac_loop_free(*state) != 0)
        return -1;
    *state = ac_loop_new();
    return *state == NULL ? -1 : 0;
}

/* Runs until what was closed is finalized: its storage is of the test that returns. */
static inline void drain(ac_loop *loop)
{
    H_UNTIL(loop, h_stats(loop).channels == 0);
    assert_int_equal(h_stats(loop).timers, 0);
}

/* --- raw far sides --------------------------------------------------------------------------- */

/* A request that is connected to a descriptor of the test's. */
static inline int start_raw(struct asked *a, ac_loop *loop, int64_t timeout)
{
    ac_addr addr;
    int     listener = h_raw_listen(&addr, "127.0.0.1", 1), fd;

    start(a, loop, ac_addr_port(&addr), AC_RFC868_TCP, timeout);
    H_UNTIL(loop, ac_is_connected(&a->base.base));
    fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    close(listener);
    return fd;
}

static inline int raw_udp(uint16_t *port)
{
    struct sockaddr_in in  = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          len = sizeof in;
    int                fd  = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

/* Waits for a question at a raw server, and answers it. */
static inline void answer_udp(int fd, const void *data, size_t len)
{
    struct sockaddr_in from;
    socklen_t          n = sizeof from;
    char               c;

    h_wait(fd, POLLIN);
    assert_int_equal(recvfrom(fd, &c, 1, 0, (struct sockaddr *)&from, &n), 0);
    assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)&from, n), (ssize_t)len);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, h_teardown)

#endif
