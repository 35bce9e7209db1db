/* SPDX-License-Identifier: MIT */
/* The memory consumer: collects a body up to a limit. */
#include "asyncore/consumers.h"

#include "../base/alloc.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define STANDARD_LIMIT ((size_t)64 * 1024 * 1024)

enum { SMALLEST = 1024 };

static ac_memory_consumer *self_of(ac_consumer *c)
{
    return AC_SELF(ac_memory_consumer, c);
}

/* Makes room for `want` bytes, the NUL included; never for more than the limit allows. */
static int reserve(ac_memory_consumer *self, size_t want)
{
    size_t cap = self->cap_ > 0 ? self->cap_ : SMALLEST;
    char  *data;

    if (want <= self->cap_)
        return 0;
    while (cap < want)
        cap = cap > SIZE_MAX / 2 ? want : cap * 2;
    if (cap > self->limit_ + 1)
        cap = self->limit_ + 1;
    data = ac__realloc(self->data, cap);
    if (data == NULL)
        return -ENOMEM;
    self->data = data;
    self->cap_ = cap;
    return 0;
}

/* A response begins: what an earlier one left is not a part of it. */
static void memory_header(ac_consumer *c, ac_http_request *request)
{
    (void)request;
    ac_memory_consumer_free(self_of(c));
}

static void memory_feed(ac_consumer *c, const void *data, size_t len)
{
    ac_memory_consumer *self = self_of(c);
    int                 rc;

    rc = len > self->limit_ - self->len ? -AC_ETOOLARGE : reserve(self, self->len + len + 1);
    if (rc < 0) {
        ac_http_fail(c->request, rc);
        return;
    }
    memcpy(self->data + self->len, data, len);
    self->len += len;
    self->data[self->len] = '\0';
}

static void memory_close(ac_consumer *c, int err)
{
    ac_memory_consumer *self = self_of(c);

    if (self->done != NULL)
        self->done(self, err);
}

static const ac_consumer_class memory_class = {
    .name        = "MemoryConsumer",
    .http_header = memory_header,
    .feed        = memory_feed,
    .close       = memory_close,
};

void ac_memory_consumer_init(ac_memory_consumer *c, size_t limit,
                             void (*done)(ac_memory_consumer *c, int err))
{
    if (c == NULL)
        return;
    *c = (ac_memory_consumer){.limit_ = limit > 0 ? limit : STANDARD_LIMIT, .done = done};
    if (c->limit_ > PTRDIFF_MAX - 1)
        c->limit_ = PTRDIFF_MAX - 1;
    ac_consumer_init(&c->base, &memory_class);
}

void ac_memory_consumer_free(ac_memory_consumer *c)
{
    if (c == NULL)
        return;
    ac__free(c->data);
    c->data = NULL;
    c->len = c->cap_ = 0;
}
