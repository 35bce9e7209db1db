/* SPDX-License-Identifier: MIT */
/*
 * Holding a request back on behalf of one consumer. Of several that stand behind a tee each may
 * want it: the request goes on when the last of them lets go.
 */
#ifndef AC__HOLD_H
#define AC__HOLD_H

#include "asyncore/consumer.h"

void ac__consumer_hold(ac_consumer *c);
void ac__consumer_release(ac_consumer *c);

#endif
