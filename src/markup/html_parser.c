/* SPDX-License-Identifier: MIT */
/*
 * libxml2's push parser, which tells what it finds, with no tree. What is kept from it, since it
 * cannot do it:
 *
 *   - "</html>", and end tags before all else: it takes nothing that comes after them;
 *   - comments that end as they begin;
 *   - the texts of scripts and styles, whose end it finds or not depending on the pieces;
 *   - limits: it keeps a text or a tag of any length, and nests to any depth.
 */
#include "html_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- events ------------------------------------------------------------------------------- */

void ac__html_give_up(struct ac__html *h, int err)
{
    if (h->muted)
        return;
    h->muted = true;
    h->err   = err;
    if (!h->closing)
        ac_http_fail(h->request, err);
}

/* After a slot: the parser finishes its piece, but what the slot has closed is told no more. */
static void told(struct ac__html *h)
{
    if (ac_http_error(h->request) != 0)
        h->muted = true;
}

static void on_start(void *context, const xmlChar *name, const xmlChar **attributes)
{
    struct ac__html   *h     = context;
    ac_html_consumer  *c     = h->owner;
    size_t             count = 0;
    const char *const *list;

    h->quiet = 0;
    if (h->muted)
        return;
    while (attributes != NULL && attributes[count] != NULL)
        count += 2;
    if (++h->depth > DEPTH_MAX || count / 2 > ATTRIBUTES) {
        ac__html_give_up(h, -AC_ETOOLARGE);
        return;
    }
    if (c->cls->start == NULL)
        return;
    memcpy(&list, &attributes, sizeof list);
    c->cls->start(c, (const char *)name, list);
    told(h);
}

void ac__html_end(void *context, const xmlChar *name)
{
    struct ac__html *h = context;

    h->quiet = 0;
    if (h->depth > 0)
        h->depth--;
    if (h->muted || h->owner->cls->end == NULL)
        return;
    h->owner->cls->end(h->owner, (const char *)name);
    told(h);
}

static void on_text(void *context, const xmlChar *text, int len)
{
    struct ac__html *h = context;

    h->quiet = 0;
    if (h->muted || len <= 0 || h->owner->cls->text == NULL)
        return;
    h->owner->cls->text(h->owner, (const char *)text, (size_t)len);
    told(h);
}

static void on_comment(void *context, const xmlChar *text)
{
    struct ac__html *h = context;

    h->quiet = 0;
    if (h->muted || h->owner->cls->comment == NULL)
        return;
    h->owner->cls->comment(h->owner, (const char *)text);
    told(h);
}

/* What has no slot is progress, too. */
static void on_blank(void *context, const xmlChar *text, int len)
{
    (void)text, (void)len;
    ((struct ac__html *)context)->quiet = 0;
}

static void on_instruction(void *context, const xmlChar *target, const xmlChar *data)
{
    (void)target, (void)data;
    ((struct ac__html *)context)->quiet = 0;
}

static void on_doctype(void *context, const xmlChar *name, const xmlChar *id, const xmlChar *system)
{
    (void)name, (void)id, (void)system;
    ((struct ac__html *)context)->quiet = 0;
}

/* Pages are full of errors, which no one wants to read; memory is another matter. */
static void on_error(void *context, xmlErrorPtr error)
{
    if (context != NULL && error->code == XML_ERR_NO_MEMORY)
        ac__html_give_up(context, -ENOMEM);
}

/* --- the parser --------------------------------------------------------------------------- */

static int make_parser(struct ac__html *h)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    htmlSAXHandler        sax  = {
                .startElement          = on_start,
                .endElement            = ac__html_end,
                .characters            = on_text,
                .cdataBlock            = on_text,
                .ignorableWhitespace   = on_blank,
                .comment               = on_comment,
                .processingInstruction = on_instruction,
                .internalSubset        = on_doctype,
                .serror                = on_error,
                .initialized           = XML_SAX2_MAGIC, /* else serror is not looked at */
    };

    (void)pthread_once(&once, xmlInitParser);
    h->parser = htmlCreatePushParserCtxt(&sax, h, NULL, 0, NULL, XML_CHAR_ENCODING_UTF8);
    if (h->parser == NULL)
        return -ENOMEM;
    (void)htmlCtxtUseOptions(h->parser, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR
                                            | HTML_PARSE_NOWARNING | HTML_PARSE_NONET
                                            | HTML_PARSE_IGNORE_ENC);
    h->forgetful = strtol(xmlParserVersion, NULL, 10) < 21000;
    return 0;
}

/*
 * The parser compares each attribute of a tag with those before it, so that a tag of a megabyte
 * would take minutes: a tag that is not whole yet is judged by the words in it.
 */
static bool too_many_attributes(const struct ac__html *h)
{
    const xmlChar *at    = h->parser->input->cur;
    const xmlChar *end   = h->parser->input->end;
    xmlChar        quote = 0;
    bool           word  = false;
    size_t         words = 0;

    for (; at < end; at++) {
        if (quote != 0) {
            if (*at == quote)
                quote = 0;
            continue;
        }
        if (*at == '"' || *at == '\'') {
            quote = *at;
            word  = false;
        } else if (*at == '>') {
            return false; /* whole: the parser is about to see that */
        } else if (*at == ' ' || (*at >= '\t' && *at <= '\r') || *at == '/') {
            word = false;
        } else if (!word) {
            word = true;
            words++;
        }
    }
    return words > ATTRIBUTES;
}

void ac__html_check(struct ac__html *h)
{
    if (h->quiet < h->counted)
        h->counted = 0;
    if (h->parser->instate == XML_PARSER_START_TAG && h->quiet - h->counted >= PIECE / 2) {
        h->counted = h->quiet;
        if (too_many_attributes(h))
            ac__html_give_up(h, -AC_ETOOLARGE);
    }
    if (h->quiet > QUIET_MAX)
        ac__html_give_up(h, -AC_ETOOLARGE);
    if (h->parser->instate == XML_PARSER_EOF && !h->closing)
        ac__html_give_up(h, -AC_EPROTO); /* it has given up, which it should not */
}

bool ac__html_is_raw(const struct ac__html *h)
{
    const xmlChar *name = h->parser != NULL ? h->parser->name : NULL;

    return name != NULL && h->parser->instate == XML_PARSER_CONTENT
           && (xmlStrEqual(name, BAD_CAST "script") || xmlStrEqual(name, BAD_CAST "style"));
}

void ac__html_parse(struct ac__html *h, const char *data, size_t len)
{
    if (h->parser == NULL && make_parser(h) < 0) {
        ac__html_give_up(h, -ENOMEM);
        return;
    }
    h->quiet += len;
    /* Versions before 2.10 remember how far they have searched for an end, but not that the
     * beginning has moved since: then they miss the ">" of a tag, and wait for another one. */
    if (h->forgetful)
        h->parser->checkIndex = 0;
    (void)htmlParseChunk(h->parser, data, (int)len, 0);
    if (h->parser->instate == XML_PARSER_EPILOG)
        h->parser->instate = XML_PARSER_CONTENT; /* pages go on behind their end */
    if (ac__html_is_raw(h) && h->parser->input->cur < h->parser->input->end) {
        /* Of a tag that was not as long as it seemed: no end of the element is in it. */
        htmlParserInputPtr in = h->parser->input;

        on_text(h, in->cur, (int)(in->end - in->cur));
        in->cur = in->end;
    }
    ac__html_check(h);
}

/* How much of `len` bytes to give at once: up to a tag, else up to a character. */
static size_t piece_of(const char *data, size_t len)
{
    const char *tag;
    size_t      n = PIECE;

    if (len <= PIECE)
        return len;
    tag = memrchr(data + 1, '<', PIECE - 1);
    if (tag != NULL)
        return (size_t)(tag - data);
    while (n > 1 && ((unsigned char)data[n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* What a "<" begins, as far as the parser must not see it as it is. */
typedef enum oddity {
    PLAIN,
    STRAY,      /* an end tag with which it would end the page */
    EMPTY,      /* a comment as "<!-->", of which it misses the end */
    MISLEADING, /* a comment that begins as "<!--!>", which it takes for an end */
    RAW         /* an element whose text is no markup: it is told without the parser */
} oddity;

/* Whether a name ends at `at`, as the parser has it. */
static bool ends_name(const char *at, const char *end)
{
    return at == end
           || !((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z')
                || (*at >= '0' && *at <= '9') || memchr(":-_.", *at, 4) != NULL);
}

static bool names(const char *at, const char *end, const char *name, size_t len)
{
    return (size_t)(end - at) >= len && strncasecmp(at, name, len) == 0 && ends_name(at + len, end);
}

static oddity oddity_of(const struct ac__html *h, const char *tag, size_t len)
{
    if (len >= 2 && tag[1] == '/') {
        if (h->parser == NULL || h->parser->nameNr == 0)
            return STRAY;
        if (names(tag + 2, tag + len, "html", 4))
            return STRAY;
    }
    if (names(tag + 1, tag + len, "script", 6) || names(tag + 1, tag + len, "style", 5))
        return RAW;
    if (len >= 5 && memcmp(tag, "<!--", 4) == 0) {
        size_t dash = tag[4] == '-' && len > 5;

        if (tag[4 + dash] == '>')
            return EMPTY;
        if (tag[4 + dash] == '!')
            return MISLEADING;
    }
    return PLAIN;
}

/* The bytes before the first of these. */
static size_t before_oddity(const struct ac__html *h, const char *data, size_t len)
{
    const char *end = data + len;

    for (const char *at = data; (at = memchr(at, '<', (size_t)(end - at))) != NULL; at++)
        if (oddity_of(h, at, (size_t)(end - at)) != PLAIN)
            return (size_t)(at - data);
    return len;
}

/* Whether a "<" begins something here, and is not a part of a comment or another tag. */
static bool is_between(const struct ac__html *h, oddity o)
{
    const xmlChar *at, *end;
    bool           first;

    if (h->parser == NULL)
        return true;
    first = o == STRAY && h->parser->nameNr == 0;
    /* What it has not told yet may be text, but no tag; before all else, only blanks. */
    end = h->parser->input->end;
    for (at = h->parser->input->cur; at < end; at++)
        if (*at == '<' || (first && *at != ' ' && (*at < '\t' || *at > '\r')))
            return false;
    return true;
}

/* Takes what begins with an oddity: the bytes taken. */
static size_t take_odd(struct ac__html *h, const char *data, size_t len)
{
    oddity o = oddity_of(h, data, len);
    size_t n = 2;

    while (n < len && data[n] != '>' && data[n] != '<')
        n++;
    n += n < len && data[n] == '>';
    if (o == RAW || !is_between(h, o)) {
        ac__html_parse(h, data, n);
    } else if (o == EMPTY) {
        ac__html_parse(h, "<!---->", 7);
    } else if (o == MISLEADING) {
        ac__html_parse(h, "<!-- ", 5);
        return 4;
    }
    return n;
}

/* --- the texts of scripts and styles -------------------------------------------------------- */

/*
 * Takes such a text, which ends at the end tag of its element, or that tag. The parser would take
 * other end tags for it, depending on where the pieces of the text end. Returns the bytes taken.
 */
static size_t take_raw(struct ac__html *h, const char *data, size_t len)
{
    const char *name = (const char *)h->parser->name;
    size_t      n    = strlen(name);
    const char *end  = data + len;
    const char *at   = data;

    while ((at = memchr(at, '<', (size_t)(end - at))) != NULL) {
        if (end - at >= 2 && at[1] == '/' && names(at + 2, end, name, n))
            break;
        at++;
    }
    if (at == data) {
        at = memchr(data, '>', len);
        n  = at != NULL ? (size_t)(at - data) + 1 : len;
        ac__html_parse(h, data, n);
        return n;
    }
    n = at != NULL ? (size_t)(at - data) : len;
    if (n > PIECE)
        n = piece_of(data, n);
    on_text(h, (const xmlChar *)data, (int)n);
    return n;
}

/* Takes a piece, as the state of the parser allows. Returns its length. */
size_t ac__html_take_piece(struct ac__html *h, const char *data, size_t len)
{
    size_t n;

    if (ac__html_is_raw(h))
        return take_raw(h, data, len);
    n = piece_of(data, len);
    if (h->parser != NULL
        && (h->parser->instate == XML_PARSER_START_TAG || h->parser->instate == XML_PARSER_END_TAG)
        && h->parser->input->cur < h->parser->input->end) {
        /* A tag that is not whole, or whose first ">" was not its end. It goes alone, since behind
         * it may be a script, or nothing that the parser expects. */
        const char *close = memchr(data, '>', n);

        if (close != NULL)
            n = (size_t)(close - data) + 1;
    } else {
        size_t before = before_oddity(h, data, n);

        if (before == 0)
            return take_odd(h, data, n);
        n = before;
    }
    ac__html_parse(h, data, n);
    return n;
}
