/* SPDX-License-Identifier: MIT */
/*
 * What a read has left. A handler whose reads fill their buffer is called again until nothing is left;
 * where that was in vain three times, the poller is asked to tell (AC__LEVEL), as far as it can. Here the
 * handler reads a byte of two, and all else that can come to such a channel comes.
 */
#include "harness.h"

#include "../../src/net/channel.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { ENDS = M_READ | M_EOF | M_CLOSE | M_ERROR };

static void take_one(struct probe *p)
{
    char    c;
    ssize_t n = ac_recv(&p->base, &c, 1);

    if (n == 1)
        p->in_len++;
}

/* A loop that debugs has no short way, and learns nothing. */
static bool levels(const ac_loop *loop)
{
    return loop->pc->levels && !loop->debug;
}

static bool is_level(const struct probe *p)
{
    return (p->base.source_.sent & AC__LEVEL) != 0;
}

/* Two bytes, and all that follows from them. */
static void message(struct probe *p, int fd)
{
    size_t had = p->in_len;

    h_put(fd, "ab", 2);
    h_wait(h_fd(p), POLLIN);
    H_UNTIL_IN(p->base.loop, 6, p->in_len == had + 2);
    (void)h_idle(p->base.loop, AC_MILLISECOND);
}

/* A channel that has been found to read by halves. Returns the other end. */
static int halved(ac_loop *loop, struct probe *p)
{
    int fd = h_pair(loop, p);

    (void)h_idle(loop, AC_MILLISECOND);
    p->on[S_READ] = take_one;
    for (int i = 0; i < 3; i++) {
        assert_false(is_level(p));
        message(p, fd);
    }
    assert_true(is_level(p) == levels(loop));
    return fd;
}

/* --- it pays ------------------------------------------------------------------------------------- */

/* No call in vain, and no call of the poller's that changes anything, from the fourth message on. */
static void nothing_in_vain(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = halved(loop, p);
    unsigned      had  = p->count[S_READ];
    uint64_t      sets = h_stats(loop).interest_changes;

    assert_int_equal(had, 9); /* two for the bytes, one in vain */
    for (int i = 0; i < 10; i++)
        message(p, fd);
    if (levels(loop)) {
        assert_int_equal(p->count[S_READ], had + 20);
        assert_int_equal(h_stats(loop).interest_changes, sets);
    }
    ac_close(&p->base);
    close(fd);
}

/* Reads that end short keep a channel as it is, whatever their number. */
static void short_reads_stay(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    for (int i = 0; i < 10; i++)
        message(p, fd);
    assert_false(is_level(p));
    ac_close(&p->base);
    close(fd);
}

static void take_one_then_all(struct probe *p)
{
    char    rest[8];
    ssize_t n;

    take_one(p);
    n = ac_recv(&p->base, rest, sizeof rest);
    if (n > 0)
        p->in_len += (size_t)n;
}

/* Nor does a full one that the same callback follows up: it is called no more than for what comes. */
static void read_to_the_end(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    (void)h_idle(loop, AC_MILLISECOND);
    p->on[S_READ] = take_one_then_all;
    for (unsigned i = 1; i <= 10; i++) {
        message(p, fd);
        assert_int_equal(p->count[S_READ], i);
    }
    assert_false(is_level(p));
    ac_close(&p->base);
    close(fd);
}

/* It learns for itself alone. */
static void neighbours(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    struct probe *q    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = halved(loop, p);
    int           to_q = h_pair(loop, q);

    for (int i = 0; i < 5; i++) {
        h_put(to_q, "ab", 2);
        message(p, fd);
    }
    H_UNTIL(loop, q->in_len == 10);
    assert_false(is_level(q));
    ac_close(&p->base);
    ac_close(&q->base);
    close(fd);
    close(to_q);
}

/* --- it stops ------------------------------------------------------------------------------------- */

static void take_one_and_pause(struct probe *p)
{
    take_one(p);
    assert_int_equal(ac_pause(&p->base), 0);
}

/* What is left waits for as long as the channel is paused, and costs no turns. */
static void pause_behind_one(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = halved(loop, p);
    unsigned      had;

    p->on[S_READ] = take_one_and_pause;
    h_put(fd, "ab", 2);
    had = p->count[S_READ];
    H_UNTIL(loop, p->count[S_READ] == had + 1);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 5);
    assert_int_equal(p->count[S_READ], had + 1);
    assert_false(is_level(p));
    h_put(fd, "c", 1);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 5);
    assert_int_equal(p->count[S_READ], had + 1);

    p->on[S_READ] = take_one;
    assert_int_equal(ac_resume(&p->base), 0);
    H_UNTIL_IN(loop, 6, p->in_len == 9);
    /* It has to show anew that it pays. */
    (void)h_idle(loop, AC_MILLISECOND);
    assert_false(is_level(p));
    for (int i = 0; i < 3; i++)
        message(p, fd);
    assert_true(is_level(p) == levels(loop));
    ac_close(&p->base);
    close(fd);
}

static void take_one_and_pause_shortly(struct probe *p)
{
    take_one_and_pause(p);
    assert_int_equal(ac_resume(&p->base), 0);
}

static void pause_within_a_callback(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = halved(loop, p);

    p->on[S_READ] = take_one_and_pause_shortly;
    for (int i = 0; i < 5; i++)
        message(p, fd);
    assert_true(is_level(p) == levels(loop));
    ac_close(&p->base);
    close(fd);
}

static void take_nothing(struct probe *p)
{
    (void)p;
}

static void stalled_as_any(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = halved(loop, p);
    unsigned      had  = p->count[S_READ];

    p->on[S_READ] = take_nothing;
    h_put(fd, "ab", 2);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 25);
    assert_int_equal(p->count[S_READ], had + 16);
    assert_int_equal(h_stats(loop).stalls, 1);
    p->on[S_READ] = take_one;
    assert_int_equal(ac_changed(&p->base), 0);
    H_UNTIL_IN(loop, 6, p->in_len == 8);
    ac_close(&p->base);
    close(fd);
}

/* --- the end, and what comes before it -------------------------------------------------------------- */

/* The peer's end comes behind its bytes; and a channel that goes on to write is not told of it for ever. */
static void end_behind_what_is_left(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = halved(loop, p);
    char          c;

    h_put(fd, "abc", 3);
    shutdown(fd, SHUT_WR);
    h_wait(h_fd(p), POLLRDHUP);
    H_UNTIL_IN(loop, 8, p->count[S_EOF] == 1);
    assert_int_equal(p->in_len, 9);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 5);
    assert_int_equal(ac_write(&p->base, "x", 1), 0);
    h_wait(fd, POLLIN);
    assert_int_equal(h_get(fd, &c, 1), 1);
    ac_close(&p->base);
    close(fd);
}

static void end_of_a_paused_one(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = halved(loop, p);

    p->on[S_READ] = take_one_and_pause;
    h_put(fd, "abc", 3);
    H_UNTIL(loop, p->in_len == 7);
    close(fd);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 6);
    assert_int_equal(p->count[S_EOF], 0);
    p->on[S_READ] = take_one;
    assert_int_equal(ac_resume(&p->base), 0);
    H_UNTIL_IN(loop, 8, p->count[S_EOF] == 1);
    assert_int_equal(p->in_len, 9);
    ac_close(&p->base);
}

static void reset(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = halved(loop, p);

    h_reset(fd);
    H_UNTIL_IN(loop, 6, p->finalized);
    assert_int_equal(p->err, -ECONNRESET);
}

static void write_and_take_one(struct probe *p)
{
    (void)ac_write(&p->base, "x", 1); /* 0, and -EPIPE once it has failed */
    take_one(p);
}
static void take_one_and_write(struct probe *p)
{
    take_one(p);
    (void)ac_write(&p->base, "x", 1);
}

/* A write that fails is told behind the input, in whatever order the handler does the two. */
static void failed_write(ac_loop *loop, h_hook *hook)
{
    struct probe *p  = h_new(loop, M_READ | M_CLOSE | M_ERROR);
    int           fd = halved(loop, p);

    p->on[S_READ] = hook;
    h_put(fd, "abcd", 4);
    h_wait(h_fd(p), POLLIN);
    assert_int_equal(shutdown(h_fd(p), SHUT_WR), 0); /* behind the library's back: writes fail */
    H_UNTIL_IN(loop, 12, p->in_len == 10);
    assert_int_equal(p->count[S_ERROR], 0);
    H_UNTIL_IN(loop, 8, p->finalized);
    assert_int_equal(p->err, -EPIPE);
    close(fd);
}

static void failed_write_behind_input(void **state)
{
    failed_write(*state, write_and_take_one);
    failed_write(*state, take_one_and_write);
}

static void take_one_and_leave(struct probe *p)
{
    take_one(p);
    ac_close_when_sent(&p->base);
}

/* Behind ac_close_when_sent() the rest is read and dropped: the peer sees an end and no reset. */
static void goodbye_with_some_left(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = halved(loop, p);
    char          c;

    p->on[S_READ] = take_one_and_leave;
    h_put(fd, "abcdefgh", 8);
    h_wait(h_fd(p), POLLIN);
    H_UNTIL(loop, p->in_len == 7);
    h_wait(fd, POLLIN);
    assert_int_equal(recv(fd, &c, 1, 0), 0);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 6);
    assert_int_equal(h_get(h_fd(p), &c, 1), 0);
    assert_false(p->finalized);
    close(fd);
    H_UNTIL_IN(loop, 6, p->finalized);
    assert_int_equal(p->count[S_ERROR], 0);
}

/* --- what else comes ---------------------------------------------------------------------------- */

/* Urgent data stands at a socket until it is read, which this class does not. */
static void urgent_data(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = halved(loop, p);

    h_put(fd, "ab", 2);
    assert_int_equal(send(fd, "!", 1, MSG_OOB), 1);
    h_put(fd, "cd", 2);
    h_wait(h_fd(p), POLLPRI);
    H_UNTIL_IN(loop, 16, p->in_len == 10);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 6);
    for (int i = 0; i < 3; i++)
        message(p, fd);
    assert_true(is_level(p) == levels(loop));
    assert_int_equal(send(fd, "!", 1, MSG_OOB), 1); /* and nothing else */
    h_wait(h_fd(p), POLLPRI);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 6);
    for (int i = 0; i < 10; i++)
        message(p, fd);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 6);
    ac_close(&p->base);
    close(fd);
}

/* With a queue the poller is to tell of room, and only once; behind it all is as before. */
static void a_queue_comes_and_goes(void **state)
{
    static char   data[256 * 1024], buf[4096];
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_small_pair(loop, p);
    size_t        got  = 0;

    p->on[S_READ] = take_one;
    for (int i = 0; i < 3; i++)
        message(p, fd);
    assert_true(is_level(p) == levels(loop));
    assert_int_equal(ac_write(&p->base, data, sizeof data), 0);
    assert_true(ac_queued(&p->base) > 0);
    message(p, fd);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 8);
    while (got < sizeof data) {
        h_wait(fd, POLLIN);
        got += h_get(fd, buf, sizeof buf);
        (void)h_idle(loop, AC_MILLISECOND / 10);
    }
    assert_int_equal(ac_queued(&p->base), 0);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 8);
    for (int i = 0; i < 4; i++)
        message(p, fd);
    assert_true(is_level(p) == levels(loop));
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 6);
    ac_close(&p->base);
    close(fd);
}

/* A set that is made anew knows of it. */
static void set_made_anew(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    struct probe *q    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = halved(loop, p);
    int           to_q = h_pair_attached(loop, q), copy;
    unsigned      had;

    if (!h_is("epoll") || loop->debug) {
        ac_close(&p->base);
        ac_close(&q->base);
        close(fd);
        close(to_q);
        skip();
    }
    (void)h_idle(loop, AC_MILLISECOND);
    copy                              = dup(h_fd(q));
    loop->watch[h_fd(q)].source->sent = 0; /* so that its end is left to the close */
    ac_close(&q->base);
    (void)h_idle(loop, AC_MILLISECOND);
    q = h_new(loop, M_READ | M_CLOSE);
    close(h_pair(loop, q)); /* the number is in use again */
    h_put(to_q, "x", 1);
    (void)h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(h_stats(loop).set_rebuilds, 1);
    assert_true(is_level(p));
    had = p->count[S_READ];
    message(p, fd);
    assert_int_equal(p->count[S_READ], had + 2);
    close(copy);
    close(to_q);
    close(fd);
    ac_close(&p->base);
}

static void take_eight(struct probe *p)
{
    char    buf[8];
    ssize_t n = ac_recv(&p->base, buf, sizeof buf);

    if (n > 0)
        p->in_len += (size_t)n;
}

/* A socket with SO_RCVLOWAT is not readable for less; what a read has left is told all the same. */
static void less_than_the_threshold(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd, low = 8;
    size_t        had;

    for (int late = 0; late < 2; late++) {
        fd            = late ? halved(loop, p) : h_pair(loop, p);
        p->on[S_READ] = take_eight;
        assert_int_equal(setsockopt(ac_fileno(&p->base), SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low),
                         0);
        for (size_t i = 1; i <= 4; i++) {
            had = p->in_len;
            h_put(fd, "12345678", 8);
            H_UNTIL_IN(loop, 6, p->in_len == had + 8);
            (void)h_idle(loop, AC_MILLISECOND);
        }
        had = p->in_len;
        h_put(fd, "123456789012", 12);
        H_UNTIL_IN(loop, 6, p->in_len == had + 12);
        ac_close(&p->base);
        close(fd);
        p = h_new(loop, M_READ | M_CLOSE);
    }
}

/* A registration outlives its descriptor, and no set can be made anew: that is no spin. */
static void outlived_and_no_descriptors(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = halved(loop, p), copy;
    struct rlimit old, none;
    unsigned      turns;

    if (!h_is("epoll")) {
        ac_close(&p->base);
        close(fd);
        skip(); /* poll() itself refuses more than the limit */
    }
    copy = fcntl(h_fd(p), F_DUPFD_CLOEXEC, 200); /* as a child between vfork() and exec() has one */
    h_put(fd, "ab", 2);
    H_UNTIL(loop, p->in_len == 7);
    ac_close(&p->base);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none          = old;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    turns = h_idle(loop, 20 * AC_MILLISECOND);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(turns <= 6);
    close(copy);
    close(fd);
}

static pid_t child;

static void take_one_and_fork(struct probe *p)
{
    take_one(p);
    p->on[S_READ] = take_one;
    child         = fork();
}

/* A child that is forked in the callback behind a read finds what that has left. */
static void left_for_a_child(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = halved(loop, p), status, rc;

    p->on[S_READ] = take_one_and_fork;
    child         = -1;
    h_put(fd, "ab", 2);
    rc = ac_loop_turn(loop, AC_SECOND);
    assert_true(child >= 0);
    if (child == 0) {
        int code = rc == -ECHILD && ac_loop_after_fork(loop) == 0 ? 0 : 2;

        for (int i = 0; i < 4 && code == 0 && p->in_len < 8; i++)
            code = ac_loop_turn(loop, 50 * AC_MILLISECOND) < 0 ? 3 : 0;
        _exit(code != 0 || p->in_len == 8 ? code : 4);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ac_close(&p->base);
    close(fd);
}

static const struct CMUnitTest tests[] = {
    H_TEST(nothing_in_vain),
    H_TEST(short_reads_stay),
    H_TEST(read_to_the_end),
    H_TEST(neighbours),
    H_TEST(pause_behind_one),
    H_TEST(pause_within_a_callback),
    H_TEST(stalled_as_any),
    H_TEST(end_behind_what_is_left),
    H_TEST(end_of_a_paused_one),
    H_TEST(reset),
    H_TEST(failed_write_behind_input),
    H_TEST(goodbye_with_some_left),
    H_TEST(urgent_data),
    H_TEST(a_queue_comes_and_goes),
    H_TEST(set_made_anew),
    H_TEST(less_than_the_threshold),
    H_TEST(outlived_and_no_descriptors),
    H_TEST(left_for_a_child),
};

H_MAIN(tests)
