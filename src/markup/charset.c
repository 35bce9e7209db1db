/* SPDX-License-Identifier: MIT */
/* Which character set a page is in: labels, byte order marks, Content-Type, and the guess. */
#include "charset.h"

#include "charsets.h"

#include <string.h>
#include <strings.h>

/*
 * The labels of the Encoding Standard (https://encoding.spec.whatwg.org/), but those of
 * "replacement" and of x-user-defined. The names are glibc's for what the standard decodes by: so
 * windows-1252 for all that calls itself ASCII or Latin-1, and GB18030 for all that is its subset.
 */
static const ac__charset charsets[] = {
    {"UTF-8", AC__CS_UTF8,
     " unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8 "},
    {"CP1252", AC__CS_SINGLE,
     " ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1"
     " iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252 "},
    {"UTF-16LE", AC__CS_WIDE,
     " csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le "},
    {"UTF-16BE", AC__CS_WIDE, " unicodefffe utf-16be "},
    {"IBM866", AC__CS_SINGLE, " 866 cp866 csibm866 ibm866 "},
    {"ISO-8859-2", AC__CS_SINGLE,
     " csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2 "},
    {"ISO-8859-3", AC__CS_SINGLE,
     " csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3 "},
    {"ISO-8859-4", AC__CS_SINGLE,
     " csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4 "},
    {"ISO-8859-5", AC__CS_SINGLE,
     " csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5"
     " iso_8859-5:1988 "},
    {"ISO-8859-6", AC__CS_SINGLE,
     " arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e"
     " iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987 "},
    {"ISO-8859-7", AC__CS_SINGLE,
     " csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597"
     " iso_8859-7 iso_8859-7:1987 sun_eu_greek "},
    {"ISO-8859-8", AC__CS_SINGLE,
     " csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598"
     " iso_8859-8 iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical "},
    {"ISO-8859-10", AC__CS_SINGLE,
     " csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6 "},
    {"ISO-8859-13", AC__CS_SINGLE, " iso-8859-13 iso8859-13 iso885913 "},
    {"ISO-8859-14", AC__CS_SINGLE, " iso-8859-14 iso8859-14 iso885914 "},
    {"ISO-8859-15", AC__CS_SINGLE, " csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9 "},
    {"ISO-8859-16", AC__CS_SINGLE, " iso-8859-16 "},
    {"KOI8-R", AC__CS_SINGLE, " cskoi8r koi koi8 koi8-r koi8_r "},
    {"KOI8-U", AC__CS_SINGLE, " koi8-ru koi8-u "},
    {"MACINTOSH", AC__CS_SINGLE, " csmacintosh mac macintosh x-mac-roman "},
    {"CP874", AC__CS_SINGLE, " dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874 "},
    {"CP1250", AC__CS_SINGLE, " cp1250 windows-1250 x-cp1250 "},
    {"CP1251", AC__CS_SINGLE, " cp1251 windows-1251 x-cp1251 "},
    {"CP1253", AC__CS_SINGLE, " cp1253 windows-1253 x-cp1253 "},
    {"CP1254", AC__CS_SINGLE,
     " cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5"
     " latin5 windows-1254 x-cp1254 "},
    {"CP1255", AC__CS_SINGLE, " cp1255 windows-1255 x-cp1255 "},
    {"CP1256", AC__CS_SINGLE, " cp1256 windows-1256 x-cp1256 "},
    {"CP1257", AC__CS_SINGLE, " cp1257 windows-1257 x-cp1257 "},
    {"CP1258", AC__CS_SINGLE, " cp1258 windows-1258 x-cp1258 "},
    {"MAC-CYRILLIC", AC__CS_SINGLE, " x-mac-cyrillic x-mac-ukrainian "},
    {"GB18030", AC__CS_ICONV,
     " chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030 "},
    {"BIG5-HKSCS", AC__CS_ICONV, " big5 big5-hkscs cn-big5 csbig5 x-x-big5 "},
    {"EUC-JP", AC__CS_ICONV, " cseucpkdfmtjapanese euc-jp x-euc-jp "},
    {"ISO-2022-JP", AC__CS_ICONV, " csiso2022jp iso-2022-jp "},
    {"CP932", AC__CS_ICONV,
     " csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis "},
    {"CP949", AC__CS_ICONV,
     " cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601"
     " ksc_5601 windows-949 "},
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

const ac__charset *ac__charset_find(const char *label, size_t len)
{
    char key[40];

    for (; len > 0 && is_space(label[len - 1]); len--)
        continue;
    for (; len > 0 && is_space(*label); len--)
        label++;
    if (len == 0 || len > sizeof key - 3)
        return NULL;
    key[0] = ' ';
    for (size_t i = 0; i < len; i++) {
        char c = label[i];

        if (c <= ' ' || c > '~')
            return NULL;
        key[1 + i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    memcpy(key + 1 + len, " ", 2);
    for (size_t i = 0; i < sizeof charsets / sizeof charsets[0]; i++)
        if (strstr(charsets[i].labels, key) != NULL)
            return &charsets[i];
    return NULL;
}

bool ac__charset_is_utf8(const ac__charset *charset)
{
    return charset->kind == AC__CS_UTF8;
}

/* --- byte order marks --------------------------------------------------------------------- */

static const struct {
    char               bytes[4];
    size_t             len;
    const ac__charset *charset;
} marks[] = {
    {"\xef\xbb\xbf", 3, &charsets[0]},
    {"\xff\xfe", 2, &charsets[2]},
    {"\xfe\xff", 2, &charsets[3]},
};

const ac__charset *ac__charset_of_mark(const char *data, size_t len, size_t *mark)
{
    *mark = 0;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (len >= marks[i].len && memcmp(data, marks[i].bytes, marks[i].len) == 0) {
            *mark = marks[i].len;
            return marks[i].charset;
        }
    }
    return NULL;
}

bool ac__charset_mark_begun(const char *data, size_t len)
{
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (len < marks[i].len && memcmp(data, marks[i].bytes, len) == 0)
            return true;
    return false;
}

/* --- Content-Type ------------------------------------------------------------------------- */

/* The charset parameter of one value, from behind its type; at the end of the value. */
static const char *read_value(const char *at, const ac__charset **found)
{
    bool first = true;

    while (*at != '\0' && *at != ',') {
        const char *name;
        char        value[64];
        size_t      name_len, len = 0;

        if (*at++ != ';')
            continue;
        for (; is_space(*at); at++)
            continue;
        name     = at;
        name_len = strcspn(at, "=;,");
        at += name_len;
        if (*at != '=')
            continue;
        at++;
        if (*at == '"') {
            for (at++; *at != '\0' && *at != '"'; at++) {
                if (*at == '\\' && at[1] != '\0')
                    at++;
                if (len < sizeof value)
                    value[len++] = *at;
            }
            at += *at == '"';
        } else {
            len = strcspn(at, ";,");
            memcpy(value, at, len < sizeof value ? len : sizeof value);
            at += len;
        }
        if (!first || name_len != 7 || strncasecmp(name, "charset", 7) != 0)
            continue;
        first = false;
        if (len < sizeof value) {
            const ac__charset *charset = ac__charset_find(value, len);

            if (charset != NULL)
                *found = charset;
        }
    }
    return at;
}

const ac__charset *ac__charset_of_type(const char *type)
{
    const ac__charset *found = NULL;

    while (type != NULL && *type != '\0') {
        type = read_value(type, &found);
        type += *type == ',';
    }
    return found;
}

/* --- the guess ---------------------------------------------------------------------------- */

const ac__charset *ac__charset_guess(const char *data, size_t len, bool cut)
{
    ac__converter c = {.charset = &charsets[0]};

    for (size_t i = 0; i < len; i++)
        if (ac__utf8_step(&c, (unsigned char)data[i]) < 0)
            return &charsets[1];
    return c.held_len == c.want || cut ? &charsets[0] : &charsets[1];
}
