/* SPDX-License-Identifier: MIT */
/*
 * `asyncore time`: asks servers for their time, all at once, and prints the answers as they come.
 * "At once" is bounded by the descriptors that the process may have; what is beyond waits until an
 * earlier question has ended.
 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>

static const char help[] =
    "Usage: asyncore time [OPTION]... HOST[:PORT]...\n"
    "Ask time servers (RFC 868) for the difference of the clocks: the clock here minus the\n"
    "server's, in seconds. The port is 37 unless given; an IPv6 address with a port is written\n"
    "in brackets, as [::1]:8037.\n"
    "\n"
    "  -u, --udp          ask over UDP\n"
    "  -t, --timeout S    give up after S seconds; default 10\n"
    "      --nameserver ADDR[:PORT][,...]\n"
    "                     ask these name servers, not those of /etc/resolv.conf\n";

static const char help_end[] =
    "\n"
    "The exit status is 0 if all servers answered, 1 if one did not, 2 for bad usage.\n";

enum { OPTION_NAMESERVER = CLI_OWN };

static const struct option options[] = {
    CLI_COMMON,
    {"udp", no_argument, NULL, 'u'},
    {"timeout", required_argument, NULL, 't'},
    {"nameserver", required_argument, NULL, OPTION_NAMESERVER},
    {NULL, 0, NULL, 0},
};

/* Descriptors that are not for questions: standard streams, the loop's own, name servers. */
enum { RESERVED = 16 };

struct asking;

struct question {
    ac_time_request base;
    struct asking  *asking;
    const char     *text; /* the argument */
    uint16_t        port;
};

struct asking {
    struct cli         *cli;
    ac_loop            *loop;
    struct question    *questions;
    size_t              count, next, running, most;
    int64_t             timeout;
    ac_rfc868_transport transport;
    int                 status;
    bool                over; /* what ends from now on was given up, and is not told */
};

/* The text was looked at before: it can be split. */
static const char *host_of(const struct question *q, char host[NI_MAXHOST])
{
    uint16_t port;

    (void)ac_host_split(q->text, host, NI_MAXHOST, &port);
    return host;
}

/* Writes "HOST:PORT", with brackets around an IPv6 address. */
static const char *label_of(const struct question *q, char buf[CLI_TEXT])
{
    char host[NI_MAXHOST], shown[CLI_TEXT];
    bool brackets = strchr(host_of(q, host), ':') != NULL;

    (void)snprintf(buf, CLI_TEXT, "%s%.*s%s:%u", brackets ? "[" : "", CLI_TEXT - 10,
                   cli_quote(host, shown), brackets ? "]" : "", q->port);
    return buf;
}

static void tell_failure(struct asking *a, const struct question *q, int err)
{
    char label[CLI_TEXT], reason[CLI_TEXT];

    cli_error(a->cli, "%s: %s", label_of(q, label), cli_reason(err, reason));
    a->status = CLI_FAILED;
}

static void ask_more(struct asking *a);

static void adjust_time(ac_time_request *r, int32_t delta, int err)
{
    struct question *q = AC_CONTAINER(struct question, base, r);
    struct asking   *a = q->asking;
    char             label[CLI_TEXT];

    a->running--;
    if (a->over)
        return;
    if (err < 0)
        tell_failure(a, q, err);
    else if (a->count == 1)
        cli_print(a->cli, "time difference is %" PRId32 "\n", delta);
    else
        cli_print(a->cli, "%s: time difference is %" PRId32 "\n", label_of(q, label), delta);
    a->over = a->cli->broken;
    if (a->over)
        ac_stop(a->loop);
    else
        ask_more(a);
}

static void ask_more(struct asking *a)
{
    while (a->next < a->count && a->running < a->most) {
        struct question *q = &a->questions[a->next++];
        char             host[NI_MAXHOST];
        int rc = ac_time_request_start(&q->base, a->loop, host_of(q, host), q->port, a->transport,
                                       a->timeout, adjust_time);

        if (rc < 0)
            tell_failure(a, q, rc);
        else
            a->running++;
    }
}

static size_t most_at_once(const ac_loop *loop, size_t limit)
{
    if (strcmp(ac_loop_backend(loop), "select") == 0 && limit > FD_SETSIZE)
        limit = FD_SETSIZE;
    return limit > (size_t)2 * RESERVED ? limit - RESERVED : RESERVED;
}

static int ask_all(struct asking *a)
{
    char text[CLI_TEXT];
    int  rc, status;

    a->loop = cli_loop(a->cli, a->cli->verbose ? AC_ON : AC_UNSET, &status);
    if (a->loop == NULL)
        return status;
    a->most = most_at_once(a->loop, cli_raise_limit());
    ask_more(a);
    rc = ac_run(a->loop);
    if (rc < 0) {
        cli_error(a->cli, "%s", cli_reason(rc, text));
        a->status = CLI_FAILED;
    }
    a->over = true;
    ac_loop_free(a->loop);
    return a->status;
}

static int take_host(const struct cli *cli, struct question *q, const char *text)
{
    char host[NI_MAXHOST], shown[CLI_TEXT];

    q->text = text;
    q->port = AC_RFC868_PORT;
    if (ac_host_split(text, host, sizeof host, &q->port) < 0 || q->port == 0)
        return cli_usage(cli, "'%s' is no HOST[:PORT]", cli_quote(text, shown));
    return CLI_OK;
}

static int ask_hosts(struct asking *a, char **hosts)
{
    int status = CLI_OK;

    a->questions = calloc(a->count, sizeof *a->questions);
    if (a->questions == NULL) {
        cli_error(a->cli, "out of memory");
        return CLI_FAILED;
    }
    for (size_t i = 0; i < a->count && status == CLI_OK; i++) {
        a->questions[i].asking = a;
        status                 = take_host(a->cli, &a->questions[i], hosts[i]);
    }
    if (status == CLI_OK)
        status = ask_all(a);
    free(a->questions);
    return status;
}

/* The library reads the list when it first looks a name up; a bad one is bad usage, told at once. */
static bool nameservers_ok(const char *list)
{
    char        one[AC_ADDR_TEXT];
    const char *end;
    ac_addr     addr;

    for (;; list = end + 1) {
        size_t len = strcspn(list, ",");

        if (len == 0 || len >= sizeof one)
            return false;
        memcpy(one, list, len);
        one[len] = '\0';
        if (ac_addr_parse(&addr, one, 53) < 0 || ac_addr_family(&addr) == AF_UNIX)
            return false;
        end = list + len;
        if (*end == '\0')
            return true;
    }
}

int cmd_time(struct cli *cli, int argc, char **argv)
{
    struct asking a = {.cli = cli, .timeout = 10 * AC_SECOND, .transport = AC_RFC868_TCP};
    char          text[CLI_TEXT];
    int           option;

    cli_options_begin();
    while ((option = cli_next(cli, argc, argv, "ut:", options)) != CLI_END) {
        switch (option) {
        case 'u':
            a.transport = AC_RFC868_UDP;
            break;
        case 't':
            if (cli_seconds(optarg, &a.timeout) < 0)
                return cli_usage(cli, "'%s' is no number of seconds above 0",
                                 cli_quote(optarg, text));
            break;
        case OPTION_NAMESERVER:
            if (!nameservers_ok(optarg))
                return cli_usage(cli, "'%s' is no list of addresses", cli_quote(optarg, text));
            cli->nameservers = optarg;
            break;
        case CLI_HELP:
            cli_print(cli, "%s%s%s", help, cli_common_help, help_end);
            return CLI_OK;
        default:
            return CLI_USAGE;
        }
    }
    if (optind >= argc)
        return cli_usage(cli, "a host is missing");
    a.count = (size_t)(argc - optind);
    return ask_hosts(&a, argv + optind);
}
