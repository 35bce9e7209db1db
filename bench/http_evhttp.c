/* SPDX-License-Identifier: MIT */
/* Fetching with evhttp of libevent. The one mode: chunked (bodies are taken as they come). */
#include "http_bench.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct http_bench bench;
static const char       *path;
static char              host[256];

static void next(struct evhttp_connection *conn);

static void on_chunk(struct evhttp_request *request, void *conn)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    size_t           len   = evbuffer_get_length(input);

    (void)conn;
    bench.bytes += (int64_t)len;
    evbuffer_drain(input, len);
}

static void on_end(struct evhttp_request *request, void *conn)
{
    if (request != NULL && evhttp_request_get_response_code(request) == 200)
        bench.done++;
    else
        fprintf(stderr, "a fetch failed\n");
    next(conn);
}

static void next(struct evhttp_connection *conn)
{
    struct evhttp_request *request;

    if (bench.left <= 0)
        return;
    bench.left--;
    request = evhttp_request_new(on_end, conn);
    evhttp_request_set_chunked_cb(request, on_chunk);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Host", host);
    evhttp_make_request(conn, request, EVHTTP_REQ_GET, path);
}

int main(int argc, char **argv)
{
    struct event_base *base = event_base_new();
    struct evhttp_uri *uri;
    long               expected;

    http_bench_args(&bench, argc, argv);
    expected = bench.left;
    uri      = evhttp_uri_parse(bench.url);
    if (base == NULL || uri == NULL)
        return 1;
    path = evhttp_uri_get_path(uri);
    snprintf(host, sizeof host, "%s:%d", evhttp_uri_get_host(uri), evhttp_uri_get_port(uri));
    http_bench_begin();
    for (int i = 0; i < bench.connections; i++) {
        struct evhttp_connection *conn = evhttp_connection_base_new(
            base, NULL, evhttp_uri_get_host(uri), (uint16_t)evhttp_uri_get_port(uri));

        next(conn);
    }
    while (bench.done < expected && event_base_loop(base, EVLOOP_ONCE) == 0)
        continue;
    return http_bench_end(&bench, expected);
}
