/* SPDX-License-Identifier: MIT */
/*
 * Calls from other threads and from signal handlers: stop, wake, post.
 *
 * Why no wake-up is lost. A waker does
 *
 *     A  publishes: pushes its work, or sets `stop`, or a signal's pending bit
 *     B  exchanges `woken` to 1
 *     C  if B found 0: loads `wake_fd` and writes to it
 *
 * and a turn of the loop does
 *
 *     1  looks at `woken`, `posted` and `stop`, and waits only if there is nothing
 *     2  waits
 *     3  stores 0 in `woken`
 *     4  looks at what A may have published
 *
 * All of these are sequentially consistent, so that they have one order. If B found 0, then C ends
 * the wait, or makes the next one end at once. If B found 1, then another waker set it since the last
 * 3, and that waker's C ends the wait; the 3 that follows comes after B, so that its 4 comes after A
 * and sees it. If C comes when 3 is over, one wait ends for nothing, and that is all. A drain of the
 * descriptor that comes after 3 may take the write of a later waker with it; then `woken` is 1, and
 * the next 1 does not wait.
 *
 * Before the descriptor is open, C finds -1. ac__wake_open() stores the descriptor before the turn
 * comes to 1, so either C finds it, or 1 finds what B wrote.
 */
#include "loop_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void wake(ac_loop *loop)
{
    const uint64_t one = 1;
    int            fd, saved = errno;

    if (atomic_exchange(&loop->woken, 1) != 0)
        return;
    fd = atomic_load(&loop->wake_fd);
    /* In the child of a fork the descriptor still is the parent's, which has nothing to do. */
    if (fd < 0 || loop->fork_gen != ac__fork_gen)
        return;
    /* A pipe takes the eight bytes as well. One that is full ends the wait as it is. */
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    errno = saved;
}

/*
 * What these publish may end the loop in its own thread before they have returned here: it is freed
 * only when nobody is between these two.
 */
static void enter(ac_loop *loop)
{
    atomic_fetch_add(&loop->callers, 1);
}

static void leave(ac_loop *loop)
{
    atomic_fetch_sub(&loop->callers, 1);
}

void ac__callers_wait(ac_loop *loop)
{
    /* In a child they are the parent's threads, and do not exist. */
    while (loop->fork_gen == ac__fork_gen && atomic_load(&loop->callers) != 0)
        sched_yield();
}

void ac_wake(ac_loop *loop)
{
    if (loop == NULL)
        return;
    enter(loop);
    wake(loop);
    leave(loop);
}

void ac_stop(ac_loop *loop)
{
    if (loop == NULL)
        return;
    enter(loop);
    atomic_store(&loop->stop, 1);
    wake(loop);
    leave(loop);
}

void ac_post(ac_loop *loop, ac_work *work)
{
    ac_work *head;

    if (loop == NULL || work == NULL)
        return;
    /* The loop only ever takes the whole stack, so that a node that comes back does no harm. */
    enter(loop);
    head = atomic_load(&loop->posted);
    do {
        work->next_ = head;
    } while (!atomic_compare_exchange_weak(&loop->posted, &head, work));
    wake(loop);
    leave(loop);
}

/* Puts work that was taken and not run back, before what was posted since. */
static void put_back(ac_loop *loop, ac_work *first)
{
    ac_work *stack = NULL, *newest;

    while (first != NULL) { /* the stack has the newest on top */
        ac_work *next = first->next_;

        first->next_ = stack;
        stack        = first;
        first        = next;
    }
    if (stack == NULL)
        return;
    newest = atomic_exchange(&loop->posted, NULL); /* the child of a fork has no other threads */
    if (newest != NULL) {
        ac_work *last = newest;

        while (last->next_ != NULL)
            last = last->next_;
        last->next_ = stack;
        stack       = newest;
    }
    atomic_store(&loop->posted, stack);
}

int ac__posts_run(ac_loop *loop, int status)
{
    ac_work *taken, *first = NULL;
    int      count = 0;

    /* The common case of nothing posted is to cost no locked instruction. */
    if (atomic_load(&loop->posted) == NULL)
        return 0;
    taken = atomic_exchange(&loop->posted, NULL);
    while (taken != NULL) {
        ac_work *next = taken->next_;

        taken->next_ = first;
        first        = taken;
        taken        = next;
    }
    while (first != NULL) {
        ac_work *work = first;

        first       = work->next_;
        work->next_ = NULL;
        loop->stats.callbacks++;
        count++;
        if (work->run != NULL)
            work->run(work, status);
        if (loop->fork_gen != ac__fork_gen && status == 0)
            break; /* it forked, and this is the child: the rest waits for ac_loop_after_fork() */
    }
    put_back(loop, first);
    return count;
}

/* --- the descriptor ------------------------------------------------------------------------- */

static void wake_update(ac_loop *loop, ac__source *s)
{
    (void)loop;
    s->want = AC__READ;
}

static void wake_serve(ac_loop *loop, ac__source *s, unsigned due)
{
    uint64_t writes[64];
    ssize_t  n;

    (void)due;
    s->ready &= (uint8_t)~AC__READ;
    /* An eventfd gives the number of writes since the last read, a pipe gives each of them. */
    do {
        n = read(s->fd, writes, sizeof writes);
        for (ssize_t i = 0; i < n / (ssize_t)sizeof writes[0]; i++)
            loop->stats.wakes += writes[i];
    } while (n == (ssize_t)sizeof writes || (n < 0 && errno == EINTR));
}

static void wake_nothing(ac_loop *loop, ac__source *s)
{
    (void)loop;
    (void)s;
}

/* It ends by ac__wake_close(), when everything else has. */
static const ac__source_ops wake_ops = {
    .update = wake_update,
    .serve  = wake_serve,
    .reap   = wake_nothing,
    .end    = wake_nothing,
};

int ac__wake_open(ac_loop *loop)
{
    int fds[2], rc;

    fds[0] = fds[1] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fds[0] < 0 && pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;

    ac__source_init(&loop->wake, &wake_ops);
    rc = ac__source_bind(loop, &loop->wake, fds[0]);
    if (rc < 0) {
        close(fds[0]);
        if (fds[1] != fds[0])
            close(fds[1]);
        return rc;
    }
    ac__source_touch(loop, &loop->wake);
    loop->wake_read = fds[0];
    atomic_store(&loop->wake_fd, fds[1]);
    return 0;
}

void ac__wake_close(ac_loop *loop)
{
    int fd = atomic_exchange(&loop->wake_fd, -1);

    if (fd < 0)
        return;
    if (loop->wake.fd >= 0)
        ac__source_unbind(loop, &loop->wake, false);
    if (ac__linked(&loop->wake.work))
        ac__list_remove(&loop->wake.work);
    if (loop->wake_read != fd)
        close(loop->wake_read);
    close(fd);
    loop->wake_read = -1;
}
