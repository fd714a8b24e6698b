"""Small guests, assembled when a test needs them: a boot sector, a multiboot kernel, a firmware image.

Bodies are in Intel syntax. What they print goes to the debug console, and they end through isa-debug-exit:
DEVICES has both.
"""

import os

import guest

DEVICES = ['-debugcon', 'stdio', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4']
FOREVER = '9: jmp 9b\n'
TRIPLE_FAULT = 'push 0\npush 0\nlidt [esp]\nint3\n'  # 32 bits: a table of length 0


def say(text):
    """Print; AL is lost."""
    return ''.join('mov al, %d\nout 0xe9, al\n' % ord(c) for c in text)


def leave(code):
    """End the emulator with status 2 * code + 1; AL is lost."""
    return 'mov al, %d\nout 0xf4, al\n' % code + FOREVER


def status(code):
    return (code * 2 + 1) & 0xff


def _build(directory, name, source, *link):
    """Assemble and link; returns the path."""
    path = os.path.join(directory, name)
    with open(path + '.s', 'w') as out:
        out.write('.intel_syntax noprefix\n.text\n.globl _start\n' + source)
    guest.command('as', '--32', '-o', path + '.o', path + '.s')
    guest.command('ld', '-m', 'elf_i386', '--build-id=none', '-z', 'noexecstack', '-o', path, *link, path + '.o')
    return path


def multiboot(ctx, body, name='program', bss=0):
    """A multiboot ELF at 1 MiB: 32-bit flat protected mode, interrupts off, a stack."""
    return _build(ctx.directory, name, '.code32\n.balign 4\n.long 0x1badb002, 0, -0x1badb002\n'
                  '_start: lea esp, [stack]\ncld\n' + body + '.bss\n.space %d\nstack: .long 0\n' % (1024 + bss),
                  '-N', '-Ttext', '0x100000')


def boot_sector(ctx, body, name='sector', size=512):
    """A boot sector at 7c00 in real mode with flat segments, in an image of this size; DL is the BIOS drive."""
    path = _build(ctx.directory, name, '.code16\n_start: ljmp 0, 1f\n1: xor ax, ax\nmov ds, ax\nmov es, ax\n'
                  'mov ss, ax\nmov sp, 0x7c00\ncld\n' + body + '.org 510\n.word 0xaa55\n',
                  '-Ttext', '0x7c00', '--oformat', 'binary')
    os.truncate(path, size)
    return path


def firmware(ctx, body, name='rom'):
    """64 KiB of firmware that runs the body in real mode at f000:0000; labels are offsets in the segment."""
    return _build(ctx.directory, name, '.code16\n_start: xor ax, ax\nmov ds, ax\nmov ss, ax\nmov sp, 0x7000\n' +
                  body + '.org 0xfff0\nljmp 0xf000, 0\n.org 0x10000\n', '-Ttext', '0', '--oformat', 'binary')


def cd_image(ctx, sector, name='cd.iso'):
    """El Torito without emulation: the sector is what boots."""
    root = ctx.path(name + '.d')
    os.mkdir(root)
    with open(sector, 'rb') as data, open(os.path.join(root, 'boot.bin'), 'wb') as out:
        out.write(data.read(512).ljust(2048, b'\0'))
    guest.command('xorriso', '-as', 'mkisofs', '-quiet', '-b', 'boot.bin', '-no-emul-boot', '-boot-load-size', '4',
                  '-o', ctx.path(name), root)
    return ctx.path(name)
