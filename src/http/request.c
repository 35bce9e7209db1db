/* SPDX-License-Identifier: MIT */
/* The life of a request: issued, closed, failed, ended. */
#include "private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

/* --- arguments ---------------------------------------------------------------------------- */

/* Copies what is more than a plain GET into one block. NULL: out of memory. */
static ac__args *copy_args(const ac_http_args *from)
{
    size_t    need = sizeof(ac__args) + from->field_count * sizeof(ac_http_field);
    ac__args *a;
    char     *at;

    need += from->method != NULL ? strlen(from->method) + 1 : 0;
    for (size_t i = 0; i < from->field_count; i++)
        need += from->fields[i].name_len + 2
                + (from->fields[i].value != NULL ? from->fields[i].value_len : 0);
    a = ac__calloc(need);
    if (a == NULL)
        return NULL;
    a->fields      = (ac_http_field *)(void *)(a + 1);
    a->field_count = from->field_count;
    a->raw         = from->raw;
    a->keep_empty  = from->keep_empty;
    at             = (char *)(a->fields + from->field_count);
    for (size_t i = 0; i < from->field_count; i++) {
        const ac_http_field *f = &from->fields[i];
        ac_http_field       *t = &a->fields[i];

        *t = (ac_http_field){at, NULL, f->name_len, 0};
        memcpy(at, f->name, f->name_len);
        at += f->name_len + 1;
        if (f->value == NULL)
            continue;
        t->value     = at;
        t->value_len = f->value_len;
        memcpy(at, f->value, f->value_len);
        at += f->value_len + 1;
    }
    if (from->method != NULL) {
        a->method = at;
        memcpy(at, from->method, strlen(from->method) + 1);
    }
    if (from->body != NULL) {
        a->has_body = true;
        a->body     = *from->body;
    }
    if (from->limits != NULL) {
        a->has_limits = true;
        memcpy(&a->limits, from->limits,
               from->limits->size < sizeof a->limits ? from->limits->size : sizeof a->limits);
    }
    return a;
}

static bool is_plain(const ac_http_args *a)
{
    return (a->method == NULL || strcmp(a->method, "GET") == 0) && a->field_count == 0
           && a->body == NULL && a->limits == NULL && !a->raw && !a->keep_empty;
}

const char *ac__request_method(const ac_http_request *r)
{
    if (r->args == NULL)
        return "GET";
    if (r->args->method != NULL)
        return r->args->method;
    return r->args->has_body ? "POST" : "GET";
}

bool ac__request_repeatable(const ac_http_request *r)
{
    static const char *const idempotent[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    const char              *method       = ac__request_method(r);

    if (r->args != NULL && r->args->has_body && r->args->body.data == NULL && r->args->body.len != 0
        && r->args->body.rewind == NULL)
        return false;
    for (size_t i = 0; i < sizeof idempotent / sizeof idempotent[0]; i++)
        if (strcmp(method, idempotent[i]) == 0)
            return true;
    return false;
}

int ac__request_rewind(ac_http_request *r)
{
    const ac_http_body *b = r->args != NULL && r->args->has_body ? &r->args->body : NULL;

    if (b == NULL || b->more == NULL)
        return 0;
    return b->rewind != NULL ? b->rewind(b->context) : -ENOTSUP;
}

/* --- exchanges ---------------------------------------------------------------------------- */

ac__exchange *ac__exchange_new(ac_http_request *r)
{
    ac_http_client *c = r->client;
    ac__exchange   *x = c->spare;

    if (x != NULL) {
        c->spare = x->next;
        c->nspare--;
    } else if ((x = ac__alloc(sizeof *x)) == NULL) {
        return NULL;
    }
    memset(x, 0, offsetof(ac__exchange, inline_fields));
    x->request   = r;
    x->fields    = x->inline_fields;
    x->field_cap = AC__INLINE_FIELDS;
    x->block     = x->inline_block;
    x->block_cap = AC__INLINE_HEAD;
    x->limits    = c->options.limits;
    if (r->args != NULL && r->args->has_limits) {
        x->limits = r->args->limits;
        ac__limits_fill(&x->limits, &c->options.limits);
    }
    if (x->limits.fields >= 0 && x->limits.fields < (int64_t)x->field_cap)
        x->field_cap = (uint32_t)x->limits.fields;
    x->raw     = c->options.raw || (r->args != NULL && r->args->raw);
    x->started = ac__now(c->loop);
    x->times   = (ac_http_times){.queued     = x->started - r->created,
                                 .name       = -1,
                                 .connect    = -1,
                                 .sent       = -1,
                                 .first_byte = -1,
                                 .total      = -1,
                                 .length     = -1};
    if (ac_url_parse(&x->url, r->url, strlen(r->url), NULL) < 0) { /* it was one: out of memory */
        ac__exchange_free(x);
        return NULL;
    }
    ac__head_init(&x->head, x->fields, x->field_cap, false);
    c->stats.active++;
    r->x = x;
    return x;
}

void ac__exchange_free(ac__exchange *x)
{
    ac_http_client *c = x->request->client;

    if (x->request->x == x)
        c->stats.active--;
    x->request->x = NULL;
    ac_url_free(&x->url);
    for (size_t i = 0; i < AC__CODINGS; i++)
        ac__decoder_free(x->decoders[i]);
    if (x->fields != x->inline_fields)
        ac__free(x->fields);
    if (x->block != x->inline_block)
        ac__free(x->block);
    ac__free(x->mid);
    while (x->joined != NULL) {
        struct ac__joined *j = x->joined;

        x->joined = j->next;
        ac__free(j);
    }
    for (unsigned i = 0; i < x->told_count; i++)
        ac__free(x->told[i]);
    ac__free(x->location);
    ac__free(x->public_url);
    if (c->nspare >= 64 && c->nspare >= c->nconns) {
        ac__free(x);
        return;
    }
    x->next  = c->spare;
    c->spare = x;
    c->nspare++;
}

/* --- issuing ------------------------------------------------------------------------------ */

/* To be told later, from the loop. */
static void fail_later(ac_http_request *r, int err)
{
    r->err = err;
    ac__list_append(&r->client->failed, &r->link);
    ac__source_call(r->client->loop, &r->client->pump);
}

/* Makes a request of a parsed URL, or of none with the text as it was given. */
static ac_http_request *make(ac_http_client *c, const ac_url *url, const char *text)
{
    size_t           len = strlen(text);
    ac_http_request *r   = ac__alloc(sizeof *r + len + 1);

    if (r == NULL)
        return NULL;
    *r = (ac_http_request){.client = c};
    memcpy(r->url, text, len + 1);
    if (url == NULL)
        return r;
    r->origin = ac__origin_get(c, url);
    if (r->origin == NULL) {
        ac__free(r);
        return NULL;
    }
    r->origin->users++;
    return r;
}

/* Whether a consumer can be given to a request; one whose request was closed leaves it. */
static bool is_free(ac_consumer *consumer)
{
    ac_http_request *old = consumer->request;

    return old == NULL || (old->flags & AC__R_CLOSED) != 0;
}

static void take_consumer(ac_http_request *r, ac_consumer *consumer)
{
    /* One that stands behind another consumer is not the request's own: that one closes it. */
    if (consumer->request != NULL && consumer->request->consumer == consumer)
        consumer->request->consumer = NULL;
    consumer->request = r;
    r->consumer       = consumer;
}

int ac__http_send(ac_http_client *c, const ac_http_args *given, ac_consumer *consumer,
                  ac_http_request **request, uint32_t flags)
{
    ac_http_args     args = {.size = sizeof args};
    ac_http_request *r;
    ac_url           url = {.text = NULL};
    int              rc;

    if (request != NULL)
        *request = NULL;
    if (c == NULL || c->ended || given == NULL || consumer == NULL)
        return -EINVAL;
    memcpy(&args, given, given->size < sizeof args ? given->size : sizeof args);
    rc = ac__loop_check(c->loop);
    if (rc == 0)
        rc = ac__out_check(&args);
    if (rc == 0 && !is_free(consumer))
        rc = -EBUSY;
    if (rc < 0)
        return rc;
    rc = ac_url_parse(&url, args.url, strlen(args.url), NULL);
    if (rc == -ENOMEM)
        return rc;
    if (rc == 0 && url.secure)
        rc = -AC_EURL;
    r = make(c, rc == 0 ? &url : NULL, rc == 0 ? url.text : args.url);
    ac_url_free(&url);
    if (r == NULL)
        return -ENOMEM;
    if (!is_plain(&args) && (r->args = copy_args(&args)) == NULL) {
        if (r->origin != NULL) {
            r->origin->users--;
            ac__origin_release(r->origin);
        }
        ac__free(r);
        return -ENOMEM;
    }
    if (c->loop->level == 0)
        ac_loop_update(c->loop);
    r->created = ac__now(c->loop);
    r->flags   = flags;
    take_consumer(r, consumer);
    ac__keep(c->loop);
    c->stats.requests++;
    if (rc < 0) {
        fail_later(r, rc);
    } else {
        ac__http_enqueue(r);
        /* What is left of a followed response may be here already, and its connection free soon. */
        if ((flags & AC__R_FRONT) != 0)
            ac__source_call(c->loop, &c->pump);
        else
            ac__http_pump(c);
    }
    if (request != NULL)
        *request = r;
    return 0;
}

int ac_http_send(ac_http_client *client, const ac_http_args *args, ac_consumer *consumer,
                 ac_http_request **request)
{
    return ac__http_send(client, args, consumer, request, 0);
}

int ac_http_get(ac_http_client *client, const char *url, ac_consumer *consumer)
{
    ac_http_args args = {.size = sizeof args, .url = url};

    return ac__http_send(client, &args, consumer, NULL, 0);
}

/* --- closing ------------------------------------------------------------------------------ */

/* Takes a request out of the list that it is in. */
static void leave(ac_http_request *r)
{
    if (!ac__linked(&r->link))
        return;
    if (r->origin != NULL && r->x == NULL && (r->flags & AC__R_CLOSED) == 0 && r->err == 0)
        r->client->stats.queued--;
    ac__list_remove(&r->link);
}

static void close_it(ac_http_request *r, int err, bool drain)
{
    if (r == NULL || (r->flags & (AC__R_CLOSED | AC__R_ENDING)) != 0)
        return;
    leave(r);
    r->flags |= AC__R_CLOSED;
    r->err = err;
    if (r->x != NULL && r->x->conn != NULL) {
        ac__conn *n = r->x->conn;

        r->x->conn = NULL;
        ac__conn_abandon(n, drain);
    }
    ac__list_append(&r->client->ending, &r->link);
    if (!r->client->ended)
        ac__http_end_later(r->client);
}

void ac_http_close(ac_http_request *r)
{
    close_it(r, -AC_ECANCELED, false);
}

void ac_http_fail(ac_http_request *r, int err)
{
    close_it(r, err == 0 ? -AC_ECANCELED : err > 0 ? -err : err, false);
}

void ac__http_close_drain(ac_http_request *r, int err)
{
    close_it(r, err, true);
}

void ac__request_fail(ac_http_request *r, int err)
{
    leave(r);
    r->err = err;
    ac__list_append(&r->client->active, &r->link); /* so that a close from within finds it */
    if ((r->flags & AC__R_HEADER) == 0 && r->consumer != NULL) {
        r->flags |= AC__R_HEADER;
        r->client->loop->stats.callbacks++;
        ac_consumer_header(r->consumer, r);
        if ((r->flags & AC__R_CLOSED) != 0)
            return; /* its close comes at the end of the turn */
    }
    ac__request_end(r, err);
}

void ac__request_end(ac_http_request *r, int err)
{
    ac_http_client *c  = r->client;
    ac_consumer    *to = r->consumer;

    if (ac__linked(&r->link))
        ac__list_remove(&r->link);
    r->flags |= AC__R_ENDING;
    r->err = err;
    if (r->x != NULL) {
        if (r->x->conn != NULL) {
            r->x->conn->request = NULL;
            r->x->conn          = NULL;
        }
        r->x->times.total = ac__now(c->loop) - r->x->started;
        if (err == 0)
            r->x->phase = AC_HTTP_DONE;
    }
    if (to != NULL && to->request == r) {
        c->loop->stats.callbacks++;
        ac_consumer_close(to, err);
    }
    if (r->x != NULL)
        ac__exchange_free(r->x);
    ac__unkeep(c->loop);
    if (r->origin != NULL) {
        r->origin->users--;
        ac__origin_release(r->origin);
    }
    ac__free(r->args);
    ac__free(r);
}

/* --- holding back --------------------------------------------------------------------------- */

int ac_http_pause(ac_http_request *r)
{
    if (r == NULL || (r->flags & (AC__R_CLOSED | AC__R_ENDING)) != 0)
        return -EBADF;
    r->flags |= AC__R_PAUSED;
    if (r->x != NULL && r->x->conn != NULL) {
        ac__bulk_off(r->x->conn);
        (void)ac_pause(&r->x->conn->base);
    }
    return 0;
}

int ac_http_resume(ac_http_request *r)
{
    if (r == NULL || (r->flags & (AC__R_CLOSED | AC__R_ENDING)) != 0)
        return -EBADF;
    if ((r->flags & AC__R_PAUSED) == 0)
        return 0;
    r->flags &= ~(uint32_t)AC__R_PAUSED;
    if (r->x != NULL && r->x->conn != NULL)
        ac__conn_resume(r->x->conn);
    return 0;
}

int ac_http_body_ready(ac_http_request *r)
{
    if (r == NULL || (r->flags & (AC__R_CLOSED | AC__R_ENDING)) != 0)
        return -EBADF;
    if (r->x != NULL && r->x->conn != NULL)
        (void)ac_changed(&r->x->conn->base);
    return 0;
}
