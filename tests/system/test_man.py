# SPDX-License-Identifier: MIT
"""The man pages: well formed, and about all there is."""
import re
import shutil
import subprocess

import pytest

from conftest import DEADLINE, SOURCE, run

PAGES = sorted((SOURCE / "docs/man").glob("*.[13]"))

# Behind macros, and not in this version.
UNNAMED = {"ac_chat_new_", "ac_fail_at", "ac_init_", "ac_new_", "ac_start_tls"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_lint(page):
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc here")
    # Whether a page is installed that another refers to is of this machine.
    out = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True,
                         timeout=DEADLINE, check=False).stdout
    assert [line for line in out.splitlines() if "referenced manual not found" not in line
            and "mandoc.db" not in line] == []


def test_references_are_met():
    ours = {page.name for page in PAGES}
    for page in PAGES:
        for name, section in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.M):
            if name.startswith(("ac_", "asyncore")):
                assert f"{name}.{section}" in ours, page.name


def test_every_function_has_a_page():
    text = "".join(page.read_text() for page in PAGES if page.suffix == ".3")
    for header in sorted((SOURCE / "include/asyncore").glob("*.h")):
        declared = " ".join(re.findall(r"AC_API[^;]*;", header.read_text()))
        for name in set(re.findall(r"\b(ac_\w+)\(", declared)) - UNNAMED:
            assert re.search(rf"\b{name}\b", text), f"{header.name}: {name}"


@pytest.mark.parametrize("command, page", [
    ("time", "asyncore.1"), ("timed", "asyncore.1"), ("demo", "asyncore.1"),
    ("get", "asyncore-get.1")])
def test_every_option_is_in_the_page(command, page):
    text = (SOURCE / "docs/man" / page).read_text()
    for option in re.findall(r"--([a-z-]+)", run(command, "--help").stdout):
        assert re.search(rf" -{option}\b(?!-)", text), option
