"""Runs test functions: filter, parallel jobs, progress lines, the closing line.

A test is a function of one argument, the Context. It returns when it passes (a returned text is shown),
raises Failure when it fails and Skip when this host cannot run it.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback

from emulator import Emulator, Failure


class Skip(Exception):
    """The host lacks what the test needs; the text says what."""


class Context:
    """What a test gets: the emulator's command line and a directory of its own."""

    def __init__(self, build, directory):
        self.build = os.path.abspath(build)
        self.directory = directory
        self.mimus = os.environ.get('MIMUS') or os.path.join(self.build, 'mimus')
        # Another emulator in Mimus's place: tests of the tests.
        self.stand_in = 'mimus' not in os.path.basename(self.mimus)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, data):
        """A file of these bytes in the test's directory; returns its path."""
        with open(self.path(name), 'wb') as out:
            out.write(data)
        return self.path(name)

    def accel(self, engine):
        """The option for an engine, which may have suboptions that a stand-in has too: jit,thread=single."""
        name, comma, suboptions = engine.partition(',')
        return ['-accel', ('tcg' if self.stand_in else name) + comma + suboptions]

    def run(self, *args, **more):
        """Start the emulator with these options."""
        return Emulator([self.mimus, *args], **more)


def _run_one(title, name, function, build, parent):
    directory = os.path.join(parent, re.sub(r'\W', '_', name))
    os.mkdir(directory)
    start = time.monotonic()
    try:
        note = function(Context(build, directory))
        result = 'ok'
    except Skip as skip:
        result, note = 'skipped', str(skip)
    except Failure as failure:
        result, note = 'FAILED', str(failure)
    except Exception:  # a broken test is a failed test, the others still run
        result, note = 'FAILED', traceback.format_exc()
    line = '%-7s %s/%s (%.1f s)%s' % (result, title, name, time.monotonic() - start, ': ' + note if note else '')
    shutil.rmtree(directory, ignore_errors=True)
    return result, line


def _choose(tests, long, options):
    """Names of the tests to run: long ones with --long or when a NAME is all of their name."""
    def fits(name):
        return not options.names or any(name.startswith(prefix) for prefix in options.names)
    unknown = [p for p in options.names if not any(name.startswith(p) for name in [*tests, *long])]
    if unknown:
        sys.exit('there is no test %s' % ', '.join(unknown))
    return [name for name in [*tests, *long]
            if name in options.names or fits(name) and (name in tests or options.long)]


def main(title, tests, jobs=None, long=()):
    """tests: dictionary of name -> function; long: those that run only when asked for. Exits the process."""
    parser = argparse.ArgumentParser(description='Run the tests of the group %s.' % title)
    parser.add_argument('--build', default='build', metavar='DIR', help='where mimus is (or $MIMUS names it)')
    parser.add_argument('--jobs', type=int, default=jobs or os.cpu_count() or 1, metavar='N')
    parser.add_argument('--list', action='store_true', help='print the names of the tests')
    parser.add_argument('--long', action='store_true', help='the tests that take minutes each, too')
    parser.add_argument('names', nargs='*', metavar='NAME', help='only tests whose name begins like this')
    options = parser.parse_args()
    chosen = _choose(tests, long, options)
    if options.list:
        print('\n'.join(chosen))
        sys.exit(0)
    tests = {**tests, **dict(long)}

    count = {'ok': 0, 'FAILED': 0, 'skipped': 0}
    lock = threading.Lock()
    parent = tempfile.mkdtemp(prefix='mimus-%s-' % title, dir=os.environ.get('TMPDIR'))

    def one(name):
        result, line = _run_one(title, name, tests[name], options.build, parent)
        with lock:
            count[result] += 1
            print(line, flush=True)

    try:
        with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
            list(pool.map(one, chosen))
    finally:
        shutil.rmtree(parent, ignore_errors=True)
    line = '%d passed, %d failed' % (count['ok'], count['FAILED'])
    print(line + (', %d skipped' % count['skipped'] if count['skipped'] else ''), flush=True)
    sys.exit(1 if count['FAILED'] or not count['ok'] and not count['skipped'] else 0)
