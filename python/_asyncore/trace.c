/* SPDX-License-Identifier: MIT */
/*
 * Tracebacks. handle_error() prints the frames of an exception, those of the module among them, so a C
 * function that stands for a Python one leaves its frame there: with the file of the Python text, the
 * name of the function, and the line that makes the call. The line is found by looking for a name in
 * the function's code, on the first exception that comes by.
 */
#include "state.h"

static const struct mark {
    const char *function;
    const char *name;  /* that the line loads */
    int         which; /* of those loads, from 0 */
} marks[SITES] = {
    [SITE_READ]              = {"read", "handle_read_event", 0},
    [SITE_WRITE]             = {"write", "handle_write_event", 0},
    [SITE_EXCEPTION]         = {"_exception", "handle_expt_event", 0},
    [SITE_READWRITE_IN]      = {"readwrite", "handle_read_event", 0},
    [SITE_READWRITE_OUT]     = {"readwrite", "handle_write_event", 0},
    [SITE_READWRITE_PRI]     = {"readwrite", "handle_expt_event", 0},
    [SITE_READWRITE_HUP]     = {"readwrite", "handle_close", 0},
    [SITE_SELECT_READABLE]   = {"_select_pass", "readable", 0},
    [SITE_SELECT_WRITABLE]   = {"_select_pass", "writable", 0},
    [SITE_SELECT_WAIT]       = {"_select_pass", "select", 0},
    [SITE_SELECT_TELL]       = {"_select_pass", "tell", 1},
    [SITE_SELECT_TELL_OWNER] = {"_select_pass", "tell", 0},
    [SITE_POLL_READABLE]     = {"_poll_pass", "readable", 0},
    [SITE_POLL_WRITABLE]     = {"_poll_pass", "writable", 0},
    [SITE_POLL_WAIT]         = {"_poll_pass", "poll", 1},
    [SITE_POLL_TELL]         = {"_poll_pass", "readwrite", 1},
    [SITE_POLL_TELL_OWNER]   = {"_poll_pass", "readwrite", 0},
    [SITE_LOOP]              = {"loop", "owned_pass", 2},
    [SITE_READ_ACCEPT]       = {"handle_read_event", "handle_accept", 0},
    [SITE_READ_CONNECT]      = {"handle_read_event", "handle_connect_event", 0},
    [SITE_READ_READ]         = {"handle_read_event", "handle_read", 0},
    [SITE_WRITE_CONNECT]     = {"handle_write_event", "handle_connect_event", 0},
    [SITE_WRITE_WRITE]       = {"handle_write_event", "handle_write", 0},
    [SITE_RECV_RECV]         = {"recv", "recv", 0},
    [SITE_RECV_CLOSE]        = {"recv", "handle_close", 0},
    [SITE_SEND_SEND]         = {"send", "send", 0},
    [SITE_SEND_CLOSE]        = {"send", "handle_close", 0},
    [SITE_BUFFERED_SEND]     = {"dispatcher_with_send.send", "initiate_send", 0},
};

/* The number in an attribute, or -1 if it is no number. */
static int line_in(PyObject *instruction, const char *attribute)
{
    PyObject *value = PyObject_GetAttrString(instruction, attribute);
    int       line  = -1;

    /* starts_line is a bool from 3.13 on. */
    if (value != NULL && PyLong_CheckExact(value))
        line = (int)PyLong_AsLong(value);
    Py_XDECREF(value);
    PyErr_Clear();
    return line;
}

static bool loads(PyObject *instruction, const char *name)
{
    PyObject *opname = PyObject_GetAttrString(instruction, "opname");
    PyObject *argval = PyObject_GetAttrString(instruction, "argval");
    bool      is     = opname != NULL && argval != NULL && PyUnicode_Check(argval)
              && PyUnicode_CompareWithASCIIString(argval, name) == 0
              && strncmp(PyUnicode_AsUTF8(opname), "LOAD_", 5) == 0;

    Py_XDECREF(opname);
    Py_XDECREF(argval);
    return is;
}

/* The line of a mark in a function, or -1 with or without an exception. */
static int find_line(PyObject *function, const struct mark *mark)
{
    PyObject *dis = PyImport_ImportModule("dis");
    PyObject *all = NULL, *iterator = NULL, *instruction;
    int       line = -1, found = -1, seen = 0;

    if (dis != NULL)
        all = PyObject_CallMethod(dis, "get_instructions", "O", function);
    if (all != NULL)
        iterator = PyObject_GetIter(all);
    while (found < 0 && iterator != NULL && (instruction = PyIter_Next(iterator)) != NULL) {
        int here = line_in(instruction, "line_number");

        if (here < 0)
            here = line_in(instruction, "starts_line");
        if (here > 0)
            line = here;
        if (loads(instruction, mark->name) && seen++ == mark->which)
            found = line;
        Py_DECREF(instruction);
    }
    Py_XDECREF(iterator);
    Py_XDECREF(all);
    Py_XDECREF(dis);
    return found;
}

static PyObject *new_code(struct state *st, const struct mark *mark, bool *found)
{
    PyObject   *function = PyDict_GetItemString(st->originals, mark->function); /* borrowed */
    const char *dot      = strchr(mark->function, '.');
    PyObject   *code = NULL, *file = NULL, *first = NULL, *made = NULL;
    int         line;

    if (function == NULL)
        return NULL;
    line   = find_line(function, mark);
    *found = line > 0;
    PyErr_Clear();
    code = PyObject_GetAttrString(function, "__code__");
    if (code != NULL) {
        file  = PyObject_GetAttrString(code, "co_filename");
        first = PyObject_GetAttrString(code, "co_firstlineno");
    }
    if (file != NULL && first != NULL && PyUnicode_Check(file))
        made = (PyObject *)PyCode_NewEmpty(PyUnicode_AsUTF8(file),
                                           dot == NULL ? mark->function : dot + 1,
                                           *found ? line : (int)PyLong_AsLong(first));
    Py_XDECREF(first);
    Py_XDECREF(file);
    Py_XDECREF(code);
    return made;
}

void trace(struct state *st, enum site site)
{
    PyObject      *type, *value, *traceback, *code;
    PyFrameObject *frame = NULL;
    bool           found = true;

    PyErr_Fetch(&type, &value, &traceback);
    code = st->codes[site];
    Py_XINCREF(code);
    if (code == NULL) {
        code = new_code(st, &marks[site], &found);
        /* Where nothing can be loaded (no descriptors left), it is tried again the next time. */
        if (code != NULL && found)
            st->codes[site] = Py_NewRef(code);
    }
    if (code != NULL)
        frame = PyFrame_New(PyThreadState_Get(), (PyCodeObject *)(void *)code, st->globals, NULL);
#if PY_VERSION_HEX < 0x030b0000
    if (frame != NULL)
        frame->f_lineno = ((PyCodeObject *)(void *)code)->co_firstlineno;
#endif
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
    if (frame != NULL)
        PyTraceBack_Here(frame);
    Py_XDECREF((PyObject *)frame);
    Py_XDECREF(code);
}
