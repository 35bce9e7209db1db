/* SPDX-License-Identifier: MIT */
/* Links of a page while it arrives, absolute. */
#include "asyncore/markup.h"

#include "markup_private.h"

#include <errno.h>
#include <string.h>

/* Which attribute of an element is a link. */
static const struct {
    const char *element, *attribute;
} links[] = {
    {"a", "href"},     {"area", "href"},  {"link", "href"}, {"img", "src"},
    {"script", "src"}, {"iframe", "src"}, {"frame", "src"}, {"source", "src"},
    {"audio", "src"},  {"video", "src"},  {"embed", "src"},
};

static ac_link_consumer *self(ac_html_consumer *html)
{
    return AC_CONTAINER(ac_link_consumer, html, html);
}

/* The value of an attribute, or NULL. The parser has names in lower case. */
static const char *value_of(const char *const *attributes, const char *name)
{
    for (; attributes != NULL && attributes[0] != NULL; attributes += 2)
        if (strcmp(attributes[0], name) == 0)
            return attributes[1];
    return NULL;
}

static int parse(const ac_link_consumer *c, ac_url *url, const char *text)
{
    return ac_url_parse(url, text, strlen(text), c->base_url_.text != NULL ? &c->base_url_ : NULL);
}

/* The first <base href> counts, even if it is none: then links are the page's own. */
static int set_base(ac_link_consumer *c, const char *href)
{
    ac_url url;
    int    rc;

    if (c->has_base_ || href == NULL)
        return 0;
    c->has_base_ = true;
    rc           = parse(c, &url, href);
    if (rc < 0)
        return rc;
    ac_url_free(&c->base_url_);
    c->base_url_ = url;
    return 0;
}

static int tell(ac_link_consumer *c, const char *text)
{
    ac_url url;
    int    rc = parse(c, &url, text);

    if (rc < 0)
        return rc;
    c->link(c->context, url.text, url.len);
    ac_url_free(&url);
    return 0;
}

static void link_start(ac_html_consumer *html, const char *name, const char *const *attributes)
{
    ac_link_consumer *c  = self(html);
    int               rc = 0;

    if (strcmp(name, "base") == 0)
        rc = set_base(c, value_of(attributes, "href"));
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        const char *text;

        if (strcmp(name, links[i].element) != 0)
            continue;
        text = value_of(attributes, links[i].attribute);
        if (text != NULL && c->link != NULL)
            rc = tell(c, text);
        break;
    }
    /* What is no URL of http and https is no link; but without memory links would be lost. */
    if (rc == -ENOMEM)
        ac__html_fail(html, rc);
}

static void link_header(ac_html_consumer *html, ac_http_request *request)
{
    ac_link_consumer *c   = self(html);
    const char       *url = ac_http_url(request);

    ac_url_free(&c->base_url_);
    c->has_base_ = false;
    if (ac_http_status(request) != 0
        && ac_url_parse(&c->base_url_, url, strlen(url), NULL) == -ENOMEM)
        ac_http_fail(request, -ENOMEM);
}

static void link_close(ac_html_consumer *html, int err)
{
    ac_link_consumer *c = self(html);

    ac_url_free(&c->base_url_);
    if (c->done != NULL)
        c->done(c->context, err);
}

static const ac_html_class link_class = {
    .start  = link_start,
    .header = link_header,
    .close  = link_close,
};

void ac_link_consumer_init(ac_link_consumer *c, void *context,
                           void (*link)(void *context, const char *url, size_t len),
                           void (*done)(void *context, int err))
{
    if (c == NULL)
        return;
    memset(c, 0, sizeof *c);
    ac_html_consumer_init(&c->html, &link_class);
    c->link    = link;
    c->done    = done;
    c->context = context;
}
