/* SPDX-License-Identifier: MIT */
/*
 * A consumer that follows redirects, written by a user: http_redirect URL. The library's own,
 * ac_redirect_new(), knows the rules of RFC 9110 besides.
 */
#include <asyncore-http.h>

#include <stdio.h>

struct dummy {
    ac_consumer base;
    size_t      size;
};

struct redirecting {
    ac_consumer  base;
    ac_consumer *consumer;
};

static void dummy_header(ac_consumer *c, ac_http_request *request)
{
    (void)c;
    if (ac_http_status(request) == 0)
        printf("connection failed\n");
    else
        printf("status => %s %d %s\n", ac_http_version(request), ac_http_status(request),
               ac_http_reason(request));
}

static void dummy_feed(ac_consumer *c, const void *data, size_t len)
{
    (void)data;
    AC_SELF(struct dummy, c)->size += len;
}

static void dummy_close(ac_consumer *c, int err)
{
    printf("%zu bytes in body%s\n", AC_SELF(struct dummy, c)->size, err < 0 ? " (not whole)" : "");
}

static const ac_consumer_class dummy_class = {
    .name        = "DummyConsumer",
    .http_header = dummy_header,
    .feed        = dummy_feed,
    .close       = dummy_close,
};

static void redirecting_header(ac_consumer *c, ac_http_request *request)
{
    const char *uri = ac_http_location(request);

    if (uri == NULL || (ac_http_status(request) != 301 && ac_http_status(request) != 302)) {
        ac_consumer_header(AC_SELF(struct redirecting, c)->consumer, request);
        return;
    }
    printf("redirecting to %s ...\n", uri);
    ac_http_close(request);                          /* uri lives to the end of the turn */
    ac_http_get(ac_http_client_of(request), uri, c); /* the consumer moves to the new request */
}

static void redirecting_feed(ac_consumer *c, const void *data, size_t len)
{
    ac_consumer_feed(AC_SELF(struct redirecting, c)->consumer, data, len);
}

static void redirecting_close(ac_consumer *c, int err)
{
    ac_consumer_close(AC_SELF(struct redirecting, c)->consumer, err);
}

static const ac_consumer_class redirecting_class = {
    .name        = "RedirectingConsumer",
    .http_header = redirecting_header,
    .feed        = redirecting_feed,
    .close       = redirecting_close,
};

int main(int argc, char **argv)
{
    ac_loop           *loop     = ac_loop_new();
    ac_http_client    *client   = ac_http_client_new(loop, NULL);
    struct dummy       dummy    = {.size = 0};
    struct redirecting consumer = {.consumer = &dummy.base};

    ac_consumer_init(&dummy.base, &dummy_class);
    ac_consumer_init(&consumer.base, &redirecting_class);
    ac_http_get(client, argc > 1 ? argv[1] : "http://localhost/", &consumer.base);
    ac_run(loop); /* ends though connections idle in the pool */
    ac_http_client_free(client);
    ac_loop_free(loop);
}
