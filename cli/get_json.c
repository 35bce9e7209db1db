/* SPDX-License-Identifier: MIT */
/* A transfer as one line of JSON. Keys are only ever added, and always all there. */
#include "get.h"

#include <inttypes.h>

static void key_text(struct text *out, const char *key, const char *value)
{
    text_printf(out, ",\"%s\":", key);
    text_json(out, value);
}

static void key_number(struct text *out, const char *key, uint64_t value)
{
    text_printf(out, ",\"%s\":%" PRIu64, key, value);
}

static void key_bool(struct text *out, const char *key, bool value)
{
    text_printf(out, ",\"%s\":%s", key, value ? "true" : "false");
}

static void add_hops(struct text *out, const struct result *r)
{
    text_puts(out, ",\"redirects\":[");
    for (size_t i = 0; i < r->hop_count && i < 20; i++) {
        text_printf(out, "%s{\"code\":%d,\"url\":", i > 0 ? "," : "", r->hops[i].code);
        text_json(out, r->hops[i].url);
        text_puts(out, "}");
    }
    text_puts(out, "]");
}

static void add_bytes(struct text *out, const struct result *r)
{
    key_number(out, "bytes", r->times.bytes);
    key_number(out, "wire_bytes", r->times.wire_bytes);
    key_number(out, "header_bytes", r->times.header_bytes + r->hop_head);
    key_number(out, "sent_bytes", r->times.sent_bytes + r->hop_sent);
    if (r->times.length >= 0)
        key_number(out, "length", (uint64_t)r->times.length);
    else
        text_puts(out, ",\"length\":null");
    key_text(out, "type", r->type);
    key_text(out, "encoding", r->encoding);
    key_number(out, "attempts", r->attempts);
    key_number(out, "resumed_from", r->resumed_from);
    key_bool(out, "reused", r->times.reused);
}

static void add_address(struct text *out, const struct result *r)
{
    char buf[AC_ADDR_TEXT];

    key_text(out, "address",
             r->times.peer.len > 0 ? ac_addr_format(&r->times.peer, buf, sizeof buf) : NULL);
}

/* Seconds; `ns` < 0: it did not happen. */
static void add_time(struct text *out, const char *key, int64_t ns, bool first)
{
    if (ns < 0)
        text_printf(out, "%s\"%s\":null", first ? "" : ",", key);
    else
        text_printf(out, "%s\"%s\":%" PRId64 ".%06" PRId64, first ? "" : ",", key, ns / AC_SECOND,
                    ns % AC_SECOND / AC_MICROSECOND);
}

/* The times of the last request count from its own start: they are moved to that of the work. */
static void add_times(struct text *out, const struct result *r)
{
    const ac_http_times *t     = &r->times;
    int64_t              total = r->started >= 0 ? r->ended - r->started : 0;
    /* The times of the last request count from its own beginning. */
    int64_t shift = r->started >= 0 && t->total >= 0 ? r->taken - t->total - r->started : 0;

    if (shift < 0)
        shift = 0;
    text_puts(out, ",\"time\":{");
    add_time(out, "queued", r->queued, true);
    add_time(out, "name", t->name >= 0 ? t->name + shift : -1, false);
    add_time(out, "connect", t->connect >= 0 ? t->connect + shift : -1, false);
    add_time(out, "tls", -1, false);
    add_time(out, "sent", t->sent >= 0 ? t->sent + shift : -1, false);
    add_time(out, "first_byte", t->first_byte >= 0 ? t->first_byte + shift : -1, false);
    add_time(out, "total", total, false);
    text_puts(out, "}");
}

void json_line(struct text *out, const struct result *r, size_t index, const char *url)
{
    bool ok = r->kind == KIND_NONE;

    text_printf(out, "{\"v\":1,\"index\":%zu", index);
    key_text(out, "url", url);
    key_text(out, "final_url", r->final_url != NULL ? r->final_url : url);
    key_text(out, "method", r->method);
    add_hops(out, r);
    text_printf(out, ",\"status\": %d", r->status);
    key_bool(out, "ok", ok);
    key_text(out, "error", ok ? NULL : kind_name(r->kind));
    key_text(out, "error_text", ok ? NULL : result_text(r));
    key_text(out, "phase", ok ? NULL : r->phase);
    key_text(out, "http", r->http);
    add_bytes(out, r);
    add_address(out, r);
    add_times(out, r);
    key_text(out, "file", r->file);
    text_puts(out, "}\n");
}
