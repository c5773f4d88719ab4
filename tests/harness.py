"""What the tests share: TAP, programs whose output is awaited, cgroups where they are alone."""
import glob
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(TOP)
for name in ('MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL FLAGS BOARD CONFIG KEY KEYS EMBED CC CROSS_COMPILE CFLAGS CPPFLAGS LDFLAGS '
             'SUITE KERNEL INITRD APPEND MEMORY QEMU_ARGS NET MODULES').split():
    os.environ.pop(name, None)  # of a make that runs this, not for those that this runs


class Tap:
    count = failed = 0
    lock = threading.RLock()  # boards are tested side by side


def note(text):
    with Tap.lock:
        for line in str(text).splitlines():
            print('#', line.encode('ascii', 'backslashreplace').decode(), flush=True)


def ok(good, what, *details):
    """Prints one result; the details only of a bad one. Returns whether it is good."""
    with Tap.lock:
        Tap.count += 1
        Tap.failed += not good
        print(f'{"ok" if good else "not ok"} {Tap.count} - {what}', flush=True)
        for detail in () if good else details:
            note(detail)
    return bool(good)


def equal(got, wanted, what, *details):
    return ok(got == wanted, what, f'got:    {got!r}', f'wanted: {wanted!r}', *details)


def match(got, pattern, what, *details):
    return ok(re.search(pattern, got, re.M), what, f'got:    {got!r}', f'wanted: {pattern}', *details)


def skip_all(reason):
    print('1..0 # SKIP', reason)
    sys.exit(0)


def section(function, *args):
    """Runs some checks; an exception is one more that has failed, and the rest goes on."""
    start = time.monotonic()
    try:
        function(*args)
    except Exception:
        ok(False, f'{function.__name__} goes through', traceback.format_exc())
    note(f'{function.__name__}: {time.monotonic() - start:.1f} s')


def finish():
    print(f'1..{Tap.count}')
    sys.exit(Tap.failed > 0)


def make(*args):
    """A build that this test needs; without it there is nothing to test."""
    done = subprocess.run(['make', '-s', *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        note(done.stdout)
        print('Bail out! make', *args)
        sys.exit(1)


def tool(where, name):
    """Builds a C program of the tests as the launcher in that directory was: static, and for the same machine."""
    with open(where + '/flags') as file:
        compiler = file.read().split()[0]
    subprocess.run([compiler, '-std=gnu11', '-Os', '-s', '-Wall', '-Wextra', '-Werror', '-o',
                    f'{where}/{os.path.basename(name)}', f'tests/{name}.c'], check=True)


def until(condition, seconds=5):
    """Polls what no event announces. Returns whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


CONTROLLERS = ('memory', 'pids', 'cpu', 'cpuset', 'blkio', 'hugetlb', 'devices')
REST = (  # where each row of tests/containers.h comes to rest: name, state, note
    ('steady', 'up', ''), ('follower', 'up', ''), ('remote', 'up', ''), ('ticker', 'up', ''),
    ('orphans', 'up', ''), ('spin', 'up', ''), ('stubborn', 'up', ''), ('quick', 'up', ''),
    ('once', 'done', r'exit 3'), ('fine', 'done', r'exit 0'),
    ('failing', 'backing-off', r'exit 4; restart in \d+ s'),
    ('again', 'backing-off', r'exit 0; restart in \d+ s'),
    ('crash', 'backing-off', r'exit 139 \(Segmentation fault\)'),
    ('hog', 'done', r'out of memory: the limit is 4096 KiB'),
    ('forks', 'up', ''),
    ('corrupt', 'done', r'corrupt\.img: chunk \d+, at byte \d+, does not match its digest'),
    ('missing', 'backing-off', r'missing\.img: No such file'),
    ('unknown', 'done', r'no-such-command: No such file'),
    ('notrun', 'done', r'/etc/passwd: Permission denied'),
    ('late', 'waiting', 'waits for corrupt'), ('scratched', 'up', ''),
)


def ps_rows(text):
    """`launcher ps` as a table: name -> (state, pid, note)."""
    rows = re.findall(r'^(\S+) +(\S+) +(\d+|-) +\S+ +\d+ +\S+ *(.*)$', text, re.M)
    return {name: (state, pid, remark) for name, state, pid, remark in rows}


def hierarchies():
    """The cgroup hierarchies that hold a controller of ours, whichever version they are of."""
    if os.path.exists('/sys/fs/cgroup/cgroup.controllers'):
        return ['/sys/fs/cgroup']
    places = ['/sys/fs/cgroup/unified'] + ['/sys/fs/cgroup/' + name for name in CONTROLLERS]
    return [place for place in places if os.path.isdir(place)]


def own_cgroups(places):
    """A cgroup in each of these hierarchies, for who binds it over them: there, it is alone. Returns their paths."""
    mine = [f'{place}/launcher-test-{os.getpid()}' for place in places]
    for place in mine:
        os.mkdir(place)
        for name in ('cpuset.cpus', 'cpuset.mems'):  # of v1: empty until somebody writes them
            if place.startswith('/sys/fs/cgroup/cpuset/'):
                shutil.copyfile(f'/sys/fs/cgroup/cpuset/{name}', f'{place}/{name}')
        above = os.path.dirname(place)
        if os.path.exists(above + '/cgroup.subtree_control'):
            with open(above + '/cgroup.controllers') as have, open(above + '/cgroup.subtree_control', 'w') as file:
                file.write(' '.join('+' + name for name in have.read().split() if name in (*CONTROLLERS, 'io')))
    return mine


def remove(place):
    """Removes cgroups; False while the kernel is still burying their tasks."""
    try:
        for directory, _, _ in os.walk(place, topdown=False):
            os.rmdir(directory)
    except OSError:
        return False
    return True


def isolate(*variables, net=()):
    """
    Goes on in namespaces and cgroups of our own, so that we neither see nor disturb what else is
    supervised here: in the program, run again by itself with these environment variables, this
    returns; in this one it does not. net: ['--net'] for a network of our own too.
    """
    if 'TEST_CGROUPS' in os.environ:
        subprocess.run(['mount', '--make-rprivate', '/'], check=True)
        for place in os.environ['TEST_CGROUPS'].split():
            subprocess.run(['mount', '--bind', place, os.path.dirname(place)], check=True)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'none', '/run'], check=True)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    mine = own_cgroups(hierarchies())
    try:
        code = subprocess.run(
            ['unshare', *net, '--mount', '--pid', '--fork', '--kill-child', '--mount-proc',
             sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:]],
            env={'TEST_CGROUPS': ' '.join(mine), **{name: os.environ[name] for name in ('PATH', *variables) if name in os.environ}}).returncode
    finally:
        for place in mine:
            until(lambda: remove(place))
    sys.exit(code)


class cover:
    """Hides a hierarchy, for as long as a `with` lasts."""

    def __init__(self, place):
        self.place = place

    def __enter__(self):
        subprocess.run(['mount', '-t', 'tmpfs', 'none', self.place], check=True)

    def __exit__(self, *_):
        subprocess.run(['umount', self.place], check=True)


def cgroups():
    """All cgroups below the tops that are ours."""
    return sorted(directory for top in hierarchies() for directory, _, _ in os.walk(top)
                  if directory != top)


def processes():
    """Command lines of all processes here that live, but this one."""
    found = {}
    for path in glob.glob('/proc/[0-9]*'):
        try:
            with open(path + '/stat') as file:
                state = file.read().rpartition(')')[2].split()[0]
            with open(path + '/cmdline') as file:
                found[int(path[6:])] = file.read().replace('\0', ' ')
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state == 'Z':
            del found[int(path[6:])]
    found.pop(os.getpid(), None)
    return found


def traces():
    """All that a launcher could have left behind."""
    with open('/proc/mounts') as file:
        mounts = [line for line in file if 'launcher-run' in line or '/run/launcher' in line]
    return [*processes().values(), *glob.glob('/run/launcher*'), *cgroups(), *mounts]


def clean(what):
    until(lambda: not traces())
    equal(traces(), [], f'nothing is left after {what}')


def probe(board, out):
    """A launcher with the policy of tests/probe.h, and the image that it names, of tests/probe.c; both in out."""
    make(f'BOARD={board}', f'O={out}', 'CONFIG=tests/probe.h', out + '/launcher')
    with open(out + '/flags') as file:
        compiler = file.read().split()[0]
    root = out + '/root'
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    subprocess.run([compiler, '-std=gnu11', '-Os', '-Wall', '-Wextra', '-Werror', '-static', '-s', '-o', root + '/probe',
                    'tests/probe.c'], check=True)
    shutil.copy(root + '/probe', root + '/setuid')
    os.chown(root + '/setuid', 1000, 1000)
    os.chmod(root + '/setuid', 0o6755)
    os.setxattr(root + '/setuid', 'security.capability', struct.pack('<5I', 0x02000001, 0xffffffff, 0, 0xffffffff, 0))
    subprocess.run(['images/pack', root, '-o', out + '/probe.img'], check=True)


def probe_says(text, what):
    """Takes over the checks that a probe has made."""
    lines = re.findall(r'^(?:probe: )?(not )?ok \d+ (.*)$', text, re.M)
    for bad, words in lines:
        ok(not bad, f'{what}: {words}')
    plan = re.search(r'^(?:probe: )?1\.\.(\d+)$', text, re.M)
    equal(len(lines), int(plan[1]) if plan else None, f'{what}: comes to its end', text[-2000:])


def debian(root, *packages):
    """A root directory of Debian's own packages, with what they need, as a user would make it."""
    arch = subprocess.run(['dpkg', '--print-architecture'], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()
    archives = os.path.abspath(root + '.archives')
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(archives + '/partial', exist_ok=True)
    subprocess.run(['images/apt', arch, 'apt-get', '-qq', '-y', '--no-install-recommends', '-o', 'Dir::Cache::archives=' + archives,
                    'install', '--download-only', *packages], check=True, stdout=subprocess.DEVNULL)
    for package in glob.glob(archives + '/*.deb'):
        subprocess.run(['dpkg-deb', '-x', package, root], check=True)
    for unused in ('usr/share', *(found for what in ('gconv', 'perl*') for found in glob.glob('usr/lib/*/' + what, root_dir=root))):
        shutil.rmtree(f'{root}/{unused}', ignore_errors=True)


def corrupt(good, bad):
    """A copy of an image with one bit flipped."""
    with open(good, 'rb') as file:
        data = bytearray(file.read())
    data[len(data) // 2] ^= 1
    with open(bad, 'wb') as file:
        file.write(data)


class Program:
    """A running program; what it prints is kept and awaited."""

    def __init__(self, argv, **options):
        options = {'stderr': subprocess.STDOUT, **options}
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self.text = ''
        self.at = 0  # behind the latest match
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def read(self, seconds):
        """Takes in what comes within that time. Returns False at the end of the output."""
        fd = self.process.stdout.fileno()
        if not select.select([fd], [], [], max(seconds, 0))[0]:
            return True
        got = os.read(fd, 65536)
        self.text += got.decode(errors='replace').replace('\r', '')
        return bool(got)

    def expect(self, pattern, seconds=10):
        """Waits for output that matches, behind the latest match. Returns the match or None."""
        end = time.monotonic() + seconds
        while not (found := re.compile(pattern, re.M).search(self.text, self.at)):
            if time.monotonic() > end or not self.read(end - time.monotonic()):
                return None
        self.at = found.end()
        return found

    def says(self, pattern, what, seconds=10):
        """expect() as a check."""
        found = self.expect(pattern, seconds)
        ok(found, what, f'wanted: {pattern}', 'output so far:', self.text[-3000:])
        return found

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self, seconds=15):
        """Waits for the end of the output and of the program. Returns its exit status, or None."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.read(end - time.monotonic()):
            pass
        try:
            return self.process.wait(max(end - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            return None
