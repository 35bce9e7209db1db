/* SPDX-License-Identifier: MIT */
/*
 * The client: origins, the queue and the pool.
 *
 * Origins with something to start are in `ready`, and are served in turn. One that has used up its own
 * connections leaves the list until one of them is free, so a pump costs what it starts.
 */
#include "private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

static const ac_http_limits standard_limits = {
    .size           = sizeof(ac_http_limits),
    .head           = INT64_C(256) * 1024,
    .fields         = 500,
    .interims       = 16,
    .body           = AC_NO_LIMIT,
    .decoded        = AC_NO_LIMIT,
    .ratio          = 200,
    .connect        = 10 * AC_SECOND,
    .response       = 60 * AC_SECOND,
    .idle           = 60 * AC_SECOND,
    .total          = AC_NO_LIMIT,
    .low_speed      = 16,
    .low_speed_time = 60 * AC_SECOND,
};

void ac__limits_fill(ac_http_limits *to, const ac_http_limits *from)
{
#define FILL(member)                                                                               \
    if (to->member == 0)                                                                           \
    to->member = from->member
    FILL(head);
    FILL(fields);
    FILL(interims);
    FILL(body);
    FILL(decoded);
    FILL(ratio);
    FILL(connect);
    FILL(response);
    FILL(idle);
    FILL(total);
    FILL(low_speed);
    FILL(low_speed_time);
#undef FILL
}

/* --- origins ------------------------------------------------------------------------------ */

static uint32_t hash_of(const char *host, size_t len, uint16_t port)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)host[i]) * 16777619u;
    h = (h ^ (port & 0xff)) * 16777619u;
    return (h ^ (port >> 8)) * 16777619u;
}

static bool grow_table(ac_http_client *c)
{
    size_t       n     = c->buckets == 0 ? 64 : c->buckets * 2;
    ac__origin **table = ac__calloc(n * sizeof *table);

    if (table == NULL)
        return c->buckets > 0; /* longer chains are no failure */
    for (size_t i = 0; i < c->buckets; i++) {
        while (c->table[i] != NULL) {
            ac__origin *o = c->table[i];

            c->table[i]              = o->next;
            o->next                  = table[o->hash & (n - 1)];
            table[o->hash & (n - 1)] = o;
        }
    }
    ac__free(c->table);
    c->table   = table;
    c->buckets = n;
    return true;
}

ac__origin *ac__origin_get(ac_http_client *c, const ac_url *url)
{
    const char *host = url->text + url->host.at;
    size_t      len  = url->host.len;
    uint32_t    hash = hash_of(host, len, url->port);
    ac__origin *o;

    if (c->origins >= c->buckets && !grow_table(c))
        return NULL;
    for (o = c->table[hash & (c->buckets - 1)]; o != NULL; o = o->next)
        if (o->hash == hash && o->port == url->port && strlen(o->host) == len
            && memcmp(o->host, host, len) == 0)
            return o;
    o = ac__calloc(sizeof *o + len + 1);
    if (o == NULL)
        return NULL;
    o->client = c;
    o->hash   = hash;
    o->port   = url->port;
    memcpy(o->host, host, len);
    ac__list_init(&o->queue);
    ac__list_init(&o->idle);
    o->next                           = c->table[hash & (c->buckets - 1)];
    c->table[hash & (c->buckets - 1)] = o;
    c->origins++;
    return o;
}

void ac__origin_release(ac__origin *o)
{
    ac_http_client *c = o->client;
    ac__origin    **at;

    if (o->conns > 0 || o->users > 0)
        return;
    at = &c->table[o->hash & (c->buckets - 1)];
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    if (ac__linked(&o->ready))
        ac__list_remove(&o->ready);
    c->origins--;
    ac__free(o);
}

/* --- the queue ---------------------------------------------------------------------------- */

/* Puts an origin where the pump finds it, if it can start something. */
static void make_ready(ac__origin *o)
{
    if (ac__linked(&o->ready) || ac__list_empty(&o->queue))
        return;
    if (o->idle_count > 0 || o->conns < o->client->options.per_host)
        ac__list_append(&o->client->ready, &o->ready);
}

void ac__http_enqueue(ac_http_request *r)
{
    ac__origin *o = r->origin;

    if ((r->flags & AC__R_FRONT) != 0)
        ac__list_append(o->queue.next, &r->link); /* before the first */
    else
        ac__list_append(&o->queue, &r->link);
    r->client->stats.queued++;
    make_ready(o);
}

/* An idle connection that this request may use. */
static ac__conn *take_idle(ac__origin *o, const ac_http_request *r)
{
    ac_http_client *c = o->client;
    ac__conn       *n;

    if (o->idle_count == 0 || (r->flags & AC__R_FRESH) != 0)
        return NULL;
    n = AC__OF(ac__conn, link, o->idle.next);
    /* What must not be sent twice goes only where the connection was alive a moment ago. */
    if (!ac__request_repeatable(r) && ac__now(c->loop) - n->stamp > AC_SECOND)
        return NULL;
    ac__list_remove(&n->link);
    ac__list_remove(&n->lru);
    o->idle_count--;
    c->nidle--;
    return n;
}

/* Whether there is room for one more connection; the longest idle one makes way. */
static bool make_room(ac_http_client *c)
{
    if (c->nconns < c->options.max_connections)
        return true;
    if (c->nidle == 0)
        return false;
    ac__conn_close(AC__OF(ac__conn, lru, c->idle.next));
    return c->nconns < c->options.max_connections;
}

/* Starts one request of an origin. Returns whether it could. */
static bool start_one(ac__origin *o)
{
    ac_http_request *r = AC__OF(ac_http_request, link, o->queue.next);
    ac__conn        *n = take_idle(o, r);

    if (n == NULL && o->conns >= o->client->options.per_host) {
        if (o->idle_count == 0)
            return false;
        /* Idle ones that this request must not use are in its way. */
        ac__conn_close(AC__OF(ac__conn, link, o->idle.prev));
    }
    if (n == NULL && !make_room(o->client))
        return false;
    ac__list_remove(&r->link);
    o->client->stats.queued--;
    ac__conn_start(n, r);
    return true;
}

static void spacer_fired(ac_timer *t)
{
    ac__http_pump(AC_CONTAINER(ac_http_client, spacer, t));
}

/* Whether the spacing of requests lets one begin now; else a timer comes back to it. */
static bool may_start(ac_http_client *c)
{
    if (c->options.spacing <= 0 || ac__now(c->loop) >= c->next_start)
        return true;
    if (!ac_timer_running(&c->spacer))
        (void)ac_timer_start(&c->spacer, c->next_start - ac__now(c->loop));
    return false;
}

void ac__http_pump(ac_http_client *c)
{
    if (c->ended || c->pumping)
        return;
    c->pumping = true;
    while (!ac__list_empty(&c->ready) && may_start(c)) {
        ac__origin *o = AC__OF(ac__origin, ready, c->ready.next);

        if (!start_one(o)) {
            if (o->conns < c->options.per_host || o->idle_count > 0)
                break; /* no room in all: as it was, until a connection is gone */
            ac__list_remove(&o->ready);
            continue;
        }
        if (c->options.spacing > 0)
            c->next_start = (c->next_start > ac__now(c->loop) ? c->next_start : ac__now(c->loop))
                            + c->options.spacing;
        ac__list_remove(&o->ready); /* the others have their turn first */
        make_ready(o);
    }
    c->pumping = false;
}

/* --- the pool ----------------------------------------------------------------------------- */

void ac__conn_idle(ac__conn *n)
{
    ac_http_client *c = n->client;
    ac__origin     *o = n->origin;

    n->state = AC__CONN_IDLE;
    n->stamp = ac__now(c->loop);
    if (ac__list_empty(&o->queue)
        && (o->idle_count >= c->options.idle_per_host || c->nidle >= c->options.max_idle)) {
        ac__conn_close(n);
        return;
    }
    /* At the front: the connection used last is the one most surely alive. */
    ac__list_append(o->idle.next, &n->link);
    ac__list_append(&c->idle, &n->lru);
    o->idle_count++;
    c->nidle++;
    make_ready(o);
    ac__http_pump(c);
    if (!n->gone && n->state == AC__CONN_IDLE)
        ac__conn_arm(n);
}

void ac__conn_gone(ac__conn *n)
{
    ac_http_client *c = n->client;
    ac__origin     *o = n->origin;

    if (n->gone)
        return;
    n->gone = true;
    ac_timer_stop(&n->timer); /* it is finalized later, perhaps when the client is gone */
    if (ac__linked(&n->link)) {
        ac__list_remove(&n->link);
        ac__list_remove(&n->lru);
        o->idle_count--;
        c->nidle--;
    }
    ac__list_remove(&n->all);
    c->nconns--;
    o->conns--;
    make_ready(o);
    ac__origin_release(o);
    ac__http_pump(c);
}

/* --- what the loop calls ------------------------------------------------------------------- */

static void pump_update(ac_loop *loop, ac__source *s)
{
    (void)loop;
    s->want = 0;
}

/* Goes on with requests that were paused. Each step may close any connection. */
static void resume_some(ac_http_client *c)
{
    while (c->resumes > 0) {
        ac__link *n = c->conns.next;

        while (n != &c->conns && !AC__OF(ac__conn, all, n)->resumed)
            n = n->next;
        c->resumes--;
        if (n == &c->conns)
            continue; /* closed since */
        AC__OF(ac__conn, all, n)->resumed = false;
        ac__response_input(AC__OF(ac__conn, all, n), NULL, 0);
    }
}

/* Tells the requests that failed before they could begin. */
static void pump_serve(ac_loop *loop, ac__source *s, unsigned due)
{
    ac_http_client *c = AC__OF(ac_http_client, pump, s);
    ac__link        batch;

    (void)loop, (void)due;
    ac__list_take(&batch, &c->failed);
    while (!ac__list_empty(&batch)) {
        ac_http_request *r = AC__OF(ac_http_request, link, batch.next);

        ac__request_fail(r, r->err);
    }
    resume_some(c);
    ac__http_pump(c);
}

static void no_serve(ac_loop *loop, ac__source *s, unsigned due)
{
    (void)loop, (void)s, (void)due;
}

static void no_reap(ac_loop *loop, ac__source *s)
{
    (void)loop;
    (void)s;
}

/* Gives `close` to the requests that were closed in this turn, unless their consumer has moved. */
static void end_closed(ac_http_client *c)
{
    while (!ac__list_empty(&c->ending)) {
        ac_http_request *r = AC__OF(ac_http_request, link, c->ending.next);

        ac__request_end(r, r->err);
    }
}

static void ender_reap(ac_loop *loop, ac__source *s)
{
    (void)loop;
    end_closed(AC__OF(ac_http_client, ender, s));
}

static void close_requests(ac__link *list)
{
    while (!ac__list_empty(list))
        ac_http_close(AC__OF(ac_http_request, link, list->next));
}

/* Cancels all: the queues, what is under way, what has failed. */
static void close_all(ac_http_client *c)
{
    c->ended = true;
    for (size_t i = 0; i < c->buckets; i++) {
        ac__origin *o = c->table[i];

        while (o != NULL) {
            ac__origin *next;

            o->users++; /* not freed while its queue is emptied */
            close_requests(&o->queue);
            next = o->next;
            o->users--;
            ac__origin_release(o);
            o = next;
        }
    }
    ac_timer_stop(&c->spacer);
    close_requests(&c->active);
    close_requests(&c->failed);
    while (!ac__list_empty(&c->conns))
        ac__conn_close(AC__OF(ac__conn, all, c->conns.next));
    if (ac__linked(&c->pump.work))
        ac__list_remove(&c->pump.work);
    if (ac__linked(&c->ender.work))
        ac__list_remove(&c->ender.work);
    end_closed(c);
}

/* The loop is being freed before the client. */
static void loop_ends(ac_loop *loop, ac__source *s)
{
    (void)loop;
    close_all(AC__OF(ac_http_client, pump, s));
}

static const ac__source_ops pump_ops = {
    .update = pump_update, .serve = pump_serve, .reap = no_reap, .end = loop_ends};
static const ac__source_ops ender_ops = {
    .update = pump_update, .serve = no_serve, .reap = ender_reap, .end = no_reap};

void ac__http_end_later(ac_http_client *c)
{
    if (!ac__linked(&c->ender.work))
        ac__source_reap(c->loop, &c->ender);
}

/* --- life --------------------------------------------------------------------------------- */

ac_http_client *ac_http_client_new(ac_loop *loop, const ac_http_options *options)
{
    ac_http_options o = {.size = sizeof o};
    ac_http_client *c;

    if (ac__loop_check(loop) < 0 || (c = ac__calloc(sizeof *c)) == NULL)
        return NULL;
    if (options != NULL)
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    c->user_agent = ac__strdup(o.user_agent != NULL ? o.user_agent : "asyncore/" AC_VERSION);
    if (c->user_agent == NULL) {
        ac__free(c);
        return NULL;
    }
    if (o.max_connections == 0)
        o.max_connections = 256;
    if (o.per_host == 0)
        o.per_host = 6;
    if (o.max_idle == 0)
        o.max_idle = 256;
    if (o.idle_per_host == 0)
        o.idle_per_host = 8;
    if (o.idle_time == 0)
        o.idle_time = 60 * AC_SECOND;
    ac__limits_fill(&o.limits, &standard_limits);
    c->loop    = loop;
    c->options = o;
    ac__source_init(&c->pump, &pump_ops);
    ac__source_init(&c->ender, &ender_ops);
    ac__list_init(&c->ready);
    ac__list_init(&c->active);
    ac__list_init(&c->failed);
    ac__list_init(&c->ending);
    ac__list_init(&c->conns);
    ac__list_init(&c->idle);
    ac__source_join(loop, &c->pump);
    ac__timer_init(&c->spacer, loop, spacer_fired);
    return c;
}

int ac_http_client_free(ac_http_client *c)
{
    if (c == NULL)
        return 0;
    if (!c->ended) {
        if (c->loop->level > 0)
            return -EBUSY;
        c->loop->level = 1; /* `close` of consumers are callbacks */
        close_all(c);
        c->loop->level = 0;
        ac__source_leave(c->loop, &c->pump);
    }
    while (c->spare != NULL) {
        ac__exchange *x = c->spare;

        c->spare = x->next;
        ac__free(x);
    }
    while (c->overrides != NULL) {
        ac__override *o = c->overrides;

        c->overrides = o->next;
        ac__free(o);
    }
    ac__free(c->table);
    ac__free(c->out);
    ac__free(c->wide);
    ac__free(c->scratch);
    ac__free(c->user_agent);
    ac__free(c);
    return 0;
}

ac_loop *ac_http_client_loop(const ac_http_client *c)
{
    return c != NULL ? c->loop : NULL;
}

int ac_http_client_get_stats(const ac_http_client *c, ac_http_stats *out)
{
    ac_http_stats now;
    size_t        size;

    if (c == NULL || out == NULL || out->size < sizeof out->size)
        return -EINVAL;
    size     = out->size;
    now      = c->stats;
    now.size = size;
    now.open = c->nconns;
    now.idle = c->nidle;
    memcpy(out, &now, size < sizeof now ? size : sizeof now);
    return 0;
}

/* --- names that the caller answers ------------------------------------------------------------ */

int ac_http_client_resolve(ac_http_client *c, const char *host, uint16_t port, const char *address)
{
    ac__override **at;
    ac__override  *o;
    ac_addr        addr, literal;
    char          *text;
    ac_url         url = {.text = NULL};
    int            rc;

    if (c == NULL || host == NULL || address == NULL)
        return -EINVAL;
    if (ac_addr_ip(&literal, host, 0) == 0 || ac_addr_ip(&addr, address, port) < 0)
        return -AC_ENAME;
    /* The URL parser knows how a host is written. */
    text = ac__alloc(strlen(host) + sizeof "http:///");
    if (text == NULL)
        return -ENOMEM;
    memcpy(text, "http://", 7);
    memcpy(text + 7, host, strlen(host) + 1);
    rc = ac_url_parse(&url, text, strlen(text), NULL);
    ac__free(text);
    if (rc < 0)
        return rc == -ENOMEM ? rc : -AC_ENAME;
    if (url.host.len + strlen("http:///") != url.len) {
        ac_url_free(&url);
        return -AC_ENAME;
    }
    o = ac__calloc(sizeof *o + url.host.len + 1);
    if (o != NULL) {
        o->addr = addr;
        o->port = port;
        memcpy(o->host, url.text + url.host.at, url.host.len);
        for (at = &c->overrides; *at != NULL; at = &(*at)->next)
            continue;
        *at = o;
    }
    ac_url_free(&url);
    return o != NULL ? 0 : -ENOMEM;
}

const ac_addr *ac__override_at(ac_http_client *c, const char *host, size_t len, uint16_t port,
                               size_t n)
{
    for (ac__override *o = c->overrides; o != NULL; o = o->next)
        if (o->port == port && strlen(o->host) == len && memcmp(o->host, host, len) == 0
            && n-- == 0)
            return &o->addr;
    return NULL;
}
