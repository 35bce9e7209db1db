#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The measurements of `make bench`, as tables and, if asked for, as JSON, Markdown and a plot.

    run.py [--build DIR] [--quick] [--backend NAME]... [--pairs N] [PART...]
           [--json FILE] [--markdown FILE] [--plot FILE]
    run.py --from FILE [--markdown FILE] [--plot FILE]     from the JSON of an earlier run

Parts: idle, echo, dispatch, watch, churn, bulk, fan, lines, post, workers, memory, timers; all, if
none is named. QUICK=1, JSON=, MARKDOWN= and PLOT= in the environment stand for the options, and
ASYNCORE_BACKEND for --backend. --markdown puts the tables into a page between marks as
<!-- figures: echo --> and <!-- end of figures -->, and leaves the rest of it alone.

Instructions are those of user space, counted by callgrind, and system calls are counted by strace;
both from two runs of different length, whose difference leaves out how the program starts and ends.
CPU time is that of the server's process, from short slices in which each program alternates with the
one written by hand. docs/performance.md says more.
"""
import argparse
import json
import os
import platform
import re
import shutil
import sys
import time

import report
from measure import PAIRS, Bench, interval
from parts import FLAT, PARTS

# How much of the time a part may take where it is to be quick; 1 for the others.
WEIGHT = {"echo": 4, "dispatch": 2, "idle": 2, "churn": 2, "memory": 2}


def figure(name, digits=0):
    """A count, of which the worst case is looked at."""
    def get(f, _):
        value = f.get(name)
        return None if value is None else (value, f"{value:,.{digits}f}")
    return get


def ratio(f, _):
    """A ratio of CPU times: met if the lower bound of its interval is within the goal."""
    return f["ratio"]["low"], show(f["ratio"])


def calls_to_raw(f, figures):
    raw = [r for r in figures if r["case"] == f["case"] and r["part"] == f["part"]
           and r["program"] == "epoll by hand"]
    if not raw or f.get("calls") is None or raw[0].get("calls") is None:
        return None
    return f["calls"] / raw[0]["calls"], f"{f['calls']:.2f} to {raw[0]['calls']:.2f}"


def to_best(name):
    def get(f, _):
        return f["to_best"][name]["low"], show(f["to_best"][name])
    return get


def in_order(f, _):
    return (0 if f["order"] == "deadline+age" else 1), f["order"]


def to_own_epoll(f, figures):
    """Of the io_uring backend: the ratio of the ratios of the same pairs."""
    own = [r for r in figures if (r["part"], r["case"], r["key"], r["backend"])
           == (f["part"], f["case"], f["key"], "epoll")]
    if not own or "ratios" not in f:
        return None
    r = interval([x / y for x, y in zip(f["ratios"], own[0]["ratios"])])
    return r["low"], show(r)


def show(r):
    return f"{r['median']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"


# What is to be reached: what it is, the part, the cases, the program, what is looked at, and the
# most that it may be. Of several cases the worst is shown.
GOALS = [
    ("echo, ac_write: instructions, 64 connections and up", "echo", r"64/(64|1000|10000)$",
     "asyncore:read", figure("instructions"), 180),
    ("echo, ac_write: system calls, 64 connections and up", "echo", r"64/(64|1000|10000)$",
     "asyncore:read", figure("calls", 2), 2.03),
    ("echo, ac_write: CPU, 64 bytes, 64 connections and up", "echo", r"64/(64|1000|10000)$",
     "asyncore:read", ratio, 1.02),
    ("echo, ac_write: CPU, 16 KiB", "echo", r"16384/", "asyncore:read", ratio, 1.03),
    ("dispatch: CPU, at every N and A", "dispatch", r"", "asyncore:recv", ratio, 1.05),
    ("dispatch: instructions, 100 active of 1,000", "dispatch", r"dispatch 1000/100$",
     "asyncore:recv", figure("instructions"), 120),
    ("watching: add, CPU", "watch", r"add", "asyncore:recv", ratio, 1.05),
    ("watching: remove and add, CPU", "watch", r"again", "asyncore:recv", ratio, 0.3),
    ("churn: system calls, to those by hand", "churn", r"1$", "asyncore:read", calls_to_raw, 1.005),
    ("churn: CPU", "churn", r"", "asyncore:read", ratio, 1.03),
    ("bulk: CPU for each byte", "bulk", r"", "asyncore:read", ratio, 1.02),
    ("idle connection: bytes", "memory", r"", "asyncore:read", figure("bytes"), 160),
    ("idle connection with a timeout: bytes", "memory", r"", "asyncore:read",
     figure("bytes_timeout"), 224),
    *((f"timers: {name}, to the best of the others", "timers", r"", "asyncore:recv", to_best(name),
       round(1 / 1.5, 3)) for name in ("insert", "restart", "cancel", "fire")),
    ("timers: fired in order of deadline and age", "timers", r"", "asyncore:recv", in_order, 0),
    ("two workers: CPU, to one", "workers", r"2", "asyncore:read", ratio, 1.05),
    ("idle connections and timers: a turn, to one without", "idle", r"", "asyncore:read",
     figure("grows", 3), FLAT),
]
URING = [
    ("io_uring, dispatch: CPU", "dispatch", r"", "asyncore:recv", ratio, 0.85),
    ("io_uring, all parts: CPU, to our epoll", r"", r"", r"", to_own_epoll, 1.03),
]


def verdicts(figures, backends):
    """The goals, what was measured of each, and whether it is met."""
    out = []
    goals = [(goal, backends[0]) for goal in GOALS]
    if "io_uring" in backends:
        goals += [(goal, "io_uring") for goal in URING]
    for (name, part, cases, key, get, limit), backend in goals:
        found = []
        for f in figures:
            if f["backend"] != backend or not re.match(cases, f["case"]):
                continue
            if (part and f["part"] != part) or (key and f["key"] != key):
                continue
            got = get(f, figures)
            if got is not None:
                found.append((*got, f))
        if not found:
            continue
        value, text, f = max(found, key=lambda x: x[0])
        if len(found) > 1:
            text += f" at {f['case']}" if part else f" at {f['part']} {f['case']}"
        out.append({"goal": name, "measured": text, "most": limit, "met": value <= limit})
    return out


def machine():
    """What the figures depend on, and nothing that names the machine."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = re.search(r"model name\s*:\s*(.*)", info.read())
    libc = " ".join(platform.libc_ver())
    return {"cpu": model[1] if model else platform.machine(), "cores": os.cpu_count(),
            "kernel": ".".join(platform.release().split(".")[:2]), "libc": libc}


def about(results):
    m = results["machine"]
    return (f"{m['cores']} cores ({m['cpu']}), Linux {m['kernel']}, {m['libc']}; backend"
            f"{'s' if len(results['backends']) > 1 else ''} {', '.join(results['backends'])}"
            + (f"; only {results['pairs']} pairs: rough CPU times"
               if results["pairs"] < PAIRS else ""))


def write_json(name, results):
    if name:
        with open(name, "w", encoding="utf-8") as out:
            json.dump(results, out, indent=1)
            out.write("\n")


def write(args, results):
    """The files that are asked for."""
    write_json(args.json, results)
    if args.markdown:
        blocks = {"machine": "> " + about(results) + "."}
        blocks.update((part, report.markdown(tables))
                      for part, tables in results["tables"].items())
        if "http" in results:
            blocks["http"] = report.http_markdown(results["http"])
        report.update_page(args.markdown, blocks)
    if args.plot:
        report.plot(args.plot, results["figures"])


def arguments():
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../build-bench/bench")
    env = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=default, help="the folder with the programs")
    parser.add_argument("--quick", action="store_true", default=env("QUICK", "") not in
                        ("", "0", "no"), help="fewer cases and pairs, within a minute or so")
    parser.add_argument("--seconds", type=float, default=50, help="how long that may take")
    parser.add_argument("--backend", action="append", metavar="NAME",
                        help="a backend of asyncore's; may be repeated")
    parser.add_argument("--pairs", type=int, help="pairs of slices for each ratio (31)")
    parser.add_argument("--json", metavar="FILE", default=env("JSON") or None,
                        help="write the figures there as well")
    parser.add_argument("--markdown", metavar="FILE", default=env("MARKDOWN") or None,
                        help="put the tables into that page")
    parser.add_argument("--plot", metavar="FILE", default=env("PLOT") or None,
                        help="draw cost over connections, as SVG")
    parser.add_argument("--from", dest="source", metavar="FILE",
                        help="measure nothing; take the JSON of an earlier run")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    args = parser.parse_args()
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"no part is called '{part}'")
    for tool in ["gnuplot"] * bool(args.plot) + ["valgrind", "strace"] * (not args.source):
        if not shutil.which(tool):
            sys.exit(f"bench: {tool} is not installed; scripts/deps bench")
    return args


def main():
    args = arguments()
    if args.source:
        with open(args.source, encoding="utf-8") as file:
            results = json.load(file)
        args.json = None
        write(args, results)
        return
    bench = Bench(os.path.abspath(args.build), args.quick, args.backend, args.pairs, args.seconds)
    began = time.monotonic()
    results = {"machine": machine(), "quick": args.quick, "pairs": bench.pairs,
               "backends": bench.backends, "took": {}, "tables": bench.tables,
               "figures": bench.figures}
    print(about(results))
    parts, left_out = args.parts or list(PARTS), []
    for i, part in enumerate(parts):
        left = sum(WEIGHT.get(p, 1) for p in parts[i:])
        bench.share(WEIGHT.get(part, 1) / left)
        if bench.late() and part != parts[0]:
            left_out.append(part)
            continue
        start = time.monotonic()
        PARTS[part](bench)
        results["took"][part] = round(time.monotonic() - start, 1)
        write_json(args.json, results)  # so that a run that is cut short leaves something
    goals = verdicts(bench.figures, bench.backends)
    if goals:
        bench.table("goals", "The goals", ["", "measured", "at most", "met"],
                    [[g["goal"], g["measured"], f"{g['most']:,}", "yes" if g["met"] else "no"]
                     for g in goals])
    results.update(goals=goals, seconds=round(time.monotonic() - began))
    print(f"\n{results['seconds']} seconds" + (
        f"; left out, since the time was up: {', '.join(left_out)}" if left_out else ""))
    write(args, results)
    if not bench.flat:
        sys.exit(f"bench: by default, idle connections cost more than a ratio of {FLAT}")


if __name__ == "__main__":
    main()
