"""What cannot work ends with status 1 and one line on stderr that names it; what only informs ends with 0."""

import os
import re
import struct
import subprocess

import guest
import programs
from emulator import Failure, HANG
from suite import Skip


def finish(ctx, *args, stdin=b'', want=0, env=None):
    """Run to the end with this standard input; the exit status must be `want`. Returns (stdout, stderr)."""
    argv = [ctx.mimus, *(str(a) for a in args)]
    try:
        done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=HANG,
                              check=False, env=dict(os.environ, **(env or {})))
    except subprocess.TimeoutExpired as late:
        raise Failure('did not end within %d s\n  command: %s\n  output: %r' % (HANG, argv, late.stdout)) from late
    out, err = done.stdout.decode('latin-1'), done.stderr.decode('latin-1')
    if done.returncode != want:
        raise Failure('exit status %d instead of %d\n  command: %s\n  output: %r\n  standard error: %r' % (
            done.returncode, want, ' '.join(argv), out[-2000:], err[-2000:]))
    return out, err


def bzimage(version=0x20c, size=4096):
    """The header of a Linux kernel with four setup sectors and 64 KiB of protected-mode code, cut at `size`."""
    header = bytearray(max(size, 0x260))
    header[0x1f1] = 4
    struct.pack_into('<I', header, 0x1f4, 0x10000 // 16)
    struct.pack_into('<H4sH', header, 0x1fe, 0xaa55, b'\xeb\x66Hd', 0)
    struct.pack_into('<4sH', header, 0x202, b'HdrS', version)
    header[0x211] = 1  # LOADED_HIGH
    struct.pack_into('<I', header, 0x22c, 0x7fffffff)
    return bytes(header[:size])


def elf_for_arm(ctx):
    path = programs.multiboot(ctx, programs.leave(0))
    with open(path, 'r+b') as elf:
        elf.seek(18)
        elf.write(struct.pack('<H', 40))  # EM_ARM
    return path


def truncated_elf(ctx):
    path = programs.multiboot(ctx, '.fill 65536, 1, 0x90\n')
    os.truncate(path, 0x1000)
    return path


def sparse(ctx, name, size, start=b''):
    path = ctx.write(name, start)
    os.truncate(path, size)
    return path


# Files that rows name as {file}.
FILES = {
    'none': lambda ctx: ctx.path('absent'),
    'dir': lambda ctx: ctx.directory,
    'empty': lambda ctx: ctx.write('empty', b''),
    'short': lambda ctx: ctx.write('short', b'x' * 100),
    'disk': lambda ctx: sparse(ctx, 'disk', 1 << 20),
    'text': lambda ctx: ctx.write('text', b'this is no kernel\n' * 1000),
    'arm': elf_for_arm,
    'cutelf': truncated_elf,
    'cutlinux': lambda ctx: ctx.write('cutlinux', bzimage(size=0x240)),
    'cutsetup': lambda ctx: ctx.write('cutsetup', bzimage(size=1200)),
    'biglinux': lambda ctx: sparse(ctx, 'biglinux', 64 << 20, bzimage()),
    'bigelf': lambda ctx: programs.multiboot(ctx, programs.leave(0), bss=256 << 20),
    'program': lambda ctx: programs.multiboot(ctx, programs.leave(0)),
    'big': lambda ctx: sparse(ctx, 'big', 64 << 20),
}

# name: (command line, words on stderr)
ERRORS = {
    'unknown-option': ('-frobnicate', '-frobnicate'),
    'unknown-long-option': ('--frobnicate', 'frobnicate'),
    'missing-argument': ('-m', '-m'),
    'missing-argument-last': ('-nodefaults -kernel', '-kernel'),
    'memory-nonsense': ('-m lots', 'lots'),
    'memory-suffix': ('-m 12q', '12q'),
    'memory-zero': ('-m 0', '-m'),
    'memory-negative': ('-m -5', '-5'),
    'memory-too-large': ('-m 1000000G', '1000000G'),
    'memory-more-than-limit': ('-m 65G', '65G'),
    'memory-overflow': ('-m 99999999999999999999999', '-m'),
    'smp': ('-smp 65', 'at most 64'),
    'smp-product': ('-smp 5,cores=2', 'cores (2)'),
    'smp-maxcpus': ('-smp 2,maxcpus=4', 'maxcpus'),
    'smp-zero': ('-smp 0', '-smp'),
    'smp-no-apic': ('-smp 2 -cpu 486', 'local APIC'),
    'machine': ('-M q35', 'q35'),
    'cpu': ('-cpu nonsense', 'nonsense'),
    'cpu-feature': ('-cpu max,+frob', 'frob'),
    'cpu-feature-value': ('-cpu max,sse=perhaps', 'perhaps'),
    'cpu-feature-empty': ('-cpu max,', "''"),
    'cpu-feature-base': ('-cpu 486,+sse2', 'sse2 needs sse'),
    'accel': ('-accel kvm', 'kvm'),
    'accel-option': ('-accel jit,frob=1', 'frob'),
    'accel-host-isa': ('-accel jit,host-isa=all', 'all'),
    'kernel-missing': ('-kernel {none}', 'absent'),
    'kernel-directory': ('-kernel {dir}', '{dir}'),
    'kernel-empty': ('-kernel {empty}', 'empty'),
    'kernel-text': ('-kernel {text}', 'text'),
    'kernel-arm': ('-kernel {arm}', 'another machine'),
    'kernel-truncated-elf': ('-kernel {cutelf}', 'truncated'),
    'kernel-truncated-header': ('-kernel {cutlinux}', 'cutlinux'),
    'kernel-truncated-setup': ('-kernel {cutsetup}', 'cutsetup'),
    'kernel-larger-than-memory': ('-m 16 -kernel {biglinux}', 'biglinux'),
    'multiboot-larger-than-memory': ('-m 16 -kernel {bigelf}', 'program'),
    'initrd-missing': ('-kernel {program} -initrd {none}', 'absent'),
    'initrd-larger-than-memory': ('-m 16 -kernel {program} -initrd {big}', 'big'),
    'initrd-alone': ('-initrd {text}', '-initrd'),
    'append-alone': ('-append quiet', '-append'),
    'bios-missing': ('-bios {none}', 'absent'),
    'bios-directory': ('-bios {dir}', '{dir}'),
    'bios-empty': ('-bios {empty}', 'empty'),
    'bios-too-large': ('-bios {big}', 'big'),
    'disk-missing': ('-hda {none}', 'absent'),
    'disk-missing-positional': ('{none}', 'absent'),
    'disk-directory': ('-hda {dir}', 'directory'),
    'disk-empty': ('-hda {empty}', 'empty'),
    'disk-short': ('-hda {short}', 'short'),
    'disk-device': ('-hda /dev/null', '/dev/null'),
    'disk-snapshot-missing': ('-snapshot -hda {none}', 'absent'),
    'floppy-missing': ('-fda {none}', 'absent'),
    'cdrom-missing': ('-cdrom {none}', 'absent'),
    'cdrom-directory': ('-cdrom {dir}', 'directory'),
    'drive-missing': ('-drive file={none},format=raw', 'absent'),
    'drive-format': ('-drive file={disk},format=qcow2', 'qcow2'),
    'drive-interface': ('-drive file={disk},if=virtio', 'virtio'),
    'drive-no-file': ('-drive if=ide', 'file'),
    'drive-option': ('-drive file={disk},frob=1', 'frob'),
    'drive-twice': ('-hda {disk} -drive file={disk},index=0', 'hda|index|drive|taken|used'),
    'boot': ('-boot z', '-boot'),
    'boot-network': ('-boot n', '-boot'),
    'device': ('-device frobnicator', 'frobnicator'),
    'device-option': ('-device isa-debug-exit,frob=1', 'frob'),
    'device-iobase': ('-device isa-debug-exit,iobase=0x10000', 'iobase'),
    'device-iosize': ('-device isa-debug-exit,iosize=9', 'iosize'),
    'device-chardev': ('-device isa-debugcon,chardev=nobody', 'nobody'),
    'display': ('-display sdl', 'sdl'),
    'vga': ('-vga cirrus', 'cirrus'),
    'netdev': ('-netdev user,id=n', '-netdev'),
    'nic': ('-nic user', '-nic'),
    'log-item': ('-d nonsense', 'nonsense'),
    'log-file': ('-d in -D {dir}', '{dir}'),
    'log-filter': ('-d in -dfilter nonsense', 'nonsense'),
    'serial': ('-serial nonsense', 'nonsense'),
    'serial-file': ('-serial file:{none}/x', 'absent/x'),
    'serial-chardev': ('-serial chardev:nobody', 'nobody'),
    'chardev-kind': ('-chardev nonsense,id=a', 'nonsense'),
    'chardev-no-id': ('-chardev stdio', 'id'),
    'chardev-same-id': ('-chardev null,id=a -chardev null,id=a', "'a'"),
    'chardev-file-no-path': ('-chardev file,id=a', 'path'),
    'stdio-twice': ('-serial stdio -monitor stdio', 'stdio'),
    'rtc': ('-rtc base=yesterday', 'yesterday'),
}

# name: (option, pattern on stdout)
INFORMATION = {
    'version': ('-version', r'^Mimus .*\d'),
    'help': ('-help', r'-kernel.*-hda.*-serial'),
    'help-long': ('--help', r'-kernel'),
    'help-cpu': ('-cpu help', r'\bx86-64-v3\b.*\bmax\b.*\blahf-lm\b'),
    'help-machine': ('-M help', r'\bpc\b'),
    'help-log': ('-d help', r'\bin\b.*\bexec\b'),
    'help-device': ('-device help', r'isa-debug-exit'),
}


class _Files:
    """Makes the files that a row names, when it names them."""

    def __init__(self, ctx):
        self.ctx = ctx

    def __getitem__(self, name):
        return FILES[name](self.ctx)


def require_error(ctx, args, words):
    """Status 1, nothing on stdout, one line on stderr that contains one of the words (a|b)."""
    out, err = finish(ctx, *args, want=1)
    if out:
        raise Failure('printed on stdout: %r' % out)
    if err.count('\n') != 1 or not err.endswith('\n'):
        raise Failure('standard error is not one line: %r' % err)
    if not any(word in err for word in words.split('|')):
        raise Failure('%r is not in %r' % (words, err))


def test_error(line, words):
    def run(ctx):
        files = _Files(ctx)
        require_error(ctx, [a.format_map(files) for a in line.split()], words.format_map(files))
    return run


def test_cpu_dependants(ctx):
    """What needs a feature that was switched off is named in one line of warning, and the machine runs."""
    err = finish(ctx, '-cpu', 'max,-sse4.2', '-version')[1]
    if not re.fullmatch(r'mimus: warning: [^\n]*\bavx\b[^\n]*\n', err):
        raise Failure('unexpected warning: %r' % err)


def test_read_only(ctx):
    """An image that cannot be written is refused, unless the guest's writes go elsewhere."""
    image = sparse(ctx, 'image', 1 << 20)
    if os.geteuid():
        os.chmod(image, 0o444)
        undo = None
    else:
        try:
            guest.command('chattr', '+i', image)
        except Failure as failure:
            raise Skip('root writes everything, and there is no chattr +i here') from failure
        undo = ['chattr', '-i', image]
    try:
        require_error(ctx, ['-hda', image], 'cannot be written')
        rom = programs.firmware(ctx, programs.leave(3))
        finish(ctx, '-bios', rom, *programs.DEVICES, '-snapshot', '-hda', image, want=programs.status(3))
    finally:
        if undo:
            guest.command(*undo)


def test_information(line, pattern):
    def run(ctx):
        out, err = finish(ctx, *line.split())
        if err or not re.search(pattern, out, re.DOTALL):
            raise Failure('%r is not in %r, standard error %r' % (pattern, out, err))
    return run


TESTS = {'error-' + name: test_error(*row) for name, row in ERRORS.items()}
TESTS['error-disk-read-only'] = test_read_only
TESTS['cpu-dependants'] = test_cpu_dependants
TESTS.update({name: test_information(*row) for name, row in INFORMATION.items()})
