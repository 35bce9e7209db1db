/* SPDX-License-Identifier: MIT */
/*
 * The load that a server is given, by epoll and no library:
 *
 *   load echo|fan|churn ACTIVE IDLE AT_ONCE ASK ANSWER PORT
 *
 * Opens ACTIVE + IDLE connections, AT_ONCE at a time; on each it asks ASK bytes once and awaits ANSWER
 * bytes. One at a time gives a server the same turns in each run. Then prints "ready" and, for each
 * number N that it reads from stdin, does N of its kind and prints N. At the end of stdin it ends.
 *
 *   echo   each active connection asks, awaits the whole answer, and asks again
 *   fan    the first asks, and all active ones await the answer, N times; 1 is one answer at one of
 *          them
 *   churn  ACTIVE at a time are opened, ask, are answered, and see the server close; one more
 *          connection lies idle, whose end tells the server to end
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 256, LARGEST = 256 * 1024, LINE = 64, LONGEST = 300 };

struct conn {
    int    fd;
    size_t got; /* bytes of the answer under way */
};

static char               buf[LARGEST], question[LARGEST];
static size_t             ask_len, answer_len, nactive;
static int                set;
static struct conn       *conns;
static struct sockaddr_in server = {.sin_family = AF_INET};

static void need(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static void ask(const struct conn *c)
{
    need(send(c->fd, question, ask_len, MSG_NOSIGNAL) == (ssize_t)ask_len, "load: send");
}

/* Whether a whole answer has come. */
static int answered(struct conn *c, int flags)
{
    size_t  left = answer_len - c->got;
    ssize_t n    = recv(c->fd, buf, left < sizeof buf ? left : sizeof buf, flags);

    need(n > 0, "load: recv");
    c->got += (size_t)n;
    if (c->got < answer_len)
        return 0;
    c->got = 0;
    return 1;
}

/* A few thousand from each address: the kernel finds a free port quickly then. */
static int connected(void)
{
    static uint32_t    count;
    struct sockaddr_in from = {.sin_family = AF_INET};
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    need(fd >= 0, "load: socket");
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + count++ / 4000 % 200);
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    need(bind(fd, (struct sockaddr *)&from, sizeof from) == 0, "load: bind");
    need(connect(fd, (struct sockaddr *)&server, sizeof server) == 0, "load: connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void watch(struct conn *c)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

    need(epoll_ctl(set, EPOLL_CTL_ADD, c->fd, &ev) == 0, "load: epoll_ctl");
}

static void open_all(size_t n, size_t at_once)
{
    /* The first alone: what a server makes once is there then. */
    for (size_t i = 0, step = 1; i < n; i += step, step = at_once) {
        size_t last = i + step < n ? i + step : n;

        for (size_t k = i; k < last; k++) {
            conns[k].fd = connected();
            ask(&conns[k]);
        }
        for (size_t k = i; k < last; k++)
            while (!answered(&conns[k], 0))
                ;
    }
    for (size_t i = 0; i < nactive; i++)
        watch(&conns[i]);
}

static int wait_for(struct epoll_event *events)
{
    int n = epoll_wait(set, events, BATCH, 20000);

    need(n > 0, "load: no answer");
    return n;
}

static void echo(size_t echoes)
{
    struct epoll_event events[BATCH];
    size_t             asked = 0, done = 0;

    for (; asked < nactive && asked < echoes; asked++)
        ask(&conns[asked]);
    while (done < echoes) {
        int n = wait_for(events);

        for (int i = 0; i < n; i++) {
            if (!answered(events[i].data.ptr, MSG_DONTWAIT))
                continue;
            done++;
            if (asked < echoes) {
                ask(events[i].data.ptr);
                asked++;
            }
        }
    }
}

static void fan(size_t answers)
{
    struct epoll_event events[BATCH];

    for (size_t done = 0; done < answers;) {
        size_t end = done + nactive;

        ask(&conns[0]);
        while (done < end) {
            int n = wait_for(events);

            for (int i = 0; i < n; i++)
                done += (size_t)answered(events[i].data.ptr, MSG_DONTWAIT);
        }
    }
}

static void start(struct conn *c)
{
    c->fd  = connected();
    c->got = 0;
    ask(c);
    watch(c);
}

/* Whether the server has closed; then so do we, by a reset that leaves nothing behind. */
static int ended(struct conn *c)
{
    struct linger at_once = {.l_onoff = 1};
    ssize_t       n       = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);

    need(n >= 0, "load: recv");
    c->got += (size_t)n;
    if (n > 0)
        return 0;
    need(c->got == answer_len, "load: an answer cut short");
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(c->fd);
    return 1;
}

static void churn(size_t connections)
{
    struct epoll_event events[BATCH];
    size_t             started = 0, done = 0;

    for (; started < nactive && started < connections; started++)
        start(&conns[started]);
    while (done < connections) {
        int n = wait_for(events);

        for (int i = 0; i < n; i++) {
            if (!ended(events[i].data.ptr))
                continue;
            done++;
            if (started < connections) {
                start(events[i].data.ptr);
                started++;
            }
        }
    }
}

static void allow_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    size_t numbers[6];
    char   line[32];
    char   kind = argc == 8 ? argv[1][0] : 0;

    need(kind == 'e' || kind == 'f' || kind == 'c', "load: arguments");
    for (int i = 0; i < 6; i++)
        numbers[i] = (size_t)strtoul(argv[i + 2], NULL, 10);
    nactive                = numbers[0];
    ask_len                = numbers[3];
    answer_len             = numbers[4];
    server.sin_port        = htons((uint16_t)numbers[5]);
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    set                    = epoll_create1(EPOLL_CLOEXEC);
    conns                  = calloc(nactive + numbers[1] + 1, sizeof *conns);
    need(numbers[2] > 0 && ask_len > 0 && ask_len <= sizeof question && answer_len > 0,
         "load: numbers");
    need(set >= 0 && conns != NULL, "load");
    allow_files();
    (void)alarm(LONGEST);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof question; i++)
        question[i] = i % LINE == LINE - 1 ? '\n' : 'x';
    if (kind == 'f')
        question[0] = '+';
    if (kind == 'c')
        (void)connected();
    else
        open_all(nactive + numbers[1], numbers[2]);
    question[0] = 'x';
    puts("ready");
    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t n = (size_t)strtoul(line, NULL, 10);

        (void)alarm(LONGEST);
        (kind == 'e' ? echo : kind == 'f' ? fan : churn)(n);
        printf("%zu\n", n);
    }
    return 0;
}
