# SPDX-License-Identifier: MIT
"""The modules beside those of the standard library, up to Python 3.11, and from then on beside the Python
text: on made-up conversations, and by a great many small questions."""

import contextlib
import io
import os
import random
import re
import subprocess
import sys
import unittest

import asynchat
import asyncore
import smtpd

from support import DEADLINE, HERE, MODULES, reference


class Wire:
    """A socket with a script: pieces to receive (or errors to raise), and how much it takes."""

    def __init__(self, pieces, takes):
        self.pieces = pieces
        self.takes = takes
        self.log = []

    def setblocking(self, flag):
        pass

    def fileno(self):
        return 77

    def getpeername(self):
        return 'peer', 1

    def getsockopt(self, *args):
        return 0

    def recv(self, size):
        self.log.append(('recv', size))
        piece = self.pieces.pop(0) if self.pieces else b''
        if isinstance(piece, Exception):
            raise piece
        return piece

    def send(self, data):
        most = self.takes()
        if isinstance(most, Exception):
            self.log.append(('send raises', bytes(data)))
            raise most
        self.log.append(('send', bytes(data[:most])))
        return min(len(data), most)

    def close(self):
        self.log.append('close')


def same(text):
    """Printed lines without addresses and places."""
    text = re.sub(r' at 0x[0-9a-f]+', '', text)
    return re.sub(r'\[[^\[\]|]*?([^/|]*)\|([^|]*)\|\d+\]', r'[\1|\2]', text)


def cut(rnd, data, sizes):
    pieces = []
    while data:
        size = rnd.choice(sizes)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def chat(modules, seed):
    asyncore, asynchat, _ = modules
    rnd = random.Random(seed)
    out = io.StringIO()
    data = bytes(rnd.choice(b'ab\r\n.') for _ in range(rnd.randrange(200)))
    pieces = cut(rnd, data, (1, 2, 3, 10, 100))
    for _ in range(rnd.randrange(3)):
        pieces.insert(rnd.randrange(len(pieces) + 1),
                      rnd.choice([BlockingIOError(11, 'x'), OSError(5, 'y'), OSError(104, 'z')]))
    wire = Wire(pieces, lambda: rnd.choice([0, 1, 5, 1000, BlockingIOError(11, 'x'), 1000, 1000,
                                            OSError(5, 'y'), OSError(32, 'z'), 1000]))
    terminators = [b'\r\n', b'\n', b'\r\n.\r\n', 3, 10, 0, None, b'', b'ab', '\n']

    class Producer:
        def more(self):
            wire.log.append('more')
            return rnd.choice([b'', b'p', b'produced' * 5, b'x' * 40])

    class Chat(asynchat.async_chat):
        ac_out_buffer_size = rnd.choice([7, 65536])
        ac_in_buffer_size = 4096
        use_encoding = rnd.choice([0, 1])

        def collect_incoming_data(self, data):
            wire.log.append(('collect', data))
            self._collect_incoming_data(data)

        def found_terminator(self):
            wire.log.append(('found', self._get_data(), self.ac_in_buffer, self.terminator))
            what = rnd.randrange(12)
            if what < 4:
                self.set_terminator(rnd.choice(terminators))
            elif what == 4:
                self.push(b'answer' * rnd.randrange(9))
            elif what == 5:
                self.push_with_producer(Producer())
            elif what == 6:
                self.push_with_producer(asynchat.simple_producer(b's' * 1000, 300))
            elif what == 7 and rnd.random() < 0.3:
                self.close_when_done()
            elif what == 8:
                self.producer_fifo.append(rnd.choice([b'', 'text', '']))
            elif what == 9 and rnd.random() < 0.3:
                raise ValueError('boom')
            elif what == 10 and rnd.random() < 0.3:
                self.discard_buffers()

        def handle_close(self):
            wire.log.append('handle_close')
            asynchat.async_chat.handle_close(self)

    map = {}
    channel = Chat(wire, map)
    channel.set_terminator(rnd.choice(terminators[:-1]))
    with contextlib.redirect_stdout(out):
        for _ in range(400):
            if not map:
                break
            try:
                if channel.readable():
                    asyncore.read(channel)
                if map and channel.writable():
                    asyncore.write(channel)
            except Exception as exc:
                wire.log.append(repr(exc))
                break
    return (wire.log, channel.ac_in_buffer, channel.incoming, len(channel.producer_fifo),
            channel.terminator, bool(map), same(out.getvalue()))


COMMANDS = '''HELO;EHLO;MAIL;RCPT;DATA;RSET;NOOP;QUIT;VRFY;EXPN;HELP;helo;FOO;;HELO x;EHLO x;QUIT x
MAIL FROM:<a@b>;RCPT TO:<c@d>;MAIL FROM: a@b;MAIL FROM:<a@b> SIZE=%d;RCPT TO:<c@d> X=1;RCPT TO: e@f
HELP MAIL;HELP rcpt;HELP foo;VRFY a@b;VRFY <;MAIL FROM:<a@b> BODY=8BITMIME;MAIL FROM:<a@b> BODY=X
MAIL FROM:<a@b> SMTPUTF8;MAIL FROM:<a@b> SMTPUTF8=1;MAIL FROM:<a@b> SIZE;MAIL FROM:<a@b> SIZE=x
MAIL FROM:<\xe9@b>;DATA;.;..a;. x;text;RSET x;NOOP x;DATA x;MAIL FROM:<>;MAIL TO:<x>;RCPT FROM:<x>
MAIL FROM:<a@b> SI-ZE=1;MAIL FROM:<a@b> SIZE='''.replace('\n', ';').split(';') + ['x' * 600]
START = 'EHLO x', 'MAIL FROM:<a@b>', 'RCPT TO:<c@d>', 'DATA', 'hello', '.', 'RSET', 'NOOP'


def mail(modules, seed):
    asyncore, _, smtpd = modules
    rnd = random.Random(seed)
    log = []
    options = rnd.choice([{}, {'decode_data': True}, {'enable_SMTPUTF8': True}])

    class Server:
        def process_message(self, *args, **more):
            log.append((args, sorted(more.items())))
            return rnd.choice([None, '550 no'])

    lines = []
    for i in range(rnd.randrange(1, 25)):
        line = START[i] if i < len(START) and rnd.random() < 0.4 else rnd.choice(COMMANDS)
        lines.append(line % rnd.choice([1, 60, 10 ** 9]) if '%d' in line else line)
    wire = Wire(cut(rnd, '\r\n'.join(lines).encode() + b'\r\n', (1, 2, 5, 30, 1000)), lambda: 1000)
    map = {}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        channel = smtpd.SMTPChannel(Server(), wire, ('peer', 1),
                                    rnd.choice([33554432, 0, 50, 100]), map, **options)
        for _ in range(20000):
            if not map:
                break
            asyncore.read(channel)
            if map and channel.writable():
                asyncore.write(channel)
    return (wire.log, log, channel.smtp_state, channel.mailfrom, channel.rcpttos,
            channel.received_data, channel.received_lines, channel.num_bytes, channel.seen_greeting,
            channel.extended_smtp, dict(channel.command_size_limits), same(out.getvalue()))


class Against(unittest.TestCase):
    maxDiff = 2000

    def compare(self, play, rounds):
        theirs = reference()
        self.assertIsNot(theirs[0], asyncore)
        for seed in range(rounds):
            wanted = play(theirs, seed)
            got = play([asyncore, asynchat, smtpd], seed)
            if wanted != got:
                for a, b in zip(wanted, got):
                    self.assertEqual(b, a, 'seed %d' % seed)

    def test_conversations(self):
        self.compare(chat, 2000)

    def test_mail(self):
        import socket
        original = socket.getfqdn
        socket.getfqdn = lambda: 'here'
        try:
            self.compare(mail, 400)
        finally:
            socket.getfqdn = original

    def answers(self, **env):
        """What questions.py prints: without PYTHONPATH, with the standard library's modules."""
        env = dict(os.environ, PYTHONIOENCODING='utf-8', **env)
        if 'PYTHONPATH' not in env or env['PYTHONPATH'] != MODULES:
            env.pop('PYTHONPATH', None)
        done = subprocess.run([sys.executable, '-W', 'ignore', os.path.join(HERE, 'questions.py')],
                              env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout.splitlines()

    def test_questions(self):
        if sys.version_info < (3, 12):
            wanted = self.answers(PYTHONPATH='')
        else:
            # The Python text is compared with the standard library's above; the extension with that.
            wanted = self.answers(PYTHONPATH=MODULES, ASYNCORE_PURE='1')
        got = self.answers(PYTHONPATH=MODULES)
        self.assertGreater(len(wanted), 250)
        for asked, answered in zip(wanted, got):
            self.assertEqual(answered, asked)
        self.assertEqual(len(got), len(wanted))


if __name__ == '__main__':
    unittest.main()
