/* SPDX-License-Identifier: MIT */
/* What the files about character sets share among themselves. */
#ifndef AC__CHARSETS_H
#define AC__CHARSETS_H

#include "charset.h"

typedef enum ac__charset_kind {
    AC__CS_UTF8,
    AC__CS_SINGLE, /* a byte is a character, and ASCII is itself */
    AC__CS_WIDE,   /* by iconv; ASCII is not itself */
    AC__CS_ICONV   /* by iconv */
} ac__charset_kind;

struct ac__charset {
    const char      *name; /* iconv's */
    ac__charset_kind kind;
    const char      *labels; /* each with a space before and behind it */
};

/*
 * One byte of UTF-8. Returns 0: in the middle of a character; 1: held[0..held_len) is one, and the
 * next call begins anew; -1: the byte is not one of UTF-8's; -2: what was held is none, and the
 * byte is to be given again.
 */
int ac__utf8_step(ac__converter *c, unsigned char byte);

#endif
