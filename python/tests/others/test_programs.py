# SPDX-License-Identifier: MIT
"""Programs of others that stand on asyncore, as they come, on these modules."""

import asyncore
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from support import DEADLINE

OTHERS = os.environ['ASYNCORE_OTHERS']
PACKAGES = os.path.join(OTHERS, 'usr', 'lib', 'python3', 'dist-packages')
MODULES = os.path.dirname(asyncore.__file__)
EXTENSION = '_asyncore' in sys.modules


class Program(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.packages = PACKAGES

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), 'a') as file:
            file.write(text)

    def env(self, **more):
        return dict(os.environ, PYTHONPATH=os.pathsep.join([MODULES, self.packages]),
                    PYTHONWARNINGS='ignore', **more)

    def run_it(self, *args, status=0, **env):
        done = subprocess.run([sys.executable, *args], env=self.env(**env), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder,
                              universal_newlines=True, timeout=DEADLINE * 3)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def start(self, *args):
        out = open(self.path('out'), 'w')
        self.addCleanup(out.close)
        server = subprocess.Popen([sys.executable, *args], env=self.env(), stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=subprocess.STDOUT)
        self.addCleanup(self.end, server)
        return server

    def end(self, server):
        if server.poll() is None:
            server.terminate()
        try:
            server.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            server.kill()
            raise

    def output(self):
        with open(self.path('out')) as out:
            return out.read()

    def until(self, condition, server):
        end = time.monotonic() + DEADLINE
        while True:
            found = condition()
            if found:
                return found
            self.assertIsNone(server.poll(), self.output())
            self.assertLess(time.monotonic(), end, self.output())
            time.sleep(0.02)

    def check_modules(self, server):
        """The process runs on these modules: it has the extension open, or has it not."""
        with open('/proc/%d/maps' % server.pid) as maps:
            self.assertEqual(os.path.join(MODULES, '_asyncore.') in maps.read(), EXTENSION)


class Fail2ban(Program):

    def setUp(self):
        Program.setUp(self)
        shutil.copytree(os.path.join(OTHERS, 'etc', 'fail2ban'), self.path('etc'))
        os.mkdir(self.path('bin'))
        for name in ('server', 'client', 'testcases'):
            shutil.copy(os.path.join(OTHERS, 'usr', 'bin', 'fail2ban-' + name), self.path('bin'))
        shutil.rmtree(self.path('etc', 'jail.d'))
        self.write('etc/fail2ban.local',
                   '[Definition]\nsocket = {0}/sock\npidfile = {0}/pid\ndbfile = None\n'
                   'logtarget = STDOUT\nloglevel = INFO\n'.format(self.folder))
        self.write('etc/filter.d/trial.conf', '[Definition]\nfailregex = ^.* failed from <HOST>$\n')
        self.write('etc/jail.local',
                   '[DEFAULT]\nbanaction =\naction =\n[trial]\nenabled = true\nfilter = trial\n'
                   'backend = polling\nlogpath = %s\nmaxretry = 3\nbantime = 600\nfindtime = 600\n'
                   'ignoreself = false\n' % self.path('log'))
        self.write('log', '')

    def client(self, *args, status=0):
        return self.run_it(self.path('bin', 'fail2ban-client'),
                           '-c', self.path('etc'), *args, status=status)

    def test_server_and_client(self):
        server = self.start(self.path('bin', 'fail2ban-server'), '-c',
                            self.path('etc'), '-f', 'start')
        self.until(lambda: 'trial' in self.client('status', status=None), server)
        self.check_modules(server)
        self.assertIn('Server replied: pong', self.client('ping'))
        self.assertIn('Number of jail:\t1', self.client('status'))
        now = time.strftime('%Y-%m-%d %H:%M:%S')
        self.write('log', (now + ' failed from 192.0.2.7\n') * 3)
        self.until(lambda: '192.0.2.7' in self.client('status', 'trial'), server)
        self.assertRegex(self.client('status', 'trial'), r'Currently banned:\t1\n')
        # An answer of many lines, and many requests.
        self.assertEqual(self.client('set', 'trial', 'banip', *map('192.0.2.{}'.format, range(10, 60)))
                         .strip(), '50')
        self.assertEqual(len(re.findall(r'192\.0\.2\.\d+', self.client('status', 'trial'))), 51)
        self.assertEqual(self.client('set', 'trial', 'unbanip', '192.0.2.7').strip(), '1')
        self.assertIn('600', self.client('get', 'trial', 'bantime'))
        self.assertIn('nothing', self.client('get', 'nothing', 'bantime', status=255))
        self.client('stop')
        self.assertEqual(server.wait(DEADLINE), 0, self.output())
        self.assertFalse(os.path.exists(self.path('sock')))

    def test_its_own_tests(self):
        # The one that is left out fails with the standard library's asyncore as well.
        for which in ('Socket', 'Transmitter', 'Fail2banClientTest',
                      '^(?!.*testKillAfterStart).*Fail2banServerTest'):
            out = self.run_it(self.path('bin', 'fail2ban-testcases'), '--no-network',
                              '--fast', which, FAIL2BAN_CONFIG_DIR=os.path.join(OTHERS, 'etc', 'fail2ban'))
            self.assertRegex(out, r'Ran [1-9]\d* tests? in [^\n]*\n\nOK')


class Supervisor(Program):
    """It has a copy of asyncore of 2.5's time, in whose place ours is put."""

    def setUp(self):
        Program.setUp(self)
        self.packages = self.path('packages')
        shutil.copytree(os.path.join(PACKAGES, 'supervisor'), self.path('packages', 'supervisor'))
        shutil.copytree(os.path.join(PACKAGES, 'supervisor-4.2.5.egg-info'),
                        self.path('packages', 'supervisor-4.2.5.egg-info'))
        os.remove(self.path('packages', 'supervisor', 'medusa', 'asyncore_25.py'))
        self.write('packages/supervisor/medusa/asyncore_25.py',
                   'import asyncore, sys\nsys.modules[__name__] = asyncore\n')

    def test_its_own_tests(self):
        # Two of them write to what may be a folder of somebody's.
        name = 'packages/supervisor/tests/test_dispatchers.py'
        with open(self.path(name)) as file:
            text = file.read()
        os.remove(self.path(name))
        self.write(name, text.replace("'/tmp/log'", repr(self.path('log'))))
        out = self.run_it('-m', 'pytest', '-q', '-c', os.devnull, '--rootdir', self.packages,
                          '-p', 'no:cacheprovider', os.path.join(self.packages, 'supervisor', 'tests'),
                          '-k', 'not end_to_end')
        self.assertGreater(int(re.search(r'(\d+) passed', out).group(1)), 1300)

    def test_server_and_client(self):
        self.write('conf', '''
[unix_http_server]
file = {0}/sock
[supervisord]
logfile = {0}/log
pidfile = {0}/pid
childlogdir = {0}
nodaemon = true
user = root
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl = unix://{0}/sock
[program:trial]
command = sh -c 'echo begun; exec cat'
startsecs = 0
stdout_logfile = {0}/trial.log
'''.format(self.folder))

        def control(*args, status=None):
            return self.run_it('-m', 'supervisor.supervisorctl', '-c', self.path('conf'), *args,
                               status=status)

        server = self.start('-m', 'supervisor.supervisord', '-c', self.path('conf'))
        self.until(lambda: 'RUNNING' in control('status'), server)
        self.check_modules(server)
        self.until(lambda: 'begun' in control('tail', 'trial'), server)
        self.assertIn('trial: stopped', control('stop', 'trial'))
        self.assertIn('STOPPED', control('status', 'trial'))
        self.assertIn('trial: started', control('start', 'trial'))
        self.assertRegex(control('pid', 'trial'), r'^\d+\n$')
        self.assertIn('Shut down', control('shutdown'))
        self.assertEqual(server.wait(DEADLINE), 0, self.output())


if __name__ == '__main__':
    unittest.main()
