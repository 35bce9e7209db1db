/* SPDX-License-Identifier: MIT */
/*
 * Signals as events. Each loop that watches signals has a slot in a list of the process. The handler
 * goes through the list, marks the signal in the slots that watch it, and wakes their loops; it may
 * run in any thread, at any time, and takes no lock.
 *
 * Only registering and withdrawing take the lock, with all signals blocked, so that the handler never
 * runs in the thread that holds it. A slot is freed in this order: it is taken out of the list, then
 * the number of running handlers is seen to be 0. A handler counts itself before it reads the list,
 * and all of that is sequentially consistent: one that was not counted finds the slot gone.
 */
#include "loop_private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

enum { SIGNALS = 64 };

/* What one loop watches. Bit n - 1 stands for signal n. */
struct ac__sigslot {
    _Atomic(struct ac__sigslot *) next;
    ac_loop                      *loop;
    _Atomic uint64_t              watched, pending;
    ac_signal                     list; /* the head of the watchers */
};

static _Atomic(struct ac__sigslot *) slots;
static atomic_int                    handlers; /* under way */

/* These are the lock's. */
static pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned         users[SIGNALS + 1]; /* slots that watch it */
static struct sigaction before[SIGNALS + 1];
static bool             fork_known;

static uint64_t bit(int signo)
{
    return UINT64_C(1) << (signo - 1);
}

static void enter(sigset_t *mask)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, mask);
    pthread_mutex_lock(&lock);
}

static void leave(const sigset_t *mask)
{
    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, mask, NULL);
}

static void handler(int signo)
{
    int saved = errno;

    atomic_fetch_add(&handlers, 1);
    for (struct ac__sigslot *s = atomic_load(&slots); s != NULL; s = atomic_load(&s->next)) {
        if (!(atomic_load(&s->watched) & bit(signo)))
            continue;
        atomic_fetch_or(&s->pending, bit(signo));
        ac_wake(s->loop);
    }
    atomic_fetch_sub(&handlers, 1);
    errno = saved;
}

/* --- fork ----------------------------------------------------------------------------------- */

static sigset_t fork_mask;

static void fork_prepare(void)
{
    sigset_t mask;

    enter(&mask);
    fork_mask = mask;
}

static void fork_parent(void)
{
    sigset_t mask = fork_mask;

    leave(&mask);
}

/* Handlers of other threads do not exist here, and what came so far came to the parent. */
static void fork_child(void)
{
    sigset_t mask = fork_mask;

    atomic_store(&handlers, 0);
    for (struct ac__sigslot *s = atomic_load(&slots); s != NULL; s = atomic_load(&s->next))
        atomic_store(&s->pending, 0);
    leave(&mask);
}

/* --- the process's side, under the lock --------------------------------------------------------- */

static struct ac__sigslot *slot_new(ac_loop *loop)
{
    struct ac__sigslot *slot;

    if (!fork_known && pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
        return NULL;
    fork_known = true;
    slot       = ac__calloc(sizeof *slot);
    if (slot == NULL)
        return NULL;
    slot->loop       = loop;
    slot->list.prev_ = slot->list.next_ = &slot->list;
    atomic_store(&slot->next, atomic_load(&slots));
    atomic_store(&slots, slot);
    return slot;
}

static void slot_withdraw(struct ac__sigslot *slot)
{
    struct ac__sigslot *prev = atomic_load(&slots);

    if (prev == slot) {
        atomic_store(&slots, atomic_load(&slot->next));
    } else {
        while (atomic_load(&prev->next) != slot)
            prev = atomic_load(&prev->next);
        atomic_store(&prev->next, atomic_load(&slot->next));
    }
    while (atomic_load(&handlers) != 0)
        sched_yield();
}

/* One more slot watches `signo`: 0 or -errno. */
static int watch(struct ac__sigslot *slot, int signo)
{
    /* All signals are blocked in the handler: it is short, and slot_withdraw() waits for it. */
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    /* What came for a watcher of before is not for this one. */
    atomic_fetch_and(&slot->pending, ~bit(signo));
    atomic_fetch_or(&slot->watched, bit(signo));
    if (users[signo] == 0) {
        sigfillset(&action.sa_mask);
        if (sigaction(signo, &action, &before[signo]) < 0) {
            atomic_fetch_and(&slot->watched, ~bit(signo));
            return -errno;
        }
    }
    users[signo]++;
    return 0;
}

static void unwatch(struct ac__sigslot *slot, int signo)
{
    struct sigaction now;

    atomic_fetch_and(&slot->watched, ~bit(signo));
    if (--users[signo] > 0)
        return;
    /* Who has put another handler in our place since then is to keep it. */
    if (sigaction(signo, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO)
        && now.sa_handler == handler)
        sigaction(signo, &before[signo], NULL);
}

/* --- the loop's side ------------------------------------------------------------------------- */

static bool watched_by_another(const ac_signal *s)
{
    const ac_signal *head = &s->loop->sigslot->list;

    for (const ac_signal *other = head->next_; other != head; other = other->next_)
        if (other != s && other->signo == s->signo)
            return true;
    return false;
}

static void append(ac_signal *head, ac_signal *s)
{
    s->prev_           = head->prev_;
    s->next_           = head;
    head->prev_->next_ = s;
    head->prev_        = s;
}

static void withdraw(ac_signal *s)
{
    s->prev_->next_ = s->next_;
    s->next_->prev_ = s->prev_;
    s->prev_ = s->next_ = NULL;
}

void ac_signal_init(ac_signal *s, ac_loop *loop, void (*fire)(ac_signal *s))
{
    if (s != NULL)
        *s = (ac_signal){.fire = fire, .loop = loop};
}

int ac_signal_start(ac_signal *s, int signo)
{
    ac_loop *loop;
    sigset_t mask;
    int      rc;

    if (s == NULL || s->loop == NULL || s->fire == NULL || s->signo != 0)
        return -EINVAL;
    if (signo < 1 || signo > SIGNALS || signo == SIGKILL || signo == SIGSTOP)
        return -EINVAL;
    loop = s->loop;
    rc   = ac__loop_check(loop);
    if (rc < 0)
        return rc;
    /* The slot is gone already, and there will be no turn. */
    if (loop->freeing)
        return -EINVAL;

    enter(&mask);
    if (loop->sigslot == NULL)
        loop->sigslot = slot_new(loop);
    if (loop->sigslot == NULL) {
        rc = -ENOMEM;
    } else {
        s->signo = signo;
        s->due_  = 0;
        if (!watched_by_another(s))
            rc = watch(loop->sigslot, signo);
        if (rc == 0)
            append(&loop->sigslot->list, s);
        else
            s->signo = 0;
    }
    leave(&mask);
    return rc;
}

void ac_signal_stop(ac_signal *s)
{
    sigset_t mask;

    if (s == NULL || s->signo == 0)
        return;
    enter(&mask);
    if (!watched_by_another(s))
        unwatch(s->loop->sigslot, s->signo);
    withdraw(s);
    s->signo = 0;
    leave(&mask);
}

int ac__signals_run(ac_loop *loop)
{
    struct ac__sigslot *slot = loop->sigslot;
    ac_signal          *s;
    uint64_t            pending;
    int                 count = 0;

    if (slot == NULL || atomic_load(&slot->pending) == 0)
        return 0;
    pending = atomic_exchange(&slot->pending, 0);
    for (s = slot->list.next_; s != &slot->list; s = s->next_)
        if (pending & bit(s->signo))
            s->due_ = 1;

    /*
     * A callback may start and stop any watcher, so that no place in the list outlives it. What is
     * done goes to the end, so that the search for the next one is short.
     */
    for (s = slot->list.next_; s != &slot->list && loop->fork_gen == ac__fork_gen;) {
        if (!s->due_) {
            s = s->next_;
            continue;
        }
        s->due_ = 0;
        withdraw(s);
        append(&slot->list, s);
        loop->stats.callbacks++;
        count++;
        s->fire(s);
        s = slot->list.next_;
    }
    return count;
}

void ac__signals_end(ac_loop *loop)
{
    struct ac__sigslot *slot = loop->sigslot;
    sigset_t            mask;

    if (slot == NULL)
        return;
    while (slot->list.next_ != &slot->list)
        ac_signal_stop(slot->list.next_);
    enter(&mask);
    slot_withdraw(slot);
    leave(&mask);
    loop->sigslot = NULL;
    ac__free(slot);
}

int ac__signals_forked(ac_loop *loop)
{
    /* Handlers and slots came with the fork. Signals since then found no descriptor to write to. */
    if (loop->sigslot != NULL && atomic_load(&loop->sigslot->pending) != 0)
        atomic_store(&loop->woken, 1);
    return 0;
}
