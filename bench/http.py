#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Fetching over HTTP, side by side: what CPU time each client takes against nginx on loopback.

    http.py [--build DIR] [--peers DIR] [--program FILE] [--quick] [--json FILE]
            [--markdown FILE] [CASE...]

Cases: 1k-64, 1k-1000, 100k-64, 2g, 2g-discarded; all, if none is named.

All clients take turns, as often as there are rounds; the figures are medians, and the ratio is the
median of the ratios of one round to the others' best (the one with the least median). CPU time is
user and system time of the client's process: of the whole process where it is a program, without
set-up where it is a library. Where it is to be quick, files are smaller and fewer, and rounds end
when the time is up.
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import report

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/system"))
from peers import Peers, free_port  # noqa: E402  (needs the path)

LIMIT = 300
MORE = "keepalive_requests 1000000000; open_file_cache max=100; sendfile_max_chunk 2m;"

# file, fetches, connections, rounds; and the same when it is to be quick
CASES = {
    "1k-64": ("1k", 30_000, 64, 9, 4_000, 3),
    "1k-1000": ("1k", 30_000, 1000, 9, 4_000, 3),
    "100k-64": ("100k", 20_000, 64, 5, 1_000, 3),
    "2g": ("2g", 1, 1, 9, 1, 3),
    "2g-discarded": ("2g", 1, 1, 9, 1, 3),
}
SIZES = {"1k": 1024, "100k": 100 * 1024, "2g": 2 << 30}
QUICK_SIZES = {**SIZES, "2g": 1 << 28}  # the names stay

# Name, kind, library and mode. What is "ours" is compared with the best of the others, be that a
# library or a program.
LIBRARIES = [
    ("epoll by hand", "floor", "raw", "recv"),
    ("asyncore-http", "ours", "asyncore", "deliver"),
    ("libcurl, socket_action", "other", "curl", "socket"),
    ("libcurl, multi_poll", "other", "curl", "poll"),
    ("libcurl, buffer of 256 KiB", "other", "curl", "wide"),
    ("evhttp", "other", "evhttp", "chunked"),
]
PROGRAMS = [
    ("asyncore get", "ours"),
    ("curl -Z", "other"),
    ("wget2", "other"),
]


def rows_of(case):
    """The clients of a case: name, kind, what runs it."""
    rows = []
    for name, kind, library, mode in LIBRARIES:
        if case.startswith("2g") and name == "epoll by hand":
            mode = "trunc" if case.endswith("discarded") else "lowat"
        if case.endswith("discarded") and kind == "ours":
            mode = "discard"
        rows.append((name, kind, ("library", library, mode)))
    for name, kind in PROGRAMS:
        rows.append((name, kind, ("program", name, "discard" if case != "2g" else "deliver")))
    return rows


class Bench:
    def __init__(self, args):
        self.build = pathlib.Path(args.build)
        self.program = args.program
        self.quick = args.quick
        self.sizes = QUICK_SIZES if args.quick else SIZES
        self.until = time.monotonic() + args.seconds if args.quick else None
        self.peers = Peers(args.peers)
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="asyncore-bench-"))
        cpus = sorted(os.sched_getaffinity(0))
        self.client_cpu, self.server_cpu = {cpus[0]}, {cpus[-1]}
        for name, size in self.sizes.items():
            with open(self.peers.www / name, "wb") as f:
                f.truncate(size)
                f.write(os.urandom(min(size, 1 << 16)))
        port = free_port()
        words = self.peers.nginx(port, more=MORE)
        os.sched_setaffinity(0, self.server_cpu)
        started = self.peers.run("nginx", port, words)
        os.sched_setaffinity(0, set(cpus))
        if not started:
            sys.exit("bench: nginx does not start:\n" + self.peers.log("nginx"))

    def close(self):
        self.peers.close()
        shutil.rmtree(self.work, ignore_errors=True)

    def list_of(self, url, count):
        """A file of URLs that are all different: a client may take equal ones for one."""
        path = self.work / f"list-{count}"
        path.write_text("".join(f"{url}?{i}\n" for i in range(count)))
        return path

    def words(self, what, url, count, connections):
        form, name, mode = what
        if form == "library":
            return [self.build / f"bench_http_{name}", mode, url, count, connections]
        if name == "asyncore get":
            return [self.program, "get", *(["--discard"] if mode == "discard" else []), "-P",
                    connections, "--per-host", connections, "-i", self.list_of(url, count)]
        if name == "curl -Z":  # takes no more than 300 at once
            return ["curl", "-q", "-s", "-f", "-Z", "--parallel-max", min(connections, 300),
                    "--parallel-immediate", "-o", "/dev/null", f"{url}?[1-{count}]"]
        return ["wget2", "--no-config", "-q", "--no-hsts", "--http2=off", "--robots=off",
                "--compression=identity", f"--max-threads={min(connections, 300)}", "-O",
                "/dev/null", "-i", self.list_of(url, count)]

    def once(self, what, url, count, connections, size):
        """Runs a client; its CPU time in seconds, or None if it fails."""
        words = list(map(str, self.words(what, url, count, connections)))
        if not shutil.which(words[0]):
            return None
        library = what[0] == "library"
        with open(os.devnull, "wb") as null:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE if library else null, text=True,
                                       stderr=None if library else null, preexec_fn=self._prepare)
            out = process.stdout.read() if library else ""
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            print(f"bench: {' '.join(words[:3])} fails: {process.returncode}", file=sys.stderr)
            return None
        if not library:
            return usage.ru_utime + usage.ru_stime
        figures = {key: int(value) for key, value in map(str.split, out.splitlines())}
        if what[2] not in ("discard",) and figures["bytes"] != count * size:
            print(f"bench: {' '.join(words[:3])}: {figures['bytes']} bytes", file=sys.stderr)
            return None
        return figures["cpu"] / 1e9

    def _prepare(self):
        os.sched_setaffinity(0, self.client_cpu)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))

    def case(self, name, cases_left):
        file, count, connections, rounds, quick_count, quick_rounds = CASES[name]
        if self.quick:
            count, rounds = quick_count, quick_rounds
        url = self.peers.url("nginx", "/" + file)
        rows = rows_of(name)
        cpu = {row[0]: [] for row in rows}
        now = time.monotonic()
        deadline = now + (self.until - now) / cases_left if self.quick else None
        done = 0
        for round_ in range(rounds):
            if deadline is not None and round_ > 0 and time.monotonic() > deadline:
                break
            done += 1
            for i in range(len(rows)):
                row = rows[(i + round_) % len(rows)]
                if round_ > 0 and not cpu[row[0]]:
                    continue  # it has failed
                got = self.once(row[2], url, count, connections, self.sizes[file])
                if got is not None:
                    cpu[row[0]].append(got)
        return {"size": self.sizes[file],
                **self.table(name, rows, cpu, count, connections, done)}

    @staticmethod
    def table(name, rows, cpu, count, connections, rounds):
        middle = {row[0]: statistics.median(cpu[row[0]]) for row in rows if cpu[row[0]]}
        print(f"\n{name}: fetches {count:,}, connections {connections:,}, rounds {rounds}\n")
        print(f"  {'':28}{'CPU of each':>14}{'least':>12}{'ratio to best':>16}")
        others = [r[0] for r in rows if r[1] == "other" and r[0] in middle]
        best = min(others, key=middle.get) if others else None
        out = []
        for label, kind, _ in rows:
            if label not in middle:
                print(f"  {label:28}{'-':>14}")
                continue
            ratio = statistics.median(a / b for a, b in zip(cpu[label], cpu[best])) if best else 0
            unit, text = (1e6, "us") if count > 1 else (1e3, "ms")
            print(f"  {label:28}{middle[label] / count * unit:>11.2f} {text}"
                  f"{min(cpu[label]) / count * unit:>12.2f}{ratio:>16.3f}"
                  + ("  <- best" if label == best else "  <- ours" if kind == "ours" else ""))
            out.append({"client": label, "kind": kind, "cpu": cpu[label], "median": middle[label],
                        "ratio": ratio, "best": best})
        sys.stdout.flush()
        return {"fetches": count, "connections": connections, "clients": out}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    build = HERE.parent / "build"
    parser.add_argument("--build", default=build / "bench", help="the folder of the programs")
    parser.add_argument("--peers", default=build / "peers", help="the folder of scripts/peers-http")
    parser.add_argument("--program", default=build / "asyncore", help="our program")
    parser.add_argument("--quick", action="store_true",
                        default=os.environ.get("QUICK", "") not in ("", "0", "no"))
    parser.add_argument("--json", metavar="FILE", default=os.environ.get("JSON") or None)
    parser.add_argument("--seconds", type=float, default=20, help="how long --quick may take")
    parser.add_argument("--markdown", metavar="FILE", default=os.environ.get("MARKDOWN") or None)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    args = parser.parse_args()
    for case in args.cases:
        if case not in CASES:
            parser.error(f"no case is called '{case}'")
    began = time.monotonic()
    bench = Bench(args)
    try:
        cases = args.cases or list(CASES)
        results = {case: bench.case(case, len(cases) - i) for i, case in enumerate(cases)}
    finally:
        bench.close()
    print(f"\n{time.monotonic() - began:.0f} seconds")
    if args.json:  # beside what bench/run.py put there, if it did
        path = pathlib.Path(args.json)
        try:
            whole = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            whole = {}
        whole["http"] = results
        path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    if args.markdown:
        report.update_page(args.markdown, {"http": report.http_markdown(results)})


if __name__ == "__main__":
    main()
