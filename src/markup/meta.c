/* SPDX-License-Identifier: MIT */
/*
 * The character set that a <meta> names, read before there is a parser: the "prescan" of the HTML
 * Standard, over the first bytes of a page.
 */
#include "charsets.h"

#include <string.h>
#include <strings.h>

struct cursor {
    const char *at, *end;
};

/* A part of the page, in the case that it stands there. */
struct part {
    const char *text;
    size_t      len;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool part_is(struct part p, const char *name)
{
    return p.len == strlen(name) && strncasecmp(p.text, name, p.len) == 0;
}

static bool begins(const struct cursor *s, const char *text)
{
    size_t len = strlen(text);

    return (size_t)(s->end - s->at) >= len && strncasecmp(s->at, text, len) == 0;
}

static void skip_space(struct cursor *s)
{
    while (s->at < s->end && is_space(*s->at))
        s->at++;
}

/* Reads the value of an attribute, from behind "=". */
static struct part read_value(struct cursor *s)
{
    struct part value;

    skip_space(s);
    value = (struct part){s->at, 0};
    if (s->at < s->end && (*s->at == '"' || *s->at == '\'')) {
        char quote = *s->at++;

        value.text = s->at;
        while (s->at < s->end && *s->at != quote)
            s->at++;
        value.len = (size_t)(s->at - value.text);
        if (s->at < s->end)
            s->at++;
        return value;
    }
    while (s->at < s->end && !is_space(*s->at) && *s->at != '>')
        s->at++;
    value.len = (size_t)(s->at - value.text);
    return value;
}

/* Reads an attribute. False: there is none before the end of the tag, or of the bytes. */
static bool read_attribute(struct cursor *s, struct part *name, struct part *value)
{
    while (s->at < s->end && (is_space(*s->at) || *s->at == '/'))
        s->at++;
    if (s->at == s->end || *s->at == '>')
        return false;
    *name  = (struct part){s->at, 0};
    *value = (struct part){s->at, 0};
    do {
        s->at++;
    } while (s->at < s->end && *s->at != '=' && !is_space(*s->at) && *s->at != '/'
             && *s->at != '>');
    name->len = (size_t)(s->at - name->text);
    skip_space(s);
    if (s->at < s->end && *s->at == '=') {
        s->at++;
        *value = read_value(s);
    }
    return true;
}

const ac__charset *ac__charset_in(const char *text, size_t len)
{
    struct cursor s = {text, text + len};

    for (; s.at < s.end; s.at++) {
        struct part label;

        if (!begins(&s, "charset"))
            continue;
        s.at += 7;
        skip_space(&s);
        if (s.at == s.end || *s.at != '=') {
            s.at--;
            continue;
        }
        s.at++;
        skip_space(&s);
        if (s.at < s.end && (*s.at == '"' || *s.at == '\'')) {
            const char *close = memchr(s.at + 1, *s.at, (size_t)(s.end - s.at - 1));

            if (close == NULL)
                return NULL;
            return ac__charset_find(s.at + 1, (size_t)(close - s.at - 1));
        }
        label = (struct part){s.at, 0};
        while (s.at < s.end && !is_space(*s.at) && *s.at != ';')
            s.at++;
        label.len = (size_t)(s.at - label.text);
        return ac__charset_find(label.text, label.len);
    }
    return NULL;
}

/* Reads a <meta>, from behind its name. NULL: it names no set, or is not whole. */
static const ac__charset *read_meta(struct cursor *s)
{
    const ac__charset *charset = NULL, *content = NULL;
    bool               pragma = false, seen_charset = false, seen_content = false;
    bool               seen_equiv = false;
    struct part        name, value;

    while (read_attribute(s, &name, &value)) {
        if (part_is(name, "http-equiv") && !seen_equiv) {
            seen_equiv = true;
            pragma     = part_is(value, "content-type");
        } else if (part_is(name, "content") && !seen_content) {
            seen_content = true;
            content      = ac__charset_in(value.text, value.len);
        } else if (part_is(name, "charset") && !seen_charset) {
            seen_charset = true;
            charset      = ac__charset_find(value.text, value.len);
        }
    }
    if (s->at == s->end)
        return NULL;
    if (!seen_charset && pragma)
        charset = content;
    /* It could not have been read as ASCII. */
    if (charset != NULL && charset->kind == AC__CS_WIDE)
        return ac__charset_find("utf-8", 5);
    return charset;
}

/* Passes a comment, from its "<!--" on. */
static void skip_comment(struct cursor *s)
{
    s->at += 2; /* "<!-->" is one */
    while (s->at < s->end && !begins(s, "-->"))
        s->at++;
    s->at = s->end - s->at >= 3 ? s->at + 2 : s->end;
}

/* Passes a tag, from its name on. */
static void skip_tag(struct cursor *s)
{
    struct part name, value;

    while (s->at < s->end && !is_space(*s->at) && *s->at != '>')
        s->at++;
    while (read_attribute(s, &name, &value))
        continue;
}

const ac__charset *ac__charset_of_meta(const char *data, size_t len)
{
    struct cursor s = {data, data + len};

    for (; s.at < s.end; s.at++) {
        if (*s.at != '<' || s.end - s.at < 2)
            continue;
        if (begins(&s, "<!--")) {
            skip_comment(&s);
        } else if (begins(&s, "<meta") && s.end - s.at > 5
                   && (is_space(s.at[5]) || s.at[5] == '/')) {
            const ac__charset *charset;

            s.at += 5;
            charset = read_meta(&s);
            if (charset != NULL)
                return charset;
        } else if (is_letter(s.at[1])
                   || (s.at[1] == '/' && s.end - s.at > 2 && is_letter(s.at[2]))) {
            s.at++;
            skip_tag(&s);
        } else if (s.at[1] == '!' || s.at[1] == '/' || s.at[1] == '?') {
            while (s.at < s.end && *s.at != '>')
                s.at++;
        }
        if (s.at == s.end)
            break;
    }
    return NULL;
}
