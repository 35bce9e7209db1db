# SPDX-License-Identifier: MIT
"""How `make bench` measures: programs, their loads, counting under a tool, and pairs of CPU times."""
import collections
import concurrent.futures
import math
import os
import re
import statistics
import subprocess
import tempfile
import time

import report

CALLGRIND = ["valgrind", "--fair-sched=try", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
LIMIT = 400  # seconds that one program may take
PAIRS = 31   # of slices, for each ratio
FEWEST = 3   # pairs where it is to be quick
CPUCLOCK_SCHED = 2  # the kernel's name of the clock that counts a process's CPU time
AGAIN = 4    # pairs, after which the servers are started anew

# What is measured: its name in the tables, its program, the way in which that uses its library, and
# the backend (of asyncore's). The first row of a table is what the others are compared with.
Row = collections.namedtuple("Row", "name program mode backend", defaults=("",))

# What a server is given by bench_load.
Load = collections.namedtuple("Load", "kind active idle at_once ask answer")


class Peer:
    """A server and its load, running: each on a CPU of its own, or a load on each of some CPUs."""

    def __init__(self, bench, row, role, load, prefix=(), stderr=None, pin=True, load_cpus=None):
        self.server = subprocess.Popen(
            [*prefix, bench.path(row.program), row.mode, *map(str, role)],
            stdout=subprocess.PIPE, text=True, stderr=stderr, env=bench.env(row),
            preexec_fn=bench.on(bench.server_cpu) if pin else None)
        self.loads = []
        self.what = f"{row.name}, {role[0]}"
        line = self.server.stdout.readline()
        if not line.strip().isdigit():
            self.kill(f"{self.what}: does not serve")
        for cpus in load_cpus or [bench.load_cpu if pin else None]:
            self.loads.append(subprocess.Popen(
                [bench.path("load"), *map(str, load), line.strip()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                preexec_fn=bench.on(cpus) if cpus else None))
        for process in self.loads:
            if process.stdout.readline().strip() != "ready":
                self.kill(f"{self.what}: the load cannot connect")

    def cpu(self):
        """The CPU time of the server so far, in nanoseconds (by the kernel's clock of a process)."""
        return time.clock_gettime_ns(~self.server.pid << 3 | CPUCLOCK_SCHED)

    def slice(self, n):
        """Has each load do `n` of its kind; returns the server's CPU time in nanoseconds."""
        before = self.cpu()
        for load in self.loads:
            load.stdin.write(f"{n}\n")
            load.stdin.flush()
        for load in self.loads:
            if not load.stdout.readline():
                self.kill(f"{self.what}: the load failed")
        return self.cpu() - before

    def end(self):
        """The load ends, and with it the server; returns what the server printed."""
        for load in self.loads:
            load.stdin.close()
        try:
            for load in self.loads:
                load.wait(timeout=LIMIT)
            out = self.server.communicate(timeout=LIMIT)[0]
        except subprocess.TimeoutExpired:
            self.kill(f"{self.what}: does not end")
        return numbers(out)

    def kill(self, message):
        for process in (self.server, *self.loads):
            process.kill()
            process.wait()
        raise SystemExit("bench: " + message)


def numbers(text):
    """Lines of a name and a value as a dictionary."""
    out = {}
    for key, value in map(str.split, text.splitlines()):
        try:
            out[key] = float(value)
        except ValueError:
            out[key] = value
    return out


class Bench:
    """Where the programs are, how long to measure, and what came out."""

    def __init__(self, build, quick, backends=None, pairs=None, seconds=60):
        self.build = build
        self.quick = quick
        self.pairs = pairs or (9 if quick else PAIRS)
        self.until = time.monotonic() + seconds if quick else None
        self.part_end = self.deadline = None  # of this part, and of this case
        self.temp = tempfile.TemporaryDirectory(prefix="asyncore-bench-")
        self.flat = True
        self.figures, self.tables = [], {}
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu, self.load_cpu, self.cores = {cpus[0]}, {cpus[-1]}, len(cpus)
        self.backends = backends or self.probe()

    def path(self, program):
        return os.path.join(self.build, "bench_" + program)

    def env(self, row):
        return {**os.environ, "ASYNCORE_BACKEND": row.backend} if row.backend else None

    @staticmethod
    def on(cpus):
        return lambda: os.sched_setaffinity(0, cpus)

    def probe(self):
        """The backends to measure: what the environment asks for, or epoll and what may beat it."""
        if os.environ.get("ASYNCORE_BACKEND"):
            return os.environ["ASYNCORE_BACKEND"].split(",")
        out = subprocess.run([self.path("asyncore"), "backends", "-"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, check=False).stdout.split()
        return [name for name in ("epoll", "io_uring") if name in out] or ["epoll"]

    def ours(self, mode, what=""):
        """A row for each backend."""
        how = {"recv": "ac_recv + ac_send", "read": "ac_read + ac_write"}[mode]
        rows = []
        for backend in self.backends:
            name = "asyncore" + (f", {how}" if what is None else f", {what}" if what else "")
            rows.append(Row(name + ("" if backend == "epoll" else f", {backend}"), "asyncore", mode,
                            backend))
        return rows

    def present(self, rows):
        return [row for row in rows if os.access(self.path(row.program), os.X_OK)]

    # --- time -------------------------------------------------------------------------------

    def share(self, fraction):
        """Where it is to be quick, a part may take a fraction of the time that is left."""
        if self.until is not None:
            now = time.monotonic()
            self.part_end = self.deadline = now + max(0, self.until - now) * fraction

    def share_case(self, cases_left):
        """And each of its cases as much of that as the others."""
        if self.until is not None:
            now = time.monotonic()
            self.deadline = now + max(0, self.part_end - now) / cases_left

    def late(self):
        """Whether the time for all is up, so that the rest is to be as short as can be."""
        return self.until is not None and time.monotonic() > self.until

    def out_of_time(self, done, fewest=FEWEST):
        if self.deadline is None or time.monotonic() <= self.deadline:
            return False
        return done >= (1 if self.late() else fewest)

    # --- counting ---------------------------------------------------------------------------

    def count(self, tool, run):
        """Counts under a tool; run(prefix, stderr) starts the program and sees it end."""
        fd, name = tempfile.mkstemp(dir=self.temp.name)
        os.close(fd)
        if tool == "instructions":
            with open(name, "w+", encoding="utf-8") as log:
                run(CALLGRIND, log)
                log.seek(0)
                return int(re.search(r"Collected\s*:\s*(\d+)", log.read())[1])
        run(["strace", "-f", "-c", "-o", name], None)
        with open(name, encoding="utf-8") as table:
            total = [line.split() for line in table if line.rstrip().endswith("total")]
        return int(total[0][3 if len(total[0]) > 4 else 2])

    def count_served(self, tool, row, role, load, runs):
        """Instructions or system calls of a server for each unit of its load."""
        def once(n):
            def run(prefix, stderr):
                peer = Peer(self, row, role, load, prefix, stderr, pin=False)
                peer.slice(n)
                peer.end()
            return self.count(tool, run)
        return (once(runs[1]) - once(runs[0])) / (runs[1] - runs[0])

    def count_run(self, tool, row, args, runs):
        """The same of a program that makes its own work; args(n) are its arguments."""
        def once(n):
            def run(prefix, stderr):
                subprocess.run([*prefix, self.path(row.program), row.mode, *map(str, args(n))],
                               stdout=subprocess.DEVNULL, stderr=stderr, check=True,
                               timeout=LIMIT, env=self.env(row))
            return self.count(tool, run)
        return (once(runs[1]) - once(runs[0])) / (runs[1] - runs[0])

    def run(self, row, *args, pin=True):
        """Runs a program, on one CPU unless it has several threads; returns what it printed."""
        return numbers(subprocess.run(
            [self.path(row.program), row.mode, *map(str, args)], stdout=subprocess.PIPE, text=True,
            check=True, timeout=LIMIT, env=self.env(row),
            preexec_fn=self.on(self.server_cpu) if pin else None).stdout)

    # --- pairs ------------------------------------------------------------------------------

    def alternate(self, rows, sample, anew=None):
        """Takes samples of all rows, each next to one of the first: A B, then B A, and so on.

        sample(i) is the cost of row i; before the first of some pairs, anew() starts what is sampled.
        Returns the median of each, and the ratio to the first."""
        samples = [[] for _ in rows]
        for done in range(self.pairs):
            if self.out_of_time(done):
                break
            if anew is not None and (done == 0 or (done % AGAIN == 0 and not self.quick)):
                anew()
            for i in range(1, len(rows)):
                if (done + i) % 2 == 0:
                    base = sample(0)
                    samples[i].append((sample(i), base))
                else:
                    mine = sample(i)
                    samples[i].append((mine, sample(0)))
        bases = [base for row in samples[1:] for _, base in row]
        out = [{"cpu": statistics.median(bases), "ratio": interval([1.0]), "pairs": 0}]
        for row in samples[1:]:
            ratios = [mine / base for mine, base in row if base > 0]
            out.append({"cpu": statistics.median(mine for mine, _ in row),
                        "ratio": interval(ratios), "pairs": len(ratios),
                        "ratios": [round(r, 4) for r in ratios]})
        return out

    def table(self, part, title, head, rows):
        """Shows a table, and keeps it for --json and --markdown."""
        self.tables.setdefault(part, []).append({"title": title, "head": head, "rows": rows})
        report.show_table(title, head, rows)

    def note(self, part, case, row, **figures):
        """Keeps the figures of a row, for --json, the goals and the plot."""
        self.figures.append({"part": part, "case": case, "program": row.name, "key":
                             f"{row.program}:{row.mode}", "backend": row.backend, **figures})


def interval(values):
    """The median and its 95 % interval by order statistics."""
    values = sorted(values)
    n, below, k = len(values), 0.0, 0
    while k < n // 2:  # the chance that at least n - k of n values lie on one side of the median
        below += math.comb(n, k) / 2 ** n
        if below > 0.025:
            break
        k += 1
    k = max(0, k - 1)
    return {"median": statistics.median(values), "low": values[k], "high": values[n - 1 - k]}


def in_parallel(jobs):
    """Runs counting jobs, which other work does not disturb, as many at once as there are CPUs."""
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        futures = [pool.submit(*job) for job in jobs]
        return [f.result() for f in futures]
