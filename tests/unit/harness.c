/* SPDX-License-Identifier: MIT */
/* See harness.h. */
#define HARNESS_BARE
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

atomic_long h_live, h_alloc_calls;
long        h_alloc_fail;
bool        h_alloc_fail_on;
int         h_inside;

static struct probe *probes;
static size_t        fds_before;
static int           plugs[64];
static size_t        nplugs;

/* --- memory ---------------------------------------------------------------------------------- */

static void *count_realloc(void *context, void *ptr, size_t len)
{
    void *p;

    (void)context;
    h_alloc_calls++;
    if (h_alloc_fail > 0
        && (h_alloc_calls == h_alloc_fail || (h_alloc_fail_on && h_alloc_calls > h_alloc_fail)))
        return NULL;
    p = realloc(ptr, len);
    if (p != NULL && ptr == NULL)
        h_live++;
    return p;
}

static void count_free(void *context, void *ptr)
{
    (void)context;
    if (ptr != NULL)
        h_live--;
    free(ptr);
}

/* --- life of a test -------------------------------------------------------------------------- */

void h_start(void)
{
    static const ac_allocator allocator = {sizeof allocator, count_realloc, count_free, NULL};

    /* A spin or a lost wake-up is to be a failure, not a hang; SIGPIPE must never come. */
    alarm(240);
    if (ac_set_allocator(&allocator) != 0)
        abort();
}

ac_loop *h_loop_new(void)
{
    ac_loop_options options = {.size = sizeof options, .verbose = AC_ON};

    return ac_loop_new_with(&options);
}

int h_setup(void **state)
{
    probes          = NULL;
    h_inside        = 0;
    h_alloc_fail    = 0;
    h_alloc_fail_on = false;
    fds_before      = h_fds();
    h_live          = 0;
    *state          = h_loop_new();
    return *state == NULL ? -1 : 0;
}

static bool probe_balanced(const struct probe *p)
{
    bool ok = p->added == p->closed && p->count[S_FINALIZE] == p->added;

    if (!ok)
        print_error("probe %s: %u added, %u closed, %u finalized, order %s\n", p->cls.name,
                    p->added, p->closed, p->count[S_FINALIZE], p->order);
    return ok;
}

int h_teardown(void **state)
{
    ac_loop *loop = *state;
    int      rc   = 0;

    if (loop != NULL && ac_loop_free(loop) != 0) {
        print_error("the loop could not be freed\n");
        return -1;
    }
    while (probes != NULL) {
        struct probe *p = probes;

        probes = p->next;
        if (!probe_balanced(p))
            rc = -1;
        free(p->in);
        free(p);
    }
    while (nplugs > 0)
        close(plugs[--nplugs]);
    if (h_live != 0) {
        print_error("%ld allocations of the library are left\n", (long)h_live);
        rc = -1;
    }
    /* A thread of the far side may be about to close one. */
    for (int i = 0; i < 1000 && h_fds() != fds_before; i++)
        poll(NULL, 0, 1);
    if (h_fds() != fds_before) {
        print_error("%zu descriptors open, %zu before\n", h_fds(), fds_before);
        rc = -1;
    }
    return rc;
}

size_t h_fds(void)
{
    DIR   *dir = opendir("/proc/self/fd");
    size_t n   = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

bool h_is(const char *backend)
{
    const char *now = getenv("ASYNCORE_BACKEND");

    return strcmp(now == NULL || *now == '\0' ? "epoll" : now, backend) == 0;
}

bool h_edges(void)
{
    return h_is("epoll") || h_is("io_uring");
}

/* --- probes ---------------------------------------------------------------------------------- */

static struct probe *note(ac_dispatcher *d, int slot)
{
    struct probe *p = h_of(d);
    size_t        n = strlen(p->order);

    assert_int_equal(h_inside, 0);
    p->count[slot]++;
    if (n + 1 < sizeof p->order)
        p->order[n] = H_LETTERS[slot];
    if (slot != S_FINALIZE)
        assert_true(ac_is_open(d));
    return p;
}

static bool hooked(struct probe *p, int slot)
{
    if (p->on[slot] != NULL)
        p->on[slot](p);
    return p->on[slot] != NULL;
}

static void slot_connect(ac_dispatcher *d)
{
    hooked(note(d, S_CONNECT), S_CONNECT);
}

static void slot_accept(ac_dispatcher *d)
{
    struct probe *p = note(d, S_ACCEPT);
    ac_sock       sock;

    if (hooked(p, S_ACCEPT))
        return;
    while ((p->rc = ac_accept(d, &sock, NULL)) == 0) {
        p->child = h_new(d->loop, p->children);
        p->nchildren++;
        assert_int_equal(ac_attach(&p->child->base, sock), 0);
    }
}

void h_take(struct probe *p)
{
    uint8_t buf[16384];
    ssize_t n;

    while ((n = ac_recv(&p->base, buf, sizeof buf)) > 0) {
        if (p->in_len + (size_t)n > p->in_cap) {
            p->in_cap = 2 * (p->in_len + (size_t)n);
            p->in     = realloc(p->in, p->in_cap);
            assert_non_null(p->in);
        }
        memcpy(p->in + p->in_len, buf, (size_t)n);
        p->in_len += (size_t)n;
    }
    p->rc = (int)n;
}

static void slot_read(ac_dispatcher *d)
{
    struct probe *p = note(d, S_READ);

    if (!hooked(p, S_READ))
        h_take(p);
}

static void slot_write(ac_dispatcher *d)
{
    hooked(note(d, S_WRITE), S_WRITE);
}

static void slot_eof(ac_dispatcher *d)
{
    hooked(note(d, S_EOF), S_EOF);
}

static void slot_drain(ac_dispatcher *d)
{
    hooked(note(d, S_DRAIN), S_DRAIN);
}

static void slot_expt(ac_dispatcher *d)
{
    hooked(note(d, S_EXPT), S_EXPT);
}

static void slot_close(ac_dispatcher *d)
{
    struct probe *p = note(d, S_CLOSE);

    assert_true(p->count[S_CLOSE] <= p->added);
    if (!hooked(p, S_CLOSE))
        ac_close(d);
}

static void slot_error(ac_dispatcher *d, int err)
{
    struct probe *p = note(d, S_ERROR);

    assert_true(err < 0);
    assert_int_equal(ac_error(d), err);
    p->err = err;
    hooked(p, S_ERROR);
}

static void slot_finalize(ac_dispatcher *d)
{
    struct probe *p = note(d, S_FINALIZE);

    p->finalized = true;
    hooked(p, S_FINALIZE);
}

static void slot_log(ac_dispatcher *d, const char *message)
{
    struct probe *p = h_of(d);

    if (strncmp(message, "adding channel ", 15) == 0)
        p->added++;
    else if (strncmp(message, "closing channel ", 16) == 0)
        p->closed++;
}

static void slot_log_info(ac_dispatcher *d, const char *type, const char *message)
{
    struct probe *p = h_of(d);

    snprintf(p->line, sizeof p->line, "%s: %s", type, message);
}

void h_init(struct probe *p, ac_loop *loop, unsigned slots)
{
    p->cls = (ac_class){
        .name           = "Probe",
        .handle_connect = slots & M_CONNECT ? slot_connect : NULL,
        .handle_accept  = slots & M_ACCEPT ? slot_accept : NULL,
        .handle_read    = slots & M_READ ? slot_read : NULL,
        .handle_write   = slots & M_WRITE ? slot_write : NULL,
        .handle_eof     = slots & M_EOF ? slot_eof : NULL,
        .handle_drain   = slots & M_DRAIN ? slot_drain : NULL,
        .handle_expt    = slots & M_EXPT ? slot_expt : NULL,
        .handle_close   = slots & M_CLOSE ? slot_close : NULL,
        .handle_error   = slots & M_ERROR ? slot_error : NULL,
        .finalize       = slot_finalize,
        .log            = slot_log,
        .log_info       = slot_log_info,
    };
    assert_int_equal(ac_init(&p->base, loop, &p->cls), 0);
}

struct probe *h_new(ac_loop *loop, unsigned slots)
{
    struct probe *p = calloc(1, sizeof *p);

    assert_non_null(p);
    p->next = probes;
    probes  = p;
    h_init(p, loop, slots);
    return p;
}

unsigned h_total(const struct probe *p)
{
    unsigned n = 0;

    for (int i = 0; i < S_FINALIZE; i++)
        n += p->count[i];
    return n;
}

/* --- the far side ---------------------------------------------------------------------------- */

static void nonblock(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

int h_raw_listen(ac_addr *out, const char *host, int backlog)
{
    int fd, one = 1;

    assert_int_equal(ac_addr_ip(out, host, 0), 0);
    fd = socket(ac_addr_family(out), SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(fd, &out->u.sa, out->len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    out->len = sizeof out->u;
    assert_int_equal(getsockname(fd, &out->u.sa, &out->len), 0);
    return fd;
}

int h_raw_connect(const ac_addr *addr)
{
    int fd = socket(ac_addr_family(addr), SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &addr->u.sa, addr->len), 0);
    nonblock(fd);
    if (ac_addr_family(addr) != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

void h_raw_pair(int fd[2])
{
    ac_addr addr;
    int     listener = h_raw_listen(&addr, "127.0.0.1", 1);

    fd[0] = h_raw_connect(&addr);
    fd[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd[1] >= 0);
    close(listener);
}

int h_pair(ac_loop *loop, struct probe *p)
{
    ac_addr addr;
    int     listener = h_raw_listen(&addr, "127.0.0.1", 1), fd;

    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    H_UNTIL(loop, ac_is_connected(&p->base) || p->finalized);
    assert_false(p->finalized && !p->count[S_CONNECT]);
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    close(listener);
    return fd;
}

int h_small_pair(ac_loop *loop, struct probe *p)
{
    ac_addr addr;
    int     listener = h_raw_listen(&addr, "127.0.0.1", 1), fd, room = 4096, segment = 1000;

    /* Room and segments are agreed on with the first packets: later is too late. */
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(listener, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    assert_int_equal(ac_open(&p->base, AF_INET, SOCK_STREAM), 0);
    setsockopt(h_fd(p), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(h_fd(p), IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    H_UNTIL(loop, ac_is_connected(&p->base));
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    close(listener);
    return fd;
}

int h_pair_attached(ac_loop *loop, struct probe *p)
{
    int fd[2];

    h_raw_pair(fd);
    assert_int_equal(ac_attach(&p->base, ac_sock_from_fd(loop, fd[0])), 0);
    return fd[1];
}

void h_put(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

size_t h_get(int fd, void *buf, size_t len)
{
    ssize_t n = recv(fd, buf, len, 0);

    return n > 0 ? (size_t)n : 0;
}

bool h_ended(int fd)
{
    char    c;
    ssize_t n = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN);
}

void h_wait(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    assert_int_equal(poll(&p, 1, 5000), 1);
}

void h_reset(int fd)
{
    struct linger linger = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

void h_plug(int fd)
{
    int plug;

    while ((plug = fcntl(0, F_DUPFD_CLOEXEC, 0)) < fd) {
        assert_true(plug >= 0 && nplugs < sizeof plugs / sizeof *plugs);
        plugs[nplugs++] = plug;
    }
    close(plug);
}

/* --- waiting --------------------------------------------------------------------------------- */

int64_t h_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * AC_SECOND + t.tv_nsec;
}

int64_t h_cpu(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return ((int64_t)r.ru_utime.tv_sec + r.ru_stime.tv_sec) * AC_SECOND
           + ((int64_t)r.ru_utime.tv_usec + r.ru_stime.tv_usec) * AC_MICROSECOND;
}

struct h_bound h_bound(unsigned turns)
{
    return (struct h_bound){h_now() + 40 * AC_SECOND, turns};
}

void h_turn(ac_loop *loop, struct h_bound *b, const char *file, int line)
{
    int rc = ac_loop_turn(loop, 50 * AC_MILLISECOND);

    if (rc < 0) {
        print_error("ac_loop_turn: %s\n", ac_errname(rc));
        _fail(file, line);
    }
    if (b->turns-- == 0 || h_now() > b->end) {
        print_error("waited too long: %s\n", b->turns == UINT32_MAX ? "a spin" : "time is over");
        _fail(file, line);
    }
}

unsigned h_idle(ac_loop *loop, int64_t ns)
{
    int64_t  end = h_now() + ns, left;
    unsigned n   = 0;

    while ((left = end - h_now()) > 0) {
        assert_true(ac_loop_turn(loop, left) >= 0);
        n++;
    }
    return n;
}

ac_stats h_stats(const ac_loop *loop)
{
    ac_stats stats = {.size = sizeof stats};

    assert_int_equal(ac_loop_stats(loop, &stats), 0);
    return stats;
}

/* The period is a prime, so that pieces of the usual sizes cannot change places unseen. */
static uint8_t pattern_at(size_t at)
{
    return (uint8_t)((at % 65521) * 31 >> 3);
}

void h_pattern(uint8_t *buf, size_t len, size_t from)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = pattern_at(from + i);
}

bool h_pattern_ok(const uint8_t *buf, size_t len, size_t from)
{
    for (size_t i = 0; i < len; i++)
        if (buf[i] != pattern_at(from + i))
            return false;
    return true;
}
