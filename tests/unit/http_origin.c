/* SPDX-License-Identifier: MIT */
/* See http_origin.h. */
#include "http_origin.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <time.h>

static char **texts;
static size_t text_count;

/* --- text ------------------------------------------------------------------------------------- */

static void append(char **buf, size_t *len, const void *data, size_t n)
{
    *buf = realloc(*buf, *len + n + 1);
    assert_non_null(*buf);
    memcpy(*buf + *len, data, n);
    *len += n;
    (*buf)[*len] = '\0';
}

/* The next {A} or {B}, or the end. */
static const char *next_name(const char *at, const char *end)
{
    while ((at = memchr(at, '{', (size_t)(end - at))) != NULL && at < end) {
        if (end - at >= 3 && (at[1] == 'A' || at[1] == 'B') && at[2] == '}')
            return at;
        at++;
    }
    return end;
}

/* Adds to what a connection is to send, with the names of the origins in their places. */
static void add_out(struct origin *o, struct o_conn *n, const char *data, size_t len)
{
    const char *end = data + len;

    while (data < end) {
        const char *at = next_name(data, end);

        append(&n->out, &n->out_len, data, (size_t)(at - data));
        if (at < end) {
            const char *name = at[1] == 'A' ? o->world->a.name : o->world->b.name;

            append(&n->out, &n->out_len, name, strlen(name));
            at += 3;
        }
        data = at;
    }
}

const char *o_field(const struct o_request *q, const char *name)
{
    static char value[512];
    size_t      len = strlen(name);
    const char *at  = q->head;

    while ((at = strstr(at, "\r\n")) != NULL) {
        at += 2;
        if (strncasecmp(at, name, len) == 0 && at[len] == ':') {
            size_t n = strcspn(at += len + 1 + (at[len + 1] == ' '), "\r");

            assert_true(n < sizeof value);
            memcpy(value, at, n);
            value[n] = '\0';
            return value;
        }
    }
    return NULL;
}

/* --- requests --------------------------------------------------------------------------------- */

/* Takes chunks from `at`; returns the bytes used up when they are whole, else 0. */
static size_t take_chunks(struct o_request *q, const char *at, size_t len)
{
    const char *from = at, *end = at + len;
    char       *body  = NULL;
    size_t      total = 0;

    for (;;) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        size_t      size;

        if (lf == NULL)
            break;
        size = strtoul(at, NULL, 16);
        at   = lf + 1;
        if ((size_t)(end - at) < size + 2)
            break;
        append(&body, &total, at, size);
        at += size + 2;
        if (size > 0)
            continue;
        q->body     = body;
        q->body_len = total;
        return (size_t)(at - from);
    }
    free(body);
    return 0;
}

/* Whether the body of the request that was recorded last is there now. */
static bool take_body(struct o_conn *n, struct o_request *q)
{
    const char *at   = n->in + n->taken + q->head_len, *value;
    size_t      have = n->in_len - n->taken - q->head_len, used = 0;

    value = o_field(q, "Transfer-Encoding");
    if (value != NULL) {
        q->chunked = true;
        used       = take_chunks(q, at, have);
        if (used == 0)
            return false;
    } else {
        value = o_field(q, "Content-Length");
        used  = value != NULL ? strtoul(value, NULL, 10) : 0;
        if (have < used)
            return false;
        append(&q->body, &q->body_len, at, used);
    }
    q->whole = true;
    n->taken += q->head_len + used;
    return true;
}

static const struct o_reply *reply_to(struct origin *o, unsigned request)
{
    if (request < o->reply_count)
        return &o->replies[request];
    if (o->repeat && o->reply_count > 0)
        return &o->replies[o->reply_count - 1];
    o->unanswered = true;
    return NULL;
}

static void answer(struct origin *o, struct o_conn *n, const struct o_reply *r)
{
    if (r == NULL)
        return;
    if ((r->flags & O_DEAF) != 0)
        n->deaf = true;
    if ((r->flags & O_MUTE) == 0)
        add_out(o, n, r->data, r->len);
    n->end = r->end;
}

/* The index of the request whose body a connection waits for: its latest. */
static struct o_request *latest(struct origin *o, unsigned conn)
{
    unsigned i = o->request_count;

    while (i-- > 0)
        if (o->requests[i].conn == conn)
            return &o->requests[i];
    return NULL;
}

/* Records the next request of a connection. Returns whether there was one. */
static bool take_request(struct origin *o, unsigned conn)
{
    struct o_conn        *n = o->conns[conn];
    struct o_request     *q;
    const struct o_reply *r;
    const char           *end;
    unsigned              number;

    if (!n->at_body) {
        if (n->in_len == n->taken)
            return false;
        end = memmem(n->in + n->taken, n->in_len - n->taken, "\r\n\r\n", 4);
        if (end == NULL)
            return false;
        o->requests = realloc(o->requests, (o->request_count + 1) * sizeof *o->requests);
        assert_non_null(o->requests);
        q  = &o->requests[o->request_count];
        *q = (struct o_request){.conn = conn};
        append(&q->head, &q->head_len, n->in + n->taken, (size_t)(end + 4 - n->in) - n->taken);
        r = reply_to(o, o->request_count++);
        if (r != NULL && r->early != NULL)
            add_out(o, n, r->early, strlen(r->early));
        if (r != NULL && (r->flags & O_EARLY) != 0)
            answer(o, n, r);
        n->at_body = true;
    }
    q = latest(o, conn);
    if (q == NULL)
        return false;
    number = (unsigned)(q - o->requests);
    if (!take_body(n, q))
        return false;
    n->at_body = false;
    r          = reply_to(o, number);
    if (r != NULL && (r->flags & O_EARLY) == 0)
        answer(o, n, r);
    return true;
}

/* --- connections ------------------------------------------------------------------------------ */

static void conn_gone(struct origin *o, struct o_conn *n, bool reset)
{
    if (n->fd < 0)
        return;
    if (reset)
        h_reset(n->fd);
    else
        close(n->fd);
    n->fd = -1;
    o->open_count--;
}

static bool accept_all(struct origin *o)
{
    bool any = false;
    int  fd, one = 1;

    while (!o->deaf && (fd = accept4(o->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct o_conn *n = calloc(1, sizeof *n);

        assert_non_null(n);
        n->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        o->conns = realloc(o->conns, (o->conn_count + 1) * sizeof *o->conns);
        assert_non_null(o->conns);
        o->conns[o->conn_count++] = n;
        o->open_count++;
        if (o->greeted)
            answer(o, n, reply_to(o, 0));
        any = true;
    }
    return any;
}

static bool read_conn(struct o_conn *n)
{
    char    buf[65536];
    ssize_t len;
    bool    any = false;

    while (n->fd >= 0 && !n->deaf && !n->ended) {
        len = recv(n->fd, buf, sizeof buf, 0);
        if (len < 0 && errno == EAGAIN)
            break;
        any = true;
        if (len <= 0) {
            n->ended = true;
            break;
        }
        if (n->in_len + (size_t)len + 1 > n->in_cap) {
            n->in_cap = 2 * (n->in_len + (size_t)len + 1);
            n->in     = realloc(n->in, n->in_cap);
            assert_non_null(n->in);
        }
        memcpy(n->in + n->in_len, buf, (size_t)len);
        n->in_len += (size_t)len;
        n->received += (size_t)len;
    }
    return any;
}

static bool write_conn(struct origin *o, struct o_conn *n)
{
    size_t  left = n->out_len - n->out_at, len = o->cut > 0 && left > o->cut ? o->cut : left;
    ssize_t sent;
    bool    any = false;

    if (n->fd < 0)
        return false;
    if (len > 0 && !n->shut) {
        sent = send(n->fd, n->out + n->out_at, len, MSG_NOSIGNAL);
        if (sent > 0) {
            n->out_at += (size_t)sent;
            n->sent += (size_t)sent;
            any = true;
        } else if (errno != EAGAIN) {
            n->ended = true;
        }
    }
    if (n->out_at == n->out_len && n->end != O_STAY && !n->shut) {
        n->shut = true;
        if (n->end == O_RST)
            conn_gone(o, n, true);
        else
            shutdown(n->fd, SHUT_WR);
        any = true;
    }
    if (n->ended) {
        conn_gone(o, n, false);
        any = true;
    }
    return any;
}

void o_push(struct origin *o, unsigned conn, const char *data, size_t len, enum o_end end)
{
    add_out(o, o->conns[conn], data, len);
    o->conns[conn]->end = end;
}

static bool o_step(struct origin *o)
{
    bool any = accept_all(o);

    for (unsigned i = 0; i < o->conn_count; i++) {
        if (o->conns[i]->fd < 0)
            continue;
        any |= read_conn(o->conns[i]);
        while (take_request(o, i))
            any = true;
        any |= write_conn(o, o->conns[i]);
    }
    return any;
}

/* Finding a free port is slow where many were used a moment ago: the worlds share two listeners. */
static struct {
    int     fd;
    ac_addr addr;
} listeners[2];

static void o_open(struct origin *o, struct world *w)
{
    *o          = (struct origin){.world = w};
    o->listener = listeners[o == &w->b].fd;
    o->addr     = listeners[o == &w->b].addr;
    snprintf(o->name, sizeof o->name, "127.0.0.1:%u", ac_addr_port(&o->addr));
}

static void o_close(struct origin *o)
{
    o->deaf = o->greeted = false;
    accept_all(o);
    for (unsigned i = 0; i < o->conn_count; i++) {
        conn_gone(o, o->conns[i], true);
        free(o->conns[i]->in);
        free(o->conns[i]->out);
        free(o->conns[i]);
    }
    for (unsigned i = 0; i < o->request_count; i++) {
        free(o->requests[i].head);
        free(o->requests[i].body);
    }
    free(o->conns);
    free(o->requests);
}

/* --- the world -------------------------------------------------------------------------------- */

int o_setup(void **state)
{
    int rc;

    for (int i = 0; i < 2; i++) {
        if (listeners[i].fd > 0)
            continue;
        listeners[i].fd = h_raw_listen(&listeners[i].addr, "127.0.0.1", 1024);
        assert_int_equal(fcntl(listeners[i].fd, F_SETFL, O_NONBLOCK), 0);
    }
    rc = h_setup(state);
    if (rc != 0)
        return rc;
    ac_loop_free(*state);
    *state = ac_loop_new();
    return *state == NULL ? -1 : 0;
}

void w_open(struct world *w, ac_loop *loop, const ac_http_options *options)
{
    *w = (struct world){.loop = loop};
    o_open(&w->a, w);
    o_open(&w->b, w);
    w->client = ac_http_client_new(loop, options);
    assert_non_null(w->client);
}

void w_close(struct world *w)
{
    bool ok;

    assert_int_equal(ac_http_client_free(w->client), 0);
    o_close(&w->a);
    o_close(&w->b);
    ok = s_release();
    while (text_count > 0)
        free(texts[--text_count]);
    free(texts);
    texts = NULL;
    assert_true(ok);
}

char *w_text(struct world *w, size_t len)
{
    char *text = calloc(1, len + 1);

    (void)w;
    assert_non_null(text);
    texts = realloc(texts, (text_count + 1) * sizeof *texts);
    assert_non_null(texts);
    texts[text_count++] = text;
    return text;
}

void w_turn(struct world *w, struct h_bound *b, const char *file, int line)
{
    bool any = o_step(&w->a);
    int  rc;

    any |= o_step(&w->b);
    rc = ac_loop_turn(w->loop, any ? 0 : AC_MILLISECOND);
    if (rc < 0) {
        print_error("ac_loop_turn: %s\n", ac_errname(rc));
        _fail(file, line);
    }
    if (b->turns-- == 0 || h_now() > b->end) {
        print_error("waited too long\n");
        _fail(file, line);
    }
}

void w_settle(struct world *w)
{
    int64_t end = h_now() + 10 * AC_SECOND;

    for (int still = 0; still < 3;) {
        bool any = o_step(&w->a);
        int  rc;

        any |= o_step(&w->b);
        rc = ac_loop_turn(w->loop, 0);
        assert_true(rc >= 0);
        still = any || rc > 0 ? 0 : still + 1;
        assert_true(h_now() < end);
    }
}

const char *w_url(const struct origin *o, const char *path)
{
    static char     urls[4][512];
    static unsigned next;
    char           *url = urls[next++ % 4];

    snprintf(url, sizeof urls[0], "http://%s%s", o->name, path);
    return url;
}
