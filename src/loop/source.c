/* SPDX-License-Identifier: MIT */
/* Sources: the things that can become ready, and the table of who owns which descriptor. */
#include "loop_private.h"

#include "../base/alloc.h"

#include <errno.h>

void ac__source_init(ac__source *s, const ac__source_ops *ops)
{
    *s = (ac__source){.ops = ops, .fd = -1};
}

void ac__source_join(ac_loop *loop, ac__source *s)
{
    ac__list_append(&loop->all, &s->all);
}

void ac__source_leave(ac_loop *loop, ac__source *s)
{
    (void)loop;
    if (ac__linked(&s->all))
        ac__list_remove(&s->all);
}

int ac__source_bind(ac_loop *loop, ac__source *s, int fd)
{
    ac__watch *w;

    if (fd < 0)
        return -EBADF;
    if ((size_t)fd >= loop->nwatch
        && ac__grow(&loop->watch, &loop->nwatch, (size_t)fd + 1, sizeof *loop->watch) < 0)
        return -ENOMEM;
    w = &loop->watch[fd];
    if (w->source != NULL)
        return -EEXIST;
    w->source = s;
    w->turn   = loop->turn;
    w->gen++;
    s->fd   = fd;
    s->sent = 0;
    return 0;
}

int ac__source_unbind(ac_loop *loop, ac__source *s, bool shared)
{
    int fd = s->fd;

    if (fd < 0)
        return -1;
    /* In a child the poller is the parent's, and the parent goes on to watch this file. */
    if (s->sent != 0 && loop->poller != NULL && loop->fork_gen == ac__fork_gen)
        loop->pc->forget(loop->poller, fd, s->sent, shared || ac__fork_seen());
    ac__source_flush(loop, false);
    loop->watch[fd].source = NULL;
    loop->watch[fd].gen++; /* so that a generation that is right has an owner */
    loop->watch[fd].turn = loop->turn;
    s->fd                = -1;
    s->sent              = 0;
    return fd;
}

void ac__source_move(ac_loop *loop, ac__source *to, ac__source *from)
{
    to->fd                     = from->fd;
    to->sent                   = from->sent;
    from->fd                   = -1;
    from->sent                 = 0;
    loop->watch[to->fd].source = to;
}

void ac__source_reap(ac_loop *loop, ac__source *s)
{
    if (ac__linked(&s->work))
        ac__list_remove(&s->work);
    ac__list_append(&loop->reap, &s->work);
}

AC__HOT int ac__source_sync(ac_loop *loop, ac__source *s)
{
    const unsigned before = s->want;
    unsigned       need;
    int            rc;

    s->ops->update(loop, s);
    if (s->fd < 0)
        return 0;
    if (before == 0 && s->sent == 0 && (s->ready & s->want) != 0)
        return 0; /* served first: it may be closed before it ever has to wait */
    need = ac__interest(loop, s);
    if (need == s->sent)
        return 0;
    rc = loop->pc->set(loop->poller, s->fd, loop->watch[s->fd].gen, s->sent, need);
    loop->stats.interest_changes++;
    if (rc == 0) {
        s->sent = (uint8_t)need;
    } else if (rc == -EPERM) {
        s->ready |= AC__READ | AC__WRITE; /* cannot be waited for: always ready */
        rc = 0;
    } else if (s->ops->refused != NULL) {
        s->ops->refused(loop, s, rc);
        rc = 0;
    }
    return rc;
}
