/* SPDX-License-Identifier: MIT */
/* What came out of a transfer: collected, named, told. */
#include "get.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- kinds -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int         status;
} kinds[] = {
    [KIND_NONE]        = {"", 0},
    [KIND_OTHER]       = {"other", 1},
    [KIND_MEMORY]      = {"memory", 1},
    [KIND_USAGE]       = {"usage", CLI_USAGE},
    [KIND_URL]         = {"url", EXIT_URL},
    [KIND_NAME]        = {"name", 3},
    [KIND_REFUSED]     = {"refused", 4},
    [KIND_UNREACHABLE] = {"unreachable", 4},
    [KIND_TIMEOUT]     = {"timeout", 5},
    [KIND_PROTOCOL]    = {"protocol", 6},
    [KIND_TRUNCATED]   = {"truncated", 7},
    [KIND_TOO_LARGE]   = {"too_large", 8},
    [KIND_LOOP]        = {"redirect_loop", 9},
    [KIND_REDIRECT]    = {"redirect", 9},
    [KIND_STATUS]      = {"status", 10},
    [KIND_OUTPUT]      = {"output", EXIT_OUTPUT},
    [KIND_CANCELED]    = {"canceled", 130},
};

const char *kind_name(enum kind kind)
{
    return kinds[kind].name;
}

int kind_exit(enum kind kind)
{
    return kinds[kind].status;
}

static bool was_connecting(ac_http_phase_t phase)
{
    return phase == AC_HTTP_QUEUED || phase == AC_HTTP_NAME || phase == AC_HTTP_CONNECT;
}

static enum kind kind_of_errno(int err, ac_http_phase_t phase)
{
    switch (err) {
    case ENOMEM:
        return KIND_MEMORY;
    case ETIMEDOUT:
        return KIND_TIMEOUT;
    case ECONNREFUSED:
        return KIND_REFUSED;
    case EMFILE:
    case ENFILE:
        return KIND_OTHER;
    case EINVAL: /* no port to connect to */
        return phase == AC_HTTP_CONNECT ? KIND_UNREACHABLE : KIND_OTHER;
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
        return was_connecting(phase) ? KIND_UNREACHABLE : KIND_TRUNCATED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return was_connecting(phase) ? KIND_UNREACHABLE : KIND_TRUNCATED;
    default:
        return was_connecting(phase) ? KIND_UNREACHABLE : KIND_OTHER;
    }
}

static enum kind kind_of(int err, ac_http_phase_t phase)
{
    switch (-err) {
    case 0:
        return KIND_NONE;
    case AC_EURL:
        return KIND_URL;
    case AC_ENAME:
    case AC_ENOTFOUND:
    case AC_EDNS:
        return KIND_NAME;
    case AC_EPROTO:
    case AC_ECODING:
        return KIND_PROTOCOL;
    case AC_EEOF:
    case AC_ETRUNCATED:
        return KIND_TRUNCATED;
    case AC_ETOOLARGE:
    case AC_ELIMIT:
        return phase == AC_HTTP_NAME ? KIND_NAME : KIND_TOO_LARGE;
    case AC_EREDIRLOOP:
        return KIND_LOOP;
    case AC_EREDIRECT:
        return KIND_REDIRECT;
    case AC_ESTATUS:
        return KIND_STATUS;
    case AC_ECANCELED:
        return KIND_CANCELED;
    default:
        return kind_of_errno(-err, phase);
    }
}

static const char *phase_name(ac_http_phase_t phase)
{
    static const char *const names[] = {[AC_HTTP_NAME]    = "name",
                                        [AC_HTTP_CONNECT] = "connect",
                                        [AC_HTTP_SEND]    = "send",
                                        [AC_HTTP_HEAD]    = "head",
                                        [AC_HTTP_BODY]    = "body"};

    return (size_t)phase < sizeof names / sizeof names[0] ? names[phase] : NULL;
}

/* --- collecting --------------------------------------------------------------------------- */

static void clear_strings(struct result *r)
{
    free(r->final_url);
    free(r->method);
    free(r->http);
    free(r->type);
    free(r->encoding);
    r->final_url = r->method = r->http = r->type = r->encoding = NULL;
}

void result_clear(struct result *r)
{
    clear_strings(r);
    for (size_t i = 0; i < r->hop_count; i++)
        free(r->hops[i].url);
    r->hop_count = 0;
    r->hop_head = r->hop_sent = 0;
    r->err                    = 0;
    r->kind                   = KIND_NONE;
    r->phase                  = NULL;
    r->text                   = NULL;
    r->status                 = 0;
    r->times                  = *ac_http_timings(NULL);
}

void result_free(struct result *r)
{
    result_clear(r);
    free(r->hops);
    free(r->file);
}

void result_hop(struct result *r, ac_http_request *request)
{
    const ac_http_times *times = ac_http_timings(request);
    struct hop          *hops  = realloc(r->hops, (r->hop_count + 1) * sizeof *hops);

    r->hop_head += times->header_bytes;
    r->hop_sent += times->sent_bytes;
    if (hops == NULL)
        return; /* one less is told */
    r->hops                 = hops;
    hops[r->hop_count].code = ac_http_status(request);
    hops[r->hop_count].url  = strdup(ac_http_url(request));
    if (hops[r->hop_count].url != NULL)
        r->hop_count++;
}

static char *copy(const char *text)
{
    return text != NULL && text[0] != '\0' ? strdup(text) : NULL;
}

void result_take(struct result *r, const ac_http_request *request)
{
    const char *version = request != NULL ? ac_http_version(request) : "";

    clear_strings(r);
    r->phase = NULL;
    if (request == NULL)
        return;
    r->status    = ac_http_status(request);
    r->times     = *ac_http_timings(request);
    r->final_url = copy(ac_http_url(request));
    r->method    = copy(ac_http_method(request));
    r->http      = strncmp(version, "HTTP/", 5) == 0 ? copy(version + 5) : NULL;
    r->type      = copy(ac_http_field_get(request, "Content-Type"));
    r->encoding  = copy(ac_http_field_get(request, "Content-Encoding"));
    r->phase     = phase_name(ac_http_phase(request));
}

void result_set(struct result *r, int err, bool output)
{
    ac_http_phase_t phase = AC_HTTP_QUEUED;

    for (int i = AC_HTTP_NAME; i <= AC_HTTP_BODY; i++)
        if (r->phase != NULL && r->phase == phase_name((ac_http_phase_t)i))
            phase = (ac_http_phase_t)i;
    r->err = err;
    if (err == 0) {
        r->kind  = KIND_NONE;
        r->phase = NULL;
    } else if (output) {
        r->kind  = KIND_OUTPUT;
        r->phase = "output";
    } else {
        r->kind = kind_of(err, phase);
        if (r->kind == KIND_TIMEOUT && r->text == NULL)
            r->text = "timed out";
        if (r->kind == KIND_NAME)
            r->phase = "name";
        if ((r->kind == KIND_REFUSED || r->kind == KIND_UNREACHABLE) && r->phase == NULL)
            r->phase = "connect";
        if (r->kind == KIND_STATUS || r->kind == KIND_LOOP || r->kind == KIND_REDIRECT)
            r->phase = "head";
    }
}

/* --- telling ------------------------------------------------------------------------------ */

const char *url_fault(const char *url)
{
    ac_url parsed;
    bool   secure;

    if (ac_url_parse(&parsed, url, strlen(url), NULL) == 0) {
        secure = parsed.secure;
        ac_url_free(&parsed);
        return secure ? "https is not supported by this version" : NULL;
    }
    if (strstr(url, "://") == NULL)
        return "no absolute URL; it begins with http://";
    return "no URL of http";
}

static void tell(struct text *line)
{
    progress_clear();
    if (!line->failed && write(STDERR_FILENO, line->data, line->len) < 0)
        line->failed = true; /* there is nowhere left to say it; the exit status tells */
    text_free(line);
}

const char *result_text(const struct result *r)
{
    static char buf[CLI_TEXT];

    if (r->text != NULL)
        return r->text;
    if (r->kind != KIND_STATUS)
        return cli_reason(r->err, buf);
    (void)snprintf(buf, sizeof buf, "HTTP status %d%s", r->status,
                   r->gave_up ? ", to be tried again later than --retry-max-wait" : "");
    return buf;
}

void result_tell(const struct result *r, const char *url)
{
    struct text line = {.data = NULL};

    text_puts(&line, "asyncore: get: ");
    text_shown(&line, url, strlen(url));
    text_printf(&line, ": %s: %s", kind_name(r->kind), result_text(r));
    if (r->phase != NULL)
        text_printf(&line, " (%s)", r->phase);
    text_puts(&line, "\n");
    tell(&line);
}

void get_say(const char *format, ...)
{
    struct text line = {.data = NULL};
    char        buf[2 * CLI_TEXT];
    va_list     args;

    va_start(args, format);
    (void)vsnprintf(buf, sizeof buf, format, args);
    va_end(args);
    text_puts(&line, "asyncore: get: ");
    text_shown(&line, buf, strlen(buf));
    text_puts(&line, "\n");
    tell(&line);
}
