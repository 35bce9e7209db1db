/* SPDX-License-Identifier: MIT */
/**
 * asyncore-markup: consumers that parse HTML and XML while it arrives, and find links. A library of
 * its own, so that a program that only fetches does not load libxml2.
 *
 * This header includes the whole of the library and holds nothing itself. The conventions that all
 * of its functions follow are at the top of <asyncore/base.h>.
 */
#ifndef ASYNCORE_MARKUP_H
#define ASYNCORE_MARKUP_H

#include "asyncore-http.h"
#include "asyncore/markup.h"

#endif
