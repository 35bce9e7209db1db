# SPDX-License-Identifier: MIT
"""The program in README.md compiles, as it stands there, and does what it says."""
import os
import pathlib
import re
import subprocess

BUILD = pathlib.Path(os.environ["ASYNCORE_BUILD"])
SOURCE = pathlib.Path(os.environ["ASYNCORE_SOURCE"])


def test_program(tmp_path):
    text = (SOURCE / "README.md").read_text()
    programs = re.findall(r"^```c\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(programs) == 1
    example = tmp_path / "readme.c"
    example.write_text(programs[0])
    subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                    "-I", SOURCE / "include", example], check=True)


def test_length():
    assert len((SOURCE / "README.md").read_text().splitlines()) < 150


def test_links():
    text = (SOURCE / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (SOURCE / target).exists(), target
