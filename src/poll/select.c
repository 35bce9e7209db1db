/* SPDX-License-Identifier: MIT */
/*
 * The select backend. select() knows no hang-up, only "readable", so that a descriptor that is
 * watched for one is in the read set, and when it is readable, poll() tells why. (A peek with recv()
 * would tell too, but it takes a pending error away from its owner.)
 *
 * What is readable and not wanted would end each wait at once. It is told, and the descriptor then
 * leaves the read set until its interest changes: it is *hidden*. A hang-up that comes after that is
 * looked for by poll(), each LOOK nanoseconds while anything is hidden.
 */
#include "poller.h"

#include "../base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/select.h>
#include <time.h>

#define LOOK INT64_C(100000000)

/*
 * ThreadSanitizer holds signals back until a call that it knows, and does not know pselect(): a signal
 * that comes just before the wait would be held for as long as it lasts. So it waits in slices.
 */
#if defined(__SANITIZE_THREAD__)
#define SELECT sliced_select
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SELECT sliced_select
#endif
#endif
#ifdef SELECT
static int sliced_select(int top, fd_set *read, fd_set *write, fd_set *except,
                         const struct timespec *timeout, const sigset_t *mask)
{
    static const struct timespec slice = {0, 20000000}, none = {0, 0};
    fd_set                       r = *read, w = *write, e = *except;
    int64_t                      left =
        timeout == NULL ? INT64_MAX : (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_nsec;
    int n;

    for (;;) {
        struct timespec ts = {left / 1000000000, left % 1000000000};

        *read   = r;
        *write  = w;
        *except = e;
        n       = pselect(top, read, write, except, left < slice.tv_nsec ? &ts : &slice, mask);
        if (n != 0 || left <= slice.tv_nsec)
            return n;
        if (left != INT64_MAX)
            left -= slice.tv_nsec;
        if (ppoll(NULL, 0, &none, mask) < 0) /* a call that it knows */
            return -1;
    }
}
#else
#define SELECT pselect
#endif

struct set {
    fd_set   read, write, except;
    int      top;    /* one past the highest descriptor */
    int      start;  /* where the next batch begins to look */
    int      hidden; /* descriptors that `told` is not 0 of */
    int64_t  next_look;
    uint32_t gens[FD_SETSIZE]; /* these three: by descriptor */
    uint8_t  want[FD_SETSIZE]; /* 0: not here */
    uint8_t  told[FD_SETSIZE]; /* while READ is not wanted: what was told of the read side */
};

static struct set *set_of(ac__poller *p)
{
    return (struct set *)(void *)p;
}

static int select_open(ac__poller **out)
{
    struct set *set = ac__calloc(sizeof *set);

    if (set == NULL)
        return -ENOMEM;
    FD_ZERO(&set->read);
    FD_ZERO(&set->write);
    FD_ZERO(&set->except);
    *out = (ac__poller *)(void *)set;
    return 0;
}

static void put(fd_set *fds, int fd, bool in)
{
    if (in)
        FD_SET(fd, fds);
    else
        FD_CLR(fd, fds);
}

static int select_set(ac__poller *p, int fd, uint32_t gen, unsigned old, unsigned want)
{
    struct set *set = set_of(p);

    (void)old;
    if (fd < 0)
        return -EBADF;
    /* An fd_set has room for no more: a higher number would be written past its end. */
    if (fd >= FD_SETSIZE)
        return want == 0 ? 0 : -EMFILE;
    put(&set->read, fd, (want & (AC__READ | AC__RDHUP | AC__WATCH)) != 0);
    put(&set->write, fd, (want & AC__WRITE) != 0);
    put(&set->except, fd, (want & AC__PRI) != 0);
    set->hidden -= set->told[fd] != 0;
    set->told[fd] = 0;
    set->gens[fd] = gen;
    set->want[fd] = (uint8_t)want;
    if (want != 0 && fd >= set->top)
        set->top = fd + 1;
    while (set->top > 0 && set->want[set->top - 1] == 0)
        set->top--;
    return 0;
}

static void select_forget(ac__poller *p, int fd, unsigned old, bool shared)
{
    (void)shared;
    select_set(p, fd, 0, old, 0);
}

/* What is new on the read side of a descriptor that READ is not wanted of. It is hidden then. */
static unsigned look(struct set *set, int fd)
{
    struct pollfd one  = {.fd = fd, .events = POLLIN | POLLRDHUP};
    unsigned      bits = 0, fresh;

    if (poll(&one, 1, 0) <= 0)
        return 0;
    if (one.revents & (POLLHUP | POLLERR | POLLNVAL))
        bits |= AC__HUP;
    if (one.revents & POLLRDHUP)
        bits |= AC__RDHUP;
    if (one.revents & POLLIN)
        bits |= AC__READ;
    fresh = bits & ~(unsigned)set->told[fd];
    set->hidden += set->told[fd] == 0 && bits != 0;
    set->told[fd] = (uint8_t)(set->told[fd] | bits);
    if (bits != 0)
        FD_CLR(fd, &set->read);
    return fresh;
}

static int look_at_hidden(struct set *set, ac__event *out, int max)
{
    int found = 0;

    for (int fd = 0; fd < set->top && found < max; fd++) {
        unsigned bits = set->told[fd] != 0 ? look(set, fd) : 0;

        if (bits != 0)
            out[found++] = (ac__event){bits, fd, set->gens[fd]};
    }
    return found;
}

/* A descriptor was closed behind the loop's back: its owner finds out by using it. */
static int find_closed(const struct set *set, ac__event *out, int max)
{
    int found = 0;

    for (int fd = 0; fd < set->top && found < max; fd++)
        if (set->want[fd] != 0 && fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            out[found++] = (ac__event){AC__HUP | AC__READ | AC__WRITE, fd, set->gens[fd]};
    return found;
}

/* What select() said of one descriptor; `ready` counts its answers down. */
static unsigned bits_of(struct set *set, int fd, const fd_set *const said[3], int *ready)
{
    unsigned bits = 0;

    if (FD_ISSET(fd, said[0])) {
        bits |= set->want[fd] & AC__READ ? (unsigned)AC__READ : look(set, fd);
        --*ready;
    }
    if (FD_ISSET(fd, said[1])) {
        bits |= AC__WRITE;
        --*ready;
    }
    if (FD_ISSET(fd, said[2])) {
        bits |= AC__PRI;
        --*ready;
    }
    return bits;
}

static int wait_once(struct set *set, int64_t timeout, ac__event *out, int max)
{
    fd_set              read = set->read, write = set->write, except = set->except;
    const fd_set *const said[3] = {&read, &write, &except};
    struct timespec     ts      = {0, 0};
    int                 found   = 0, ready;
    int                 fd      = set->start < set->top ? set->start : 0;

    if (timeout > 0)
        ts = (struct timespec){(time_t)(timeout / 1000000000), (long)(timeout % 1000000000)};
    ready = SELECT(set->top, &read, &write, &except, timeout == INT64_MAX ? NULL : &ts, NULL);
    if (ready < 0)
        return errno == EBADF ? find_closed(set, out, max) : -errno;
    for (int seen = 0, top = set->top; seen < top && ready > 0 && found < max; seen++) {
        unsigned bits = bits_of(set, fd, said, &ready);

        if (bits != 0)
            out[found++] = (ac__event){bits, fd, set->gens[fd]};
        fd = fd + 1 < top ? fd + 1 : 0;
    }
    /* A full batch leaves the rest for the next one, which goes on where this one stopped. */
    set->start = fd;
    return found;
}

static int64_t monotonic(void)
{
    struct timespec ts = {0, 0};

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int select_wait(ac__poller *p, int64_t timeout, ac__event *out, int max)
{
    struct set *set = set_of(p);

    for (;;) {
        int64_t slice = timeout;
        int     n;

        if (set->hidden > 0) {
            int64_t now = monotonic();

            if (now >= set->next_look) {
                set->next_look = now + LOOK;
                n              = look_at_hidden(set, out, max);
                if (n > 0)
                    return n;
            }
            if (slice > set->next_look - now)
                slice = set->next_look - now;
        }
        n = wait_once(set, slice, out, max);
        if (n != 0 || slice == timeout)
            return n;
        if (timeout != INT64_MAX)
            timeout -= slice;
    }
}

static void select_close(ac__poller *p, bool forked)
{
    (void)forked;
    ac__free(p);
}

const ac__poller_class ac__poller_select = {
    .name   = "select",
    .grows  = false,
    .levels = true,
    .open   = select_open,
    .set    = select_set,
    .forget = select_forget,
    .wait   = select_wait,
    .close  = select_close,
};
