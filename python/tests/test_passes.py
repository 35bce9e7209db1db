# SPDX-License-Identifier: MIT
"""Passes over a map that changes: behind asyncore's back, inside its callbacks, under its feet.

Each of these loses an event, or tells the wrong one, where interest is kept in the kernel with less
than full care.
"""

import asyncore
import errno
import os
import select
import socket
import tempfile
import unittest

from support import A_WHILE, PASSES, Case, Recorder


class Passes(Case):

    def each(self):
        for name, one_pass in PASSES:
            with self.subTest(name):
                yield one_pass
            self._close_channels()

    def test_order_is_that_of_the_map(self):
        for one_pass in self.each():
            trace = []
            peers = []
            for i in range(5):
                d, peer = self.channel(name=str(i), trace=trace)
                peers.append(peer)
            channels = list(self.map.items())
            self.map.clear()
            order = [3, 0, 4, 2, 1]
            for i in order:
                self.map[channels[i][0]] = channels[i][1]
            for peer in reversed(peers):
                peer.send(b'x')
            one_pass(5, self.map)
            self.assertEqual([name for name, _, _ in trace], [str(i) for i in order])
            # Out and in again is last.
            del trace[:]
            fd, d = channels[3]
            del self.map[fd]
            self.map[fd] = d
            for peer in peers:
                peer.send(b'x')
            one_pass(5, self.map)
            self.assertEqual([name for name, _, _ in trace], ['0', '4', '2', '1', '3'])

    def test_both_predicates_of_all_are_asked_in_each_pass(self):
        class Asked(Recorder):
            def readable(self):
                self.note('readable')
                return self.want_read

            def writable(self):
                self.note('writable')
                return self.want_write

        for one_pass in self.each():
            trace = []
            keep = [self.channel(Asked, name=name, trace=trace) for name in 'abc']
            keep[1][0].want_read = False
            for _ in range(3):
                del trace[:]
                one_pass(0.001, self.map)
                self.assertEqual(trace, [(name, what) for name in 'abc'
                                         for what in ('readable', 'writable')])

    def test_interest_follows_the_predicates(self):
        for one_pass in self.each():
            d, peer = self.channel()
            for i in range(3):
                d.want_read, d.want_write = False, True
                peer.send(b'x')
                one_pass(5, self.map)
                self.assertEqual(d.trace, [('?', 'write')])
                d.want_read, d.want_write = True, False
                one_pass(5, self.map)
                self.assertEqual(d.trace[1:], [('?', 'read', b'x')])
                d.want_read = False
                peer.send(b'y')
                one_pass(0.001, self.map)
                d.want_read = True
                one_pass(5, self.map)
                self.assertEqual(d.trace[2:], [('?', 'read', b'y')])
                del d.trace[:]

    def test_hang_up_without_interest_is_silent(self):
        for one_pass in self.each():
            d, peer = self.channel()
            peer.close()
            d.want_read = False
            for _ in range(3):
                one_pass(0.001, self.map)
            self.assertEqual(d.trace, [])
            d.want_read = True
            one_pass(5, self.map)
            self.assertIn(('?', 'close'), d.trace)

    # behind its back

    def test_map_filled_and_emptied_by_hand(self):
        for one_pass in self.each():
            d, peer = self.channel()
            fd = d._fileno
            peer.send(b'1')
            one_pass(5, self.map)
            held = dict(self.map)
            self.map.clear()
            peer.send(b'2')
            one_pass(0.001, self.map)
            self.map.update(held)
            one_pass(5, self.map)
            self.assertIs(self.map.pop(fd), d)
            peer.send(b'3')
            one_pass(0.001, self.map)
            self.map.setdefault(fd, d)
            one_pass(5, self.map)
            del self.map[fd]
            self.map[fd] = d
            peer.send(b'4')
            one_pass(5, self.map)
            other = dict(self.map)
            peer.send(b'5')
            one_pass(5, other)
            self.assertEqual(b''.join(e[2] for e in d.trace), b'12345')
            d.close()

    def test_socket_map_replaced(self):
        saved = asyncore.socket_map
        try:
            for use_poll in (False, True):
                d, peer = self.channel()
                for new in ({}, dict(self.map), {}):
                    asyncore.socket_map = new
                    new.update(self.map)
                    peer.send(b'x')
                    asyncore.loop(5, use_poll, None, 1)
                    peer.send(b'y')
                    (asyncore.poll2 if use_poll else asyncore.poll)(5)
                    self.assertEqual([e[2] for e in d.trace], [b'x', b'y'])
                    del d.trace[:]
                asyncore.socket_map = {}
                made = asyncore.dispatcher()
                self.assertIs(made._map, asyncore.socket_map)
                d.close()
        finally:
            asyncore.socket_map = saved

    def test_socket_closed_outside(self):
        for name, one_pass in PASSES:
            with self.subTest(name):
                d, peer = self.channel()
                peer.send(b'x')
                one_pass(5, self.map)
                d.socket.close()
                if 'poll2' in name or 'with poll' in name:
                    one_pass(5, self.map)           # POLLNVAL
                    self.assertEqual(d.trace[1:], [('?', 'close')])
                    self.assertEqual(self.map, {})
                else:
                    with self.assertRaises(OSError) as caught:
                        one_pass(5, self.map)
                    self.assertEqual(caught.exception.errno, errno.EBADF)
                    self.assertEqual(len(self.map), 1)
                    self.map.clear()

    def test_number_reused_by_another_object(self):
        for one_pass in self.each():
            d, peer = self.channel()
            one_pass(0.001, self.map)
            number = d._fileno
            d.close()
            again, theirs = self.pair_at(number)
            other = Recorder(again, self.map)
            theirs.send(b'for the other')
            one_pass(5, self.map)
            self.assertEqual(other.trace, [('?', 'read', b'for the other')])
            self.assertEqual(d.trace, [])
            other.close()

    def test_number_reused_with_the_same_object_put_back(self):
        for one_pass in self.each():
            d, peer = self.channel()
            peer.send(b'first')
            one_pass(5, self.map)
            number = d._fileno
            d.socket.close()                    # the map does not change
            again, theirs = self.pair_at(number)
            again.setblocking(False)
            d.socket = again
            self.map[number] = d                # nor does this change it
            theirs.send(b'second')
            one_pass(5, self.map)
            self.assertEqual([e[2] for e in d.trace], [b'first', b'second'])
            d.close()

    def test_descriptor_replaced_under_the_socket(self):
        # dup2() onto it: the number, the object and the socket are the same, what is behind is not.
        for one_pass in self.each():
            d, peer = self.channel()
            peer.send(b'first')
            one_pass(5, self.map)
            ours, theirs = self.pair()
            os.dup2(ours.fileno(), d._fileno)
            theirs.send(b'second')
            one_pass(5, self.map)
            self.assertEqual([e[2] for e in d.trace], [b'first', b'second'])
            d.close()

    def test_one_descriptor_in_two_maps(self):
        for one_pass in self.each():
            d, peer = self.channel()
            other = {d._fileno: d}
            for map in (self.map, other, self.map):
                peer.send(b'x')
                one_pass(5, map)
            self.assertEqual(len(d.trace), 3)
            del other[d._fileno]
            one_pass(0, other)
            peer.send(b'x')
            one_pass(5, self.map)
            self.assertEqual(len(d.trace), 4)
            d.close()

    def test_duplicated_descriptor(self):
        # The file stays open behind the duplicate after the channel was closed.
        for one_pass in self.each():
            d, peer = self.channel()
            one_pass(0.001, self.map)
            with socket.socket(fileno=os.dup(d._fileno)) as duplicate:
                d.close()
                peer.send(b'x')
                quiet, quiet_peer = self.channel()
                one_pass(0.001, self.map)
                self.assertEqual((d.trace, quiet.trace), ([], []))
                again = Recorder(duplicate, self.map)
                one_pass(5, self.map)
                self.assertEqual(again.trace, [('?', 'read', b'x')])
                again.close()
                quiet.close()

    def test_regular_file(self):
        for one_pass in self.each():
            with tempfile.TemporaryFile() as file:
                file.write(b'content')
                file.flush()
                file.seek(0)
                trace = []

                class Reader(asyncore.file_dispatcher):
                    def writable(self):
                        return False

                    def handle_read(self):
                        trace.append(self.recv(100))

                    def handle_close(self):
                        trace.append('close')
                        self.close()

                reader = Reader(file, self.map)
                one_pass(5, self.map)
                self.assertEqual(trace, [b'content'])
                one_pass(5, self.map)               # the end is ready as well
                self.assertEqual(trace[1:], ['close', b''])

    def test_file_that_only_writes(self):
        for one_pass in self.each():
            with tempfile.TemporaryFile() as file:
                class Writer(asyncore.file_dispatcher):
                    def readable(self):
                        return False

                    def handle_write(self):
                        self.send(b'line')
                        self.close()

                Writer(file, self.map)
                one_pass(5, self.map)
                file.seek(0)
                self.assertEqual(file.read(), b'line')

    def test_forked_child(self):
        for one_pass in self.each():
            d, peer = self.channel()
            peer.send(b'before')
            one_pass(5, self.map)
            r, w = os.pipe()
            pid = os.fork()
            if pid == 0:
                # The child has a life of its own: what it opens is heard, what it closes is closed
                # for it alone.
                try:
                    asyncore.close_all(self.map)
                    child, child_peer = self.channel()
                    child_peer.send(b'child')
                    one_pass(5, self.map)
                    os.write(w, repr(child.trace).encode())
                    asyncore.close_all(self.map)
                finally:
                    os._exit(0)
            os.close(w)
            with open(r) as said:
                self.assertEqual(said.read(), repr([('?', 'read', b'child')]))
            os.waitpid(pid, 0)
            peer.send(b'after')
            one_pass(5, self.map)
            self.assertEqual([e[2] for e in d.trace], [b'before', b'after'])
            d.close()

    def test_fork_in_a_callback(self):
        for one_pass in self.each():
            class Forks(Recorder):
                def handle_read(self):
                    self.recv(9)
                    self.pid = os.fork()

            r, w = os.pipe()
            d, peer = self.channel(Forks)
            late, late_peer = self.channel()
            peer.send(b'x')
            one_pass(5, self.map)
            if d.pid == 0:
                try:
                    d.close()
                    late_peer.send(b'c')
                    one_pass(5, self.map)
                    os.write(w, late.trace[0][2])
                    late.close()
                finally:
                    os._exit(0)
            os.close(w)
            self.assertEqual(os.read(r, 9), b'c')
            os.close(r)
            os.waitpid(d.pid, 0)
            late_peer.send(b'p')
            one_pass(5, self.map)
            self.assertEqual(late.trace, [('?', 'read', b'p')])
            d.close()
            late.close()

    # inside callbacks

    def test_nested_passes(self):
        for one_pass in self.each():
            trace = []

            class Nests(Recorder):
                def handle_read(self):
                    self.note('in', self.recv(9))
                    for _ in range(3):
                        one_pass(0, self._map)
                    self.note('out')

            a, peer_a = self.channel(Nests, name='a', trace=trace)
            b, peer_b = self.channel(name='b', trace=trace)
            c, peer_c = self.channel(name='c', trace=trace)
            for peer in (peer_a, peer_b, peer_c):
                peer.send(b'1')
            one_pass(5, self.map)
            # b and c are served inside; outside their turn comes again, and finds nothing.
            self.assertEqual(trace[:4], [('a', 'in', b'1'), ('b', 'read', b'1'),
                                         ('c', 'read', b'1'), ('a', 'out')])
            for later in trace[4:]:
                self.assertIn(later[1], ('error', 'close'))

    def test_nested_passes_over_other_maps(self):
        for one_pass in self.each():
            inner = {}
            ours, theirs = self.pair()
            n = Recorder(ours, inner, name='inner')

            class Nests(Recorder):
                def handle_read(self):
                    self.note('read', self.recv(9))
                    theirs.send(b'i')
                    one_pass(5, inner)

            a, peer_a = self.channel(Nests, name='a')
            b, peer_b = self.channel(name='b')
            peer_a.send(b'1')
            peer_b.send(b'2')
            one_pass(5, self.map)
            self.assertEqual((a.trace, n.trace, b.trace), (
                [('a', 'read', b'1')], [('inner', 'read', b'i')], [('b', 'read', b'2')]))

    def test_map_changed_in_a_predicate(self):
        for one_pass in self.each():
            class Changes(Recorder):
                action = None

                def readable(self):
                    if self.action:
                        self.action()
                        self.action = None
                    return True

            a, peer_a = self.channel(Changes, name='a')
            b, peer_b = self.channel(name='b')
            peer_a.send(b'x')
            peer_b.send(b'x')
            # b leaves while a is asked: its event has nobody to go to.
            fd = b._fileno
            a.action = lambda: self.map.pop(fd)
            one_pass(5, self.map)
            self.assertEqual((a.trace, b.trace), ([('a', 'read', b'x')], []))
            # and comes back: but the pass does not know of it yet
            peer_a.send(b'y')
            a.action = lambda: self.map.__setitem__(fd, b)
            one_pass(5, self.map)
            self.assertEqual((a.trace[1:], b.trace), ([('a', 'read', b'y')], []))
            one_pass(5, self.map)
            self.assertEqual(b.trace, [('b', 'read', b'x')])
            # everything goes
            a.action = self.map.clear
            peer_a.send(b'z')
            one_pass(0.001, self.map)
            self.assertEqual(len(a.trace), 2)
            a.close()
            b.close()

    def test_closed_in_a_predicate(self):
        for one_pass in self.each():
            class Closes(Recorder):
                def writable(self):
                    if self.name == 'a':
                        self.other.close()
                        self.other = None
                        self.name = 'done'
                    return False

            a, peer_a = self.channel(Closes, name='a')
            a.other, peer_b = self.channel(name='b')
            trace = a.other.trace
            peer_a.send(b'x')
            peer_b.send(b'x')
            try:
                one_pass(5, self.map)
            except (OSError, ValueError):
                # The descriptor is closed: the classic select() refuses it, and so may we.
                pass
            for _ in range(3):
                if not a.trace:
                    one_pass(5, self.map)
            self.assertEqual(a.trace, [('done', 'read', b'x')])
            self.assertEqual([e for e in trace if e[1] == 'read'], [])

    def test_channels_come_and_go_in_callbacks(self):
        for one_pass in self.each():
            served = []
            case = self

            class Churn(Recorder):
                def handle_read(self):
                    self.recv(9)
                    served.append(self)
                    peers.remove(self.peer)
                    self.peer.close()
                    self.close()
                    if len(served) < 200:
                        make()

            peers = []

            def make():
                ours, theirs = socket.socketpair()
                d = Churn(ours, case.map)
                d.peer = theirs
                peers.append(theirs)
                theirs.send(b'x')

            for _ in range(20):
                make()
            passes = 0
            while self.map:
                one_pass(5, self.map)
                passes += 1
                self.assertLess(passes, 60)
            self.assertEqual((len(served), len(set(served)), peers), (219, 219, []))

    # parts replaced

    def test_select_replaced(self):
        class Select:
            """Says what select() is asked, and that everything is ready."""
            POLLIN = select.POLLIN
            calls = []

            def select(self, r, w, e, timeout):
                self.calls.append((r, w, e, timeout))
                return r, w, []

        d, peer = self.channel()
        d.want_write = True
        d.handle_read = lambda: d.note('read')
        saved = asyncore.select
        asyncore.select = replaced = Select()
        try:
            asyncore.poll(1.5, self.map)
            asyncore.loop(1.5, False, self.map, 1)
            asyncore.loop(1.5, True, self.map, 1)       # it has no poll
        finally:
            asyncore.select = saved
        fd = d._fileno
        self.assertEqual(replaced.calls, [([fd], [fd], [fd], 1.5)] * 3)
        self.assertEqual(d.trace, [('?', 'read'), ('?', 'write')] * 3)
        # A listener is never asked for writing, but counts as wanting something.
        d.accepting, d.want_read = True, False
        asyncore.select = replaced
        try:
            asyncore.poll(2.5, self.map)
        finally:
            asyncore.select = saved
        self.assertEqual(replaced.calls[3:], [([], [], [fd], 2.5)])

    def test_functions_of_select_replaced(self):
        # As gevent does.
        calls = []

        def green_select(*args):
            calls.append('select')
            return original_select(*args)

        class GreenPoll:
            def __init__(self):
                calls.append('poll')
                self.poller = original_poll()

            def __getattr__(self, name):
                return getattr(self.poller, name)

        d, peer = self.channel()
        original_select, original_poll = select.select, select.poll
        select.select, select.poll = green_select, GreenPoll
        try:
            for name, one_pass in PASSES:
                peer.send(b'x')
                one_pass(5, self.map)
        finally:
            select.select, select.poll = original_select, original_poll
        self.assertEqual(calls, ['select', 'poll', 'select', 'poll'])
        self.assertEqual(d.trace, [('?', 'read', b'x')] * 4)

    def test_time_and_socket_replaced(self):
        class Time:
            slept = []

            def sleep(self, seconds):
                self.slept.append(seconds)

            def __getattr__(self, name):
                return getattr(saved_time, name)

        class Socket:
            made = []

            def socket(self, *args):
                self.made.append(args)
                return ours

            def __getattr__(self, name):
                return getattr(saved_socket, name)

        ours, theirs = self.pair()
        saved_time, saved_socket = asyncore.time, asyncore.socket
        asyncore.time, asyncore.socket = Time(), Socket()
        try:
            d = Recorder(map=self.map)
            d.create_socket(1, 2)
            self.assertEqual(Socket.made, [(1, 2)])
            d.want_read = False
            asyncore.poll(123.0, self.map)
            asyncore.loop(456.0, False, self.map, 2)
            self.assertEqual(Time.slept, [123.0, 456.0, 456.0])
        finally:
            asyncore.time, asyncore.socket = saved_time, saved_socket

    def test_functions_of_the_module_replaced(self):
        d, peer = self.channel()
        calls = []
        saved = {name: getattr(asyncore, name) for name in ('read', 'readwrite', 'poll', 'poll2')}

        def spy(name):
            def called(*args):
                calls.append(name)
                return saved[name](*args)
            return called

        try:
            for name in ('read', 'readwrite'):
                setattr(asyncore, name, spy(name))
            for name, one_pass in PASSES:
                peer.send(b'x')
                one_pass(5, self.map)
            self.assertEqual(calls, ['read', 'readwrite'] * 2)
            del calls[:]
            for name in ('poll', 'poll2'):
                setattr(asyncore, name, spy(name))
            peer.send(b'x')
            asyncore.loop(5, False, self.map, 1)
            peer.send(b'x')
            asyncore.loop(5, True, self.map, 1)
            self.assertEqual(calls, ['poll', 'read', 'poll2', 'readwrite'])
        finally:
            for name, value in saved.items():
                setattr(asyncore, name, value)

    # odds and ends

    def test_arguments_of_loop(self):
        self.assertIsNone(asyncore.loop(map={}))
        d, peer = self.channel()
        asyncore.loop(0.001, count=3, map=self.map)
        asyncore.loop(100, count=0, map=self.map)
        asyncore.loop(100, count=-1, map=self.map)
        for one_pass in (PASSES[0][1], PASSES[2][1]):
            self.assertRaises(ValueError, one_pass, -1, self.map)
        peer.send(b'x')
        asyncore.poll(None, self.map)
        peer.send(b'x')
        asyncore.poll2(None, self.map)
        peer.send(b'x')
        asyncore.loop(None, True, self.map, 1)
        self.assertEqual(len(d.trace), 3)
        asyncore.poll2(timeout=0, map=self.map)
        asyncore.poll3(0, self.map)

    def test_loop_ends_when_the_map_is_empty(self):
        for use_poll in (False, True):
            d, peer = self.channel()
            peer.send(b'x')
            peer.close()
            asyncore.loop(60, use_poll, self.map)
            self.assertEqual([e[1] for e in d.trace if e[1] == 'close'][:1], ['close'])

    def test_a_map_that_is_no_dict(self):
        class Map(dict):
            gets = 0

            def get(self, *args):
                Map.gets += 1
                return dict.get(self, *args)

            def items(self):
                return [(fd, obj) for fd, obj in dict.items(self) if obj is not hidden]

        ours, theirs = self.pair()
        map = Map()
        hidden = None
        d = Recorder(ours, map)
        theirs.send(b'x')
        for name, one_pass in PASSES:
            with self.subTest(name):
                hidden = d
                one_pass(0.001, map)
                self.assertEqual(d.trace, [])
                hidden = None
                one_pass(5, map)
                self.assertEqual(d.trace.pop(), ('?', 'read', b'x'))
                self.assertGreater(Map.gets, 0)
                theirs.send(b'x')

    def test_the_wait_is_as_long_as_asked(self):
        import time
        d, peer = self.channel()
        for name, one_pass in PASSES:
            began = time.monotonic()
            one_pass(A_WHILE, self.map)
            self.assertGreaterEqual(time.monotonic() - began, A_WHILE - 0.005, name)


if __name__ == '__main__':
    unittest.main()
