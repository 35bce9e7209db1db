/* SPDX-License-Identifier: MIT */
/*
 * Connections: a dispatcher that sends requests and hands what comes in to response.c. Its one timer
 * works out from stamps which deadline is next; it is set anew only when it fires, or when a deadline
 * comes before it.
 */
#include "private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

enum { DRAIN = 64 * 1024 }; /* what is read of a body that nobody wants, to keep the connection */
#define WATER_WAIT (AC_SECOND / 4) /* nothing for so long: the kernel may hold something back */

static const ac_class conn_class;

/* --- deadlines ---------------------------------------------------------------------------- */

static int64_t after(int64_t stamp, int64_t limit)
{
    return limit < 0 || limit > AC_FOREVER - stamp ? AC_FOREVER : stamp + limit;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Whether the body goes out as the queue takes it: progress that no callback tells of. */
static void note_progress(ac__conn *n)
{
    const ac__exchange *x    = n->request->x;
    uint64_t            sent = x->times.sent_bytes - ac_queued(&n->base);

    if (sent != n->progress)
        n->stamp = ac__now(n->client->loop);
    n->progress = sent;
}

/* How long the connection may idle: a second less than the server has said it would wait. */
static int64_t idle_limit(const ac__conn *n)
{
    int64_t ours = n->client->options.idle_time;

    if (n->idle_limit == 0)
        return ours;
    return ours < 0 ? n->idle_limit - AC_SECOND : least(ours, n->idle_limit - AC_SECOND);
}

static int64_t next_deadline(ac__conn *n)
{
    const ac_http_request *r = n->request;
    const ac__exchange    *x;
    int64_t                best;

    if (n->state == AC__CONN_IDLE)
        return after(n->stamp, idle_limit(n));
    if (r == NULL) /* what is left of a body is dropped: that is not worth waiting for */
        return after(n->stamp, AC_SECOND);
    x    = r->x;
    best = after(x->started, x->limits.total);
    if (n->state == AC__CONN_CONNECTING || (r->flags & AC__R_PAUSED) != 0)
        return best;
    if (n->water)
        best = least(best, n->stamp + WATER_WAIT);
    if (n->expecting)
        best = least(best, n->sent_at + AC_SECOND);
    if (n->state == AC__CONN_HEAD && n->sent)
        best = least(best, after(n->sent_at, x->limits.response));
    if (!x->starved)
        best = least(best, after(n->stamp, x->limits.idle));
    if (n->state == AC__CONN_BODY && x->limits.low_speed > 0)
        best = least(best, after(n->window, x->limits.low_speed_time));
    return best;
}

void ac__conn_arm(ac__conn *n)
{
    int64_t deadline = next_deadline(n);

    if (deadline == AC_FOREVER)
        return;
    if (ac_timer_running(&n->timer) && n->timer.deadline_ <= deadline)
        return;
    (void)ac_timer_start(&n->timer, deadline - ac__now(n->client->loop));
}

/* Judges the last window of the low speed. Returns whether it was too slow. */
static bool too_slow(ac__conn *n)
{
    const ac__exchange *x    = n->request->x;
    int64_t             now  = ac__now(n->client->loop);
    int64_t             span = now - n->window;
    int64_t             got  = (int64_t)x->times.wire_bytes - n->window_bytes;

    if (n->state != AC__CONN_BODY || (n->request->flags & AC__R_PAUSED) != 0
        || x->limits.low_speed <= 0 || x->limits.low_speed_time < 0
        || span < x->limits.low_speed_time)
        return false;
    n->window       = now;
    n->window_bytes = (int64_t)x->times.wire_bytes;
    return (double)got < (double)x->limits.low_speed * ((double)span / AC_SECOND);
}

/*
 * Whether input waits that was not read yet: it is we who were busy, or stopped, and not the peer who was
 * silent. The end counts too, and is told by its own event.
 */
static bool input_waits(const ac__conn *n)
{
    ac__sys *sys = n->client->loop->sys;
    char     c;

    return sys->recv(sys, n->base.source_.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) != -EAGAIN;
}

static void timer_fired(ac_timer *t)
{
    ac__conn *n   = AC_CONTAINER(ac__conn, timer, t);
    int64_t   now = ac__now(n->client->loop);

    if (n->state == AC__CONN_IDLE || n->request == NULL) {
        if (next_deadline(n) <= now)
            ac__conn_close(n);
        else
            ac__conn_arm(n);
        return;
    }
    if (n->water && now >= n->stamp + WATER_WAIT) {
        ac__bulk_off(n); /* first that is read, then there is something to judge */
        n->stamp = now;
        ac__conn_arm(n);
        return;
    }
    note_progress(n);
    if (n->state != AC__CONN_CONNECTING && n->stamp < now
        && after(n->stamp, n->request->x->limits.idle) <= now && input_waits(n))
        n->stamp = now;
    if (n->expecting && now >= n->sent_at + AC_SECOND)
        ac__conn_continue(n);
    if (too_slow(n) || next_deadline(n) <= now)
        ac__conn_fail(n, -ETIMEDOUT);
    else
        ac__conn_arm(n);
}

/* --- sending ------------------------------------------------------------------------------ */

static void sent_whole(ac__conn *n)
{
    ac__exchange *x = n->request->x;

    n->sent       = true;
    n->sent_at    = ac__now(n->client->loop);
    x->times.sent = n->sent_at - x->started;
    if (x->phase < AC_HTTP_HEAD)
        x->phase = AC_HTTP_HEAD;
    ac__conn_arm(n);
}

/* Sends the head of the request, and a small body with it. */
static int send_head(ac__conn *n)
{
    ac_http_client *c = n->client;
    ac__exchange   *x = n->request->x;
    bool            whole;
    int             rc = ac__out_head(n, &whole);

    if (rc < 0)
        return rc;
    n->state     = AC__CONN_HEAD;
    n->stamp     = ac__now(c->loop);
    n->sent      = false;
    n->got_byte  = false;
    n->expecting = x->expect_sent;
    n->sent_at   = ac__now(c->loop);
    x->phase     = AC_HTTP_SEND;
    rc           = ac_write(&n->base, c->out, c->out_len);
    if (rc < 0)
        return rc;
    x->times.sent_bytes = c->out_len;
    n->progress         = x->times.sent_bytes - ac_queued(&n->base);
    x->body_ended       = whole;
    if (whole)
        sent_whole(n);
    else if (!n->expecting)
        (void)ac_changed(&n->base);              /* handle_write sends the body, from the loop */
    if ((n->request->flags & AC__R_PAUSED) != 0) /* while it waited */
        (void)ac_pause(&n->base);
    ac__conn_arm(n);
    return 0;
}

void ac__conn_continue(ac__conn *n)
{
    if (!n->expecting)
        return;
    n->expecting = false;
    (void)ac_changed(&n->base);
}

/* --- starting ----------------------------------------------------------------------------- */

static int connect_conn(ac__conn *n)
{
    ac__exchange  *x    = n->request->x;
    const char    *host = x->url.text + x->url.host.at;
    const ac_addr *addr =
        ac__override_at(n->client, host, x->url.host.len, x->url.port, n->next_addr);
    char name[256];

    if (addr != NULL) {
        n->next_addr++;
        return ac_connect_addr(&n->base, addr);
    }
    if (x->url.host.len >= sizeof name)
        return -AC_ENAME;
    if (host[0] == '[') { /* a literal has no brackets to the core */
        memcpy(name, host + 1, x->url.host.len - 2);
        name[x->url.host.len - 2] = '\0';
    } else {
        memcpy(name, host, x->url.host.len);
        name[x->url.host.len] = '\0';
    }
    return ac_connect(&n->base, name, x->url.port);
}

static ac__conn *open_conn(ac_http_request *r)
{
    ac_http_client *c = r->client;
    ac__conn       *n = ac_new(ac__conn, c->loop, &conn_class);

    if (n == NULL)
        return NULL;
    n->client = c;
    n->origin = r->origin;
    n->state  = AC__CONN_CONNECTING;
    ac__timer_init(&n->timer, c->loop, timer_fired);
    ac__list_append(&c->conns, &n->all);
    c->nconns++;
    c->stats.connections++;
    r->origin->conns++;
    return n;
}

/* Out of memory, or nothing to connect to: told by the pump. */
static void start_failed(ac_http_request *r, int err)
{
    ac_http_client *c = r->client;

    r->err = err;
    ac__list_append(&c->failed, &r->link);
    ac__source_call(c->loop, &c->pump);
}

/* Opens a connection for a request that has its exchange. */
static void start_new(ac_http_request *r, size_t next_addr)
{
    ac__exchange *x = r->x;
    ac__conn     *n = open_conn(r);
    int           rc;

    if (n == NULL) {
        start_failed(r, -ENOMEM);
        return;
    }
    n->next_addr = next_addr;
    n->request   = r;
    x->conn      = n;
    x->phase     = AC_HTTP_CONNECT;
    ac__list_append(&r->client->active, &r->link);
    (void)ac_set_timeout(&n->base, AC_CONNECT,
                         x->limits.connect < 0 ? AC_FOREVER : x->limits.connect);
    rc = connect_conn(n);
    if (rc < 0) {
        n->request = NULL;
        x->conn    = NULL;
        ac__list_remove(&r->link);
        ac__conn_close(n);
        start_failed(r, rc);
        return;
    }
    if (n->base.ext_ != NULL && n->base.ext_->connector != NULL)
        x->phase = AC_HTTP_NAME;
    (void)ac_unref(&n->base); /* the request keeps the loop, an idle connection does not */
    ac__conn_arm(n);
}

void ac__conn_start(ac__conn *n, ac_http_request *r)
{
    ac_http_client *c = r->client;
    ac__exchange   *x;
    int             rc;

    if (c->loop->level == 0)
        ac_loop_update(c->loop);
    x = ac__exchange_new(r);
    if (x == NULL || x->url.port == 0) {
        if (n != NULL)
            ac__conn_idle(n);
        start_failed(r, x == NULL ? -ENOMEM : -EADDRNOTAVAIL);
        return;
    }
    if (n == NULL) {
        start_new(r, 0);
        return;
    }
    n->reused       = true;
    n->request      = r;
    x->conn         = n;
    x->times.reused = true;
    x->times.name = x->times.connect = 0;
    x->times.peer                    = n->peer;
    c->stats.reused++;
    ac__list_append(&c->active, &r->link);
    rc = send_head(n);
    if (rc < 0)
        ac_fail(&n->base, rc); /* found inside a call: told from the loop */
}

/* --- ending ------------------------------------------------------------------------------- */

static ac_http_request *detach(ac__conn *n)
{
    ac_http_request *r = n->request;

    n->request = NULL;
    if (r != NULL && r->x != NULL)
        r->x->conn = NULL;
    return r;
}

static void drop_kept(ac__conn *n)
{
    ac__free(n->kept);
    n->kept     = NULL;
    n->kept_len = n->span = 0;
}

void ac__conn_close(ac__conn *n)
{
    ac_close(&n->base);
    ac__conn_gone(n);
}

/* Whether something lies behind the message: asked where the last read took all that it could. */
static bool more_behind(const ac__conn *n)
{
    ac__sys *sys = n->client->loop->sys;
    char     c;

    if ((n->base.source_.ready & AC__READ) == 0)
        return false;
    return sys->recv(sys, n->base.source_.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) != -EAGAIN;
}

void ac__conn_done(ac__conn *n)
{
    (void)detach(n);
    drop_kept(n);
    n->dropped = 0;
    if (n->persists && ac_is_open(&n->base) && more_behind(n))
        n->persists = false;
    if (!n->persists || n->ended != 0 || !ac_is_open(&n->base) || !n->sent
        || (n->idle_limit != 0 && n->idle_limit <= AC_SECOND
            && ac__list_empty(&n->origin->queue))) {
        ac__conn_close(n);
        return;
    }
    ac__conn_idle(n);
}

void ac__conn_abandon(ac__conn *n, bool drain)
{
    int64_t left = n->state == AC__CONN_BODY ? ac__body_known(&n->body) : -1;

    (void)detach(n);
    /* Inside the input the rest of the message may lie in the same buffer. */
    if (drain && n->persists && n->sent && n->ended == 0 && ac_is_open(&n->base)
        && (n->state == AC__CONN_HEAD || n->state == AC__CONN_BODY) && left <= DRAIN) {
        n->dropped = 0;
        n->stamp   = ac__now(n->client->loop);
        (void)ac_resume(&n->base);
        ac__conn_arm(n);
        return;
    }
    drop_kept(n);
    ac__conn_close(n);
}

/* Whether the pooled connection was dead before it could carry the request (RFC 9112, 9.3.1). */
static bool is_stale(const ac__conn *n, int err)
{
    const ac_http_request *r = n->request;

    return n->reused && !n->got_byte && n->state == AC__CONN_HEAD && err != -ETIMEDOUT
           && (r->flags & AC__R_FRESH) == 0 && ac__request_repeatable(r);
}

/*
 * Closes the connection of a request that is sent once more over a new one. It is back at the front of
 * its queue before the place is free, so that it gets this place.
 */
static void again(ac__conn *n, ac_http_request *r)
{
    if (ac__linked(&r->link))
        ac__list_remove(&r->link);
    ac__exchange_free(r->x);
    r->flags |= AC__R_FRESH | AC__R_FRONT;
    ac__http_enqueue(r);
    ac__conn_close(n);
    ac__http_pump(r->client);
}

void ac__conn_fail(ac__conn *n, int err)
{
    ac_http_request *r     = n->request;
    bool             stale = r != NULL && is_stale(n, err);

    (void)detach(n);
    drop_kept(n);
    if (stale && ac__request_rewind(r) == 0 && (r->flags & AC__R_CLOSED) == 0) {
        r->client->stats.stale++;
        again(n, r);
        return;
    }
    ac__conn_close(n);
    if (r != NULL && (r->flags & AC__R_CLOSED) == 0) /* which rewinding the body may have done */
        ac__request_fail(r, err);
}

/* Sends the request once more: the server would not have Expect, or gave up an idle connection. */
void ac__conn_again(ac__conn *n)
{
    ac_http_request *r = detach(n);

    drop_kept(n);
    again(n, r);
}

void ac__conn_resume(ac__conn *n)
{
    n->stamp  = ac__now(n->client->loop);
    n->window = n->stamp;
    if (n->request != NULL && n->request->x != NULL)
        n->window_bytes = (int64_t)n->request->x->times.wire_bytes;
    (void)ac_resume(&n->base);
    if (!n->resumed)
        n->client->resumes++;
    n->resumed = true;
    ac__source_call(n->client->loop, &n->client->pump);
    ac__conn_arm(n);
}

/* --- slots -------------------------------------------------------------------------------- */

static ac__conn *self_of(ac_dispatcher *d)
{
    return AC_SELF(ac__conn, d);
}

/* When the name was known: at once, where it was an address. */
static void note_name(ac__conn *n)
{
    ac__exchange  *x = n->request->x;
    const ac__ext *e = n->base.ext_;

    if (x->phase == AC_HTTP_CONNECT)
        x->times.name = 0;
    else if (e != NULL && e->named_at > 0)
        x->times.name = e->named_at - x->started;
    if (x->times.name >= 0)
        x->phase = AC_HTTP_CONNECT;
}

static void conn_connect(ac_dispatcher *d)
{
    ac__conn     *n = self_of(d);
    ac__exchange *x;
    int           rc;

    if (n->request == NULL) {
        ac__conn_close(n);
        return;
    }
    x                = n->request->x;
    x->times.connect = ac__now(n->client->loop) - x->started;
    note_name(n);
    (void)ac_peername(d, &n->peer);
    x->times.peer = n->peer;
    rc            = send_head(n);
    if (rc < 0)
        ac__conn_fail(n, rc);
}

static void conn_read(ac_dispatcher *d)
{
    ac__conn   *n = self_of(d);
    const void *data;
    ssize_t     len = 0;

    if (n->kept_len > 0)
        ac__response_input(n, NULL, 0);
    while (ac_is_open(d) && n->kept_len == 0 && (d->flags_ & AC__PAUSED) == 0
           && (d->source_.ready & AC__READ) != 0) {
        bool dropped = (len = ac__bulk_drop(n)) > 0;

        if (len == 0)
            len = ac__bulk_read(n, &data);
        if (len <= 0)
            break;
        n->stamp = ac__now(n->client->loop);
        if (!dropped)
            ac__response_input(n, data, (size_t)len);
        ac__bulk_took(n, (size_t)len);
    }
    if (len == -ENOMEM && !n->gone) /* it would be asked for again and again */
        ac__conn_fail(n, -ENOMEM);
}

static void conn_write(ac_dispatcher *d)
{
    ac__conn     *n = self_of(d);
    ac__exchange *x;
    int           rc;

    if (n->request == NULL || n->state != AC__CONN_HEAD || n->expecting)
        return;
    x = n->request->x;
    if (!x->body_ended) {
        rc = ac__out_body(n);
        if (rc < 0) {
            ac__conn_fail(n, rc);
            return;
        }
    }
    if (n->request != NULL && n->request->x == x && x->body_ended && !n->sent && ac_queued(d) == 0)
        sent_whole(n);
}

/* The peer has shut its side: for a body until close that is its end. */
static void conn_eof(ac_dispatcher *d)
{
    ac__conn *n = self_of(d);

    if (n->request == NULL)
        ac__conn_close(n);
    else
        ac__response_ended(n, 1);
}

static void conn_error(ac_dispatcher *d, int err)
{
    ac__conn     *n = self_of(d);
    ac__exchange *x = n->request != NULL ? n->request->x : NULL;

    if (x != NULL && n->state == AC__CONN_CONNECTING)
        note_name(n);
    if (x != NULL && n->state == AC__CONN_CONNECTING && err != -ETIMEDOUT
        && ac__override_at(n->client, x->url.text + x->url.host.at, x->url.host.len, x->url.port,
                           n->next_addr)
               != NULL) {
        ac_http_request *r    = detach(n);
        size_t           next = n->next_addr;

        ac__list_remove(&r->link);
        ac__conn_close(n);
        start_new(r, next);
        return;
    }
    /* A name that is not known has cost the server nothing. */
    if (err == -AC_ENOTFOUND || err == -AC_EDNS || err == -AC_ENAME)
        n->client->next_start -= n->client->options.spacing;
    if (n->request == NULL)
        ac__conn_close(n);
    else
        ac__response_ended(n, err);
}

/* What was kept of a paused request may still be wanted: it is closed when that is used up. */
static void conn_close(ac_dispatcher *d)
{
    ac__conn *n = self_of(d);

    if (n->request == NULL)
        ac__conn_close(n);
}

static void conn_finalize(ac_dispatcher *d)
{
    ac__conn *n = self_of(d);

    ac_timer_stop(&n->timer);
    ac__conn_gone(n);
    ac__free(n->kept);
    if (n->request != NULL) { /* the loop is being freed */
        ac_http_request *r = detach(n);

        ac_http_fail(r, -AC_ECANCELED);
    }
}

static const ac_class conn_class = {
    .name           = "AsyncHTTP",
    .handle_connect = conn_connect,
    .handle_read    = conn_read,
    .handle_write   = conn_write,
    .handle_drain   = conn_write,
    .handle_eof     = conn_eof,
    .handle_error   = conn_error,
    .handle_close   = conn_close,
    .finalize       = conn_finalize,
};
