/* SPDX-License-Identifier: MIT */
/**
 * Conversations: what asyncore called asynchat. Input is cut into messages by a terminator, output
 * comes from strings and producers in order.
 *
 *     struct session { ac_chat base; ... };
 *
 *     static const ac_chat_class session_class = {
 *         .base = { .name = "Session", .handle_read = ac_chat_handle_read },
 *         .found_terminator = session_line,
 *     };
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_CHAT_H
#define ASYNCORE_CHAT_H

#include "asyncore/dispatcher.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ac_chat ac_chat;

/** The longest terminator, in bytes. */
#define AC_CHAT_TERMINATOR 32

/** What a kind of conversation does. */
typedef struct ac_chat_class {
    ac_class base; /**< its handle_read is to be ac_chat_handle_read */

    /**
     * A piece of the message that is coming in. Empty: the library collects, up to the limit.
     * @param data  borrowed until this returns; `len` > 0.
     */
    void (*collect_incoming_data)(ac_chat *c, const void *data, size_t len);

    /**
     * A message is complete. After ac_close(), ac_pause() or a change of terminator in here, what
     * follows is not looked at under the old terms. Several messages that came at once are told one
     * call each.
     * @param data  the message without its terminator, borrowed until this returns; NULL and 0 where
     *              collect_incoming_data was told it.
     */
    void (*found_terminator)(ac_chat *c, const void *data, size_t len);

    void (*reserved_[4])(void);
} ac_chat_class;

/** A conversation: put it first in your structure. All but `base` is private. */
struct ac_chat {
    ac_dispatcher base;
    struct {
        char  *data;
        size_t len, cap;
    } in_;
    size_t                limit_, count_, got_, start_;
    unsigned              state_;
    uint8_t               terminator_len_;
    char                  terminator_[AC_CHAT_TERMINATOR];
    struct ac__chat_item *first_, *last_;
    size_t                held_;
};

/** A source of output, in storage of the caller's. */
typedef struct ac_producer {
    /**
     * Gives the next piece of output. Runs when the send queue has room, never inside a call.
     * @param data  out: borrowed until the next call of a slot of this producer.
     * @return      its length; 0: the end; negative: a failure, told as ac_fail() would.
     */
    ssize_t (*more)(struct ac_producer *p, const void **data);

    /**
     * The last call, exactly once, also when the channel was closed before the end; the storage is
     * the caller's again. May be empty.
     */
    void (*done)(struct ac_producer *p);
} ac_producer;

/**
 * Makes a conversation of storage of the caller's, as ac_init() does; it has no terminator yet.
 * Then open it by the dispatcher's verbs on `&c->base`.
 * @param cls  kept until finalize.
 * @return     0, or -EINVAL; also where cls->base.handle_read is empty.
 */
AC_API int ac_chat_init(ac_chat *c, ac_loop *loop, const ac_chat_class *cls);

/** As ac_new(), for a structure whose first member is `ac_chat base`. */
#define ac_chat_new(T, loop, cls)                                                                  \
    ((T *)ac_chat_new_((loop), (cls),                                                              \
                       sizeof(T) + 0 * sizeof(char[offsetof(T, base) == 0 ? 1 : -1])))
AC_API void *ac_chat_new_(ac_loop *loop, const ac_chat_class *cls, size_t len);

/** The conversation that a slot of `base` was called for. */
static inline ac_chat *ac_chat_of(ac_dispatcher *d)
{
    return AC_SELF(ac_chat, d);
}

/** The slot that cuts the input; a class of one's own may call it from a handle_read of its own. */
AC_API void ac_chat_handle_read(ac_dispatcher *d);

/**
 * Cuts messages at each occurrence of a string.
 * @param terminator  copied; @param len  1 to AC_CHAT_TERMINATOR.
 * @return            0 or -EINVAL.
 */
AC_API int ac_chat_set_terminator(ac_chat *c, const void *terminator, size_t len);

/** Cuts one message of `len` bytes; after it there is no terminator. @return 0 or -EINVAL (len 0). */
AC_API int ac_chat_set_length(ac_chat *c, size_t len);

/**
 * Cuts nothing: all goes to collect_incoming_data as it comes (and without one, is dropped).
 * @return 0 or -EINVAL.
 */
AC_API int ac_chat_set_no_terminator(ac_chat *c);

/**
 * Bounds a message: longer ones fail the channel with -AC_ETOOLARGE.
 * @param limit  bytes, the terminator not counted; default 64 KiB. @return 0 or -EINVAL (0).
 */
AC_API int ac_chat_set_limit(ac_chat *c, size_t limit);

/** Sends a string, behind all that was pushed before. @return as ac_write(). */
AC_API int ac_chat_push(ac_chat *c, const void *data, size_t len);

/**
 * Sends what a producer makes, behind all that was pushed before.
 * @param p  kept until its `done`; on failure `done` is not called.
 * @return   0, -EINVAL, -EBADF, -EPIPE, -ENOMEM.
 */
AC_API int ac_chat_push_producer(ac_chat *c, ac_producer *p);

/** ac_close_when_sent(), behind all that was pushed before. @return 0, -EBADF or -ENOMEM. */
AC_API int ac_chat_close_when_done(ac_chat *c);

/** Drops collected input and pending output; the send queue itself is sent. */
AC_API void ac_chat_discard(ac_chat *c);

#ifdef __cplusplus
}
#endif
#endif
