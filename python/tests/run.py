#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the tests of the Python modules under each Python that `make python` built for.

  run.py --build build/python [--only cp311] [--pure | --extension] [--others FOLDER] [test_passes ...]

With the extension, where there is one, and without it. Prints one line a run, and what failed. --others:
the tests in others/, with the programs and libraries that scripts/python-others has put into FOLDER;
Debian's own Python is the one that these are for.
"""

import argparse
import os
import re
import subprocess
import sys

# Seconds that all tests may take together under one Python.
LONGEST = 600

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', required=True, help='the folder that has pythons.txt')
    parser.add_argument('--only', action='append', help='a tag, as cp311')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--pure', action='store_true')
    which.add_argument('--extension', action='store_true')
    parser.add_argument('--others', help='the folder of scripts/python-others')
    parser.add_argument('tests', nargs='*')
    args = parser.parse_args()
    others = args.others and os.path.abspath(args.others)

    with open(os.path.join(args.build, 'pythons.txt')) as lines:
        pythons = [line.rstrip('\n').split(' ', 1) for line in lines if line.strip()]
    failed = runs = 0
    for tag, interpreter in pythons:
        if args.only and tag not in args.only or others and interpreter != '/usr/bin/python3':
            continue
        for pure in (True, False):
            if args.extension and pure or args.pure and not pure:
                continue
            runs += 1
            failed += not run(os.path.join(args.build, tag), tag, interpreter, pure, args.tests, others)
    print('%d runs, %d failed' % (runs, failed))
    return 1 if failed or not runs else 0


def run(folder, tag, interpreter, pure, tests, others=None):
    env = dict(os.environ, PYTHONPATH=os.path.abspath(folder), ASYNCORE_PURE='1' if pure else '0',
               PYTHONDONTWRITEBYTECODE='1')
    env.pop('PYTHONWARNINGS', None)
    check = ('import asyncore, sys; '
             'sys.exit(("_asyncore" in sys.modules) == %r '
             'or not asyncore.__file__.startswith(%r))' % (pure, os.path.abspath(folder)))
    start = HERE
    if others:
        start = os.path.join(HERE, 'others')
        packages = os.path.join(others, 'usr', 'lib', 'python3', 'dist-packages')
        env['PYTHONPATH'] += os.pathsep.join(['', HERE, packages])
        env['ASYNCORE_OTHERS'] = others
    name = '%-7s %-9s' % (tag, 'pure' if pure else 'extension')
    if subprocess.call([interpreter, '-c', check], env=env, cwd=HERE):
        print(name, 'FAILED: these are not the modules to be tested')
        return False
    # What hangs says where.
    command = [interpreter, '-X', 'dev', '-c',
               'import faulthandler, sys, unittest\n'
               'faulthandler.dump_traceback_later(%d, exit=True)\n'
               'sys.argv[0] = "unittest"\n'
               'unittest.main(module=None)' % LONGEST]
    command += tests or ['discover', '-s', start, '-t', start]
    done = subprocess.run(command, cwd=start, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, errors='replace')
    ran = re.search(r'^Ran (\d+) tests? in ([\d.]+s)', done.stdout, re.MULTILINE)
    last = done.stdout.rstrip().rpartition('\n')[2]
    # A reference that is lost is told of by the interpreter, and by nobody else.
    noise = re.search(r'^(Exception ignored|.*ResourceWarning|Fatal Python)', done.stdout,
                      re.MULTILINE)
    fine = done.returncode == 0 and ran is not None and int(ran.group(1)) > 0 and noise is None
    print(name, 'ok' if fine else 'FAILED', ran.group(0) if ran else 'no tests', '-', last,
          flush=True)
    if not fine:
        print(done.stdout)
    return fine


if __name__ == '__main__':
    sys.exit(main())
