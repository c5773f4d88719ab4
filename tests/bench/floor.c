/*
 * floor.c - for tests/bench/run: starts a container by the system calls that it takes and does nothing else
 *
 * takes: [-g CGROUP [-w FILE=VALUE]... [-d]]...  a cgroup of its own in that one, with these limits; -d: and the
 *                                                devices that a container has (cgroup v2)
 *        [-c UID]  confined as the launcher confines a row that says nothing; its users begin there
 *        [-i]      and its PID 1 is a process beside the workload, confined too
 *        ROOT COMMAND
 * gives: the exit status of COMMAND, in new namespaces of all kinds (without -c: but users), when its cgroups are gone
 *        -s alone: a filter of system calls as long as the launcher's, for others who want one
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IDS = 65536, FILTER = 185, CGROUP2 = 0x63677270, PLAIN = MS_NOSUID | MS_NODEV | MS_NOEXEC };

static char name[24]; /* of our cgroups */
static int bases[16], places[16], cgroups, v2 = -1;
static const char *users, *root;
static int has_init;

static _Noreturn void die(const char *what) {
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void must(int failed, const char *what) {
	if (failed) die(what);
}

static void put(int dir, const char *file, const char *value) {
	int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

	must(fd < 0 || write(fd, value, strlen(value)) < 0, file);
	close(fd);
}

/* -- from outside -- */

static void cgroup_make(const char *in) {
	struct statfs fs;
	int base = open(in, O_PATH | O_DIRECTORY | O_CLOEXEC);

	must(base < 0 || mkdirat(base, name, 0755) || fstatfs(base, &fs), in);
	bases[cgroups] = base;
	places[cgroups] = openat(base, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs.f_type == CGROUP2) v2 = cgroups;
	cgroups++;
}

static void cgroup_limit(char *setting) {
	char *value = strchr(setting, '=');

	*value = '\0';
	put(places[cgroups - 1], setting, value + 1);
}

/* null, zero, full, random, urandom, tty, ptmx, and what is in devpts: the rest is refused. */
static void cgroup_devices(void) {
#define OP(code, to, from, skip, value)                                                            \
	((struct bpf_insn){ (uint8_t)(code), to, from, skip, value })
	static const int devices[][2] = { { 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 },
					  { 1, 9 }, { 5, 0 }, { 5, 2 }, { 136, -1 } };
	struct bpf_insn program[80], *p = program;
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
				.insns = (uintptr_t)program,
				.license = (uintptr_t) "ISC" };
	union bpf_attr attach = { .attach_type = BPF_CGROUP_DEVICE };

	for (int word = 0; word < 3; word++)
		*p++ = OP(BPF_LDX | BPF_MEM | BPF_W, 2 + word, 1, 4 * word, 0);
	for (int i = 0; i < 8; i++) {
		*p++ = OP(BPF_ALU64 | BPF_MOV | BPF_X, 0, 2, 0, 0);
		*p++ = OP(BPF_ALU64 | BPF_AND | BPF_K, 0, 0, 0, ~(7 << 16));
		*p++ = OP(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 4, BPF_DEVCG_DEV_CHAR);
		*p++ = OP(BPF_JMP | BPF_JNE | BPF_K, 3, 0, 3, devices[i][0]);
		*p++ = OP(BPF_JMP | (devices[i][1] < 0 ? BPF_JGT : BPF_JNE) | BPF_K, 4, 0, 2,
			  devices[i][1] < 0 ? 0xfffff : devices[i][1]);
		*p++ = OP(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
		*p++ = OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
	*p++ = OP(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	*p++ = OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	load.insn_cnt = (unsigned)(p - program);
	attach.attach_bpf_fd = (unsigned)syscall(SYS_bpf, BPF_PROG_LOAD, &load,
						 offsetof(union bpf_attr, log_level));
	attach.target_fd = (unsigned)openat(bases[cgroups - 1], name,
					    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, offsetof(union bpf_attr, replace_bpf_fd)) <
		 0,
	     "devices");
	close((int)attach.attach_bpf_fd);
	close((int)attach.target_fd);
}

/* Maps the users of a child that waits for it. */
static void users_map(pid_t child) {
	char path[32], map[48];

	snprintf(map, sizeof map, "0 %s %d", users, IDS);
	snprintf(path, sizeof path, "/proc/%d/uid_map", (int)child);
	put(AT_FDCWD, path, map);
	snprintf(path, sizeof path, "/proc/%d/gid_map", (int)child);
	put(AT_FDCWD, path, map);
}

/* -- from inside -- */

static void mount_all(void) {
	static const struct {
		const char *name;
		int major, minor;
	} nodes[] = { { "dev/null", 1, 3 },   { "dev/zero", 1, 5 },    { "dev/full", 1, 7 },
		      { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 } };

	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mounts of its own");
	must(mount(root, root, NULL, MS_BIND, NULL) || chdir(root), root);
	must(mount("none", "proc", "proc", PLAIN, users ? "hidepid=2" : NULL), "proc");
	must(mount("none", "sys", "sysfs", PLAIN | MS_RDONLY, NULL), "sys");
	must(mount("none", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k,nr_inodes=64"),
	     "dev");
	for (int i = 0; i < 6; i++)
		must(mknod(nodes[i].name, S_IFCHR | 0666,
			   makedev((unsigned)nodes[i].major, (unsigned)nodes[i].minor)),
		     nodes[i].name);
}

static void seal(const char *path, unsigned long flags) {
	must(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | flags, NULL),
	     path);
}

/* The rest of /dev; what is dangerous in /proc and /sys is hidden or can't be written. */
static void mount_confined(void) {
	static const char *const links[][2] = { { "pts/ptmx", "dev/ptmx" },
						{ "/proc/self/fd", "dev/fd" },
						{ "/proc/self/fd/0", "dev/stdin" },
						{ "/proc/self/fd/1", "dev/stdout" },
						{ "/proc/self/fd/2", "dev/stderr" } };
	static const char *const hidden[] = {
		"proc/acpi",        "proc/asound",     "proc/interrupts",
		"proc/kallsyms",    "proc/kcore",      "proc/keys",
		"proc/key-users",   "proc/scsi",       "proc/latency_stats",
		"proc/sched_debug", "proc/timer_list", "proc/timer_stats",
		"sys/firmware",     "sys/fs/selinux",  "sys/devices/virtual/powercap"
	};
	static const char *const locked[] = { "proc/bus",      "proc/fs",  "proc/irq",
					      "proc/pressure", "proc/sys", "proc/sysrq-trigger" };
	const char *nothing = NULL; /* an empty directory */

	for (int i = 0; i < 5; i++) must(symlink(links[i][0], links[i][1]), links[i][1]);
	must(mkdir("dev/pts", 0755) || mkdir("dev/shm", 0755), "dev");
	must(mount("none", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=0620"),
	     "dev/pts");
	must(mount("none", "dev/shm", "tmpfs", PLAIN, "mode=1777,nr_inodes=1024"), "dev/shm");
	for (unsigned i = 0; i < sizeof hidden / sizeof *hidden; i++) {
		if (!mount("dev/null", hidden[i], NULL, MS_BIND, NULL)) {
			seal(hidden[i], MS_NOEXEC);
		} else if (errno == ENOTDIR && !nothing) {
			nothing = hidden[i];
			must(mount("none", nothing, "tmpfs", PLAIN | MS_RDONLY,
				   "size=4k,nr_inodes=2,mode=0555"),
			     nothing);
		} else if (errno == ENOTDIR) {
			must(mount(nothing, hidden[i], NULL, MS_BIND, NULL), hidden[i]);
		}
	}
	for (unsigned i = 0; i < sizeof locked / sizeof *locked; i++)
		if (!mount(locked[i], locked[i], NULL, MS_BIND, NULL))
			seal(locked[i], MS_NODEV | MS_NOEXEC);
	seal("dev", MS_NOEXEC);
	seal(".", MS_NODEV);
}

/* A loopback, ports for everybody, a name; as little as possible of who started us. */
static void prepare(void) {
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	must(ioctl(fd, SIOCSIFFLAGS, &lo), "lo");
	close(fd);
	put(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	put(AT_FDCWD, "/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	must(sethostname(name, strlen(name)), "host name");
	must(setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) ||
		 setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 4096, 4096 }),
	     "limits");
	syscall(SYS_keyctl, 1, NULL); /* KEYCTL_JOIN_SESSION_KEYRING */
	setsid();
	syscall(SYS_close_range, 3, ~0U, 4); /* CLOSE_RANGE_CLOEXEC */
}

/* A binary tree over FILTER / 2 numbers, that allows all: its length is what it costs to load. */
static struct sock_filter *filter_tree(struct sock_filter *p, int from, int to) {
	struct sock_filter *choice = p;
	int middle = (from + to) / 2;

	if (to - from == 1) {
		*p++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
		return p;
	}
	p = filter_tree(p + 1, from, middle);
	*choice = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (unsigned)middle,
					       (unsigned char)(p - choice - 1), 0);
	return filter_tree(p, middle, to);
}

static struct sock_fprog *filter_make(void) {
	static struct sock_filter code[FILTER + 2];
	static struct sock_fprog program = { .filter = code };

	code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					       offsetof(struct seccomp_data, nr));
	program.len = (unsigned short)(filter_tree(code + 1, 0, FILTER / 2) - code);
	return &program;
}

static void confine(void) {
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2], none[2] = { 0 };

	must(syscall(SYS_capget, &header, data) < 0, "capabilities");
	for (int i = 0; i < 2; i++) /* who has become another user has them, but not in effect */
		data[i].effective = data[i].permitted;
	must(syscall(SYS_capset, &header, data) < 0, "capabilities");
	for (int cap = 0; !prctl(PR_CAPBSET_DROP, cap); cap++)
		;
	must(errno != EINVAL, "bounds");
	must(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
					  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
					  SECBIT_NO_CAP_AMBIENT_RAISE |
					  SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED),
	     "securebits");
	must(syscall(SYS_capset, &header, none) < 0, "capabilities");
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		 prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_make()),
	     "filter");
}

/* PID 1 of the container stays; its child goes on. */
static void stay(void) {
	int status;
	pid_t pid = fork();

	must(pid < 0, "fork");
	if (!pid) return;
	must(prctl(PR_SET_KEEPCAPS, 1) || setresgid(IDS - 1, IDS - 1, IDS - 1) ||
		 setresuid(IDS - 1, IDS - 1, IDS - 1),
	     "another user");
	confine();
	while (wait(&status) != pid)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static _Noreturn void inside(char **command, int ready, int go) {
	char c = 0;

	for (int i = 0; i < cgroups; i++)
		if (i != v2) put(places[i], "cgroup.procs", "0");
	must(unshare(CLONE_NEWCGROUP), "a cgroup namespace");
	if (users) prepare();
	mount_all();
	if (users) mount_confined();
	must((int)syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH),
	     "changing the root");
	if (users) {
		must(unshare(CLONE_NEWUSER) || write(ready, &c, 1) < 0 || read(go, &c, 1) != 1,
		     "users");
		must(setgroups(0, NULL) || setresgid(0, 0, 0) || setresuid(0, 0, 0), "users");
		if (has_init) stay();
		confine();
	}
	execv(command[0], command);
	die(command[0]);
}

/* The exit status of a container. */
static int start(char **command) {
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
					    CLONE_NEWUTS | CLONE_NEWIPC };
	int ready[2], go[2], status;
	char c;
	long pid;

	if (v2 >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)places[v2];
	}
	if (users) must(pipe2(ready, O_CLOEXEC) || pipe2(go, O_CLOEXEC), "pipe");
	pid = syscall(SYS_clone3, &args, sizeof args);
	must(pid < 0, "clone3");
	if (!pid) inside(command, ready[1], go[0]);
	if (users) {
		close(ready[1]);
		if (read(ready[0], &c, 1) == 1) {
			users_map((pid_t)pid);
			must(write(go[1], &c, 1) < 0, "pipe");
		}
	}
	must(waitpid((pid_t)pid, &status, 0) < 0, "wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
	int option, status;

	snprintf(name, sizeof name, "floor-%d", (int)getpid());
	while ((option = getopt(argc, argv, "+g:w:dc:is")) != -1) switch (option) {
		case 'g': cgroup_make(optarg); break;
		case 'w': cgroup_limit(optarg); break;
		case 'd': cgroup_devices(); break;
		case 'c': users = optarg; break;
		case 'i': has_init = 1; break;
		case 's':
			return fwrite(filter_make()->filter, sizeof(struct sock_filter),
				      filter_make()->len, stdout) < 100;
		default: return 2;
		}
	if (argc - optind < 2) return 2;
	root = argv[optind];
	status = start(argv + optind + 1);
	for (int i = 0; i < cgroups; i++)
		must(unlinkat(bases[i], name, AT_REMOVEDIR), "removing its cgroup");
	return status;
}
