/* SPDX-License-Identifier: MIT */
/*
 * Listeners: accepting, and waiting for descriptors when there are none. A listener that is out of
 * descriptors is ready all the time and can do nothing about it: it is paused instead of called.
 */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum { ACCEPTS = 64, BACKLOG = 4096, FOREIGN = 1 };

/* --- listening ---------------------------------------------------------------------------- */

/* Sets the options, binds, listens on the channel's socket: 0 or -errno. */
static int start(ac_dispatcher *d, const ac_addr *addr, int backlog, bool both)
{
    ac__sys *sys = d->loop->sys;
    int      fd  = d->source_.fd;
    int      on = 1, only = both ? 0 : 1;
    int      family = addr->u.sa.sa_family;
    int      rc     = 0;

    if (family != AF_UNIX)
        (void)sys->setsockopt(sys, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        rc = sys->setsockopt(sys, fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    if (rc == 0 && d->ext_ != NULL && d->ext_->reuseport)
        rc = sys->setsockopt(sys, fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (rc == 0)
        rc = sys->bind(sys, fd, &addr->u.sa, addr->len);
    if (rc == 0)
        rc = sys->listen(sys, fd, backlog > 0 ? backlog : BACKLOG);
    return rc;
}

static int listen_at(ac_dispatcher *d, const ac_addr *addr, int backlog, bool both)
{
    ac_loop *loop = d->loop;
    int      fd   = ac__connect_socket(loop, addr->u.sa.sa_family, SOCK_STREAM);
    int      rc;

    if (fd < 0)
        return fd;
    rc = ac__adopt(d, fd);
    if (rc == 0) {
        rc = start(d, addr, backlog, both);
        if (rc < 0)
            (void)ac__source_unbind(loop, &d->source_, false);
    }
    if (rc < 0) {
        (void)loop->sys->close(loop->sys, fd);
        return rc;
    }
    ac__join(d, &ac__transport_socket);
    d->flags_ |= AC__LISTENING;
    return 0;
}

int ac_listen_addr(ac_dispatcher *d, const ac_addr *addr, int backlog)
{
    int rc = ac__verb_open(d);

    if (rc < 0)
        return rc;
    if (addr == NULL || addr->len == 0)
        return -EINVAL;
    return listen_at(d, addr, backlog, false);
}

int ac_listen(ac_dispatcher *d, const char *host, uint16_t port, int backlog)
{
    ac_addr addr;
    int     rc = ac__verb_open(d);

    if (rc < 0)
        return rc;
    if (host != NULL && host[0] != '\0') {
        rc = ac_addr_ip(&addr, host, port) < 0 ? -EINVAL : 0; /* names are looked up nowhere */
        return rc < 0 ? rc : listen_at(d, &addr, backlog, false);
    }
    (void)ac_addr_ip(&addr, "::", port);
    rc = listen_at(d, &addr, backlog, true);
    if (rc != -EAFNOSUPPORT && rc != -EADDRNOTAVAIL)
        return rc;
    (void)ac_addr_ip(&addr, "0.0.0.0", port);
    return listen_at(d, &addr, backlog, false);
}

/* --- out of descriptors --------------------------------------------------------------------- */

static void resume(ac_dispatcher *d)
{
    ac__accept_unhold(d);
    d->source_.ready |= AC__READ;
    ac__source_touch(d->loop, &d->source_);
}

static void resume_fired(ac_timer *t)
{
    ac__ext *x = AC_CONTAINER(ac__ext, accept_timer, t);

    resume(x->owner);
}

void ac__accept_unhold(ac_dispatcher *d)
{
    if ((d->flags_ & AC__ACCEPT_HELD) == 0)
        return;
    d->flags_ &= ~(uint32_t)AC__ACCEPT_HELD;
    ac_timer_stop(&d->ext_->accept_timer);
    ac__list_remove(&d->ext_->paused);
}

void ac__descriptor_freed(ac_loop *loop)
{
    while (!ac__list_empty(&loop->paused))
        resume(AC__OF(ac__ext, paused, loop->paused.next)->owner);
}

static void hold(ac_dispatcher *d, int err)
{
    ac_loop *loop = d->loop;
    ac__ext *x    = ac__ext_get(d);
    int      rc   = -ENOMEM;
    char     what[192];

    loop->stats.accept_pauses++;
    if (x != NULL) {
        x->owner   = d;
        x->backoff = x->backoff == 0 ? 100 * AC_MILLISECOND : x->backoff * 2;
        if (x->backoff > AC_SECOND)
            x->backoff = AC_SECOND;
        ac__timer_init(&x->accept_timer, loop, resume_fired);
        rc = ac_timer_start(&x->accept_timer, x->backoff);
    }
    if (rc < 0) { /* not even room for a timer: the next connection tries again */
        d->source_.ready &= (uint8_t)~AC__READ;
        return;
    }
    d->flags_ |= AC__ACCEPT_HELD;
    ac__list_append(&loop->paused, &x->paused);
    if (x->backoff < AC_SECOND && x->backoff > 100 * AC_MILLISECOND)
        return; /* a line at the first pause, and then one a second */
    ac__describe(d, what, sizeof what);
    ac__log_info(d, "warning", "%s: accept: %s; paused", what, ac_strerror(err));
}

/* --- accepting ---------------------------------------------------------------------------- */

/* Whether accept() failed for the sake of that one connection alone (accept(2)). */
static bool passed_over(int rc)
{
    switch (rc) {
    case -EINTR:
    case -ECONNABORTED:
    case -EPROTO:
    case -EPERM:
    case -ENETDOWN:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -ENONET:
    case -EHOSTUNREACH:
    case -EOPNOTSUPP:
    case -ENETUNREACH:
        return true;
    default:
        return false;
    }
}

static bool out_of_room(int rc)
{
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS || rc == -ENOMEM;
}

/* One of the 64 that a listener may take in a turn. */
static bool may_accept(ac_dispatcher *d)
{
    if (ac__used(d) < ACCEPTS) {
        ac__use(d, 1);
        return true;
    }
    d->loop->stats.budget_stops++;
    d->source_.ready |= AC__READ;
    ac__source_touch(d->loop, &d->source_);
    return false;
}

int ac_accept(ac_dispatcher *listener, ac_sock *sock, ac_addr *peer)
{
    ac_dispatcher *d  = listener;
    int            rc = ac__verb(d);
    ac_addr        addr;

    if (rc < 0)
        return rc;
    if ((d->flags_ & AC__LISTENING) == 0 || sock == NULL)
        return -EINVAL;
    d->flags_ |= AC__TOOK;
    if ((d->flags_ & AC__ACCEPT_HELD) != 0)
        return -EAGAIN;
    do {
        if (!may_accept(d))
            return -EAGAIN;
        addr.len = sizeof addr.u;
        rc       = d->loop->sys->accept(d->loop->sys, d->source_.fd, &addr.u.sa, &addr.len);
    } while (passed_over(rc));
    if (rc >= 0) {
        if (d->ext_ != NULL)
            d->ext_->backoff = 0;
        if (peer != NULL)
            *peer = addr;
        *sock = (ac_sock){.loop_ = d->loop, .id_ = rc};
        return 0;
    }
    if (out_of_room(rc)) {
        hold(d, rc);
        return rc;
    }
    d->source_.ready &= (uint8_t)~AC__READ;
    if (d->loop->serving != &d->source_)
        ac__source_touch(d->loop, &d->source_);
    if (rc != -EAGAIN)
        ac__fail(d, rc, "accept", NULL);
    return rc;
}

/* --- attaching ---------------------------------------------------------------------------- */

/* What a descriptor of the caller's making is: flags, or -errno. */
static int foreign(ac_loop *loop, int fd)
{
    ac__sys  *sys  = loop->sys;
    ac_addr   addr = {.len = 0};
    int       type = 0, listens = 0;
    socklen_t len   = sizeof type;
    int       flags = fcntl(fd, F_GETFL);
    int       rc    = flags < 0 ? -errno : 0;

    if (rc == 0)
        rc = sys->getsockopt(sys, fd, SOL_SOCKET, SO_TYPE, &type, &len);
    if (rc == 0 && (flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        rc = -errno;
    if (rc < 0)
        return rc;
    len = sizeof listens;
    if (sys->getsockopt(sys, fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens != 0)
        return AC__LISTENING;
    addr.len = sizeof addr.u;
    rc       = sys->getpeername(sys, fd, &addr.u.sa, &addr.len) == 0 ? AC__CONNECTED : 0;
    if (type == SOCK_DGRAM)
        return rc | AC__DGRAM;
    if (rc == 0)
        return -ENOTCONN;
    return rc | (type == SOCK_STREAM ? AC__SHORT_OK : 0);
}

int ac_attach(ac_dispatcher *d, ac_sock sock)
{
    int rc, flags = AC__CONNECTED | AC__SHORT_OK;

    if (sock.loop_ == NULL || sock.id_ < 0) {
        ac_drop(NULL, sock);
        return -EINVAL;
    }
    rc = d == NULL ? -ENOMEM : ac__verb_open(d);
    if (rc == 0 && d->loop != sock.loop_)
        rc = -EINVAL;
    if (rc == 0 && sock.kind_ == FOREIGN)
        rc = flags = foreign(d->loop, sock.id_);
    if (rc >= 0)
        rc = ac__adopt(d, sock.id_);
    if (rc == -ENOMEM
        && d != NULL) { /* told later: nobody need look at the result to lose nothing */
        ac_drop(sock.loop_, sock);
        ac__join(d, &ac__transport_socket);
        ac__fail(d, rc, "attach", NULL);
        return 0;
    }
    if (rc < 0) {
        if (rc != -EEXIST) /* the number is another channel's, which goes on to use it */
            ac_drop(sock.loop_, sock);
        return rc;
    }
    ac__join(d, &ac__transport_socket);
    d->flags_ |= (uint32_t)flags;
    if (sock.kind_ == FOREIGN)
        d->rare_ |= AC__RARE_SHARED;
    ac__arm(d);
    d->source_.ready |= AC__WRITE;
    ac__times_begin(d, AC_IDLE, AC_FOREVER);
    return 0;
}

ac_sock ac_sock_from_fd(ac_loop *loop, int fd)
{
    return (ac_sock){.loop_ = loop, .id_ = fd, .kind_ = FOREIGN};
}

void ac_drop(ac_loop *loop, ac_sock sock)
{
    if (loop == NULL)
        loop = sock.loop_;
    if (sock.id_ < 0 || (sock.loop_ == NULL && sock.kind_ != FOREIGN))
        return;         /* none: ac_accept() has not filled it */
    if (loop == NULL) { /* its loop could not be made */
        (void)ac__sys_posix.close(&ac__sys_posix, sock.id_);
        return;
    }
    (void)loop->sys->close(loop->sys, sock.id_);
    ac__descriptor_freed(loop);
}
