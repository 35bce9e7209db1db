/* SPDX-License-Identifier: MIT */
/* HTML: what the consumer (html.c) and its use of the parser (html_parser.c) share. */
#ifndef AC__HTML_PRIVATE_H
#define AC__HTML_PRIVATE_H

#include "markup_private.h"

#include <libxml/HTMLparser.h>

enum {
    PIECE      = 16 * 1024, /* given to the parser at once */
    SCAN       = 1024,      /* of the page are read for its character set */
    HELD_MAX   = 64 * 1024,
    QUIET_MAX  = 1024 * 1024, /* bytes without an event */
    DEPTH_MAX  = 1024,
    ATTRIBUTES = 10000
};

struct ac__html {
    ac_html_consumer  *owner;
    ac_http_request   *request;
    htmlParserCtxtPtr  parser; /* made with the first bytes that it gets */
    const ac__charset *charset;
    ac__text           head; /* until the character set is known */
    bool               decided, closing, forgetful, ends_open;
    bool               muted; /* the request is closed, or has failed: no slot is called any more */
    int                err;   /* of this consumer's own; negative */
    ac__converter      converter;
    ac__text           held; /* UTF-8 that the parser has not got */
    size_t             seen; /* of held, in the search for "<" and ">" */
    size_t             open; /* where in held the last "<" is that has no ">"; NONE */
    size_t             quiet, counted;
    unsigned           depth;
};

#define NONE SIZE_MAX

/* The page fails: nothing is told any more. */
void ac__html_give_up(struct ac__html *h, int err);

/* Gives the parser a part of what there is, as its state allows; the bytes of it. */
size_t ac__html_take_piece(struct ac__html *h, const char *data, size_t len);

/* Gives the parser all of `data`, and looks at what came of it. */
void ac__html_parse(struct ac__html *h, const char *data, size_t len);
void ac__html_check(struct ac__html *h);

/* Whether the parser is at the text of a script or style, which is told without it. */
bool ac__html_is_raw(const struct ac__html *h);

/* The end of an element. */
void ac__html_end(void *context, const xmlChar *name);

#endif
