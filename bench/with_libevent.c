/* SPDX-License-Identifier: MIT */
/*
 * libevent: `event` echoes by recv and send, `bufferevent` by its buffers; `threads` is `event` with
 * the locks that a second thread needs.
 */
#include "bench.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct event_base *base;
static int                buffered;
static char               buf[BENCH_BUF];
static enum bench_role    role;

static struct event *watch_for(evutil_socket_t fd, event_callback_fn ready, void *arg)
{
    struct event *ev = event_new(base, fd, EV_READ | EV_PERSIST, ready, arg);

    bench_need(ev != NULL && event_add(ev, NULL) == 0, "event_add");
    return ev;
}

/* --- event: echo, churn and fan-out --------------------------------------------------------- */

static void send_all(evutil_socket_t fd, const char *data, size_t len)
{
    bench_need(send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len, "send");
}

static size_t receive(evutil_socket_t fd)
{
    ssize_t n = recv(fd, buf, sizeof buf, 0);

    if (n <= 0)
        bench_closed();
    return (size_t)n;
}

static void echo(evutil_socket_t fd, short what, void *arg)
{
    if ((what & EV_TIMEOUT) != 0) {
        event_free(arg);
        (void)close(fd);
        return;
    }
    send_all(fd, buf, receive(fd));
}

static void churn(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    send_all(fd, buf, receive(fd));
    event_free(arg);
    (void)close(fd);
}

static evutil_socket_t members[BENCH_MEMBERS];
static unsigned        nmembers;

static void fan(evutil_socket_t fd, short what, void *arg)
{
    size_t n = receive(fd);

    (void)what;
    (void)arg;
    if (bench_joins(buf)) {
        members[nmembers++] = fd;
        send_all(fd, buf, n);
        return;
    }
    for (unsigned i = 0; i < nmembers; i++)
        send_all(members[i], buf, n);
}

static void start_event(int fd)
{
    struct event *ev = watch_for(fd,
                                 role == BENCH_ECHO    ? echo
                                 : role == BENCH_CHURN ? churn
                                                       : fan,
                                 event_self_cbarg());

    if (bench_idle > 0)
        bench_need(event_add(ev, &(struct timeval){bench_idle, 0}) == 0, "event_add");
}

/* --- bufferevent: the same ------------------------------------------------------------------ */

static struct bufferevent *buffers[BENCH_MEMBERS];

static void buffered_echo(struct bufferevent *be, void *arg)
{
    (void)arg;
    (void)bufferevent_write_buffer(be, bufferevent_get_input(be));
}

static void on_end(struct bufferevent *be, short what, void *arg)
{
    (void)arg;
    if ((what & BEV_EVENT_TIMEOUT) == 0)
        bench_closed();
    bufferevent_free(be);
}

static void buffered_sent(struct bufferevent *be, void *arg)
{
    (void)arg;
    bufferevent_free(be);
}

static void buffered_churn(struct bufferevent *be, void *arg)
{
    bufferevent_setcb(be, NULL, buffered_sent, on_end, arg);
    (void)bufferevent_write_buffer(be, bufferevent_get_input(be));
}

static void buffered_fan(struct bufferevent *be, void *arg)
{
    size_t n = bufferevent_read(be, buf, sizeof buf);

    (void)arg;
    if (bench_joins(buf)) {
        buffers[nmembers++] = be;
        (void)bufferevent_write(be, buf, n);
        return;
    }
    for (unsigned i = 0; i < nmembers; i++)
        (void)bufferevent_write(buffers[i], buf, n);
}

/* --- bufferevent: a long answer, and lines -------------------------------------------------- */

static size_t left;

static void on_room(struct bufferevent *be, void *arg)
{
    (void)arg;
    while (left > 0 && evbuffer_get_length(bufferevent_get_output(be)) < 4 * BENCH_BUF) {
        size_t len = left < BENCH_BUF ? left : BENCH_BUF;

        (void)bufferevent_write(be, bench_piece, len);
        left -= len;
    }
}

static void on_question(struct bufferevent *be, void *arg)
{
    (void)bufferevent_read(be, buf, sizeof buf);
    left += bench_bulk;
    on_room(be, arg);
}

static void on_lines(struct bufferevent *be, void *arg)
{
    struct evbuffer *in = bufferevent_get_input(be);
    char            *line;
    size_t           len;

    (void)arg;
    while ((line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF)) != NULL) {
        (void)bufferevent_write(be, buf, bench_reply(buf, line, len));
        free(line);
    }
}

static void start_bufferevent(int fd)
{
    static const bufferevent_data_cb ready[] = {
        [BENCH_ECHO] = buffered_echo, [BENCH_CHURN] = buffered_churn, [BENCH_FAN] = buffered_fan,
        [BENCH_BULK] = on_question,   [BENCH_LINES] = on_lines,
    };
    struct bufferevent *be = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    bench_need(be != NULL, "bufferevent_socket_new");
    bufferevent_setcb(be, ready[role], role == BENCH_BULK ? on_room : NULL, on_end, NULL);
    if (role == BENCH_BULK)
        bufferevent_setwatermark(be, EV_WRITE, BENCH_BUF, 0);
    if (bench_idle > 0)
        bufferevent_set_timeouts(be, &(struct timeval){bench_idle, 0}, NULL);
    (void)bufferevent_enable(be, EV_READ | EV_WRITE);
}

/* --- the server --------------------------------------------------------------------------- */

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
    int fd;

    (void)what;
    (void)arg;
    while ((fd = bench_accept(listener)) >= 0) {
        bench_opened();
        if (buffered)
            start_bufferevent(fd);
        else
            start_event(fd);
    }
}

static void libevent_open(const char *mode)
{
    buffered = strcmp(mode, "bufferevent") == 0;
    if (strcmp(mode, "threads") == 0)
        bench_need(evthread_use_pthreads() == 0, "evthread_use_pthreads");
    base = event_base_new();
}

static uint16_t libevent_serve(enum bench_role what)
{
    uint16_t port = 0;

    bench_need(buffered || what < BENCH_BULK, "serving");
    role = what;
    (void)watch_for(bench_listen(&port), on_accept, NULL);
    return port;
}

/* --- events and watching ------------------------------------------------------------------ */

static void on_hop(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    (void)recv(fd, buf, bench_take, 0);
    bench_hop((unsigned)(uintptr_t)arg);
}

static void libevent_watch(int fd, unsigned i)
{
    (void)watch_for(fd, on_hop, (void *)(uintptr_t)i);
}

static struct event *gathered;

static void libevent_gather(int listener, unsigned n)
{
    gathered = calloc(n, sizeof *gathered);
    bench_need(gathered != NULL, "calloc");
    for (unsigned i = 0; i < n; i++)
        (void)event_assign(&gathered[i], base, bench_accept(listener), EV_READ | EV_PERSIST, echo,
                           NULL);
}

static void libevent_add(unsigned i)
{
    (void)event_add(&gathered[i], NULL);
}

static void libevent_again(unsigned i)
{
    (void)event_del(&gathered[i]);
    (void)event_add(&gathered[i], NULL);
}

static void libevent_turn(void)
{
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
}

/* --- timers and work ---------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    bench_fired(arg);
}

static void libevent_timer_init(void *t)
{
    (void)event_assign(t, base, -1, 0, on_timer, t);
}

static void libevent_timer_start(void *t, int64_t ns)
{
    struct timeval tv = {ns / 1000000000, ns % 1000000000 / 1000};

    (void)event_add(t, &tv);
}

static void libevent_timer_stop(void *t)
{
    (void)event_del(t);
}

static struct event *posted;

static void on_posted(evutil_socket_t fd, short what, void *arg)
{
    struct bench_item *next;

    (void)fd;
    (void)what;
    (void)arg;
    for (struct bench_item *item = bench_pull(); item != NULL; item = next) {
        next = item->next;
        bench_posted();
    }
}

static void libevent_post_open(void)
{
    posted = event_new(base, -1, EV_PERSIST, on_posted, NULL);
    bench_need(posted != NULL && event_add(posted, &(struct timeval){3600, 0}) == 0, "event_new");
}

static void libevent_post(void *item)
{
    if (bench_push(item))
        event_active(posted, EV_READ, 0);
}

static void libevent_run(void)
{
    (void)event_base_loop(base, 0);
}

static void libevent_stop(void)
{
    (void)event_base_loopbreak(base);
}

const struct bench bench = {
    .modes       = "event bufferevent threads",
    .open        = libevent_open,
    .serve       = libevent_serve,
    .watch       = libevent_watch,
    .gather      = libevent_gather,
    .add         = libevent_add,
    .again       = libevent_again,
    .turn        = libevent_turn,
    .timer_size  = sizeof(struct event),
    .timer_init  = libevent_timer_init,
    .timer_start = libevent_timer_start,
    .timer_stop  = libevent_timer_stop,
    .item_size   = sizeof(struct bench_item),
    .post_open   = libevent_post_open,
    .post        = libevent_post,
    .run         = libevent_run,
    .stop        = libevent_stop,
};
