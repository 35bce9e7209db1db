/* SPDX-License-Identifier: MIT */
/**
 * asyncore: a reactor for C. A socket is an object, and you override what it does when something
 * can be done.
 *
 * This header includes the whole of the core library and holds nothing itself. The conventions
 * that all of its functions follow are at the top of <asyncore/base.h>.
 */
#ifndef ASYNCORE_H
#define ASYNCORE_H

#include "asyncore/addr.h"
#include "asyncore/base.h"
#include "asyncore/chat.h"
#include "asyncore/dgram.h"
#include "asyncore/dispatcher.h"
#include "asyncore/file.h"
#include "asyncore/loop.h"
#include "asyncore/post.h"
#include "asyncore/rfc868.h"
#include "asyncore/sender.h"
#include "asyncore/signal.h"
#include "asyncore/timer.h"
#include "asyncore/workers.h"

#endif
