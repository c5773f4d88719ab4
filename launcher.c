/*
 * launcher - a container launcher for embedded Linux, in one static file
 *
 * A bare Linux kernel starts this program as PID 1; it turns the device into a few confined
 * services, as the policy in config.h says, and keeps them running. There is no shell, no
 * daemon and no configuration file beside it. The one program leads four lives:
 *
 *   boot        PID 1 of the device, until everything is ready for containers
 *   supervise   from then on: unpack, start, watch, restart, stop; answer the control socket
 *   inside      the child that builds a container from within, and stays as its PID 1
 *   ask         the command line: `launcher ps`, `launcher logs web`, `launcher run x.img`
 *
 * The file is a book. Everything is defined before it is used and main() comes last, so a call
 * to a later chapter does not compile, and who reads downwards always knows the words:
 *
 *   Part I     Words: nothing runs
 *               1  types            containers, units, the constants that libc lacks
 *               2  policy           config.h, and the rules that it has to obey
 *   Part II    Tools: they return 0 or -errno and decide nothing; they use log and files, and
 *              otherwise not each other
 *               3  log              text, the launcher's own lines, the ring of each container
 *               4  files            small files, paths that are walked and never trusted
 *               5  image: trust     its header, who signed it, the digests of its chunks
 *               6  image: frames    LZ4 frames, decoded piece by piece
 *               7  image: headers   what a tar archive says, if it says it once
 *               8  image: entries   made below one directory and nowhere else
 *               9  cgroup           limits, on cgroup v2, v1 and the hybrid of both
 *              10  mount            a row of operations makes /proc, /sys and /dev
 *              11  confine          capabilities, system calls, users, loopback
 *   Part III   Lives that may die: a failure is die("what"), so they are complete or nothing
 *              12  children         what each does first, and how its parent knows it
 *              13  unpacker         an image becomes a root, behind a wall
 *              14  inside           PID 1 of a container
 *              15  boot             a device, or a place on a laptop, made ready
 *              16  ask              what is printed, and asked
 *              17  verbs            the command line
 *              18  save             a root becomes a tar
 *   Part IV    The life that may not: `die` and `exit` are poisoned
 *              19  instance         the state of each container: state x event -> action
 *              20  control          the socket that the command line asks
 *              21  loop             wait, look up, call; then main
 *
 * Data runs down: policy -> instance -> child. What comes back up from a child is one exit
 * status and, if it could not do its work, one line of text through a close-on-exec pipe.
 *
 * There is no heap. What PID 1 needs is sized by the policy, so it is known when it is linked;
 * unpacking and every other long or risky step runs in a child, inside the container's limits.
 */

/* ==== Part I: Words =========================================================================== */

/* ---- 1  types ----------------------------------------------------------------------------------
 *
 * What a policy can say, in `struct container`, and the macros that it says it with. Zero means
 * no: the value that a row leaves out is the strictest, or the sane default that is named here.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/reboot.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h> /* rename */
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "blake2.h"
#include "crypto_api.h"
#include "lz4.h"
#define XXH_STATIC_LINKING_ONLY
#include "xxhash.h"

#include BOARD_H

#undef alloca
#pragma GCC poison malloc calloc realloc free strdup asprintf alloca
#pragma GCC poison printf fprintf sprintf snprintf puts system popen opendir

#ifndef __OPTIMIZE__
#error "the rules of the policy are checked by the optimiser: build with -O1 or more"
#endif
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define BY_NAME
#define MOST_ROWS 16 /* clang folds no more in reasonable time */
#else
#define UNROLL _Pragma("GCC unroll 64")
#define BY_NAME __attribute__((designated_init)) /* no field is initialised by its position */
#define MOST_ROWS 64
#endif
#ifndef BOARD_MODULES
#define BOARD_MODULES NULL /* a board whose kernel needs none, or loads its own */
#endif
#ifndef VERSION
#define VERSION "0.1"
#endif
#ifndef KEYS
#define KEYS /* public keys beside those of the policy: make KEYS=file */
#endif
#ifndef EMBED
#define EMBED /* images inside this file: make EMBED=file */
#endif
#ifndef P_PIDFD
#define P_PIDFD 3 /* waitid(2), Linux 5.4 */
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL /* clone(2), Linux 5.7 */
#endif

/* The system calls of this machine, by the name of seccomp(2); those that it lacks are -1. */
#if defined __x86_64__
#define ARCH "x86_64"
#define OUR_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCH "aarch64"
#define OUR_AUDIT_ARCH AUDIT_ARCH_AARCH64
#elif defined __arm__
#define ARCH "armv7"
#define OUR_AUDIT_ARCH AUDIT_ARCH_ARM
#elif defined __riscv
#define ARCH "riscv64"
#define OUR_AUDIT_ARCH AUDIT_ARCH_RISCV64
#endif
#ifndef SYS_fork
#define SYS_fork -1
#endif
#ifndef SYS_fstat
#define SYS_fstat -1
#endif
#ifndef SYS_newfstatat
#define SYS_newfstatat -1
#endif
#ifndef SYS_fstat64
#define SYS_fstat64 -1
#define SYS_fstatat64 -1
#define SYS_fchown32 -1
#define SYS_ftruncate64 -1
#define SYS_utimensat_time64 -1
#endif

/* An image as part of this file: a row of the section `embedded`, which the linker delimits. */
#define EMBEDDED(name, path)                                                                       \
	__asm__(                                                                                   \
	    ".pushsection .rodata.images, \"a\"\n"                                                 \
	    "1: .asciz \"" name "\"\n2: .incbin \"" path "\"\n3:\n.popsection\n"                   \
	    ".pushsection embedded, \"a\"\n.balign 4\n.long 1b - ., 2b - ., 3b - 2b\n.popsection");
extern const struct embedded { /* offsets from the field itself: nothing has to be relocated */
	int32_t name, bytes;
	uint32_t size;
} __start_embedded[] __attribute__((weak, visibility("hidden"))),
    __stop_embedded[] __attribute__((weak, visibility("hidden")));
EMBED

enum { CGROUP2_MAGIC = 0x63677270, RAMFS_MAGIC = (int)0x858458f6, TMPFS_MAGIC = 0x01021994 };

typedef unsigned long long u64; /* bytes, milliseconds, bits: %llu on every architecture */
typedef long long i64;

struct clone3_args { /* clone(2), clone3(): struct clone_args, version 2 of Linux 5.7 */
	u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
	    set_tid_size, cgroup;
};

enum { NO, YES };
enum { READ = 1, WRITE = 2, OPTIONAL = 4 }; /* OPTIONAL: what is not there is left out */
enum restart { NEVER, ON_FAILURE, ALWAYS };
enum userns { OWN, HOST };

/* What a row gets that does not say: bytes, microseconds in each 100 ms, tasks. */
enum { DEFAULT_MEMORY = 4 << 20, DEFAULT_CPU = 10000, DEFAULT_PIDS = 4 };

/* Groups of system calls. What no group has, like mount(2) or bpf(2), nobody gets. */
enum may {
	FILES = 1 << 0,     /* open, make, rename and remove them */
	PROCESSES = 1 << 1, /* fork, wait for, and signal them */
	THREADS = 1 << 2,   /* have them, schedule them */
	LOCAL = 1 << 3,     /* sockets of the family AF_UNIX */
	INET = 1 << 4,      /* of AF_INET, AF_INET6 and AF_NETLINK */
	USERS = 1 << 5,     /* become another user, change capabilities */
	IPC = 1 << 6,       /* of System V, and POSIX message queues */
	DEFAULT = (1 << 7) - 1,
	TRACE = 1 << 7,    /* debug other processes of the container */
	SET_TIME = 1 << 8, /* the clock of the machine, with CAP_SYS_TIME */
	PACKET = 1 << 9,   /* sockets of AF_PACKET, with CAP_NET_RAW */
};

struct tmpfs {
	const char *path; /* below the container's root, made if the image lacks it */
	u64 size;         /* bytes; it counts against memory.max too */
	u64 inodes;       /* files and directories; default one for each KiB */
};

struct data {
	const char *name; /* of a directory that is kept, in the board's directory for data */
	const char *path; /* where the container finds it */
};

struct bind {
	const char *from, *path; /* outside; inside */
	int may;                 /* READ, WRITE; OPTIONAL: it need not exist */
};

struct device {
	const char *path; /* its node, here and there */
	int may;          /* READ, WRITE; OPTIONAL */
	char type;        /* 'c', 'b'; if it is given, so are: */
	int major, minor; /* what the node has to be; or is made, if there is none outside */
};

struct io {
	const char *device; /* of a disk */
	u64 rbps, wbps, riops,
	    wiops; /* the most that it reads and writes in a second: bytes; operations */
};

struct limit {
	int resource; /* RLIMIT_... of setrlimit(2) */
	u64 most;
};

struct setting {
	const char *name, *value; /* of a file: of the cgroup; of sysctl(8), with dots */
};

struct container {
	const char *name;           /* a-z 0-9 _ -: names the cgroup, the host name, the log */
	const char *image;          /* part of this program, or file in the board's images */
	const char *place;          /* where it is, if elsewhere: a file, a partition, a flash */
	const char *fallback;       /* used, once, if the image there is missing or not sound */
	const char *version;        /* the least that is accepted: an older image is refused */
	const char *const *command; /* what to execute, found in PATH; default: the image's own */
	const char *const *env;     /* beside PATH, HOME and TERM, which it can replace */
	const int *after;           /* rows that have to be up before this one starts */
	struct {
		u64 max;      /* bytes of memory, the unpacked image included; default 4 MiB */
		u64 high;     /* bytes from which on it is slowed down */
		u64 low, min; /* bytes that others can't take easily, or at all */
		u64 swap;     /* bytes of swap; default none */
	} memory;
	struct {
		u64 max;    /* microseconds of CPU in each 100 ms, see PERCENT; default 10 % */
		u64 burst;  /* of them, as many can be saved up for later */
		u64 weight; /* 1 to 10000, against other containers; default 100 */
		u64 idle;   /* YES: only what nobody else wants */
		const char *cpus; /* those that it may use: "0", "0-1,3"; default all */
		const char *mems; /* and nodes of memory */
	} cpu;
	u64 pids; /* tasks, the container's PID 1 included; default 4 */
	struct {
		const struct io *max;
		u64 weight; /* 1 to 10000; default 100 */
	} io;
	struct {
		const char *pages; /* their size in the words of the kernel: "2MB" */
		u64 max;           /* bytes of such pages; default none */
	} hugetlb;
	const struct setting *cgroup; /* other files of the cgroup, by the names of this kernel */
	const struct limit *limits;   /* of its processes; RLIMIT_CORE is 0 by default */
	int oom_score_adj;            /* -1000 to 1000: the higher, the sooner it is killed */
	int nice;                     /* -20 to 19 */
	struct {
		int policy, priority; /* sched(7): SCHED_FIFO, 1 to 99 */
	} schedule;
	u64 affinity;    /* a bit for each CPU that it runs on; default all */
	int io_priority; /* IO_REALTIME(0 to 7), IO_BEST_EFFORT(0 to 7), IO_IDLE */
	u64 timer_slack; /* nanoseconds that its timers may be late; default 50000 */
	struct {
		long monotonic, boottime; /* seconds that these clocks are ahead in it */
	} clock;
	const struct setting *sysctl; /* of its own namespaces: net, kernel.shm, fs.mqueue */

	const char *user;             /* "UID:GID" in the container; default: the image's, or 0:0 */
	enum userns userns;           /* HOST: its users are those of the machine */
	u64 keep;                     /* capabilities that are not dropped: CAPS(KILL, ...) */
	u64 may;                      /* groups of system calls: FILES | INET; default DEFAULT */
	const char *label;            /* SELinux context, AppArmor profile or Smack label */
	u64 root;                     /* READ_ONLY, SCRATCH(size): it forgets; or PERSISTENT */
	const struct tmpfs *tmpfs;    /* the places that can be written, and forget */
	const struct data *data;      /* the places that can be written, and remember */
	const struct bind *binds;     /* files and directories of the machine */
	const struct device *devices; /* beside null, zero, full, random, urandom and tty */
	const char *const *writable;  /* of all these, the only paths that are; default all */
	u64 tolerate;                 /* what the kernel may lack: LACKS(LANDLOCK, ...) */

	enum restart restart;
	struct {
		u64 first, limit; /* ms before a restart; doubles; default 1 s, 60 s */
	} backoff;
	struct {
		int signal; /* asks it to stop; default SIGTERM */
		u64 grace;  /* ms until it is killed; default 5 s */
	} stop;
	unsigned console : 1; /* stdin, stdout and stderr are the console, not the log */
	unsigned control : 1; /* has the launcher's verbs, in /dev/launcher */
} BY_NAME;

/* A checked constant expression: n, if the condition holds. */
#define CHECKED(n, condition, sentence)                                                            \
	((n) + 0 * sizeof(struct {                                                                 \
		       _Static_assert(condition, sentence);                                        \
		       int unused;                                                                 \
	       }))
#define KiB(n) CHECKED((n)*1024ULL, (n) >= 1 && (n) <= 1 << 22, "KiB(n): n is 1 to 4194304")
#define MiB(n) CHECKED((n)*1048576ULL, (n) >= 1 && (n) <= 65536, "MiB(n): n is 1 to 65536")
#define PERCENT(n) CHECKED((n)*1000ULL, (n) >= 1 && (n) <= 6400, "PERCENT(n): n is 1 to 6400")
#define SECONDS(n) CHECKED((n)*1000ULL, (n) >= 1 && (n) <= 86400, "SECONDS(n): n is 1 to 86400")
#define MILLISECONDS(n)                                                                            \
	CHECKED((n)*1ULL, (n) >= 1 && (n) <= 60000, "MILLISECONDS(n): n is 1 to 60000")
#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define ENV(...)                                                                                   \
	(ARGV(__VA_ARGS__) + CHECKED(0, LEN(ARGV(__VA_ARGS__)) <= 57, "ENV: at most 56 words"))
#define AFTER(...) ((const int[]){ __VA_ARGS__, -1 })
#define LIST(type, ...) ((const struct type[]){ __VA_ARGS__, { 0 } })
#define CAP(name) (1ULL << CAP_##name)
#define LACK(name) (1ULL << NEED_##name)
#define EACH_1(f, a, ...) f(a) __VA_OPT__(| EACH_2(f, __VA_ARGS__))
#define EACH_2(f, a, ...) f(a) __VA_OPT__(| EACH_3(f, __VA_ARGS__))
#define EACH_3(f, a, ...) f(a) __VA_OPT__(| EACH_4(f, __VA_ARGS__))
#define EACH_4(f, a, ...) f(a) __VA_OPT__(| EACH_5(f, __VA_ARGS__))
#define EACH_5(f, a, ...) f(a) __VA_OPT__(| EACH_6(f, __VA_ARGS__))
#define EACH_6(f, a, ...) f(a) __VA_OPT__(| EACH_7(f, __VA_ARGS__))
#define EACH_7(f, a, ...) f(a) __VA_OPT__(| EACH_8(f, __VA_ARGS__))
#define EACH_8(f, a) f(a)
#define CAPS(...) (EACH_1(CAP, __VA_ARGS__))
#define LACKS(...) (EACH_1(LACK, __VA_ARGS__))
#define READ_ONLY 0
#define PERSISTENT 1ULL
#define SCRATCH(size) (size)
#define IO_REALTIME(n) (1 << 13 | (n)) /* ioprio_set(2) */
#define IO_BEST_EFFORT(n) (2 << 13 | (n))
#define IO_IDLE (3 << 13)

enum { IDS = 65536 }; /* users, and groups, of a container */

/* Of a user namespace; the others are asked of those who own the machine, or its network. */
#define EFFECTIVE_CAPS                                                                             \
	(CAPS(CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, KILL, SETGID, SETUID) |        \
	 CAPS(SETPCAP, SYS_CHROOT, SYS_PTRACE, SETFCAP, NET_ADMIN, NET_RAW, NET_BROADCAST,         \
	      NET_BIND_SERVICE))

/* What a kernel can lack. A row is refused if it needs that and does not tolerate it. */
enum need {
	NEED_USERNS,
	NEED_SECCOMP,
	NEED_DEVICES,
	NEED_MEMORY,
	NEED_SWAP,
	NEED_PIDS,
	NEED_CPU,
	NEED_CPUSET,
	NEED_IO,
	NEED_HUGETLB,
	NEED_OVERLAY,
	NEED_LANDLOCK,
	NEED_LABEL,
	NEED_TIMENS,
	NEEDS
};

/* Who may sign images; several, for rotation. Without any key, unsigned images are accepted. */
enum { MOST_KEYS = 8 };
static const char *const keys[MOST_KEYS]; /* of config.h: the second line of signify's NAME.pub */
static const char *const more_keys[] = { KEYS NULL };

#define DEVICE(major, minor) ((major) << 8 | (minor)) /* makedev(3), but constant everywhere */
#define LEN(array) ((int)(sizeof(array) / sizeof *(array)))

/* ---- 2  policy ---------------------------------------------------------------------------------
 *
 * config.h can hold only policy, for no function exists yet. A rule that looks across rows is a
 * call to a function that must not be called: the optimiser folds the condition over the const
 * table, and what remains stops the build with the sentence. What can't be folded stops it too.
 */

#include CONFIG_H

_Static_assert(NCONTAINERS >= 1 && NCONTAINERS <= MOST_ROWS,
	       "policy: there are 1 to 64 containers, or to 16 when clang compiles");
_Static_assert(LEN(containers) == NCONTAINERS, "policy: a container of the enum has no row");
_Static_assert(LOG_SIZE >= 1024 && (LOG_SIZE & (LOG_SIZE - 1)) == 0,
	       "policy: LOG_SIZE is a power of two, from KiB(1)");

#define RULE(name, sentence) extern void name(void) __attribute__((error("policy: " sentence)))
RULE(rule_name, "a .name is 1 to 31 characters of a-z 0-9 _ -, and starts with a letter");
RULE(rule_unique, "two containers have the same .name");
RULE(rule_image, "a row has no .image, or one with a / or a dot in front");
RULE(rule_place,
     "two rows with the same .image have another .place, .fallback, .version or .userns");
RULE(rule_version, "a .version is not one to four numbers with dots between them");
RULE(rule_key, "one of the keys is not the second line of a public key of signify");
RULE(rule_command, "a .command is empty: leave it out for the image's own");
RULE(rule_after, ".after names the row itself, or one that starts later");
RULE(rule_memory, "a .memory.max is less than 512 KiB");
RULE(rule_ram, "the sum of .memory.max is more than the RAM of the board");
RULE(rule_pids, "a .pids is less than 2: the container's PID 1, and the workload");
RULE(rule_backoff, "a .backoff.first is more than its .limit");
RULE(rule_signal, "a .stop.signal is not a signal");
RULE(rule_restart, "a .restart is not NEVER, ON_FAILURE or ALWAYS");
RULE(rule_tmpfs, "a .tmpfs has no size, or a path that is not absolute or leads upwards");
RULE(rule_data, "a .data has no proper .name, or a .path that is not absolute or leads upwards");
RULE(rule_binds, "one of .binds says neither READ nor WRITE, or has a path that is not absolute");
RULE(rule_devices, "one of .devices says neither READ nor WRITE, or is not below /dev/");
RULE(rule_sysctl, "a .sysctl is not of net, kernel.shm, kernel.msg, kernel.sem or fs.mqueue");
RULE(rule_user, "a .user is not UID:GID, two numbers below 65536");
RULE(rule_keep, "a capability of .keep has no effect but with .userns = HOST");
RULE(rule_limits, "a .memory.low, .min or .high is more than its .max, or a .cpu.burst is");
RULE(rule_weight, "a .weight is more than 10000, or one of the CPU with .idle");
RULE(rule_pages, "a .hugetlb has .pages and no .max, or the other way round");
RULE(rule_nice, "a .nice is not -20 to 19, or an .oom_score_adj not -1000 to 1000");
RULE(rule_schedule, "a .schedule is not SCHED_FIFO or SCHED_RR with a priority of 1 to 99");
RULE(rule_console, "more than one row has the .console");

static inline __attribute__((always_inline)) int name_ok(const char *s)
{
	UNROLL
	for (int n = 0; n < 32; n++) {
		if (!s[n])
			return n > 0;
		if (!((s[n] >= 'a' && s[n] <= 'z') ||
		      (n && ((s[n] >= '0' && s[n] <= '9') || s[n] == '_' || s[n] == '-'))))
			return 0;
	}
	return 0;
}

static inline __attribute__((always_inline)) int image_ok(const char *s)
{
	return s && s[0] && s[0] != '.' && !__builtin_strchr(s, '/');
}

static inline __attribute__((always_inline)) int version_ok(const char *s)
{
	int digits = 0, dots = 0;

	if (!s)
		return 1;
	UNROLL
	for (int n = 0; n < 40; n++) {
		if (!s[n])
			return digits > 0;
		if (s[n] == '.' ? !digits || ++dots > 3 : s[n] < '0' || s[n] > '9' || digits > 8)
			return 0;
		digits = s[n] == '.' ? 0 : digits + 1;
	}
	return 0;
}

/* A file or device that another row gives too, or that neither has. */
static inline __attribute__((always_inline)) int same(const char *a, const char *b)
{
	return a && b ? !__builtin_strcmp(a, b) : a == b;
}

static inline __attribute__((always_inline)) int path_ok(const char *s)
{
	return s && s[0] == '/' && !__builtin_strstr(s, "/..");
}

static inline __attribute__((always_inline)) int user_ok(const char *s)
{
	int number = 0, digits = 0, colons = 0;

	if (!s)
		return 1;
	UNROLL
	for (int n = 0; n < 12; n++) {
		if (!s[n])
			return digits && colons == 1;
		if (s[n] == ':' ? !digits || colons++ : s[n] < '0' || s[n] > '9')
			return 0;
		number = s[n] == ':' ? 0 : number * 10 + s[n] - '0';
		digits = s[n] != ':';
		if (number >= IDS)
			return 0;
	}
	return 0;
}

static inline __attribute__((always_inline)) void rules_of_limits(const struct container *c)
{
	u64 memory = c->memory.max ? c->memory.max : DEFAULT_MEMORY;

	if (c->memory.high > memory || c->memory.low > memory || c->memory.min > memory ||
	    c->cpu.burst > (c->cpu.max ? c->cpu.max : DEFAULT_CPU))
		rule_limits();
	if (c->cpu.weight > 10000 || c->io.weight > 10000 || (c->cpu.weight && c->cpu.idle))
		rule_weight();
	if (!c->hugetlb.pages != !c->hugetlb.max)
		rule_pages();
	if (c->nice < -20 || c->nice > 19 || c->oom_score_adj < -1000 || c->oom_score_adj > 1000)
		rule_nice();
	if (!c->schedule.policy ? c->schedule.priority
				: c->schedule.policy > SCHED_RR || c->schedule.priority < 1 ||
				      c->schedule.priority > 99)
		rule_schedule();
}

/* Of a list, which has at most 16 rows. */
#define RULE_OF_LIST(rule, list, first, wrong)                                                     \
	UNROLL                                                                                     \
	for (int i = 0; i <= 8; i++) {                                                             \
		if (!c->list || !c->list[i].first)                                                 \
			break;                                                                     \
		if (i == 8 || (wrong))                                                             \
			rule();                                                                    \
	}

static inline __attribute__((always_inline)) void rules_of_lists(const struct container *c)
{
#define IS_BELOW(s, prefix) (!__builtin_strncmp(s, prefix, sizeof(prefix) - 1))
#define MAY_NOTHING(row) (!((row).may & (READ | WRITE)))
	RULE_OF_LIST(rule_tmpfs, tmpfs, path, c->tmpfs[i].size < 4096 || !path_ok(c->tmpfs[i].path))
	RULE_OF_LIST(rule_data, data, name, !name_ok(c->data[i].name) || !path_ok(c->data[i].path))
	RULE_OF_LIST(rule_binds, binds, from,
		     MAY_NOTHING(c->binds[i]) || !path_ok(c->binds[i].from) ||
			 !path_ok(c->binds[i].path))
	RULE_OF_LIST(rule_devices, devices, path,
		     MAY_NOTHING(c->devices[i]) || !path_ok(c->devices[i].path) ||
			 !IS_BELOW(c->devices[i].path, "/dev/"))
	RULE_OF_LIST(rule_sysctl, sysctl, name,
		     !IS_BELOW(c->sysctl[i].name, "net.") &&
			 !IS_BELOW(c->sysctl[i].name, "kernel.shm") &&
			 !IS_BELOW(c->sysctl[i].name, "kernel.msg") &&
			 !IS_BELOW(c->sysctl[i].name, "kernel.sem") &&
			 !IS_BELOW(c->sysctl[i].name, "fs.mqueue."))
}

static inline __attribute__((always_inline)) void rules_of_row(const struct container *c, int row)
{
	if (!c->name || !name_ok(c->name))
		rule_name();
	if (!image_ok(c->image))
		rule_image();
	if (c->command && !c->command[0])
		rule_command();
	if (!version_ok(c->version))
		rule_version();
	if (c->memory.max && c->memory.max < KiB(512))
		rule_memory();
	if (c->pids == 1)
		rule_pids();
	if (c->backoff.first > (c->backoff.limit ? c->backoff.limit : SECONDS(60)))
		rule_backoff();
	if (c->stop.signal < 0 || c->stop.signal > 64)
		rule_signal();
	if (c->restart > ALWAYS)
		rule_restart();
	if (!user_ok(c->user))
		rule_user();
	if (c->userns != HOST && c->keep & ~EFFECTIVE_CAPS)
		rule_keep();
	rules_of_limits(c);
	rules_of_lists(c);
	UNROLL
	for (int i = 0; i <= NCONTAINERS; i++) {
		if (!c->after || c->after[i] < 0)
			break;
		if (i == NCONTAINERS || c->after[i] >= row)
			rule_after();
	}
}

static inline __attribute__((always_inline)) void rules_of_two(const struct container *a,
							       const struct container *b)
{
	if (!__builtin_strcmp(a->name, b->name))
		rule_unique();
	if (!__builtin_strcmp(a->image, b->image) &&
	    (!same(a->place, b->place) || !same(a->fallback, b->fallback) ||
	     !same(a->version, b->version) || a->userns != b->userns))
		rule_place();
}

static __attribute__((used)) void rules(void)
{
	u64 sum = 0;
	int consoles = 0;

	UNROLL
	for (int i = 0; i < NCONTAINERS; i++) {
		rules_of_row(&containers[i], i);
		sum += containers[i].memory.max ? containers[i].memory.max : DEFAULT_MEMORY;
		consoles += containers[i].console;
		UNROLL
		for (int j = 0; j < i; j++)
			rules_of_two(&containers[i], &containers[j]);
	}
	UNROLL
	for (int i = 0; i < MOST_KEYS + LEN(more_keys); i++) {
		const char *key = i < MOST_KEYS ? keys[i] : more_keys[i - MOST_KEYS];
		if (key && (__builtin_strlen(key) != 56 || key[0] != 'R' || key[1] != 'W'))
			rule_key();
	}
	if (sum > BOARD_RAM)
		rule_ram();
	if (consoles > 1)
		rule_console();
}

/* ==== Part II: Tools ========================================================================== */

/* ---- 3  log ------------------------------------------------------------------------------------
 *
 * Text without stdio (whose printf is larger than all of LZ4), the launcher's own lines, and the
 * ring that keeps the latest output of a container. Nothing here blocks: a console that does not
 * take a line loses it, and the loss is counted.
 */

struct text { /* a bounded string being made; a full one drops the rest */
	char *at, *end;
};

static void text_pad(struct text *t, const char *s, size_t n, int width, char fill)
{
	size_t room = width < 0 ? -width : width, gap = room > n ? room - n : 0;

	for (size_t i = 0; width > 0 && i < gap && t->at < t->end; i++)
		*t->at++ = fill;
	for (size_t i = 0; i < n && t->at < t->end; i++)
		*t->at++ = s[i];
	for (size_t i = 0; width < 0 && i < gap && t->at < t->end; i++)
		*t->at++ = ' ';
}

static void text_number(struct text *t, u64 n, unsigned base, int negative, int width, char fill)
{
	char digits[24], *p = digits + sizeof digits;

	do
		*--p = "0123456789abcdef"[n % base];
	while (n /= base);
	if (negative)
		*--p = '-';
	text_pad(t, p, digits + sizeof digits - p, width, fill);
}

/* The conversions d u x lld llu llx s c m and %, with - or 0 and a width, and %.*s. */
static void text_va(struct text *t, const char *f, va_list ap)
{
	for (; *f; f++) {
		if (*f != '%') {
			text_pad(t, f, 1, 0, ' ');
			continue;
		}
		int left = *++f == '-', wide = 0, width = 0, precision = -1;
		char fill = f[left] == '0' ? '0' : ' ';
		for (f += left; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + *f - '0';
		if (*f == '.') {
			precision = va_arg(ap, int);
			f += 2;
		}
		if (*f == 'l') {
			wide = 1;
			f += 2;
		}
		if (left)
			width = -width;
		if (*f == 's' || *f == 'm') {
			const char *s = *f == 'm' ? strerror(errno) : va_arg(ap, const char *);
			text_pad(t, s, strnlen(s, precision < 0 ? SIZE_MAX : (size_t)precision),
				 width, ' ');
		} else if (*f == 'd') {
			i64 n = wide ? va_arg(ap, i64) : va_arg(ap, int);
			text_number(t, n < 0 ? 0 - (u64)n : (u64)n, 10, n < 0, width, fill);
		} else if (*f == 'u' || *f == 'x') {
			text_number(t, wide ? va_arg(ap, u64) : va_arg(ap, unsigned),
				    *f == 'x' ? 16 : 10, 0, width, fill);
		} else {
			char c = *f == 'c' ? (char)va_arg(ap, int) : '%';
			text_pad(t, &c, 1, width, ' ');
		}
	}
}

/* Makes a string of at most size-1 bytes in buf, always terminated; returns its length. */
static __attribute__((format(__printf__, 3, 4))) size_t format(char *buf, size_t size,
							       const char *f, ...)
{
	struct text t = { buf, buf + size - 1 };
	va_list ap;

	va_start(ap, f);
	text_va(&t, f, ap);
	va_end(ap);
	*t.at = '\0';
	return t.at - buf;
}

/* A decimal number of at most 18 digits at *p, which is moved behind it. */
static int decimal(const char **p, const char *end, i64 *number)
{
	const char *start = *p;

	for (*number = 0; *p < end && *p < start + 18 && **p >= '0' && **p <= '9'; ++*p)
		*number = *number * 10 + **p - '0';
	return *p > start ? 0 : -ERANGE;
}

/* Less than, equal to or greater than 0, as version a is to b: 1.9 is less than 1.10, as 1 is. */
static int version_compare(const char *a, const char *b)
{
	for (i64 x = 0, y = 0;; x = y = 0) {
		int none = decimal(&a, a + strlen(a), &x) & decimal(&b, b + strlen(b), &y);
		if (x != y || none)
			return x < y ? -1 : x > y;
		a += *a == '.';
		b += *b == '.';
	}
}

/* CLOCK_BOOTTIME in milliseconds: it counts through a suspend, and nobody can set it. */
static u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static struct {
	int fd;         /* where lines go */
	int kmsg;       /* it is /dev/kmsg, which wants a priority */
	int quiet;      /* lines of containers are not copied, only kept */
	unsigned lost;  /* lines that fd did not take since the last one that it took */
	const char *as; /* who speaks */
} journal = { .fd = STDERR_FILENO, .as = "launcher" };

/* How many of n bytes at s are one printable character of UTF-8? 0: they begin with none. */
static size_t text_length(const char *s, size_t n)
{
	static const uint32_t least[] = { ' ', 0xa0, 0x800,
					  0x10000 }; /* no controls, no longer forms */
	unsigned char first = s[0];
	size_t more = first < 0x80 ? 0 : first < 0xc0 ? n : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
	uint32_t c = more ? first & 0x3f >> more : first;

	if (more >= n || first >= 0xf8)
		return 0;
	for (size_t i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c != '\t' &&
	    (c < least[more] || c == 0x7f || (c >= 0xd800 && c < 0xe000) || c >= 0x110000))
		return 0;
	return more + 1;
}

/* Writes one line. What could steer a terminal becomes '?': a log is hostile input. */
static void log_line(const char *who, const char *s, size_t n)
{
	char line[512];
	size_t head = format(line, sizeof line, "%s%s: ", journal.kmsg ? "<6>" : "", who);

	for (size_t i = 0, step; i < n && head < sizeof line - 4; i += step) {
		size_t good = text_length(s + i, n - i);
		step = good ? good : 1;
		memcpy(line + head, good ? s + i : "?", step);
		head += step;
	}
	line[head++] = '\n';
	if (write(journal.fd, line, head) != (ssize_t)head) {
		journal.lost++;
	} else if (journal.lost) {
		head = format(line, sizeof line, "%slauncher: %u lines were not shown here\n",
			      journal.kmsg ? "<4>" : "", journal.lost);
		if (write(journal.fd, line, head) == (ssize_t)head)
			journal.lost = 0;
	}
}

/* Text that is used at once: what `say` and its like are given may not be in here itself. */
static char scratch[1024];

#define words(...) (format(scratch, sizeof scratch, __VA_ARGS__), scratch)

/* One line of the launcher's own. */
#define say(...) log_line(journal.as, scratch, format(scratch, sizeof scratch, __VA_ARGS__))

/* The latest LOG_SIZE bytes of a stream. Positions count from its first byte and never wrap. */
struct ring {
	u64 end;   /* position after the latest byte */
	u64 shown; /* how far it has been copied to the journal */
	char bytes[LOG_SIZE];
};

/* Reads once from fd, at most 4 KiB: a flood gets no more than its turn. Returns as read(2). */
static ssize_t ring_fill(struct ring *r, int fd)
{
	size_t at = r->end % LOG_SIZE, room = LOG_SIZE - at;
	ssize_t n = read(fd, r->bytes + at, room < 4096 ? room : 4096);

	if (n > 0)
		r->end += n;
	return n;
}

/* The bytes from *at on, as far as they lie in one piece; *at skips what was overwritten. */
static size_t ring_peek(const struct ring *r, u64 *at, const char **bytes)
{
	if (r->end - *at > LOG_SIZE)
		*at = r->end - LOG_SIZE;
	size_t from = *at % LOG_SIZE, n = r->end - *at, piece = LOG_SIZE - from;

	*bytes = r->bytes + from;
	return n < piece ? n : piece;
}

/* Copies the lines that are new to the journal. What has no end yet waits, up to 400 bytes. */
static void ring_show(struct ring *r, const char *who)
{
	char line[400];
	size_t n = 0;

	if (r->end - r->shown > LOG_SIZE)
		r->shown = r->end - LOG_SIZE;
	for (u64 at = r->shown; at < r->end; at++) {
		char c = r->bytes[at % LOG_SIZE];
		if (c == '\n' || n == sizeof line) {
			if (!journal.quiet)
				log_line(who, line, n);
			n = 0;
			r->shown = at + (c == '\n');
		}
		if (c != '\n')
			line[n++] = c;
	}
}

/* ---- 4  files ----------------------------------------------------------------------------------
 *
 * Small files are read and written whole. A path below a directory that somebody else filled is
 * walked one name at a time and follows no link (CVE-2015-1335, CVE-2021-30465, CVE-2025-31133).
 */

/* Opens path below dir; every name but the last is a real directory, and the last no link. */
static int path_open(int dir, const char *path, int flags)
{
	struct { /* openat2(2), Linux 5.6: all at once; what was wrong is found name by name */
		u64 flags, mode, resolve;
	} at_once = { (unsigned)flags | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	char name[NAME_MAX + 1];
	int fd = dir, next;

	path += strspn(path, "/");
	if (!strstr(path, "..")) {
		next = (int)syscall(SYS_openat2, dir, *path ? path : ".", &at_once, sizeof at_once);
		if (next >= 0 || (errno != ENOSYS && errno != EPERM && errno != ELOOP))
			return next < 0 ? -errno : next;
	}
	for (;;) {
		path += strspn(path, "/");
		size_t n = strcspn(path, "/");
		const char *rest = path + n + strspn(path + n, "/");
		if (n > NAME_MAX || (n == 2 && !memcmp(path, "..", 2))) {
			next = -1;
			errno = n > NAME_MAX ? ENAMETOOLONG : EXDEV;
		} else {
			memcpy(name, n ? path : ".", n ? n : 1);
			name[n ? n : 1] = '\0';
			int how = *rest ? O_PATH | O_DIRECTORY : flags;
			next = openat(fd, name, how | O_NOFOLLOW | O_CLOEXEC);
		}
		struct stat st;
		int error = next < 0 ? errno : 0;
		if (fd != dir)
			close(fd);
		if (!error && (flags & O_PATH) && !fstat(next, &st) && S_ISLNK(st.st_mode)) {
			close(next); /* O_PATH opens the link itself */
			error = ELOOP;
		}
		if (error)
			return -error;
		if (!*rest)
			return next;
		fd = next;
		path = rest;
	}
}

/* Makes path below dir, with the directories that lead there; what exists is left as it is. */
static int path_mkdir(int dir, const char *path)
{
	char part[PATH_MAX];

	for (size_t n = strspn(path, "/"); path[n]; n += strspn(path + n, "/")) {
		n += strcspn(path + n, "/");
		if (format(part, sizeof part, "%.*s", (int)n, path) != n)
			return -ENAMETOOLONG;
		char *leaf = strrchr(part, '/');
		if (leaf)
			*leaf++ = '\0';
		int parent = path_open(dir, leaf ? part : "", O_PATH | O_DIRECTORY);
		if (parent < 0)
			return parent;
		int made = mkdirat(parent, leaf ? leaf : part, 0755), error = errno;
		close(parent);
		if (made && error != EEXIST)
			return -error;
	}
	return 0;
}

/* Waits until path exists, at most ms milliseconds: a disk is found some time after the boot. */
static void path_wait(const char *path, int ms)
{
	char parent[PATH_MAX], events[1024];
	struct pollfd change = { .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .events = POLLIN };
	u64 end = now() + (u64)ms;

	format(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
	inotify_add_watch(change.fd, parent, IN_CREATE | IN_MOVED_TO);
	while (access(path, F_OK) && errno == ENOENT && now() < end)
		if (poll(&change, 1, (int)(end - now())) > 0)
			while (read(change.fd, events, sizeof events) > 0)
				;
	close(change.fd);
}

/* Writes text to an existing file. A kernel file takes it in one write or refuses it. */
static int file_write(int dir, const char *path, const char *text)
{
	int fd = openat(dir, path, O_WRONLY | O_CLOEXEC), failed = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		failed = -errno;
	close(fd);
	return failed;
}

/* Reads at most size-1 bytes and terminates them; returns their number. */
static ssize_t file_read(int dir, const char *path, char *buf, size_t size)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, got = 0;

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	while ((size_t)n < size - 1 && (got = read(fd, buf + n, size - 1 - n)) > 0)
		n += got;
	int error = errno;
	close(fd);
	buf[n] = '\0';
	return got < 0 ? -error : n;
}

/* The number that stands after `key ` in a file of such lines, or alone in it for "". */
static int file_number(int dir, const char *path, const char *key, u64 *number)
{
	char text[2048];
	size_t n = strlen(key);
	ssize_t got = file_read(dir, path, text, sizeof text);

	if (got < 0)
		return got;
	for (char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (!n || (!strncmp(p, key, n) && p[n] == ' ')) {
			*number = 0;
			for (p += n + !!n; *p >= '0' && *p <= '9'; p++)
				*number = *number * 10 + *p - '0';
			return 0;
		}
	return -ENODATA;
}

/* Is word one of the words, which blanks, commas or newlines divide? */
static int word_in(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = words; (p = strstr(p, word)); p += n)
		if ((p == words || strchr(" ,\n", p[-1])) && strchr(" ,\n", p[n]))
			return 1;
	return 0;
}

/*
 * Calls visit(dir, name) for each name in the directory until that returns non-zero, and gives it
 * back. An entry, getdents(2), has its length at 16 and its name at 19.
 */
static int dir_each(int dir, int (*visit)(int dir, const char *name))
{
	_Alignas(u64) char buf[2048];
	ssize_t n;
	int stop = 0;

	lseek(dir, 0, SEEK_SET);
	while (!stop && (n = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0) {
		unsigned short step;
		for (char *p = buf; !stop && p < buf + n; p += step) {
			const char *name = p + 19;
			memcpy(&step, p + 16, sizeof step);
			if (strcmp(name, ".") && strcmp(name, ".."))
				stop = visit(dir, name);
		}
	}
	return stop;
}

/* Removes one entry. Returns the open directory, plus one, if it has to be emptied first. */
static int tree_remove_entry(int dir, const char *name)
{
	if (!unlinkat(dir, name, 0) || (errno != EISDIR && errno != EPERM) ||
	    !unlinkat(dir, name, AT_REMOVEDIR))
		return 0;
	if (errno != ENOTEMPTY)
		return 0;
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) + 1;
}

/* Empties the open directory fd and closes it. Iterative, for a tree may be deeper than a stack. */
static void tree_empty(int fd)
{
	for (unsigned depth = 0;;) {
		int next = dir_each(fd, tree_remove_entry);
		if (next) {
			depth++;
			next--;
		} else if (depth--) {
			next = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		} else {
			next = -1;
		}
		close(fd);
		if (next < 0)
			return;
		fd = next;
	}
}

/* ---- 5  image: trust ---------------------------------------------------------------------------
 *
 * Where the bytes of an image come from, and whether they may be used. In front of an image stands
 * its header: text in a skippable LZ4 frame, signed as `signify -S -e` does it, with a digest of
 * each chunk of what follows. The signature is verified before the header is read, and a chunk
 * before anything else sees it; what is used later are the very bytes that were verified
 * (CVE-2020-25860). A refusal leaves a sentence in `why` and returns -EBADMSG.
 */

enum {
	HEADER_MAGIC = 0x184D2A50,
	HEADER_MAX = 128 << 10,
	SHARDS_MAX = 17,
	WORDS_MAX = 32,
	CHUNK_MIN = 64 << 10,
	CHUNK_MAX = 1 << 20,
	READ_AHEAD = 128 << 10, /* of an image without chunks */
	DIGEST_SIZE = 32,
	KEY_NUMBER = 8, /* signify: "Ed", the number of the key, then the key or the signature */
	SIGNATURE_SIZE = crypto_sign_ed25519_BYTES,
};

struct header { /* of an image; what it does not say is 0 */
	const char *name, *version, *arch, *kernel, *cwd, *user, *payload, *comment;
	const char *entry[WORDS_MAX + 1], *env[WORDS_MAX + 1];
	u64 created, unpacked, entries; /* seconds; bytes; number */
	u64 size, chunk;                /* bytes: of all that follows, of each chunk of it */
	u64 shards[SHARDS_MAX + 1];     /* where each begins; then the size */
	const char *digests;            /* lines of the same length, one for each chunk */
	const struct hash *hash;
	unsigned nentry, nenv, nshards, ndigests;
};

struct image {
	int fd;                 /* of a file or device; or -1: */
	const uint8_t *memory;  /* it is a part of this program */
	int device;             /* it may be larger than what was written to it */
	u64 size, body;         /* of the file; where what follows the header begins in it */
	u64 next, stop;         /* where the next read begins, where the last one ends */
	size_t skip;            /* of the next chunk: what belongs to the shard before */
	uint8_t *in, *out;      /* compressed bytes; HISTORY and decoded ones */
	size_t in_at, in_end;   /* what is read and not used yet */
	size_t out_at, out_end; /* what is decoded and not used yet */
	u64 offset;             /* in the file, of in[in_at] */
	unsigned frames;        /* seen so far */
	enum { IN_NONE, IN_STANDARD, IN_LEGACY } inside;
	int linked, block_sum, content_sum, sized;
	size_t block_max;
	u64 frame_size, made; /* bytes that the frame promises, has given */
	XXH32_state_t hash;   /* of the frame's content */
	struct {              /* a block that is decoded in pieces */
		int on;
		size_t left, room; /* compressed bytes to come; bytes that it may still give */
		enum { AT_TOKEN, AT_LITERALS, AT_MATCH } phase;
		size_t literals, match; /* of the latest sequence: bytes still to copy */
		unsigned nibble, distance;
		XXH32_state_t hash; /* of the compressed bytes */
	} big;
	int anyone;                  /* who has signed it does not matter */
	int trusted;                 /* one of our keys has signed the header */
	uint8_t digest[DIGEST_SIZE]; /* of the header, and so of all: names the image */
	uint8_t signer[KEY_NUMBER];  /* its number, or that of a stranger's; zeros: not signed */
	struct header header;
	char text[HEADER_MAX + 256];   /* the header, cut into lines */
	const char *pairs, *pairs_end; /* in text: key, value, key... each with a NUL behind it */
	char why[256];
};

/* Leaves a sentence and is -EBADMSG. */
#define refuse(m, ...) (format((m)->why, sizeof(m)->why, __VA_ARGS__), -EBADMSG)

/* What goes wrong in the bytes themselves: says where. */
static int corrupt(struct image *m, const char *what)
{
	return refuse(m, "%s (at byte %llu)", what, m->offset);
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Hashes of 32 bytes. 64-bit CPUs are faster with BLAKE2b, and ours for 32 bits lacks it. */
static const struct hash {
	const char *name;
	int (*make)(uint8_t *, const void *in, const void *key, size_t out_size, size_t, size_t);
} hashes[] = {
	{ "blake2s", blake2s },
	{ "blake2b", sizeof(long) < 8 ? NULL : blake2b },
};

static int digit_of(const char *digits, char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Decodes base64 in its one proper form: none of its bits can change without being noticed. */
static int base64(const char *s, size_t n, uint8_t *to, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	size_t whole = (size * 8 + 5) / 6;
	unsigned bits = 0, held = 0;

	if (n != (size + 2) / 3 * 4)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int value = digit_of(digits, s[i]);
		if (i >= whole ? s[i] != '=' : value < 0)
			return -EINVAL;
		if (i >= whole)
			continue;
		bits = bits << 6 | (unsigned)value;
		if ((held += 6) >= 8)
			*to++ = (uint8_t)(bits >> (held -= 8));
	}
	return bits & ((1U << held) - 1) ? -EINVAL : 0;
}

enum { MOST_PUBLIC = MOST_KEYS + LEN(more_keys) };

/* A public key, by its index below MOST_PUBLIC; NULL: none there. */
static const char *public_key(int i)
{
	return i < MOST_KEYS ? keys[i] : more_keys[i - MOST_KEYS];
}

static int any_key(void)
{
	int n = 0;

	for (int i = 0; i < MOST_PUBLIC; i++)
		n += !!public_key(i);
	return n;
}

/* Reads n bytes at `next`, or what there is of them. Returns their number, or -EBADMSG. */
static ssize_t source_read(struct image *m, void *to, size_t n)
{
	size_t at = 0;

	if (m->fd < 0) {
		at = m->size - m->next < n ? m->size - m->next : n;
		memcpy(to, m->memory + m->next, at);
	}
	while (m->fd >= 0 && at < n) {
		ssize_t got = pread(m->fd, (char *)to + at, n - at, m->next + at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return refuse(m, "reading: %m (at byte %llu)", m->next + at);
		if (!got)
			break;
		at += got;
	}
	m->next += at;
	return at;
}

static const char not_signed[] = "not signed, and only signed images are accepted";

/* Who signed the n bytes of text? Returns how many of them stand before the header proper. */
static ssize_t signature_verify(struct image *m, size_t n)
{
	static uint8_t opened[sizeof m->text], key[2 + KEY_NUMBER + 32];
	uint8_t signature[2 + KEY_NUMBER + SIGNATURE_SIZE];
	unsigned long long size;
	char *line = memchr(m->text, '\n', n), *end = NULL;

	if (strncmp(m->text, "untrusted comment: ", 19))
		return any_key() && !m->anyone ? refuse(m, "%s", not_signed) : 0;
	if (line && ++line)
		end = memchr(line, '\n', m->text + n - line);
	/* The top bits are never set: the order of the group has been added, to no effect. */
	if (!end || base64(line, end - line, signature, sizeof signature) ||
	    memcmp(signature, "Ed", 2) || signature[sizeof signature - 1] & 0xf0)
		return refuse(m, "the signature is malformed");
	memcpy(m->signer, signature + 2, KEY_NUMBER);
	n -= ++end - m->text;
	for (int i = 0; i < MOST_PUBLIC; i++) {
		const char *known = public_key(i);
		if (!known || base64(known, strlen(known), key, sizeof key) ||
		    memcmp(key + 2, m->signer, KEY_NUMBER))
			continue;
		/* It is to stand in front of what it signs: over its own line, which is longer. */
		char *both = end - SIGNATURE_SIZE;
		memcpy(both, signature + 2 + KEY_NUMBER, SIGNATURE_SIZE);
		if (crypto_sign_ed25519_open(opened, &size, (uint8_t *)both, n + SIGNATURE_SIZE,
					     key + 2 + KEY_NUMBER))
			return refuse(m, "the signature does not match");
		m->trusted = YES;
	}
	if (any_key() && !m->trusted && !m->anyone)
		return refuse(m, "signed by a key that is not known here");
	line[-1] = '\0';
	return end - m->text;
}

/* The keys of a header, and where their values belong: strings or numbers, one or several. */
static const struct header_key {
	const char *name;
	unsigned most, is_number;
	size_t to, count;
} header_keys[] = {
#define ONE(name, to, is_number)                                                                   \
	{                                                                                          \
		name, 1, is_number, offsetof(struct header, to), 0                                 \
	}
#define MANY(name, to, most, is_number)                                                            \
	{                                                                                          \
		name, most, is_number, offsetof(struct header, to), offsetof(struct header, n##to) \
	}
	ONE("signed", comment, NO),
	ONE("name", name, NO),
	ONE("version", version, NO),
	ONE("arch", arch, NO),
	ONE("kernel", kernel, NO),
	ONE("created", created, YES),
	MANY("entry", entry, WORDS_MAX, NO),
	MANY("env", env, WORDS_MAX, NO),
	ONE("cwd", cwd, NO),
	ONE("user", user, NO),
	ONE("payload", payload, NO),
	ONE("unpacked", unpacked, YES),
	ONE("entries", entries, YES),
	ONE("size", size, YES),
	ONE("chunk", chunk, YES),
	MANY("shard", shards, SHARDS_MAX, YES),
};

/* Takes in the value of a known key, the nth of those that it can have. */
static int header_set(struct image *m, const struct header_key *k, unsigned n, const char *value)
{
	char *to = (char *)&m->header + k->to;
	const char *end = value + strlen(value);
	i64 number;

	if (n >= k->most)
		return refuse(m, "header: %s: more than %u of them", k->name, k->most);
	if (!k->is_number) {
		((const char **)(void *)to)[n] = value;
		return 0;
	}
	if (decimal(&value, end, &number) || value != end)
		return refuse(m, "header: %s is not a number", k->name);
	((u64 *)(void *)to)[n] = (u64)number;
	return 0;
}

/* The nth value of a key, as text; NULL: it has no more. A number needs the buffer. */
static const char *header_get(const struct header *h, const struct header_key *k, unsigned n,
			      char buf[24])
{
	const char *from = (const char *)h + k->to;
	unsigned count = k->count ? *(const unsigned *)(const void *)((const char *)h + k->count)
				  : 1;

	if (n >= count)
		return NULL;
	if (!k->is_number)
		return ((const char *const *)(const void *)from)[n];
	format(buf, 24, "%llu", ((const u64 *)(const void *)from)[n]);
	return buf;
}

/* A line with the digest of a chunk: they follow each other, so the first one leads to all. */
static int header_digest(struct image *m, const struct hash *hash, const char *line, size_t n)
{
	struct header *h = &m->header;

	if (!h->digests) {
		h->digests = line;
		h->hash = hash;
	}
	if (h->hash != hash || line != h->digests + h->ndigests * (n + 1) ||
	    n != strlen(hash->name) + 1 + 2 * DIGEST_SIZE)
		return refuse(m, "header: a digest is out of line");
	h->ndigests++;
	return 0;
}

/* Takes in a value. seen: how many each key has so far; unknown keys are ignored. */
static int header_pair(struct image *m, const char *key, const char *value, unsigned *seen)
{
	for (int i = 0; i < LEN(header_keys); i++) {
		const struct header_key *k = &header_keys[i];
		if (strcmp(key, k->name))
			continue;
		if (k->count)
			++*(unsigned *)(void *)((char *)&m->header + k->count);
		return header_set(m, k, seen[i]++, value);
	}
	return 0;
}

/* Makes two strings of the line `KEY VALUE` of n bytes, and takes them in. */
static int header_line(struct image *m, char *line, size_t n, unsigned *seen)
{
	char *value = memchr(line, ' ', n);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			return refuse(m, "header: a line with a control character");
	if (!value || value == line)
		return refuse(m, "header: a line is not 'key value'");
	*value++ = line[n] = '\0';
	for (int i = 0; i < LEN(hashes); i++)
		if (!strcmp(line, hashes[i].name))
			return header_digest(m, &hashes[i], line, n);
	return header_pair(m, line, value, seen);
}

/* Does what the header says make sense, and fit the file? */
static int header_check(struct image *m)
{
	struct header *h = &m->header;
	u64 chunks = h->chunk ? (h->size + h->chunk - 1) / h->chunk : 0;

	if (h->payload && strcmp(h->payload, "tar.lz4"))
		return refuse(m, "header: a payload of the kind '%s'", h->payload);
	if (h->chunk < CHUNK_MIN || h->chunk > CHUNK_MAX || h->chunk & (h->chunk - 1))
		return refuse(m, "header: chunks of an impossible size");
	if (!h->size || chunks != h->ndigests)
		return refuse(m, "header: %llu chunks, and %u digests", chunks, h->ndigests);
	if (!h->hash->make)
		return refuse(m, "header: digests with %s, for 64-bit machines", h->hash->name);
	h->nshards += !h->nshards;
	h->shards[h->nshards] = h->size;
	for (unsigned i = 0; i < h->nshards; i++)
		if (h->shards[i] >= h->shards[i + 1] || h->shards[0])
			return refuse(m, "header: a shard begins at an impossible place");
	if (!m->device && m->size < m->body + h->size)
		return refuse(m, "cut short: %llu bytes are missing", m->body + h->size - m->size);
	if (!m->device && m->size > m->body + h->size)
		return refuse(m, "%llu bytes follow its end", m->size - m->body - h->size);
	return 0;
}

/* Reads the header, the first n bytes of which are at m->text. Those of a signature come first. */
static int header_load(struct image *m, size_t n)
{
	static const char first[] = "launcher-image 1\n";
	unsigned seen[LEN(header_keys)] = { 0 };
	ssize_t at = signature_verify(m, n);
	int failed = 0;

	if (at < 0)
		return (int)at;
	char *line = m->text + at, *end = m->text + n;
	if (end - line > HEADER_MAX)
		return refuse(m, "a header of more than %d bytes", HEADER_MAX);
	if (end - line < (ssize_t)strlen(first) || memcmp(line, first, strlen(first)))
		return refuse(m, "header: its first line is not '%.*s'", 16, first);
	blake2s(m->digest, line, NULL, DIGEST_SIZE, end - line, 0);
	line += strlen(first);
	m->pairs = line;
	m->pairs_end = end;
	for (char *next; !failed && line < end; line = next + 1) {
		if (!(next = memchr(line, '\n', end - line)))
			return refuse(m, "header: its last line has no end");
		failed = header_line(m, line, next - line, seen);
	}
	/* The comment in front of a signature is signed here too. */
	const char *comment = at ? m->text + 19 : "", *said = m->header.comment;
	if (!failed && strcmp(comment, said ? said : ""))
		return refuse(m, "header: 'signed' is not the comment of the signature");
	return failed ? failed : header_check(m);
}

/* Finds the header, and reads it if it can be trusted. Without keys there need not be one. */
static int image_begin(struct image *m)
{
	static const char *const intros[] = { "launcher-image ", "untrusted comment: " };
	uint8_t frame[8] = { 0 };
	ssize_t got = source_read(m, frame, sizeof frame);
	u64 n = le32(frame) == HEADER_MAGIC ? le32(frame + 4) : 0;
	size_t some = n < 19 ? n : 19;

	if (got >= 0)
		got = source_read(m, m->text, some);
	if (got < 0)
		return (int)got;
	int is_ours = 0;
	for (int i = 0; i < LEN(intros); i++)
		is_ours |= !strncmp(m->text, intros[i], strlen(intros[i]));
	if (!is_ours) {
		m->next = 0; /* another skippable frame, or none */
		return any_key() && !m->anyone ? refuse(m, "%s", not_signed) : 0;
	}
	if (n >= sizeof m->text)
		return refuse(m, "a header of more than %d bytes", HEADER_MAX);
	got = source_read(m, m->text + some, n - some);
	if (got != (ssize_t)(n - some))
		return got < 0 ? (int)got : refuse(m, "cut short in the header");
	m->body = m->next;
	return header_load(m, n);
}

enum { IN_SIZE = CHUNK_MAX + (512 << 10), OUT_SIZE = 512 << 10 };

/*
 * Opens the image in a file or device, or in the size bytes of memory if fd is -1; the descriptor
 * stays the caller's. anyone: inspect it, whoever may have signed it. No byte behind the header is
 * read yet. Returns 0 or -EBADMSG.
 */
static int image_open(struct image *m, int fd, const uint8_t *memory, u64 size, int anyone)
{
	struct stat st = { .st_size = (off_t)size };

	memset(m, 0, sizeof *m);
	if (fd >= 0 && fstat(fd, &st))
		return refuse(m, "%m");
	m->fd = fd;
	m->memory = memory;
	m->anyone = anyone;
	m->device = fd >= 0 && !S_ISREG(st.st_mode);
	m->size = st.st_size;
	m->stop = ~0ULL;
	m->in = mmap(NULL, IN_SIZE + OUT_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->in == MAP_FAILED)
		return refuse(m, "memory: %m");
	m->out = m->in + IN_SIZE;
	return image_begin(m);
}

static void image_close(struct image *m)
{
	munmap(m->in, IN_SIZE + OUT_SIZE);
}

/* What is read next is that shard and no more; without a header, all of the image. */
static void image_rewind(struct image *m, unsigned shard)
{
	const struct header *h = &m->header;

	m->frames = m->inside = m->big.on = 0;
	m->in_at = m->in_end = m->out_at = m->out_end = 0;
	m->offset = m->next = m->body;
	if (!h->chunk)
		return;
	m->offset = m->body + h->shards[shard];
	m->stop = m->body + h->shards[shard + 1];
	m->skip = h->shards[shard] % h->chunk;
	m->next = m->offset - m->skip;
}

/* Are these n bytes the chunk of that number? */
static int chunk_matches(const struct header *h, u64 chunk, const uint8_t *bytes, size_t n)
{
	const char *name = h->hash->name;
	const char *hex = h->digests + chunk * (strlen(name) + 2 + 2 * DIGEST_SIZE);
	uint8_t digest[DIGEST_SIZE];
	int wrong = h->hash->make(digest, bytes, NULL, DIGEST_SIZE, n, 0);

	hex += strlen(name) + 1;
	for (int i = 0; i < 2 * DIGEST_SIZE; i++)
		wrong |= digit_of("0123456789abcdef", hex[i]) ^
			 (digest[i / 2] >> 4 * (~i & 1) & 15);
	return !wrong;
}

/* Reads more behind in[in_end]: a whole chunk, verified. Returns 1, 0 at the end, or -EBADMSG. */
static int image_fill(struct image *m)
{
	const struct header *h = &m->header;
	uint8_t *to = m->in + m->in_end;
	u64 at = m->next - m->body, n = READ_AHEAD;

	if (m->next >= m->stop)
		return 0;
	if (h->chunk)
		n = h->size - at < h->chunk ? h->size - at : h->chunk;
	ssize_t got = source_read(m, to, n);
	if (got < 0 || !h->chunk) {
		m->in_end += got > 0 ? got : 0;
		return got < 0 ? (int)got : got > 0;
	}
	if ((u64)got < n)
		return refuse(m, "cut short (at byte %llu)", m->next);
	if (!chunk_matches(h, at / h->chunk, to, n))
		return refuse(m, "chunk %llu, at byte %llu, does not match its digest",
			      at / h->chunk, m->body + at);
	m->in_end += n - (m->next > m->stop ? m->next - m->stop : 0);
	m->in_at += m->skip;
	m->skip = 0;
	return 1;
}

/* ---- 6  image: frames --------------------------------------------------------------------------
 *
 * A stream of LZ4 frames becomes bytes: standard frames (lz4_Frame_format.md 1.6.2, every checksum
 * verified), skippable ones, and the legacy frames that Buildroot, Yocto and the kernel's build
 * write. Small blocks are decoded whole, large ones in pieces, so half a megabyte is enough for
 * frames of any kind.
 */

enum {
	FRAME_MAGIC = 0x184D2204,
	LEGACY_MAGIC = 0x184C2102,
	SKIP_MAGIC = 0x184D2A50, /* and the fifteen after it */
	LEGACY_BLOCK = 8 << 20,
	WHOLE_BLOCK = 256 << 10, /* larger ones are decoded in pieces */
	HISTORY = 64 << 10,      /* what a match may refer back to */
};

/* Makes n bytes readable at in[in_at]. Returns 1, or 0 if the image ends before, or -EBADMSG. */
static int image_need(struct image *m, size_t n)
{
	for (int got; m->in_end - m->in_at < n;) {
		memmove(m->in, m->in + m->in_at, m->in_end - m->in_at);
		m->in_end -= m->in_at;
		m->in_at = 0;
		if ((got = image_fill(m)) <= 0)
			return got;
	}
	return 1;
}

/* The same where the image must not end: returns 1, or the refusal that says so. */
static int image_must(struct image *m, size_t n, const char *cut)
{
	int got = image_need(m, n);

	return got ? got : corrupt(m, cut);
}

static const uint8_t *image_take(struct image *m, size_t n)
{
	const uint8_t *p = m->in + m->in_at;

	m->in_at += n;
	m->offset += n;
	return p;
}

static int frame_skip(struct image *m)
{
	static const char *const cut = "cut short in a skippable frame";
	int got = image_must(m, 8, cut);
	u64 left = got > 0 ? 8ULL + le32(m->in + m->in_at + 4) : 0;

	for (size_t piece; got > 0 && left; left -= piece) {
		piece = left < READ_AHEAD ? left : READ_AHEAD;
		if ((got = image_must(m, piece, cut)) > 0)
			image_take(m, piece);
	}
	return got;
}

/* Reads the descriptor of a standard frame: FLG, BD, content size, header checksum. */
static int frame_standard(struct image *m)
{
	static const char *const cut = "cut short in a frame header";

	int got = image_must(m, 7, cut);

	if (got < 0)
		return got;
	const uint8_t *p = m->in + m->in_at + 4;
	unsigned flags = p[0], block = p[1] >> 4, n = flags & 8 ? 10 : 2;
	if (flags >> 6 != 1 || flags & 2 || p[1] & 0x8f || block < 4)
		return corrupt(m, "an LZ4 frame of an unknown kind");
	if (flags & 1)
		return corrupt(m, "the LZ4 frame needs a dictionary");
	if ((got = image_must(m, 4 + n + 1, cut)) < 0)
		return got;
	p = image_take(m, 4 + n + 1) + 4;
	if (p[n] != (XXH32(p, n, 0) >> 8 & 0xff))
		return corrupt(m, "the checksum of a frame header does not match");
	m->inside = IN_STANDARD;
	m->linked = !(flags & 0x20);
	m->block_sum = flags & 0x10;
	m->content_sum = flags & 4;
	m->sized = flags & 8;
	m->block_max = (size_t)1 << (8 + 2 * block);
	m->frame_size = m->sized ? le32(p + 2) | (u64)le32(p + 6) << 32 : 0;
	XXH32_reset(&m->hash, 0);
	return 1;
}

/* What is never written behind an image, in a partition or a flash that is larger than it. */
static int is_padding(const struct image *m, uint32_t word)
{
	return m->device && (!word || word == UINT32_MAX);
}

/* Enters the next frame. Returns 1, 0 at the end of the file, or -EBADMSG. */
static int frame_next(struct image *m)
{
	int got = image_need(m, 4);

	if (got < 0)
		return got;
	if (!got && m->in_at == m->in_end)
		return m->frames ? 0 : refuse(m, "the file is empty");
	uint32_t magic = got ? le32(m->in + m->in_at) : 1;
	if (m->frames && is_padding(m, magic))
		return 0;
	m->made = 0;
	m->out_at = m->out_end = 0;
	if (magic == FRAME_MAGIC) {
		got = frame_standard(m);
	} else if (magic == LEGACY_MAGIC) {
		image_take(m, 4);
		m->inside = IN_LEGACY;
		m->linked = m->sized = m->block_sum = m->content_sum = 0;
		m->block_max = LEGACY_BLOCK;
	} else if (magic >> 4 == SKIP_MAGIC >> 4) {
		got = frame_skip(m);
	} else {
		return corrupt(m, m->frames ? "what follows is no LZ4 frame" : "not an LZ4 image");
	}
	m->frames++;
	return got;
}

/* The end mark of a standard frame has been read: does the frame keep its promises? */
static int frame_end(struct image *m)
{
	m->inside = IN_NONE;
	if (m->content_sum) {
		int got = image_must(m, 4, "cut short before the checksum of a frame");
		if (got < 0)
			return got;
		if (le32(image_take(m, 4)) != XXH32_digest(&m->hash))
			return corrupt(m, "the checksum of a frame does not match");
	}
	if (m->sized && m->made != m->frame_size)
		return corrupt(m, "a frame is not as long as its header says");
	return 1;
}

/* Makes room for n bytes behind those that are decoded, of which a match can need the latest. */
static void out_room(struct image *m, size_t n, int linked)
{
	if (linked && m->out_end + n <= OUT_SIZE)
		return;
	size_t keep = !linked ? 0 : m->out_end < HISTORY ? m->out_end : HISTORY;
	memmove(m->out, m->out + m->out_end - keep, keep);
	m->out_at = m->out_end = keep;
}

/* Takes in n bytes that have been decoded behind the others. */
static int out_made(struct image *m, size_t n)
{
	if (m->content_sum)
		XXH32_update(&m->hash, m->out + m->out_end, n);
	m->out_at = m->out_end;
	m->out_end += n;
	m->made += n;
	if (m->sized && m->made > m->frame_size)
		return corrupt(m, "a frame is longer than its header says");
	return 1;
}

static const char bad_block[] = "a block does not decode";
static const char cut_in_block[] = "cut short in a block";

/* Decodes a block of n bytes; a linked one sees the 64 KiB before it. */
static int block_whole(struct image *m, size_t n, int stored)
{
	out_room(m, m->block_max, m->linked);
	char *to = (char *)m->out + m->out_end;
	const char *from = (const char *)image_take(m, n);
	int seen = m->out_end < HISTORY ? (int)m->out_end : HISTORY;
	int made = (int)n;

	if (stored)
		memcpy(to, from, n);
	else
		made = LZ4_decompress_safe_usingDict(from, to, (int)n, (int)m->block_max, to - seen,
						     seen);
	return made < 0 ? corrupt(m, bad_block) : out_made(m, made);
}

/* Takes n bytes out of the block that is decoded in pieces; NULL: there are not so many. */
static const uint8_t *piece_take(struct image *m, size_t n)
{
	int got = m->big.left < n ? corrupt(m, bad_block) : image_must(m, n, cut_in_block);

	if (got < 0)
		return NULL;
	const uint8_t *p = image_take(m, n);
	if (m->block_sum)
		XXH32_update(&m->big.hash, p, n);
	m->big.left -= n;
	return p;
}

/* Adds to a length the bytes that go on while they are 255. */
static int piece_length(struct image *m, size_t *length)
{
	for (const uint8_t *p = NULL; p ? *p == 255 : *length == 15; *length += *p) {
		if (*length > m->big.room)
			return corrupt(m, bad_block);
		if (!(p = piece_take(m, 1)))
			return -EBADMSG;
	}
	return 0;
}

/* A sequence begins with a token: how many literals there are, and how long the match is. */
static int piece_token(struct image *m)
{
	const uint8_t *p = piece_take(m, 1);

	if (!p)
		return -EBADMSG;
	m->big.phase = AT_LITERALS;
	m->big.match = *p & 15;
	m->big.literals = *p >> 4;
	return piece_length(m, &m->big.literals);
}

/* Behind the literals: how far back the match is. Without it, this was the end of the block. */
static int piece_match(struct image *m, size_t history)
{
	if (!m->big.left) {
		m->big.on = NO;
		return 0;
	}
	const uint8_t *p = piece_take(m, 2);
	if (!p)
		return -EBADMSG;
	m->big.phase = AT_MATCH;
	m->big.distance = p[0] | p[1] << 8;
	if (!m->big.distance || m->big.distance > history)
		return corrupt(m, bad_block);
	int failed = piece_length(m, &m->big.match);
	m->big.match += 4;
	return failed;
}

/* Copies literals, as far as they are read and there is room. */
static ssize_t piece_literals(struct image *m, uint8_t *to, size_t room)
{
	size_t n = m->big.literals < room ? m->big.literals : room;
	int got = image_must(m, 1, cut_in_block);

	n = n < m->in_end - m->in_at ? n : m->in_end - m->in_at;
	const uint8_t *p = got < 0 ? NULL : piece_take(m, n);
	if (!p)
		return -EBADMSG;
	memcpy(to, p, n);
	m->big.literals -= n;
	return n;
}

/* Copies of the match what there is room for; it may overlap itself. */
static ssize_t piece_repeat(struct image *m, uint8_t *to, size_t room)
{
	size_t n = m->big.match < room ? m->big.match : room;
	const uint8_t *from = to - m->big.distance;

	m->big.match -= n;
	if (m->big.distance >= n)
		memcpy(to, from, n);
	else
		for (size_t i = 0; i < n; i++)
			to[i] = from[i];
	return n;
}

/*
 * Short sequences that lie whole in what is read, as most do: one after the other, up to one that
 * is none. Each copy takes what its longest takes, for there is room behind. Returns bytes made.
 */
static size_t piece_quick(struct image *m, uint8_t *to, size_t room)
{
	enum { LITERALS = 14, MATCH = 4 + 14, MARGIN = 64 };
	size_t have = m->in_end - m->in_at < m->big.left ? m->in_end - m->in_at : m->big.left;
	const uint8_t *from = m->in + m->in_at, *p = from;
	uint8_t *at = to;

	while (p + MARGIN < from + have && at + MARGIN < to + room) {
		size_t literals = *p >> 4, match = *p & 15;
		const uint8_t *end = p + 1 + literals;
		size_t back = end[0] | end[1] << 8, past = at + literals - m->out;
		if (literals > LITERALS || match + 4 > MATCH || back < 8 || back > past)
			break;
		memcpy(at, p + 1, 16);
		at += literals;
		for (int i = 0; i < 24; i += 8)
			memcpy(at + i, at + i - back, 8);
		at += match + 4;
		p = end + 2;
	}
	piece_take(m, p - from);
	return at - to;
}

/* Decodes the next piece of a large block (lz4_Block_format.md): LZ4, but it can stop anywhere. */
static int block_piece(struct image *m)
{
	enum { PIECE = 128 << 10 };
	ssize_t made = 0, got = 0;

	out_room(m, PIECE, YES);
	while (m->big.on && made < PIECE && got >= 0) {
		uint8_t *to = m->out + m->out_end + made;
		if (m->big.phase == AT_TOKEN)
			made += piece_quick(m, to, PIECE - made);
		to = m->out + m->out_end + made;
		if (m->big.phase == AT_TOKEN)
			got = piece_token(m);
		else if (m->big.phase == AT_LITERALS && m->big.literals)
			made += got = piece_literals(m, to, PIECE - made);
		else if (m->big.phase == AT_LITERALS)
			got = piece_match(m, m->out_end + made);
		else if (m->big.match)
			made += got = piece_repeat(m, to, PIECE - made);
		else
			m->big.phase = AT_TOKEN;
	}
	if (got >= 0 && (size_t)made > m->big.room)
		got = corrupt(m, bad_block);
	if (got < 0)
		return (int)got;
	m->big.room -= made;
	got = made ? out_made(m, made) : 1;
	if (got > 0 && !m->big.on && m->block_sum) {
		if ((got = image_must(m, 4, cut_in_block)) > 0 &&
		    le32(image_take(m, 4)) != XXH32_digest(&m->big.hash))
			got = corrupt(m, "the checksum of a block does not match");
	}
	return (int)got;
}

/* Begins a large block of n bytes; one that is not compressed is nothing but literals. */
static int block_begin(struct image *m, size_t n, int stored)
{
	if (!m->linked)
		out_room(m, 0, NO);
	m->big.on = YES;
	m->big.left = n;
	m->big.room = m->block_max;
	m->big.phase = stored ? AT_LITERALS : AT_TOKEN;
	m->big.literals = stored ? n : 0;
	XXH32_reset(&m->big.hash, 0);
	return 1;
}

static int is_magic(uint32_t word)
{
	return word == FRAME_MAGIC || word == LEGACY_MAGIC || word >> 4 == SKIP_MAGIC >> 4;
}

/* Decodes the next block of the frame, or leaves the frame. Returns 1, or -EBADMSG. */
static int block_next(struct image *m)
{
	int got = image_need(m, 4);

	if (m->inside == IN_LEGACY && !got && m->in_at == m->in_end) {
		m->inside = IN_NONE;
		return 1;
	}
	if (got <= 0)
		return got < 0 ? got : corrupt(m, cut_in_block);
	int legacy = m->inside == IN_LEGACY;
	uint32_t word = le32(m->in + m->in_at), n = legacy ? word : word & 0x7fffffff;
	size_t most = legacy ? LZ4_COMPRESSBOUND(LEGACY_BLOCK) : m->block_max;
	if (legacy && (is_magic(word) || is_padding(m, word))) {
		m->inside = IN_NONE; /* a legacy frame has no end mark */
		return 1;
	}
	image_take(m, 4);
	if (!legacy && !word)
		return frame_end(m);
	if (!n || n > most)
		return corrupt(m, "a block of an impossible size");
	if (m->block_max > WHOLE_BLOCK)
		return block_begin(m, n, !legacy && word >> 31);
	size_t sum = m->block_sum ? 4 : 0;
	if ((got = image_must(m, n + sum, cut_in_block)) < 0)
		return got;
	const uint8_t *p = m->in + m->in_at;
	if (sum && le32(p + n) != XXH32(p, n, 0))
		return corrupt(m, "the checksum of a block does not match");
	got = block_whole(m, n, word >> 31);
	image_take(m, sum);
	return got;
}

/* Makes at least one decoded byte readable. Returns how many are, 0 at a proper end, -errno. */
static ssize_t image_peek(struct image *m)
{
	while (m->out_at == m->out_end) {
		int got = m->inside == IN_NONE ? frame_next(m)
			  : m->big.on          ? block_piece(m)
					       : block_next(m);
		if (got <= 0)
			return got;
	}
	return m->out_end - m->out_at;
}

/* ---- 7  image: headers -------------------------------------------------------------------------
 *
 * The headers of an archive: ustar, GNU and PAX. An archive that can be read in two ways is
 * refused: two sizes, two names, data where none belongs, no end mark (CVE-2025-62518).
 */

enum { TAR_BLOCK = 512, PAX_MAX = 64 << 10 };

enum tar_how {
	TAR_OWNERS = 1,   /* give entries their owners, which takes root */
	TAR_SHARDS = 2,   /* others make entries too: each has a name of its own, and its parent */
	TAR_SKELETON = 4, /* only make directories; others fill them */
	TAR_FINISH = 8,   /* the same directories again, filled: owner, mode and time */
	TAR_NO_END = 16,  /* a later shard has the end of the archive */
	TAR_DISCARD = 32, /* write no data: somebody only wants to know */
};

struct tar {
	struct image *m;
	int root; /* the directory to fill */
	unsigned how;
	void (*each)(const struct tar *t); /* is told of each entry before it is made */
	int dir; /* parent of the latest entry, open: most entries share it */
	char dir_path[PATH_MAX];
	int dir_gid;               /* whom entries made in it belong to, if it says so; else 0 */
	struct timespec dir_mtime; /* put back when it is left, for making entries changes it */
	u64 end;                   /* of the data that have been written to its file */
	unsigned left_out;         /* device nodes: a container's /dev is not the image's affair */
	int fd;                    /* of the entry, if it is a file or directory; or -1 */
	const char *leaf;          /* its last name, in path */
	char path[PATH_MAX], link[PATH_MAX];
	unsigned char type;
	i64 mode, uid, gid, size;
	struct timespec mtime;
	unsigned given; /* bits of pax_keys that an extended header has set */
	size_t pax_size;
	char pax[PAX_MAX];
};

static struct tar tar;

static int tar_read(struct tar *t, void *to, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = image_peek(t->m);
		if (n <= 0)
			return n ? (int)n : corrupt(t->m, "the archive is cut short");
		n = (size_t)n < size - at ? (size_t)n : size - at;
		memcpy((char *)to + at, t->m->out + t->m->out_at, n);
		t->m->out_at += n;
		at += n;
	}
	return 0;
}

/* Skips what fills the last block of the entry's data. */
static int tar_padding(struct tar *t)
{
	char padding[TAR_BLOCK];

	return tar_read(t, padding, -t->size & (TAR_BLOCK - 1));
}

/* A number field: octal, or base 256 with the top bit set, which may be negative. */
static int tar_number(const uint8_t *field, int n, i64 *number)
{
	int i = 0, negative = (field[0] & 0xc0) == 0xc0;

	*number = 0;
	if (field[0] & 0x80) {
		for (; i < n; i++) {
			uint8_t byte = i ? field[i] : (field[0] & 0x7f) | negative << 7;
			if (i < n - 8 && byte != (negative ? 0xff : 0))
				return -ERANGE;
			*number = (i64)((u64)*number << 8 | byte);
		}
		return (*number < 0) == negative ? 0 : -ERANGE;
	}
	while (i < n && field[i] == ' ')
		i++;
	for (; i < n && field[i] >= '0' && field[i] <= '7'; i++)
		*number = *number << 3 | (field[i] - '0');
	while (i < n && (field[i] == ' ' || !field[i]))
		i++;
	return i == n ? 0 : -ERANGE;
}

/* Strips what does not matter in a path: / in front and at the end, "//", "/./". Refuses "..". */
static int tar_clean(struct tar *t, char *path)
{
	char *to = path;

	for (const char *from = path; *from;) {
		from += strspn(from, "/");
		size_t n = strcspn(from, "/");
		if (n == 2 && !memcmp(from, "..", 2))
			return refuse(t->m, "a path with '..': %s", from);
		if (n > NAME_MAX)
			return refuse(t->m, "a name longer than %d bytes: %s", NAME_MAX, from);
		if (n && !(n == 1 && *from == '.')) {
			if (to != path)
				*to++ = '/';
			memmove(to, from, n);
			to += n;
		}
		from += n;
	}
	*to = '\0';
	return 0;
}

enum pax_key { PAX_PATH, PAX_LINK, PAX_SIZE, PAX_UID, PAX_GID, PAX_MTIME };

/* The keys of an extended header that matter here, and where their values belong. */
static const struct {
	const char *name;
	enum { AS_TEXT, AS_NUMBER, AS_TIME } as;
	size_t to;
} pax_keys[] = {
	[PAX_PATH] = { "path", AS_TEXT, offsetof(struct tar, path) },
	[PAX_LINK] = { "linkpath", AS_TEXT, offsetof(struct tar, link) },
	[PAX_SIZE] = { "size", AS_NUMBER, offsetof(struct tar, size) },
	[PAX_UID] = { "uid", AS_NUMBER, offsetof(struct tar, uid) },
	[PAX_GID] = { "gid", AS_NUMBER, offsetof(struct tar, gid) },
	[PAX_MTIME] = { "mtime", AS_TIME, offsetof(struct tar, mtime) },
};

struct pax_record {
	const char *key, *value;
	size_t key_size, size;
};

/* Parses one record, "LENGTH KEY=VALUE\n", and moves *at behind it. Returns 1, 0 at the end. */
static int pax_next(struct tar *t, size_t *at, struct pax_record *r)
{
	const char *p = t->pax + *at, *end = NULL;
	size_t left = t->pax_size - *at, length = 0, digits = 0;

	if (!left)
		return 0;
	for (; digits < left && digits < 6 && p[digits] >= '0' && p[digits] <= '9'; digits++)
		length = length * 10 + p[digits] - '0';
	r->key = p + digits + 1;
	if (digits && length <= left && length >= digits + 4 && p[digits] == ' ' &&
	    p[length - 1] == '\n')
		end = memchr(r->key, '=', p + length - r->key);
	if (!end || end == r->key)
		return corrupt(t->m, "an extended header is malformed");
	r->key_size = end - r->key;
	r->value = end + 1;
	r->size = p + length - 1 - r->value;
	*at += length;
	return 1;
}

/* Seconds, perhaps negative, perhaps with a fraction. */
static int pax_time(const char *p, const char *end, struct timespec *time)
{
	i64 whole = 0, part = 0;
	int negative = p < end && *p == '-', failed;
	long scale = 1000000000;

	p += negative;
	failed = decimal(&p, end, &whole);
	if (!failed && p < end && *p++ == '.')
		for (; p < end && *p >= '0' && *p <= '9'; p++)
			part += (*p - '0') * (i64)(scale /= 10);
	time->tv_sec = negative ? -whole - !!part : whole;
	time->tv_nsec = negative && part ? 1000000000 - part : part;
	return failed || p != end ? -ERANGE : 0;
}

static int pax_set(struct tar *t, int key, const struct pax_record *r)
{
	char *to = (char *)t + pax_keys[key].to;
	const char *p = r->value, *end = p + r->size;
	int failed = 0;

	switch (pax_keys[key].as) {
	case AS_TEXT:
		failed = !r->size || r->size >= PATH_MAX || memchr(p, '\0', r->size);
		if (!failed)
			format(to, PATH_MAX, "%.*s", (int)r->size, p);
		break;
	case AS_NUMBER:
		failed = decimal(&p, end, (i64 *)(void *)to) || p != end;
		break;
	case AS_TIME:
		failed = pax_time(p, end, (struct timespec *)(void *)to);
		break;
	}
	if (failed)
		return refuse(t->m, "an extended header has no proper %s", pax_keys[key].name);
	return 0;
}

/* Reads the data of an entry that says something about the next one. */
static int meta_read(struct tar *t, char *to, i64 room, const char *what)
{
	if (t->size >= room)
		return refuse(t->m, "%s is longer than %d bytes", what, (int)room - 1);
	int failed = tar_read(t, to, t->size);
	to[t->size] = '\0';
	return failed ? failed : tar_padding(t);
}

static int meta_pax(struct tar *t)
{
	int global = t->type == 'g', got, failed;
	size_t at = 0;
	struct pax_record r;

	if (t->pax_size)
		return corrupt(t->m, "two extended headers for one entry");
	if ((failed = meta_read(t, t->pax, sizeof t->pax, "an extended header")))
		return failed;
	t->pax_size = t->size;
	while ((got = pax_next(t, &at, &r)) > 0) {
		if (r.key_size > 11 && !memcmp(r.key, "GNU.sparse.", 11))
			return corrupt(t->m, "a sparse file: pack the archive without --sparse");
		int k = 0;
		while (k < LEN(pax_keys) && (strlen(pax_keys[k].name) != r.key_size ||
					     memcmp(pax_keys[k].name, r.key, r.key_size)))
			k++;
		if (k == LEN(pax_keys))
			continue;
		if (global || t->given & 1U << k)
			return refuse(t->m, "%s: for several entries, or twice", pax_keys[k].name);
		t->given |= 1U << k;
		if ((failed = pax_set(t, k, &r)))
			return failed;
	}
	if (global)
		t->pax_size = 0;
	return got;
}

/* GNU's long names: L for the path, K for the target of a link. */
static int meta_long(struct tar *t)
{
	enum pax_key key = t->type == 'L' ? PAX_PATH : PAX_LINK;

	if (t->given & 1U << key || t->pax_size)
		return corrupt(t->m, "two names for one entry");
	t->given |= 1U << key;
	return meta_read(t, key == PAX_PATH ? t->path : t->link, PATH_MAX, "a path");
}

static int header_sum_ok(const uint8_t *h)
{
	i64 want, plain = 8 * ' ', high = 0; /* old archives summed signed bytes */

	for (int i = 0; i < TAR_BLOCK; i++) {
		plain += h[i];
		high += h[i] >> 7;
	}
	for (int i = 148; i < 156; i++) { /* the field itself counts as blanks */
		plain -= h[i];
		high -= h[i] >> 7;
	}
	return !tar_number(h + 148, 8, &want) && (want == plain || want == plain - 256 * high);
}

/* Names of the header count where no extended header gave one; GNU's prefix field holds times. */
static void header_names(struct tar *t, const uint8_t *h)
{
	const char *name = (const char *)h, *prefix = name + 345;
	int ustar = !memcmp(name + 257, "ustar", 6) && *prefix;

	if (!(t->given & 1U << PAX_PATH))
		format(t->path, sizeof t->path, "%.*s%s%.*s", ustar ? 155 : 0, prefix,
		       ustar ? "/" : "", 100, name);
	if (!(t->given & 1U << PAX_LINK))
		format(t->link, sizeof t->link, "%.*s", 100, name + 157);
}

/* Reads the fields of a header, over which those of an extended header win. One size, or none. */
static int header_read(struct tar *t, const uint8_t *h)
{
	i64 mode, uid, gid, size, mtime;

	t->type = h[156] ? h[156] : '0';
	if (tar_number(h + 100, 8, &mode) || tar_number(h + 108, 8, &uid) ||
	    tar_number(h + 116, 8, &gid) || tar_number(h + 124, 12, &size) ||
	    tar_number(h + 136, 12, &mtime) || mode < 0 || size < 0)
		return corrupt(t->m, "a field of a tar header is not a number");
	unsigned given = strchr("xgLK", t->type) ? 0 : t->given;
	if (given & 1U << PAX_SIZE && size && size != t->size)
		return corrupt(t->m, "an entry has two sizes");
	t->mode = mode & 07777;
	t->size = given & 1U << PAX_SIZE ? t->size : size;
	t->uid = given & 1U << PAX_UID ? t->uid : uid;
	t->gid = given & 1U << PAX_GID ? t->gid : gid;
	if (!(t->given & 1U << PAX_MTIME))
		t->mtime = (struct timespec){ .tv_sec = mtime };
	if (t->uid < 0 || t->uid >= UINT32_MAX || t->gid < 0 || t->gid >= UINT32_MAX)
		return corrupt(t->m, "the owner of an entry is out of range");
	return 0;
}

/* ---- 8  image: entries -------------------------------------------------------------------------
 *
 * Entries are made below one directory. No path is ever resolved: the parent is walked name by
 * name without following a link, and everything is made relative to its descriptor, so no archive
 * can reach out of the root, hard links included (CVE-2026-17106).
 */

/* Writes n bytes that belong at that place. Pages of zeros stay holes, which need no memory. */
static int data_write(struct tar *t, const uint8_t *p, size_t n, u64 at)
{
	enum { PAGE = 4096 };

	for (size_t from = 0, i = 0, step;; i += step) {
		size_t rest = n - i, page = PAGE - (at + i) % PAGE;
		step = page < rest ? page : rest;
		int hole = rest && !p[i] && !memcmp(p + i, p + i + 1, step - 1);
		if (rest && !hole)
			continue;
		while (from < i) {
			ssize_t done = pwrite(t->fd, p + from, i - from, at + from);
			if (done < 0)
				return -errno;
			from += done;
			t->end = at + from;
		}
		if (!rest)
			return 0;
		from = i + step;
	}
}

/* Writes the entry's data to its file, straight out of the decoder's buffer. */
static int entry_data(struct tar *t)
{
	u64 at = 0, size = t->size;

	t->end = 0;
	while (at < size) {
		ssize_t n = image_peek(t->m);
		if (n <= 0)
			return n ? (int)n : corrupt(t->m, "the archive is cut short in a file");
		n = (u64)n < size - at ? (u64)n : size - at;
		int failed = t->how & TAR_DISCARD ? 0
						  : data_write(t, t->m->out + t->m->out_at, n, at);
		if (failed)
			return failed;
		t->m->out_at += n;
		at += n;
	}
	if (t->end < size && !(t->how & TAR_DISCARD) && ftruncate(t->fd, (off_t)size))
		return -errno;
	return tar_padding(t);
}

/* Leaves the open directory, with the time that it had before entries were made in it. */
static void tar_leave(struct tar *t)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, t->dir_mtime };

	if (t->dir < 0)
		return;
	if (!(t->how & TAR_SHARDS)) /* there, it is set when all are done */
		futimens(t->dir, times);
	close(t->dir);
	t->dir = -1;
}

/* Opens the directory `path`, making what is missing. Starts from the open one when it is above. */
static int tar_enter(struct tar *t, const char *path)
{
	size_t n = strlen(t->dir_path);
	struct stat st = { 0 };
	int above = t->dir >= 0 && n && !strncmp(path, t->dir_path, n) && path[n] == '/';
	int from = above ? t->dir : t->root;
	const char *rest = above ? path + n : path;

	if (t->dir >= 0 && !strcmp(path, t->dir_path))
		return 0;
	int next = path_open(from, rest, O_RDONLY | O_DIRECTORY);
	if (next == -ENOENT && !(t->how & TAR_SHARDS) && !(next = path_mkdir(from, rest)))
		next = path_open(from, rest, O_RDONLY | O_DIRECTORY);
	if (next < 0)
		return next;
	tar_leave(t);
	t->dir = next;
	format(t->dir_path, sizeof t->dir_path, "%s", path);
	fstat(next, &st);
	t->dir_mtime = st.st_mtim;
	t->dir_gid = st.st_mode & S_ISGID ? (int)st.st_gid : 0;
	return 0;
}

static int make_file(struct tar *t)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

	t->fd = openat(t->dir, t->leaf, flags, (mode_t)t->mode & 0777);
	return t->fd < 0 ? -errno : entry_data(t);
}

static int make_dir(struct tar *t)
{
	int made = !*t->leaf || !mkdirat(t->dir, t->leaf, 0700);

	if (!made && (errno != EEXIST || t->how & TAR_SKELETON))
		return -errno;
	if (t->how & TAR_SKELETON)
		return 0;
	t->fd = path_open(t->dir, t->leaf, O_RDONLY | O_DIRECTORY);
	return t->fd >= 0 ? 0 : t->fd == -ENOTDIR || t->fd == -ELOOP ? -EEXIST : t->fd;
}

static int make_symlink(struct tar *t)
{
	return symlinkat(t->link, t->dir, t->leaf) ? -errno : 0;
}

static int make_fifo(struct tar *t)
{
	return mknodat(t->dir, t->leaf, S_IFIFO | t->mode, 0) ? -errno : 0;
}

/* The target is walked like any path. Linked already, to itself too, is as good as linked. */
static int make_link(struct tar *t)
{
	char parent[PATH_MAX];
	struct stat a, b;
	int failed = tar_clean(t, t->link);
	const char *slash = strrchr(t->link, '/'), *leaf = slash ? slash + 1 : t->link;

	format(parent, sizeof parent, "%.*s", slash ? (int)(slash - t->link) : 0, t->link);
	int from = failed ? failed : path_open(t->root, parent, O_PATH | O_DIRECTORY);
	if (from < 0)
		return from;
	if (linkat(from, leaf, t->dir, t->leaf, 0))
		failed = -errno;
	if (failed == -EEXIST && !fstatat(from, leaf, &a, AT_SYMLINK_NOFOLLOW) &&
	    !fstatat(t->dir, t->leaf, &b, AT_SYMLINK_NOFOLLOW) && a.st_ino == b.st_ino)
		failed = 0;
	close(from);
	return failed;
}

static int make_node(struct tar *t)
{
	t->left_out++;
	return 0;
}

enum { HAS_DATA = 1, IS_META = 2, IS_BARE = 4 }; /* IS_META: of the next; IS_BARE: no owner */

/* What each type of entry becomes. */
static const struct kind {
	unsigned char type;
	unsigned traits;
	int (*make)(struct tar *t);
} kinds[] = {
	{ '0', HAS_DATA, make_file },
	{ '7', HAS_DATA, make_file },
	{ '1', IS_BARE, make_link },
	{ '2', 0, make_symlink },
	{ '3', IS_BARE, make_node },
	{ '4', IS_BARE, make_node },
	{ '5', 0, make_dir },
	{ '6', 0, make_fifo },
	{ 'x', HAS_DATA | IS_META, meta_pax },
	{ 'g', HAS_DATA | IS_META, meta_pax },
	{ 'L', HAS_DATA | IS_META, meta_long },
	{ 'K', HAS_DATA | IS_META, meta_long },
};

static const struct kind *kind_of(unsigned char type)
{
	for (const struct kind *k = kinds; k < kinds + LEN(kinds); k++)
		if (k->type == type)
			return k;
	return NULL;
}

/* Extended attributes of the entry, after its owner and mode, which would clear capabilities. */
static int entry_attributes(struct tar *t)
{
	static const char prefix[] = "SCHILY.xattr.";
	char name[256];
	struct pax_record r;
	size_t at = 0, skip = sizeof prefix - 1;

	while (pax_next(t, &at, &r) > 0) {
		if (r.key_size <= skip || memcmp(r.key, prefix, skip))
			continue;
		if (r.key_size - skip >= sizeof name || memchr(r.key, '\0', r.key_size))
			return -ERANGE;
		format(name, sizeof name, "%.*s", (int)(r.key_size - skip), r.key + skip);
		if (fsetxattr(t->fd, name, r.value, r.size, 0))
			return -errno;
	}
	return 0;
}

/* Gives the entry its owner, mode, attributes and time, in the order in which they survive. */
static int entry_finish(struct tar *t)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, t->mtime };
	int is_dir = t->type == '5', owners = t->how & TAR_OWNERS, failed = 0;
	/* What root makes is root's, and has its mode but for special bits: two calls less. */
	int chowns = owners && (is_dir || t->uid || t->gid || t->dir_gid);

	if (t->fd < 0) {
		if ((chowns && fchownat(t->dir, t->leaf, t->uid, t->gid, AT_SYMLINK_NOFOLLOW)) ||
		    utimensat(t->dir, t->leaf, times, AT_SYMLINK_NOFOLLOW))
			failed = -errno;
		return failed;
	}
	mode_t mode = t->mode | (is_dir && !owners ? 0700 : 0); /* or nobody fills it */
	if ((chowns && fchown(t->fd, t->uid, t->gid)) ||
	    ((chowns || mode & 07000) && fchmod(t->fd, mode)))
		failed = -errno;
	if (!failed)
		failed = entry_attributes(t);
	if (!failed && futimens(t->fd, times))
		failed = -errno;
	if (!strcmp(t->path, t->dir_path))
		t->dir_mtime = t->mtime;
	return failed;
}

/* Makes the entry; what stands in its place goes first, unless it is a directory with entries. */
static int entry_make(struct tar *t, const struct kind *kind)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(t->path, '/');
	int failed;

	format(parent, sizeof parent, "%.*s", slash ? (int)(slash - t->path) : 0, t->path);
	t->leaf = slash ? slash + 1 : t->path;
	t->fd = -1;
	failed = tar_enter(t, parent);
	if (!failed)
		failed = kind->make(t);
	if (failed == -EEXIST && t->how & TAR_SHARDS)
		return refuse(t->m, "two entries with the name %.*s", 160, t->path);
	if (failed == -EEXIST) {
		int gone = !unlinkat(t->dir, t->leaf, 0) ||
			   !unlinkat(t->dir, t->leaf, AT_REMOVEDIR);
		failed = gone ? kind->make(t) : -errno;
	}
	if (!failed && !(kind->traits & IS_BARE) && !(t->how & TAR_SKELETON))
		failed = entry_finish(t);
	if (t->fd >= 0)
		close(t->fd);
	if (failed && failed != -EBADMSG)
		return refuse(t->m, "%.*s: %s", 160, t->path, strerror(-failed));
	return failed;
}

static int tar_entry(struct tar *t, const uint8_t *h)
{
	if (!header_sum_ok(h))
		return corrupt(t->m, "not a tar header, or a corrupt one");
	int failed = header_read(t, h);
	if (failed)
		return failed;
	const struct kind *kind = kind_of(t->type);
	if (!kind)
		return refuse(t->m, "an entry of the type 0x%x, which is not known here", t->type);
	if (kind->traits & IS_META)
		return kind->make(t);
	header_names(t, h);
	if (kind->make == make_file && *t->path && t->path[strlen(t->path) - 1] == '/')
		kind = kind_of(t->type = '5'); /* so V7 wrote a directory */
	if (t->size && !(kind->traits & HAS_DATA))
		return refuse(t->m, "data where none belongs: %s", t->path);
	if ((failed = tar_clean(t, t->path)))
		return failed;
	if (!*t->path && t->type != '5')
		return refuse(t->m, "an entry would replace the root");
	if (t->how & TAR_SHARDS && (t->type == '5') != !!(t->how & (TAR_SKELETON | TAR_FINISH)))
		return refuse(t->m, "in the wrong shard: %.*s", 160, t->path);
	if (t->each)
		t->each(t);
	failed = entry_make(t, kind);
	t->given = 0;
	t->pax_size = 0;
	return failed;
}

/* Zeros end an archive: nothing else may follow, and every checksum is still due. */
static int tar_end(struct tar *t)
{
	ssize_t n;

	if (t->given || t->pax_size)
		return corrupt(t->m, "an extended header without an entry");
	while ((n = image_peek(t->m)) > 0)
		for (; n; n--)
			if (t->m->out[t->m->out_at++])
				return corrupt(t->m, "data follow the end of the archive");
	return n;
}

/*
 * Unpacks below the directory root what image_rewind has chosen. how: TAR_* bits. Adds to *left_out
 * the number of device nodes. Returns 0, or -EBADMSG and the reason in m->why.
 */
static int image_unpack(struct image *m, int root, unsigned how, void (*each)(const struct tar *),
			unsigned *left_out)
{
	static const uint8_t zeros[TAR_BLOCK];
	uint8_t header[TAR_BLOCK];
	struct tar *t = &tar;
	int failed = 0;

	*t = (struct tar){ .m = m, .root = root, .how = how, .each = each, .dir = -1 };
	for (int more = 1; more && !failed;) {
		ssize_t n = t->given || t->pax_size || !(how & TAR_NO_END) ? 1 : image_peek(m);
		if (n <= 0) {
			failed = (int)n;
			break; /* a shard ends in front of a header */
		}
		if (!(failed = tar_read(t, header, sizeof header))) {
			more = memcmp(header, zeros, sizeof zeros);
			failed = more ? tar_entry(t, header) : tar_end(t);
			if (!more && how & TAR_NO_END)
				failed = corrupt(m,
						 "the end of the archive, before the last shard");
		}
	}
	tar_leave(t);
	*left_out += t->left_out;
	return failed;
}

/* ---- 9  cgroup ---------------------------------------------------------------------------------
 *
 * Each container has a cgroup launcher/NAME in the hierarchy of v2, if there is one, and in each of
 * v1 that has a controller which v2 has not (cgroups(7); kernel: admin-guide/cgroup-v2.rst and
 * cgroup-v1/). What a row asks is written by one table, before anything runs in there. What the
 * kernel lacks refuses the container, unless its row tolerates that.
 */

enum { CG_V2 = 0, NCONTROLLERS = NEED_HUGETLB + 1, CGROUP_MAGIC = 0x27e0eb };

static const struct {
	char v2[8], v1[8], option[48];
} controllers[NCONTROLLERS] = {
	[NEED_DEVICES] = { "devices", "devices", "CONFIG_CGROUP_BPF, CONFIG_CGROUP_DEVICE" },
	[NEED_MEMORY] = { "memory", "memory", "CONFIG_MEMCG" },
	[NEED_SWAP] = { "swap", "swap", "CONFIG_MEMCG_SWAP, swapaccount=1" },
	[NEED_PIDS] = { "pids", "pids", "CONFIG_CGROUP_PIDS" },
	[NEED_CPU] = { "cpu", "cpu", "CONFIG_CGROUP_SCHED, CONFIG_CFS_BANDWIDTH" },
	[NEED_CPUSET] = { "cpuset", "cpuset", "CONFIG_CPUSETS" },
	[NEED_IO] = { "io", "blkio", "CONFIG_BLK_DEV_THROTTLING" },
	[NEED_HUGETLB] = { "hugetlb", "hugetlb", "CONFIG_CGROUP_HUGETLB" },
};

static struct {
	int version[NCONTROLLERS]; /* 2, 1, or 0: the kernel has none here, or no row asks for it */
	int base[NCONTROLLERS]; /* our directory in [CG_V2] and in those hierarchies of v1; or -1 */
	const char *name;       /* of that directory, or "." for the top */
	char why[160];          /* what could not be set, and why */
} cgroup;

enum knob_kind {
	A_NUMBER,
	A_SHARE,  /* it is a share of what the cgroup above has */
	A_SWAP,   /* 0 is a limit too; v1 limits the sum of memory and swap */
	A_SHARES, /* v1: 1024 is what 100 is on v2 */
	A_BFQ,    /* for that scheduler, whose weights end at 1000 */
	A_WORDS,  /* a string */
	A_DISK,   /* of struct io, and written for each disk */
};

#define FIELD(name) #name, offsetof(struct container, name)
#define OF_IO(name) "io.max." #name, offsetof(struct io, name), NEED_IO

static const struct knob {
	char name[17];  /* of the field; where two are alike, the kernel needs one of them */
	uint16_t field; /* where it is; 0: there is none, and v1 can do without */
	enum need need;
	char v1[34];     /* its file; "": v1 can't do it */
	char v2[17];     /* its file, if not called as the field; * is the size of pages */
	char also[8];    /* v2: behind the value; of a disk, before it */
	char option[25]; /* if it takes another than the controller */
	unsigned usual;  /* the value if the row has none */
	enum knob_kind kind;
} knobs[] = {
	{ FIELD(memory.max), NEED_MEMORY, "memory.limit_in_bytes", .usual = DEFAULT_MEMORY },
	{ FIELD(memory.swap), NEED_MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max",
	  .kind = A_SWAP },
	{ FIELD(memory.high), NEED_MEMORY, .option = "cgroup v2" },
	{ FIELD(memory.low), NEED_MEMORY, .option = "cgroup v2", .kind = A_SHARE },
	{ FIELD(memory.min), NEED_MEMORY, .option = "cgroup v2", .kind = A_SHARE },
	{ "memory.oom.group", 0, NEED_MEMORY, .usual = 1 },
	{ FIELD(pids), NEED_PIDS, "pids.max", "pids.max", .usual = DEFAULT_PIDS },
	{ FIELD(cpu.max), NEED_CPU, "cpu.cfs_quota_us", .also = " 100000", .usual = DEFAULT_CPU },
	{ FIELD(cpu.burst), NEED_CPU, "cpu.cfs_burst_us", "cpu.max.burst", .option = "Linux 5.14" },
	{ FIELD(cpu.weight), NEED_CPU, "cpu.shares", .kind = A_SHARES },
	{ FIELD(cpu.idle), NEED_CPU, "cpu.idle", .option = "Linux 5.15" },
	{ FIELD(cpu.cpus), NEED_CPUSET, "cpuset.cpus", "cpuset.cpus", .kind = A_WORDS },
	{ FIELD(cpu.mems), NEED_CPUSET, "cpuset.mems", "cpuset.mems", .kind = A_WORDS },
	{ OF_IO(rbps), "blkio.throttle.read_bps_device", "io.max", "rbps=", .kind = A_DISK },
	{ OF_IO(wbps), "blkio.throttle.write_bps_device", "io.max", "wbps=", .kind = A_DISK },
	{ OF_IO(riops), "blkio.throttle.read_iops_device", "io.max", "riops=", .kind = A_DISK },
	{ OF_IO(wiops), "blkio.throttle.write_iops_device", "io.max", "wiops=", .kind = A_DISK },
	{ FIELD(io.weight), NEED_IO, .option = "CONFIG_BLK_CGROUP_IOCOST" },
	{ FIELD(io.weight), NEED_IO, "blkio.bfq.weight", "io.bfq.weight",
	  .option = "CONFIG_BFQ_GROUP_IOSCHED", .kind = A_BFQ },
	{ FIELD(hugetlb.max), NEED_HUGETLB, "hugetlb.*.limit_in_bytes", "hugetlb.*.max" },
};

static u64 memory_max(const struct container *c)
{
	return c->memory.max ? c->memory.max : DEFAULT_MEMORY;
}

static u64 knob_number(const struct knob *k, const void *row)
{
	u64 n = 0;

	if (k->field && k->kind != A_WORDS)
		memcpy(&n, (const char *)row + k->field, sizeof n);
	return n ? n : k->usual;
}

/* What a row, of a disk for A_DISK, asks of the knob, in the words of that version; or NULL. */
static const char *knob_asked(const struct knob *k, const void *row, int version, char text[32])
{
	u64 n = knob_number(k, row);
	const char *also = version == 2 ? k->also : "";

	if (k->kind == A_WORDS)
		return *(const char *const *)((const char *)row + k->field);
	if ((!n && k->kind != A_SWAP) || (!k->field && version == 1))
		return NULL;
	if (k->kind == A_SWAP && version == 1)
		n += memory_max(row);
	if (k->kind == A_SHARES && version == 1)
		n = n * 1024 / 100;
	if (k->kind == A_BFQ && n > 1000)
		n = 1000;
	format(text, 32, "%s%llu%s", k->kind == A_DISK ? also : "", n,
	       k->kind == A_DISK ? "" : also);
	return text;
}

static int knob_base(const struct knob *k)
{
	return cgroup.base[cgroup.version[k->need] == 2 ? CG_V2 : k->need];
}

/* The file of the knob in the cgroup of that name; NULL: this kernel has none. */
static const char *knob_given(const struct knob *k, const char *name, const struct container *c,
			      char path[96])
{
	const char *file = cgroup.version[k->need] == 1 ? k->v1 : *k->v2 ? k->v2 : k->name;
	size_t n = strcspn(file, "*");

	format(path, 96, "%s/%.*s%s%s", name, (int)n, file, file[n] ? c->hugetlb.pages : "",
	       file + n + !!file[n]);
	return *file && !faccessat(knob_base(k), path, F_OK, 0) ? path : NULL;
}

/* What is asked can't be had. That is no error if the row tolerates it, or there is no swap. */
static int knob_missing(const struct knob *k, const char *name, const struct container *c)
{
	enum need need = k->kind == A_SWAP ? NEED_SWAP : k->need;
	struct sysinfo memory = { 0 };
	char path[96];

	sysinfo(&memory);
	if (c->tolerate & 1ULL << need || (need == NEED_SWAP && !memory.totalswap))
		return 0;
	for (const struct knob *twin = knobs; twin < knobs + LEN(knobs); twin++)
		if (!strcmp(twin->name, k->name) && knob_given(twin, name, c, path))
			return 0;
	format(cgroup.why, sizeof cgroup.why, "%s: no %s controller%s (%s, or a mount)", k->name,
	       controllers[k->need].v2, cgroup.version[k->need] ? " that has it" : "",
	       *k->option ? k->option : controllers[need].option);
	return -ENOTSUP;
}

static int cgroup_failed(const char *what, const char *value, int failed)
{
	format(cgroup.why, sizeof cgroup.why, "%s = %s: %s", what, value, strerror(-failed));
	return failed;
}

/* Writes what a row asks, of a container or of a disk, to the cgroup of that name. */
static int knobs_set(const char *name, const struct container *c, const void *row, const char *disk)
{
	char path[96], text[32], value[96];
	const char *asked;

	for (const struct knob *k = knobs; k < knobs + LEN(knobs); k++) {
		if ((k->kind == A_DISK) != !!*disk ||
		    !(asked = knob_asked(k, row, cgroup.version[k->need], text)))
			continue;
		const char *file = knob_given(k, name, c, path);
		format(value, sizeof value, "%s%s", disk, asked);
		int failed = file ? file_write(knob_base(k), file, value)
				  : knob_missing(k, name, c);
		if (failed)
			return file ? cgroup_failed(strchr(file, '/') + 1, value, failed) : failed;
	}
	return 0;
}

/* A cgroup of v1 has neither CPUs nor nodes of memory until somebody gives it some. */
static void cpuset_inherit(int dir, const char *name)
{
	static const char files[][12] = { "cpuset.cpus", "cpuset.mems" };
	char path[96], text[256];

	for (int i = 0; i < LEN(files); i++) {
		format(path, sizeof path, "%s/../%s", name, files[i]);
		if (file_read(dir, path, text, sizeof text) > 0) {
			format(path, sizeof path, "%s/%s", name, files[i]);
			file_write(dir, path, text);
		}
	}
}

/* Opens the directory where our cgroups will be, if dir/top is a hierarchy of that kind. */
static int base_open(int dir, const char *top, int magic)
{
	struct statfs fs;
	int fd = openat(dir, top, O_RDONLY | O_DIRECTORY | O_CLOEXEC), base = -1;

	if (fd >= 0 && !fstatfs(fd, &fs) && (int)fs.f_type == magic) {
		mkdirat(fd, cgroup.name, 0755);
		base = openat(fd, cgroup.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	close(fd);
	return base;
}

/* Does any row need that controller? One more than it needs does no harm. */
static int controller_needed(int controller)
{
	char text[32];
	int needed = controller == NEED_DEVICES;

	for (int i = 0; i <= NCONTAINERS; i++) {
		const struct container *c = i < NCONTAINERS ? &containers[i] : &run;
		for (const struct knob *k = knobs; k < knobs + LEN(knobs); k++)
			needed |= (int)k->need == controller &&
				  (k->kind == A_DISK ? !!c->io.max : !!knob_asked(k, c, 2, text));
		for (const struct setting *s = c->cgroup; s && s->name; s++)
			needed |= !!strstr(s->name, controllers[controller].v2);
	}
	return needed;
}

static int bpf(int command, union bpf_attr *attr, size_t size)
{
	long result = syscall(SYS_bpf, command, attr, size);

	return result < 0 ? -errno : (int)result;
}

/* Gives our cgroups a controller of v2: those above have to hand it down. */
static int v2_open(int controller)
{
	union bpf_attr attr = { .query = { .target_fd = (unsigned)cgroup.base[CG_V2],
					   .attach_type = BPF_CGROUP_DEVICE } };
	char plus[16];

	if (controller == NEED_DEVICES) /* no controller, but programs */
		return bpf(BPF_PROG_QUERY, &attr, sizeof attr.query);
	format(plus, sizeof plus, "+%s", controllers[controller].v2);
	file_write(cgroup.base[CG_V2], "../cgroup.subtree_control", plus);
	return file_write(cgroup.base[CG_V2], "cgroup.subtree_control", plus);
}

/*
 * Finds the controllers, where every distribution mounts them; any may be missing afterwards. Our
 * cgroups go below the one of that name, or "." for the top.
 */
static void cgroup_open(const char *name)
{
	int top = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[24];

	cgroup.name = name;
	memset(cgroup.base, -1, sizeof cgroup.base);
	cgroup.base[CG_V2] = base_open(top, ".", CGROUP2_MAGIC);
	if (cgroup.base[CG_V2] < 0)
		cgroup.base[CG_V2] = base_open(top, "unified", CGROUP2_MAGIC);
	for (int i = NEED_DEVICES; i < NCONTROLLERS; i++) {
		int needed = controller_needed(i), is_v2 = needed && !v2_open(i);
		if (needed && !is_v2)
			cgroup.base[i] = base_open(top, controllers[i].v1, CGROUP_MAGIC);
		if (needed && !is_v2 && i == NEED_CPU && cgroup.base[i] < 0)
			cgroup.base[i] = base_open(top, "cpu,cpuacct", CGROUP_MAGIC);
		cgroup.version[i] = is_v2 ? 2 : cgroup.base[i] >= 0;
	}
	close(top);
	cpuset_inherit(cgroup.base[NEED_CPUSET], ".");
	for (const struct knob *k = knobs; k < knobs + LEN(knobs); k++) {
		u64 sum = 0; /* what the cgroup above does not keep for itself, ours can't share */
		for (int j = 0; j < NCONTAINERS && k->kind == A_SHARE; j++)
			sum += knob_number(k, &containers[j]);
		format(text, sizeof text, "%llu", sum);
		if (sum && strcmp(name, "."))
			file_write(cgroup.base[CG_V2], k->name, text);
	}
}

/* The number of a device: what its row says, or its node outside has. cgroup.why says why not. */
static int device_number(const struct device *d, mode_t *type, dev_t *number)
{
	struct stat st;
	int missing = stat(d->path, &st) ? errno : 0;
	mode_t named_type = d->type == 'b' ? S_IFBLK : S_IFCHR;
	dev_t named_number = makedev((unsigned)d->major, (unsigned)d->minor);

	*type = missing ? named_type : st.st_mode & S_IFMT;
	*number = missing ? named_number : st.st_rdev;
	if (missing == ENOENT && d->type)
		return 0;
	int named = !d->type || (*type == named_type && *number == named_number);
	if (!missing && named && (*type == S_IFCHR || *type == S_IFBLK))
		return 0;
	format(cgroup.why, sizeof cgroup.why, "%s: %s", d->path,
	       missing ? strerror(missing)
	       : named ? "it is no device"
		       : "it is not the device that the policy names");
	return missing ? -missing : -ENODEV;
}

/* Makes the cgroup of c, if need be, and sets its limits. cgroup.why explains a failure. */
static int cgroup_make(const char *name, const struct container *c)
{
	char text[128];
	mode_t type;
	dev_t number;

	for (int i = 0; i < NCONTROLLERS; i++)
		if (cgroup.base[i] >= 0 && mkdirat(cgroup.base[i], name, 0755) && errno != EEXIST)
			return cgroup_failed("its cgroup", name, -errno);
	cpuset_inherit(cgroup.base[NEED_CPUSET], name);
	int failed = knobs_set(name, c, c, "");
	for (const struct io *d = c->io.max; d && d->device && !failed; d++) {
		failed = device_number(&(struct device){ .path = d->device }, &type, &number);
		format(text, sizeof text, "%u:%u ", major(number), minor(number));
		if (!failed)
			failed = knobs_set(name, c, d, text);
	}
	for (const struct setting *s = c->cgroup; s && s->name && !failed; s++) {
		format(text, sizeof text, "%s/%s", name, s->name);
		failed = -ENOENT; /* until the hierarchy is found that has the file */
		for (int i = 0; i < NCONTROLLERS && failed == -ENOENT; i++)
			if (cgroup.base[i] >= 0)
				failed = file_write(cgroup.base[i], text, s->value);
		if (failed)
			cgroup_failed(s->name, s->value, failed);
	}
	return failed;
}

struct permit {
	int may;
	mode_t type;
	dev_t number;
};
enum {
	MOST_PERMITS = 8 + 1 + 8,
	ANY_MINOR = 0xfffff
}; /* everybody's, a console's, and the row's */

/* On v2 a program decides: (access << 16 | type), major and minor in, 1 out: it may. */
static int devices_v2(const char *name, const struct permit *d, int n)
{
#define OP(code, to, from, skip, value)                                                            \
	((struct bpf_insn){ (uint8_t)(code), to, from, skip, value })
	struct bpf_insn program[5 + 7 * MOST_PERMITS], *p = program;

	for (int word = 0; word < 3; word++)
		*p++ = OP(BPF_LDX | BPF_MEM | BPF_W, 2 + word, 1, 4 * word, 0);
	for (; n--; d++) { /* without the access that is granted, the type is what is left */
		int access = BPF_DEVCG_ACC_MKNOD | (d->may & (READ | WRITE)) << 1;
		int type = d->type == S_IFBLK ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
		int last = (int)minor(d->number);
		*p++ = OP(BPF_ALU64 | BPF_MOV | BPF_X, 0, 2, 0, 0);
		*p++ = OP(BPF_ALU64 | BPF_AND | BPF_K, 0, 0, 0, ~(access << 16));
		*p++ = OP(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 4, type);
		*p++ = OP(BPF_JMP | BPF_JNE | BPF_K, 3, 0, 3, (int)major(d->number));
		*p++ = OP(BPF_JMP | (last == ANY_MINOR ? BPF_JGT : BPF_JNE), 4, 0, 2, last);
		*p++ = OP(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
		*p++ = OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
	*p++ = OP(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	*p++ = OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
				.insn_cnt = (unsigned)(p - program),
				.insns = (uintptr_t)program,
				.license = (uintptr_t) "ISC" };
	int fd = bpf(BPF_PROG_LOAD, &attr, offsetof(union bpf_attr, log_level));
	if (fd < 0)
		return fd;
	int dir = openat(cgroup.base[CG_V2], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	attr = (union bpf_attr){ .target_fd = (unsigned)dir,
				 .attach_bpf_fd = (unsigned)fd,
				 .attach_type = BPF_CGROUP_DEVICE };
	/* Without a flag it is the only one: at once it takes the place of an older one. */
	int failed = bpf(BPF_PROG_ATTACH, &attr, offsetof(union bpf_attr, replace_bpf_fd));
	close(dir);
	close(fd);
	return failed;
}

static int devices_v1(const char *name, const struct permit *d, int n)
{
	static const char *const may[] = { "m", "rm", "wm", "rwm" };
	char path[64], text[48];
	int dir = cgroup.base[NEED_DEVICES];

	format(path, sizeof path, "%s/devices.deny", name);
	int failed = file_write(dir, path, "a");
	format(path, sizeof path, "%s/devices.allow", name);
	for (; n-- && !failed; d++) {
		format(text, sizeof text, "%c %u:%u", d->type == S_IFBLK ? 'b' : 'c',
		       major(d->number), minor(d->number));
		if (minor(d->number) == ANY_MINOR)
			format(strchr(text, ':') + 1, 2, "*");
		format(text + strlen(text), 5, " %s", may[d->may & (READ | WRITE)]);
		failed = file_write(dir, path, text);
	}
	return failed;
}

/*
 * Leaves its cgroup the devices of its row, and those that everybody has; not before its image is
 * unpacked, for that may have to be read from another one. cgroup.why explains a failure.
 */
static int cgroup_devices(const char *name, const struct container *c)
{
	/* null, zero, full, random, urandom; tty, ptmx; 136 and any: what is in devpts */
	static const unsigned always[] = { 0x103, 0x105, 0x107, 0x108,
					   0x109, 0x500, 0x502, 0xfff088ff };
	struct permit list[MOST_PERMITS];
	struct stat st;
	int n = 0, failed, version = cgroup.version[NEED_DEVICES];

	for (; n < LEN(always); n++)
		list[n] = (struct permit){ READ | WRITE, S_IFCHR, always[n] };
	if (c->console && !fstat(STDIN_FILENO, &st)) /* /dev/stderr opens it once more */
		list[n++] = (struct permit){ READ | WRITE, S_IFCHR, st.st_rdev };
	for (const struct device *d = c->devices; d && d->path && n < MOST_PERMITS; d++) {
		failed = device_number(d, &list[n].type, &list[n].number);
		if (failed && (failed != -ENOENT || !(d->may & OPTIONAL)))
			return failed;
		list[n].may = d->may;
		n += !failed;
	}
	failed = version ? (version == 2 ? devices_v2 : devices_v1)(name, list, n) : -ENOTSUP;
	if (!failed || c->tolerate & LACK(DEVICES))
		return 0;
	return cgroup_failed("devices", controllers[NEED_DEVICES].option, failed);
}

/* Lets clone3 start a child in the v2 cgroup, if there is one; args then owns its descriptor. */
static int cgroup_place(const char *name, struct clone3_args *args)
{
	if (cgroup.base[CG_V2] < 0)
		return 0;
	int dir = openat(cgroup.base[CG_V2], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	args->flags |= CLONE_INTO_CGROUP;
	args->cgroup = dir;
	return 0;
}

/* Moves the caller, a child, to its v1 cgroups: clone3 can place it only in one of v2. */
static int cgroup_join(const char *name)
{
	char path[64];
	int failed = 0;

	format(path, sizeof path, "%s/cgroup.procs", name);
	for (int i = CG_V2 + 1; i < NCONTROLLERS && !failed; i++)
		if (cgroup.base[i] >= 0)
			failed = file_write(cgroup.base[i], path, "0");
	return failed;
}

static u64 memory_number(const char *name, const char *v2, const char *v1, const char *key)
{
	char path[96];
	u64 n = 0;
	int is_v2 = cgroup.version[NEED_MEMORY] == 2;

	format(path, sizeof path, "%s/%s", name, is_v2 ? v2 : v1);
	return file_number(cgroup.base[is_v2 ? CG_V2 : NEED_MEMORY], path, key, &n) ? 0 : n;
}

/* Tasks that the kernel has killed in this cgroup for want of memory, since it was made. */
static u64 cgroup_oom_kills(const char *name)
{
	return memory_number(name, "memory.events", "memory.oom_control", "oom_kill");
}

/* Bytes charged to it now. */
static u64 cgroup_memory(const char *name)
{
	return memory_number(name, "memory.current", "memory.usage_in_bytes", "");
}

/* Kills all that is in it, for good: Linux 6.18 kills what is cloned into it later, too. */
static void cgroup_kill(const char *name)
{
	char path[64];

	format(path, sizeof path, "%s/cgroup.kill", name);
	file_write(cgroup.base[CG_V2], path, "1");
}

/* Removes an empty cgroup. One that is not empty stays: somebody else's, or about to empty. */
static int cgroup_remove(const char *name)
{
	int failed = 0;

	for (int i = 0; i < NCONTROLLERS; i++)
		if (unlinkat(cgroup.base[i], name, AT_REMOVEDIR) && errno != ENOENT &&
		    errno != EBADF)
			failed = -errno;
	return failed;
}

/* ---- 10  mount ---------------------------------------------------------------------------------
 *
 * What a container sees beside its image is a row of operations, walked by one executor. Targets
 * are opened by path_open, so a link in the image can't lead a mount astray, and mounted on by
 * descriptor; that goes through /proc, which is why it happens before the root is changed.
 */

enum mount_kind {
	DO_MOUNT, /* a new file system of the type `what`, with `options` */
	DO_DIR,   /* a directory */
	DO_LINK,  /* a symbolic link to `what` */
	DO_NODE,  /* a character device, bound nowhere else: mode 0666 */
	DO_BIND,  /* what `what` is outside, read-only, on a file */
	DO_SEAL,  /* what is mounted there becomes read-only */
	DO_LOCK,  /* what is there, if it is, becomes read-only */
	DO_HIDE,  /* what is there, if it is, is covered by something empty */
};

struct mount_op {
	enum mount_kind kind;
	const char *at; /* below the root */
	const char *what, *options;
	unsigned long flags;
};

enum { MS_PLAIN = MS_NOSUID | MS_NODEV | MS_NOEXEC };

static const struct mount_op container_mounts[] = {
	{ DO_MOUNT, "proc", "proc", NULL, MS_PLAIN },
	{ DO_MOUNT, "sys", "sysfs", NULL, MS_PLAIN | MS_RDONLY },
	{ DO_MOUNT, "dev", "tmpfs", "mode=755,size=64k,nr_inodes=64", MS_NOSUID | MS_NOEXEC },
	{ DO_NODE, "dev/null", NULL, NULL, DEVICE(1, 3) },
	{ DO_NODE, "dev/zero", NULL, NULL, DEVICE(1, 5) },
	{ DO_NODE, "dev/full", NULL, NULL, DEVICE(1, 7) },
	{ DO_NODE, "dev/random", NULL, NULL, DEVICE(1, 8) },
	{ DO_NODE, "dev/urandom", NULL, NULL, DEVICE(1, 9) },
	{ DO_NODE, "dev/tty", NULL, NULL, DEVICE(5, 0) },
	{ DO_LINK, "dev/ptmx", "pts/ptmx", NULL, 0 },
	{ DO_LINK, "dev/fd", "/proc/self/fd", NULL, 0 },
	{ DO_LINK, "dev/stdin", "/proc/self/fd/0", NULL, 0 },
	{ DO_LINK, "dev/stdout", "/proc/self/fd/1", NULL, 0 },
	{ DO_LINK, "dev/stderr", "/proc/self/fd/2", NULL, 0 },
	{ DO_DIR, "dev/pts", NULL, NULL, 0 },
	{ DO_MOUNT, "dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620",
	  MS_NOSUID | MS_NOEXEC },
	{ DO_DIR, "dev/shm", NULL, NULL, 0 },
	{ DO_MOUNT, "dev/shm", "tmpfs", "mode=1777,nr_inodes=1024", MS_PLAIN },
	{ DO_HIDE, "proc/acpi", NULL, NULL, 0 },
	{ DO_HIDE, "proc/asound", NULL, NULL, 0 },
	{ DO_HIDE, "proc/kallsyms", NULL, NULL, 0 },
	{ DO_HIDE, "proc/kcore", NULL, NULL, 0 },
	{ DO_HIDE, "proc/keys", NULL, NULL, 0 },
	{ DO_HIDE, "proc/latency_stats", NULL, NULL, 0 },
	{ DO_HIDE, "proc/sched_debug", NULL, NULL, 0 },
	{ DO_HIDE, "proc/scsi", NULL, NULL, 0 },
	{ DO_HIDE, "proc/timer_list", NULL, NULL, 0 },
	{ DO_HIDE, "sys/firmware", NULL, NULL, 0 },
	{ DO_LOCK, "proc/bus", NULL, NULL, 0 },
	{ DO_LOCK, "proc/fs", NULL, NULL, 0 },
	{ DO_LOCK, "proc/irq", NULL, NULL, 0 },
	{ DO_LOCK, "proc/sys", NULL, NULL, 0 },
	{ DO_LOCK, "proc/sysrq-trigger", NULL, NULL, 0 },
};

/* Mounts on the descriptor `at`; with a type a new file system, without one a bind of source. */
static int mount_on(int at, const char *source, const char *type, unsigned long flags,
		    const char *options)
{
	char target[32];

	format(target, sizeof target, "/proc/self/fd/%d", at);
	return mount(source, target, type, flags, options) ? -errno : 0;
}

/* Binds the object open at `from` over `at`. A bind takes its flags only when it is remounted. */
static int bind_on(int root, int at, int from, const char *path, unsigned long flags)
{
	char source[32];

	format(source, sizeof source, "/proc/self/fd/%d", from);
	int failed = mount_on(at, source, NULL, MS_BIND, NULL);
	int mounted = failed ? failed : path_open(root, path, O_PATH);
	if (mounted < 0)
		return mounted;
	flags |= MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID;
	failed = mount_on(mounted, NULL, NULL, flags, NULL);
	close(mounted);
	return failed;
}

/* Covers a directory by nothing, a file by our null device, never the image's (CVE-2025-31133). */
static int hide(int root, int at, const char *path)
{
	struct stat st;

	if (fstat(at, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return mount_on(at, "none", "tmpfs", MS_PLAIN | MS_RDONLY,
				"size=4k,nr_inodes=2,mode=0555");
	int null = path_open(root, "dev/null", O_PATH);
	int failed = null < 0 ? null : fstat(null, &st) ? -errno : 0;
	if (!failed && (!S_ISCHR(st.st_mode) || st.st_rdev != DEVICE(1, 3)))
		failed = -ENODEV;
	if (!failed)
		failed = bind_on(root, at, null, path, MS_NOEXEC);
	if (null >= 0)
		close(null);
	return failed;
}

/* Makes a name in a directory of ours: a directory, a link, or a device node. */
static int mount_name(int root, const struct mount_op *op)
{
	char parent[64];
	const char *leaf = strrchr(op->at, '/') + 1;

	format(parent, sizeof parent, "%.*s", (int)(leaf - op->at), op->at);
	int dir = path_open(root, parent, O_PATH | O_DIRECTORY), failed = 0;
	if (dir < 0)
		return dir;
	if (op->kind == DO_DIR)
		failed = mkdirat(dir, leaf, 0755);
	else if (op->kind == DO_LINK)
		failed = symlinkat(op->what, dir, leaf);
	else
		failed = mknodat(dir, leaf, (op->kind == DO_NODE ? S_IFCHR : S_IFREG) | 0666,
				 op->flags);
	failed = failed ? -errno : 0;
	close(dir);
	return failed;
}

/* Does one operation below the open directory root. Returns 0 or -errno. */
static int mount_do(int root, const struct mount_op *op)
{
	int failed = 0;

	if (op->kind == DO_DIR || op->kind == DO_LINK || op->kind == DO_NODE)
		return mount_name(root, op);
	if (op->kind == DO_BIND && (failed = mount_name(root, op)))
		return failed;
	int at = path_open(root, op->at, O_PATH | (op->kind == DO_MOUNT ? O_DIRECTORY : 0));
	if (at == -ENOENT && (op->kind == DO_LOCK || op->kind == DO_HIDE))
		return 0;
	if (at < 0)
		return at;
	if (op->kind == DO_MOUNT) {
		failed = mount_on(at, "none", op->what, op->flags, op->options);
	} else if (op->kind == DO_SEAL) {
		failed = mount_on(at, NULL, NULL,
				  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL);
	} else if (op->kind == DO_LOCK) {
		failed = bind_on(root, at, at, op->at, MS_PLAIN);
	} else if (op->kind == DO_HIDE) {
		failed = hide(root, at, op->at);
	} else {
		int from = open(op->what, O_PATH | O_CLOEXEC);
		failed = from < 0 ? -errno : bind_on(root, at, from, op->at, MS_NODEV);
		if (from >= 0)
			close(from);
	}
	close(at);
	return failed;
}

/* ---- 11  confine -------------------------------------------------------------------------------
 *
 * What a workload keeps of root's power: the capabilities that its row names, and nothing that
 * execve(2) could give back. And the one link of a network namespace that has nothing else.
 */

/*
 * Drops all capabilities but `keep`, for good: bounding set, no_new_privs. ambient: those stay over
 * an execve, which a user who is not root needs; else they are its bounds.
 */
static int confine(u64 keep, int ambient)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &header, data))
		return -errno;
	for (int i = 0; i < 2; i++)
		data[i].effective =
		    data[i].permitted; /* another user has them, but not in effect */
	if (syscall(SYS_capset, &header, data))
		return -errno;
	for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap))
			return -errno;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* capset empties it too */
	for (int i = 0; i < 2; i++) {
		data[i].effective = data[i].permitted = (uint32_t)(keep >> 32 * i);
		data[i].inheritable = ambient ? data[i].effective : 0;
	}
	if (syscall(SYS_capset, &header, data) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	for (unsigned cap = 0; ambient && cap < 64; cap++)
		if (keep >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
			return -errno;
	return 0;
}

/*
 * From now on this process, and what it forks, can make only these system calls: any other one ends
 * it. Returns 0 or -errno: -EINVAL from a kernel without CONFIG_SECCOMP_FILTER. seccomp(2)
 */
static int filter_calls(const int *allowed, unsigned n)
{
	struct sock_filter code[80] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_AUDIT_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_filter *at = code + 4;

	for (unsigned i = 0; i < n; i++)
		if (allowed[i] >= 0)
			*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							     (unsigned)allowed[i], 0, 0);
	unsigned calls = at - code - 4;
	for (unsigned i = 0; i < calls; i++)
		code[4 + i].jt = (uint8_t)(calls - i);
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { .len = (unsigned short)(at - code), .filter = code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return -errno;
	return 0;
}

/* Gives the user namespace of the process pid all ids that we have, or only our own as its root. */
static int users_map(pid_t pid)
{
	char path[48], map[64];
	u64 count = 0;
	int dir, failed = 0;

	format(path, sizeof path, "/proc/%d", pid);
	if ((dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return -errno;
	if (geteuid()) {
		count = 1;
		failed = file_write(dir, "setgroups", "deny");
	} else if (file_read(AT_FDCWD, "/proc/self/uid_map", map, sizeof map) > 0) {
		map[strcspn(map, "\n")] = '\0';
		const char *last = strrchr(map, ' ');
		i64 n = 0;
		failed = last++ ? decimal(&last, last + strlen(last), &n) : -ENODATA;
		count = (u64)n;
	}
	format(map, sizeof map, "0 %u %llu", (unsigned)geteuid(), count);
	if (!failed)
		failed = file_write(dir, "uid_map", map);
	format(map, sizeof map, "0 %u %llu", (unsigned)getegid(), count);
	if (!failed)
		failed = file_write(dir, "gid_map", map);
	close(dir);
	return failed;
}

/* Brings lo up in the network namespace of the caller. */
static int loopback_up(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), failed;

	if (fd < 0 && errno == EAFNOSUPPORT)
		return 0; /* a kernel without IP has no lo to miss */
	if (fd < 0)
		return -errno;
	failed = ioctl(fd, SIOCSIFFLAGS, &lo) ? -errno : 0;
	close(fd);
	return failed;
}

/* ==== Part III: Lives that may die ============================================================ */

/* ---- 12  children ------------------------------------------------------------------------------
 *
 * What every child does first, and how its parent knows it. The parent's halves of functions
 * return -errno; the child's halves die, and the parent reads why.
 */

static struct {
	int report;         /* pipe to the parent, for a child's last words; or -1 */
	int code;           /* exit status of a death */
	int device;         /* we are PID 1 of the device: after a death nobody is left */
	const char *images; /* directory */
	char work[48];      /* a directory of our own; the roots are mounted in it */
	char *args;         /* argv and environ, as the kernel has laid them out */
	size_t args_size;
	const char *only, *skip; /* names on the kernel command line */
} host = { .report = -1, .code = 1, .images = BOARD_IMAGES, .work = "/run/launcher" };

static struct { /* not in `host`, for what has no first value takes no place in the file */
	char self[PATH_MAX];  /* this program, for the rows that have its verbs */
	char image[PATH_MAX]; /* the image that is being worked on, for messages */
} paths;

static void kernel_reboot(int command)
{
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, command, NULL);
}

/* Says why, and ends this process. On the device itself: says why, and starts over. */
static _Noreturn __attribute__((format(__printf__, 1, 2))) void die(const char *f, ...)
{
	struct text t = { scratch, scratch + 320 }; /* less than PIPE_BUF: it goes in one piece */
	struct timespec pause = { .tv_sec = 10 };
	va_list ap;

	va_start(ap, f);
	text_va(&t, f, ap);
	va_end(ap);
	if (host.report < 0 || write(host.report, scratch, t.at - scratch) < 0)
		log_line(journal.as, scratch, t.at - scratch);
	if (host.device) {
		say("this device starts over in 10 seconds");
		nanosleep(&pause, NULL);
		sync();
		kernel_reboot(LINUX_REBOOT_CMD_RESTART);
	}
	_exit(host.code);
}

/* A child, as its parent knows it. */
struct task {
	pid_t pid;  /* 0: none */
	int pidfd;  /* signals go here, so they never hit a stranger */
	int report; /* its last words; end of file without any: it did its work */
};

/* The first steps of a child: its limits, and death with the parent. Signals wait. */
static void child_begin(const char *cgroup_name, int report)
{
	struct pollfd parent = { .fd = report };
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	host.report = report;
	host.code = 125;
	host.device = 0;
	setsid(); /* Ctrl-C is for the launcher, which then stops us in order */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		die("death with the parent: %m");
	if (poll(&parent, 1, 0) && parent.revents & POLLERR)
		_exit(host.code); /* the parent was gone before the line above */
	int failed = cgroup_name ? cgroup_join(cgroup_name) : 0;
	if (failed)
		die("joining the cgroup: %s", strerror(-failed));
}

/*
 * Forks a child into the cgroup of that name (NULL: the caller's) and new namespaces (CLONE_NEW*).
 * Returns 0 in the child, 1 in the parent, which owns the descriptors of the task, or -errno.
 */
static int task_fork(struct task *task, u64 namespaces, const char *cgroup_name)
{
	int report[2], pidfd = -1;
	struct clone3_args args = { .flags = namespaces | CLONE_PIDFD, .exit_signal = SIGCHLD };

	args.pidfd = (uintptr_t)&pidfd;
	if (pipe2(report, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	int failed = cgroup_name ? cgroup_place(cgroup_name, &args) : 0;
	long pid = failed ? -1 : syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0 && !failed && errno == ENOSYS && args.flags == CLONE_PIDFD)
		pid = fork(); /* nothing is asked that it could not do */
	if (!pid) {
		child_begin(cgroup_name, report[1]);
		return 0;
	}
	if (pid < 0 && !failed)
		failed = -errno;
	if (args.flags & CLONE_INTO_CGROUP)
		close((int)args.cgroup);
	close(report[1]);
	if (failed)
		close(report[0]);
	*task = (struct task){ failed ? 0 : (pid_t)pid, pidfd, report[0] };
	return failed ? failed : 1;
}

/* Closes all descriptors of the parent's but stdio and the n that are given; -1 is none. */
static void descriptors_keep(const int *keep, int n)
{
	for (unsigned from = STDERR_FILENO + 1, next; from; from = next + 1) {
		next = ~0U; /* the lowest of the others that is kept */
		for (int i = 0; i < n; i++)
			if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (from == next || !syscall(SYS_close_range, from, next - (next != ~0U), 0))
			continue;
		if (errno != ENOSYS)
			die("descriptors: %m");
		for (unsigned fd = from, most = (unsigned)sysconf(_SC_OPEN_MAX);
		     fd < next && fd < most;)
			close((int)fd++); /* before Linux 5.9 */
	}
}

/* Undoes what the parent, or whoever started the launcher, has done to signals. */
static void signals_reset(void)
{
	sigset_t none;

	for (int i = 1; i < _NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Waits for the end of a child. A signal of the set, which is blocked, is passed on to it, or kills
 * it if the child can't know. Returns its exit status, and its last words.
 */
static int task_wait(struct task *task, const sigset_t *signals, int kill_it, char *words,
		     size_t size)
{
	struct pollfd pipe_end = { .fd = task->report };
	siginfo_t end = { 0 };

	while (!waitid(P_PID, task->pid, &end, WEXITED | (signals ? WNOHANG : 0)) && !end.si_pid) {
		int signal = sigwaitinfo(signals, NULL);
		if (signal > 0 && signal != SIGCHLD)
			kill(task->pid, kill_it ? SIGKILL : signal); /* it is not reaped yet */
	}
	/* What it has forked dies with it, but a moment later; until then, it has the pipe open. */
	while (poll(&pipe_end, 1, -1) < 0 && errno == EINTR)
		;
	ssize_t n = read(task->report, words, size - 1);
	words[n > 0 ? n : 0] = '\0';
	close(task->report);
	if (task->pidfd >= 0)
		close(task->pidfd);
	if (end.si_code != CLD_EXITED && n <= 0)
		format(words, size, "%s", strsignal(end.si_status));
	return end.si_code == CLD_EXITED ? end.si_status : 128 + end.si_status;
}

/* ---- 13  unpacker ------------------------------------------------------------------------------
 *
 * The child that unpacks an image. It prepares a place and hands the work to a process that sees
 * nothing but that place and the image: with users and mounts of its own, a handful of system
 * calls, and no way out. What a hole in a parser could spoil is that place.
 */

/* Where the root of an image is mounted. */
static void root_path(char path[PATH_MAX], const char *image)
{
	const char *name = strrchr(image, '/');

	format(path, PATH_MAX - 8, "%s/%s", host.work, name ? name + 1 : image);
}

/* Unmounts a root. Containers that still run in it keep it alive until they end. */
static void root_drop(const char *image)
{
	char path[PATH_MAX];

	root_path(path, image);
	umount2(path, MNT_DETACH);
	rmdir(path);
	format(path + strlen(path), 8, "%s", ".header");
	unlink(path);
}

static int image_users(const char *image)
{
	int users = 0;

	for (int i = 0; i < NCONTAINERS; i++)
		users += !strcmp(containers[i].image, image);
	return users;
}

/* A root may fill its container's memory; a shared one the memory of the largest that shares it. */
static u64 root_size(const struct container *c)
{
	u64 size = memory_max(c);

	for (int i = 0; i < NCONTAINERS; i++)
		if (!strcmp(containers[i].image, c->image) && memory_max(&containers[i]) > size)
			size = memory_max(&containers[i]);
	return size;
}

/*
 * Opens the image of that name or path: a part of this program, a file in the directory of images,
 * or any file, disk or flash device. Never something that could block for ever.
 */
static int image_find(struct image *m, const char *place, int anyone)
{
	const struct embedded *e = __start_embedded;
	int is_path = !!strchr(place, '/');
	struct stat st;

	format(paths.image, sizeof paths.image, "%s", place);
	for (; !is_path && e != __stop_embedded; e++)
		if (!strcmp((const char *)&e->name + e->name, place))
			return image_open(m, -1, (const uint8_t *)&e->bytes + e->bytes, e->size,
					  anyone);
	if (!is_path)
		format(paths.image, sizeof paths.image, "%s/%s", host.images, place);
	int fd = open(paths.image, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st))
		return refuse(m, "%m");
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISCHR(st.st_mode))
		return refuse(m, "not a file or device");
	return image_open(m, fd, NULL, 0, anyone);
}

static struct image image; /* the one that this process works on */

/* What the processes that unpack one image share. */
struct crew {
	unsigned shard;    /* that was taken last */
	unsigned failed;   /* somebody has said why */
	unsigned left_out; /* device nodes */
};

/* All that it takes to fill a directory from an open file; the most frequent ones first. */
static const int unpack_calls[] = {
	SYS_pwrite64,  SYS_openat,    SYS_openat2,
	SYS_close,     SYS_fchown,    SYS_fchown32,
	SYS_fchmod,    SYS_utimensat, SYS_utimensat_time64,
	SYS_symlinkat, SYS_fchownat,  SYS_mkdirat,
	SYS_fstat,     SYS_fstat64,   SYS_newfstatat,
	SYS_fstatat64, SYS_statx,     SYS_pread64,
	SYS_linkat,    SYS_ftruncate, SYS_ftruncate64,
	SYS_fsetxattr, SYS_unlinkat,  SYS_mknodat,
	SYS_write,     SYS_clone,     SYS_fork,
	SYS_wait4,     SYS_gettid,    SYS_rt_sigprocmask,
	SYS_prctl,     SYS_exit,      SYS_exit_group,
};

/* Leaves a worker with the root, and with nothing else that it could reach. */
static void worker_confine(int root)
{
	u64 keep = CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID) | CAP(SETFCAP);

	if (!geteuid()) {
		if (fchdir(root) || chroot("."))
			die("changing the root: %m");
		int failed = confine(keep, NO);
		if (failed)
			die("dropping capabilities: %s", strerror(-failed));
	}
	int failed = filter_calls(unpack_calls, LEN(unpack_calls));
	if (failed && failed != -EINVAL) /* a kernel without it: said when the launcher starts */
		die("a filter for system calls: %s", strerror(-failed));
}

static void unpack_shard(struct image *m, int root, unsigned shard, unsigned how,
			 void (*each)(const struct tar *), struct crew *crew)
{
	unsigned last = m->header.nshards ? m->header.nshards - 1 : 0, left_out = 0;

	image_rewind(m, shard);
	int failed = image_unpack(m, root, how | (shard < last ? TAR_NO_END : 0), each, &left_out);
	__atomic_fetch_add(&crew->left_out, left_out, __ATOMIC_RELAXED);
	if (failed && __atomic_exchange_n(&crew->failed, 1, __ATOMIC_RELAXED)) {
		while (wait(NULL) > 0)
			; /* who was first says why, and does not outlive its parent */
		_exit(host.code);
	}
	if (failed)
		die("%s", failed == -EBADMSG ? m->why : strerror(-failed));
}

/* Unpacks the shards that nobody else has taken. */
static void unpack_some(struct image *m, int root, unsigned how, struct crew *crew)
{
	for (unsigned shard;
	     (shard = __atomic_add_fetch(&crew->shard, 1, __ATOMIC_RELAXED)) < m->header.nshards;)
		unpack_shard(m, root, shard, how, NULL, crew);
}

/* The life of the worker. An image in shards occupies every CPU: first its directories are made. */
static _Noreturn void worker(struct image *m, int root, unsigned how,
			     void (*each)(const struct tar *), struct crew *crew)
{
	cpu_set_t cpus;
	int status, helpers = sched_getaffinity(0, sizeof cpus, &cpus) ? 0 : CPU_COUNT(&cpus) - 1;

	worker_confine(root);
	if (m->header.nshards < 2 || each) { /* one after the other, in their order */
		for (unsigned shard = 0; !shard || shard < m->header.nshards; shard++)
			unpack_shard(m, root, shard, how, each, crew);
		_exit(0);
	}
	unpack_shard(m, root, 0, how | TAR_SHARDS | TAR_SKELETON, NULL, crew);
	for (unsigned i = 2; i < m->header.nshards && helpers-- > 0; i++)
		if (!fork()) { /* one that can't be had is not missed: the others do its work */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			unpack_some(m, root, how | TAR_SHARDS, crew);
			_exit(0);
		}
	unpack_some(m, root, how | TAR_SHARDS, crew);
	while (wait(&status) > 0)
		if (status && !__atomic_exchange_n(&crew->failed, 1, __ATOMIC_RELAXED))
			die("a process of the unpacker was killed");
	if (crew->failed)
		_exit(host.code);
	unpack_shard(m, root, 0, how | TAR_SHARDS | TAR_FINISH, NULL, crew);
	_exit(0);
}

/* A worker without a root has one of its own, which goes with it. */
static int worker_root(u64 spaces)
{
	if (!spaces)
		die("a place to unpack: it takes root, or user namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "nr_inodes=1m"))
		die("a place to unpack: %m");
	return open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/*
 * Has the open image unpacked below the directory root, or below none, to see if it could be, by a
 * process that can do nothing else. It has users and mounts of its own where the kernel has such.
 * signals: what kills it, see task_wait. Returns 0, or -EBADMSG and the reason in m->why.
 */
static int unpack(struct image *m, int root, void (*each)(const struct tar *),
		  const sigset_t *signals)
{
	unsigned how = (geteuid() ? 0 : TAR_OWNERS) | (root < 0 ? TAR_DISCARD : 0);
	struct crew *crew = mmap(NULL, sizeof *crew, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static const u64 tries[] = { CLONE_NEWUSER | CLONE_NEWNS, CLONE_NEWNS, 0 };
	u64 spaces = 0, patience = now() + SECONDS(10);
	struct task task;
	int go[2], failed = 0, parent = -1;
	char byte = 0;

	if (crew == MAP_FAILED || pipe2(go, O_CLOEXEC))
		return refuse(m, "%m");
	/* Tasks of an unpacker that was killed a moment ago still count against the row's .pids. */
	for (int i = 0; parent < 0 && i < LEN(tries); i += parent != -EAGAIN || now() > patience) {
		if (parent == -EAGAIN)
			poll(NULL, 0, 20);
		parent = task_fork(&task, spaces = tries[i], NULL);
	}
	if (!parent) {
		close(go[1]);
		if (spaces & CLONE_NEWUSER && read(go[0], &byte, 1) != 1)
			die("its users can't be mapped");
		root = root < 0 ? worker_root(spaces) : root;
		descriptors_keep((int[]){ m->fd, root, host.report }, 3);
		worker(m, root, how, each, crew);
	}
	if (parent > 0 && spaces & CLONE_NEWUSER && !users_map(task.pid))
		failed = write(go[1], &byte, 1) < 0; /* then it fails by itself */
	close(go[0]);
	close(go[1]);
	if (parent < 0)
		return refuse(m, "a process to unpack in: %s", strerror(-parent));
	failed = task_wait(&task, signals, YES, m->why, sizeof m->why);
	if (crew->left_out)
		say("%u device nodes are left out: a container has its own", crew->left_out);
	munmap(crew, sizeof *crew);
	return failed ? -EBADMSG : 0;
}

/* Makes the places where something will be mounted, for a read-only root takes them no more. */
static void mount_points(const struct container *c, int root)
{
	static const char *const always[] = { "proc", "sys", "dev" };
	int failed = 0;

	for (int i = 0; i < LEN(always) && !failed; i++)
		failed = path_mkdir(root, always[i]);
	for (const struct tmpfs *t = c->tmpfs; t && t->path && !failed; t++)
		failed = path_mkdir(root, t->path);
	if (failed)
		die("the image has no place for a mount: %s", strerror(-failed));
}

enum { DEVICE_WAIT = 5000 }; /* ms */

/* Is this image for this row and this device? */
static int image_accept(struct image *m, const struct container *c)
{
	const struct header *h = &m->header;
	struct utsname kernel = { 0 };
	size_t n = strcspn(c->image, ".");
	int is_row = c >= containers && c < containers + NCONTAINERS;

	uname(&kernel);
	if (c->version && (!h->version || version_compare(h->version, c->version) < 0))
		return refuse(m, "it has the version %s, and %s is the least that is accepted",
			      h->version ? h->version : "0", c->version);
	if (h->arch && strcmp(h->arch, ARCH))
		return refuse(m, "it is for %s, and this is %s", h->arch, ARCH);
	if (h->kernel && version_compare(kernel.release, h->kernel) < 0)
		return refuse(m, "it needs Linux %s, and this is %s", h->kernel, kernel.release);
	if (is_row && m->trusted && h->name &&
	    (strlen(h->name) != n || memcmp(h->name, c->image, n)))
		return refuse(m, "it is the image '%s', and not that of this row", h->name);
	if (h->unpacked > root_size(c))
		return refuse(m, "it has %llu KiB when it is unpacked, and the limit is %llu KiB",
			      h->unpacked >> 10, root_size(c) >> 10);
	return 0;
}

/* What the image says of itself, kept for each start of its containers. */
static void header_keep(const struct image *m, const char *root)
{
	char path[PATH_MAX];

	format(path, sizeof path, "%s.header", root);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, m->pairs, m->pairs_end - m->pairs) < m->pairs_end - m->pairs)
		die("%s: %m", path);
	close(fd);
}

/* Unpacks what is at that place into a bounded tmpfs, and makes it read-only, for good. */
static int unpack_place(const struct container *c, struct image *m, const char *place)
{
	const struct header *h = &m->header;
	char root[PATH_MAX], options[96];
	u64 size = root_size(c), page = (u64)sysconf(_SC_PAGESIZE);

	if (!strncmp(place, "/dev/", 5))
		path_wait(place, DEVICE_WAIT);
	int failed = image_find(m, place, NO);
	if (!failed)
		failed = image_accept(m, c);
	if (failed)
		return failed;
	u64 needed = h->unpacked + (h->entries + 64) * page, inodes = h->entries + 256;
	if (!h->chunk || needed > size)
		needed = size;
	root_path(root, c->image);
	/* Large pages for large files, where there are such (CONFIG_TRANSPARENT_HUGEPAGE). */
	int large = !access("/sys/kernel/mm/transparent_hugepage", F_OK);
	format(options, sizeof options, "mode=755,size=%llu,nr_inodes=%llu%s", needed,
	       h->entries ? inodes : size / 1024, large ? ",huge=within_size" : "");
	if ((mkdir(root, 0755) && errno != EEXIST) ||
	    mount(strrchr(root, '/') + 1, root, "tmpfs", MS_NOSUID | MS_NODEV, options))
		die("a tmpfs for the root: %m");
	int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		die("%s: %m", root);
	if ((failed = unpack(m, dir, NULL, NULL))) {
		close(dir);
		umount2(root, MNT_DETACH);
		return failed;
	}
	mount_points(c, dir);
	for (int i = 0; i < NCONTAINERS; i++)
		if (!strcmp(containers[i].image, c->image))
			mount_points(&containers[i], dir);
	header_keep(m, root);
	if (mount(NULL, root, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
		die("making the root read-only: %m");
	return 0;
}

/* The life of the unpacker: its first place, or else the fallback, and no third. */
static _Noreturn void unpacker(const struct container *c)
{
	char why[320] = "";

	signals_reset();
	umask(0);
	int failed = unpack_place(c, &image, c->place ? c->place : c->image);
	if (failed && c->fallback) {
		format(why, sizeof why, "%s: %.*s; ", paths.image, 160, image.why);
		if (image.in)
			image_close(&image);
		failed = unpack_place(c, &image, c->fallback);
	}
	if (failed)
		die("%s%s: %s", why, paths.image, image.why);
	if (*why) { /* last words of a success: a remark */
		size_t n = format(scratch, sizeof scratch, "%s%s is taken", why, paths.image);
		write(host.report, scratch, n);
	}
	_exit(0);
}

/* Starts the unpacker of the container's image. A shared image is charged to the launcher. */
static int container_unpack(const struct container *c, struct task *task)
{
	int parent = task_fork(task, 0, image_users(c->image) > 1 ? NULL : c->name);

	if (!parent) {
		journal.as = c->name;
		unpacker(c);
	}
	return parent < 0 ? parent : 0;
}

/* ---- 14  inside --------------------------------------------------------------------------------
 *
 * PID 1 of a container: it builds it from within, starts the workload, and stays to reap, to
 * forward signals, and to exit as the workload did. Before that, any failure is a death.
 */

static void mount_or_die(int root, const struct mount_op *op)
{
	int failed = mount_do(root, op);

	if (failed)
		die("%s in the container: %s", op->at, strerror(-failed));
}

/* All mounts of a container below its open root. */
static void construct_mounts(const struct container *c, int root)
{
	char path[128], options[64];

	for (int i = 0; i < LEN(container_mounts); i++)
		mount_or_die(root, &container_mounts[i]);
	for (const struct tmpfs *t = c->tmpfs; t && t->path; t++) {
		format(options, sizeof options, "mode=1777,size=%llu,nr_inodes=%llu", t->size,
		       t->size / 1024);
		mount_or_die(root,
			     &(struct mount_op){ DO_MOUNT, t->path, "tmpfs", options, MS_PLAIN });
	}
	format(path, sizeof path, "%s/control", host.work);
	const struct mount_op control[] = {
		{ DO_DIR, "dev/launcher", NULL, NULL, 0 },
		{ DO_BIND, "dev/launcher/control", path, NULL, 0 },
		{ DO_BIND, "dev/launcher/launcher", paths.self, NULL, 0 },
	};
	for (int i = 0; i < LEN(control) && c->control; i++)
		mount_or_die(root, &control[i]);
	mount_or_die(root, &(struct mount_op){ DO_SEAL, "dev", NULL, NULL, 0 });
}

/* Lays a file system that forgets over the read-only root; what is written counts as memory. */
static int root_scratch(const char *path, int lower, u64 size)
{
	static const char *const names[] = { "upper", "work", "root" };
	char options[128];

	format(options, sizeof options, "mode=755,size=%llu,nr_inodes=%llu", size, size / 1024);
	if (mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV, options) || chdir(path))
		die("a tmpfs for what is written: %m");
	for (int i = 0; i < LEN(names); i++)
		if (mkdir(names[i], 0755))
			die("a tmpfs for what is written: %m");
	format(options, sizeof options, "lowerdir=/proc/self/fd/%d,upperdir=upper,workdir=work",
	       lower);
	if (mount("none", "root", "overlay", MS_NOSUID | MS_NODEV, options))
		die("a root that can be written, by overlayfs (CONFIG_OVERLAY_FS): %m");
	close(lower);
	return open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Makes the root of the image the root of this mount namespace, and lets go of the old one. */
static void construct_root(const struct container *c)
{
	char path[PATH_MAX];

	root_path(path, c->image);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		die("mounts of its own: %m");
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0 && c->root)
		root = root_scratch(path, root, c->root);
	if (root < 0 || fchdir(root))
		die("%s: %m", path);
	construct_mounts(c, root);
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		die("changing the root: %m");
	close(root);
}

/* The cgroup namespace is not made by clone3, where it would begin at the parent's cgroup. */
static void construct(const struct container *c, const int stdio[3])
{
	static const struct rlimit no_core;
	int failed;

	umask(0);
	if (unshare(CLONE_NEWCGROUP))
		die("a cgroup namespace: %m");
	if (sethostname(c->name, strlen(c->name)))
		die("host name: %m");
	if ((failed = loopback_up()))
		die("network lo: %s", strerror(-failed));
	for (int i = 0; i < 3; i++)
		if (dup2(stdio[i], i) < 0) /* descriptors 0 to 2 are always open in the parent */
			die("stdio: %m");
	construct_root(c);
	failed = file_write(AT_FDCWD, "/proc/self/oom_score_adj", "0");
	if (failed || setrlimit(RLIMIT_CORE, &no_core) || prctl(PR_SET_DUMPABLE, 0) ||
	    prctl(PR_SET_NAME, "launcher"))
		die("process limits: %s", strerror(failed ? -failed : errno));
	/* What it takes to become the user of the workload; neither of the two keeps it. */
	if ((failed = confine(c->keep | CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP) | CAP(KILL), NO)))
		die("dropping capabilities: %s", strerror(-failed));
	descriptors_keep(&host.report, 1);
}

/* What the image says of itself: read from what header_keep has kept. */
static const struct header *image_says(const struct container *c)
{
	unsigned seen[LEN(header_keys)] = { 0 };
	char path[PATH_MAX];
	int failed = 0;

	root_path(path, c->image);
	format(path + strlen(path), 8, "%s", ".header");
	ssize_t n = file_read(AT_FDCWD, path, image.text, sizeof image.text);
	for (const char *key = image.text, *end = key + n, *value; !failed && key < end;) {
		value = key + strlen(key) + 1;
		failed = header_pair(&image, key, value, seen);
		key = value + strlen(value) + 1;
	}
	if (n < 0 || failed)
		die("%s: %s", path, n < 0 ? strerror((int)-n) : image.why);
	return &image.header;
}

/* The environment: what the row says, then what it does not replace. Nothing comes from outside. */
static const char **environment(const struct container *c, const char *const *of_image)
{
	static const char *const defaults[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/dev/launcher",
		"HOME=/",
		"TERM=linux",
		NULL,
	};
	const char *const *const lists[] = { c->env, of_image, defaults };
	static const char *all[56 + WORDS_MAX + LEN(defaults)]; /* 56: see ENV */
	int n = 0;

	for (int list = 0; list < LEN(lists); list++)
		for (const char *const *e = lists[list]; e && *e; e++) {
			size_t key = strcspn(*e, "=") + 1;
			int i = 0;
			while (i < n && strncmp(all[i], *e, key))
				i++;
			if (i == n || !list)
				all[n++] = *e;
		}
	return all;
}

/* Becomes the user that the image names, `UID:GID`; nobody else is asked who that is. */
static void become(const char *user, u64 keep)
{
	i64 ids[2] = { 0 };
	const char *end = user ? user + strlen(user) : NULL;

	if (user && (decimal(&user, end, &ids[0]) || *user++ != ':' ||
		     decimal(&user, end, &ids[1]) || user != end))
		die("the image's user is not UID:GID");
	gid_t gid = (gid_t)ids[1];
	uid_t uid = (uid_t)ids[0];
	if (prctl(PR_SET_KEEPCAPS, 1) || setgroups(0, NULL) || setresgid(gid, gid, gid) ||
	    setresuid(uid, uid, uid))
		die("becoming user %u: %m", uid);
	int failed = confine(keep, !!uid);
	if (failed)
		die("dropping capabilities: %s", strerror(-failed));
}

/* The workload's own first steps; the last one replaces it. */
static _Noreturn void workload(const struct container *c, const struct header *says)
{
	const char *const *command = c->command ? c->command : says->entry;

	signals_reset();
	umask(022);
	setsid();
	if (c->console) /* refused where a laptop's session owns it: there is no job control then */
		ioctl(0, TIOCSCTTY, 0);
	become(says->user, c->keep);
	if (says->cwd && chdir(says->cwd))
		die("the image's working directory %s: %m", says->cwd);
	host.code = 127;
	if (!command[0])
		die("neither its row nor its image says what to run");
	environ = (char **)(uintptr_t)environment(c, says->env);
	execvp(command[0], (char *const *)(uintptr_t)command);
	host.code = errno == ENOENT ? 127 : 126;
	die("executing %s: %m", command[0]);
}

/* PID 1 of a container. A signal that it gets is meant for the workload. */
static _Noreturn void inside(const struct container *c, const int stdio[3])
{
	sigset_t all;
	int status;

	const struct header *says = image_says(c);
	construct(c, stdio);
	sigfillset(&all); /* all are blocked since child_begin: none is lost, none kills */
	pid_t main_pid = fork();
	if (!main_pid)
		workload(c, says);
	if (main_pid < 0)
		die("a process for the workload: %m");
	if (confine(CAP(KILL), NO)) /* the workload may be another user */
		die("dropping capabilities: %m");
	syscall(SYS_close_range, 0, ~0U, 0);  /* the report too: exec closes its last copy */
	memset(host.args, 0, host.args_size); /* /proc/1/cmdline is for everybody to read */
	memcpy(host.args, "launcher", host.args_size < 8 ? host.args_size : 8);
	for (;;) {
		int signal = sigwaitinfo(&all, NULL);
		if (signal > 0 && signal != SIGCHLD)
			kill(main_pid, signal); /* not reaped yet, so it is no stranger */
		for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
			if (pid == main_pid && WIFSIGNALED(status))
				_exit(128 + WTERMSIG(status));
			if (pid == main_pid)
				_exit(WEXITSTATUS(status));
		}
	}
}

/* Starts the container in its cgroup, with these descriptors as stdin, stdout and stderr. */
static int container_start(const struct container *c, const int stdio[3], struct task *task)
{
	u64 own = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
	int parent = task_fork(task, own, c->name);

	if (!parent)
		inside(c, stdio);
	return parent < 0 ? parent : 0;
}

/* ---- 15  boot ----------------------------------------------------------------------------------
 *
 * Makes a place where containers can be supervised: of a device that has nothing but a kernel, or
 * of a corner of a laptop, in a mount namespace of our own that vanishes with us. What a device
 * lacks is said and lived with here; whether a container can do without is decided when it starts.
 */

static const struct {
	const char *at, *type, *options;
	unsigned long flags;
} device_mounts[] = {
	{ "/proc", "proc", NULL, MS_PLAIN },
	{ "/sys", "sysfs", NULL, MS_PLAIN },
	{ "/dev", "devtmpfs", "mode=755", MS_NOSUID | MS_NOEXEC },
	{ "/run", "tmpfs", "mode=755,size=1m", MS_PLAIN },
	{ "/sys/fs/cgroup", "cgroup2", NULL, MS_PLAIN },
};

/* pivot_root(2) refuses the initramfs as an old root; a bind of it, moved over it, is accepted. */
static void leave_initramfs(void)
{
	struct statfs fs;

	if (statfs("/", &fs) || ((int)fs.f_type != RAMFS_MAGIC && (int)fs.f_type != TMPFS_MAGIC))
		return;
	mkdir("/run", 0755);
	if (mount("/", "/run", NULL, MS_BIND | MS_REC, NULL) || chdir("/run") ||
	    mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		say("leaving the initramfs: %m");
}

static void mount_device(void)
{
	for (int i = 0; i < LEN(device_mounts); i++) {
		const char *at = device_mounts[i].at, *type = device_mounts[i].type;
		mkdir(at, 0755);
		if (mount(type, at, type, device_mounts[i].flags, device_mounts[i].options) &&
		    errno != EBUSY) /* the kernel has done it */
			say("mounting %s on %s: %m", type, at);
	}
}

/* Descriptors 0 to 2 are always open, so that nothing else is ever mistaken for them. */
static void open_stdio(const char *path)
{
	int fd;

	while ((fd = open(path, O_RDWR | O_NOCTTY)) >= 0 && fd <= STDERR_FILENO)
		;
	if (fd > STDERR_FILENO)
		close(fd);
}

/* Lines go to path, through an open file of our own: a stopped terminal can't block that one. */
static int journal_open(const char *path)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (S_ISREG(st.st_mode))
		close(fd); /* a file never blocks, and its offset is shared with others */
	else
		journal.fd = fd;
	return 0;
}

static void set_only(const char *value)
{
	host.only = value;
}

static void set_skip(const char *value)
{
	host.skip = value;
}

static void set_log(const char *value)
{
	journal.quiet = !strcmp(value, "none");
	if (!strcmp(value, "kmsg")) {
		journal_open("/dev/kmsg");
		journal.kmsg = 1;
	} else if (strcmp(value, "console") && !journal.quiet) {
		say("launcher.log=%s on the kernel command line: not console, kmsg or none", value);
	}
}

static const struct {
	const char *name;
	void (*set)(const char *value);
} cmdline_words[] = {
	{ "launcher.only=", set_only }, /* containers to start, divided by commas */
	{ "launcher.skip=", set_skip }, /* not to start */
	{ "launcher.log=", set_log },   /* console, kmsg, or none: where lines are copied to */
};

static void set_word(const char *word)
{
	for (int i = 0; i < LEN(cmdline_words); i++) {
		size_t n = strlen(cmdline_words[i].name);
		if (!strncmp(word, cmdline_words[i].name, n)) {
			cmdline_words[i].set(word + n);
			return;
		}
	}
	if (!strncmp(word, "launcher.", 9))
		say("'%s' on the kernel command line means nothing here", word);
}

/* Our words, `launcher.KEY=VALUE`; all others are the kernel's. Quotes are dropped, as it does. */
static void read_cmdline(void)
{
	static char line[8192];
	char *from = line, *to = line, *word = line;
	int quoted = 0;

	file_read(AT_FDCWD, "/proc/cmdline", line, sizeof line);
	line[strcspn(line, "\n")] = '\0';
	for (int last = 0; !last; from++) {
		last = !*from;
		if (*from == '"') {
			quoted = !quoted;
		} else if (last || (!quoted && (*from == ' ' || *from == '\t'))) {
			*to++ = '\0';
			set_word(word);
			word = to;
		} else {
			*to++ = *from;
		}
	}
}

/* Names on the command line that no container has: said, not obeyed. */
static void check_names(const char *list, const char *key)
{
	char name[32];

	for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',') {
		int i = 0;
		format(name, sizeof name, "%.*s", (int)strcspn(p, ","), p);
		while (i < NCONTAINERS && strcmp(containers[i].name, name))
			i++;
		if (i == NCONTAINERS)
			say("%s on the kernel command line: there is no container '%s'", key, name);
	}
}

/* Loads one module; a CPU without the unit that it drives (ENODEV) is no error. */
static int load_module(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), failed = 0;
	int compressed = strstr(name, ".ko.") ? 4 : 0; /* MODULE_INIT_COMPRESSED_FILE */

	if (fd < 0 ||
	    (syscall(SYS_finit_module, fd, "", compressed) && errno != EEXIST && errno != ENODEV))
		failed = -errno;
	if (fd >= 0)
		close(fd);
	return failed;
}

/* Loads the board's modules in the order of the file `load`, which the host has worked out. */
static void load_modules(const char *path)
{
	static char list[8192];
	int dir = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, loaded = 0, failed;

	if (dir < 0 || file_read(dir, "load", list, sizeof list) < 0)
		return;
	for (char *name = list, *next; *name; name = next) {
		next = name + strcspn(name, "\n");
		if (*next)
			*next++ = '\0';
		if ((failed = load_module(dir, name)))
			say("module %s: %s", name, strerror(-failed));
		loaded += !failed;
	}
	close(dir);
	say("%d kernel modules", loaded);
}

/* What this is, said once: who reads a log later wants to know. */
static void introduce(void)
{
	struct utsname kernel = { 0 };
	struct sysinfo memory = { 0 };
	static const char *const versions[] = { "missing", "v1", "v2" };

	uname(&kernel);
	sysinfo(&memory);
	say("version %s for %s, on Linux %s %s with %llu MiB", VERSION, BOARD_NAME, kernel.release,
	    kernel.machine, (u64)memory.totalram * memory.mem_unit >> 20);
	say("cgroup: memory %s, pids %s, cpu %s, devices %s; policy: %d containers",
	    versions[cgroup.version[NEED_MEMORY]], versions[cgroup.version[NEED_PIDS]],
	    versions[cgroup.version[NEED_CPU]], versions[cgroup.version[NEED_DEVICES]],
	    NCONTAINERS);
	say(any_key() ? "images: signed by one of %d keys"
		      : "images: no key; unsigned images accepted",
	    any_key());
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) && errno == EINVAL)
		say("no filter for system calls (CONFIG_SECCOMP_FILTER): the unpacker has none");
	if (access("/proc/self/ns/user", F_OK))
		say("no user namespaces (CONFIG_USER_NS): the unpacker has none");
}

/* Where the roots will be, and the executable that rows with .control get. */
static void prepare_work(const char *cgroup_base)
{
	ssize_t n = readlink("/proc/self/exe", paths.self, sizeof paths.self - 1);

	paths.self[n < 0 ? 0 : n] = '\0';
	if (mkdir(host.work, 0700) && errno != EEXIST)
		die("%s: %m", host.work);
	cgroup_open(cgroup_base);
}

/* Lets the signals wait that the loop will read, so that nothing is left half made. */
static sigset_t signals_hold(void)
{
	static const int wanted[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPWR };
	sigset_t set;

	sigemptyset(&set);
	for (int i = 0; i < LEN(wanted); i++)
		sigaddset(&set, wanted[i]);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return set;
}

/* PID 1 of a device. Returns when containers can be started, whatever the command line holds. */
static void boot(void)
{
	umask(022);
	host.device = 1;
	signals_hold();
	leave_initramfs();
	mount_device();
	open_stdio("/dev/console");
	open_stdio("/dev/null");
	if (journal_open("/dev/console"))
		set_log("kmsg");
	read_cmdline();
	load_modules(BOARD_MODULES);
	prepare_work("launcher");
	introduce();
	check_names(host.only, "launcher.only");
	check_names(host.skip, "launcher.skip");
	kernel_reboot(LINUX_REBOOT_CMD_CAD_OFF);
}

/* Removes what a killed `launcher run` has left: a cgroup or directory that has its number. */
static int remove_dead_run(int dir, const char *name)
{
	int pid = 0;

	for (const char *p = name + 13;
	     !strncmp(name, "launcher-run-", 13) && *p >= '0' && *p <= '9'; p++)
		pid = pid * 10 + *p - '0';
	int full = pid && kill(pid, 0) ? tree_remove_entry(dir, name) : 0;
	if (full) {
		tree_empty(full - 1);
		unlinkat(dir, name, AT_REMOVEDIR);
	}
	return 0;
}

/* Removes the cgroup of a row that a killed `launcher up` has left; its tasks died with it. */
static int remove_stale(int dir, const char *name)
{
	struct timespec moment = { .tv_nsec = 10000000 };

	for (int i = 0; i < 100 && unlinkat(dir, name, AT_REMOVEDIR) && errno == EBUSY; i++) {
		cgroup_kill(name);
		nanosleep(&moment, NULL); /* the kernel is still burying its processes */
	}
	return 0;
}

/* The same place for a process that is not PID 1: `launcher up` and `launcher run`. */
static void prepare_host(const char *verb, const char *cgroup_base)
{
	if (geteuid())
		die("'launcher %s' makes namespaces and cgroups: it has to be root", verb);
	umask(022);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		die("a mount namespace: %m");
	prepare_work(cgroup_base);
}

/* Becomes the one `launcher up` of this machine, and clears what a killed one has left. */
static void prepare_up(void)
{
	char path[64];
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	signals_hold();
	prepare_host("up", "launcher");
	prctl(PR_SET_CHILD_SUBREAPER,
	      1); /* a dead orphan counts against .pids until it is reaped */
	journal_open("/proc/self/fd/2");
	format(path, sizeof path, "%s/lock", host.work);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die("%s: %m", path);
	if (fcntl(fd, F_SETLK, &lock)) {
		fcntl(fd, F_GETLK, &lock);
		die("process %d supervises the containers of this machine already", lock.l_pid);
	}
	for (int i = 0; i < NCONTROLLERS; i++)
		dir_each(cgroup.base[i], remove_stale);
	introduce();
}

/* Leaves nothing of `launcher up` behind. */
static void clear_up(void)
{
	tree_empty(open(host.work, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	rmdir(host.work);
	for (int i = 0; i < NCONTROLLERS; i++) {
		dir_each(cgroup.base[i], remove_stale);
		int top = openat(cgroup.base[i], "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		unlinkat(top, "launcher", AT_REMOVEDIR);
		close(top);
	}
}

/* Ends the device: nothing is left running, disks are in order, then the kernel does it. */
static void end_device(int command)
{
	static const char *const how[] = { "powering off", "restarting" };

	say("%s", how[command == LINUX_REBOOT_CMD_RESTART]);
	kill(-1, SIGKILL);
	sync();
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	if (!fork()) { /* the kernel may end the caller, and PID 1 must not end */
		kernel_reboot(command);
		_exit(1);
	}
	for (;;)
		pause();
}

/* ---- 16  ask -----------------------------------------------------------------------------------
 *
 * What the command line prints, and what it asks: a request that is sent to the supervisor, and
 * answered packet by packet.
 */

enum { SUPERVISE = -1 }; /* what a verb returns, instead of an exit status, to go on in part IV */
enum { EXIT_USAGE = 2 };

static unsigned options; /* of the verb: a bit for each letter; j: --json */

static int option(char letter)
{
	return options >> (letter - 'a') & 1;
}

/* clang-format off */
enum request_kind {
	ASK_SELF, ASK_PS, ASK_LOGS, ASK_START, ASK_STOP, ASK_RESTART, ASK_SAVE, ASK_POWEROFF,
	ASK_REBOOT
};
/* clang-format on */

struct request { /* one packet to the supervisor */
	enum request_kind kind;
	int follow;    /* of ASK_LOGS: go on with what comes */
	char name[32]; /* of the container */
};

struct row { /* of `launcher ps` */
	char name[32], state[12], note[128];
	int pid;
	unsigned restarts;
	u64 up, memory; /* milliseconds, bytes */
};

struct reply { /* one packet from the supervisor, as long as its kind needs */
	enum { REPLY_ROW, REPLY_BYTES, REPLY_END } kind;
	int code; /* of REPLY_END: the exit status, for the text if there is any goes to stderr */
	union {
		struct row row;
		char bytes[4096];
	};
};

/* Writes all of it to stdout, or dies: a full disk or a closed pipe is not a success. */
static void print_bytes(const char *s, size_t n)
{
	while (n) {
		ssize_t done = write(STDOUT_FILENO, s, n);
		if (done < 0)
			die("writing: %m");
		s += done;
		n -= done;
	}
}

#define print(...) print_bytes(scratch, format(scratch, sizeof scratch, __VA_ARGS__))

/* Two units at most: 45s, 3m10s, 7h02m, 12d05h. */
static const char *print_time(char buf[16], u64 ms)
{
	u64 s = ms / 1000;

	if (s < 60)
		format(buf, 16, "%llus", s);
	else if (s < 3600)
		format(buf, 16, "%llum%02llus", s / 60, s % 60);
	else if (s < 86400)
		format(buf, 16, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		format(buf, 16, "%llud%02lluh", s / 86400, s / 3600 % 24);
	return buf;
}

static const char *print_size(char buf[16], u64 bytes)
{
	u64 tenths = bytes * 10 >> 20;

	format(buf, 16, "%llu.%lluM", tenths / 10, tenths % 10);
	return buf;
}

static void print_row(const struct row *r)
{
	char pid[16] = "-", up[16] = "-", memory[16] = "-";

	if (r->pid)
		format(pid, sizeof pid, "%d", r->pid);
	if (r->up)
		print_time(up, r->up);
	if (r->memory)
		print_size(memory, r->memory);
	print("%-12s %-10s %6s %7s %8u %7s  %s\n", r->name, r->state, pid, up, r->restarts, memory,
	      r->note);
}

/* The supervisor's socket: of this container if its row has .control, else of this machine. */
static int control_connect(void)
{
	struct sockaddr_un places[] = {
		{ .sun_family = AF_UNIX, .sun_path = "/dev/launcher/control" },
		{ .sun_family = AF_UNIX, .sun_path = "/run/launcher/control" },
	};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	for (int i = 0; i < LEN(places); i++)
		if (!connect(fd, (struct sockaddr *)&places[i], sizeof places[i]))
			return fd;
	if (errno == ENOENT || errno == ECONNREFUSED)
		die("nothing is supervised here; 'launcher up' would");
	die("%s: %m", places[1].sun_path);
}

/* Sends a request, prints the answer, and returns the exit status that comes with its end. */
static int ask_supervisor(enum request_kind kind, const char *name)
{
	struct request request = { .kind = kind, .follow = option('f') };
	static struct reply reply;

	if (kind == ASK_SAVE && isatty(STDOUT_FILENO))
		die("a tar is not for a terminal: launcher save %s >out.tar", name);
	if (name && format(request.name, sizeof request.name, "%s", name) != strlen(name))
		die("there is no container '%s'", name);
	int fd = control_connect();
	if (send(fd, &request, sizeof request, MSG_NOSIGNAL) < 0)
		die("asking the supervisor: %m");
	if (kind == ASK_PS)
		print("%-12s %-10s %6s %7s %8s %7s  %s\n", "NAME", "STATE", "PID", "UPTIME",
		      "RESTARTS", "MEMORY", "NOTE");
	for (;;) {
		ssize_t n = recv(fd, &reply, sizeof reply, 0);
		size_t size = n - offsetof(struct reply, bytes);
		if (n < (ssize_t)offsetof(struct reply, bytes))
			die("the supervisor has gone away");
		if (reply.kind == REPLY_ROW)
			print_row(&reply.row);
		else if (reply.kind == REPLY_BYTES)
			print_bytes(reply.bytes, size);
		else if (size)
			say("%.*s", (int)size, reply.bytes);
		if (reply.kind == REPLY_END)
			return reply.code;
	}
}

/* ---- 17  verbs ---------------------------------------------------------------------------------
 *
 * The command line. One row of `verbs` is all that there is to say about a verb; those that ask
 * nobody do their work here.
 */

static int any_name(int dir, const char *name)
{
	(void)dir, (void)name;
	return 1;
}

/* A file that is named on the command line is no part of this program, whatever it is called. */
static const char *as_path(const char *file)
{
	static char path[PATH_MAX];

	format(path, sizeof path, "%s%s", strchr(file, '/') ? "" : "./", file);
	return path;
}

/* All signals, blocked: they wait for the verb to be in order again. */
static sigset_t signals_all(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	return all;
}

/* Unpacks into DIR, which does not exist yet or is empty: all of the image, or nothing. */
static int ask_unpack(int argc, char **argv)
{
	char *into = argv[1], temporary[PATH_MAX];
	size_t n = strlen(into);
	int old = open(into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sigset_t signals = signals_all();

	(void)argc;
	if (old < 0 ? errno != ENOENT : dir_each(old, any_name))
		die("%s: %s", into, old < 0 ? strerror(errno) : "not empty");
	while (n > 1 && into[n - 1] == '/')
		into[--n] = '\0';
	if (format(temporary, sizeof temporary, "%s.partial", into) != n + 8)
		die("%s: the path is too long", into);
	int failed = image_find(&image, as_path(argv[0]), NO);
	if (failed)
		die("%s: %s", argv[0], image.why);
	if (mkdir(temporary, 0755))
		die("%s: %m", temporary);
	int dir = open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	umask(0);
	if ((failed = unpack(&image, dir, NULL, &signals)))
		say("%s: %s", argv[0], image.why);
	if (!failed && rename(temporary, into)) {
		say("%s: %m", into);
		failed = -errno;
	}
	if (failed) {
		tree_empty(dir);
		rmdir(temporary);
	}
	return !!failed;
}

/* Waits for a child of `run`, says its last words, and returns its exit status. */
static int run_wait(struct task *task, const sigset_t *signals)
{
	char last_words[320];
	int code = task_wait(task, signals, NO, last_words, sizeof last_words);

	if (*last_words && code < 128)
		log_line(journal.as, last_words, strlen(last_words));
	return code;
}

/* Clears what runs that were killed have left, here and there. */
static void run_tidy(void)
{
	int dir = open("/run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir_each(dir, remove_dead_run);
	close(dir);
	for (int i = 0; i < NCONTROLLERS; i++)
		dir_each(cgroup.base[i], remove_dead_run);
}

/* One container in the foreground, by the policy's row `run`. Its exit status becomes ours. */
static int ask_run(int argc, char **argv)
{
	static struct container c;
	static const int stdio[3] = { 0, 1, 2 };
	const char *name = host.work + strlen("/run/");
	struct task task;
	sigset_t signals;
	int failed, code = 125, skip = argc > 1 && !strcmp(argv[1], "--") ? 2 : 1;

	host.code = code;
	format(host.work, sizeof host.work, "/run/launcher-run-%d", getpid());
	c = run;
	c.name = name;
	c.image = as_path(argv[0]);
	if (argc > skip)
		c.command = (const char *const *)(argv + skip);
	signals = signals_all();
	prepare_host("run", ".");
	run_tidy();
	if ((failed = cgroup_make(name, &c)))
		say("%s", cgroup.why);
	if (!failed && (failed = container_unpack(&c, &task)))
		say("a process to unpack in: %s", strerror(-failed));
	if (!failed && !(failed = run_wait(&task, &signals)) && (failed = cgroup_devices(name, &c)))
		say("%s", cgroup.why);
	if (!failed) {
		failed = container_start(&c, stdio, &task);
		if (failed)
			say("a process for the container: %s", strerror(-failed));
		else
			code = run_wait(&task, &signals);
	}
	if (cgroup_oom_kills(name))
		say("out of memory: the limit is %llu KiB", memory_max(&c) >> 10);
	root_drop(c.image);
	cgroup_remove(name);
	rmdir(host.work);
	return code;
}

static int ask_up(int argc, char **argv)
{
	if (argc)
		host.images = argv[0];
	prepare_up();
	return SUPERVISE;
}

/* Text of somebody else's: what could steer a terminal becomes '?', or is escaped for --json. */
static void print_text(const char *s)
{
	for (size_t n = strlen(s), good, step; n; s += step, n -= step) {
		good = text_length(s, n);
		step = good ? good : 1;
		if (option('j') && good == 1 && (*s == '"' || *s == '\\' || *s == '\t'))
			print("\\u%04x", (unsigned)*s);
		else if (option('j') && !good)
			print("\\u%04x", (unsigned char)*s < ' ' ? (unsigned)*s : 0xfffdU);
		else
			print_bytes(good ? s : "?", step);
	}
}

/* An object: lines of `key value`, or with --json one line of all; `members` counts them. */
static int members;

static void print_key(const char *key)
{
	if (option('j'))
		print("%s\"%s\": ", members++ ? ", " : "{ ", key);
	else
		print("%-10s ", key);
}

/* bare: with --json it is no string, but a number or a word of its own. */
static void print_value(const char *value, int bare)
{
	const char *quote = option('j') && !bare ? "\"" : "";

	print("%s", quote);
	print_text(value);
	print("%s%s", quote, option('j') ? "" : "\n");
}

static void print_member(const char *key, const char *value, int bare)
{
	print_key(key);
	print_value(value, bare);
}

static void print_end(void)
{
	print(option('j') ? " }\n" : "");
	members = 0;
}

static const char *print_hex(char *to, const uint8_t *from, int n)
{
	for (int i = 0; i < n; i++)
		format(to + 2 * i, 3, "%02x", from[i]);
	return to;
}

/* One line of `inspect -l`. */
static void print_entry(const struct tar *t)
{
	static const char bits[] = "rwxrwxrwx", kinds_of[] = "-hlcbdp", special[] = "tss";
	char mode[11] = "?", owner[24], size[24];

	mode[0] = t->type >= '0' && t->type <= '6' ? kinds_of[t->type - '0'] : '-';
	for (int i = 0; i < 9; i++)
		mode[1 + i] = t->mode >> (8 - i) & 1 ? bits[i] : '-';
	for (int i = 0; i < 3; i++)
		if (t->mode >> (9 + i) & 1)
			mode[9 - 3 * i] = special[i];
	mode[10] = '\0';
	format(owner, sizeof owner, "%lld:%lld", t->uid, t->gid);
	format(size, sizeof size, "%lld", t->size);
	int is_link = t->type == '1' || t->type == '2';
	if (option('j')) {
		print_member("mode", mode, NO);
		print_member("owner", owner, NO);
		print_member("size", size, YES);
		print_member("path", *t->path ? t->path : ".", NO);
		print_member("link", is_link ? t->link : "", NO);
	} else {
		print("%s %9s %10s ", mode, owner, size);
		print_text(*t->path ? t->path : ".");
		print(!is_link ? "" : t->type == '1' ? " = " : " -> ");
		print_value(is_link ? t->link : "", NO);
	}
	print_end();
}

/* Who has signed the image, and whether that counts here: for people, or as two members. */
static const char *signer_words(const struct image *m, char hex[2 * KEY_NUMBER + 1])
{
	static char line[80] = "nobody";
	const char *how = !any_key()   ? "not checked here: no key is compiled in"
			  : m->trusted ? "known here"
				       : "not known here";

	*hex = '\0';
	if (m->header.comment)
		format(line, sizeof line, "key %s, %s", print_hex(hex, m->signer, KEY_NUMBER), how);
	return line;
}

static void print_signer(const struct image *m)
{
	char hex[2 * KEY_NUMBER + 1];
	const char *in_words = signer_words(m, hex);

	print_member("signer", option('j') ? hex : in_words, NO);
	if (option('j'))
		print_member("trusted", m->trusted ? "true" : "false", YES);
}

/* What an image says of itself; -l: and what is in it. */
static int ask_inspect(int argc, char **argv)
{
	const struct header *h = &image.header;
	char hex[2 * DIGEST_SIZE + 1], buf[24];
	const char *value;

	(void)argc;
	if (image_find(&image, as_path(argv[0]), YES))
		die("%s: %s", argv[0], image.why);
	print_member("file", argv[0], NO);
	print_signer(&image);
	print_member("digest", h->chunk ? print_hex(hex, image.digest, DIGEST_SIZE) : "none", NO);
	for (int i = 0; i < LEN(header_keys) && h->chunk; i++) {
		const struct header_key *k = &header_keys[i];
		int is_list = option('j') && k->count;
		if (is_list)
			print_key(k->name);
		print(is_list ? "[" : "");
		for (unsigned n = 0; (value = header_get(h, k, n, buf)); n++) {
			if (!is_list)
				print_key(k->name);
			print(is_list && n ? ", " : "");
			print_value(value, k->is_number);
		}
		print(is_list ? "]" : "");
	}
	print_end();
	if (!option('l'))
		return 0;
	if (unpack(&image, -1, print_entry, NULL))
		die("%s: %s", argv[0], image.why);
	return 0;
}

/* Would this launcher take the image? It is unpacked into a place that goes away with it. */
static int ask_verify(int argc, char **argv)
{
	char hex[2 * KEY_NUMBER + 1];
	int failed = image_find(&image, as_path(argv[0]), NO);

	(void)argc;
	if (!failed)
		failed = unpack(&image, -1, NULL, NULL);
	if (failed && !option('j'))
		die("%s: %s", argv[0], image.why);
	if (!option('j')) {
		print("%s: ok; signer: %s\n", argv[0], signer_words(&image, hex));
		return 0;
	}
	print_member("file", argv[0], NO);
	print_member("ok", failed ? "false" : "true", YES);
	if (failed)
		print_member("why", image.why, NO);
	else
		print_signer(&image);
	print_end();
	return !!failed;
}

static int ask_version(int argc, char **argv)
{
	(void)argc, (void)argv;
	print("launcher %s for %s\n", VERSION, BOARD_NAME);
	return 0;
}

/* clang-format off */
static const struct verb {
	const char *name, *options, *args, *help;
	int least, most; /* number of arguments */
	enum request_kind asks;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "ps", "", "", "list the containers", 0, 0, ASK_PS, NULL },
	{ "logs", "f", "[-f] NAME", "print its output; -f: and what comes", 1, 1, ASK_LOGS, NULL },
	{ "start", "", "NAME", "start a container; return when it is up", 1, 1, ASK_START, NULL },
	{ "stop", "", "NAME", "stop a container; return when it is gone", 1, 1, ASK_STOP, NULL },
	{ "restart", "", "NAME", "stop it, and start it again", 1, 1, ASK_RESTART, NULL },
	{ "save", "", "NAME", "print its root, as it is now: a tar", 1, 1, ASK_SAVE, NULL },
	{ "poweroff", "", "", "stop all containers, then the device", 0, 0, ASK_POWEROFF, NULL },
	{ "reboot", "", "", "stop all, then start the device anew", 0, 0, ASK_REBOOT,
	  NULL },
	{ "up", "", "[DIR]", "supervise the containers; DIR has images", 0, 1, ASK_SELF, ask_up },
	{ "run", "", "IMAGE [-- COMMAND]", "run one in the foreground", 1, INT_MAX, ASK_SELF,
	  ask_run },
	{ "inspect", "lj", "[-l] [--json] IMAGE", "what it says of itself; -l: its files", 1, 1,
	  ASK_SELF, ask_inspect },
	{ "verify", "j", "[--json] IMAGE", "would this launcher take it?", 1, 1, ASK_SELF,
	  ask_verify },
	{ "unpack", "", "IMAGE DIR", "unpack an image into a directory", 2, 2, ASK_SELF,
	  ask_unpack },
	{ "version", "", "", "print the version and the board", 0, 0, ASK_SELF, ask_version },
	{ "help", "", "", "print this", 0, 0, ASK_SELF, NULL },
};
/* clang-format on */

static int help(void)
{
	print("usage: launcher VERB [ARGUMENTS]\n\n");
	for (int i = 0; i < LEN(verbs); i++)
		print("  %-9s%-23s%s\n", verbs[i].name, verbs[i].args, verbs[i].help);
	print(
	    "\nAs PID 1 it is the init of the device, and takes launcher.only=, launcher.skip=\n"
	    "and launcher.log= from the kernel command line. Exit status: 0, 1 failure, 2 usage.\n"
	    "`run` exits as its command does: 128+signal if killed, 127 if it was not found, 126\n"
	    "if it could not be executed, 125 for a failure of the launcher itself.\n");
	return 0;
}

/* Does what the command line says. Returns an exit status, or SUPERVISE. */
static int ask(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "help";
	const struct verb *v = verbs, *end = verbs + LEN(verbs);

	while (v < end && strcmp(v->name, name))
		v++;
	if (v == end) {
		say("there is no verb '%s'; 'launcher help' lists them", name);
		return EXIT_USAGE;
	}
	argc -= argc > 1 ? 2 : 1;
	argv += 2;
	for (char letter; argc && argv[0][0] == '-'; argc--, argv++) {
		letter = !strcmp(argv[0], "--json")  ? 'j'
			 : argv[0][1] && !argv[0][2] ? argv[0][1]
						     : '-';
		if (!strchr(v->options, letter))
			break;
		options |= 1U << (letter - 'a');
	}
	if (argc < v->least || (argc && argv[0][0] == '-') || argc > v->most) {
		say("usage: launcher %s %s", v->name, v->args);
		return EXIT_USAGE;
	}
	if (v->asks != ASK_SELF)
		return ask_supervisor(v->asks, argc ? argv[0] : NULL);
	return v->run ? v->run(argc, argv) : help();
}

/* ---- 18  save ----------------------------------------------------------------------------------
 *
 * The root of a running container, as it is now, becomes a tar: what was written to it, too. A
 * child of the supervisor walks it, and speaks to the client itself. The tree is somebody else's,
 * and may change under it: names are opened one at a time, and no link is followed.
 */

static struct {
	int client, root;
	char path[PATH_MAX]; /* of the entry at hand */
	size_t path_at;      /* where its name begins in it */
	int changed;         /* files that were not what they had been a moment before */
	struct reply reply;  /* the packet that is being filled */
	size_t filled;
	char pax[PAX_MAX], data[64 << 10];
	size_t pax_size;
	char *names; /* 'd' and a directory to walk, 'l' and a file of several names */
	size_t names_end;
	struct link { /* a table of such files, by inode */
		ino_t inode;
		dev_t device;
		size_t name; /* in names; 0: a free place, for there the root is */
	} * links;
} saver;

enum { NAMES = 64 << 20, LINKS = 1 << 20 }; /* bytes, places: what is not used is not there */

/* Ends the conversation, and this process. */
static _Noreturn void save_end(int code, const char *sentence)
{
	struct reply *r = &saver.reply;

	if (saver.filled)
		send(saver.client, r, offsetof(struct reply, bytes) + saver.filled, MSG_NOSIGNAL);
	r->kind = REPLY_END;
	r->code = code;
	size_t n = format(r->bytes, sizeof r->bytes, "%s", sentence);
	send(saver.client, r, offsetof(struct reply, bytes) + n, MSG_NOSIGNAL);
	_exit(code);
}

#define save_die(...) save_end(1, words(__VA_ARGS__))

static void save_bytes(const void *from, size_t n)
{
	struct reply *r = &saver.reply;

	for (size_t at = 0, piece; at < n; at += piece) {
		piece = sizeof r->bytes - saver.filled;
		piece = n - at < piece ? n - at : piece;
		memcpy(r->bytes + saver.filled, (const char *)from + at, piece);
		saver.filled += piece;
		if (saver.filled < sizeof r->bytes)
			continue;
		if (send(saver.client, r, sizeof *r, MSG_NOSIGNAL) < 0)
			_exit(1); /* nobody listens any more */
		saver.filled = 0;
	}
}

static void save_padding(u64 size)
{
	static const char zeros[TAR_BLOCK];

	save_bytes(zeros, -size & (TAR_BLOCK - 1));
}

/* Keeps the path of the entry for later. Returns where it is. */
static size_t save_name(char kind)
{
	size_t at = saver.names_end, n = strlen(saver.path) + 1;

	if (n + 1 > NAMES - at)
		save_die("more than %d MiB of names", NAMES >> 20);
	saver.names[at] = kind;
	memcpy(saver.names + at + 1, saver.path, n);
	saver.names_end += n + 1;
	return at;
}

/* An extended record, "LENGTH KEY=VALUE\n": the length counts its own digits. */
static void save_record(const char *key, const char *name, const void *value, size_t size)
{
	size_t n = strlen(key) + strlen(name) + size + 3, digits = 1;

	for (size_t most = 10; n + digits >= most; most *= 10)
		digits++;
	if (n + digits > sizeof saver.pax - saver.pax_size)
		save_die("%s: its attributes are larger than %d bytes", saver.path, PAX_MAX);
	char *to = saver.pax + saver.pax_size;
	to += format(to, sizeof saver.pax, "%u %s%s=", (unsigned)(n + digits), key, name);
	memcpy(to, value, size);
	to[size] = '\n';
	saver.pax_size += n + digits;
}

static void save_attributes(int fd)
{
	static char list[PAX_MAX], value[PAX_MAX];
	ssize_t n = flistxattr(fd, list, sizeof list);

	for (const char *name = list; name < list + n; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(fd, name, value, sizeof value);
		if (size < 0)
			save_die("%s: attribute %s: %m", saver.path, name);
		save_record("SCHILY.xattr.", name, value, size);
	}
}

/* A number as octal digits; one that has too many of them goes into a record. */
static void save_number(char *field, int digits, const char *key, u64 n)
{
	char text[24];

	if (n >> 3 * digits) {
		save_record(key, "", text, format(text, sizeof text, "%llu", n));
		n = 0;
	}
	for (int i = digits; i--; n >>= 3)
		field[i] = (char)('0' + (n & 7));
}

/* A name that may be too long for its field. Nothing ends it where it just fits. */
static void save_text(char *field, const char *key, const char *text)
{
	size_t n = strlen(text);

	if (n > 100)
		save_record(key, "", text, n);
	memcpy(field, text, n > 100 ? 100 : n);
}

/* Writes a header: mode, type, magic and checksum are added to what is in it. */
static void save_header(char h[TAR_BLOCK], char type, mode_t mode)
{
	unsigned sum = 0;

	save_number(h + 100, 7, "", mode & 07777);
	h[156] = type;
	memcpy(h + 257, "ustar\00000", 8);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)h[i];
	save_number(h + 148, 6, "", sum);
	h[154] = '\0';
	save_bytes(h, TAR_BLOCK);
}

/* Writes the header of an entry, with an extended one in front if it needs that. */
static void save_entry(const struct stat *st, char type, const char *link, u64 size)
{
	char h[TAR_BLOCK] = { 0 }, extended[TAR_BLOCK] = "PaxHeader";

	save_text(h, "path", saver.path);
	save_text(h + 157, "linkpath", link);
	save_number(h + 108, 7, "uid", st->st_uid);
	save_number(h + 116, 7, "gid", st->st_gid);
	save_number(h + 124, 11, "size", size);
	save_number(h + 136, 11, "mtime", st->st_mtime < 0 ? 0 : (u64)st->st_mtime);
	if (saver.pax_size) {
		save_number(extended + 124, 11, "", saver.pax_size);
		save_header(extended, 'x', 0644);
		save_bytes(saver.pax, saver.pax_size);
		save_padding(saver.pax_size);
		saver.pax_size = 0;
	}
	save_header(h, type, st->st_mode);
}

/* The name under which this file was saved already; else NULL, and this one is remembered. */
static const char *save_link(const struct stat *st)
{
	unsigned at = (unsigned)(st->st_ino * 2654435761U) % LINKS;

	for (unsigned i = 0; i < LINKS; i++, at = (at + 1) % LINKS) {
		struct link *l = &saver.links[at];
		if (!l->name) {
			*l = (struct link){ st->st_ino, st->st_dev, save_name('l') };
			return NULL;
		}
		if (l->inode == st->st_ino && l->device == st->st_dev)
			return saver.names + l->name + 1;
	}
	save_die("more than %d files with several names", LINKS);
}

/* The data of a file. It keeps the size that its header has given, whatever it has become. */
static void save_data(int fd, u64 size)
{
	u64 at = 0;

	for (ssize_t n = 1; at < size && n > 0; at += n) {
		size_t want = size - at < sizeof saver.data ? size - at : sizeof saver.data;
		n = read(fd, saver.data, want);
		if (n < 0)
			save_die("%s: %m", saver.path);
		save_bytes(saver.data, n);
	}
	saver.changed += at < size;
	memset(saver.data, 0, sizeof saver.data);
	for (size_t n; at < size; at += n) {
		n = size - at < sizeof saver.data ? size - at : sizeof saver.data;
		save_bytes(saver.data, n);
	}
	save_padding(size);
}

static void save_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		saver.changed++;
	} else {
		const char *other = st.st_nlink > 1 ? save_link(&st) : NULL;
		if (!other)
			save_attributes(fd);
		save_entry(&st, other ? '1' : '0', other ? other : "", other ? 0 : st.st_size);
		if (!other)
			save_data(fd, st.st_size);
	}
	if (fd >= 0)
		close(fd);
}

/* A directory is walked later, but for those that the launcher fills anew each time. */
static void save_directory(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		saver.changed++;
	} else {
		save_attributes(fd);
		save_entry(&st, '5', "", 0);
		if (!word_in("proc,sys,dev", saver.path))
			save_name('d');
	}
	if (fd >= 0)
		close(fd);
}

/* Saves one entry of the directory that is walked. Sockets and device nodes are not saved. */
static int save_one(int dir, const char *name)
{
	char link[PATH_MAX] = "";
	size_t n = saver.path_at, room = sizeof saver.path - n;
	struct stat st;

	if (format(saver.path + n, room, "%s%s", n ? "/" : "", name) < strlen(name) + !!n)
		save_die("%s: the path is too long", saver.path);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		saver.changed++;
	else if (S_ISREG(st.st_mode))
		save_file(dir, name);
	else if (S_ISDIR(st.st_mode))
		save_directory(dir, name);
	else if (S_ISLNK(st.st_mode) && readlinkat(dir, name, link, sizeof link - 1) > 0)
		save_entry(&st, '2', link, 0);
	else if (S_ISFIFO(st.st_mode))
		save_entry(&st, '6', "", 0);
	return 0;
}

/* Walks the tree, directory by directory, as they are found. */
static _Noreturn void save(void)
{
	format(saver.path, sizeof saver.path, ".");
	save_directory(saver.root, ".");
	for (size_t at = 0; at < saver.names_end; at += strlen(saver.names + at) + 1) {
		const char *path = saver.names + at + 1;
		int fd = saver.names[at] == 'd'
			     ? path_open(saver.root, path, O_RDONLY | O_DIRECTORY)
			     : -1;
		saver.changed += fd < 0 && saver.names[at] == 'd';
		saver.path_at = strcmp(path, ".") ? format(saver.path, PATH_MAX, "%s", path) : 0;
		if (fd >= 0) {
			dir_each(fd, save_one);
			close(fd);
		}
	}
	memset(saver.data, 0, 2 * TAR_BLOCK);
	save_bytes(saver.data, 2 * TAR_BLOCK);
	if (saver.changed)
		save_die("%d files changed or went while they were saved", saver.changed);
	save_end(0, "");
}

/*
 * Starts a child that sends the root of a container, which the task is PID 1 of, to a client. The
 * descriptors stay the caller's. Returns 0 or -errno.
 */
static int save_start(int client, const struct task *task)
{
	struct task child;
	char path[32];
	int parent = task_fork(&child, 0, NULL);

	if (parent > 0) {
		close(child.report);
		close(child.pidfd);
	}
	if (parent)
		return parent < 0 ? parent : 0;
	format(path, sizeof path, "/proc/%d/root", task->pid);
	saver.client = client;
	saver.reply.kind = REPLY_BYTES;
	fcntl(client, F_SETFL, 0); /* only this process waits for that one */
	saver.root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (saver.root < 0 || syscall(SYS_pidfd_send_signal, task->pidfd, 0, NULL, 0))
		save_die("its root: %m");
	saver.names = mmap(NULL, NAMES + LINKS * sizeof *saver.links, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (saver.names == MAP_FAILED)
		save_die("memory: %m");
	saver.links = (struct link *)(void *)(saver.names + NAMES);
	save();
}

/* ==== Part IV: The life that may not ========================================================== */

#pragma GCC poison die exit _exit

/* ---- 19  instance ------------------------------------------------------------------------------
 *
 * What a container is doing. An event is looked up in the row of the state, and the action found
 * there answers with the next state. Actions never wait: a child's end, its last words and the
 * time that has come are events too.
 */

/* clang-format off */
#define STATES(X)                                                                                  \
	X(IS_WAITING) X(IS_UNPACKING) X(IS_STARTING) X(IS_UP) X(IS_STOPPING)                       \
	X(IS_BACKING_OFF) X(IS_DONE)
#define EVENTS(X, s)                                                                               \
	X(s, ON_START) X(s, ON_STOP) /* somebody wants it */                                       \
	X(s, ON_GO)                  /* nothing is in its way */                                   \
	X(s, ON_EXECED)              /* the workload runs */                                       \
	X(s, ON_EXITED)              /* the task is gone */                                        \
	X(s, ON_TIMEOUT)             /* its deadline has passed */

#define NAME_ONLY(name) name,
#define EVENT_ONLY(state, name) name,
enum state { STATES(NAME_ONLY) NSTATES };
enum event { EVENTS(EVENT_ONLY, ) NEVENTS };
/* clang-format on */

static const char *const state_names[] = {
	[IS_WAITING] = "waiting", [IS_UNPACKING] = "unpacking", [IS_STARTING] = "starting",
	[IS_UP] = "up",           [IS_STOPPING] = "stopping",   [IS_BACKING_OFF] = "backing-off",
	[IS_DONE] = "done",
};

enum { START_LIMIT = 30000, KILL_AGAIN = 1000, END_LIMIT = 30000 }; /* ms */
enum { LAST_WORDS = 16 }; /* reads of 4 KiB of what a task has left in its log */

struct instance {
	enum state state;
	int wanted;       /* it shall run: what a stopping one does when it has stopped */
	struct task task; /* the unpacker, or the container's PID 1; never a second one */
	int status;       /* of the latest task: exit status, or 128 + signal */
	int log[2];       /* pipe that is stdout and stderr, in every incarnation */
	u64 since;        /* when the state was entered; all times are now() */
	u64 deadline;     /* when its time is up; 0: never */
	u64 delay;        /* ms before the next restart; 0: it has not failed lately */
	u64 oom_kills;    /* of its cgroup, when the task was started */
	unsigned restarts;
	int left_out;   /* by the kernel command line, and not started since: nobody waits for it */
	char note[128]; /* what happened last, for people */

	struct instance *root;     /* the first row with the same image; of that one only: */
	struct instance *unpacker; /* whose task unpacks the image now */
	int unpacked;              /* the root is mounted */
};

static struct instance instances[NCONTAINERS];
static struct ring rings[NCONTAINERS];
static int poller = -1; /* epoll of the loop */
static int ending;      /* the command for reboot(2) that comes next; nothing is started */
static u64 end_by;      /* when patience with that ends */

enum source { FROM_SIGNALS, FROM_CONTROL, FROM_CLIENT, FROM_REPORT, FROM_LOG };

static const struct container *row_of(const struct instance *i)
{
	return &containers[i - instances];
}

/* The loop shall look at fd, which is that of a source and its index. EPOLL_CTL_ADD or _MOD. */
static void watch(int how, int fd, uint32_t events, enum source source, int index)
{
	struct epoll_event event = { .events = events };

	event.data.u64 = (u64)source << 32 | (uint32_t)index;
	if (epoll_ctl(poller, how, fd, &event))
		say("watching a descriptor: %m");
}

#define note(i, ...) format((i)->note, sizeof(i)->note, __VA_ARGS__)

static void signal_task(struct instance *i, int signal)
{
	if (i->task.pid && syscall(SYS_pidfd_send_signal, i->task.pidfd, signal, NULL, 0))
		say("%s: signal %d: %m", row_of(i)->name, signal);
}

/* Forgets the root when its last user is done. A root that is kept makes the next start quick. */
static void release(struct instance *i)
{
	int users = 0;

	for (struct instance *k = instances; k < instances + NCONTAINERS; k++)
		users += k != i && k->root == i->root && k->state != IS_DONE;
	if (i->root->unpacked && !users) {
		i->root->unpacked = NO;
		root_drop(row_of(i)->image);
	}
	cgroup_remove(row_of(i)->name);
}

/* -- actions: what happens to an instance; each returns the state that comes next -- */

static enum state stay(struct instance *i)
{
	return i->state;
}

static enum state wait_turn(struct instance *i)
{
	i->wanted = YES;
	i->left_out = NO;
	i->deadline = 0;
	return IS_WAITING;
}

static enum state finish(struct instance *i)
{
	i->wanted = NO;
	i->deadline = 0;
	i->delay = 0;
	release(i);
	return IS_DONE;
}

/* It has ended, or could not begin: rest, or try again later and later. The note says why. */
static enum state conclude(struct instance *i, int failed)
{
	const struct container *c = row_of(i);
	u64 first = c->backoff.first ? c->backoff.first : SECONDS(1);
	u64 limit = c->backoff.limit ? c->backoff.limit : SECONDS(60);

	if (c->restart == NEVER || (c->restart == ON_FAILURE && !failed)) {
		say("%s: %s", c->name, i->note);
		return finish(i);
	}
	if (i->state == IS_UP && now() - i->since >= limit)
		i->delay = 0; /* it has been well for long enough */
	i->delay = !i->delay ? first : i->delay * 2 < limit ? i->delay * 2 : limit;
	i->deadline = now() + i->delay;
	say("%s: %s; restart in %llu.%llu s", c->name, i->note, i->delay / 1000,
	    i->delay % 1000 / 100);
	return IS_BACKING_OFF;
}

static enum state retry(struct instance *i)
{
	i->restarts++;
	return wait_turn(i);
}

/* Takes charge of the task that was just started; or, with an error, of there being none. */
static enum state begin(struct instance *i, int failed, enum state next)
{
	if (failed) {
		note(i, "no process for it: %s", strerror(-failed));
		return conclude(i, YES);
	}
	if (next == IS_UNPACKING)
		i->root->unpacker = i;
	watch(EPOLL_CTL_ADD, i->task.report, EPOLLIN, FROM_REPORT, i - instances);
	i->deadline = next == IS_STARTING ? now() + START_LIMIT : 0;
	return next;
}

static enum state build(struct instance *i)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int stdio[3] = { null, i->log[1], i->log[1] };
	static const int console[3] = { 0, 1, 2 };

	i->oom_kills = cgroup_oom_kills(row_of(i)->name);
	int refused = cgroup_devices(row_of(i)->name, row_of(i)), failed = 0;
	if (!refused)
		failed = container_start(row_of(i), row_of(i)->console ? console : stdio, &i->task);
	if (null >= 0)
		close(null);
	if (!refused)
		return begin(i, failed, IS_STARTING);
	note(i, "%s", cgroup.why);
	return conclude(i, YES);
}

/* Nothing is in its way: its limits first, then its root, then the container itself. */
static enum state launch(struct instance *i)
{
	const struct container *c = row_of(i);

	i->status = 125; /* until it is known better */
	if (c->console && !isatty(STDIN_FILENO)) {
		note(i, "has the console, and there is none");
		say("%s: %s", c->name, i->note);
		return finish(i);
	}
	if (cgroup_make(c->name, c)) {
		note(i, "%s", cgroup.why);
		return conclude(i, YES);
	}
	if (i->root->unpacked)
		return build(i);
	i->oom_kills = cgroup_oom_kills(c->name);
	return begin(i, container_unpack(c, &i->task), IS_UNPACKING);
}

static enum state up(struct instance *i)
{
	i->deadline = 0;
	say("%s: up", row_of(i)->name);
	return IS_UP;
}

/* Explains the end of a task: its last words, else the limit that it hit, else its status. */
static void explain(struct instance *i, const char *last_words)
{
	int killed = i->status > 128 && i->status <= 128 + 64;

	if (*last_words)
		note(i, "%s", last_words);
	else if (cgroup_oom_kills(row_of(i)->name) > i->oom_kills)
		note(i, "out of memory: the limit is %llu KiB", memory_max(row_of(i)) >> 10);
	else if (killed)
		note(i, "exit %d (%s)", i->status, strsignal(i->status - 128));
	else
		note(i, "exit %d", i->status);
}

static enum state ended(struct instance *i)
{
	return conclude(i, i->status != 0);
}

/* If the task was the unpacker, there is a root now, or nothing at all. */
static void settle_root(struct instance *i)
{
	if (i->root->unpacker != i)
		return;
	i->root->unpacker = NULL;
	i->root->unpacked = !i->status;
	if (i->status)
		root_drop(row_of(i)->image);
	else
		say("%s: unpacked in %llu ms", row_of(i)->image, now() - i->since);
}

static enum state unpacked(struct instance *i)
{
	settle_root(i);
	if (i->status)
		return conclude(i, YES);
	note(i, "%s", "");
	return build(i);
}

static enum state kill_all(struct instance *i)
{
	signal_task(i, SIGKILL); /* takes the whole pid namespace with it, on every kernel */
	i->deadline = now() + KILL_AGAIN;
	return i->state;
}

static enum state abandon(struct instance *i)
{
	say("%s: not started after %d s", row_of(i)->name, START_LIMIT / 1000);
	return kill_all(i);
}

static enum state terminate(struct instance *i)
{
	const struct container *c = row_of(i);

	i->wanted = NO;
	if (i->root->unpacker == i || c->stop.signal == SIGKILL) {
		kill_all(i);
		return IS_STOPPING;
	}
	signal_task(i, c->stop.signal ? c->stop.signal : SIGTERM);
	i->deadline = now() + (c->stop.grace ? c->stop.grace : SECONDS(5));
	return IS_STOPPING;
}

static enum state want(struct instance *i)
{
	i->wanted = YES;
	return i->state;
}

static enum state unwant(struct instance *i)
{
	i->wanted = NO;
	return i->state;
}

static enum state stopped(struct instance *i)
{
	settle_root(i);
	say("%s: stopped, %s", row_of(i)->name, i->note);
	return i->wanted ? retry(i) : finish(i);
}

/* clang-format off */
#define ROW(state, start, stop, go, execed, exited, timeout)                                       \
	[state] = { [ON_START] = start, [ON_STOP] = stop, [ON_GO] = go,                            \
		    [ON_EXECED] = execed, [ON_EXITED] = exited, [ON_TIMEOUT] = timeout }

static enum state (*const reactions[NSTATES][NEVENTS])(struct instance *i) = {
	/*                  START      STOP       GO      EXECED  EXITED    TIMEOUT */
	ROW(IS_WAITING,     stay,      finish,    launch, stay,   stay,     stay),
	ROW(IS_UNPACKING,   stay,      terminate, stay,   stay,   unpacked, stay),
	ROW(IS_STARTING,    stay,      terminate, stay,   up,     ended,    abandon),
	ROW(IS_UP,          stay,      terminate, stay,   stay,   ended,    stay),
	ROW(IS_STOPPING,    want,      unwant,    stay,   stay,   stopped,  kill_all),
	ROW(IS_BACKING_OFF, retry,     finish,    stay,   stay,   stay,     retry),
	ROW(IS_DONE,        wait_turn, stay,      stay,   stay,   stay,     stay),
};
/* clang-format on */

RULE(rule_reactions, "a state has no action for an event");
#define CHECK_CELL(state, event)                                                                   \
	if (!reactions[state][event])                                                              \
		rule_reactions();
#define CHECK_ROW(state) EVENTS(CHECK_CELL, state)

static __attribute__((used)) void rules_of_reactions(void)
{
	STATES(CHECK_ROW)
}

static void happen(struct instance *i, enum event event)
{
	enum state next = reactions[i->state][event](i);

	if (next != i->state) {
		i->state = next;
		i->since = now();
	}
}

/* A report pipe is readable: end of file says that the work is done; words stay there for later. */
static void on_report(struct instance *i)
{
	struct pollfd pipe = { .fd = i->task.report, .events = POLLIN };

	if (!i->task.pid || poll(&pipe, 1, 0) <= 0)
		return;
	epoll_ctl(poller, EPOLL_CTL_DEL, i->task.report, NULL);
	if (!(pipe.revents & POLLIN) && i->root->unpacker != i)
		happen(i, ON_EXECED);
}

static void on_log(struct instance *i)
{
	struct ring *r = &rings[i - instances];

	if (ring_fill(r, i->log[0]) > 0)
		ring_show(r, row_of(i)->name);
}

/* The task of i has been reaped: its last output, its last words, then what that means. */
static void on_exit_of(struct instance *i, const siginfo_t *end)
{
	char last_words[320];
	struct ring *r = &rings[i - instances];

	for (int k = 0; k < LAST_WORDS && ring_fill(r, i->log[0]) > 0; k++)
		ring_show(r, row_of(i)->name);
	ssize_t n = read(i->task.report, last_words, sizeof last_words - 1);
	last_words[n > 0 ? n : 0] = '\0';
	if (i->state == IS_STARTING && !*last_words && end->si_code == CLD_EXITED)
		happen(i, ON_EXECED); /* it was up, if not for long */
	close(i->task.report);
	close(i->task.pidfd);
	i->task.pid = 0;
	i->status = end->si_code == CLD_EXITED ? end->si_status : 128 + end->si_status;
	i->deadline = 0;
	if (!i->status && *last_words)
		say("%s: %s", row_of(i)->name, last_words); /* it did its work, but */
	explain(i, last_words);
	happen(i, ON_EXITED);
}

/* Reaps whoever has died. On a device that includes strangers, whose parents died before them. */
static void on_children(void)
{
	for (;;) {
		siginfo_t end = { 0 };
		if (waitid(P_ALL, 0, &end, WEXITED | WNOHANG) || !end.si_pid)
			return;
		for (int i = 0; i < NCONTAINERS; i++)
			if (instances[i].task.pid == end.si_pid)
				on_exit_of(&instances[i], &end);
	}
}

/* The first instance that keeps a waiting one from starting; NULL if there is none. */
static const struct instance *waits_for(const struct instance *i)
{
	for (const int *row = row_of(i)->after; row && *row >= 0; row++)
		if (instances[*row].state != IS_UP && !instances[*row].left_out)
			return &instances[*row];
	return i->root->unpacker; /* of the image that both share */
}

/* Has every container that needs this one stopped? */
static int is_last(const struct instance *i)
{
	for (int k = 0; k < NCONTAINERS; k++)
		for (const int *row = containers[k].after; row && *row >= 0; row++)
			if (*row == i - instances && instances[k].state != IS_DONE)
				return 0;
	return 1;
}

/* Starts what can start and, at the end, stops what can stop, until nothing more changes. */
static void settle(void)
{
	for (int changed = 1; changed;) {
		changed = 0;
		for (struct instance *i = instances; i < instances + NCONTAINERS; i++) {
			enum state before = i->state;
			if (ending && before != IS_DONE && before != IS_STOPPING && is_last(i))
				happen(i, ON_STOP);
			else if (!ending && before == IS_WAITING && !waits_for(i))
				happen(i, ON_GO);
			changed |= i->state != before;
		}
	}
}

/* Delivers the time-outs that are due. */
static void expire(void)
{
	u64 time = now();

	for (struct instance *i = instances; i < instances + NCONTAINERS; i++)
		if (i->deadline && i->deadline <= time) {
			i->deadline = 0;
			happen(i, ON_TIMEOUT);
		}
}

/* Milliseconds until something is due, as epoll_wait(2) wants them: -1 if nothing ever is. */
static int next_due(void)
{
	u64 time = now(), next = ending ? end_by : 0;

	for (const struct instance *i = instances; i < instances + NCONTAINERS; i++)
		if (i->deadline && (!next || i->deadline < next))
			next = i->deadline;
	return !next ? -1 : next <= time ? 0 : next - time > INT_MAX ? INT_MAX : (int)(next - time);
}

/* ---- 20  control -------------------------------------------------------------------------------
 *
 * The socket that `launcher ps` and its like talk to. A client sends one request and gets packets
 * until REPLY_END. It is served as far as its socket takes it and goes on when there is room, so a
 * slow one costs nobody anything; when all places are taken, the oldest gives way.
 */

static struct client {
	int fd;    /* 0: a free place */
	int asked; /* its request is in */
	struct request request;
	int index; /* of the container it asks about; of ASK_PS: the next row */
	u64 at;    /* of ASK_LOGS: position in the ring */
	u64 since;
} clients[8];

static void client_drop(struct client *c)
{
	close(c->fd);
	c->fd = 0;
}

/* Sends one packet. Returns 0 if it has to wait for room, and drops a client that is gone. */
static int client_send(struct client *c, const struct reply *reply, size_t size)
{
	if (send(c->fd, reply, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 1;
	if (errno == EAGAIN)
		watch(EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLOUT, FROM_CLIENT, c - clients);
	else
		client_drop(c);
	return 0;
}

/* The last packet: an exit status, and a sentence if it is not zero. */
static void client_end(struct client *c, int code, const char *sentence)
{
	struct reply reply = { .kind = REPLY_END, .code = code };
	size_t n = format(reply.bytes, sizeof reply.bytes, "%s", sentence);

	if (client_send(c, &reply, offsetof(struct reply, bytes) + n))
		client_drop(c);
}

/* The same for a request that is over before it began, which nobody serves later. */
static void client_refuse(struct client *c, int code, const char *sentence)
{
	client_end(c, code, sentence);
	if (c->fd)
		client_drop(c);
}

static void row_fill(struct row *r, const struct instance *i)
{
	const struct instance *waits = i->state == IS_WAITING ? waits_for(i) : NULL;

	format(r->name, sizeof r->name, "%s", row_of(i)->name);
	format(r->state, sizeof r->state, "%s", state_names[i->state]);
	r->pid = i->task.pid;
	r->restarts = i->restarts;
	r->up = i->state == IS_UP ? now() - i->since : 0;
	r->memory = i->state == IS_DONE ? 0 : cgroup_memory(row_of(i)->name);
	if (waits)
		format(r->note, sizeof r->note, "waits for %s", row_of(waits)->name);
	else if (i->state == IS_BACKING_OFF)
		format(r->note, sizeof r->note, "%s; restart in %llu s", i->note,
		       (i->deadline - now() + 999) / 1000);
	else
		format(r->note, sizeof r->note, "%s", i->note);
}

static void serve_ps(struct client *c)
{
	struct reply reply = { .kind = REPLY_ROW };

	for (; c->index < NCONTAINERS; c->index++) {
		row_fill(&reply.row, &instances[c->index]);
		if (!client_send(c, &reply, sizeof reply))
			return;
	}
	client_end(c, 0, "");
}

static void serve_logs(struct client *c)
{
	struct reply reply = { .kind = REPLY_BYTES };
	const char *bytes;
	size_t n;

	while ((n = ring_peek(&rings[c->index], &c->at, &bytes))) {
		n = n < sizeof reply.bytes ? n : sizeof reply.bytes;
		memcpy(reply.bytes, bytes, n);
		if (!client_send(c, &reply, offsetof(struct reply, bytes) + n))
			return;
		c->at += n;
	}
	if (!c->request.follow)
		client_end(c, 0, "");
}

/* A child goes on with it, and with the client. */
static void serve_save(struct client *c)
{
	const struct instance *i = &instances[c->index];
	int failed = i->state == IS_UP ? save_start(c->fd, &i->task) : 0;

	if (failed)
		client_end(c, 1, strerror(-failed));
	else if (i->state != IS_UP)
		client_end(c, 1, "it is not running");
	else
		client_drop(c);
}

static void serve_stop(struct client *c)
{
	if (instances[c->index].state == IS_DONE)
		client_end(c, 0, "");
}

/* Answers when the container is up, has done its work already, or can't get there. */
static void serve_start(struct client *c)
{
	const struct instance *i = &instances[c->index];
	const struct instance *waits = i->state == IS_WAITING ? waits_for(i) : NULL;

	if (i->state == IS_UP || (i->state == IS_DONE && !i->status))
		client_end(c, 0, "");
	else if (i->state == IS_DONE || i->state == IS_BACKING_OFF)
		client_end(c, 1, i->note);
	else if (waits && waits->state == IS_DONE)
		client_end(c, 1,
			   words("it waits for %s, which is not running", row_of(waits)->name));
}

/* How each request is carried out: at once by `events`, then by `serve` as often as it takes. */
static const struct {
	int named;     /* it is about one container */
	int events[2]; /* what happens to that one first; NEVENTS: nothing */
	void (*serve)(struct client *c);
} requests[] = {
	[ASK_PS] = { NO, { NEVENTS, NEVENTS }, serve_ps },
	[ASK_LOGS] = { YES, { NEVENTS, NEVENTS }, serve_logs },
	[ASK_START] = { YES, { ON_START, NEVENTS }, serve_start },
	[ASK_SAVE] = { YES, { NEVENTS, NEVENTS }, serve_save },
	[ASK_STOP] = { YES, { ON_STOP, NEVENTS }, serve_stop },
	[ASK_RESTART] = { YES, { ON_STOP, ON_START }, serve_start },
};

/* Begins the end: everything is stopped, in order, and within a time. */
static void end(int command)
{
	if (ending)
		for (struct instance *i = instances; i < instances + NCONTAINERS; i++)
			if (i->task.pid)
				kill_all(i); /* asked twice: no more patience */
	ending = command;
	end_by = end_by ? end_by : now() + END_LIMIT;
}

static void client_asks(struct client *c)
{
	const struct request *r = &c->request;

	c->asked = YES;
	if (r->kind == ASK_POWEROFF || r->kind == ASK_REBOOT) {
		end(r->kind == ASK_REBOOT ? LINUX_REBOOT_CMD_RESTART : LINUX_REBOOT_CMD_POWER_OFF);
		client_refuse(c, 0, "");
		return;
	}
	if (r->kind <= ASK_SELF || r->kind >= LEN(requests)) {
		client_refuse(c, EXIT_USAGE, "this supervisor does not know that request");
		return;
	}
	if (requests[r->kind].named)
		while (c->index < NCONTAINERS && strcmp(containers[c->index].name, r->name))
			c->index++;
	if (c->index == NCONTAINERS) {
		client_refuse(c, 1, words("there is no container '%s'", r->name));
		return;
	}
	for (int k = 0; k < 2; k++) {
		int event = requests[r->kind].events[k];
		if (event != NEVENTS && !(ending && event == ON_START))
			happen(&instances[c->index], event);
	}
}

static void on_client(struct client *c)
{
	struct request r;

	if (!c->fd)
		return;
	ssize_t n = recv(c->fd, &r, sizeof r, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN) { /* there is room: serve goes on */
		watch(EPOLL_CTL_MOD, c->fd, EPOLLIN, FROM_CLIENT, c - clients);
	} else if (n != sizeof r || c->asked) {
		client_drop(c); /* it is gone, or it babbles */
	} else {
		c->request = r;
		c->request.name[sizeof r.name - 1] = '\0';
		client_asks(c);
	}
}

/* Takes in a client. Root only: what is asked here, the policy did not foresee. */
static void on_control(int listener)
{
	struct ucred who;
	socklen_t size = sizeof who;
	struct client *c = clients;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) || who.uid) {
		close(fd);
		return;
	}
	for (struct client *k = clients; k < clients + LEN(clients); k++)
		if (!k->fd || (c->fd && k->since < c->since))
			c = k;
	if (c->fd)
		client_drop(c);
	*c = (struct client){ .fd = fd, .since = now() };
	watch(EPOLL_CTL_ADD, fd, EPOLLIN, FROM_CLIENT, c - clients);
}

static void serve_clients(void)
{
	for (struct client *c = clients; c < clients + LEN(clients); c++)
		if (c->fd && c->asked)
			requests[c->request.kind].serve(c);
}

/* ---- 21  loop ----------------------------------------------------------------------------------
 *
 * Wait, look up, call. Nothing here blocks but epoll_wait, and that has no time-out unless one is
 * due: an idle launcher does not wake up.
 */

static int signals = -1, listener = -1;

static void on_signal(void)
{
	static const struct {
		int signal, device, laptop; /* what it ends with; 0: nothing */
	} meanings[] = {
		{ SIGINT, LINUX_REBOOT_CMD_RESTART, LINUX_REBOOT_CMD_HALT }, /* Ctrl-Alt-Del */
		{ SIGTERM, LINUX_REBOOT_CMD_RESTART, LINUX_REBOOT_CMD_HALT },
		{ SIGHUP, 0, LINUX_REBOOT_CMD_HALT },
		{ SIGUSR1, LINUX_REBOOT_CMD_POWER_OFF, 0 },
		{ SIGUSR2, LINUX_REBOOT_CMD_POWER_OFF, 0 },
		{ SIGPWR, LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_HALT },
	};
	struct signalfd_siginfo s;

	while (read(signals, &s, sizeof s) == sizeof s)
		for (int i = 0; i < LEN(meanings); i++) {
			int command = host.device ? meanings[i].device : meanings[i].laptop;
			if ((int)s.ssi_signo == meanings[i].signal && command)
				end(command);
		}
	on_children();
}

static void signals_open(void)
{
	sigset_t set = signals_hold();

	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	watch(EPOLL_CTL_ADD, signals, EPOLLIN, FROM_SIGNALS, 0);
}

/* Without a control socket the containers still run; what is asked then is the journal. */
static void control_open(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	format(at.sun_path, sizeof at.sun_path, "%s/control", host.work);
	unlink(at.sun_path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) ||
	    chmod(at.sun_path, 0600) || listen(listener, 16))
		say("control socket %s: %m", at.sun_path);
	else
		watch(EPOLL_CTL_ADD, listener, EPOLLIN, FROM_CONTROL, 0);
}

/* A pipe for the output of each container, for all its incarnations. */
static void logs_open(void)
{
	for (struct instance *i = instances; i < instances + NCONTAINERS; i++) {
		i->log[0] = i->log[1] = -1; /* without a pipe it is refused, not let loose */
		if (pipe2(i->log, O_CLOEXEC) || fcntl(i->log[0], F_SETFL, O_NONBLOCK))
			say("%s: a pipe for its log: %m", row_of(i)->name);
		else
			watch(EPOLL_CTL_ADD, i->log[0], EPOLLIN, FROM_LOG, i - instances);
	}
}

/* What the kernel command line leaves over starts, in the order of the table. */
static void start_all(void)
{
	int left_out = 0;

	for (struct instance *i = instances; i < instances + NCONTAINERS; i++) {
		const char *name = row_of(i)->name;
		for (i->root = instances; strcmp(row_of(i->root)->image, row_of(i)->image);)
			i->root++;
		i->state = IS_DONE;
		i->left_out = (host.only && !word_in(host.only, name)) ||
			      (host.skip && word_in(host.skip, name));
		left_out += i->left_out;
		if (i->left_out)
			note(i, "left out by the kernel command line");
		else
			happen(i, ON_START);
	}
	if (left_out)
		say("%d containers are left out by the kernel command line", left_out);
}

static int all_done(void)
{
	for (const struct instance *i = instances; i < instances + NCONTAINERS; i++)
		if (i->state != IS_DONE)
			return 0;
	return 1;
}

static void dispatch(const struct epoll_event *event)
{
	uint32_t index = (uint32_t)event->data.u64;

	switch ((enum source)(event->data.u64 >> 32)) {
	case FROM_SIGNALS:
		on_signal();
		break;
	case FROM_CONTROL:
		on_control(listener);
		break;
	case FROM_CLIENT:
		on_client(&clients[index]);
		break;
	case FROM_REPORT:
		on_report(&instances[index]);
		break;
	case FROM_LOG:
		on_log(&instances[index]);
		break;
	}
}

/* Supervises until the end is asked for, and reached. Returns the command for reboot(2). */
static int supervise(void)
{
	struct epoll_event events[16];

	poller = epoll_create1(EPOLL_CLOEXEC);
	signals_open();
	control_open();
	logs_open();
	start_all();
	for (;;) {
		expire();
		settle();
		serve_clients();
		if (ending && (all_done() || now() >= end_by))
			return ending;
		int n = epoll_wait(poller, events, LEN(events), next_due());
		for (int i = 0; i < n; i++)
			dispatch(&events[i]);
	}
}

int main(int argc, char **argv)
{
	int code = SUPERVISE;
	char **last = *environ ? environ : argv;

	while (last[0] && last[1])
		last++;
	host.args = argv[0];
	host.args_size = *last + strlen(*last) - argv[0];
	open_stdio("/dev/null");
	if (getpid() == 1)
		boot();
	else
		code = ask(argc, argv);
	if (code != SUPERVISE)
		return code;
	int command = supervise();
	if (host.device)
		end_device(command);
	clear_up();
	return 0;
}
