/* SPDX-License-Identifier: MIT */
/*
 * The client of the time protocol. It stands on the public interface alone.
 *
 * One timer serves three waits, which never overlap: for the answer as a whole; over UDP for the
 * moment to ask again; over TCP, after the fourth byte, for the end of the stream. Whatever ends the
 * question goes through finish(), and the answer is told from finalize: after it nothing of ours
 * touches the storage, so that the program may reuse or free it there.
 */
#include "asyncore/rfc868.h"

#include <errno.h>

enum { ANSWER = 4 };

/* The wait for the end of the stream after a whole answer, and between two questions over UDP. */
#define PAUSE AC_SECOND

enum { ASKING, ANSWERED };

static ac_time_request *request_of(ac_dispatcher *d)
{
    return AC_SELF(ac_time_request, d);
}

static void finish(ac_time_request *r, int result)
{
    r->result_ = result;
    ac_timer_stop(&r->timer_);
    ac_close(&r->base);
}

/* Waits for at most PAUSE, and never past the deadline. */
static void wait_on(ac_time_request *r)
{
    int64_t rest = r->deadline_ - ac_loop_now(r->base.loop);
    int     rc   = ac_timer_start(&r->timer_, rest < PAUSE ? rest : PAUSE);

    if (rc < 0)
        finish(r, rc);
}

static void ask(ac_time_request *r)
{
    ssize_t n = ac_sendto(&r->base, "", 0, NULL);

    if (n < 0 && n != -EAGAIN)
        ac_fail(&r->base, (int)n);
    wait_on(r);
}

static void take_answer(ac_time_request *r)
{
    uint32_t here = (uint32_t)ac_time(r->base.loop) + AC_RFC868_EPOCH;

    r->delta_ = (int32_t)(here - ac_be32(r->buf_));
    r->state_ = ANSWERED;
}

static void request_timer(ac_timer *t)
{
    ac_time_request *r = AC_CONTAINER(ac_time_request, timer_, t);

    if (!ac_is_open(&r->base))
        return; /* closed by the program; finalize is owed */
    if (r->state_ == ANSWERED)
        finish(r, 0);
    else if (ac_loop_now(t->loop) >= r->deadline_)
        finish(r, -ETIMEDOUT);
    else
        ask(r);
}

static void request_connect(ac_dispatcher *d)
{
    ac_time_request *r = request_of(d);

    if (r->transport_ == AC_RFC868_UDP)
        ask(r);
}

static void read_datagram(ac_time_request *r)
{
    ssize_t n = ac_recvfrom(&r->base, r->buf_, sizeof r->buf_, NULL);

    if (n < 0)
        return; /* nothing, or a failure that is told next */
    if (n == ANSWER)
        take_answer(r);
    finish(r, n == ANSWER ? 0 : -AC_EPROTO);
}

/* Room for more than an answer is offered, since a fifth byte shows that it was none. */
static void read_stream(ac_time_request *r)
{
    ssize_t n = ac_recv(&r->base, r->buf_ + r->got_, sizeof r->buf_ - r->got_);

    if (n <= 0)
        return; /* nothing yet; the end and failures are told next */
    r->got_ = (uint8_t)(r->got_ + n);
    if (r->got_ > ANSWER) {
        finish(r, -AC_EPROTO);
    } else if (r->got_ == ANSWER) {
        take_answer(r);
        wait_on(r);
    }
}

static void request_read(ac_dispatcher *d)
{
    ac_time_request *r = request_of(d);

    if (r->transport_ == AC_RFC868_UDP)
        read_datagram(r);
    else
        read_stream(r);
}

/* Only an orderly end comes here: request_error() closes. */
static void request_close(ac_dispatcher *d)
{
    ac_time_request *r = request_of(d);

    if (r->got_ == ANSWER)
        finish(r, 0);
    else
        finish(r, r->got_ == 0 ? -AC_EEOF : -AC_ETRUNCATED);
}

/* A server that resets the connection once it has answered has answered all the same. */
static void request_error(ac_dispatcher *d, int err)
{
    ac_time_request *r = request_of(d);

    finish(r, r->state_ == ANSWERED ? 0 : err);
}

static void request_finalize(ac_dispatcher *d)
{
    ac_time_request *r = request_of(d);

    ac_timer_stop(&r->timer_);
    if (r->adjust_time != NULL)
        r->adjust_time(r, r->result_ == 0 ? r->delta_ : 0, r->result_);
}

static const ac_class request_class = {
    .name           = "TimeRequest",
    .handle_connect = request_connect,
    .handle_read    = request_read,
    .handle_close   = request_close,
    .handle_error   = request_error,
    .finalize       = request_finalize,
};

static int64_t deadline(int64_t now, int64_t timeout)
{
    if (timeout < 0)
        timeout = 0;
    return timeout > AC_FOREVER - now ? AC_FOREVER : now + timeout;
}

int ac_time_request_start(ac_time_request *r, ac_loop *loop, const char *host, uint16_t port,
                          ac_rfc868_transport transport, int64_t timeout,
                          void (*adjust_time)(ac_time_request *r, int32_t delta, int err))
{
    int rc;

    if (r == NULL || host == NULL || adjust_time == NULL
        || (transport != AC_RFC868_TCP && transport != AC_RFC868_UDP))
        return -EINVAL;
    *r = (ac_time_request){.adjust_time = adjust_time};
    rc = ac_init(&r->base, loop, &request_class);
    if (rc < 0)
        return rc;
    ac_loop_update(loop); /* the deadline counts from this call, also outside a turn */
    r->deadline_  = deadline(ac_loop_now(loop), timeout);
    r->transport_ = (uint8_t)transport;
    r->state_     = ASKING;
    r->result_    = -AC_ECANCELED; /* told where the loop ends first */
    ac_timer_init(&r->timer_, loop, request_timer);
    rc = ac_timer_start(&r->timer_, timeout);
    if (rc < 0)
        return rc;
    if (transport == AC_RFC868_UDP)
        rc = ac_connect_udp(&r->base, host, port);
    else
        rc = ac_connect(&r->base, host, port);
    if (rc < 0)
        ac_timer_stop(&r->timer_);
    else /* ours bounds the connect too; out of memory, 30 seconds remain, which is no failure */
        (void)ac_set_timeout(&r->base, AC_CONNECT, AC_FOREVER);
    return rc;
}

void ac_time_request_cancel(ac_time_request *r)
{
    if (r == NULL)
        return;
    r->adjust_time = NULL;
    finish(r, -AC_ECANCELED);
}
