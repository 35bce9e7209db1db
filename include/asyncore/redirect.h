/* SPDX-License-Identifier: MIT */
/**
 * Following redirects, as a consumer that stands before another one: it answers 301, 302, 303, 307 and
 * 308 with a new request (RFC 9110, 15.4) and delegates everything else.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_REDIRECT_H
#define ASYNCORE_REDIRECT_H

#include "asyncore/http.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How redirects are followed. Zero is the default of each. */
typedef struct ac_redirect_options {
    size_t size; /**< sizeof(ac_redirect_options) */
    int    max;  /**< hops; 20; AC_NO_LIMIT: no limit (loops are still found) */

    /**
     * A redirect is about to be followed. May be NULL. Runs from the loop; may close the request.
     * @param request  the answered one: its status and URL are the hop's.
     * @param to       the absolute URL that is asked next, without userinfo; borrowed.
     */
    void (*hop)(void *context, ac_http_request *request, const char *to);
    void *context; /**< kept until `close` */
} ac_redirect_options;

/**
 * Makes a consumer that follows redirects for `to`. Its requests are to be issued by ac_http_send() or
 * ac_http_get() with it as their consumer.
 *
 * On a change of origin (scheme, host, port) credentials go, and with them every field that the caller
 * set but Accept, Accept-Language, Accept-Encoding, User-Agent, Content-Type, Content-Language,
 * Range and If-Range; they do not come back. 303 becomes GET; 301 and 302 turn POST into GET. 307 and 308 send the
 * body again, rewound. https to http is refused. The body of a followed response is not delivered.
 *
 * Errors that `to` is told besides those of the requests: -AC_EREDIRLOOP (a loop, or more hops than
 * `max`), -AC_EREDIRECT (two Locations that differ, one that is no URL, a scheme that is not followed, a
 * body that cannot be sent again).
 *
 * @param to       kept until its `close`, which is called exactly once.
 * @param options  copied; NULL: the defaults.
 * The request that ac_http_send() gave ends with the first hop: ask `to->request` for the one of now.
 *
 * @return         given; it frees itself in its `close`. One that was never given to a request:
 *                 ac_redirect_free(). NULL: out of memory.
 */
AC_API ac_consumer *ac_redirect_new(ac_consumer *to, const ac_redirect_options *options);

/** Frees one that serves no request. `to` is not called. */
AC_API void ac_redirect_free(ac_consumer *redirect);

#ifdef __cplusplus
}
#endif
#endif
