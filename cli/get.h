/* SPDX-License-Identifier: MIT */
/*
 * `asyncore get`: what its files share. From top to bottom:
 *
 *   cmd_get.c        options and help
 *   get_run.c        the run: starts transfers, counts them, ends
 *   get_transfer.c   one URL: its attempts, and what becomes of a response
 *   get_again.c      whether and when it is tried again; resuming
 *   get_deliver.c    where a body goes; get_report.c, the texts instead of bodies
 *   get_order.c      bodies on standard output in the order of the URLs; get_spill.c
 *   get_file.c       files that look complete only when they are; get_name.c
 *   get_result.c     what came out, as kind, exit status and line; get_json.c
 *   get_source.c     URLs from arguments and files; get_body.c, bodies of requests
 *   get_sink.c       descriptors written without blocking
 *   get_text.c       texts, made safe; get_options.c, values of options; get_progress.c
 */
#ifndef AC_CLI_GET_H
#define AC_CLI_GET_H

#include "cli.h"

#include "markup.h"
#include <asyncore-http.h>

struct get;
struct transfer;

/* --- get_text.c --------------------------------------------------------------------------- */

/* A text that grows. One that memory ran out for is `failed`, and stays as it was. */
struct text {
    char  *data;
    size_t len, cap;
    bool   failed;
};

void text_free(struct text *t);
void text_add(struct text *t, const char *data, size_t len);
void text_puts(struct text *t, const char *string);
void text_printf(struct text *t, const char *format, ...) AC_PRINTF(2, 3);
/* Adds what a peer said: controls, bidirectional controls and what is no UTF-8 escaped. */
void text_shown(struct text *t, const char *data, size_t len);
/*
 * The length of the character at `p`, 1 where it is no UTF-8. `*plain`: it is, and no control, nor one of
 * those that change or hide the text around them.
 */
size_t text_character(const char *p, size_t left, bool *plain);
/* Adds a JSON string, or null for NULL. */
void text_json(struct text *t, const char *string);

/* What is left of a body's character at the end of a piece, on its way to a terminal. */
struct shown {
    char   part[4];
    size_t len;
    size_t looked; /* bytes that were searched for a NUL */
};

/* Adds a piece of a body: as text_shown(), but line feeds and tabs stay. -EILSEQ: it is binary. */
int text_body(struct text *t, struct shown *state, const char *data, size_t len);
/* Adds what is left at the end of a body. */
void text_body_end(struct text *t, struct shown *state);

/* A copy of a URL without its userinfo, whatever form it has; NULL: out of memory. */
char *url_without_user(const char *url);

/* --- get_options.c ------------------------------------------------------------------------ */

/* Where bodies go. */
enum body_to { BODY_STDOUT, BODY_NOWHERE, BODY_TARGET, BODY_FILE, BODY_DIRECTORY };
/* What standard output is for instead. */
enum text_to { TEXT_NONE, TEXT_REPORT, TEXT_LINKS };

struct resolve {
    char    *host;
    uint16_t port;
    char    *address;
};

struct get_options {
    enum body_to body;
    enum text_to text;
    const char  *output, *directory, *json, *input;
    bool         json_stdout;
    bool         parallel_asked, remote_name, header_name, force, keep_partial, fsync, raw_terminal;
    bool         head, fail, raw, discard, report, links;
    long         parallel, per_host, max_redirects, retries;
    int64_t      spacing; /* ns between two requests; 0: none */
    int64_t      timeout, retry_max_wait;
    ac_http_limits  limits;
    const char     *method, *data_file;
    struct text     data;
    bool            has_data;
    ac_http_field  *fields;
    size_t          field_count;
    bool            keep_empty, own_range;
    struct resolve *resolves;
    size_t          resolve_count;
};

void options_init(struct get_options *o);
void options_free(struct get_options *o);
/* Each takes the text of an option: 0, -EINVAL, or -ENOMEM. */
int option_rate(const char *text, int64_t *spacing);
int option_size(const char *text, int64_t *size);
int option_field(struct get_options *o, const char *text);
int option_method(struct get_options *o, const char *text);
int option_resolve(struct get_options *o, const char *text);
int option_data(struct get_options *o, const char *text);
int option_nameservers(const char *list);
/* The method of the first request. */
const char *options_method(const struct get_options *o);
/* Whether the user set a field of that name. */
bool options_have_field(const struct get_options *o, const char *name);
/*
 * The descriptor that a name stands for: "-" (which is `dash`), /dev/stdin, /dev/stdout,
 * /dev/stderr, /dev/fd/N; or -1.
 */
int descriptor_of(const char *name, int dash);

/* --- get_sink.c --------------------------------------------------------------------------- */

/* A descriptor that is written to without blocking. */
struct sink {
    ac_dispatcher base;
    int           err;                 /* it failed with that */
    void (*room)(struct sink *sink);   /* it takes more again, or has become empty */
    void (*failed)(struct sink *sink); /* `err` has been set; perhaps more than once */
};

/* `owner` is whose the descriptor is. 0 or -errno; on failure it is closed if it was taken. */
int  sink_open(struct sink *s, ac_loop *loop, int fd, ac_owner owner);
bool sink_is_open(const struct sink *s);
/* All of it is taken, or nothing. 0 or -errno: of this write or an earlier one. */
int  sink_write(struct sink *s, const void *data, size_t len);
bool sink_full(const struct sink *s);
bool sink_empty(const struct sink *s);
void sink_close(struct sink *s);

/* --- get_spill.c -------------------------------------------------------------------------- */

enum { SPILL_BLOCK = 64 * 1024 };

/* Blocks in a temporary file that has no name. Zeroed: none is open. */
struct spill {
    int       fd; /* + 1 */
    uint32_t *free;
    size_t    free_count, free_cap;
    uint32_t  blocks;
};

/* Takes a block: its number, or -errno. */
int64_t spill_take(struct spill *s);
void    spill_give(struct spill *s, uint32_t block);
int     spill_write(struct spill *s, uint32_t block, size_t at, const void *data, size_t len);
int     spill_read(struct spill *s, uint32_t block, size_t at, void *data, size_t len);
void    spill_close(struct spill *s);

/* --- get_order.c -------------------------------------------------------------------------- */

enum { KEPT_EACH = 64 * 1024, KEPT_ALL = 4 * 1024 * 1024 };

/* What waits for its turn on standard output: first in memory, then in blocks. */
struct kept {
    char     *data;
    size_t    len, cap, at; /* in memory; `at` is written */
    uint32_t *blocks;
    size_t    block_count, block_cap;
    uint64_t  spilled, spill_at;
};

struct order {
    struct transfer *first, *last; /* not printed yet, in the order of the URLs */
    size_t           count;
    size_t           memory; /* in all `kept` */
    struct spill     spill;
    char            *buffer;
    struct sink      out;
};

void order_add(struct get *g, struct transfer *t);
/* Output of a transfer: printed or kept. 0 or -errno. */
int order_feed(struct transfer *t, const void *data, size_t len);
/* Writes what can be written, and goes on to the next. */
void order_pump(struct get *g);
/* Forgets what is kept of it. */
void order_rewind(struct transfer *t);
/* Whether all that it gave is with the system. */
bool order_flushed(const struct transfer *t);
void order_drop(struct transfer *t);
void order_free(struct order *o);

/* --- get_name.c, get_file.c --------------------------------------------------------------- */

enum { NAME_MAX_BYTES = 200 };

/* The name for a body, as the URL, or the response's Content-Disposition (NULL: none), has it. */
void name_of_url(const char *url, char name[NAME_MAX_BYTES + 1]);
bool name_of_disposition(const char *value, char name[NAME_MAX_BYTES + 1]);

/* A file that gets its name when it is complete. */
struct file {
    int   fd; /* + 1; 0: none */
    char *directory, *name, *part;
    bool  numbered; /* a name that is taken is numbered */
};

/* Whether a target of the user's can be made: 0, or -EEXIST or its like; 1: it is not regular. */
int file_look(const char *path, bool force);
int file_begin(struct file *f, const char *directory, const char *name, bool numbered);
int file_write(struct file *f, const void *data, size_t len);
int file_rewind(struct file *f);
/* Gives it its name; `*path` is given then. */
int  file_commit(struct file *f, const struct get_options *o, char **path);
void file_abandon(struct file *f, bool keep);

/* --- get_result.c ------------------------------------------------------------------------- */

enum kind {
    KIND_NONE,
    KIND_OTHER,
    KIND_MEMORY,
    KIND_USAGE,
    KIND_URL,
    KIND_NAME,
    KIND_REFUSED,
    KIND_UNREACHABLE,
    KIND_TIMEOUT,
    KIND_PROTOCOL,
    KIND_TRUNCATED,
    KIND_TOO_LARGE,
    KIND_LOOP,
    KIND_REDIRECT,
    KIND_STATUS,
    KIND_OUTPUT,
    KIND_CANCELED
};

struct hop {
    int   code;
    char *url;
};

/* What came out of a transfer. Strings are its own. */
struct result {
    int           err;
    enum kind     kind;
    const char   *phase;   /* NULL: none */
    const char   *text;    /* instead of the error's; NULL */
    bool          gave_up; /* Retry-After is too far away */
    int           status;
    char         *final_url, *method, *http, *type, *encoding, *file;
    struct hop   *hops;
    size_t        hop_count;
    uint64_t      hop_head, hop_sent; /* of the hops */
    uint64_t      resumed_from;
    unsigned      attempts;
    ac_http_times times;
    int64_t       started, ended, queued; /* loop's time; -1 */
    int64_t       taken;                  /* when the last request ended, likewise */
};

enum { EXIT_URL = 2, EXIT_OUTPUT = 11 };

void result_free(struct result *r);
/* Forgets the attempt, but not what is told over all of them. */
void result_clear(struct result *r);
void result_hop(struct result *r, ac_http_request *request);
/* Takes from a request what can be asked of it; NULL: there is none. */
void result_take(struct result *r, const ac_http_request *request);
/* Sets error, kind and phase. `output`: it was the output that failed. */
void        result_set(struct result *r, int err, bool output);
const char *kind_name(enum kind kind);
int         kind_exit(enum kind kind);
/* "asyncore: get: URL: KIND: text (phase)", on standard error. */
void        result_tell(const struct result *r, const char *url);
const char *result_text(const struct result *r);
/* What is wrong with a URL. */
const char *url_fault(const char *url);
/* "asyncore: get: FORMAT" on standard error, escaped. */
void get_say(const char *format, ...) AC_PRINTF(1, 2);

/* --- get_json.c --------------------------------------------------------------------------- */

/* Adds the line of a transfer, its LF included. */
void json_line(struct text *out, const struct result *r, size_t index, const char *url);

/* --- get_source.c ------------------------------------------------------------------------- */

enum { LINE_LONGEST = 64 * 1024 };

struct source {
    ac_dispatcher base;
    char        **arguments; /* what is left of them */
    size_t        argument_count;
    bool          reading, ended;
    bool          too_long; /* the line that is being read is, and its rest is skipped */
    int           err;
    char         *data;
    size_t        at, len;
    void (*more)(struct source *s);
};

int source_open(struct source *s, ac_loop *loop, const char *input);
/* The next URL, given; NULL: none now. `*err`: it cannot be used: -AC_ETOOLARGE, -ENOMEM. */
char *source_next(struct source *s, int *err);
bool  source_ended(const struct source *s);
void  source_close(struct source *s);

/* --- get_body.c --------------------------------------------------------------------------- */

/* The body of all requests that comes from a file. */
struct upload {
    ac_dispatcher    base;
    int              fd; /* + 1; 0: none */
    bool             regular, ended;
    int64_t          size;
    char            *data; /* of a stream */
    size_t           len, held;
    int              err;
    struct transfer *waiting; /* whose request is to be told of more; NULL */
};

int  upload_open(struct upload *u, ac_loop *loop, const char *name);
void upload_close(struct upload *u);

/* One reader of it. */
struct upload_reader {
    struct upload   *upload;
    struct transfer *transfer;
    int64_t          at;
    char            *piece;
};

void upload_body(struct upload_reader *r, ac_http_body *body);

/* --- get_transfer.c ----------------------------------------------------------------------- */

/* What happens when the attempt has ended. */
enum next {
    NEXT_END,     /* it was the last one */
    NEXT_RETRY,   /* the status is one to try again after */
    NEXT_AFRESH,  /* what was resumed cannot be: from the beginning, at once */
    NEXT_REISSUE, /* it had not begun: once more, when its origin may be asked again */
    NEXT_GIVE_UP, /* Retry-After is too far away */
    NEXT_CUT      /* what was resumed cannot be, and what was given away cannot be taken back */
};

/* Where a body that is cut can be gone on with. */
struct resume {
    char   *validator;
    bool    is_etag;
    int64_t total; /* -1: not known */
    bool    usable, asked;
};

struct transfer {
    ac_consumer          base;
    struct get          *get;
    size_t               index;
    char                *url;      /* as given */
    ac_consumer         *redirect; /* while an attempt runs */
    ac_http_request     *request;  /* whose head was told */
    ac_timer             wait, deadline;
    int64_t              issued, queued; /* this attempt; queued before, in all */
    unsigned             tries;
    enum next            next;
    int64_t              retry_after; /* ns, -1 */
    bool                 waiting, muted, timed_out, printed, paused;
    bool                 ended;    /* nothing more is fed */
    bool                 finished; /* its result is told */
    int                  out_err;
    uint64_t             muted_bytes, delivered;
    struct resume        resume;
    struct result        result;
    struct kept          kept;
    struct file          file;
    struct shown         shown;
    ac_link_consumer    *links;
    struct upload_reader reader;
    struct transfer     *prev, *following;             /* in flight */
    struct transfer     *order_prev, *order_following; /* not printed */
};

/* Makes one of a URL (taken), and begins it. NULL: out of memory. `err`: it cannot be used. */
struct transfer *transfer_new(struct get *g, char *url, size_t index);
void             transfer_begin(struct transfer *t, int err);
/* The request under way; NULL. */
ac_http_request *transfer_request(const struct transfer *t);
/* Ends the attempt with an error of the output's. */
void transfer_fail_output(struct transfer *t, int err);
void transfer_cancel(struct transfer *t);
/* It had not begun yet, and its origin is not to be asked now. */
void transfer_hold(struct transfer *t);
/* What was written late has arrived, or failed. */
void transfer_flushed(struct transfer *t, int err, bool output);
void transfer_free(struct transfer *t);

/* --- get_again.c -------------------------------------------------------------------------- */

/* Decides by the head: sets `next`, and `muted` if its body is not the one that was asked for. */
void again_by_status(struct transfer *t, ac_http_request *r);
/* Whether an attempt that failed is tried again; prepares the output for it. */
bool    again_by_error(struct transfer *t, int err);
int64_t again_wait(struct transfer *t);
/* Whether `len` more bytes are still a part of the body: -AC_EPROTO where a rest is longer than it said. */
int resume_fits(const struct transfer *t, size_t len);
/* What an attempt ended with that was complete by itself: the rest may be shorter than it said. */
int resume_ended(const struct transfer *t);
/* Remembers how the body that begins can be gone on with. */
void resume_note(struct transfer *t, ac_http_request *r);
/* Adds the fields that ask for the rest. Returns how many. */
size_t resume_fields(const struct transfer *t, ac_http_field out[3], char range[32]);
void   resume_free(struct resume *r);
bool   output_rewind(struct transfer *t);

/* Origins that asked to be left alone for a while. */
struct held {
    struct held *next;
    int64_t      until;
    ac_url       origin;
};

void    holds_add(struct get *g, const char *url, int64_t until);
int64_t holds_until(struct get *g, const char *url); /* 0: none */
void    holds_free(struct get *g);
bool    holds_same(const struct held *h, const char *url);

/* --- get_deliver.c, get_report.c ------------------------------------------------------------ */

int deliver_begin(struct transfer *t, ac_http_request *r);
int deliver(struct transfer *t, const void *data, size_t len);
/* The body has ended: 0 or -errno. */
int  deliver_end(struct transfer *t, int err);
bool deliver_needs_bytes(const struct get *g);

void report_head(struct transfer *t, const ac_http_request *r);
void report_hop(struct transfer *t, const char *to);
void report_end(struct transfer *t, int err);
void report_forget(struct transfer *t);
int  links_begin(struct transfer *t, ac_http_request *r);
void links_end(struct transfer *t, int err);

/* --- get_progress.c ----------------------------------------------------------------------- */

struct progress {
    ac_timer timer;
    bool     on, shown;
    int64_t  began, last;
    uint64_t last_bytes;
    double   speed;
};

void progress_start(struct get *g);
void progress_clear(void);
void progress_stop(struct get *g);

/* --- get_run.c ---------------------------------------------------------------------------- */

struct get {
    struct cli        *cli;
    struct get_options o;
    ac_loop           *loop;
    ac_http_client    *client;
    struct source      source;
    struct order       order;
    struct sink        target, json;
    struct upload      upload;
    struct progress    progress;
    struct held       *holds;
    struct transfer   *active;
    size_t             in_flight, total, done, failed;
    uint64_t           bytes; /* of bodies that have ended */
    enum kind          kind;  /* of the last failure */
    int                out_err;
    int                target_err; /* the file that was asked for cannot be */
    int64_t            give_up_at; /* after a signal */
    int                canceled;   /* by that signal */
    bool               ordered, terminal, filling, again;
    ac_signal          interrupt, terminate;
    struct transfer   *flushing; /* complete, but for its output */
};

/* Runs all of it. Returns the exit status. */
int run_get(struct cli *cli, struct get_options *o, char **urls, size_t count);
/* Starts what may be started. */
void run_fill(struct get *g);
/* A transfer has ended, with its result set. */
void run_ended(struct transfer *t);
/* Whether the output of a transfer that has ended is with the system, if it is its turn. */
bool run_is_flushed(const struct transfer *t);

#endif
