/* SPDX-License-Identifier: MIT */
/*
 * Telling a channel of an event: read(), write(), _exception(), readwrite(), and the methods
 * handle_read_event() and handle_write_event() that they call. Each call of a channel's method goes by
 * attribute lookup.
 */
#include "shape.h"

#include <poll.h>

int attribute_true(PyObject *object, enum at at)
{
    PyObject *value = get_attribute(object, at);
    int       truth;

    if (value == NULL)
        return -1;
    truth = value == Py_True ? 1 : value == Py_False ? 0 : PyObject_IsTrue(value);
    Py_DECREF(value);
    return truth;
}

/* Calls the method by its place, if the class's is the instance's; else by its name. */
static PyObject *call_shaped(const struct shape *s, PyObject *object, enum at at)
{
    const struct attribute *a       = s == NULL ? NULL : &s->attributes[at];
    PyObject               *args[2] = {NULL, object}, *function, *result;

    if (a == NULL || a->kind != KIND_METHOD || shape_instance_value(s, a, object) != NULL)
        return PyObject_CallMethodNoArgs(object, at_name(at));
    function = Py_NewRef(a->value);
    if (PyFunction_Check(function))
        result = ((PyFunctionObject *)(void *)function)
                     ->vectorcall(function, args + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    else
        result = PyObject_Vectorcall(function, args + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(function);
    return result;
}

PyObject *call_attribute(PyObject *object, enum at at)
{
    return call_shaped(shape_of(Py_TYPE(object)), object, at);
}

int call_method(PyObject *object, enum at at)
{
    PyObject *result = call_attribute(object, at);

    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

/* --- exceptions ------------------------------------------------------------------------------- */

/* Makes a caught exception the one that sys.exc_info() tells of, and puts the old one into `saved`. */
static void set_handled(PyObject *now[3], PyObject *saved[3])
{
    PyErr_GetExcInfo(&saved[0], &saved[1], &saved[2]);
    Py_XINCREF(now[0]);
    Py_XINCREF(now[1]);
    Py_XINCREF(now[2]);
    PyErr_SetExcInfo(now[0], now[1], now[2]);
}

/* Takes the exception that is set, complete with its traceback. */
static void catch_exception(PyObject *caught[3])
{
    PyErr_Fetch(&caught[0], &caught[1], &caught[2]);
    PyErr_NormalizeException(&caught[0], &caught[1], &caught[2]);
    if (caught[2] != NULL)
        PyException_SetTraceback(caught[1], caught[2]);
}

static void drop_exception(PyObject *caught[3])
{
    Py_XDECREF(caught[0]);
    Py_XDECREF(caught[1]);
    Py_XDECREF(caught[2]);
}

static int call_while(PyObject *caught[3], PyObject *object, enum at at)
{
    PyObject *saved[3];
    int       rc;

    set_handled(caught, saved);
    rc = call_method(object, at);
    PyErr_SetExcInfo(saved[0], saved[1], saved[2]);
    return rc;
}

int call_handling(PyObject *object, enum at at)
{
    PyObject *caught[3];
    int       rc;

    catch_exception(caught);
    rc = call_while(caught, object, at);
    drop_exception(caught);
    return rc;
}

/* Whether the loop is left by this exception: 1, 0, or -1 with another one set. */
static int is_reraised(struct state *st, PyObject *value)
{
    PyObject *classes = PyDict_GetItemWithError(st->globals, names._reraised_exceptions);
    int       rc;

    if (classes == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_NameError, "name '_reraised_exceptions' is not defined");
        return -1;
    }
    Py_INCREF(classes);
    rc = PyObject_IsInstance(value, classes);
    Py_DECREF(classes);
    return rc;
}

int is_disconnect(struct state *st, PyObject *value)
{
    PyObject *set, *number;
    int       rc;

    if (!PyObject_TypeCheck(value, (PyTypeObject *)PyExc_OSError))
        return 2;
    set = PyDict_GetItemWithError(st->globals, names._DISCONNECTED);
    if (set == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_NameError, "name '_DISCONNECTED' is not defined");
        return -1;
    }
    Py_INCREF(set);
    number = PyObject_GetAttrString(value, "errno");
    rc     = number == NULL ? -1 : PySequence_Contains(set, number);
    Py_XDECREF(number);
    Py_DECREF(set);
    return rc;
}

/*
 * A handler has raised. The exception goes to handle_error(), or, of those that readwrite() takes for
 * the end of the connection, to handle_close(); what ends the loop stays set. 0 or -1.
 */
static int told_badly(struct state *st, PyObject *channel, enum site site, bool closes)
{
    PyObject *caught[3];
    int       kind = 2, rc;

    trace(st, site);
    catch_exception(caught);
    if (closes)
        kind = is_disconnect(st, caught[1]);
    rc = kind == 2 ? is_reraised(st, caught[1]) : kind < 0 ? -1 : 0;
    if (rc > 0) {
        PyErr_Restore(caught[0], caught[1], caught[2]);
        return -1;
    }
    if (rc == 0)
        rc = call_while(caught, channel, kind == 1 ? AT_handle_close : AT_handle_error);
    if (rc < 0)
        trace(st, site);
    drop_exception(caught);
    return rc;
}

/*
 * Whether a channel is connected, and nothing else, as nearly all that are told of events are; all of
 * that by its shape. false: it has to be looked at in the common way.
 */
static bool only_connected(const struct shape *s, PyObject *channel)
{
    const struct attribute *accepting = &s->attributes[AT_accepting];
    const struct attribute *connected = &s->attributes[AT_connected];
    PyObject *const        *array     = s->keys == NULL ? NULL : shape_array(channel);

    if (accepting->kind == KIND_CODE || connected->kind == KIND_CODE)
        return false;
    if (array != NULL)
        return shape_array_value(accepting, array) == Py_False
               && shape_array_value(connected, array) == Py_True;
    return shape_value(s, accepting, channel) == Py_False
           && shape_value(s, connected, channel) == Py_True;
}

/* handle_read() or handle_write() of such a channel. */
static int tell_connected(struct state *st, const struct shape *s, PyObject *channel, int which)
{
    PyObject *result = call_shaped(s, channel, which == 0 ? AT_handle_read : AT_handle_write);

    if (result == NULL) {
        trace(st, which == 0 ? SITE_READ_READ : SITE_WRITE_WRITE);
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

/* handle_read_event() (0) or handle_write_event() (1): what ours does is done here. */
static int tell_event(struct state *st, PyObject *channel, int which)
{
    enum at             at = which == 0 ? AT_handle_read_event : AT_handle_write_event;
    const struct shape *s  = shape_of(Py_TYPE(channel));
    PyObject           *result;

    if (s != NULL && s->attributes[at].kind == KIND_METHOD
        && s->attributes[at].value == st->events[which] && only_connected(s, channel)
        && shape_instance_value(s, &s->attributes[at], channel) == NULL)
        return tell_connected(st, s, channel, which);
    result = call_shaped(s, channel, at);
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

/* --- the module's functions ------------------------------------------------------------------- */

int channel_read(struct state *st, PyObject *channel)
{
    if (tell_event(st, channel, 0) == 0)
        return 0;
    return told_badly(st, channel, SITE_READ, false);
}

int channel_write(struct state *st, PyObject *channel)
{
    if (tell_event(st, channel, 1) == 0)
        return 0;
    return told_badly(st, channel, SITE_WRITE, false);
}

int channel_exception(struct state *st, PyObject *channel)
{
    if (call_method(channel, AT_handle_expt_event) == 0)
        return 0;
    return told_badly(st, channel, SITE_EXCEPTION, false);
}

int channel_readwrite(struct state *st, PyObject *channel, int flags)
{
    enum site site = SITE_READWRITE_IN;
    int       rc   = 0;

    if (flags & POLLIN)
        rc = tell_event(st, channel, 0);
    if (rc == 0 && (flags & POLLOUT)) {
        site = SITE_READWRITE_OUT;
        rc   = tell_event(st, channel, 1);
    }
    if (rc == 0 && (flags & POLLPRI)) {
        site = SITE_READWRITE_PRI;
        rc   = call_method(channel, AT_handle_expt_event);
    }
    if (rc == 0 && (flags & (POLLHUP | POLLERR | POLLNVAL))) {
        site = SITE_READWRITE_HUP;
        rc   = call_method(channel, AT_handle_close);
    }
    return rc == 0 ? 0 : told_badly(st, channel, site, true);
}

static PyObject *none_or_null(int rc)
{
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *do_read(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    return n == 1 ? none_or_null(channel_read(st, args[0])) : not_mine;
}

PyObject *do_write(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    return n == 1 ? none_or_null(channel_write(st, args[0])) : not_mine;
}

PyObject *do_exception(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    return n == 1 ? none_or_null(channel_exception(st, args[0])) : not_mine;
}

PyObject *do_readwrite(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    int  overflow;
    long flags;

    if (n != 2 || !PyLong_CheckExact(args[1]) || !state_is_plain(st))
        return not_mine;
    flags = PyLong_AsLongAndOverflow(args[1], &overflow);
    return overflow != 0 ? not_mine : none_or_null(channel_readwrite(st, args[0], (int)flags));
}

/* --- the dispatcher's methods ----------------------------------------------------------------- */

/* The connect event of a channel that is not connected, if it is connecting: 0 or -1. */
static int connect_event(PyObject *channel)
{
    int rc = attribute_true(channel, AT_connecting);

    if (rc > 0)
        rc = call_method(channel, AT_handle_connect_event);
    return rc;
}

PyObject *do_handle_read_event(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    enum site           site = SITE_READ_ACCEPT;
    PyObject           *channel;
    const struct shape *s;
    int                 rc;

    if (n != 1)
        return not_mine;
    channel = args[0];
    s       = shape_of(Py_TYPE(channel));
    if (s != NULL && only_connected(s, channel))
        return none_or_null(tell_connected(st, s, channel, 0));
    rc = attribute_true(channel, AT_accepting);
    if (rc > 0) {
        rc = call_method(channel, AT_handle_accept);
    } else if (rc == 0) {
        site = SITE_READ_CONNECT;
        rc   = attribute_true(channel, AT_connected);
        if (rc == 0)
            rc = connect_event(channel);
        if (rc >= 0) {
            site = SITE_READ_READ;
            rc   = call_method(channel, AT_handle_read);
        }
    }
    if (rc < 0)
        trace(st, site);
    return none_or_null(rc);
}

PyObject *do_handle_write_event(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    enum site           site = SITE_WRITE_CONNECT;
    PyObject           *channel;
    const struct shape *s;
    int                 rc;

    if (n != 1)
        return not_mine;
    channel = args[0];
    s       = shape_of(Py_TYPE(channel));
    if (s != NULL && only_connected(s, channel))
        return none_or_null(tell_connected(st, s, channel, 1));
    rc = attribute_true(channel, AT_accepting);
    if (rc > 0)
        return Py_NewRef(Py_None);
    if (rc == 0)
        rc = attribute_true(channel, AT_connected);
    if (rc == 0)
        rc = connect_event(channel);
    if (rc >= 0) {
        site = SITE_WRITE_WRITE;
        rc   = call_method(channel, AT_handle_write);
    }
    if (rc < 0)
        trace(st, site);
    return none_or_null(rc);
}
