# SPDX-License-Identifier: MIT
"""What the tests of the programs share: running them, and scripted far sides on port 0.

The environment says where things are (set by meson): ASYNCORE_BUILD, ASYNCORE_SOURCE and
ASYNCORE_PEERS. ASYNCORE_COMPILED_IN are the backends that there are, ASYNCORE_BACKENDS those to be
tested, and ASYNCORE_BACKEND limits the tests to one; ASYNCORE_SLOW or a build with a sanitizer loosens
the bounds on time.
"""
import os
import pathlib
import resource
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

SOURCE = pathlib.Path(os.environ.get("ASYNCORE_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("ASYNCORE_BUILD", SOURCE / "build"))
PEERS = pathlib.Path(os.environ.get("ASYNCORE_PEERS", BUILD / "peers"))
SANITIZED = os.environ.get("ASYNCORE_SANITIZED", "0") == "1"
SLOW = 5 if SANITIZED or os.environ.get("ASYNCORE_SLOW", "0") not in ("", "0") else 1
PROGRAM = str(BUILD / "asyncore")
BACKENDS = os.environ.get("ASYNCORE_BACKENDS", "epoll poll select").split()
HAS = os.environ.get("ASYNCORE_COMPILED_IN", "epoll io_uring poll select").split()
EPOCH = 2208988800  # 1970 in seconds since 1900
DEADLINE = 20 * SLOW  # for whatever must not hang

# Thousands of sockets are held on this side.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))


def pytest_generate_tests(metafunc):
    if "backend" in metafunc.fixturenames:
        one = os.environ.get("ASYNCORE_BACKEND")
        metafunc.parametrize("backend", [one] if one else BACKENDS)


def environment(backend=None, **more):
    env = {k: v for k, v in os.environ.items()
           if k not in ("ASYNCORE_BACKEND", "ASYNCORE_VERBOSE", "ASYNCORE_DEBUG")}
    env["LC_ALL"] = "C"
    if backend:
        env["ASYNCORE_BACKEND"] = backend
    env.update(more)
    return env


def run(*args, backend=None, env=None, program=PROGRAM, timeout=DEADLINE, **options):
    """Runs the program to its end; output as text. Never reads our standard input."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    return subprocess.run([str(program), *map(str, args)], env=environment(backend, **(env or {})),
                          timeout=timeout, text=True, errors="surrogateescape", **options)


class Server:
    """A program that prints 'listening on port N' and then serves until a signal."""

    def __init__(self, *args, backend=None, program=PROGRAM, prefix=(), stderr=subprocess.PIPE):
        self.process = subprocess.Popen([*prefix, str(program), *map(str, args)], text=True,
                                        env=environment(backend), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=stderr)
        line = read_line(self.process)
        assert line.startswith("listening on port "), (line, self.stop(signal.SIGKILL))
        self.port = int(line.split()[-1])
        self.pid = self.process.pid

    def stop(self, signo=signal.SIGTERM):
        """Ends it: exit status, the rest of standard output, and standard error."""
        if self.process.poll() is None:
            self.process.send_signal(signo)
        try:
            out, err = self.process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, out, err

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def sockets(self):
        """How many of its descriptors are sockets: the listener, and the clients."""
        count = 0
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                count += os.readlink(f"/proc/{self.pid}/fd/{fd}").startswith("socket:")
            except FileNotFoundError:
                pass  # closed while we looked
        return count

    def resident(self):
        """Bytes of memory that the process holds."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def read_line(process):
    """One line of the program's standard output, within the deadline."""
    ready, _, _ = select.select([process.stdout], [], [], DEADLINE)
    assert ready, "the program says nothing"
    return process.stdout.readline()


@pytest.fixture
def server():
    """Starts a program that serves: server(*args, ...). Ends what is left, which must not fail."""
    started = []

    def start(*args, **options):
        started.append(Server(*args, **options))
        return started[-1]

    yield start
    for s in started:
        if s.process.poll() is None:
            s.stop()
        s.process.stdout.close()
        if s.process.stderr:
            s.process.stderr.close()


def early():
    """Waits for the early part of a second: two readings of the clock shortly after agree."""
    while not 0.03 < time.time() % 1 < 0.5:
        time.sleep(0.01)


def now_1900():
    return int(time.time()) + EPOCH


def signed(n):
    return (n + 2**31) % 2**32 - 2**31


def packed(n):
    return struct.pack(">I", n % 2**32)


def reset(conn):
    """Closes with RST."""
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


class Fakes:
    """Scripted servers, each in threads of its own, all ended with the test."""

    def __init__(self):
        self.over = threading.Event()
        self.sockets = []
        self.threads = []

    def _thread(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _bound(self, kind, host):
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        s.bind((host, 0))
        self.sockets.append(s)
        return s

    def tcp(self, script, host="127.0.0.1"):
        """Calls script(connection) for each client and closes it afterwards; gives the port."""
        listener = self._bound(socket.SOCK_STREAM, host)
        listener.listen(1024)

        def one(conn):
            with conn:
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    script(conn)
                except OSError:
                    pass  # the client has gone

        def serve():
            while True:
                try:
                    conn, _ = listener.accept()
                except OSError:
                    return
                self._thread(one, conn)

        self._thread(serve)
        return listener.getsockname()[1]

    def udp(self, script, host="127.0.0.1"):
        """Calls script(socket, data, peer) for each datagram; gives the port."""
        s = self._bound(socket.SOCK_DGRAM, host)

        def serve():
            while not self.over.is_set():
                try:
                    data, peer = s.recvfrom(2048)
                    if not self.over.is_set():  # else the end of the test has woken us
                        script(s, data, peer)
                except OSError:
                    return

        self._thread(serve)
        return s.getsockname()[1]

    def refused(self, kind=socket.SOCK_STREAM):
        """A port that is taken and at which nobody listens."""
        s = self._bound(kind, "127.0.0.1")
        if kind == socket.SOCK_DGRAM:  # would receive: connected to itself it takes no others
            s.connect(s.getsockname())
        return s.getsockname()[1]

    def stall(self, _conn=None, *_rest):
        """A script that does nothing until the test ends."""
        self.over.wait()

    def close(self):
        self.over.set()
        for s in self.sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        for thread in self.threads:
            thread.join(DEADLINE)


@pytest.fixture
def fakes():
    f = Fakes()
    yield f
    f.close()


def until(condition, seconds=10):
    """Waits for what can only be looked at from outside; how long it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds * SLOW, "it never came true"
        time.sleep(0.005)
    return time.monotonic() - begin


def within(low, high, action):
    """What action() gives, having taken from `low` to `high` seconds; a busy machine may be late, but
    not three times."""
    for attempt in range(3):
        begin = time.monotonic()
        result = action()
        took = time.monotonic() - begin
        assert took >= low
        if took < high * SLOW or attempt == 2:
            break
    assert took < high * SLOW
    return result


@pytest.fixture
def namespace():
    """Words to put before a command, so that it runs in a network of its own with `lo` up."""
    words = ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*words, "ip", "link", "set", "lo", "up"], capture_output=True,
                      check=False).returncode != 0:
        pytest.skip("this machine does not let us make network namespaces")

    def prefix(setup=""):
        return [*words, "sh", "-ec", f'ip link set lo up; {setup}\nexec "$@"', "sh"]

    return prefix
