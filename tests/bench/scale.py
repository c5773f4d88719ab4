"""From one container to 500: does each of them cost what the first one does?"""
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import memory
from memory import FLOOR, FOREGROUND, HELD, LAUNCHER, Place, pss
from report import LOG, OUT, ROUNDS, fair, median, number, plot
from harness import until

COUNTS = 1, 10, 50
WANTED = 500
TURNS = max(ROUNDS // 5, 1)
PATIENCE, IDLE = 120, 10  # seconds: until all run; for which nobody asks anything
STEPS = 1, 2, 5, 10, 20, 50, 100, 200, 500


def most_rows():
    """As many rows as a policy can have when gcc compiles it; of those that memory.h knows."""
    with open('launcher.c', encoding='utf-8') as file:
        limit = max(map(int, re.findall(r'^#define MOST_ROWS (\d+)', file.read(), re.M)))
    return max(rows for rows in (64, WANTED) if rows <= limit)


def running(place, count):
    return list(place.members().values()).count(HELD) == count


def start(name, commands, count, log):
    """Milliseconds until so many run, of commands that a shell starts at once; NaN: they do not."""
    with Place(name) as place:
        os.mkfifo('/run/bench/go')
        with open('/run/bench/start', 'w', encoding='utf-8') as file:
            file.write('read go </run/bench/go\n')
            file.write(''.join(shlex.join(command).format(cgroup=place.name) + ' &\n' for command in commands) + 'wait\n')
        shell = place.start(['sh', '/run/bench/start'], log)
        try:
            with open('/run/bench/go', 'w', encoding='utf-8') as file:
                file.write('\n')
            began = time.monotonic()
            while shell.poll() is None and time.monotonic() - began < PATIENCE:
                looked = time.monotonic()
                if running(place, count):
                    return (looked - began) * 1000
                time.sleep(0.001 + 4 * (time.monotonic() - looked))  # who looks takes a CPU from them
            return float('nan')
        finally:
            place.end()
            shell.wait()


def starts(report, launchers, log):
    """Many at once, beside the peers."""
    contestants = {name: of for name, of in memory.contestants(launchers).items() if 'no container' not in name and 'conmon' not in name}
    took = {name: {} for name in contestants}
    for count in COUNTS:
        for _ in range(TURNS if count < COUNTS[-1] else 1):
            for name, contestant in contestants.items():
                took[name].setdefault(count, []).append(start(name, contestant(count)[0], count, log) / count)
    for count in sorted({max(launchers), WANTED} - {*COUNTS}):
        for name in (LAUNCHER, FOREGROUND, FLOOR):
            if name != LAUNCHER or count in launchers:
                took[name][count] = [start(name, contestants[name](count)[0], count, log) / count]
    took = {name: {count: median(samples) for count, samples in of.items()} for name, of in took.items()}
    columns = sorted({count for of in took.values() for count in of})
    report.say('Milliseconds for each of N that a shell starts at once, until all run:')
    report.say()
    report.table(['', *(f'N = {count}' for count in columns)],
                 [[f'**{name}**' if name in memory.OURS else name, *('failed' if of.get(count) != of.get(count) else number(of[count])
                   if count in of else '' for count in columns)] for name, of in took.items()])
    plot(OUT + '/starts.svg', 'Start of N containers at once, for each', 'ms',
         {name.split(',')[0]: [(count, ms) for count, ms in sorted(of.items()) if ms == ms] for name, of in took.items()})


def switches(pid):
    """How often that process has gone on."""
    with open(f'/proc/{pid}/status', encoding='utf-8') as file:
        return sum(map(int, re.findall(r'ctxt_switches:\s*(\d+)', file.read())))


def supervise(launcher, count, log):
    """What so many rows take: ms until each is up, then the cells of a row, then how often the supervisor runs while nothing happens."""
    with Place(LAUNCHER) as place:
        before = place.charged()
        up = place.start([launcher, 'up', memory.WHERE], log)
        try:
            if not until(lambda: running(place, count), PATIENCE):
                return [], ['failed'] * 5, 0
            time.sleep(2)
            with open(f'/proc/{up.pid}/schedstat', encoding='utf-8') as file:
                cpu = int(file.read().split()[0]) / 1e6
            keepers = [pid for pid, name in place.members().items() if name != HELD]
            cells = [number(sum(map(pss, keepers)) / count), number((place.charged() - before) / count), number(cpu / count),
                     number(len(os.listdir(f'/proc/{up.pid}/fd')))]
            ran = switches(up.pid)
            time.sleep(IDLE)
            ran = switches(up.pid) - ran
            asked = time.monotonic()
            events = subprocess.run([launcher, 'events', '--json'], stdout=subprocess.PIPE, check=True).stdout.splitlines()
            cells.append(number(1000 * (time.monotonic() - asked)))
            times = [(event['event'], event['time']) for event in map(json.loads, events)]
            began = next(at for what, at in times if what == 'start')
            return sorted(1000 * (at - began) for what, at in times if what == 'up'), cells, ran
        finally:
            up.terminate()
            place.end()
            up.wait()


def measure(report):
    most = most_rows()
    launchers = memory.prepare({*COUNTS, most}, WANTED)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what runs ends too
    fair()
    report.part('Scale', f'From one container to {most}, as many as a policy can have'
                + (f', and {WANTED} without a supervisor.' if most < WANTED else '.'))
    with open(LOG, 'a') as log:
        starts(report, launchers, log)
        rows = []
        for count in sorted(launchers):
            ups, cells, ran = supervise(launchers[count], count, log)
            rows.append([f'{count} rows', *cells, ran])
    report.say(f'One supervisor, for each row: KiB of all processes but the workload, KiB of the kernel, ms of its CPU; its descriptors, '
               f'ms until it has told its events, and how often it ran in {IDLE} s without any.')
    report.say()
    report.table(['', 'KiB each', 'kernel each', 'CPU each', 'descriptors', '`events`', f'ran in {IDLE} s'], rows)
    report.say(f'Of those {most} rows, ms from the start of the supervisor until so many are up: '
               + ', '.join(f'{n}: {number(ups[n - 1])}' for n in sorted({*STEPS, most}) if n <= len(ups)) + '.')
    report.say()
