/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the core stand on: a loop per test, channels that count and order their
 * callbacks, raw sockets for the far side, and waits that notice a spin.
 *
 * Three things are checked by every test without its asking:
 *
 *   - no slot runs inside a call of the library's: the verbs below are macros that raise a flag,
 *     and each slot of a probe looks at it;
 *   - no slot but `finalize` and the log runs on a channel that is not open; each channel that was
 *     added to the log was closed once and finalized once;
 *   - at the end of the test the library holds no memory and no descriptor.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* which needs the four above before it */

#include <asyncore.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/loop/loop_private.h"

enum {
    S_CONNECT,
    S_ACCEPT,
    S_READ,
    S_WRITE,
    S_EOF,
    S_DRAIN,
    S_EXPT,
    S_CLOSE,
    S_ERROR,
    S_FINALIZE,
    S_SLOTS
};

/* Sets of slots, for h_new(). finalize, log and log_info are always filled. */
enum {
    M_CONNECT = 1 << S_CONNECT,
    M_ACCEPT  = 1 << S_ACCEPT,
    M_READ    = 1 << S_READ,
    M_WRITE   = 1 << S_WRITE,
    M_EOF     = 1 << S_EOF,
    M_DRAIN   = 1 << S_DRAIN,
    M_EXPT    = 1 << S_EXPT,
    M_CLOSE   = 1 << S_CLOSE,
    M_ERROR   = 1 << S_ERROR
};

/* How the calls of the slots appear in `order`, by slot. */
#define H_LETTERS "carwfdxze$"

struct probe;
typedef void h_hook(struct probe *p);

/* A channel that counts. Without a hook, read takes all there is, accept attaches probes with the
 * slots `children`, close closes, and the others do nothing. */
struct probe {
    ac_dispatcher base;
    ac_class      cls;
    struct probe *next; /* of all probes of this test */
    h_hook       *on[S_SLOTS];
    unsigned      count[S_SLOTS];
    unsigned      added, closed; /* lines in the log */
    char          order[64];     /* the first calls, a letter each */
    int           err;           /* what handle_error was told */
    int           rc;            /* for the test's use */
    long          number;        /* for the test's use */
    struct probe *other;         /* for the test's use */
    unsigned      children;      /* a listener's: the slots of what it accepts */
    struct probe *child;         /* a listener's: the latest */
    unsigned      nchildren;
    bool          finalized;
    char          line[512]; /* the latest through log_info, "TYPE: MESSAGE" */
    uint8_t      *in;        /* what was read */
    size_t        in_len, in_cap;
};

/* --- life of a test ----------------------------------------------------------------------- */

int h_setup(void **state);
int h_teardown(void **state);

#define H_TEST(f) cmocka_unit_test_setup_teardown(f, h_setup, h_teardown)
#define H_MAIN(tests)                                                                              \
    int main(void)                                                                                 \
    {                                                                                              \
        h_start();                                                                                 \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }
void h_start(void);

/* The loop of a test, with the log on and going to the probes. */
ac_loop *h_loop_new(void);
/* A test that freed its loop by itself says so. */
#define H_LOOP_GONE(state) (*(state) = NULL)

/* Allocations of the library: how many are live; which call fails next (0: none), and whether all
 * after it fail too. */
extern atomic_long h_live;
extern atomic_long h_alloc_calls;
extern long        h_alloc_fail;
extern bool        h_alloc_fail_on;

size_t h_fds(void);
bool   h_is(const char *backend);
bool   h_edges(void); /* whether the backend reports edges, and so has a descriptor of its own */

/* --- probes -------------------------------------------------------------------------------- */

/* A probe of the test's, released by the harness; initialised, not opened. */
struct probe *h_new(ac_loop *loop, unsigned slots);
/* The same in storage that the test provides (zeroed). */
void h_init(struct probe *p, ac_loop *loop, unsigned slots);

static inline struct probe *h_of(ac_dispatcher *d)
{
    return AC_SELF(struct probe, d);
}
/* The descriptor, without the library's knowing that it was asked. */
static inline int h_fd(const struct probe *p)
{
    return p->base.source_.fd;
}
unsigned h_total(const struct probe *p); /* calls of all slots but finalize */
void     h_take(struct probe *p);        /* reads all there is into `in` */

/* --- the far side ---------------------------------------------------------------------------- */

int  h_raw_listen(ac_addr *out, const char *host, int backlog);
int  h_raw_connect(const ac_addr *addr); /* non-blocking once connected */
void h_raw_pair(int fd[2]);              /* two ends of a TCP connection */
/* Connects a probe; returns the other end, a non-blocking descriptor of the test's. */
int h_pair(ac_loop *loop, struct probe *p);
/* The same with little room in the kernel: some 10 KiB, and segments that fit it. */
int h_small_pair(ac_loop *loop, struct probe *p);
/* The same by ac_attach(): the descriptor is a foreign one for the library. */
int    h_pair_attached(ac_loop *loop, struct probe *p);
void   h_put(int fd, const void *data, size_t len); /* all of it, at once */
size_t h_get(int fd, void *buf, size_t len); /* what is there now; 0 for none and for the end */
bool   h_ended(int fd);                      /* the end of the stream or a reset waits */
void   h_wait(int fd, short events);         /* until poll() has these events */
void   h_reset(int fd);                      /* closes with RST */
void   h_plug(int fd);                       /* no number below `fd` is free any more */

/* --- waiting ------------------------------------------------------------------------------- */

int64_t h_now(void);
int64_t h_cpu(void); /* user and system time of the process so far */

struct h_bound {
    int64_t  end;
    unsigned turns;
};
struct h_bound h_bound(unsigned turns);
void           h_turn(ac_loop *loop, struct h_bound *b, const char *file, int line);

/* Runs turns until `cond`; more than 40 s or, as a spin would be, than `n` turns is a failure. */
#define H_UNTIL_IN(loop, n, cond)                                                                  \
    do {                                                                                           \
        struct h_bound bound_ = h_bound(n);                                                        \
        while (!(cond))                                                                            \
            h_turn(loop, &bound_, __FILE__, __LINE__);                                             \
    } while (0)
#define H_UNTIL(loop, cond) H_UNTIL_IN(loop, 2000, cond)

/* Runs turns for that long: the number of them. An idle loop has one or two. */
unsigned h_idle(ac_loop *loop, int64_t ns);

ac_stats h_stats(const ac_loop *loop);

/* Bytes that tell their own place, to find what was lost, doubled or moved. */
void h_pattern(uint8_t *buf, size_t len, size_t from);
bool h_pattern_ok(const uint8_t *buf, size_t len, size_t from);

/* --- no slot inside a call ------------------------------------------------------------------- */

extern int h_inside;

static inline int h_int(int r)
{
    h_inside--;
    return r;
}
static inline ssize_t h_ssize(ssize_t r)
{
    h_inside--;
    return r;
}

#ifndef HARNESS_BARE
#define ac_connect(...)        h_int(((void)h_inside++, ac_connect(__VA_ARGS__)))
#define ac_connect_udp(...)    h_int(((void)h_inside++, ac_connect_udp(__VA_ARGS__)))
#define ac_connect_addr(...)   h_int(((void)h_inside++, ac_connect_addr(__VA_ARGS__)))
#define ac_open(...)           h_int(((void)h_inside++, ac_open(__VA_ARGS__)))
#define ac_bind_addr(...)      h_int(((void)h_inside++, ac_bind_addr(__VA_ARGS__)))
#define ac_listen(...)         h_int(((void)h_inside++, ac_listen(__VA_ARGS__)))
#define ac_listen_addr(...)    h_int(((void)h_inside++, ac_listen_addr(__VA_ARGS__)))
#define ac_listen_udp(...)     h_int(((void)h_inside++, ac_listen_udp(__VA_ARGS__)))
#define ac_accept(...)         h_int(((void)h_inside++, ac_accept(__VA_ARGS__)))
#define ac_attach(...)         h_int(((void)h_inside++, ac_attach(__VA_ARGS__)))
#define ac_write(...)          h_int(((void)h_inside++, ac_write(__VA_ARGS__)))
#define ac_writef(...)         h_int(((void)h_inside++, ac_writef(__VA_ARGS__)))
#define ac_set_marks(...)      h_int(((void)h_inside++, ac_set_marks(__VA_ARGS__)))
#define ac_shutdown_write(...) h_int(((void)h_inside++, ac_shutdown_write(__VA_ARGS__)))
#define ac_pause(...)          h_int(((void)h_inside++, ac_pause(__VA_ARGS__)))
#define ac_resume(...)         h_int(((void)h_inside++, ac_resume(__VA_ARGS__)))
#define ac_changed(...)        h_int(((void)h_inside++, ac_changed(__VA_ARGS__)))
#define ac_unref(...)          h_int(((void)h_inside++, ac_unref(__VA_ARGS__)))
#define ac_ref(...)            h_int(((void)h_inside++, ac_ref(__VA_ARGS__)))
#define ac_set_timeout(...)    h_int(((void)h_inside++, ac_set_timeout(__VA_ARGS__)))
#define ac_send_oob(...)       h_int(((void)h_inside++, ac_send_oob(__VA_ARGS__)))
#define ac_close_all(...)      h_int(((void)h_inside++, ac_close_all(__VA_ARGS__)))
#define ac_loop_prepare(...)   h_int(((void)h_inside++, ac_loop_prepare(__VA_ARGS__)))
#define ac_recv(...)           h_ssize(((void)h_inside++, ac_recv(__VA_ARGS__)))
#define ac_read(...)           h_ssize(((void)h_inside++, ac_read(__VA_ARGS__)))
#define ac_send(...)           h_ssize(((void)h_inside++, ac_send(__VA_ARGS__)))
#define ac_recvfrom(...)       h_ssize(((void)h_inside++, ac_recvfrom(__VA_ARGS__)))
#define ac_sendto(...)         h_ssize(((void)h_inside++, ac_sendto(__VA_ARGS__)))
#define ac_close(d)            ((void)h_inside++, ac_close(d), (void)h_inside--)
#define ac_close_when_sent(d)  ((void)h_inside++, ac_close_when_sent(d), (void)h_inside--)
#define ac_fail_at(d, e, f, l) ((void)h_inside++, ac_fail_at(d, e, f, l), (void)h_inside--)
#define ac_drop(l, s)          ((void)h_inside++, ac_drop(l, s), (void)h_inside--)
#endif

#endif
