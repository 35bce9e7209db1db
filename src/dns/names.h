/* SPDX-License-Identifier: MIT */
/*
 * Host names: which texts are one, and which are known without asking a name server.
 */
#ifndef AC__NAMES_H
#define AC__NAMES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

/* The longest host name in bytes (RFC 1035, 2.3.4), as text and without a final dot. */
enum { AC__NAME_MAX = 253 };

/* The most addresses of one name that are kept and tried. */
enum { AC__IP_MAX = 64 };

/* An address of a host. */
typedef struct ac__ip {
    int family; /* AF_INET or AF_INET6 */
    union {
        struct in_addr  v4;
        struct in6_addr v6;
    } u;
} ac__ip;

/*
 * 0, or -AC_ENAME: the text is no host name. Letters, digits, '-' and '_' make labels of 1 to 63
 * bytes, with dots between them and at most one behind them. A text whose labels are all numbers is
 * none: resolvers of old read "1.2.3", "010.1.1.1" and "0x7f.1" as addresses, each in its own way.
 */
int ac__name_check(const char *host);

/*
 * Names that no server is to be asked for. Fills `out` and returns the number of addresses (of
 * "localhost" and what is below it, RFC 6761); -AC_ENOTFOUND for names that nobody has ("invalid",
 * RFC 6761; "onion", RFC 7686); 0 for all others.
 */
int ac__name_special(const char *host, ac__ip *out);

/*
 * Looks a name up in the file at `path`, which has the form of hosts(5). Fills at most `max`
 * addresses, in the order of the file, and returns their number; a file that cannot be read has
 * none.
 */
unsigned ac__hosts_find(const char *path, const char *host, ac__ip *out, unsigned max);

/* Where that file is; a variable, so that a test can have its own. */
extern const char *ac__hosts_path;

#endif
