# SPDX-License-Identifier: MIT
"""The callbacks of 41 scenarios, to the line, as Python 3.11's own module makes them."""

import os
import re
import subprocess
import sys
import unittest

from support import DEADLINE, HERE, MODULES

SCRIPT = os.path.join(HERE, 'callbacks.py')


def sections(text):
    """Scenario -> its lines. How long a wait took is left out: the machine may be busy."""
    text = re.sub(r'took ~?[0-9.]+', 'took TIME', text)
    parts = re.split(r'^== (\w+): .*\n', text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def run(backend, *names):
    env = dict(os.environ, PYTHONPATH=MODULES)
    done = subprocess.run([sys.executable, SCRIPT, backend, *names], env=env, timeout=DEADLINE * 2,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    return sections(done.stdout)


class Callbacks(unittest.TestCase):
    maxDiff = None

    def compare(self, backend):
        with open(os.path.join(HERE, 'data', 'callbacks-%s.txt' % backend)) as recorded:
            wanted = sections(recorded.read())
        self.assertEqual(len(wanted), 41)
        got = run(backend)
        self.assertEqual(list(got), list(wanted))
        for name in wanted:
            # The peers of a scenario are given some milliseconds for what they do; once more, then,
            # where a busy machine took longer.
            for attempt in range(4):
                if got[name] == wanted[name]:
                    break
                got.update(run(backend, name))
            with self.subTest(scenario=name):
                self.assertEqual(got[name], wanted[name])

    def test_select(self):
        self.compare('select')

    def test_poll(self):
        self.compare('poll')


if __name__ == '__main__':
    unittest.main()
