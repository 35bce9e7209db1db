/* SPDX-License-Identifier: MIT */
/* `asyncore timed`: serves the time until a signal ends it. */
#include "cli.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

static const char help[] =
    "Usage: asyncore timed [OPTION]...\n"
    "Serve the time (RFC 868) over TCP, or with --udp over UDP alone, until SIGINT or SIGTERM.\n"
    "Prints 'listening on port P' once clients are served.\n"
    "\n"
    "  -b, --bind ADDR    serve at this address; default all, IPv6 and IPv4\n"
    "  -p, --port P       serve at this port; 0: one that is free; default 37\n"
    "  -u, --udp          serve over UDP: empty datagrams are answered\n";

static const struct option options[] = {
    CLI_COMMON,
    {"bind", required_argument, NULL, 'b'},
    {"port", required_argument, NULL, 'p'},
    {"udp", no_argument, NULL, 'u'},
    {NULL, 0, NULL, 0},
};

/* As many clients at once leave memory behind that is worth giving back to the system. */
enum { CROWD = 256 };

struct server {
    ac_time_server      time;
    ac_signal           interrupt, terminate;
    bool                stopped;
    uint64_t            most; /* channels at once, since memory was given back */
    const char         *host; /* NULL: all addresses */
    uint16_t            port;
    ac_rfc868_transport transport;
};

static void interrupted(ac_signal *s)
{
    AC_CONTAINER(struct server, interrupt, s)->stopped = true;
}

static void terminated(ac_signal *s)
{
    AC_CONTAINER(struct server, terminate, s)->stopped = true;
}

/* The signals are watched before the line is printed: whoever has read it may end the program. */
static int start(struct server *s, ac_loop *loop)
{
    int rc;

    ac_signal_init(&s->interrupt, loop, interrupted);
    ac_signal_init(&s->terminate, loop, terminated);
    rc = ac_time_server_start(&s->time, loop, s->host, s->port, s->transport);
    if (rc == 0)
        rc = ac_signal_start(&s->interrupt, SIGINT);
    if (rc == 0)
        rc = ac_signal_start(&s->terminate, SIGTERM);
    return rc;
}

static void tell_failure(const struct cli *cli, const struct server *s, int err)
{
    char    reason[CLI_TEXT], text[AC_ADDR_TEXT];
    ac_addr addr;

    (void)cli_reason(err, reason);
    if (s->host != NULL && ac_addr_ip(&addr, s->host, s->port) == 0)
        cli_error(cli, "%s: %s", ac_addr_format(&addr, text, sizeof text), reason);
    else
        cli_error(cli, "port %u: %s", s->port, reason);
}

/*
 * The C library keeps what was freed between blocks that are in use, so a crowd that has gone would
 * stay in the size of the process.
 */
static void give_back_memory(struct server *s, const ac_loop *loop)
{
    ac_stats stats = {.size = sizeof stats};

    (void)ac_loop_stats(loop, &stats);
    if (stats.channels > s->most)
        s->most = stats.channels;
    if (stats.channels > 1 || s->most < CROWD)
        return;
    (void)malloc_trim(0);
    s->most = 0;
}

/* Runs turns until a signal came, which is 0, or something failed. */
static int run(struct server *s, ac_loop *loop)
{
    int rc = 0;

    while (rc >= 0 && !s->stopped && ac_is_open(&s->time.base)) {
        rc = ac_loop_turn(loop, AC_FOREVER);
        give_back_memory(s, loop);
    }
    return rc < 0 ? rc : s->stopped ? 0 : -EIO;
}

static int serve(struct cli *cli, struct server *s)
{
    char     text[CLI_TEXT];
    ac_loop *loop;
    int      rc, status;

    loop = cli_loop(cli, cli->verbose ? AC_ON : AC_UNSET, &status);
    if (loop == NULL)
        return status;
    (void)cli_raise_limit();
    rc = start(s, loop);
    if (rc < 0)
        tell_failure(cli, s, rc);
    else
        cli_print(cli, "listening on port %u\n", ac_local_port(&s->time.base));
    if (rc == 0 && !cli->broken) {
        rc = run(s, loop);
        if (rc < 0)
            cli_error(cli, "%s", cli_reason(rc, text));
    }
    ac_loop_free(loop);
    return rc == 0 && !cli->broken ? CLI_OK : CLI_FAILED;
}

int cmd_timed(struct cli *cli, int argc, char **argv)
{
    struct server s = {.port = AC_RFC868_PORT, .transport = AC_RFC868_TCP};
    char          text[CLI_TEXT];
    ac_addr       addr;
    long          port;
    int           option;

    cli_options_begin();
    while ((option = cli_next(cli, argc, argv, "b:p:u", options)) != CLI_END) {
        switch (option) {
        case 'b':
            if (ac_addr_ip(&addr, optarg, 0) < 0)
                return cli_usage(cli, "'%s' is no address", cli_quote(optarg, text));
            s.host = optarg;
            break;
        case 'p':
            if (cli_number(optarg, 0, UINT16_MAX, &port) < 0)
                return cli_usage(cli, "'%s' is no port", cli_quote(optarg, text));
            s.port = (uint16_t)port;
            break;
        case 'u':
            s.transport = AC_RFC868_UDP;
            break;
        case CLI_HELP:
            cli_print(cli, "%s%s", help, cli_common_help);
            return CLI_OK;
        default:
            return CLI_USAGE;
        }
    }
    if (optind < argc)
        return cli_usage(cli, "unexpected argument '%s'", cli_quote(argv[optind], text));
    return serve(cli, &s);
}
