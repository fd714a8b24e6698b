"""Bad options and bad files: one line on standard error that names the thing, exit status 1."""

import os
import struct
import subprocess

import guest
from suite import Skip


def rejects(vm, names):
    """Require exit status 1 and one line of errors with all these names in it."""
    vm.finish(1, timeout=60)
    errors = vm.errors()
    if vm.text:
        vm.fail('something was printed on standard output')
    if len(errors.splitlines()) != 1 or not errors.endswith('\n'):
        vm.fail('not one line on standard error')
    for name in names:
        if name not in errors:
            vm.fail("the message does not name '%s'" % name)


# Name of the test: options, what the message must contain.
OPTIONS = {
    'unknown': (['-frobnicate'], ['-frobnicate']),
    'unknown-long': (['--frobnicate=3'], ['frobnicate']),
    'no-argument': (['-m'], ['-m']),
    'm-zero': (['-m', '0'], ['-m', '0']),
    'm-word': (['-m', 'lots'], ['-m', 'lots']),
    'm-suffix': (['-m', '12Q'], ['12Q']),
    'm-negative': (['-m', '-5'], ['-5']),
    'm-empty': (['-m', ''], ['-m']),
    'm-overflow': (['-m', '99999999999999999999G'], ['99999999999999999999G']),
    'm-too-much': (['-m', '1000000G'], ['1000000G']),
    'smp-two': (['-smp', '2'], ['-smp', '2']),
    'smp-zero': (['-smp', '0'], ['-smp', '0']),
    'cpu': (['-cpu', 'z80'], ['-cpu', 'z80']),
    'accel': (['-accel', 'kvm'], ['-accel', 'kvm']),
    'machine': (['-M', 'microvax'], ['microvax']),
    'device': (['-device', 'toaster'], ['-device', 'toaster']),
    'device-option': (['-device', 'isa-debug-exit,colour=red'], ['isa-debug-exit', 'colour']),
    'debugcon-chardev': (['-device', 'isa-debugcon,iobase=0xe9,chardev=nobody'], ['nobody']),
    'log-item': (['-d', 'dreams'], ['-d', 'dreams']),
    'log-filter': (['-d', 'in', '-dfilter', 'here'], ['-dfilter', 'here']),
    'log-file': (['-d', 'in', '-D', '/nonexistent/log'], ['/nonexistent/log']),
    'rtc': (['-rtc', 'base=tomorrow'], ['-rtc', 'tomorrow']),
    'boot': (['-boot', 'order=z'], ['-boot']),
    'serial': (['-serial', 'carrier-pigeon'], ['carrier-pigeon']),
    'serial-file': (['-serial', 'file:/nonexistent/out'], ['/nonexistent/out']),
    'monitor': (['-monitor', 'carrier-pigeon'], ['carrier-pigeon']),
    'display': (['-display', 'hologram'], ['-display', 'hologram']),
    'stdio-twice': (['-serial', 'stdio', '-monitor', 'stdio'], ['stdio']),
    'chardev-no-id': (['-chardev', 'null'], ['-chardev']),
    'drive-no-file': (['-drive', 'if=ide'], ['-drive', 'file']),
    'drive-if': (['-drive', 'file=/dev/null,if=punchcard'], ['if=punchcard']),
    'drive-format': (['-drive', 'file=/dev/null,format=zip'], ['format=zip']),
    'append-alone': (['-append', 'quiet'], ['-append']),
    'kernel-missing': (['-kernel', '/nonexistent/vmlinuz'], ['/nonexistent/vmlinuz']),
    'hda-missing': (['-hda', '/nonexistent/disk'], ['/nonexistent/disk']),
    'fda-missing': (['-fda', '/nonexistent/floppy'], ['/nonexistent/floppy']),
    'cdrom-missing': (['-cdrom', '/nonexistent/cd'], ['/nonexistent/cd']),
    'drive-missing': (['-drive', 'file=/nonexistent/disk,format=raw'], ['/nonexistent/disk']),
    'bios-missing': (['-bios', '/nonexistent/bios'], ['/nonexistent/bios']),
    'image-missing': (['/nonexistent/image'], ['/nonexistent/image']),
}


def test_options(args, names):
    def run(ctx):
        with ctx.run('-display', 'none', *args, stdin='null') as vm:
            rejects(vm, names)
    return run


# ---- files ----

def elf(machine, bits=1):
    """The header of an ELF program for a machine."""
    ident = b'\x7fELF' + bytes([bits, 1, 1]) + bytes(9)
    return ident + struct.pack('<HHIIIIIHHHHHH', 2, machine, 1, 0x1000, 52, 0, 0, 52, 32, 1, 40, 0, 0) + bytes(4000)


def cut_kernel(size):
    def content():
        with open(guest.kernel('amd64'), 'rb') as kernel:
            return kernel.read(size)
    return content


# Name: option, content of the file, further options.
FILES = {
    'kernel-empty': ('-kernel', b'', []),
    'kernel-garbage': ('-kernel', bytes(range(256)) * 64, []),
    'kernel-cut-boot-sector': ('-kernel', cut_kernel(300), []),
    'kernel-cut-header': ('-kernel', cut_kernel(0x210), []),
    'kernel-cut-setup': ('-kernel', cut_kernel(2000), []),
    'kernel-cut-body': ('-kernel', cut_kernel(300000), []),
    'kernel-arm': ('-kernel', elf(40), []),
    'kernel-aarch64': ('-kernel', elf(183, bits=2), []),
    'kernel-elf-no-multiboot': ('-kernel', elf(3), []),
    'kernel-beyond-memory': ('-kernel', cut_kernel(-1), ['-m', '4']),
    'hda-empty': ('-hda', b'', []),
    'hda-short': ('-hda', bytes(100), []),
    'drive-short': ('-drive', bytes(511), []),
    'fda-short': ('-fda', bytes(100), []),
    'cdrom-short': ('-cdrom', bytes(100), []),
    'bios-empty': ('-bios', b'', []),
    'bios-odd': ('-bios', bytes(1000), []),
    'bios-huge': ('-bios', bytes(64 << 20), []),
}


def argument(option, path):
    return 'file=%s,format=raw' % path if option == '-drive' else path


def test_file(option, content, more):
    def run(ctx):
        path = ctx.write('bad.file', content() if callable(content) else content)
        with ctx.run('-display', 'none', option, argument(option, path), *more, stdin='null') as vm:
            rejects(vm, ['bad.file'])
    return run


def test_initrd_beyond_memory(ctx):
    path = ctx.write('big.initrd', bytes(64 << 20))
    with ctx.run('-display', 'none', '-m', '32', '-kernel', guest.kernel('amd64'), '-initrd', path,
                 stdin='null') as vm:
        rejects(vm, ['big.initrd'])


def test_initrd_missing(ctx):
    with ctx.run('-display', 'none', '-kernel', guest.kernel('amd64'), '-initrd', '/nonexistent/initrd',
                 stdin='null') as vm:
        rejects(vm, ['/nonexistent/initrd'])


def test_directory(option):
    def run(ctx):
        path = ctx.path('folder')
        os.mkdir(path)
        kernel = ['-kernel', guest.kernel('amd64')] if option == '-initrd' else []
        with ctx.run('-display', 'none', *kernel, option, argument(option, path), stdin='null') as vm:
            rejects(vm, ['folder'])
    return run


def read_only_file(ctx, name):
    """A file that cannot be opened for writing, not even by root. Returns its path and how to undo it."""
    path = ctx.write(name, bytes(1 << 20))
    os.chmod(path, 0o444)
    if os.geteuid() != 0:
        return path, lambda: None
    if subprocess.run(['chattr', '+i', path], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return path, lambda: subprocess.run(['chattr', '-i', path], check=False)
    mount = subprocess.run(['mount', '--bind', '-o', 'ro', path, path], stderr=subprocess.DEVNULL, check=False)
    if mount.returncode == 0:
        return path, lambda: subprocess.run(['umount', path], check=False)
    raise Skip('root can write every file here: neither chattr +i nor a read-only mount works')


def test_read_only(ctx):
    """Not writable: an error for a disk that is written, fine for one that is not."""
    path, undo = read_only_file(ctx, 'frozen.img')
    try:
        with ctx.run('-display', 'none', '-drive', 'file=%s,format=raw' % path, stdin='null') as vm:
            rejects(vm, ['frozen.img'])
        with ctx.run('-display', 'none', '-snapshot', '-monitor', 'stdio', '-serial', 'null', '-S',
                     '-drive', 'file=%s,format=raw' % path) as vm:
            vm.monitor_start()
            vm.send('quit\n')
            vm.finish()
    finally:
        undo()


TESTS = {
    **{'bad/option-' + name: test_options(*row) for name, row in OPTIONS.items()},
    **{'bad/file-' + name: test_file(*row) for name, row in FILES.items()},
    **{'bad/directory' + option: test_directory(option)
       for option in ('-kernel', '-initrd', '-hda', '-drive', '-fda', '-cdrom', '-bios')},
    'bad/initrd-beyond-memory': test_initrd_beyond_memory,
    'bad/initrd-missing': test_initrd_missing,
    'bad/read-only': test_read_only,
}
