/* SPDX-License-Identifier: MIT */
/* The program `asyncore`: finds the command and runs it. */
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: asyncore [OPTION]... COMMAND [ARGUMENT]...\n"
    "An HTTP client, and time clients and servers (RFC 868), on the asyncore reactor.\n"
    "\n"
    "Commands:\n"
    "  time               ask time servers for the difference of the clocks\n"
    "  timed              serve the time\n"
    "  get                fetch URLs, one or a million\n"
    "  demo               serve and ask, in one process\n"
    "  help [COMMAND]     print the help of a command\n"
    "\n"
    "Options, before or behind the command:\n"
    "  -v, --verbose      log channels on standard error\n"
    "      --backend NAME wait with epoll, io_uring, poll or select\n"
    "  -h, --help         print this help, or that of the command\n"
    "      --version      print the version\n";

static const struct command {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
} commands[] = {
    {"time", cmd_time},
    {"timed", cmd_timed},
    {"get", cmd_get},
    {"demo", cmd_demo},
};

enum { OPTION_VERSION = CLI_OWN };

static const struct option options[] = {
    CLI_COMMON,
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static int run_command(struct cli *cli, int argc, char **argv)
{
    char text[CLI_TEXT];

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[0], commands[i].name) == 0) {
            cli->command = commands[i].name;
            return commands[i].run(cli, argc, argv);
        }
    }
    return cli_usage(cli, "unknown command '%s'", cli_quote(argv[0], text));
}

static int print_help(struct cli *cli)
{
    cli_print(cli, "%s", help);
    return CLI_OK;
}

/* `asyncore help COMMAND` is `asyncore COMMAND --help`. */
static int command_help(struct cli *cli, int argc, char **argv)
{
    char  flag[] = "--help";
    char *args[3];

    if (argc == 1)
        return print_help(cli);
    if (argc > 2 || argv[1][0] == '-')
        return cli_usage(cli, "help takes one command");
    args[0] = argv[1];
    args[1] = flag;
    args[2] = NULL;
    return run_command(cli, 2, args);
}

static int run(struct cli *cli, int argc, char **argv)
{
    cli_options_begin();
    for (;;) {
        switch (cli_next(cli, argc, argv, "+", options)) {
        case CLI_HELP:
            return print_help(cli);
        case OPTION_VERSION:
            cli_print(cli, "asyncore %s\n", ac_version());
            return CLI_OK;
        case CLI_BAD:
            return CLI_USAGE;
        default:
            if (optind >= argc)
                return cli_usage(cli, "a command is missing");
            argc -= optind;
            argv += optind;
            if (strcmp(argv[0], "help") == 0)
                return command_help(cli, argc, argv);
            return run_command(cli, argc, argv);
        }
    }
}

int main(int argc, char **argv)
{
    struct cli cli = {.command = NULL};
    int        status;

    if (cli_guard_descriptors() < 0)
        return CLI_FAILED; /* no descriptor to say it on */
    /* A reader of our output that has gone is an error to be told, and no reason to be killed. */
    (void)signal(SIGPIPE, SIG_IGN);
    status = argc < 1 ? CLI_USAGE : run(&cli, argc, argv);
    return cli.broken && status == CLI_OK ? CLI_FAILED : status;
}
