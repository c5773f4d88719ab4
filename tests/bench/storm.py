"""How long another container takes to start, and `ps` to answer, beside eight that come back for ever."""
import os
import subprocess
import time

from report import ARCH, LOG, OUT, fair, median, number, run
from restarts import OwnPlace
from harness import make, until


def measure(report):
    make('BOARD=host', 'images')
    make('BOARD=host', f'O={OUT}/storm', 'CONFIG=tests/bench/storm.h', OUT + '/storm/launcher')
    launcher = os.path.abspath(OUT + '/storm/launcher')
    images = os.path.abspath(f'out/images/{ARCH}')
    fair()
    rows = []

    def took(*words):
        began = time.monotonic()
        run(launcher, *words, stdout=subprocess.DEVNULL)
        return 1000 * (time.monotonic() - began)
    with OwnPlace(), open(LOG, 'a') as log:
        supervisor = subprocess.Popen([launcher, 'up', images], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: os.path.exists('/run/launcher/control'))
        for name, verb in (('alone', 'stop'), ('in the storm', 'start')):
            for n in range(1, 9):
                subprocess.run([launcher, verb, f'storm-{n}'], stderr=log)  # started, it dies before that is seen
            starts, answers = [], []
            for _ in range(30):
                run(launcher, 'stop', 'calm')
                starts.append(took('start', 'calm'))
                answers.append(took('ps'))
            for what, times in ('start', starts), ('ps', answers):
                rows.append([f'{what}, {name}', number(median(times)), number(max(times))])
        supervisor.terminate()
        supervisor.wait()
    report.part('Storm', 'Eight containers die at once and come back at once, for ever; beside them another one is started, and `ps` asked.')
    report.table(['ms', 'median', 'most'], rows)
