/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target of the HTML, XML and link consumers. The first byte chooses the consumer and the
 * character set, the second the size of the pieces, the third where slots pause and close; the rest
 * is the page. It is fed twice, whole and in pieces: what is told must be the same.
 */
#include "asyncore-markup.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A stand-in for the request. */
struct ac_http_request {
    int         err;
    const char *type;
    bool        paused, ending;
};

int ac_http_status(const ac_http_request *r)
{
    return r != NULL ? 200 : 0;
}

int ac_http_error(const ac_http_request *r)
{
    return r->err;
}

const char *ac_http_url(const ac_http_request *r)
{
    return r != NULL ? "http://example.org/d/p" : "";
}

const char *ac_http_method(const ac_http_request *r)
{
    return r != NULL ? "GET" : "";
}

const char *ac_http_field_get(const ac_http_request *r, const char *name)
{
    return strcmp(name, "content-type") == 0 ? r->type : NULL;
}

void ac_http_fail(ac_http_request *r, int err)
{
    if (r->err == 0 && !r->ending)
        r->err = err;
}

bool ac_http_paused(const ac_http_request *r)
{
    return r->paused;
}

/* --- what is told, as a number and its last kind ------------------------------------------ */

struct run {
    union {
        ac_html_consumer html;
        ac_xml_consumer  xml;
        ac_link_consumer link;
    } c;
    ac_http_request request;
    uint64_t        hash;
    unsigned        events, pause_every, close_at;
    int             depth, closed, err;
};

static struct run *current;

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void mix(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        current->hash = (current->hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
}

static void on_event(void)
{
    struct run *r = current;

    require(r->closed == 0 && r->request.err == 0);
    require(!r->request.paused || r->request.ending || r->pause_every == 0);
    r->events++;
    if (r->pause_every != 0 && r->events % r->pause_every == 0)
        r->request.paused = true;
    if (r->close_at != 0 && r->events == r->close_at)
        ac_http_fail(&r->request, -AC_ECANCELED);
}

static void on_start(const char *name, const char *const *attributes)
{
    mix("<", 1);
    mix(name, strlen(name));
    for (; attributes != NULL && *attributes != NULL; attributes += 2) {
        mix(" ", 1);
        mix(attributes[0], strlen(attributes[0]));
        if (attributes[1] != NULL)
            mix(attributes[1], strlen(attributes[1]));
    }
    current->depth++;
    on_event();
}

static void on_end(const char *name)
{
    mix("</", 2);
    mix(name, strlen(name));
    current->depth--;
    on_event();
}

static void on_text(const char *text, size_t len)
{
    require(len > 0);
    mix(text, len);
    on_event();
}

static void on_comment(const char *text)
{
    mix("<!", 2);
    mix(text, strlen(text));
    on_event();
}

static void on_close(int err)
{
    require(current->closed++ == 0);
    current->err = err;
}

static void html_start(ac_html_consumer *c, const char *name, const char *const *attributes)
{
    (void)c;
    on_start(name, attributes);
}

static void html_end(ac_html_consumer *c, const char *name)
{
    (void)c;
    on_end(name);
}

static void html_text(ac_html_consumer *c, const char *text, size_t len)
{
    (void)c;
    on_text(text, len);
}

static void html_comment(ac_html_consumer *c, const char *text)
{
    (void)c;
    on_comment(text);
}

static void html_close(ac_html_consumer *c, int err)
{
    (void)c;
    on_close(err);
}

static void xml_start(ac_xml_consumer *c, const char *name, const char *const *attributes)
{
    (void)c;
    on_start(name, attributes);
}

static void xml_end(ac_xml_consumer *c, const char *name)
{
    (void)c;
    on_end(name);
}

static void xml_text(ac_xml_consumer *c, const char *text, size_t len)
{
    (void)c;
    on_text(text, len);
}

static void xml_comment(ac_xml_consumer *c, const char *text)
{
    (void)c;
    on_comment(text);
}

static void xml_close(ac_xml_consumer *c, int err)
{
    const char *text = ac_xml_error_text(c);

    require(strlen(text) < 96 && (err != 0 || *text == '\0'));
    on_close(err);
}

static void on_link(void *context, const char *url, size_t len)
{
    (void)context;
    require(strlen(url) == len && strncmp(url, "http", 4) == 0);
    on_text(url, len);
}

static void on_done(void *context, int err)
{
    (void)context;
    on_close(err);
}

static const ac_html_class html_class = {.start   = html_start,
                                         .end     = html_end,
                                         .text    = html_text,
                                         .comment = html_comment,
                                         .close   = html_close};
static const ac_xml_class  xml_class  = {.start   = xml_start,
                                         .end     = xml_end,
                                         .text    = xml_text,
                                         .comment = xml_comment,
                                         .close   = xml_close};

static const char *const types[] = {
    NULL,
    "text/html; charset=utf-8",
    "text/html; charset=windows-1251",
    "text/html; charset=shift_jis",
    "text/html; charset=utf-16",
    "text/html; charset=iso-2022-jp",
    "text/html; charset=gb18030",
    "text/html; charset=big5",
};

static ac_consumer *choose(struct run *r, unsigned kind)
{
    switch (kind % 4) {
    case 0:
        ac_xml_consumer_init(&r->c.xml, &xml_class, (kind & 4) != 0);
        return &r->c.xml.base;
    case 1:
        ac_link_consumer_init(&r->c.link, r, on_link, on_done);
        return &r->c.link.html.base;
    default:
        ac_html_consumer_init(&r->c.html, &html_class);
        return &r->c.html.base;
    }
}

static void go_on(ac_consumer *c, ac_http_request *request)
{
    while (request->paused && request->err == 0) {
        request->paused = false;
        if (c->cls->resume != NULL)
            c->cls->resume(c);
    }
}

static void feed(struct run *r, unsigned kind, const uint8_t *data, size_t len, size_t step)
{
    ac_consumer *c;

    current         = r;
    r->hash         = UINT64_C(14695981039346656037);
    r->request.type = types[kind >> 3 & 7];
    c               = choose(r, kind);
    c->request      = &r->request;
    c->cls->http_header(c, &r->request);
    while (len > 0 && r->request.err == 0) {
        size_t n     = len < step ? len : step;
        void  *piece = malloc(n);

        memcpy(piece, data, n);
        c->cls->feed(c, piece, n);
        free(piece);
        go_on(c, &r->request);
        data += n;
        len -= n;
    }
    r->request.ending = true;
    c->request        = NULL;
    c->cls->close(c, r->request.err);
    require(r->closed == 1);
    /* libxml2 may leave out the end of a void element whose tag the end of the page has cut. */
    if (r->err == 0)
        require(r->depth == 0 || (r->depth > 0 && kind % 4 != 0));
}

/*
 * Whether quotes stand round values only. libxml2 looks for the end of a tag by other rules than it
 * reads one: a quote inside of a value without quotes can make it read a tag that is not whole.
 */
static bool tidy(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const uint8_t *close;

        if (data[i] == '<' && i + 1 < len && data[i + 1] == '/') {
            while (i + 1 < len && data[i + 1] != '>')
                if (data[++i] == '"' || data[i] == '\'')
                    return false;
        }
        if (data[i] != '"' && data[i] != '\'')
            continue;
        close = memchr(data + i + 1, data[i], len - i - 1);
        if (i == 0 || data[i - 1] != '=' || close == NULL)
            return false;
        if (memchr(data + i, '<', (size_t)(close - data) - i) != NULL)
            return false;
        i = (size_t)(close - data);
        if (i + 1 < len && strchr(" \t\n>/", data[i + 1]) == NULL)
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct run whole, pieces, closed;

    if (len < 3)
        return 0;
    memset(&whole, 0, sizeof whole);
    memset(&pieces, 0, sizeof pieces);
    memset(&closed, 0, sizeof closed);
    feed(&whole, data[0], data + 3, len - 3, 16384);
    /* Only XML stops within a piece. */
    if (data[0] % 4 == 0)
        pieces.pause_every = data[2] & 7;
    feed(&pieces, data[0], data + 3, len - 3, (size_t)data[1] + 1);
    if (data[0] % 4 == 0 || tidy(data + 3, len - 3)) {
        /* Of what is no XML, expat calls the same bytes wrong or cut. */
        require(data[0] % 4 == 0 ? (whole.err == 0) == (pieces.err == 0) : whole.err == pieces.err);
        /* A parser that fails has told what stood before, which may be less of a piece. */
        if (whole.err == 0)
            require(whole.hash == pieces.hash);
    }
    closed.close_at = 1 + (data[2] >> 3);
    feed(&closed, data[0], data + 3, len - 3, (size_t)data[1] + 1);
    /* Once the response has ended there is nothing left to close. */
    require(closed.events <= closed.close_at || closed.request.err == 0);
    return 0;
}
