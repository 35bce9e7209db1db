/* SPDX-License-Identifier: MIT */
/* Datagrams, with the address of ours that each was sent to, so that answers leave from it. */
#include "channel.h"

#include <errno.h>
#include <string.h>

#define RETRY (10 * AC_MILLISECOND)

union control {
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct cmsghdr align;
};

/* --- listening ---------------------------------------------------------------------------- */

static int bind_at(ac_dispatcher *d, const ac_addr *addr, bool both)
{
    ac__sys *sys    = d->loop->sys;
    int      family = addr->u.sa.sa_family;
    int      on = 1, only = both ? 0 : 1;
    int      fd = sys->socket(sys, family, SOCK_DGRAM, 0);
    int      rc = 0;

    if (fd < 0)
        return fd;
    if (family == AF_INET6) {
        rc = sys->setsockopt(sys, fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
        if (rc == 0)
            rc = sys->setsockopt(sys, fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    } else {
        rc = sys->setsockopt(sys, fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    }
    if (rc == 0 && d->ext_ != NULL && d->ext_->reuseport)
        rc = sys->setsockopt(sys, fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (rc == 0)
        rc = sys->bind(sys, fd, &addr->u.sa, addr->len);
    if (rc == 0)
        rc = ac__adopt(d, fd);
    if (rc < 0) {
        (void)sys->close(sys, fd);
        return rc;
    }
    ac__join(d, &ac__transport_socket);
    d->flags_ |= AC__DGRAM;
    ac__arm(d);
    d->source_.ready |= AC__WRITE;
    return 0;
}

int ac_listen_udp(ac_dispatcher *d, const char *host, uint16_t port)
{
    ac_addr addr;
    int     rc = ac__verb_open(d);

    if (rc < 0)
        return rc;
    if (host != NULL && host[0] != '\0') {
        rc = ac_addr_ip(&addr, host, port) < 0 ? -EINVAL : 0;
        return rc < 0 ? rc : bind_at(d, &addr, false);
    }
    (void)ac_addr_ip(&addr, "::", port);
    rc = bind_at(d, &addr, true);
    if (rc != -EAFNOSUPPORT && rc != -EADDRNOTAVAIL)
        return rc;
    (void)ac_addr_ip(&addr, "0.0.0.0", port);
    return bind_at(d, &addr, false);
}

/* --- receiving ---------------------------------------------------------------------------- */

/* Finds the address of ours that a datagram was sent to. */
static void read_local(struct msghdr *msg, ac_dgram *from)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof info);
            from->local.u.in6 =
                (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = info.ipi6_addr};
            from->local.len = sizeof from->local.u.in6;
            from->ifindex   = (unsigned)info.ipi6_ifindex;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof info);
            from->local.u.in =
                (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = info.ipi_addr};
            from->local.len = sizeof from->local.u.in;
            from->ifindex   = (unsigned)info.ipi_ifindex;
        }
    }
}

ssize_t ac_recvfrom(ac_dispatcher *d, void *buf, size_t len, ac_dgram *from)
{
    struct iovec  iov = {.iov_base = buf, .iov_len = len};
    ac_dgram      unused;
    union control control;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t       n;
    int           rc = ac__verb(d);

    if (rc < 0)
        return rc;
    if ((d->flags_ & AC__DGRAM) == 0 || (buf == NULL && len > 0) || d->source_.fd < 0)
        return -EINVAL;
    if (ac__budget(d, AC__BUDGET) == 0)
        return -EAGAIN;
    if (from == NULL)
        from = &unused;
    *from              = (ac_dgram){.ifindex = 0};
    msg.msg_name       = &from->peer.u;
    msg.msg_namelen    = sizeof from->peer.u;
    msg.msg_control    = control.bytes;
    msg.msg_controllen = sizeof control.bytes;
    AC__RETRY(n, d->loop->sys->recvmsg(d->loop->sys, d->source_.fd, &msg, 0));
    if (n >= 0) {
        from->peer.len  = msg.msg_namelen;
        from->truncated = (msg.msg_flags & MSG_TRUNC) != 0;
        read_local(&msg, from);
    }
    return ac__read_result(d, len, n);
}

/* --- sending ------------------------------------------------------------------------------ */

/* Says by which address of ours the datagram is to leave. */
static void write_local(struct msghdr *msg, union control *control, const ac_dgram *to)
{
    struct cmsghdr *c;

    if (to->local.len == 0)
        return;
    memset(control, 0, sizeof *control);
    msg->msg_control = control->bytes;
    if (to->local.u.sa.sa_family == AF_INET6) {
        struct in6_pktinfo info = {.ipi6_addr = to->local.u.in6.sin6_addr};

        /* Only a link-local address is bound to its interface: others are routed as usual. */
        if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
            info.ipi6_ifindex = to->ifindex;
        msg->msg_controllen = CMSG_SPACE(sizeof info);
        c                   = CMSG_FIRSTHDR(msg);
        c->cmsg_level       = IPPROTO_IPV6;
        c->cmsg_type        = IPV6_PKTINFO;
        c->cmsg_len         = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
    } else if (to->local.u.sa.sa_family == AF_INET) {
        struct in_pktinfo info = {.ipi_spec_dst = to->local.u.in.sin_addr};

        msg->msg_controllen = CMSG_SPACE(sizeof info);
        c                   = CMSG_FIRSTHDR(msg);
        c->cmsg_level       = IPPROTO_IP;
        c->cmsg_type        = IP_PKTINFO;
        c->cmsg_len         = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
    }
}

static void retry(ac_timer *t)
{
    ac__ext       *x = AC_CONTAINER(ac__ext, accept_timer, t);
    ac_dispatcher *d = x->owner;

    x->held = false;
    ac__arm(d);
    d->source_.ready |= AC__WRITE;
    ac__source_touch(d->loop, &d->source_);
}

/*
 * The system has no room, but calls the socket writable: what is full is a queue behind it. Tried again
 * a little later.
 */
static ssize_t no_room(ac_dispatcher *d)
{
    ac__ext *x = ac__ext_get(d);

    if (x == NULL)
        return -ENOMEM;
    d->flags_ |= AC__TOOK | AC__WROTE;
    if (x->held)
        return -EAGAIN;
    x->owner = d;
    ac__timer_init(&x->accept_timer, d->loop, retry);
    if (ac_timer_start(&x->accept_timer, RETRY) < 0)
        return -ENOMEM;
    x->held = true;
    return -EAGAIN;
}

ssize_t ac_sendto(ac_dispatcher *d, const void *buf, size_t len, const ac_dgram *to)
{
    struct iovec  iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    union control control;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t       n;
    int           rc = ac__verb(d);

    if (rc < 0)
        return rc;
    if ((d->flags_ & AC__DGRAM) == 0 || (buf == NULL && len > 0) || d->source_.fd < 0)
        return -EINVAL;
    if (to == NULL && (d->flags_ & AC__CONNECTED) == 0)
        return -ENOTCONN;
    if (to != NULL) {
        msg.msg_name    = (void *)(uintptr_t)&to->peer.u;
        msg.msg_namelen = to->peer.len;
        write_local(&msg, &control, to);
    }
    AC__RETRY(n, d->loop->sys->sendmsg(d->loop->sys, d->source_.fd, &msg, MSG_NOSIGNAL));
    if (n == -ENOBUFS || (n == -EAGAIN && to != NULL && to->peer.u.sa.sa_family == AF_UNIX))
        return no_room(d);
    return ac__write_result(d, len, n);
}
