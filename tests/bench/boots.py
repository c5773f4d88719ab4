"""
From the kernel's last word, "Run /init as init process", to the first one of a workload in a container whose image has to
be unpacked before. The boards in QEMU count instructions instead of time, so each boot takes as long as the one before.
"""
import glob
import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from report import LOG, OUT, ROUNDS, output, run, write
from harness import Program, make

BOARDS = {'qemu-x86_64': ('x86_64', 'amd64'), 'qemu-aarch64': ('aarch64', 'arm64'), 'qemu-armv7': ('armv7', 'armhf')}
PLACE = OUT + '/boots'
BOOTS = 1 + (ROUNDS > 3) + (ROUNDS > 9)
MEMORY = '256'
COUNTED = '-icount shift=0,sleep=off -seed 1 -rtc base=2026-01-01,clock=vm'  # one instruction takes 1 ns; what is random repeats
FLOORS = 'floor', 'init that'  # how their names begin
SLOW = 600  # seconds of ours for a step of a boot
DIRECTORIES = 'bin dev etc images lib proc run sys tmp usr var'.split()

NOTES = (
    'From the kernel\'s "Run /init as init process" to the first line of a workload in a container whose image is unpacked',
    'before, by the clock of the kernel\'s log. Kernel, image and kind of initramfs are the same for all, and there are no modules.',
    'QEMU counts instructions: each takes 1 ns, so a boot repeats, and caches, memory and other CPUs do not count. The floor is',
    '`tests/bench/init.c`, which checks nothing; with the digest it reads each byte as the launcher does before it uses any.',
    'The containers of busybox have neither users of their own nor a filter of system calls, and keep all capabilities; those of',
    'crun have no filter. systemd has no units but the two that this takes, none of Debian\'s; its container has users of its own,',
    'no capability and a filter, but all devices can be seen. None of the peers checks the image.')

# Busybox: what is the same for all of its rows, and what has the image unpacked and the container started.
RC = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
[ ! -e /modules/load ] || while read -r module parameters; do insmod "/modules/$module" $parameters; done </modules/load
echo '+memory +pids +cpu' >/sys/fs/cgroup/cgroup.subtree_control
mkdir /run/root
mount -t tmpfs -o mode=755 tmpfs /run/root
lz4 -dc /images/bench.img | tar -x -C /run/root
mount -o remount,ro /run/root
"""
CHROOT = """#!/bin/sh
cd /sys/fs/cgroup
mkdir first
echo 16777216 >first/memory.max
echo 8 >first/pids.max
echo '100000 100000' >first/cpu.max
echo 0 >first/cgroup.procs
cd /run/root
exec unshare -m -n -u -i -p -f sh -c 'hostname first; mount -t proc proc proc; mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev; mknod -m 666 dev/null c 1 3; mknod -m 666 dev/zero c 1 5; mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8; mknod -m 666 dev/urandom c 1 9; mknod -m 666 dev/tty c 5 0; mknod -m 666 dev/kmsg c 1 11
mkdir dev/pts dev/shm; mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts; mount -t tmpfs tmpfs dev/shm
exec chroot . /bin/first'
"""
CRUN = """#!/bin/sh
exec crun --cgroup-manager=cgroupfs run --no-pivot -b /bundle first
"""


# systemd: no units but these; the container has what it gives without a root of its own distribution.
UNPACK = """[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mkdir -p /run/root && mount -t tmpfs -o mode=755 tmpfs /run/root && \\
lz4 -dc /images/bench.img | tar -x -C /run/root && mount -o remount,ro /run/root'
"""
FIRST = """[Unit]
DefaultDependencies=no
Requires=unpack.service
After=unpack.service
[Service]
ExecStart=/bin/first
RootDirectory=/run/root
MountAPIVFS=yes
PrivateNetwork=yes
PrivateIPC=yes
PrivateUsers=yes
ProtectHostname=yes
ProtectProc=invisible
ProtectKernelTunables=yes
ProtectControlGroups=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
SystemCallFilter=@system-service
DevicePolicy=closed
DeviceAllow=/dev/kmsg w
MemoryMax=16M
TasksMax=8
CPUQuota=100%
"""


def bundle():
    """What crun is told: the row of boots.h in its words, as far as it has them."""
    kmsg = {'path': '/dev/kmsg', 'type': 'c', 'major': 1, 'minor': 11, 'fileMode': 0o666}
    ids = [{'containerID': 0, 'hostID': 0x10000000, 'size': 65536}]

    def at(path, kind, *options):
        return {'destination': path, 'type': kind, 'source': kind, 'options': ['nosuid', *options]}
    return json.dumps({
        'ociVersion': '1.0.0',
        'process': {'user': {'uid': 0, 'gid': 0}, 'args': ['/bin/first'], 'env': ['PATH=/bin'], 'cwd': '/', 'noNewPrivileges': True,
                    'capabilities': {kind: [] for kind in ('bounding', 'effective', 'permitted')}},
        'root': {'path': '/run/root', 'readonly': True}, 'hostname': 'first',
        'mounts': [at('/proc', 'proc'), at('/sys', 'sysfs', 'ro'), at('/dev', 'tmpfs', 'mode=755'),
                   at('/dev/pts', 'devpts', 'newinstance', 'ptmxmode=0666'), at('/dev/shm', 'tmpfs', 'mode=1777')],
        'linux': {
            'namespaces': [{'type': kind} for kind in ('pid', 'network', 'ipc', 'uts', 'mount', 'cgroup', 'user')],
            'uidMappings': ids, 'gidMappings': ids, 'devices': [kmsg],
            'resources': {'memory': {'limit': 16 << 20}, 'pids': {'limit': 8}, 'cpu': {'quota': 100000, 'period': 100000},
                          'devices': [{'allow': False, 'access': 'rwm'},
                                      {'allow': True, 'type': 'c', 'major': 1, 'minor': 11, 'access': 'w'}]},
        },
    })


def packages(arch, *names):
    """The files of Debian's packages of that architecture, with what they need."""
    root = '-'.join([f'{PLACE}/debian', arch, *names])
    if not os.path.exists(root):
        archives = os.path.abspath(root + '.archives')
        os.makedirs(archives + '/partial', exist_ok=True)
        run('images/apt', arch, 'apt-get', '-qq', '-y', '--no-install-recommends', '-o', 'Dir::Cache::archives=' + archives,
            'install', '--download-only', *names, stdout=subprocess.DEVNULL)
        shutil.rmtree(root + '.partial', ignore_errors=True)
        for package in glob.glob(archives + '/*.deb'):
            run('dpkg-deb', '-x', package, root + '.partial')
        os.rename(root + '.partial', root)
    return root


def libraries(debian, program, found):
    """The paths below debian of all that the dynamic loader opens for a program."""
    said = output('readelf', '-ld', f'{debian}/{program}')
    loader = re.findall(r'interpreter: /(.*)\]', said)
    for name in loader + re.findall(r'NEEDED.*\[(.*)\]', said):
        paths = [name] if name in loader else [os.path.relpath(path, debian) for pattern in ('lib/*/', 'usr/lib/*/', 'usr/lib/*/systemd/')
                                               for path in glob.glob(f'{debian}/{pattern}{name}')]
        for path in paths[:1]:
            if path not in found:
                found.add(path)
                libraries(debian, path, found)
    return found


class Tree:
    """What an initramfs will hold, as one of the boards needs it."""

    def __init__(self, board, name):
        self.board, self.name, self.root = board, name, f'{PLACE}/{board}/tree-{name}'
        shutil.rmtree(self.root, ignore_errors=True)
        for directory in DIRECTORIES:
            os.makedirs(f'{self.root}/{directory}')

    def put(self, source, path):
        os.makedirs(os.path.dirname(f'{self.root}/{path}'), exist_ok=True)
        shutil.copy(source, f'{self.root}/{path}')

    def write(self, path, text):
        write(f'{self.root}/{path}', text, 0o755)

    def link(self, to, path):
        os.symlink(to, f'{self.root}/{path}')

    def pack(self):
        """As board/initramfs does: lz4, of the kernel's kind."""
        file = f'{self.root}.cpio.lz4'
        with open(file, 'wb') as to:
            run('sh', '-c', 'find . -mindepth 1 -print0 | LC_ALL=C sort -z | '
                'cpio --quiet --null -o -H newc -R 0:0 --reproducible | lz4 -q -l -12', cwd=self.root, stdout=to)
        shutil.rmtree(self.root)
        return file


class Board:
    """One of the boards: what its contestants need is built, then each has an initramfs."""

    def __init__(self, name):
        self.name = name
        self.arch, self.debian_arch = BOARDS[name]
        self.out = f'{PLACE}/{name}'
        self.image = self.out + '/bench.img'
        run('board/kernel', self.arch)
        make('BOARD=' + name, 'O=' + self.out, 'CONFIG=tests/bench/boots.h', self.out + '/launcher')
        with open(self.out + '/flags') as file:
            compiler = file.read().split()[0]
        run('sh', '-c', f"sed -n '/^.. ---- 5  digest/,/^.. ---- 6/{{/---- 6/!p}}' launcher.c >{self.out}/digest.h")
        for program, more in ('first', ()), ('init', (f'{self.out}/lib/lz4.o',)):
            run(compiler, '-std=gnu11', '-O2', '-s', '-Wall', '-Wextra', '-Werror', '-isystem', 'out/src/lz4/lib',
                '-isystem', self.out, '-o', f'{self.out}/{program}', f'tests/bench/{program}.c', *more)
        self.debian = packages(self.debian_arch, 'busybox-static', 'crun', 'lz4')
        self.systemd = packages(self.debian_arch, 'systemd')
        self.pack()

    def pack(self):
        """The image: a root as busybox and a C library make it."""
        root = self.out + '/root'
        shutil.rmtree(root, ignore_errors=True)
        for directory in 'bin', 'dev', 'etc', 'proc', 'run', 'sys', 'tmp', 'var':
            os.makedirs(f'{root}/{directory}')
        for program in f'{self.debian}/bin/busybox', self.out + '/first':
            shutil.copy(program, root + '/bin')
        for name in set(output('busybox', '--list').split()) - {'busybox'}:
            os.symlink('busybox', f'{root}/bin/{name}')
        shutil.copytree(self.debian + '/lib', root + '/lib', symlinks=True)
        run('images/pack', '--arch', self.arch, root, '-o', self.image)
        run('sh', '-c', f'lz4 -q -dc {self.image} | lz4 -q -12 -B4 -BD --no-frame-crc >{self.out}/bench.tar.lz4')
        self.files = sum(len(names) + len(files) for _, names, files in os.walk(root))
        self.bytes = int(output('du', '-sb', root).split()[0])

    def tree(self, name, init, image=None):
        tree = Tree(self.name, name)
        tree.put(image or self.image, 'images/bench.img')
        tree.put(f'{self.out}/{init}', 'init')
        return tree

    def busybox(self, name, start, *programs):
        tree = Tree(self.name, name)
        tree.put(self.image, 'images/bench.img')
        tree.put(self.debian + '/bin/busybox', 'bin/busybox')
        tree.link('bin/busybox', 'init')
        for applet in 'sh', 'mount', 'mkdir', 'tar', 'unshare', 'chroot', 'mknod', 'hostname', 'insmod', 'init':
            tree.link('busybox', 'bin/' + applet)
        for program in programs:
            tree.put(f'{self.debian}/usr/bin/{program}', 'bin/' + program)
            for library in libraries(self.debian, 'usr/bin/' + program, set()):
                tree.put(f'{self.debian}/{library}', library)
        tree.write('etc/inittab', '::sysinit:/etc/rc\n::once:/etc/start\n')
        tree.write('etc/rc', RC)
        tree.write('etc/start', start)
        tree.write('bundle/config.json', bundle())
        return tree

    def with_systemd(self):
        tree = Tree(self.name, 'systemd')
        tree.put(self.image, 'images/bench.img')
        tree.put(self.debian + '/bin/busybox', 'bin/busybox')
        for applet in 'sh', 'mount', 'mkdir', 'tar':
            tree.link('busybox', 'bin/' + applet)
        for debian, program in (self.debian, 'usr/bin/lz4'), (self.systemd, 'lib/systemd/systemd'):
            for file in program, *libraries(debian, program, set()):
                tree.put(f'{debian}/{file}', file)
        tree.link('lib/systemd/systemd', 'init')
        tree.write('etc/systemd/system/default.target', '[Unit]\nWants=first.service\n')
        tree.write('etc/systemd/system/unpack.service', UNPACK)
        tree.write('etc/systemd/system/first.service', FIRST)
        return tree

    def contestants(self):
        """Name -> initramfs, and words on the kernel's command line."""
        only = self.tree('only', 'init')
        only.put(self.out + '/first', 'bin/first')
        floor = self.tree('floor', 'init').pack()
        return {
            'floor': (floor, ''),
            'floor, with the digest of the image': (floor, '-- digest'),
            'launcher': (self.tree('launcher', 'launcher').pack(), ''),
            'launcher, image without a header': (self.tree('plain', 'launcher', self.out + '/bench.tar.lz4').pack(), ''),
            'busybox init: lz4 | tar, unshare, chroot': (self.busybox('chroot', CHROOT, 'lz4').pack(), ''),
            'busybox init: lz4 | tar, crun': (self.busybox('crun', CRUN, 'lz4', 'crun').pack(), ''),
            'systemd: lz4 | tar, a service with that root': (self.with_systemd().pack(), 'systemd.show_status=no'),
            'init that executes the workload, and no more': (only.pack(), '-- only'),
        }


def boot(board, initramfs, words):
    """How long it takes, in ms; None if it does not come to its end."""
    environment = {**os.environ, 'NET': 'none', 'INITRD': initramfs, 'MEMORY': MEMORY, 'QEMU_ARGS': COUNTED,
                   'APPEND': 'loglevel=7 printk.time=1 printk.devkmsg=on ' + words}
    stamp = r'^\[ *([\d.]+)\] '
    with Program([f'board/{board}/run'], env=environment) as machine:
        began = machine.expect(stamp + 'Run /init as init process', SLOW)
        ended = began and machine.expect(stamp + 'bench: the workload runs', SLOW)
        if not ended:
            with open(LOG, 'a') as log:
                log.write(f'{board}, {initramfs}:\n{machine.text}\n')
            return None
    return (float(ended[1]) - float(began[1])) * 1000


def measure(report):
    run('images/packages', 'busybox-static', 'binutils', 'cpio', 'lz4')
    os.makedirs(PLACE, exist_ok=True)
    report.part('Boot', *NOTES)
    for name in BOARDS:
        board = Board(name)
        rows = board.contestants()
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            taken = list(pool.map(lambda row: (row[0], boot(name, *row[1])), list(rows.items()) * BOOTS))
        samples = {row: [ms for of, ms in taken if of == row and ms is not None] for row in rows}
        report.say(f'{name}: an image of {board.files} entries, {board.bytes / 1e6:.1f} MB, '
                   f'{os.path.getsize(board.image) / 1e6:.1f} MB packed.')
        report.say()
        report.compare('ms', samples, [row for row in rows if row.startswith('launcher')], [row for row in rows if row.startswith(FLOORS)])
