#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tells every #include that does not point downwards.

  src/X           its own layer and the lower ones; the public headers of the library
  include         public headers only
  cli, examples, bench
                  <asyncore.h>, what lies beside them, and headers of the system

Usage: check_layers.py SOURCE_FOLDER    exit status 1 if there is one
       check_layers.py --self-test      plants violations and looks whether they are told
"""
import pathlib
import re
import sys
import tempfile

LAYERS = ["base", "poll", "loop", "net", "dns", "rfc868", "http", "markup"]
UMBRELLAS = ["asyncore.h", "asyncore-http.h", "asyncore-markup.h"]
OUTSIDE = ["cli", "examples", "bench"]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def is_public(name):
    return name in UMBRELLAS or name.startswith("asyncore/")


def resolve(top, path, name):
    """The file of the project that a quoted name means, or None."""
    for folder in (path.parent, top / "src"):
        target = (folder / name).resolve()
        if target.is_file():
            return target
    return None


def layer_of(top, path):
    parts = path.relative_to(top).parts
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def fault(top, path, form, name):
    """Why this include is not allowed, or None."""
    place = path.relative_to(top).parts[0]
    if is_public(name):
        if not (top / "include" / name).is_file():
            return "there is no such public header"
        if place in OUTSIDE and name not in UMBRELLAS:
            return "programs include <asyncore.h>, <asyncore-http.h> or <asyncore-markup.h>"
        return None
    if place == "include":
        return None if form == "<" else "a public header includes only public ones"
    if form == "<" and not (top / "src" / name).is_file():
        return None                                     # the system's
    target = resolve(top, path, name)
    if target is None:
        return "not found"
    if place in OUTSIDE:
        return None if target.parent == path.parent else "outside of its folder"
    own, other = layer_of(top, path), layer_of(top, target)
    if other is None:
        return "not a layer of src"
    if LAYERS.index(other) > LAYERS.index(own):
        return f"{own} is below {other}"
    return None


def check(top):
    top = pathlib.Path(top).resolve()
    found, count = [], 0
    for place in ["include", "src", *OUTSIDE]:
        for path in sorted((top / place).rglob("*.[ch]")):
            if place == "src" and layer_of(top, path) not in LAYERS:
                found.append(f"{path.relative_to(top)}: in none of the layers")
                continue
            for form, name in INCLUDE.findall(path.read_text()):
                count += 1
                why = fault(top, path, form, name)
                if why:
                    found.append(f"{path.relative_to(top)}: {name}: {why}")
    if count == 0:
        found.append("no #include at all: is this the folder of the sources?")
    return found


def self_test():
    files = {
        "include/asyncore.h": '#include "asyncore/base.h"\n',
        "include/asyncore/base.h": "#include <stddef.h>\n",
        "src/base/list.h": "",
        "src/base/a.c": '#include "list.h"\n#include "asyncore/base.h"\n#include <stdio.h>\n',
        "src/poll/poller.h": "",
        "src/loop/l.c": '#include "../poll/poller.h"\n#include "../base/list.h"\n',
        "cli/cli.h": "",
        "cli/main.c": '#include "cli.h"\n#include <asyncore.h>\n',
    }
    plants = {
        "src/base/up.c": '#include "../poll/poller.h"\n',
        "src/base/up2.c": '#include "poll/poller.h"\n',
        "src/poll/lost.c": '#include "nowhere.h"\n',
        "src/odd/x.c": "",
        "include/asyncore/inside.h": '#include "../../src/base/list.h"\n',
        "cli/inside.c": '#include "../src/base/list.h"\n',
        "examples/inside.c": '#include "base/list.h"\n',
        "bench/part.c": "#include <asyncore/base.h>\n",
        "src/net/gone.c": '#include "asyncore/gone.h"\n',
    }
    with tempfile.TemporaryDirectory() as folder:
        def put(name, text):
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return path

        for name, text in files.items():
            put(name, text)
        if check(folder):
            sys.exit(f"self-test: told of what is right: {check(folder)}")
        for name, text in plants.items():
            path = put(name, text)
            if len(check(folder)) != 1:
                sys.exit(f"self-test: {name} was not told")
            path.unlink()


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif len(sys.argv) == 2:
        faults = check(sys.argv[1])
        print("\n".join(faults))
        sys.exit(1 if faults else 0)
    else:
        sys.exit(__doc__)
