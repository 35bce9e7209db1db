# SPDX-License-Identifier: MIT
"""smtpd: clients of the standard library against it, what it answers, its program."""

import asyncore
import contextlib
import io
import os
import smtpd
import smtplib
import socket
import subprocess
import sys
import threading
import time
import unittest

from support import DEADLINE, MODULES, Case


class Server(smtpd.SMTPServer):

    answer = None

    def __init__(self, **more):
        self.messages = []
        smtpd.SMTPServer.__init__(self, ('127.0.0.1', 0), None, **more)

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        self.messages.append((mailfrom, rcpttos, data, kwargs))
        return self.answer


class Smtp(Case):

    @contextlib.contextmanager
    def serving(self, cls=Server, **more):
        server = cls(map=self.map, **more)
        stop = threading.Event()

        def serve():
            while not stop.is_set():
                asyncore.loop(0.02, True, self.map, 1)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server, server.socket.getsockname()[1]
        finally:
            stop.set()
            thread.join()
            self._close_channels()

    def dialogue(self, port, lines):
        """What is answered to each line; the greeting first."""
        with socket.create_connection(('127.0.0.1', port), DEADLINE) as sock, \
                sock.makefile('rb') as file:
            answers = [file.readline()]
            for line in lines:
                sock.sendall(line + b'\r\n')
                while True:
                    answers.append(file.readline())
                    if answers[-1][3:4] != b'-':
                        break
        return [answer.decode().rstrip('\r\n') for answer in answers]

    def test_messages(self):
        with self.serving() as (server, port):
            with smtplib.SMTP('127.0.0.1', port, timeout=DEADLINE) as client:
                client.ehlo('me')
                self.assertEqual(sorted(client.esmtp_features), ['8bitmime', 'help', 'size'])
                client.sendmail('a@b', ['c@d', 'e@f'], b'Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n')
                client.sendmail('g@h', 'i@j', 'caf\xe9'.encode(), mail_options=['BODY=8BITMIME'])
                client.mail('k@l')
                client.rset()
                server.answer = '550 no'
                with self.assertRaises(smtplib.SMTPDataError):
                    client.sendmail('m@n', 'o@p', b'x')
        self.assertEqual([m[:3] for m in server.messages], [
            ('a@b', ['c@d', 'e@f'], b'Subject: x\n\n.dot\n..\nend'),
            ('g@h', ['i@j'], 'caf\xe9'.encode()),
            ('m@n', ['o@p'], b'x')])
        options = server.messages[1][3]
        self.assertEqual((sorted(options['mail_options']), options['rcpt_options']),
                         (['BODY=8BITMIME', 'SIZE=5'], []))

    def test_decoded(self):
        with self.serving(decode_data=True) as (server, port):
            with smtplib.SMTP('127.0.0.1', port, timeout=DEADLINE) as client:
                client.sendmail('a@b', 'c@d', 'caf\xe9'.encode())
        self.assertEqual(server.messages, [('a@b', ['c@d'], 'caf\xe9', {})])

    def test_utf8(self):
        with self.serving(enable_SMTPUTF8=True) as (server, port):
            with smtplib.SMTP('127.0.0.1', port, timeout=DEADLINE) as client:
                client.ehlo('me')
                self.assertIn('smtputf8', client.esmtp_features)
                client.sendmail('\xe9@b', '\xe8@d', b'x', mail_options=['SMTPUTF8', 'BODY=8BITMIME'])
        self.assertEqual(server.messages[0][:2], ('\xe9@b', ['\xe8@d']))
        self.assertRaises(ValueError, Server, enable_SMTPUTF8=True, decode_data=True)
        self.assertRaises(ValueError, smtpd.PureProxy, ('127.0.0.1', 0), None, enable_SMTPUTF8=True)
        self._close_channels()

    def test_limits(self):
        with self.serving(data_size_limit=100) as (server, port):
            with smtplib.SMTP('127.0.0.1', port, timeout=DEADLINE) as client:
                self.assertEqual(client.ehlo('me')[0], 250)
                self.assertEqual(client.docmd('MAIL FROM:<a@b> SIZE=101')[0], 552)
                self.assertEqual(client.docmd('NOOP ' + 'x' * 600)[0], 500)
                client.mail('a@b')
                client.rcpt('c@d')
                self.assertEqual(client.data(b'y' * 500)[0], 552)
                client.close()          # it takes what follows for more of the message
        self.assertEqual(server.messages, [])

    def test_order_of_commands(self):
        with self.serving() as (server, port):
            answers = self.dialogue(port, [
                b'MAIL FROM:<a@b>', b'RCPT TO:<c@d>', b'DATA', b'', b'what', b'HELO', b'HELO me',
                b'HELO me', b'DATA', b'RCPT TO:<c@d>', b'MAIL FROM:', b'mail from: a@b', b'MAIL FROM:<a@b>',
                b'DATA', b'RCPT TO:', b'RCPT TO:<c@d> X=1', b'rcpt to:<c@d>', b'DATA x', b'VRFY',
                b'VRFY a@b', b'EXPN x', b'HELP', b'HELP data', b'HELP nothing', b'NOOP', b'NOOP x',
                b'RSET x', b'RSET', b'DATA', b'QUIT'])
        self.assertRegex(answers[0], r'^220 \S+ ')
        self.assertEqual([a for a in answers[1:7]], [
            '503 Error: send HELO first', '503 Error: send HELO first', '503 Error: send HELO first',
            '500 Error: bad syntax', '500 Error: command "WHAT" not recognized',
            '501 Syntax: HELO hostname'])
        self.assertEqual([a[:3] for a in answers[7:]], [
            '250', '503', '503', '503', '501', '250', '503', '503', '501', '501', '250', '501', '501',
            '252', '502', '250', '250', '501', '250', '501', '501', '250', '503', '221'])

    def test_renamed_attributes(self):
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen(1)
            with socket.create_connection(listener.getsockname()):
                conn, _ = listener.accept()
                channel = smtpd.SMTPChannel(None, conn, None, map=self.map)
        with self.assertWarnsRegex(DeprecationWarning, "Access to __greeting attribute on SMTPChannel "
                                                       "is deprecated, use 'seen_greeting' instead"):
            channel._SMTPChannel__greeting
        with self.assertWarnsRegex(DeprecationWarning, "Setting __line attribute on SMTPChannel is "
                                                       "deprecated, set 'received_lines' instead"):
            channel._SMTPChannel__line = ['x']
        self.assertEqual(channel.received_lines, ['x'])
        channel.close()

    def test_debugging_server_and_proxy(self):
        out = io.StringIO()
        with self.serving() as (behind, port):
            # The proxy waits for the server behind it, so that needs a loop of its own. It begins
            # when both listen: a loop that finds a TCP socket before is told of a hang-up.
            mine = {}
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                debugging = smtpd.DebuggingServer(('127.0.0.1', 0), None, map=mine)
                proxy = smtpd.PureProxy(('127.0.0.1', 0), ('127.0.0.1', port), map=mine,
                                        decode_data=True)
                thread = threading.Thread(target=asyncore.loop, args=(0.02, True, mine))
                thread.start()
                with smtplib.SMTP('127.0.0.1', debugging.socket.getsockname()[1],
                                  timeout=DEADLINE) as client:
                    client.sendmail('a@b', 'c@d', b'Subject: s\n\nbody')
            with smtplib.SMTP('127.0.0.1', proxy.socket.getsockname()[1], timeout=DEADLINE) as client:
                client.sendmail('a@b', 'c@d', b'Subject: s\r\n\r\nbody')
            asyncore.call_later(0, asyncore.close_all, mine, map=mine)
            thread.join()
        text = out.getvalue()
        self.assertIn('---------- MESSAGE FOLLOWS ----------\n', text)
        self.assertIn("b'Subject: s'\nb'X-Peer: 127.0.0.1'\nb''\nb'body'\n", text)
        self.assertEqual(behind.messages[0][2], b'Subject: s\nX-Peer: 127.0.0.1\n\nbody')
        # Nobody is behind it any more.
        refused = proxy._deliver('a', ['b', 'c'], 'x')
        self.assertEqual(sorted(refused), ['b', 'c'])

    def test_the_program(self):
        with socket.socket() as sock:
            sock.bind(('127.0.0.1', 0))
            port = sock.getsockname()[1]
        env = dict(os.environ, PYTHONPATH=MODULES, PYTHONUNBUFFERED='1')
        run = [sys.executable, '-m', 'smtpd']
        for options, status, text in ((['-V'], 0, 'Python SMTP proxy'), (['-h'], 0, 'Usage: '),
                                      (['--nothing'], 1, 'not recognized'), (['x'], 1, 'Bad local spec'),
                                      (['a:b'], 1, 'Bad local port'), (['-s', 'x'], 1, 'Invalid size'),
                                      (['1', '2', '3'], 1, 'Invalid arguments')):
            done = subprocess.run(run + options, env=env, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, universal_newlines=True, timeout=DEADLINE)
            self.assertEqual(done.returncode, status, done.stdout)
            self.assertIn(text, done.stdout)
        server = subprocess.Popen(run + ['-n', '-c', 'DebuggingServer', '127.0.0.1:%d' % port],
                                  env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + DEADLINE
            while True:
                try:
                    client = smtplib.SMTP('127.0.0.1', port, timeout=DEADLINE)
                    break
                except (OSError, smtplib.SMTPException):
                    self.assertLess(time.monotonic(), end)
                    self.assertIsNone(server.poll())
                    time.sleep(0.01)
            client.sendmail('a@b', 'c@d', b'\r\nfrom the program')
            client.quit()
        finally:
            server.terminate()
            text = server.communicate()[0]
        self.assertIn(b'from the program', text)


if __name__ == '__main__':
    unittest.main()
