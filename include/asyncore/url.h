/* SPDX-License-Identifier: MIT */
/**
 * URLs of http and https, parsed and resolved as the WHATWG URL Standard has it
 * (https://url.spec.whatwg.org/). What comes out can be sent as it is: the serialiser makes no byte
 * that could end a line of a request.
 *
 * The conventions at the top of <asyncore/base.h> hold here. All of it is thread-safe.
 */
#ifndef ASYNCORE_URL_H
#define ASYNCORE_URL_H

#include "asyncore/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A part of a URL: an offset into its text, and a length. */
typedef struct ac_span {
    uint32_t at, len;
} ac_span;

/**
 * A parsed URL: its serialisation in one string, and where the parts of it lie. All fields are read
 * only. A zeroed one is empty, and may be freed.
 */
typedef struct ac_url {
    char    *text;   /**< "http://user:pw@host:8080/path?query#fragment", ended by NUL */
    uint32_t len;    /**< of text */
    uint16_t port;   /**< the port to connect to: the scheme's, if none was given; 0 is possible */
    bool     secure; /**< the scheme is https */
    bool     has_user; /**< there is userinfo, as "user@" or ":pw@"; "@" alone is none */
    ac_span  username; /**< percent-encoded */
    ac_span  password; /**< percent-encoded */
    ac_span  host;     /**< lower case, IDNA applied; an IPv6 address has its brackets */
    ac_span  path;     /**< begins with "/" */
    ac_span  query;    /**< without "?" */
    ac_span  fragment; /**< without "#" */
    bool     has_port, has_query, has_fragment;
} ac_url;

/**
 * Parses `input`, against `base` if there is one.
 *
 * @param url    out: written on success only; its text is given, and released by ac_url_free(). Not to
 *               be `base` itself.
 * @param input  UTF-8; bytes that are none count as U+FFFD. NUL may occur.
 * @param len    its length in bytes.
 * @param base   NULL: `input` must be absolute.
 * @return       0; -AC_EURL: not a URL, or not of http and https; -AC_ETOOLARGE: `input` or the
 *               result is longer than 1 MiB; -ENOMEM; -EINVAL: misuse, as an empty `base`.
 */
AC_API int ac_url_parse(ac_url *url, const char *input, size_t len, const ac_url *base);

/** Releases what ac_url_parse() gave; the structure is empty afterwards. NULL is allowed. */
AC_API void ac_url_free(ac_url *url);

/** Copies a URL. @return 0, -ENOMEM, or -EINVAL: `from` is empty. */
AC_API int ac_url_copy(ac_url *to, const ac_url *from);

/** Whether two URLs have the same origin: scheme, host, port (RFC 6454). An empty one has none. */
AC_API bool ac_url_same_origin(const ac_url *a, const ac_url *b);

/**
 * Writes the URL without userinfo, and without its fragment unless `fragment`: what may be shown.
 * @param buf  may be NULL if room is 0.
 * @return     the length that it has, as snprintf(3): the text is cut if that is >= `room`.
 */
AC_API size_t ac_url_public(const ac_url *url, char *buf, size_t room, bool fragment);

#ifdef __cplusplus
}
#endif
#endif
