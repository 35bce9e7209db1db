/* SPDX-License-Identifier: MIT */
/* What the two halves of a conversation need of each other: chat.c, input; producer.c, output. */
#ifndef AC__CHAT_PRIVATE_H
#define AC__CHAT_PRIVATE_H

#include "asyncore/chat.h"

#include "channel.h"

/* The rare parts of the channel, or NULL; from then on they release what the conversation holds. */
ac__ext *ac__chat_ext(ac_chat *c);

/* Whether it cuts input now: what is pushed will be written when that is done. */
bool ac__chat_cuts(const ac_chat *c);

/* One step of the output that waits. Returns whether there is more. */
bool ac__chat_refill(ac_dispatcher *d);
/* Drops the output that waits; the producers are told by a later turn. */
void ac__chat_drop_output(ac_chat *c);
/* The channel is closed: tells the producers now. */
void ac__chat_end_output(ac_chat *c);

#endif
