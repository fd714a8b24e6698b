"""What is measured: the tables of rows. A new row is a line in one of them.

A Boot is measured from the emulator's start to a line on the console. A Work runs a row of tests/bench/guest in a
machine that has booted, and is measured between the two lines that the program prints. A Ratio compares two Works
of the same emulator.
"""

import os

import guest

HERE = os.path.dirname(os.path.abspath(__file__))
K, M = 1 << 10, 1 << 20


class Machine:
    """What a Work runs on. packages: Debian packages in the guest; prepare: a bench command to run after the boot."""

    def __init__(self, arch, cpus=1, packages=(), prepare=None):
        self.arch, self.cpus, self.packages, self.prepare = arch, cpus, packages, prepare

    def name(self):
        return '%s-%d' % (self.arch, self.cpus)

    def options(self, subject):
        """The command line; the peer gets a processor with the features of Mimus's."""
        smp = ['-smp', self.cpus] if self.cpus > 1 else []
        model = 'max,la57=off' if subject == 'qemu' else 'max'
        return [*smp, '-cpu', model, '-m', 512, '-nographic', '-nic', 'none', '-kernel', guest.kernel(self.arch),
                '-initrd', self.made()[1], '-append', 'console=ttyS0 quiet loglevel=1']

    def made(self):
        """The program that runs in it, for the host, and the initramfs."""
        return guest.bench_guest(self.arch, os.path.join(HERE, 'guest'), self.packages)


class Boot:
    """A Debian kernel to the first line of user space, on a machine with what both emulators have."""

    unit = 'boot'

    def __init__(self, arch):
        self.name, self.group, self.arch = 'boot-' + arch, 'boot', arch
        self.until = 'user space is up'

    def options(self):
        return ['-m', 256, '-nographic', '-nic', 'none', '-kernel', guest.kernel(self.arch),
                '-initrd', guest.initramfs(self.arch), '-append', 'console=ttyS0']


class Work:
    """count units of `bench ROW`. size: its number behind the count; words: those behind the size.

    part: which part of the count QEMU does, where all of it would take ages. native: whether the host runs it.
    """

    def __init__(self, name, row, count, unit, size=0, words=(), part=1, native=True):
        self.name, self.row, self.count, self.unit = name, row, int(count), unit
        self.size, self.words, self.part, self.native = size, words, part, native
        self.group = self.machine = None

    def on(self, group, machine, suffix=''):
        """This work as a row of a group."""
        row = Work(self.name + suffix, self.row, self.count, self.unit, self.size, self.words, self.part, self.native)
        row.group, row.machine = group, machine
        return row

    def command(self, count):
        return [self.row, str(count), str(self.size), *self.words]


class Ratio:
    """above / below in one emulator, by rows' names. measure: 'time' of the guest or 'cpu' time of the host."""

    def __init__(self, name, group, above, below, measure, goal):
        self.name, self.group, self.above, self.below = name, group, above, below
        self.measure, self.goal = measure, goal


BOOTS = [Boot('i386'), Boot('amd64')]

# name, row, count, unit
MICRO = [
    Work('alu', 'alu', 300e6, 'turn'),
    Work('muldiv', 'muldiv', 100e6, 'turn'),
    Work('recursion', 'recursion', 120e6, 'call'),
    Work('indirect', 'indirect', 30e6, 'call'),
    Work('bytecode', 'bytecode', 100e6, 'operation'),
    Work('sort', 'sort', 3e6, 'number', size=64 * K),
    Work('chase-16K', 'chase', 150e6, 'step', size=16 * K),
    Work('chase-512K', 'chase', 50e6, 'step', size=512 * K),
    Work('chase-64M', 'chase', 3e6, 'step', size=64 * M),
    Work('stream-64K', 'stream', 80e3, 'block', size=64 * K),
    Work('stream-64M', 'stream', 40, 'block', size=64 * M),
    Work('hash-16K', 'hash', 150e6, 'element', size=16 * K),
    Work('hash-16M', 'hash', 5e6, 'element', size=16 * M),
    Work('memcpy-64', 'memcpy', 40e6, 'block', size=64),
    Work('memcpy-4K', 'memcpy', 6e6, 'block', size=4 * K, part=0.1),
    Work('memcpy-1M', 'memcpy', 20e3, 'block', size=M, part=0.05),
    Work('memset-64', 'memset', 20e6, 'block', size=64),
    Work('memset-4K', 'memset', 6e6, 'block', size=4 * K, part=0.02),
    Work('memset-1M', 'memset', 40e3, 'block', size=M, part=0.01),
    Work('rep-movs-16', 'rep-movs', 15e6, 'block', size=16, part=0.1),
    Work('rep-movs-4K', 'rep-movs', 6e6, 'block', size=4 * K, part=0.005),
    Work('rep-movs-64K', 'rep-movs', 300e3, 'block', size=64 * K, part=0.005),
    Work('rep-stos-16', 'rep-stos', 15e6, 'block', size=16, part=0.2),
    Work('rep-stos-4K', 'rep-stos', 500e3, 'block', size=4 * K, part=0.5),
    Work('rep-stos-64K', 'rep-stos', 30e3, 'block', size=64 * K, part=0.5),
    Work('double', 'double', 60e6, 'turn', part=0.5),
    Work('sse2', 'sse2', 60e6, 'turn', part=0.1),
    Work('avx2', 'avx2', 60e6, 'turn', part=0.05),
    Work('x87', 'x87', 3e6, 'turn'),
    Work('getppid', 'getppid', 2e6, 'call'),
    Work('pipe', 'pipe', 20e3, 'round trip'),
    Work('fork-exec', 'fork-exec', 300, 'program'),
    Work('mmap', 'mmap', 200, 'block', size=M),
    Work('signal', 'signal', 100e3, 'signal'),
    Work('rewrite', 'rewrite', 100e3, 'rewrite'),
    Work('beside', 'beside', 20e6, 'store'),
    Work('fresh', 'fresh', 1e6, 'instruction'),
]

XZ = ['/usr/bin/xz', '-3', '-k', '-f', '--block-size=524288']

# The machines differ in nothing but the number of processors.
SMP = [
    Work('parallel-1', 'parallel', 200e6, 'turn', size=1),
    Work('parallel-2', 'parallel', 200e6, 'turn', size=2),
    Work('xz-T1', 'exec', 1, 'run', words=[*XZ, '-T1', '/tmp/text'], native=False),
    Work('xz-T2', 'exec', 1, 'run', words=[*XZ, '-T2', '/tmp/text'], native=False),
    Work('pipe', 'pipe', 50e3, 'round trip', part=0.2),
    Work('fork-exec', 'fork-exec', 500, 'program', part=0.5),
]
# On a busy host times say little; there the work of two processors shows at least that they do not hinder each other.
RATIOS = [
    Ratio('cpu-pair', 'smp', 'parallel-2', 'parallel-1', 'time', '<= 1.1'),
    Ratio('cpu-pair-work', 'smp', 'parallel-2', 'parallel-1', 'cpu', '<= 2.2'),
    Ratio('xz-speedup', 'smp', 'xz-T1', 'xz-T2', 'time', '>= 1.8'),
    Ratio('xz-work', 'smp', 'xz-T2', 'xz-T1', 'cpu', '<= 1.1'),
    Ratio('pipe-smp', 'smp', 'pipe-smp2', 'pipe-smp1', 'cpu', '<= 1.5'),
    Ratio('fork-smp', 'smp', 'fork-exec-smp2', 'fork-exec-smp1', 'cpu', '<= 1.5'),
]


def smp_rows():
    machines = [Machine('amd64', n, ('xz-utils', 'liblzma5', 'libc6'), ['text', '1', str(4 * M), '/tmp/text'])
                for n in (1, 2)]
    rows = [work.on('smp', machines[1]) for work in SMP[:4]]
    for machine in machines:
        rows += [work.on('smp', machine, '-smp%d' % machine.cpus) for work in SMP[4:]]
    return rows


def micro_rows():
    wide, narrow = Machine('amd64'), Machine('i386')
    return [work.on('micro', wide) for work in MICRO] + [work.on('micro32', narrow, '-32') for work in MICRO]


ROWS = BOOTS + micro_rows() + smp_rows()
GROUPS = ('boot', 'micro', 'micro32', 'smp')
