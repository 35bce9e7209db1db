/* SPDX-License-Identifier: MIT */
/*
 * Forks, noticed by pthread_atfork() so that no turn asks for a process id. The child's count tells
 * a loop that its poller is the parent's; the parent's flag tells it that a child may hold copies of
 * its descriptors, which then must be taken out of the poller by hand. A child that was forked inside
 * a callback finds the loop in the middle of a batch, which the handler ends: no event has to ask.
 */
#include "loop_private.h"

#include <errno.h>

int                    ac__fork_gen;
static atomic_int      forks;
static pthread_mutex_t lock   = PTHREAD_MUTEX_INITIALIZER; /* of `family` */
static ac__link        family = {&family, &family};

/* The list must be whole in the child. */
static void before_fork(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
    atomic_store_explicit(&forks, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
    ac__fork_gen++;
    for (ac__link *n = family.next; n != &family; n = n->next) {
        ac_loop    *loop = AC__OF(ac_loop, family, n);
        ac__source *s    = loop->serving;

        loop->batch_end = NULL;
        if (s != NULL && s->ops->lengthen != NULL)
            s->ops->lengthen(s);
    }
    in_parent(); /* the parent holds copies too */
}

static void install(void)
{
    (void)pthread_atfork(before_fork, in_parent, in_child);
}

void ac__fork_join(ac_loop *loop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, install);
    (void)pthread_mutex_lock(&lock);
    ac__list_append(&family, &loop->family);
    (void)pthread_mutex_unlock(&lock);
}

void ac__fork_leave(ac_loop *loop)
{
    (void)pthread_mutex_lock(&lock);
    ac__list_remove(&loop->family);
    (void)pthread_mutex_unlock(&lock);
}

bool ac__fork_seen(void)
{
    return atomic_load_explicit(&forks, memory_order_relaxed) != 0;
}

/* Closes what is the parent's too, and forgets what was sent to its poller. */
static void forget_parent(ac_loop *loop)
{
    if (loop->poller != NULL)
        loop->pc->close(loop->poller, true);
    loop->poller = NULL;
    ac__wake_close(loop);
    for (size_t fd = 0; fd < loop->nwatch; fd++) {
        ac__source *s = loop->watch[fd].source;

        if (s == NULL)
            continue;
        s->sent = 0;
        ac__source_touch(loop, s);
    }
}

int ac_loop_after_fork(ac_loop *loop)
{
    int rc;

    if (loop == NULL || loop->dead)
        return -EINVAL;
    if (loop->fork_gen == ac__fork_gen)
        return 0;
    if (loop->level > 0)
        return -EDEADLK;
    forget_parent(loop);
    loop->fork_gen     = ac__fork_gen;
    loop->thread_known = false;
    atomic_store(&loop->woken, 0);
    atomic_store(&loop->callers, 0);
    rc = ac__loop_open(loop);
    if (rc == 0)
        rc = ac__signals_forked(loop);
    if (rc == 0 && ac__resolver_hooks.forked != NULL)
        rc = ac__resolver_hooks.forked(loop);
    for (ac__link *n = loop->all.next, *next; n != &loop->all; n = next) {
        ac__source *s = AC__OF(ac__source, all, n);

        next = n->next;
        if (s->ops->forked != NULL)
            s->ops->forked(loop, s);
    }
    loop->dead     = rc < 0;
    loop->fine_gen = loop->dead || loop->debug ? -1 : loop->fork_gen;
    return rc;
}
