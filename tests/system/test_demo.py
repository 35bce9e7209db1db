# SPDX-License-Identifier: MIT
"""`asyncore demo`: all of it on this machine alone."""
import re
import subprocess
import time

from conftest import DEADLINE, PROGRAM, environment, run

PAGE = ("<title>The asyncore library</title>\n<h1>Dispatchers</h1>\n"
        "<p>A socket is an object.</p>\n<h1>Consumers</h1>\n")


def fetched(version):
    """What is printed of a response with the page."""
    return ("status => HTTP/1.1 200 OK\n"
            f"Server = asyncore/{version}\n"
            "Content-Type = text/html; charset=utf-8\n"
            f"Content-Length = {len(PAGE)}\n"
            "Connection = close\n"
            f"{len(PAGE)} bytes in body\n")


def log_of(text):
    """The lines of the log, without what differs from run to run."""
    return [re.sub(r"at [0-9a-f]+>", "at X>", re.sub(r"channel \d+:", "channel N:", line))
            for line in text.splitlines()]


def test_demo(backend):
    result = run("demo", backend=backend)
    assert result.returncode == 0
    times, port, pages = re.fullmatch(
        r"((?:listening on port [1-9]\d*\ntime difference is 0\n){2})"
        r"listening on port ([1-9]\d*)\n(.*)", result.stdout, re.S).groups()
    assert times.count("\n") == 4
    version = run("--version").stdout.split()[-1]
    assert pages == (
        fetched(version)
        + f"redirecting to http://127.0.0.1:{port}/library/ ...\n"
        + fetched(version)
        + "connection failed\n"
        + "heading: Dispatchers\nheading: Consumers\nend of page\n")


def test_log(backend):
    log = log_of(run("demo", backend=backend).stderr)
    assert sorted(log) == sorted(
        ["log: adding channel <TimeServer  at X>"] * 2
        + ["log: adding channel <TimeRequest  at X>"] * 2
        + ["log: adding channel <TimeChannel  at X>"]
        + ["log: closing channel N:<TimeServer listening at X>"]
        + ["log: closing channel N:<TimeServer  at X>"]
        + ["log: closing channel N:<TimeRequest connected at X>"] * 2
        + ["log: closing channel N:<TimeChannel connected at X>"]
        # The origin, and the one that makes a port at which nobody listens.
        + ["log: adding channel <HTTPServer  at X>"] * 2
        + ["log: closing channel N:<HTTPServer listening at X>"] * 2
        # A page, a redirect and where it leads to, the page again; and the refused one.
        + ["log: adding channel <AsyncHTTP  at X>"] * 5
        + ["log: closing channel N:<AsyncHTTP connected at X>"] * 4
        + ["log: closing channel N:<AsyncHTTP  at X>"]
        + ["log: adding channel <HTTPChannel  at X>"] * 4
        + ["log: closing channel N:<HTTPChannel connected at X>"] * 4)
    assert log[:3] == [
        "log: adding channel <TimeServer  at X>",
        "log: adding channel <TimeRequest  at X>",
        "log: adding channel <TimeChannel  at X>",
    ]


def test_log_comes_before_what_is_served():
    # In one stream, the order is that of the classic: the channel is added, then said to listen.
    result = subprocess.run([PROGRAM, "demo"], env=environment(), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            timeout=DEADLINE, check=True)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("log: adding channel <TimeServer  at ")
    assert lines[1].startswith("listening on port ")
    assert lines[2].startswith("log: adding channel <TimeRequest  at ")

    def places(start):
        return [i for i, line in enumerate(lines) if line.startswith(start)]

    origin = places("log: adding channel <HTTPServer  at ")[0]
    assert places("time difference is ")[1] < origin < places("listening on port ")[2] \
        < places("log: adding channel <AsyncHTTP  at ")[0] \
        < places("log: adding channel <HTTPChannel  at ")[0] < places("status => ")[0]


def test_page_is_parsed_while_it_arrives(backend):
    # Its second half is sent 50 ms behind the first. A busy machine may hide that from us.
    for _ in range(10):
        when = {}
        with subprocess.Popen([PROGRAM, "demo"], env=environment(backend), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            for line in process.stdout:
                when[line] = time.monotonic()
        if when["heading: Consumers\n"] - when["heading: Dispatchers\n"] > 0.03:
            return
    raise AssertionError("the headings come together")


def test_output_fails():
    with open("/dev/full", "w", encoding="ascii") as full:
        result = run("demo", stdout=full)
    assert result.returncode == 1
    assert "asyncore demo: standard output: no space left on device\n" in result.stderr
