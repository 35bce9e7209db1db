# SPDX-License-Identifier: MIT
"""The type stubs, by mypy: equal to the modules, usable, and found where the wheel puts them."""

import asyncore
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import unittest
import venv

from support import DEADLINE, HERE

MODULES = os.path.dirname(asyncore.__file__)
NAMES = 'asyncore', 'asynchat', 'smtpd'

USE = '''
import asynchat, asyncore, smtpd
class Echo(asyncore.dispatcher_with_send):
    def handle_read(self) -> None:
        self.send(self.recv(8192))
class Lines(asynchat.async_chat):
    def found_terminator(self) -> None:
        self.push(self._get_data())
class Mail(smtpd.SMTPServer):
    channel_class = smtpd.SMTPChannel
handle = asyncore.call_later(1.5, print, 'x', map={})
handle.cancel()
asyncore.wakeup()
asyncore.loop(5, use_poll=True, map={}, count=3)
'''
WRONG = '''
asyncore.loop(timeout='x')
asyncore.nothing
Echo().send('text')
asyncore.call_later('soon', print)
'''


class Types(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def mypy(self, module, *args, **env):
        env = dict(os.environ, MYPY_CACHE_DIR=self.path('cache'), **env)
        done = subprocess.run([sys.executable, '-m', module, *args], env=env, cwd=self.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, timeout=DEADLINE * 5)
        return done.returncode, done.stdout

    def use(self, *args, **env):
        """A program that is right, and one with four lines that are not."""
        for name, text in (('right', USE), ('wrong', USE + WRONG)):
            with open(self.path(name + '.py'), 'w') as file:
                file.write(text)
        status, out = self.mypy('mypy', '--strict', *args, 'right.py', **env)
        self.assertEqual(status, 0, out)
        status, out = self.mypy('mypy', '--strict', *args, 'wrong.py', **env)
        lines = [int(line) for line in re.findall(r'^wrong\.py:(\d+): error:', out, re.M)]
        first = USE.count('\n') + 2
        self.assertEqual(lines, list(range(first, first + 4)), out)

    def test_equal_to_the_modules(self):
        status, out = self.mypy('mypy.stubtest', *NAMES, MYPYPATH=MODULES)
        self.assertEqual(status, 0, out)
        self.assertIn('no issues found in 3 modules', out)

    def test_on_the_path(self):
        for version in ('3.8', '3.11', '3.12'):
            self.use('--python-version', version, MYPYPATH=MODULES)

    def test_installed(self):
        venv.create(self.path('env'), symlinks=True)
        interpreter = self.path('env', 'bin', 'python')
        subprocess.run([sys.executable, '-m', 'pip', '-q', '--python', interpreter, 'install',
                        '--no-index', os.path.dirname(HERE)], check=True, timeout=DEADLINE * 2)
        # Type checkers of today know that the standard library has these no more; Debian's does not.
        import mypy
        typeshed = self.path('typeshed')
        shutil.copytree(os.path.join(os.path.dirname(mypy.__file__), 'typeshed'), typeshed)
        with open(os.path.join(typeshed, 'stdlib', 'VERSIONS')) as file:
            versions = file.read()
        versions, changed = re.subn(r'^(asyncore|asynchat|smtpd): .*$', r'\1: 3.0-3.11', versions,
                                    flags=re.M)
        self.assertEqual(changed, 3)
        with open(os.path.join(typeshed, 'stdlib', 'VERSIONS'), 'w') as file:
            file.write(versions)
        self.use('--python-version', '3.12', '--custom-typeshed-dir', typeshed,
                 '--python-executable', interpreter)


if __name__ == '__main__':
    unittest.main()
