/* SPDX-License-Identifier: MIT */
/* loop(): passes, as long as there is nothing but passes to be done. */
#include "state.h"

/* Whether loop() has nothing to do but passes: no timers, no waker that was used, no other thread. */
static bool only_passes(struct state *st)
{
    if (st->loop_tag != dict_tag(st->globals)) {
        PyObject *timers = PyDict_GetItemWithError(st->globals, names._timers);

        if (timers == NULL || !PyDict_CheckExact(timers)
            || PyDict_GetItemWithError(st->globals, names._woken) != Py_None)
            return false;
        st->timers   = timers;
        st->loop_tag = dict_tag(st->globals);
    }
    return PyDict_GET_SIZE(st->timers) == 0
           && PyThreadState_Next(PyInterpreterState_ThreadHead(PyInterpreterState_Get())) == NULL;
}

/* The Python text takes over, with the passes that are left. */
static PyObject *hand_over(const struct pass *p, long left)
{
    PyObject *original = PyDict_GetItemString(p->st->originals, "loop");
    PyObject *count    = left < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(left);
    PyObject *result   = NULL;

    if (count != NULL)
        result = PyObject_CallFunctionObjArgs(
            original, p->timeout, p->by_select ? Py_False : Py_True, p->map, count, NULL);
    Py_XDECREF(count);
    return result;
}

/* Whether poll() or poll2() is what loop() has an owned form of, and that is ours. */
static bool pairs_are_ours(const struct state *st, bool use_poll)
{
    PyObject *pairs = PyDict_GetItemWithError(st->globals, names._owned_passes);
    PyObject *pair  = pairs != NULL && pairs == st->pairs && PyList_GET_SIZE(pairs) == 2
                          ? PyList_GET_ITEM(pairs, use_poll ? 1 : 0)
                          : NULL;

    return pair != NULL && PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2
           && PyDict_GetItemWithError(st->globals, use_poll ? names.poll2 : names.poll)
                  == PyTuple_GET_ITEM(pair, 0)
           && method_of(PyTuple_GET_ITEM(pair, 1)) == (use_poll ? do_poll_pass : do_select_pass);
}

static PyObject *run_passes(const struct pass *p, long left)
{
    for (;;) {
        int rc;

        if (!only_passes(p->st))
            return PyErr_Occurred() ? NULL : hand_over(p, left);
        if (PyDict_GET_SIZE(p->map) == 0 || left == 0)
            return Py_NewRef(Py_None);
        rc = PyErr_CheckSignals() < 0 ? -1 : state_is_plain(p->st) ? pass_run(p) : 1;
        if (rc == 1)
            return hand_over(p, left);
        if (rc < 0) {
            trace(p->st, SITE_LOOP);
            return NULL;
        }
        if (left > 0)
            left--;
    }
}

/* loop(timeout=30.0, use_poll=False, map=None, count=None) */
PyObject *do_loop(struct state *st, PyObject *const *args, Py_ssize_t n)
{
    PyObject   *map    = n > 2 && args[2] != NULL ? args[2] : Py_None;
    PyObject   *count  = n > 3 && args[3] != NULL ? args[3] : Py_None;
    PyObject   *result = NULL;
    struct pass p;
    bool        use_poll = n > 1 && args[1] == Py_True;
    long        left     = -1;
    int         overflow = 0;

    if (n > 4 || (n > 1 && args[1] != NULL && args[1] != Py_True && args[1] != Py_False))
        return not_mine;
    if (count != Py_None)
        left = PyLong_CheckExact(count) ? PyLong_AsLongAndOverflow(count, &overflow) : -1;
    if (map == Py_None)
        map = PyDict_GetItemWithError(st->globals, names.socket_map);
    if ((count != Py_None && (left < 0 || overflow != 0)) || map == NULL || !PyDict_CheckExact(map)
        || !state_is_plain(st) || !pairs_are_ours(st, use_poll) || PyErr_Occurred())
        return not_mine;
    p = (struct pass){.st = st, .map = map, .by_select = !use_poll, .owned = true, .waker = -1};
    p.timeout = n > 0 && args[0] != NULL ? Py_NewRef(args[0]) : PyFloat_FromDouble(30.0);
    if (p.timeout == NULL)
        return NULL;
    Py_INCREF(map);
    result = pass_timeout(&p) ? run_passes(&p, left) : hand_over(&p, left);
    Py_DECREF(map);
    Py_DECREF(p.timeout);
    return result;
}
