/* SPDX-License-Identifier: MIT */
/*
 * Sends back what it gets (RFC 862): echo_server [PORT]. A client that sends and does not read is
 * held back: once the send queue has reached its high mark the channel stops reading, until the
 * queue has drained.
 */
#include <asyncore.h>

#include <stdio.h>
#include <stdlib.h>

enum { LOW = 16 * 1024, HIGH = 64 * 1024, LIMIT = 1024 * 1024 };

static void handle_read(ac_dispatcher *d)
{
    const void *data;
    ssize_t     n = ac_read(d, &data);
    int         rc;

    if (n <= 0)
        return; /* nothing yet; EOF and errors are told next */
    rc = ac_write(d, data, (size_t)n);
    if (rc < 0)
        ac_fail(d, rc);
    else if (ac_queued(d) >= HIGH)
        ac_pause(d);
}

static void handle_drain(ac_dispatcher *d)
{
    ac_resume(d);
}

static const ac_class echo_channel = {
    .name         = "EchoChannel",
    .handle_read  = handle_read,
    .handle_drain = handle_drain,
};

static void handle_accept(ac_dispatcher *d)
{
    ac_sock sock;

    while (ac_accept(d, &sock, NULL) == 0) {
        ac_dispatcher *channel = ac_new(ac_dispatcher, d->loop, &echo_channel);

        if (ac_attach(channel, sock) < 0 || ac_set_marks(channel, LOW, HIGH, LIMIT) < 0)
            ac_close(channel);
    }
}

static const ac_class echo_server = {
    .name          = "EchoServer",
    .handle_accept = handle_accept,
};

int main(int argc, char **argv)
{
    ac_loop      *loop = ac_loop_new();
    ac_dispatcher server;
    int           err;

    ac_init(&server, loop, &echo_server);
    err = ac_listen(&server, NULL, (uint16_t)(argc > 1 ? atoi(argv[1]) : 8007), 0);
    if (err < 0) {
        fprintf(stderr, "echo_server: cannot listen: %s\n", ac_strerror(err));
        ac_loop_free(loop);
        return 1;
    }
    printf("listening on port %d\n", ac_local_port(&server));
    fflush(stdout);
    ac_run(loop);
    ac_loop_free(loop);
}
