/* SPDX-License-Identifier: MIT */
/*
 * One face for CPython 3.8 to 3.13. What is private to the interpreter is reached here, in
 * shape.h and in io.c only, so that a new version is looked through in one place.
 */
#ifndef PYAC_COMPAT_H
#define PYAC_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <patchlevel.h>
#if PY_VERSION_HEX >= 0x030b0000
#define Py_BUILD_CORE 1 /* how instances keep their attributes: shape.h */
#endif
#include <Python.h>
#if PY_VERSION_HEX >= 0x030b0000
#include <internal/pycore_dict.h>
#include <internal/pycore_object.h>
#endif
#include <frameobject.h>
#include <stdbool.h>
#include <stdint.h>
#include <structmember.h>

#if PY_VERSION_HEX < 0x03080000
#error "Python 3.8 or later is needed"
#endif
#ifdef Py_GIL_DISABLED
#error "asyncore.py works alone where there is no GIL; the extension does not"
#endif

#if PY_VERSION_HEX < 0x03090000
#define PyObject_Vectorcall        _PyObject_Vectorcall
#define Py_TPFLAGS_HAVE_VECTORCALL _Py_TPFLAGS_HAVE_VECTORCALL

static inline PyObject *PyObject_CallMethodNoArgs(PyObject *self, PyObject *name)
{
    return PyObject_CallMethodObjArgs(self, name, NULL);
}

static inline PyInterpreterState *PyInterpreterState_Get(void)
{
    return PyThreadState_Get()->interp;
}

static inline PyObject *PyObject_CallOneArg(PyObject *callable, PyObject *arg)
{
    return PyObject_CallFunctionObjArgs(callable, arg, NULL);
}
#endif

#if PY_VERSION_HEX < 0x030a0000
static inline PyObject *Py_NewRef(PyObject *object)
{
    Py_INCREF(object);
    return object;
}
#endif

/*
 * A number that moves with each change of a dict and that no two dicts share. One thing does not move
 * it: storing the object that is there already.
 */
static inline uint64_t dict_tag(PyObject *dict)
{
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif
    return ((PyDictObject *)dict)->ma_version_tag;
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
}

/* A number that belongs to the present state of a class and of its bases, or 0: none is known. */
static inline unsigned type_tag(PyTypeObject *type)
{
#if PY_VERSION_HEX < 0x030d0000
    if (!PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG))
        return 0;
#endif
    return type->tp_version_tag;
}

#endif
