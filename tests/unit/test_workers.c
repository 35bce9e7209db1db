/* SPDX-License-Identifier: MIT */
/* One loop per thread. What the threads share here is atomic; the harness's probes are not used. */
#define HARNESS_BARE
#include "harness.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

enum { WORKERS = 4, CLIENTS = 1000, WAITING = 200 };

/* What a test's workers do, and what they did. */
struct job {
    int (*start)(struct job *j, ac_loop *loop, unsigned index);
    atomic_int  inside; /* starts under way */
    atomic_uint started, order_wrong, finalized, mask_wrong;
    atomic_uint served[WORKERS];
    uint16_t    port; /* chosen by worker 0, before the others exist */
    ac_loop    *loops[WORKERS];
    pthread_t   threads[WORKERS], helper;
    ac_timer    timer;
    ac_signal   watch;
    int         clients[WAITING];
};

/* --- a server --------------------------------------------------------------------------------- */

struct server {
    ac_dispatcher base;
    struct job   *job;
    unsigned      index;
};

struct reply {
    ac_dispatcher base;
};

static void ignore(ac_dispatcher *d)
{
    char buf[64];

    while (ac_recv(d, buf, sizeof buf) > 0)
        continue;
}

static const ac_class reply_class = {.name = "Reply", .handle_read = ignore};

static void serve(ac_dispatcher *d)
{
    struct server *s = AC_SELF(struct server, d);
    ac_sock        sock;

    while (ac_accept(d, &sock, NULL) == 0) {
        struct reply *r = ac_new(struct reply, d->loop, &reply_class);

        if (ac_attach(r != NULL ? &r->base : NULL, sock) < 0)
            continue;
        ac_writef(&r->base, "%u", s->index);
        ac_close_when_sent(&r->base);
        s->job->served[s->index]++;
    }
}

static void ended(ac_dispatcher *d)
{
    AC_SELF(struct server, d)->job->finalized++;
}

static const ac_class server_class = {.name = "Server", .handle_accept = serve, .finalize = ended};

static int listen_at(struct job *j, ac_loop *loop, unsigned index)
{
    struct server *s = ac_new(struct server, loop, &server_class);
    int            rc;

    if (s == NULL)
        return -ENOMEM;
    s->job   = j;
    s->index = index;
    rc       = ac_set_reuseport(&s->base, true);
    if (rc == 0)
        rc = ac_listen(&s->base, "127.0.0.1", j->port, 4096);
    if (rc < 0) {
        ac_close(&s->base);
        return rc;
    }
    if (index == 0)
        j->port = ac_local_port(&s->base);
    return 0;
}

static int start(ac_loop *loop, unsigned index, void *arg)
{
    struct job *j = arg;
    int         rc;

    if (atomic_fetch_add(&j->inside, 1) != 0 || j->started != index)
        j->order_wrong++;
    j->loops[index]   = loop;
    j->threads[index] = pthread_self();
    rc                = j->start(j, loop, index);
    j->started++;
    atomic_fetch_sub(&j->inside, 1);
    return rc;
}

static int connect_to(uint16_t port)
{
    ac_addr addr;
    int     fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || ac_addr_ip(&addr, "127.0.0.1", port) < 0
        || connect(fd, &addr.u.sa, addr.len) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The number of the worker that answered, or -1. Closes the connection. */
static int answer(int fd)
{
    char    buf[8];
    ssize_t n = recv(fd, buf, sizeof buf, 0);

    if (n == 1 && recv(fd, buf + 1, 1, 0) != 0)
        n = -1;
    close(fd);
    return n == 1 ? buf[0] - '0' : -1;
}

/* --- serving ---------------------------------------------------------------------------------- */

static atomic_uint answered[WORKERS], unanswered;

/* Asks many times, some at once, and then stops the workers by way of one of their loops. */
static void *ask(void *arg)
{
    struct job *j = arg;

    for (int i = 0; i < CLIENTS; i += 20) {
        int fd[20], who;

        for (int k = 0; k < 20; k++)
            fd[k] = connect_to(j->port);
        for (int k = 0; k < 20; k++) {
            who = fd[k] >= 0 ? answer(fd[k]) : -1;
            if (who >= 0 && who < WORKERS)
                answered[who]++;
            else
                unanswered++;
        }
    }
    ac_stop(j->loops[1]);
    return NULL;
}

static int start_server(struct job *j, ac_loop *loop, unsigned index)
{
    int rc = listen_at(j, loop, index);

    if (rc == 0 && index == WORKERS - 1)
        rc = -pthread_create(&j->helper, NULL, ask, j);
    return rc;
}

static void four_workers_share_a_port(void **state)
{
    struct job j   = {.start = start_server};
    unsigned   sum = 0;

    (void)state;
    unanswered = 0;
    assert_int_equal(ac_workers(WORKERS, start, &j), 1);
    pthread_join(j.helper, NULL);
    for (int i = 0; i < WORKERS; i++) {
        assert_true(answered[i] > CLIENTS / 20);
        assert_int_equal(answered[i], j.served[i]);
        sum += answered[i];
        for (int k = 0; k < i; k++)
            assert_false(pthread_equal(j.threads[i], j.threads[k]));
    }
    assert_int_equal(sum, CLIENTS);
    assert_int_equal(unanswered, 0);
    assert_int_equal(j.order_wrong, 0);
    assert_int_equal(j.finalized, WORKERS);
    assert_true(pthread_equal(j.threads[0], pthread_self()));
}

/* --- running and stopping --------------------------------------------------------------------- */

static int start_nothing(struct job *j, ac_loop *loop, unsigned index)
{
    (void)j;
    (void)loop;
    (void)index;
    return 0;
}

static void nothing_to_do_is_the_end(void **state)
{
    struct job j = {.start = start_nothing};

    (void)state;
    assert_int_equal(ac_workers(WORKERS, start, &j), 0);
    assert_int_equal(j.started, WORKERS);
    assert_int_equal(j.order_wrong, 0);
    assert_int_equal(ac_workers(1, start, &(struct job){.start = start_nothing}), 0);
}

static void stop_here(ac_timer *t)
{
    ac_stop(t->loop);
}

static int start_timer(struct job *j, ac_loop *loop, unsigned index)
{
    int rc = listen_at(j, loop, index);

    if (rc == 0 && index == WORKERS - 1) {
        ac_timer_init(&j->timer, loop, stop_here);
        rc = ac_timer_start(&j->timer, AC_MILLISECOND);
    }
    return rc;
}

static void one_worker_stops_all(void **state)
{
    struct job j = {.start = start_timer};

    (void)state;
    assert_int_equal(ac_workers(WORKERS, start, &j), 1);
    assert_int_equal(j.finalized, WORKERS);
}

static int start_stopped(struct job *j, ac_loop *loop, unsigned index)
{
    int rc = listen_at(j, loop, index);

    if (index == 0)
        ac_stop(loop);
    return rc;
}

static void stop_inside_start(void **state)
{
    struct job j = {.start = start_stopped};

    (void)state;
    assert_int_equal(ac_workers(WORKERS, start, &j), 1);
    assert_int_equal(j.finalized, j.started);
}

static int start_second_stopped(struct job *j, ac_loop *loop, unsigned index)
{
    int rc = listen_at(j, loop, index);

    if (index == 1)
        ac_stop(loop);
    return rc;
}

/* One ends while the next are being made: none of them is forgotten, which would be a hang. */
static void stop_while_others_start(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        struct job j = {.start = start_second_stopped};

        assert_int_equal(ac_workers(WORKERS, start, &j), 1);
        assert_true(j.started >= 2);
        assert_int_equal(j.finalized, j.started);
    }
}

static void stop_on_signal(ac_signal *s)
{
    ac_stop(s->loop);
}

static int start_signal(struct job *j, ac_loop *loop, unsigned index)
{
    sigset_t mask;
    int      rc = listen_at(j, loop, index);

    if (index > 0) {
        pthread_sigmask(SIG_BLOCK, NULL, &mask);
        if (sigismember(&mask, SIGUSR1) != 1 || sigismember(&mask, SIGINT) != 1)
            j->mask_wrong++;
    } else if (rc == 0) {
        ac_signal_init(&j->watch, loop, stop_on_signal);
        rc = ac_signal_start(&j->watch, SIGUSR1);
    }
    if (index == WORKERS - 1)
        kill(getpid(), SIGUSR1);
    return rc;
}

static void signals_reach_the_first_worker_only(void **state)
{
    struct job j = {.start = start_signal};
    sigset_t   before, after;

    (void)state;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(ac_workers(WORKERS, start, &j), 1);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    for (int s = 1; s < NSIG; s++)
        assert_int_equal(sigismember(&after, s), sigismember(&before, s));
    assert_int_equal(j.mask_wrong, 0);
}

/* Stopped before it has taken any: what waits at the listener is served all the same. */
static int start_waiting(struct job *j, ac_loop *loop, unsigned index)
{
    int rc = listen_at(j, loop, index);

    for (int i = 0; i < WAITING && rc == 0; i++) {
        j->clients[i] = connect_to(j->port);
        if (j->clients[i] < 0)
            rc = -ECONNREFUSED;
    }
    ac_stop(loop);
    return rc;
}

static void stopped_workers_drain_their_listeners(void **state)
{
    struct job j = {.start = start_waiting};

    (void)state;
    assert_int_equal(ac_workers(1, start, &j), 1);
    for (int i = 0; i < WAITING; i++)
        assert_int_equal(answer(j.clients[i]), 0);
    assert_int_equal(j.served[0], WAITING);
    assert_int_equal(connect_to(j.port), -1);
}

/* --- failures --------------------------------------------------------------------------------- */

static int start_failing(struct job *j, ac_loop *loop, unsigned index)
{
    int rc = listen_at(j, loop, index);

    return index == (unsigned)j->clients[0] ? -EADDRNOTAVAIL : rc;
}

static void failing_start_stops_all(void **state)
{
    (void)state;
    for (int i = 0; i < WORKERS; i++) {
        struct job j = {.start = start_failing};

        j.clients[0] = i;
        assert_int_equal(ac_workers(WORKERS, start, &j), -EADDRNOTAVAIL);
        assert_int_equal(j.started, i + 1);
        assert_int_equal(j.finalized, i + 1);
    }
}

/* Worker 1 has been stopped, and is gone, when the start of worker 2 fails: the error is told. */
static int start_failing_late(struct job *j, ac_loop *loop, unsigned index)
{
    int rc = listen_at(j, loop, index);

    if (index != 2)
        return rc;
    ac_stop(j->loops[1]);
    while (j->finalized == 0)
        sched_yield();
    return -EADDRNOTAVAIL;
}

static void failure_counts_more_than_a_stop(void **state)
{
    struct job j = {.start = start_failing_late};

    (void)state;
    assert_int_equal(ac_workers(WORKERS, start, &j), -EADDRNOTAVAIL);
    assert_int_equal(j.finalized, 3);
}

static pthread_attr_t usual;

/* From here on no thread can be made: its stack would be larger than the address space. */
static int start_last_thread(struct job *j, ac_loop *loop, unsigned index)
{
    int rc = listen_at(j, loop, index);

    if (index == 1) {
        pthread_attr_t huge;

        pthread_getattr_default_np(&huge);
        pthread_attr_setstacksize(&huge, (size_t)1 << 47);
        pthread_setattr_default_np(&huge);
        pthread_attr_destroy(&huge);
    }
    return rc;
}

static void no_more_threads(void **state)
{
    struct job j = {.start = start_last_thread};

    (void)state;
    pthread_getattr_default_np(&usual);
    assert_int_equal(ac_workers(WORKERS, start, &j), -EAGAIN);
    pthread_setattr_default_np(&usual);
    pthread_attr_destroy(&usual);
    assert_int_equal(j.started, 2);
    assert_int_equal(j.finalized, 2);
}

/* An allocator that threads may share, and that fails once. */
static atomic_long live, fail_in;

static void *shared_realloc(void *context, void *ptr, size_t len)
{
    void *p;

    (void)context;
    if (atomic_fetch_sub(&fail_in, 1) == 1)
        return NULL;
    p = realloc(ptr, len);
    if (p != NULL && ptr == NULL)
        live++;
    return p;
}

static void shared_free(void *context, void *ptr)
{
    (void)context;
    if (ptr != NULL)
        live--;
    free(ptr);
}

static int start_three(struct job *j, ac_loop *loop, unsigned index)
{
    int rc = listen_at(j, loop, index);

    if (index == 2)
        ac_stop(loop);
    return rc;
}

static void out_of_memory(void **state)
{
    unsigned failed = 0;

    (void)state;
    for (long n = 1; n < 25; n++) {
        struct job j = {.start = start_three};
        int        rc;

        fail_in = n;
        rc      = ac_workers(3, start, &j);
        fail_in = 0;
        assert_true(rc == 1 || rc == -ENOMEM);
        failed += rc == -ENOMEM;
        assert_int_equal(live, 0);
    }
    assert_true(failed >= 7); /* the group, and each worker's loop and listener */
}

static void misuse(void **state)
{
    struct job j = {.start = start_nothing};

    (void)state;
    assert_int_equal(ac_workers(0, start, &j), -EINVAL);
    assert_int_equal(ac_workers(1025, start, &j), -EINVAL);
    assert_int_equal(ac_workers(1, NULL, &j), -EINVAL);
    assert_int_equal(j.started, 0);
}

static size_t fds;

static int before_each(void **state)
{
    (void)state;
    fds = h_fds();
    return 0;
}

static int after_each(void **state)
{
    (void)state;
    if (h_fds() == fds && live == 0)
        return 0;
    print_error("%zu descriptors, %zu before; %ld allocations\n", h_fds(), fds, (long)live);
    return -1;
}

#define W_TEST(f) cmocka_unit_test_setup_teardown(f, before_each, after_each)

int main(void)
{
    static const ac_allocator allocator = {sizeof allocator, shared_realloc, shared_free, NULL};
    const struct CMUnitTest   tests[]   = {
            W_TEST(four_workers_share_a_port),
            W_TEST(nothing_to_do_is_the_end),
            W_TEST(one_worker_stops_all),
            W_TEST(stop_inside_start),
            W_TEST(stop_while_others_start),
            W_TEST(signals_reach_the_first_worker_only),
            W_TEST(stopped_workers_drain_their_listeners),
            W_TEST(failing_start_stops_all),
            W_TEST(failure_counts_more_than_a_stop),
            W_TEST(no_more_threads),
            W_TEST(out_of_memory),
            W_TEST(misuse),
    };

    alarm(120);
    if (ac_set_allocator(&allocator) != 0)
        abort();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
