/* SPDX-License-Identifier: MIT */
/*
 * The consumers that come with the library, behind a client that fetches from an origin in a
 * thread. What a path says is what it gives: "/1000" so many bytes, "/cut/1000" as many of 1,010
 * and the end, "/hold/1000" as many of 1,010 and nothing more, "/go/1000" a redirect to "/1000".
 */
#include "harness.h"

#include "asyncore/consumers.h"
#include "asyncore/file.h"
#include "asyncore/redirect.h"
#include "asyncore/sender.h"

#include "../../src/base/sys.h"

#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>

enum { CONNS = 32, KIB = 1024, MIB = 1024 * 1024 };

/* --- the origin ------------------------------------------------------------------------------ */

struct served {
    int    fd; /* -1: free */
    char   in[2048], head[256];
    size_t got, head_len, at, len; /* of head and body together */
    bool   cut;
};

static struct {
    pthread_t     thread;
    int           listener, quit[2];
    uint16_t      port;
    struct served conns[CONNS];
} origin;

static void answer(struct served *s)
{
    unsigned long n   = 0;
    const char   *say = "";

    s->cut = sscanf(s->in, "GET /cut/%lu", &n) == 1;
    if (sscanf(s->in, "GET /go/%lu", &n) == 1) {
        s->head_len = (size_t)snprintf(s->head, sizeof s->head,
                                       "HTTP/1.1 302 Found\r\nLocation: /%lu\r\n"
                                       "Content-Length: 0\r\n\r\n",
                                       n);
        n           = 0;
    } else {
        unsigned long more = s->cut || sscanf(s->in, "GET /hold/%lu", &n) == 1 ? 10 : 0;

        (void)(more > 0 || sscanf(s->in, "GET /%lu", &n) == 1);
        s->head_len =
            (size_t)snprintf(s->head, sizeof s->head,
                             "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n%s\r\n", n + more, say);
    }
    s->at  = 0;
    s->len = s->head_len + n;
    s->got = 0;
}

static void drop(struct served *s)
{
    close(s->fd);
    s->fd = -1;
}

static void read_request(struct served *s)
{
    ssize_t n = recv(s->fd, s->in + s->got, sizeof s->in - 1 - s->got, 0);

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            drop(s);
        return;
    }
    s->got += (size_t)n;
    s->in[s->got] = '\0';
    if (strstr(s->in, "\r\n\r\n") != NULL)
        answer(s);
}

static void send_some(struct served *s)
{
    uint8_t buf[16 * KIB];
    ssize_t n = 1;

    while (s->at < s->len && n > 0) {
        if (s->at < s->head_len) {
            n = send(s->fd, s->head + s->at, s->head_len - s->at, MSG_NOSIGNAL);
        } else {
            size_t part = s->len - s->at < sizeof buf ? s->len - s->at : sizeof buf;

            h_pattern(buf, part, s->at - s->head_len);
            n = send(s->fd, buf, part, MSG_NOSIGNAL);
        }
        if (n > 0)
            s->at += (size_t)n;
    }
    if ((n < 0 && errno != EAGAIN) || (s->at == s->len && s->cut))
        drop(s);
}

static void take_conn(void)
{
    int fd = accept4(origin.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    for (size_t i = 0; i < CONNS && fd >= 0; i++) {
        if (origin.conns[i].fd >= 0)
            continue;
        origin.conns[i] = (struct served){.fd = fd};
        return;
    }
    if (fd >= 0)
        close(fd);
}

static void *serve(void *none)
{
    struct pollfd p[CONNS + 2];

    for (;;) {
        p[0] = (struct pollfd){.fd = origin.quit[0], .events = POLLIN};
        p[1] = (struct pollfd){.fd = origin.listener, .events = POLLIN};
        for (size_t i = 0; i < CONNS; i++) {
            struct served *s = &origin.conns[i];

            p[i + 2] = (struct pollfd){.fd = s->fd, .events = s->at < s->len ? POLLOUT : POLLIN};
        }
        poll(p, CONNS + 2, -1);
        if (p[0].revents != 0)
            return none;
        for (size_t i = 0; i < CONNS; i++) {
            struct served *s = &origin.conns[i];

            if (s->fd < 0 || p[i + 2].revents == 0)
                continue;
            if (s->at < s->len)
                send_some(s);
            else
                read_request(s);
        }
        if (p[1].revents != 0)
            take_conn();
    }
}

static ac_http_client *client;

static int setup(void **state)
{
    ac_addr addr;

    if (h_setup(state) < 0)
        return -1;
    ac_loop_free(*state); /* the one of the harness tells the log of every channel */
    *state = ac_loop_new();
    for (size_t i = 0; i < CONNS; i++)
        origin.conns[i] = (struct served){.fd = -1};
    origin.listener = h_raw_listen(&addr, "127.0.0.1", 64);
    origin.port     = ac_addr_port(&addr);
    assert_int_equal(pipe2(origin.quit, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&origin.thread, NULL, serve, NULL), 0);
    client = ac_http_client_new(*state, NULL);
    return client == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    if (client != NULL && ac_http_client_free(client) != 0)
        return -1;
    assert_int_equal(write(origin.quit[1], "", 1), 1);
    pthread_join(origin.thread, NULL);
    for (size_t i = 0; i < CONNS; i++)
        if (origin.conns[i].fd >= 0)
            close(origin.conns[i].fd);
    close(origin.listener);
    close(origin.quit[0]);
    close(origin.quit[1]);
    return h_teardown(state);
}

static int get(const char *kind, size_t n, ac_consumer *consumer)
{
    char url[128];

    snprintf(url, sizeof url, "http://127.0.0.1:%u/%s%zu", origin.port, kind, n);
    return ac_http_get(client, url, consumer);
}

static bool whole(const void *data, size_t len, size_t from)
{
    return h_pattern_ok(data, len, from);
}

/* --- what the consumers tell ----------------------------------------------------------------- */

enum { UNTOLD = 1 };

static int  memory_err, other_err, file_err, file2_err;
static bool free_in_done;

static void memory_done(ac_memory_consumer *c, int err)
{
    assert_int_equal(memory_err, UNTOLD); /* once */
    assert_null(c->base.request);
    memory_err = err;
    if (free_in_done) {
        ac_memory_consumer_free(c);
        free(c);
    }
}

static void other_done(ac_memory_consumer *c, int err)
{
    (void)c;
    assert_int_equal(other_err, UNTOLD);
    other_err = err;
}

static void file_done(ac_file_consumer *c, int err)
{
    assert_int_equal(file_err, UNTOLD);
    assert_null(c->base.request);
    file_err = err;
}

static void file2_done(ac_file_consumer *c, int err)
{
    (void)c;
    assert_int_equal(file2_err, UNTOLD);
    file2_err = err;
}

static void untold(void)
{
    memory_err = other_err = file_err = file2_err = UNTOLD;
    free_in_done                                  = false;
}

/* --- memory ---------------------------------------------------------------------------------- */

static void memory_collects(void **state)
{
    static const size_t sizes[] = {1, 1022, 1023, 1024, 1025, 100000, 3 * MIB};
    ac_loop            *loop    = *state;
    ac_memory_consumer  c;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        untold();
        ac_memory_consumer_init(&c, 0, memory_done);
        assert_null(c.data);
        assert_int_equal(get("", sizes[i], &c.base), 0);
        H_UNTIL_IN(loop, 20000, memory_err != UNTOLD);
        assert_int_equal(memory_err, 0);
        assert_int_equal(c.len, sizes[i]);
        assert_true(whole(c.data, c.len, 0));
        assert_int_equal(c.data[c.len], '\0');
        assert_true(c.cap_ <= 2 * c.len + 1024);
        ac_memory_consumer_free(&c);
        assert_null(c.data);
        ac_memory_consumer_free(&c);
    }
}

static void memory_of_nothing(void **state)
{
    ac_loop           *loop = *state;
    ac_memory_consumer c;

    untold();
    ac_memory_consumer_init(&c, 0, memory_done);
    assert_int_equal(c.limit_, 64 * MIB);
    assert_int_equal(get("", 0, &c.base), 0);
    H_UNTIL(loop, memory_err != UNTOLD);
    assert_int_equal(memory_err, 0);
    assert_null(c.data);
    assert_int_equal(c.len, 0);

    untold();
    ac_memory_consumer_init(&c, 0, NULL); /* nobody asks */
    assert_int_equal(get("", 10, &c.base), 0);
    H_UNTIL(loop, c.len == 10 && c.base.request == NULL);
    ac_memory_consumer_free(&c);
    ac_memory_consumer_free(NULL);
    ac_memory_consumer_init(NULL, 0, NULL);
}

static void memory_has_a_limit(void **state)
{
    static const size_t limits[] = {1, 999, 1000, 5000, 100000, 1000000};
    ac_loop            *loop     = *state;
    ac_memory_consumer  c;

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        for (size_t over = 0; over < 2; over++) {
            untold();
            ac_memory_consumer_init(&c, limits[i], memory_done);
            assert_int_equal(get("", limits[i] + over, &c.base), 0);
            H_UNTIL_IN(loop, 20000, memory_err != UNTOLD);
            assert_int_equal(memory_err, over ? -AC_ETOOLARGE : 0);
            assert_true(c.len <= limits[i] && c.cap_ <= limits[i] + 1);
            assert_true(whole(c.data, c.len, 0));
            ac_memory_consumer_free(&c);
        }
    }
}

static void memory_is_used_again(void **state)
{
    ac_loop           *loop = *state;
    ac_memory_consumer c;

    untold();
    ac_memory_consumer_init(&c, 0, memory_done);
    assert_int_equal(get("cut/", 5000, &c.base), 0);
    H_UNTIL(loop, memory_err != UNTOLD);
    assert_int_equal(memory_err, -AC_ETRUNCATED);
    assert_int_equal(c.len, 5000); /* what came is there */
    assert_true(whole(c.data, c.len, 0));
    untold();
    assert_int_equal(get("", 700, &c.base), 0);
    H_UNTIL(loop, memory_err != UNTOLD);
    assert_int_equal(memory_err, 0);
    assert_int_equal(c.len, 700);
    assert_true(whole(c.data, c.len, 0));
    ac_memory_consumer_free(&c);
}

static void memory_is_freed_in_done(void **state)
{
    ac_loop            *loop = *state;
    ac_memory_consumer *c    = malloc(sizeof *c);

    untold();
    free_in_done = true;
    ac_memory_consumer_init(c, 0, memory_done);
    assert_int_equal(get("", 5000, &c->base), 0);
    H_UNTIL(loop, memory_err != UNTOLD);
    assert_int_equal(memory_err, 0);
    free_in_done = false;
}

/* --- file: what takes all at once ------------------------------------------------------------ */

static int new_file(char path[32])
{
    int fd;

    strcpy(path, "/tmp/asyncore-out-XXXXXX");
    fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void fetch_to(ac_loop *loop, ac_file_consumer *c, const char *kind, size_t n)
{
    file_err = UNTOLD;
    assert_int_equal(get(kind, n, &c->base), 0);
    H_UNTIL_IN(loop, 20000, file_err != UNTOLD);
}

static void file_is_written(void **state)
{
    static const size_t sizes[] = {0, 1, 70000, 3 * MIB};
    ac_loop            *loop    = *state;
    uint8_t            *buf     = malloc(3 * MIB + 1);
    char                path[32];
    int                 fd = new_file(path);
    ac_file_consumer    c;
    uint64_t            total = 0;

    unlink(path);
    ac_file_consumer_init(&c, fd, file_done);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        fetch_to(loop, &c, "", sizes[i]);
        assert_int_equal(file_err, 0);
        total += sizes[i];
        assert_int_equal(c.written, total);
        assert_int_equal(pread(fd, buf, 3 * MIB + 1, 0), sizes[i]);
        assert_true(whole(buf, sizes[i], 0));
    }
    fetch_to(loop, &c, "cut/", 5000);
    assert_int_equal(file_err, -AC_ETRUNCATED);
    close(fd);
    free(buf);
}

static void file_errors(void **state)
{
    ac_loop         *loop = *state;
    char             path[32];
    int              fd = new_file(path), again = open(path, O_RDONLY | O_CLOEXEC);
    struct rlimit    before, little             = {30000, RLIM_INFINITY};
    ac_file_consumer c;

    unlink(path);
    ac_file_consumer_init(&c, again, file_done);
    fetch_to(loop, &c, "", 100000);
    assert_int_equal(file_err, -EBADF);
    fetch_to(loop, &c, "hold/", 100000); /* the request ends, although the origin does not */
    assert_int_equal(file_err, -EBADF);
    fetch_to(loop, &c, "", 0);
    assert_int_equal(file_err, 0);
    close(again);

    /* A write that is taken in part, and the next one that fails. */
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    little.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &little);
    ac_file_consumer_init(&c, fd, file_done);
    fetch_to(loop, &c, "", 100000);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(file_err, -EFBIG);
    assert_int_equal(c.written, 30000);
    close(fd);

    ac_file_consumer_init(&c, 900, file_done); /* nothing is open there */
    fetch_to(loop, &c, "", 10);
    assert_int_equal(file_err, -EBADF);
    fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ac_file_consumer_init(&c, fd, file_done);
    fetch_to(loop, &c, "", 10);
    assert_int_equal(file_err, -EISDIR);
    close(fd);
    ac_file_consumer_init(NULL, 0, NULL);
}

static void memory_devices(void **state)
{
    ac_loop         *loop = *state;
    int              fd   = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ac_file_consumer c;

    ac_file_consumer_init(&c, fd, file_done);
    fetch_to(loop, &c, "", 1);
    assert_int_equal(file_err, -ENOSPC);
    fetch_to(loop, &c, "hold/", MIB);
    assert_int_equal(file_err, -ENOSPC);
    assert_int_equal(c.written, 0);
    close(fd);
    fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ac_file_consumer_init(&c, fd, file_done);
    fetch_to(loop, &c, "", MIB);
    assert_int_equal(file_err, 0);
    assert_int_equal(c.written, MIB);
    close(fd);
}

/* --- file: what makes the writer wait -------------------------------------------------------- */

static bool nonblocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

/* Bytes queued on the whole loop, but for the connection's, which are gone at once. */
static uint64_t queued(ac_loop *loop)
{
    return h_stats(loop).queued_bytes;
}

/* Whether a queue is so full that its request is held back. */
static bool is_full(ac_loop *loop)
{
    return queued(loop) >= 64 * KIB;
}

/* Reads what the loop writes to a descriptor, until that many bytes have come: all in order. */
static void read_all(ac_loop *loop, int fd, size_t from, size_t len)
{
    uint8_t        buf[32 * KIB];
    struct h_bound bound = h_bound(50000);

    while (len > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (poll(&p, 1, 0) == 1) {
            ssize_t n = read(fd, buf, len < sizeof buf ? len : sizeof buf);

            assert_true(n > 0);
            assert_true(whole(buf, (size_t)n, from));
            from += (size_t)n;
            len -= (size_t)n;
        } else {
            h_turn(loop, &bound, __FILE__, __LINE__);
        }
    }
}

/* Until the loop has nothing to do: what can come has come. */
static void settle(ac_loop *loop)
{
    unsigned quiet = 0;

    for (unsigned i = 0; i < 20000 && quiet < 3; i++)
        quiet = ac_loop_turn(loop, 10 * AC_MILLISECOND) == 0 ? quiet + 1 : 0;
    assert_int_equal(quiet, 3);
}

static void slow_reader(void **state, int fd[2])
{
    ac_loop         *loop = *state;
    bool             flag = nonblocking(fd[1]);
    ac_file_consumer c;

    ac_file_consumer_init(&c, fd[1], file_done);
    file_err = UNTOLD;
    assert_int_equal(get("", 8 * MIB, &c.base), 0);
    H_UNTIL(loop, is_full(loop));
    assert_int_equal(nonblocking(fd[1]), flag);
    /* No spin. What still comes into the window of the connection may wake the loop. */
    assert_true(h_idle(loop, 30 * AC_MILLISECOND) <= 200);
    assert_int_equal(file_err, UNTOLD);
    assert_non_null(c.base.request); /* held back: it cannot have ended */
    assert_in_range(queued(loop), 64 * KIB, 129 * KIB);
    read_all(loop, fd[0], 0, 8 * MIB);
    H_UNTIL(loop, file_err != UNTOLD);
    assert_int_equal(file_err, 0);
    assert_int_equal(c.written, 8 * MIB);
    assert_int_equal(nonblocking(fd[1]), flag);
    assert_true(fcntl(fd[1], F_GETFD) >= 0); /* not ours to close */
    close(fd[0]);
    close(fd[1]);
}

static void pipe_holds_back(void **state)
{
    int fd[2];

    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    slow_reader(state, fd);
}

static void socket_holds_back(void **state)
{
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    assert_int_equal(write(fd[0], "unread", 6), 6);
    shutdown(fd[0], SHUT_WR); /* that it will say nothing more does not stop what it is told */
    slow_reader(state, fd);
}

static void terminal_holds_back(void **state)
{
    int            fd[2];
    struct termios raw;

    assert_int_equal(openpty(&fd[0], &fd[1], NULL, NULL, NULL), 0);
    tcgetattr(fd[1], &raw);
    cfmakeraw(&raw);
    tcsetattr(fd[1], TCSANOW, &raw);
    slow_reader(state, fd);
}

static void done_waits_for_the_queue(void **state)
{
    ac_loop         *loop = *state;
    ac_file_consumer c;
    int              fd[2];

    for (int cut = 0; cut < 2; cut++) {
        assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
        ac_file_consumer_init(&c, fd[1], file_done);
        file_err = UNTOLD;
        assert_int_equal(get(cut ? "cut/" : "", 100 * KIB, &c.base), 0);
        H_UNTIL(loop, c.base.request == NULL);
        h_idle(loop, 5 * AC_MILLISECOND);
        assert_int_equal(file_err, UNTOLD);
        assert_in_range(c.written, 1, 100 * KIB - 1);
        read_all(loop, fd[0], 0, 100 * KIB);
        H_UNTIL(loop, file_err != UNTOLD);
        assert_int_equal(file_err, cut ? -AC_ETRUNCATED : 0);
        assert_int_equal(c.written, 100 * KIB);
        close(fd[0]);
        close(fd[1]);
    }
}

static void reader_goes(void **state)
{
    static const char *const kinds[] = {"", "hold/"};
    ac_loop                 *loop    = *state;
    ac_file_consumer         c;
    int                      fd[2];

    signal(SIGPIPE, SIG_DFL);
    for (int i = 0; i < 2; i++) {
        /* Before the first byte, while the request is held back, and when it has ended. */
        assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
        close(fd[0]);
        ac_file_consumer_init(&c, fd[1], file_done);
        fetch_to(loop, &c, kinds[i], 100);
        assert_int_equal(file_err, -EPIPE);
        assert_int_equal(c.written, 0);
        close(fd[1]);

        assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
        ac_file_consumer_init(&c, fd[1], file_done);
        file_err = UNTOLD;
        assert_int_equal(get(kinds[i], MIB, &c.base), 0);
        H_UNTIL(loop, is_full(loop));
        assert_int_equal(file_err, UNTOLD);
        close(fd[0]);
        H_UNTIL(loop, file_err != UNTOLD);
        assert_int_equal(file_err, -EPIPE);
        assert_in_range(c.written, 1, 64 * KIB); /* what the pipe took, and not what was dropped */
        close(fd[1]);

        assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
        ac_file_consumer_init(&c, fd[1], file_done);
        file_err = UNTOLD;
        assert_int_equal(get(i == 0 ? "" : "cut/", 100 * KIB, &c.base), 0);
        H_UNTIL(loop, c.base.request == NULL);
        assert_int_equal(file_err, UNTOLD);
        close(fd[0]);
        H_UNTIL(loop, file_err != UNTOLD);
        assert_int_equal(file_err, i == 0 ? -EPIPE : -AC_ETRUNCATED);
        close(fd[1]);
    }
}

/* The origin says nothing more, and the reader goes: that is noticed without another byte. */
static void idle_reader_goes(void **state)
{
    ac_loop         *loop = *state;
    ac_file_consumer c;
    int              fd[2];

    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    ac_file_consumer_init(&c, fd[1], file_done);
    file_err = UNTOLD;
    assert_int_equal(get("hold/", 1000, &c.base), 0);
    read_all(loop, fd[0], 0, 1000);
    assert_int_equal(c.written, 1000);
    close(fd[0]);
    H_UNTIL(loop, file_err != UNTOLD);
    assert_int_equal(file_err, -EPIPE);
    close(fd[1]);
}

/* A system that writes a little less than it is asked to, with interruptions; or fails. */
static ac__sys odd_sys, *real_sys;
static int     odd_err;
static int64_t odd_calls;

static ssize_t odd_writev(ac__sys *s, int fd, const struct iovec *iov, int n, int flags)
{
    struct iovec part = iov[0];

    (void)s, (void)n;
    if (odd_err < 0)
        return odd_err;
    if (odd_calls++ % 3 == 0)
        return -EINTR;
    part.iov_len = part.iov_len > 1000 ? 1000 : part.iov_len;
    return real_sys->writev(real_sys, fd, &part, 1, flags);
}

static void be_odd(ac_loop *loop)
{
    real_sys       = loop->sys;
    odd_sys        = *real_sys;
    odd_sys.writev = odd_writev;
    odd_err        = 0;
    loop->sys      = &odd_sys;
}

static void short_writes(void **state)
{
    ac_loop         *loop = *state;
    uint8_t          buf[10001];
    char             path[32];
    int              fd = new_file(path);
    ac_file_consumer c;

    unlink(path);
    be_odd(loop);
    ac_file_consumer_init(&c, fd, file_done);
    fetch_to(loop, &c, "", 10000);
    assert_int_equal(file_err, 0);
    assert_int_equal(c.written, 10000);
    assert_int_equal(pread(fd, buf, sizeof buf, 0), 10000);
    assert_true(whole(buf, 10000, 0));
    odd_err = -ENOSPC;
    fetch_to(loop, &c, "hold/", 10000);
    assert_int_equal(file_err, -ENOSPC);
    assert_int_equal(c.written, 10000);
    loop->sys = real_sys;
    close(fd);
}

/* Found out when the queue is sent on: what was dropped with it does not count as written. */
static void queue_fails(void **state)
{
    ac_loop         *loop = *state;
    uint8_t          buf[64 * KIB];
    ac_file_consumer c;
    int              fd[2];

    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    ac_file_consumer_init(&c, fd[1], file_done);
    file_err = UNTOLD;
    assert_int_equal(get("hold/", MIB, &c.base), 0);
    H_UNTIL(loop, is_full(loop));
    be_odd(loop);
    odd_err = -EIO;
    assert_true(read(fd[0], buf, sizeof buf) > 0);
    H_UNTIL(loop, file_err != UNTOLD);
    assert_int_equal(file_err, -EIO);
    assert_in_range(c.written, 1, 64 * KIB);
    loop->sys = real_sys;
    close(fd[0]);
    close(fd[1]);
}

static void two_into_one(void **state)
{
    ac_loop         *loop = *state;
    ac_file_consumer a, b;
    uint8_t          buf[32 * KIB];
    size_t           got = 0;
    int              fd[2];
    struct h_bound   bound = h_bound(20000);

    untold();
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    ac_file_consumer_init(&a, fd[1], file_done);
    ac_file_consumer_init(&b, fd[1], file2_done);
    assert_int_equal(get("", MIB, &a.base), 0);
    assert_int_equal(get("", MIB, &b.base), 0);
    while (file_err == UNTOLD || file2_err == UNTOLD || got < 2 * MIB) {
        struct pollfd p = {.fd = fd[0], .events = POLLIN};

        if (poll(&p, 1, 0) == 1)
            got += (size_t)read(fd[0], buf, sizeof buf);
        else
            h_turn(loop, &bound, __FILE__, __LINE__);
    }
    assert_int_equal(file_err + file2_err, 0);
    assert_int_equal(got, 2 * MIB);
    close(fd[0]);
    close(fd[1]);
}

static void closed_by_others(void **state)
{
    ac_loop         *loop = *state;
    ac_file_consumer a, b;
    int              fd[2], fd2[2];

    untold();
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    assert_int_equal(pipe2(fd2, O_CLOEXEC), 0);
    ac_file_consumer_init(&a, fd[1], file_done);
    ac_file_consumer_init(&b, fd2[1], file2_done);
    assert_int_equal(get("", 100 * KIB, &a.base), 0); /* ends, with the queue left */
    assert_int_equal(get("", MIB, &b.base), 0);       /* is held back */
    H_UNTIL(loop, a.base.request == NULL && queued(loop) >= (36 + 64) * KIB);
    assert_non_null(b.base.request);
    assert_int_equal(ac_http_client_free(client), 0);
    client = NULL;
    assert_int_equal(file_err, UNTOLD);
    assert_int_equal(file2_err, UNTOLD); /* its bytes are on the way still */
    assert_int_equal(ac_loop_free(loop), 0);
    H_LOOP_GONE(state);
    assert_int_equal(file_err, -AC_ECANCELED);
    assert_int_equal(file2_err, -AC_ECANCELED);
    for (int i = 0; i < 2; i++) {
        close(fd[i]);
        close(fd2[i]);
    }
}

static void channels_closed(void **state)
{
    ac_loop         *loop = *state;
    ac_file_consumer c;
    int              fd[2];

    untold();
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    ac_file_consumer_init(&c, fd[1], file_done);
    assert_int_equal(get("hold/", MIB, &c.base), 0);
    H_UNTIL(loop, is_full(loop));
    assert_true(ac_close_all(loop) > 0);
    H_UNTIL(loop, file_err != UNTOLD);
    assert_int_equal(file_err, -AC_ECANCELED);
    close(fd[0]);
    close(fd[1]);
}

struct heard {
    int      status, err;
    size_t   len;
    char     order[16];
    uint64_t bytes;
};

static void hear(struct heard *h, char c)
{
    size_t n = strlen(h->order);

    if (n + 1 < sizeof h->order && (n == 0 || h->order[n - 1] != c))
        h->order[n] = c;
}

static void heard_header(void *context, ac_http_request *request)
{
    struct heard *h = context;

    h->status = ac_http_status(request);
    hear(h, 'h');
}

static void heard_feed(void *context, const void *data, size_t len)
{
    struct heard *h = context;

    assert_true(len > 0 && whole(data, len, h->len));
    h->len += len;
    hear(h, 'f');
}

static void heard_close(void *context, int err)
{
    struct heard *h = context;

    h->err = err;
    hear(h, 'c');
}

/* --- tee ------------------------------------------------------------------------------------- */

static void tee_gives_to_both(void **state)
{
    ac_loop           *loop = *state;
    ac_memory_consumer memory;
    ac_file_consumer   file;
    ac_tee_consumer    tee;
    int                fd[2];

    untold();
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    ac_memory_consumer_init(&memory, 0, memory_done);
    ac_file_consumer_init(&file, fd[1], file_done);
    ac_tee_consumer_init(&tee, &memory.base, &file.base);
    assert_int_equal(get("", 2 * MIB, &tee.base), 0);
    H_UNTIL(loop, is_full(loop));
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_in_range(memory.len, 1, MIB); /* held back by the other */
    read_all(loop, fd[0], 0, 2 * MIB);
    H_UNTIL(loop, memory_err != UNTOLD && file_err != UNTOLD);
    assert_int_equal(memory_err, 0);
    assert_int_equal(file_err, 0);
    assert_int_equal(memory.len, 2 * MIB);
    assert_true(whole(memory.data, memory.len, 0));
    ac_memory_consumer_free(&memory);
    close(fd[0]);
    close(fd[1]);
}

/* Takes what is there: its length. */
static size_t read_some(int fd, size_t from)
{
    static uint8_t buf[MIB];
    struct pollfd  p = {.fd = fd, .events = POLLIN};
    ssize_t        n = poll(&p, 1, 0) == 1 ? read(fd, buf, sizeof buf) : 0;

    assert_true(n >= 0 && whole(buf, (size_t)n, from));
    return (size_t)n;
}

/* The faster reader must not let go what the slower one holds. */
static void tee_of_two_slow_readers(void **state)
{
    ac_loop            *loop = *state;
    ac_file_consumer    a, b;
    ac_tee_consumer     tee, outer;
    ac_discard_consumer nowhere;
    int                 fd[2], fd2[2];
    size_t              got = 0, got2 = 0;
    struct h_bound      bound = h_bound(50000);

    for (int swap = 0; swap < 2; swap++) {
        got = got2 = 0;
        untold();
        assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
        assert_int_equal(pipe2(fd2, O_CLOEXEC), 0);
        ac_file_consumer_init(&a, fd[1], file_done);
        ac_file_consumer_init(&b, fd2[1], file2_done);
        ac_discard_consumer_init(&nowhere, NULL);
        ac_tee_consumer_init(&tee, swap ? &b.base : &a.base, &nowhere.base);
        ac_tee_consumer_init(&outer, &tee.base, swap ? &a.base : &b.base);
        assert_int_equal(get("", 4 * MIB, &outer.base), 0);
        H_UNTIL(loop, queued(loop) >= 2 * 64 * KIB);
        for (int i = 0; i < 50; i++) {
            got += read_some(fd[0], got);
            h_idle(loop, AC_MILLISECOND);
        }
        assert_true(queued(loop) <= 129 * KIB); /* the other one's */
        assert_true(got <= 256 * KIB);
        while (got < 4 * MIB || got2 < 4 * MIB) {
            size_t before = got + got2;

            got += read_some(fd[0], got);
            got2 += read_some(fd2[0], got2);
            if (got + got2 == before)
                h_turn(loop, &bound, __FILE__, __LINE__);
        }
        H_UNTIL(loop, file_err != UNTOLD && file2_err != UNTOLD);
        assert_int_equal(file_err, 0);
        assert_int_equal(file2_err, 0);
        for (int i = 0; i < 2; i++) {
            close(fd[i]);
            close(fd2[i]);
        }
    }
}

static void tee_fails_as_one(void **state)
{
    ac_loop           *loop = *state;
    ac_memory_consumer a, b;
    ac_tee_consumer    tee;

    for (int first = 0; first < 2; first++) {
        untold();
        ac_memory_consumer_init(&a, 50, memory_done);
        ac_memory_consumer_init(&b, 0, other_done);
        ac_tee_consumer_init(&tee, first ? &a.base : &b.base, first ? &b.base : &a.base);
        assert_int_equal(get("hold/", 100, &tee.base), 0);
        H_UNTIL(loop, memory_err != UNTOLD && other_err != UNTOLD);
        assert_int_equal(memory_err, -AC_ETOOLARGE);
        assert_int_equal(other_err, -AC_ETOOLARGE);
        assert_int_equal(b.len, first ? 0 : 100); /* nothing after the failure */
        ac_memory_consumer_free(&a);
        ac_memory_consumer_free(&b);
    }
}

/* A consumer that answers the first response with another request. */
struct mover {
    ac_consumer base;
    unsigned    headers, fed, closed;
    int         err, status;
    bool        only_close;
};

static void mover_header(ac_consumer *c, ac_http_request *request)
{
    struct mover *m = AC_SELF(struct mover, c);

    m->status = ac_http_status(request);
    if (m->headers++ > 0)
        return;
    ac_http_close(request);
    if (!m->only_close)
        assert_int_equal(get("", 77, c), 0);
}

static void mover_feed(ac_consumer *c, const void *data, size_t len)
{
    (void)data;
    AC_SELF(struct mover, c)->fed += (unsigned)len;
}

static void mover_close(ac_consumer *c, int err)
{
    AC_SELF(struct mover, c)->closed++;
    AC_SELF(struct mover, c)->err = err;
}

static const ac_consumer_class mover_class = {
    .name = "Mover", .http_header = mover_header, .feed = mover_feed, .close = mover_close};

static void tee_when_one_moves(void **state)
{
    ac_loop             *loop = *state;
    ac_callback_consumer other;
    ac_tee_consumer      tee;

    for (int variant = 0; variant < 4; variant++) {
        struct mover m     = {.only_close = (variant & 1) != 0};
        struct heard h     = {.err = UNTOLD};
        bool         first = (variant & 2) != 0;

        ac_consumer_init(&m.base, &mover_class);
        ac_callback_consumer_init(&other, &h, heard_header, heard_feed, heard_close);
        ac_tee_consumer_init(&tee, first ? &m.base : &other.base, first ? &other.base : &m.base);
        assert_int_equal(get("", 100, &tee.base), 0);
        H_UNTIL(loop, m.closed > 0 && h.err != UNTOLD);
        settle(loop);
        assert_int_equal(m.closed, 1);
        assert_int_equal(m.err, m.only_close ? -AC_ECANCELED : 0);
        assert_int_equal(m.headers, m.only_close ? 1 : 2);
        assert_int_equal(m.fed, m.only_close ? 0 : 77);
        assert_int_equal(h.err, -AC_ECANCELED);
        assert_string_equal(h.order, first ? "c" : "hc");
        assert_null(m.base.request);
        assert_null(other.base.request);
    }
}

static int  discard_err;
static void discard_done(ac_discard_consumer *c, int err)
{
    (void)c;
    discard_err = err;
}

static void tee_and_discard(void **state)
{
    ac_loop            *loop = *state;
    ac_memory_consumer  memory;
    ac_discard_consumer a, b;
    ac_tee_consumer     tee;

    untold();
    discard_err = UNTOLD;
    ac_memory_consumer_init(&memory, 0, memory_done);
    ac_discard_consumer_init(&a, discard_done);
    ac_tee_consumer_init(&tee, &a.base, &memory.base);
    assert_int_equal(tee.base.cls->flags & AC_DISCARD, 0);
    assert_int_equal(get("", 1000, &tee.base), 0);
    H_UNTIL(loop, memory_err != UNTOLD);
    assert_int_equal(memory.len, 1000);
    assert_int_equal(discard_err, 0);
    ac_memory_consumer_free(&memory);

    discard_err = UNTOLD;
    ac_discard_consumer_init(&b, NULL);
    ac_tee_consumer_init(&tee, &a.base, &b.base);
    assert_int_equal(tee.base.cls->flags & AC_DISCARD, AC_DISCARD);
    assert_int_equal(get("", 1000, &tee.base), 0);
    H_UNTIL(loop, discard_err != UNTOLD);
    assert_int_equal(discard_err, 0);
    ac_tee_consumer_init(NULL, &a.base, &b.base);
    ac_discard_consumer_init(NULL, NULL);
}

/* --- callbacks, nowhere, behind a redirect --------------------------------------------------- */

static void callbacks(void **state)
{
    ac_loop             *loop = *state;
    struct heard         h    = {.err = UNTOLD};
    ac_callback_consumer c;

    ac_callback_consumer_init(&c, &h, heard_header, heard_feed, heard_close);
    assert_int_equal(get("", 100000, &c.base), 0);
    H_UNTIL(loop, h.err != UNTOLD);
    assert_int_equal(h.err, 0);
    assert_int_equal(h.status, 200);
    assert_int_equal(h.len, 100000);
    assert_string_equal(h.order, "hfc");

    h = (struct heard){.err = UNTOLD};
    assert_int_equal(ac_http_get(client, "no url", &c.base), 0);
    H_UNTIL(loop, h.err != UNTOLD);
    assert_true(h.err < 0);
    assert_int_equal(h.status, 0);
    assert_string_equal(h.order, "hc");

    ac_callback_consumer_init(&c, NULL, NULL, NULL, NULL);
    assert_int_equal(get("", 1000, &c.base), 0);
    H_UNTIL(loop, c.base.request == NULL);
    ac_callback_consumer_init(NULL, NULL, NULL, NULL, NULL);
}

static void discard_counts(void **state)
{
    ac_loop            *loop = *state;
    ac_discard_consumer c;

    discard_err = UNTOLD;
    ac_discard_consumer_init(&c, discard_done);
    assert_int_equal(get("", MIB, &c.base), 0);
    H_UNTIL(loop, discard_err != UNTOLD);
    assert_int_equal(discard_err, 0);
    discard_err = UNTOLD;
    assert_int_equal(get("cut/", 5, &c.base), 0);
    H_UNTIL(loop, discard_err != UNTOLD);
    assert_int_equal(discard_err, -AC_ETRUNCATED);
}

static void behind_a_redirect(void **state)
{
    ac_loop           *loop = *state;
    ac_memory_consumer memory;
    ac_file_consumer   file;
    ac_tee_consumer    tee;
    ac_consumer       *redirect;
    int                fd[2];

    untold();
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    ac_memory_consumer_init(&memory, 0, memory_done);
    ac_file_consumer_init(&file, fd[1], file_done);
    ac_tee_consumer_init(&tee, &memory.base, &file.base);
    redirect = ac_redirect_new(&tee.base, NULL);
    assert_non_null(redirect);
    assert_int_equal(get("go/", MIB, redirect), 0);
    read_all(loop, fd[0], 0, MIB);
    H_UNTIL(loop, memory_err != UNTOLD && file_err != UNTOLD);
    assert_int_equal(memory_err, 0);
    assert_int_equal(file_err, 0);
    assert_int_equal(memory.len, MIB);
    ac_memory_consumer_free(&memory);
    close(fd[0]);
    close(fd[1]);
}

/* --- out of memory --------------------------------------------------------------------------- */

/* One fetch with the k-th allocation failing: 0 or -ENOMEM, told in one place. */
static int fetch_poor(ac_loop *loop, long k, bool on, uint64_t *written, size_t *collected)
{
    ac_memory_consumer memory;
    ac_file_consumer   file;
    ac_tee_consumer    tee;
    struct h_bound     bound = h_bound(50000);
    uint8_t            buf[32 * KIB];
    size_t             got = 0;
    int                fd[2], rc;

    untold();
    assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
    ac_memory_consumer_init(&memory, 0, memory_done);
    ac_file_consumer_init(&file, fd[1], file_done);
    ac_tee_consumer_init(&tee, &memory.base, &file.base);
    h_alloc_calls   = 0;
    h_alloc_fail    = k;
    h_alloc_fail_on = on;
    rc              = get("", 300000, &tee.base);
    while (rc == 0 && (memory_err == UNTOLD || file_err == UNTOLD)) {
        ssize_t n = read(fd[0], buf, sizeof buf);

        if (n > 0) {
            assert_true(whole(buf, (size_t)n, got));
            got += (size_t)n;
            continue;
        }
        h_turn(loop, &bound, __FILE__, __LINE__);
    }
    h_alloc_fail = 0;
    while (rc == 0) {
        ssize_t n = read(fd[0], buf, sizeof buf);

        if (n <= 0)
            break;
        got += (size_t)n;
    }
    if (rc == 0) {
        assert_int_equal(memory_err, file_err);
        rc = file_err;
    }
    *written   = file.written;
    *collected = memory.len;
    assert_true(file.written <= got);
    assert_true(memory.len == 0 || whole(memory.data, memory.len, 0));
    ac_memory_consumer_free(&memory);
    close(fd[0]);
    close(fd[1]);
    return rc;
}

static void out_of_memory(void **state)
{
    ac_loop *loop = *state;
    uint64_t written;
    size_t   collected;

    for (int on = 0; on < 2; on++) {
        long k    = 0;
        int  rc   = -ENOMEM;
        int  fine = 0;

        while (fine < 3) { /* what the loop keeps makes the next ones need less */
            rc = fetch_poor(loop, ++k, on != 0, &written, &collected);
            assert_true(rc == 0 || rc == -ENOMEM);
            if (rc == 0) {
                assert_int_equal(written, 300000);
                assert_int_equal(collected, 300000);
            }
            fine = rc == 0 && h_alloc_calls < k ? fine + 1 : 0;
            assert_true(k < 1000);
        }
        assert_true(k > 10);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_collects),
        TEST(memory_of_nothing),
        TEST(memory_has_a_limit),
        TEST(memory_is_used_again),
        TEST(memory_is_freed_in_done),
        TEST(file_is_written),
        TEST(file_errors),
        TEST(memory_devices),
        TEST(pipe_holds_back),
        TEST(socket_holds_back),
        TEST(terminal_holds_back),
        TEST(done_waits_for_the_queue),
        TEST(reader_goes),
        TEST(idle_reader_goes),
        TEST(short_writes),
        TEST(queue_fails),
        TEST(two_into_one),
        TEST(closed_by_others),
        TEST(channels_closed),
        TEST(tee_gives_to_both),
        TEST(tee_of_two_slow_readers),
        TEST(tee_fails_as_one),
        TEST(tee_when_one_moves),
        TEST(tee_and_discard),
        TEST(callbacks),
        TEST(discard_counts),
        TEST(behind_a_redirect),
        TEST(out_of_memory),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
