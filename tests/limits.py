"""
What tests/container and tests/boot share about limits: the policy of tests/limits.h, on a machine
whose shell is given. A machine has: sh(COMMAND), which returns output and exit status; `launcher`, how its shell calls it;
`disk`; `architecture`;
`version` of most of its cgroups; `lacking`, rows that it can't have, and why; `what`, a prefix.
"""
import re
import time

from harness import equal, match, note, ok, ps_rows, until

SLOW = 60  # seconds, on an emulated machine

KNOBS = (  # row, file of v2, what it says, controller and file of v1, what it says
    ('full', 'memory.max', '8388608', 'memory', 'memory.limit_in_bytes', '8388608'),
    ('full', 'memory.swap.max', '1048576', 'memory', 'memory.memsw.limit_in_bytes', '9437184'),
    ('full', 'memory.oom.group', '1', '', '', ''),
    ('full', 'pids.max', '8', 'pids', 'pids.max', '8'),
    ('full', 'cpu.max', '50000 100000', 'cpu', 'cpu.cfs_quota_us', '50000'),
    ('full', 'cpu.max.burst', '20000', 'cpu', 'cpu.cfs_burst_us', '20000'),
    ('full', 'cpu.weight', '250', 'cpu', 'cpu.shares', '2560'),
    ('full', 'cpuset.cpus', '0', 'cpuset', 'cpuset.cpus', '0'),
    ('full', 'cpuset.mems', '0', 'cpuset', 'cpuset.mems', '0'),
    ('full', 'io.max', r'\d+:\d+ rbps=4194304 wbps=2097152 riops=100 wiops=50', 'blkio', 'blkio.throttle.read_bps_device', r'\d+:\d+ 4194304'),
    ('full', '', '', 'blkio', 'blkio.throttle.write_bps_device', r'\d+:\d+ 2097152'),
    ('full', '', '', 'blkio', 'blkio.throttle.read_iops_device', r'\d+:\d+ 100'),
    ('full', '', '', 'blkio', 'blkio.throttle.write_iops_device', r'\d+:\d+ 50'),
    ('weighed', 'io.bfq.weight', '(default )?300', 'blkio', 'blkio.bfq.weight', '(default )?300'),
    ('idle', 'cpu.idle', '1', 'cpu', 'cpu.idle', '1'),
    ('guarded', 'memory.max', '4194304', '', '', ''),
    ('guarded', 'memory.high', '3145728', '', '', ''),
    ('guarded', 'memory.low', '2097152', '', '', ''),
    ('guarded', 'memory.min', '1048576', '', '', ''),
    ('.', 'memory.low', '4194304', '', '', ''),
    ('.', 'memory.min', '2097152', '', '', ''),
    ('tolerant', 'memory.max', '5242880', 'memory', 'memory.limit_in_bytes', '5242880'),
    ('huge', 'hugetlb.2MB.max', '4194304', 'hugetlb', 'hugetlb.2MB.limit_in_bytes', '4194304'),
    ('other', 'cpuset.cpus', '', 'cpuset', 'cpuset.cpus', r'0(-\d+)?'),  # of v1: its parent's
    ('other', 'cpu.weight', '100', 'cpu', 'cpu.shares', '1024'),
)
REFUSED = (  # row, what its note says
    ('absent', r'/dev/absent: No such file or directory'),
    ('false', r'/dev/null: it is not the device that the policy names'),
    ('nodir', r'/dev/\.: it is no device'),
    ('raw', r'pids\.least = 1: No such file or directory'),
    ('cpus', r'cpuset\.cpus = one: Invalid argument'),
)
PROBES = (('kmsg', 1, 11), ('loop', 10, 237), ('tun', 10, 200), ('end', 1, 3))


def rows(m):
    return ps_rows(m.sh(f'{m.launcher} ps | cat')[0])


def reaches(m, name, state, remark=''):
    def there():
        row = rows(m).get(name)
        return row and row[0] == state and re.search(remark, row[2])
    return ok(until(there, SLOW), f'{m.what}{name}: {state} {remark}'.rstrip(), rows(m).get(name))


def place(m, name, v2, controller, v1):
    """Where a file of a row's cgroup is: its version and its path, or 0."""
    for version, path in ((2, f'/sys/fs/cgroup/launcher/{name}/{v2}'), (2, f'/sys/fs/cgroup/unified/launcher/{name}/{v2}'),
                          (1, f'/sys/fs/cgroup/{controller}/launcher/{name}/{v1}')):
        if (v2, v1)[version == 1] and m.sh(f'[ -f {path} ]')[1] == 0:
            return version, path
    return 0, ''


def read(m, name, v2, controller, v1):
    return m.sh(f'cat {place(m, name, v2, controller, v1)[1]}')[0].strip()


def knobs(m):
    """Each limit that a row asks for is what the kernel has."""
    for name, v2, wanted2, controller, v1, wanted1 in KNOBS:
        version, path = place(m, name, v2, controller, v1)
        if version:
            match(m.sh(f'cat {path}')[0].strip(), rf'\A{wanted2 if version == 2 else wanted1}\Z', f'{m.what}{name}: {path[15:]}')
        elif (v2, v1)[m.version == 1]:
            ok(name in m.lacking, f'{m.what}{name}: {v2 or v1} is somewhere')
    match(m.sh(f'{m.launcher} logs full')[0], r'^Cpus_allowed_list:\s*0$', f'{m.what}full: it runs on one CPU')


def refused(m):
    for name, remark in (*REFUSED, *m.lacking.items()):
        reaches(m, name, 'backing-off', remark)


def memory(m):
    """More than it may have is not to be had, and who wants it is told."""
    reaches(m, 'hog', 'backing-off', 'out of memory: the limit is 2048 KiB')
    most = read(m, 'hog', 'memory.peak', 'memory', 'memory.max_usage_in_bytes')
    ok(most.isdigit() and 1 << 20 < int(most) <= 2 << 20, f'{m.what}hog: it never had more than its 2 MiB', most)
    kills = read(m, 'hog', 'memory.events', 'memory', 'memory.oom_control')
    match(kills, r'^oom_kill [1-9]', f'{m.what}hog: the kernel has killed it')


def spent(m):
    """Seconds of CPU that the row `spin` has had, and periods in which it was stopped."""
    file = ('spin', 'cpu.stat' if m.version == 2 else '', 'cpu', 'cpu.stat')  # v2 has one without the controller too
    stat = dict(re.findall(r'^(\w+) (\d+)$', read(m, *file), re.M))
    if 'usage_usec' in stat:
        used = int(stat['usage_usec']) / 1e6
    else:
        pids_of = read(m, 'spin', 'cgroup.procs', 'cpu', 'cgroup.procs').split()
        used = sum(int(m.sh(f'cat /proc/{pid}/schedstat')[0].split()[0]) for pid in pids_of) / 1e9
    return used, int(stat['nr_throttled'])


def cpu(m):
    """A loop gets its share: never more, and all of it in each period in which the kernel has stopped it."""
    def clock():
        return float(m.sh("cut -d' ' -f1 /proc/uptime")[0])
    reaches(m, 'spin', 'up')
    share, start, (used, stopped) = 0.3, clock(), spent(m)
    time.sleep(4)
    (used, stopped), elapsed = (b - a for a, b in zip((used, stopped), spent(m))), clock() - start
    # A period has 100 ms; the first and the last that is seen may be cut.
    ok(used <= share * (elapsed + 0.1) * 1.05, f'{m.what}spin: it gets no more than its share of the CPU',
       f'{used:.3f} s in {elapsed:.3f} s, stopped {stopped} times')
    ok(stopped > 5 and used >= share * 0.1 * (stopped - 1) * 0.95, f'{m.what}spin: and no less, when it is stopped for that',
       f'{used:.3f} s in {elapsed:.3f} s, stopped {stopped} times')
    note(f'{m.what}spin: {used / elapsed:.1%} of the CPU in {elapsed:.2f} s, stopped {stopped} times; its share is {share:.0%}')


def pids(m):
    ok(until(lambda: m.sh(f'{m.launcher} logs forks')[0].strip().endswith('full'), SLOW), f'{m.what}forks: it goes on when it can fork no more')
    used = read(m, 'forks', 'pids.current', 'pids', 'pids.current')
    equal(used, '6', f'{m.what}forks: and one task was lost, the shell that could not')


def make_nodes(m, name):
    """Nodes that a container did not get are made in its /dev from outside, the last one last."""
    reaches(m, name, 'up')
    pid = rows(m)[name][1]
    number = m.sh(f'cat /sys/class/block/{m.disk[5:]}/dev')[0].strip().replace(':', ' ')
    nodes = [f'[ -e {m.disk} ] || {{ mknod {m.disk} b {number}; chmod 666 {m.disk}; }}']
    nodes += [f'rm -f /dev/probe.{probe}; mknod /dev/probe.{probe} c {major} {minor}; chmod 666 /dev/probe.{probe}' for probe, major, minor in PROBES]
    command = 'set -e; mount -o remount,bind,rw /dev; ' + '; '.join(nodes)
    text, status = m.sh(f"nsenter --pid=/proc/{pid}/ns/pid --mount=/proc/{pid}/ns/mnt -- sh -c '{command}' 2>&1")
    ok(status == 0, f'{m.what}{name}: nodes are made in its /dev', text)


def opened(m, name):
    """What a container could open, once it has tried."""
    make_nodes(m, name)
    ok(until(lambda: 'tried' in m.sh(f'{m.launcher} logs {name}')[0], SLOW), f'{m.what}{name}: it has tried to open devices',
       m.sh(f'{m.launcher} logs {name}')[0])
    return m.sh(f'{m.launcher} logs {name}')[0]


def devices(m):
    """What is listed can be used, as far as that goes; what is not, can't, though there is a node."""
    match(opened(m, 'listed'), r'\A/dev/probe.end r\n/dev/probe.end w\n/dev/probe.kmsg w\n(/dev/probe.tun r\n/dev/probe.tun w\n)?'
          rf'[^\n]*cannot create {m.disk}: Permission denied\ntried\n', f'{m.what}listed: it can use its devices, and as the row says')
    match(opened(m, 'other'), rf'\A/dev/probe.end r\n/dev/probe.end w\n[^\n]*cannot open {m.disk}: Operation not permitted\n'
          rf'[^\n]*cannot create {m.disk}: Operation not permitted\ntried\n', f'{m.what}other: it can not, though they are there')


def took(m, name):
    until(lambda: 'took' in m.sh(f'{m.launcher} logs {name}')[0], SLOW)
    found = re.search(r'^took (\d+)$', m.sh(f'{m.launcher} logs {name}')[0], re.M)
    return int(found[1]) / 100 if found else 0


def disk(m):
    """Reading 3 MiB takes its time at 1 MiB a second, and none without that limit."""
    opened(m, 'lenient')
    if m.architecture == 'armv7':
        note(f'{m.what}no disk is limited, see tests/limits.h')
        return
    free, held = took(m, 'lenient'), took(m, 'listed')
    ok(2.2 <= held < 30, f'{m.what}listed: 3 MiB take 3 s at 1 MiB a second', held)
    ok(0 < free < held / 2, f'{m.what}lenient: and less without a limit', free)
    note(f'{m.what}3 MiB of a disk: {held:.2f} s at 1 MiB a second, {free:.2f} s without a limit')


CHECKS = (refused, knobs, memory, cpu, pids, devices, disk)
