"""-d strict and -d uninit: what they report of small guests, and that they report nothing else."""

import re

import programs
from bad import finish
from emulator import Failure
from programs import DEVICES, leave, status

# 4 MiB pages: 0 and 4 MiB on themselves, 8 MiB to 4 MiB.
PAGING = 'mov eax, cr4\nor eax, 0x10\nmov cr4, eax\nmov dword ptr [0x200000], 0x83\n' \
         'mov dword ptr [0x200004], 0x400083\nmov dword ptr [0x200008], 0x400083\n' \
         'mov eax, 0x200000\nmov cr3, eax\nmov eax, cr0\nor eax, 0x80000000\nmov cr0, eax\n'
TOUCH = 'mov ebx, [0x800010]\nmov ebx, [0x800014]\n'
REMAP = 'mov dword ptr [0x200008], 0x000083\n'
UNKNOWN_MSR = 'mov ecx, 0x12345\nrdmsr\n'
SEGMENT = 'sub esp, 8\nmov word ptr [esp], 23\nmov dword ptr [esp + 2], offset gdt\nlgdt [esp]\nmov ax, 16\nmov fs, ax\n'
GDT = '.balign 8\ngdt: .quad 0, 0xcf9a000000ffff, 0x40920000000fff\n'

# name: (items, body, exit status, what the log's lines look like)
PROGRAMS = {
    'no-invalidation': ('strict', PAGING + TOUCH + REMAP + TOUCH + leave(1), status(1),
                        [r'read of linear 0*800010 by a translation that was changed and not invalidated: '
                         r'was 0*400000 4M supervisor rwx; is 0{16} 4M supervisor rwx']),
    'invlpg': ('strict', PAGING + TOUCH + REMAP + 'invlpg [0x812345]\n' + TOUCH + leave(1), status(1), []),
    'cr3': ('strict', PAGING + TOUCH + REMAP + 'mov eax, cr3\nmov cr3, eax\n' + TOUCH + leave(1), status(1), []),
    'loop': ('strict', PAGING + TOUCH + REMAP + 'mov ecx, 1000\n1: mov ebx, [0x800020]\nloop 1b\n' + leave(1),
             status(1), [r'read of linear 0*800020 ']),
    'rights-raised': ('strict', PAGING + 'mov dword ptr [0x200008], 0x400081\nmov eax, cr0\nor eax, 0x10000\n'
                      'mov cr0, eax\nmov eax, cr3\nmov cr3, eax\n' + TOUCH +
                      'mov dword ptr [0x200008], 0x400083\nmov [0x800010], eax\n' + leave(1), status(1), []),
    'rights-removed': ('strict', PAGING + 'mov eax, cr0\nor eax, 0x10000\nmov cr0, eax\nmov [0x800010], eax\n'
                       'mov dword ptr [0x200008], 0x400081\nmov ebx, [0x800010]\nmov [0x800010], eax\n' + leave(1),
                       status(1), [r'write of linear 0*800010 .*was .* rwx; is .* r-x']),
    'jump-to-stale': ('strict', PAGING + 'mov byte ptr [0x800000], 0xc3\nmov byte ptr [0], 0xc3\nmov eax, 0x800000\n'
                      'call eax\ninvlpg [eax]\ncall eax\n' + REMAP + 'call eax\n' + leave(1), status(1),
                      [r'0008:0*800000 fetch of linear 0*800000 by a translation']),
    'segment-limit': ('strict', SEGMENT + 'mov eax, fs:[0xffc]\nmov eax, fs:[0xffd]\n' + GDT, 0,
                      [r'access to FS:00000ffd: beyond the limit \(selector 0010, base 0, limit fff\): #GP\(0\)', '']),
    'selector': ('strict', SEGMENT + 'mov ax, 0x18\nmov fs, ax\n' + GDT, 0,
                 [r'selector 0018 at CPL 0: beyond the limit 17 of the GDT: #GP\(0018\)', '']),
    'msr': ('strict', UNKNOWN_MSR, 0, [r'RDMSR of MSR 00012345: the processor does not have it: #GP\(0\)', '']),
    'cr4': ('strict', 'mov eax, 0x80000000\nmov cr4, eax\n', 0, [r'CR4: reserved bits 80000000 ', '']),
    'popf': ('strict', 'push 0x8000\npopf\n' + leave(1), status(1), [r'EFLAGS: reserved bits 8000 in the value 8000']),
    'sse': ('strict', 'mov eax, cr4\nand eax, 0xfffffdff\nmov cr4, eax\nxorps xmm0, xmm0\n', 0,
            [r'xorps: CR4.OSFXSR is clear: #UD', '']),
    'uninit': ('uninit', 'mov eax, [0x900000]\nmov [0x900004], eax\nmov eax, [0x900004]\nmov edi, 0xa00000\n'
               'mov ecx, 8\nrep stosd\nmov eax, [0xa0001c]\nmov eax, [0xa0001d]\n' + leave(1), status(1),
               [r'linear 0*900000 physical 0*900000', r'linear 0*a0001d physical 0*a0001d']),
    'uninit-clean': ('uninit', 'mov [0x900000], eax\nmov eax, [0x900000]\nmov eax, [0x100000]\n' + leave(1), status(1),
                     []),
    'nothing': ('int', 'push 0x8000\npopf\nmov eax, [0x900000]\n' + leave(1), status(1), []),
}


def reports(path):
    """The log's lines from the program on: firmware runs in other places."""
    with open(path, encoding='latin-1') as log:
        return [line for line in log if re.match(r'strict: 0008:0000000000(1|8)[0-9a-f]{5} ', line)]


def test_strict(items, body, want, patterns, engine):
    def run(ctx):
        kernel = programs.multiboot(ctx, body)
        log = ctx.path('log')
        finish(ctx, '-m', 64, *ctx.accel(engine), *DEVICES, '-no-reboot', '-kernel', kernel, '-d', items, '-D', log,
               want=want)
        lines = reports(log)
        wanted = [p for p in patterns if p]
        if '' in patterns:  # the fault finds no table behind it
            lines = lines[:len(wanted)]
        if len(lines) != len(wanted) or any(not re.search(p, s) for p, s in zip(wanted, lines)):
            raise Failure('wanted %r, found %r' % (wanted, lines))
    return run


TESTS = {'strict-%s-%s' % (name, engine): test_strict(items, body, want, patterns, engine)
         for name, (items, body, want, patterns) in PROGRAMS.items() for engine in ('jit', 'interp')}
