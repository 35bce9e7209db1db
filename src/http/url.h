/* SPDX-License-Identifier: MIT */
/* The URL parser's inner parts: the host, and internationalised domain names. */
#ifndef AC__URL_H
#define AC__URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No URL is longer, neither as it comes in nor as it goes out. */
#define AC__URL_MAX ((size_t)1 << 20)

/*
 * What a domain with characters outside ASCII may have, as UTF-8 and then as ASCII. The DNS has
 * room for 253, but code points that are ignored may make the former long. The limits keep the cost
 * of a hostile name small: libidn2 is called once a label.
 */
#define AC__IDNA_IN  ((size_t)2048)
#define AC__IDNA_OUT ((size_t)1024)

/* Whether `c` may not be in a domain, whatever wrote it there (the standard's forbidden domain code
 * points). For c < 0x80. */
bool ac__url_forbidden(unsigned char c);

/*
 * The length of the character at `p`, which is not ASCII: 2 to 4 bytes. If it is no UTF-8, the
 * length of what one U+FFFD replaces, negated.
 */
int ac__utf8_len(const char *p, const char *end);

/*
 * The host parser: `in` is a host as it stands in a URL (a domain, an IPv4 address in any of its
 * forms, an IPv6 address in brackets). Writes its serialisation, with no NUL at the end, to `out`,
 * which has room for the greater of `len` and AC__IDNA_OUT. Returns its length, -AC_EURL or
 * -ENOMEM.
 */
int ac__url_host(const char *in, size_t len, char *out);

/*
 * Domain to ASCII, for one that is not ASCII. `domain` is lower-case as far as it is ASCII, has no
 * NUL, is written over, and has room for one byte more than `len`; `out` has AC__IDNA_OUT. Returns
 * the length written, -AC_EURL or -ENOMEM.
 */
int ac__idna_to_ascii(char *domain, size_t len, char *out);

/*
 * The same for one label of ASCII and symbols that no mapping changes, which libidn2 does not take.
 * Returns the length written, at most `room`; 0: it is no such label; -AC_EURL: it is too long.
 */
int ac__idna_symbols(const char *label, size_t len, char *out, size_t room);

/* The lower-case form of an ASCII letter; other bytes are left alone, whatever the locale. */
static inline char ac__url_lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c;
}

static inline bool ac__url_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Writes a number in decimal, without a NUL; returns its length, at most 10. snprintf() costs more than
 * all else that a URL needs. */
static inline size_t ac__url_decimal(char *out, uint32_t value)
{
    char   digits[10];
    size_t n = 0;

    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

/* The value of a hexadecimal digit, or -1. */
static inline int ac__url_hex(char c)
{
    if (ac__url_digit(c))
        return c - '0';
    c = ac__url_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
