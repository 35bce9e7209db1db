/* SPDX-License-Identifier: MIT */
/* Conversations, the output side: strings and producers, their order and their end. */
#include "harness.h"

/* None of these may run a slot. */
#define ac_chat_push(...)            h_int(((void)h_inside++, ac_chat_push(__VA_ARGS__)))
#define ac_chat_push_producer(...)   h_int(((void)h_inside++, ac_chat_push_producer(__VA_ARGS__)))
#define ac_chat_close_when_done(...) h_int(((void)h_inside++, ac_chat_close_when_done(__VA_ARGS__)))
#define ac_chat_discard(...)         ((void)h_inside++, ac_chat_discard(__VA_ARGS__), (void)h_inside--)

enum { BIG = 3 * 1024 * 1024 };

struct talk {
    ac_chat base;
    int     err, errors, closes, drains, finalized;
    int     far; /* the other end */
};

/* Gives `text` in pieces of `step` bytes, `times` times. */
struct source {
    ac_producer  base;
    const char  *text;
    size_t       len, step, at;
    unsigned     times;
    ssize_t      fails; /* the result in place of the end */
    unsigned     asked, done;
    struct talk *talk;
    void (*on_more)(struct source *s);
    void (*on_done)(struct source *s);
};

static ssize_t more(ac_producer *p, const void **data)
{
    struct source *s = AC_CONTAINER(struct source, base, p);
    size_t         n;

    assert_int_equal(h_inside, 0);
    assert_int_equal(s->done, 0);
    s->asked++;
    if (s->on_more != NULL)
        s->on_more(s);
    if (s->at == s->len && s->times > 1) {
        s->times--;
        s->at = 0;
    }
    if (s->at == s->len)
        return s->fails;
    n     = s->len - s->at < s->step ? s->len - s->at : s->step;
    *data = s->text + s->at;
    s->at += n;
    return (ssize_t)n;
}

static void done(ac_producer *p)
{
    struct source *s = AC_CONTAINER(struct source, base, p);

    assert_int_equal(h_inside, 0);
    s->done++;
    if (s->on_done != NULL)
        s->on_done(s);
}

static struct source source(const char *text, size_t step)
{
    return (struct source){
        .base = {more, done}, .text = text, .len = strlen(text), .step = step, .times = 1};
}

static struct talk *talk_of(ac_dispatcher *d)
{
    return AC_SELF(struct talk, ac_chat_of(d));
}

static void talk_error(ac_dispatcher *d, int err)
{
    talk_of(d)->err = err;
    talk_of(d)->errors++;
}

static void talk_close(ac_dispatcher *d)
{
    talk_of(d)->closes++;
    ac_close(d);
}

static void talk_drain(ac_dispatcher *d)
{
    talk_of(d)->drains++;
}

static void talk_finalize(ac_dispatcher *d)
{
    talk_of(d)->finalized++;
}

static void silent(ac_dispatcher *d, const char *message)
{
    (void)d;
    (void)message;
}

static const ac_chat_class talk_class = {.base = {.name         = "Talk",
                                                  .handle_read  = ac_chat_handle_read,
                                                  .handle_drain = talk_drain,
                                                  .handle_close = talk_close,
                                                  .handle_error = talk_error,
                                                  .finalize     = talk_finalize,
                                                  .log          = silent}};

static void begin(struct talk *t, ac_loop *loop)
{
    int fd[2];

    memset(t, 0, sizeof *t);
    assert_int_equal(ac_chat_init(&t->base, loop, &talk_class), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
    assert_int_equal(ac_attach(&t->base.base, ac_sock_from_fd(loop, fd[0])), 0);
    t->far = fd[1];
}

static void end(struct talk *t, ac_loop *loop)
{
    ac_close(&t->base.base);
    H_UNTIL(loop, t->finalized == 1);
    close(t->far);
}

static void settle(ac_loop *loop)
{
    struct h_bound b = h_bound(100000);

    while (ac_loop_turn(loop, 0) > 0)
        assert_true(b.turns-- > 0);
}

static void hears(struct talk *t, const char *want)
{
    char   buf[4096];
    size_t n = h_get(t->far, buf, sizeof buf - 1);

    buf[n] = '\0';
    assert_string_equal(buf, want);
}

/* --- order ------------------------------------------------------------------------------------ */

static void strings_and_producers_in_order(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = source("[first]", 3), b = source("[second]", 100), none = source("", 1);

    begin(&t, loop);
    assert_int_equal(ac_chat_push(&t.base, "1", 1), 0);
    hears(&t, "1"); /* with nothing before it, it goes at once */
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_chat_push(&t.base, "2", 1), 0);
    assert_int_equal(ac_chat_push(&t.base, "", 0), 0);
    assert_int_equal(ac_chat_push(&t.base, "3", 1), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &none.base), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &b.base), 0);
    assert_int_equal(ac_chat_push(&t.base, "4", 1), 0);
    assert_int_equal(a.asked, 0);
    hears(&t, "");
    settle(loop);
    hears(&t, "[first]23[second]4");
    assert_int_equal(a.asked, 4);
    assert_int_equal(a.done, 1);
    assert_int_equal(none.asked, 1);
    assert_int_equal(none.done, 1);
    assert_int_equal(b.done, 1);
    assert_int_equal(t.base.held_, 0);
    assert_int_equal(ac_chat_push(&t.base, "5", 1), 0);
    hears(&t, "5");
    assert_true(h_idle(loop, 2 * AC_MILLISECOND) <= 3);
    end(&t, loop);
    assert_int_equal(a.done + b.done + none.done, 3);
}

static void goodbye_waits_for_all(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = source("text", 1);

    begin(&t, loop);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_chat_push(&t.base, "!", 1), 0);
    assert_int_equal(ac_chat_close_when_done(&t.base), 0);
    assert_int_equal(ac_chat_close_when_done(&t.base), 0);
    assert_int_equal(ac_chat_push(&t.base, "?", 1), -EPIPE);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), -EPIPE);
    assert_true(ac_is_open(&t.base.base));
    settle(loop);
    hears(&t, "text!");
    assert_true(h_ended(t.far));
    assert_int_equal(a.done, 1);
    shutdown(t.far, SHUT_WR);
    H_UNTIL(loop, t.finalized == 1);
    assert_int_equal(t.closes + t.errors, 0);
    end(&t, loop);
}

static void shutdown_waits_for_all(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = source("text", 2);

    begin(&t, loop);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_chat_push(&t.base, "!", 1), 0);
    assert_int_equal(ac_shutdown_write(&t.base.base), 0);
    assert_int_equal(ac_chat_push(&t.base, "?", 1), -EPIPE);
    settle(loop);
    hears(&t, "text!");
    assert_true(h_ended(t.far));
    assert_true(ac_is_open(&t.base.base));
    end(&t, loop);
}

static void goodbye_with_nothing_waiting(void **state)
{
    ac_loop    *loop = *state;
    struct talk t;

    begin(&t, loop);
    assert_int_equal(ac_chat_push(&t.base, "bye", 3), 0);
    assert_int_equal(ac_chat_close_when_done(&t.base), 0);
    hears(&t, "bye");
    shutdown(t.far, SHUT_WR);
    H_UNTIL(loop, t.finalized == 1);
    assert_int_equal(ac_chat_close_when_done(&t.base), -EBADF);
    close(t.far);
}

/* --- amounts ---------------------------------------------------------------------------------- */

/* A piece larger than the send queue may be, and a peer that takes its time. */
static void large_piece_is_never_held_whole(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    uint8_t      *text = malloc(BIG + 1), *in = malloc(BIG);
    size_t        got = 0, most = 0, n;
    struct source a;

    h_pattern(text, BIG, 0);
    a      = source("", BIG);
    a.text = (char *)text;
    a.len  = BIG;
    begin(&t, loop);
    assert_int_equal(ac_set_marks(&t.base.base, 1000, 5000, 10000), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_chat_close_when_done(&t.base), 0);
    while (got < BIG) {
        settle(loop);
        most = ac_queued(&t.base.base) > most ? ac_queued(&t.base.base) : most;
        n    = h_get(t.far, in + got, BIG - got < 10000 ? BIG - got : 10000);
        assert_true(n > 0);
        got += n;
    }
    assert_memory_equal(in, text, BIG);
    assert_int_equal(a.asked, 2);
    assert_int_equal(a.done, 1);
    assert_true(most > 1000 && most < 5000);
    assert_int_equal(t.drains, 0); /* the marks are the program's */
    end(&t, loop);
    free(in);
    free(text);
}

/* One that has no end, to a peer that reads it all: a turn ends all the same. */
static void endless_producer_starves_nobody(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct probe *p = h_new(loop, M_READ);
    struct source a = source("0123456789", 10);
    unsigned      asked;
    int           fd;

    a.times = 1000000000;
    begin(&t, loop);
    fd = h_pair_attached(loop, p);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_true(ac_loop_turn(loop, 0) > 0);
    asked = a.asked;
    assert_true(asked > 0 && asked < 1000);
    h_put(fd, "x", 1);
    H_UNTIL_IN(loop, 4, p->in_len == 1);
    ac_chat_discard(&t.base);
    assert_int_equal(a.done, 0);
    H_UNTIL_IN(loop, 4, a.done == 1);
    close(fd);
    end(&t, loop);
    assert_int_equal(a.done, 1);
}

/* It is not asked while the peer does not read. */
static void producer_is_asked_as_the_peer_reads(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    static char   text[16 * 1024];
    struct source a = source("", sizeof text);
    unsigned      asked;
    size_t        n = 0;

    memset(text, 'x', sizeof text);
    a.text  = text;
    a.len   = sizeof text;
    a.times = 1000;
    begin(&t, loop);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    settle(loop);
    asked = a.asked;
    assert_true(asked < 100);
    assert_true(h_idle(loop, 5 * AC_MILLISECOND) <= 2);
    assert_int_equal(a.asked, asked);
    while (a.done == 0) {
        n += h_get(t.far, text, sizeof text);
        settle(loop);
    }
    assert_true(n > 15000 * 1024);
    assert_int_equal(a.asked, 1001);
    end(&t, loop);
}

static void strings_that_wait_have_the_limit_of_the_queue(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = source("a", 1);

    begin(&t, loop);
    assert_int_equal(ac_set_marks(&t.base.base, 10, 20, 100), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ac_chat_push(&t.base, "0123456789", 10), 0);
    assert_int_equal(ac_chat_push(&t.base, "x", 1), -ENOBUFS);
    settle(loop);
    hears(&t, "a0123456789012345678901234567890123456789012345678901234567890123456789"
              "012345678901234567890123456789");
    assert_int_equal(ac_chat_push(&t.base, "x", 1), 0);
    hears(&t, "x");
    end(&t, loop);
}

/* --- goodbyes that begin before the end ------------------------------------------------------- */

/* A class that leaves the end of the peer's side to the default, which is a goodbye. */
static void answer(ac_chat *c, const void *data, size_t len);

static const ac_chat_class polite_class = {.base             = {.name         = "Talk",
                                                                .handle_read  = ac_chat_handle_read,
                                                                .handle_error = talk_error,
                                                                .finalize     = talk_finalize,
                                                                .log          = silent},
                                           .found_terminator = answer};

static void begin_tcp(struct talk *t, ac_loop *loop, const ac_chat_class *cls)
{
    int fd[2];

    memset(t, 0, sizeof *t);
    assert_int_equal(ac_chat_init(&t->base, loop, cls), 0);
    h_raw_pair(fd);
    assert_int_equal(ac_attach(&t->base.base, ac_sock_from_fd(loop, fd[0])), 0);
    t->far = fd[1];
}

/* Reads at the far side to its end, with turns between: 0 for an end in order, or -errno. */
static int hear_all(struct talk *t, ac_loop *loop, size_t *n)
{
    struct h_bound bound = h_bound(100000);
    char           buf[16384];
    ssize_t        r;

    *n = 0;
    while ((r = recv(t->far, buf, sizeof buf, 0)) != 0) {
        if (r < 0 && errno != EAGAIN)
            return -errno;
        *n += r > 0 ? (size_t)r : 0;
        if (r < 0)
            h_turn(loop, &bound, __FILE__, __LINE__);
    }
    return 0;
}

static char chunk[16384];

static struct source chunks(unsigned times)
{
    struct source s = source("", sizeof chunk);

    memset(chunk, 'z', sizeof chunk);
    s.text  = chunk;
    s.len   = sizeof chunk;
    s.times = times;
    return s;
}

static struct source *answers[2];

static void answer(ac_chat *c, const void *data, size_t len)
{
    (void)data;
    assert_int_equal(len, 3);
    assert_int_equal(ac_chat_push_producer(c, &answers[0]->base), 0);
    assert_int_equal(ac_chat_push_producer(c, &answers[1]->base), 0);
    assert_int_equal(ac_chat_push(c, "!", 1), 0);
}

/* A client that asks and shuts its side gets all of the answer, however much is still to be made. */
static void half_closed_client_hears_all(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = chunks(500), b = source("tail", 4);
    size_t        n;

    begin_tcp(&t, loop, &polite_class);
    answers[0] = &a;
    answers[1] = &b;
    assert_int_equal(ac_chat_set_terminator(&t.base, "\n", 1), 0);
    h_put(t.far, "ask\n", 4);
    shutdown(t.far, SHUT_WR);
    assert_int_equal(hear_all(&t, loop, &n), 0);
    assert_int_equal(n, 500 * sizeof chunk + 5);
    H_UNTIL(loop, t.finalized == 1);
    assert_int_equal(a.done, 1);
    assert_int_equal(b.done, 1);
    assert_int_equal(t.errors, 0);
    close(t.far);
}

/* ac_close_when_sent() itself, with producers that have not begun. */
static void close_when_sent_sends_what_is_made(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = chunks(100), b = source("tail", 2);
    size_t        n;

    begin_tcp(&t, loop, &polite_class);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &b.base), 0);
    ac_close_when_sent(&t.base.base);
    assert_int_equal(ac_chat_push(&t.base, "x", 1), -EPIPE);
    assert_int_equal(a.asked, 0);
    assert_int_equal(hear_all(&t, loop, &n), 0);
    assert_int_equal(n, 100 * sizeof chunk + 4);
    assert_int_equal(t.finalized, 0); /* it waits for the peer's end */
    assert_int_equal(a.done, 1);
    assert_int_equal(b.done, 1);
    close(t.far);
    H_UNTIL(loop, t.finalized == 1);
    assert_int_equal(t.closes + t.errors, 0);
}

/* One that fails in the goodbye: what came must not look whole. */
static void failure_in_the_goodbye_cuts(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = chunks(100), b = source("never", 5);
    size_t        n;

    begin_tcp(&t, loop, &polite_class);
    a.fails = -EIO;
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &b.base), 0);
    ac_close_when_sent(&t.base.base);
    assert_int_equal(hear_all(&t, loop, &n), -ECONNRESET);
    assert_true(n <= 100 * sizeof chunk);
    H_UNTIL(loop, t.finalized == 1);
    assert_int_equal(a.done, 1);
    assert_int_equal(b.asked, 0);
    assert_int_equal(b.done, 1);
    assert_int_equal(t.errors, 0); /* nobody is told any more */
    close(t.far);
}

/* A peer that takes nothing: the deadline of writing ends it, and each has its last call. */
static void goodbye_that_nobody_takes(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = chunks(100000), b = source("never", 5);

    begin_tcp(&t, loop, &polite_class);
    assert_int_equal(ac_set_timeout(&t.base.base, AC_WRITE, 60 * AC_MILLISECOND), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &b.base), 0);
    ac_close_when_sent(&t.base.base);
    H_UNTIL(loop, t.finalized == 1);
    assert_int_equal(a.done, 1);
    assert_true(a.asked < 100000);
    assert_int_equal(b.asked, 0);
    assert_int_equal(b.done, 1);
    close(t.far);
}

/* --- ends ------------------------------------------------------------------------------------- */

static void failure_is_told(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = source("abc", 3), b = source("never", 5);

    begin(&t, loop);
    a.fails = -EIO;
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &b.base), 0);
    H_UNTIL(loop, t.finalized == 1);
    assert_int_equal(t.err, -EIO);
    assert_int_equal(t.errors, 1);
    assert_int_equal(t.closes, 1);
    assert_int_equal(a.done, 1);
    assert_int_equal(b.asked, 0);
    assert_int_equal(b.done, 1);
    hears(&t, "abc");
    close(t.far);
}

static void early_close_tells_done_once(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = source("abc", 1), b = source("def", 1);

    begin(&t, loop);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_chat_push(&t.base, "x", 1), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &b.base), 0);
    ac_close(&t.base.base);
    assert_int_equal(a.done + b.done, 0); /* not inside the call */
    H_UNTIL(loop, t.finalized == 1);
    assert_int_equal(a.asked + b.asked, 0);
    assert_int_equal(a.done, 1);
    assert_int_equal(b.done, 1);
    close(t.far);
}

static void peer_that_leaves_ends_it(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    static char   text[1024 * 1024 + 1];
    struct source a;

    memset(text, 'x', sizeof text - 1);
    a = source(text, 4096);
    begin(&t, loop);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    settle(loop);
    assert_int_equal(a.done, 0);
    close(t.far);
    H_UNTIL(loop, t.finalized == 1);
    assert_int_equal(a.done, 1);
}

static void freeing_the_loop_tells_done(void **state)
{
    struct talk   t;
    struct source a = source("abc", 1);

    begin(&t, *state);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_loop_free(*state), 0);
    H_LOOP_GONE(state);
    assert_int_equal(a.done, 1);
    assert_int_equal(t.finalized, 1);
    close(t.far);
}

static void discard_tells_done_later(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = source("abc", 1), b = source("def", 1);

    begin(&t, loop);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    assert_int_equal(ac_chat_push(&t.base, "x", 1), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &b.base), 0);
    assert_int_equal(ac_chat_close_when_done(&t.base), 0);
    ac_chat_discard(&t.base);
    ac_chat_discard(&t.base);
    assert_int_equal(ac_chat_push(&t.base, "kept", 4), 0);
    assert_int_equal(a.done + b.done, 0);
    settle(loop);
    assert_int_equal(a.asked + b.asked, 0);
    assert_int_equal(a.done, 1);
    assert_int_equal(b.done, 1);
    hears(&t, "kept");
    assert_true(ac_is_open(&t.base.base));
    end(&t, loop);
}

/* --- producers that do things ----------------------------------------------------------------- */

static void close_it(struct source *s)
{
    ac_close(&s->talk->base.base);
}

static void discard_it(struct source *s)
{
    ac_chat_discard(&s->talk->base);
}

static void push_behind(struct source *s)
{
    if (s->asked == 1)
        assert_int_equal(ac_chat_push(&s->talk->base, "behind", 6), 0);
}

static void push_after(struct source *s)
{
    int rc = ac_chat_push(&s->talk->base, "after", 5);

    assert_int_equal(rc, ac_is_open(&s->talk->base.base) ? 0 : -EBADF);
}

static void producers_may_do_anything(void **state)
{
    ac_loop *loop = *state;

    for (int i = 0; i < 5; i++) {
        struct talk   t;
        struct source a = source("ab", 1), b = source("cd", 2);

        begin(&t, loop);
        a.talk = &t;
        if (i == 0)
            a.on_more = close_it;
        else if (i == 1)
            a.on_done = close_it;
        else if (i == 2)
            a.on_more = discard_it;
        else if (i == 3)
            a.on_more = push_behind;
        a.on_done = i == 4 ? push_after : a.on_done;
        assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
        assert_int_equal(ac_chat_push_producer(&t.base, &b.base), 0);
        settle(loop);
        hears(&t, i == 0 ? "" : i == 1 ? "ab" : i == 2 ? "" : i == 3 ? "abcdbehind" : "abcdafter");
        assert_int_equal(a.done, 1);
        assert_int_equal(b.done, 1);
        end(&t, loop);
        assert_int_equal(a.done + b.done, 2);
    }
}

static void push_after_close(void **state)
{
    struct talk   t;
    struct source a = source("ab", 1);

    begin(&t, *state);
    a.talk    = &t;
    a.on_done = push_after; /* when the channel is closed already */
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    end(&t, *state);
    assert_int_equal(a.done, 1);
}

/* Pushed while it connects, it is asked once the connection stands. */
static void producer_waits_for_the_connection(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a = source("abc", 1);
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 1);

    memset(&t, 0, sizeof t);
    assert_int_equal(ac_chat_init(&t.base, loop, &talk_class), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), -EBADF);
    assert_int_equal(ac_connect_addr(&t.base.base, &addr), 0);
    assert_int_equal(ac_chat_push(&t.base, "0", 1), 0);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    H_UNTIL(loop, a.done == 1);
    t.far = accept(listener, NULL, NULL);
    assert_true(t.far >= 0);
    h_wait(t.far, POLLIN);
    hears(&t, "0abc");
    close(listener);
    end(&t, loop);
}

static void refusals(void **state)
{
    ac_loop      *loop = *state;
    struct talk   t;
    struct source a       = source("abc", 1);
    ac_producer   nothing = {NULL, done};

    begin(&t, loop);
    assert_int_equal(ac_chat_push_producer(NULL, &a.base), -EINVAL);
    assert_int_equal(ac_chat_push_producer(&t.base, NULL), -EINVAL);
    assert_int_equal(ac_chat_push_producer(&t.base, &nothing), -EINVAL);
    assert_int_equal(ac_chat_push(&t.base, NULL, 1), -EINVAL);
    h_alloc_calls = 0;
    h_alloc_fail  = 1;
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), -ENOMEM);
    h_alloc_calls = 0;
    h_alloc_fail  = 2;
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), -ENOMEM);
    h_alloc_fail = 0;
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), 0);
    h_alloc_calls = 0;
    h_alloc_fail  = 1;
    assert_int_equal(ac_chat_push(&t.base, "x", 1), -ENOMEM);
    h_alloc_calls = 0;
    assert_int_equal(ac_chat_close_when_done(&t.base), -ENOMEM);
    h_alloc_fail = 0;
    assert_int_equal(ac_chat_push(&t.base, NULL, 1), -EINVAL);
    settle(loop);
    hears(&t, "abc");
    end(&t, loop);
    assert_int_equal(ac_chat_push_producer(&t.base, &a.base), -EBADF);
    assert_int_equal(a.done, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(strings_and_producers_in_order),
        H_TEST(goodbye_waits_for_all),
        H_TEST(shutdown_waits_for_all),
        H_TEST(goodbye_with_nothing_waiting),
        H_TEST(large_piece_is_never_held_whole),
        H_TEST(endless_producer_starves_nobody),
        H_TEST(producer_is_asked_as_the_peer_reads),
        H_TEST(strings_that_wait_have_the_limit_of_the_queue),
        H_TEST(half_closed_client_hears_all),
        H_TEST(close_when_sent_sends_what_is_made),
        H_TEST(failure_in_the_goodbye_cuts),
        H_TEST(goodbye_that_nobody_takes),
        H_TEST(failure_is_told),
        H_TEST(early_close_tells_done_once),
        H_TEST(peer_that_leaves_ends_it),
        H_TEST(freeing_the_loop_tells_done),
        H_TEST(discard_tells_done_later),
        H_TEST(producers_may_do_anything),
        H_TEST(push_after_close),
        H_TEST(producer_waits_for_the_connection),
        H_TEST(refusals),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
