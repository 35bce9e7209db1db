/* SPDX-License-Identifier: MIT */
/*
 * Rules 1, 2, 3 and 5 of lifetime: closing anything, anywhere, any number of times; memory that
 * lives to the end of the turn; one last call.
 */
#include "harness.h"

#include <fcntl.h>

/* --- a channel closes itself, in every slot -------------------------------------------------- */

static int other_slot; /* the slot under test */

/* Closes twice and tries every verb: all say that it is closed, none calls anything. */
static void close_self(struct probe *p)
{
    ac_dispatcher *d = &p->base;
    ac_sock        sock;
    const void    *view;
    char           c;

    ac_close(d);
    assert_false(ac_is_open(d));
    assert_int_equal(h_fd(p), -1);
    ac_close(d);
    ac_close_when_sent(d);
    ac_fail(d, EIO);
    assert_int_equal(ac_recv(d, &c, 1), -EBADF);
    assert_int_equal(ac_read(d, &view), -EBADF);
    assert_int_equal(ac_send(d, "x", 1), -EBADF);
    assert_int_equal(ac_write(d, "x", 1), -EBADF);
    assert_int_equal(ac_shutdown_write(d), -EBADF);
    assert_int_equal(ac_accept(d, &sock, NULL), -EBADF);
    assert_int_equal(ac_pause(d), -EBADF);
    assert_int_equal(ac_resume(d), -EBADF);
    assert_int_equal(ac_changed(d), -EBADF);
    assert_int_equal(ac_set_timeout(d, AC_IDLE, 1), -EBADF);
    assert_int_equal(ac_listen(d, "127.0.0.1", 0, 1), -EBADF);
    assert_int_equal(ac_connect(d, "127.0.0.1", 1), -EBADF);
    assert_int_equal(ac_queued(d), 0);
    p->number = h_total(p);
    p->rc     = (int)strlen(p->order);
}

static void self_closed(ac_loop *loop, struct probe *p)
{
    char want[3] = {H_LETTERS[other_slot], '$', '\0'};

    H_UNTIL(loop, p->finalized);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(p->count[other_slot], 1);
    assert_int_equal(p->count[S_FINALIZE], 1);
    assert_int_equal(h_total(p), p->number);
    assert_string_equal(p->order + strlen(p->order) - 2, want);
    assert_int_equal(h_stats(loop).channels, 0);
}

static struct probe *self_new(ac_loop *loop, int slot, unsigned slots)
{
    struct probe *p = h_new(loop, slots | 1U << slot);

    other_slot  = slot;
    p->on[slot] = close_self;
    return p;
}

static void self_in_connect(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = self_new(loop, S_CONNECT, M_READ | M_WRITE | M_CLOSE);
    ac_addr       addr;
    int           listener = h_raw_listen(&addr, "127.0.0.1", 1);

    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    self_closed(loop, p);
    close(listener);
}

static void self_in_accept(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = self_new(loop, S_ACCEPT, 0);
    ac_addr       addr;
    int           fd;

    assert_int_equal(ac_listen(&p->base, "127.0.0.1", 0, 8), 0);
    assert_int_equal(ac_addr_ip(&addr, "127.0.0.1", ac_local_port(&p->base)), 0);
    fd = h_raw_connect(&addr);
    self_closed(loop, p);
    close(fd);
}

/* Data and the end of the stream wait together: the end is not told after the close. */
static void self_in_read(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = self_new(loop, S_READ, M_EOF | M_CLOSE | M_WRITE | M_ERROR);
    int           fd   = h_pair(loop, p);

    h_put(fd, "data", 4);
    close(fd);
    h_wait(h_fd(p), POLLRDHUP);
    self_closed(loop, p);
}

static void self_in_write(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = self_new(loop, S_WRITE, M_CONNECT | M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    self_closed(loop, p);
    close(fd);
}

static void self_in_eof(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = self_new(loop, S_EOF, M_READ | M_CLOSE | M_WRITE);
    int           fd   = h_pair(loop, p);

    shutdown(fd, SHUT_WR);
    self_closed(loop, p);
    assert_int_equal(p->count[S_CLOSE], 0);
    close(fd);
}

static void self_in_drain(void **state)
{
    static uint8_t big[900000];
    ac_loop       *loop = *state;
    struct probe  *p    = self_new(loop, S_DRAIN, M_READ | M_CLOSE);
    int            fd   = h_pair(loop, p);

    while (ac_queued(&p->base) < 65536)
        assert_int_equal(ac_write(&p->base, big, sizeof big), 0);
    struct h_bound bound = h_bound(5000);
    while (!p->finalized) {
        while (h_get(fd, big, sizeof big) > 0) {
        }
        h_turn(loop, &bound, __FILE__, __LINE__);
    }
    self_closed(loop, p);
    close(fd);
}

static void refused(ac_addr *addr)
{
    int listener = h_raw_listen(addr, "127.0.0.1", 1);

    close(listener);
}

static void self_in_expt_failed(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = self_new(loop, S_EXPT, M_CONNECT | M_ERROR | M_CLOSE | M_READ);
    ac_addr       addr;

    refused(&addr);
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    self_closed(loop, p);
    assert_int_equal(p->count[S_CLOSE] + p->count[S_ERROR], 0);
}

static void self_in_expt_oob(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = self_new(loop, S_EXPT, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    assert_int_equal(send(fd, "!", 1, MSG_OOB), 1);
    self_closed(loop, p);
    close(fd);
}

static void self_in_error(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = self_new(loop, S_ERROR, M_CONNECT | M_CLOSE | M_READ);
    ac_addr       addr;

    refused(&addr);
    assert_int_equal(ac_connect_addr(&p->base, &addr), 0);
    self_closed(loop, p);
    assert_int_equal(p->count[S_CLOSE], 0);
    assert_int_equal(ac_error(&p->base), -ECONNREFUSED);
}

static void self_in_close(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = self_new(loop, S_CLOSE, M_READ);
    int           fd   = h_pair(loop, p);

    close(fd);
    self_closed(loop, p);
}

static void again_in_finalize(struct probe *p)
{
    ac_close(&p->base);
    assert_int_equal(ac_write(&p->base, "x", 1), -EBADF);
}

static void self_in_finalize(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ);
    int           fd   = h_pair(loop, p);

    p->on[S_FINALIZE] = again_in_finalize;
    ac_close(&p->base);
    H_UNTIL(loop, p->finalized);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(p->count[S_FINALIZE], 1);
    close(fd);
}

/* --- a channel closes others that are ready in the same batch -------------------------------- */

static void close_other(struct probe *p)
{
    ac_close(&p->other->base);
    h_take(p);
}

/* Whichever comes first closes the other; the event of the other is dropped. */
static void sibling_in_read(void **state)
{
    ac_loop      *loop = *state;
    struct probe *a = h_new(loop, M_READ | M_CLOSE), *b = h_new(loop, M_READ | M_CLOSE);
    int           fa = h_pair(loop, a), fb = h_pair(loop, b);

    h_idle(loop, AC_MILLISECOND);
    a->other      = b;
    b->other      = a;
    a->on[S_READ] = b->on[S_READ] = close_other;
    h_put(fa, "a", 1);
    h_put(fb, "b", 1);
    h_wait(h_fd(a), POLLIN);
    h_wait(h_fd(b), POLLIN);
    uint64_t stale = h_stats(loop).stale_events;
    assert_true(ac_loop_turn(loop, AC_SECOND) >= 1);
    assert_int_equal(a->count[S_READ] + b->count[S_READ], 1);
    assert_int_equal(a->finalized + b->finalized, 1);
    assert_true(h_stats(loop).stale_events > stale);
    h_idle(loop, 5 * AC_MILLISECOND);
    assert_int_equal(a->count[S_READ] + b->count[S_READ], 1);
    close(fa);
    close(fb);
}

enum { CROWD = 40 };

static void close_everything(struct probe *p)
{
    p->rc = ac_close_all(p->base.loop);
    assert_int_equal(ac_close_all(p->base.loop), 0);
}

static void all_siblings_in_read(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p[CROWD];
    int           fd[CROWD];
    unsigned      reads = 0;

    for (int i = 0; i < CROWD; i++) {
        p[i]             = h_new(loop, M_READ | M_WRITE | M_CLOSE | M_EOF);
        fd[i]            = h_pair(loop, p[i]);
        p[i]->on[S_READ] = close_everything;
    }
    h_idle(loop, AC_MILLISECOND);
    for (int i = 0; i < CROWD; i++) {
        h_put(fd[i], "x", 1);
        h_wait(h_fd(p[i]), POLLIN);
    }
    uint64_t stale = h_stats(loop).stale_events;
    assert_true(ac_loop_turn(loop, AC_SECOND) >= 1);
    for (int i = 0; i < CROWD; i++) {
        reads += p[i]->count[S_READ];
        assert_int_equal(p[i]->count[S_FINALIZE], 1);
        assert_int_equal(p[i]->count[S_CLOSE] + p[i]->count[S_EOF], 0);
        if (p[i]->count[S_READ] > 0)
            assert_int_equal(p[i]->rc, CROWD);
        close(fd[i]);
    }
    assert_int_equal(reads, 1);
    assert_true(h_stats(loop).stale_events >= stale + CROWD - 1);
    assert_int_equal(h_stats(loop).channels, 0);
}

static void close_all_with_a_hook(struct probe *p)
{
    (void)ac_close_all(p->base.loop);
}

/* The peers of as many as may be closed in one callback see it when the run is over. */
static void all_peers_see_the_close(void **state)
{
    enum { N = 300 };
    static int fd[N];
    ac_loop   *loop = *state;

    for (int i = 0; i < N; i++) {
        struct probe *p = h_new(loop, M_READ | M_CLOSE);

        fd[i]         = h_pair(loop, p);
        p->on[S_READ] = close_all_with_a_hook;
    }
    h_idle(loop, AC_MILLISECOND);
    h_put(fd[N - 1], "x", 1);
    assert_int_equal(ac_run(loop), 0);
    for (int i = 0; i < N; i++) {
        assert_true(h_ended(fd[i]));
        close(fd[i]);
    }
}

/* The other slots in which a sibling with an event of its own is closed. */
static void sibling_case(ac_loop *loop, int slot)
{
    struct probe *p  = h_new(loop, M_READ | M_CLOSE | 1U << slot);
    struct probe *q  = h_new(loop, M_READ | M_CLOSE | M_EOF | M_ERROR);
    int           fp = h_pair(loop, p), fq = h_pair(loop, q);

    h_idle(loop, AC_MILLISECOND);
    p->on[slot] = close_other;
    p->other    = q;
    if (slot == S_EXPT)
        assert_int_equal(send(fp, "!", 1, MSG_OOB), 1);
    else if (slot == S_ERROR)
        h_reset(fp);
    else if (slot == S_WRITE)
        ac_changed(&p->base);
    else
        shutdown(fp, SHUT_WR);
    if (slot != S_WRITE)
        h_wait(h_fd(p), POLLIN | POLLPRI | POLLHUP | POLLRDHUP);
    /* The sibling gets its bytes behind, in the order of the descriptors and of their arrival. */
    h_put(fq, "q", 1);
    h_wait(h_fd(q), POLLIN);
    H_UNTIL(loop, p->count[slot] > 0);
    h_idle(loop, 2 * AC_MILLISECOND);
    assert_true(q->finalized);
    assert_true(q->count[S_READ] <= 1);
    assert_int_equal(h_total(q), q->count[S_READ]);
    ac_close(&p->base);
    h_idle(loop, AC_MILLISECOND);
    if (slot != S_ERROR)
        close(fp);
    close(fq);
}

static void sibling_in_other_slots(void **state)
{
    static const int slots[] = {S_WRITE, S_EOF, S_EXPT, S_CLOSE, S_ERROR};

    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        sibling_case(*state, slots[i]);
}

/* --- closing what never was, and outside a turn ---------------------------------------------- */

static void never_opened(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ);

    ac_close(NULL);
    assert_false(ac_is_open(NULL));
    ac_close(&p->base);
    ac_close(&p->base);
    h_idle(loop, AC_MILLISECOND);
    assert_int_equal(p->count[S_FINALIZE], 0);
    assert_int_equal(h_stats(loop).channels, 0);
}

static unsigned heap_finalized;

static void heap_finalize(ac_dispatcher *d)
{
    (void)d;
    heap_finalized++;
}

static const ac_class heap_class = {.name = "Heap", .finalize = heap_finalize};

static void new_never_opened(void **state)
{
    ac_loop       *loop = *state;
    ac_dispatcher *d    = ac_new(ac_dispatcher, loop, &heap_class);

    heap_finalized = 0;
    assert_non_null(d);
    ac_close(d);
    ac_close(d);
    assert_int_equal(heap_finalized, 0);
    assert_int_equal(ac_run(loop), 0); /* waits for the finalizer */
    assert_int_equal(heap_finalized, 1);
}

static void new_freed_with_the_loop(void **state)
{
    ac_loop       *loop = *state;
    ac_dispatcher *d    = ac_new(ac_dispatcher, loop, &heap_class);

    heap_finalized = 0;
    ac_close(d);
    assert_int_equal(ac_loop_free(loop), 0);
    H_LOOP_GONE(state);
    assert_int_equal(heap_finalized, 1);
}

/* The descriptor closes at once, the last call comes with the next turn. */
static void outside_a_turn(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    ac_close(&p->base);
    h_wait(fd, POLLIN);
    assert_true(h_ended(fd));
    assert_int_equal(p->count[S_FINALIZE], 0);
    assert_int_equal(h_stats(loop).channels, 1);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(p->count[S_FINALIZE], 1);
    assert_int_equal(h_stats(loop).channels, 0);
    close(fd);
}

/* --- memory to the end of the turn; the end of the storage ----------------------------------- */

struct letter {
    ac_dispatcher  base;
    struct letter *sibling;
    char           text[16];
};

static unsigned letters_read;

static void letter_read(ac_dispatcher *d)
{
    struct letter *self = AC_SELF(struct letter, d);

    letters_read++;
    ac_close(&self->sibling->base);
    ac_close(d);
    strcpy(self->sibling->text, "still here");
    strcpy(self->text, self->sibling->text);
    assert_string_equal(self->text, "still here");
    assert_ptr_equal(self->sibling->base.loop, d->loop);
}

static const ac_class letter_class = {.name = "Letter", .handle_read = letter_read};

static void memory_lives_to_the_end_of_the_turn(void **state)
{
    ac_loop       *loop = *state;
    struct letter *a    = ac_new(struct letter, loop, &letter_class);
    struct letter *b    = ac_new(struct letter, loop, &letter_class);
    int            fa[2], fb[2];

    letters_read = 0;
    a->sibling   = b;
    b->sibling   = a;
    h_raw_pair(fa);
    h_raw_pair(fb);
    assert_int_equal(ac_attach(&a->base, ac_sock_from_fd(loop, fa[0])), 0);
    assert_int_equal(ac_attach(&b->base, ac_sock_from_fd(loop, fb[0])), 0);
    h_put(fa[1], "x", 1);
    h_put(fb[1], "x", 1);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(letters_read, 1);
    assert_int_equal(h_stats(loop).channels, 0);
    close(fa[1]);
    close(fb[1]);
}

/* Storage of the caller's is freed in finalize: under ASan nothing may touch it afterwards. */
static void free_in_finalize(ac_dispatcher *d)
{
    memset(h_of(d), 0xA5, sizeof(struct probe));
    free(h_of(d));
    heap_finalized++;
}

static void storage_freed_in_finalize(void **state)
{
    ac_loop *loop = *state;
    int      fd[3];

    heap_finalized = 0;
    for (int i = 0; i < 3; i++) {
        struct probe *p = calloc(1, sizeof *p);

        h_init(p, loop, M_READ | M_CLOSE);
        p->cls.finalize = free_in_finalize;
        fd[i]           = h_pair(loop, p);
        ac_set_timeout(&p->base, AC_IDLE, 50 * AC_MILLISECOND);
        if (i == 1)
            ac_close(&p->base);
        else if (i == 2)
            ac_write(&p->base, "bye", 3);
    }
    close(fd[0]);
    H_UNTIL(loop, heap_finalized == 3);
    h_idle(loop, 60 * AC_MILLISECOND); /* beyond the deadlines, which must be gone */
    close(fd[1]);
    close(fd[2]);
}

/* finalize opens the same storage anew: a reconnect. */
static ac_addr reconnect_to;

static void reconnect(struct probe *p)
{
    if (++p->number == 4)
        return;
    p->finalized = false;
    h_init(p, p->base.loop, M_CONNECT | M_READ | M_CLOSE);
    assert_int_equal(ac_connect_addr(&p->base, &reconnect_to), 0);
}

static void storage_reused_in_finalize(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_CONNECT | M_READ | M_CLOSE);
    int           listener;

    listener          = h_raw_listen(&reconnect_to, "127.0.0.1", 8);
    p->on[S_FINALIZE] = reconnect;
    assert_int_equal(ac_connect_addr(&p->base, &reconnect_to), 0);
    struct h_bound bound = h_bound(2000);
    while (p->number < 4) {
        if (ac_is_connected(&p->base)) {
            int fd = accept(listener, NULL, NULL);

            h_put(fd, "hello", 5);
            close(fd);
            h_wait(h_fd(p), POLLRDHUP);
        }
        h_turn(loop, &bound, __FILE__, __LINE__);
    }
    assert_string_equal(p->order, "crz$crz$crz$crz$");
    assert_int_equal(p->in_len, 20);
    assert_int_equal(h_stats(loop).channels, 0);
    close(listener);
}

/* --- freeing the loop ------------------------------------------------------------------------ */

static int      posted_status;
static unsigned fired;

static void posted(ac_work *work, int status)
{
    (void)work;
    posted_status = status;
}

static void fire(ac_timer *t)
{
    (void)t;
    fired++;
}

static void close_sibling_in_finalize(struct probe *p)
{
    ac_close(&p->other->base);
}

static void loop_freed_with_live_channels(void **state)
{
    static uint8_t big[300000];
    ac_loop       *loop   = *state;
    struct probe  *server = h_new(loop, M_ACCEPT), *connecting = h_new(loop, M_CONNECT | M_READ);
    struct probe  *stream = h_new(loop, M_READ | M_CLOSE), *dgram = h_new(loop, M_READ);
    struct probe  *goodbye = h_new(loop, M_READ | M_CLOSE), *named = h_new(loop, M_READ);
    struct probe  *owed  = h_new(loop, M_READ | M_CLOSE);
    struct probe  *all[] = {server, connecting, stream, dgram, goodbye, named, owed};
    ac_addr        addr;
    ac_timer       timer;
    ac_work        work = {.run = posted};
    int            fs = h_pair(loop, stream), fg = h_pair(loop, goodbye), fo = h_pair(loop, owed);
    int            listener = h_raw_listen(&addr, "127.0.0.1", 1);

    posted_status = 1;
    fired         = 0;
    assert_int_equal(ac_listen(&server->base, "127.0.0.1", 0, 1), 0);
    assert_int_equal(ac_connect_addr(&connecting->base, &addr), 0);
    assert_int_equal(ac_listen_udp(&dgram->base, "127.0.0.1", 0), 0);
    assert_int_equal(ac_connect(&named->base, "localhost", 9), 0);
    assert_int_equal(ac_write(&stream->base, big, sizeof big), 0);
    assert_int_equal(ac_write(&goodbye->base, big, sizeof big), 0);
    ac_close_when_sent(&goodbye->base);
    ac_close(&owed->base);
    stream->on[S_FINALIZE] = server->on[S_FINALIZE] = close_sibling_in_finalize;
    stream->other                                   = server;
    server->other                                   = stream;
    ac_timer_init(&timer, loop, fire);
    assert_int_equal(ac_timer_start(&timer, 0), 0);
    ac_post(loop, &work);
    h_put(fs, "x", 1);

    assert_int_equal(ac_loop_free(loop), 0);
    H_LOOP_GONE(state);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(all[i]->count[S_FINALIZE], 1);
        assert_int_equal(all[i]->count[S_READ] + all[i]->count[S_CLOSE], 0);
    }
    assert_int_equal(posted_status, -ECANCELED);
    assert_int_equal(fired, 0);
    assert_false(ac_timer_running(&timer));
    close(fs);
    close(fg);
    close(fo);
    close(listener);
}

static void free_the_loop(struct probe *p)
{
    p->rc = ac_loop_free(p->base.loop);
    h_take(p);
}

static void loop_not_freed_in_a_callback(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    p->on[S_READ] = free_the_loop;
    h_put(fd, "x", 1);
    H_UNTIL(loop, p->count[S_READ] > 0);
    h_put(fd, "y", 1);
    H_UNTIL(loop, p->in_len == 2);
    p->on[S_READ] = NULL;
    h_put(fd, "z", 1);
    H_UNTIL(loop, p->in_len == 3);
    close(fd);
}

static void busy_in_finalize(struct probe *p)
{
    p->rc = ac_loop_free(p->base.loop);
}

static void loop_not_freed_in_finalize(void **state)
{
    ac_loop      *loop = *state;
    struct probe *p    = h_new(loop, M_READ | M_CLOSE);
    int           fd   = h_pair(loop, p);

    p->on[S_FINALIZE] = busy_in_finalize;
    ac_close(&p->base);
    H_UNTIL(loop, p->finalized);
    assert_int_equal(p->rc, -EBUSY);
    close(fd);
}

static const struct CMUnitTest tests[] = {
    H_TEST(self_in_connect),
    H_TEST(self_in_accept),
    H_TEST(self_in_read),
    H_TEST(self_in_write),
    H_TEST(self_in_eof),
    H_TEST(self_in_drain),
    H_TEST(self_in_expt_failed),
    H_TEST(self_in_expt_oob),
    H_TEST(self_in_error),
    H_TEST(self_in_close),
    H_TEST(self_in_finalize),
    H_TEST(sibling_in_read),
    H_TEST(all_siblings_in_read),
    H_TEST(all_peers_see_the_close),
    H_TEST(sibling_in_other_slots),
    H_TEST(never_opened),
    H_TEST(new_never_opened),
    H_TEST(new_freed_with_the_loop),
    H_TEST(outside_a_turn),
    H_TEST(memory_lives_to_the_end_of_the_turn),
    H_TEST(storage_freed_in_finalize),
    H_TEST(storage_reused_in_finalize),
    H_TEST(loop_freed_with_live_channels),
    H_TEST(loop_not_freed_in_a_callback),
    H_TEST(loop_not_freed_in_finalize),
};

H_MAIN(tests)
