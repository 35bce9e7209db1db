/* SPDX-License-Identifier: MIT */
/*
 * The inside of a dispatcher: flags, the rare parts, and the transport that its bytes go through.
 */
#ifndef AC__CHANNEL_H
#define AC__CHANNEL_H

#include "asyncore/addr.h"
#include "asyncore/dgram.h"
#include "asyncore/dispatcher.h"
#include "asyncore/sender.h"

#include "../loop/loop_private.h"

#include <errno.h>

enum { AC__MAGIC = 0x6173, AC__MAGIC_DEAD = 0x6465 };

/* flags_ of a dispatcher. */
enum {
    AC__OPEN        = 1u << 0, /* joined the loop, and not closed */
    AC__CLOSED      = 1u << 1, /* ac_close() has been; finalize is owed or done */
    AC__EXTRAS      = 1u << 2, /* it has, or had, rare parts or times */
    AC__CONNECTING  = 1u << 3, /* from the connect verb to handle_connect */
    AC__CONNECTED   = 1u << 4, /* the connection stands */
    AC__LISTENING   = 1u << 5,
    AC__DGRAM       = 1u << 6,
    AC__FILE        = 1u << 7,  /* made by ac_file_attach() */
    AC__SHORT_OK    = 1u << 8,  /* a plain stream socket: a short read means empty */
    AC__ALWAYS      = 1u << 9,  /* a regular file: always ready, never in the poller */
    AC__PAUSED      = 1u << 10, /* by ac_pause() */
    AC__STALLED     = 1u << 11, /* by us: the handler took nothing 16 times */
    AC__ARMED       = 1u << 12, /* handle_write is wanted */
    AC__ASKS        = 1u << 13, /* the class has predicates */
    AC__NO_READ     = 1u << 14, /* `readable` said no */
    AC__NO_WRITE    = 1u << 15, /* `writable` said no */
    AC__EOF         = 1u << 16, /* a read saw the end */
    AC__EOF_TOLD    = 1u << 17,
    AC__FAILED      = 1u << 18, /* err_ is to be told */
    AC__ENDED       = 1u << 19, /* handle_close was told: no interest any more */
    AC__SHUT_WANT   = 1u << 20, /* FIN once the queue is sent */
    AC__SHUT        = 1u << 21, /* our side is shut */
    AC__GOODBYE     = 1u << 22, /* ac_close_when_sent() */
    AC__QUICK       = 1u << 23, /* a reader; the kernel's sockets, in a loop that does not debug */
    AC__SERVING     = 1u << 24, /* in the callback of a short serve, see serve.c */
    AC__LATER       = 1u << 25, /* err_ of a write is to be told, once the input has been read */
    AC__TOOK        = 1u << 26, /* this callback read, accepted, wrote, closed */
    AC__HUNG        = 1u << 27, /* a hang-up was looked into */
    AC__WROTE       = 1u << 28, /* this callback sent, wrote or shut */
    AC__TELLING     = 1u << 29, /* inside handle_error or handle_close: ac_fail() is ignored */
    AC__ACCEPT_HELD = 1u << 30  /* out of descriptors: waits in loop->paused */
};

/* The last of flags_: what was written is in loop->cork yet, see producer.c. */
#define AC__CORKED (UINT32_C(1) << 31)

/* rare_ of a dispatcher. */
enum {
    AC__RARE_UNREF   = 1,   /* does not keep ac_run() */
    AC__RARE_SHARED  = 2,   /* other descriptors may stand for the same file */
    AC__RARE_TIMES   = 4,   /* its times have the long form */
    AC__RARE_HEAP    = 8,   /* made by ac_new() */
    AC__RARE_VAIN    = 16,  /* counts callbacks whose read found nothing: the one before took all */
    AC__RARE_LEVEL   = 48,  /* all of that: the poller is to tell what a read has left */
    AC__RARE_LATE    = 64,  /* a deadline is passed, and is told if it still is behind the events */
    AC__RARE_TURN    = 128, /* from here on: turns that it was put off */
    AC__RARE_TURNS   = 64 * AC__RARE_TURN,
    AC__RARE_PUT_OFF = 0xFFFF & ~(AC__RARE_LATE - 1)
};

/* A connected stream socket, and what makes a channel anything else than just that. */
enum {
    AC__PLAIN = AC__OPEN | AC__CONNECTED | AC__SHORT_OK | AC__QUICK,
    AC__ODD   = AC__CLOSED | AC__CONNECTING | AC__LISTENING | AC__DGRAM | AC__FILE | AC__ALWAYS
              | AC__PAUSED | AC__STALLED | AC__ARMED | AC__ASKS | AC__NO_READ | AC__NO_WRITE
              | AC__EOF | AC__FAILED | AC__ENDED | AC__SHUT_WANT | AC__SHUT | AC__GOODBYE
              | AC__LATER | AC__TELLING | AC__ACCEPT_HELD
};

/* In `ready` of a channel, for the rest of a short serve: READ, as a read that filled its buffer leaves it. */
enum { AC__FULL = AC__EXACT };

typedef struct ac__chunk ac__chunk;
struct ac__chunk {
    ac__chunk *next;
    uint32_t   start, end, cap;
    char       data[];
};

/*
 * The deadlines of a channel: stamps, and one timer that moves itself. Most channels that have any
 * have AC_IDLE alone, which takes the short form: up to `written`.
 */
typedef struct ac__times {
    ac_timer timer; /* owner_: the channel */
    int64_t  idle;  /* the limit of AC_IDLE; UNSET: none */
    int64_t  read;  /* when last a byte was; of the short form: or was written */

    int64_t written;
    int64_t resumed;  /* READ: when reading went on after a pause, or the limit was set */
    int64_t since;    /* CONNECT, LINGER: when it began */
    int64_t limit[5]; /* by ac_timeout, but AC_IDLE; UNSET: none */
} ac__times;

/* The rare parts of a channel, made when first needed. */
typedef struct ac__ext {
    ac__chunk            *first, *last; /* the send queue */
    size_t                queued;
    uint32_t              low, high, limit; /* its marks */
    bool                  reuseport;
    bool                  lingers; /* our side is shut, and AC_LINGER runs */
    bool                  above;   /* has reached high since the last handle_drain */
    bool                  drain;   /* handle_drain is owed */
    int16_t               oob;     /* the out-of-band byte, or -1 */
    bool                  held;    /* no room for a datagram, and nothing will tell when there is */
    bool                  at_mark; /* a read may stop there, short of the end of the data */
    uint16_t              port;    /* of the connect verb, for the log */
    uint32_t              goodbye; /* bytes dropped since ac_close_when_sent() */
    int64_t               named_at;  /* when a connect by name knew its first address; 0: not */
    struct ac__connector *connector; /* src/dns's: a connect by name under way */
    ac_addr              *others;    /* UDP: addresses not tried yet */
    size_t                nothers, other;
    char                 *place; /* where the error was raised: a literal, or `text` */
    int                   line;
    char                 *text; /* owned: the operation and its address, as "connect to [::1]:37" */
    ac_dispatcher        *owner;   /* of accept_timer and paused */
    int64_t               backoff; /* listener: the next pause */
    ac_timer              accept_timer;
    ac__link              paused;
    int  restore; /* file: O_NONBLOCK was set at this count of forks; -1: not by us */
    bool exact;   /* file: neither a pipe nor a socket */
    /* ac_chat's: asked to fill the queue when it has room. True while it has more to give. */
    bool (*refill)(ac_dispatcher *d);
    bool refilling;                   /* refill said that it has more */
    void (*closed)(ac_dispatcher *d); /* runs before finalize */
} ac__ext;

/*
 * What the bytes of a channel go through: a plain socket, a file, later TLS. `read` and `write` have
 * the results of the system table. The first member makes it the operations of the source.
 */
typedef struct ac__transport {
    ac__source_ops source;
    const char    *name;
    ssize_t (*read)(ac_dispatcher *d, void *buf, size_t len);
    ssize_t (*write)(ac_dispatcher *d, const struct iovec *iov, int n);
    int (*shutdown)(ac_dispatcher *d);
    void (*close)(ac_dispatcher *d, int fd);
} ac__transport;

extern const ac__transport ac__transport_socket, ac__transport_file;

static inline ac_dispatcher *ac__channel(ac__source *s)
{
    return AC__OF(ac_dispatcher, source_, s);
}
static inline const ac__transport *ac__transport_of(const ac_dispatcher *d)
{
    return (const ac__transport *)(const void *)d->source_.ops;
}

/* The longest read that may be made in a short serve without asking for its share of the turn. */
enum { AC__FIRST = AC__VIEW };

/*
 * A connected stream socket with nothing else about it, in a loop whose verbs need no check, and with
 * no stamp to be left; or one in its short serve, which leaves the stamps.
 */
static inline bool ac__is_plain(const ac_dispatcher *d)
{
    return d != NULL && (d->flags_ & (AC__PLAIN | AC__ODD | AC__CORKED)) == AC__PLAIN
           && ((d->flags_ & AC__SERVING) != 0 || (d->times_ == NULL && ac__loop_fine(d->loop)));
}

/* Asks for handle_write to be called, where there is one. */
static inline void ac__arm(ac_dispatcher *d)
{
    if (d->cls->handle_write != NULL)
        d->flags_ |= AC__ARMED;
}

/*
 * What a call that wrote, or tried to, notes in flags_. In a short serve AC__WROTE is left to the calls
 * of the short way, which leave no stamp: behind the callback it asks for one.
 */
static inline uint32_t ac__tried(const ac_dispatcher *d)
{
    return (d->flags_ & AC__SERVING) != 0 ? AC__TOOK : AC__TOOK | AC__WROTE;
}

/* --- dispatcher.c ------------------------------------------------------------------------- */

/* 0, or why the verb cannot be: -EINVAL, -EBADF (closed or never opened), -ECHILD. Touches it. */
int               ac__verb_checked(ac_dispatcher *d);
static inline int ac__verb(ac_dispatcher *d)
{
    if (d != NULL && (d->flags_ & (AC__OPEN | AC__ASKS | AC__STALLED | AC__CORKED)) == AC__OPEN
        && ac__loop_fine(d->loop))
        return 0;
    return ac__verb_checked(d);
}
/* 0, or why it cannot be opened: -EINVAL, -EISCONN, -EBADF (closed), -ECHILD. */
int ac__verb_open(ac_dispatcher *d);
/* Says that what the channel wants may have changed, and ends a stall. */
void ac__touch(ac_dispatcher *d);
/* Its rare parts, or NULL: out of memory. */
ac__ext *ac__ext_get(ac_dispatcher *d);
/* Joins the loop: logs, counts. The channel is open afterwards. */
void ac__join(ac_dispatcher *d, const ac__transport *transport);
/* Gives the channel its descriptor; on failure the caller still has it. */
int ac__adopt(ac_dispatcher *d, int fd);
/* Notes a failure, to be told in order by a later turn; the first one stays. `err` is negative. */
void ac__fail(ac_dispatcher *d, int err, const char *op, const ac_addr *addr);
/* A write failed: the same, once all input that the kernel holds has been offered. */
void ac__fail_write(ac_dispatcher *d, int err);
/*
 * A read, or a hang-up, has shown the end of the stream: 0, or why it is none. Behind a reset that a read or
 * a write has met there is what looks like one, since the call took the error with it. Where the peer's end
 * had come before the reset a write gets EPIPE.
 */
static inline int ac__ended(ac_dispatcher *d)
{
    if ((d->flags_ & AC__LATER) != 0 && d->err_ != -EPIPE)
        d->flags_ |= AC__FAILED;
    if ((d->flags_ & AC__FAILED) != 0)
        return d->err_;
    d->flags_ |= AC__EOF;
    return 0;
}
/* The same with an operation and free text, as "look up" "example.org". */
void ac__fail_text(ac_dispatcher *d, int err, const char *op, const char *text);
/* Logs a line of a given type through the slot log_info. */
void ac__log_info(ac_dispatcher *d, const char *type, const char *format, ...) AC_PRINTF(3, 4);
/* The two lines of a verbose loop, and the default of handle_error. */
/* A line of the log that is no channel's. */
void ac__log_loop(ac_loop *loop, const char *message);

void ac__log_adding(ac_dispatcher *d);
void ac__log_closing(ac_dispatcher *d);
void ac__log_error(ac_dispatcher *d);
/* Writes "<NAME STATUS at HEX>". */
void ac__describe(const ac_dispatcher *d, char *buf, size_t len);

/* --- serve.c ------------------------------------------------------------------------------ */

void ac__channel_update(ac_loop *loop, ac__source *s);
void ac__channel_serve(ac_loop *loop, ac__source *s, unsigned due);
void ac__channel_reap(ac_loop *loop, ac__source *s);
void ac__channel_end(ac_loop *loop, ac__source *s);
void ac__channel_lengthen(ac__source *s);
/* As `run` of a source, for connected stream sockets. */
const ac__event *ac__channel_run(ac_loop *loop, const ac__event *e);
void             ac__channel_refused(ac_loop *loop, ac__source *s, int err);
/* The connection stands: state, stamps, and handle_connect. Only from the loop. */
void ac__established(ac_dispatcher *d);
#define AC__CHANNEL_OPS                                                                            \
    {                                                                                              \
        .update = ac__channel_update, .serve = ac__channel_serve, .reap = ac__channel_reap,        \
        .end = ac__channel_end, .lengthen = ac__channel_lengthen, .refused = ac__channel_refused,  \
        .run = ac__channel_run                                                                     \
    }

/* --- stream.c ----------------------------------------------------------------------------- */

/* What is left of the channel's share of this turn, at most `len`; 0: none. */
AC__SHARED_API size_t ac__budget(ac_dispatcher *d, size_t len);
/* Books the result of a read of `asked` bytes: readiness, stamps, end, failure. Returns it. */
AC__SHARED_API ssize_t ac__read_result(ac_dispatcher *d, size_t asked, ssize_t n);
/* Books the result of a write likewise. */
ssize_t ac__write_result(ac_dispatcher *d, size_t asked, ssize_t n);
/* Books what send(2) gave where it did not take all; tries again after a signal. */
ssize_t ac__sent(ac_dispatcher *d, const void *buf, size_t len, ssize_t n);

/* --- sender.c ----------------------------------------------------------------------------- */

/* Sends what is queued, and shuts our side behind it where that was asked. */
void ac__flush(ac_dispatcher *d);
/* Writes what a conversation has gathered: whatever else is done to the channel comes behind it. */
void ac__uncork(ac_dispatcher *d);
/* Drops the queue. */
void ac__queue_drop(ac_dispatcher *d);
void ac__spare_drop(ac_loop *loop);
/* The state after ac_close_when_sent(): sends what is left, then reads and drops. */
void ac__goodbye(ac_dispatcher *d);
/* Whether the peer has not acknowledged all that was written. */
bool ac__unsent(ac_dispatcher *d);
/* Closes so that the peer sees a reset and not an end; logs why. */
void ac__abort(ac_dispatcher *d);

/* --- connect.c, for the connector -------------------------------------------------------------- */

/* The channel is connected by descriptor `from->fd`, which moves to it. */
void ac__connected(ac_dispatcher *d, ac__source *from);
/* Notes the failure of a connect that was begun here, and its success. */
void ac__connect_failed(ac_dispatcher *d, int err);
void ac__connect_done(ac_dispatcher *d);
/* UDP: goes on with the next address of the name. Returns whether it does; else *err may be why. */
bool ac__connect_next(ac_dispatcher *d, ssize_t *err);
/* Checks a finished connect(): 0 or -errno; a socket connected to itself is -ECONNREFUSED. */
int ac__connect_result(ac_loop *loop, int fd);
/* Makes a stream socket for connecting, with its options set: descriptor or -errno. */
int ac__connect_socket(ac_loop *loop, int family, int type);

/* --- deadline.c --------------------------------------------------------------------------- */

/* A wait has begun (AC_CONNECT, AC_LINGER, or WRITE by the queue): the timer runs early enough. */
void ac__times_begin(ac_dispatcher *d, ac_timeout which, int64_t standard);
/* Reading goes on: the pause does not count. */
void ac__times_resume(ac_dispatcher *d);
void ac__times_free(ac_dispatcher *d);
/* A byte was read, or written: leaves a stamp where there are times. */
void               ac__stamp(ac_dispatcher *d, bool write);
static inline void ac__stamp_read(ac_dispatcher *d)
{
    if (d->times_ != NULL)
        ac__stamp(d, false);
}
static inline void ac__stamp_write(ac_dispatcher *d)
{
    if (d->times_ != NULL)
        ac__stamp(d, true);
}

/* --- stream.c: the share of a turn --------------------------------------------------------------- */

/* used_ counts in its low bits, in the turn whose number, as far as it goes, stands in the high ones. */
enum { AC__USED_BITS = 20, AC__USED_MAX = (1 << AC__USED_BITS) - 1 };

/* What the channel has used of its share of this turn: bytes, or connections accepted. */
static inline uint32_t ac__used(ac_dispatcher *d)
{
    const uint32_t turn = d->loop->turn << AC__USED_BITS;

    if ((d->used_ & ~(uint32_t)AC__USED_MAX) != turn)
        d->used_ = turn;
    return d->used_ & AC__USED_MAX;
}
static inline void ac__use(ac_dispatcher *d, size_t n)
{
    uint32_t left = AC__USED_MAX - ac__used(d);

    d->used_ += n < left ? (uint32_t)n : left;
}

/* --- listen.c ----------------------------------------------------------------------------- */

/* A descriptor of this loop was closed: listeners that ran out may try again. */
void ac__descriptor_freed(ac_loop *loop);
void ac__accept_unhold(ac_dispatcher *d);

#endif
