# SPDX-License-Identifier: MIT
"""The program itself: options, exit statuses, and what it does when its surroundings are bad."""
import os
import re
import socket
import subprocess

import pytest

from conftest import BACKENDS, DEADLINE, HAS, PROGRAM, early, environment, now_1900, packed, run

COMMANDS = ["time", "timed", "demo"]


@pytest.fixture
def port(fakes):
    def script(conn):
        early()
        conn.sendall(packed(now_1900()))

    return fakes.tcp(script)


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"]])
def test_help(args):
    result = run(*args)
    assert (result.stderr, result.returncode) == ("", 0)
    assert result.stdout.startswith("Usage: asyncore ")
    for command in COMMANDS:
        assert re.search(f"^  {command} ", result.stdout, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    texts = {run(*args).stdout for args in ([command, "--help"], [command, "-h"],
                                            ["help", command], [command, "-v", "--help"])}
    assert len(texts) == 1
    text = texts.pop()
    assert text.startswith(f"Usage: asyncore {command} ")
    for option in ("--verbose", "--backend", "--help"):
        assert option in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_version():
    result = run("--version")
    assert re.fullmatch(r"asyncore \d+\.\d+\.\d+\n", result.stdout)
    assert (result.stderr, result.returncode) == ("", 0)


@pytest.mark.parametrize("args, message", [
    ([], "asyncore: a command is missing; see 'asyncore --help'"),
    (["x"], "asyncore: unknown command 'x'; see 'asyncore --help'"),
    (["\x1b[1m"], "asyncore: unknown command '\\x1b[1m'; see 'asyncore --help'"),
    (["--foo"], "asyncore: unknown option '--foo'; see 'asyncore --help'"),
    (["--foo=bar"], "asyncore: unknown option '--foo=bar'; see 'asyncore --help'"),
    (["-q"], "asyncore: unknown option '-q'; see 'asyncore --help'"),
    (["-vq"], "asyncore: unknown option '-q'; see 'asyncore --help'"),
    (["help", "x"], "asyncore: unknown command 'x'; see 'asyncore --help'"),
    (["help", "time", "x"], "asyncore: help takes one command; see 'asyncore --help'"),
    (["time"], "asyncore time: a host is missing; see 'asyncore time --help'"),
    (["time", "--foo"], "asyncore time: unknown option '--foo'; see 'asyncore time --help'"),
    (["time", "h", "-x"], "asyncore time: unknown option '-x'; see 'asyncore time --help'"),
    (["time", "--udp=1", "h"],
     "asyncore time: option '--udp' takes no argument; see 'asyncore time --help'"),
    (["time", "--verbose=1", "h"],
     "asyncore time: option '--verbose' takes no argument; see 'asyncore time --help'"),
    (["time", "--timeout"],
     "asyncore time: option '--timeout' needs an argument; see 'asyncore time --help'"),
    (["time", "h", "-t"],
     "asyncore time: option '-t' needs an argument; see 'asyncore time --help'"),
    (["timed", "x"], "asyncore timed: unexpected argument 'x'; see 'asyncore timed --help'"),
    (["timed", "--bind", "localhost"],
     "asyncore timed: 'localhost' is no address; see 'asyncore timed --help'"),
    (["demo", "x"], "asyncore demo: unexpected argument 'x'; see 'asyncore demo --help'"),
    (["demo", "-x"], "asyncore demo: unknown option '-x'; see 'asyncore demo --help'"),
])
def test_bad_usage(args, message):
    result = run(*args)
    assert (result.stdout, result.stderr, result.returncode) == ("", message + "\n", 2)


@pytest.mark.parametrize("value", ["0", "-1", "", "x", "1x", "0x10", "nan", "inf", "1e3", " 1",
                                   "1 ", "1.2.3", ".", "0.0"])
def test_bad_timeout(value):
    result = run("time", "--timeout", value, "127.0.0.1:1")
    assert result.returncode == 2
    assert result.stderr == (f"asyncore time: '{value}' is no number of seconds above 0; "
                             "see 'asyncore time --help'\n")


@pytest.mark.parametrize("value", ["1", "1.5", ".5", "5.", "9" * 18, "9" * 300])
def test_good_timeout(value, port):
    result = run("time", "--timeout", value, f"127.0.0.1:{port}")
    assert (result.stdout, result.stderr) == ("time difference is 0\n", "")


@pytest.mark.parametrize("value", ["x", "-1", "65536", "99999999999999999999", "", "1 ", "+1"])
def test_bad_port(value):
    result = run("timed", "--port", value)
    assert result.returncode == 2
    assert result.stderr == f"asyncore timed: '{value}' is no port; see 'asyncore timed --help'\n"


@pytest.mark.parametrize("host", ["", ":37", "h:", "h:0", "h:65536", "h:x", "h:-1", "[::1", "[]:1",
                                  "[::1]x"])
def test_bad_host(host):
    result = run("time", "127.0.0.1:1", host)
    assert result.returncode == 2
    assert result.stderr == (f"asyncore time: '{host}' is no HOST[:PORT]; "
                             "see 'asyncore time --help'\n")


@pytest.mark.parametrize("value", ["", ",", "x", "127.0.0.1,", "127.0.0.1:99999", "unix:/x"])
def test_bad_nameserver(value):
    result = run("time", "--nameserver", value, "h")
    assert result.returncode == 2
    assert result.stderr == (f"asyncore time: '{value}' is no list of addresses; "
                             "see 'asyncore time --help'\n")


@pytest.mark.parametrize("name", BACKENDS)
def test_backend_by_option(name, port):
    for args in (["--backend", name, "time"], ["time", "--backend", name],
                 ["time", f"--backend={name}"]):
        result = run(*args, f"127.0.0.1:{port}", env={"ASYNCORE_BACKEND": "nothing"})
        assert (result.stdout, result.stderr) == ("time difference is 0\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_backend(command):
    result = run(command, "--backend", "kqueue", "127.0.0.1:1")
    assert (result.stdout, result.returncode) == ("", 2)
    assert result.stderr == (f"asyncore {command}: unknown backend 'kqueue'; "
                             "there are: " + ", ".join(HAS) + "\n")


def test_unknown_backend_of_the_environment():
    result = run("demo", env={"ASYNCORE_BACKEND": "kqueue"})
    assert (result.stdout, result.returncode) == ("", 2)
    assert result.stderr == ("asyncore demo: unknown backend in ASYNCORE_BACKEND; "
                             "see 'asyncore demo --help'\n")


def test_options_before_the_command(port):
    result = run("-v", "time", f"127.0.0.1:{port}")
    assert result.stdout == "time difference is 0\n"
    assert result.stderr.count("log: ") == 2


def test_short_options(server):
    udp = server("timed", "-u", "-p", 0, "-b", "127.0.0.1")
    for args in (["-u", "-t", "5"], ["-ut5"], ["-vut", "5"]):
        early()
        result = run("time", *args, f"127.0.0.1:{udp.port}")
        assert (result.stdout, result.returncode) == ("time difference is 0\n", 0)


def test_options_behind_arguments(port):
    result = run("time", f"127.0.0.1:{port}", "--timeout", "5", "-v")
    assert (result.stdout, result.returncode) == ("time difference is 0\n", 0)
    result = run("time", "--", f"127.0.0.1:{port}")
    assert (result.stdout, result.returncode) == ("time difference is 0\n", 0)


def test_long_argument_is_cut():
    result = run("x" * 100000)
    assert result.returncode == 2
    assert result.stderr.endswith("...'; see 'asyncore --help'\n")
    assert len(result.stderr) < 1000


# --- surroundings -------------------------------------------------------------------------------


def full():
    return open("/dev/full", "w", encoding="ascii")


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["time", "--help"]])
def test_output_is_full(args):
    with full() as out:
        result = run(*args, stdout=out)
    assert result.returncode == 1
    assert result.stderr.endswith("standard output: no space left on device\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("several", [1, 3])
def test_answers_cannot_be_printed(several, port):
    with full() as out:
        result = run("time", *[f"127.0.0.1:{port}"] * several, stdout=out)
    assert result.returncode == 1
    assert result.stderr == "asyncore time: standard output: no space left on device\n"


def test_reader_has_gone(port):
    # No signal kills the program: it says what happened.
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        result = run("time", f"127.0.0.1:{port}", stdout=out)
    assert result.returncode == 1
    assert result.stderr == "asyncore time: standard output: broken pipe\n"


def test_output_and_errors_fail():
    with full() as out:
        result = run("--help", stdout=out, stderr=out)
    assert result.returncode == 1


def closed(*fds):
    def close():
        for fd in fds:
            os.close(fd)
    return close


@pytest.mark.parametrize("fds", [(0,), (0, 2), (2,)])
def test_descriptors_closed_at_the_start(fds, port):
    result = subprocess.run([PROGRAM, "time", f"127.0.0.1:{port}"], env=environment(),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, preexec_fn=closed(*fds), timeout=DEADLINE,
                            check=False)
    assert (result.stdout, result.returncode) == (b"time difference is 0\n", 0)


@pytest.mark.parametrize("fds", [(1,), (0, 1)])
def test_output_closed_at_the_start(fds, fakes):
    # The line goes nowhere: neither into the socket, nor unnoticed.
    got = []

    def script(conn):
        conn.sendall(packed(now_1900()))
        conn.shutdown(socket.SHUT_WR)
        got.append(conn.recv(100))

    result = subprocess.run([PROGRAM, "time", f"127.0.0.1:{fakes.tcp(script)}"],
                            env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            preexec_fn=closed(*fds), timeout=DEADLINE, check=False)
    assert result.returncode == 1
    assert result.stderr == b"asyncore time: standard output: bad file descriptor\n"
    fakes.close()
    assert got == [b""]


def test_all_closed_at_the_start(fakes):
    got = []

    def script(conn):
        conn.sendall(packed(now_1900()))
        conn.shutdown(socket.SHUT_WR)
        got.append(conn.recv(100))

    result = subprocess.run([PROGRAM, "time", "-v", f"127.0.0.1:{fakes.tcp(script)}"],
                            env=environment(), preexec_fn=closed(0, 1, 2), timeout=DEADLINE,
                            check=False)
    assert result.returncode == 1
    fakes.close()
    assert got == [b""]


def test_no_loop_variable_is_needed(port):
    # An empty environment is as good as any.
    result = subprocess.run([PROGRAM, "time", f"127.0.0.1:{port}"], env={}, capture_output=True,
                            text=True, timeout=DEADLINE, check=False)
    assert result.stdout == "time difference is 0\n"
