"""From the wish for a container to the first thing that its program does: without a network, and with one."""
import os
import re
import subprocess
import sys
import time

from report import ARCH, LOG, OUT, ROUNDS, fair, output, run, write
from harness import make, until

WIRE = """ip netns add lrbench && ip link add lrbench1 type veth peer name eth0 netns lrbench &&
ip link set lrbench1 master lrbench0 up && ip -n lrbench address add 10.7.2.98/24 dev eth0 &&
ip -n lrbench link set eth0 up && ip -n lrbench link set lo up &&
ip netns exec lrbench unshare --mount --pid --uts --ipc --cgroup --fork chroot {root} {date}; ip netns delete lrbench"""


def measure(report):
    run('images/packages', 'bubblewrap', 'util-linux', 'iproute2', 'lxc')
    make('BOARD=host', 'images')
    make('BOARD=host', f'O={OUT}/network', 'CONFIG=tests/bench/network.h')
    images, root, launcher = f'out/images/{ARCH}', f'out/images/{ARCH}/toybox/root', f'{OUT}/network/launcher'
    date = ['/bin/date', '+%s.%N']
    contestants = {
        'launcher start': [launcher, 'start', 'quick'],
        'bwrap --unshare-all --cap-drop ALL': [
            'bwrap', '--unshare-all', '--cap-drop', 'ALL', '--ro-bind', root, '/', '--proc', '/proc', '--dev', '/dev', *date],
        'unshare --fork, all namespaces': [
            'unshare', '--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup', '--user', '--map-root-user', '--fork',
            'chroot', root, *date],
        'chroot, no namespace': ['chroot', root, *date],
        'launcher start, on a bridge': [launcher, 'start', 'wired'],
        'ip and unshare, on that bridge': ['sh', '-c', WIRE.format(root=root, date=' '.join(date))],
        'lxc-execute, on that bridge': ['lxc-execute', '-n', 'bench', '-f', OUT + '/lxc.conf', '--', *date],
    }
    write(OUT + '/lxc.conf', f'lxc.rootfs.path = dir:{os.path.abspath(root)}\nlxc.net.0.type = veth\nlxc.net.0.link = lrbench0\n'
          'lxc.net.0.flags = up\nlxc.net.0.ipv4.address = 10.7.2.99/24\nlxc.mount.auto = proc sys\n')
    log = open(LOG, 'a')
    fair()

    def ask(*words):
        return subprocess.run([launcher, *words], stdout=subprocess.PIPE, stderr=log, text=True).stdout

    def once(command):
        began, said = time.time(), output(*command)
        if not said:
            until(lambda: re.search(f'^{command[-1]} +done ', ask('ps'), re.M))
            said = ask('logs', command[-1]).split()[-1]
        return (float(said.split()[-1]) - began) * 1000

    with subprocess.Popen([launcher, 'up', images], stdout=log, stderr=log) as up:
        try:
            if not until(lambda: re.search('^keeper +up ', ask('ps'), re.M)):
                sys.exit(f'tests/bench/run: no container starts; {LOG} says why')
            took = {name: [] for name in contestants}
            for _ in range(4 * ROUNDS):
                for name, command in contestants.items():
                    took[name].append(once(command))
        finally:
            up.terminate()
    report.part('Start with a network', 'From the wish to the first thing that the program does: it tells the time. The launcher supervises already, and '
                'has its image unpacked; a row on a bridge gets a veth pair, an address, a route and its names.')
    report.compare('ms', took, ['launcher start', 'launcher start, on a bridge'], ['chroot, no namespace'])
