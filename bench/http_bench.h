/* SPDX-License-Identifier: MIT */
/*
 * What the programs that fetch over HTTP have in common: each is one client library, and is called
 *
 *   PROGRAM MODE URL FETCHES CONNECTIONS
 *
 * It fetches the URL so many times over so many connections, each of which has the next fetch as
 * soon as its last one has ended. Then it prints what came and what CPU time that took, set-up of the
 * library left out.
 */
#ifndef HTTP_BENCH_H
#define HTTP_BENCH_H

#include <stdbool.h>
#include <stdint.h>

struct http_bench {
    const char *mode;
    const char *url;
    long        left;  /* fetches not yet begun */
    long        done;  /* fetches that came whole, with status 200 */
    int64_t     bytes; /* of bodies */
    int         connections;
};

/* Reads the arguments; ends the program with a message if they are not as above. */
void http_bench_args(struct http_bench *b, int argc, char **argv);

/* From here on CPU time counts. */
void http_bench_begin(void);

/* Prints fetches, bytes and cpu (ns); gives the exit status of main(). */
int http_bench_end(const struct http_bench *b, long expected);

#endif
