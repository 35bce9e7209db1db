/* SPDX-License-Identifier: MIT */
/*
 * What a channel wants, and what happens when it is ready: connect, out-of-band, accept, read,
 * write, then its end, in this order: data, then the end of the stream, then an error.
 *
 * Every step asks whether the callback before it has closed the channel: memory lives to the end of
 * the turn, so asking is always allowed.
 */
#include "channel.h"

#include <errno.h>

enum { STALL = 16 }; /* callbacks that take nothing, before a reader is paused */

static bool open_still(const ac_dispatcher *d)
{
    return (d->flags_ & AC__OPEN) != 0;
}

/* --- what it wants ------------------------------------------------------------------------ */

static bool wants_read(const ac_dispatcher *d)
{
    uint32_t f = d->flags_;

    if ((f & (AC__PAUSED | AC__STALLED | AC__EOF | AC__NO_READ | AC__ACCEPT_HELD)) != 0)
        return false;
    return (f & AC__LISTENING) != 0 ? d->cls->handle_accept != NULL : d->cls->handle_read != NULL;
}

/* Whether its rare parts have nothing to do. */
static inline bool is_quiet(const ac__ext *x)
{
    return x == NULL || (x->queued == 0 && !x->refilling && !x->drain);
}

static bool wants_write(const ac_dispatcher *d)
{
    const ac__ext *x = d->ext_;
    uint32_t       f = d->flags_;

    if (!is_quiet(x))
        return true;
    if ((f & AC__SHUT_WANT) != 0)
        return true;
    if (x != NULL && x->held)
        return false;
    return (f & (AC__ARMED | AC__NO_WRITE | AC__SHUT)) == AC__ARMED;
}

/* What is wanted of a plain channel, and what stands in the way of its short serve: all but data. */
enum { DATA = AC__READ | AC__HUP | AC__WATCH, MORE = AC__RDHUP | AC__HUP | AC__PRI };

/*
 * Whether the poller is to tell of what a read has left. Not where more than data has come: that stands
 * at the socket, and would be told for ever.
 */
static inline unsigned leftovers(const ac_dispatcher *d)
{
    return (d->rare_ & AC__RARE_LEVEL) == AC__RARE_LEVEL && (d->source_.ready & MORE) == 0
               ? (unsigned)AC__LEVEL
               : 0u;
}

AC__HOT static unsigned wants(const ac_dispatcher *d)
{
    const uint32_t traces = AC__SERVING | AC__TOOK | AC__WROTE;
    uint32_t       f      = d->flags_;
    unsigned       want   = 0;

    /* The common case of all that follows. */
    if ((f & ~traces) == AC__PLAIN && d->cls->handle_read != NULL && d->cls->handle_expt == NULL
        && is_quiet(d->ext_))
        return DATA | leftovers(d);
    if ((f & AC__CONNECTING) != 0)
        return d->source_.fd >= 0 ? AC__WRITE | AC__READ | AC__WATCH : 0; /* READ: asked for once */
    if ((f & AC__GOODBYE) != 0)
        return ((f & AC__SHUT) != 0 ? (unsigned)AC__READ : (unsigned)AC__WRITE)
               | ((f & AC__HUNG) == 0 ? (unsigned)(AC__HUP | AC__WATCH) : 0u);
    if ((f & AC__ENDED) != 0)
        return 0;
    if ((f & AC__LISTENING) != 0)
        return wants_read(d) ? AC__READ : 0;
    if ((f & AC__CONNECTED) == 0 && (f & AC__DGRAM) == 0)
        return 0; /* opened, and not connected yet */
    if (wants_read(d))
        want |= AC__READ;
    if (wants_write(d))
        want |= AC__WRITE;
    if ((f & (AC__DGRAM | AC__FILE | AC__HUNG)) == 0 && d->cls->handle_expt != NULL)
        want |= AC__PRI;
    if ((f & AC__DGRAM) != 0)
        /* A refusal by the peer's host stands at the socket. */
        return want | AC__HUP | (want != 0 ? (unsigned)AC__EXACT : 0u);
    if ((f & AC__ALWAYS) != 0)
        return want;
    /* Nobody will read the end of the stream: the hang-up of the peer's side tells it. */
    if (d->cls->handle_read == NULL && (f & AC__EOF) == 0)
        want |= AC__RDHUP;
    if ((f & AC__HUNG) == 0)
        want |= AC__HUP | AC__WATCH;
    if ((f & AC__FILE) != 0 && want != 0 && d->ext_->exact)
        want |= AC__EXACT;
    if (want == DATA && (f & (AC__PLAIN | AC__ODD)) == AC__PLAIN)
        want |= leftovers(d);
    return want;
}

/* Asks the predicates, which only the time just before a wait may. */
static void ask(ac_dispatcher *d)
{
    const ac_class *cls = d->cls;

    d->flags_ &= ~(uint32_t)(AC__NO_READ | AC__NO_WRITE);
    if (cls->readable != NULL && !cls->readable(d))
        d->flags_ |= AC__NO_READ;
    if (cls->writable != NULL && !cls->writable(d))
        d->flags_ |= AC__NO_WRITE;
}

AC__HOT void ac__channel_update(ac_loop *loop, ac__source *s)
{
    ac_dispatcher *d = ac__channel(s);

    (void)loop;
    if ((d->flags_ & (AC__ASKS | AC__ENDED | AC__GOODBYE)) == AC__ASKS)
        ask(d);
    s->want = (uint8_t)wants(d);
    if ((s->sent & ~s->want & AC__LEVEL) != 0)
        d->rare_ &= (uint16_t)~AC__RARE_LEVEL; /* it has to show anew that this pays */
}

/* Debug: a predicate that answers otherwise than when it was asked, with nobody having said so. */
static void check(ac_loop *loop)
{
    for (ac__link *n = loop->all.next; n != &loop->all; n = n->next) {
        ac__source    *s = AC__OF(ac__source, all, n);
        ac_dispatcher *d = ac__channel(s);
        uint32_t       before;
        char           what[192];

        if (s->ops->end != ac__channel_end || ac__linked(&s->work))
            continue;
        if ((d->flags_ & (AC__ASKS | AC__ENDED | AC__GOODBYE)) != AC__ASKS)
            continue;
        before = d->flags_;
        ask(d);
        if (before == d->flags_)
            continue;
        ac__source_touch(loop, s);
        ac__describe(d, what, sizeof what);
        ac__log_info(d, "warning", "%s: the answer of %s changed without ac_changed()", what,
                     ((before ^ d->flags_) & AC__NO_READ) != 0 ? "readable" : "writable");
    }
}

static void net_end(ac_loop *loop)
{
    ac__free(loop->cork);
    loop->cork = NULL;
    ac__spare_drop(loop);
}

struct ac__loop_hooks ac__net_hooks = {.end = net_end, .check = check, .say = ac__log_loop};

/* Whether unread bytes wait. Notes an end or an error that it meets instead. */
static bool unread(ac_dispatcher *d)
{
    char    byte;
    ssize_t n;

    AC__RETRY(n, d->loop->sys->recv(d->loop->sys, d->source_.fd, &byte, 1, MSG_PEEK));
    if (n == 0)
        (void)ac__ended(d);
    else if (n < 0 && n != -EAGAIN)
        ac__fail(d, (int)n, "recv", NULL);
    return n > 0;
}

/* Whether input may still come before the failure of a write is told. */
static bool input_left(ac_dispatcher *d)
{
    if ((d->flags_ & (AC__EOF | AC__FILE | AC__GOODBYE)) != 0 || d->cls->handle_read == NULL)
        return false;
    return wants_read(d) ? (d->source_.ready & AC__READ) != 0 : unread(d);
}

/* --- the end of a channel ------------------------------------------------------------------- */

static void tell_close(ac_dispatcher *d, bool failed)
{
    d->flags_ |= AC__ENDED | AC__TELLING;
    if (d->cls->handle_close != NULL) {
        d->loop->stats.callbacks++;
        d->cls->handle_close(d);
    } else if (failed) {
        ac_close(d);
    } else {
        ac_close_when_sent(d);
    }
    d->flags_ &= ~(uint32_t)AC__TELLING;
    if (open_still(d) && (d->flags_ & AC__GOODBYE) == 0 && d->loop->debug) {
        char what[192];

        ac__describe(d, what, sizeof what);
        ac__log_info(d, "warning", "%s: handle_close left the channel open", what);
    }
}

static void tell_error(ac_dispatcher *d)
{
    const ac_class *cls     = d->cls;
    bool            connect = (d->flags_ & AC__CONNECTING) != 0;

    d->flags_ &= ~(uint32_t)(AC__FAILED | AC__LATER | AC__CONNECTING);
    if ((d->flags_ & AC__GOODBYE) != 0) {
        /* Nobody is told any more; but a stream that was cut must not look whole to the peer. */
        if (ac__unsent(d) || (d->flags_ & AC__SHUT) == 0)
            ac__abort(d);
        else
            ac_close(d);
        return;
    }
    d->flags_ |= AC__TELLING;
    d->loop->stats.callbacks++;
    if (connect && cls->handle_expt != NULL)
        cls->handle_expt(d);
    else if (cls->handle_error != NULL)
        cls->handle_error(d, d->err_);
    else
        ac__log_error(d);
    d->flags_ &= ~(uint32_t)AC__TELLING;
    if (open_still(d) && (d->flags_ & AC__GOODBYE) == 0)
        tell_close(d, true);
}

static void tell_eof(ac_dispatcher *d)
{
    d->flags_ |= AC__EOF_TOLD;
    if (d->cls->handle_eof != NULL) {
        d->loop->stats.callbacks++;
        d->cls->handle_eof(d);
        if (!open_still(d)
            || (d->flags_ & (AC__SHUT | AC__FILE | AC__GOODBYE | AC__FAILED)) != AC__SHUT)
            return; /* our side goes on */
    }
    tell_close(d, false);
}

static void tell(ac_dispatcher *d)
{
    if ((d->flags_ & AC__LATER) != 0 && !input_left(d))
        d->flags_ |= AC__FAILED;
    if ((d->flags_ & (AC__EOF | AC__EOF_TOLD | AC__GOODBYE | AC__ENDED)) == AC__EOF
        && ((d->flags_ & AC__FAILED) == 0 || d->cls->handle_eof != NULL))
        tell_eof(d);
    if (open_still(d) && (d->flags_ & AC__FAILED) != 0)
        tell_error(d);
}

/* --- hang-ups ------------------------------------------------------------------------------ */

/* The error that stands at a socket: 0 or negative. */
static int standing_error(ac_dispatcher *d)
{
    int       err = 0;
    socklen_t len = sizeof err;
    int       rc =
        d->loop->sys->getsockopt(d->loop->sys, d->source_.fd, SOL_SOCKET, SO_ERROR, &err, &len);

    return rc < 0 ? rc : -err;
}

/*
 * Both sides are shut, or an error stands. A channel that reads finds out by reading, behind the
 * data. One that has no reader learns it here; one that is paused too, if nothing is left to read.
 */
static void hung_up(ac_dispatcher *d)
{
    int err;

    d->flags_ |= AC__HUNG;
    d->source_.ready |= AC__READ | AC__WRITE;
    if (wants_read(d) || (d->flags_ & (AC__GOODBYE | AC__ENDED | AC__FAILED)) != 0)
        return;
    if ((d->flags_ & AC__EOF) != 0 && (d->flags_ & AC__FILE) == 0) {
        /* The peer's end was told before; a read would repeat it and hide what stands now. */
        err = standing_error(d);
        if (err < 0)
            ac__fail(d, err, "poll", NULL);
        else if ((d->flags_ & (AC__SHUT | AC__EOF_TOLD)) == (AC__SHUT | AC__EOF_TOLD))
            tell_close(d, false);
        return;
    }
    if ((d->flags_ & AC__FILE) != 0) {
        if (d->cls->handle_read == NULL || (d->flags_ & (AC__EOF_TOLD | AC__SHUT)) == AC__EOF_TOLD)
            ac__fail(d, -EPIPE, "write", NULL);
        return;
    }
    if (d->cls->handle_read == NULL) {
        err = standing_error(d);
        if (err < 0)
            ac__fail(d, err, "poll", NULL);
        else
            (void)ac__ended(d);
        return;
    }
    (void)unread(d);
}

/* Something stands at a datagram socket. A reader finds it by reading, others learn it here. */
static void refused_datagram(ac_dispatcher *d)
{
    ssize_t err;

    d->source_.ready = (uint8_t)((d->source_.ready & ~AC__HUP) | AC__READ);
    if (wants_read(d) || (d->flags_ & AC__CONNECTED) == 0)
        return;
    err = standing_error(d);
    if (err < 0 && !(err == -ECONNREFUSED && ac__connect_next(d, &err)))
        ac__fail(d, (int)err, "send", NULL);
}

/* The peer has shut its side, and the class has nobody who would read that. */
static void peer_shut(ac_dispatcher *d)
{
    int err = (d->flags_ & AC__FILE) != 0 ? 0 : standing_error(d);

    if (err < 0)
        ac__fail(d, err, "poll", NULL);
    else
        (void)ac__ended(d);
}

/* --- the steps ---------------------------------------------------------------------------- */

static void serve_oob(ac_dispatcher *d)
{
    uint8_t  byte;
    ssize_t  n;
    ac__ext *x;

    x = ac__ext_get(d);
    if (x == NULL) {
        ac__fail(d, -ENOMEM, "recv", NULL);
        return;
    }
    d->source_.ready = (uint8_t)((d->source_.ready & ~AC__PRI) | AC__READ);
    x->at_mark       = true;
    AC__RETRY(n, d->loop->sys->recv(d->loop->sys, d->source_.fd, &byte, 1, MSG_OOB));
    if (n != 1)
        return; /* read already, or the mark has moved on */
    x->oob = byte;
    d->loop->stats.callbacks++;
    d->cls->handle_expt(d);
}

/* Pauses a reader that took nothing so often. */
AC__ASIDE static void stall(ac_dispatcher *d)
{
    char what[192];

    d->flags_ |= AC__STALLED;
    d->loop->stats.stalls++;
    ac__describe(d, what, sizeof what);
    ac__log_info(d, "warning", "%s: %s took nothing %d times and is paused", what,
                 (d->flags_ & AC__LISTENING) != 0 ? "handle_accept" : "handle_read", STALL);
}

/* Counts readers that take nothing, and pauses them: they would be called for ever. */
AC__ASIDE static void count_idle(ac_dispatcher *d)
{
    ac__source *s = &d->source_;

    if ((d->flags_ & AC__TOOK) != 0 || (s->ready & AC__READ) == 0) {
        s->idle = 0;
        return;
    }
    if (s->idle < STALL)
        s->idle++;
    if (s->idle == STALL)
        stall(d);
}

static void serve_read(ac_dispatcher *d)
{
    d->flags_ &= ~(uint32_t)AC__TOOK;
    d->loop->stats.callbacks++;
    if ((d->flags_ & AC__LISTENING) != 0)
        d->cls->handle_accept(d);
    else
        d->cls->handle_read(d);
    if (open_still(d))
        count_idle(d);
}

/* Lets ac_chat and its kind fill the queue; bounded, for the sake of the others. */
static void refill(ac_dispatcher *d)
{
    for (int i = 0; i < 64 && open_still(d) && d->ext_->refilling; i++) {
        if (d->ext_->queued > d->ext_->low)
            return;
        d->ext_->refilling = d->ext_->refill(d);
    }
}

static void serve_write(ac_dispatcher *d)
{
    ac__flush(d);
    if (open_still(d) && d->ext_ != NULL && d->ext_->refilling)
        refill(d);
    if (open_still(d) && d->ext_ != NULL && d->ext_->drain) {
        d->ext_->drain = false;
        if (d->cls->handle_drain != NULL) {
            d->loop->stats.callbacks++;
            d->cls->handle_drain(d);
        }
    }
    if (!open_still(d) || (d->source_.ready & AC__WRITE) == 0)
        return;
    if ((d->flags_ & (AC__ARMED | AC__NO_WRITE | AC__SHUT | AC__GOODBYE | AC__FAILED)) != AC__ARMED)
        return;
    if (ac_queued(d) > 0)
        return;
    /* Disarmed unless it does something for writing; ac_changed() in there arms it again. */
    d->flags_ &= ~(uint32_t)(AC__WROTE | AC__ARMED);
    d->loop->stats.callbacks++;
    d->cls->handle_write(d);
    if ((d->flags_ & AC__WROTE) != 0)
        d->flags_ |= AC__ARMED;
}

void ac__established(ac_dispatcher *d)
{
    d->flags_ = (d->flags_ | AC__CONNECTED) & ~(uint32_t)AC__CONNECTING;
    ac__arm(d);
    d->source_.ready |= AC__WRITE;
    ac__connect_done(d);
    ac__times_begin(d, AC_IDLE, AC_FOREVER);
    if (d->cls->handle_connect != NULL && (d->flags_ & AC__GOODBYE) == 0) {
        d->loop->stats.callbacks++;
        d->cls->handle_connect(d);
    }
    if (open_still(d))
        ac__source_touch(d->loop, &d->source_);
}

/* The connect() of a channel's own descriptor has ended. */
static void serve_connect(ac_dispatcher *d)
{
    int rc;

    if ((d->source_.ready & (AC__WRITE | AC__HUP)) == 0)
        return;
    rc = (d->flags_ & AC__DGRAM) != 0 ? 0 : ac__connect_result(d->loop, d->source_.fd);
    if (rc == -EAGAIN && d->source_.idle++ == 0) { /* one stale report; a second is a failure */
        d->source_.ready &= (uint8_t) ~(AC__WRITE | AC__HUP);
        return;
    }
    d->source_.idle = 0;
    if (rc < 0)
        ac__connect_failed(d, rc == -EAGAIN ? -ENOTCONN : rc);
    else
        ac__established(d);
}

/* Puts the channel where it belongs until its next event. */
static void settle(ac_dispatcher *d)
{
    ac__source *s = &d->source_;

    if ((d->flags_ & AC__ASKS) != 0) {
        ac__source_touch(d->loop, s);
        return;
    }
    s->want = (uint8_t)wants(d);
    ac__source_settle(d->loop, s);
}

/* What comes behind the reading: writing, the end, and where the channel belongs then. */
AC__ASIDE static void finish(ac_dispatcher *d, bool writes)
{
    ac__source *s = &d->source_;

    if (writes && open_still(d) && (s->ready & wants(d) & AC__WRITE) != 0
        && (d->flags_ & (AC__CONNECTING | AC__FAILED)) == 0)
        serve_write(d);
    if (open_still(d) && (d->flags_ & (AC__FAILED | AC__LATER | AC__EOF)) != 0)
        tell(d);
    d->flags_ &= ~(uint32_t)(AC__TOOK | AC__WROTE);
    if (open_still(d))
        settle(d);
}

AC__ASIDE static void serve_any(ac_dispatcher *d)
{
    ac__source *s      = &d->source_;
    bool        writes = true;

    if ((d->flags_ & (AC__CONNECTING | AC__FAILED)) == AC__CONNECTING && s->fd >= 0)
        serve_connect(d);
    if (open_still(d) && (s->ready & AC__HUP) != 0
        && (d->flags_ & (AC__HUNG | AC__CONNECTING | AC__LISTENING | AC__DGRAM)) == 0)
        hung_up(d);
    if (open_still(d) && (s->ready & AC__HUP) != 0
        && (d->flags_ & (AC__DGRAM | AC__CONNECTING)) == AC__DGRAM)
        refused_datagram(d);
    if (open_still(d) && (s->ready & s->want & AC__RDHUP) != 0 && (d->flags_ & AC__EOF) == 0)
        peer_shut(d);
    if (open_still(d) && (s->ready & wants(d) & AC__PRI) != 0)
        serve_oob(d);
    if (open_still(d) && (d->flags_ & AC__GOODBYE) != 0) {
        writes = false;
        if (d->ext_ != NULL && d->ext_->refilling && (s->ready & AC__WRITE) != 0
            && (d->flags_ & (AC__CONNECTED | AC__FAILED | AC__LATER)) == AC__CONNECTED)
            refill(d);
        if (open_still(d))
            ac__goodbye(d);
    } else if (open_still(d) && (s->ready & wants(d) & AC__READ) != 0
               && (d->flags_ & AC__FAILED) == 0) {
        serve_read(d);
    }
    finish(d, writes);
}

/* Leaves the stamps for what a short serve read and wrote by the short way. */
AC__ASIDE static void stamp_served(ac_dispatcher *d)
{
    if (d->times_ == NULL)
        return;
    if ((d->source_.ready & AC__READ) == 0)
        ac__stamp_read(d);
    if ((d->flags_ & AC__WROTE) != 0)
        ac__stamp_write(d);
}

/* In a child nothing may be read or written before ac_loop_after_fork(); a turn may change anything. */
void ac__channel_lengthen(ac__source *s)
{
    ac_dispatcher *d = ac__channel(s);

    if ((d->flags_ & AC__SERVING) == 0)
        return;
    stamp_served(d);
    d->flags_ &= ~(uint32_t)AC__SERVING;
    if ((s->ready & AC__FULL) != 0)
        s->ready = (uint8_t)((s->ready & ~AC__FULL) | AC__READ);
}

/*
 * Behind a short serve that was not all: what a long one does after the reading. Where nothing has come
 * but that a read filled its buffer, the channel as it was, `before`, is served again in the next turn.
 */
AC__ASIDE static void after_read(ac_dispatcher *d, uint32_t before)
{
    const uint32_t traces = AC__TOOK | AC__WROTE;
    ac__source    *s      = &d->source_;
    bool           full   = (s->ready & AC__FULL) != 0;

    ac__channel_lengthen(s);
    if (full && ((d->flags_ ^ before) & ~traces) == 0 && (s->ready & AC__CALL) == 0
        && is_quiet(d->ext_)) {
        d->flags_ = before;
        s->idle   = 0;
        ac__source_touch(d->loop, s);
        return;
    }
    if (open_still(d))
        count_idle(d);
    finish(d, true);
}

/*
 * The common case, in few steps: a connected stream with something to read, and nothing more to it.
 * AC__SERVING tells ac_recv(), ac_read() and ac_write() so. If all was read and the callback has
 * changed nothing, everything about the channel stands as it was.
 */
AC__HOT void ac__channel_serve(ac_loop *loop, ac__source *s, unsigned due)
{
    ac_dispatcher *d      = ac__channel(s);
    const uint32_t before = d->flags_;

    if ((before & (AC__PLAIN | AC__ODD | AC__SERVING | AC__TOOK | AC__WROTE)) != AC__PLAIN
        || due != AC__READ || (s->ready & MORE) != 0 || (d->ext_ != NULL && d->ext_->at_mark)) {
        serve_any(d);
        if (loop->view_out)
            ac__view_end(loop);
        return;
    }
    d->flags_ = before | AC__SERVING;
    loop->stats.callbacks++;
    d->cls->handle_read(d);
    if (((d->flags_ ^ before) & ~(uint32_t)(AC__TOOK | AC__WROTE)) != AC__SERVING
        || (d->source_.ready & (AC__READ | AC__FULL | AC__CALL)) != 0
        || (d->source_.sent & AC__READ) == 0 || !is_quiet(d->ext_)) {
        after_read(d, before);
        return;
    }
    if (d->times_ != NULL)
        stamp_served(d);
    d->flags_       = before;
    d->source_.idle = 0;
}

/*
 * The same in fewer steps, for one event after the other, where the channel has never had more to it
 * than data: no flag but those of a plain one. That it waits for READ, the event has shown. The first
 * event is of a channel; others of its kind are channels too.
 */
AC__HOT const ac__event *ac__channel_run(ac_loop *loop, const ac__event *e)
{
    const uint32_t traces = AC__TOOK | AC__WROTE;

    for (; e < loop->batch_end; e++) {
        const ac__watch *w = &loop->watch[e->fd];
        ac_dispatcher   *d;

        if (w->gen != e->gen || e->bits != AC__READ
            || w->source->ops != &ac__transport_socket.source)
            break;
        d = ac__channel(w->source);
        if (d->flags_ != AC__PLAIN || (d->source_.ready & ~AC__WRITE) != 0)
            break;
        d->flags_ = AC__PLAIN | AC__SERVING;
        d->source_.ready |= AC__READ;
        loop->serving = &d->source_;
        loop->stats.callbacks++;
        d->cls->handle_read(d);
        if ((d->flags_ & ~traces) == (AC__PLAIN | AC__SERVING)
            && (d->source_.ready & (AC__READ | AC__FULL | AC__CALL)) == 0) {
            d->flags_       = AC__PLAIN;
            d->source_.idle = 0;
        } else {
            after_read(d, AC__PLAIN);
        }
    }
    return e;
}

void ac__channel_refused(ac_loop *loop, ac__source *s, int err)
{
    (void)loop;
    ac__fail_text(ac__channel(s), err, "watch", NULL);
}
