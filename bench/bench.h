/* SPDX-License-Identifier: MIT */
/*
 * What the programs of the bench share. Each library has one program, which fills one table; the
 * harness drives it: servers of several kinds, the dispatch of events among many watched sockets,
 * watching and unwatching, timers, work from another thread.
 *
 * What is measured runs in the library's own file, as a user of that library would write it. The
 * harness is called when a connection opens or ends, once for each hop of the dispatch, for each
 * timer that fires and for each piece of work that ran.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    BENCH_BUF     = 64 * 1024, /* what a server reads into, and the pieces of a long answer */
    BENCH_MEMBERS = 20000
};

/* What a server does with what it reads. */
enum bench_role {
    BENCH_ECHO,  /* sends it back */
    BENCH_CHURN, /* sends it back and closes */
    BENCH_FAN,   /* sends it to all connections, or back alone if it joins */
    BENCH_BULK,  /* sends bench_bulk bytes, by the buffered sender where there is one */
    BENCH_LINES, /* cuts it into lines and answers each by bench_reply() */
};

/* Part of the storage of a piece of work, for the programs whose library has no queue. */
struct bench_item {
    struct bench_item *next;
};

struct bench {
    const char *modes; /* ways to use the library, separated by spaces */

    /* Makes the loop. `mode` is one of `modes`. */
    void (*open)(const char *mode);

    /* Starts a server and returns its port. */
    uint16_t (*serve)(enum bench_role role);

    /* Starts `n` threads that echo on one port, prints it by bench_port(), and serves. */
    void (*workers)(unsigned n);

    /* Watches a socket for reading, for good. When it can be read: recv() of bench_take bytes at
     * most, then bench_hop(i). */
    void (*watch)(int fd, unsigned i);

    /* Accepts `n` connections that wait at a listening socket, and prepares to watch them. */
    void (*gather)(int listener, unsigned n);
    void (*add)(unsigned i);   /* watches the connection `i` for reading */
    void (*again)(unsigned i); /* unwatches and watches it */
    void (*turn)(void);        /* runs one turn that does not wait */

    /* A timer calls bench_fired() with its storage. Starting one that runs restarts it. */
    size_t timer_size; /* 0: the program has no timers */
    void (*timer_init)(void *t);
    void (*timer_start)(void *t, int64_t ns);
    void (*timer_stop)(void *t);

    /* Work from another thread: the loop calls bench_posted() for each item posted. */
    size_t item_size;
    void (*post_open)(void);
    void (*post)(void *item);

    /* Runs the loop until stop() is called in a callback. */
    void (*run)(void);
    void (*stop)(void);
};

extern const struct bench bench;

extern size_t bench_take; /* the most that a watcher reads at once */
extern size_t bench_bulk; /* bytes of a long answer */
extern int    bench_idle; /* seconds after which an idle connection is closed; 0: never */
extern char   bench_piece[BENCH_BUF];

/* A listening TCP socket of this machine, not blocking, for the libraries that want one. `*port` is
 * 0 or a port to share. */
int bench_listen(uint16_t *port);

/* The calling thread stays on the `i`-th of the CPUs that the process may use, and `listener` gets the
 * connections whose first packet that CPU handles (SO_INCOMING_CPU among those that share a port). */
void bench_own_cpu(unsigned i, int listener);

/* Accepts one connection, not blocking; -1: none waits. */
int bench_accept(int listener);

/* Prints the port. */
void bench_port(uint16_t port);

/* A connection was opened; it has ended by its peer. The first such end ends the program. */
void                           bench_opened(void);
__attribute__((noreturn)) void bench_closed(void);

/* The socket `i` was read: wakes the next one. */
void bench_hop(unsigned i);

void bench_fired(void *t);
void bench_posted(void);

/* A queue between threads. bench_push() tells whether it was empty; bench_pull() takes all. */
int                bench_push(struct bench_item *item);
struct bench_item *bench_pull(void);

/* Ends the program with a message. */
__attribute__((noreturn, cold)) void bench_fail(const char *what);

/* The same if `ok` is 0: a figure of a server that failed is worth nothing. */
static inline void bench_need(int ok, const char *what)
{
    if (!ok)
        bench_fail(what);
}

/* Whether a message to a server that fans out is for its sender alone. */
static inline int bench_joins(const char *message)
{
    return message[0] == '+';
}

/* The answer to a line, whose end is not in `len`; returns the length of the answer, end included. */
static inline size_t bench_reply(char *out, const char *line, size_t len)
{
    bench_need(len >= 3, "a line");
    memcpy(out, "ok ", 3);
    memcpy(out + 3, line + 3, len - 3);
    out[len] = '\n';
    return len + 1;
}

#endif
