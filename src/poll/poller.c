/* SPDX-License-Identifier: MIT */
/* The backends that are compiled in. */
#include "poller.h"

#include <string.h>

const ac__poller_class *const ac__pollers[] = {
    &ac__poller_epoll,
#ifdef AC__IO_URING
    &ac__poller_io_uring,
#endif
    &ac__poller_poll,     &ac__poller_select, NULL,
};

const ac__poller_class *ac__poller_find(const char *name)
{
    if (name == NULL)
        return NULL;
    for (size_t i = 0; ac__pollers[i] != NULL; i++)
        if (strcmp(ac__pollers[i]->name, name) == 0)
            return ac__pollers[i];
    return NULL;
}
