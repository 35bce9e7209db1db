/* SPDX-License-Identifier: MIT */
/* The module `_asyncore`, and what install() does to the module asyncore. */
#include "shape.h"

#include <string.h>

struct names names;

/* --- the state of one module -------------------------------------------------------------------- */

static PyTypeObject *state_type;

static int state_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct state *st = (struct state *)(void *)self;

#if PY_VERSION_HEX >= 0x03090000
    Py_VISIT(Py_TYPE(self));
#endif
    Py_VISIT(st->globals);
    Py_VISIT(st->select_module);
    Py_VISIT(st->select_select);
    Py_VISIT(st->select_poll);
    for (size_t i = 0; i < sizeof st->told / sizeof st->told[0]; i++)
        Py_VISIT(st->told[i]);
    Py_VISIT(st->events[0]);
    Py_VISIT(st->events[1]);
    Py_VISIT(st->readable);
    Py_VISIT(st->writable);
    Py_VISIT(st->buffered_writable);
    Py_VISIT(st->out_buffer);
    Py_VISIT(st->dispatcher);
    Py_VISIT(st->initiate_send);
    Py_VISIT(st->chat_readable);
    Py_VISIT(st->chat_writable);
    Py_VISIT(st->originals);
    Py_VISIT(st->pairs);
    return 0;
}

static int state_clear(PyObject *self)
{
    struct state *st = (struct state *)(void *)self;

    /* The globals stay: a callable that outlives its module may still look into them. */
    for (size_t i = 0; i < sizeof st->told / sizeof st->told[0]; i++)
        Py_CLEAR(st->told[i]);
    Py_CLEAR(st->events[0]);
    Py_CLEAR(st->events[1]);
    Py_CLEAR(st->dispatcher);
    st->globals_tag = 0;
    st->plain       = false;
    return 0;
}

static void state_dealloc(PyObject *self)
{
    struct state *st   = (struct state *)(void *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    state_clear(self);
    tables_free(st);
    Py_CLEAR(st->globals);
    Py_CLEAR(st->select_module);
    Py_CLEAR(st->select_select);
    Py_CLEAR(st->select_poll);
    Py_CLEAR(st->readable);
    Py_CLEAR(st->writable);
    Py_CLEAR(st->buffered_writable);
    Py_CLEAR(st->out_buffer);
    Py_CLEAR(st->initiate_send);
    Py_CLEAR(st->chat_readable);
    Py_CLEAR(st->chat_writable);
    Py_CLEAR(st->originals);
    Py_CLEAR(st->pairs);
    PyMem_Free(st->few);
    PyMem_Free(st->asker);
    for (int i = 0; i < SITES; i++)
        Py_CLEAR(st->codes[i]);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot state_slots[] = {
    {Py_tp_clear, (void *)state_clear},
    {Py_tp_dealloc, (void *)state_dealloc},
    {Py_tp_traverse, (void *)state_traverse},
    {0, NULL},
};

static PyType_Spec state_spec = {
    .name      = "_asyncore.state",
    .basicsize = sizeof(struct state),
    .flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots     = state_slots,
};

static PyObject *global(const struct state *st, const char *name)
{
    return PyDict_GetItemString(st->globals, name); /* borrowed */
}

/* Whether the module select is the one that the state was made with, and has what it had. */
static bool select_is_plain(struct state *st)
{
    PyObject *dict;

    if (st->select_module == NULL || global(st, "select") != st->select_module)
        return false;
    dict           = PyModule_GetDict(st->select_module);
    st->select_tag = dict_tag(dict);
    return PyDict_GetItemString(dict, "select") == st->select_select
           && PyDict_GetItemString(dict, "poll") == st->select_poll;
}

/* asynchat leaves the predicates of async_chat in our globals. */
static void take_chat(struct state *st)
{
    PyObject *pair = PyDict_GetItemWithError(st->globals, names._chat_predicates);

    if (st->chat_readable != NULL || pair == NULL || !PyTuple_CheckExact(pair)
        || PyTuple_GET_SIZE(pair) != 2)
        return;
    st->chat_readable = Py_NewRef(PyTuple_GET_ITEM(pair, 0));
    st->chat_writable = Py_NewRef(PyTuple_GET_ITEM(pair, 1));
}

static const char *const told_names[] = {"read", "write", "_exception", "readwrite"};

bool state_is_plain(struct state *st)
{
    if (dict_tag(st->globals) == st->globals_tag
        && (!st->plain || dict_tag(PyModule_GetDict(st->select_module)) == st->select_tag))
        return st->plain;
    st->plain = select_is_plain(st);
    for (size_t i = 0; i < sizeof st->told / sizeof st->told[0]; i++)
        st->plain = st->plain && st->told[i] != NULL && global(st, told_names[i]) == st->told[i];
    /* Where select is somebody else's, its own dict is not looked at again: only the globals are. */
    st->globals_tag = st->plain ? dict_tag(st->globals) : 0;
    take_chat(st);
    return st->plain;
}

/* What of the module select counts as plain: its functions are the interpreter's own. */
static bool take_select(struct state *st)
{
    PyObject *module = global(st, "select");
    PyObject *dict;

    if (module == NULL || !PyModule_CheckExact(module))
        return false;
    dict              = PyModule_GetDict(module);
    st->select_module = Py_NewRef(module);
    st->select_select = PyDict_GetItemString(dict, "select");
    st->select_poll   = PyDict_GetItemString(dict, "poll");
    Py_XINCREF(st->select_select);
    Py_XINCREF(st->select_poll);
    if (st->select_select != NULL && PyCFunction_Check(st->select_select) && st->select_poll != NULL
        && PyCFunction_Check(st->select_poll))
        return true;
    Py_CLEAR(st->select_module);
    return false;
}

/* --- install() -------------------------------------------------------------------------------- */

static const char *const loop_keywords[] = {"timeout", "use_poll", "map", "count", NULL};

static const struct replacement {
    const char        *owner; /* a class, or NULL: the module */
    const char        *name;
    implementation     call;
    const char *const *keywords;
} replacements[] = {
    {NULL, "read", do_read, NULL},
    {NULL, "write", do_write, NULL},
    {NULL, "_exception", do_exception, NULL},
    {NULL, "readwrite", do_readwrite, NULL},
    {NULL, "_select_pass", do_select_pass, NULL},
    {NULL, "_poll_pass", do_poll_pass, NULL},
    {NULL, "loop", do_loop, loop_keywords},
    {"dispatcher", "handle_read_event", do_handle_read_event, NULL},
    {"dispatcher", "handle_write_event", do_handle_write_event, NULL},
    {"dispatcher", "recv", do_recv, NULL},
    {"dispatcher", "send", do_send, NULL},
    {"dispatcher_with_send", "send", do_buffered_send, NULL},
    {"dispatcher", "add_channel", do_add_channel, NULL},
    {"dispatcher", "del_channel", do_del_channel, NULL},
};

enum { REPLACEMENTS = sizeof replacements / sizeof replacements[0] };

/* The function of that name: a new reference, or NULL with an exception. */
static PyObject *find_function(const struct state *st, const struct replacement *r)
{
    PyObject *owner    = r->owner == NULL ? NULL : global(st, r->owner);
    PyObject *function = NULL;

    if (r->owner == NULL)
        function = global(st, r->name);
    else if (owner != NULL && PyType_Check(owner))
        function = PyDict_GetItemString(((PyTypeObject *)(void *)owner)->tp_dict, r->name);
    if (function == NULL || !PyFunction_Check(function)) {
        PyErr_Format(PyExc_TypeError, "%s%s%s() is not the function that it was to be",
                     r->owner == NULL ? "" : r->owner, r->owner == NULL ? "" : ".", r->name);
        return NULL;
    }
    return Py_NewRef(function);
}

static int replace(struct state *st, const struct replacement *r)
{
    /* The classes have no other methods of the same name that are replaced. */
    const char *key      = r->call == do_buffered_send ? "dispatcher_with_send.send" : r->name;
    PyObject   *function = find_function(st, r);
    PyObject   *callable = NULL;
    int         rc       = -1;

    if (function != NULL)
        callable = method_new(st, r->call, r->keywords, function);
    if (callable != NULL && PyDict_SetItemString(st->originals, key, function) == 0)
        rc = r->owner == NULL ? PyDict_SetItemString(st->globals, r->name, callable)
                              : PyObject_SetAttrString(global(st, r->owner), r->name, callable);
    for (size_t i = 0; rc == 0 && r->owner == NULL && i < sizeof st->told / sizeof st->told[0]; i++)
        if (strcmp(told_names[i], r->name) == 0)
            st->told[i] = Py_NewRef(callable);
    for (int i = 0; rc == 0 && i < 2; i++)
        if (r->call == (i == 0 ? do_handle_read_event : do_handle_write_event))
            st->events[i] = Py_NewRef(callable);
    Py_XDECREF(callable);
    Py_XDECREF(function);
    return rc;
}

/* loop() runs the passes that _owned_passes pairs with poll() and poll2(): from now on, ours. */
static int pair_passes(struct state *st)
{
    PyObject *pairs = Py_BuildValue("[(OO)(OO)]", global(st, "poll"), global(st, "_select_pass"),
                                    global(st, "poll2"), global(st, "_poll_pass"));
    int       rc = pairs == NULL ? -1 : PyDict_SetItemString(st->globals, "_owned_passes", pairs);

    st->pairs = pairs;
    return rc;
}

static PyObject *take_predicate(const struct state *st, const char *owner, const char *name)
{
    PyObject *class    = global(st, owner);
    PyObject *function = NULL;

    if (class != NULL && PyType_Check(class))
        function = PyDict_GetItemString(((PyTypeObject *)(void *)class)->tp_dict, name);
    Py_XINCREF(function);
    return function;
}

static PyObject *install(PyObject *module, PyObject *globals)
{
    struct state *st;
    int           rc = 0;

    (void)module;
    if (!PyDict_CheckExact(globals)) {
        PyErr_SetString(PyExc_TypeError, "install() takes the globals() of asyncore");
        return NULL;
    }
    st = (struct state *)(void *)state_type->tp_alloc(state_type, 0);
    if (st == NULL)
        return NULL;
    st->globals   = Py_NewRef(globals);
    st->originals = PyDict_New();
    if (st->originals == NULL)
        rc = -1;
    else
        take_select(st);
    for (int i = 0; i < REPLACEMENTS && rc == 0; i++) {
        PyObject *function = find_function(st, &replacements[i]);

        /* All of them are there before the first is replaced. */
        rc = function == NULL ? -1 : 0;
        Py_XDECREF(function);
    }
    for (int i = 0; i < REPLACEMENTS && rc == 0; i++)
        rc = replace(st, &replacements[i]);
    if (rc == 0)
        rc = pair_passes(st);
    st->readable          = take_predicate(st, "dispatcher", "readable");
    st->writable          = take_predicate(st, "dispatcher", "writable");
    st->buffered_writable = take_predicate(st, "dispatcher_with_send", "writable");
    st->out_buffer        = take_predicate(st, "dispatcher_with_send", "out_buffer");
    st->initiate_send     = take_predicate(st, "dispatcher_with_send", "initiate_send");
    st->dispatcher        = global(st, "dispatcher");
    Py_XINCREF(st->dispatcher);
    Py_DECREF((PyObject *)st);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* --- the module --------------------------------------------------------------------------------- */

static int names_ready(void)
{
#define X(name)                                                                                    \
    if (names.name == NULL && (names.name = PyUnicode_InternFromString(#name)) == NULL)            \
        return -1;
    NAMES(X)
#undef X
    return 0;
}

static int module_exec(PyObject *module)
{
    /* What is kept in this file is the process's. A version that says so below is not asked always. */
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "_asyncore is for the main interpreter only");
        return -1;
    }
    if (names_ready() < 0 || method_type_ready(module) < 0 || io_ready() < 0 || tables_ready() < 0
        || predicates_ready() < 0)
        return -1;
    if (state_type == NULL)
        state_type = (PyTypeObject *)(void *)PyType_FromSpec(&state_spec);
    return state_type == NULL ? -1 : 0;
}

static PyMethodDef functions[] = {
    {"install", install, METH_O,
     "install(globals())\n\nPuts callables of this module in the place of functions of asyncore."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name    = "_asyncore",
    .m_doc     = "The hot functions of asyncore, in C.",
    .m_methods = functions,
    .m_slots   = module_slots,
};

/* Python 3.8 gives it no visibility of its own. */
__attribute__((visibility("default"))) PyMODINIT_FUNC PyInit__asyncore(void);

PyMODINIT_FUNC PyInit__asyncore(void)
{
    return PyModuleDef_Init(&definition);
}
