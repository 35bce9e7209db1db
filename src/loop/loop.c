/* SPDX-License-Identifier: MIT */
/* The life of a loop: made, opened by its first turn, asked, freed. */
#include "loop_private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A switch that the options leave open is read from the environment, but not under setuid. */
static bool is_on(int option, const char *variable)
{
    const char *text = option == AC_UNSET ? secure_getenv(variable) : NULL;

    return option == AC_ON || (text != NULL && strcmp(text, "1") == 0);
}

static const ac__poller_class *choose(const char *backend)
{
    if (backend == NULL)
        backend = secure_getenv("ASYNCORE_BACKEND");
    if (backend == NULL || backend[0] == '\0')
        return ac__pollers[0];
    return ac__poller_find(backend);
}

ac_loop *ac__loop_new_sys(const ac_loop_options *options, ac__sys *sys)
{
    ac_loop_options o    = {.size = sizeof o};
    ac_loop        *loop = ac__calloc(sizeof *loop);

    if (loop == NULL)
        return NULL;
    if (options != NULL)
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    if (o.nameservers != NULL && (loop->nameservers = ac__strdup(o.nameservers)) == NULL) {
        ac__free(loop);
        return NULL;
    }
    loop->sys         = sys;
    loop->pc          = choose(o.backend);
    loop->verbose     = is_on(o.verbose, "ASYNCORE_VERBOSE");
    loop->debug       = is_on(o.debug, "ASYNCORE_DEBUG");
    loop->max_lookups = o.max_lookups != 0 ? o.max_lookups : 1000;
    loop->fork_gen    = ac__fork_gen;
    loop->fine_gen    = loop->debug ? -1 : loop->fork_gen;
    loop->now         = sys->monotonic(sys);
    loop->wake_read   = -1;
    loop->wake.fd     = -1;
    atomic_init(&loop->stop, 0);
    atomic_init(&loop->callers, 0);
    atomic_init(&loop->woken, 0);
    atomic_init(&loop->wake_fd, -1);
    atomic_init(&loop->posted, NULL);
    ac__list_init(&loop->work);
    ac__list_init(&loop->all);
    ac__list_init(&loop->reap);
    ac__list_init(&loop->paused);
    ac__timers_begin(loop);
    ac__fork_join(loop);
    return loop;
}

ac_loop *ac_loop_new_with(const ac_loop_options *options)
{
    return ac__loop_new_sys(options, &ac__sys_posix);
}

ac_loop *ac_loop_new(void)
{
    return ac_loop_new_with(NULL);
}

int ac__loop_check(const ac_loop *loop)
{
    static const char text[] = "asyncore: a loop was used from a thread that is not its own\n";

    if (loop == NULL)
        return -EINVAL;
    if (loop->fork_gen != ac__fork_gen)
        return -ECHILD;
    if (loop->dead)
        return -EBADF;
    if (loop->debug && loop->thread_known && !pthread_equal(loop->thread, pthread_self())) {
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            return -EPERM;
        return -EPERM;
    }
    return 0;
}

/* The backend is refused by the system: another one has the same results. Said once. */
static int open_another(ac_loop *loop, int err)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    const char        *was  = loop->pc->name;
    char               text[128];
    int                rc = loop->pc->instead->open(&loop->poller);

    if (rc < 0)
        return rc;
    loop->pc = loop->pc->instead;
    if (!atomic_flag_test_and_set(&said) && ac__net_hooks.say != NULL) {
        (void)snprintf(text, sizeof text, "%s is not available (%s): using %s", was,
                       ac_errname(err), loop->pc->name);
        ac__net_hooks.say(loop, text);
    }
    return 0;
}

int ac__loop_open(ac_loop *loop)
{
    int rc;

    if (loop->pc == NULL)
        return -EINVAL;
    if (loop->poller != NULL)
        return 0;
    rc = loop->pc->open(&loop->poller);
    if (rc < 0 && rc != -ENOMEM && loop->pc->instead != NULL)
        rc = open_another(loop, rc);
    if (rc < 0)
        return rc;
    rc = ac__wake_open(loop);
    if (rc < 0) {
        loop->pc->close(loop->poller, false);
        loop->poller = NULL;
    }
    return rc;
}

/* Ends every source; finalizers may close others, but can open nothing any more. */
static void end_sources(ac_loop *loop)
{
    while (!ac__list_empty(&loop->all) || !ac__list_empty(&loop->reap)) {
        if (!ac__list_empty(&loop->all)) {
            ac__source *s = AC__OF(ac__source, all, loop->all.next);

            ac__source_leave(loop, s);
            s->ops->end(loop, s);
        } else {
            ac__source *s = AC__OF(ac__source, work, loop->reap.next);

            ac__list_remove(&s->work);
            s->ops->reap(loop, s);
        }
    }
}

int ac_loop_free(ac_loop *loop)
{
    if (loop == NULL)
        return 0;
    if (loop->level > 0)
        return -EBUSY;
    loop->freeing = true;
    loop->level   = 1;
    (void)ac__posts_run(loop, -ECANCELED);
    ac__signals_end(loop);
    end_sources(loop);
    if (ac__resolver_hooks.end != NULL)
        ac__resolver_hooks.end(loop);
    end_sources(loop);
    if (ac__net_hooks.end != NULL)
        ac__net_hooks.end(loop);
    (void)ac__posts_run(loop, -ECANCELED);
    ac__timers_end(loop);
    ac__callers_wait(loop);
    ac__wake_close(loop);
    if (loop->poller != NULL)
        loop->pc->close(loop->poller, loop->fork_gen != ac__fork_gen);
    ac__fork_leave(loop);
    ac__free(loop->watch);
    ac__free(loop->view);
    ac__free(loop->nameservers);
    ac__free(loop);
    return 0;
}

int ac_hold(ac_loop *loop)
{
    int rc = ac__loop_check(loop);

    if (rc < 0)
        return rc;
    loop->holds++;
    return 0;
}

int ac_unhold(ac_loop *loop)
{
    int rc = ac__loop_check(loop);

    if (rc < 0)
        return rc;
    if (loop->holds == 0)
        return -EINVAL;
    loop->holds--;
    return 0;
}

int64_t ac_loop_now(const ac_loop *loop)
{
    /* To read the clock changes nothing that anyone could see. */
    return loop != NULL ? ac__now((ac_loop *)(uintptr_t)loop) : 0;
}

AC__HOT void ac_loop_update(ac_loop *loop)
{
    if (loop == NULL)
        return;
    loop->now      = loop->sys->monotonic(loop->sys);
    loop->now_past = false;
}

int64_t ac_time(const ac_loop *loop)
{
    ac__sys *sys = loop != NULL ? loop->sys : &ac__sys_posix;

    return sys->wall(sys);
}

const char *ac_loop_backend(const ac_loop *loop)
{
    return loop != NULL && loop->pc != NULL ? loop->pc->name : "none";
}

const char *ac_backend_name(size_t index)
{
    for (size_t i = 0; ac__pollers[i] != NULL; i++)
        if (i == index)
            return ac__pollers[i]->name;
    return NULL;
}

int ac_loop_fileno(ac_loop *loop)
{
    int rc = ac__loop_check(loop);

    if (rc == 0)
        rc = ac__loop_open(loop);
    if (rc < 0)
        return rc;
    return loop->pc->fileno != NULL ? loop->pc->fileno(loop->poller) : -1;
}

int ac_loop_stats(const ac_loop *loop, ac_stats *out)
{
    ac_stats now;
    size_t   size;

    if (loop == NULL || out == NULL || out->size < sizeof out->size)
        return -EINVAL;
    size     = out->size;
    now      = loop->stats;
    now.size = size;
    memcpy(out, &now, size < sizeof now ? size : sizeof now);
    return 0;
}
