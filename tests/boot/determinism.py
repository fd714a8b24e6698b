"""Runs that count instructions (-icount) are the same run again."""

import guest
from emulator import strip_escapes

SUMS = 16  # lines of -d digest that are compared, one for each 2^24 instructions


def counted(ctx, engine, processors, append='', more=()):
    return ctx.run('-m', 256, *ctx.accel(engine), '-smp', processors, '-icount', 'shift=2,sleep=off', *more,
                   '-nographic', '-kernel', guest.kernel('amd64'), '-initrd', guest.initramfs('amd64'),
                   '-append', 'console=ttyS0 ' + append, stdin='null')


def sums(ctx, engine, processors):
    """The first lines of the digest, and the console's text so far."""
    log = ctx.path('digest')
    with counted(ctx, engine, processors, 'earlyprintk=ttyS0', ['-d', 'digest', '-D', log]) as vm:
        vm.wait_file(log, 'digest: ', SUMS + 1)  # the last one may not be complete
    with open(log) as lines:
        return lines.read().splitlines()[:SUMS], vm.text, vm


def test_sums(processors, engines):
    """The first quarter of 10^9 instructions: the same on both engines, and each time."""
    def run(ctx):
        first, text, unused = sums(ctx, engines[0], processors)
        for engine in engines[1:]:
            again, other, vm = sums(ctx, engine, processors)
            if again != first:
                vm.fail('not the same run:\n%s\n%s' % ('\n'.join(first), '\n'.join(again)))
            common = min(len(text), len(other))
            if text[:common] != other[:common]:
                vm.fail('not the same text:\n%s\n-----\n%s' % (text[-2000:], other[-2000:]))
    return run


def test_boot(processors, engines):
    """A whole boot and power-off: the console's text with its times is the same, byte for byte."""
    def run(ctx):
        texts = []
        for engine in engines:
            with counted(ctx, engine, processors, 'run="cat /proc/uptime /proc/interrupts"') as vm:
                vm.expect('user space is up')
                vm.finish()
                texts.append(strip_escapes(vm.text))
        if texts[0] != texts[1]:
            lines = [text.splitlines() for text in texts]
            n = next(i for i, pair in enumerate(zip(*lines)) if pair[0] != pair[1])
            vm.fail('line %d:\n%s\n%s' % (n, lines[0][n], lines[1][n]))
    return run


TESTS = {
    'determinism-sums-1': test_sums(1, ['jit', 'jit', 'interp']),
    'determinism-sums-2': test_sums(2, ['jit', 'interp']),
    'determinism-boot-1': test_boot(1, ['jit', 'jit']),
    'determinism-boot-2': test_boot(2, ['jit', 'jit,opt=off,tb-size=8']),
}
