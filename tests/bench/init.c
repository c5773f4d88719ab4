/*
 * init - how long does it take at least from the kernel to the first workload in its container?
 *
 * takes: nothing; or, behind -- on the kernel command line, `digest`: it works out that of the image before
 * it believes it; or `only`: the workload replaces it, and has no image and no container
 *
 * PID 1 of a device that makes the system calls which a container takes and does nothing else: no policy is
 * looked at, what the image holds is believed (see unpack.c), and a failure is a panic. The container has
 * limits, all namespaces, users and a /dev of its own, no capabilities, no new privileges and a filter of
 * system calls that allows all.
 */

#define main unpack_main /* of the floor of unpacking, which is a part of this one */
#include "unpack.c"
#undef main
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define LEN(array) ((int)(sizeof(array) / sizeof *(array)))
#define IN_PAGES
#define INLINED static inline __attribute__((always_inline))
#ifdef __arm__
#define VECTORS __attribute__((target("fpu=neon")))
#else
#define VECTORS
#endif
#define HAS_VECTORS 1
static size_t min(size_t a, size_t b) { return a < b ? a : b; }
#define le32 digest_le32
#include "digest.h" /* that chapter of launcher.c */
#undef le32

#define IMAGE "/images/bench.img"
#define ROOT "/run/root"
#define CGROUP "/sys/fs/cgroup/first"

static void put(const char *to, const char *text) {
	int fd = open(to, O_WRONLY | O_CLOEXEC);

	check(write(fd, text, strlen(text)) > 0, to);
	close(fd);
}

static void mount_new(const char *type, const char *at, const char *options) {
	check(!mount(type, at, type, MS_NOSUID, options), at);
}

/* pivot_root(2) refuses the initramfs as an old root; a bind of it, moved over it, is accepted. */
static void device_make(void) {
	mkdir("/run", 0755);
	check(!mount("/", "/run", NULL, MS_BIND, NULL) && !chdir("/run") &&
		  !mount(".", "/", NULL, MS_MOVE, NULL) && !chroot(".") && !chdir("/"),
	      "leaving the initramfs");
	mount_new("proc", "/proc", NULL);
	mount_new("sysfs", "/sys", NULL);
	mount_new("devtmpfs", "/dev", NULL);
	mount_new("tmpfs", "/run", NULL);
	mount_new("cgroup2", "/sys/fs/cgroup", NULL);
}

/* The modules of the board, if it has some, in the order that the build host has worked out. */
static void modules_load(void) {
	static char list[8192];
	int dir = open("/modules", O_RDONLY | O_DIRECTORY), file = openat(dir, "load", O_RDONLY);

	if (read(file, list, sizeof list - 1) > 0)
		for (char *name = strtok(list, "\n"); name; name = strtok(NULL, "\n")) {
			char *parameters = name + strcspn(name, " ");
			if (*parameters) *parameters++ = '\0';
			int fd = openat(dir, name, O_RDONLY);
			syscall(SYS_finit_module, fd, parameters, 0);
			close(fd);
		}
	close(file);
	close(dir);
}

/* As the launcher does it, chunk by chunk. It is compared with none. */
static void image_digest(void) {
	uint8_t digest[DIGEST_SIZE];

	image_map(IMAGE);
	for (size_t n; in.at < in.end; in.at += n) digest_make(digest, in.at, n = min(in.end - in.at, 256 << 10));
}

static void root_make(void) {
	mkdir(ROOT, 0755);
	mount_new("tmpfs", ROOT, "mode=755");
	root = open(ROOT, O_PATH | O_DIRECTORY);
	umask(0);
	unpack(IMAGE);
	check(!mount(NULL, ROOT, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL),
	      "a root that is read-only");
}

static void cgroup_make(void) {
	put("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids +cpu");
	mkdir(CGROUP, 0755);
	put(CGROUP "/memory.max", "16777216");
	put(CGROUP "/pids.max", "8");
	put(CGROUP "/cpu.max", "100000 100000");
}

static void places_make(void) {
	static const struct {
		const char *name;
		int major, minor;
	} nodes[] = { { "null", 1, 3 },    { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 },
		      { "urandom", 1, 9 }, { "tty", 5, 0 },  { "kmsg", 1, 11 } };

	mount_new("proc", "proc", NULL);
	check(!mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_RDONLY, NULL), "sys");
	mount_new("tmpfs", "dev", "mode=755");
	mkdir("dev/pts", 0755);
	mkdir("dev/shm", 01777);
	mount_new("devpts", "dev/pts", "newinstance,ptmxmode=0666");
	mount_new("tmpfs", "dev/shm", NULL);
	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
		int fd = open("dev", O_PATH);
		check(!mknodat(fd, nodes[i].name, S_IFCHR | 0666,
			       makedev(nodes[i].major, nodes[i].minor)),
		      nodes[i].name);
		close(fd);
	}
}

/* In the new namespaces. Who made them gives it its users, for which the pipe is there. */
static void container_enter(int ask, int answer) {
	struct sock_filter allow = BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW);
	struct sock_fprog filter = { 1, &allow };
	char byte = 0;

	check(!unshare(CLONE_NEWCGROUP) && !sethostname("first", 5), "names");
	check(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && !chdir(ROOT), "its mounts");
	places_make();
	check(!syscall(SYS_pivot_root, ".", ".") && !umount2(".", MNT_DETACH) && !chdir("/"),
	      "its root");
	check(!unshare(CLONE_NEWUSER) && write(ask, &byte, 1) == 1 && read(answer, &byte, 1) == 1,
	      "its users");
	for (int cap = 0; !prctl(PR_CAPBSET_DROP, cap); cap++)
		;
	check(!setgroups(0, NULL) && !setresgid(0, 0, 0) && !setresuid(0, 0, 0), "its root");
	check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
		  !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter),
	      "its bounds");
	execl("/bin/first", "first", NULL);
	check(0, "the workload");
}

static void container_start(void) {
	struct { /* of clone3(2) */
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
		    set_tid, set_tid_size, cgroup;
	} args = { .exit_signal = SIGCHLD };
	int ask[2], answer[2];
	char byte, path[64];

	args.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC |
		     0x200000000 /* CLONE_INTO_CGROUP */;
	args.cgroup = open(CGROUP, O_PATH | O_DIRECTORY | O_CLOEXEC);
	check(!pipe2(ask, O_CLOEXEC) && !pipe2(answer, O_CLOEXEC), "pipes");
	long pid = syscall(SYS_clone3, &args, sizeof args);
	check(pid >= 0, "clone3");
	if (!pid) container_enter(ask[1], answer[0]);
	check(read(ask[0], &byte, 1) == 1, "the child");
	sprintf(path, "/proc/%ld/uid_map", pid);
	put(path, "0 268435456 65536");
	sprintf(path, "/proc/%ld/gid_map", pid);
	put(path, "0 268435456 65536");
	check(write(answer[1], &byte, 1) == 1, "the child");
}

int main(int argc, char **argv) {
	if (argc > 1 && !strcmp(argv[1], "only")) {
		mount_new("devtmpfs", "/dev", NULL);
		execl("/bin/first", "first", NULL);
	}
	device_make();
	modules_load();
	cgroup_make();
	if (argc > 1 && !strcmp(argv[1], "digest")) image_digest();
	root_make();
	container_start();
	for (;;) wait(NULL);
}
