/* SPDX-License-Identifier: MIT */
/*
 * Domain names beyond ASCII, made ASCII as UTS #46 has it and as the URL Standard calls it:
 * non-transitional, with no checks of hyphens, of lengths or of the STD3 rules.
 *
 * libidn2 does the mapping, the checks of labels and Punycode. It gets one label at a time and only
 * those that need it: it checks hyphens and lengths as the DNS would, also in labels that are ASCII
 * beside one that is not. Labels of symbols are done without it. docs/url.md lists what differs.
 */
#include "url.h"

#include "asyncore/base.h"

#include <errno.h>
#include <idn2.h>
#include <stdint.h>
#include <string.h>

/* The length of a dot, or of what is mapped to it: U+3002, U+FF0E, U+FF61. 0: neither. */
static size_t dot_len(const char *p, const char *end)
{
    if (*p == '.')
        return 1;
    if (end - p >= 3
        && (memcmp(p, "\xe3\x80\x82", 3) == 0 || memcmp(p, "\xef\xbc\x8e", 3) == 0
            || memcmp(p, "\xef\xbd\xa1", 3) == 0))
        return 3;
    return 0;
}

/*
 * What the standard maps and tables before Unicode 15.1 and 16 do not, or otherwise. None becomes
 * longer by it.
 */
static const struct {
    const char *from, *to;
} newer[] = {
    {"\xe1\xba\x9e", "\xc3\x9f"},         /* U+1E9E, the capital sharp s: U+00DF, not "ss" */
    {"\xd3\x80", "\xd3\x8f"},             /* U+04C0: U+04CF */
    {"\xe2\x86\x83", "\xe2\x86\x84"},     /* U+2183: U+2184 */
    {"\xf0\xaf\xa1\xa8", "\xe3\x9b\xbc"}, /* U+2F868: U+36FC */
    {"\xe1\xa0\x8e", ""},                 /* U+180E */
    {"\xe2\x81\xaa", ""},
    {"\xe2\x81\xab", ""}, /* U+206A to U+206F */
    {"\xe2\x81\xac", ""},
    {"\xe2\x81\xad", ""},
    {"\xe2\x81\xae", ""},
    {"\xe2\x81\xaf", ""},
};

/* Maps these, in place. Returns the new length, 0 for what is no UTF-8. */
static size_t map_newer(char *text, size_t len)
{
    const char *p = text, *end = text + len;
    size_t      at = 0;

    while (p < end) {
        int         n  = (unsigned char)*p < 0x80 ? 1 : ac__utf8_len(p, end);
        const char *to = NULL;

        if (n < 0)
            return 0;
        for (size_t i = 0; n > 1 && to == NULL && i < sizeof newer / sizeof *newer; i++) {
            if (strncmp(p, newer[i].from, (size_t)n) == 0)
                to = newer[i].to;
        }
        if (to == NULL) {
            memmove(text + at, p, (size_t)n);
            at += (size_t)n;
        } else {
            memcpy(text + at, to, strlen(to));
            at += strlen(to);
        }
        p += n;
    }
    return at;
}

/* Makes the label ASCII by libidn2; ends it with a NUL, for which there is room. */
static int convert(char *label, size_t len, char *out, size_t room)
{
    uint8_t *ascii = NULL;
    int      flags = IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL;
    size_t   have;
    int      rc;

    label[len] = '\0';
    /* The result is read back by the STD3 rules, under which punctuation would not pass. What comes
     * as Punycode is always decoded and checked; nothing else needs the second look. */
    if (strncmp(label, "xn--", 4) != 0)
        flags |= IDN2_NO_ALABEL_ROUNDTRIP;
    rc = idn2_lookup_u8((const uint8_t *)label, &ascii, flags);
    if (rc != IDN2_OK)
        return rc == IDN2_MALLOC ? -ENOMEM : -AC_EURL;
    have = strlen((const char *)ascii);
    if (have <= room)
        memcpy(out, ascii, have);
    idn2_free(ascii);
    return have <= room ? (int)have : -AC_EURL;
}

static int put_label(char *label, size_t len, char *out, size_t room)
{
    bool plain = true;
    int  n     = 0;

    for (size_t i = 0; i < len; i++)
        plain = plain && (unsigned char)label[i] < 0x80;
    if (len >= 4 && memcmp(label, "xn--", 4) == 0)
        return convert(label, len, out, room);
    if (!plain) {
        n = ac__idna_symbols(label, len, out, room);
        return n != 0 ? n : convert(label, len, out, room);
    }
    if (len > room)
        return -AC_EURL;
    memcpy(out, label, len);
    return (int)len;
}

int ac__idna_to_ascii(char *domain, size_t len, char *out)
{
    char  *end, *p = domain;
    size_t at = 0;

    len = map_newer(domain, len);
    end = domain + len;
    for (;;) {
        char  *label = p;
        size_t dot   = 0;
        int    rc;

        while (p < end && (dot = dot_len(p, end)) == 0)
            p++;
        /* The NUL behind the label may take the place of the separator, which has been read. */
        rc = put_label(label, (size_t)(p - label), out + at, AC__IDNA_OUT - at);
        if (rc < 0)
            return rc;
        at += (size_t)rc;
        if (dot == 0)
            return (int)at;
        if (at == AC__IDNA_OUT)
            return -AC_EURL;
        out[at++] = '.';
        p += dot;
    }
}
