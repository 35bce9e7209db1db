/* SPDX-License-Identifier: MIT */
/* Requests as bytes (RFC 9112, 3 and 5): what may be sent, the head, and the body. */
#include "private.h"
#include "url.h"

#include "../base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    SMALL_BODY  = 16 * 1024,   /* goes out with the head, in one call */
    EXPECT_FROM = 1024 * 1024, /* a larger body asks first (RFC 9110, 10.1.1) */
    OUT_HIGH    = 256 * 1024,
    OUT_LOW     = 64 * 1024
};

/* --- what may be sent ----------------------------------------------------------------------- */

/* Fields that say how the message is framed are the library's to send. */
static bool is_ours(const ac_http_field *f)
{
    static const char *const names[] = {
        "content-length", "transfer-encoding", "connection", "keep-alive", "te",
        "trailer",        "upgrade",           "expect"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (ac__token_is(f->name, f->name_len, names[i]))
            return true;
    return false;
}

int ac__out_check(const ac_http_args *a)
{
    if (a->url == NULL || (a->field_count > 0 && a->fields == NULL))
        return -EINVAL;
    if (a->method != NULL
        && (!ac__is_token(a->method, strlen(a->method)) || strcmp(a->method, "CONNECT") == 0))
        return -EINVAL;
    for (size_t i = 0, hosts = 0; i < a->field_count; i++) {
        const ac_http_field *f = &a->fields[i];

        if (f->name != NULL && ac__token_is(f->name, f->name_len, "host") && ++hosts > 1)
            return -EINVAL; /* RFC 9112, 3.2 */
        if (f->name == NULL || !ac__is_token(f->name, f->name_len) || is_ours(f))
            return -EINVAL;
        if (f->value != NULL && !ac__is_field_value(f->value, f->value_len))
            return -EINVAL;
    }
    if (a->body != NULL && a->body->data == NULL && a->body->more == NULL && a->body->len != 0)
        return -EINVAL;
    if (a->body != NULL && a->body->data != NULL && a->body->len < 0)
        return -EINVAL;
    return 0;
}

/* --- putting text together -------------------------------------------------------------------- */

/* Appends to client->out; out of memory is noted by out_len = SIZE_MAX. */
static void put(ac_http_client *c, const void *data, size_t len)
{
    if (c->out_len == SIZE_MAX)
        return;
    if (ac__grow(&c->out, &c->out_cap, c->out_len + len, 1) < 0) {
        c->out_len = SIZE_MAX;
        return;
    }
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
}

static void put_text(ac_http_client *c, const char *text)
{
    put(c, text, strlen(text));
}

static void put_field(ac_http_client *c, const char *name, const char *value, size_t len)
{
    put_text(c, name);
    put(c, ": ", 2);
    put(c, value, len);
    put(c, "\r\n", 2);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Basic credentials of the userinfo (RFC 7617), percent-decoded on the way. */
static void put_basic(ac_http_client *c, const ac_url *url)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const ac_span parts[2] = {url->username, url->password};
    uint32_t      bits     = 0;
    int           have     = 0;
    size_t        total    = 0;

    put_text(c, "Authorization: Basic ");
    for (int p = 0; p < 2; p++) {
        for (uint32_t i = 0; i <= parts[p].len; i++) {
            const char *at = url->text + parts[p].at + i;
            unsigned    byte;

            if (i == parts[p].len) {
                if (p == 1)
                    break;
                byte = ':';
            } else if (*at == '%' && i + 2 < parts[p].len && hex(at[1]) >= 0 && hex(at[2]) >= 0) {
                byte = (unsigned)(hex(at[1]) * 16 + hex(at[2]));
                i += 2;
            } else {
                byte = (uint8_t)*at;
            }
            bits = bits << 8 | (byte & 0xff);
            total++;
            if (++have == 3) {
                const char four[4] = {alphabet[bits >> 18 & 63], alphabet[bits >> 12 & 63],
                                      alphabet[bits >> 6 & 63], alphabet[bits & 63]};

                put(c, four, 4);
                bits = 0;
                have = 0;
            }
        }
    }
    if (have == 1) {
        const char four[4] = {alphabet[bits >> 2 & 63], alphabet[bits << 4 & 63], '=', '='};

        put(c, four, 4);
    } else if (have == 2) {
        const char four[4] = {alphabet[bits >> 10 & 63], alphabet[bits >> 4 & 63],
                              alphabet[bits << 2 & 63], '='};

        put(c, four, 4);
    }
    (void)total;
    put(c, "\r\n", 2);
}

/* Whether the caller has given a field of that name, which then stands instead of ours. */
static bool given(const ac__args *a, const char *lower)
{
    for (size_t i = 0; a != NULL && i < a->field_count; i++)
        if (ac__token_is(a->fields[i].name, a->fields[i].name_len, lower))
            return true;
    return false;
}

static void put_host(ac_http_client *c, const ac_url *url)
{
    char port[16];

    put_text(c, "Host: ");
    put(c, url->text + url->host.at, url->host.len);
    if (url->has_port) {
        port[0] = ':';
        put(c, port, 1 + ac__url_decimal(port + 1, url->port));
    }
    put(c, "\r\n", 2);
}

static void put_defaults(ac_http_client *c, const ac__exchange *x, const ac__args *a)
{
    const ac_url *url = &x->url;

    for (size_t i = 0; a != NULL && i < a->field_count; i++) /* Host is first, whoever says it */
        if (ac__token_is(a->fields[i].name, a->fields[i].name_len, "host")
            && a->fields[i].value_len > 0)
            put_field(c, "Host", a->fields[i].value, a->fields[i].value_len);
    if (!given(a, "host"))
        put_host(c, url);
    if (!given(a, "user-agent") && c->user_agent[0] != '\0')
        put_field(c, "User-Agent", c->user_agent, strlen(c->user_agent));
    if (!given(a, "accept"))
        put_text(c, "Accept: */*\r\n");
    if (!x->raw && !given(a, "accept-encoding"))
        put_text(c, "Accept-Encoding: gzip, deflate, br, zstd\r\n");
    if (url->has_user && !given(a, "authorization"))
        put_basic(c, url);
}

/* The framing of the body. Returns false if it cannot be framed for this server. */
static bool put_framing(ac_http_client *c, ac__exchange *x, const ac__args *a, bool http10)
{
    const char *method = ac__request_method(x->request);
    char        text[64];
    int64_t     len = a != NULL && a->has_body ? a->body.len : 0;

    if (a != NULL && a->has_body && len < 0) {
        if (http10)
            return false;
        x->chunked_out = true;
        put_text(c, "Transfer-Encoding: chunked\r\n");
    } else if ((a != NULL && a->has_body) || strcmp(method, "POST") == 0
               || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0) {
        (void)snprintf(text, sizeof text, "Content-Length: %lld\r\n", (long long)len);
        put_text(c, text);
    }
    if ((len < 0 || len > EXPECT_FROM) && (x->request->flags & AC__R_NO_EXPECT) == 0 && !http10) {
        put_text(c, "Expect: 100-continue\r\n");
        x->expect_sent = true;
    }
    return true;
}

static void put_target(ac_http_client *c, const ac_url *url)
{
    put(c, url->text + url->path.at, url->path.len);
    if (url->has_query) {
        put(c, "?", 1);
        put(c, url->text + url->query.at, url->query.len);
    }
}

int ac__out_head(ac__conn *n, bool *whole)
{
    ac_http_client *c = n->client;
    ac__exchange   *x = n->request->x;
    const ac__args *a = n->request->args;

    c->out_len = 0;
    put_text(c, ac__request_method(n->request));
    put(c, " ", 1);
    put_target(c, &x->url);
    put_text(c, " HTTP/1.1\r\n");
    put_defaults(c, x, a);
    if (!put_framing(c, x, a, n->origin->http10))
        return -AC_EPROTO;
    for (size_t i = 0; a != NULL && i < a->field_count; i++) {
        const ac_http_field *f = &a->fields[i];

        if (ac__token_is(f->name, f->name_len, "host") || f->value == NULL
            || (f->value_len == 0 && !a->keep_empty))
            continue;
        put_field(c, f->name, f->value, f->value_len);
    }
    put(c, "\r\n", 2);
    *whole = a == NULL || !a->has_body || a->body.len == 0;
    if (!*whole && a->body.data != NULL && a->body.len <= SMALL_BODY && !x->expect_sent) {
        put(c, a->body.data, (size_t)a->body.len);
        x->body_out = a->body.len;
        *whole      = true;
    }
    return c->out_len == SIZE_MAX ? -ENOMEM : 0;
}

/* --- the body ----------------------------------------------------------------------------- */

/* The next piece of the body: its length, 0 at its end, -EAGAIN, or another failure. */
static ssize_t next_piece(ac__exchange *x, const void **data)
{
    const ac_http_body *b = &x->request->args->body;
    int64_t             left;

    if (b->data != NULL) {
        left  = b->len - x->body_out;
        *data = (const char *)b->data + x->body_out;
        return left > AC__PIECE ? AC__PIECE : (ssize_t)left;
    }
    x->request->client->loop->stats.callbacks++;
    return b->more(b->context, data);
}

static int write_counted(ac__conn *n, const void *data, size_t len)
{
    int rc = ac_write(&n->base, data, len);

    if (rc == 0)
        n->request->x->times.sent_bytes += len;
    return rc;
}

static int send_piece(ac__conn *n, const void *data, size_t len)
{
    char line[24];
    int  rc = 0;

    if (n->request->x->chunked_out) {
        (void)snprintf(line, sizeof line, "%zx\r\n", len);
        rc = write_counted(n, line, strlen(line));
        if (rc == 0)
            rc = write_counted(n, data, len);
        return rc == 0 ? write_counted(n, "\r\n", 2) : rc;
    }
    return write_counted(n, data, len);
}

static int end_body(ac__conn *n)
{
    ac__exchange       *x = n->request->x;
    const ac_http_body *b = &x->request->args->body;

    if (b->len >= 0 && x->body_out != b->len)
        return -EINVAL; /* fewer bytes than were promised */
    x->body_ended = true;
    return x->chunked_out ? write_counted(n, "0\r\n\r\n", 5) : 0;
}

int ac__out_body(ac__conn *n)
{
    ac_http_request *r = n->request;
    ac__exchange    *x = r->x;
    const void      *data;

    (void)ac_set_marks(&n->base, OUT_LOW, OUT_HIGH, (size_t)16 * 1024 * 1024);
    while (!x->body_ended && ac_queued(&n->base) < OUT_HIGH) {
        ssize_t len = next_piece(x, &data);
        int     rc;

        if (n->request != r || (r->flags & AC__R_CLOSED) != 0 || !ac_is_open(&n->base))
            return 0; /* closed by `more` */
        x->starved = len == -EAGAIN;
        if (len == -EAGAIN)
            return 0;
        n->stamp = ac__now(n->client->loop);
        ac__conn_arm(n);
        if (len < 0)
            return (int)len;
        if (len == 0)
            return end_body(n);
        if (r->args->body.len >= 0 && len > r->args->body.len - x->body_out)
            return -EINVAL;
        rc = send_piece(n, data, (size_t)len);
        if (rc < 0)
            return rc;
        x->body_out += len;
        n->stamp = ac__now(n->client->loop);
        if (r->args->body.data != NULL && x->body_out == r->args->body.len)
            return end_body(n);
    }
    return 0;
}
