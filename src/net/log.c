/* SPDX-License-Identifier: MIT */
/* The lines that channels log, in the form of the classic module. */
#include "channel.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Copies text so that nothing in it can command a terminal; always ends it. */
static void escape(char *out, size_t room, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    size_t            n     = 0;

    for (; *text != '\0' && n + 5 < room; text++) {
        unsigned char c = (unsigned char)*text;

        if (c >= ' ' && c < 0x7f) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    out[n] = '\0';
}

/* One line, one write: lines of several threads and processes do not mix. */
static void print(const char *type, const char *message)
{
    char    line[1024];
    int     n = snprintf(line, sizeof line, "%s: %s\n", type, message);
    ssize_t rc;

    if (n < 0)
        return;
    if ((size_t)n >= sizeof line) {
        n           = (int)sizeof line - 1;
        line[n - 1] = '\n';
    }
    do
        rc = write(STDERR_FILENO, line, (size_t)n);
    while (rc < 0 && errno == EINTR);
}

static void log_line(ac_dispatcher *d, const char *message)
{
    if (d->cls->log != NULL)
        d->cls->log(d, message);
    else
        print("log", message);
}

void ac__log_loop(ac_loop *loop, const char *message)
{
    (void)loop;
    print("log", message);
}

void ac__log_info(ac_dispatcher *d, const char *type, const char *format, ...)
{
    char    message[768];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (d->cls->log_info != NULL)
        d->cls->log_info(d, type, message);
    else
        print(type, message);
}

void ac__describe(const ac_dispatcher *d, char *buf, size_t len)
{
    char        name[128];
    const char *status = "";

    escape(name, sizeof name, d->cls->name != NULL ? d->cls->name : "dispatcher");
    if ((d->flags_ & AC__LISTENING) != 0)
        status = "listening";
    else if ((d->flags_ & AC__CONNECTED) != 0)
        status = "connected";
    (void)snprintf(buf, len, "<%s %s at %llx>", name, status,
                   (unsigned long long)(uintptr_t)(const void *)d);
}

/* Aside, since its buffers are cleared at each entry, and few loops are verbose. */
AC__ASIDE static void say(ac_dispatcher *d, bool adding)
{
    char what[192], line[256];

    ac__describe(d, what, sizeof what);
    if (adding)
        (void)snprintf(line, sizeof line, "adding channel %s", what);
    else
        (void)snprintf(line, sizeof line, "closing channel %d:%s", d->source_.fd, what);
    log_line(d, line);
}

void ac__log_adding(ac_dispatcher *d)
{
    if (d->loop->verbose)
        say(d, true);
}

void ac__log_closing(ac_dispatcher *d)
{
    if (d->loop->verbose)
        say(d, false);
}

void ac__log_error(ac_dispatcher *d)
{
    char           what[192], place[256] = "", line[16] = "";
    const ac__ext *x = d->ext_;

    ac__describe(d, what, sizeof what);
    if (x != NULL && x->place != NULL) {
        escape(place, sizeof place, x->place);
        if (x->line > 0)
            (void)snprintf(line, sizeof line, ":%d", x->line);
    }
    ac__log_info(d, "error", "uncaught error, closing channel %s (%s: %s%s%s%s%s)", what,
                 ac_errname(d->err_), ac_strerror(d->err_), place[0] != '\0' ? " [" : "", place,
                 line, place[0] != '\0' ? "]" : "");
}
