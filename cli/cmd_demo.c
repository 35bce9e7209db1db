/* SPDX-License-Identifier: MIT */
/*
 * `asyncore demo`: time servers and their clients over TCP and UDP, and pages over HTTP (demo_http.c),
 * in one process and one loop.
 */
#include "cli.h"
#include "demo.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static const char help[] =
    "Usage: asyncore demo [OPTION]...\n"
    "Start a time server on this machine and ask it, over TCP and then over UDP; then serve pages\n"
    "over HTTP and fetch them. All in one process and one loop. The log of the channels goes to\n"
    "standard error.\n"
    "\n";

static const struct option options[] = {
    CLI_COMMON,
    {NULL, 0, NULL, 0},
};

static const char address[] = "127.0.0.1";

struct demo {
    struct cli         *cli;
    ac_loop            *loop;
    ac_timer            begin;
    ac_time_server      server;
    ac_time_request     request;
    ac_rfc868_transport transport;
    int                 status;
};

static void fail(struct demo *demo, int err)
{
    char text[CLI_TEXT];

    cli_error(demo->cli, "%s over %s: %s", address,
              demo->transport == AC_RFC868_TCP ? "TCP" : "UDP", cli_reason(err, text));
    demo->status = CLI_FAILED;
}

/* Two clocks that are one differ by a second if it ends between question and answer: begin early. */
static int64_t until_early_in_a_second(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_nsec < 750 * AC_MILLISECOND ? 0 : AC_SECOND + 10 * AC_MILLISECOND - now.tv_nsec;
}

static void adjust_time(ac_time_request *r, int32_t delta, int err)
{
    struct demo *demo = AC_CONTAINER(struct demo, request, r);

    ac_close(&demo->server.base);
    if (err < 0) {
        fail(demo, err);
        return;
    }
    cli_print(demo->cli, "time difference is %" PRId32 "\n", delta);
    if (demo->transport == AC_RFC868_TCP) {
        demo->transport = AC_RFC868_UDP;
        (void)ac_timer_start(&demo->begin, until_early_in_a_second());
    }
}

static void begin(ac_timer *t)
{
    struct demo *demo = AC_CONTAINER(struct demo, begin, t);
    uint16_t     port;
    int          rc = ac_time_server_start(&demo->server, demo->loop, address, 0, demo->transport);

    if (rc < 0) {
        fail(demo, rc);
        return;
    }
    port = ac_local_port(&demo->server.base);
    cli_print(demo->cli, "listening on port %u\n", port);
    rc = ac_time_request_start(&demo->request, demo->loop, address, port, demo->transport,
                               10 * AC_SECOND, adjust_time);
    if (rc < 0) {
        fail(demo, rc);
        ac_close(&demo->server.base);
    }
}

static int run(struct cli *cli)
{
    struct demo demo = {.cli = cli, .transport = AC_RFC868_TCP, .status = CLI_FAILED};
    char        text[CLI_TEXT];
    int         rc;

    demo.loop = cli_loop(cli, AC_ON, &demo.status);
    if (demo.loop == NULL)
        return demo.status;
    demo.status = CLI_OK;
    ac_timer_init(&demo.begin, demo.loop, begin);
    rc = ac_timer_start(&demo.begin, until_early_in_a_second());
    if (rc == 0)
        rc = ac_run(demo.loop);
    if (rc < 0) {
        cli_error(cli, "%s", cli_reason(rc, text));
        demo.status = CLI_FAILED;
    }
    if (demo.status == CLI_OK)
        demo.status = demo_http(cli, demo.loop);
    ac_loop_free(demo.loop);
    return demo.status;
}

int cmd_demo(struct cli *cli, int argc, char **argv)
{
    char text[CLI_TEXT];

    cli_options_begin();
    switch (cli_next(cli, argc, argv, "", options)) {
    case CLI_HELP:
        cli_print(cli, "%s%s", help, cli_common_help);
        return CLI_OK;
    case CLI_END:
        break;
    default:
        return CLI_USAGE;
    }
    if (optind < argc)
        return cli_usage(cli, "unexpected argument '%s'", cli_quote(argv[optind], text));
    return run(cli);
}
