"""From the start of a container until its `true` has ended and it is cleared away: on this machine, and on a board."""
import contextlib
import glob
import json
import os
import re
import shutil
import subprocess

from report import ARCH, LOG, OUT, ROUNDS, fair, median, number, output, run, write
from restarts import OwnPlace
from harness import Program, hierarchies, make, remove, tool, until

PEERS = {  # package: the program that it has
    'crun': 'crun', 'runc': 'runc', 'bubblewrap': 'bwrap', 'lxc': 'lxc-execute', 'systemd-container': 'systemd-nspawn',
    'util-linux': 'unshare',
}
MEMORY, PIDS, CPU = 64 << 20, 64, 100000  # limits of all who can have one, as in starts.h
UID, IDS = 1000000000, 65536  # of users that nobody else has
LIMITS = {  # cgroup v1: in which hierarchy; v2: in which file
    'memory': [('memory.limit_in_bytes', MEMORY), ('memory.memsw.limit_in_bytes', MEMORY)], 'pids': [('pids.max', PIDS)],
    'cpu': [('cpu.cfs_quota_us', CPU)],
}
V2_LIMITS = [('memory.max', MEMORY), ('memory.swap.max', 0), ('memory.oom.group', 1), ('pids.max', PIDS), ('cpu.max', CPU)]
REFUSED = set('''acct add_key adjtimex bpf clock_adjtime clock_settime delete_module fanotify_init finit_module fsconfig fsmount
    fsopen fspick init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl mount mount_setattr move_mount open_by_handle_at
    open_tree perf_event_open pivot_root process_vm_readv process_vm_writev ptrace quotactl reboot request_key setdomainname
    sethostname setns settimeofday swapoff swapon syslog umount2 unshare userfaultfd vhangup'''.split())
PATIENCE = 600  # seconds that a board may take
V1_ALONE = 'crun', 'systemd-nspawn'
HIDDEN = ('acpi asound interrupts kallsyms kcore keys key-users scsi latency_stats sched_debug timer_list timer_stats').split()
LOCKED = 'bus fs irq pressure sys sysrq-trigger'.split()

RUN, START = 'launcher run tiny.img', 'launcher start, launcher wait'
BARE, CONFINED, ALIKE = 'floor: namespaces, cgroup, mounts', 'floor: and confined', 'floor: and a PID 1 beside it'
OURS, FLOOR = [RUN, START], [ALIKE, CONFINED, BARE]
BARELY = 'fork and exec alone'

NOTES = (
    'From the exec of a command until it is reaped and all that it made is gone; the workload is one system call, without a libc. All have '
    'new namespaces of every kind, limits of memory, tasks and CPU by a cgroup, and what comes nearest to a row that says nothing: users '
    'that are nobody outside, a read-only root, parts of /proc and /sys hidden or read-only, no capability, no new privileges, a filter of '
    'system calls. crun and runc have all of that; LXC hides less of /proc; systemd-nspawn has its own filter, and no limits; bwrap has no '
    'cgroup and hides nothing; unshare(1) makes namespaces, mounts /proc, and that is all. The peers find their root unpacked.',
    f'`{RUN}` verifies the image and unpacks it too, and clears it away. `{START}` is two commands, one after the other, to a supervisor '
    'that keeps the root: each of them starts, asks it by its socket and prints; meanwhile the container starts and ends, which is logged.',
    'The floor is a program that makes the system calls that it takes, and does nothing else: namespaces of all kinds but users, a cgroup '
    'without limits and four mounts; or all that a row has that says nothing; or that and, as the launcher has it, a PID 1 beside the '
    'workload, confined as well. The last one is what ratios to the floor are of.')


# -- what the peers are told --

def bundle(root):
    """The configuration of crun and runc."""
    names = set(re.findall(r'^#define SYS_(\w+) ', output('sh', '-c', 'echo "#include <sys/syscall.h>" | gcc -E -dM -'), re.M))
    ids = [{'containerID': 0, 'hostID': UID, 'size': IDS}]

    def mount(where, what, *options):
        return {'destination': where, 'type': what, 'source': what, 'options': ['nosuid', 'noexec', *options]}
    return {
        'ociVersion': '1.0.0', 'hostname': 'bench', 'root': {'path': root, 'readonly': True},
        'process': {
            'terminal': False, 'user': {'uid': 0, 'gid': 0}, 'args': ['/true'], 'env': ['PATH=/'], 'cwd': '/', 'noNewPrivileges': True,
            'capabilities': {kind: [] for kind in ('bounding', 'effective', 'permitted', 'inheritable', 'ambient')},
            'rlimits': [{'type': 'RLIMIT_NOFILE', 'hard': 4096, 'soft': 4096}, {'type': 'RLIMIT_CORE', 'hard': 0, 'soft': 0}]},
        'mounts': [
            mount('/proc', 'proc', 'nodev'), mount('/sys', 'sysfs', 'nodev', 'ro'), mount('/dev', 'tmpfs', 'mode=755', 'size=64k'),
            mount('/dev/pts', 'devpts', 'newinstance', 'ptmxmode=0666', 'mode=0620'), mount('/dev/shm', 'tmpfs', 'nodev', 'mode=1777')],
        'linux': {
            'namespaces': [{'type': kind} for kind in ('pid', 'network', 'ipc', 'uts', 'mount', 'cgroup', 'user')],
            'uidMappings': ids, 'gidMappings': ids,
            'resources': {'memory': {'limit': MEMORY, 'swap': MEMORY}, 'pids': {'limit': PIDS}, 'cpu': {'quota': CPU, 'period': 100000}},
            'maskedPaths': ['/proc/' + name for name in HIDDEN] + ['/sys/firmware', '/sys/fs/selinux', '/sys/devices/virtual/powercap'],
            'readonlyPaths': ['/proc/' + name for name in LOCKED],
            'seccomp': {'defaultAction': 'SCMP_ACT_ERRNO', 'syscalls': [{'names': sorted(names - REFUSED), 'action': 'SCMP_ACT_ALLOW'}]}}}


def lxc(root, where, v2):
    limits = V2_LIMITS if v2 else [pair for of in LIMITS.values() for pair in of]
    limits = [f'lxc.cgroup{"2" if v2 else ""}.{file} = {value}\n' for file, value in limits]
    return f'''lxc.rootfs.path = dir:{root}
lxc.rootfs.options = ro
lxc.mount.auto = proc:mixed sys:ro
lxc.net.0.type = empty
lxc.idmap = u 0 {UID} {IDS}
lxc.idmap = g 0 {UID} {IDS}
lxc.cap.keep = none
lxc.no_new_privs = 1
lxc.apparmor.profile = unconfined
lxc.seccomp.profile = {where}/seccomp
lxc.uts.name = bench
{''.join(limits)}'''


def floor_words(v2):
    """Where the floor makes cgroups as the launcher does, with which limits."""
    if v2:
        return ['-g', '/sys/fs/cgroup', *(f'-w {file}={value}' for file, value in V2_LIMITS), '-d']
    words = []
    for place in hierarchies():
        name = os.path.basename(place)
        if name in LIMITS or name == 'unified':
            limits = [(file, value) for file, value in LIMITS.get(name, []) if os.path.exists(f'{place}/{file}')]
            words += ['-g', place, *(f'-w {file}={value}' for file, value in limits)]
            words += ['-d'] if name == 'unified' else []
    return words


def contestants(where, launcher, v2, found):
    """Name -> command, as turns.c takes it; found: program -> path of those peers that are there."""
    root, cgroup = where + '/root', '/sys/fs/cgroup' + ('' if v2 else '/unified')
    confined = ' '.join([where + '/floor', *floor_words(v2), '-c', str(UID)])
    rows = {
        RUN: f'{launcher} run {where}/tiny.img',
        START: f'{launcher} start nothing ; {launcher} wait nothing',
        BARELY: f'{root}/true',
        BARE: f'{where}/floor -g {cgroup} {root} /true',
        CONFINED: f'{confined} {root} /true',
        ALIKE: f'{confined} -i {root} /true',
    }
    peers = {
        'crun': f'crun --cgroup-manager=cgroupfs run -b {where}/bundle bench-%',
        'runc': f'runc run -b {where}/bundle bench-%',
        'bwrap': f'bwrap --unshare-all --unshare-user --uid 0 --gid 0 --cap-drop ALL --new-session --die-with-parent --hostname bench '
                 f'--ro-bind {root} / --proc /proc --dev /dev --seccomp 9 9<{where}/filter /true',
        'lxc-execute': f'lxc-execute -n bench-% -f {where}/lxc.conf -- /true',
        'systemd-nspawn': 'systemd-nspawn -q --register=no --keep-unit --private-network --private-users=1000013824:65536 '
                          f'--drop-capability=all --no-new-privileges=yes --read-only -D {root} /true',
        'unshare': f'unshare --mount --pid --net --uts --ipc --cgroup --user --map-root-user --fork --mount-proc --root={root} /true',
    }
    return {**rows, **{name: found[name] + command[len(name):] for name, command in peers.items() if name in found}}


# -- the two places --

def parts(where, target, v2, launcher_of):
    """Fills a directory with all that the contestants need when they see it as `target`."""
    os.makedirs(where + '/bundle', exist_ok=True)
    for name in 'floor', 'turns':
        tool(launcher_of, 'bench/' + name)
        if launcher_of != where:
            shutil.copy(f'{launcher_of}/{name}', where)
    shutil.rmtree(where + '/root', ignore_errors=True)
    for name in 'dev', 'proc', 'sys', 'run', 'tmp', 'etc', 'usr', 'var':
        os.makedirs(f'{where}/root/{name}')
    for name, call in ('true', 'SYS_exit_group'), ('pause', 'SYS_ppoll'):
        run('gcc', '-nostdlib', '-static', '-Os', '-s', '-Wall', '-Wextra', '-Werror', '-Wl,--build-id=none', '-DCALL=' + call,
            '-o', f'{where}/root/{name}', 'tests/bench/true.c')
    run('images/pack', '--arch', ARCH, where + '/root', '-o', where + '/tiny.img', '--', '/true')
    with open(where + '/filter', 'wb') as file:
        run(where + '/floor', '-s', stdout=file)
    write(where + '/bundle/config.json', json.dumps(bundle(target + '/root')))
    write(where + '/lxc.conf', lxc(target + '/root', target, v2))
    write(where + '/seccomp', '2\ndenylist\n[all]\n' + ''.join(f'{call} errno 1\n' for call in sorted(REFUSED)))


def found_here():
    """program -> path, and a sentence for those that can't be had."""
    there, missing = {}, []
    for package, program in PEERS.items():
        done = subprocess.run(['images/packages', package], stderr=subprocess.PIPE, text=True)
        if done.stderr:
            print(done.stderr, end='', flush=True)
        path = shutil.which(program)
        if path:
            there[program] = path
        else:
            missing.append(f'`{program}` could not be had: {done.stderr.strip().splitlines()[-1] if done.stderr else "no such program"}.')
    return there, missing


def samples(text, names):
    """What turns.c has printed: name -> times, and name -> why it has none."""
    lines = dict(re.findall(r'^turns: (.*)\t(.*?) *\r?$', text, re.M))
    failed = {name: lines.get(name, 'failed: it said nothing') for name in names if not re.match(r'[\d. ]+$', lines.get(name, ''))}
    return {name: [] if name in failed else [float(word) for word in lines[name].split()] for name in names}, failed


def tell(report, names, text, missing):
    taken, failed = samples(text, names)
    bare = median(taken[BARE])
    report.compare('ms', taken, OURS, FLOOR + [BARELY], [('/ bare floor', {
        name: number(median(times) / bare) for name, times in taken.items() if times and bare == bare})])
    for name, why in failed.items():
        report.say(f'`{name}` {why.replace("|", "/")}.')
    for sentence in missing:
        report.say(sentence)
    if failed or missing:
        report.say()


@contextlib.contextmanager
def tidy():
    """Removes what systemd-nspawn and LXC leave at the top of hierarchies."""
    def left():
        return {path for name in ('payload', 'supervisor', 'lxc.pivot') for path in glob.glob('/sys/fs/cgroup/*/' + name)}
    before = left()
    try:
        yield
    finally:
        for path in left() - before:
            remove(path)


@contextlib.contextmanager
def v1_alone(v2):
    """
    A mount namespace without v2: crun refuses a hybrid in which v2 has a controller, systemd-nspawn one whose top is hidden.
    Gives the word by which turns.c enters it.
    """
    if v2:
        yield ''
        return
    hide = ('mount --make-rprivate / && mount -t tmpfs none /sys/fs/cgroup/unified && { umount /sys/fs/cgroup/systemd || :; } && '
            'echo done && exec sleep 1000')
    with subprocess.Popen(['unshare', '--mount', 'sh', '-c', hide], stdout=subprocess.PIPE) as keeper:
        try:
            keeper.stdout.readline()
            yield f'@/proc/{keeper.pid}/ns/mnt '
        finally:
            keeper.kill()


def on_this_machine(report, found, missing):
    where = os.path.abspath(OUT + '/starts')
    make('BOARD=host', f'O={OUT}/starts', 'CONFIG=tests/bench/starts.h', OUT + '/starts/launcher')
    v2 = os.path.exists('/sys/fs/cgroup/cgroup.controllers')
    parts(where, where, v2, where)
    launcher = where + '/launcher'
    with tidy(), OwnPlace(), v1_alone(v2) as view, open(LOG, 'a') as log:
        rows = contestants(where, launcher, v2, {name: view + path if name in V1_ALONE else path for name, path in found.items()})
        write(where + '/list', ''.join(f'{name}\t{command}\n' for name, command in rows.items()))
        with subprocess.Popen([launcher, 'up', where], stdin=subprocess.DEVNULL, stdout=log, stderr=log) as up:
            try:
                until(lambda: os.path.exists('/run/launcher/control'))
                text = output(where + '/turns', where + '/list', os.path.abspath(LOG), str(4 * ROUNDS))
            finally:
                up.terminate()
    how = 'cgroup v2' if v2 else 'limits in hierarchies of cgroup v1, v2 beside them; crun and systemd-nspawn refuse that, and see v1 alone'
    report.say(f'On this machine, {how}; {4 * ROUNDS} rounds:')
    report.say()
    tell(report, rows, text, missing)


def with_libraries(program):
    """The files that a program needs, as the loader finds them; of LXC also its init for containers."""
    said = subprocess.run(['ldd', program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    more = glob.glob('/usr/sbin/init.lxc*') if program.endswith('lxc-execute') else []
    return [program, *more, *re.findall(r'(/\S+) \(0x', said), *(file for name in more for file in with_libraries(name))]


def initramfs(board, out, found):
    """A launcher for the board, turns.c before it, and the peers."""
    make(f'BOARD={board}', f'O={out}', 'CONFIG=tests/bench/starts.h', out + '/launcher')
    top = out + '/top'
    shutil.rmtree(top, ignore_errors=True)
    parts(top + '/bench', '/bench', True, out)
    rows = contestants('/bench', '/launcher', True, found)
    write(top + '/bench/list', ''.join(f'{name}\t{command}\n' for name, command in rows.items()))
    shutil.copy(out + '/launcher', top)
    for file in sorted({file for program in found.values() for file in with_libraries(program)}):
        os.makedirs(top + os.path.dirname(file), exist_ok=True)
        shutil.copy(file, top + file)
    for place in glob.glob('/usr/lib/*/lxc/rootfs'):
        os.makedirs(top + place)
    os.makedirs(top + '/var/lib/lxc')
    write(top + '/usr/lib/os-release', 'ID=bench\n')  # systemd-nspawn shows it to containers
    write(top + '/etc/machine-id', '1' * 32 + '\n')
    run('board/initramfs', board, '-o', out + '/initramfs', out + '/turns', top + '/bench/tiny.img')
    with open(out + '/initramfs', 'ab') as archive:
        run('find . | cpio -o -H newc --quiet | lz4 -qlf - -', shell=True, cwd=top, stdout=archive)
    return rows


def on_a_board(report, found, missing):
    board = 'qemu-' + ARCH
    out = f'{OUT}/starts/{board}'
    rows = initramfs(board, out, found)
    environment = {**os.environ, 'NET': 'none', 'MEMORY': '768', 'INITRD': out + '/initramfs',
                   'QEMU_ARGS': '-icount shift=0,sleep=off', 'APPEND': f'launcher.log=kmsg rounds={ROUNDS}'}
    with Program([f'board/{board}/run'], env=environment) as qemu:
        qemu.end(PATIENCE)
        text = qemu.text
    write(out + '/console', text)
    version = os.listdir(f'out/kernel/{ARCH}/lib/modules')[0]
    report.say(f'On {board}, Linux {version}, cgroup v2; the launcher is PID 1 of it. QEMU counts: an instruction takes 1 ns, and no other '
               f'work on this machine matters. {ROUNDS} rounds:')
    report.say()
    tell(report, rows, text, missing)


def measure(report):
    run('images/packages', 'gcc', 'libc6-dev')
    found, missing = found_here()
    fair()
    report.part('Start to exit of `true`', *NOTES)
    on_this_machine(report, found, missing)
    on_a_board(report, found, missing)
