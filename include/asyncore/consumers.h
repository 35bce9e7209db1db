/* SPDX-License-Identifier: MIT */
/**
 * Consumers that the library ships: into memory, into a file, to two others, by callbacks, to nowhere.
 *
 * Each is in storage of the caller's with `ac_consumer base` first, so that it can be embedded; or stands
 * alone. The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_CONSUMERS_H
#define ASYNCORE_CONSUMERS_H

#include "asyncore/http.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- memory ------------------------------------------------------------------------------- */

/** Collects a body. `data` and `len` are read only, and valid from `done` on. */
typedef struct ac_memory_consumer {
    ac_consumer base;
    char       *data; /**< NULL while empty; ended by a NUL that `len` does not count */
    size_t      len;
    size_t      cap_, limit_;
    void (*done)(struct ac_memory_consumer *c, int err); /**< the consumer's `close`; may be NULL */
} ac_memory_consumer;

/**
 * @param limit  bytes; 0: 64 MiB. A longer body fails the request with -AC_ETOOLARGE.
 * @param done   called last; it may free the structure, after ac_memory_consumer_free().
 */
AC_API void ac_memory_consumer_init(ac_memory_consumer *c, size_t limit,
                                    void (*done)(ac_memory_consumer *c, int err));
/** Releases the data. */
AC_API void ac_memory_consumer_free(ac_memory_consumer *c);

/* --- file --------------------------------------------------------------------------------- */

/** Writes a body to a descriptor. Regular files block; others hold the request back. */
typedef struct ac_file_consumer {
    ac_consumer base;
    int         fd;      /**< read only */
    uint64_t    written; /**< read only */
    void (*done)(struct ac_file_consumer *c, int err);
    struct ac__file_out *out_;
    int                  err_;
    bool                 closed_, regular_;
} ac_file_consumer;

/**
 * @param fd    borrowed until `done`; not closed. A pipe, socket or terminal that takes nothing pauses
 *              the request until it does; EPIPE and a full disk fail the request with that error.
 * @param done  called last: all is written, or failed.
 */
AC_API void ac_file_consumer_init(ac_file_consumer *c, int fd,
                                  void (*done)(ac_file_consumer *c, int err));

/* --- two others --------------------------------------------------------------------------- */

/** Gives everything to two consumers. */
typedef struct ac_tee_consumer {
    ac_consumer      base;
    ac_consumer     *first, *second; /**< read only */
    ac_http_request *told_;
    unsigned         held_;
} ac_tee_consumer;

/** @param first, second  kept until their `close`, which are called one after the other. A failure of
 *                        one by ac_http_fail() fails the request, and so both. */
AC_API void ac_tee_consumer_init(ac_tee_consumer *c, ac_consumer *first, ac_consumer *second);

/* --- callbacks ---------------------------------------------------------------------------- */

/** Calls functions with a context, where a structure of one's own is too much. All may be NULL. */
typedef struct ac_callback_consumer {
    ac_consumer base;
    void (*header)(void *context, ac_http_request *request);
    void (*feed)(void *context, const void *data, size_t len);
    void (*close)(void *context, int err);
    void *context;
} ac_callback_consumer;

/** Fills one in. @param context  kept as long as the consumer. All functions may be NULL. */
AC_API void ac_callback_consumer_init(ac_callback_consumer *c, void *context,
                                      void (*header)(void *context, ac_http_request *request),
                                      void (*feed)(void *context, const void *data, size_t len),
                                      void (*close)(void *context, int err));

/* --- nowhere ------------------------------------------------------------------------------ */

/** Counts a body and drops it; with AC_DISCARD, so that the library may drop it in the kernel. */
typedef struct ac_discard_consumer {
    ac_consumer base;
    void (*done)(struct ac_discard_consumer *c, int err);
} ac_discard_consumer;

/** @param done  called last: the body is counted by ac_http_timings(); may be NULL. */
AC_API void ac_discard_consumer_init(ac_discard_consumer *c,
                                     void (*done)(ac_discard_consumer *c, int err));

#ifdef __cplusplus
}
#endif
#endif
