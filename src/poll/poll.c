/* SPDX-License-Identifier: MIT */
/*
 * The poll backend: one array for the system call, and beside it what the loop wants back.
 *
 * Invariants: place[fds[i].fd] == i + 1 for each i < n, and place[fd] == 0 for each other fd below
 * nplace. gens[i] belongs to fds[i].
 *
 * A hang-up cannot be masked, and would end each wait. An entry that has nothing else to tell is told
 * once and then *hidden*, by a negative number, until its interest changes.
 */
#include "poller.h"

#include "../base/alloc.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

struct set {
    struct pollfd *fds;
    uint32_t      *gens;
    uint32_t      *place;
    size_t         n, cap, gens_cap, nplace;
    size_t         start; /* where the next batch begins to look */
};

static struct set *set_of(ac__poller *p)
{
    return (struct set *)(void *)p;
}

static int poll_open(ac__poller **out)
{
    struct set *set = ac__calloc(sizeof *set);

    if (set == NULL)
        return -ENOMEM;
    *out = (ac__poller *)(void *)set;
    return 0;
}

/* The descriptor of an entry, hidden or not. */
static int number(const struct pollfd *entry)
{
    return entry->fd < 0 ? ~entry->fd : entry->fd;
}

static void drop(struct set *set, int fd)
{
    size_t at;

    if (fd < 0 || (size_t)fd >= set->nplace || set->place[fd] == 0)
        return;
    at             = set->place[fd] - 1;
    set->place[fd] = 0;
    set->n -= 1;
    if (at < set->n) {
        set->fds[at]                      = set->fds[set->n];
        set->gens[at]                     = set->gens[set->n];
        set->place[number(&set->fds[at])] = (uint32_t)at + 1;
    }
}

/* Makes an entry for a descriptor that has none: 0 or -ENOMEM. */
static int add(struct set *set, int fd)
{
    int rc = ac__grow(&set->place, &set->nplace, (size_t)fd + 1, sizeof *set->place);

    if (rc == 0)
        rc = ac__grow_unset(&set->fds, &set->cap, set->n + 1, sizeof *set->fds);
    if (rc == 0)
        rc = ac__grow_unset(&set->gens, &set->gens_cap, set->n + 1, sizeof *set->gens);
    if (rc < 0)
        return rc;
    set->fds[set->n]  = (struct pollfd){.fd = fd};
    set->gens[set->n] = 0;
    set->place[fd]    = (uint32_t)++set->n;
    return 0;
}

static int poll_set(ac__poller *p, int fd, uint32_t gen, unsigned old, unsigned want)
{
    struct set *set    = set_of(p);
    int         events = 0;
    size_t      at;

    (void)old;
    if (fd < 0)
        return -EBADF;
    if (want == 0) {
        drop(set, fd);
        return 0;
    }
    if ((size_t)fd >= set->nplace || set->place[fd] == 0) {
        int rc = add(set, fd);

        if (rc < 0)
            return rc;
    }
    /* A hang-up and an error come without being asked for. */
    if (want & (AC__READ | AC__RDHUP))
        events |= POLLRDHUP;
    if (want & AC__READ)
        events |= POLLIN;
    if (want & AC__WRITE)
        events |= POLLOUT;
    if (want & AC__PRI)
        events |= POLLPRI;
    at                  = set->place[fd] - 1;
    set->fds[at].fd     = fd;
    set->fds[at].events = (short)events;
    set->gens[at]       = gen;
    return 0;
}

static void poll_forget(ac__poller *p, int fd, unsigned old, bool shared)
{
    (void)old;
    (void)shared;
    drop(set_of(p), fd);
}

static unsigned bits_of(int revents)
{
    unsigned bits = 0;

    /* The descriptor was closed behind the loop's back: its owner finds out by using it. */
    if (revents & POLLNVAL)
        return AC__HUP | AC__READ | AC__WRITE;
    if (revents & POLLIN)
        bits |= AC__READ;
    if (revents & POLLOUT)
        bits |= AC__WRITE;
    if (revents & POLLPRI)
        bits |= AC__PRI;
    if (revents & POLLRDHUP)
        bits |= AC__RDHUP;
    if (revents & (POLLHUP | POLLERR))
        bits |= AC__HUP;
    return bits;
}

static int poll_wait(ac__poller *p, int64_t timeout, ac__event *out, int max)
{
    struct set     *set   = set_of(p);
    struct timespec ts    = {0, 0};
    int             found = 0, ready;
    size_t          at    = set->start < set->n ? set->start : 0;

    if (timeout > 0)
        ts = (struct timespec){(time_t)(timeout / 1000000000), (long)(timeout % 1000000000)};
    ready = ppoll(set->fds, (nfds_t)set->n, timeout == INT64_MAX ? NULL : &ts, NULL);
    if (ready < 0)
        return -errno;
    if (ready > max)
        ready = max;
    for (size_t seen = 0; seen < set->n && found < ready; seen++) {
        unsigned bits = bits_of(set->fds[at].revents);

        if (bits != 0)
            out[found++] = (ac__event){bits, number(&set->fds[at]), set->gens[at]};
        if (bits == AC__HUP)
            set->fds[at].fd = ~number(&set->fds[at]);
        at = at + 1 < set->n ? at + 1 : 0;
    }
    /* A full batch leaves the rest for the next one, which goes on where this one stopped. */
    set->start = at;
    return found;
}

static void poll_close(ac__poller *p, bool forked)
{
    struct set *set = set_of(p);

    (void)forked;
    ac__free(set->fds);
    ac__free(set->gens);
    ac__free(set->place);
    ac__free(set);
}

const ac__poller_class ac__poller_poll = {
    .name   = "poll",
    .grows  = false,
    .levels = true,
    .open   = poll_open,
    .set    = poll_set,
    .forget = poll_forget,
    .wait   = poll_wait,
    .close  = poll_close,
};
