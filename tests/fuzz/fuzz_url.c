/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target of the URL parser. The input is a URL and, after the first 0xff, another one to
 * be resolved against it. A result that does not keep the parser's promises is a crash.
 */
#include "asyncore/url.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static bool ends_at(ac_span span, size_t at)
{
    return (size_t)span.at + span.len == at;
}

static void check(const ac_url *url)
{
    ac_url again;
    size_t end = url->len;
    char   shown[64];

    require(url->text[url->len] == '\0');
    for (size_t i = 0; i < url->len; i++)
        require(url->text[i] > ' ' && url->text[i] < 0x7f);
    if (url->has_fragment) {
        require(ends_at(url->fragment, end) && url->text[url->fragment.at - 1] == '#');
        end = url->fragment.at - 1;
    }
    if (url->has_query) {
        require(ends_at(url->query, end) && url->text[url->query.at - 1] == '?');
        end = url->query.at - 1;
    }
    require(ends_at(url->path, end) && url->text[url->path.at] == '/');
    require(url->host.len > 0);
    require(url->has_port || ends_at(url->host, url->path.at));
    require(!url->has_user || url->text[url->host.at - 1] == '@');

    require(ac_url_parse(&again, url->text, url->len, NULL) == 0);
    require(again.len == url->len && memcmp(again.text, url->text, url->len) == 0);
    require(again.port == url->port && again.path.at == url->path.at);
    require(ac_url_same_origin(url, &again));
    ac_url_free(&again);
    require(ac_url_public(url, shown, sizeof shown, false) <= url->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *cut  = len > 0 ? memchr(data, 0xff, len) : NULL;
    size_t         head = cut != NULL ? (size_t)(cut - data) : len;
    ac_url         base, url;

    if (ac_url_parse(&base, (const char *)data, head, NULL) != 0)
        return 0;
    check(&base);
    if (cut != NULL && ac_url_parse(&url, (const char *)cut + 1, len - head - 1, &base) == 0) {
        check(&url);
        ac_url_free(&url);
    }
    ac_url_free(&base);
    return 0;
}
