/* SPDX-License-Identifier: MIT */
/* Asks a time server for its time: time_client [HOST [PORT]]. */
#include <asyncore.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct time_request { /* time requestor, RFC 868 */
    ac_dispatcher base;
    uint8_t       buf[4];
    size_t        got;
};

static void handle_read(ac_dispatcher *d)
{
    struct time_request *self = AC_SELF(struct time_request, d);
    ssize_t              n    = ac_recv(d, self->buf + self->got, 4 - self->got);

    if (n <= 0)
        return; /* nothing yet; EOF and errors are told next */
    if ((self->got += (size_t)n) < 4)
        return;

    uint32_t here = (uint32_t)ac_time(d->loop) + AC_RFC868_EPOCH;
    printf("time difference is %" PRId32 "\n", (int32_t)(here - ac_be32(self->buf)));
    ac_close(d); /* we don't expect more data */
}

static const ac_class time_request = {
    .name        = "TimeRequest",
    .handle_read = handle_read,
};

int main(int argc, char **argv)
{
    ac_loop            *loop    = ac_loop_new();
    struct time_request request = {0};

    ac_init(&request.base, loop, &time_request);
    ac_connect(&request.base, argc > 1 ? argv[1] : "localhost",
               (uint16_t)(argc > 2 ? atoi(argv[2]) : 8037));
    ac_run(loop);
    ac_loop_free(loop);
    return request.got < 4;
}
