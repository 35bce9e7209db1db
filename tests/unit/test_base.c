/* SPDX-License-Identifier: MIT */
/* Errors, memory, bytes, and the kernel's system table. */
#define HARNESS_BARE
#include "harness.h"

#include "../../src/base/alloc.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <time.h>

/* --- errors ----------------------------------------------------------------------------------- */

static void version_is_that_of_the_header(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof text, "%d.%d.%d", AC_VERSION_MAJOR, AC_VERSION_MINOR, AC_VERSION_PATCH);
    assert_string_equal(ac_version(), text);
    assert_string_equal(ac_version(), AC_VERSION);
}

/* The C library is the oracle: its descriptions are those that users know. */
static void system_errors_have_their_names(void **state)
{
    int known = 0;

    (void)state;
    for (int err = 1; err < 4096; err++) {
        const char *name = strerrorname_np(err), *text = strerrordesc_np(err);

        if (name == NULL) {
            assert_string_equal(ac_errname(err), "EUNKNOWN");
            assert_string_equal(ac_strerror(-err), "Unknown error");
            continue;
        }
        known++;
        assert_string_equal(ac_errname(err), name);
        assert_string_equal(ac_errname(-err), name);
        assert_string_equal(ac_strerror(err), text);
        assert_string_equal(ac_strerror(-err), text);
    }
    assert_true(known > 120);
    assert_string_equal(ac_errname(0), "OK");
    assert_string_equal(ac_strerror(0), "Success");
}

static void own_errors_have_names(void **state)
{
    (void)state;
    for (int err = AC_EBASE + 1; err < AC_ELAST; err++) {
        assert_int_equal(strncmp(ac_errname(err), "AC_E", 4), 0);
        assert_ptr_equal(ac_errname(-err), ac_errname(err));
        assert_string_not_equal(ac_strerror(err), "Unknown error");
        for (int other = AC_EBASE + 1; other < err; other++) {
            assert_string_not_equal(ac_errname(err), ac_errname(other));
            assert_string_not_equal(ac_strerror(err), ac_strerror(other));
        }
    }
    assert_string_equal(ac_errname(-AC_ETRUNCATED), "AC_ETRUNCATED");
    assert_string_equal(ac_errname(AC_EEOF), "AC_EEOF");
    assert_string_equal(ac_errname(AC_ELIMIT), "AC_ELIMIT");
}

static void no_errors_have_no_names(void **state)
{
    static const int none[] = {41,    58,  134,     9999,    AC_EBASE,    AC_ELAST,
                               11000, -58, INT_MAX, INT_MIN, INT_MIN + 1, -AC_ELAST};

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_string_equal(ac_errname(none[i]), "EUNKNOWN");
        assert_string_equal(ac_strerror(none[i]), "Unknown error");
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

static int   context;
static int   reallocated, released;
static void *counting_reallocate(void *c, void *ptr, size_t len)
{
    assert_ptr_equal(c, &context);
    assert_true(len > 0);
    reallocated++;
    return realloc(ptr, len);
}
static void counting_release(void *c, void *ptr)
{
    assert_ptr_equal(c, &context);
    assert_non_null(ptr);
    released++;
    free(ptr);
}
static void *failing_reallocate(void *c, void *ptr, size_t len)
{
    (void)c, (void)ptr, (void)len;
    return NULL;
}

static void allocator_is_checked_and_used(void **state)
{
    const ac_allocator good = {sizeof good, counting_reallocate, counting_release, &context};
    ac_allocator       bad  = good;
    char              *text;

    (void)state;
    bad.size = sizeof bad - 1;
    assert_int_equal(ac_set_allocator(&bad), -EINVAL);
    bad         = good;
    bad.release = NULL;
    assert_int_equal(ac_set_allocator(&bad), -EINVAL);
    bad            = good;
    bad.reallocate = NULL;
    assert_int_equal(ac_set_allocator(&bad), -EINVAL);

    assert_int_equal(ac_set_allocator(&good), 0);
    text = ac__strdup("text");
    assert_string_equal(text, "text");
    text = ac__realloc(text, 100);
    assert_string_equal(text, "text");
    ac__free(text);
    ac__free(NULL);
    ac__free(ac__alloc(0)); /* of size 0, but not NULL, and never asked for as 0 */
    assert_int_equal(reallocated, 3);
    assert_int_equal(released, 2);

    assert_int_equal(ac_set_allocator(NULL), 0);
    ac__free(ac__alloc(1));
    assert_int_equal(reallocated, 3);
    assert_int_equal(released, 2);
}

static void out_of_memory_is_told(void **state)
{
    const ac_allocator failing = {sizeof failing, failing_reallocate, counting_release, &context};
    int               *array   = NULL;
    size_t             cap     = 0;

    (void)state;
    assert_int_equal(ac_set_allocator(&failing), 0);
    assert_null(ac__alloc(1));
    assert_null(ac__calloc(1));
    assert_null(ac__strdup(""));
    assert_int_equal(ac__grow(&array, &cap, 1, sizeof *array), -ENOMEM);
    assert_null(array);
    assert_int_equal(cap, 0);
    assert_int_equal(ac_set_allocator(NULL), 0);
}

static void calloc_is_zeroed(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        unsigned char *p = ac__alloc(512);

        memset(p, 0xFF, 512);
        ac__free(p);
        p = ac__calloc(512);
        for (size_t at = 0; at < 512; at++)
            assert_int_equal(p[at], 0);
        ac__free(p);
    }
}

static void grow_adds_half_and_zeroes(void **state)
{
    uint32_t *array = NULL, *was;
    size_t    cap   = 0, filled;
    unsigned  moves = 0;

    (void)state;
    for (size_t n = 1; n <= 10000; n++) {
        filled = cap;
        assert_int_equal(ac__grow(&array, &cap, n, sizeof *array), 0);
        assert_true(cap >= n);
        moves += cap != filled;
        for (size_t i = filled; i < cap; i++) {
            assert_int_equal(array[i], 0);
            array[i] = (uint32_t)i + 1;
        }
    }
    for (size_t i = 0; i < cap; i++)
        assert_int_equal(array[i], i + 1);
    assert_true(moves <= 20);

    was    = array;
    filled = cap;
    assert_int_equal(ac__grow(&array, &cap, 3, sizeof *array), 0);
    assert_int_equal(ac__grow(&array, &cap, SIZE_MAX, sizeof *array), -ENOMEM);
    assert_int_equal(ac__grow(&array, &cap, SIZE_MAX / 4 + 1, sizeof *array), -ENOMEM);
    assert_ptr_equal(array, was);
    assert_int_equal(cap, filled);
    ac__free(array);
}

static void bytes_are_big_endian(void **state)
{
    static const uint8_t wire[4] = {0x83, 0xAA, 0x7E, 0x80};
    uint8_t              out[6]  = {0};

    (void)state;
    assert_int_equal(ac_be32(wire), UINT32_C(2208988800));
    ac_put_be32(out + 1, UINT32_C(2208988800));
    assert_memory_equal(out + 1, wire, 4);
    assert_int_equal(out[0] | out[5], 0);
}

/* --- the system table ------------------------------------------------------------------------- */

static ac__sys *const sys = &ac__sys_posix;

static void assert_flags(int fd)
{
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* Two connected descriptors, made by the table alone. */
static void sys_pair(int fd[2])
{
    struct sockaddr_in addr = {.sin_family = AF_INET}, peer;
    socklen_t          len  = sizeof addr;
    int                rc, listener = sys->socket(sys, AF_INET, SOCK_STREAM, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_flags(listener);
    assert_int_equal(sys->bind(sys, listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(sys->listen(sys, listener, 4), 0);
    assert_int_equal(sys->accept(sys, listener, NULL, NULL), -EAGAIN);
    assert_int_equal(sys->getsockname(sys, listener, (struct sockaddr *)&addr, &len), 0);
    fd[0] = sys->socket(sys, AF_INET, SOCK_STREAM, 0);
    rc    = sys->connect(sys, fd[0], (struct sockaddr *)&addr, sizeof addr);
    assert_true(rc == 0 || rc == -EINPROGRESS);
    h_wait(listener, POLLIN);
    len   = sizeof peer;
    fd[1] = sys->accept(sys, listener, (struct sockaddr *)&peer, &len);
    assert_flags(fd[1]);
    assert_int_equal(len, sizeof peer);
    len = sizeof addr;
    assert_int_equal(sys->getpeername(sys, fd[1], (struct sockaddr *)&addr, &len), 0);
    assert_int_equal(addr.sin_port, peer.sin_port);
    h_wait(fd[0], POLLOUT);
    assert_int_equal(sys->close(sys, listener), 0);
}

static void sys_moves_bytes(void **state)
{
    char          buf[8] = "";
    struct iovec  iov = {buf, sizeof buf}, hello = {"hello", 5};
    struct msghdr out = {.msg_iov = &hello, .msg_iovlen = 1},
                  in  = {.msg_iov = &iov, .msg_iovlen = 1};
    int       fd[2], value = 0;
    socklen_t len = sizeof value;

    (void)state;
    sys_pair(fd);
    assert_int_equal(sys->recv(sys, fd[1], buf, 8, 0), -EAGAIN);
    assert_int_equal(sys->send(sys, fd[0], "hello", 5, 0), 5);
    h_wait(fd[1], POLLIN);
    assert_int_equal(sys->recv(sys, fd[1], buf, 2, MSG_PEEK), 2);
    assert_int_equal(sys->recv(sys, fd[1], buf, 8, 0), 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(sys->sendmsg(sys, fd[0], &out, 0), 5);
    h_wait(fd[1], POLLIN);
    assert_int_equal(sys->recvmsg(sys, fd[1], &in, 0), 5);
    assert_int_equal(sys->writev(sys, fd[0], &hello, 1, 0), 5);
    h_wait(fd[1], POLLIN);
    assert_int_equal(sys->readv(sys, fd[1], &iov, 1, 0), 5);

    assert_int_equal(sys->getsockopt(sys, fd[0], SOL_SOCKET, SO_TYPE, &value, &len), 0);
    assert_int_equal(value, SOCK_STREAM);
    value = 1;
    assert_int_equal(sys->setsockopt(sys, fd[0], SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value),
                     0);
    assert_int_equal(sys->shutdown(sys, fd[0], SHUT_WR), 0);
    h_wait(fd[1], POLLIN);
    assert_int_equal(sys->recv(sys, fd[1], buf, 8, 0), 0);
    /* A closed peer is a result; SIGPIPE would end the test. */
    assert_int_equal(sys->send(sys, fd[0], "x", 1, 0), -EPIPE);
    assert_int_equal(sys->sendmsg(sys, fd[0], &out, 0), -EPIPE);
    assert_int_equal(sys->close(sys, fd[0]), 0);
    assert_int_equal(sys->close(sys, fd[0]), -EBADF);
    assert_int_equal(sys->close(sys, fd[1]), 0);
}

static void sys_does_not_wait_where_it_is_told(void **state)
{
    char         buf[8];
    struct iovec in = {buf, sizeof buf}, out = {"abc", 3};
    int          fd[2]; /* blocking: without the flag the read would hang */

    (void)state;
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    assert_int_equal(sys->readv(sys, fd[0], &in, 1, RWF_NOWAIT), -EAGAIN);
    assert_int_equal(sys->writev(sys, fd[1], &out, 1, RWF_NOWAIT), 3);
    assert_int_equal(sys->readv(sys, fd[0], &in, 1, RWF_NOWAIT), 3);
    assert_memory_equal(buf, "abc", 3);
    assert_int_equal(sys->close(sys, fd[0]), 0);
    assert_int_equal(sys->close(sys, fd[1]), 0);
}

static void sys_errors_are_negative(void **state)
{
    struct sockaddr_in addr  = {.sin_family = AF_INET};
    struct msghdr      msg   = {0};
    socklen_t          len   = sizeof addr;
    int                value = 0;

    (void)state;
    assert_int_equal(sys->socket(sys, 12345, SOCK_STREAM, 0), -EAFNOSUPPORT);
    assert_int_equal(sys->bind(sys, -1, (struct sockaddr *)&addr, len), -EBADF);
    assert_int_equal(sys->connect(sys, -1, (struct sockaddr *)&addr, len), -EBADF);
    assert_int_equal(sys->listen(sys, -1, 1), -EBADF);
    assert_int_equal(sys->recv(sys, -1, &value, 1, 0), -EBADF);
    assert_int_equal(sys->send(sys, -1, &value, 1, 0), -EBADF);
    assert_int_equal(sys->recvmsg(sys, -1, &msg, 0), -EBADF);
    assert_int_equal(sys->sendmsg(sys, -1, &msg, 0), -EBADF);
    assert_int_equal(sys->readv(sys, -1, NULL, 0, 0), -EBADF);
    assert_int_equal(sys->writev(sys, -1, NULL, 0, RWF_NOWAIT), -EBADF);
    assert_int_equal(sys->shutdown(sys, -1, SHUT_WR), -EBADF);
    assert_int_equal(sys->getsockname(sys, -1, (struct sockaddr *)&addr, &len), -EBADF);
    assert_int_equal(sys->getpeername(sys, -1, (struct sockaddr *)&addr, &len), -EBADF);
    assert_int_equal(sys->getsockopt(sys, -1, SOL_SOCKET, SO_TYPE, &value, &len), -EBADF);
    assert_int_equal(sys->setsockopt(sys, -1, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value),
                     -EBADF);
}

static void sys_knows_time_and_chance(void **state)
{
    static uint8_t  a[1000], b[1000];
    struct timespec ts;
    int64_t         before = sys->monotonic(sys), wall = sys->wall(sys), now = time(NULL);
    int             same = 0;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    assert_true((int64_t)ts.tv_sec * AC_SECOND + ts.tv_nsec >= before);
    assert_true((int64_t)ts.tv_sec * AC_SECOND + ts.tv_nsec < before + 10 * AC_SECOND);
    assert_true(sys->monotonic(sys) >= before);
    assert_true(wall >= now - 2 && wall <= now + 10);
    assert_int_equal(sys->random(sys, a, sizeof a), 0);
    assert_int_equal(sys->random(sys, b, sizeof b), 0);
    for (size_t i = 0; i < sizeof a; i++)
        same += a[i] == b[i];
    assert_true(same < 100);
    assert_int_equal(sys->random(sys, a, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_is_that_of_the_header),
        cmocka_unit_test(system_errors_have_their_names),
        cmocka_unit_test(own_errors_have_names),
        cmocka_unit_test(no_errors_have_no_names),
        cmocka_unit_test(allocator_is_checked_and_used),
        cmocka_unit_test(out_of_memory_is_told),
        cmocka_unit_test(calloc_is_zeroed),
        cmocka_unit_test(grow_adds_half_and_zeroes),
        cmocka_unit_test(bytes_are_big_endian),
        cmocka_unit_test(sys_moves_bytes),
        cmocka_unit_test(sys_does_not_wait_where_it_is_told),
        cmocka_unit_test(sys_errors_are_negative),
        cmocka_unit_test(sys_knows_time_and_chance),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
