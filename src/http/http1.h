/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 messages as a client reads them (RFC 9112): strict, without allocation, resumable at any
 * byte. Anything doubtful is -AC_EPROTO, since a doubt about where a message ends is a way to
 * smuggle another one behind it.
 */
#ifndef AC__HTTP1_H
#define AC__HTTP1_H

#include "asyncore/base.h"

/* --- heads and trailers ------------------------------------------------------------------- */

/* A field, as offsets into the buffer that was parsed. */
typedef struct ac__field {
    uint32_t name, name_len, value, value_len;
} ac__field;

/*
 * The head of a response, or a trailer section. The caller keeps all bytes of it in one buffer,
 * which may move between calls with all that was passed so far. On success each name, each value
 * and the reason is ended by a NUL in that buffer (written over a byte behind it), white space
 * around values is trimmed, and a folded value has become one line: each fold, or several with
 * nothing between them, is one SP. Until then, and after an error, the buffer is the parser's.
 */
typedef struct ac__head {
    /* set by ac__head_init() */
    ac__field *fields;     /* where fields go; may move between calls, with its contents */
    uint32_t   max_fields; /* room there; one more is -AC_ETOOLARGE with `full` set: the caller may
                              make `fields` larger, raise max_fields and call again */
    bool       full;       /* set by each ac__head_parse() */

    /* results */
    uint32_t count;              /* fields so far */
    uint16_t status;             /* 100 to 599 */
    uint8_t  minor;              /* the version is HTTP/1.minor; above 1 counts as 1 */
    uint32_t reason, reason_len; /* offset; may be empty */

    /* private */
    uint32_t at;
    uint8_t  state;
    bool     trailers;
    uint32_t mark, mark2; /* of the value on its way: its beginning, and its end so far */
} ac__head;

/*
 * Prepares for a head (`trailers` false) or a trailer section, and sets all results to 0. Fields of
 * trailers that are to go behind those of their head need `fields` and `max_fields` to say so.
 */
void ac__head_init(ac__head *h, ac__field *fields, uint32_t max_fields, bool trailers);

/*
 * Parses buf[0..len), going on where the last call stopped.
 * Returns the length of the head with its empty line; -EAGAIN: more is needed; -AC_EPROTO;
 * -AC_ETOOLARGE: see `full`; without it, len is over 2^32 - 1. After the end it returns the same
 * again; after an error, but for `full`, it is not to be called again.
 */
ssize_t ac__head_parse(ac__head *h, char *buf, size_t len);

/* --- framing ------------------------------------------------------------------------------ */

typedef enum ac__framing { AC__NO_BODY, AC__BY_LENGTH, AC__CHUNKED, AC__UNTIL_CLOSE } ac__framing;

/*
 * Decides how the body of a final response is framed (RFC 9112, 6.3), from the head alone and the
 * request's method. `*length`: for AC__BY_LENGTH; also the value of a sound Content-Length where
 * there is no body (HEAD, 304), else -1. Returns 0 or -AC_EPROTO.
 */
int ac__framing_of(const ac__head *h, const char *buf, bool head_request, ac__framing *framing,
                   int64_t *length);

/* Whether the connection persists by version and every Connection field (RFC 9112, 9.3). */
bool ac__persists(const ac__head *h, const char *buf);

/* Whether the fields announce a body, in whatever way. */
bool ac__announces_body(const ac__head *h, const char *buf);

/* Compares a name or token without regard to case. */
bool ac__token_is(const char *text, size_t len, const char *lower);

/* A body on its way. */
typedef struct ac__body {
    ac__framing framing;
    bool        done; /* complete; with AC__CHUNKED the trailer section comes next */
    int64_t     left; /* bytes of the length or of this chunk; -1: not known */
    uint32_t    line; /* bytes of the size line so far */
    uint8_t     state;
} ac__body;

/* `length` as of ac__framing_of(). A body of length 0 is done at once. */
void ac__body_init(ac__body *b, ac__framing framing, int64_t length);

/*
 * Takes the next piece of the body out of buf[0..len), len > 0.
 *
 * Returns how many bytes were used up, > 0 or, when `done` was reached without one, 0; *data and
 * *data_len are the piece of the body among them, perhaps empty, and lie in buf. -AC_EPROTO: bad
 * framing; -AC_ETOOLARGE: a size line of more than 4 KiB. Nothing comes after an error.
 *
 * With AC__CHUNKED `done` is set behind the CRLF of the last-chunk line; the trailer section, at
 * least an empty line, follows and is for ac__head_parse() with `trailers`.
 */
ssize_t ac__body_next(ac__body *b, const char *buf, size_t len, const char **data,
                      size_t *data_len);

/*
 * Bytes of the body that are known to come next without any framing between them (0 where framing
 * comes next); -1: not known, until close.
 */
int64_t ac__body_known(const ac__body *b);
/* Says that `n` > 0 of them were taken without ac__body_next(), with `n` <= ac__body_known(). */
void ac__body_skip(ac__body *b, int64_t n);

/* --- checks of what is sent --------------------------------------------------------------- */

bool ac__is_token(const char *text, size_t len);       /* RFC 9110, 5.6.2 */
bool ac__is_field_value(const char *text, size_t len); /* no controls but TAB */

#endif
