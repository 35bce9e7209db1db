# SPDX-License-Identifier: MIT
"""`asyncore get` against servers of others: nginx, Apache, haproxy before nginx, and lighttpd.

A server that is missing fails its tests: `make test PEERS=no` is how to leave them out.
"""
import hashlib
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import threading
import time
import zlib

import pytest

from conftest import DEADLINE, PEERS, PROGRAM, SANITIZED, SLOW, environment
from peers import NAMES, REDIRECTS, Peers

BIG = 2 << 30  # the body that no 32-bit number can count
SET = 100      # files of the many fetches
TEXT = "text.txt"
CODINGS = {"nginx": ["gzip"], "apache": ["gzip", "br"], "haproxy": ["gzip"],
           "lighttpd": ["gzip", "deflate", "br"]}


def made(seed, size):
    return random.Random(seed).randbytes(size)


def text():
    """A page that is compressed well, though no two of its lines are the same."""
    rng = random.Random(1)
    return b"".join(b"%06d %s\n" % (i, b"-" * rng.randrange(60)) for i in range(12000))


class Tree:
    """What is served: its bytes, or the hash of them."""

    def __init__(self, www):
        self.files = {"1k": made(2, 1024), "300k": made(3, 300_000), "empty": b"", TEXT: text(),
                      "page.txt": text()}
        for i in range(SET):
            self.files[f"set/{i}"] = made(1000 + i, 100 + 41 * i)
        (www / "set").mkdir()
        for name, data in self.files.items():
            (www / name).write_bytes(data)
            # A server trusts no time of change that is as young as its answer.
            os.utime(www / name, (1_700_000_000, 1_700_000_000))
        # Sparse, but with a mark in each 64 MiB, so that no part is as good as another.
        with open(www / "big", "wb") as f:
            for at in range(0, BIG, 64 << 20):
                f.seek(at + at // (1 << 20))
                f.write(made(at, 4096))
            f.truncate(BIG)
        self.www = www
        self._big = None

    def big(self):
        if self._big is None:
            with open(self.www / "big", "rb") as f:
                self._big = digest(f)
        return self._big


def digest(f):
    """The size of a file and a checksum: the hash of SHA-2 would take as long as all else."""
    size = check = 0
    buffer = memoryview(bytearray(1 << 20))
    while (n := f.readinto(buffer)) > 0:
        size += n
        check = zlib.crc32(buffer[:n], check)
    return size, check


@pytest.fixture(scope="module")
def peers():
    p = Peers(PEERS)
    p.tree = Tree(p.www)
    yield p
    p.close()


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


class Result:
    def __init__(self, process, out, err, report):
        self.status, self.out, self.err = process.returncode, out, err
        self.lines = [json.loads(line) for line in report.read_text().splitlines()]
        self.one = self.lines[0] if len(self.lines) == 1 else None


@pytest.fixture
def get(backend, tmp_path):
    """Runs `asyncore get --json FILE`: its output, and the lines of JSON in the URLs' order."""
    def call(*args, stdin=b"", timeout=DEADLINE):
        report = tmp_path / "report.json"
        process = subprocess.run(
            [PROGRAM, "get", "--json", str(report), *map(str, args)], input=stdin,
            capture_output=True, timeout=timeout, env=environment(backend), check=False)
        result = Result(process, process.stdout, process.stderr.decode(), report)
        result.lines.sort(key=lambda line: line["index"])
        return result

    return call


def whole(result):
    """The transfers all came, and nothing was said."""
    assert (result.err, result.status) == ("", 0)
    assert all(line["ok"] and line["error"] is None for line in result.lines)
    return result


# --- single messages --------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["1k", "300k", "empty"])
def test_body_by_length(peers, name, get, file):
    r = whole(get(peers.url(name, "/" + file)))
    data = peers.tree.files[file]
    assert hashlib.sha256(r.out).digest() == hashlib.sha256(data).digest()
    assert (r.one["status"], r.one["http"], r.one["length"]) == (200, "1.1", len(data))
    assert r.one["bytes"] == r.one["wire_bytes"] == len(data)


def test_one_connection_carries_all(peers, name, get):
    files = ["1k", "empty", "300k", TEXT] * 5
    r = whole(get("-P", 1, *(peers.url(name, "/" + f) for f in files)))
    assert r.out == b"".join(peers.tree.files[f] for f in files)
    assert [line["reused"] for line in r.lines] == [False] + [True] * (len(files) - 1)


def test_chunked(peers, name, get):
    r = whole(get("-P", 1, peers.url(name, "/cgi/page"), peers.url(name, "/1k")))
    assert r.out == peers.tree.files["page.txt"] + peers.tree.files["1k"]
    assert r.lines[0]["length"] is None  # so it was chunked, since the connection lives on:
    assert r.lines[1]["reused"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_coding(peers, name, get, coding):
    if coding not in CODINGS[name]:
        return
    r = whole(get("-P", 1, "-H", f"Accept-Encoding: {coding}", peers.url(name, "/" + TEXT),
                  peers.url(name, "/1k")))
    data = peers.tree.files[TEXT]
    assert r.out == data + peers.tree.files["1k"]
    assert (r.lines[0]["encoding"], r.lines[0]["bytes"]) == (coding, len(data))
    assert 0 < r.lines[0]["wire_bytes"] < len(data) / 4
    assert r.lines[1]["reused"]


def test_no_coding_if_none_is_asked_for(peers, name, get):
    r = whole(get("--raw", peers.url(name, "/" + TEXT)))
    assert r.out == peers.tree.files[TEXT]
    assert r.one["encoding"] is None


def test_head(peers, name, get):
    r = whole(get("-P", 1, "-I", peers.url(name, "/300k"), peers.url(name, "/1k")))
    assert r.out == b""
    assert [(line["method"], line["length"], line["bytes"], line["reused"])
            for line in r.lines] == [("HEAD", 300_000, 0, False), ("HEAD", 1024, 0, True)]


def test_range(peers, name, get):
    r = whole(get("-P", 1, "-H", "Range: bytes=1000-1999", peers.url(name, "/300k"),
                  peers.url(name, "/300k")))
    assert r.out == 2 * peers.tree.files["300k"][1000:2000]
    assert [line["status"] for line in r.lines] == [206, 206]


def test_not_found_is_a_response(peers, name, get):
    r = get("-P", 1, peers.url(name, "/none"), peers.url(name, "/1k"))
    assert (r.status, [line["status"] for line in r.lines]) == (0, [404, 200])
    assert r.lines[1]["reused"]
    assert get("--fail", peers.url(name, "/none")).status == 10


# --- redirects --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", REDIRECTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_redirect(peers, name, get, code, method):
    r = whole(get(peers.url(name, f"/to/{code}"), *(["-d", "a=b"] if method == "POST" else [])))
    kept = method == "POST" and code in (307, 308)
    assert r.out == (b"POST a=b" if kept else b"GET ")
    assert r.one["redirects"] == [{"code": code, "url": peers.url(name, f"/to/{code}")}]
    assert r.one["final_url"] == peers.url(name, "/cgi/method")


def test_redirect_not_followed(peers, name, get):
    r = whole(get("--max-redirects", 0, "-d", "a=b", peers.url(name, "/to/307")))
    assert (r.one["status"], r.one["redirects"]) == (307, [])


# --- bodies of requests -----------------------------------------------------------------------


def test_post(peers, name, get):
    r = whole(get("-P", 1, "-d", "a=1", "-d", "b=2", *[peers.url(name, "/cgi/method")] * 2))
    assert r.out == 2 * b"POST a=1&b=2"
    assert r.lines[1]["reused"]


def test_upload_asks_before_it_sends(peers, name, get, tmp_path):
    data = made(7, 3_000_000)
    (tmp_path / "data").write_bytes(data)
    small = whole(get("-d", "a", peers.url(name, "/cgi/echo")))
    r = whole(get("--data-file", tmp_path / "data", peers.url(name, "/cgi/echo")))
    assert hashlib.sha256(r.out).digest() == hashlib.sha256(data).digest()
    assert r.one["sent_bytes"] > len(data)
    # The other heads are of one length; this one was behind "HTTP/1.1 100 Continue".
    assert r.one["header_bytes"] - small.one["header_bytes"] == 25


def test_upload_in_chunks(peers, name, get):
    data = made(8, 2_000_000)
    r = whole(get("--data-file", "-", peers.url(name, "/cgi/echo"), stdin=data))
    assert hashlib.sha256(r.out).digest() == hashlib.sha256(data).digest()


# --- resuming ---------------------------------------------------------------------------------


class Cutter:
    """Stands before a server, and cuts its first answers after so many bytes."""

    def __init__(self, fakes, port, cuts):
        self.port = fakes.tcp(self._relay)
        self.behind, self.cuts = port, list(cuts)
        self.requests = []

    def _relay(self, client):
        left = self.cuts.pop(0) if self.cuts else 1 << 40
        request = b""
        while b"\r\n\r\n" not in request:
            more = client.recv(65536)
            if not more:
                return
            request += more
        self.requests.append(request)
        with socket.create_connection(("127.0.0.1", self.behind), DEADLINE) as server:
            server.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            while left > 0 and (data := server.recv(min(left, 65536))):
                client.sendall(data)
                left -= len(data)


def test_resume(peers, name, get, fakes, tmp_path):
    cutter = Cutter(fakes, peers.port(name), [50_000, 120_000])
    r = get("--retry", 3, "-o", tmp_path / "out", f"http://127.0.0.1:{cutter.port}/300k")
    assert r.status == 0, r.err
    assert (tmp_path / "out").read_bytes() == peers.tree.files["300k"]
    assert (r.one["attempts"], r.one["status"]) == (3, 206)
    assert len(cutter.requests) == 3
    begins = [re.search(rb"\r\nRange: bytes=(\d+)-\r\n", q) for q in cutter.requests]
    assert begins[0] is None and b"\r\nIf-Range: " in cutter.requests[1]
    assert 0 < int(begins[1][1]) < int(begins[2][1]) == r.one["resumed_from"] < 300_000


# --- many, and much ---------------------------------------------------------------------------


def test_ten_thousand(peers, name, get):
    count = 10_000
    urls = "".join(peers.url(name, f"/set/{i * 7 % SET}?{i}\n") for i in range(count))
    r = whole(get("-P", 64, "--per-host", 64, "-i", "-", stdin=urls.encode(),
                  timeout=3 * DEADLINE))
    expected = hashlib.sha256()
    for i in range(count):
        expected.update(peers.tree.files[f"set/{i * 7 % SET}"])
    assert hashlib.sha256(r.out).digest() == expected.digest()
    assert len(r.lines) == count
    assert all(line["status"] == 200 for line in r.lines)
    # Apache closes a connection after 100 requests unless it is told otherwise.
    assert sum(not line["reused"] for line in r.lines) <= 64 + count / 50


def test_two_gigabytes(peers, name, backend, tmp_path):
    with subprocess.Popen([PROGRAM, "get", "--json", str(tmp_path / "j"), peers.url(name, "/big")],
                          stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          env=environment(backend)) as process:
        try:
            assert digest(process.stdout) == peers.tree.big()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
    report = json.loads((tmp_path / "j").read_text())
    assert report["bytes"] == report["length"] == BIG


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is beside the point")
def test_memory_stays_what_it_is(peers, backend):
    """A hundred thousand bodies, of URLs that come over a pipe, within 8 MiB."""
    url = peers.url("nginx", "/1k")
    peak = 0

    def look(process):
        text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s*(\d+) kB", text)  # a zombie has none
        return int(found[1]) if found else 0

    with subprocess.Popen([PROGRAM, "get", "-P", "64", "--per-host", "64", "-i", "-"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=environment(backend)) as process:
        size = []
        reader = threading.Thread(target=lambda: size.append(digest(process.stdout)[0]))
        reader.start()
        try:
            for at in range(0, 100_000, 500):
                process.stdin.write("".join(f"{url}?{at + i}\n" for i in range(500)).encode())
                peak = max(peak, look(process))
            process.stdin.close()
            while process.poll() is None:
                peak = max(peak, look(process))
                time.sleep(0.01)
            assert process.returncode == 0
        finally:
            process.kill()
            reader.join()
    assert size == [100_000 * 1024]
    assert 0 < peak <= 8 * 1024


@pytest.mark.parametrize("how", ["stdout", "discard"])
def test_peer_that_becomes_slow(get, fakes, how):
    """What comes slowly after much that came fast is neither held back nor taken for silence."""
    first, size = 64 << 20, 96 << 20
    block = made(9, 1 << 20)
    pieces = []

    def serve(conn):
        conn.recv(65536)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(first >> 20):
            conn.sendall(block)
        for _ in range(12):  # less than any mark that a client may have set, for 3.6 seconds
            time.sleep(0.3)
            conn.sendall(block[:1000])
            pieces.append(1)
        for _ in range((size - first) >> 20):
            conn.sendall(block)

    url = f"http://127.0.0.1:{fakes.tcp(serve)}/"
    r = whole(get("--idle-timeout", 1.5 * SLOW, *(["--discard"] if how == "discard" else []), url))
    assert r.one["bytes"] == size and len(pieces) == 12
    if how == "stdout":
        body = block * (first >> 20) + 12 * block[:1000] + block * ((size - first) >> 20)
        assert hashlib.sha256(r.out).digest() == hashlib.sha256(body[:size]).digest()
