# SPDX-License-Identifier: MIT
"""What the tests of the Python modules share."""

import importlib
import os
import socket
import subprocess
import sys
import sysconfig
import time
import unittest
import warnings

import asyncore

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = os.path.dirname(os.path.abspath(asyncore.__file__))

# Seconds in which something must have happened that always does; and how long to look at what must not.
DEADLINE = 60
A_WHILE = 0.05

# One pass, in each of the four ways to have one.
PASSES = (
    ('poll', lambda timeout, map: asyncore.poll(timeout, map)),
    ('poll2', lambda timeout, map: asyncore.poll2(timeout, map)),
    ('loop', lambda timeout, map: asyncore.loop(timeout, False, map, 1)),
    ('loop with poll', lambda timeout, map: asyncore.loop(timeout, True, map, 1)),
)


class Recorder(asyncore.dispatcher):
    """A channel that notes what it is told, and reads what comes."""

    name = '?'
    want_read = True
    want_write = False

    def __init__(self, sock=None, map=None, name=None, trace=None):
        self.trace = [] if trace is None else trace
        if name is not None:
            self.name = name
        asyncore.dispatcher.__init__(self, sock, map)

    def note(self, what, *more):
        self.trace.append((self.name, what) + more)

    def readable(self):
        return self.want_read

    def writable(self):
        return self.want_write

    def handle_connect(self):
        self.note('connect')

    def handle_read(self):
        self.note('read', self.recv(4096))

    def handle_write(self):
        self.note('write')

    def handle_expt(self):
        self.note('expt')

    def handle_accepted(self, sock, addr):
        self.note('accepted')
        sock.close()

    def handle_close(self):
        self.note('close')
        self.close()

    def handle_error(self):
        self.note('error', sys.exc_info()[0].__name__)
        self.handle_close()


class Case(unittest.TestCase):
    """A test with a map of its own, and sockets that are closed behind it."""

    def setUp(self):
        self.map = {}
        self.addCleanup(self._close_channels)

    def _close_channels(self):
        for map in (self.map, asyncore.socket_map):
            for channel in list(map.values()):
                try:
                    asyncore.dispatcher.close(channel)
                except Exception:
                    pass
            map.clear()

    def pair(self):
        """Two connected sockets; the second is blocking, and closed at the end."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        theirs.settimeout(DEADLINE)
        return ours, theirs

    def pair_at(self, number):
        """The same, with the first at a descriptor that was just closed."""
        one, other = socket.socketpair()
        if other.fileno() == number:
            one, other = other, one
        fd = one.detach()
        if fd != number:
            os.dup2(fd, number, inheritable=False)
            os.close(fd)
        ours = socket.socket(fileno=number)
        self.addCleanup(ours.close)
        self.addCleanup(other.close)
        return ours, other

    def tcp_pair(self):
        listener = self.listener()
        theirs = socket.create_connection(listener.getsockname(), DEADLINE)
        self.addCleanup(theirs.close)
        ours, _ = listener.accept()
        self.addCleanup(ours.close)
        return ours, theirs

    def listener(self):
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(('127.0.0.1', 0))
        listener.listen(50)
        return listener

    def channel(self, cls=Recorder, **more):
        """A channel of cls in the test's map, and its peer."""
        ours, theirs = self.pair()
        return cls(ours, self.map, **more), theirs

    def until(self, condition, one_pass=None, map=None):
        """Runs passes until condition() holds."""
        map = self.map if map is None else map
        end = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), end, 'it did not happen')
            if one_pass is not None and map:
                one_pass(0.01, map)
            else:
                time.sleep(0.001)


def reference():
    """asyncore, asynchat and smtpd to compare with, imported beside ours: the standard library's, and
    where that has none any more, the Python text of ours."""
    names = 'asyncore', 'asynchat', 'smtpd'
    folder = sysconfig.get_path('stdlib')
    if not os.path.exists(os.path.join(folder, 'smtpd.py')):
        folder = MODULES
    ours = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    pure = os.environ.get('ASYNCORE_PURE')
    sys.path.insert(0, folder)
    os.environ['ASYNCORE_PURE'] = '1'
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(folder)
        sys.modules.update(ours)
        del os.environ['ASYNCORE_PURE']
        if pure is not None:
            os.environ['ASYNCORE_PURE'] = pure


def python(code, *args, options=(), **more):
    """Runs a program in another interpreter that finds the same modules."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([MODULES, HERE]), PYTHONIOENCODING='utf-8')
    env.update(more.pop('env', {}))
    return subprocess.run([sys.executable, *options, '-c', code, *args], env=env, timeout=DEADLINE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
                          **more)
