/* SPDX-License-Identifier: MIT */
/*
 * ac_post(), ac_wake() and ac_stop(), from this thread, from others, and from signal handlers. A lost
 * wake-up is a wait without end here, which the alarm of the harness makes a failure.
 */
#define HARNESS_BARE
#include "harness.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

struct job {
    ac_work  work;
    ac_loop *loop;
    unsigned number, runs;
    int      status;
};

static unsigned order[64], norder;

static struct job *job_of(ac_work *work)
{
    return AC_CONTAINER(struct job, work, work);
}

static void run_job(ac_work *work, int status)
{
    struct job *j = job_of(work);

    j->runs++;
    j->status = status;
    if (norder < sizeof order / sizeof order[0])
        order[norder++] = j->number;
}

/* --- from the loop's own thread --------------------------------------------------------------------- */

static void runs_in_order(void **state)
{
    ac_loop   *loop = *state;
    struct job j[10];

    norder = 0;
    for (unsigned i = 0; i < 10; i++) {
        j[i] = (struct job){.work.run = run_job, .number = i, .status = 1};
        ac_post(loop, &j[i].work);
        assert_int_equal(j[i].runs, 0);
    }
    /* Before the first turn there is no descriptor: the turn does not wait all the same. */
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 10);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(order[i], i);
        assert_int_equal(j[i].runs, 1);
        assert_int_equal(j[i].status, 0);
    }
    assert_int_equal(ac_loop_turn(loop, 0), 0);
    assert_int_equal(h_stats(loop).callbacks, 10);
}

static void run_and_post(ac_work *work, int status)
{
    struct job *j = job_of(work);

    run_job(work, status);
    if (j->runs < 4)
        ac_post(j->loop, work);
}

/* What is posted while work runs waits for the next turn, so that the rest of the loop has its own. */
static void posted_meanwhile_waits(void **state)
{
    ac_loop   *loop = *state;
    struct job a = {.work.run = run_and_post, .loop = loop}, b = {.work.run = run_job};

    ac_post(loop, &a.work);
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 1);
        assert_int_equal(a.runs, i);
    }
    assert_int_equal(ac_loop_turn(loop, 0), 0);
    ac_post(loop, &b.work);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 1);
}

static unsigned freed;

static void run_and_free(ac_work *work, int status)
{
    struct job *j = job_of(work);

    assert_int_equal(status, 0);
    memset(j, 0xEE, sizeof *j);
    free(j);
    freed++;
}

static void storage_is_freed_in_run(void **state)
{
    freed = 0;
    for (int i = 0; i < 20; i++) {
        struct job *j = calloc(1, sizeof *j);

        assert_non_null(j);
        j->work.run = run_and_free;
        ac_post(*state, &j->work);
    }
    assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 20);
    assert_int_equal(freed, 20);
}

static void does_not_keep_the_run(void **state)
{
    struct job j = {.work.run = run_job};

    ac_post(*state, &j.work);
    assert_int_equal(ac_run(*state), 0);
    assert_int_equal(j.runs, 0);
    assert_int_equal(ac_loop_turn(*state, 0), 1);
}

static void free_of_the_loop_cancels(void **state)
{
    struct job a = {.work.run = run_job}, b = {.work.run = run_job};

    (void)state;
    for (int turned = 0; turned < 2; turned++) {
        ac_loop *loop = h_loop_new();

        if (turned)
            assert_int_equal(ac_loop_turn(loop, 0), 0);
        ac_post(loop, &a.work);
        ac_post(loop, &b.work);
        assert_int_equal(ac_loop_free(loop), 0);
        assert_int_equal(a.runs, turned + 1);
        assert_int_equal(b.runs, turned + 1);
        assert_int_equal(a.status, -ECANCELED);
        assert_int_equal(b.status, -ECANCELED);
    }
}

static void misuse_is_left_alone(void **state)
{
    struct job j = {.work.run = NULL};

    ac_post(NULL, &j.work);
    ac_post(*state, NULL);
    ac_wake(NULL);
    ac_stop(NULL);
    assert_int_equal(ac_loop_turn(*state, 0), 0);
    ac_post(*state, &j.work); /* nothing to run */
    assert_true(ac_loop_turn(*state, AC_FOREVER) >= 0);
    assert_int_equal(ac_loop_turn(*state, 0), 0);
}

/* --- waking ------------------------------------------------------------------------------------------- */

static void wake_makes_one_turn_not_wait(void **state)
{
    ac_loop *loop = *state;
    int64_t  begin;

    for (int i = 0; i < 3; i++) { /* the first time before there is a descriptor */
        ac_wake(loop);
        assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 0);
        begin = h_now();
        for (int turn = 0; turn < 3; turn++)
            assert_int_equal(ac_loop_turn(loop, 5 * AC_MILLISECOND), 0);
        /* One more turn may find the descriptor written to; the others wait again. */
        assert_true(h_now() - begin >= 10 * AC_MILLISECOND);
    }
}

/* Many wakes are one write. */
static void wakes_are_coalesced(void **state)
{
    ac_loop *loop = *state;
    uint64_t before;

    assert_int_equal(ac_loop_turn(loop, 0), 0);
    before = h_stats(loop).wakes;
    for (int i = 0; i < 1000; i++)
        ac_wake(loop);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 0);
    assert_int_equal(ac_loop_turn(loop, AC_MILLISECOND), 0);
    assert_int_equal(h_stats(loop).wakes, before + 1);
    ac_wake(loop);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 0);
    assert_int_equal(ac_loop_turn(loop, AC_MILLISECOND), 0);
    assert_int_equal(h_stats(loop).wakes, before + 2);
}

/* The descriptor, once served, is not ready any more: it is waited for again. */
static void served_is_waited_for(void **state)
{
    const uint64_t one  = 1;
    ac_loop       *loop = *state;

    assert_int_equal(ac_loop_turn(loop, 0), 0);
    ac_wake(loop);
    h_idle(loop, AC_MILLISECOND);
    ac__source_touch(loop, &loop->wake);
    assert_true(h_idle(loop, 20 * AC_MILLISECOND) <= 3);
    /* Only the descriptor tells of this one. */
    assert_int_equal(write(atomic_load(&loop->wake_fd), &one, sizeof one), sizeof one);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 0);
}

static void errno_is_kept(void **state)
{
    const uint64_t full = UINT64_MAX - 1;
    ac_loop       *loop = *state;
    struct job     j    = {.work.run = run_job};

    assert_int_equal(ac_loop_turn(loop, 0), 0);
    /* No room for one more: the write of the wake fails. */
    assert_int_equal(write(atomic_load(&loop->wake_fd), &full, sizeof full), sizeof full);
    errno = 4321;
    ac_wake(loop);
    ac_post(loop, &j.work);
    assert_int_equal(errno, 4321);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 1);
}

static void stop_ends_a_run(void **state)
{
    ac_loop *loop = *state;

    assert_int_equal(ac_hold(loop), 0);
    for (int i = 0; i < 3; i++) {
        ac_stop(loop);
        assert_int_equal(ac_run(loop), 1);
    }
    assert_int_equal(ac_unhold(loop), 0);
}

/* --- from a signal handler ------------------------------------------------------------------------------ */

static ac_loop   *handlers_loop;
static struct job handlers_job;

static void on_alarm_stop(int signo)
{
    (void)signo;
    ac_stop(handlers_loop);
}

static void on_alarm_post(int signo)
{
    (void)signo;
    ac_post(handlers_loop, &handlers_job.work);
}

static void from_a_signal_handler(void **state)
{
    const struct itimerval soon   = {{0, 0}, {0, 5000}};
    struct sigaction       action = {.sa_handler = on_alarm_stop, .sa_flags = SA_RESTART}, was;
    ac_loop               *loop   = *state;

    handlers_loop = loop;
    assert_int_equal(sigaction(SIGALRM, &action, &was), 0);
    assert_int_equal(ac_hold(loop), 0);
    for (int i = 0; i < 5; i++) {
        setitimer(ITIMER_REAL, &soon, NULL);
        assert_int_equal(ac_run(loop), 1);
    }
    assert_int_equal(ac_unhold(loop), 0);

    action.sa_handler = on_alarm_post;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    for (unsigned i = 1; i <= 5; i++) {
        handlers_job.work.run = run_job;
        setitimer(ITIMER_REAL, &soon, NULL);
        H_UNTIL(loop, handlers_job.runs == i);
    }
    assert_int_equal(sigaction(SIGALRM, &was, NULL), 0);
    alarm(60);
}

/* --- from other threads ----------------------------------------------------------------------------------- */

enum { THREADS = 8, EACH = 4000 };

struct poster {
    ac_loop   *loop;
    pthread_t  thread;
    struct job jobs[EACH];
    unsigned   next;
};

static struct poster posters[THREADS];
static unsigned      total;
static pthread_t     loops_thread;

static void run_counted(ac_work *work, int status)
{
    struct job    *j = job_of(work);
    struct poster *p =
        (struct poster *)(void *)((char *)(j - j->number) - offsetof(struct poster, jobs));

    assert_int_equal(status, 0);
    assert_true(pthread_equal(pthread_self(), loops_thread));
    assert_int_equal(j->number, p->next);
    p->next++;
    if (++total == THREADS * EACH)
        ac_stop(p->loop);
}

static void *post_all(void *arg)
{
    struct poster *p = arg;

    for (unsigned i = 0; i < EACH; i++) {
        p->jobs[i] = (struct job){.work.run = run_counted, .number = i};
        ac_post(p->loop, &p->jobs[i].work);
    }
    return NULL;
}

/* All of it runs, that of each thread in its order. */
static void many_threads_post(void **state)
{
    ac_loop *loop = *state;

    total        = 0;
    loops_thread = pthread_self();
    assert_int_equal(ac_hold(loop), 0);
    for (int i = 0; i < THREADS; i++) {
        posters[i].loop = loop;
        posters[i].next = 0;
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    assert_int_equal(ac_run(loop), 1);
    assert_int_equal(total, THREADS * EACH);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
    assert_int_equal(ac_unhold(loop), 0);
}

struct player {
    ac_loop       *own, *other;
    ac_work        work;
    struct player *peer;
    unsigned       left;
};

/* Each answers the other: at any time one of the two loops waits without limit. */
static void run_play(ac_work *work, int status)
{
    struct player *p = AC_CONTAINER(struct player, work, work);

    if (status != 0)
        abort(); /* cmocka can fail only in the thread of the test */
    if (p->left-- == 0) {
        ac_stop(p->other);
        ac_stop(p->own);
        return;
    }
    ac_post(p->other, &p->peer->work);
}

static void *run_player(void *arg)
{
    struct player *p = arg;

    return ac_run(p->own) == 1 ? NULL : arg;
}

static void two_loops_play(void **state)
{
    struct player a = {.own = *state, .work.run = run_play, .left = 5000};
    struct player b = {.own = h_loop_new(), .work.run = run_play, .left = 5000};
    pthread_t     thread;
    void         *failed;

    a.other = b.own;
    a.peer  = &b;
    b.other = a.own;
    b.peer  = &a;
    assert_int_equal(ac_hold(a.own), 0);
    assert_int_equal(ac_hold(b.own), 0);
    ac_post(a.own, &a.work);
    assert_int_equal(pthread_create(&thread, NULL, run_player, &b), 0);
    assert_int_equal(ac_run(a.own), 1);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_int_equal(ac_loop_free(b.own), 0);
    assert_int_equal(ac_unhold(a.own), 0);
}

static atomic_uint turns_done;
static atomic_bool over;

static void *wake_each_turn(void *arg)
{
    unsigned seen = 0;

    while (!atomic_load(&over)) {
        ac_wake(arg);
        while (atomic_load(&turns_done) == seen && !atomic_load(&over))
            sched_yield();
        seen = atomic_load(&turns_done);
    }
    return NULL;
}

/* One wake a turn, at any moment of it: each wait ends. */
static void wakes_are_not_lost(void **state)
{
    pthread_t thread;

    atomic_store(&over, false);
    atomic_store(&turns_done, 0);
    assert_int_equal(pthread_create(&thread, NULL, wake_each_turn, *state), 0);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 0);
        atomic_fetch_add(&turns_done, 1);
    }
    atomic_store(&over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* --- the descriptor ------------------------------------------------------------------------------------- */

/* A filter that has system call `nr` fail with `err` in this process. */
static int refuse(unsigned nr, unsigned err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int without_eventfd(void)
{
    ac_loop  *loop;
    pthread_t thread;
    ac_stats  stats  = {.size = sizeof stats};
    size_t    before = h_fds();

    if (refuse(SYS_eventfd2, ENOSYS) != 0)
        return 2;
    loop = h_loop_new();
    if (ac_loop_turn(loop, 0) != 0)
        return 3;
    if (loop->wake_read == atomic_load(&loop->wake_fd))
        return 4;
    atomic_store(&over, false);
    atomic_store(&turns_done, 0);
    if (pthread_create(&thread, NULL, wake_each_turn, loop) != 0)
        return 5;
    for (int i = 0; i < 500; i++) {
        if (ac_loop_turn(loop, AC_FOREVER) != 0)
            return 6;
        atomic_fetch_add(&turns_done, 1);
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    if (ac_loop_stats(loop, &stats) != 0 || stats.wakes == 0 || stats.wakes > 501)
        return 7;
    if (ac_loop_free(loop) != 0 || h_fds() != before)
        return 8;
    return 0;
}

static int without_any(void)
{
    ac_loop   *loop;
    struct job j      = {.work.run = run_job};
    size_t     before = h_fds();

    if (refuse(SYS_eventfd2, ENOSYS) != 0 || refuse(SYS_pipe2, EMFILE) != 0)
        return 2;
    loop = h_loop_new();
    if (ac_loop_turn(loop, 0) != -EMFILE || ac_run(loop) != -EMFILE)
        return 3;
    ac_post(loop, &j.work);
    if (ac_loop_free(loop) != 0 || j.status != -ECANCELED || h_fds() != before)
        return 4;
    return 0;
}

static void in_a_child(int (*test)(void))
{
    pid_t pid = fork();
    int   status;

    if (pid == 0)
        _exit(test());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_pipe_does_as_well(void **state)
{
    (void)state;
    in_a_child(without_eventfd);
}

static void no_descriptor_is_told(void **state)
{
    (void)state;
    in_a_child(without_any);
}

static void out_of_memory_is_told(void **state)
{
    int failed = 0;

    (void)state;
    for (int k = 1;; k++) {
        ac_loop   *loop = h_loop_new();
        struct job j    = {.work.run = run_job};
        int        rc;

        h_alloc_fail = h_alloc_calls + k;
        rc           = ac_loop_turn(loop, 0);
        h_alloc_fail = 0;
        if (rc < 0) {
            assert_int_equal(rc, -ENOMEM);
            failed++;
        }
        ac_post(loop, &j.work);
        assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 1);
        assert_int_equal(ac_loop_free(loop), 0);
        if (rc >= 0)
            break;
    }
    assert_true(failed >= 2);
}

/* --- a loop that ends while it is stopped ---------------------------------------------------------------- */

struct stopper {
    ac_loop    *loop;
    atomic_uint begun;
};

static void *stop_once(void *arg)
{
    struct stopper *s = arg;

    atomic_store(&s->begun, 1);
    ac_stop(s->loop);
    return NULL;
}

/*
 * The loop has nothing to do and ends by itself, again and again, until it finds the stop; then it is
 * freed at once, while the thread that stopped it may be on its way back still.
 */
static void stopped_while_it_ends(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 1000; round++) {
        ac_loop       *loop = h_loop_new();
        struct stopper s    = {.loop = loop};
        pthread_t      thread;
        int            rc;

        assert_non_null(loop);
        if (round % 2 == 0)
            assert_int_equal(ac_loop_turn(loop, 0), 0); /* with its descriptors open, or before */
        assert_int_equal(pthread_create(&thread, NULL, stop_once, &s), 0);
        while (round % 3 != 0 && atomic_load(&s.begun) == 0)
            sched_yield();
        while ((rc = ac_run(loop)) == 0)
            continue;
        assert_int_equal(rc, 1);
        assert_int_equal(ac_loop_free(loop), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

/* --- fork -------------------------------------------------------------------------------------------------- */

static void child_does_not_wake_the_parent(void **state)
{
    ac_loop   *loop = *state;
    struct job j    = {.work.run = run_job, .status = 1};
    int64_t    begin;
    pid_t      pid;
    int        status;

    assert_int_equal(ac_loop_turn(loop, 0), 0);
    pid = fork();
    if (pid == 0) {
        int bad = 0;

        ac_wake(loop);
        ac_post(loop, &j.work);
        bad |= ac_loop_turn(loop, 0) != -ECHILD;
        bad |= ac_loop_after_fork(loop) != 0;
        bad |= ac_loop_turn(loop, AC_FOREVER) != 1;
        bad |= j.runs != 1 || j.status != 0;
        ac_stop(loop);
        bad |= ac_run(loop) != 1;
        bad |= ac_loop_free(loop) != 0;
        _exit(bad);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    begin = h_now();
    assert_int_equal(ac_loop_turn(loop, 5 * AC_MILLISECOND), 0);
    assert_true(h_now() - begin >= 5 * AC_MILLISECOND);
    assert_int_equal(h_stats(loop).wakes, 0);
    assert_int_equal(j.runs, 0);
    /* The parent's still works. */
    ac_post(loop, &j.work);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(runs_in_order),
        H_TEST(posted_meanwhile_waits),
        H_TEST(storage_is_freed_in_run),
        H_TEST(does_not_keep_the_run),
        H_TEST(free_of_the_loop_cancels),
        H_TEST(misuse_is_left_alone),
        H_TEST(wake_makes_one_turn_not_wait),
        H_TEST(wakes_are_coalesced),
        H_TEST(served_is_waited_for),
        H_TEST(errno_is_kept),
        H_TEST(stop_ends_a_run),
        H_TEST(from_a_signal_handler),
        H_TEST(many_threads_post),
        H_TEST(two_loops_play),
        H_TEST(wakes_are_not_lost),
        H_TEST(a_pipe_does_as_well),
        H_TEST(no_descriptor_is_told),
        H_TEST(out_of_memory_is_told),
        H_TEST(stopped_while_it_ends),
        H_TEST(child_does_not_wake_the_parent),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
