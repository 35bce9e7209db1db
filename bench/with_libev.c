/* SPDX-License-Identifier: MIT */
/* libev: watchers, recv and send. */
#include "bench.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef void ready_fn(struct ev_loop *l, ev_io *w, int events);

struct hop {
    ev_io    io;
    unsigned i;
};

static struct ev_loop *loop;
static char            buf[BENCH_BUF];

static void *watcher(size_t size, int fd, ready_fn *ready)
{
    ev_io *io = calloc(1, size);

    bench_need(io != NULL, "calloc");
    ev_io_init(io, ready, fd, EV_READ);
    ev_io_start(loop, io);
    return io;
}

static void send_all(int fd, const char *data, size_t len)
{
    bench_need(send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len, "send");
}

static size_t receive(int fd)
{
    ssize_t n = recv(fd, buf, sizeof buf, 0);

    if (n <= 0)
        bench_closed();
    return (size_t)n;
}

/* --- echo, churn and fan-out -------------------------------------------------------------- */

static void echo(struct ev_loop *l, ev_io *w, int events)
{
    (void)l;
    (void)events;
    send_all(w->fd, buf, receive(w->fd));
}

static void churn(struct ev_loop *l, ev_io *w, int events)
{
    (void)events;
    send_all(w->fd, buf, receive(w->fd));
    ev_io_stop(l, w);
    (void)close(w->fd);
    free(w);
}

static int      members[BENCH_MEMBERS];
static unsigned nmembers;

static void fan(struct ev_loop *l, ev_io *w, int events)
{
    size_t n = receive(w->fd);

    (void)l;
    (void)events;
    if (bench_joins(buf)) {
        members[nmembers++] = w->fd;
        send_all(w->fd, buf, n);
        return;
    }
    for (unsigned i = 0; i < nmembers; i++)
        send_all(members[i], buf, n);
}

/* --- connections with an idle timeout ----------------------------------------------------- */

struct timed {
    ev_io    io;
    ev_timer timer;
};

static void echo_timed(struct ev_loop *l, ev_io *w, int events)
{
    (void)events;
    send_all(w->fd, buf, receive(w->fd));
    ev_timer_again(l, &((struct timed *)(void *)w)->timer);
}

static void expire(struct ev_loop *l, ev_timer *t, int events)
{
    struct timed *c = t->data;

    (void)events;
    ev_io_stop(l, &c->io);
    ev_timer_stop(l, t);
    (void)close(c->io.fd);
    free(c);
}

static void start_timed(int fd)
{
    struct timed *c = watcher(sizeof *c, fd, echo_timed);

    ev_init(&c->timer, expire);
    c->timer.data   = c;
    c->timer.repeat = bench_idle;
    ev_timer_again(loop, &c->timer);
}

/* --- a long answer ------------------------------------------------------------------------ */

struct sender {
    ev_io  io, out;
    size_t left;
};

static void pump(struct ev_loop *l, struct sender *s)
{
    while (s->left > 0) {
        ssize_t n =
            send(s->io.fd, bench_piece, s->left < BENCH_BUF ? s->left : BENCH_BUF, MSG_NOSIGNAL);

        if (n < 0) {
            bench_need(errno == EAGAIN, "send");
            ev_io_start(l, &s->out);
            return;
        }
        s->left -= (size_t)n;
    }
    ev_io_stop(l, &s->out);
}

static void on_room(struct ev_loop *l, ev_io *w, int events)
{
    (void)events;
    pump(l, w->data);
}

static void on_question(struct ev_loop *l, ev_io *w, int events)
{
    struct sender *s = (struct sender *)(void *)w;

    (void)events;
    (void)receive(w->fd);
    s->left += bench_bulk;
    pump(l, s);
}

static void start_sender(int fd)
{
    struct sender *s = watcher(sizeof *s, fd, on_question);

    ev_io_init(&s->out, on_room, fd, EV_WRITE);
    s->out.data = s;
}

/* --- the server --------------------------------------------------------------------------- */

static enum bench_role role;

static void on_accept(struct ev_loop *l, ev_io *w, int events)
{
    int fd;

    (void)l;
    (void)events;
    while ((fd = bench_accept(w->fd)) >= 0) {
        bench_opened();
        if (role == BENCH_ECHO && bench_idle > 0)
            start_timed(fd);
        else if (role == BENCH_BULK)
            start_sender(fd);
        else
            (void)watcher(sizeof(ev_io), fd,
                          role == BENCH_ECHO    ? echo
                          : role == BENCH_CHURN ? churn
                                                : fan);
    }
}

static void libev_open(const char *mode)
{
    (void)mode;
    loop = ev_loop_new(EVBACKEND_EPOLL);
}

static uint16_t libev_serve(enum bench_role what)
{
    uint16_t port = 0;

    bench_need(what != BENCH_LINES, "serving");
    role = what;
    (void)watcher(sizeof(ev_io), bench_listen(&port), on_accept);
    return port;
}

/* --- events and watching ------------------------------------------------------------------ */

static void on_hop(struct ev_loop *l, ev_io *w, int events)
{
    (void)l;
    (void)events;
    (void)recv(w->fd, buf, bench_take, 0);
    bench_hop(((struct hop *)(void *)w)->i);
}

static void libev_watch(int fd, unsigned i)
{
    struct hop *hop = watcher(sizeof *hop, fd, on_hop);

    hop->i = i;
}

static ev_io *gathered;

static void libev_gather(int listener, unsigned n)
{
    gathered = calloc(n, sizeof *gathered);
    bench_need(gathered != NULL, "calloc");
    for (unsigned i = 0; i < n; i++)
        ev_io_init(&gathered[i], echo, bench_accept(listener), EV_READ);
}

static void libev_add(unsigned i)
{
    ev_io_start(loop, &gathered[i]);
}

static void libev_again(unsigned i)
{
    ev_io_stop(loop, &gathered[i]);
    ev_io_start(loop, &gathered[i]);
}

static void libev_turn(void)
{
    ev_run(loop, EVRUN_NOWAIT);
}

/* --- timers and work ---------------------------------------------------------------------- */

static void on_timer(struct ev_loop *l, ev_timer *t, int events)
{
    (void)l;
    (void)events;
    bench_fired(t);
}

static void libev_timer_init(void *t)
{
    ev_init((ev_timer *)t, on_timer);
}

static void libev_timer_start(void *t, int64_t ns)
{
    ev_timer *timer = t;

    if (ev_is_active(timer)) {
        timer->repeat = (double)ns / 1e9;
        ev_timer_again(loop, timer);
    } else {
        ev_timer_set(timer, (double)ns / 1e9, 0.);
        ev_timer_start(loop, timer);
    }
}

static void libev_timer_stop(void *t)
{
    ev_timer_stop(loop, t);
}

static ev_async async;

static void on_async(struct ev_loop *l, ev_async *w, int events)
{
    struct bench_item *next;

    (void)l;
    (void)w;
    (void)events;
    for (struct bench_item *item = bench_pull(); item != NULL; item = next) {
        next = item->next;
        bench_posted();
    }
}

static void libev_post_open(void)
{
    ev_async_init(&async, on_async);
    ev_async_start(loop, &async);
}

static void libev_post(void *item)
{
    if (bench_push(item))
        ev_async_send(loop, &async);
}

static void libev_run(void)
{
    ev_run(loop, 0);
}

static void libev_stop(void)
{
    ev_break(loop, EVBREAK_ALL);
}

const struct bench bench = {
    .modes       = "io",
    .open        = libev_open,
    .serve       = libev_serve,
    .watch       = libev_watch,
    .gather      = libev_gather,
    .add         = libev_add,
    .again       = libev_again,
    .turn        = libev_turn,
    .timer_size  = sizeof(ev_timer),
    .timer_init  = libev_timer_init,
    .timer_start = libev_timer_start,
    .timer_stop  = libev_timer_stop,
    .item_size   = sizeof(struct bench_item),
    .post_open   = libev_post_open,
    .post        = libev_post,
    .run         = libev_run,
    .stop        = libev_stop,
};
