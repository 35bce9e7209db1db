/* SPDX-License-Identifier: MIT */
/*
 * Connected streams: data, then the end, then the error; half-close, resets, out-of-band data, the
 * view, failures raised by handlers. Over TCP and Unix sockets.
 */
#include "harness.h"

#include <fcntl.h>

enum { ENDS = M_READ | M_EOF | M_CLOSE | M_ERROR };

/* --- one order ------------------------------------------------------------------------------- */

static void fin_with_data_pending(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE | M_ERROR);
    int           fd   = h_pair(loop, p);
    uint8_t       data[5000];

    h_pattern(data, sizeof data, 0);
    h_put(fd, data, sizeof data);
    close(fd);
    h_wait(h_fd(p), POLLRDHUP);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->in_len, sizeof data);
    assert_true(h_pattern_ok(p->in, sizeof data, 0));
    assert_int_equal(p->order[0], 'r');
    assert_string_equal(p->order + strlen(p->order) - 2, "z$");
    assert_int_equal(p->count[S_ERROR], 0);
    assert_int_equal(ac_error(&p->base), 0);
}

static void take_seven(struct probe *p)
{
    uint8_t buf[7];
    ssize_t n = ac_recv(&p->base, buf, sizeof buf);

    if (n > 0)
        p->in_len += (size_t)n;
}

static void fin_with_data_read_in_pieces(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);
    uint8_t       data[100];

    p->on[S_READ] = take_seven;
    h_pattern(data, sizeof data, 0);
    h_put(fd, data, sizeof data);
    close(fd);
    h_wait(h_fd(p), POLLRDHUP);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_int_equal(p->in_len, sizeof data);
    ac_close(&p->base);
}

/* A handler that reads once a call and exactly what is there: the end comes all the same. */
static void take_once(struct probe *p)
{
    uint8_t buf[4];
    ssize_t n = ac_recv(&p->base, buf, sizeof buf);

    if (n > 0)
        p->in_len += (size_t)n;
}

static void end_after_an_exact_read(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = take_once;
    h_put(fd, "four", 4);
    H_UNTIL(loop, p->in_len == 4);
    h_idle(loop, AC_MILLISECOND);
    close(fd);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->count[S_CLOSE], 1);
}

static void rst_with_data_pending(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);
    uint8_t       data[5000];

    h_pattern(data, sizeof data, 0);
    h_put(fd, data, sizeof data);
    h_wait(h_fd(p), POLLIN);
    h_reset(fd);
    h_wait(h_fd(p), POLLHUP);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->in_len, sizeof data);
    assert_true(h_pattern_ok(p->in, sizeof data, 0));
    assert_int_equal(p->count[S_EOF], 0);
    assert_int_equal(p->err, -ECONNRESET);
    assert_int_equal(p->order[0], 'r');
    assert_string_equal(p->order + strlen(p->order) - 3, "ez$");
    assert_int_equal(ac_error(&p->base), -ECONNRESET); /* kept to the end */
}

static void rst_read_in_pieces(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = take_seven;
    h_put(fd, "twenty-one bytes here", 21);
    h_reset(fd);
    h_wait(h_fd(p), POLLHUP);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->in_len, 21);
    assert_int_equal(p->err, -ECONNRESET);
}

static void take_thrice(struct probe *p)
{
    char buf[8];

    for (int i = 0; i < 3; i++)
        p->rc = (int)ac_recv(&p->base, buf, sizeof buf);
}

/* A handler that reads on behind the failure: what a read finds there looks like an end, and is none. */
static void rst_and_read_on(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = take_thrice;
    h_put(fd, "x", 1);
    h_wait(h_fd(p), POLLIN);
    h_reset(fd);
    h_wait(h_fd(p), POLLHUP);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->rc, -ECONNRESET);
    assert_int_equal(p->err, -ECONNRESET);
    assert_string_equal(p->order, "rez$");
}

/* A write meets the reset before anything was read: the data is offered first all the same. */
static void write_finds_the_reset(void **state)
{
    ac_loop *loop = *state;

    for (int pieces = 0; pieces < 2; pieces++) {
        struct probe *p  = h_new(loop, ENDS);
        int           fd = h_pair(loop, p);
        const char   *error;

        if (pieces)
            p->on[S_READ] = take_seven;
        h_put(fd, "twenty-one bytes here", 21);
        h_wait(h_fd(p), POLLIN);
        h_reset(fd);
        h_wait(h_fd(p), POLLHUP);
        assert_int_equal(ac_write(&p->base, "lost", 4), 0); /* refused, which is told later */
        assert_int_equal(h_total(p), 0);
        H_UNTIL(loop, p->finalized);
        assert_int_equal(p->in_len, 21);
        assert_true(p->err == -ECONNRESET || p->err == -EPIPE);
        assert_int_equal(p->count[S_ERROR], 1);
        /* The write took the error with it, and a read then finds what looks like an end: it is none. */
        assert_int_equal(p->count[S_EOF], 0);
        if (!pieces)
            assert_int_equal(p->rc, -ECONNRESET);
        error = strchr(p->order, 'e');
        assert_non_null(error);
        assert_null(strchr(error, 'r'));
        assert_string_equal(error, "ez$");
    }
}

/* The same where nobody reads at that time, or ever: by a paused reader, by a class without one. */
static void write_finds_the_reset_unread(void **state)
{
    ac_loop *loop = *state;

    for (int reads = 0; reads < 2; reads++) {
        struct probe *p  = h_new(loop, (reads ? M_READ : 0) | M_EOF | M_ERROR | M_CLOSE);
        int           fd = h_pair(loop, p);

        assert_int_equal(ac_pause(&p->base), 0);
        h_reset(fd);
        h_wait(h_fd(p), POLLHUP);
        assert_int_equal(ac_write(&p->base, "lost", 4), 0);
        H_UNTIL(loop, p->finalized);
        assert_int_equal(p->err, -ECONNRESET);
        assert_string_equal(p->order, "ez$");
    }
}

/* An end that did come stays one, also if a reset comes behind it and a write meets that. */
static void write_finds_the_reset_after_the_end(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    h_put(fd, "whole", 5);
    shutdown(fd, SHUT_WR);
    h_wait(h_fd(p), POLLRDHUP);
    h_reset(fd);
    h_wait(h_fd(p), POLLHUP);
    assert_int_equal(ac_write(&p->base, "lost", 4), 0);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->in_len, 5);
    assert_int_equal(p->count[S_EOF], 1);
    assert_int_equal(p->err, -EPIPE);
    assert_string_equal(strchr(p->order, 'f'), "fez$");
}

static void close_at_the_end(struct probe *p)
{
    h_take(p);
    if (p->rc == 0)
        ac_close(&p->base);
}

static void close_after_failing(struct probe *p)
{
    h_take(p);
    ac_fail(&p->base, EPROTO);
    ac_close(&p->base);
}

/* A channel that meets its end or fails, and closes in the same callback, hears no more of it. */
static void closed_where_the_end_was_met(void **state)
{
    ac_loop *loop = *state;

    for (int i = 0; i < 4; i++) {
        struct probe *p  = h_new(loop, i % 2 == 0 ? ENDS : M_READ | M_CLOSE | M_ERROR);
        int           fd = h_pair(loop, p);

        p->on[S_READ] = i < 2 ? close_at_the_end : close_after_failing;
        h_put(fd, "x", 1);
        close(fd);
        h_wait(h_fd(p), POLLRDHUP);
        H_UNTIL(loop, p->finalized);
        assert_int_equal(p->in_len, 1);
        assert_true(p->count[S_READ] > 0);
        assert_int_equal(p->count[S_EOF] + p->count[S_CLOSE] + p->count[S_ERROR], 0);
    }
}

/* --- half-close ------------------------------------------------------------------------------ */

static void answer_after_eof(struct probe *p)
{
    assert_int_equal(ac_write(&p->base, "answer", 6), 0);
}

static void half_closed_by_the_peer(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);
    char          text[16];
    size_t        n;

    p->on[S_EOF] = answer_after_eof;
    h_put(fd, "ask", 3);
    shutdown(fd, SHUT_WR);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_int_equal(p->in_len, 3);
    assert_true(ac_is_open(&p->base));
    assert_true(ac_is_connected(&p->base));
    h_wait(fd, POLLIN);
    n = h_get(fd, text, sizeof text);
    assert_int_equal(n, 6);
    /* The end is told once and costs nothing more. */
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 3);
    assert_int_equal(p->count[S_EOF], 1);
    assert_int_equal(p->count[S_CLOSE], 0);
    assert_int_equal(ac_write(&p->base, "late", 4), 0);
    h_wait(fd, POLLIN);
    assert_int_equal(h_get(fd, text, sizeof text), 4);
    /* When the peer has gone for good, the channel ends. */
    h_reset(fd);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->count[S_EOF], 1);
    assert_int_equal(p->count[S_CLOSE], 1);
}

static void shut_our_side(struct probe *p)
{
    assert_int_equal(ac_write(&p->base, "bye", 3), 0);
    assert_int_equal(ac_shutdown_write(&p->base), 0);
}

/* Each side has shut its half: nothing can come any more, and the channel ends. */
static void both_sides_shut(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    p->on[S_EOF] = shut_our_side;
    shutdown(fd, SHUT_WR);
    H_UNTIL_IN(loop, 50, p->finalized);
    assert_int_equal(p->count[S_EOF], 1);
    assert_int_equal(p->count[S_CLOSE], 1);
    assert_int_equal(p->count[S_ERROR], 0);
    h_wait(fd, POLLIN);
    assert_int_equal(h_get(fd, (char[8]){0}, 8), 3);
    assert_true(h_ended(fd));
    close(fd);
}

static void stay_open(struct probe *p)
{
    p->number++;
}

/* The same where our side is shut later, with and without something to send before. */
static void both_sides_shut_later(void **state)
{
    static uint8_t big[1 << 20];
    ac_loop       *loop = *state;

    for (int sends = 0; sends < 2; sends++) {
        struct probe  *p     = h_new(loop, ENDS);
        int            fd    = h_pair(loop, p);
        struct h_bound bound = h_bound(2000);

        p->on[S_EOF] = stay_open;
        shutdown(fd, SHUT_WR);
        H_UNTIL(loop, p->count[S_EOF] == 1);
        h_idle(loop, AC_MILLISECOND);
        if (sends)
            assert_int_equal(ac_write(&p->base, big, sizeof big), 0);
        assert_int_equal(ac_shutdown_write(&p->base), 0);
        while (!p->finalized) {
            while (h_get(fd, big, sizeof big) > 0)
                continue;
            h_turn(loop, &bound, __FILE__, __LINE__);
        }
        assert_int_equal(p->count[S_CLOSE], 1);
        assert_int_equal(p->count[S_ERROR], 0);
        close(fd);
    }
}

/* Where a failure is yet to be told, that is how the channel ends, and it ends once. */
static void both_sides_shut_and_failed(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    p->on[S_EOF] = p->on[S_CLOSE] = stay_open;
    shutdown(fd, SHUT_WR);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_int_equal(ac_shutdown_write(&p->base), 0);
    h_wait(h_fd(p), POLLHUP);
    ac_fail(&p->base, EPROTO);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(p->count[S_CLOSE], 1);
    assert_string_equal(strchr(p->order, 'f'), "fez");
    ac_close(&p->base);
    close(fd);
}

static void half_closed_by_us(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    assert_int_equal(ac_shutdown_write(&p->base), 0);
    h_wait(fd, POLLIN);
    assert_true(h_ended(fd));
    h_put(fd, "still sending", 13);
    H_UNTIL(loop, p->in_len == 13);
    shutdown(fd, SHUT_WR);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_true(h_idle(loop, 30 * AC_MILLISECOND) <= 3);
    ac_close(&p->base);
    close(fd);
}

/* --- without handle_read, and paused --------------------------------------------------------- */

static void write_only_channel_is_reaped(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, M_WRITE | M_CLOSE), *q = h_new(loop, M_WRITE | M_CLOSE | M_ERROR);
    struct probe *r  = h_new(loop, 0);
    int           fp = h_pair(loop, p), fq = h_pair(loop, q), fr = h_pair_attached(loop, r);

    h_idle(loop, AC_MILLISECOND);
    close(fp);
    H_UNTIL_IN(loop, 20, p->finalized);
    assert_int_equal(p->count[S_CLOSE], 1);
    h_reset(fq);
    H_UNTIL_IN(loop, 20, q->finalized);
    assert_int_equal(q->err, -ECONNRESET);
    h_put(fr, "x", 1); /* what nobody reads does not hide the end */
    h_idle(loop, AC_MILLISECOND);
    assert_false(r->finalized);
    close(fr);
    H_UNTIL_IN(loop, 50, r->finalized);
}

static void paused_with_fin_and_data(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    assert_int_equal(ac_pause(&p->base), 0);
    assert_int_equal(ac_pause(&p->base), 0);
    h_put(fd, "kept", 4);
    shutdown(fd, SHUT_WR);
    h_wait(h_fd(p), POLLRDHUP);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 4);
    assert_int_equal(h_total(p), 0);
    assert_int_equal(ac_resume(&p->base), 0);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_int_equal(p->in_len, 4);
    assert_int_equal(p->order[0], 'r');
    close(fd);
}

/* The end that comes while paused with all data read waits for the resume too. */
static void paused_with_fin(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    h_put(fd, "x", 1);
    H_UNTIL(loop, p->in_len == 1);
    assert_int_equal(ac_pause(&p->base), 0);
    shutdown(fd, SHUT_WR);
    assert_true(h_idle(loop, 30 * AC_MILLISECOND) <= 4);
    assert_int_equal(ac_resume(&p->base), 0);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->count[S_CLOSE], 1);
    close(fd);
}

static void paused_and_reset(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    assert_int_equal(ac_pause(&p->base), 0);
    h_idle(loop, AC_MILLISECOND);
    h_reset(fd);
    H_UNTIL_IN(loop, 40, p->finalized);
    assert_string_equal(p->order, "ez$");
    assert_int_equal(p->err, -ECONNRESET);
}

/*
 * The same with data that nobody reads and a slot for out-of-band data, which poll() and select()
 * call ready when the connection is dead: the end waits for the resume, and nothing turns till then.
 */
static void paused_with_data_and_reset(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS | M_EXPT);
    int           fd   = h_pair(loop, p);

    assert_int_equal(ac_pause(&p->base), 0);
    h_idle(loop, AC_MILLISECOND);
    h_put(fd, "kept", 4);
    h_wait(h_fd(p), POLLIN);
    h_idle(loop, AC_MILLISECOND);
    h_reset(fd);
    h_wait(h_fd(p), POLLHUP);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 5);
    assert_int_equal(h_total(p), 0);
    assert_int_equal(ac_resume(&p->base), 0);
    H_UNTIL_IN(loop, 20, p->finalized);
    assert_string_equal(p->order, "rez$");
    assert_int_equal(p->in_len, 4);
    assert_int_equal(p->err, -ECONNRESET);
}

static void pause_in_read(struct probe *p)
{
    char c;

    assert_int_equal(ac_recv(&p->base, &c, 1), 1);
    p->in_len++;
    assert_int_equal(ac_pause(&p->base), 0);
}

static void paused_in_the_handler(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = pause_in_read;
    h_put(fd, "abc", 3);
    for (unsigned i = 1; i <= 3; i++) {
        H_UNTIL(loop, p->in_len == i);
        assert_true(h_idle(loop, 10 * AC_MILLISECOND) <= 3);
        assert_int_equal(p->in_len, i);
        assert_int_equal(ac_resume(&p->base), 0);
    }
    close(fd);
}

/* --- reading --------------------------------------------------------------------------------- */

static uint8_t view_copy[200000];

static void take_view(struct probe *p)
{
    const void *view;
    ssize_t     n;

    while ((n = ac_read(&p->base, &view)) > 0) {
        assert_true(n <= 65536);
        assert_int_equal(ac_write(&p->base, "", 0), 0);
        ac_pause(&p->base);
        ac_resume(&p->base);
        memcpy(view_copy + p->in_len, view, (size_t)n);
        p->in_len += (size_t)n;
    }
    p->rc = (int)n;
}

static void view_without_a_copy(void **state)
{
    ac_loop       *loop = *state;
    struct probe  *p    = h_new(loop, ENDS);
    int            fd   = h_pair(loop, p);
    static uint8_t data[sizeof view_copy];
    const void    *view = NULL;
    size_t         sent = 0;
    ssize_t        n;

    p->on[S_READ] = take_view;
    h_pattern(data, sizeof data, 0);
    assert_int_equal(ac_read(&p->base, &view), -EINVAL); /* outside a callback */
    struct h_bound bound = h_bound(5000);
    while (p->in_len < sizeof data) {
        if ((n = send(fd, data + sent, sizeof data - sent, MSG_NOSIGNAL)) > 0)
            sent += (size_t)n;
        h_turn(loop, &bound, __FILE__, __LINE__);
    }
    assert_true(h_pattern_ok(view_copy, sizeof data, 0));
    shutdown(fd, SHUT_WR);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_int_equal(p->rc, 0);
    close(fd);
}

static void view_then_close(struct probe *p)
{
    const void *view;
    ssize_t     n = ac_read(&p->base, &view);

    assert_int_equal(n, 4);
    ac_close(&p->base);
    assert_memory_equal(view, "data", 4);
    p->number = 1;
}

static void view_outlives_the_close(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = view_then_close;
    h_put(fd, "data", 4);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->number, 1);
    close(fd);
}

static void read_results(struct probe *p)
{
    char c[8];

    if (p->in_len == 0) {
        assert_int_equal(ac_recv(&p->base, NULL, 1), -EINVAL);
        assert_int_equal(ac_recv(&p->base, c, 8), 3);
        assert_int_equal(ac_recv(&p->base, c, 8), -EAGAIN);
        p->in_len = 3;
    } else {
        assert_int_equal(ac_recv(&p->base, c, 8), 0);
        assert_int_equal(ac_recv(&p->base, c, 8), 0); /* and again: the end stays the end */
    }
}

static void results_of_recv(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p = h_new(loop, ENDS), *fresh = h_new(loop, M_READ);
    int           fd = h_pair(loop, p);
    char          c;

    assert_int_equal(ac_recv(&fresh->base, &c, 1), -EBADF);
    p->on[S_READ] = read_results;
    h_put(fd, "abc", 3);
    H_UNTIL(loop, p->in_len == 3);
    shutdown(fd, SHUT_WR);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_int_equal(p->count[S_EOF], 1);
    close(fd);
}

/* Both ways a byte at a time, in packets of their own. */
static void echo_bytes(struct probe *p)
{
    char c;

    while (ac_recv(&p->base, &c, 1) == 1) {
        p->in_len++;
        assert_int_equal(ac_write(&p->base, &c, 1), 0);
    }
}

static void a_byte_at_a_time(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_small_pair(loop, p);
    uint8_t       data[3000], back[sizeof data];
    size_t        sent = 0, n = 0;

    p->on[S_READ] = echo_bytes;
    h_pattern(data, sizeof data, 0);
    struct h_bound bound = h_bound(20000);
    while (n < sizeof data) {
        if (sent < sizeof data && send(fd, data + sent, 1, MSG_NOSIGNAL) == 1)
            sent++;
        n += h_get(fd, back + n, 1);
        h_turn(loop, &bound, __FILE__, __LINE__);
    }
    assert_true(h_pattern_ok(back, sizeof data, 0));
    assert_int_equal(p->in_len, sizeof data);
    shutdown(fd, SHUT_WR);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    close(fd);
}

/* Reading outside a callback is allowed, and what it notes is told by the loop. */
static void recv_outside_a_callback(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);
    char          c[8];

    h_put(fd, "abc", 3);
    shutdown(fd, SHUT_WR);
    h_wait(h_fd(p), POLLRDHUP);
    assert_int_equal(ac_recv(&p->base, c, 8), 3);
    assert_int_equal(ac_recv(&p->base, c, 8), 0);
    assert_int_equal(h_total(p), 0);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    close(fd);
}

/* --- failures raised by handlers ------------------------------------------------------------- */

static void fail_in_read(struct probe *p)
{
    ac_fail(&p->base, EPROTO);
    ac_fail(&p->base, EIO); /* the first one stays */
    p->number = p->count[S_ERROR];
}

static void fail_in_error(struct probe *p)
{
    ac_fail(&p->base, EIO);
}

static void fail_in_close(struct probe *p)
{
    ac_fail(&p->base, EIO);
    ac_close(&p->base);
}

static void failed_by_a_handler(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    p->on[S_READ]  = fail_in_read;
    p->on[S_ERROR] = fail_in_error;
    p->on[S_CLOSE] = fail_in_close;
    h_put(fd, "x", 1);
    H_UNTIL(loop, p->finalized);
    assert_string_equal(p->order, "rez$");
    assert_int_equal(p->number, 0); /* told after the callback, not inside ac_fail() */
    assert_int_equal(p->err, -EPROTO);
    assert_int_equal(ac_error(&p->base), -EPROTO);
    close(fd);
}

static void failed_outside_a_turn(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    ac_fail(&p->base, -AC_ETOOLARGE);
    assert_int_equal(h_total(p), 0);
    H_UNTIL(loop, p->finalized);
    assert_string_equal(p->order, "ez$");
    assert_int_equal(p->err, -AC_ETOOLARGE);
    close(fd);
}

/* A handle_close that leaves the channel open: it is never called again and spins nothing. */
static void left_open_by_handle_close(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_WRITE | M_CLOSE);
    int           fd   = h_pair(loop, p);

    p->on[S_CLOSE] = stay_open;
    shutdown(fd, SHUT_WR);
    H_UNTIL(loop, p->count[S_CLOSE] == 1);
    unsigned calls = h_total(p);
    assert_true(ac_is_open(&p->base));
    close(fd);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 4);
    assert_int_equal(h_total(p), calls);
    ac_close(&p->base);
    H_UNTIL(loop, p->finalized);
}

/* --- out-of-band data ------------------------------------------------------------------------ */

static void take_oob(struct probe *p)
{
    assert_int_equal(ac_error(&p->base), 0);
    p->number = ac_oob(&p->base);
}

static void out_of_band(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS | M_EXPT);
    int           fd   = h_pair(loop, p);

    p->on[S_EXPT] = take_oob;
    assert_int_equal(ac_oob(&p->base), -EAGAIN);
    h_put(fd, "abc", 3);
    assert_int_equal(send(fd, "!", 1, MSG_OOB), 1);
    h_put(fd, "def", 3);
    H_UNTIL(loop, p->count[S_EXPT] == 1 && p->in_len == 6);
    assert_int_equal(p->number, '!');
    assert_memory_equal(p->in, "abcdef", 6);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 4);
    assert_int_equal(p->count[S_EXPT], 1);
    assert_int_equal(send(fd, "?", 1, MSG_OOB), 1);
    H_UNTIL(loop, p->count[S_EXPT] == 2);
    assert_int_equal(p->number, '?');
    assert_int_equal(p->count[S_ERROR] + p->count[S_CLOSE], 0);
    shutdown(fd, SHUT_WR);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    close(fd);
}

static void read_once(struct probe *p)
{
    char    buf[64];
    ssize_t n = ac_recv(&p->base, buf, sizeof buf);

    p->in_len += n > 0 ? (size_t)n : 0;
}

static void view_once(struct probe *p)
{
    const void *view;
    ssize_t     n = ac_read(&p->base, &view);

    p->in_len += n > 0 ? (size_t)n : 0;
}

static void two_bytes_once(struct probe *p)
{
    char    buf[2];
    ssize_t n = ac_recv(&p->base, buf, sizeof buf);

    p->in_len += n > 0 ? (size_t)n : 0;
}

static void no_hook(struct probe *p)
{
    (void)p;
}

/*
 * A read ends at the urgent byte, short of what is there. A handler that reads once a call gets
 * what is behind it all the same, whether it came in one packet or in several, with the byte taken
 * or not.
 */
static void data_behind_the_urgent_byte(void **state)
{
    static h_hook *const readers[] = {read_once, view_once, two_bytes_once};
    ac_loop             *loop      = *state;

    for (unsigned way = 0; way < 12; way++) {
        struct probe *p    = h_new(loop, ENDS | M_EXPT);
        int           fd   = h_pair(loop, p);
        size_t        want = 0;

        p->on[S_READ] = readers[way % 3];
        p->on[S_EXPT] = way / 6 == 0 ? take_oob : no_hook;
        for (unsigned round = 1; round <= 10; round++) {
            h_put(fd, "abc", 3);
            if (way % 2 == 1)
                H_UNTIL_IN(loop, 60, p->in_len == want + 3);
            assert_int_equal(send(fd, "!", 1, MSG_OOB), 1);
            if (way % 2 == 1)
                H_UNTIL_IN(loop, 60, p->count[S_EXPT] == round);
            h_put(fd, "defghi", 6);
            want += 9;
            H_UNTIL_IN(loop, 60, p->in_len == want && p->count[S_EXPT] == round);
        }
        shutdown(fd, SHUT_WR);
        H_UNTIL_IN(loop, 60, p->count[S_EOF] == 1);
        assert_int_equal(p->in_len, want);
        assert_true(h_idle(loop, 5 * AC_MILLISECOND) <= 4);
        close(fd);
        ac_close(&p->base);
    }
}

static void ignore_oob(struct probe *p)
{
    p->number++;
}

/* A handler that leaves the byte where it is does not spin; nor does a paused channel. */
static void out_of_band_not_taken(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS | M_EXPT);
    int           fd   = h_pair(loop, p);

    p->on[S_EXPT] = ignore_oob;
    assert_int_equal(ac_pause(&p->base), 0);
    h_put(fd, "abc", 3);
    assert_int_equal(send(fd, "!", 1, MSG_OOB), 1);
    assert_true(h_idle(loop, 50 * AC_MILLISECOND) <= 6);
    assert_int_equal(p->count[S_EXPT], 1);
    assert_int_equal(p->in_len, 0);
    assert_int_equal(ac_oob(&p->base), '!');
    assert_int_equal(ac_resume(&p->base), 0);
    H_UNTIL(loop, p->in_len == 3);
    close(fd);
}

/* Without the slot the byte is the kernel's affair, and the stream goes on around it. */
static void out_of_band_not_watched(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);

    h_put(fd, "abc", 3);
    assert_int_equal(send(fd, "!", 1, MSG_OOB), 1);
    h_put(fd, "def", 3);
    H_UNTIL(loop, p->in_len == 6);
    assert_memory_equal(p->in, "abcdef", 6);
    assert_true(h_idle(loop, 30 * AC_MILLISECOND) <= 4);
    close(fd);
}

static void out_of_band_sent(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS);
    int           fd   = h_pair(loop, p);
    char          c    = 0;

    assert_int_equal(ac_send_oob(&p->base, 'U'), 0);
    h_wait(fd, POLLPRI);
    assert_int_equal(recv(fd, &c, 1, MSG_OOB), 1);
    assert_int_equal(c, 'U');
    close(fd);
}

/* --- Unix sockets ---------------------------------------------------------------------------- */

static void unix_stream(void **state)
{
    ac_loop      *loop   = *state;
    struct probe *server = h_new(loop, M_ACCEPT), *p = h_new(loop, ENDS | M_CONNECT);
    char          dir[] = "/tmp/asyncore-test-XXXXXX", path[64], text[AC_ADDR_TEXT];
    ac_addr       addr, name;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/socket", dir);
    assert_int_equal(ac_addr_unix(&addr, path), 0);
    server->children = ENDS;
    assert_int_equal(ac_listen_addr(&server->base, &addr, 4), 0);
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    assert_int_equal(ac_write(&p->base, "over unix", 9), 0);
    H_UNTIL(loop, server->nchildren == 1 && server->child->in_len == 9);
    assert_memory_equal(server->child->in, "over unix", 9);
    assert_int_equal(p->count[S_CONNECT], 1);
    assert_int_equal(ac_peername(&p->base, &name), 0);
    assert_true(ac_addr_equal(&name, &addr));
    assert_non_null(strstr(ac_addr_format(&name, text, sizeof text), "unix:/tmp/asyncore-test-"));
    assert_int_equal(ac_write(&server->child->base, "back", 4), 0);
    ac_close_when_sent(&server->child->base);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_int_equal(p->in_len, 4);
    ac_close(&p->base);
    H_UNTIL(loop, server->child->finalized);
    unlink(path);
    rmdir(dir);
}

static void attached_socketpair(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, ENDS | M_CONNECT);
    int           fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    assert_int_equal(ac_attach(&p->base, ac_sock_from_fd(loop, fd[0])), 0);
    assert_true((fcntl(fd[0], F_GETFL) & O_NONBLOCK) != 0);
    assert_true(ac_is_connected(&p->base));
    h_put(fd[1], "hi", 2);
    close(fd[1]);
    H_UNTIL(loop, p->count[S_EOF] == 1);
    assert_int_equal(p->in_len, 2);
    assert_int_equal(p->count[S_CONNECT], 0);
}

static const struct CMUnitTest tests[] = {
    H_TEST(fin_with_data_pending),
    H_TEST(fin_with_data_read_in_pieces),
    H_TEST(end_after_an_exact_read),
    H_TEST(rst_with_data_pending),
    H_TEST(rst_read_in_pieces),
    H_TEST(rst_and_read_on),
    H_TEST(write_finds_the_reset),
    H_TEST(write_finds_the_reset_unread),
    H_TEST(write_finds_the_reset_after_the_end),
    H_TEST(closed_where_the_end_was_met),
    H_TEST(half_closed_by_the_peer),
    H_TEST(both_sides_shut),
    H_TEST(both_sides_shut_later),
    H_TEST(both_sides_shut_and_failed),
    H_TEST(half_closed_by_us),
    H_TEST(write_only_channel_is_reaped),
    H_TEST(paused_with_fin_and_data),
    H_TEST(paused_with_fin),
    H_TEST(paused_and_reset),
    H_TEST(paused_with_data_and_reset),
    H_TEST(paused_in_the_handler),
    H_TEST(view_without_a_copy),
    H_TEST(view_outlives_the_close),
    H_TEST(results_of_recv),
    H_TEST(a_byte_at_a_time),
    H_TEST(recv_outside_a_callback),
    H_TEST(failed_by_a_handler),
    H_TEST(failed_outside_a_turn),
    H_TEST(left_open_by_handle_close),
    H_TEST(out_of_band),
    H_TEST(data_behind_the_urgent_byte),
    H_TEST(out_of_band_not_taken),
    H_TEST(out_of_band_not_watched),
    H_TEST(out_of_band_sent),
    H_TEST(unix_stream),
    H_TEST(attached_socketpair),
};

H_MAIN(tests)
