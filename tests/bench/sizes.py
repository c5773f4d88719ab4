"""What has to be on a device: the bytes of the launcher, and of its peers with all shared objects that are loaded for them."""
import os
import re
import shutil
import subprocess

from report import ARCH, LOG, number
from harness import tool

BOARDS = {'x86_64': 'qemu-x86_64', 'aarch64': 'qemu-aarch64', 'armv7': 'qemu-armv7'}
PEERS = (  # name, what it is for, package -> programs
    ('crun', 'starts', {'crun': ['crun']}),
    ('runc', 'starts', {'runc': ['runc']}),
    ('bubblewrap', 'starts', {'bubblewrap': ['bwrap']}),
    ('unshare', 'starts', {'util-linux': ['unshare']}),
    ('conmon and crun', 'starts, logs', {'conmon': ['conmon'], 'crun': ['crun']}),
    ('systemd-nspawn', 'starts, PID 1', {'systemd-container': ['systemd-nspawn']}),
    ('lxc-execute and its init', 'starts, PID 1', {'lxc': ['lxc-execute', 'init.lxc']}),
    ('podman, conmon and crun', 'fetches, unpacks, starts, logs', {'podman': ['podman'], 'conmon': ['conmon'], 'crun': ['crun']}),
    ('systemd', 'supervises', {'systemd': ['/lib/systemd/systemd']}),
    ('s6', 'supervises', {'s6': ['s6-svscan', 's6-supervise']}),
    ('runit', 'supervises', {'runit': ['runsvdir', 'runsv']}),
    ('busybox-static', 'supervises, unpacks', {'busybox-static': ['busybox']}),
    ('tini', 'PID 1', {'tini': ['tini']}),
    ('catatonit', 'PID 1', {'catatonit': ['catatonit']}),
    ('dumb-init', 'PID 1', {'dumb-init': ['dumb-init']}),
)


def quietly(*command):
    """Whether it succeeds; what it says goes to the log."""
    with open(LOG, 'a', encoding='utf-8') as log:
        return not subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode


def closure(programs):
    """The files of these programs, and those that their dynamic linker loads."""
    files = set(map(os.path.realpath, programs))
    for program in programs:
        said = subprocess.run(['ldd', program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
        if 'not found' in said:
            raise OSError(f'{program}: ldd: {said}')
        files |= {os.path.realpath(path) for path in re.findall(r'(/\S+) \(0x', said)}
    return files


def peer(packages):
    """(bytes of the programs, bytes with all that they load, files), or None: it can't be had here."""
    found = []
    for package, programs in packages.items():
        if not quietly('images/packages', package):
            return None
        found += [shutil.which(program, path=os.environ['PATH'] + ':/usr/sbin:/sbin') for program in programs]
    if None in found:
        return None
    try:
        files = closure(found)
    except OSError:
        return None
    return sum(map(os.path.getsize, map(os.path.realpath, found))), sum(map(os.path.getsize, files)), len(files)


def measure(report):
    sizes = {}  # name -> what it is for, and what peer() gives
    for arch, board in BOARDS.items():
        built = quietly('make', '-s', 'BOARD=' + board, f'out/{board}/launcher')
        size = os.path.getsize(f'out/{board}/launcher') if built else 0
        sizes[f'**launcher, {arch}**'] = 'unpacks, starts, logs, supervises, PID 1', (size, size, 1) if built else None
    board = BOARDS.get(ARCH)
    if board and sizes[f'**launcher, {ARCH}**'][1]:
        tool('out/' + board, 'counts')
        size = os.path.getsize(f'out/{board}/counts')
        sizes['floor: a program of musl'] = 'waits', (size, size, 1)
    for name, work, packages in PEERS:
        sizes[name] = work, peer(packages)
    ours = (sizes.get(f'**launcher, {ARCH}**', (None, None))[1] or [float('nan')])[0]
    report.part('Size', 'KiB of stripped programs, and with every shared object that the dynamic linker loads for them, each counted '
                'once. What they execute or load later is not counted: helpers, modules, a shell, configuration. The peers are those of '
                f'{ARCH}, as Debian builds them; the last column is beside the launcher of that machine.')
    rows = []
    for name, (work, size) in sizes.items():
        cells = ['failed', '', '', ''] if not size else [number(size[0] / 1024), number(size[1] / 1024), size[2], number(size[1] / ours)]
        rows.append([name, work, *cells])
    report.table(['', 'does', 'programs', 'with shared objects', 'files', '/ launcher'], rows)
