# SPDX-License-Identifier: MIT
"""`asyncore time` against servers whose every byte is known."""
import calendar
import resource
import selectors
import socket
import subprocess
import threading
import time

import pytest

from conftest import (DEADLINE, PROGRAM, SLOW, early, environment, now_1900, packed,
                      reset, run, signed, within)

TRANSPORTS = ["tcp", "udp"]
YEARS_68 = 2**31 - 1
WRAP = calendar.timegm((2036, 2, 7, 6, 28, 16))  # the number of the protocol is 0 again


def fixed(fakes, transport, answer):
    """A server that answers what answer() gives."""
    if transport == "udp":
        return fakes.udp(lambda s, data, peer: s.sendto(answer(), peer) if data == b"" else None)
    return fakes.tcp(lambda conn: conn.sendall(answer()))


def flags(transport):
    return ["--udp"] if transport == "udp" else []


def ask(backend, transport, *hosts, timeout=None, **options):
    more = flags(transport) + ([] if timeout is None else ["--timeout", timeout])
    return run("time", *more, *hosts, backend=backend, **options)


def failure(result, host, reason):
    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr == f"asyncore time: {host}: {reason}\n"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("delta", [0, 1, -1, 28, YEARS_68, -YEARS_68, -YEARS_68 - 1])
def test_difference(backend, transport, delta, fakes):
    def answer():
        early()
        return packed(now_1900() - delta)

    result = ask(backend, transport, f"127.0.0.1:{fixed(fakes, transport, answer)}")
    assert (result.stdout, result.stderr) == (f"time difference is {delta}\n", "")
    assert result.returncode == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("after", [-1, 0, 16])
def test_both_sides_of_2036(backend, transport, after, fakes):
    # The server's clock is put to that many seconds after the wrap.
    expected = []

    def answer():
        early()
        expected.append(int(time.time()) - (WRAP + after))
        return packed(after)

    result = ask(backend, transport, f"127.0.0.1:{fixed(fakes, transport, answer)}")
    assert result.stdout == f"time difference is {signed(expected[0])}\n"
    assert result.returncode == 0


def test_answer_in_two_pieces(backend, fakes):
    def script(conn):
        early()
        data = packed(now_1900() - 5)
        conn.sendall(data[:1])
        time.sleep(0.05)
        conn.sendall(data[1:])

    result = ask(backend, "tcp", f"127.0.0.1:{fakes.tcp(script)}")
    assert (result.stdout, result.returncode) == ("time difference is 5\n", 0)


@pytest.mark.parametrize("answer, reason", [
    (b"", "connection closed too early by peer"),
    (b"\x01", "answer cut short"),
    (b"\x01\x02\x03", "answer cut short"),
    (b"\x01\x02\x03\x04\x05", "protocol violated by peer"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol violated by peer"),
])
def test_wrong_length_over_tcp(backend, answer, reason, fakes):
    port = fixed(fakes, "tcp", lambda: answer)
    failure(ask(backend, "tcp", f"127.0.0.1:{port}"), f"127.0.0.1:{port}", reason)


@pytest.mark.parametrize("answer", [b"", b"\x01\x02\x03", b"\x01\x02\x03\x04\x05", b"x" * 1400])
def test_wrong_length_over_udp(backend, answer, fakes):
    port = fixed(fakes, "udp", lambda: answer)
    failure(ask(backend, "udp", f"127.0.0.1:{port}"), f"127.0.0.1:{port}", "protocol violated by peer")


def test_fifth_byte_comes_late(backend, fakes):
    def script(conn):
        conn.sendall(b"\x01\x02\x03\x04")
        time.sleep(0.05)
        conn.sendall(b"\x05")
        fakes.stall()

    port = fakes.tcp(script)
    failure(ask(backend, "tcp", f"127.0.0.1:{port}"), f"127.0.0.1:{port}", "protocol violated by peer")


def test_whole_answer_and_silence(backend, fakes):
    def script(conn):
        early()
        conn.sendall(packed(now_1900() - 7))
        fakes.stall()

    begin = time.monotonic()
    result = ask(backend, "tcp", f"127.0.0.1:{fakes.tcp(script)}")
    assert (result.stdout, result.returncode) == ("time difference is 7\n", 0)
    assert time.monotonic() - begin >= 1


def test_silence_is_bounded_by_the_timeout(backend, fakes):
    def script(conn):
        conn.sendall(packed(now_1900()))
        fakes.stall()

    port = fakes.tcp(script)
    result = within(0.3, 0.9, lambda: ask(backend, "tcp", f"127.0.0.1:{port}", timeout="0.3"))
    assert result.returncode == 0


def test_reset_after_a_whole_answer(backend, fakes):
    def script(conn):
        early()
        conn.sendall(packed(now_1900() - 3))
        time.sleep(0.05)
        reset(conn)

    result = ask(backend, "tcp", f"127.0.0.1:{fakes.tcp(script)}")
    assert (result.stdout, result.returncode) == ("time difference is 3\n", 0)


def test_reset(backend, fakes):
    port = fakes.tcp(reset)
    failure(ask(backend, "tcp", f"127.0.0.1:{port}"), f"127.0.0.1:{port}",
            "connection reset by peer")


@pytest.mark.parametrize("sent", [b"", b"\x01\x02"])
def test_stalled(backend, sent, fakes):
    def script(conn):
        conn.sendall(sent)
        fakes.stall()

    port = fakes.tcp(script)
    result = within(0.3, 0.9, lambda: ask(backend, "tcp", f"127.0.0.1:{port}", timeout="0.3"))
    failure(result, f"127.0.0.1:{port}", "connection timed out")


def test_stalled_over_udp(backend, fakes):
    questions = []
    port = fakes.udp(lambda s, data, peer: questions.append(data))

    def once():
        questions.clear()
        return ask(backend, "udp", f"127.0.0.1:{port}", timeout="2.5")

    failure(within(2.5, 3.1, once), f"127.0.0.1:{port}", "connection timed out")
    assert questions == [b"", b"", b""]  # at 0, 1 and 2 s


def test_lost_question_over_udp(backend, fakes):
    questions = []

    def script(s, data, peer):
        questions.append(data)
        if len(questions) == 2:
            early()
            s.sendto(packed(now_1900() - 2), peer)

    result = ask(backend, "udp", f"127.0.0.1:{fakes.udp(script)}")
    assert (result.stdout, result.returncode) == ("time difference is 2\n", 0)
    assert questions == [b"", b""]


def test_answer_from_a_stranger_over_udp(backend, fakes):
    def script(s, data, peer):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(packed(1), peer)
        early()
        s.sendto(packed(now_1900() - 4), peer)

    result = ask(backend, "udp", f"127.0.0.1:{fakes.udp(script)}")
    assert (result.stdout, result.returncode) == ("time difference is 4\n", 0)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_refused(backend, transport, fakes):
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    port = fakes.refused(kind)
    if transport == "udp":
        with fakes.sockets.pop():  # freed: the kernel answers for it
            pass
    failure(within(0, 1, lambda: ask(backend, transport, f"127.0.0.1:{port}")),
            f"127.0.0.1:{port}", "connection refused")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("route, reason", [
    ("unreachable", "no route to host"),
    ("prohibit", "permission denied"),
    ("blackhole", None),
])
def test_no_way_there(backend, transport, route, reason, namespace):
    command = namespace(f"ip route add {route} 192.0.2.1/32")
    result = subprocess.run([*command, PROGRAM, "time", *flags(transport), "--timeout", "0.5",
                             "192.0.2.1"],
                            env=environment(backend), capture_output=True, text=True,
                            timeout=DEADLINE, check=False)
    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr.startswith("asyncore time: 192.0.2.1:37: ")
    if reason:
        assert result.stderr.endswith(f": {reason}\n")


def test_default_port_and_ipv6_label(namespace):
    result = subprocess.run([*namespace(), PROGRAM, "time", "::1", "127.0.0.1", "[::1]:5"],
                            env=environment(), capture_output=True, text=True, timeout=DEADLINE,
                            check=False)
    assert result.returncode == 1
    assert sorted(result.stderr.splitlines()) == [
        "asyncore time: 127.0.0.1:37: connection refused",
        "asyncore time: [::1]:37: connection refused",
        "asyncore time: [::1]:5: connection refused",
    ]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_ipv6(backend, transport, fakes):
    def answer():
        early()
        return packed(now_1900())

    if transport == "udp":
        port = fakes.udp(lambda s, data, peer: s.sendto(answer(), peer), "::1")
    else:
        port = fakes.tcp(lambda conn: conn.sendall(answer()), "::1")
    result = ask(backend, transport, f"[::1]:{port}")
    assert (result.stdout, result.returncode) == ("time difference is 0\n", 0)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_localhost(backend, transport, fakes):
    # Served on IPv4 alone, so that the first address is refused where there are two.
    def answer():
        early()
        return packed(now_1900())

    port = fixed(fakes, transport, answer)
    result = ask(backend, transport, f"localhost:{port}", timeout="5")
    assert (result.stdout, result.returncode) == ("time difference is 0\n", 0), result.stderr


def test_several_as_they_answer(backend, fakes):
    early()
    base = now_1900()
    order = [threading.Event() for _ in range(3)]

    def script(i):
        def wait_and_answer(conn):
            if i < 2:
                order[i + 1].wait(DEADLINE)
                time.sleep(0.05)
            conn.sendall(packed(base - 100 * i))
            order[i].set()
        return wait_and_answer

    ports = [fakes.tcp(script(i)) for i in range(3)]
    result = ask(backend, "tcp", *(f"127.0.0.1:{p}" for p in ports))
    lines = result.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"127.0.0.1:{p}" for p in reversed(ports)]
    for i, line in enumerate(reversed(lines)):
        delta = int(line.split(": time difference is ")[1])
        assert 100 * i <= delta <= 100 * i + 2
    assert (result.stderr, result.returncode) == ("", 0)


def test_one_of_several_fails(backend, fakes):
    def answer():
        early()
        return packed(now_1900())

    good, bad = fixed(fakes, "tcp", answer), fakes.refused()
    result = ask(backend, "tcp", f"127.0.0.1:{bad}", f"127.0.0.1:{good}")
    assert result.stdout == f"127.0.0.1:{good}: time difference is 0\n"
    assert result.stderr == f"asyncore time: 127.0.0.1:{bad}: connection refused\n"
    assert result.returncode == 1


def test_same_server_twice(backend, fakes):
    port = fixed(fakes, "tcp", lambda: packed(now_1900()))
    result = ask(backend, "tcp", f"127.0.0.1:{port}", f"127.0.0.1:{port}")
    assert (len(result.stdout.splitlines()), result.returncode) == (2, 0)


class Delayed(threading.Thread):
    """Many listeners; each client is answered after a delay."""

    def __init__(self, count, delay):
        super().__init__(daemon=True)
        self.delay = delay
        self.selector = selectors.DefaultSelector()
        self.listeners = []
        self.over = False
        self.most = 0  # clients that waited at once
        for _ in range(count):
            s = socket.create_server(("127.0.0.1", 0))
            s.setblocking(False)
            self.selector.register(s, selectors.EVENT_READ)
            self.listeners.append(s)
        self.ports = [s.getsockname()[1] for s in self.listeners]

    def run(self):
        waiting = []  # (due, connection), in order
        while not self.over:
            timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else 0.05
            for key, _ in self.selector.select(timeout):
                conn, _ = key.fileobj.accept()
                waiting.append((time.monotonic() + self.delay, conn))
            self.most = max(self.most, len(waiting))
            while waiting and waiting[0][0] <= time.monotonic():
                with waiting.pop(0)[1] as conn:
                    conn.sendall(packed(now_1900()))

    def close(self):
        self.over = True
        self.join(DEADLINE)
        for s in self.listeners:
            s.close()


@pytest.fixture
def delayed():
    made = []

    def make(count, delay):
        made.append(Delayed(count, delay))
        made[-1].start()
        return made[-1]

    yield make
    for d in made:
        d.close()


def soft_limit(n, hard=None):
    def apply():
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (n, hard or resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return apply


def test_a_thousand_at_once(backend, delayed):
    # Each answers after 200 ms; one after the other would be 200 s. The soft limit is far too low.
    servers = delayed(1000, 0.2)
    hosts = [f"127.0.0.1:{p}" for p in servers.ports]
    best = float("inf")
    for _ in range(3):  # what else runs on the machine can only add to it
        begin = time.monotonic()
        result = ask(backend, "tcp", *hosts, preexec_fn=soft_limit(256))
        best = min(best, time.monotonic() - begin)
        assert (result.stderr, result.returncode) == ("", 0)
        lines = result.stdout.splitlines()
        assert sorted(line.split(": ")[0] for line in lines) == sorted(hosts)
        assert all(line.split(" is ")[1] in ("0", "1") for line in lines)
        if best <= 0.6 * SLOW:
            break
    print(f"1,000 servers after 200 ms, {backend}: {best * 1000:.0f} ms")
    assert best <= 0.6 * SLOW


def test_more_hosts_than_descriptors(backend, delayed):
    servers = delayed(300, 0.02)
    hosts = [f"127.0.0.1:{p}" for p in servers.ports]
    result = ask(backend, "tcp", *hosts, preexec_fn=soft_limit(64, 64))
    assert (result.stderr, result.returncode) == ("", 0)
    assert len(result.stdout.splitlines()) == 300
    assert 16 <= servers.most <= 64


def answer_dns(question, address):
    """The response to a question for an address: `address` to A, nothing to others; None: no name."""
    end = question.index(b"\0", 12) + 1
    kind = question[end:end + 2]
    found = address is not None and kind == b"\0\1"
    head = question[:2] + (b"\x81\x80" if address else b"\x81\x83") + b"\0\1"
    head += b"\0\1" if found else b"\0\0"
    body = question[12:end + 4]
    if found:
        body += b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4" + socket.inet_aton(address)
    return head + b"\0\0\0\0" + body


def test_name_of_a_name_server(backend, fakes):
    dns = fakes.udp(lambda s, data, peer: s.sendto(answer_dns(data, "127.0.0.1"), peer))

    def answer():
        early()
        return packed(now_1900())

    port = fixed(fakes, "tcp", answer)
    result = ask(backend, "tcp", "--nameserver", f"127.0.0.1:{dns}", f"time.test:{port}")
    assert (result.stdout, result.stderr) == ("time difference is 0\n", "")


def test_no_such_name(backend, fakes):
    dns = fakes.udp(lambda s, data, peer: s.sendto(answer_dns(data, None), peer))
    result = ask(backend, "tcp", "--nameserver", f"127.0.0.1:{dns}", "time.test")
    failure(result, "time.test:37", "name not found")


def test_name_server_is_silent(backend, fakes):
    dns = fakes.udp(fakes.stall)
    result = within(0.5, 1, lambda: ask(backend, "tcp", "--nameserver", f"127.0.0.1:{dns}",
                                        "time.test", timeout="0.5"))
    failure(result, "time.test:37", "connection timed out")


@pytest.mark.parametrize("name", ["a..b", "1.2.3.4 x", "x" * 300, "\x1b[31mred", "t\u00e9.test"])
def test_no_name_at_all(name):
    result = run("time", name + ":37")
    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr.startswith("asyncore time: ")
    assert result.stderr.count("\n") == 1
    assert all(" " <= c <= "~" for c in result.stderr.rstrip("\n"))


def test_verbose(backend, fakes):
    port = fixed(fakes, "tcp", lambda: packed(now_1900()))
    result = ask(backend, "tcp", "-v", f"127.0.0.1:{port}")
    added, closed = result.stderr.splitlines()
    assert added.startswith("log: adding channel <TimeRequest  at ")
    assert closed.startswith("log: closing channel ")
    assert "<TimeRequest connected at " in closed
