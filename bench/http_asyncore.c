/* SPDX-License-Identifier: MIT */
/* Fetching with asyncore-http. Modes: deliver, discard. */
#include "http_bench.h"

#include <asyncore-http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fetch {
    ac_consumer base;
    bool        good;
};

static struct http_bench bench;
static ac_http_client   *client;

static void header(ac_consumer *c, ac_http_request *request)
{
    AC_SELF(struct fetch, c)->good = ac_http_status(request) == 200;
}

static void feed(ac_consumer *c, const void *data, size_t len)
{
    (void)c;
    (void)data;
    bench.bytes += (int64_t)len;
}

static void next(ac_consumer *c)
{
    if (bench.left > 0 && ac_http_get(client, bench.url, c) == 0)
        bench.left--;
}

static void closed(ac_consumer *c, int err)
{
    if (err == 0 && AC_SELF(struct fetch, c)->good)
        bench.done++;
    else
        fprintf(stderr, "%s\n", ac_strerror(err));
    next(c);
}

static const ac_consumer_class deliver = {
    .name = "deliver", .http_header = header, .feed = feed, .close = closed};
static const ac_consumer_class discard = {
    .name = "discard", .http_header = header, .close = closed, .flags = AC_DISCARD};

int main(int argc, char **argv)
{
    ac_loop        *loop = ac_loop_new();
    ac_http_options options;
    struct fetch   *fetches;
    long            expected;
    int             rc;

    http_bench_args(&bench, argc, argv);
    options  = (ac_http_options){.size            = sizeof options,
                                 .max_connections = (unsigned)bench.connections,
                                 .per_host        = (unsigned)bench.connections,
                                 .idle_per_host   = (unsigned)bench.connections,
                                 .max_idle        = (unsigned)bench.connections};
    expected = bench.left;
    fetches  = calloc((size_t)bench.connections, sizeof *fetches);
    if (loop == NULL || fetches == NULL || (client = ac_http_client_new(loop, &options)) == NULL)
        return 1;
    http_bench_begin();
    for (int i = 0; i < bench.connections; i++) {
        ac_consumer_init(&fetches[i].base,
                         strcmp(bench.mode, "discard") == 0 ? &discard : &deliver);
        next(&fetches[i].base);
    }
    if (ac_run(loop) < 0)
        return 1;
    rc = http_bench_end(&bench, expected);
    ac_http_client_free(client);
    ac_loop_free(loop);
    free(fetches);
    return rc;
}
