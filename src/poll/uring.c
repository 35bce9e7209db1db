/* SPDX-License-Identifier: MIT */
/*
 * The io_uring backend: a multishot poll for each descriptor. Such a poll reports edges, and what the
 * loop knows to be ready is not reported again, so interest need only grow. Changes are requests in
 * the submission queue; they reach the kernel with the wait, by the same system call.
 *
 * A poll under way holds its file: the close of a descriptor ends neither the poll nor, for the peer,
 * the connection, until the kernel has cancelled the poll. That is done in the next wait, or by `flush`.
 *
 * Each poll has a serial number of its own, and completions carry (descriptor, serial): what is still
 * told of a poll that was cancelled is known by it and dropped. Each poll has one completion that is
 * its last (without IORING_CQE_F_MORE); where the poll is still wanted, it is asked for again.
 *
 * What a poll of the ring does not tell. Its completion repeats what the waker said, without asking the
 * file again. So each arrival at a socket claims urgent data; that is dropped, and a while later one
 * poll() asks for the truth, since a reader must know where urgent data made a read stop short. A
 * terminal claims room for each write, also for one that found none. And a waker that speaks of nothing
 * but an error or urgent data is not heard. Where that matters (AC__EXACT, AC__PRI) a descriptor is
 * watched by an epoll set, and that by the ring.
 *
 * Invariants: entries[fd].serial is that of the one poll of fd that is wanted, 0 if there is none.
 * `owed` counts the cancelled polls whose last completion has not been seen.
 */
#include "poller.h"

#include "../base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * ThreadSanitizer holds signals back until a call that it knows. It knows none of io_uring's, so with
 * it the wait is a ppoll() for the ring.
 */
#if defined(__SANITIZE_THREAD__)
#define KNOWN_CALLS_ONLY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KNOWN_CALLS_ONLY 1
#endif
#endif

enum {
    REQUESTS    = 256,  /* a burst of more is submitted in pieces */
    COMPLETIONS = 4096, /* those that do not fit wait in the kernel */
    NEEDED      = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP
};

/* The completion of a cancellation: nobody's. */
#define NOBODY ((uint64_t)UINT32_MAX)

/* That of the timeout after which doubts are looked at. */
#define TIMER ((uint64_t)UINT32_MAX - 1)

/* How many are looked at then. */
enum { DOUBTS = 256 };

struct entry {
    uint32_t gen;
    uint32_t serial;
    uint32_t events; /* what is asked for, as poll() has it */
    uint32_t at;     /* the place of the request in the submission queue */
    int32_t  next;   /* in the list of doubts; -1: the last */
    bool     listed;
    bool     inner; /* watched by the inner set, and not by a poll */
    uint32_t batch; /* in which it was told last, and its place there */
    int32_t  place;
    uint8_t  finals; /* polls that ended with their first completion, one after the other */
};

struct set {
    struct io_uring ring;
    struct entry   *entries; /* by descriptor */
    size_t          nentries;
    uint32_t        serial; /* the latest that was given */
    uint32_t        batch;
    uint32_t        owed;
    bool            broken; /* the kernel may know less or more than `entries` */
    bool            shared; /* with whoever waits for the ring's descriptor */
    unsigned        moves;  /* from one thread to another */
    bool            inner_ready;
    int             inner_fd;
    ac__poller     *inner;
    uint32_t        inside;             /* how many it watches */
    int32_t         doubts, last_doubt; /* -1: none */
    bool            timer;              /* the timeout is under way */
    bool            due;                /* it is over */
};

static struct set *set_of(ac__poller *p)
{
    return (struct set *)(void *)p;
}

/* --- the ring ------------------------------------------------------------------------------------ */

/*
 * Makes a ring with the best that the kernel takes: completions are worked out in the wait, some twenty
 * at a time (6.1); or on the way out of the system calls that are made anyway, and not by an interrupt
 * (5.19), which costs more for each of them; or at once, by an interrupt.
 */
static int ring_open(struct set *set, struct io_uring *ring)
{
    static const unsigned modes[] = {
        /* For the thread that made it alone; wakes nobody but its wait. */
        IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_TASKRUN_FLAG
            | IORING_SETUP_SUBMIT_ALL,
        /* Done by the thread that asked for the poll, which may be busy while another waits. */
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_SUBMIT_ALL,
        0,
    };
    size_t first = set->moves > 1 ? 2 : set->shared;
    int    rc    = -EINVAL;

    for (size_t i = first; i < sizeof modes / sizeof modes[0] && rc == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags      = modes[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = COMPLETIONS,
        };

        rc = io_uring_queue_init_params(REQUESTS, ring, &params);
    }
    if (rc == 0 && (ring->features & NEEDED) != NEEDED) {
        io_uring_queue_exit(ring);
        rc = -ENOSYS;
    }
    return rc == -ENOMEM ? -ENOBUFS : rc; /* of locked memory: not ours to be out of */
}

static unsigned queued(const struct set *set)
{
    return set->ring.sq.sqe_tail - IO_URING_READ_ONCE(*set->ring.sq.khead);
}

/* Shows the kernel the requests that were made since the last call: how many it is to take. */
static unsigned show(struct set *set)
{
    struct io_uring_sq *sq = &set->ring.sq;

    for (; sq->sqe_head != sq->sqe_tail; sq->sqe_head++)
        sq->array[sq->sqe_head & *sq->kring_mask] = sq->sqe_head & *sq->kring_mask;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    return queued(set);
}

/*
 * Submits what is queued, and waits for `least` completions, at most `timeout`. 0 or -errno; 0 also
 * where the time was over. -EEXIST: the ring is another thread's, and the set is broken for this one.
 */
static int enter(struct set *set, unsigned least, int64_t timeout)
{
    struct __kernel_timespec      ts  = {timeout / 1000000000, timeout % 1000000000};
    struct io_uring_getevents_arg arg = {0};
    int                           rc;

    if (timeout != INT64_MAX)
        arg.ts = (uint64_t)(uintptr_t)&ts;
    rc = io_uring_enter2((unsigned)set->ring.ring_fd, show(set), least,
                         IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, (void *)&arg, sizeof arg);
    if (rc > 0 && least > 0 && timeout == INT64_MAX && io_uring_cq_ready(&set->ring) == 0)
        return -EINTR; /* what was submitted hides it */
    if (rc == -EEXIST) {
        set->moves += !set->broken;
        set->broken = true;
    }
    return rc < 0 && rc != -ETIME ? rc : 0;
}

/*
 * Whether the kernel may have something that only a call brings into the completion queue. It may have
 * done that meanwhile: then a call changes nothing.
 */
static bool held_back(const struct set *set)
{
    return (IO_URING_READ_ONCE(*set->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
           != 0;
}

/* --- requests ------------------------------------------------------------------------------------ */

static uint64_t tag_of(int fd, uint32_t serial)
{
    return (uint64_t)serial << 32 | (uint32_t)fd;
}

/* Room for a request, which is made by submitting if need be; NULL: the kernel takes none. */
static struct io_uring_sqe *request(struct set *set)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&set->ring);

    if (sqe == NULL && !set->broken) {
        (void)enter(set, 0, 0);
        sqe = io_uring_get_sqe(&set->ring);
    }
    return sqe;
}

/* Asks for a poll, or has the ring that will be made in place of this one ask for it: 0 or -ENOMEM. */
static int arm(struct set *set, int fd, struct entry *e)
{
    struct io_uring_sqe *sqe = request(set);

    if (sqe == NULL && !set->broken)
        return -ENOMEM;
    if (++set->serial == 0)
        set->serial = 1;
    e->serial = set->serial;
    if (sqe == NULL)
        return 0;
    e->at = set->ring.sq.sqe_tail - 1;
    io_uring_prep_poll_multishot(sqe, fd, e->events);
    io_uring_sqe_set_data64(sqe, tag_of(fd, e->serial));
    return 0;
}

/* The request for a poll that the kernel has not been shown, or NULL. */
static struct io_uring_sqe *unsubmitted(const struct set *set, int fd, const struct entry *e)
{
    const struct io_uring_sq *sq = &set->ring.sq;
    struct io_uring_sqe      *sqe;

    if (sq->sqe_tail - e->at - 1 >= queued(set))
        return NULL;
    sqe = &sq->sqes[e->at & *sq->kring_mask];
    return sqe->user_data == tag_of(fd, e->serial) ? sqe : NULL;
}

/* Ends a poll. What was not submitted becomes a request for nothing: its number may change hands. */
static void disarm(struct set *set, int fd, struct entry *e)
{
    uint64_t             tag = tag_of(fd, e->serial);
    struct io_uring_sqe *sqe;

    if (e->serial == 0)
        return;
    sqe       = unsubmitted(set, fd, e);
    e->serial = 0;
    if (sqe != NULL) {
        io_uring_prep_nop(sqe);
    } else {
        sqe = request(set);
        if (sqe == NULL) {
            set->broken = true;
            return;
        }
        /* Not POLL_REMOVE, which fails where the poll has something to tell just now. */
        io_uring_prep_cancel64(sqe, tag, 0);
        set->owed++;
    }
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, NOBODY);
}

static void arm_again(struct set *set, int fd, struct entry *e)
{
    if (arm(set, fd, e) < 0)
        set->broken = true; /* keeps its serial, and so is remembered */
}

/* A new ring under the number of the old one, with all polls that are wanted: 0 or -errno. */
static int mend(struct set *set)
{
    struct io_uring old = set->ring;
    int             rc  = ring_open(set, &set->ring);
    int             made;

    if (rc < 0) {
        set->ring = old;
        return rc;
    }
    made = set->ring.ring_fd;
    if (dup3(made, old.ring_fd, O_CLOEXEC) < 0) {
        rc = -errno;
        io_uring_queue_exit(&set->ring);
        set->ring = old;
        return rc;
    }
    set->ring.ring_fd = set->ring.enter_ring_fd = old.ring_fd;
    old.ring_fd = old.enter_ring_fd = made;
    io_uring_queue_exit(&old);
    set->owed        = 0;
    set->broken      = false;
    set->timer       = false;
    set->due         = set->doubts >= 0;
    set->inner_ready = true;
    for (size_t fd = 0; fd < set->nentries; fd++)
        if (set->entries[fd].serial != 0)
            arm_again(set, (int)fd, &set->entries[fd]);
    return 0;
}

/* --- the table ----------------------------------------------------------------------------------- */

/* Makes room for a descriptor in the table: 0 or -ENOMEM. */
static int reach(struct set *set, int fd)
{
    return ac__grow(&set->entries, &set->nentries, (size_t)fd + 1, sizeof *set->entries);
}

/*
 * Submits what is queued, and has the kernel end the polls that were cancelled, behind all else that it
 * has to do for the ring: some twenty a call, each with a completion. 0 or -errno.
 */
static int submit(struct set *set)
{
    int rc = queued(set) > 0 ? enter(set, 0, 0) : 0;

    for (size_t idle = 0; rc == 0 && set->owed > 0 && held_back(set);) {
        unsigned before = io_uring_cq_ready(&set->ring);
        /* A full queue does not show what a call has done; each poll has one thing to tell at a time. */
        size_t full = before < set->ring.cq.ring_entries ? 0 : (set->nentries + set->owed) / 16;

        if (idle >= 2 + full)
            break;
        rc   = enter(set, 0, 0);
        idle = io_uring_cq_ready(&set->ring) > before ? 0 : idle + 1;
    }
    return rc;
}

static void uring_flush(ac__poller *p)
{
    struct set *set = set_of(p);

    /* The last batch had no room for all that the set inside has: a foreign loop is to be told again. */
    if (set->inner_ready) {
        disarm(set, set->inner_fd, &set->entries[set->inner_fd]);
        arm_again(set, set->inner_fd, &set->entries[set->inner_fd]);
    }
    if (submit(set) == -EEXIST)
        (void)mend(set);
}

static void uring_close(ac__poller *p, bool forked)
{
    struct set *set = set_of(p);

    /* The ring's memory is shared with the parent, whose requests these are. */
    if (!forked)
        (void)submit(set);
    if (set->inner != NULL)
        ac__poller_epoll.close(set->inner, forked);
    io_uring_queue_exit(&set->ring);
    ac__free(set->entries);
    ac__free(set);
}

/* The set inside, and the ring's watch over it. */
static int inner_open(struct set *set)
{
    int rc = ac__poller_epoll.open(&set->inner);

    if (rc < 0)
        return rc;
    set->inner_fd = ac__poller_epoll.fileno(set->inner);
    rc            = reach(set, set->inner_fd);
    if (rc < 0)
        return rc;
    set->entries[set->inner_fd].events = POLLIN;
    return arm(set, set->inner_fd, &set->entries[set->inner_fd]);
}

static int uring_open(ac__poller **out)
{
    struct set *set = ac__calloc(sizeof *set);
    int         rc;

    if (set == NULL)
        return -ENOMEM;
#ifdef KNOWN_CALLS_ONLY
    set->shared = true; /* by the ppoll() of wait_once() */
#endif
    rc = ring_open(set, &set->ring);
    if (rc < 0) {
        ac__free(set);
        return rc;
    }
    set->doubts = set->last_doubt = -1;
    rc                            = inner_open(set);
    if (rc < 0) {
        uring_close((ac__poller *)(void *)set, false);
        return rc;
    }
    *out = (ac__poller *)(void *)set;
    return 0;
}

static int inner_set(struct set *set, int fd, uint32_t gen, unsigned want)
{
    struct entry *e  = &set->entries[fd];
    int           rc = ac__poller_epoll.set(set->inner, fd, gen, e->inner, want);

    if (rc == 0) {
        set->inside += !e->inner;
        e->inner = true;
    }
    return rc;
}

static void drop(struct set *set, int fd)
{
    struct entry *e = &set->entries[fd];

    disarm(set, fd, e);
    if (!e->inner)
        return;
    ac__poller_epoll.forget(set->inner, fd, 1, true);
    e->inner = false;
    set->inside--;
}

static int uring_set(ac__poller *p, int fd, uint32_t gen, unsigned old, unsigned want)
{
    struct set   *set    = set_of(p);
    uint32_t      events = 0;
    struct entry *e;

    (void)old;
    if (fd < 0)
        return -EBADF;
    if (reach(set, fd) < 0)
        return -ENOMEM;
    e = &set->entries[fd];
    if (want == 0) {
        drop(set, fd);
        return 0;
    }
    disarm(set, fd, e);
    if (e->inner || (want & (AC__PRI | AC__EXACT)) != 0)
        return inner_set(set, fd, gen, want);
    /* A hang-up comes without being asked for. */
    if (want & (AC__READ | AC__RDHUP))
        events |= POLLRDHUP;
    if (want & AC__READ)
        events |= POLLIN | POLLPRI;
    if (want & AC__WRITE)
        events |= POLLOUT;
    e->gen    = gen;
    e->events = events;
    e->finals = 0;
    return arm(set, fd, e);
}

static void uring_forget(ac__poller *p, int fd, unsigned old, bool shared)
{
    struct set *set = set_of(p);

    (void)old;
    (void)shared;
    if (fd >= 0 && (size_t)fd < set->nentries)
        drop(set, fd);
}

static int64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* --- doubts: does urgent data wait, as the waker said? -------------------------------------------- */

static void start_timer(struct set *set)
{
    static struct __kernel_timespec a_while = {0, 5000000};
    struct io_uring_sqe            *sqe     = request(set);

    set->due = sqe == NULL;
    if (sqe == NULL)
        return;
    set->timer = true;
    io_uring_prep_timeout(sqe, &a_while, 0, 0);
    io_uring_sqe_set_data64(sqe, TIMER);
}

static void doubt(struct set *set, int fd, struct entry *e)
{
    if (e->listed)
        return;
    e->listed = true;
    e->next   = -1;
    if (set->doubts < 0)
        set->doubts = fd;
    else
        set->entries[set->last_doubt].next = fd;
    set->last_doubt = fd;
    if (!set->timer && !set->due)
        start_timer(set);
}

/* Looks at those that are due: at most `max` events. */
static int clear_doubts(struct set *set, ac__event *out, int max)
{
    struct pollfd fds[DOUBTS];
    nfds_t        count = 0;
    int           n     = 0;

    while (set->doubts >= 0 && count < DOUBTS && count < (nfds_t)max) {
        int           fd = set->doubts;
        struct entry *e  = &set->entries[fd];

        set->doubts = e->next;
        e->listed   = false;
        if (e->serial != 0)
            fds[count++] = (struct pollfd){.fd = fd, .events = POLLPRI};
    }
    set->due = false;
    if (set->doubts >= 0)
        start_timer(set);
    if (count == 0 || poll(fds, count, 0) <= 0)
        return 0;
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].revents & POLLPRI)
            out[n++] = (ac__event){AC__READ | AC__PRI, fds[i].fd, set->entries[fds[i].fd].gen};
    return n;
}

/* --- completions ---------------------------------------------------------------------------------- */

/* What is told of a completion. */
static unsigned bits_of(struct set *set, int fd, struct entry *e, uint32_t told)
{
    unsigned bits = told & POLLIN ? AC__READ : 0;

    if (told == (POLLIN | POLLPRI)) {
        doubt(set, fd, e);
    } else if (told != POLLIN) {
        if (told & POLLOUT)
            bits |= AC__WRITE;
        if (told & POLLRDHUP)
            bits |= AC__RDHUP;
        if (told & (POLLHUP | POLLERR))
            bits |= AC__HUP;
        if (told & POLLPRI)
            doubt(set, fd, e);
    }
    return bits;
}

/*
 * Whether polls of this file end as soon as they begin, since nobody ever has to wait for it. Of a
 * device it takes three in a row to tell, since a full completion queue ends polls too.
 */
static bool never_waits(int fd, struct entry *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return false;
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
        return ++e->finals == 3;
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
}

/* The last completion of a poll that is still wanted: what its owner is to be told. */
static unsigned ended(struct set *set, int fd, struct entry *e, int res)
{
    if (res > 0) {
        unsigned bits = bits_of(set, fd, e, (uint32_t)res);

        if (!never_waits(fd, e))
            arm_again(set, fd, e); /* the completion queue was full */
        else
            e->serial = 0;
        return bits;
    }
    if (res == 0 || res == -ENOMEM || res == -EAGAIN || res == -ECANCELED) {
        arm_again(set, fd, e);
        return 0;
    }
    e->serial = 0;
    /* Closed behind the loop's back: its owner finds out by using it. Or never to be waited for. */
    return res == -EBADF ? AC__READ | AC__WRITE | AC__HUP : AC__READ | AC__WRITE;
}

/* Takes completions: at most `max` events. `*other`: there were such as are no events. */
static int collect(struct set *set, ac__event *out, int max, bool *other)
{
    const struct io_uring_cqe *cqe;
    unsigned                   head, seen = 0;
    int                        n = 0;

    if (++set->batch == 0)
        set->batch = 1;
    io_uring_for_each_cqe(&set->ring, head, cqe)
    {
        uint32_t      fd     = (uint32_t)(cqe->user_data & UINT32_MAX);
        uint32_t      serial = (uint32_t)(cqe->user_data >> 32);
        struct entry *e      = fd < set->nentries ? &set->entries[fd] : NULL;
        bool          more   = (cqe->flags & IORING_CQE_F_MORE) != 0;
        unsigned      bits;

        if (n == max)
            break;
        seen++;
        if (serial == 0 || e == NULL || e->serial != serial) {
            if (serial != 0 && !more)
                set->owed--;
            if (cqe->user_data == TIMER) {
                set->timer = false;
                set->due   = true;
            }
            *other = true;
            continue;
        }
        if (more && cqe->res > 0) {
            bits      = bits_of(set, (int)fd, e, (uint32_t)cqe->res);
            e->finals = 0;
        } else {
            bits = ended(set, (int)fd, e, cqe->res);
        }
        if (bits == 0)
            *other = true;
        else if ((int)fd == set->inner_fd)
            set->inner_ready = true;
        else if (e->batch == set->batch)
            out[e->place].bits |= bits;
        else {
            e->batch = set->batch;
            e->place = n;
            out[n++] = (ac__event){bits, (int)fd, e->gen};
        }
    }
    io_uring_cq_advance(&set->ring, seen);
    return n;
}

/* The same from the set inside. */
static int collect_inner(struct set *set, ac__event *out, int max, bool *other)
{
    int n;

    if (!set->inner_ready || max == 0)
        return 0;
    n = ac__poller_epoll.wait(set->inner, 0, out, max);
    if (n < max)
        set->inner_ready = false;
    if (n <= 0)
        *other = true;
    for (int i = 0; i < n; i++)
        out[i].bits = ac__poller_epoll.bits(out[i].bits);
    return n > 0 ? n : 0;
}

static int take(struct set *set, ac__event *out, int max, bool *other)
{
    int n = collect(set, out, max, other);

    n += collect_inner(set, out + n, max - n, other);
    if (set->due && n < max)
        n += clear_doubts(set, out + n, max - n);
    return n;
}

/* One call: submits, and waits at most `timeout` for something to come. */
static int wait_once(struct set *set, int64_t timeout)
{
#ifdef KNOWN_CALLS_ONLY
    struct pollfd   pfd = {.fd = set->ring.ring_fd, .events = POLLIN};
    struct timespec ts  = {(time_t)(timeout / 1000000000), (long)(timeout % 1000000000)};
    int             rc  = enter(set, 0, 0);

    if (rc < 0 || timeout == 0 || io_uring_cq_ready(&set->ring) != 0)
        return rc;
    if (ppoll(&pfd, 1, timeout == INT64_MAX ? NULL : &ts, NULL) < 0)
        return -errno;
    return enter(set, 0, 0);
#else
    return enter(set, timeout > 0, timeout);
#endif
}

/*
 * Waits, and goes on where only such came as are no events. `n`: events that there are already.
 */
static int wait_on(struct set *set, int64_t timeout, ac__event *out, int max, int n)
{
    int64_t end = INT64_MAX;
    int     rc;

    if (timeout > 0 && timeout != INT64_MAX && (set->owed > 0 || set->timer || set->inside > 0)) {
        int64_t begin = now();

        end = timeout < INT64_MAX - begin ? begin + timeout : INT64_MAX;
    }
    for (;;) {
        bool other = false;

        rc = wait_once(set, timeout);
        if (rc == -EBADR || rc == -EEXIST) {
            rc = mend(set); /* completions are lost, or the loop has moved to this thread */
            if (rc < 0)
                return n > 0 ? n : rc;
            continue;
        }
        n += take(set, out + n, max - n, &other);
        while (rc == 0 && n < max && held_back(set)) { /* some twenty a call */
            rc = enter(set, 0, 0);
            if (io_uring_cq_ready(&set->ring) == 0)
                break;
            n += take(set, out + n, max - n, &other);
        }
        if (n > 0 || timeout == 0 || rc < 0 || !other)
            break;
        if (end != INT64_MAX) {
            timeout = end - now();
            if (timeout <= 0)
                break;
        }
    }
    return n > 0 || rc == -EAGAIN || rc == -EBUSY ? n : rc;
}

static int uring_wait(ac__poller *p, int64_t timeout, ac__event *out, int max)
{
    struct set *set   = set_of(p);
    bool        other = false;
    int         n, rc;

    if (set->broken && (rc = mend(set)) < 0)
        return rc;
    n = take(set, out, max, &other);
    if (n > 0 || timeout < 0)
        timeout = 0;
    /* What is there is in memory: nothing is asked of the kernel that has nothing to say. */
    if (timeout == 0 && queued(set) == 0 && (n == max || !held_back(set)))
        return n;
    return wait_on(set, timeout, out, max, n);
}

/* Of a ring that is given up: a child that was forked may hold on to it, and its polls to their files. */
static void cancel_all(struct set *set)
{
    struct io_uring_sqe *sqe = request(set);

    if (sqe == NULL)
        return;
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(sqe, NOBODY);
    set->owed++;
    (void)submit(set);
}

static int uring_fileno(ac__poller *p)
{
    struct set *set = set_of(p);

    if (!set->shared) {
        int rc;

        set->shared = true;
        cancel_all(set);
        rc = mend(set);
        if (rc < 0) {
            set->shared = false;
            return rc;
        }
        (void)submit(set);
    }
    return set->ring.ring_fd;
}

const ac__poller_class ac__poller_io_uring = {
    .name    = "io_uring",
    .grows   = true,
    .instead = &ac__poller_epoll,
    .open    = uring_open,
    .set     = uring_set,
    .forget  = uring_forget,
    .flush   = uring_flush,
    .wait    = uring_wait,
    .fileno  = uring_fileno,
    .close   = uring_close,
};
