/* SPDX-License-Identifier: MIT */
/*
 * A transfer: one URL, from its first request to its result. It is the consumer of its requests,
 * behind the library's redirects; an attempt is a request with all its hops.
 */
#include "get.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is read of a body that nobody wants, for the sake of the connection. */
enum { MUTED_MOST = 64 * 1024 };

static void attempt_ended(struct transfer *t, int err);
static void end(struct transfer *t, int err);

ac_http_request *transfer_request(const struct transfer *t)
{
    if (t->redirect != NULL)
        return t->redirect->request;
    return t->base.request;
}

/* Ends the attempt, from outside of it: its request is still to be asked how far it came. */
static void give_up(struct transfer *t, int err)
{
    if (t->waiting) {
        attempt_ended(t, err);
        return;
    }
    if (t->request == NULL)
        t->request = transfer_request(t);
    ac_http_fail(t->request, err);
}

/* --- deadline ----------------------------------------------------------------------------- */

/* Time in the client's queue does not count. */
static int64_t time_queued(const struct transfer *t)
{
    const ac_http_request *r = transfer_request(t);

    if (r == NULL)
        return t->queued;
    if (ac_http_phase(r) == AC_HTTP_QUEUED)
        return t->queued + ac_loop_now(t->get->loop) - t->issued;
    return t->queued + (ac_http_timings(r)->queued > 0 ? ac_http_timings(r)->queued : 0);
}

static void deadline_fired(ac_timer *timer)
{
    struct transfer *t    = AC_CONTAINER(struct transfer, deadline, timer);
    int64_t          used = ac_loop_now(t->get->loop) - t->result.started - time_queued(t);

    if (used < t->get->o.timeout) {
        (void)ac_timer_start(timer, t->get->o.timeout - used);
        return;
    }
    t->timed_out = true;
    if (t == t->get->flushing)
        transfer_flushed(t, -ETIMEDOUT, false);
    else
        give_up(t, -ETIMEDOUT);
}

/* --- consumer ----------------------------------------------------------------------------- */

/* The body of this response is not what was asked for. */
static void mute(struct transfer *t, ac_http_request *r)
{
    int64_t length = ac_http_timings(r)->length;

    if (length > MUTED_MOST || (length < 0 && (t->base.cls->flags & AC_DISCARD) != 0))
        ac_http_fail(r, -AC_ESTATUS);
}

static void transfer_header(ac_consumer *c, ac_http_request *r)
{
    struct transfer *t = AC_SELF(struct transfer, c);
    int              rc;

    t->request = r;
    if (ac_http_status(r) == 0) {
        report_head(t, r);
        return;
    }
    again_by_status(t, r);
    if (t->muted) {
        if (t->next == NEXT_END || t->next == NEXT_GIVE_UP || t->next == NEXT_CUT)
            report_head(t, r);
        mute(t, r);
        return;
    }
    rc = deliver_begin(t, r);
    if (rc < 0)
        transfer_fail_output(t, rc);
}

static void transfer_feed(ac_consumer *c, const void *data, size_t len)
{
    struct transfer *t = AC_SELF(struct transfer, c);
    int              rc;

    if (t->get->o.limits.decoded > 0 && t->delivered + len > (uint64_t)t->get->o.limits.decoded) {
        ac_http_fail(t->request, -AC_ETOOLARGE); /* the parts of a resumed one count together */
        return;
    }
    if (t->muted) {
        t->muted_bytes += len;
        if (t->muted_bytes > MUTED_MOST)
            ac_http_fail(t->request, -AC_ESTATUS);
        return;
    }
    rc = resume_fits(t, len);
    if (rc < 0) {
        ac_http_fail(t->request, rc);
        return;
    }
    rc = deliver(t, data, len);
    if (rc < 0)
        transfer_fail_output(t, rc);
    else
        t->delivered += len;
}

static void transfer_close(ac_consumer *c, int err)
{
    struct transfer *t = AC_SELF(struct transfer, c);

    result_take(&t->result, t->request);
    t->result.taken = ac_loop_now(t->get->loop);
    t->redirect     = NULL; /* it has freed itself */
    t->request      = NULL;
    if (err == 0) {
        err = resume_ended(t);
        if (err < 0)
            t->result.phase = "body";
    }
    attempt_ended(t, err);
}

static const ac_consumer_class transfer_class = {
    .name        = "Transfer",
    .http_header = transfer_header,
    .feed        = transfer_feed,
    .close       = transfer_close,
};

/* Where the bytes are not looked at, the library need not bring them. */
static const ac_consumer_class discarding_class = {
    .name        = "Transfer",
    .http_header = transfer_header,
    .close       = transfer_close,
    .flags       = AC_DISCARD,
};

static void hop(void *context, ac_http_request *request, const char *to)
{
    struct transfer *t = context;

    result_hop(&t->result, request);
    t->queued += ac_http_timings(request)->queued > 0 ? ac_http_timings(request)->queued : 0;
    t->issued = ac_loop_now(t->get->loop);
    report_hop(t, to);
}

/* --- issuing ------------------------------------------------------------------------------ */

/* The fields of this attempt: the user's, those of a form, and those that ask for the rest. */
static ac_http_field *make_fields(struct transfer *t, size_t *count, char range[32])
{
    static const char         form[] = "application/x-www-form-urlencoded";
    const struct get_options *o      = &t->get->o;
    ac_http_field            *list   = malloc((o->field_count + 4) * sizeof *list);
    size_t                    n      = 0;

    if (list == NULL)
        return NULL;
    if ((o->has_data || o->data_file != NULL) && !options_have_field(o, "Content-Type"))
        list[n++] = (ac_http_field){"Content-Type", form, strlen("Content-Type"), strlen(form)};
    for (size_t i = 0; i < o->field_count; i++)
        list[n++] = o->fields[i];
    n += resume_fields(t, list + n, range);
    *count = n;
    return list;
}

static ac_consumer *make_chain(struct transfer *t)
{
    ac_redirect_options options = {
        .size = sizeof options, .max = (int)t->get->o.max_redirects, .hop = hop, .context = t};

    ac_consumer_init(&t->base, deliver_needs_bytes(t->get) ? &transfer_class : &discarding_class);
    if (options.max == 0)
        return &t->base;
    t->redirect = ac_redirect_new(&t->base, &options);
    return t->redirect;
}

static int issue(struct transfer *t)
{
    const struct get_options *o    = &t->get->o;
    ac_http_args              args = {.size = sizeof args, .url = t->url, .method = o->method};
    ac_http_body              body = {.data = o->data.data, .len = (int64_t)o->data.len};
    ac_http_field            *fields;
    ac_consumer              *chain;
    char                      range[32];
    int                       rc;

    args.keep_empty = o->keep_empty;
    if (o->data_file != NULL) {
        t->reader.upload   = &t->get->upload;
        t->reader.transfer = t;
        upload_body(&t->reader, &body);
    }
    if (o->data_file != NULL || o->has_data)
        args.body = &body;
    fields = make_fields(t, &args.field_count, range);
    if (fields == NULL)
        return -ENOMEM;
    args.fields = fields;
    chain       = make_chain(t);
    rc          = chain != NULL ? ac_http_send(t->get->client, &args, chain, NULL) : -ENOMEM;
    free(fields);
    if (rc < 0) {
        ac_redirect_free(t->redirect);
        t->redirect = NULL;
    }
    return rc;
}

/* Begins the next attempt. */
static void issue_now(struct transfer *t)
{
    int rc;

    result_clear(&t->result);
    t->muted = t->waiting = t->paused = false;
    t->muted_bytes                    = 0;
    t->next                           = NEXT_END;
    t->retry_after                    = -1;
    t->issued                         = ac_loop_now(t->get->loop);
    t->tries++;
    t->result.attempts = t->tries;
    rc                 = issue(t);
    if (rc < 0)
        end(t, rc);
}

static void wait_fired(ac_timer *timer)
{
    issue_now(AC_CONTAINER(struct transfer, wait, timer));
}

/* Issues it when its origin and its own wait allow it. */
static void issue_after(struct transfer *t, int64_t wait)
{
    int64_t now  = ac_loop_now(t->get->loop);
    int64_t hold = holds_until(t->get, t->url) - now;

    if (hold > wait)
        wait = hold;
    t->waiting = wait > 0;
    if (!t->waiting)
        issue_now(t);
    else if (ac_timer_start(&t->wait, wait) < 0)
        end(t, -ENOMEM);
}

/* --- ending ------------------------------------------------------------------------------- */

static void finish(struct transfer *t, int err, bool output)
{
    struct get *g = t->get;

    ac_timer_stop(&t->wait);
    ac_timer_stop(&t->deadline);
    t->waiting = false;
    if (t->result.method == NULL)
        t->result.method = strdup(options_method(&g->o));
    t->result.gave_up = t->next == NEXT_GIVE_UP;
    result_set(&t->result, err, output);
    if (t->result.kind == KIND_URL && t->result.text == NULL)
        t->result.text = url_fault(t->url);
    t->result.ended  = ac_loop_now(g->loop);
    t->result.queued = t->queued;
    if (t->result.started >= 0)
        t->result.started += t->result.queued;
    run_ended(t);
}

void transfer_flushed(struct transfer *t, int err, bool output)
{
    t->get->flushing = NULL;
    finish(t, err, output);
}

/* What the last attempt ends with, instead of what the request did. */
static int final_error(const struct transfer *t, int err)
{
    if (t->get->canceled != 0)
        return -AC_ECANCELED;
    if (t->timed_out)
        return -ETIMEDOUT;
    if (t->next == NEXT_CUT)
        return -AC_ETRUNCATED;
    if (t->next == NEXT_GIVE_UP || (t->muted && t->next == NEXT_END))
        return -AC_ESTATUS;
    return err;
}

static void end(struct transfer *t, int err)
{
    struct get *g = t->get;
    int         rc;

    t->ended = true;
    if (t->timed_out) {
        t->result.text = "timed out, all attempts together";
        if (t->result.phase == NULL && t->result.status != 0)
            t->result.phase = "head"; /* of the answer that it was to be tried again after */
    }
    if (err < 0 && t->result.phase == NULL && t->result.status != 0)
        t->result.phase = t->next == NEXT_CUT ? "body" : "head";
    report_end(t, err);
    rc = deliver_end(t, err);
    if (err == 0 && rc < 0)
        t->out_err = rc;
    if (t->out_err < 0)
        err = t->out_err;
    if (err == 0) {
        order_pump(g);
        if (!run_is_flushed(t)) {
            g->flushing = t; /* it is not complete before its output is */
            return;
        }
        err = t->out_err = g->out_err;
    }
    finish(t, err, t->out_err < 0);
}

static void attempt_ended(struct transfer *t, int err)
{
    const bool over = t->get->canceled != 0 || t->timed_out || t->out_err < 0;

    if (t->result.times.queued > 0)
        t->queued += t->result.times.queued;
    t->result.times.queued = -1;
    if (t->waiting) { /* it was not under way */
        ac_timer_stop(&t->wait);
        t->waiting = false;
    }
    if (!over) {
        switch (t->next) {
        case NEXT_REISSUE:
            t->tries--;
            issue_after(t, 0);
            return;
        case NEXT_AFRESH:
            issue_after(t, 0);
            return;
        case NEXT_RETRY:
            report_forget(t);
            issue_after(t, again_wait(t));
            return;
        default:
            if (t->next == NEXT_END && err < 0 && !t->muted && again_by_error(t, err)) {
                issue_after(t, again_wait(t));
                return;
            }
        }
    }
    end(t, final_error(t, err));
}

void transfer_fail_output(struct transfer *t, int err)
{
    if (t->out_err == 0)
        t->out_err = err;
    give_up(t, err);
}

void transfer_cancel(struct transfer *t)
{
    if (t == t->get->flushing)
        transfer_flushed(t, -AC_ECANCELED, false);
    else
        give_up(t, -AC_ECANCELED);
}

void transfer_hold(struct transfer *t)
{
    if (t->waiting || t->request != NULL || transfer_request(t) == NULL
        || ac_http_phase(transfer_request(t)) != AC_HTTP_QUEUED || t->result.hop_count > 0)
        return;
    t->next = NEXT_REISSUE;
    ac_http_close(transfer_request(t));
}

/* --- life --------------------------------------------------------------------------------- */

struct transfer *transfer_new(struct get *g, char *url, size_t index)
{
    struct transfer *t = calloc(1, sizeof *t);

    if (t == NULL) {
        free(url);
        return NULL;
    }
    t->get            = g;
    t->index          = index;
    t->url            = url;
    t->result.started = -1;
    t->result.ended   = -1;
    t->result.queued  = -1;
    t->result.times   = *ac_http_timings(NULL);
    t->resume.total   = -1;
    ac_timer_init(&t->wait, g->loop, wait_fired);
    ac_timer_init(&t->deadline, g->loop, deadline_fired);
    return t;
}

void transfer_begin(struct transfer *t, int err)
{
    t->result.started = ac_loop_now(t->get->loop);
    if (err == -AC_ETOOLARGE) {
        t->result.text = "a line longer than 64 KiB";
        err            = -AC_EURL;
    }
    if (err == 0)
        err = t->out_err;
    if (err == 0 && t->get->o.timeout != AC_FOREVER)
        err = ac_timer_start(&t->deadline, t->get->o.timeout);
    if (err == 0)
        issue_after(t, 0);
    else
        end(t, err);
}

void transfer_free(struct transfer *t)
{
    if (t->get->upload.waiting == t)
        t->get->upload.waiting = NULL;
    resume_free(&t->resume);
    result_free(&t->result);
    links_end(t, -AC_ECANCELED);
    file_abandon(&t->file, t->get->o.keep_partial);
    free(t->reader.piece);
    free(t->url);
    free(t);
}
