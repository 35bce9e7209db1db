# SPDX-License-Identifier: MIT
"""call_later() and wakeup(): what is added to the classic module."""

import asyncore
import contextlib
import gc
import io
import os
import select
import signal
import threading
import time
import unittest
import weakref

from support import DEADLINE, Case, python

LOOPS = (('select', False), ('poll', True))


class Later(Case):

    def test_order_and_times(self):
        for name, use_poll in LOOPS:
            with self.subTest(name):
                done = []
                began = time.monotonic()
                handles = [asyncore.call_later(delay, lambda *args: done.append(
                    (args, time.monotonic() - began)), i, delay)
                           for i, delay in enumerate((0.03, 0.01, 0.02, 0.01, 0))]
                # By when they are due: on a busy machine some time lies between them.
                order = sorted(range(5), key=lambda i: (handles[i].when(), i))
                asyncore.loop(DEADLINE, use_poll)
                self.assertEqual([args[0] for args, _ in done], order)
                for (_, delay), took in done:
                    self.assertGreaterEqual(took, delay)

    def test_loop_lives_while_a_call_is_to_come(self):
        for name, use_poll in LOOPS:
            done = []
            asyncore.call_later(0.01, done.append, 1)
            asyncore.loop(DEADLINE, use_poll)
            self.assertEqual(done, [1])
            handle = asyncore.call_later(1000, done.append, 2)
            handle.cancel()
            asyncore.loop(DEADLINE, use_poll)           # returns at once
            self.assertEqual(done, [1])

    def test_beside_channels(self):
        for name, use_poll in LOOPS:
            with self.subTest(name):
                d, peer = self.channel()
                asyncore.call_later(0.01, peer.send, b'x', map=self.map)
                asyncore.call_later(0.02, peer.close, map=self.map)
                asyncore.loop(DEADLINE, use_poll, self.map)
                self.assertEqual(d.trace[0], ('?', 'read', b'x'))
                self.assertIn(('?', 'close'), d.trace)

    def test_cancel(self):
        done = []
        first = asyncore.call_later(0, lambda: second.cancel())
        second = asyncore.call_later(0, done.append, 'second')
        third = asyncore.call_later(0, done.append, 'third')
        asyncore.loop(DEADLINE)
        self.assertEqual(done, ['third'])
        for handle in (first, second, third):
            self.assertTrue(handle.cancelled())
            handle.cancel()
            self.assertIn('over', repr(handle))
        handle = asyncore.call_later(5, done.append)
        self.assertFalse(handle.cancelled())
        self.assertGreater(handle.when(), time.monotonic())
        self.assertIn('append', repr(handle))
        handle.cancel()

    def test_calls_from_calls_wait_for_the_next_pass(self):
        passes = []

        class Map(dict):
            def items(self):
                passes.append('pass')
                return dict.items(self)

        map = Map(self.map)
        d, peer = self.channel()
        map.update(self.map)

        def again(n):
            passes.append(n)
            if n:
                asyncore.call_later(-1, again, n - 1, map=map)
            else:
                d.close()
                map.clear()

        asyncore.call_later(0, again, 3, map=map)
        asyncore.loop(DEADLINE, False, map)
        self.assertEqual(passes, ['pass', 3, 'pass', 2, 'pass', 1, 'pass', 0])

    def test_each_map_has_its_own(self):
        done = []
        mine = {}
        asyncore.call_later(0, done.append, 'mine', map=mine)
        asyncore.call_later(0, done.append, 'default')
        asyncore.loop(DEADLINE)
        self.assertEqual(done, ['default'])
        asyncore.loop(DEADLINE, map=mine)
        self.assertEqual(done, ['default', 'mine'])
        # The module's own map is the one it has now.
        asyncore.call_later(0, done.append, 'later')
        saved = asyncore.socket_map
        asyncore.socket_map = {}
        try:
            asyncore.loop(DEADLINE)
        finally:
            asyncore.socket_map = saved
        self.assertEqual(done[2:], ['later'])

    def test_count(self):
        done = []
        asyncore.call_later(0, done.append, 1)
        later = asyncore.call_later(1000, done.append, 2)
        asyncore.loop(0.001, count=2)
        self.assertEqual(done, [1])
        later.cancel()

    def test_exceptions(self):
        done = []

        def fails():
            raise ValueError('boom')

        asyncore.call_later(0, fails)
        asyncore.call_later(0, done.append, 1)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            asyncore.loop(DEADLINE)
        self.assertRegex(out.getvalue(), r"^error: uncaptured python exception in timer <function "
                                         r".*fails.*> \(<class 'ValueError'>:boom \[.*\]\)\n$")
        self.assertEqual(done, [1])
        for raised in (asyncore.ExitNow, KeyboardInterrupt, SystemExit):
            def leaves():
                raise raised
            asyncore.call_later(0, leaves)
            asyncore.call_later(0, done.append, raised)
            self.assertRaises(raised, asyncore.loop, DEADLINE)
            asyncore.loop(DEADLINE)
            self.assertEqual(done[-1], raised)

    def test_nothing_is_kept(self):
        class Thing:
            pass

        things = [Thing(), Thing(), Thing()]
        alive = [weakref.ref(thing) for thing in things]
        map = {}
        asyncore.call_later(0, id, things[0])
        asyncore.call_later(0, id, things[1], map=map)
        handle = asyncore.call_later(1000, id, things[2])
        handle.cancel()
        del things
        asyncore.loop(DEADLINE)
        asyncore.loop(DEADLINE, map=map)
        gc.collect()
        self.assertEqual([ref() for ref in alive], [None] * 3)
        self.assertEqual(asyncore._timers, {})

    def test_from_another_thread(self):
        for name, use_poll in LOOPS:
            with self.subTest(name):
                d, peer = self.channel()
                began = time.monotonic()
                thread = threading.Timer(
                    0.05, lambda: asyncore.call_later(0, d.close, map=self.map))
                thread.start()
                asyncore.loop(DEADLINE, use_poll, self.map)
                thread.join()
                self.assertLess(time.monotonic() - began, DEADLINE / 2)

    def test_many(self):
        count = [0]

        def tick():
            count[0] += 1

        handles = [asyncore.call_later((i * 7919) % 1000 / 1e5, tick) for i in range(5000)]
        for handle in handles[::2]:
            handle.cancel()
        asyncore.loop(DEADLINE)
        self.assertEqual(count, [2500])

    def test_waits_do_not_spin(self):
        calls = []

        class Counted:
            def __getattr__(self, name):
                if name in ('select', 'poll'):
                    calls.append(name)
                return getattr(select, name)

        for name, use_poll in LOOPS:
            with self.subTest(name):
                d, peer = self.channel()
                done = []
                asyncore.call_later(0.0515, done.append, 1, map=self.map)
                passes = 0
                while not done:
                    asyncore.loop(DEADLINE, use_poll, self.map, 1)
                    passes += 1
                self.assertLessEqual(passes, 2)
                d.close()

    def test_custom_poll_functions(self):
        saved = asyncore.poll
        waits = []

        def custom(timeout, map):
            waits.append(timeout)
            return saved(timeout, map)

        done = []
        d, peer = self.channel()
        asyncore.poll = custom
        try:
            asyncore.call_later(0.01, done.append, 1, map=self.map)
            asyncore.loop(DEADLINE, False, self.map, 1)
        finally:
            asyncore.poll = saved
        self.assertEqual(done, [1])
        self.assertLess(waits[0], 1)
        asyncore.poll = custom
        try:
            asyncore.call_later(0.01, done.append, 2)
            asyncore.loop(DEADLINE)             # an empty map
        finally:
            asyncore.poll = saved
        self.assertEqual(done, [1, 2])


class Wakeup(Case):

    def test_from_a_thread(self):
        for name, use_poll in LOOPS:
            with self.subTest(name):
                d, peer = self.channel()
                began = time.monotonic()
                thread = threading.Timer(0.05, asyncore.wakeup)
                thread.start()
                asyncore.loop(DEADLINE, use_poll, self.map, 1)
                took = time.monotonic() - began
                self.assertLess(took, DEADLINE / 2)
                thread.join()
                self.assertEqual(d.trace, [])
                self.assertEqual(list(self.map), [d._fileno])
                d.close()

    def test_before_the_wait_is_not_lost(self):
        for name, use_poll in LOOPS:
            d, peer = self.channel()
            asyncore.wakeup()
            began = time.monotonic()
            asyncore.loop(DEADLINE, use_poll, self.map, 1)
            self.assertLess(time.monotonic() - began, DEADLINE / 2)
            # once, and not for ever
            began = time.monotonic()
            asyncore.loop(0.05, use_poll, self.map, 1)
            self.assertGreaterEqual(time.monotonic() - began, 0.04)
            d.close()

    def test_none_is_lost(self):
        # A queue filled by a thread, drained by a channel's predicate: the classic need.
        for name, use_poll in LOOPS:
            with self.subTest(name):
                queue, got = [], []

                class Drains(asyncore.dispatcher):
                    def readable(self):
                        while queue:
                            got.append(queue.pop(0))
                        return False

                    writable = readable

                ours, peer = self.pair()
                d = Drains(ours, self.map)

                def fill():
                    for i in range(500):
                        queue.append(i)
                        asyncore.wakeup()
                        while queue and not stop.is_set():
                            time.sleep(0)

                stop = threading.Event()
                thread = threading.Thread(target=fill)
                thread.start()
                end = time.monotonic() + DEADLINE
                while len(got) < 500 and time.monotonic() < end:
                    asyncore.loop(DEADLINE, use_poll, self.map, 1)
                stop.set()
                thread.join()
                self.assertEqual(got, list(range(500)))
                d.close()

    def test_several_loops(self):
        maps = []
        ended = []

        def serve(map):
            asyncore.loop(DEADLINE, False, map, 1)
            ended.append(map)

        threads = []
        for _ in range(3):
            ours, peer = self.pair()
            map = {}
            asyncore.dispatcher(ours, map).writable = lambda: False
            maps.append(map)
            threads.append(threading.Thread(target=serve, args=(map,)))
        for thread in threads:
            thread.start()
        end = time.monotonic() + DEADLINE
        while len(ended) < 3 and time.monotonic() < end:
            asyncore.wakeup()
            time.sleep(0.01)
        for thread in threads:
            thread.join()
        self.assertEqual(len(ended), 3)

    def test_from_a_signal_handler(self):
        d, peer = self.channel()
        asyncore.wakeup()
        asyncore.loop(DEADLINE, map=self.map, count=1)
        saved = signal.signal(signal.SIGALRM, lambda *args: asyncore.wakeup())
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            began = time.monotonic()
            asyncore.loop(DEADLINE, map=self.map, count=1)
            self.assertLess(time.monotonic() - began, DEADLINE / 2)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, saved)

    def test_no_descriptor_before_it_is_used(self):
        done = python(
            'import asyncore, os, socket\n'
            'a, b = socket.socketpair()\n'
            'd = asyncore.dispatcher(a)\n'
            'd.writable = lambda: False\n'
            'def files(): return len(os.listdir("/proc/self/fd"))\n'
            'before = files()\n'
            'asyncore.poll(0)\n'
            'asyncore.loop(0.01, count=2)\n'
            'asyncore.call_later(0, print, "called")\n'
            'asyncore.loop(0.01, count=1)\n'
            # The extension keeps one epoll set.
            'extension = asyncore.poll2 and "_asyncore" in __import__("sys").modules\n'
            'print(files() - before <= (1 if extension else 0), list(asyncore.socket_map) == [a.fileno()])\n'
            'd.close()')
        self.assertEqual(done.stdout, 'called\nTrue True\n', done.stderr)

    def test_pipes_go_with_their_threads(self):
        def files():
            return len(os.listdir('/proc/self/fd'))

        d, peer = self.channel()

        def once():
            asyncore.loop(0.001, map=self.map, count=1)

        once()
        counts = []
        for _ in range(5):
            thread = threading.Thread(target=once)
            thread.start()
            thread.join()
            gc.collect()
            counts.append(files())
        self.assertEqual(len(set(counts[1:])), 1, counts)

    def test_daemons_close_all_descriptors(self):
        done = python(
            'import asyncore, os, socket, threading, time\n'
            'asyncore.wakeup()\n'
            'a, b = socket.socketpair()\n'
            'd = asyncore.dispatcher(a)\n'
            'd.writable = lambda: False\n'
            'asyncore.loop(0.01, count=2)\n'
            'os.closerange(3, 200)\n'
            'asyncore.socket_map.clear()\n'
            'pairs = [socket.socketpair() for _ in range(5)]\n'
            'for x, y in pairs: y.send(b"mine")\n'
            'c = asyncore.dispatcher(pairs[4][0])\n'
            'c.writable = lambda: False\n'
            'c.handle_read = lambda: print(c.recv(9))\n'
            'threading.Timer(0.05, asyncore.wakeup).start()\n'
            'end = time.monotonic() + 0.3\n'
            'while time.monotonic() < end: asyncore.loop(0.05, count=1)\n'
            'print([x.recv(9) for x, y in pairs[:4]])\n'
            'for x, y in pairs:\n'
            '    y.setblocking(False)\n'
            '    try: print("a byte that nobody sent", y.recv(9))\n'
            '    except BlockingIOError: pass\n'
            'os._exit(0)', options=['-u'])
        self.assertEqual(done.stdout, "b'mine'\n[%s]\n" % ', '.join(["b'mine'"] * 4), done.stderr)

    def test_after_fork(self):
        done = python(
            'import asyncore, os, socket, threading, time\n'
            'asyncore.wakeup()\n'
            'a, b = socket.socketpair()\n'
            'd = asyncore.dispatcher(a)\n'
            'd.writable = lambda: False\n'
            'asyncore.loop(0.01, count=2)\n'
            'pid = os.fork()\n'
            'if pid == 0:\n'
            '    asyncore.loop(0.01, count=1)\n'
            '    began = time.monotonic()\n'
            '    asyncore.loop(0.5, count=1)\n'
            '    os._exit(0 if time.monotonic() - began > 0.4 else 1)\n'
            'threading.Timer(0.1, asyncore.wakeup).start()\n'
            'began = time.monotonic()\n'
            'asyncore.loop(50, count=1)\n'
            'print(time.monotonic() - began < 25, os.waitpid(pid, 0)[1])\n'
            'd.close()')
        self.assertEqual(done.stdout, 'True 0\n', done.stderr)


if __name__ == '__main__':
    unittest.main()
