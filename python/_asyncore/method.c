/* SPDX-License-Identifier: MIT */
/*
 * The type `_asyncore.method`: a callable that stands for a function of the Python module. It binds to
 * an instance as a function does, and what is asked of it and is not its own is answered by the
 * function: its code, its signature, its place in the source. It says that it is a function, too
 * (`__class__`), so that isinstance() and what is built on that, inspect and mock among them, take it for
 * one.
 */
#include "state.h"

struct method {
    PyObject_HEAD vectorcallfunc vectorcall;
    implementation               call;
    const char *const
                 *keywords; /* names of the arguments, all of them optional; NULL: none taken */
    struct state *state;
    PyObject     *original;
    PyObject     *weakrefs;
};

enum { MOST_KEYWORDS = 4 };

PyTypeObject   *method_type;
static PyObject sentinel;
PyObject *const not_mine = &sentinel;

implementation method_of(PyObject *callable)
{
    return Py_TYPE(callable) == method_type ? ((struct method *)(void *)callable)->call : NULL;
}

/* Puts keyword arguments in their places: the number of places, or -1: not such a call. */
static Py_ssize_t place(const struct method *m, PyObject *const *args, Py_ssize_t n,
                        PyObject *kwnames, PyObject **placed)
{
    Py_ssize_t top = n, count = 0;

    while (m->keywords[count] != NULL)
        count++;
    if (n > count)
        return -1;
    for (Py_ssize_t i = 0; i < MOST_KEYWORDS; i++)
        placed[i] = i < n ? args[i] : NULL;
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(kwnames); k++) {
        Py_ssize_t at = 0;

        while (at < count
               && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, k), m->keywords[at])
                      != 0)
            at++;
        if (at == count || placed[at] != NULL)
            return -1;
        placed[at] = args[n + k];
        if (at >= top)
            top = at + 1;
    }
    return top;
}

static PyObject *method_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf,
                                   PyObject *kwnames)
{
    const struct method *m      = (struct method *)(void *)self;
    Py_ssize_t           n      = PyVectorcall_NARGS(nargsf);
    PyObject            *result = not_mine;

    if (kwnames == NULL) {
        result = m->call(m->state, args, n);
    } else if (m->keywords != NULL) {
        PyObject *placed[MOST_KEYWORDS];

        n = place(m, args, n, kwnames, placed);
        if (n >= 0)
            result = m->call(m->state, placed, n);
    }
    return result != not_mine ? result : PyObject_Vectorcall(m->original, args, nargsf, kwnames);
}

static PyObject *method_get(PyObject *self, PyObject *object, PyObject *type)
{
    (void)type;
    if (object == NULL || object == Py_None)
        return Py_NewRef(self);
    return PyMethod_New(self, object);
}

static PyObject *method_getattro(PyObject *self, PyObject *name)
{
    const struct method *m = (struct method *)(void *)self;
    PyObject            *value;

    if (PyUnicode_CompareWithASCIIString(name, "__class__") == 0)
        return Py_NewRef((PyObject *)&PyFunction_Type);
    /* The type has these, too. */
    if (PyUnicode_CompareWithASCIIString(name, "__doc__") == 0
        || PyUnicode_CompareWithASCIIString(name, "__module__") == 0)
        return PyObject_GetAttr(m->original, name);
    value = PyObject_GenericGetAttr(self, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        value = PyObject_GetAttr(m->original, name);
    }
    return value;
}

static int method_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    return PyObject_SetAttr(((struct method *)(void *)self)->original, name, value);
}

static PyObject *method_repr(PyObject *self)
{
    return PyObject_Repr(((struct method *)(void *)self)->original);
}

/* Copied and pickled by name, as a function is. */
static PyObject *method_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyObject_GetAttrString(((struct method *)(void *)self)->original, "__qualname__");
}

static int method_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct method *m = (struct method *)(void *)self;

#if PY_VERSION_HEX >= 0x03090000
    Py_VISIT(Py_TYPE(self));
#endif
    Py_VISIT((PyObject *)m->state);
    Py_VISIT(m->original);
    return 0;
}

/*
 * No tp_clear: a callable that has lost its state could still be called. Its cycles go through the
 * globals, which are cleared.
 */
static void method_dealloc(PyObject *self)
{
    struct method *m    = (struct method *)(void *)self;
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (m->weakrefs != NULL)
        PyObject_ClearWeakRefs(self);
    Py_XDECREF((PyObject *)m->state);
    Py_XDECREF(m->original);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"__reduce__", method_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
#if PY_VERSION_HEX >= 0x03090000
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct method, vectorcall), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct method, weakrefs), READONLY, NULL},
#endif
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_call, (void *)PyVectorcall_Call},
    {Py_tp_dealloc, (void *)method_dealloc},
    {Py_tp_descr_get, (void *)method_get},
    {Py_tp_getattro, (void *)method_getattro},
    {Py_tp_members, members},
    {Py_tp_methods, methods},
    {Py_tp_repr, (void *)method_repr},
    {Py_tp_setattro, (void *)method_setattro},
    {Py_tp_traverse, (void *)method_traverse},
    {0, NULL},
};

/* So that the interpreter keeps where it has found them. */
#if PY_VERSION_HEX >= 0x030a0000
#define IMMUTABLE Py_TPFLAGS_IMMUTABLETYPE
#else
#define IMMUTABLE 0
#endif

static PyType_Spec spec = {
    .name      = "_asyncore.method",
    .basicsize = sizeof(struct method),
    .flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
             | Py_TPFLAGS_METHOD_DESCRIPTOR | IMMUTABLE,
    .slots = slots,
};

int method_type_ready(PyObject *module)
{
    if (method_type == NULL) {
        method_type = (PyTypeObject *)(void *)PyType_FromSpec(&spec);
        if (method_type == NULL)
            return -1;
#if PY_VERSION_HEX < 0x03090000
        method_type->tp_vectorcall_offset = offsetof(struct method, vectorcall);
        method_type->tp_weaklistoffset    = offsetof(struct method, weakrefs);
#endif
        method_type->tp_new = NULL;
    }
    Py_INCREF(method_type);
    if (PyModule_AddObject(module, "method", (PyObject *)method_type) < 0) {
        Py_DECREF(method_type);
        return -1;
    }
    return 0;
}

PyObject *method_new(struct state *st, implementation call, const char *const *keywords,
                     PyObject *original)
{
    struct method *m = PyObject_GC_New(struct method, method_type);

    if (m == NULL)
        return NULL;
    m->vectorcall = method_vectorcall;
    m->call       = call;
    m->keywords   = keywords;
    m->state      = (struct state *)Py_NewRef((PyObject *)st);
    m->original   = Py_NewRef(original);
    m->weakrefs   = NULL;
    PyObject_GC_Track(m);
    return (PyObject *)m;
}
