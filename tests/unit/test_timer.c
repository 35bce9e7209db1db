/* SPDX-License-Identifier: MIT */
/* Timers: their order, what callbacks may do with them, and that none is ever early. */
#define HARNESS_BARE
#include "harness.h"

#include <sys/wait.h>

struct mark {
    ac_timer  timer;
    int64_t   deadline; /* as the test reckons it */
    int64_t   at;       /* the loop's time when it fired */
    unsigned  number;
    unsigned  fired;
    ac_timer *other;
};

static struct mark *fired[256];
static unsigned     nfired;

static void fire_mark(ac_timer *t)
{
    struct mark *m = AC_CONTAINER(struct mark, timer, t);

    assert_false(ac_timer_running(t));
    assert_true(ac_loop_now(t->loop) >= m->deadline);
    assert_true(h_now() >= m->deadline);
    m->at = ac_loop_now(t->loop);
    m->fired++;
    if (nfired < sizeof fired / sizeof fired[0])
        fired[nfired] = m;
    nfired++;
}

static void start(struct mark *m, ac_loop *loop, int64_t delay)
{
    assert_int_equal(ac_timer_start(&m->timer, delay), 0);
    m->deadline = ac_loop_now(loop) + (delay < 0 ? 0 : delay);
    assert_true(ac_timer_running(&m->timer));
}

/* --- order and time ----------------------------------------------------------------------------- */

static void fires_once_and_not_early(void **state)
{
    static const int64_t delays[] = {0, 1, 999, 1000, 999999, 1000000, 1500000, 20000001};
    ac_loop             *loop     = *state;
    struct mark          m        = {.number = 0};

    ac_timer_init(&m.timer, loop, fire_mark);
    assert_false(ac_timer_running(&m.timer));
    for (unsigned i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        int64_t begin = h_now();

        ac_loop_update(loop);
        start(&m, loop, delays[i]);
        assert_int_equal(ac_run(loop), 0);
        assert_int_equal(m.fired, i + 1);
        assert_true(h_now() - begin >= delays[i]);
        assert_true(h_now() - begin < delays[i] + AC_SECOND);
    }
    assert_int_equal(ac_loop_turn(loop, 0), 0);
    assert_int_equal(m.fired, sizeof delays / sizeof delays[0]);
}

/* Few turns: a timer must not have the loop look again and again whether it is due. */
static void waits_in_one_go(void **state)
{
    ac_loop    *loop = *state;
    struct mark m    = {.number = 0};
    uint64_t    before;

    ac_timer_init(&m.timer, loop, fire_mark);
    assert_int_equal(ac_loop_turn(loop, 0), 0);
    before = h_stats(loop).turns;
    start(&m, loop, 30 * AC_MILLISECOND);
    assert_int_equal(ac_run(loop), 0);
    assert_true(h_stats(loop).turns - before <= 3);
}

static void by_deadline_then_by_start(void **state)
{
    enum { N = 256, STEPS = 7 };
    static struct mark m[N];
    ac_loop           *loop = *state;
    unsigned           seed = 99;

    nfired = 0;
    for (unsigned i = 0; i < N; i++) {
        m[i] = (struct mark){.number = i};
        ac_timer_init(&m[i].timer, loop, fire_mark);
        start(&m[i], loop, rand_r(&seed) % STEPS * AC_MILLISECOND);
    }
    assert_int_equal(h_stats(loop).timers, N);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(nfired, N);
    for (unsigned i = 1; i < N; i++) {
        assert_true(fired[i - 1]->deadline <= fired[i]->deadline);
        if (fired[i - 1]->deadline == fired[i]->deadline)
            assert_true(fired[i - 1]->number < fired[i]->number);
    }
    assert_int_equal(h_stats(loop).timers, 0);
}

/* Starting anew counts as a start: it goes behind those of the same deadline. */
static void starting_anew_moves(void **state)
{
    static struct mark m[3];
    ac_loop           *loop = *state;

    nfired = 0;
    for (unsigned i = 0; i < 3; i++) {
        m[i] = (struct mark){.number = i};
        ac_timer_init(&m[i].timer, loop, fire_mark);
        start(&m[i], loop, AC_MILLISECOND);
    }
    start(&m[0], loop, AC_MILLISECOND);
    assert_int_equal(h_stats(loop).timers, 3);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(nfired, 3);
    assert_int_equal(fired[0]->number, 1);
    assert_int_equal(fired[1]->number, 2);
    assert_int_equal(fired[2]->number, 0);
    /* To later, and to sooner. */
    nfired = 0;
    start(&m[0], loop, 0);
    start(&m[1], loop, AC_MILLISECOND);
    start(&m[2], loop, AC_SECOND);
    start(&m[0], loop, 2 * AC_MILLISECOND);
    start(&m[2], loop, 0);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(fired[0]->number, 2);
    assert_int_equal(fired[1]->number, 1);
    assert_int_equal(fired[2]->number, 0);
}

/* --- a plain table as the oracle --------------------------------------------------------------- */

/* A clock that stands still until the test moves it. */
static int64_t clock_now;

static int64_t stopped_clock(ac__sys *s)
{
    (void)s;
    return clock_now;
}

static ac_loop *loop_of_a_clock(int64_t (*read)(ac__sys *s), int64_t begin)
{
    static ac__sys sys;

    sys           = ac__sys_posix;
    sys.monotonic = read;
    clock_now     = begin;
    return ac__loop_new_sys(NULL, &sys);
}

static ac_loop *loop_of_a_stopped_clock(int64_t begin)
{
    return loop_of_a_clock(stopped_clock, begin);
}

/* One that moves by its being read. */
static int64_t counting_clock(ac__sys *s)
{
    (void)s;
    return ++clock_now;
}

static void nothing(ac_timer *t)
{
    (void)t;
}

/* A turn without timers reads no clock until it is asked for the time; then that is the turn's. */
static void clock_read_by_who_asks(void **state)
{
    ac_loop *loop = loop_of_a_clock(counting_clock, 1000);
    ac_timer t;
    int64_t  now;

    (void)state;
    assert_int_equal(ac_loop_turn(loop, 0), 0);
    now = clock_now;
    for (int i = 0; i < 10; i++)
        assert_int_equal(ac_loop_turn(loop, 0), 0);
    assert_int_equal(clock_now, now);
    assert_int_equal(ac_loop_now(loop), now + 1);
    assert_int_equal(ac_loop_now(loop), now + 1);
    /* With a timer it is read in each turn, and a turn's time stands still in it. */
    ac_timer_init(&t, loop, nothing);
    assert_int_equal(ac_timer_start(&t, AC_SECOND), 0);
    for (int i = 0; i < 10; i++) {
        now = clock_now;
        assert_int_equal(ac_loop_turn(loop, 0), 0);
        assert_true(clock_now > now);
        assert_int_equal(ac_loop_now(loop), clock_now);
    }
    ac_timer_stop(&t);
    assert_int_equal(ac_loop_free(loop), 0);
}

enum { MODEL = 150 };

static struct model {
    ac_timer timer;
    int64_t  deadline;
    uint64_t seq; /* of its start */
    bool     running;
} model[MODEL];

static uint64_t model_seq, model_random, model_fired, model_nested;
static unsigned model_running;
/* The pass under way: its time, and the first start that is not for it. */
static int64_t  pass_now;
static uint64_t pass_limit;

static uint64_t below(uint64_t limit)
{
    model_random = model_random * 6364136223846793005U + 1442695040888963407U;
    return (model_random >> 33) % limit;
}

/* Any length up to `bits` bits, short and long ones as often; often about a power of 64. */
static int64_t some_time(unsigned bits)
{
    uint64_t bit  = below(bits + 1);
    uint64_t wide = below(UINT64_C(1) << 31) << 31 | below(UINT64_C(1) << 31);

    if (below(3) != 0)
        return (int64_t)(wide & ((UINT64_C(1) << bit) - 1));
    return (int64_t)((UINT64_C(1) << bit / 6 * 6) + below(3)) - 1;
}

static void model_start(struct model *m)
{
    static const int64_t special[] = {-1, 0, 0, 1, AC_FOREVER, AC_FOREVER - 1};
    ac_loop             *loop      = m->timer.loop;
    int64_t              delay     = some_time(below(8) == 0 ? 62 : 40);
    int64_t              now;

    if (below(4) == 0)
        delay = special[below(sizeof special / sizeof special[0])];
    else if (below(4) == 0) /* to a boundary exactly */
        delay = (INT64_C(1) << below(8) * 6) - clock_now % (INT64_C(1) << below(8) * 6);
    if (below(8) == 0 && m->seq != 0) {
        delay = m->timer.interval_;
        assert_int_equal(ac_timer_again(&m->timer), 0);
    } else {
        assert_int_equal(ac_timer_start(&m->timer, delay), 0);
    }
    now   = ac_loop_now(loop);
    delay = delay < 0 ? 0 : delay;
    model_running += !m->running;
    m->running  = true;
    m->deadline = delay > INT64_MAX - now ? INT64_MAX : now + delay;
    m->seq      = ++model_seq;
    assert_int_equal(h_stats(loop).timers, model_running);
}

static void model_stop(struct model *m)
{
    assert_int_equal(ac_timer_running(&m->timer), m->running);
    ac_timer_stop(&m->timer);
    assert_false(ac_timer_running(&m->timer));
    model_running -= m->running;
    m->running = false;
}

/* The first of those that run; with `due`, of those that the pass under way is to fire. */
static struct model *model_first(bool due)
{
    struct model *first = NULL;

    for (unsigned i = 0; i < MODEL; i++) {
        struct model *m = &model[i];

        if (!m->running || (due && (m->deadline > pass_now || m->seq > pass_limit)))
            continue;
        if (first == NULL || m->deadline < first->deadline
            || (m->deadline == first->deadline && m->seq < first->seq))
            first = m;
    }
    return first;
}

static void model_turn(ac_loop *loop, bool nested)
{
    int64_t  outer_now   = pass_now;
    uint64_t outer_limit = pass_limit;

    pass_now   = clock_now;
    pass_limit = model_seq;
    assert_true((nested ? ac__turn_nested(loop, 0) : ac_loop_turn(loop, 0)) >= 0);
    assert_null(model_first(true));
    pass_now   = outer_now;
    pass_limit = outer_limit;
}

static void fire_model(ac_timer *t)
{
    struct model *m = AC_CONTAINER(struct model, timer, t);

    assert_ptr_equal(m, model_first(true));
    assert_true(m->deadline <= ac_loop_now(t->loop));
    assert_false(ac_timer_running(t));
    m->running = false;
    model_running--;
    model_fired++;
    for (uint64_t n = below(3); n > 0; n--) {
        struct model *other = below(2) == 0 ? m : &model[below(MODEL)];

        if (below(4) == 0)
            model_stop(other);
        else
            model_start(other);
    }
    if (below(10) == 0) {
        clock_now += some_time(20);
        ac_loop_update(t->loop);
    }
    if (below(50) == 0 && t->loop->level < 3) {
        model_nested++;
        model_turn(t->loop, true);
    }
}

/* How long the loop would wait: to the first deadline, or where many run perhaps to before it. */
static void model_wait(ac_loop *loop)
{
    const struct model *first = model_first(false);
    int64_t             exact = AC_FOREVER, timeout;

    if (first != NULL && first->deadline != AC_FOREVER)
        exact = first->deadline > clock_now ? first->deadline - clock_now : 0;
    assert_int_equal(ac_loop_prepare(loop, &timeout), 0);
    assert_true(timeout <= exact && (timeout > 0 || exact == 0));
    if (model_running <= 16)
        assert_true(timeout == exact);
}

static void as_the_model(uint64_t seed, int64_t begin)
{
    ac_loop *loop = loop_of_a_stopped_clock(begin);
    unsigned lean = 1;

    model_random = seed;
    model_seq = model_fired = model_nested = model_running = 0;
    memset(model, 0, sizeof model);
    for (unsigned i = 0; i < MODEL; i++)
        ac_timer_init(&model[i].timer, loop, fire_model);
    for (int step = 0; step < 200000; step++) {
        struct model *m = &model[below(MODEL)];

        if (step % 5000 == 0) /* now many run, now few */
            lean = step / 5000 % 2 == 0 ? 1 : 12;
        switch (below(6)) {
        case 0:
            clock_now += some_time(below(2000) == 0 ? 54 : 32);
            model_turn(loop, false);
            break;
        case 1:
            model_wait(loop);
            break;
        case 2:
        case 3:
            for (unsigned i = 0; i < lean; i++)
                model_stop(&model[below(MODEL)]);
            break;
        default:
            model_start(m);
        }
    }
    assert_true(model_fired > 20000);
    assert_true(model_nested > 100);
    for (unsigned i = 0; i < MODEL; i++)
        model_stop(&model[i]);
    model_wait(loop);
    assert_int_equal(ac_loop_free(loop), 0);
}

static void random_starts_stops_and_turns(void **state)
{
    (void)state;
    as_the_model(1, 1);
    as_the_model(2, (INT64_C(1) << 42) - 1000);
    as_the_model(3, INT64_C(3) << 60);
}

static unsigned many_fired;
static int64_t  many_last;

static void fire_many(ac_timer *t)
{
    assert_true(t->deadline_ >= many_last);
    assert_true(t->deadline_ <= ac_loop_now(t->loop));
    many_last = t->deadline_;
    many_fired++;
}

static void fire_exactly(ac_timer *t)
{
    assert_int_equal(t->deadline_, clock_now);
    fire_many(t);
}

/* Sleeps for as long as the loop would, by the stopped clock, until all have fired. Returns in how
 * many turns none did. */
static unsigned sleep_through(ac_loop *loop)
{
    unsigned empty = 0;
    int64_t  timeout;

    many_fired = 0;
    many_last  = 0;
    while (h_stats(loop).timers > 0) {
        unsigned before = many_fired;

        assert_int_equal(ac_loop_prepare(loop, &timeout), 0);
        assert_true(timeout < AC_FOREVER);
        clock_now += timeout;
        assert_true(ac_loop_turn(loop, 0) >= 0);
        empty += many_fired == before;
    }
    return empty;
}

/* A loop sleeps to its next timer in one go, however far that is off. */
static void no_turn_is_wasted(void **state)
{
    ac_loop *loop = loop_of_a_stopped_clock(1234567890123);
    ac_timer few[16];

    (void)state;
    for (unsigned bit = 0; bit <= 60; bit++) {
        for (unsigned i = 0; i < 16; i++) {
            ac_timer_init(&few[i], loop, fire_exactly);
            assert_int_equal(ac_timer_start(&few[i], (INT64_C(1) << bit) + (i * 5 % 16) * 1000), 0);
        }
        ac_timer_stop(&few[0]); /* the first */
        assert_int_equal(sleep_through(loop), 0);
        assert_int_equal(many_fired, 15);
    }
    assert_int_equal(ac_loop_free(loop), 0);
}

/* Where many run a turn may find nothing to fire; it has taken more than 16 of them a level down. */
static void few_turns_are_wasted(void **state)
{
    enum { N = 20000 };
    ac_loop  *loop = loop_of_a_stopped_clock(987654321098765);
    ac_timer *t    = calloc(N, sizeof *t);

    (void)state;
    assert_non_null(t);
    model_random = 5;
    for (unsigned i = 0; i < N; i++) {
        int64_t delay = (int64_t)below(UINT64_C(1) << 31) * 14;

        ac_timer_init(&t[i], loop, fire_exactly);
        assert_int_equal(ac_timer_start(&t[i], delay), 0);
    }
    assert_true(sleep_through(loop) < N / 10);
    assert_int_equal(many_fired, N);
    free(t);
    assert_int_equal(ac_loop_free(loop), 0);
}

static void fire_not_early(ac_timer *t)
{
    assert_true(t->deadline_ <= ac_loop_now(t->loop));
    many_fired++;
}

/* A clock that goes back is a fault of the system's. No timer is early for it, and none is lost. */
static void clock_that_goes_back(void **state)
{
    enum { N = 2000 };
    int64_t  begin = INT64_C(1) << 50, least, most;
    ac_loop *loop  = loop_of_a_stopped_clock(begin);
    ac_timer t[N];

    (void)state;
    model_random = 7;
    many_fired   = 0;
    for (unsigned i = 0; i < N; i++) {
        ac_timer_init(&t[i], loop, fire_not_early);
        assert_int_equal(ac_timer_start(&t[i], some_time(20)), 0);
        clock_now = begin + some_time(18) - some_time(20);
        if (i % 32 == 0)
            assert_true(ac_loop_turn(loop, 0) >= 0);
    }
    least = most = clock_now;
    for (unsigned i = 0; i < N; i++) {
        least = t[i].deadline_ < least ? t[i].deadline_ : least;
        most  = t[i].deadline_ > most ? t[i].deadline_ : most;
    }
    assert_true(least < begin);
    clock_now = most;
    assert_true(ac_loop_turn(loop, 0) >= 0);
    assert_int_equal(many_fired, N);
    assert_int_equal(ac_loop_free(loop), 0);
}

static void hundred_thousand_in_one_turn(void **state)
{
    enum { N = 100000 };
    ac_timer *timers = calloc(N, sizeof *timers);
    ac_loop  *loop   = *state;
    uint64_t  turns;
    unsigned  seed = 1;

    assert_non_null(timers);
    many_fired = 0;
    many_last  = 0;
    for (int i = 0; i < N; i++) {
        ac_timer_init(&timers[i], loop, fire_many);
        assert_int_equal(ac_timer_start(&timers[i], rand_r(&seed) % 1000), 0);
    }
    while (h_now() <= ac_loop_now(loop) + 1000)
        continue;
    turns = h_stats(loop).turns;
    assert_int_equal(ac_loop_turn(loop, AC_SECOND), N);
    assert_int_equal(h_stats(loop).turns, turns + 1);
    assert_int_equal(many_fired, N);
    assert_int_equal(ac_run(loop), 0);
    free(timers);
}

/* --- what a callback may do ----------------------------------------------------------------------- */

static void fire_again(ac_timer *t)
{
    struct mark *m = AC_CONTAINER(struct mark, timer, t);

    fire_mark(t);
    if (m->fired < 5)
        start(m, t->loop, 0);
}

/* A timer that starts itself with no delay fires once a turn, so that others have theirs. */
static void self_starting_waits_for_the_next_turn(void **state)
{
    static struct mark m[3];
    ac_loop           *loop = *state;

    nfired = 0;
    for (unsigned i = 0; i < 3; i++) {
        m[i] = (struct mark){.number = i};
        ac_timer_init(&m[i].timer, loop, fire_again);
        start(&m[i], loop, 0);
    }
    for (unsigned turn = 1; turn <= 5; turn++) {
        assert_int_equal(ac_loop_turn(loop, AC_SECOND), 3);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(m[i].fired, turn);
            assert_int_equal(fired[(turn - 1) * 3 + i]->number, i);
        }
    }
    assert_int_equal(ac_loop_turn(loop, 0), 0);
}

static void fire_periodic(ac_timer *t)
{
    struct mark *m   = AC_CONTAINER(struct mark, timer, t);
    int64_t      was = m->at;

    fire_mark(t);
    assert_true(was == 0 || m->at - was >= 2 * AC_MILLISECOND);
    if (m->fired < 4) {
        assert_int_equal(ac_timer_again(t), 0);
        m->deadline = ac_loop_now(t->loop) + 2 * AC_MILLISECOND;
    }
}

static void again_repeats_the_delay(void **state)
{
    ac_loop    *loop = *state;
    struct mark m    = {.number = 0};

    ac_timer_init(&m.timer, loop, fire_periodic);
    assert_int_equal(ac_timer_again(&m.timer), -EINVAL);
    start(&m, loop, 2 * AC_MILLISECOND);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(m.fired, 4);
}

static void fire_and_stop_other(ac_timer *t)
{
    struct mark *m = AC_CONTAINER(struct mark, timer, t);

    fire_mark(t);
    ac_timer_stop(m->other);
    assert_false(ac_timer_running(m->other));
    ac_timer_stop(t);
}

/* Both are due in the same turn; the second, stopped by the first, does not fire. */
static void stop_of_one_that_is_due(void **state)
{
    ac_loop    *loop = *state;
    struct mark a = {.number = 0}, b = {.number = 1}, c = {.number = 2};

    nfired = 0;
    ac_timer_init(&a.timer, loop, fire_and_stop_other);
    ac_timer_init(&b.timer, loop, fire_mark);
    ac_timer_init(&c.timer, loop, fire_mark);
    a.other = &b.timer;
    start(&a, loop, 0);
    start(&b, loop, 0);
    start(&c, loop, 0);
    assert_int_equal(ac_loop_turn(loop, AC_SECOND), 2);
    assert_int_equal(nfired, 2);
    assert_int_equal(b.fired, 0);
    assert_int_equal(c.fired, 1);
    assert_int_equal(ac_run(loop), 0);
}

static void fire_and_restart_other(ac_timer *t)
{
    struct mark *m = AC_CONTAINER(struct mark, timer, t);

    fire_mark(t);
    assert_int_equal(ac_timer_start(m->other, 0), 0);
}

/* Started anew in the pass in which it is due: it fires once, in the next turn. */
static void restart_of_one_that_is_due(void **state)
{
    ac_loop    *loop = *state;
    struct mark a = {.number = 0}, b = {.number = 1};

    ac_timer_init(&a.timer, loop, fire_and_restart_other);
    ac_timer_init(&b.timer, loop, fire_mark);
    a.other = &b.timer;
    start(&a, loop, 0);
    start(&b, loop, 0);
    assert_int_equal(ac_loop_turn(loop, AC_SECOND), 1);
    assert_int_equal(b.fired, 0);
    assert_int_equal(ac_loop_turn(loop, AC_SECOND), 1);
    assert_int_equal(b.fired, 1);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(b.fired, 1);
}

static unsigned freed;

static void fire_and_free(ac_timer *t)
{
    struct mark *m = AC_CONTAINER(struct mark, timer, t);

    if (m->other != NULL) {
        struct mark *other = AC_CONTAINER(struct mark, timer, m->other);

        ac_timer_stop(&other->timer);
        memset(other, 0xEE, sizeof *other);
        free(other);
        freed++;
    }
    memset(m, 0xEE, sizeof *m);
    free(m);
    freed++;
}

/* The storage is the caller's in `fire`, and after a stop: of this timer and of another. */
static void storage_is_freed_in_fire(void **state)
{
    ac_loop     *loop = *state;
    struct mark *m[40];

    freed = 0;
    for (unsigned i = 0; i < 40; i++) {
        m[i] = calloc(1, sizeof *m[i]);
        assert_non_null(m[i]);
        ac_timer_init(&m[i]->timer, loop, fire_and_free);
    }
    /* Each of the first 20 frees one of the last 20, half of which are due in the same turn. */
    for (unsigned i = 0; i < 20; i++) {
        m[i]->other = &m[39 - i]->timer;
        start(m[i], loop, 0);
        start(m[39 - i], loop, i % 2 != 0 ? AC_SECOND : 0);
    }
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(freed, 40);
}

static void fire_and_update(ac_timer *t)
{
    struct mark *m = AC_CONTAINER(struct mark, timer, t);

    fire_mark(t);
    /* Some work, after which the other is due, but not yet for this turn. */
    while (h_now() < m->other->deadline_)
        continue;
    ac_loop_update(t->loop);
}

static void update_in_a_pass(void **state)
{
    ac_loop    *loop = *state;
    struct mark a = {.number = 0}, b = {.number = 1};

    ac_timer_init(&a.timer, loop, fire_and_update);
    ac_timer_init(&b.timer, loop, fire_mark);
    a.other = &b.timer;
    start(&a, loop, 0);
    start(&b, loop, 100 * AC_MILLISECOND);
    assert_int_equal(ac_loop_turn(loop, AC_SECOND), 1);
    assert_int_equal(b.fired, 0);
    assert_int_equal(ac_loop_turn(loop, AC_SECOND), 1);
    assert_int_equal(b.fired, 1);
}

/* --- limits and misuse ----------------------------------------------------------------------------- */

static void delays_clamp(void **state)
{
    static const int64_t none[] = {0, -1, INT64_MIN, INT64_MIN + 1, -AC_SECOND};
    static const int64_t ever[] = {AC_FOREVER, INT64_MAX - 1, INT64_MAX - 1000};
    ac_loop             *loop   = *state;
    struct mark          m      = {.number = 0};

    ac_timer_init(&m.timer, loop, fire_mark);
    for (unsigned i = 0; i < sizeof none / sizeof none[0]; i++) {
        start(&m, loop, none[i]);
        assert_int_equal(ac_loop_turn(loop, AC_SECOND), 1);
        assert_int_equal(m.fired, i + 1);
    }
    for (unsigned i = 0; i < sizeof ever / sizeof ever[0]; i++) {
        assert_int_equal(ac_timer_start(&m.timer, ever[i]), 0);
        assert_int_equal(m.timer.deadline_, INT64_MAX);
        assert_int_equal(ac__deadline(loop, ever[i]), INT64_MAX);
        assert_int_equal(ac_loop_turn(loop, AC_MILLISECOND), 0);
        assert_true(ac_timer_running(&m.timer));
        assert_int_equal(h_stats(loop).timers, 1);
    }
    ac_timer_stop(&m.timer);
    assert_int_equal(ac__deadline(loop, -5), ac_loop_now(loop));
    assert_int_equal(ac__deadline(loop, 5), ac_loop_now(loop) + 5);
    assert_int_equal(ac_run(loop), 0);
}

static void misuse_is_refused(void **state)
{
    ac_timer zero = {0}, t;

    assert_int_equal(ac_timer_start(NULL, 0), -EINVAL);
    assert_int_equal(ac_timer_start(&zero, 0), -EINVAL);
    assert_int_equal(ac_timer_again(NULL), -EINVAL);
    assert_int_equal(ac_timer_again(&zero), -EINVAL);
    ac_timer_stop(NULL);
    ac_timer_stop(&zero);
    assert_false(ac_timer_running(NULL));
    assert_false(ac_timer_running(&zero));
    ac_timer_init(NULL, *state, fire_mark);
    ac_timer_init(&t, NULL, fire_mark);
    assert_int_equal(ac_timer_start(&t, 0), -EINVAL);
    ac_timer_stop(&t);
    ac_timer_init(&t, *state, NULL);
    assert_int_equal(ac_timer_start(&t, 0), -EINVAL);
    ac_timer_stop(&t);
    ac_timer_stop(&t);
}

static void needs_no_memory(void **state)
{
    ac_loop    *loop = *state;
    struct mark m[64];
    long        calls;

    assert_int_equal(ac_loop_turn(loop, 0), 0);
    calls           = h_alloc_calls;
    h_alloc_fail    = calls + 1;
    h_alloc_fail_on = true;
    nfired          = 0;
    for (unsigned i = 0; i < 64; i++) {
        m[i] = (struct mark){.number = i};
        ac_timer_init(&m[i].timer, loop, fire_mark);
        start(&m[i], loop, i % 7 * AC_MILLISECOND);
        start(&m[i], loop, i % 5 * AC_MILLISECOND);
        assert_int_equal(ac_timer_again(&m[i].timer), 0);
    }
    ac_timer_stop(&m[9].timer);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(nfired, 63);
    assert_int_equal(h_alloc_calls, calls);
    h_alloc_fail    = 0;
    h_alloc_fail_on = false;
}

/* --- the loop's life --------------------------------------------------------------------------------- */

static void keeps_the_run(void **state)
{
    ac_loop    *loop = *state;
    struct mark m    = {.number = 0};
    ac_timer    internal;

    ac__timer_init(&internal, loop, fire_many);
    many_last = 0;
    assert_int_equal(ac_timer_start(&internal, AC_SECOND), 0);
    assert_int_equal(h_stats(loop).timers, 1);
    assert_int_equal(ac_run(loop), 0); /* one of the library's own does not keep it */
    ac_timer_init(&m.timer, loop, fire_mark);
    start(&m, loop, 5 * AC_MILLISECOND);
    start(&m, loop, 5 * AC_MILLISECOND);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(m.fired, 1);
    start(&m, loop, AC_SECOND);
    ac_timer_stop(&m.timer);
    assert_int_equal(ac_run(loop), 0);
    assert_true(ac_timer_running(&internal));
    ac_timer_stop(&internal);
}

static void free_of_the_loop_stops(void **state)
{
    ac_loop    *loop = h_loop_new();
    struct mark m[5];

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        m[i] = (struct mark){.number = i};
        ac_timer_init(&m[i].timer, loop, fire_mark);
        start(&m[i], loop, i * AC_SECOND);
    }
    assert_int_equal(ac_loop_free(loop), 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(m[i].fired, 0);
        assert_false(ac_timer_running(&m[i].timer));
        ac_timer_stop(&m[i].timer); /* the loop is gone, and this is still allowed */
    }
}

static struct mark late;
static int         late_rc;

static void run_late(ac_work *work, int status)
{
    (void)work;
    assert_int_equal(status, -ECANCELED);
    late_rc = ac_timer_start(&late.timer, 0);
}

/* What runs while the loop is being freed cannot start any. */
static void start_while_freeing(void **state)
{
    ac_loop *loop = h_loop_new();
    ac_work  work = {.run = run_late};

    (void)state;
    late_rc = 1;
    ac_timer_init(&late.timer, loop, fire_mark);
    ac_post(loop, &work);
    assert_int_equal(ac_loop_free(loop), 0);
    assert_int_equal(late_rc, -EINVAL);
    assert_false(ac_timer_running(&late.timer));
}

static void child_of_a_fork(void **state)
{
    ac_loop    *loop = *state;
    struct mark a = {.number = 0}, b = {.number = 1};
    pid_t       pid;
    int         status;

    ac_timer_init(&a.timer, loop, fire_mark);
    ac_timer_init(&b.timer, loop, fire_mark);
    start(&a, loop, AC_MILLISECOND);
    start(&b, loop, 2 * AC_MILLISECOND);
    assert_int_equal(ac_loop_turn(loop, 0), 0);
    pid = fork();
    if (pid == 0) {
        int bad = 0;

        bad |= ac_timer_start(&a.timer, 0) != -ECHILD;
        ac_timer_stop(&a.timer);
        bad |= ac_timer_running(&a.timer);
        bad |= ac_loop_after_fork(loop) != 0;
        bad |= ac_run(loop) != 0;
        bad |= a.fired != 0 || b.fired != 1;
        bad |= ac_timer_start(&a.timer, 0) != 0;
        bad |= ac_loop_free(loop) != 0;
        _exit(bad);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(ac_run(loop), 0);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 1);
}

static pid_t forked;

static void fire_and_fork(ac_timer *t)
{
    fire_mark(t);
    forked = fork();
}

/* A fork in a callback: what else was due is the parent's in this turn, the child's in its next. */
static void fork_in_a_pass(void **state)
{
    ac_loop    *loop = *state;
    struct mark m[3];
    int         status;

    for (unsigned i = 0; i < 3; i++) {
        m[i] = (struct mark){.number = i};
        ac_timer_init(&m[i].timer, loop, i == 0 ? fire_and_fork : fire_mark);
        start(&m[i], loop, 0);
    }
    forked = -1;
    if (ac_loop_turn(loop, AC_SECOND) == -ECHILD && forked == 0) {
        int bad = m[1].fired + m[2].fired != 0;

        ac_timer_stop(&m[2].timer);
        bad |= ac_loop_after_fork(loop) != 0;
        bad |= ac_loop_turn(loop, AC_SECOND) != 1;
        bad |= m[1].fired != 1 || m[2].fired != 0;
        bad |= ac_loop_free(loop) != 0;
        _exit(bad);
    }
    assert_true(forked > 0);
    assert_int_equal(m[1].fired + m[2].fired, 2);
    assert_int_equal(waitpid(forked, &status, 0), forked);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(clock_read_by_who_asks),
        H_TEST(fires_once_and_not_early),
        H_TEST(waits_in_one_go),
        H_TEST(by_deadline_then_by_start),
        H_TEST(starting_anew_moves),
        H_TEST(random_starts_stops_and_turns),
        H_TEST(no_turn_is_wasted),
        H_TEST(few_turns_are_wasted),
        H_TEST(clock_that_goes_back),
        H_TEST(hundred_thousand_in_one_turn),
        H_TEST(self_starting_waits_for_the_next_turn),
        H_TEST(again_repeats_the_delay),
        H_TEST(stop_of_one_that_is_due),
        H_TEST(restart_of_one_that_is_due),
        H_TEST(storage_is_freed_in_fire),
        H_TEST(update_in_a_pass),
        H_TEST(delays_clamp),
        H_TEST(misuse_is_refused),
        H_TEST(needs_no_memory),
        H_TEST(keeps_the_run),
        H_TEST(free_of_the_loop_stops),
        H_TEST(start_while_freeing),
        H_TEST(child_of_a_fork),
        H_TEST(fork_in_a_pass),
    };

    h_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
