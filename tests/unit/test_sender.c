/* SPDX-License-Identifier: MIT */
/*
 * The buffered sender: all or nothing, limits and marks, peers that do not read, the end behind the
 * queue, and goodbyes that reach the peer.
 */
#include "harness.h"

static uint8_t block[4 << 20], got[4 << 20];

#define small_pair h_small_pair

/* Turns and reads at the far side until `want` bytes have come or the stream has ended. */
static size_t drain(ac_loop *loop, int fd, size_t want)
{
    struct h_bound bound = h_bound(100000);
    size_t         n     = 0;

    while (n < want && !(h_ended(fd))) {
        n += h_get(fd, got + n, want - n);
        if (n < want)
            assert_true(ac_loop_turn(loop, AC_MILLISECOND) >= 0);
        assert_true(bound.turns-- > 0 && h_now() < bound.end);
    }
    return n;
}

/* Reads all that comes until the stream ends: 0 for an orderly end, or -errno. */
static int end_of(int fd, size_t *n)
{
    ssize_t r;

    *n = 0;
    do {
        h_wait(fd, POLLIN);
        r = recv(fd, got + *n, sizeof got - *n, 0);
        *n += r > 0 ? (size_t)r : 0;
    } while (r > 0);
    return r < 0 ? -errno : 0;
}

/* --- all or nothing -------------------------------------------------------------------------- */

static void taken_whole_or_not_at_all(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = small_pair(loop, p), rc;
    size_t        sent = 0;

    h_pattern(block, sizeof block, 0);
    assert_int_equal(ac_set_marks(&p->base, 1000, 2000, 100000), 0);
    assert_int_equal(ac_write(&p->base, block, 100001), -ENOBUFS); /* more than can ever fit */
    assert_int_equal(ac_queued(&p->base), 0);
    while ((rc = ac_write(&p->base, block + sent, 7001)) == 0) {
        sent += 7001;
        assert_true(ac_queued(&p->base) <= 100000);
        assert_true(sent < sizeof block - 7001);
    }
    assert_int_equal(rc, -ENOBUFS);
    assert_true(ac_queued(&p->base) > 100000 - 7001);
    assert_int_equal(h_stats(loop).queued_bytes, ac_queued(&p->base));
    assert_int_equal(drain(loop, fd, sent), sent);
    assert_true(h_pattern_ok(got, sent, 0));
    H_UNTIL(loop, ac_queued(&p->base) == 0);
    assert_int_equal(h_stats(loop).queued_bytes, 0);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(h_get(fd, got, 1), 0);
    close(fd);
}

static void default_limit(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = small_pair(loop, p);

    assert_int_equal(ac_write(&p->base, block, (1 << 20) + 1), -ENOBUFS);
    assert_int_equal(ac_write(&p->base, block, 1 << 20), 0);
    assert_int_equal(drain(loop, fd, 1 << 20), 1 << 20);
    close(fd);
}

static void misuse(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, M_READ | M_CLOSE), *server = h_new(loop, M_ACCEPT);
    struct probe *dgram = h_new(loop, M_READ), *fresh = h_new(loop, M_READ);
    int           fd = h_pair(loop, p);

    assert_int_equal(ac_listen(&server->base, "127.0.0.1", 0, 1), 0);
    assert_int_equal(ac_listen_udp(&dgram->base, "127.0.0.1", 0), 0);
    assert_int_equal(ac_write(&server->base, "x", 1), -ENOTSUP);
    assert_int_equal(ac_write(&dgram->base, "x", 1), -ENOTSUP);
    assert_int_equal(ac_write(&fresh->base, "x", 1), -EBADF);
    assert_int_equal(ac_write(&p->base, NULL, 1), -EINVAL);
    assert_int_equal(ac_write(&p->base, "x", 0), 0);
    assert_int_equal(ac_set_marks(&p->base, 10, 10, 20), -EINVAL);
    assert_int_equal(ac_set_marks(&p->base, 20, 10, 30), -EINVAL);
    assert_int_equal(ac_set_marks(&p->base, 1, 30, 20), -EINVAL);
    assert_int_equal(ac_set_marks(&p->base, 0, 20, 20), 0);
    assert_int_equal(ac_queued(&fresh->base), 0);
    assert_true(ac_shutdown_write(&server->base) < 0);
    close(fd);
}

static void formatted(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    assert_int_equal(ac_writef(&p->base, "%s %d\r\n", "status", 200), 0);
    assert_int_equal(ac_writef(&p->base, "%0*d", 3000, 7), 0); /* longer than a small buffer */
    assert_int_equal(drain(loop, fd, 3012), 3012);
    assert_memory_equal(got, "status 200\r\n", 12);
    assert_int_equal(got[12], '0');
    assert_int_equal(got[3011], '7');
    h_idle(loop, AC_MILLISECOND);
    assert_int_equal(h_get(fd, got, 1), 0); /* no NUL behind it */
    close(fd);
}

/* --- while connecting, and before what is queued --------------------------------------------- */

static void queued_while_connecting(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_CONNECT | M_READ | M_CLOSE);
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 1), fd;

    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    h_pattern(block, 70000, 0);
    assert_int_equal(ac_write(&p->base, block, 70000), 0);
    assert_int_equal(ac_queued(&p->base), 70000);
    assert_int_equal(ac_send(&p->base, "x", 1), -ENOTCONN);
    H_UNTIL(loop, p->count[S_CONNECT] == 1);
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_int_equal(drain(loop, fd, 70000), 70000);
    assert_true(h_pattern_ok(got, 70000, 0));
    close(fd);
    close(listener);
}

static void send_keeps_the_order(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = small_pair(loop, p);

    while (ac_queued(&p->base) == 0)
        assert_int_equal(ac_write(&p->base, block, 50000), 0);
    assert_int_equal(ac_send(&p->base, "x", 1), -EAGAIN);
    close(fd);
}

/* --- marks ----------------------------------------------------------------------------------- */

static void drained(struct probe *p)
{
    p->number = (long)ac_queued(&p->base);
}

static void drain_is_told_once(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_DRAIN | M_CLOSE);
    int           fd   = small_pair(loop, p);
    size_t        sent = 0;

    p->on[S_DRAIN] = drained;
    assert_int_equal(ac_set_marks(&p->base, 10000, 200000, 400000), 0);
    for (unsigned round = 1; round <= 3; round++) {
        sent = 0;
        while (ac_queued(&p->base) < 200000) {
            assert_int_equal(ac_write(&p->base, block, 30000), 0);
            sent += 30000;
        }
        h_idle(loop, 2 * AC_MILLISECOND);
        assert_int_equal(p->count[S_DRAIN], round - 1);
        assert_int_equal(drain(loop, fd, sent), sent);
        H_UNTIL(loop, p->count[S_DRAIN] == round);
        assert_true(p->number <= 10000);
        h_idle(loop, 2 * AC_MILLISECOND);
        assert_int_equal(p->count[S_DRAIN], round);
    }
    /* A queue that never reached the high mark is not told of. */
    while (ac_queued(&p->base) < 50000)
        assert_int_equal(ac_write(&p->base, block, 30000), 0);
    assert_true(ac_queued(&p->base) < 200000);
    struct h_bound bound = h_bound(100000);
    while (ac_queued(&p->base) > 0) {
        h_get(fd, got, sizeof got);
        h_turn(loop, &bound, __FILE__, __LINE__);
    }
    h_idle(loop, 2 * AC_MILLISECOND);
    assert_int_equal(p->count[S_DRAIN], 3);
    close(fd);
}

/* A producer that is told by handle_drain, and a peer that reads nothing at first. */
static size_t produced;

static void produce(struct probe *p)
{
    while (produced < sizeof block && ac_write(&p->base, block + produced, 8192) == 0)
        produced += 8192;
}

/* The marks are reached by as many bytes: the high one from below, the low one from above. */
static void marks_to_the_byte(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p[3];
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 8);

    for (unsigned i = 0; i < 3; i++) {
        p[i] = h_new(loop, M_CONNECT | M_DRAIN | M_READ | M_CLOSE);
        assert_int_equal(ac_connect_addr(&p[i]->base, &addr), 0);
        assert_int_equal(ac_set_marks(&p[i]->base, 0, 1000, 1000), 0);
        /* While the channel connects all is queued: one byte too few, enough, one too many. */
        assert_int_equal(ac_write(&p[i]->base, block, 999 + i), i < 2 ? 0 : -ENOBUFS);
        assert_int_equal(ac_queued(&p[i]->base), i < 2 ? 999 + i : 0);
    }
    H_UNTIL(loop, p[1]->count[S_DRAIN] == 1);
    assert_int_equal(ac_queued(&p[1]->base), 0);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(p[0]->count[S_CONNECT], 1);
    assert_int_equal(p[0]->count[S_DRAIN] + p[2]->count[S_DRAIN], 0);
    assert_int_equal(p[1]->count[S_DRAIN], 1);
    close(listener);
}

static void peer_that_never_reads(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_DRAIN | M_READ | M_CLOSE);
    int           fd   = small_pair(loop, p);

    produced = 0;
    h_pattern(block, sizeof block, 0);
    p->on[S_DRAIN] = produce;
    assert_int_equal(ac_set_marks(&p->base, 16384, 65536, 131072), 0);
    produce(p);
    size_t stopped_at = produced;
    assert_true(stopped_at < sizeof block);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 5);
    assert_int_equal(produced, stopped_at);
    assert_true(ac_queued(&p->base) <= 131072);
    assert_true(h_stats(loop).queued_bytes <= 131072);
    assert_int_equal(p->count[S_DRAIN], 0);
    /* Now it reads: the producer goes on to the end. */
    assert_int_equal(drain(loop, fd, sizeof block), sizeof block);
    assert_true(h_pattern_ok(got, sizeof block, 0));
    assert_true(p->count[S_DRAIN] > 1);
    close(fd);
}

/* --- handle_write behind the queue ----------------------------------------------------------- */

static void write_slot(struct probe *p)
{
    assert_int_equal(ac_queued(&p->base), 0);
}

static void handle_write_when_empty(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_WRITE | M_READ | M_CLOSE);
    int           fd   = small_pair(loop, p);
    size_t        sent = 0;

    p->on[S_WRITE] = write_slot;
    H_UNTIL(loop, p->count[S_WRITE] == 1);
    while (ac_queued(&p->base) < 100000) {
        assert_int_equal(ac_write(&p->base, block, 50000), 0);
        sent += 50000;
    }
    h_idle(loop, AC_MILLISECOND);
    assert_int_equal(p->count[S_WRITE], 1);
    assert_int_equal(drain(loop, fd, sent), sent);
    H_UNTIL(loop, p->count[S_WRITE] == 2);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 3);
    assert_int_equal(p->count[S_WRITE], 2);
    close(fd);
}

static void read_in_write(struct probe *p)
{
    char c;

    assert_int_equal(ac_recv(&p->base, &c, 1), -EAGAIN);
}

static void pause_in_write(struct probe *p)
{
    assert_int_equal(ac_pause(&p->base), 0);
}

static void call_in_write(struct probe *p)
{
    assert_int_equal(ac_changed(&p->base), 0);
    if (p->count[S_WRITE] % 3 == 0)
        p->on[S_WRITE] = NULL;
}

/* What is done for reading is no reason to be called again; ac_changed() in there is one. */
static void handle_write_that_does_not_write(void **state)
{
    static h_hook *const hooks[] = {read_in_write, pause_in_write, NULL};
    ac_loop             *loop    = *state;

    for (int i = 0; i < 3; i++) {
        struct probe *p  = h_new(loop, M_WRITE | M_READ | M_CLOSE);
        int           fd = h_pair_attached(loop, p);

        p->on[S_WRITE] = hooks[i];
        H_UNTIL(loop, p->count[S_WRITE] >= 1);
        assert_true(h_idle(loop, 30 * AC_MILLISECOND) <= 4);
        assert_int_equal(p->count[S_WRITE], 1);
        assert_int_equal(ac_changed(&p->base), 0);
        H_UNTIL(loop, p->count[S_WRITE] >= 2);
        assert_true(h_idle(loop, 10 * AC_MILLISECOND) <= 4);
        assert_int_equal(p->count[S_WRITE], 2);
        p->on[S_WRITE] = call_in_write;
        assert_int_equal(ac_changed(&p->base), 0);
        H_UNTIL(loop, p->on[S_WRITE] == NULL);
        h_idle(loop, 10 * AC_MILLISECOND);
        assert_int_equal(p->count[S_WRITE], 4);
        close(fd);
        ac_close(&p->base);
    }
}

static size_t bare_sent;

static void bare_send(struct probe *p)
{
    ssize_t n;

    while (bare_sent < 3000000
           && (n = ac_send(&p->base, block + bare_sent, 3000000 - bare_sent)) > 0)
        bare_sent += (size_t)n;
}

/* The bare ac_send() of the seed's programs: told again after it could not send all. */
static void bare_send_goes_on(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_WRITE | M_CLOSE);
    int           fd   = small_pair(loop, p);

    bare_sent = 0;
    h_pattern(block, 3000000, 0);
    p->on[S_WRITE] = bare_send;
    assert_int_equal(ac_changed(&p->base), 0);
    assert_int_equal(drain(loop, fd, 3000000), 3000000);
    assert_true(h_pattern_ok(got, 3000000, 0));
    assert_true(p->count[S_WRITE] > 1);
    close(fd);
}

/* --- errors are told later ------------------------------------------------------------------- */

static void write_error_is_told_later(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_ERROR | M_CLOSE | M_DRAIN);
    int           fd   = h_pair(loop, p), rc;

    h_reset(fd);
    h_wait(h_fd(p), POLLHUP);
    assert_int_equal(ac_write(&p->base, "x", 1), 0);
    rc = ac_write(&p->base, "y", 1);
    assert_true(rc == 0 || rc == -EPIPE);
    assert_int_equal(h_total(p), 0);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->count[S_ERROR], 1);
    assert_true(p->err == -ECONNRESET || p->err == -EPIPE);
    assert_string_equal(p->order + strlen(p->order) - 3, "ez$");
}

static void write_in_read(struct probe *p)
{
    h_take(p);
    p->number = ac_write(&p->base, "answer", 6);
}

/* The peer is gone when the handler answers: a result, a late report, and no signal. */
static void answer_to_the_dead(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_ERROR | M_CLOSE);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = write_in_read;
    p->number     = 1;
    h_put(fd, "ask", 3);
    h_reset(fd);
    h_wait(h_fd(p), POLLHUP);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->in_len, 3);
    assert_int_equal(p->number, 0);
    assert_string_equal(p->order, "rez$");
}

/* --- the end behind the queue ---------------------------------------------------------------- */

static void shutdown_behind_the_queue(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_EOF | M_CLOSE);
    int           fd   = small_pair(loop, p);
    size_t        n;

    h_pattern(block, 500000, 0);
    assert_int_equal(ac_write(&p->base, block, 500000), 0);
    assert_int_equal(ac_shutdown_write(&p->base), 0);
    assert_int_equal(ac_write(&p->base, "x", 1), -EPIPE);
    assert_int_equal(ac_send(&p->base, "x", 1), -EPIPE);
    assert_int_equal(ac_shutdown_write(&p->base), 0);
    n = drain(loop, fd, sizeof got);
    assert_int_equal(n, 500000);
    assert_true(h_pattern_ok(got, n, 0));
    assert_true(h_ended(fd));
    /* The other direction is open still. */
    h_put(fd, "more", 4);
    H_UNTIL(loop, p->in_len == 4);
    assert_true(ac_is_open(&p->base));
    shutdown(fd, SHUT_WR);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    close(fd);
}

/* --- goodbyes -------------------------------------------------------------------------------- */

/* Input that nobody read must not destroy a reply that is on its way. */
static void goodbye_with_unread_input(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_WRITE | M_EOF | M_CLOSE | M_DRAIN | M_ERROR);
    int           fd   = small_pair(loop, p);
    unsigned      calls;
    size_t        n;

    h_idle(loop, AC_MILLISECOND);
    calls = h_total(p);
    h_put(fd, "GET / HTTP/1.0\r\n\r\n", 18);
    h_wait(h_fd(p), POLLIN);
    h_pattern(block, 1 << 20, 0);
    assert_int_equal(ac_write(&p->base, block, 1 << 20), 0);
    ac_close_when_sent(&p->base);
    ac_close_when_sent(&p->base);
    assert_int_equal(ac_write(&p->base, "x", 1), -EPIPE);
    n = drain(loop, fd, sizeof got);
    assert_int_equal(n, 1 << 20);
    assert_true(h_pattern_ok(got, n, 0));
    h_put(fd, "and more", 8);
    close(fd);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(h_total(p), calls);
}

static void goodbye_waits_for_the_peer(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    assert_int_equal(ac_write(&p->base, "bye", 3), 0);
    ac_close_when_sent(&p->base);
    assert_int_equal(drain(loop, fd, 10), 3);
    h_idle(loop, 20 * AC_MILLISECOND);
    assert_false(p->finalized);
    close(fd);
    H_UNTIL(loop, p->finalized);
    assert_string_equal(p->order, "$");
}

/* A peer that takes all and never closes: AC_LINGER ends it. */
static void goodbye_lingers_so_long(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE | M_ERROR);
    int           fd   = h_pair(loop, p);
    int64_t       begin;
    size_t        n;

    assert_int_equal(ac_set_timeout(&p->base, AC_LINGER, 60 * AC_MILLISECOND), 0);
    assert_int_equal(ac_write(&p->base, "bye", 3), 0);
    ac_close_when_sent(&p->base);
    begin = h_now();
    H_UNTIL_IN(loop, 20, p->finalized);
    assert_true(h_now() - begin >= 55 * AC_MILLISECOND);
    assert_true(h_now() - begin < AC_SECOND);
    assert_string_equal(p->order, "$");
    /* The peer has it all, and sees an end in order. */
    assert_int_equal(end_of(fd, &n), 0);
    assert_int_equal(n, 3);
    close(fd);
}

/*
 * All is sent, and the peer's host has not acknowledged it when the linger is over: a stream that
 * was cut must not look whole.
 */
static void goodbye_unacknowledged(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE | M_ERROR);
    int           fd = h_small_pair(loop, p), room = 100000;
    size_t        n;

    assert_int_equal(setsockopt(h_fd(p), SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    h_pattern(block, sizeof block, 0);
    assert_int_equal(ac_set_timeout(&p->base, AC_LINGER, 60 * AC_MILLISECOND), 0);
    assert_int_equal(ac_write(&p->base, block, 50000), 0);
    H_UNTIL(loop, ac_queued(&p->base) == 0);
    ac_close_when_sent(&p->base);
    H_UNTIL_IN(loop, 20, p->finalized);
    assert_string_equal(p->order, "$");
    assert_int_equal(end_of(fd, &n), -ECONNRESET);
    assert_true(n < 50000);
    assert_true(h_pattern_ok(got, n, 0));
    assert_non_null(strstr(p->line, "ETIMEDOUT"));
    close(fd);
}

/* The linger of 2 s is the default. */
static void goodbye_lingers_by_default(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE | M_ERROR);
    int           fd   = h_pair(loop, p);
    int64_t       begin;

    ac_close_when_sent(&p->base);
    begin = h_now();
    H_UNTIL_IN(loop, 100, p->finalized);
    assert_true(h_now() - begin >= 1900 * AC_MILLISECOND);
    assert_true(h_now() - begin < 4 * AC_SECOND);
    close(fd);
}

/* A peer that sends without end is heard 64 KiB long. */
static void goodbye_drops_64_kib(void **state)
{
    ac_loop      *loop  = *state;
    struct probe *p     = h_new(loop, M_READ | M_CLOSE | M_ERROR);
    int           fd    = h_pair(loop, p);
    int64_t       begin = h_now();
    size_t        sent  = 0;

    ac_close_when_sent(&p->base);
    struct h_bound bound = h_bound(5000);
    while (!p->finalized) {
        ssize_t n = send(fd, block, 16384, MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        h_turn(loop, &bound, __FILE__, __LINE__);
    }
    assert_true(sent > 65536);
    assert_true(sent <= 65536 + 5 * 16384);
    assert_true(h_now() - begin < 1500 * AC_MILLISECOND);
    assert_int_equal(p->count[S_READ], 0);
    close(fd);
}

/* A peer that never reads: AC_WRITE ends the goodbye, with a reset and one line in the log. */
static void goodbye_to_a_dead_peer(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = small_pair(loop, p);
    size_t        n;

    h_pattern(block, 1 << 20, 0);
    assert_int_equal(ac_set_timeout(&p->base, AC_WRITE, 50 * AC_MILLISECOND), 0);
    assert_int_equal(ac_write(&p->base, block, 1 << 20), 0);
    ac_close_when_sent(&p->base);
    H_UNTIL_IN(loop, 50, p->finalized);
    assert_int_equal(p->count[S_CLOSE] + p->count[S_READ], 0);
    assert_non_null(strstr(p->line, "Probe"));
    assert_non_null(strstr(p->line, "ETIMEDOUT"));
    assert_int_equal(end_of(fd, &n), -ECONNRESET);
    assert_true(n > 0 && n < 1 << 20);
    assert_true(h_pattern_ok(got, n, 0));
    close(fd);
}

static void say_goodbye(struct probe *p)
{
    ac_close_when_sent(&p->base);
}

/* The same with the goodbye of the default handle_close, to a peer that shut its side. */
static void goodbye_cut_after_the_peers_end(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ);
    int           fd   = small_pair(loop, p);
    size_t        n;

    assert_int_equal(ac_set_timeout(&p->base, AC_WRITE, 50 * AC_MILLISECOND), 0);
    assert_int_equal(ac_write(&p->base, block, 1 << 20), 0);
    shutdown(fd, SHUT_WR); /* the default handle_close says goodbye */
    H_UNTIL_IN(loop, 50, p->finalized);
    assert_int_equal(end_of(fd, &n), -ECONNRESET);
    assert_true(n < 1 << 20);
    close(fd);
}

/* Such a peer that is gone in the middle of it: the goodbye ends at once, and does not spin. */
static void goodbye_reset_after_the_peers_end(void **state)
{
    ac_loop *loop = *state;

    for (int way = 0; way < 2; way++) {
        struct probe *p  = h_new(loop, M_READ | (way == 1 ? M_CLOSE : 0));
        int           fd = small_pair(loop, p);

        p->on[S_CLOSE] = say_goodbye;
        assert_int_equal(ac_write(&p->base, block, 1 << 20), 0);
        shutdown(fd, SHUT_WR);
        h_idle(loop, 5 * AC_MILLISECOND);
        assert_true(ac_queued(&p->base) > 0);
        h_reset(fd);
        H_UNTIL_IN(loop, 10, p->finalized);
    }
}

static void goodbye_before_connected(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, M_CONNECT | M_READ | M_CLOSE), *fresh = h_new(loop, M_READ);
    struct probe *server = h_new(loop, M_ACCEPT);
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 1), fd;

    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    assert_int_equal(ac_write(&p->base, "hello", 5), 0);
    ac_close_when_sent(&p->base);
    h_idle(loop, 5 * AC_MILLISECOND);
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(drain(loop, fd, 100), 5);
    assert_memory_equal(got, "hello", 5);
    close(fd);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->count[S_READ] + p->count[S_CLOSE], 0);

    /* What is not connected closes at once. */
    ac_close_when_sent(&fresh->base);
    assert_int_equal(ac_listen(&server->base, "127.0.0.1", 0, 1), 0);
    ac_close_when_sent(&server->base);
    assert_false(ac_is_open(&server->base));
    H_UNTIL(loop, server->finalized);
    close(listener);
}

/* A large reply by a channel of the default slots, to a client that half-closed first. */
static void reply_on_eof(struct probe *p)
{
    assert_int_equal(ac_write(&p->base, block, 900000), 0);
}

static void default_close_sends_the_queue(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ);
    int           fd   = small_pair(loop, p);
    size_t        n;

    h_pattern(block, 900000, 0);
    reply_on_eof(p);
    h_put(fd, "x", 1);
    shutdown(fd, SHUT_WR);
    n = drain(loop, fd, sizeof got);
    assert_int_equal(n, 900000);
    assert_true(h_pattern_ok(got, n, 0));
    close(fd);
    H_UNTIL(loop, p->finalized);
}

static const struct CMUnitTest tests[] = {
    H_TEST(taken_whole_or_not_at_all),
    H_TEST(default_limit),
    H_TEST(misuse),
    H_TEST(formatted),
    H_TEST(queued_while_connecting),
    H_TEST(send_keeps_the_order),
    H_TEST(drain_is_told_once),
    H_TEST(marks_to_the_byte),
    H_TEST(peer_that_never_reads),
    H_TEST(handle_write_when_empty),
    H_TEST(handle_write_that_does_not_write),
    H_TEST(bare_send_goes_on),
    H_TEST(write_error_is_told_later),
    H_TEST(answer_to_the_dead),
    H_TEST(shutdown_behind_the_queue),
    H_TEST(goodbye_with_unread_input),
    H_TEST(goodbye_waits_for_the_peer),
    H_TEST(goodbye_lingers_so_long),
    H_TEST(goodbye_unacknowledged),
    H_TEST(goodbye_lingers_by_default),
    H_TEST(goodbye_drops_64_kib),
    H_TEST(goodbye_to_a_dead_peer),
    H_TEST(goodbye_cut_after_the_peers_end),
    H_TEST(goodbye_reset_after_the_peers_end),
    H_TEST(goodbye_before_connected),
    H_TEST(default_close_sends_the_queue),
};

H_MAIN(tests)
