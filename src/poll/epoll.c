/* SPDX-License-Identifier: MIT */
/*
 * The epoll backend. Registrations without AC__LEVEL are edge reports: what the loop knows to be ready
 * is not reported again, so interest need only grow, and a hang-up that nobody wants to hear of costs
 * one event and not one for each wait.
 */
#include "poller.h"

#include "../base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/time_types.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * ThreadSanitizer holds signals back until a call that it knows. It does not know epoll_pwait2(), so
 * with it a signal that comes just before the wait would be held for as long as the wait lasts.
 */
#if defined(__SANITIZE_THREAD__)
#define KNOWN_CALLS_ONLY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KNOWN_CALLS_ONLY 1
#endif
#endif

enum { BATCH = 256 };

/* The kernel writes the events where the loop reads them, if they are of one form. */
#define SAME_FORM                                                                                  \
    (sizeof(struct epoll_event) == sizeof(ac__event)                                               \
     && offsetof(struct epoll_event, data) == offsetof(ac__event, fd)                              \
     && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

struct set {
    int                fd;
    bool               coarse; /* epoll_pwait2() is not to be had: milliseconds */
    struct epoll_event events[SAME_FORM ? 1 : BATCH]; /* used where the forms differ */
};

static struct set *set_of(ac__poller *p)
{
    return (struct set *)(void *)p;
}

static int epoll_open(ac__poller **out)
{
    struct set *set = ac__calloc(sizeof *set);

    if (set == NULL)
        return -ENOMEM;
    set->fd = epoll_create1(EPOLL_CLOEXEC);
    if (set->fd < 0) {
        int rc = -errno;

        ac__free(set);
        return rc;
    }
#if defined(KNOWN_CALLS_ONLY) || !defined(SYS_epoll_pwait2)
    set->coarse = true;
#endif
    *out = (ac__poller *)(void *)set;
    return 0;
}

static int control(const struct set *set, int op, int fd, uint32_t gen, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.u64 = (uint64_t)gen << 32 | (uint32_t)fd};

    return epoll_ctl(set->fd, op, fd, &ev) < 0 ? -errno : 0;
}

static int epoll_set(ac__poller *p, int fd, uint32_t gen, unsigned old, unsigned want)
{
    const struct set *set    = set_of(p);
    uint32_t          events = (want & AC__LEVEL) != 0 ? 0 : EPOLLET;
    int               rc;

    if (want == 0) {
        rc = control(set, EPOLL_CTL_DEL, fd, gen, 0);
        return rc == -ENOENT || rc == -EBADF ? 0 : rc;
    }
    /* A hang-up and an error come without being asked for. */
    if (want & (AC__READ | AC__RDHUP))
        events |= EPOLLRDHUP;
    /* Urgent data makes a read stop short: a reader that is not told would take that for empty. */
    if (want & AC__READ)
        events |= EPOLLIN | EPOLLPRI;
    if (want & AC__WRITE)
        events |= EPOLLOUT;
    if (want & AC__PRI)
        events |= EPOLLPRI;

    /*
     * The set may know the number when the caller does not, and the other way round: a file that was
     * registered can come back to its number by dup2(), or leave it.
     */
    if (old == 0) {
        rc = control(set, EPOLL_CTL_ADD, fd, gen, events);
        if (rc == -EEXIST)
            rc = control(set, EPOLL_CTL_MOD, fd, gen, events);
    } else {
        rc = control(set, EPOLL_CTL_MOD, fd, gen, events);
        if (rc == -ENOENT)
            rc = control(set, EPOLL_CTL_ADD, fd, gen, events);
    }
    return rc;
}

static void epoll_forget(ac__poller *p, int fd, unsigned old, bool shared)
{
    /*
     * The close ends the registration by itself where it is the last of the open file. One that is to be
     * told of what is left would go on to be told of in each wait, if it were not: it is not left to that.
     */
    if (old != 0 && (shared || (old & AC__LEVEL) != 0))
        control(set_of(p), EPOLL_CTL_DEL, fd, 0, 0);
}

static int epoll_stale(ac__poller *p, int fd, bool live)
{
    /* The number means another file by now, so that the old one cannot be named any more. */
    if (live)
        return -EBADF;
    return control(set_of(p), EPOLL_CTL_DEL, fd, 0, 0) == 0 ? 0 : -EBADF;
}

static int epoll_renew(ac__poller *p)
{
    struct set *set = set_of(p);
    int         fd  = epoll_create1(EPOLL_CLOEXEC);
    int         rc  = fd < 0 ? -errno : 0;

    /* Under the old number, which another loop may be waiting for. */
    if (rc == 0 && dup3(fd, set->fd, O_CLOEXEC) < 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Rounded up: a wait that ends early would have the loop turn for nothing. */
static int to_milliseconds(int64_t timeout)
{
    int64_t ms;

    if (timeout == INT64_MAX)
        return -1;
    if (timeout <= 0)
        return 0;
    ms = timeout / 1000000 + (timeout % 1000000 > 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static int wait_events(struct set *set, int64_t timeout, struct epoll_event *events, int max)
{
    int n;

#ifdef SYS_epoll_pwait2
    if (timeout > 0 && timeout != INT64_MAX && !set->coarse) {
        struct __kernel_timespec ts = {timeout / 1000000000, timeout % 1000000000};

        n = (int)syscall(SYS_epoll_pwait2, set->fd, events, max, &ts, NULL, (size_t)0);
        if (n >= 0 || errno != ENOSYS)
            return n < 0 ? -errno : n;
        set->coarse = true;
    }
#endif
    n = epoll_wait(set->fd, events, max, to_milliseconds(timeout));
    return n < 0 ? -errno : n;
}

static unsigned epoll_bits(uint32_t report)
{
    unsigned bits = 0;

    if (report & EPOLLIN)
        bits |= AC__READ;
    if (report & EPOLLOUT)
        bits |= AC__WRITE;
    if (report & EPOLLPRI)
        bits |= AC__PRI;
    if (report & EPOLLRDHUP)
        bits |= AC__RDHUP;
    if (report & (EPOLLHUP | EPOLLERR))
        bits |= AC__HUP;
    return bits;
}

_Static_assert((int)EPOLLIN == (int)AC__READ, "a plain report needs no translation");

static int epoll_wait_(ac__poller *p, int64_t timeout, ac__event *out, int max)
{
    struct set *set = set_of(p);
    int         n;

    if (SAME_FORM)
        return wait_events(set, timeout, (struct epoll_event *)(void *)out, max);
    n = wait_events(set, timeout, set->events, max < BATCH ? max : BATCH);
    for (int i = 0; i < n; i++) {
        out[i].bits = set->events[i].events;
        out[i].fd   = (int)(set->events[i].data.u64 & UINT32_MAX);
        out[i].gen  = (uint32_t)(set->events[i].data.u64 >> 32);
    }
    return n;
}

static int epoll_fileno(ac__poller *p)
{
    return set_of(p)->fd;
}

static void epoll_close(ac__poller *p, bool forked)
{
    /* In a child this closes the child's copy: the set itself lives on in the parent. */
    (void)forked;
    close(set_of(p)->fd);
    ac__free(p);
}

const ac__poller_class ac__poller_epoll = {
    .name   = "epoll",
    .grows  = true,
    .levels = true,
    .open   = epoll_open,
    .set    = epoll_set,
    .forget = epoll_forget,
    .stale  = epoll_stale,
    .renew  = epoll_renew,
    .wait   = epoll_wait_,
    .bits   = epoll_bits,
    .fileno = epoll_fileno,
    .close  = epoll_close,
};
