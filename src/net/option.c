/* SPDX-License-Identifier: MIT */
/* What a socket is, and its options. */
#include "channel.h"

#include <errno.h>
#include <netinet/tcp.h>

/* 0, or why the socket of a channel cannot be asked. */
static int has_socket(ac_dispatcher *d)
{
    int rc = ac__verb(d);

    if (rc < 0)
        return rc;
    return d->source_.fd < 0 ? -ENOTCONN : 0;
}

int ac_peername(ac_dispatcher *d, ac_addr *out)
{
    int rc = has_socket(d);

    if (rc < 0 || out == NULL)
        return rc < 0 ? rc : -EINVAL;
    out->len = sizeof out->u;
    rc       = d->loop->sys->getpeername(d->loop->sys, d->source_.fd, &out->u.sa, &out->len);
    if (rc < 0)
        out->len = 0;
    return rc;
}

int ac_sockname(ac_dispatcher *d, ac_addr *out)
{
    int rc = has_socket(d);

    if (rc < 0 || out == NULL)
        return rc < 0 ? rc : -EINVAL;
    out->len = sizeof out->u;
    rc       = d->loop->sys->getsockname(d->loop->sys, d->source_.fd, &out->u.sa, &out->len);
    if (rc < 0)
        out->len = 0;
    return rc;
}

uint16_t ac_local_port(ac_dispatcher *d)
{
    ac_addr addr;

    return ac_sockname(d, &addr) == 0 ? ac_addr_port(&addr) : 0;
}

int ac_fileno(ac_dispatcher *d)
{
    if (has_socket(d) < 0)
        return -1;
    d->rare_ |= AC__RARE_SHARED;
    /* What it takes to be readable may be about to change: it has to show anew how it reads. */
    d->rare_ &= (uint16_t)~AC__RARE_LEVEL;
    if ((d->source_.sent & AC__LEVEL) != 0)
        ac__source_touch(d->loop, &d->source_);
    return d->source_.fd;
}

int ac_set_nodelay(ac_dispatcher *d, bool on)
{
    int value = on ? 1 : 0;
    int rc    = has_socket(d);

    if (rc < 0)
        return rc;
    return d->loop->sys->setsockopt(d->loop->sys, d->source_.fd, IPPROTO_TCP, TCP_NODELAY, &value,
                                    sizeof value);
}

int ac_set_keepalive(ac_dispatcher *d, int64_t idle)
{
    ac__sys *sys;
    int      on = idle >= 1 ? 1 : 0;
    int      seconds;
    int      rc = has_socket(d);

    if (rc < 0)
        return rc;
    sys = d->loop->sys;
    rc  = sys->setsockopt(sys, d->source_.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (rc < 0 || on == 0)
        return rc;
    /* tcp(7) takes 1 to 32767 seconds. */
    idle    = idle / AC_SECOND + (idle % AC_SECOND != 0 ? 1 : 0);
    seconds = idle > 32767 ? 32767 : (int)idle;
    rc = sys->setsockopt(sys, d->source_.fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    if (rc == 0)
        rc = sys->setsockopt(sys, d->source_.fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds,
                             sizeof seconds);
    return rc;
}

int ac_set_reuseport(ac_dispatcher *d, bool on)
{
    int      rc = ac__verb_open(d);
    ac__ext *x;

    if (rc < 0)
        return rc;
    x = ac__ext_get(d);
    if (x == NULL)
        return -ENOMEM;
    x->reuseport = on;
    return 0;
}

int ac_start_tls(ac_dispatcher *d, void *context, const char *server_name)
{
    int rc = ac__verb(d);

    (void)context;
    (void)server_name;
    return rc < 0 ? rc : -ENOTSUP;
}
