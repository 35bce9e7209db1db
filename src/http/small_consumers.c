/* SPDX-License-Identifier: MIT */
/* The consumers that only pass on: to functions with a context, and to nowhere. */
#include "asyncore/consumers.h"

/* --- callbacks ------------------------------------------------------------------------------ */

static void callback_header(ac_consumer *c, ac_http_request *request)
{
    const ac_callback_consumer *self = AC_SELF(ac_callback_consumer, c);

    if (self->header != NULL)
        self->header(self->context, request);
}

static void callback_feed(ac_consumer *c, const void *data, size_t len)
{
    const ac_callback_consumer *self = AC_SELF(ac_callback_consumer, c);

    if (self->feed != NULL)
        self->feed(self->context, data, len);
}

static void callback_close(ac_consumer *c, int err)
{
    const ac_callback_consumer *self = AC_SELF(ac_callback_consumer, c);

    if (self->close != NULL)
        self->close(self->context, err);
}

static const ac_consumer_class callback_class = {
    .name        = "CallbackConsumer",
    .http_header = callback_header,
    .feed        = callback_feed,
    .close       = callback_close,
};

void ac_callback_consumer_init(ac_callback_consumer *c, void *context,
                               void (*header)(void *context, ac_http_request *request),
                               void (*feed)(void *context, const void *data, size_t len),
                               void (*close)(void *context, int err))
{
    if (c == NULL)
        return;
    *c = (ac_callback_consumer){.header = header, .feed = feed, .close = close, .context = context};
    ac_consumer_init(&c->base, &callback_class);
}

/* --- nowhere -------------------------------------------------------------------------------- */

static void discard_close(ac_consumer *c, int err)
{
    ac_discard_consumer *self = AC_SELF(ac_discard_consumer, c);

    if (self->done != NULL)
        self->done(self, err);
}

static const ac_consumer_class discard_class = {
    .name  = "DiscardConsumer",
    .close = discard_close,
    .flags = AC_DISCARD,
};

void ac_discard_consumer_init(ac_discard_consumer *c, void (*done)(ac_discard_consumer *c, int err))
{
    if (c == NULL)
        return;
    c->done = done;
    ac_consumer_init(&c->base, &discard_class);
}
