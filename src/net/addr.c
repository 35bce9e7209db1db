/* SPDX-License-Identifier: MIT */
/* Socket addresses and their texts. */
#include "asyncore/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* Where the path of a Unix address begins; an address of that length has none. */
enum { PATH_AT = offsetof(struct sockaddr_un, sun_path) };

/* Reads a decimal number without sign, at most `max`: 0 or -AC_ENAME. */
static int read_number(const char *text, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;

    if (*text == '\0')
        return -AC_ENAME;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -AC_ENAME;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > max)
            return -AC_ENAME;
    }
    *out = (uint32_t)value;
    return 0;
}

/* A zone is the name of an interface or its number. */
static int read_zone(const char *zone, uint32_t *out)
{
    unsigned index = strlen(zone) < IF_NAMESIZE ? if_nametoindex(zone) : 0;

    if (index == 0)
        return read_number(zone, UINT32_MAX, out);
    *out = index;
    return 0;
}

int ac_addr_ip(ac_addr *out, const char *text, uint16_t port)
{
    char        literal[INET6_ADDRSTRLEN];
    const char *zone;
    size_t      len;
    ac_addr     addr;

    if (out == NULL || text == NULL)
        return -EINVAL;
    memset(&addr, 0, sizeof addr);
    if (inet_pton(AF_INET, text, &addr.u.in.sin_addr) == 1) {
        addr.u.in.sin_family = AF_INET;
        addr.u.in.sin_port   = htons(port);
        addr.len             = sizeof addr.u.in;
        *out                 = addr;
        return 0;
    }

    zone = strchr(text, '%');
    len  = zone != NULL ? (size_t)(zone - text) : strlen(text);
    if (len >= sizeof literal)
        return -AC_ENAME;
    memcpy(literal, text, len);
    literal[len] = '\0';
    memset(&addr, 0, sizeof addr);
    if (inet_pton(AF_INET6, literal, &addr.u.in6.sin6_addr) != 1)
        return -AC_ENAME;
    if (zone != NULL && read_zone(zone + 1, &addr.u.in6.sin6_scope_id) < 0)
        return -AC_ENAME;
    addr.u.in6.sin6_family = AF_INET6;
    addr.u.in6.sin6_port   = htons(port);
    addr.len               = sizeof addr.u.in6;
    *out                   = addr;
    return 0;
}

int ac_addr_unix(ac_addr *out, const char *path)
{
    size_t  len;
    ac_addr addr;

    if (out == NULL || path == NULL)
        return -EINVAL;
    len = strlen(path);
    if (len == 0 || (path[0] == '@' && len == 1))
        return -EINVAL;
    memset(&addr, 0, sizeof addr);
    addr.u.un.sun_family = AF_UNIX;
    if (path[0] == '@') {
        /* An abstract name has no end but the length of the address. */
        if (len > sizeof addr.u.un.sun_path)
            return -ENAMETOOLONG;
        memcpy(addr.u.un.sun_path + 1, path + 1, len - 1);
        addr.len = (socklen_t)(PATH_AT + len);
    } else {
        if (len >= sizeof addr.u.un.sun_path)
            return -ENAMETOOLONG;
        memcpy(addr.u.un.sun_path, path, len);
        addr.len = (socklen_t)(PATH_AT + len + 1);
    }
    *out = addr;
    return 0;
}

int ac_addr_parse(ac_addr *out, const char *text, uint16_t port)
{
    char    host[AC_ADDR_TEXT];
    ac_addr addr;
    int     rc;

    if (out == NULL || text == NULL)
        return -EINVAL;
    if (strncmp(text, "unix:", 5) == 0)
        return ac_addr_unix(out, text + 5);
    if (ac_host_split(text, host, sizeof host, &port) < 0)
        return -AC_ENAME;
    rc = ac_addr_ip(&addr, host, port);
    if (rc < 0)
        return rc;
    /* Brackets are IPv6's. */
    if (text[0] == '[' && addr.u.sa.sa_family != AF_INET6)
        return -AC_ENAME;
    *out = addr;
    return 0;
}

int ac_host_split(const char *text, char *host, size_t host_len, uint16_t *port)
{
    const char *begin, *end, *colon;
    size_t      len;
    uint32_t    number = 0;

    if (text == NULL || host == NULL)
        return -EINVAL;
    if (text[0] == '[') {
        begin = text + 1;
        end   = strchr(begin, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return -AC_ENAME;
        colon = end[1] == ':' ? end + 1 : NULL;
    } else {
        begin = text;
        colon = strchr(text, ':');
        if (colon != NULL && strchr(colon + 1, ':') != NULL)
            colon = NULL;
        end = colon != NULL ? colon : text + strlen(text);
    }

    len = (size_t)(end - begin);
    if (len == 0 || (colon != NULL && read_number(colon + 1, UINT16_MAX, &number) < 0))
        return -AC_ENAME;
    if (len >= host_len)
        return -ENAMETOOLONG;
    memmove(host, begin, len);
    host[len] = '\0';
    if (colon != NULL && port != NULL)
        *port = (uint16_t)number;
    return 0;
}

int ac_addr_family(const ac_addr *addr)
{
    socklen_t need;

    if (addr == NULL || addr->len < (socklen_t)sizeof addr->u.sa.sa_family
        || addr->len > (socklen_t)sizeof addr->u)
        return AF_UNSPEC;
    switch (addr->u.sa.sa_family) {
    case AF_INET:
        need = sizeof addr->u.in;
        break;
    case AF_INET6:
        need = sizeof addr->u.in6;
        break;
    case AF_UNIX:
        need = PATH_AT;
        break;
    default:
        return AF_UNSPEC;
    }
    return addr->len >= need ? addr->u.sa.sa_family : AF_UNSPEC;
}

/* The name of a Unix address: with its leading NUL if it is abstract, without an end if not. */
static const char *unix_name(const ac_addr *addr, size_t *len)
{
    const char *path = addr->u.un.sun_path;
    size_t      room = addr->len - PATH_AT;

    *len = room > 0 && path[0] == '\0' ? room : strnlen(path, room);
    return path;
}

static void format_unix(const ac_addr *addr, char *buf, size_t len)
{
    char        name[sizeof addr->u.un.sun_path];
    size_t      n;
    const char *path = unix_name(addr, &n);

    /* A NUL, the first of an abstract name or one inside it, is shown as "@". */
    for (size_t i = 0; i < n; i++)
        name[i] = path[i];
    for (size_t i = 0; i < n; i++)
        if (name[i] == '\0')
            name[i] = '@';
    snprintf(buf, len, "unix:%.*s", (int)n, name);
}

static void format_in6(const struct sockaddr_in6 *in6, char *buf, size_t len)
{
    char text[INET6_ADDRSTRLEN], zone[IF_NAMESIZE + 1] = "";

    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof text);
        snprintf(buf, len, "%s:%u", text, ntohs(in6->sin6_port));
        return;
    }
    inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
    if (in6->sin6_scope_id != 0) {
        zone[0] = '%';
        if (if_indextoname(in6->sin6_scope_id, zone + 1) == NULL)
            snprintf(zone + 1, sizeof zone - 1, "%u", (unsigned)in6->sin6_scope_id);
    }
    snprintf(buf, len, "[%s%s]:%u", text, zone, ntohs(in6->sin6_port));
}

char *ac_addr_format(const ac_addr *addr, char *buf, size_t len)
{
    char text[INET_ADDRSTRLEN];

    if (buf == NULL || len == 0)
        return buf;
    switch (ac_addr_family(addr)) {
    case AF_INET:
        inet_ntop(AF_INET, &addr->u.in.sin_addr, text, sizeof text);
        snprintf(buf, len, "%s:%u", text, ntohs(addr->u.in.sin_port));
        break;
    case AF_INET6:
        format_in6(&addr->u.in6, buf, len);
        break;
    case AF_UNIX:
        format_unix(addr, buf, len);
        break;
    default:
        snprintf(buf, len, "none");
        break;
    }
    return buf;
}

uint16_t ac_addr_port(const ac_addr *addr)
{
    switch (ac_addr_family(addr)) {
    case AF_INET:
        return ntohs(addr->u.in.sin_port);
    case AF_INET6:
        return ntohs(addr->u.in6.sin6_port);
    default:
        return 0;
    }
}

bool ac_addr_equal(const ac_addr *a, const ac_addr *b)
{
    int    family = ac_addr_family(a);
    size_t a_len, b_len;

    if (family != ac_addr_family(b) || ac_addr_port(a) != ac_addr_port(b))
        return false;
    switch (family) {
    case AF_INET:
        return a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
    case AF_INET6:
        /* The flow label is no part of an address. */
        return IN6_ARE_ADDR_EQUAL(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr)
               && a->u.in6.sin6_scope_id == b->u.in6.sin6_scope_id;
    case AF_UNIX: {
        const char *a_name = unix_name(a, &a_len), *b_name = unix_name(b, &b_len);

        return a_len == b_len && memcmp(a_name, b_name, a_len) == 0;
    }
    default:
        return true;
    }
}
