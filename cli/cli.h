/* SPDX-License-Identifier: MIT */
/*
 * What the commands of the program share: options, output that is checked, errors that are safe to
 * print. The program stands on the public headers alone.
 */
#ifndef AC_CLI_H
#define AC_CLI_H

#include <asyncore.h>

#include <getopt.h>

/* Exit statuses. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* What cli_next() gives beside the values of a command's own options. */
enum { CLI_END = -1, CLI_HELP = 1000, CLI_BAD, CLI_BACKEND, CLI_OWN };

/* The options of every command, to be put at the head of its own. */
/* clang-format off */
#define CLI_COMMON                                                                                \
    { "help", no_argument, NULL, 'h' },                                                           \
    { "verbose", no_argument, NULL, 'v' },                                                        \
    { "backend", required_argument, NULL, CLI_BACKEND }
/* clang-format on */

struct cli {
    const char *command; /* for messages: "time"; NULL: none yet */
    bool        verbose;
    const char *backend;     /* NULL: the library's choice */
    const char *nameservers; /* NULL: the system's */
    bool        broken;      /* standard output failed, and that was said */
};

/* Room for what cli_quote() and cli_reason() write. */
enum { CLI_TEXT = 320 };

/* The commands: argv[0] is the command's name. They return the exit status. */
int cmd_time(struct cli *cli, int argc, char **argv);
int cmd_timed(struct cli *cli, int argc, char **argv);
int cmd_get(struct cli *cli, int argc, char **argv);
int cmd_demo(struct cli *cli, int argc, char **argv);

/* --- options.c ---------------------------------------------------------------------------- */

/* The common lines of every command's help. */
extern const char cli_common_help[];

/* To be called before the first cli_next() on an argv. */
void cli_options_begin(void);

/*
 * Takes the next option: its value, CLI_HELP, CLI_BAD (said on standard error: the caller exits with
 * CLI_USAGE) or CLI_END. `shorts` is getopt's list of the command's own short options, after a `+` if
 * options end at the first argument. The common options are kept in `cli` and not given.
 */
int cli_next(struct cli *cli, int argc, char **argv, const char *shorts,
             const struct option *longs);

/* Says "FORMAT; see 'asyncore COMMAND --help'" on standard error. Returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) AC_PRINTF(2, 3);

/* Reads a decimal number from `low` to `high`: 0, or -EINVAL. */
int cli_number(const char *text, long low, long high, long *out);

/* Reads decimal seconds, more than 0, as nanoseconds: 0, or -EINVAL. */
int cli_seconds(const char *text, int64_t *out);

/* --- program.c ---------------------------------------------------------------------------- */

/* Makes descriptors 0 to 2 be open, so that no socket lands there. Returns 0 or -errno. */
int cli_guard_descriptors(void);

/* Raises the soft limit on descriptors to the hard one. Returns the limit that then holds. */
size_t cli_raise_limit(void);

/* Makes a loop as the options say; NULL: it cannot be, which was said, and `*status` is to be given. */
ac_loop *cli_loop(struct cli *cli, int verbose, int *status);

/* Prints on standard output, at once. A failure is said once and kept in `cli->broken`. */
void cli_print(struct cli *cli, const char *format, ...) AC_PRINTF(2, 3);

/* Says "asyncore COMMAND: FORMAT" on standard error, in one write. */
void cli_error(const struct cli *cli, const char *format, ...) AC_PRINTF(2, 3);
void cli_verror(const struct cli *cli, const char *suffix, const char *format, va_list args)
    AC_PRINTF(3, 0);

/* Copies a text with everything but printable ASCII escaped, so that it cannot drive a terminal. */
const char *cli_quote(const char *text, char buf[CLI_TEXT]);

/* Describes an error as the end of a message: "connection refused". */
const char *cli_reason(int err, char buf[CLI_TEXT]);

#endif
