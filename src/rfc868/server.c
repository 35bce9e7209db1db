/* SPDX-License-Identifier: MIT */
/*
 * The server of the time protocol. It stands on the public interface alone, and keeps no state of a
 * client after its answer is sent.
 */
#include "asyncore/rfc868.h"
#include "asyncore/sender.h"

#include <errno.h>

/* How long a client may leave its answer, or its side open: then its memory is needed elsewhere. */
#define WRITE_LIMIT  AC_SECOND
#define LINGER_LIMIT (250 * AC_MILLISECOND)

/* Datagrams answered in one callback. The rest is told again, after the other channels. */
enum { DATAGRAMS = 64 };

static void put_time(ac_loop *loop, uint8_t answer[4])
{
    ac_put_be32(answer, (uint32_t)ac_time(loop) + AC_RFC868_EPOCH);
}

/*
 * Closing at once would make the system reset the connection where the client has sent something,
 * and the answer would be lost; so it lingers, but shortly.
 */
static void channel_write(ac_dispatcher *d)
{
    uint8_t answer[4];

    put_time(d->loop, answer);
    if (ac_write(d, answer, sizeof answer) < 0) {
        ac_close(d);
        return;
    }
    (void)ac_set_timeout(d, AC_LINGER, LINGER_LIMIT);
    if (ac_queued(d) > 0)
        (void)ac_set_timeout(d, AC_WRITE, WRITE_LIMIT);
    ac_close_when_sent(d);
}

static const ac_class channel_class = {
    .name         = "TimeChannel",
    .handle_write = channel_write,
};

static void server_accept(ac_dispatcher *d)
{
    ac_sock sock;

    while (ac_accept(d, &sock, NULL) == 0) {
        ac_dispatcher *channel = ac_new(ac_dispatcher, d->loop, &channel_class);

        if (ac_attach(channel, sock) < 0)
            ac_close(channel);
    }
}

static const ac_class tcp_class = {
    .name          = "TimeServer",
    .handle_accept = server_accept,
};

/* An answer is not empty, so that two servers never answer each other. */
static void server_read(ac_dispatcher *d)
{
    uint8_t  byte, answer[4];
    ac_dgram from;
    ssize_t  n;

    for (int i = 0; i < DATAGRAMS; i++) {
        n = ac_recvfrom(d, &byte, sizeof byte, &from);
        if (n < 0)
            return;
        if (n > 0)
            continue;
        put_time(d->loop, answer);
        (void)ac_sendto(d, answer, sizeof answer, &from); /* a lost answer is asked for again */
    }
}

static const ac_class udp_class = {
    .name        = "TimeServer",
    .handle_read = server_read,
};

int ac_time_server_start(ac_time_server *s, ac_loop *loop, const char *host, uint16_t port,
                         ac_rfc868_transport transport)
{
    int rc;

    if (s == NULL || (transport != AC_RFC868_TCP && transport != AC_RFC868_UDP))
        return -EINVAL;
    *s = (ac_time_server){0};
    rc = ac_init(&s->base, loop, transport == AC_RFC868_TCP ? &tcp_class : &udp_class);
    if (rc < 0)
        return rc;
    if (transport == AC_RFC868_UDP)
        return ac_listen_udp(&s->base, host, port);
    return ac_listen(&s->base, host, port, 0);
}
