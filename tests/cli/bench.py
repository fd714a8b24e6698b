"""The benchmark's arithmetic on samples whose ratios are known, and what its command line says without measuring."""

import json
import os
import re
import subprocess
import sys

from emulator import Failure

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'bench')
sys.path.append(BENCH)

import measure
import report
import rows


def require(name, found, wanted):
    if found != wanted:
        raise Failure('%s is %r, not %r' % (name, found, wanted))


def sample(seconds):
    return {'time': seconds, 'cpu': 2 * seconds, 'wall': 3 * seconds, 'waited': 0}


def result_of(name, mimus, qemu, native=None):
    """A row's result; its samples are these seconds."""
    row = next(r for r in rows.ROWS if r.name == name)
    samples = {'mimus': [sample(s) for s in mimus], 'qemu': [sample(s) for s in qemu]}
    if native:
        samples['native'] = [{'time': native, 'cpu': native}]
    return row, report.row_result(row, samples)


# Ratios to QEMU: 0.25 and 0.36 (64-bit programs), 0.04 (a 32-bit micro row). The odd ones out are no medians.
SAMPLES = [('xz', [1, 1, 50], [4, 4, 0.1], 0.5), ('gzip', [9, 9, 9], [25, 25, 25], 2),
           ('x87-32', [2, 2, 7], [50, 50, 50])]


def results():
    pairs = [result_of(*words) for words in SAMPLES]
    return [row for row, _ in pairs], {row.name: result for row, result in pairs}


def test_rows(ctx):
    """Medians and ratios of a row, means of groups, widths and all rows."""
    _, found = results()
    require('median', found['xz']['median']['mimus'], {'time': 1, 'cpu': 2, 'wall': 3, 'waited': 0})
    require('ratios of xz', found['xz']['ratio'], {'qemu': {'cpu': 0.25, 'time': 0.25, 'wall': 0.25},
                                                   'native': {'cpu': 4.0}})
    means = report.geometric_means(found)
    require('means', {name: means[name]['qemu_cpu'] for name in means},
            {'programs': {'mean': 0.3, 'rows': 2}, '64-bit': {'mean': 0.3, 'rows': 2},
             'micro32': {'mean': 0.04, 'rows': 1}, '32-bit': {'mean': 0.04, 'rows': 1},
             'all': {'mean': 0.1533, 'rows': 3}})
    require('mean to native', means['all']['native_cpu'], {'mean': 6.0, 'rows': 2})


def test_tables(ctx):
    """Each row has a name of its own, each goal is about rows that there are, and each group has a row."""
    names = [row.name for row in rows.ROWS + rows.RATIOS]
    require('names used twice', sorted({n for n in names if names.count(n) > 1}), [])
    require('names of goals that no row has', sorted(
        {name for goal in rows.GOALS for name in goal.chosen} - {'all', *(r.kind for r in rows.ROWS),
                                                                  *(r.base for r in rows.ROWS)}), [])
    require('goals without rows', [g.text for g in rows.GOALS if not any(map(g.fits, rows.ROWS))], [])
    require('groups', {row.group for row in rows.ROWS}, set(rows.GROUPS))


def test_goals(ctx):
    """Which goals are met, and how far away the others are; nothing is said about what was not measured."""
    goals = {(g['goal'], g['width']): g for g in report.goal_results(*results())}
    require('goals', {key: (g['value'], g['met'], g['worst']) for key, g in goals.items()}, {
        ('programs, mean', '64-bit'): (0.3, False, 'gzip'), ('programs, worst', '64-bit'): (0.36, True, 'gzip'),
        ('programs to native, mean', '64-bit'): (6.0, False, 'gzip'), ('x87', '32-bit'): (0.04, True, 'x87-32'),
        ('all rows, mean', '64-bit'): (0.3, False, 'gzip'), ('all rows, mean', '32-bit'): (0.04, True, 'x87-32'),
        ('all rows, worst', '64-bit'): (0.36, True, 'gzip'), ('all rows, worst', '32-bit'): (0.04, True, 'x87-32')})
    require('distance', goals['programs, mean', '64-bit']['times_limit'], 1.2)
    memory = report.memory_result({'here': {'mimus': [300, 100, 200], 'qemu': [400, 400, 900]}})
    translation = report.translation_result(
        {'here': {'mimus': {'ns_per_guest_instruction': 600, 'guest_instructions': 10, 'host_code': 425}}}, 2500)
    require('host bytes', translation['here']['mimus']['host_bytes_per_guest_instruction'], 42.5)
    require('other goals', [(g['value'], g['met']) for g in report.other_goals(memory, translation)],
            [(0.5, True), (1500, False)])


def test_statistics(ctx):
    """`info jit` is understood as the monitor prints it."""
    with ctx.run('-display', 'none', '-serial', 'null', '-monitor', 'stdio', '-m', 16) as vm:
        vm.monitor_start()
        numbers = measure.parse_jit(vm.monitor('info jit'))
        vm.send('quit\n')
        vm.finish()
    missing = {'guest_instructions', 'blocks_translated', 'host_code', 'ns_per_guest_instruction', 'cache_flushes',
               'tlb_fills'} - numbers.keys()
    if missing and not ctx.stand_in:
        raise Failure('info jit does not tell ' + ', '.join(sorted(missing)))
    require('of QEMU', measure.parse_jit('gen code size       123/456\nTB count            7\nTB flush count      0\n'),
            {'gen_code_size': 123, 'tb_count': 7, 'tb_flush_count': 0})


def bench(*words, status=0):
    """What the benchmark prints."""
    done = subprocess.run([os.path.join(BENCH, 'run'), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode()
    require('status', done.returncode, status)
    return text


def test_compare(ctx):
    """Two results side by side, and clear errors."""
    _, found = results()
    slower = {name: dict(result, count=result['count'] / 2) for name, result in found.items()}
    files = [ctx.write(name, json.dumps({'versions': {}, 'rounds': 3, 'rows': part}).encode())
             for name, part in (('a', found), ('b', slower))]
    text = bench('--compare', *files)
    for line in r'^xz +run .* 2\.00 \| +0\.25 +0\.25$', r'^mean of programs +2\.00 \| +0\.30 +0\.30$':
        if not re.search(line, text, re.MULTILINE):
            raise Failure('no line like %s in\n%s' % (line, text))
    require('error', bench('--compare', files[0], ctx.path('none'), status=1).count('\n'), 1)
    if 'there is no row nonsense' not in bench('nonsense', status=2):
        raise Failure('an unknown row is not named')


TESTS = {'bench-rows': test_rows, 'bench-tables': test_tables, 'bench-goals': test_goals,
         'bench-statistics': test_statistics, 'bench-compare': test_compare}
