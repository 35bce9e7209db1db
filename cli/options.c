/* SPDX-License-Identifier: MIT */
/* Options and arguments: getopt_long(3), with messages of our own. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char cli_common_help[] = "  -v, --verbose      log channels on standard error\n"
                               "      --backend NAME wait with epoll, io_uring, poll or select\n"
                               "  -h, --help         print this help\n";

void cli_options_begin(void)
{
    opterr = 0;
    optind = 0; /* glibc: begin anew, and read the flags of the option string anew */
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    char    suffix[64];
    va_list args;

    (void)snprintf(suffix, sizeof suffix, "; see 'asyncore%s%s --help'",
                   cli->command != NULL ? " " : "", cli->command != NULL ? cli->command : "");
    va_start(args, format);
    cli_verror(cli, suffix, format, args);
    va_end(args);
    return CLI_USAGE;
}

/* getopt_long() tells what is wrong only in part: the rest is in the argument that it looked at. */
static int unknown_option(const struct cli *cli, char **argv)
{
    char        text[CLI_TEXT], name[3] = {'-', (char)optopt, '\0'};
    const char *arg = argv[optind - 1];

    if (optopt == 0 || optopt > 255) {
        char *equals = strchr(arg, '=');

        if (optopt > 255 && equals != NULL)
            *equals = '\0';
        (void)cli_usage(cli, optopt > 255 ? "option '%s' takes no argument" : "unknown option '%s'",
                        cli_quote(arg, text));
    } else if (strncmp(arg, "--", 2) == 0 && strchr(arg, '=') != NULL) {
        *strchr(arg, '=') = '\0';
        (void)cli_usage(cli, "option '%s' takes no argument", cli_quote(arg, text));
    } else {
        (void)cli_usage(cli, "unknown option '%s'", cli_quote(name, text));
    }
    return CLI_BAD;
}

/* Says so where the name is none of the library's. */
static bool backend_ok(const struct cli *cli, const char *name)
{
    char        text[CLI_TEXT], list[CLI_TEXT] = "";
    const char *known;

    for (size_t i = 0; (known = ac_backend_name(i)) != NULL; i++) {
        size_t len = strlen(list);

        if (strcmp(known, name) == 0)
            return true;
        (void)snprintf(list + len, sizeof list - len, "%s%s", i > 0 ? ", " : "", known);
    }
    cli_error(cli, "unknown backend '%s'; there are: %s", cli_quote(name, text), list);
    return false;
}

int cli_next(struct cli *cli, int argc, char **argv, const char *shorts, const struct option *longs)
{
    bool plus = shorts[0] == '+';
    char all[32], text[CLI_TEXT];
    int  option;

    (void)snprintf(all, sizeof all, "%s:hv%s", plus ? "+" : "", shorts + (plus ? 1 : 0));
    for (;;) {
        option = getopt_long(argc, argv, all, longs, NULL);
        switch (option) {
        case 'h':
            return CLI_HELP;
        case 'v':
            cli->verbose = true;
            break;
        case CLI_BACKEND:
            if (!backend_ok(cli, optarg))
                return CLI_BAD;
            cli->backend = optarg;
            break;
        case ':':
            (void)cli_usage(cli, "option '%s' needs an argument",
                            cli_quote(argv[optind - 1], text));
            return CLI_BAD;
        case '?':
            return unknown_option(cli, argv);
        default:
            return option;
        }
    }
}

int cli_number(const char *text, long low, long high, long *out)
{
    char *end;
    long  value;

    if (text[0] < '0' || text[0] > '9')
        return -EINVAL; /* strtol() would take blanks and signs */
    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < low || value > high)
        return -EINVAL;
    *out = value;
    return 0;
}

int cli_seconds(const char *text, int64_t *out)
{
    char  *end;
    double value;

    if (text[strspn(text, "0123456789.")] != '\0')
        return -EINVAL; /* strtod() would take signs, hexadecimal, infinity and NaN */
    value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value > 0))
        return -EINVAL;
    value *= (double)AC_SECOND;
    if (value >= (double)AC_FOREVER)
        *out = AC_FOREVER;
    else
        *out = value < 1 ? 1 : (int64_t)value;
    return 0;
}
