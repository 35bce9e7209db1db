/* SPDX-License-Identifier: MIT */
/* Channels on files: pipes, terminals, eventfds, sockets, regular files; whose flags they touch. */
#include "harness.h"

#include "../../src/base/sys.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

#define ac_file_attach(...) h_int(((void)h_inside++, ac_file_attach(__VA_ARGS__)))

enum { BIG = 1024 * 1024 };

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    assert_true(flags >= 0);
    return (flags & O_NONBLOCK) != 0;
}

static void new_pipe(int fd[2])
{
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
}

static void put(int fd, const void *data, size_t len)
{
    assert_int_equal(write(fd, data, len), (ssize_t)len);
}

/* A nameless file with that many bytes of the pattern. */
static int new_file(size_t len)
{
    uint8_t *buf    = malloc(len + 1);
    char     path[] = "/tmp/asyncore-file-XXXXXX";
    int      fd     = mkostemp(path, O_CLOEXEC);

    assert_true(fd >= 0 && buf != NULL);
    unlink(path);
    h_pattern(buf, len, 0);
    put(fd, buf, len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    free(buf);
    return fd;
}

/* --- pipes ------------------------------------------------------------------------------------ */

static void pipe_reads_to_its_end(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_CONNECT | M_READ | M_EOF | M_CLOSE | M_ERROR);
    int           fd[2];

    new_pipe(fd);
    assert_int_equal(ac_file_attach(&p->base, fd[0], AC_TAKE), 0);
    assert_true(ac_is_connected(&p->base));
    assert_int_equal(h_fd(p), fd[0]);
    put(fd[1], "hello", 5);
    H_UNTIL(loop, p->in_len == 5);
    assert_memory_equal(p->in, "hello", 5);
    assert_int_equal(p->count[S_EOF], 0);
    assert_true(h_idle(loop, 5 * AC_MILLISECOND) <= 3);
    put(fd[1], "!", 1);
    close(fd[1]);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_int_equal(p->in_len, 6);
    assert_int_equal(p->count[S_CONNECT] + p->count[S_CLOSE] + p->count[S_ERROR], 0);
    ac_close(&p->base);
    assert_false(is_open(fd[0]));
}

static void pipe_end_closes(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE | M_ERROR);
    int           fd[2];

    new_pipe(fd);
    assert_int_equal(ac_file_attach(&p->base, fd[0], AC_TAKE), 0);
    put(fd[1], "x", 1);
    close(fd[1]);
    assert_int_equal(ac_run(loop), 0);
    assert_true(p->finalized);
    assert_int_equal(p->in_len, 1);
    assert_int_equal(p->count[S_CLOSE], 1);
    assert_int_equal(p->count[S_ERROR], 0);
    assert_int_equal(ac_error(&p->base), 0);
}

static void pipe_sends_all_and_then_ends(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_CLOSE | M_ERROR | M_DRAIN);
    uint8_t      *out = malloc(BIG), *in = malloc(BIG);
    size_t        got = 0;
    ssize_t       n;
    int           fd[2];

    new_pipe(fd);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    h_pattern(out, BIG, 0);
    assert_int_equal(ac_file_attach(&p->base, fd[1], AC_TAKE), 0);
    assert_int_equal(ac_write(&p->base, out, BIG), 0);
    assert_true(ac_queued(&p->base) > 0);
    assert_true(h_idle(loop, 5 * AC_MILLISECOND) <= 4);
    ac_close_when_sent(&p->base);
    while (got < BIG) {
        n = read(fd[0], in + got, BIG - got);
        if (n > 0)
            got += (size_t)n;
        else
            assert_true(n < 0 && errno == EAGAIN && ac_is_open(&p->base));
        assert_true(ac_loop_turn(loop, 0) >= 0);
    }
    H_UNTIL_IN(loop, 8, p->finalized); /* a pipe has no input to linger for, which would be 2 s */
    assert_int_equal(read(fd[0], in, 1), 0);
    assert_memory_equal(in, out, BIG);
    assert_int_equal(p->count[S_ERROR] + p->count[S_CLOSE], 0);
    close(fd[0]);
    free(in);
    free(out);
}

static void pipe_without_reader_is_no_signal(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_CLOSE | M_ERROR);
    sigset_t      before, after, pending;
    int           fd[2];

    signal(SIGPIPE, SIG_DFL);
    new_pipe(fd);
    assert_int_equal(ac_file_attach(&p->base, fd[1], AC_TAKE), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    close(fd[0]);
    assert_int_equal(ac_write(&p->base, "x", 1), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    sigpending(&pending);
    assert_int_equal(sigismember(&after, SIGPIPE), sigismember(&before, SIGPIPE));
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->err, -EPIPE);
    assert_string_equal(p->order, "ez$");
}

static void own_pending_sigpipe_stays(void **state)
{
    ac_loop              *loop = *state;
    struct probe         *p    = h_new(loop, M_CLOSE | M_ERROR);
    const struct timespec none = {0, 0};
    sigset_t              set, before, pending;
    int                   fd[2];

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    raise(SIGPIPE);
    new_pipe(fd);
    assert_int_equal(ac_file_attach(&p->base, fd[1], AC_TAKE), 0);
    close(fd[0]);
    assert_int_equal(ac_write(&p->base, "x", 1), 0);
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, SIGPIPE), 1);
    assert_int_equal(sigtimedwait(&set, NULL, &none), SIGPIPE);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->err, -EPIPE);
}

/* With and without a reader's slot, which a writing end has no use for. */
static void idle_writer_learns_that_nobody_reads(void **state)
{
    ac_loop       *loop    = *state;
    const unsigned slots[] = {M_CLOSE | M_ERROR, M_READ | M_CLOSE | M_ERROR};

    for (int i = 0; i < 2; i++) {
        struct probe *p = h_new(loop, slots[i]);
        int           fd[2];

        new_pipe(fd);
        assert_int_equal(ac_file_attach(&p->base, fd[1], AC_TAKE), 0);
        assert_true(h_idle(loop, 2 * AC_MILLISECOND) <= 3);
        close(fd[0]);
        H_UNTIL(loop, p->finalized);
        assert_int_equal(p->err, -EPIPE);
        assert_int_equal(p->count[S_READ], 0);
    }
}

static void write_to_reading_end_is_refused(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_WRITE | M_ERROR);
    int           fd[2];

    new_pipe(fd);
    assert_int_equal(ac_file_attach(&p->base, fd[0], AC_TAKE), 0);
    assert_int_equal(ac_write(&p->base, "x", 1), -EPIPE);
    assert_int_equal(ac_send(&p->base, "x", 1), -EPIPE);
    h_idle(loop, 2 * AC_MILLISECOND);
    assert_int_equal(h_total(p), 0);
    ac_close_when_sent(&p->base);
    assert_false(ac_is_open(&p->base));
    close(fd[1]);
}

/* --- whose flags ------------------------------------------------------------------------------ */

static void lent_pipe_is_untouched(void **state)
{
    ac_loop      *loop = *state;
    struct probe *r    = h_new(loop, M_READ | M_CLOSE);
    struct probe *w    = h_new(loop, M_CLOSE);
    char          c;
    int           fd[2];

    new_pipe(fd);
    assert_int_equal(ac_file_attach(&r->base, fd[0], AC_BORROW), 0);
    assert_int_equal(ac_file_attach(&w->base, fd[1], AC_BORROW), 0);
    assert_int_equal(ac_write(&w->base, "lent", 4), 0);
    H_UNTIL(loop, r->in_len == 4);
    assert_false(nonblocking(fd[0]));
    assert_false(nonblocking(fd[1]));
    ac_close(&r->base);
    ac_close(&w->base);
    assert_true(is_open(fd[0]) && is_open(fd[1]));
    H_UNTIL(loop, r->finalized && w->finalized);
    /* The poller has forgotten them: what comes now is no event. */
    put(fd[1], "x", 1);
    h_idle(loop, 2 * AC_MILLISECOND);
    assert_int_equal(h_stats(loop).stale_events, 0);
    assert_int_equal(read(fd[0], &c, 1), 1);
    close(fd[0]);
    close(fd[1]);
}

static void child_that_shares_it_still_blocks(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd[2], status;
    char          c;
    pid_t         pid;

    new_pipe(fd);
    assert_int_equal(ac_file_attach(&p->base, fd[0], AC_BORROW), 0);
    put(fd[1], "x", 1);
    H_UNTIL(loop, p->in_len == 1);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(nonblocking(fd[0]) || read(fd[0], &c, 1) != 1 || c != 'y');
    put(fd[1], "y", 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    ac_close(&p->base);
    close(fd[0]);
    close(fd[1]);
}

static void lent_eventfd_gets_its_flag_back(void **state)
{
    ac_loop      *loop  = *state;
    struct probe *p     = h_new(loop, M_READ | M_CLOSE);
    uint64_t      three = 3;
    int           fd    = eventfd(0, EFD_CLOEXEC);

    assert_int_equal(ac_file_attach(&p->base, fd, AC_BORROW), 0);
    assert_true(nonblocking(fd));
    put(fd, &three, sizeof three);
    H_UNTIL(loop, p->in_len == sizeof three);
    assert_memory_equal(p->in, &three, sizeof three);
    assert_int_equal(ac_write(&p->base, &three, sizeof three), 0);
    H_UNTIL(loop, p->in_len == 2 * sizeof three);
    ac_close(&p->base);
    assert_true(is_open(fd));
    assert_false(nonblocking(fd));
    close(fd);
}

/* Its records come whole or not at all: a share of a turn must not ask for less than one. */
static void records_are_not_cut(void **state)
{
    enum { EVENTS = 6000, LEN = sizeof(struct inotify_event) + 32 };
    ac_loop      *loop  = *state;
    struct probe *p     = h_new(loop, M_READ | M_CLOSE | M_ERROR);
    char          dir[] = "/tmp/asyncore-file-XXXXXX";
    int           fd    = inotify_init1(IN_CLOEXEC);
    char          path[64];

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a-name-of-20-letters", dir);
    assert_true(inotify_add_watch(fd, dir, IN_CREATE | IN_DELETE) >= 0);
    for (int i = 0; i < EVENTS / 2; i++) {
        assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(ac_file_attach(&p->base, fd, AC_TAKE), 0);
    H_UNTIL(loop, p->in_len == EVENTS * LEN || p->finalized);
    assert_int_equal(p->count[S_ERROR], 0);
    assert_int_equal(p->in_len, EVENTS * LEN);
    ac_close(&p->base);
    rmdir(dir);
}

/* One that was not blocking before is not made blocking. */
static void flag_of_the_caller_stays(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ);
    int           fd   = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    assert_int_equal(ac_file_attach(&p->base, fd, AC_BORROW), 0);
    ac_close(&p->base);
    assert_true(nonblocking(fd));
    close(fd);
}

static void taken_file_gives_the_flag_back_too(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ);
    int           fd   = eventfd(0, EFD_CLOEXEC);
    int           copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    assert_int_equal(ac_file_attach(&p->base, fd, AC_TAKE), 0);
    assert_true(nonblocking(copy));
    ac_close(&p->base);
    assert_false(is_open(fd));
    assert_false(nonblocking(copy));
    close(copy);
}

static void one_number_lent_twice(void **state)
{
    ac_loop      *loop = *state;
    struct probe *a    = h_new(loop, M_READ | M_CLOSE);
    struct probe *b    = h_new(loop, M_READ | M_CLOSE);
    uint64_t      one  = 1;
    int           fd   = eventfd(0, EFD_CLOEXEC);

    assert_int_equal(ac_file_attach(&a->base, fd, AC_BORROW), 0);
    assert_int_equal(ac_file_attach(&b->base, fd, AC_BORROW), 0);
    assert_int_equal(h_fd(a), fd);
    assert_int_not_equal(h_fd(b), fd);
    ac_close(&a->base);
    assert_true(nonblocking(fd)); /* b would block without it */
    put(fd, &one, sizeof one);
    H_UNTIL(loop, b->in_len == sizeof one);
    assert_int_equal(b->rc, -EAGAIN);
    ac_close(&b->base);
    assert_false(nonblocking(fd));
    close(fd);
}

/* What the number of another channel is, is not closed for it. */
static void one_number_taken_twice(void **state)
{
    ac_loop      *loop = *state;
    struct probe *a    = h_new(loop, M_READ | M_CLOSE);
    struct probe *b    = h_new(loop, M_READ | M_CLOSE);
    int           fd[2];

    new_pipe(fd);
    assert_int_equal(ac_file_attach(&a->base, fd[0], AC_TAKE), 0);
    assert_int_equal(ac_file_attach(&b->base, fd[0], AC_TAKE), -EEXIST);
    assert_false(ac_is_open(&b->base));
    put(fd[1], "x", 1);
    H_UNTIL(loop, a->in_len == 1);
    ac_close(&a->base);
    close(fd[1]);
}

static void child_leaves_the_flag_alone(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ);
    int           fd   = eventfd(0, EFD_CLOEXEC);
    int           status;
    pid_t         pid;

    assert_int_equal(ac_file_attach(&p->base, fd, AC_BORROW), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        ac_close(&p->base);
        _exit(!nonblocking(fd));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(nonblocking(fd));
    ac_close(&p->base);
    assert_false(nonblocking(fd));
    close(fd);
}

/* --- a system without RWF_NOWAIT for pipes ---------------------------------------------------- */

static unsigned refused_nowait;

static ssize_t old_readv(ac__sys *s, int fd, const struct iovec *iov, int n, int flags)
{
    refused_nowait += flags != 0;
    return flags != 0 ? -EOPNOTSUPP : ac__sys_posix.readv(s, fd, iov, n, 0);
}

static ssize_t old_writev(ac__sys *s, int fd, const struct iovec *iov, int n, int flags)
{
    refused_nowait += flags != 0;
    return flags != 0 ? -EOPNOTSUPP : ac__sys_posix.writev(s, fd, iov, n, 0);
}

static void pipe_by_flag_on_an_old_system(void **state)
{
    ac__sys         sys     = ac__sys_posix;
    ac_loop_options options = {.size = sizeof options, .verbose = AC_ON};
    ac_loop        *loop;
    struct probe   *r, *w;
    int             fd[2];

    ac_loop_free(*state);
    sys.readv      = old_readv;
    sys.writev     = old_writev;
    refused_nowait = 0;
    *state = loop = ac__loop_new_sys(&options, &sys);
    r             = h_new(loop, M_READ | M_CLOSE);
    w             = h_new(loop, M_CLOSE);
    new_pipe(fd);
    assert_int_equal(ac_file_attach(&r->base, fd[0], AC_BORROW), 0);
    assert_int_equal(ac_file_attach(&w->base, fd[1], AC_TAKE), 0);
    assert_int_equal(ac_write(&w->base, "ab", 2), 0);
    H_UNTIL(loop, r->in_len == 2);
    assert_int_equal(ac_write(&w->base, "c", 1), 0);
    H_UNTIL(loop, r->in_len == 3);
    assert_int_equal(refused_nowait, 2); /* asked once at each end */
    assert_true(nonblocking(fd[0]) && nonblocking(fd[1]));
    ac_close(&w->base);
    H_UNTIL(loop, r->finalized);
    assert_false(nonblocking(fd[0]));
    close(fd[0]);
    ac_loop_free(loop);
    H_LOOP_GONE(state);
}

/* --- sockets ---------------------------------------------------------------------------------- */

static void socket_as_a_file(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_EOF | M_CLOSE | M_ERROR);
    char          buf[8];
    int           fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    assert_int_equal(ac_file_attach(&p->base, fd[0], AC_BORROW), 0);
    put(fd[1], "ping", 4);
    H_UNTIL(loop, p->in_len == 4);
    assert_int_equal(ac_write(&p->base, "pong", 4), 0);
    assert_int_equal(read(fd[1], buf, sizeof buf), 4);
    assert_false(nonblocking(fd[0]));
    assert_int_equal(ac_shutdown_write(&p->base), 0);
    assert_int_equal(read(fd[1], buf, sizeof buf), 0);
    shutdown(fd[1], SHUT_WR);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    ac_close(&p->base);
    assert_true(is_open(fd[0]));
    close(fd[0]);
    close(fd[1]);
}

static void socket_that_nobody_reads_is_no_signal(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_CLOSE | M_ERROR);
    int           fd[2];

    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    assert_int_equal(ac_file_attach(&p->base, fd[0], AC_TAKE), 0);
    close(fd[1]);
    assert_int_equal(ac_write(&p->base, "x", 1), 0);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->err, -EPIPE);
}

/* --- terminals -------------------------------------------------------------------------------- */

static void line_read(struct probe *p)
{
    char    buf[64];
    ssize_t n = ac_recv(&p->base, buf, sizeof buf);

    if (n <= 0)
        return;
    assert_int_equal(n, p->number == 0 ? 4 : 6);
    assert_memory_equal(buf, p->number == 0 ? "one\n" : "three\n", (size_t)n);
    p->number++;
}

static void terminal_gives_line_by_line(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    char          buf[64];
    int           master, slave;

    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    p->on[S_READ] = line_read;
    assert_int_equal(ac_file_attach(&p->base, slave, AC_BORROW), 0);
    assert_int_not_equal(h_fd(p), slave);
    assert_false(nonblocking(slave));
    put(master, "one\nthree\n", 10);
    H_UNTIL(loop, p->number == 2);
    assert_true(read(master, buf, sizeof buf) > 0); /* its echo */
    assert_int_equal(ac_write(&p->base, "out", 3), 0);
    assert_true(read(master, buf, sizeof buf) > 0);
    assert_true(h_idle(loop, 5 * AC_MILLISECOND) <= 3);
    ac_close(&p->base);
    assert_true(is_open(slave));
    assert_false(nonblocking(slave));
    close(slave);
    close(master);
}

static void terminal_taken(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           master, slave;

    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    assert_int_equal(ac_file_attach(&p->base, slave, AC_TAKE), 0);
    put(master, "line\n", 5);
    H_UNTIL(loop, p->in_len == 5);
    close(master); /* the line is hung up */
    H_UNTIL(loop, p->finalized);
}

/* The master's path would open another terminal: it is used as it is. */
static void master_of_a_terminal(void **state)
{
    ac_loop       *loop = *state;
    struct probe  *p    = h_new(loop, M_READ | M_CLOSE);
    struct termios raw;
    char           buf[8];
    int            master, slave;

    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
    assert_int_equal(ac_file_attach(&p->base, master, AC_BORROW), 0);
    assert_int_equal(h_fd(p), master);
    put(slave, "out", 3);
    H_UNTIL(loop, p->in_len == 3);
    assert_int_equal(ac_write(&p->base, "in", 2), 0);
    assert_int_equal(read(slave, buf, sizeof buf), 2);
    ac_close(&p->base);
    assert_false(nonblocking(master));
    close(slave);
    close(master);
}

/*
 * The line is hung up, which no poller can be told not to report, while a queue waits for room that
 * never comes: neither a paused channel nor a goodbye spins over it.
 */
static void hung_up_with_a_queue(void **state)
{
    static const char big[1 << 18];
    ac_loop          *loop = *state;
    struct termios    raw;

    for (int way = 0; way < 2; way++) {
        struct probe *p = h_new(loop, M_READ | M_CLOSE | M_ERROR);
        int           master, slave;

        assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
        assert_int_equal(tcgetattr(slave, &raw), 0);
        cfmakeraw(&raw);
        assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
        assert_int_equal(ac_file_attach(&p->base, master, AC_TAKE), 0);
        assert_int_equal(ac_pause(&p->base), 0);
        assert_int_equal(ac_write(&p->base, big, sizeof big), 0);
        h_idle(loop, 5 * AC_MILLISECOND);
        assert_true(ac_queued(&p->base) > 0);
        if (way == 1) {
            assert_int_equal(ac_set_timeout(&p->base, AC_WRITE, 200 * AC_MILLISECOND), 0);
            ac_close_when_sent(&p->base);
        }
        close(slave);
        assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 8);
        if (way == 0)
            ac_close(&p->base);
        H_UNTIL_IN(loop, 40, p->finalized);
        assert_int_equal(p->count[S_READ], 0);
    }
}

/* --- regular files and devices ---------------------------------------------------------------- */

static void view_read(struct probe *p)
{
    const void *data;
    ssize_t     n;

    while ((n = ac_read(&p->base, &data)) > 0) {
        assert_true(h_pattern_ok(data, (size_t)n, (size_t)p->number));
        p->number += n;
    }
    p->rc = (int)n;
}

static void regular_file_whole(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE | M_ERROR);

    p->on[S_READ] = view_read;
    assert_int_equal(ac_file_attach(&p->base, new_file(BIG), AC_TAKE), 0);
    assert_true(ac_loop_turn(loop, 0) > 0);
    assert_int_equal(p->number, 256 * 1024); /* its share of a turn */
    H_UNTIL_IN(loop, 8, p->finalized);
    assert_int_equal(p->number, BIG);
    assert_int_equal(p->count[S_CLOSE], 1);
    assert_int_equal(p->count[S_ERROR], 0);
}

static void regular_file_empty(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE | M_ERROR);

    assert_int_equal(ac_file_attach(&p->base, new_file(0), AC_TAKE), 0);
    assert_int_equal(ac_run(loop), 0);
    assert_string_equal(p->order, "rz$");
}

static void regular_file_paused_costs_nothing(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);

    p->on[S_READ] = view_read;
    assert_int_equal(ac_file_attach(&p->base, new_file(100), AC_TAKE), 0);
    assert_int_equal(ac_pause(&p->base), 0);
    assert_true(h_idle(loop, 5 * AC_MILLISECOND) <= 3);
    assert_int_equal(p->number, 0);
    assert_int_equal(ac_resume(&p->base), 0);
    H_UNTIL_IN(loop, 5, p->finalized);
    assert_int_equal(p->number, 100);
}

static void regular_file_written(void **state)
{
    ac_loop       *loop    = *state;
    const unsigned slots[] = {M_CLOSE | M_ERROR, M_READ | M_CLOSE | M_ERROR};
    uint8_t        buf[4096], back[4096];

    for (int i = 0; i < 2; i++) {
        struct probe *p      = h_new(loop, slots[i]);
        char          path[] = "/tmp/asyncore-file-XXXXXX";
        int           fd     = mkostemp(path, O_CLOEXEC);
        int           wr     = open(path, O_WRONLY | O_CLOEXEC);

        unlink(path);
        h_pattern(buf, sizeof buf, 0);
        assert_int_equal(ac_file_attach(&p->base, wr, AC_TAKE), 0);
        assert_int_equal(ac_write(&p->base, buf, sizeof buf), 0);
        assert_int_equal(ac_queued(&p->base), 0);
        assert_true(h_idle(loop, 2 * AC_MILLISECOND) <= 3);
        assert_int_equal(h_total(p), 0);
        ac_close_when_sent(&p->base);
        H_UNTIL(loop, p->finalized);
        assert_int_equal(read(fd, back, sizeof back), sizeof back);
        assert_memory_equal(back, buf, sizeof buf);
        close(fd);
    }
}

static void device_null(void **state)
{
    ac_loop      *loop       = *state;
    struct probe *r          = h_new(loop, M_READ | M_CLOSE | M_ERROR);
    struct probe *w          = h_new(loop, M_CLOSE | M_ERROR | M_WRITE);
    char          text[4096] = "";

    assert_int_equal(ac_file_attach(&r->base, open("/dev/null", O_RDWR | O_CLOEXEC), AC_TAKE), 0);
    assert_int_equal(ac_file_attach(&w->base, open("/dev/null", O_WRONLY | O_CLOEXEC), AC_TAKE), 0);
    H_UNTIL(loop, r->finalized);
    assert_string_equal(r->order, "rz$");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ac_write(&w->base, text, sizeof text), 0);
    assert_int_equal(ac_queued(&w->base), 0);
    assert_true(h_idle(loop, 2 * AC_MILLISECOND) <= 4);
    assert_string_equal(w->order, "w");
}

static void greedy_device_starves_nobody(void **state)
{
    ac_loop      *loop = *state;
    struct probe *zero = h_new(loop, M_READ | M_CLOSE);
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd[2];

    new_pipe(fd);
    assert_int_equal(ac_file_attach(&zero->base, open("/dev/zero", O_RDONLY | O_CLOEXEC), AC_TAKE),
                     0);
    assert_int_equal(ac_file_attach(&p->base, fd[0], AC_TAKE), 0);
    put(fd[1], "x", 1);
    H_UNTIL_IN(loop, 4, p->in_len == 1);
    assert_true(zero->in_len <= 4 * 256 * 1024);
    ac_close(&zero->base);
    close(fd[1]);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void refusals_close_what_they_take(void **state)
{
    ac_loop       *loop = *state;
    struct probe  *p    = h_new(loop, M_READ);
    ac_dispatcher *d    = &p->base;
    int            fd[2], dir;

    dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(ac_file_attach(d, dir, AC_BORROW), -EISDIR);
    assert_true(is_open(dir));
    assert_int_equal(ac_file_attach(d, dir, AC_TAKE), -EISDIR);
    assert_false(is_open(dir));
    assert_int_equal(ac_file_attach(d, -1, AC_TAKE), -EBADF);
    assert_int_equal(ac_file_attach(d, 9999, AC_BORROW), -EBADF);
    new_pipe(fd);
    assert_int_equal(ac_file_attach(d, fd[0], (ac_owner)7), -EINVAL);
    assert_true(is_open(fd[0]));
    assert_int_equal(ac_file_attach(NULL, fd[0], AC_TAKE), -EINVAL);
    assert_false(is_open(fd[0]));
    assert_false(ac_is_open(d));
    close(fd[1]);

    new_pipe(fd);
    assert_int_equal(ac_file_attach(d, fd[0], AC_TAKE), 0);
    assert_int_equal(ac_file_attach(d, fd[1], AC_TAKE), -EISCONN);
    assert_false(is_open(fd[1]));
    ac_close(d);
    new_pipe(fd);
    assert_int_equal(ac_file_attach(d, fd[1], AC_TAKE), -EBADF);
    assert_false(is_open(fd[1]));
    close(fd[0]);
}

static void out_of_memory_leaves_nothing(void **state)
{
    ac_loop *loop     = *state;
    unsigned failures = 0;
    int      fd[2], rc = -1;

    for (long n = 1; rc != 0; n++) {
        struct probe *p = h_new(loop, M_READ);

        new_pipe(fd);
        h_alloc_calls = 0;
        h_alloc_fail  = n;
        rc            = ac_file_attach(&p->base, fd[0], AC_TAKE);
        h_alloc_fail  = 0;
        if (rc != 0) {
            assert_int_equal(rc, -ENOMEM);
            assert_false(is_open(fd[0]));
            failures++;
        }
        close(fd[1]);
        assert_true(n < 10);
    }
    assert_true(failures > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(pipe_reads_to_its_end),
        H_TEST(pipe_end_closes),
        H_TEST(pipe_sends_all_and_then_ends),
        H_TEST(pipe_without_reader_is_no_signal),
        H_TEST(own_pending_sigpipe_stays),
        H_TEST(idle_writer_learns_that_nobody_reads),
        H_TEST(write_to_reading_end_is_refused),
        H_TEST(lent_pipe_is_untouched),
        H_TEST(child_that_shares_it_still_blocks),
        H_TEST(lent_eventfd_gets_its_flag_back),
        H_TEST(records_are_not_cut),
        H_TEST(flag_of_the_caller_stays),
        H_TEST(taken_file_gives_the_flag_back_too),
        H_TEST(one_number_lent_twice),
        H_TEST(one_number_taken_twice),
        H_TEST(child_leaves_the_flag_alone),
        H_TEST(pipe_by_flag_on_an_old_system),
        H_TEST(socket_as_a_file),
        H_TEST(socket_that_nobody_reads_is_no_signal),
        H_TEST(terminal_gives_line_by_line),
        H_TEST(terminal_taken),
        H_TEST(master_of_a_terminal),
        H_TEST(hung_up_with_a_queue),
        H_TEST(regular_file_whole),
        H_TEST(regular_file_empty),
        H_TEST(regular_file_paused_costs_nothing),
        H_TEST(regular_file_written),
        H_TEST(device_null),
        H_TEST(greedy_device_starves_nobody),
        H_TEST(refusals_close_what_they_take),
        H_TEST(out_of_memory_leaves_nothing),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
