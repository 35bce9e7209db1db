/* SPDX-License-Identifier: MIT */
/* What a loop with the option `debug` finds of its user's mistakes. */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

static ac_loop *loop;

static int setup(void **state)
{
    ac_loop_options options = {.size = sizeof options, .verbose = AC_ON, .debug = AC_ON};

    if (h_setup(state) != 0 || ac_loop_free(*state) != 0)
        return -1;
    *state = loop = ac_loop_new_with(&options);
    return loop == NULL ? -1 : 0;
}

/* --- standard error --------------------------------------------------------------------------- */

static int  stderr_before = -1, stderr_pipe;
static char said[1024];

static void stderr_begin(void)
{
    int fd[2];

    assert_int_equal(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
    fflush(stderr);
    stderr_before = fcntl(2, F_DUPFD_CLOEXEC, 3);
    assert_int_equal(dup2(fd[1], 2), 2);
    close(fd[1]);
    stderr_pipe = fd[0];
}

/* Puts it back and has what was written in `said`. */
static void stderr_end(void)
{
    ssize_t n;

    dup2(stderr_before, 2);
    close(stderr_before);
    n = read(stderr_pipe, said, sizeof said - 1);
    close(stderr_pipe);
    said[n > 0 ? n : 0] = '\0';
}

/* --- predicates ------------------------------------------------------------------------------- */

static bool willing;

static bool is_willing(ac_dispatcher *d)
{
    (void)d;
    return willing;
}

static void answer_changes_unsaid(void **state)
{
    struct probe *p = h_new(loop, M_READ | M_CLOSE);
    int           fd;
    char          want[256];

    (void)state;
    willing         = false;
    p->cls.readable = is_willing;
    assert_int_equal(ac_init(&p->base, loop, &p->cls), 0);
    fd = h_pair(loop, p);
    h_put(fd, "x", 1);
    h_idle(loop, 20 * AC_MILLISECOND);
    assert_int_equal(p->in_len, 0);
    assert_string_equal(p->line, "");
    /* Without the option it would never be asked again. */
    willing = true;
    H_UNTIL(loop, p->in_len == 1);
    snprintf(want, sizeof want,
             "warning: <Probe connected at %lx>: the answer of readable changed without "
             "ac_changed()",
             (unsigned long)(uintptr_t)p);
    assert_string_equal(p->line, want);
    /* One that says so is not spoken of. */
    p->line[0] = '\0';
    willing    = false;
    assert_int_equal(ac_changed(&p->base), 0);
    h_idle(loop, 5 * AC_MILLISECOND);
    willing = true;
    assert_int_equal(ac_changed(&p->base), 0);
    h_put(fd, "y", 1);
    H_UNTIL(loop, p->in_len == 2);
    assert_string_equal(p->line, "");
    close(fd);
}

/* --- the view --------------------------------------------------------------------------------- */

static const uint8_t *kept;
static bool           over_in_the_next;

static bool is_over(void)
{
    return kept[0] == 0xA5 && kept[1] == 0xA5;
}

static void keep_the_view(struct probe *p)
{
    const void *data;

    if (kept != NULL) /* the other one's callback has returned */
        over_in_the_next = is_over();
    p->rc = (int)ac_read(&p->base, &data);
    if (p->rc > 0)
        kept = data;
}

static void view_ends_with_its_callback(void **state)
{
    struct probe *p[2];
    int           fd[2];

    (void)state;
    kept = NULL;
    for (int i = 0; i < 2; i++) {
        p[i]             = h_new(loop, M_READ | M_CLOSE);
        p[i]->on[S_READ] = keep_the_view;
        fd[i]            = h_pair(loop, p[i]);
    }
    for (int i = 0; i < 2; i++)
        h_put(fd[i], "zz", 2);
    over_in_the_next = false;
    assert_true(ac_loop_turn(loop, AC_SECOND) > 0);
    H_UNTIL(loop, p[0]->count[S_READ] > 0 && p[1]->count[S_READ] > 0);
    assert_true(over_in_the_next);
    assert_true(is_over());
    close(fd[0]);
    close(fd[1]);
}

static void keep_in_a_timer(ac_timer *t)
{
    const void    *data;
    struct probe **p = (struct probe **)(void *)(t + 1);

    if (ac_read(&(*p)->base, &data) > 0)
        kept = data;
}

static void view_ends_with_the_turn(void **state)
{
    struct {
        ac_timer      timer;
        struct probe *p;
    } late;
    int fd;

    (void)state;
    kept   = NULL;
    late.p = h_new(loop, M_READ | M_CLOSE);
    fd     = h_pair(loop, late.p);
    assert_int_equal(ac_pause(&late.p->base), 0);
    h_put(fd, "zz", 2);
    ac_timer_init(&late.timer, loop, keep_in_a_timer);
    assert_int_equal(ac_timer_start(&late.timer, 0), 0);
    H_UNTIL(loop, kept != NULL);
    assert_true(is_over());
    close(fd);
}

/* --- storage ---------------------------------------------------------------------------------- */

static void forget_at_once(struct probe *p)
{
    ac_close(&p->base);
    p->base.magic_ = 0; /* as by a memset(), but so that the end of the turn is reached */
}

/* Runs `scene` in a child with a loop of its own; how it ended, with what it said in `said`. */
static int in_a_child(void (*scene)(ac_loop *own))
{
    ac_loop_options options = {.size = sizeof options, .verbose = AC_OFF, .debug = AC_ON};
    int             status;
    pid_t           pid;

    stderr_begin();
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL); /* which the test's frame may have taken */
        scene(ac_loop_new_with(&options));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    stderr_end();
    return status;
}

static void reuse_too_early(ac_loop *own)
{
    struct probe *p = h_new(own, M_READ);
    int           fd;

    p->on[S_READ] = forget_at_once;
    fd            = h_pair(own, p);
    h_put(fd, "x", 1);
    for (int i = 0; i < 10; i++)
        ac_loop_turn(own, 100 * AC_MILLISECOND);
}

static void storage_reused_too_early(void **state)
{
    int status;

    (void)state;
    status = in_a_child(reuse_too_early);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_string_equal(said,
                        "asyncore: the storage of a channel was reused before its finalize\n");
}

/* --- threads ---------------------------------------------------------------------------------- */

static const char wrong_thread[] = "asyncore: a loop was used from a thread that is not its own\n";

static void *use_from_another(void *arg)
{
    struct probe *p = arg;
    ac_timer      timer;

    h_inside = 0;
    assert_int_equal(ac_write(&p->base, "x", 1), -EPERM);
    assert_int_equal(ac_recv(&p->base, &timer, 1), -EPERM);
    assert_int_equal(ac_loop_turn(loop, 0), -EPERM);
    ac_timer_init(&timer, loop, keep_in_a_timer);
    assert_int_equal(ac_timer_start(&timer, 0), -EPERM);
    ac_wake(loop); /* these three are for others */
    return NULL;
}

static void *close_from_another(void *arg)
{
    struct probe *p = arg;

    ac_close(&p->base);
    return NULL;
}

static void used_by_another_thread(void **state)
{
    struct probe *p  = h_new(loop, M_READ | M_CLOSE);
    int           fd = h_pair(loop, p);
    pthread_t     thread;
    const size_t  len = sizeof wrong_thread - 1;

    (void)state;
    stderr_begin();
    assert_int_equal(pthread_create(&thread, NULL, use_from_another, p), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    stderr_end();
    assert_int_equal(strlen(said), 4 * len);
    for (size_t i = 0; i < 4; i++)
        assert_memory_equal(said + i * len, wrong_thread, len);
    assert_true(ac_is_open(&p->base));
    h_put(fd, "y", 1);
    H_UNTIL(loop, p->in_len == 1);

    /* A close cannot be refused, but it is told. */
    stderr_begin();
    assert_int_equal(pthread_create(&thread, NULL, close_from_another, p), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    stderr_end();
    assert_string_equal(said, wrong_thread);
    H_UNTIL(loop, p->finalized);
    close(fd);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void leave_open(struct probe *p)
{
    (void)p;
}

static void handle_close_that_closes_nothing(void **state)
{
    struct probe *p  = h_new(loop, M_READ | M_CLOSE);
    int           fd = h_pair(loop, p);
    char          want[256];

    (void)state;
    p->on[S_CLOSE] = leave_open;
    close(fd);
    H_UNTIL(loop, p->count[S_CLOSE] == 1);
    snprintf(want, sizeof want,
             "warning: <Probe connected at %lx>: handle_close left the channel open",
             (unsigned long)(uintptr_t)p);
    assert_string_equal(p->line, want);
    ac_close(&p->base);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, h_teardown)

static const struct CMUnitTest tests[] = {
    TEST(answer_changes_unsaid),   TEST(view_ends_with_its_callback),
    TEST(view_ends_with_the_turn), TEST(storage_reused_too_early),
    TEST(used_by_another_thread),  TEST(handle_close_that_closes_nothing),
};

H_MAIN(tests)
