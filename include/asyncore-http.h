/* SPDX-License-Identifier: MIT */
/**
 * asyncore-http: an HTTP client on the reactor. It issues requests, and sends the incoming data to a
 * "consumer" target object.
 *
 * This header includes the whole of the library and holds nothing itself. The conventions that all of
 * its functions follow are at the top of <asyncore/base.h>.
 */
#ifndef ASYNCORE_HTTP_H
#define ASYNCORE_HTTP_H

#include "asyncore.h"
#include "asyncore/consumer.h"
#include "asyncore/consumers.h"
#include "asyncore/http.h"
#include "asyncore/redirect.h"
#include "asyncore/url.h"

#endif
