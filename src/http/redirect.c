/* SPDX-License-Identifier: MIT */
/*
 * Redirects: a consumer before another one. A response that redirects is answered here by closing its
 * request and giving itself to a new one; everything else is passed on.
 */
#include "asyncore/redirect.h"

#include "private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <string.h>

struct seen {
    struct seen *next;
    char         text[]; /* "GET http://..." */
};

struct redirect {
    ac_consumer         base;
    ac_consumer        *to;
    ac_redirect_options options;
    ac_http_request    *told; /* the request that `to` has seen the header of */
    struct seen        *seen;
    int                 hops;
    int                 err; /* instead of the request's */
};

static void free_self(struct redirect *self)
{
    while (self->seen != NULL) {
        struct seen *s = self->seen;

        self->seen = s->next;
        ac__free(s);
    }
    ac__free(self);
}

/* Notes what is asked. 1: for the first time; 0: it was asked before; -ENOMEM. */
static int remember(struct redirect *self, const char *method, const ac_url *url)
{
    size_t       method_len = strlen(method);
    size_t       url_len    = ac_url_public(url, NULL, 0, false);
    struct seen *s          = ac__alloc(sizeof *s + method_len + url_len + 2);

    if (s == NULL)
        return -ENOMEM;
    memcpy(s->text, method, method_len);
    s->text[method_len] = ' ';
    (void)ac_url_public(url, s->text + method_len + 1, url_len + 1, false);
    for (const struct seen *other = self->seen; other != NULL; other = other->next) {
        if (strcmp(other->text, s->text) == 0) {
            ac__free(s);
            return 0;
        }
    }
    s->next    = self->seen;
    self->seen = s;
    return 1;
}

/* --- what the next request is ------------------------------------------------------------------- */

static bool redirects(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static const char *next_method(int status, const char *method)
{
    if (status == 303 && strcmp(method, "HEAD") != 0)
        return "GET";
    if ((status == 301 || status == 302) && strcmp(method, "POST") == 0)
        return "GET";
    return method;
}

/* Whether a field goes with a request to another origin: only what says nothing of the user. */
static bool crosses(const ac_http_field *f)
{
    static const char *const names[] = {"accept",     "accept-language", "accept-encoding",
                                        "user-agent", "content-type",    "content-language",
                                        "range",      "if-range"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (ac__token_is(f->name, f->name_len, names[i]))
            return true;
    return false;
}

static bool is_content_field(const ac_http_field *f)
{
    static const char prefix[] = "content-";

    return f->name_len >= sizeof prefix - 1 && ac__token_is(f->name, sizeof prefix - 1, prefix);
}

/*
 * The URL of the next request as text: credentials stay with their origin, whatever the Location says
 * of its own, and a fragment is inherited. NULL: out of memory.
 */
static char *next_text(const ac_url *from, const ac_url *to, bool same)
{
    size_t      user = same && from->has_user ? from->host.at - strlen("http://") : 0;
    const char *rest = to->text + to->host.at;
    const char *hash =
        !to->has_fragment && from->has_fragment ? from->text + from->fragment.at - 1 : "";
    size_t len  = strlen("http://") + user + strlen(rest) + strlen(hash) + 1;
    char  *text = ac__alloc(len);
    char  *at   = text;

    if (text == NULL)
        return NULL;
    memcpy(at, "http://", 7);
    at += 7;
    memcpy(at, from->text + strlen("http://"), user);
    at += user;
    memcpy(at, rest, strlen(rest));
    at += strlen(rest);
    memcpy(at, hash, strlen(hash) + 1);
    return text;
}

/* Leaves out the fields that must not follow. Returns how many stay. */
static size_t keep_fields(const ac__args *a, ac_http_field *out, bool same, bool body_dropped)
{
    size_t n = 0;

    for (size_t i = 0; i < a->field_count; i++) {
        const ac_http_field *f = &a->fields[i];

        if ((!same && !crosses(f)) || (body_dropped && is_content_field(f)))
            continue;
        out[n++] = *f;
    }
    return n;
}

/* Closes this request, and gives the consumer to the next one. 0 or -errno. */
static int send_next(struct redirect *self, ac_http_request *r, const char *text,
                     const char *method, bool same)
{
    const ac__args *a      = r->args;
    ac_http_args    args   = {.size = sizeof args, .url = text, .method = method};
    ac_http_field  *fields = NULL;
    bool            dropped;
    int             rc = 0;

    if (a != NULL) {
        dropped         = strcmp(method, ac__request_method(r)) != 0;
        args.raw        = a->raw;
        args.keep_empty = a->keep_empty;
        if (a->has_limits)
            args.limits = &a->limits;
        if (a->has_body && !dropped)
            args.body = &a->body;
        if (a->field_count > 0) {
            fields = ac__alloc(a->field_count * sizeof *fields);
            if (fields == NULL)
                return -ENOMEM;
            args.fields      = fields;
            args.field_count = keep_fields(a, fields, same, dropped);
        }
    }
    if (args.body != NULL && ac__request_rewind(r) < 0)
        rc = -AC_EREDIRECT;
    if (rc < 0 || (r->flags & AC__R_CLOSED) != 0) { /* the latter: by the body's `rewind` */
        ac__free(fields);
        return (r->flags & AC__R_CLOSED) != 0 ? 0 : rc;
    }
    ac__http_close_drain(r, -AC_ECANCELED);
    rc = ac__http_send(r->client, &args, &self->base, NULL, AC__R_FRONT);
    ac__free(fields);
    return rc;
}

/* --- following ---------------------------------------------------------------------------- */

/* Follows to `url`: 0 (also if the request was closed meanwhile), or why not. */
static int follow_to(struct redirect *self, ac_http_request *r, const ac_url *url)
{
    const ac_url *from   = &r->x->url;
    const char   *method = next_method(ac_http_status(r), ac__request_method(r));
    bool          same   = ac_url_same_origin(from, url);
    char         *text, *shown;
    size_t        len;
    int           rc;

    if (url->secure)
        return -AC_EREDIRECT;
    if (self->options.max >= 0 && self->hops >= self->options.max)
        return -AC_EREDIRLOOP;
    rc = remember(self, method, url);
    if (rc <= 0)
        return rc < 0 ? rc : -AC_EREDIRLOOP;
    text = next_text(from, url, same);
    if (text == NULL)
        return -ENOMEM;
    self->hops++;
    if (self->options.hop != NULL) {
        len   = ac_url_public(url, NULL, 0, true) + 1;
        shown = ac__alloc(len);
        if (shown == NULL) {
            ac__free(text);
            return -ENOMEM;
        }
        (void)ac_url_public(url, shown, len, true);
        self->options.hop(self->options.context, r, shown);
        ac__free(shown);
    }
    if ((r->flags & AC__R_CLOSED) == 0)
        rc = send_next(self, r, text, method, same);
    ac__free(text);
    return rc < 0 ? rc : 0;
}

static int follow(struct redirect *self, ac_http_request *r, const char *location, bool several)
{
    ac_url url;
    int    rc;

    if (several)
        return -AC_EREDIRECT;
    if (self->seen == NULL) {
        rc = remember(self, ac__request_method(r), &r->x->url);
        if (rc < 0)
            return rc;
    }
    rc = ac__location_parse(r, location, &url);
    if (rc < 0)
        return rc == -ENOMEM ? rc : -AC_EREDIRECT;
    rc = follow_to(self, r, &url);
    ac_url_free(&url);
    return rc;
}

/* --- slots -------------------------------------------------------------------------------- */

static void redirect_header(ac_consumer *c, ac_http_request *r)
{
    struct redirect *self = AC_SELF(struct redirect, c);
    const char      *location;
    bool             several;
    int              rc = 0;

    location = ac__location(r, &several);
    if (redirects(ac_http_status(r)) && location != NULL) {
        rc = follow(self, r, location, several);
        if (rc == 0)
            return;
        self->err = rc;
        if ((r->flags & AC__R_CLOSED) != 0)
            return; /* the next request could not be made: its close is on the way */
    }
    self->told = r;
    ac_consumer_header(self->to, r);
    if (rc < 0)
        ac_http_fail(r, rc);
}

static void redirect_feed(ac_consumer *c, const void *data, size_t len)
{
    ac_consumer_feed(AC_SELF(struct redirect, c)->to, data, len);
}

static void redirect_resume(ac_consumer *c)
{
    ac_consumer_resume(AC_SELF(struct redirect, c)->to);
}

static void redirect_close(ac_consumer *c, int err)
{
    struct redirect *self = AC_SELF(struct redirect, c);
    ac_consumer     *to   = self->to;
    bool             ours = to->request == NULL || to->request == self->told;

    if (self->err < 0)
        err = self->err;
    free_self(self);
    if (ours) /* else it has moved to another request, and its close with it */
        ac_consumer_close(to, err);
}

static const ac_consumer_class redirect_class = {
    .name        = "RedirectingConsumer",
    .http_header = redirect_header,
    .feed        = redirect_feed,
    .close       = redirect_close,
    .resume      = redirect_resume,
};

static const ac_consumer_class pieces_class = {
    .name        = "RedirectingConsumer",
    .http_header = redirect_header,
    .feed        = redirect_feed,
    .close       = redirect_close,
    .resume      = redirect_resume,
    .flags       = AC_PIECES,
};

static const ac_consumer_class discarding_class = {
    .name        = "RedirectingConsumer",
    .http_header = redirect_header,
    .close       = redirect_close,
    .resume      = redirect_resume,
    .flags       = AC_DISCARD,
};

ac_consumer *ac_redirect_new(ac_consumer *to, const ac_redirect_options *options)
{
    const ac_consumer_class *cls  = &redirect_class;
    struct redirect         *self = to != NULL ? ac__calloc(sizeof *self) : NULL;

    if (self == NULL)
        return NULL;
    if ((to->cls->flags & AC_DISCARD) != 0)
        cls = &discarding_class;
    else if ((to->cls->flags & AC_PIECES) != 0)
        cls = &pieces_class;
    ac_consumer_init(&self->base, cls);
    self->to          = to;
    self->options.max = 0;
    if (options != NULL)
        memcpy(&self->options, options,
               options->size < sizeof self->options ? options->size : sizeof self->options);
    if (self->options.max == 0)
        self->options.max = 20;
    return &self->base;
}

void ac_redirect_free(ac_consumer *c)
{
    if (c != NULL && c->request == NULL)
        free_self(AC_SELF(struct redirect, c));
}
