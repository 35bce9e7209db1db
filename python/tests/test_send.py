# SPDX-License-Identifier: MIT
"""dispatcher_with_send and its out_buffer."""

import asyncore
import contextlib
import errno
import io
import socket
import time
import unittest

from support import Case


class Sink:
    """A socket that takes `most` bytes at a time."""

    def __init__(self, most=1 << 30):
        self.most = most
        self.sent = []

    def fileno(self):
        return 54321

    def setblocking(self, flag):
        pass

    def getpeername(self):
        return 'sink'

    def send(self, data):
        assert type(data) is bytes, type(data)
        if isinstance(self.most, Exception):
            raise self.most
        taken = data[:self.most]
        self.sent.append(taken)
        return len(taken)

    def close(self):
        pass


class Send(Case):

    def make(self, most=1 << 30, cls=asyncore.dispatcher_with_send):
        sink = Sink(most)
        return cls(sink, self.map), sink

    def test_small(self):
        d, sink = self.make()
        self.assertIsNone(d.send(b'abc'))
        self.assertEqual((sink.sent, d.out_buffer, d.writable()), ([b'abc'], b'', 0))
        sink.most = 2
        d.send(b'abcde')
        self.assertEqual((sink.sent[1:], d.out_buffer, d.writable()), ([b'ab'], b'cde', 3))
        d.send(b'f')
        self.assertEqual((sink.sent[2:], d.out_buffer), ([b'cd'], b'ef'))
        d.handle_write()
        self.assertEqual((sink.sent[3:], d.out_buffer), ([b'ef'], b''))
        d.handle_write()
        self.assertEqual(sink.sent[4:], [b''])
        self.assertIs(type(d.out_buffer), bytes)

    def test_large(self):
        d, sink = self.make(0)
        data = bytes(range(256)) * 4096
        d.send(data)
        d.send(b'tail')
        d.send(b'')
        self.assertEqual(d.out_buffer, data + b'tail')
        self.assertEqual(d.writable(), len(data) + 4)
        sink.most = 1 << 30
        del sink.sent[:]
        while d.writable():
            d.handle_write()
            left = d.writable()
            if left and len(sink.sent) % 3 == 0:
                self.assertEqual(d.out_buffer, (data + b'tail')[-left:])
        self.assertEqual([len(part) for part in sink.sent], [65536] * 16 + [4])
        self.assertEqual(b''.join(sink.sent), data + b'tail')

    def test_odd_pieces(self):
        d, sink = self.make(0)
        wanted = b''
        for i in range(1, 400):
            piece = bytes([i % 256]) * (i * 7 % 1000)
            wanted += piece
            d.send(piece)
        d.send(bytes(70000))
        wanted += bytes(70000)
        del sink.sent[:]
        step = 0
        while d.writable():
            step += 1
            sink.most = step * 31 % 3000
            d.initiate_send()
            if step % 10 == 0:
                d.send(b'more')
                wanted += b'more'
        self.assertEqual(b''.join(sink.sent), wanted)

    def test_assigned(self):
        d, sink = self.make(0)
        d.send(bytes(200000))
        d.out_buffer = b'replaced'
        self.assertEqual((d.out_buffer, d.writable()), (b'replaced', 8))
        d.out_buffer += b' and more'
        sink.most = 3
        d.initiate_send()
        self.assertEqual(d.out_buffer, b'laced and more')
        d.out_buffer = d.out_buffer[5:]
        self.assertEqual(d.out_buffer, b' and more')
        sink.most = 0
        d.send(bytes(200000))
        d.out_buffer = d.out_buffer[1:]
        self.assertEqual(len(d.out_buffer), 200008)
        del d.out_buffer
        self.assertRaises(AttributeError, lambda: d.out_buffer)
        self.assertRaises(AttributeError, d.send, b'x')
        self.assertRaises(AttributeError, d.handle_write)
        with self.assertRaises(AttributeError):
            del d.out_buffer
        d.connected = False
        self.assertIs(d.writable(), True)

    def test_other_types(self):
        d, sink = self.make(0)
        for large in (False, True):
            if large:
                d.out_buffer = b''
                d.send(bytes(100000))
            held = d.out_buffer
            array = bytearray(b'array')
            d.send(array)
            array[:] = b'XXXXX'
            d.send(memoryview(b'view'))
            self.assertEqual(d.out_buffer, held + b'arrayview')
            self.assertRaises(TypeError, d.send, 'text')
            self.assertRaises(TypeError, d.send, None)
            self.assertRaises(TypeError, d.send, 5)
            self.assertEqual(d.out_buffer, held + b'arrayview')

        class Strange(bytes):
            def __add__(self, other):
                return Strange(b'<' + bytes(self) + b'+' + other + b'>')

        d.out_buffer = Strange(b's')
        d.send(b'x')
        self.assertEqual(d.out_buffer, b'<s+x>')

    def test_debug(self):
        d, sink = self.make()
        d.debug = True
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            d.send(b'abc')
        self.assertEqual(out.getvalue(), "info: sending b'abc'\n")

    def test_buffer_of_a_subclass(self):
        class Own(asyncore.dispatcher_with_send):
            out_buffer = b'class'

            def __init__(self, sock, map):
                asyncore.dispatcher.__init__(self, sock, map)

        d, sink = self.make(0, Own)
        self.assertEqual(d.writable(), 5)
        d.send(bytes(100000))
        self.assertEqual(len(d.out_buffer), 100005)
        sink.most = 4
        d.initiate_send()
        self.assertEqual(d.out_buffer[:3], b's\0\0')
        self.assertEqual(Own.out_buffer, b'class')

    def test_initiate_send_of_a_subclass(self):
        class Own(asyncore.dispatcher_with_send):
            def initiate_send(self):
                sent = asyncore.dispatcher.send(self, self.out_buffer[:10])
                self.out_buffer = self.out_buffer[sent:]

        d, sink = self.make(cls=Own)
        d.send(bytes(100000))
        self.assertEqual((len(sink.sent[0]), len(d.out_buffer)), (10, 99990))
        d.handle_write()
        self.assertEqual(d.writable(), 99980)

    def test_lost_connection(self):
        closed = []

        class Own(asyncore.dispatcher_with_send):
            def handle_close(self):
                closed.append(len(self.out_buffer))
                self.close()

        for size in (5, 100000):
            d, sink = self.make(BrokenPipeError(errno.EPIPE, ''), Own)
            d.send(bytes(size))
            self.assertEqual((closed.pop(), len(d.out_buffer), self.map), (size, size, {}))

        class Resets(Own):
            def handle_close(self):
                self.out_buffer = b''

        d, sink = self.make(BrokenPipeError(errno.EPIPE, ''), Resets)
        d.send(bytes(100000))
        self.assertEqual(d.out_buffer, b'')

    def test_strange_results_of_send(self):
        d, sink = self.make()
        for result, left in ((None, 100000), (True, 99999), (-100000 + 7, 100000 - 7), (10 ** 9, 0)):
            with self.subTest(result=result):
                sink.send = lambda data: 0
                d.out_buffer = b''
                d.send(bytes(100000))
                sink.send = lambda data: result
                d.initiate_send()
                self.assertEqual(len(d.out_buffer), left)

    def test_through_a_socket(self):
        size = 16 << 20
        ours, theirs = self.pair()
        theirs.setblocking(False)
        d = asyncore.dispatcher_with_send(ours, self.map)
        d.readable = lambda: False
        block = bytes(range(256)) * 16
        d.send(block * (size // len(block)))
        got = 0
        end = time.monotonic() + 60
        while got < size:
            self.assertLess(time.monotonic(), end)
            asyncore.poll2(0, self.map)
            try:
                while True:
                    data = theirs.recv(1 << 18)
                    at = got % len(block)
                    self.assertEqual(data[:4096], (block * 2)[at:at + 4096][:len(data)])
                    got += len(data)
            except BlockingIOError:
                pass
        self.assertEqual(d.writable(), 0)


if __name__ == '__main__':
    unittest.main()
