/* SPDX-License-Identifier: MIT */
/*
 * XML while it arrives, by expat. A slot that pauses the request stops the parser where it is; what
 * it has got and not told goes on when the request does. Only the end of the response cannot wait:
 * then all that is left is told, whatever the slots say.
 *
 * Character sets of several bytes that Content-Type names are converted first; all others are
 * expat's, which asks for sets of single bytes that it does not know.
 */
#include "markup_private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <string.h>

enum {
    PIECE     = 16 * 1024,
    KEPT_MAX  = 64 * 1024,
    QUIET_MAX = 1024 * 1024, /* bytes without an event: the length of a token */
    DEPTH_MAX = 1024
};

/* What expat tells though it was stopped: the rest of a text, the end of an empty element. */
typedef enum late_kind { LATE_TEXT, LATE_END, LATE_COMMENT } late_kind;

struct late {
    late_kind kind;
    size_t    len;
};

struct ac__xml {
    ac_xml_consumer   *owner;
    ac_http_request   *request;
    XML_Parser         parser;  /* made with the first bytes */
    const ac__charset *charset; /* Content-Type's */
    ac__converter      converter;
    ac__text           utf8; /* converted, not given yet */
    ac__text           kept; /* not given yet: for a mark, for a batch, or for a pause */
    ac__text           late; /* records: struct late, the bytes, NUL */
    size_t             late_at;
    bool               started;   /* the beginning of the document was looked at */
    bool               convert;   /* what comes goes by the converter */
    bool               stopped;   /* a slot has paused: nothing is told */
    bool               suspended; /* so is the parser */
    bool               hurry;     /* pauses are not heard */
    bool               closing, muted;
    int                err;
    const char        *why; /* of an error of ours */
    size_t             quiet;
    unsigned           depth;
};

/* Old versions of expat do not have it, and do not need it. */
/* NOLINTNEXTLINE(readability-redundant-declaration): in the header of those that do */
extern XML_Bool XML_SetReparseDeferralEnabled(XML_Parser parser, XML_Bool enabled)
    __attribute__((weak));

/* --- failing ------------------------------------------------------------------------------ */

static void give_up(struct ac__xml *x, int err, const char *why)
{
    if (x->muted)
        return;
    x->muted = true;
    x->err   = err;
    x->why   = why;
    if (why != NULL && x->parser != NULL)
        (void)snprintf(x->owner->error_, sizeof x->owner->error_, "line %lu, column %lu: %s",
                       (unsigned long)XML_GetCurrentLineNumber(x->parser),
                       (unsigned long)XML_GetCurrentColumnNumber(x->parser) + 1, why);
    if (x->parser != NULL)
        (void)XML_StopParser(x->parser, XML_FALSE);
    if (!x->closing)
        ac_http_fail(x->request, err);
}

/* What an error of the parser is for us. */
static int error_of(const struct ac__xml *x, enum XML_Error code)
{
    switch (code) {
    case XML_ERROR_NO_MEMORY:
        return -ENOMEM;
    case XML_ERROR_AMPLIFICATION_LIMIT_BREACH:
        return -AC_ETOOLARGE;
    case XML_ERROR_NO_ELEMENTS:
    case XML_ERROR_UNCLOSED_TOKEN:
    case XML_ERROR_PARTIAL_CHAR:
    case XML_ERROR_UNCLOSED_CDATA_SECTION:
        return x->closing ? -AC_ETRUNCATED : -AC_EPROTO;
    default:
        return -AC_EPROTO;
    }
}

/* --- events ------------------------------------------------------------------------------- */

/* After a slot: was the request closed, or paused? */
static void told(struct ac__xml *x)
{
    if (ac_http_error(x->request) != 0) {
        x->muted = true;
        (void)XML_StopParser(x->parser, XML_FALSE);
    } else if (!x->hurry && ac_http_paused(x->request)) {
        x->stopped = true;
        (void)XML_StopParser(x->parser, XML_TRUE);
    }
}

static void tell(struct ac__xml *x, late_kind kind, const char *text, size_t len)
{
    ac_xml_consumer    *c   = x->owner;
    const ac_xml_class *cls = c->cls;

    if (kind == LATE_TEXT && cls->text != NULL)
        cls->text(c, text, len);
    else if (kind == LATE_END && cls->end != NULL)
        cls->end(c, text);
    else if (kind == LATE_COMMENT && cls->comment != NULL)
        cls->comment(c, text);
    else
        return;
    told(x);
}

/* Tells an event, or keeps it for later. */
static void event(struct ac__xml *x, late_kind kind, const char *text, size_t len)
{
    struct late head = {kind, len};

    x->quiet = 0;
    if (x->muted)
        return;
    if (!x->stopped) {
        tell(x, kind, text, len);
        return;
    }
    if (ac__text_add(&x->late, (const char *)&head, sizeof head) < 0
        || ac__text_add(&x->late, text, len) < 0 || ac__text_add(&x->late, "", 1) < 0)
        give_up(x, -ENOMEM, NULL);
}

/* Tells what came late, until it is all told or a slot pauses again. */
static void tell_late(struct ac__xml *x)
{
    while (!x->muted && !x->stopped && x->late_at < x->late.len) {
        struct late head;
        const char *text;

        memcpy(&head, x->late.data + x->late_at, sizeof head);
        text = x->late.data + x->late_at + sizeof head;
        x->late_at += sizeof head + head.len + 1;
        tell(x, head.kind, text, head.len);
    }
    if (x->late_at == x->late.len)
        x->late.len = x->late_at = 0;
}

static void on_start(void *context, const XML_Char *name, const XML_Char **attributes)
{
    struct ac__xml    *x = context;
    const char *const *list;

    x->quiet = 0;
    if (x->muted)
        return;
    if (++x->depth > DEPTH_MAX) {
        give_up(x, -AC_ETOOLARGE, "elements nested too deeply");
        return;
    }
    if (x->owner->cls->start == NULL)
        return;
    memcpy(&list, &attributes, sizeof list);
    x->owner->cls->start(x->owner, name, attributes[0] != NULL ? list : NULL);
    told(x);
}

static void on_end(void *context, const XML_Char *name)
{
    struct ac__xml *x = context;

    x->depth -= x->depth > 0;
    event(x, LATE_END, name, strlen(name));
}

static void on_text(void *context, const XML_Char *text, int len)
{
    event(context, LATE_TEXT, text, (size_t)len);
}

static void on_comment(void *context, const XML_Char *text)
{
    event(context, LATE_COMMENT, text, strlen(text));
}

static void on_other(void *context, const XML_Char *text, int len)
{
    (void)text, (void)len;
    ((struct ac__xml *)context)->quiet = 0;
}

static void on_entity(void *context, const XML_Char *name, int is_parameter, const XML_Char *value,
                      int len, const XML_Char *base, const XML_Char *system, const XML_Char *public,
                      const XML_Char *notation)
{
    struct ac__xml *x = context;

    (void)name, (void)is_parameter, (void)value, (void)len;
    (void)base, (void)system, (void)public, (void)notation;
    x->quiet = 0;
    if (!x->owner->allow_entities)
        give_up(x, -AC_EPROTO, "entity declarations are not allowed");
}

/* A set of single bytes that expat does not know itself. */
static int on_encoding(void *context, const XML_Char *name, XML_Encoding *info)
{
    (void)context;
    info->convert = NULL;
    info->release = NULL;
    info->data    = NULL;
    return ac__charset_table(name, info->map) == 0 ? XML_STATUS_OK : XML_STATUS_ERROR;
}

/* --- the parser --------------------------------------------------------------------------- */

static int make_parser(struct ac__xml *x, const char *encoding)
{
    static const XML_Memory_Handling_Suite memory = {ac__alloc, ac__realloc, ac__free};

    x->parser = XML_ParserCreate_MM(encoding, &memory, NULL);
    if (x->parser == NULL)
        return -ENOMEM;
    XML_SetUserData(x->parser, x);
    XML_SetElementHandler(x->parser, on_start, on_end);
    XML_SetCharacterDataHandler(x->parser, on_text);
    XML_SetCommentHandler(x->parser, on_comment);
    XML_SetDefaultHandlerExpand(x->parser, on_other);
    XML_SetEntityDeclHandler(x->parser, on_entity);
    XML_SetUnknownEncodingHandler(x->parser, on_encoding, x);
    /* It would hold whole tokens back until more comes; long ones wait here instead. */
    if (XML_SetReparseDeferralEnabled != NULL)
        (void)XML_SetReparseDeferralEnabled(x->parser, XML_FALSE);
    return 0;
}

static void judge(struct ac__xml *x, enum XML_Status status)
{
    x->suspended = status == XML_STATUS_SUSPENDED;
    if (status == XML_STATUS_ERROR && !x->muted) {
        enum XML_Error code = XML_GetErrorCode(x->parser);

        give_up(x, error_of(x, code), code == XML_ERROR_NO_MEMORY ? NULL : XML_ErrorString(code));
    }
    if (x->quiet > QUIET_MAX)
        give_up(x, -AC_ETOOLARGE, "token too long");
}

static bool blocked(const struct ac__xml *x)
{
    return x->muted || x->stopped;
}

/* Gives bytes to the parser. @return how many it has taken: all, or those up to a pause. */
static size_t parse(struct ac__xml *x, const char *data, size_t len)
{
    size_t at = 0;

    while (at < len && !blocked(x)) {
        size_t n = len - at < PIECE ? len - at : PIECE;

        x->quiet += n;
        judge(x, XML_Parse(x->parser, data + at, (int)n, 0));
        at += n;
    }
    return at;
}

/* Gives the parser what is kept, unless it is too little of a long token. */
static void parse_kept(struct ac__xml *x, bool all)
{
    ac__text *from = &x->kept;
    size_t    n;

    if (x->convert) {
        int rc = ac__converter_run(&x->converter, x->kept.data, x->kept.len, x->closing, &x->utf8);

        x->kept.len = 0;
        if (rc < 0)
            give_up(x, rc, NULL);
        from = &x->utf8;
    }
    if (!all && from->len < ac__batch(x->quiet))
        return;
    n = parse(x, from->data, from->len);
    if (!x->muted)
        ac__text_drop(from, n);
}

/*
 * The beginning of a document decides how it is read: a byte order mark goes before the charset of
 * Content-Type, and that before the declaration. Returns whether it can be read now.
 */
static bool begin(struct ac__xml *x)
{
    const ac__charset *marked;
    const char        *encoding = NULL;
    size_t             mark;
    int                rc = 0;

    if (x->kept.len == 0 || (!x->closing && ac__charset_mark_begun(x->kept.data, x->kept.len)))
        return false;
    marked = ac__charset_of_mark(x->kept.data, x->kept.len, &mark);
    if (marked != NULL) {
        encoding = ac__charset_is_utf8(marked) ? "UTF-8" : "UTF-16";
    } else if (x->charset != NULL) {
        encoding = "UTF-8";
        if (!ac__charset_is_utf8(x->charset)) {
            rc         = ac__converter_open(&x->converter, x->charset);
            x->convert = rc == 0;
        }
    }
    x->started = true;
    if (rc == 0 || rc == -ENOSYS)
        rc = make_parser(x, rc == 0 ? encoding : NULL);
    if (rc < 0)
        give_up(x, rc, NULL);
    return rc == 0;
}

/* Goes on from where a pause has stopped it. */
static void go_on(struct ac__xml *x, bool all)
{
    x->stopped = false;
    tell_late(x);
    while (x->suspended && !blocked(x)) {
        judge(x, XML_ResumeParser(x->parser));
        if (!x->suspended && !blocked(x))
            tell_late(x);
    }
    if (!blocked(x) && (x->started || begin(x)))
        parse_kept(x, all);
}

/* --- the consumer ------------------------------------------------------------------------- */

static void free_state(ac_xml_consumer *c)
{
    struct ac__xml *x = c->state_;

    if (x == NULL)
        return;
    c->state_ = NULL;
    if (x->parser != NULL)
        XML_ParserFree(x->parser);
    ac__converter_close(&x->converter);
    ac__text_free(&x->utf8);
    ac__text_free(&x->kept);
    ac__text_free(&x->late);
    ac__free(x);
}

static void xml_header(ac_consumer *base, ac_http_request *request)
{
    ac_xml_consumer *c = AC_SELF(ac_xml_consumer, base);

    free_state(c); /* of a request that was closed when the consumer moved on */
    c->error_[0] = '\0';
    if (ac_http_status(request) != 0) {
        struct ac__xml *x = ac__calloc(sizeof *x);

        if (x == NULL) {
            ac_http_fail(request, -ENOMEM);
            return;
        }
        x->owner   = c;
        x->request = request;
        x->charset = ac__charset_of_type(ac_http_field_get(request, "content-type"));
        c->state_  = x;
    }
    if (c->cls->header != NULL)
        c->cls->header(c, request);
}

static void xml_feed(ac_consumer *base, const void *data, size_t len)
{
    struct ac__xml *x = AC_SELF(ac_xml_consumer, base)->state_;

    if (x == NULL || x->muted)
        return;
    if (ac__text_add(&x->kept, data, len) < 0) {
        give_up(x, -ENOMEM, NULL);
        return;
    }
    /* A layer that passes no word of the resumption on feeds while something is left of the last
     * time; with a slot that always pauses that would have no bound. */
    x->hurry = x->kept.len + x->utf8.len > KEPT_MAX + len;
    go_on(x, false);
    x->hurry = false;
}

static void xml_resume(ac_consumer *base)
{
    struct ac__xml *x = AC_SELF(ac_xml_consumer, base)->state_;

    if (x != NULL && !x->muted)
        go_on(x, false);
}

/* Whether the response is one that has no body, whatever its fields say. */
static bool has_no_body(const ac_http_request *request)
{
    int status = ac_http_status(request);

    return status == 204 || status == 304 || strcmp(ac_http_method(request), "HEAD") == 0;
}

static void finish(struct ac__xml *x)
{
    x->closing = x->hurry = true;
    if (!x->started && x->kept.len == 0) {
        if (has_no_body(x->request))
            return;
        if (make_parser(x, NULL) < 0)
            give_up(x, -ENOMEM, NULL);
        x->started = true;
    }
    go_on(x, true);
    if (!x->muted)
        judge(x, XML_Parse(x->parser, NULL, 0, 1));
}

static void xml_close(ac_consumer *base, int err)
{
    ac_xml_consumer *c = AC_SELF(ac_xml_consumer, base);
    struct ac__xml  *x = c->state_;

    if (x != NULL && err == 0 && !x->muted) {
        base->request = x->request; /* for the slots: it is there until the last of them */
        finish(x);
        base->request = NULL;
        err           = x->err;
    }
    free_state(c);
    if (c->cls->close != NULL)
        c->cls->close(c, err);
}

static const ac_consumer_class xml_class = {
    .name        = "xml",
    .http_header = xml_header,
    .feed        = xml_feed,
    .close       = xml_close,
    .flags       = AC_PIECES,
    .resume      = xml_resume,
};

void ac_xml_consumer_init(ac_xml_consumer *c, const ac_xml_class *cls, bool allow_entities)
{
    if (c == NULL)
        return;
    ac_consumer_init(&c->base, &xml_class);
    c->cls            = cls;
    c->allow_entities = allow_entities;
    c->error_[0]      = '\0';
    c->state_         = NULL;
}

const char *ac_xml_error_text(const ac_xml_consumer *c)
{
    return c != NULL ? c->error_ : "";
}
