/* SPDX-License-Identifier: MIT */
/* The line on a terminal that tells how far it is. */
#include "get.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { INTERVAL_MS = 100 };

/* Messages come from everywhere, and there is one terminal. */
static bool line_is_shown;

void progress_clear(void)
{
    static const char clear[] = "\r\033[K";

    if (line_is_shown && write(STDERR_FILENO, clear, sizeof clear - 1) < 0)
        return;
    line_is_shown = false;
}

static void add_size(struct text *out, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t                   unit    = 0;

    while (bytes >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
        bytes /= 1024;
        unit++;
    }
    text_printf(out, unit > 0 && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static uint64_t bytes_of(const struct transfer *t)
{
    uint64_t bytes = t->delivered;

    if (t->request != NULL && ac_http_timings(t->request)->bytes > bytes)
        bytes = ac_http_timings(t->request)->bytes;
    return bytes;
}

static uint64_t measure(struct get *g)
{
    struct progress *p     = &g->progress;
    int64_t          now   = ac_loop_now(g->loop);
    uint64_t         bytes = g->bytes;
    double           seconds;

    for (const struct transfer *t = g->active; t != NULL; t = t->following)
        bytes += bytes_of(t);
    seconds = (double)(now - p->last) / (double)AC_SECOND;
    if (seconds > 0) {
        double fresh = bytes > p->last_bytes ? (double)(bytes - p->last_bytes) / seconds : 0;

        p->speed = p->last == p->began ? fresh : 0.9 * p->speed + 0.1 * fresh;
    }
    p->last       = now;
    p->last_bytes = bytes;
    return bytes;
}

static void add_one(struct text *out, const struct get *g, uint64_t bytes)
{
    const struct transfer *t     = g->active;
    int64_t                whole = -1;
    double                 left;

    if (t != NULL && t->resume.asked == false && t->request != NULL)
        whole = ac_http_timings(t->request)->length;
    if (t != NULL && t->result.resumed_from > 0)
        whole = t->resume.total;
    if (whole > 0 && (uint64_t)whole >= bytes) {
        text_puts(out, " of ");
        add_size(out, (double)whole);
        text_printf(out, ", %.0f %%", 100.0 * (double)bytes / (double)whole);
        left = g->progress.speed > 0 ? (double)((uint64_t)whole - bytes) / g->progress.speed : 0;
        if (left >= 1 && left < 360000)
            text_printf(out, ", %.0f s left", left);
    }
}

static void show(ac_timer *timer)
{
    struct get *g     = AC_CONTAINER(struct get, progress.timer, timer);
    struct text line  = {.data = NULL};
    uint64_t    bytes = measure(g);

    text_puts(&line, "\r");
    if (g->total > 1 || !source_ended(&g->source)) {
        text_printf(&line, "%zu done, %zu failed, %zu under way, ", g->done, g->failed,
                    g->in_flight);
        add_size(&line, (double)bytes);
    } else {
        add_size(&line, (double)bytes);
        add_one(&line, g, bytes);
    }
    text_puts(&line, ", ");
    add_size(&line, g->progress.speed);
    text_puts(&line, "/s\033[K");
    if (!line.failed && write(STDERR_FILENO, line.data, line.len) > 0)
        line_is_shown = true;
    text_free(&line);
    (void)ac_timer_again(timer);
}

void progress_start(struct get *g)
{
    struct progress *p = &g->progress;

    ac_timer_init(&p->timer, g->loop, show);
    p->began = p->last = ac_loop_now(g->loop);
    /* A body that goes to the terminal is not to be mixed with it. */
    p->on = isatty(STDERR_FILENO) && (!isatty(STDOUT_FILENO) || (!g->ordered && !g->o.json_stdout));
    if (p->on)
        (void)ac_timer_start(&p->timer, INTERVAL_MS * AC_MILLISECOND);
}

void progress_stop(struct get *g)
{
    ac_timer_stop(&g->progress.timer);
    progress_clear();
}
