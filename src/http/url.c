/* SPDX-License-Identifier: MIT */
/*
 * URLs of http and https, by the WHATWG URL Standard.
 *
 * The standard describes a machine of 21 states that walks over code points. For these two schemes
 * it comes to cutting the text at a few bytes, so that is done here; the outcome is the same. The
 * serialisation is the result: every part is written once, in its place, percent-encoded as that
 * place asks. All is linear in the length: what ".." takes away is walked over once more, and then
 * never again.
 */
#include "asyncore/url.h"

#include "../base/alloc.h"
#include "asyncore/base.h"
#include "url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- characters ------------------------------------------------------------------------------- */

/* Which bytes are percent-encoded in which place. */
enum {
    IN_FRAGMENT = 1,
    IN_QUERY    = 2,
    IN_PATH     = 4,
    IN_USERINFO = 8,
    NO_DOMAIN   = 16, /* and which cannot be in a domain */
};

#define ALL (IN_FRAGMENT | IN_QUERY | IN_PATH | IN_USERINFO)

/* ASCII beyond the controls, from the space on. */
static const unsigned char printable[0x60] = {
    [' ' - 0x20]  = ALL | NO_DOMAIN,
    ['"' - 0x20]  = ALL,
    ['#' - 0x20]  = IN_QUERY | IN_PATH | IN_USERINFO | NO_DOMAIN,
    ['%' - 0x20]  = NO_DOMAIN,
    ['\'' - 0x20] = IN_QUERY,
    ['/' - 0x20]  = IN_USERINFO | NO_DOMAIN,
    [':' - 0x20]  = IN_USERINFO | NO_DOMAIN,
    [';' - 0x20]  = IN_USERINFO,
    ['<' - 0x20]  = ALL | NO_DOMAIN,
    ['=' - 0x20]  = IN_USERINFO,
    ['>' - 0x20]  = ALL | NO_DOMAIN,
    ['?' - 0x20]  = IN_PATH | IN_USERINFO | NO_DOMAIN,
    ['@' - 0x20]  = IN_USERINFO | NO_DOMAIN,
    ['[' - 0x20]  = IN_USERINFO | NO_DOMAIN,
    ['\\' - 0x20] = IN_USERINFO | NO_DOMAIN,
    [']' - 0x20]  = IN_USERINFO | NO_DOMAIN,
    ['^' - 0x20]  = IN_PATH | IN_USERINFO | NO_DOMAIN,
    ['`' - 0x20]  = IN_FRAGMENT | IN_PATH | IN_USERINFO,
    ['{' - 0x20]  = IN_PATH | IN_USERINFO,
    ['|' - 0x20]  = IN_USERINFO | NO_DOMAIN,
    ['}' - 0x20]  = IN_PATH | IN_USERINFO,
    [0x7f - 0x20] = ALL | NO_DOMAIN,
};

static unsigned class_of(unsigned char c)
{
    return c < 0x20 || c >= 0x80 ? ALL | NO_DOMAIN : printable[c - 0x20];
}

bool ac__url_forbidden(unsigned char c)
{
    return (class_of(c) & NO_DOMAIN) != 0;
}

/* The standard takes a backslash for a slash wherever one separates, as people write both. */
static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

static bool is_cut(char c)
{
    return c == '\t' || c == '\n' || c == '\r';
}

int ac__utf8_len(const char *p, const char *end)
{
    const unsigned char *b     = (const unsigned char *)p;
    size_t               left  = (size_t)(end - p);
    unsigned char        lower = 0x80, upper = 0xbf;
    int                  want;

    if (b[0] < 0xc2 || b[0] > 0xf4)
        return -1;
    want = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    /* The second byte tells overlong forms, surrogates and what is beyond U+10FFFF. */
    if (b[0] == 0xe0)
        lower = 0xa0;
    else if (b[0] == 0xed)
        upper = 0x9f;
    else if (b[0] == 0xf0)
        lower = 0x90;
    else if (b[0] == 0xf4)
        upper = 0x8f;
    for (int i = 1; i < want; i++) {
        if ((size_t)i == left || b[i] < lower || b[i] > upper)
            return -i;
        lower = 0x80;
        upper = 0xbf;
    }
    return want;
}

/* --- the text under construction -------------------------------------------------------------- */

struct build {
    char  *text;
    size_t len, room;
    bool   full; /* something did not fit; what follows is dropped */
    ac_url url;  /* all but `text` and `len` */
};

static void put(struct build *b, const char *from, size_t len)
{
    if (len > b->room - b->len) {
        b->full = true;
        return;
    }
    if (len > 0)
        memcpy(b->text + b->len, from, len);
    b->len += len;
}

static void put_byte(struct build *b, char c)
{
    put(b, &c, 1);
}

static void put_hex(struct build *b, char c)
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char     byte     = (unsigned char)c;
    char              code[3]  = {'%', digits[byte >> 4], digits[byte & 15]};

    put(b, code, 3);
}

/* Writes a part of the input, encoding what the place `in` (IN_...) cannot have as it is. */
static void put_encoded(struct build *b, const char *p, const char *end, unsigned in)
{
    while (p < end) {
        const char *run = p;
        int         len = 1;

        while (p < end && (class_of((unsigned char)*p) & in) == 0)
            p++;
        put(b, run, (size_t)(p - run));
        if (p == end)
            return;
        if ((unsigned char)*p >= 0x80)
            len = ac__utf8_len(p, end);
        if (len < 0)
            put(b, "%EF%BF%BD", 9);
        for (int i = 0; i < len; i++)
            put_hex(b, p[i]);
        p += len < 0 ? -len : len;
    }
}

static ac_span span_from(const struct build *b, size_t at)
{
    return (ac_span){(uint32_t)at, (uint32_t)(b->len - at)};
}

/* --- authority -------------------------------------------------------------------------------- */

static void put_userinfo(struct build *b, const char *p, const char *end)
{
    const char *colon = memchr(p, ':', (size_t)(end - p));
    const char *first = colon != NULL ? colon : end;
    size_t      at    = b->len;

    put_encoded(b, p, first, IN_USERINFO);
    b->url.username = span_from(b, at);
    if (colon != NULL && end - colon > 1) {
        put_byte(b, ':');
        at = b->len;
        put_encoded(b, colon + 1, end, IN_USERINFO);
        b->url.password = span_from(b, at);
    }
    b->url.has_user = b->url.username.len > 0 || b->url.password.len > 0;
    if (b->url.has_user)
        put_byte(b, '@');
}

/* The port between the colon and `end`. None at all, and the scheme's own, are left out. */
static int put_port(struct build *b, const char *p, const char *end)
{
    unsigned port  = 0;
    bool     given = p < end;
    char     text[8];

    for (; p < end; p++) {
        if (!ac__url_digit(*p))
            return -AC_EURL;
        port = port * 10 + (unsigned)(*p - '0');
        if (port > UINT16_MAX)
            return -AC_EURL;
    }
    if (!given || port == b->url.port)
        return 0;
    b->url.port     = (uint16_t)port;
    b->url.has_port = true;
    text[0]         = ':';
    put(b, text, 1 + ac__url_decimal(text + 1, port));
    return 0;
}

static int put_host(struct build *b, const char *p, const char *end)
{
    size_t len = (size_t)(end - p);
    int    n;

    if (len == 0)
        return -AC_EURL;
    if (b->room - b->len < (len > AC__IDNA_OUT ? len : AC__IDNA_OUT)) {
        b->full = true;
        return 0;
    }
    n = ac__url_host(p, len, b->text + b->len);
    if (n < 0)
        return n;
    b->len += (size_t)n;
    b->url.host = span_from(b, b->len - (size_t)n);
    return 0;
}

/* "user:pw@host:port" from `p` on. `*rest`: the byte behind it. */
static int put_authority(struct build *b, const char *p, const char *end, const char **rest)
{
    const char *at      = NULL, *colon;
    const char *stop    = p;
    bool        bracket = false;
    int         rc;

    put(b, b->url.secure ? "https://" : "http://", b->url.secure ? 8 : 7);
    b->url.port = b->url.secure ? 443 : 80;
    for (; stop < end && !is_slash(*stop) && *stop != '?' && *stop != '#'; stop++) {
        if (*stop == '@')
            at = stop;
    }
    *rest = stop;
    if (at != NULL) {
        put_userinfo(b, p, at);
        p = at + 1;
    }
    for (colon = p; colon < stop && (*colon != ':' || bracket); colon++) {
        if (*colon == '[')
            bracket = true;
        else if (*colon == ']')
            bracket = false;
    }
    rc = put_host(b, p, colon);
    return rc == 0 && colon < stop ? put_port(b, colon + 1, stop) : rc;
}

/* --- path, query, fragment -------------------------------------------------------------------- */

/* How many dots the segment is, each of which may be encoded: 1 or 2, or 0 for all else. */
static int dots_of(const char *p, const char *end)
{
    int n = 0;

    while (p < end && n < 3) {
        if (*p == '.')
            p++;
        else if (end - p >= 3 && p[0] == '%' && p[1] == '2' && ac__url_lower(p[2]) == 'e')
            p += 3;
        else
            return 0;
        n++;
    }
    return n < 3 ? n : 0;
}

/* Takes the last segment away, with the slash before it. */
static void shorten(struct build *b)
{
    while (b->len > b->url.path.at && b->text[--b->len] != '/') {
    }
}

/* Appends the segments from `p` on to the path that is there. Returns where they end. */
static const char *put_path(struct build *b, const char *p, const char *end)
{
    for (;; p++) {
        const char *segment = p;
        bool        more;
        int         dots;

        while (p < end && !is_slash(*p) && *p != '?' && *p != '#')
            p++;
        more = p < end && is_slash(*p);
        dots = dots_of(segment, p);
        if (dots == 2)
            shorten(b);
        if (dots == 0 || !more)
            put_byte(b, '/');
        if (dots == 0)
            put_encoded(b, segment, p, IN_PATH);
        if (!more)
            break;
    }
    b->url.path = span_from(b, b->url.path.at);
    return p;
}

static void put_query(struct build *b, const char *p, const char *end)
{
    put_byte(b, '?');
    b->url.has_query = true;
    b->url.query.at  = (uint32_t)b->len;
    put_encoded(b, p, end, IN_QUERY);
    b->url.query = span_from(b, b->url.query.at);
}

/* "?query#fragment", both of which may be missing. */
static void put_tail(struct build *b, const char *p, const char *end)
{
    const char *hash = p < end ? memchr(p, '#', (size_t)(end - p)) : NULL;

    if (p < end && *p == '?')
        put_query(b, p + 1, hash != NULL ? hash : end);
    if (hash != NULL) {
        put_byte(b, '#');
        b->url.has_fragment = true;
        b->url.fragment.at  = (uint32_t)b->len;
        put_encoded(b, hash + 1, end, IN_FRAGMENT);
        b->url.fragment = span_from(b, b->url.fragment.at);
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

/* The length of the scheme that `p` begins with, 0: none. */
static size_t scheme_len(const char *p, const char *end)
{
    const char *q = p;

    for (; q < end && *q != ':'; q++) {
        char c = ac__url_lower(*q);

        if ((c < 'a' || c > 'z')
            && (q == p || (!ac__url_digit(c) && c != '+' && c != '-' && c != '.')))
            return 0;
    }
    return q < end ? (size_t)(q - p) : 0;
}

static bool scheme_is(const char *p, size_t len, const char *name)
{
    if (len != strlen(name))
        return false;
    while (len-- > 0) {
        if (ac__url_lower(p[len]) != name[len])
            return false;
    }
    return true;
}

/* All from the authority on, which any number of slashes may precede. */
static int parse_authority(struct build *b, const char *p, const char *end)
{
    int rc;

    while (p < end && is_slash(*p))
        p++;
    rc = put_authority(b, p, end, &p);
    if (rc != 0)
        return rc;
    b->url.path.at = (uint32_t)b->len;
    if (p < end && is_slash(*p))
        p++;
    put_tail(b, put_path(b, p, end), end);
    return 0;
}

/* What names no authority: that of `base` is taken, and what is not replaced of its path. */
static void parse_relative(struct build *b, const char *p, const char *end, const ac_url *base)
{
    bool        none = p == end || *p == '?' || *p == '#';
    const char *path = base->text + base->path.at;
    size_t      keep = base->path.len;

    b->url.username = base->username;
    b->url.password = base->password;
    b->url.host     = base->host;
    b->url.port     = base->port;
    b->url.has_user = base->has_user;
    b->url.has_port = base->has_port;
    put(b, base->text, base->path.at);
    b->url.path.at = base->path.at;
    if (none) {
        put(b, path, keep);
        b->url.path = base->path;
        if (base->has_query && (p == end || *p == '#'))
            put_query(b, base->text + base->query.at,
                      base->text + base->query.at + base->query.len);
    } else if (is_slash(*p)) {
        p = put_path(b, p + 1, end);
    } else {
        while (keep > 0 && path[--keep] != '/') {
        }
        put(b, path, keep);
        p = put_path(b, p, end);
    }
    put_tail(b, p, end);
}

static int parse(struct build *b, const char *p, const char *end, const ac_url *base)
{
    size_t scheme = scheme_len(p, end);
    bool   own    = base == NULL;

    if (scheme > 0) {
        b->url.secure = scheme_is(p, scheme, "https");
        if (!b->url.secure && !scheme_is(p, scheme, "http"))
            return -AC_EURL;
        p += scheme + 1;
        own = own || base->secure != b->url.secure;
    } else {
        if (base == NULL)
            return -AC_EURL;
        b->url.secure = base->secure;
    }
    if (own || (end - p >= 2 && is_slash(p[0]) && is_slash(p[1])))
        return parse_authority(b, p, end);
    parse_relative(b, p, end, base);
    return 0;
}

/* Copies what is no TAB, CR or LF. Returns the end of the copy. */
static const char *strip(char *to, const char *p, const char *end)
{
    for (; p < end; p++) {
        if (!is_cut(*p))
            *to++ = *p;
    }
    return to;
}

/* The most that the input can become, where `*dirty` says whether it needs strip(). */
static size_t measure(const char *p, const char *end, bool *dirty)
{
    size_t need = 0;

    *dirty = false;
    for (; p < end; p++) {
        /* "%0A" for a byte, and "%EF%BF%BD" for one that is no UTF-8. */
        need += (unsigned char)*p >= 0x80 ? 9 : 3;
        *dirty = *dirty || is_cut(*p);
    }
    return need;
}

/*
 * Gives the text that was built away. `heap` tells that it lies in an allocation, which is then
 * made as small as it can be. -ENOMEM leaves it to the caller.
 */
static int finish(struct build *b, ac_url *url, bool heap)
{
    char *text = heap ? ac__realloc(b->text, b->len + 1) : ac__alloc(b->len + 1);

    if (text == NULL && !heap)
        return -ENOMEM;
    if (text == NULL)
        text = b->text;
    else if (!heap)
        memcpy(text, b->text, b->len);
    text[b->len] = '\0';
    *url         = b->url;
    url->text    = text;
    url->len     = (uint32_t)b->len;
    return 0;
}

int ac_url_parse(ac_url *url, const char *input, size_t len, const ac_url *base)
{
    char         small[4096], *scratch = small;
    const char  *p = input, *end;
    struct build b = {0};
    size_t       room, copy;
    bool         dirty;
    int          rc;

    if (url == NULL || (input == NULL && len > 0) || (base != NULL && base->text == NULL))
        return -EINVAL;
    if (len > AC__URL_MAX)
        return -AC_ETOOLARGE;
    if (len == 0)
        p = "";
    for (end = p + len; p < end && (unsigned char)*p <= ' ';)
        p++;
    while (p < end && (unsigned char)end[-1] <= ' ')
        end--;
    room = measure(p, end, &dirty) + (base != NULL ? base->len : 0) + AC__IDNA_OUT + 64;
    copy = dirty ? (size_t)(end - p) : 0;
    if (room + copy > sizeof small) {
        scratch = ac__alloc(room + copy);
        if (scratch == NULL)
            return -ENOMEM;
    }
    if (dirty) {
        end = strip(scratch + room, p, end);
        p   = scratch + room;
    }
    b.text = scratch;
    b.room = room - 1;
    rc     = parse(&b, p, end, base);
    if (rc == 0)
        rc = b.full || b.len > AC__URL_MAX ? -AC_ETOOLARGE : finish(&b, url, scratch != small);
    if (rc != 0 && scratch != small)
        ac__free(scratch);
    return rc;
}
