# SPDX-License-Identifier: MIT
"""What the bench makes of its measurements: intervals, verdicts, and the page that it writes."""
import math
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve()
SOURCE = pathlib.Path(os.environ.get("ASYNCORE_SOURCE", HERE.parents[2]))
sys.path.append(str(SOURCE / "bench"))  # last: it has an http.py of its own
import measure  # noqa: E402  (needs the path)
import parts  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402


def test_interval_of_31_pairs():
    r = measure.interval([float(i) for i in range(31, 0, -1)])
    assert (r["low"], r["median"], r["high"]) == (10.0, 16.0, 22.0)


def test_interval_covers_95_percent():
    for n in range(6, 200):
        r = measure.interval(range(n))
        outside = 2 * sum(math.comb(n, k) for k in range(r["low"] + 1)) / 2 ** n
        narrower = 2 * sum(math.comb(n, k) for k in range(r["low"] + 2)) / 2 ** n
        assert outside <= 0.05 < narrower, n
        assert r["low"] + r["high"] == n - 1


def test_interval_of_few_is_all_of_them():
    assert measure.interval([3.0, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}


def figure(case, low, part="dispatch", key="asyncore:recv", **more):
    return {"part": part, "case": case, "program": "asyncore", "key": key, "backend": "epoll",
            "ratio": {"median": low + 0.01, "low": low, "high": low + 0.02}, **more}


def verdict(figures, start):
    return [g for g in run.verdicts(figures, ["epoll"]) if g["goal"].startswith(start)]


def test_a_goal_is_met_if_the_lower_bound_is_within_it():
    assert verdict([figure("dispatch 100/1", 1.05)], "dispatch: CPU")[0]["met"]
    assert not verdict([figure("dispatch 100/1", 1.051)], "dispatch: CPU")[0]["met"]


def test_of_several_cases_the_worst_counts():
    got = verdict([figure("dispatch 100/1", 1.0), figure("half 10/1", 1.2),
                   figure("dispatch 1000/1", 0.9)], "dispatch: CPU")
    assert len(got) == 1 and not got[0]["met"] and "half 10/1" in got[0]["measured"]


def test_what_was_not_measured_has_no_verdict():
    assert verdict([figure("dispatch 1000/100", 1.0, instructions=None)], "dispatch: instr") == []
    assert verdict([figure("dispatch 1000/100", 1.0, instructions=121)],
                   "dispatch: instr")[0]["met"] is False


def test_io_uring_is_compared_with_our_epoll():
    mine = {**figure("dispatch 100/1", 0.8, ratios=[0.9, 0.8, 1.0]), "backend": "io_uring"}
    own = figure("dispatch 100/1", 1.0, ratios=[1.0, 1.0, 0.5])
    got = {g["goal"]: g for g in run.verdicts([own, mine], ["epoll", "io_uring"])}
    assert got["io_uring, dispatch: CPU"]["met"]
    assert got["io_uring, all parts: CPU, to our epoll"]["measured"].startswith("0.900 [0.800, 2.000]")


def test_a_page_keeps_what_is_not_between_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures: a -->\nold\n<!-- end of figures -->\nafter\n"
                    "<!-- figures: b -->\nkept\n<!-- end of figures -->\n", encoding="utf-8")
    report.update_page(page, {"a": "new \\1", "c": "added"})
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- figures: a -->\nnew \\1\n<!-- end of figures -->\nafter\n")
    assert "old" not in text and "kept" in text and "added" in text


def test_the_page_of_the_project_has_a_mark_for_each_part():
    text = (SOURCE / "docs/performance.md").read_text(encoding="utf-8")
    for part in [*parts.PARTS, "goals", "machine", "http"]:
        assert text.count(f"<!-- figures: {part} -->") == 1, part
