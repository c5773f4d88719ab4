"""What is kept for each container that runs: the memory of those who watch it, and of the kernel."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from report import LOG, OUT, fair, median, number, plot, run, write
from harness import Program, make, own_cgroups, remove, tool, until

COUNTS = 1, 10, 50
BOARD, ON_BOARD = 'qemu-armv7', 20
PSS, KERNEL, PROCESSES = range(3)
PATIENCE = 60  # seconds until all containers of a contestant run
WHERE = os.path.abspath(OUT + '/memory')
ROOT, HELD = WHERE + '/root', 'held'
MEMORY = '/sys/fs/cgroup/memory' if os.path.isdir('/sys/fs/cgroup/memory') else '/sys/fs/cgroup'
LAUNCHER, FOREGROUND, FLOOR = 'launcher up', 'launcher run, each in the foreground', 'floor: a PID 1 in each'
OURS = LAUNCHER, FOREGROUND
INITS = 'catatonit, no container', 'tini, no container', 'dumb-init, no container'


def launcher_of(rows):
    """A launcher with so many rows."""
    out = f'{OUT}/memory-{rows}'
    make('BOARD=host', 'O=' + out, 'CONFIG=tests/bench/memory.h', f'CPPFLAGS=-DROWS={rows}', out + '/launcher')
    return os.path.abspath(out + '/launcher')


def prepare(counts, most):
    """
    The workload, as a root, an image and bundles for most containers; what others want to have in a root is empty.
    Returns a launcher for each of the counts.
    """
    run('images/packages', 'bubblewrap', 'crun', 'conmon', 'runc', 'lxc', 'systemd-container', 'catatonit', 'tini', 'dumb-init')
    shutil.rmtree(WHERE, ignore_errors=True)
    launchers = {count: launcher_of(count) for count in counts}
    for name in 'dev', 'proc', 'sys', 'run', 'tmp', 'etc', 'usr':
        os.makedirs(f'{ROOT}/{name}')
    shutil.copy(OUT + '/memory-1/flags', WHERE)
    tool(WHERE, 'bench/held')
    shutil.copy(WHERE + '/held', ROOT)
    os.rename(WHERE + '/held', WHERE + '/floor')
    run('images/pack', ROOT, '-o', WHERE + '/held.img')
    run('crun', 'spec', cwd=WHERE)
    with open(WHERE + '/config.json', encoding='utf-8') as file:
        bundle = json.load(file)
    bundle['process'].update(terminal=False, args=['/' + HELD])
    bundle['root']['path'] = ROOT
    bundle['mounts'] = [mount for mount in bundle['mounts'] if mount['type'] != 'cgroup']
    for n in range(most):
        bundle['linux']['cgroupsPath'] = f'/launcher-test-{os.getpid()}/c{n}'
        write(f'{WHERE}/bundles/{n}/config.json', json.dumps(bundle))
        shutil.copytree(ROOT, f'{WHERE}/roots/{n}', copy_function=os.link)  # systemd-nspawn locks its root
    write(WHERE + '/lxc.conf', f'lxc.rootfs.path = dir:{ROOT}\nlxc.mount.auto = proc sys\nlxc.net.0.type = empty\nlxc.init.cmd = /held\n')
    return launchers


class Place:
    """
    Cgroups of our own, in all hierarchies, and an empty /run. In it a contestant shall be alone: so the launcher finds these where
    the hierarchies are, others are told their path, and crun does not find v2, which it does not bear beside v1.
    """

    def __init__(self, name):
        self.is_ours, self.hides = name.startswith('launcher'), 'crun' in name

    def mount(self, place, *words):
        run('mount', *words, place)
        self.mounted.append(place)

    def __enter__(self):
        places = [place for place in sorted(glob.glob('/sys/fs/cgroup/*')) if os.path.ismount(place)] or ['/sys/fs/cgroup']
        self.cgroups, self.mounted = own_cgroups(places), []
        self.name = os.path.basename(self.cgroups[0])
        self.top = MEMORY if self.is_ours else f'{MEMORY}/{self.name}'
        for place in self.cgroups if self.is_ours else ():
            self.mount(os.path.dirname(place), '--bind', place)
        if self.hides and '/sys/fs/cgroup/unified' in places:
            self.mount('/sys/fs/cgroup/unified', '-t', 'tmpfs', 'none')
        self.mount('/run', '-t', 'tmpfs', '-o', 'mode=755', 'none')
        os.mkdir('/run/bench')
        self.callers = [(place if not self.is_ours else os.path.dirname(place)) + '/callers' for place in self.cgroups
                        if not (self.hides and 'unified' in place)]
        for place in self.callers:
            os.mkdir(place)
            for name in 'cpuset.cpus', 'cpuset.mems':  # of v1: empty until somebody writes them
                if os.path.exists(f'{place}/{name}'):
                    shutil.copyfile(f'{os.path.dirname(place)}/{name}', f'{place}/{name}')
        return self

    def __exit__(self, *_):
        for place in reversed(self.mounted):
            run('umount', place)
        for place in self.cgroups:
            until(lambda: remove(place))

    def start(self, command, log):
        words = [word.format(cgroup=self.name) for word in command]
        join = ''.join(f'echo $$ >{place}/cgroup.procs && ' for place in self.callers)
        return subprocess.Popen(['sh', '-c', join + 'exec "$@"', 'sh', *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def members(self):
        """The processes that the contestant is: pid -> name."""
        found = {}
        for procs in glob.glob(self.top + '/**/cgroup.procs', recursive=True):
            try:
                with open(procs) as file:
                    for pid in file.read().split():
                        with open(f'/proc/{pid}/comm') as comm:
                            found[int(pid)] = comm.read().strip()
            except OSError:
                continue  # it has ended
        return found

    def charged(self):
        """KiB of the kernel that are charged to them."""
        with open(self.top + '/memory.kmem.usage_in_bytes' if MEMORY.endswith('memory') else self.top + '/memory.stat') as file:
            return int(re.search(r'^(?:kernel )?(\d+)$', file.read(), re.M)[1]) / 1024

    def end(self):
        """Ends them, workloads first, so that those who watch them tidy up."""
        for last in False, True:
            for pid in [pid for pid, name in self.members().items() if last or name == HELD]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            until(lambda: not self.members(), 2)


def contestants(launchers):
    """Name -> function of a count, which gives commands that are left to run, and others that follow when these have begun."""
    def each(*command):
        return lambda count: ([[word.replace('@', str(n)) for word in command] for n in range(count)], [])

    def conmon(count):
        return ([['conmon', '--api-version', '1', '-c', f'c{n}', '-u', f'c{n}', '-n', f'c{n}', '-r', shutil.which('crun'),
                  '-b', f'{WHERE}/bundles/{n}', '-p', f'/run/bench/{n}.pid', '-l', f'k8s-file:/run/bench/{n}.log',
                  '--exit-dir', '/run/bench', '--socket-dir-path', '/run/bench', '--runtime-arg', '--cgroup-manager=cgroupfs']
                 for n in range(count)],
                [['crun', '--cgroup-manager=cgroupfs', 'start', f'c{n}'] for n in range(count)])
    return {
        LAUNCHER: lambda count: ([[launchers[count], 'up', WHERE]], []),
        FOREGROUND: each(min(launchers.items())[1], 'run', WHERE + '/held.img', '--', '/held'),
        'crun and conmon': conmon,
        'crun run, in the foreground': each('crun', '--cgroup-manager=cgroupfs', 'run', '-b', WHERE + '/bundles/@', 'c@'),
        'runc run, in the foreground': each('runc', 'run', '-b', WHERE + '/bundles/@', 'c@'),
        'bwrap': each('bwrap', '--unshare-all', '--cap-drop', 'ALL', '--ro-bind', ROOT, '/', '--proc', '/proc', '--dev', '/dev', '/held'),
        'lxc-start': each('lxc-start', '-F', '-n', 'c@', '-P', '/run/bench', '-f', WHERE + '/lxc.conf', '-s', 'lxc.cgroup.dir={cgroup}/c@'),
        'systemd-nspawn': each('systemd-nspawn', '-q', '--register=no', '--keep-unit', '--private-network', '-M', 'c@', '-D',
                               WHERE + '/roots/@', '/held'),
        FLOOR: lambda count: ([[WHERE + '/floor', str(count), ROOT]], []),
        **{name: each(name.split(',')[0], *(['-s'] if 'tini' in name else []), '--', ROOT + '/held') for name in INITS},
    }


def pss(pid):
    """KiB that a process has, and its share of what several have."""
    try:
        with open(f'/proc/{pid}/smaps_rollup') as file:
            return int(re.search(r'^Pss: +(\d+)', file.read(), re.M)[1])
    except (OSError, TypeError):
        return 0


def hold(name, contestant, count, log):
    """
    Starts so many containers. Returns [(KiB beside the workload, KiB of the kernel, processes)], for each of them;
    or [] when some do not run.
    """
    commands, followers = contestant(count)
    with Place(name) as place:
        before = place.charged()
        processes = []

        def held():
            return list(place.members().values()).count(HELD)
        try:
            for command in commands:
                processes.append(place.start(command, log))
            if followers:
                until(lambda: len(glob.glob('/run/bench/*.pid')) == count, PATIENCE)
                for process in [place.start(command, log) for command in followers]:
                    process.wait()
            until(lambda: held() == count or (not followers and all(p.poll() is not None for p in processes)), PATIENCE)
            if held() != count:
                return []
            time.sleep(0.5)  # who started a container may have something to do still
            keepers = [pid for pid, name in place.members().items() if name != HELD]
            return [(sum(map(pss, keepers)) / count, (place.charged() - before) / count, len(keepers) / count)]
        finally:
            place.end()
            for process in processes:
                process.wait()


def meminfo(initrd, words):
    """What the board has when all that shall run is up: KiB by the names of /proc/meminfo, and how many are up."""
    with Program([f'board/{BOARD}/run'], env={**os.environ, 'NET': 'none', 'APPEND': words, 'INITRD': initrd}) as board:
        def ask(command):
            begins = board.at
            board.send(f'{command}; echo "=$?="\r')
            found = board.expect(r'=\d+=', 60)
            return board.text[begins:found.start()] if found else ''

        def up():
            return re.findall(r'^[ab]\d +(\S+)', ask('launcher ps | cat'), re.M).count('up')
        if not board.expect('^# ', 120):
            return {}, 0
        if not words:
            until(lambda: up() == ON_BOARD, 60)
        found = up(), ask('cat /proc/meminfo')
        board.send('launcher poweroff\r')
        board.end(60)
        return {name: int(kib) for name, kib in re.findall(r'(\w+): +(\d+) kB', found[1])}, found[0]


def device(report):
    """A board with 64 MiB, which is all that it has."""
    out = OUT + '/memory-board'
    make('BOARD=' + BOARD, 'O=' + out, 'CONFIG=tests/bench/memory.h', f'CPPFLAGS=-DROWS={ON_BOARD}', out + '/launcher', 'images')
    tool(out, 'bench/held')
    shutil.rmtree(out + '/root', ignore_errors=True)
    os.mkdir(out + '/root')
    shutil.move(out + '/held', out + '/root')
    run('images/pack', out + '/root', '-o', out + '/held.img')
    run('board/initramfs', BOARD, '-o', out + '/initramfs', out + '/launcher', out + '/held.img', 'out/images/armv7/toybox.img')
    alone, _ = meminfo(out + '/initramfs', 'launcher.only=shell')
    beside, up = meminfo(out + '/initramfs', '')
    if not alone or up < ON_BOARD:
        report.say(f'The board {BOARD} failed: {up} of {ON_BOARD} containers were up.')
        return
    each = {name: number((beside[name] - alone[name]) / up) for name in alone}
    total = number((alone['MemFree'] - beside['MemFree']) / up)
    report.say(f'On {BOARD}, with 64 MiB, the kernel of Debian leaves {alone["MemTotal"] / 1024:.0f} MiB. Of these, '
               f'{alone["MemFree"] / 1024:.1f} MiB are free while the launcher runs a prompt alone, and '
               f'{beside["MemFree"] / 1024:.1f} MiB with {up} containers beside it: {total} KiB for each, the program included. '
               f'Of them {each["AnonPages"]} KiB are of processes, {each["SUnreclaim"]} slabs of the kernel, '
               f'{each["SReclaimable"]} slabs that it would give back, {each["KernelStack"]} kernel stacks, '
               f'{each["PageTables"]} page tables, {each["Percpu"]} for its CPUs.')
    report.say()


def measure(report):
    launchers = prepare(COUNTS, COUNTS[-1])
    rows = contestants(launchers)
    kept = {name: {} for name in rows}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is held ends too
    fair()
    with open(LOG, 'a') as log:
        for count in COUNTS:
            for name, contestant in rows.items():
                kept[name][count] = hold(name, contestant, count, log)
    most = COUNTS[-1]

    def cells(count, what):
        return {name: number(median([found[what] for found in of[count]])) if of[count] else 'failed' for name, of in kept.items()}
    report.part('Memory', f'{most} containers of a program that only waits, once, for nothing here depends on the time. For each of them: '
                'the memory (PSS) of all processes but that program, so of those that start, watch and reap it; then the memory of the '
                'kernel that is charged to the cgroups of them all, for that program too. An init alone makes no container. The floor, '
                'a PID 1 in each container and one process above them, is a program of ours that makes the system calls for namespaces '
                'and a root, without a cgroup.')
    report.compare(f'KiB for each of {most}', {name: [found[PSS] for found in of[most]] for name, of in kept.items()}, OURS,
                   [FLOOR, *INITS], [(f'of {count}', cells(count, PSS)) for count in COUNTS[-2::-1]] +
                   [('kernel', cells(most, KERNEL)), ('processes', cells(most, PROCESSES))])
    plot(OUT + '/memory.svg', 'Memory beside the workload, for each of N containers', 'KiB',
         {name.split(',')[0]: [(count, found[0][PSS]) for count, found in of.items() if found]
          for name, of in kept.items() if name not in (FOREGROUND, *INITS[1:])})
    device(report)
