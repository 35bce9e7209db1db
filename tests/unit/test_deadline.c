/* SPDX-License-Identifier: MIT */
/* Deadlines of channels: each of the five, told as a failure, put off by progress. */
#include "harness.h"

#include <signal.h>
#include <sys/wait.h>

enum { SLOTS = M_CONNECT | M_READ | M_EOF | M_CLOSE | M_ERROR };

#define MS AC_MILLISECOND

/*
 * Runs until the channel has timed out, not before `ns` after `begin` and without a spin. That it
 * is not late is measured by the loop's own time, since a busy machine may keep the process from
 * running for long: by `since` at the latest the deadline ran, and after `since + ns` one turn tells
 * it and one finalizes.
 */
static void times_out_since(ac_loop *loop, struct probe *p, int64_t begin, int64_t since,
                            int64_t ns)
{
    int      late  = 0;
    unsigned turns = 0;

    while (!p->finalized) {
        assert_true(ac_loop_turn(loop, 10 * MS) >= 0);
        assert_true(++turns <= ns / (10 * MS) + 30);
        late += !p->finalized && ac_loop_now(loop) >= since + ns;
        assert_true(late <= 2);
    }
    assert_true(h_now() - begin >= ns);
    assert_int_equal(p->err, -ETIMEDOUT);
    assert_int_equal(p->count[S_ERROR], 1);
    assert_int_equal(p->count[S_CLOSE], 1);
    assert_int_equal(ac_error(&p->base), -ETIMEDOUT);
    assert_int_equal(h_stats(loop).timers, 0);
}

/* The same of a deadline that began in the call just before. */
static void times_out(ac_loop *loop, struct probe *p, int64_t begin, int64_t ns)
{
    ac_loop_update(loop);
    times_out_since(loop, p, begin, ac_loop_now(loop), ns);
}

static void idle(void **state)
{
    ac_loop      *loop  = *state;
    struct probe *p     = h_new(loop, SLOTS);
    int           fd    = h_pair(loop, p);
    int64_t       begin = h_now();

    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, 60 * MS), 0);
    times_out(loop, p, begin, 60 * MS);
    assert_true(h_ended(fd));
    close(fd);
}

/* Set before the channel has a connection: they run from ac_attach() on. */
static void set_before_attach(void **state)
{
    static const ac_timeout which[] = {AC_IDLE, AC_READ};
    ac_loop                *loop    = *state;

    for (int i = 0; i < 2; i++) {
        struct probe *p = h_new(loop, SLOTS);
        int64_t       begin;
        int           fd;

        assert_int_equal(ac_set_timeout(&p->base, which[i], 60 * MS), 0);
        h_idle(loop, 100 * MS); /* longer than it: a channel that is not open has no deadline */
        assert_int_equal(h_total(p), 0);
        begin = h_now();
        fd    = h_pair_attached(loop, p);
        times_out(loop, p, begin, 60 * MS);
        close(fd);
    }
}

/* What is written between two turns, long after the last one, counts from when it was written. */
static void stamped_outside_a_turn(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_pair(loop, p);
    int64_t       begin;

    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, 100 * MS), 0);
    assert_int_equal(poll(NULL, 0, 80), 0); /* the program is busy with other things */
    begin = h_now();
    assert_int_equal(ac_write(&p->base, "y", 1), 0);
    times_out(loop, p, begin, 100 * MS);
    close(fd);
}

/* Bytes of either direction put it off. */
static void idle_is_put_off(void **state)
{
    ac_loop      *loop  = *state;
    struct probe *p     = h_new(loop, SLOTS);
    int           fd    = h_pair(loop, p);
    int64_t       begin = h_now(), last = begin, wrote = begin;

    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, 300 * MS), 0);
    for (int i = 0; i < 8; i++) {
        h_idle(loop, 50 * MS);
        if (i % 2 == 0) {
            h_put(fd, "x", 1);
        } else {
            wrote = h_now();
            ac_write(&p->base, "y", 1);
        }
        last = h_now();
        assert_true(ac_loop_turn(loop, 0) >= 0);
        assert_int_equal(p->count[S_ERROR], 0);
    }
    assert_true(last - begin > 300 * MS);
    times_out(loop, p, wrote, 300 * MS);
    close(fd);
}

/* That reading may go on is no byte read. */
static void idle_is_not_put_off_by_a_resume(void **state)
{
    ac_loop *loop = *state;

    for (int both = 0; both < 2; both++) {
        struct probe *p  = h_new(loop, SLOTS);
        int           fd = h_pair(loop, p);

        assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, 100 * MS), 0);
        if (both)
            assert_int_equal(ac_set_timeout(&p->base, AC_READ, 10 * AC_SECOND), 0);
        for (int i = 0; i < 50 && !p->finalized; i++) {
            assert_int_equal(ac_resume(&p->base), 0);
            if (both)
                assert_int_equal(ac_set_timeout(&p->base, AC_READ, 10 * AC_SECOND), 0);
            h_idle(loop, 20 * MS);
        }
        assert_true(p->finalized);
        assert_int_equal(p->err, -ETIMEDOUT);
        close(fd);
    }
}

/* A loop that was kept from running for longer than a deadline: what came in time is served. */
static void late_loop(void **state)
{
    static const ac_timeout which[] = {AC_IDLE, AC_READ};
    ac_loop                *loop    = *state;

    for (int i = 0; i < 4; i++) {
        struct probe *p  = h_new(loop, SLOTS);
        int           fd = h_pair(loop, p);

        assert_int_equal(ac_set_timeout(&p->base, which[i % 2], 200 * MS), 0);
        assert_true(ac_loop_turn(loop, 0) >= 0);
        if (i < 2)
            h_put(fd, "x", 1);
        else
            shutdown(fd, SHUT_WR);
        h_wait(h_fd(p), POLLIN);
        poll(NULL, 0, 250);
        assert_true(ac_loop_turn(loop, 0) >= 0);
        H_UNTIL(loop, i < 2 ? p->in_len == 1 : p->count[S_EOF] == 1);
        assert_int_equal(p->count[S_ERROR], 0);
        if (i < 2)
            H_UNTIL(loop, p->err == -ETIMEDOUT);
        else
            ac_close(&p->base);
        close(fd);
    }
}

/* An error, too. */
static void late_loop_and_a_reset(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_pair(loop, p);

    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, 200 * MS), 0);
    assert_true(ac_loop_turn(loop, 0) >= 0);
    h_reset(fd);
    h_wait(h_fd(p), POLLIN);
    poll(NULL, 0, 250);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->err, -ECONNRESET);
}

/* In a child: stops the parent for longer than its deadline, and writes meanwhile. */
static void stop_parent(int fd)
{
    char  path[64], state = 0;
    FILE *f = NULL;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)getppid());
    kill(getppid(), SIGSTOP);
    for (int i = 0; i < 5000 && state != 'T'; i++) {
        f = fopen(path, "r");
        if (f == NULL || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
            break;
        fclose(f);
        poll(NULL, 0, 1);
    }
    if (state == 'T' && write(fd, "x", 1) == 1)
        poll(NULL, 0, 1100);
    kill(getppid(), SIGCONT);
    _exit(state != 'T');
}

static void stopped_process(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_pair(loop, p), status;
    pid_t         child;

    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, AC_SECOND), 0);
    assert_true(ac_loop_turn(loop, 0) >= 0);
    child = fork();
    if (child == 0)
        stop_parent(fd);
    H_UNTIL(loop, p->in_len == 1 || p->finalized);
    assert_int_equal(p->in_len, 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ac_close(&p->base);
    close(fd);
}

static void take_long(struct probe *p)
{
    h_take(p);
    poll(NULL, 0, 30);
    h_put((int)p->number, "x", 1);
}

/* Every turn takes longer than the limit, and in each the peer sends. */
static void long_turns(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_pair(loop, p);

    p->number     = fd;
    p->on[S_READ] = take_long;
    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, 20 * MS), 0);
    h_put(fd, "x", 1);
    H_UNTIL(loop, p->count[S_READ] == 9 || p->finalized);
    assert_int_equal(p->count[S_READ], 9);
    ac_close(&p->base);
    close(fd);
}

static void late_loop_connects(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 1), fd;

    assert_int_equal(ac_set_timeout(&p->base, AC_CONNECT, 20 * MS), 0);
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    h_wait(listener, POLLIN);
    poll(NULL, 0, 40);
    H_UNTIL(loop, p->count[S_CONNECT] + p->finalized > 0);
    assert_int_equal(p->count[S_CONNECT], 1);
    fd = accept(listener, NULL, NULL);
    ac_close(&p->base);
    close(fd);
    close(listener);
}

/* Reading: not put off by writes, and not running while reading is paused. */
static void read_deadline(void **state)
{
    ac_loop      *loop  = *state;
    struct probe *p     = h_new(loop, SLOTS);
    int           fd    = h_pair(loop, p);
    int64_t       begin = h_now(), since;

    assert_int_equal(ac_set_timeout(&p->base, AC_READ, 100 * MS), 0);
    since = ac_loop_now(loop);
    h_idle(loop, 60 * MS);
    ac_write(&p->base, "y", 1);
    times_out_since(loop, p, begin, since, 100 * MS);
    close(fd);
}

static void read_deadline_put_off(void **state)
{
    ac_loop      *loop  = *state;
    struct probe *p     = h_new(loop, SLOTS);
    int           fd    = h_pair(loop, p);
    int64_t       begin = h_now();

    assert_int_equal(ac_set_timeout(&p->base, AC_READ, 300 * MS), 0);
    for (int i = 0; i < 7; i++) {
        h_idle(loop, 50 * MS);
        begin = h_now();
        h_put(fd, "x", 1);
        assert_true(ac_loop_turn(loop, 0) >= 0);
    }
    assert_int_equal(p->count[S_ERROR], 0);
    times_out(loop, p, begin, 300 * MS);
    close(fd);
}

static void read_deadline_rests_while_paused(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_pair(loop, p);
    int64_t       begin;

    assert_int_equal(ac_set_timeout(&p->base, AC_READ, 50 * MS), 0);
    assert_int_equal(ac_pause(&p->base), 0);
    assert_true(h_idle(loop, 150 * MS) <= 8);
    assert_int_equal(p->count[S_ERROR], 0);
    begin = h_now();
    assert_int_equal(ac_resume(&p->base), 0);
    times_out(loop, p, begin, 50 * MS);
    close(fd);
}

static void answer_only(struct probe *p)
{
    assert_int_equal(ac_write(&p->base, "a", 1), 0);
    poll(NULL, 0, 1);
}

/* A handler that only writes puts it off by nothing, though there is something to read. */
static void read_deadline_of_a_writer(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = answer_only;
    assert_int_equal(ac_set_timeout(&p->base, AC_READ, 100 * MS), 0);
    h_put(fd, "x", 1);
    H_UNTIL_IN(loop, 1000, p->finalized);
    assert_int_equal(p->err, -ETIMEDOUT);
    close(fd);
}

static uint8_t big[1 << 20];

/* Nobody reads in a goodbye: a peer that takes the answer slowly is not late with a question. */
static void read_deadline_rests_in_a_goodbye(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_small_pair(loop, p);
    static char   buf[1 << 16];
    size_t        n = 0;

    assert_int_equal(ac_set_timeout(&p->base, AC_READ, 100 * MS), 0);
    assert_int_equal(ac_write(&p->base, big, sizeof big / 2), 0);
    ac_close_when_sent(&p->base);
    for (int i = 0; i < 30; i++) {
        n += h_get(fd, buf, 2000);
        h_idle(loop, 10 * MS);
    }
    struct h_bound bound = h_bound(5000);
    while (n < sizeof big / 2) {
        n += h_get(fd, buf, sizeof buf);
        h_turn(loop, &bound, __FILE__, __LINE__);
        assert_false(p->finalized && h_ended(fd) && n == 0);
    }
    close(fd);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(ac_error(&p->base), 0);
}

static void write_deadline(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_small_pair(loop, p);
    int64_t       begin;

    assert_int_equal(ac_set_timeout(&p->base, AC_WRITE, 80 * MS), 0);
    /* An empty queue waits for nothing. */
    assert_true(h_idle(loop, 150 * MS) <= 8);
    assert_int_equal(p->count[S_ERROR], 0);
    begin = h_now();
    assert_int_equal(ac_write(&p->base, big, sizeof big), 0);
    assert_true(ac_queued(&p->base) > 0);
    /* What the peer's host acknowledges late is progress too. */
    times_out_since(loop, p, begin, ac_loop_now(loop) + 200 * MS, 80 * MS);
    close(fd);
}

static void answer_each(struct probe *p)
{
    h_take(p);
    assert_int_equal(ac_write(&p->base, "a", 1), 0);
}

/* A peer that talks and takes nothing is one: what is only queued for it is no progress. */
static void write_deadline_with_a_talker(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_small_pair(loop, p);

    p->on[S_READ] = answer_each;
    assert_int_equal(ac_set_timeout(&p->base, AC_WRITE, 200 * MS), 0);
    assert_int_equal(ac_write(&p->base, big, sizeof big / 2), 0);
    for (int i = 0; i < 100 && !p->finalized; i++) {
        h_put(fd, "x", 1);
        h_idle(loop, 20 * MS);
    }
    assert_true(p->finalized);
    assert_int_equal(p->err, -ETIMEDOUT);
    close(fd);
}

/* A peer that takes a little now and then is no dead peer. */
static void write_deadline_put_off(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_small_pair(loop, p);
    static char   buf[1 << 20];
    int64_t       begin;

    assert_int_equal(ac_set_timeout(&p->base, AC_WRITE, 300 * MS), 0);
    assert_int_equal(ac_write(&p->base, big, sizeof big), 0);
    begin = h_now();
    while (h_now() - begin < 450 * MS && ac_queued(&p->base) > 0) {
        size_t left = ac_queued(&p->base);

        h_idle(loop, 30 * MS);
        while (ac_queued(&p->base) == left) { /* takes some and waits until it can tell */
            h_get(fd, buf, 20000);
            assert_true(ac_loop_turn(loop, MS) >= 0);
            assert_int_equal(p->count[S_ERROR], 0);
        }
    }
    assert_int_equal(p->count[S_ERROR], 0);
    close(fd);
    h_idle(loop, MS);
    ac_close(&p->base);
}

/* A listener whose backlog is full takes no more: the attempt hangs until the deadline. */
static void connect_deadline(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 0), filler[8];
    int64_t       begin;

    for (int i = 0; i < 8; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], &addr.u.sa, addr.len);
    }
    assert_int_equal(ac_open(&p->base, AF_INET, SOCK_STREAM), 0);
    assert_int_equal(ac_set_timeout(&p->base, AC_CONNECT, 80 * MS), 0);
    begin = h_now();
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    times_out(loop, p, begin, 80 * MS);
    assert_int_equal(p->count[S_CONNECT], 0);

    /* The same by host and port, which goes another way inside. */
    struct probe *q = h_new(loop, SLOTS | M_EXPT);
    assert_int_equal(ac_connect(&q->base, "127.0.0.1", ac_addr_port(&addr)), 0);
    assert_int_equal(ac_set_timeout(&q->base, AC_CONNECT, 80 * MS), 0);
    H_UNTIL_IN(loop, 60, q->finalized);
    assert_int_equal(ac_error(&q->base), -ETIMEDOUT);
    assert_string_equal(q->order, "xz$");
    for (int i = 0; i < 8; i++)
        close(filler[i]);
    close(listener);
}

/* Once connected, AC_CONNECT is over. */
static void connect_deadline_ends(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 1);

    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    assert_int_equal(ac_set_timeout(&p->base, AC_CONNECT, 40 * MS), 0);
    H_UNTIL(loop, p->count[S_CONNECT] == 1);
    h_idle(loop, 100 * MS);
    assert_int_equal(p->count[S_ERROR], 0);
    ac_close(&p->base);
    h_idle(loop, 0);
    assert_int_equal(h_stats(loop).timers, 0);
    close(listener);
}

static void changed_and_taken_back(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_pair(loop, p);
    int64_t       begin;

    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, 30 * MS), 0);
    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, AC_FOREVER), 0);
    h_idle(loop, 60 * MS);
    assert_int_equal(p->count[S_ERROR], 0);
    /* From long to short: the timer that runs already is too late. */
    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, 3600 * AC_SECOND), 0);
    h_idle(loop, MS);
    begin = h_now();
    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, 40 * MS), 0);
    times_out(loop, p, begin, 40 * MS);
    close(fd);
}

static void odd_values(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, SLOTS), *fresh = h_new(loop, SLOTS);
    int           fd = h_pair(loop, p);

    assert_int_equal(ac_set_timeout(&p->base, (ac_timeout)99, MS), -EINVAL);
    assert_int_equal(ac_set_timeout(NULL, AC_IDLE, MS), -EINVAL);
    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, INT64_MAX - 1), 0);
    assert_int_equal(ac_set_timeout(&p->base, AC_READ, AC_FOREVER), 0);
    h_idle(loop, 5 * MS);
    assert_int_equal(p->count[S_ERROR], 0);
    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, -5), 0); /* a negative one is 0 */
    H_UNTIL_IN(loop, 20, p->finalized);
    assert_int_equal(p->err, -ETIMEDOUT);
    assert_int_equal(ac_set_timeout(&fresh->base, AC_IDLE, MS), 0); /* before it is opened, too */
    ac_close(&fresh->base);
    close(fd);
}

static void keep_busy(struct probe *p)
{
    h_take(p);
}

/* Many reads cost no timer operation each: one timer, however much passes. */
static void one_timer_a_channel(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = keep_busy;
    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, AC_SECOND), 0);
    assert_int_equal(ac_set_timeout(&p->base, AC_READ, AC_SECOND), 0);
    assert_int_equal(ac_set_timeout(&p->base, AC_WRITE, AC_SECOND), 0);
    for (unsigned i = 1; i < 200; i++) {
        h_put(fd, "x", 1);
        H_UNTIL(loop, p->in_len == i);
        assert_true(h_stats(loop).timers <= 1);
    }
    ac_close(&p->base);
    assert_int_equal(h_stats(loop).timers, 0);
    close(fd);
}

/* The deadline of a channel keeps no run going by itself. */
static void deadline_keeps_no_run(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, SLOTS);
    int           fd   = h_pair(loop, p);

    assert_int_equal(ac_set_timeout(&p->base, AC_IDLE, 30 * AC_SECOND), 0);
    assert_int_equal(ac_unref(&p->base), 0);
    assert_int_equal(ac_run(loop), 0);
    assert_true(ac_is_open(&p->base));
    close(fd);
}

static const struct CMUnitTest tests[] = {
    H_TEST(idle),
    H_TEST(set_before_attach),
    H_TEST(stamped_outside_a_turn),
    H_TEST(idle_is_put_off),
    H_TEST(idle_is_not_put_off_by_a_resume),
    H_TEST(late_loop),
    H_TEST(late_loop_and_a_reset),
    H_TEST(stopped_process),
    H_TEST(long_turns),
    H_TEST(late_loop_connects),
    H_TEST(read_deadline),
    H_TEST(read_deadline_of_a_writer),
    H_TEST(read_deadline_put_off),
    H_TEST(read_deadline_rests_while_paused),
    H_TEST(read_deadline_rests_in_a_goodbye),
    H_TEST(write_deadline),
    H_TEST(write_deadline_with_a_talker),
    H_TEST(write_deadline_put_off),
    H_TEST(connect_deadline),
    H_TEST(connect_deadline_ends),
    H_TEST(changed_and_taken_back),
    H_TEST(odd_values),
    H_TEST(one_timer_a_channel),
    H_TEST(deadline_keeps_no_run),
};

H_MAIN(tests)
