# SPDX-License-Identifier: MIT
"""asyncore for Python beside what Python has: run.py FOLDER [--only TAG] [instructions|cpu|idle|bulk ...]

FOLDER is what `make python` has made. For the first Python of it, or for those that are named. One
server at a time, on the loopback, 64 bytes a request; a server in C on raw epoll beside them.

  instructions  user instructions for each request, by callgrind: the difference of two runs
  cpu           CPU time of the server for each request, user and system, in pairs: each server
                beside ours, taking turns; the median of the ratios, and their quartiles
  idle          the same with one connection active of 1,000 and of 4,000
  bulk          seconds for 64 MiB by dispatcher_with_send

What is asked of it is told behind each figure. The exit status is 1 if any of that is not reached.
"""

import argparse
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MESSAGE = b'x' * 64
RAW = ['with_raw.c', 'harness.c', 'harness_events.c', 'harness_post.c', 'harness_timers.c']


class Python:
    """An interpreter, and the folder with our modules for it."""

    def __init__(self, tag, path, folder, raw):
        self.tag = tag
        self.path = path
        self.folder = os.path.abspath(os.path.join(folder, tag))
        self.raw = raw
        self.servers = ['ours']
        if self.has('asyncore'):
            self.servers.insert(0, 'stock')
        self.servers.append('asyncio')
        if self.has('uvloop'):
            self.servers.append('uvloop')

    def has(self, module):
        return subprocess.call([self.path, '-W', 'ignore', '-c', 'import ' + module],
                               env=self.environment('stock'), stderr=subprocess.DEVNULL) == 0

    def command(self, name, connections, kind='asyncore'):
        if name == 'raw':
            return [self.raw, 'epoll', 'echo']
        # Nothing is written beside the modules of others.
        return [self.path, '-B', os.path.join(HERE, 'server.py'),
                kind if name in ('stock', 'ours') else name, str(connections)]

    def environment(self, name):
        env = {key: value for key, value in os.environ.items()
               if not key.startswith(('PYTHON', 'ASYNCORE'))}
        if name == 'ours':
            env['PYTHONPATH'] = self.folder
        return dict(env, PYTHONHASHSEED='0')


class Goals:
    """What was asked, and whether it was reached."""

    def __init__(self):
        self.missed = 0

    def most(self, what, value, limit):
        ok = value <= limit
        self.missed += not ok
        return '%s %s %g' % ('  ok:' if ok else '  MISSED:', what, limit)


class Server:
    """A server with its connections made."""

    def __init__(self, argv, env, connections):
        self.process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline()
        if not line.strip().isdigit():
            raise SystemExit('bench-python: does not serve: ' + ' '.join(argv))
        self.sockets = []
        for i in range(connections):
            sock = socket.create_connection(('127.0.0.1', int(line)))
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

    def cpu(self, sockets, rounds):
        """CPU microseconds of the server for each request."""
        before = self.schedstat()
        self.rounds(sockets, rounds)
        return (self.schedstat() - before) / (rounds * len(sockets))

    def schedstat(self):
        with open('/proc/%d/schedstat' % self.process.pid) as file:
            return int(file.read().split()[0]) / 1000

    def end(self):
        for sock in self.sockets:
            sock.close()
        self.process.stdout.read()
        self.process.stdout.close()
        if self.process.wait(60):
            raise SystemExit('bench-python: the server failed')


# --- instructions -------------------------------------------------------------------------------

def instructions(python, goals):
    print('user instructions a request' + heads(python.servers))
    for connections, few, many, limit in (1, 300, 1300, 5000), (64, 10, 60, 3600):
        row = {}
        for name in python.servers:
            counts = [counted(python, name, connections, rounds) for rounds in (few, many)]
            row[name] = (counts[1] - counts[0]) / ((many - few) * connections)
        notes = ''
        if 'uvloop' in row:
            # Other versions of Python have other costs, and no uvloop.
            notes = goals.most('at most', row['ours'], limit)
            notes += goals.most("uvloop's", row['ours'], round(row['uvloop']))
        show('%5d connections, all active' % connections, row, python.servers, '%.0f', notes)


def counted(python, name, connections, rounds):
    with tempfile.NamedTemporaryFile() as out:
        argv = ['valgrind', '--tool=callgrind', '--callgrind-out-file=' + out.name]
        server = Server(argv + python.command(name, connections), python.environment(name),
                        connections)
        server.rounds(server.sockets, rounds)
        server.end()
        with open(out.name) as file:
            return int(re.search(r'^(?:totals|summary): (\d+)', file.read(), re.M).group(1))


# --- CPU ----------------------------------------------------------------------------------------

def pairs(python, others, connections, active, rounds, kind='asyncore', slices=15):
    """CPU of ours and of each of the others, and the ratios of ours to each: they take turns."""
    times, ratios = {}, {}
    for name in others:
        both = [Server(python.command(each, connections, kind), python.environment(each),
                       connections) for each in ('ours', name)]
        for server in both:
            server.rounds(server.sockets[-active:], max(rounds // 5, 1))
        samples = []
        for i in range(slices):
            order = (0, 1) if i % 2 else (1, 0)
            taken = {k: both[k].cpu(both[k].sockets[-active:], rounds) for k in order}
            samples.append((taken[0], taken[1]))
        for server in both:
            server.end()
        times.setdefault('ours', []).extend(mine for mine, _ in samples)
        times[name] = [other for _, other in samples]
        ratios[name] = sorted(mine / other for mine, other in samples)
    return {name: statistics.median(each) for name, each in times.items()}, ratios


def said(ratios, inverse=False):
    out = ''
    for name, each in ratios.items():
        low, middle, high = (each[len(each) // 4], statistics.median(each), each[-len(each) // 4])
        if inverse:
            low, middle, high = 1 / high, 1 / middle, 1 / low
            out += '  %s/ours %.1f (%.1f to %.1f)' % (name, middle, low, high)
        else:
            out += '  ours/%s %.2f (%.2f to %.2f)' % (name, middle, low, high)
    return out


def cpu(python, goals):
    names = ['raw'] + python.servers
    print('CPU microseconds a request' + heads(names))
    for connections, rounds in (1, 1500), (64, 40), (1000, 4):
        row, ratios = pairs(python, [name for name in names if name != 'ours'], connections,
                            connections, rounds)
        notes = ''
        if 'stock' in ratios:
            # Half a percent is what the middle of so few pairs cannot tell.
            notes += goals.most('of stock', statistics.median(ratios['stock']), 1.005)
        if connections == 1:
            notes += goals.most('of raw', statistics.median(ratios['raw']), 1.2)
        show('%5d connections, all active' % connections, row, names, '%.1f', notes)
        print('     ' + said(ratios), flush=True)


IDLE = [(1000, 'buffered', 15), (1000, 'asyncore', 3), (1000, 'others', 3),
        (4000, 'buffered', 50), (4000, 'asyncore', 3.5), (4000, 'others', 3.5)]
NAMED = {'buffered': 'inherited', 'asyncore': 'plain', 'others': 'any'}


def idle(python, goals):
    print('CPU microseconds a request' + heads(python.servers))
    for connections, kind, times in IDLE:
        others = [name for name in python.servers if name != 'ours']
        row, ratios = pairs(python, others, connections, 1, 300, kind, 5)
        notes = ''
        if 'stock' in ratios:
            notes = goals.most('of stock: 1 /', statistics.median(ratios['stock']) * times, 1)
            notes = notes.rpartition(' ')[0] + ' %g' % times
        show('%5d, 1 active, %s predicates' % (connections, NAMED[kind]), row, python.servers, '%.1f',
             notes)
        print('     ' + said(ratios, True), flush=True)


# --- bulk ---------------------------------------------------------------------------------------

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
    def handle_write(self):
        asyncore.dispatcher_with_send.handle_write(self)
        if not self.writable():
            self.close()
data = bytes(64 << 20)
began = time.perf_counter()
sender = Sender(ours)
sender.send(data)
asyncore.loop(30, True)
os.wait()
print(time.perf_counter() - began, time.process_time())
'''


def bulk(python, goals):
    for name in 'ours', 'stock':
        if name not in python.servers:
            continue
        runs = []
        for i in range(5 if name == 'ours' else 1):
            done = subprocess.run([python.path, '-W', 'ignore', '-c', BULK], stdout=subprocess.PIPE,
                                  env=python.environment(name), check=True)
            runs.append(tuple(map(float, done.stdout.split())))
        seconds, used = sorted(runs)[len(runs) // 2]
        print('64 MiB by dispatcher_with_send, %-5s  %.3f s, of CPU (all of the process) %.3f s%s'
              % (name, seconds, used, goals.most('s', seconds, 0.2) if name == 'ours' else ''),
              flush=True)


# --- all of it ----------------------------------------------------------------------------------

def heads(names):
    return ' ' * 14 + ''.join('%9s' % name for name in names)


def show(title, row, names, form, notes):
    print('%-40s' % title + ''.join('%9s' % (form % row[name]) for name in names) + notes, flush=True)


def compile_raw(folder):
    path = os.path.join(folder, 'raw')
    subprocess.run(['cc', '-O2', '-D_GNU_SOURCE', '-I' + os.path.join(TOP, 'include'), '-o', path]
                   + [os.path.join(TOP, 'bench', name) for name in RAW] + ['-pthread'], check=True)
    return path


def main():
    parts = {'instructions': instructions, 'cpu': cpu, 'idle': idle, 'bulk': bulk}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder')
    parser.add_argument('--only', action='append', help='a tag, as cp311')
    parser.add_argument('parts', nargs='*', help=', '.join(parts))
    args = parser.parse_intermixed_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    with open(os.path.join(args.folder, 'pythons.txt')) as lines:
        found = [line.rstrip('\n').split(' ', 1) for line in lines if line.strip()]
    if not args.only:
        args.only = [found[0][0]]
    goals = Goals()
    with tempfile.TemporaryDirectory() as folder:
        raw = compile_raw(folder)
        for tag, path in found:
            if tag in args.only:
                print('--- %s, %s' % (tag, path), flush=True)
                python = Python(tag, path, args.folder, raw)
                for each in args.parts or parts:
                    parts[each](python, goals)
    print('%d of the goals missed' % goals.missed)
    return 1 if goals.missed else 0


if __name__ == '__main__':
    sys.exit(main())
