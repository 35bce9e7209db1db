/* SPDX-License-Identifier: MIT */
/* Tells the time to whoever connects: time_server [PORT]. */
#include <asyncore.h>

#include <stdio.h>
#include <stdlib.h>

static void channel_write(ac_dispatcher *d)
{
    uint8_t t[4];

    ac_put_be32(t, (uint32_t)ac_time(d->loop) + AC_RFC868_EPOCH);
    ac_write(d, t, sizeof t);
    ac_close_when_sent(d);
}

static const ac_class time_channel = {
    .name         = "TimeChannel",
    .handle_write = channel_write,
};

static void server_accept(ac_dispatcher *d)
{
    ac_sock sock;

    while (ac_accept(d, &sock, NULL) == 0)
        ac_attach(ac_new(ac_dispatcher, d->loop, &time_channel), sock);
}

static const ac_class time_server = {
    .name          = "TimeServer",
    .handle_accept = server_accept,
};

int main(int argc, char **argv)
{
    ac_loop      *loop = ac_loop_new();
    ac_dispatcher server;
    int           err;

    ac_init(&server, loop, &time_server);
    err = ac_listen(&server, NULL, (uint16_t)(argc > 1 ? atoi(argv[1]) : 8037), 5);
    if (err < 0) {
        fprintf(stderr, "time_server: cannot listen: %s\n", ac_strerror(err));
        ac_loop_free(loop);
        return 1;
    }
    printf("listening on port %d\n", ac_local_port(&server));
    fflush(stdout);
    ac_run(loop);
    ac_loop_free(loop);
}
