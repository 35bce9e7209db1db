/* SPDX-License-Identifier: MIT */
/**
 * The HTTP client: HTTP/1.1 (RFC 9110, RFC 9112), with a pool of connections, a fair queue, limits and
 * deadlines. Nothing here blocks, and no call runs a slot of a consumer.
 *
 * The conventions at the top of <asyncore/base.h> hold here. A client and its requests belong to the
 * thread of their loop.
 */
#ifndef ASYNCORE_HTTP_HTTP_H
#define ASYNCORE_HTTP_HTTP_H

#include "asyncore/addr.h"
#include "asyncore/consumer.h"
#include "asyncore/url.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What requests share: pool, limits, queue. */
typedef struct ac_http_client ac_http_client;

/** For a limit: none at all. 0 is the default. */
#define AC_NO_LIMIT (-1)

/** What a response may take. Zero is the default of each; AC_NO_LIMIT: none. */
typedef struct ac_http_limits {
    size_t  size;           /**< sizeof(ac_http_limits) */
    int64_t head;           /**< bytes of status line, fields and trailers; 256 KiB */
    int64_t fields;         /**< their number, trailers too; 500 */
    int64_t interims;       /**< 1xx responses; 16 */
    int64_t body;           /**< bytes of the body on the wire; none */
    int64_t decoded;        /**< bytes of the body as fed; none */
    int64_t ratio;          /**< decoded / wire, judged once 16 MiB are decoded; 200 */
    int64_t connect;        /**< ns: name and connection; 10 s */
    int64_t response;       /**< ns: from the request sent to the end of the head; 60 s */
    int64_t idle;           /**< ns: without a byte either way; 60 s */
    int64_t total;          /**< ns: all of it, from the first connection on; none */
    int64_t low_speed;      /**< bytes a second, on the average of `low_speed_time`; 16 */
    int64_t low_speed_time; /**< ns; 60 s */
} ac_http_limits;

/** How a client is made. Zero is the default of each. */
typedef struct ac_http_options {
    size_t         size;            /**< sizeof(ac_http_options) */
    unsigned       max_connections; /**< in all; 256 */
    unsigned       per_host;        /**< of one origin; 6 */
    unsigned       max_idle;        /**< kept without work; 256 */
    unsigned       idle_per_host;   /**< of one origin; 8 */
    int64_t        idle_time;       /**< ns that one is kept; 60 s */
    const char    *user_agent;      /**< copied; NULL: "asyncore/VERSION"; "": none sent */
    int64_t        spacing;         /**< ns between the beginnings of two exchanges, redirects
                                         included, over all origins; 0: none */
    bool           raw;             /**< ask for no content codings, and decode none */
    ac_http_limits limits;          /**< of every request that does not bring its own */
} ac_http_options;

/**
 * Makes a client.
 * @param loop     kept as long as the client.
 * @param options  copied; NULL: the defaults.
 * @return         given, to be ended by ac_http_client_free(); NULL: out of memory, or no loop.
 */
AC_API ac_http_client *ac_http_client_new(ac_loop *loop, const ac_http_options *options);

/**
 * Ends a client: its requests are cancelled (each consumer gets its `close`), its connections closed.
 * @param client  taken, but for -EBUSY; NULL is allowed.
 * @return        0, or -EBUSY: called from a callback of the loop; nothing was done.
 * May call back: `close` of consumers.
 */
AC_API int ac_http_client_free(ac_http_client *client);

/** The loop of a client. */
AC_API ac_loop *ac_http_client_loop(const ac_http_client *client);

/**
 * Has a name and port answered by a numeric address, with no lookup. Several calls for one name: several
 * addresses, tried in order.
 * @param host  compared after IDNA, in lower case; never an address literal.
 * @return      0, -AC_ENAME (host or address), -ENOMEM, -EINVAL.
 */
AC_API int ac_http_client_resolve(ac_http_client *client, const char *host, uint16_t port,
                                  const char *address);

/* --- requests ----------------------------------------------------------------------------- */

/** A field of a head. Strings are ended by NUL. */
typedef struct ac_http_field {
    const char *name, *value;
    size_t      name_len, value_len;
} ac_http_field;

/**
 * The body of a request. Give `data`, or `more`.
 */
typedef struct ac_http_body {
    const void *data; /**< kept until the consumer's `close` */
    int64_t     len;  /**< of `data`, or of all that `more` will give; -1: not known (chunked) */
    /**
     * Gives the next piece, when the send queue has room.
     * @param data  out: borrowed until the next call.
     * @return      its length; 0: the end; -EAGAIN: nothing now, call ac_http_body_ready() when there
     *              is; another negative value fails the request.
     */
    ssize_t (*more)(void *context, const void **data);
    /** Goes back to the beginning, for a redirect or retry: 0 or negative. NULL: cannot be done. */
    int (*rewind)(void *context);
    void *context; /**< kept until the consumer's `close` */
} ac_http_body;

/** A request. Zero is the default of each. */
typedef struct ac_http_args {
    size_t                size;   /**< sizeof(ac_http_args) */
    const char           *method; /**< NULL: GET, or POST with a body. Copied. */
    const char           *url;    /**< required, absolute; copied */
    const ac_http_field  *fields; /**< sent behind the default ones; one of the same name replaces a
                                        default, and an empty or NULL value removes it. Copied. */
    size_t                field_count;
    const ac_http_body   *body;   /**< the structure is copied, not the data */
    const ac_http_limits *limits; /**< copied; NULL: the client's */
    bool                  raw;    /**< as the client's option */
    bool keep_empty;              /**< a field with an empty value, not NULL, is sent as it is */
} ac_http_args;

/**
 * Fetches a URL with GET. The one-line form of ac_http_send().
 */
AC_API int ac_http_get(ac_http_client *client, const char *url, ac_consumer *consumer);

/**
 * Issues a request. It waits in the queue of its origin until a connection is free. Userinfo in the URL
 * is sent as Basic credentials (RFC 7617) and shown nowhere.
 *
 * @param args      copied.
 * @param consumer  kept until its `close`. One whose request was closed by ac_http_close() in this
 *                  turn moves to the new request, with its one `close`.
 * @param request   out, or NULL: borrowed until `close` has returned (moved: to the end of the turn).
 * @return          0: `close` will be called, in a later turn, and all failures arrive there (a bad URL
 *                  too); -EINVAL: no client, URL or consumer; a method (as CONNECT), field name or value
 *                  that must not be sent, or a field that is the library's to send; -EBUSY: the consumer serves a
 *                  request; -ENOMEM.
 */
AC_API int ac_http_send(ac_http_client *client, const ac_http_args *args, ac_consumer *consumer,
                        ac_http_request **request);

/**
 * Gives a request up: neither `http_header` nor `feed` comes any more. `close(-AC_ECANCELED)` comes at
 * the end of the turn, unless the consumer was given to another request by then. Any number of times,
 * anywhere.
 */
AC_API void ac_http_close(ac_http_request *request);

/** The same for a consumer that cannot go on: `close` gets its reason, `err`, of either sign. */
AC_API void ac_http_fail(ac_http_request *request, int err);

/**
 * Stops and restarts the feed. At most 64 KiB and one decoder step are kept; then the socket is not
 * read, which holds the peer back. No clock but the total runs meanwhile. @return 0 or -EBADF.
 */
AC_API int ac_http_pause(ac_http_request *request);
AC_API int ac_http_resume(ac_http_request *request);

/** Whether ac_http_pause() holds the request back now. */
AC_API bool ac_http_paused(const ac_http_request *request);

/** The body's `more` has something again, after -EAGAIN. @return 0 or -EBADF. */
AC_API int ac_http_body_ready(ac_http_request *request);

/* --- responses ---------------------------------------------------------------------------- */

/** The status, 100 to 599; 0: no final response. */
AC_API int ac_http_status(const ac_http_request *request);

/** Why the request failed: a negative error; 0: it has not. */
AC_API int ac_http_error(const ac_http_request *request);

/** Where a request is, or failed. */
typedef enum ac_http_phase_t {
    AC_HTTP_QUEUED,
    AC_HTTP_NAME,
    AC_HTTP_CONNECT,
    AC_HTTP_SEND,
    AC_HTTP_HEAD,
    AC_HTTP_BODY,
    AC_HTTP_DONE
} ac_http_phase_t;
/** Where the request is, or where it failed. */
AC_API ac_http_phase_t ac_http_phase(const ac_http_request *request);

/** The reason phrase ("OK"), which may be empty, and the version ("HTTP/1.1"). "" for no response. */
AC_API const char *ac_http_reason(const ac_http_request *request);
AC_API const char *ac_http_version(const ac_http_request *request);

/** The URL of this request, without userinfo, with its fragment ("" while it waits in the queue, and
 *  for a bad URL); and its method. */
AC_API const char *ac_http_url(const ac_http_request *request);
AC_API const char *ac_http_method(const ac_http_request *request);

/** Location, absolute, without userinfo; NULL: there is none, it is no URL of http and https, or
 *  there are two that differ. */
AC_API const char *ac_http_location(const ac_http_request *request);

/**
 * A field by name, in any case; several of one name joined by ", ".
 * @return  borrowed as the request; NULL: none (or out of memory while joining).
 */
AC_API const char *ac_http_field_get(const ac_http_request *request, const char *name);

/** The fields of the head in the order of arrival. One past the end is all zero. */
AC_API size_t        ac_http_field_count(const ac_http_request *request);
AC_API ac_http_field ac_http_field_at(const ac_http_request *request, size_t index);

/** The trailers, which are known in `close`. */
AC_API size_t        ac_http_trailer_count(const ac_http_request *request);
AC_API ac_http_field ac_http_trailer_at(const ac_http_request *request, size_t index);

/** What a request took, in ns from its start, -1: did not happen; and its bytes. */
typedef struct ac_http_times {
    int64_t  queued;       /**< waited for a connection before the start */
    int64_t  name;         /**< the name was known */
    int64_t  connect;      /**< the connection stood; 0 for one from the pool */
    int64_t  sent;         /**< the request was sent whole */
    int64_t  first_byte;   /**< of the response */
    int64_t  total;        /**< the end */
    int64_t  length;       /**< Content-Length, -1: not given */
    uint64_t bytes;        /**< of the body, decoded */
    uint64_t wire_bytes;   /**< of the body behind the transfer coding */
    uint64_t header_bytes; /**< of heads and trailers received */
    uint64_t sent_bytes;   /**< of the request */
    bool     reused;       /**< over a connection from the pool */
    ac_addr  peer;         /**< whose it was; len 0: none */
} ac_http_times;

/** Borrowed as the request; all -1 for none. */
AC_API const ac_http_times *ac_http_timings(const ac_http_request *request);

/** The client of a request, and the consumer that it was given. */
AC_API ac_http_client *ac_http_client_of(const ac_http_request *request);
AC_API ac_consumer    *ac_http_consumer(const ac_http_request *request);

/** Counters of a client. "now" marks the ones that go down again. */
typedef struct ac_http_stats {
    size_t   size;        /**< sizeof(ac_http_stats), set by the caller */
    uint64_t requests;    /**< exchanges begun, redirects and retries too */
    uint64_t connections; /**< opened */
    uint64_t reused;      /**< exchanges over a connection from the pool */
    uint64_t stale;       /**< sent again, since the pooled connection was dead */
    uint64_t queued;      /**< now: requests that wait */
    uint64_t active;      /**< now: exchanges under way */
    uint64_t open;        /**< now: connections open */
    uint64_t idle;        /**< now: of them, without work */
} ac_http_stats;
/** Copies the counters. @param out `size` set by the caller. @return 0 or -EINVAL. */
AC_API int ac_http_client_get_stats(const ac_http_client *client, ac_http_stats *out);

#ifdef __cplusplus
}
#endif
#endif
