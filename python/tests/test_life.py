# SPDX-License-Identifier: MIT
"""Lives and deaths: references, cycles, del in callbacks, the interpreter's end; a second import."""

import asyncore
import gc
import importlib.util
import os
import select
import socket
import sys
import time
import types
import unittest
import weakref

from support import PASSES, Case, Recorder, python


class References(Case):

    def test_closed_channels_are_freed_at_once(self):
        gc.disable()
        self.addCleanup(gc.enable)
        for name, one_pass in PASSES:
            with self.subTest(name):
                class Quiet(asyncore.dispatcher_with_send):
                    def handle_read(self):
                        if not self.recv(9):
                            return
                        self.send(b'answer')

                    def handle_close(self):
                        self.close()

                d, peer = self.channel(Quiet)
                alive = weakref.ref(d)
                del d
                peer.send(b'x')
                one_pass(5, self.map)
                self.assertIsNotNone(alive())
                peer.close()
                one_pass(5, self.map)
                self.assertEqual(self.map, {})
                self.assertIsNone(alive())

    def test_taken_out_by_hand(self):
        gc.disable()
        self.addCleanup(gc.enable)
        for name, one_pass in PASSES:
            d, peer = self.channel()
            alive = weakref.ref(d)
            one_pass(0.001, self.map)
            del d
            self.map.clear()
            self.assertIsNone(alive(), name)

    def test_cycles_are_collected(self):
        for name, one_pass in PASSES:
            d, peer = self.channel()
            d.me = d
            d.handler = d.handle_read
            alive = weakref.ref(d)
            peer.send(b'x')
            one_pass(5, self.map)
            d.close()
            del d
            gc.collect()
            self.assertIsNone(alive(), name)
            map = {}
            ours, theirs = self.pair()
            d = Recorder(ours, map)
            map['self'] = map
            d.own = map
            alive = weakref.ref(d)
            del d, map, ours
            gc.collect()
            self.assertIsNone(alive(), name)

    def test_del_in_callbacks(self):
        for name, one_pass in PASSES:
            with self.subTest(name):
                deleted = []

                class Mortal(Recorder):
                    def __del__(self):
                        deleted.append(self.name)

                class Drops(Mortal):
                    def handle_read(self):
                        self.recv(9)
                        # The last references of the other and of ourselves go here.
                        self._map.clear()
                        holder.clear()
                        gc.collect()

                holder, peers = [], []
                for cls, n in ((Drops, 'a'), (Mortal, 'b'), (Mortal, 'c')):
                    d, peer = self.channel(cls, name=n)
                    holder.append(d)
                    peers.append(peer)
                    peer.send(b'x')
                    del d
                one_pass(5, self.map)
                gc.collect()
                self.assertEqual(sorted(deleted), ['a', 'b', 'c'])

    def test_del_that_opens_and_polls(self):
        case = self
        for name, one_pass in PASSES:
            with self.subTest(name):
                seen = []

                class Rises(Recorder):
                    def __del__(self):
                        one_pass(0, case.map)
                        seen.append('del')

                d, peer = self.channel(Rises)
                other, other_peer = self.channel()
                other_peer.send(b'x')
                del self.map[d._fileno]
                d.socket.close()
                del d
                self.assertEqual((seen, other.trace), (['del'], [('?', 'read', b'x')]))
                other.close()

    def test_nothing_is_lost_or_kept_over_many_rounds(self):
        """A count of references where there is one, of objects elsewhere."""
        case = self

        class Echo(asyncore.dispatcher_with_send):
            def handle_read(self):
                self.send(self.recv(100))
                if self.boom:
                    raise ValueError('boom')

            def log_info(self, *args, **more):
                pass

            def handle_close(self):
                self.close()

        def round_trip(one_pass):
            map = {}
            listener = asyncore.dispatcher(map=map)
            listener.create_socket()
            listener.bind(('127.0.0.1', 0))
            listener.listen(5)
            made = []
            listener.handle_accepted = lambda sock, addr: made.append(Echo(sock, map))
            client = Recorder(map=map)
            client.create_socket()
            client.want_write = True
            client.connect(listener.socket.getsockname())
            case.until(lambda: made and client.connected, one_pass, map)
            client.want_write = False
            for boom in (False, True):
                made[0].boom = boom
                client.send(b'x')
                case.until(lambda: len(client.trace) > 2, one_pass, map)
                del client.trace[2:]
            made[0].out_buffer = b''
            case.until(lambda: not client.connected, one_pass, map)
            listener.close()
            case.assertEqual(map, {})
            # the client's socket closed outside, and not at all
            ours, theirs = socket.socketpair()
            map[ours.fileno()] = asyncore.dispatcher(ours, map)
            theirs.close()
            map.clear()
            ours.close()
            inner = asyncore.call_later(0, len, 'x', map=map)
            asyncore.loop(1, False, map)
            case.assertTrue(inner.cancelled())

        count = getattr(sys, 'gettotalrefcount', lambda: len(gc.get_objects()))
        for name, one_pass in PASSES:
            with self.subTest(name):
                counts = []
                for rounds in range(6):
                    for _ in range(20):
                        round_trip(one_pass)
                    gc.collect()
                    counts.append(count())
                # Caches may fill in the first rounds; one lost a round would be 20 each time.
                growth = [b - a for a, b in zip(counts[2:], counts[3:])]
                self.assertLess(min(growth), 10, counts)

    def test_descriptors_are_given_back(self):
        def files():
            return len(os.listdir('/proc/self/fd'))

        for name, one_pass in PASSES:
            one_pass(0, dict([(self.channel()[0]._fileno, None)][:0]))
            before = None
            for _ in range(30):
                d, peer = self.channel()
                peer.send(b'x')
                one_pass(5, self.map)
                d.close()
                peer.close()
                if before is None:
                    before = files()
            self.assertEqual(files(), before, name)


class End(Case):

    def test_interpreter_ends_with_live_channels(self):
        for use_poll in (False, True):
            done = python(
                'import asyncore, socket, sys, asynchat\n'
                'pairs = [socket.socketpair() for _ in range(50)]\n'
                'class D(asyncore.dispatcher_with_send):\n'
                '    def __del__(self):\n'
                '        self.del_channel()\n'
                'channels = [D(a) for a, b in pairs] + [asynchat.async_chat(b) for a, b in pairs]\n'
                'for c in channels: c.me = c; c.terminator = b"\\n"\n'
                'asynchat.async_chat.collect_incoming_data = lambda self, data: None\n'
                'channels[0].out_buffer = b"x" * 100000\n'
                'channels[0].send(b"y")\n'
                'channels[3].handle_write = channels[4].handle_write = lambda: None\n'
                'asyncore.call_later(1000, print, "never")\n'
                'asyncore.loop(0.01, %r, None, 3)\n'
                'print("end")' % use_poll, options=['-X', 'dev', '-W', 'ignore::ResourceWarning'])
            self.assertEqual((done.stdout, done.returncode), ('end\n', 0), done.stderr)
            self.assertNotIn('Fatal', done.stderr)

    def test_interpreter_ends_inside_a_pass(self):
        for use_poll in (False, True):
            done = python(
                'import asyncore, socket, sys\n'
                'a, b = socket.socketpair()\n'
                'class D(asyncore.dispatcher):\n'
                '    def handle_read(self):\n'
                '        self.recv(9)\n'
                '        asyncore.call_later(0, sys.exit, 3)\n'
                '    def writable(self): return False\n'
                'd = D(a)\n'
                'b.send(b"x")\n'
                'asyncore.loop(5, %r)' % use_poll, options=['-X', 'dev', '-W', 'ignore'])
            self.assertEqual((done.returncode, done.stderr), (3, ''))

    def test_interpreter_ends_with_a_loop_in_a_daemon_thread(self):
        for use_poll in (False, True):
            done = python(
                'import asyncore, socket, threading, time\n'
                'a, b = socket.socketpair()\n'
                'd = asyncore.dispatcher(a)\n'
                'd.writable = lambda: False\n'
                'threading.Thread(target=asyncore.loop, args=(0.01, %r), daemon=True).start()\n'
                'time.sleep(0.1)\n'
                'print("end")' % use_poll)
            self.assertEqual((done.stdout, done.returncode), ('end\n', 0), done.stderr)


class SecondImport(Case):
    """Copies of the module, made by executing its source again, share nothing."""

    def copy(self, name, **replaced):
        spec = importlib.util.spec_from_file_location(name, asyncore.__file__)
        module = importlib.util.module_from_spec(spec)
        saved = {key: sys.modules[key] for key in replaced}
        sys.modules.update(replaced)
        try:
            spec.loader.exec_module(module)
        finally:
            sys.modules.update(saved)
        return module

    def test_two_copies(self):
        other = self.copy('asyncore_again')
        self.assertIsNot(other.dispatcher, asyncore.dispatcher)
        self.assertIsNot(other.socket_map, asyncore.socket_map)
        traces = {}
        peers = []
        channels = []
        for module in (asyncore, other, asyncore, other):
            class D(module.dispatcher):
                trace = traces.setdefault(module, [])

                def writable(self):
                    return False

                def handle_read(self):
                    self.trace.append(self.recv(9))

            ours, theirs = self.pair()
            channels.append(D(ours))
            peers.append(theirs)
        for use_poll in (False, True):
            for i, peer in enumerate(peers):
                peer.send(b'%d' % i)
            asyncore.loop(5, use_poll, count=1)
            self.assertEqual((traces[asyncore], traces[other]), ([b'0', b'2'], []))
            other.loop(5, use_poll, count=1)
            self.assertEqual((traces[asyncore], traces[other]), ([b'0', b'2'], [b'1', b'3']))
            del traces[asyncore][:], traces[other][:]
        # Channels of one copy in a map of the other work, too.
        peers[0].send(b'x')
        peers[1].send(b'y')
        both = dict(asyncore.socket_map)
        both.update(other.socket_map)
        other.poll2(5, both)
        self.assertEqual((traces[asyncore], traces[other]), ([b'x'], [b'y']))
        for channel in channels:
            channel.close()
        self.assertEqual((asyncore.socket_map, other.socket_map), ({}, {}))

    def test_a_copy_with_other_modules(self):
        # As green libraries make it.
        calls = []

        class Green(types.ModuleType):
            def __getattr__(self, name):
                calls.append(name)
                return getattr(self.original, name)

        green = {}
        for original in (select, socket, time):
            module = Green(original.__name__)
            module.original = original
            green[original.__name__] = module

        def green_select(*args):
            calls.append('green select')
            return select.select(*args)

        green['select'].select = green_select
        other = self.copy('green_asyncore', **green)
        self.assertIs(other.select, green['select'])
        self.assertIs(asyncore.select, select)

        class D(other.dispatcher):
            got = b''

            def writable(self):
                return False

            def handle_read(self):
                D.got = self.recv(9)

        ours, theirs = self.pair()
        d = D(ours)
        theirs.send(b'x')
        del calls[:]
        other.loop(5, count=1)
        self.assertEqual(D.got, b'x')
        self.assertIn('green select', calls)
        theirs.send(b'y')
        other.poll2(5)
        self.assertEqual(D.got, b'y')
        self.assertIn('poll', calls)
        d.create_socket()
        self.assertIn('socket', calls)
        d.close()
        ours.close()
        before = len(calls)
        self.assertEqual(asyncore.poll(0), None)
        self.assertEqual(len(calls), before)

    def test_in_other_interpreters(self):
        """What the extension keeps is the main interpreter's: the others have the Python text."""
        done = python("""if True:
            import asyncore, sys
            try:
                import _interpreters as interpreters
            except ImportError:
                import _xxsubinterpreters as interpreters
            code = 'import asyncore, sys; print("_asyncore" in sys.modules, type(asyncore.read).__name__)'
            # Those that share the lock are the ones that may load any extension.
            for options in ((), ('legacy',), {'isolated': False}):
                try:
                    if isinstance(options, dict):
                        made = interpreters.create(**options)
                    else:
                        made = interpreters.create(*options)
                except TypeError:
                    continue
                failed = interpreters.run_string(made, code)
                assert not failed, failed
                interpreters.destroy(made)
            print('_asyncore' in sys.modules)
            """)
        lines = done.stdout.splitlines()
        self.assertEqual(done.stderr, '')
        self.assertEqual(set(lines[:-1]), {'False function'})
        self.assertEqual(lines[-1], str('_asyncore' in sys.modules))

    def test_copies_come_and_go(self):
        alive = None
        for _ in range(5):
            module = self.copy('passing')
            ours, theirs = self.pair()
            d = module.dispatcher(ours)
            module.loop(0, count=1)
            d.close()
            alive = weakref.ref(module)
            del module, d
            gc.collect()
        self.assertIsNone(alive())


if __name__ == '__main__':
    unittest.main()
