# SPDX-License-Identifier: MIT
"""What programs do with the channel classes: subclass, mix, call unbound, override, replace parts."""

import asyncore
import copy
import errno
import io
import os
import socket
import unittest
import weakref

from support import PASSES, Case, Recorder


class Sockets(Case):
    """Anything with fileno, send, recv and close is a socket."""

    def test_a_socket_that_is_none(self):
        ours, theirs = self.pair()
        calls = []

        class Fake:
            def fileno(self):
                return ours.fileno()

            def setblocking(self, flag):
                calls.append(('setblocking', flag))

            def getpeername(self):
                calls.append('getpeername')
                return 'fake peer'

            def recv(self, size):
                calls.append(('recv', size))
                return b'[' + ours.recv(size) + b']'

            def send(self, data):
                calls.append(('send', bytes(data)))
                return ours.send(data)

            def close(self):
                calls.append('close')

            def getsockopt(self, *args):
                return 0

        for name, one_pass in PASSES:
            with self.subTest(name):
                del calls[:]
                d = Recorder(Fake(), self.map)
                self.assertEqual(d.addr, 'fake peer')
                theirs.send(b'x')
                one_pass(5, self.map)
                self.assertEqual(d.send(b'answer'), 6)
                self.assertEqual(theirs.recv(10), b'answer')
                d.close()
                self.assertEqual(d.trace, [('?', 'read', b'[x]')])
                self.assertEqual(calls, [('setblocking', False), 'getpeername', ('recv', 4096),
                                         ('send', b'answer'), 'close'])

    def test_a_socket_with_other_methods(self):
        class Upper(socket.socket):
            def recv(self, size, *more):
                return super().recv(size, *more).upper()

        ours, theirs = self.pair()
        d = Recorder(Upper(fileno=ours.detach()), self.map)
        for name, one_pass in PASSES:
            with self.subTest(name):
                theirs.send(b'abc')
                one_pass(5, self.map)
                self.assertEqual(d.trace.pop(), ('?', 'read', b'ABC'))

    def test_a_socket_that_is_replaced(self):
        first, peer1 = self.pair()
        second, peer2 = self.pair()
        d = Recorder(first, self.map)
        for name, one_pass in PASSES:
            d.del_channel()
            d.set_socket(second)
            peer2.send(b'second')
            one_pass(5, self.map)
            d.del_channel()
            d.set_socket(first)
            peer1.send(b'first')
            one_pass(5, self.map)
            self.assertEqual([data for _, _, data in d.trace], [b'second', b'first'], name)
            del d.trace[:]

    def test_what_is_false_is_no_socket(self):
        class Empty(socket.socket):
            def __len__(self):
                return 0

        with Empty() as sock:
            d = asyncore.dispatcher(sock, self.map)
            self.assertIsNone(d.socket)
            self.assertEqual(self.map, {})

    def test_recv_and_send_errors(self):
        class Broken:
            error = None

            def fileno(self):
                return 12345

            def recv(self, size):
                raise OSError(self.error, 'no')

            def send(self, data):
                raise OSError(self.error, 'no')

            def close(self):
                if self.error:
                    raise OSError(self.error, 'no')

        for code in sorted(asyncore._DISCONNECTED):
            d = Recorder(map=self.map)
            d.set_socket(Broken())
            d.close = lambda: None
            d.socket.error = code
            self.assertEqual(d.recv(1), b'')
            self.assertEqual(d.send(b'x'), 0)
            self.assertEqual(d.trace, [('?', 'close')] * 2)
            del d.close
            if code in (errno.ENOTCONN, errno.EBADF):
                d.close()
            else:
                self.assertRaises(OSError, d.close)
        d = Recorder(map=self.map)
        d.set_socket(Broken())
        d.socket.error = errno.EWOULDBLOCK
        self.assertEqual(d.send(b'x'), 0)
        self.assertRaises(BlockingIOError, d.recv, 1)
        d.socket.error = errno.EIO
        self.assertRaises(OSError, d.send, b'x')
        self.assertRaises(OSError, d.recv, 1)
        self.assertEqual(d.trace, [])

    def test_unconnected_and_broken_at_the_start(self):
        with socket.socket() as sock:
            d = asyncore.dispatcher(sock, self.map)
            self.assertIs(d.connected, False)
            self.assertIn(sock.fileno(), self.map)

        class Odd(socket.socket):
            def getpeername(self):
                raise OSError(errno.EIO, 'odd')

        self.map.clear()
        with Odd() as sock:
            self.assertRaises(OSError, asyncore.dispatcher, sock, self.map)
            self.assertEqual(self.map, {})

    def test_accept(self):
        d = asyncore.dispatcher(map=self.map)

        class Listener:
            def __init__(self, result):
                self.result = result

            def accept(self):
                if isinstance(self.result, Exception):
                    raise self.result
                return self.result

            def close(self):
                pass

        for nothing in (None, OSError(errno.EAGAIN, ''), OSError(errno.ECONNABORTED, ''),
                        OSError(errno.EWOULDBLOCK, '')):
            d.socket = Listener(nothing)
            self.assertIsNone(d.accept())
        d.socket = Listener(OSError(errno.EMFILE, ''))
        self.assertRaises(OSError, d.accept)
        d.socket = Listener(('conn', 'addr'))
        self.assertEqual(d.accept(), ('conn', 'addr'))

    def test_connect(self):
        class Connecting:
            def __init__(self, result):
                self.result = result

            def connect_ex(self, address):
                return self.result

            def getsockopt(self, *args):
                return 0

            def close(self):
                pass

        for code in (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK):
            d = Recorder(map=self.map)
            d.socket = Connecting(code)
            d.connect('there')
            self.assertEqual((d.connected, d.connecting, d.addr, d.trace),
                             (False, True, 'there', []))
        for code in (0, errno.EISCONN):
            d = Recorder(map=self.map)
            d.socket = Connecting(code)
            d.connect('there')
            self.assertEqual((d.connected, d.connecting, d.addr, d.trace),
                             (True, False, 'there', [('?', 'connect')]))
        d = Recorder(map=self.map)
        d.socket = Connecting(errno.ECONNREFUSED)
        with self.assertRaises(ConnectionRefusedError) as caught:
            d.connect('there')
        self.assertEqual(caught.exception.args, (errno.ECONNREFUSED, 'ECONNREFUSED'))
        self.assertIsNone(d.addr)

    def test_udp_and_unix(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(('127.0.0.1', 0))
            d = Recorder(map=self.map)
            d.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
            d.bind(('127.0.0.1', 0))
            for name, one_pass in PASSES:
                peer.sendto(b'datagram', d.socket.getsockname())
                one_pass(5, self.map)
                self.assertEqual(d.trace.pop(), ('?', 'read', b'datagram'), name)

    def test_file_dispatcher_leaves_its_descriptor_alone(self):
        r, w = os.pipe()
        f = asyncore.file_dispatcher(r, self.map)
        self.assertNotEqual(f._fileno, r)
        self.assertFalse(os.get_blocking(r))
        f.close()
        f.close()
        os.write(w, b'x')
        self.assertEqual(os.read(r, 1), b'x')
        with os.fdopen(r, 'rb') as file:
            asyncore.file_dispatcher(file, self.map).close()
            self.assertFalse(file.closed)
        os.close(w)

    def test_file_wrapper(self):
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        wrapper = asyncore.file_wrapper(r)
        self.assertEqual(wrapper.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
        self.assertRaises(NotImplementedError, wrapper.getsockopt, socket.SOL_SOCKET,
                          socket.SO_REUSEADDR)
        with self.assertWarnsRegex(ResourceWarning, 'unclosed file'):
            fd = wrapper.fileno()
            wrapper = None
        self.assertRaises(OSError, os.fstat, fd)


class Classes(Case):

    def test_other_bases(self):
        ours = []

        class Slots:
            __slots__ = ('a', 'b')

        for base in (dict, list, Exception, io.BytesIO, socket.socket, int, float, Slots, set,
                     BaseException, bytes):
            for bases in ((asyncore.dispatcher, base), (base, asyncore.dispatcher)):
                if base is socket.socket and bases[0] is base:
                    continue            # its bind, connect, ... are not ours then
                with self.subTest(bases=bases):
                    cls = type('Both', bases, {
                        'writable': lambda self: False,
                        'handle_read': lambda self: ours.append(asyncore.dispatcher.recv(self, 9)),
                        '__hash__': object.__hash__,
                        '__eq__': object.__eq__,
                    })
                    sock, peer = self.pair()
                    both = cls()
                    asyncore.dispatcher.__init__(both, sock, self.map)
                    peer.send(b'mixed')
                    asyncore.poll2(5, self.map)
                    self.assertEqual(ours.pop(), b'mixed')
                    asyncore.dispatcher.close(both)
                    self.assertEqual(self.map, {})

    def test_unbound_calls(self):
        class Sub(Recorder):
            def __init__(self, sock, map):
                self.trace = []
                asyncore.dispatcher.__init__(self, sock, map=map)

            def send(self, data):
                return asyncore.dispatcher.send(self, data.upper())

            def recv(self, buffer_size):
                return asyncore.dispatcher.recv(self, buffer_size=buffer_size)

            def close(self):
                self.note('closing')
                asyncore.dispatcher.close(self)

            def add_channel(self, map=None):
                self.note('add')
                asyncore.dispatcher.add_channel(self, map)

            def del_channel(self, map=None):
                self.note('del')
                asyncore.dispatcher.del_channel(self, map)

            def handle_read_event(self):
                self.note('event')
                asyncore.dispatcher.handle_read_event(self)

        ours, theirs = self.pair()
        d = Sub(ours, self.map)
        theirs.send(b'a')
        asyncore.poll(5, self.map)
        d.send(b'b')
        self.assertEqual(theirs.recv(1), b'B')
        theirs.close()
        asyncore.poll(5, self.map)
        self.assertEqual([entry[1] for entry in d.trace],
                         ['add', 'event', 'read', 'event', 'close', 'closing', 'del', 'read'])

    def test_methods_of_the_class_on_other_objects(self):
        class Stranger:
            sent = b''
            socket = property(lambda self: self)

            def send(self, data):
                self.sent += data
                return len(data)

        stranger = Stranger()
        self.assertEqual(asyncore.dispatcher.send(stranger, b'abc'), 3)
        self.assertEqual(stranger.sent, b'abc')
        self.assertTrue(asyncore.dispatcher.readable(None))
        self.assertTrue(asyncore.dispatcher.writable(None))

    def test_instance_attributes_override_methods(self):
        for name, one_pass in PASSES:
            with self.subTest(name):
                d, theirs = self.channel()
                asked = []
                theirs.send(b'x')
                d.readable = lambda: asked.append('readable')
                d.writable = lambda: asked.append('writable')
                one_pass(0.01, self.map)
                self.assertEqual((asked, d.trace), (['readable', 'writable'], []))
                del d.readable
                got = []
                d.handle_read_event = lambda: got.append('event')
                one_pass(5, self.map)
                self.assertEqual((got, d.trace), (['event'], []))
                del d.handle_read_event
                d.recv = lambda size: b'made up'
                one_pass(5, self.map)
                self.assertEqual(d.trace, [('?', 'read', b'made up')])
                asyncore.dispatcher.close(d)

    def test_methods_changed_on_the_class(self):
        class Sub(asyncore.dispatcher):
            pass

        for name, one_pass in PASSES:
            with self.subTest(name):
                d, theirs = self.channel(Sub)
                writes, reads = [], []
                Sub.handle_write = lambda self: writes.append(1)
                one_pass(5, self.map)
                self.assertEqual(len(writes), 1)
                Sub.writable = lambda self: False
                one_pass(0.01, self.map)
                self.assertEqual(len(writes), 1)
                theirs.send(b'x')
                Sub.handle_read = lambda self: reads.append(self.recv(5))
                one_pass(5, self.map)
                self.assertEqual(reads, [b'x'])
                Sub.readable = lambda self: False
                theirs.send(b'y')
                one_pass(0.01, self.map)
                self.assertEqual(reads, [b'x'])
                del Sub.writable, Sub.readable, Sub.handle_write, Sub.handle_read
                d.close()

    def test_base_methods_replaced(self):
        # As tests do with mock.patch.object.
        for name, one_pass in PASSES:
            with self.subTest(name):
                d, theirs = self.channel(asyncore.dispatcher)
                original = asyncore.dispatcher.writable
                seen = []
                asyncore.dispatcher.writable = lambda self: seen.append(self)
                try:
                    one_pass(0.01, self.map)
                finally:
                    asyncore.dispatcher.writable = original
                self.assertEqual(seen, [d])
                d.close()

    def test_flags_set_by_hand(self):
        for name, one_pass in PASSES:
            with self.subTest(name):
                class Sub(Recorder):
                    connected = True
                    want_write = True

                d, theirs = self.channel(Sub)
                d.accepting = True
                one_pass(0.01, self.map)
                self.assertEqual(d.trace, [])           # a listener is not asked for writing
                d.__dict__['accepting'] = False
                one_pass(5, self.map)
                self.assertEqual(d.trace, [('?', 'write')])
                d.connected, d.connecting = False, True
                one_pass(5, self.map)
                self.assertEqual(d.trace[1:], [('?', 'connect'), ('?', 'write')])
                self.assertEqual((d.connected, d.connecting), (True, False))
                d.close()

    def test_what_predicates_may_return(self):
        class Odd:
            def __init__(self, truth):
                self.truth = truth

            def __bool__(self):
                return self.truth

        for name, one_pass in PASSES:
            for yes in (1, [0], 'x', Odd(True)):
                d, theirs = self.channel()
                d.want_write = yes
                one_pass(5, self.map)
                self.assertEqual(d.trace, [('?', 'write')], name)
                d.close()
            for no in (0, [], '', None, Odd(False)):
                d, theirs = self.channel()
                d.want_write = no
                one_pass(0.001, self.map)
                self.assertEqual(d.trace, [], name)
                d.close()

    def test_properties_and_getattr(self):
        class Proxy:
            """Not a dispatcher at all: what the map holds need only answer."""

            def __init__(self, inner):
                self.inner = inner

            def __getattr__(self, name):
                return getattr(self.inner, name)

        for name, one_pass in PASSES:
            with self.subTest(name):
                d, theirs = self.channel()
                self.map[d._fileno] = Proxy(d)
                theirs.send(b'x')
                one_pass(5, self.map)
                self.assertEqual(d.trace, [('?', 'read', b'x')])
                d.close()

    def test_weakref_copy_and_class_assignment(self):
        d, theirs = self.channel()
        alive = weakref.ref(d)
        other = copy.copy(d)
        self.assertIs(other.socket, d.socket)

        class Later(Recorder):
            def handle_read(self):
                self.note('later', self.recv(9))

        d.__class__ = Later
        theirs.send(b'x')
        asyncore.poll2(5, self.map)
        self.assertEqual(d.trace, [('?', 'later', b'x')])
        asyncore.dispatcher.close(d)
        del d, other
        self.assertIsNone(alive())

    def test_repr(self):
        class D(asyncore.dispatcher):
            pass

        d = D(map=self.map)
        self.assertEqual(repr(d), '<%s.%s at %#x>' % (__name__, D.__qualname__, id(d)))
        d.addr = ('host', 1)
        d.accepting = True
        self.assertIn(' listening host:1 at 0x', repr(d))
        d.accepting, d.connected = False, True
        self.assertIn(' connected host:1 at 0x', repr(d))
        d.addr = '/path'
        self.assertIn(" connected '/path' at 0x", repr(d))
        d.addr = ('::1', 1, 0, 0)
        self.assertIn(" connected ('::1', 1, 0, 0) at 0x", repr(d))

    def test_close_all(self):
        closed = []

        class Closing:
            def __init__(self, error=None):
                self.error = error

            def close(self):
                closed.append(self)
                if self.error:
                    raise self.error

        map = {1: Closing(), 2: Closing(OSError(errno.EBADF, '')), 3: Closing()}
        asyncore.close_all(map)
        self.assertEqual((len(closed), map), (3, {}))
        map = {1: Closing(ValueError()), 2: Closing(OSError(errno.EIO, ''))}
        self.assertRaises(ValueError, asyncore.close_all, map)
        self.assertEqual(len(map), 2)
        asyncore.close_all(map, ignore_all=True)
        self.assertEqual(map, {})
        for error in (asyncore.ExitNow, KeyboardInterrupt, SystemExit):
            self.assertRaises(error, asyncore.close_all, {1: Closing(error())}, True)


if __name__ == '__main__':
    unittest.main()
