"""What the samples say: medians, ratios, geometric means, goals; the tables and the numbers of the JSON file."""

import math
import statistics

from rows import GOALS, GROUPS, MEMORY_GOAL, TRANSLATION_GOAL, WIDTHS

MEASURES = ('time', 'cpu', 'wall', 'waited')
# Whom Mimus is compared with, by what.
PAIRS = {'qemu': ('cpu', 'time', 'wall'), 'against': ('cpu', 'time'), 'native': ('cpu',)}


# ---- arithmetic ----

def medians(samples):
    return {m: round(statistics.median(s[m] for s in samples), 6) for m in MEASURES if m in samples[0]}


def quotient(above, below):
    return round(above / below, 3 if above > below / 10 else 5) if below else None


def geometric_mean(values):
    return round(math.exp(statistics.fmean(map(math.log, values))), 4)


def row_result(row, samples):
    """A row's part of the JSON file."""
    middle = {subject: medians(s) for subject, s in samples.items()}
    result = {'group': row.group, 'base': row.base, 'arch': row.arch, 'cpus': row.cpus, 'unit': row.unit,
              'count': row.count, 'samples': samples, 'median': middle, 'ratio': {}}
    for other, measures in PAIRS.items():
        if other in middle and 'mimus' in middle:
            result['ratio'][other] = {m: quotient(middle['mimus'][m], middle[other][m]) for m in measures}
    return result


def ratio_result(ratio, rows):
    """Median over the rounds of above / below, by subject."""
    above, below = (rows[name]['samples'] if name in rows else {} for name in (ratio.above, ratio.below))
    values = {}
    for subject in above:
        pairs = zip(above[subject], below.get(subject, []))
        values[subject] = [quotient(a[ratio.measure], b[ratio.measure]) for a, b in pairs]
    return {'group': ratio.group, 'measure': ratio.measure, 'goal': ratio.goal, 'samples': values,
            'median': {s: round(statistics.median(v), 3) for s, v in values.items() if v}}


def geometric_means(rows):
    """By group, by the guest's width and over all rows: the mean of each ratio, and over how many rows."""
    found = {}
    for row in rows.values():
        for other, ratios in row['ratio'].items():
            for measure, ratio in ratios.items():
                if ratio:
                    for name in row['group'], WIDTHS[row['arch']], 'all':
                        found.setdefault(name, {}).setdefault('%s_%s' % (other, measure), []).append(ratio)
    return {name: {key: {'mean': geometric_mean(values), 'rows': len(values)} for key, values in means.items()}
            for name, means in found.items()}


def goal_results(rows, results):
    """For each goal and width: what it was compared with, whether it is met, and by which row it is missed most."""
    found = []
    for goal in GOALS:
        for arch, width in WIDTHS.items():
            ratios = {}
            for row in rows:
                value = row.arch == arch and goal.fits(row) and \
                    results.get(row.name, {}).get('ratio', {}).get(goal.peer, {}).get(goal.measure)
                if value:
                    ratios[row.name] = value
            if ratios:
                worst = max(ratios, key=ratios.get)
                value = ratios[worst] if goal.summary == 'worst' else geometric_mean(ratios.values())
                found.append(goal_result(goal.text, width, goal.limit, value, worst, len(ratios)))
    return found


def goal_result(text, width, limit, value, worst, rows):
    return {'goal': text, 'width': width, 'limit': limit, 'value': value, 'met': value <= limit,
            'times_limit': round(value / limit, 3), 'worst': worst, 'rows': rows}


def memory_result(memory):
    """Medians of the peaks in KiB, by boot or machine and subject."""
    return {where: {s: statistics.median(peaks) for s, peaks in subjects.items()} for where, subjects in memory.items()}


def translation_result(translation, host_mhz):
    """With what a translated guest instruction costs: bytes of host code, and cycles where the host's rate is known."""
    for jit in (jit for subjects in translation.values() for jit in subjects.values()):
        if jit.get('guest_instructions'):
            jit['host_bytes_per_guest_instruction'] = round(jit['host_code'] / jit['guest_instructions'], 1)
        if host_mhz and 'ns_per_guest_instruction' in jit:
            jit['cycles_per_guest_instruction'] = round(jit['ns_per_guest_instruction'] * host_mhz / 1000)
    return translation


def other_goals(memory, translation):
    """The goals for peak memory and for the cost of translation."""
    ratios = {where: quotient(m['mimus'], m['qemu']) for where, m in memory.items() if {'mimus', 'qemu'} <= m.keys()}
    cycles = {where: jit['mimus']['cycles_per_guest_instruction'] for where, jit in translation.items()
              if 'cycles_per_guest_instruction' in jit.get('mimus', ())}
    return [goal_result(text, 'any', limit, round(max(values.values()), 3), max(values, key=values.get), len(values))
            for text, limit, values in (('peak memory, worst', MEMORY_GOAL, ratios),
                                        ('cycles to translate an instruction', TRANSLATION_GOAL, cycles)) if values]


# ---- the tables ----

def seconds_text(seconds):
    for scale, name in (1, 's'), (1e-3, 'ms'), (1e-6, 'us'):
        if seconds >= scale:
            value = seconds / scale
            return ('%.3g %s' if value < 1000 else '%.0f %s') % (value, name)
    return '%.3g ns' % (seconds / 1e-9)


def ratio_text(ratio):
    return '-' if ratio is None else '%.3f' % ratio if ratio < 0.1 else '%.2f' % ratio


class Table:
    """Columns: row, unit, native time, times of each subject per unit, Mimus's ratios to the others."""

    def __init__(self, subjects):
        self.times = [('native', 'cpu')] + [(s, m) for s in subjects for m in ('time', 'cpu', 'wall')]
        self.pairs = [(other, m) for other in PAIRS if other in ('native', *subjects) for m in PAIRS[other]]

    def line(self, name, unit, times, ratios):
        print('%-18s %-11s' % (name, unit) + ''.join(' %8s' % t for t in times) + ' |' +
              ''.join(' %7s' % r for r in ratios), flush=True)

    def head(self):
        self.line('', '', [subject for subject, _ in self.times], ['/' + other for other, _ in self.pairs])
        names = {'time': 'guest'}
        self.line('row', 'unit', [names.get(m, m) for _, m in self.times], [names.get(m, m) for _, m in self.pairs])

    def row(self, name, result):
        middle, ratio = result['median'], result['ratio']
        self.line(name, result['unit'],
                  [seconds_text(middle[s][m] / result['count']) if s in middle else '-' for s, m in self.times],
                  [ratio_text(ratio[o][m]) if o in ratio else '-' for o, m in self.pairs])

    def mean(self, group, means):
        self.line('mean of ' + group, '', [''] * len(self.times),
                  [ratio_text(means[key]['mean']) if key in means else '-'
                   for key in ('%s_%s' % pair for pair in self.pairs)])


def print_goals(goals):
    if goals:
        print('\n%-42s %-6s %8s %8s  %-9s %s' % ('goal: Mimus / QEMU', 'guest', 'at most', 'is', '', 'worst row'))
    for g in goals:
        verdict = 'met' if g['met'] else '%.1f times' % g['times_limit']
        print('%-42s %-6s %8s %8.4g  %-10s %s' % (g['goal'], g['width'], '%g' % g['limit'], g['value'], verdict,
                                                  '%s (of %d)' % (g['worst'], g['rows'])))


def print_memory(memory):
    for where, peaks in memory.items():
        print('Peak memory, %s: %s' % (where, ', '.join('%s %.0f MiB' % (s, kib / 1024) for s, kib in peaks.items())))


def print_disturbance(results):
    """How much other work on the host got in the way: then guest times say little."""
    middle = [m for r in results.values() for s, m in r['median'].items() if s != 'native']
    wall, waited = (sum(m[name] for m in middle) for name in ('wall', 'waited'))
    print('In %.1f s (sum of the medians) threads of the emulators waited %.1f s for a host processor' % (wall, waited))


def print_ratios(ratios):
    for name, result in ratios.items():
        print('%-17s %-4s  %s   goal of Mimus: %s' % (name, result['measure'], ', '.join(
            '%s %.2f' % item for item in result['median'].items()) or '-', result['goal']))


# What is shown of `info jit`: Mimus's names and QEMU's, and in which words.
TRANSLATION = {
    'guest_instructions': '%d instructions', 'blocks_translated': '%d blocks', 'tb_count': '%d blocks at the end',
    'host_code': '%d bytes of code', 'gen_code_size': '%d bytes of code at the end',
    'host_bytes_per_guest_instruction': '%.1f bytes', 'ns_per_guest_instruction': '%d ns',
    'cycles_per_guest_instruction': '%d cycles per instruction', 'tier-ups': '%d tier-ups',
    'invalidated_blocks': '%d invalidated', 'tb_invalidate_count': '%d invalidated',
    'cache_flushes': '%d cache flushes', 'tb_flush_count': '%d cache flushes', 'tlb_fills': '%d TLB misses',
    'tlb_flushes': '%d TLB flushes', 'tlb_full_flushes': '%d TLB flushes'}


def print_translation(translation):
    for where, subjects in translation.items():
        for subject, jit in subjects.items():
            print('Translation, %s, %s: %s' % (where, subject, ', '.join(
                text % jit[key] for key, text in TRANSLATION.items() if key in jit)))


def print_report(subjects, result):
    print('\nTime per unit, medians (guest: by its clock; cpu: of the host, all threads); Mimus divided by the others')
    table = Table(subjects)
    table.head()
    for name, row in result['rows'].items():
        table.row(name, row)
    for name in *GROUPS, *WIDTHS.values(), 'all':
        if name in result['geometric_means']:
            table.mean(name, result['geometric_means'][name])
    print_goals(result['goals'])
    print_ratios(result['ratios'])
    print_memory(result['memory'])
    print_translation(result['translation'])
    print_disturbance(result['rows'])


# ---- two results ----

def comparison(first, second):
    """Rows of both results: by name, Mimus's CPU time of the second by that of the first, and the ratios to QEMU."""
    found = {}
    for name, one in first['rows'].items():
        other = second['rows'].get(name, {})
        if 'mimus' in one['median'] and 'mimus' in other.get('median', {}):
            per_unit = [r['median']['mimus']['cpu'] / r['count'] for r in (one, other)]
            found[name] = {'group': one['group'], 'unit': one['unit'], 'cpu': per_unit,
                           'ratio': quotient(per_unit[1], per_unit[0]),
                           'qemu': [r['ratio'].get('qemu', {}).get('cpu') for r in (one, other)]}
    return found


def print_comparison(names, results):
    """Of two JSON files."""
    line = '%-18s %-11s %9s %9s %8s | %9s %9s'
    found = comparison(*results)
    for letter, name, result in zip('AB', names, results):
        print('%s: %s: %s, %d rounds' % (letter, name, result['versions'].get('mimus'), result['rounds']))
    print(line % ('row', 'unit', 'A cpu', 'B cpu', 'B / A', 'A / qemu', 'B / qemu'))
    for name, row in found.items():
        print(line % (name, row['unit'], *map(seconds_text, row['cpu']), ratio_text(row['ratio']),
                      *map(ratio_text, row['qemu'])))
    for group in *GROUPS, 'all':
        chosen = [r for r in found.values() if group in (r['group'], 'all') and r['ratio']]
        peers = [r['qemu'] for r in chosen if all(r['qemu'])]
        if chosen:
            print(line % ('mean of ' + group, '', '', '', ratio_text(geometric_mean([r['ratio'] for r in chosen])),
                          *([ratio_text(geometric_mean(ratios)) for ratios in zip(*peers)] or '--')))
