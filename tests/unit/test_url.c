/* SPDX-License-Identifier: MIT */
/*
 * URLs. The cases of the web-platform-tests are read from the folder that ASYNCORE_WPT names, or
 * from ../shared/data/wpt-url; they are not part of this project. All of them are used: what has an
 * http or https URL as its result must give just that, all else must fail.
 */
#include "asyncore/url.h"

#include "asyncore/base.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *part(const ac_url *url, ac_span span)
{
    static char bufs[8][4096];
    static int  turn;
    char       *buf = bufs[turn++ % 8];

    assert_true(span.len < sizeof bufs[0]);
    memcpy(buf, url->text + span.at, span.len);
    buf[span.len] = '\0';
    return buf;
}

/* What holds for each URL that the parser gives. */
static void check_form(const ac_url *url)
{
    ac_url again;
    char  *text, port[8] = "";
    int    len;

    assert_int_equal(strlen(url->text), url->len);
    for (size_t i = 0; i < url->len; i++) {
        if (url->text[i] <= ' ' || url->text[i] >= 0x7f)
            fail_msg("byte 0x%02x in %s", (unsigned char)url->text[i], url->text);
    }
    assert_true(url->host.len > 0);
    assert_int_equal(url->text[url->path.at], '/');
    assert_int_equal(url->has_user, url->username.len > 0 || url->password.len > 0);

    /* The parts, put together, are the text. */
    if (url->has_port)
        snprintf(port, sizeof port, ":%u", url->port);
    len = asprintf(&text, "%s://%.*s%s%.*s%s%.*s%s%.*s%s%.*s%s%.*s", url->secure ? "https" : "http",
                   (int)url->username.len, url->text + url->username.at,
                   url->password.len > 0 ? ":" : "", (int)url->password.len,
                   url->text + url->password.at, url->has_user ? "@" : "", (int)url->host.len,
                   url->text + url->host.at, port, (int)url->path.len, url->text + url->path.at,
                   url->has_query ? "?" : "", (int)url->query.len, url->text + url->query.at,
                   url->has_fragment ? "#" : "", (int)url->fragment.len,
                   url->text + url->fragment.at);
    assert_true(len >= 0);
    assert_string_equal(text, url->text);
    free(text);

    assert_int_equal(ac_url_parse(&again, url->text, url->len, NULL), 0);
    assert_string_equal(again.text, url->text);
    assert_int_equal(again.port, url->port);
    assert_int_equal(again.path.at, url->path.at);
    assert_int_equal(again.host.len, url->host.len);
    ac_url_free(&again);
    assert_int_equal(ac_url_parse(&again, "", 0, url), 0);
    assert_memory_equal(again.text, url->text, again.len);
    assert_int_equal(again.len, url->has_fragment ? url->fragment.at - 1 : url->len);
    ac_url_free(&again);
}

/* Parses a string against another one (NULL: none). */
static int parse_len(ac_url *url, const char *input, size_t len, const char *against)
{
    ac_url base;
    int    rc;

    if (against == NULL) {
        rc = ac_url_parse(url, input, len, NULL);
    } else {
        if (ac_url_parse(&base, against, strlen(against), NULL) != 0)
            return -AC_EURL;
        rc = ac_url_parse(url, input, len, &base);
        ac_url_free(&base);
    }
    if (rc == 0)
        check_form(url);
    return rc;
}

static int parse(ac_url *url, const char *input, const char *against)
{
    return parse_len(url, input, strlen(input), against);
}

/* --- the web-platform-tests ------------------------------------------------------------------- */

/* What a Web IDL USVString makes of a lone surrogate, which no UTF-8 can hold. */
static void replace_lone_surrogates(char *text)
{
    for (char *p = text; (p = strchr(p, '\\')) != NULL; p += 2) {
        unsigned long code;
        char          hex[5] = "";

        if (p[1] != 'u')
            continue;
        strncat(hex, p + 2, 4);
        code = strtoul(hex, NULL, 16);
        if (code >= 0xd800 && code < 0xdc00 && p[6] == '\\' && p[7] == 'u'
            && (p[8] == 'd' || p[8] == 'D') && strchr("cdefCDEF", p[9]) != NULL)
            p += 10;
        else if (code >= 0xd800 && code < 0xe000)
            memcpy(p + 2, "fffd", 4);
    }
}

static json_t *load(const char *name)
{
    const char  *folder = getenv("ASYNCORE_WPT");
    char         path[4096], *text;
    json_error_t error;
    json_t      *json;
    FILE        *file;
    long         len;

    snprintf(path, sizeof path, "%s/%s", folder != NULL ? folder : "../shared/data/wpt-url", name);
    file = fopen(path, "rb");
    if (file == NULL) {
        print_message("SKIPPED: no %s (ASYNCORE_WPT names its folder): its cases did not run\n",
                      path);
        skip();
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    len = ftell(file);
    assert_true(len > 0);
    rewind(file);
    text = calloc(1, (size_t)len + 16);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)len, file), len);
    fclose(file);
    replace_lone_surrogates(text);
    json = json_loads(text, JSON_ALLOW_NUL, &error);
    if (json == NULL)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    free(text);
    return json;
}

static const char *get(json_t *test, const char *key)
{
    return json_string_value(json_object_get(test, key));
}

static int differs(json_t *test, const char *key, const char *have)
{
    const char *want = get(test, key);

    if (want == NULL || strcmp(want, have) == 0)
        return 0;
    print_error("%s: %s: %s is \"%s\", not \"%s\"\n", get(test, "href"), get(test, "input"), key,
                have, want);
    return 1;
}

/* The components as the DOM names them. */
static int compare(json_t *test, const ac_url *url)
{
    char port[8] = "", buf[4200];
    int  bad     = differs(test, "href", url->text);

    bad += differs(test, "protocol", url->secure ? "https:" : "http:");
    bad += differs(test, "username", part(url, url->username));
    bad += differs(test, "password", part(url, url->password));
    bad += differs(test, "hostname", part(url, url->host));
    if (url->has_port)
        snprintf(port, sizeof port, "%u", url->port);
    bad += differs(test, "port", port);
    snprintf(buf, sizeof buf, "%s%s%s", part(url, url->host), url->has_port ? ":" : "", port);
    bad += differs(test, "host", buf);
    snprintf(buf, sizeof buf, "%s://%s%s%s", url->secure ? "https" : "http", part(url, url->host),
             url->has_port ? ":" : "", port);
    bad += differs(test, "origin", buf);
    bad += differs(test, "pathname", part(url, url->path));
    snprintf(buf, sizeof buf, "%s%s", url->query.len > 0 ? "?" : "", part(url, url->query));
    bad += differs(test, "search", buf);
    snprintf(buf, sizeof buf, "%s%s", url->fragment.len > 0 ? "#" : "", part(url, url->fragment));
    bad += differs(test, "hash", buf);
    return bad;
}

static void wpt_urls(void **state)
{
    json_t *tests = load("urltestdata.json"), *test;
    size_t  i, good = 0, refused = 0, other = 0, bad = 0;

    (void)state;
    json_array_foreach(tests, i, test)
    {
        json_t     *input = json_object_get(test, "input");
        const char *href  = get(test, "href");
        ac_url      url;
        int         rc;

        if (!json_is_object(test))
            continue;
        rc =
            parse_len(&url, json_string_value(input), json_string_length(input), get(test, "base"));
        if (href != NULL && (strncmp(href, "http:", 5) == 0 || strncmp(href, "https:", 6) == 0)) {
            if (rc != 0)
                print_error("%s: error %d\n", href, rc);
            bad += rc != 0 || compare(test, &url) > 0;
            good++;
        } else {
            if (rc != -AC_EURL)
                print_error("%s: not refused: %d\n", json_string_value(input), rc);
            bad += rc != -AC_EURL;
            *(href != NULL ? &other : &refused) += 1;
        }
        if (rc == 0)
            ac_url_free(&url);
    }
    print_message("urltestdata.json: %zu URLs, %zu failures, %zu of other schemes: %zu wrong\n",
                  good, refused, other, bad);
    assert_true(good > 200 && refused > 200 && other > 200);
    assert_int_equal(bad, 0);
    json_decref(tests);
}

static void wpt_domains(void **state)
{
    json_t *tests = load("toascii.json"), *test;
    size_t  i, all = 0, bad = 0;

    (void)state;
    json_array_foreach(tests, i, test)
    {
        const char *input = get(test, "input"), *want = get(test, "output");
        char        text[4096];
        bool        same;
        ac_url      url;
        int         rc;

        if (!json_is_object(test))
            continue;
        snprintf(text, sizeof text, "https://%s/x", input);
        rc   = parse(&url, text, NULL);
        same = rc == 0 ? want != NULL && strcmp(part(&url, url.host), want) == 0 : want == NULL;
        all++;
        bad += !same;
        if (!same)
            print_error("%s: \"%s\", not \"%s\"\n", input,
                        rc == 0 ? part(&url, url.host) : "a failure", want ? want : "a failure");
        if (rc == 0)
            ac_url_free(&url);
    }
    print_message("toascii.json: %zu domains: %zu wrong\n", all, bad);
    assert_true(all > 50);
    assert_int_equal(bad, 0);
    json_decref(tests);
}

/* --- cases of our own ------------------------------------------------------------------------- */

#define BASE "http://u:p@h.example:81/a/b/c?q#f"

static void table(void **state)
{
    static const char *const cases[][3] = {
        /* input, base, text (NULL: a failure) */
        {"http://h", NULL, "http://h/"},
        {"HtTpS:\\\\H\\a\\..\\b", NULL, "https://h/b"},
        {"https:h", NULL, "https://h/"},
        {"http:////h/", NULL, "http://h/"},
        {"http:x", "https://h/a/", "http://x/"},
        {"http:x", "http://h/a/", "http://h/a/x"},
        {"//other/x", BASE, "http://other/x"},
        {"\\\\other\\x", BASE, "http://other/x"},
        {"/\\other", BASE, "http://other/"},
        {"///other", BASE, "http://other/"},
        {"/x", BASE, "http://u:p@h.example:81/x"},
        {"\\x", BASE, "http://u:p@h.example:81/x"},
        {"x", BASE, "http://u:p@h.example:81/a/b/x"},
        {"?x", BASE, "http://u:p@h.example:81/a/b/c?x"},
        {"?", BASE, "http://u:p@h.example:81/a/b/c?"},
        {"#x", BASE, "http://u:p@h.example:81/a/b/c?q#x"},
        {"#", BASE, "http://u:p@h.example:81/a/b/c?q#"},
        {"", BASE, "http://u:p@h.example:81/a/b/c?q"},
        {" \t\r\n", BASE, "http://u:p@h.example:81/a/b/c?q"},
        {".", BASE, "http://u:p@h.example:81/a/b/"},
        {"..", BASE, "http://u:p@h.example:81/a/"},
        {"../", BASE, "http://u:p@h.example:81/a/"},
        {"../../../../x", BASE, "http://u:p@h.example:81/x"},
        {"%2e%2E/x", BASE, "http://u:p@h.example:81/a/x"},
        {".%2e/./%2E", BASE, "http://u:p@h.example:81/a/"},
        {"...", BASE, "http://u:p@h.example:81/a/b/..."},
        {"..\\x", BASE, "http://u:p@h.example:81/a/x"},
        {"a//../b", BASE, "http://u:p@h.example:81/a/b/a/b"},
        {"http://h/..;/..?../..#../..", NULL, "http://h/?../..#../.."},
        {"mailto:x", BASE, NULL},
        {"javascript:x", BASE, NULL},
        {"ftp://h/", NULL, NULL},
        {"httpx://h/", NULL, NULL},
        {"h.example:81/x", BASE, NULL},
        {":x", BASE, "http://u:p@h.example:81/a/b/:x"},
        {"/x", NULL, NULL},
        {"", NULL, NULL},
        {"http:", NULL, NULL},
        {"http://", NULL, NULL},
        {"http:///", NULL, NULL},
        {"http://:80", NULL, NULL},
        {"http://h:0/", NULL, "http://h:0/"},
        {"http://h:80/", NULL, "http://h/"},
        {"https://h:80/", NULL, "https://h:80/"},
        {"https://h:443/", NULL, "https://h/"},
        {"http://h:0000000000000000081/", NULL, "http://h:81/"},
        {"http://h:/", NULL, "http://h/"},
        {"http://h:65535/", NULL, "http://h:65535/"},
        {"http://h:65536/", NULL, NULL},
        {"http://h:4294967376/", NULL, NULL},
        {"http://h:18446744073709551696/", NULL, NULL},
        {"http://h:8x/", NULL, NULL},
        {"http://h:+8/", NULL, NULL},
        {"http://h:8:8/", NULL, NULL},
        {"http://u@h", NULL, "http://u@h/"},
        {"http://u:@h", NULL, "http://u@h/"},
        {"http://:p@h", NULL, "http://:p@h/"},
        {"http://@h", NULL, "http://h/"},
        {"http://:@h", NULL, "http://h/"},
        {"http://u:p:q@h", NULL, "http://u:p%3Aq@h/"},
        {"http://a@b@h", NULL, "http://a%40b@h/"},
        {"http://u%20\r\n;=|^[]\"@h", NULL, "http://u%20%3B%3D%7C%5E%5B%5D%22@h/"},
        {"http://u@", NULL, NULL},
        {"http://u@/h", NULL, NULL},
        {"http://u@:80", NULL, NULL},
        {"http://h/ '\"<>`{}^|%zz", NULL, "http://h/%20'%22%3C%3E%60%7B%7D%5E|%zz"},
        {"http://h/? '\"<>`{}^|\\", NULL, "http://h/?%20%27%22%3C%3E`{}^|\\"},
        {"http://h/# '\"<>`{}^|?#\\", NULL, "http://h/#%20'%22%3C%3E%60{}^|?#\\"},
        {"http://h/\xff\xe2\x82?\xed\xa0\x80#\xc3\xa9", NULL,
         "http://h/%EF%BF%BD%EF%BF%BD?%EF%BF%BD%EF%BF%BD%EF%BF%BD#%C3%A9"},
        {"http://h\xff/", NULL, NULL},
        {"http://h%ff/", NULL, NULL},
        {"http://b\xc3\xbc"
         "cher.EXAMPLE",
         NULL, "http://xn--bcher-kva.example/"},
        {"http://b%C3%BCcher.example", NULL, "http://xn--bcher-kva.example/"},
        {"http://\xf0\x9f\x92\xa9.la", NULL, "http://xn--ls8h.la/"},
        {"http://\xe2\x9d\xa4\xef\xb8\x8f.ws", NULL, "http://xn--qei.ws/"},
        {"http://a_\xc3\x9f;.example", NULL, "http://xn--a_;-6ka.example/"},
        {"http://xn--te\xe2\x98\x83.example", NULL, NULL},
        {"http://a\xe3\x80\x82"
         "b\xef\xbc\x8e"
         "c\xef\xbd\xa1\xc3\xa9",
         NULL, "http://a.b.c.xn--9ca/"},
        {"http://\xef\xbc\x91\xe3\x80\x82\xef\xbc\x92", NULL, "http://1.0.0.2/"},
        {"http://a%2fb/", NULL, NULL},
        {"http://%68%2eexample/", NULL, "http://h.example/"},
        {"http://h./", NULL, "http://h./"},
        {"http://h../", NULL, "http://h../"},
        {"http://.../", NULL, "http://.../"},
        {"http://127.1/", NULL, "http://127.0.0.1/"},
        {"http://0x7f.0x0.0x0.1./", NULL, "http://127.0.0.1/"},
        {"http://0/", NULL, "http://0.0.0.0/"},
        {"http://0x/", NULL, "http://0.0.0.0/"},
        {"http://4294967295/", NULL, "http://255.255.255.255/"},
        {"http://4294967296/", NULL, NULL},
        {"http://1.16777215/", NULL, "http://1.255.255.255/"},
        {"http://1.16777216/", NULL, NULL},
        {"http://1.2.65536/", NULL, NULL},
        {"http://1.2.3.256/", NULL, NULL},
        {"http://256.1/", NULL, NULL},
        {"http://1..2/", NULL, NULL},
        {"http://08/", NULL, NULL},
        {"http://a.1/", NULL, NULL},
        {"http://1.a/", NULL, "http://1.a/"},
        {"http://1.0x/", NULL, "http://1.0.0.0/"},
        {"http://[::]/", NULL, "http://[::]/"},
        {"http://[::1]:80/", NULL, "http://[::1]/"},
        {"http://[1:0:0:2:0:0:0:3]", NULL, "http://[1:0:0:2::3]/"},
        {"http://[1:0:0:2:3:0:0:4]", NULL, "http://[1::2:3:0:0:4]/"},
        {"http://[1:2:3:4:5:6:7::]", NULL, "http://[1:2:3:4:5:6:7:0]/"},
        {"http://[0:2:3:4:5:6:7:8]", NULL, "http://[0:2:3:4:5:6:7:8]/"},
        {"http://[::FFFF:1.2.3.4]", NULL, "http://[::ffff:102:304]/"},
        {"http://[1:2:3:4:5:6:1.2.3.4]", NULL, "http://[1:2:3:4:5:6:102:304]/"},
        {"http://[1:2:3:4:5:6:7:1.2.3.4]", NULL, NULL},
        {"http://[::1.2.3.4.5]", NULL, NULL},
        {"http://[::01.2.3.4]", NULL, NULL},
        {"http://[1:2:3:4:5:6:7:8:9]", NULL, NULL},
        {"http://[1:2:3:4:5:6:7]", NULL, NULL},
        {"http://[1:2:3:4::5:6:7:8]", NULL, NULL},
        {"http://[1::2::3]", NULL, NULL},
        {"http://[:1]", NULL, NULL},
        {"http://[1:]", NULL, NULL},
        {"http://[12345::]", NULL, NULL},
        {"http://[fe80::1%25lo]/", NULL, NULL},
        {"http://[fe80::1%lo]/", NULL, NULL},
        {"http://[::1", NULL, NULL},
        {"http://[::1]x", NULL, NULL},
        {"http://x[::1]", NULL, NULL},
        {"http://[]", NULL, NULL},
        {"http://[", NULL, NULL},
        {"http://]", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        ac_url url;
        int    rc = parse(&url, cases[i][0], cases[i][1]);

        if (cases[i][2] == NULL) {
            if (rc != -AC_EURL)
                fail_msg("%s: %d, not refused", cases[i][0], rc);
            continue;
        }
        if (rc != 0 || strcmp(url.text, cases[i][2]) != 0)
            fail_msg("%s: %s, not %s", cases[i][0], rc == 0 ? url.text : "refused", cases[i][2]);
        ac_url_free(&url);
    }
}

static void parts_are_where_they_should_be(void **state)
{
    ac_url url;

    (void)state;
    assert_int_equal(parse(&url, "HTTPS://me:pw@H.example:8443/p/q?x=1#y", NULL), 0);
    assert_true(url.secure && url.has_user && url.has_port && url.has_query && url.has_fragment);
    assert_string_equal(part(&url, url.username), "me");
    assert_string_equal(part(&url, url.password), "pw");
    assert_string_equal(part(&url, url.host), "h.example");
    assert_int_equal(url.port, 8443);
    assert_string_equal(part(&url, url.path), "/p/q");
    assert_string_equal(part(&url, url.query), "x=1");
    assert_string_equal(part(&url, url.fragment), "y");
    ac_url_free(&url);

    assert_int_equal(parse(&url, "https://h:443", NULL), 0);
    assert_true(!url.has_user && !url.has_port && !url.has_query && !url.has_fragment);
    assert_int_equal(url.port, 443);
    ac_url_free(&url);
    assert_null(url.text);
    ac_url_free(&url);
    ac_url_free(NULL);
}

/* Every byte, in every place, as it is and percent-encoded: parse() checks what comes out. */
static void no_byte_gets_through(void **state)
{
    static const char *const places[] = {
        "%sttp://u:p@h/p?q#f",    "ht%stp://u:p@h/p?q#f",   "http%s://u:p@h/p?q#f",
        "http:%s//u:p@h/p?q#f",   "http:/%s/u:p@h/p?q#f",   "http://%su:p@h/p?q#f",
        "http://u%s:p@h/p?q#f",   "http://u:%sp@h/p?q#f",   "http://u:p%s@h/p?q#f",
        "http://u:p@%sh/p?q#f",   "http://u:p@h%si/p?q#f",  "http://u:p@h%s/p?q#f",
        "http://u:p@h:%s8/p?q#f", "http://u:p@h:8%s/p?q#f", "http://u:p@h/%sp?q#f",
        "http://u:p@h/p%s?q#f",   "http://u:p@h/p?%sq#f",   "http://u:p@h/p?q%s#f",
        "http://u:p@h/p?q#%sf",   "http://u:p@h/p?q#f%s",   "http://[::%s1]/",
        "http://1.2.%s3.4/",
    };
    static const char *bases[] = {NULL, BASE};

    (void)state;
    for (size_t i = 0; i < COUNT(places) * 256 * 3 * COUNT(bases); i++) {
        const char *place = places[i / 256 / 3 % COUNT(places)], *hole = strstr(place, "%s");
        int         byte = (int)(i % 256), form = (int)(i / 256 % 3);
        char        input[256];
        size_t      len, put = 1;
        ac_url      url;

        len = (size_t)(hole - place);
        memcpy(input, place, len);
        if (form == 0)
            input[len] = (char)byte;
        else
            put = (size_t)sprintf(input + len, form == 1 ? "%%%02x" : "%%%%%02x", (unsigned)byte);
        strcpy(input + len + put, hole + 2);
        put += len + strlen(hole + 2);
        if (parse_len(&url, input, put, bases[i / 256 / 3 / COUNT(places)]) == 0)
            ac_url_free(&url);
    }
}

static const char *const interesting[] = {
    "https://us%65r:pa:ss@b\xc3\xbc"
    "cher.\xe2\x98\x83.example:8443"
    "/a/./b/../c\xff d?q='\"#f`\xf0\x9f\x92\xa9",
    " \t http://[1:2:0:0:0:6:1.2.3.4]:080/%2e%2E/..;\\x?\n#\r",
    "\\\\0x7f.1.\\..\\.\\%2e?a#b",
    "http:\\/u@x@\xe3\x80\x82\xef\xbc\x8exn--zca.\xf0\x9f\x8f\xbe:65535?\xed\xa0\x80",
};

/* At each place: cut there, or the byte changed. The input ends where its allocation does. */
static void prefixes_and_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(interesting); i++) {
        size_t len = strlen(interesting[i]);

        for (size_t at = 0; at <= len; at++) {
            char  *copy = malloc(at + 1);
            ac_url url;

            assert_non_null(copy);
            memcpy(copy, interesting[i], at);
            copy = realloc(copy, at > 0 ? at : 1);
            if (parse_len(&url, copy, at, NULL) == 0)
                ac_url_free(&url);
            if (parse_len(&url, copy, at, BASE) == 0)
                ac_url_free(&url);
            for (int c = 0; at > 0 && c < 256; c++) {
                copy[at - 1] = (char)c;
                if (parse_len(&url, copy, at, BASE) == 0)
                    ac_url_free(&url);
            }
            free(copy);
        }
    }
}

/* --- lengths ---------------------------------------------------------------------------------- */

#define MIB ((size_t)1 << 20)

/* Head, then as much of `unit` as makes a text of `len`, then tail. */
static int parse_long(ac_url *url, const char *head, const char *unit, const char *tail, size_t len,
                      const ac_url *base)
{
    char  *text = malloc(len + 1);
    size_t at = strlen(head), step = strlen(unit);
    int    rc;

    assert_non_null(text);
    memcpy(text, head, at);
    for (; at + step + strlen(tail) <= len; at += step)
        memcpy(text + at, unit, step);
    strcpy(text + at, tail);
    rc = ac_url_parse(url, text, strlen(text), base);
    if (rc == 0)
        check_form(url);
    free(text);
    return rc;
}

static void long_inputs(void **state)
{
    static const char *const units[] = {
        "a",
        ".",
        "/",
        "\\",
        "../",
        "a/../",
        "a/../../",
        "%2e/",
        "?",
        "#",
        "@",
        ":",
        "%41",
        "%",
        "\xc3\xa9",
        "\xff",
        "\xf0\x9f\x92\xa9",
        "\xc2\xad",
        "\xe3\x80\x82",
        "xn--",
        "xn--zca.",
        "0",
        "0.",
        "1:",
        "[",
        "]",
        "\t",
        "'",
        "a.\xc3\x9f.",
        "\xd7\x90.1.",
    };
    static const char *const heads[] = {
        "",         "http:",     "http://",    "http://u:",  "http://h",        "http://h:",
        "http://[", "http://h/", "http://h/?", "http://h/#", "http://\xc3\xa9",
    };
    ac_url base, url;
    int    rc;

    (void)state;
    assert_int_equal(parse_long(&url, "http://h/", "a", "", MIB, NULL), 0);
    assert_int_equal(url.len, MIB);
    ac_url_free(&url);
    assert_int_equal(parse_long(&url, "http://h/", "a", "", MIB + 1, NULL), -AC_ETOOLARGE);
    assert_int_equal(parse_long(&url, "http://h/", " ", "x", MIB / 2, NULL), -AC_ETOOLARGE);
    /* What is taken away does not count. */
    assert_int_equal(parse_long(&url, "http://h/", "\xff/../", "x", MIB, NULL), 0);
    assert_string_equal(url.text, "http://h/x");
    ac_url_free(&url);

    /* A domain of a size that no name has costs no work. */
    assert_int_equal(parse_long(&url, "http://", "\xc3\x9f.", "h/", 300, NULL), 0);
    ac_url_free(&url);
    assert_int_equal(parse_long(&url, "http://", "\xc3\x9f.", "h/", 500, NULL), -AC_EURL);
    assert_int_equal(parse_long(&url, "http://\xc3\x9f", "\xc2\xad", "h/", 2000, NULL), 0);
    ac_url_free(&url);
    assert_int_equal(parse_long(&url, "http://\xc3\x9f", "\xc2\xad", "h/", 3000, NULL), -AC_EURL);

    assert_int_equal(parse_long(&base, "http://h", "/a", "", MIB / 2, NULL), 0);
    for (size_t i = 0; i < COUNT(units) * COUNT(heads) * 4; i++) {
        static const size_t sizes[] = {300, 1400, 5000, MIB / 8};

        rc = parse_long(&url, heads[i % COUNT(heads)], units[i / COUNT(heads) % COUNT(units)], "",
                        sizes[i / COUNT(heads) / COUNT(units)], i % 2 ? &base : NULL);
        assert_true(rc == 0 || rc == -AC_EURL || rc == -AC_ETOOLARGE);
        if (rc == 0)
            ac_url_free(&url);
    }
    assert_int_equal(parse_long(&url, "", "../", "x", MIB, &base), 0);
    assert_string_equal(url.text, "http://h/x");
    ac_url_free(&url);
    ac_url_free(&base);
}

/* --- memory, and the small functions ---------------------------------------------------------- */

static long allowed, allocated, held;

static void *counted(void *context, void *ptr, size_t len)
{
    (void)context;
    if (allowed == 0)
        return NULL;
    allowed--;
    allocated++;
    held += ptr == NULL;
    return realloc(ptr, len);
}

static void released(void *context, void *ptr)
{
    (void)context;
    held -= ptr != NULL;
    free(ptr);
}

static void out_of_memory(void **state)
{
    ac_allocator allocator = {sizeof allocator, counted, released, NULL};
    char         big[5000] = "http://h/\t";
    ac_url       base, url, copy;

    (void)state;
    memset(big + 10, 'a', sizeof big - 10);
    assert_int_equal(ac_set_allocator(&allocator), 0);
    allowed = 1;
    assert_int_equal(ac_url_parse(&base, interesting[0], strlen(interesting[0]), NULL), 0);
    assert_int_equal(allocated, 1);

    memset(&url, 0x5a, sizeof url);
    copy = url;
    assert_int_equal(ac_url_parse(&url, "x", 1, &base), -ENOMEM);
    assert_int_equal(ac_url_parse(&url, big, sizeof big, NULL), -ENOMEM);
    assert_int_equal(ac_url_copy(&url, &base), -ENOMEM);
    assert_memory_equal(&url, &copy, sizeof url);
    allowed = 1;
    /* The text cannot be made smaller, which is no failure. */
    assert_int_equal(ac_url_parse(&url, big, sizeof big, NULL), 0);
    assert_int_equal(url.len, sizeof big - 1);
    ac_url_free(&url);
    allowed = 2;
    assert_int_equal(ac_url_parse(&url, big, sizeof big, NULL), 0);
    ac_url_free(&url);
    allowed = 1;
    assert_int_equal(ac_url_parse(&url, big, sizeof big - 1, NULL), 0);
    ac_url_free(&url);
    allowed   = 1;
    big[4999] = ' ';
    big[6]    = ':';
    assert_int_equal(ac_url_parse(&url, big, sizeof big, NULL), -AC_EURL);
    ac_url_free(&base);
    assert_int_equal(held, 0);
    assert_int_equal(ac_set_allocator(NULL), 0);
}

static void misuse(void **state)
{
    ac_url url, empty = {0};

    (void)state;
    assert_int_equal(ac_url_parse(NULL, "http://h", 8, NULL), -EINVAL);
    assert_int_equal(ac_url_parse(&url, NULL, 8, NULL), -EINVAL);
    assert_int_equal(ac_url_parse(&url, "http://h", 8, &empty), -EINVAL);
    assert_int_equal(ac_url_parse(&url, NULL, 0, NULL), -AC_EURL);
    assert_int_equal(ac_url_copy(&url, &empty), -EINVAL);
    assert_int_equal(ac_url_copy(NULL, &empty), -EINVAL);
    assert_false(ac_url_same_origin(&empty, &empty));
    assert_false(ac_url_same_origin(NULL, NULL));
}

static void copies(void **state)
{
    ac_url url, copy;

    (void)state;
    assert_int_equal(parse(&url, BASE, NULL), 0);
    assert_int_equal(ac_url_copy(&copy, &url), 0);
    assert_ptr_not_equal(copy.text, url.text);
    ac_url_free(&url);
    assert_string_equal(copy.text, BASE);
    check_form(&copy);
    ac_url_free(&copy);
}

static void origins(void **state)
{
    static const struct {
        const char *a, *b;
        bool        same;
    } cases[] = {
        {"http://h/", "http://u:p@H:80/x?y#z", true}, {"http://127.1", "http://0x7f000001", true},
        {"http://h/", "https://h/", false},           {"http://h:443/", "https://h/", false},
        {"http://h/", "http://h:81/", false},         {"http://h/", "http://h./", false},
        {"http://h/", "http://hh/", false},           {"http://ha/", "http://hb/", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        ac_url a, b;

        assert_int_equal(parse(&a, cases[i].a, NULL), 0);
        assert_int_equal(parse(&b, cases[i].b, NULL), 0);
        assert_int_equal(ac_url_same_origin(&a, &b), cases[i].same);
        assert_int_equal(ac_url_same_origin(&b, &a), cases[i].same);
        ac_url_free(&a);
        ac_url_free(&b);
    }
}

static void public_form(void **state)
{
    static const char *const cases[][3] = {
        {"http://u:p@h:81/a?b#c", "http://h:81/a?b#c", "http://h:81/a?b"},
        {"https://u@h/#", "https://h/#", "https://h/"},
        {"http://h/?", "http://h/?", "http://h/?"},
        {"http://:p@[::1]/x", "http://[::1]/x", "http://[::1]/x"},
    };
    char   buf[64];
    ac_url url, empty = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(cases) * 2; i++) {
        const char *want     = cases[i / 2][1 + i % 2];
        bool        fragment = i % 2 == 0;

        assert_int_equal(parse(&url, cases[i / 2][0], NULL), 0);
        assert_int_equal(ac_url_public(&url, NULL, 0, fragment), strlen(want));
        for (size_t room = 1; room < sizeof buf; room++) {
            memset(buf, 'x', sizeof buf);
            assert_int_equal(ac_url_public(&url, buf, room, fragment), strlen(want));
            assert_int_equal(strlen(buf), room - 1 < strlen(want) ? room - 1 : strlen(want));
            assert_memory_equal(buf, want, strlen(buf));
            assert_int_equal(buf[room], 'x');
        }
        ac_url_free(&url);
    }
    assert_int_equal(ac_url_public(&empty, buf, sizeof buf, true), 0);
    assert_string_equal(buf, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(parts_are_where_they_should_be),
        cmocka_unit_test(no_byte_gets_through),
        cmocka_unit_test(prefixes_and_changes),
        cmocka_unit_test(long_inputs),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(misuse),
        cmocka_unit_test(copies),
        cmocka_unit_test(origins),
        cmocka_unit_test(public_form),
        cmocka_unit_test(wpt_urls),
        cmocka_unit_test(wpt_domains),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
