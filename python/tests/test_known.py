# SPDX-License-Identifier: MIT
"""Predicates that the extension knows without calling them, and attributes that it finds without
looking: nothing of that may show."""

import builtins
import collections
import errno
import functools
import select
import socket
import struct
import sys
import traceback
import types
import unittest

import asyncore
from support import Case

BODIES = ['True', 'False', 'self.x', 'not self.x', 'bool(self.x)', 'len(self.x)', 'len(self.x) > 0',
          'len(self.x) != 0', 'bool(len(self.x))', 'self.x > 0', 'len(self.x) > 1', '1', 'self.y',
          'not len(self.x)', 'self.x.y', 'not self.connected or len(self.x)']
UNTOLD = object()


class Truth:
    def __init__(self, value):
        self.value = value

    def __bool__(self):
        return self.value

    def __len__(self):
        return 3 if self.value else 0


def values():
    return [b'', b'x', bytearray(), bytearray(b'x'), '', 'x', (), (1,), [], [1], {}, {1: 1}, 0, 1, -1,
            True, False, None, 0.0, 1.5, Truth(True), Truth(False), collections.deque(),
            collections.deque([1]), 10 ** 30]


class Told(asyncore.dispatcher):
    """Notes what it is told."""

    def __init__(self, sock, map):
        asyncore.dispatcher.__init__(self, sock, map)
        self.told = []

    def handle_read(self):
        self.told.append('read')

    def handle_write(self):
        self.told.append('write')


class Filler(Told):
    """One that is always asked, and wants nothing."""

    def readable(self):
        return []

    def writable(self):
        return []


def made(name, body, namespace=None):
    namespace = {} if namespace is None else namespace
    exec('def %s(self):\n    "What it is."\n    return %s' % (name, body), namespace)
    return namespace[name]


class Known(Case):

    def setUp(self):
        super().setUp()
        self.ours, self.theirs = self.pair()
        self.theirs.send(b'something to read')
        self.map = {}

    def told(self, d):
        """What one pass tells the channel, or the exception that it ends with."""
        del d.told[:]
        try:
            asyncore.loop(0, True, self.map, 1)
        except Exception as exc:
            return type(exc), str(exc)
        return list(d.told)

    def expected(self, d):
        """The same, from the predicates as Python runs them."""
        try:
            wants = ['read'] if d.readable() else []
            return wants + (['write'] if d.writable() and not d.accepting else [])
        except Exception as exc:
            return type(exc), str(exc)

    def check(self, d, passes=2):
        for i in range(passes):
            self.assertEqual(self.told(d), self.expected(d))

    def channel(self, readable='True', writable='False', bases=(Told,), namespace=None, **attributes):
        # Compiled apart: a class whose functions nobody has seen before.
        cls = type('Channel', bases, {'readable': made('readable', readable, namespace),
                                      'writable': made('writable', writable, namespace)})
        self.map.clear()
        d = cls(self.ours, self.map)
        for name, value in attributes.items():
            setattr(d, name, value)
        return d

    def test_every_body_and_value(self):
        for body in BODIES:
            for readable, writable in (('True', body), (body, 'False'), (body, body)):
                d = self.channel(readable, writable, x=b'')
                for value in values():
                    with self.subTest(readable=readable, writable=writable, value=value):
                        d.x = value
                        self.check(d)

    def test_where_the_attribute_is(self):
        def use_dict(d):
            vars(d)['x'] = b'x'

        class Slots(Told):
            __slots__ = ('x', 'y')

        class Property(Told):
            x = property(lambda self: b'x')

        class Getattr(Told):
            def __getattr__(self, name):
                if name in ('x', 'y'):
                    return [1]
                raise AttributeError(name)

        class Getattribute(Told):
            def __getattribute__(self, name):
                return b'x' if name == 'x' else super().__getattribute__(name)

        class OfClass(Told):
            x = b'x'

        class Two(Told, dict):
            x = b''
        for body in 'self.x', 'len(self.x) > 0', 'not self.x':
            for base in Told, Slots, Property, Getattr, Getattribute, OfClass, Two:
                with self.subTest(body=body, base=base):
                    d = self.channel(body, body, bases=(base,))
                    self.check(d)                       # Told has no x at all
                    if base is not Property:
                        d.x = b''
                        self.check(d)
                        del d.x
                        self.check(d)
                        d.x = b'x'
                        self.check(d)
                    if base not in (Property, Slots):
                        use_dict(d)
                        self.check(d)
                        del vars(d)['x']
                        self.check(d)
                    d.more = d.y = [1]
                    self.check(d)
            d = self.channel(body, body)
            type(d).x = b'x'
            self.check(d)
            type(d).x = property(lambda self: self.told and b'' or b'x')
            self.check(d)
            del type(d).x
            self.check(d)

    def test_values_that_change_in_place(self):
        for value in [], bytearray(), {}, collections.deque():
            for body in 'self.x', 'not self.x', 'len(self.x) > 0':
                d = self.channel('True', body, x=value)
                for i in range(3):
                    with self.subTest(value=value, body=body):
                        self.check(d)
                        if isinstance(value, dict):
                            value[i] = i
                        else:
                            value.append(i)
                        self.check(d)
                        value.clear()

    def test_predicates_replaced(self):
        def no(self):
            return False

        d = self.channel('True', 'len(self.x) > 0', x=b'x')
        self.check(d)
        d.writable = lambda: False
        self.assertEqual(self.told(d), ['read'])
        d.readable = lambda: False
        self.assertEqual(self.told(d), [])
        del d.writable, d.readable
        self.assertEqual(self.told(d), ['read', 'write'])
        type(d).readable = no
        self.assertEqual(self.told(d), ['write'])
        no.__code__ = made('no', 'True').__code__
        self.assertEqual(self.told(d), ['read', 'write'])
        no.__code__ = made('no', 'self.told').__code__
        self.assertEqual(self.told(d), ['write'])
        type(d).readable = lambda self: True
        type(d).__getattribute__ = lambda self, name: (
            (lambda: False) if name == 'writable' else Told.__getattribute__(self, name))
        self.assertEqual(self.told(d), ['read'])
        d.__class__ = Told
        self.assertEqual(self.told(d), ['read', 'write'])

    def test_builtins_replaced(self):
        namespace = {}
        d = self.channel('True', 'len(self.x) > 0', namespace=namespace, x=b'x')
        self.assertEqual(self.told(d), ['read', 'write'])
        namespace['len'] = lambda value: 0
        self.assertEqual(self.told(d), ['read'])
        del namespace['len']
        self.assertEqual(self.told(d), ['read', 'write'])
        original = builtins.len
        try:
            builtins.len = lambda value: 0 if value is d.x else original(value)
            self.assertEqual(self.told(d), ['read'])
        finally:
            builtins.len = original
        self.assertEqual(self.told(d), ['read', 'write'])
        d = self.channel('True', 'bool(self.x)', namespace={'bool': lambda value: False}, x=b'x')
        self.assertEqual(self.told(d), ['read'])

    def test_who_watches_calls_sees_them(self):
        for watch, end in ((sys.setprofile, sys.getprofile), (sys.settrace, sys.gettrace)):
            d = self.channel('True', 'len(self.x) > 0', x=b'x')
            self.check(d)
            seen = []

            def note(frame, event, arg):
                if event == 'call':
                    seen.append(frame.f_code.co_name)

            before = end()
            watch(note)
            try:
                self.told(d)
            finally:
                watch(before)
            self.assertEqual([name for name in seen if name in ('readable', 'writable')],
                             ['readable', 'writable'])

    @unittest.skipUnless(hasattr(sys, 'monitoring'), 'Python 3.12')
    def test_monitoring_sees_them(self):
        d = self.channel('True', 'len(self.x) > 0', x=b'x')
        self.check(d)
        seen = []
        tool, events = 4, sys.monitoring.events
        sys.monitoring.use_tool_id(tool, 'test')
        try:
            sys.monitoring.register_callback(tool, events.PY_START,
                                             lambda code, offset: seen.append(code.co_name))
            sys.monitoring.set_local_events(tool, type(d).writable.__code__, events.PY_START)
            self.told(d)
            self.assertEqual(seen, ['writable'])
            sys.monitoring.set_events(tool, events.PY_START)
            self.told(d)
            sys.monitoring.set_events(tool, 0)
        finally:
            sys.monitoring.free_tool_id(tool)
        self.assertEqual([name for name in seen if name in ('readable', 'writable')],
                         ['writable', 'readable', 'writable'])

    def test_the_frame_of_what_fails(self):
        d = self.channel('True', 'len(self.x) > 0', x=b'x')
        self.check(d)
        d.x = 3
        try:
            asyncore.loop(0, True, self.map, 1)
        except TypeError as exc:
            names = [frame.name for frame in traceback.extract_tb(exc.__traceback__)]
        self.assertEqual(names[-1], 'writable')

    def test_in_the_order_of_the_calls(self):
        # What readable() changes is what writable() is about.
        for body in 'self.x', 'len(self.x) > 0':
            d = self.channel('self.x.append(1)', body, x=[])
            self.assertEqual(self.told(d), ['write'])
            d = self.channel('setattr(self, "x", b"")', body, x=b'x')
            self.assertEqual(self.told(d), [])
        # select() looks at the truth of both after both were given.
        d = self.channel('self.x', 'self.x.append(1)', x=[])
        asyncore.loop(0, False, self.map, 1)
        self.assertEqual(d.told, ['read'])

    def test_one_class_after_another(self):
        # More than there are places for, each of them freed.
        for i in range(300):
            d = self.channel('True', ('False', 'self.x', 'not self.x')[i % 3], x=b'x')
            self.check(d, 1)


class Called(Case):
    """Predicates that nobody knows: each is looked up at its turn, and called."""

    FEW, MANY = 0, 40

    def setUp(self):
        super().setUp()
        self.ours, self.theirs = self.pair()
        self.theirs.send(b'something to read')

    def ways(self):
        """Small maps and large, by select() and by poll(): each with a function that runs a pass."""
        for fillers in self.FEW, self.MANY:
            for use_poll in False, True:
                self.map = {}
                for i in range(fillers):
                    made_of = Filler if i % 2 else Told
                    made_of(self.pair()[0], self.map)
                with self.subTest(fillers=fillers, use_poll=use_poll):
                    yield lambda: asyncore.loop(0, use_poll, self.map, 1)
                self._close_channels()

    def told(self, d, one_pass):
        del d.told[:]
        one_pass()
        return list(d.told)

    def test_what_a_class_may_have_there(self):
        class Callable:
            def __call__(self, *args):
                return [1][len(args):]

        class Binds:
            def __get__(self, instance, owner):
                return lambda: [instance]

        held = lambda self, *more: [self][len(more):]
        ways = (held, staticmethod(lambda: [1]), classmethod(held), functools.partial(held, 1), [1].copy,
                Callable(), Binds(), property(lambda self: lambda: [1]), functools.partialmethod(held),
                types.MethodType(held, 1), list)
        for one_pass in self.ways():
            for way in ways:
                with self.subTest(way=way):
                    names = dict.fromkeys(('readable', 'writable'), way)
                    d = type('Channel', (Told,), names)(self.ours.dup(), self.map)
                    self.assertEqual(self.told(d, one_pass), [] if way is list else ['read', 'write'])
                    self.assertEqual(self.told(d, one_pass), [] if way is list else ['read', 'write'])
                    d.close()

    def test_changed_from_one_to_the_other(self):
        def yes(self):
            self.seen.append('yes')
            return [1]

        def change(what):
            def readable(self):
                self.seen.append('readable')
                what(self)
                return [1]
            return readable

        changes = (
            lambda d: setattr(d, 'writable', lambda: yes(d)),
            lambda d: vars(d).update(writable=lambda: yes(d)),
            lambda d: setattr(type(d), 'writable', yes),
            lambda d: delattr(type(d), 'writable'),
            lambda d: setattr(d, '__class__', Child),
            lambda d: setattr(type(d), 'readable', None),
            lambda d: delattr(type(d), 'readable'),
            lambda d: setattr(type(d), '__getattribute__', lambda self, name: (
                (lambda: yes(d)) if name == 'writable' else object.__getattribute__(self, name))),
        )
        wanted = [['yes'], ['yes'], ['yes'], ['base'], ['yes'], ['own'], ['own'], ['yes']]
        Child = None
        for one_pass in self.ways():
            for number, what in enumerate(changes):
                class Base(Told):
                    def writable(self):
                        self.seen.append('base')
                        return []

                class Channel(Base):
                    readable = change(what)

                    def writable(self):
                        self.seen.append('own')
                        return []

                Child = type('Child', (Base,), {'writable': yes})
                with self.subTest(change=number):
                    d = Channel(self.ours.dup(), self.map)
                    d.seen = []
                    one_pass()
                    self.assertEqual(d.seen, ['readable'] + wanted[number])
                    self.assertEqual(d.told, ['read'] + ['write'] * (wanted[number] == ['yes']))
                    asyncore.dispatcher.close(d)

    def test_classes_in_turn(self):
        class Asked(Told):
            count = 0

            def readable(self):
                seen.append((self.name, 'readable'))
                return []

            def writable(self):
                seen.append((self.name, 'writable'))
                return []

        class Counts(Asked):
            def readable(self):
                type(self).count += 1   # its class is another one from then on
                return super().readable()

        class Own(Asked):
            def __init__(self, sock, map):
                super().__init__(sock, map)
                self.writable = lambda: seen.append((self.name, 'writable'))

        for one_pass in self.ways():
            seen, channels = [], []
            for i in range(12):
                channels.append((Asked, Counts, Own)[i % 3](self.pair()[0], self.map))
                channels[-1].name = i
            for turn in range(4):
                del seen[:]
                one_pass()
                self.assertEqual(seen, [(i, what) for i in range(12) for what in ('readable', 'writable')])

    def test_answers_that_are_odd(self):
        class Raises:
            def __bool__(self):
                raise ZeroDivisionError

        class Answers(Told):
            answers = [1], [1]

            def readable(self):
                if self.answers[0] is None:
                    raise ZeroDivisionError
                return self.answers[0]

            def writable(self):
                seen.append('writable')
                if self.answers[1] is None:
                    raise ZeroDivisionError
                return self.answers[1]

        seen = []
        for one_pass in self.ways():
            d = Answers(self.ours.dup(), self.map)
            for first in True, 0, 'x', None, Raises():
                for second in False, 1, '', None, Raises():
                    with self.subTest(first=first, second=second):
                        del d.told[:], seen[:]
                        d.answers = first, second
                        if any(each is None or isinstance(each, Raises) for each in d.answers):
                            self.assertRaises(ZeroDivisionError, one_pass)
                            self.assertEqual(d.told, [])
                        else:
                            one_pass()
                            self.assertEqual(d.told, ['read'] * bool(first) + ['write'] * bool(second))
                        if first is None:
                            self.assertEqual(seen, [])

    def test_an_answer_is_let_go_of_as_before(self):
        class Answer:
            def __init__(self, name):
                self.name = name

            def __bool__(self):
                seen.append('truth of ' + self.name)
                return True

            def __del__(self):
                seen.append('end of ' + self.name)

        class Answers(Told):
            def readable(self):
                return Answer('readable')

            def writable(self):
                seen.append('writable')
                return Answer('writable')

        seen = []
        for fillers in self.FEW, self.MANY:
            self.map = {}
            for i in range(fillers):
                Filler(self.pair()[0], self.map)
            d = Answers(self.ours.dup(), self.map)
            del seen[:]
            asyncore.loop(0, True, self.map, 1)
            self.assertEqual(seen, ['truth of readable', 'end of readable', 'writable',
                                    'truth of writable', 'end of writable'])
            d.close()

    def test_what_is_asked_is_there(self):
        # A predicate may be the last thing that holds a channel, or its own function.
        class Lets(Told):
            def readable(self):
                del self.map[self._fileno], type(self).readable
                return [1]

            def writable(self):
                seen.append(sys.getrefcount(self) > 1)
                return []

        class Goes(Told):
            def readable(self):
                self.map.clear()
                return [1]

            def writable(self):
                return self.name == 'here' and [1]

        for one_pass in self.ways():
            seen = []
            for i in range(3):
                cls = type('Lets', (Lets,), {'readable': Lets.readable})
                cls(self.pair()[0], self.map).map = self.map
            one_pass()
            self.assertEqual(seen, [True] * 3)
            for i in range(3):
                d = Goes(self.pair()[0], self.map)
                d.map, d.name = self.map, 'here'
            del d
            one_pass()
            self.assertEqual(self.map, {})


class Methods(Case):

    def test_handlers_by_all_ways(self):
        ours, theirs = self.pair()
        theirs.send(b'x')
        map, told = {}, []

        class Channel(Told):
            def writable(self):
                return False

        class Other(Channel):
            def handle_read(self):
                told.append('other class')

        d = Channel(ours, map)
        d.told = told

        def turn():
            del told[:]
            asyncore.loop(0, True, map, 1)
            return told[:]

        self.assertEqual(turn(), ['read'])
        d.handle_read = lambda: told.append('instance')
        self.assertEqual(turn(), ['instance'])
        d.handle_read_event = lambda: told.append('event of instance')
        self.assertEqual(turn(), ['event of instance'])
        del d.handle_read_event, d.handle_read
        Channel.handle_read_event = lambda self: told.append('event of class')
        self.assertEqual(turn(), ['event of class'])
        del Channel.handle_read_event
        Channel.handle_read = lambda self: told.append('class')
        self.assertEqual(turn(), ['class'])
        Channel.handle_read = staticmethod(lambda: told.append('static'))
        self.assertEqual(turn(), ['static'])
        Channel.handle_read = property(lambda self: lambda: told.append('property'))
        self.assertEqual(turn(), ['property'])
        del Channel.handle_read
        d.__class__ = Other
        self.assertEqual(turn(), ['other class'])
        d.accepting = True
        d.handle_accept = lambda: told.append('accept')
        self.assertEqual(turn(), ['accept'])
        d.accepting = False
        d.connected, d.connecting = False, True
        d.handle_connect_event = lambda: told.append('connect')
        self.assertEqual(turn(), ['connect', 'other class'])
        vars(d)['handle_read'] = lambda: told.append('dict')
        self.assertEqual(turn(), ['connect', 'dict'])

    def test_a_value_whose_class_becomes_a_descriptor(self):
        class Value:
            pass

        class Channel(asyncore.dispatcher):
            socket = Value()

        ours, theirs = self.pair()
        d = Channel(None, {})
        d.__dict__['socket'] = ours
        self.assertEqual(d.send(b'x'), 1)
        Value.__get__ = lambda self, obj, cls=None: self
        Value.__set__ = lambda self, obj, value: None
        Value.send = lambda self, data: 55
        self.assertEqual(d.send(b'x'), 55)

    def test_the_socket_by_all_ways(self):
        ours, theirs = self.pair()

        class Fake:
            def recv(self, size):
                return b'fake'

            def send(self, data):
                return 77

        class Property(asyncore.dispatcher):
            pass

        d = Property(ours, {})
        theirs.send(b'real')
        self.assertEqual(d.recv(10), b'real')
        d.socket = Fake()
        self.assertEqual((d.recv(10), d.send(b'x')), (b'fake', 77))
        d.socket = ours
        self.assertEqual(d.send(b'x'), 1)
        Property.socket = property(lambda self: Fake())
        self.assertEqual((d.recv(10), d.send(b'x')), (b'fake', 77))
        del Property.socket
        self.assertEqual(d.send(b'x'), 1)
        del d.socket
        self.assertRaises(AttributeError, d.send, b'x')


class Buffered(Case):
    """dispatcher_with_send.send(), which needs no buffer as long as the socket takes all."""

    def sender(self, sock, **methods):
        cls = type('Sender', (asyncore.dispatcher_with_send,), methods)
        return cls(sock, self.map)

    def test_what_is_left_is_in_the_buffer(self):
        ours, theirs = self.tcp_pair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50000)
        d = self.sender(ours)
        self.assertIsNone(d.send(b'abc'))
        self.assertEqual((d.out_buffer, theirs.recv(10)), (b'', b'abc'))
        sent = 0
        while not d.out_buffer:
            d.send(b'%05d' % sent * 12000)
            sent += 1
        left = d.out_buffer
        d.send(b'more')
        self.assertTrue((left + b'more').endswith(d.out_buffer))
        whole = b''.join(b'%05d' % i * 12000 for i in range(sent)) + b'more'
        got = b''
        while len(got) < len(whole):
            got += theirs.recv(1 << 20)
            d.initiate_send()
        self.assertEqual((got == whole, d.out_buffer), (True, b''))

    def test_the_buffer_when_the_peer_is_gone(self):
        ours, theirs = self.pair()
        seen = []
        d = self.sender(ours, handle_close=lambda self: seen.append(self.out_buffer))
        theirs.close()
        d.send(b'abc')
        self.assertEqual((seen, d.out_buffer), ([b'abc'], b'abc'))
        ours.close()
        d.send(b'de')
        self.assertEqual((seen, d.out_buffer), ([b'abc', b'abcde'], b'abcde'))

    def test_the_error_is_the_first_one(self):
        # A reset is told once, by the call that finds it.
        ours, theirs = self.tcp_pair()
        seen = []
        d = self.sender(ours, handle_close=lambda self: seen.append(sys.exc_info()[1].errno))
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        theirs.close()
        select.select([ours], [], [])
        d.send(b'abc')
        self.assertEqual(seen, [errno.ECONNRESET])

    def test_the_frames_of_an_error(self):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        udp.connect(('127.0.0.1', 9))
        d = self.sender(udp)
        data = bytes(65530)
        try:
            d.send(data)
        except OSError as exc:
            self.assertEqual(exc.errno, errno.EMSGSIZE)
            names = [frame.name for frame in traceback.extract_tb(exc.__traceback__)]
        self.assertEqual(names[1:], ['send', 'initiate_send', 'send'])
        self.assertEqual(d.out_buffer, data)

    def test_what_is_replaced_is_called(self):
        ours, theirs = self.pair()
        calls = []
        d = self.sender(ours, initiate_send=lambda self: calls.append(self.out_buffer))
        d.send(b'class')
        self.assertEqual((calls, d.out_buffer), ([b'class'], b'class'))
        d = self.sender(ours)
        d.initiate_send = lambda: calls.append('instance')
        d.send(b'x')
        del d.initiate_send
        d.out_buffer = b''
        d.debug = True
        d.log_info = lambda *args: calls.append('log')
        d.send(b'x')
        del d.debug
        original = asyncore.dispatcher.send
        asyncore.dispatcher.send = lambda self, data: calls.append(data) or len(data)
        try:
            d.send(b'patched')
        finally:
            asyncore.dispatcher.send = original
        whole = asyncore.dispatcher
        asyncore.dispatcher = type('dispatcher', (), {'send': lambda self, data: calls.append(1) or 1})
        try:
            d.send(b'y')
        finally:
            asyncore.dispatcher = whole
        d.socket = type('Fake', (), {'send': lambda self, data: calls.append('fake') or len(data)})()
        d.send(b'z')
        self.assertEqual(calls, [b'class', 'instance', 'log', b'patched', 1, 'fake'])
        self.assertEqual((d.out_buffer, theirs.recv(10)), (b'', b'x'))
        d.out_buffer = b''
        d.socket = ours


if __name__ == '__main__':
    unittest.main()
