/* SPDX-License-Identifier: MIT */
/*
 * Lookups of names: the addresses of a host, IPv6 and IPv4 asked for at once and told as they come.
 */
#ifndef AC__RESOLVER_H
#define AC__RESOLVER_H

#include "names.h"

#include "../loop/loop_private.h"

/* The index of a family. */
enum { AC__V6, AC__V4, AC__FAMILIES };

/* What one family has come to. */
typedef struct ac__answer {
    bool     done;
    int      err; /* 0, or negative: -AC_ENAME, -AC_ENOTFOUND, -AC_EDNS, -ENOMEM */
    unsigned n;   /* 0 with an error, and only then */
    ac__ip  *ip;
} ac__answer;

typedef struct ac__lookup ac__lookup;

/* One question of a lookup, on its way in c-ares. */
struct ac__question {
    ac__lookup *lookup;
    bool        pending;
};

struct ac__lookup {
    ac__answer answer[AC__FAMILIES]; /* read only */

    struct ac__resolver *resolver;
    void (*told)(ac__lookup *l, void *arg); /* NULL: nobody waits for it any more */
    void               *arg;
    ac__link            link; /* in the resolver's list of its state */
    ac__link            due;  /* in `due`: an answer came, or all is known from the start */
    struct ac__question question[AC__FAMILIES];
    int                 state;
    unsigned            candidate; /* which of the names of the search list is asked for */
    char                name[];
};

/*
 * Begins to look a name up.
 *
 * told  runs from the loop, never inside this call or another: when the first family has addresses
 *       and the other has not answered yet, and when both are done. It may cancel the lookup.
 * out   stays valid until ac__lookup_cancel(), which must come.
 * Returns 0 or -ENOMEM, with nothing started. Every other failure is told.
 */
int ac__lookup_start(ac_loop *loop, const char *host, void (*told)(ac__lookup *l, void *arg),
                     void *arg, ac__lookup **out);

/* Ends a lookup, whether it is done or under way; `told` runs no more. */
void ac__lookup_cancel(ac__lookup *l);

/* Whether the lookups fail because the loop's list of name servers cannot be read. */
bool ac__nameservers_bad(const ac_loop *loop);

#endif
