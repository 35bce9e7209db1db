# SPDX-License-Identifier: MIT
"""An echo server to be measured: server.py asyncore|buffered|others|asyncio|uvloop CONNECTIONS.

Prints its port, serves that many connections, and ends when they have ended. `asyncore` has both
predicates in Python, as the documentation of the module wrote them; `buffered` inherits those of
dispatcher_with_send; those of `others` are like nothing that could be known.
"""

import sys
import warnings

warnings.simplefilter('ignore')


def serve_asyncore(kind, connections):
    import asyncore
    import socket

    class Own(asyncore.dispatcher):
        def __init__(self, sock):
            asyncore.dispatcher.__init__(self, sock)
            self.buffer = b''

        def readable(self):
            return True

        def writable(self):
            return len(self.buffer) > 0

        def handle_read(self):
            self.buffer += self.recv(8192)

        def handle_write(self):
            sent = self.send(self.buffer)
            self.buffer = self.buffer[sent:]

        def handle_close(self):
            self.close()

    class Buffered(asyncore.dispatcher_with_send):
        def handle_read(self):
            self.send(self.recv(8192))

        def handle_close(self):
            self.close()

    class Others(Own):
        paused = False

        def readable(self):
            return not self.paused and len(self.buffer) < 65536

        def writable(self):
            return self.connecting or self.buffer != b''

    channel = {'asyncore': Own, 'buffered': Buffered, 'others': Others}[kind]

    class Listener(asyncore.dispatcher):
        left = connections

        def handle_accepted(self, sock, addr):
            channel(sock)
            self.left -= 1
            if self.left == 0:
                self.close()

    listener = Listener()
    listener.create_socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.set_reuse_addr()
    listener.bind(('127.0.0.1', 0))
    listener.listen(1000)
    print(listener.socket.getsockname()[1], flush=True)
    asyncore.loop(30, True)


def serve_asyncio(connections):
    import asyncio

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

        def connection_lost(self, exc):
            nonlocal connections
            connections -= 1
            if connections == 0:
                done.set_result(None)

    async def main():
        nonlocal done
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        server = await loop.create_server(Echo, '127.0.0.1', 0, backlog=1000)
        print(server.sockets[0].getsockname()[1], flush=True)
        await done

    done = None
    asyncio.run(main())


def main():
    kind, connections = sys.argv[1], int(sys.argv[2])
    if kind == 'uvloop':
        import uvloop
        uvloop.install()
    if kind in ('uvloop', 'asyncio'):
        serve_asyncio(connections)
    else:
        serve_asyncore(kind, connections)


main()
