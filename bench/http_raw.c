/* SPDX-License-Identifier: MIT */
/*
 * Fetching with epoll by hand: what the system calls alone cost, with the least that finds the end
 * of a response that has a Content-Length. Modes: recv, lowat (SO_RCVLOWAT of 512 KiB), trunc (the
 * body is dropped in the kernel, with SO_RCVLOWAT of 1 MiB). Errors end it.
 */
#include "http_bench.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { BUFFER = 64 * 1024 };

struct conn {
    int     fd, lowat;
    int64_t left; /* of the body; -1: the head is awaited */
};

static struct http_bench bench;
static char              request[512];
static size_t            request_len;
static char              buffer[4 * BUFFER];
static int               lowat;
static bool              trunc_it;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void next(struct conn *c)
{
    if (bench.left <= 0)
        return;
    bench.left--;
    c->left = -1;
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        fail("send");
}

static void set_lowat(struct conn *c)
{
    int want = c->left > 4 * (int64_t)lowat ? lowat : 1;

    if (lowat == 0 || want == c->lowat)
        return;
    c->lowat = want;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &want, sizeof want);
}

/* Returns whether there may be more to read. */
static bool take(struct conn *c)
{
    bool    drop = trunc_it && c->left > 0;
    size_t  room = drop ? (c->left < 8 << 20 ? (size_t)c->left : 8 << 20) : sizeof buffer - 1;
    ssize_t n =
        recv(c->fd, drop ? NULL : buffer, room, drop ? MSG_TRUNC | MSG_DONTWAIT : MSG_DONTWAIT);
    bool full = n == (ssize_t)room;

    if (n < 0)
        return false;
    if (n == 0)
        fail("end");
    if (c->left < 0) {
        char *end, *length;

        buffer[n] = '\0';
        end       = strstr(buffer, "\r\n\r\n");
        length    = strstr(buffer, "Content-Length: ");
        if (end == NULL || length == NULL || strncmp(buffer, "HTTP/1.1 200", 12) != 0)
            fail("head");
        c->left = atoll(length + 16);
        n -= end + 4 - buffer;
    }
    c->left -= n;
    bench.bytes += n;
    set_lowat(c);
    if (c->left > 0)
        return full;
    bench.done++;
    next(c);
    return false;
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    struct epoll_event events[256];
    struct conn       *conns;
    long               expected;
    unsigned           port;
    char               host[64], path[256];
    int                epfd = epoll_create1(EPOLL_CLOEXEC);

    http_bench_args(&bench, argc, argv);
    expected = bench.left;
    trunc_it = strcmp(bench.mode, "trunc") == 0;
    lowat    = strcmp(bench.mode, "lowat") == 0 ? 512 * 1024 : trunc_it ? 1024 * 1024 : 0;
    if (sscanf(bench.url, "http://%63[^:]:%u%255s", host, &port, path) != 3)
        return 2;
    addr.sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, host, &addr.sin_addr);
    request_len =
        (size_t)snprintf(request, sizeof request,
                         "GET %s HTTP/1.1\r\nHost: %s:%u\r\nAccept: */*\r\n\r\n", path, host, port);
    conns = calloc((size_t)bench.connections, sizeof *conns);
    http_bench_begin();
    for (int i = 0; i < bench.connections; i++) {
        struct epoll_event e   = {.events = EPOLLIN, .data.ptr = &conns[i]};
        int                one = 1;

        conns[i] = (struct conn){.fd = socket(AF_INET, SOCK_STREAM, 0), .lowat = 1};
        if (connect(conns[i].fd, (struct sockaddr *)&addr, sizeof addr) < 0)
            fail("connect");
        setsockopt(conns[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(epfd, EPOLL_CTL_ADD, conns[i].fd, &e);
        next(&conns[i]);
    }
    while (bench.done < expected) {
        int n = epoll_wait(epfd, events, 256, 10000);

        if (n <= 0)
            fail("epoll_wait");
        for (int i = 0; i < n; i++)
            while (take(events[i].data.ptr))
                continue;
    }
    return http_bench_end(&bench, expected);
}
