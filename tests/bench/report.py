"""What the samples say: medians, ratios, geometric means; the table and the numbers of the JSON file."""

import math
import statistics

from rows import GROUPS, Boot

MEASURES = ('time', 'wall', 'cpu', 'waited', 'memory')
# Whom Mimus is compared with, by what.
PAIRS = {'qemu': ('cpu', 'time'), 'against': ('cpu', 'time'), 'native': ('cpu',)}


def medians(samples):
    return {m: round(statistics.median(s[m] for s in samples), 6) for m in MEASURES if m in samples[0]}


def quotient(above, below):
    return round(above / below, 3) if below else None


def row_result(row, samples):
    """A row's part of the JSON file."""
    middle = {subject: medians(s) for subject, s in samples.items()}
    result = {'group': row.group, 'unit': row.unit, 'count': getattr(row, 'count', 1), 'samples': samples,
              'median': middle, 'ratio': {}}
    for other in PAIRS:
        if other in middle and 'mimus' in middle:
            result['ratio'][other] = {m: quotient(middle['mimus'][m], middle[other][m])
                                      for m in ('time', 'cpu', 'memory') if m in middle[other]}
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
    """By group and over all rows: the mean of each ratio, and over how many rows."""
    means = {}
    for row in rows.values():
        for other, ratios in row['ratio'].items():
            for measure in PAIRS[other]:
                if ratios[measure]:
                    for group in row['group'], 'all':
                        means.setdefault(group, {}).setdefault((other, measure), []).append(math.log(ratios[measure]))
    return {group: {'%s_%s' % key: {'mean': round(math.exp(statistics.fmean(logs)), 3), 'rows': len(logs)}
                    for key, logs in found.items()} for group, found in means.items()}


# ---- the table ----

def seconds_text(seconds):
    for scale, name in (1, 's'), (1e-3, 'ms'), (1e-6, 'us'):
        if seconds >= scale:
            value = seconds / scale
            return ('%.3g %s' if value < 1000 else '%.0f %s') % (value, name)
    return '%.3g ns' % (seconds / 1e-9)


def ratio_text(ratio):
    return '-' if ratio is None else '%.3f' % ratio if ratio < 0.1 else '%.2f' % ratio


class Table:
    """Columns: row, unit, host CPU time per unit of each subject, Mimus's ratios to the others."""

    def __init__(self, subjects):
        self.subjects = ['native', *subjects]
        self.pairs = [(other, m) for other in PAIRS if other in self.subjects for m in PAIRS[other]]

    def line(self, name, unit, times, ratios):
        print('%-16s %-11s' % (name, unit) + ''.join(' %9s' % t for t in times) + ' |' +
              ''.join(' %12s' % r for r in ratios), flush=True)

    def head(self):
        self.line('row', 'unit', self.subjects, ['/%s %s' % pair for pair in self.pairs])

    def row(self, name, result):
        middle, ratio = result['median'], result['ratio']
        self.line(name, result['unit'],
                  [seconds_text(middle[s]['cpu'] / result['count']) if s in middle else '-' for s in self.subjects],
                  [ratio_text(ratio[o][m]) if o in ratio else '-' for o, m in self.pairs])

    def mean(self, group, means):
        self.line('mean of ' + group, '', [''] * len(self.subjects),
                  [ratio_text(means[key]['mean']) if key in means else '-'
                   for key in ('%s_%s' % pair for pair in self.pairs)])


def print_memory(rows, results):
    for row in rows:
        if isinstance(row, Boot) and row.name in results:
            found = results[row.name]['median']
            print('%s, peak memory: %s' % (row.name, ', '.join(
                '%s %.1f MiB' % (s, m['memory'] / 1024) for s, m in found.items())))


def print_disturbance(results):
    """How much other work on the host got in the way: then guest times say little."""
    middle = [m for r in results.values() for s, m in r['median'].items() if s != 'native']
    wall, waited = (sum(m[name] for m in middle) for name in ('wall', 'waited'))
    print('In %.1f s (sum of the medians) threads of the emulators waited %.1f s for a host processor' % (wall, waited))


def print_ratios(ratios):
    for name, result in ratios.items():
        print('%-16s %-4s  %s   goal of Mimus: %s' % (name, result['measure'], ', '.join(
            '%s %.2f' % item for item in result['median'].items()) or '-', result['goal']))


def print_translation(translation):
    for where, subjects in translation.items():
        for subject, jit in subjects.items():
            if 'guest_instructions' in jit:
                print('Translation in %s, %s: %d guest instructions in %d blocks, %.2f s, %d ns per guest instruction'
                      % (where, subject, jit['guest_instructions'], jit.get('blocks_translated', 0),
                         jit.get('translation_time', 0) / 1e6, jit.get('ns_per_guest_instruction', 0)))


def print_report(rows, subjects, result):
    print('\nHost CPU time per unit, medians; Mimus divided by the others, by host CPU time and by guest time')
    table = Table(subjects)
    table.head()
    for row in rows:
        if row.name in result['rows']:
            table.row(row.name, result['rows'][row.name])
    for group in *GROUPS, 'all':
        if group in result['geometric_means']:
            table.mean(group, result['geometric_means'][group])
    print_memory(rows, result['rows'])
    print_ratios(result['ratios'])
    print_translation(result['translation'])
    print_disturbance(result['rows'])
