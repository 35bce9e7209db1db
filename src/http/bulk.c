/* SPDX-License-Identifier: MIT */
/*
 * Large bodies. What is to be discarded is dropped in the kernel, and never copied. And while much is
 * known to come, and comes fast, the kernel wakes us for hundreds of KiB instead of for a segment, and
 * they are read in one call.
 *
 * With SO_RCVLOWAT a peer that has become slow looks as if it sent nothing. So it is put back before
 * the rest is less than what it waits for, at a pause, and by the connection's timer when nothing was
 * heard for a moment: that makes the system report what lies there.
 */
#include "private.h"

#include "../base/alloc.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    WATER      = 256 * 1024,       /* SO_RCVLOWAT: as much as is read in a turn */
    WATER_DROP = 1024 * 1024,      /* the same for what is dropped */
    WATER_FROM = 2 * 1024 * 1024,  /* so much must be left */
    WINDOW     = 8 * 1024 * 1024,  /* the speed is measured over so much */
    FAST       = 64 * 1024 * 1024, /* bytes a second */
    DROP_FROM = 256 * 1024, /* so much must be left; of it AC__PIECE is read, to see what follows */
    DROP_MOST = 4 * 1024 * 1024, /* in one call */
    DROP_COST = 16 /* so many dropped bytes count as one that is read, in the budget of a turn */
};

static bool discards(const ac__conn *n)
{
    return (n->request->consumer->cls->flags & AC_DISCARD) != 0;
}

static void set_water(ac__conn *n, bool on)
{
    ac_loop *loop = n->client->loop;
    int      want = 1;

    if (n->water == on)
        return;
    if (on)
        want = discards(n) && n->request->x->coding_count == 0 ? WATER_DROP : WATER;
    n->water = on;
    (void)loop->sys->setsockopt(loop->sys, n->base.source_.fd, SOL_SOCKET, SO_RCVLOWAT, &want,
                                sizeof want);
    if (on)
        ac__conn_arm(n);
}

void ac__bulk_off(ac__conn *n)
{
    n->bulk = 0;
    if (n->water && ac_is_open(&n->base))
        set_water(n, false);
    n->water = false;
}

/* What is known to come without framing in between, for a request that takes it. */
static int64_t known(const ac__conn *n)
{
    if (n->state != AC__CONN_BODY || n->request == NULL
        || (n->request->flags & (AC__R_PAUSED | AC__R_CLOSED)) != 0)
        return 0;
    return ac__body_known(&n->body);
}

void ac__bulk_took(ac__conn *n, size_t len)
{
    int64_t now = ac__now(n->client->loop);

    if (known(n) <= WATER_FROM) {
        if (n->water || n->bulk > 0)
            ac__bulk_off(n);
        return;
    }
    if (n->bulk == 0)
        n->bulk_since = now;
    n->bulk += (int64_t)len;
    if (n->bulk < WINDOW)
        return;
    set_water(n, n->bulk * AC_SECOND / FAST > now - n->bulk_since);
    n->bulk       = 1; /* not 0: the next window begins here */
    n->bulk_since = now;
}

/* How much may be dropped now. A limit is passed by reading, which says so. */
static int64_t droppable(const ac__conn *n)
{
    int64_t             left = known(n);
    const ac__exchange *x;

    if (left < DROP_FROM || !discards(n) || (n->base.flags_ & AC__SHORT_OK) == 0)
        return 0;
    x = n->request->x;
    if (x->coding_count > 0)
        return 0;
    left -= AC__PIECE;
    if (x->limits.body >= 0 && x->limits.body - (int64_t)x->times.wire_bytes < left)
        left = x->limits.body - (int64_t)x->times.wire_bytes;
    if (x->limits.decoded >= 0 && x->limits.decoded - (int64_t)x->times.bytes < left)
        left = x->limits.decoded - (int64_t)x->times.bytes;
    return left < DROP_MOST ? left : DROP_MOST;
}

ssize_t ac__bulk_drop(ac__conn *n)
{
    ac_dispatcher *d    = &n->base;
    ac__sys       *sys  = d->loop->sys;
    int64_t        want = droppable(n);
    ssize_t        got;

    if (want <= 0)
        return 0;
    if (ac__budget(d, (size_t)want) == 0)
        return -EAGAIN;
    AC__RETRY(got, sys->recv(sys, d->source_.fd, NULL, (size_t)want, MSG_TRUNC));
    got = ac__read_result(d, (size_t)want, got);
    if (got <= 0)
        return got == 0 ? -EAGAIN : got; /* the end is told by its own callback */
    d->used_ -= (uint32_t)(got - got / DROP_COST);
    ac__body_skip(&n->body, got);
    n->request->x->times.wire_bytes += (uint64_t)got;
    n->request->x->times.bytes += (uint64_t)got;
    return got;
}

ssize_t ac__bulk_read(ac__conn *n, const void **data)
{
    ac_http_client *c = n->client;
    ssize_t         len;

    /* What a pause leaves over, of a decoder's input or of small pieces, is to stay small. */
    if (!n->water || known(n) < WATER || n->request->x->coding_count > 0
        || (n->request->consumer->cls->flags & AC_PIECES) != 0
        || (c->wide == NULL && (c->wide = ac__alloc(WATER)) == NULL))
        return ac_read(&n->base, data);
    len   = ac_recv(&n->base, c->wide, WATER);
    *data = c->wide;
    return len;
}
