# SPDX-License-Identifier: MIT
"""`asyncore get` against an origin whose every byte is known."""
import base64
import email.utils
import fcntl
import gzip
import json
import os
import pathlib
import pty
import re
import resource
import select
import signal
import socket
import subprocess
import time

import pytest

from conftest import DEADLINE, PROGRAM, SANITIZED, SLOW, SOURCE, environment, reset, run, until
from origin import DATE, EARLIER, Origin, response

KEYS = ["v", "index", "url", "final_url", "method", "redirects", "status", "ok", "error",
        "error_text", "phase", "http", "bytes", "wire_bytes", "header_bytes", "sent_bytes",
        "length", "type", "encoding", "attempts", "resumed_from", "reused", "address", "time",
        "file"]
TIMES = ["queued", "name", "connect", "tls", "sent", "first_byte", "total"]


@pytest.fixture
def origin():
    o = Origin()
    yield o
    o.close()


def get(*args, **options):
    return run("get", *args, **options)


def failure(result, url, kind, phase, status, text=".+"):
    """It failed with one line, of this kind."""
    where = f" \\({phase}\\)" if phase else ""
    assert re.fullmatch(f"asyncore: get: {re.escape(url)}: {kind}: {text}{where}\n", result.stderr), \
        result.stderr
    assert result.returncode == status


def lines(text):
    """The objects of NDJSON, whose keys must all be there and in order."""
    out = [json.loads(line) for line in text.splitlines()]
    for o in out:
        assert list(o) == KEYS
        assert list(o["time"]) == TIMES
        assert o["v"] == 1
    return out


def usage(*args):
    result = get(*args)
    assert (result.returncode, result.stdout) == (2, ""), result
    assert re.fullmatch("asyncore get: .+\n", result.stderr)
    return result.stderr


# --- standard output ------------------------------------------------------------------------------

def test_body(backend, origin):
    origin.routes["/"] = response(b"hello\n")
    result = get(origin.url(), backend=backend)
    assert (result.stdout, result.stderr, result.returncode) == ("hello\n", "", 0)
    request = origin.log[0]
    assert [n for n, _ in request.fields] == ["Host", "User-Agent", "Accept", "Accept-Encoding"]


def test_status_is_no_failure(origin):
    origin.routes["/"] = response(b"gone\n", "404 Not Found")
    result = get(origin.url())
    assert (result.stdout, result.stderr, result.returncode) == ("gone\n", "", 0)


@pytest.mark.parametrize("flag", ["-f", "--fail"])
@pytest.mark.parametrize("size", [5, 300_000])
def test_fail(flag, size, origin):
    origin.routes["/"] = response(b"x" * size, "404 Not Found")
    origin.routes["/fine"] = response(b"fine", "399 Fine")
    result = get(flag, origin.url())
    assert result.stdout == ""
    failure(result, origin.url(), "status", "head", 10, "HTTP status 404")
    assert get(flag, origin.url("/fine")).returncode == 0


def test_order(backend, origin):
    """The first is the last to arrive; each body is more than memory is kept for."""
    bodies = {f"/{i}": bytes([97 + i]) * (150_000 if i % 2 else 100) for i in range(8)}

    def first(request):
        until(lambda: len(origin.log) == len(bodies))
        time.sleep(0.1)  # give the others the time to arrive wrongly
        return response(bodies[request.target])

    origin.routes["*"] = lambda r: response(bodies[r.target])
    origin.routes["/0"] = first
    result = get("--per-host", 8, *map(origin.url, bodies), backend=backend)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.encode() == b"".join(bodies.values())


def test_order_spills(origin, tmp_path):
    """40 MiB wait for the first one: neither memory nor a named file holds them."""
    body = os.urandom(4_000_000)
    def first(_):
        until(lambda: len(origin.log) == 11)
        return response(b"first")
    origin.routes["*"] = response(body)
    origin.routes["/0"] = first
    out = tmp_path / "out"
    spill = tmp_path / "spill"
    spill.mkdir()
    with open(out, "wb") as f:
        result = subprocess.run([PROGRAM, "get", "--per-host", "16",
                                 *[origin.url(f"/{i}") for i in range(11)]],
                                stdout=f, stderr=subprocess.PIPE, timeout=DEADLINE,
                                env=environment(TMPDIR=str(spill)), check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert out.read_bytes() == b"first" + body * 10
    assert list(spill.iterdir()) == []


def test_failed_part_in_order(origin):
    """What a failed one left stays, and the next begins behind it."""
    def cut(r):
        r.conn.sendall(response(b"part", length=False, fields=[("Content-Length", 100)]))
    origin.routes["/cut"] = cut
    origin.routes["/next"] = response(b"next")
    result = get(origin.url("/cut"), origin.url("/next"))
    assert result.stdout == "partnext"
    failure(result, origin.url("/cut"), "truncated", "body", 1)


def test_window(origin):
    """At most 4 N are begun that cannot be printed yet."""
    def first(_):
        until(lambda: len(origin.log) >= 8)
        time.sleep(0.3)
        assert len(origin.log) == 8
        return response(b"0")
    origin.routes["*"] = response(b".")
    origin.routes["/0"] = first
    result = get("-P", 2, *[origin.url(f"/{i}") for i in range(20)])
    assert (result.stdout, result.returncode) == ("0" + 19 * ".", 0)


def test_slow_reader(backend, origin):
    """A reader that does not read holds the server back."""
    sent = []

    def endless(r):
        r.conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        r.conn.settimeout(0.5)
        try:
            while True:
                sent.append(r.conn.send(b"x" * 65536))
        except socket.timeout:
            pass

    origin.routes["/"] = endless
    with subprocess.Popen([PROGRAM, "get", origin.url()], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment(backend)) as p:
        until(lambda: len(origin.log) == 1)
        time.sleep(1)
        assert sum(sent) < 30_000_000
        p.send_signal(signal.SIGTERM)
        p.stdout.read()
        assert p.wait(DEADLINE) == 143


@pytest.mark.parametrize("args", [[], ["--report"], ["--json", "-"]])
def test_full(backend, args, origin):
    origin.routes["/"] = response(b"hello\n")
    with open("/dev/full", "wb") as full:
        result = get(*args, origin.url(), backend=backend, stdout=full)
    assert result.returncode == 11
    assert re.fullmatch("asyncore: get: .*: output: no space left on device \\(output\\)\n",
                        result.stderr, re.I)


def test_full_many(origin):
    origin.routes["*"] = response(b"hello\n")
    with open("/dev/full", "wb") as full:
        result = get(*[origin.url(f"/{i}") for i in range(200)], stdout=full)
    assert result.returncode == 1
    assert "output" in result.stderr


def closed(number, *args):
    return subprocess.run(["sh", "-c", f'exec "$0" "$@" {number}>&-', PROGRAM, *map(str, args)],
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment(),
                          timeout=DEADLINE, text=True, check=False)


@pytest.mark.parametrize("args", [[], ["--report"], ["--json", "-"], ["-o", "-"]])
def test_closed_stdout(args, origin):
    origin.routes["/"] = response(b"hello\n")
    result = closed(1, "get", *args, origin.url())
    assert result.returncode == 11
    assert re.fullmatch("asyncore: get: .*: output: .+ \\(output\\)\n", result.stderr)


def test_pipe_is_widened(origin):
    """As far as anyone may, and never narrowed."""
    body = os.urandom(900_000)
    origin.routes["/"] = response(body)
    most = int(pathlib.Path("/proc/sys/fs/pipe-max-size").read_text(encoding="ascii"))
    for size in (4096, most):
        reader, writer = os.pipe()
        try:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, size)
            assert subprocess.run([PROGRAM, "get", origin.url()], stdout=writer, env=environment(),
                                  timeout=DEADLINE, check=False).returncode == 0  # nobody reads yet
            assert fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ) == max(size, min(most, 1 << 20))
            os.close(writer)
            writer = None
            with open(reader, "rb", closefd=False) as f:
                assert f.read() == body
        finally:
            os.close(reader)
            if writer is not None:
                os.close(writer)


def test_reader_gone(origin):
    def much(r):
        r.conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            r.conn.sendall(b"x" * 65536)
    origin.routes["/"] = much
    with subprocess.Popen([PROGRAM, "get", origin.url()], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment()) as p:
        assert p.stdout.read(10) == b"x" * 10
        p.stdout.close()
        assert p.wait(DEADLINE) == 11
        assert re.fullmatch(b"asyncore: get: .*: output: .*pipe.* \\(output\\)\n", p.stderr.read(),
                            re.I)


def test_one_taker_of_stdout(origin):
    for args in (["--report", "--links"], ["--report", "--json", "-"], ["--links", "--json", "-"],
                 ["-o", "-", "--report"], ["--json", "/dev/stdout", "--links"]):
        usage(*args, origin.url())
    for args in (["--discard", "-O"], ["--discard", "-o", "x"], ["-I", "-O"], ["-o", "x", "-O"]):
        usage(*args, origin.url())
    usage("-o", "x", origin.url(), origin.url())
    usage("-o", "x", "-i", "-")
    assert origin.log == []


def test_discard(backend, origin):
    origin.routes["/"] = response(b"x" * 3_000_000)
    result = get("--discard", "--json", "/dev/stderr", origin.url(), backend=backend)
    assert (result.stdout, result.returncode) == ("", 0)
    assert lines(result.stderr)[0]["bytes"] == 3_000_000


def test_head(origin):
    origin.routes["/"] = response(b"12345")
    result = get("-I", origin.url())
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)
    assert origin.log[0].method == "HEAD"
    out, = lines(get("-I", "--json", "-", origin.url()).stdout)
    assert (out["method"], out["length"], out["bytes"], out["ok"]) == ("HEAD", 5, 0, True)
    assert "Content-Length = 5\n0 bytes in body\n" in get("-I", "--report", origin.url()).stdout


# --- files ----------------------------------------------------------------------------------------

def test_output(backend, origin, tmp_path):
    origin.routes["/"] = response(b"hello\n")
    seen = []

    def slow(r):
        r.conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        until(lambda: len(os.listdir(tmp_path)) == 1)
        seen.extend(os.listdir(tmp_path))
        return b"67890"

    origin.routes["/slow"] = slow
    target = tmp_path / "name"
    result = get("-o", target, origin.url("/slow"), backend=backend)
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)
    assert target.read_bytes() == b"1234567890"
    assert re.fullmatch(r"\.name\.part-\w{6}", seen[0])
    assert os.listdir(tmp_path) == ["name"]
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_nothing_is_replaced(origin, tmp_path):
    origin.routes["/"] = response(b"new")
    target = tmp_path / "name"
    target.write_bytes(b"old")
    failure(get("-o", target, origin.url()), origin.url(), "output", "output", 11, "file exists")
    assert target.read_bytes() == b"old"
    assert origin.log == []
    result = get("-o", target, "--force", origin.url())
    assert (result.returncode, target.read_bytes()) == (0, b"new")
    link = tmp_path / "link"
    link.symlink_to(target)
    assert get("-o", link, origin.url()).returncode == 11
    origin.routes["/"] = response(b"newer")
    assert get("-o", link, "--force", origin.url()).returncode == 0
    assert (target.read_bytes(), link.is_symlink(), link.read_bytes()) == (b"new", False, b"newer")


def test_taken_meanwhile(origin, tmp_path):
    target = tmp_path / "name"

    def late(_):
        target.write_bytes(b"another's")
        return response(b"mine")

    origin.routes["/"] = late
    failure(get("-o", target, origin.url()), origin.url(), "output", "output", 11, "file exists")
    assert (os.listdir(tmp_path), target.read_bytes()) == (["name"], b"another's")


def cut_once(body, at, fields=()):
    """Cuts the first response behind `at` bytes of the body."""
    def answer(r):
        whole = response(body, fields=fields)
        if r.count > 0:
            return whole
        r.conn.sendall(whole[:len(whole) - len(body) + at])
        return None
    return answer


def test_partial(origin, tmp_path):
    origin.routes["*"] = cut_once(b"1234567890", 4)
    result = get("-o", tmp_path / "a", origin.url("/1"))
    failure(result, origin.url("/1"), "truncated", "body", 7)
    assert os.listdir(tmp_path) == []
    get("-o", tmp_path / "a", "--keep-partial", origin.url("/2"))
    name, = os.listdir(tmp_path)
    assert name.startswith(".a.part-") and (tmp_path / name).read_bytes() == b"1234"


def test_fsync(origin, tmp_path):
    origin.routes["/"] = response(b"hello")
    assert get("-o", tmp_path / "a", "--fsync", origin.url()).returncode == 0
    assert (tmp_path / "a").read_bytes() == b"hello"


def test_output_errors(origin, tmp_path):
    origin.routes["/"] = response(b"hello")
    failure(get("-o", tmp_path / "no" / "a", origin.url()), origin.url(), "output", "output", 11)
    for bad in (tmp_path, f"{tmp_path}/no/", "", "/dev/fd/77"):
        failure(get("-o", bad, origin.url()), origin.url(), "output", "output", 11)
    failure(get("--output-dir", tmp_path / "no", origin.url()), origin.url(), "output", "output", 11)
    failure(get("-o", "/dev/full", origin.url()), origin.url(), "output", "output", 11,
            "no space left on device")


def test_file_too_large(origin, tmp_path):
    origin.routes["/"] = response(b"x" * 200_000)
    result = subprocess.run(
        ["sh", "-c", 'ulimit -f 100; trap "" XFSZ; exec "$0" "$@"', PROGRAM, "get", "-o",
         str(tmp_path / "a"), origin.url()], stderr=subprocess.PIPE, timeout=DEADLINE, text=True,
        env=environment(), check=False)
    failure(result, origin.url(), "output", "output", 11, "file too large")
    assert os.listdir(tmp_path) == []


def test_not_regular(origin, tmp_path):
    origin.routes["/"] = response(b"hello")
    assert get("-o", "/dev/null", origin.url()).returncode == 0
    assert pathlib.Path("/dev/null").is_char_device()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen([PROGRAM, "get", "-o", str(fifo), origin.url()], env=environment()) as p:
        assert fifo.read_bytes() == b"hello"
        assert p.wait(DEADLINE) == 0
    assert fifo.is_fifo()


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_stdout_by_name(name, origin, tmp_path):
    """Written where its offset is, not over what was there."""
    origin.routes["/"] = response(b"hello")
    out = tmp_path / "out"
    with open(out, "wb", buffering=0) as f:
        f.write(b"before ")
        assert get("-o", name, origin.url(), stdout=f).returncode == 0
    assert out.read_bytes() == b"before hello"


def test_other_descriptors(origin, tmp_path):
    origin.routes["/"] = response(b"hello")
    err = tmp_path / "err"
    with open(err, "wb", buffering=0) as f:
        f.write(b"before ")
        assert get("-o", "/dev/stderr", origin.url(), stderr=f).returncode == 0
        assert get("-o", f"/dev/fd/{f.fileno()}", origin.url(),
                   pass_fds=[f.fileno()]).returncode == 0
    assert err.read_bytes() == b"before hellohello"


NAMES = [
    ("/a/file.txt", "file.txt"), ("/", "index.html"), ("/a/", "index.html"),
    ("/a/file.txt?x=/y#z", "file.txt"), ("/a%20b", "a b"), ("/a%2520b", "a%20b"),
    ("/..%2f..%2fetc%2fpasswd", "passwd"), ("/..%5c..%5cboot.ini", "boot.ini"),
    ("/.bashrc", "bashrc"), ("/%2e%2e", "index.html"), ("/x%00y%0Az%1b", "x_y_z_"),
    ("/%C3%A4", "\u00e4"), ("/" + "%C3%A4" * 150, "\u00e4" * 100), ("/a%c2%9bb", "a_b"),
    ("/a%9bb", "a_b"), ("/%ff%fe", "__"), ("/%e2%80%aegpj.exe", "_gpj.exe"), ("/" + "%ff" * 300, "_" * 200),
    ("/" + "%80" * 300, "index.html"),
]


@pytest.mark.parametrize("target,name", NAMES)
def test_names(target, name, origin, tmp_path):
    origin.routes["*"] = response(b"hello")
    result = get("-O", origin.url(target), cwd=tmp_path)
    assert (result.stderr, result.returncode) == ("", 0)
    assert os.listdir(tmp_path) == [name]


def test_taken_names_are_numbered(origin, tmp_path):
    origin.routes["*"] = response(b"hello")
    assert get("-O", "-P", 1, *[origin.url("/a")] * 3, cwd=tmp_path).returncode == 0
    assert get("--output-dir", tmp_path, origin.url("/a")).returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["a", "a.1", "a.2", "a.3"]
    (tmp_path / "b").symlink_to("c")
    assert get("-O", origin.url("/b"), cwd=tmp_path).returncode == 0
    assert not (tmp_path / "c").exists() and (tmp_path / "b.1").exists()
    origin.routes["*"] = response(b"new")
    assert get("-O", "--force", origin.url("/a"), cwd=tmp_path).returncode == 0
    assert (tmp_path / "a").read_bytes() == b"new"


def test_name_is_of_the_url_given(origin, tmp_path):
    origin.routes["/from"] = response(status="302 Found", fields=[("Location", "/evil")])
    origin.routes["/evil"] = response(b"hello")
    assert get("-O", origin.url("/from"), cwd=tmp_path).returncode == 0
    assert os.listdir(tmp_path) == ["from"]


@pytest.mark.parametrize("value,name", [
    ('attachment; filename="b.txt"', "b.txt"), ("attachment; filename=b.txt", "b.txt"),
    ('attachment; filename="a"; filename*=UTF-8\'\'%e2%82%ac.txt', "\u20ac.txt"),
    ('attachment; filename*=UTF-8\'en\'x.txt; filename=y', "x.txt"),
    ('attachment; filename="../../etc/passwd"', "passwd"),
    ('attachment; filename="a\\"b"', 'a"b'), ("inline", "url"), ("attachment; filename=", "url"),
    ('attachment; FileName = "c;d.txt"; x=y', "c;d.txt"),
    ('attachment; filename=".ssh"', "ssh"), ('attachment; filename="a\x9bb"', "a_b"),
    ("attachment; filename*=UTF-8''a%e2%80%aeb", "a_b"),
])
def test_content_disposition(value, name, origin, tmp_path):
    origin.routes["/url"] = response(b"x", fields=[("Content-Disposition", value)])
    assert get("-J", origin.url("/url"), cwd=tmp_path).returncode == 0
    assert os.listdir(tmp_path) == [name]


def test_output_dir(origin, tmp_path):
    origin.routes["*"] = lambda r: response(r.target.encode())
    result = get("--output-dir", tmp_path, "--json", "-", origin.url("/a"), origin.url("/b"))
    assert result.returncode == 0
    assert (tmp_path / "a").read_bytes() == b"/a"
    assert {o["file"] for o in lines(result.stdout)} == {f"{tmp_path}/a", f"{tmp_path}/b"}
    assert get("--output-dir", tmp_path, "-o", "c", origin.url("/c")).returncode == 0
    assert (tmp_path / "c").read_bytes() == b"/c"


# --- lists of URLs --------------------------------------------------------------------------------

def test_input_file(backend, origin, tmp_path):
    origin.routes["*"] = lambda r: response(r.target.encode() + b"\n")
    names = [f"/{i}" for i in range(500)]
    (tmp_path / "list").write_text("\r\n".join(map(origin.url, names)) + "\n\n\r\n" + origin.url("/end"))
    result = get("-i", tmp_path / "list", backend=backend)
    assert result.stdout.split() == names + ["/end"]
    assert (result.stderr, result.returncode) == ("", 0)


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0"])
def test_input_as_it_comes(name, origin):
    origin.routes["*"] = lambda r: response(r.target.encode() + b"\n")
    with subprocess.Popen([PROGRAM, "get", "-i", name], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=environment()) as p:
        for i in range(3):
            p.stdin.write(origin.url(f"/{i}\n").encode())
            p.stdin.flush()
            assert p.stdout.readline() == f"/{i}\n".encode()
        p.stdin.close()
        assert p.wait(DEADLINE) == 0


def test_input_bad_lines(origin):
    origin.routes["*"] = response(b"x")
    text = "\n".join([origin.url("/a"), "nonsense", "http://" + "x" * 70000, origin.url("/b")])
    result = subprocess.run([PROGRAM, "get", "-i", "-", "--json", "-"], input=text.encode(),
                            capture_output=True, env=environment(), timeout=DEADLINE, check=False)
    assert result.returncode == 1
    out = sorted(lines(result.stdout.decode()), key=lambda o: o["index"])
    assert [o["error"] for o in out] == [None, "url", "url", None]
    assert "64 KiB" in out[2]["error_text"]
    assert len(result.stderr.splitlines()) == 2


def test_input_one_line_has_its_own_status(origin):
    text = f"http://127.0.0.1:{refused()}/\n"
    result = subprocess.run([PROGRAM, "get", "-i", "-"], input=text.encode(), capture_output=True,
                            env=environment(), timeout=DEADLINE, check=False)
    assert result.returncode == 4


def test_input_missing(tmp_path):
    assert get("-i", tmp_path / "none").returncode == 1
    (tmp_path / "empty").write_text("")
    assert get("-i", tmp_path / "empty").returncode == 0


def refused():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def peak_memory(args, feed):
    """The exit status, and the most KiB that were held until all was read."""
    with subprocess.Popen([PROGRAM, "get", *args], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env=environment()) as p:
        feed(p.stdin)
        with open(f"/proc/{p.pid}/status", encoding="ascii") as f:
            peak = int(re.search(r"VmHWM:\s+(\d+) kB", f.read())[1])
        p.stdin.close()
        return p.wait(DEADLINE * 6), peak


@pytest.mark.skipif(SANITIZED, reason="a sanitizer has memory of its own")
def test_long_list_in_constant_memory():
    """200,000 lines that fail at once: no memory is kept for them."""
    def feed(pipe):
        for _ in range(200):
            pipe.write(b"x://host/path\n" * 1000)
    status, peak = peak_memory(["--discard", "-i", "-"], feed)
    assert status == 1
    assert peak < 8 * 1024  # the libraries included


def test_parallel_one(origin):
    """Strictly one after the other, over one connection."""
    busy = []

    def one(r):
        assert busy == []
        busy.append(1)
        time.sleep(0.02)
        busy.pop()
        return response(r.target.encode())

    origin.routes["*"] = one
    result = get("-P", 1, *[origin.url(f"/{i}") for i in range(8)])
    assert (result.stdout, result.returncode) == ("".join(f"/{i}" for i in range(8)), 0)
    assert origin.targets() == [f"/{i}" for i in range(8)]
    assert origin.connections == 1


@pytest.mark.parametrize("args,most", [([], 6), (["--per-host", "3"], 3), (["-P", "2"], 2)])
def test_parallel(args, most, origin):
    origin.routes["*"] = lambda r: (until(lambda: len(origin.log) >= most), time.sleep(0.05),
                                    response(b"x"))[-1]
    result = get(*args, *[origin.url(f"/{i}") for i in range(12)])
    assert (result.stdout, result.returncode) == ("x" * 12, 0)
    assert origin.connections == most


def test_parallel_is_clamped(origin):
    origin.routes["*"] = response(b"x")
    result = subprocess.run(["sh", "-c", 'ulimit -n 100; exec "$0" "$@"', PROGRAM, "get", "-P",
                             "1000", origin.url()], capture_output=True, env=environment(),
                            timeout=DEADLINE, check=False, text=True)
    assert (result.returncode, result.stdout) == (0, "x")
    assert re.fullmatch("asyncore: get: -P: .* 68 .*\n", result.stderr)


def test_rate(origin):
    origin.routes["*"] = response(b"x")
    origin.routes["/0"] = response(status="302 Found", fields=[("Location", "/hop")])
    launched = time.monotonic()
    result = get("--rate", "5/s", *[origin.url(f"/{i}") for i in range(4)])
    assert result.returncode == 0
    times = [r.when - launched for r in origin.log]
    assert len(times) == 5
    assert all(t >= i / 5 for i, t in enumerate(times)), times  # evenly, hops as well
    usage("--rate", "0", origin.url())
    usage("--rate", "x/s", origin.url())


# --- requests -------------------------------------------------------------------------------------

def test_header(origin):
    origin.routes["/"] = response(b"x")
    assert get("-H", "X-One: 1", "-H", "user-agent: me", "-H", "Accept:", "-H", "Host: other",
               origin.url()).returncode == 0
    assert origin.log[0].fields == [("Host", "other"), ("Accept-Encoding", "gzip, deflate, br, zstd"),
                                    ("X-One", "1"), ("user-agent", "me")]
    assert get("-H", "X-Name: \u00e4", origin.url("/a")).returncode == 0
    origin.log.pop()
    assert get("-H", "X-Empty;", origin.url()).returncode == 0
    assert origin.log[1].get("X-Empty") == ""
    assert get("-H", "X-Empty;", "-H", "Accept:", origin.url()).returncode == 0
    assert (origin.log[2].get("X-Empty"), origin.log[2].get("Accept")) == ("", None)


@pytest.mark.parametrize("field", [
    "no colon", ": x", "a b: x", "x: \r\ny: z", "Content-Length: 5", "Transfer-Encoding: chunked",
    "Connection: close", "Expect: 100-continue", "te: trailers", "x;y"])
def test_header_refused(field, origin):
    usage("-H", field, origin.url())
    assert origin.log == []


def test_one_host(origin):
    usage("-H", "Host: a", "-H", "Host: b", origin.url())
    usage("-H", "host: a", "-H", "HOST: a", origin.url())
    assert origin.log == []


def test_own_host_stays_with_its_origin(origin):
    other = Origin()
    other.routes["*"] = response(b"x")
    origin.routes["/"] = response(status="302 Found", fields=[("Location", "/b")])
    origin.routes["/b"] = response(status="302 Found", fields=[("Location", other.url("/c"))])
    assert get("-H", "Host: x", origin.url()).stdout == "x"
    assert [r.get("Host") for r in origin.log] == ["x", "x"]
    assert [v for n, v in other.log[0].fields if n == "Host"] == [f"127.0.0.1:{other.port}"]
    other.close()


def test_method(origin):
    origin.routes["/"] = response(b"x")
    assert get("-X", "DELETE", origin.url()).stdout == "x"
    assert get("-X", "PUT", "-d", "a", origin.url()).stdout == "x"
    assert [r.method for r in origin.log] == ["DELETE", "PUT"]
    for method in ("CONNECT", "", "A B", "GET\r\n"):
        usage("-X", method, origin.url())


def test_data(origin):
    origin.routes["*"] = response(b"x")
    assert get("-d", "a=1", "-d", "b=2", origin.url("/1"), origin.url("/2")).stdout == "xx"
    for r in origin.log:
        assert (r.method, r.body) == ("POST", b"a=1&b=2")
        assert r.get("Content-Type") == "application/x-www-form-urlencoded"
    assert get("-d", "{}", "-H", "Content-Type: application/json", origin.url()).returncode == 0
    assert [v for n, v in origin.log[2].fields if n.lower() == "content-type"] == ["application/json"]


@pytest.mark.parametrize("size", [0, 10, 100_000, 3_000_000])
@pytest.mark.parametrize("form", ["--data-file", "-d", "-"])
def test_data_file(form, size, origin, tmp_path):
    body = os.urandom(size)
    name = tmp_path / "body"
    name.write_bytes(body)
    origin.routes["/"] = response(b"x")
    if form == "-":
        with subprocess.Popen(["cat", str(name)], stdout=subprocess.PIPE) as cat:
            result = get("--data-file", "-", origin.url(), stdin=cat.stdout)
    else:
        result = get(form, ("@" if form == "-d" else "") + str(name), origin.url())
    assert (result.stdout, result.stderr, result.returncode) == ("x", "", 0)
    assert origin.log[0].body == body
    assert origin.log[0].method == "POST"


@pytest.fixture
def pipe():
    """The two ends of a pipe: what a program reads, and what the test writes to."""
    ends = os.pipe()
    with open(ends[0], "rb") as reader, open(ends[1], "wb", buffering=0) as writer:
        yield reader, writer


def read_head(conn):
    """A request's head, and what came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = conn.recv(65536)
        if not more:
            return None
        data += more
    return data


@pytest.mark.parametrize("closes", [False, True])
def test_early_answer_to_a_slow_stream(closes, backend, fakes, pipe):
    """What comes through the pipe afterwards finds another request than the one that waited for it."""
    reader, writer = pipe
    heads = []

    def script(conn):
        while (data := read_head(conn)) is not None:
            heads.append(data.split(b" ")[:2])
            if data.startswith(b"GET "):
                for _ in range(3):
                    writer.write(b"late")
                    time.sleep(0.1)  # time to read it in
                conn.sendall(response(b"x"))
                continue
            conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = data.partition(b"\r\n\r\n")[2]
            while b"first" not in body:
                body += conn.recv(65536)
            conn.sendall(response(status="303 See Other", fields=[
                ("Location", "/done"), *([("Connection", "close")] if closes else [])]))
            if closes:
                return

    port = fakes.tcp(script)
    writer.write(b"first")
    result = get("--data-file", "-", f"http://127.0.0.1:{port}/up", stdin=reader, backend=backend)
    assert (result.stdout, result.stderr, result.returncode) == ("x", "", 0)
    assert heads == [[b"POST", b"/up"], [b"GET", b"/done"]]


def test_slow_producer_is_not_idle(origin, pipe):
    """What the user's own program takes its time for is not the peer's."""
    reader, writer = pipe
    origin.routes["/"] = response(b"x")
    writer.write(b"one,")
    with subprocess.Popen([PROGRAM, "get", "--idle-timeout", "0.5", "--data-file", "-", origin.url()],
                          stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment()) as p:
        until(lambda: origin.connections == 1)
        time.sleep(1.6)
        writer.write(b"two")
        writer.close()
        assert p.communicate(timeout=DEADLINE) == (b"x", b"")
        assert p.returncode == 0
    assert origin.log[0].body == b"one,two"


def test_content_type_goes_with_the_method(origin):
    """Though there was no body either before the POST became a GET."""
    origin.routes["/"] = response(status="302 Found", fields=[("Location", "/b")])
    origin.routes["/b"] = response(b"x")
    assert get("-X", "POST", "-H", "Content-Type: text/x", origin.url()).stdout == "x"
    assert [(r.method, r.get("Content-Type")) for r in origin.log] == [("POST", "text/x"), ("GET", None)]


def test_data_file_usage(origin, tmp_path):
    usage("-d", "a", "--data-file", "x", origin.url())
    usage("-I", "-d", "a", origin.url())
    assert get("--data-file", tmp_path / "none", origin.url()).returncode == 1
    with subprocess.Popen(["echo"], stdout=subprocess.PIPE) as p:
        assert get("--data-file", "-", origin.url(), origin.url(), stdin=p.stdout).returncode == 2
    (tmp_path / "body").write_bytes(b"both")
    origin.routes["*"] = response(b"x")
    assert get("--data-file", tmp_path / "body", origin.url("/1"), origin.url("/2")).stdout == "xx"
    assert [r.body for r in origin.log] == [b"both", b"both"]


def test_codings(origin):
    body = gzip.compress(b"hello\n")
    origin.routes["/"] = response(body, fields=[("Content-Encoding", "gzip")])
    assert get(origin.url()).stdout == "hello\n"
    assert get("--compressed", origin.url()).stdout == "hello\n"
    result = subprocess.run([PROGRAM, "get", "--raw", origin.url()], capture_output=True,
                            env=environment(), timeout=DEADLINE, check=False)
    assert result.stdout == body
    assert [r.get("Accept-Encoding") is None for r in origin.log] == [False, False, True]
    origin.routes["/"] = response(body[:-4], fields=[("Content-Encoding", "gzip")])
    failure(get(origin.url()), origin.url(), "truncated", "body", 7)
    origin.routes["/"] = response(b"nonsense", fields=[("Content-Encoding", "gzip")])
    failure(get(origin.url()), origin.url(), "protocol", "body", 6)


def test_redirects(origin):
    origin.routes["/1"] = response(status="301 Moved", fields=[("Location", "2")])
    origin.routes["/2"] = response(status="307 Moved", fields=[("Location", "/3#part")])
    origin.routes["/3"] = response(b"here\n")
    assert get(origin.url("/1")).stdout == "here\n"
    assert get("-L", origin.url("/1")).stdout == "here\n"
    assert get("--max-redirects", 2, origin.url("/1")).stdout == "here\n"
    failure(get("--max-redirects", 1, origin.url("/1")), origin.url("/1"), "redirect_loop", "head", 9)
    for args in (["--max-redirects", "0"], ["-L", "0"]):
        out = get(*args, "--json", "-", origin.url("/1"))
        assert (lines(out.stdout)[0]["status"], out.returncode) == (301, 0)
    out, = lines(get("--json", "-", origin.url("/1")).stdout)
    assert out["redirects"] == [{"code": 301, "url": origin.url("/1")},
                                {"code": 307, "url": origin.url("/2")}]
    assert (out["url"], out["final_url"]) == (origin.url("/1"), origin.url("/3#part"))


def test_redirect_failures(origin):
    origin.routes["/loop"] = response(status="302 Found", fields=[("Location", "/loop")])
    failure(get(origin.url("/loop")), origin.url("/loop"), "redirect_loop", "head", 9)
    origin.routes["/ftp"] = response(status="302 Found", fields=[("Location", "ftp://x/")])
    failure(get(origin.url("/ftp")), origin.url("/ftp"), "redirect", "head", 9)


def test_credentials(origin):
    origin.routes["/"] = response(status="302 Found", fields=[("Location", "/b")])
    other = Origin()
    other.routes["*"] = response(b"x")
    origin.routes["/b"] = response(status="302 Found", fields=[("Location", other.url("/c"))])
    url = origin.url("/").replace("//", "//me:secret@")
    result = get("--json", "/dev/stderr", "-H", "X-Token: t", url)
    assert result.returncode == 0
    assert "secret" not in result.stderr + result.stdout
    assert [r.get("Authorization") for r in origin.log] == ["Basic bWU6c2VjcmV0"] * 2
    assert (other.log[0].get("Authorization"), other.log[0].get("X-Token")) == (None, None)
    other.close()
    bad = get("http://me:secret@[bad/")
    assert "secret" not in bad.stderr


@pytest.mark.parametrize("scheme", ["", "ftp://", "http//"])
def test_secret_is_not_repeated(scheme):
    for url in ("u:secret@host/x", "u:secret@[bad/", "u:secret@host:99999/"):
        result = get(scheme + url)
        assert result.returncode != 0
        assert "secret" not in result.stdout + result.stderr
        assert result.stderr.startswith("asyncore")


def test_percent_in_credentials(origin):
    """What only looks like an encoded byte stays as it is."""
    origin.routes["/"] = response(b"x")
    assert get(origin.url("/").replace("//", "//u%-1:p@", 1)).stdout == "x"
    scheme, _, value = origin.log[0].get("Authorization").partition(" ")
    assert (scheme, base64.b64decode(value)) == ("Basic", b"u%-1:p")


def test_resolve(origin):
    origin.routes["/"] = response(status="302 Found", fields=[("Location", "http://b.test:%d/x" % origin.port)])
    origin.routes["/x"] = response(b"x")
    result = get("--resolve", f"a.test:{origin.port}:127.0.0.1", "--resolve",
                 f"B.TEST:{origin.port}:127.0.0.1", f"http://A.test:{origin.port}/")
    assert (result.stdout, result.returncode) == ("x", 0)
    assert [r.get("Host") for r in origin.log] == [f"a.test:{origin.port}", f"b.test:{origin.port}"]
    for bad in ("a", "a:1", "a:x:127.0.0.1", "a:80:b", "127.0.0.1:80:127.0.0.1", ":80:127.0.0.1"):
        usage("--resolve", bad, origin.url())


def test_nameserver(fakes, origin):
    """A name server that says that there is no such name."""
    def answer(s, data, peer):
        s.sendto(data[:2] + b"\x81\x83" + data[4:6] + b"\0\0\0\0\0\0" + data[12:data.index(b"\0", 12) + 5],
                 peer)
    port = fakes.udp(answer)
    url = "http://nowhere.test/"
    failure(get("--nameserver", f"127.0.0.1:{port}", url), url, "name", "name", 3)
    usage("--nameserver", "x", url)


# --- limits ---------------------------------------------------------------------------------------

def test_max_size(origin):
    origin.routes["/"] = response(b"x" * 2049)
    failure(get("--max-size", "2K", origin.url()), origin.url(), "too_large", "\\w+", 8)
    assert get("--max-size", "2049", origin.url()).returncode == 0
    origin.routes["/"] = response(gzip.compress(b"x" * 5000), fields=[("Content-Encoding", "gzip")])
    assert get("--max-size", "2K", origin.url()).returncode == 8
    for bad in ("", "0", "-1", "K", "1X", "1KB"):
        usage("--max-size", bad, origin.url())


def stall(origin):
    def script(r):
        r.conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        origin.over.wait()
    return script


def test_timeouts(origin):
    origin.routes["/body"] = stall(origin)
    origin.routes["/head"] = lambda r: origin.over.wait() and None
    failure(get("--idle-timeout", "0.2", origin.url("/body")), origin.url("/body"), "timeout", "body", 5)
    failure(get("--idle-timeout", "0.2", origin.url("/head")), origin.url("/head"), "timeout", "head", 5)
    failure(get("--timeout", "0.2", origin.url("/body")), origin.url("/body"), "timeout", "body", 5)
    failure(get("--timeout", "0.2", origin.url("/head")), origin.url("/head"), "timeout", "head", 5)
    for option in ("--timeout", "--connect-timeout", "--idle-timeout", "--retry-max-wait"):
        usage(option, "-1", origin.url())
        usage(option, "0", origin.url())


def test_connect_timeout(fakes):
    port = fakes.udp(lambda *_: None)
    url = "http://name.test/"
    failure(get("--connect-timeout", "0.2", "--nameserver", f"127.0.0.1:{port}", url), url, "timeout",
            "name", 5)


def test_timeout_does_not_count_the_queue(origin):
    origin.routes["*"] = lambda r: (time.sleep(0.15), response(b"x"))[1]
    result = get("--per-host", 1, "--timeout", "0.6", *[origin.url(f"/{i}") for i in range(8)])
    assert (result.stdout, result.stderr, result.returncode) == ("x" * 8, "", 0)


def test_timeout_counts_retries(origin):
    origin.routes["/"] = response(status="503 Busy", fields=[("Retry-After", "30")])
    begin = time.monotonic()
    failure(get("--retry", 5, "--timeout", "0.5", origin.url()), origin.url(), "timeout", "head", 5)
    assert time.monotonic() - begin < 5 * SLOW


# --- trying again ---------------------------------------------------------------------------------

def times(count, status, body=b"done", fields=()):
    def answer(r):
        if r.count < count:
            return response(b"not yet", status, fields)
        return response(body)
    return answer


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_retry_status(status, origin):
    origin.routes["/"] = times(1, f"{status} X")
    result = get("--retry", 1, "--json", "/dev/stderr", origin.url())
    assert (result.stdout, result.returncode) == ("done", 0)
    assert lines(result.stderr)[0]["attempts"] == 2


def test_retry_is_over(origin):
    origin.routes["/"] = response(b"never", "500 X")
    result = get("--retry", 2, origin.url())
    assert (result.stdout, result.returncode, len(origin.log)) == ("never", 0, 3)
    failure(get("--retry", 1, "-f", origin.url()), origin.url(), "status", "head", 10, ".*500")
    assert len(origin.log) == 5


@pytest.mark.parametrize("args", [["-d", "x"], ["-X", "PATCH"], []])
def test_no_retry(args, origin):
    """Of what is not idempotent, or no failure that passes."""
    origin.routes["/"] = response(b"no", "501 X" if not args else "503 X")
    assert get("--retry", 3, *args, origin.url()).stdout == "no"
    assert len(origin.log) == 1


def test_retry_put(origin, tmp_path):
    (tmp_path / "body").write_bytes(b"body" * 10000)
    origin.routes["/"] = times(1, "503 X")
    assert get("--retry", 1, "-X", "PUT", "--data-file", tmp_path / "body", origin.url()).stdout == "done"
    assert [r.body for r in origin.log] == [b"body" * 10000] * 2


def test_retry_refused():
    url = f"http://127.0.0.1:{refused()}/"
    result = get("--retry", 1, "--json", "-", url)
    assert lines(result.stdout)[0]["attempts"] == 2
    failure(result, url, "refused", "connect", 4)


def test_retry_after(origin):
    """At least that long, and the others of the origin wait too."""
    origin.routes["/"] = times(1, "503 X", fields=[("Retry-After", "1")])
    origin.routes["/other"] = response(b" other")
    result = get("--retry", 1, "-P", 1, origin.url())
    assert (result.stdout, result.returncode) == ("done", 0)
    assert origin.log[1].when - origin.log[0].when >= 1
    origin.log.clear()
    result = get("--retry", 1, "-P", 4, "--per-host", 1, origin.url(), *[origin.url("/other")] * 3)
    assert (result.stdout, result.returncode) == ("done other other other", 0)
    assert all(r.when - origin.log[0].when >= 1 for r in origin.log[1:])


def test_retry_after_date(origin):
    now = email.utils.parsedate_to_datetime(DATE).timestamp()
    later = email.utils.formatdate(now + 1, usegmt=True)
    origin.routes["/"] = times(1, "429 X", fields=[("Date", DATE), ("Retry-After", later)])
    assert get("--retry", 1, origin.url()).stdout == "done"
    assert origin.log[1].when - origin.log[0].when >= 1


@pytest.mark.parametrize("value", ["121", "99999999999999999999", "Wed, 21 Oct 2195 07:28:00 GMT"])
def test_retry_after_too_long(value, origin):
    origin.routes["/"] = times(1, "503 X", fields=[("Retry-After", value)])
    result = get("--retry", 3, origin.url())
    assert (result.stdout, len(origin.log)) == ("", 1)
    failure(result, origin.url(), "status", "head", 10, "HTTP status 503, .*")
    assert get("--retry", 3, "--retry-max-wait", 1, origin.url("/x")).returncode == 0


# --- resuming -------------------------------------------------------------------------------------

BODY = bytes(range(256)) * 2000


def resumable(fields, cuts=(300_000,), answer=None, total=None):
    """Cuts the first responses; then gives the rest, or what `answer` does."""
    def script(r):
        start = int(re.match(r"bytes=(\d+)-$", r.get("Range") or "bytes=0-")[1])
        if r.get("Range") is None:
            whole = response(BODY, fields=fields)
            head = len(whole) - len(BODY)
        elif answer is not None:
            return answer(r, start)
        else:
            rest = BODY[start:]
            whole = response(rest, "206 Partial Content",
                             [*fields, ("Content-Range", f"bytes {start}-{len(BODY) - 1}/{total or len(BODY)}")])
            head = len(whole) - len(rest)
        if r.count < len(cuts):
            r.conn.sendall(whole[:head + cuts[r.count]])
            return None
        return whole
    return script


STRONG = [("ETag", '"v1"')]


def fetch(*args):
    return subprocess.run([PROGRAM, "get", *map(str, args)], capture_output=True, timeout=DEADLINE,
                          env=environment(), check=False, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("fields", [STRONG, [("Last-Modified", EARLIER), ("Date", DATE)]])
def test_resume(fields, origin):
    origin.routes["/"] = resumable(fields, (300_000, 100_000))
    result = fetch("--retry", 2, "--json", "/dev/stderr", origin.url())
    assert (result.stdout, result.returncode) == (BODY, 0)
    out, = lines(result.stderr.decode())
    assert (out["resumed_from"], out["attempts"], out["status"]) == (400_000, 3, 206)
    assert origin.log[1].get("Range") == "bytes=300000-"
    assert origin.log[1].get("If-Range") == fields[0][1]
    assert origin.log[1].get("Accept-Encoding") == "identity"
    assert origin.log[2].get("Range") == "bytes=400000-"


@pytest.mark.parametrize("fields", [
    [], [("ETag", 'W/"v1"')], [("Last-Modified", DATE), ("Date", DATE)], [("Last-Modified", EARLIER)]])
def test_not_resumable(fields, origin, tmp_path):
    """Without a strong validator: from the beginning, where the output allows that."""
    origin.routes["/"] = resumable(fields)
    result = fetch("--retry", 1, origin.url())
    assert (result.stdout, result.returncode, len(origin.log)) == (BODY[:300_000], 7, 1)
    origin.log.clear()
    assert fetch("--retry", 1, "-o", tmp_path / "a", origin.url()).returncode == 0
    assert (tmp_path / "a").read_bytes() == BODY
    assert origin.log[1].get("Range") is None


def bad_range(value, fields=tuple(STRONG)):
    def answer(r, start):
        rest = BODY[start:]
        return response(rest, "206 Partial Content", [*fields, ("Content-Range", value)])
    return answer


@pytest.mark.parametrize("answer", [
    lambda r, start: response(BODY, fields=STRONG),
    lambda r, start: response(b"", "416 Range Not Satisfiable"),
    bad_range("bytes 0-511999/512000"), bad_range("bytes 300000-511998/512000"),
    bad_range("bytes 300000-511999/512001"), bad_range("bytes 300000-512000/512001"),
    bad_range("bytes 300000-511999/*"),
    bad_range("300000-511999/512000"), bad_range("bytes 300000-511999/512000", [("ETag", '"v2"')]),
    bad_range("bytes 300000-511999/512000", []),
    bad_range("bytes 300000-511999/512000",
              [*STRONG, ("Content-Type", "multipart/byteranges; boundary=x")])])
def test_resume_refused(answer, origin, tmp_path):
    """A file begins anew; a stream that is out is truncated."""
    origin.routes["/"] = resumable(STRONG, answer=answer)
    assert fetch("--retry", 2, "-o", tmp_path / "a", origin.url()).returncode == 0
    assert (tmp_path / "a").read_bytes() == BODY
    origin.log.clear()
    result = fetch("--retry", 2, "--json", "/dev/stderr", origin.url())
    assert (result.stdout, result.returncode) == (BODY[:300_000], 7)
    out, = lines(next(line for line in result.stderr.decode().splitlines() if line[0] == "{"))
    assert (out["error"], out["phase"]) == ("truncated", "body")


def chunked(data):
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


def rest_of(size, framing):
    """A 206 whose body is that much of what its Content-Range says."""
    def answer(r, start):
        data = (BODY[start:] + b"more")[:size - start]
        fields = [*STRONG, ("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")]
        if framing == "length":
            return response(data, "206 Partial Content", fields)
        fields += [("Transfer-Encoding", "chunked")] if framing == "chunks" else []
        r.conn.sendall(response(b"", "206 Partial Content", fields, length=False)
                       + (chunked(data) if framing == "chunks" else data))
        return None
    return answer


@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
@pytest.mark.parametrize("size", [len(BODY), len(BODY) - 7, len(BODY) + 1])
def test_rest_is_as_long_as_it_says(size, framing, origin, tmp_path):
    """What its framing ends elsewhere than its Content-Range does is not put behind the first part."""
    origin.routes["/"] = resumable(STRONG, answer=rest_of(size, framing))
    target = tmp_path / "a"
    result = fetch("--retry", 1, "-o", target, "--json", "-", origin.url())
    out, = lines(result.stdout.decode())
    if framing == "length" or size == len(BODY): # what the head gives away begins anew
        assert (result.returncode, target.read_bytes()) == (0, BODY)
        return
    kind = "truncated" if size < len(BODY) else "protocol"
    assert (out["error"], out["phase"], out["status"]) == (kind, "body", 206)
    assert not target.exists()
    origin.log.clear()
    result = fetch("--retry", 1, origin.url())
    assert result.returncode == (7 if size < len(BODY) else 6)
    assert BODY.startswith(result.stdout)


@pytest.mark.parametrize("says", [True, False])
@pytest.mark.parametrize("honest", [True, False])
def test_resume_elsewhere(says, honest, origin, tmp_path):
    """The rest is asked of another origin: the file is one version from end to end, or an error.
    `says`: the other one names its version in a 206; `honest`: it heeds If-Range."""
    dated = [("Last-Modified", EARLIER), ("Date", DATE)]
    newer = [("Last-Modified", "Sun, 06 Nov 1994 08:10:00 GMT"), ("Date", DATE)]
    new = bytes(reversed(BODY))
    other = Origin()

    def elsewhere(r):
        if r.get("Range") is None or (honest and r.get("If-Range") != newer[0][1]):
            return response(new, fields=newer)
        start = int(r.get("Range")[6:-1])
        return response(new[start:], "206 Partial Content",
                        [*(newer if says else []),
                         ("Content-Range", f"bytes {start}-{len(new) - 1}/{len(new)}")])

    def here(r):
        if r.get("Range") is None and r.count == 0:
            whole = response(BODY, fields=dated)
            r.conn.sendall(whole[:len(whole) - len(BODY) + 300_000])
            return None
        return response(status="302 Found", fields=[("Location", other.url("/b"))])

    origin.routes["/"] = here
    other.routes["/b"] = elsewhere
    target = tmp_path / "a"
    result = fetch("--retry", 1, "-o", target, origin.url())
    assert (other.log[0].get("Range"), other.log[0].get("If-Range")) == ("bytes=300000-", EARLIER)
    if result.returncode == 0:
        assert target.read_bytes() == new
    else:
        assert result.returncode == 7 and not target.exists()
    assert result.returncode == 0 or not honest
    origin.log.clear()
    result = fetch("--retry", 1, origin.url())
    assert (result.stdout, result.returncode) == (BODY[:300_000], 7)
    other.close()


def test_resume_not_of_codings(origin, tmp_path):
    body = gzip.compress(os.urandom(200_000))
    origin.routes["/"] = cut_once(body, 100_000, [("Content-Encoding", "gzip"), *STRONG])
    assert fetch("--retry", 1, "-o", tmp_path / "a", origin.url()).returncode == 0
    assert (tmp_path / "a").read_bytes() == gzip.decompress(body)
    assert origin.log[1].get("Range") is None


def test_resume_kept_body(origin):
    """One that waits for its turn can begin anew, though it is for standard output."""
    origin.routes["/2"] = resumable([])
    origin.routes["/1"] = lambda r: (until(lambda: origin.targets().count("/2") == 2),
                                     time.sleep(0.1), response(b"1"))[-1]
    result = fetch("--retry", 1, origin.url("/1"), origin.url("/2"))
    assert (result.stdout, result.returncode) == (b"1" + BODY, 0)


# --- reports --------------------------------------------------------------------------------------

def test_report(backend, origin):
    origin.routes["/"] = response(status="302 Found", fields=[("Location", "/b")])
    origin.routes["/b"] = response(b"hello", fields=[("X-Y", "a\x1b[2Jb"), ("X-Z", "\xc2\x9b31m")])
    origin.routes["/b"] = origin.routes["/b"].replace(b"\x1b", b"\\")  # ESC is refused in a field
    result = get("--report", origin.url(), backend=backend)
    assert result.stdout == (f"redirecting to {origin.url('/b')} ...\nstatus => HTTP/1.1 200 OK\n"
                             "Content-Length = 5\nX-Y = a\\[2Jb\nX-Z = \\u009b31m\n5 bytes in body\n")
    assert result.returncode == 0


def test_report_failures(origin):
    url = f"http://127.0.0.1:{refused()}/"
    result = get("--report", url)
    assert result.stdout == "connection failed\n0 bytes in body (not whole)\n"
    failure(result, url, "refused", "connect", 4)
    origin.routes["/"] = cut_once(b"1234567890", 4)
    result = get("--report", origin.url())
    assert result.stdout.endswith("\n4 bytes in body (not whole)\n")
    origin.routes["/r"] = times(1, "503 X")
    result = get("--retry", 1, "--report", origin.url("/r"))
    assert result.stdout == "status => HTTP/1.1 200 OK\nContent-Length = 4\n4 bytes in body\n"


def test_report_order(origin):
    origin.routes["/0"] = lambda r: (until(lambda: len(origin.log) == 4), time.sleep(0.1),
                                     response(b"x" * 0))[-1]
    origin.routes["*"] = lambda r: response(b"x" * int(r.target[1:]))
    result = get("--report", *[origin.url(f"/{i}") for i in range(4)])
    assert re.findall(r"(\d+) bytes in body", result.stdout) == ["0", "1", "2", "3"]


PAGE = b"""<html><head><base href="/dir/"><link href="style.css"></head><body>
<a href="one">1</a><a href="http://other.test/two#x">2</a><a href="mailto:x">m</a>
<img src="three.png"><script src="//cdn.test/s.js"></script></body></html>"""


def test_links(backend, origin):
    origin.routes["/"] = response(PAGE, fields=[("Content-Type", "text/html")])
    result = get("--links", origin.url(), backend=backend)
    assert result.stdout.split() == [
        origin.url("/dir/style.css"), origin.url("/dir/one"), "http://other.test/two#x",
        origin.url("/dir/three.png"), "http://cdn.test/s.js"]
    assert (result.stderr, result.returncode) == ("", 0)


def test_links_as_the_page_arrives(origin):
    def slow(r):
        r.conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n"
                       + b'<a href="/one">1</a>' + b"<p>text</p>" * 200)
        origin.over.wait()
    origin.routes["/"] = slow
    with subprocess.Popen([PROGRAM, "get", "--links", origin.url()], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment()) as p:
        assert p.stdout.readline() == origin.url("/one\n").encode()
        p.terminate()
        assert p.wait(DEADLINE) == 143


def test_json(backend, origin):
    origin.routes["/a"] = response(b"hello", fields=[("Content-Type", 'text/x; a="\xc2\x85"')])
    url = origin.url("/a#frag")
    result = get("--json", "-", url, backend=backend)
    assert '"status": 200' in result.stdout and result.stdout.count('"status"') == 1
    out, = lines(result.stdout)
    peer = f"127.0.0.1:{origin.port}"
    head = len(origin.routes["/a"]) - 5
    expected = {"v": 1, "index": 0, "url": url, "final_url": url, "method": "GET", "redirects": [],
                "status": 200, "ok": True, "error": None, "error_text": None, "phase": None,
                "http": "1.1", "bytes": 5, "wire_bytes": 5, "header_bytes": head, "length": 5,
                "type": 'text/x; a="\x85"', "encoding": None, "attempts": 1, "resumed_from": 0,
                "reused": False, "address": peer, "file": None}
    assert {k: out[k] for k in expected} == expected
    assert "\\u0085" in result.stdout
    assert out["sent_bytes"] > 50
    at = out["time"]
    assert at["tls"] is None
    assert 0 <= at["connect"] <= at["sent"] <= at["first_byte"] <= at["total"] < 20


@pytest.mark.parametrize("size", [1_150_000, 4_000_000])
def test_json_times_of_a_slow_reader(size, origin, tmp_path):
    """That standard output is not read is no time of the server's."""
    origin.routes["/"] = response(b"x" * size)
    name = tmp_path / "json"
    with subprocess.Popen([PROGRAM, "get", "--json", str(name), origin.url()], stdout=subprocess.PIPE,
                          env=environment()) as p:
        until(lambda: len(origin.log) == 1)
        time.sleep(1.5)
        assert len(p.stdout.read()) == size
        assert p.wait(DEADLINE) == 0
    at = lines(name.read_text())[0]["time"]
    assert at["total"] >= 1.3
    assert 0 <= at["connect"] <= at["sent"] <= at["first_byte"] < 1


@pytest.mark.parametrize("args,answer,phase", [
    (["--retry", 1, "-f"], lambda r: response(status="503 Busy"), "head"),
    (["--retry", 2], lambda r: response(status="503 Busy", fields=[("Retry-After", "9999")]), "head"),
    (["--retry", 1], lambda r: r.conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), "body"),
    (["--retry", 1], lambda r: None, "head")])
def test_failure_after_a_retry_has_a_phase(args, answer, phase, origin):
    origin.routes["/"] = lambda r: answer(r) if r.count else response(status="503 Busy")
    out, = lines(get(*args, "--json", "-", origin.url()).stdout)
    assert (out["ok"], out["attempts"]) == (False, 2)
    assert out["error"] is not None and out["phase"] == phase


def test_json_address():
    origin = Origin("::1")
    origin.routes["/"] = response(b"x")
    assert lines(get("--json", "-", origin.url()).stdout)[0]["address"] == f"[::1]:{origin.port}"
    assert origin.log[0].get("Host") == f"[::1]:{origin.port}"
    origin.close()


def test_json_fields_over_hops(origin):
    origin.routes["/"] = response(status="302 Found", fields=[("Location", "/b")])
    origin.routes["/b"] = response(gzip.compress(b"x" * 1000), fields=[("Content-Encoding", "gzip")])
    out, = lines(get("--json", "-", origin.url()).stdout)
    assert (out["bytes"], out["encoding"], out["reused"]) == (1000, "gzip", True)
    assert out["wire_bytes"] < 100
    answer = origin.routes["/b"]
    assert out["header_bytes"] == len(origin.routes["/"]) + answer.index(b"\r\n\r\n") + 4


def test_json_file(origin, tmp_path):
    origin.routes["*"] = response(b"x")
    name = tmp_path / "json"
    name.write_text("old\n" * 1000)
    urls = [origin.url(f"/{i}") for i in range(20)]
    result = get("--json", name, *urls)
    assert (result.stdout, result.returncode) == ("x" * 20, 0)
    out = lines(name.read_text())
    assert sorted(o["index"] for o in out) == list(range(20))
    assert all(o["url"] == urls[o["index"]] for o in out)


def test_json_stderr_is_the_descriptor(origin, tmp_path):
    origin.routes["/"] = response(b"x")
    name = tmp_path / "err"
    with open(name, "wb", buffering=0) as f:
        f.write(b"before\n")
        assert get("--json", "/dev/stderr", origin.url(), stderr=f).returncode == 0
    before, line = name.read_text().splitlines()
    assert before == "before" and json.loads(line)["ok"]


def test_json_with_bodies_elsewhere(origin, tmp_path):
    origin.routes["/"] = response(b"x")
    out, = lines(get("--json", "-", "-o", tmp_path / "a", origin.url()).stdout)
    assert out["file"] == str(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_json_of_failures(origin):
    cases = {f"http://127.0.0.1:{refused()}/": ("refused", "connect"),
             "http://[bad/": ("url", None), origin.url("/cut"): ("truncated", "body"),
             origin.url("/bad"): ("protocol", "head"), origin.url("/loop"): ("redirect_loop", "head")}
    origin.routes["/cut"] = cut_once(b"1234567890", 4)
    origin.routes["/bad"] = b"nonsense\r\n\r\n"
    origin.routes["/loop"] = response(status="302 X", fields=[("Location", "/loop")])
    result = get("--json", "-", *cases)
    assert result.returncode == 1
    assert {o["url"]: (o["error"], o["phase"]) for o in lines(result.stdout)} == cases
    assert all(not o["ok"] and o["error_text"] for o in lines(result.stdout))
    assert len(result.stderr.splitlines()) == len(cases)


def test_json_cannot_be_opened(origin, tmp_path):
    result = get("--json", tmp_path / "no" / "x", origin.url())
    assert result.returncode == 11 and result.stderr.count("\n") == 1


# --- failures -------------------------------------------------------------------------------------

def test_exit_statuses(origin):
    url = f"http://127.0.0.1:{refused()}/"
    failure(get(url), url, "refused", "connect", 4, "connection refused")
    origin.routes["/cut"] = cut_once(b"1234567890", 4)
    failure(get(origin.url("/cut")), origin.url("/cut"), "truncated", "body", 7)
    origin.routes["/none"] = lambda r: None
    failure(get(origin.url("/none")), origin.url("/none"), "truncated", "head", 7)
    origin.routes["/reset"] = lambda r: r.conn.sendall(response(b"12345")[:-2]) or reset(r.conn)
    failure(get(origin.url("/reset")), origin.url("/reset"), "truncated", "body", 7)
    failure(get("http://127.0.0.1:0/"), "http://127.0.0.1:0/", "unreachable", "connect", 4)
    origin.routes["/bad"] = b"HTTP/9.9 what\r\n\r\n"
    failure(get(origin.url("/bad")), origin.url("/bad"), "protocol", "head", 6)
    failure(get("http://[bad/"), "http://[bad/", "url", None, 2)
    failure(get("https://example.test/"), "https://example.test/", "url", None, 2, "https .*")


def test_several_fail_with_one(origin):
    origin.routes["*"] = response(b"x")
    url = f"http://127.0.0.1:{refused()}/"
    result = get(origin.url("/a"), url, origin.url("/b"))
    assert result.stdout == "xx"
    failure(result, url, "refused", "connect", 1)


def test_usage():
    assert "http://" in usage("example.test/path")
    usage("localhost:8080/x")
    usage()
    usage("--no-such")
    for option in ("-P", "--per-host", "--retry", "--max-redirects"):
        usage(option, "x", "http://127.0.0.1/")
    usage("-P", "0", "http://127.0.0.1/")
    usage("--backend", "none", "http://127.0.0.1/")


def test_help():
    result = get("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for option in ("-o", "-O", "--output-dir", "-J", "--force", "--keep-partial", "--fsync", "-i", "-P",
                   "--per-host", "--rate", "-H", "-X", "-d", "--data-file", "-I", "-L",
                   "--max-redirects", "-f", "--max-size", "--connect-timeout", "--timeout",
                   "--idle-timeout", "--retry", "--retry-max-wait", "--resolve", "--compressed",
                   "--raw", "--discard", "--report", "--json", "--links", "--nameserver", "-v",
                   "--backend"):
        assert re.search(rf"(^|[\s,]){re.escape(option)}\b", result.stdout), option
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.parametrize("signo,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(backend, signo, status, origin, tmp_path):
    origin.routes["*"] = stall(origin)
    origin.routes["/quick"] = response(b"x")
    with subprocess.Popen([PROGRAM, "get", "--json", str(tmp_path / "json"), "--output-dir",
                           str(tmp_path), origin.url("/quick"), origin.url("/1"), origin.url("/2")],
                          stderr=subprocess.PIPE, env=environment(backend)) as p:
        until(lambda: len([n for n in os.listdir(tmp_path) if "part" in n]) == 2)
        until(lambda: (tmp_path / "quick").exists())
        p.send_signal(signo)
        assert p.wait(DEADLINE) == status
        name = signal.Signals(signo).name.encode()
        assert re.fullmatch(b"asyncore: get: .*" + name + b".*\n", p.stderr.read())
    assert sorted(os.listdir(tmp_path)) == ["json", "quick"]
    out = lines((tmp_path / "json").read_text())
    assert sorted((o["index"], o["error"]) for o in out) == [(0, None), (1, "canceled"), (2, "canceled")]


def test_signal_while_waiting(origin):
    origin.routes["/"] = response(status="503 X", fields=[("Retry-After", "60")])
    with subprocess.Popen([PROGRAM, "get", "--retry", "3", origin.url()], stderr=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=environment()) as p:
        until(lambda: len(origin.log) == 1)
        time.sleep(0.1)
        p.send_signal(signal.SIGINT)
        assert p.wait(DEADLINE) == 130


def test_signal_while_the_reader_sleeps(origin):
    origin.routes["/"] = response(b"x" * 10_000_000)
    with subprocess.Popen([PROGRAM, "get", origin.url()], stderr=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=environment()) as p:
        until(lambda: len(origin.log) == 1)
        time.sleep(0.2)
        p.send_signal(signal.SIGINT)
        assert p.wait(DEADLINE) == 130


@pytest.mark.parametrize("second", [False, True])
def test_signal_while_the_report_is_not_read(second, origin, tmp_path):
    """Its reader has a while for the rest; a second signal ends even that."""
    origin.routes["*"] = response(b"x")
    urls = tmp_path / "list"
    urls.write_text("".join(origin.url(f"/{'x' * 1000}{i}\n") for i in range(2000)))
    with subprocess.Popen([PROGRAM, "get", "-i", str(urls), "--json", "-"], stderr=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=environment()) as p:
        count = -1
        while count != (count := len(origin.log)) or count == 0:
            time.sleep(0.2)
        assert count < 2000
        p.send_signal(signal.SIGINT)
        assert p.stderr.readline().startswith(b"asyncore: get: canceled")
        begin = time.monotonic()
        if second:
            p.send_signal(signal.SIGINT)
        assert p.wait(DEADLINE) == 130
        assert time.monotonic() - begin < (1 if second else 10) * SLOW


# --- terminals ------------------------------------------------------------------------------------

def on_terminal(*args, stdout=True, stderr=True):
    """What a terminal is given, and the exit status."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    with subprocess.Popen([PROGRAM, "get", *map(str, args)], stdin=subprocess.DEVNULL,
                          stdout=slave if stdout else subprocess.DEVNULL,
                          stderr=slave if stderr else subprocess.DEVNULL, env=environment()) as p:
        os.close(slave)
        seen = b""
        while True:
            select.select([master], [], [], DEADLINE)
            try:
                piece = os.read(master, 65536)
            except OSError:
                piece = b""
            if not piece:
                break
            seen += piece
        status = p.wait(DEADLINE)
    os.close(master)
    return seen.replace(b"\r\n", b"\n"), status


def test_terminal_is_safe(origin):
    origin.routes["/"] = response(b"a\x1b[31mb\tc\n\x9b\xc2\x9b\xe2\x80\xae\x7f\r\xc3\xa4\xff\xe2\x82")
    seen, status = on_terminal(origin.url())
    assert (seen, status) == (b"a^[[31mb\tc\n\\ufffd\\u009b\\u202e^?^M\xc3\xa4\\ufffd\\ufffd", 0)
    assert on_terminal("-o", "-", origin.url())[0].startswith(b"a\x1b[31m")


def test_terminal_refuses_binary(origin):
    origin.routes["/"] = response(b"text\0more")
    seen, status = on_terminal(origin.url())
    assert status == 11
    assert b"-o -" in seen and b"text" not in seen
    assert on_terminal("-o", "-", origin.url()) == (b"text\0more", 0)


def test_messages_are_safe(origin):
    result = get("x\x1b[31m://\u202e/")
    assert "\x1b" not in result.stderr and "\u202e" not in result.stderr
    origin.routes["/"] = response(PAGE.replace(b"one", b"\xe2\x80\xae"), fields=[("Content-Type", "text/html")])
    assert "\u202e" not in get("--links", origin.url()).stdout


def test_progress(origin):
    def slow(r):
        r.conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + b"x" * 1000)
        time.sleep(0.5)
        return b"x" * 3000
    origin.routes["*"] = slow
    seen, status = on_terminal(origin.url(), stdout=False)
    assert status == 0
    assert b"1.0 KiB of 3.9 KiB, 25 %" in seen and seen.endswith(b"\r\x1b[K")
    assert seen.count(b"\r") <= 12 * SLOW
    seen, status = on_terminal(origin.url("/1"), origin.url("/2"), stdout=False)
    assert b"2 under way" in seen and seen.endswith(b"\r\x1b[K")
    assert on_terminal(origin.url(), stdout=True)[0] == b"x" * 4000  # both are: none
    assert get(origin.url()).stderr == ""


def test_progress_gives_way_to_messages(origin):
    origin.routes["/slow"] = lambda r: (time.sleep(0.5), response(b"x"))[1]
    origin.routes["/cut"] = lambda r: (time.sleep(0.3), None)[1]
    seen, _ = on_terminal(origin.url("/slow"), origin.url("/cut"), stdout=False)
    assert re.search(rb"\r\x1b\[Kasyncore: get: [^\r]*truncated[^\r]*\n", seen)


def test_verbose(origin):
    origin.routes["/"] = response(b"x")
    assert "log: adding channel" in get("-v", origin.url()).stderr


def test_limit_of_descriptors_is_kept(origin):
    """200 transfers, with files, through 64 descriptors."""
    origin.routes["*"] = response(b"x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    result = subprocess.run(["sh", "-c", 'ulimit -n 64; exec "$0" "$@"', PROGRAM, "get", "--per-host",
                             "100", *[origin.url(f"/{i}") for i in range(200)]], capture_output=True,
                            env=environment(), timeout=DEADLINE, check=False, text=True)
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (result.stdout, result.stderr, result.returncode) == ("x" * 200, "", 0)


def test_every_option_is_in_the_page():
    text = (SOURCE / "docs/man/asyncore-get.1").read_text()
    for option in re.findall(r"--([a-z-]+)", get("--help").stdout):
        assert f" -{option}" in text, option
