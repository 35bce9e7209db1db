/* SPDX-License-Identifier: MIT */
/* What a well-behaved program owes its surroundings: descriptors, limits, checked output. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * Each is opened the wrong way round where that is possible: what is written to a standard output
 * that was closed must fail, as it would without us.
 */
int cli_guard_descriptors(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDWR};

    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", modes[fd]) < 0)
            return -errno;
    }
    return 0;
}

size_t cli_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t soft = limit.rlim_cur;

        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            limit.rlim_cur = soft;
    }
    return limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : (size_t)limit.rlim_cur;
}

ac_loop *cli_loop(struct cli *cli, int verbose, int *status)
{
    ac_loop_options options = {.size        = sizeof options,
                               .backend     = cli->backend,
                               .verbose     = verbose,
                               .nameservers = cli->nameservers};
    ac_loop        *loop    = ac_loop_new_with(&options);

    *status = CLI_FAILED;
    if (loop == NULL) {
        cli_error(cli, "out of memory");
    } else if (strcmp(ac_loop_backend(loop), "none") == 0) {
        *status = cli_usage(cli, "unknown backend in ASYNCORE_BACKEND");
        ac_loop_free(loop);
        loop = NULL;
    }
    return loop;
}

void cli_print(struct cli *cli, const char *format, ...)
{
    char    text[CLI_TEXT];
    va_list args;
    int     rc;

    if (cli->broken)
        return;
    errno = 0;
    va_start(args, format);
    rc = vprintf(format, args);
    va_end(args);
    if (rc >= 0 && fflush(stdout) == 0)
        return;
    cli->broken = true;
    cli_error(cli, "standard output: %s", cli_reason(errno != 0 ? errno : EIO, text));
}

void cli_verror(const struct cli *cli, const char *suffix, const char *format, va_list args)
{
    char   line[4 * CLI_TEXT];
    size_t len;
    int    n = snprintf(line, sizeof line, "asyncore%s%s: ", cli->command != NULL ? " " : "",
                     cli->command != NULL ? cli->command : "");

    len = n > 0 ? (size_t)n : 0;
    n   = vsnprintf(line + len, sizeof line - len, format, args);
    len = n < 0 ? len : len + (size_t)n;
    if (len < sizeof line)
        n = snprintf(line + len, sizeof line - len, "%s\n", suffix);
    len = len + (n > 0 ? (size_t)n : 0);
    if (len >= sizeof line) {
        len           = sizeof line - 1;
        line[len - 1] = '\n';
    }
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* there is nowhere left to say it; the exit status tells */
}

void cli_error(const struct cli *cli, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cli_verror(cli, "", format, args);
    va_end(args);
}

const char *cli_quote(const char *text, char buf[CLI_TEXT])
{
    size_t len = 0;

    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;

        if (len > CLI_TEXT - 8) { /* room for one escape, dots and the end */
            memcpy(buf + len, "...", sizeof "...");
            return buf;
        }
        if (c < 0x20 || c > 0x7e || c == '\\')
            len += (size_t)snprintf(buf + len, CLI_TEXT - len, "\\x%02x", c);
        else
            buf[len++] = (char)c;
    }
    buf[len] = '\0';
    return buf;
}

/* An acronym at the start of the text keeps its capitals. */
const char *cli_reason(int err, char buf[CLI_TEXT])
{
    const char *text = ac_strerror(err);

    (void)snprintf(buf, CLI_TEXT, "%s", text);
    if (buf[0] != '\0' && !isupper((unsigned char)buf[1]))
        buf[0] = (char)tolower((unsigned char)buf[0]);
    return buf;
}
