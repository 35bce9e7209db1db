# SPDX-License-Identifier: MIT
"""asynchat: terminators, producers, and how the two end."""

import asynchat
import asyncore
import collections
import contextlib
import io
import socket
import threading
import unittest

from support import DEADLINE, PASSES, Case


class Wire:
    """A socket that gives what it was given, in the pieces it was given, and takes `most` at a time."""

    def __init__(self, pieces=(), most=1 << 30):
        self.pieces = list(pieces)
        self.most = most
        self.sent = []

    def setblocking(self, flag):
        pass

    def fileno(self):
        return 9876

    def getpeername(self):
        return 'wire'

    def recv(self, size):
        if not self.pieces:
            raise BlockingIOError(11, 'nothing')
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def send(self, data):
        if isinstance(self.most, Exception):
            raise self.most
        self.sent.append(bytes(data[:self.most]))
        return len(self.sent[-1])

    def close(self):
        pass


class Chat(asynchat.async_chat):

    def __init__(self, wire, map, terminator):
        asynchat.async_chat.__init__(self, wire, map)
        self.set_terminator(terminator)
        self.events = []
        self.next_terminators = []

    def collect_incoming_data(self, data):
        assert data
        self._collect_incoming_data(data)

    def found_terminator(self):
        self.events.append(self._get_data())
        if self.next_terminators:
            self.set_terminator(self.next_terminators.pop(0))

    def handle_error(self):
        self.events.append('error')
        self.close()

    def handle_close(self):
        self.events.append('close')
        self.close()


class Incoming(Case):

    def run_chat(self, pieces, terminator, *following):
        chat = Chat(Wire(pieces), self.map, terminator)
        chat.next_terminators = list(following)
        while chat.socket.pieces:
            chat.handle_read_event()
        return chat

    def test_lines_however_they_are_cut(self):
        text = b'one\r\n\r\nthree\rx\r\n\r\r\nrest'
        wanted = [b'one', b'', b'three\rx', b'\r']
        for size in range(1, len(text) + 1):
            pieces = [text[i:i + size] for i in range(0, len(text), size)]
            chat = self.run_chat(pieces, b'\r\n')
            self.assertEqual(chat.events, wanted)
            self.assertEqual(b''.join(chat.incoming) + chat.ac_in_buffer, b'rest')

    def test_what_may_be_a_terminator_is_kept(self):
        chat = self.run_chat([b'abc<e', b'n', b'x', b'<end', b'>'], b'<end>')
        self.assertEqual(chat.events, [b'abc<enx'])
        chat = self.run_chat([b'abc<en'], b'<end>')
        self.assertEqual((chat.incoming, chat.ac_in_buffer), ([b'abc'], b'<en'))
        chat = self.run_chat([b'<en'], b'<end>')
        self.assertEqual((chat.incoming, chat.ac_in_buffer), ([], b'<en'))

    def test_counts(self):
        for pieces in ([b'12345678'], [b'1', b'2345', b'678']):
            chat = self.run_chat(pieces, 3, 2, 1)
            self.assertEqual(chat.events, [b'123', b'45', b'6'])
            # After a count nothing is cut: the terminator is 0 until it is set.
            self.assertEqual((b''.join(chat.incoming), chat.get_terminator()), (b'78', 0))
        self.assertRaises(ValueError, chat.set_terminator, -1)

    def test_terminator_changed_in_between(self):
        chat = self.run_chat([b'5\nabcde10\n0123456789end'], b'\n', 5, b'\n', 10, None)
        self.assertEqual(chat.events, [b'5', b'abcde', b'10', b'0123456789'])
        self.assertEqual(chat.incoming, [b'end'])

    def test_no_terminator(self):
        for none in (None, 0, b'', ''):
            chat = self.run_chat([b'a\nb', b'c'], none)
            self.assertEqual((chat.events, chat.incoming), ([], [b'a\nb', b'c']))

    def test_strings(self):
        chat = Chat(Wire(['line;', b'more;']), self.map, None)
        chat.use_encoding = 1
        chat.set_terminator(';')
        self.assertEqual(chat.get_terminator(), b';')
        chat.handle_read()
        chat.handle_read()
        self.assertEqual(chat.events, [b'line', b'more'])

    def test_errors_of_recv(self):
        chat = self.run_chat([BlockingIOError(11, ''), OSError(5, '')], b'\n')
        self.assertEqual(chat.events, ['error'])

    def test_missing_methods(self):
        chat = asynchat.async_chat(Wire([b'x']), self.map)
        chat.set_terminator(None)
        self.assertRaises(NotImplementedError, chat.handle_read)
        self.assertRaises(NotImplementedError, chat.found_terminator)

    def test_closing_in_found_terminator(self):
        class Closes(Chat):
            def found_terminator(self):
                Chat.found_terminator(self)
                self.discard_buffers()
                self.close()

        chat = Closes(Wire([b'a\nb\n']), self.map, b'\n')
        chat.handle_read()
        self.assertEqual((chat.events, chat.ac_in_buffer), ([b'a'], b''))


class Outgoing(Case):

    def make(self, most=1 << 30):
        return Chat(Wire(most=most), self.map, None)

    def drain(self, chat):
        for _ in range(10000):
            if not (chat.connected and chat.writable()):
                return b''.join(chat.socket.sent)
            chat.handle_write()
        self.fail('it does not end')

    def test_push(self):
        chat = self.make()
        chat.push(b'abc')
        chat.push(bytearray(b'def'))
        chat.push(memoryview(b'ghi'))
        self.assertEqual(chat.socket.sent, [b'abc', b'def', b'ghi'])
        self.assertFalse(chat.writable())
        self.assertIsInstance(chat.producer_fifo, collections.deque)
        self.assertEqual(chat.readable(), 1)
        with self.assertRaises(TypeError):
            chat.push('text')
        with self.assertRaises(TypeError):
            chat.push(None)

    def test_push_is_cut_and_rests_are_kept(self):
        for most in (1, 3, 7, 10, 1000):
            chat = self.make(most)
            chat.ac_out_buffer_size = 10
            data = bytes(range(95))
            chat.push(data)
            self.assertEqual(len(chat.socket.sent), 1)          # once a call
            self.assertEqual(self.drain(chat), data)
            self.assertLessEqual(max(map(len, chat.socket.sent)), 10)

    def test_producers(self):
        class Words:
            def __init__(self, *words):
                self.words = list(words)

            def more(self):
                return self.words.pop(0) if self.words else b''

        chat = self.make(4)
        chat.push_with_producer(Words(b'one ', b'two ', b'three '))
        chat.push_with_producer(asynchat.simple_producer(b'x' * 1000))
        chat.push_with_producer(Words())
        chat.push(b'last')
        self.assertEqual(self.drain(chat), b'one two three ' + b'x' * 1000 + b'last')

    def test_producers_of_more_than_is_sent_at_a_time(self):
        chat = self.make()
        chat.ac_out_buffer_size = 10
        chat.push_with_producer(asynchat.simple_producer(bytes(range(95)), 35))
        self.assertEqual(self.drain(chat), bytes(range(95)))
        self.assertEqual(max(map(len, chat.socket.sent)), 10)

    def test_simple_producer(self):
        producer = asynchat.simple_producer(b'abcdefg', buffer_size=3)
        self.assertEqual([producer.more() for _ in range(5)], [b'abc', b'def', b'g', b'', b''])

    def test_close_when_done(self):
        chat = self.make(2)
        chat.push(b'goodbye')
        chat.close_when_done()
        self.assertEqual(self.drain(chat), b'goodbye')
        self.assertEqual((chat.events, self.map), (['close'], {}))
        chat = self.make()
        chat.close_when_done()
        self.assertTrue(chat.writable())
        self.assertEqual(chat.events, [])
        chat.handle_write()
        self.assertEqual(chat.events, ['close'])

    def test_strings(self):
        chat = self.make()
        chat.use_encoding = 1
        chat.producer_fifo.append('caf\xe9')
        chat.initiate_send()
        self.assertEqual(chat.socket.sent, [b'caf\xe9'])

    def test_not_connected(self):
        chat = Chat(None, self.map, None)
        self.assertTrue(chat.writable())
        chat.push(b'early')
        self.assertEqual(list(chat.producer_fifo), [b'early'])

    def test_errors_of_send(self):
        chat = self.make()
        chat.socket.most = OSError(5, '')
        chat.push(b'x')
        self.assertEqual(chat.events, ['error'])
        chat = self.make()
        chat.socket.most = BrokenPipeError(32, '')
        chat.push(b'x')
        self.assertEqual(chat.events, ['close'])
        chat = self.make()
        chat.socket.most = BlockingIOError(11, '')
        chat.push(b'x')
        self.assertEqual((chat.events, list(chat.producer_fifo)), ([], [b'x']))

    def test_discard_buffers(self):
        chat = self.make(0)
        chat.push(b'x')
        chat.ac_in_buffer = b'y'
        chat.incoming.append(b'z')
        chat.discard_buffers()
        self.assertEqual((chat.ac_in_buffer, chat.incoming, len(chat.producer_fifo)), (b'', [], 0))

    def test_find_prefix_at_end(self):
        for haystack, needle, size in ((b'qwerty\r', b'\r\n', 1), (b'qwerty', b'\r\n', 0),
                                       (b'a\r\n.\r', b'\r\n.\r\n', 4), (b'', b'ab', 0),
                                       (b'xaa', b'aaa', 2), (b'a', b'a', 0)):
            self.assertEqual(asynchat.find_prefix_at_end(haystack, needle), size)


class Through(Case):

    def test_a_conversation(self):
        class Server(Chat):
            def found_terminator(self):
                line = self._get_data()
                if line == b'quit':
                    self.push(b'bye\n')
                    self.close_when_done()
                else:
                    self.push(line.upper() + b'\n')

        for name, one_pass in PASSES:
            with self.subTest(name):
                ours, theirs = self.pair()
                server = Server(ours, self.map, b'\n')
                heard = []

                def client():
                    with theirs.makefile('rwb') as file:
                        for word in (b'hello', b'x' * 300000, b'', b'quit'):
                            file.write(word + b'\n')
                            file.flush()
                            heard.append(file.readline())
                        heard.append(file.read())

                thread = threading.Thread(target=client)
                thread.start()
                while self.map:
                    one_pass(DEADLINE, self.map)
                thread.join()
                self.assertEqual(heard, [b'HELLO\n', b'X' * 300000 + b'\n', b'\n', b'bye\n', b''])


if __name__ == '__main__':
    unittest.main()
