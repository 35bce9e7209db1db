/* SPDX-License-Identifier: MIT */
/*
 * The loop itself: what keeps a run, what ends it, what is refused in a callback; rule 6 (a turn is
 * bounded); new channels and timers made in callbacks; embedding; fork.
 */
#include "harness.h"

#include <sys/wait.h>

/* --- results of a run ------------------------------------------------------------------------ */

static void nothing_to_do(void **state)
{
    ac_loop *loop = *state;

    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(ac_loop_turn(loop, 0), 0);
    assert_int_equal(ac_run(loop), 0);
}

static void run_ends_with_the_last_channel(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    close(fd);
    assert_int_equal(ac_run(loop), 0);
    assert_string_equal(p->order, "rz$");
}

static void stop_is_sticky(void **state)
{
    ac_loop *loop = *state;

    assert_int_equal(ac_hold(loop), 0);
    ac_stop(loop);
    ac_stop(loop);
    assert_int_equal(ac_run(loop), 1);
    ac_stop(loop);
    assert_int_equal(ac_run(loop), 1);
    assert_int_equal(ac_unhold(loop), 0);
    assert_int_equal(ac_run(loop), 0);
    /* A stop wins over an empty loop. */
    ac_stop(loop);
    assert_int_equal(ac_run(loop), 1);
    assert_int_equal(ac_run(loop), 0);
}

static void stop_the_run(struct probe *p)
{
    h_take(p);
    ac_stop(p->base.loop);
}

static void stop_in_a_callback(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = stop_the_run;
    for (unsigned i = 1; i <= 3; i++) {
        h_put(fd, "x", 1);
        assert_int_equal(ac_run(loop), 1);
        assert_int_equal(p->count[S_READ], i);
    }
    close(fd);
    p->on[S_READ] = NULL;
    assert_int_equal(ac_run(loop), 0);
}

static void hold_and_unhold(void **state)
{
    ac_loop *loop = *state;

    assert_int_equal(ac_unhold(loop), -EINVAL);
    assert_int_equal(ac_hold(loop), 0);
    assert_int_equal(ac_hold(loop), 0);
    assert_int_equal(ac_unhold(loop), 0);
    ac_stop(loop);
    assert_int_equal(ac_run(loop), 1);
    assert_int_equal(ac_unhold(loop), 0);
    assert_int_equal(ac_unhold(loop), -EINVAL);
    assert_int_equal(ac_run(loop), 0);
}

static void unref_and_ref(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_ACCEPT);

    assert_true(ac_unref(&p->base) < 0); /* not open yet */
    assert_int_equal(ac_listen(&p->base, "127.0.0.1", 0, 1), 0);
    assert_int_equal(ac_unref(&p->base), 0);
    assert_int_equal(ac_unref(&p->base), 0);
    assert_int_equal(ac_run(loop), 0);
    assert_true(ac_is_open(&p->base));
    assert_int_equal(ac_ref(&p->base), 0);
    ac_stop(loop);
    assert_int_equal(ac_run(loop), 1);
    assert_int_equal(ac_unref(&p->base), 0);
    ac_close(&p->base);
    assert_int_equal(ac_run(loop), 0); /* the finalizer is waited for all the same */
    assert_true(p->finalized);
}

/* --- refused in a callback ------------------------------------------------------------------- */

static void turn_inside(struct probe *p)
{
    assert_int_equal(ac_loop_turn(p->base.loop, 0), -EDEADLK);
    assert_int_equal(ac_run(p->base.loop), -EDEADLK);
    assert_int_equal(ac_loop_free(p->base.loop), -EBUSY);
    h_take(p);
}

static ac_timer timer;
static unsigned fired;

static void fire_turn_inside(ac_timer *t)
{
    fired++;
    assert_int_equal(ac_loop_turn(t->loop, 0), -EDEADLK);
    assert_int_equal(ac_run(t->loop), -EDEADLK);
    assert_int_equal(ac_loop_free(t->loop), -EBUSY);
}

static void no_turn_in_a_callback(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    fired         = 0;
    p->on[S_READ] = turn_inside;
    ac_timer_init(&timer, loop, fire_turn_inside);
    assert_int_equal(ac_timer_start(&timer, 0), 0);
    h_put(fd, "x", 1);
    H_UNTIL(loop, p->in_len == 1 && fired == 1);
    p->on[S_READ] = NULL;
    h_put(fd, "y", 1);
    H_UNTIL(loop, p->in_len == 2);
    close(fd);
}

/* --- soft failures --------------------------------------------------------------------------- */

static void no_loop(void **state)
{
    static const ac_class cls = {.name = "None"};
    ac_dispatcher         d;
    ac_timer              t;
    int64_t               ns;
    ac_stats              stats = {.size = sizeof stats};
    ac_addr               addr;

    (void)state;
    memset(&d, 0, sizeof d);
    assert_int_equal(ac_init(&d, NULL, &cls), -EINVAL);
    assert_int_equal(ac_connect(&d, "localhost", 37), -EINVAL);
    assert_int_equal(ac_listen(&d, NULL, 0, 5), -EINVAL);
    assert_int_equal(ac_listen_udp(&d, NULL, 0), -EINVAL);
    assert_int_equal(ac_open(&d, AF_INET, SOCK_STREAM), -EINVAL);
    assert_int_equal(ac_write(&d, "x", 1), -EINVAL);
    assert_int_equal(ac_peername(&d, &addr), -EINVAL);
    assert_int_equal(ac_local_port(&d), 0);
    assert_int_equal(ac_fileno(&d), -1);
    assert_false(ac_is_open(&d));
    ac_close(&d);
    ac_close_when_sent(&d);
    assert_null(ac_new(ac_dispatcher, NULL, &cls));
    assert_int_equal(ac_run(NULL), -EINVAL);
    assert_int_equal(ac_loop_turn(NULL, 0), -EINVAL);
    assert_int_equal(ac_loop_free(NULL), 0);
    ac_stop(NULL);
    ac_wake(NULL);
    assert_int_equal(ac_close_all(NULL), -EINVAL);
    assert_int_equal(ac_hold(NULL), -EINVAL);
    assert_int_equal(ac_unhold(NULL), -EINVAL);
    assert_int_equal(ac_loop_now(NULL), 0);
    ac_loop_update(NULL);
    assert_int_equal(ac_loop_prepare(NULL, &ns), -EINVAL);
    assert_int_equal(ac_loop_fileno(NULL), -EINVAL);
    assert_int_equal(ac_loop_after_fork(NULL), -EINVAL);
    assert_string_equal(ac_loop_backend(NULL), "none");
    assert_int_equal(ac_loop_stats(NULL, &stats), -EINVAL);
    ac_timer_init(&t, NULL, NULL);
    assert_int_equal(ac_timer_start(&t, 0), -EINVAL);
    ac_timer_stop(&t);
}

static void no_dispatcher(void **state)
{
    char        c;
    const void *view;
    ac_sock     sock;

    (void)state;
    assert_int_equal(ac_connect(NULL, "localhost", 37), -EINVAL);
    assert_int_equal(ac_recv(NULL, &c, 1), -EINVAL);
    assert_int_equal(ac_read(NULL, &view), -EINVAL);
    assert_int_equal(ac_send(NULL, "x", 1), -EINVAL);
    assert_int_equal(ac_write(NULL, "x", 1), -EINVAL);
    assert_int_equal(ac_accept(NULL, &sock, NULL), -EINVAL);
    assert_int_equal(ac_pause(NULL), -EINVAL);
    assert_int_equal(ac_set_marks(NULL, 1, 2, 3), -EINVAL);
    assert_int_equal(ac_error(NULL), 0);
    assert_int_equal(ac_queued(NULL), 0);
    assert_false(ac_is_connected(NULL));
    ac_fail(NULL, EIO);
}

static void other_abi_is_refused(void **state)
{
    static const ac_class cls  = {.name = "Old"};
    ac_loop              *loop = *state;
    ac_dispatcher         d;

    assert_int_equal(ac_init_(&d, loop, &cls, sizeof d, AC_ABI + 1), -EINVAL);
    assert_int_equal(ac_connect(&d, "127.0.0.1", 1), -EINVAL);
    ac_close(&d);
    assert_int_equal(ac_init_(&d, loop, &cls, sizeof d + 8, AC_ABI), -EINVAL);
    assert_int_equal(ac_listen(&d, NULL, 0, 5), -EINVAL);
    assert_int_equal(ac_init_(&d, loop, NULL, sizeof d, AC_ABI), -EINVAL);
    assert_int_equal(ac_write(&d, "x", 1), -EINVAL);
    assert_null(ac_new_(loop, &cls, sizeof d, sizeof d, AC_ABI + 1));
    assert_null(ac_new_(loop, &cls, sizeof d - 1, sizeof d, AC_ABI));
    assert_int_equal(sizeof(ac_dispatcher), 96);
}

static void unknown_backend(void **state)
{
    ac_loop_options options = {
        .size = sizeof options, .backend = "carrier pigeon", .verbose = AC_ON};
    ac_loop      *loop = ac_loop_new_with(&options);
    struct probe *p;

    (void)state;
    assert_non_null(loop);
    assert_string_equal(ac_loop_backend(loop), "none");
    p = h_new(loop, M_CONNECT | M_ERROR);
    assert_int_equal(ac_loop_turn(loop, 0), -EINVAL);
    assert_int_equal(ac_run(loop), -EINVAL);
    (void)ac_listen(&p->base, "127.0.0.1", 0, 1);
    assert_int_equal(ac_loop_free(loop), 0);
}

static void backend_by_name(void **state)
{
    const char *name;

    (void)state;
    assert_non_null(ac_backend_name(0));
    for (size_t i = 0; (name = ac_backend_name(i)) != NULL; i++) {
        ac_loop_options options = {.size = sizeof options, .backend = name};
        ac_loop        *loop    = ac_loop_new_with(&options);

        assert_string_equal(ac_loop_backend(loop), name);
        assert_int_equal(ac_run(loop), 0);
        assert_int_equal(ac_loop_free(loop), 0);
    }
}

/* A program of an older header knows fewer counters: no more is written than it has room for. */
static void statistics_of_a_size(void **state)
{
    ac_loop *loop = *state;
    ac_stats part, none = {.size = 0};

    assert_int_equal(ac_loop_turn(loop, 0), 0);
    memset(&part, 0xEE, sizeof part);
    part.size = offsetof(ac_stats, events);
    assert_int_equal(ac_loop_stats(loop, &part), 0);
    assert_int_equal(part.turns, 1);
    assert_true(part.events == UINT64_C(0xEEEEEEEEEEEEEEEE));
    assert_int_equal(ac_loop_stats(loop, NULL), -EINVAL);
    (void)ac_loop_stats(loop, &none);
    assert_int_equal(h_stats(loop).turns, 1);
}

/* --- made in callbacks ----------------------------------------------------------------------- */

static ac_addr  target;
static ac_timer timers[S_SLOTS];

static void fire_count(ac_timer *t)
{
    (void)t;
    fired++;
}

/* Makes a channel and a timer in whatever slot this is. */
static void make_more(struct probe *p)
{
    struct probe *q = h_new(p->base.loop, M_CONNECT | M_READ | M_CLOSE);

    p->number++;
    if (p->child == NULL)
        p->child = q;
    assert_int_equal(ac_connect_addr(&q->base, &target), 0);
    ac_timer_init(&timers[p->number % S_SLOTS], p->base.loop, fire_count);
    assert_int_equal(ac_timer_start(&timers[p->number % S_SLOTS], 0), 0);
    if (p->count[S_READ] > 0 && ac_is_open(&p->base))
        h_take(p);
    if (p->count[S_CLOSE] > 0)
        ac_close(&p->base);
}

static void channels_and_timers_made_in_callbacks(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p =
        h_new(loop, M_CONNECT | M_READ | M_WRITE | M_EOF | M_CLOSE | M_ERROR | M_EXPT);
    int listener = h_raw_listen(&target, "127.0.0.1", 64), fd;

    fired = 0;
    for (int i = 0; i < S_SLOTS; i++)
        p->on[i] = make_more;
    fd = h_pair(loop, p);
    H_UNTIL(loop, p->count[S_WRITE] > 0);
    h_put(fd, "x", 1);
    H_UNTIL(loop, p->in_len == 1);
    h_reset(fd);
    H_UNTIL(loop, p->finalized);
    H_UNTIL(loop, fired == (unsigned)p->number);
    H_UNTIL(loop, p->child->count[S_CONNECT] == 1);
    assert_true(p->number >= 6); /* connect, write, read, error, close, finalize */
    assert_int_equal(h_stats(loop).timers, 0);
    assert_int_equal(ac_close_all(loop), p->number);
    assert_int_equal(ac_run(loop), 0);
    close(listener);
}

static unsigned turn_fired;

static void fire_again(ac_timer *t)
{
    fired++;
    turn_fired = (unsigned)h_stats(t->loop).turns;
    if (fired < 5)
        ac_timer_start(t, 0);
}

/* A timer that starts itself anew waits for the next turn: one call a turn. */
static void timer_that_starts_itself(void **state)
{
    ac_loop *loop = *state;
    unsigned before, was;

    fired = 0;
    ac_timer_init(&timer, loop, fire_again);
    ac_timer_start(&timer, 0);
    while (fired < 5) {
        before = fired;
        was    = turn_fired;
        assert_true(ac_loop_turn(loop, AC_SECOND) >= 0);
        assert_true(fired <= before + 1);
        assert_true(fired == before || turn_fired != was);
    }
}

/* --- rule 6: a turn is bounded --------------------------------------------------------------- */

static size_t taken_in_turn;

static void take_forever(struct probe *p)
{
    size_t before = p->in_len;

    h_take(p);
    taken_in_turn += p->in_len - before;
    assert_true(p->rc == -EAGAIN || p->rc == 0);
}

static void view_forever(struct probe *p)
{
    const void *view;
    ssize_t     n;

    while ((n = ac_read(&p->base, &view)) > 0)
        taken_in_turn += (size_t)n;
    p->in_len = 0;
    assert_true(n == -EAGAIN || n == 0);
}

static void flood(int fd)
{
    static uint8_t block[65536];

    while (send(fd, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
    }
}

static void greedy_channel(ac_loop *loop, h_hook *hook)
{
    struct probe *greedy = h_new(loop, M_READ | M_CLOSE), *meek = h_new(loop, M_READ | M_CLOSE);
    int           fg = h_pair(loop, greedy), fm = h_pair(loop, meek), big = 4 << 20;
    uint64_t      stops = h_stats(loop).budget_stops;

    greedy->on[S_READ] = hook;
    setsockopt(h_fd(greedy), SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
    setsockopt(fg, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof big);
    h_idle(loop, AC_MILLISECOND);
    for (unsigned i = 1; i <= 12; i++) {
        flood(fg);
        h_wait(h_fd(greedy), POLLIN);
        h_put(fm, "m", 1);
        h_wait(h_fd(meek), POLLIN);
        taken_in_turn  = 0;
        greedy->in_len = 0;
        assert_true(ac_loop_turn(loop, AC_SECOND) > 0);
        assert_true(taken_in_turn <= 256 * 1024);
        assert_int_equal(meek->count[S_READ], i);
    }
    assert_true(h_stats(loop).budget_stops > stops);
    /* What is left is told again without another event. */
    shutdown(fg, SHUT_WR);
    H_UNTIL(loop, greedy->finalized);
    close(fg);
    close(fm);
    ac_close(&meek->base);
    h_idle(loop, 0);
}

static void read_budget(void **state)
{
    greedy_channel(*state, take_forever);
    greedy_channel(*state, view_forever);
}

/* --- a handler that does not read ------------------------------------------------------------ */

static bool     willing;
static unsigned asked;

static bool is_willing(ac_dispatcher *d)
{
    (void)d;
    asked++;
    return willing;
}

static void take_nothing(struct probe *p)
{
    (void)p;
}

static void handler_that_does_not_read(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = take_nothing;
    h_put(fd, "x", 1);
    assert_true(h_idle(loop, 100 * AC_MILLISECOND) <= 25);
    assert_int_equal(p->count[S_READ], 16);
    assert_int_equal(h_stats(loop).stalls, 1);
    assert_non_null(strstr(p->line, "Probe"));
    /* Any call on the channel ends it. */
    p->on[S_READ] = NULL;
    assert_int_equal(ac_changed(&p->base), 0);
    H_UNTIL(loop, p->in_len == 1);
    h_put(fd, "y", 1);
    H_UNTIL(loop, p->in_len == 2);
    close(fd);
}

/* So do the calls that set something, and after each a predicate is asked again. */
static int set_some_marks(ac_dispatcher *d)
{
    return ac_set_marks(d, 1, 2, 3);
}

static int set_some_timeout(ac_dispatcher *d)
{
    return ac_set_timeout(d, AC_WRITE, AC_SECOND);
}

static void any_call_ends_a_stall(void **state)
{
    int (*const calls[])(ac_dispatcher *) = {set_some_marks, set_some_timeout, ac_resume,
                                             ac_fileno,      ac_ref,           ac_oob};
    ac_loop *loop                         = *state;

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct probe *p = h_new(loop, M_READ | M_CLOSE);
        int           fd;

        asked           = 0;
        willing         = true;
        p->cls.readable = is_willing;
        assert_int_equal(ac_init(&p->base, loop, &p->cls), 0);
        fd            = h_pair(loop, p);
        p->on[S_READ] = take_nothing;
        h_put(fd, "x", 1);
        h_idle(loop, 20 * AC_MILLISECOND);
        assert_int_equal(p->count[S_READ], 16);
        p->on[S_READ] = NULL;
        asked         = 0;
        (void)calls[i](&p->base);
        H_UNTIL(loop, p->in_len == 1);
        assert_true(asked > 0);
        close(fd);
        H_UNTIL(loop, p->finalized);
    }
}

static void take_one(struct probe *p)
{
    char c;

    p->rc = (int)ac_recv(&p->base, &c, 1);
    if (p->rc == 1)
        p->in_len++;
}

/* One that takes a byte at a time is not stalled, and is told of every byte. */
static void handler_that_reads_one_byte(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);
    uint8_t       data[100];

    h_pattern(data, sizeof data, 0);
    p->on[S_READ] = take_one;
    h_put(fd, data, sizeof data);
    H_UNTIL(loop, p->in_len == sizeof data);
    assert_int_equal(p->count[S_READ], sizeof data);
    assert_int_equal(h_stats(loop).stalls, 0);
    shutdown(fd, SHUT_WR);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->count[S_CLOSE], 1);
    close(fd);
}

static void take_one_of_ten(struct probe *p)
{
    take_one(p);
    if (p->in_len == 10)
        ac_stop(p->base.loop);
}

/* What is left unread is served without a wait in every other turn, but no more than that. */
static void leftovers_share_waits(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);
    ac_stats      before, after;

    h_idle(loop, AC_MILLISECOND);
    p->on[S_READ] = take_one_of_ten;
    h_put(fd, "0123456789", 10);
    before = h_stats(loop);
    assert_int_equal(ac_run(loop), 1);
    after = h_stats(loop);
    assert_in_range(after.turns - before.turns, 10, 12);
    assert_in_range(after.poller_waits - before.poller_waits, 5, 6);
    ac_close(&p->base);
    close(fd);
}

/* A read that finds nothing is no stall either, and 16 empty reports in a row must not pause. */
static void stall_counts_runs_only(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    for (unsigned i = 1; i <= 40; i++) {
        h_put(fd, "x", 1);
        H_UNTIL(loop, p->in_len == i);
    }
    assert_int_equal(h_stats(loop).stalls, 0);
    close(fd);
}

/* --- predicates ------------------------------------------------------------------------------ */

static void readable_says_no(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd;

    willing         = false;
    asked           = 0;
    p->cls.readable = is_willing;
    assert_int_equal(ac_init(&p->base, loop, &p->cls), 0); /* which looks at the class */
    fd = h_pair(loop, p);
    h_put(fd, "x", 1);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 4);
    assert_int_equal(p->count[S_READ], 0);
    /* Asked again only when the answer can have changed. */
    asked = 0;
    h_idle(loop, 5 * AC_MILLISECOND);
    h_idle(loop, 5 * AC_MILLISECOND);
    if (getenv("ASYNCORE_DEBUG") == NULL)
        assert_int_equal(asked, 0);
    willing = true;
    assert_int_equal(ac_changed(&p->base), 0);
    H_UNTIL(loop, p->in_len == 1);
    assert_true(asked > 0);
    close(fd);
}

static void write_nothing(struct probe *p)
{
    p->number++;
}

static void writable_says_no(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_WRITE | M_CLOSE);
    int           fd;

    willing         = false;
    asked           = 0;
    p->on[S_WRITE]  = write_nothing;
    p->cls.writable = is_willing;
    assert_int_equal(ac_init(&p->base, loop, &p->cls), 0);
    fd = h_pair(loop, p);
    assert_true(h_idle(loop, 30 * AC_MILLISECOND) <= 4);
    assert_int_equal(p->count[S_WRITE], 0);
    willing = true;
    assert_int_equal(ac_changed(&p->base), 0);
    H_UNTIL(loop, p->count[S_WRITE] == 1);
    /* It wrote nothing, so it is not asked to write again. */
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 3);
    assert_int_equal(p->count[S_WRITE], 1);
    assert_int_equal(ac_changed(&p->base), 0);
    H_UNTIL(loop, p->count[S_WRITE] == 2);
    close(fd);
}

static void write_a_byte(struct probe *p)
{
    assert_int_equal(ac_send(&p->base, "x", 1), 1);
}

/* A channel that has been able to write ever since it was made hears of its input all the same. */
static void writing_hides_no_input(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_WRITE | M_CLOSE);
    int           fd   = h_pair_attached(loop, p);

    p->on[S_WRITE] = write_a_byte;
    h_put(fd, "x", 1);
    H_UNTIL_IN(loop, 20, p->in_len == 1);
    shutdown(fd, SHUT_WR);
    H_UNTIL_IN(loop, 20, p->finalized);
    close(fd);
}

/* --- embedding ------------------------------------------------------------------------------- */

static void embedded_in_a_foreign_poll(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd = h_pair(loop, p), own = ac_loop_fileno(loop);
    int64_t       ns, begin;
    struct pollfd pfd;

    assert_true(h_edges() ? own >= 0 : own == -1);
    h_idle(loop, AC_MILLISECOND);
    assert_int_equal(ac_loop_prepare(loop, &ns), 0);
    assert_true(ns == AC_FOREVER);
    if (own >= 0) {
        pfd = (struct pollfd){.fd = own, .events = POLLIN};
        assert_int_equal(poll(&pfd, 1, 0), 0);
        h_put(fd, "x", 1);
        assert_int_equal(poll(&pfd, 1, 5000), 1);
        assert_true(ac_loop_turn(loop, 0) > 0);
        assert_int_equal(p->in_len, 1);
        assert_int_equal(ac_loop_prepare(loop, &ns), 0);
        assert_int_equal(poll(&pfd, 1, 0), 0);
        ac_wake(loop);
        assert_int_equal(poll(&pfd, 1, 5000), 1);
        assert_int_equal(ac_loop_turn(loop, 0), 0);
    }
    /* A timer bounds the sleep. */
    fired = 0;
    ac_timer_init(&timer, loop, fire_count);
    ac_timer_start(&timer, 20 * AC_MILLISECOND);
    begin = h_now();
    assert_int_equal(ac_loop_prepare(loop, &ns), 0);
    assert_true(ns > 0 && ns <= 20 * AC_MILLISECOND);
    while (fired == 0) {
        assert_int_equal(ac_loop_prepare(loop, &ns), 0);
        poll(NULL, 0, (int)((ns + AC_MILLISECOND - 1) / AC_MILLISECOND));
        ac_loop_turn(loop, 0);
    }
    assert_true(h_now() - begin < AC_SECOND);
    /* What is owed now leaves no time to sleep. */
    ac_close(&p->base);
    assert_int_equal(ac_loop_prepare(loop, &ns), 0);
    assert_true(ns == 0);
    ac_loop_turn(loop, 0);
    assert_true(p->finalized);
    close(fd);
}

/* Interest that changed outside a turn reaches the kernel by prepare. */
static void prepare_sends_interest(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_ACCEPT | M_CLOSE);
    int64_t       ns;
    struct pollfd pfd;
    ac_addr       addr;
    int           fd;

    if (!h_edges())
        return;
    pfd = (struct pollfd){.fd = ac_loop_fileno(loop), .events = POLLIN};
    assert_int_equal(ac_listen(&p->base, "127.0.0.1", 0, 4), 0);
    assert_int_equal(ac_addr_ip(&addr, "127.0.0.1", ac_local_port(&p->base)), 0);
    assert_int_equal(ac_loop_prepare(loop, &ns), 0);
    fd = h_raw_connect(&addr);
    assert_int_equal(poll(&pfd, 1, 5000), 1);
    assert_true(ac_loop_turn(loop, 0) > 0);
    assert_int_equal(p->nchildren, 1);
    close(fd);
}

/* --- fork ------------------------------------------------------------------------------------ */

static int child_refused(ac_loop *loop, struct probe *p, struct probe *server)
{
    char    c;
    int64_t ns;

    if (ac_run(loop) != -ECHILD || ac_loop_turn(loop, 0) != -ECHILD)
        return 10;
    if (ac_write(&p->base, "x", 1) != -ECHILD || ac_recv(&p->base, &c, 1) != -ECHILD)
        return 11;
    if (ac_pause(&server->base) != -ECHILD || ac_loop_prepare(loop, &ns) != -ECHILD)
        return 12;
    if (ac_set_marks(&p->base, 1, 2, 3) != -ECHILD || ac_shutdown_write(&p->base) != -ECHILD)
        return 13;
    if (ac_set_timeout(&p->base, AC_IDLE, AC_SECOND) != -ECHILD)
        return 14;
    return 0;
}

static int reap_child(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int serves(ac_loop *loop, struct probe *server, struct probe *p, int fd)
{
    ac_addr  addr;
    int      client;
    unsigned was = server->nchildren;
    size_t   had = p->in_len;

    if (ac_addr_ip(&addr, "127.0.0.1", ac_local_port(&server->base)) != 0)
        return 1;
    client = h_raw_connect(&addr);
    h_put(fd, "x", 1);
    H_UNTIL(loop, server->nchildren == was + 1 && p->in_len == had + 1);
    close(client);
    return 0;
}

static void child_closes_everything(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, M_READ | M_CLOSE), *server = h_new(loop, M_ACCEPT);
    int           fd = h_pair(loop, p);
    pid_t         pid;

    server->children = M_READ | M_CLOSE;
    assert_int_equal(ac_listen(&server->base, "127.0.0.1", 0, 8), 0);
    assert_int_equal(serves(loop, server, p, fd), 0);
    for (int way = 0; way < 3; way++) {
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            int rc = child_refused(loop, p, server);

            if (way == 0) {
                ac_close(&p->base);
                ac_close(&server->base);
            }
            if (way == 1)
                rc = ac_loop_after_fork(loop) != 0 || ac_close_all(loop) < 2 ? 20 : rc;
            if (ac_loop_free(loop) != 0)
                rc = 21;
            _exit(rc);
        }
        assert_int_equal(reap_child(pid), 0);
        assert_int_equal(serves(loop, server, p, fd), 0);
        assert_int_equal(p->count[S_CLOSE], 0);
    }
    close(fd);
}

/* The child makes the loop its own and serves; the parent is not disturbed. */
static void child_serves_after_fork(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, M_READ | M_CLOSE), *server = h_new(loop, M_ACCEPT);
    int           fd = h_pair(loop, p), rc;
    pid_t         pid;

    server->children = M_READ | M_CLOSE;
    assert_int_equal(ac_loop_after_fork(loop), 0); /* no fork: nothing to do */
    assert_int_equal(ac_listen(&server->base, "127.0.0.1", 0, 8), 0);
    assert_int_equal(serves(loop, server, p, fd), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(20);
        rc = ac_loop_after_fork(loop);
        if (rc == 0)
            rc = serves(loop, server, p, fd);
        if (rc == 0 && (ac_loop_after_fork(loop) != 0 || ac_loop_free(loop) != 0))
            rc = 30;
        _exit(rc == 0 ? 0 : 1);
    }
    assert_int_equal(reap_child(pid), 0);
    assert_int_equal(serves(loop, server, p, fd), 0);
    close(fd);
}

enum { BATCH = 3 };

static pid_t    forked_in, first_process;
static unsigned posts_run;

/* The child goes on with its turn; the parent waits for the child's end before it does. */
static void fork_in_read(struct probe *p)
{
    int status;

    p->on[S_READ] = NULL;
    for (struct probe *q = p->other; q != p; q = q->other)
        q->on[S_READ] = NULL;
    forked_in = fork();
    assert_true(forked_in >= 0);
    if (forked_in == 0) {
        alarm(20);
        return;
    }
    assert_int_equal(waitpid(forked_in, &status, 0), forked_in);
    p->number = status;
    h_take(p);
}

static void count_post(ac_work *work, int status)
{
    (void)work;
    posts_run += status == 0;
}

static unsigned reads_of(struct probe *const p[BATCH])
{
    unsigned n = 0;

    for (int i = 0; i < BATCH; i++)
        n += p[i]->count[S_READ];
    return n;
}

/* In the child: what is left of the turn is the parent's; the child's comes after it asked for it. */
static int child_of_a_callback(ac_loop *loop, struct probe *const p[BATCH], int rc)
{
    if (rc != -ECHILD || reads_of(p) != 1 || posts_run != 0)
        return 40;
    if (ac_loop_turn(loop, 0) != -ECHILD || reads_of(p) != 1)
        return 41;
    if (ac_loop_after_fork(loop) != 0)
        return 42;
    for (int i = 0; i < 20 && (reads_of(p) < 1 + BATCH || posts_run == 0); i++)
        if (ac_loop_turn(loop, 100 * AC_MILLISECOND) < 0)
            return 43;
    for (int i = 0; i < BATCH; i++)
        if (p[i]->in_len != 1)
            return 44;
    if (posts_run != 1)
        return 45;
    return ac_loop_free(loop) != 0 ? 46 : 0;
}

static void fork_in_a_callback(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p[BATCH];
    ac_work       work = {.run = count_post};
    int           fd[BATCH], rc;

    first_process = getpid();
    forked_in     = -1;
    posts_run     = 0;
    for (int i = 0; i < BATCH; i++) {
        p[i]             = h_new(loop, M_READ | M_CLOSE);
        fd[i]            = h_pair(loop, p[i]);
        p[i]->on[S_READ] = fork_in_read;
    }
    h_idle(loop, AC_MILLISECOND);
    for (int i = 0; i < BATCH; i++) {
        p[i]->other = p[(i + 1) % BATCH];
        h_put(fd[i], "x", 1);
        h_wait(h_fd(p[i]), POLLIN);
    }
    ac_post(loop, &work);
    rc = ac_loop_turn(loop, AC_SECOND);
    if (getpid() != first_process)
        _exit(child_of_a_callback(loop, p, rc));
    assert_true(forked_in > 0);
    assert_int_equal(p[0]->number + p[1]->number + p[2]->number, 0); /* the child's exit status */
    assert_true(rc >= BATCH);                                        /* the parent's turn went on */
    assert_int_equal(reads_of(p), BATCH);
    assert_int_equal(posts_run, 1);
    for (int i = 0; i < BATCH; i++) {
        p[i]->in_len = 0;
        h_put(fd[i], "y", 1);
        H_UNTIL(loop, p[i]->in_len == 1);
        close(fd[i]);
    }
}

static void fork_in_fire(ac_timer *t)
{
    int status = -1;

    (void)t;
    forked_in = fork();
    assert_true(forked_in >= 0);
    if (forked_in == 0)
        return;
    assert_int_equal(waitpid(forked_in, &status, 0), forked_in);
    assert_int_equal(status, 0);
}

/* The same from a timer, before the events of the turn: the data is the parent's. */
static void fork_in_a_timer(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p), rc;

    h_idle(loop, AC_MILLISECOND);
    first_process = getpid();
    ac_timer_init(&timer, loop, fork_in_fire);
    assert_int_equal(ac_timer_start(&timer, 0), 0);
    h_put(fd, "x", 1);
    h_wait(h_fd(p), POLLIN);
    rc = ac_loop_turn(loop, AC_SECOND);
    if (getpid() != first_process)
        _exit(rc != -ECHILD || p->count[S_READ] != 0);
    assert_int_equal(p->in_len, 1);
    close(fd);
}

static const struct CMUnitTest tests[] = {
    H_TEST(nothing_to_do),
    H_TEST(run_ends_with_the_last_channel),
    H_TEST(stop_is_sticky),
    H_TEST(stop_in_a_callback),
    H_TEST(hold_and_unhold),
    H_TEST(unref_and_ref),
    H_TEST(no_turn_in_a_callback),
    H_TEST(no_loop),
    H_TEST(no_dispatcher),
    H_TEST(other_abi_is_refused),
    H_TEST(unknown_backend),
    H_TEST(backend_by_name),
    H_TEST(statistics_of_a_size),
    H_TEST(channels_and_timers_made_in_callbacks),
    H_TEST(timer_that_starts_itself),
    H_TEST(read_budget),
    H_TEST(handler_that_does_not_read),
    H_TEST(any_call_ends_a_stall),
    H_TEST(handler_that_reads_one_byte),
    H_TEST(leftovers_share_waits),
    H_TEST(stall_counts_runs_only),
    H_TEST(readable_says_no),
    H_TEST(writable_says_no),
    H_TEST(writing_hides_no_input),
    H_TEST(embedded_in_a_foreign_poll),
    H_TEST(prepare_sends_interest),
    H_TEST(child_closes_everything),
    H_TEST(child_serves_after_fork),
    H_TEST(fork_in_a_callback),
    H_TEST(fork_in_a_timer),
};

H_MAIN(tests)
