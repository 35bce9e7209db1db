/* SPDX-License-Identifier: MIT */
/*
 * recv() and send() of a dispatcher, straight on the descriptor where the socket is a socket.socket
 * and nothing else. Where its fields lie is tried out when the extension is loaded, on sockets whose
 * answers are known; if they are not found there, nothing here is used.
 *
 * The GIL is kept: the calls do not block, and letting it go costs more than they take.
 */
#include "shape.h"

#include <errno.h>
#include <sys/socket.h>

/* The beginning of a _socket.socket, from 3.8 on. */
struct layout {
    PyObject_HEAD int fd;
    int               family;
    int               type;
    int               proto;
    PyObject *(*error_handler)(void);
    int64_t timeout; /* nanoseconds; below 0: none */
};

enum { SCRATCH = 65536 };

static PyTypeObject *socket_type; /* socket.socket; NULL: none of this is used */
static PyObject     *original_recv, *original_send;
static unsigned      checked_tag; /* of socket_type when it had these two */
static char          scratch[SCRATCH];

static bool field_is(PyObject *socket, const char *attribute, long long expected)
{
    PyObject *value = PyObject_GetAttrString(socket, attribute);
    PyObject *plain = value == NULL ? NULL : PyNumber_Long(value);
    bool      same  = plain != NULL && PyLong_AsLongLong(plain) == expected;

    Py_XDECREF(value);
    Py_XDECREF(plain);
    return same && !PyErr_Occurred();
}

/* Whether an open socket, whose answers are known, is laid out as is thought. */
static bool layout_fits(PyObject *socket, int64_t timeout)
{
    const struct layout *fields = (const struct layout *)(const void *)socket;
    PyObject            *fd     = PyObject_CallMethod(socket, "fileno", NULL);
    bool                 fits   = fd != NULL && PyLong_AsLong(fd) == fields->fd;

    Py_XDECREF(fd);
    return fits && field_is(socket, "family", fields->family)
           && field_is(socket, "type", fields->type) && field_is(socket, "proto", fields->proto)
           && fields->timeout == timeout;
}

static bool probe(int family, int type, double timeout, int64_t nanoseconds)
{
    PyObject *socket = PyObject_CallFunction((PyObject *)socket_type, "ii", family, type);
    PyObject *set = NULL, *closed = NULL;
    bool      fits = false;

    if (socket != NULL)
        set = PyObject_CallMethod(socket, "settimeout", "d", timeout);
    if (set != NULL)
        fits = layout_fits(socket, nanoseconds);
    if (socket != NULL)
        closed = PyObject_CallMethod(socket, "close", NULL);
    fits = fits && closed != NULL && ((const struct layout *)(const void *)socket)->fd == -1;
    Py_XDECREF(set);
    Py_XDECREF(closed);
    Py_XDECREF(socket);
    PyErr_Clear();
    return fits;
}

/* Whether the class has the methods that it came with. */
static inline bool unpatched(void)
{
    if (type_tag(socket_type) == checked_tag && checked_tag != 0)
        return true;
    if (_PyType_Lookup(socket_type, names.recv) != original_recv
        || _PyType_Lookup(socket_type, names.send) != original_send)
        return false;
    checked_tag = type_tag(socket_type);
    return true;
}

int io_ready(void)
{
    PyObject *module = PyImport_ImportModule("socket");
    PyObject *inner  = PyImport_ImportModule("_socket");
    PyObject *type   = module == NULL ? NULL : PyObject_GetAttrString(module, "socket");
    PyObject *base   = inner == NULL ? NULL : PyObject_GetAttrString(inner, "socket");

    if (type != NULL && base != NULL && socket_type == NULL && PyType_Check(type)
        && PyType_Check(base) && ((PyTypeObject *)(void *)type)->tp_base == (void *)base) {
        socket_type   = (PyTypeObject *)(void *)Py_NewRef(type);
        original_recv = _PyType_Lookup((PyTypeObject *)(void *)base, names.recv);
        original_send = _PyType_Lookup((PyTypeObject *)(void *)base, names.send);
        Py_XINCREF(original_recv);
        Py_XINCREF(original_send);
        if (original_recv == NULL || original_send == NULL || !unpatched()
            || !probe(AF_INET, SOCK_STREAM, 0, 0)
            || !probe(AF_UNIX, SOCK_DGRAM, 7.25, INT64_C(7250000000)))
            Py_CLEAR(socket_type);
    }
    Py_XDECREF(type);
    Py_XDECREF(base);
    Py_XDECREF(module);
    Py_XDECREF(inner);
    /* Without sockets to try, it goes without. */
    PyErr_Clear();
    return 0;
}

/* The descriptor and more of an object that is a socket.socket and nothing else. */
struct real_socket {
    int  fd;
    bool nonblocking;
    bool stream; /* of TCP: a short read has read all that there was */
};

static inline bool is_real(PyObject *object, struct real_socket *out)
{
    const struct layout *fields = (const struct layout *)(const void *)object;

    if (Py_TYPE(object) != socket_type || socket_type == NULL || !unpatched())
        return false;
    out->fd          = fields->fd;
    out->nonblocking = fields->timeout == 0;
    out->stream =
        fields->type == SOCK_STREAM && (fields->family == AF_INET || fields->family == AF_INET6);
    return true;
}

/*
 * An OSError is set, of a recv() or send() or of the handle_close() that recv() called. If it tells of
 * the end of the connection, handle_close() is called, as in an except clause. 0 or -1.
 */
static int disconnected(struct state *st, PyObject *channel, enum site site)
{
    PyObject *type, *value, *traceback;
    int       kind;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    kind = is_disconnect(st, value);
    if (kind < 0) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return -1;
    }
    PyErr_Restore(type, value, traceback);
    if (kind != 1)
        return -1;
    if (call_handling(channel, AT_handle_close) < 0) {
        trace(st, site);
        return -1;
    }
    return 0;
}

static int failed(struct state *st, PyObject *channel, enum site call, enum site close)
{
    PyErr_SetFromErrno(PyExc_OSError);
    trace(st, call);
    return disconnected(st, channel, close);
}

/* The socket of a channel if it can be used here; the reference is the caller's. */
static PyObject *usable_socket(PyObject *channel, struct real_socket *real)
{
    PyObject *socket = get_attribute(channel, AT_socket);

    if (socket != NULL && is_real(socket, real) && real->nonblocking && real->fd >= 0)
        return socket;
    /* Asked again by the Python text. */
    Py_XDECREF(socket);
    PyErr_Clear();
    return NULL;
}

PyObject *do_recv(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    struct real_socket real;
    PyObject          *socket;
    Py_ssize_t         size;
    ssize_t            got;
    int                error;

    if (n != 2 || !PyLong_CheckExact(args[1]))
        return not_mine;
    size = PyLong_AsSsize_t(args[1]);
    if (size <= 0 || size > SCRATCH) {
        PyErr_Clear();
        return not_mine;
    }
    socket = usable_socket(args[0], &real);
    if (socket == NULL)
        return not_mine;
    got   = recv(real.fd, scratch, (size_t)size, MSG_DONTWAIT);
    error = errno;
    Py_DECREF(socket);
    if (got > 0) {
        if (got < size && real.stream)
            tables_drained(st, args[0], real.fd);
        return PyBytes_FromStringAndSize(scratch, got);
    }
    if (got < 0) {
        /* These take nothing from the socket: the Python text meets the same. */
        if (error == EAGAIN || error == EINTR)
            return not_mine;
        errno = error;
        if (failed(st, args[0], SITE_RECV_RECV, SITE_RECV_CLOSE) < 0)
            return NULL;
    } else if (call_method(args[0], AT_handle_close) < 0) {
        trace(st, SITE_RECV_CLOSE);
        if (disconnected(st, args[0], SITE_RECV_CLOSE) < 0)
            return NULL;
    }
    return PyBytes_FromStringAndSize(NULL, 0);
}

/* send(), without the GIL where it takes long; errno is its own. */
static ssize_t give(int fd, const void *data, Py_ssize_t size)
{
    ssize_t sent;
    int     error;

    if (size <= SCRATCH)
        return send(fd, data, (size_t)size, MSG_DONTWAIT);
    Py_BEGIN_ALLOW_THREADS sent = send(fd, data, (size_t)size, MSG_DONTWAIT);
    error                       = errno;
    Py_END_ALLOW_THREADS errno  = error;
    return sent;
}

PyObject *do_send(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    struct real_socket real;
    PyObject          *socket;
    Py_buffer          view;
    ssize_t            sent;
    int                error;

    if (n != 2 || !(PyBytes_CheckExact(args[1]) || PyByteArray_CheckExact(args[1])))
        return not_mine;
    if (st->failed_channel != NULL && st->failed_channel == args[0]) {
        st->failed_channel = NULL;
        errno              = st->failed_error;
        return failed(st, args[0], SITE_SEND_SEND, SITE_SEND_CLOSE) < 0 ? NULL : PyLong_FromLong(0);
    }
    socket = usable_socket(args[0], &real);
    if (socket == NULL)
        return not_mine;
    if (PyBytes_CheckExact(args[1])) {
        sent  = give(real.fd, PyBytes_AS_STRING(args[1]), PyBytes_GET_SIZE(args[1]));
        error = errno;
    } else {
        /* Nobody may change its size meanwhile. */
        if (PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0) {
            Py_DECREF(socket);
            return NULL;
        }
        sent  = give(real.fd, view.buf, view.len);
        error = errno;
        PyBuffer_Release(&view);
    }
    Py_DECREF(socket);
    if (sent < 0) {
        if (error == EINTR)
            return not_mine;
        sent  = 0;
        errno = error;
        if (error != EAGAIN && failed(st, args[0], SITE_SEND_SEND, SITE_SEND_CLOSE) < 0)
            return NULL;
    }
    return PyLong_FromSsize_t(sent);
}

/* --- dispatcher_with_send.send() ---------------------------------------------------------------- */

/* Whether dispatcher.send() is ours, under the name by which initiate_send() finds it. */
static bool sends_plainly(const struct state *st)
{
    PyObject *class = PyDict_GetItemWithError(st->globals, names.dispatcher);
    const struct shape *s;
    PyObject           *send;

    if (class == NULL || class != st->dispatcher)
        return false;
    s    = shape_of((PyTypeObject *)(void *)class);
    send = s == NULL ? NULL : s->attributes[AT_send].value;
    return send != NULL && method_of(send) == do_send;
}

/* Whether nothing waits, and sending is what our two methods do and no more. */
static bool is_plain_sender(const struct state *st, PyObject *channel)
{
    const struct shape     *s = shape_of(Py_TYPE(channel));
    const struct attribute *buffer, *initiate;
    PyObject               *pending;

    if (s == NULL)
        return false;
    buffer   = &s->attributes[AT_out_buffer];
    initiate = &s->attributes[AT_initiate_send];
    if (buffer->value == NULL || buffer->value != st->out_buffer || initiate->value == NULL
        || initiate->value != st->initiate_send
        || shape_value(s, &s->attributes[AT_debug], channel) != Py_False
        || shape_instance_value(s, initiate, channel) != NULL)
        return false;
    pending = shape_instance_value(s, buffer, channel);
    return pending != NULL && PyBytes_CheckExact(pending) && PyBytes_GET_SIZE(pending) == 0
           && sends_plainly(st);
}

/* The call has failed. The Python text goes on from there: handle_close() may look at the buffer. */
static int fail_buffered(struct state *st, PyObject *channel, PyObject *data, int error)
{
    PyObject *result;

    if (PyObject_SetAttr(channel, names.out_buffer, data) < 0)
        return -1;
    st->failed_channel = channel;
    st->failed_error   = error;
    result             = PyObject_CallOneArg(st->initiate_send, channel);
    st->failed_channel = NULL;
    if (result == NULL) {
        trace(st, SITE_BUFFERED_SEND);
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

/* dispatcher_with_send.send(data): what the socket takes needs no buffer. */
PyObject *do_buffered_send(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    struct real_socket real;
    PyObject          *socket, *rest;
    Py_ssize_t         size, sent;
    int                rc = 0, error;

    if (n != 2 || !PyBytes_CheckExact(args[1]) || PyBytes_GET_SIZE(args[1]) == 0
        || PyBytes_GET_SIZE(args[1]) > SCRATCH || !is_plain_sender(st, args[0]))
        return not_mine;
    socket = usable_socket(args[0], &real);
    if (socket == NULL)
        return not_mine;
    size  = PyBytes_GET_SIZE(args[1]);
    sent  = send(real.fd, PyBytes_AS_STRING(args[1]), (size_t)size, MSG_DONTWAIT);
    error = errno;
    Py_DECREF(socket);
    if (sent == size)
        return Py_NewRef(Py_None);
    if (sent < 0 && error == EINTR)
        return not_mine;
    if (sent < 0 && error != EAGAIN)
        return fail_buffered(st, args[0], args[1], error) < 0 ? NULL : Py_NewRef(Py_None);
    if (sent < 0)
        sent = 0;
    rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(args[1]) + sent, size - sent);
    if (rest == NULL)
        return NULL;
    rc = PyObject_SetAttr(args[0], names.out_buffer, rest);
    Py_DECREF(rest);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}
