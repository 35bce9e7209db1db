/* SPDX-License-Identifier: MIT */
/*
 * Predicates that are something plain. A few functions are compiled by the interpreter itself; one of
 * a program whose code is the same, but for the name of the attribute, does the same, and its answer
 * is worked out here. Not while anybody traces, profiles or monitors calls, and not where the answer
 * would need code to be run: it is called then.
 */
#include "shape.h"
#include "table.h"

#include <string.h>
#if PY_VERSION_HEX >= 0x030c0000
#include "internal/pycore_interp.h"
#endif

static const struct template
{
    const char   *text;
    enum question question;
    bool          builtin;
}
templates[] = {
    {"True", ASK_TRUE, false},
    {"False", ASK_FALSE, false},
    {"self.x", ASK_VALUE, false},
    {"bool(self.x)", ASK_VALUE, true},
    {"not self.x", ASK_NOT, false},
    {"len(self.x)", ASK_LEN, true},
    {"len(self.x) > 0", ASK_LEN, true},
    {"len(self.x) != 0", ASK_LEN, true},
    {"bool(len(self.x))", ASK_LEN, true},
};

enum { TEMPLATES = sizeof templates / sizeof templates[0] };

static PyObject *compiled[TEMPLATES]; /* code objects */
static PyObject *x_name;

#if PY_VERSION_HEX >= 0x030a0000

static PyObject *get(PyObject *code, const char *what)
{
    return PyObject_GetAttrString(code, what);
}

static bool same(PyObject *a, PyObject *b, const char *what)
{
    PyObject *of_a = get(a, what), *of_b = get(b, what);
    bool equal = of_a != NULL && of_b != NULL && PyObject_RichCompareBool(of_a, of_b, Py_EQ) == 1;

    Py_XDECREF(of_a);
    Py_XDECREF(of_b);
    return equal;
}

/* The first constant is the text that documents the function. */
static bool same_constants(PyObject *a, PyObject *b)
{
    PyObject *of_a = get(a, "co_consts"), *of_b = get(b, "co_consts");
    bool equal = of_a != NULL && of_b != NULL && PyTuple_GET_SIZE(of_a) == PyTuple_GET_SIZE(of_b);

    for (Py_ssize_t i = 0; equal && i < PyTuple_GET_SIZE(of_a); i++) {
        PyObject *one = PyTuple_GET_ITEM(of_a, i), *other = PyTuple_GET_ITEM(of_b, i);

        equal = Py_TYPE(one) == Py_TYPE(other) && PyObject_RichCompareBool(one, other, Py_EQ) == 1;
        equal = equal || (i == 0 && one == Py_None && PyUnicode_CheckExact(other));
    }
    Py_XDECREF(of_a);
    Py_XDECREF(of_b);
    return equal;
}

/* Whether the names are those of the template, but for the attribute: that one, a reference. */
static bool same_names(PyObject *of_template, PyObject *code, PyObject **attribute)
{
    PyObject *ours = get(of_template, "co_names"), *names_ = get(code, "co_names");
    bool      equal =
        ours != NULL && names_ != NULL && PyTuple_GET_SIZE(ours) == PyTuple_GET_SIZE(names_);

    for (Py_ssize_t i = 0; equal && i < PyTuple_GET_SIZE(ours); i++) {
        PyObject *one = PyTuple_GET_ITEM(ours, i), *other = PyTuple_GET_ITEM(names_, i);

        if (PyUnicode_Compare(one, x_name) == 0 && *attribute == NULL)
            *attribute = Py_NewRef(other);
        else
            equal = PyUnicode_Compare(one, other) == 0;
    }
    Py_XDECREF(ours);
    Py_XDECREF(names_);
    return equal;
}

static bool fits(PyObject *of_template, PyObject *code, PyObject **attribute)
{
    static const char *const plain[] = {
        "co_argcount", "co_kwonlyargcount", "co_posonlyargcount", "co_nlocals", "co_freevars",
        "co_cellvars", "co_code",
    };
    /* Where a function was written, and what its file has imported from the future, is no matter. */
    const int flags = 0xffff & ~CO_NESTED;

    if ((((PyCodeObject *)(void *)of_template)->co_flags & flags)
        != (((PyCodeObject *)(void *)code)->co_flags & flags))
        return false;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (!same(of_template, code, plain[i]))
            return false;
    return same_constants(of_template, code) && same_names(of_template, code, attribute);
}

static PyObject *compile_template(const struct template *t)
{
    PyObject *globals = PyDict_New(), *result = NULL, *function, *code = NULL;
    char      text[100];

    PyOS_snprintf(text, sizeof text, "def f(self): return %s\n", t->text);
    if (globals != NULL && PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins()) == 0)
        result = PyRun_String(text, Py_file_input, globals, globals);
    function = result == NULL ? NULL : PyDict_GetItemString(globals, "f");
    if (function != NULL)
        code = PyObject_GetAttrString(function, "__code__");
    Py_XDECREF(result);
    Py_XDECREF(globals);
    return code;
}

int predicates_ready(void)
{
    if (x_name == NULL && (x_name = PyUnicode_InternFromString("x")) == NULL)
        return -1;
    for (int i = 0; i < TEMPLATES; i++)
        if (compiled[i] == NULL && (compiled[i] = compile_template(&templates[i])) == NULL)
            return -1;
    return 0;
}

/* --- whether they may be used ------------------------------------------------------------------- */

/* Whether the calls of this function are noticed by somebody. */
static bool instrumented(PyObject *code)
{
#if PY_VERSION_HEX >= 0x030c0000
    return ((PyCodeObject *)(void *)code)->_co_monitoring != NULL;
#else
    (void)code;
    return false;
#endif
}

/* Whether somebody would notice that functions are not called. */
static bool observed(void)
{
    PyThreadState *thread = PyThreadState_Get();
#if PY_VERSION_HEX >= 0x030c0000
    static const _Py_GlobalMonitors nobody;

    /* Where that lies may differ from one release to the next. */
    if (Py_Version != PY_VERSION_HEX
        || memcmp(&thread->interp->monitors, &nobody, sizeof nobody) != 0)
        return true;
#endif
    return thread->c_tracefunc != NULL || thread->c_profilefunc != NULL
           || _PyInterpreterState_GetEvalFrameFunc(thread->interp) != _PyEval_EvalFrameDefault;
}

/* Whether len and bool are the builtin ones for the function. */
static bool builtins_are_plain(struct predicate *p, const PyFunctionObject *f)
{
    static PyObject *len, *truth;
    PyObject        *builtins = f->func_builtins;

    if (p->globals_tag == dict_tag(f->func_globals) && p->builtins_tag == dict_tag(builtins))
        return true;
    if (len == NULL)
        len = PyDict_GetItemString(PyEval_GetBuiltins(), "len");
    if (truth == NULL)
        truth = (PyObject *)&PyBool_Type;
    if (len == NULL || !PyCFunction_Check(len)
        || PyDict_GetItemString(f->func_globals, "len") != NULL
        || PyDict_GetItemString(f->func_globals, "bool") != NULL || !PyDict_CheckExact(builtins)
        || PyDict_GetItemString(builtins, "len") != len
        || PyDict_GetItemString(builtins, "bool") != truth)
        return false;
    p->globals_tag  = dict_tag(f->func_globals);
    p->builtins_tag = dict_tag(builtins);
    return true;
}

static bool holds(struct predicate *p, PyObject *function)
{
    const PyFunctionObject *f = (PyFunctionObject *)(void *)function;

    return f->func_code == p->code && !instrumented(p->code)
           && (!p->builtin || builtins_are_plain(p, f));
}

void predicate_recognise(struct predicate *p, PyObject *function)
{
    PyObject *code =
        function != NULL && PyFunction_Check(function) ? PyFunction_GET_CODE(function) : NULL;
    PyObject *attribute = NULL;

    /* Classes change all the time, where they count something; their functions do not. */
    if (p->code == code)
        return;
    Py_CLEAR(p->code);
    Py_CLEAR(p->name);
    *p = (struct predicate){.question = ASK_CALL, .code = code};
    Py_XINCREF(code);
    for (int i = 0; code != NULL && i < TEMPLATES && p->question == ASK_CALL; i++) {
        if (fits(compiled[i], code, &attribute)) {
            p->question = (uint8_t)templates[i].question;
            p->builtin  = templates[i].builtin;
            p->name     = attribute;
            attribute   = NULL;
        }
        Py_CLEAR(attribute);
    }
    PyErr_Clear();
}

#else

static bool observed(void)
{
    return true;
}

int predicates_ready(void)
{
    (void)x_name;
    return 0;
}

static bool holds(struct predicate *p, PyObject *function)
{
    (void)p;
    (void)function;
    return false;
}

void predicate_recognise(struct predicate *p, PyObject *function)
{
    (void)compiled;
    (void)function;
    *p = (struct predicate){.question = ASK_CALL};
}

#endif

/* What a class asks with readable() or writable(), as things are now. */
static enum question question_of(const struct state *st, struct shape *s, int which, bool seen)
{
    struct predicate *p        = &s->predicates[which];
    PyObject         *function = s->attributes[which == 0 ? AT_readable : AT_writable].value;

    if (function == NULL)
        return ASK_CALL;
    if (p->question != ASK_CALL && !seen && holds(p, function))
        return (enum question)p->question;
    if (function == st->readable || function == st->writable || function == st->chat_readable)
        return ASK_TRUE;
    if (function == st->buffered_writable)
        return s->attributes[AT_out_buffer].value == st->out_buffer ? ASK_BUFFERED : ASK_CALL;
    return function == st->chat_writable ? ASK_CHAT : ASK_CALL;
}

/* --- answers ------------------------------------------------------------------------------------ */

static int truth_of(const struct shape *s, enum at at, PyObject *channel, bool *keeps)
{
    PyObject *value = shape_value(s, &s->attributes[at], channel);

    return value == NULL ? -1 : shape_truth(value, keeps);
}

/* dispatcher_with_send.writable(): not connected, or something in out_buffer. */
static int buffered(const struct shape *s, PyObject *channel, bool *keeps)
{
    int       connected = truth_of(s, AT_connected, channel, keeps);
    PyObject *buffer;

    if (connected <= 0)
        return connected == 0 ? 1 : -1;
    buffer = shape_instance_value(s, &s->attributes[AT_out_buffer], channel);
    return buffer != NULL && PyBytes_CheckExact(buffer) ? PyBytes_GET_SIZE(buffer) > 0 : -1;
}

/* async_chat.writable(): not connected, or something in the fifo, whose length is looked at each time. */
static int chat(const struct shape *s, PyObject *channel, PyObject **fifo, bool *keeps)
{
    int       connected = truth_of(s, AT_connected, channel, keeps);
    PyObject *value     = shape_value(s, &s->attributes[AT_producer_fifo], channel);

    if (connected < 0 || value == NULL || Py_TYPE(value) != deque_type)
        return -1;
    if (!connected)
        return 1;
    *fifo = value;
    return Py_SIZE(value) > 0;
}

static int answer(const struct shape *shape, int which, enum question question, PyObject *channel,
                  PyObject **fifo, bool *keeps)
{
    const struct attribute *own = &shape->attributes[which == 0 ? AT_readable : AT_writable];
    const struct predicate *p   = &shape->predicates[which];
    PyObject               *value;
    int                     truth;

    if (question == ASK_CALL || own->kind == KIND_CODE
        || shape_instance_value(shape, own, channel) != NULL)
        return -1;
    if (question == ASK_TRUE || question == ASK_FALSE)
        return question == ASK_TRUE;
    if (question == ASK_BUFFERED)
        return buffered(shape, channel, keeps);
    if (question == ASK_CHAT)
        return chat(shape, channel, fifo, keeps);
    value = shape_value(shape, &p->attribute, channel);
    if (value == NULL)
        return -1;
    if (Py_TYPE(value) == deque_type) {
        if (question == ASK_NOT)
            *keeps = false;
        else
            *fifo = value;
        truth = Py_SIZE(value) > 0;
    } else {
        truth = question != ASK_LEN || !(PyLong_Check(value) || value == Py_None)
                    ? shape_truth(value, keeps)
                    : -1;
    }
    return truth < 0 || question != ASK_NOT ? truth : !truth;
}

void asker_learn(struct asker *a, PyTypeObject *type)
{
    bool          seen = observed();
    struct shape *s    = shape_of(type);
    enum question writable;
    short         reads;

    a->type   = type;
    a->shape  = s;
    a->tag    = s == NULL ? 0 : s->tag;
    a->simple = false;
    for (int i = 0; i < 2; i++)
        a->question[i] = s == NULL ? ASK_CALL : question_of(a->p->st, s, i, seen);
    writable  = a->question[1];
    a->called = a->question[0] == ASK_CALL && writable == ASK_CALL ? type : NULL;
    if (a->question[0] != ASK_TRUE && a->question[0] != ASK_FALSE)
        return;
    reads        = a->question[0] == ASK_TRUE;
    a->writes    = writable == ASK_TRUE;
    a->x         = writable == ASK_VALUE || writable == ASK_LEN ? &s->predicates[1].attribute
                   : writable == ASK_BUFFERED                   ? &s->attributes[AT_out_buffer]
                                                                : NULL;
    a->connected = writable == ASK_BUFFERED ? &s->attributes[AT_connected] : NULL;
    a->accepting = &s->attributes[AT_accepting];
    a->want[0]   = pass_wants(a->p, reads, false, false);
    a->want[1]   = pass_wants(a->p, reads, true, false);
    a->simple    = s->keys != NULL && s->attributes[AT_readable].index < 0
                && s->attributes[AT_writable].index < 0 && a->accepting->kind != KIND_CODE
                && (a->x != NULL || writable == ASK_TRUE || writable == ASK_FALSE)
                && (a->x == NULL || writable == ASK_BUFFERED || a->x->kind != KIND_CODE)
                && (a->connected == NULL || a->connected->kind != KIND_CODE);
}

bool asker_is_current(const struct asker *a)
{
    /* A shape is made anew when its class changes, or another class takes its place. */
    if (a->type == NULL || !a->simple || a->tag != a->shape->tag
        || !shape_is_current(a->shape, a->type) || observed())
        return false;
    for (int i = 0; i < 2; i++) {
        struct predicate *p        = &a->shape->predicates[i];
        PyObject         *function = a->shape->attributes[i == 0 ? AT_readable : AT_writable].value;

        if (p->question != ASK_CALL && !holds(p, function))
            return false;
    }
    return true;
}

bool asker_answer(const struct asker *a, PyObject *channel, struct answer *out)
{
    PyObject *queue   = NULL;
    int       accepts = 0, readable, writable;

    *out     = (struct answer){.keeps = true};
    readable = answer(a->shape, 0, a->question[0], channel, &queue, &out->keeps);
    if (readable < 0)
        return false;
    if (queue != NULL)
        out->keeps = false;
    writable = answer(a->shape, 1, a->question[1], channel, &out->fifo, &out->keeps);
    if (writable > 0 || out->fifo != NULL)
        accepts = truth_of(a->shape, AT_accepting, channel, &out->keeps);
    if (writable < 0 || accepts < 0)
        return false;
    out->readable  = readable;
    out->writable  = writable;
    out->accepting = accepts;
    return true;
}

int asker_constant(struct asker *a, int which, PyObject *channel)
{
    bool keeps;

    (void)asker_knows(a, channel);
    if (a->question[which] != ASK_TRUE && a->question[which] != ASK_FALSE)
        return -1;
    return answer(a->shape, which, a->question[which], channel, NULL, &keeps);
}
