/*
 * probe - the workload of a container whose row grants nothing: it tries what it shall not be able
 * to do, looks at what it shall be, and does what ordinary programs do
 *
 * gives: TAP on stdout: "ok N what" or "not ok N what (what was seen)"; exit status 1 if any is not
 * ok. Each attempt is a child, for one that succeeds, or that a filter kills, changes who makes it.
 * It is one file that needs no other, and little memory and time: it runs at a tenth of a CPU.
 */
#define _GNU_SOURCE
#include <asm/unistd.h> /* musl's own numbers lack the latest ones */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#ifdef __NR_setuid32 /* without it ids had 16 bits */
#undef __NR_setuid
#define __NR_setuid __NR_setuid32
#undef __NR_setgid
#define __NR_setgid __NR_setgid32
#undef __NR_setgroups
#define __NR_setgroups __NR_setgroups32
#endif
#define LEN(array) ((int)(sizeof(array) / sizeof *(array)))
#define P(pointer) ((long)(pointer))
#define FILE_HERE "/dev/shm/probe" /* the one place that can be written */

static char zeros[512];

/* ---- what is said ----------------------------------------------------------------------------- */

static int count, failed;

/* seen: what was seen instead, NULL for what is as it shall be */
static void result(const char *what, const char *seen)
{
	printf(seen ? "not ok %d %s (%s)\n" : "ok %d %s\n", ++count, what, seen);
	failed |= !!seen;
}

/* What a property has been found to be. */
static __attribute__((format(printf, 1, 2))) const char *seen(const char *format, ...)
{
	static char text[400];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	for (char *c = text; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	return text;
}

/* A file as a string; empty if there is none. */
static const char *text_of(const char *path)
{
	static char text[16384];
	size_t n = 0;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	while (fd >= 0 && n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)got;
	if (fd >= 0)
		close(fd);
	text[n] = '\0';
	return text;
}

/* The value of a field of /proc/self/status. */
static const char *status_of(const char *field)
{
	static char value[128];
	const char *at = text_of("/proc/self/status");
	size_t n = strlen(field);

	for (; at && *at; at = strchr(at, '\n'), at += !!at)
		if (!strncmp(at, field, n) && at[n] == ':') {
			at += n + 1 + strspn(at + n + 1, "\t ");
			snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\n"), at);
			return value;
		}
	return "there is no such field";
}

/* 0, but for the bit that each process of a 32-bit ARM has. */
static long personality_of_self(void)
{
	return syscall(__NR_personality, 0xffffffffL) & ~0x0800000L /* ADDR_LIMIT_32BIT */;
}

/* ---- attempts --------------------------------------------------------------------------------- */

enum { /* what shall become of an attempt, if it is not the errno itself */
	WORKS = 0,
	REFUSED = -1, /* EPERM, EACCES or ENOSYS: for who asks, not for what is asked */
	FAILS = -2,   /* whatever the errno */
	BARRED = -3,  /* or it is killed */
	OR_WORKS = 1 << 10,
};

struct row {
	const char *what;
	int wanted;
	long (*try)(const long *a);
	long number, a[6];
	int alone; /* it leaves its process another one */
};

#define CALL(what, wanted, name, ...) { what, wanted, NULL, __NR_##name, { __VA_ARGS__ }, 0 }
#define NUMBER(what, wanted, number, ...) { what, wanted, NULL, number, { __VA_ARGS__ }, 0 }
#define TRY(what, wanted, function, ...) { what, wanted, function, 0, { __VA_ARGS__ }, 0 }
#define ALONE(what, wanted, function, ...) { what, wanted, function, 0, { __VA_ARGS__ }, 1 }
#define NEED(good)                                                                                 \
	do {                                                                                       \
		if (!(good))                                                                       \
			return errno = errno ? errno : EPROTO, -1;                                 \
	} while (0)

/* What became of each attempt: 0, its errno, or 256 + the signal that has killed it. */
static struct {
	int at, got[512];
} *tried;

/*
 * A child makes the attempts from `at` on, until one works, for that changes who makes the next
 * one. Returns the one after the last that it has made. (A child for each would be a fork bomb.)
 */
static int attempts_from(const struct row *rows, int at, int n)
{
	int status = 0;
	pid_t child = fork();

	if (!child) {
		alarm(20);
		do {
			const struct row *r = &rows[at];
			const long *a = r->a;
			tried->at = at;
			errno = 0;
			long got = r->try ? r->try(a) : syscall(r->number, a[0], a[1], a[2], a[3], a[4], a[5]);
			tried->got[at] = got != -1 ? 0 : errno ? errno : 255;
		} while (tried->got[at] && !rows[at].alone && ++at < n && !rows[at].alone);
		_exit(0);
	}
	if (child < 0) {
		tried->got[at] = errno;
		return at + 1;
	}
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		tried->got[tried->at] = 256 + WTERMSIG(status);
	else if (status) /* of a program that it has become */
		tried->got[tried->at] = WEXITSTATUS(status);
	return tried->at + 1;
}

static void attempts(const struct row *rows, int n)
{
	memset(tried, 0, sizeof *tried);
	for (int at = 0; at < n;)
		at = attempts_from(rows, at, n);
	for (int i = 0; i < n; i++) {
		int got = tried->got[i], wanted = rows[i].wanted;
		int good = wanted == REFUSED ? got == EPERM || got == EACCES || got == ENOSYS :
			   wanted == FAILS   ? got > 0 && got < 256 :
			   wanted == BARRED  ? got != 0 :
			   wanted & OR_WORKS ? !got || got == (wanted & ~OR_WORKS) :
						     got == wanted;
		result(rows[i].what, good ? NULL : !got ? "it worked" :
			got >= 256 ? seen("killed: %s", strsignal(got - 256)) : strerror(got));
	}
}

/* ---- attempts that take more than a call ------------------------------------------------------ */

static long try_clone(const long *a)
{
	long pid = syscall(__NR_clone, a[0] | SIGCHLD, 0L, 0L, 0L, 0L);

	if (!pid)
		_exit(0);
	return pid < 0 ? -1 : waitpid((pid_t)pid, NULL, 0);
}

static long try_clone3(const long *a)
{
	uint64_t args[11] = { [0] = (uint64_t)a[0], [4] = SIGCHLD };
	long pid = syscall(__NR_clone3, args, sizeof args);

	if (!pid)
		_exit(0);
	return pid < 0 ? -1 : waitpid((pid_t)pid, NULL, 0);
}

static long try_setns(const long *a)
{
	int fd = open((const char *)a[0], O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : setns(fd, 0);
}

static long try_setns_pidfd(const long *a)
{
	long fd = syscall(__NR_pidfd_open, 1L, 0L);

	return fd < 0 ? -1 : setns((int)fd, (int)a[0]);
}

static long try_pidfd_getfd(const long *a)
{
	long fd = syscall(__NR_pidfd_open, a[0] ? a[0] : getppid(), 0L);

	return fd < 0 ? -1 : syscall(__NR_pidfd_getfd, fd, 0L, 0L);
}

static long try_vm(const long *a)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { zeros, 1 };

	return syscall(a[0], a[1] ? a[1] : getppid(), &here, 1L, &there, 1L, 0L);
}

static long try_open(const long *a)
{
	return open((const char *)a[0], (int)a[1] | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
}

/* Opening it, reading it, or finding anything in it fails. */
static long try_read(const long *a)
{
	char byte;
	int fd = open((const char *)a[0], O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	return fd >= 0 && read(fd, &byte, 1) > 0 ? 0 : -1;
}

/* The same of a directory. */
static long try_list(const long *a)
{
	DIR *dir = opendir((const char *)a[0]);

	for (struct dirent *e; dir && (e = readdir(dir));)
		if (*e->d_name != '.')
			return 0;
	return -1;
}

static long try_readlink(const long *a)
{
	char to[PATH_MAX];

	return readlink((const char *)a[0], to, sizeof to);
}

/* Writes a word to a file. */
static long try_write(const long *a)
{
	int fd = open((const char *)a[0], O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -1 : write(fd, (const char *)a[1], strlen((const char *)a[1]));
}

static long try_clock_settime(const long *a)
{
	struct timespec now;

	return clock_gettime((clockid_t)a[0], &now) ? -1 : clock_settime((clockid_t)a[0], &now);
}

static long try_adjtimex(const long *a)
{
	struct timex micro = { .modes = ADJ_MICRO }; /* what it is anyway */

	return a[0] ? clock_adjtime(CLOCK_REALTIME, &micro) : adjtimex(&micro);
}

/* Pushes a byte into its controlling terminal, by an ioctl with bits that are ignored. */
static long try_tty(const long *a)
{
	int on = 0, main_fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (main_fd < 0 || ioctl(main_fd, TIOCSPTLCK, &on) || setsid() < 0)
		_exit(0);
	int fd = open(ptsname(main_fd), O_RDWR | O_CLOEXEC); /* it becomes the controlling one */
	if (fd < 0)
		_exit(0);
	return syscall(__NR_ioctl, fd, a[0], "x");
}

/* Capabilities, all or one, into the sets of this process. */
static long try_capset(const long *a)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	uint32_t set = (uint32_t)a[0];
	struct __user_cap_data_struct data[2] = { { set, set, set }, { 0 } };

	return syscall(__NR_capset, &header, data);
}

static long try_core(const long *a)
{
	int status;
	pid_t child = fork();

	(void)a;
	if (!child)
		abort();
	NEED(child > 0 && waitpid(child, &status, 0) == child);
	return WCOREDUMP(status) ? 0 : -1;
}

static long try_sched(const long *a)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { sizeof attr, (uint32_t)a[0], 0, 0, (uint32_t)a[1], 1000000, 9000000, 9000000 };

	return syscall(__NR_sched_setattr, 0L, &attr, 0L);
}

static long try_abstract(const long *a)
{
	struct sockaddr_un canary = { .sun_family = AF_UNIX, .sun_path = "\0launcher-canary" };
	int fd = socket(AF_UNIX, (int)a[0] | SOCK_CLOEXEC, 0);

	return connect(fd, (void *)&canary, offsetof(struct sockaddr_un, sun_path) + sizeof "\0launcher-canary" - 1);
}

/* More tasks than the row has. */
static long try_tasks(const long *a)
{
	int hold[2], failed_with = 0;

	NEED(!pipe2(hold, O_CLOEXEC));
	for (int i = 0; i < a[0] && !failed_with; i++) {
		pid_t child = fork();
		if (!child) {
			close(hold[1]);
			_exit((int)read(hold[0], hold, 1)); /* until its parent lets go */
		}
		failed_with = child < 0 ? errno : 0;
	}
	close(hold[1]);
	while (wait(NULL) > 0)
		;
	errno = failed_with;
	return failed_with ? -1 : 0;
}

/* Runs the copy of this program that has set-user-id bits and a capability. It tells what it got. */
static long try_setuid_program(const long *a)
{
	static char *const argv[] = { "/setuid", "privileges", NULL };

	(void)a;
	return execve("/setuid", argv, environ);
}

#ifdef __x86_64__
static long try_i386(const long *a)
{
	long got;

	(void)a;
	__asm__ volatile("int $0x80" : "=a"(got) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	errno = got < 0 ? (int)-got : 0;
	return got < 0 ? -1 : got;
}
#endif

static const uint64_t perf_attr[16] = { [0] = 1 | 128ULL << 32 }; /* PERF_TYPE_SOFTWARE */
static const uint32_t bpf_map[32] = { 2, 4, 4, 1 };
static const uint64_t bpf_exit[2] = { 0xb7, 0x95 };
static const struct {
	uint32_t type, count;
	union {
		const void *pointer;
		uint64_t number;
	} code, license;
	uint64_t more[12];
} bpf_program = { .type = 1, .count = 2, .code = { bpf_exit }, .license = { "GPL" } };
static const uint64_t mount_attr[4] = { [1] = 1 }; /* clears MOUNT_ATTR_RDONLY */
static const unsigned long all_cpus = ULONG_MAX;
static const struct sched_param priority = { .sched_priority = 1 };

#define NAMESPACES(X, ...)                                                                         \
	X("mnt", 0x00020000, __VA_ARGS__), X("user", 0x10000000, __VA_ARGS__),                     \
	X("pid", 0x20000000, __VA_ARGS__), X("net", 0x40000000, __VA_ARGS__),                      \
	X("ipc", 0x08000000, __VA_ARGS__), X("uts", 0x04000000, __VA_ARGS__),                      \
	X("cgroup", 0x02000000, __VA_ARGS__)
#define NS_UNSHARE(name, flag, wanted) CALL("unshare: " name, wanted, unshare, flag)
#define NS_CLONE(name, flag, wanted) ALONE("clone: " name, wanted, try_clone, flag)
#define NS_CLONE3(name, flag, wanted) ALONE("clone3: " name, wanted, try_clone3, flag)
#define NS_SETNS(name, flag, wanted) TRY("setns: its own " name, wanted, try_setns, P("/proc/self/ns/" name))
#define NS_SETNS1(name, flag, wanted) TRY("setns: " name " of PID 1", wanted, try_setns, P("/proc/1/ns/" name))

static const struct row refused[] = {
	/* mounts */
	CALL("mount: a tmpfs", REFUSED, mount, P("none"), P("/dev/shm"), P("tmpfs")),
	CALL("mount: proc", REFUSED, mount, P("none"), P("/dev/shm"), P("proc")),
	CALL("mount: sysfs", REFUSED, mount, P("none"), P("/dev/shm"), P("sysfs")),
	CALL("mount: cgroup2", REFUSED, mount, P("none"), P("/dev/shm"), P("cgroup2")),
	CALL("mount: devtmpfs", REFUSED, mount, P("none"), P("/dev/shm"), P("devtmpfs")),
	CALL("mount: bind", REFUSED, mount, P("/"), P("/dev/shm"), 0, MS_BIND | MS_REC),
	CALL("mount: move", REFUSED, mount, P("/proc"), P("/dev/shm"), 0, MS_MOVE),
	CALL("mount: the root, to be written", REFUSED, mount, 0, P("/"), 0, MS_REMOUNT | MS_BIND),
	CALL("mount: /dev, to be written", REFUSED, mount, 0, P("/dev"), 0, MS_REMOUNT | MS_BIND),
	CALL("mount: /sys, to be written", REFUSED, mount, 0, P("/sys"), 0, MS_REMOUNT | MS_BIND),
	CALL("mount: propagation", REFUSED, mount, 0, P("/"), 0, MS_REC | MS_SHARED),
	CALL("umount2: /proc", REFUSED, umount2, P("/proc"), MNT_DETACH),
	CALL("umount2: /proc/sys", REFUSED, umount2, P("/proc/sys"), MNT_DETACH),
	CALL("umount2: /", REFUSED, umount2, P("/"), MNT_DETACH),
	CALL("pivot_root", REFUSED, pivot_root, P("/dev/shm"), P("/dev/shm")),
	CALL("chroot", REFUSED, chroot, P("/dev/shm")),
	CALL("fsopen", REFUSED, fsopen, P("tmpfs"), 0),
	CALL("fspick", REFUSED, fspick, AT_FDCWD, P("/"), 0),
	CALL("fsconfig", REFUSED, fsconfig, 0, 6, 0, 0, 0),
	CALL("fsmount", REFUSED, fsmount, 0, 0, 0),
	CALL("open_tree: a copy", REFUSED, open_tree, AT_FDCWD, P("/"), 1),
	CALL("move_mount", REFUSED, move_mount, AT_FDCWD, P("/proc"), AT_FDCWD, P("/dev/shm"), 0),
	CALL("mount_setattr", REFUSED, mount_setattr, AT_FDCWD, P("/"), 0, P(mount_attr), sizeof mount_attr),
	NUMBER("open_tree_attr", REFUSED, 467, AT_FDCWD, P("/"), 1, P(mount_attr), sizeof mount_attr),
	NUMBER("statmount", REFUSED, 457, P(zeros), P(zeros), 0, 0),
	NUMBER("listmount", REFUSED, 458, P(zeros), P(zeros), 0, 0),

	/* namespaces */
	NAMESPACES(NS_UNSHARE, REFUSED),
	CALL("unshare: time", REFUSED, unshare, 0x80),
	NAMESPACES(NS_CLONE, REFUSED),
	NAMESPACES(NS_CLONE3, ENOSYS),
	ALONE("clone3: time", ENOSYS, try_clone3, 0x80),
	ALONE("clone3: nothing new, so that libc takes clone", ENOSYS, try_clone3, 0),
	NAMESPACES(NS_SETNS, FAILS),
	NAMESPACES(NS_SETNS1, FAILS),
	TRY("setns: all of PID 1, by a pidfd", FAILS, try_setns_pidfd, 0x7e020000),

	/* devices */
#define DEVICE(name, type, major, minor)                                                           \
	CALL("mknod: " name, EPERM, mknodat, AT_FDCWD, P(FILE_HERE ".node"), type | 0600, (major) << 8 | (minor))
	DEVICE("mem 1:1", S_IFCHR, 1, 1),
	DEVICE("null 1:3", S_IFCHR, 1, 3),
	DEVICE("port 1:4", S_IFCHR, 1, 4),
	DEVICE("kmsg 1:11", S_IFCHR, 1, 11),
	DEVICE("tty0 4:0", S_IFCHR, 4, 0),
	DEVICE("console 5:1", S_IFCHR, 5, 1),
	DEVICE("watchdog 10:130", S_IFCHR, 10, 130),
	DEVICE("tun 10:200", S_IFCHR, 10, 200),
	DEVICE("fuse 10:229", S_IFCHR, 10, 229),
	DEVICE("kvm 10:232", S_IFCHR, 10, 232),
	DEVICE("mtd0 90:0", S_IFCHR, 90, 0),
	DEVICE("ram0 1:0", S_IFBLK, 1, 0),
	DEVICE("loop0 7:0", S_IFBLK, 7, 0),
	DEVICE("sda 8:0", S_IFBLK, 8, 0),
	DEVICE("mmcblk0 179:0", S_IFBLK, 179, 0),
	DEVICE("vda 254:0", S_IFBLK, 254, 0),
	TRY("open: /dev/mem", FAILS, try_open, P("/dev/mem"), O_RDONLY),
	TRY("open: /dev/kmsg", FAILS, try_open, P("/dev/kmsg"), O_RDONLY),
	TRY("open: /dev/console", FAILS, try_open, P("/dev/console"), O_RDWR),
	TRY("open: /dev/tty, without a terminal", ENXIO, try_open, P("/dev/tty"), O_RDWR),

	/* what the kernel offers to who owns the machine */
	CALL("bpf: a map", REFUSED, bpf, 0, P(bpf_map), sizeof bpf_map),
	CALL("bpf: a program", REFUSED, bpf, 5, P(&bpf_program), sizeof bpf_program),
	CALL("perf_event_open: itself", REFUSED, perf_event_open, P(perf_attr), 0, -1, -1, 0),
	CALL("perf_event_open: a CPU", REFUSED, perf_event_open, P(perf_attr), -1, 0, -1, 0),
	CALL("io_uring_setup", REFUSED, io_uring_setup, 1, P(zeros)),
	CALL("io_uring_enter", REFUSED, io_uring_enter, 0, 0, 0, 0, 0, 0),
	CALL("io_uring_register", REFUSED, io_uring_register, 0, 0, 0, 0),
	CALL("userfaultfd", REFUSED, userfaultfd, 0),
	CALL("userfaultfd: user mode only", REFUSED, userfaultfd, 1),
	CALL("add_key", REFUSED, add_key, P("user"), P("probe"), P("x"), 1, KEY_SPEC_PROCESS_KEYRING),
	CALL("request_key", REFUSED, request_key, P("user"), P("probe"), 0, KEY_SPEC_PROCESS_KEYRING),
	CALL("keyctl: the session's keyring", REFUSED, keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0),
	CALL("keyctl: a new session", REFUSED, keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0),
	CALL("kexec_load", REFUSED, kexec_load, 0, 0, 0, 0),
	CALL("kexec_file_load", REFUSED, kexec_file_load, 0, 0, 1, P(""), 0),
	CALL("init_module", REFUSED, init_module, P(zeros), 0, P("")),
	CALL("finit_module", REFUSED, finit_module, 0, P(""), 0),
	CALL("delete_module", REFUSED, delete_module, P("probe"), O_NONBLOCK),
	CALL("reboot", REFUSED, reboot, 0, 0, 0, 0),
	CALL("reboot: Ctrl-Alt-Del", REFUSED, reboot, 0xfee1dead, 672274793, 0, 0),
	CALL("swapon", REFUSED, swapon, P("/dev/null"), 0),
	CALL("swapoff", REFUSED, swapoff, P("/dev/null")),
	TRY("clock_settime", REFUSED, try_clock_settime, CLOCK_REALTIME),
	CALL("settimeofday", REFUSED, settimeofday, 0, P(zeros)),
	TRY("adjtimex", REFUSED, try_adjtimex, 0),
	TRY("clock_adjtime", REFUSED, try_adjtimex, 1),
	CALL("syslog: its size", REFUSED, syslog, 10, 0, 0),
	CALL("syslog: its lines", REFUSED, syslog, 3, P(zeros), 0),
	CALL("open_by_handle_at", REFUSED, open_by_handle_at, AT_FDCWD, P(zeros), 0),
	CALL("name_to_handle_at", REFUSED, name_to_handle_at, AT_FDCWD, P("/"), P(zeros), P(zeros), 0),
	CALL("fanotify_init", REFUSED, fanotify_init, 0, 0),
	CALL("fanotify_init: as anybody", REFUSED, fanotify_init, 0x200, 0),
	CALL("acct", REFUSED, acct, 0),
	CALL("quotactl: sync", REFUSED, quotactl, 0x800001 << 8, 0, 0, 0),
	CALL("vhangup", REFUSED, vhangup),
#ifdef __NR_lookup_dcookie
	CALL("lookup_dcookie", REFUSED, lookup_dcookie, 0, 0, 0),
#endif
#ifdef __NR_nfsservctl
	CALL("nfsservctl", REFUSED, nfsservctl, 0, 0, 0),
#endif
#ifdef __NR_iopl
	CALL("iopl", REFUSED, iopl, 3),
	CALL("ioperm", REFUSED, ioperm, 0x80, 1, 1),
#endif
#ifdef __NR_uselib
	CALL("uselib", REFUSED, uselib, P("/probe")),
#endif
	CALL("sethostname", REFUSED, sethostname, P("other"), 5),
	CALL("setdomainname", REFUSED, setdomainname, P("other"), 5),
	CALL("personality: fixed addresses", REFUSED, personality, 0x40000),
	CALL("personality: all is executable", REFUSED, personality, 0x400000),
	CALL("move_pages of PID 1", REFUSED, move_pages, 1, 0, 0, 0, 0, 0),
	CALL("migrate_pages of PID 1", REFUSED, migrate_pages, 1, 64, P(zeros), P(zeros)),
	NUMBER("a call that no kernel has yet", ENOSYS, 600),
	NUMBER("another one", ENOSYS, 1000),

	/* other processes */
	CALL("ptrace: attach to PID 1", REFUSED, ptrace, PTRACE_ATTACH, 1, 0, 0),
	CALL("ptrace: seize PID 1", REFUSED, ptrace, PTRACE_SEIZE, 1, 0, 0),
	CALL("ptrace: be traced by its parent", REFUSED, ptrace, PTRACE_TRACEME, 0, 0, 0),
	TRY("process_vm_readv: PID 1", REFUSED, try_vm, __NR_process_vm_readv, 1),
	TRY("process_vm_readv: its parent", REFUSED, try_vm, __NR_process_vm_readv, 0),
	TRY("process_vm_writev: PID 1", REFUSED, try_vm, __NR_process_vm_writev, 1),
	CALL("kcmp: PID 1 and itself", REFUSED, kcmp, 1, 1, 1, 0, 0),
	TRY("pidfd_getfd: PID 1", REFUSED, try_pidfd_getfd, 1),
	TRY("pidfd_getfd: its parent", REFUSED, try_pidfd_getfd, 0),
	CALL("the CPUs of PID 1", FAILS, sched_setaffinity, 1, sizeof all_cpus, P(&all_cpus)),

	/* terminals */
	ALONE("TIOCSTI", FAILS, try_tty, TIOCSTI),
	ALONE("TIOCLINUX", FAILS, try_tty, TIOCLINUX),
#if LONG_MAX > INT_MAX
	ALONE("TIOCSTI, with bits above those that count", FAILS, try_tty, TIOCSTI | 1L << 32),
	ALONE("TIOCLINUX, with bits above those that count", FAILS, try_tty, TIOCLINUX | 1L << 32),
#endif

	/* sockets */
#define SOCKET(name, family, type, protocol)                                                       \
	CALL("socket: " name, FAILS, socket, family, (type) | SOCK_CLOEXEC, protocol)
	SOCKET("AF_PACKET, raw", AF_PACKET, SOCK_RAW, 0x300),
	SOCKET("AF_PACKET, datagrams", AF_PACKET, SOCK_DGRAM, 0),
	SOCKET("AF_PACKET, by its old name", AF_INET, 10, 0x300),
	SOCKET("AF_VSOCK", AF_VSOCK, SOCK_STREAM, 0),
	SOCKET("AF_VSOCK, datagrams", AF_VSOCK, SOCK_DGRAM, 0),
	SOCKET("AF_ALG", AF_ALG, SOCK_SEQPACKET, 0),
	SOCKET("AF_INET, raw", AF_INET, SOCK_RAW, IPPROTO_ICMP),
	SOCKET("AF_INET, raw headers", AF_INET, SOCK_RAW, IPPROTO_RAW),
	SOCKET("AF_INET6, raw", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6),
	SOCKET("NETLINK_AUDIT", AF_NETLINK, SOCK_RAW, NETLINK_AUDIT),
	SOCKET("NETLINK_KOBJECT_UEVENT", AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT),
	SOCKET("NETLINK_CRYPTO", AF_NETLINK, SOCK_RAW, NETLINK_CRYPTO),
	SOCKET("NETLINK_NETFILTER", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER),
	SOCKET("NETLINK_XFRM", AF_NETLINK, SOCK_RAW, NETLINK_XFRM),
	SOCKET("AF_AX25", AF_AX25, SOCK_DGRAM, 0),
	SOCKET("AF_APPLETALK", AF_APPLETALK, SOCK_DGRAM, 0),
	SOCKET("AF_NETROM", AF_NETROM, SOCK_SEQPACKET, 0),
	SOCKET("AF_X25", AF_X25, SOCK_SEQPACKET, 0),
	SOCKET("AF_ROSE", AF_ROSE, SOCK_SEQPACKET, 0),
	SOCKET("AF_KEY", AF_KEY, SOCK_RAW, 2),
	SOCKET("AF_RDS", AF_RDS, SOCK_SEQPACKET, 0),
	SOCKET("AF_PPPOX", AF_PPPOX, SOCK_STREAM, 0),
	SOCKET("AF_LLC", AF_LLC, SOCK_STREAM, 0),
	SOCKET("AF_CAN", AF_CAN, SOCK_RAW, 1),
	SOCKET("AF_TIPC", AF_TIPC, SOCK_RDM, 0),
	SOCKET("AF_BLUETOOTH", AF_BLUETOOTH, SOCK_RAW, 1),
	SOCKET("AF_RXRPC", AF_RXRPC, SOCK_DGRAM, AF_INET),
	SOCKET("AF_PHONET", AF_PHONET, SOCK_DGRAM, 0),
	SOCKET("AF_IEEE802154", AF_IEEE802154, SOCK_DGRAM, 0),
	SOCKET("AF_CAIF", AF_CAIF, SOCK_STREAM, 0),
	SOCKET("AF_NFC", AF_NFC, SOCK_SEQPACKET, 0),
	SOCKET("AF_KCM", AF_KCM, SOCK_DGRAM, 0),
	SOCKET("AF_QIPCRTR", AF_QIPCRTR, SOCK_DGRAM, 0),
	SOCKET("AF_SMC", AF_SMC, SOCK_STREAM, 0),
	SOCKET("AF_XDP", AF_XDP, SOCK_RAW, 0),
	SOCKET("AF_MCTP", 45, SOCK_DGRAM, 0),
	SOCKET("a family that no kernel has yet", 63, SOCK_DGRAM, 0),
	TRY("an abstract socket of the host: a stream", ECONNREFUSED, try_abstract, SOCK_STREAM),
	TRY("an abstract socket of the host: datagrams", ECONNREFUSED, try_abstract, SOCK_DGRAM),

	/* another entry to the kernel, with other numbers */
#ifdef __x86_64__
	NUMBER("a call of x32", BARRED, 0x40000000 | __NR_getpid),
	NUMBER("a call that only x32 has", BARRED, 0x40000000 | 536, 0, 0, 0),
	TRY("a call of i386", BARRED, try_i386),
#endif

	/* capabilities and users */
	TRY("capset: all", EPERM, try_capset, -1),
	TRY("capset: CAP_CHOWN", EPERM, try_capset, 1),
	CALL("prctl: an ambient capability", EPERM, prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0),
	CALL("prctl: securebits", EPERM, prctl, PR_SET_SECUREBITS, 0),
	CALL("prctl: keep capabilities", EPERM, prctl, PR_SET_KEEPCAPS, 1),
	CALL("prctl: new privileges", EINVAL, prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0),
	CALL("prctl: no seccomp", FAILS, prctl, PR_SET_SECCOMP, 0),
	CALL("prctl: the memory map", REFUSED, prctl, PR_SET_MM, PR_SET_MM_START_BRK, P(zeros), 0, 0),
	CALL("setuid: a user", EPERM, setuid, 1000),
	CALL("setuid: one whom its namespace does not know", FAILS, setuid, 0x7ffffff0),
	CALL("setgid: a group", EPERM, setgid, 1000),
	CALL("setgid: one that its namespace does not know", FAILS, setgid, 0x7ffffff0),
	CALL("setgroups", EPERM, setgroups, 1, P(zeros)),
	CALL("chown: a user", EPERM, fchownat, AT_FDCWD, P(FILE_HERE), 1000, 1000, 0),
	CALL("chown: one whom its namespace does not know", FAILS, fchownat, AT_FDCWD, P(FILE_HERE), 0x7ffffff0, 0, 0),
	TRY("write: uid_map", FAILS, try_write, P("/proc/self/uid_map"), P("0 0 1\n")),
	TRY("write: gid_map", FAILS, try_write, P("/proc/self/gid_map"), P("0 0 1\n")),
	CALL("setxattr: a capability of a file", FAILS, setxattr, P(FILE_HERE), P("security.capability"),
	     P("\1\0\0\2\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), 20, 0),
	CALL("setxattr: a trusted attribute", FAILS, setxattr, P(FILE_HERE), P("trusted.probe"), P("x"), 1, 0),
	ALONE("a program with set-user-id bits and a capability gets none of them", WORKS, try_setuid_program),

	/* more of the machine than its share */
	CALL("setpriority: -20", REFUSED, setpriority, PRIO_PROCESS, 0, -20),
	CALL("setpriority: -1", REFUSED, setpriority, PRIO_PROCESS, 0, -1),
	CALL("SCHED_FIFO", EPERM, sched_setscheduler, 0, SCHED_FIFO, P(&priority)),
	CALL("SCHED_RR", EPERM, sched_setscheduler, 0, SCHED_RR, P(&priority)),
	TRY("SCHED_FIFO, by sched_setattr", EPERM, try_sched, SCHED_FIFO, 1),
	TRY("SCHED_DEADLINE", EPERM, try_sched, 6, 0),
	CALL("ioprio_set: real time", REFUSED, ioprio_set, 1, 0, 1 << 13),
	TRY("a lower oom_score_adj", EACCES, try_write, P("/proc/self/oom_score_adj"), P("-1")),
	TRY("a lower oom_score_adj of PID 1", FAILS, try_write, P("/proc/1/oom_score_adj"), P("-1")),
	TRY("a better place of its session", FAILS, try_write, P("/proc/self/autogroup"), P("-20")),
	ALONE("more tasks than its row has", EAGAIN, try_tasks, 4),
	ALONE("a core dump", FAILS, try_core),

	/* files */
	TRY("open: a new file in /", FAILS, try_open, P("/new"), O_WRONLY | O_CREAT),
	TRY("open: a new file in /dev", FAILS, try_open, P("/dev/new"), O_WRONLY | O_CREAT),
	TRY("open: a new file in /proc", FAILS, try_open, P("/proc/new"), O_WRONLY | O_CREAT),
	TRY("open: its own program, for writing", FAILS, try_open, P("/proc/self/exe"), O_WRONLY),
	TRY("open: its own program, for writing, by name", FAILS, try_open, P("/probe"), O_WRONLY),
	TRY("write: core_pattern", FAILS, try_write, P("/proc/sys/kernel/core_pattern"), P("core")),
	TRY("write: modprobe", FAILS, try_write, P("/proc/sys/kernel/modprobe"), P("/sbin/modprobe")),
	TRY("write: hostname", FAILS, try_write, P("/proc/sys/kernel/hostname"), P("other")),
	TRY("write: sysrq-trigger", FAILS, try_write, P("/proc/sysrq-trigger"), P("h")),
	TRY("write: uevent_helper", FAILS, try_write, P("/sys/kernel/uevent_helper"), P("/probe")),
	TRY("write: release_agent", FAILS, try_write, P("/sys/fs/cgroup/release_agent"), P("/probe")),
	TRY("write: cgroup.procs", FAILS, try_write, P("/sys/fs/cgroup/cgroup.procs"), P("0")),
	CALL("mkdir: a cgroup", FAILS, mkdirat, AT_FDCWD, P("/sys/fs/cgroup/probe"), 0755),
#define PID1(name) TRY("read: /proc/1/" name, FAILS, try_read, P("/proc/1/" name))
	PID1("environ"), PID1("maps"), PID1("auxv"), PID1("stack"), PID1("syscall"), PID1("mem"),
	PID1("exe"), PID1("smaps"), PID1("pagemap"), PID1("personality"), PID1("io"), PID1("timers"),
	TRY("read: /proc/1/fd", FAILS, try_list, P("/proc/1/fd")),
	TRY("read: /proc/1/map_files", FAILS, try_list, P("/proc/1/map_files")),
	TRY("read: /proc/1/root/", FAILS, try_list, P("/proc/1/root/")),
	TRY("read: /proc/1/cwd/", FAILS, try_list, P("/proc/1/cwd/")),
	TRY("readlink: /proc/1/exe", FAILS, try_readlink, P("/proc/1/exe")),
	TRY("readlink: /proc/1/root", FAILS, try_readlink, P("/proc/1/root")),
	TRY("readlink: /proc/1/cwd", FAILS, try_readlink, P("/proc/1/cwd")),
	TRY("readlink: /proc/1/ns/mnt", FAILS, try_readlink, P("/proc/1/ns/mnt")),
	TRY("write: /proc/1/mem", FAILS, try_open, P("/proc/1/mem"), O_RDWR),
	TRY("write: /proc/1/comm", FAILS, try_write, P("/proc/1/comm"), P("other")),
#define HIDDEN(path) TRY("read: " path, FAILS, try_read, P(path))
	HIDDEN("/proc/kcore"), HIDDEN("/proc/kmsg"), HIDDEN("/proc/keys"), HIDDEN("/proc/timer_list"),
	HIDDEN("/proc/timer_stats"), HIDDEN("/proc/sched_debug"), HIDDEN("/proc/latency_stats"),
	HIDDEN("/proc/kallsyms"), HIDDEN("/proc/kpagecount"), HIDDEN("/proc/kpageflags"),
	HIDDEN("/proc/kpagecgroup"), HIDDEN("/proc/slabinfo"), HIDDEN("/proc/vmallocinfo"),
	HIDDEN("/proc/pagetypeinfo"), HIDDEN("/proc/vmcore"),
	TRY("read: /proc/acpi", FAILS, try_list, P("/proc/acpi")),
	TRY("read: /proc/asound", FAILS, try_list, P("/proc/asound")),
	TRY("read: /proc/scsi", FAILS, try_list, P("/proc/scsi")),
	TRY("read: /sys/firmware", FAILS, try_list, P("/sys/firmware")),
	TRY("read: /sys/kernel/debug", FAILS, try_list, P("/sys/kernel/debug")),
	TRY("read: /sys/kernel/tracing", FAILS, try_list, P("/sys/kernel/tracing")),
	TRY("read: /sys/kernel/security", FAILS, try_list, P("/sys/kernel/security")),
	TRY("read: /sys/fs/bpf", FAILS, try_list, P("/sys/fs/bpf")),
};

/* ---- what programs need ----------------------------------------------------------------------- */

static long need_fork(const long *a)
{
	int status = 0;
	pid_t child = a[0] ? vfork() : fork();

	if (!child)
		_exit(5);
	NEED(child > 0 && waitpid(child, &status, 0) == child);
	NEED(WEXITSTATUS(status) == 5);
	return 0;
}

static long need_exec(const long *a)
{
	static char *const argv[] = { "/probe", "nothing", NULL };

	return a[0] ? execve("/probe", argv, environ) :
		      syscall(__NR_execveat, AT_FDCWD, "/probe", argv, environ, 0);
}

static void *thread(void *at)
{
	*(int *)at = 5;
	return at;
}

static long need_thread(const long *a)
{
	pthread_attr_t small;
	pthread_t it;
	int made = 0;

	(void)a;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16 << 10);
	NEED(!(errno = pthread_create(&it, &small, thread, &made)));
	NEED(!(errno = pthread_join(it, NULL)) && made == 5);
	return 0;
}

static long need_kill(const long *a)
{
	int status = 0;
	siginfo_t info = { 0 };
	pid_t child = fork();

	if (!child) {
		pause();
		_exit(0);
	}
	NEED(child > 0);
	long fd = a[0] ? syscall(__NR_pidfd_open, child, 0L) : 0;
	NEED(fd >= 0 && !(a[0] ? syscall(__NR_pidfd_send_signal, fd, SIGTERM, 0L, 0L) : kill(child, SIGTERM)));
	NEED(!waitid(a[0] ? 3 /* P_PIDFD */ : P_PID, a[0] ? (id_t)fd : (id_t)child, &info, WEXITED | WNOWAIT));
	NEED(info.si_status == SIGTERM && waitpid(child, &status, 0) == child);
	return 0;
}

static long need_pipe(const long *a)
{
	int fds[2];
	char text[4];

	(void)a;
	NEED(!pipe2(fds, O_CLOEXEC) && write(fds[1], "abc", 4) == 4 && read(fds[0], text, 4) == 4);
	NEED(!strcmp(text, "abc"));
	return 0;
}

static long need_events(const long *a)
{
	static const struct itimerspec soon = { .it_value = { .tv_nsec = 1000000 } };
	sigset_t set;
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC), fd = -1;

	NEED(epoll >= 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (*(const char *)a[0] == 'e')
		NEED((fd = eventfd(1, EFD_CLOEXEC)) >= 0);
	if (*(const char *)a[0] == 't')
		NEED((fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC)) >= 0 && !timerfd_settime(fd, 0, &soon, NULL));
	if (*(const char *)a[0] == 's')
		NEED(!sigprocmask(SIG_BLOCK, &set, NULL) && (fd = signalfd(-1, &set, SFD_CLOEXEC)) >= 0 && !raise(SIGUSR1));
	if (*(const char *)a[0] == 'i')
		NEED((fd = inotify_init1(IN_CLOEXEC)) >= 0 && inotify_add_watch(fd, FILE_HERE, IN_OPEN) >= 0 && open(FILE_HERE, O_RDONLY) >= 0);
	NEED(!epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) && epoll_wait(epoll, &event, 1, 5000) == 1);
	return 0;
}

static long need_timer(const long *a)
{
	static const struct itimerval soon = { .it_value = { .tv_usec = 1000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	static const struct itimerspec then = { .it_value = { .tv_nsec = 1000000 } };
	timer_t timer;
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	NEED(!sigprocmask(SIG_BLOCK, &set, NULL));
	NEED(a[0] ? !timer_create(CLOCK_MONOTONIC, &event, &timer) && !timer_settime(timer, 0, &then, NULL) :
		    !setitimer(ITIMER_REAL, &soon, NULL));
	NEED(!sigwait(&set, &number));
	return 0;
}

static long need_clock(const long *a)
{
	struct timespec now, moment = { .tv_nsec = 1000 };

	NEED(!clock_gettime((clockid_t)a[0], &now) && !clock_getres((clockid_t)a[0], &now));
	if (a[0] != CLOCK_REALTIME_COARSE)
		NEED(!clock_nanosleep((clockid_t)a[0], 0, &moment, NULL));
	return 0;
}

static long need_sleep(const long *a)
{
	struct timespec moment = { .tv_nsec = 1000 };

	(void)a;
	return nanosleep(&moment, NULL) || poll(NULL, 0, 1) || select(0, NULL, NULL, NULL, &(struct timeval){ 0, 1 }) ||
	       pselect(0, NULL, NULL, NULL, &moment, NULL) || sched_yield() ? -1 : 0;
}

static long need_mmap(const long *a)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED);
	*p = 5;
	NEED((p = mremap(p, 8192, 16384, MREMAP_MAYMOVE)) != MAP_FAILED && *p == 5);
	NEED(!mprotect(p, 4096, (int)a[0]) && !madvise(p + 4096, 4096, MADV_DONTNEED) && !munmap(p, 16384));
	NEED((p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, open(FILE_HERE, O_RDWR), 0)) != MAP_FAILED);
	NEED(!msync(p, 4096, MS_SYNC));
	return 0;
}

static long need_memfd(const long *a)
{
	int fd = memfd_create("probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)a;
	NEED(fd >= 0 && write(fd, "x", 1) == 1 && !fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) && write(fd, "x", 1) < 0);
	return 0;
}

static long need_copy(const long *a)
{
	int from = open("/probe", O_RDONLY), to = open(FILE_HERE, O_WRONLY), fds[2];

	NEED(from >= 0 && to >= 0 && !pipe2(fds, O_CLOEXEC));
	if (*(const char *)a[0] == 'c')
		NEED(copy_file_range(from, NULL, to, NULL, 100, 0) == 100 || errno == EXDEV);
	else if (*(const char *)a[0] == 'f')
		NEED(sendfile(to, from, NULL, 100) == 100);
	else
		NEED(splice(from, NULL, fds[1], NULL, 100, 0) == 100 && tee(fds[0], fds[1], 0, 0) == 0);
	return 0;
}

static long need_files(const long *a)
{
	static const char other[] = FILE_HERE ".other", third[] = FILE_HERE ".third", dir[] = FILE_HERE ".dir";
	static const struct timespec times[2] = { { 1, 1 }, { 2, 2 } };
	struct stat st;
	struct statvfs fs;
	int fd = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)a;
	NEED(fd >= 0 && write(fd, "abc", 3) == 3 && pwrite(fd, "d", 1, 3) == 1 && lseek(fd, 0, SEEK_SET) == 0);
	NEED(!ftruncate(fd, 4096) && !posix_fallocate(fd, 0, 4096) && !fsync(fd) && !fdatasync(fd));
	NEED(!fchmod(fd, 0640) && !futimens(fd, times) && !fchown(fd, getuid(), getgid()) && !fstat(fd, &st));
	NEED(st.st_size == 4096 && st.st_mtime == 2 && (st.st_mode & 0777) == 0640 && !fstatvfs(fd, &fs));
	NEED(!link(other, third) && !unlink(third) && !symlink(other, third) && !stat(third, &st) && !rename(third, FILE_HERE ".4"));
	NEED(!unlink(FILE_HERE ".4") && !mkdir(dir, 0700) && !chmod(dir, 0755) && !access(dir, W_OK) && !chdir(dir));
	NEED(!mkfifo("fifo", 0600) && !unlink("fifo") && !chdir("/") && !rmdir(dir) && !unlink(other));
	NEED(!posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL) && !close(fd));
	return 0;
}

static long need_locks(const long *a)
{
	struct flock lock = { .l_type = F_WRLCK };
	int fd = open(FILE_HERE, O_RDWR | O_CLOEXEC);

	(void)a;
	NEED(fd >= 0 && !flock(fd, LOCK_EX) && !fcntl(fd, F_SETLK, &lock));
	lock.l_type = F_UNLCK;
	NEED(!fcntl(fd, F_SETLK, &lock));
	lock.l_type = F_WRLCK;
	NEED(!fcntl(fd, 37 /* F_OFD_SETLK */, &lock));
	return 0;
}

static long need_unix(const long *a)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "\0here" };
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + 5, n = sizeof(struct ucred);
	struct ucred peer;
	int fds[2], sent = 0, server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof sent)];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof sent), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { "x", 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };

	(void)a;
	memcpy(CMSG_DATA(&control.header), &sent, sizeof sent);
	NEED(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) && sendmsg(fds[0], &message, 0) == 1);
	NEED(!bind(server, (void *)&at, size) && !listen(server, 1) && !connect(client, (void *)&at, size));
	NEED((server = accept4(server, NULL, NULL, SOCK_CLOEXEC)) >= 0);
	NEED(!getsockopt(server, SOL_SOCKET, SO_PEERCRED, &peer, &n) && peer.pid == getpid() && !peer.uid);
	return 0;
}

static socklen_t address(struct sockaddr_storage *at, long family, long port)
{
	memset(at, 0, sizeof *at);
	at->ss_family = (sa_family_t)family;
	if (family == AF_INET6) {
		((struct sockaddr_in6 *)at)->sin6_port = htons((uint16_t)port);
		((struct sockaddr_in6 *)at)->sin6_addr = in6addr_loopback;
		return sizeof(struct sockaddr_in6);
	}
	((struct sockaddr_in *)at)->sin_port = htons((uint16_t)port);
	((struct sockaddr_in *)at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(struct sockaddr_in);
}

/* A stream, or a datagram, from itself to itself. */
static long need_inet(const long *a)
{
	struct sockaddr_storage at;
	socklen_t size = address(&at, a[0], a[2]);
	int on = 1, server = socket((int)a[0], (int)a[1] | SOCK_CLOEXEC, 0), client = socket((int)a[0], (int)a[1] | SOCK_CLOEXEC, 0);
	char byte;

	NEED(server >= 0 && client >= 0 && !setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
	NEED(!bind(server, (void *)&at, size) && !getsockname(server, (void *)&at, &size));
	if (a[1] == SOCK_STREAM)
		NEED(!listen(server, 1));
	NEED(!connect(client, (void *)&at, size));
	if (a[1] == SOCK_STREAM)
		NEED((server = accept(server, NULL, NULL)) >= 0);
	NEED(send(client, "x", 1, 0) == 1 && recv(server, &byte, 1, 0) == 1 && byte == 'x');
	NEED(a[1] != SOCK_STREAM || !shutdown(client, SHUT_WR));
	return 0;
}

static long need_pty(const long *a)
{
	char byte;
	int on = 0, main_fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), fd;
	struct winsize size = { 24, 80, 0, 0 };

	(void)a;
	NEED(main_fd >= 0 && !ioctl(main_fd, TIOCSPTLCK, &on) && (fd = open(ptsname(main_fd), O_RDWR | O_CLOEXEC)) >= 0);
	NEED(isatty(fd) && !ioctl(fd, TIOCSWINSZ, &size) && write(fd, "x", 1) == 1 && read(main_fd, &byte, 1) == 1);
	return 0;
}

static long need_device(const long *a)
{
	char bytes[8] = "aaaaaaa";
	int fd = open((const char *)a[0], O_RDWR | O_CLOEXEC);

	NEED(fd >= 0 && read(fd, bytes, sizeof bytes) == a[1] && (int)write(fd, bytes, 1) == (int)a[2]);
	return 0;
}

/* A filter of its own: getppid answers ENOTTY. */
static long need_seccomp(const long *a)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static const struct sock_fprog program = { LEN(code), code };

	(void)a;
	NEED(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	NEED(syscall(__NR_getppid) < 0 && errno == ENOTTY);
	return 0;
}

static long need_numbers(const long *a)
{
	struct utsname names;
	struct sysinfo info;
	struct rusage usage;
	struct rlimit limit;
	cpu_set_t cpus;
	unsigned cpu;
	sigset_t set;
	stack_t stack = { 0 };
	gid_t group;
	int before = getpriority(PRIO_PROCESS, 0);

	(void)a;
	NEED(!uname(&names) && !sysinfo(&info) && !getrusage(RUSAGE_SELF, &usage) && getgroups(1, &group) >= 0);
	NEED(!prlimit(0, RLIMIT_NOFILE, NULL, &limit) && !sched_getaffinity(0, sizeof cpus, &cpus) && !sched_setaffinity(0, sizeof cpus, &cpus));
	NEED(!syscall(__NR_getcpu, &cpu, 0L, 0L) && !sigpending(&set) && !sigaltstack(NULL, &stack) && getsid(0) >= 0 && getpgid(0) >= 0);
	limit.rlim_cur = 64;
	NEED(!setrlimit(RLIMIT_NOFILE, &limit) && nice(1) == before + 1 && !setpgid(0, 0) && umask(077) == 022);
	NEED(!setresuid(0, 0, 0) && !setresgid(0, 0, 0) && !prctl(PR_SET_NAME, "other") && !prctl(PR_SET_PDEATHSIG, SIGTERM));
	NEED(personality_of_self() == 0 && !prctl(PR_SET_DUMPABLE, 0) && !prctl(PR_SET_CHILD_SUBREAPER, 1));
	return 0;
}

static long need_openat2(const long *a)
{
	uint64_t how[3] = { O_RDONLY | O_CLOEXEC, 0, 0x10 /* RESOLVE_IN_ROOT */ };

	(void)a;
	return syscall(__NR_openat2, AT_FDCWD, "/probe", how, sizeof how);
}

static long need_list(const long *a)
{
	DIR *dir = opendir((const char *)a[0]);

	return dir && readdir(dir) ? 0 : -1;
}

static long need_semaphore(const long *a)
{
	(void)a;
	return syscall(__NR_semget, 0L, 1L, 0600L);
}

static const struct row needed[] = {
	ALONE("fork, wait", WORKS, need_fork, 0),
	ALONE("vfork, wait", WORKS, need_fork, 1),
	ALONE("execve", WORKS, need_exec, 1),
	ALONE("execveat", WORKS, need_exec, 0),
	ALONE("a thread", WORKS, need_thread),
	ALONE("kill, waitid: a child", WORKS, need_kill, 0),
	ALONE("pidfd_open, pidfd_send_signal, waitid: a child", WORKS, need_kill, 1),
	ALONE("a pipe", WORKS, need_pipe),
	ALONE("epoll, eventfd", WORKS, need_events, P("eventfd")),
	ALONE("epoll, timerfd", WORKS, need_events, P("timerfd")),
	ALONE("epoll, signalfd", WORKS, need_events, P("signalfd")),
	ALONE("epoll, inotify", WORKS, need_events, P("inotify")),
	ALONE("setitimer", WORKS, need_timer, 0),
	ALONE("timer_create", WORKS, need_timer, 1),
	ALONE("CLOCK_REALTIME", WORKS, need_clock, CLOCK_REALTIME),
	ALONE("CLOCK_REALTIME_COARSE", WORKS, need_clock, CLOCK_REALTIME_COARSE),
	ALONE("CLOCK_MONOTONIC", WORKS, need_clock, CLOCK_MONOTONIC),
	ALONE("CLOCK_BOOTTIME", WORKS, need_clock, CLOCK_BOOTTIME),
	ALONE("nanosleep, poll, select", WORKS, need_sleep),
	ALONE("mmap, mprotect", WORKS, need_mmap, PROT_READ),
	ALONE("mmap, mprotect: code, as a compiler makes it", WORKS, need_mmap, PROT_READ | PROT_EXEC),
	CALL("getrandom", WORKS, getrandom, P(zeros), 16, 0),
	CALL("statx", WORKS, statx, AT_FDCWD, P("/probe"), 0, 0x7ff, P(zeros)),
	CALL("close_range", WORKS, close_range, 100, 200, 0),
	CALL("membarrier", OR_WORKS | ENOSYS, membarrier, 0, 0, 0),
	CALL("faccessat2", WORKS, faccessat2, AT_FDCWD, P("/probe"), X_OK, 0),
	ALONE("openat2", WORKS, need_openat2),
	ALONE("memfd_create, sealed", WORKS, need_memfd),
	ALONE("copy_file_range", WORKS, need_copy, P("copy_file_range")),
	ALONE("sendfile", WORKS, need_copy, P("file")),
	ALONE("splice", WORKS, need_copy, P("splice")),
	ALONE("files in /dev/shm", WORKS, need_files),
	ALONE("flock, fcntl", WORKS, need_locks),
	CALL("setxattr: an attribute of a user", OR_WORKS | EOPNOTSUPP, setxattr, P(FILE_HERE), P("user.probe"), P("x"), 1, 0),
	ALONE("AF_UNIX, SCM_RIGHTS, SO_PEERCRED", WORKS, need_unix),
	ALONE("AF_INET: a stream over lo", WORKS, need_inet, AF_INET, SOCK_STREAM, 0),
	ALONE("AF_INET: a datagram over lo", WORKS, need_inet, AF_INET, SOCK_DGRAM, 0),
	ALONE("AF_INET: port 80", WORKS, need_inet, AF_INET, SOCK_STREAM, 80),
	ALONE("AF_INET6: a stream over lo", OR_WORKS | EAFNOSUPPORT, need_inet, AF_INET6, SOCK_STREAM, 0),
	CALL("NETLINK_ROUTE", WORKS, socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE),
	ALONE("a pseudo terminal", WORKS, need_pty),
	ALONE("/dev/null", WORKS, need_device, P("/dev/null"), 0, 1),
	ALONE("/dev/zero", WORKS, need_device, P("/dev/zero"), 8, 1),
	ALONE("/dev/full", WORKS, need_device, P("/dev/full"), 8, -1),
	ALONE("/dev/random", WORKS, need_device, P("/dev/random"), 8, 1),
	ALONE("/dev/urandom", WORKS, need_device, P("/dev/urandom"), 8, 1),
	ALONE("a seccomp filter of its own", WORKS, need_seccomp),
	ALONE("what a process asks of itself", WORKS, need_numbers),
	ALONE("a semaphore of System V", OR_WORKS | ENOSYS, need_semaphore),
	ALONE("readdir: /", WORKS, need_list, P("/")),
	ALONE("readdir: /proc", WORKS, need_list, P("/proc")),
	ALONE("readdir: /sys", WORKS, need_list, P("/sys")),
	ALONE("readdir: /proc/self/fd", WORKS, need_list, P("/proc/self/fd")),
	ALONE("open: /dev/stdin", WORKS, try_open, P("/dev/stdin"), O_RDONLY),
	ALONE("read: /proc/meminfo", WORKS, try_read, P("/proc/meminfo")),
	ALONE("read: /proc/cpuinfo", WORKS, try_read, P("/proc/cpuinfo")),
	ALONE("read: /proc/stat", WORKS, try_read, P("/proc/stat")),
	ALONE("read: /proc/uptime", WORKS, try_read, P("/proc/uptime")),
	ALONE("read: /proc/loadavg", WORKS, try_read, P("/proc/loadavg")),
	ALONE("read: /proc/self/maps", WORKS, try_read, P("/proc/self/maps")),
	ALONE("read: /proc/self/mounts", WORKS, try_read, P("/proc/self/mounts")),
	ALONE("read: /proc/sys/kernel/osrelease", WORKS, try_read, P("/proc/sys/kernel/osrelease")),
	ALONE("read: /sys/class/net/lo/flags", WORKS, try_read, P("/sys/class/net/lo/flags")),
	ALONE("write: its own oom_score_adj, higher", WORKS, try_write, P("/proc/self/oom_score_adj"), P("500")),
#ifdef __arm__
	NUMBER("cacheflush", WORKS, 0x0f0002, P(zeros), P(zeros + sizeof zeros), 0),
#endif
};

/* ---- what it is and sees ---------------------------------------------------------------------- */

static const char *zero_caps(const char *which)
{
	const char *set = status_of(which);

	return set[strspn(set, "0")] ? seen("%s", set) : NULL;
}

static const char *is_field(const char *field, const char *wanted)
{
	const char *value = status_of(field);

	return strcmp(value, wanted) ? seen("%s", value) : NULL;
}

static const char *is_number(long got, long wanted)
{
	return got == wanted ? NULL : seen("%ld", got);
}

static const char *securebits(void)
{
	const int wanted = SECBIT_NOROOT | SECBIT_NO_CAP_AMBIENT_RAISE | SECURE_ALL_LOCKS;
	int bits = prctl(PR_GET_SECUREBITS);

	return (bits & wanted) == wanted && !(bits & SECBIT_KEEP_CAPS) ? NULL : seen("0x%x", (unsigned)bits);
}

static const char *id_map(const char *path)
{
	unsigned inside, outside, n;
	const char *map = text_of(path);

	if (sscanf(map, "%u %u %u", &inside, &outside, &n) == 3 && inside == 0 && outside >= 65536 &&
	    n >= 65536 && outside + (uint64_t)n <= UINT32_MAX && strchr(map, '\n') == strrchr(map, '\n'))
		return NULL;
	return seen("%s", map);
}

static const char *environment(void)
{
	int known = 0, n = 0;

	for (; environ[n]; n++)
		known += !strncmp(environ[n], "PATH=/", 6) || !strcmp(environ[n], "HOME=/") || !strncmp(environ[n], "TERM=", 5);
	return n == 3 && known == 3 ? NULL : seen("%d words, the last one is %s", n, n ? environ[n - 1] : "");
}

static const char *descriptors(void)
{
	struct stat st;

	for (int fd = 0; fd < 4096; fd++)
		if ((fcntl(fd, F_GETFD) >= 0) != (fd < 3))
			return seen("%d is %s", fd, fd < 3 ? "closed" : "open");
	if (fstat(0, &st) || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return "stdin is another file";
	return NULL;
}

static const char *directory(void)
{
	char path[PATH_MAX];
	struct stat here, root;

	if (!getcwd(path, sizeof path) || strcmp(path, "/"))
		return seen("%s", path);
	return stat(".", &here) || stat("/..", &root) || here.st_ino != root.st_ino ? "/.. is something else" : NULL;
}

static const char *processes(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int pid;

	while (dir && (e = readdir(dir)))
		if ((pid = atoi(e->d_name)) && pid != 1 && pid != getpid())
			return seen("process %d", pid);
	return dir ? closedir(dir), NULL : "there is no /proc";
}

static const char *cgroup(void)
{
	const char *text = text_of("/proc/self/cgroup");

	for (const char *at = text; *at; at++)
		if (at[0] == ':' && at[1] == '/' && at[2] != '\n')
			return seen("%s", at);
	return *text ? NULL : "there is none";
}

/* Every CPU that is online is one of its own. */
static const char *affinity(void)
{
	cpu_set_t mine;
	const char *at = text_of("/sys/devices/system/cpu/online");

	if (sched_getaffinity(0, sizeof mine, &mine))
		return strerror(errno);
	for (char *end; *at >= '0' && *at <= '9'; at = end + (*end == ',')) {
		long first = strtol(at, &end, 10), last = *end == '-' ? strtol(end + 1, &end, 10) : first;
		for (; first <= last; first++)
			if (!CPU_ISSET(first, &mine))
				return seen("not on CPU %ld", first);
	}
	return NULL;
}

static const char *io_priority(void)
{
	long got = syscall(__NR_ioprio_get, 1L, 0L);

	return got < 0 || got >> 13 == 0 || got == (2 << 13 | 4) ? NULL : seen("class %ld, %ld", got >> 13, got & 7);
}

/* No limit can be raised, and none is there for real time. */
static const char *limits(void)
{
	struct rlimit limit;

	for (int i = 0; i < RLIM_NLIMITS; i++) {
		if (getrlimit(i, &limit))
			return seen("limit %d: %s", i, strerror(errno));
		if ((i == RLIMIT_CORE || i == RLIMIT_RTPRIO || i == RLIMIT_NICE) && limit.rlim_max)
			return seen("limit %d is %llu", i, (unsigned long long)limit.rlim_max);
		if (limit.rlim_max == RLIM_INFINITY)
			continue;
		limit.rlim_max++;
		if (!setrlimit(i, &limit) || errno != EPERM)
			return seen("limit %d can be raised", i);
	}
	return NULL;
}

static const char *interfaces(void)
{
	const char *at = text_of("/proc/net/dev");
	int n = 0, lo = 0;

	for (at = strchr(at, '\n'); at && at[1] && (at = strchr(at + 1, '\n')); n++)
		;
	lo = !!strstr(text_of("/proc/net/dev"), "\n    lo:");
	return n == 2 && lo ? NULL : seen("%d lines, %s lo", n, lo ? "with" : "without");
}

static const char *root_flags(void)
{
	struct statvfs fs;
	unsigned long wanted = ST_RDONLY | ST_NOSUID | 4 /* ST_NODEV */;

	return !statvfs("/", &fs) && (fs.f_flag & wanted) == wanted ? NULL : seen("flags 0x%lx", fs.f_flag);
}

struct mounted {
	char root[200], at[200], options[200], rest[400];
};

static const char *mount_nosuid(const struct mounted *m)
{
	return strstr(m->options, "nosuid") ? NULL : m->at;
}

/* Where device nodes work: of our own /dev, and our null over what is hidden. */
static const char *mount_nodev(const struct mounted *m)
{
	struct stat st;
	int null = !stat(m->at, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);

	return strstr(m->options, "nodev") || null || !strcmp(m->at, "/dev") || !strcmp(m->at, "/dev/pts") ? NULL : m->at;
}

static const char *mount_noexec(const struct mounted *m)
{
	return strstr(m->options, "noexec") || !strcmp(m->at, "/") ? NULL : m->at;
}

static const char *mount_private(const struct mounted *m)
{
	const char *tags = strstr(m->rest, "shared:") || strstr(m->rest, "master:") ? m->rest : NULL;

	return tags && tags < strstr(m->rest, " - ") ? m->rest : NULL;
}

static const char *mount_path(const struct mounted *m)
{
	return strstr(m->root, "launcher") || strstr(m->rest, "launcher") || strstr(m->rest, "/run") || strstr(m->root, "//deleted") ||
	       strstr(m->root, "/run") ? m->at : NULL;
}

/* Most mounts can't be written; what can forgets, and is not the image. */
static const char *mount_writable(const struct mounted *m)
{
	return !strncmp(m->options, "ro", 2) || !strcmp(m->at, "/proc") || !strcmp(m->at, "/dev/shm") || !strcmp(m->at, "/dev/pts") ? NULL : m->at;
}

/* The first mount for which the check has something to say. */
static const char *mounts(const char *(*check)(const struct mounted *m))
{
	static struct mounted m;
	const char *at = text_of("/proc/self/mountinfo"), *text = at, *bad;

	for (; *at; at = strchr(at, '\n') + 1) {
		if (sscanf(at, "%*d %*d %*s %199s %199s %199s %399[^\n]", m.root, m.at, m.options, m.rest) != 4)
			return seen("a line that is no mount: %.80s", at);
		if ((bad = check(&m)))
			return seen("%s", bad);
	}
	return *text ? NULL : "there is none";
}

static const struct {
	const char *name;
	int major, minor;
} nodes[] = { { "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 } };

/* All nodes that there are, and are what their names say; the rest is links and directories. */
static const char *device_nodes(void)
{
	static const char others[] = " fd stdin stdout stderr ptmx pts shm ";
	DIR *dir = opendir("/dev");
	struct dirent *e;
	struct stat st;
	char word[64];
	int n = 0, i;

	while (dir && (e = readdir(dir))) {
		if (*e->d_name == '.')
			continue;
		for (i = 0; i < LEN(nodes) && strcmp(nodes[i].name, e->d_name); i++)
			;
		snprintf(word, sizeof word, " %.60s ", e->d_name);
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || (i == LEN(nodes) && (!strstr(others, word) || S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))))
			return seen("%s", e->d_name);
		if (i < LEN(nodes) && (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(nodes[i].major, nodes[i].minor) || (st.st_mode & 0777) != 0666))
			return seen("%s is %o, %u:%u", e->d_name, (unsigned)st.st_mode, major(st.st_rdev), minor(st.st_rdev));
		n += i < LEN(nodes);
	}
	if (dir)
		closedir(dir);
	return n == LEN(nodes) ? NULL : seen("%d nodes", n);
}

static struct {
	int names, writable;
	char list[300];
} walked;

/*
 * Looks for what can be written below a directory; `path` grows and shrinks with the way. What is
 * found takes memory of the kernel's, charged to the container, so there is an end to the depth.
 */
static void walk(int fd, char *path, size_t end, int depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	struct stat st;

	while (dir && (e = readdir(dir))) {
		int pid = !strcmp(path, "/proc") && (*e->d_name >= '0' && *e->d_name <= '9');
		if (e->d_type == DT_LNK || !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || pid)
			continue;
		snprintf(path + end, PATH_MAX - end, "/%s", e->d_name);
		walked.names++;
		if (!faccessat(fd, e->d_name, W_OK, 0) && strcmp(path, "/dev/shm") && strcmp(path, "/dev/pts") && strcmp(path, FILE_HERE) &&
		    !fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) && !(S_ISCHR(st.st_mode) && major(st.st_rdev) == 1) &&
		    strcmp(path, "/dev/tty") && strcmp(path, "/dev/pts/ptmx")) {
			size_t n = strlen(walked.list);
			snprintf(walked.list + n, sizeof walked.list - n, " %.100s", path);
			walked.writable++;
		}
		int below = e->d_type == DT_DIR && depth && strcmp(path, "/proc") && strcmp(path, "/sys") ?
				openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
		if (below >= 0)
			walk(below, path, strlen(path), depth - 1);
		path[end] = '\0';
	}
	if (dir)
		closedir(dir);
	else
		close(fd);
}

static const char *nothing_writable(const char *below, int depth)
{
	static char path[PATH_MAX];

	memset(&walked, 0, sizeof walked);
	strcpy(path, below);
	walk(open(*below ? below : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), path, strlen(path), depth);
	if (!walked.names)
		return "nothing is there";
	printf("# %s: %d names\n", *below ? below : "/", walked.names);
	return walked.writable ? seen("%d:%s", walked.writable, walked.list) : NULL;
}

static const char *survives(void)
{
	kill(1, SIGKILL);
	kill(1, SIGSTOP);
	return getppid() == 1 ? NULL : "it is gone";
}

static const char *host_name(void)
{
	struct utsname names;

	uname(&names);
	return !strcmp(names.nodename, "probe") && !strcmp(names.domainname, "(none)") ? NULL : seen("%s, %s", names.nodename, names.domainname);
}

static void properties(void)
{
	static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
	sigset_t blocked;
	int death = 0;

	prctl(PR_GET_PDEATHSIG, &death);
	result("its only descriptors are stdio, and stdin is /dev/null", descriptors());
	result("its working directory is /, and nothing is above it", directory());
	result("no signal is ignored", zero_caps("SigIgn"));
	result("no signal is caught", zero_caps("SigCgt"));
	result("no signal is blocked", sigprocmask(SIG_SETMASK, NULL, &blocked) || memcmp(&blocked, zeros, 8) ? seen("%s", status_of("SigBlk")) : NULL);
	result("no signal is pending", zero_caps("ShdPnd"));
	result("its environment is PATH, HOME, TERM", environment());
	result("its mask for new files is 022", is_field("Umask", "0022"));
	result("its name is that of its program", is_field("Name", "probe"));
	result("its parent is PID 1", is_number(getppid(), 1));
	result("it leads a session", is_number(getsid(0), getpid()));
	result("it leads a process group", is_number(getpgid(0), getpid()));
	result("no signal comes when its parent dies", is_number(death, 0));
	result("its loader has no reason for secure mode", is_number((long)getauxval(AT_SECURE), 0));
	for (int i = 0; i < LEN(sets); i++)
		result(sets[i], zero_caps(sets[i]));
	result("NoNewPrivs", is_field("NoNewPrivs", "1"));
	result("Seccomp", is_field("Seccomp", "2"));
	result("securebits are set, and locked", securebits());
	result("its user is 0 of a namespace", is_field("Uid", "0\t0\t0\t0"));
	result("its group is 0 of a namespace", is_field("Gid", "0\t0\t0\t0"));
	result("it has no other groups", is_field("Groups", ""));
	result("uid_map: 65536 users who are nobody else", id_map("/proc/self/uid_map"));
	result("gid_map: 65536 groups that are nobody else", id_map("/proc/self/gid_map"));
	result("it is not traced", is_field("TracerPid", "0"));
	result("its policy is SCHED_OTHER", is_number(syscall(__NR_sched_getscheduler, 0L), SCHED_OTHER));
	result("its nice value is 0", is_number(getpriority(PRIO_PROCESS, 0), 0));
	result("it may run on every CPU", affinity());
	result("its I/O has no priority", io_priority());
	result("its timers have the default slack", is_number(prctl(PR_GET_TIMERSLACK), 50000));
	result("its personality is that of Linux", is_number(personality_of_self(), 0));
	result("its oom_score_adj is 0", is_number(atol(text_of("/proc/self/oom_score_adj")), 0));
	result("limits", limits());
	result("its host name is that of the row", host_name());
	result("the only network is lo", interfaces());
	result("its cgroup is the root of all that it sees", cgroup());
	result("no process but its own is there", processes());
	result("the root is read-only, nosuid, nodev", root_flags());
	result("mounts: nosuid", mounts(mount_nosuid));
	result("mounts: nodev, but for /dev", mounts(mount_nodev));
	result("mounts: noexec, but for the root", mounts(mount_noexec));
	result("mounts: none passes on what is mounted", mounts(mount_private));
	result("mounts: none tells a path of the host", mounts(mount_path));
	result("mounts: read-only, but for those of processes, memory and terminals", mounts(mount_writable));
	result("/dev has six nodes, and they are what they seem", device_nodes());
	result("PID 1 survives SIGKILL and SIGSTOP of its workload", survives());
}

/* Of the copy of this program that has more than its permissions: 0, if that gave it nothing. */
static int privileges(void)
{
	return getuid() != geteuid() || getgid() != getegid() || zero_caps("CapPrm") || zero_caps("CapEff") ? 255 : 0;
}

/* In a root that is hostile: 7, if nevertheless all is in its place, and nothing of the host is. */
static int look(void)
{
	static const struct {
		const char *at;
		long type;
	} places[] = { { "/proc", 0x9fa0 }, { "/sys", 0x62656572 }, { "/dev", 0x1021994 }, { "/tmp", 0x1021994 } };
	struct statfs fs;
	char path[PATH_MAX];

	for (int i = 0; i < LEN(places); i++)
		if (statfs(places[i].at, &fs) || (long)fs.f_type != places[i].type)
			return 20 + i;
	if (device_nodes() || descriptors() != NULL)
		return 30;
	if (!getcwd(path, sizeof path) || *path != '/' || !access("canary-5b1d", F_OK) || !access("/run/test", F_OK))
		return 31;
	return getuid() != geteuid() || zero_caps("CapEff") ? 32 : 7;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return !strcmp(argv[1], "privileges") ? privileges() : !strcmp(argv[1], "look") ? look() : 0;
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	tried = mmap(NULL, sizeof *tried, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	properties();
	int fd = open(FILE_HERE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, 8192))
		result("a file in /dev/shm", strerror(errno));
	close(fd);
	attempts(refused, LEN(refused));
	attempts(needed, LEN(needed));
	/* Last: what they find stays in memory of the kernel's, and the row has little. */
	result("nothing of the image or /dev can be written", nothing_writable("", 9));
	result("nothing of /proc can be written", nothing_writable("/proc", 9));
	result("nothing of /proc/self/net can be written", nothing_writable("/proc/self/net", 9));
	result("nothing of /sys can be written", nothing_writable("/sys", 2));
	result("PID 1 is still there", is_number(getppid(), 1));
	printf("1..%d\n", count);
	return failed;
}
