"""What is measured: the tables of rows, and the goals. A new row is a line in one of them.

A Boot is measured from the emulator's start to a text that it shows. A Work runs a row of tests/bench/guest in a
machine that has booted, and is measured between the two lines that the program prints. A Ratio compares two Works
of the same emulator, a Goal says what Mimus's ratios to others are to be.
"""

import copy
import os

import guest
import packages

HERE = os.path.dirname(os.path.abspath(__file__))
K, M = 1 << 10, 1 << 20

# A root directory of its own with the host's devices, without privileges; $0 is the directory.
CHANGE_ROOT = ('mount -t tmpfs tmpfs "$0/tmp" && mount --rbind /dev "$0/dev" && mount --rbind /proc "$0/proc" && '
               'exec chroot "$0" /bench/bench "$@"')


class Machine:
    """What a Work runs on. programs: whether it has those of packages.py."""

    def __init__(self, arch, cpus=1, programs=False):
        self.arch, self.cpus, self.programs = arch, cpus, programs
        self.memory = 1024 if programs else 512

    def name(self):
        return '%s-%d%s' % (self.arch, self.cpus, '-programs' if self.programs else '')

    def suffix(self):
        return '-32' if self.arch == 'i386' else ''

    def options(self, subject):
        """The command line; the peer gets a processor with the features of Mimus's."""
        smp = ['-smp', self.cpus] if self.cpus > 1 else []
        model = 'max,la57=off' if subject == 'qemu' else 'max'
        return [*smp, '-cpu', model, '-m', self.memory, '-nographic', '-nic', 'none',
                '-kernel', guest.kernel(self.arch), '-initrd', self.made()[1],
                '-append', 'console=ttyS0 quiet loglevel=1']

    def made(self):
        """The program that runs in it (programs: the root directory), for the host, and the initramfs."""
        make = packages.make if self.programs else guest.bench_guest
        return make(self.arch, os.path.join(HERE, 'guest'))

    def native(self, command):
        """The command line that runs a bench command on the host."""
        made = self.made()[0]
        inside = ['unshare', '--map-root-user', '--mount', 'sh', '-c', CHANGE_ROOT] if self.programs else []
        return [*inside, made, *command]


class Boot:
    """From the emulator's start to a text on the console or, with `screen_row`, in that row of the VGA screen.

    options: a function of the arch that returns the command line, on a machine with what both emulators have.
    """

    kind = group = 'boot'
    unit, count, cpus = 'boot', 1, 1

    def __init__(self, name, arch, options, until, screen_row=None):
        self.name = self.base = name
        self.arch, self.until, self.screen_row, self._options = arch, until, screen_row, options

    def options(self):
        console = ['-nographic'] if self.screen_row is None else [
            '-display', 'none', '-serial', 'null', '-monitor', 'stdio']
        return [*console, '-nic', 'none', *self._options(self.arch)]


def boot_linux(arch):
    return ['-m', 256, '-kernel', guest.kernel(arch), '-initrd', guest.initramfs(arch), '-append', 'console=ttyS0']


def boot_grub(unused):
    image = guest.package_file('amd64', 'grub-rescue-pc', 'usr/lib/grub-rescue/grub-rescue-cdrom.iso')
    return ['-m', 64, '-boot', 'd', '-cdrom', image]


def boot_disk(arch):
    return ['-m', 512, '-snapshot', '-drive', 'file=%s,format=raw,if=ide' % guest.disk_image(arch)]


class Work:
    """count units of `bench ROW`. size: its number behind the count; words: those behind the size.

    part: which part of the count QEMU does, where all of it would take ages. native: whether the host runs it.
    """

    def __init__(self, name, row, count, unit, size=0, words=(), part=1, native=True):
        self.name, self.row, self.count, self.unit = name, row, int(count), unit
        self.size, self.words, self.part, self.native = size, words, part, native
        self.base, self.kind, self.group, self.machine = name, None, None, None

    def on(self, kind, machine, suffix=''):
        """This work as a row of a kind, whose group depends on the guest's width; its name gets the suffix."""
        row = copy.copy(self)
        row.name, row.kind, row.group = self.name + suffix, kind, kind + machine.suffix().strip('-')
        row.machine, row.arch, row.cpus = machine, machine.arch, machine.cpus
        return row

    def command(self, count):
        return [self.row, str(count), str(self.size), *self.words]


class Ratio:
    """above / below in one emulator, by rows' names. measure: 'time' of the guest or 'cpu' time of the host."""

    group = 'smp'

    def __init__(self, name, above, below, measure, goal):
        self.name, self.above, self.below, self.measure, self.goal = name, above, below, measure, goal


class Goal:
    """A limit for the mean or the worst of the ratios of some rows, by base names or kinds, for each width.

    peer and measure choose the ratio. Rows of the kind smp count only where there are several processors.
    """

    def __init__(self, text, limit, chosen, summary='worst', peer='qemu', measure='cpu', cpus=1,
                 archs=('amd64', 'i386')):
        self.text, self.limit, self.chosen, self.summary = text, limit, chosen.split(), summary
        self.peer, self.measure, self.cpus, self.archs = peer, measure, cpus, archs

    def fits(self, row):
        fits = 'all' in self.chosen or row.kind in self.chosen or row.base in self.chosen
        return fits and row.arch in self.archs and row.cpus == self.cpus and (row.kind == 'smp') == (self.cpus > 1)


GOALS = [
    Goal('boot', 0.50, 'boot'),
    Goal('boot, wall time', 0.50, 'boot', measure='wall'),
    Goal('programs, mean', 0.25, 'programs', 'mean'),
    Goal('programs, worst', 0.60, 'programs'),
    Goal('programs to native, mean', 3.5, 'programs', 'mean', peer='native', archs=('amd64',)),
    Goal('recursion, indirect calls, interpreter', 0.20, 'recursion indirect bytecode'),
    Goal('chase and hash over large data', 0.40, 'chase-64M hash-16M hash-128M'),
    Goal('floating point, SSE, AVX', 0.12, 'double sse2 avx2'),
    Goal('x87', 0.08, 'x87'),
    Goal('rep strings of 4 KiB and more', 0.02, 'rep-movs-4K rep-movs-64K rep-stos-4K rep-stos-64K'),
    Goal('getppid, signals, page faults, fork+exec', 0.35, 'getppid signal mmap fork-exec'),
    Goal('pipe ping-pong', 0.15, 'pipe'),
    Goal('self-modifying code, data beside code', 0.10, 'rewrite beside'),
    Goal('fresh code', 0.05, 'fresh'),
    Goal('all rows, mean', 0.20, 'all', 'mean'),
    Goal('all rows, worst', 0.90, 'all'),
    Goal('two processors, mean', 0.20, 'smp', 'mean', cpus=2),
]
MEMORY_GOAL = 1.0        # peak memory to QEMU's, worst
TRANSLATION_GOAL = 1000  # cycles for each guest instruction that is translated, worst


# The firmware and GRUB are 16-bit and 32-bit code on any machine.
BOOTS = [Boot('grub-cd', 'i386', boot_grub, 'for a command-line', 21)]
for arch in 'i386', 'amd64':
    BOOTS += [Boot('boot-' + arch, arch, boot_linux, 'user space is up'),
              Boot('disk-' + arch, arch, boot_disk, r'root@diskguest:[^#]*# ')]

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
    Work('stream-64K', 'stream', 20e3, 'block', size=64 * K),
    Work('stream-64M', 'stream', 10, 'block', size=64 * M),
    Work('hash-16K', 'hash', 150e6, 'element', size=16 * K),
    Work('hash-16M', 'hash', 5e6, 'element', size=16 * M),
    Work('hash-128M', 'hash', 3e6, 'element', size=128 * M),
    Work('memcpy-64', 'memcpy', 20e6, 'block', size=64),
    Work('memcpy-4K', 'memcpy', 6e6, 'block', size=4 * K, part=0.1),
    Work('memcpy-1M', 'memcpy', 20e3, 'block', size=M, part=0.01),
    Work('memset-64', 'memset', 20e6, 'block', size=64),
    Work('memset-4K', 'memset', 6e6, 'block', size=4 * K, part=0.1),
    Work('memset-1M', 'memset', 40e3, 'block', size=M, part=0.05),
    Work('rep-movs-16', 'rep-movs', 15e6, 'block', size=16, part=0.5),
    Work('rep-movs-4K', 'rep-movs', 6e6, 'block', size=4 * K, part=0.01),
    Work('rep-movs-64K', 'rep-movs', 300e3, 'block', size=64 * K, part=0.01),
    Work('rep-stos-16', 'rep-stos', 15e6, 'block', size=16),
    Work('rep-stos-4K', 'rep-stos', 2e6, 'block', size=4 * K, part=0.3),
    Work('rep-stos-64K', 'rep-stos', 100e3, 'block', size=64 * K, part=0.3),
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



def program(name, count, *words):
    """So many runs of a program, which must print the same everywhere."""
    return Work(name, 'exec', count, 'run', words=words)


SHELL = '/bin/sh'
PROGRAMS = [
    program('xz', 4, '/usr/bin/xz', '-3', '-c', '/data/text'),
    program('unxz', 20, '/usr/bin/xz', '-d', '-c', '/data/text.xz'),
    program('gzip', 14, '/bin/gzip', '-n', '-c', '/data/text'),
    program('gunzip', 50, '/bin/gzip', '-d', '-c', '/data/text.gz'),
    program('bzip2', 10, '/bin/bzip2', '-c', '/data/text'),
    program('bunzip2', 16, '/bin/bzip2', '-d', '-c', '/data/text.bz2'),
    program('sha256', 6, '/usr/bin/openssl', 'dgst', '-sha256', *['/data/bytes'] * 4),
    program('aes', 16, '/usr/bin/openssl', 'enc', '-aes-256-cbc', '-K', '0f' * 32, '-iv', '1e' * 16, '-in',
            '/data/bytes'),
    program('rsa', 1, SHELL, '/data/sign.sh'),
    program('sqlite-insert', 6, SHELL, '-c', 'rm -f /tmp/new; exec sqlite3 /tmp/new < /data/insert.sql'),
    program('sqlite-select', 10, '/usr/bin/sqlite3', '-readonly', '/data/database', '.read /data/select.sql'),
    program('python', 2, '/usr/bin/python3', '/data/script.py'),
    program('perl', 2, '/usr/bin/perl', '/data/script.pl'),
    program('compile', 1, '/usr/bin/cc1', '-quiet', '-fpreprocessed', '-O1', '/data/source.c', '-o', '-'),
    program('shell-loop', 2, SHELL, '/data/loop.sh'),
    program('shell-fork', 1, SHELL, '/data/fork.sh'),
    program('find-grep', 3, SHELL, '/data/search.sh'),
    program('sort-text', 24, '/usr/bin/sort', '-k2', '/data/text'),
    program('git', 1, SHELL, '/data/git.sh'),
]

XZ = ['/usr/bin/xz', '-3', '-c', '--block-size=262144']

SMP = [
    Work('parallel-1', 'parallel', 200e6, 'turn', size=1),
    Work('parallel-2', 'parallel', 200e6, 'turn', size=2),
    program('xz-T1', 4, *XZ, '-T1', '/data/text'),
    program('xz-T2', 4, *XZ, '-T2', '/data/text'),
]
# Measured on one processor and on two, on machines that differ in nothing else.
SCALED = [
    Work('pipe', 'pipe', 50e3, 'round trip', part=0.2),
    Work('fork-exec', 'fork-exec', 500, 'program', part=0.5),
]
# Rows of the other groups that two processors do, too.
ALSO_SMP = ('recursion indirect bytecode hash-16M sse2 getppid mmap signal rewrite beside fresh '
            'sqlite-insert python compile shell-fork find-grep sort-text git').split()

# On a busy host times say little; there the work of two processors shows at least that they do not hinder each other.
RATIOS = [
    Ratio('cpu-pair', 'parallel-2', 'parallel-1', 'time', '<= 1.1'),
    Ratio('cpu-pair-work', 'parallel-2', 'parallel-1', 'cpu', '<= 2.2'),
    Ratio('xz-speedup', 'xz-T1', 'xz-T2', 'time', '>= 1.8'),
    Ratio('xz-work', 'xz-T2', 'xz-T1', 'cpu', '<= 1.1'),
    Ratio('pipe-smp', 'pipe-smp2', 'pipe-smp1', 'cpu', '<= 1.5'),
    Ratio('fork-smp', 'fork-exec-smp2', 'fork-exec-smp1', 'cpu', '<= 1.5'),
]

MACHINES = {(arch, cpus, with_programs): Machine(arch, cpus, with_programs)
            for arch in ('amd64', 'i386') for cpus in (1, 2) for with_programs in (False, True)}


def smp_rows():
    one, two = (MACHINES['amd64', cpus, True] for cpus in (1, 2))
    rows = [work.on('smp', machine, '-smp%d' % machine.cpus) for machine in (one, two) for work in SCALED]
    rows += [work.on('smp', two) for work in SMP]
    return rows + [work.on('smp', two, '-smp2') for work in MICRO + PROGRAMS if work.name in ALSO_SMP]


def width_rows(kind, works, with_programs):
    """The works for each width of the guest."""
    machines = [MACHINES[arch, 1, with_programs] for arch in ('amd64', 'i386')]
    return [work.on(kind, machine, machine.suffix()) for machine in machines for work in works]


ROWS = BOOTS + width_rows('programs', PROGRAMS, True) + width_rows('micro', MICRO, False) + smp_rows()
GROUPS = ('boot', 'programs', 'programs32', 'micro', 'micro32', 'smp')
WIDTHS = {'amd64': '64-bit', 'i386': '32-bit'}
