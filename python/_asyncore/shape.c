/* SPDX-License-Identifier: MIT */
/* Shapes: see shape.h. The inside of instances, of 3.11 and later, is known here only. */
#define Py_BUILD_CORE 1
#include "shape.h"

#if PY_VERSION_HEX >= 0x030b0000
#include "internal/pycore_dict.h"
#include "internal/pycore_object.h"
#endif

enum { SHAPES = 64, WAYS = 4 /* places that a class may have */ };

static struct shape shapes[SHAPES];

PyObject *at_name(enum at at)
{
#define X(name) [AT_##name] = &names.name,
    static PyObject *const *const all[] = {ATTRIBUTE_NAMES(X)};
#undef X
    return *all[at];
}

/* --- the inside of instances -------------------------------------------------------------------- */

#if PY_VERSION_HEX >= 0x030b0000
/* The names of the arrays of a class's instances. */
static PyDictKeysObject *keys_of(PyTypeObject *type)
{
    PyDictKeysObject *keys = ((PyHeapTypeObject *)(void *)type)->ht_cached_keys;

    if (!PyType_HasFeature(type, Py_TPFLAGS_MANAGED_DICT) || keys == NULL
        || keys->dk_kind != DICT_KEYS_SPLIT)
        return NULL;
    return keys;
}

static Py_ssize_t names_of(const PyDictKeysObject *keys)
{
    return keys->dk_nentries;
}

static short index_of(PyDictKeysObject *keys, PyObject *name)
{
    for (Py_ssize_t i = 0; i < keys->dk_nentries && i < 1000; i++) {
        PyObject *key = DK_UNICODE_ENTRIES(keys)[i].me_key;

        if (key != NULL && (key == name || PyUnicode_Compare(key, name) == 0))
            return (short)i;
    }
    return -1;
}

/* The array of an instance, or NULL: it has a dict. `type` has keys. */
static PyObject *const *array_of(PyObject *object)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyDictValues *values;

    if (!PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_INLINE_VALUES))
        return NULL;
    values = _PyObject_InlineValues(object);
    return values->valid ? values->values : NULL;
#elif PY_VERSION_HEX >= 0x030c0000
    PyDictOrValues both = *_PyObject_DictOrValuesPointer(object);

    return _PyDictOrValues_IsValues(both) ? _PyDictOrValues_GetValues(both)->values : NULL;
#else
    PyDictValues *values = *_PyObject_ValuesPointer(object);

    return values == NULL ? NULL : values->values;
#endif
}

PyObject *shape_dict(PyObject *object)
{
    PyObject **dict;

    if (PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_MANAGED_DICT)) {
#if PY_VERSION_HEX >= 0x030d0000
        return (PyObject *)_PyObject_GetManagedDict(object);
#elif PY_VERSION_HEX >= 0x030c0000
        PyDictOrValues both = *_PyObject_DictOrValuesPointer(object);

        return _PyDictOrValues_IsValues(both) ? NULL : _PyDictOrValues_GetDict(both);
#else
        return *_PyObject_ManagedDictPointer(object);
#endif
    }
    dict = _PyObject_GetDictPtr(object);
    return dict == NULL ? NULL : *dict;
}
#else
static PyDictKeysObject *keys_of(PyTypeObject *type)
{
    (void)type;
    return NULL;
}

static Py_ssize_t names_of(const PyDictKeysObject *keys)
{
    (void)keys;
    return 0;
}

static short index_of(PyDictKeysObject *keys, PyObject *name)
{
    (void)keys;
    (void)name;
    return -1;
}

static PyObject *const *array_of(PyObject *object)
{
    (void)object;
    return NULL;
}

PyObject *shape_dict(PyObject *object)
{
    PyObject **dict = _PyObject_GetDictPtr(object);

    return dict == NULL ? NULL : *dict;
}
#endif

/* --- making them -------------------------------------------------------------------------------- */

static void place_attribute(struct attribute *a, PyTypeObject *type, PyDictKeysObject *keys,
                            PyObject *name)
{
    PyObject     *value = _PyType_Lookup(type, name);
    PyTypeObject *of    = value == NULL ? NULL : Py_TYPE(value);

    a->value = value;
    a->index = keys == NULL ? -1 : index_of(keys, name);
    if (value == NULL)
        a->kind = KIND_NONE;
    else if (of->tp_descr_set != NULL)
        a->kind = KIND_CODE;
    else if (of->tp_descr_get == NULL)
        a->kind = KIND_VALUE;
    else
        a->kind = PyFunction_Check(value) || of == method_type ? KIND_METHOD : KIND_CODE;
}

static struct shape *make_shape(struct shape *s, PyTypeObject *type)
{
    PyDictKeysObject *keys;
    bool              same_class = s->type == type && s->tag == type_tag(type) && s->tag != 0;

    if (type->tp_getattro != PyObject_GenericGetAttr
        || !PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE))
        return NULL;
    keys     = keys_of(type);
    s->tag   = 0;
    s->keys  = keys;
    s->names = keys == NULL ? 0 : names_of(keys);
    for (int i = 0; i < ATTRIBUTES; i++)
        place_attribute(&s->attributes[i], type, keys, at_name((enum at)i));
    for (int i = 0; i < 2; i++) {
        struct predicate *p = &s->predicates[i];

        if (!same_class)
            predicate_recognise(p, s->attributes[i == 0 ? AT_readable : AT_writable].value);
        if (p->name != NULL)
            place_attribute(&p->attribute, type, keys, p->name);
    }
    s->type = type;
    s->tag  = type_tag(type);
    return s->tag == 0 ? NULL : s;
}

static bool is_current(const struct shape *s, PyTypeObject *type)
{
    return s->type == type && s->tag != 0 && s->tag == type_tag(type)
           && (s->keys == NULL
               || (s->keys == ((PyHeapTypeObject *)(void *)type)->ht_cached_keys
                   && s->names == names_of(s->keys)));
}

static struct shape *find_or_make(size_t first, PyTypeObject *type)
{
    static size_t next;
    struct shape *s = NULL;

    for (size_t i = 0; i < WAYS; i++) {
        struct shape *at = &shapes[(first + i) % SHAPES];

        if (is_current(at, type))
            return at;
        if (s == NULL && (at->type == type || at->type == NULL))
            s = at;
    }
    if (s == NULL)
        s = &shapes[(first + next++ % WAYS) % SHAPES];
    return make_shape(s, type);
}

struct shape *shape_of(PyTypeObject *type)
{
    size_t        first = ((uintptr_t)type >> 5 ^ (uintptr_t)type >> 11) % SHAPES;
    struct shape *s     = &shapes[first];

    return is_current(s, type) ? s : find_or_make(first, type);
}

/* --- using them --------------------------------------------------------------------------------- */

PyObject *shape_instance_value(const struct attribute *a, PyObject *object, PyObject *name)
{
    PyObject *const *array = NULL;
    PyObject        *dict, *value;

    if (PY_VERSION_HEX >= 0x030b0000 && keys_of(Py_TYPE(object)) != NULL)
        array = array_of(object);
    if (array != NULL)
        return a->index < 0 ? NULL : array[a->index];
    dict = shape_dict(object);
    if (dict == NULL)
        return NULL;
    value = PyDict_GetItemWithError(dict, name);
    if (value == NULL)
        PyErr_Clear();
    return value;
}

PyObject *shape_value(const struct attribute *a, PyObject *object, PyObject *name)
{
    PyObject *value;

    if (a->kind == KIND_CODE)
        return NULL;
    value = shape_instance_value(a, object, name);
    return value != NULL || a->kind != KIND_VALUE ? value : a->value;
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
