/* SPDX-License-Identifier: MIT */
/**
 * Socket addresses: IPv4, IPv6 and Unix. Nothing here looks a name up.
 *
 * The conventions at the top of <asyncore/base.h> hold here. All of it is thread-safe.
 */
#ifndef ASYNCORE_ADDR_H
#define ASYNCORE_ADDR_H

#include "asyncore/base.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A socket address, by value. `len` is 0 for none. */
typedef struct ac_addr {
    union {
        struct sockaddr     sa;
        struct sockaddr_in  in;
        struct sockaddr_in6 in6;
        struct sockaddr_un  un;
    } u;
    socklen_t len;
} ac_addr;

/** Room for the longest text of ac_addr_format(), its end included. */
#define AC_ADDR_TEXT 160

/**
 * Makes an address from a literal as "192.0.2.1", "2001:db8::1" or "fe80::1%eth0" (RFC 4007), by
 * the strict rules of inet_pton(3): no octal, no short forms, nothing behind it.
 *
 * @param out   written on success only.
 * @param text  the literal, without brackets and port.
 * @return      0, or -AC_ENAME: it is no such literal.
 */
AC_API int ac_addr_ip(ac_addr *out, const char *text, uint16_t port);

/**
 * Makes the address of a Unix socket. A path that begins with "@" is an abstract one (unix(7)).
 * @return  0, -EINVAL (empty) or -ENAMETOOLONG.
 */
AC_API int ac_addr_unix(ac_addr *out, const char *path);

/**
 * Makes an address from "192.0.2.1", "192.0.2.1:80", "::1", "[::1]", "[::1]:80" or "unix:PATH".
 * @param port  taken where the text has none.
 * @return      0, -AC_ENAME, or as ac_addr_unix().
 */
AC_API int ac_addr_parse(ac_addr *out, const char *text, uint16_t port);

/**
 * Splits "HOST", "HOST:PORT", "[ADDR]" or "[ADDR]:PORT" into its two parts; a text with two or more
 * colons and no brackets is an IPv6 address without a port. The host is not looked at further.
 *
 * @param host      out: the host without brackets.
 * @param host_len  room at `host`, its end included.
 * @param port      out: the port, or untouched where the text has none.
 * @return          0, -AC_ENAME (empty host, a port that is no number from 0 to 65535), or
 *                  -ENAMETOOLONG.
 */
AC_API int ac_host_split(const char *text, char *host, size_t host_len, uint16_t *port);

/**
 * Writes an address as "192.0.2.1:80", "[2001:db8::1]:80", "unix:PATH" or "none". IPv4 addresses
 * mapped into IPv6 are shown as IPv4.
 * @param buf  at least AC_ADDR_TEXT bytes for no cut; always ended by NUL when len > 0.
 * @return     `buf`.
 */
AC_API char *ac_addr_format(const ac_addr *addr, char *buf, size_t len);

/** AF_INET, AF_INET6, AF_UNIX, or AF_UNSPEC for none. */
AC_API int ac_addr_family(const ac_addr *addr);

/** The port in host byte order; 0 where the family has none. */
AC_API uint16_t ac_addr_port(const ac_addr *addr);

/** Whether two addresses are the same, port included. */
AC_API bool ac_addr_equal(const ac_addr *a, const ac_addr *b);

#ifdef __cplusplus
}
#endif
#endif
