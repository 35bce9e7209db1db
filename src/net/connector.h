/* SPDX-License-Identifier: MIT */
/*
 * What the network layer needs of name lookups. Declared here and defined in src/dns, so that
 * includes point only downwards.
 */
#ifndef AC__CONNECTOR_H
#define AC__CONNECTOR_H

#include "asyncore/dispatcher.h"

typedef struct ac__connector ac__connector;

/*
 * Begins to connect a channel by name: looks `host` up and races the addresses (RFC 8305). The
 * result comes from the loop, never inside this call: ac__connected() or ac__fail*(). It lives in
 * memory of the library's; nothing of it touches `d` after ac__connector_cancel().
 *
 * `d->ext_->connector` is set to it on success, and to NULL before the result is told.
 *
 * type      SOCK_STREAM, or SOCK_DGRAM: addresses in order, the first that connect() takes; the rest
 *           stay in `d->ext_->others`.
 * Returns 0 or -ENOMEM, with nothing started.
 */
int ac__connector_start(ac_dispatcher *d, const char *host, uint16_t port, int type);

/* The channel is closed, or out of time. Frees the connector now or later. */
void ac__connector_cancel(ac__connector *c);

#endif
