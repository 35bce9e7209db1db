/* SPDX-License-Identifier: MIT */
/*
 * Asking channels, in the map's order, what they want.
 *
 * readable() and writable() are called in each pass, for each channel, by attribute lookup. Those that
 * are ours, or plain enough to be known (predicate.c), are not called but worked out here; and for the
 * channels of a table, where nothing of that can have changed since the last time (the class has its
 * tag, the instance's dict has its own, and the values cannot change in place), not even that.
 */
#include "table.h"

#include "base/alloc.h"
#include "shape.h"

#include <string.h>

/*
 * From 3.11 on an instance has a dict when somebody looks at it, and code that uses attributes runs
 * slower from then on: not worth it but for channels of which nothing has been heard for so many
 * passes, in a large map. From 3.13 on, a stored attribute leaves the dict's tag as it is.
 */
#if PY_VERSION_HEX >= 0x030d0000
enum { KEEPS_ANSWERS = 0 };
#else
enum { KEEPS_ANSWERS = 1 };
#endif
enum { MANY = 200, LONG_QUIET = 32 };

short pass_wants(const struct pass *p, bool readable, bool writable, bool accepting)
{
    short want = 0;

    if (readable)
        want |= POLLIN | POLLPRI;
    if (writable && !accepting)
        want |= POLLOUT;
    if (p->by_select && (readable || writable))
        want |= POLLPRI;
    return want;
}

/* --- by calls ----------------------------------------------------------------------------------- */

#define INLINED __attribute__((always_inline)) static inline

/* Of the class whose predicate was called last, or NULL: as a rule, of the next one, too. */
static const struct shape *last;

/* The truth of an answer, or -1 with an exception. */
static inline int truth_of(PyObject *answer)
{
    return answer == Py_True ? 1 : answer == Py_False ? 0 : PyObject_IsTrue(answer);
}

/*
 * What a predicate returns: a new reference. Where its class has it as a function, as nearly all have, it
 * is called from here in the fewest steps: there may be thousands of these in a pass. `*slot` is the
 * channel, and stays where it is.
 */
INLINED PyObject *call_predicate(PyObject *const *slot, enum at at)
{
    PyObject               *channel = *slot, *function, *result;
    PyTypeObject           *type    = Py_TYPE(channel);
    const struct shape     *s       = last;
    const struct attribute *m;

    if (s == NULL || !shape_is_current(s, type)) {
        last = s = shape_of(type);
        if (s == NULL)
            return call_attribute(channel, at);
    }
    m        = &s->attributes[at];
    function = m->value;
    if (m->kind != KIND_METHOD || !PyFunction_Check(function)
        || shape_instance_value(s, m, channel) != NULL)
        return call_attribute(channel, at);
    Py_INCREF(function);
    result = ((PyFunctionObject *)(void *)function)->vectorcall(function, slot, 1, NULL);
    Py_DECREF(function);
    return result;
}

/* The same, of one that may be known always to say the same; not if `called`: neither is known. */
INLINED PyObject *put_question(struct asker *a, PyObject *const *slot, enum at at, bool called)
{
    int constant = called ? -1 : asker_constant(a, at == AT_writable, *slot);

    if (constant >= 0)
        return Py_NewRef(constant ? Py_True : Py_False);
    a->type = NULL;
    return call_predicate(slot, at);
}

static int failed(const struct pass *p, PyObject *first, PyObject *second, enum site site)
{
    Py_XDECREF(second);
    Py_XDECREF(first);
    trace(p->st, site);
    return -1;
}

INLINED int ask_both(const struct pass *p, struct asker *a, PyObject *const *slot, short *want,
                     bool called)
{
    PyObject *first    = put_question(a, slot, AT_readable, called), *second;
    int       readable = 0, writable, accepting = 0;

    if (first == NULL || (!p->by_select && (readable = truth_of(first)) < 0))
        return failed(p, first, NULL, PASS_SITE(p, READABLE));
    if (!p->by_select)
        Py_CLEAR(first);
    second = put_question(a, slot, AT_writable, called);
    if (second == NULL)
        return failed(p, first, NULL, PASS_SITE(p, WRITABLE));
    /* As select() has it, the truth of both answers is looked at after both were given. */
    if (first != NULL && (readable = truth_of(first)) < 0)
        return failed(p, first, second, SITE_SELECT_READABLE);
    writable = truth_of(second);
    Py_DECREF(second);
    Py_XDECREF(first);
    if (writable > 0)
        accepting = attribute_true(*slot, AT_accepting);
    a->type = NULL;
    if (writable < 0 || accepting < 0)
        return failed(p, NULL, NULL, PASS_SITE(p, WRITABLE));
    *want = pass_wants(p, readable, writable, accepting);
    return 0;
}

static int ask_by_calls(const struct pass *p, struct asker *a, PyObject *const *slot, short *want)
{
    if (a->called == Py_TYPE(*slot))
        return ask_both(p, a, slot, want, true);
    return ask_both(p, a, slot, want, false);
}

int pass_ask(const struct pass *p, struct asker *asker, PyObject *const *channel, short *want)
{
    struct answer answer;

    if (asker->called == Py_TYPE(*channel) || !asker_knows(asker, *channel))
        return ask_by_calls(p, asker, channel, want);
    if (asker_simple(asker, *channel, want))
        return 0;
    if (!asker_answer(asker, *channel, &answer))
        return ask_by_calls(p, asker, channel, want);
    *want = pass_wants(p, answer.readable, answer.writable, answer.accepting);
    return 0;
}

/* --- without ------------------------------------------------------------------------------------ */

/* Keeps an answer for as long as the instance's dict is as it is. */
static void keep(const struct table *t, struct chan *c, const struct asker *a, PyObject *channel,
                 const struct answer *answer)
{
    PyObject *dict = shape_dict(channel);

    if (dict == NULL && t->n >= MANY && c->quiet >= LONG_QUIET) {
        PyObject **made = _PyObject_GetDictPtr(channel);

        dict = made == NULL ? NULL : *made;
    }
    if (dict == NULL)
        return;
    c->type     = a->type;
    c->type_tag = a->shape->tag;
    c->dict_tag = dict_tag(dict);
    c->fifo     = answer->fifo;
    c->answer   = (uint8_t)(ANSWER_KEPT | (answer->readable ? ANSWER_READ : 0)
                          | (answer->writable ? ANSWER_WRITE : 0)
                          | (answer->accepting ? ANSWER_ACCEPT : 0));
}

static bool is_kept(const struct chan *c, const struct asker *a, PyObject *channel)
{
    PyObject *dict;

    if (!KEEPS_ANSWERS || c->answer == ANSWER_NONE || c->type != a->type
        || c->type_tag != a->shape->tag)
        return false;
    dict = shape_dict(channel);
    return dict != NULL && c->dict_tag == dict_tag(dict);
}

/* What a channel of a table wants, if that is to be had without a call. No code is run here. */
static bool ask_quietly(const struct pass *p, const struct table *t, struct chan *c,
                        struct asker *a, PyObject *channel, short *want)
{
    struct answer answer;

    if (a->called == Py_TYPE(channel) || !asker_knows(a, channel))
        return false;
    if ((!KEEPS_ANSWERS || t->n < MANY || c->quiet < LONG_QUIET) && asker_simple(a, channel, want))
        return true;
    if (is_kept(c, a, channel)) {
        bool writable = c->fifo != NULL ? Py_SIZE(c->fifo) > 0 : c->answer & ANSWER_WRITE;

        *want = pass_wants(p, c->answer & ANSWER_READ, writable, c->answer & ANSWER_ACCEPT);
        return true;
    }
    c->answer = ANSWER_NONE;
    if (!asker_answer(a, channel, &answer))
        return false;
    *want = pass_wants(p, answer.readable, answer.writable, answer.accepting);
    if (KEEPS_ANSWERS && answer.keeps)
        keep(t, c, a, channel, &answer);
    return true;
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
    struct asker asker     = {.p = p};
    size_t       held_from = n; /* none */
    long         wanting   = 0;
    int          rc        = 0;

    t->looks  = 0;
    t->writes = false;
    for (size_t i = 0; i < n; i++) {
        struct chan *c       = &t->chans[i];
        PyObject    *channel = i >= held_from ? t->held[i] : c->channel;
        short        want    = 0;

        c->quiet = c->got != 0 ? 0 : c->quiet < LONG_QUIET ? c->quiet + 1 : c->quiet;
        c->got = c->want = 0;
        if (channel == NULL)
            continue;
        if (!ask_quietly(p, t, c, &asker, channel, &want)) {
            if (held_from == n) {
                rc = hold(t, i, n);
                if (rc == 0)
                    held_from = i;
            }
            if (rc == 0)
                rc = ask_by_calls(p, &asker, &t->held[i], &want);
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
