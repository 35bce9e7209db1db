/* SPDX-License-Identifier: MIT */
/* The life of a dispatcher: made, opened, failed, closed, finalized; and its interest. */
#include "channel.h"

#include "connector.h"

#include "../base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(ac_dispatcher) == 96, "the size of ac_dispatcher is part of the ABI");

int ac_init_(ac_dispatcher *d, ac_loop *loop, const ac_class *cls, size_t size, unsigned abi)
{
    if (d == NULL)
        return -EINVAL;
    if (size != sizeof *d || abi != AC_ABI) {
        memset(d, 0, size < sizeof *d ? size : sizeof *d);
        return -EINVAL;
    }
    *d = (ac_dispatcher){.cls = cls, .magic_ = AC__MAGIC};
    ac__source_init(&d->source_, &ac__transport_socket.source);
    if (loop == NULL || cls == NULL)
        return -EINVAL; /* d->loop is NULL: every verb says -EINVAL */
    d->loop = loop;
    if (cls->readable != NULL || cls->writable != NULL)
        d->flags_ |= AC__ASKS;
    if (loop->sys == &ac__sys_posix && !loop->debug && cls->handle_read != NULL)
        d->flags_ |= AC__QUICK;
    return 0;
}

void *ac_new_(ac_loop *loop, const ac_class *cls, size_t len, size_t size, unsigned abi)
{
    ac_dispatcher *d;

    if (len < sizeof *d || (d = ac__calloc(len)) == NULL)
        return NULL;
    if (ac_init_(d, loop, cls, size, abi) < 0) {
        ac__free(d);
        return NULL;
    }
    d->rare_ |= AC__RARE_HEAP;
    return d;
}

/* --- what every verb begins with ------------------------------------------------------------ */

int ac__verb_checked(ac_dispatcher *d)
{
    int rc;

    if (d == NULL || d->loop == NULL)
        return -EINVAL;
    rc = ac__loop_check(d->loop);
    if (rc < 0)
        return rc;
    if ((d->flags_ & AC__OPEN) == 0)
        return -EBADF;
    ac__uncork(d);
    ac__touch(d);
    return 0;
}

int ac__verb_open(ac_dispatcher *d)
{
    int rc;

    if (d == NULL || d->loop == NULL)
        return -EINVAL;
    rc = ac__loop_check(d->loop);
    if (rc < 0)
        return rc;
    if ((d->flags_ & AC__OPEN) != 0)
        return -EISCONN;
    if ((d->flags_ & AC__CLOSED) != 0 || d->loop->freeing)
        return -EBADF;
    return 0;
}

void ac__touch(ac_dispatcher *d)
{
    if ((d->flags_ & (AC__ASKS | AC__STALLED)) == 0)
        return;
    d->flags_ &= ~(uint32_t)AC__STALLED;
    ac__source_touch(d->loop, &d->source_);
}

ac__ext *ac__ext_get(ac_dispatcher *d)
{
    ac__ext *x = d->ext_;

    if (x != NULL)
        return x;
    x = ac__calloc(sizeof *x);
    if (x == NULL)
        return NULL;
    x->low     = 16 * 1024;
    x->high    = 64 * 1024;
    x->limit   = 1024 * 1024;
    x->oob     = -1;
    x->restore = -1;
    d->ext_    = x;
    d->flags_ |= AC__EXTRAS;
    return x;
}

void ac__join(ac_dispatcher *d, const ac__transport *transport)
{
    ac_loop *loop = d->loop;

    d->source_.ops = &transport->source;
    d->flags_ |= AC__OPEN;
    ac__source_join(loop, &d->source_);
    ac__keep(loop);
    loop->stats.channels++;
    ac__log_adding(d);
    ac__source_touch(loop, &d->source_);
}

int ac__adopt(ac_dispatcher *d, int fd)
{
    return ac__source_bind(d->loop, &d->source_, fd);
}

/* --- failures ----------------------------------------------------------------------------- */

/* Whether a failure can be noted: the channel is open, and none waits or has been told. */
static bool fails(const ac_dispatcher *d)
{
    if ((d->flags_ & AC__OPEN) == 0 || (d->flags_ & (AC__FAILED | AC__TELLING)) != 0)
        return false;
    /* After handle_close there is nobody to tell; but a goodbye that goes on can still be cut. */
    return (d->flags_ & (AC__ENDED | AC__GOODBYE)) != AC__ENDED;
}

/* Gives a connect by name up, which could still succeed. */
static void stop_connecting(ac_dispatcher *d)
{
    ac__connector *c = d->ext_ != NULL ? d->ext_->connector : NULL;

    if (c == NULL)
        return;
    d->ext_->connector = NULL;
    ac__connector_cancel(c);
}

static void note(ac_dispatcher *d, int err, char *owned, char *place, int line)
{
    ac__ext *x = owned != NULL || place != NULL ? ac__ext_get(d) : NULL;

    stop_connecting(d);
    if ((d->flags_ & AC__LATER) == 0) /* what came first is told */
        d->err_ = err;
    d->flags_ |= AC__FAILED;
    if (x != NULL) {
        ac__free(x->text);
        x->text  = owned;
        x->place = owned != NULL ? owned : place;
        x->line  = line;
    } else {
        ac__free(owned);
    }
    ac__source_call(d->loop, &d->source_);
}

void ac__fail_text(ac_dispatcher *d, int err, const char *op, const char *text)
{
    char buf[320];

    if (!fails(d))
        return;
    (void)snprintf(buf, sizeof buf, "%s%s%s", op, text != NULL ? " " : "",
                   text != NULL ? text : "");
    note(d, err, ac__strdup(buf), NULL, 0);
}

void ac__fail(ac_dispatcher *d, int err, const char *op, const ac_addr *addr)
{
    char buf[AC_ADDR_TEXT];

    ac__fail_text(d, err, op, addr != NULL ? ac_addr_format(addr, buf, sizeof buf) : NULL);
}

void ac__fail_write(ac_dispatcher *d, int err)
{
    if (!fails(d) || (d->flags_ & AC__LATER) != 0)
        return;
    d->err_ = err;
    d->flags_ |= AC__LATER | AC__SHUT;
    d->source_.ready |= AC__READ | AC__WRITE; /* the read side is asked what it still has */
    ac__queue_drop(d);
    ac__source_call(d->loop, &d->source_);
}

void ac_fail_at(ac_dispatcher *d, int err, const char *file, int line)
{
    if (ac__verb(d) < 0 || err == 0 || !fails(d))
        return;
    d->flags_ |= AC__TOOK;
    /* The name of a source file is a literal of the program's: kept, not copied. */
    note(d, err < 0 ? err : -err, NULL, (char *)(uintptr_t)file, line);
}

/* --- the end ------------------------------------------------------------------------------ */

static void ext_free(ac_dispatcher *d)
{
    ac__ext *x = d->ext_;

    d->ext_ = NULL;
    if (x == NULL)
        return;
    ac__free(x->others);
    ac__free(x->text);
    ac__free(x);
}

/* Lets go of all that a channel has but its memory. */
static void let_go(ac_dispatcher *d)
{
    ac_loop *loop = d->loop;
    ac__ext *x    = d->ext_;
    int      fd;

    stop_connecting(d);
    ac__times_free(d);
    ac__accept_unhold(d);
    if (x != NULL && x->held)
        ac_timer_stop(&x->accept_timer);
    ac__queue_drop(d);
    fd = ac__source_unbind(loop, &d->source_, (d->rare_ & AC__RARE_SHARED) != 0);
    if (fd >= 0) {
        /* The port of these two may be bound again at once. */
        ac__source_flush(loop, (d->flags_ & (AC__LISTENING | AC__DGRAM)) != 0);
        ac__transport_of(d)->close(d, fd);
        ac__descriptor_freed(loop);
    }
}

void ac_close(ac_dispatcher *d)
{
    ac_loop *loop;

    if (d == NULL || d->loop == NULL || (d->flags_ & AC__CLOSED) != 0)
        return;
    if ((d->flags_ & AC__OPEN) == 0 && (d->rare_ & AC__RARE_HEAP) == 0) {
        ac__times_free(d); /* the caller's storage, never opened: no call is owed */
        ext_free(d);
        return;
    }
    loop = d->loop;
    ac__uncork(d); /* it was pushed before: what the kernel takes is sent */
    if (!ac__loop_fine(loop))
        (void)ac__loop_check(
            loop); /* says so where the thread is wrong; a close is never refused */
    if ((d->flags_ & AC__OPEN) != 0)
        ac__log_closing(d);
    if ((d->flags_ & AC__OPEN) == 0) {
        ac__keep(loop);
        loop->stats.channels++;
    } else if ((d->rare_ & AC__RARE_UNREF) != 0) {
        ac__keep(loop); /* its finalize is owed */
    }
    d->flags_ = (d->flags_ | AC__CLOSED | AC__TOOK) & ~(uint32_t)AC__OPEN;
    d->rare_ &= (uint16_t)~AC__RARE_UNREF;
    let_go(d);
    d->flags_ &= ~(uint32_t)(AC__CONNECTED | AC__CONNECTING | AC__LISTENING);
    ac__source_leave(loop, &d->source_);
    ac__source_reap(loop, &d->source_);
}

void ac__channel_end(ac_loop *loop, ac__source *s)
{
    (void)loop;
    ac_close(ac__channel(s));
}

/* Storage that was reused too early is found here: the rest would be a crash somewhere else. */
static void check_storage(const ac_dispatcher *d)
{
    static const char text[] =
        "asyncore: the storage of a channel was reused before its finalize\n";

    if (d->magic_ == AC__MAGIC)
        return;
    if (write(STDERR_FILENO, text, sizeof text - 1) >= 0)
        abort();
    abort();
}

void ac__channel_reap(ac_loop *loop, ac__source *s)
{
    ac_dispatcher *d              = ac__channel(s);
    ac__ext       *x              = d->ext_;
    void (*last)(ac_dispatcher *) = d->cls->finalize;
    bool heap                     = (d->rare_ & AC__RARE_HEAP) != 0;

    if (loop->debug)
        check_storage(d);
    if (x != NULL && x->closed != NULL)
        x->closed(d);
    ext_free(d);
    ac__unkeep(loop);
    loop->stats.channels--;
    d->magic_ = AC__MAGIC_DEAD;
    if (last != NULL) {
        loop->stats.callbacks++;
        last(d); /* caller storage is the caller's again from here on */
    }
    if (heap)
        ac__free(d);
}

int ac_close_all(ac_loop *loop)
{
    int rc     = ac__loop_check(loop);
    int closed = 0;

    if (rc < 0 && rc != -ECHILD)
        return rc;
    for (ac__link *n = loop->all.next, *next; n != &loop->all; n = next) {
        ac__source *s = AC__OF(ac__source, all, n);

        next = n->next;
        if (s->ops->end != ac__channel_end)
            continue;
        ac_close(ac__channel(s));
        closed++;
    }
    return closed;
}

/* --- getters ------------------------------------------------------------------------------ */

bool ac_is_open(const ac_dispatcher *d)
{
    return d != NULL && d->loop != NULL && (d->flags_ & AC__OPEN) != 0;
}

bool ac_is_connected(const ac_dispatcher *d)
{
    return ac_is_open(d) && (d->flags_ & AC__CONNECTED) != 0 && (d->flags_ & AC__ENDED) == 0;
}

int ac_error(const ac_dispatcher *d)
{
    return d != NULL ? d->err_ : 0;
}

/* --- interest ----------------------------------------------------------------------------- */

int ac_pause(ac_dispatcher *d)
{
    int rc = ac__verb(d);

    if (rc < 0)
        return rc;
    d->flags_ |= AC__PAUSED | AC__TOOK;
    ac__source_touch(d->loop, &d->source_);
    return 0;
}

int ac_resume(ac_dispatcher *d)
{
    int rc = ac__verb(d);

    if (rc < 0)
        return rc;
    d->flags_ &= ~(uint32_t)AC__PAUSED;
    ac__times_resume(d);
    ac__source_touch(d->loop, &d->source_);
    return 0;
}

int ac_changed(ac_dispatcher *d)
{
    int rc = ac__verb(d);

    if (rc < 0)
        return rc;
    ac__arm(d);
    ac__source_touch(d->loop, &d->source_);
    return 0;
}

int ac_unref(ac_dispatcher *d)
{
    int rc = ac__verb(d);

    if (rc < 0)
        return rc;
    if ((d->rare_ & AC__RARE_UNREF) == 0)
        ac__unkeep(d->loop);
    d->rare_ |= AC__RARE_UNREF;
    return 0;
}

int ac_ref(ac_dispatcher *d)
{
    int rc = ac__verb(d);

    if (rc < 0)
        return rc;
    if ((d->rare_ & AC__RARE_UNREF) != 0)
        ac__keep(d->loop);
    d->rare_ &= (uint16_t)~AC__RARE_UNREF;
    return 0;
}
