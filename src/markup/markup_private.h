/* SPDX-License-Identifier: MIT */
/* What the files of asyncore-markup share. */
#ifndef AC__MARKUP_PRIVATE_H
#define AC__MARKUP_PRIVATE_H

#include "asyncore/markup.h"

#include "charset.h"

/*
 * From a slot: the page fails with `err`, which its `close` gets. Unlike ac_http_fail() also in the
 * slots that are called when the response has ended already.
 */
void ac__html_fail(ac_html_consumer *c, int err);

/*
 * How much more there should be before a parser looks again at a token of which it has got `quiet`
 * bytes: it begins anew each time, so that small pieces of a long token would cost their square.
 */
static inline size_t ac__batch(size_t quiet)
{
    return quiet < 4096 ? 0 : quiet < 65536 ? quiet / 4 : 16384;
}

#endif
