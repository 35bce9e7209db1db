/* SPDX-License-Identifier: MIT */
/*
 * The host of a URL: a domain, or an IPv4 or IPv6 address in any form that the URL Standard knows,
 * made the one form that is compared and sent.
 */
#include "url.h"

#include "asyncore/base.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* --- IPv4 ------------------------------------------------------------------------------------- */

/*
 * The value of one part: decimal, octal after "0", hexadecimal after "0x". -1: it is none. What
 * is beyond 32 bits stays there.
 */
static int64_t ipv4_number(const char *p, const char *end)
{
    int64_t value = 0;
    int     radix = 10;

    if (p == end)
        return -1;
    if (*p == '0' && end - p >= 2) {
        radix = ac__url_lower(p[1]) == 'x' ? 16 : 8;
        p += radix == 16 ? 2 : 1;
    }
    for (; p < end; p++) {
        int digit = ac__url_hex(*p);

        if (digit < 0 || digit >= radix)
            return -1;
        value = value * radix + digit;
        if (value > UINT32_MAX)
            value = (int64_t)UINT32_MAX + 1;
    }
    return value;
}

/* Whether the last label, an empty one set aside, is a number: then it is to be an address. */
static bool ends_in_number(const char *in, size_t len)
{
    const char *end, *last, *p;

    if (len > 0 && in[len - 1] == '.')
        len--;
    end = in + len;
    for (last = end; last > in && last[-1] != '.';)
        last--;
    if (last == end)
        return false;
    for (p = last; p < end && ac__url_digit(*p);)
        p++;
    return p == end || ipv4_number(last, end) >= 0;
}

static int parse_ipv4(const char *in, size_t len, char *out)
{
    const char *end = in + len, *p = in;
    uint64_t    addr  = 0;
    int         parts = 0;
    char        text[16];
    int         n = 0;

    if (len > 0 && end[-1] == '.')
        end--;
    for (;; p++) {
        const char *part = p;
        int64_t     value;

        p     = memchr(part, '.', (size_t)(end - part));
        p     = p != NULL ? p : end;
        value = ipv4_number(part, p);
        if (value < 0 || parts == 4)
            return -AC_EURL;
        parts++;
        if (p == end) {
            /* The last part fills what the others have left. */
            if (value >= INT64_C(1) << 8 * (5 - parts))
                return -AC_EURL;
            addr = addr << 8 * (5 - parts) | (uint64_t)value;
            break;
        }
        if (value > 255)
            return -AC_EURL;
        addr = addr << 8 | (uint64_t)value;
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
        n += (int)ac__url_decimal(text + n, (uint32_t)(addr >> shift & 255));
        if (shift > 0)
            text[n++] = '.';
    }
    memcpy(out, text, (size_t)n);
    return n;
}

/* --- IPv6 ------------------------------------------------------------------------------------- */

/* The four decimal parts at the end of an IPv6 address, of which no part begins with a zero. */
static int ipv6_tail(const char *p, const char *end, uint16_t *pieces)
{
    for (int i = 0; i < 4; i++) {
        const char *part  = p;
        unsigned    value = 0;

        for (; p < end && ac__url_digit(*p) && value <= 255; p++)
            value = value * 10 + (unsigned)(*p - '0');
        if (p == part || value > 255 || (*part == '0' && p - part > 1))
            return -AC_EURL;
        pieces[i / 2] = (uint16_t)((unsigned)pieces[i / 2] << 8 | value);
        if (i < 3 && (p == end || *p++ != '.'))
            return -AC_EURL;
    }
    return p == end ? 0 : -AC_EURL;
}

/* Reads up to 8 pieces and the place of the "::", -1: none. Returns how many pieces there are. */
static int ipv6_pieces(const char *p, const char *end, uint16_t pieces[8], int *gap)
{
    int n = 0;

    *gap = -1;
    if (p < end && *p == ':') {
        if (end - p < 2 || p[1] != ':')
            return -AC_EURL;
        p += 2;
        *gap = 0;
    }
    while (p < end) {
        const char *piece = p;
        unsigned    value = 0;

        if (n == 8)
            return -AC_EURL;
        if (*p == ':') {
            if (*gap >= 0 || n == 0)
                return -AC_EURL;
            p++;
            *gap = n;
            continue;
        }
        for (; p < end && p - piece < 4 && ac__url_hex(*p) >= 0; p++)
            value = value << 4 | (unsigned)ac__url_hex(*p);
        if (p < end && *p == '.') {
            if (n > 6 || ipv6_tail(piece, end, pieces + n) != 0)
                return -AC_EURL;
            return n + 2;
        }
        if (p == piece)
            return -AC_EURL;
        pieces[n++] = (uint16_t)value;
        if (p < end && (*p++ != ':' || p == end))
            return -AC_EURL;
    }
    return n;
}

/* The first of the longest runs of two or more zeroes, of which `*run` says the length. */
static int ipv6_zeroes(const uint16_t pieces[8], int *run)
{
    int at = -1;

    *run = 1;
    for (int i = 0; i < 8;) {
        int j = i;

        while (j < 8 && pieces[j] == 0)
            j++;
        if (j - i > *run) {
            *run = j - i;
            at   = i;
        }
        i = j + 1;
    }
    return at;
}

static int parse_ipv6(const char *in, size_t len, char *out)
{
    uint16_t pieces[8] = {0};
    char     text[48];
    int      gap, n, run, zeroes, at = 0;

    n = ipv6_pieces(in, in + len, pieces, &gap);
    if (n < 0 || (gap < 0 ? n != 8 : n == 8))
        return -AC_EURL;
    if (gap >= 0) {
        size_t behind = (size_t)(n - gap);

        memmove(pieces + 8 - behind, pieces + gap, behind * sizeof *pieces);
        memset(pieces + gap, 0, (size_t)(8 - n) * sizeof *pieces);
    }
    zeroes     = ipv6_zeroes(pieces, &run);
    text[at++] = '[';
    for (int i = 0; i < 8; i++) {
        if (i == zeroes) {
            at += snprintf(text + at, sizeof text - (size_t)at, i == 0 ? "::" : ":");
            i += run - 1;
            continue;
        }
        at += snprintf(text + at, sizeof text - (size_t)at, i < 7 ? "%x:" : "%x", pieces[i]);
    }
    text[at++] = ']';
    memcpy(out, text, (size_t)at);
    return at;
}

/* --- domains ---------------------------------------------------------------------------------- */

/* Decodes what is percent-encoded, and lower-cases the rest. `*plain`: all of it is ASCII. */
static size_t decode(const char *in, size_t len, char *out, bool *plain)
{
    size_t at = 0;

    *plain = true;
    for (size_t i = 0; i < len; i++) {
        char c = in[i];

        if (c == '%' && len - i > 2 && ac__url_hex(in[i + 1]) >= 0 && ac__url_hex(in[i + 2]) >= 0) {
            c = (char)(ac__url_hex(in[i + 1]) << 4 | ac__url_hex(in[i + 2]));
            i += 2;
        }
        *plain    = *plain && (unsigned char)c < 0x80;
        out[at++] = ac__url_lower(c);
    }
    return at;
}

static int to_ascii(char *domain, size_t len)
{
    char copy[AC__IDNA_IN + 1];

    if (len > AC__IDNA_IN || memchr(domain, '\0', len) != NULL)
        return -AC_EURL;
    memcpy(copy, domain, len);
    return ac__idna_to_ascii(copy, len, domain);
}

int ac__url_host(const char *in, size_t len, char *out)
{
    bool plain;
    int  n;

    if (len > 0 && in[0] == '[')
        return len > 1 && in[len - 1] == ']' ? parse_ipv6(in + 1, len - 2, out) : -AC_EURL;
    n = (int)decode(in, len, out, &plain);
    if (!plain)
        n = to_ascii(out, (size_t)n);
    if (n <= 0)
        return n == 0 ? -AC_EURL : n;
    for (int i = 0; i < n; i++) {
        /* Also after IDNA: full-width forms of these map to them. */
        if ((unsigned char)out[i] >= 0x80 || ac__url_forbidden((unsigned char)out[i]))
            return -AC_EURL;
    }
    return ends_in_number(out, (size_t)n) ? parse_ipv4(out, (size_t)n, out) : n;
}
