# SPDX-License-Identifier: MIT
"""The workloads of `make bench`, a function each. bench/run.py says how to run them."""
import os
import statistics

from measure import Load, Peer, Row, in_parallel, interval

RAW = Row("epoll by hand", "raw", "epoll")
LIBEV = Row("libev, recv + send", "libev", "io")
LIBUV_TRY = Row("libuv, uv_try_write", "libuv", "try")
LIBUV_WRITE = Row("libuv, uv_write", "libuv", "write")
EVENT = Row("libevent, event + recv + send", "libevent", "event")
BUFFEREVENT = Row("libevent, bufferevent", "libevent", "bufferevent")
PEERS = [LIBEV, LIBUV_TRY, EVENT, LIBUV_WRITE, BUFFEREVENT]
BARE = [Row("libev", "libev", "io"), Row("libevent", "libevent", "event"),
        Row("libuv", "libuv", "try")]
FLAT = 1.05  # what idle connections and timers may do to a turn of the default backend


def senders(b):
    """Both ways to read and write, raw first."""
    return b.present([RAW, *b.ours("recv", None), *b.ours("read", None), *PEERS])


def loops(b):
    return b.present([RAW, *b.ours("recv"), *BARE])


def show(r):
    return f"{r['median']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def counts_of(rows, job):
    """Instructions and system calls of each row: job(tool, row) is a call that counts."""
    values = in_parallel([job(tool, row) for row in rows for tool in ("instructions", "calls")])
    return {row: values[2 * i:2 * i + 2] for i, row in enumerate(rows)}


def exact(b, rows):
    """The rows that are counted: all; where it is to be quick the first, and the last of ours."""
    if not b.quick:
        return rows
    if b.late():
        return []
    ours = [row for row in rows if row.program == "asyncore" and row.backend == b.backends[0]]
    return [rows[0], *ours[-1:]]


def few(b, rows):
    """Where it is to be quick, the rows of a lesser case: those that are counted, and libev."""
    if not b.quick:
        return rows
    if b.late():
        return rows[:2]
    counted = exact(b, rows)
    return [row for row in rows if row in counted or row.program == "libev"]


def case(b, part, name, title, rows, counts, samples, unit="us", per=1000.0):
    """A table of counts, if there are any, and of CPU times, one row each; keeps the figures too."""
    lines = []
    for row, s in zip(rows, samples):
        instructions, calls = counts.get(row, (None, None))
        b.note(part, name, row, instructions=instructions, calls=calls, **s)
        exactly = [number(instructions), number(calls, 2)] if counts else []
        lines.append([row.name, *exactly, number(s["cpu"] / per, 2), show(s["ratio"])])
    head = ["", *(["instr.", "calls"] if counts else []), f"CPU {unit}", "CPU ratio [95 %]"]
    b.table(part, title, head, lines)


def served(b, part, name, title, rows, role, load, slice_, runs, units=1, count=True, **how):
    """A case of servers, which all stand while their slices alternate, and are started anew between."""
    counts = {}
    if count:
        counts = counts_of(exact(b, rows), lambda tool, row: (b.count_served, tool, row, role, load,
                                                              runs))
        counts = {row: [v / units for v in pair] for row, pair in counts.items()}
    peers = []

    def end():
        while peers:
            peers.pop().end()

    def anew():
        """Where its memory happens to lie makes a server some per cent slower or faster."""
        end()
        for row in rows:
            peers.append(Peer(b, row, role, load))
            peers[-1].slice(slice_)

    def sample(i):
        """The first of the rows ran a moment ago, and would find more of its memory in the caches."""
        if slice_ > 1:
            peers[i].slice(slice_ // 2)
        return peers[i].slice(slice_) / (slice_ * units)

    try:
        samples = b.alternate(rows, sample, anew)
    finally:
        end()
    case(b, part, name, title, rows, counts, samples, **how)


def ran(b, part, name, title, rows, args, figure, n, runs, units=1, count=True, pin=True,
        uncounted=(), **how):
    """A case of programs that make their own work: args(n), and the figure that they print."""
    counts = {}
    if count:
        counted = [row for row in exact(b, rows) if row.backend not in uncounted]
        counts = counts_of(counted, lambda tool, row: (b.count_run, tool, row, args, runs))
        counts = {row: [v / units for v in pair] for row, pair in counts.items()}
    samples = b.alternate(rows, lambda i: b.run(rows[i], *args(n), pin=pin)[figure])
    case(b, part, name, title, rows, counts, samples, **how)


# --- the parts ------------------------------------------------------------------------------


def idle(b):
    """Cost follows activity: one active connection, alone and among idle ones and timers."""
    short, long_ = ((500, 1500), ()) if b.quick else ((500, 3500), (100, 500))
    few, many_ = (5000, 5000) if b.quick else (10000, 19000)
    # Connections are opened one at a time, since else the turns for it are not as many in each run. But
    # poll passes over all of them in each turn: there, fewer turns must do, and the last digits show it.
    cases = [] if b.quick else [(RAW, 10000, 0, short, 1)]
    for row in b.ours("read"):
        name = f"asyncore, {row.backend}"
        cases.append((row._replace(name=name), few, 0, short, 1))
        cases.append((row._replace(name=name + ", timers too"), many_, 100000, short, 1))
    if not b.quick:
        cases += [(Row("asyncore, poll", "asyncore", "read", "poll"), 10000, 0, long_, 256),
                  (Row("asyncore, select", "asyncore", "read", "select"), 1000, 0, (100, 1100), 1)]
    # Alone is with one timer where there are many: that there is one may cost something each turn.
    values = in_parallel([
        (b.count_served, tool, row, ["echo", 0, running],
         Load("echo", 1, count, at_once, 64, 64), runs)
        for row, many, running_, runs, at_once in cases
        for tool in (["instructions"] if b.quick else ["instructions", "calls"])
        for count, running in ((0, min(running_, 1)), (many, running_))])
    width = len(values) // len(cases)
    lines = []
    for i, (row, many, running, _, _) in enumerate(cases):
        alone, among, *calls = values[width * i:width * (i + 1)]
        worst = among / alone
        line = [row.name, f"{many:,}", f"{running:,}", number(alone), number(among), f"{worst:.3f}"]
        if calls:
            line += [f"{calls[0]:.2f}", f"{calls[1]:.2f}", f"{calls[1] / calls[0]:.3f}"]
            worst = max(worst, calls[1] / calls[0])
        lines.append(line)
        b.note("idle", f"{many}+{running}", row, alone=alone, among=among, calls=calls, grows=worst)
        if row.backend == b.backends[0] and worst > FLAT:
            b.flat = False
    head = ["", "idle", "timers", "instr. alone", "among them", "ratio", "calls alone", "among them",
            "ratio"]
    b.table("idle", "Each turn with one active connection, alone and among idle ones",
            head[:len(lines[0])], lines)


def echo(b):
    """Echoes over TCP on loopback: 64 bytes and 16 KiB, over 1 to 10,000 connections."""
    # bytes, connections, echoes in a slice, counted runs
    cases = [(64, 1, 500, (500, 2500)), (64, 64, 2000, (1000, 9000)),
             (64, 1000, 4000, (2000, 12000)), (64, 10000, 10000, (10000, 30000)),
             (16384, 1, 300, (500, 2500)), (16384, 64, 1000, (640, 4640)),
             (16384, 1000, 2000, (2000, 6000)), (16384, 10000, 10000, (10000, 20000))]
    if b.quick:
        cases = [(64, 64, 1000, (500, 2500)), (64, 1, 200, None), (16384, 64, 250, None),
                 (64, 10000, 10000, None)]
    for i, (size, connections, slice_, runs) in enumerate(cases):
        b.share_case(len(cases) - i)
        rows = senders(b) if (size, connections) == (64, 64) else few(b, senders(b))
        served(b, "echo", f"{size}/{connections}",
               f"Echo of {size:,} bytes, connections: {connections:,}; for each echo", rows,
               ["echo"], Load("echo", connections, 0, 256, size, size), slice_, runs or (0, 1),
               count=runs is not None)


def dispatch(b):
    """Bytes go round among watched sockets: event, recv, send."""
    cases = [(100, 1), (100, 10), (1000, 1), (1000, 100), (10000, 1), (10000, 100), (10000, 1000),
             (19000, 1), (19000, 100)]
    halves = [(1000, 1), (1000, 100), (10000, 1000)]
    if b.quick:
        cases, halves = [(1000, 100), (19000, 100)], [(1000, 100)]
    rows = loops(b)
    for i, (how, watched, active) in enumerate([("dispatch", *c) for c in cases]
                                               + [("half", *c) for c in halves]):
        b.share_case(len(cases) + len(halves) - i)
        half = ", two bytes, of which the handler reads one" if how == "half" else ""
        ran(b, "dispatch", f"{how} {watched}/{active}",
            f"Dispatch, watched: {watched:,}, active: {active}{half}; for each event",
            rows if (how, watched) == ("dispatch", 1000) else few(b, rows),
            lambda n, h=how, w=watched, a=active: [h, w, a, n], "event",
            5000 if b.quick else 40000, (1000, 4000) if b.quick else (2000, 12000),
            count=not b.quick or (watched, how) == (1000, "dispatch"), unit="ns", per=1.0)


def watch(b):
    """Connections are added to what is watched; removed and added."""
    n, rounds = (500, 5) if b.quick else (1000, 20)
    rows = loops(b)
    adds = counts_of([] if b.quick else rows, lambda tool, row: (
        b.count_run, tool, row, lambda m: ["watch", m, 0], (500, 1500)))
    again = counts_of(exact(b, rows), lambda tool, row: (
        b.count_run, tool, row, lambda m: ["watch", n, m], (2, 12)))
    again = {row: [v / n for v in pair] for row, pair in again.items()}
    last = {}

    def sample(i):  # a run gives both figures
        last[i] = b.run(rows[i], "watch", n, rounds)
        sample.runs.append((i, last[i]))
        return last[i]["add"]

    sample.runs = []
    samples = b.alternate(rows, sample)
    case(b, "watch", "add", f"Watching {n:,} connections more; for each"
         + (" (instructions and calls: its accept(2) and preparation too)" if adds else ""),
         rows, adds, samples, unit="ns", per=1.0)
    pairs = [[] for _ in rows]
    runs = sample.runs
    for (i, x), (k, y) in zip(runs[0::2], runs[1::2]):
        row, mine, base = (k, y, x) if i == 0 else (i, x, y)
        pairs[row].append((mine["again"], base["again"]))
    samples = [{"cpu": statistics.median(y for p in pairs[1:] for _, y in p),
                "ratio": interval([1.0]), "pairs": 0}]
    samples += [{"cpu": statistics.median(x for x, _ in p),
                 "ratio": interval([x / y for x, y in p]), "pairs": len(p)} for p in pairs[1:]]
    case(b, "watch", "again", f"Removing and adding, {n:,} watched; for each", rows, again, samples,
         unit="ns", per=1.0)


def churn(b):
    """Connections that are accepted, answered once and closed."""
    for i, active in enumerate((64, 1)):
        b.share_case(2 - i)
        rows = senders(b)
        if active == 1:
            rows = few(b, rows)
        served(b, "churn", str(active), f"Churn: accept, 64 bytes answered, close, at a time: {active}; "
               "for each connection", rows, ["churn"], Load("churn", active, 0, 1, 64, 64),
               300 if b.quick else 1500, (100, 600) if b.quick else (1000, 5000),
               count=not b.quick or active == 1)


def memory(b):
    """Heap in use for each connection, once it has echoed and lies idle."""
    n = 10000
    head = ["", "bytes", "with an idle timeout"]
    lines = []
    rows = senders(b)
    if b.quick:
        rows = few(b, rows)
    for row in rows:
        heaps = []
        for timeout in (0, 600):
            peer = Peer(b, row, ["echo", timeout], Load("echo", 1, n - 1, 256, 64, 64))
            heaps.append(peer.end()["heap"])
        b.note("memory", str(n), row, bytes=heaps[0], bytes_timeout=heaps[1])
        lines.append([row.name, *map(number, heaps)])
    b.table("memory", f"Heap in use for each of {n:,} idle connections", head, lines)


def timers(b):
    """Operations on a million timers with random deadlines, and the order in which they fire."""
    n = 100000 if b.quick else 1000000
    names = ("insert", "restart", "cancel", "fire")
    rows = b.present([*b.ours("recv")[:1], *BARE])
    runs = [[] for _ in rows]
    for done in range(b.pairs):
        if b.out_of_time(done, 2):
            break
        for i in range(len(rows)):
            which = (i + done) % len(rows)
            runs[which].append(b.run(rows[which], "timers", n))
    best = {}
    for name in names:
        medians = [statistics.median(run[name] for run in rs) for rs in runs]
        best[name] = min(range(1, len(rows)), key=medians.__getitem__) if len(rows) > 1 else 0
    lines = []
    for i, row in enumerate(rows):
        ns = {name: statistics.median(run[name] for run in runs[i]) for name in names}
        ratios = {name: interval([x[name] / y[name] for x, y in zip(runs[i], runs[best[name]])])
                  for name in names}
        orders = {run["order"] for run in runs[i]}
        order = orders.pop() if len(orders) == 1 else "varies"
        if order == "none" and all(run["order_ms"] != "none" for run in runs[i]):
            order = "of milliseconds"
        b.note("timers", str(n), row, ns=ns, to_best=ratios, order=order, pairs=len(runs[i]))
        lines.append([row.name, *(f"{ns[name]:,.0f}" for name in names), order])
        if i == 0 and len(rows) > 1:
            lines.append(["... to the best of the others", *(show(ratios[name]) for name in names),
                          ""])
    b.table("timers", f"Timers, {n:,} with random deadlines; CPU ns for each, medians",
            ["", *names, "fired in order of"], lines)


def bulk(b):
    """A long answer through the sender of one connection."""
    size = 1 << (26 if b.quick else 30)
    rows = [row for row in senders(b) if row.mode not in ("event", "recv")]
    rows = [row if row.program != "asyncore" else row._replace(
        name=row.name.replace("ac_read + ac_write", "ac_write")) for row in rows]
    served(b, "bulk", str(size), f"{size >> 20:,} MiB through one sender; for each MiB", rows,
           ["bulk", size], Load("echo", 1, 0, 1, 1, size), 1, (1, 2), units=size >> 20,
           count=not b.quick)


def post(b):
    """Work posted by another thread."""
    # Valgrind runs one thread at a time, and does not let another run during a wait for a ring: there
    # the poster would never come to post.
    rows = [row if row.mode != "event" else row._replace(mode="threads") for row in loops(b)]
    for i, (burst, n, runs) in enumerate(((100, 2000, (100, 600)), (1, 3000, (200, 1200)))):
        b.share_case(2 - i)
        if b.quick:
            n //= 10
        name = "in bursts of 100" if burst > 1 else "one at a time"
        ran(b, "post", str(burst), f"Work from another thread, {name}; for each, both threads", rows,
            lambda m, k=burst: ["post", m, k], "post", n, runs, units=burst,
            count=not b.quick, pin=False, uncounted=["io_uring"], unit="ns", per=1.0)
    lines = []
    for row in rows:
        waits = [b.run(row, "post", 500 if b.quick else 3000, 1, pin=False)["burst"]
                 for _ in range(3 if b.quick else 15)]
        b.note("post", "latency", row, ns=statistics.median(waits))
        lines.append([row.name, number(statistics.median(waits)), number(min(waits))])
    b.table("post", "Posted, run, and the poster told of it: time on the clock, ns",
            ["", "median", "least"], lines)


def fan(b):
    """One message to 1,000 connections."""
    n = 1000
    served(b, "fan", str(n), f"A message of 64 bytes to {n:,} connections; for each of them",
           senders(b), ["fan"], Load("fan", n, 0, 64, 64, 64), 2000 if b.quick else 40000,
           (n, 6 * n), count=not b.quick)


def lines(b):
    """Lines of 64 bytes, each answered by another."""
    rows = b.present([RAW, *b.ours("read", "ac_chat"),
                      BUFFEREVENT._replace(name="libevent, evbuffer_readln")])
    for i, together in enumerate((1, 16)):
        b.share_case(2 - i)
        served(b, "lines", str(together),
               f"Lines of 64 bytes, 64 connections, sent together: {together}; for each line", rows,
               ["lines"], Load("echo", 64, 0, 64, 64 * together, 64 * together),
               (2000 if together == 1 else 500) // (2 if b.quick else 1),
               (500, 4500) if together == 1 else (200, 1200), units=together,
               count=not b.quick or together == 1)


def workers(b):
    """Echo by one thread, and by two that share a port, each on one CPU together with its load."""
    load = Load("echo", 64, 0, 64, 64, 64)
    slice_ = 1000 if b.quick else 4000
    cpus = [{cpu} for cpu in sorted(os.sched_getaffinity(0))][:2]
    out = []
    for row in b.present([RAW, *b.ours("read")]):
        one = row._replace(name=row.name + ", 1 thread")
        two = row._replace(name=row.name + ", 2 threads")
        peers = []
        try:
            peers = [Peer(b, r, ["workers", n], load, pin=False, load_cpus=cpus[:n])
                     for n, r in ((1, one), (2, two))]
            for peer in peers:
                peer.slice(slice_)
            samples = b.alternate([one, two], lambda i, p=peers: p[i].slice(slice_) / slice_ / len(p[i].loads))
        finally:
            for peer in peers:
                peer.end()
        for n, (r, s) in enumerate(zip((one, two), samples), 1):
            b.note("workers", str(n), r, **s)
            out.append([r.name, number(s["cpu"] / 1000, 2), show(s["ratio"]) if n > 1 else ""])
    b.table("workers", "Echo of 64 bytes over 64 connections, by threads; for each echo",
            ["", "CPU us", "ratio to one thread [95 %]"], out)


PARTS = {"idle": idle, "echo": echo, "dispatch": dispatch, "watch": watch, "churn": churn,
         "bulk": bulk, "fan": fan, "lines": lines, "post": post, "workers": workers,
         "memory": memory, "timers": timers}
