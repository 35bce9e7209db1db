/* SPDX-License-Identifier: MIT */
/* Connecting by name: which address is tried when, which wins, and what closing leaves behind. */
#include "harness.h"

#include "dnspeer.h"

#include "../../src/dns/cares.h"

#include <sys/resource.h>
#include <sys/wait.h>

static struct dns_peer peer;

static const struct dns_rule rules[] = {
    {"both.test", DNS_A, "127.0.0.1", 0, 0, 0},
    {"both.test", DNS_AAAA, "::1", 0, 0, 0},
    {"v4.test", DNS_A, "127.0.0.1", 0, 0, 0},
    {"v6.test", DNS_AAAA, "::1", 0, 0, 0},
    {"soon6.test", DNS_A, "127.0.0.1", 0, 0, 0},
    {"soon6.test", DNS_AAAA, "::1", 0, 0, 20},
    {"late6.test", DNS_A, "127.0.0.1", 0, 0, 0},
    {"late6.test", DNS_AAAA, "::1", 0, 0, 400},
    {"held6.test", DNS_A, "127.0.0.1", 0, 0, 0},
    {"held6.test", DNS_AAAA, "::1", DNS_HELD, 0, 0},
    {"held4.test", DNS_A, "127.0.0.1", DNS_HELD, 0, 0},
    {"held4.test", DNS_AAAA, "::1", 0, 0, 0},
    {"no6.test", DNS_A, "127.0.0.1", 0, 0, 0},
    {"no6.test", DNS_AAAA, NULL, DNS_SILENT, 0, 0},
    {"second.test", DNS_A, "127.0.0.2,127.0.0.1", 0, 0, 0},
    {"third.test", DNS_A, "127.0.0.2,127.0.0.3,127.0.0.1", 0, 0, 0},
    {"barred.test", DNS_A, "127.0.0.2,255.255.255.255,127.0.0.1", 0, 0, 0},
    {"bars.test", DNS_A, "127.0.0.2,255.255.255.255", 0, 0, 0},
    {"last.test", DNS_A, "127.1.0.1*63,127.0.0.1", DNS_TRUNCATED, 0, 0},
    {"beyond.test", DNS_A, "127.1.0.1*64,127.0.0.1", DNS_TRUNCATED, 0, 0},
    {"over.test", DNS_A, "127.1.0.1*40", DNS_TRUNCATED, 0, 0},
    {"over.test", DNS_AAAA, "ff0e::1*32,::1", DNS_TRUNCATED, 0, 20},
    {"fail6.test", DNS_AAAA, NULL, 0, 2, 0},
    {"fail6.test", DNS_A, NULL, 0, 3, 0},
    {"fail4.test", DNS_AAAA, NULL, 0, 3, 0},
    {"fail4.test", DNS_A, NULL, 0, 2, 0},
    {"turns.test", DNS_A, "127.0.0.1,127.0.0.2", 0, 0, 0},
    {"turns.test", DNS_AAAA, "::1,ff0e::1", 0, 0, 0},
    {"fail.test", DNS_A, NULL, 0, 2, 0},
    {"fail.test", DNS_AAAA, NULL, 0, 2, 0},
    {"silent.test", DNS_A, NULL, DNS_SILENT, 0, 0},
    {"silent.test", DNS_AAAA, NULL, DNS_SILENT, 0, 0},
    {"stall.test", DNS_A, "127.0.0.1*40", DNS_TRUNCATED | DNS_TCP_SILENT, 0, 0},
    {"stall.test", DNS_AAAA, "::1*40", DNS_TRUNCATED | DNS_TCP_SILENT, 0, 0},
    {NULL, 0, NULL, 0, 0, 0},
};

static ac_loop *loop_with(const char *servers)
{
    ac_loop_options o = {.size = sizeof o, .verbose = AC_ON, .nameservers = servers};

    return ac_loop_new_with(&o);
}

static int setup(void **state)
{
    if (h_setup(state) != 0)
        return -1;
    ac_loop_free(*state);
    ac__dns_timeout = 2000;
    atomic_store(&peer.released, false);
    *state = loop_with(peer.text);
    return *state == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    if (*state != NULL && ac_loop_free(*state) != 0)
        return -1;
    H_LOOP_GONE(state);
    dns_quiet(&peer);
    return h_teardown(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* --- the far side --------------------------------------------------------------------------- */

/* Hosts of one port: an address each, listening, refusing (not here at all), or a black hole. */
struct far {
    uint16_t port;
    int      fd[8];
    unsigned n;
};

static int try_listen(const char *host, uint16_t port, int type, int backlog)
{
    ac_addr addr;
    int     fd, on = 1;

    assert_int_equal(ac_addr_ip(&addr, host, port), 0);
    fd = socket(ac_addr_family(&addr), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    if (type == SOCK_STREAM) /* the ports of past connections are good enough */
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &addr.u.sa, addr.len) < 0 || (type == SOCK_STREAM && listen(fd, backlog) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    ac_addr addr = {.len = sizeof addr.u};

    assert_int_equal(getsockname(fd, &addr.u.sa, &addr.len), 0);
    return ac_addr_port(&addr);
}

/* Opens sockets at all of `hosts` (ended by NULL) with one port. */
static void far_open(struct far *far, int type, int backlog, const char *const *hosts)
{
    for (int attempt = 0; attempt < 500; attempt++) {
        *far = (struct far){.port = 0};
        for (; hosts[far->n] != NULL; far->n++) {
            far->fd[far->n] = try_listen(hosts[far->n], far->port, type, backlog);
            if (far->fd[far->n] < 0)
                break;
            far->port = port_of(far->fd[0]);
        }
        if (hosts[far->n] == NULL)
            return;
        while (far->n > 0)
            close(far->fd[--far->n]);
    }
    fail_msg("no port is free at all addresses");
}

#define FAR(far, ...) far_open((far), SOCK_STREAM, 64, (const char *const[]){__VA_ARGS__, NULL})

static void far_close(struct far *far)
{
    while (far->n > 0)
        close(far->fd[--far->n]);
}

enum { PLUGS = 3 };

/* Turns a listener into a black hole: its queue is full, and SYNs are dropped. */
static void swallow(const struct far *far, unsigned index, int *plugs)
{
    ac_addr addr = {.len = sizeof addr.u};

    assert_int_equal(listen(far->fd[index], 0), 0);
    assert_int_equal(getsockname(far->fd[index], &addr.u.sa, &addr.len), 0);
    for (unsigned i = 0; i < PLUGS; i++) {
        plugs[i] = socket(ac_addr_family(&addr), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(plugs[i] >= 0);
        (void)connect(plugs[i], &addr.u.sa, addr.len);
    }
    h_wait(plugs[0], POLLOUT);
}

static void unplug(int *plugs)
{
    for (int i = 0; i < PLUGS; i++)
        close(plugs[i]);
}

/* --- one connect ---------------------------------------------------------------------------- */

static struct probe *begin(ac_loop *loop, const char *host, uint16_t port)
{
    struct probe *p = h_new(loop, M_CONNECT | M_READ | M_CLOSE | M_ERROR);

    assert_int_equal(ac_connect(&p->base, host, port), 0);
    return p;
}

/* Connects, and tells how long that took in milliseconds. */
static int64_t connect_to(ac_loop *loop, struct probe **out, const char *host, uint16_t port)
{
    int64_t began = h_now();

    *out = begin(loop, host, port);
    H_UNTIL(loop, (*out)->count[S_CONNECT] == 1 || (*out)->finalized);
    return (h_now() - began) / AC_MILLISECOND;
}

static bool is_at(struct probe *p, const char *host)
{
    ac_addr is, want;

    if (ac_peername(&p->base, &is) != 0)
        return false;
    assert_int_equal(ac_addr_ip(&want, host, ac_addr_port(&is)), 0);
    return ac_addr_equal(&is, &want);
}

static void test_ipv6_first(void **state)
{
    struct far    far;
    struct probe *p;

    FAR(&far, "127.0.0.1", "::1");
    connect_to(*state, &p, "both.test", far.port);
    assert_true(is_at(p, "::1"));
    ac_close(&p->base);
    connect_to(*state, &p, "localhost", far.port);
    assert_true(is_at(p, "::1"));
    ac_close(&p->base);
    connect_to(*state, &p, "v4.test", far.port);
    assert_true(is_at(p, "127.0.0.1"));
    ac_close(&p->base);
    connect_to(*state, &p, "v6.test", far.port);
    assert_true(is_at(p, "::1"));
    ac_close(&p->base);
    far_close(&far);
}

/* A refusal is followed by the next attempt at once. */
static void test_refused(void **state)
{
    struct far    far;
    struct probe *p;
    int64_t       ms;

    FAR(&far, "127.0.0.1");
    ms = connect_to(*state, &p, "both.test", far.port);
    assert_true(is_at(p, "127.0.0.1"));
    assert_in_range(ms, 0, 200);
    ac_close(&p->base);
    ms = connect_to(*state, &p, "third.test", far.port);
    assert_true(is_at(p, "127.0.0.1"));
    assert_in_range(ms, 0, 200);
    ac_close(&p->base);
    far_close(&far);
}

/* An attempt that goes nowhere is joined by the next after 250 ms, and closed when that wins. */
static void test_black_hole(void **state)
{
    struct far    far;
    struct probe *p;
    int           plugs[PLUGS];
    int64_t       ms;
    size_t        fds;

    FAR(&far, "127.0.0.1", "::1");
    swallow(&far, 1, plugs);
    ac_loop_turn(*state, 0);
    fds = h_fds();
    ms  = connect_to(*state, &p, "both.test", far.port);
    assert_true(is_at(p, "127.0.0.1"));
    assert_in_range(ms, 250, 349);
    assert_int_equal(h_fds(), fds + 1);
    ac_close(&p->base);
    unplug(plugs);
    far_close(&far);
}

/* The earlier attempt stays alive: it wins when its host wakes up while others are tried. */
static void test_earlier_attempt_wins(void **state)
{
    struct far    far;
    struct probe *p;
    int           plugs[2][PLUGS];
    int64_t       began = h_now();

    FAR(&far, "::1", "127.0.0.1");
    swallow(&far, 0, plugs[0]);
    swallow(&far, 1, plugs[1]);
    p = begin(*state, "both.test", far.port);
    while (h_now() - began < 400 * AC_MILLISECOND)
        ac_loop_turn(*state, 50 * AC_MILLISECOND);
    assert_int_equal(h_total(p), 0);
    for (int i = 0; i < PLUGS; i++) { /* the queue at ::1 has room again, for the repeated SYN */
        int fd = accept4(far.fd[0], NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            close(fd);
    }
    unplug(plugs[0]);
    H_UNTIL(*state, p->count[S_CONNECT] == 1);
    assert_true(is_at(p, "::1"));
    ac_close(&p->base);
    unplug(plugs[1]);
    far_close(&far);
}

/* IPv4 that answers first waits 50 ms for IPv6, and not longer. */
static void test_resolution_delay(void **state)
{
    struct far    far;
    struct probe *p;
    int64_t       ms, best;

    FAR(&far, "127.0.0.1", "::1");
    connect_to(*state, &p, "soon6.test", far.port);
    assert_true(is_at(p, "::1"));
    ac_close(&p->base);
    best = INT64_MAX;
    for (int i = 0; i < 3 && best > 200; i++) { /* a busy machine may be slow once */
        ms   = connect_to(*state, &p, "late6.test", far.port);
        best = ms < best ? ms : best;
        assert_true(is_at(p, "127.0.0.1"));
        assert_true(ms >= 50);
        ac_close(&p->base);
    }
    assert_in_range(best, 50, 200);
    best = INT64_MAX;
    for (int i = 0; i < 3; i++) { /* IPv6 waits for nobody; a busy machine may be slow once */
        ms   = connect_to(*state, &p, "held4.test", far.port);
        best = ms < best ? ms : best;
        assert_true(is_at(p, "::1"));
        ac_close(&p->base);
    }
    assert_in_range(best, 0, 45);
    far_close(&far);
}

/*
 * Connects to late6.test by IPv6, whose address comes after 400 ms. It is tried at once: by the
 * clock of attempts it would be after 500. The server counts in whole milliseconds, so that it may
 * answer one too early, and a busy machine may be slow once or twice.
 */
static void connect_late(ac_loop *loop, uint16_t port)
{
    struct probe *p;
    int64_t       ms = INT64_MAX;

    for (int i = 0; i < 3 && ms >= 500; i++) {
        ms = connect_to(loop, &p, "late6.test", port);
        assert_true(is_at(p, "::1"));
        ac_close(&p->base);
        assert_true(ms >= 398);
    }
    assert_in_range(ms, 398, 499);
}

/* Addresses that come after the first attempt are tried too. */
static void test_late_addresses(void **state)
{
    struct far far;
    int        plugs[PLUGS];

    FAR(&far, "::1", "127.0.0.1");
    swallow(&far, 1, plugs); /* the attempt that goes on is never answered */
    connect_late(*state, far.port);
    far_close(&far);
    unplug(plugs);

    FAR(&far, "::1"); /* all others were refused by then */
    connect_late(*state, far.port);
    far_close(&far);
}

/* One family never answers: the other is enough. */
static void test_half_silent(void **state)
{
    struct far    far;
    struct probe *p;
    int64_t       ms;

    FAR(&far, "127.0.0.1");
    ms = connect_to(*state, &p, "no6.test", far.port);
    assert_true(is_at(p, "127.0.0.1"));
    assert_in_range(ms, 50, 200);
    ac_close(&p->base);
    far_close(&far);
}

static void test_many_addresses(void **state)
{
    struct far    far;
    struct probe *p;
    int64_t       ms;

    FAR(&far, "127.0.0.1", "::1");
    ms = connect_to(*state, &p, "last.test", far.port); /* the 64th is the first that listens */
    assert_true(is_at(p, "127.0.0.1"));
    assert_in_range(ms, 0, 349);
    ac_close(&p->base);
    connect_to(*state, &p, "beyond.test", far.port); /* the 65th is not tried */
    assert_int_equal(p->err, -ECONNREFUSED);
    connect_to(*state, &p, "over.test", far.port); /* nor, of both families, the 33rd of one */
    assert_true(p->finalized && (p->err == -ENETUNREACH || p->err == -ECONNREFUSED));
    far_close(&far);
}

/* --- failures ------------------------------------------------------------------------------- */

static void fails_with(ac_loop *loop, const char *host, uint16_t port, int err)
{
    struct probe *p = begin(loop, host, port);

    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->err, err);
    assert_string_equal(p->order, "ez$");
}

static void test_errors(void **state)
{
    struct far far;

    FAR(&far, "127.0.0.9");
    fails_with(*state, "1.2.3", 1, -AC_ENAME);
    fails_with(*state, "", 1, -AC_ENAME);
    fails_with(*state, "a b", 1, -AC_ENAME);
    fails_with(*state, "absent.test", 1, -AC_ENOTFOUND);
    fails_with(*state, "absent.invalid", 1, -AC_ENOTFOUND);
    fails_with(*state, "fail.test", 1, -AC_EDNS);
    fails_with(*state, "fail6.test", 1, -AC_EDNS); /* not sure that nobody has the name */
    fails_with(*state, "fail4.test", 1, -AC_EDNS);
    fails_with(*state, "both.test", far.port, -ECONNREFUSED);
    fails_with(*state, "localhost", far.port, -ECONNREFUSED);
    far_close(&far);
}

/* The error is the last one of the family that was tried first, with its address in the log. */
static void test_which_error(void **state)
{
    struct far    far;
    struct probe *p = h_new(*state, 0);
    char          want[80];

    FAR(&far, "127.0.0.9");
    assert_int_equal(ac_connect(&p->base, "turns.test", far.port), 0);
    H_UNTIL(*state, p->finalized);
    assert_int_equal(ac_error(&p->base), -ENETUNREACH); /* TCP has no multicast */
    snprintf(want, sizeof want, "connect to [ff0e::1]:%u", far.port);
    if (strstr(p->line, want) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", want, p->line);
    p = h_new(*state, 0);
    assert_int_equal(ac_connect(&p->base, "absent.test", far.port), 0);
    H_UNTIL(*state, p->finalized);
    if (strstr(p->line, "look up absent.test") == NULL)
        fail_msg("\"%s\"", p->line);
    far_close(&far);
}

static unsigned ticks;

static void tick(ac_timer *t)
{
    ticks++;
    ac_timer_again(t);
}

/* Servers and hosts that never answer: the deadline ends it, and the loop does not stand still. */
static void test_deadline(void **state)
{
    static const char *const names[] = {"silent.test", "stall.test", "both.test"};
    struct far               far;
    int                      plugs[2][PLUGS];
    ac_timer                 timer;

    FAR(&far, "::1", "127.0.0.1");
    swallow(&far, 0, plugs[0]);
    swallow(&far, 1, plugs[1]);
    ac_timer_init(&timer, *state, tick);
    for (size_t i = 0, tries = 0; i < 3;
         tries++) {                        /* a busy machine may be late, not three times */
        int64_t       began = h_now(), ms; /* before the connect, from which the deadline counts */
        struct probe *p     = begin(*state, names[i], far.port);

        ticks = 0;
        assert_int_equal(ac_set_timeout(&p->base, AC_CONNECT, 300 * AC_MILLISECOND), 0);
        assert_int_equal(ac_timer_start(&timer, AC_MILLISECOND), 0);
        H_UNTIL_IN(*state, 5000, p->finalized);
        ac_timer_stop(&timer);
        assert_int_equal(p->err, -ETIMEDOUT);
        assert_string_equal(p->order, "ez$");
        ms = (h_now() - began) / AC_MILLISECOND;
        assert_true(ms >= 300);
        if ((ms > 450 || ticks <= 100) && tries < 2)
            continue;
        assert_in_range(ms, 300, 450);
        assert_true(ticks > 100);
        i++;
        tries = (size_t)-1;
    }
    unplug(plugs[0]);
    unplug(plugs[1]);
    far_close(&far);
}

static void test_bad_nameservers(void **state)
{
    struct probe *p;

    ac_loop_free(*state);
    *state = loop_with("nonsense");
    p      = h_new(*state, M_ERROR);
    assert_int_equal(ac_connect(&p->base, "both.test", 80), 0);
    H_UNTIL(*state, p->count[S_ERROR] == 1);
    assert_int_equal(p->err, -AC_EDNS);
    if (strstr(p->line, "nonsense") == NULL)
        fail_msg("\"%s\"", p->line);
}

static void test_out_of_descriptors(void **state)
{
    struct rlimit was, now;
    int           lowest;

    ac_loop_turn(*state, 0); /* opens what the loop needs */
    lowest = dup(0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    now          = was;
    now.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    fails_with(*state, "localhost", 9, -EMFILE);
    fails_with(*state, "both.test", 9, -AC_EDNS); /* no socket to ask with */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

/* --- closing ---------------------------------------------------------------------------------- */

static struct probe *closing;

static void close_in_timer(ac_timer *t)
{
    (void)t;
    ac_close(&closing->base);
}

static void close_self(struct probe *p)
{
    ac_close(&p->base);
}

/* Closes at a given time after the connect verb, which meets every state of a connect. */
static void close_after(ac_loop *loop, const char *host, uint16_t port, int64_t delay)
{
    ac_timer timer;
    size_t   fds;

    ac_loop_turn(loop, 0);
    fds     = h_fds();
    closing = begin(loop, host, port);
    ac_timer_init(&timer, loop, close_in_timer);
    assert_int_equal(ac_timer_start(&timer, delay), 0);
    H_UNTIL(loop, closing->finalized);
    assert_string_equal(closing->order, "$");
    dns_quiet(&peer);
    assert_int_equal(h_fds(), fds);
    assert_int_equal(h_stats(loop).lookups, 0);
}

static void test_close(void **state)
{
    struct far    far;
    struct probe *p;
    int           plugs[2][PLUGS];

    FAR(&far, "::1", "127.0.0.1");
    swallow(&far, 0, plugs[0]);
    swallow(&far, 1, plugs[1]);
    p = begin(*state, "both.test", far.port); /* before any turn */
    ac_close(&p->base);
    H_UNTIL(*state, p->finalized);
    assert_string_equal(p->order, "$");
    p = begin(*state, "1.2.3", far.port);
    ac_close(&p->base);
    H_UNTIL(*state, p->finalized);
    assert_string_equal(p->order, "$");
    close_after(*state, "silent.test", far.port, 0);                   /* asking */
    close_after(*state, "silent.test", far.port, 30 * AC_MILLISECOND); /* asked */
    close_after(*state, "stall.test", far.port, 30 * AC_MILLISECOND);  /* asked by TCP */
    close_after(*state, "held6.test", far.port, 30 * AC_MILLISECOND);  /* waiting for IPv6 */
    close_after(*state, "held6.test", far.port, 100 * AC_MILLISECOND); /* one attempt */
    close_after(*state, "both.test", far.port, 300 * AC_MILLISECOND);  /* two attempts */
    unplug(plugs[0]);
    unplug(plugs[1]);
    far_close(&far);
}

static void test_close_in_handlers(void **state)
{
    struct far    far;
    struct probe *p;

    FAR(&far, "127.0.0.1");
    p                = begin(*state, "no6.test", far.port); /* IPv6 is still being asked for */
    p->on[S_CONNECT] = close_self;
    H_UNTIL(*state, p->finalized);
    assert_string_equal(p->order, "c$");
    p              = begin(*state, "absent.test", far.port);
    p->on[S_ERROR] = close_self;
    H_UNTIL(*state, p->finalized);
    assert_string_equal(p->order, "e$");
    far_close(&far);
}

/* Two lookups are told in one turn, and the handler of the first closes the second. */
static void close_other(struct probe *p)
{
    ac_close(&p->other->base);
}

static void test_close_sibling(void **state)
{
    struct far    far;
    struct probe *a, *b;

    FAR(&far, "127.0.0.1", "::1");
    a                = h_new(*state, M_CONNECT | M_ERROR);
    b                = h_new(*state, M_CONNECT | M_ERROR);
    a->other         = b;
    b->other         = a;
    a->on[S_CONNECT] = b->on[S_CONNECT] = close_other;
    assert_int_equal(ac_connect_udp(&a->base, "localhost", far.port), 0);
    assert_int_equal(ac_connect_udp(&b->base, "localhost", far.port), 0);
    H_UNTIL(*state, a->finalized || b->finalized);
    assert_int_equal(a->count[S_CONNECT] + b->count[S_CONNECT], 1);
    ac_close(&a->base);
    ac_close(&b->base);
    far_close(&far);
}

static void free_after(void **state, const char *host, uint16_t port, int64_t delay)
{
    struct probe *p     = begin(*state, host, port);
    int64_t       began = h_now();

    while (h_now() - began < delay)
        ac_loop_turn(*state, 10 * AC_MILLISECOND);
    assert_int_equal(ac_loop_free(*state), 0);
    assert_string_equal(p->order, "$");
    *state = loop_with(peer.text);
}

static void leave_open(struct probe *p)
{
    p->number++;
}

/* An attempt that succeeds behind a failure which is yet to be told, or was, succeeds for nobody. */
static void test_failed_by_the_program(void **state)
{
    ac_loop   *loop = *state;
    struct far far;

    FAR(&far, "127.0.0.1", "::1");
    for (int way = 0; way < 2; way++) {
        struct probe *p      = begin(loop, "localhost", far.port);
        struct pollfd pfd[2] = {{.fd = far.fd[0], .events = POLLIN},
                                {.fd = far.fd[1], .events = POLLIN}};
        int           fd;

        p->on[S_CLOSE] = way == 1 ? leave_open : NULL;
        H_UNTIL(loop, poll(pfd, 2, 0) > 0);
        assert_int_equal(h_total(p), 0);
        ac_fail(&p->base, EPROTO);
        H_UNTIL_IN(loop, 5, p->count[S_CLOSE] == 1);
        h_idle(loop, 5 * AC_MILLISECOND);
        assert_int_equal(p->err, -EPROTO);
        assert_string_equal(p->order, way == 1 ? "ez" : "ez$");
        ac_close(&p->base);
        fd = accept(far.fd[pfd[0].revents == 0], NULL, NULL);
        assert_true(fd >= 0);
        close(fd);
    }
    far_close(&far);
}

static void test_free_loop(void **state)
{
    struct far far;
    int        plugs[2][PLUGS];

    FAR(&far, "::1", "127.0.0.1");
    swallow(&far, 0, plugs[0]);
    swallow(&far, 1, plugs[1]);
    free_after(state, "both.test", far.port, 0);
    free_after(state, "silent.test", far.port, 30 * AC_MILLISECOND);
    free_after(state, "held6.test", far.port, 30 * AC_MILLISECOND);
    free_after(state, "both.test", far.port, 300 * AC_MILLISECOND);
    unplug(plugs[0]);
    unplug(plugs[1]);
    far_close(&far);
}

static void test_run_waits_for_lookup(void **state)
{
    struct far    far;
    struct probe *p;

    FAR(&far, "127.0.0.1");
    p                = begin(*state, "v4.test", far.port);
    p->on[S_CONNECT] = close_self;
    assert_int_equal(ac_run(*state), 0);
    assert_string_equal(p->order, "c$");
    far_close(&far);
}

/* --- fork ------------------------------------------------------------------------------------- */

static void test_fork(void **state)
{
    struct far    far;
    struct probe *held, *racing;
    int           plugs[PLUGS];
    unsigned      before = atomic_load(&peer.questions);
    int64_t       began;
    pid_t         pid;
    int           status;

    FAR(&far, "127.0.0.1", "::1");
    swallow(&far, 1, plugs);
    racing = begin(*state, "both.test", far.port);
    held   = begin(*state, "held6.test", far.port + 1u > 65535 ? 1 : (uint16_t)(far.port + 1));
    began  = h_now();
    while (h_now() - began < 30 * AC_MILLISECOND || atomic_load(&peer.questions) < before + 4)
        ac_loop_turn(*state, 10 * AC_MILLISECOND);
    assert_int_equal(h_total(racing) + h_total(held), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) { /* the child closes one and goes on with the other */
        bool ok = ac_loop_after_fork(*state) == 0;

        ac_close(&held->base);
        for (int i = 0; ok && i < 2000 && racing->count[S_CONNECT] == 0; i++)
            ok = ac_loop_turn(*state, 100 * AC_MILLISECOND) >= 0;
        ok = ok && held->finalized && is_at(racing, "127.0.0.1");
        ok = ok && ac_loop_free(*state) == 0 && h_live == 0;
        _exit(ok ? 0 : 1);
    }
    H_UNTIL(*state, racing->count[S_CONNECT] == 1);
    assert_true(is_at(racing, "127.0.0.1"));
    dns_release(&peer);
    H_UNTIL(*state, held->finalized);
    assert_int_equal(held->err, -ECONNREFUSED);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ac_close(&racing->base);
    unplug(plugs);
    far_close(&far);
}

/* --- UDP -------------------------------------------------------------------------------------- */

static void say(struct probe *p)
{
    (void)ac_sendto(&p->base, "?", 1, NULL);
}

static void test_udp(void **state)
{
    struct far    far;
    struct probe *p;
    char          c;

    far_open(&far, SOCK_DGRAM, 0, (const char *const[]){"127.0.0.1", NULL});
    p                = h_new(*state, M_CONNECT | M_READ | M_CLOSE | M_ERROR);
    p->on[S_CONNECT] = say;
    assert_int_equal(ac_connect_udp(&p->base, "third.test", far.port), 0);
    H_UNTIL(*state, recv(far.fd[0], &c, 1, 0) == 1);
    assert_int_equal(p->count[S_CONNECT], 3); /* two addresses answered that nobody listens there */
    assert_true(is_at(p, "127.0.0.1"));
    assert_int_equal(p->count[S_ERROR], 0);
    ac_close(&p->base);
    far_close(&far);

    p                = h_new(*state, M_CONNECT | M_READ | M_CLOSE | M_ERROR);
    p->on[S_CONNECT] = say;
    assert_int_equal(ac_connect_udp(&p->base, "second.test", far.port), 0);
    H_UNTIL(*state, p->finalized);
    assert_int_equal(p->err, -ECONNREFUSED);
    p = h_new(*state, M_CONNECT | M_ERROR);
    assert_int_equal(ac_connect_udp(&p->base, "absent.test", far.port), 0);
    H_UNTIL(*state, p->count[S_ERROR] == 1);
    assert_int_equal(p->err, -AC_ENOTFOUND);
}

/* A socket that may not send to all: connect() itself refuses, and the next address is taken. */
static void test_udp_refused_at_once(void **state)
{
    struct far    far;
    struct probe *p;
    char          c;

    far_open(&far, SOCK_DGRAM, 0, (const char *const[]){"127.0.0.1", NULL});
    p                = h_new(*state, M_CONNECT | M_READ | M_CLOSE | M_ERROR);
    p->on[S_CONNECT] = say;
    assert_int_equal(ac_connect_udp(&p->base, "barred.test", far.port), 0);
    H_UNTIL_IN(*state, 100, p->count[S_CONNECT] == 2 || p->finalized);
    assert_int_equal(p->count[S_ERROR], 0);
    assert_true(is_at(p, "127.0.0.1"));
    h_wait(far.fd[0], POLLIN);
    assert_int_equal(recv(far.fd[0], &c, 1, 0), 1);
    ac_close(&p->base);

    p                = h_new(*state, M_CONNECT | M_READ | M_CLOSE | M_ERROR);
    p->on[S_CONNECT] = say;
    assert_int_equal(ac_connect_udp(&p->base, "bars.test", far.port), 0);
    H_UNTIL_IN(*state, 100, p->finalized);
    assert_int_equal(p->count[S_CONNECT], 1);
    assert_int_equal(p->count[S_ERROR], 1);
    assert_int_equal(p->err, -EACCES); /* of the last one */
    far_close(&far);
}

/* --- out of memory ------------------------------------------------------------------------ */

/* One connect on a fresh loop: whether it connected. */
static bool one_connect(const char *host, uint16_t port, bool udp)
{
    ac_loop     *loop = loop_with(peer.text);
    struct probe p    = {.number = 0};
    bool         ok;
    int          rc;

    if (loop == NULL)
        return false;
    h_init(&p, loop, M_CONNECT | M_ERROR | M_CLOSE);
    rc = udp ? ac_connect_udp(&p.base, host, port) : ac_connect(&p.base, host, port);
    assert_true(rc == 0);
    for (int i = 0; i < 2000 && p.count[S_CONNECT] == 0 && !p.finalized; i++)
        if (ac_loop_turn(loop, 100 * AC_MILLISECOND) < 0)
            break;
    ok = p.count[S_CONNECT] == 1;
    if (p.count[S_ERROR] != 0)
        /* One address was refused, and memory ended on the way to the other: both are reasons. */
        if (!(p.err == -ENOMEM || p.err == -AC_EDNS || p.err == -ECONNREFUSED))
            fail_msg("%s: %s", ac_errname(p.err), p.line);
    ac_loop_free(loop);
    assert_int_equal(p.count[S_FINALIZE], 1);
    return ok;
}

static void sweep(const char *host, uint16_t port, bool udp, bool from_there_on)
{
    long k = 1, live = h_live;
    bool ok;

    do {
        h_alloc_calls   = 0;
        h_alloc_fail    = k++;
        h_alloc_fail_on = from_there_on;
        ok              = one_connect(host, port, udp);
        assert_int_equal(h_live, live);
    } while (h_alloc_calls >= h_alloc_fail);
    h_alloc_fail = 0;
    assert_true(ok);
}

static void test_out_of_memory(void **state)
{
    struct far far;

    (void)state;
    ac__dns_timeout = 10; /* an answer that there is no memory to read counts as lost */
    FAR(&far, "127.0.0.1");
    for (int on = 0; on < 2; on++) {
        sweep("both.test", far.port, false, on != 0);
        sweep("localhost", far.port, false, on != 0);
        sweep("third.test", far.port, true, on != 0);
    }
    far_close(&far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ipv6_first),
        TEST(test_refused),
        TEST(test_black_hole),
        TEST(test_earlier_attempt_wins),
        TEST(test_resolution_delay),
        TEST(test_late_addresses),
        TEST(test_half_silent),
        TEST(test_many_addresses),
        TEST(test_errors),
        TEST(test_which_error),
        TEST(test_deadline),
        TEST(test_bad_nameservers),
        TEST(test_out_of_descriptors),
        TEST(test_close),
        TEST(test_close_in_handlers),
        TEST(test_close_sibling),
        TEST(test_failed_by_the_program),
        TEST(test_free_loop),
        TEST(test_run_waits_for_lookup),
        TEST(test_fork),
        TEST(test_udp),
        TEST(test_udp_refused_at_once),
        TEST(test_out_of_memory),
    };
    int rc;

    h_start();
    dns_start(&peer, rules);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    dns_stop(&peer);
    return rc;
}
