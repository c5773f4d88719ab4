"""From the last thing that a dying program does to the first thing that its successor does."""
import os
import shutil
import subprocess
import time

from report import LOG, OUT, ROUNDS, fair, run, write
from harness import hierarchies, make, own_cgroups, remove, tool, until

LIVES = 20, 1100  # ms; runit and s6 let a second pass before the next start, unless the last one held that long
TURNS = max(ROUNDS // 5, 1)
TURN, ENOUGH = 5, 60  # seconds of a turn, or as many deaths


class OwnPlace:
    """Cgroups and a /run where nobody else supervises anything. /run/bench is what containers see too."""

    def __enter__(self):
        places = hierarchies()
        if places != ['/sys/fs/cgroup'] and os.path.exists('/sys/fs/cgroup/systemd'):
            places.append('/sys/fs/cgroup/systemd')
        self.cgroups = own_cgroups(places)
        for place in self.cgroups:
            run('mount', '--bind', place, os.path.dirname(place))
        run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'none', '/run')
        os.mkdir('/run/bench')

    def __exit__(self, *_):
        for place in ['/run', *map(os.path.dirname, self.cgroups)]:
            run('umount', place)
        for place in self.cgroups:
            until(lambda: remove(place))


def supervisors(launcher, root):
    """Name -> command. What a peer starts is the workload itself, or bubblewrap."""
    mortal = f'{root}/mortal'
    boxed = (f'/usr/bin/bwrap --unshare-all --cap-drop ALL --ro-bind {root} / --bind /run/bench /run/bench --proc /proc '
             '--dev /dev /mortal')
    unit = '[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=0\nExecStart='
    os.makedirs('/run/systemd/system')  # systemd looks if it has booted the machine
    for how, command in ('plain', mortal), ('boxed', boxed):
        for service in f'/run/runit/{how}/run', f'/run/s6/{how}/run':
            write(service, f'#!/bin/sh\nexec {command}\n', 0o755)
        write(f'/run/init/{how}/inittab', f'::respawn:{command}\n')
        write(f'/run/units/{how}.service', f'{unit}{command}\n')
        write(f'/run/s6/{how}/notification-fd', '3')  # what holds is what has been ready
    for name in 'runit', 's6':
        shutil.copy(mortal, f'/run/{name}/plain/run')  # it needs no script
    alone = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c']
    peers = {
        'a loop of the shell': lambda how: f'while :; do {boxed if how == "boxed" else mortal}; done',
        'runit (runsv)': lambda how: f'runsv /run/runit/{how}',
        's6 (s6-supervise)': lambda how: f's6-supervise /run/s6/{how}',
        'systemd --user, RestartSec=0': lambda how: 'export SYSTEMD_UNIT_PATH=/run/units XDG_RUNTIME_DIR=/run/user; '
                                                    f'mkdir -p /run/user; systemd --user --unit={how}.service; :',
        'busybox init': lambda how: f'mount --bind /run/init/{how} /etc; exec busybox init',
    }
    rows = {'launcher, .backoff of 1 ms': [launcher, 'up', os.path.dirname(root)]}
    for how, what in ('plain', ''), ('boxed', ', bwrap'):
        rows.update({name + what: [*alone, peer(how)] for name, peer in peers.items()})
    return rows


def deaths():
    """How long each of them went unmended, in ms."""
    with open('/run/bench/log') as file:
        words = file.read().split()
    stamps = list(zip(words[::2], map(int, words[1::2])))
    return [(born - died) / 1e6 for (what, died), (_, born) in zip(stamps, stamps[1:]) if what == 'E']


def turn(command, log):
    write('/run/bench/log', '', 0o666)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd='/') as supervisor:
        try:
            until(lambda: len(deaths()) >= ENOUGH, TURN)
        finally:
            (supervisor.terminate if command[1] == 'up' else supervisor.kill)()
    time.sleep(0.2)  # until the last of its children are gone
    took = deaths()
    os.remove('/run/bench/log')
    return took


def measure(report):
    run('images/packages', 'bubblewrap', 'util-linux', 'runit', 's6', 'busybox-static', 'systemd')
    where = os.path.abspath(OUT + '/restarts')
    launcher, root = where + '/launcher', where + '/root'
    make('BOARD=host', f'O={OUT}/restarts', 'CONFIG=tests/bench/restarts.h', OUT + '/restarts/launcher')
    tool(OUT + '/restarts', 'bench/mortal')
    shutil.rmtree(root, ignore_errors=True)
    for name in 'dev', 'proc', 'sys', 'run/bench':
        os.makedirs(f'{root}/{name}')
    shutil.copy(where + '/mortal', root)
    run('images/pack', root, '-o', where + '/mortal.img')
    fair()
    report.part('Restart', 'From the last thing that a dying program does to the first thing that its successor does.')
    with OwnPlace(), open(LOG, 'a') as log:
        contestants = supervisors(launcher, root)
        for life in LIVES:
            write('/run/bench/life', str(life))
            took = {name: [] for name in contestants}
            for _ in range(TURNS):
                for name, command in contestants.items():
                    took[name] += turn(command, log)
            report.say(f'A life of {life} ms:')
            report.say()
            report.compare('ms', took, ['launcher, .backoff of 1 ms'], ['a loop of the shell'],
                           [('deaths', {name: str(len(times)) for name, times in took.items()})])
