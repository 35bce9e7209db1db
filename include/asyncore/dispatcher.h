/* SPDX-License-Identifier: MIT */
/**
 * The dispatcher: a socket as an object. Fill the slots of a class with what it should do when
 * something can be done; put an ac_dispatcher first in your own structure, and get from one to the
 * other with AC_SELF.
 *
 * The six rules of lifetime:
 *
 *   1. No callback runs inside a call that you make: only ac_run() and ac_loop_turn() call back.
 *   2. ac_close() is legal anywhere, any number of times, on any dispatcher. The descriptor closes at
 *      once; after it nothing of the dispatcher is called but `finalize`, once.
 *   3. Memory lives to the end of the turn: after ac_close(d) the rest of your callback may use `d`.
 *   4. Events belong to an object, never to a descriptor's number: what was meant for a closed
 *      dispatcher reaches nobody.
 *   5. `finalize` is the last call, exactly once. The storage, yours or the library's, stays valid
 *      until it has returned, and nothing of the library touches it afterwards.
 *   6. A turn is bounded: a channel reads at most 256 KiB, a listener accepts at most 64, then the
 *      others have their turn.
 *
 * The end of a channel is told in one order: data first, then the end, then an error. So a handler
 * sees every byte that the kernel holds before it learns that the peer is gone.
 *
 * The conventions at the top of <asyncore/base.h> hold here.
 */
#ifndef ASYNCORE_DISPATCHER_H
#define ASYNCORE_DISPATCHER_H

#include "asyncore/addr.h"
#include "asyncore/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What a kind of channel does: a constant table of slots, each of which may be left empty. Any slot
 * may call any function of the library but ac_run(), ac_loop_turn() and ac_loop_free().
 *
 * Interest follows the slots: a channel is watched for reading if handle_read or handle_accept is
 * filled, and for writing only while something waits to be written.
 */
typedef struct ac_class {
    const char *name; /**< for the log: "TimeRequest". Kept, as the table. */

    /**
     * Whether the channel wants to read or write now. Pure functions, asked just before the loop
     * waits, and only if the answer can have changed: after a callback or a call on this channel,
     * and after ac_changed(). Empty: true.
     */
    bool (*readable)(ac_dispatcher *d);
    bool (*writable)(ac_dispatcher *d);

    /** The connection stands: the first call of a channel that connects. Not told after ac_attach(). */
    void (*handle_connect)(ac_dispatcher *d);

    /** A listener has connections waiting. Call ac_accept() until it gives -EAGAIN. */
    void (*handle_accept)(ac_dispatcher *d);

    /**
     * There is something to read: call ac_recv(), ac_read() or ac_recvfrom(). What is left is told
     * again. One that takes nothing 16 times running is paused, with a line in the log, until the
     * next call on its channel.
     */
    void (*handle_read)(ac_dispatcher *d);

    /**
     * The channel can be written to: told after the connection stands, after the send queue has
     * become empty, after an ac_send() that could not send all, and after ac_changed(). One that
     * neither sends, writes nor closes is not called again until one of these.
     */
    void (*handle_write)(ac_dispatcher *d);

    /**
     * The peer has shut its side: nothing more will be read. Ours stays open for writing. Empty:
     * handle_close is told instead.
     */
    void (*handle_eof)(ac_dispatcher *d);

    /** The send queue has fallen to its low mark after it had passed the high one. */
    void (*handle_drain)(ac_dispatcher *d);

    /**
     * A connection failed (ac_error() is the reason), or out-of-band data arrived (ac_error() is 0,
     * ac_oob() gives the byte). Empty: a failed connection goes to handle_error, and out-of-band
     * data is not watched for.
     */
    void (*handle_expt)(ac_dispatcher *d);

    /**
     * The channel has ended: by the peer, or by an error that was told before. At most once.
     * Default: ac_close_when_sent() after an orderly end, ac_close() after an error. One that leaves
     * the channel open keeps its memory and nothing else: the channel has no interest any more.
     */
    void (*handle_close)(ac_dispatcher *d);

    /**
     * Something failed: the connection, or what ac_fail() was told. handle_close follows unless the
     * channel was closed here. Default: one line through log_info with the channel, the error and
     * the place where it was raised.
     *
     * @param err  negative, as ac_error().
     */
    void (*handle_error)(ac_dispatcher *d, int err);

    /**
     * The last call, exactly once, at the end of the turn in which the channel was closed. Release
     * here what the structure holds. Storage of your own may be reused here: freed, or initialised
     * again. What ac_new() made is freed by the library afterwards.
     */
    void (*finalize)(ac_dispatcher *d);

    /**
     * Where log lines go; inside these, nothing of the channel may be called but its getters.
     * Default: "log: MESSAGE" and "TYPE: MESSAGE", a line each, on stderr.
     */
    void (*log)(ac_dispatcher *d, const char *message);
    void (*log_info)(ac_dispatcher *d, const char *type, const char *message);

    void (*reserved_[8])(void);
} ac_class;

/* What the loop knows of a thing that can become ready. Private. */
struct ac__source_ {
    const struct ac__source_ops *ops;
    struct ac__link_             work, all;
    int                          fd;
    uint8_t                      ready, want, sent, idle;
};

/** A channel. 96 bytes; all but `cls` and `loop` is private. */
struct ac_dispatcher {
    union {
        const ac_class *cls;  /**< read only */
        const ac_class *base; /* so that ac_new(ac_dispatcher, ...) works */
    };
    ac_loop           *loop; /**< read only; NULL: not initialised */
    struct ac__source_ source_;
    struct ac__ext    *ext_;
    struct ac__times  *times_;
    uint32_t           flags_;
    int32_t            err_;
    uint32_t           used_;
    uint16_t           magic_, rare_;
};

/** A connection on its way from ac_accept() to ac_attach() or ac_drop(). A value, used once. */
typedef struct ac_sock {
    ac_loop *loop_;
    int      id_;
    int      kind_;
} ac_sock;

/** From the `base` member that a slot is given to the `T` around it. Checks the types. */
#define AC_SELF(T, d) ((T *)(void *)((char *)(1 ? (d) : &((T *)0)->base) - offsetof(T, base)))

/* --- life --------------------------------------------------------------------------------- */

/* Behind ac_init() and ac_new(): carries the form that the caller was compiled against. */
AC_API int   ac_init_(ac_dispatcher *d, ac_loop *loop, const ac_class *cls, size_t size,
                      unsigned abi);
AC_API void *ac_new_(ac_loop *loop, const ac_class *cls, size_t len, size_t size, unsigned abi);

/**
 * Makes a channel of storage of the caller's. Opens nothing and joins nothing: one that is never
 * opened gets no `finalize`, and need not be closed unless marks or timeouts were set on it, whose
 * memory ac_close() releases. To be called on storage that is no live channel.
 *
 * @param d     kept from the first successful verb until `finalize` has returned.
 * @param loop  kept as long.
 * @param cls   kept as long; a constant table.
 * @return      0, or -EINVAL: no loop or class, or compiled against another form of the library;
 *              every verb on the channel then gives -EINVAL too.
 */
static inline int ac_init(ac_dispatcher *d, ac_loop *loop, const ac_class *cls)
{
    return ac_init_(d, loop, cls, sizeof(ac_dispatcher), AC_ABI);
}

/**
 * Makes a channel in memory of the library's: ac_new(struct request, loop, &request_class), where
 * `base` is the first member of the structure. All of it is zeroed.
 *
 * @return  a `T *`, freed after `finalize`, that is after ac_close(), also if it was never opened;
 *          NULL: out of memory, or an argument that is none.
 */
#define ac_new(T, loop, cls)                                                                       \
    ((T *)ac_new_((loop), (cls), sizeof(T) + 0 * sizeof(char[offsetof(T, base) == 0 ? 1 : -1]),    \
                  sizeof(ac_dispatcher), AC_ABI))

/**
 * Closes a channel, in whatever state it is: connecting, resolving, listening, with data queued
 * (which is dropped: see ac_close_when_sent()), closed already, never opened, NULL. Nothing of it is
 * called afterwards but `finalize`, at the end of this turn or, outside a turn, of the next.
 */
AC_API void ac_close(ac_dispatcher *d);

/**
 * Reports a failure from a handler: handle_error(err) and then handle_close run once the callback
 * that goes on has returned. Ignored while another failure waits to be told, in handle_error and
 * handle_close, and on a channel that is not open.
 *
 * @param err  an error code of either sign, not 0. The place of the call is kept for the log.
 */
#define ac_fail(d, err) ac_fail_at((d), (err), __FILE__, __LINE__)
AC_API void ac_fail_at(ac_dispatcher *d, int err, const char *file, int line);

/** Whether the channel was opened and not closed yet. */
AC_API bool ac_is_open(const ac_dispatcher *d);

/** Whether the connection stands: true from handle_connect on, until the channel ends. */
AC_API bool ac_is_connected(const ac_dispatcher *d);

/** Why the channel failed: a negative error code, kept until `finalize`; 0: it has not. */
AC_API int ac_error(const ac_dispatcher *d);

/* --- connecting --------------------------------------------------------------------------- */

/**
 * Connects over TCP to a name or address. Never blocks. Names are looked up in /etc/hosts and by
 * DNS (nsswitch.conf is not read: no mDNS, no NIS); "localhost" is this machine (RFC 6761). The
 * addresses are tried as RFC 8305 has it: IPv6 and IPv4 looked up at once, an attempt every 250 ms
 * with the earlier ones left running, at most 64 addresses. AC_CONNECT (30 s) bounds all of it.
 *
 * @param host  copied. Literals are read as ac_addr_ip() does, and looked up nowhere.
 * @param port  1 to 65535.
 * @return      0: started; handle_connect, or the failure, is told in a later turn;
 *              -EINVAL no channel, or port 0; -EISCONN it is open already; -EBADF it was closed.
 * Errors told later: -AC_ENAME, -AC_ENOTFOUND, -AC_EDNS, -ETIMEDOUT, -ECONNREFUSED and the other
 * results of connect(2); of several addresses, the last failure of the family tried first.
 */
AC_API int ac_connect(ac_dispatcher *d, const char *host, uint16_t port);

/**
 * Connects over UDP: no packet is sent, but the channel speaks with this peer alone from
 * handle_connect on. Where the peer's host answers that nobody listens (ICMP), the next address of
 * the name is taken and handle_connect is told again; after the last, the error.
 * @return  as ac_connect().
 */
AC_API int ac_connect_udp(ac_dispatcher *d, const char *host, uint16_t port);

/**
 * Connects to one address, as it is: TCP or Unix stream if the channel was not opened before by
 * ac_open(), else by what it was opened as.
 * @return  as ac_connect(); all failures of the system's are told later.
 */
AC_API int ac_connect_addr(ac_dispatcher *d, const ac_addr *addr);

/**
 * Opens a socket and no more: what ac_bind_addr() and ac_connect_addr() then work on.
 *
 * @param family  AF_INET, AF_INET6 or AF_UNIX.
 * @param type    SOCK_STREAM or SOCK_DGRAM.
 * @return        0, -EINVAL, -EISCONN, -EBADF, or a result of socket(2).
 */
AC_API int ac_open(ac_dispatcher *d, int family, int type);

/** Binds an opened socket to an address of this machine. @return 0 or a result of bind(2). */
AC_API int ac_bind_addr(ac_dispatcher *d, const ac_addr *addr);

/* --- listening ---------------------------------------------------------------------------- */

/**
 * Listens for TCP connections. SO_REUSEADDR is set.
 *
 * @param host     a literal as ac_addr_ip()'s; NULL or "": all addresses, IPv6 and IPv4 by one socket.
 * @param port     0: one of the system's choice, told by ac_local_port().
 * @param backlog  connections that may wait; <= 0: 4096. The system has a limit of its own.
 * @return         0; -EINVAL, also for a name; -EISCONN, -EBADF; a result of bind(2).
 */
AC_API int ac_listen(ac_dispatcher *d, const char *host, uint16_t port, int backlog);

/** As ac_listen(), on one address; with "unix:" addresses too, whose file must not exist. */
AC_API int ac_listen_addr(ac_dispatcher *d, const ac_addr *addr, int backlog);

/**
 * Lets several sockets listen at one port, which the kernel then feeds in turn (SO_REUSEPORT). To
 * be called before ac_listen() or ac_listen_udp(). @return 0, -EINVAL, -EISCONN, -EBADF.
 */
AC_API int ac_set_reuseport(ac_dispatcher *d, bool on);

/**
 * Takes one waiting connection from a listener; non-blocking, close-on-exec, TCP_NODELAY.
 *
 * @param sock  out: given; it goes to ac_attach() or ac_drop().
 * @param peer  out, or NULL: the peer's address.
 * @return      0; -EAGAIN: none waits, or 64 were taken in this turn; -EMFILE, -ENFILE, -ENOBUFS,
 *              -ENOMEM: out of room; the listener is paused for 100 ms, doubling up to 1 s, or until
 *              this loop closes a descriptor. -EBADF: the listener was closed. A connection that
 *              died while it waited is passed over.
 */
AC_API int ac_accept(ac_dispatcher *listener, ac_sock *sock, ac_addr *peer);

/**
 * Makes a channel of a connection. No handle_connect follows: it is connected already.
 *
 * @param d     initialised and not open; NULL: the socket is closed, the result is -ENOMEM, so
 *              that the result of ac_new() may be passed on unseen.
 * @param sock  taken.
 * @return      0, -EISCONN, -EBADF, -EINVAL; -EEXIST: it is another channel's, and is not closed;
 *              of a descriptor of your own also -ENOTSOCK, -ENOTCONN and another -errno. Other
 *              failures, out of memory too, are told later.
 */
AC_API int ac_attach(ac_dispatcher *d, ac_sock sock);

/**
 * A socket of the caller's own making, to be given to ac_attach(): connected, listening, or
 * datagram. It is made non-blocking there, and not looked at before.
 *
 * @param fd  the caller's until ac_attach() or ac_drop() takes it.
 * @return    a value, for one of these two.
 */
AC_API ac_sock ac_sock_from_fd(ac_loop *loop, int fd);

/** Closes a connection that nobody wants. @param sock taken. */
AC_API void ac_drop(ac_loop *loop, ac_sock sock);

/* --- reading and writing ------------------------------------------------------------------ */

/**
 * Reads what is there, up to `len` bytes, into memory of the caller's: recv(2). Descriptors that the peer
 * of a Unix socket passes with its bytes (SCM_RIGHTS) are dropped, and what follows them may be told of
 * only when more comes.
 *
 * @return  > 0; 0: the peer shut its side, which is also told (handle_eof or handle_close) after
 *          this callback (or `len` is 0); -EAGAIN: nothing now, or the channel's share of this turn (256 KiB) is
 *          used up; -ENOTCONN; -EBADF; another -errno, which is also told.
 */
AC_API ssize_t ac_recv(ac_dispatcher *d, void *buf, size_t len);

/**
 * Reads what is there, without a copy: a view into the loop's buffer of 64 KiB.
 *
 * @param data  out: borrowed, until this callback returns or the next ac_read() on any channel of
 *              the loop. ac_close(), ac_pause() and ac_write() do not end it. The bytes count as
 *              read: what is not used must be copied.
 * @return      as ac_recv(); -EINVAL: called outside a callback.
 */
AC_API ssize_t ac_read(ac_dispatcher *d, const void **data);

/**
 * Writes what the system takes now: send(2) without SIGPIPE. See ac_write() for all of it.
 *
 * @return  >= 0: bytes taken, which may be fewer than `len`; -EAGAIN: none now, or the send queue
 *          is not empty; handle_write is told when it is worth another try. -ENOTCONN, -EPIPE,
 *          -EBADF; another -errno, which is also told.
 */
AC_API ssize_t ac_send(ac_dispatcher *d, const void *buf, size_t len);

/** The out-of-band byte that handle_expt told of: 0 to 255, or -EAGAIN: none. */
AC_API int ac_oob(ac_dispatcher *d);

/** Sends one byte out of band (TCP urgent data, RFC 6093). @return 0, or as ac_send(). */
AC_API int ac_send_oob(ac_dispatcher *d, uint8_t byte);

/* --- interest ----------------------------------------------------------------------------- */

/** Stops and restarts reading (accepting). Nothing is lost: the peer is held back. 0 or -errno. */
AC_API int ac_pause(ac_dispatcher *d);
AC_API int ac_resume(ac_dispatcher *d);

/** Says that what `readable` or `writable` answer has changed; arms handle_write. 0 or -errno. */
AC_API int ac_changed(ac_dispatcher *d);

/** Takes a channel out of what keeps ac_run() running, and back in. 0 or -errno. */
AC_API int ac_unref(ac_dispatcher *d);
AC_API int ac_ref(ac_dispatcher *d);

/* --- deadlines ---------------------------------------------------------------------------- */

/** What ac_set_timeout() bounds. */
typedef enum ac_timeout {
    AC_CONNECT, /**< from the connect verb to handle_connect; 30 s unless set */
    AC_IDLE,    /**< without a byte read or written */
    AC_READ,    /**< without a byte read, while reading is not paused (whatever `readable` says) */
    AC_WRITE,   /**< without a byte written, while the send queue is not empty */
    AC_LINGER   /**< of ac_close_when_sent(), after the queue is sent; 2 s unless set */
} ac_timeout;

/**
 * Bounds a wait of the channel. When it is passed, -ETIMEDOUT is told as any failure is (AC_LINGER:
 * the channel just closes). Costs nothing per read or write. It is told behind the events of its
 * turn: where it is the loop that is late (a callback took long, the process was stopped), what came
 * meanwhile came in time.
 *
 * @param ns  nanoseconds; AC_FOREVER: no bound.
 * @return    0, -EINVAL, -EBADF, -ENOMEM.
 */
AC_API int ac_set_timeout(ac_dispatcher *d, ac_timeout which, int64_t ns);

/* --- what it is --------------------------------------------------------------------------- */

/** The address of the peer, or of our side. @return 0, -ENOTCONN, -EBADF, or another -errno. */
AC_API int ac_peername(ac_dispatcher *d, ac_addr *out);
AC_API int ac_sockname(ac_dispatcher *d, ac_addr *out);

/** The port of our side in host byte order; 0: none. */
AC_API uint16_t ac_local_port(ac_dispatcher *d);

/**
 * The descriptor, borrowed; -1: none now. Asking for it makes closing the channel dearer by a
 * system call, since it can be duplicated then. Do not close it. Ask anew before each change of an option
 * that says when there is something to read (SO_RCVLOWAT).
 */
AC_API int ac_fileno(ac_dispatcher *d);

/** TCP_NODELAY, on unless turned off (tcp(7)). @return 0, -EBADF, or a result of setsockopt(2). */
AC_API int ac_set_nodelay(ac_dispatcher *d, bool on);

/**
 * Keepalive probes after `idle` nanoseconds of silence, rounded up to seconds; < 1: off.
 * @return  as ac_set_nodelay().
 */
AC_API int ac_set_keepalive(ac_dispatcher *d, int64_t idle);

/** Starts TLS on a connected channel. Not in this version: -ENOTSUP. */
AC_API int ac_start_tls(ac_dispatcher *d, void *context, const char *server_name);

#ifdef __cplusplus
}
#endif
#endif
