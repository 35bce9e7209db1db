# SPDX-License-Identifier: MIT
"""The programs in examples/ do what they say."""

import os
import socket
import subprocess
import sys
import threading
import unittest

from support import DEADLINE, HERE, MODULES, Case

EXAMPLES = os.environ.get('ASYNCORE_EXAMPLES') or os.path.join(os.path.dirname(HERE), 'examples')


def start(name, *args):
    env = dict(os.environ, PYTHONPATH=MODULES)
    return subprocess.Popen([sys.executable, '-W', 'error', os.path.join(EXAMPLES, name), *args],
                            env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            universal_newlines=True)


def run(name, *args):
    process = start(name, *args)
    try:
        text = process.communicate(timeout=DEADLINE)[0]
    finally:
        process.kill()
        process.wait()
    return process.returncode, text


class Examples(Case):

    def test_time(self):
        server = start('time_server.py', '0')
        try:
            line = server.stdout.readline()
            self.assertRegex(line, r'^listening on port \d+\n$')
            port = line.split()[-1]
            for _ in range(3):
                status, text = run('time_client.py', 'localhost', port)
                self.assertEqual(status, 0)
                self.assertRegex(text, r'^time difference is -?[01]\n$')
        finally:
            server.terminate()
            server.communicate()

    def test_time_refused(self):
        with socket.socket() as sock:
            sock.bind(('127.0.0.1', 0))         # and does not listen
            status, text = run('time_client.py', '127.0.0.1', str(sock.getsockname()[1]))
        # The classic module reports a refused connection as an error, not by handle_expt().
        self.assertEqual(status, 0)
        self.assertRegex(text, r'^error: uncaptured python exception, closing channel '
                               r"<__main__\.TimeRequest 127\.0\.0\.1:\d+ at 0x[0-9a-f]+> "
                               r"\(<class 'ConnectionRefusedError'>:\[Errno 111\] Connection refused ")

    def serve(self, answers):
        listener = self.listener()
        requests = []

        def answer():
            for text in answers:
                conn, _ = listener.accept()
                with conn:
                    request = b''
                    while b'\r\n\r\n' not in request:
                        request += conn.recv(4096)
                    requests.append(request)
                    for i in range(0, len(text), 1000):
                        conn.sendall(text[i:i + 1000])

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        return 'http://127.0.0.1:%d' % listener.getsockname()[1], requests

    def test_http_get(self):
        uri, requests = self.serve([b'HTTP/1.1 200 OK\r\nServer: here\r\nContent-Type: text/html\r\n'
                                    b'\r\n' + b'x' * 3730])
        status, text = run('http_get.py', uri + '/path;p?q')
        self.assertEqual((status, text), (0, "status => ['HTTP/1.1', '200', 'OK\\r\\n']\n"
                                             "Server = here\n"
                                             "Content-Type = text/html\n"
                                             "3730 bytes in body\n"))
        self.assertEqual(requests, [b'GET /path;p?q HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n'])

    def test_http_redirect(self):
        there, _ = self.serve([b'HTTP/1.0 200 OK\r\nServer: there\r\n\r\n' + b'y' * 387])
        here, _ = self.serve([b'HTTP/1.0 301 Moved\r\nLocation: ' + there.encode() +
                              b'/library/\r\n\r\nmoved'])
        status, text = run('http_redirect.py', here + '/library')
        self.assertEqual((status, text), (0, "redirecting to %s/library/ ...\n"
                                             "status => ['HTTP/1.0', '200', 'OK\\r\\n']\n"
                                             "Server = there\n"
                                             "387 bytes in body\n" % there))


if __name__ == '__main__':
    unittest.main()
