/* SPDX-License-Identifier: MIT */
/*
 * No library: epoll, recv and send by hand. What the others are compared with: level-triggered, a
 * batch of 256 events a wait, no call that the work does not need.
 */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256 };

struct watch {
    void (*ready)(struct watch *w);
    int      fd;
    unsigned i;
};

static int  set;
static int  stopped;
static char buf[BENCH_BUF];

static void control(int op, struct watch *w, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = w};

    bench_need(epoll_ctl(set, op, w->fd, &ev) == 0, "epoll_ctl");
}

static void *watch(size_t size, int fd, void (*ready)(struct watch *w))
{
    struct watch *w = calloc(1, size);

    bench_need(w != NULL, "calloc");
    w->ready = ready;
    w->fd    = fd;
    control(EPOLL_CTL_ADD, w, EPOLLIN);
    return w;
}

static inline void send_all(int fd, const char *data, size_t len)
{
    bench_need(send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len, "send");
}

static inline size_t receive(const struct watch *w)
{
    ssize_t n = recv(w->fd, buf, sizeof buf, 0);

    if (n <= 0)
        bench_closed();
    return (size_t)n;
}

/* --- echo, churn and fan-out -------------------------------------------------------------- */

static void echo(struct watch *w)
{
    send_all(w->fd, buf, receive(w));
}

static void churn(struct watch *w)
{
    send_all(w->fd, buf, receive(w));
    (void)close(w->fd);
    free(w);
}

static int      members[BENCH_MEMBERS];
static unsigned nmembers;

static void fan(struct watch *w)
{
    size_t n = receive(w);

    if (bench_joins(buf)) {
        members[nmembers++] = w->fd;
        send_all(w->fd, buf, n);
        return;
    }
    for (unsigned i = 0; i < nmembers; i++)
        send_all(members[i], buf, n);
}

/* --- connections with an idle timeout: a list, the least active first ----------------------- */

struct timed {
    struct watch  w;
    struct timed *prev, *next;
    int64_t       last;
};

static struct timed timed = {.prev = &timed, .next = &timed};

static int64_t now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void unlink_timed(struct timed *t)
{
    t->prev->next = t->next;
    t->next->prev = t->prev;
}

static void active(struct timed *t)
{
    t->last       = now();
    t->prev       = timed.prev;
    t->next       = &timed;
    t->prev->next = t;
    timed.prev    = t;
}

static void echo_timed(struct watch *w)
{
    struct timed *t = (struct timed *)(void *)w;

    send_all(w->fd, buf, receive(w));
    unlink_timed(t);
    active(t);
}

/* Closes what has been idle for too long; returns how long to wait, in milliseconds. */
static int expire(void)
{
    while (timed.next != &timed) {
        struct timed *t    = timed.next;
        int64_t       left = t->last + bench_idle * INT64_C(1000) - now();

        if (left > 0)
            return (int)left;
        unlink_timed(t);
        (void)close(t->w.fd);
        free(t);
    }
    return -1;
}

/* --- a long answer ------------------------------------------------------------------------ */

struct sender {
    struct watch w;
    size_t       left;
    int          waits;
};

static void sending(struct watch *w)
{
    struct sender *s = (struct sender *)(void *)w;
    ssize_t        n = recv(w->fd, buf, sizeof buf, MSG_DONTWAIT);

    if (n == 0)
        bench_closed();
    if (n > 0)
        s->left += bench_bulk;
    while (s->left > 0) {
        n = send(w->fd, bench_piece, s->left < BENCH_BUF ? s->left : BENCH_BUF, MSG_NOSIGNAL);
        if (n < 0) {
            bench_need(errno == EAGAIN, "send");
            if (!s->waits)
                control(EPOLL_CTL_MOD, w, EPOLLIN | EPOLLOUT);
            s->waits = 1;
            return;
        }
        s->left -= (size_t)n;
    }
    if (s->waits)
        control(EPOLL_CTL_MOD, w, EPOLLIN);
    s->waits = 0;
}

/* --- lines -------------------------------------------------------------------------------- */

struct lines {
    struct watch w;
    char        *rest; /* a line that has not come whole */
    size_t       len;
};

static void lines(struct watch *w)
{
    static char   out[BENCH_BUF];
    struct lines *c    = (struct lines *)(void *)w;
    char         *line = buf, *end, *nl;
    size_t        used = 0;
    ssize_t       n;

    if (c->len > 0)
        memcpy(buf, c->rest, c->len);
    n = recv(w->fd, buf + c->len, sizeof buf - c->len, 0);
    if (n <= 0)
        bench_closed();
    end = buf + c->len + n;
    for (; (nl = memchr(line, '\n', (size_t)(end - line))) != NULL; line = nl + 1)
        used += bench_reply(out + used, line, (size_t)(nl - line));
    if (c->len > 0)
        free(c->rest);
    c->len = (size_t)(end - line);
    if (c->len > 0) {
        c->rest = malloc(c->len);
        bench_need(c->rest != NULL && c->len < sizeof buf, "a line");
        memcpy(c->rest, line, c->len);
    }
    if (used > 0)
        send_all(w->fd, out, used);
}

/* --- the server --------------------------------------------------------------------------- */

static enum bench_role role;

static void on_accept(struct watch *w)
{
    int fd;

    while ((fd = bench_accept(w->fd)) >= 0) {
        bench_opened();
        if (role == BENCH_ECHO && bench_idle > 0)
            active(watch(sizeof(struct timed), fd, echo_timed));
        else if (role == BENCH_BULK)
            (void)watch(sizeof(struct sender), fd, sending);
        else if (role == BENCH_LINES)
            (void)watch(sizeof(struct lines), fd, lines);
        else
            (void)watch(sizeof(struct watch), fd,
                        role == BENCH_ECHO    ? echo
                        : role == BENCH_CHURN ? churn
                                              : fan);
    }
}

static void raw_open(const char *mode)
{
    (void)mode;
    set = epoll_create1(EPOLL_CLOEXEC);
}

static uint16_t raw_serve(enum bench_role what)
{
    uint16_t port = 0;

    role = what;
    (void)watch(sizeof(struct watch), bench_listen(&port), on_accept);
    return port;
}

/* --- more threads, each with a set and a listener of its own -------------------------------- */

static int *listeners;

static void *worker(void *arg)
{
    struct epoll_event ev       = {.events = EPOLLIN}, events[BATCH];
    int                listener = *(int *)arg, mine = epoll_create1(EPOLL_CLOEXEC);
    char              *space = malloc(BENCH_BUF);

    bench_own_cpu((unsigned)((int *)arg - listeners), listener);
    bench_need(space != NULL && epoll_ctl(mine, EPOLL_CTL_ADD, listener, &ev) == 0, "epoll_ctl");
    for (;;) {
        int count = epoll_wait(mine, events, BATCH, -1);

        for (int i = 0; i < count; i++) {
            struct watch *w = events[i].data.ptr;
            ssize_t       n;

            if (w == NULL) {
                int fd;

                while ((fd = bench_accept(listener)) >= 0) {
                    w = calloc(1, sizeof *w);
                    bench_need(w != NULL, "calloc");
                    w->fd       = fd;
                    ev.data.ptr = w;
                    bench_need(epoll_ctl(mine, EPOLL_CTL_ADD, fd, &ev) == 0, "epoll_ctl");
                }
                continue;
            }
            n = recv(w->fd, space, BENCH_BUF, 0);
            if (n <= 0)
                bench_closed();
            send_all(w->fd, space, (size_t)n);
        }
    }
}

static void raw_workers(unsigned n)
{
    uint16_t port = 0;

    listeners = calloc(n, sizeof *listeners);
    bench_need(n > 0 && listeners != NULL, "workers");
    for (unsigned i = 0; i < n; i++)
        listeners[i] = bench_listen(&port);
    for (unsigned i = 1; i < n; i++) {
        pthread_t thread;

        bench_need(pthread_create(&thread, NULL, worker, &listeners[i]) == 0, "pthread_create");
    }
    bench_port(port);
    (void)worker(&listeners[0]);
}

/* --- events, watching, work --------------------------------------------------------------- */

static void hop(struct watch *w)
{
    (void)recv(w->fd, buf, bench_take, 0);
    bench_hop(w->i);
}

static void raw_watch(int fd, unsigned i)
{
    ((struct watch *)watch(sizeof(struct watch), fd, hop))->i = i;
}

static struct watch *gathered;

static void raw_gather(int listener, unsigned n)
{
    gathered = calloc(n, sizeof *gathered);
    bench_need(gathered != NULL, "calloc");
    for (unsigned i = 0; i < n; i++)
        gathered[i] = (struct watch){echo, bench_accept(listener), i};
}

static void raw_add(unsigned i)
{
    control(EPOLL_CTL_ADD, &gathered[i], EPOLLIN);
}

static void raw_again(unsigned i)
{
    bench_need(epoll_ctl(set, EPOLL_CTL_DEL, gathered[i].fd, NULL) == 0, "epoll_ctl");
    control(EPOLL_CTL_ADD, &gathered[i], EPOLLIN);
}

static int wake_fd;

static void woken(struct watch *w)
{
    struct bench_item *next;
    uint64_t           count;

    (void)!read(w->fd, &count, sizeof count);
    for (struct bench_item *item = bench_pull(); item != NULL; item = next) {
        next = item->next;
        bench_posted();
    }
}

static void raw_post_open(void)
{
    wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    (void)watch(sizeof(struct watch), wake_fd, woken);
}

static void raw_post(void *item)
{
    uint64_t one = 1;

    if (bench_push(item))
        (void)!write(wake_fd, &one, sizeof one);
}

/* --- the loop ----------------------------------------------------------------------------- */

static inline void turn(int timeout)
{
    /* Not on the stack: there the compiler's hardening would zero 3 KiB of it in each turn. */
    static struct epoll_event events[BATCH];
    int                       n = epoll_wait(set, events, BATCH, timeout);

    for (int i = 0; i < n; i++) {
        struct watch *w = events[i].data.ptr;

        w->ready(w);
    }
}

static void raw_turn(void)
{
    turn(0);
}

static void raw_run(void)
{
    while (!stopped)
        turn(bench_idle > 0 ? expire() : -1);
}

static void raw_stop(void)
{
    stopped = 1;
}

const struct bench bench = {
    .modes     = "epoll",
    .open      = raw_open,
    .serve     = raw_serve,
    .workers   = raw_workers,
    .watch     = raw_watch,
    .gather    = raw_gather,
    .add       = raw_add,
    .again     = raw_again,
    .turn      = raw_turn,
    .item_size = sizeof(struct bench_item),
    .post_open = raw_post_open,
    .post      = raw_post,
    .run       = raw_run,
    .stop      = raw_stop,
};
