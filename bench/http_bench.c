/* SPDX-License-Identifier: MIT */
/* The common part of the programs that fetch over HTTP. */
#include "http_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static int64_t began;

static int64_t cpu(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000LL
           + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000LL;
}

void http_bench_args(struct http_bench *b, int argc, char **argv)
{
    struct rlimit files;

    if (argc != 5) {
        fprintf(stderr, "usage: %s MODE URL FETCHES CONNECTIONS\n", argv[0]);
        exit(2);
    }
    *b = (struct http_bench){
        .mode = argv[1], .url = argv[2], .left = atol(argv[3]), .connections = atoi(argv[4])};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

void http_bench_begin(void)
{
    began = cpu();
}

int http_bench_end(const struct http_bench *b, long expected)
{
    int64_t ns = cpu() - began;

    printf("fetches %ld\nbytes %lld\ncpu %lld\n", b->done, (long long)b->bytes, (long long)ns);
    return b->done == expected ? 0 : 1;
}
