#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Looks at the public headers: each compiles alone, as C11 and as C++, with all warnings; and every
function has a comment that says what it does, its own or that of the declaration directly above.
Names that end in an underscore are parts of macros and need none.

Usage: check_headers.py CC CXX     exit status 1 if one does not
"""
import pathlib
import re
import subprocess
import sys

INCLUDE = pathlib.Path(__file__).resolve().parent.parent / "include"
COMMON = ["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror",
          f"-I{INCLUDE}"]
MODES = [
    ("C11", 0, ["-x", "c", "-std=c11", "-Wstrict-prototypes"]),
    ("C++11", 1, ["-x", "c++", "-std=c++11"]),
    ("C++17", 1, ["-x", "c++", "-std=c++17"]),
]


def compile_alone(compilers, header):
    faults = []
    source = f'#include "{header}"\n#include "{header}"\nint main(void);\n'
    for name, which, flags in MODES:
        done = subprocess.run([compilers[which], *flags, *COMMON, "-"], input=source, text=True,
                              capture_output=True, check=False)
        if done.returncode != 0:
            faults.append(f"{header} alone, as {name}:\n{done.stderr}")
    return faults


def undocumented(header, text):
    """The declarations with neither a comment nor a documented declaration directly above."""
    faults, covered, in_comment, in_declaration = [], False, False, False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if in_comment:
            in_comment = "*/" not in line
        elif in_declaration:
            in_declaration = not stripped.endswith((";", "}"))
        elif stripped.startswith("/**"):
            covered, in_comment = True, "*/" not in line
        elif stripped.startswith("AC_API"):
            if not covered and not re.search(r"\bac_\w+_\(", stripped):
                faults.append(f"{header}:{number}: no comment: {stripped}")
            in_declaration = not stripped.endswith((";", "}"))
        elif not stripped.startswith("#"):
            covered = False
    return faults


def self_test():
    good = "/** Says. */\nAC_API int ac_a(int x,\n                int y);\nAC_API int ac_b(void);\n"
    bad = good + "\nAC_API int ac_c(void);\n"
    if undocumented("good.h", good) or len(undocumented("bad.h", bad)) != 1:
        sys.exit("self-test: the look-out for comments is broken")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    self_test()
    faults = []
    headers = sorted(INCLUDE.rglob("*.h"))
    for path in headers:
        name = str(path.relative_to(INCLUDE))
        faults += undocumented(name, path.read_text())
        faults += compile_alone(sys.argv[1:], name)
    print("\n".join(faults) if faults else f"{len(headers)} headers")
    sys.exit(1 if faults or not headers else 0)
