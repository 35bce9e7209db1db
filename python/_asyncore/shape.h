/* SPDX-License-Identifier: MIT */
/*
 * What looking an attribute up would find, without looking.
 *
 * A *shape* keeps, for one class in its present state (its version tag), where the attributes that the
 * passes use are: what the class has under the name, and at which place the instances have it, as long
 * as they keep their attributes in an array (3.11 and later). Everything here is only for classes with
 * the common __getattribute__ and no __getattr__, and gives up, with no exception set, where looking up
 * would run code: the caller then does what the Python text does.
 *
 * A shape is good until code of anybody's is run.
 */
#ifndef PYAC_SHAPE_H
#define PYAC_SHAPE_H

#include "state.h"

/* How an attribute of a class is used. */
enum kind {
    KIND_NONE,   /* the class has none of that name */
    KIND_VALUE,  /* it is the value, unless the instance has one */
    KIND_METHOD, /* a function, or alike, unless the instance has one */
    KIND_CODE    /* looking it up runs code */
};

struct attribute {
    PyObject *name;
    PyObject *value; /* of the class, borrowed: its tag vouches for it */
    short     index; /* in the array of the instance, or -1 */
    uint8_t   kind;  /* enum kind */
};

/* What readable() or writable() does, if it is something plain. */
enum question {
    ASK_CALL,     /* nothing that is known */
    ASK_TRUE,     /* return True */
    ASK_FALSE,    /* return False */
    ASK_VALUE,    /* return self.x, return bool(self.x) */
    ASK_NOT,      /* return not self.x */
    ASK_LEN,      /* return len(self.x), return len(self.x) > 0, return len(self.x) != 0 */
    ASK_BUFFERED, /* dispatcher_with_send.writable() */
    ASK_CHAT      /* async_chat.writable() */
};

struct predicate {
    uint8_t          question;
    bool             builtin;                   /* it calls len() or bool() */
    PyObject        *code;                      /* that was recognised; a reference */
    uint64_t         globals_tag, builtins_tag; /* when len and bool were the builtin ones */
    struct attribute attribute;                 /* x */
    PyObject        *name;                      /* x, a reference */
};

struct shape {
    PyTypeObject     *type;
    unsigned          tag;
    PyDictKeysObject *keys; /* of the arrays, and how many names there were */
    Py_ssize_t        names;
    uint8_t           changes; /* how often it had to be made anew, up to some */
    uint8_t           rest;    /* lookups that do without, when it has to be again */
    struct attribute  attributes[ATTRIBUTES];
    struct predicate  predicates[2]; /* readable, writable */
};

/* --- the inside of instances -------------------------------------------------------------------- */

#if PY_VERSION_HEX >= 0x030b0000

/* The array of an instance whose class has keys, or NULL: it has a dict. */
static inline PyObject *const *shape_array(PyObject *object)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyDictValues *values = _PyObject_InlineValues(object);

    return values->valid ? values->values : NULL;
#elif PY_VERSION_HEX >= 0x030c0000
    PyDictOrValues both = *_PyObject_DictOrValuesPointer(object);

    return _PyDictOrValues_IsValues(both) ? _PyDictOrValues_GetValues(both)->values : NULL;
#else
    PyDictValues *values = *_PyObject_ValuesPointer(object);

    return values == NULL ? NULL : values->values;
#endif
}

/* The instance's dict if it has one by now: borrowed, or NULL. */
static inline PyObject *shape_dict(PyObject *object)
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

static inline Py_ssize_t shape_names(const PyDictKeysObject *keys)
{
    return keys->dk_nentries;
}

#else

static inline PyObject *const *shape_array(PyObject *object)
{
    (void)object;
    return NULL;
}

static inline PyObject *shape_dict(PyObject *object)
{
    PyObject **dict = _PyObject_GetDictPtr(object);

    return dict == NULL ? NULL : *dict;
}

static inline Py_ssize_t shape_names(const PyDictKeysObject *keys)
{
    (void)keys;
    return 0;
}

#endif

/* --- using them --------------------------------------------------------------------------------- */

enum { SHAPES = 64 };
extern struct shape shapes[SHAPES];
struct shape       *shape_find(PyTypeObject *type);

static inline size_t shape_slot(PyTypeObject *type)
{
    return ((uintptr_t)type >> 5 ^ (uintptr_t)type >> 11) % SHAPES;
}

static inline bool shape_is_current(const struct shape *s, PyTypeObject *type)
{
    return s->type == type && s->tag != 0 && s->tag == type_tag(type)
           && (s->keys == NULL
               || (s->keys == ((PyHeapTypeObject *)(void *)type)->ht_cached_keys
                   && s->names == shape_names(s->keys)));
}

/* The shape of a class, or NULL. */
static inline struct shape *shape_of(PyTypeObject *type)
{
    struct shape *s = &shapes[shape_slot(type)];

    return shape_is_current(s, type) ? s : shape_find(type);
}

/* Of an instance that has a dict. */
PyObject *shape_dict_value(const struct attribute *a, PyObject *object);

/* The instance's own value: borrowed, or NULL. */
static inline PyObject *shape_instance_value(const struct shape *s, const struct attribute *a,
                                             PyObject *object)
{
    PyObject *const *array = s->keys == NULL ? NULL : shape_array(object);

    if (array == NULL)
        return shape_dict_value(a, object);
    return a->index < 0 ? NULL : array[a->index];
}

/* What looking up gives, if that runs no code: borrowed, or NULL. */
static inline PyObject *shape_value(const struct shape *s, const struct attribute *a,
                                    PyObject *object)
{
    PyObject *value = a->kind == KIND_CODE ? NULL : shape_instance_value(s, a, object);

    return value != NULL || a->kind != KIND_VALUE ? value : a->value;
}

/* The same, of an instance that has an array, for a class that has no descriptor of that name. */
static inline PyObject *shape_array_value(const struct attribute *a, PyObject *const *array)
{
    PyObject *value = a->index < 0 ? NULL : array[a->index];

    return value != NULL || a->kind != KIND_VALUE ? value : a->value;
}

/* object.name: a new reference, or NULL with an exception. */
static inline PyObject *get_attribute(PyObject *object, enum at at)
{
    const struct shape *s     = shape_of(Py_TYPE(object));
    PyObject           *value = s == NULL ? NULL : shape_value(s, &s->attributes[at], object);

    return value == NULL ? PyObject_GetAttr(object, at_name(at)) : Py_NewRef(value);
}

/* The truth of a value if that is plain: 1, 0, or -1. `*keeps` is cleared if it may change in place. */
int shape_truth(PyObject *value, bool *keeps);

/* predicate.c */
int predicates_ready(void);

/* Finds out what the function is, if it is one of those that are known; forgets what was there. */
void predicate_recognise(struct predicate *p, PyObject *function);

/*
 * Who asks the channels of one pass. It remembers the class of the channel before: after code of
 * anybody's was run, `type` is to be cleared.
 */
struct asker {
    const struct pass *p;
    PyTypeObject      *type;
    struct shape      *shape;
    unsigned           tag;         /* of the shape when it was learnt from */
    enum question      question[2]; /* readable, writable */
    PyTypeObject      *called;      /* both have to be called for this one, which is always right */

    /* Where readable() always says the same, and writable() too or by the length of `x`. */
    bool                    simple, writes, by_select;
    const struct attribute *x;         /* or NULL */
    const struct attribute *connected; /* NULL, or what has to be True */
    const struct attribute *accepting;
    short                   want[2]; /* for who does not want to write, and for who does */
};

struct answer {
    bool      readable, writable, accepting;
    bool      keeps; /* it is the same for as long as the attributes and the length of `fifo` are */
    PyObject *fifo;  /* borrowed, or NULL: a deque; not empty is a wish to write */
};

void asker_learn(struct asker *a, PyTypeObject *type);

/* Whether what was learnt in a pass before is so in this one. */
bool asker_is_current(const struct asker *a);

/* Whether the predicates of the channel's class are known. */
static inline bool asker_knows(struct asker *a, PyObject *channel)
{
    if (a->type != Py_TYPE(channel))
        asker_learn(a, Py_TYPE(channel));
    return a->question[0] != ASK_CALL && a->question[1] != ASK_CALL;
}

/* After asker_knows(): what the channel wants, in the simplest case; false: it is another. */
static inline bool asker_simple(const struct asker *a, PyObject *channel, short *want)
{
    PyObject *const *array = a->simple ? shape_array(channel) : NULL;
    bool             write = a->writes;

    if (array == NULL)
        return false;
    if (a->x != NULL) {
        PyObject *value = shape_array_value(a->x, array);

        if (value == NULL || !PyBytes_CheckExact(value)
            || (a->connected != NULL && shape_array_value(a->connected, array) != Py_True))
            return false;
        write = Py_SIZE(value) > 0;
    }
    if (write && shape_array_value(a->accepting, array) != Py_False)
        return false;
    *want = a->want[write];
    return true;
}

/* What the channel wants, if its class is known and its attributes are plain. No code is run. */
bool asker_answer(const struct asker *a, PyObject *channel, struct answer *out);

/* The answer of a predicate that always says the same: 1 or 0; -1: another one. */
int asker_constant(struct asker *a, int which, PyObject *channel);

#endif
