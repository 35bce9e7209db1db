/* SPDX-License-Identifier: MIT */
/* Socket addresses: what is a literal and what is not, and that texts survive the way there and back. */
#define HARNESS_BARE
#include "harness.h"

#include <arpa/inet.h>
#include <net/if.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *format(const ac_addr *addr)
{
    static char buf[AC_ADDR_TEXT];

    assert_ptr_equal(ac_addr_format(addr, buf, sizeof buf), buf);
    return buf;
}

/* --- literals --------------------------------------------------------------------------------- */

static void ip_takes_literals(void **state)
{
    static const char *const good[][2] = {
        {"192.0.2.1", "192.0.2.1:80"},
        {"0.0.0.0", "0.0.0.0:80"},
        {"255.255.255.255", "255.255.255.255:80"},
        {"::1", "[::1]:80"},
        {"::", "[::]:80"},
        {"2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:80"},
        {"::ffff:192.0.2.1", "192.0.2.1:80"},
        {"fe80::1%lo", "[fe80::1%lo]:80"},
        {"fe80::1%1", "[fe80::1%lo]:80"},
        {"fe80::1%4294967295", "[fe80::1%4294967295]:80"},
        {"1111:2222:3333:4444:5555:6666:7777:8888", "[1111:2222:3333:4444:5555:6666:7777:8888]:80"},
    };
    ac_addr addr;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(ac_addr_ip(&addr, good[i][0], 80), 0);
        assert_string_equal(format(&addr), good[i][1]);
        assert_int_equal(ac_addr_port(&addr), 80);
    }
}

static void ip_refuses_all_else(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "1",
        "127.1",
        "1.2.3",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4 x",
        "010.0.0.1",
        "0x7f.0.0.1",
        "2130706433",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.-4",
        "1.2.3.4:80",
        "[::1]",
        ":::",
        "::1::",
        "::1 ",
        "12345::",
        "::g",
        "localhost",
        "fe80::1%",
        "fe80::1%none-such",
        "::1%-1",
        "::1%+1",
        "::1%1x",
        "::1%4294967296",
        "1.2.3.4%lo",
        "%lo",
        "::1%18446744073709551617",
        "1.2.3.4\n",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999",
        "11111111111111111111111111111111111111111111111111111111111111111111111111111111",
    };
    ac_addr addr, before;

    (void)state;
    memset(&addr, 0x5A, sizeof addr);
    before = addr;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(ac_addr_ip(&addr, bad[i], 80), -AC_ENAME);
        assert_memory_equal(&addr, &before, sizeof addr);
    }
    assert_int_equal(ac_addr_ip(&addr, NULL, 80), -EINVAL);
    assert_int_equal(ac_addr_ip(NULL, "::1", 80), -EINVAL);
}

static void ip_fills_the_structure(void **state)
{
    ac_addr addr;

    (void)state;
    assert_int_equal(ac_addr_ip(&addr, "192.0.2.1", 0x1234), 0);
    assert_int_equal(addr.len, sizeof(struct sockaddr_in));
    assert_int_equal(addr.u.in.sin_family, AF_INET);
    assert_int_equal(addr.u.in.sin_port, htons(0x1234));
    assert_int_equal(addr.u.in.sin_addr.s_addr, htonl(0xC0000201));
    assert_int_equal(ac_addr_family(&addr), AF_INET);
    assert_int_equal(ac_addr_ip(&addr, "fe80::1%lo", 0x1234), 0);
    assert_int_equal(addr.len, sizeof(struct sockaddr_in6));
    assert_int_equal(addr.u.in6.sin6_port, htons(0x1234));
    assert_int_equal(addr.u.in6.sin6_scope_id, if_nametoindex("lo"));
    assert_int_equal(ac_addr_family(&addr), AF_INET6);
}

/* --- Unix --------------------------------------------------------------------------------------- */

static void unix_paths(void **state)
{
    char    path[200];
    ac_addr addr;

    (void)state;
    assert_int_equal(ac_addr_unix(&addr, "/tmp/x"), 0);
    assert_int_equal(addr.len, offsetof(struct sockaddr_un, sun_path) + 7);
    assert_int_equal(ac_addr_family(&addr), AF_UNIX);
    assert_int_equal(ac_addr_port(&addr), 0);
    assert_string_equal(format(&addr), "unix:/tmp/x");
    assert_int_equal(ac_addr_unix(&addr, "@name"), 0);
    assert_int_equal(addr.len, offsetof(struct sockaddr_un, sun_path) + 5);
    assert_memory_equal(addr.u.un.sun_path, "\0name", 5);
    assert_string_equal(format(&addr), "unix:@name");

    assert_int_equal(ac_addr_unix(&addr, ""), -EINVAL);
    assert_int_equal(ac_addr_unix(&addr, "@"), -EINVAL);
    assert_int_equal(ac_addr_unix(&addr, NULL), -EINVAL);
    assert_int_equal(ac_addr_unix(NULL, "x"), -EINVAL);
    assert_string_equal(format(&addr), "unix:@name");

    memset(path, 'p', sizeof path);
    path[107] = '\0';
    assert_int_equal(ac_addr_unix(&addr, path), 0);
    assert_int_equal(strlen(format(&addr)), 5 + 107);
    path[107] = 'p';
    path[108] = '\0';
    assert_int_equal(ac_addr_unix(&addr, path), -ENAMETOOLONG);
    path[0] = '@';
    assert_int_equal(ac_addr_unix(&addr, path), 0);
    assert_int_equal(addr.len, sizeof addr.u.un);
    assert_int_equal(strlen(format(&addr)), 5 + 108);
    path[108] = 'p';
    path[109] = '\0';
    assert_int_equal(ac_addr_unix(&addr, path), -ENAMETOOLONG);
}

/* What the kernel gives for a socket: without a name, and with one that no NUL ends. */
static void unix_of_the_kernel(void **state)
{
    ac_addr addr = {.len = sizeof addr.u.un}, same;
    int     fd   = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(getsockname(fd, &addr.u.sa, &addr.len), 0);
    assert_int_equal(ac_addr_family(&addr), AF_UNIX);
    assert_string_equal(format(&addr), "unix:");
    /* An address of two bytes has the kernel choose an abstract name. */
    addr = (ac_addr){.u.sa.sa_family = AF_UNIX, .len = sizeof(sa_family_t)};
    assert_int_equal(bind(fd, &addr.u.sa, addr.len), 0);
    addr.len = sizeof addr.u;
    assert_int_equal(getsockname(fd, &addr.u.sa, &addr.len), 0);
    assert_int_equal(strlen(format(&addr)), 5 + 6);
    assert_int_equal(ac_addr_parse(&same, format(&addr), 0), 0);
    assert_true(ac_addr_equal(&addr, &same));
    close(fd);
}

/* --- host and port -------------------------------------------------------------------------------- */

static void split_takes_apart(void **state)
{
    static const struct {
        const char *text, *host;
        int         port; /* -1: none */
    } good[] = {
        {"host", "host", -1},
        {"host:80", "host", 80},
        {"host:0", "host", 0},
        {"host:65535", "host", 65535},
        {"host:00080", "host", 80},
        {"1.2.3.4:5", "1.2.3.4", 5},
        {"::1", "::1", -1},
        {"::1:80", "::1:80", -1},
        {"a:b:c", "a:b:c", -1},
        {"[::1]", "::1", -1},
        {"[::1]:80", "::1", 80},
        {"[host]:80", "host", 80},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        char     host[32];
        uint16_t port = 7;

        assert_int_equal(ac_host_split(good[i].text, host, sizeof host, &port), 0);
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port < 0 ? 7 : good[i].port);
        assert_int_equal(ac_host_split(good[i].text, host, sizeof host, NULL), 0);
        /* Just enough room, and one byte less. */
        assert_int_equal(ac_host_split(good[i].text, host, strlen(good[i].host) + 1, &port), 0);
        assert_int_equal(ac_host_split(good[i].text, host, strlen(good[i].host), &port),
                         -ENAMETOOLONG);
    }
}

static void split_refuses(void **state)
{
    static const char *const bad[] = {
        "",        ":80",     "host:",    "host:65536", "host:-1",   "host:+1",
        "host: 1", "host:1 ", "host:0x1", "host:http",  "[]",        "[]:80",
        "[::1",    "[::1]80", "[::1]:",   "[::1]:x",    "[::1]x:80", "host:99999999999999999999",
    };
    char     host[32] = "untouched";
    uint16_t port     = 7;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(ac_host_split(bad[i], host, sizeof host, &port), -AC_ENAME);
        assert_int_equal(port, 7);
        assert_string_equal(host, "untouched");
    }
    assert_int_equal(ac_host_split(NULL, host, sizeof host, &port), -EINVAL);
    assert_int_equal(ac_host_split("host", NULL, 0, &port), -EINVAL);
    assert_int_equal(ac_host_split("host", host, 0, &port), -ENAMETOOLONG);
}

static void parse_takes_all_forms(void **state)
{
    static const char *const good[][2] = {
        {"192.0.2.1", "192.0.2.1:37"},
        {"192.0.2.1:80", "192.0.2.1:80"},
        {"::1", "[::1]:37"},
        {"[::1]", "[::1]:37"},
        {"[::1]:80", "[::1]:80"},
        {"[fe80::1%lo]:80", "[fe80::1%lo]:80"},
        {"unix:/tmp/x", "unix:/tmp/x"},
        {"unix:@x", "unix:@x"},
        {"unix:rel:80", "unix:rel:80"},
    };
    static const char *const bad[] = {
        "",     "localhost", "localhost:80",  "[192.0.2.1]:80", "192.0.2.1:", "192.0.2.1:x",
        "[::1", "::1]:80",   "1.2.3.4:80:90", "[::1]:65536",
    };
    char    text[300];
    ac_addr addr, again;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(ac_addr_parse(&addr, good[i][0], 37), 0);
        assert_string_equal(format(&addr), good[i][1]);
        assert_int_equal(ac_addr_parse(&again, good[i][1], 1), 0);
        assert_true(ac_addr_equal(&addr, &again));
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(ac_addr_parse(&addr, bad[i], 37), -AC_ENAME);
    memset(text, '1', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(ac_addr_parse(&addr, text, 37), -AC_ENAME);
    assert_int_equal(ac_addr_parse(&addr, "unix:", 37), -EINVAL);
    assert_int_equal(ac_addr_parse(&addr, NULL, 37), -EINVAL);
    assert_int_equal(ac_addr_parse(NULL, "::1", 37), -EINVAL);
}

/* --- texts and equality --------------------------------------------------------------------------- */

static void format_cuts_and_ends(void **state)
{
    ac_addr addr, none = {.len = 0}, strange = {.u.sa.sa_family = AF_APPLETALK, .len = 16};
    char    buf[AC_ADDR_TEXT];

    (void)state;
    assert_string_equal(format(&none), "none");
    assert_string_equal(format(NULL), "none");
    assert_string_equal(format(&strange), "none");
    ac_addr_ip(&addr, "2001:db8::1", 65535);
    for (size_t len = 1; len <= 21; len++) {
        memset(buf, 'x', sizeof buf);
        ac_addr_format(&addr, buf, len);
        assert_int_equal(strlen(buf), len - 1 < 19 ? len - 1 : 19);
        assert_int_equal(buf[len], 'x');
        assert_memory_equal(buf, "[2001:db8::1]:65535", strlen(buf));
    }
    buf[0] = 'x';
    ac_addr_format(&addr, buf, 0);
    assert_int_equal(buf[0], 'x');
    assert_null(ac_addr_format(&addr, NULL, 10));
}

static void family_is_none_where_the_length_is_wrong(void **state)
{
    ac_addr addr;

    (void)state;
    assert_int_equal(ac_addr_family(NULL), AF_UNSPEC);
    assert_int_equal(ac_addr_port(NULL), 0);
    for (int six = 0; six < 2; six++) {
        socklen_t whole;

        assert_int_equal(ac_addr_ip(&addr, six ? "::1" : "127.0.0.1", 80), 0);
        whole = addr.len;
        for (addr.len = 0; addr.len < whole; addr.len++) {
            assert_int_equal(ac_addr_family(&addr), AF_UNSPEC);
            assert_int_equal(ac_addr_port(&addr), 0);
            assert_string_equal(format(&addr), "none");
        }
    }
    addr.len = sizeof addr.u + 1;
    assert_int_equal(ac_addr_family(&addr), AF_UNSPEC);
}

static void equal_tells_apart(void **state)
{
    static const char *const different[] = {
        "192.0.2.1:80", "192.0.2.1:81",   "192.0.2.2:80",   "[::1]:80",
        "[::1]:81",     "[fe80::1%1]:80", "[fe80::1%2]:80", "[fe80::1]:80",
        "unix:a",       "unix:ab",        "unix:@a",        "[::ffff:192.0.2.1]:80",
    };
    ac_addr a, b, none = {.len = 0};

    (void)state;
    for (size_t i = 0; i < COUNT(different); i++) {
        for (size_t k = 0; k < COUNT(different); k++) {
            assert_int_equal(ac_addr_parse(&a, different[i], 0), 0);
            assert_int_equal(ac_addr_parse(&b, different[k], 0), 0);
            assert_int_equal(ac_addr_equal(&a, &b), i == k);
        }
        assert_false(ac_addr_equal(&a, &none));
        assert_false(ac_addr_equal(NULL, &a));
    }
    assert_true(ac_addr_equal(&none, NULL));
    /* Some systems count the NUL at the end of a path, and some do not. */
    assert_int_equal(ac_addr_unix(&a, "path"), 0);
    b = a;
    b.len--;
    assert_true(ac_addr_equal(&a, &b));
    assert_int_equal(ac_addr_ip(&a, "::1", 1), 0);
    b                     = a;
    b.u.in6.sin6_flowinfo = 5;
    assert_true(ac_addr_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ip_takes_literals),
        cmocka_unit_test(ip_refuses_all_else),
        cmocka_unit_test(ip_fills_the_structure),
        cmocka_unit_test(unix_paths),
        cmocka_unit_test(unix_of_the_kernel),
        cmocka_unit_test(split_takes_apart),
        cmocka_unit_test(split_refuses),
        cmocka_unit_test(parse_takes_all_forms),
        cmocka_unit_test(format_cuts_and_ends),
        cmocka_unit_test(family_is_none_where_the_length_is_wrong),
        cmocka_unit_test(equal_tells_apart),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
