/* SPDX-License-Identifier: MIT */
/*
 * Asking the channels of a table, in the map's order, what they want.
 *
 * readable() and writable() are called in each pass, for each channel, by attribute lookup. Those that
 * a class has inherited from ours are not called but worked out here, from the attributes that they
 * look at; and where nothing of that can have changed since the last time (the class has its tag, the
 * instance's dict has its own, and the values cannot change in place), not even that.
 */
#include "table.h"

#include "base/alloc.h"

#include <string.h>

/*
 * From 3.13 on, an attribute that is stored leaves the tag of the instance's dict as it is. In 3.12 it
 * moves, but code that uses attributes runs slower once the dict has been looked at: not worth it for
 * a few channels.
 */
#if PY_VERSION_HEX >= 0x030d0000
enum { KEEPS_ANSWERS = 0, MANY = 1 };
#elif PY_VERSION_HEX >= 0x030c0000
enum { KEEPS_ANSWERS = 1, MANY = 200 };
#else
enum { KEEPS_ANSWERS = 1, MANY = 1 };
#endif

/* The instance's dict: NULL where it has none. */
static PyObject *dict_of(PyObject *object)
{
    PyObject **dict = _PyObject_GetDictPtr(object);

    return dict == NULL ? NULL : *dict;
}

/*
 * The value of an attribute if looking it up runs no code of anybody's; borrowed, NULL otherwise. An
 * instance of ours that lacks it is asked in the common way.
 */
static PyObject *quiet_value(PyTypeObject *type, PyObject *dict, PyObject *name)
{
    PyObject *of_type = _PyType_Lookup(type, name);
    PyObject *value;

    if (of_type != NULL && Py_TYPE(of_type)->tp_descr_set != NULL)
        return NULL;
    value = PyDict_GetItemWithError(dict, name);
    if (value == NULL && of_type != NULL && Py_TYPE(of_type)->tp_descr_get == NULL)
        value = of_type;
    return value;
}

/* 1, 0, or -1: not a value whose truth is plain and stays what it is. */
static int quiet_truth(PyTypeObject *type, PyObject *dict, PyObject *name)
{
    PyObject *value = quiet_value(type, dict, name);

    if (value == Py_False || value == Py_None)
        return 0;
    if (value == Py_True)
        return 1;
    if (value != NULL && PyLong_CheckExact(value))
        return PyObject_IsTrue(value);
    return -1;
}

/* dispatcher_with_send.writable(): not connected, or something in out_buffer. */
static int buffered_writable(const struct state *st, PyTypeObject *type, PyObject *dict)
{
    int       connected = quiet_truth(type, dict, names.connected);
    PyObject *buffer;

    if (connected <= 0)
        return connected == 0 ? 1 : -1;
    if (_PyType_Lookup(type, names.out_buffer) != st->out_buffer)
        return -1;
    buffer = PyDict_GetItemWithError(dict, names.out_buffer);
    return buffer != NULL && PyBytes_CheckExact(buffer) ? PyBytes_GET_SIZE(buffer) > 0 : -1;
}

/* async_chat.writable(): something in the fifo, whose length is looked at each time, or not connected. */
static int chat_writable(struct chan *c, PyTypeObject *type, PyObject *dict)
{
    int       connected = quiet_truth(type, dict, names.connected);
    PyObject *fifo      = quiet_value(type, dict, names.producer_fifo);

    if (connected < 0 || fifo == NULL || Py_TYPE(fifo) != deque_type)
        return -1;
    c->fifo = fifo;
    return !connected;
}

/*
 * Works an answer out without running any code: whether there is one. If the class says that there is
 * none, that is kept; what the instance says may be another thing the next time.
 */
static bool work_out(const struct state *st, struct chan *c, PyObject *channel, PyObject *dict)
{
    PyTypeObject *type     = Py_TYPE(channel);
    PyObject     *readable = _PyType_Lookup(type, names.readable);
    PyObject     *writable = _PyType_Lookup(type, names.writable);
    int           writes, accepts = 0;
    bool          plain = type->tp_getattro == PyObject_GenericGetAttr && readable != NULL
                 && writable != NULL && (readable == st->readable || readable == st->chat_readable)
                 && (writable == st->writable || writable == st->buffered_writable
                     || writable == st->chat_writable);

    c->type     = type;
    c->type_tag = type_tag(type);
    c->fifo     = NULL;
    c->answer   = plain ? ANSWER_NONE : ANSWER_CALL;
    if (!plain || dict == NULL || PyDict_GetItemWithError(dict, names.readable) != NULL
        || PyDict_GetItemWithError(dict, names.writable) != NULL)
        return false;
    c->dict_tag = dict_tag(dict);
    writes      = writable == st->writable            ? 1
                  : writable == st->buffered_writable ? buffered_writable(st, type, dict)
                                                      : chat_writable(c, type, dict);
    if (writes > 0 || c->fifo != NULL)
        accepts = quiet_truth(type, dict, names.accepting);
    if (writes < 0 || accepts < 0)
        return false;
    c->answer =
        (uint8_t)(ANSWER_KEPT | (writes ? ANSWER_WRITE : 0) | (accepts ? ANSWER_ACCEPT : 0));
    return true;
}

/* Whether the answer is to be had without a call. No code is run here. */
static bool answers_quietly(const struct pass *p, const struct table *t, struct chan *c,
                            PyObject *channel)
{
    bool same = c->type == Py_TYPE(channel) && c->type_tag != 0
                && c->type_tag == type_tag(Py_TYPE(channel));
    PyObject *dict;
    bool      found;

    /* Looking at the dict of an instance changes how it is kept: not where it will be called anyway. */
    if (t->n < MANY || (same && c->answer == ANSWER_CALL))
        return false;
    dict = dict_of(channel);
    if (KEEPS_ANSWERS && same && c->answer != ANSWER_NONE && dict != NULL
        && c->dict_tag == dict_tag(dict))
        return true;
    found = work_out(p->st, c, channel, dict);
    PyErr_Clear();
    return found;
}

/* --- all of them -------------------------------------------------------------------------------- */

/* Takes references to the channels from place `from` on: from now on, code is run. */
static int hold(struct table *t, size_t from, size_t n)
{
    if (ac__grow_unset(&t->held, &t->held_cap, n, sizeof(PyObject *)) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = from; i < n; i++) {
        t->held[i] = t->chans[i].channel;
        Py_XINCREF(t->held[i]);
    }
    return 0;
}

static void add_look(struct table *t, size_t place, const struct chan *c)
{
    t->place[t->looks]  = (uint32_t)place;
    t->look[t->looks++] = (struct pollfd){
        .fd     = c->fd,
        .events = (short)(c->want | (c->want & POLLIN ? POLLRDHUP : 0)),
    };
    t->writes = t->writes || (c->want & POLLOUT);
}

/* What a channel wants is known: sees to it that it will be heard of. */
static void watch(struct table *t, size_t place, struct chan *c, bool all)
{
    unsigned bits = c->want & POLLIN    ? (unsigned)AC__READ
                    : c->want & POLLPRI ? (unsigned)AC__PRI
                                        : 0U;

    if (c->fresh) {
        c->fresh = c->stuck = false;
        c->known            = 0;
        c->maybe            = POLLOUT;
    }
    if ((bits & ~(unsigned)c->known) && !c->stuck)
        table_register(t, c, bits);
    if (all || c->stuck || (c->maybe & (c->want | POLLHUP | POLLERR | POLLNVAL)))
        add_look(t, place, c);
}

long table_ask(const struct pass *p, struct table *t, size_t n, bool all)
{
    size_t held_from = n; /* none */
    long   wanting   = 0;
    int    rc        = 0;

    t->looks  = 0;
    t->writes = false;
    for (size_t i = 0; i < n; i++) {
        struct chan *c       = &t->chans[i];
        PyObject    *channel = i >= held_from ? t->held[i] : c->channel;
        short        want    = 0;

        c->got = c->want = 0;
        if (channel == NULL)
            continue;
        if (answers_quietly(p, t, c, channel)) {
            want = pass_wants(
                p, true, (c->answer & ANSWER_WRITE) || (c->fifo != NULL && Py_SIZE(c->fifo) > 0),
                c->answer & ANSWER_ACCEPT);
        } else {
            if (held_from == n) {
                rc = hold(t, i, n);
                if (rc == 0)
                    held_from = i;
            }
            if (rc == 0)
                rc = pass_ask(p, channel, &want);
            if (rc < 0)
                break;
            c = &t->chans[i]; /* it may have moved */
        }
        c->want = want;
        if (want != 0) {
            wanting++;
            watch(t, i, c, all);
        }
    }
    for (size_t i = held_from; i < n; i++)
        Py_XDECREF(t->held[i]);
    return rc < 0 ? -1 : wanting;
}
