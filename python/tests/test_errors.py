# SPDX-License-Identifier: MIT
"""What handlers raise: where it goes, what is printed, which frames are shown."""

import asyncore
import contextlib
import errno
import io
import os
import re
import signal
import socket
import sys
import threading
import time
import unittest

from support import PASSES, Case, Recorder, python


class Boom(Exception):
    pass


def frames(line):
    """The functions in [file|function|line] of asyncore and of this file."""
    return re.findall(r'\[[^|\]]*?(asyncore|test_errors)\.py\|(\w+)\|\d+\]', line)


class Raises(Recorder):
    where = None
    raised = Boom

    def __init__(self, sock=None, map=None, where=None, raised=Boom, **more):
        self.where, self.raised = where, raised
        Recorder.__init__(self, sock, map, **more)

    def maybe(self, where):
        if where == self.where:
            raise self.raised('in ' + where)

    def readable(self):
        self.maybe('readable')
        return self.want_read

    def writable(self):
        self.maybe('writable')
        return self.want_write

    def handle_read(self):
        self.maybe('handle_read')
        Recorder.handle_read(self)

    def handle_write(self):
        self.maybe('handle_write')

    def handle_connect(self):
        self.maybe('handle_connect')

    def handle_accept(self):
        self.maybe('handle_accept')

    def handle_expt(self):
        self.maybe('handle_expt')

    def handle_close(self):
        self.maybe('handle_close')
        Recorder.handle_close(self)


class Errors(Case):

    def make(self, where, raised=Boom):
        """A channel whose next pass runs into `where`, and its peer."""
        if where == 'handle_accept':
            d = Raises(map=self.map, where=where, raised=raised)
            d.create_socket()
            d.bind(('127.0.0.1', 0))
            d.listen(1)
            peer = socket.create_connection(d.socket.getsockname())
            self.addCleanup(peer.close)
            return d, peer
        if where == 'handle_connect':
            listener = self.listener()
            d = Raises(map=self.map, where=where, raised=raised)
            d.create_socket()
            d.want_write = True
            d.connect(listener.getsockname())
            return d, listener
        ours, peer = self.tcp_pair()
        d = Raises(ours, self.map, where=where, raised=raised)
        if where in ('handle_read', 'readable', 'writable'):
            peer.send(b'x')
        elif where == 'handle_write':
            d.want_write = True
        elif where == 'handle_expt':
            peer.send(b'!', socket.MSG_OOB)
        elif where == 'handle_close':
            peer.close()
        return d, peer

    CAUGHT = ('handle_read', 'handle_write', 'handle_connect', 'handle_accept', 'handle_expt')

    def test_exceptions_in_handlers(self):
        for name, one_pass in PASSES:
            for where in self.CAUGHT:
                with self.subTest(name, where=where):
                    d, peer = self.make(where)
                    if where == 'handle_expt':
                        d.handle_read = lambda: None
                    self.until(lambda: d.trace, one_pass)
                    self.assertEqual(d.trace, [('?', 'error', 'Boom'), ('?', 'close')])
                    self.assertEqual(self.map, {})

    def test_exceptions_in_predicates(self):
        for name, one_pass in PASSES:
            for where in ('readable', 'writable'):
                with self.subTest(name, where=where):
                    d, peer = self.make(where)
                    other, other_peer = self.channel()
                    other_peer.send(b'y')
                    for _ in range(2):
                        self.assertRaisesRegex(Boom, where, one_pass, 5, self.map)
                    self.assertEqual((d.trace, other.trace), ([], []))
                    self.assertEqual(len(self.map), 2)
                    d.where = None
                    one_pass(5, self.map)
                    self.assertEqual(len(d.trace) + len(other.trace), 2)
                    d.close()
                    other.close()

    def test_exception_in_handle_close(self):
        for name, one_pass in PASSES:
            with self.subTest(name):
                d, peer = self.make('handle_close')
                self.assertRaisesRegex(Boom, 'handle_close', self.until, lambda: False, one_pass)
                self.assertEqual(d.trace, [('?', 'error', 'Boom')])
                self.assertEqual(len(self.map), 1)
                asyncore.dispatcher.close(d)

    def test_what_is_not_caught(self):
        for name, one_pass in PASSES:
            for where in self.CAUGHT + ('readable',):
                for raised in (asyncore.ExitNow, KeyboardInterrupt, SystemExit):
                    with self.subTest(name, where=where, raised=raised):
                        d, peer = self.make(where, raised)
                        if where == 'handle_expt':
                            d.handle_read = lambda: None
                        with self.assertRaises(raised):
                            self.until(lambda: False, one_pass)
                        self.assertEqual(d.trace, [])
                        self.assertEqual(len(self.map), 1)
                        asyncore.dispatcher.close(d)

    def test_what_is_not_caught_can_be_changed(self):
        saved = asyncore._reraised_exceptions
        asyncore._reraised_exceptions = (Boom,)
        try:
            for name, one_pass in PASSES:
                d, peer = self.make('handle_read', KeyboardInterrupt)
                one_pass(5, self.map)
                self.assertEqual(d.trace, [('?', 'error', 'KeyboardInterrupt'), ('?', 'close')])
                d, peer = self.make('handle_read', Boom)
                self.assertRaises(Boom, one_pass, 5, self.map)
                d.close()
        finally:
            asyncore._reraised_exceptions = saved

    def test_other_base_exceptions_are_caught(self):
        for name, one_pass in PASSES:
            d, peer = self.make('handle_read', GeneratorExit)
            one_pass(5, self.map)
            self.assertEqual(d.trace, [('?', 'error', 'GeneratorExit'), ('?', 'close')], name)

    def test_errors_of_a_connection(self):
        # With poll() a lost connection is closed quietly, with select() it is an error.
        def reset(text):
            return ConnectionResetError(errno.ECONNRESET, text)

        def broken(text):
            return OSError(errno.EIO, text)

        for name, one_pass in PASSES:
            with self.subTest(name):
                d, peer = self.make('handle_read', reset)
                one_pass(5, self.map)
                if 'poll2' in name or 'with poll' in name:
                    self.assertEqual(d.trace, [('?', 'close')])
                else:
                    self.assertEqual(d.trace, [('?', 'error', 'ConnectionResetError'),
                                               ('?', 'close')])
                d, peer = self.make('handle_read', broken)
                one_pass(5, self.map)
                self.assertEqual(d.trace, [('?', 'error', 'OSError'), ('?', 'close')])

    def test_missing_handlers(self):
        # What is in the map is no channel.
        class Nothing:
            accepting = False
            errors = []

            def readable(self):
                return True

            def writable(self):
                return False

            def handle_error(self):
                self.errors.append(sys.exc_info()[0])

        ours, theirs = self.pair()
        theirs.send(b'x')
        for name, one_pass in PASSES:
            one_pass(5, {ours.fileno(): Nothing()})
        self.assertEqual(Nothing.errors, [AttributeError] * 4)
        for name, one_pass in PASSES:
            self.assertRaises(AttributeError, one_pass, 5, {ours.fileno(): object()})

    def test_exc_info_in_handle_error_and_after(self):
        seen = []

        class Looks(Raises):
            def handle_error(self):
                seen.append(sys.exc_info()[1])
                try:
                    raise KeyError('another')
                except KeyError:
                    pass
                seen.append(sys.exc_info()[1])
                self.close()

        for name, one_pass in PASSES:
            with self.subTest(name):
                del seen[:]
                ours, peer = self.pair()
                d = Looks(ours, self.map, where='handle_read')
                peer.send(b'x')
                try:
                    raise ValueError('outside')
                except ValueError as outside:
                    one_pass(5, self.map)
                    self.assertIs(sys.exc_info()[1], outside)
                self.assertEqual([type(exc) for exc in seen], [Boom, Boom])
                self.assertIs(seen[0], seen[1])
                self.assertIsNone(sys.exc_info()[1])

    # what is printed

    def line_of(self, where, one_pass, cls=None):
        class Base(Raises):
            log_info = asyncore.dispatcher.log_info
            handle_error = asyncore.dispatcher.handle_error

        d, peer = self.make(where)
        d.__class__ = cls or Base
        if where == 'handle_expt':
            d.handle_read = lambda: None
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.until(lambda: d.trace, one_pass)
        return d, out.getvalue()

    def test_the_line_and_its_frames(self):
        last = ('test_errors', 'maybe')
        for name, one_pass in PASSES:
            poll = 'poll2' in name or 'with poll' in name
            for where, event in (('handle_read', 'handle_read_event'),
                                 ('handle_write', 'handle_write_event'),
                                 ('handle_connect', 'handle_write_event'),
                                 ('handle_accept', 'handle_read_event'),
                                 ('handle_expt', 'handle_expt_event')):
                with self.subTest(name, where=where):
                    d, line = self.line_of(where, one_pass)
                    entry = 'readwrite' if poll else {
                        'handle_read_event': 'read', 'handle_write_event': 'write',
                        'handle_expt_event': '_exception'}[event]
                    wanted = [('asyncore', entry), ('asyncore', event)]
                    if where == 'handle_connect':
                        wanted.append(('asyncore', 'handle_connect_event'))
                    wanted += [('test_errors', where), last]
                    self.assertEqual(frames(line), wanted)
                    self.assertRegex(line, r'^error: uncaptured python exception, closing channel '
                                           r'<.*Base.*> \(<class .*Boom.>:in %s \[.*\]\)\n$' % where)

    def test_frames_of_recv_and_send(self):
        class Broken(asyncore.dispatcher):
            def writable(self):
                return False

            def handle_read(self):
                self.close()
                self.socket = None
                self.recv(1)

        for name, one_pass in PASSES:
            d, peer = self.channel(Broken)
            peer.send(b'x')
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                one_pass(5, self.map)
            self.assertEqual([f for f in frames(out.getvalue())][1:],
                             [('asyncore', 'handle_read_event'), ('test_errors', 'handle_read'),
                              ('asyncore', 'recv')], name)

    def test_compact_traceback(self):
        try:
            raise Boom('here')
        except Boom as exc:
            where, kind, value, line = asyncore.compact_traceback()
            lineno = str(exc.__traceback__.tb_lineno)
        self.assertEqual(where, (test_errors_file, 'test_compact_traceback', lineno))
        self.assertIs(kind, Boom)
        self.assertEqual(str(value), 'here')
        self.assertEqual(line, '[%s|test_compact_traceback|%s]' % (test_errors_file, lineno))

    def test_repr_that_fails(self):
        class Mute(Raises):
            def __repr__(self):
                raise Boom

            handle_error = asyncore.dispatcher.handle_error

        d, line = self.line_of('handle_read', PASSES[0][1], Mute)
        self.assertIn('closing channel <__repr__(self) failed for object at %0x> (' % id(d), line)

    def test_stdout_and_stderr_of_the_moment(self):
        d = asyncore.dispatcher(map=self.map)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            d.log('hit')
            d.log_info('told')
            d.log_info('not told', 'warning')
            d.log_info('bad', type='error')
            d.handle_read()
            d.handle_write()
            d.handle_connect()
            d.handle_expt()
        self.assertEqual(out.getvalue(), 'info: told\nerror: bad\n')
        self.assertEqual(err.getvalue(), 'log: hit\n')
        d.ignore_log_types = ()
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            d.handle_read()
            d.handle_write()
            d.handle_connect()
            d.handle_expt()
            d.handle_close()
            d.handle_accepted(socket.socket(), None)
        self.assertEqual(out.getvalue(),
                         'warning: unhandled read event\n'
                         'warning: unhandled write event\n'
                         'warning: unhandled connect event\n'
                         'warning: unhandled incoming priority event\n'
                         'warning: unhandled close event\n'
                         'warning: unhandled accepted event\n')


class Signals(Case):

    def test_handlers_run_and_the_wait_goes_on(self):
        for name, one_pass in PASSES:
            with self.subTest(name):
                rang = []
                d, peer = self.channel()
                saved = signal.signal(signal.SIGALRM, lambda *args: rang.append(time.monotonic()))
                began = time.monotonic()
                signal.setitimer(signal.ITIMER_REAL, 0.02)
                try:
                    one_pass(0.2, self.map)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    signal.signal(signal.SIGALRM, saved)
                self.assertEqual(len(rang), 1)
                self.assertGreaterEqual(time.monotonic() - began, 0.19)
                self.assertEqual(d.trace, [])
                d.close()

    def test_exceptions_of_handlers_end_it(self):
        def handler(*args):
            raise Boom('signal')

        for name, one_pass in PASSES:
            with self.subTest(name):
                d, peer = self.channel()
                saved = signal.signal(signal.SIGALRM, handler)
                signal.setitimer(signal.ITIMER_REAL, 0.02)
                try:
                    self.assertRaises(Boom, one_pass, 60, self.map)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    signal.signal(signal.SIGALRM, saved)
                self.assertEqual((d.trace, len(self.map)), ([], 1))
                peer.send(b'x')
                one_pass(5, self.map)
                self.assertEqual(len(d.trace), 1)
                d.close()

    def test_keyboard_interrupt(self):
        done = python(
            'import asyncore, os, signal, socket, threading\n'
            'a, b = socket.socketpair()\n'
            'class D(asyncore.dispatcher):\n'
            '    def writable(self): return False\n'
            'd = D(a)\n'
            'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
            'threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n'
            'try:\n'
            '    asyncore.loop()\n'
            'except KeyboardInterrupt:\n'
            '    print("interrupted", len(asyncore.socket_map))\n'
            'asyncore.close_all()')
        self.assertEqual(done.stdout, 'interrupted 1\n', done.stderr)


class Threads(Case):

    def test_others_run_during_the_wait(self):
        for name, one_pass in PASSES:
            with self.subTest(name):
                d, peer = self.channel()
                # The one who ends the wait is another thread: were it not let run, nobody would.
                thread = threading.Timer(0.02, peer.send, (b'x',))
                thread.start()
                one_pass(60, self.map)
                thread.join()
                self.assertEqual(d.trace, [('?', 'read', b'x')])
                d.close()

    def test_loops_in_threads(self):
        def serve(map, use_poll):
            try:
                asyncore.loop(0.1, use_poll, map)
            except BaseException as exc:
                failures.append(exc)

        class Echo(asyncore.dispatcher_with_send):
            def handle_read(self):
                self.send(self.recv(100))

            def handle_close(self):
                self.close()

        failures, threads, peers = [], [], []
        for i in range(6):
            map = {}
            for _ in range(3):
                ours, peer = self.pair()
                Echo(ours, map)
                peers.append(peer)
            threads.append(threading.Thread(target=serve, args=(map, i % 2)))
        for thread in threads:
            thread.start()
        for i in range(50):
            for n, peer in enumerate(peers):
                peer.send(b'%d/%d' % (n, i))
            for n, peer in enumerate(peers):
                self.assertEqual(peer.recv(100), b'%d/%d' % (n, i))
        for peer in peers:
            peer.close()
        for thread in threads:
            thread.join(60)
        self.assertEqual((failures, [t.is_alive() for t in threads]), ([], [False] * 6))


test_errors_file = Errors.test_compact_traceback.__code__.co_filename

if __name__ == '__main__':
    unittest.main()
