/* SPDX-License-Identifier: MIT */
/*
 * What the files of the extension share.
 *
 * _asyncore.install(globals()) makes one `struct state` for the module whose globals these are, and
 * puts callables of the type `_asyncore.method` in the place of its hot functions. Each of them holds
 * the state and the Python function that it stands for. A callable does the plain case itself and
 * calls the function in every other, so the Python text says what happens, always.
 */
#ifndef PYAC_STATE_H
#define PYAC_STATE_H

#include "compat.h"

struct asker;
struct few;
struct table;

/* Where a line of the Python text is named in a traceback. The first word is the function's name. */
enum site {
    SITE_READ,
    SITE_WRITE,
    SITE_EXCEPTION,
    SITE_READWRITE_IN,
    SITE_READWRITE_OUT,
    SITE_READWRITE_PRI,
    SITE_READWRITE_HUP,
    SITE_SELECT_READABLE,
    SITE_SELECT_WRITABLE,
    SITE_SELECT_WAIT,
    SITE_SELECT_TELL,
    SITE_SELECT_TELL_OWNER,
    SITE_POLL_READABLE,
    SITE_POLL_WRITABLE,
    SITE_POLL_WAIT,
    SITE_POLL_TELL,
    SITE_POLL_TELL_OWNER,
    SITE_LOOP,
    SITE_READ_ACCEPT,
    SITE_READ_CONNECT,
    SITE_READ_READ,
    SITE_WRITE_CONNECT,
    SITE_WRITE_WRITE,
    SITE_RECV_RECV,
    SITE_RECV_CLOSE,
    SITE_SEND_SEND,
    SITE_SEND_CLOSE,
    SITE_BUFFERED_SEND,
    SITES
};

struct state {
    PyObject_HEAD PyObject *globals; /* of the module */

    /* What the globals held when the state was made. */
    PyObject *select_module, *select_select, *select_poll;
    PyObject *told[4];                        /* read, write, _exception, readwrite: ours */
    PyObject *events[2];                      /* handle_read_event, handle_write_event: ours */
    PyObject *readable, *writable;            /* of dispatcher */
    PyObject *buffered_writable, *out_buffer; /* of dispatcher_with_send */
    PyObject *chat_readable, *chat_writable;  /* of async_chat, once asynchat is there */
    PyObject *dispatcher, *initiate_send;     /* the class; of dispatcher_with_send */

    /* dispatcher.send() is to fail for this channel as the system call did that was made already. */
    PyObject *failed_channel;
    int       failed_error;

    /* The globals and the module select are as they were while these are their tags. */
    uint64_t globals_tag, select_tag;
    bool     plain;

    /* Nobody has called wakeup() while this is the tag of the globals, and these are _timers: theirs. */
    uint64_t  loop_tag;
    PyObject *timers;

    struct few   *few;       /* the small map last used */
    struct asker *asker;     /* of the small pass last made, or NULL */
    struct table *tables;    /* of maps, the one last used first */
    PyObject     *pairs;     /* _owned_passes, as we made it */
    PyObject     *originals; /* dict: name -> the Python function */
    PyObject     *codes[SITES];
};

/* A callable that stands for a Python function. */
typedef PyObject *(*implementation)(struct state *st, PyObject *const *args, Py_ssize_t n);

/* An implementation that leaves the call to the Python function. No exception is set then. */
extern PyObject *const not_mine;

/* Names, interned. */
#define NAMES(X)                                                                                   \
    X(accepting)                                                                                   \
    X(connected)                                                                                   \
    X(connecting)                                                                                  \
    X(debug)                                                                                       \
    X(dispatcher)                                                                                  \
    X(fileno)                                                                                      \
    X(handle_accept)                                                                               \
    X(handle_close)                                                                                \
    X(handle_connect_event)                                                                        \
    X(handle_error)                                                                                \
    X(handle_expt_event)                                                                           \
    X(handle_read)                                                                                 \
    X(handle_read_event)                                                                           \
    X(handle_write)                                                                                \
    X(handle_write_event)                                                                          \
    X(initiate_send)                                                                               \
    X(log_info)                                                                                    \
    X(out_buffer)                                                                                  \
    X(poll)                                                                                        \
    X(poll2)                                                                                       \
    X(producer_fifo)                                                                               \
    X(read)                                                                                        \
    X(readable)                                                                                    \
    X(readwrite)                                                                                   \
    X(recv)                                                                                        \
    X(select)                                                                                      \
    X(send)                                                                                        \
    X(sleep)                                                                                       \
    X(socket)                                                                                      \
    X(socket_map)                                                                                  \
    X(time)                                                                                        \
    X(writable)                                                                                    \
    X(write)                                                                                       \
    X(_DISCONNECTED)                                                                               \
    X(_chat_predicates)                                                                            \
    X(_exception)                                                                                  \
    X(_fileno)                                                                                     \
    X(_map)                                                                                        \
    X(_owned_passes)                                                                               \
    X(_reraised_exceptions)                                                                        \
    X(_timers)                                                                                     \
    X(_woken)
#define X(name) PyObject *name;
struct names {
    NAMES(X)
};
#undef X
extern struct names names;

/* Of those, the attributes whose places are kept: see shape.h. */
#define ATTRIBUTE_NAMES(X)                                                                         \
    X(accepting)                                                                                   \
    X(connected)                                                                                   \
    X(connecting)                                                                                  \
    X(debug)                                                                                       \
    X(handle_accept)                                                                               \
    X(handle_close)                                                                                \
    X(handle_connect_event)                                                                        \
    X(handle_error)                                                                                \
    X(handle_expt_event)                                                                           \
    X(handle_read)                                                                                 \
    X(handle_read_event)                                                                           \
    X(handle_write)                                                                                \
    X(handle_write_event)                                                                          \
    X(initiate_send)                                                                               \
    X(out_buffer)                                                                                  \
    X(producer_fifo)                                                                               \
    X(readable)                                                                                    \
    X(send)                                                                                        \
    X(socket)                                                                                      \
    X(writable)
#define X(name) AT_##name,
enum at { ATTRIBUTE_NAMES(X) ATTRIBUTES };
#undef X
PyObject *at_name(enum at at);

/* module.c: whether the globals and what they name have not been patched. */
bool state_is_plain(struct state *st);

/* method.c */
extern PyTypeObject *method_type;
int                  method_type_ready(PyObject *module);
PyObject            *method_new(struct state *st, implementation call, const char *const *keywords,
                                PyObject *original);
/* The implementation of a callable of ours, or NULL. */
implementation method_of(PyObject *callable);

/* trace.c: adds the frame of a line of the Python text to the traceback of the exception set. */
void trace(struct state *st, enum site site);

/* channel.c */
int       attribute_true(PyObject *object, enum at at); /* 1, 0, or -1 with an exception */
PyObject *call_attribute(PyObject *object, enum at at);
int       call_method(PyObject *object, enum at at); /* 0, or -1 with an exception */
int       channel_read(struct state *st, PyObject *channel);
int       channel_write(struct state *st, PyObject *channel);
int       channel_exception(struct state *st, PyObject *channel);
int       channel_readwrite(struct state *st, PyObject *channel, int flags);
PyObject *do_read(struct state *st, PyObject *const *args, Py_ssize_t n);
PyObject *do_write(struct state *st, PyObject *const *args, Py_ssize_t n);
PyObject *do_exception(struct state *st, PyObject *const *args, Py_ssize_t n);
PyObject *do_readwrite(struct state *st, PyObject *const *args, Py_ssize_t n);
PyObject *do_handle_read_event(struct state *st, PyObject *const *args, Py_ssize_t n);
PyObject *do_handle_write_event(struct state *st, PyObject *const *args, Py_ssize_t n);

/*
 * What an exception is: 1, an OSError whose number is in _DISCONNECTED; 0, another OSError; 2, no
 * OSError; -1: a new exception is set.
 */
int is_disconnect(struct state *st, PyObject *value);

/* Calls object.name() while the exception that is set is the one being handled; 0 or -1. */
int call_handling(PyObject *object, enum at at);

/* io.c */
int       io_ready(void);
PyObject *do_recv(struct state *st, PyObject *const *args, Py_ssize_t n);
PyObject *do_send(struct state *st, PyObject *const *args, Py_ssize_t n);
PyObject *do_buffered_send(struct state *st, PyObject *const *args, Py_ssize_t n);
/* pass.c: one pass over a map. */
struct pass {
    struct state *st;
    PyObject     *map;
    PyObject     *timeout; /* as it was given */
    int64_t       wait;    /* nanoseconds; INT64_MAX: no limit */
    bool          by_select;
    bool owned; /* an event is for the channel that had the descriptor when the wait ended */
    int  waker; /* one more descriptor to wait for, or -1 */
};

struct event {
    PyObject *owner; /* a reference of its own; NULL unless `owned` */
    int       fd;
    short     got; /* by select(): who is to be told; else what poll() said */
};

PyObject *do_select_pass(struct state *st, PyObject *const *args, Py_ssize_t n);
PyObject *do_poll_pass(struct state *st, PyObject *const *args, Py_ssize_t n);

/* Reads the timeout of a pass; false: it is one that the Python text has to deal with. */
bool pass_timeout(struct pass *p);

/* The pass: 0, -1, or 1: the Python text is to do it. */
int pass_run(const struct pass *p);

/* loop.c */
PyObject *do_loop(struct state *st, PyObject *const *args, Py_ssize_t n);

/* ask.c: what a channel wants: readable() and writable(), as the bits of poll(). 0 or -1. */
int   pass_ask(const struct pass *p, struct asker *asker, PyObject *const *channel, short *want);
short pass_wants(const struct pass *p, bool readable, bool writable, bool accepting);

/* What of a result of poll() this pass has to tell. */
short pass_due(const struct pass *p, short want, short result);

/* Who is in the map under the number: a new reference, or NULL, perhaps with an exception. */
PyObject *pass_owner(PyObject *map, int fd);

/* Tells `n` events, in their order; takes their references. 0 or -1. */
int pass_tell(const struct pass *p, struct event *events, size_t n);

/* Sets the OSError that select() ends with where a descriptor is closed: -1. */
int pass_bad_descriptor(const struct pass *p);

/* The line where the two functions of a pass do the same. */
#define PASS_SITE(p, what) ((p)->by_select ? SITE_SELECT_##what : SITE_POLL_##what)

int64_t monotonic(void);

/*
 * ppoll() up to a point in time (INT64_MAX: no limit), letting the GIL go unless that is past already.
 * Signals are handled and the wait goes on. The result of ppoll(), or -1 with an exception.
 */
struct pollfd;
int wait_for(struct pollfd *fds, size_t n, int64_t until);

/* table.c */

/* A pass over a map that is large: 0, -1, or 1: it has to be done in the simple way. */
int table_pass(const struct pass *p);

/* The map is small by now. */
void tables_small(struct state *st, PyObject *map);

/* The channel has just read all that its socket had. */
void tables_drained(struct state *st, PyObject *channel, int fd);
void tables_free(struct state *st);
int  tables_ready(void);

/* dispatcher.add_channel() and del_channel() */
PyObject *do_add_channel(struct state *st, PyObject *const *args, Py_ssize_t n);
PyObject *do_del_channel(struct state *st, PyObject *const *args, Py_ssize_t n);

#endif
