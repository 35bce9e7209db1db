# SPDX-License-Identifier: MIT
"""The examples: compiled as a user would, and run."""
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import threading

import pytest

from conftest import (BUILD, DEADLINE, SANITIZED, SOURCE, early, environment, now_1900, packed,
                      read_line, run, until)
from origin import Origin, response

EXAMPLES = sorted(path.name[:-2] for path in (SOURCE / "examples").glob("*.c"))


def example(name):
    return BUILD / "examples" / name


def test_all_are_here():
    assert EXAMPLES == ["echo_server", "http_get", "http_html", "http_redirect", "time_client",
                        "time_server"]
    for name in EXAMPLES:
        assert example(name).exists()


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_needs_only_the_public_headers(name, compiler, tmp_path):
    # From a folder that has nothing of the project but a copy of its headers.
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    shutil.copytree(SOURCE / "include", tmp_path / "include",
                    ignore=shutil.ignore_patterns("meson.build"))
    shutil.copy(SOURCE / "examples" / f"{name}.c", tmp_path)
    result = subprocess.run(
        [compiler, "-std=c11", "-D_DEFAULT_SOURCE", "-O2", "-Wall", "-Wextra", "-Wpedantic",
         "-Wconversion", "-Wshadow", "-Werror", "-Iinclude", "-c", f"{name}.c"],
        cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name, lines", [("time_client", 40), ("time_server", 45), ("http_get", 50),
                                         ("http_redirect", 75), ("http_html", 75)])
def test_is_as_short_as_it_should_be(name, lines):
    text = (SOURCE / "examples" / f"{name}.c").read_text(encoding="ascii")
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= lines


@pytest.mark.parametrize("name", ["time_server", "echo_server"])
def test_a_port_in_use_is_told(name, server):
    s = server(0, program=example(name))
    result = run(s.port, program=example(name))
    assert (result.returncode, result.stderr) == (
        1, f"{name}: cannot listen: Address already in use\n")


def test_time_client_asks_time_server(backend, server):
    s = server(0, program=example("time_server"), backend=backend)
    for host in ("127.0.0.1", "::1", "localhost"):
        early()
        result = run(host, s.port, program=example("time_client"), backend=backend)
        assert (result.stdout, result.stderr) == ("time difference is 0\n", "")
        assert result.returncode == 0


def test_time_client_and_split_answer(backend, fakes):
    def script(conn):
        early()
        data = packed(now_1900() + 9)
        conn.sendall(data[:1])
        conn.sendall(data[1:])

    result = run("127.0.0.1", fakes.tcp(script), program=example("time_client"), backend=backend)
    assert (result.stdout, result.returncode) == ("time difference is -9\n", 0)


def test_time_client_without_a_server(backend, fakes):
    port = fakes.refused()
    result = run("127.0.0.1", port, program=example("time_client"), backend=backend)
    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr.count("\n") == 1
    for part in ("TimeRequest", "ECONNREFUSED", "Connection refused", f"127.0.0.1:{port}"):
        assert part in result.stderr


def test_examples_log_when_told_to(server):
    s = server(0, program=example("time_server"))
    result = run("127.0.0.1", s.port, program=example("time_client"),
                 env={"ASYNCORE_VERBOSE": "1"})
    added, closed = result.stderr.splitlines()
    assert re.fullmatch("log: adding channel <TimeRequest  at [0-9a-f]+>", added)
    assert re.fullmatch(r"log: closing channel \d+:<TimeRequest connected at [0-9a-f]+>", closed)


def test_echo(backend, server):
    s = server(0, program=example("echo_server"), backend=backend)
    sent = os.urandom(4 << 20)
    got = bytearray()
    with socket.create_connection(("127.0.0.1", s.port), DEADLINE) as conn:
        def send():
            conn.sendall(sent)
            conn.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        while piece := conn.recv(1 << 16):
            got += piece
        sender.join()
    assert got == sent


def test_echo_holds_back_who_does_not_read(backend, server):
    # 64 MiB are offered; the server takes a few, and gives each back once they are read.
    s = server(0, program=example("echo_server"), backend=backend)
    with socket.create_connection(("127.0.0.1", s.port), DEADLINE) as conn:
        conn.sendall(b"x")
        assert conn.recv(1) == b"x"
        before = s.resident()
        conn.setblocking(False)
        sent = 0
        block = struct.pack(">I", 0) * 16384
        try:
            while sent < 64 << 20:
                sent += conn.send(block)
        except BlockingIOError:
            pass
        full = []

        def is_full():  # nothing more is taken for a while
            nonlocal sent
            try:
                sent += conn.send(block)
                full.clear()
            except BlockingIOError:
                full.append(1)
            return len(full) > 20

        until(is_full)
        assert sent < 64 << 20
        if not SANITIZED:
            assert s.resident() - before < 1 << 20
        with socket.create_connection(("127.0.0.1", s.port), DEADLINE) as other:
            other.sendall(b"alive")
            assert other.recv(5) == b"alive"
        conn.settimeout(DEADLINE)
        conn.shutdown(socket.SHUT_WR)
        got = 0
        while piece := conn.recv(1 << 16):
            got += len(piece)
        assert got == sent


# --- HTTP -----------------------------------------------------------------------------------------

@pytest.fixture
def origin():
    o = Origin()
    yield o
    o.close()


def cut(request):
    """A response whose connection ends before it does."""
    request.conn.sendall(response(b"x" * 100, fields=[("X-Name", "value")])[:-1])


def test_http_get(backend, origin):
    origin.routes["/"] = response(b"x" * 1000,
                                  fields=[("Content-Type", "text/plain"), ("X-Name", "")])
    result = run(origin.url(), program=example("http_get"), backend=backend)
    assert result.stdout == ("status => HTTP/1.1 200 OK\n"
                             "Content-Length = 1000\n"
                             "Content-Type = text/plain\n"
                             "X-Name = \n"
                             "1000 bytes in body\n")
    assert (result.stderr, result.returncode) == ("", 0)
    assert [(r.method, r.get("Host")) for r in origin.log] == [("GET", f"127.0.0.1:{origin.port}")]


def test_http_get_chunked(origin):
    origin.routes["/"] = response(b"4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\nX-Sum: 9\r\n\r\n",
                                  "404 No Such Thing", [("Transfer-Encoding", "chunked")],
                                  length=False)
    result = run(origin.url(), program=example("http_get"))
    assert (result.stdout, result.returncode) == (
        "status => HTTP/1.1 404 No Such Thing\nTransfer-Encoding = chunked\n9 bytes in body\n", 0)


def test_http_get_of_a_response_that_is_cut(backend, origin):
    origin.routes["/"] = cut
    result = run(origin.url(), program=example("http_get"), backend=backend)
    assert result.stdout == ("status => HTTP/1.1 200 OK\nContent-Length = 100\nX-Name = value\n"
                             "99 bytes in body (not whole)\n")


def test_http_get_without_a_server(backend, fakes):
    result = run(f"http://127.0.0.1:{fakes.refused()}/", program=example("http_get"),
                 backend=backend)
    assert result.stdout == "connection failed\n0 bytes in body (not whole)\n"


def test_http_redirect(backend, origin):
    def moved(location, status):
        return response(b"moved" * 1000, status, [("Location", location)])

    origin.routes["/library"] = moved("/library/", "301 Moved Permanently")
    origin.routes["/library/"] = moved(origin.url("/last?a=b"), "302 Found")
    origin.routes["/last?a=b"] = response(b"page\n")
    result = run(origin.url("/library"), program=example("http_redirect"), backend=backend)
    assert result.stdout == (f"redirecting to {origin.url('/library/')} ...\n"
                             f"redirecting to {origin.url('/last?a=b')} ...\n"
                             "status => HTTP/1.1 200 OK\n5 bytes in body\n")
    assert (result.stderr, result.returncode) == ("", 0)
    assert origin.targets() == ["/library", "/library/", "/last?a=b"]


@pytest.mark.parametrize("status, location", [
    ("200 OK", "/elsewhere"), ("303 See Other", "/elsewhere"), ("301 Moved Permanently", None),
    ("302 Found", "ftp://127.0.0.1/")])
def test_http_redirect_leaves_the_rest_alone(status, location, origin):
    fields = [("Location", location)] if location else []
    origin.routes["/"] = response(b"body", status, fields)
    result = run(origin.url(), program=example("http_redirect"))
    assert result.stdout == f"status => HTTP/1.1 {status}\n4 bytes in body\n"
    assert origin.targets() == ["/"]


def test_http_redirect_to_nobody(backend, origin, fakes):
    nobody = f"http://127.0.0.1:{fakes.refused()}/"
    origin.routes["/"] = response(b"", "302 Found", [("Location", nobody)])
    result = run(origin.url(), program=example("http_redirect"), backend=backend)
    assert result.stdout == (f"redirecting to {nobody} ...\nconnection failed\n"
                             "0 bytes in body (not whole)\n")


def test_http_html_while_the_page_arrives(backend, origin):
    seen = threading.Event()

    def page(request):
        request.conn.sendall(
            response(b"<title>A &amp; B</title><body><h1>One <i>two</i></h1>",
                     fields=[("Content-Type", "text/html; charset=utf-8")], length=False))
        seen.wait(DEADLINE)
        request.conn.sendall(b"<p>No heading<h6>Three\n\xc3\xa9</h6>")

    origin.routes["/"] = page
    with subprocess.Popen([example("http_html"), origin.url()], text=True, encoding="utf-8",
                          env=environment(backend), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert read_line(process) == "title: A & B\n"
        assert process.stdout.readline() == "h1: One two\n"
        assert process.poll() is None
        seen.set()
        out, err = process.communicate(timeout=DEADLINE)
    assert (out, err, process.returncode) == ("h6: Three \u00e9\n", "", 0)


def test_http_html_prints_no_controls(origin):
    origin.routes["/"] = response("<title>a\x1b[31mb\x7fc\x9b1md\u202f</title>".encode(),
                                  fields=[("Content-Type", "text/html; charset=utf-8")])
    result = run(origin.url(), program=example("http_html"), encoding="utf-8")
    assert re.fullmatch("title: a ?\\[31mb ?c ?1md\u202f\n", result.stdout)


def test_http_html_failures(backend, origin, fakes):
    def fails(url, text):
        result = run(*url, program=example("http_html"), backend=backend)
        assert re.fullmatch(f"{text}\n", result.stderr)
        return result

    origin.routes["/"] = cut
    assert fails([origin.url()], "http_html: .+").returncode == 1
    refused = f"http://127.0.0.1:{fakes.refused()}/"
    assert fails([refused], "http_html: Connection refused").returncode == 1
    assert fails(["nothing"], "http_html: .+").returncode == 1
    assert fails([], "usage: http_html URL").returncode == 2
