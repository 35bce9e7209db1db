/* SPDX-License-Identifier: MIT */
/*
 * Connecting to addresses: what succeeds, what is refused as misuse, and failures, which are all
 * told later. Names and their races have tests of their own.
 */
#include "harness.h"

enum { SLOTS = M_CONNECT | M_READ | M_CLOSE | M_ERROR };

static void nobody(ac_addr *addr, const char *host)
{
    int listener = h_raw_listen(addr, host, 1);

    close(listener);
}

static void exchange(ac_loop *loop, struct probe *p, int listener)
{
    int fd;

    H_UNTIL(loop, p->count[S_CONNECT] == 1);
    assert_int_equal(p->order[0], 'c');
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fd >= 0);
    h_put(fd, "hello", 5);
    H_UNTIL(loop, p->in_len == 5);
    close(fd);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->count[S_CONNECT], 1);
    assert_int_equal(p->count[S_ERROR], 0);
}

static void to_an_address(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    ac_addr       addr, name, own;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 1);

    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    assert_int_equal(h_total(p), 0);
    assert_true(ac_is_open(&p->base));
    assert_false(ac_is_connected(&p->base));
    assert_int_equal(ac_connect_addr(&p->base, &addr), -EISCONN);
    assert_int_equal(ac_connect(&p->base, "127.0.0.1", 9), -EISCONN);
    assert_int_equal(ac_listen(&p->base, "127.0.0.1", 0, 1), -EISCONN);
    assert_int_equal(ac_open(&p->base, AF_INET, SOCK_STREAM), -EISCONN);
    H_UNTIL(loop, p->count[S_CONNECT] == 1);
    assert_true(ac_is_connected(&p->base));
    assert_int_equal(ac_peername(&p->base, &name), 0);
    assert_true(ac_addr_equal(&name, &addr));
    assert_int_equal(ac_sockname(&p->base, &own), 0);
    assert_int_equal(ac_local_port(&p->base), ac_addr_port(&own));
    assert_true(ac_fileno(&p->base) >= 0);
    assert_int_equal(ac_set_nodelay(&p->base, false), 0);
    assert_int_equal(ac_set_keepalive(&p->base, 1500 * AC_MILLISECOND), 0);
    assert_int_equal(ac_set_keepalive(&p->base, 0), 0);
    assert_int_equal(ac_start_tls(&p->base, NULL, "x"), -ENOTSUP);
    exchange(loop, p, listener);
    assert_int_equal(ac_fileno(&p->base), -1);
    close(listener);
}

static void to_a_literal(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    ac_loop                 *loop    = *state;

    for (int i = 0; i < 2; i++) {
        struct probe *p = h_new(loop, SLOTS);
        ac_addr       addr, name;
        int           listener = h_raw_listen(&addr, hosts[i], 1);
        char          host[16];

        strcpy(host, hosts[i]);
        assert_int_equal(ac_connect(&p->base, host, ac_addr_port(&addr)), 0);
        memset(host, 'x', sizeof host - 1); /* it was copied */
        assert_int_equal(h_stats(loop).lookups, 0);
        H_UNTIL(loop, p->count[S_CONNECT] == 1);
        assert_int_equal(ac_peername(&p->base, &name), 0);
        assert_true(ac_addr_equal(&name, &addr));
        exchange(loop, p, listener);
        close(listener);
    }
}

/* A server on all addresses sees a client of its own loop; both speak at once. */
static void client_and_server_on_one_loop(void **state)
{
    ac_loop      *loop   = *state;
    struct probe *server = h_new(loop, M_ACCEPT), *p = h_new(loop, SLOTS);

    server->children = M_READ | M_CLOSE;
    assert_int_equal(ac_listen(&server->base, NULL, 0, 5), 0);
    assert_int_equal(ac_connect(&p->base, "127.0.0.1", ac_local_port(&server->base)), 0);
    assert_int_equal(ac_write(&p->base, "question", 8), 0);
    H_UNTIL(loop, server->nchildren == 1 && server->child->in_len == 8);
    assert_int_equal(ac_write(&server->child->base, "answer", 6), 0);
    ac_close_when_sent(&server->child->base);
    H_UNTIL(loop, p->finalized && server->child->finalized);
    assert_int_equal(p->in_len, 6);
    assert_int_equal(p->count[S_CONNECT], 1);
}

static void opened_bound_and_connected(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    ac_addr       addr, from, own;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 1);

    assert_int_equal(ac_bind_addr(&p->base, &addr), -EBADF); /* not opened */
    assert_int_equal(ac_open(&p->base, AF_INET, SOCK_SEQPACKET), -EINVAL);
    assert_int_equal(ac_open(&p->base, AF_UNSPEC, SOCK_STREAM), -EINVAL);
    assert_int_equal(ac_open(&p->base, AF_INET, SOCK_STREAM), 0);
    assert_int_equal(ac_addr_ip(&from, "127.0.0.3", 0), 0);
    assert_int_equal(ac_bind_addr(&p->base, &from), 0);
    assert_true(h_idle(loop, 5 * AC_MILLISECOND) <= 3); /* open and silent */
    assert_int_equal(h_total(p), 0);
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    H_UNTIL(loop, p->count[S_CONNECT] == 1);
    assert_int_equal(ac_sockname(&p->base, &own), 0);
    assert_int_equal(own.u.in.sin_addr.s_addr, htonl(0x7f000003));
    exchange(loop, p, listener);
    close(listener);
}

/* --- failures -------------------------------------------------------------------------------- */

static void refused(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, SLOTS), *q = h_new(loop, SLOTS | M_EXPT);
    struct probe *r = h_new(loop, M_CONNECT | M_READ);
    ac_addr       addr;

    nobody(&addr, "127.0.0.1");
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    assert_int_equal(ac_connect_addr(&q->base, &addr), 0);
    assert_int_equal(ac_connect_addr(&r->base, &addr), 0);
    assert_int_equal(h_total(p) + h_total(q) + h_total(r), 0); /* told later, never inside */
    H_UNTIL(loop, p->finalized && q->finalized && r->finalized);
    assert_string_equal(p->order, "ez$");
    assert_int_equal(p->err, -ECONNREFUSED);
    assert_string_equal(q->order, "xz$");
    assert_int_equal(ac_error(&q->base), -ECONNREFUSED);
    assert_string_equal(r->order, "$"); /* by the default slots */
    assert_non_null(strstr(r->line, "ECONNREFUSED"));
}

static void refused_by_host_and_port(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, SLOTS), *q = h_new(loop, SLOTS | M_EXPT);
    ac_addr       addr, addr6;

    nobody(&addr, "127.0.0.1");
    nobody(&addr6, "::1");
    assert_int_equal(ac_connect(&p->base, "127.0.0.1", ac_addr_port(&addr)), 0);
    assert_int_equal(ac_connect(&q->base, "::1", ac_addr_port(&addr6)), 0);
    assert_int_equal(h_total(p) + h_total(q), 0);
    H_UNTIL(loop, p->finalized && q->finalized);
    assert_string_equal(p->order, "ez$");
    assert_int_equal(p->err, -ECONNREFUSED);
    assert_string_equal(q->order, "xz$");
}

static ac_addr again_at;

static void try_again(struct probe *p)
{
    p->number++;
    p->rc = ac_connect_addr(&p->base, &again_at);
}

/* A channel that has failed does not begin anew, also if it was left open: it has no more to hear. */
static void not_again_after_a_failure(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    ac_addr       addr;
    int           listener = h_raw_listen(&again_at, "127.0.0.1", 4);

    nobody(&addr, "127.0.0.1");
    p->on[S_ERROR] = p->on[S_CLOSE] = try_again;
    assert_int_equal(ac_open(&p->base, AF_INET, SOCK_STREAM), 0);
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    H_UNTIL(loop, p->count[S_CLOSE] == 1);
    assert_int_equal(p->number, 2);
    assert_int_equal(p->rc, -EISCONN);
    assert_int_equal(ac_connect_addr(&p->base, &again_at), -EISCONN);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_string_equal(p->order, "ez");
    ac_close(&p->base);
    close(listener);
}

static void misuse_is_told_at_once(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    ac_addr       none = {0};

    assert_int_equal(ac_connect(&p->base, "127.0.0.1", 0), -EINVAL);
    assert_int_equal(ac_connect(&p->base, NULL, 37), -EINVAL);
    assert_int_equal(ac_connect_addr(&p->base, NULL), -EINVAL);
    assert_int_equal(ac_connect_addr(&p->base, &none), -EINVAL);
    assert_false(ac_is_open(&p->base));
    assert_int_equal(h_stats(loop).channels, 0);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(h_total(p), 0);
    assert_int_equal(p->added, 0);
}

/* What is neither a literal nor a name: told later, without a packet sent. */
static void no_valid_name(void **state)
{
    static const char *const hosts[] = {"", "127.0.0.1 x", "a b", "[::1]", "host:37"};
    ac_loop                 *loop    = *state;
    char                     longest[300];

    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    for (size_t i = 0; i <= sizeof hosts / sizeof *hosts; i++) {
        struct probe *p    = h_new(loop, SLOTS);
        const char   *host = i < sizeof hosts / sizeof *hosts ? hosts[i] : longest;

        assert_int_equal(ac_connect(&p->base, host, 37), 0);
        H_UNTIL(loop, p->finalized);
        if (p->err != -AC_ENAME)
            print_error("host \"%s\": %s\n", host, ac_errname(p->err));
        assert_int_equal(p->err, -AC_ENAME);
        assert_string_equal(p->order, "ez$");
    }
}

static void no_route(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    ac_addr       addr;

    /* A multicast address cannot be connected to, whatever the routes of the machine. */
    assert_int_equal(ac_addr_ip(&addr, "224.0.0.1", 9), 0);
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    assert_int_equal(h_total(p), 0);
    H_UNTIL(loop, p->finalized);
    assert_string_equal(p->order, "ez$");
    assert_true(p->err == -ENETUNREACH || p->err == -EHOSTUNREACH || p->err == -EINVAL);
}

/* A socket that is connected to itself has reached nobody. */
static void connected_to_itself(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    ac_addr       addr;

    assert_int_equal(ac_addr_ip(&addr, "127.0.0.1", 0), 0);
    assert_int_equal(ac_open(&p->base, AF_INET, SOCK_STREAM), 0);
    assert_int_equal(ac_bind_addr(&p->base, &addr), 0);
    assert_int_equal(ac_sockname(&p->base, &addr), 0);
    assert_true(ac_addr_port(&addr) != 0);
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    H_UNTIL(loop, p->finalized);
    assert_string_equal(p->order, "ez$");
    assert_int_equal(p->err, -ECONNREFUSED);
}

static void unix_failures(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, SLOTS), *q = h_new(loop, SLOTS);
    ac_addr       addr;
    char          name[64];
    int           listener, filler[16];

    assert_int_equal(ac_addr_unix(&addr, "/nonexistent/socket"), 0);
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->err, -ENOENT);
    assert_string_equal(p->order, "ez$");

    /* A Unix listener whose queue is full says EAGAIN, which no event will ever follow. */
    snprintf(name, sizeof name, "@asyncore-full-%ld", (long)getpid());
    assert_int_equal(ac_addr_unix(&addr, name), 0);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, &addr.u.sa, addr.len), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (int i = 0; i < 16; i++) {
        filler[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], &addr.u.sa, addr.len);
    }
    assert_int_equal(ac_connect_addr(&q->base, &addr), 0);
    H_UNTIL_IN(loop, 200, q->finalized);
    assert_int_equal(q->err, -EAGAIN);
    for (int i = 0; i < 16; i++)
        close(filler[i]);
    close(listener);
}

/* --- closed before it was connected ---------------------------------------------------------- */

static void closed_while_connecting(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p[4];
    ac_addr       addr, gone;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 8);

    nobody(&gone, "127.0.0.1");
    for (int i = 0; i < 4; i++)
        p[i] = h_new(loop, SLOTS);
    assert_int_equal(ac_connect_addr(&p[0]->base, &addr), 0);
    assert_int_equal(ac_connect_addr(&p[1]->base, &gone), 0);
    assert_int_equal(ac_connect(&p[2]->base, "127.0.0.1", ac_addr_port(&addr)), 0);
    assert_int_equal(ac_connect(&p[3]->base, "a b", 37), 0);
    for (int i = 0; i < 4; i++) {
        assert_true(ac_is_open(&p[i]->base));
        ac_close(&p[i]->base);
        assert_false(ac_is_open(&p[i]->base));
    }
    assert_int_equal(ac_run(loop), 0);
    for (int i = 0; i < 4; i++)
        assert_string_equal(p[i]->order, "$");
    close(listener);
}

static void opened_and_closed(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);

    assert_int_equal(ac_open(&p->base, AF_INET6, SOCK_STREAM), 0);
    ac_close(&p->base);
    assert_int_equal(ac_run(loop), 0);
    assert_string_equal(p->order, "$");
}

/* The connection stands and the peer has spoken and gone before the first turn: all is told. */
static void all_at_once(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS | M_EOF);
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 1), fd;

    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    fd = accept(listener, NULL, NULL);
    h_put(fd, "now", 3);
    close(fd);
    h_wait(h_fd(p), POLLRDHUP);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_int_equal(p->in_len, 3);
    assert_int_equal(p->order[0], 'c');
    assert_int_equal(p->order[1], 'r');
    ac_close(&p->base);
    close(listener);
}

static void reset_at_once(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 1), fd;

    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    fd = accept(listener, NULL, NULL);
    h_reset(fd);
    h_wait(h_fd(p), POLLHUP);
    H_UNTIL_IN(loop, 50, p->finalized);
    assert_int_equal(p->count[S_ERROR], 1);
    assert_int_equal(p->err, -ECONNRESET);
    close(listener);
}

static const struct CMUnitTest tests[] = {
    H_TEST(to_an_address),
    H_TEST(to_a_literal),
    H_TEST(client_and_server_on_one_loop),
    H_TEST(opened_bound_and_connected),
    H_TEST(refused),
    H_TEST(refused_by_host_and_port),
    H_TEST(not_again_after_a_failure),
    H_TEST(misuse_is_told_at_once),
    H_TEST(no_valid_name),
    H_TEST(no_route),
    H_TEST(connected_to_itself),
    H_TEST(unix_failures),
    H_TEST(closed_while_connecting),
    H_TEST(opened_and_closed),
    H_TEST(all_at_once),
    H_TEST(reset_at_once),
};

H_MAIN(tests)
