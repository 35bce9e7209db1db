# SPDX-License-Identifier: MIT
"""Sockets that call you: an event loop made of objects that are asked and told.

Subclass `dispatcher`, override what your program cares about (`handle_read`, `handle_write`,
`handle_connect`, `handle_accepted`, `handle_close`, and the questions `readable` and `writable`),
and run `loop()`.

This is the module that Python had up to 3.11: same names, same calls in the same order. It was
written anew, and what it adds or does otherwise is in README.md beside it. It is complete without
its C extension; where `_asyncore` can be imported, the functions that run all the time are replaced
by faster ones at the end of this file.

Names of modules (`select`, `socket`, `time`, `os`, `sys`, `warnings`), `socket_map` and the functions
`read`, `write`, `readwrite`, `poll` and so on are looked up when they are needed: rebinding them here
has its effect at once, and programs do rely on that.
"""

import os
import select
import socket
import sys
import time
import warnings

from _thread import RLock as _RLock, _count as _other_threads, _local as _thread_local
from _thread import get_ident as _thread_id
from collections import deque as _deque
from errno import (EAGAIN, EALREADY, EBADF, ECONNABORTED, ECONNRESET, EINPROGRESS, EINVAL, EISCONN,
                   ENOTCONN, EPIPE, ESHUTDOWN, EWOULDBLOCK, errorcode)
from heapq import heappop as _heappop, heappush as _heappush
from math import ceil as _ceil
from time import monotonic as _monotonic

# Errors of a connection that is over.
_DISCONNECTED = frozenset({ECONNRESET, ENOTCONN, ESHUTDOWN, ECONNABORTED, EPIPE, EBADF})

# descriptor -> channel. An imp.reload() of the module keeps the channels that there are.
try:
    socket_map
except NameError:
    socket_map = {}


class ExitNow(Exception):
    pass


# What no channel's handle_error() gets to see: it leaves the loop.
_reraised_exceptions = (ExitNow, KeyboardInterrupt, SystemExit)


def _strerror(err):
    try:
        return os.strerror(err)
    except (ValueError, OverflowError, NameError):
        return errorcode[err] if err in errorcode else 'Unknown error %s' % err


# --- telling a channel --------------------------------------------------------------------------
#
# Each of these tells one channel of one event, and turns what it raises into handle_error(). The
# frames of these functions are part of the line that handle_error() prints.

def read(obj):
    try:
        obj.handle_read_event()
    except BaseException as exc:
        if isinstance(exc, _reraised_exceptions):
            raise
        obj.handle_error()


def write(obj):
    try:
        obj.handle_write_event()
    except BaseException as exc:
        if isinstance(exc, _reraised_exceptions):
            raise
        obj.handle_error()


def _exception(obj):
    try:
        obj.handle_expt_event()
    except BaseException as exc:
        if isinstance(exc, _reraised_exceptions):
            raise
        obj.handle_error()


def readwrite(obj, flags):
    # One poll() result. The channel may be closed by one handler and still get the next one: that is
    # how it has always been, and subclasses count on it.
    try:
        if flags & select.POLLIN:
            obj.handle_read_event()
        if flags & select.POLLOUT:
            obj.handle_write_event()
        if flags & select.POLLPRI:
            obj.handle_expt_event()
        if flags & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
            obj.handle_close()
    except BaseException as exc:
        if isinstance(exc, OSError):
            if exc.errno in _DISCONNECTED:
                obj.handle_close()
            else:
                obj.handle_error()
        elif isinstance(exc, _reraised_exceptions):
            raise
        else:
            obj.handle_error()


# --- one pass -----------------------------------------------------------------------------------
#
# poll() and poll2() are the passes of the classic module, to the letter: an event goes to whoever is
# in the map under its descriptor when its turn comes, and select() takes no descriptor above 1,023.
#
# loop() runs the same passes with `owned` set. Then an event goes to the channel that was in the map
# when the wait ended, or to nobody: not to one that was opened since and got the number of one that
# was closed. And then descriptors may have any number. `waker` is one more descriptor to wait for,
# or -1; there is nobody to be told of it.

# As many descriptors as select() can take, on every system where its set has a fixed size.
_FD_SETSIZE = 1024


def poll(timeout=0.0, map=None):
    _select_pass(timeout, socket_map if map is None else map, False, -1)


def poll2(timeout=0.0, map=None):
    _poll_pass(timeout, socket_map if map is None else map, False, -1)


poll3 = poll2


def _select_pass(timeout, map, owned, waker):
    if not map and waker < 0:
        return
    r = []
    w = []
    e = []
    for fd, obj in list(map.items()):
        wants_read = obj.readable()
        wants_write = obj.writable()
        if wants_read:
            r.append(fd)
        if wants_write and not obj.accepting:
            w.append(fd)
        if wants_read or wants_write:
            e.append(fd)
    obj = None
    if waker >= 0:
        r.append(waker)
    if not (r or w or e):
        time.sleep(timeout)
        return
    if owned and _too_high(r, e):
        r, w, e = _select_by_poll(r, w, e, timeout)
    else:
        r, w, e = select.select(r, w, e, timeout)
    if owned:
        owners = _owners(map, r), _owners(map, w), _owners(map, e)
        for due, tell in zip(owners, (read, write, _exception)):
            while due:
                fd, obj = due.pop()
                if obj is not None and map.get(fd) is obj:
                    tell(obj)
        return
    for ready, tell in ((r, read), (w, write), (e, _exception)):
        for fd in ready:
            obj = map.get(fd)
            if obj is not None:
                tell(obj)


def _poll_pass(timeout, map, owned, waker):
    if timeout is not None:
        timeout = int(timeout * 1000)
    if not map and waker < 0:
        return
    pollster = select.poll()
    for fd, obj in list(map.items()):
        flags = 0
        if obj.readable():
            flags |= select.POLLIN | select.POLLPRI
        if obj.writable() and not obj.accepting:
            flags |= select.POLLOUT
        if flags:
            pollster.register(fd, flags)
    obj = None
    if waker >= 0:
        pollster.register(waker, select.POLLIN)
    events = pollster.poll(timeout)
    if owned:
        flags_of = dict(events)
        due = _owners(map, flags_of)
        while due:
            fd, obj = due.pop()
            if obj is not None and map.get(fd) is obj:
                readwrite(obj, flags_of[fd])
        return
    for fd, flags in events:
        obj = map.get(fd)
        if obj is not None:
            readwrite(obj, flags)


def _owners(map, fds):
    # Last first: each is let go of when it is told.
    owners = [(fd, map.get(fd)) for fd in fds]
    owners.reverse()
    return owners


def _is_builtin(function):
    # Neither a green one nor a test's.
    return type(function) is type(_thread_id)


def _too_high(r, e):
    """Whether the real select() would refuse a descriptor that poll() takes."""
    try:
        if max(max(r, default=0), max(e, default=0)) < _FD_SETSIZE:
            return False
        return (os.name == 'posix' and _is_builtin(select.select)
                and _is_builtin(getattr(select, 'poll', None)))
    except TypeError:
        return False


def _select_by_poll(r, w, e, timeout):
    """What select.select() would answer if its sets were larger."""
    if timeout is not None:
        if timeout < 0:
            raise ValueError('timeout must be non-negative')
        end = _monotonic() + timeout
    asked = {}
    for fds, flag in ((r, select.POLLIN), (w, select.POLLOUT), (e, select.POLLPRI)):
        for fd in fds:
            asked[fd] = asked.get(fd, 0) | flag
    pollster = select.poll()
    for fd, flags in asked.items():
        pollster.register(fd, flags)
    while True:
        left = None if timeout is None else max(0, _ceil((end - _monotonic()) * 1000))
        events = pollster.poll(left)
        readable, writable, urgent = set(), set(), set()
        for fd, flags in events:
            if flags & select.POLLNVAL:
                raise OSError(EBADF, os.strerror(EBADF))
            # As the kernel's select() sees them: a hang-up is something to read, an error both.
            if flags & (select.POLLIN | select.POLLHUP | select.POLLERR):
                readable.add(fd)
            if flags & (select.POLLOUT | select.POLLERR):
                writable.add(fd)
            if flags & select.POLLPRI:
                urgent.add(fd)
        ready = ([fd for fd in r if fd in readable], [fd for fd in w if fd in writable],
                 [fd for fd in e if fd in urgent])
        if any(ready) or not events:
            return ready
        for fd, flags in events:
            # A hang-up that select() would sleep over, while poll() cannot be told not to report it.
            pollster.unregister(fd)


def loop(timeout=30.0, use_poll=False, map=None, count=None):
    if map is None:
        map = socket_map
    one_pass = poll2 if use_poll and hasattr(select, 'poll') else poll
    owned_pass = None
    for own, owned in _owned_passes:
        if one_pass is own:
            owned_pass = owned
    while (map or _timers and _next_timer(map) is not None) and (count is None or count > 0):
        if _timers or _woken is not None or _other_threads():
            _attentive_pass(one_pass, owned_pass, timeout, map)
        elif owned_pass is None:
            one_pass(timeout, map)
        else:
            owned_pass(timeout, map, True, -1)
        if _timers:
            _run_timers(map)
        if count is not None:
            count -= 1


# The passes of this module and their owned forms. What stands in `poll` or `poll2` and is not here is
# somebody's own, and loop() calls it as it is. A callable that does the same as ours, as those of the
# extension, gets its pair added.
_owned_passes = [(poll, _select_pass), (poll2, _poll_pass)]


# --- later, and from other threads --------------------------------------------------------------
#
# Nothing of this is in a map, and nothing is made before there is a use for it: a program of one
# thread that calls neither call_later() nor wakeup() has no descriptor more than it opened.

# id of a map, or None for the module's own -> (the map, heap of (when, number, handle))
_timers = {}
_timer_number = 0
_timers_lock = _RLock()


class _TimerHandle:
    """What call_later() returns."""

    __slots__ = ('_args', '_func', '_when', '__weakref__')

    def __init__(self, when, func, args):
        self._when = when
        self._func = func
        self._args = args

    def __repr__(self):
        what = 'over' if self._func is None else repr(self._func)
        return '<%s.%s %s at %#x>' % (__name__, type(self).__name__, what, id(self))

    def cancel(self):
        """The call will not be made. Harmless if it was, or was cancelled before."""
        self._func = self._args = None

    def cancelled(self):
        """Whether no call is to come: it was cancelled, or it has been made."""
        return self._func is None

    def when(self):
        """When the call is due, by time.monotonic()."""
        return self._when


def call_later(delay, func, *args, map=None):
    """Has loop() call func(*args) once, `delay` seconds from now; returns a handle with cancel().

    It is the loop over the same map (the module's own, if none is given) that makes the call, between
    two passes, and it does not return while a call is to come. May be called in any thread. An
    exception in func is printed as those of channels are, and the loop goes on.
    """
    global _timer_number
    _watch_fork()
    handle = _TimerHandle(_monotonic() + delay, func, args)
    with _timers_lock:
        _timer_number += 1
        heap = _timers.setdefault(_timer_key(map), (map, []))[1]
        _heappush(heap, (handle._when, _timer_number, handle))
    if _waiting and any(waker.thread != _thread_id() for waker in list(_waiting)):
        wakeup()
    return handle


def _timer_key(map):
    return None if map is None or map is socket_map else id(map)


def _next_timer(map):
    """When the next call for the map is due, or None."""
    key = _timer_key(map)
    with _timers_lock:
        if key not in _timers:
            return None
        heap = _timers[key][1]
        while heap and heap[0][2]._func is None:
            _heappop(heap)
        if heap:
            return heap[0][0]
        del _timers[key]
        return None


def _until_timer(timeout, map):
    """`timeout`, or less if a timer is due before, as a time that int(t * 1000) does not shorten."""
    when = _next_timer(map) if _timers else None
    if when is None or timeout is not None and timeout < 0:
        return timeout
    left = max(0.0, when - _monotonic())
    if left > 0:
        left = (_ceil(left * 1000) + 0.25) / 1000
    return left if timeout is None or left < timeout else timeout


def _run_timers(map):
    """Makes the calls that are due now; those that they ask for wait for the next pass."""
    now = _monotonic()
    last = _timer_number
    later = []
    try:
        while True:
            with _timers_lock:
                when = _next_timer(map)
                if when is None or when > now:
                    return
                item = _heappop(_timers[_timer_key(map)][1])
            handle = item[2]
            if item[1] > last:
                later.append(item)
            elif not handle.cancelled():
                func, args = handle._func, handle._args
                handle.cancel()
                _call(func, args)
    finally:
        with _timers_lock:
            for item in later:
                _heappush(_timers.setdefault(_timer_key(map), (map, []))[1], item)


def _call(func, args):
    try:
        func(*args)
    except BaseException as exc:
        if isinstance(exc, _reraised_exceptions):
            raise
        print('error: uncaptured python exception in timer %r (%s:%s %s)'
              % (func, type(exc), exc, compact_traceback()[3]))


# The last wakeup(), an object of its own each time; and the wakers of the threads that wait.
_woken = None
_waiting = []
_local = _thread_local()


def wakeup():
    """Ends the wait of loop(), in whatever threads it runs; where none waits, the next one does not.

    May be called in any thread. A program of one thread that means to call it in signal handlers
    calls it once before loop(): until then there is no pipe that a handler could write to.
    """
    global _woken
    _woken = object()
    for waker in list(_waiting):
        waker.wake()


class _Waker:
    """A pipe that ends the wait of one thread."""

    def __init__(self):
        self.thread = _thread_id()
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self.identity = self._identify()
        self.seen = None
        self.written = False

    def _identify(self):
        return [os.fstat(fd)[1:3] for fd in (self.reader, self.writer)]

    def intact(self):
        """Whether these are our descriptors still: daemons close all that there are."""
        try:
            return self._identify() == self.identity
        except OSError:
            return False

    def wake(self):
        if not self.written:
            self.written = True
            os.write(self.writer, b'w')

    def drain(self):
        self.written = False
        try:
            os.read(self.reader, 64)
        except BlockingIOError:
            pass

    def __del__(self):
        if self.intact():
            os.close(self.reader)
            os.close(self.writer)


_fork_is_watched = False


def _watch_fork():
    global _fork_is_watched
    if not _fork_is_watched:
        _fork_is_watched = True
        if hasattr(os, 'register_at_fork'):
            os.register_at_fork(after_in_child=_after_fork)


def _after_fork():
    # In the child. The pipes are the parent's too, and the lock may be held by a thread that is not.
    global _local, _timers_lock
    _waiting.clear()
    _local = _thread_local()
    _timers_lock = _RLock()


def _own_waker():
    """The waker of this thread, or None where none can be made or the wait is somebody's own."""
    for function in (getattr(select, 'select', None), getattr(select, 'poll', _thread_id),
                     getattr(time, 'sleep', None)):
        if not _is_builtin(function):
            return None
    waker = getattr(_local, 'waker', None)
    if waker is not None and waker.intact():
        return waker
    try:
        waker = _Waker()
    except OSError:
        return None
    _watch_fork()
    _local.waker = waker
    return waker


def _attentive_pass(one_pass, owned_pass, timeout, map):
    """A pass that ends for timers and wakeup() too."""
    timeout = _until_timer(timeout, map)
    if owned_pass is None:
        if map:
            one_pass(timeout, map)
        else:
            time.sleep(timeout)
        return
    waker = _own_waker() if _woken is not None or _other_threads() else None
    if waker is None:
        if map:
            owned_pass(timeout, map, True, -1)
        else:
            time.sleep(timeout)
        return
    if waker.written:
        waker.drain()
    _waiting.append(waker)
    try:
        woken = _woken
        if waker.seen is not woken:
            waker.seen = woken
            timeout = 0
        owned_pass(timeout, map, True, waker.reader)
    finally:
        if waker in _waiting:
            _waiting.remove(waker)


# --- channels -----------------------------------------------------------------------------------
class dispatcher:

    debug = False
    connected = False
    accepting = False
    connecting = False
    closing = False
    addr = None
    ignore_log_types = frozenset({'warning'})

    def __init__(self, sock=None, map=None):
        self._map = socket_map if map is None else map
        self._fileno = None
        if not sock:
            self.socket = None
            return
        sock.setblocking(False)
        self.set_socket(sock, map)
        self.connected = True
        try:
            self.addr = sock.getpeername()
        except OSError as err:
            if err.errno not in (ENOTCONN, EINVAL):
                self.del_channel(map)
                raise
            # A socket that somebody made and did not connect; it may still be.
            self.connected = False

    def __repr__(self):
        words = ['%s.%s' % (self.__class__.__module__, self.__class__.__qualname__)]
        if self.accepting and self.addr:
            words.append('listening')
        elif self.connected:
            words.append('connected')
        if self.addr is not None:
            try:
                words.append('%s:%d' % self.addr)
            except TypeError:
                words.append(repr(self.addr))
        return '<%s at %#x>' % (' '.join(words), id(self))

    # the map

    def add_channel(self, map=None):
        (self._map if map is None else map)[self._fileno] = self

    def del_channel(self, map=None):
        if map is None:
            map = self._map
        fd = self._fileno
        if fd in map:
            del map[fd]
        self._fileno = None

    # the socket

    def create_socket(self, family=socket.AF_INET, type=socket.SOCK_STREAM):
        self.family_and_type = family, type
        sock = socket.socket(family, type)
        sock.setblocking(False)
        self.set_socket(sock)

    def set_socket(self, sock, map=None):
        self.socket = sock
        self._fileno = sock.fileno()
        self.add_channel(map)

    def set_reuse_addr(self):
        option = socket.SOL_SOCKET, socket.SO_REUSEADDR
        try:
            self.socket.setsockopt(*option, self.socket.getsockopt(*option) | 1)
        except OSError:
            pass

    # the questions; a subclass that has nothing to write says so in writable()

    def readable(self):
        return True

    def writable(self):
        return True

    # what a program asks for

    def listen(self, num):
        self.accepting = True
        if os.name == 'nt':
            num = min(num, 5)
        return self.socket.listen(num)

    def bind(self, addr):
        self.addr = addr
        return self.socket.bind(addr)

    def connect(self, address):
        self.connected = False
        self.connecting = True
        err = self.socket.connect_ex(address)
        if err in (EINPROGRESS, EALREADY, EWOULDBLOCK) or err == EINVAL and os.name == 'nt':
            self.addr = address
        elif err in (0, EISCONN):
            self.addr = address
            self.handle_connect_event()
        else:
            raise OSError(err, errorcode[err])

    def accept(self):
        """The pair of a new connection and its address, or None."""
        try:
            conn, addr = self.socket.accept()
        except TypeError:
            return None
        except OSError as err:
            if err.errno not in (EWOULDBLOCK, EAGAIN, ECONNABORTED):
                raise
            return None
        return conn, addr

    def send(self, data):
        try:
            return self.socket.send(data)
        except OSError as err:
            if err.errno == EWOULDBLOCK:
                return 0
            if err.errno not in _DISCONNECTED:
                raise
            self.handle_close()
            return 0

    def recv(self, buffer_size):
        try:
            data = self.socket.recv(buffer_size)
            if data:
                return data
            # The end of the stream. handle_close() runs here, inside of recv().
            self.handle_close()
            return b''
        except OSError as err:
            if err.errno not in _DISCONNECTED:
                raise
            self.handle_close()
            return b''

    def close(self):
        self.connected = self.accepting = self.connecting = False
        self.del_channel()
        if self.socket is None:
            return
        try:
            self.socket.close()
        except OSError as err:
            if err.errno not in (ENOTCONN, EBADF):
                raise

    # log() goes to stderr and is meant to be overridden, log_info() is for what the module says itself

    def log(self, message):
        sys.stderr.write('log: %s\n' % str(message))

    def log_info(self, message, type='info'):
        if type not in self.ignore_log_types:
            print('%s: %s' % (type, message))

    # what the passes call

    def handle_read_event(self):
        if self.accepting:
            self.handle_accept()
        elif self.connected:
            self.handle_read()
        else:
            if self.connecting:
                self.handle_connect_event()
            self.handle_read()

    def handle_connect_event(self):
        err = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if err != 0:
            raise OSError(err, _strerror(err))
        self.handle_connect()
        self.connected = True
        self.connecting = False

    def handle_write_event(self):
        if self.accepting:
            return
        if not self.connected and self.connecting:
            self.handle_connect_event()
        self.handle_write()

    def handle_expt_event(self):
        # Urgent data, or the failure of a connection: the pending error tells which.
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
            self.handle_close()
        else:
            self.handle_expt()

    def handle_error(self):
        where, kind, value, frames = compact_traceback()
        try:
            me = repr(self)
        except BaseException:
            me = '<__repr__(self) failed for object at %0x>' % id(self)
        self.log_info('uncaptured python exception, closing channel %s (%s:%s %s)'
                      % (me, kind, value, frames), 'error')
        self.handle_close()

    # what a subclass overrides

    def handle_expt(self):
        self.log_info('unhandled incoming priority event', 'warning')

    def handle_read(self):
        self.log_info('unhandled read event', 'warning')

    def handle_write(self):
        self.log_info('unhandled write event', 'warning')

    def handle_connect(self):
        self.log_info('unhandled connect event', 'warning')

    def handle_accept(self):
        pair = self.accept()
        if pair is not None:
            self.handle_accepted(*pair)

    def handle_accepted(self, sock, addr):
        sock.close()
        self.log_info('unhandled accepted event', 'warning')

    def handle_close(self):
        self.log_info('unhandled close event', 'warning')
        self.close()


# --- a channel with a send buffer ---------------------------------------------------------------

# What one send() is given at most.
_SLICE = 65536


class _Pending:
    """Bytes to send, cut from the front without moving the rest."""

    __slots__ = ('chunks', 'offset', 'size')

    def __init__(self, *chunks):
        self.chunks = _deque(chunks)
        self.offset = 0                 # of the first chunk, sent already
        self.size = sum(len(chunk) for chunk in chunks)

    def __len__(self):
        return self.size

    def append(self, data):
        if data:
            self.chunks.append(data)
            self.size += len(data)

    def head(self, size):
        """The first `size` bytes."""
        parts = []
        start = self.offset
        for chunk in self.chunks:
            part = chunk[start:start + size] if start or len(chunk) > size else chunk
            parts.append(part)
            size -= len(part)
            if size <= 0:
                break
            start = 0
        return parts[0] if len(parts) == 1 else b''.join(parts)

    def drop(self, size):
        size = min(size, self.size)
        self.size -= size
        size += self.offset
        while self.chunks and size >= len(self.chunks[0]):
            size -= len(self.chunks.popleft())
        self.offset = size

    def whole(self):
        """All of it, as one string."""
        if self.offset or len(self.chunks) > 1:
            data = self.head(self.size)
            self.chunks = _deque((data,) if data else ())
            self.offset = 0
        return self.chunks[0] if self.chunks else b''


class _OutBuffer:
    """The attribute out_buffer, which reads and is assigned to as the string that it is.

    The value is in the instance's __dict__ under the same name, as it would be without this
    descriptor, but a large one is kept as _Pending between uses.
    """

    def __get__(self, obj, cls=None):
        if obj is None:
            raise AttributeError("type object '%s' has no attribute 'out_buffer'" % cls.__name__)
        try:
            value = obj.__dict__['out_buffer']
        except KeyError:
            raise AttributeError("'%s' object has no attribute 'out_buffer'"
                                 % type(obj).__name__) from None
        return value.whole() if type(value) is _Pending else value

    def __set__(self, obj, value):
        obj.__dict__['out_buffer'] = value

    def __delete__(self, obj):
        try:
            del obj.__dict__['out_buffer']
        except KeyError:
            raise AttributeError('out_buffer') from None


def _has_our_buffer(cls):
    # A subclass may have an out_buffer of its own: a default for all instances, a property.
    for base in cls.__mro__:
        if 'out_buffer' in base.__dict__:
            return type(base.__dict__['out_buffer']) is _OutBuffer
    return False


class dispatcher_with_send(dispatcher):

    out_buffer = _OutBuffer()

    def __init__(self, sock=None, map=None):
        dispatcher.__init__(self, sock, map)
        self.out_buffer = b''

    def initiate_send(self):
        pending = self.__dict__.get('out_buffer')
        if type(pending) is _Pending:
            sent = dispatcher.send(self, pending.head(_SLICE))
            # Sending may have closed the channel, and handle_close() may have changed the buffer.
            if type(sent) is int and sent >= 0 and self.__dict__.get('out_buffer') is pending:
                pending.drop(sent)
                return
        else:
            sent = dispatcher.send(self, self.out_buffer[:_SLICE])
        self.out_buffer = self.out_buffer[sent:]

    def handle_write(self):
        self.initiate_send()

    def writable(self):
        if not self.connected:
            return True
        pending = self.__dict__.get('out_buffer')
        return len(self.out_buffer if pending is None else pending)

    def send(self, data):
        if self.debug:
            self.log_info('sending ' + repr(data))
        pending = self.__dict__.get('out_buffer')
        if type(pending) is _Pending:
            pending.append(data if type(data) is bytes else b'' + data)
        elif (type(pending) is bytes and type(data) is bytes
              and len(pending) + len(data) > _SLICE and _has_our_buffer(type(self))):
            self.__dict__['out_buffer'] = _Pending(pending, data) if pending else _Pending(data)
        else:
            self.out_buffer = self.out_buffer + data
        self.initiate_send()


# --- what went wrong ----------------------------------------------------------------------------

def compact_traceback():
    """The exception in hand: (file, function, line) of where it was raised, its type, its value, and
    all frames in one line."""
    kind, value, tb = sys.exc_info()
    if tb is None:
        raise AssertionError('traceback does not exist')
    frames = []
    while tb is not None:
        code = tb.tb_frame.f_code
        frames.append((code.co_filename, code.co_name, str(tb.tb_lineno)))
        tb = tb.tb_next
    return frames[-1], kind, value, ' '.join('[%s|%s|%s]' % frame for frame in frames)


def close_all(map=None, ignore_all=False):
    if map is None:
        map = socket_map
    for channel in list(map.values()):
        try:
            channel.close()
        except BaseException as exc:
            if isinstance(exc, OSError):
                if exc.errno == EBADF:
                    continue
            elif isinstance(exc, _reraised_exceptions):
                raise
            if not ignore_all:
                raise
    map.clear()


# --- files --------------------------------------------------------------------------------------

if os.name == 'posix':

    class file_wrapper:
        """A descriptor of anything that is no socket, with as much of a socket's methods as channels
        need. It is a duplicate: the one given stays the caller's."""

        def __init__(self, fd):
            self.fd = os.dup(fd)

        def __del__(self):
            if self.fd >= 0:
                warnings.warn('unclosed file %r' % self, ResourceWarning, source=self)
            self.close()

        def recv(self, *args):
            return os.read(self.fd, *args)

        def send(self, *args):
            return os.write(self.fd, *args)

        read = recv
        write = send

        def getsockopt(self, level, optname, buflen=None):
            if (level, optname) == (socket.SOL_SOCKET, socket.SO_ERROR) and not buflen:
                return 0
            raise NotImplementedError('Only asyncore specific behaviour implemented.')

        def close(self):
            if self.fd >= 0:
                fd, self.fd = self.fd, -1
                os.close(fd)

        def fileno(self):
            return self.fd

    class file_dispatcher(dispatcher):

        def __init__(self, fd, map=None):
            dispatcher.__init__(self, None, map)
            self.connected = True
            try:
                fd = fd.fileno()
            except AttributeError:
                pass                    # a number
            self.set_file(fd)
            os.set_blocking(fd, False)

        def set_file(self, fd):
            self.socket = file_wrapper(fd)
            self._fileno = self.socket.fileno()
            self.add_channel()


# --- the extension ------------------------------------------------------------------------------

def _install_extension():
    if os.environ.get('ASYNCORE_PURE') == '1' or sys.implementation.name != 'cpython':
        return
    if not getattr(sys, '_is_gil_enabled', bool)() and hasattr(sys, '_is_gil_enabled'):
        return                          # a build without the lock that the extension counts on
    try:
        from _asyncore import install
    except ImportError:
        return
    install(globals())


_install_extension()
