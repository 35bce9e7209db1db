/* SPDX-License-Identifier: MIT */
/* asyncore: `recv` echoes by ac_recv() and ac_send(), `read` by ac_read() and ac_write(). */
#include "bench.h"

#include <asyncore.h>

#include <stdio.h>
#include <stdlib.h>

static ac_loop *loop;
static bool     buffered;
static char     buf[BENCH_BUF];

static void handle_close(ac_dispatcher *d)
{
    (void)d;
    bench_closed();
}

/* --- echo and churn ----------------------------------------------------------------------- */

static ssize_t echo_recv(ac_dispatcher *d)
{
    ssize_t n = ac_recv(d, buf, sizeof buf);

    if (n > 0)
        bench_need(ac_send(d, buf, (size_t)n) == n, "ac_send");
    return n;
}

static ssize_t echo_view(ac_dispatcher *d)
{
    const void *data;
    ssize_t     n = ac_read(d, &data);

    if (n > 0)
        bench_need(ac_write(d, data, (size_t)n) == 0, "ac_write");
    return n;
}

static void handle_recv(ac_dispatcher *d)
{
    (void)echo_recv(d);
}

static void handle_view(ac_dispatcher *d)
{
    (void)echo_view(d);
}

static void handle_recv_once(ac_dispatcher *d)
{
    if (echo_recv(d) > 0)
        ac_close(d);
}

static void handle_view_once(ac_dispatcher *d)
{
    if (echo_view(d) > 0)
        ac_close(d);
}

static const ac_class by_recv = {
    .name         = "RecvChannel",
    .handle_read  = handle_recv,
    .handle_close = handle_close,
};

static const ac_class by_read = {
    .name         = "ReadChannel",
    .handle_read  = handle_view,
    .handle_close = handle_close,
};

static const ac_class once_by_recv = {
    .name         = "RecvChannel",
    .handle_read  = handle_recv_once,
    .handle_close = handle_close,
};

static const ac_class once_by_read = {
    .name         = "ReadChannel",
    .handle_read  = handle_view_once,
    .handle_close = handle_close,
};

/* --- fan-out ------------------------------------------------------------------------------ */

static ac_dispatcher *members[BENCH_MEMBERS];
static unsigned       nmembers;

static void handle_message(ac_dispatcher *d)
{
    const void *data;
    ssize_t     n = ac_read(d, &data);

    if (n <= 0)
        return;
    if (bench_joins(data)) {
        members[nmembers++] = d;
        (void)ac_write(d, data, (size_t)n);
        return;
    }
    for (unsigned i = 0; i < nmembers; i++)
        bench_need(ac_write(members[i], data, (size_t)n) == 0, "ac_write");
}

static const ac_class fan_class = {
    .name         = "Member",
    .handle_read  = handle_message,
    .handle_close = handle_close,
};

/* --- a long answer ------------------------------------------------------------------------ */

struct sender {
    ac_dispatcher base;
    size_t        left;
};

static void handle_room(ac_dispatcher *d)
{
    struct sender *self = AC_SELF(struct sender, d);

    while (self->left > 0 && ac_queued(d) == 0) {
        size_t len = self->left < BENCH_BUF ? self->left : BENCH_BUF;

        bench_need(ac_write(d, bench_piece, len) == 0, "ac_write");
        self->left -= len;
    }
}

static void handle_question(ac_dispatcher *d)
{
    if (ac_recv(d, buf, sizeof buf) <= 0)
        return;
    AC_SELF(struct sender, d)->left += bench_bulk;
    handle_room(d);
}

static const ac_class sender_class = {
    .name         = "Sender",
    .handle_read  = handle_question,
    .handle_write = handle_room,
    .handle_close = handle_close,
};

/* --- lines -------------------------------------------------------------------------------- */

static void found_terminator(ac_chat *c, const void *data, size_t len)
{
    bench_need(ac_chat_push(c, buf, bench_reply(buf, data, len)) == 0, "ac_chat_push");
}

static const ac_chat_class lines_class = {
    .base =
        {
            .name         = "Lines",
            .handle_read  = ac_chat_handle_read,
            .handle_close = handle_close,
        },
    .found_terminator = found_terminator,
};

static ac_dispatcher *new_lines(ac_loop *l)
{
    ac_chat *c = ac_chat_new(ac_chat, l, &lines_class);

    bench_need(c != NULL && ac_chat_set_terminator(c, "\n", 1) == 0, "ac_chat_new");
    return &c->base;
}

/* --- the server --------------------------------------------------------------------------- */

static enum bench_role role;

static ac_dispatcher *new_channel(ac_loop *l)
{
    switch (role) {
    case BENCH_CHURN:
        return ac_new(ac_dispatcher, l, buffered ? &once_by_read : &once_by_recv);
    case BENCH_FAN:
        return ac_new(ac_dispatcher, l, &fan_class);
    case BENCH_BULK:
        return (ac_dispatcher *)ac_new(struct sender, l, &sender_class);
    case BENCH_LINES:
        return new_lines(l);
    default:
        return ac_new(ac_dispatcher, l, buffered ? &by_read : &by_recv);
    }
}

static void handle_accept(ac_dispatcher *d)
{
    ac_sock sock;

    while (ac_accept(d, &sock, NULL) == 0) {
        ac_dispatcher *channel = new_channel(d->loop);

        bench_opened();
        bench_need(ac_attach(channel, sock) == 0, "ac_attach");
        if (bench_idle > 0)
            bench_need(ac_set_timeout(channel, AC_IDLE, bench_idle * AC_SECOND) == 0,
                       "ac_set_timeout");
    }
}

static const ac_class server_class = {
    .name          = "EchoServer",
    .handle_accept = handle_accept,
};

static void asyncore_open(const char *mode)
{
    buffered = strcmp(mode, "read") == 0;
    loop     = ac_loop_new();
    if (strcmp(mode, "backends") != 0)
        return;
    for (size_t i = 0; ac_backend_name(i) != NULL; i++) { /* those that work here */
        ac_loop_options options = {.size = sizeof options, .backend = ac_backend_name(i)};
        ac_loop        *one     = ac_loop_new_with(&options);

        if (ac_loop_turn(one, 0) >= 0 && strcmp(ac_loop_backend(one), ac_backend_name(i)) == 0)
            puts(ac_backend_name(i));
        (void)ac_loop_free(one);
    }
    exit(0);
}

static uint16_t asyncore_serve(enum bench_role what)
{
    static ac_dispatcher server;

    role = what;
    (void)ac_init(&server, loop, &server_class);
    bench_need(ac_listen(&server, "127.0.0.1", 0, 0) == 0, "ac_listen");
    return ac_local_port(&server);
}

/* --- more threads ------------------------------------------------------------------------- */

static _Atomic unsigned listening;
static unsigned         nworkers;

static int start_worker(ac_loop *l, unsigned index, void *arg)
{
    ac_dispatcher *server = ac_new(ac_dispatcher, l, &server_class);
    uint16_t      *port   = arg;
    int            rc;

    (void)ac_set_reuseport(server, true);
    rc = ac_listen(server, "127.0.0.1", *port, 0);
    if (rc == 0 && index == 0)
        *port = ac_local_port(server);
    if (rc == 0)
        bench_own_cpu(index, ac_fileno(server));
    if (rc == 0 && ++listening == nworkers)
        bench_port(*port);
    return rc;
}

static void asyncore_workers(unsigned n)
{
    uint16_t port = 0;

    nworkers = n;
    bench_need(ac_workers(n, start_worker, &port) >= 0, "ac_workers");
}

/* --- events and watching ------------------------------------------------------------------ */

struct hop {
    ac_dispatcher base;
    unsigned      i;
};

static void handle_hop(ac_dispatcher *d)
{
    if (ac_recv(d, buf, bench_take) > 0)
        bench_hop(AC_SELF(struct hop, d)->i);
}

static const ac_class hop_class = {
    .name        = "Hop",
    .handle_read = handle_hop,
};

static void asyncore_watch(int fd, unsigned i)
{
    struct hop *hop = ac_new(struct hop, loop, &hop_class);

    bench_need(hop != NULL && ac_attach(&hop->base, ac_sock_from_fd(loop, fd)) == 0, "ac_attach");
    hop->i = i;
}

static ac_dispatcher *gathered;
static ac_sock       *socks;
static unsigned       nsocks;

static void handle_gather(ac_dispatcher *d)
{
    while (ac_accept(d, &socks[nsocks], NULL) == 0)
        ac_init(&gathered[nsocks++], loop, &by_recv);
}

static const ac_class gather_class = {
    .name          = "Gather",
    .handle_accept = handle_gather,
};

static void asyncore_gather(int listener, unsigned n)
{
    static ac_dispatcher server;

    gathered = calloc(n + 1, sizeof *gathered);
    socks    = calloc(n + 1, sizeof *socks);
    bench_need(gathered != NULL && socks != NULL, "calloc");
    (void)ac_init(&server, loop, &gather_class);
    bench_need(ac_attach(&server, ac_sock_from_fd(loop, listener)) == 0, "ac_attach");
    while (nsocks < n)
        bench_need(ac_loop_turn(loop, AC_SECOND) > 0, "ac_accept");
}

static void asyncore_add(unsigned i)
{
    bench_need(ac_attach(&gathered[i], socks[i]) == 0, "ac_attach");
}

static void asyncore_again(unsigned i)
{
    (void)ac_pause(&gathered[i]);
    (void)ac_resume(&gathered[i]);
}

static void asyncore_turn(void)
{
    bench_need(ac_loop_turn(loop, 0) >= 0, "ac_loop_turn");
}

/* --- timers and work ---------------------------------------------------------------------- */

static void fire(ac_timer *t)
{
    bench_fired(t);
}

static void asyncore_timer_init(void *t)
{
    ac_timer_init(t, loop, fire);
}

static void asyncore_timer_start(void *t, int64_t ns)
{
    (void)ac_timer_start(t, ns);
}

static void asyncore_timer_stop(void *t)
{
    ac_timer_stop(t);
}

static void run_work(ac_work *work, int status)
{
    (void)work;
    (void)status;
    bench_posted();
}

static void asyncore_post_open(void)
{
    (void)ac_hold(loop);
}

static void asyncore_post(void *item)
{
    ac_work *work = item;

    work->run = run_work;
    ac_post(loop, work);
}

static void asyncore_run(void)
{
    bench_need(ac_run(loop) >= 0, "ac_run");
}

static void asyncore_stop(void)
{
    ac_stop(loop);
}

const struct bench bench = {
    .modes       = "recv read backends",
    .open        = asyncore_open,
    .serve       = asyncore_serve,
    .workers     = asyncore_workers,
    .watch       = asyncore_watch,
    .gather      = asyncore_gather,
    .add         = asyncore_add,
    .again       = asyncore_again,
    .turn        = asyncore_turn,
    .timer_size  = sizeof(ac_timer),
    .timer_init  = asyncore_timer_init,
    .timer_start = asyncore_timer_start,
    .timer_stop  = asyncore_timer_stop,
    .item_size   = sizeof(ac_work),
    .post_open   = asyncore_post_open,
    .post        = asyncore_post,
    .run         = asyncore_run,
    .stop        = asyncore_stop,
};
