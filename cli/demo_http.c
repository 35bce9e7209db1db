/* SPDX-License-Identifier: MIT */
/*
 * The second half of the demo: a small HTTP origin, and fetches from it, in one loop. The page comes in
 * two pieces with a pause between them, so that it can be seen to be parsed while it arrives.
 */
#include "cli.h"
#include "demo.h"
#include "markup.h"

#include <asyncore-http.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* How long the second piece of the page lets wait. */
#define PAUSE (50 * AC_MILLISECOND)

static const char address[] = "127.0.0.1";

static const char first_piece[]  = "<title>The asyncore library</title>\n<h1>Dispatchers</h1>\n";
static const char second_piece[] = "<p>A socket is an object.</p>\n<h1>Consumers</h1>\n";

/* --- the origin --------------------------------------------------------------------------- */

struct channel {
    ac_chat  base;
    ac_timer timer; /* to the second piece */
    bool     answered;
};

static void second(ac_timer *t)
{
    struct channel *self = AC_CONTAINER(struct channel, timer, t);

    (void)ac_chat_push(&self->base, second_piece, sizeof second_piece - 1);
    (void)ac_chat_close_when_done(&self->base);
}

/* A request's head is whole. Requests of the demo's own have no body, and one path or another. */
static void channel_head(ac_chat *c, const void *data, size_t len)
{
    struct channel   *self    = AC_CONTAINER(struct channel, base, c);
    static const char moved[] = "GET /library ";

    if (self->answered)
        return;
    self->answered = true;
    if (len > sizeof moved && memcmp(data, moved, sizeof moved - 1) == 0) {
        (void)ac_writef(&c->base,
                        "HTTP/1.1 301 Moved Permanently\r\nServer: asyncore/%s\r\n"
                        "Location: /library/\r\nContent-Length: 0\r\n"
                        "Connection: close\r\n\r\n",
                        ac_version());
        (void)ac_chat_close_when_done(c);
        return;
    }
    (void)ac_writef(&c->base,
                    "HTTP/1.1 200 OK\r\nServer: asyncore/%s\r\n"
                    "Content-Type: text/html; charset=utf-8\r\nContent-Length: %zu\r\n"
                    "Connection: close\r\n\r\n%s",
                    ac_version(), sizeof first_piece + sizeof second_piece - 2, first_piece);
    (void)ac_timer_start(&self->timer, PAUSE);
}

static void channel_finalize(ac_dispatcher *d)
{
    ac_timer_stop(&AC_CONTAINER(struct channel, base, ac_chat_of(d))->timer);
}

static const ac_chat_class channel_class = {
    .base             = {.name        = "HTTPChannel",
                         .handle_read = ac_chat_handle_read,
                         .finalize    = channel_finalize},
    .found_terminator = channel_head,
};

static void origin_accept(ac_dispatcher *d)
{
    ac_sock sock;

    while (ac_accept(d, &sock, NULL) == 0) {
        struct channel *channel = ac_chat_new(struct channel, d->loop, &channel_class);

        if (channel == NULL) {
            ac_drop(d->loop, sock);
            continue;
        }
        ac_timer_init(&channel->timer, d->loop, second);
        (void)ac_chat_set_terminator(&channel->base, "\r\n\r\n", 4);
        if (ac_attach(&channel->base.base, sock) < 0)
            ac_close(&channel->base.base);
    }
}

static const ac_class origin_class = {
    .name          = "HTTPServer",
    .handle_accept = origin_accept,
};

/* --- the fetches -------------------------------------------------------------------------- */

struct fetch {
    ac_consumer      base; /* prints, as the classic's DummyConsumer */
    ac_html_consumer html;
    struct cli      *cli;
    ac_http_client  *client;
    ac_dispatcher    origin;
    uint16_t         port, closed_port;
    int              step, status;
    size_t           size;
    bool             heading;
};

static void next_step(struct fetch *f);

static void fetch_header(ac_consumer *c, ac_http_request *request)
{
    struct fetch *f = AC_SELF(struct fetch, c);

    if (ac_http_status(request) == 0) {
        cli_print(f->cli, "connection failed\n");
        return;
    }
    cli_print(f->cli, "status => %s %d %s\n", ac_http_version(request), ac_http_status(request),
              ac_http_reason(request));
    for (size_t i = 0; i < ac_http_field_count(request); i++) {
        ac_http_field field = ac_http_field_at(request, i);

        cli_print(f->cli, "%s = %s\n", field.name, field.value);
    }
}

static void fetch_feed(ac_consumer *c, const void *data, size_t len)
{
    (void)data;
    AC_SELF(struct fetch, c)->size += len;
}

static void fetch_close(ac_consumer *c, int err)
{
    struct fetch *f = AC_SELF(struct fetch, c);

    if (err == 0)
        cli_print(f->cli, "%zu bytes in body\n", f->size);
    f->size = 0;
    next_step(f);
}

static const ac_consumer_class fetch_class = {
    .name        = "DummyConsumer",
    .http_header = fetch_header,
    .feed        = fetch_feed,
    .close       = fetch_close,
};

static void hop(void *context, ac_http_request *request, const char *to)
{
    (void)request;
    cli_print(((struct fetch *)context)->cli, "redirecting to %s ...\n", to);
}

static void html_start(ac_html_consumer *h, const char *name, const char *const *attributes)
{
    (void)attributes;
    AC_CONTAINER(struct fetch, html, h)->heading = strcmp(name, "h1") == 0;
}

static void html_text(ac_html_consumer *h, const char *text, size_t len)
{
    struct fetch *f = AC_CONTAINER(struct fetch, html, h);

    if (f->heading)
        cli_print(f->cli, "heading: %.*s\n", (int)len, text);
    f->heading = false;
}

static void html_close(ac_html_consumer *h, int err)
{
    struct fetch *f = AC_CONTAINER(struct fetch, html, h);

    cli_print(f->cli, "end of page%s\n", err < 0 ? ", which is not whole" : "");
    if (err < 0)
        f->status = CLI_FAILED;
    next_step(f);
}

static const ac_html_class html_class = {
    .start = html_start, .text = html_text, .close = html_close};

static int get(struct fetch *f, uint16_t port, const char *path, ac_consumer *consumer)
{
    char url[64];

    (void)snprintf(url, sizeof url, "http://%s:%u%s", address, (unsigned)port, path);
    return consumer != NULL ? ac_http_get(f->client, url, consumer) : -1;
}

static void next_step(struct fetch *f)
{
    ac_redirect_options options = {.size = sizeof options, .hop = hop, .context = f};
    int                 rc      = 0;

    switch (f->step++) {
    case 0:
        rc = get(f, f->port, "/", &f->base);
        break;
    case 1:
        rc = get(f, f->port, "/library", ac_redirect_new(&f->base, &options));
        break;
    case 2:
        rc = get(f, f->closed_port, "/", &f->base);
        break;
    case 3:
        if (cli_markup() != NULL) {
            cli_markup()->html_consumer_init(&f->html, &html_class);
            rc = get(f, f->port, "/library/", &f->html.base);
            break;
        }
        cli_error(f->cli, "asyncore-markup: %s", cli_markup_error());
        f->status = CLI_FAILED;
        ac_close(&f->origin);
        break;
    default:
        ac_close(&f->origin);
    }
    if (rc < 0) {
        f->status = CLI_FAILED;
        ac_close(&f->origin);
    }
}

/* A port at which nobody listens: one that somebody did a moment ago. */
static uint16_t closed_port(ac_loop *loop)
{
    ac_dispatcher *d = ac_new(ac_dispatcher, loop, &origin_class);
    uint16_t       port;

    if (d == NULL || ac_listen(d, address, 0, 1) < 0) {
        ac_close(d);
        return 1;
    }
    port = ac_local_port(d);
    ac_close(d);
    return port;
}

int demo_http(struct cli *cli, ac_loop *loop)
{
    struct fetch f = {.cli = cli, .status = CLI_OK};
    char         text[CLI_TEXT];
    int          rc;

    f.client = ac_http_client_new(loop, NULL);
    ac_consumer_init(&f.base, &fetch_class);
    (void)ac_init(&f.origin, loop, &origin_class);
    rc = f.client != NULL ? ac_listen(&f.origin, address, 0, 5) : -ENOMEM;
    if (rc == 0) {
        f.port        = ac_local_port(&f.origin);
        f.closed_port = closed_port(loop);
        cli_print(cli, "listening on port %u\n", (unsigned)f.port);
        next_step(&f);
        rc = ac_run(loop);
    }
    if (rc < 0) {
        cli_error(cli, "%s", cli_reason(rc, text));
        f.status = CLI_FAILED;
    }
    (void)ac_http_client_free(f.client);
    return f.status;
}
