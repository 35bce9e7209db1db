/* SPDX-License-Identifier: MIT */
/**
 * What every header of asyncore stands on: version, exports, errors, memory, durations, bytes.
 *
 * Conventions. They hold for every function of the library unless its comment says otherwise.
 *
 *   Result      `int` and `ssize_t` results are >= 0, or `-errno` (as -ECONNREFUSED), or one of the
 *               library's own codes (-AC_E...). `errno` is never a result. A NULL pointer means
 *               that memory ran out, and nothing else.
 *   Ownership   Arguments are *borrowed*: used during the call, not after it. The other words are
 *               *kept* (must stay valid for as long as the comment says), *taken* (the library
 *               releases it, also when the call fails) and *given* (the caller releases it).
 *   Callbacks   No call runs a callback of yours: only ac_run() and ac_loop_turn() do. The slots
 *               `log`, `log_info` and the allocator are exempt: they may run inside any call.
 *   Threads     A loop and all that is on it belong to one thread. Only ac_post(), ac_wake() and
 *               ac_stop() may be called from another.
 *   Time        Durations are int64_t nanoseconds on the monotonic clock. A negative one is 0,
 *               AC_FOREVER has no end, and sums clamp.
 *   Misuse      A NULL or closed object gives -EINVAL or -EBADF and changes nothing. In a child
 *               made by fork() every call gives -ECHILD until ac_loop_after_fork().
 */
#ifndef ASYNCORE_BASE_H
#define ASYNCORE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AC_VERSION_MAJOR 0
#define AC_VERSION_MINOR 1
#define AC_VERSION_PATCH 0
#define AC_VERSION       "0.1.0"

/** Number of the binary interface: changes when a structure of these headers changes its form. */
#define AC_ABI 1u

#if defined(__GNUC__)
#define AC_API               __attribute__((visibility("default")))
#define AC_MUST_CHECK        __attribute__((warn_unused_result))
#define AC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define AC_API
#define AC_MUST_CHECK
#define AC_PRINTF(fmt, args)
#endif

/** The version of the library that runs, as "0.1.0"; the macros tell what was compiled against. */
AC_API const char *ac_version(void);

/* --- errors ------------------------------------------------------------------------------- */

/** The library's own error codes; results carry them negated. The range is 10000 to 10999. */
enum {
    AC_EBASE      = 10000,
    AC_EEOF       = 10001, /**< the peer closed the connection before it was complete */
    AC_ETRUNCATED = 10002, /**< an answer was cut short */
    AC_EPROTO     = 10003, /**< the peer broke the rules of the protocol */
    AC_ETOOLARGE  = 10004, /**< a limit on size was passed */
    AC_ENOTFOUND  = 10005, /**< the name does not exist, or has no address */
    AC_ENAME      = 10006, /**< the text is no valid host name or address */
    AC_EDNS       = 10007, /**< the name servers gave no usable answer */
    AC_ECANCELED  = 10008, /**< the caller gave the operation up */
    AC_ELIMIT     = 10009, /**< a limit on number was passed (lookups, connections) */
    AC_EURL       = 10010, /**< the text is no URL of http or https */
    AC_ECODING    = 10011, /**< a content coding is unknown or damaged */
    AC_EREDIRECT  = 10012, /**< a redirect cannot be followed */
    AC_EREDIRLOOP = 10013, /**< redirects go round, or on for too long */
    AC_ESTATUS    = 10014, /**< the status says that it failed */
    AC_ELAST               /**< one past the last code */
};

/**
 * Describes an error in English, as "Connection refused".
 *
 * @param err  an error code of either sign: errno or AC_E....
 * @return     a constant string, never NULL; "Unknown error" for a code that is none.
 * Thread-safe: yes. Signal-safe: yes.
 */
AC_API const char *ac_strerror(int err);

/**
 * Names the symbol of an error, as "ECONNREFUSED" or "AC_ETRUNCATED".
 *
 * @param err  an error code of either sign.
 * @return     a constant string, never NULL; "EUNKNOWN" for a code that is none, "OK" for 0.
 * Thread-safe: yes. Signal-safe: yes.
 */
AC_API const char *ac_errname(int err);

/* --- memory ------------------------------------------------------------------------------- */

/**
 * Where the library gets its memory: functions as realloc() and free() of the C library, with a
 * context. `reallocate` with a NULL pointer allocates; the size is never 0.
 */
typedef struct ac_allocator {
    size_t size; /**< sizeof(ac_allocator) */
    void *(*reallocate)(void *context, void *ptr, size_t len);
    void (*release)(void *context, void *ptr);
    void *context; /**< kept: until the process ends */
} ac_allocator;

/**
 * Sets the allocator of the whole process. To be called before anything else of the library, and
 * not again while anything of the library exists.
 *
 * @param allocator  copied; NULL goes back to the C library's.
 * @return           0, or -EINVAL: `size`, `reallocate` or `release` is not set.
 * May be called back: yes, from any call and any thread of the library.
 * Thread-safe: no.
 */
AC_API int ac_set_allocator(const ac_allocator *allocator);

/* --- time --------------------------------------------------------------------------------- */

#define AC_MICROSECOND INT64_C(1000)
#define AC_MILLISECOND INT64_C(1000000)
#define AC_SECOND      INT64_C(1000000000)
#define AC_FOREVER     INT64_MAX

/* --- bytes -------------------------------------------------------------------------------- */

/** Reads 4 bytes at `p` as an unsigned number in network byte order. */
static inline uint32_t ac_be32(const void *p)
{
    const uint8_t *b = (const uint8_t *)p;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | (uint32_t)b[3];
}

/** Writes `value` to the 4 bytes at `p` in network byte order. */
static inline void ac_put_be32(void *p, uint32_t value)
{
    uint8_t *b = (uint8_t *)p;

    b[0] = (uint8_t)(value >> 24);
    b[1] = (uint8_t)(value >> 16);
    b[2] = (uint8_t)(value >> 8);
    b[3] = (uint8_t)value;
}

#ifdef __cplusplus
}
#endif
#endif
