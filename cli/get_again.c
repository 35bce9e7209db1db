/* SPDX-License-Identifier: MIT */
/*
 * Trying again: what is worth it, when, and from where. A body that was cut is gone on with where
 * the server can prove that it is still the same one (RFC 9110, 13.1.5 and 14.2).
 */
#include "get.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { LONGEST_WAIT = 60 }; /* seconds, of the back-off */

/* --- dates -------------------------------------------------------------------------------- */

/* The three forms of RFC 9110, 5.6.7, as seconds since 1970; -1: it is none. */
static int64_t http_date(const char *text)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %d %H:%M:%S %Y"};

    for (size_t i = 0; text != NULL && i < sizeof forms / sizeof forms[0]; i++) {
        struct tm   tm  = {.tm_sec = 0};
        const char *end = strptime(text, forms[i], &tm);

        if (end != NULL && *end == '\0')
            return (int64_t)timegm(&tm);
    }
    return -1;
}

/* How long the server asks us to wait, in ns; -1: it does not. */
static int64_t retry_after(const ac_loop *loop, const ac_http_request *r)
{
    const char *text = ac_http_field_get(r, "Retry-After");
    int64_t     date, now;
    long        seconds;

    if (text == NULL)
        return -1;
    if (text[0] != '\0' && text[strspn(text, "0123456789")] == '\0') {
        if (cli_number(text, 0, INT32_MAX, &seconds) < 0)
            return AC_FOREVER;
        return (int64_t)seconds * AC_SECOND;
    }
    date = http_date(text);
    if (date < 0)
        return -1;
    now = http_date(ac_http_field_get(r, "Date"));
    if (now < 0)
        now = ac_time(loop);
    if (date <= now)
        return 0;
    return date - now > INT32_MAX ? AC_FOREVER : (date - now) * AC_SECOND;
}

/* --- by status ---------------------------------------------------------------------------- */

static bool is_idempotent(const struct get_options *o)
{
    static const char *const list[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    const char              *method = options_method(o);

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (strcmp(list[i], method) == 0)
            return true;
    return false;
}

static bool may_try_again(const struct transfer *t)
{
    const struct get *g = t->get;

    return g->o.retries > 0 && t->tries <= (unsigned long)g->o.retries && is_idempotent(&g->o)
           && (g->o.data_file == NULL || g->upload.regular);
}

static bool is_passing(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503
           || status == 504;
}

/* Whether this is the rest of the body that was cut. */
static bool is_the_rest(struct transfer *t, const ac_http_request *r)
{
    struct resume *s     = &t->resume;
    const char    *range = ac_http_field_get(r, "Content-Range");
    const char    *same  = ac_http_field_get(r, s->is_etag ? "ETag" : "Last-Modified");
    const char    *coded = ac_http_field_get(r, "Content-Encoding");
    const char    *type  = ac_http_field_get(r, "Content-Type");
    uint64_t       from, to, total;
    int            n = 0;

    if (type != NULL && strncasecmp(type, "multipart/byteranges", 20) == 0)
        return false; /* one part is what was asked for */
    if (ac_http_status(r) != 206 || range == NULL || strncasecmp(range, "bytes ", 6) != 0
        || (coded != NULL && strcasecmp(coded, "identity") != 0))
        return false;
    if (strspn(range + 6, "0123456789-/") != strlen(range + 6)
        || sscanf(range + 6, "%" SCNu64 "-%" SCNu64 "/%" SCNu64 "%n", &from, &to, &total, &n) != 3
        || range[6 + n] != '\0')
        return false;
    if (from != t->delivered || from >= total || to != total - 1 || total > INT64_MAX
        || (s->total >= 0 && total != (uint64_t)s->total))
        return false;
    if (ac_http_timings(r)->length >= 0 && (uint64_t)ac_http_timings(r)->length != total - from)
        return false;
    s->total = (int64_t)total; /* which the rest is held to: chunks and the end know no better */
    /* A 206 to If-Range may leave Last-Modified out, but never the ETag (RFC 9110, 15.3.7). */
    return same != NULL ? strcmp(same, s->validator) == 0 : !s->is_etag && t->result.hop_count == 0;
}

/* What came for a request that asked for the rest. */
static void judge_rest(struct transfer *t, ac_http_request *r)
{
    int status = ac_http_status(r);

    t->resume.asked = false;
    if (is_the_rest(t, r)) {
        t->result.resumed_from = t->delivered;
        return;
    }
    t->resume.usable = false;
    if (!output_rewind(t)) {
        t->next  = NEXT_CUT;
        t->muted = true;
        return;
    }
    if (status != 206 && status != 416)
        return; /* the whole of it, or an answer of its own */
    t->next  = NEXT_AFRESH;
    t->muted = true;
}

/* Whether what comes is the rest of a body, whose end is known. */
static bool is_rest(const struct transfer *t)
{
    return !t->muted && t->result.resumed_from > 0 && t->resume.total >= 0;
}

int resume_fits(const struct transfer *t, size_t len)
{
    return is_rest(t) && t->delivered + len > (uint64_t)t->resume.total ? -AC_EPROTO : 0;
}

int resume_ended(const struct transfer *t)
{
    return is_rest(t) && t->delivered < (uint64_t)t->resume.total ? -AC_ETRUNCATED : 0;
}

void again_by_status(struct transfer *t, ac_http_request *r)
{
    struct get *g      = t->get;
    int         status = ac_http_status(r);
    int64_t     wait;

    if (is_passing(status) && may_try_again(t)) {
        wait = status == 429 || status == 503 ? retry_after(g->loop, r) : -1;
        if (wait > 0 && wait <= g->o.retry_max_wait)
            holds_add(g, ac_http_url(r), ac_loop_now(g->loop) + wait);
        t->retry_after = wait;
        t->next        = wait > g->o.retry_max_wait ? NEXT_GIVE_UP : NEXT_RETRY;
        t->muted       = true;
        return;
    }
    if (g->o.fail && status >= 400) {
        t->muted = true;
        return;
    }
    if (t->resume.asked)
        judge_rest(t, r);
}

/* --- by error ----------------------------------------------------------------------------- */

static bool is_worth_it(const struct transfer *t, int err)
{
    struct result r = t->result;

    result_set(&r, err, false);
    switch (r.kind) {
    case KIND_NAME:
        return err == -AC_EDNS; /* the others are answers */
    case KIND_REFUSED:
    case KIND_UNREACHABLE:
    case KIND_TIMEOUT:
    case KIND_TRUNCATED:
        return true;
    default:
        return false;
    }
}

/* Whether what was given away can be taken back. */
bool output_rewind(struct transfer *t)
{
    struct get *g = t->get;

    if (t->printed || (g->o.body == BODY_TARGET && t->delivered > 0))
        return false;
    if (t->file.fd > 0 && file_rewind(&t->file) < 0)
        return false;
    if (g->ordered)
        order_rewind(t);
    links_end(t, -AC_ECANCELED);
    t->shown               = (struct shown){.len = 0};
    t->delivered           = 0;
    t->result.resumed_from = 0;
    return true;
}

bool again_by_error(struct transfer *t, int err)
{
    if (!may_try_again(t) || !is_worth_it(t, err))
        return false;
    if (t->resume.usable && t->delivered > 0) {
        t->resume.asked = true;
        return true;
    }
    return output_rewind(t);
}

/* The back-off is random in all of its range, so that many clients do not come back together. */
int64_t again_wait(struct transfer *t)
{
    int64_t most = t->tries >= 7 ? LONGEST_WAIT * AC_SECOND : AC_SECOND << (t->tries - 1);
    int64_t wait;

    if (most > LONGEST_WAIT * AC_SECOND)
        most = LONGEST_WAIT * AC_SECOND;
    wait = (int64_t)(drand48() * (double)most);
    return wait > t->retry_after ? wait : t->retry_after;
}

/* --- resuming ----------------------------------------------------------------------------- */

void resume_free(struct resume *r)
{
    free(r->validator);
    *r = (struct resume){.total = -1};
}

/* A date is a strong validator only where it is older than the answer (RFC 9110, 8.8.2.2). */
static const char *validator_of(ac_http_request *r, bool *is_etag)
{
    const char *tag = ac_http_field_get(r, "ETag");
    const char *modified;
    int64_t     date, now;

    *is_etag = tag != NULL && tag[0] == '"';
    if (*is_etag)
        return tag;
    now      = http_date(ac_http_field_get(r, "Date"));
    modified = ac_http_field_get(r, "Last-Modified");
    date     = http_date(modified);
    return date >= 0 && now >= 0 && date + 1 <= now ? modified : NULL;
}

void resume_note(struct transfer *t, ac_http_request *r)
{
    const struct get_options *o     = &t->get->o;
    const char               *coded = ac_http_field_get(r, "Content-Encoding");
    const char               *validator;
    bool                      is_etag;

    if (ac_http_status(r) == 206 && t->result.resumed_from > 0)
        return; /* what was noted holds on */
    resume_free(&t->resume);
    if (o->retries == 0 || ac_http_status(r) != 200 || o->own_range || coded != NULL
        || strcmp(ac_http_method(r), "GET") != 0 || o->text != TEXT_NONE || t->get->terminal)
        return;
    validator = validator_of(r, &is_etag);
    if (validator == NULL || (t->resume.validator = strdup(validator)) == NULL)
        return;
    t->resume.is_etag = is_etag;
    t->resume.total   = ac_http_timings(r)->length;
    t->resume.usable  = true;
}

size_t resume_fields(const struct transfer *t, ac_http_field out[3], char range[32])
{
    const char *validator = t->resume.validator;

    if (!t->resume.asked)
        return 0;
    (void)snprintf(range, 32, "bytes=%" PRIu64 "-", t->delivered);
    out[0] = (ac_http_field){"Range", range, 5, strlen(range)};
    out[1] = (ac_http_field){"If-Range", validator, 8, strlen(validator)};
    out[2] = (ac_http_field){"Accept-Encoding", "identity", 15, 8};
    return 3;
}

/* --- origins that want to be left alone ------------------------------------------------------- */

bool holds_same(const struct held *h, const char *url)
{
    ac_url parsed;
    bool   same;

    if (ac_url_parse(&parsed, url, strlen(url), NULL) < 0)
        return false;
    same = ac_url_same_origin(&h->origin, &parsed);
    ac_url_free(&parsed);
    return same;
}

static struct held *find(struct get *g, const char *url)
{
    struct held *h = g->holds;

    while (h != NULL && !holds_same(h, url))
        h = h->next;
    return h;
}

/* Those of the same origin that have not begun wait as well. */
static void hold_queued(struct get *g, const struct held *h)
{
    for (struct transfer *t = g->active; t != NULL; t = t->following)
        if (holds_same(h, t->url))
            transfer_hold(t);
}

void holds_add(struct get *g, const char *url, int64_t until)
{
    struct held *h = find(g, url);

    if (h == NULL) {
        h = calloc(1, sizeof *h);
        if (h == NULL)
            return;
        if (ac_url_parse(&h->origin, url, strlen(url), NULL) < 0) {
            free(h);
            return;
        }
        h->next  = g->holds;
        g->holds = h;
    }
    if (until > h->until)
        h->until = until;
    hold_queued(g, h);
}

int64_t holds_until(struct get *g, const char *url)
{
    int64_t      now = ac_loop_now(g->loop);
    struct held *h;

    for (struct held **at = &g->holds; (h = *at) != NULL;) {
        if (h->until > now) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        ac_url_free(&h->origin);
        free(h);
    }
    h = g->holds != NULL ? find(g, url) : NULL;
    return h != NULL ? h->until : 0;
}

void holds_free(struct get *g)
{
    struct held *h;

    while ((h = g->holds) != NULL) {
        g->holds = h->next;
        ac_url_free(&h->origin);
        free(h);
    }
}
