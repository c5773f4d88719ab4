"""
How long an image takes to unpack, beside lz4 | tar and bsdtar, and beside unpack.c, which does no more than any unpacker
has to. Each run fills a tmpfs of its own; all have to make the same tree.
"""
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import time

from report import ARCH, LOG, OUT, ROUNDS, fair, median, output, run
from harness import make

KEY = OUT + '/key'
LAUNCHER = OUT + '/launcher'  # knows the key, if there are keys: all of its images have to be signed
FLOOR = OUT + '/floor'
PLACE = OUT + '/tmpfs'
ROOT = PLACE + '/root'
CPUS = os.sched_getaffinity(0)
ENTRY_COST = 16000  # making an entry takes as long as writing so many bytes


def newer(file, *than):
    return os.path.exists(file) and all(os.path.getmtime(file) >= os.path.getmtime(t) for t in than)


# -- what is unpacked, and by what --

def debian():
    """The root of a Debian minbase system."""
    root = OUT + '/debian'
    if not os.path.exists(root):
        run('images/packages', 'debootstrap', 'ca-certificates')
        arch = output('dpkg', '--print-architecture').strip()
        mirror, suite = output('images/apt', arch, 'apt-get', 'indextargets', '--format',
                               '$(REPO_URI) $(CODENAME)', 'Created-By: Packages').split()[:2]
        shutil.rmtree(root + '.partial', ignore_errors=True)
        with open(OUT + '/debootstrap.log', 'w') as log:
            run('debootstrap', '--variant=minbase', suite, root + '.partial', mirror, stdout=log,
                stderr=subprocess.STDOUT)
        for unused in ('var/cache/apt/archives', 'var/lib/apt/lists', 'var/log'):
            shutil.rmtree(f'{root}.partial/{unused}')
        os.rename(root + '.partial', root)
    return root


def toybox():
    make('images')
    return f'out/images/{ARCH}/toybox/root'


def programs():
    """Builds the contestants that are ours."""
    run('images/packages', 'gcc', 'libc6-dev', 'make', 'lz4', 'tar', 'libarchive-tools')
    run('images/source', 'lz4')
    if os.path.exists('images/keygen') and not os.path.exists(KEY + '.sec'):
        run('images/keygen', KEY, stdout=subprocess.DEVNULL)
    make('BOARD=host')
    make('BOARD=host', 'O=' + OUT, *(['KEYS=' + KEY + '.pub'] if os.path.exists(KEY + '.pub') else []),
         LAUNCHER)
    run('gcc', '-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-isystem', 'out/src/lz4/lib',
        '-o', FLOOR, 'tests/bench/unpack.c', 'out/src/lz4/lib/lz4.c')


def lz4(*options, archive, to):
    with open(to, 'wb') as file:
        subprocess.run(['lz4', '-q', *options, '-c'], input=archive, stdout=file, check=True)


def two_shards(tar, names):
    """Two archives out of one: directories in both; files in one, those of a directory together."""
    archive = memoryview(open(tar, 'rb').read())
    groups, cost, load = {}, {}, [0, 0]
    with tarfile.open(tar) as members:
        members = list(members)
    for m in members:
        group = m.isdir() or os.path.dirname(m.linkname if m.islnk() else m.name)
        end = m.offset_data + (m.size + 511 & ~511 if m.isreg() else 0)
        groups.setdefault(group, []).append(archive[m.offset:end])
        cost[group] = cost.get(group, 0) + m.isreg() * m.size + ENTRY_COST
    shards = [groups[True][:], groups.pop(True)]
    for group in sorted(groups, key=cost.get, reverse=True):
        lighter = load.index(min(load))
        load[lighter] += cost[group]
        shards[lighter] += groups[group]
    for shard, name in zip(shards, names):
        lz4('-9', '-B5', archive=b''.join(shard) + bytes(1024), to=name)


class Input:
    """One root, packed for each of the contestants."""

    def __init__(self, name, root):
        self.name = name
        self.image, self.plain, self.one, *self.two = (
            f'{OUT}/{name}{end}' for end in ('.img', '.tar.lz4', '.floor', '.floor-1', '.floor-2'))
        files = (self.image, self.plain, self.one, *self.two)
        if all(newer(file, root, 'images/pack', __file__) for file in files):
            return
        print(f'packing {name}', flush=True)
        signing = ['--key', KEY + '.sec', '--arch', ARCH] if os.path.exists(KEY + '.sec') else []
        run('images/pack', *signing, root, '-o', self.image)
        tar = f'{OUT}/{name}.tar'
        run('tar', '--sort=name', '--mtime=@0', '--format=posix', '--numeric-owner',
            '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime',
            '-C', root, '-cf', tar, '.')
        with open(tar, 'rb') as file:
            archive = file.read()
        lz4('-9', archive=archive, to=self.plain)
        lz4('-9', '-B5', archive=archive, to=self.one)  # with small blocks the floor is lowest
        two_shards(tar, self.two)
        os.remove(tar)

    def contestants(self):
        """Name -> commands that are piped together, and whether they get one CPU only."""
        rows = {
            'lz4 -dc | tar -x': ([['lz4', '-dc', self.plain], ['tar', '-xf', '-', '-C', ROOT]], False),
            'bsdtar -x': ([['bsdtar', '-xf', self.plain, '-C', ROOT]], False),
            'launcher unpack': ([[LAUNCHER, 'unpack', self.image, ROOT]], False),
            'launcher unpack, one CPU': ([[LAUNCHER, 'unpack', self.image, ROOT]], True),
            'launcher unpack .tar.lz4': ([['out/host/launcher', 'unpack', self.plain, ROOT]], False),
            'floor, one CPU': ([[FLOOR, self.one, ROOT]], True),
            'floor, two processes': ([[FLOOR, *self.two, ROOT]], False),
        }
        if ' verify ' in output(LAUNCHER, 'help'):
            rows['launcher verify'] = ([[LAUNCHER, 'verify', self.image]], False)
        return rows


PEER, UNPACK, BASE, VERIFY = 'lz4 -dc | tar -x', 'launcher unpack', 'floor, one CPU', 'launcher verify'
INPUTS = {'debian': debian, 'toybox': toybox}


# -- what is measured --

def start(commands):
    processes, before = [], subprocess.DEVNULL
    for command in commands:
        to = None if command is commands[-1] else subprocess.PIPE
        with open(LOG, 'a') as log:
            processes.append(subprocess.Popen(command, stdin=before, stdout=to or log, stderr=log))
        if before != subprocess.DEVNULL:
            before.close()
        before = processes[-1].stdout
    return processes


def milliseconds(commands, one_cpu):
    os.sched_setaffinity(0, {min(CPUS)} if one_cpu else CPUS)
    began = time.monotonic()
    processes = start(commands)
    codes = [p.wait() for p in processes]
    took = time.monotonic() - began
    os.sched_setaffinity(0, CPUS)
    if any(codes):
        with open(LOG) as log:
            sys.exit(f'tests/bench/run: {commands} failed:\n{log.read()}')
    return took * 1000


def family(pid):
    """A process and all that descend from it."""
    try:
        with open(f'/proc/{pid}/task/{pid}/children') as file:
            return [pid] + [p for child in file.read().split() for p in family(child)]
    except OSError:
        return []


def peak(pid):
    try:
        with open(f'/proc/{pid}/status') as file:
            return next((int(line.split()[1]) for line in file if line.startswith('VmHWM')), 0)
    except OSError:
        return 0


def memory(commands):
    """VmHWM of each process in KiB, read again and again until it ends."""
    peaks = {}
    process, = start(commands)
    while process.poll() is None:
        for pid in family(process.pid):
            peaks[pid] = max(peaks.get(pid, 0), peak(pid))
        time.sleep(0.0002)
    return peaks.values()


class Tmpfs:
    def __enter__(self):
        run('mount', '-t', 'tmpfs', '-o', 'mode=755,size=1g', 'none', PLACE)
        os.mkdir(ROOT)

    def __exit__(self, *_):
        run('umount', PLACE)


def tree():
    """What is in ROOT, but for device nodes, which the launcher leaves out, and times."""
    found = {}
    for directory, names, files in os.walk(ROOT):
        for path in (os.path.join(directory, name) for name in names + files):
            st, content = os.lstat(path), b''
            if stat.S_ISLNK(st.st_mode):
                content = os.fsencode(os.readlink(path))
            elif stat.S_ISREG(st.st_mode):
                with open(path, 'rb') as file:
                    content = hashlib.blake2b(file.read()).digest()
            if not stat.S_ISBLK(st.st_mode) and not stat.S_ISCHR(st.st_mode):
                links = 0 if stat.S_ISDIR(st.st_mode) else st.st_nlink
                found[path] = st.st_mode, st.st_uid, st.st_gid, links, content
    return found


def warm_up(rows):
    """One run of each, which is not counted: what it makes is compared. Returns the tree."""
    first = None
    for name, (commands, one_cpu) in rows.items():
        with Tmpfs():
            milliseconds(commands, one_cpu)
            made = tree()
        first = first or made
        if name != VERIFY and made != first:
            differs = sorted(p for p in {*made, *first} if made.get(p) != first.get(p))
            sys.exit(f'tests/bench/run: {name}: another tree than that of {PEER}: {differs[:3]}')
    return first


def compare(report, i):
    rows = i.contestants()
    made = warm_up(rows)
    times = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, row in rows.items():
            with Tmpfs():
                times[name].append(milliseconds(*row))
    with Tmpfs():
        peaks = memory(rows[UNPACK][0])
    size = os.path.getsize(i.image)
    report.say(f'{i.name}: {len(made)} entries; image {size / 1e6:.1f} MB, signed; .tar.lz4 {os.path.getsize(i.plain) / 1e6:.1f} MB. '
               f'The largest of the {len(peaks)} processes of `{UNPACK}` had {max(peaks)} KiB (VmHWM); `{VERIFY}` reads '
               f'{size / 1e3 / median(times[VERIFY]):.0f} MB/s.')
    report.say()
    report.compare('ms', times, [name for name in times if name.startswith('launcher')],
                   [name for name in times if name.startswith('floor')][:1] + [name for name in times if name.startswith('floor')])


def measure(report):
    programs()
    os.makedirs(PLACE, exist_ok=True)
    report.part('Image ready', 'A packed image becomes a tree in a tmpfs; the launcher checks every byte of it before.')
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # others may work on this machine
    for name, root in INPUTS.items():
        compare(report, Input(name, root()))
    fair()
