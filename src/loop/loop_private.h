/* SPDX-License-Identifier: MIT */
/*
 * The inside of a loop, and what the layers above use of it.
 *
 * Three structures:
 *
 *   watch[fd]   which source owns a descriptor number, and the generation of that ownership.
 *   work        sources to look at before the next wait: what they want may have changed, or they
 *               are ready and wanted and so are served without waiting. A source is in this list
 *               only while it has something to do, so that a turn costs what is active.
 *   reap        sources closed in this turn; their last call comes at its end.
 *
 * Invariants: watch[s->fd].source == s for every source with fd >= 0; a number without a source has a
 * gen that no source had. A source is in `work` or `reap` by the same link,
 * never in both.
 */
#ifndef AC__LOOP_PRIVATE_H
#define AC__LOOP_PRIVATE_H

#include "asyncore/loop.h"
#include "asyncore/post.h"
#include "asyncore/signal.h"
#include "asyncore/timer.h"

#include "../base/alloc.h"
#include "../base/list.h"
#include "../base/sys.h"
#include "../poll/poller.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct ac__source_ ac__source;

/* What a kind of source does. */
typedef struct ac__source_ops {
    /*
     * Brings `want` up to date: what it wants to be served for (AC__READ to AC__PRI), AC__WATCH, AC__LEVEL,
     * AC__EXACT.
     * Called before the wait for each source in `work`. May ask predicates; calls nothing else of the user's.
     */
    void (*update)(ac_loop *loop, ac__source *s);
    /*
     * Something of `ready` is wanted (`due`: what of it), or a call was owed (AC__CALL, which is
     * cleared before): calls what is to be called. May close anything.
     */
    void (*serve)(ac_loop *loop, ac__source *s, unsigned due);
    /* The last call of a source given to ac__source_reap(). */
    void (*reap)(ac_loop *loop, ac__source *s);
    /* The loop is being freed: close it. */
    void (*end)(ac_loop *loop, ac__source *s);
    /*
     * No short cut may be taken for the rest of the callback of this source: the process is a child,
     * forked in it (then in a handler of pthread_atfork()), or a turn runs inside it. May be NULL.
     */
    void (*lengthen)(ac__source *s);
    /*
     * Serves the events from `e` on, which is one of a source of this kind, up to loop->batch_end, which
     * changes, as far as they are plain AC__READ for sources of this kind in their common case; returns the
     * first that is not. For the speed alone: none need be served. May be NULL.
     */
    const ac__event *(*run)(ac_loop *loop, const ac__event *e);
    /* The process is a child: the source was watched anew. May be NULL. */
    void (*forked)(ac_loop *loop, ac__source *s);
    /* The poller refused the source with `err`. NULL: it is tried again, a little later. */
    void (*refused)(ac_loop *loop, ac__source *s, int err);
} ac__source_ops;

typedef struct ac__watch {
    ac__source *source;
    uint32_t    gen;
    uint32_t    turn; /* in which source or gen last changed */
} ac__watch;

/* Timers, see timer.c. Level 10 has but three bits of a deadline left. */
enum { AC__LEVELS = 11, AC__SLOTS = 64, AC__ALL_SLOTS = (AC__LEVELS - 1) * AC__SLOTS + 8 };

typedef struct ac__wheel {
    int64_t  next; /* no timer is due before; at times earlier than the first deadline */
    int64_t  base;
    uint64_t pass;                 /* how many passes have begun */
    ac__link due;                  /* sorted; these come before all that is in slots */
    uint32_t levels;               /* a bit for each level in use */
    uint64_t used[AC__LEVELS];     /* a bit for each slot in use */
    ac__link slots[AC__ALL_SLOTS]; /* level by level */
} ac__wheel;

enum { AC__VIEW = 64 * 1024, AC__BUDGET = 256 * 1024, AC__BATCH = 256 };

struct ac_loop {
    ac__sys                *sys;
    const ac__poller_class *pc; /* NULL: the name asked for is not known */
    ac__poller             *poller;
    ac__watch              *watch;
    size_t                  nwatch;
    const ac__event        *batch_end; /* of the events being served; NULL in a child: no more */
    ac__link                work, all, reap;
    ac__link                family;  /* all loops of the process: fork.c's */
    int64_t                 now;     /* as it was last read: see ac__now() */
    uint32_t                turn;    /* never 0 once a turn has run */
    unsigned                level;   /* turns under way: > 1 when nested */
    ac__source             *serving; /* the source that is being served now */
    bool                    verbose, debug, freeing, dead, thread_known;
    bool                    starved;  /* a source waits for the poller to have room */
    bool                    running;  /* the turn is one of ac_run() */
    bool                    skipped;  /* the last turn did without a wait */
    bool                    now_past; /* a turn has begun since the clock was read */
    bool                    full;     /* this turn's wait may not have told of all that has come */
    int                     fork_gen;
    int                     fine_gen; /* as fork_gen; -1: every verb is to check more than that */
    pthread_t               thread;   /* debug: the owner; set by the first turn */

    uint64_t alive; /* things that keep ac_run(): see ac__keep() */
    uint64_t holds;

    void *view;     /* AC__VIEW bytes, made at the first ac_read() */
    bool  view_out; /* only in debug: it was given, and is to be poisoned */

    atomic_int         stop;
    atomic_int         callers; /* threads inside ac_post(), ac_wake() and ac_stop() */
    atomic_int         woken;   /* a wake is under way or not yet seen */
    atomic_int         wake_fd; /* -1: not open */
    ac__source         wake;
    int                wake_read;
    _Atomic(ac_work *) posted;

    struct ac__sigslot *sigslot;

    struct ac__resolver *resolver; /* src/dns's */
    char                *nameservers;
    unsigned             max_lookups;

    struct ac__cork  *cork;  /* src/net's: what one conversation has pushed in this callback */
    struct ac__chunk *spare; /* src/net's: queue memory kept for the next write */
    unsigned          nspare;
    ac__link          paused; /* src/net's: listeners that wait for descriptors */

    ac_stats  stats;
    ac__wheel wheel; /* last: it is large */
};

/* How many forks led to this process. Hidden, so that it is read without a table. */
extern int ac__fork_gen __attribute__((visibility("hidden")));

/* --- sources ------------------------------------------------------------------------------ */

/* Sets up a source that has no descriptor and is in no list. */
AC__SHARED_API void ac__source_init(ac__source *s, const ac__source_ops *ops);

/* Joins `all` and leaves it. */
AC__SHARED_API void ac__source_join(ac_loop *loop, ac__source *s);
AC__SHARED_API void ac__source_leave(ac_loop *loop, ac__source *s);

/* Gives a source a descriptor: 0, or -ENOMEM or -EEXIST (it is watched already) and nothing done. */
int ac__source_bind(ac_loop *loop, ac__source *s, int fd);

/*
 * Takes the descriptor from a source, out of the watch table and out of the poller, and returns it;
 * it is not closed. `shared`: see the poller's `forget`.
 */
int ac__source_unbind(ac_loop *loop, ac__source *s, bool shared);

/*
 * Sees to it that what was unbound is out of the kernel's hands before it is closed: at once where no
 * turn is under way whose wait or end would do it, and where somebody waits for it (`now`: a port).
 */
static inline void ac__source_flush(ac_loop *loop, bool now)
{
    if (loop->pc != NULL && loop->pc->flush != NULL && loop->poller != NULL
        && (now || loop->level == 0) && loop->fork_gen == ac__fork_gen)
        loop->pc->flush(loop->poller);
}

/* Moves descriptor, generation and registration from one source to another that has none. */
void ac__source_move(ac_loop *loop, ac__source *to, ac__source *from);

/* The bits of `want` that a poller is told of. */
enum {
    AC__INTEREST = AC__READ | AC__WRITE | AC__RDHUP | AC__PRI | AC__LEVEL | AC__WATCH | AC__EXACT
};

/* Puts a source in `work`: it is looked at before the next wait. */
static inline void ac__source_touch(ac_loop *loop, ac__source *s)
{
    if (!ac__linked(&s->work))
        ac__list_append(&loop->work, &s->work);
}

/* What the poller is to know of a source. What is ready needs no report, but where its level is watched. */
static inline unsigned ac__interest(const ac_loop *loop, const ac__source *s)
{
    unsigned want = s->want & AC__INTEREST;

    if ((want & AC__LEVEL) != 0)
        return want;
    want &= ~(unsigned)s->ready;
    return loop->pc->grows ? (s->sent & ~(unsigned)AC__LEVEL) | want : want;
}

/* Puts a source in `work` if it is ready for what it wants, or its interest is to be sent. */
static inline void ac__source_settle(ac_loop *loop, ac__source *s)
{
    if ((s->ready & (s->want | AC__CALL)) != 0
        || (s->fd >= 0 && loop->pc != NULL && ac__interest(loop, s) != s->sent))
        ac__source_touch(loop, s);
}

/*
 * Brings `want` up to date, and the poller where it differs. 0, or -errno: the poller has no room for a
 * source that nobody can be told about; to be tried again.
 */
int ac__source_sync(ac_loop *loop, ac__source *s);

/* Owes the source a call of `serve` in the next turn (this very one, if its wait is yet to come). */
static inline void ac__source_call(ac_loop *loop, ac__source *s)
{
    s->ready |= AC__CALL;
    ac__source_touch(loop, s);
}

/* Takes a source out of `work` and gives it to the reaper. Needs no memory. */
AC__SHARED_API void ac__source_reap(ac_loop *loop, ac__source *s);

/* --- for all layers ------------------------------------------------------------------------- */

/* -EINVAL, -ECHILD, or 0: the loop can be used by this call. */
AC__SHARED_API int ac__loop_check(const ac_loop *loop);

/* The common case of that, without a call: 0 is certain. */
static inline bool ac__loop_fine(const ac_loop *loop)
{
    return loop->fine_gen == ac__fork_gen;
}

/* The time of this turn: read behind its wait where timers run, else when it is first asked for. */
static inline int64_t ac__now(ac_loop *loop)
{
    if (loop->now_past)
        ac_loop_update(loop);
    return loop->now;
}

/* The view of ac_read() has ended: poisons it, so that in debug nobody reads it on unnoticed. */
void ac__view_end(ac_loop *loop);

/* Opens poller and wake descriptor if they are not yet: 0 or -errno. */
int ac__loop_open(ac_loop *loop);

/* One more thing, or one fewer, keeps ac_run() going. */
static inline void ac__keep(ac_loop *loop)
{
    loop->alive++;
}
static inline void ac__unkeep(ac_loop *loop)
{
    loop->alive--;
}

/* A turn inside a callback, as Python's asyncore allows. What was closed is reaped at level 0. */
int ac__turn_nested(ac_loop *loop, int64_t timeout);

/* `now` plus `delay`, clamped. */
int64_t ac__deadline(ac_loop *loop, int64_t delay);

/* Whether a fork has happened since the process began, seen from the parent; and the child's count. */
bool ac__fork_seen(void);
/* A loop is made, and freed: a fork is to reach it. */
void ac__fork_join(ac_loop *loop);
void ac__fork_leave(ac_loop *loop);

/* A loop of its own system table, for tests and simulation. */
ac_loop *ac__loop_new_sys(const ac_loop_options *options, ac__sys *sys);

/* Timers of the library's own do not keep ac_run() going. */
AC__SHARED_API void ac__timer_init(ac_timer *t, ac_loop *loop, void (*fire)(ac_timer *t));

/* Of timer.c and the others in this folder, for turn.c. */
void    ac__timers_begin(ac_loop *loop);
void    ac__timers_run(ac_loop *loop);
int64_t ac__timers_next(ac_loop *loop); /* when to run them; AC_FOREVER: there is no such time */
void    ac__timers_end(ac_loop *loop);
int     ac__posts_run(ac_loop *loop, int status);
int     ac__signals_run(ac_loop *loop);
void    ac__signals_end(ac_loop *loop);
int     ac__signals_forked(ac_loop *loop);
int     ac__wake_open(ac_loop *loop);
void    ac__callers_wait(ac_loop *loop);
void    ac__wake_close(ac_loop *loop);

/* What the layers above have on a loop and release with it; set by them, may be NULL. */
struct ac__loop_hooks {
    void (*end)(ac_loop *loop);   /* the loop is being freed */
    int (*forked)(ac_loop *loop); /* the process is a child */
    void (*check)(ac_loop *loop); /* debug: before each wait */
    /* The loop has something to say that is no channel's: a line of the log. */
    void (*say)(ac_loop *loop, const char *message);
};
extern struct ac__loop_hooks ac__resolver_hooks; /* defined by src/dns */
extern struct ac__loop_hooks ac__net_hooks;      /* defined by src/net */

#endif
