"""Takes the samples: boots the emulators, runs works in them and on the host.

A sample is a dictionary: time (seconds of the guest's clock; of the host's for a boot and natively), wall, cpu and
waited (seconds of the host; cpu is that of all the emulator's threads, waited how long they were ready to run and
another program had the processor), each for the row's whole count.
"""

import glob
import re
import shlex
import subprocess
import sys
import time

from emulator import HANG, Emulator, Failure
from rows import Boot
from suite import Skip

PROMPT = r'guest:[^\n]*# '
OUTPUT = re.compile(r'bench: output (\w+)')
NATIVE_SECONDS, NATIVE_FACTOR = 0.1, 20  # a shorter native run is repeated with up to so many times the count


def cpu_clock(pid):
    """Processor seconds of a process, all its threads: its clock number, as in clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def waited(pid):
    """Seconds in which threads of a process were ready to run and did not; see proc_pid_schedstat(5)."""
    total = 0
    for path in glob.glob('/proc/%d/task/*/schedstat' % pid):
        try:
            with open(path) as file:
                total += int(file.read().split()[1])
        except FileNotFoundError:  # the thread ended
            pass
    return total / 1e9


class Watch:
    """Measures what the host spends on a process from now on."""

    def __init__(self, pid):
        self.pid, self.wall, self.cpu, self.waited = pid, time.monotonic(), cpu_clock(pid), waited(pid)

    def read(self):
        return {'wall': time.monotonic() - self.wall, 'cpu': cpu_clock(self.pid) - self.cpu,
                'waited': max(0, waited(self.pid) - self.waited)}


def say(text):
    print('  ' + text, file=sys.stderr, flush=True)


class Samples:
    """Everything that was measured: by row and subject, by boot or machine and subject (peak memory in KiB, what
    `info jit` said), what failed."""

    def __init__(self):
        self.rows, self.memory, self.translation, self.failures, self.checks = {}, {}, {}, [], {}

    def add(self, row, subject, sample):
        self.rows.setdefault(row.name, {}).setdefault(subject, []).append(sample)
        say('%-16s %-7s %7.2f s, cpu %7.2f s' % (row.name, subject, sample['time'], sample['cpu']))

    def failed(self, row, subject, failure):
        text = '%s, %s: %s' % (row, subject, failure)
        say(text)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        summary = lines[0] if len(lines) == 1 else '%s ... %s' % (lines[0], lines[-1])
        if summary not in self.failures:
            self.failures.append(summary)

    def leave(self, where, subject, vm, console=True):
        """Ask the emulator before its end. console: the terminal shows the guest's console, not yet the monitor."""
        self.memory.setdefault(where, {}).setdefault(subject, []).append(vm.peak_memory())
        try:
            if console:
                vm.send('\x01c')
                vm.monitor_start()
            self.translation.setdefault(where, {})[subject] = parse_jit(vm.monitor('info jit'))
        except Failure as failure:
            self.failed('info jit in ' + where, subject, failure)

    def check(self, row, subject, count, value):
        """Every processor finds the same value with the same count."""
        first, wanted = self.checks.setdefault((row.name, count), (subject, value))
        if value != wanted:
            self.failed(row.name, subject, 'finds %s where %s finds %s' % (value, first, wanted))


# ---- in the guest ----

class Refused(Failure):
    """The program in the guest says that it cannot do this work; the guest is fine."""


class Session:
    """A booted guest with its shell."""

    def __init__(self, subject, argv, machine):
        self.subject, self.machine = subject, machine
        self.vm = Emulator([*argv, *machine.options(subject)])
        try:
            self.vm.expect(PROMPT)
        except BaseException:  # an interrupt, too: the emulator would stay behind
            self.vm.close()
            raise

    def run(self, words):
        """One bench command; returns the sample and the check value."""
        vm = self.vm
        vm.send(shlex.join(['/bench/bench', *words]) + '\n')
        self.line('begin')
        watch = Watch(vm.process.pid)
        seconds, check = self.line('end')
        sample = {'time': seconds, **watch.read()}
        output = OUTPUT.search(vm.expect('.*?' + PROMPT).group())
        return sample, output.group(1) if output else check

    def line(self, kind):
        """Wait for the program's line; of the last one seconds and check value."""
        found = self.vm.expect(r'bench: (%s|failed) ([^\n]*)\n' % kind)
        if found.group(1) == 'failed':
            raise Refused(found.group(2))
        words = found.group(2).split()
        return (float(words[2]), words[4]) if kind == 'end' else None


def parse_jit(text):
    """What `info jit` says, by QEMU's names or Mimus's: the first number of a line."""
    numbers = {name.strip().lower().replace(' ', '_'): int(value)
               for name, value in re.findall(r'^(\w[\w -]+?)(?:: +| {2,}| (?=\d+$))(\d+)', text, re.MULTILINE)}
    found = re.search(r'\((\d+) ns per guest instruction\)', text)
    if found:
        numbers['ns_per_guest_instruction'] = int(found.group(1))
    return numbers


def scaled(sample, factor):
    """What the whole count would have taken."""
    return {name: round(value / factor, 6) for name, value in sample.items()}


def sample_work(session, row, samples):
    part = row.part if session.subject == 'qemu' else 1
    count = max(1, int(row.count * part))
    try:
        sample, check = session.run(row.command(count))
    except Refused as failure:
        samples.failed(row.name, session.subject, failure)
        return
    samples.check(row, session.subject, count, check)
    samples.add(row, session.subject, scaled(sample, count / row.count))


def measure_machine(machine, rows, subjects, rounds, samples):
    """The machine's rows, in turn in guests that are booted once a round."""
    for i in range(rounds):
        sessions = {}
        try:
            for name, argv in subjects.items():
                try:
                    sessions[name] = Session(name, argv, machine)
                except Failure as failure:
                    samples.failed('machine ' + machine.name(), name, failure)
            for row in rows:
                for name in list(sessions)[::-1 if i % 2 else 1]:
                    try:
                        sample_work(sessions[name], row, samples)
                    except Failure as failure:
                        samples.failed(row.name, name, failure)
                        sessions.pop(name).vm.close()
            if i == rounds - 1:
                for name in sessions:
                    samples.leave(machine.name(), name, sessions[name].vm)
        finally:
            for session in sessions.values():
                session.vm.close()


# ---- boots ----

LOOK = 0.02  # seconds between looks at the screen: little work for the emulator


def wait_for(row, vm):
    """Until the boot has come as far as its row says."""
    if row.screen_row is None:
        vm.expect(row.until)
        return
    vm.monitor_start()
    deadline = time.monotonic() + HANG
    while row.until not in ''.join(vm.screen(rows=1, first=row.screen_row)):
        if time.monotonic() > deadline:
            vm.fail("the screen did not show '%s'" % row.until)
        time.sleep(LOOK)


def measure_boot(row, subjects, rounds, samples):
    for i in range(rounds):
        for name in list(subjects)[::-1 if i % 2 else 1]:
            with Emulator([*subjects[name], *row.options()]) as vm:
                watch = Watch(vm.process.pid)
                try:
                    wait_for(row, vm)
                except Failure as failure:
                    samples.failed(row.name, name, failure)
                    continue
                sample = {'time': time.monotonic() - vm.started, **watch.read()}
                samples.add(row, name, sample)
                samples.leave(row.name, name, vm, row.screen_row is None)


# ---- on the host ----

ENVIRONMENT = {'HOME': '/root', 'PATH': '/bin:/sbin:/usr/bin:/usr/sbin'}  # of a shell in the guest


def run_native(row, count):
    argv = row.machine.native(row.command(count))
    text = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, env=ENVIRONMENT).stdout.decode()
    found = re.search(r'^bench: end \S+ \d+ (\S+) (\S+) (\S+)$', text, re.MULTILINE)
    if not found:
        raise Failure(text.strip() or 'it printed nothing')
    output = OUTPUT.search(text)
    return {'time': float(found.group(1)), 'cpu': float(found.group(2))}, (output or found).group(1 if output else 3)


def measure_native(row, rounds, samples):
    """The same program on the host; a host that cannot run it has no native time."""
    try:
        first, check = run_native(row, row.count)
    except (OSError, Failure) as failure:
        say('%s runs not natively: %s' % (row.name, failure))
        return
    samples.check(row, 'native', row.count, check)
    factor = max(1, min(NATIVE_FACTOR, int(NATIVE_SECONDS / max(first['cpu'], 1e-6))))
    for _ in range(rounds):
        sample, _ = run_native(row, row.count * factor)
        samples.add(row, 'native', scaled(sample, factor))


def can_make(samples, name, make, *words):
    """Make what a guest consists of. A guest that cannot be made costs its rows, not the others."""
    try:
        make(*words)
        return True
    except Skip as skip:
        say('%s is left out: %s' % (name, skip))
    except (Failure, OSError) as failure:
        samples.failed(name, 'made', failure)
    return False


def measure(rows, subjects, rounds, samples):
    """All rows; works grouped by their machine."""
    machines = []
    for row in rows:
        if not isinstance(row, Boot):
            if row.machine not in machines:
                machines.append(row.machine)
        elif can_make(samples, row.name, row.options):
            measure_boot(row, subjects, rounds, samples)
    for machine in machines:
        if not can_make(samples, 'machine ' + machine.name(), machine.options, 'mimus'):
            continue
        works = [r for r in rows if not isinstance(r, Boot) and r.machine is machine]
        for row in works:
            if row.native:
                measure_native(row, rounds, samples)
        measure_machine(machine, works, subjects, rounds, samples)
