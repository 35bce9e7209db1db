/* SPDX-License-Identifier: MIT */
/* Our parser beside llhttp: two readers that give the same kind of report; how they differ. */
#include "http1_oracle.h"

#include "../../src/http/http1.h"

#include <errno.h>
#include <llhttp.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#ifndef LLHTTP_STRICT_MODE
#error "llhttp is a judge in its strict mode only"
#endif

enum { FIELDS_MAX = INPUT_MAX / 3 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void add(struct reading *r, const char *text, size_t len)
{
    require(r->log_len + len <= LOG_MAX);
    memcpy(r->log + r->log_len, text, len);
    r->log_len += len;
}

static void add_line(struct reading *r, const char *kind, const char *a, size_t a_len,
                     const char *b, size_t b_len)
{
    add(r, kind, strlen(kind));
    add(r, a, a_len);
    add(r, ": ", 2);
    add(r, b, b_len);
    add(r, "\n", 1);
}

static void add_body(struct reading *r, const char *data, size_t len)
{
    require(r->body_len + len <= INPUT_MAX);
    memcpy(r->body + r->body_len, data, len);
    r->body_len += len;
}

static void clear(struct reading *r)
{
    memset(r, 0, offsetof(struct reading, log));
}

static void add_status(struct reading *r, int status, int minor, const char *reason, size_t len)
{
    char text[32];
    int  n = snprintf(text, sizeof text, "%d %d", status, minor);

    add_line(r, "status ", text, (size_t)n, reason, len);
}

/* --- ours --------------------------------------------------------------------------------- */

struct ours {
    struct reading *r;
    const char     *in;
    size_t          len, at, avail, then; /* `at`: used up; `avail`: there so far */
    char           *buf;                  /* the head or trailer section, as it becomes */
    size_t          copied;
    ac__head        head;
    ac__body        body;
};

/* Lets the next piece come. False: there is none. */
static bool more(struct ours *o)
{
    if (o->avail == o->len)
        return false;
    o->avail = o->then < o->len - o->avail ? o->avail + o->then : o->len;
    return true;
}

/* Reads a head or trailer section at `at` and logs it. */
static enum outcome ours_section(struct ours *o, bool trailers)
{
    static ac__field fields[FIELDS_MAX];
    ssize_t          rc;

    ac__head_init(&o->head, fields, FIELDS_MAX, trailers);
    o->r->part = trailers ? IN_TRAILERS : IN_HEAD;
    o->r->base = o->at;
    o->copied  = 0;
    do {
        size_t n = o->avail - o->at;

        memcpy(o->buf + o->copied, o->in + o->at + o->copied, n - o->copied);
        o->copied = n;
        rc        = ac__head_parse(&o->head, o->buf, n);
    } while (rc == -EAGAIN && more(o));
    if (rc == -EAGAIN)
        return MORE;
    if (rc < 0) {
        o->r->error = (int)rc;
        o->r->used  = o->at + o->head.at;
        return BAD;
    }
    require(rc > 0 && (size_t)rc <= o->avail - o->at);
    if (!trailers) {
        require(o->buf[o->head.reason + o->head.reason_len] == '\0');
        add_status(o->r, o->head.status, o->head.minor, o->buf + o->head.reason,
                   o->head.reason_len);
    }
    for (uint32_t i = 0; i < o->head.count; i++) {
        const ac__field *f = &fields[i];

        require(f->name + f->name_len < f->value);
        require(i == 0 || fields[i - 1].value + fields[i - 1].value_len < f->name);
        require(ac__is_token(o->buf + f->name, f->name_len));
        require(ac__is_field_value(o->buf + f->value, f->value_len));
        require(o->buf[f->name + f->name_len] == '\0');
        require(o->buf[f->value + f->value_len] == '\0');
        add_line(o->r, trailers ? "trailer " : "field ", o->buf + f->name, f->name_len,
                 o->buf + f->value, f->value_len);
    }
    o->at += (size_t)rc;
    return WHOLE;
}

static enum outcome ours_body(struct ours *o, ac__framing framing, int64_t length)
{
    ac__body_init(&o->body, framing, length);
    o->r->part = IN_BODY;
    o->r->base = o->at;
    while (!o->body.done) {
        const char *data;
        size_t      data_len;
        int64_t     known = ac__body_known(&o->body);
        ssize_t     used;

        if (o->at == o->avail && !more(o)) {
            o->r->until_close = framing == AC__UNTIL_CLOSE;
            return framing == AC__UNTIL_CLOSE ? WHOLE : MORE;
        }
        if (o->at == o->avail)
            continue; /* an empty piece */
        used = ac__body_next(&o->body, o->in + o->at, o->avail - o->at, &data, &data_len);
        if (used < 0) {
            o->r->error = (int)used;
            o->r->used  = o->at;
            return BAD;
        }
        require(used > 0 && (size_t)used <= o->avail - o->at && data_len <= (size_t)used);
        require(data == o->in + o->at + used - data_len || data_len == 0);
        require(known <= 0 || data_len == (size_t)used);
        add_body(o->r, data, data_len);
        o->at += (size_t)used;
    }
    return framing == AC__CHUNKED ? ours_section(o, true) : WHOLE;
}

void read_ours(const char *in, size_t len, bool head_request, size_t first, size_t then,
               struct reading *r)
{
    static char buf[INPUT_MAX];
    struct ours o = {.r = r, .in = in, .len = len, .then = then, .buf = buf};
    ac__framing framing;
    int64_t     length;
    int         rc;

    require(len <= INPUT_MAX);
    clear(r);
    o.avail = first < len ? first : len;
    do {
        r->outcome = ours_section(&o, false);
        if (r->outcome != WHOLE)
            return;
        r->status = o.head.status;
        r->minor  = o.head.minor;
    } while (o.head.status < 200 && o.head.status != 101);
    r->persists = ac__persists(&o.head, buf);
    rc          = ac__framing_of(&o.head, buf, head_request, &framing, &length);
    if (rc < 0 || o.head.status == 101) {
        r->part    = IN_FRAMING;
        r->outcome = BAD;
        r->used    = o.at;
        r->error   = rc < 0 ? rc : -AC_EPROTO;
        return;
    }
    r->outcome = ours_body(&o, framing, length);
    if (r->outcome != BAD)
        r->used = o.at;
    r->persists = r->persists && framing != AC__UNTIL_CLOSE;
}

/* --- llhttp ------------------------------------------------------------------------------- */

struct theirs {
    llhttp_t        parser; /* first: the callbacks get its address */
    struct reading *r;
    bool            head_request, in_trailers, status_done, value_begun, whole;
    size_t          reason_len, name_len, value_len;
    char            reason[INPUT_MAX], name[INPUT_MAX], value[INPUT_MAX];
};

static struct theirs *self(llhttp_t *p)
{
    return (struct theirs *)(void *)p;
}

static int on_begin(llhttp_t *p)
{
    struct theirs *t = self(p);

    t->in_trailers = t->status_done = t->value_begun = false;
    t->reason_len = t->name_len = t->value_len = 0;
    return 0;
}

static int on_status(llhttp_t *p, const char *at, size_t len)
{
    struct theirs *t = self(p);

    memcpy(t->reason + t->reason_len, at, len);
    t->reason_len += len;
    return 0;
}

static void status_done(struct theirs *t)
{
    if (!t->status_done)
        add_status(t->r, t->parser.status_code, t->parser.http_minor, t->reason, t->reason_len);
    t->status_done = true;
}

static int on_name(llhttp_t *p, const char *at, size_t len)
{
    struct theirs *t = self(p);

    status_done(t);
    memcpy(t->name + t->name_len, at, len);
    t->name_len += len;
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static void trim_value(struct theirs *t)
{
    while (t->value_len > 0 && is_space(t->value[t->value_len - 1]))
        t->value_len--;
}

/* Each span behind the first is a folded line, since the input is fed in one piece. */
static int on_value(llhttp_t *p, const char *at, size_t len)
{
    struct theirs *t = self(p);

    trim_value(t);
    for (; len > 0 && is_space(*at); len--)
        at++;
    if (t->value_begun && t->value_len > 0)
        t->value[t->value_len++] = ' ';
    memcpy(t->value + t->value_len, at, len);
    t->value_len += len;
    t->value_begun = true;
    return 0;
}

static int on_value_end(llhttp_t *p)
{
    struct theirs *t = self(p);

    status_done(t);
    trim_value(t);
    add_line(t->r, t->in_trailers ? "trailer " : "field ", t->name, t->name_len, t->value,
             t->value_len);
    t->name_len = t->value_len = 0;
    t->value_begun             = false;
    return 0;
}

static int on_head(llhttp_t *p)
{
    struct theirs *t = self(p);

    status_done(t);
    t->in_trailers = true;
    t->r->status   = p->status_code;
    t->r->minor    = p->http_minor;
    return t->head_request || p->status_code < 200 || p->status_code == 204
           || p->status_code == 304;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    add_body(self(p)->r, at, len);
    return 0;
}

static int on_end(llhttp_t *p)
{
    struct theirs *t = self(p);

    if (p->status_code < 200)
        return 0;
    t->whole       = true;
    t->r->persists = llhttp_should_keep_alive(p) != 0;
    return HPE_PAUSED;
}

void read_llhttp(const char *in, size_t len, bool head_request, struct reading *r)
{
    static struct theirs           t;
    static const llhttp_settings_t settings = {
        .on_message_begin         = on_begin,
        .on_status                = on_status,
        .on_header_field          = on_name,
        .on_header_value          = on_value,
        .on_header_value_complete = on_value_end,
        .on_headers_complete      = on_head,
        .on_body                  = on_body,
        .on_message_complete      = on_end,
    };
    llhttp_errno_t rc;

    clear(r);
    t.r            = r;
    t.head_request = head_request;
    t.whole        = false;
    llhttp_init(&t.parser, HTTP_RESPONSE, &settings);
    (void)on_begin(&t.parser);
    rc = llhttp_execute(&t.parser, in, len);
    if (rc == HPE_OK) {
        r->used = len;
        (void)llhttp_finish(&t.parser);
        r->outcome     = t.whole ? WHOLE : MORE;
        r->until_close = t.whole;
    } else if (rc == HPE_PAUSED) {
        r->used    = (size_t)(llhttp_get_error_pos(&t.parser) - in);
        r->outcome = WHOLE;
    } else {
        r->used    = (size_t)(llhttp_get_error_pos(&t.parser) - in);
        r->outcome = BAD;
        r->error   = (int)rc;
    }
}

/* --- comparison --------------------------------------------------------------------------- */

bool readings_agree(const struct reading *ours, const struct reading *theirs)
{
    if (ours->outcome != theirs->outcome)
        return false;
    if (ours->outcome == BAD)
        return true;
    if (ours->body_len != theirs->body_len || memcmp(ours->body, theirs->body, ours->body_len) != 0)
        return false;
    return ours->outcome == MORE
           || (ours->used == theirs->used && ours->log_len == theirs->log_len
               && ours->persists == theirs->persists && ours->until_close == theirs->until_close
               && memcmp(ours->log, theirs->log, ours->log_len) == 0);
}

/* --- known differences -------------------------------------------------------------------- */

#define WS     "[ \t]*"
#define TEXT   "[\t -~\x80-\xff]"
#define TCHAR  "[-!#$%&'*+.^_`|~0-9A-Za-z]"
#define QUOTED "\"([\t !#-[^-~\x80-\xff]|]|\\\\" TEXT ")*\""

static const char              STATUS_LINE[] = "^HTTP/1\\.[0-9] [1-5][0-9][0-9]( " TEXT "*)?$";
static const char              SIZE_LINE[] =
    "^[0-9A-Fa-f]+(" WS ";" WS TCHAR "+(" WS "=" WS "(" TCHAR "+|" QUOTED "))?)*$";

static bool matches(const char *pattern, const char *text, size_t len)
{
    static struct {
        const char *pattern;
        regex_t     re;
    } cache[32];
    static char copy[LOG_MAX + 1]; /* sanitizers want a NUL, though REG_STARTEND does not */
    regmatch_t  at = {0, (regoff_t)len};
    size_t      i  = 0;

    memcpy(copy, text, len);
    copy[len] = '\0';
    while (cache[i].pattern != NULL && cache[i].pattern != pattern)
        i++;
    if (cache[i].pattern == NULL) {
        require(regcomp(&cache[i].re, pattern, REG_EXTENDED | REG_ICASE) == 0);
        cache[i].pattern = pattern;
    }
    return regexec(&cache[i].re, copy, 1, &at, REG_STARTEND) == 0;
}

struct both {
    const char           *in;
    size_t                len;
    bool                  head_request;
    const struct reading *ours, *theirs;
    size_t                bad; /* with BAD: the offset of the byte that ours refuses */
};

/* The line that the byte at `at` is in, or ends, without its CRLF. */
static const char *line_at(const struct both *c, size_t at, size_t *len)
{
    size_t from = at, to = at;

    while (from > 0 && c->in[from - 1] != '\n')
        from--;
    while (to > from && c->in[to - 1] == '\r')
        to--;
    while (to < c->len && c->in[to] != '\r' && c->in[to] != '\n')
        to++;
    *len = to - from;
    return c->in + from;
}

static bool line_is(const struct both *c, size_t at, const char *pattern)
{
    size_t      len;
    const char *line = line_at(c, at, &len);

    return matches(pattern, line, len);
}

/* Whether the log of our reading has a line like that. */
static bool logged(const struct both *c, const char *pattern)
{
    const char *at = c->ours->log, *end = at + c->ours->log_len, *to;

    for (; at < end; at = to + 1) {
        to = memchr(at, '\n', (size_t)(end - at));
        require(to != NULL);
        if (matches(pattern, at, (size_t)(to - at)))
            return true;
    }
    return false;
}

static bool ours_only(const struct both *c, enum part part)
{
    return c->ours->outcome == BAD && c->theirs->outcome != BAD && c->ours->part == part;
}

static bool theirs_only(const struct both *c)
{
    return c->theirs->outcome == BAD && c->ours->outcome != BAD;
}

static bool status_line(const struct both *c)
{
    return ours_only(c, IN_HEAD) && !line_is(c, c->ours->base, STATUS_LINE);
}

/* It may be taken for a line's end: llhttp does behind a status alone, and for the empty line. */
static bool lone_lf(const struct both *c)
{
    return (ours_only(c, IN_HEAD) || ours_only(c, IN_TRAILERS)) && c->in[c->bad] == '\n'
           && c->in[c->bad - 1] != '\r';
}

static bool empty_name(const struct both *c)
{
    return (ours_only(c, IN_HEAD) || ours_only(c, IN_TRAILERS)) && c->in[c->bad] == ':'
           && c->in[c->bad - 1] == '\n';
}

static bool folded_trailer(const struct both *c)
{
    return ours_only(c, IN_TRAILERS) && is_space(c->in[c->bad]) && c->in[c->bad - 1] == '\n';
}

/* Every element of Transfer-Encoding in our log, each behind a "|". */
static const char *codings(const struct both *c)
{
    static char out[2 * LOG_MAX];
    const char *at = c->ours->log, *end = at + c->ours->log_len, *to;
    size_t      n = 0;

    for (; at < end; at = to + 1) {
        bool fresh = true;

        to = memchr(at, '\n', (size_t)(end - at));
        require(to != NULL);
        if (!matches("^field transfer-encoding: ", at, (size_t)(to - at)))
            continue;
        for (const char *p = at + strlen("field transfer-encoding: "); p < to; p++) {
            if (*p != ',' && !is_space(*p) && fresh)
                out[n++] = '|';
            if (*p == ',' || !is_space(*p))
                fresh = *p == ',';
            if (!fresh)
                out[n++] = *p;
        }
    }
    while (n > 0 && is_space(out[n - 1]))
        n--;
    out[n] = '\0';
    return out;
}

static bool transfer_coding(const struct both *c)
{
    return ours_only(c, IN_FRAMING) && logged(c, "^field transfer-encoding: ")
           && (c->ours->minor == 0 || strcasecmp(codings(c), "|chunked") != 0);
}

static bool unasked_switch(const struct both *c)
{
    return ours_only(c, IN_FRAMING) && c->ours->status == 101;
}

static bool long_length(const struct both *c)
{
    return ours_only(c, IN_FRAMING) && logged(c, "^field content-length: 0*[0-9]{19,}$");
}

static bool long_chunk(const struct both *c)
{
    return ours_only(c, IN_BODY)
           && line_is(c, c->bad, "^0*([89a-f][0-9a-f]{15}|[1-9a-f][0-9a-f]{16})");
}

static bool long_size_line(const struct both *c)
{
    size_t len;

    (void)line_at(c, c->bad, &len);
    return ours_only(c, IN_BODY) && c->ours->error == -AC_ETOOLARGE && len > 4096;
}

static bool bad_extension(const struct both *c)
{
    return ours_only(c, IN_BODY) && line_is(c, c->bad, "^[0-9a-f]+[ \t;]")
           && !line_is(c, c->bad, SIZE_LINE);
}

static bool version(const struct both *c)
{
    return theirs_only(c) && c->theirs->error == HPE_INVALID_VERSION
           && line_is(c, c->theirs->used, "^HTTP/1\\.[2-9]");
}

static bool framing_error(const struct both *c)
{
    const int e = c->theirs->error;

    return theirs_only(c)
           && (e == HPE_INVALID_CONTENT_LENGTH || e == HPE_UNEXPECTED_CONTENT_LENGTH
               || e == HPE_INVALID_TRANSFER_ENCODING);
}

static bool no_body(const struct both *c)
{
    const int s = c->ours->status;

    return framing_error(c) && c->ours->part > IN_HEAD
           && (c->head_request || s == 204 || s == 304 || logged(c, "^status 1"));
}

static bool head_unfinished(const struct both *c)
{
    return framing_error(c) && c->ours->outcome == MORE && c->ours->part == IN_HEAD;
}

/* llhttp takes no TAB behind a length, and no fold. */
static bool length_space(const struct both *c)
{
    size_t to = c->theirs->used < c->len ? c->theirs->used + 1 : c->len;

    return framing_error(c) && c->theirs->error != HPE_INVALID_TRANSFER_ENCODING
           && matches("\ncontent-length:[ \t\r\n]*[0-9]*[ \t\r\n]*$", c->in, to);
}

static bool legal_extension(const struct both *c)
{
    return theirs_only(c) && line_is(c, c->theirs->used, "^[0-9a-f]+([ \t]|;.*([ \t\"]|=.*;))");
}

/* llhttp takes a coding with more than SP round it for another one, and reads until close. */
static bool list_of_codings(const struct both *c)
{
    return c->theirs->outcome == WHOLE && c->theirs->until_close && c->ours->part >= IN_BODY
           && strcasecmp(codings(c), "|chunked") == 0
           && matches("\ntransfer-encoding:[^\n]*([,\t]|\r\n[ \t])", c->in, c->len);
}

/* Whether they agree but for what becomes of the connection. */
static bool but_for_persists(const struct both *c)
{
    static struct reading same;

    same          = *c->ours;
    same.persists = c->theirs->persists;
    return c->ours->persists != same.persists && readings_agree(&same, c->theirs);
}

static bool proxy_connection(const struct both *c)
{
    return but_for_persists(c) && logged(c, "^field proxy-connection: ");
}

static bool close_wins(const struct both *c)
{
    return but_for_persists(c) && !c->ours->persists
           && logged(c, "^field connection: (.*,)?" WS "close" WS "(,|$)");
}

/* llhttp takes the connection for closed behind an interim response with close, or of 1.0. */
static bool interim(const struct both *c)
{
    return theirs_only(c) && c->theirs->error == HPE_CLOSED_CONNECTION
           && logged(c, "^status 1[0-9][0-9] ");
}

/* llhttp lets framing fields among the trailers undo what the head said. */
static bool trailer_framing(const struct both *c)
{
    static const char field[] =
        "(^|\n)(transfer-encoding|content-length|connection|proxy-connection):";

    return c->ours->part == IN_TRAILERS && (but_for_persists(c) || framing_error(c))
           && matches(field, c->in + c->ours->base, c->len - c->ours->base);
}

/* In the order of asking. Where several hold, any explains. */
static const struct {
    const char *name;
    bool (*is)(const struct both *c);
} differences[] = {
    {"9112-4: a status line has one SP, three digits, no controls", status_line},
    {"9112-2.2: CRLF ends a line", lone_lf},
    {"9112-5.1: a name is not empty", empty_name},
    {"9112-7.1.2, 5.2: a trailer is not folded", folded_trailer},
    {"9112-6.1: chunked alone, once, in HTTP/1.1", transfer_coding},
    {"9110-15.2.2: nobody asked to switch protocols", unasked_switch},
    {"9112-6.2: a length that no integer holds", long_length},
    {"9112-7.1: a chunk that no integer holds", long_chunk},
    {"9112-7.1.1: extensions may be limited", long_size_line},
    {"9112-7.1.1: extensions have a grammar", bad_extension},
    {"9110-2.5: minor versions are compatible", version},
    {"9112-6.3-1: no body, whatever the fields say", no_body},
    {"9112-6.3: framing is judged when the head is whole", head_unfinished},
    {"9110-5.6.3: TAB is white space", length_space},
    {"9112-7.1.1: white space, quoted pairs, several extensions", legal_extension},
    {"9110-5.6.1: empty elements of a list, white space", list_of_codings},
    {"9110-6.5.1: trailers say nothing of framing", trailer_framing},
    {"9110-15.2: a final response follows an interim one", interim},
    {"9112-C.2.2: Proxy-Connection means nothing here", proxy_connection},
    {"9112-9.3: close wins over keep-alive", close_wins},
};

const char *known_difference(const char *in, size_t len, bool head_request,
                             const struct reading *ours, const struct reading *theirs)
{
    static struct reading slow;
    struct both           c = {in, len, head_request, ours, theirs, 0};

    if (ours->outcome == BAD) {
        /* A piece at a time tells which byte it was. */
        read_ours(in, len, head_request, 1, 1, &slow);
        require(slow.outcome == BAD && slow.error == ours->error);
        c.bad = slow.used;
    }
    for (size_t i = 0; i < sizeof differences / sizeof differences[0]; i++)
        if (differences[i].is(&c))
            return differences[i].name;
    return NULL;
}
