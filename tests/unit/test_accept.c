/* SPDX-License-Identifier: MIT */
/*
 * Listeners: what a turn accepts, who the peer is, what happens when descriptors run out.
 */
#include "harness.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

static struct probe *listener_new(ac_loop *loop, const char *host, ac_addr *addr)
{
    struct probe *p   = h_new(loop, M_ACCEPT | M_ERROR | M_CLOSE);
    const char   *ask = host == NULL || *host == '\0' ? "127.0.0.1" : host;

    p->children = M_READ | M_CLOSE;
    assert_int_equal(ac_listen(&p->base, host, 0, 0), 0);
    assert_true(ac_local_port(&p->base) != 0);
    assert_int_equal(ac_addr_ip(addr, ask, ac_local_port(&p->base)), 0);
    return p;
}

/* --- ordinary life --------------------------------------------------------------------------- */

static ac_addr peer_seen;

static void accept_one(struct probe *p)
{
    ac_sock sock;

    while ((p->rc = ac_accept(&p->base, &sock, &peer_seen)) == 0) {
        p->child = h_new(p->base.loop, p->children);
        p->nchildren++;
        assert_int_equal(ac_attach(&p->child->base, sock), 0);
    }
}

static void accepted_sockets(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr, own, name;
    struct probe *p  = listener_new(loop, "127.0.0.1", &addr);
    int           fd = h_raw_connect(&addr), on = 0;
    socklen_t     len = sizeof on;

    p->on[S_ACCEPT] = accept_one;
    H_UNTIL(loop, p->nchildren == 1);
    assert_int_equal(p->rc, -EAGAIN);
    own.len = sizeof own.u;
    assert_int_equal(getsockname(fd, &own.u.sa, &own.len), 0);
    assert_true(ac_addr_equal(&peer_seen, &own));
    assert_int_equal(ac_peername(&p->child->base, &name), 0);
    assert_true(ac_addr_equal(&name, &own));
    assert_int_equal(ac_sockname(&p->child->base, &name), 0);
    assert_true(ac_addr_equal(&name, &addr));
    assert_true((fcntl(h_fd(p->child), F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(h_fd(p->child), F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(getsockopt(h_fd(p->child), IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_equal(on, 1);
    assert_int_equal(ac_peername(&p->base, &name), -ENOTCONN);
    /* handle_connect does not follow an accept. */
    assert_true(ac_is_connected(&p->child->base));
    h_put(fd, "x", 1);
    H_UNTIL(loop, p->child->in_len == 1);
    close(fd);
}

/* All addresses by one socket: IPv6, and IPv4 peers shown as IPv4. */
static void all_addresses(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr, name;
    struct probe *p = listener_new(loop, NULL, &addr);
    char          text[AC_ADDR_TEXT];
    int           v4 = h_raw_connect(&addr), v6;

    p->on[S_ACCEPT] = accept_one;
    H_UNTIL(loop, p->nchildren == 1);
    assert_memory_equal(ac_addr_format(&peer_seen, text, sizeof text), "127.0.0.1:", 10);
    assert_int_equal(ac_peername(&p->child->base, &name), 0);
    assert_memory_equal(ac_addr_format(&name, text, sizeof text), "127.0.0.1:", 10);
    assert_int_equal(ac_addr_ip(&addr, "::1", ac_local_port(&p->base)), 0);
    v6 = h_raw_connect(&addr);
    H_UNTIL(loop, p->nchildren == 2);
    assert_memory_equal(ac_addr_format(&peer_seen, text, sizeof text), "[::1]:", 6);
    close(v4);
    close(v6);
    p  = listener_new(loop, "", &addr);
    v4 = h_raw_connect(&addr);
    H_UNTIL(loop, p->nchildren == 1);
    close(v4);
}

static void listen_failures(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr;
    struct probe *p = listener_new(loop, "127.0.0.1", &addr), *q = h_new(loop, M_ACCEPT);
    struct probe *taken = h_new(loop, M_ACCEPT), *r = h_new(loop, M_ACCEPT);

    assert_int_equal(ac_listen(&p->base, "127.0.0.1", 0, 5), -EISCONN);
    assert_int_equal(ac_listen(&q->base, "localhost", 0, 5), -EINVAL);
    assert_int_equal(ac_listen(&q->base, "127.0.0.1 x", 0, 5), -EINVAL);
    assert_int_equal(ac_listen(&q->base, "127.1", 0, 5), -EINVAL);
    assert_int_equal(ac_listen(&taken->base, "127.0.0.1", ac_local_port(&p->base), 5), -EADDRINUSE);
    assert_int_equal(ac_listen(&r->base, "192.0.2.1", 0, 5), -EADDRNOTAVAIL);
    /* A refused verb called nothing and left nothing. */
    assert_int_equal(h_total(q) + h_total(taken) + h_total(r), 0);
    /* What failed may be tried again. */
    assert_int_equal(ac_listen(&q->base, "127.0.0.1", 0, 5), 0);
    assert_int_equal(ac_listen(&r->base, "127.0.0.1", 0, 5), 0);
    ac_close(&p->base);
    assert_int_equal(ac_listen(&taken->base, "127.0.0.1", ac_addr_port(&addr), 5), 0);
    h_idle(loop, 0);
}

static void reuseport(void **state)
{
    ac_loop      *loop = *state;
    struct probe *a = h_new(loop, M_ACCEPT), *b = h_new(loop, M_ACCEPT);

    assert_int_equal(ac_set_reuseport(&a->base, true), 0);
    assert_int_equal(ac_listen(&a->base, "127.0.0.1", 0, 5), 0);
    assert_int_equal(ac_listen(&b->base, "127.0.0.1", ac_local_port(&a->base), 5), -EADDRINUSE);
    assert_int_equal(ac_set_reuseport(&b->base, true), 0);
    assert_int_equal(ac_listen(&b->base, "127.0.0.1", ac_local_port(&a->base), 5), 0);
    assert_int_equal(ac_set_reuseport(&b->base, true), -EISCONN);
}

static void attach_takes_the_socket(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, M_READ | M_CLOSE), *closed = h_new(loop, M_READ);
    int           fd[2], open                                = h_pair(loop, p);
    size_t        fds;

    h_raw_pair(fd);
    assert_int_equal(ac_attach(NULL, ac_sock_from_fd(loop, fd[0])), -ENOMEM);
    assert_true(h_ended(fd[1]));
    close(fd[1]);
    h_raw_pair(fd);
    assert_int_equal(ac_attach(&p->base, ac_sock_from_fd(loop, fd[0])), -EISCONN);
    assert_true(h_ended(fd[1]));
    close(fd[1]);
    h_raw_pair(fd);
    assert_int_equal(ac_attach(&closed->base, ac_sock_from_fd(loop, fd[0])), 0);
    ac_close(&closed->base);
    close(fd[1]);
    h_raw_pair(fd);
    assert_int_equal(ac_attach(&closed->base, ac_sock_from_fd(loop, fd[0])), -EBADF);
    assert_true(h_ended(fd[1]));
    close(fd[1]);
    h_raw_pair(fd);
    ac_drop(loop, ac_sock_from_fd(loop, fd[0]));
    assert_true(h_ended(fd[1]));
    close(fd[1]);
    fds = h_fds();
    ac_drop(loop, (ac_sock){0}); /* which is none, and not descriptor 0 */
    assert_int_equal(h_fds(), fds);
    h_raw_pair(fd); /* as a program that did not look at ac_loop_new() has it */
    assert_int_equal(ac_attach(NULL, ac_sock_from_fd(NULL, fd[0])), -EINVAL);
    assert_true(h_ended(fd[1]));
    close(fd[1]);
    close(open);
    h_idle(loop, 0);
}

static void say_nothing(ac_dispatcher *d, const char *type, const char *message)
{
    (void)d;
    (void)type;
    (void)message;
}

static void log_nothing(ac_dispatcher *d, const char *message)
{
    say_nothing(d, "log", message);
}

static const ac_class sketched = {.name = "Sketched", .log = log_nothing, .log_info = say_nothing};

/* As short as it can be written: no result is looked at. */
static void sketched_accept(struct probe *p)
{
    ac_sock sock;

    while (ac_accept(&p->base, &sock, NULL) == 0) {
        ac_attach(ac_new(ac_dispatcher, p->base.loop, &sketched), sock);
        p->number++;
    }
}

/* Where memory ends, the accept loop of that kind leaks neither a socket nor a channel. */
static void attach_without_memory(void **state)
{
    enum { CLIENTS = 80 }; /* for which the table of descriptors has to grow */
    long failed = 0;

    for (long k = 1; k <= 400 && failed < CLIENTS; k++) {
        ac_loop      *loop   = h_loop_new();
        struct probe *server = h_new(loop, M_ACCEPT);
        int           fd[CLIENTS];
        ac_addr       addr;

        assert_non_null(loop);
        server->on[S_ACCEPT] = sketched_accept;
        assert_int_equal(ac_listen(&server->base, "127.0.0.1", 0, CLIENTS), 0);
        assert_int_equal(ac_sockname(&server->base, &addr), 0);
        assert_true(ac_loop_turn(loop, 0) >= 0);
        for (int i = 0; i < CLIENTS; i++)
            fd[i] = h_raw_connect(&addr);
        h_alloc_calls = 0;
        h_alloc_fail  = k;
        H_UNTIL(loop, server->number == CLIENTS);
        h_idle(loop, 0);
        failed       = h_alloc_calls < k ? CLIENTS : 0;
        h_alloc_fail = 0;
        for (int i = 0; i < CLIENTS; i++)
            close(fd[i]);
        H_UNTIL(loop, h_stats(loop).channels == 1); /* the server alone: no channel was lost */
        assert_int_equal(ac_loop_free(loop), 0);
        assert_int_equal(h_live, *state != NULL ? 1 : 0);
    }
    assert_int_equal(failed, CLIENTS); /* all of them have had their turn */
}

/* A descriptor that is a channel's already: the second is refused, and the first keeps it. */
static void attached_twice(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, M_READ | M_CLOSE), *q = h_new(loop, M_READ | M_CLOSE);
    struct probe *made   = h_new(loop, M_READ | M_CLOSE);
    struct probe *server = h_new(loop, M_ACCEPT);
    int           fd     = h_pair_attached(loop, p), other;

    assert_int_equal(ac_attach(&q->base, ac_sock_from_fd(loop, h_fd(p))), -EEXIST);
    assert_false(ac_is_open(&q->base));
    h_put(fd, "x", 1);
    H_UNTIL(loop, p->in_len == 1);
    assert_int_equal(ac_attach(&q->base, ac_sock_from_fd(loop, h_fd(p))), -EEXIST);
    h_put(fd, "y", 1);
    H_UNTIL(loop, p->in_len == 2);
    assert_int_equal(ac_write(&p->base, "z", 1), 0);
    h_wait(fd, POLLIN);

    /* Nor is the socket taken of a channel that the library opened, or of a listener. */
    other = h_pair(loop, made);
    assert_int_equal(ac_attach(&q->base, ac_sock_from_fd(loop, h_fd(made))), -EEXIST);
    h_put(other, "x", 1);
    H_UNTIL(loop, made->in_len == 1);
    assert_int_equal(ac_listen(&server->base, "127.0.0.1", 0, 1), 0);
    assert_int_equal(ac_attach(&q->base, ac_sock_from_fd(loop, h_fd(server))), -EEXIST);
    assert_true(ac_local_port(&server->base) != 0);
    assert_int_equal(p->closed + made->closed + server->closed, 0);

    /* The one that was refused is as it was. */
    close(other);
    H_UNTIL(loop, made->finalized);
    other = h_pair_attached(loop, q);
    h_put(other, "x", 1);
    H_UNTIL(loop, q->in_len == 1);
    close(other);
    close(fd);
    H_UNTIL(loop, p->finalized && q->finalized);
}

/* A listening socket of the caller's own making. */
static void attached_listener(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 4), fd;
    struct probe *p        = h_new(loop, M_ACCEPT);

    p->children = M_READ | M_CLOSE;
    assert_int_equal(ac_attach(&p->base, ac_sock_from_fd(loop, listener)), 0);
    assert_int_equal(ac_local_port(&p->base), ac_addr_port(&addr));
    fd = h_raw_connect(&addr);
    H_UNTIL(loop, p->nchildren == 1);
    close(fd);
}

static void not_a_listener(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, M_READ | M_CLOSE), *fresh = h_new(loop, M_ACCEPT);
    int           fd = h_pair(loop, p);
    ac_sock       sock;

    assert_true(ac_accept(&p->base, &sock, NULL) < 0);
    assert_int_equal(ac_accept(&fresh->base, &sock, NULL), -EBADF);
    close(fd);
}

/* --- rule 6 for accepts ---------------------------------------------------------------------- */

enum { WAITING = 150 };

static unsigned accepted_in_turn;

static void accept_all(struct probe *p)
{
    ac_sock sock;

    while ((p->rc = ac_accept(&p->base, &sock, NULL)) == 0) {
        accepted_in_turn++;
        p->nchildren++;
        ac_drop(p->base.loop, sock);
    }
}

static void sixty_four_a_turn(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr;
    struct probe *p = listener_new(loop, "127.0.0.1", &addr), *meek = h_new(loop, M_READ | M_CLOSE);
    int           fd[WAITING], fm                                   = h_pair(loop, meek);
    unsigned      turns = 0;

    p->on[S_ACCEPT] = accept_all;
    h_idle(loop, AC_MILLISECOND);
    for (int i = 0; i < WAITING; i++)
        fd[i] = h_raw_connect(&addr);
    for (unsigned was = 0; p->nchildren < WAITING; was = p->nchildren) {
        h_put(fm, "m", 1);
        h_wait(h_fd(meek), POLLIN);
        accepted_in_turn = 0;
        assert_true(ac_loop_turn(loop, AC_SECOND) > 0);
        turns++;
        assert_true(accepted_in_turn <= 64);
        assert_true(p->nchildren > was);
        assert_int_equal(meek->count[S_READ], turns);
        assert_int_equal(p->rc, -EAGAIN);
    }
    assert_int_equal(turns, 3);
    assert_true(h_stats(loop).budget_stops >= 2);
    for (int i = 0; i < WAITING; i++)
        close(fd[i]);
    close(fm);
    h_idle(loop, AC_MILLISECOND);
}

static void close_while_accepting(struct probe *p)
{
    ac_sock sock;

    while ((p->rc = ac_accept(&p->base, &sock, NULL)) == 0) {
        ac_drop(p->base.loop, sock);
        if (++p->nchildren == 3)
            ac_close(&p->base);
    }
}

static void closed_in_its_own_loop(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr;
    struct probe *p = listener_new(loop, "127.0.0.1", &addr);
    int           fd[8];

    p->on[S_ACCEPT] = close_while_accepting;
    for (int i = 0; i < 8; i++)
        fd[i] = h_raw_connect(&addr);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->nchildren, 3);
    assert_int_equal(p->rc, -EBADF);
    for (int i = 0; i < 8; i++)
        close(fd[i]);
}

static void open_anew(struct probe *p)
{
    ac_sock  sock;
    uint16_t port = ac_local_port(&p->base);

    assert_int_equal(ac_accept(&p->base, &sock, NULL), 0);
    ac_drop(p->base.loop, sock);
    ac_close(&p->base);
    p->rc = ac_listen(&p->other->base, "127.0.0.1", port, 8);
}

/* The port of a listener that closes in its own callback, with more waiting, is free at once. */
static void bound_again_in_its_own_callback(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr;
    struct probe *p = listener_new(loop, "127.0.0.1", &addr), *q = h_new(loop, M_ACCEPT | M_ERROR);
    int           fd[3];

    q->children     = M_READ | M_CLOSE;
    p->other        = q;
    p->on[S_ACCEPT] = open_anew;
    h_idle(loop, AC_MILLISECOND);
    for (int i = 0; i < 2; i++)
        fd[i] = h_raw_connect(&addr);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->rc, 0);
    fd[2] = h_raw_connect(&addr);
    h_put(fd[2], "x", 1);
    H_UNTIL(loop, q->nchildren == 1 && q->child->in_len == 1);
    assert_int_equal(q->count[S_ERROR], 0);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
}

/* Paused: the backlog holds them back. */
static void paused_listener(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr;
    struct probe *p = listener_new(loop, "127.0.0.1", &addr);
    int           fd;

    assert_int_equal(ac_pause(&p->base), 0);
    fd = h_raw_connect(&addr);
    assert_true(h_idle(loop, 30 * AC_MILLISECOND) <= 3);
    assert_int_equal(p->nchildren, 0);
    assert_int_equal(ac_resume(&p->base), 0);
    H_UNTIL(loop, p->nchildren == 1);
    close(fd);
}

/* A client that was reset while it waited takes nobody else with it. */
static void died_while_waiting(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr;
    struct probe *p = listener_new(loop, "127.0.0.1", &addr);
    int           a = h_raw_connect(&addr), b = h_raw_connect(&addr);

    p->children = M_READ | M_CLOSE | M_ERROR;
    h_reset(a);
    h_put(b, "x", 1);
    H_UNTIL(loop, p->nchildren > 0 && p->child->in_len == 1);
    assert_int_equal(p->count[S_ERROR], 0);
    close(b);
}

/* --- out of descriptors ---------------------------------------------------------------------- */

enum { CLIENTS = 100 };

static struct rlimit limit_before;

/* No number is free any more: the soft limit is the lowest free one. */
static void descriptors_run_out(void)
{
    struct rlimit limit;
    int           lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    limit          = limit_before;
    limit.rlim_cur = (rlim_t)lowest;
    close(lowest);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void descriptors_are_back(void)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

static void serve(struct probe *p)
{
    ac_sock sock;

    while ((p->rc = ac_accept(&p->base, &sock, NULL)) == 0) {
        struct probe *q = h_new(p->base.loop, M_READ | M_CLOSE);

        p->nchildren++;
        if (ac_attach(&q->base, sock) == 0) {
            ac_write(&q->base, "time", 4);
            ac_close_when_sent(&q->base);
        }
    }
    if (p->rc != -EAGAIN)
        p->number = p->rc;
}

static void out_of_descriptors(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr;
    struct probe *p = listener_new(loop, "127.0.0.1", &addr);
    int           fd[CLIENTS];
    int64_t       cpu, begin, span = 2 * AC_SECOND;
    unsigned      turns, served = 0;
    char          text[8];

    if (getenv("ASYNCORE_TEST_LONG") != NULL)
        span = 10 * AC_SECOND;
    p->on[S_ACCEPT] = serve;
    assert_true(ac_loop_turn(loop, 0) >= 0); /* the loop opens its own descriptors */
    for (int i = 0; i < CLIENTS; i++)
        fd[i] = h_raw_connect(&addr);
    descriptors_run_out();
    cpu   = h_cpu();
    begin = h_now();
    turns = h_idle(loop, span);
    cpu   = h_cpu() - cpu;
    begin = h_now() - begin;
    descriptors_are_back();
    print_message("cpu while out of descriptors: %.2f %% of a core, %u turns\n",
                  100.0 * (double)cpu / (double)begin, turns);
    assert_true(cpu * 50 <= begin);
    assert_int_equal(p->nchildren, 0);
    assert_int_equal(p->number, -EMFILE);
    assert_int_equal(p->count[S_ERROR], 0); /* no failure of the listener's */
    assert_true(h_stats(loop).accept_pauses >= 2);
    assert_true(p->count[S_ACCEPT] <= 6 * (unsigned)(span / AC_SECOND));

    begin = h_now();
    H_UNTIL(loop, p->nchildren == CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        h_wait(fd[i], POLLIN);
        served += h_get(fd[i], text, sizeof text) == 4;
        close(fd[i]);
    }
    assert_int_equal(served, CLIENTS);
    assert_true(h_now() - begin < 2 * AC_SECOND);
    H_UNTIL(loop, h_stats(loop).channels == 1);
}

/* A descriptor that this loop closes ends the pause at once. */
static void own_close_ends_the_pause(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr;
    struct probe *p = listener_new(loop, "127.0.0.1", &addr), *q = h_new(loop, M_READ | M_CLOSE);
    int           fq = h_pair(loop, q), fd = h_raw_connect(&addr);
    int64_t       begin;

    p->on[S_ACCEPT] = serve;
    h_plug(h_fd(q) + 1);
    descriptors_run_out();
    H_UNTIL(loop, p->number == -EMFILE);
    h_idle(loop, 350 * AC_MILLISECOND); /* by now the pause is a long one */
    assert_int_equal(p->nchildren, 0);
    begin = h_now();
    ac_close(&q->base);
    H_UNTIL(loop, p->nchildren == 1);
    assert_true(h_now() - begin < 150 * AC_MILLISECOND);
    descriptors_are_back();
    close(fd);
    close(fq);
    H_UNTIL(loop, h_stats(loop).channels == 1);
}

/* A listener that is closed or freed during its pause leaves nothing behind. */
static void closed_during_the_pause(void **state)
{
    ac_loop      *loop = *state;
    ac_addr       addr;
    struct probe *p = listener_new(loop, "127.0.0.1", &addr), *q;
    int           fd, fe;

    assert_true(ac_loop_turn(loop, 0) >= 0);
    fd              = h_raw_connect(&addr);
    p->on[S_ACCEPT] = serve;
    q               = listener_new(loop, "127.0.0.1", &addr);
    q->on[S_ACCEPT] = serve;
    fe              = h_raw_connect(&addr);
    descriptors_run_out();
    H_UNTIL(loop, p->number == -EMFILE && q->number == -EMFILE);
    ac_close(&p->base);
    h_idle(loop, 200 * AC_MILLISECOND);
    descriptors_are_back();
    H_UNTIL(loop, q->nchildren == 1);
    assert_int_equal(p->nchildren, 0);
    close(fd);
    close(fe);
}

/* select() has room for FD_SETSIZE numbers: a greater one is refused and never written past. */
static void number_beyond_select(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_ERROR | M_CLOSE);
    struct rlimit limit;
    int           fd[2], high;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    limit          = limit_before;
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    h_raw_pair(fd);
    high = fcntl(fd[0], F_DUPFD_CLOEXEC, 2000);
    close(fd[0]);
    if (high >= 0) {
        assert_int_equal(ac_attach(&p->base, ac_sock_from_fd(loop, high)), 0);
        h_put(fd[1], "x", 1);
        if (h_is("select")) {
            H_UNTIL(loop, p->finalized);
            assert_int_equal(p->err, -EMFILE);
            assert_int_equal(p->count[S_CLOSE], 1);
        } else {
            H_UNTIL(loop, p->in_len == 1);
        }
    }
    descriptors_are_back();
    close(fd[1]);
}

static const struct CMUnitTest tests[] = {
    H_TEST(accepted_sockets),        H_TEST(all_addresses),
    H_TEST(listen_failures),         H_TEST(reuseport),
    H_TEST(attach_takes_the_socket), H_TEST(attached_listener),
    H_TEST(not_a_listener),          H_TEST(sixty_four_a_turn),
    H_TEST(closed_in_its_own_loop),  H_TEST(bound_again_in_its_own_callback),
    H_TEST(paused_listener),         H_TEST(died_while_waiting),
    H_TEST(out_of_descriptors),      H_TEST(own_close_ends_the_pause),
    H_TEST(closed_during_the_pause), H_TEST(number_beyond_select),
    H_TEST(attached_twice),          H_TEST(attach_without_memory),
};

H_MAIN(tests)
