# SPDX-License-Identifier: MIT
"""What `make bench` shows: tables, the Markdown of a page, and a plot by gnuplot."""
import pathlib
import re
import subprocess
import sys
import tempfile

# The lines of the plot: key and backend, and what it is called there.
PLOT = [("raw:epoll", "", "epoll by hand"), ("asyncore:read", "epoll", "asyncore, ac\\\\_write"),
        ("asyncore:read", "io_uring", "asyncore, io\\\\_uring"), ("libev:io", "", "libev"),
        ("libuv:try", "", "libuv, uv\\\\_try\\\\_write"), ("libuv:write", "", "libuv, uv\\\\_write"),
        ("libevent:event", "", "libevent"), ("libevent:bufferevent", "", "bufferevent")]
COLOURS = ["#000000", "#d62728", "#ff9896", "#2ca02c", "#1f77b4", "#9ecae1", "#8c6d31", "#e7ba52"]


def show_table(title, head, rows):
    cells = [head] + [[str(c) for c in row] for row in rows]
    width = [max(len(row[i]) for row in cells) for i in range(len(head))]
    print(f"\n{title}\n")
    for row in cells:
        print("  " + row[0].ljust(width[0]) + "".join("  " + c.rjust(w)
                                                       for c, w in zip(row[1:], width[1:])))
    sys.stdout.flush()


def markdown(tables):
    """Tables as Markdown, each under its title."""
    out = []
    for table in tables:
        head = table["head"]
        out.append(f"\n{table['title']}:\n")
        out.append("| " + " | ".join(head) + " |")
        out.append("| --- |" + " ---: |" * (len(head) - 1))
        out += ["| " + " | ".join(map(str, row)) + " |" for row in table["rows"]]
    return "\n".join(out) + "\n"


def http_markdown(results):
    """The cases of bench/http.py as one table: CPU time, and in brackets the ratio to the best."""
    titles = {"1k-64": "1 KiB, 64 connections", "1k-1000": "1 KiB, 1,000", "100k-64": "100 KiB, 64",
              "2g": "{} MiB delivered", "2g-discarded": "{} MiB discarded"}
    head, rows = [""], {}
    for case, result in results.items():
        head.append(titles[case].format(f"{result.get('size', 2 << 30) >> 20:,}"))
        for client in result["clients"]:
            unit, text = (1e6, "us") if result["fetches"] > 1 else (1e3, "ms")
            each = client["median"] / result["fetches"] * unit
            rows.setdefault(client["client"], [client["client"]]).append(
                f"{each:.2f} {text} ({client['ratio']:.3f})")
    full = [row for row in rows.values() if len(row) == len(head)]
    rule = "| --- |" + " ---: |" * (len(head) - 1)
    return "\n" + "\n".join(["| " + " | ".join(head) + " |", rule,
                             *("| " + " | ".join(row) + " |" for row in full)]) + "\n"


def update_page(name, blocks):
    """Puts each block of text between its two marks in a page; marks that are missing are added at
    the end. All that is outside the marks stays as it is."""
    path = pathlib.Path(name)
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    for key, text in blocks.items():
        first, last = f"<!-- figures: {key} -->", "<!-- end of figures -->"
        if first not in page:
            page += f"\n## {key}\n\n{first}\n{last}\n"
        pattern = re.escape(first) + ".*?" + re.escape(last)
        page = re.sub(pattern, lambda _, f=first, t=text, e=last: f"{f}\n{t}\n{e}", page, count=1,
                      flags=re.S)
    path.write_text(page, encoding="utf-8")


def plot(name, figures):
    """Draws what an echo costs over the number of connections, as SVG."""
    echoes = [f for f in figures if f["part"] == "echo"]
    data, panels = [], []
    for size, label in ((64, "64 bytes"), (16384, "16 KiB")):
        for metric, axis, scale in (
                ("ratio", "CPU time, epoll by hand = 1", ""),
                ("instructions", "user instructions", "set logscale y\n")):
            lines = []
            for (key, backend, title), colour in zip(PLOT, COLOURS):
                points = []
                for f in echoes:
                    of, connections = map(int, f["case"].split("/"))
                    if (f["key"], f["backend"]) != (key, backend) or of != size:
                        continue
                    if f.get(metric) is None:
                        continue
                    value = f[metric]
                    points.append((connections, value["median"], value["low"], value["high"])
                                  if metric == "ratio" else (connections, value, value, value))
                if not points:
                    continue
                block = f"$d{len(data)}"
                data.append(f"{block} << EOD\n" + "".join(
                    f"{c} {m} {lo} {hi}\n" for c, m, lo, hi in sorted(points)) + "EOD\n")
                lines.append(f"{block} using 1:2:3:4 with yerrorlines lc rgb '{colour}' pt 7 ps 0.4 "
                             f"title \"{title}\"")
            if lines:
                panels.append(f"set title 'Echo of {label}'\nset ylabel '{axis}'\n{scale}"
                              f"plot {', '.join(lines)}\nunset logscale y\n")
    if not panels:
        return
    script = "".join(data) + (
        f"set terminal svg size 1100,{450 * ((len(panels) + 1) // 2)} font 'sans-serif,12' "
        "background 'white'\n"
        f"set output '{name}'\nset multiplot layout {(len(panels) + 1) // 2},2\n"
        "set logscale x\nset xrange [0.7:15000]\nset xlabel 'connections'\nset grid\n"
        "set key below\n" + "".join(panels) + "unset multiplot\n")
    with tempfile.NamedTemporaryFile("w", suffix=".gnuplot") as out:
        out.write(script)
        out.flush()
        subprocess.run(["gnuplot", out.name], check=True, timeout=60)
