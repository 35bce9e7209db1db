/* SPDX-License-Identifier: MIT */
/* Names and lookups: syntax, what is known without a server, and what servers do to a client. */
#include "harness.h"

#include "dnspeer.h"

#include "../../src/dns/cares.h"
#include "../../src/dns/resolver.h"

#include <fcntl.h>
#include <sys/wait.h>

static struct dns_peer peer;

static const struct dns_rule rules[] = {
    {"both.test", DNS_A, "192.0.2.1,192.0.2.2", 0, 0, 0},
    {"both.test", DNS_AAAA, "2001:db8::1", 0, 0, 0},
    {"v4.test", DNS_A, "192.0.2.4", 0, 0, 0},
    {"late6.test", DNS_A, "192.0.2.4", 0, 0, 0},
    {"late6.test", DNS_AAAA, "2001:db8::6", DNS_HELD, 0, 0},
    {"empty.test", DNS_A, NULL, 0, 0, 0},
    {"fail.test", DNS_A, NULL, 0, 2, 0},
    {"fail.test", DNS_AAAA, NULL, 0, 2, 0},
    {"refused.test", DNS_A, NULL, 0, 5, 0},
    {"refused.test", DNS_AAAA, NULL, 0, 5, 0},
    {"half.test", DNS_A, NULL, 0, 3, 0},
    {"half.test", DNS_AAAA, NULL, 0, 2, 0},
    {"id.test", DNS_A, "192.0.2.7", DNS_FORGED_ID, 0, 0},
    {"id.test", DNS_AAAA, "2001:db8::7", DNS_FORGED_ID, 0, 0},
    {"question.test", DNS_A, "192.0.2.8", DNS_FORGED_Q, 0, 0},
    {"question.test", DNS_AAAA, "2001:db8::8", DNS_FORGED_Q, 0, 0},
    {"nothing.test", DNS_A, "192.0.2.9", DNS_EMPTY, 0, 0},
    {"nothing.test", DNS_AAAA, "2001:db8::9", DNS_EMPTY, 0, 0},
    {"big.test", DNS_A, "192.0.2.1*20", DNS_TRUNCATED, 0, 0},
    {"big.test", DNS_AAAA, "2001:db8::1*20", DNS_TRUNCATED | DNS_TCP_BYTES, 0, 0},
    {"hundred.test", DNS_A, "192.0.2.1*100", DNS_TRUNCATED, 0, 0},
    {"hundred.test", DNS_AAAA, "2001:db8::1*100", DNS_TRUNCATED, 0, 0},
    {"cut.test", DNS_A, "192.0.2.1*20", DNS_TRUNCATED | DNS_TCP_CUT, 0, 0},
    {"cut.test", DNS_AAAA, "2001:db8::1*20", DNS_TRUNCATED | DNS_TCP_CUT, 0, 0},
    {"chain.test", DNS_A, "192.0.2.10", DNS_CNAMES, 0, 0},
    {"chain.test", DNS_AAAA, "2001:db8::10", DNS_CNAMES, 0, 0},
    {"stray.test", DNS_A, "192.0.2.11", DNS_OTHER, 0, 0},
    {"stray.test", DNS_AAAA, "2001:db8::11", DNS_OTHER, 0, 0},
    {"loop.test", DNS_A, NULL, DNS_LOOP, 0, 0},
    {"loop.test", DNS_AAAA, NULL, DNS_LOOP, 0, 0},
    {"silent.test", DNS_A, NULL, DNS_SILENT, 0, 0},
    {"silent.test", DNS_AAAA, NULL, DNS_SILENT, 0, 0},
    {"*.silent.test", DNS_A, NULL, DNS_SILENT, 0, 0},
    {"*.silent.test", DNS_AAAA, NULL, DNS_SILENT, 0, 0},
    {"*.held.test", DNS_A, "192.0.2.20", DNS_HELD, 0, 0},
    {"*.held.test", DNS_AAAA, "2001:db8::20", DNS_HELD, 0, 0},
    {"host.second.test", DNS_A, "192.0.2.30", 0, 0, 0},
    {"host.first.test", DNS_A, NULL, 0, 3, 0},
    {"broken.first.test", DNS_A, NULL, 0, 2, 0},
    {"broken.first.test", DNS_AAAA, NULL, 0, 2, 0},
    {"broken.second.test", DNS_A, "192.0.2.31", 0, 0, 0},
    {"mixed.first.test", DNS_A, NULL, 0, 3, 0},
    {"mixed.first.test", DNS_AAAA, NULL, 0, 2, 0},
    {"mixed.second.test", DNS_A, "192.0.2.33", 0, 0, 0},
    {"both.test.first.test", DNS_A, "192.0.2.32", 0, 0, 0},
    {"v4.test.first.test", DNS_AAAA, "2001:db8::32", 0, 0, 0},
    {NULL, 0, NULL, 0, 0, 0},
};

/* --- a lookup and what it told ------------------------------------------------------------ */

struct ask {
    ac__lookup *l;
    unsigned    told;
    bool        done;
    int         err[AC__FAMILIES];
    unsigned    n[AC__FAMILIES];
    unsigned    rank; /* in the order of their ends */
};

static unsigned ended;

static void told(ac__lookup *l, void *arg)
{
    struct ask *a = arg;

    assert_int_equal(h_inside, 0);
    assert_false(a->done);
    a->told++;
    for (int f = 0; f < AC__FAMILIES; f++) {
        a->err[f] = l->answer[f].err;
        a->n[f]   = l->answer[f].n;
        assert_true(a->n[f] <= AC__IP_MAX);
        assert_false(l->answer[f].done && (l->answer[f].err == 0) != (l->answer[f].n > 0));
    }
    if ((a->done = l->answer[AC__V6].done && l->answer[AC__V4].done))
        a->rank = ++ended;
}

static void start(ac_loop *loop, struct ask *a, const char *host)
{
    *a = (struct ask){0};
    h_inside++;
    assert_int_equal(ac__lookup_start(loop, host, told, a, &a->l), 0);
    h_inside--;
    assert_int_equal(a->told, 0);
}

static void finish(struct ask *a)
{
    ac__lookup_cancel(a->l);
    a->l = NULL;
}

static void lookup(ac_loop *loop, struct ask *a, const char *host)
{
    start(loop, a, host);
    H_UNTIL(loop, a->done);
}

static bool has(const struct ask *a, const char *text)
{
    ac_addr addr;

    assert_int_equal(ac_addr_ip(&addr, text, 0), 0);
    for (int f = 0; f < AC__FAMILIES; f++)
        for (unsigned i = 0; i < a->l->answer[f].n; i++) {
            const ac__ip *ip = &a->l->answer[f].ip[i];

            if (ip->family == ac_addr_family(&addr)
                && (ip->family == AF_INET
                        ? memcmp(&ip->u.v4, &addr.u.in.sin_addr, sizeof ip->u.v4) == 0
                        : memcmp(&ip->u.v6, &addr.u.in6.sin6_addr, sizeof ip->u.v6) == 0))
                return true;
        }
    return false;
}

static ac_loop *loop_with(const char *servers, unsigned max)
{
    ac_loop_options o = {
        .size = sizeof o, .verbose = AC_ON, .nameservers = servers, .max_lookups = max};

    return ac_loop_new_with(&o);
}

static int setup(void **state)
{
    if (h_setup(state) != 0)
        return -1;
    ac_loop_free(*state);
    ended           = 0;
    ac__dns_timeout = 2000;
    atomic_store(&peer.released, false);
    *state = loop_with(peer.text, 0);
    return *state == NULL ? -1 : 0;
}

/* The far ends of connections to the server are in this process too, and end a little later. */
static int teardown(void **state)
{
    if (*state != NULL && ac_loop_free(*state) != 0)
        return -1;
    H_LOOP_GONE(state);
    dns_quiet(&peer);
    return h_teardown(state);
}

static void use_servers(void **state, const char *servers, unsigned max)
{
    ac_loop_free(*state);
    *state = loop_with(servers, max);
    assert_non_null(*state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* --- syntax --------------------------------------------------------------------------------- */

static void test_syntax(void **state)
{
    static const char *const good[] = {
        "a",
        "localhost",
        "example.org",
        "example.org.",
        "_sip._tcp.example.org",
        "A-b.C",
        "1a",
        "a1",
        "1.2.3.a",
        "3com.example",
        "xn--bcher-kva.example",
        "0xg",
        "1.2.3.4.example",
    };
    static const char *const bad[] = {
        "",          ".",          "..",         ".a",
        "a..b",      "a..",        "a b",        " a",
        "a ",        "a\n",        "a\t",        "a:80",
        "[::1]",     "::1",        "a/b",        "a@b",
        "a%b",       "a\\b",       "*.a",        "b\303\274cher.example",
        "1",         "1.2.3",      "1.2.3.4",    "1.2.3.4.",
        "010.1.1.1", "0x7f.1",     "0X7F.0.0.1", "256.256.256.256",
        "1.2.3.4.5", "4294967296", "1.2.3.4 x",  "0x7f000001",
        "0x",        "a\x7f",
    };
    char name[300];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (ac__name_check(good[i]) != 0)
            fail_msg("\"%s\" was refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (ac__name_check(bad[i]) != -AC_ENAME)
            fail_msg("\"%s\" was taken", bad[i]);
    memset(name, 'a', sizeof name);
    name[63] = '\0';
    assert_int_equal(ac__name_check(name), 0);
    name[63] = 'a';
    name[64] = '\0';
    assert_int_equal(ac__name_check(name), -AC_ENAME);
    for (int i = 0; i < 4; i++)
        name[i * 64 + 63] = '.';
    name[64]  = 'a';
    name[253] = '\0'; /* 63 + 1 + 63 + 1 + 63 + 1 + 61 */
    assert_int_equal(ac__name_check(name), 0);
    name[253] = '.';
    name[254] = '\0';
    assert_int_equal(ac__name_check(name), 0);
    name[253] = 'a';
    assert_int_equal(ac__name_check(name), -AC_ENAME);
}

static void test_bad_name_is_told_later(void **state)
{
    struct ask a;
    unsigned   before = atomic_load(&peer.questions);

    lookup(*state, &a, "1.2.3");
    assert_int_equal(a.err[AC__V6], -AC_ENAME);
    assert_int_equal(a.err[AC__V4], -AC_ENAME);
    assert_int_equal(a.told, 1);
    finish(&a);
    assert_int_equal(atomic_load(&peer.questions), before);
}

/* --- what is known -------------------------------------------------------------------------- */

static void test_special(void **state)
{
    static const char *const local[] = {"localhost", "LOCALHOST", "localhost.", "a.localhost",
                                        "a.b.localhost."};
    static const char *const none[]  = {"invalid", "a.invalid", "a.onion."};
    unsigned                 before  = atomic_load(&peer.questions);
    struct ask               a;

    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
        lookup(*state, &a, local[i]);
        assert_true(a.n[AC__V6] == 1 && a.n[AC__V4] == 1);
        assert_true(has(&a, "::1") && has(&a, "127.0.0.1"));
        finish(&a);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        lookup(*state, &a, none[i]);
        assert_int_equal(a.err[AC__V6], -AC_ENOTFOUND);
        assert_int_equal(a.err[AC__V4], -AC_ENOTFOUND);
        finish(&a);
    }
    assert_int_equal(atomic_load(&peer.questions), before);
    lookup(*state, &a, "notlocalhost");
    assert_int_equal(a.err[AC__V4], -AC_ENOTFOUND);
    finish(&a);
    assert_true(atomic_load(&peer.questions) > before);
}

static void write_hosts(char *path, const char *text)
{
    int fd;

    strcpy(path, "/tmp/asyncore-hosts-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void test_hosts_file(void **state)
{
    static char text[20000];
    char        path[40];
    ac__ip      ip[8];
    size_t      n;

    (void)state;
    strcpy(text, "# 10.0.0.9 commented\n"
                 "10.0.0.1\tone  One.Alias # two\n"
                 "   10.0.0.2 two\r\n"
                 "::2 two two\n"
                 "10.0.0.300 wrong\n"
                 "word wrong\n"
                 "10.0.0.3\n"
                 "one two\n");
    n = strlen(text);
    memset(text + n, 'x', 9000); /* a word longer than any name, across the pieces it is read in */
    strcpy(text + n + 9000, " 10.0.0.4 long\n10.0.0.5 after\n10.0.0.6 last");
    write_hosts(path, text);
    assert_int_equal(ac__hosts_find(path, "one", ip, 8), 1);
    assert_int_equal(ip[0].u.v4.s_addr, htonl(0x0A000001));
    assert_int_equal(ac__hosts_find(path, "ONE.", ip, 8), 1);
    assert_int_equal(ac__hosts_find(path, "one.alias", ip, 8), 1);
    assert_int_equal(ac__hosts_find(path, "two", ip, 8), 2);
    assert_int_equal(ip[0].family, AF_INET);
    assert_int_equal(ip[1].family, AF_INET6);
    assert_int_equal(ac__hosts_find(path, "two", ip, 1), 1);
    assert_int_equal(ac__hosts_find(path, "commented", ip, 8), 0);
    assert_int_equal(ac__hosts_find(path, "wrong", ip, 8), 0);
    assert_int_equal(ac__hosts_find(path, "long", ip, 8), 0);
    assert_int_equal(ac__hosts_find(path, "10.0.0.5", ip, 8), 0);
    assert_int_equal(ac__hosts_find(path, "after", ip, 8), 1);
    assert_int_equal(ac__hosts_find(path, "last", ip, 8), 1);
    assert_int_equal(ip[0].u.v4.s_addr, htonl(0x0A000006));
    assert_int_equal(ac__hosts_find(path, "las", ip, 8), 0);
    unlink(path);
    assert_int_equal(ac__hosts_find(path, "one", ip, 8), 0);
    assert_int_equal(ac__hosts_find("/", "one", ip, 8), 0);
}

static void test_hosts_before_dns(void **state)
{
    const char *system = ac__hosts_path;
    unsigned    before = atomic_load(&peer.questions);
    char        path[40];
    struct ask  a;

    write_hosts(path, "10.0.0.1 both.test\n");
    ac__hosts_path = path;
    lookup(*state, &a, "Both.Test.");
    ac__hosts_path = system;
    unlink(path);
    assert_true(a.n[AC__V4] == 1 && has(&a, "10.0.0.1"));
    assert_int_equal(a.err[AC__V6], -AC_ENOTFOUND);
    finish(&a);
    assert_int_equal(atomic_load(&peer.questions), before);
}

/* --- answers -------------------------------------------------------------------------------- */

static void test_answers(void **state)
{
    struct ask a;

    lookup(*state, &a, "both.test");
    assert_true(a.n[AC__V6] == 1 && a.n[AC__V4] == 2);
    assert_true(has(&a, "2001:db8::1") && has(&a, "192.0.2.1") && has(&a, "192.0.2.2"));
    finish(&a);
    lookup(*state, &a, "BOTH.test.");
    assert_true(a.n[AC__V6] == 1 && a.n[AC__V4] == 2);
    finish(&a);
    lookup(*state, &a, "v4.test");
    assert_true(a.n[AC__V6] == 0 && a.n[AC__V4] == 1);
    assert_int_equal(a.err[AC__V6], -AC_ENOTFOUND);
    finish(&a);
}

static void test_no_answers(void **state)
{
    struct ask a;

    lookup(*state, &a, "absent.test");
    assert_true(a.err[AC__V6] == -AC_ENOTFOUND && a.err[AC__V4] == -AC_ENOTFOUND);
    finish(&a);
    lookup(*state, &a, "empty.test");
    assert_true(a.err[AC__V6] == -AC_ENOTFOUND && a.err[AC__V4] == -AC_ENOTFOUND);
    finish(&a);
    lookup(*state, &a, "fail.test");
    assert_true(a.err[AC__V6] == -AC_EDNS && a.err[AC__V4] == -AC_EDNS);
    finish(&a);
    lookup(*state, &a, "refused.test");
    assert_true(a.err[AC__V6] == -AC_EDNS && a.err[AC__V4] == -AC_EDNS);
    finish(&a);
    lookup(*state, &a, "half.test");
    assert_true(a.err[AC__V6] == -AC_EDNS && a.err[AC__V4] == -AC_ENOTFOUND);
    finish(&a);
}

static void test_forged(void **state)
{
    struct ask a;
    unsigned   before;

    lookup(*state, &a, "id.test");
    assert_true(has(&a, "2001:db8::7") && has(&a, "192.0.2.7"));
    assert_true(a.n[AC__V6] == 1 && a.n[AC__V4] == 1);
    finish(&a);
    lookup(*state, &a, "question.test");
    assert_true(has(&a, "2001:db8::8") && has(&a, "192.0.2.8"));
    assert_true(a.n[AC__V6] == 1 && a.n[AC__V4] == 1);
    finish(&a);
    lookup(*state, &a, "stray.test");
    assert_true(a.err[AC__V6] == -AC_ENOTFOUND && a.err[AC__V4] == -AC_ENOTFOUND);
    finish(&a);
    lookup(*state, &a, "loop.test");
    assert_true(a.err[AC__V6] == -AC_EDNS && a.err[AC__V4] == -AC_EDNS);
    finish(&a);
    before = atomic_load(&peer.questions);
    lookup(*state, &a, "nothing.test");
    assert_true(has(&a, "2001:db8::9") && has(&a, "192.0.2.9"));
    assert_int_equal(atomic_load(&peer.questions), before + 2); /* not asked again for it */
    finish(&a);
    lookup(*state, &a, "chain.test");
    assert_true(has(&a, "2001:db8::10") && has(&a, "192.0.2.10"));
    finish(&a);
}

static void test_tcp(void **state)
{
    struct ask a;
    unsigned   before = atomic_load(&peer.by_tcp);

    lookup(*state, &a, "big.test");
    assert_true(a.n[AC__V6] == 20 && a.n[AC__V4] == 20);
    assert_true(has(&a, "2001:db8::14") && has(&a, "192.0.2.20"));
    finish(&a);
    assert_true(atomic_load(&peer.by_tcp) >= before + 2);
    lookup(*state, &a, "hundred.test");
    assert_true(a.n[AC__V6] == AC__IP_MAX && a.n[AC__V4] == AC__IP_MAX);
    finish(&a);
    lookup(*state, &a, "cut.test");
    assert_true(a.err[AC__V6] == -AC_EDNS && a.err[AC__V4] == -AC_EDNS);
    finish(&a);
}

static void test_first_family_is_told(void **state)
{
    struct ask a;

    start(*state, &a, "late6.test");
    H_UNTIL(*state, a.told == 1);
    assert_false(a.done);
    assert_int_equal(a.n[AC__V4], 1);
    dns_release(&peer);
    H_UNTIL(*state, a.done);
    assert_true(a.told == 2 && a.n[AC__V6] == 1);
    finish(&a);
}

#define LONG "a23456789b123456789c123456789d123456789e123456789f123456789"

/* The search list is that of the system, here of the environment as resolver(5) has it. */
static void test_search(void **state)
{
    struct ask a;

    setenv("LOCALDOMAIN", "first.test second.test", 1);
    use_servers(state, peer.text, 0);
    lookup(*state, &a, "host");
    assert_true(a.n[AC__V4] == 1 && has(&a, "192.0.2.30"));
    finish(&a);
    lookup(*state, &a, "host."); /* complete as it is */
    assert_int_equal(a.err[AC__V4], -AC_ENOTFOUND);
    finish(&a);
    lookup(*state, &a, "broken"); /* no answer is no "does not exist": nowhere else is looked */
    assert_true(a.err[AC__V4] == -AC_EDNS && a.err[AC__V6] == -AC_EDNS);
    finish(&a);
    lookup(*state, &a, "mixed");
    assert_true(a.err[AC__V4] == -AC_ENOTFOUND && a.err[AC__V6] == -AC_EDNS);
    finish(&a);
    lookup(*state, &a, LONG "." LONG "." LONG "." LONG); /* too long below any domain */
    assert_int_equal(a.err[AC__V4], -AC_ENOTFOUND);
    finish(&a);
    lookup(*state, &a, "nowhere");
    assert_int_equal(a.err[AC__V4], -AC_ENOTFOUND);
    finish(&a);
    lookup(*state, &a, "both.test"); /* dots enough: as it is, first */
    assert_true(has(&a, "192.0.2.1"));
    finish(&a);
    lookup(*state, &a, "v4.test"); /* one family exists: the other is not taken from elsewhere */
    assert_true(a.n[AC__V4] == 1 && a.n[AC__V6] == 0);
    finish(&a);
    unsetenv("LOCALDOMAIN");
}

/* --- servers -------------------------------------------------------------------------------- */

static void test_bad_servers(void **state)
{
    static const char *const bad[] = {
        "",           "nonsense",      "127.0.0.1:0", "127.0.0.1,",
        ",127.0.0.1", "127.0.0.1:53x", "unix:/tmp/x", "127.0.0.1 127.0.0.1",
        "fe80::1%lo"};
    struct ask a;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        use_servers(state, bad[i], 0);
        lookup(*state, &a, "both.test");
        if (a.err[AC__V6] != -AC_EDNS || a.err[AC__V4] != -AC_EDNS)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_true(ac__nameservers_bad(*state));
        finish(&a);
        lookup(*state, &a, "localhost");
        assert_int_equal(a.err[AC__V4], 0);
        finish(&a);
    }
}

/* A UDP port of 127.0.0.1 at which nobody listens, and one at which nobody reads. */
static uint16_t mute_port(int *fd)
{
    struct sockaddr_in a   = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          len = sizeof a;

    *fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&a, &len), 0);
    return ntohs(a.sin_port);
}

static void test_next_server(void **state)
{
    char       list[80];
    struct ask a;
    int        fd;
    int64_t    began = h_now();

    snprintf(list, sizeof list, "127.0.0.1:%u,%s", mute_port(&fd), peer.text);
    close(fd);
    use_servers(state, list, 0);
    lookup(*state, &a, "both.test");
    assert_true(a.n[AC__V6] == 1 && a.n[AC__V4] == 2);
    finish(&a);
    assert_true(h_now() - began < AC_SECOND);
}

static void test_silent_server(void **state)
{
    char       list[80];
    struct ask a;
    int        fd;
    int64_t    began = h_now();

    ac__dns_timeout = 100;
    snprintf(list, sizeof list, "127.0.0.1:%u,%s", mute_port(&fd), peer.text);
    use_servers(state, list, 0);
    lookup(*state, &a, "both.test");
    assert_true(a.n[AC__V6] == 1 && a.n[AC__V4] == 2);
    finish(&a);
    assert_in_range((h_now() - began) / AC_MILLISECOND, 100, 1000);
    close(fd);
}

static void test_no_server(void **state)
{
    char       list[80];
    struct ask a;
    int        fd;

    snprintf(list, sizeof list, "127.0.0.1:%u", mute_port(&fd));
    close(fd);
    use_servers(state, list, 0);
    lookup(*state, &a, "both.test");
    assert_true(a.err[AC__V6] == -AC_EDNS && a.err[AC__V4] == -AC_EDNS);
    finish(&a);
}

/* --- many, cancelled, forked ------------------------------------------------------------------ */

enum { MANY = 2000 };

/* Turns until all have ended; the most that were under way at once, seen between turns. */
static uint64_t run_all(ac_loop *loop, unsigned count)
{
    struct h_bound bound = h_bound(20000);
    uint64_t       most  = h_stats(loop).lookups;

    while (ended < count) {
        h_turn(loop, &bound, __FILE__, __LINE__);
        if (h_stats(loop).lookups > most)
            most = h_stats(loop).lookups;
    }
    return most;
}

static void test_many(void **state)
{
    static struct ask all[MANY];
    char              name[64];

    use_servers(state, peer.text, 100);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "n%u.held.test", i);
        start(*state, &all[i], name);
    }
    /* Answers that come while others begin would keep the count below the limit. */
    H_UNTIL(*state, h_stats(*state).lookups >= 100);
    dns_release(&peer);
    assert_int_equal(run_all(*state, MANY), 100);
    assert_int_equal(h_stats(*state).lookups, 0);
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(all[i].n[AC__V6] == 1 && all[i].n[AC__V4] == 1);
        finish(&all[i]);
    }
}

static void test_first_in_first_out(void **state)
{
    struct ask all[20];
    unsigned   before = atomic_load(&peer.questions);
    char       name[64];

    use_servers(state, peer.text, 2);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "n%u.held.test", i);
        start(*state, &all[i], name);
    }
    H_UNTIL(*state, atomic_load(&peer.questions) == before + 4);
    assert_int_equal(h_stats(*state).lookups, 2);
    h_idle(*state, 20 * AC_MILLISECOND);
    assert_int_equal(atomic_load(&peer.questions), before + 4);
    /* One that is given up makes room, and so does one that waits. */
    finish(&all[0]);
    finish(&all[2]);
    H_UNTIL(*state, atomic_load(&peer.questions) == before + 6);
    dns_release(&peer);
    H_UNTIL(*state, ended == 18);
    for (unsigned i = 1; i < 20; i++) {
        if (i == 2)
            continue;
        assert_in_range(all[i].rank, i > 3 ? i - 3 : 1, i + 1);
        finish(&all[i]);
    }
}

static void test_cancel(void **state)
{
    struct ask a, b;
    unsigned   before = atomic_load(&peer.questions);
    size_t     fds;

    start(*state, &a, "silent.test");
    finish(&a); /* before it was asked */
    start(*state, &a, "1.2.3");
    finish(&a); /* before it was told */
    ac_loop_turn(*state, 0);
    fds = h_fds();
    start(*state, &a, "a.silent.test");
    start(*state, &b, "b.silent.test");
    H_UNTIL(*state, atomic_load(&peer.questions) == before + 4);
    assert_int_equal(h_stats(*state).lookups, 2);
    finish(&a);
    assert_int_equal(h_stats(*state).lookups, 1);
    assert_int_equal(h_fds(), fds + 1);
    finish(&b); /* the last: nothing is left behind */
    assert_int_equal(h_stats(*state).lookups, 0);
    assert_int_equal(h_fds(), fds);
    ac_loop_turn(*state, 0);
    lookup(*state, &a, "both.test");
    assert_int_equal(a.n[AC__V6], 1);
    finish(&a);
    assert_int_equal(b.told, 0);
}

/* Lookups that nobody waits for any more do not hold up the others, nor fill the memory. */
static void test_abandoned(void **state)
{
    struct ask keep, a[8];
    unsigned   before = atomic_load(&peer.questions);
    char       name[64];

    use_servers(state, peer.text, 4);
    start(*state, &keep, "k.held.test");
    for (int round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "n%d-%u.silent.test", round, i);
            start(*state, &a[i], name);
        }
        ac_loop_turn(*state, 0);
        ac_loop_turn(*state, 0);
        finish(&a[0]);
        finish(&a[1]);
    }
    /* 1 live and 2 * 4 - 1 abandoned is the limit: 7 of the 8 were asked, and nothing more is. */
    H_UNTIL(*state, atomic_load(&peer.questions) >= before + 2);
    start(*state, &a[0], "n.silent.test");
    h_idle(*state, 20 * AC_MILLISECOND);
    assert_in_range(atomic_load(&peer.questions) - before, 2, 16);
    assert_int_equal(h_stats(*state).lookups, 1);
    finish(&a[0]);
    dns_release(&peer);
    H_UNTIL(*state, keep.done);
    assert_int_equal(keep.n[AC__V6], 1);
    finish(&keep);
    lookup(*state, &a[0], "both.test");
    assert_int_equal(a[0].n[AC__V6], 1);
    finish(&a[0]);
}

static void test_free_in_flight(void **state)
{
    struct ask a[3];
    unsigned   before = atomic_load(&peer.questions);

    start(*state, &a[0], "a.silent.test");
    start(*state, &a[1], "b.silent.test");
    H_UNTIL(*state, atomic_load(&peer.questions) == before + 4);
    start(*state, &a[2], "localhost");
    finish(&a[0]);
    assert_int_equal(ac_loop_free(*state), 0);
    H_LOOP_GONE(state);
    assert_true(a[0].told == 0 && a[1].told == 0 && a[2].told == 0);
}

static void test_fork(void **state)
{
    struct ask a, b, waits;
    unsigned   before = atomic_load(&peer.questions);
    pid_t      pid;
    int        status;

    use_servers(state, peer.text, 2);
    start(*state, &a, "a.held.test");
    start(*state, &b, "b.held.test");
    start(*state, &waits, "both.test");
    H_UNTIL(*state, atomic_load(&peer.questions) == before + 4);
    finish(&b);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool ok = ac_loop_after_fork(*state) == 0;

        for (int i = 0; ok && i < 2000 && !(a.done && waits.done); i++)
            ok = ac_loop_turn(*state, 100 * AC_MILLISECOND) >= 0;
        ok = ok && a.n[AC__V6] == 1 && a.n[AC__V4] == 1 && waits.n[AC__V6] == 1;
        if (ok) {
            finish(&a);
            finish(&waits);
            ok = ac_loop_free(*state) == 0 && h_live == 0;
        }
        _exit(ok ? 0 : 1);
    }
    H_UNTIL(*state, atomic_load(&peer.questions) >= before + 8); /* asked again by the child */
    dns_release(&peer);
    H_UNTIL(*state, a.done && waits.done);
    assert_true(a.n[AC__V6] == 1 && a.n[AC__V4] == 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    finish(&a);
    finish(&waits);
}

/* What was asked before the fork is asked again before what waited. */
static void test_fork_order(void **state)
{
    struct ask a, b, waits;
    unsigned   before = atomic_load(&peer.questions);
    pid_t      pid;
    int        status;

    use_servers(state, peer.text, 2);
    start(*state, &a, "a.held.test");
    start(*state, &b, "b.held.test");
    start(*state, &waits, "both.test");
    H_UNTIL(*state, atomic_load(&peer.questions) == before + 4);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool ok = ac_loop_after_fork(*state) == 0;

        for (int i = 0; ok && i < 2000 && ended < 3; i++)
            ok = ac_loop_turn(*state, 100 * AC_MILLISECOND) >= 0;
        _exit(ok && waits.rank == 3 ? 0 : 1);
    }
    H_UNTIL(*state, atomic_load(&peer.questions) == before + 8);
    dns_release(&peer);
    H_UNTIL(*state, ended == 3);
    assert_int_equal(waits.rank, 3);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    finish(&a);
    finish(&b);
    finish(&waits);
}

/* --- out of memory ---------------------------------------------------------------------------- */

/* One lookup in a fresh loop; returns whether it found all. */
static bool one_lookup(const char *name)
{
    ac_loop   *loop = loop_with(peer.text, 0);
    struct ask a    = {0};
    bool       ok   = false;

    if (loop == NULL)
        return false;
    if (ac__lookup_start(loop, name, told, &a, &a.l) == 0) {
        struct h_bound bound = h_bound(2000);

        while (!a.done && ac_loop_turn(loop, 100 * AC_MILLISECOND) >= 0 && bound.turns-- > 0)
            ;
        for (int f = 0; f < AC__FAMILIES; f++)
            assert_true(!a.done || a.n[f] > 0 || a.err[f] == -ENOMEM || a.err[f] == -AC_EDNS);
        ok = a.n[AC__V6] > 0 && a.n[AC__V4] > 0;
        finish(&a);
    }
    ac_loop_free(loop);
    return ok;
}

static void sweep(const char *name, bool from_there_on)
{
    long k = 1, live = h_live;
    bool ok;

    do {
        h_alloc_calls   = 0;
        h_alloc_fail    = k++;
        h_alloc_fail_on = from_there_on;
        ok              = one_lookup(name);
        assert_int_equal(h_live, live);
    } while (h_alloc_calls >= h_alloc_fail);
    h_alloc_fail = 0;
    for (int i = 0; i < 3 && !ok;
         i++) /* a busy machine may lose a question's time, but not always */
        ok = one_lookup(name);
    assert_true(ok);
    assert_true(k > 20);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    ac__dns_timeout = 10; /* an answer that there is no memory to read counts as lost */
    assert_true(one_lookup("both.test"));
    sweep("both.test", false);
    sweep("both.test", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_syntax),
        TEST(test_bad_name_is_told_later),
        TEST(test_special),
        TEST(test_hosts_file),
        TEST(test_hosts_before_dns),
        TEST(test_answers),
        TEST(test_no_answers),
        TEST(test_forged),
        TEST(test_tcp),
        TEST(test_first_family_is_told),
        TEST(test_search),
        TEST(test_bad_servers),
        TEST(test_next_server),
        TEST(test_silent_server),
        TEST(test_no_server),
        TEST(test_many),
        TEST(test_first_in_first_out),
        TEST(test_cancel),
        TEST(test_abandoned),
        TEST(test_free_in_flight),
        TEST(test_fork),
        TEST(test_fork_order),
        TEST(test_out_of_memory),
    };
    int rc;

    h_start();
    dns_start(&peer, rules);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    dns_stop(&peer);
    return rc;
}
