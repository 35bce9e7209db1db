/* SPDX-License-Identifier: MIT */
/* Fetches a resource and says what came: http_get URL. */
#include <asyncore-http.h>

#include <stdio.h>

struct dummy {
    ac_consumer base;
    size_t      size;
};

static void dummy_header(ac_consumer *c, ac_http_request *request)
{
    (void)c;
    if (ac_http_status(request) == 0) {
        printf("connection failed\n"); /* ac_http_error(request) says why */
        return;
    }
    printf("status => %s %d %s\n", ac_http_version(request), ac_http_status(request),
           ac_http_reason(request));
    for (size_t i = 0; i < ac_http_field_count(request); i++) {
        ac_http_field f = ac_http_field_at(request, i);

        printf("%s = %s\n", f.name, f.value);
    }
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

int main(int argc, char **argv)
{
    ac_loop        *loop     = ac_loop_new();
    ac_http_client *client   = ac_http_client_new(loop, NULL);
    struct dummy    consumer = {.size = 0};

    ac_consumer_init(&consumer.base, &dummy_class);
    ac_http_get(client, argc > 1 ? argv[1] : "http://localhost/", &consumer.base);
    ac_run(loop);
    ac_http_client_free(client);
    ac_loop_free(loop);
}
