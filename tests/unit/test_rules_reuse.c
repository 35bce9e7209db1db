/* SPDX-License-Identifier: MIT */
/*
 * Rule 4: events belong to an object and never to the number of a descriptor. Numbers are reused
 * inside a batch, and copies of a descriptor keep the kernel's registration of a closed one alive.
 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static ac_addr       silent; /* a listener whose connections never say anything */
static struct probe *newcomer;
static int           reused;

/* --- the number is reused inside the batch --------------------------------------------------- */

static void replace_other(struct probe *p)
{
    h_take(p);
    if (newcomer != NULL)
        return;
    reused = h_fd(p->other);
    ac_close(&p->other->base);
    newcomer = h_new(p->base.loop, M_CONNECT | M_READ | M_WRITE | M_EOF | M_CLOSE | M_ERROR);
    assert_int_equal(ac_connect_addr(&newcomer->base, &silent), 0);
    assert_int_equal(h_fd(newcomer), reused);
}

static void ready_pair(ac_loop *loop, struct probe *p[2], int fd[2], h_hook *hook)
{
    for (int i = 0; i < 2; i++) {
        p[i]  = h_new(loop, M_READ | M_CLOSE);
        fd[i] = h_pair(loop, p[i]);
    }
    h_idle(loop, AC_MILLISECOND);
    for (int i = 0; i < 2; i++) {
        p[i]->other      = p[!i];
        p[i]->on[S_READ] = hook;
        h_put(fd[i], "x", 1);
        h_wait(h_fd(p[i]), POLLIN);
    }
    h_plug(h_fd(p[1]) + 1);
    newcomer = NULL;
    reused   = -1;
}

static void number_reused_in_the_batch(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p[2];
    int           fd[2], listener = h_raw_listen(&silent, "127.0.0.1", 4);

    ready_pair(loop, p, fd, replace_other);
    uint64_t stale = h_stats(loop).stale_events;
    assert_true(ac_loop_turn(loop, AC_SECOND) >= 1);
    assert_non_null(newcomer);
    assert_int_equal(p[0]->count[S_READ] + p[1]->count[S_READ], 1);
    assert_true(h_stats(loop).stale_events > stale);
    assert_int_equal(h_total(newcomer), 0);
    h_idle(loop, 20 * AC_MILLISECOND);
    assert_string_equal(newcomer->order, "cw");

    /* The number works for its new owner. */
    int peer = accept(listener, NULL, NULL);
    h_put(peer, "data", 4);
    H_UNTIL(loop, newcomer->in_len == 4);
    close(peer);
    close(fd[0]);
    close(fd[1]);
    close(listener);
}

/* The number goes to a file that is not the loop's: nobody hears of it, and nothing spins. */
static int foreign[2];

static void replace_by_pipe(struct probe *p)
{
    h_take(p);
    if (reused >= 0)
        return;
    reused = h_fd(p->other);
    ac_close(&p->other->base);
    assert_int_equal(pipe2(foreign, O_NONBLOCK), 0);
    assert_int_equal(foreign[0], reused);
    assert_int_equal(write(foreign[1], "pipe", 4), 4);
}

static void number_goes_to_a_foreign_file(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p[2];
    int           fd[2];
    char          text[8];

    ready_pair(loop, p, fd, replace_by_pipe);
    assert_true(ac_loop_turn(loop, AC_SECOND) >= 1);
    assert_true(reused >= 0);
    assert_true(h_stats(loop).stale_events > 0);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 5);
    assert_int_equal(p[0]->count[S_READ] + p[1]->count[S_READ], 1);
    assert_int_equal(read(foreign[0], text, sizeof text), 4);
    close(foreign[0]);
    close(foreign[1]);
    close(fd[0]);
    close(fd[1]);
}

static void replace_by_dgram(struct probe *p)
{
    h_take(p);
    if (newcomer != NULL)
        return;
    reused = h_fd(p->other);
    ac_close(&p->other->base);
    newcomer = h_new(p->base.loop, M_READ | M_ERROR);
    assert_int_equal(ac_listen_udp(&newcomer->base, "127.0.0.1", 0), 0);
    assert_int_equal(h_fd(newcomer), reused);
}

static void number_goes_to_a_datagram_channel(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p[2];
    int           fd[2];

    ready_pair(loop, p, fd, replace_by_dgram);
    assert_true(ac_loop_turn(loop, AC_SECOND) >= 1);
    assert_true(h_stats(loop).stale_events > 0);
    h_idle(loop, 20 * AC_MILLISECOND);
    assert_int_equal(h_total(newcomer), 0);
    close(fd[0]);
    close(fd[1]);
}

/* Closed outside a turn, with an event that the kernel has already queued. */
static void number_reused_between_turns(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd = h_pair(loop, p), listener = h_raw_listen(&silent, "127.0.0.1", 4);

    h_put(fd, "x", 1);
    h_wait(h_fd(p), POLLIN);
    reused = h_fd(p);
    h_plug(reused);
    ac_close(&p->base);
    newcomer = h_new(loop, M_CONNECT | M_READ | M_CLOSE | M_ERROR);
    assert_int_equal(ac_connect_addr(&newcomer->base, &silent), 0);
    assert_int_equal(h_fd(newcomer), reused);
    h_idle(loop, 20 * AC_MILLISECOND);
    assert_string_equal(newcomer->order, "c");
    assert_int_equal(p->count[S_READ], 0);
    close(fd);
    close(listener);
}

/* --- a copy of the descriptor keeps the kernel's registration -------------------------------- */

static void works(ac_loop *loop, struct probe *p, int fd)
{
    size_t had = p->in_len;

    h_put(fd, "still", 5);
    H_UNTIL(loop, p->in_len == had + 5);
}

/* epoll alone keeps registrations of its own, so only there can a dead one make events. */
static void check_rebuilt(ac_loop *loop, const ac_stats *before)
{
    ac_stats now = h_stats(loop);

    if (h_is("epoll")) {
        assert_true(now.stale_events > before->stale_events);
        assert_true(now.set_rebuilds > before->set_rebuilds);
    } else {
        assert_int_equal(now.stale_events, before->stale_events);
        assert_int_equal(now.set_rebuilds, 0);
    }
}

static void dup_keeps_registration(void **state)
{
    ac_loop      *loop   = *state;
    struct probe *victim = h_new(loop, M_READ | M_CLOSE), *other = h_new(loop, M_READ | M_CLOSE);
    int           fv = h_pair(loop, victim), fo = h_pair(loop, other), copy, number;

    works(loop, victim, fv);
    works(loop, other, fo);
    ac_stats before = h_stats(loop);
    number          = ac_loop_fileno(loop);
    copy            = fcntl(h_fd(victim), F_DUPFD_CLOEXEC, 200);
    ac_close(&victim->base);
    for (int i = 0; i < 20; i++) {
        h_put(fv, "x", 1);
        h_idle(loop, AC_MILLISECOND);
    }
    check_rebuilt(loop, &before);
    assert_int_equal(victim->count[S_READ], 1);
    /* One dead registration costs one new set, not one an event. */
    assert_true(h_stats(loop).set_rebuilds <= before.set_rebuilds + 1);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 3);
    works(loop, other, fo);
    /* A foreign loop that waits for this one's descriptor goes on to be told. */
    assert_int_equal(ac_loop_fileno(loop), number);
    if (number >= 0) {
        int64_t ns;

        assert_true(fcntl(number, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(ac_loop_prepare(loop, &ns), 0);
        h_put(fo, "x", 1);
        h_wait(number, POLLIN);
        h_idle(loop, AC_MILLISECOND);
    }
    close(copy);
    close(fv);
    close(fo);
}

/*
 * The number has a new owner when the dead registration speaks: removing it by number would take
 * the new owner's.
 */
static void dup_and_number_reused(void **state)
{
    ac_loop      *loop   = *state;
    struct probe *victim = h_new(loop, M_READ | M_CLOSE), *other = h_new(loop, M_READ | M_CLOSE);
    int           fv = h_pair(loop, victim), fo = h_pair(loop, other), copy, fn;
    int           listener = h_raw_listen(&silent, "127.0.0.1", 4);

    works(loop, victim, fv);
    works(loop, other, fo);
    ac_stats before = h_stats(loop);
    reused          = h_fd(victim);
    copy            = fcntl(reused, F_DUPFD_CLOEXEC, 200);
    h_plug(reused);
    ac_close(&victim->base);
    newcomer = h_new(loop, M_CONNECT | M_READ | M_CLOSE | M_ERROR);
    assert_int_equal(ac_connect_addr(&newcomer->base, &silent), 0);
    assert_int_equal(h_fd(newcomer), reused);
    H_UNTIL(loop, newcomer->count[S_CONNECT] == 1);
    fn = accept(listener, NULL, NULL);
    for (int i = 0; i < 10; i++) {
        h_put(fv, "x", 1);
        h_idle(loop, AC_MILLISECOND);
    }
    check_rebuilt(loop, &before);
    assert_string_equal(newcomer->order, "c");
    works(loop, newcomer, fn);
    works(loop, other, fo);
    assert_int_equal(victim->count[S_READ], 1);
    close(copy);
    close(fv);
    close(fo);
    close(fn);
    close(listener);
}

/* A copy that the dead one's peer resets, so that the kernel reports it without end. */
static void dup_with_reset(void **state)
{
    ac_loop      *loop   = *state;
    struct probe *victim = h_new(loop, M_READ | M_CLOSE), *other = h_new(loop, M_READ | M_CLOSE);
    int           fv = h_pair(loop, victim), fo = h_pair(loop, other), copy;

    works(loop, victim, fv);
    copy = fcntl(h_fd(victim), F_DUPFD_CLOEXEC, 200);
    ac_close(&victim->base);
    h_reset(fv);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 6);
    assert_int_equal(victim->count[S_CLOSE], 0);
    works(loop, other, fo);
    close(copy);
    close(fo);
}

/* Where the library knows that copies can exist, it removes the registration itself. */
static void known_copy(ac_loop *loop, bool attached)
{
    struct probe *victim = h_new(loop, M_READ | M_CLOSE);
    int           fv     = attached ? h_pair_attached(loop, victim) : h_pair(loop, victim), copy;
    ac_stats      before = h_stats(loop);

    works(loop, victim, fv);
    copy = dup(attached ? h_fd(victim) : ac_fileno(&victim->base));
    ac_close(&victim->base);
    h_put(fv, "x", 1);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(h_stats(loop).stale_events, before.stale_events);
    assert_int_equal(h_stats(loop).set_rebuilds, before.set_rebuilds);
    close(copy);
    close(fv);
}

static void copies_that_are_known(void **state)
{
    known_copy(*state, true);
    known_copy(*state, false);
}

/* The copy is in a child. */
static void child_holds_a_copy(void **state)
{
    ac_loop      *loop   = *state;
    struct probe *victim = h_new(loop, M_READ | M_CLOSE), *other = h_new(loop, M_READ | M_CLOSE);
    int           fv = h_pair(loop, victim), fo = h_pair(loop, other);
    pid_t         pid;

    works(loop, victim, fv);
    works(loop, other, fo);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* not to outlive a test that failed */
        pause();
        _exit(0);
    }
    ac_close(&victim->base);
    h_put(fv, "x", 1);
    assert_true(h_idle(loop, 30 * AC_MILLISECOND) <= 3);
    assert_int_equal(victim->count[S_READ], 1);
    assert_int_equal(h_stats(loop).set_rebuilds, 0);
    works(loop, other, fo);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(fv);
    close(fo);
}

/*
 * In the child the copies are the parent's: closing what it inherited takes each registration out
 * by hand, and makes no set anew.
 */
static void child_closes_one_by_one(void **state)
{
    enum { N = 20 };
    ac_loop      *loop = *state;
    struct probe *p[N];
    int           fd[N], status;
    pid_t         pid;

    for (int i = 0; i < N; i++) {
        p[i]  = h_new(loop, M_READ | M_CLOSE);
        fd[i] = h_pair(loop, p[i]);
        works(loop, p[i], fd[i]);
    }
    ac_stats before = h_stats(loop);
    pid             = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int bad = ac_loop_after_fork(loop) != 0;

        bad |= ac_loop_turn(loop, 0) < 0;
        bad |= ac_loop_turn(loop, 0) < 0;
        for (int i = 0; i < N - 1 && !bad; i++) {
            ac_close(&p[i]->base);
            bad |= ac_loop_turn(loop, 0) < 0;
            bad |= send(fd[i], "x", 1, MSG_NOSIGNAL) != 1;
            bad |= ac_loop_turn(loop, 0) < 0;
            bad |= p[i]->count[S_FINALIZE] != 1 ? 2 : 0;
        }
        bad |= loop->stats.set_rebuilds != before.set_rebuilds ? 4 : 0;
        bad |= loop->stats.stale_events != before.stale_events ? 8 : 0;
        bad |= send(fd[N - 1], "x", 1, MSG_NOSIGNAL) != 1;
        bad |= ac_loop_turn(loop, AC_SECOND) < 0 || p[N - 1]->in_len != 6 ? 16 : 0;
        bad |= ac_loop_free(loop) != 0;
        _exit(bad);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < N; i++)
        close(fd[i]);
}

/* --- many channels, closed and opened at random ---------------------------------------------- */

enum { MANY = 24, ROUNDS = 300 };

/* A channel and the descriptor of its peer, which sends nothing but the number of the channel. */
static struct {
    struct probe *p;
    int           fd;
} crowd[MANY];

static uint32_t seed;
static long     serial;
static unsigned misdelivered;

static unsigned chance(unsigned n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 16) % n;
}

static void crowd_read(struct probe *p)
{
    size_t had = p->in_len;

    h_take(p);
    for (size_t i = had; i < p->in_len; i++)
        misdelivered += p->in[i] != (uint8_t)p->number;
    /* Close some others that are in the same batch, and give their numbers to new sockets. */
    for (unsigned i = chance(4); i > 0; i--) {
        unsigned k = chance(MANY);

        ac_close(&crowd[k].p->base);
    }
    for (unsigned k = 0; k < MANY; k++) {
        int fd[2];

        if (ac_is_open(&crowd[k].p->base))
            continue;
        close(crowd[k].fd);
        h_raw_pair(fd);
        crowd[k].p             = h_new(p->base.loop, M_READ | M_CLOSE);
        crowd[k].p->number     = serial++;
        crowd[k].p->on[S_READ] = crowd_read;
        crowd[k].fd            = fd[1];
        ac_attach(&crowd[k].p->base, ac_sock_from_fd(p->base.loop, fd[0]));
    }
}

static void bytes_reach_their_own_channel(void **state)
{
    ac_loop *loop = *state;

    seed         = 20;
    serial       = 0;
    misdelivered = 0;
    for (unsigned k = 0; k < MANY; k++) {
        crowd[k].p             = h_new(loop, M_READ | M_CLOSE);
        crowd[k].p->number     = serial++;
        crowd[k].p->on[S_READ] = crowd_read;
        crowd[k].fd            = h_pair(loop, crowd[k].p);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned k = 0; k < MANY; k++)
            if (chance(2))
                h_put(crowd[k].fd, (uint8_t[]){(uint8_t)crowd[k].p->number}, 1);
        assert_true(ac_loop_turn(loop, AC_MILLISECOND) >= 0);
    }
    assert_int_equal(misdelivered, 0);
    assert_true(serial > 4 * MANY);
    assert_true(h_stats(loop).stale_events > 0);
    for (unsigned k = 0; k < MANY; k++)
        close(crowd[k].fd);
}

static const struct CMUnitTest tests[] = {
    H_TEST(number_reused_in_the_batch),
    H_TEST(number_goes_to_a_foreign_file),
    H_TEST(number_goes_to_a_datagram_channel),
    H_TEST(number_reused_between_turns),
    H_TEST(dup_keeps_registration),
    H_TEST(dup_and_number_reused),
    H_TEST(dup_with_reset),
    H_TEST(copies_that_are_known),
    H_TEST(child_closes_one_by_one), /* before any other fork, which would be remembered */
    H_TEST(child_holds_a_copy),
    H_TEST(bytes_reach_their_own_channel),
};

H_MAIN(tests)
