/* SPDX-License-Identifier: MIT */
/* Datagram channels: UDP over IPv4 and IPv6, and Unix datagrams. */
#include "harness.h"

static ac_dgram last_from;
static ssize_t  last_len;

/* Counts datagrams in `number`, collects their bytes in `in`. */
static void take_dgrams(struct probe *p)
{
    uint8_t  buf[64];
    ac_dgram from;
    ssize_t  n;

    if (p->in == NULL) {
        p->in_cap = 1 << 20;
        p->in     = malloc(p->in_cap);
        assert_non_null(p->in);
    }
    while ((n = ac_recvfrom(&p->base, buf, sizeof buf, &from)) >= 0) {
        last_from = from;
        last_len  = n;
        p->number++;
        memcpy(p->in + p->in_len, buf, (size_t)n);
        p->in_len += (size_t)n;
    }
    p->rc = (int)n;
}

static void answer_dgrams(struct probe *p)
{
    uint8_t  buf[64];
    ac_dgram from;
    ssize_t  n;

    while ((n = ac_recvfrom(&p->base, buf, sizeof buf, &from)) >= 0) {
        p->number++;
        last_from = from;
        assert_int_equal(ac_sendto(&p->base, buf, (size_t)n, &from), n);
    }
}

static struct probe *udp_server(ac_loop *loop, const char *host, h_hook *hook)
{
    struct probe *p = h_new(loop, M_READ | M_ERROR | M_CLOSE | M_EOF);

    p->on[S_READ] = hook;
    assert_int_equal(ac_listen_udp(&p->base, host, 0), 0);
    assert_true(ac_local_port(&p->base) != 0);
    return p;
}

/* A socket of the test's that speaks to `host` at the port of `server`. */
static int udp_peer(struct probe *server, const char *host)
{
    ac_addr addr;
    int     fd;

    assert_int_equal(ac_addr_ip(&addr, host, ac_local_port(&server->base)), 0);
    fd = socket(ac_addr_family(&addr), SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &addr.u.sa, addr.len), 0);
    return fd;
}

static void one_by_one(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = udp_server(loop, "127.0.0.1", take_dgrams);
    int           fd   = udp_peer(p, "127.0.0.1");
    char          text[AC_ADDR_TEXT];

    h_put(fd, "one", 3);
    h_put(fd, "three", 5);
    H_UNTIL(loop, p->number == 2);
    assert_memory_equal(p->in, "onethree", 8);
    assert_int_equal(p->rc, -EAGAIN);
    assert_int_equal(ac_addr_family(&last_from.peer), AF_INET);
    assert_memory_equal(ac_addr_format(&last_from.peer, text, sizeof text), "127.0.0.1:", 10);
    assert_false(last_from.truncated);
    close(fd);
}

/* An empty datagram is one, and not the end of anything. */
static void empty_is_no_end(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = udp_server(loop, "127.0.0.1", take_dgrams);
    int           fd   = udp_peer(p, "127.0.0.1");

    last_len = -1;
    assert_int_equal(send(fd, "", 0, 0), 0);
    assert_int_equal(send(fd, "", 0, 0), 0);
    H_UNTIL(loop, p->number == 2);
    assert_int_equal(last_len, 0);
    h_put(fd, "x", 1);
    H_UNTIL(loop, p->number == 3);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(p->count[S_CLOSE] + p->count[S_EOF] + p->count[S_ERROR], 0);
    assert_true(ac_is_open(&p->base));
    close(fd);
}

static void truncation_is_flagged(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = udp_server(loop, "127.0.0.1", take_dgrams);
    int           fd   = udp_peer(p, "127.0.0.1");
    uint8_t       big[1000];

    h_pattern(big, sizeof big, 0);
    h_put(fd, big, 64);
    H_UNTIL(loop, p->number == 1);
    assert_false(last_from.truncated);
    h_put(fd, big, sizeof big);
    H_UNTIL(loop, p->number == 2);
    assert_int_equal(last_len, 64);
    assert_true(last_from.truncated);
    h_put(fd, "x", 1);
    H_UNTIL(loop, p->number == 3);
    assert_int_equal(last_len, 1);
    assert_false(last_from.truncated);
    close(fd);
}

static void answered_from(ac_loop *loop, struct probe *server, const char *host)
{
    int  fd = udp_peer(server, host);
    char text[16];
    long was = server->number;

    h_put(fd, "ask", 3);
    H_UNTIL(loop, server->number == was + 1);
    h_wait(fd, POLLIN); /* a connected socket takes no answer from elsewhere */
    assert_int_equal(recv(fd, text, sizeof text, 0), 3);
    assert_memory_equal(text, "ask", 3);
    close(fd);
}

/* The answer of a server on all addresses leaves from the address that was asked. */
static void answer_from_the_address_asked(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = udp_server(loop, NULL, answer_dgrams);
    char          text[AC_ADDR_TEXT];

    answered_from(loop, p, "127.0.0.2");
    assert_memory_equal(ac_addr_format(&last_from.local, text, sizeof text), "127.0.0.2", 9);
    assert_memory_equal(ac_addr_format(&last_from.peer, text, sizeof text), "127.0.0.1:", 10);
    answered_from(loop, p, "127.1.2.3");
    answered_from(loop, p, "127.0.0.1");
    answered_from(loop, p, "::1");
    assert_memory_equal(ac_addr_format(&last_from.local, text, sizeof text), "[::1]", 5);
    struct probe *v4 = udp_server(loop, "0.0.0.0", answer_dgrams);
    answered_from(loop, v4, "127.0.0.2");
}

static void connected_udp(void **state)
{
    ac_loop      *loop       = *state;
    struct probe *server     = udp_server(loop, "127.0.0.1", answer_dgrams);
    struct probe *p          = h_new(loop, M_CONNECT | M_READ | M_ERROR | M_CLOSE);
    uint8_t       big[70000] = {0};

    p->on[S_READ] = take_dgrams;
    assert_int_equal(ac_connect_udp(&p->base, "127.0.0.1", ac_local_port(&server->base)), 0);
    assert_int_equal(ac_connect_udp(&p->base, "127.0.0.1", 9), -EISCONN);
    H_UNTIL(loop, p->count[S_CONNECT] == 1);
    assert_int_equal(ac_sendto(&p->base, "question", 8, NULL), 8);
    H_UNTIL(loop, p->number == 1);
    assert_memory_equal(p->in, "question", 8);
    assert_int_equal(ac_write(&p->base, "x", 1), -ENOTSUP);
    assert_int_equal(ac_sendto(&p->base, big, sizeof big, NULL), -EMSGSIZE);
    assert_int_equal(ac_sendto(&p->base, "", 0, NULL), 0);
    H_UNTIL(loop, p->number == 2);
    assert_int_equal(p->count[S_ERROR], 0);
}

/* Nobody listens there: the ICMP answer is told as the error, once. */
static void refused_by_icmp(void **state)
{
    ac_loop      *loop   = *state;
    struct probe *server = udp_server(loop, "127.0.0.1", answer_dgrams);
    struct probe *p      = h_new(loop, M_CONNECT | M_READ | M_ERROR | M_CLOSE);
    uint16_t      port   = ac_local_port(&server->base);

    ac_close(&server->base);
    p->on[S_READ] = take_dgrams;
    assert_int_equal(ac_connect_udp(&p->base, "127.0.0.1", port), 0);
    H_UNTIL(loop, p->count[S_CONNECT] == 1);
    assert_int_equal(ac_sendto(&p->base, "x", 1, NULL), 1);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->count[S_ERROR], 1);
    assert_int_equal(p->err, -ECONNREFUSED);
    assert_int_equal(p->count[S_CLOSE], 1);
    assert_int_equal(p->number, 0);
}

static void greedy_sender(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = udp_server(loop, "127.0.0.1", take_dgrams);
    int           fd   = udp_peer(p, "127.0.0.1");

    /* Empty datagrams must count against the share of the turn too, else they never end it. */
    for (int i = 0; i < 200; i++)
        (void)!send(fd, "", 0, 0);
    H_UNTIL(loop, p->number >= 100);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 10);
    close(fd);
}

static void handler_takes_nothing(struct probe *p)
{
    p->number++;
}

static void unread_datagrams_do_not_spin(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = udp_server(loop, "127.0.0.1", handler_takes_nothing);
    int           fd   = udp_peer(p, "127.0.0.1");

    h_put(fd, "x", 1);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 25);
    assert_int_equal(p->count[S_READ], 16);
    assert_int_equal(h_stats(loop).stalls, 1);
    p->on[S_READ] = take_dgrams;
    p->number     = 0;
    ac_changed(&p->base);
    H_UNTIL(loop, p->number == 1);
    close(fd);
}

static void unix_datagrams(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_ERROR);
    struct probe *q    = h_new(loop, M_CONNECT | M_WRITE | M_ERROR);
    char          name[64];
    ac_addr       addr;

    snprintf(name, sizeof name, "@asyncore-test-%ld", (long)getpid());
    assert_int_equal(ac_addr_unix(&addr, name), 0);
    p->on[S_READ] = take_dgrams;
    assert_int_equal(ac_open(&p->base, AF_UNIX, SOCK_DGRAM), 0);
    assert_int_equal(ac_bind_addr(&p->base, &addr), 0);
    assert_int_equal(ac_open(&q->base, AF_UNIX, SOCK_DGRAM), 0);
    assert_int_equal(ac_connect_addr(&q->base, &addr), 0);
    H_UNTIL(loop, q->count[S_CONNECT] == 1);
    assert_int_equal(ac_sendto(&q->base, "unix", 4, NULL), 4);
    H_UNTIL(loop, p->number == 1);
    assert_memory_equal(p->in, "unix", 4);
}

/* The system has no room: -EAGAIN, and handle_write tells when there is again. */
static void send_until_full(struct probe *p)
{
    static const uint8_t big[4096];

    while ((p->rc = (int)ac_sendto(&p->base, big, sizeof big, NULL)) > 0)
        p->number++;
}

static void no_room_for_a_datagram(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_WRITE | M_ERROR);
    int           fd[2];
    uint8_t       buf[4096];
    unsigned      writes;

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fd), 0);
    p->on[S_WRITE] = send_until_full;
    assert_int_equal(ac_attach(&p->base, ac_sock_from_fd(loop, fd[0])), 0);
    assert_int_equal(ac_changed(&p->base), 0);
    H_UNTIL(loop, p->rc == -EAGAIN);
    writes = p->count[S_WRITE];
    assert_true(h_idle(loop, 30 * AC_MILLISECOND) <= 4);
    assert_int_equal(p->count[S_WRITE], writes);
    while (recv(fd[1], buf, sizeof buf, 0) > 0) {
    }
    H_UNTIL(loop, p->count[S_WRITE] > writes);
    assert_int_equal(p->count[S_ERROR], 0);
    ac_close(&p->base);
    close(fd[1]);
}

static ac_dgram full_peer;

static void send_to_until_full(struct probe *p)
{
    while ((p->rc = (int)ac_sendto(&p->base, "x", 1, &full_peer)) == 1)
        p->number++;
}

/*
 * The queue that is full is the receiver's, and the sender's own socket is writable all the time: a
 * wait for that would spin. It is tried again now and then.
 */
static void receiver_without_room(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_WRITE | M_READ | M_ERROR | M_CLOSE);
    int           fd   = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    char          name[64], c;
    unsigned      writes;
    long          sent;

    assert_true(fd >= 0);
    snprintf(name, sizeof name, "@asyncore-test-full-%ld", (long)getpid());
    assert_int_equal(ac_addr_unix(&full_peer.peer, name), 0);
    assert_int_equal(bind(fd, &full_peer.peer.u.sa, full_peer.peer.len), 0);
    p->on[S_WRITE] = send_to_until_full;
    assert_int_equal(ac_open(&p->base, AF_UNIX, SOCK_DGRAM), 0);
    assert_int_equal(ac_changed(&p->base), 0);
    for (int round = 0; round < 3; round++) {
        H_UNTIL_IN(loop, 20, p->rc == -EAGAIN);
        sent   = p->number;
        writes = p->count[S_WRITE];
        assert_true(sent > 0);
        assert_true(h_idle(loop, 100 * AC_MILLISECOND) <= 40);
        assert_true(p->count[S_WRITE] - writes <= 20);
        assert_int_equal(p->number, sent);
        while (recv(fd, &c, 1, 0) == 1)
            sent--;
        assert_int_equal(sent, 0);
        p->number = 0;
        p->rc     = 0;
        H_UNTIL_IN(loop, 20, p->number > 0); /* nobody but the library says that there is room */
    }
    assert_int_equal(p->count[S_ERROR] + p->count[S_CLOSE], 0);
    H_UNTIL_IN(loop, 20, p->rc == -EAGAIN);
    ac_close(&p->base); /* while it waits to try again */
    assert_int_equal(h_stats(loop).timers, 0);
    H_UNTIL_IN(loop, 20, p->finalized);
    close(fd);
}

static void open_anew(struct probe *p)
{
    uint16_t port = ac_local_port(&p->base);
    char     c;

    assert_int_equal(ac_recvfrom(&p->base, &c, 1, NULL), 1);
    ac_close(&p->base);
    p->rc = ac_listen_udp(&p->other->base, "127.0.0.1", port);
}

/* The port of a channel that closes in its own callback is free at once. */
static void bound_again_in_its_own_callback(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = udp_server(loop, "127.0.0.1", open_anew), *q = h_new(loop, M_READ | M_ERROR);
    int           fd = udp_peer(p, "127.0.0.1");

    p->other      = q;
    q->on[S_READ] = take_dgrams;
    h_idle(loop, AC_MILLISECOND);
    h_put(fd, "x", 1);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->rc, 0);
    h_put(fd, "yz", 2);
    H_UNTIL(loop, q->in_len == 2);
    close(fd);
}

static void misuse(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = udp_server(loop, "127.0.0.1", take_dgrams), *stream = h_new(loop, M_READ);
    struct probe *fresh = h_new(loop, M_READ);
    int           fd    = h_pair(loop, stream);
    char          c;

    assert_int_equal(ac_listen_udp(&p->base, NULL, 0), -EISCONN);
    assert_int_equal(ac_listen_udp(&fresh->base, "localhost", 0), -EINVAL);
    assert_int_equal(ac_sendto(&fresh->base, "x", 1, NULL), -EBADF);
    assert_int_equal(ac_recvfrom(NULL, &c, 1, NULL), -EINVAL);
    assert_true(ac_sendto(&p->base, "x", 1, NULL) < 0); /* no peer to send to */
    assert_int_equal(ac_recvfrom(&p->base, &c, 1, NULL), -EAGAIN);
    close(fd);
}

static const struct CMUnitTest tests[] = {
    H_TEST(one_by_one),
    H_TEST(empty_is_no_end),
    H_TEST(truncation_is_flagged),
    H_TEST(answer_from_the_address_asked),
    H_TEST(connected_udp),
    H_TEST(refused_by_icmp),
    H_TEST(greedy_sender),
    H_TEST(unread_datagrams_do_not_spin),
    H_TEST(unix_datagrams),
    H_TEST(no_room_for_a_datagram),
    H_TEST(receiver_without_room),
    H_TEST(bound_again_in_its_own_callback),
    H_TEST(misuse),
};

H_MAIN(tests)
