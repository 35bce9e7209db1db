/* SPDX-License-Identifier: MIT */
/* Shapes: see shape.h. */
#include "shape.h"

enum {
    WAYS    = 4,  /* places that a class may have */
    CHANGES = 32, /* of a class that counts something in itself, or the like */
    REST    = 64  /* so many lookups go the common way then, before its shape is made again */
};

struct shape shapes[SHAPES];

PyObject *at_name(enum at at)
{
#define X(name) [AT_##name]             = &names.name,
    static PyObject *const *const all[] = {ATTRIBUTE_NAMES(X)};
#undef X
    return *all[at];
}

/* --- making them -------------------------------------------------------------------------------- */

#if PY_VERSION_HEX >= 0x030b0000
/* The names of the arrays of a class's instances. */
static PyDictKeysObject *keys_of(PyTypeObject *type)
{
    PyDictKeysObject *keys = ((PyHeapTypeObject *)(void *)type)->ht_cached_keys;

#if PY_VERSION_HEX >= 0x030d0000
    if (!PyType_HasFeature(type, Py_TPFLAGS_INLINE_VALUES))
        return NULL;
#endif
    if (!PyType_HasFeature(type, Py_TPFLAGS_MANAGED_DICT) || keys == NULL
        || keys->dk_kind != DICT_KEYS_SPLIT)
        return NULL;
    return keys;
}

/* The names in there are interned, as a rule. */
static short index_of(PyDictKeysObject *keys, PyObject *name)
{
    for (Py_ssize_t i = 0; i < keys->dk_nentries && i < 1000; i++)
        if (DK_UNICODE_ENTRIES(keys)[i].me_key == name)
            return (short)i;
    for (Py_ssize_t i = 0; i < keys->dk_nentries && i < 1000; i++) {
        PyObject *key = DK_UNICODE_ENTRIES(keys)[i].me_key;

        if (key != NULL && !PyUnicode_CHECK_INTERNED(key) && PyUnicode_Compare(key, name) == 0)
            return (short)i;
    }
    return -1;
}
#else
static PyDictKeysObject *keys_of(PyTypeObject *type)
{
    (void)type;
    return NULL;
}

static short index_of(PyDictKeysObject *keys, PyObject *name)
{
    (void)keys;
    (void)name;
    return -1;
}
#endif

static void place_attribute(struct attribute *a, PyTypeObject *type, PyDictKeysObject *keys,
                            PyObject *name)
{
    PyObject     *value = _PyType_Lookup(type, name);
    PyTypeObject *of    = value == NULL ? NULL : Py_TYPE(value);

    a->name  = name;
    a->value = value;
    a->index = keys == NULL ? -1 : index_of(keys, name);
    if (value == NULL)
        a->kind = KIND_NONE;
    else if (PyFunction_Check(value) || of == method_type)
        a->kind = KIND_METHOD;
    else if (PyType_HasFeature(of, Py_TPFLAGS_HEAPTYPE) || of->tp_descr_get != NULL
             || of->tp_descr_set != NULL)
        a->kind = KIND_CODE; /* a class that can change may become one of descriptors */
    else
        a->kind = KIND_VALUE;
}

static struct shape *make_shape(struct shape *s, PyTypeObject *type)
{
    PyDictKeysObject *keys;

    if (type->tp_getattro != PyObject_GenericGetAttr
        || !PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE))
        return NULL;
    /* A class that has changed too often gets no tag any more. */
    (void)_PyType_Lookup(type, names.readable);
    if (type_tag(type) == 0)
        return NULL;
    s->changes = s->type != type ? 0 : s->changes <= CHANGES ? s->changes + 1 : s->changes;
    s->rest    = REST;
    keys       = keys_of(type);
    s->tag     = 0;
    s->keys    = keys;
    s->names   = keys == NULL ? 0 : shape_names(keys);
    for (int i = 0; i < ATTRIBUTES; i++)
        place_attribute(&s->attributes[i], type, keys, at_name((enum at)i));
    for (int i = 0; i < 2; i++) {
        struct predicate *p = &s->predicates[i];

        predicate_recognise(p, s->attributes[i == 0 ? AT_readable : AT_writable].value);
        if (p->name != NULL)
            place_attribute(&p->attribute, type, keys, p->name);
    }
    s->type = type;
    s->tag  = type_tag(type);
    return s->tag == 0 ? NULL : s;
}

struct shape *shape_find(PyTypeObject *type)
{
    size_t        first = shape_slot(type);
    static size_t next;
    struct shape *s = NULL;

    for (size_t i = 0; i < WAYS; i++) {
        struct shape *at = &shapes[(first + i) % SHAPES];

        if (shape_is_current(at, type))
            return at;
        if (at->type == type && at->changes > CHANGES && at->rest > 0) {
            at->rest--;
            return NULL;
        }
        if (s == NULL && (at->type == type || at->type == NULL))
            s = at;
    }
    if (s == NULL)
        s = &shapes[(first + next++ % WAYS) % SHAPES];
    return make_shape(s, type);
}

/* --- using them --------------------------------------------------------------------------------- */

PyObject *shape_dict_value(const struct attribute *a, PyObject *object)
{
    PyObject *dict  = shape_dict(object);
    PyObject *value = dict == NULL ? NULL : PyDict_GetItemWithError(dict, a->name);

    if (value == NULL && dict != NULL)
        PyErr_Clear();
    return value;
}

int shape_truth(PyObject *value, bool *keeps)
{
    if (value == Py_True)
        return 1;
    if (value == Py_False || value == Py_None)
        return 0;
    if (PyBytes_CheckExact(value) || PyTuple_CheckExact(value))
        return Py_SIZE(value) > 0;
    if (PyUnicode_CheckExact(value))
        return PyUnicode_GetLength(value) > 0;
    if (PyLong_CheckExact(value))
        return PyObject_IsTrue(value);
    if (PyByteArray_CheckExact(value) || PyList_CheckExact(value)) {
        *keeps = false;
        return Py_SIZE(value) > 0;
    }
    if (PyDict_CheckExact(value)) {
        *keeps = false;
        return PyDict_GET_SIZE(value) > 0;
    }
    return -1;
}
