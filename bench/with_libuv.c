/* SPDX-License-Identifier: MIT */
/* libuv: `try` answers by uv_try_write(), `write` by uv_write() with a copy of the bytes. */
#include "bench.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

struct reply {
    uv_write_t req;
    char       bytes[];
};

static uv_loop_t      *loop;
static int             queued;
static char            space[BENCH_BUF];
static enum bench_role role;

static void lend(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    (void)h;
    (void)suggested;
    *out = uv_buf_init(space, sizeof space);
}

static void on_freed(uv_handle_t *h)
{
    free(h);
}

/* --- echo, churn and fan-out -------------------------------------------------------------- */

static void on_written(uv_write_t *req, int status)
{
    (void)status;
    if (role == BENCH_CHURN)
        uv_close((uv_handle_t *)req->handle, on_freed);
    free(req);
}

static void answer(uv_stream_t *s, char *data, size_t len)
{
    uv_buf_t      out = uv_buf_init(data, (unsigned)len);
    struct reply *reply;

    if (!queued) {
        bench_need(uv_try_write(s, &out, 1) == (int)len, "uv_try_write");
        return;
    }
    reply = malloc(sizeof *reply + len);
    bench_need(reply != NULL, "malloc");
    out.base = memcpy(reply->bytes, data, len);
    bench_need(uv_write(&reply->req, s, &out, 1, on_written) == 0, "uv_write");
}

static uv_stream_t *members[BENCH_MEMBERS];
static unsigned     nmembers;

static void fan(uv_stream_t *s, char *data, size_t len)
{
    if (bench_joins(data)) {
        members[nmembers++] = s;
        answer(s, data, len);
        return;
    }
    for (unsigned i = 0; i < nmembers; i++)
        answer(members[i], data, len);
}

static void on_data(uv_stream_t *s, ssize_t n, const uv_buf_t *got)
{
    if (n == 0)
        return;
    if (n < 0)
        bench_closed();
    if (role == BENCH_FAN) {
        fan(s, got->base, (size_t)n);
        return;
    }
    answer(s, got->base, (size_t)n);
    if (role == BENCH_CHURN && !queued)
        uv_close((uv_handle_t *)s, on_freed);
}

/* --- connections with an idle timeout ----------------------------------------------------- */

struct timed {
    uv_tcp_t   tcp;
    uv_timer_t timer;
};

static void on_timed_freed(uv_handle_t *h)
{
    struct timed *c = h->data;

    free(c);
}

static void on_idle(uv_timer_t *t)
{
    struct timed *c = t->data;

    uv_close((uv_handle_t *)&c->tcp, NULL);
    uv_close((uv_handle_t *)t, on_timed_freed);
}

static void on_timed_data(uv_stream_t *s, ssize_t n, const uv_buf_t *got)
{
    (void)uv_timer_again(&((struct timed *)(void *)s)->timer);
    on_data(s, n, got);
}

static uv_tcp_t *new_timed(void)
{
    struct timed *c  = malloc(sizeof *c);
    uint64_t      ms = (uint64_t)bench_idle * 1000;

    bench_need(c != NULL, "malloc");
    (void)uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    (void)uv_timer_start(&c->timer, on_idle, ms, ms);
    return &c->tcp;
}

/* --- a long answer ------------------------------------------------------------------------ */

struct sender {
    uv_tcp_t   tcp;
    uv_write_t req;
    size_t     left;
};

static void pump(struct sender *s);

static void on_sent(uv_write_t *req, int status)
{
    bench_need(status == 0, "uv_write");
    pump(req->data);
}

/* The bytes stay where they are, so that nothing need be copied. */
static void pump(struct sender *s)
{
    while (s->left > 0) {
        size_t   len = s->left < BENCH_BUF ? s->left : BENCH_BUF;
        uv_buf_t out = uv_buf_init(bench_piece, (unsigned)len);
        int      n   = queued ? 0 : uv_try_write((uv_stream_t *)&s->tcp, &out, 1);

        if (n < 0)
            n = 0; /* UV_EAGAIN */
        s->left -= len;
        if ((size_t)n == len)
            continue;
        out         = uv_buf_init(bench_piece + n, (unsigned)(len - (size_t)n));
        s->req.data = s;
        bench_need(uv_write(&s->req, (uv_stream_t *)&s->tcp, &out, 1, on_sent) == 0, "uv_write");
        return;
    }
}

static void on_question(uv_stream_t *stream, ssize_t n, const uv_buf_t *got)
{
    struct sender *s    = (struct sender *)(void *)stream;
    int            idle = s->left == 0;

    (void)got;
    if (n == 0)
        return;
    if (n < 0)
        bench_closed();
    s->left += bench_bulk;
    if (idle)
        pump(s);
}

/* --- the server --------------------------------------------------------------------------- */

static void on_connection(uv_stream_t *server, int status)
{
    int       timed = role == BENCH_ECHO && bench_idle > 0;
    uv_tcp_t *c =
        timed ? new_timed() : calloc(1, role == BENCH_BULK ? sizeof(struct sender) : sizeof *c);

    bench_need(c != NULL && status == 0, "uv_listen");
    bench_opened();
    (void)uv_tcp_init(loop, c);
    bench_need(uv_accept(server, (uv_stream_t *)c) == 0, "uv_accept");
    (void)uv_read_start((uv_stream_t *)c, lend,
                        timed                ? on_timed_data
                        : role == BENCH_BULK ? on_question
                                             : on_data);
}

static void libuv_open(const char *mode)
{
    queued = strcmp(mode, "write") == 0;
    loop   = uv_default_loop();
}

static uint16_t libuv_serve(enum bench_role what)
{
    static uv_tcp_t server;
    uint16_t        port = 0;

    bench_need(what != BENCH_LINES, "serving");
    role = what;
    (void)uv_tcp_init(loop, &server);
    bench_need(uv_tcp_open(&server, bench_listen(&port)) == 0, "uv_tcp_open");
    bench_need(uv_listen((uv_stream_t *)&server, 4096, on_connection) == 0, "uv_listen");
    return port;
}

/* --- events and watching ------------------------------------------------------------------ */

struct hop {
    uv_poll_t poll;
    int       fd;
    unsigned  i;
};

static void on_hop(uv_poll_t *poll, int status, int events)
{
    struct hop *hop = (struct hop *)(void *)poll;

    (void)status;
    (void)events;
    (void)recv(hop->fd, space, bench_take, 0);
    bench_hop(hop->i);
}

static void libuv_watch(int fd, unsigned i)
{
    struct hop *hop = malloc(sizeof *hop);

    bench_need(hop != NULL && uv_poll_init(loop, &hop->poll, fd) == 0, "uv_poll_init");
    hop->fd = fd;
    hop->i  = i;
    (void)uv_poll_start(&hop->poll, UV_READABLE, on_hop);
}

static struct hop *gathered;

static void libuv_gather(int listener, unsigned n)
{
    gathered = calloc(n, sizeof *gathered);
    bench_need(gathered != NULL, "calloc");
    for (unsigned i = 0; i < n; i++) {
        gathered[i].fd = bench_accept(listener);
        bench_need(uv_poll_init(loop, &gathered[i].poll, gathered[i].fd) == 0, "uv_poll_init");
    }
}

static void libuv_add(unsigned i)
{
    (void)uv_poll_start(&gathered[i].poll, UV_READABLE, on_hop);
}

static void libuv_again(unsigned i)
{
    (void)uv_poll_stop(&gathered[i].poll);
    (void)uv_poll_start(&gathered[i].poll, UV_READABLE, on_hop);
}

static void libuv_turn(void)
{
    (void)uv_run(loop, UV_RUN_NOWAIT);
}

/* --- timers and work ---------------------------------------------------------------------- */

static void on_timer(uv_timer_t *t)
{
    bench_fired(t);
}

static void libuv_timer_init(void *t)
{
    (void)uv_timer_init(loop, t);
}

static void libuv_timer_start(void *t, int64_t ns)
{
    (void)uv_timer_start(t, on_timer, (uint64_t)ns / 1000000, 0);
}

static void libuv_timer_stop(void *t)
{
    (void)uv_timer_stop(t);
}

static uv_async_t async;

static void on_async(uv_async_t *handle)
{
    struct bench_item *next;

    (void)handle;
    for (struct bench_item *item = bench_pull(); item != NULL; item = next) {
        next = item->next;
        bench_posted();
    }
}

static void libuv_post_open(void)
{
    (void)uv_async_init(loop, &async, on_async);
}

static void libuv_post(void *item)
{
    if (bench_push(item))
        (void)uv_async_send(&async);
}

static void libuv_run(void)
{
    (void)uv_run(loop, UV_RUN_DEFAULT);
}

static void libuv_stop(void)
{
    uv_stop(loop);
}

const struct bench bench = {
    .modes       = "try write",
    .open        = libuv_open,
    .serve       = libuv_serve,
    .watch       = libuv_watch,
    .gather      = libuv_gather,
    .add         = libuv_add,
    .again       = libuv_again,
    .turn        = libuv_turn,
    .timer_size  = sizeof(uv_timer_t),
    .timer_init  = libuv_timer_init,
    .timer_start = libuv_timer_start,
    .timer_stop  = libuv_timer_stop,
    .item_size   = sizeof(struct bench_item),
    .post_open   = libuv_post_open,
    .post        = libuv_post,
    .run         = libuv_run,
    .stop        = libuv_stop,
};
