/* SPDX-License-Identifier: MIT */
/* Conversations, the input side: how messages are cut, however they arrive. */
#include "harness.h"

#include <sys/wait.h>

/* None of these may run a slot. */
#define ac_chat_push(...)            h_int(((void)h_inside++, ac_chat_push(__VA_ARGS__)))
#define ac_chat_close_when_done(...) h_int(((void)h_inside++, ac_chat_close_when_done(__VA_ARGS__)))
#define ac_chat_set_terminator(...)  h_int(((void)h_inside++, ac_chat_set_terminator(__VA_ARGS__)))
#define ac_chat_set_length(...)      h_int(((void)h_inside++, ac_chat_set_length(__VA_ARGS__)))
#define ac_chat_set_no_terminator(...)                                                             \
    h_int(((void)h_inside++, ac_chat_set_no_terminator(__VA_ARGS__)))
#define ac_chat_discard(...) ((void)h_inside++, ac_chat_discard(__VA_ARGS__), (void)h_inside--)

enum { ROOM = 64 * 1024 };

struct talk;
typedef void talk_hook(struct talk *t, const char *data, size_t len);

/* A conversation that writes down what it is told: each message in brackets. */
struct talk {
    ac_chat     base;
    talk_hook  *on_found;
    talk_hook  *on_collect;
    char       *log; /* what was told */
    size_t      log_len, log_cap;
    size_t      open; /* where in the log the message that is being collected begins */
    bool        collecting;
    unsigned    found, collected;
    const char *data; /* the last message */
    size_t      len;
    long        number; /* for the test's use */
    void       *other;  /* for the test's use */
    int         err, errors, closes, finalized;
    int         far; /* the other end */
};

static struct talk *talk_of(ac_chat *c)
{
    return AC_SELF(struct talk, c);
}

static void append(struct talk *t, const char *data, size_t len)
{
    if (t->log_len + len + 1 > t->log_cap) {
        t->log_cap = 2 * (t->log_len + len + 1);
        t->log     = realloc(t->log, t->log_cap);
        assert_non_null(t->log);
    }
    memcpy(t->log + t->log_len, data, len);
    t->log_len += len;
    t->log[t->log_len] = '\0';
}

static void collect(ac_chat *c, const void *data, size_t len)
{
    struct talk *t = talk_of(c);

    assert_int_equal(h_inside, 0);
    assert_true(ac_is_open(&c->base) && len > 0);
    t->collected++;
    append(t, data, len);
    if (t->on_collect != NULL)
        t->on_collect(t, data, len);
}

static void found(ac_chat *c, const void *data, size_t len)
{
    struct talk *t = talk_of(c);

    assert_int_equal(h_inside, 0);
    assert_true(ac_is_open(&c->base));
    if (t->collecting)
        assert_true(data == NULL && len == 0);
    else
        append(t, data, len);
    append(t, "]", 1);
    t->found++;
    t->data = data;
    t->len  = len;
    if (t->on_found != NULL)
        t->on_found(t, data, len);
}

static void talk_error(ac_dispatcher *d, int err)
{
    struct talk *t = talk_of(ac_chat_of(d));

    t->err = err;
    t->errors++;
}

static void talk_close(ac_dispatcher *d)
{
    talk_of(ac_chat_of(d))->closes++;
    ac_close(d);
}

static void talk_finalize(ac_dispatcher *d)
{
    talk_of(ac_chat_of(d))->finalized++;
}

static void silent(ac_dispatcher *d, const char *message)
{
    (void)d;
    (void)message;
}

#define TALK_BASE                                                                                  \
    .base = {.name         = "Talk",                                                               \
             .handle_read  = ac_chat_handle_read,                                                  \
             .handle_close = talk_close,                                                           \
             .handle_error = talk_error,                                                           \
             .finalize     = talk_finalize,                                                        \
             .log          = silent}

static const ac_chat_class whole_class   = {TALK_BASE, .found_terminator = found};
static const ac_chat_class collect_class = {TALK_BASE, .found_terminator = found,
                                            .collect_incoming_data = collect};

static void attach(struct talk *t, ac_loop *loop)
{
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
    assert_int_equal(ac_attach(&t->base.base, ac_sock_from_fd(loop, fd[0])), 0);
    t->far = fd[1];
}

static void begin(struct talk *t, ac_loop *loop, bool collecting)
{
    memset(t, 0, sizeof *t);
    t->collecting = collecting;
    assert_int_equal(ac_chat_init(&t->base, loop, collecting ? &collect_class : &whole_class), 0);
    append(t, "", 0);
    attach(t, loop);
}

/* Runs turns until nothing is left to do. */
static void settle(ac_loop *loop)
{
    struct h_bound b = h_bound(100000);

    while (ac_loop_turn(loop, 0) > 0)
        assert_true(b.turns-- > 0);
}

static void say(struct talk *t, const void *data, size_t len)
{
    h_put(t->far, data, len);
    settle(t->base.base.loop);
}

static void end(struct talk *t)
{
    ac_loop *loop = t->base.base.loop;

    ac_close(&t->base.base);
    H_UNTIL(loop, t->finalized == 1);
    close(t->far);
    free(t->log);
}

/* --- strings ---------------------------------------------------------------------------------- */

/* What is to be told: the text with each terminator, searched from the left, turned into "]". */
static size_t model(char *out, const char *text, size_t len, const char *term, size_t t)
{
    size_t n = 0;

    for (size_t i = 0; i < len;) {
        if (len - i >= t && memcmp(text + i, term, t) == 0) {
            out[n++] = ']';
            i += t;
        } else {
            out[n++] = text[i++];
        }
    }
    out[n] = '\0';
    return n;
}

/* A log holds no more than the model, and all of its whole messages; with `collecting` all but what
 * may begin a terminator. */
static void check(const struct talk *t, const char *want, size_t term)
{
    size_t len   = strlen(want);
    size_t whole = len;

    while (whole > 0 && want[whole - 1] != ']')
        whole--;
    assert_true(t->log_len <= len && t->log_len >= whole);
    assert_memory_equal(t->log, want, t->log_len);
    if (t->collecting)
        assert_true(len - t->log_len < term);
    else
        assert_int_equal(t->log_len, whole);
}

static void every_split(ac_loop *loop, const char *text, const char *term, bool collecting)
{
    size_t len = strlen(text);
    char   want[256];

    model(want, text, len, term, strlen(term));
    for (size_t i = 0; i <= len; i++) {
        for (size_t j = i; j <= len; j++) {
            struct talk t;

            begin(&t, loop, collecting);
            assert_int_equal(ac_chat_set_terminator(&t.base, term, strlen(term)), 0);
            say(&t, text, i);
            say(&t, text + i, j - i);
            say(&t, text + j, len - j);
            check(&t, want, strlen(term));
            assert_int_equal(t.errors, 0);
            end(&t);
        }
    }
}

static void string_split_at_every_byte(void **state)
{
    for (int c = 0; c < 2; c++) {
        every_split(*state, "one\ntwo\n\nthr", "\n", c);
        every_split(*state, "a\r\n\r\r\nb\rc\n\r\n", "\r\n", c);
        every_split(*state, "aaab|aab|aaaab.aa", "aab", c);
        every_split(*state, "ababababcabababc.abababab", "abababc", c);
    }
}

static void string_byte_by_byte(void **state)
{
    static const char text[] = "xababab--abcabababc\r\nabababab";

    for (int c = 0; c < 2; c++) {
        struct talk t;
        char        want[64];

        begin(&t, *state, c);
        assert_int_equal(ac_chat_set_terminator(&t.base, "abababc\r\n", 9), 0);
        model(want, text, sizeof text - 1, "abababc\r\n", 9);
        for (size_t i = 0; i < sizeof text - 1; i++)
            say(&t, text + i, 1);
        check(&t, want, 9);
        end(&t);
    }
}

/* The longest terminator, with each of its prefixes as a false alarm before it. */
static void string_of_the_longest_terminator(void **state)
{
    char term[AC_CHAT_TERMINATOR + 1];

    for (size_t i = 0; i < sizeof term; i++)
        term[i] = (char)('a' + i % 26);
    for (int c = 0; c < 2; c++) {
        for (size_t k = 0; k <= AC_CHAT_TERMINATOR; k++) {
            char        want[32 + AC_CHAT_TERMINATOR];
            struct talk t;

            begin(&t, *state, c);
            assert_int_equal(ac_chat_set_terminator(&t.base, term, AC_CHAT_TERMINATOR), 0);
            say(&t, "text", 4);
            say(&t, term, k); /* whole when it is k long */
            say(&t, "-", 1);
            say(&t, term, k);
            say(&t, term + k, AC_CHAT_TERMINATOR - k);
            if (k == AC_CHAT_TERMINATOR)
                snprintf(want, sizeof want, "text]-]");
            else
                snprintf(want, sizeof want, "text%.*s-]", (int)k, term);
            assert_string_equal(t.log, want);
            end(&t);
        }
    }
}

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 16;
}

static void string_against_a_model(void **state)
{
    uint32_t seed = 1;

    for (int round = 0; round < 600; round++) {
        char        text[200], term[6], want[256];
        size_t      t = 1 + draw(&seed) % 5, at = 0;
        struct talk talk;

        for (size_t i = 0; i < sizeof text; i++)
            text[i] = "ab"[draw(&seed) % 2];
        for (size_t i = 0; i < t; i++)
            term[i] = "ab"[draw(&seed) % 2];
        model(want, text, sizeof text, term, t);
        begin(&talk, *state, round % 2);
        assert_int_equal(ac_chat_set_terminator(&talk.base, term, t), 0);
        while (at < sizeof text) {
            size_t n = 1 + draw(&seed) % 9;

            n = n < sizeof text - at ? n : sizeof text - at;
            say(&talk, text + at, n);
            at += n;
        }
        check(&talk, want, t);
        end(&talk);
    }
}

static void several_at_once_are_not_copied(void **state)
{
    struct talk t;
    long        calls;

    begin(&t, *state, false);
    assert_int_equal(ac_chat_set_terminator(&t.base, "\r\n", 2), 0);
    say(&t, "warm up\r\n", 9);
    calls = h_alloc_calls;
    h_put(t.far, "a\r\nbb\r\n\r\nccc\r\n", 14);
    assert_int_equal(ac_loop_turn(*state, 0), 5); /* handle_read and four messages */
    assert_string_equal(t.log, "warm up]a]bb]]ccc]");
    assert_int_equal(h_alloc_calls, calls);
    end(&t);
}

/* --- length, nothing, changes ----------------------------------------------------------------- */

/* A number on a line, and then as many bytes: the terms change with every message. */
static void framed(struct talk *t, const char *data, size_t len)
{
    (void)data;
    (void)len;
    if (t->number == 0) {
        size_t at = t->log_len - 1;

        while (at > 0 && t->log[at - 1] != ']')
            at--;
        t->number = strtol(t->log + at, NULL, 10);
        if (t->number > 0)
            assert_int_equal(ac_chat_set_length(&t->base, (size_t)t->number), 0);
    } else {
        t->number = 0;
        assert_int_equal(ac_chat_set_terminator(&t->base, "\n", 1), 0);
    }
}

static void length_and_string_in_turn(void **state)
{
    static const char text[] = "5\nab\ncd0\n1\n\n12\nlonger\n than3\nxyz";
    size_t            len    = sizeof text - 1;

    for (int c = 0; c < 2; c++) {
        for (size_t i = 0; i <= len; i++) {
            for (size_t j = i; j <= len; j++) {
                struct talk t;

                begin(&t, *state, c);
                t.on_found = framed;
                assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
                say(&t, text, i);
                say(&t, text + i, j - i);
                say(&t, text + j, len - j);
                assert_string_equal(t.log, "5]ab\ncd]0]1]\n]12]longer\n than]3]xyz]");
                end(&t);
            }
        }
    }
}

static void length_is_for_one_message(void **state)
{
    for (int c = 0; c < 2; c++) {
        struct talk t;

        begin(&t, *state, c);
        assert_int_equal(ac_chat_set_length(&t.base, 3), 0);
        say(&t, "ab", 2);
        say(&t, "cde", 3);
        say(&t, "fgh", 3);
        assert_string_equal(t.log, c ? "abc]defgh" : "abc]");
        assert_int_equal(t.found, 1);
        end(&t);
    }
}

static void nothing_cuts_nothing(void **state)
{
    for (int c = 0; c < 2; c++) {
        struct talk t;
        static char big[200000];

        begin(&t, *state, c);
        assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
        say(&t, "a\nb", 3);
        assert_int_equal(ac_chat_set_no_terminator(&t.base), 0);
        say(&t, "c\nd", 3);
        assert_string_equal(t.log, c ? "a]bc\nd" : "a]");
        for (int i = 0; i < 4; i++) /* more than any limit */
            say(&t, big, sizeof big / 4);
        assert_int_equal(t.log_len, c ? 6 + sizeof big : 2);
        assert_int_equal(t.errors, 0);
        /* A message begins where it ended. */
        assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
        say(&t, "e\n", 2);
        assert_string_equal(t.log + t.log_len - 2, "e]");
        assert_int_equal(t.errors, 0);
        end(&t);
    }
}

static void other_terms_look_again(void **state)
{
    for (int c = 0; c < 2; c++) {
        struct talk t;

        begin(&t, *state, c);
        assert_int_equal(ac_chat_set_terminator(&t.base, ";;;", 3), 0);
        say(&t, "ab;;", 4);
        assert_int_equal(t.found, 0);
        assert_int_equal(ac_chat_set_terminator(&t.base, ";", 1), 0);
        assert_int_equal(t.found, 0); /* never inside the call */
        settle(*state);
        assert_string_equal(t.log, "ab]]");
        assert_true(h_idle(*state, 2 * AC_MILLISECOND) <= 2);
        end(&t);
    }
}

static void lengthen(struct talk *t, const char *data, size_t len)
{
    (void)data;
    (void)len;
    if (t->collected == 1)
        assert_int_equal(ac_chat_set_terminator(&t->base, "aaab?zzzzz", 10), 0);
}

/* What is kept back under the new terms is more than the old ones would have kept. */
static void change_while_collecting(void **state)
{
    struct talk t;

    begin(&t, *state, true);
    t.on_collect = lengthen;
    assert_int_equal(ac_chat_set_terminator(&t.base, "aaab", 4), 0);
    say(&t, "aaa", 3);
    assert_string_equal(t.log, "");
    say(&t, "aab?zz", 6); /* "aa" is told, and then "aaab" ends nothing any more */
    assert_string_equal(t.log, "aa");
    say(&t, "zzz.", 4);
    assert_string_equal(t.log, "aa].");
    end(&t);
}

/* --- close, pause, discard -------------------------------------------------------------------- */

static void close_in_found(struct talk *t, const char *data, size_t len)
{
    assert_memory_equal(data, "one", len);
    ac_close(&t->base.base);
    assert_int_equal(ac_chat_set_terminator(&t->base, "x", 1), -EBADF);
    assert_int_equal(ac_chat_push(&t->base, "x", 1), -EBADF);
    assert_memory_equal(data, "one", len); /* it lives to the end of the turn */
}

static void close_ends_it_at_once(void **state)
{
    for (int split = 0; split < 2; split++) {
        struct talk t;

        begin(&t, *state, false);
        t.on_found = close_in_found;
        assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
        if (split)
            say(&t, "on", 2);
        say(&t, split ? "e\ntwo\n" : "one\ntwo\n", split ? 6 : 8);
        assert_string_equal(t.log, "one]");
        assert_int_equal(t.finalized, 1);
        close(t.far);
        free(t.log);
    }
}

static void close_in_collect(struct talk *t, const char *data, size_t len)
{
    (void)data;
    (void)len;
    ac_close(&t->base.base);
}

static void close_in_a_piece(void **state)
{
    struct talk t;

    begin(&t, *state, true);
    t.on_collect = close_in_collect;
    assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
    say(&t, "one\ntwo\n", 8);
    assert_string_equal(t.log, "one");
    assert_int_equal(t.finalized, 1);
    close(t.far);
    free(t.log);
}

static void goodbye_in_found(struct talk *t, const char *data, size_t len)
{
    (void)data;
    (void)len;
    assert_int_equal(ac_chat_push(&t->base, "bye", 3), 0);
    assert_int_equal(ac_chat_close_when_done(&t->base), 0);
    assert_int_equal(ac_chat_push(&t->base, "more", 4), -EPIPE);
}

static void goodbye_ends_the_input(void **state)
{
    struct talk t;
    char        buf[8];

    begin(&t, *state, false);
    t.on_found = goodbye_in_found;
    assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
    say(&t, "one\ntwo\n", 8);
    assert_string_equal(t.log, "one]");
    assert_int_equal(h_get(t.far, buf, sizeof buf), 3);
    assert_true(h_ended(t.far));
    shutdown(t.far, SHUT_WR);
    H_UNTIL((ac_loop *)*state, t.finalized == 1);
    close(t.far);
    free(t.log);
}

static void pause_now(struct talk *t, const char *data, size_t len)
{
    (void)data;
    (void)len;
    assert_int_equal(ac_pause(&t->base.base), 0);
}

/* One message a resume, however they came; then the end, which has waited for them. */
static void pause_holds_what_has_come(void **state)
{
    static const char text[] = "a\r\nbb\r\n\r\nccc\r\nd";

    for (int c = 0; c < 2; c++) {
        for (size_t i = 0; i < sizeof text; i++) {
            struct talk t;

            begin(&t, *state, c);
            t.on_found = pause_now;
            assert_int_equal(ac_chat_set_terminator(&t.base, "\r\n", 2), 0);
            say(&t, text, i);
            say(&t, text + i, sizeof text - 1 - i);
            close(t.far);
            for (unsigned n = 1; n <= 4; n++) {
                settle(*state);
                assert_int_equal(t.found, n);
                assert_int_equal(t.closes, 0);
                assert_true(h_idle(*state, AC_MILLISECOND) <= 2);
                assert_int_equal(ac_resume(&t.base.base), 0);
            }
            H_UNTIL((ac_loop *)*state, t.finalized == 1);
            assert_string_equal(t.log, c ? "a]bb]]ccc]d" : "a]bb]]ccc]");
            assert_int_equal(t.closes, 1);
            free(t.log);
        }
    }
}

/* Paused by the last piece of a message by length: that it is complete is told on resuming. */
static void pause_in_the_last_piece(void **state)
{
    struct talk t;

    begin(&t, *state, true);
    t.on_collect = pause_now;
    assert_int_equal(ac_chat_set_length(&t.base, 3), 0);
    say(&t, "abc", 3);
    assert_string_equal(t.log, "abc");
    assert_int_equal(ac_resume(&t.base.base), 0);
    settle(*state);
    assert_string_equal(t.log, "abc]");
    end(&t);
}

static void pause_every_line(struct talk *t, const char *data, size_t len)
{
    (void)data;
    (void)len;
    assert_int_equal(ac_pause(&t->base.base), 0);
    t->number++;
}

static void pause_each_of_many(void **state)
{
    enum { LINES = 10000 };
    struct talk t;
    char       *text = malloc(2 * LINES);
    int64_t     cpu  = h_cpu();

    for (size_t i = 0; i < LINES; i++)
        memcpy(text + 2 * i, "x\n", 2);
    begin(&t, *state, false);
    t.on_found = pause_every_line;
    assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
    h_put(t.far, text, 2 * LINES);
    for (long i = 1; i <= LINES; i++) {
        H_UNTIL_IN((ac_loop *)*state, 8, t.number == i);
        assert_int_equal(ac_resume(&t.base.base), 0);
    }
    assert_int_equal(t.found, LINES);
    assert_true(h_cpu() - cpu < 2 * AC_SECOND);
    free(text);
    end(&t);
}

/* What came is read, though the conversation pauses in it and has more of it to cut. */
static void pause_leaves_what_was_read(void **state)
{
    struct talk t;

    begin(&t, *state, false);
    t.on_found = pause_every_line;
    assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
    assert_int_equal(ac_set_timeout(&t.base.base, AC_IDLE, 200 * AC_MILLISECOND), 0);
    for (long i = 0; i < 10; i++) {
        h_put(t.far, "a\nb\n", 4);
        for (long k = 1; k <= 2; k++) {
            H_UNTIL((ac_loop *)*state, t.number == 2 * i + k || t.errors > 0);
            assert_int_equal(t.err, 0);
            assert_int_equal(ac_resume(&t.base.base), 0);
        }
        h_idle(*state, 50 * AC_MILLISECOND);
    }
    assert_int_equal(t.err, 0);
    end(&t);
}

static void discard_now(struct talk *t, const char *data, size_t len)
{
    (void)data;
    (void)len;
    if (t->found == 2)
        ac_chat_discard(&t->base);
}

static void discard_drops_what_has_come(void **state)
{
    for (int c = 0; c < 2; c++) {
        struct talk t;

        begin(&t, *state, c);
        t.on_found = discard_now;
        assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
        say(&t, "a\nb\nc\nd", 7);
        assert_string_equal(t.log, "a]b]");
        say(&t, "e\nf", 3);
        assert_string_equal(t.log, c ? "a]b]e]f" : "a]b]e]");
        ac_chat_discard(&t.base);
        say(&t, "g\n", 2);
        assert_string_equal(t.log, c ? "a]b]e]fg]" : "a]b]e]g]");
        end(&t);
    }
}

/* --- limits ----------------------------------------------------------------------------------- */

static void too_large(ac_loop *loop, struct talk *t, const char *log)
{
    H_UNTIL(loop, t->finalized == 1);
    assert_int_equal(t->err, -AC_ETOOLARGE);
    assert_int_equal(t->errors, 1);
    assert_int_equal(t->closes, 1);
    assert_string_equal(t->log, log);
    close(t->far);
    free(t->log);
}

static void limit_of_a_string(void **state)
{
    static const char fits[] = "0123456789\r\n", longer[] = "0123456789a\r\nb\r\n";

    for (int c = 0; c < 2; c++) {
        for (size_t i = 0; i <= 12; i++) { /* however it is split */
            struct talk t;

            begin(&t, *state, c);
            assert_int_equal(ac_chat_set_limit(&t.base, 10), 0);
            assert_int_equal(ac_chat_set_terminator(&t.base, "\r\n", 2), 0);
            say(&t, fits, i);
            say(&t, fits + i, 12 - i);
            say(&t, "x\r\n", 3);
            assert_string_equal(t.log, "0123456789]x]");
            h_put(t.far, longer, i);
            if (i > 0)
                settle(*state);
            if (t.errors == 0)
                h_put(t.far, longer + i, 16 - i);
            H_UNTIL((ac_loop *)*state, t.finalized == 1);
            assert_int_equal(t.err, -AC_ETOOLARGE);
            assert_int_equal(t.found, 2);
            close(t.far);
            free(t.log);
        }
    }
}

/* It fails before the terminator, so that memory is bounded by the limit. */
static void limit_without_an_end(void **state)
{
    struct talk t;

    begin(&t, *state, false);
    assert_int_equal(ac_chat_set_limit(&t.base, 100), 0);
    assert_int_equal(ac_chat_set_terminator(&t.base, "\r\n", 2), 0);
    for (int i = 0; i < 10; i++)
        say(&t, "0123456789", 10);
    say(&t, "\r", 1); /* may still be the end of 100 bytes */
    assert_int_equal(t.errors, 0);
    assert_true(t.base.in_.cap < 1024);
    h_put(t.far, "x", 1);
    too_large(*state, &t, "");

    /* The same where it comes in one piece. */
    begin(&t, *state, false);
    assert_int_equal(ac_chat_set_limit(&t.base, 8), 0);
    assert_int_equal(ac_chat_set_terminator(&t.base, "\r\n", 2), 0);
    h_put(t.far, "0123456789", 10);
    too_large(*state, &t, "");
}

static void limit_of_the_length(void **state)
{
    for (int c = 0; c < 2; c++) {
        struct talk t;

        begin(&t, *state, c);
        assert_int_equal(ac_chat_set_limit(&t.base, 4), 0);
        assert_int_equal(ac_chat_set_length(&t.base, 4), 0);
        say(&t, "abcd", 4);
        assert_int_equal(ac_chat_set_length(&t.base, 5), 0);
        h_put(t.far, "abcde", 5);
        too_large(*state, &t, "abcd]");
    }
}

static void limit_is_64_kib(void **state)
{
    static char text[64 * 1024 + 2];

    for (int c = 0; c < 2; c++) {
        struct talk t;

        memset(text, 'x', sizeof text);
        text[64 * 1024] = '\n';
        begin(&t, *state, c);
        assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
        for (size_t at = 0; at < 64 * 1024 + 1; at += 1000)
            say(&t, text + at, at + 1000 < 64 * 1024 + 1 ? 1000 : 64 * 1024 + 1 - at);
        assert_int_equal(t.found, 1);
        assert_int_equal(t.log_len, 64 * 1024 + 1);
        if (!c)
            assert_int_equal(t.base.in_.cap, 0); /* large memory does not stay */
        text[64 * 1024]     = 'x';
        text[64 * 1024 + 1] = '\n';
        for (size_t at = 0; at < sizeof text && t.errors == 0; at += 1000)
            say(&t, text + at, at + 1000 < sizeof text ? 1000 : sizeof text - at);
        H_UNTIL((ac_loop *)*state, t.finalized == 1);
        assert_int_equal(t.err, -AC_ETOOLARGE);
        close(t.far);
        free(t.log);
    }
}

/* --- cost ------------------------------------------------------------------------------------- */

static void many_lines_are_linear(void **state)
{
    enum { LINES = 10000 };
    ac_loop *loop = *state;
    char    *text = malloc(6 * LINES);

    for (size_t i = 0; i < LINES; i++)
        memcpy(text + 6 * i, "line\r\n", 6);
    for (int c = 0; c < 2; c++) {
        struct talk t;
        int64_t     cpu = h_cpu();
        long        calls;

        begin(&t, loop, c);
        free(t.log);
        t.log_cap = 10 * LINES;
        t.log     = malloc(t.log_cap);
        assert_int_equal(ac_chat_set_terminator(&t.base, "\r\n", 2), 0);
        h_put(t.far, text, 6 * LINES);
        calls = h_alloc_calls;
        settle(loop);
        assert_int_equal(t.found, LINES);
        assert_true(h_alloc_calls - calls < 16);
        assert_true(h_cpu() - cpu < AC_SECOND);
        end(&t);
    }
    free(text);
}

/* A long message in small pieces is looked at once, not once a piece. */
static void small_pieces_are_linear(void **state)
{
    struct talk t;
    char        piece[8];
    int64_t     cpu = h_cpu();
    long        calls;

    memset(piece, 'a', sizeof piece);
    begin(&t, *state, false);
    assert_int_equal(ac_chat_set_limit(&t.base, 1 << 20), 0);
    assert_int_equal(ac_chat_set_terminator(&t.base, "aaaaaaab", 8), 0);
    calls = h_alloc_calls;
    for (int i = 0; i < 20000; i++)
        say(&t, piece, sizeof piece);
    assert_true(h_alloc_calls - calls < 24);
    say(&t, "b", 1);
    assert_int_equal(t.found, 1);
    assert_int_equal(t.log_len, 20000 * sizeof piece - 7 + 1);
    assert_true(h_cpu() - cpu < 3 * AC_SECOND);
    end(&t);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void read_another(struct talk *t, const char *data, size_t len)
{
    const void *view;

    if (t->number++ > 0)
        return;
    assert_int_equal(ac_read(t->other, &view), 8);
    assert_memory_equal(view, "XXXXXXXX", 8);
    assert_memory_equal(data, "a", len); /* ours is another one */
}

static void slot_may_read_another_channel(void **state)
{
    struct talk   t;
    struct probe *p = h_new(*state, 0);
    int           fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
    assert_int_equal(ac_attach(&p->base, ac_sock_from_fd(*state, fd[0])), 0);
    h_put(fd[1], "XXXXXXXX", 8);
    begin(&t, *state, false);
    t.on_found = read_another;
    t.other    = &p->base;
    assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
    say(&t, "a\nb\nc\n", 6);
    assert_string_equal(t.log, "a]b]c]");
    close(fd[1]);
    end(&t);
}

static void out_of_memory_fails_the_channel(void **state)
{
    unsigned failures = 0;

    for (long n = 1; n < 4; n++) {
        struct talk t;

        begin(&t, *state, false);
        assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
        say(&t, "warm up\n", 8);
        h_alloc_calls = 0;
        h_alloc_fail  = n;
        say(&t, "part", 4);
        h_alloc_fail = 0;
        if (t.errors > 0) {
            assert_int_equal(t.err, -ENOMEM);
            assert_int_equal(t.finalized, 1);
            failures++;
        }
        end(&t);
    }
    assert_true(failures >= 2);
}

static void refusals(void **state)
{
    static const ac_chat_class deaf = {.base = {.name = "Deaf"}, .found_terminator = found};
    ac_loop                   *loop = *state;
    struct talk                t;
    struct talk               *made;

    memset(&t, 0, sizeof t);
    assert_int_equal(ac_chat_init(NULL, loop, &whole_class), -EINVAL);
    assert_int_equal(ac_chat_init(&t.base, loop, NULL), -EINVAL);
    assert_int_equal(ac_chat_init(&t.base, loop, &deaf), -EINVAL);
    assert_int_equal(ac_connect(&t.base.base, "127.0.0.1", 9), -EINVAL);
    assert_int_equal(ac_chat_set_terminator(&t.base, "x", 1), -EINVAL);
    assert_int_equal(ac_chat_init(&t.base, NULL, &whole_class), -EINVAL);
    assert_null(ac_chat_new(struct talk, loop, &deaf));
    assert_null(ac_chat_new(struct talk, loop, NULL));
    assert_null(ac_chat_new(struct talk, NULL, &whole_class));

    assert_int_equal(ac_chat_init(&t.base, loop, &whole_class), 0);
    assert_int_equal(ac_chat_set_terminator(&t.base, "", 0), -EINVAL);
    assert_int_equal(ac_chat_set_terminator(&t.base, NULL, 1), -EINVAL);
    assert_int_equal(ac_chat_set_terminator(&t.base, t.base.terminator_, 33), -EINVAL);
    assert_int_equal(ac_chat_set_terminator(NULL, "x", 1), -EINVAL);
    assert_int_equal(ac_chat_set_length(&t.base, 0), -EINVAL);
    assert_int_equal(ac_chat_set_length(NULL, 1), -EINVAL);
    assert_int_equal(ac_chat_set_no_terminator(NULL), -EINVAL);
    assert_int_equal(ac_chat_set_limit(&t.base, 0), -EINVAL);
    assert_int_equal(ac_chat_push(&t.base, "x", 1), -EBADF);
    assert_int_equal(ac_chat_push(NULL, "x", 1), -EINVAL);
    assert_int_equal(ac_chat_close_when_done(&t.base), -EBADF);
    assert_int_equal(ac_chat_close_when_done(NULL), -EINVAL);
    ac_chat_discard(&t.base);
    ac_chat_discard(NULL);

    made = ac_chat_new(struct talk, loop, &whole_class);
    assert_non_null(made);
    ac_close(&made->base.base);
    settle(loop);
}

/* The child of a fork has no business with the parent's conversations. */
static void refused_in_a_child(void **state)
{
    static struct talk t;
    pid_t              pid;
    int                status;

    begin(&t, *state, false);
    settle(*state);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int bad = ac_chat_set_terminator(&t.base, "x", 1) != -ECHILD;

        bad |= ac_chat_set_length(&t.base, 3) != -ECHILD ? 2 : 0;
        bad |= ac_chat_set_no_terminator(&t.base) != -ECHILD ? 4 : 0;
        bad |= ac_chat_set_limit(&t.base, 10) != -ECHILD ? 8 : 0;
        bad |= ac_chat_push(&t.base, "x", 1) != -ECHILD ? 16 : 0;
        bad |= ac_loop_after_fork(*state) != 0 ? 32 : 0;
        bad |= ac_chat_set_length(&t.base, 3) != 0 ? 64 : 0;
        _exit(bad);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    end(&t);
}

static void storage_can_be_used_again(void **state)
{
    struct talk t;

    for (int i = 0; i < 3; i++) {
        begin(&t, *state, false);
        assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
        say(&t, "a\nleft over", 11);
        assert_string_equal(t.log, "a]");
        end(&t);
    }
}

/* --- the cork ------------------------------------------------------------------------------- */

static size_t at_far(const struct talk *t)
{
    char    buf[64];
    ssize_t n = recv(t->far, buf, sizeof buf, MSG_PEEK);

    return n > 0 ? (size_t)n : 0;
}

static void answer(struct talk *t, const char *data, size_t len)
{
    assert_int_equal(ac_chat_push(&t->base, data, len), 0);
    assert_int_equal(at_far(t), 0); /* goes with the others */
}

static void far_has(const struct talk *t, const char *text)
{
    char   buf[256];
    size_t n = h_get(t->far, buf, sizeof buf);

    assert_int_equal(n, strlen(text));
    assert_memory_equal(buf, text, n);
}

/* Many messages by one read are answered by one write, when the last of them has been told. */
static void answers_go_together(void **state)
{
    struct talk t;

    begin(&t, *state, false);
    t.on_found = answer;
    assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
    h_put(t.far, "one\ntwo\nthree\n", 14);
    H_UNTIL(*state, t.found == 3);
    far_has(&t, "onetwothree");
    assert_int_equal(ac_queued(&t.base.base), 0);
    /* Outside of that a push is a write. */
    assert_int_equal(ac_chat_push(&t.base, "four", 4), 0);
    far_has(&t, "four");
    end(&t);
}

static void answer_and_write(struct talk *t, const char *data, size_t len)
{
    answer(t, data, len);
    if (t->found == 2) {
        assert_int_equal(ac_write(&t->base.base, "+", 1), 0);
        far_has(t, "onetwo+");
    }
}

/* Whatever else is done to the channel comes behind what was pushed before. */
static void gathered_answers_keep_their_place(void **state)
{
    struct talk t;

    begin(&t, *state, false);
    t.on_found = answer_and_write;
    assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
    h_put(t.far, "one\ntwo\nthree\n", 14);
    H_UNTIL(*state, t.found == 3);
    far_has(&t, "three");
    end(&t);
}

static void answer_and_close(struct talk *t, const char *data, size_t len)
{
    answer(t, data, len);
    if (t->found == 2)
        ac_close(&t->base.base);
}

/* A close drops what is queued; what was pushed with room in the kernel has been sent. */
static void gathered_answers_before_a_close(void **state)
{
    struct talk t;

    begin(&t, *state, false);
    t.on_found = answer_and_close;
    assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
    h_put(t.far, "one\ntwo\nthree\n", 14);
    H_UNTIL(*state, t.finalized == 1);
    assert_int_equal(t.found, 2);
    far_has(&t, "onetwo");
    assert_true(h_ended(t.far));
    end(&t);
}

static void answer_at_length(struct talk *t, const char *data, size_t len)
{
    uint8_t piece[3000];

    (void)data, (void)len;
    h_pattern(piece, sizeof piece, (size_t)t->number);
    assert_int_equal(ac_chat_push(&t->base, piece, sizeof piece), 0);
    t->number += (long)sizeof piece;
}

/* More than is gathered at once, to a peer that does not read yet: all of it, in order. */
static void gathered_answers_that_do_not_fit(void **state)
{
    enum { LINES = 300 };
    static uint8_t all[LINES * 3000];
    struct talk    t;
    char           lines[2 * LINES];
    size_t         got = 0;

    begin(&t, *state, false);
    t.on_found = answer_at_length;
    assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = i % 2 == 0 ? 'x' : '\n';
    h_put(t.far, lines, sizeof lines);
    H_UNTIL(*state, t.found == LINES);
    assert_true(ac_queued(&t.base.base) > 0);
    H_UNTIL_IN(*state, 20000, (got += h_get(t.far, all + got, sizeof all - got)) == sizeof all);
    assert_true(h_pattern_ok(all, sizeof all, 0));
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(string_split_at_every_byte),
        H_TEST(string_byte_by_byte),
        H_TEST(string_of_the_longest_terminator),
        H_TEST(string_against_a_model),
        H_TEST(several_at_once_are_not_copied),
        H_TEST(length_and_string_in_turn),
        H_TEST(length_is_for_one_message),
        H_TEST(nothing_cuts_nothing),
        H_TEST(other_terms_look_again),
        H_TEST(change_while_collecting),
        H_TEST(close_ends_it_at_once),
        H_TEST(close_in_a_piece),
        H_TEST(goodbye_ends_the_input),
        H_TEST(pause_holds_what_has_come),
        H_TEST(pause_in_the_last_piece),
        H_TEST(pause_each_of_many),
        H_TEST(pause_leaves_what_was_read),
        H_TEST(discard_drops_what_has_come),
        H_TEST(limit_of_a_string),
        H_TEST(limit_without_an_end),
        H_TEST(limit_of_the_length),
        H_TEST(limit_is_64_kib),
        H_TEST(many_lines_are_linear),
        H_TEST(small_pieces_are_linear),
        H_TEST(answers_go_together),
        H_TEST(gathered_answers_keep_their_place),
        H_TEST(gathered_answers_before_a_close),
        H_TEST(gathered_answers_that_do_not_fit),
        H_TEST(slot_may_read_another_channel),
        H_TEST(out_of_memory_fails_the_channel),
        H_TEST(refusals),
        H_TEST(refused_in_a_child),
        H_TEST(storage_can_be_used_again),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
