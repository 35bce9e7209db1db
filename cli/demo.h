/* SPDX-License-Identifier: MIT */
/* The parts of the demo. */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

#include "cli.h"

/* Serves pages and fetches them, on this loop: the exit status. */
int demo_http(struct cli *cli, ac_loop *loop);

#endif
