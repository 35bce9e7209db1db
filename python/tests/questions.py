# SPDX-License-Identifier: MIT
"""Asks the three modules a great many small things, and prints one line for each answer.

Run with these modules and with the standard library's; test_against_stock.py compares. What is asked is
what a program may notice: results, exceptions and their words, what is printed, names, forms.
"""

import warnings

warnings.simplefilter('ignore')

import asynchat
import asyncore
import collections
import collections.abc
import contextlib
import copy
import errno
import functools
import inspect
import io
import os
import pickle
import re
import select
import smtpd
import socket
import struct
import sys
import threading
import time
import traceback
import types
import weakref

from unittest import mock

D = asyncore.dispatcher
W = asyncore.dispatcher_with_send
C = asynchat.async_chat
S = smtpd.SMTPServer

EXPRESSIONS = '''
asyncore.poll2('x', {})
asyncore.poll2(-1, {})
asyncore.poll2(None, {})
asyncore.poll2(float('inf'), {})
asyncore.poll('x', {})
asyncore.poll(map={})
asyncore.poll(1, 2, 3)
asyncore.poll(map=5)
asyncore.loop('x', map={})
asyncore.loop(count=-3, map={})
asyncore.loop(1, False, {5: D()}, 'x')
asyncore.loop(-1, True, {}, 0)
asyncore.loop(1, 2, 3, 4, 5)
asyncore.loop(foo=1)
asyncore.loop(1, timeout=2)
asyncore.loop(map=5)
asyncore.loop(map=[1])
asyncore.loop(map=[1], count=0)
asyncore.poll(0, {0: None})
asyncore.poll(0, {-1: D()})
asyncore.poll2(0, {-1: D()})
asyncore.loop(0, False, {-1: D()}, 1)
asyncore.poll(0, {'a': pair()[0]})
asyncore.poll2(0, {'a': pair()[0]})
asyncore.loop(0, False, {'a': pair()[0]}, 1)
asyncore.poll(0, {2 ** 40: pair()[0]})
asyncore.poll2(0, {2 ** 40: pair()[0]})
asyncore.loop(0, False, {2 ** 40: pair()[0]}, 1)
asyncore.poll(1j, {pair()[0]._fileno: pair()[0]})
[asyncore.poll(float('nan')) for x in (pair(),)]
[asyncore.poll2(float('nan')) for x in (pair(),)]
[asyncore.poll('x') for x in (pair(),)]
[asyncore.poll2([]) for x in (pair(),)]
[asyncore.poll2(2 ** 70) for x in (pair(),)]
[asyncore.poll2(1e300) for x in (pair(),)]
[asyncore.poll(1e300) for x in (pair(),)]
[asyncore.poll(-1) for x in (pair(),)]
[asyncore.loop(-1, count=1) for x in (pair(),)]
(lambda d: (d.add_channel(), asyncore.socket_map, asyncore.poll()))(D())
(lambda d: (d.add_channel(), asyncore.poll2()))(D())
type(weakref.ref(asyncore.read))
type(weakref.ref(asyncore.loop))
type(weakref.ref(D.recv))
weakref.WeakMethod(pair()[0].recv)
len(weakref.WeakKeyDictionary({D.send: 1}))
isinstance(asyncore.read, types.FunctionType), isinstance(D.recv, types.FunctionType)
isinstance(asyncore.read, collections.abc.Callable)
inspect.isfunction(D.recv), inspect.isroutine(D.recv), inspect.isbuiltin(D.recv)
inspect.ismethod(pair()[0].recv), inspect.ismethoddescriptor(D.recv)
inspect.signature(asyncore.loop), inspect.signature(D.recv), inspect.signature(pair()[0].recv)
inspect.getfullargspec(D.recv), inspect.getfullargspec(asyncore.loop)
inspect.getsource(D.recv)[:13], inspect.getfile(asyncore.read)[-11:]
inspect.getmodule(asyncore.read), inspect.getdoc(D.recv), inspect.unwrap(D.recv) is D.recv
inspect.getattr_static(D, 'recv')
[name for name, value in inspect.getmembers(D, inspect.isfunction)]
[name for name, value in inspect.getmembers(asyncore, inspect.isclass) if name[0] != '_']
inspect.getcallargs(D.recv, 1, 2), inspect.getcallargs(pair()[0].recv, 2)
[x[1] for x in inspect.classify_class_attrs(D) if x[0] in ('recv', 'add_channel', 'close')]
D.recv.__globals__ is vars(asyncore), D.recv.__closure__, D.recv.__defaults__, D.recv.__kwdefaults__
asyncore.loop.__defaults__, D.recv.__annotations__, D.recv.__dict__, D.recv.__doc__, D.recv.__module__
D.recv.__name__, D.recv.__qualname__, D.recv.__code__.co_name, asyncore.loop.__code__.co_argcount
hasattr(D.recv, '__wrapped__'), hasattr(D.recv, '__self__'), hasattr(D.recv, '__objclass__')
hasattr(D.recv, '__text_signature__'), hasattr(D.recv, '__set__'), hasattr(D.recv, '__get__')
asyncore.read, asyncore.loop, D.recv, D.handle_read_event, str(D.send), pair()[0].recv
D.recv.__get__(None, D) is D.recv
D.recv.__get__(None)
D.recv.__get__(None, None)
pickle.loads(pickle.dumps(asyncore.read)) is asyncore.read
pickle.loads(pickle.dumps(D.recv)) is D.recv, copy.copy(D.recv) is D.recv
copy.deepcopy(D.recv) is D.recv
mock.create_autospec(D).recv(5) and 1
mock.create_autospec(D)().recv(5) and 1
mock.create_autospec(D)().recv(1, 2)
mock.create_autospec(D)().foo
mock.create_autospec(asyncore.loop)(1, 2, 3, 4) and 1
mock.create_autospec(asyncore.loop)(1, 2, 3, 4, 5)
mock.create_autospec(W)().send(b'') and 1
functools.wraps(D.recv)(lambda: 1)
functools.partialmethod(D.recv, 10)._make_unbound_method().__name__
hash(D.recv) == hash(D.recv), D.recv == D.recv, D.recv is D.recv, bool(D.recv)
asyncore.read.__class__
(setattr(asyncore.read, 'foo', 1), asyncore.read.foo, delattr(asyncore.read, 'foo'))
asyncore.read.foo
types.MethodType(D.send, 5)(b'')
asyncore.read()
asyncore.read(1)
asyncore.read(1, 2)
asyncore.read(obj=None)
asyncore.write(1)
asyncore._exception(1)
asyncore.readwrite(1)
asyncore.readwrite(D(), 'x')
asyncore.readwrite(D(), 0)
asyncore.readwrite(1, 1)
asyncore.compact_traceback()
D.recv(5)
D().recv()
D().recv(5, 6)
D().recv(size=5)
D().recv(5)
D().send()
D().send(b'x')
D().add_channel(1, 2, 3)
D().handle_read_event(5)
D(5)
D('x')
D(0), D(''), D([]).socket
D().connect(('127.0.0.1', 1))
D().close()
D().fileno()
D().add_channel()
D().add_channel(5)
D().del_channel()
D().del_channel(5)
D().listen('x')
D().bind(5)
D().accept()
D().set_reuse_addr()
D().set_socket(None)
D().handle_expt_event()
D().handle_connect_event()
D().handle_error()
D().handle_close()
D().handle_write_event()
D().handle_read_event()
D().create_socket(99, 99)
D().log(5)
D().log_info(5)
D().log_info(5, 'warning')
D().log_info(5, [])
D().log_info((1, 2), (3,))
D(), repr(pair()[0]), repr(pair(addr=('h', 1))[0]), repr(pair(addr='h')[0]), repr(pair(addr=5)[0])
repr(pair(addr=('h', 'x'))[0]), repr(pair(addr=('h', 1, 2))[0]), repr(pair(addr=())[0])
vars(D()).keys(), vars(pair()[0]).keys(), vars(W()).keys(), vars(C()).keys()
D.connected, D.addr, D.closing, D.ignore_log_types, D.__doc__, D.__mro__, D.__dictoffset__
asyncore.ExitNow.__doc__, asyncore.ExitNow.__mro__, asyncore.ExitNow.__module__
asyncore.close_all({1: 5})
asyncore.close_all({1: 5}, True)
asyncore.close_all([])
asyncore._strerror('x')
asyncore._strerror(-1), asyncore._strerror(1), asyncore._strerror(99999), asyncore._strerror(2 ** 80)
W().out_buffer
W.out_buffer
pickle.loads(pickle.dumps(W(map={}))).out_buffer
asyncore.file_dispatcher('x')
asyncore.file_dispatcher(-1)
asyncore.file_dispatcher(9999)
asyncore.file_wrapper('x')
asyncore.file_wrapper(9999)
asyncore.file_wrapper(0).getsockopt(1, 2)
asyncore.file_wrapper(0).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR, 4)
asyncore.file_wrapper(0).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR, 0)
asynchat.find_prefix_at_end(b'', b'')
asynchat.find_prefix_at_end(b'a\\r', b'\\r\\n'), asynchat.find_prefix_at_end('abcab', 'abd')
asynchat.find_prefix_at_end('a', b'bc')
C().push('x')
C().push(5)
C().set_terminator(-1)
C().set_terminator(-1.5)
C().get_terminator()
C().writable(), C().readable()
C().handle_read()
C().collect_incoming_data(b'')
C().found_terminator()
C().close_when_done(), C().discard_buffers(), C().initiate_send(), C()._get_data()
[asynchat.simple_producer(b'abc', n).more() for n in (1, 3, 4)], asynchat.simple_producer('x').more()
S(('x y', 1), None)
S(5, None)
S(('localhost', 0), None, enable_SMTPUTF8=1, decode_data=1)
smtpd.PureProxy(('localhost', 0), None, enable_SMTPUTF8=1)
S.process_message(1, 2, 3, 4, 5)
smtpd.Options.__dict__.keys(), smtpd.__all__[:4], smtpd.DATA_SIZE_DEFAULT, smtpd.__version__
smtpd.DEBUGSTREAM, smtpd.DEBUGSTREAM.write('x'), smtpd.DEBUGSTREAM.flush()
smtpd.SMTPChannel.command_size_limits, smtpd.SMTPChannel.command_size_limits['x']
sorted(vars(smtpd.SMTPChannel)), sorted(vars(S)), sorted(vars(C)), sorted(vars(D))
sorted(vars(smtpd.PureProxy)), sorted(vars(smtpd.DebuggingServer)), sorted(vars(smtpd.Devnull))
sorted(vars(asyncore.file_wrapper)), sorted(vars(asyncore.file_dispatcher))
arguments()
arguments('h:1')
arguments('h:1', 'g:2')
arguments(':1', ':2')
arguments('a:b:1')
arguments('h')
arguments('h:x')
arguments('h:1', 'g')
arguments('h:1', 'g:x')
arguments('-n', '-u', '-s', '5', '-c', 'x.Y', 'h:1')
arguments('-s', 'x')
'''

keep = []
cases = []


def case(function):
    cases.append(function)
    return function


def pair(cls=D, **attributes):
    """A channel of cls with these attributes, and its peer; both live to the end."""
    ours, theirs = socket.socketpair()
    keep.extend((ours, theirs))
    channel = cls(ours)
    vars(channel).update(attributes)
    return channel, theirs


def arguments(*args):
    sys.argv[1:] = args
    try:
        with mock.patch.object(smtpd, 'usage', lambda code, msg='': sys.exit('%s %s' % (code, msg))):
            return sorted(vars(smtpd.parseargs()).items())
    finally:
        del sys.argv[1:]


def frames(error):
    """The functions of a traceback; those of one pass as one."""
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    names = ['poll' if name in ('_select_pass', '_poll_pass', 'poll2') else name for name in names]
    return [name for i, name in enumerate(names) if name != 'poll' or names[i - 1] != 'poll']


class Reader(D):

    def writable(self):
        return False


# --- the send buffer ----------------------------------------------------------------------------

def buffered(cls, *pieces):
    channel, peer = pair(cls)
    channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for piece in pieces:
        channel.send(piece)
    return channel, peer


@case
def buffer_that_a_class_has_too():
    class Own(W):
        out_buffer = b'class'

    channel, peer = buffered(Own, b'x' * 300000, b'y')
    return type(channel.out_buffer), channel.out_buffer[-2:], Own.out_buffer


@case
def buffer_of_a_slot():
    class Own(W):
        __slots__ = ('out_buffer',)

    channel, peer = buffered(Own, b'x' * 300000, b'y')
    return type(channel.out_buffer), channel.out_buffer[-2:]


@case
def buffer_of_a_property():
    class Own(W):
        out_buffer = property(lambda self: self.kept, lambda self, value: setattr(self, 'kept', value))

    channel, peer = buffered(Own, b'x' * 300000, b'y')
    return type(channel.kept), channel.kept[-2:], vars(channel).keys()


@case
def buffer_of_getattr():
    class Own(W):
        def __getattr__(self, name):
            if name == 'out_buffer':
                return b'dynamic'
            raise AttributeError(name)

    channel, peer = buffered(Own)
    del channel.out_buffer
    return channel.out_buffer, channel.writable(), channel.send(b'!'), peer.recv(10)


@case
def buffer_that_is_none():
    pair(W, out_buffer=None)[0].writable()


@case
def buffer_without():
    channel, peer = pair(W)
    del channel.out_buffer
    errors = []
    for function in (channel.writable, lambda: channel.send(b'x'), channel.initiate_send):
        try:
            function()
        except AttributeError as err:
            errors.append(str(err))
    return errors


@case
def text_into_a_buffer():
    errors = []
    for pieces in ((), (b'x' * 300000,)):
        channel, peer = buffered(W, *pieces)
        for piece in ('text', 5, None):
            try:
                channel.send(piece)
            except TypeError as err:
                errors.append(str(err))
    return errors


# --- errors -------------------------------------------------------------------------------------

@case
def errors_of_a_handler():
    for one_pass in (asyncore.poll, asyncore.poll2, lambda: asyncore.loop(count=1)):
        for error in (ZeroDivisionError('a'), OSError('text'), OSError(errno.ECONNRESET, 'x'),
                      OSError(errno.EIO, 'x'), GeneratorExit(), ExceptionGroup('g', [KeyError(1)])
                      if sys.version_info >= (3, 11) else KeyError(1)):
            class Own(Reader):
                def handle_read(self):
                    raise error

                def handle_close(self):
                    print('close')
                    self.close()

            channel, peer = pair(Own)
            peer.send(b'x')
            one_pass()
    return asyncore.socket_map


@case
def what_leaves_a_pass():
    found = []
    for one_pass in (asyncore.poll, asyncore.poll2, lambda: asyncore.loop(count=1)):
        for error in (asyncore.ExitNow('bye'), KeyboardInterrupt(), SystemExit(3)):
            class Own(Reader):
                def handle_read(self):
                    raise error

            channel, peer = pair(Own)
            peer.send(b'x')
            try:
                one_pass()
            except BaseException as err:
                found.append((type(err).__name__, str(err), frames(err)))
            asyncore.socket_map.clear()
    return found


@case
def an_error_in_handle_error():
    found = []
    for one_pass in (asyncore.poll, asyncore.poll2):
        class Own(Reader):
            def handle_read(self):
                1 / 0

            def handle_error(self):
                raise KeyError('k')

        channel, peer = pair(Own)
        peer.send(b'x')
        try:
            one_pass()
        except KeyError as err:
            found.append((repr(err.__context__), err.__cause__, frames(err)))
        asyncore.socket_map.clear()
    return found


@case
def an_error_in_handle_close():
    for reset in (False, True):
        class Own(Reader):
            def handle_read(self):
                self.recv(5)

            def handle_close(self):
                raise KeyError('k')

            def handle_error(self):
                print(re.sub(r' *[~^]+\n', '', traceback.format_exc()))
                self.close()

        listener = socket.socket()
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        peer = socket.create_connection(listener.getsockname())
        channel = Own(listener.accept()[0])
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        peer.close()
        asyncore.poll(5)
        listener.close()


@case
def errors_of_sockets():
    class Odd:
        def __init__(self, **what):
            self.what = what

        def setblocking(self, flag):
            pass

        def __getattr__(self, name):
            value = self.what[name]
            if isinstance(value, Exception):
                raise value
            return lambda *args: value

    found = []
    for what in ({'fileno': OSError(5, 'no')}, {'fileno': 77, 'getpeername': OSError(5, 'no')},
                 {'fileno': 77, 'getpeername': OSError(errno.EINVAL, 'no')},
                 {'fileno': 77, 'getpeername': OSError(errno.ENOTCONN, 'no')},
                 {'fileno': 'x', 'getpeername': 5}):
        try:
            found.append(vars(D(Odd(**what))).keys())
        except OSError as err:
            found.append(err)
        found.append(list(asyncore.socket_map))
        asyncore.socket_map.clear()
    channel = D(Odd(fileno=77, getpeername=5), {})
    for name, value in (('accept', None), ('accept', (1, 2)), ('accept', (1, 2, 3)), ('accept', 7),
                        ('accept', OSError(errno.ECONNABORTED, 'x')), ('accept', OSError(5, 'x')),
                        ('send', OSError(errno.EAGAIN, 'x')), ('send', OSError(errno.EPIPE, 'x')),
                        ('send', OSError(5, 'x')), ('send', None), ('recv', None), ('recv', b''),
                        ('recv', OSError(errno.ECONNRESET, 'x')), ('recv', OSError(5, 'x')),
                        ('recv', 'text'), ('close', OSError(errno.EBADF, 'x')),
                        ('close', OSError(5, 'x')), ('connect_ex', 0), ('connect_ex', 9999),
                        ('connect_ex', errno.EISCONN), ('connect_ex', errno.EINPROGRESS),
                        ('connect_ex', errno.ECONNREFUSED), ('getsockopt', 0), ('getsockopt', 111)):
        channel.socket.what = {'close': None, 'getsockopt': 0}
        channel.socket.what[name] = value
        method = {'connect_ex': 'connect', 'getsockopt': 'handle_expt_event'}.get(name, name)
        args = {'recv': (5,), 'send': (b'x',), 'connect': ('a',)}.get(method, ())
        try:
            found.append((name, getattr(channel, method)(*args)))
        except Exception as err:
            found.append((name, type(err), str(err)))
        found.append((channel.connected, channel.connecting, channel.accepting, channel.addr))
    return found


@case
def predicates_that_are_odd():
    class Truth:
        def __bool__(self):
            raise ValueError('truth')

    class Own(D):
        def readable(self):
            print('readable')
            return Truth()

        def writable(self):
            print('writable')
            return Truth()

    pair(Own)
    found = []
    for one_pass in (asyncore.poll, asyncore.poll2):
        try:
            one_pass(0)
        except ValueError as err:
            found.append(frames(err))
    return found


@case
def names_of_the_module_replaced():
    def fails(self):
        raise OSError(errno.ECONNRESET, 'x')

    found = []
    for name, value in (('_DISCONNECTED', {5}), ('_DISCONNECTED', 5), ('_reraised_exceptions', ()),
                        ('_reraised_exceptions', (OSError,)), ('_reraised_exceptions', ValueError)):
        for one_pass in (asyncore.poll, asyncore.poll2):
            channel, peer = pair(Reader, handle_read=None)
            channel.handle_read = functools.partial(fails, channel)
            peer.send(b'x')
            with mock.patch.object(asyncore, name, value):
                try:
                    one_pass()
                except Exception as err:
                    found.append((name, type(err).__name__, str(err)))
            asyncore.socket_map.clear()
    return found


@case
def stdout_that_fails_or_is_none():
    class Broken:
        def write(self, text):
            raise RuntimeError('disk')

    class Own(Reader):
        def handle_read(self):
            1 / 0

    for stream in (None, Broken()):
        channel, peer = pair(Own)
        peer.send(b'x')
        stdout, sys.stdout = sys.stdout, stream
        try:
            asyncore.poll()
        except RuntimeError as err:
            found = frames(err)
        finally:
            sys.stdout = stdout
    return found, len(asyncore.socket_map)


@case
def unhandled_events():
    channel, peer = pair(D, ignore_log_types=())
    peer.send(b'x')
    asyncore.poll(0)
    asyncore.poll2(0)
    peer.close()
    channel.recv(5)
    asyncore.poll2(0)
    listener = D()
    listener.create_socket()
    listener.ignore_log_types = ()
    listener.bind(('127.0.0.1', 0))
    listener.listen(5)
    print(listener)
    with socket.create_connection(listener.socket.getsockname()):
        asyncore.poll(5)
    return listener.family_and_type, listener.addr


@case
def bad_descriptors():
    class Own(Reader):
        def handle_close(self):
            print('close')
            self.close()

    found = []
    for one_pass in (asyncore.poll, asyncore.poll2):
        channel, peer = pair(Own)
        channel.socket.close()
        try:
            one_pass(0)
        except OSError as err:
            found.append((str(err), frames(err)))
        asyncore.socket_map.clear()
    return found


@case
def keys_that_are_sockets():
    class Own(Reader):
        def handle_read(self):
            print(self.recv(5))

    channel, peer = pair(Own)
    map = {channel.socket: channel}
    for one_pass in (asyncore.poll, lambda *args: asyncore.loop(args[0], False, args[1], 1)):
        peer.send(b'x')
        one_pass(5, map)


@case
def pass_within_pass_without_end():
    depth = [0]

    class Own(Reader):
        def handle_read(self):
            depth[0] += 1
            asyncore.poll(0)

        def handle_error(self):
            self.close()
            self.what = sys.exc_info()[0]

    channel, peer = pair(Own)
    peer.send(b'x')
    asyncore.poll()
    return depth[0] > 50, channel.what


# --- select replaced while there are threads ----------------------------------------------------

@contextlib.contextmanager
def other_thread():
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


FLAGS = {name: getattr(select, name) for name in dir(select) if name.startswith('POLL')}


@case
def select_without_select():
    channel, peer = pair(Reader)
    module = types.SimpleNamespace(poll=select.poll, **FLAGS)
    with other_thread(), mock.patch.object(asyncore, 'select', module):
        asyncore.loop(0, True, None, 1)
        asyncore.loop(0, False, None, 1)


@case
def poll_of_somebody_else():
    asked = []

    class Poll:
        def register(self, fd, flags):
            asked.append(flags)

        def poll(self, timeout):
            return []

    channel, peer = pair(Reader)
    module = types.SimpleNamespace(select=select.select, poll=Poll, **FLAGS)
    with other_thread(), mock.patch.object(asyncore, 'select', module):
        asyncore.loop(0, True, None, 1)
    return asked


# --- asynchat -----------------------------------------------------------------------------------

@case
def collecting_that_changes_the_buffer():
    found = []
    for terminator in (None, 0, 2, 4, 5, -2, b'\n', b'yy\n', b'yy', True):
        class Own(C):
            def collect_incoming_data(self, data):
                found.append(data)
                if len(found) % 2:
                    self.ac_in_buffer = b'SET'

            def found_terminator(self):
                found.append('found')

        channel, peer = pair(Own)
        channel.terminator = terminator
        peer.send(b'abyy')
        channel.handle_read()
        found.append(channel.ac_in_buffer)
        asyncore.socket_map.clear()
    return found


@case
def sending_that_changes_the_fifo():
    class Own(C):
        def send(self, data):
            self.producer_fifo = collections.deque([b'new', b'other'])
            return len(data)

    channel, peer = pair(Own)
    channel.push(b'abc')
    return channel.producer_fifo


@case
def producer_that_changes_the_fifo():
    class Producer:
        def more(self):
            channel.producer_fifo = collections.deque()
            return b'data'

    channel, peer = pair(C)
    channel.push_with_producer(Producer())
    return channel.producer_fifo, peer.recv(9)


@case
def things_to_send():
    found = []
    for first in (b'', None, b'abc', bytearray(b'abc'), memoryview(b'abc'), 'text', 5, [1, 2], ()):
        for encoding in (0, 1):
            channel, peer = pair(C, use_encoding=encoding)
            peer.setblocking(False)
            channel.producer_fifo.extend((first, b'z'))
            try:
                channel.initiate_send()
                channel.initiate_send()
            except Exception as err:
                found.append((type(err).__name__, str(err)))
            try:
                found.append(peer.recv(99))
            except OSError:
                found.append('nothing')
            found.append((list(channel.producer_fifo), channel.connected))
            asyncore.socket_map.clear()
    return found


# ------------------------------------------------------------------------------------------------

def mask(text):
    """Without what differs from run to run, and the lines of the source."""
    text = re.sub(r'0x[0-9a-f]+', 'ADDRESS', text)
    text = re.sub(r"[^\s\"'|\[]*/(asyncore|asynchat|smtpd)\.py", r'\1.py', text)
    text = re.sub(r'(\.py", line )\d+|(\.py\|\w+\|)\d+', r'\1\2N', text)
    text = re.sub(r'(\.py", line N, in \w+\n) .*\n', r'\1', text)
    return re.sub(r"(127\.0\.0\.1'?[:,] ?)\d+", r'\1PORT', text)


def ask(name, function):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            answer = repr(function())
        except BaseException as err:
            answer = '%s: %s' % (type(err).__name__, err)
    asyncore.socket_map.clear()
    print(mask('%s => %s' % (name, answer)).replace('\n', '\\n'))
    for line in mask(out.getvalue()).splitlines():
        print('    ' + line)


if __name__ == '__main__':
    for expression in EXPRESSIONS.strip().splitlines():
        ask(expression, functools.partial(eval, expression))
    for function in cases:
        ask(function.__name__, function)
