/* SPDX-License-Identifier: MIT */
/* Character sets: which one a page is in, and its bytes as UTF-8. */
#ifndef AC__CHARSET_H
#define AC__CHARSET_H

#include <iconv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A string that grows. Zeroed: empty. */
typedef struct ac__text {
    char  *data;
    size_t len, cap;
} ac__text;

int  ac__text_add(ac__text *t, const char *data, size_t len); /* 0 or -ENOMEM */
void ac__text_drop(ac__text *t, size_t len);                  /* the first `len` bytes go */
void ac__text_free(ac__text *t);

/* A character set that pages are written in: a constant. */
typedef struct ac__charset ac__charset;

/* By a label of the WHATWG's Encoding Standard, in any case; NULL: none that is known. */
const ac__charset *ac__charset_find(const char *label, size_t len);

/* What the value of Content-Type says: the last known one of several values. NULL: nothing. */
const ac__charset *ac__charset_of_type(const char *type);

/* What the byte order mark at the beginning says, and its length. NULL: there is none. */
const ac__charset *ac__charset_of_mark(const char *data, size_t len, size_t *mark);

/* Whether this may still become a byte order mark when more of it comes. */
bool ac__charset_mark_begun(const char *data, size_t len);

/* What a <meta> says among the first bytes of a page, which end where they end. NULL: nothing. */
const ac__charset *ac__charset_of_meta(const char *data, size_t len);

/* Where no one says anything: UTF-8 if these bytes are, else windows-1252. @cut: more bytes follow,
 * so that the last character may be cut. */
const ac__charset *ac__charset_guess(const char *data, size_t len, bool cut);

bool ac__charset_is_utf8(const ac__charset *charset);

/*
 * The charset= parameter in `text`, as it stands in a <meta>: its known label, or NULL.
 */
const ac__charset *ac__charset_in(const char *text, size_t len);

/* The code points of a set of single bytes, -1 where there is none. 0, or negative: no such set. */
int ac__charset_table(const char *label, int table[256]);

/* Turns bytes into UTF-8, piece by piece. */
typedef struct ac__converter {
    const ac__charset *charset;
    iconv_t            cd;
    uint16_t           high[128]; /* of single bytes from 0x80 on; 0: none */
    unsigned char      held[8];   /* the beginning of a character */
    size_t             held_len;
    unsigned char      want, low, top; /* UTF-8: length, and bounds of the next byte */
    bool               open;
} ac__converter;

/* 0, -ENOMEM, or -ENOSYS: the C library lacks the set. */
int ac__converter_open(ac__converter *c, const ac__charset *charset);

/*
 * Appends `data` to `out` as UTF-8: what is no character, and NUL, becomes U+FFFD. Characters may
 * be split over calls; with `last` what is still open is closed. 0 or -ENOMEM.
 */
int ac__converter_run(ac__converter *c, const char *data, size_t len, bool last, ac__text *out);

void ac__converter_close(ac__converter *c); /* one that is zeroed too */

#endif
