# SPDX-License-Identifier: MIT
"""Programs of others on the far side: xinetd serves, rdate and busybox ask.

A peer that is missing fails its test: `make test PEERS=no` is how to leave them out.
"""
import calendar
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from conftest import DEADLINE, PEERS, PROGRAM, early, environment, read_line, run, until

XINETD = PEERS / "usr/sbin/xinetd"

CONFIG = """
service time
{{
    type            = INTERNAL UNLISTED
    id              = time-{socket}
    socket_type     = {socket}
    protocol        = {protocol}
    port            = {port}
    bind            = 127.0.0.1
    user            = {user}
    wait            = {wait}
    disable         = no
}}
"""


def free_port():
    """A port that is free over TCP and UDP; xinetd cannot be asked which one it got."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
                return tcp.getsockname()[1]
            except OSError:
                continue


def start_xinetd(folder, port):
    (folder / "xinetd.conf").write_text("".join(
        CONFIG.format(socket=kind, protocol=protocol, port=port, wait=wait, user=os.getuid())
        for kind, protocol, wait in (("stream", "tcp", "no"), ("dgram", "udp", "yes"))))
    with open(folder / "xinetd.out", "wb") as out:
        return subprocess.Popen([XINETD, "-dontfork", "-f", folder / "xinetd.conf", "-filelog",
                                 folder / "xinetd.log", "-pidfile", folder / "xinetd.pid"],
                                stdin=subprocess.DEVNULL, stdout=out, stderr=out)


@pytest.fixture
def xinetd(tmp_path):
    """The port of a xinetd that serves the time over TCP and UDP."""
    assert XINETD.exists(), f"no xinetd at {XINETD}: scripts/peers brings it"

    def answers(port):
        with socket.socket() as s, socket.socket(type=socket.SOCK_DGRAM) as taken:
            if s.connect_ex(("127.0.0.1", port)) != 0:
                return False
            try:  # over UDP it is ready when the port is taken
                taken.bind(("127.0.0.1", port))
                return False
            except OSError:
                return True

    for attempt in range(5):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        port = free_port()
        process = start_xinetd(folder, port)
        try:
            until(lambda: process.poll() is not None or answers(port))
            if process.poll() is None:
                yield port
                return
        finally:
            process.kill()  # it ignores a polite signal while it reads its configuration
            process.wait(DEADLINE)
    pytest.fail("xinetd does not start: " + (folder / "xinetd.out").read_text())


@pytest.mark.parametrize("flags", [[], ["--udp"]])
def test_our_client_asks_xinetd(backend, flags, xinetd):
    early()
    result = run("time", *flags, f"127.0.0.1:{xinetd}", backend=backend)
    assert (result.stdout, result.stderr) == ("time difference is 0\n", "")
    assert result.returncode == 0


def test_our_example_asks_xinetd(backend, xinetd):
    early()
    result = run("127.0.0.1", xinetd, program=os.path.dirname(PROGRAM) + "/examples/time_client",
                 backend=backend)
    assert (result.stdout, result.stderr) == ("time difference is 0\n", "")


def peer(name):
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert path, f"{name} is not installed: scripts/deps peers"
    return path


def the_time(text):
    """The one time of UTC that the text holds, in seconds since 1970."""
    found = re.search(r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d(?: UTC)? \d{4}", text)
    assert found, text
    return calendar.timegm(time.strptime(found[0].replace(" UTC", "")))


@pytest.mark.parametrize("flags", [[], ["-u"]])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_rdate_asks_our_server(backend, flags, host, server):
    s = server("timed", "--port", 0, *["--udp" for _ in flags], backend=backend)
    early()
    begin = int(time.time())
    result = run("-p", *flags, "-o", s.port, host, program=peer("rdate"),
                 env={"TZ": "UTC"})
    assert result.returncode == 0, result.stderr
    assert begin <= the_time(result.stdout) <= time.time()
    assert s.stop() == (0, "", "")


def test_busybox_asks_our_server(backend, namespace):
    # busybox knows port 37 alone, so it meets our server in a network of its own.
    script = f"""
        "{PROGRAM}" timed --bind 127.0.0.1 & pid=$!
        read -r _ # the test has seen the line
        "$1" rdate -p 127.0.0.1; status=$?
        kill $pid && wait $pid && exit $status
    """
    process = subprocess.Popen([*namespace(), "sh", "-c", script, "sh", peer("busybox")],
                               env=environment(backend, TZ="UTC"), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert read_line(process) == "listening on port 37\n"
    early()
    begin = int(time.time())
    out, err = process.communicate("\n", timeout=DEADLINE)
    assert (err, process.returncode) == ("", 0)
    assert begin <= the_time(out) <= time.time()


def test_busybox_does_not_serve():
    # Debian's busybox is built without inetd. If one serves some day, our client is to ask it.
    applets = subprocess.run([peer("busybox"), "--list"], capture_output=True, text=True,
                             timeout=DEADLINE, check=True).stdout.split()
    assert "rdate" in applets
    assert "inetd" not in applets
