/* SPDX-License-Identifier: MIT */
/*
 * Whole responses read twice: by our parser, put together as a client does it, and by llhttp in its
 * strict mode. The two have to agree, but for a list of known differences, each with the section
 * of the RFC that decides it.
 */
#ifndef HTTP1_ORACLE_H
#define HTTP1_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INPUT_MAX = 32 * 1024, LOG_MAX = 4 * INPUT_MAX };

enum outcome { WHOLE, MORE, BAD };
enum part { IN_HEAD, IN_FRAMING, IN_BODY, IN_TRAILERS };

/* What a parser made of some bytes, whose end is the connection's. */
struct reading {
    enum outcome outcome;
    enum part    part;  /* where it came to, or failed; ours only */
    int          error; /* with BAD: -AC_E..., or a code of llhttp */
    size_t       used;  /* with WHOLE: length of it all; with BAD: where the bad byte is */
    size_t       base;  /* where that part of the message began; ours only */
    int          status, minor;
    bool         persists; /* with WHOLE */
    bool         until_close;
    size_t       log_len, body_len;
    char         log[LOG_MAX]; /* heads, fields and trailers, in words */
    char         body[INPUT_MAX];
};

/* Reads `in` in pieces: one of `first` bytes, then of `then` bytes. */
void read_ours(const char *in, size_t len, bool head_request, size_t first, size_t then,
               struct reading *r);
void read_llhttp(const char *in, size_t len, bool head_request, struct reading *r);

/* Whether the two say the same. */
bool readings_agree(const struct reading *ours, const struct reading *theirs);

/* The name of the known difference that makes them disagree, or NULL. */
const char *known_difference(const char *in, size_t len, bool head_request,
                             const struct reading *ours, const struct reading *theirs);

#endif
