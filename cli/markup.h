/* SPDX-License-Identifier: MIT */
/*
 * asyncore-markup, loaded when a page is to be parsed: it brings libxml2, which would be most of the
 * memory of a program that only fetches.
 */
#ifndef CLI_MARKUP_H
#define CLI_MARKUP_H

#include <asyncore-markup.h>

struct markup {
    void (*link_consumer_init)(ac_link_consumer *c, void *context,
                               void (*link)(void *context, const char *url, size_t len),
                               void (*done)(void *context, int err));
    void (*html_consumer_init)(ac_html_consumer *c, const ac_html_class *cls);
};

/* The functions of the library, or NULL: it is not there, and cli_markup_error() says why. */
const struct markup *cli_markup(void);
const char          *cli_markup_error(void);

#endif
