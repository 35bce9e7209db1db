/* SPDX-License-Identifier: MIT */
/*
 * A hostile origin for the tests of the HTTP client, and what they share besides.
 *
 * The origin is a listener and raw sockets in the same thread, stepped between the turns of the
 * loop: so the test says byte by byte what the client has seen, and nothing has to be waited for.
 * It answers the n-th request with the n-th reply of its script, records what was asked over which
 * connection, and ends connections as the script says.
 *
 * A sink is a consumer that counts. Each of its slots checks the contract: http_header at most
 * once, feed only between it and close, close once and last, none of them inside a call of the
 * library's.
 */
#ifndef HTTP_ORIGIN_H
#define HTTP_ORIGIN_H

#include "harness.h"

#include <asyncore-http.h>

/* --- the origin ------------------------------------------------------------------------------- */

enum o_end {
    O_STAY, /* the connection stays open */
    O_FIN,  /* the sending side is shut when all is sent */
    O_RST   /* the connection is reset when all is sent */
};

enum {
    O_EARLY = 1 << 0, /* answers when the head of the request is there, not waiting for its body */
    O_DEAF  = 1 << 1, /* from this reply on nothing is read any more */
    O_MUTE  = 1 << 2  /* nothing is sent, and `end` happens at once */
};

/* In `data` and `early`, {A} and {B} become HOST:PORT of the origins of the world. */
struct o_reply {
    const char *data;
    size_t      len;
    enum o_end  end;
    unsigned    flags;
    const char *early; /* sent when the head of the request is there, before the rest: NULL none */
};

#define STAY(text)                                                                                 \
    {                                                                                              \
        (text), sizeof(text) - 1, O_STAY, 0, NULL                                                  \
    }
#define FIN(text)                                                                                  \
    {                                                                                              \
        (text), sizeof(text) - 1, O_FIN, 0, NULL                                                   \
    }
#define RST(text)                                                                                  \
    {                                                                                              \
        (text), sizeof(text) - 1, O_RST, 0, NULL                                                   \
    }
#define FLAGS(text, flag)                                                                          \
    {                                                                                              \
        (text), sizeof(text) - 1, O_STAY, (flag), NULL                                             \
    }

struct o_request {
    char    *head; /* with its empty line, ended by NUL */
    size_t   head_len;
    char    *body; /* without its framing; NULL until it is whole */
    size_t   body_len;
    bool     chunked, whole;
    unsigned conn; /* the number of its connection */
};

struct o_conn {
    int        fd; /* -1: closed by us */
    char      *in;
    size_t     in_len, in_cap, taken; /* bytes of requests that were answered */
    char      *out;
    size_t     out_len, out_at;
    uint64_t   sent, received;
    enum o_end end;
    bool       deaf, shut, ended; /* ended: the client has closed or reset it */
    bool       at_body; /* the head of the request has been recorded, its body is not whole */
};

struct world;

struct origin {
    struct world         *world;
    int                   listener;
    ac_addr               addr;
    char                  name[32]; /* 127.0.0.1:PORT */
    const struct o_reply *replies;
    size_t                reply_count;
    bool                  repeat;     /* the last reply answers all further requests too */
    bool                  greeted;    /* the first reply is sent at the accept, unasked */
    bool                  unanswered; /* a request came for which there is no reply */
    bool                  deaf;       /* nothing is accepted */
    size_t                cut;        /* bytes a step and connection; 0: all */
    struct o_conn       **conns;
    unsigned              conn_count, open_count;
    struct o_request     *requests;
    unsigned              request_count;
};

/* Sends more over a connection, unasked; then `end`. */
void o_push(struct origin *o, unsigned conn, const char *data, size_t len, enum o_end end);
/* The value of a field of a request, or NULL: borrowed until the next call. */
const char *o_field(const struct o_request *q, const char *name);

/* --- the world -------------------------------------------------------------------------------- */

struct world {
    ac_loop        *loop;
    ac_http_client *client;
    struct origin   a, b;
};

void w_open(struct world *w, ac_loop *loop, const ac_http_options *options);
void w_close(struct world *w);
/* As the harness's, with a loop that does not log what the client does. */
int o_setup(void **state);
#define O_TEST(f) cmocka_unit_test_setup_teardown(f, o_setup, h_teardown)

/* A step of the origins and a turn of the loop. */
void w_turn(struct world *w, struct h_bound *b, const char *file, int line);
/* Goes on until nothing happens any more at once. */
void w_settle(struct world *w);
/* A URL of an origin: borrowed until the fourth next call. */
const char *w_url(const struct origin *o, const char *path);

#define W_UNTIL(w, cond)                                                                           \
    do {                                                                                           \
        struct h_bound bound_ = h_bound(UINT32_MAX - 1);                                           \
        while (!(cond))                                                                            \
            w_turn((w), &bound_, __FILE__, __LINE__);                                              \
    } while (0)

#define SCRIPT(o, ...)                                                                             \
    do {                                                                                           \
        static const struct o_reply script_[] = {__VA_ARGS__};                                     \
        (o).replies                           = script_;                                           \
        (o).reply_count                       = sizeof script_ / sizeof script_[0];                \
    } while (0)

/* --- sinks ------------------------------------------------------------------------------------ */

struct sink {
    ac_consumer base;
    unsigned    headers, closes;
    size_t      feeds;
    int         status; /* as of http_header; -1: not called */
    int         header_err, err;
    char       *body;
    size_t      len, cap;
    bool        closing; /* ac_http_close() was called: neither header nor feed may come */
    bool        forget;  /* the body is counted, not kept */
    const char *want;    /* a field that is to be noted at the header */
    char        field[256];
    char        trailers[256]; /* "name=value;..." at the close */
    char        reason[128], version[16], method[16], url[256];
    void (*on_header)(struct sink *s);
    void (*on_feed)(struct sink *s);
    void (*on_close)(struct sink *s);
    ac_http_request *request; /* of the latest header */
    struct world    *world;
    struct sink     *other;
    int              rc;
    long             number;
    ac_http_times    times;  /* at the close */
    bool             issued; /* given to a request: it must be closed */
};

/* All sinks are released with the world, which checks that each was closed once. */
struct sink *s_new(struct world *w);
void         s_get(struct sink *s, const char *url);
int          s_send(struct sink *s, const ac_http_args *args, ac_http_request **request);
bool         s_is(const struct sink *s, int status, int err, const char *body);
const char  *s_errname(int err);

/* Releases all; false: one that was given to a request was not closed exactly once. */
bool s_release(void);

/* Text of the sizes that tests need: freed with the world. */
char *w_text(struct world *w, size_t len);

/* --- tables ----------------------------------------------------------------------------------- */

/*
 * A response on the wire and its outcome. Each is fetched whole, in pieces of 7 bytes and byte by
 * byte; then "/again" is fetched by the same client, which shows whether the connection was kept.
 */
struct wire {
    const char    *name, *method; /* NULL: GET */
    struct o_reply reply;
    int            status, err;   /* as of http_header and close */
    const char    *body;          /* as far as it was fed; NULL: not compared */
    bool           kept;          /* the connection serves the next request */
    const char    *field, *value; /* a field of the head, if field is not NULL */
};

/*
 * Runs a table in all ways of cutting it; fails the test for each case that fails, with its name.
 */
void w_wire(ac_loop *loop, const struct wire *table, size_t count, const ac_http_options *options);

#define W_WIRE(loop, table) w_wire((loop), (table), sizeof(table) / sizeof(table)[0], NULL)

/* --- no slot inside a call -------------------------------------------------------------------- */

#ifndef ORIGIN_BARE
#define ac_http_get(...)      h_int(((void)h_inside++, ac_http_get(__VA_ARGS__)))
#define ac_http_send(...)     h_int(((void)h_inside++, ac_http_send(__VA_ARGS__)))
#define ac_http_close(r)      ((void)h_inside++, ac_http_close(r), (void)h_inside--)
#define ac_http_fail(r, e)    ((void)h_inside++, ac_http_fail(r, e), (void)h_inside--)
#define ac_http_pause(r)      h_int(((void)h_inside++, ac_http_pause(r)))
#define ac_http_resume(r)     h_int(((void)h_inside++, ac_http_resume(r)))
#define ac_http_body_ready(r) h_int(((void)h_inside++, ac_http_body_ready(r)))
#endif

#endif
