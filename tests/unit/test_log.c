/* SPDX-License-Identifier: MIT */
/* The lines of the log, to the letter: through the slots, and on standard error. */
#include "harness.h"

#include <fcntl.h>

/* --- standard error, a packet for each write ------------------------------------------------- */

static int  stderr_before = -1, stderr_pipe;
static char lines[32][512];
static int  nlines;

static void stderr_begin(void)
{
    int fd[2];

    assert_int_equal(pipe2(fd, O_DIRECT | O_NONBLOCK | O_CLOEXEC), 0);
    fflush(stderr);
    stderr_before = fcntl(2, F_DUPFD_CLOEXEC, 3);
    assert_int_equal(dup2(fd[1], 2), 2);
    close(fd[1]);
    stderr_pipe = fd[0];
}

/* Puts it back and has what was written in `lines`, without the ends of the lines. */
static void stderr_end(void)
{
    ssize_t n;

    dup2(stderr_before, 2);
    close(stderr_before);
    nlines = 0;
    while (nlines < 32 && (n = read(stderr_pipe, lines[nlines], sizeof lines[0] - 1)) > 0) {
        lines[nlines][n] = '\0';
        if (lines[nlines][n - 1] == '\n')
            lines[nlines][n - 1] = '\0';
        else
            print_error("no whole line: %s\n", lines[nlines]);
        nlines++;
    }
    close(stderr_pipe);
    for (int i = 0; i < nlines; i++)
        assert_null(strchr(lines[i], '\n')); /* one write, one line */
}

static const char *hex(const ac_dispatcher *d)
{
    static char text[32];

    snprintf(text, sizeof text, "%lx", (unsigned long)(uintptr_t)d);
    return text;
}

#define assert_line(i, ...)                                                                        \
    do {                                                                                           \
        char want_[256];                                                                           \
        snprintf(want_, sizeof want_, __VA_ARGS__);                                                \
        assert_true((i) < nlines);                                                                 \
        assert_string_equal(lines[i], want_);                                                      \
    } while (0)

/* --- the two lines of a channel -------------------------------------------------------------- */

static void read_and_close(ac_dispatcher *d)
{
    char c;

    if (ac_recv(d, &c, 1) >= 0)
        ac_close(d);
}

static const ac_class time_request = {.name = "TimeRequest", .handle_read = read_and_close};
static const ac_class time_channel = {.name = "TimeChannel"};

static ac_dispatcher *channel;

static void time_accept(ac_dispatcher *d)
{
    ac_sock sock;

    while (ac_accept(d, &sock, NULL) == 0) {
        channel = ac_new(ac_dispatcher, d->loop, &time_channel);
        ac_attach(channel, sock);
    }
}

static const ac_class time_server = {.name = "TimeServer", .handle_accept = time_accept};

static void the_two_lines(void **state)
{
    static ac_dispatcher server, request;
    ac_loop             *loop = *state;
    int                  fd_server, fd_request, fd_channel;

    memset(&server, 0, sizeof server);
    memset(&request, 0, sizeof request);
    channel = NULL;
    stderr_begin();
    ac_init(&server, loop, &time_server);
    ac_init(&request, loop, &time_request);
    assert_int_equal(ac_listen(&server, "127.0.0.1", 0, 5), 0);
    fd_server = server.source_.fd;
    assert_int_equal(ac_connect(&request, "127.0.0.1", ac_local_port(&server)), 0);
    H_UNTIL(loop, channel != NULL && ac_is_connected(&request));
    fd_channel = channel->source_.fd;
    fd_request = request.source_.fd;
    char at_channel[32];
    strcpy(at_channel, hex(channel));
    ac_close(channel);
    H_UNTIL(loop, !ac_is_open(&request));
    ac_close(&server);
    ac_run(loop);
    stderr_end();
    assert_int_equal(nlines, 6);
    assert_line(0, "log: adding channel <TimeServer  at %s>", hex(&server));
    assert_line(1, "log: adding channel <TimeRequest  at %s>", hex(&request));
    assert_line(2, "log: adding channel <TimeChannel  at %s>", at_channel);
    assert_line(3, "log: closing channel %d:<TimeChannel connected at %s>", fd_channel, at_channel);
    assert_line(4, "log: closing channel %d:<TimeRequest connected at %s>", fd_request,
                hex(&request));
    assert_line(5, "log: closing channel %d:<TimeServer listening at %s>", fd_server, hex(&server));
}

/* The first line comes before the verb returns: before a "listening on port" of the program's. */
static void added_before_the_verb_returns(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_ACCEPT);

    assert_int_equal(p->added, 0); /* not by ac_init() */
    assert_int_equal(ac_listen(&p->base, "127.0.0.1", 0, 5), 0);
    assert_int_equal(p->added, 1);
    assert_int_equal(p->closed, 0);
    ac_close(&p->base);
    assert_int_equal(p->closed, 1); /* with the descriptor, at once */
    ac_close(&p->base);
    assert_int_equal(p->closed, 1);
}

/* While it connects, it has no descriptor of its own and no status. */
static void closed_while_connecting(void **state)
{
    static ac_dispatcher request;
    ac_loop             *loop = *state;

    memset(&request, 0, sizeof request);
    stderr_begin();
    ac_init(&request, loop, &time_request);
    assert_int_equal(ac_connect(&request, "localhost", 9), 0);
    ac_close(&request);
    ac_run(loop);
    stderr_end();
    assert_int_equal(nlines, 2);
    assert_line(0, "log: adding channel <TimeRequest  at %s>", hex(&request));
    assert_line(1, "log: closing channel -1:<TimeRequest  at %s>", hex(&request));
}

/* --- slots ----------------------------------------------------------------------------------- */

static char     slot_log_text[512], slot_info_type[32], slot_info_text[512];
static unsigned slot_log_calls, slot_info_calls;

static void keep_log(ac_dispatcher *d, const char *message)
{
    ac_addr addr;

    slot_log_calls++;
    snprintf(slot_log_text, sizeof slot_log_text, "%s", message);
    /* The getters may be called in here. */
    (void)ac_is_open(d);
    (void)ac_error(d);
    (void)ac_peername(d, &addr);
    (void)ac_queued(d);
}

static void keep_info(ac_dispatcher *d, const char *type, const char *message)
{
    (void)d;
    slot_info_calls++;
    snprintf(slot_info_type, sizeof slot_info_type, "%s", type);
    snprintf(slot_info_text, sizeof slot_info_text, "%s", message);
}

static const ac_class kept_class = {.name = "Kept", .log = keep_log, .log_info = keep_info};

static void overridden(void **state)
{
    static ac_dispatcher d;
    ac_loop             *loop = *state;
    char                 want[128];

    memset(&d, 0, sizeof d);
    slot_log_calls = slot_info_calls = 0;
    stderr_begin();
    ac_init(&d, loop, &kept_class);
    assert_int_equal(ac_open(&d, AF_INET, SOCK_STREAM), 0);
    snprintf(want, sizeof want, "adding channel <Kept  at %s>", hex(&d));
    assert_string_equal(slot_log_text, want);
    int fd = d.source_.fd;
    ac_close(&d);
    snprintf(want, sizeof want, "closing channel %d:<Kept  at %s>", fd, hex(&d));
    assert_string_equal(slot_log_text, want);
    ac_run(loop);
    stderr_end();
    assert_int_equal(slot_log_calls, 2);
    assert_int_equal(nlines, 0);
}

/* --- levels ---------------------------------------------------------------------------------- */

static int lines_with(int verbose, const char *env)
{
    static ac_dispatcher d;
    ac_loop_options      options = {.size = sizeof options, .verbose = verbose};
    ac_loop             *loop;

    memset(&d, 0, sizeof d);
    if (env != NULL)
        setenv("ASYNCORE_VERBOSE", env, 1);
    else
        unsetenv("ASYNCORE_VERBOSE");
    stderr_begin();
    loop = ac_loop_new_with(&options);
    ac_init(&d, loop, &time_request);
    ac_open(&d, AF_INET, SOCK_STREAM);
    ac_close(&d);
    ac_loop_free(loop);
    stderr_end();
    unsetenv("ASYNCORE_VERBOSE");
    return nlines;
}

static void levels(void **state)
{
    (void)state;
    assert_int_equal(lines_with(AC_UNSET, NULL), 0);
    assert_int_equal(lines_with(AC_UNSET, "1"), 2);
    assert_int_equal(lines_with(AC_UNSET, "0"), 0);
    assert_int_equal(lines_with(AC_OFF, "1"), 0);
    assert_int_equal(lines_with(AC_ON, "0"), 2);
    assert_int_equal(lines_with(AC_ON, NULL), 2);
}

/* --- the line of a failure ------------------------------------------------------------------- */

static void failed_connect_line(void **state)
{
    static ac_dispatcher d;
    ac_loop_options      options = {.size = sizeof options, .verbose = AC_OFF};
    ac_loop             *loop    = ac_loop_new_with(&options);
    ac_addr              addr;
    char                 place[64];
    int                  listener = h_raw_listen(&addr, "127.0.0.1", 1);

    (void)state;
    close(listener);
    memset(&d, 0, sizeof d);
    stderr_begin();
    ac_init(&d, loop, &time_request);
    assert_int_equal(ac_connect(&d, "127.0.0.1", ac_addr_port(&addr)), 0);
    assert_int_equal(ac_run(loop), 0);
    stderr_end();
    assert_int_equal(nlines, 1); /* told whether verbose or not */
    assert_memory_equal(lines[0], "error: ", 7);
    assert_non_null(strstr(lines[0], "<TimeRequest "));
    assert_non_null(strstr(lines[0], hex(&d)));
    assert_non_null(strstr(lines[0], "ECONNREFUSED"));
    assert_non_null(strstr(lines[0], ac_strerror(ECONNREFUSED)));
    snprintf(place, sizeof place, "connect to 127.0.0.1:%u", ac_addr_port(&addr));
    assert_non_null(strstr(lines[0], place));
    assert_int_equal(ac_loop_free(loop), 0);
}

static int failed_at;

static void fail_here(ac_dispatcher *d)
{
    char c;

    (void)ac_recv(d, &c, 1);
    failed_at = __LINE__ + 1;
    ac_fail(d, EPROTO);
}

static const ac_class failing = {
    .name = "Failing", .handle_read = fail_here, .log_info = keep_info};

static void raised_by_a_handler(void **state)
{
    static ac_dispatcher d;
    ac_loop             *loop = *state;
    int                  fd[2];
    char                 place[64];

    memset(&d, 0, sizeof d);
    slot_info_calls = 0;
    h_raw_pair(fd);
    stderr_begin();
    ac_init(&d, loop, &failing);
    assert_int_equal(ac_attach(&d, ac_sock_from_fd(loop, fd[0])), 0);
    h_put(fd[1], "x", 1);
    assert_int_equal(ac_run(loop), 0);
    stderr_end();
    assert_int_equal(nlines, 2); /* adding and closing; the failure went to the slot */
    assert_int_equal(slot_info_calls, 1);
    assert_string_equal(slot_info_type, "error");
    assert_non_null(strstr(slot_info_text, "<Failing connected at "));
    assert_non_null(strstr(slot_info_text, "EPROTO"));
    assert_non_null(strstr(slot_info_text, ac_strerror(EPROTO)));
    snprintf(place, sizeof place, "test_log.c:%d", failed_at);
    assert_non_null(strstr(slot_info_text, place));
    close(fd[1]);
}

/* --- what strangers chose -------------------------------------------------------------------- */

static const ac_class ugly = {
    .name = "Ugly\n\x1b[31m\x7f\xff", .log = keep_log, .log_info = keep_info};

static bool printable(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static void names_are_escaped(void **state)
{
    static ac_dispatcher d;
    ac_loop             *loop = *state;

    memset(&d, 0, sizeof d);
    slot_log_calls = 0;
    ac_init(&d, loop, &ugly);
    assert_int_equal(ac_connect(&d, "evil\n\x1b[2Jhost", 37), 0);
    assert_int_equal(slot_log_calls, 1);
    assert_true(printable(slot_log_text));
    assert_non_null(strstr(slot_log_text, "Ugly"));
    slot_info_calls = 0;
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(slot_info_calls, 1);
    assert_true(printable(slot_info_text));
    assert_int_equal(slot_log_calls, 2);
    assert_true(printable(slot_log_text));
}

static void long_names_are_cut(void **state)
{
    static ac_dispatcher d;
    static ac_class      cls;
    static char          name[3000];
    ac_loop             *loop = *state;

    memset(&d, 0, sizeof d);
    memset(name, 'N', sizeof name - 1);
    cls = (ac_class){.name = name, .log = keep_log};
    ac_init(&d, loop, &cls);
    slot_log_calls = 0;
    assert_int_equal(ac_open(&d, AF_INET, SOCK_STREAM), 0);
    assert_memory_equal(slot_log_text, "adding channel <NNN", 19);
    ac_close(&d);
    ac_run(loop);
    assert_int_equal(slot_log_calls, 2);
}

static const struct CMUnitTest tests[] = {
    H_TEST(the_two_lines),
    H_TEST(added_before_the_verb_returns),
    H_TEST(closed_while_connecting),
    H_TEST(overridden),
    H_TEST(levels),
    H_TEST(failed_connect_line),
    H_TEST(raised_by_a_handler),
    H_TEST(names_are_escaped),
    H_TEST(long_names_are_cut),
};

H_MAIN(tests)
