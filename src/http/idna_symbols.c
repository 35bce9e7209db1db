/* SPDX-License-Identifier: MIT */
/*
 * Labels of ASCII and symbols, as of an emoji domain. By UTS #46 and the URL Standard symbols are
 * valid; libidn2 follows IDNA2008 there and refuses them. They are simple: no mapping changes
 * them, no normalisation joins them, and no rule of direction or context asks for anything. Only
 * Punycode is to be made.
 */
#include "url.h"

#include "asyncore/base.h"

#include <stdint.h>
#include <string.h>

/*
 * The code points beyond ASCII that are valid as they are by the standard's table, that are not
 * letters, marks or digits, and whose direction is neutral or left to right. Sorted. A code point
 * that is once valid stays so in all later versions of Unicode.
 */
static const struct {
    uint32_t first, last;
} symbols[] = {
    {0x00a1, 0x00a7},   {0x00a9, 0x00a9},   {0x00ab, 0x00ac},   {0x00ae, 0x00ae},
    {0x00b0, 0x00b1},   {0x00b6, 0x00b7},   {0x00bb, 0x00bb},   {0x00bf, 0x00bf},
    {0x00d7, 0x00d7},   {0x00f7, 0x00f7},   {0x2010, 0x2010},   {0x2012, 0x2016},
    {0x2018, 0x2023},   {0x2027, 0x2027},   {0x2030, 0x2032},   {0x2035, 0x2035},
    {0x2038, 0x203b},   {0x203d, 0x203d},   {0x203f, 0x2046},   {0x204a, 0x2056},
    {0x2058, 0x205e},   {0x20a0, 0x20a7},   {0x20a9, 0x20c0},   {0x2104, 0x2104},
    {0x2108, 0x2108},   {0x2114, 0x2114},   {0x2117, 0x2118},   {0x211e, 0x211f},
    {0x2123, 0x2123},   {0x2125, 0x2125},   {0x2127, 0x2127},   {0x2129, 0x2129},
    {0x212e, 0x212e},   {0x213a, 0x213a},   {0x2141, 0x2144},   {0x214a, 0x214d},
    {0x214f, 0x214f},   {0x2180, 0x2182},   {0x2185, 0x2188},   {0x218a, 0x218b},
    {0x2190, 0x222b},   {0x222e, 0x222e},   {0x2231, 0x2328},   {0x232b, 0x2426},
    {0x2440, 0x244a},   {0x24eb, 0x2a0b},   {0x2a0d, 0x2a73},   {0x2a77, 0x2adb},
    {0x2add, 0x2b73},   {0x2b76, 0x2b95},   {0x2b97, 0x2bff},   {0x3001, 0x3001},
    {0x3003, 0x3004},   {0x3007, 0x3029},   {0x3030, 0x3030},   {0x3037, 0x3037},
    {0x303d, 0x303f},   {0x1f000, 0x1f02b}, {0x1f030, 0x1f093}, {0x1f0a0, 0x1f0ae},
    {0x1f0b1, 0x1f0bf}, {0x1f0c1, 0x1f0cf}, {0x1f0d1, 0x1f0f5}, {0x1f10b, 0x1f10f},
    {0x1f12f, 0x1f12f}, {0x1f150, 0x1f169}, {0x1f16d, 0x1f18f}, {0x1f191, 0x1f1ad},
    {0x1f1e6, 0x1f1ff}, {0x1f260, 0x1f265}, {0x1f300, 0x1f6d7}, {0x1f6dc, 0x1f6ec},
    {0x1f6f0, 0x1f6fc}, {0x1f700, 0x1f776}, {0x1f77b, 0x1f7d9}, {0x1f7e0, 0x1f7eb},
    {0x1f7f0, 0x1f7f0}, {0x1f800, 0x1f80b}, {0x1f810, 0x1f847}, {0x1f850, 0x1f859},
    {0x1f860, 0x1f887}, {0x1f890, 0x1f8ad}, {0x1f8b0, 0x1f8b1}, {0x1f900, 0x1fa53},
    {0x1fa60, 0x1fa6d}, {0x1fa70, 0x1fa7c}, {0x1fa80, 0x1fa88}, {0x1fa90, 0x1fabd},
    {0x1fabf, 0x1fac5}, {0x1face, 0x1fadb}, {0x1fae0, 0x1fae8}, {0x1faf0, 0x1faf8},
};

static bool is_symbol(uint32_t c)
{
    size_t low = 0, high = sizeof symbols / sizeof *symbols;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c > symbols[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof symbols / sizeof *symbols && c >= symbols[low].first;
}

/* --- Punycode, RFC 3492 ----------------------------------------------------------------------- */

enum { BASE = 36, TMIN = 1, TMAX = 26, SKEW = 38, DAMP = 700, INITIAL_BIAS = 72, INITIAL_N = 128 };

struct text {
    char  *to;
    size_t len, room;
};

static void put(struct text *text, char c)
{
    if (text->len < text->room)
        text->to[text->len] = c;
    text->len++;
}

static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
    uint32_t k = 0;

    delta = first ? delta / DAMP : delta / 2;
    delta += delta / points;
    for (; delta > (BASE - TMIN) * TMAX / 2; k += BASE)
        delta /= BASE - TMIN;
    return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

static void put_number(struct text *text, uint32_t q, uint32_t bias)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";

    for (uint32_t k = BASE;; k += BASE) {
        uint32_t t = k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;

        if (q < t)
            break;
        put(text, digits[t + (q - t) % (BASE - t)]);
        q = (q - t) / (BASE - t);
    }
    put(text, digits[q]);
}

/* With at most 256 code points, no sum here comes near 2^32: the greatest is 0x1fb00 * 257. */
static void put_punycode(struct text *text, const uint32_t *points, size_t count)
{
    uint32_t n = INITIAL_N, delta = 0, bias = INITIAL_BIAS, basic = 0, done;

    for (size_t i = 0; i < count; i++) {
        if (points[i] < 0x80) {
            put(text, (char)points[i]);
            basic++;
        }
    }
    if (basic > 0)
        put(text, '-');
    for (done = basic; done < count; delta++, n++) {
        uint32_t next = UINT32_MAX;

        for (size_t i = 0; i < count; i++)
            next = points[i] >= n && points[i] < next ? points[i] : next;
        delta += (next - n) * (done + 1);
        n = next;
        for (size_t i = 0; i < count; i++) {
            if (points[i] < n)
                delta++;
            if (points[i] == n) {
                put_number(text, delta, bias);
                bias  = adapt(delta, done + 1, done == basic);
                delta = 0;
                done++;
            }
        }
    }
}

/* --- labels ----------------------------------------------------------------------------------- */

static uint32_t decode(const char *p, int len)
{
    uint32_t c = (unsigned char)*p;

    if (len > 1)
        c &= 0x7fU >> len;
    for (int i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return c;
}

int ac__idna_symbols(const char *label, size_t len, char *out, size_t room)
{
    const char *p = label, *end = label + len;
    struct text text  = {out, 0, room};
    size_t      count = 0;
    uint32_t    points[256];
    bool        any = false;

    while (p < end) {
        int      n = (unsigned char)*p < 0x80 ? 1 : ac__utf8_len(p, end);
        uint32_t c;

        if (n < 0)
            return 0;
        c = decode(p, n);
        p += n;
        /* The sign that asks for the coloured form of an emoji is ignored by the table. */
        if (c == 0xfe0f)
            continue;
        if (c >= 0x80 && !is_symbol(c))
            return 0;
        any = any || c >= 0x80;
        if (count == sizeof points / sizeof *points)
            return -AC_EURL;
        points[count++] = c;
    }
    if (!any)
        return 0;
    for (p = "xn--"; *p != '\0'; p++)
        put(&text, *p);
    put_punycode(&text, points, count);
    return text.len <= room ? (int)text.len : -AC_EURL;
}
