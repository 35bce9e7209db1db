/* SPDX-License-Identifier: MIT */
/* Opening and connecting. What can fail later fails later, by the one path that serve.c tells. */
#include "channel.h"

#include "connector.h"

#include "../base/alloc.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

static bool is_ip(int family)
{
    return family == AF_INET || family == AF_INET6;
}

int ac__connect_socket(ac_loop *loop, int family, int type)
{
    ac__sys *sys = loop->sys;
    int      on  = 1;
    int      fd  = sys->socket(sys, family, type, 0);

    if (fd >= 0 && type == SOCK_STREAM && is_ip(family)) /* a refusal costs speed, nothing else */
        (void)sys->setsockopt(sys, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

int ac__connect_result(ac_loop *loop, int fd)
{
    ac__sys  *sys  = loop->sys;
    ac_addr   here = {.len = 0}, there = {.len = 0};
    int       err = 0;
    socklen_t len = sizeof err;
    int       rc  = sys->getsockopt(sys, fd, SOL_SOCKET, SO_ERROR, &err, &len);

    if (rc < 0 || err != 0)
        return rc < 0 ? rc : -err;
    here.len = there.len = sizeof here.u;
    rc                   = sys->getpeername(sys, fd, &there.u.sa, &there.len);
    if (rc < 0)
        return rc == -ENOTCONN ? -EAGAIN : rc;
    if (!is_ip(there.u.sa.sa_family))
        return 0;
    /* A client whose own port is the one it asks for can meet itself (simultaneous open). */
    rc = sys->getsockname(sys, fd, &here.u.sa, &here.len);
    return rc == 0 && ac_addr_equal(&here, &there) ? -ECONNREFUSED : 0;
}

/* --- opening ------------------------------------------------------------------------------ */

/* Makes the socket of a channel and joins the loop: 0, or -errno with the channel as it was. */
static int open_socket(ac_dispatcher *d, int family, int type)
{
    ac__sys *sys = d->loop->sys;
    int      fd  = ac__connect_socket(d->loop, family, type);
    int      rc;

    if (fd < 0)
        return fd;
    rc = ac__adopt(d, fd);
    if (rc < 0) {
        (void)sys->close(sys, fd);
        return rc;
    }
    if (type == SOCK_DGRAM)
        d->flags_ |= AC__DGRAM;
    else
        d->flags_ |= AC__SHORT_OK;
    if ((d->flags_ & AC__OPEN) == 0)
        ac__join(d, &ac__transport_socket);
    return 0;
}

int ac_open(ac_dispatcher *d, int family, int type)
{
    int rc = ac__verb_open(d);

    if (rc < 0)
        return rc;
    if ((!is_ip(family) && family != AF_UNIX) || (type != SOCK_STREAM && type != SOCK_DGRAM))
        return -EINVAL;
    return open_socket(d, family, type);
}

int ac_bind_addr(ac_dispatcher *d, const ac_addr *addr)
{
    int rc = ac__verb(d);
    int on = 1;

    if (rc < 0)
        return rc;
    if (addr == NULL || addr->len == 0 || d->source_.fd < 0)
        return -EINVAL;
    if (is_ip(addr->u.sa.sa_family) && (d->flags_ & AC__DGRAM) == 0)
        (void)d->loop->sys->setsockopt(d->loop->sys, d->source_.fd, SOL_SOCKET, SO_REUSEADDR, &on,
                                       sizeof on);
    return d->loop->sys->bind(d->loop->sys, d->source_.fd, &addr->u.sa, addr->len);
}

/* --- connecting ----------------------------------------------------------------------------- */

/* Keeps what is connected to, for the log: "connect to [::1]:37". Does without where memory ends. */
static void remember(ac_dispatcher *d, const char *host, uint16_t port)
{
    ac__ext *x = ac__ext_get(d);
    char     buf[320];

    if (x == NULL)
        return;
    if (port != 0)
        (void)snprintf(buf, sizeof buf, "connect to %.256s:%u", host, (unsigned)port);
    else
        (void)snprintf(buf, sizeof buf, "connect to %.256s", host);
    ac__free(x->text);
    x->text = ac__strdup(buf);
}

void ac__connect_failed(ac_dispatcher *d, int err)
{
    const char *text = d->ext_ != NULL && d->ext_->text != NULL ? d->ext_->text : "connect";

    ac__fail_text(d, err, text, NULL);
}

void ac__connect_done(ac_dispatcher *d)
{
    if (d->ext_ == NULL)
        return;
    ac__free(d->ext_->text);
    d->ext_->text = NULL;
}

/* Begins to connect the channel's own socket: 0, or why that failed at once. */
static int begin(ac_dispatcher *d, const ac_addr *addr)
{
    ac__sys *sys = d->loop->sys;
    int      rc  = sys->connect(sys, d->source_.fd, &addr->u.sa, addr->len);

    d->flags_ |= AC__CONNECTING;
    if (rc == 0 || rc == -EISCONN)
        d->source_.ready |= AC__WRITE; /* told in the next turn, not in this call */
    else if (rc != -EINPROGRESS && rc != -EINTR && rc != -EALREADY)
        return rc;
    if ((d->flags_ & AC__DGRAM) == 0)
        ac__times_begin(d, AC_CONNECT, 30 * AC_SECOND);
    ac__source_touch(d->loop, &d->source_);
    return 0;
}

/* The same, with a failure to be told later. */
static void begin_or_fail(ac_dispatcher *d, const ac_addr *addr)
{
    int rc = begin(d, addr);

    if (rc < 0)
        ac__connect_failed(d, rc);
}

static int connect_new(ac_dispatcher *d, const ac_addr *addr, int type)
{
    char text[AC_ADDR_TEXT];
    int  rc = open_socket(d, addr->u.sa.sa_family, type);

    if (rc < 0) { /* told later, as all that is not misuse */
        if ((d->flags_ & AC__OPEN) == 0)
            ac__join(d, &ac__transport_socket);
        d->flags_ |= AC__CONNECTING;
        ac__fail(d, rc, "socket for", addr);
        return 0;
    }
    remember(d, ac_addr_format(addr, text, sizeof text), 0);
    begin_or_fail(d, addr);
    return 0;
}

int ac_connect_addr(ac_dispatcher *d, const ac_addr *addr)
{
    /* What has failed has ended, though its handlers may leave it open. */
    const uint32_t begun = AC__CONNECTING | AC__CONNECTED | AC__LISTENING | AC__TELLING | AC__ENDED;
    char           text[AC_ADDR_TEXT];
    int            rc;

    if (addr == NULL || addr->len == 0)
        return -EINVAL;
    if (d != NULL && d->loop != NULL && (d->flags_ & AC__OPEN) != 0) {
        rc = ac__verb(d);
        if (rc < 0)
            return rc;
        if (d->source_.fd < 0 || (d->flags_ & begun) != 0)
            return -EISCONN;
        remember(d, ac_addr_format(addr, text, sizeof text), 0);
        begin_or_fail(d, addr);
        return 0;
    }
    rc = ac__verb_open(d);
    return rc < 0 ? rc : connect_new(d, addr, SOCK_STREAM);
}

/* By name: the connector's descriptors are its own until one of them has won. */
static int connect_name(ac_dispatcher *d, const char *host, uint16_t port, int type)
{
    int rc;

    ac__join(d, &ac__transport_socket);
    d->flags_ |= AC__CONNECTING;
    if (type == SOCK_DGRAM)
        d->flags_ |= AC__DGRAM;
    remember(d, host, port);
    ac__times_begin(d, AC_CONNECT, 30 * AC_SECOND);
    if ((d->flags_ & AC__FAILED) != 0)
        return 0;
    rc = ac__ext_get(d) != NULL ? ac__connector_start(d, host, port, type) : -ENOMEM;
    if (rc < 0)
        ac__connect_failed(d, rc);
    return 0;
}

static int connect_host(ac_dispatcher *d, const char *host, uint16_t port, int type)
{
    ac_addr addr;
    int     rc = ac__verb_open(d);

    if (rc < 0)
        return rc;
    if (host == NULL || port == 0)
        return -EINVAL;
    if (ac_addr_ip(&addr, host, port) == 0)
        return connect_new(d, &addr, type);
    return connect_name(d, host, port, type);
}

int ac_connect(ac_dispatcher *d, const char *host, uint16_t port)
{
    return connect_host(d, host, port, SOCK_STREAM);
}

int ac_connect_udp(ac_dispatcher *d, const char *host, uint16_t port)
{
    return connect_host(d, host, port, SOCK_DGRAM);
}

void ac__connected(ac_dispatcher *d, ac__source *from)
{
    ac__source_move(d->loop, &d->source_, from);
    d->source_.ready = from->ready & (AC__READ | AC__WRITE | AC__RDHUP | AC__HUP | AC__PRI);
    if ((d->flags_ & AC__DGRAM) == 0)
        d->flags_ |= AC__SHORT_OK;
    ac__established(d);
}

bool ac__connect_next(ac_dispatcher *d, ssize_t *err)
{
    ac__ext *x   = d->ext_;
    ac__sys *sys = d->loop->sys;

    while (x != NULL && x->other < x->nothers) {
        const ac_addr *addr = &x->others[x->other++];
        int old = ac__source_unbind(d->loop, &d->source_, (d->rare_ & AC__RARE_SHARED) != 0);
        int rc;

        if (old >= 0)
            (void)sys->close(sys, old);
        d->flags_ &= ~(uint32_t)(AC__CONNECTED | AC__CONNECTING);
        d->rare_ &= (uint16_t)~AC__RARE_SHARED;
        d->source_.ready &= AC__CALL;
        rc = open_socket(d, addr->u.sa.sa_family, SOCK_DGRAM);
        if (rc == 0)
            rc = begin(d, addr);
        if (rc == 0)
            return true;
        d->flags_ &= ~(uint32_t)AC__CONNECTING;
        *err = rc;
    }
    return false;
}
