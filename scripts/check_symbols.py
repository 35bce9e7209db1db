#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares what the shared libraries export with the list in tests/data/symbols.txt, and with what
the public headers declare. Symbols of the node ASYNCORE_PRIVATE are for the project's own libraries:
they are in the list, and in no public header.

Usage: check_symbols.py LIBRARY...            exit status 1 if they differ
       check_symbols.py --write LIBRARY...    writes the list anew
"""
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
LIST = TOP / "tests/data/symbols.txt"
DECLARATION = re.compile(r"^AC_API\b(?!\s*__)([^;{]*)[;{]", re.MULTILINE)


def exported(libraries):
    """Lines as `ac_close@@ASYNCORE_0.1 T`."""
    lines = []
    for library in libraries:
        text = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", library],
                              check=True, capture_output=True, text=True).stdout
        rows = [line.split() for line in text.splitlines()]
        lines += [f"{row[-1]} {row[-2]}" for row in rows if row[-2] != "A"]
    return sorted(lines)


def declared():
    names = set()
    for path in (TOP / "include").rglob("*.h"):
        for declaration in DECLARATION.findall(path.read_text()):
            found = re.search(r"\b(ac_\w+)\s*(?:\(|\[|$)", declaration)
            if not found:
                sys.exit(f"{path}: not understood: AC_API{declaration}")
            names.add(found.group(1))
    return names


def differences(libraries):
    now = exported(libraries)
    names = {line.split("@")[0] for line in now if "@@ASYNCORE_PRIVATE " not in line}
    public = declared()
    faults = [f"declared, but not exported: {name}" for name in sorted(public - names)]
    faults += [f"exported, but not declared: {name}" for name in sorted(names - public)]
    faults += [f"without a version: {line}" for line in now if "@@ASYNCORE_" not in line]
    known = LIST.read_text().splitlines() if LIST.exists() else []
    faults += [f"new, not in the list: {line}" for line in now if line not in known]
    faults += [f"in the list, but gone: {line}" for line in known if line not in now]
    return faults


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "--write":
        LIST.write_text("\n".join(exported(sys.argv[2:])) + "\n")
    elif len(sys.argv) > 1:
        faults = differences(sys.argv[1:])
        for fault in faults:
            print(fault)
        if faults:
            sys.exit("If that is meant: make symbols")
    else:
        sys.exit(__doc__)
