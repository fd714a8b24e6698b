"""Guests with real programs: Debian packages and data for them in an initramfs, and as a directory for the host."""

import bz2
import glob
import gzip
import lzma
import os
import random
import shutil
import sqlite3

import guest
import guest_programs

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(HERE, 'programs')
M = 1 << 20

PACKAGES = 'bzip2,coreutils,findutils,gcc,git,grep,gzip,libc6-dev,openssl,perl,python3,sqlite3,xz-utils+needs'
COREUTILS = ['bin/cat', 'bin/true', 'usr/bin/basename', 'usr/bin/cut', 'usr/bin/head', 'usr/bin/sort', 'usr/bin/tail',
             'usr/bin/wc']
FILES = COREUTILS + [
    'bin/bzip2', 'bin/grep', 'bin/gzip', 'usr/bin/find', 'usr/bin/git', 'usr/bin/openssl', 'usr/bin/perl',
    'usr/bin/python3.*[0-9]=usr/bin/python3', 'usr/lib/python3.[0-9]*/', 'usr/bin/sqlite3', 'usr/bin/xargs',
    'usr/bin/xz', 'usr/lib/*/perl-base', 'usr/lib/gcc/*/*/cc1=usr/bin/cc1', 'usr/share/git-core/templates']


# ---- data: always the same ----

WORDS = ('page', 'table', 'of', 'the', 'register', 'bit', 'when', 'is', 'set,', 'clear;', 'a', 'store', 'load', 'to',
         'memory', 'with', 'fault', 'no', 'processor', 'reads', 'again.')


def text(numbers, size):
    """Lines of words and hexadecimal numbers, about so many bytes."""
    lines, length = [], 0
    while length < size:
        words = [numbers.choice(WORDS) if numbers.random() < 0.8 else '0x%x' % numbers.getrandbits(16)
                 for unused in range(numbers.randrange(3, 14))]
        lines.append(' '.join(words) + '\n')
        length += len(lines[-1])
    return ''.join(lines)


def source(numbers, functions):
    """A C file without #include, some twenty lines for each function."""
    lines = ['typedef unsigned int u32;', 'struct list { struct list *next; u32 key; double weight; };', '']
    for i in range(functions):
        a, b, c = (numbers.randrange(1 << 31) | 1 for unused in range(3))
        lines += ['static u32 f%d(u32 x, struct list *list)' % i, '{', '    u32 y[16] = { %du, x };' % a,
                  '    double d = x;', '    for (u32 i = 0; i < 40; i++) {', '        x = x * %du + %du;' % (a, b),
                  '        x ^= x >> %d;' % numbers.randrange(3, 14), '        switch (x & 3) {',
                  '        case 0: y[i %% 16] += x / %du; break;' % (c >> 8), '        case 1: y[x % 16] ^= x; break;',
                  '        case 2: d = d * 0.5 + y[i % 16]; break;',
                  '        default: for (struct list *l = list; l; l = l->next)',
                  '                     if (l->key == x) { l->weight += d; return y[i & 7]; }', '        }', '    }',
                  '    return x + (u32)d%s;' % (' + f%d(x >> 1, list)' % (i - 1) if i % 4 else ''), '}', '']
    calls = ''.join(' + f%d(x, list)' % i for i in range(functions))
    return '\n'.join(lines + ['u32 all(u32 x, struct list *list)', '{', '    return x' + calls + ';', '}', ''])


TIME = 1700000000  # of the files: an initramfs keeps whole seconds, so a host that kept more would find others newer


def write(directory, name, data, time=TIME):
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as out:
        out.write(data if isinstance(data, bytes) else data.encode())
    os.utime(path, (time, time))
    return path


def make_data(directory):
    """What the programs work on."""
    numbers = random.Random(1)
    words = text(numbers, M).encode()
    write(directory, 'text', words)
    write(directory, 'text.xz', lzma.compress(words, preset=3))
    write(directory, 'text.gz', gzip.compress(words, mtime=0))
    write(directory, 'text.bz2', bz2.compress(words))
    write(directory, 'bytes', numbers.randbytes(4 * M))
    write(directory, 'source.c', source(numbers, 60))
    for i in range(160):
        write(directory, 'tree/dir%d/file%d.c' % (i % 8, i), text(numbers, numbers.randrange(500, 6000)),
              TIME + i // 8 % 3 - 1)  # older than the text, as old, newer
    for script in glob.glob(os.path.join(SCRIPTS, '*')):
        shutil.copy(script, directory)
    with sqlite3.connect(os.path.join(directory, 'database')) as database:
        with open(os.path.join(SCRIPTS, 'insert.sql')) as script:
            database.executescript(script.read())


# ---- the guest ----

def _old(made, inputs):
    return not os.path.exists(made) or os.path.getmtime(made) < max(map(os.path.getmtime, inputs))


def _make_root(arch, program, root):
    shutil.rmtree(root, ignore_errors=True)
    guest_programs.add(arch, [PACKAGES], FILES, root)
    for directory in 'tmp', 'dev', 'proc', 'bench':
        os.makedirs(os.path.join(root, directory))
    shutil.copy(os.path.join(guest.package(arch, 'busybox-static'), 'bin', 'busybox'), os.path.join(root, 'bin'))
    for name in 'sh', 'sed', 'cp', 'rm':
        os.symlink('busybox', os.path.join(root, 'bin', name))
    shutil.copy(program, os.path.join(root, 'bench/bench'))
    make_data(os.path.join(root, 'data'))


def make(arch, sources):
    """The root directory with the programs, for the host, and the initramfs with it. The program of `sources`
    is /bench/bench in both, the data are in /data."""
    program, image = guest.bench_guest(arch, sources)
    guest.package(arch, PACKAGES)
    root, made = (os.path.join(guest.cache_directory(), arch, name) for name in ('programs', 'programs.img'))
    if _old(made, [program, image, os.path.abspath(__file__), *glob.glob(os.path.join(SCRIPTS, '*'))]):
        _make_root(arch, program, root)
        guest_programs.pack(root, made + '.new', [image])
        os.rename(made + '.new', made)
    return root, made
