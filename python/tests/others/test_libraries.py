# SPDX-License-Identifier: MIT
"""Libraries of others that stand on asyncore, each put to use: as they come, on these modules."""

import asyncore
import ftplib
import io
import os
import shutil
import smtplib
import socket
import struct
import tempfile
import threading
import unittest

from support import DEADLINE, Case


class Libraries(Case):

    def setUp(self):
        Case.setUp(self)
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def thread(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self.addCleanup(thread.join, DEADLINE)
        return thread

    def test_pyinotify(self):
        import pyinotify
        self.assertIs(pyinotify.asyncore, asyncore)
        seen = []

        class Notes(pyinotify.ProcessEvent):
            def process_default(self, event):
                seen.append((event.maskname, event.name))

        manager = pyinotify.WatchManager()
        notifier = pyinotify.AsyncNotifier(manager, Notes(), channel_map=self.map)
        self.addCleanup(notifier.stop)
        manager.add_watch(self.folder, pyinotify.IN_CREATE | pyinotify.IN_DELETE)
        for use_poll in (False, True):
            with open(os.path.join(self.folder, 'file'), 'w'):
                pass
            os.remove(os.path.join(self.folder, 'file'))
            self.until(lambda: len(seen) == 2, lambda t, m: asyncore.loop(t, use_poll, m, 1))
            self.assertEqual(seen, [('IN_CREATE', 'file'), ('IN_DELETE', 'file')])
            del seen[:]

    def test_pysnmp(self):
        from pysnmp.carrier.asyncore import dispatch
        from pysnmp.carrier.asyncore.dgram import udp
        from pysnmp.entity import config, engine
        from pysnmp.entity.rfc3413 import cmdrsp, context
        from pysnmp.hlapi import asyncore as api
        self.assertIs(dispatch.loop, asyncore.loop)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(('127.0.0.1', 0))
            port = sock.getsockname()[1]
        agent = engine.SnmpEngine()
        config.addTransport(agent, udp.domainName,
                            udp.UdpTransport().openServerMode(('127.0.0.1', port)))
        config.addV1System(agent, 'area', 'public')
        config.addVacmUser(agent, 2, 'area', 'noAuthNoPriv', (1, 3, 6), (1, 3, 6))
        cmdrsp.GetCommandResponder(agent, context.SnmpContext(agent))
        cmdrsp.NextCommandResponder(agent, context.SnmpContext(agent))
        agent.transportDispatcher.jobStarted(1)
        serving = self.thread(agent.transportDispatcher.runDispatcher)
        answers = []

        def answer(engine_, handle, error, status, index, names, data):
            answers.append((error, int(status), [str(value[1]) for value in names]))

        manager = api.SnmpEngine()
        target = api.UdpTransportTarget(('127.0.0.1', port), timeout=DEADLINE / 10)
        for number in range(20):
            api.getCmd(manager, api.CommunityData('public'), target, api.ContextData(),
                       api.ObjectType(api.ObjectIdentity('1.3.6.1.2.1.1.1.0')), cbFun=answer)
        manager.transportDispatcher.runDispatcher()
        self.assertEqual(len(answers), 20)
        for error, status, values in answers:
            self.assertEqual((error, status), (None, 0))
            self.assertIn('PySNMP engine', values[0])
        agent.transportDispatcher.jobFinished(1)
        serving.join(DEADLINE)
        self.assertFalse(serving.is_alive())
        agent.transportDispatcher.closeDispatcher()
        manager.transportDispatcher.closeDispatcher()

    def cql_server(self, listener):
        """Says yes to all, as a server of Cassandra's protocol does: three kinds of answers."""
        conn, _ = listener.accept()
        with conn, conn.makefile('rb') as requests:
            while True:
                header = requests.read(9)
                if len(header) < 9:
                    return
                version, flags, stream, opcode, size = struct.unpack('>BBhBI', header)
                requests.read(size)
                text = lambda value: struct.pack('>H', len(value)) + value
                supported = (struct.pack('>H', 2) + text(b'CQL_VERSION') + struct.pack('>H', 1)
                             + text(b'3.4.5') + text(b'COMPRESSION') + struct.pack('>H', 0))
                answer, body = {5: (6, supported), 1: (2, b'')}.get(opcode, (8, struct.pack('>i', 1)))
                conn.sendall(struct.pack('>BBhBI', version | 0x80, 0, stream, answer, len(body)) + body)

    def test_cassandra(self):
        from cassandra.connection import DefaultEndPoint
        from cassandra.io import asyncorereactor as reactor
        from cassandra.protocol import QueryMessage
        self.assertIs(reactor.asyncore, asyncore)
        listener = self.listener()
        serving = self.thread(self.cql_server, listener)
        reactor.AsyncoreConnection.initialize_reactor()
        self.assertIs(type(reactor._global_loop._loop_dispatcher), reactor._AsyncorePipeDispatcher)
        endpoint = DefaultEndPoint(*listener.getsockname())
        connection = reactor.AsyncoreConnection.factory(endpoint, DEADLINE, protocol_version=4,
                                                        cql_version='3.4.5')
        self.assertIn(connection, list(reactor._dispatcher_map.values()))
        for number in range(100):
            query = QueryMessage('x' * number * 100, 1)
            self.assertIsNotNone(connection.wait_for_response(query, timeout=DEADLINE))
        fired = threading.Event()
        connection.create_timer(0.01, fired.set)
        self.assertTrue(fired.wait(DEADLINE))
        connection.close()
        serving.join(DEADLINE)
        self.assertFalse(serving.is_alive())
        reactor._global_loop._cleanup()
        self.assertFalse(reactor._global_loop._thread.is_alive())

    def test_eventlet(self):
        import eventlet
        from eventlet.green import asynchat as green_asynchat
        from eventlet.green import asyncore as green
        self.assertIsNot(green.dispatcher, asyncore.dispatcher)
        self.assertIsNot(green.socket_map, asyncore.socket_map)
        self.assertIs(green_asynchat.async_chat.__mro__[1], green.dispatcher)
        trace = []

        class Lines(green_asynchat.async_chat):
            def __init__(self, sock):
                green_asynchat.async_chat.__init__(self, sock)
                self.set_terminator(b'\n')
                self.collect_incoming_data = self._collect_incoming_data

            def found_terminator(self):
                self.push(self._get_data().upper() + b'\n')
                self.close_when_done()

        class Server(green.dispatcher):
            def __init__(self):
                green.dispatcher.__init__(self)
                self.create_socket()
                self.bind(('127.0.0.1', 0))
                self.listen(5)

            def writable(self):
                return False

            def handle_accepted(self, sock, addr):
                Lines(sock)

        def ticks():
            for number in range(5):
                trace.append(number)
                eventlet.sleep(0.01)

        def client():
            sock = eventlet.connect(server.socket.getsockname())
            sock.sendall(b'one line\n')
            trace.append(sock.makefile('rb').read())
            sock.close()
            server.close()

        server = Server()
        with eventlet.Timeout(DEADLINE):
            # The loop waits, and the others go on meanwhile.
            threads = [eventlet.spawn(function) for function in (ticks, client)]
            green.loop(timeout=0.5)
            for thread in threads:
                thread.wait()
        self.assertEqual([item for item in trace if type(item) is int], [0, 1, 2, 3, 4])
        self.assertIn(b'ONE LINE\n', trace)
        self.assertEqual((green.socket_map, asyncore.socket_map), ({}, {}))

    def test_pyftpdlib(self):
        from pyftpdlib import authorizers, handlers, ioloop, servers
        self.assertIs(ioloop.asyncore, asyncore)
        authorizer = authorizers.DummyAuthorizer()
        authorizer.add_user('user', 'secret', self.folder, perm='elradfmwMT')

        class Handler(handlers.FTPHandler):
            pass

        Handler.authorizer = authorizer
        for loop in (ioloop.Select, ioloop.Poll, ioloop.Epoll):
            server = servers.FTPServer(('127.0.0.1', 0), Handler, loop())
            over = threading.Event()

            def serve():
                while not over.is_set():
                    server.serve_forever(0.01, blocking=False)
                server.close_all()

            serving = self.thread(serve)
            with ftplib.FTP(timeout=DEADLINE) as client:
                client.connect(*server.address)
                client.login('user', 'secret')
                for size in (0, 1, 100000, 3000000):
                    data = os.urandom(size)
                    client.storbinary('STOR file', io.BytesIO(data))
                    pieces = []
                    client.retrbinary('RETR file', pieces.append)
                    self.assertTrue(b''.join(pieces) == data, (loop, size))
                self.assertEqual(client.nlst(), ['file'])
                client.delete('file')
            over.set()
            serving.join(DEADLINE)
            self.assertFalse(serving.is_alive())

    def test_pytest_localserver(self):
        from pytest_localserver import smtp
        server = smtp.Server('127.0.0.1', 0)
        server.start()
        with smtplib.SMTP(*server.addr, timeout=DEADLINE) as client:
            client.sendmail('a@b', ['c@d'], 'Subject: s\r\n\r\ntext')
        self.assertEqual(len(server.outbox), 1)
        self.assertEqual(server.outbox[0]['Subject'], 's')
        server.stop()


if __name__ == '__main__':
    unittest.main()
