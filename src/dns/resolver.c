/* SPDX-License-Identifier: MIT */
/*
 * Lookups: what is known without a server is told at once, the rest waits for its turn and is asked
 * by c-ares. A lookup is in one list:
 *
 *   KNOWN    both families are done, or it was known from the start
 *   WAITING  `max_lookups` others are under way; first in, first out
 *   ASKED    its questions are on their way
 *   LEFT     cancelled, while c-ares still has a question of it, which cannot be taken back singly
 *
 * Answers are noted by the callbacks of c-ares and looked at when the loop serves the resolver, so
 * that nothing is told from inside a call.
 */
#include "resolver.h"

#include "cares.h"

#include "../base/alloc.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { KNOWN, WAITING, ASKED, LEFT, STATES };

/* The most lookups that one turn begins: the parts of a turn are bounded. */
enum { BEGIN_MAX = 64 };

struct ac__resolver {
    ac_loop   *loop;
    ac__source source; /* owed a call when there is something to look at */
    ac__cares  cares;
    ac__link   list[STATES];
    ac__link   due;
    size_t     asked, left; /* the lengths of two of the lists */
    bool       bad_servers;
};

/* --- states ------------------------------------------------------------------------------- */

static void set_state(ac__lookup *l, int state)
{
    struct ac__resolver *r = l->resolver;

    if (ac__linked(&l->link)) {
        ac__list_remove(&l->link);
        r->asked -= l->state == ASKED;
        r->left -= l->state == LEFT;
    }
    l->state = state;
    ac__list_append(&r->list[state], &l->link);
    r->asked += state == ASKED;
    r->left += state == LEFT;
    r->loop->stats.lookups = r->asked;
}

/* Has the lookup looked at by the next serve. */
static void make_due(ac__lookup *l)
{
    struct ac__resolver *r = l->resolver;

    if (!ac__linked(&l->due))
        ac__list_append(&r->due, &l->due);
    ac__source_call(r->loop, &r->source);
}

static void free_lookup(ac__lookup *l)
{
    struct ac__resolver *r = l->resolver;

    if (ac__linked(&l->due))
        ac__list_remove(&l->due);
    ac__list_remove(&l->link);
    r->asked -= l->state == ASKED;
    r->left -= l->state == LEFT;
    r->loop->stats.lookups = r->asked;
    for (int f = 0; f < AC__FAMILIES; f++)
        ac__free(l->answer[f].ip);
    ac__free(l);
}

static bool both_done(const ac__lookup *l)
{
    return l->answer[AC__V6].done && l->answer[AC__V4].done;
}

static bool has_address(const ac__lookup *l)
{
    return l->answer[AC__V6].n > 0 || l->answer[AC__V4].n > 0;
}

static bool is_pending(const ac__lookup *l)
{
    return l->question[AC__V6].pending || l->question[AC__V4].pending;
}

/* --- answers ------------------------------------------------------------------------------ */

static void set_error(ac__lookup *l, int f, int err)
{
    l->answer[f].done = true;
    l->answer[f].err  = err;
}

/* Keeps the addresses of one family out of a list of both. */
static void set_addresses(ac__lookup *l, int f, const ac__ip *ip, unsigned n)
{
    ac__answer *a      = &l->answer[f];
    int         family = f == AC__V6 ? AF_INET6 : AF_INET;
    unsigned    count  = 0;

    for (unsigned i = 0; i < n; i++)
        count += ip[i].family == family;
    if (count == 0) {
        set_error(l, f, -AC_ENOTFOUND);
        return;
    }
    a->ip = ac__alloc(count * sizeof *a->ip);
    if (a->ip == NULL) {
        set_error(l, f, -ENOMEM);
        return;
    }
    for (unsigned i = 0; i < n; i++)
        if (ip[i].family == family)
            a->ip[a->n++] = ip[i];
    a->done = true;
}

static int error_of(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME: /* a domain of the search list makes the name too long: nobody has it */
        return -AC_ENOTFOUND;
    case ARES_ENOMEM:
        return -ENOMEM;
    default:
        return -AC_EDNS;
    }
}

/* The addresses of a DNS message: their number, or a negative error. */
static int read_message(int f, const unsigned char *msg, int len, ac__ip *out)
{
    struct ares_addrttl  v4[AC__IP_MAX];
    struct ares_addr6ttl v6[AC__IP_MAX];
    int                  n = AC__IP_MAX;
    int                  rc;

    if (f == AC__V6)
        rc = ares_parse_aaaa_reply(msg, len, NULL, v6, &n);
    else
        rc = ares_parse_a_reply(msg, len, NULL, v4, &n);
    if (rc != ARES_SUCCESS) /* a bad name in a message is the server's */
        return rc == ARES_EBADNAME ? -AC_EDNS : error_of(rc);
    for (int i = 0; i < n; i++) {
        if (f == AC__V6) {
            out[i].family = AF_INET6;
            memcpy(&out[i].u.v6, &v6[i].ip6addr, sizeof out[i].u.v6);
        } else {
            out[i].family = AF_INET;
            out[i].u.v4   = v4[i].ipaddr;
        }
    }
    return n;
}

/* The callback of every question: notes the answer. */
static void answered(void *arg, int status, int timeouts, unsigned char *msg, int len)
{
    struct ac__question *q = arg;
    ac__lookup          *l = q->lookup;
    int                  f = q == &l->question[AC__V6] ? AC__V6 : AC__V4;
    ac__ip               ip[AC__IP_MAX];
    int                  n;

    (void)timeouts;
    q->pending = false;
    ac__cares_answered(&l->resolver->cares);
    if (l->state == LEFT) {
        if (!is_pending(l))
            free_lookup(l);
        return;
    }
    make_due(l);
    if (status == ARES_EDESTRUCTION)
        return; /* asked again by the new channel */
    if (status == ARES_SUCCESS)
        n = read_message(f, msg, len, ip);
    else
        n = error_of(status);
    if (n < 0)
        set_error(l, f, n);
    else
        set_addresses(l, f, ip, (unsigned)n);
}

/* --- questions ---------------------------------------------------------------------------- */

/*
 * Writes the name to ask for: the host itself and the host below each domain of the search list,
 * the host first if it has dots enough, as resolver(5) has it. Returns false past the last.
 */
static bool candidate_name(const ac__lookup *l, unsigned candidate, char *buf, size_t len)
{
    const struct ares_options *o    = &l->resolver->cares.config;
    size_t                     size = strlen(l->name);
    unsigned                   all  = o->ndomains > 0 ? (unsigned)o->ndomains : 0;
    unsigned                   domain;
    int                        dots = 0;

    for (const char *p = l->name; (p = strchr(p, '.')) != NULL; p++)
        dots++;
    if (l->name[size - 1] == '.')
        all = 0;
    if (candidate > all)
        return false;
    if (all == 0 || candidate == (dots >= o->ndots ? 0 : all)) {
        (void)snprintf(buf, len, "%s", l->name);
        return true;
    }
    domain = dots >= o->ndots ? candidate - 1 : candidate;
    (void)snprintf(buf, len, "%s.%s", l->name, o->domains[domain]);
    return true;
}

/* Asks for the families that have not answered. */
static void ask(ac__lookup *l)
{
    struct ac__resolver *r       = l->resolver;
    static const int     types[] = {[AC__V6] = ns_t_aaaa, [AC__V4] = ns_t_a};
    char                 name[2 * AC__NAME_MAX];

    (void)candidate_name(l, l->candidate, name, sizeof name);
    for (int f = 0; f < AC__FAMILIES; f++)
        if (!l->answer[f].done && !l->question[f].pending) {
            l->question[f].pending = true;
            ac__cares_query(&r->cares, name, types[f], answered, &l->question[f]);
        }
}

/* Begins lookups that wait, as many as the limits let through. */
static void begin(struct ac__resolver *r)
{
    size_t   max  = r->loop->max_lookups;
    unsigned room = BEGIN_MAX;

    /* Those left behind have a limit too: channels that come and go are not to fill the memory. */
    while (room > 0 && r->asked < max && r->asked + r->left < 2 * max
           && !ac__list_empty(&r->list[WAITING])) {
        ac__lookup *l  = AC__OF(ac__lookup, link, r->list[WAITING].next);
        int         rc = ac__cares_open(&r->cares);

        room--;
        r->bad_servers = rc == -EINVAL;
        if (rc < 0) {
            set_state(l, KNOWN);
            for (int f = 0; f < AC__FAMILIES; f++)
                if (!l->answer[f].done)
                    set_error(l, f, rc == -ENOMEM ? rc : -AC_EDNS);
            make_due(l);
            continue;
        }
        set_state(l, ASKED);
        ask(l);
    }
    if (room == 0)
        ac__source_call(r->loop, &r->source);
}

/* Something of the lookup came: asks on, or tells. */
static void look(ac__lookup *l)
{
    char name[2 * AC__NAME_MAX];

    if (l->state == ASKED && both_done(l)) {
        /* Only a name that does not exist for sure is looked for elsewhere. */
        if (!has_address(l) && l->answer[AC__V6].err == -AC_ENOTFOUND
            && l->answer[AC__V4].err == -AC_ENOTFOUND
            && candidate_name(l, l->candidate + 1, name, sizeof name)) {
            l->candidate++;
            l->answer[AC__V6].done = l->answer[AC__V4].done = false;
            l->answer[AC__V6].err = l->answer[AC__V4].err = 0;
            ask(l);
            return;
        }
        set_state(l, KNOWN);
    }
    if (has_address(l) || both_done(l))
        l->told(l, l->arg);
}

static void resolver_serve(ac_loop *loop, ac__source *s, unsigned due)
{
    struct ac__resolver *r = AC__OF(struct ac__resolver, source, s);
    ac__link             batch;

    (void)loop, (void)due;
    ac__list_take(&batch, &r->due);
    while (!ac__list_empty(&batch)) {
        ac__lookup *l = AC__OF(ac__lookup, due, batch.next);

        ac__list_remove(&l->due);
        look(l);
    }
    begin(r);
}

static void resolver_update(ac_loop *loop, ac__source *s)
{
    (void)loop;
    (void)s; /* it has no descriptor */
}

static const ac__source_ops resolver_ops = {
    .update = resolver_update,
    .serve  = resolver_serve,
};

/* --- life --------------------------------------------------------------------------------- */

static struct ac__resolver *resolver_of(ac_loop *loop)
{
    struct ac__resolver *r = loop->resolver;

    if (r != NULL)
        return r;
    r = ac__calloc(sizeof *r);
    if (r == NULL)
        return NULL;
    if (ac__cares_init(&r->cares, loop) < 0) {
        ac__free(r);
        return NULL;
    }
    r->loop = loop;
    ac__source_init(&r->source, &resolver_ops);
    ac__list_init(&r->due);
    for (int i = 0; i < STATES; i++)
        ac__list_init(&r->list[i]);
    loop->resolver = r;
    return r;
}

/* Notes what needs no server. Returns whether that is all. */
static bool answer_now(ac__lookup *l)
{
    ac__ip ip[AC__IP_MAX] = {0};
    int    n              = ac__name_check(l->name);

    if (n == 0)
        n = ac__name_special(l->name, ip);
    if (n == 0)
        n = (int)ac__hosts_find(ac__hosts_path, l->name, ip, AC__IP_MAX);
    if (n == 0)
        return false;
    for (int f = 0; f < AC__FAMILIES; f++) {
        if (n < 0)
            set_error(l, f, n);
        else
            set_addresses(l, f, ip, (unsigned)n);
    }
    return true;
}

int ac__lookup_start(ac_loop *loop, const char *host, void (*told)(ac__lookup *l, void *arg),
                     void *arg, ac__lookup **out)
{
    struct ac__resolver *r    = resolver_of(loop);
    size_t               size = strlen(host) + 1;
    ac__lookup          *l    = r != NULL ? ac__calloc(sizeof *l + size) : NULL;

    if (l == NULL)
        return -ENOMEM;
    l->resolver = r;
    l->told     = told;
    l->arg      = arg;
    memcpy(l->name, host, size);
    for (int f = 0; f < AC__FAMILIES; f++)
        l->question[f].lookup = l;
    if (answer_now(l)) {
        set_state(l, KNOWN);
        make_due(l);
    } else {
        set_state(l, WAITING);
        ac__source_call(loop, &r->source);
    }
    *out = l;
    return 0;
}

void ac__lookup_cancel(ac__lookup *l)
{
    struct ac__resolver *r = l->resolver;

    if (!is_pending(l)) {
        free_lookup(l);
    } else {
        if (ac__linked(&l->due))
            ac__list_remove(&l->due);
        l->told = NULL;
        set_state(l, LEFT);
    }
    if (r->asked == 0 && r->left > 0)
        ac__cares_cancel(&r->cares); /* nobody waits for any answer */
    if (!ac__list_empty(&r->list[WAITING]))
        ac__source_call(r->loop, &r->source);
}

bool ac__nameservers_bad(const ac_loop *loop)
{
    return loop->resolver != NULL && loop->resolver->bad_servers;
}

static void resolver_end(ac_loop *loop)
{
    struct ac__resolver *r = loop->resolver;

    if (r == NULL)
        return;
    ac__cares_end(&r->cares);
    for (int i = 0; i < STATES; i++)
        while (!ac__list_empty(&r->list[i]))
            free_lookup(AC__OF(ac__lookup, link, r->list[i].next));
    if (ac__linked(&r->source.work))
        ac__list_remove(&r->source.work);
    loop->resolver = NULL;
    ac__free(r);
}

/* In a child: the sockets are the parent's too, so all that is under way is asked by new ones. */
static int resolver_forked(ac_loop *loop)
{
    struct ac__resolver *r = loop->resolver;

    if (r == NULL)
        return 0;
    ac__cares_close(&r->cares);
    while (!ac__list_empty(&r->list[ASKED])) {
        ac__lookup *l = AC__OF(ac__lookup, link, r->list[ASKED].prev);

        set_state(l, WAITING);
        /* It was begun before those that wait, and it goes on before them. */
        ac__list_remove(&l->link);
        ac__list_append(r->list[WAITING].next, &l->link);
    }
    ac__source_call(loop, &r->source);
    return 0;
}

struct ac__loop_hooks ac__resolver_hooks = {.end = resolver_end, .forked = resolver_forked};
