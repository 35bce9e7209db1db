/* SPDX-License-Identifier: MIT */
/*
 * A name server for tests: a thread with a UDP and a TCP socket at one port of 127.0.0.1, which
 * answers by a table. A name that is not in the table does not exist. "*.NAME" in the table stands
 * for all names below NAME.
 */
#ifndef DNSPEER_H
#define DNSPEER_H

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DNS_A = 1, DNS_AAAA = 28 };

/* What may be done with a question, beside answering it. */
enum {
    DNS_SILENT     = 1 << 0,  /* never answered */
    DNS_TRUNCATED  = 1 << 1,  /* by UDP cut short, so that TCP is needed */
    DNS_TCP_SILENT = 1 << 2,  /* by TCP never answered */
    DNS_TCP_CUT    = 1 << 3,  /* by TCP half an answer, then the end */
    DNS_FORGED_ID  = 1 << 4,  /* first a forged answer with another id */
    DNS_FORGED_Q   = 1 << 5,  /* first a forged answer to another question */
    DNS_EMPTY      = 1 << 6,  /* first an empty datagram */
    DNS_CNAMES     = 1 << 7,  /* the addresses are those of the last of ten aliases */
    DNS_OTHER      = 1 << 8,  /* the addresses are those of another name */
    DNS_LOOP       = 1 << 9,  /* the name in the answer points at itself */
    DNS_HELD       = 1 << 10, /* not before dns_release() */
    DNS_TCP_BYTES  = 1 << 11  /* by TCP in pieces of one byte */
};

struct dns_rule {
    const char *name;
    int         type;  /* DNS_A, DNS_AAAA */
    const char *addrs; /* "A,B,...", "A*N" for A and the N-1 after it; NULL: none */
    unsigned    flags;
    int         rcode;
    int         delay; /* milliseconds */
};

struct dns_held {
    struct dns_held   *next;
    int64_t            due; /* milliseconds; INT64_MAX: until released */
    struct sockaddr_in to;
    size_t             len;
    uint8_t            msg[65536];
};

struct dns_peer {
    const struct dns_rule *rules;
    int                    udp, tcp, quit[2];
    uint16_t               port;
    pthread_t              thread;
    struct dns_held       *held;
    atomic_uint            questions; /* that came by UDP */
    atomic_uint            by_tcp;
    atomic_uint            connections;
    atomic_bool            released;
    char                   text[32]; /* for ac_loop_options.nameservers */
};

static int64_t dns_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static size_t dns_put16(uint8_t *out, unsigned v)
{
    out[0] = (uint8_t)(v >> 8);
    out[1] = (uint8_t)v;
    return 2;
}

static size_t dns_put_name(uint8_t *out, const char *name)
{
    size_t n = 0;

    while (*name != '\0') {
        size_t len = strcspn(name, ".");

        out[n++] = (uint8_t)len;
        memcpy(out + n, name, len);
        n += len;
        name += len + (name[len] == '.');
    }
    out[n++] = 0;
    return n;
}

/* The text of the name at offset 12; returns the length of the question behind the header. */
static size_t dns_read_question(const uint8_t *q, size_t len, char *name, int *type)
{
    size_t i = 12, n = 0;

    while (i < len && q[i] != 0 && i + q[i] < len) {
        memcpy(name + n, q + i + 1, q[i]);
        n += q[i];
        name[n++] = '.';
        i += 1u + q[i];
    }
    name[n > 0 ? n - 1 : 0] = '\0';
    if (i + 5 > len)
        return 0;
    *type = q[i + 1] << 8 | q[i + 2];
    return i + 5 - 12;
}

static size_t dns_put_record(uint8_t *out, const char *owner, int type, const void *data,
                             size_t len)
{
    size_t n = 0;

    if (owner == NULL)
        n += dns_put16(out, 0xC00C); /* the name of the question */
    else
        n += dns_put_name(out, owner);
    n += dns_put16(out + n, (unsigned)type);
    n += dns_put16(out + n, 1);
    memset(out + n, 0, 4);
    n += 4;
    n += dns_put16(out + n, (unsigned)len);
    memcpy(out + n, data, len);
    return n + len;
}

static unsigned dns_put_aliases(uint8_t *out, size_t *n, const char **owner)
{
    static char names[10][32];
    uint8_t     data[64];

    for (int i = 0; i < 10; i++) {
        snprintf(names[i], sizeof names[i], "alias%d.test", i);
        *n += dns_put_record(out + *n, *owner, 5, data, dns_put_name(data, names[i]));
        *owner = names[i];
    }
    return 10;
}

/* Writes the records of "A,B*N,..." and returns their number. */
static unsigned dns_put_addresses(uint8_t *out, size_t *n, const char *owner, int type,
                                  const char *addrs)
{
    int      family = type == DNS_A ? AF_INET : AF_INET6;
    size_t   size   = type == DNS_A ? 4 : 16;
    unsigned count  = 0;

    while (addrs != NULL && *addrs != '\0') {
        size_t   len = strcspn(addrs, ",");
        char     text[64];
        char    *star;
        uint8_t  raw[16];
        unsigned times = 1;

        assert(len < sizeof text);
        memcpy(text, addrs, len);
        text[len] = '\0';
        if ((star = strchr(text, '*')) != NULL) {
            *star = '\0';
            times = (unsigned)atoi(star + 1);
        }
        if (inet_pton(family, text, raw) != 1)
            abort();
        for (; times > 0; times--, count++, raw[size - 1]++)
            *n += dns_put_record(out + *n, owner, type, raw, size);
        addrs += len + (addrs[len] == ',');
    }
    return count;
}

/* Makes the answer to a question. */
static size_t dns_answer(const struct dns_rule *r, const uint8_t *q, size_t qlen, int type,
                         bool cut, uint8_t *out)
{
    const char *owner = NULL;
    size_t      n     = 12 + qlen;
    unsigned    count = 0;

    memcpy(out, q, n);
    memset(out + 4, 0, 8);
    out[5] = 1;
    out[2] = (uint8_t)(0x84 | (q[2] & 1) | (cut ? 2 : 0));
    out[3] = (uint8_t)(0x80 | (r != NULL ? r->rcode : 3));
    if (r != NULL && r->rcode == 0 && !cut) {
        if (r->flags & DNS_CNAMES)
            count += dns_put_aliases(out, &n, &owner);
        if (r->flags & DNS_OTHER)
            owner = "other.test";
        if (r->flags & DNS_LOOP) {
            dns_put16(out + n, (unsigned)(0xC000 | n));
            memset(out + n + 2, 0, 14);
            n += 16;
            count++;
        }
        count += dns_put_addresses(out, &n, owner, type, r->addrs);
    }
    dns_put16(out + 6, count);
    return n;
}

static const struct dns_rule *dns_rule_for(const struct dns_peer *p, const char *name, int type)
{
    static const struct dns_rule nodata = {.rcode = 0};
    bool                         known  = false;

    for (const struct dns_rule *r = p->rules; r->name != NULL; r++) {
        bool same = strcasecmp(r->name, name) == 0;

        if (r->name[0] == '*') {
            size_t a = strlen(name), b = strlen(r->name + 1);

            same = a > b && strcasecmp(name + a - b, r->name + 1) == 0;
        }
        if (same && r->type == type)
            return r;
        known |= same;
    }
    return known ? &nodata : NULL;
}

static void dns_send(struct dns_peer *p, const struct sockaddr_in *to, const void *msg, size_t len)
{
    (void)!sendto(p->udp, msg, len, 0, (const struct sockaddr *)to, sizeof *to);
}

/* What an attacker would send: addresses of the wrong kind of answer, which must never be used. */
static void dns_forge(struct dns_peer *p, const struct sockaddr_in *to, const struct dns_rule *r,
                      const uint8_t *q, size_t qlen, int type)
{
    static const struct dns_rule forged = {.addrs = "127.6.6.6"}, forged6 = {.addrs = "::6"};
    uint8_t                      out[1024];
    size_t n = dns_answer(type == DNS_A ? &forged : &forged6, q, qlen, type, false, out);

    if (r->flags & DNS_FORGED_ID)
        out[0] ^= 0x55;
    if (r->flags & DNS_FORGED_Q)
        out[13] ^= 1;
    dns_send(p, to, out, n);
}

static void dns_udp(struct dns_peer *p)
{
    uint8_t            q[1024];
    char               name[1024];
    struct sockaddr_in from;
    socklen_t          from_len = sizeof from;
    ssize_t            n = recvfrom(p->udp, q, sizeof q, 0, (struct sockaddr *)&from, &from_len);
    const struct dns_rule *r;
    struct dns_held       *h;
    size_t                 qlen;
    int                    type;

    if (n < 12 || (qlen = dns_read_question(q, (size_t)n, name, &type)) == 0)
        return;
    atomic_fetch_add(&p->questions, 1);
    r = dns_rule_for(p, name, type);
    if (r != NULL && (r->flags & DNS_SILENT))
        return;
    if (r != NULL && (r->flags & (DNS_FORGED_ID | DNS_FORGED_Q)))
        dns_forge(p, &from, r, q, qlen, type);
    if (r != NULL && (r->flags & DNS_EMPTY))
        dns_send(p, &from, q, 0);
    h = malloc(sizeof *h);
    assert(h != NULL);
    h->to  = from;
    h->len = dns_answer(r, q, qlen, type, r != NULL && (r->flags & DNS_TRUNCATED), h->msg);
    h->due = r != NULL && (r->flags & DNS_HELD) ? INT64_MAX : dns_ms() + (r != NULL ? r->delay : 0);
    h->next = p->held;
    p->held = h;
}

/* Answers one question of a connection. Returns false at its end. */
static bool dns_tcp(struct dns_peer *p, int fd)
{
    static uint8_t         out[65536 + 2];
    uint8_t                q[1024];
    char                   name[1024];
    const struct dns_rule *r;
    size_t                 qlen, n, step;
    ssize_t                got;
    int                    type;

    if (recv(fd, q, 2, MSG_WAITALL) != 2)
        return false;
    got = recv(fd, q, (size_t)(q[0] << 8 | q[1]) & 1023, MSG_WAITALL);
    if (got < 12 || (qlen = dns_read_question(q, (size_t)got, name, &type)) == 0)
        return false;
    atomic_fetch_add(&p->by_tcp, 1);
    r = dns_rule_for(p, name, type);
    if (r != NULL && (r->flags & DNS_TCP_SILENT))
        return true;
    n = dns_answer(r, q, qlen, type, false, out + 2);
    dns_put16(out, (unsigned)n);
    n += 2;
    step = r != NULL && (r->flags & DNS_TCP_BYTES) ? 1 : n;
    if (r != NULL && (r->flags & DNS_TCP_CUT)) {
        (void)!send(fd, out, n / 2, MSG_NOSIGNAL);
        return false;
    }
    for (size_t i = 0; i < n; i += step)
        if (send(fd, out + i, step, MSG_NOSIGNAL) < 0)
            return false;
    return true;
}

/* Sends what is due; returns how long the rest may wait, in milliseconds. */
static int dns_flush(struct dns_peer *p)
{
    int64_t now = dns_ms(), next = INT64_MAX;

    for (struct dns_held **at = &p->held; *at != NULL;) {
        struct dns_held *h = *at;

        if (h->due <= now || (h->due == INT64_MAX && atomic_load(&p->released))) {
            dns_send(p, &h->to, h->msg, h->len);
            *at = h->next;
            free(h);
            continue;
        }
        if (h->due < next)
            next = h->due;
        at = &h->next;
    }
    return next == INT64_MAX ? -1 : (int)(next - now);
}

static void *dns_main(void *arg)
{
    struct dns_peer *p = arg;
    struct pollfd    fds[3 + 32];
    nfds_t           n    = 3;
    bool             quit = false;
    char             c;

    fds[0] = (struct pollfd){.fd = p->udp, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = p->tcp, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = p->quit[0], .events = POLLIN};
    while (!quit) {
        if (poll(fds, n, dns_flush(p)) <= 0)
            continue;
        for (nfds_t i = 3; i < n; i++)
            if (fds[i].revents != 0 && !dns_tcp(p, fds[i].fd)) {
                close(fds[i].fd);
                fds[i--] = fds[--n];
                atomic_store(&p->connections, (unsigned)n - 3);
            }
        if (fds[0].revents != 0)
            dns_udp(p);
        if (fds[1].revents != 0 && n < sizeof fds / sizeof fds[0])
            fds[n++] =
                (struct pollfd){.fd = accept4(p->tcp, NULL, NULL, SOCK_CLOEXEC), .events = POLLIN};
        atomic_store(&p->connections, (unsigned)n - 3);
        if (fds[2].revents != 0)
            quit = read(p->quit[0], &c, 1) != 1 || c == 'q';
    }
    while (n > 3)
        close(fds[--n].fd);
    return NULL;
}

/* Lets held answers go, those to come included. */
static inline void dns_release(struct dns_peer *p)
{
    atomic_store(&p->released, true);
    (void)!write(p->quit[1], "r", 1);
}

/* Waits until no connection is left. */
static inline void dns_quiet(struct dns_peer *p)
{
    for (int i = 0; i < 1000 && atomic_load(&p->connections) != 0; i++)
        (void)poll(NULL, 0, 1);
}

static void dns_start(struct dns_peer *p, const struct dns_rule *rules)
{
    struct sockaddr_in a   = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          len = sizeof a;
    int                big = 4 << 20, on = 1;
    int                rc;

    memset(p, 0, sizeof *p);
    p->rules = rules;
    do {
        p->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        p->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)setsockopt(p->tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        a.sin_port = 0;
        rc         = bind(p->udp, (struct sockaddr *)&a, sizeof a);
        assert(rc == 0);
        rc = getsockname(p->udp, (struct sockaddr *)&a, &len);
        assert(rc == 0);
        rc = bind(p->tcp, (struct sockaddr *)&a, sizeof a);
        if (rc < 0) {
            close(p->udp);
            close(p->tcp);
        }
    } while (rc < 0);
    rc = listen(p->tcp, 64);
    assert(rc == 0);
    (void)setsockopt(p->udp, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    rc = pipe2(p->quit, O_CLOEXEC);
    assert(rc == 0);
    p->port = ntohs(a.sin_port);
    snprintf(p->text, sizeof p->text, "127.0.0.1:%u", p->port);
    rc = pthread_create(&p->thread, NULL, dns_main, p);
    assert(rc == 0);
}

static void dns_stop(struct dns_peer *p)
{
    (void)!write(p->quit[1], "q", 1);
    pthread_join(p->thread, NULL);
    while (p->held != NULL) {
        struct dns_held *h = p->held;

        p->held = h->next;
        free(h);
    }
    close(p->udp);
    close(p->tcp);
    close(p->quit[0]);
    close(p->quit[1]);
}

#endif
