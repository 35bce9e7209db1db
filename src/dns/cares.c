/* SPDX-License-Identifier: MIT */
/* c-ares on a loop: sockets, time-outs, memory, configuration. */
#include "cares.h"

#include "asyncore/addr.h"

#include "../base/alloc.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <string.h>

enum { ROUNDS = 3 }; /* of questions to all servers */

int ac__dns_timeout = 2000;

/* --- memory ------------------------------------------------------------------------------- */

/* c-ares asks for 0 bytes too, for an empty message; the library's allocator is never asked so. */
static void *take(size_t len)
{
    return ac__alloc(len > 0 ? len : 1);
}

static void *retake(void *ptr, size_t len)
{
    return ac__realloc(ptr, len > 0 ? len : 1);
}

static int library_status;

static void library_start(void)
{
    library_status = ares_library_init_mem(ARES_LIB_INIT_ALL, take, ac__free, retake);
}

/* --- sockets ------------------------------------------------------------------------------ */

struct sock {
    ac__source source;
    ac__cares *c;
    bool       dgram;
    int        err; /* negative: what reading and writing say from now on */
};

static struct sock *sock_of(ac__source *s)
{
    return AC__OF(struct sock, source, s);
}

/* Only descriptors that open_socket() made come back from c-ares. */
static struct sock *sock_at(const ac__cares *c, int fd)
{
    return sock_of(c->loop->watch[fd].source);
}

/* A result of the system table as c-ares wants it. */
static ssize_t posix_result(ssize_t rc)
{
    if (rc >= 0)
        return rc;
    errno = (int)-rc;
    return -1;
}

static void sock_update(ac_loop *loop, ac__source *s)
{
    (void)loop;
    (void)s; /* kept up to date by watch_socket() */
}

static void arm(ac__cares *c, int64_t delay)
{
    c->due = ac__deadline(c->loop, delay);
    (void)ac_timer_start(&c->timer, delay);
}

/* After each call that may have asked or answered: makes the timer fire early enough. */
static void rearm(ac__cares *c)
{
    int64_t first = ac__dns_timeout * AC_MILLISECOND;

    if (c->pending == 0) {
        if (c->due != AC_FOREVER)
            arm(c, AC_FOREVER);
    } else if (c->due > ac__deadline(c->loop, first)) {
        arm(c, first);
    }
}

static void sock_serve(ac_loop *loop, ac__source *s, unsigned due)
{
    struct sock *sock  = sock_of(s);
    ac__cares   *c     = sock->c;
    unsigned     ready = s->ready;

    (void)due;
    /* A hang-up is found out by the call that then fails. */
    if ((ready & (AC__HUP | AC__RDHUP)) != 0)
        ready |= (unsigned)s->want & (AC__READ | AC__WRITE);
    s->ready   = (uint8_t)(ready & (AC__READ | AC__WRITE));
    ready      = ready & s->want;
    c->serving = s;
    ares_process_fd(c->channel, (ready & AC__READ) != 0 ? s->fd : ARES_SOCKET_BAD,
                    (ready & AC__WRITE) != 0 ? s->fd : ARES_SOCKET_BAD);
    if (c->serving != NULL)
        ac__source_touch(loop, c->serving); /* what is left is served without a new event */
    c->serving = NULL;
    rearm(c);
}

static void sock_refused(ac_loop *loop, ac__source *s, int err)
{
    sock_of(s)->err = err;
    s->ready |= AC__READ | AC__WRITE;
    (void)loop;
}

static const ac__source_ops sock_ops = {
    .update  = sock_update,
    .serve   = sock_serve,
    .refused = sock_refused,
};

static ares_socket_t open_socket(int family, int type, int protocol, void *data)
{
    ac__cares   *c    = data;
    ac__sys     *sys  = c->loop->sys;
    struct sock *sock = ac__calloc(sizeof *sock);
    int          fd, rc;

    if (sock == NULL)
        return (ares_socket_t)posix_result(-ENOMEM);
    ac__source_init(&sock->source, &sock_ops);
    sock->c     = c;
    sock->dgram = type == SOCK_DGRAM;
    rc = fd = sys->socket(sys, family, type, protocol);
    if (fd >= 0)
        rc = ac__source_bind(c->loop, &sock->source, fd);
    if (rc >= 0)
        return fd;
    if (fd >= 0)
        (void)sys->close(sys, fd);
    ac__free(sock);
    return (ares_socket_t)posix_result(rc);
}

static int close_socket(ares_socket_t fd, void *data)
{
    ac__cares   *c    = data;
    ac__sys     *sys  = c->loop->sys;
    struct sock *sock = sock_at(c, fd);

    if (c->serving == &sock->source)
        c->serving = NULL;
    if (ac__linked(&sock->source.work))
        ac__list_remove(&sock->source.work);
    (void)ac__source_unbind(c->loop, &sock->source, false);
    (void)sys->close(sys, fd);
    ac__free(sock);
    return 0;
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *addr, ares_socklen_t len,
                          void *data)
{
    ac__cares *c   = data;
    ac__sys   *sys = c->loop->sys;
    int        rc;

    AC__RETRY(rc, sys->connect(sys, fd, addr, len));
    return (int)posix_result(rc);
}

static ares_ssize_t receive(ares_socket_t fd, void *buf, size_t len, int flags,
                            struct sockaddr *from, ares_socklen_t *from_len, void *data)
{
    ac__cares    *c    = data;
    ac__sys      *sys  = c->loop->sys;
    struct sock  *sock = sock_at(c, fd);
    struct iovec  iov  = {.iov_base = buf, .iov_len = len};
    struct msghdr msg  = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t       n;

    if (sock->err < 0)
        return posix_result(sock->err);
    do {
        msg.msg_name    = from;
        msg.msg_namelen = from_len != NULL ? *from_len : 0;
        AC__RETRY(n, sys->recvmsg(sys, fd, &msg, flags));
    } while (n == 0 && sock->dgram); /* c-ares takes an empty datagram for the end of the server */
    if (from_len != NULL)
        *from_len = msg.msg_namelen;
    if (n == -EAGAIN)
        sock->source.ready &= (uint8_t)~AC__READ;
    return posix_result(n);
}

static ares_ssize_t transmit(ares_socket_t fd, const struct iovec *iov, int count, void *data)
{
    ac__cares    *c    = data;
    ac__sys      *sys  = c->loop->sys;
    struct sock  *sock = sock_at(c, fd);
    struct iovec  copy[1];
    struct msghdr msg  = {.msg_iov = copy, .msg_iovlen = 1};
    size_t        done = 0;
    ssize_t       n    = 0;

    if (sock->err < 0)
        return posix_result(sock->err);
    for (int i = 0; i < count; i++) {
        copy[0] = iov[i];
        AC__RETRY(n, sys->sendmsg(sys, fd, &msg, MSG_NOSIGNAL));
        if (n < 0)
            break;
        done += (size_t)n;
        if ((size_t)n < iov[i].iov_len)
            break;
    }
    if (done > 0)
        return (ares_ssize_t)done;
    if (n == -EAGAIN) {
        /* A full queue of datagrams is no failing server: the question counts as lost. */
        if (sock->dgram)
            return (ares_ssize_t)iov[0].iov_len;
        sock->source.ready &= (uint8_t)~AC__WRITE;
    } else if (n < 0 && sock->dgram) {
        /* An earlier question was refused: those that are on their way learn of it by reading. */
        sock->err = (int)n;
        sock->source.ready |= AC__READ;
        ac__source_touch(c->loop, &sock->source);
    }
    return posix_result(n);
}

static void watch_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    ac__cares   *c    = data;
    struct sock *sock = sock_at(c, fd);
    ac__source  *s    = &sock->source;

    s->want = (uint8_t)((readable ? AC__READ | AC__HUP : 0) | (writable ? AC__WRITE : 0)
                        | (sock->dgram && readable ? AC__EXACT : 0));
    ac__source_touch(c->loop, s);
}

static const struct ares_socket_functions socket_functions = {
    .asocket   = open_socket,
    .aclose    = close_socket,
    .aconnect  = connect_socket,
    .arecvfrom = receive,
    .asendv    = transmit,
};

/* --- time-outs ---------------------------------------------------------------------------- */

static void timed_out(ac_timer *t)
{
    ac__cares      *c = AC_CONTAINER(ac__cares, timer, t);
    struct timeval  tv;
    struct timeval *left;

    arm(c, AC_FOREVER); /* at once, while the place in the heap is surely free */
    if (c->channel == NULL || c->pending == 0)
        return;
    ares_process_fd(c->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    left = ares_timeout(c->channel, NULL, &tv);
    if (left != NULL && c->pending > 0)
        /* It counts whole milliseconds and rounds down: one more, or it would be asked in vain. */
        arm(c, left->tv_sec * AC_SECOND + left->tv_usec * AC_MICROSECOND + AC_MILLISECOND);
    rearm(c);
}

/* --- configuration ------------------------------------------------------------------------ */

/* Reads one address of the list: 0, or -EINVAL. */
static int read_server(struct ares_addr_port_node *out, const char *text, size_t len)
{
    char    copy[AC_ADDR_TEXT];
    ac_addr addr;

    if (len >= sizeof copy)
        return -EINVAL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (ac_addr_parse(&addr, copy, NS_DEFAULTPORT) < 0)
        return -EINVAL;
    *out = (struct ares_addr_port_node){.family   = ac_addr_family(&addr),
                                        .udp_port = ac_addr_port(&addr),
                                        .tcp_port = ac_addr_port(&addr)};
    if (out->udp_port == 0)
        return -EINVAL;
    if (out->family == AF_INET) {
        out->addr.addr4 = addr.u.in.sin_addr;
        return 0;
    }
    /* c-ares has no place for the zone of a link-local address. */
    if (out->family != AF_INET6 || addr.u.in6.sin6_scope_id != 0)
        return -EINVAL;
    memcpy(&out->addr.addr6, &addr.u.in6.sin6_addr, sizeof out->addr.addr6);
    return 0;
}

/* Sets the servers of a list "ADDR[:PORT],...": 0, -EINVAL or -ENOMEM. */
static int set_servers(ares_channel channel, const char *list)
{
    struct ares_addr_port_node *servers;
    size_t                      n  = 1;
    int                         rc = 0;

    for (const char *p = list; (p = strchr(p, ',')) != NULL; p++)
        n++;
    servers = ac__calloc(n * sizeof *servers);
    if (servers == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n && rc == 0; i++) {
        size_t len = strcspn(list, ",");

        rc = read_server(&servers[i], list, len);
        list += len + 1;
        servers[i].next = i + 1 < n ? &servers[i + 1] : NULL;
    }
    if (rc == 0 && ares_set_servers_ports(channel, servers) != ARES_SUCCESS)
        rc = -ENOMEM;
    ac__free(servers);
    return rc;
}

int ac__cares_init(ac__cares *c, ac_loop *loop)
{
    *c = (ac__cares){.loop = loop};
    ac__timer_init(&c->timer, loop, timed_out);
    c->due = AC_FOREVER;
    return ac_timer_start(&c->timer, AC_FOREVER);
}

int ac__cares_open(ac__cares *c)
{
    static pthread_once_t once    = PTHREAD_ONCE_INIT;
    char                  dns[]   = "b"; /* only DNS: the hosts file is read by names.c */
    struct ares_options   options = {.timeout            = ac__dns_timeout,
                                     .tries              = ROUNDS,
                                     .lookups            = dns,
                                     .sock_state_cb      = watch_socket,
                                     .sock_state_cb_data = c};
    int                   mask, rc;

    if (c->channel != NULL)
        return 0;
    (void)pthread_once(&once, library_start);
    if (library_status != ARES_SUCCESS)
        return library_status == ARES_ENOMEM ? -ENOMEM : -AC_EDNS;
    rc = ares_init_options(&c->channel, &options,
                           ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS
                               | ARES_OPT_SOCK_STATE_CB);
    if (rc != ARES_SUCCESS) {
        c->channel = NULL;
        return rc == ARES_ENOMEM ? -ENOMEM : -AC_EDNS;
    }
    ares_set_socket_functions(c->channel, &socket_functions, c);
    rc = c->loop->nameservers != NULL ? set_servers(c->channel, c->loop->nameservers) : 0;
    if (rc == 0 && ares_save_options(c->channel, &c->config, &mask) != ARES_SUCCESS)
        rc = -ENOMEM;
    if (rc < 0)
        ac__cares_close(c);
    return rc;
}

void ac__cares_close(ac__cares *c)
{
    ares_channel channel = c->channel;

    if (channel == NULL)
        return;
    ares_destroy(channel);
    c->channel = NULL;
    ares_destroy_options(&c->config);
    memset(&c->config, 0, sizeof c->config);
    rearm(c);
}

void ac__cares_cancel(ac__cares *c)
{
    ares_cancel(c->channel);
    rearm(c);
}

void ac__cares_end(ac__cares *c)
{
    ac__cares_close(c);
    ac_timer_stop(&c->timer);
}

void ac__cares_query(ac__cares *c, const char *name, int type, ares_callback answer, void *arg)
{
    c->pending++;
    ares_query(c->channel, name, ns_c_in, type, answer, arg);
    rearm(c);
}
