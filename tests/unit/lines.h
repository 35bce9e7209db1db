/* SPDX-License-Identifier: MIT */
/*
 * Which lines of cache each thread touches. The code to be looked at is compiled with
 * -fsanitize=thread, so that each of its reads and writes is a call; lines.c takes these calls
 * instead of ThreadSanitizer's own library, and counts them by thread and line.
 */
#ifndef LINES_H
#define LINES_H

#include <stdint.h>

enum { LINE_SIZE = 64, LINE_THREADS = 2 };

/* Nothing has been touched yet. */
void lines_clear(void);

/* The calling thread is number `index` from here on, and what it touches is counted. */
void lines_begin(unsigned index);

/* What the calling thread touches is not counted any more. */
void lines_end(void);

/*
 * How many lines one thread wrote to at least `often` times, that the other read or wrote as often.
 * Each is told of on stderr. Called when both have ended.
 */
unsigned lines_shared(unsigned long often);

/* How many lines thread `index` wrote to at least `often` times. */
unsigned lines_written(unsigned index, unsigned long often);

#endif
