/* SPDX-License-Identifier: MIT */
/*
 * HTML, XML and links, fed as a client feeds them. The request is a stand-in: what the consumers
 * ask of one is defined here, and linked before the library's own.
 */
#include "asyncore-markup.h"

#include "../../src/markup/charset.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --- the stand-in ------------------------------------------------------------------------- */

struct ac_http_request {
    int         status, err;
    const char *type, *url, *method;
    bool        paused, ending;
};

int ac_http_status(const ac_http_request *r)
{
    return r->status;
}

int ac_http_error(const ac_http_request *r)
{
    return r->err;
}

const char *ac_http_url(const ac_http_request *r)
{
    return r->url != NULL ? r->url : "http://example.org/dir/page?q#f";
}

const char *ac_http_method(const ac_http_request *r)
{
    return r->method != NULL ? r->method : "GET";
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

void ac_http_close(ac_http_request *r)
{
    ac_http_fail(r, -AC_ECANCELED);
}

int ac_http_pause(ac_http_request *r)
{
    r->paused = true;
    return 0;
}

int ac_http_resume(ac_http_request *r)
{
    r->paused = false;
    return 0;
}

bool ac_http_paused(const ac_http_request *r)
{
    return r->paused;
}

static void begin(ac_consumer *c, ac_http_request *r)
{
    c->request = r;
    c->cls->http_header(c, r);
}

/* What the client does: pieces, none for a request that stopped, and the resumption before all
 * else. */
static void feed(ac_consumer *c, ac_http_request *r, const char *data, size_t len, size_t step)
{
    while (len > 0 && r->err == 0) {
        size_t n = len < step ? len : step;
        /* A copy of just this length, so that reading beyond it is seen. */
        char *piece = malloc(n);

        while (r->paused) {
            r->paused = false;
            if (c->cls->resume != NULL)
                c->cls->resume(c);
        }
        if (r->err != 0) {
            free(piece);
            return;
        }
        memcpy(piece, data, n);
        c->cls->feed(c, piece, n);
        free(piece);
        data += n;
        len -= n;
    }
}

static void finish(ac_consumer *c, ac_http_request *r)
{
    while (r->paused && r->err == 0) {
        r->paused = false;
        if (c->cls->resume != NULL)
            c->cls->resume(c);
    }
    r->ending  = true;
    c->request = NULL;
    c->cls->close(c, r->err);
}

/* --- what was told ------------------------------------------------------------------------ */

struct log {
    char  *text;
    size_t len, cap;
    bool   in_text;
    size_t events;
    int    closed, err;
    char   error[100];

    /* what a slot does at an event of this number */
    ac_http_request *request;
    size_t           close_at, pause_every;
    bool             loud; /* an event came while the request was held back */
};

AC_PRINTF(2, 3) static void add(struct log *l, const char *format, ...)
{
    va_list args;
    int     n;

    if (l->cap - l->len < 4096) {
        l->cap  = l->cap * 2 + 8192;
        l->text = realloc(l->text, l->cap);
    }
    va_start(args, format);
    n = vsnprintf(l->text + l->len, l->cap - l->len, format, args);
    va_end(args);
    if (n >= (int)(l->cap - l->len))
        n = (int)(l->cap - l->len) - 1;
    l->len += (size_t)n;
}

static void act(struct log *l)
{
    if (l->request == NULL)
        return;
    l->loud |= (l->request->paused && !l->request->ending) || l->request->err != 0;
    l->events++;
    if (l->close_at != 0 && l->events == l->close_at)
        ac_http_close(l->request);
    if (l->pause_every != 0 && l->events % l->pause_every == 0)
        ac_http_pause(l->request);
}

static void log_start(struct log *l, const char *name, const char *const *attributes)
{
    add(l, "<%s", name);
    for (; attributes != NULL && *attributes != NULL; attributes += 2)
        add(l, " %.200s=[%.1000s]", attributes[0],
            attributes[1] != NULL ? attributes[1] : "(null)");
    add(l, ">");
    act(l);
}

static void log_text(struct log *l, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i += 1000)
        add(l, "%.*s", (int)(len - i < 1000 ? len - i : 1000), text + i);
    act(l);
}

struct html {
    ac_html_consumer c;
    struct log       log;
    ac_http_request  request;
};

struct xml {
    ac_xml_consumer c;
    struct log      log;
    ac_http_request request;
};

static struct log *html_log(ac_html_consumer *c)
{
    return &AC_CONTAINER(struct html, c, c)->log;
}

static struct log *xml_log(ac_xml_consumer *c)
{
    return &AC_CONTAINER(struct xml, c, c)->log;
}

static void html_start(ac_html_consumer *c, const char *name, const char *const *attributes)
{
    log_start(html_log(c), name, attributes);
}

static void html_end(ac_html_consumer *c, const char *name)
{
    add(html_log(c), "</%s>", name);
    act(html_log(c));
}

static void html_text(ac_html_consumer *c, const char *text, size_t len)
{
    log_text(html_log(c), text, len);
}

static void html_comment(ac_html_consumer *c, const char *text)
{
    add(html_log(c), "<!--%s-->", text);
    act(html_log(c));
}

static void html_close(ac_html_consumer *c, int err)
{
    html_log(c)->closed++;
    html_log(c)->err = err;
}

static const ac_html_class html_class = {.start   = html_start,
                                         .end     = html_end,
                                         .text    = html_text,
                                         .comment = html_comment,
                                         .close   = html_close};

static void xml_start(ac_xml_consumer *c, const char *name, const char *const *attributes)
{
    log_start(xml_log(c), name, attributes);
}

static void xml_end(ac_xml_consumer *c, const char *name)
{
    add(xml_log(c), "</%s>", name);
    act(xml_log(c));
}

static void xml_text(ac_xml_consumer *c, const char *text, size_t len)
{
    log_text(xml_log(c), text, len);
}

static void xml_comment(ac_xml_consumer *c, const char *text)
{
    add(xml_log(c), "<!--%s-->", text);
    act(xml_log(c));
}

static void xml_close(ac_xml_consumer *c, int err)
{
    xml_log(c)->closed++;
    xml_log(c)->err = err;
    snprintf(xml_log(c)->error, sizeof xml_log(c)->error, "%s", ac_xml_error_text(c));
}

static const ac_xml_class xml_class = {.start   = xml_start,
                                       .end     = xml_end,
                                       .text    = xml_text,
                                       .comment = xml_comment,
                                       .close   = xml_close};

/* --- whole pages -------------------------------------------------------------------------- */

static void open_html(struct html *h, const char *type)
{
    memset(h, 0, sizeof *h);
    h->request = (ac_http_request){.status = 200, .type = type};
    add(&h->log, "%s", "");
    ac_html_consumer_init(&h->c, &html_class);
    begin(&h->c.base, &h->request);
}

/* Feeds a page in steps, after a first piece of `first` bytes. The result is the log's; free it. */
static char *run_html(const char *type, const char *page, size_t len, size_t first, size_t step,
                      int *err)
{
    struct html h;

    open_html(&h, type);
    if (first > len)
        first = len;
    feed(&h.c.base, &h.request, page, first, SIZE_MAX);
    feed(&h.c.base, &h.request, page + first, len - first, step);
    finish(&h.c.base, &h.request);
    assert_int_equal(h.log.closed, 1);
    if (err != NULL)
        *err = h.log.err;
    else
        assert_int_equal(h.log.err, 0);
    return h.log.text;
}

static char *run_xml(const char *type, const char *page, size_t len, size_t first, size_t step,
                     bool entities, size_t pause_every, int *err, char error[100])
{
    struct xml x = {.request = {.status = 200, .type = type}};

    x.log.pause_every = pause_every;
    x.log.request     = &x.request;
    add(&x.log, "%s", "");
    ac_xml_consumer_init(&x.c, &xml_class, entities);
    begin(&x.c.base, &x.request);
    if (first > len)
        first = len;
    feed(&x.c.base, &x.request, page, first, SIZE_MAX);
    feed(&x.c.base, &x.request, page + first, len - first, step);
    finish(&x.c.base, &x.request);
    assert_int_equal(x.log.closed, 1);
    assert_false(x.log.loud);
    *err = x.log.err;
    if (error != NULL)
        memcpy(error, x.log.error, 100);
    return x.log.text;
}

struct page {
    const char *type, *bytes;
    size_t      len; /* 0: a string */
    const char *events;
};

#define ARRAY(text) (text), sizeof(text) - 1

static const struct page pages[] = {
    {NULL, "<html><head><title>T</title></head><body><p>a<b>b</b></body></html>", 0,
     "<html><head><title>T</title></head><body><p>a<b>b</b></p></body></html>"},
    {"text/html; charset=utf-8",
     "<script>if (a<b && c>d) document.write('<p>x<\\/p>')</script><p>after", 0, NULL},
    {"text/html; charset=utf-8",
     "<html><head><style>a>b{content:'</x>'}</style><script src=a.js></script></head>"
     "<body><script>var s='<b>'; if(1<2){}</script>text</body></html>",
     0, NULL},
    {"text/html; charset=utf-8", "<body><!-- a > b < c -- d --><p>x<!----><!-- two -->y</body>", 0,
     NULL},
    {"text/html; charset=utf-8", "<p>&lt;a&gt; &amp; &eacute; &#233; &#xe9; &nosuch; &amp &copy", 0,
     NULL},
    {"text/html; charset=utf-8",
     "<a href='x?a=1&amp;b=<2>' title=\"a > b\" checked data-x=y>l</a><img src=i.png alt=''>", 0,
     NULL},
    {NULL, ARRAY("\xff\xfe<\0p\0>\0\xe4\0\x3d\xd8\x00\xde<\0/\0p\0>\0"),
     "<html><body><p>\xc3\xa4\xf0\x9f\x98\x80</p></body></html>"},
    {NULL, ARRAY("\xfe\xff\0<\0p\0>\0\xe4\xd8\x3d\0x"),
     "<html><body><p>\xc3\xa4\xef\xbf\xbdx</p></body></html>"},
    {NULL, ARRAY("\xef\xbb\xbf<p>\xc3\xa4"), "<html><body><p>\xc3\xa4</p></body></html>"},
    {"text/html; charset=iso-8859-1", ARRAY("\xef\xbb\xbf<p>\xc3\xa4"),
     "<html><body><p>\xc3\xa4</p></body></html>"},
    {NULL, "<meta charset=Shift_JIS><p>\x93\xfa\x96\x7b\x8c\xea", 0,
     "<html><head><meta charset=[Shift_JIS]></meta></head><body><p>\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa"
     "\x9e</p></body></html>"},
    {NULL,
     "<!-- <meta charset=koi8-r> --><META HTTP-EQUIV='Content-Type' CONTENT='text/html; "
     "charset=windows-1251'><p>\xcf",
     0, NULL},
    {"text/html; charset=\"windows-1251\"", "<meta charset=utf-8><p>\xcf\xf0", 0,
     "<html><head><meta charset=[utf-8]></meta></head><body><p>\xd0\x9f\xd1\x80</p></body></html>"},
    {NULL, "<p>caf\xe9 \x80 \x81", 0,
     "<html><body><p>caf\xc3\xa9 \xe2\x82\xac \xc2\x81</p></body></html>"},
    {"text/html; charset=utf-8",
     ARRAY("<p>a\xc3(b\xe2\x82(c\xed\xa0\x80"
           "d\xff"
           "e\0f\xf0\x9f"),
     "<html><body><p>a\xef\xbf\xbd(b\xef\xbf\xbd(c\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
     "d\xef\xbf\xbd"
     "e\xef\xbf\xbd"
     "f\xef\xbf\xbd</p></body></html>"},
    {"text/html;charset=iso-2022-jp", "<p>\x1b$BF|K\\\x1b(B<b>x", 0,
     "<html><body><p>\xe6\x97\xa5\xe6\x9c\xac<b>x</b></p></body></html>"},
    {"text/html;charset=big5", "<p>\xa4\xa4\xa4\xe5\x88\x62<b>\xa4", 0, NULL},
    {"text/html;charset=gbk", "<p>\xd6\xd0\x80\xce\xc4\xff<b>\x81\x30\x81\x30", 0, NULL},
    {"text/html;charset=euc-kr", "<p>\xc7\xd1\xb1\xdb<b>\xc7", 0,
     "<html><body><p>\xed\x95\x9c\xea\xb8\x80<b>\xef\xbf\xbd</b></p></body></html>"},
    {"text/html; charset=utf-8",
     "<!DOCTYPE html><table><tr><td>1<td>2<tr><td>3</table><ul><li>a<li>b</ul><br/><p/>x"
     "<textarea><b></textarea></nosuch><svg:a>y</svg:a><?pi x?>",
     0, NULL},
    {"text/html; charset=utf-8", "plain text < no tag, a<1 b<", 0,
     "<html><body><p>plain text < no tag, a<1 b<\n</p></body></html>"},
    {"text/html; charset=utf-8",
     " </b></head x>\n<!-- c --></p><html>a</b></body></HTML ><script>'</html>'"
     "</script><!-- </html> --></html><p title='</html>'>b</html>c<p>d</html>",
     0,
     "<!-- c --><html><body><p>a</p></body><script>'</html>'</script><!-- </html> -->"
     "<p title=[</html>]>bc</p><p>d</p></html>"},
    {"text/html; charset=utf-8",
     "<p>a<!-->b<!--->c<!--!>d-->e<!---!>f-->g<!-- <!--> h<script><!--></script>", 0,
     "<html><body><p>a<!---->b<!---->c<!-- !>d-->e<!-- -!>f-->g<!-- <!--> h"
     "<script><!--></script></p></body></html>"},
    {"text/html; charset=utf-8",
     "<div><script title='>'>w('<b></b></div></div></scripts><style>')</SCRIPT "
     "x><style></p></div></style "
     "><script/>x<script></script>y<script src=a></script",
     0,
     "<html><body><div><script title=[>]>w('<b></b></div></div></scripts><style>')</script>"
     "<style></p></div></style><script></script>x<script></script>y<script src=[a]></script>"
     "</div></body></html>"},
    {"text/html; charset=utf-8", "<script>unfinished </scrip", 0, NULL},
    {"text/html; charset=utf-8", "<style></style><p title='unfinished", 0, NULL},
};

static size_t page_len(const struct page *p)
{
    return p->len != 0 ? p->len : strlen(p->bytes);
}

/* Every page gives the same events whole, byte by byte, in other steps and cut in two anywhere. */
static void test_html_splits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(pages); i++) {
        const struct page *p     = &pages[i];
        size_t             len   = page_len(p);
        char              *whole = run_html(p->type, p->bytes, len, len, 1, NULL);

        if (p->events != NULL)
            assert_string_equal(whole, p->events);
        if (getenv("ASYNCORE_SHOW") != NULL)
            printf("%s\n", whole);
        assert_true(strlen(whole) > 0);
        for (size_t step = 1; step < 8; step++) {
            char *other = run_html(p->type, p->bytes, len, 0, step, NULL);

            assert_string_equal(other, whole);
            free(other);
        }
        for (size_t cut = 1; cut < len; cut++) {
            char *other = run_html(p->type, p->bytes, len, cut, SIZE_MAX, NULL);

            assert_string_equal(other, whole);
            free(other);
        }
        free(whole);
    }
}

/* Wherever a page stops: what was begun is ended, in the same way for each split. */
static void test_html_stops(void **state)
{
    static const char *const before[] = {"", "x", "<p>x", "<script>x", "<style>x", "<textarea>x"};
    static const char *const ends[]   = {
          "<",     "</",    "</p",       "</p ",  "<!",        "<!-",
          "<!--",  "<!--x", "<!--x-",    "<!-->", "<!doc",     "<?",
          "<?x",   "<p",    "<p ",       "<p a",  "<p a=",     "<p a='",
          "&",     "&#",    "&#x",       "&am",   "<![CDATA[", "</script",
          "</scr", "<<",    "<\xc3\xa4", "<a <b", "<a/",       "</<base href=",
          "\xc3",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(before) * COUNT(ends); i++) {
        char  page[64];
        char *whole;
        int   depth = 0;
        int   len =
            snprintf(page, sizeof page, "%s%s", before[i / COUNT(ends)], ends[i % COUNT(ends)]);

        whole = run_html("text/html;charset=utf-8", page, (size_t)len, 0, SIZE_MAX, NULL);
        for (int cut = 1; cut <= len; cut++) {
            char *other =
                run_html("text/html;charset=utf-8", page, (size_t)len, (size_t)cut, 1, NULL);

            if (strcmp(other, whole) != 0)
                fail_msg("%s: %s, cut %d: %s", page, whole, cut, other);
            free(other);
        }
        for (const char *at = strchr(whole, '<'); at != NULL; at = strchr(at + 1, '<'))
            depth += strncmp(at, "<html>", 6) == 0 || strncmp(at, "<body>", 6) == 0;
        for (const char *at = strchr(whole, '<'); at != NULL; at = strchr(at + 1, '<'))
            depth -= strncmp(at, "</html>", 7) == 0 || strncmp(at, "</body>", 7) == 0;
        if (depth != 0)
            fail_msg("%s: %s", page, whole);
        free(whole);
    }
}

/* A longer page, with script at its seams: whatever the steps, also beyond what is held back. */
static void test_html_long(void **state)
{
    static const char   part[] = "<p class='a>b'>text &amp; <!-- c --><script>if (a < b) c('</p>');"
                                 "</script><style>i{}</style>\xc3\xa4</p>\n";
    struct log          page   = {.text = NULL};
    char               *whole;
    static const size_t steps[] = {1, 7, 100, 1447, 16383, 16384, 16385, 65536};

    (void)state;
    add(&page, "<html><body>");
    for (int i = 0; i < 1500; i++) {
        add(&page, "%s", part);
        if (i % 500 == 499) { /* a script that has no ">" for longer than is held back */
            add(&page, "<script>a <");
            for (int j = 0; j < 9000; j++)
                add(&page, " word%d", j);
            add(&page, "</script>");
        }
    }
    whole = run_html("text/html;charset=utf-8", page.text, page.len, page.len, 1, NULL);
    assert_non_null(strstr(whole, "word8999</script>"));
    assert_int_equal(strlen(whole) > page.len / 2, 1);
    for (size_t i = 0; i < COUNT(steps); i++) {
        char *other = run_html("text/html;charset=utf-8", page.text, page.len, 0, steps[i], NULL);

        assert_string_equal(other, whole);
        free(other);
    }
    free(whole);
    free(page.text);
}

/* What is known of a page is told before the rest of it is there. */
static void test_html_while_it_arrives(void **state)
{
    struct html h;

    (void)state;
    open_html(&h, "text/html; charset=utf-8");
    feed(&h.c.base, &h.request, "<title>T</title><p>x<p>", 23, 1);
    assert_string_equal(h.log.text, "<html><head><title>T</title></head><body><p>x</p><p>");
    ac_http_close(&h.request);
    finish(&h.c.base, &h.request);
    assert_int_equal(h.log.err, -AC_ECANCELED);
    assert_string_equal(h.log.text, "<html><head><title>T</title></head><body><p>x</p><p>");
    free(h.log.text);

    /* A <meta> is believed as soon as it is there. */
    open_html(&h, NULL);
    feed(&h.c.base, &h.request, "<meta charset=koi8-r><p>\xf0<b>", 28, 1);
    assert_non_null(strstr(h.log.text, "<p>\xd0\x9f<b>"));
    ac_http_fail(&h.request, -AC_ETRUNCATED);
    finish(&h.c.base, &h.request);
    assert_int_equal(h.log.err, -AC_ETRUNCATED);
    free(h.log.text);
}

/* After a slot that closes the request nothing is told, wherever it does. */
static void test_html_close_in_slot(void **state)
{
    const char *page = "<title>T</title><p class=a>x<!-- c --><b>y</b><script>z</script>";

    (void)state;
    for (size_t at = 1; at < 12; at++) {
        struct html h;

        open_html(&h, "text/html; charset=utf-8");
        h.log.request  = &h.request;
        h.log.close_at = at;
        feed(&h.c.base, &h.request, page, strlen(page), SIZE_MAX);
        assert_int_equal(h.log.events, at);
        finish(&h.c.base, &h.request);
        assert_false(h.log.loud);
        assert_int_equal(h.log.err, -AC_ECANCELED);
        free(h.log.text);
    }
}

/* A consumer that moves to another request begins anew; one that fails before a response is closed.
 * */
static void test_html_life(void **state)
{
    struct html     h;
    ac_http_request second = {.status = 200, .type = "text/html; charset=koi8-r"};
    ac_http_request failed = {.err = -ECONNREFUSED};

    (void)state;
    open_html(&h, "text/html; charset=utf-8");
    feed(&h.c.base, &h.request, "<p>one<p", 8, SIZE_MAX);
    ac_http_close(&h.request);
    h.log.len = 0;
    begin(&h.c.base, &second);
    feed(&h.c.base, &second, "<i>\xf0", 4, SIZE_MAX);
    finish(&h.c.base, &second);
    assert_string_equal(h.log.text, "<html><body><i>\xd0\x9f</i></body></html>");
    assert_int_equal(h.log.err, 0);

    begin(&h.c.base, &failed);
    finish(&h.c.base, &failed);
    assert_int_equal(h.log.err, -ECONNREFUSED);
    assert_int_equal(h.log.closed, 2);

    /* Closed without a head; and a response without a body. */
    h.c.base.cls->close(&h.c.base, -AC_ECANCELED);
    assert_int_equal(h.log.closed, 3);
    second = (ac_http_request){.status = 204};
    begin(&h.c.base, &second);
    finish(&h.c.base, &second);
    assert_int_equal(h.log.err, 0);
    free(h.log.text);
}

static double cpu(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* What `repeat` times `part` gives between `before` and `after`. */
static int limit_html(const char *before, const char *part, size_t repeat, const char *after,
                      size_t step)
{
    struct log page = {.text = NULL};
    int        err;

    add(&page, "%s", before);
    for (size_t i = 0; i < repeat; i++)
        add(&page, "%s", part);
    add(&page, "%s", after);
    free(run_html("text/html; charset=utf-8", page.text, page.len, 0, step, &err));
    free(page.text);
    return err;
}

static void test_html_limits(void **state)
{
    double from = cpu();

    (void)state;
    assert_int_equal(limit_html("<body>", "<div>", 1000, "", 16384), 0);
    assert_int_equal(limit_html("<body>", "<div>", 100000, "", 16384), -AC_ETOOLARGE);
    assert_int_equal(limit_html("<a", " a=1", 9990, ">", 16384), 0);
    assert_int_equal(limit_html("<p>", "0123456789", 100000, "<b>", 16384), 0);
    assert_int_equal(limit_html("<p>", "0123456789", 120000, "<b>", 16384), -AC_ETOOLARGE);
    assert_int_equal(limit_html("<!--", "0123456789", 120000, "-->", 16384), -AC_ETOOLARGE);
    assert_int_equal(limit_html("<script>", "0123456789", 120000, "</script>", 1447), 0);
    assert_int_equal(limit_html("<a b='", "0123456789", 120000, "'>", 1447), -AC_ETOOLARGE);
    assert_int_equal(limit_html("<a b='", "0123456789", 100000, "'>", 1447), 0);
    /* Many attributes, also where the first ">" is not the end of the tag: seen before its end is
     * there, since the parser would take long over them. */
    for (size_t step = 100; step <= 16384; step *= 10) {
        struct log  tag = {.text = NULL};
        struct html h;

        add(&tag, "<a b='>'");
        for (int i = 0; i < 30000; i++)
            add(&tag, " a%x", i);
        open_html(&h, "text/html; charset=utf-8");
        feed(&h.c.base, &h.request, tag.text, tag.len, step);
        assert_int_equal(h.request.err, -AC_ETOOLARGE);
        finish(&h.c.base, &h.request);
        assert_int_equal(h.log.err, -AC_ETOOLARGE);
        free(h.log.text);
        free(tag.text);
    }
    /* Byte by byte, the longest that is allowed. */
    assert_int_equal(limit_html("<a b='", "0123456789", 100000, "'>", 1), 0);
    assert_true(cpu() - from < 60);
}

/* --- character sets ----------------------------------------------------------------------- */

static void test_labels(void **state)
{
    static const struct {
        const char *type, *label;
    } types[] = {
        {"text/html", NULL},
        {"text/html; charset=utf-8", "utf8"},
        {"text/html;CHARSET=\"UTF-8\"", "utf8"},
        {"text/html; charset = utf-8", NULL},
        {"text/html; a=b; charset=koi8-r; charset=utf-8", "koi8-r"},
        {"text/html; charset=nosuch", NULL},
        {"text/html; charset=koi8-r, text/html; charset=nosuch", "koi8-r"},
        {"text/html; charset=koi8-r, text/html; charset=big5", "big5"},
        {"text/html; a=\", charset=big5\"; charset=koi8-r", "koi8-r"},
        {"text/html; a=\"\\\";charset=big5\"; charset=sjis", "shift_jis"},
        {"text/html; charset=\"koi8-r", "koi8-r"},
        {"text/html; charset=", NULL},
        {"text/html; charset", NULL},
        {";charset=Latin1 ;", "windows-1252"},
        {"", NULL},
    };
    static const struct {
        const char *page, *label;
    } metas[] = {
        {"<meta charset=utf-16>", "utf-8"},
        {"<meta charset='koi8-r' charset=big5>", "koi8-r"},
        {"<meta/charset=koi8-r/>", NULL}, /* the value is koi8-r/ */
        {"<meta/charset=\"koi8-r\"/>", "koi8-r"},
        {"<metacharset=koi8-r>", NULL},
        {"<meta content='charset=koi8-r'>", NULL},
        {"<meta content='x; charset = \"koi8-r\"' http-equiv=content-type>", "koi8-r"},
        {"<meta http-equiv=content-type content='charset charset=koi8-r;x'>", "koi8-r"},
        {"<!--><meta charset=koi8-r>", "koi8-r"},
        {"<!-- <meta charset=big5> --><meta charset=koi8-r>", "koi8-r"},
        {"<a title='<meta charset=big5>'><meta charset=koi8-r>", "koi8-r"},
        {"</p x='>'><meta charset=koi8-r>", "koi8-r"},
        {"<!doctype html><?x ?></ x><meta charset=koi8-r>", "koi8-r"},
        {"<meta charset=nosuch><meta charset=koi8-r>", "koi8-r"},
        {"<meta charset=koi8-r", NULL},
        {"<meta charset='koi8-r", NULL},
        {"<", NULL},
        {"<meta", NULL},
        {"<!--", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        const char *label = types[i].label;

        if (ac__charset_of_type(types[i].type)
            != (label != NULL ? ac__charset_find(label, strlen(label)) : NULL))
            fail_msg("%s", types[i].type);
    }
    for (size_t i = 0; i < COUNT(metas); i++) {
        const char *label = metas[i].label;
        size_t      len   = strlen(metas[i].page);
        char       *copy  = malloc(len);

        memcpy(copy, metas[i].page, len);
        if (ac__charset_of_meta(copy, len)
            != (label != NULL ? ac__charset_find(label, strlen(label)) : NULL))
            fail_msg("%s", metas[i].page);
        free(copy);
    }
    assert_null(ac__charset_of_type(NULL));
    assert_null(ac__charset_find("", 0));
    assert_null(ac__charset_find("utf-8 utf8", 10));
    assert_null(ac__charset_find("an-altogether-too-long-label-for-any-of-these", 45));
    assert_ptr_equal(ac__charset_find(" UTF8\n", 6), ac__charset_find("utf-8", 5));
}

/* All sets can be opened, and any bytes give valid UTF-8, the same for each split. */
static void test_converters(void **state)
{
    static const char *const labels[] = {
        "utf-8",          "windows-1252", "utf-16le",     "utf-16be",     "ibm866",
        "iso-8859-2",     "iso-8859-3",   "iso-8859-4",   "iso-8859-5",   "iso-8859-6",
        "iso-8859-7",     "iso-8859-8",   "iso-8859-8-i", "iso-8859-10",  "iso-8859-13",
        "iso-8859-14",    "iso-8859-15",  "iso-8859-16",  "koi8-r",       "koi8-u",
        "macintosh",      "windows-874",  "windows-1250", "windows-1251", "windows-1253",
        "windows-1254",   "windows-1255", "windows-1256", "windows-1257", "windows-1258",
        "x-mac-cyrillic", "gbk",          "gb18030",      "big5",         "euc-jp",
        "iso-2022-jp",    "shift_jis",    "euc-kr",
    };
    char     bytes[3000];
    uint32_t seed = 1;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        seed     = seed * 1664525 + 1013904223;
        bytes[i] = i < 256 ? (char)i : (char)(seed >> 24);
    }
    for (size_t i = 0; i < COUNT(labels); i++) {
        const ac__charset *set   = ac__charset_find(labels[i], strlen(labels[i]));
        ac__text           whole = {.data = NULL};
        ac__converter      c;

        assert_non_null(set);
        if (ac__converter_open(&c, set) != 0)
            fail_msg("%s cannot be opened", labels[i]);
        assert_int_equal(ac__converter_run(&c, bytes, sizeof bytes, true, &whole), 0);
        ac__converter_close(&c);
        assert_null(memchr(whole.data, '\0', whole.len));
        assert_ptr_equal(ac__charset_guess(whole.data, whole.len, false),
                         ac__charset_find("utf-8", 5));
        for (size_t step = 1; step < 6; step++) {
            ac__text parts = {.data = NULL};

            assert_int_equal(ac__converter_open(&c, set), 0);
            for (size_t at = 0; at < sizeof bytes; at += step) {
                size_t n = sizeof bytes - at < step ? sizeof bytes - at : step;

                assert_int_equal(
                    ac__converter_run(&c, bytes + at, n, at + n == sizeof bytes, &parts), 0);
            }
            ac__converter_close(&c);
            if (parts.len != whole.len || memcmp(parts.data, whole.data, whole.len) != 0)
                fail_msg("%s differs in steps of %zu", labels[i], step);
            ac__text_free(&parts);
        }
        ac__text_free(&whole);
    }
}

/* The first 1,024 bytes decide, however they come. */
static void test_guess(void **state)
{
    char        page[3000];
    size_t      cuts[] = {1, 1000, 1023, 1024, 1025, 3000};
    const char *latin  = "\xc3\x83\xc2\xa4";

    (void)state;
    for (size_t at = 1018; at < 1030; at++) {
        memset(page, 'x', sizeof page);
        memcpy(page, "<p>", 3);
        memcpy(page + at, "\xc3\xa4\xe4", 3);
        for (size_t i = 0; i < COUNT(cuts); i++) {
            char *events = run_html(NULL, page, sizeof page, cuts[i], SIZE_MAX, NULL);

            /* What shows the byte to be bad among them: windows-1252; else UTF-8 with U+FFFD. */
            if (at + 3 < 1024)
                assert_non_null(strstr(events, latin));
            else
                assert_non_null(strstr(events, "x\xc3\xa4\xef\xbf\xbdx"));
            free(events);
        }
    }
}

/* --- links -------------------------------------------------------------------------------- */

struct links {
    ac_link_consumer c;
    struct log       log;
    ac_http_request  request;
};

static void on_link(void *context, const char *url, size_t len)
{
    struct links *l = context;

    assert_int_equal(strlen(url), len);
    add(&l->log, "%s\n", url);
    act(&l->log);
}

static void on_done(void *context, int err)
{
    struct links *l = context;

    l->log.closed++;
    l->log.err = err;
}

static void run_links(struct links *l, const char *page, size_t step)
{
    l->request = (ac_http_request){.status = 200, .type = "text/html; charset=utf-8"};
    add(&l->log, "%s", "");
    ac_link_consumer_init(&l->c, l, on_link, on_done);
    begin(&l->c.html.base, &l->request);
    feed(&l->c.html.base, &l->request, page, strlen(page), step);
    finish(&l->c.html.base, &l->request);
    assert_int_equal(l->log.closed, 1);
}

static void test_links(void **state)
{
    static const char page[] =
        "<link rel=stylesheet href=/s.css><a href='one#frag'>1</a><base target=x>"
        "<base href='http://other.example/d/'><base href='http://third.example/'>"
        "<a href='two?a=1&amp;b=2'><A HREF=../up><area href=//host/x><img src=i.png srcset='no 2x'>"
        "<script src=s.js></script><iframe src=f></iframe><source src=a><audio src=b></audio>"
        "<video src=v poster=no></video><embed src=e><a href='javascript:alert(1)'>"
        "<a href=mailto:a@b><a href='data:,x'><a href='ftp://h/'><a name=x><a href='http://'>"
        "<a href='  https://H.example:443/\xc3\xa4 b\n '><a href=''><form action=no><p href=no>"
        "<frameset><frame src=g></frameset><a href=two?a=1&amp;b=2><a href=last";
    static const char expected[] =
        "http://example.org/s.css\nhttp://example.org/dir/one#frag\n"
        "http://other.example/d/two?a=1&b=2\nhttp://other.example/up\nhttp://host/x\n"
        "http://other.example/d/i.png\nhttp://other.example/d/s.js\nhttp://other.example/d/f\n"
        "http://other.example/d/a\nhttp://other.example/d/b\nhttp://other.example/d/v\n"
        "http://other.example/d/e\nhttps://h.example/%C3%A4%20b\nhttp://other.example/d/\n"
        "http://other.example/d/g\nhttp://other.example/d/two?a=1&b=2\nhttp://other.example/d/"
        "last\n";

    (void)state;
    for (size_t step = 1; step < 2000; step *= 3) {
        struct links l = {.log = {.text = NULL}};

        run_links(&l, page, step);
        assert_string_equal(l.log.text, expected);
        assert_int_equal(l.log.err, 0);
        free(l.log.text);
    }
}

static void test_links_close(void **state)
{
    struct links l = {.log = {.close_at = 2}};

    (void)state;
    l.log.request = &l.request;
    run_links(&l,
              "<base href='javascript:x'><base href='http://no/'><a href=1><a href=2><a href=3>",
              SIZE_MAX);
    assert_string_equal(l.log.text, "http://example.org/dir/1\nhttp://example.org/dir/2\n");
    assert_int_equal(l.log.err, -AC_ECANCELED);
    free(l.log.text);
}

/* --- XML ---------------------------------------------------------------------------------- */

static const struct page documents[] = {
    {NULL, "<?xml version='1.0'?><a x='1' y=\"&lt;\">t&amp;<b/><!-- c --><![CDATA[<x>]]></a>\n", 0,
     "<a x=[1] y=[<]>t&<b></b><!-- c --><x></a>"},
    {NULL, "<!DOCTYPE a SYSTEM 'http://h/x.dtd'><a>\xc3\xa4&#228;\r\n</a><!-- end -->", 0,
     "<a>\xc3\xa4\xc3\xa4\n</a><!-- end -->"},
    {NULL, "<?xml version='1.0' encoding='windows-1251'?><a>\xcf</a>", 0, "<a>\xd0\x9f</a>"},
    {"text/xml; charset=koi8-r", "<?xml version='1.0' encoding='utf-8'?><a>\xf0</a>", 0,
     "<a>\xd0\x9f</a>"},
    {"text/xml; charset=utf-8", "<?xml version='1.0' encoding='koi8-r'?><a>\xc3\xa4</a>", 0,
     "<a>\xc3\xa4</a>"},
    {"text/xml; charset=shift_jis", "<a>\x93\xfa<b/>\x96\x7b</a>", 0,
     "<a>\xe6\x97\xa5<b></b>\xe6\x9c\xac</a>"},
    {"text/xml; charset=utf-16le", ARRAY("<\0a\0>\0\xe4\0<\0/\0a\0>\0"), "<a>\xc3\xa4</a>"},
    {"text/xml; charset=koi8-r", ARRAY("\xff\xfe<\0a\0>\0\xe4\0<\0/\0a\0>\0"), "<a>\xc3\xa4</a>"},
    {NULL, ARRAY("\xfe\xff\0<\0a\0>\0\xe4\0<\0/\0a\0>"), "<a>\xc3\xa4</a>"},
    {"text/xml; charset=koi8-r", "\xef\xbb\xbf<a>\xc3\xa4</a>", 0, "<a>\xc3\xa4</a>"},
    {"text/xml; charset=nosuch", "<a>\xc3\xa4</a>", 0, "<a>\xc3\xa4</a>"},
    {NULL, "<a/>", 0, "<a></a>"},
};

/* The same for each split, and with a pause at each event, or at each third. */
static void test_xml_splits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(documents); i++) {
        const struct page *p   = &documents[i];
        size_t             len = page_len(p);

        for (size_t pause = 0; pause < 4; pause++) {
            for (size_t cut = 1; cut <= len; cut++) {
                int   err;
                char *events =
                    run_xml(p->type, p->bytes, len, cut, SIZE_MAX, false, pause, &err, NULL);

                assert_string_equal(events, p->events);
                assert_int_equal(err, 0);
                free(events);
            }
            for (size_t step = 1; step < 6; step++) {
                int   err;
                char *events = run_xml(p->type, p->bytes, len, 0, step, false, pause, &err, NULL);

                assert_string_equal(events, p->events);
                assert_int_equal(err, 0);
                free(events);
            }
        }
    }
}

static void test_xml_errors(void **state)
{
    static const struct {
        const char *document;
        int         err;
        const char *text;
    } cases[] = {
        {"<a>\n<b></a>", -AC_EPROTO, "line 2, column 6: mismatched tag"},
        {"<a><b>", -AC_ETRUNCATED, "line 1, column 7: no element found"},
        {"<a><b", -AC_ETRUNCATED, "line 1, column 4: unclosed token"},
        {"<a><![CDATA[x", -AC_ETRUNCATED, "line 1, column 14: unclosed CDATA section"},
        {"<a>\xc3", -AC_ETRUNCATED, "line 1, column 4: partial character"},
        {"<", -AC_ETRUNCATED, "line 1, column 1: unclosed token"},
        {"", -AC_ETRUNCATED, "line 1, column 1: no element found"},
        {"<a/>x", -AC_EPROTO, "line 1, column 5: junk after document element"},
        {"<a>&nosuch;</a>", -AC_EPROTO, "line 1, column 4: undefined entity"},
        {"<?xml version='1.0' encoding='nosuch'?><a/>", -AC_EPROTO,
         "line 1, column 31: unknown encoding"},
        {"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", -AC_EPROTO,
         "line 1, column 25: entity declarations are not allowed"},
        {"<!DOCTYPE a [\n<!ENTITY % b 'c'>]><a/>", -AC_EPROTO,
         "line 2, column 14: entity declarations are not allowed"},
        {"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", -AC_EPROTO,
         "line 1, column 52: entity declarations are not allowed"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t step = 1; step < 100; step *= 7) {
            int    err;
            char   text[100];
            size_t len = strlen(cases[i].document);
            char  *events;

            events = run_xml(NULL, cases[i].document, len, 0, step, false, 0, &err, text);
            if (err != cases[i].err || strcmp(text, cases[i].text) != 0)
                fail_msg("%s: %d %s", cases[i].document, err, text);
            free(events);
        }
    }
}

/* A body that the response cannot have is none that is missing. */
static void test_xml_no_body(void **state)
{
    static const ac_http_request requests[] = {
        {.status = 200, .method = "HEAD"}, {.status = 204}, {.status = 304}};

    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++) {
        struct xml x = {.request = requests[i]};

        ac_xml_consumer_init(&x.c, &xml_class, false);
        begin(&x.c.base, &x.request);
        finish(&x.c.base, &x.request);
        assert_int_equal(x.log.err, 0);
        assert_string_equal(x.log.error, "");
    }
}

static void test_xml_entities(void **state)
{
    int         err;
    const char *small = "<!DOCTYPE a [<!ENTITY b 'c<d/>'>]><a x='&b2;'/>";
    const char *good  = "<!DOCTYPE a [<!ENTITY b 'c<d/>'><!ENTITY e SYSTEM 'file:///etc/passwd'>]>"
                        "<a>&b;&e;</a>";
    struct log  bomb  = {.text = NULL};
    char       *events;

    (void)state;
    events = run_xml(NULL, good, strlen(good), 0, 1, true, 1, &err, NULL);
    assert_int_equal(err, 0);
    assert_string_equal(events, "<a>c<d></d></a>");
    free(events);
    events = run_xml(NULL, small, strlen(small), 0, 1, true, 0, &err, NULL);
    assert_int_equal(err, -AC_EPROTO);
    free(events);

    add(&bomb, "<!DOCTYPE a [<!ENTITY e0 'lollollollollollollollollollollollol'>");
    for (int i = 1; i < 12; i++) {
        add(&bomb, "<!ENTITY e%d '", i);
        for (int j = 0; j < 10; j++)
            add(&bomb, "&e%d;", i - 1);
        add(&bomb, "'>");
    }
    add(&bomb, "]><a>&e11;</a>");
    events = run_xml(NULL, bomb.text, bomb.len, 0, SIZE_MAX, false, 0, &err, NULL);
    assert_int_equal(err, -AC_EPROTO);
    assert_string_equal(events, "");
    free(events);
    events = run_xml(NULL, bomb.text, bomb.len, 0, SIZE_MAX, true, 0, &err, NULL);
    assert_int_equal(err, -AC_ETOOLARGE);
    free(events);
    free(bomb.text);
}

static int limit_xml(const char *before, const char *part, size_t repeat, const char *after,
                     size_t step, char text[100])
{
    struct log page = {.text = NULL};
    int        err;

    add(&page, "%s", before);
    for (size_t i = 0; i < repeat; i++)
        add(&page, "%s", part);
    add(&page, "%s", after);
    free(run_xml(NULL, page.text, page.len, 0, step, false, 0, &err, text));
    free(page.text);
    return err;
}

static void test_xml_limits(void **state)
{
    double from = cpu();
    char   text[100];

    (void)state;
    assert_int_equal(limit_xml("", "<a>", 1025, "", 1447, text), -AC_ETOOLARGE);
    assert_string_equal(text, "line 1, column 3073: elements nested too deeply");
    assert_int_equal(limit_xml("", "<a>", 1024, "", 1447, text), -AC_ETRUNCATED);
    assert_int_equal(limit_xml("<a b='", "0123456789", 120000, "'/>", 1447, text), -AC_ETOOLARGE);
    assert_string_equal(text, "line 1, column 1: token too long");
    assert_int_equal(limit_xml("<!--", "0123456789", 120000, "--><a/>", 16384, text),
                     -AC_ETOOLARGE);
    assert_int_equal(limit_xml("<a b='", "0123456789", 100000, "'/>", 1447, text), 0);
    assert_int_equal(limit_xml("<a b='", "0123456789", 100000, "'/>", 1, text), 0);
    assert_int_equal(limit_xml("<a>", "0123456789", 1000000, "</a>", 1447, text), 0);
    assert_true(cpu() - from < 60);
}

/* Behind a layer that does not pass the resumption on, the events come all the same. */
static void test_xml_plain_layer(void **state)
{
    struct log page = {.text = NULL};
    struct xml x    = {.request = {.status = 200}};
    char      *whole;
    int        err;

    (void)state;
    add(&page, "<a>");
    for (int i = 0; i < 40000; i++)
        add(&page, "<b i='%d'>x</b>", i);
    add(&page, "</a>");
    whole             = run_xml(NULL, page.text, page.len, 0, 16384, false, 1, &err, NULL);
    x.log.pause_every = 1;
    x.log.request     = &x.request;
    ac_xml_consumer_init(&x.c, &xml_class, false);
    begin(&x.c.base, &x.request);
    for (size_t at = 0; at < page.len; at += 65536) {
        x.request.paused = false;
        x.c.base.cls->feed(&x.c.base, page.text + at,
                           page.len - at < 65536 ? page.len - at : 65536);
    }
    x.request.paused = false;
    finish(&x.c.base, &x.request);
    assert_int_equal(err, 0);
    assert_int_equal(x.log.err, 0);
    assert_string_equal(x.log.text, whole);
    free(whole);
    free(x.log.text);
    free(page.text);
}

static void test_xml_close_in_slot(void **state)
{
    const char *page = "<a x='1'>t<b/><!-- c -->u</a>";

    (void)state;
    for (size_t pause = 0; pause < 2; pause++) {
        for (size_t at = 1; at < 8; at++) {
            struct xml x = {.request = {.status = 200}};

            x.log.request     = &x.request;
            x.log.close_at    = at;
            x.log.pause_every = pause;
            add(&x.log, "%s", "");
            ac_xml_consumer_init(&x.c, &xml_class, false);
            begin(&x.c.base, &x.request);
            feed(&x.c.base, &x.request, page, strlen(page), SIZE_MAX);
            finish(&x.c.base, &x.request);
            assert_int_equal(x.log.events, at);
            assert_false(x.log.loud);
            assert_int_equal(x.log.err, -AC_ECANCELED);
            assert_string_equal(x.log.error, "");
            free(x.log.text);
        }
    }
}

/* --- memory ------------------------------------------------------------------------------- */

static size_t left; /* allocations until one fails; 0: none does */
static bool   failed;
static long   live;

static void *failing_realloc(void *context, void *ptr, size_t len)
{
    (void)context;
    if (left > 0 && --left == 0) {
        failed = true;
        return NULL;
    }
    live += ptr == NULL;
    return realloc(ptr, len);
}

static void counting_free(void *context, void *ptr)
{
    (void)context;
    live -= ptr != NULL;
    free(ptr);
}

static void no_memory(void (*run)(int *err, const char **events), const char *expected)
{
    const ac_allocator allocator = {sizeof allocator, failing_realloc, counting_free, NULL};
    size_t             n         = 0;

    assert_int_equal(ac_set_allocator(&allocator), 0);
    do {
        const char *events;
        int         err;

        left   = ++n;
        failed = false;
        live   = 0;
        run(&err, &events);
        if (failed ? err != -ENOMEM : err != 0 || strcmp(events, expected) != 0)
            fail_msg("allocation %zu: %d", n, err);
        assert_int_equal(live, 0);
        free((void *)(uintptr_t)events);
    } while (failed);
    left = 0;
    assert_int_equal(ac_set_allocator(NULL), 0);
    assert_true(n > 4);
}

static void oom_html(int *err, const char **events)
{
    static const char page[] = "<meta charset=big5><p>\xa4\xa4 text <b>x";

    *events = run_html(NULL, page, sizeof page - 1, 0, 3, err);
}

static void oom_xml(int *err, const char **events)
{
    static const char page[] = "<a b='c' d='e'>\xf0 text <b/><c>x</c></a>";

    *events = run_xml("text/xml; charset=koi8-r", page, sizeof page - 1, 0, 3, false, 1, err, NULL);
}

static void oom_links(int *err, const char **events)
{
    struct links l = {.log = {.text = NULL}};

    run_links(&l, "<base href=/x/><a href=y><a href=z></a>", SIZE_MAX);
    *err    = l.log.err;
    *events = l.log.text;
}

static void test_no_memory(void **state)
{
    (void)state;
    no_memory(oom_html, "<html><head><meta charset=[big5]></meta></head><body>"
                        "<p>\xe4\xb8\xad text <b>x</b></p></body></html>");
    no_memory(oom_xml, "<a b=[c] d=[e]>\xd0\x9f text <b></b><c>x</c></a>");
    no_memory(oom_links, "http://example.org/x/y\nhttp://example.org/x/z\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_html_splits),
        cmocka_unit_test(test_html_stops),
        cmocka_unit_test(test_html_long),
        cmocka_unit_test(test_html_while_it_arrives),
        cmocka_unit_test(test_html_close_in_slot),
        cmocka_unit_test(test_html_life),
        cmocka_unit_test(test_html_limits),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_converters),
        cmocka_unit_test(test_guess),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_links_close),
        cmocka_unit_test(test_xml_splits),
        cmocka_unit_test(test_xml_errors),
        cmocka_unit_test(test_xml_no_body),
        cmocka_unit_test(test_xml_entities),
        cmocka_unit_test(test_xml_limits),
        cmocka_unit_test(test_xml_plain_layer),
        cmocka_unit_test(test_xml_close_in_slot),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests_name("markup", tests, NULL, NULL);
}
