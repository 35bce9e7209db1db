# SPDX-License-Identifier: MIT
"""Where these modules are not what Python 3.11 had: one test for each line of the list in README.md."""

import asynchat
import asyncore
import os
import resource
import select
import smtpd
import socket
import sys
import time
import traceback
import unittest

from unittest import mock

from support import PASSES, Case, Recorder, python

LOOPS = PASSES[2:]


class Reuse(Case):
    """bpo-30931: the event of a channel that was closed in the pass is nobody's."""

    def setUp(self):
        Case.setUp(self)
        self.listening = self.listener()

    def scenario(self, one_pass):
        """X closes Y, for which there is an event, and opens C, which gets Y's descriptor."""
        case = self
        trace = []

        class Closes(Recorder):
            def handle_read(self):
                self.note('read', self.recv(9))
                if case.victim is None:
                    return
                number = case.victim._fileno
                case.victim.close()
                case.victim = None
                c = Recorder(map=case.map, name='C', trace=trace)
                c.create_socket()
                case.assertEqual(c._fileno, number)
                c.connect(case.listening.getsockname())

        x, self.peer_x = self.channel(Closes, name='X', trace=trace)
        y, self.peer_y = self.channel(name='Y', trace=trace)
        self.victim = y
        # No free number below: C must get Y's.
        pads = [os.dup(0)]
        while pads[-1] < y._fileno:
            pads.append(os.dup(0))
        for fd in pads:
            self.addCleanup(os.close, fd)
        self.peer_x.send(b'x')
        self.peer_y.send(b'y')
        one_pass(5, self.map)
        return trace

    def test_loop_does_not_tell_the_new_owner(self):
        for name, one_pass in LOOPS:
            with self.subTest(name):
                trace = self.scenario(one_pass)
                self.assertEqual(trace, [('X', 'read', b'x')])
                # It is connected when it is, and then told.
                c = list(self.map.values())[1]
                self.assertEqual((c.connected, c.connecting), (False, True))
                c.want_write = True
                one_pass(5, self.map)
                self.assertEqual(trace[1:], [('C', 'connect'), ('C', 'write')])
                self._close_channels()

    def test_poll_by_hand_is_the_classic_pass(self):
        for name, one_pass in PASSES[:2]:
            with self.subTest(name):
                trace = self.scenario(one_pass)
                self.assertEqual(trace, [('X', 'read', b'x'), ('C', 'connect'),
                                         ('C', 'error', 'BlockingIOError'), ('C', 'close')])
                self._close_channels()

    def test_an_owner_put_back_is_told(self):
        # Nothing but the number's owner counts: leaving and coming back within a pass is no change.
        for name, one_pass in LOOPS:
            case = self

            class Shuffles(Recorder):
                def handle_read(self):
                    self.note('read', self.recv(9))
                    held = dict(case.map)
                    case.map.clear()
                    case.map.update(held)

            trace = []
            a, peer_a = self.channel(Shuffles, name='a', trace=trace)
            b, peer_b = self.channel(name='b', trace=trace)
            peer_a.send(b'1')
            peer_b.send(b'2')
            one_pass(5, self.map)
            self.assertEqual(trace, [('a', 'read', b'1'), ('b', 'read', b'2')], name)
            self._close_channels()


class HighNumbers(Case):
    """loop() takes descriptors of any number."""

    def setUp(self):
        Case.setUp(self)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        enough = 2100 if hard == resource.RLIM_INFINITY else min(hard, 2100)
        self.assertGreater(enough, 1100, 'needs a limit of more than 1,100 open files')
        if soft != resource.RLIM_INFINITY and soft < enough:
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        pads = [os.dup(0)]
        while pads[-1] < 1030:
            pads.append(os.dup(0))
        self.addCleanup(lambda: [os.close(fd) for fd in pads])

    def test_loop(self):
        for name, one_pass in LOOPS:
            with self.subTest(name):
                d, peer = self.channel()
                self.assertGreater(d._fileno, 1023)
                one_pass(0.001, self.map)
                self.assertEqual(d.trace, [])
                peer.send(b'x')
                one_pass(5, self.map)
                d.want_write = True
                one_pass(5, self.map)
                self.assertEqual(d.trace, [('?', 'read', b'x'), ('?', 'write')])
                d.close()

    def test_loop_has_the_order_of_select(self):
        # All reads, then all writes: with a high number among them too.
        trace = []
        peers = []
        for name in 'ab':
            d, peer = self.channel(name=name, trace=trace)
            d.want_write = True
            peer.send(b'x')
            peers.append(peer)
        asyncore.loop(5, False, self.map, 1)
        self.assertEqual(trace, [('a', 'read', b'x'), ('b', 'read', b'x'), ('a', 'write'),
                                 ('b', 'write')])

    def test_loop_sees_what_select_sees(self):
        ours, theirs = self.tcp_pair()
        d = Recorder(ours, self.map)
        d.handle_read = lambda: d.note('readable')
        theirs.send(b'!', socket.MSG_OOB)
        asyncore.loop(5, False, self.map, 1)
        self.assertEqual(d.trace, [('?', 'expt')])
        # A hang-up is something to read, and nothing to a writer that is blocked.
        e, peer = self.channel()
        e.want_read = False
        peer.close()
        del self.map[d._fileno]
        asyncore.loop(0.01, False, self.map, 1)
        self.assertEqual(e.trace, [])
        e.want_read = True
        asyncore.loop(5, False, self.map, 1)
        self.assertEqual(e.trace[:1], [('?', 'close')])

    def test_loop_tells_of_a_bad_descriptor(self):
        d, peer = self.channel()
        d.socket.close()
        self.assertRaisesRegex(OSError, 'Bad file descriptor', asyncore.loop, 5, False, self.map, 1)
        self.map.clear()

    def test_loop_with_negative_timeout(self):
        d, peer = self.channel()
        self.assertRaisesRegex(ValueError, 'timeout must be non-negative',
                               asyncore.loop, -1, False, self.map, 1)

    def test_poll_by_hand_has_the_limit(self):
        d, peer = self.channel()
        self.assertRaisesRegex(ValueError, 'filedescriptor out of range', asyncore.poll, 0, self.map)

    def test_as_select_says_it(self):
        """The stand-in for select() against select(), on what sockets can be."""
        if not hasattr(asyncore, '_select_by_poll'):
            self.skipTest('the classic module')
        states = []
        listener = self.listener()
        for cls in (self.pair, self.tcp_pair):
            idle = cls()
            readable = cls()
            readable[1].send(b'x')
            closed = cls()
            closed[1].close()
            shut = cls()
            shut[1].shutdown(socket.SHUT_WR)
            both = cls()
            both[0].shutdown(socket.SHUT_WR)
            both[1].close()
            states += [idle, readable, closed, shut, both]
        fresh = socket.socket()
        self.addCleanup(fresh.close)
        urgent = self.tcp_pair()
        urgent[1].send(b'!', socket.MSG_OOB)
        refused = socket.socket()
        self.addCleanup(refused.close)
        refused.setblocking(False)
        gone = socket.socket()
        gone.bind(('127.0.0.1', 0))
        address = gone.getsockname()
        gone.close()
        refused.connect_ex(address)
        r, w = os.pipe()
        r2, w2 = os.pipe()
        os.close(w)
        os.close(r2)
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w2)
        time.sleep(0.05)
        # select() itself cannot be asked about these numbers, but about copies below 1,024.
        fds = [s[0].fileno() for s in states + [urgent]] + [fresh.fileno(), refused.fileno(), r, w2]
        low = []
        for fd in fds:
            for number in range(100, 1000):
                if number not in low:
                    break
            os.dup2(fd, number)
            low.append(number)
        self.addCleanup(lambda: [os.dup2(0, number) for number in low])
        for fd in low:
            for sets in range(1, 8):
                asked = [[fd] if sets & bit else [] for bit in (1, 2, 4)]
                with self.subTest(fd=fds[low.index(fd)], sets=sets):
                    self.assertEqual([list(x) for x in asyncore._select_by_poll(*asked, 0)],
                                     list(select.select(*asked, 0)))


class Others(Case):

    def test_no_deprecation_warning(self):
        done = python('import asyncore, asynchat, smtpd', options=['-W', 'error'])
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_sending_much_is_linear(self):
        class Socket:
            sizes = []

            def setblocking(self, flag):
                pass

            def fileno(self):
                return 4321

            def getpeername(self):
                return 'peer'

            def send(self, data):
                self.sizes.append(len(data))
                return len(data)

            def close(self):
                pass

        d = asyncore.dispatcher_with_send(Socket(), self.map)
        d.send(b'x' * (128 << 20))
        began = time.process_time()
        while d.writable():
            d.handle_write()
        # The classic one takes minutes.
        self.assertLess(time.process_time() - began, 10)
        self.assertEqual(Socket.sizes, [65536] * 2048)

    def test_text_that_recv_of_a_subclass_returns(self):
        # With use_encoding it was meant to be taken, and was a TypeError.
        class Chat(asynchat.async_chat):
            use_encoding = 1
            incoming_data = b''

            def recv(self, size):
                return str(asynchat.async_chat.recv(self, size), 'latin-1')

            def collect_incoming_data(self, data):
                self.incoming_data += data

            def found_terminator(self):
                self.incoming_data += b'|'

        chat, peer = self.channel(Chat)
        chat.set_terminator('\n')
        peer.send(b'a\xe9\nb')
        chat.handle_read()
        self.assertEqual(chat.incoming_data, b'a\xe9|b')

    def test_the_proxy_of_the_program_gets_text(self):
        # It was given bytes, and keywords, neither of which it can take.
        made = []

        class Proxy(smtpd.PureProxy):
            def __init__(self, *args, **more):
                made.append((args, more))

        class Server(smtpd.SMTPServer):
            __init__ = Proxy.__init__

        addresses = ('localhost', 8025), ('localhost', 25)
        plain = {'enable_SMTPUTF8': False}
        for server, more in ((Proxy, dict(plain, decode_data=True)), (Server, plain)):
            with mock.patch.object(smtpd, 'PureProxy', Proxy), \
                    mock.patch.object(smtpd, 'Chosen', server, create=True), \
                    mock.patch.object(sys, 'argv', ['smtpd', '-n', '-c', 'Chosen']):
                smtpd._main()
            self.assertEqual(made.pop(), (addresses + (None,), more))
        self.assertEqual(made, [])


class Frames(Case):
    """Which functions of the module can be seen in tracebacks, and on the stack."""

    def frames(self, one_pass):
        found = []

        class Reads(Recorder):
            def handle_read(self):
                found.append([frame.name for frame in traceback.extract_stack()])
                raise asyncore.ExitNow

        d, peer = self.channel(Reads)
        peer.send(b'x')
        try:
            one_pass(5, self.map)
        except asyncore.ExitNow as err:
            found.append([frame.name for frame in traceback.extract_tb(err.__traceback__)])
        d.close()
        for names in found:
            del names[:names.index('frames')]
        return found

    def test_tracebacks(self):
        told = {'poll': ['read', 'handle_read_event', 'handle_read'],
                'poll2': ['readwrite', 'handle_read_event', 'handle_read']}
        for name, one_pass in PASSES:
            with self.subTest(name):
                inner = told['poll2' if name in ('poll2', 'loop with poll') else 'poll']
                names = [n for n in self.frames(one_pass)[1] if n not in ('frames', '<lambda>')]
                self.assertEqual(names[-3:], inner)
                # One function more than there was, or another name.
                self.assertIn(names[:-3], (['poll', '_select_pass'], ['poll2', '_poll_pass'],
                                           ['loop', '_select_pass'], ['loop', '_poll_pass']))

    def test_stack(self):
        stack, trace = self.frames(PASSES[2][1])
        if '_asyncore' in sys.modules:
            # The functions that are C leave their frames in tracebacks only.
            self.assertEqual([n for n in trace if n not in stack],
                             ['loop', '_select_pass', 'read', 'handle_read_event'])
        else:
            self.assertEqual(stack, trace)


if __name__ == '__main__':
    unittest.main()
