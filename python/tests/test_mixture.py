# SPDX-License-Identifier: MIT
"""Channels of all kinds in one map, whatever may happen to them, and who is told what in which order:
beside the standard library's modules (from Python 3.12 on, beside the Python text).

    test_mixture.py SECONDS SEED     plays for so long, from that seed on
"""

import asynchat
import asyncore
import random
import smtpd
import socket
import sys
import time
import unittest

from support import reference

STEPS = 30


def kinds(asyncore, asynchat, play):
    """Classes of channels. What they do in a callback is drawn by the play."""

    class Told:
        def handle_read(self):
            play.told(self, 'read', self.recv(play.rnd.choice((1, 7, 4096))))

        def handle_write(self):
            play.told(self, 'write')

        def handle_close(self):
            play.told(self, 'close')
            self.close()

        def handle_error(self):
            play.told(self, 'error', sys.exc_info()[0].__name__)
            self.close()

        def handle_expt(self):
            play.told(self, 'expt')

    class Asked(Told, asyncore.dispatcher):
        def readable(self):
            play.log.append((self.name, 'readable'))
            return self.wants_read

        def writable(self):
            play.log.append((self.name, 'writable'))
            return self.wants_write

    class Simple(Told, asyncore.dispatcher):
        def readable(self):
            return self.wants_read

        def writable(self):
            return not self.wants_read and self.wants_write

    class Constant(Told, asyncore.dispatcher):
        def writable(self):
            return False

    class Inherits(Told, asyncore.dispatcher):
        pass

    class Instance(Told, asyncore.dispatcher):
        def __init__(self, sock, map):
            asyncore.dispatcher.__init__(self, sock, map)
            self.writable = lambda: self.wants_write

    class Sends(Told, asyncore.dispatcher_with_send):
        handle_write = asyncore.dispatcher_with_send.handle_write

    class Chat(Told, asynchat.async_chat):
        handle_read = asynchat.async_chat.handle_read
        handle_write = asynchat.async_chat.handle_write

        def __init__(self, sock, map):
            asynchat.async_chat.__init__(self, sock, map)
            self.set_terminator(play.rnd.choice((b'\n', b'xy', 3, None)))

        def collect_incoming_data(self, data):
            play.told(self, 'data', data)

        def found_terminator(self):
            play.told(self, 'found')

    return Asked, Simple, Constant, Inherits, Instance, Sends, Chat


class Play:

    def __init__(self, modules, seed, size):
        self.asyncore, self.asynchat, _ = modules
        self.rnd = random.Random(seed)
        self.log = []
        self.map = {}
        self.channels = []
        self.peers = {}
        self.kinds = kinds(self.asyncore, self.asynchat, self)
        try:
            for _ in range(size):
                self.open()
            for step in range(STEPS):
                for _ in range(self.rnd.randrange(1, 6)):
                    self.happen()
                self.one_pass(step)
        finally:
            for channel in self.channels:
                channel.close()
            for peer in self.peers.values():
                peer.close()

    def open(self):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        if self.rnd.random() < 0.3:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        channel = self.rnd.choice(self.kinds)(ours, self.map)
        channel.name = '%s%d' % (type(channel).__name__, len(self.channels))
        channel.wants_read, channel.wants_write = self.rnd.random() < 0.8, self.rnd.random() < 0.3
        self.channels.append(channel)
        self.peers[channel.name] = theirs

    def told(self, channel, *what):
        """A callback: noted, and something may be done in it."""
        self.log.append((channel.name,) + what)
        other = self.rnd.choice(self.channels)
        chance = self.rnd.random()
        if chance < 0.03:
            raise ValueError
        if chance < 0.08:
            self.log.append((other.name, 'closed by', channel.name))
            other.close()
        elif chance < 0.2:
            other.wants_read = not other.wants_read
        elif chance < 0.3:
            other.wants_write = not other.wants_write
        elif chance < 0.4 and what[0] != 'close':
            self.send(channel)

    def send(self, channel):
        data = self.rnd.choice((b'x', b'a\nbxy', b'z' * 5000, b'y' * 100000))
        if hasattr(channel, 'push'):
            channel.push(data)
        elif self.rnd.random() < 0.5 or hasattr(channel, 'initiate_send'):
            self.log.append((channel.name, 'sent', channel.send(data)))

    def happen(self):
        """What happens between two passes."""
        channel = self.rnd.choice(self.channels)
        peer = self.peers[channel.name]
        what = self.rnd.randrange(20)
        try:
            if what < 7:
                peer.send(self.rnd.choice((b'x', b'one\ntwo\n', b'abxyxycd', b'q' * 3000)))
            elif what < 10:
                self.log.append((channel.name, 'peer got', len(peer.recv(1 << 20))))
            elif what == 10:
                peer.close()
            elif what == 11:
                peer.shutdown(socket.SHUT_WR)
            elif what == 12:
                channel.wants_read = not channel.wants_read
            elif what == 13:
                channel.wants_write = not channel.wants_write
            elif what == 14 and self.rnd.random() < 0.3:
                channel.close()
            elif what == 15 and self.map:
                # To the end of the map, by hand.
                number = self.rnd.choice(list(self.map))
                self.map[number] = self.map.pop(number)
            elif what == 16 and self.map and self.rnd.random() < 0.3:
                self.map.pop(self.rnd.choice(list(self.map)))
            elif what == 17 and channel.connected and channel._fileno is not None:
                channel.add_channel()
            elif what == 18:
                self.open()
            elif what == 19 and channel.connected:
                self.send(channel)
        except (OSError, ValueError) as err:
            self.log.append((channel.name, what, getattr(err, 'errno', 0)))

    def one_pass(self, step):
        which = self.rnd.randrange(4)
        self.log.append(('pass', step, which))
        try:
            if which < 2:
                (self.asyncore.poll, self.asyncore.poll2)[which](0, self.map)
            else:
                self.asyncore.loop(0, which == 3, self.map, 1)
        except ValueError:
            # Raised in handle_close() or handle_error(), it leaves the pass.
            self.log.append(('pass', 'left'))


class Mixture(unittest.TestCase):

    def compare(self, size, seeds):
        theirs = reference()
        told = 0
        for seed in seeds:
            wanted = Play(theirs, seed, size).log
            got = Play([asyncore, asynchat, smtpd], seed, size).log
            for i, (a, b) in enumerate(zip(wanted, got)):
                if a != b:
                    self.fail('seed %d: %r and not %r, after %r' % (seed, b, a, wanted[max(0, i - 9):i]))
            self.assertEqual(len(got), len(wanted))
            told += len(wanted)
        self.assertGreater(told, STEPS)

    def test_few(self):
        self.compare(5, range(200))

    def test_many(self):
        self.compare(60, range(40))


def long(seconds, seed):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for size in (3, 40, 100):
            Mixture().compare(size, [seed])
        seed += 1
    print('no difference up to seed', seed)


if __name__ == '__main__':
    if len(sys.argv) == 3:
        long(float(sys.argv[1]), int(sys.argv[2]))
    else:
        unittest.main()
