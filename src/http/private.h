/* SPDX-License-Identifier: MIT */
/*
 * The inside of the HTTP client.
 *
 *   client --- origin (scheme, host, port) --- queue of requests, idle connections
 *                                         `--- connection --- request --- exchange
 *
 * A *request* is what the user holds; while it waits it is this small structure and its URL. When its
 * turn comes it gets an *exchange*, which holds all that a response needs, and a *connection*, which
 * holds the framing of the message under way: so a connection can outlive a request that was closed.
 */
#ifndef AC__HTTP_PRIVATE_H
#define AC__HTTP_PRIVATE_H

#include "asyncore/http.h"
#include "asyncore/sender.h"

#include "../loop/loop_private.h"
#include "../net/channel.h"
#include "coding.h"
#include "http1.h"

typedef struct ac__origin   ac__origin;
typedef struct ac__conn     ac__conn;
typedef struct ac__exchange ac__exchange;
typedef struct ac__args     ac__args;

enum { AC__PIECE = 64 * 1024, AC__INLINE_HEAD = 4096, AC__INLINE_FIELDS = 64 };

/* flags of a request */
enum {
    AC__R_CLOSED    = 1 << 0, /* by ac_http_close() or ac_http_fail() */
    AC__R_HEADER    = 1 << 1, /* http_header was told */
    AC__R_PAUSED    = 1 << 2,
    AC__R_FRONT     = 1 << 3, /* keeps its place: goes before the others of its origin */
    AC__R_FRESH     = 1 << 4, /* only over a new connection: the pooled one was dead */
    AC__R_RESUMED   = 1 << 5, /* waits in client->resumed */
    AC__R_ENDING    = 1 << 6, /* its close is being called */
    AC__R_NO_EXPECT = 1 << 7  /* 417 came: without Expect */
};

struct ac_http_request {
    ac_http_client *client;
    ac_consumer    *consumer; /* NULL: moved to another request */
    ac__origin     *origin;   /* NULL: the URL is bad */
    ac__exchange   *x;        /* NULL while it waits */
    ac__args       *args;     /* NULL: a plain GET */
    ac__link        link;     /* in origin->queue, client->active, ->failed or ->ending */
    int64_t         created;
    int32_t         err;
    uint32_t        flags;
    char            url[]; /* serialised, with userinfo and fragment */
};

/* What a request is besides a plain GET: one block. */
struct ac__args {
    const char    *method;
    ac_http_field *fields;
    size_t         field_count;
    ac_http_body   body;
    bool           has_body, raw, keep_empty, has_limits;
    ac_http_limits limits;
};

struct ac__origin {
    ac__origin     *next; /* in its bucket of the table */
    ac_http_client *client;
    ac__link        queue; /* requests that wait, first in first out */
    ac__link        idle;  /* connections, the last used first */
    ac__link        ready; /* in client->ready: has requests, and may open or use a connection */
    unsigned        conns, idle_count;
    size_t          users; /* requests */
    uint32_t        hash;
    uint16_t        port;
    bool            http10; /* the server has answered HTTP/1.0: no chunked bodies */
    char            host[]; /* as in URLs: with brackets for IPv6 */
};

typedef enum ac__conn_state {
    AC__CONN_CONNECTING,
    AC__CONN_IDLE,
    AC__CONN_HEAD,
    AC__CONN_BODY,
    AC__CONN_TRAILER,
    AC__CONN_FLUSH /* the body is whole, the decoders have more to give */
} ac__conn_state;

struct ac__conn {
    ac_dispatcher    base;
    ac_http_client  *client;
    ac__origin      *origin;
    ac_http_request *request; /* NULL: idle, or what comes is dropped */
    ac__link         all;     /* in client->conns */
    ac__link         link;    /* in origin->idle */
    ac__link         lru;     /* in client->idle, the longest idle first */
    ac_timer         timer;
    ac_addr          peer;
    ac__conn_state   state;
    ac__body         body;
    bool             reused, got_byte, persists, sent, expecting, gone;
    bool             resumed;    /* what was kept is to be used up by the pump */
    int              ended;      /* 1: the peer has shut its side; negative: it failed */
    size_t           next_addr;  /* of the addresses that the client was given for the name */
    int64_t          stamp;      /* when last a byte went either way */
    int64_t          idle_limit; /* that the server gave with Keep-Alive; 0: none */
    int64_t          window, window_bytes; /* the low speed's */
    int64_t          sent_at;
    int64_t          bulk, bulk_since; /* what of a large body was taken, and since when */
    bool             water;            /* SO_RCVLOWAT is set */
    uint64_t         progress;
    int64_t          dropped;
    char            *kept; /* of a paused request: `span` bytes of body, then bytes as they came */
    size_t           kept_len, span;
};

struct ac__joined {
    struct ac__joined *next;
    char               text[];
};

struct ac__exchange {
    ac__exchange      *next; /* in client->spare */
    ac_http_request   *request;
    ac__conn          *conn;
    ac_url             url;
    ac_http_limits     limits;
    ac__head           head;
    ac__field         *fields;
    uint32_t           field_cap, field_count; /* of the head; trailers come behind */
    char              *block;                  /* the head's bytes, then the trailers' */
    size_t             block_len, block_cap, head_len;
    uint32_t           trailer_base;
    int                status, minor;
    uint32_t           reason;
    unsigned           interims;
    ac__framing        framing;
    ac__coding         codings[AC__CODINGS];
    size_t             coding_count;
    ac__decoder       *decoders[AC__CODINGS];
    char              *mid; /* between two decoders */
    const char        *mid_at;
    size_t             mid_len;
    bool               more_decoded; /* a decoder was stopped before it wanted input */
    struct ac__joined *joined; /* values of several fields of a name, as they were asked for */
    char              *location, *public_url;
    char    *told[24]; /* blocks that the caller may hold strings of, though they were outgrown */
    unsigned told_count;
    int64_t  body_out; /* bytes of the body given to the sender */
    bool     raw, body_ended, chunked_out, expect_sent;
    bool     starved; /* the caller's body has nothing to give: the peer is not idle */
    ac_http_phase_t phase;
    int64_t         started;
    ac_http_times   times;
    ac__field       inline_fields[AC__INLINE_FIELDS];
    char            inline_block[AC__INLINE_HEAD];
};

/* An answer that the caller gave for a name. */
typedef struct ac__override {
    struct ac__override *next;
    ac_addr              addr;
    uint16_t             port;
    char                 host[];
} ac__override;

struct ac_http_client {
    ac_loop        *loop;
    ac__source      pump;  /* starts what can start, and tells what failed at once */
    ac__source      ender; /* on the reap list: `close` of what was closed in this turn */
    ac_http_options options;
    char           *user_agent;
    ac__origin    **table;
    size_t          buckets, origins;
    ac__link        ready;  /* origins */
    ac__link        active; /* requests with an exchange */
    ac__link        failed; /* requests that are to be told so */
    ac__link        ending; /* requests that were closed */
    ac__link        conns, idle;
    unsigned        nconns, nidle;
    ac__exchange   *spare;
    unsigned        nspare;
    char           *out; /* where requests are put together */
    size_t          out_len, out_cap;
    char           *wide;    /* what ac__bulk_read() reads, made at the first */
    char           *scratch; /* what a decoder makes: AC__PIECE */
    ac__override   *overrides;
    ac_http_stats   stats;
    unsigned        resumes;    /* connections marked so */
    int64_t         next_start; /* with options.spacing */
    ac_timer        spacer;
    bool            pumping;
    bool            ended; /* its loop is gone */
};

/* --- client.c ----------------------------------------------------------------------------- */

void        ac__http_pump(ac_http_client *c);
ac__origin *ac__origin_get(ac_http_client *c, const ac_url *url);
void        ac__origin_release(ac__origin *o); /* frees it when nothing needs it */
void        ac__http_enqueue(ac_http_request *r);
/* A connection has become free, or is gone. */
void ac__conn_idle(ac__conn *n);
void ac__conn_gone(ac__conn *n);
/* Fills what is 0 from another set of limits. */
void ac__limits_fill(ac_http_limits *to, const ac_http_limits *from);
/* Schedules the end of the turn for the requests in `ending`. */
void ac__http_end_later(ac_http_client *c);
/* The n-th address that was given for this name, or NULL. */
const ac_addr *ac__override_at(ac_http_client *c, const char *host, size_t len, uint16_t port,
                               size_t n);

/* --- request.c ---------------------------------------------------------------------------- */

/* As ac_http_send(), with flags of the request set at its beginning. */
int ac__http_send(ac_http_client *client, const ac_http_args *args, ac_consumer *consumer,
                  ac_http_request **request, uint32_t flags);
/* As ac_http_close(), but reads what is left of a small body, for the sake of the connection. */
void ac__http_close_drain(ac_http_request *r, int err);
/* Ends a request that failed, from the loop: http_header with status 0 if none was told, close. */
void ac__request_fail(ac_http_request *r, int err);
/* Its last call, from the loop, and its end. */
void        ac__request_end(ac_http_request *r, int err);
const char *ac__request_method(const ac_http_request *r);
bool ac__request_repeatable(const ac_http_request *r); /* idempotent, and can be sent again */
int  ac__request_rewind(ac_http_request *r);
ac__exchange *ac__exchange_new(ac_http_request *r);
void          ac__exchange_free(ac__exchange *x);

/* --- getters.c ---------------------------------------------------------------------------- */

/* The one Location as it was sent, or NULL; `*several`: there are two that differ. */
const char *ac__location(const ac_http_request *r, bool *several);
/* The URL that a Location means, for ac_url_free(): 0, or as ac_url_parse(). */
int ac__location_parse(const ac_http_request *r, const char *location, ac_url *url);

/* --- conn.c ------------------------------------------------------------------------------- */

/* Begins a request over this connection, or over a new one (NULL). Calls nothing back. */
void ac__conn_start(ac__conn *n, ac_http_request *r);
/* Closes a connection, and gives its place to others. */
void ac__conn_close(ac__conn *n);
/* The request is closed: the connection goes too, unless little is left to read (`drain`). */
void ac__conn_abandon(ac__conn *n, bool drain);
/* The message is complete: to the pool, or closed. The request is detached. */
void ac__conn_done(ac__conn *n);
/* The connection failed, or what came over it cannot be used; tells its request. */
void ac__conn_fail(ac__conn *n, int err);
/* Sets the timer to the next deadline, if that is earlier than it is set. */
void ac__conn_arm(ac__conn *n);
/* The request goes on after a pause: what was kept is used up from the loop. */
void ac__conn_resume(ac__conn *n);
/* Sends the request once more over a new connection: what came does not count. */
void ac__conn_again(ac__conn *n);
/* The server said 100, or said nothing for a second: the body may go out. */
void ac__conn_continue(ac__conn *n);

/* --- out.c: requests as bytes --------------------------------------------------------------- */

/* Puts the head together in client->out, with a small body: 0 or -errno. `*whole`: body included. */
int ac__out_head(ac__conn *n, bool *whole);
/* Sends more of the body, as the queue has room. 0 or -errno. */
int ac__out_body(ac__conn *n);
/* Whether fields and method may be sent: 0 or -EINVAL. */
int ac__out_check(const ac_http_args *args);

/* --- bulk.c: large bodies ----------------------------------------------------------------- */

/* Drops what may be dropped unseen: bytes; 0: it is to be read; negative: as ac_read(). */
ssize_t ac__bulk_drop(ac__conn *n);
/* As ac_read(), but more at a time where much comes fast. */
ssize_t ac__bulk_read(ac__conn *n, const void **data);
/* So much was taken: may have the kernel wait for more at a time, or no longer. */
void ac__bulk_took(ac__conn *n, size_t len);
/* Has the kernel tell of each byte again. */
void ac__bulk_off(ac__conn *n);

/* --- response.c --------------------------------------------------------------------------- */

/* Takes what came in; data NULL: goes on with what was kept. */
void ac__response_input(ac__conn *n, const char *data, size_t len);
/* The peer has shut its side (1) or failed (negative): acts on it when what was kept is used up. */
void ac__response_ended(ac__conn *n, int ended);

#endif
