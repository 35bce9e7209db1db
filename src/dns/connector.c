/* SPDX-License-Identifier: MIT */
/*
 * Connecting by name as RFC 8305 has it ("Happy Eyeballs").
 *
 * Both families are looked up at once. The first attempt begins when IPv6 addresses are known, or
 * IPv4 ones and IPv6 has had RESOLUTION_DELAY more to answer. Attempts take the families in turn,
 * IPv6 first; the next begins ATTEMPT_DELAY after the last, or at once when that one fails. Earlier
 * ones stay alive, and the first to connect wins. Addresses that come late join those that were not
 * tried yet.
 *
 * A datagram socket connects without a word to the peer, so there is nothing to race: the first
 * address that the system takes is the channel's, and the others are kept for it.
 */
#include "../net/connector.h"

#include "resolver.h"

#include "../base/alloc.h"
#include "../net/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static const int64_t RESOLUTION_DELAY = 50 * AC_MILLISECOND;
static const int64_t ATTEMPT_DELAY    = 250 * AC_MILLISECOND;

/* One connection under way. */
struct attempt {
    ac__source     source;
    ac__connector *c;
    ac__link       link;
    ac_addr        addr;
    int            err; /* negative: the poller does not take it */
};

struct ac__connector {
    ac_dispatcher *d;
    ac_loop       *loop;
    ac__lookup    *lookup;
    ac_timer       timer;
    int64_t        not_before; /* when the next attempt may begin */
    ac__link       attempts;   /* under way, in the order of their beginning */
    unsigned       tried;
    unsigned       used[AC__FAMILIES]; /* addresses of each that were taken */
    int            first;              /* the family of the first attempt; -1: none yet */
    int            last;               /* and of the last */
    int            err;                /* the last failure of the first family */
    ac_addr        err_addr;
    int            type;
    uint16_t       port;
    bool           heard; /* the first addresses have come */
    char           host[];
};

/* --- life --------------------------------------------------------------------------------- */

static void arm(ac__connector *c, int64_t delay)
{
    (void)ac_timer_start(&c->timer, delay);
}

static void drop_attempt(struct attempt *a)
{
    ac_loop *loop = a->c->loop;
    int      fd   = ac__source_unbind(loop, &a->source, false);

    if (fd >= 0) {
        (void)loop->sys->close(loop->sys, fd);
        ac__descriptor_freed(loop);
    }
    if (ac__linked(&a->source.work))
        ac__list_remove(&a->source.work);
    ac__list_remove(&a->link);
    ac__free(a);
}

void ac__connector_cancel(ac__connector *c)
{
    while (!ac__list_empty(&c->attempts))
        drop_attempt(AC__OF(struct attempt, link, c->attempts.next));
    if (c->lookup != NULL)
        ac__lookup_cancel(c->lookup);
    ac_timer_stop(&c->timer);
    ac__free(c);
}

/* An attempt connects the channel. Its handler runs in here, so that all else is done before. */
static void win(ac__connector *c, struct attempt *a)
{
    ac_dispatcher *d = c->d;

    d->ext_->connector = NULL;
    ac__list_remove(&a->link);
    ac__connector_cancel(c);
    if (ac__linked(&a->source.work))
        ac__list_remove(&a->source.work);
    ac__connected(d, &a->source);
    ac__free(a);
}

/* Every address failed. */
static void lose(ac__connector *c)
{
    c->d->ext_->connector = NULL;
    ac__fail(c->d, c->err, "connect to", &c->err_addr);
    ac__connector_cancel(c);
}

/* There is no address. */
static void unknown(ac__connector *c)
{
    ac_dispatcher    *d  = c->d;
    const ac__answer *v6 = &c->lookup->answer[AC__V6];
    const ac__answer *v4 = &c->lookup->answer[AC__V4];

    d->ext_->connector = NULL;
    if (ac__nameservers_bad(c->loop))
        ac__log_info(d, "error", "the name servers are no list of ADDR[:PORT]: \"%.200s\"",
                     c->loop->nameservers);
    /* "Not found" is true only where both families say so; any other error tells more. */
    ac__fail_text(d, v6->err != -AC_ENOTFOUND ? v6->err : v4->err, "look up", c->host);
    ac__connector_cancel(c);
}

/* --- addresses ---------------------------------------------------------------------------- */

static bool is_left(const ac__connector *c, int f)
{
    return c->used[f] < c->lookup->answer[f].n;
}

static bool any_left(const ac__connector *c)
{
    return c->tried < AC__IP_MAX && (is_left(c, AC__V6) || is_left(c, AC__V4));
}

/* Takes the next address: of the other family than the last one's, if it has one. */
static int next_address(ac__connector *c, ac_addr *out)
{
    int           f = c->last == AC__V6 ? AC__V4 : AC__V6;
    const ac__ip *ip;

    if (!is_left(c, f))
        f = f == AC__V6 ? AC__V4 : AC__V6;
    ip   = &c->lookup->answer[f].ip[c->used[f]++];
    *out = (ac_addr){.len = 0};
    if (f == AC__V6) {
        out->u.in6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons(c->port), .sin6_addr = ip->u.v6};
        out->len = sizeof out->u.in6;
    } else {
        out->u.in = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = htons(c->port), .sin_addr = ip->u.v4};
        out->len = sizeof out->u.in;
    }
    c->tried++;
    c->last = f;
    if (c->first < 0)
        c->first = f;
    return f;
}

static void note_failure(ac__connector *c, int family, const ac_addr *addr, int err)
{
    if (family != c->first)
        return;
    c->err      = err;
    c->err_addr = *addr;
}

/* --- streams ------------------------------------------------------------------------------ */

static void step(ac__connector *c);

static void attempt_update(ac_loop *loop, ac__source *s)
{
    (void)loop;
    s->want = AC__WRITE | AC__HUP;
}

static void attempt_serve(ac_loop *loop, ac__source *s, unsigned due)
{
    struct attempt *a    = AC__OF(struct attempt, source, s);
    ac__connector  *c    = a->c;
    bool            last = a->link.next == &c->attempts;
    int             rc   = a->err < 0 ? a->err : ac__connect_result(loop, s->fd);

    (void)due;
    if (rc == 0) {
        win(c, a);
        return;
    }
    if (rc == -EAGAIN) { /* woken for nothing: it is still on its way */
        s->ready = 0;
        ac__source_settle(loop, s);
        return;
    }
    note_failure(c, ac_addr_family(&a->addr) == AF_INET6 ? AC__V6 : AC__V4, &a->addr, rc);
    drop_attempt(a);
    if (last)
        c->not_before = ac__now(loop);
    step(c);
}

static void attempt_refused(ac_loop *loop, ac__source *s, int err)
{
    AC__OF(struct attempt, source, s)->err = err;
    ac__source_call(loop, s);
}

static const ac__source_ops attempt_ops = {
    .update  = attempt_update,
    .serve   = attempt_serve,
    .refused = attempt_refused,
};

/* Makes a socket that connects to `addr`: its descriptor, or -errno. `rc`: what connect() said. */
static int open_socket(ac__connector *c, const ac_addr *addr, int *rc)
{
    ac__sys *sys = c->loop->sys;
    int      fd  = ac__connect_socket(c->loop, ac_addr_family(addr), c->type);

    if (fd < 0)
        return fd;
    AC__RETRY(*rc, sys->connect(sys, fd, &addr->u.sa, addr->len));
    if (*rc == 0 || *rc == -EINPROGRESS)
        return fd;
    (void)sys->close(sys, fd);
    return *rc;
}

/* Gives a descriptor to an attempt of its own: NULL, with it closed, if memory is out. */
static struct attempt *make_attempt(ac__connector *c, const ac_addr *addr, int fd)
{
    struct attempt *a = ac__calloc(sizeof *a);

    if (a != NULL) {
        ac__source_init(&a->source, &attempt_ops);
        a->c    = c;
        a->addr = *addr;
        if (ac__source_bind(c->loop, &a->source, fd) == 0) {
            ac__list_append(&c->attempts, &a->link);
            return a;
        }
        ac__free(a);
    }
    (void)c->loop->sys->close(c->loop->sys, fd);
    return NULL;
}

/* Begins the next attempt. Returns false if it is over already, and the connector perhaps too. */
static bool try_next(ac__connector *c)
{
    struct attempt *a = NULL;
    ac_addr         addr;
    int             family = next_address(c, &addr);
    int             rc     = 0;
    int             fd     = open_socket(c, &addr, &rc);

    if (fd >= 0 && (a = make_attempt(c, &addr, fd)) == NULL)
        fd = -ENOMEM;
    if (fd < 0) {
        note_failure(c, family, &addr, fd);
        return true;
    }
    if (rc == 0) {
        win(c, a);
        return false;
    }
    ac__source_touch(c->loop, &a->source);
    c->not_before = ac__now(c->loop) + ATTEMPT_DELAY;
    return true;
}

/* Does what is due now, and sets the timer to what is due next. */
static void step_stream(ac__connector *c)
{
    const ac__answer *answer = c->lookup->answer;

    while (any_left(c)) {
        bool waits = c->tried == 0 ? !answer[AC__V6].done : !ac__list_empty(&c->attempts);

        if (waits && ac__now(c->loop) < c->not_before) {
            arm(c, c->not_before - ac__now(c->loop));
            return;
        }
        if (!try_next(c))
            return;
    }
    if (!ac__list_empty(&c->attempts))
        return;
    if (c->tried >= AC__IP_MAX || (answer[AC__V6].done && answer[AC__V4].done))
        lose(c);
}

/* --- datagrams ---------------------------------------------------------------------------- */

/* Leaves the channel the addresses that were not tried: 0 or -ENOMEM. */
static int keep_others(ac__connector *c)
{
    const ac__answer *answer = c->lookup->answer;
    ac__ext          *x      = c->d->ext_;
    size_t            max    = answer[AC__V6].n + answer[AC__V4].n - c->tried;

    if (max == 0)
        return 0;
    x->others = ac__alloc(max * sizeof *x->others);
    if (x->others == NULL)
        return -ENOMEM;
    x->nothers = x->other = 0;
    while (any_left(c))
        (void)next_address(c, &x->others[x->nothers++]);
    return 0;
}

static void step_datagram(ac__connector *c)
{
    const ac__answer *answer = c->lookup->answer;
    struct attempt   *a      = NULL;

    /* The peer's refusal comes later if ever, so the list should be whole before it is used. */
    if (!(answer[AC__V6].done && answer[AC__V4].done) && ac__now(c->loop) < c->not_before) {
        arm(c, c->not_before - ac__now(c->loop));
        return;
    }
    while (a == NULL && any_left(c)) {
        ac_addr addr;
        int     family = next_address(c, &addr);
        int     rc     = 0;
        int     fd     = open_socket(c, &addr, &rc);

        if (fd >= 0 && (a = make_attempt(c, &addr, fd)) == NULL)
            fd = -ENOMEM;
        if (fd < 0)
            note_failure(c, family, &addr, fd);
    }
    if (a != NULL && keep_others(c) < 0) {
        c->err      = -ENOMEM;
        c->err_addr = a->addr;
        drop_attempt(a);
        a = NULL;
    }
    if (a != NULL)
        win(c, a);
    else if (c->err < 0 && answer[AC__V6].done && answer[AC__V4].done)
        lose(c);
}

/* --- both --------------------------------------------------------------------------------- */

static void step(ac__connector *c)
{
    if (c->type == SOCK_DGRAM)
        step_datagram(c);
    else
        step_stream(c);
}

static void told(ac__lookup *l, void *arg)
{
    ac__connector *c = arg;

    if (l->answer[AC__V6].n == 0 && l->answer[AC__V4].n == 0) {
        unknown(c);
        return;
    }
    if (!c->heard) {
        c->heard             = true;
        c->d->ext_->named_at = ac__now(c->loop);
        c->not_before        = ac__now(c->loop) + RESOLUTION_DELAY;
    }
    step(c);
}

static void delay_over(ac_timer *t)
{
    ac__connector *c = AC_CONTAINER(ac__connector, timer, t);

    arm(c, AC_FOREVER); /* at once, while the place in the heap is surely free */
    step(c);
}

int ac__connector_start(ac_dispatcher *d, const char *host, uint16_t port, int type)
{
    ac__ext       *x    = ac__ext_get(d);
    size_t         size = strlen(host) + 1;
    ac__connector *c    = x != NULL ? ac__calloc(sizeof *c + size) : NULL;

    if (c == NULL)
        return -ENOMEM;
    c->d     = d;
    c->loop  = d->loop;
    c->type  = type;
    c->port  = port;
    c->first = c->last = -1;
    memcpy(c->host, host, size);
    ac__list_init(&c->attempts);
    ac__timer_init(&c->timer, c->loop, delay_over);
    if (ac__lookup_start(c->loop, host, told, c, &c->lookup) < 0) {
        ac__connector_cancel(c);
        return -ENOMEM;
    }
    x->connector = c;
    return 0;
}
