"""Systems on several processors: they boot, work in parallel with the right results, and leave."""

import hashlib
import os
import random
import re
import time

import guest
import guest_programs
from emulator import strip_escapes

FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'files')
SHELL = r'guest:[^ ]*# (\x1b\[6n)?'
QUIET = 'loglevel=5'  # warnings and worse
NO_ACPI = 'acpi=off'  # the tables of the MultiProcessor Specification, in which each package is one processor

# What the kernel says when processors, their clocks or interrupts are not as they should be.
COMPLAINT = re.compile(
    r'\bBUG\b|WARNING|Oops|Kernel panic|Call Trace|[Ll]ockup|rcu.*(stall|expedited)|hung|stuck|timed out|'
    r'not responding|[Ff]ail(ed)? |unsynchron|TSC warp|unstable|skew|inconsistent|mismatch|No irq handler|nobody cared|'
    r'[Uu]nexpected|[Ss]purious|double fault|Out of memory|alive state|Firmware Bug|not in sync|segfault')
# The kernel compares TSC and ticks on the first processor of each package: on a busy host ticks come late.
NO_COMPLAINT = re.compile(r'to add MMCONFIG|This is not a bug|report a bug|calibrate_delay_direct')
# qemu-system-x86_64 sets up the MTRRs of the first processor alone; its clocks differ on a busy host.
NO_COMPLAINT_STAND_IN = re.compile(r'MTRR|could not calculate TSC khz|unstable')


def smp(ctx, arch, engine, processors, image, run=None, memory=256, append='', more=('-no-reboot',)):
    """A Debian kernel on so many processors (the value of -smp), its console on our terminal. `run` is what the
    guest does before it powers off; a shell when there is none. A panic ends the emulator."""
    # The kernel takes the TSCs of such a processor for synchronous, as it does those of Mimus's.
    model = ['-cpu', 'Nehalem'] if ctx.stand_in else []
    return ctx.run('-m', memory, *ctx.accel(engine), *model, '-smp', processors, *more, '-nographic',
                   '-kernel', guest.kernel(arch), '-initrd', image,
                   '-append', ' '.join(['console=ttyS0 panic=-1', append, 'run="%s"' % run if run else '']))


def check_kernel(ctx, vm):
    """The kernel has not complained."""
    bad = []
    for line in strip_escapes(vm.text).splitlines():
        message = re.match(r'\[ *\d+\.\d+\] (.*)', line)
        if message and COMPLAINT.search(message.group(1)) and not NO_COMPLAINT.search(line) and \
                not (ctx.stand_in and NO_COMPLAINT_STAND_IN.search(line)):
            bad.append(line)
    if bad:
        vm.fail('the kernel complains:\n' + '\n'.join(bad[:40]))


def values(vm):
    """The lines "@NAME VALUE" so far."""
    return dict(re.findall(r'(?m)^@(\S+) (.*?)\s*$', strip_escapes(vm.text)))


def require(vm, found, expected):
    """All these values are there and as they should be."""
    wrong = ['@%s is %s instead of %s' % (name, found.get(name), value)
             for name, value in expected.items() if found.get(name) != value]
    if wrong:
        vm.fail('\n'.join(wrong))


def install(directory, *names):
    """Our files for the guest into the root directory of its initramfs."""
    for name in names:
        guest.command('cp', os.path.join(FILES, name), directory)
        os.chmod(os.path.join(directory, name), 0o755)


def compile_clocks(arch, directory):
    guest.command('gcc', '-std=gnu17', '-O2', '-msse2', '-static', '-pthread',
                  *(['-m32'] if arch == 'i386' else []), '-o', os.path.join(directory, 'clocks'),
                  os.path.join(FILES, 'clocks.c'))


def initramfs(ctx, arch, directory):
    return guest_programs.pack(directory, ctx.path('initramfs.img'), [guest.initramfs(arch)])


def directory_of(ctx):
    directory = ctx.path('root')
    os.mkdir(directory)
    return directory


def listed(first, count):
    """So many processors from the first one on, as the kernel lists them: 0-2."""
    return '%d-%d' % (first, first + count - 1) if count > 1 else str(first)


def topology(sockets, cores, threads):
    """The lines of files/report for such a machine."""
    lines = {}
    for n in range(sockets * cores * threads):
        core, package = n // threads, n // (threads * cores)
        lines['cpu%d' % n] = 'package=%d core=%d threads=%s cores=%s' % (
            package, core % cores, listed(core * threads, threads),
            listed(package * cores * threads, cores * threads))
    return lines


def test_boot(arch, engine, processors, grouped=None, append=''):
    """The guest has all processors, works on each of them, and powers off. grouped: sockets, cores, threads."""
    def run(ctx):
        directory = directory_of(ctx)
        install(directory, 'report')
        option, expected = str(processors), {}
        if grouped:
            option += ',sockets=%d,cores=%d,threads=%d' % grouped
            expected = topology(*grouped)
        for n in range(processors):
            expected['runs%d' % n] = str(n)
        expected.update(online=listed(0, processors), nproc=str(processors), cpuinfo=str(processors),
                        timer=str(processors))
        with smp(ctx, arch, engine, option, initramfs(ctx, arch, directory), '/report', append=append) as vm:
            vm.expect('user space is up')
            up = time.monotonic() - vm.started
            vm.expect('@report end')
            if append == NO_ACPI:  # nobody turns the machine off
                vm.expect('System halted')
                vm.send('\x01x')
            vm.finish()
            found = values(vm)
            require(vm, found, expected)
            if processors > 1 and int(found['calls']) == 0:
                vm.fail('no interrupt from one processor to another')
            check_kernel(ctx, vm)
            return 'user space after %.1f s' % up
    return run


def test_clocks(arch, engine, processors, seconds):
    """The time that one processor reads is never before what another one has read."""
    def run(ctx):
        directory = directory_of(ctx)
        compile_clocks(arch, directory)
        with smp(ctx, arch, engine, processors, initramfs(ctx, arch, directory),
                 '/clocks %d %d; echo @clocks $?' % (processors, seconds), append=QUIET) as vm:
            vm.expect('@clocks ')
            vm.finish()
            require(vm, values(vm), {'clocks': '0'})
            check_kernel(ctx, vm)
            return re.search(r'clocks: (.* news)', vm.text).group(1)
    return run


def test_idle(engine, processors):
    """Processors that wait let the host wait too."""
    def run(ctx):
        seconds = 6
        with smp(ctx, 'amd64', engine, processors, guest.initramfs('amd64')) as vm:
            vm.expect(SHELL)
            time.sleep(3)  # the kernel's last deferred work
            before = vm.cpu_seconds()
            time.sleep(seconds)
            used = vm.cpu_seconds() - before
            vm.send('poweroff\n')
            vm.finish()
            # The aim is 10 %; only a host core that spins is a failure here.
            if used > 0.8 * seconds:
                vm.fail('an idle guest used %.2f s of processor time in %d s' % (used, seconds))
            check_kernel(ctx, vm)
            return '%d idle processors: %.1f %% of one core' % (processors, 100 * used / seconds)
    return run


def test_reboot(ctx):
    """The guest's reboot starts all processors again; -no-reboot leaves instead."""
    command = 'grep -c ^processor /proc/cpuinfo; taskset -c 3 reboot -f'
    with smp(ctx, 'amd64', 'jit', 4, guest.initramfs('amd64'), command, more=()) as vm:
        for unused in range(3):
            vm.expect(r'user space is up\n4\n')
        check_kernel(ctx, vm)
    with smp(ctx, 'amd64', 'jit', 4, guest.initramfs('amd64'), command) as vm:
        vm.expect(r'user space is up\n4\n')
        vm.finish()


def test_hotplug(engine, processors, rounds):
    """Processors are taken out and put back while all work."""
    def run(ctx):
        directory = directory_of(ctx)
        install(directory, 'hotplug')
        with smp(ctx, 'amd64', engine, processors, initramfs(ctx, 'amd64', directory),
                 'sh /hotplug %d %d' % (processors, rounds), append=QUIET) as vm:
            vm.expect('@hotplug ')
            vm.finish()
            require(vm, values(vm), {'hotplug': 'bad=0 online=0-%d' % (processors - 1)})
            check_kernel(ctx, vm)
    return run


def monitor(vm, command):
    """A monitor command from the console, and back to the console. Returns what it printed."""
    vm.send('\x01c\n')
    vm.expect(vm.PROMPT)
    vm.expect(vm.PROMPT)
    text = vm.monitor(command)
    vm.send('\x01c')
    return text


def test_monitor(engine, processors):
    """stop, cont, info cpus and system_reset while all processors work; time goes on as if nothing had been."""
    def run(ctx):
        directory = directory_of(ctx)
        compile_clocks('amd64', directory)
        with smp(ctx, 'amd64', engine, processors, initramfs(ctx, 'amd64', directory), append=QUIET,
                 more=()) as vm:
            vm.expect(SHELL)
            vm.send('/clocks %d forever & pid=$!; for i in %s; do yes > /dev/null & done; echo go$((6 * 7))\n' % (
                processors, ' '.join('x' * processors)))
            vm.expect(r'go42\n')
            for pause in 0, 0.01, 0.1, 1, 3:
                monitor(vm, 'stop')
                time.sleep(pause)
                text = monitor(vm, 'info cpus')
                if len(re.findall(r'CPU #\d', text)) != processors:
                    vm.fail('info cpus does not show %d processors:\n%s' % (processors, text))
                monitor(vm, 'cont')
                time.sleep(0.3)
            vm.send('\nkill -TERM $pid; wait $pid; echo "@clocks" $?\n')
            vm.expect(r'@clocks \d')
            require(vm, values(vm), {'clocks': '0'})
            monitor(vm, 'system_reset')
            vm.expect('user space is up')
            vm.expect(SHELL)
            vm.send('echo "@nproc" $(nproc)\n')
            vm.expect(r'@nproc \d')
            vm.send('poweroff\n')
            vm.finish()
            require(vm, values(vm), {'nproc': str(processors)})
            check_kernel(ctx, vm)
    return run


# ---- stress-ng ----

# Each line runs at once: stressors with their instances and the operations that all instances do together.
STRESS = {
    'locks': 'futex 4 5000 sem-sysv 2 2000 eventfd 2 4000 membarrier 2 10',
    'mutex': 'mutex 4 20000',  # of real-time priority: nothing else gets far beside it
    'signals': 'sigfd 2 10000 sigq 2 20000 signal 2 20000 sigsegv 2 15000 kill 2 2500 sigsuspend 2 4000 '
               'sigchld 2 150 itimer 1 150 timer 1 250 sigtrap 2 20000',
    'tasks': 'fork 4 200 vfork 2 800 pthread 2 400 zombie 1 100 daemon 1 100 switch 2 5000 '
             'affinity 4 1500 nanosleep 2 250',
    'clone': 'clone 1 6',
    'memory': 'mmap 2 2 mremap 2 2 munmap 1 5000 tlb-shootdown 4 1200 brk 2 10000 vm 2 3000 fault 2 1000 '
              'mprotect 2 15000 userfaultfd 2 3000',
    'pipes': 'pipe 2 15000 poll 2 1200 msg 2 30000 mq 2 10000 splice 2 10000 sock 1 2 shm 2 10',
    'words': 'atomic 2 30 cacheline 4 40 tsc 2 5000',
    'lockbus': 'lockbus 4 2000',
    'code': 'icache 4 15 funccall 2 150 fp 2 10 vecmath 2 100 regs 2 5000 nop 2 20000',
    'cpu': 'cpu 4 85',
    'timed': 'sem 2 0 mcontend 2 0 yield 2 0 schedpolicy 2 0 epoll 2 0',  # these do not count well what they have done
}
SECONDS = 4  # how long those without a number of operations run
LONG = 20  # times as many operations
MORE = {'mmap': '--mmap-bytes 16m', 'mremap': '--mremap-bytes 4m', 'vm': '--vm-bytes 16m', 'clone': '--clone-max 8',
        'cpu': '--cpu-method all', 'shm': '--shm-bytes 2m'}


def stress_line(group, times):
    """A line for files/stress."""
    words, line = STRESS[group].split(), group
    for name, instances, operations in zip(words[::3], words[1::3], words[2::3]):
        line += ' --%s %s %s' % (name, instances, MORE.get(name, ''))
        if int(operations):
            line += ' --%s-ops %d' % (name, int(operations) * times)
        elif '--timeout' not in line:
            line += ' --timeout %d' % (SECONDS * times)
    return line + '\n'


def test_stress(arch, engine, processors, groups, times=1):
    """stress-ng's stressors, which check what they get back."""
    def run(ctx):
        directory = directory_of(ctx)
        guest_programs.add(arch, ['stress-ng+needs'], ['usr/bin/stress-ng'], directory)
        install(directory, 'stress')
        with open(os.path.join(directory, 'stress.groups'), 'w') as out:
            out.writelines(stress_line(group, times) for group in groups)
        with smp(ctx, arch, engine, processors, initramfs(ctx, arch, directory), '/stress', memory=768,
                 append=QUIET) as vm:
            vm.expect('@stress end')
            vm.finish()
            found = values(vm)
            bad = [group for group in groups if found.get(group, '').split(' ')[0] != '0']
            if bad:
                vm.fail('these failed: %s\n%s' % (' '.join(bad), strip_escapes(vm.text)[-6000:]))
            check_kernel(ctx, vm)
            return ', '.join('%s at %s s' % (group, found[group].split(' ')[1]) for group in groups)
    return run


# ---- a compiler ----

GCC = 'usr/lib/gcc/x86_64-linux-gnu/*/'
COMPILER = ['usr/bin/x86_64-linux-gnu-gcc-[0-9]*=usr/bin/gcc', 'usr/bin/x86_64-linux-gnu-as=usr/bin/as',
            'usr/bin/x86_64-linux-gnu-ld.bfd=usr/bin/ld', 'usr/bin/make', 'usr/lib/x86_64-linux-gnu/*crt[1in].o',
            'usr/lib/x86_64-linux-gnu/libc.so', 'usr/lib/x86_64-linux-gnu/libc_nonshared.a', 'usr/include/*.h',
            'usr/include/x86_64-linux-gnu/bits', 'usr/include/x86_64-linux-gnu/sys', 'usr/include/x86_64-linux-gnu/gnu',
            'lib/x86_64-linux-gnu/libc.so.6', 'lib/x86_64-linux-gnu/libgcc_s.so.1'] + \
    [GCC + name for name in ('cc1', 'collect2', 'liblto_plugin.so', 'libgcc.a', 'libgcc_s.so', 'crt*.o', 'include')]


def write_sources(directory, count):
    """A program of so many C files that prints a number which needs all of them."""
    numbers = random.Random(1)
    for i in range(count):
        lines = ['#include <stdint.h>', '#include <stdio.h>', '#include <string.h>', '']
        for j in range(12):
            a, b, c = (numbers.randrange(1 << 31) | 1 for unused in range(3))
            lines += ['uint32_t f%d_%d(uint32_t x)' % (i, j), '{', '    uint32_t y[16];', '    double d = x;', '',
                      '    memset(y, (int)(x & 7), sizeof(y));', '    for (unsigned i = 0; i < 40; i++) {',
                      '        x = x * %du + %du;' % (a, b), '        x ^= x >> %d;' % numbers.randrange(3, 14),
                      '        switch (x & 3) {', '        case 0: y[i %% 16] += x / %du; break;' % (c >> 8),
                      '        case 1: y[x % 16] ^= x; break;', '        case 2: d = d * 0.5 + y[i % 16]; break;',
                      '        default: x += (uint32_t)d; break;', '        }', '    }',
                      '    for (unsigned i = 0; i < 16; i++)', '        x = (x << 1 | x >> 31) ^ y[i];',
                      '    return x;', '}', '']
        lines += ['uint32_t part%d(uint32_t x)' % i, '{', *('    x = f%d_%d(x);' % (i, j) for j in range(12)),
                  '    return x;', '}']
        with open(os.path.join(directory, 'part%d.c' % i), 'w') as out:
            out.write('\n'.join(lines) + '\n')
    with open(os.path.join(directory, 'main.c'), 'w') as out:
        out.write('#include <stdint.h>\n#include <stdio.h>\n\n')
        out.write(''.join('uint32_t part%d(uint32_t x);\n' % i for i in range(count)))
        out.write('\nint main(void)\n{\n    uint32_t x = 1;\n\n')
        out.write(''.join('    x = part%d(x);\n' % i for i in range(count)))
        out.write('    printf("@result %08x\\n", x);\n}\n')
    with open(os.path.join(directory, 'Makefile'), 'w') as out:
        out.write('CFLAGS = -O1\nobjects := main.o $(patsubst %%,part%%.o,%s)\n'
                  'program: $(objects)\n\t$(CC) -o $@ $^\n%%.o: %%.c\n\t@$(CC) $(CFLAGS) -c -o $@ $<\n' %
                  ' '.join(str(i) for i in range(count)))


def test_compile(engine, processors, count):
    """gcc and `make -j` in the guest make a program that computes what the host's program does."""
    def run(ctx):
        directory = directory_of(ctx)
        guest_programs.add('amd64', ['gcc+needs', 'libc6-dev', 'make+needs'], COMPILER, directory)
        source = os.path.join(directory, 'source')
        os.mkdir(source)
        write_sources(source, count)
        image = initramfs(ctx, 'amd64', directory)
        guest.command('make', '-s', '-C', source, 'CC=gcc')
        expected = re.search(r'@result (\w+)', guest.command(os.path.join(source, 'program'))).group(1)
        with smp(ctx, 'amd64', engine, processors, image, memory=768, append=QUIET,
                 run='cd /source; make -s -j%d CC=gcc; ./program; cut -c1-6 /proc/uptime' % processors) as vm:
            vm.expect('@result ')
            vm.finish()
            require(vm, values(vm), {'result': expected})
            check_kernel(ctx, vm)
            return '%d files, done %s s after the kernel began' % (
                count, re.search(r'@result \w+\n(\S+)', strip_escapes(vm.text)).group(1))
    return run


# ---- other work whose result is known ----

def test_parallel(engine, processors, size):
    """Data packed and unpacked by several threads and sums taken by several processes at once are the host's."""
    def run(ctx):
        directory = directory_of(ctx)
        guest_programs.add('amd64', ['xz-utils+needs'], ['usr/bin/xz'], directory)
        install(directory, 'parallel')
        numbers = random.Random(2)
        words = [numbers.randbytes(numbers.randrange(1, 12)) for unused in range(2000)]
        data = b''.join(numbers.choice(words) for unused in range(size // 6))
        with open(os.path.join(directory, 'data'), 'wb') as out:
            out.write(data)
        letters = bytes.maketrans(bytes(range(97, 123)), bytes(range(98, 123)) + b'a')
        with smp(ctx, 'amd64', engine, processors, initramfs(ctx, 'amd64', directory), '/parallel',
                 memory=768, append=QUIET) as vm:
            vm.expect('@sums ')
            vm.finish()
            require(vm, values(vm), {'same': 'yes', 'unpacked': hashlib.sha256(data).hexdigest(),
                                     'sums': '1 ' + hashlib.sha256(data.translate(letters)).hexdigest()})
            check_kernel(ctx, vm)
    return run


LOCKS = ['locks', 'mutex', 'signals', 'tasks', 'clone']
REST = [group for group in STRESS if group not in LOCKS]

# The long ones first.
TESTS = {
    'smp-interp-2': test_boot('amd64', 'interp', 2),
    'smp-compile-4': test_compile('jit', 4, 16),
    'smp-stress-locks-4': test_stress('amd64', 'jit', 4, LOCKS),
    'smp-stress-rest-4': test_stress('amd64', 'jit', 4, REST),
    'smp-parallel-4': test_parallel('jit', 4, 4 << 20),
    'smp-monitor-4': test_monitor('jit', 4),
    'smp-compile-2': test_compile('jit', 2, 6),
    'smp-hotplug-4': test_hotplug('jit', 4, 12),
    'smp-reboot-4': test_reboot,
    'smp-idle-8': test_idle('jit', 8),
    'smp-clocks-2': test_clocks('amd64', 'jit', 2, 5),
    'smp-clocks-4': test_clocks('amd64', 'jit', 4, 5),
    'smp-clocks-i386-2': test_clocks('i386', 'jit', 2, 3),
    'smp-topology-2-2-2': test_boot('amd64', 'jit', 8, (2, 2, 2)),
    'smp-topology-2-3-1': test_boot('amd64', 'jit', 6, (2, 3, 1)),
    'smp-amd64-1': test_boot('amd64', 'jit', 1),
    'smp-amd64-2': test_boot('amd64', 'jit', 2),
    'smp-amd64-4': test_boot('amd64', 'jit', 4),
    'smp-amd64-8': test_boot('amd64', 'jit', 8),
    'smp-mptable-2': test_boot('amd64', 'jit', 2, (2, 1, 1), NO_ACPI),
    'smp-mptable-i386-4': test_boot('i386', 'jit', 4, (4, 1, 1), NO_ACPI),
    'smp-i386-2': test_boot('i386', 'jit', 2),
    'smp-i386-4': test_boot('i386', 'jit', 4, (1, 2, 2)),
    'smp-single-2': test_boot('amd64', 'jit,thread=single', 2),
    'smp-single-4': test_boot('amd64', 'jit,thread=single', 4),
}

# These run when they are asked for.
LONG_TESTS = {
    **{'smp-long-stress-' + group: test_stress('amd64', 'jit', 4, [group], LONG) for group in STRESS},
    'smp-long-stress-i386': test_stress('i386', 'jit', 4, list(STRESS), 2),
    'smp-long-stress-8': test_stress('amd64', 'jit', 8, list(STRESS), 2),
    'smp-long-stress-single': test_stress('amd64', 'jit,thread=single', 4, list(STRESS)),
    'smp-long-compile-8': test_compile('jit', 8, 200),
    'smp-long-parallel': test_parallel('jit', 4, 32 << 20),
    'smp-long-hotplug': test_hotplug('jit', 8, 60),
    'smp-long-clocks': test_clocks('amd64', 'jit', 8, 120),
    'smp-long-interp-4': test_boot('amd64', 'interp', 4),
    'smp-long-amd64-32': test_boot('amd64', 'jit', 32),
}
