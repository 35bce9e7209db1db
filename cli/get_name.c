/* SPDX-License-Identifier: MIT */
/* Names of files that come from a URL or a server, made safe: one segment, visible, not long. */
#include "get.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place, once. Returns the length. */
static size_t decode(char *text, size_t len)
{
    size_t to = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '%' && i + 2 < len && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
            text[to++] = (char)(hex(text[i + 1]) * 16 + hex(text[i + 2]));
            i += 2;
        } else {
            text[to++] = text[i];
        }
    }
    return to;
}

/* Whether anything is left of it. */
static bool clean(const char *text, size_t len, char name[NAME_MAX_BYTES + 1])
{
    size_t from = len, to = 0;
    bool   plain;

    while (from > 0 && text[from - 1] != '/' && text[from - 1] != '\\')
        from--;
    while (from < len && (text[from] == '.' || (unsigned char)text[from] <= ' '))
        from++;
    if (len - from > NAME_MAX_BYTES) {
        len = from + NAME_MAX_BYTES;
        while (len > from && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--; /* not within a character */
    }
    while (from < len) {
        size_t n = text_character(text + from, len - from, &plain);

        if (plain)
            memcpy(name + to, text + from, n);
        else
            name[to] = '_';
        to += plain ? n : 1;
        from += n;
    }
    name[to] = '\0';
    return to > 0;
}

void name_of_url(const char *url, char name[NAME_MAX_BYTES + 1])
{
    static const char fallback[] = "index.html";
    ac_url            parsed;
    char             *path;
    size_t            from;
    bool              ok = false;

    if (ac_url_parse(&parsed, url, strlen(url), NULL) == 0) {
        path = parsed.text + parsed.path.at;
        for (from = parsed.path.len; from > 0 && path[from - 1] != '/';)
            from--;
        ok = clean(path + from, decode(path + from, parsed.path.len - from), name);
        ac_url_free(&parsed);
    }
    if (!ok)
        memcpy(name, fallback, sizeof fallback);
}

/* --- Content-Disposition (RFC 6266) --------------------------------------------------------- */

/* Reads the value behind "=" into `out`, unquoted. Returns where it ends. */
static const char *read_value(const char *p, char *out, size_t *len)
{
    *len = 0;
    if (*p != '"') {
        for (; *p != '\0' && *p != ';' && *p != ',' && !isspace((unsigned char)*p); p++)
            out[(*len)++] = *p;
        return p;
    }
    for (p++; *p != '\0' && *p != '"'; p++) {
        if (*p == '\\' && p[1] != '\0')
            p++;
        out[(*len)++] = *p;
    }
    return *p == '"' ? p + 1 : p;
}

/* The text of an extended value (RFC 8187) in UTF-8: where it begins in `value`, or NULL. */
static char *extended(char *value, size_t *len)
{
    char *quote;

    value[*len] = '\0';
    if (strncasecmp(value, "utf-8'", 6) != 0 || (quote = strchr(value + 6, '\'')) == NULL)
        return NULL;
    *len = decode(quote + 1, *len - (size_t)(quote + 1 - value));
    return quote + 1;
}

bool name_of_disposition(const char *value, char name[NAME_MAX_BYTES + 1])
{
    char       *buf  = malloc(strlen(value) + 1), *text;
    const char *p    = value + strcspn(value, ";");
    bool        have = false;
    size_t      len, key;

    if (buf == NULL)
        return false;
    while (*p == ';') {
        const char *begin;

        p += 1 + strspn(p + 1, " \t;");
        begin = p;
        key   = strcspn(p, "=;");
        p += key;
        if (*p != '=')
            continue;
        while (key > 0 && isspace((unsigned char)begin[key - 1]))
            key--;
        p = read_value(p + 1 + strspn(p + 1, " \t"), buf, &len);
        if (key == 9 && strncasecmp(begin, "filename*", 9) == 0) {
            text = extended(buf, &len);
            if (text != NULL && clean(text, len, name)) {
                have = true;
                break;
            }
        } else if (key == 8 && strncasecmp(begin, "filename", 8) == 0 && !have) {
            have = clean(buf, len, name);
        }
        p += strcspn(p, ";");
    }
    free(buf);
    return have;
}
