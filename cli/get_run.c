/* SPDX-License-Identifier: MIT */
/* The run: sets up what transfers share, starts them as there is room, and counts how they end. */
#include "get.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

/* Descriptors that are not for transfers: standard streams, the loop's, name servers, files. */
enum { RESERVED = 32, IDLE_MOST = 256 };

enum { HEAP_KEPT = 1024 * 1024 };

/* How long a reader has, after a signal, for the lines about what was under way. */
#define LAST_WORDS (2 * AC_SECOND)

/* --- starting ----------------------------------------------------------------------------- */

static bool has_room(struct get *g)
{
    const size_t most = (size_t)g->o.parallel;

    return g->canceled == 0 && g->out_err == 0 && g->in_flight < most
           && (!g->ordered || g->order.count < 4 * most) && !sink_full(&g->json);
}

static void start(struct get *g, char *url, int err)
{
    struct transfer *t = transfer_new(g, url, g->total);

    g->total++;
    if (t == NULL) {
        get_say("memory: %s", ac_strerror(ENOMEM));
        g->kind = KIND_MEMORY;
        g->failed++;
        return;
    }
    t->out_err   = g->target_err;
    t->following = g->active;
    if (g->active != NULL)
        g->active->prev = t;
    g->active = t;
    g->in_flight++;
    if (g->ordered)
        order_add(g, t);
    transfer_begin(t, err);
}

void run_fill(struct get *g)
{
    if (g->filling) {
        g->again = true;
        return;
    }
    g->filling = true;
    do {
        g->again = false;
        while (has_room(g) && !source_ended(&g->source)) {
            int   err;
            char *url = source_next(&g->source, &err);

            if (url != NULL)
                start(g, url, err);
            else if (err == 0)
                break;
            else if (err == -ENOMEM)
                source_close(&g->source);
        }
    } while (g->again);
    g->filling = false;
}

static void more_urls(struct source *s)
{
    run_fill(AC_CONTAINER(struct get, source, s));
}

/* --- ending ------------------------------------------------------------------------------- */

static void json_failed(struct sink *s);

static void tell_json(struct get *g, const struct transfer *t, const char *url)
{
    struct text line = {.data = NULL};

    json_line(&line, &t->result, t->index, url);
    if (!line.failed)
        (void)sink_write(&g->json, line.data, line.len); /* its failure is asked for later */
    text_free(&line);
}

static void tell_result(struct get *g, struct transfer *t)
{
    char *url = url_without_user(t->url);

    if (url == NULL)
        return;
    if (t->result.kind != KIND_NONE && g->canceled == 0)
        result_tell(&t->result, url);
    if (g->json.base.loop != NULL)
        tell_json(g, t, url);
    free(url);
}

void run_ended(struct transfer *t)
{
    struct get *g = t->get;

    tell_result(g, t);
    if (t->result.kind == KIND_NONE) {
        g->done++;
    } else {
        g->failed++;
        g->kind = t->result.kind;
    }
    g->bytes += t->delivered > t->result.times.bytes ? t->delivered : t->result.times.bytes;
    g->in_flight--;
    if (t->prev != NULL)
        t->prev->following = t->following;
    else
        g->active = t->following;
    if (t->following != NULL)
        t->following->prev = t->prev;
    t->finished = true;
    if (g->ordered)
        order_pump(g);
    else
        transfer_free(t);
    if (g->json.err < 0)
        json_failed(&g->json);
    run_fill(g);
}

/* --- outputs ------------------------------------------------------------------------------ */

bool run_is_flushed(const struct transfer *t)
{
    const struct get *g = t->get;

    if (g->out_err != 0)
        return true;
    return (!g->ordered || order_flushed(t)) && sink_empty(&g->target);
}

static void settle(struct get *g)
{
    if (g->flushing != NULL && run_is_flushed(g->flushing))
        transfer_flushed(g->flushing, 0, false);
}

static void out_room(struct sink *s)
{
    struct get *g = AC_CONTAINER(struct get, order.out, s);

    order_pump(g);
    settle(g);
    run_fill(g);
}

static void target_room(struct sink *s)
{
    struct get *g = AC_CONTAINER(struct get, target, s);

    if (g->active != NULL && g->active->paused && !sink_full(s)) {
        g->active->paused = false;
        (void)ac_http_resume(transfer_request(g->active));
    }
    settle(g);
}

static void json_room(struct sink *s)
{
    run_fill(AC_CONTAINER(struct get, json, s));
}

/* An output that all need has failed: so do they. */
static void output_failed(struct get *g, int err, const char *name)
{
    struct transfer *next;

    if (g->out_err != 0)
        return;
    g->out_err = err;
    if (g->active == NULL && g->canceled == 0)
        get_say("%s: output: %s (output)", name, ac_strerror(err));
    if (g->flushing != NULL)
        transfer_flushed(g->flushing, err, true);
    for (struct transfer *t = g->active; t != NULL; t = next) {
        next = t->following;
        if (!t->finished)
            transfer_fail_output(t, err);
    }
}

static void out_failed(struct sink *s)
{
    output_failed(AC_CONTAINER(struct get, order.out, s), s->err, "standard output");
}

static void target_failed(struct sink *s)
{
    struct get *g = AC_CONTAINER(struct get, target, s);

    output_failed(g, s->err, g->o.output);
}

static void json_failed(struct sink *s)
{
    struct get *g = AC_CONTAINER(struct get, json, s);

    output_failed(g, s->err, g->o.json);
}

/* --- signals ------------------------------------------------------------------------------ */

static void die(int signo)
{
    _exit(128 + signo);
}

static void cancel(struct get *g, int signo)
{
    struct sigaction action = {.sa_handler = die};
    struct transfer *next;

    ac_signal_stop(&g->interrupt);
    ac_signal_stop(&g->terminate);
    (void)sigaction(SIGINT, &action, NULL); /* a second one ends it at once */
    (void)sigaction(SIGTERM, &action, NULL);
    g->canceled   = signo;
    g->give_up_at = ac_loop_now(g->loop) + LAST_WORDS;
    get_say("canceled by %s", signo == SIGINT ? "SIGINT" : "SIGTERM");
    source_close(&g->source);
    for (struct transfer *t = g->active; t != NULL; t = next) {
        next = t->following;
        transfer_cancel(t);
    }
}

static void interrupted(ac_signal *s)
{
    cancel(AC_CONTAINER(struct get, interrupt, s), SIGINT);
}

static void terminated(ac_signal *s)
{
    cancel(AC_CONTAINER(struct get, terminate, s), SIGTERM);
}

/* --- setting up --------------------------------------------------------------------------- */

static int open_json(struct get *g)
{
    const char *name = g->o.json;
    int         fd   = descriptor_of(name, 1);

    g->json.room   = json_room;
    g->json.failed = json_failed;
    if (fd >= 0)
        return sink_open(&g->json, g->loop, fd, AC_BORROW);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
    return fd < 0 ? -errno : sink_open(&g->json, g->loop, fd, AC_TAKE);
}

/* A target that is no regular file is written as it is; one that must not be made is told as the
 * failure of its transfer. */
static int open_target(struct get *g)
{
    int fd = descriptor_of(g->o.output, 1);
    int rc;

    g->target.room   = target_room;
    g->target.failed = target_failed;
    if (fd >= 0) {
        g->o.body = BODY_TARGET;
        return sink_open(&g->target, g->loop, fd, AC_BORROW);
    }
    rc = file_look(g->o.output, g->o.force);
    if (rc <= 0)
        return rc;
    g->o.body = BODY_TARGET;
    fd        = open(g->o.output, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? -errno : sink_open(&g->target, g->loop, fd, AC_TAKE);
}

static int open_outputs(struct get *g)
{
    int rc = 0;

    g->ordered          = g->o.body == BODY_STDOUT || g->o.text != TEXT_NONE;
    g->terminal         = g->o.body == BODY_STDOUT && !g->o.raw_terminal && isatty(STDOUT_FILENO);
    g->order.out.room   = out_room;
    g->order.out.failed = out_failed;
    if (g->o.json != NULL)
        rc = open_json(g);
    if (rc < 0) {
        get_say("%s: output: %s (output)", g->o.json, ac_strerror(rc));
        return EXIT_OUTPUT;
    }
    if (g->ordered)
        g->target_err = sink_open(&g->order.out, g->loop, STDOUT_FILENO, AC_BORROW);
    if (g->target_err == 0 && g->o.body == BODY_FILE)
        g->target_err = open_target(g);
    return 0;
}

static void bound_parallel(struct get *g, bool asked)
{
    size_t limit = cli_raise_limit();
    size_t each  = g->o.body == BODY_FILE || g->o.body == BODY_DIRECTORY ? 2 : 1;

    if (strcmp(ac_loop_backend(g->loop), "select") == 0 && limit > FD_SETSIZE)
        limit = FD_SETSIZE;
    limit = limit > RESERVED + RESERVED ? limit - RESERVED : RESERVED;
    if ((size_t)g->o.parallel <= limit / each)
        return;
    g->o.parallel = (long)(limit / each);
    if (asked)
        get_say("-P: there are descriptors for %ld transfers at once", g->o.parallel);
}

static int make_client(struct get *g)
{
    const struct get_options *o       = &g->o;
    ac_http_options           options = {.size            = sizeof options,
                                         .max_connections = (unsigned)o->parallel,
                                         .per_host        = (unsigned)o->per_host,
                                         .max_idle =
                                   o->parallel > IDLE_MOST ? (unsigned)o->parallel : IDLE_MOST,
                                         .idle_per_host = (unsigned)o->per_host,
                                         .spacing       = o->spacing,
                                         .raw           = o->raw,
                                         .limits        = o->limits};
    int                       rc;

    g->client = ac_http_client_new(g->loop, &options);
    if (g->client == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < o->resolve_count; i++) {
        const struct resolve *r = &o->resolves[i];

        rc = ac_http_client_resolve(g->client, r->host, r->port, r->address);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int watch_signals(struct get *g)
{
    int rc;

    ac_signal_init(&g->interrupt, g->loop, interrupted);
    ac_signal_init(&g->terminate, g->loop, terminated);
    rc = ac_signal_start(&g->interrupt, SIGINT);
    return rc == 0 ? ac_signal_start(&g->terminate, SIGTERM) : rc;
}

/* 0, or the exit status; what is wrong was said. */
static int open_inputs(struct get *g, bool several)
{
    char text[CLI_TEXT];
    int  rc;

    g->source.more = more_urls;
    if (g->o.input != NULL && (rc = source_open(&g->source, g->loop, g->o.input)) < 0) {
        get_say("%s: %s", g->o.input, ac_strerror(rc));
        return CLI_FAILED;
    }
    if (g->o.data_file == NULL)
        return 0;
    rc = upload_open(&g->upload, g->loop, g->o.data_file);
    if (rc < 0) {
        get_say("%s: %s", g->o.data_file, ac_strerror(rc));
        return CLI_FAILED;
    }
    if (several && !g->upload.regular)
        return cli_usage(g->cli, "'%s' is no regular file, and can be sent once only",
                         cli_quote(g->o.data_file, text));
    return 0;
}

static int set_up(struct get *g, bool several)
{
    struct timespec now;
    int             rc = open_inputs(g, several);

    if (rc == 0)
        rc = open_outputs(g);
    if (rc != 0)
        return rc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    srand48(now.tv_nsec ^ now.tv_sec ^ getpid());
    rc = make_client(g);
    if (rc == 0)
        rc = watch_signals(g);
    if (rc < 0)
        get_say("%s", ac_strerror(rc));
    return rc < 0 ? CLI_FAILED : 0;
}

/* --- the run ------------------------------------------------------------------------------ */

static bool is_over(const struct get *g)
{
    if (g->in_flight > 0 || !sink_empty(&g->json))
        return false;
    if (g->canceled != 0 || g->out_err != 0)
        return true;
    return source_ended(&g->source) && g->order.first == NULL && sink_empty(&g->order.out);
}

/* How long a turn may wait: what is told at the end has its time, but no more. */
static int64_t turn_timeout(const struct get *g)
{
    if (g->canceled == 0)
        return AC_FOREVER;
    return g->give_up_at - ac_loop_now(g->loop);
}

static int run_turns(struct get *g)
{
    int64_t timeout;
    int     rc = 0;

    while (rc >= 0 && !is_over(g)) {
        timeout = turn_timeout(g);
        if (timeout <= 0)
            break; /* nobody reads the last lines */
        rc = ac_loop_turn(g->loop, timeout);
    }
    return rc;
}

static int exit_status(const struct get *g, int rc)
{
    if (g->canceled != 0)
        return 128 + g->canceled;
    if (rc < 0) {
        get_say("%s", ac_strerror(rc));
        return CLI_FAILED;
    }
    if (g->source.err < 0) {
        get_say("%s: %s", g->o.input, ac_strerror(g->source.err));
        return CLI_FAILED;
    }
    if (g->failed > 0)
        return g->total == 1 ? kind_exit(g->kind) : CLI_FAILED;
    if (g->out_err != 0)
        return g->total == 1 ? EXIT_OUTPUT : CLI_FAILED;
    return CLI_OK;
}

static void tear_down(struct get *g)
{
    struct transfer *t;

    g->canceled = g->canceled != 0 ? g->canceled : -1; /* nothing is told from here on */
    source_close(&g->source);
    (void)ac_http_client_free(g->client);
    while ((t = g->order.first) != NULL) {
        order_drop(t);
        transfer_free(t);
    }
    order_free(&g->order);
    holds_free(g);
    upload_close(&g->upload);
    ac_signal_stop(&g->interrupt);
    ac_signal_stop(&g->terminate);
    ac_loop_free(g->loop);
    free(g->upload.data);
    free(g->source.data);
}

/*
 * What waits for a reader is some 200 KiB, allocated and freed again for each piece. The standard is to
 * give the end of the heap back beyond 128 KiB each time, and to have it cleared again by the next.
 */
static void keep_heap(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_KEPT);
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
}

int run_get(struct cli *cli, struct get_options *o, char **urls, size_t count)
{
    struct get g  = {.cli = cli, .o = *o};
    int        rc = 0, status;

    keep_heap();
    g.loop = cli_loop(cli, cli->verbose ? AC_ON : AC_UNSET, &status);
    if (g.loop == NULL)
        return status;
    g.source.arguments      = urls;
    g.source.argument_count = count;
    bound_parallel(&g, o->parallel_asked);
    status = set_up(&g, count > 1 || o->input != NULL);
    if (status == 0) {
        progress_start(&g);
        run_fill(&g);
        rc = run_turns(&g);
        progress_stop(&g);
        status = exit_status(&g, rc);
    }
    tear_down(&g);
    return status;
}
