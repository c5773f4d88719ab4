"""What the parts of the benchmark share: samples become tables, and the tables a page."""
import math
import os
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # it also goes to the top of the repository

OUT = 'out/bench'
LOG = OUT + '/log'  # what contestants say
ROUNDS = int(os.environ.get('ROUNDS', 15))
ARCH = 'armv7' if os.uname().machine.startswith('arm') else os.uname().machine


def run(*command, **options):
    done = subprocess.run(command, text=True, **options)
    if done.returncode:
        sys.exit(f'tests/bench/run: failed: {" ".join(command)}; {LOG} may say why')
    return done


def output(*command):
    return run(*command, stdout=subprocess.PIPE).stdout


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    os.chmod(path, mode)


def fair():
    """A container has this scheduling policy, whatever the caller has: all alike."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def median(samples):
    return statistics.median(samples) if samples else math.nan


def number(x):
    """With three digits, if there are that many."""
    return '-' if math.isnan(x) else f'{x:.0f}' if abs(x) >= 99.5 else f'{x:.3g}' if x else '0'


class Report:
    """The tables of a run, printed as they come; page() has them as Markdown."""

    def __init__(self):
        self.text = []

    def say(self, line=''):
        print(line, flush=True)
        self.text.append(line)

    def part(self, title, *notes):
        """A heading, and what is measured there in a few sentences."""
        self.say()
        self.say(f'## {title}')
        self.say()
        for line in notes:
            self.say(line)
        self.say()

    def table(self, head, rows):
        """Columns of text; the first one is left, the others are right."""
        cells = [[str(cell).replace('|', '\\|') for cell in row] for row in [head, *rows]]
        wide = [max(len(row[n]) for row in cells) for n in range(len(head))]
        for n, row in enumerate(cells):
            self.say('| ' + ' | '.join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, wide))) + ' |')
            if not n:
                self.say('|' + '|'.join('-' * (w + 1) + (':' if i else '-') for i, w in enumerate(wide)) + '|')
        self.say()

    def compare(self, unit, samples, ours, floor, more=()):
        """
        A row for each contestant: median (least - most) of its samples, the ratio of its median to that of the
        floor, and of its median to that of the best peer. samples: name -> [number]; ours and floor: lists of names,
        of which floor[0] is the base; all others are peers. more: [(heading, name -> cell)].
        """
        medians = {name: median(taken) for name, taken in samples.items()}
        peers = [m for name, m in medians.items() if name not in (*ours, *floor) and not math.isnan(m)]
        best, base = min(peers, default=math.nan), medians.get(floor[0], math.nan) if floor else math.nan
        rows = []
        for name, taken in samples.items():
            spread = f'{number(median(taken))} ({number(min(taken))} - {number(max(taken))})' if taken else 'failed'
            rows.append([f'**{name}**' if name in ours else name, spread, number(medians[name] / base), number(medians[name] / best),
                         *(cells.get(name, '') for _, cells in more)])
        self.table(['', f'{unit}: median (least - most)', '/ floor', '/ best peer', *(heading for heading, _ in more)], rows)
        return medians

    def page(self):
        return '\n'.join(self.text).strip() + '\n'


def plot(path, title, unit, series):
    """
    A log-log picture as SVG; series: name -> [(x, y)], in the order of the legend. Names that begin with "launcher" stand
    out, the first of them most.
    """
    colours = ['#1b6ca8', '#777777', '#b5651d', '#5a8f3d', '#8a4f9e', '#b83b5e', '#3d8f8a', '#a08c2c', '#444444']
    wide, high, left, top, right, bottom = 760, 430, 70, 45, 215, 45
    points = [p for line in series.values() for p in line]
    low, most = ([fold(p[n] for p in points) for n in (0, 1)] for fold in (min, max))
    low[1], most[1] = 10 ** math.floor(math.log10(low[1])), 10 ** math.ceil(math.log10(most[1]))

    def at(x, y):
        span = [math.log10(most[n] / low[n]) or 1 for n in (0, 1)]
        return (left + math.log10(x / low[0]) / span[0] * (wide - left - right),
                high - bottom - math.log10(y / low[1]) / span[1] * (high - top - bottom))
    out = [f'<svg xmlns="http:&#47;/www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="12">',
           f'<rect width="{wide}" height="{high}" fill="white"/>', f'<text x="{left}" y="24" font-size="15">{title}</text>',
           f'<text x="{left - 8}" y="{top - 14}" text-anchor="end">{unit}</text>']
    y = low[1]
    while y <= most[1]:
        out.append(f'<path d="M{left} {at(low[0], y)[1]:.1f}H{wide - right}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{at(low[0], y)[1] + 4:.1f}" text-anchor="end">{number(y)}</text>')
        y *= 10
    for x in sorted({p[0] for p in points}):
        out.append(f'<text x="{at(x, low[1])[0]:.1f}" y="{high - bottom + 18}" text-anchor="middle">{number(x)}</text>')
    reds = ['#f4a3a3'] * len(series) + ['#d62728']
    for n, (name, line) in enumerate(series.items()):
        colour, bold = (reds.pop(), 3) if name.startswith('launcher') else (colours[n % len(colours)], 1.5)
        path_of = ' '.join(f'{px:.1f},{py:.1f}' for px, py in (at(*p) for p in line))
        out.append(f'<polyline points="{path_of}" fill="none" stroke="{colour}" stroke-width="{bold}"/>')
        out += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{bold + 1}" fill="{colour}"/>' for px, py in (at(*p) for p in line)]
        y = top + 18 * n
        out.append(f'<path d="M{wide - right + 14} {y}h18" stroke="{colour}" stroke-width="{bold}"/>'
                   f'<text x="{wide - right + 38}" y="{y + 4}">{name}</text>')
    write(path, '\n'.join([*out, '</svg>']) + '\n')
