# SPDX-License-Identifier: MIT
"""asyncore for Python beside what Python has: run.py FOLDER [instructions|cpu|idle|bulk ...]

FOLDER has the modules and the extension for this Python. One server at a time, on the loopback, 64
bytes a request.

  instructions  user instructions for each request, by callgrind: the difference of two runs
  cpu           CPU time of the server for each request, user and system, the servers taking turns
  idle          the same with one connection active of 1,000 and of 4,000
  bulk          seconds for 64 MiB by dispatcher_with_send
"""

import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SERVERS = ['stock', 'ours', 'asyncio', 'uvloop']
MESSAGE = b'x' * 64


def command(name, connections, buffered=False):
    kind = 'buffered' if buffered else 'asyncore'
    return [sys.executable, '-E' if name == 'stock' else '-B', os.path.join(HERE, 'server.py'),
            kind if name in ('stock', 'ours') else name, str(connections)]


def environment(name, folder):
    env = {key: value for key, value in os.environ.items() if not key.startswith(('PYTHON', 'ASYNCORE'))}
    if name == 'ours':
        env['PYTHONPATH'] = folder
    return env


class Server:
    """A server with its connections made."""

    def __init__(self, argv, env, connections):
        self.process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE)
        port = int(self.process.stdout.readline())
        self.sockets = []
        for i in range(connections):
            sock = socket.create_connection(('127.0.0.1', port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets.append(sock)
        # All of them are served from here on.
        self.rounds(self.sockets, 1)

    @staticmethod
    def rounds(sockets, n):
        for i in range(n):
            for sock in sockets:
                sock.sendall(MESSAGE)
            for sock in sockets:
                left = 64
                while left:
                    left -= len(sock.recv(left))

    def cpu(self):
        with open('/proc/%d/schedstat' % self.process.pid) as file:
            return int(file.read().split()[0]) / 1000

    def end(self):
        for sock in self.sockets:
            sock.close()
        self.process.stdout.close()
        if self.process.wait(60):
            raise RuntimeError('the server failed')


def instructions(folder):
    print('user instructions a request            ' + ''.join('%10s' % name for name in SERVERS))
    for connections, few, many in (1, 300, 1300), (64, 10, 60):
        row = []
        for name in SERVERS:
            counts = []
            for rounds in few, many:
                with tempfile.NamedTemporaryFile() as out:
                    argv = ['valgrind', '--tool=callgrind', '--callgrind-out-file=' + out.name]
                    server = Server(argv + command(name, connections), dict(
                        environment(name, folder), PYTHONHASHSEED='0'), connections)
                    server.rounds(server.sockets, rounds)
                    server.end()
                    text = open(out.name).read()
                counts.append(int(re.search(r'^(?:totals|summary): (\d+)', text, re.M).group(1)))
            row.append((counts[1] - counts[0]) / ((many - few) * connections))
        print('%5d connections, all active           ' % connections
              + ''.join('%10.0f' % each for each in row), flush=True)


def cpu_row(folder, title, connections, active, rounds, buffered=False, repeats=3):
    times = {name: [] for name in SERVERS}
    for i in range(repeats):
        for name in SERVERS:
            server = Server(command(name, connections, buffered), environment(name, folder), connections)
            server.rounds(server.sockets[-active:], max(rounds // 10, 1))
            before = server.cpu()
            server.rounds(server.sockets[-active:], rounds)
            times[name].append((server.cpu() - before) / (rounds * active))
            server.end()
    row = [statistics.median(times[name]) for name in SERVERS]
    print('%-39s' % title + ''.join('%10.1f' % each for each in row)
          + '   stock/ours %.1f' % (row[0] / row[1]), flush=True)


def cpu(folder):
    print('CPU microseconds a request             ' + ''.join('%10s' % name for name in SERVERS))
    cpu_row(folder, '    1 connection', 1, 1, 10000)
    cpu_row(folder, '   64 connections, all active', 64, 64, 300)


def idle(folder):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    print('CPU microseconds a request             ' + ''.join('%10s' % name for name in SERVERS))
    for n in [int(each) for each in os.environ.get('IDLE', '1000 4000').split()]:
        cpu_row(folder, '%5d, 1 active, own predicates' % n, n, 1, 1500, False, 1)
        cpu_row(folder, '%5d, 1 active, inherited predicates' % n, n, 1, 1500, True, 1)


BULK = '''
import asyncore, os, socket, time
ours, theirs = socket.socketpair()
if os.fork() == 0:
    ours.close()
    buffer = bytearray(1 << 20)
    while theirs.recv_into(buffer):
        pass
    os._exit(0)
theirs.close()
class Sender(asyncore.dispatcher_with_send):
    def writable(self):
        if not self.out_buffer_left():
            self.close()
            return False
        return True
    def out_buffer_left(self):
        return asyncore.dispatcher_with_send.writable(self)
data = bytes(64 << 20)
began = time.perf_counter()
sender = Sender(ours)
sender.send(data)
asyncore.loop(30, True)
os.wait()
print(time.perf_counter() - began, time.process_time())
'''


def bulk(folder):
    for name in 'ours', 'stock':
        done = subprocess.run([sys.executable, '-W', 'ignore', '-c', BULK], stdout=subprocess.PIPE,
                              env=environment(name, folder), check=True)
        print('64 MiB by dispatcher_with_send, %s: %.3f s, of CPU (all of the process) %.3f s'
              % ((name,) + tuple(map(float, done.stdout.split()))), flush=True)


def main():
    folder = os.path.abspath(sys.argv[1])
    for each in sys.argv[2:] or ['instructions', 'cpu', 'idle', 'bulk']:
        {'instructions': instructions, 'cpu': cpu, 'idle': idle, 'bulk': bulk}[each](folder)


main()
