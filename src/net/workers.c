/* SPDX-License-Identifier: MIT */
/*
 * One loop per thread. Each worker makes, runs, drains and frees its loop in its own thread; what
 * they share is a table of the loops that may be stopped, under a lock. A loop is in that table
 * from before its start until just before it is freed, so that nobody stops one that is gone.
 */
#include "asyncore/workers.h"

#include "channel.h"

#include "../base/alloc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

enum {
    MOST   = 1024,
    DRAINS = 1024, /* turns in which waiting connections are taken, 64 of each listener in each */
    LAST   = 100   /* turns after that, for what has become ready */
};

typedef struct worker {
    struct group *group;
    ac_loop      *loop;
    unsigned      index;
    pthread_t     thread;
} worker;

typedef struct group {
    int (*start)(ac_loop *loop, unsigned index, void *arg);
    void           *arg;
    unsigned        n;
    pthread_mutex_t lock; /* of what follows, and of the `loop` of each worker */
    pthread_cond_t  changed;
    unsigned        started; /* workers whose start has returned */
    bool            stopping;
    int             result; /* the first error, else 1 when one was stopped */
    worker          workers[];
} group;

/* --- stopping ------------------------------------------------------------------------------- */

/* Stops all workers, now and those to come. Called with the lock held. */
static void stop_all(group *g)
{
    g->stopping = true;
    for (unsigned i = 0; i < g->n; i++) {
        if (g->workers[i].loop != NULL)
            ac_stop(g->workers[i].loop);
    }
}

/* Notes how a start or a run ended; anything but 0 is the end of all. */
static void note(group *g, int rc)
{
    if (rc == 0)
        return;
    pthread_mutex_lock(&g->lock);
    if (g->result == 0 || (rc < 0 && g->result > 0))
        g->result = rc;
    if (!g->stopping)
        stop_all(g);
    pthread_mutex_unlock(&g->lock);
}

/* --- the end of a loop ---------------------------------------------------------------------- */

static ac_dispatcher *listener_after(ac_loop *loop, const ac__link *after)
{
    for (ac__link *n = after->next; n != &loop->all; n = n->next) {
        ac__source *s = AC__OF(ac__source, all, n);

        if (s->ops->end == ac__channel_end && (ac__channel(s)->flags_ & AC__LISTENING) != 0)
            return ac__channel(s);
    }
    return NULL;
}

/* Whether a connection waits at a listener that would take it. */
static bool connection_waits(ac_loop *loop)
{
    const uint32_t blocked = AC__PAUSED | AC__STALLED | AC__NO_READ | AC__ACCEPT_HELD;
    ac_dispatcher *d       = listener_after(loop, &loop->all);

    for (; d != NULL; d = listener_after(loop, &d->source_.all)) {
        struct pollfd p = {.fd = d->source_.fd, .events = POLLIN};

        if ((d->flags_ & blocked) == 0 && poll(&p, 1, 0) > 0)
            return true;
    }
    return false;
}

/*
 * The kernel has dealt connections to this worker's listeners, and to close those would reset them.
 * So they are taken first. New ones may come as fast: hence the bound.
 */
static void drain(ac_loop *loop)
{
    ac_dispatcher *d;
    int            rc = 0;

    for (int i = 0; i < DRAINS && rc >= 0 && connection_waits(loop); i++)
        rc = ac_loop_turn(loop, 0);
    while ((d = listener_after(loop, &loop->all)) != NULL)
        ac_close(d);
    for (int i = 0; i < LAST && rc >= 0; i++) {
        rc = ac_loop_turn(loop, 0);
        if (rc == 0)
            break;
    }
}

/* --- a worker ------------------------------------------------------------------------------- */

/* Sets a worker up. */
static int begin(worker *w)
{
    group   *g    = w->group;
    ac_loop *loop = ac_loop_new();
    int      rc;

    if (loop == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&g->lock);
    w->loop = loop;
    pthread_mutex_unlock(&g->lock);
    rc = g->start(loop, w->index, g->arg);
    return rc < 0 ? rc : 0;
}

static void finish(worker *w)
{
    group   *g    = w->group;
    ac_loop *loop = w->loop;

    pthread_mutex_lock(&g->lock);
    w->loop = NULL;
    pthread_mutex_unlock(&g->lock);
    (void)ac_loop_free(loop);
}

/* Runs a worker that was set up, until its end. */
static void run(worker *w)
{
    int rc = ac_run(w->loop);

    note(w->group, rc);
    if (rc > 0)
        drain(w->loop);
    finish(w);
}

static void *thread_main(void *arg)
{
    worker *w  = arg;
    group  *g  = w->group;
    int     rc = begin(w);

    note(g, rc);
    pthread_mutex_lock(&g->lock);
    g->started++;
    pthread_cond_signal(&g->changed);
    if (g->stopping && w->loop != NULL)
        ac_stop(w->loop); /* the others were stopped before this one could be */
    pthread_mutex_unlock(&g->lock);
    if (rc == 0)
        run(w);
    else
        finish(w);
    return NULL;
}

/* --- all of them ---------------------------------------------------------------------------- */

/* Starts worker `i` in a thread of its own that no signal reaches, and waits until it is set up. */
static int launch(group *g, unsigned i)
{
    sigset_t all, before;
    int      rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&g->workers[i].thread, NULL, thread_main, &g->workers[i]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return -EAGAIN;
    pthread_mutex_lock(&g->lock);
    while (g->started <= i)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
    return 0;
}

static bool is_stopping(group *g)
{
    bool stopping;

    pthread_mutex_lock(&g->lock);
    stopping = g->stopping;
    pthread_mutex_unlock(&g->lock);
    return stopping;
}

static void run_all(group *g)
{
    unsigned made = 1;
    int      rc   = begin(&g->workers[0]);

    note(g, rc);
    if (rc < 0) {
        finish(&g->workers[0]);
        return;
    }
    for (g->started = 1; made < g->n && !is_stopping(g); made++) {
        rc = launch(g, made);
        if (rc < 0) {
            note(g, rc);
            break;
        }
    }
    run(&g->workers[0]);
    for (unsigned i = 1; i < made; i++)
        pthread_join(g->workers[i].thread, NULL);
}

int ac_workers(unsigned n, int (*start)(ac_loop *loop, unsigned index, void *arg), void *arg)
{
    group *g;
    int    rc;

    if (n == 0 || n > MOST || start == NULL)
        return -EINVAL;
    g = ac__calloc(sizeof *g + n * sizeof g->workers[0]);
    if (g == NULL)
        return -ENOMEM;
    g->start = start;
    g->arg   = arg;
    g->n     = n;
    for (unsigned i = 0; i < n; i++) {
        g->workers[i].group = g;
        g->workers[i].index = i;
    }
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
    run_all(g);
    rc = g->result;
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    ac__free(g);
    return rc;
}
