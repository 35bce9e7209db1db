/* SPDX-License-Identifier: MIT */
/* Signals as events: who is told, what stays of the process's dispositions, and what races. */
#define HARNESS_BARE
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>

struct sig {
    ac_signal   watcher;
    unsigned    fired;
    struct sig *other;
};

static struct sig *order[32];
static unsigned    norder;

static struct sig *sig_of(ac_signal *s)
{
    return AC_CONTAINER(struct sig, watcher, s);
}

static void fire(ac_signal *s)
{
    assert_true(s->signo > 0);
    sig_of(s)->fired++;
    if (norder < sizeof order / sizeof order[0])
        order[norder++] = sig_of(s);
}

static void init(struct sig *s, ac_loop *loop, void (*f)(ac_signal *))
{
    *s = (struct sig){.fired = 0};
    ac_signal_init(&s->watcher, loop, f);
}

static void start(struct sig *s, int signo)
{
    assert_int_equal(ac_signal_start(&s->watcher, signo), 0);
    assert_int_equal(s->watcher.signo, signo);
}

static struct sigaction disposition(int signo)
{
    struct sigaction now;

    assert_int_equal(sigaction(signo, NULL, &now), 0);
    return now;
}

/* --- told ------------------------------------------------------------------------------------------- */

static void fires_once_for_all_that_came(void **state)
{
    ac_loop   *loop = *state;
    struct sig s;

    init(&s, loop, fire);
    start(&s, SIGUSR1);
    assert_int_equal(ac_loop_turn(loop, 0), 0);
    raise(SIGUSR1);
    assert_int_equal(s.fired, 0);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 1);
    assert_int_equal(s.fired, 1);
    for (int i = 0; i < 5; i++)
        raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 1);
    assert_int_equal(ac_loop_turn(loop, 0), 0);
    assert_int_equal(s.fired, 2);
    assert_int_equal(h_stats(loop).callbacks, 2);
    ac_signal_stop(&s.watcher);
    assert_int_equal(s.watcher.signo, 0);
}

/* A signal that comes before the first turn, when there is no descriptor. */
static void fires_in_the_first_turn(void **state)
{
    struct sig s;

    init(&s, *state, fire);
    start(&s, SIGUSR1);
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 1);
    ac_signal_stop(&s.watcher);
}

static void ends_a_wait(void **state)
{
    const struct itimerval soon = {{0, 0}, {0, 5000}};
    ac_loop               *loop = *state;
    struct sigaction       was  = disposition(SIGALRM);
    struct sig             s;

    init(&s, loop, fire);
    start(&s, SIGALRM);
    for (unsigned i = 1; i <= 5; i++) {
        setitimer(ITIMER_REAL, &soon, NULL);
        H_UNTIL(loop, s.fired == i);
    }
    ac_signal_stop(&s.watcher);
    assert_ptr_equal(disposition(SIGALRM).sa_handler, was.sa_handler);
    alarm(60);
}

static void all_watchers_are_told(void **state)
{
    ac_loop   *one = *state, *two = h_loop_new();
    struct sig a, b, c, other;

    init(&a, one, fire);
    init(&b, one, fire);
    init(&c, two, fire);
    init(&other, one, fire);
    start(&a, SIGUSR1);
    start(&b, SIGUSR1);
    start(&c, SIGUSR1);
    start(&other, SIGUSR2);
    norder = 0;
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(one, AC_FOREVER), 2);
    assert_int_equal(ac_loop_turn(two, AC_FOREVER), 1);
    assert_ptr_equal(order[0], &a);
    assert_ptr_equal(order[1], &b);
    assert_ptr_equal(order[2], &c);
    assert_int_equal(other.fired, 0);
    raise(SIGUSR2);
    assert_int_equal(ac_loop_turn(one, AC_FOREVER), 1);
    assert_int_equal(other.fired, 1);
    /* One goes, the others stay. */
    ac_signal_stop(&a.watcher);
    ac_signal_stop(&a.watcher);
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(one, AC_FOREVER), 1);
    assert_int_equal(ac_loop_turn(two, AC_FOREVER), 1);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 2);
    ac_signal_stop(&b.watcher);
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(one, 0), 0);
    assert_int_equal(ac_loop_turn(two, AC_FOREVER), 1);
    ac_signal_stop(&c.watcher);
    ac_signal_stop(&other.watcher);
    assert_int_equal(ac_loop_free(two), 0);
}

static void real_time_signals(void **state)
{
    struct sig a, b;

    init(&a, *state, fire);
    init(&b, *state, fire);
    start(&a, SIGRTMIN);
    start(&b, SIGRTMAX);
    raise(SIGRTMAX);
    assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 1);
    assert_int_equal(a.fired, 0);
    assert_int_equal(b.fired, 1);
    raise(SIGRTMIN);
    assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 1);
    assert_int_equal(a.fired, 1);
    ac_signal_stop(&a.watcher);
    ac_signal_stop(&b.watcher);
}

static void does_not_keep_the_run(void **state)
{
    struct sig s;

    init(&s, *state, fire);
    start(&s, SIGUSR1);
    assert_int_equal(ac_run(*state), 0);
    ac_signal_stop(&s.watcher);
}

/* --- what a callback may do --------------------------------------------------------------------------- */

static void fire_and_raise(ac_signal *s)
{
    fire(s);
    if (sig_of(s)->fired < 4)
        raise(s->signo);
}

static void raised_in_fire_waits_for_the_next_turn(void **state)
{
    struct sig s;

    init(&s, *state, fire_and_raise);
    start(&s, SIGUSR1);
    raise(SIGUSR1);
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 1);
        assert_int_equal(s.fired, i);
    }
    assert_int_equal(ac_loop_turn(*state, 0), 0);
    ac_signal_stop(&s.watcher);
}

static void fire_and_stop_both(ac_signal *s)
{
    fire(s);
    ac_signal_stop(&sig_of(s)->other->watcher);
    ac_signal_stop(s);
}

/* Two are due; whichever comes first stops both. */
static void stop_of_one_that_is_due(void **state)
{
    struct sig a, b, c;

    init(&a, *state, fire_and_stop_both);
    init(&b, *state, fire_and_stop_both);
    init(&c, *state, fire);
    a.other = &b;
    b.other = &a;
    start(&a, SIGUSR1);
    start(&b, SIGUSR1);
    start(&c, SIGUSR1);
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 2);
    assert_int_equal(a.fired + b.fired, 1);
    assert_int_equal(c.fired, 1);
    ac_signal_stop(&c.watcher);
    assert_ptr_equal(disposition(SIGUSR1).sa_handler, SIG_DFL);
}

static void fire_and_start_other(ac_signal *s)
{
    fire(s);
    assert_int_equal(ac_signal_start(&sig_of(s)->other->watcher, s->signo), 0);
    ac_signal_stop(s);
    assert_int_equal(ac_signal_start(s, SIGUSR2), 0);
}

/* What starts in the pass is not told of what came before it. */
static void start_in_fire(void **state)
{
    struct sig a, b;

    init(&a, *state, fire_and_start_other);
    init(&b, *state, fire);
    a.other = &b;
    start(&a, SIGUSR1);
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 1);
    assert_int_equal(b.fired, 0);
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 1);
    assert_int_equal(b.fired, 1);
    assert_int_equal(a.fired, 1);
    assert_int_equal(a.watcher.signo, SIGUSR2);
    ac_signal_stop(&a.watcher);
    ac_signal_stop(&b.watcher);
}

static unsigned freed;

static void fire_and_free(ac_signal *s)
{
    struct sig *self = sig_of(s), *other = self->other;

    if (other != NULL && other->watcher.signo != 0) {
        other->other = NULL;
        ac_signal_stop(&other->watcher);
        memset(other, 0xEE, sizeof *other);
        free(other);
        freed++;
    }
    ac_signal_stop(s);
    memset(self, 0xEE, sizeof *self);
    free(self);
    freed++;
}

static void storage_is_freed_in_fire(void **state)
{
    struct sig *s[20];

    freed = 0;
    for (int i = 0; i < 20; i++) {
        s[i] = malloc(sizeof *s[i]);
        assert_non_null(s[i]);
        init(s[i], *state, fire_and_free);
        start(s[i], SIGUSR1);
    }
    for (int i = 0; i < 20; i++)
        s[i]->other = s[19 - i];
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 10);
    assert_int_equal(freed, 20);
}

/* --- dispositions ------------------------------------------------------------------------------------ */

static volatile sig_atomic_t theirs;

static void their_handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    theirs++;
}

static void other_handler(int signo)
{
    (void)signo;
    theirs += 100;
}

static void disposition_comes_back_with_the_last(void **state)
{
    struct sigaction was = {.sa_sigaction = their_handler, .sa_flags = SA_SIGINFO}, now;
    ac_loop         *two = h_loop_new();
    struct sig       a, b;

    theirs = 0;
    sigaddset(&was.sa_mask, SIGUSR2);
    assert_int_equal(sigaction(SIGUSR1, &was, NULL), 0);
    init(&a, *state, fire);
    init(&b, two, fire);
    start(&a, SIGUSR1);
    start(&b, SIGUSR1);
    now = disposition(SIGUSR1);
    assert_true(now.sa_flags & SA_RESTART);
    assert_true(now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN);
    raise(SIGUSR1);
    assert_int_equal(theirs, 0);
    ac_signal_stop(&a.watcher);
    assert_ptr_equal(disposition(SIGUSR1).sa_handler, now.sa_handler);
    ac_signal_stop(&b.watcher);
    now = disposition(SIGUSR1);
    assert_true(now.sa_flags & SA_SIGINFO);
    assert_true(sigismember(&now.sa_mask, SIGUSR2));
    raise(SIGUSR1);
    assert_int_equal(theirs, 1);

    /* An ignored signal is ignored again, and one that came is forgotten with its watcher. */
    signal(SIGUSR1, SIG_IGN);
    start(&a, SIGUSR1);
    raise(SIGUSR1);
    ac_signal_stop(&a.watcher);
    raise(SIGUSR1);
    start(&a, SIGUSR1);
    assert_int_equal(ac_loop_turn(*state, 0), 0);
    assert_int_equal(a.fired, 0);
    ac_signal_stop(&a.watcher);
    assert_ptr_equal(disposition(SIGUSR1).sa_handler, SIG_IGN);
    signal(SIGUSR1, SIG_DFL);
    assert_int_equal(ac_loop_free(two), 0);
}

/* A handler that somebody put in the place of ours stays. */
static void a_later_handler_stays(void **state)
{
    struct sig s;

    init(&s, *state, fire);
    start(&s, SIGUSR1);
    signal(SIGUSR1, other_handler);
    ac_signal_stop(&s.watcher);
    assert_ptr_equal(disposition(SIGUSR1).sa_handler, other_handler);
    signal(SIGUSR1, SIG_DFL);
}

static void errno_is_kept(void **state)
{
    struct sig s;

    init(&s, *state, fire);
    start(&s, SIGUSR1);
    assert_int_equal(ac_loop_turn(*state, 0), 0);
    errno = 4321;
    raise(SIGUSR1);
    assert_int_equal(errno, 4321);
    assert_int_equal(ac_loop_turn(*state, 0), 1);
    ac_signal_stop(&s.watcher);
}

/* --- misuse, and the loop's life ------------------------------------------------------------------------ */

static void misuse_is_refused(void **state)
{
    static const int bad[] = {0, -1, 65, 1000, INT32_MAX, INT32_MIN, SIGKILL, SIGSTOP, 32, 33};
    ac_signal        zero  = {0}, w;
    struct sig       s;

    init(&s, *state, fire);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(ac_signal_start(&s.watcher, bad[i]), -EINVAL);
        assert_int_equal(s.watcher.signo, 0);
    }
    start(&s, SIGUSR1);
    assert_int_equal(ac_signal_start(&s.watcher, SIGUSR1), -EINVAL);
    assert_int_equal(ac_signal_start(&s.watcher, SIGUSR2), -EINVAL);
    assert_int_equal(s.watcher.signo, SIGUSR1);
    ac_signal_stop(&s.watcher);
    ac_signal_stop(&s.watcher);
    ac_signal_stop(NULL);
    ac_signal_stop(&zero);
    assert_int_equal(ac_signal_start(NULL, SIGUSR1), -EINVAL);
    assert_int_equal(ac_signal_start(&zero, SIGUSR1), -EINVAL);
    ac_signal_init(NULL, *state, fire);
    ac_signal_init(&w, NULL, fire);
    assert_int_equal(ac_signal_start(&w, SIGUSR1), -EINVAL);
    ac_signal_init(&w, *state, NULL);
    assert_int_equal(ac_signal_start(&w, SIGUSR1), -EINVAL);
    assert_ptr_equal(disposition(SIGUSR1).sa_handler, SIG_DFL);
}

static void out_of_memory_is_told(void **state)
{
    struct sig s;

    init(&s, *state, fire);
    h_alloc_fail = h_alloc_calls + 1;
    assert_int_equal(ac_signal_start(&s.watcher, SIGUSR1), -ENOMEM);
    h_alloc_fail = 0;
    assert_int_equal(s.watcher.signo, 0);
    assert_ptr_equal(disposition(SIGUSR1).sa_handler, SIG_DFL);
    start(&s, SIGUSR1);
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(*state, AC_FOREVER), 1);
    ac_signal_stop(&s.watcher);
}

static struct sig late;
static int        late_rc;

static void run_late(ac_work *work, int status)
{
    (void)work, (void)status;
    late_rc = ac_signal_start(&late.watcher, SIGUSR2);
}

static void free_of_the_loop_stops(void **state)
{
    ac_loop   *loop = h_loop_new();
    ac_work    work = {.run = run_late};
    struct sig a, b;

    (void)state;
    init(&a, loop, fire);
    init(&b, loop, fire);
    init(&late, loop, fire);
    start(&a, SIGUSR1);
    start(&b, SIGUSR2);
    raise(SIGUSR1);
    ac_post(loop, &work);
    assert_int_equal(ac_loop_free(loop), 0);
    assert_int_equal(late_rc, -EINVAL);
    assert_int_equal(a.fired, 0);
    assert_int_equal(a.watcher.signo, 0);
    assert_int_equal(b.watcher.signo, 0);
    assert_ptr_equal(disposition(SIGUSR1).sa_handler, SIG_DFL);
    assert_ptr_equal(disposition(SIGUSR2).sa_handler, SIG_DFL);
    ac_signal_stop(&a.watcher); /* the loop is gone, and this is still allowed */
}

/* --- fork --------------------------------------------------------------------------------------------------- */

static int in_child(ac_loop *loop, struct sig *s)
{
    int bad = 0;

    /* Not the parent's, that was for the parent; and the child's does not wake the parent. */
    raise(SIGUSR2);
    bad |= ac_signal_start(&s[2].watcher, SIGUSR1) != -ECHILD;
    bad |= ac_loop_after_fork(loop) != 0;
    bad |= ac_loop_turn(loop, AC_FOREVER) != 1;
    bad |= s[0].fired != 0 || s[1].fired != 1;
    raise(SIGUSR1);
    bad |= ac_loop_turn(loop, AC_FOREVER) != 1;
    bad |= s[0].fired != 1;
    bad |= ac_loop_free(loop) != 0;
    bad |= disposition(SIGUSR1).sa_handler != SIG_DFL;
    return bad;
}

static void child_of_a_fork(void **state)
{
    ac_loop   *loop = *state;
    struct sig s[3];
    int64_t    begin;
    pid_t      pid;
    int        status;

    for (int i = 0; i < 3; i++)
        init(&s[i], loop, fire);
    start(&s[0], SIGUSR1);
    start(&s[1], SIGUSR2);
    assert_int_equal(ac_loop_turn(loop, 0), 0);
    raise(SIGUSR1);
    pid = fork();
    if (pid == 0)
        _exit(in_child(loop, s));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 1);
    assert_int_equal(s[0].fired, 1);
    assert_int_equal(s[1].fired, 0);
    begin = h_now();
    assert_int_equal(ac_loop_turn(loop, 5 * AC_MILLISECOND), 0);
    assert_true(h_now() - begin >= 5 * AC_MILLISECOND);

    /* A child that only ends the loop leaves the parent its signals. */
    pid = fork();
    if (pid == 0)
        _exit(ac_loop_free(loop) != 0 || disposition(SIGUSR1).sa_handler != SIG_DFL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 1);
    ac_signal_stop(&s[0].watcher);
    ac_signal_stop(&s[1].watcher);
}

/* --- races ---------------------------------------------------------------------------------------------------- */

static atomic_bool  over, done;
static atomic_ulong told; /* in the loops that come and go */

static void fire_elsewhere(ac_signal *s)
{
    (void)s;
    atomic_fetch_add(&told, 1);
}

/* cmocka can fail only in the thread of the test. */
#define MUST(cond) ((cond) ? (void)0 : abort())

static void *storm(void *arg)
{
    pthread_t *target = arg;

    while (!atomic_load(&over)) {
        kill(getpid(), SIGUSR1);
        pthread_kill(*target, SIGUSR1);
        raise(SIGUSR1);
    }
    return NULL;
}

static void *loops_come_and_go(void *arg)
{
    for (int i = 0; i < 300 || atomic_load(&told) < 10; i++) {
        ac_loop   *loop = ac_loop_new();
        struct sig a, b;

        init(&a, loop, fire_elsewhere);
        init(&b, loop, fire_elsewhere);
        MUST(ac_signal_start(&a.watcher, SIGUSR1) == 0);
        MUST(ac_signal_start(&b.watcher, SIGUSR1) == 0);
        MUST(ac_loop_turn(loop, 0) >= 0);
        if (i % 2 == 0)
            ac_signal_stop(&a.watcher);
        MUST(ac_loop_free(loop) == 0);
    }
    atomic_store(&done, true);
    return arg;
}

static void fire_counted(ac_signal *s)
{
    sig_of(s)->fired++;
}

/*
 * Signals hit all threads while loops that watch them are made and freed. The loop of the test keeps
 * watching, so that the disposition stays.
 */
static void signals_while_loops_come_and_go(void **state)
{
    ac_loop   *loop = *state;
    pthread_t  stormy, busy, self = pthread_self();
    struct sig s;

    init(&s, loop, fire_counted);
    start(&s, SIGUSR1);
    atomic_store(&over, false);
    atomic_store(&done, false);
    atomic_store(&told, 0);
    assert_int_equal(pthread_create(&busy, NULL, loops_come_and_go, NULL), 0);
    assert_int_equal(pthread_create(&stormy, NULL, storm, &self), 0);
    while (!atomic_load(&done) || s.fired == 0)
        assert_true(ac_loop_turn(loop, AC_MILLISECOND) >= 0);
    atomic_store(&over, true);
    assert_int_equal(pthread_join(stormy, NULL), 0);
    assert_int_equal(pthread_join(busy, NULL), 0);
    /* All that came has been told, and the next one is too. */
    H_UNTIL(loop, ac_loop_turn(loop, 0) == 0);
    raise(SIGUSR1);
    assert_int_equal(ac_loop_turn(loop, AC_FOREVER), 1);
    ac_signal_stop(&s.watcher);
}

static atomic_uint heard;

static void *send_when_heard(void *arg)
{
    pthread_t *target = arg;

    for (unsigned i = 0; i < 3000; i++) {
        pthread_kill(*target, SIGUSR1);
        while (atomic_load(&heard) == i)
            sched_yield();
    }
    return NULL;
}

/* One signal a turn, at any moment of it: each wait ends. */
static void no_signal_is_lost(void **state)
{
    pthread_t  thread, self = pthread_self();
    struct sig s;

    init(&s, *state, fire_counted);
    start(&s, SIGUSR1);
    atomic_store(&heard, 0);
    assert_int_equal(pthread_create(&thread, NULL, send_when_heard, &self), 0);
    while (s.fired < 3000) {
        assert_true(ac_loop_turn(*state, AC_FOREVER) >= 0);
        atomic_store(&heard, s.fired);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    ac_signal_stop(&s.watcher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(fires_once_for_all_that_came),
        H_TEST(fires_in_the_first_turn),
        H_TEST(ends_a_wait),
        H_TEST(all_watchers_are_told),
        H_TEST(real_time_signals),
        H_TEST(does_not_keep_the_run),
        H_TEST(raised_in_fire_waits_for_the_next_turn),
        H_TEST(stop_of_one_that_is_due),
        H_TEST(start_in_fire),
        H_TEST(storage_is_freed_in_fire),
        H_TEST(disposition_comes_back_with_the_last),
        H_TEST(a_later_handler_stays),
        H_TEST(errno_is_kept),
        H_TEST(misuse_is_refused),
        H_TEST(out_of_memory_is_told),
        H_TEST(free_of_the_loop_stops),
        H_TEST(child_of_a_fork),
        H_TEST(signals_while_loops_come_and_go),
        H_TEST(no_signal_is_lost),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
