# SPDX-License-Identifier: MIT
"""A system that refuses io_uring, or knows less of it: strace makes the kernel's answers."""
import pytest

from conftest import BACKENDS, HAS, PROGRAM, early, now_1900, packed, run

pytestmark = pytest.mark.skipif("io_uring" not in HAS, reason="built without io_uring")


@pytest.fixture
def port(fakes):
    def script(conn):
        early()
        conn.sendall(packed(now_1900()))

    return fakes.tcp(script)


@pytest.fixture
def injected(tmp_path, port):
    """Runs the time client with answers of io_uring_setup() made up: its result and the calls."""

    def go(inject, *options, backend=None):
        log = tmp_path / "calls"
        # LeakSanitizer cannot work beside strace.
        result = run("-f", "-qq", "-o", log, "-e", "trace=io_uring_setup,epoll_wait,epoll_pwait2",
                     "-e", f"inject=io_uring_setup:{inject}", PROGRAM, *options, "time",
                     f"127.0.0.1:{port}", program="strace", backend=backend,
                     env={"ASAN_OPTIONS": "detect_leaks=0"})
        assert (result.stdout, result.returncode) == ("time difference is 0\n", 0), result.stderr
        return result.stderr, log.read_text(encoding="ascii")

    return go


@pytest.mark.parametrize("error, told", [("ENOSYS", "ENOSYS"), ("EPERM", "EPERM"),
                                         ("EMFILE", "EMFILE"), ("ENOMEM", "ENOBUFS")])
def test_refused(injected, error, told):
    for how in ({"backend": "io_uring"}, {}):
        options = () if how else ("--backend", "io_uring")
        err, calls = injected(f"error={error}", *options, **how)
        assert err == f"log: io_uring is not available ({told}): using epoll\n"
        assert calls.count("io_uring_setup(") == 1
        assert "epoll_" in calls


@pytest.mark.parametrize("modes", [1, 2, 3, 4])
def test_kernel_that_knows_fewer_modes(injected, modes):
    err, calls = injected(f"error=EINVAL:when=1..{modes}", backend="io_uring")
    if "io_uring" not in BACKENDS:
        return  # refused here by itself
    assert calls.count("io_uring_setup(") == min(modes + 1, 4)
    if modes == 4:
        assert err == "log: io_uring is not available (EINVAL): using epoll\n"
    else:
        assert err == ""
        assert "epoll_pwait2(" not in calls


def test_not_asked_for(injected):
    err, calls = injected("error=ENOSYS", "--backend", "epoll", backend="io_uring")
    assert err == ""
    assert "io_uring_setup(" not in calls
