/* SPDX-License-Identifier: MIT */
/* `asyncore get`: fetches URLs, many at once. Options and help; see get.h for the rest. */
#include "get.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help_outputs[] =
    "Usage: asyncore get [OPTION]... URL...\n"
    "Fetch URLs of http, many at once. Bodies go to standard output, whole and in the order of "
    "the\n"
    "URLs.\n"
    "\n"
    "Outputs:\n"
    "  -o, --output FILE       write the body to FILE ('-': standard output, as it is)\n"
    "  -O, --remote-name       write each body to a file named as the URL's last segment\n"
    "      --output-dir DIR    as -O, in DIR; with -o, FILE is in DIR\n"
    "  -J, --remote-header-name\n"
    "                          as -O, but the server may name the file (Content-Disposition)\n"
    "      --force             replace files that are there\n"
    "      --keep-partial      keep what was received of a file that failed\n"
    "      --fsync             have files on the disk before they get their names\n"
    "      --discard           drop bodies\n"
    "      --report            print status and fields instead of bodies\n"
    "      --links             print the links of pages instead of bodies\n"
    "      --json FILE         write a line of JSON about each URL ('-': instead of bodies)\n"
    "\n";

static const char help_requests[] =
    "Requests:\n"
    "  -H, --header 'NAME: VALUE'\n"
    "                          send a field; 'NAME:' leaves it out, 'NAME;' sends it empty\n"
    "  -X, --request METHOD    send this method\n"
    "  -I, --head              ask for the head alone\n"
    "  -d, --data DATA         send a form with POST; '@FILE' as --data-file\n"
    "      --data-file FILE    send a file with POST ('-': standard input)\n"
    "      --compressed        accept and decode gzip, deflate, br and zstd (the default)\n"
    "      --raw               accept no codings, and decode none\n"
    "  -L, --max-redirects N   follow N redirects; default 20, 0: none; -L alone: the default\n"
    "      --resolve HOST:PORT:ADDR\n"
    "                          HOST at PORT is at ADDR; may be repeated\n"
    "      --nameserver ADDR[:PORT][,...]\n"
    "                          ask these name servers, not those of /etc/resolv.conf\n"
    "\n";

static const char help_many[] =
    "Many:\n"
    "  -i, --input FILE        fetch the URLs in FILE, one a line ('-': standard input)\n"
    "  -P, --parallel N        fetch N at once; default 50\n"
    "      --per-host N        open N connections to an origin; default 6\n"
    "      --rate N[/s|/m|/h]  send N requests a second (minute, hour)\n"
    "\n"
    "Limits, and trying again:\n"
    "  -f, --fail              a status of 400 and more is a failure\n"
    "      --max-size BYTES    fail bodies that are longer; K, M, G may follow\n"
    "      --connect-timeout S fail if there is no connection after S seconds; default 10\n"
    "      --idle-timeout S    fail if nothing comes for S seconds; default 60\n"
    "      --timeout S         fail a URL after S seconds, all attempts together\n"
    "      --retry N           try again up to N times, from where it broke off if possible\n"
    "      --retry-max-wait S  give up if the server asks to wait longer; default 120\n"
    "\n"
    "Others:\n";

static const char help_end[] =
    "\n"
    "The exit status is 0 if every transfer was complete, 2 for bad usage, and of one URL\n"
    "  1 other, memory        5 timeout         9 redirect_loop, redirect\n"
    "  2 url                  6 protocol       10 status\n"
    "  3 name                 7 truncated      11 output\n"
    "  4 refused, unreachable 8 too_large      130, 143 canceled by SIGINT, SIGTERM\n"
    "With several URLs it is 1 if one failed.\n";

enum {
    OPTION_OUTPUT_DIR = CLI_OWN,
    OPTION_FORCE,
    OPTION_KEEP_PARTIAL,
    OPTION_FSYNC,
    OPTION_DISCARD,
    OPTION_REPORT,
    OPTION_LINKS,
    OPTION_JSON,
    OPTION_DATA_FILE,
    OPTION_COMPRESSED,
    OPTION_RAW,
    OPTION_MAX_REDIRECTS,
    OPTION_RESOLVE,
    OPTION_NAMESERVER,
    OPTION_PER_HOST,
    OPTION_RATE,
    OPTION_MAX_SIZE,
    OPTION_CONNECT_TIMEOUT,
    OPTION_IDLE_TIMEOUT,
    OPTION_TIMEOUT,
    OPTION_RETRY,
    OPTION_RETRY_MAX_WAIT
};

static const char shorts[] = "o:OJH:X:Id:Li:P:f";

static const struct option options[] = {
    CLI_COMMON,
    {"output", required_argument, NULL, 'o'},
    {"remote-name", no_argument, NULL, 'O'},
    {"output-dir", required_argument, NULL, OPTION_OUTPUT_DIR},
    {"remote-header-name", no_argument, NULL, 'J'},
    {"force", no_argument, NULL, OPTION_FORCE},
    {"keep-partial", no_argument, NULL, OPTION_KEEP_PARTIAL},
    {"fsync", no_argument, NULL, OPTION_FSYNC},
    {"discard", no_argument, NULL, OPTION_DISCARD},
    {"report", no_argument, NULL, OPTION_REPORT},
    {"links", no_argument, NULL, OPTION_LINKS},
    {"json", required_argument, NULL, OPTION_JSON},
    {"header", required_argument, NULL, 'H'},
    {"request", required_argument, NULL, 'X'},
    {"head", no_argument, NULL, 'I'},
    {"data", required_argument, NULL, 'd'},
    {"data-file", required_argument, NULL, OPTION_DATA_FILE},
    {"compressed", no_argument, NULL, OPTION_COMPRESSED},
    {"raw", no_argument, NULL, OPTION_RAW},
    {"location", no_argument, NULL, 'L'},
    {"max-redirects", required_argument, NULL, OPTION_MAX_REDIRECTS},
    {"resolve", required_argument, NULL, OPTION_RESOLVE},
    {"nameserver", required_argument, NULL, OPTION_NAMESERVER},
    {"input", required_argument, NULL, 'i'},
    {"parallel", required_argument, NULL, 'P'},
    {"per-host", required_argument, NULL, OPTION_PER_HOST},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"fail", no_argument, NULL, 'f'},
    {"max-size", required_argument, NULL, OPTION_MAX_SIZE},
    {"connect-timeout", required_argument, NULL, OPTION_CONNECT_TIMEOUT},
    {"idle-timeout", required_argument, NULL, OPTION_IDLE_TIMEOUT},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"retry", required_argument, NULL, OPTION_RETRY},
    {"retry-max-wait", required_argument, NULL, OPTION_RETRY_MAX_WAIT},
    {NULL, 0, NULL, 0},
};

/* Options without a value. Returns whether it is one. */
static bool take_flag(struct get_options *o, int option)
{
    switch (option) {
    case 'O':
        return o->remote_name = true;
    case 'J':
        return o->remote_name = o->header_name = true;
    case OPTION_FORCE:
        return o->force = true;
    case OPTION_KEEP_PARTIAL:
        return o->keep_partial = true;
    case OPTION_FSYNC:
        return o->fsync = true;
    case OPTION_DISCARD:
        return o->discard = true;
    case OPTION_REPORT:
        return o->report = true;
    case OPTION_LINKS:
        return o->links = true;
    case 'I':
        return o->head = true;
    case 'f':
        return o->fail = true;
    case OPTION_RAW:
        return o->raw = true;
    case OPTION_COMPRESSED:
        o->raw = false;
        return true;
    default:
        return false;
    }
}

/* Options whose value is kept as it is. */
static bool take_name(struct cli *cli, struct get_options *o, int option)
{
    switch (option) {
    case 'o':
        o->output = optarg;
        return true;
    case OPTION_OUTPUT_DIR:
        o->directory = optarg;
        return true;
    case OPTION_JSON:
        o->json = optarg;
        return true;
    case 'i':
        o->input = optarg;
        return true;
    case OPTION_DATA_FILE:
        o->data_file = optarg;
        return true;
    case OPTION_NAMESERVER:
        cli->nameservers = optarg;
        return true;
    default:
        return false;
    }
}

static int take_size(struct get_options *o, const char *text)
{
    int rc = option_size(text, &o->limits.body);

    o->limits.decoded = o->limits.body;
    return rc;
}

/* A peer that may be silent for that long may be so before its answer, too. */
static int take_idle(struct get_options *o, const char *text)
{
    int rc = cli_seconds(text, &o->limits.idle);

    o->limits.response = o->limits.idle;
    return rc;
}

static int take_data(struct get_options *o, const char *text)
{
    if (text[0] != '@')
        return option_data(o, text);
    o->data_file = text + 1;
    return 0;
}

/* Options whose value is looked at: 0 or negative. */
static int take_value(struct get_options *o, int option)
{
    switch (option) {
    case 'H':
        return option_field(o, optarg);
    case 'X':
        return option_method(o, optarg);
    case 'd':
        return take_data(o, optarg);
    case OPTION_MAX_REDIRECTS:
        return cli_number(optarg, 0, 10000, &o->max_redirects);
    case OPTION_RESOLVE:
        return option_resolve(o, optarg);
    case OPTION_NAMESERVER:
        return option_nameservers(optarg);
    case 'P':
        o->parallel_asked = true;
        return cli_number(optarg, 1, 1000000, &o->parallel);
    case OPTION_PER_HOST:
        return cli_number(optarg, 1, 1000000, &o->per_host);
    case OPTION_RATE:
        return option_rate(optarg, &o->spacing);
    case OPTION_MAX_SIZE:
        return take_size(o, optarg);
    case OPTION_CONNECT_TIMEOUT:
        return cli_seconds(optarg, &o->limits.connect);
    case OPTION_IDLE_TIMEOUT:
        return take_idle(o, optarg);
    case OPTION_TIMEOUT:
        return cli_seconds(optarg, &o->timeout);
    case OPTION_RETRY:
        return cli_number(optarg, 0, 1000000, &o->retries);
    case OPTION_RETRY_MAX_WAIT:
        return cli_seconds(optarg, &o->retry_max_wait);
    default:
        return 0;
    }
}

static const char *what_is_wrong(int option)
{
    switch (option) {
    case 'H':
        return "no field that may be sent, as 'Name: value'";
    case 'X':
        return "no method that may be sent";
    case OPTION_RESOLVE:
        return "no HOST:PORT:ADDR";
    case OPTION_NAMESERVER:
        return "no list of addresses";
    case OPTION_RATE:
        return "no rate, as 10/s";
    case OPTION_MAX_SIZE:
        return "no size, as 10M";
    case OPTION_CONNECT_TIMEOUT:
    case OPTION_IDLE_TIMEOUT:
    case OPTION_TIMEOUT:
    case OPTION_RETRY_MAX_WAIT:
        return "no number of seconds above 0";
    default:
        return "no such number";
    }
}

/* 0, or the exit status. */
static int take_option(struct cli *cli, struct get_options *o, int option)
{
    char text[CLI_TEXT];
    int  rc = take_value(o, option);

    if (rc == -ENOMEM) {
        cli_error(cli, "out of memory");
        return CLI_FAILED;
    }
    if (rc < 0)
        return cli_usage(cli, "'%s' is %s", cli_quote(optarg, text), what_is_wrong(option));
    if (!take_flag(o, option))
        (void)take_name(cli, o, option);
    return 0;
}

/* -L names the default; a number behind it, which is no URL, is that of --max-redirects. */
static int take_location(struct get_options *o, int argc, char **argv)
{
    long number;

    if (optind < argc && cli_number(argv[optind], 0, 10000, &number) == 0) {
        o->max_redirects = number;
        optind++;
    }
    return 0;
}

/* --- what fits together ------------------------------------------------------------------- */

static int check_outputs(struct cli *cli, struct get_options *o, bool several)
{
    bool to_file = o->output != NULL || o->remote_name || o->directory != NULL;
    int  takers;

    o->json_stdout = o->json != NULL && descriptor_of(o->json, 1) == 1;
    takers         = (int)o->report + (int)o->links + (int)o->json_stdout;
    if (o->output != NULL && descriptor_of(o->output, 1) == 1) {
        takers++;
        o->raw_terminal = true;
    }
    if (takers > 1)
        return cli_usage(cli, "standard output is for one of bodies, --report, --links, --json");
    if (o->output != NULL && o->remote_name)
        return cli_usage(cli, "-o and -O do not go together");
    if (o->output != NULL && several)
        return cli_usage(cli, "-o is for one URL; take --output-dir or -O");
    if ((o->discard || o->head) && to_file)
        return cli_usage(cli, "%s leaves no body to be written", o->head ? "-I" : "--discard");
    o->text = o->report ? TEXT_REPORT : o->links ? TEXT_LINKS : TEXT_NONE;
    if (o->raw_terminal)
        o->body = BODY_STDOUT;
    else if (o->output != NULL)
        o->body = BODY_FILE;
    else if (o->remote_name || o->directory != NULL)
        o->body = BODY_DIRECTORY;
    else
        o->body = o->discard || o->head || takers > 0 ? BODY_NOWHERE : BODY_STDOUT;
    return 0;
}

static int check_requests(struct cli *cli, struct get_options *o)
{
    if (o->has_data && o->data_file != NULL)
        return cli_usage(cli, "-d and --data-file do not go together");
    if (o->head && (o->has_data || o->data_file != NULL))
        return cli_usage(cli, "-I sends no body");
    if (o->head && o->method == NULL)
        o->method = "HEAD";
    return 0;
}

/* A word without a scheme was meant as a URL: it is not guessed what it was to be. */
static int check_urls(struct cli *cli, char **urls, size_t count)
{
    char   text[CLI_TEXT];
    ac_url url;

    for (size_t i = 0; i < count; i++) {
        if (strstr(urls[i], "://") != NULL)
            continue;
        if (ac_url_parse(&url, urls[i], strlen(urls[i]), NULL) < 0) {
            if (strchr(urls[i], '@') != NULL) /* what may be a password is not repeated */
                return cli_usage(cli, "argument %zu is no URL", i + 1);
            (void)cli_quote(urls[i], text);
            return cli_usage(cli, "'%s' is no URL; is it http://%s?", text, text);
        }
        ac_url_free(&url);
    }
    return 0;
}

/* -o FILE with --output-dir is a file there. */
static int join_directory(struct get_options *o, char **joined)
{
    size_t room;

    if (o->output == NULL || o->directory == NULL || o->output[0] == '/' || o->raw_terminal)
        return 0;
    room    = strlen(o->directory) + strlen(o->output) + 2;
    *joined = malloc(room);
    if (*joined == NULL)
        return CLI_FAILED;
    (void)snprintf(*joined, room, "%s/%s", o->directory, o->output);
    o->output = *joined;
    return 0;
}

static int get(struct cli *cli, struct get_options *o, char **urls, size_t count)
{
    char *joined = NULL;
    int   status;

    if (count == 0 && o->input == NULL)
        return cli_usage(cli, "a URL is missing");
    status = check_outputs(cli, o, count > 1 || o->input != NULL);
    if (status == 0)
        status = check_requests(cli, o);
    if (status == 0)
        status = check_urls(cli, urls, count);
    if (status == 0)
        status = join_directory(o, &joined);
    if (status == 0)
        status = run_get(cli, o, urls, count);
    free(joined);
    return status;
}

static int take_all(struct cli *cli, struct get_options *o, int argc, char **argv)
{
    int option, status = 0;

    cli_options_begin();
    while (status == 0 && (option = cli_next(cli, argc, argv, shorts, options)) != CLI_END) {
        switch (option) {
        case CLI_HELP:
            cli_print(cli, "%s%s%s%s%s", help_outputs, help_requests, help_many, cli_common_help,
                      help_end);
            return -1;
        case CLI_BAD:
            return CLI_USAGE;
        case 'L':
            status = take_location(o, argc, argv);
            break;
        default:
            status = take_option(cli, o, option);
        }
    }
    return status;
}

int cmd_get(struct cli *cli, int argc, char **argv)
{
    struct get_options o;
    int                status;

    options_init(&o);
    status = take_all(cli, &o, argc, argv);
    if (status == 0 && o.links && cli_markup() == NULL) {
        cli_error(cli, "--links needs asyncore-markup: %s", cli_markup_error());
        status = CLI_FAILED;
    }
    if (status == 0)
        status = get(cli, &o, argv + optind, (size_t)(argc - optind));
    options_free(&o);
    return status < 0 ? CLI_OK : status;
}
