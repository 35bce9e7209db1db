/* SPDX-License-Identifier: MIT */
/* The consumer interface: calling slots, filled or not. */
#include "asyncore/http.h"

#include <string.h>

void ac_consumer_init(ac_consumer *c, const ac_consumer_class *cls)
{
    if (c == NULL)
        return;
    memset(c, 0, sizeof *c);
    c->cls = cls;
}

void ac_consumer_header(ac_consumer *c, ac_http_request *request)
{
    c->request = request;
    if (c->cls->http_header != NULL)
        c->cls->http_header(c, request);
}

void ac_consumer_feed(ac_consumer *c, const void *data, size_t len)
{
    if (c->cls->feed != NULL)
        c->cls->feed(c, data, len);
}

void ac_consumer_resume(ac_consumer *c)
{
    if (c->cls->resume != NULL)
        c->cls->resume(c);
}

void ac_consumer_close(ac_consumer *c, int err)
{
    c->request = NULL;
    if (c->cls->close != NULL)
        c->cls->close(c, err);
}
