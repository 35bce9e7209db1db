/* SPDX-License-Identifier: MIT */
/* Host names: their syntax, the special ones, and the hosts file. */
#include "names.h"

#include "asyncore/base.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { LABEL_MAX = 63 };

const char *ac__hosts_path = "/etc/hosts";

/* The length of a name without its final dot. */
static size_t bare_length(const char *host)
{
    size_t len = strlen(host);

    return len > 0 && host[len - 1] == '.' ? len - 1 : len;
}

/* Whether a label reads as a number: decimal, octal or hexadecimal. */
static bool is_number(const char *label, size_t len)
{
    bool hex = len > 1 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X');

    for (size_t i = hex ? 2 : 0; i < len; i++)
        if (hex ? !isxdigit((unsigned char)label[i]) : !isdigit((unsigned char)label[i]))
            return false;
    return true;
}

/* <ctype.h> asks the locale, which could let bytes beyond ASCII through. */
static bool is_label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'
           || c == '_';
}

int ac__name_check(const char *host)
{
    size_t len     = bare_length(host);
    size_t start   = 0;
    bool   numbers = true;

    if (len == 0 || len > AC__NAME_MAX)
        return -AC_ENAME;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && host[i] != '.') {
            if (!is_label_byte(host[i]))
                return -AC_ENAME;
            continue;
        }
        if (i == start || i - start > LABEL_MAX)
            return -AC_ENAME;
        numbers = numbers && is_number(host + start, i - start);
        start   = i + 1;
    }
    return numbers ? -AC_ENAME : 0;
}

/* Whether `host` is `domain` or a name below it. */
static bool is_within(const char *host, const char *domain)
{
    size_t len  = bare_length(host);
    size_t tail = strlen(domain);

    return len >= tail && strncasecmp(host + len - tail, domain, tail) == 0
           && (len == tail || host[len - tail - 1] == '.');
}

int ac__name_special(const char *host, ac__ip *out)
{
    if (is_within(host, "invalid") || is_within(host, "onion"))
        return -AC_ENOTFOUND;
    if (!is_within(host, "localhost"))
        return 0;
    out[0] = (ac__ip){.family = AF_INET6, .u.v6 = in6addr_loopback};
    out[1] = (ac__ip){.family = AF_INET, .u.v4.s_addr = htonl(INADDR_LOOPBACK)};
    return 2;
}

/* --- the hosts file ----------------------------------------------------------------------- */

/* Where the reading of the file is: it is read in pieces, and its lines have no bound. */
struct scan {
    const char *host;
    size_t      host_len;
    char        word[AC__NAME_MAX + 1];
    size_t      len;     /* of `word`; one more than fits: too long to be of interest */
    bool        comment; /* up to the end of the line */
    bool        first;   /* the next word is the line's address */
    bool        taken;   /* the line has named the host already */
    ac__ip      ip;      /* the line's address; family 0: none */
    ac__ip     *out;
    unsigned    n, max;
};

static void read_address(struct scan *s)
{
    s->ip.family = 0;
    if (s->len > sizeof s->word - 1)
        return;
    s->word[s->len] = '\0';
    if (inet_pton(AF_INET, s->word, &s->ip.u.v4) == 1)
        s->ip.family = AF_INET;
    else if (inet_pton(AF_INET6, s->word, &s->ip.u.v6) == 1)
        s->ip.family = AF_INET6;
}

static void end_word(struct scan *s)
{
    if (s->len == 0)
        return;
    if (s->first) {
        read_address(s);
        s->first = false;
    } else if (s->ip.family != 0 && !s->taken && s->len == s->host_len && s->n < s->max
               && strncasecmp(s->word, s->host, s->len) == 0) {
        s->out[s->n++] = s->ip;
        s->taken       = true;
    }
    s->len = 0;
}

static void scan_byte(struct scan *s, char c)
{
    if (c == '\n') {
        end_word(s);
        s->comment = false;
        s->first   = true;
        s->taken   = false;
    } else if (s->comment) {
        return;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '#') {
        end_word(s);
        s->comment = c == '#';
    } else if (s->len < sizeof s->word) {
        s->word[s->len++] = c;
    }
}

unsigned ac__hosts_find(const char *path, const char *host, ac__ip *out, unsigned max)
{
    struct scan s  = {.host = host, .first = true, .out = out, .max = max};
    int         fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char        buf[4096];
    ssize_t     n;

    if (fd < 0)
        return 0;
    s.host_len = bare_length(host);
    while ((n = read(fd, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++)
            scan_byte(&s, buf[i]);
    scan_byte(&s, '\n');
    (void)close(fd);
    return s.n;
}
