# SPDX-License-Identifier: MIT
"""`asyncore timed`, asked by raw sockets, also by bad ones."""
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import time

import pytest

from conftest import DEADLINE, SANITIZED, SLOW, Server, now_1900, reset, run, until


def connect(port, host="127.0.0.1"):
    return socket.create_connection((host, port), DEADLINE)


def all_of(conn):
    data = b""
    while piece := conn.recv(100):
        data += piece
    return data


def udp(host="127.0.0.1"):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(DEADLINE)
    return s


def is_now(data):
    return len(data) == 4 and 0 <= now_1900() - struct.unpack(">I", data)[0] <= 1


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_tcp(backend, host, server):
    s = server("timed", "--port", 0, backend=backend)
    with connect(s.port, host) as conn:
        assert is_now(all_of(conn))
    assert s.stop() == (0, "", "")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_udp(backend, host, server):
    # A connected socket takes an answer only from the address that it asked.
    s = server("timed", "--port", 0, "--udp", backend=backend)
    with udp(host) as sock:
        sock.connect((host, s.port))
        sock.send(b"")
        assert is_now(sock.recv(100))
    assert s.stop() == (0, "", "")


def test_udp_answers_only_empty_datagrams(backend, server):
    s = server("timed", "--port", 0, "--udp", backend=backend)
    with udp() as sock, udp() as other:
        sock.connect(("127.0.0.1", s.port))
        other.connect(("127.0.0.1", s.port))
        for data in (b"x", b"\0\0\0\0", b"y" * 2000):
            sock.send(data)
        other.send(b"")
        assert is_now(other.recv(100))  # so the ones before have been dealt with
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(100)
    assert s.stop() == (0, "", "")


def test_udp_does_not_serve_tcp(server):
    s = server("timed", "--port", 0, "--udp")
    with pytest.raises(ConnectionRefusedError):
        connect(s.port)


def test_udp_many(backend, server):
    s = server("timed", "--port", 0, "--udp", backend=backend)
    with udp() as sock:
        sock.connect(("127.0.0.1", s.port))
        for _ in range(200):
            sock.send(b"")
        for _ in range(200):
            assert is_now(sock.recv(100))


def test_bind(server):
    s = server("timed", "--port", 0, "--bind", "127.0.0.1")
    with connect(s.port) as conn:
        assert is_now(all_of(conn))
    with pytest.raises(ConnectionRefusedError):
        connect(s.port, "127.0.0.2")


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("transport", [[], ["--udp"]])
def test_signal(backend, signo, transport, server):
    s = server("timed", "--port", 0, *transport, backend=backend)
    assert s.stop(signo) == (0, "", "")


def test_signal_with_clients(backend, server):
    s = server("timed", "--port", 0, backend=backend)
    conns = [connect(s.port) for _ in range(20)]
    assert all(is_now(conn.recv(4)) for conn in conns)
    assert s.stop() == (0, "", "")
    for conn in conns:
        conn.close()


def test_input_does_not_destroy_the_answer(backend, server):
    # Closing a socket that holds input nobody read resets the connection.
    s = server("timed", "--port", 0, backend=backend)
    for _ in range(50):
        with connect(s.port) as conn:
            conn.sendall(b"GET / HTTP/1.0\r\n\r\n" * 20)
            assert is_now(all_of(conn))


def test_client_that_shuts_its_side(backend, server):
    s = server("timed", "--port", 0, backend=backend)
    with connect(s.port) as conn:
        conn.shutdown(socket.SHUT_WR)
        assert is_now(all_of(conn))


def test_clients_that_reset(backend, server):
    s = server("timed", "--port", 0, backend=backend)
    for i in range(100):
        conn = connect(s.port)
        if i % 2:
            conn.recv(4)
        reset(conn)
    with connect(s.port) as conn:
        assert is_now(all_of(conn))
    until(lambda: s.sockets() == 1)
    assert s.stop() == (0, "", "")


def test_clients_that_reset_before_they_are_served(backend, server):
    # They are no event worth a line, and nobody else waits for them.
    s = server("timed", "--port", 0, backend=backend)
    s.process.send_signal(signal.SIGSTOP)
    for _ in range(50):
        reset(connect(s.port))
    s.process.send_signal(signal.SIGCONT)
    with connect(s.port) as conn:
        assert is_now(all_of(conn))
    until(lambda: s.sockets() == 1)
    assert s.stop() == (0, "", "")


def test_same_port_again(server):
    # A connection that the server ended first is no reason to refuse the port.
    first = server("timed", "--port", 0)
    with connect(first.port) as conn:
        assert is_now(all_of(conn))
        first.stop()
        server("timed", "--port", first.port)


@pytest.mark.parametrize("bind, label", [([], "port {}"), (["--bind", "127.0.0.1"],
                                                           "127.0.0.1:{}")])
def test_port_is_taken(bind, label):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run("timed", "--port", port, *bind)
    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr == f"asyncore timed: {label.format(port)}: address already in use\n"


def test_address_of_others():
    result = run("timed", "--port", 0, "--bind", "192.0.2.1")
    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr == "asyncore timed: 192.0.2.1:0: cannot assign requested address\n"


def test_verbose(backend, server):
    s = server("timed", "--port", 0, "-v", backend=backend)
    with connect(s.port) as conn:
        all_of(conn)
    _, _, err = s.stop()
    lines = err.splitlines()
    hexes = "[0-9a-f]+"
    assert re.fullmatch(f"log: adding channel <TimeServer  at {hexes}>", lines[0])
    assert re.fullmatch(f"log: adding channel <TimeChannel  at {hexes}>", lines[1])
    assert re.fullmatch(rf"log: closing channel \d+:<TimeChannel connected at {hexes}>", lines[2])
    assert re.fullmatch(rf"log: closing channel \d+:<TimeServer listening at {hexes}>", lines[3])
    assert len(lines) == 4


def test_idle_server_sleeps(backend, server):
    s = server("timed", "--port", 0, backend=backend)
    with connect(s.port) as conn:
        all_of(conn)

    def used():
        with open(f"/proc/{s.pid}/stat", encoding="ascii") as f:
            return sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])

    def switches():
        with open(f"/proc/{s.pid}/status", encoding="ascii") as f:
            return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M)[1])

    until(lambda: s.sockets() == 1)
    before = used(), switches()
    time.sleep(0.5)  # the time that is measured
    assert used() - before[0] <= 2
    assert switches() - before[1] <= 2


def hold(port, count):
    """Connects that often; nothing is read, and nothing closed."""
    conns = []
    for _ in range(count):
        conn = socket.socket()
        conn.connect(("127.0.0.1", port))
        conns.append(conn)
    return conns


def one_client(s):
    with connect(s.port) as conn:
        assert is_now(all_of(conn))


@pytest.fixture
def crowd():
    """Sockets that are closed with the test, also where it fails."""
    conns = []
    yield conns
    for conn in conns:
        conn.close()


def test_ten_thousand_that_never_read(backend, server, crowd):
    s = server("timed", "--port", 0, backend=backend)
    one_client(s)
    until(lambda: s.sockets() == 1)
    fds, memory = s.descriptors(), s.resident()

    def left():
        """Descriptors and KiB more than before; a sanitizer's own memory is not counted."""
        return s.descriptors() - fds, 0 if SANITIZED else (s.resident() - memory) // 1024

    for attempt in range(3):  # a busy machine may be late, but not three times
        most = 0
        for _ in range(20):
            crowd += hold(s.port, 500)
            most = max(most, s.descriptors() - fds)
        begin = time.monotonic()
        state = left()
        while (state[0] > 0 or state[1] > 1024) and time.monotonic() - begin <= 1 * SLOW:
            time.sleep(0.005)
            state = left()
        print(f"{backend}: at most {most} clients at once; {time.monotonic() - begin:.3f} s after "
              f"the last, {state[0]} descriptors and {state[1]} KiB more than before")
        if state[0] == 0 and state[1] <= 1024:
            break
        until(lambda: s.sockets() == 1)
        while crowd:
            crowd.pop().close()
    assert state[0] == 0
    assert state[1] <= 1024
    one_client(s)
    assert s.stop() == (0, "", "")


def test_no_descriptors(server):
    # The soft limit is raised to the hard one; here that is low, and clients wait their turn.
    limit = ["prlimit", "--nofile=32:32"]
    s = server("timed", "--port", 0, prefix=limit)
    assert resource.prlimit(s.pid, resource.RLIMIT_NOFILE) == (32, 32)
    conns = hold(s.port, 60)
    begin = time.monotonic()
    for conn in conns:
        conn.settimeout(DEADLINE)
        assert is_now(conn.recv(4)) or time.monotonic() - begin > 1
        conn.close()
    assert s.stop()[0] == 0


def test_soft_limit_is_raised(server):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    s = server("timed", "--port", 0, prefix=["prlimit", "--nofile=32:"])
    assert resource.prlimit(s.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_ends_with_its_output(tmp_path):
    # Where nobody can learn the port, serving is of no use.
    with open("/dev/full", "w", encoding="ascii") as full:
        result = run("timed", "--port", 0, stdout=full)
    assert result.returncode == 1
    assert result.stderr == "asyncore timed: standard output: no space left on device\n"
