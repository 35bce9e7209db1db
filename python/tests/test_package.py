# SPDX-License-Identifier: MIT
"""Wheels, source distributions, and the ways to install them: all with no network."""

import base64
import csv
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import venv
import zipfile

from support import DEADLINE, HERE

SOURCE = os.path.dirname(HERE)
PURE = os.environ.get('ASYNCORE_PURE') == '1'

# What is to be installed, but for the extension and the .dist-info.
FILES = {'asyncore.py', 'asynchat.py', 'smtpd.py'}
FILES.update('%s-stubs/%s' % (name[:-3], stub) for name in list(FILES)
             for stub in ('__init__.pyi', 'py.typed'))

TRY = '''
import asynchat, asyncore, smtpd, socket, sys
class Echo(asyncore.dispatcher_with_send):
    def handle_read(self):
        self.send(self.recv(99))
ours, theirs = socket.socketpair()
Echo(ours)
theirs.send(b'it works')
asyncore.loop(count=1)
print(asyncore.__file__)
print('_asyncore' in sys.modules, theirs.recv(99).decode())
asyncore.close_all()
theirs.close()
'''


class Package(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def run_python(self, *args, interpreter=sys.executable, **env):
        # Not these modules, and nothing that is set for the tests alone, as a sanitizer in front.
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith(('PYTHON', 'PIP_', 'LD_PRELOAD', 'ASAN_'))}
        clean.update(env, PYTHONDONTWRITEBYTECODE='1', PIP_CONFIG_FILE=os.devnull,
                     PIP_DISABLE_PIP_VERSION_CHECK='1', PIP_ROOT_USER_ACTION='ignore')
        done = subprocess.run([interpreter, *args], env=clean, cwd=self.folder, timeout=DEADLINE * 2,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def pip(self, *args):
        return self.run_python('-m', 'pip', *args)

    def hook(self, name, source=SOURCE):
        """Calls a hook of the build backend, as PEP 517 has it; the path of what it made."""
        code = ('import os, sys; os.chdir(%r); sys.path.insert(0, %r); import backend; '
                'print(backend.%s(%r))' % (source, source, name, self.folder))
        return self.path(self.run_python('-c', code).splitlines()[-1])

    def sdist(self):
        """A source distribution, unpacked."""
        with tarfile.open(self.hook('build_sdist')) as tar:
            base = tar.getnames()[0].split('/')[0]
            tar.extractall(self.folder)
        return self.path(base)

    def environment(self):
        """The interpreter of a new virtual environment, and the folder of its packages."""
        venv.create(self.path('env'), symlinks=True)
        interpreter = self.path('env', 'bin', 'python')
        packages = self.run_python('-c', 'import sysconfig; print(sysconfig.get_path("purelib"))',
                                   interpreter=interpreter).strip()
        return interpreter, packages

    def check_imported(self, folder, printed):
        self.assertEqual(printed.splitlines(), [os.path.join(folder, 'asyncore.py'),
                                                '%s it works' % (not PURE)])

    def check_wheel(self, path):
        """The names in a wheel; RECORD has them and their hashes."""
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
            record = next(name for name in names if name.endswith('/RECORD'))
            rows = list(csv.reader(wheel.read(record).decode().splitlines()))
            self.assertEqual([row[0] for row in rows], names)
            for name, digest, size in rows:
                if name != record:
                    data = wheel.read(name)
                    sha = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=')
                    self.assertEqual((digest, int(size)), ('sha256=' + sha.decode(), len(data)))
            tag = wheel.read(record.replace('RECORD', 'WHEEL')).decode().split('Tag: ')[1].strip()
        self.assertTrue(path.endswith('-%s.whl' % tag), path)
        self.assertEqual(tag == 'py3-none-any', PURE)
        return names

    def check_files(self, names):
        files = {name for name in names if '.dist-info/' not in name and '__pycache__' not in name}
        extension = {name for name in files if name.startswith('_asyncore.') and name.endswith('.so')}
        self.assertEqual(len(extension), 0 if PURE else 1, files)
        self.assertEqual(files - extension, FILES)

    def test_install_into_a_folder(self):
        self.pip('install', '--no-index', '--target', self.path('modules'), SOURCE)
        found = [os.path.relpath(os.path.join(folder, name), self.path('modules'))
                 for folder, _, names in os.walk(self.path('modules')) for name in names]
        self.check_files(found)
        printed = self.run_python('-W', 'error', '-c', TRY, PYTHONPATH=self.path('modules'))
        self.check_imported(self.path('modules'), printed)

    def test_wheel_of_a_source_distribution(self):
        source = self.sdist()
        self.pip('wheel', '--no-index', '--wheel-dir', self.path('wheels'), source + '.tar.gz')
        name, = os.listdir(self.path('wheels'))
        names = self.check_wheel(self.path('wheels', name))
        self.check_files(names)
        built = self.hook('build_wheel')
        self.assertEqual(os.path.basename(built), name)
        self.assertEqual(self.check_wheel(built), names)
        # The same once more is the same to the byte.
        with open(built, 'rb') as first:
            before = first.read()
        with open(self.hook('build_wheel'), 'rb') as second:
            self.assertTrue(second.read() == before)
        # Everything that its tests need came along.
        for folder, _, names in os.walk(HERE):
            if '__pycache__' not in folder:
                for name in names:
                    inside = os.path.relpath(os.path.join(folder, name), SOURCE)
                    self.assertTrue(os.path.exists(os.path.join(source, inside)), inside)
        self.assertTrue(os.path.exists(os.path.join(source, 'examples', 'http_get.py')))

    def test_virtual_environment(self):
        interpreter, packages = self.environment()
        self.pip('--python', interpreter, 'install', '--no-index', SOURCE)
        if sys.version_info >= (3, 12):
            self.check_imported(packages, self.run_python('-W', 'error', '-c', TRY,
                                                          interpreter=interpreter))
            return
        # The standard library comes first ...
        printed = self.run_python('-W', 'ignore', '-c', TRY, interpreter=interpreter)
        self.assertFalse(printed.startswith(packages), printed)
        # ... but where the line of README.md is in a .pth.
        self.pip('install', '--no-index', '--target', self.path('modules'), SOURCE)
        with open(os.path.join(SOURCE, 'README.md')) as readme:
            line, = (line.strip() for line in readme if 'sys.path.insert(0' in line)
        with open(os.path.join(packages, 'asyncore.pth'), 'w') as pth:
            pth.write(line.replace('/folder/with/asyncore', self.path('modules')) + '\n')
        printed = self.run_python('-W', 'error', '-c', TRY, interpreter=interpreter)
        self.check_imported(self.path('modules'), printed)

    def test_editable(self):
        source = self.sdist()
        interpreter, packages = self.environment()
        self.pip('--python', interpreter, 'install', '--no-index', '--editable', source)
        found = self.run_python('-c', 'import sys; print("\\n".join(sys.path))',
                                interpreter=interpreter).splitlines()
        self.assertIn(source, found)
        self.check_imported(source, self.run_python('-c', TRY, interpreter=interpreter,
                                                    PYTHONPATH=source))


if __name__ == '__main__':
    unittest.main()
