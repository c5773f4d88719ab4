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
 *   Part II    Tools: they return 0 or -errno and decide nothing; they use log, files and
 *              digest, and otherwise not each other
 *               3  log              text, the launcher's own lines, the ring of each container
 *               4  files            small files, paths that are walked and never trusted
 *               5  digest           BLAKE3, four leaves at once
 *               6  image: trust     its header, who signed it, the digests of its chunks
 *               7  image: frames    LZ4 frames, decoded piece by piece
 *               8  image: headers   what a tar archive says, if it says it once
 *               9  image: entries   made below one directory and nowhere else
 *              10  network          links, addresses and routes, by rtnetlink alone
 *              11  cgroup           limits, on cgroup v2, v1 and the hybrid of both
 *              12  mount            a row of operations makes /proc, /sys and /dev
 *              13  confine          capabilities, system calls, users
 *   Part III   Lives that may die: a failure is die("what"), so they are complete or nothing
 *              14  children         what each does first, and how its parent knows it
 *              15  unpacker         an image becomes a root, behind a wall
 *              16  construct        a container, from within
 *              17  relay            who connects to a port of the device, and the workload
 *              18  inside           its PID 1
 *              19  links            the network of the device, and the names of containers
 *              20  boot             a device, or a place on a laptop, made ready
 *              21  ask              what is printed, and asked
 *              22  show             what `launcher net` prints
 *              23  policy           what it says, and what of it this kernel gives
 *              24  verbs            the command line
 *              25  save             a root becomes a tar
 *   Part IV    The life that may not: `die` and `exit` are poisoned
 *              26  instance         the state of each container, and what it has
 *              27  actions          state x event -> action
 *              28  watch            what is seen of a container becomes an event
 *              29  control          the socket that the command line asks
 *              30  loop             wait, look up, call; then main
 *
 * Data runs down: policy -> instance -> child. What comes back up from a child is one exit
 * status and, if it could not do its work, one line of text through a close-on-exec pipe.
 *
 * There is no heap. What PID 1 needs is sized by the policy, so it is known when it is linked;
 * unpacking and every other long or risky step runs in a child, inside the container's limits.
 */

/* ==== Part I: Words =========================================================================== */

/* ---- 1  types -----------------------------------------------------------------------------------
 *
 * What a policy can say, in `struct container`, and the macros that it says it with. Zero means
 * no: the value that a row leaves out is the strictest, or the sane default that is named here.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/can/netlink.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/genetlink.h>
#include <linux/nl80211.h>
#include <linux/openat2.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <linux/reboot.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <linux/watchdog.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>  /* rename */
#include <stdlib.h> /* getenv */
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
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
#include <termios.h>
#include <time.h>
#include <unistd.h>

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
#define MOST_ROWS 512
#if defined NATIVE /* the rules run, where the launcher is built: see $(O)/policy in the Makefile */
#define UNROLL
#define BY_NAME
#define MOST_FOLDED MOST_ROWS
#define REFUSE_BY(n, wrong, sentence) refused = wrong ? sentence : refused
static const char *refused;
#else
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define BY_NAME
#define MOST_FOLDED 16 /* rows of which it looks at each pair, in reasonable time */
#else
#define UNROLL _Pragma("GCC unroll 64")
#define BY_NAME __attribute__((designated_init)) /* no field is initialised by its position */
#define MOST_FOLDED 64
#endif
#define REFUSE_BY(n, wrong, sentence)                                                              \
	do {                                                                                       \
		extern void rule_##n(void) __attribute__((error("policy: " sentence)));            \
		if (wrong) rule_##n();                                                             \
	} while (0)
#endif
#ifndef BOARD_MODULES
#define BOARD_MODULES NULL /* a board whose kernel needs none, or loads its own */
#endif
#ifndef BOARD_DATA
#define BOARD_DATA "/data" /* what containers keep */
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
#ifndef FAULTS
#define FAULTS 0 /* 1: launcher.fault=hang or crash spoils the next request; for tests */
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL /* clone(2), Linux 5.7 */
#endif

/* This machine, by its name in images and by that of seccomp(2). */
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
#ifdef __arm__
#define PRIVATE_CALLS 0x0f0001       /* and five more: cacheflush, set_tls... */
#define CALL_32(name) SYS_##name##32 /* beside one whose users have 16 bits */
#define VECTORS __attribute__((target("fpu=neon")))
#define HAS_VECTORS (getauxval(AT_HWCAP) & 1 << 12) /* HWCAP_NEON */
#else
#define PRIVATE_CALLS UINT32_MAX
#define CALL_32(name) SYS_##name
#define VECTORS
#define HAS_VECTORS 1
#endif

/* What is large has pages of its own, so that what is small is together: see memory_advise. */
#define IN_PAGES __attribute__((aligned(4096)))

#define INLINED static inline __attribute__((always_inline))

#define QUOTED_AGAIN(text) #text
#define QUOTED(macro) QUOTED_AGAIN(macro)

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

/* The text of the policy, which `launcher policy` prints. */
__asm__(".pushsection .rodata.policy, \"a\"\n.balign 4\n"
	".hidden policy_text, policy_size\n.globl policy_text, policy_size\n"
	"policy_size: .long 1f - policy_text\n"
	"policy_text: .incbin " QUOTED(CONFIG_H) "\n1: .byte 0\n.popsection");
extern const uint32_t policy_size;
extern const char policy_text[];

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
enum { NOTIFY = 1 << 16, HEALTHY }; /* of .ready, beside PORT(n) */
enum { FALLBACK = 1, REBOOT = 2 };  /* of .escalate */
enum userns { OWN, HOST };
enum start { AT_BOOT, ON_CONNECT };
enum { NONE, NET_HOST = HOST, NET_BRIDGE, NET_MACVLAN, NET_IPVLAN, NET_DEVICE };
enum { NET_SHARE = NET_DEVICE + 1, NET_VLAN }; /* no other kind has a larger number */

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
	PACKET = 1 << 9,   /* sockets of AF_CAN; and of AF_PACKET, with CAP_NET_RAW */
	ADMIN = 1 << 10,   /* mounts, namespaces and the like, as far as the capabilities go */
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
	const char *device;           /* of a disk */
	u64 rbps, wbps, riops, wiops; /* the most in a second: bytes; reads and writes */
};

struct limit {
	int resource; /* RLIMIT_... of setrlimit(2) */
	u64 most;
};

struct setting {
	const char *name, *value; /* of a file: of the cgroup; of sysctl(8), with dots */
};

struct route {
	const char *to, *via; /* "10.9.0.0/16"; that address; default: it is on the link */
};

/* The network of a row, or a link of the device: written with HOST, BRIDGE(...) and its like. */
struct net {
	int kind;
	const char *link; /* the bridge; the device; of SHARE the name of a row above */
	const char *address, *address6; /* "10.7.0.2/24"; default of BRIDGE: see row_ip */
	const char *gateway, *gateway6; /* of all other addresses; default none */
	const struct route *routes;
	const char *mac; /* "02:00:00:00:00:01"; default: chosen by chance */
	unsigned mtu;
	unsigned bitrate;   /* of a CAN bus: bits in a second */
	unsigned vlan;      /* of VLAN: its number, 1 to 4094 */
	const char *bridge; /* of a link of the device: the bridge that it is an uplink of */
	unsigned open : 1;  /* it reaches all that are on its bridge or device, and they reach it */
};

struct port {
	int port;       /* of the device, of TCP */
	int to;         /* inside, where PID 1 connects to; default: the socket is handed in */
	const char *at; /* the address of the device; default all */
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
		u64 max;           /* bytes of such pages; default no limit */
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

	struct net net;           /* default NONE: a loopback of its own, and nothing else */
	const struct port *ports; /* of the device, that lead to it; without any network too */
	enum start start;         /* ON_CONNECT: when the first client comes, who waits */
	u64 idle;                 /* ms without any client, after which it rests; default: never */

	enum restart restart;
	const int *success; /* exit statuses beside 0 that are no failure: STATUSES(3, 143) */
	struct {
		u64 first, limit; /* ms before a restart, and a quarter by chance; 1 s, 60 s */
		u64 factor;       /* per cent that the next one takes; default 200 */
		u64 calm;         /* ms of being up, after which all begins anew; default .limit */
	} backoff;
	unsigned priority; /* 0 to 3: with 0 it leaves three quarters of the budget to others */
	int escalate;      /* what comes instead of being parked: FALLBACK, REBOOT, or one by one */
	u64 ready;         /* what makes it up: NOTIFY, HEALTHY, PORT(n); default: it is executed */
	u64 ready_within;  /* ms that this may take; default 30 s */
	u64 wait;          /* ms that it waits for .after at most; default 60 s */
	struct {
		const char *const *command; /* run in it: status 0 says that it is well */
		u64 every;         /* ms between two; without a command, between two WATCHDOG=1 */
		u64 timeout;       /* ms that it may take; default 5 s */
		unsigned failures; /* so many, one after the other, are an end; default 3 */
	} health;
	unsigned critical : 1; /* the watchdog is fed only while it is well, or comes back soon */
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
#define MINUTES(n) CHECKED((n)*60000ULL, (n) >= 1 && (n) <= 1440, "MINUTES(n): n is 1 to 1440")
#define MILLISECONDS(n)                                                                            \
	CHECKED((n)*1ULL, (n) >= 1 && (n) <= 60000, "MILLISECONDS(n): n is 1 to 60000")
#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define ENV(...)                                                                                   \
	(ARGV(__VA_ARGS__) + CHECKED(0, LEN(ARGV(__VA_ARGS__)) <= 57, "ENV: at most 56 words"))
#define AFTER(...) ((const int[]){ __VA_ARGS__, -1 })
#define STATUSES(...) AFTER(__VA_ARGS__)
#define PORT(n) CHECKED(n, (n) >= 1 && (n) <= 65535, "PORT(n): n is 1 to 65535")
#define LIST(type, ...) ((const struct type[]){ __VA_ARGS__, { 0 } })
#define NET(...)                                                                                   \
	{ __VA_ARGS__ }
#define BRIDGE(...) NET(NET_BRIDGE, __VA_ARGS__) /* name, address, .open = YES, ... */
#define MACVLAN(...) NET(NET_MACVLAN, __VA_ARGS__)
#define IPVLAN(...) NET(NET_IPVLAN, __VA_ARGS__)
#define DEVICE(...) NET(NET_DEVICE, __VA_ARGS__)                   /* moved in, and comes back */
#define VLAN(n, ...) NET(.vlan = n, .kind = NET_VLAN, __VA_ARGS__) /* of that device */
#define SHARE(row) NET(NET_SHARE, row)
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
#define SCRATCH(size) CHECKED(size, (size) >= 4096, "SCRATCH(size): at least KiB(4)")
#define IO_REALTIME(n) (1 << 13 | (n)) /* ioprio_set(2) */
#define IO_BEST_EFFORT(n) (2 << 13 | (n))
#define IO_IDLE (3 << 13)

enum { MOST_LINKS = 8, MOST_PORTS = 8 };
enum { IDS = 65536 }; /* users, and groups, of a container */

/* Of a user namespace; the others are asked of those who own the machine, or its network. */
#define EFFECTIVE_CAPS                                                                             \
	(CAPS(CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, KILL, SETGID, SETUID) |        \
	 CAPS(SETPCAP, SYS_CHROOT, SYS_PTRACE, SETFCAP, NET_ADMIN, NET_RAW, NET_BROADCAST,         \
	      NET_BIND_SERVICE))

#define NET_CAPS CAPS(NET_ADMIN, NET_RAW, NET_BROADCAST, NET_BIND_SERVICE)

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

/* All restarts of the device: a short life costs one, and one for each second of CPU it took. */
static const struct budget {
	u64 restarts;      /* default 40 */
	u64 every, parked; /* ms until one comes back; between tries without any; 15 s, 300 s */
} budget;

/* The hardware's: what is 0 is not asked for. */
static const struct watchdog {
	u64 timeout;  /* ms until the device is reset; 0: the watchdog is left alone */
	u64 pressure; /* per cent: memory, that all wait for, is no more than that (PSI, full) */
	const char *disk; /* one block of it can be read in that time */
} watchdog;

#define MAKEDEV(major, minor) ((major) << 8 | (minor)) /* makedev(3), constant everywhere */
/* The network of the device itself; links are touched on a device only, bridges on a laptop too. */
static const struct network {
	const struct net *links; /* LIST(net, DEVICE("eth0", "10.0.0.2/24"), BRIDGE("br0"), ...) */
	const struct setting *sysctl; /* { "net.ipv4.ip_forward", "1" } */
	const char *const *resolvers; /* ARGV("10.0.0.1"): the resolv.conf of all containers */
} network;

#define LEN(array) ((int)(sizeof(array) / sizeof *(array)))

/* ---- 2  policy ----------------------------------------------------------------------------------
 *
 * config.h can hold only policy, for no function exists yet. A rule that looks across rows is a
 * call to a function that must not be called: the optimiser folds the condition over the const
 * table, and what remains stops the build with the sentence. What can't be folded stops it too. A
 * policy of more rows than it can fold is checked by the same rules when `make` runs them.
 */

#include CONFIG_H

_Static_assert(NCONTAINERS >= 1 && NCONTAINERS <= MOST_ROWS,
	       "policy: there are 1 to 512 containers");
_Static_assert(LEN(containers) == NCONTAINERS, "policy: a container of the enum has no row");
_Static_assert(LOG_SIZE >= 1024 && (LOG_SIZE & (LOG_SIZE - 1)) == 0,
	       "policy: LOG_SIZE is a power of two, from KiB(1)");

#define REFUSE(wrong, sentence) REFUSE_AT(__COUNTER__, wrong, sentence)
#define REFUSE_AT(n, ...) REFUSE_BY(n, __VA_ARGS__)

INLINED int name_ok(const char *s) {
	const char *others = "abcdefghijklmnopqrstuvwxyz0123456789_-";
	return s && s[0] >= 'a' && s[0] <= 'z' && strlen(s) < 32 && !s[strspn(s, others)];
}

INLINED int image_ok(const char *s) { return s && s[0] && s[0] != '.' && !strchr(s, '/'); }

INLINED int path_ok(const char *s) { return s && s[0] == '/' && s[1] && !strstr(s, "/.."); }

/* A file or device that another row gives too, or that neither has. */
INLINED int same(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

/* How many numbers below `limit`, with that character between them, is s? 0: it is not. */
INLINED int numbers(const char *s, char between, int limit) {
	int count = 1, digits = 0, number = 0;
	UNROLL
	for (int n = 0; n < 40; n++) {
		if (!s[n]) return digits ? count : 0;
		int is_end = s[n] == between;
		if (is_end ? !digits : s[n] < '0' || s[n] > '9' || digits == 9) return 0;
		count += is_end;
		digits = is_end ? 0 : digits + 1;
		number = is_end ? 0 : number * 10 + s[n] - '0';
		if (number >= limit) return 0;
	}
	return 0;
}

INLINED u64 memory_max(const struct container *c) {
	return c->memory.max ? c->memory.max : DEFAULT_MEMORY;
}

INLINED void rules_of_limits(const struct container *c) {
	u64 memory = memory_max(c);
	u64 cpu = c->cpu.max ? c->cpu.max : DEFAULT_CPU;
	int policy = c->schedule.policy, priority = c->schedule.priority;
	REFUSE(c->memory.max && memory < KiB(512), "a .memory.max is less than 512 KiB");
	REFUSE(c->memory.high > memory || c->memory.low > memory || c->memory.min > memory ||
		   c->cpu.burst > cpu,
	       "a .memory.low, .min or .high is more than its .max, or a .cpu.burst is");
	REFUSE(c->cpu.weight > 10000 || c->io.weight > 10000 || (c->cpu.weight && c->cpu.idle),
	       "a .weight is more than 10000, or one of the CPU with .idle");
	REFUSE(c->pids == 1, "a .pids is less than 2: the container's PID 1, and the workload");
	REFUSE(!c->hugetlb.pages != !c->hugetlb.max,
	       "a .hugetlb has .pages and no .max, or the other way round");
	REFUSE(c->nice < -20 || c->nice > 19 || c->oom_score_adj < -1000 || c->oom_score_adj > 1000,
	       "a .nice is not -20 to 19, or an .oom_score_adj not -1000 to 1000");
	REFUSE(policy ? policy > SCHED_RR || priority < 1 || priority > 99 : priority,
	       "a .schedule is not SCHED_FIFO or SCHED_RR with a priority of 1 to 99");
}

/* Of a list, which has at most 8 rows; `of` is the one that is looked at. */
#define REFUSE_ROW(list, first, wrong, sentence)                                                   \
	UNROLL                                                                                     \
	for (int i = 0; i <= 8; i++) {                                                             \
		const __typeof__(*c->list) *of = c->list + i;                                      \
		if (!c->list || !of->first) break;                                                 \
		REFUSE(i == 8 || (wrong), sentence);                                               \
	}

#define IS_BELOW(s, prefix) (!strncmp(s, prefix, sizeof(prefix) - 1))

INLINED int sysctl_ok(const char *s) {
	return IS_BELOW(s, "net.") || IS_BELOW(s, "kernel.shm") || IS_BELOW(s, "kernel.msg") ||
	       IS_BELOW(s, "kernel.sem") || IS_BELOW(s, "fs.mqueue.");
}

INLINED void rules_of_lists(const struct container *c) {
	REFUSE_ROW(tmpfs, path, of->size < 4096 || !path_ok(of->path),
		   "a .tmpfs has no size, or a path that is not absolute or leads upwards");
	REFUSE_ROW(data, name, !name_ok(of->name) || !path_ok(of->path),
		   "a .data has no proper .name, or a .path that is not absolute or leads upwards");
	REFUSE_ROW(binds, from,
		   !(of->may & (READ | WRITE)) || !path_ok(of->from) || !path_ok(of->path),
		   "one of .binds says neither READ nor WRITE, or has a path that is not absolute");
	REFUSE_ROW(devices, path,
		   !(of->may & (READ | WRITE)) || !path_ok(of->path) ||
		       !IS_BELOW(of->path, "/dev/"),
		   "one of .devices says neither READ nor WRITE, or is not below /dev/");
	REFUSE_ROW(sysctl, name,
		   !sysctl_ok(of->name) || (c->net.kind == NET_HOST && IS_BELOW(of->name, "net.")),
		   "a .sysctl is not of its own net, of kernel.shm, .msg, .sem or fs.mqueue");
}

/* Of a row, and of a link of the device; those of addresses are below. */
INLINED void rules_of_net(const struct net *n) {
	int has = n->kind > NET_HOST && n->kind != NET_SHARE;
	REFUSE(has && (!n->link || !*n->link || strlen(n->link) > 15 || strchr(n->link, '/')),
	       "a network has no name of a link, or one of more than 15 characters");
	REFUSE(!has && (n->address || n->address6 || n->gateway || n->gateway6 || n->routes ||
			n->mac || n->mtu),
	       "a network has an address, route, .mac or .mtu, and no link of its own");
	REFUSE(n->mtu && (n->mtu < 68 || n->mtu > 65535), "an .mtu is not 68 to 65535");
}

INLINED void rules_of_ports(const struct container *c, int row) {
	int relays = YES, shares = c->net.kind != NET_SHARE;
	REFUSE_ROW(ports, port, of->port < 1 || of->port > 65535 || of->to < 0 || of->to > 65535,
		   "one of .ports is not 1 to 65535");
	UNROLL
	for (int i = 0; i < MOST_PORTS; i++) {
		if (!c->ports || !c->ports[i].port) break;
		relays &= !!c->ports[i].to;
	}
	REFUSE(c->start > ON_CONNECT || (c->start && !c->ports),
	       "a row starts ON_CONNECT and has no .ports");
	REFUSE(c->idle && (!c->start || !relays),
	       "an .idle is of no use: the row does not start ON_CONNECT, or takes sockets itself");
	UNROLL
	for (int i = 0; i < NCONTAINERS; i++) {
		const struct container *of = &containers[i];
		if (i == row || shares) break;
		shares = same(of->name, c->net.link) && of->net.kind != NET_SHARE &&
			 of->net.kind != NET_HOST;
	}
	REFUSE(!shares, "a row SHAREs the network of no row above it that has one of its own");
	REFUSE(c->net.kind > NET_SHARE || c->net.bridge || c->net.vlan,
	       "a VLAN, or a .bridge, is of the links of the device, and not of a row");
}

INLINED void rules_of_row(const struct container *c, int row) {
	int version = c->version ? numbers(c->version, '.', 1000000000) : 1;
	REFUSE(!name_ok(c->name),
	       "a .name is 1 to 31 characters of a-z 0-9 _ -, and starts with a letter");
	REFUSE(!image_ok(c->image), "a row has no .image, or one with a / or a dot in front");
	REFUSE(c->command && !c->command[0],
	       "a .command is empty: leave it out for the image's own");
	REFUSE(version < 1 || version > 4,
	       "a .version is not one to four numbers with dots between them");
	REFUSE(c->backoff.first > (c->backoff.limit ? c->backoff.limit : SECONDS(60)),
	       "a .backoff.first is more than its .limit");
	REFUSE(c->stop.signal < 0 || c->stop.signal > 64, "a .stop.signal is not a signal");
	REFUSE(c->restart > ALWAYS, "a .restart is not NEVER, ON_FAILURE or ALWAYS");
	REFUSE(c->user && numbers(c->user, ':', IDS) != 2,
	       "a .user is not UID:GID, two numbers below 65536");
	REFUSE(c->health.command ? !c->health.every : c->ready == HEALTHY,
	       "a .health.command has no .every, or .ready = HEALTHY no .health.command");
	REFUSE((c->escalate & FALLBACK && !c->fallback) || c->priority > 3,
	       "a row escalates to FALLBACK and has no .fallback, or a .priority is above 3");
	REFUSE(c->userns != HOST && c->keep & ~EFFECTIVE_CAPS,
	       "a capability of .keep has no effect but with .userns = HOST");
	REFUSE(c->net.kind == NET_HOST && c->userns != HOST && c->keep & NET_CAPS,
	       "a capability over the network of the device takes .userns = HOST");
	rules_of_limits(c);
	rules_of_lists(c);
	rules_of_net(&c->net);
	rules_of_ports(c, row);
	UNROLL
	for (int i = 0; i <= NCONTAINERS; i++) {
		if (!c->after || c->after[i] < 0) break;
		REFUSE(i == NCONTAINERS || c->after[i] >= row,
		       ".after names the row itself, or one that starts later");
	}
}

INLINED void rules_of_two(const struct container *a, const struct container *b) {
	REFUSE(!strcmp(a->name, b->name), "two containers have the same .name");
	REFUSE(!strcmp(a->image, b->image) &&
		   (!same(a->place, b->place) || !same(a->fallback, b->fallback) ||
		    !same(a->version, b->version) || a->userns != b->userns),
	       "two rows with the same .image have another .place, .fallback, .version or .userns");
}

static __attribute__((used)) void rules(void) {
	u64 sum = 0;
	int consoles = 0;
	if (NCONTAINERS > MOST_FOLDED) return;
	UNROLL
	for (int i = 0; i < NCONTAINERS; i++) {
		rules_of_row(&containers[i], i);
		sum += memory_max(&containers[i]);
		consoles += containers[i].console;
		UNROLL
		for (int j = 0; j < i; j++) rules_of_two(&containers[i], &containers[j]);
	}
	UNROLL
	for (int i = 0; i <= MOST_LINKS; i++) {
		const struct net *n = network.links + i;
		if (!network.links || !n->kind) break;
		int known = n->kind == NET_BRIDGE || n->kind == NET_DEVICE || n->kind == NET_VLAN;
		REFUSE(
		    i == MOST_LINKS || !known,
		    "a link of the device is no DEVICE, VLAN or BRIDGE, or there are more than 8");
		REFUSE(n->kind == NET_VLAN &&
			   (n->vlan < 1 || n->vlan > 4094 || strlen(n->link) > 10),
		       "a VLAN is not 1 to 4094, or its device has a long name");
		rules_of_net(n);
	}
	UNROLL
	for (int i = 0; i < MOST_KEYS + LEN(more_keys); i++) {
		const char *key = i < MOST_KEYS ? keys[i] : more_keys[i - MOST_KEYS];
		REFUSE(key && (strlen(key) != 56 || key[0] != 'R' || key[1] != 'W'),
		       "one of the keys is not the second line of a public key of signify");
	}
	REFUSE(sum > BOARD_RAM, "the sum of .memory.max is more than the RAM of the board");
	REFUSE(consoles > 1, "more than one row has the .console");
	REFUSE(
	    budget.restarts > 1000000 || budget.every > SECONDS(86400),
	    "the budget has more than 1000000 restarts, or one comes back after more than a day");
	REFUSE(watchdog.pressure > 100 || (watchdog.timeout && watchdog.timeout < SECONDS(3)),
	       "the watchdog's .timeout is less than 3 s, or its .pressure more than 100 per cent");
}

/* -- of addresses: no compiler folds them, so `make` runs what follows, where it builds -- */

/* An address, or a net, of IPv4 or IPv6. */
struct ip {
	uint8_t bytes[16];
	int bits;   /* 32 or 128; 0: there is none, or the text was no address */
	int prefix; /* bits of it that name the net; -1: none was given */
};

static int hex_of(char c) {
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads "10.7.0.2/24", "fd07::2/64", or either without a prefix. NULL has no bits. */
static struct ip ip_read(const char *s) {
	struct ip ip = { .prefix = -1 }, none = ip;
	char text[INET6_ADDRSTRLEN] = "";
	size_t n = s ? strcspn(s, "/") : 0;
	if (!n || n >= sizeof text) return none;
	memcpy(text, s, n);
	ip.bits = strchr(s, '.') ? 32 : 128;
	if (inet_pton(ip.bits == 32 ? AF_INET : AF_INET6, text, ip.bytes) != 1) return none;
	if (!s[n]) return ip;
	ip.prefix = 0;
	for (s += n + 1; *s >= '0' && *s <= '9' && ip.prefix <= ip.bits; s++)
		ip.prefix = ip.prefix * 10 + *s - '0';
	return !*s && s[-1] != '/' && ip.prefix <= ip.bits ? ip : none;
}

/* Are the first bits of both the same? */
static int ip_shares(struct ip a, struct ip b, int prefix) {
	int whole = prefix / 8, rest = prefix % 8;
	return a.bits == b.bits && !memcmp(a.bytes, b.bytes, whole) &&
	       (!rest || !((a.bytes[whole] ^ b.bytes[whole]) >> (8 - rest)));
}

static const char *address_of(const struct net *n, int v6) { return v6 ? n->address6 : n->address; }

static const char *gateway_of(const struct net *n, int v6) { return v6 ? n->gateway6 : n->gateway; }

/*
 * The device's own address on a bridge: of the links of the device; or in a net that follows from
 * the place of the first row that is on it: 10.7.ROW.1/24 and fd07:0:0:ROW::1/64.
 */
static struct ip bridge_ip(const char *bridge, int v6) {
	int row = 0;
	for (const struct net *n = network.links; n && n->kind; n++)
		if (n->kind == NET_BRIDGE && address_of(n, v6) && same(n->link, bridge))
			return ip_read(address_of(n, v6));
	while (row < NCONTAINERS &&
	       (containers[row].net.kind != NET_BRIDGE || !same(containers[row].net.link, bridge)))
		row++;
	uint8_t high = (uint8_t)(row >> 8), low = (uint8_t)row;
	return v6 ? (struct ip){ { 0xfd, 0x07, [6] = high, low, [15] = 1 }, 128, 64 }
		  : (struct ip){ { 10, 7 + high, low, 1 }, 32, 24 };
}

/* The address of a row; on a bridge by default that of the device, and its place from 1 on. */
static struct ip row_ip(const struct net *n, int row, int v6) {
	if (address_of(n, v6) || n->kind != NET_BRIDGE) return ip_read(address_of(n, v6));
	struct ip ip = bridge_ip(n->link, v6);
	for (int at = ip.bits / 8, sum = row + 1; at--; sum >>= 8)
		ip.bytes[at] = (uint8_t)(sum += ip.bytes[at]);
	return ip;
}

/* The end of a name, for that of a link, which has 15 characters. */
static const char *link_part(const char *name) {
	return strlen(name) > 12 ? name + strlen(name) - 12 : name;
}

/* Is the gateway on the link of that address? One of IPv6 that is link-local always is. */
static int gate_near(struct ip gate, struct ip ip) {
	int is_local = gate.bits == 128 && gate.bytes[0] == 0xfe && gate.bytes[1] >> 6 == 2;
	return is_local || ip_shares(gate, ip, ip.prefix);
}

/* What is wrong with the network of a row, or with row -1, and so on, of the device; or NULL. */
static const char *net_wrong(const struct net *n) {
	for (int v6 = 0; v6 < 2; v6++) {
		const char *text = address_of(n, v6), *gate = gateway_of(n, v6);
		struct ip ip = ip_read(text), gateway = ip_read(gate);
		if (text && (ip.bits != (v6 ? 128 : 32) || ip.prefix < 1))
			return v6 ? "its .address6 is none of IPv6 with a prefix, like fd07::2/64"
				  : "its .address is none of IPv4 with a prefix, like 10.7.0.2/24";
		if (gate && gateway.bits != (v6 ? 128 : 32)) return "its .gateway is no address";
		if (gate && text && !gate_near(gateway, ip))
			return "its .gateway is not in the net of its address";
	}
	for (const struct route *r = n->routes; r && r->to; r++) {
		struct ip to = ip_read(r->to), via = ip_read(r->via);
		if (to.prefix < 0 || !to.bits || (r->via && via.bits != to.bits))
			return "one of its .routes is not to a net like 10.9.0.0/16";
	}
	for (int i = 0; n->mac && i < 18; i++)
		if (i == 17 ? n->mac[i] : i % 3 == 2 ? n->mac[i] != ':' : hex_of(n->mac[i]) < 0)
			return "its .mac is not like 02:00:00:00:00:01";
	return n->mac && hex_of(n->mac[1]) & 1 ? "its .mac is that of a group of stations" : NULL;
}

/* Can't two sockets listen at both? An address of zeros is all of them, as none is. */
static int ports_meet(const struct port *p, const struct port *q) {
	static const uint8_t all[16];
	struct ip a = ip_read(p->at), b = ip_read(q->at);
	return p->port == q->port &&
	       (!memcmp(a.bytes, all, 16) || !memcmp(b.bytes, all, 16) || ip_shares(a, b, a.bits));
}

/* What is wrong between it and another row; or NULL. */
static const char *rows_wrong(int row, int other) {
	const struct container *a = &containers[row], *b = &containers[other];
	for (const struct port *p = a->ports; p && p->port; p++)
		for (const struct port *q = b->ports; q && q->port && q != p; q++)
			if (ports_meet(p, q)) return "one of its .ports leads to two places";
	if (row == other || a->net.kind <= NET_HOST || b->net.kind <= NET_HOST) return NULL;
	for (int v6 = 0; v6 < 2; v6++) {
		struct ip ip = row_ip(&a->net, row, v6);
		if (ip.bits && ip_shares(ip, row_ip(&b->net, other, v6), ip.bits))
			return "another row has its address";
	}
	if (a->net.kind == NET_DEVICE && b->net.kind == NET_DEVICE &&
	    !strcmp(a->net.link, b->net.link))
		return "another row has its DEVICE";
	return strcmp(link_part(a->name), link_part(b->name))
		   ? NULL
		   : "the name of another row ends in the same 12 characters, as its link would";
}

static const char *row_wrong(int row) {
	const struct net *n = &containers[row].net;
	const char *why = net_wrong(n);
	for (const struct port *p = containers[row].ports; p && p->port; p++) {
		struct ip at = ip_read(p->at);
		if (p->at && (!at.bits || at.prefix >= 0))
			why = "one of its .ports has an .at that is no address, like 10.0.0.2";
	}
	for (int v6 = 0; v6 < 2 && !why && n->kind == NET_BRIDGE; v6++) {
		struct ip ip = row_ip(n, row, v6), bridge = bridge_ip(n->link, v6);
		if (!ip_shares(ip, bridge, bridge.prefix))
			why = "its address is outside of the net of its bridge";
		else if (ip_shares(ip, bridge, bridge.bits))
			why = "it has the address of its bridge";
		else if (gateway_of(n, v6) && !gate_near(ip_read(gateway_of(n, v6)), ip))
			why = "its .gateway is not in the net of its address";
	}
	for (int other = 0; other <= row && !why; other++) why = rows_wrong(row, other);
	return why;
}

/* What is wrong with the networks of the policy, and in which row, or link of the device. */
static __attribute__((used)) const char *networks_wrong(const char **whose) {
	const char *why = NULL;
	for (const struct net *n = network.links; n && n->kind && !why; n++) {
		*whose = n->link;
		why = net_wrong(n);
	}
	for (int row = 0; row < NCONTAINERS && !why; row++) {
		*whose = containers[row].name;
		why = row_wrong(row);
	}
	return why;
}

/* ==== Part II: Tools ========================================================================== */

/* ---- 3  log -------------------------------------------------------------------------------------
 *
 * Text without stdio (whose printf is larger than all of LZ4), the launcher's own lines, and the
 * ring that keeps the latest output of a container. Nothing here blocks: a console that does not
 * take a line loses it, and the loss is counted.
 */

struct text { /* a bounded string being made; a full one drops the rest */
	char *at, *end;
};

static void text_pad(struct text *t, const char *s, size_t n, int width, char fill) {
	size_t room = width < 0 ? -width : width, gap = room > n ? room - n : 0;
	size_t from = width < 0 ? 0 : gap;
	for (size_t i = 0; i < n + gap && t->at < t->end; i++)
		*t->at++ = i >= from && i - from < n ? s[i - from] : fill;
}

/* A link that is not trusted: the number of an error that no kernel returns. */
enum { EDISTRUST = ENOTNAM };

/* As strerror(3); that of musl does not know all errors of Linux. */
static const char *error_text(int error) {
	static char number[] = "error 000";
	const char *text = strerror(error);
	if (error == EUCLEAN) return "the file system is damaged: fsck may mend it";
	if (error == EDISTRUST)
		return "a symbolic link on the way could be made by somebody else than root";
	if (strcmp(text, "No error information") != 0) return text;
	for (char *p = number + sizeof number - 2; *p != ' '; error /= 10)
		*p-- = (char)('0' + error % 10);
	return number;
}
#define strerror error_text

/* The conversions d u x lld llu llx s c m and %, with - or 0 and a width, and %.*s. */
static void text_va(struct text *t, const char *f, va_list ap) {
	for (; *f; f++) {
		if (*f != '%') {
			text_pad(t, f, 1, 0, ' ');
			continue;
		}
		char digits[24] = "", *p = digits + sizeof digits - 1;
		const char *s = NULL;
		int left = *++f == '-', width = 0, most = INT_MAX;
		char fill = f[left] == '0' ? '0' : ' ';
		for (f += left; *f >= '0' && *f <= '9'; f++) width = width * 10 + *f - '0';
		if (*f == '.') {
			most = va_arg(ap, int);
			f += 2;
		}
		int wide = *f == 'l';
		f += 2 * wide;
		if (*f == 's' || *f == 'm') {
			s = *f == 'm' ? strerror(errno) : va_arg(ap, const char *);
		} else if (*f == 'd' || *f == 'u' || *f == 'x') {
			u64 n = wide ? va_arg(ap, u64) : va_arg(ap, unsigned);
			i64 number = wide ? (i64)n : (int)n;
			int negative = *f == 'd' && number < 0, base = *f == 'x' ? 16 : 10;
			if (negative) n = 0 - (u64)number;
			do *--p = "0123456789abcdef"[n % base];
			while (n /= base);
			if (negative) *--p = '-';
		} else {
			*--p = *f == 'c' ? (char)va_arg(ap, int) : '%';
		}
		if (!s) s = p;
		text_pad(t, s, strnlen(s, most), left ? -width : width, fill);
	}
}

/* Makes a string of at most size-1 bytes in buf, always terminated; returns its length. */
static __attribute__((format(__printf__, 3, 4))) size_t format(char *buf, size_t size,
							       const char *f, ...) {
	struct text t = { buf, buf + size - 1 };
	va_list ap;

	va_start(ap, f);
	text_va(&t, f, ap);
	va_end(ap);
	*t.at = '\0';
	return t.at - buf;
}

static u64 min(u64 a, u64 b) { return a < b ? a : b; }

/* What follows the prefix in s; NULL: s begins with something else. */
static const char *after(const char *s, const char *prefix) {
	size_t n = strlen(prefix);
	return strncmp(s, prefix, n) ? NULL : s + n;
}

/* A decimal number of at most 18 digits at *p, which is moved behind it. */
static int decimal(const char **p, const char *end, i64 *number) {
	const char *start = *p;
	for (*number = 0; *p < end && *p < start + 18 && **p >= '0' && **p <= '9'; ++*p)
		*number = *number * 10 + **p - '0';
	return *p > start ? 0 : -ERANGE;
}

/* Is it the other word, but for so many letters that are wrong, missing or too many? */
static int is_like(const char *a, const char *b, int wrong) {
	while (*a && *a == *b) a++, b++;
	if (!*a && !*b) return YES;
	return wrong &&
	       ((*a && is_like(a + 1, b, wrong - 1)) || (*b && is_like(a, b + 1, wrong - 1)) ||
		(*a && *b && is_like(a + 1, b + 1, wrong - 1)));
}

/* Less than, equal to or greater than 0, as version a is to b: 1.9 is less than 1.10, as 1 is. */
static int version_compare(const char *a, const char *b) {
	for (i64 x = 0, y = 0;; x = y = 0) {
		int none = decimal(&a, a + strlen(a), &x) & decimal(&b, b + strlen(b), &y);
		if (x != y || none) return x < y ? -1 : x > y;
		a += *a == '.';
		b += *b == '.';
	}
}

/* CLOCK_BOOTTIME in milliseconds: it counts through a suspend, and nobody can set it. */
static u64 now(void) {
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
static size_t text_length(const char *s, size_t n) {
	static const uint32_t least[] = { ' ', 0xa0, 0x800, 0x10000 }; /* no longer forms */
	unsigned char first = s[0];
	size_t more = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
	uint32_t c = more ? first & 0x3f >> more : first;
	if (more >= n || first >= 0xf8 || (first & 0xc0) == 0x80) return 0;
	for (size_t i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80) return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	int is_control = (c < least[more] && c != '\t') || c == 0x7f;
	return is_control || (c >= 0xd800 && c < 0xe000) || c >= 0x110000 ? 0 : more + 1;
}

/* Writes one line. What could steer a terminal becomes '?': a log is hostile input. */
static void log_line(const char *who, const char *s, size_t n) {
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
		if (write(journal.fd, line, head) == (ssize_t)head) journal.lost = 0;
	}
}

/* Text that is used at once: what `say` and its like are given may not be in here itself. */
static IN_PAGES char scratch[PATH_MAX + 64];
#define words(...) (format(scratch, sizeof scratch, __VA_ARGS__), scratch)

static __attribute__((format(__printf__, 1, 2))) void say(const char *f, ...) {
	struct text t = { scratch, scratch + sizeof scratch - 1 };
	va_list ap;
	va_start(ap, f);
	text_va(&t, f, ap);
	va_end(ap);
	log_line(journal.as, scratch, t.at - scratch);
}

/* The latest LOG_SIZE bytes of a stream. Positions count from its first byte and never wrap. */
struct ring {
	u64 end;   /* position after the latest byte */
	u64 shown; /* how far it has been copied to the journal */
	char bytes[LOG_SIZE];
};

/* Reads once from fd, at most 4 KiB: a flood gets no more than its turn. Returns as read(2). */
static ssize_t ring_fill(struct ring *r, int fd) {
	size_t at = r->end % LOG_SIZE, room = LOG_SIZE - at;
	ssize_t n = read(fd, r->bytes + at, room < 4096 ? room : 4096);
	if (n > 0) r->end += n;
	return n;
}

/* The bytes from *at on, as far as they lie in one piece; *at skips what was overwritten. */
static size_t ring_peek(const struct ring *r, u64 *at, const char **bytes) {
	if (r->end - *at > LOG_SIZE) *at = r->end - LOG_SIZE;
	size_t from = *at % LOG_SIZE, n = r->end - *at, piece = LOG_SIZE - from;
	*bytes = r->bytes + from;
	return n < piece ? n : piece;
}

/* Where the latest n lines begin, or for a negative number all that is kept. */
static u64 ring_lines(const struct ring *r, int n) {
	u64 first = r->end > LOG_SIZE ? r->end - LOG_SIZE : 0, at = r->end;
	for (; n > 0 && at > first; at--)
		if (at < r->end && r->bytes[(at - 1) % LOG_SIZE] == '\n' && !--n) return at;
	return n >= 0 ? at : first;
}

/* Copies the lines that are new to the journal. What has no end yet waits, up to 400 bytes. */
static void ring_show(struct ring *r, const char *who) {
	char line[400];
	size_t n = 0;
	if (r->end - r->shown > LOG_SIZE) r->shown = r->end - LOG_SIZE;
	for (u64 at = r->shown; at < r->end; at++) {
		char c = r->bytes[at % LOG_SIZE];
		if (c == '\n' || n == sizeof line) {
			if (!journal.quiet) log_line(who, line, n);
			n = 0;
			r->shown = at + (c == '\n');
		}
		if (c != '\n') line[n++] = c;
	}
}

/* ---- 4  files -----------------------------------------------------------------------------------
 *
 * Small files are read and written whole. A path below a directory that somebody else filled is
 * walked one name at a time and follows no link (CVE-2015-1335, CVE-2021-30465, CVE-2025-31133).
 * A path of the policy follows links, but for those that a container could have made.
 */

static const char *data_path = BOARD_DATA; /* the directory of what containers keep */

/* The directory part of a path; like all `words`, to be used at once. */
static const char *parent_of(const char *path) {
	const char *slash = strrchr(path, '/');
	return words("%.*s", slash ? (int)(slash - path) : 0, path);
}

static int path_walks; /* openat2(2) came with Linux 5.6; filters of old containers have EPERM */

/* Opens path below dir, by way of directories, never of a link. O_CREAT: makes what is missing. */
static int path_open(int dir, const char *path, int flags) {
	struct open_how beneath = { .flags = (u64)flags | O_CLOEXEC,
				    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	char name[NAME_MAX + 1];
	struct stat st;
	int fd = dir, error;
	if (!path_walks && !(flags & O_CREAT) && !strstr(path, "..")) {
		path += strspn(path, "/");
		fd = (int)syscall(SYS_openat2, dir, *path ? path : ".", &beneath, sizeof beneath);
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != ELOOP))
			return fd < 0 ? -errno : fd;
		path_walks = errno != ELOOP; /* where the link is, only walking tells */
		fd = dir;
	}
	do {
		path += strspn(path, "/");
		size_t n = strcspn(path, "/");
		size_t fits = format(name, sizeof name, "%.*s", n ? (int)n : 1, n ? path : ".");
		path += n + strspn(path + n, "/");
		int how = *path ? O_PATH | O_DIRECTORY : flags & ~O_CREAT, next = -1;
		error = fits < n ? ENAMETOOLONG : strcmp(name, "..") ? 0 : EXDEV;
		if (!error && flags & O_CREAT && mkdirat(fd, name, 0755) && errno != EEXIST)
			error = errno;
		if (!error && (next = openat(fd, name, how | O_NOFOLLOW | O_CLOEXEC)) < 0)
			error = errno;
		if (!error && how == O_PATH && !fstat(next, &st) && S_ISLNK(st.st_mode))
			error = ELOOP; /* it opens the link itself */
		if (fd != dir) close(fd);
		fd = next;
	} while (!error && *path);
	if (error) close(fd);
	return error ? -error : fd;
}

/* Makes path below dir, with what leads there. What exists is left as it is, even a link. */
static int path_mkdir(int dir, const char *path) {
	int fd = path_open(dir, path, O_PATH | O_CREAT);
	if (fd >= 0) close(fd);
	return fd < 0 && fd != -ELOOP ? fd : 0;
}

static int is_same(const struct stat *a, const struct stat *b) {
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Are all names in that directory made by root, as far as its owner and mode tell? */
static int dir_of_root(const struct stat *dir) {
	struct stat data;
	return !dir->st_uid && !(dir->st_mode & 022) &&
	       (stat(data_path, &data) || !is_same(dir, &data));
}

enum { LINKS_MAX = 40 }; /* as in the kernel */

/*
 * Opens a path of the policy, with O_PATH, one name at a time. It follows links of root's, and none
 * behind a directory that is not safe. Names that are exchanged meanwhile change nothing.
 */
static int path_walk(const char *path, int (*is_safe)(const struct stat *dir)) {
	char todo[PATH_MAX], link[PATH_MAX], name[NAME_MAX + 1];
	int fd = AT_FDCWD, safe = *path == '/', links = 0, error = 0;
	struct stat st;
	char *p = todo;
	if (format(todo, sizeof todo, "%s", path) < strlen(path)) return -ENAMETOOLONG;
	while (*p && !error) {
		size_t n = *p == '/' ? 1 : strcspn(p, "/"); /* a / is here only where one begins */
		size_t fits = format(name, sizeof name, "%.*s", (int)n, p);
		p += n + strspn(p + n, "/");
		int next = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0 || fstat(next, &st)) {
			error = errno;
		} else if (fits < n) {
			error = ENAMETOOLONG;
		} else if (!safe && (S_ISLNK(st.st_mode) || !strcmp(name, ".."))) {
			error = EDISTRUST;
		} else if (S_ISLNK(st.st_mode)) {
			ssize_t got = readlinkat(next, "", link, sizeof link);
			size_t left = strlen(p) + 1, whole = got + 1 + left;
			error = got < 0 ? errno : whole > sizeof todo ? ENAMETOOLONG : 0;
			if (st.st_uid || ++links > LINKS_MAX) error = st.st_uid ? EDISTRUST : ELOOP;
			if (!error) {
				memmove(todo + got + 1, p, left);
				memcpy(todo, link, got);
				todo[got] = '/';
				p = todo;
			}
		} else {
			safe &= !S_ISDIR(st.st_mode) || is_safe(&st);
			int above = fd;
			fd = next;
			next = above;
		}
		if (next >= 0) close(next);
	}
	if (error && fd >= 0) close(fd);
	return error ? -error : fd;
}

/* The same where a row may write: its root may be that of the machine. */
static int dir_unwritten(const struct stat *dir) {
	int safe = dir_of_root(dir), fd;
	struct stat st;
	for (int row = 0; row <= NCONTAINERS; row++) {
		const struct bind *b = (row < NCONTAINERS ? &containers[row] : &run)->binds;
		for (; b && b->from && safe; b++) {
			if (!(b->may & WRITE) || (fd = path_walk(b->from, dir_of_root)) < 0)
				continue; /* or it is below another one */
			safe = !fstat(fd, &st) && !is_same(dir, &st);
			close(fd);
		}
	}
	return safe;
}

/* Opens a path of the policy, with O_PATH; see path_walk. Most have no link at all. */
static int path_trusted(const char *path) {
	struct open_how plain = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	int fd = path_walks ? -1 : (int)syscall(SYS_openat2, AT_FDCWD, path, &plain, sizeof plain);
	return fd < 0 ? path_walk(path, dir_unwritten) : fd;
}

/* Opens once more what fd is open for, and closes that. */
static int path_reopen(int fd, int flags) {
	int again = open(words("/proc/self/fd/%d", fd), flags | O_CLOEXEC), error = errno;
	close(fd);
	return again < 0 ? -error : again;
}

/* Waits until path exists, at most ms milliseconds: a disk is found some time after the boot. */
static void path_wait(const char *path, int ms) {
	const struct timespec pause = { .tv_nsec = 2000000 };
	for (u64 end = now() + (u64)ms; access(path, F_OK) && errno == ENOENT && now() < end;)
		nanosleep(&pause, NULL);
}

/* Writes text to an existing file. A kernel file takes it in one write or refuses it. */
static int file_write(int dir, const char *path, const char *text) {
	int fd = openat(dir, path, O_WRONLY | O_CLOEXEC), failed = 0;
	if (fd < 0) return -errno;
	if (write(fd, text, strlen(text)) < 0) failed = -errno;
	close(fd);
	return failed;
}

/* Reads at most size-1 bytes and terminates them; returns their number. */
static ssize_t file_read(int dir, const char *path, char *buf, size_t size) {
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, got = 0;
	buf[0] = '\0';
	if (fd < 0) return -errno;
	while ((size_t)n < size - 1 && (got = read(fd, buf + n, size - 1 - n)) > 0) n += got;
	int error = errno;
	close(fd);
	buf[n] = '\0';
	return got < 0 ? -error : n;
}

/* Opens a directory whose names can be read. */
static int dir_open(int dir, const char *path) {
	return openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Is word one of the words, which blanks, commas or newlines divide? */
static int word_in(const char *words, const char *word) {
	size_t n = strlen(word);
	for (const char *p = words; (p = strstr(p, word)); p += n)
		if ((p == words || strchr(" ,\n", p[-1])) && strchr(" ,\n", p[n])) return 1;
	return 0;
}

/* Calls visit(dir, name) for each name in it until that returns non-zero; gives that, or -errno. */
static int dir_each(int dir, int (*visit)(int dir, const char *name)) {
	_Alignas(u64) char buf[2048];
	ssize_t n = 1;
	int stop = 0;
	lseek(dir, 0, SEEK_SET);
	while (!stop && (n = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0) {
		unsigned short step; /* getdents(2): at 16; the name is at 19 */
		for (char *p = buf; !stop && p < buf + n; p += step) {
			const char *name = p + 19;
			memcpy(&step, p + 16, sizeof step);
			if (strcmp(name, ".") && strcmp(name, "..")) stop = visit(dir, name);
		}
	}
	return n < 0 ? -errno : stop;
}

/* Removes an entry. Returns 0, -errno, or the open directory, plus one, that is not empty yet. */
static int tree_remove_entry(int dir, const char *name) {
	if (!unlinkat(dir, name, 0) || errno == ENOENT) return 0;
	int failed = -errno; /* EISDIR, or EPERM, of a directory */
	if (!unlinkat(dir, name, AT_REMOVEDIR) || errno == ENOENT) return 0;
	if (errno != ENOTEMPTY) return errno == ENOTDIR ? failed : -errno;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd + 1;
}

/*
 * Empties the open directory fd and closes it. Iterative, for a tree may be deeper than a stack.
 * Returns 0, or -errno of the first entry that can't be removed.
 */
static int tree_empty(int fd) {
	int child = fd < 0 ? -errno : 0;
	for (unsigned depth = 0; fd >= 0;) {
		child = dir_each(fd, tree_remove_entry);
		int next = child > 0 ? child - 1 : child || !depth ? -1 : dir_open(fd, "..");
		if (!child && depth && next < 0) child = -errno;
		depth = child ? depth + 1 : depth - 1;
		close(fd);
		fd = next;
	}
	return child;
}

/* ---- 5  digest ----------------------------------------------------------------------------------
 *
 * BLAKE3, as b3sum(1) has it: a tree of leaves of 1 KiB. Four of them are hashed side by side, each
 * in a lane of the vectors of the CPU; so are four pairs of digests, on the way to the root.
 */

enum { DIGEST_SIZE = 32, DIGESTED_MAX = 1 << 20 };
enum { BLAKE3_LANES = 4, BLAKE3_BLOCK = 64, BLAKE3_LEAF = 1024 };
enum { BLAKE3_START = 1, BLAKE3_END = 2, BLAKE3_PARENT = 4, BLAKE3_ROOT = 8 }; /* what a block is */

typedef __attribute__((vector_size(4 * BLAKE3_LANES))) uint32_t lanes;

static const uint32_t blake3_start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

/* The words of a block, in the order in which each round mixes them in. */
static const uint8_t blake3_order[7][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8 },
	{ 3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1 },
	{ 10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6 },
	{ 12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4 },
	{ 9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7 },
	{ 11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13 },
};

INLINED uint32_t le32(const uint8_t *p) {
	uint32_t word;
	memcpy(&word, p, sizeof word); /* there is no machine of another order */
	return word;
}

INLINED void mix(lanes *a, lanes *b, lanes *c, lanes *d, lanes x, lanes y) {
	*a += *b + x;
	*d ^= *a;
	*d = *d >> 16 | *d << 16;
	*c += *d;
	*b ^= *c;
	*b = *b >> 12 | *b << 20;
	*a += *b + y;
	*d ^= *a;
	*d = *d >> 8 | *d << 24;
	*c += *d;
	*b ^= *c;
	*b = *b >> 7 | *b << 25;
}

/* Mixes the block m into the state h. v: in its second half, what is known of the block. */
INLINED void blake3_block(lanes h[8], lanes v[16], const lanes m[16]) {
	memcpy(v, h, 8 * sizeof *h);
	for (int round = 0; round < LEN(blake3_order); round++) {
		const uint8_t *at = blake3_order[round];
		mix(v + 0, v + 4, v + 8, v + 12, m[at[0]], m[at[1]]);
		mix(v + 1, v + 5, v + 9, v + 13, m[at[2]], m[at[3]]);
		mix(v + 2, v + 6, v + 10, v + 14, m[at[4]], m[at[5]]);
		mix(v + 3, v + 7, v + 11, v + 15, m[at[6]], m[at[7]]);
		mix(v + 0, v + 5, v + 10, v + 15, m[at[8]], m[at[9]]);
		mix(v + 1, v + 6, v + 11, v + 12, m[at[10]], m[at[11]]);
		mix(v + 2, v + 7, v + 8, v + 13, m[at[12]], m[at[13]]);
		mix(v + 3, v + 4, v + 9, v + 14, m[at[14]], m[at[15]]);
	}
	for (int i = 0; i < 8; i++) h[i] = v[i] ^ v[i + 8];
}

/*
 * Hashes n inputs, BLAKE3_LANES at most, of `size` bytes each, one behind the other; behind the
 * last one are zeros, up to a whole block. leaf: the number of the first. last: its last block.
 */
INLINED void blake3_lanes(uint8_t *to, const uint8_t *from, size_t n, size_t size, size_t leaf,
			  unsigned last) {
	const lanes none = { 0 }, one = { 0, 1, 2, 3 };
	lanes h[8], v[16], m[16];
	size_t next[BLAKE3_LANES] = { 0 }; /* a lane without an input has that of the first */
	for (size_t lane = 1; lane < n; lane++) next[lane] = lane * size;
	for (int i = 0; i < 8; i++) h[i] = none + blake3_start[i];
	for (size_t at = 0; !at || at < size; at += BLAKE3_BLOCK) {
		unsigned is = (at || last & BLAKE3_PARENT ? 0 : BLAKE3_START) |
			      (at + BLAKE3_BLOCK < size ? 0 : last);
		for (int i = 0; i < 16; i++, from += 4) {
			m[i][0] = le32(from);
			m[i][1] = le32(from + next[1]);
			m[i][2] = le32(from + next[2]);
			m[i][3] = le32(from + next[3]);
		}
		for (int i = 0; i < 4; i++) v[8 + i] = none + blake3_start[i];
		v[12] = last & BLAKE3_PARENT ? none : one + (uint32_t)leaf;
		v[13] = none;
		v[14] = none + (uint32_t)min(size - at, BLAKE3_BLOCK);
		v[15] = none + is;
		blake3_block(h, v, m);
	}
	for (size_t lane = 0; lane < n; lane++)
		for (int i = 0; i < 8; i++, to += 4) memcpy(to, (char *)&h[i] + 4 * lane, 4);
}

/* The same on CPUs with vectors, and on those without. */
static VECTORS void blake3_fast(uint8_t *to, const uint8_t *from, size_t n, size_t size,
				size_t leaf, unsigned last) {
	blake3_lanes(to, from, n, size, leaf, last);
}

static void blake3_plain(uint8_t *to, const uint8_t *from, size_t n, size_t size, size_t leaf,
			 unsigned last) {
	blake3_lanes(to, from, n, size, leaf, last);
}

/* Gives the digest of `size` bytes, DIGESTED_MAX at most. */
static void digest_make(uint8_t to[DIGEST_SIZE], const void *bytes, size_t size) {
	static IN_PAGES uint8_t nodes[DIGESTED_MAX / BLAKE3_LEAF][DIGEST_SIZE];
	const uint8_t *from = bytes;
	void (*hash)(uint8_t *, const uint8_t *, size_t, size_t, size_t, unsigned);
	uint8_t tail[BLAKE3_LEAF] = { 0 };
	size_t whole = size ? (size - 1) / BLAKE3_LEAF : 0, rest = size - whole * BLAKE3_LEAF, n;
	hash = HAS_VECTORS ? blake3_fast : blake3_plain;
	for (n = 0; n < whole; n += BLAKE3_LANES)
		hash(nodes[n], from + n * BLAKE3_LEAF, min(whole - n, BLAKE3_LANES), BLAKE3_LEAF, n,
		     BLAKE3_END);
	memcpy(tail, from + whole * BLAKE3_LEAF, rest);
	hash(nodes[whole], tail, 1, rest, whole, whole ? BLAKE3_END : BLAKE3_END | BLAKE3_ROOT);
	for (n = whole + 1; n > 1; n -= n / 2) {
		for (size_t i = 0; i < n / 2; i += BLAKE3_LANES)
			hash(nodes[i], nodes[2 * i], min(n / 2 - i, BLAKE3_LANES), 2 * DIGEST_SIZE,
			     0, n > 2 ? BLAKE3_PARENT : BLAKE3_PARENT | BLAKE3_ROOT);
		if (n % 2) memcpy(nodes[n / 2], nodes[n - 1], DIGEST_SIZE);
	}
	memcpy(to, nodes[0], DIGEST_SIZE);
}

/* ---- 6  image: trust ----------------------------------------------------------------------------
 *
 * Where the bytes of an image come from, and whether they may be used. In front of an image stands
 * its header: text in a skippable LZ4 frame, signed as `signify -S -e` does it, with a digest of
 * each chunk of what follows. The signature is verified before the header is read, and a chunk
 * before anything else sees it; what is used later are the very bytes that were verified
 * (CVE-2020-25860). A refusal leaves a sentence in `why` and returns -EBADMSG.
 */

enum { HEADER_MAGIC = 0x184D2A50, HEADER_MAX = 128 << 10, SHARDS_MAX = 17, WORDS_MAX = 32 };
enum { CHUNK_MIN = 64 << 10, CHUNK_MAX = DIGESTED_MAX };
enum { DIGEST_LINE = sizeof "blake3" + 2 * DIGEST_SIZE + 1 };
enum { READ_AHEAD = 128 << 10 }; /* of an image without chunks */

/* signify: "Ed", the number of the key, then the key or the signature */
enum { KEY_NUMBER = 8, SIGNATURE_SIZE = crypto_sign_ed25519_BYTES };

struct image {
	int fd;                /* of a file or device; or -1: */
	const uint8_t *memory; /* it is a part of this program */
	int device;            /* it may be larger than what was written to it */
	u64 size, body;        /* of the file; where what follows the header begins in it */
	u64 next, stop;        /* where the next read begins, where the last one ends */
	size_t skip;           /* of the next chunk: what belongs to the shard before */
	uint8_t *in, *out;     /* compressed bytes; HISTORY and decoded ones */
	size_t in_at, in_end, out_at, out_end; /* what of them is not used yet */
	u64 offset;                            /* in the file, of in[in_at] */
	unsigned frames;                       /* seen so far */
	enum { IN_NONE, IN_STANDARD, IN_LEGACY } inside;
	size_t block_max, flags; /* of the frame */
	u64 frame_size, made;    /* bytes that the frame promises, or all; has given */
	XXH32_state_t hash;      /* of the frame's content */
	struct {                 /* a block that is decoded in pieces */
		int on;
		size_t left, room;  /* compressed bytes to come; bytes that it may still give */
		size_t copy;        /* bytes still to copy, of the latest literals or match */
		unsigned distance;  /* how far back that match is; 0: they are literals */
		unsigned nibble;    /* of the latest token: the length of its match */
		XXH32_state_t hash; /* of the compressed bytes */
	} big;
	u64 ids;                     /* the first user id of those who will own it; 0: as it says */
	int anyone;                  /* who has signed it does not matter */
	int trusted;                 /* one of our keys has signed the header */
	u64 room, inodes;            /* what it may take when it is unpacked: see image_bound */
	uint8_t digest[DIGEST_SIZE]; /* of the header, and so of all: names the image */
	uint8_t signer[KEY_NUMBER];  /* its number, or that of a stranger's; zeros: not signed */
	char *pairs, *pairs_end;     /* in text: key, value, key... each with a NUL behind it */
	const char *digests; /* the first one of DIGEST_LINE bytes each; NULL: there is no header */
	u64 ndigests, chunk; /* bytes of each chunk of what follows the header */
	u64 kept;            /* the number of the latest chunk + 1, whose bytes are there still: */
	size_t kept_at;      /* in `in` */
	unsigned nshards;
	char why[256];
	u64 shards[SHARDS_MAX + 1];  /* where each begins in that; then where the last one ends */
	char text[HEADER_MAX + 256]; /* the header */
};

/* Leaves a sentence and is -EBADMSG. */
#define refuse(m, ...) (format((m)->why, sizeof(m)->why, __VA_ARGS__), -EBADMSG)

/* What goes wrong in the bytes themselves: says where. */
static int corrupt(struct image *m, const char *what) {
	return refuse(m, "%s (at byte %llu)", what, m->offset);
}

static const char *hex(char *to, const uint8_t *from, int n) {
	for (int i = 0; i < n; i++) format(to + 2 * i, 3, "%02x", from[i]);
	return to;
}

/* Decodes base64 in its one proper form: none of its bits can change without being noticed. */
static int base64(const char *s, size_t n, uint8_t *to, size_t size) {
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	size_t whole = (size * 8 + 5) / 6;
	unsigned bits = 0, held = 0;
	if (n != (size + 2) / 3 * 4 || strspn(s + whole, "=") != n - whole) return -EINVAL;
	for (size_t i = 0; i < whole; i++) {
		const char *digit = memchr(digits, s[i], sizeof digits - 1);
		if (!digit) return -EINVAL;
		bits = bits << 6 | (unsigned)(digit - digits);
		if ((held += 6) >= 8) *to++ = (uint8_t)(bits >> (held -= 8));
	}
	return bits & ((1U << held) - 1) ? -EINVAL : 0;
}

enum { MOST_PUBLIC = MOST_KEYS + LEN(more_keys) };

/* A public key, by its index below MOST_PUBLIC; NULL: none there. */
static const char *public_key(int i) { return i < MOST_KEYS ? keys[i] : more_keys[i - MOST_KEYS]; }

static int any_key(void) {
	int n = 0;
	for (int i = 0; i < MOST_PUBLIC; i++) n += !!public_key(i);
	return n;
}

/* Reads n bytes at `next`, or what there is of them. Returns their number, or -EBADMSG. */
static ssize_t source_read(struct image *m, void *to, size_t n) {
	size_t at = m->fd < 0 ? min(m->size - m->next, n) : 0;
	if (m->fd < 0) memcpy(to, m->memory + m->next, at);
	for (ssize_t got = 1; m->fd >= 0 && at < n && got; at += got) {
		got = pread(m->fd, (char *)to + at, n - at, m->next + at);
		if (got < 0) return refuse(m, "reading: %m (at byte %llu)", m->next + at);
	}
	m->next += at;
	return at;
}

static int not_signed(struct image *m) {
	if (!any_key() || m->anyone) return 0;
	return refuse(m, "not signed, and only signed images are accepted");
}

/* Who signed the n bytes of text? Returns how many of them stand before the header proper. */
static ssize_t signature_verify(struct image *m, size_t n) {
	static IN_PAGES uint8_t opened[sizeof m->text], key[2 + KEY_NUMBER + 32];
	uint8_t signature[2 + KEY_NUMBER + SIGNATURE_SIZE];
	unsigned long long size;
	char *line = strchr(m->text, '\n'), *end = line ? strchr(++line, '\n') : NULL;
	if (!after(m->text, "untrusted comment: ")) return not_signed(m);
	/* The top bits are never set: the order of the group has been added, to no effect. */
	if (!end || base64(line, end - line, signature, sizeof signature) ||
	    memcmp(signature, "Ed", 2) || signature[sizeof signature - 1] & 0xf0)
		return refuse(m, "the signature is malformed");
	memcpy(m->signer, signature + 2, KEY_NUMBER);
	n -= ++end - m->text;
	int known_number = NO;
	for (int i = 0; i < MOST_PUBLIC && !m->trusted; i++) {
		const char *known = public_key(i);
		if (!known || base64(known, strlen(known), key, sizeof key) ||
		    memcmp(key + 2, m->signer, KEY_NUMBER))
			continue;
		/* It is to stand in front of what it signs: over its own line, which is longer. */
		uint8_t *both = (uint8_t *)end - SIGNATURE_SIZE;
		memcpy(both, signature + 2 + KEY_NUMBER, SIGNATURE_SIZE);
		m->trusted = !crypto_sign_ed25519_open(opened, &size, both, n + SIGNATURE_SIZE,
						       key + 2 + KEY_NUMBER);
		known_number = YES; /* which another key may have too */
	}
	if (known_number && !m->trusted) return refuse(m, "the signature does not match");
	if (any_key() && !m->trusted && !m->anyone)
		return refuse(m, "signed by a key that is not known here");
	line[-1] = '\0';
	return end - m->text;
}

/* The keys that matter here, how often each can be there, and whether its values are numbers. */
static const struct header_key {
	const char *name;
	unsigned most, is_number;
} header_keys[] = {
	{ "signed", 1, NO },        { "name", 1, NO },
	{ "version", 1, NO },       { "arch", 1, NO },
	{ "kernel", 1, NO },        { "created", 1, YES },
	{ "entry", WORDS_MAX, NO }, { "env", WORDS_MAX, NO },
	{ "cwd", 1, NO },           { "user", 1, NO },
	{ "payload", 1, NO },       { "unpacked", 1, YES },
	{ "entries", 1, YES },      { "size", 1, YES },
	{ "chunk", 1, YES },        { "shard", SHARDS_MAX, YES },
};

/* The value of a key: its first one, or the one behind the latest. NULL: no more of them. */
static const char *header_value(const struct image *m, const char *key, const char *latest) {
	const char *value = latest, *at = latest ? latest + strlen(latest) + 1 : m->pairs;
	for (; at < m->pairs_end; at = value + strlen(value) + 1) {
		value = at + strlen(at) + 1;
		if (!strcmp(at, key)) return value;
	}
	return NULL;
}

/* A value that is a number, which header_words has seen to; 0: it is not there. */
static u64 header_number(const char *value) {
	i64 number = 0;
	if (value) decimal(&value, value + strlen(value), &number);
	return (u64)number;
}

/* Is no key there too often, and each number one, and are the digests one block? */
static int header_words(struct image *m) {
	const char *value = NULL, *end;
	i64 number;
	for (const struct header_key *k = header_keys; k < header_keys + LEN(header_keys); k++)
		for (unsigned n = 0; (end = value = header_value(m, k->name, value)); n++) {
			if (n == k->most)
				return refuse(m, "header: %s: more than %u of them", k->name, n);
			if (k->is_number && (decimal(&end, end + strlen(end), &number) || *end))
				return refuse(m, "header: %s is not a number", k->name);
		}
	while ((value = header_value(m, "blake3", value))) {
		if (!m->digests) m->digests = value;
		if (strlen(value) != 2 * DIGEST_SIZE ||
		    value != m->digests + m->ndigests++ * DIGEST_LINE)
			return refuse(m, "header: a digest is out of line");
	}
	return 0;
}

static int header_check(struct image *m) {
	const char *payload = header_value(m, "payload", NULL), *shard = NULL;
	u64 size = header_number(header_value(m, "size", NULL)), end = m->body + size;
	m->chunk = header_number(header_value(m, "chunk", NULL));
	if (payload && strcmp(payload, "tar.lz4"))
		return refuse(m, "header: a payload of the kind '%s'", payload);
	if (m->chunk < CHUNK_MIN || m->chunk > CHUNK_MAX || m->chunk & (m->chunk - 1))
		return refuse(m, "header: chunks of an impossible size");
	u64 chunks = (size + m->chunk - 1) / m->chunk;
	if (!size || chunks != m->ndigests)
		return refuse(m, "header: %llu chunks, and %llu digests", chunks, m->ndigests);
	while ((shard = header_value(m, "shard", shard)))
		m->shards[m->nshards++] = header_number(shard);
	m->nshards += !m->nshards;
	m->shards[m->nshards] = size;
	for (unsigned i = 0; i < m->nshards; i++)
		if (m->shards[i] >= m->shards[i + 1] || m->shards[0])
			return refuse(m, "header: a shard begins at an impossible place");
	if (!m->device && m->size < end)
		return refuse(m, "cut short: %llu bytes are missing", end - m->size);
	if (!m->device && m->size > end)
		return refuse(m, "%llu bytes follow its end", m->size - end);
	return 0;
}

/* Cuts the header into pairs. Its first n bytes are at m->text; those of a signature come first. */
static int header_load(struct image *m, size_t n) {
	static const char first[] = "launcher-image 1\n";
	ssize_t at = signature_verify(m, n);
	if (at < 0) return (int)at;
	char *line = m->text + at, *last = m->text + n, *end, *value;
	if (last - line > HEADER_MAX)
		return refuse(m, "a header of more than %d bytes", HEADER_MAX);
	if (!after(line, first))
		return refuse(m, "header: its first line is not '%.*s'", 16, first);
	digest_make(m->digest, line, last - line);
	m->pairs = line += strlen(first);
	m->pairs_end = last;
	for (; line < last; line = end + 1) {
		if (!(end = memchr(line, '\n', last - line)))
			return refuse(m, "header: its last line has no end");
		for (const char *p = line; p < end; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				return refuse(m, "header: a line with a control character");
		value = memchr(line, ' ', end - line);
		if (!value || value == line) return refuse(m, "header: a line is not 'key value'");
		*value = *end = '\0';
	}
	/* The comment in front of a signature is signed here too. */
	const char *comment = at ? m->text + 19 : "", *said = header_value(m, "signed", NULL);
	if (strcmp(comment, said ? said : ""))
		return refuse(m, "header: 'signed' is not the comment of the signature");
	int failed = header_words(m);
	return failed ? failed : header_check(m);
}

enum { IN_SIZE = CHUNK_MAX + (512 << 10), OUT_SIZE = 512 << 10 };

/*
 * Opens the image in a file or device, or in the size bytes of memory if fd is -1; the descriptor
 * stays the caller's. anyone: inspect it, whoever may have signed it. Its header is read if it can
 * be trusted, and no byte behind it yet; without keys there need not be one. Returns 0 or -EBADMSG.
 */
static int image_open(struct image *m, int fd, const uint8_t *memory, u64 size, int anyone) {
	static uint8_t *in; /* mapped once: a huge page could be its cost to PID 1 */
	struct stat st = { .st_size = (off_t)size, .st_mode = S_IFREG };
	uint8_t frame[8] = { 0 };
	memset(m, 0, offsetof(struct image, shards)); /* not what is large */
	m->shards[0] = 0;
	if (fd >= 0 && fstat(fd, &st)) return refuse(m, "%m");
	m->fd = fd;
	m->memory = memory;
	m->anyone = anyone;
	m->device = S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode);
	m->size = st.st_size;
	if (!in || in == MAP_FAILED)
		in = mmap(NULL, IN_SIZE + OUT_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (in == MAP_FAILED) return refuse(m, "memory: %m");
	m->in = in;
	m->out = in + IN_SIZE;
	ssize_t got = source_read(m, frame, sizeof frame);
	u64 n = le32(frame) == HEADER_MAGIC ? le32(frame + 4) : 0;
	if (got >= 0) got = source_read(m, m->text, min(n, sizeof m->text - 1));
	if (got < 0) return (int)got;
	m->text[got] = '\0';
	if (!after(m->text, "launcher-image ") && !after(m->text, "untrusted comment: ")) {
		m->chunk = READ_AHEAD; /* another skippable frame, or none */
		m->nshards = 1;
		m->shards[1] = UINT64_MAX;
		return not_signed(m);
	}
	if (n >= sizeof m->text) return refuse(m, "a header of more than %d bytes", HEADER_MAX);
	if ((size_t)got != n) return refuse(m, "cut short in the header");
	m->body = m->next;
	return header_load(m, n);
}

/* What is read next is that shard and no more; without a header, all of the image. */
static void image_rewind(struct image *m, unsigned shard) {
	m->frames = m->inside = m->big.on = 0;
	m->in_at = m->in_end = m->out_at = m->out_end = 0;
	m->offset = m->body + m->shards[shard];
	m->stop = m->body + m->shards[shard + 1];
	m->skip = m->shards[shard] % m->chunk;
	m->next = m->offset - m->skip;
}

static int chunk_matches(const struct image *m, u64 chunk, const uint8_t *bytes, size_t n) {
	uint8_t digest[DIGEST_SIZE];
	char text[2 * DIGEST_SIZE + 1];
	digest_make(digest, bytes, n);
	return !strcmp(hex(text, digest, DIGEST_SIZE), m->digests + chunk * DIGEST_LINE);
}

/* Reads more behind in[in_end]: a whole chunk, verified. Returns 1, 0 at the end, or -EBADMSG. */
static int image_fill(struct image *m) {
	uint8_t *to = m->in + m->in_end;
	u64 at = m->next, chunk = (at - m->body) / m->chunk;
	u64 n = min(m->shards[m->nshards] + m->body - at, m->chunk);
	ssize_t got = n;
	if (at >= m->stop) return 0;
	if (m->kept == chunk + 1) { /* the shard before has ended in it */
		memmove(to, m->in + m->kept_at, n);
		m->next += n;
	} else if ((got = source_read(m, to, n)) < 0) {
		return (int)got;
	} else if (m->digests && (u64)got < n) {
		return refuse(m, "cut short (at byte %llu)", m->next);
	} else if (m->digests && !chunk_matches(m, chunk, to, n)) {
		return refuse(m, "chunk %llu, at byte %llu, does not match its digest", chunk, at);
	}
	m->kept = m->digests ? chunk + 1 : 0;
	m->kept_at = m->in_end;
	m->in_end += got - (m->next > m->stop ? m->next - m->stop : 0);
	m->in_at += m->skip;
	m->skip = 0;
	return got > 0;
}

/* ---- 7  image: frames ---------------------------------------------------------------------------
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

enum { FRAME_SUM = 4, FRAME_SIZED = 8, BLOCK_SUM = 16, BLOCKS_ALONE = 32 }; /* of its flags */

/* Makes n bytes readable at in[in_at]. Returns 1, or 0 if the image ends before, or -EBADMSG. */
static int image_need(struct image *m, size_t n) {
	for (int got; m->in_end - m->in_at < n;) {
		if (m->in_end > m->in_at) m->kept = 0;
		memmove(m->in, m->in + m->in_at, m->in_end - m->in_at);
		m->in_end -= m->in_at;
		m->in_at = 0;
		if ((got = image_fill(m)) <= 0) return got;
	}
	return 1;
}

/* The next n bytes, where the image must not end; NULL: it does, or they can't be trusted. */
static const uint8_t *image_must(struct image *m, size_t n) {
	int got = image_need(m, n);
	if (!got) corrupt(m, "cut short");
	return got > 0 ? m->in + m->in_at : NULL;
}

/* The same, and they are used: what is read next comes behind them. */
static const uint8_t *image_take(struct image *m, size_t n) {
	const uint8_t *p = image_must(m, n);
	m->in_at += p ? n : 0;
	m->offset += p ? n : 0;
	return p;
}

static int frame_skip(struct image *m) {
	const uint8_t *p = image_must(m, 8);
	u64 left = p ? 8ULL + le32(p + 4) : 0;
	for (size_t n; p && left; left -= n) p = image_take(m, n = min(left, READ_AHEAD));
	return p ? 1 : -EBADMSG;
}

/* Reads the descriptor of a standard frame: FLG, BD, content size, header checksum. */
static int frame_standard(struct image *m) {
	const uint8_t *p = image_must(m, 7);
	if (!p) return -EBADMSG;
	unsigned flags = p[4], block = p[5] >> 4, n = flags & FRAME_SIZED ? 10 : 2;
	if (flags >> 6 != 1 || flags & 2 || p[5] & 0x8f || block < 4)
		return corrupt(m, "an LZ4 frame of an unknown kind");
	if (flags & 1) return corrupt(m, "the LZ4 frame needs a dictionary");
	if (!(p = image_take(m, 4 + n + 1))) return -EBADMSG;
	p += 4;
	if (p[n] != (XXH32(p, n, 0) >> 8 & 0xff))
		return corrupt(m, "the checksum of a frame header does not match");
	m->inside = IN_STANDARD;
	m->flags = flags;
	m->block_max = (size_t)1 << (8 + 2 * block);
	m->frame_size = n > 2 ? le32(p + 2) | (u64)le32(p + 6) << 32 : UINT64_MAX;
	XXH32_reset(&m->hash, 0);
	return 1;
}

/* What is never written behind an image, in a partition or a flash that is larger than it. */
static int is_padding(const struct image *m, uint32_t word) {
	return m->device && (!word || word == UINT32_MAX);
}

/* Enters the next frame. Returns 1, 0 at the end of the file, or -EBADMSG. */
static int frame_next(struct image *m) {
	int got = image_need(m, 4);
	if (got < 0) return got;
	if (!got && m->in_at == m->in_end) return m->frames ? 0 : refuse(m, "the file is empty");
	uint32_t magic = got ? le32(m->in + m->in_at) : 1;
	if (m->frames && is_padding(m, magic)) return 0;
	m->made = 0;
	m->out_at = m->out_end = 0;
	if (magic == FRAME_MAGIC) {
		got = frame_standard(m);
	} else if (magic == LEGACY_MAGIC) {
		image_take(m, 4);
		m->inside = IN_LEGACY;
		m->flags = BLOCKS_ALONE;
		m->block_max = LEGACY_BLOCK;
		m->frame_size = UINT64_MAX;
	} else if (magic >> 4 == SKIP_MAGIC >> 4) {
		got = frame_skip(m);
	} else {
		return corrupt(m, m->frames ? "what follows is no LZ4 frame" : "not an LZ4 image");
	}
	m->frames++;
	return got;
}

/* The end mark of a standard frame has been read: does the frame keep its promises? */
static int frame_end(struct image *m) {
	m->inside = IN_NONE;
	if (m->flags & FRAME_SUM) {
		const uint8_t *p = image_take(m, 4);
		if (!p) return -EBADMSG;
		if (le32(p) != XXH32_digest(&m->hash))
			return corrupt(m, "the checksum of a frame does not match");
	}
	if (m->flags & FRAME_SIZED && m->made != m->frame_size)
		return corrupt(m, "a frame is not as long as its header says");
	return 1;
}

/* Makes room for n bytes behind those that are decoded, of which a match can need the latest. */
static void out_room(struct image *m, size_t n) {
	size_t keep = m->flags & BLOCKS_ALONE && !m->big.on ? 0 : min(m->out_end, HISTORY);
	if (keep && m->out_end + n <= OUT_SIZE) return;
	memmove(m->out, m->out + m->out_end - keep, keep);
	m->out_at = m->out_end = keep;
}

static int out_made(struct image *m, size_t n) {
	if (m->flags & FRAME_SUM) XXH32_update(&m->hash, m->out + m->out_end, n);
	m->out_at = m->out_end;
	m->out_end += n;
	m->made += n;
	return m->made > m->frame_size ? corrupt(m, "a frame is longer than its header says") : 1;
}

static const char bad_block[] = "a block does not decode";
static const char bad_block_sum[] = "the checksum of a block does not match";

/* Decodes a block of n bytes; a linked one sees the 64 KiB before it. */
static int block_whole(struct image *m, size_t n, int stored) {
	size_t sum = m->flags & BLOCK_SUM ? 4 : 0;
	const uint8_t *p = image_take(m, n + sum);
	if (!p) return -EBADMSG;
	if (sum && le32(p + n) != XXH32(p, n, 0)) return corrupt(m, bad_block_sum);
	out_room(m, m->block_max);
	char *to = (char *)m->out + m->out_end;
	int seen = (int)min(m->out_end, HISTORY), made = (int)n;
	if (stored)
		memcpy(to, p, n);
	else
		made = LZ4_decompress_safe_usingDict((const char *)p, to, made, (int)m->block_max,
						     to - seen, seen);
	return made < 0 ? corrupt(m, bad_block) : out_made(m, made);
}

/* Takes n bytes out of the block that is decoded in pieces; NULL: there are not so many. */
static const uint8_t *piece_take(struct image *m, size_t n) {
	const uint8_t *p = n <= m->big.left ? image_take(m, n) : NULL;
	if (n > m->big.left) corrupt(m, bad_block);
	if (p && m->flags & BLOCK_SUM) XXH32_update(&m->big.hash, p, n);
	m->big.left -= p ? n : 0;
	return p;
}

/*
 * What follows a copy. Behind a match, a token: how many literals there are, and how long the next
 * match is. Behind literals, how far back that is; without it, this was the end of the block.
 */
static int piece_next(struct image *m, size_t history) {
	int at_token = m->big.distance != 0;
	if (!at_token && !m->big.left) {
		m->big.on = NO;
		return 0;
	}
	const uint8_t *p = piece_take(m, at_token ? 1 : 2);
	if (!p) return -EBADMSG;
	m->big.distance = at_token ? 0 : p[0] | p[1] << 8;
	if (!at_token && (!m->big.distance || m->big.distance > history))
		return corrupt(m, bad_block);
	m->big.copy = at_token ? *p >> 4 : m->big.nibble;
	if (at_token) m->big.nibble = *p & 15;
	for (int more = m->big.copy == 15; more; more = *p == 255) {
		if (m->big.copy > m->big.room) return corrupt(m, bad_block);
		if (!(p = piece_take(m, 1))) return -EBADMSG;
		m->big.copy += *p;
	}
	m->big.copy += at_token ? 0 : 4;
	return 0;
}

/* Copies what there is room for: literals, as far as they are read; or a match, over itself too. */
static ssize_t piece_copy(struct image *m, uint8_t *to, size_t room) {
	size_t n = min(m->big.copy, room), distance = m->big.distance;
	const uint8_t *from = to - distance;
	if (!distance) {
		if (!image_must(m, 1)) return -EBADMSG;
		n = min(n, m->in_end - m->in_at);
		if (!(from = piece_take(m, n))) return -EBADMSG;
	}
	m->big.copy -= n;
	if (distance && distance < n)
		for (size_t i = 0; i < n; i++) to[i] = from[i];
	else
		memcpy(to, from, n);
	return n;
}

/*
 * Short sequences that lie whole in what is read, as most do: one after the other, up to one that
 * is none. Each copy takes what its longest takes, for there is room behind. Returns bytes made.
 */
static size_t piece_quick(struct image *m, uint8_t *to, size_t room) {
	enum { LITERALS = 14, MATCH = 4 + 14, MARGIN = 64 };
	size_t have = m->in_end - m->in_at < m->big.left ? m->in_end - m->in_at : m->big.left;
	const uint8_t *from = m->in + m->in_at, *p = from;
	uint8_t *at = to;
	while (p + MARGIN < from + have && at + MARGIN < to + room) {
		size_t literals = *p >> 4, match = *p & 15;
		const uint8_t *end = p + 1 + literals;
		size_t back = end[0] | end[1] << 8, past = at + literals - m->out;
		if (literals > LITERALS || match + 4 > MATCH || back < 8 || back > past) break;
		memcpy(at, p + 1, 16);
		at += literals;
		for (int i = 0; i < 24; i += 8) memcpy(at + i, at + i - back, 8);
		at += match + 4;
		p = end + 2;
	}
	piece_take(m, p - from);
	return at - to;
}

/* Decodes the next piece of a large block (lz4_Block_format.md): LZ4, but it can stop anywhere. */
static int block_piece(struct image *m) {
	enum { PIECE = 128 << 10 };
	size_t made = 0;
	out_room(m, PIECE);
	for (ssize_t got; m->big.on && made < PIECE; made += got) {
		uint8_t *to = m->out + m->out_end + made;
		if (m->big.copy)
			got = piece_copy(m, to, PIECE - made);
		else if (!m->big.distance || !(got = piece_quick(m, to, PIECE - made)))
			got = piece_next(m, m->out_end + made);
		if (got < 0) return (int)got;
	}
	if (made > m->big.room) return corrupt(m, bad_block);
	m->big.room -= made;
	int got = out_made(m, made);
	if (got < 0 || m->big.on || !(m->flags & BLOCK_SUM)) return got;
	const uint8_t *p = image_take(m, 4);
	if (!p) return -EBADMSG;
	return le32(p) == XXH32_digest(&m->big.hash) ? 1 : corrupt(m, bad_block_sum);
}

/* Decodes the next block, begins a large one, or leaves the frame. Returns 1, or -EBADMSG. */
static int block_next(struct image *m) {
	int got = image_need(m, 4), legacy = m->inside == IN_LEGACY;
	if (got < 0) return got;
	uint32_t word = got ? le32(m->in + m->in_at) : 0, n = legacy ? word : word & 0x7fffffff;
	size_t most = legacy ? LZ4_COMPRESSBOUND(LEGACY_BLOCK) : m->block_max;
	int ends = word == FRAME_MAGIC || word == LEGACY_MAGIC || word >> 4 == SKIP_MAGIC >> 4;
	if (legacy && (got ? ends || is_padding(m, word) : m->in_at == m->in_end)) {
		m->inside = IN_NONE; /* a legacy frame has no end mark */
		return 1;
	}
	if (!image_take(m, 4)) return -EBADMSG;
	if (!legacy && !word) return frame_end(m);
	if (!n || n > most) return corrupt(m, "a block of an impossible size");
	int stored = !legacy && word >> 31;
	if (m->block_max <= WHOLE_BLOCK) return block_whole(m, n, stored);
	out_room(m, OUT_SIZE);
	m->big.on = YES;
	m->big.left = n;
	m->big.room = m->block_max;
	m->big.copy = stored ? n : 0; /* it is nothing but literals */
	m->big.distance = !stored;    /* as behind a match, there is a token */
	XXH32_reset(&m->big.hash, 0);
	return 1;
}

/* Makes at least one decoded byte readable. Returns how many are, 0 at a proper end, -errno. */
static ssize_t image_peek(struct image *m) {
	while (m->out_at == m->out_end) {
		int got = m->inside == IN_NONE ? frame_next(m)
			  : m->big.on          ? block_piece(m)
					       : block_next(m);
		if (got <= 0) return got;
	}
	return m->out_end - m->out_at;
}

/* ---- 8  image: headers --------------------------------------------------------------------------
 *
 * The headers of an archive: ustar, GNU and PAX. An archive that can be read in two ways is
 * refused: two sizes, two names, data where none belongs, no end mark (CVE-2025-62518).
 */

enum { TAR_BLOCK = 512, PAX_MAX = 64 << 10 };

static char tar_zeros[2 * TAR_BLOCK]; /* the end of an archive; as a constant it would be stored */

enum tar_how {
	TAR_OWNERS = 1,   /* give entries their owners, which takes root */
	TAR_SHARDS = 2,   /* others make entries too: each has a name of its own, and its parent */
	TAR_SKELETON = 4, /* only make directories; others fill them */
	TAR_FINISH = 8,   /* the same directories again, filled: owner, mode and time */
	TAR_NO_END = 16,  /* a later shard has the end of the archive */
	TAR_DISCARD = 32, /* write no data, but count their pages: somebody only wants to know */
};

enum { MODES_SIZE = 16 << 20 }; /* of address space */

struct tally {             /* of all the processes that unpack the image */
	unsigned left_out; /* device nodes: a container's /dev is not the image's affair */
	unsigned pages;    /* that were not written */
	unsigned deepest, modes_end;
	char modes
	    []; /* without TAR_OWNERS MODES_SIZE bytes: struct late and the path, again and again */
};

struct late { /* a directory whose mode is set at the end, for its owner has to fill it */
	uint16_t mode, levels;
};

struct tar {
	struct image *m;
	int root; /* the directory to fill */
	unsigned how;
	int dir; /* parent of the latest entry, open: most entries share it */
	char dir_path[PATH_MAX];
	int dir_gid;               /* whom entries made in it belong to, if it says so; else 0 */
	struct timespec dir_mtime; /* put back when it is left, for making entries changes it */
	u64 end;                   /* of the data that have been written to its file */
	struct tally *tally;
	int fd;           /* of the entry, if it is a file or directory; or -1 */
	const char *leaf; /* its last name, in path */
	char path[PATH_MAX], link[PATH_MAX];
	unsigned char type;
	i64 mode, uid, gid, size;
	struct timespec mtime;
	unsigned given;  /* bits of pax_keys that are set */
	size_t pax_size; /* of the extended header, which is applied to the entry behind it */
	char pax[PAX_MAX];
};

static IN_PAGES struct tar tar;
static void (*tar_each)(const struct tar *t); /* is told of each entry before it is made */

/* The next decoded bytes, one at least and `most` at most; they are used if out_at is moved. */
static ssize_t tar_peek(struct tar *t, u64 most) {
	ssize_t n = image_peek(t->m);
	return n > 0 ? (ssize_t)min(n, most) : n ? n : corrupt(t->m, "the archive is cut short");
}

static int tar_read(struct tar *t, char *to, size_t size) {
	for (ssize_t n; size; size -= n, to += n, t->m->out_at += n) {
		if ((n = tar_peek(t, size)) < 0) return (int)n;
		memcpy(to, t->m->out + t->m->out_at, n);
	}
	return 0;
}

static int tar_padding(struct tar *t) {
	char padding[TAR_BLOCK];
	return tar_read(t, padding, -t->size & (TAR_BLOCK - 1));
}

/* A number field: octal, or base 256 with the top bit set, which may be negative. */
static int tar_number(const uint8_t *field, int n, i64 *number) {
	int i = 0, binary = field[0] >> 7, negative = field[0] >> 6 == 3;
	*number = -negative;
	for (; binary && i < n; i++) {
		if (*number >> 55 != -negative) return -ERANGE;
		*number = *number * 256 + (i || negative ? field[i] : field[i] & 0x7f);
	}
	while (i < n && field[i] == ' ') i++;
	for (; i < n && field[i] >= '0' && field[i] <= '7'; i++)
		*number = *number << 3 | (field[i] - '0');
	while (i < n && (field[i] == ' ' || !field[i])) i++;
	return i == n ? 0 : -ERANGE;
}

/* Strips what does not matter in a path: / in front and at the end, "//", "/./". Refuses "..". */
static int tar_clean(struct tar *t, char *path) {
	char *to = path;
	size_t n;
	for (const char *from = path; *from; from += n) {
		from += strspn(from, "/");
		n = strcspn(from, "/");
		if (n == 2 && !memcmp(from, "..", 2))
			return refuse(t->m, "a path with '..': %s", from);
		if (n > NAME_MAX)
			return refuse(t->m, "a name longer than %d bytes: %s", NAME_MAX, from);
		if (!n || (n == 1 && *from == '.')) continue;
		if (to != path) *to++ = '/';
		memmove(to, from, n);
		to += n;
	}
	*to = '\0';
	return 0;
}

struct pax_record {
	const char *key, *value;
	size_t size; /* of the value */
};

/* Parses one record, "LENGTH KEY=VALUE\n", and moves *at behind it. Returns 1, 0 at the end. */
static int pax_next(struct tar *t, size_t *at, struct pax_record *r) {
	const char *start = t->pax + *at, *end = t->pax + t->pax_size, *p = start, *equals = NULL;
	i64 length;
	if (p == end) return 0;
	if (!decimal(&p, end, &length) && *p++ == ' ' && length > p - start &&
	    length <= end - start && start[length - 1] == '\n')
		equals = memchr(p, '=', start + length - p);
	if (!equals || equals == p) return corrupt(t->m, "an extended header is malformed");
	*r = (struct pax_record){ p, equals + 1, start + length - 1 - (equals + 1) };
	*at += length;
	return 1;
}

static int pax_path(const char *p, const char *end, void *path) {
	size_t n = end - p;
	format(path, PATH_MAX, "%.*s", (int)n, p);
	return !n || n >= PATH_MAX || memchr(p, '\0', n);
}

static int pax_number(const char *p, const char *end, void *number) {
	return decimal(&p, end, number) || p != end;
}

/* Seconds, perhaps negative, perhaps with a fraction. */
static int pax_time(const char *p, const char *end, void *to) {
	struct timespec *time = to;
	i64 whole = 0, part = 0;
	int negative = p < end && *p == '-', failed;
	long scale = 1000000000;
	p += negative;
	failed = decimal(&p, end, &whole);
	if (!failed && p < end && *p == '.')
		for (p++; p < end && *p >= '0' && *p <= '9'; p++)
			part += (*p - '0') * (i64)(scale /= 10);
	time->tv_sec = negative ? -whole - !!part : whole;
	time->tv_nsec = negative && part ? 1000000000 - part : part;
	return failed || p != end;
}

/* The keys of an extended header that matter here, and where their values belong. */
static const struct {
	const char *name;
	int (*parse)(const char *p, const char *end, void *to); /* not 0: it is malformed */
	size_t to;
} pax_keys[] = {
	{ "path", pax_path, offsetof(struct tar, path) },
	{ "linkpath", pax_path, offsetof(struct tar, link) },
	{ "size", pax_number, offsetof(struct tar, size) },
	{ "uid", pax_number, offsetof(struct tar, uid) },
	{ "gid", pax_number, offsetof(struct tar, gid) },
	{ "mtime", pax_time, offsetof(struct tar, mtime) },
};

enum { HAS_PATH = 1 << 0, HAS_LINK = 1 << 1 }; /* of tar.given: the first two of them */

/* Lets the extended header win over the fields of the entry. */
static int pax_apply(struct tar *t) {
	int got;
	size_t at = 0;
	i64 size = t->size;
	struct pax_record r;
	while ((got = pax_next(t, &at, &r)) > 0) {
		int k = 0;
		while (k < LEN(pax_keys) && after(r.key, pax_keys[k].name) != r.value - 1) k++;
		if (after(r.key, "GNU.sparse."))
			return corrupt(t->m, "a sparse file: pack the archive without --sparse");
		if (k == LEN(pax_keys)) continue;
		if (t->type == 'g' || t->given & 1U << k)
			return refuse(t->m, "%s: for several entries, or twice", pax_keys[k].name);
		t->given |= 1U << k;
		if (pax_keys[k].parse(r.value, r.value + r.size, (char *)t + pax_keys[k].to))
			return refuse(t->m, "an extended header has no proper %s",
				      pax_keys[k].name);
	}
	return size && size != t->size ? corrupt(t->m, "an entry has two sizes") : got;
}

/* Reads the data of an entry that says something about the next one. */
static int meta_read(struct tar *t, char *to, i64 room, const char *what) {
	if (t->size >= room) return refuse(t->m, "%s is longer than %d bytes", what, (int)room - 1);
	int failed = tar_read(t, to, t->size);
	to[t->size] = '\0';
	return failed ? failed : tar_padding(t);
}

static int meta_pax(struct tar *t) {
	if (t->pax_size) return corrupt(t->m, "two extended headers for one entry");
	int failed = meta_read(t, t->pax, sizeof t->pax, "an extended header");
	if (!failed) t->pax_size = t->size;
	if (failed || t->type == 'x') return failed;
	failed = pax_apply(t); /* a global one can say nothing that matters */
	t->pax_size = 0;
	return failed;
}

/* GNU's long names: L for the path, K for the target of a link. */
static int meta_long(struct tar *t) {
	int is_path = t->type == 'L', bit = is_path ? HAS_PATH : HAS_LINK;
	if (t->given & bit || t->pax_size) return corrupt(t->m, "two names for one entry");
	t->given |= bit;
	return meta_read(t, is_path ? t->path : t->link, PATH_MAX, "a path");
}

/* Reads the header itself. Its names count unless GNU's long ones came in front of it. */
static int header_read(struct tar *t, const uint8_t *h) {
	const char *name = (const char *)h, *prefix = name + 345;
	int ustar = !memcmp(name + 257, "ustar", 6) && *prefix; /* GNU's prefix holds times */
	i64 want, mtime, sum = 0, high = 0;
	for (int i = 0; i < TAR_BLOCK; i++) { /* the sum itself counts as blanks */
		uint8_t byte = i >= 148 && i < 156 ? ' ' : h[i];
		sum += byte;
		high += byte >> 7; /* old archives summed signed bytes */
	}
	if (tar_number(h + 148, 8, &want) || (want != sum && want != sum - 256 * high))
		return corrupt(t->m, "not a tar header, or a corrupt one");
	if (tar_number(h + 100, 8, &t->mode) || tar_number(h + 108, 8, &t->uid) ||
	    tar_number(h + 116, 8, &t->gid) || tar_number(h + 124, 12, &t->size) ||
	    tar_number(h + 136, 12, &mtime) || t->mode < 0 || t->size < 0)
		return corrupt(t->m, "a field of a tar header is not a number");
	t->type = h[156] ? h[156] : '0';
	t->mode &= 07777;
	t->mtime = (struct timespec){ .tv_sec = mtime };
	if (!(t->given & HAS_PATH))
		format(t->path, sizeof t->path, "%.*s%s%.*s", ustar ? 155 : 0, prefix,
		       ustar ? "/" : "", 100, name);
	if (!(t->given & HAS_LINK)) format(t->link, sizeof t->link, "%.*s", 100, name + 157);
	return 0;
}

/* ---- 9  image: entries --------------------------------------------------------------------------
 *
 * Entries are made below one directory. No path is ever resolved: the parent is walked name by
 * name without following a link, and everything is made relative to its descriptor, so no archive
 * can reach out of the root, hard links included (CVE-2026-17106).
 */

/* By words, for libc's memcmp goes byte by byte. */
static int is_zero(const uint8_t *p, size_t n) {
	u64 word = 0;
	for (; n >= sizeof word && !word; p += sizeof word, n -= sizeof word)
		memcpy(&word, p, sizeof word);
	while (n-- && !word) word = *p++;
	return !word;
}

/* Writes, as pwrite(2), or counts the pages that it would take beside those before t->end. */
static ssize_t data_put(struct tar *t, const uint8_t *p, size_t n, u64 at) {
	if (!(t->how & TAR_DISCARD)) return pwrite(t->fd, p, n, at);
	u64 page = getpagesize(), from = at / page, counted = (t->end + page - 1) / page;
	unsigned more = (at + n + page - 1) / page - (from > counted ? from : counted);
	if (__atomic_add_fetch(&t->tally->pages, more, __ATOMIC_RELAXED) <= t->m->room / page)
		return n;
	errno = ENOSPC;
	return -1;
}

/* Writes n bytes that belong at that place. Pages of zeros stay holes, which need no memory. */
static int data_write(struct tar *t, const uint8_t *p, size_t n, u64 at) {
	enum { PAGE = 4096 };
	for (size_t from = 0, i = 0, step;; i += step) {
		step = min(PAGE - (at + i) % PAGE, n - i);
		if (step && !is_zero(p + i, step)) continue;
		while (from < i) {
			ssize_t done = data_put(t, p + from, i - from, at + from);
			if (done < 0) return -errno;
			from += done;
			t->end = at + from;
		}
		if (!step) return 0;
		from = i + step;
	}
}

static int entry_data(struct tar *t) {
	u64 size = t->size, at = 0;
	int failed;
	t->end = 0;
	for (ssize_t n; at < size; at += n, t->m->out_at += n) {
		if ((n = tar_peek(t, size - at)) < 0) return (int)n;
		if ((failed = data_write(t, t->m->out + t->m->out_at, n, at))) return failed;
	}
	if (t->end < size && ftruncate(t->fd, (off_t)size)) return -errno;
	return tar_padding(t);
}

/* Leaves the open directory, with the time that it had before entries were made in it. */
static void tar_leave(struct tar *t) {
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, t->dir_mtime };
	if (t->dir < 0) return;
	if (!(t->how & TAR_SHARDS)) /* there, it is set when all are done */
		futimens(t->dir, times);
	close(t->dir);
	t->dir = -1;
}

/* Opens the directory `path`, making what is missing. */
static int tar_enter(struct tar *t, const char *path) {
	struct stat st = { 0 };
	if (t->dir >= 0 && !strcmp(path, t->dir_path)) return 0;
	int next = path_open(t->root, path, O_RDONLY | O_DIRECTORY);
	if (next == -ENOENT && !(t->how & TAR_SHARDS))
		next = path_open(t->root, path, O_RDONLY | O_DIRECTORY | O_CREAT);
	if (next < 0) return next;
	tar_leave(t);
	t->dir = next;
	format(t->dir_path, sizeof t->dir_path, "%s", path);
	fstat(next, &st);
	t->dir_mtime = st.st_mtim;
	t->dir_gid = st.st_mode & S_ISGID ? (int)st.st_gid : 0;
	return 0;
}

static int make_file(struct tar *t) {
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	t->fd = openat(t->dir, t->leaf, flags, (mode_t)t->mode & 0777);
	return t->fd < 0 ? -errno : entry_data(t);
}

/* Keeps the mode of a directory for modes_set; again: it may have been kept before. */
static int mode_keep(struct tar *t, int again) {
	struct tally *all = t->tally;
	struct late late = { (uint16_t)t->mode, !!*t->path };
	size_t n = strlen(t->path) + 1, at = again ? 0 : all->modes_end;
	for (const char *p = t->path; *p; p++) late.levels += *p == '/';
	while (at < all->modes_end && strcmp(all->modes + at + sizeof late, t->path))
		at += sizeof late + strlen(all->modes + at + sizeof late) + 1;
	if (at + sizeof late + n > MODES_SIZE) return -ENOMEM;
	memcpy(all->modes + at, &late, sizeof late);
	memcpy(all->modes + at + sizeof late, t->path, n);
	if (at == all->modes_end) all->modes_end += sizeof late + n;
	if (all->deepest < late.levels) all->deepest = late.levels;
	return 0;
}

/* Sets them, the deepest first: the way to it may lead through what its owner can't enter then. */
static void modes_set(int root, const struct tally *all) {
	struct late late;
	for (int levels = (int)all->deepest; levels >= 0; levels--)
		for (const char *p = all->modes; p < all->modes + all->modes_end;
		     p += strlen(p) + 1) {
			memcpy(&late, p, sizeof late);
			p += sizeof late;
			int fd = late.levels == levels ? path_open(root, p, O_RDONLY | O_DIRECTORY)
						       : -1;
			if (fd < 0) continue; /* something else has taken its place */
			fchmod(fd, late.mode);
			close(fd);
		}
}

static int make_dir(struct tar *t) {
	int made = !*t->leaf || !mkdirat(t->dir, t->leaf, 0700);
	if (!made && (errno != EEXIST || t->how & TAR_SKELETON)) return -errno;
	if (t->how & TAR_SKELETON) return 0;
	t->fd = path_open(t->dir, t->leaf, O_RDONLY | O_DIRECTORY);
	if (t->fd >= 0 && !(t->how & (TAR_OWNERS | TAR_DISCARD)))
		return mode_keep(t, !(t->how & TAR_SHARDS) && (!made || !*t->leaf));
	return t->fd >= 0 ? 0 : t->fd == -ENOTDIR || t->fd == -ELOOP ? -EEXIST : t->fd;
}

static int make_symlink(struct tar *t) { return symlinkat(t->link, t->dir, t->leaf) ? -errno : 0; }

static int make_fifo(struct tar *t) {
	return mknodat(t->dir, t->leaf, S_IFIFO | t->mode, 0) ? -errno : 0;
}

/* The target is walked like any path. Linked already, to itself too, is as good as linked. */
static int make_link(struct tar *t) {
	struct stat a, b;
	int failed = tar_clean(t, t->link);
	const char *slash = strrchr(t->link, '/'), *leaf = slash ? slash + 1 : t->link;
	int from = failed ? failed : path_open(t->root, parent_of(t->link), O_PATH | O_DIRECTORY);
	if (from < 0) return from;
	if (linkat(from, leaf, t->dir, t->leaf, 0)) failed = -errno;
	if (failed == -EEXIST && !fstatat(from, leaf, &a, AT_SYMLINK_NOFOLLOW) &&
	    !fstatat(t->dir, t->leaf, &b, AT_SYMLINK_NOFOLLOW) && a.st_ino == b.st_ino)
		failed = 0;
	close(from);
	return failed;
}

static int make_node(struct tar *t) {
	__atomic_fetch_add(&t->tally->left_out, 1, __ATOMIC_RELAXED);
	return 0;
}

enum { HAS_DATA = 1, IS_META = 2, IS_BARE = 4 }; /* IS_META: of the next; IS_BARE: no owner */

static const struct kind {
	const char *types;
	unsigned traits;
	int (*make)(struct tar *t);
} kinds[] = {
	{ "07", HAS_DATA, make_file },
	{ "1", IS_BARE, make_link },
	{ "2", 0, make_symlink },
	{ "34", IS_BARE, make_node },
	{ "5", 0, make_dir },
	{ "6", 0, make_fifo },
	{ "xg", HAS_DATA | IS_META, meta_pax },
	{ "LK", HAS_DATA | IS_META, meta_long },
};

static const struct kind *kind_of(unsigned char type) {
	const struct kind *k = kinds, *end = kinds + LEN(kinds);
	while (k < end && !strchr(k->types, type)) k++;
	return k < end ? k : NULL;
}

/* Extended attributes of the entry, after its owner and mode, which would clear capabilities. */
static int entry_attributes(struct tar *t) {
	char name[256];
	struct pax_record r;
	size_t at = 0;
	while (pax_next(t, &at, &r) > 0) {
		const char *from = after(r.key, "SCHILY.xattr.");
		size_t n = from ? r.value - 1 - from : 0;
		if (!n) continue;
		if (n >= sizeof name || memchr(from, '\0', n)) return -ERANGE;
		format(name, sizeof name, "%.*s", (int)n, from);
		if (fsetxattr(t->fd, name, r.value, r.size, 0)) return -errno;
	}
	return 0;
}

/* Gives the entry its owner, mode, attributes and time, in the order in which they survive. */
static int entry_finish(struct tar *t) {
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, t->mtime };
	int is_dir = t->type == '5', owners = t->how & TAR_OWNERS, no_link = AT_SYMLINK_NOFOLLOW;
	/* What root makes is root's, and has its mode but for special bits: two calls less. */
	int chowns = owners && (is_dir || t->uid || t->gid || t->dir_gid);
	if (t->fd < 0) {
		if (chowns && fchownat(t->dir, t->leaf, t->uid, t->gid, no_link)) return -errno;
		return utimensat(t->dir, t->leaf, times, no_link) ? -errno : 0;
	}
	int chmods = chowns || (t->mode & 07000 && (owners || !is_dir));
	if ((chowns && fchown(t->fd, t->uid, t->gid)) || (chmods && fchmod(t->fd, t->mode)))
		return -errno;
	int failed = entry_attributes(t);
	if (!strcmp(t->path, t->dir_path)) t->dir_mtime = t->mtime;
	return failed ? failed : futimens(t->fd, times) ? -errno : 0;
}

/* Makes the entry; what stands in its place goes first, unless it is a directory with entries. */
static int entry_make(struct tar *t, const struct kind *kind) {
	const char *slash = strrchr(t->path, '/');
	t->leaf = slash ? slash + 1 : t->path;
	t->fd = -1;
	int failed = tar_enter(t, parent_of(t->path));
	if (!failed) failed = kind->make(t);
	if (failed == -EEXIST && t->how & TAR_SHARDS)
		return refuse(t->m, "two entries with the name %.*s", 160, t->path);
	if (failed == -EEXIST)
		failed = unlinkat(t->dir, t->leaf, 0) && unlinkat(t->dir, t->leaf, AT_REMOVEDIR)
			     ? -errno
			     : kind->make(t);
	if (!failed && !(kind->traits & IS_BARE) && !(t->how & TAR_SKELETON))
		failed = entry_finish(t);
	if (t->fd >= 0) close(t->fd);
	if (failed && failed != -EBADMSG)
		return refuse(t->m, "%.*s: %s", 160, t->path, strerror(-failed));
	return failed;
}

static int tar_entry(struct tar *t, const uint8_t *h) {
	int failed = header_read(t, h);
	if (failed) return failed;
	const struct kind *kind = kind_of(t->type);
	if (!kind)
		return refuse(t->m, "an entry of the type 0x%x, which is not known here", t->type);
	if (kind->traits & IS_META) return kind->make(t);
	if ((failed = pax_apply(t))) return failed;
	if (t->uid < 0 || t->uid >= UINT32_MAX || t->gid < 0 || t->gid >= UINT32_MAX)
		return corrupt(t->m, "the owner of an entry is out of range");
	if (kind->make == make_file && *t->path && t->path[strlen(t->path) - 1] == '/')
		kind = kind_of(t->type = '5'); /* so V7 wrote a directory */
	if (t->size && !(kind->traits & HAS_DATA))
		return refuse(t->m, "data where none belongs: %s", t->path);
	if ((failed = tar_clean(t, t->path))) return failed;
	if (!*t->path && t->type != '5') return refuse(t->m, "an entry would replace the root");
	if (t->how & TAR_SHARDS && (t->type == '5') != !!(t->how & (TAR_SKELETON | TAR_FINISH)))
		return refuse(t->m, "in the wrong shard: %.*s", 160, t->path);
	if (tar_each) tar_each(t);
	failed = entry_make(t, kind);
	t->given = 0;
	t->pax_size = 0;
	return failed;
}

/* Zeros end an archive: nothing else may follow, and every checksum is still due. */
static int tar_end(struct tar *t) {
	ssize_t n;
	if (t->given || t->pax_size) return corrupt(t->m, "an extended header without an entry");
	while ((n = image_peek(t->m)) > 0)
		for (; n; n--)
			if (t->m->out[t->m->out_at++])
				return corrupt(t->m, "data follow the end of the archive");
	return n;
}

/*
 * Unpacks below the directory root what image_rewind has chosen. how: TAR_* bits. It adds to
 * the tally. Returns 0, or -EBADMSG and the reason in m->why.
 */
static int image_unpack(struct image *m, int root, unsigned how, struct tally *tally) {
	uint8_t h[TAR_BLOCK];
	struct tar *t = &tar;
	int failed = 0;
	*t = (struct tar){ .m = m, .root = root, .how = how, .tally = tally, .dir = -1 };
	for (int more = 1; more && !failed;) {
		/* A shard may end in front of a header. */
		ssize_t n = t->given || t->pax_size || !(how & TAR_NO_END) ? 1 : image_peek(m);
		failed = n < 0 ? (int)n : n ? tar_read(t, (char *)h, sizeof h) : 0;
		if (failed || !n) break;
		more = memcmp(h, tar_zeros, sizeof h);
		failed = more ? tar_entry(t, h) : tar_end(t);
		if (!more && how & TAR_NO_END)
			failed = corrupt(m, "the end of the archive, before the last shard");
	}
	tar_leave(t);
	return failed;
}

/* ---- 10  network --------------------------------------------------------------------------------
 *
 * Links, addresses and routes, by rtnetlink(7) alone. A message is built, which is pure, then asked
 * of the kernel, and answered by an error number. A socket stays in the network namespace that it
 * was opened in. All links that are made here are of one group, by which they are found again.
 */

enum { OUR_GROUP = 0x6c61756e }; /* `ip link show group 1818326382` */

union message {
	struct nlmsghdr head;
	uint8_t bytes[512];
};

static void message_put(union message *m, int type, const void *value, size_t n) {
	struct rtattr a = { (unsigned short)RTA_LENGTH(n), (unsigned short)type };
	uint8_t *at = m->bytes + m->head.nlmsg_len;
	memcpy(at, &a, sizeof a);
	if (n) memcpy(at + RTA_LENGTH(0), value, n);
	m->head.nlmsg_len += RTA_SPACE(n);
}

static void put_text(union message *m, int type, const char *s) {
	if (s) message_put(m, type, s, strlen(s) + 1);
}

static void put_number(union message *m, int type, unsigned n) {
	if (n) message_put(m, type, &n, sizeof n);
}

/* A message, or with its type an attribute, whose first bytes tell what it is about. */
static void message_begin(union message *m, int type, int flags, const void *about, size_t n) {
	*m = (union message){ .head.nlmsg_type = (unsigned short)type };
	m->head.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
	memcpy(m->bytes + NLMSG_HDRLEN, about, n);
	m->head.nlmsg_len = NLMSG_SPACE(n);
}

/* An attribute that holds others: those that are put from here on, until nest_end. */
static size_t nest_begin(union message *m, int type) {
	size_t at = m->head.nlmsg_len;
	message_put(m, type, NULL, 0);
	return at;
}

static void nest_end(union message *m, size_t at) {
	unsigned short n = (unsigned short)(m->head.nlmsg_len - at);
	memcpy(m->bytes + at, &n, sizeof n);
}

/* What a kind of network is made of, and what that takes. */
static const struct link_kind {
	int kind;
	const char *name, *option;
} link_kinds[] = {
	{ NET_BRIDGE, "veth", "CONFIG_VETH" },        { NET_BRIDGE, "bridge", "CONFIG_BRIDGE" },
	{ NET_MACVLAN, "macvlan", "CONFIG_MACVLAN" }, { NET_IPVLAN, "ipvlan", "CONFIG_IPVLAN" },
	{ NET_VLAN, "vlan", "CONFIG_VLAN_8021Q" },
};

/* What is asked about one link. 0 and NULL: nothing is said of that. */
struct link_op {
	const char *name;
	const char *kind; /* it is made, as one of that kind */
	int index;        /* else it is there, and found by this or its name */
	int on, master;   /* indexes: of the link below it, of its bridge */
	int space;        /* a descriptor: the network namespace that it goes to */
	const char *peer; /* of a veth: its other end is what goes there, and has the MAC and MTU */
	int up;
	int isolated; /* it gets nothing from other ports of its bridge that are. Linux 4.18 */
	int removed;  /* it is; without a name, all that are of our group */
};

/* What an end of a link is called, where it goes, and what its row says. */
static void put_end(union message *m, const char *name, int space, const struct net *n) {
	uint8_t mac[6];
	put_text(m, IFLA_IFNAME, name);
	put_number(m, IFLA_NET_NS_FD, (unsigned)space);
	put_number(m, IFLA_MTU, n->mtu);
	for (int i = 0; n->mac && i < 6; i++)
		mac[i] = (uint8_t)(hex_of(n->mac[3 * i]) << 4 | hex_of(n->mac[3 * i + 1]));
	if (n->mac) message_put(m, IFLA_ADDRESS, mac, sizeof mac);
}

/* What is said of a link of that kind alone. linux/if_link.h; PRIVATE of ipvlan: Linux 4.15 */
static void put_kind(union message *m, const struct link_op *l, const struct net *n) {
	struct ifinfomsg other = { 0 };
	struct can_bittiming timing = { .bitrate = n->bitrate };
	uint16_t id = (uint16_t)n->vlan, l2 = IPVLAN_MODE_L2, private = IPVLAN_F_PRIVATE;
	if (l->peer) {
		size_t peer = nest_begin(m, VETH_INFO_PEER);
		memcpy(m->bytes + m->head.nlmsg_len, &other, sizeof other);
		m->head.nlmsg_len += sizeof other;
		put_end(m, l->peer, l->space, n);
		nest_end(m, peer);
	}
	if (l->isolated) message_put(m, IFLA_BRPORT_ISOLATED, "\1", 1);
	if (n->bitrate && !l->kind) message_put(m, IFLA_CAN_BITTIMING, &timing, sizeof timing);
	if (n->kind == NET_VLAN) message_put(m, IFLA_VLAN_ID, &id, sizeof id);
	if (n->kind == NET_MACVLAN)
		put_number(m, IFLA_MACVLAN_MODE,
			   n->open ? MACVLAN_MODE_BRIDGE : MACVLAN_MODE_PRIVATE);
	if (n->kind == NET_IPVLAN) message_put(m, IFLA_IPVLAN_MODE, &l2, sizeof l2);
	if (n->kind == NET_IPVLAN && !n->open)
		message_put(m, IFLA_IPVLAN_FLAGS, &private, sizeof private);
}

static void message_link(union message *m, const struct link_op *l, const struct net *n) {
	struct ifinfomsg about = { .ifi_index = l->index };
	int is_ours = l->kind || (l->removed && !l->name);
	const char *kind = l->kind ? l->kind : l->isolated ? "bridge" : NULL;
	if (!kind && n->bitrate && l->up) kind = "can";
	about.ifi_flags = about.ifi_change = l->up ? IFF_UP : 0;
	message_begin(m, l->removed ? RTM_DELLINK : RTM_NEWLINK,
		      l->kind ? NLM_F_CREATE | NLM_F_EXCL : 0, &about, sizeof about);
	if (l->peer)
		put_text(m, IFLA_IFNAME, l->name);
	else
		put_end(m, l->name, l->space, n);
	put_number(m, IFLA_LINK, (unsigned)l->on);
	put_number(m, IFLA_MASTER, (unsigned)l->master);
	put_number(m, IFLA_GROUP, is_ours ? OUR_GROUP : 0);
	if (!kind) return;
	size_t info = nest_begin(m, IFLA_LINKINFO);
	put_text(m, l->isolated ? IFLA_INFO_SLAVE_KIND : IFLA_INFO_KIND, kind);
	size_t data = nest_begin(m, l->isolated ? IFLA_INFO_SLAVE_DATA : IFLA_INFO_DATA);
	put_kind(m, l, n);
	nest_end(m, data);
	nest_end(m, info);
}

/* "10.7.0.2", "fd07::2"; of no address "". */
static const char *ip_text(char to[40], struct ip ip) {
	const uint8_t *b = ip.bytes;
	size_t at = 0, from = 16, zeros = 2, end;
	for (size_t i = 0; i < 16; i += 2) { /* the longest run of zeros becomes :: */
		for (end = i; end < 16 && !b[end] && !b[end + 1];) end += 2;
		if (end - i <= zeros) continue;
		zeros = end - i;
		from = i;
	}
	for (size_t i = 0; i < 16; i += i == from ? zeros : 2)
		at += i == from ? format(to + at, 40 - at, "::")
				: format(to + at, 40 - at, "%s%x",
					 i && i != from + zeros ? ":" : "", b[i] << 8 | b[i + 1]);
	if (ip.bits == 32) format(to, 40, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
	if (!ip.bits) *to = '\0';
	return to;
}

static uint8_t ip_family(struct ip ip) { return ip.bits == 32 ? AF_INET : AF_INET6; }

/* NODAD: it is of use at once, for nobody else can have what the policy gives. */
static void message_address(union message *m, int index, struct ip ip) {
	struct ifaddrmsg about = { ip_family(ip), (uint8_t)ip.prefix,
				   ip.bits == 32 ? 0 : IFA_F_NODAD, RT_SCOPE_UNIVERSE,
				   (unsigned)index };
	message_begin(m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &about, sizeof about);
	message_put(m, IFA_LOCAL, ip.bytes, ip.bits / 8);
	message_put(m, IFA_ADDRESS, ip.bytes, ip.bits / 8);
}

/* via without bits: the net is on the link itself. */
static void message_route(union message *m, int index, struct ip to, struct ip via) {
	struct rtmsg about = { .rtm_family = ip_family(to), .rtm_dst_len = (uint8_t)to.prefix };
	about.rtm_table = RT_TABLE_MAIN;
	about.rtm_protocol = RTPROT_BOOT;
	about.rtm_scope = via.bits || to.bits == 128 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	about.rtm_type = RTN_UNICAST;
	message_begin(m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &about, sizeof about);
	if (to.prefix) message_put(m, RTA_DST, to.bytes, to.bits / 8);
	if (via.bits) message_put(m, RTA_GATEWAY, via.bytes, via.bits / 8);
	put_number(m, RTA_OIF, (unsigned)index);
}

/* A socket to ask the kernel by, in the network namespace of the caller. It is the caller's. */
static int net_open(void) {
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	return fd < 0 ? -errno : fd;
}

/* Has the kernel do it. Returns its answer, 0 or -errno. */
static int net_ask(int fd, const union message *m) {
	struct {
		struct nlmsghdr head;
		struct nlmsgerr body;
		uint8_t asked[sizeof m->bytes];
	} answer;
	if (send(fd, m, m->head.nlmsg_len, 0) < 0) return -errno;
	ssize_t n = recv(fd, &answer, sizeof answer, 0);
	if (n < 0) return -errno;
	return answer.head.nlmsg_type == NLMSG_ERROR ? answer.body.error : -EPROTO;
}

static int link_ask(int fd, const struct link_op *l, const struct net *n) {
	static const struct net nothing;
	union message m;
	message_link(&m, l, n ? n : &nothing);
	return net_ask(fd, &m);
}

/* The link with that name is removed; without a name, all that are of our group. */
static int link_remove(int fd, const char *name) {
	return link_ask(fd, &(struct link_op){ .name = name, .removed = YES }, NULL);
}

/* Does the kernel know that kind? In a namespace that goes away with the caller, it is tried. */
static int link_known(int fd, const struct link_kind *k) {
	int failed = link_ask(fd, &(struct link_op){ .name = "probe", .kind = k->name }, NULL);
	link_remove(fd, "probe"); /* the next one would find that the name is taken */
	return failed != -EOPNOTSUPP;
}

/* Calls visit for each that RTM_GETLINK or RTM_GETADDR lists. Returns 0 or -errno. */
static int net_each(int fd, int type, void (*visit)(const struct nlmsghdr *)) {
	struct rtgenmsg about = { .rtgen_family = AF_UNSPEC };
	static IN_PAGES uint8_t bytes[16384]; /* what is said of one link may be long */
	union message m;
	message_begin(&m, type, NLM_F_DUMP, &about, sizeof about);
	m.head.nlmsg_flags &= (unsigned short)~NLM_F_ACK;
	if (send(fd, &m, m.head.nlmsg_len, 0) < 0) return -errno;
	for (;;) {
		int n = (int)recv(fd, bytes, sizeof bytes, 0);
		if (n < 0) return -errno;
		struct nlmsghdr *h = (struct nlmsghdr *)bytes;
		for (; n > 0 && NLMSG_OK(h, (unsigned)n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) return 0;
			visit(h);
		}
	}
}

/* The value of the attribute of that type among n bytes of them, and its length; NULL: none. */
static const void *attribute(const void *from, size_t *n, int type) {
	const uint8_t *p = from, *end = p + *n;
	struct rtattr a;
	for (; end - p >= (ptrdiff_t)sizeof a; p += RTA_ALIGN(a.rta_len)) {
		memcpy(&a, p, sizeof a);
		if (a.rta_len < sizeof a || a.rta_len > end - p) break;
		*n = a.rta_len - sizeof a;
		if ((a.rta_type & NLA_TYPE_MASK) == type) return p + sizeof a;
	}
	*n = 0;
	return NULL;
}

/* Moves the radio of a wlan, which that goes with. nl80211 has a number that is asked for first. */
static int radio_move(int index, int space) {
	struct genlmsghdr about = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 };
	const size_t before = NLMSG_SPACE(sizeof about);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	union message m, answer;
	uint16_t family = 0;
	message_begin(&m, GENL_ID_CTRL, 0, &about, sizeof about);
	m.head.nlmsg_flags = NLM_F_REQUEST;
	put_text(&m, CTRL_ATTR_FAMILY_NAME, "nl80211");
	send(fd, &m, m.head.nlmsg_len, 0);
	ssize_t got = recv(fd, &answer, sizeof answer, 0);
	size_t n = got > (ssize_t)before ? (size_t)got - before : 0;
	const void *id = n ? attribute(answer.bytes + before, &n, CTRL_ATTR_FAMILY_ID) : NULL;
	if (id) memcpy(&family, id, sizeof family);
	about.cmd = NL80211_CMD_SET_WIPHY_NETNS;
	message_begin(&m, family, 0, &about, sizeof about);
	put_number(&m, NL80211_ATTR_IFINDEX, (unsigned)index);
	put_number(&m, NL80211_ATTR_NETNS_FD, (unsigned)space);
	int failed = id ? net_ask(fd, &m) : -EINVAL;
	close(fd);
	return failed;
}

/* Moves a link of this namespace to another one, where it has that name. */
static int device_move(int index, const char *name, int space) {
	struct link_op op = { .name = name, .index = index, .space = space };
	int fd = net_open(), failed = link_ask(fd, &op, NULL);
	close(fd);
	return failed == -EINVAL ? radio_move(index, space) : failed;
}

/*
 * Gives the link its addresses and routes, and brings it up. What the policy did not ask for, as
 * IPv6 where a kernel has none, is left out. Returns 0 or -errno.
 */
static int net_configure(int fd, const struct link_op *l, const struct net *n, struct ip ip,
			 struct ip ip6) {
	const struct ip ips[] = { ip, ip6 }, all[] = { { .bits = 32 }, { .bits = 128 } };
	union message m;
	int failed = link_ask(fd, l, n);
	for (int v6 = 0; v6 < 2 && !failed; v6++) {
		if (!ips[v6].bits) continue;
		message_address(&m, l->index, ips[v6]);
		failed = net_ask(fd, &m);
		if (!address_of(n, v6) && (failed == -EOPNOTSUPP || failed == -EACCES)) failed = 0;
	}
	for (int v6 = 0; v6 < 2 && !failed; v6++) {
		if (!gateway_of(n, v6)) continue;
		message_route(&m, l->index, all[v6], ip_read(gateway_of(n, v6)));
		failed = net_ask(fd, &m);
	}
	for (const struct route *r = n->routes; r && r->to && !failed; r++) {
		message_route(&m, l->index, ip_read(r->to), ip_read(r->via));
		failed = net_ask(fd, &m);
	}
	return failed;
}

/* A bridge of that name, with its address, made if there is none. Returns its index, or -errno. */
static int bridge_make(int fd, const char *name) {
	static const struct net plain;
	const struct net *n = network.links;
	uint8_t random[5];
	char mac[18];
	int index = (int)if_nametoindex(name);
	if (index) return index;
	while (n && n->kind && (n->kind != NET_BRIDGE || strcmp(n->link, name))) n++;
	struct net bridge = n && n->kind ? *n : plain;
	/* One that it is not told would be that of a port, and change as they come and go. */
	getrandom(random, sizeof random, 0);
	format(mac, sizeof mac, "02:%02x:%02x:%02x:%02x:%02x", random[0], random[1], random[2],
	       random[3], random[4]);
	if (!bridge.mac) bridge.mac = mac;
	int failed = link_ask(fd, &(struct link_op){ .name = name, .kind = "bridge" }, &bridge);
	if (failed && failed != -EEXIST) return failed; /* two may make it at once */
	if (!(index = (int)if_nametoindex(name))) return -ENODEV;
	bridge.mac = NULL;
	failed = net_configure(fd, &(struct link_op){ .index = index, .up = YES }, &bridge,
			       bridge_ip(name, NO), bridge_ip(name, YES));
	return failed ? failed : index;
}

/* The index of a link of the device, which may come some time after the boot. */
static int link_wait(const char *name, int ms) {
	const struct timespec pause = { .tv_nsec = 5000000 };
	int index;
	for (u64 end = now() + (u64)ms; !(index = (int)if_nametoindex(name)) && now() < end;)
		nanosleep(&pause, NULL);
	return index ? index : -ENODEV;
}

/* ---- 11  cgroup ---------------------------------------------------------------------------------
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

#define unable(error, ...) (format(cgroup.why, sizeof cgroup.why, __VA_ARGS__), error)

/* Writes to a file of the cgroup of that name, in the hierarchy of v2 or of that controller. */
static int cgroup_write(int hierarchy, const char *name, const char *file, const char *text) {
	return file_write(cgroup.base[hierarchy], words("%s/%s", name, file), text);
}

enum knob_kind {
	A_NUMBER,
	A_SHARE,  /* it is a share of what the cgroup above has */
	A_SWAP,   /* 0 is a limit too; v1 limits the sum of memory and swap */
	A_SHARES, /* v1: 1024 is what 100 is on v2 */
	A_BFQ,    /* for that scheduler, whose weights end at 1000 */
	A_WORDS,  /* a string */
	A_DISK,   /* of struct io, and written for each disk */
};

#define KNOB(name, need, kind) #name, offsetof(struct container, name), NEED_##need, A_##kind
#define DISK_KNOB(name) "io.max." #name, offsetof(struct io, name), NEED_IO, A_DISK

static const struct knob {
	char name[17];  /* of the field; where two are alike, the kernel needs one of them */
	uint16_t field; /* where it is; 0: there is none, and v1 can do without */
	enum need need;
	enum knob_kind kind;
	char v1[34];     /* its file; "": v1 can't do it */
	char v2[17];     /* its file, if not called as the field; * is the size of pages */
	char also[8];    /* v2: behind the value; of a disk, before it */
	char option[25]; /* if it takes another than the controller */
	unsigned usual;  /* the value if the row has none */
} knobs[] = {
	{ KNOB(memory.max, MEMORY, NUMBER), "memory.limit_in_bytes", .usual = DEFAULT_MEMORY },
	{ KNOB(memory.swap, MEMORY, SWAP), "memory.memsw.limit_in_bytes", "memory.swap.max" },
	{ KNOB(memory.high, MEMORY, NUMBER), .option = "cgroup v2" },
	{ KNOB(memory.low, MEMORY, SHARE), .option = "cgroup v2" },
	{ KNOB(memory.min, MEMORY, SHARE), .option = "cgroup v2" },
	{ "memory.oom.group", 0, NEED_MEMORY, A_NUMBER, .usual = 1 },
	{ KNOB(pids, PIDS, NUMBER), "pids.max", "pids.max", .usual = DEFAULT_PIDS },
	{ KNOB(cpu.max, CPU, NUMBER), "cpu.cfs_quota_us", .also = " 100000", .usual = DEFAULT_CPU },
	{ KNOB(cpu.burst, CPU, NUMBER), "cpu.cfs_burst_us", "cpu.max.burst", "", "Linux 5.14" },
	{ KNOB(cpu.weight, CPU, SHARES), "cpu.shares" },
	{ KNOB(cpu.idle, CPU, NUMBER), "cpu.idle", .option = "Linux 5.15" },
	{ KNOB(cpu.cpus, CPUSET, WORDS), "cpuset.cpus", "cpuset.cpus" },
	{ KNOB(cpu.mems, CPUSET, WORDS), "cpuset.mems", "cpuset.mems" },
	{ DISK_KNOB(rbps), "blkio.throttle.read_bps_device", "io.max", "rbps=" },
	{ DISK_KNOB(wbps), "blkio.throttle.write_bps_device", "io.max", "wbps=" },
	{ DISK_KNOB(riops), "blkio.throttle.read_iops_device", "io.max", "riops=" },
	{ DISK_KNOB(wiops), "blkio.throttle.write_iops_device", "io.max", "wiops=" },
	{ KNOB(io.weight, IO, NUMBER), .option = "CONFIG_BLK_CGROUP_IOCOST" },
	{ KNOB(io.weight, IO, BFQ), "blkio.bfq.weight", "io.bfq.weight", "",
	  "CONFIG_BFQ_GROUP_IOSCHED" },
	{ KNOB(hugetlb.max, HUGETLB, NUMBER), "hugetlb.*.limit_in_bytes", "hugetlb.*.max" },
};

static u64 knob_number(const struct knob *k, const void *row) {
	u64 n = 0;
	if (k->field && k->kind != A_WORDS) memcpy(&n, (const char *)row + k->field, sizeof n);
	return n ? n : k->usual;
}

/* What a row, of a disk for A_DISK, asks of the knob, in the words of that version; or NULL. */
static const char *knob_asked(const struct knob *k, const void *row, int version, char text[32]) {
	u64 n = knob_number(k, row);
	const char *also = version == 2 ? k->also : "";
	if (k->kind == A_WORDS) return *(const char *const *)((const char *)row + k->field);
	if ((!n && k->kind != A_SWAP) || (!k->field && version == 1)) return NULL;
	if (k->kind == A_SWAP && version == 1) n += memory_max(row);
	if (k->kind == A_SHARES && version == 1) n = n * 1024 / 100;
	if (k->kind == A_BFQ && n > 1000) n = 1000;
	format(text, 32, "%s%llu%s", k->kind == A_DISK ? also : "", n,
	       k->kind == A_DISK ? "" : also);
	return text;
}

/* Names the knob's file in that cgroup. Returns the directory that it starts from; -1: no file. */
static int knob_given(const struct knob *k, const char *name, const struct container *c,
		      char path[96]) {
	int version = cgroup.version[k->need], dir = cgroup.base[version == 2 ? CG_V2 : k->need];
	const char *file = version == 1 ? k->v1 : *k->v2 ? k->v2 : k->name;
	size_t n = strcspn(file, "*");
	format(path, 96, "%s/%.*s%s%s", name, (int)n, file, file[n] ? c->hugetlb.pages : "",
	       file + n + !!file[n]);
	return *file && !syscall(SYS_faccessat, dir, path, F_OK) ? dir : -1;
}

static enum need knob_need(const struct knob *k) { return k->kind == A_SWAP ? NEED_SWAP : k->need; }

/* What is asked can't be had. That is no error if there is no swap, or a twin of the knob. */
static int knob_missing(const struct knob *k, const char *name, const struct container *c) {
	struct sysinfo memory = { 0 };
	char path[96];
	sysinfo(&memory);
	if (k->kind == A_SWAP && !memory.totalswap) return 0;
	for (const struct knob *twin = knobs; twin < knobs + LEN(knobs); twin++)
		if (!strcmp(twin->name, k->name) && knob_given(twin, name, c, path) >= 0) return 0;
	return unable(-ENOTSUP, "%s: no %s controller%s (%s, or a mount)", k->name,
		      controllers[k->need].v2, cgroup.version[k->need] ? " that has it" : "",
		      *k->option ? k->option : controllers[knob_need(k)].option);
}

static int cgroup_failed(const char *what, const char *value, int failed) {
	return unable(failed, "%s = %s: %s", what, value, strerror(-failed));
}

/* Writes what a row asks, of a container or of a disk, to the cgroup of that name. */
static int knobs_set(const char *name, const struct container *c, const void *row,
		     const char *disk) {
	char path[96], text[32], value[96];
	int failed = 0;
	for (const struct knob *k = knobs; k < knobs + LEN(knobs) && !failed; k++) {
		if ((k->kind == A_DISK) != !!*disk) continue;
		const char *asked = knob_asked(k, row, cgroup.version[k->need], text);
		if (!asked) continue;
		format(value, sizeof value, "%s%s", disk, asked);
		int dir = knob_given(k, name, c, path);
		if (dir < 0)
			failed = c->tolerate >> knob_need(k) & 1 ? 0 : knob_missing(k, name, c);
		else if ((failed = file_write(dir, path, value)))
			cgroup_failed(strchr(path, '/') + 1, value, failed);
	}
	return failed;
}

/*
 * Changes what a knob of a running container limits, as "memory=32M" says, up to its next start:
 * then the row counts again, so the knob is one that is always written. cgroup.why: what is wrong.
 */
static int cgroup_limit(const char *name, const struct container *c, const char *text) {
	static const char units[] = "%KMG";
	static const i64 are[] = { 1000, 1 << 10, 1 << 20, 1 << 30 };
	const char *p = text + strcspn(text, "=");
	size_t n = p - text;
	char path[96], number[48], swap[24];
	i64 most;
	for (const struct knob *k = knobs; k < knobs + LEN(knobs); k++) {
		if (strncmp(k->name, text, n) || !strchr(".", k->name[n]) || !k->usual || !k->field)
			continue;
		p += *p == '=';
		int dir = knob_given(k, name, c, path);
		int failed = decimal(&p, text + strlen(text), &most) || !most;
		const char *unit = *p && k->need != NEED_PIDS ? strchr(units, *p) : NULL;
		if (unit && (*p == '%') == (k->need == NEED_CPU)) {
			failed |= __builtin_mul_overflow(most, are[unit - units], &most);
			p++;
		}
		if (failed || *p) break;
		format(number, sizeof number, "%lld%s", most,
		       cgroup.version[k->need] == 2 ? k->also : "");
		failed = dir < 0 ? -ENOTSUP : file_write(dir, path, number);
		if (failed == -EINVAL && k->need == NEED_MEMORY) { /* v1: it and swap are less */
			format(swap, sizeof swap, "%lld", most + (i64)c->memory.swap);
			cgroup_write(NEED_MEMORY, name, "memory.memsw.limit_in_bytes", swap);
			failed = file_write(dir, path, number);
		}
		return failed ? cgroup_failed(k->name, number, failed) : 0;
	}
	return unable(-EINVAL, "'%.*s' is not memory=32M, cpu=50%% or pids=64", 64, text);
}

/* A cgroup of v1 has neither CPUs nor nodes of memory until somebody gives it some. */
static void cpuset_inherit(const char *name) {
	static const char files[][12] = { "cpuset.cpus", "cpuset.mems" };
	char text[256];
	for (int i = 0; i < LEN(files); i++)
		if (file_read(cgroup.base[NEED_CPUSET], words("%s/../%s", name, files[i]), text,
			      sizeof text) > 0)
			cgroup_write(NEED_CPUSET, name, files[i], text);
}

/* Opens the directory where our cgroups will be, if one of these is a hierarchy of that kind. */
static int base_open(int dir, const char *top, const char *other, int magic) {
	struct statfs fs;
	int fd = dir_open(dir, top), base = -1;
	if (fd >= 0 && !fstatfs(fd, &fs) && (int)fs.f_type == magic) {
		mkdirat(fd, cgroup.name, 0755);
		base = dir_open(fd, cgroup.name);
	}
	close(fd);
	return base < 0 && other ? base_open(dir, other, NULL, magic) : base;
}

/* Does any row need that controller? One more than it needs does no harm. */
static int controller_needed(int controller) {
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

/* Gives our cgroups a controller of v2: those above have to hand it down. */
static int v2_open(int controller) {
	union bpf_attr attr = { .query = { .target_fd = (unsigned)cgroup.base[CG_V2],
					   .attach_type = BPF_CGROUP_DEVICE } };
	char plus[16];
	if (controller == NEED_DEVICES) /* no controller, but programs */
		return (int)syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof attr.query);
	format(plus, sizeof plus, "+%s", controllers[controller].v2);
	file_write(cgroup.base[CG_V2], "../cgroup.subtree_control", plus);
	return file_write(cgroup.base[CG_V2], "cgroup.subtree_control", plus);
}

/* Finds the controllers: any may be missing. Our cgroups go below that of `name`, "." the top. */
static void cgroup_open(const char *name) {
	int top = dir_open(AT_FDCWD, "/sys/fs/cgroup");
	cgroup.name = name;
	memset(cgroup.base, -1, sizeof cgroup.base);
	cgroup.base[CG_V2] = base_open(top, ".", "unified", CGROUP2_MAGIC);
	for (int i = NEED_DEVICES; i < NCONTROLLERS; i++) {
		if (!controller_needed(i)) continue;
		int is_v2 = !v2_open(i);
		const char *other = i == NEED_CPU ? "cpu,cpuacct" : NULL;
		if (!is_v2) cgroup.base[i] = base_open(top, controllers[i].v1, other, CGROUP_MAGIC);
		cgroup.version[i] = is_v2 ? 2 : cgroup.base[i] >= 0;
	}
	close(top);
	cpuset_inherit(".");
	for (const struct knob *k = knobs; k < knobs + LEN(knobs); k++) {
		u64 sum = 0; /* what the cgroup above does not keep for itself, ours can't share */
		for (int j = 0; j < NCONTAINERS && k->kind == A_SHARE; j++)
			sum += knob_number(k, &containers[j]);
		if (sum && strcmp(name, "."))
			file_write(cgroup.base[CG_V2], k->name, words("%llu", sum));
	}
}

/* Everybody's, a console's, and the row's. */
enum { MOST_PERMITS = 8 + 1 + 8, ANY_MINOR = 0xfffff };

struct permit {
	int may;
	mode_t type;
	dev_t number;
};

/* A device is the one that its row names, or the node outside. cgroup.why says why not. */
static int device_permit(const struct device *d, struct permit *p) {
	const dev_t named = makedev(d->major, d->minor);
	struct stat st = { .st_mode = d->type == 'b' ? S_IFBLK : S_IFCHR, .st_rdev = named };
	int fd = path_trusted(d->path), missing = fd < 0 ? -fd : fstat(fd, &st) ? errno : 0;
	const char *why = NULL;
	if (fd >= 0) close(fd);
	*p = (struct permit){ d->may, st.st_mode & S_IFMT, st.st_rdev };
	if (missing && (missing != ENOENT || !d->type))
		why = strerror(missing);
	else if (d->type && (p->number != named || (p->type == S_IFBLK) != (d->type == 'b')))
		why = "it is not the device that the policy names";
	else if (p->type != S_IFCHR && p->type != S_IFBLK)
		why = "it is no device";
	return why ? unable(missing ? -missing : -ENODEV, "%s: %s", d->path, why) : 0;
}

/* Makes the cgroup of c, if need be, and sets its limits. cgroup.why explains a failure. */
static int cgroup_make(const char *name, const struct container *c) {
	char numbers[32];
	struct permit disk;
	for (int i = 0; i < NCONTROLLERS; i++)
		if (cgroup.base[i] >= 0 && mkdirat(cgroup.base[i], name, 0755) && errno != EEXIST)
			return cgroup_failed("its cgroup", name, -errno);
	cpuset_inherit(name);
	int failed = knobs_set(name, c, c, "");
	for (const struct io *d = c->io.max; d && d->device && !failed; d++) {
		failed = device_permit(&(struct device){ .path = d->device }, &disk);
		format(numbers, sizeof numbers, "%u:%u ", major(disk.number), minor(disk.number));
		if (!failed) failed = knobs_set(name, c, d, numbers);
	}
	for (const struct setting *s = c->cgroup; s && s->name && !failed; s++) {
		failed = -ENOENT; /* until the hierarchy is found that has the file */
		for (int i = 0; i < NCONTROLLERS && failed == -ENOENT; i++)
			if (cgroup.base[i] >= 0) failed = cgroup_write(i, name, s->name, s->value);
		if (failed) cgroup_failed(s->name, s->value, failed);
	}
	return failed;
}

/* Says which of the reasons for that error it was. denied: the one for EPERM. */
static int devices_failed(const char *what, int error, const char *denied) {
	const char *why = error == EPERM                       ? denied
			  : error == EINVAL || error == ENOSYS ? " (no CONFIG_CGROUP_BPF)"
							       : "";
	return unable(-error, "its devices: %s: %s%s", what, strerror(error), why);
}

/* On v2 a program decides: (access << 16 | type), major and minor in, 1 out: it may. */
static int devices_v2(const char *name, const struct permit *d, int n) {
#define OP(code, to, from, skip, value)                                                            \
	((struct bpf_insn){ (uint8_t)(code), to, from, skip, value })
	struct bpf_insn program[5 + 7 * MOST_PERMITS], *p = program;

	if (cgroup.base[CG_V2] < 0)
		return unable(-ENOTSUP,
			      "its devices: no cgroup v2 is mounted, nor 'devices' of v1");
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
	size_t size = offsetof(union bpf_attr, log_level);
	/* Before Linux 5.11 the programs of all rows together are memory that their user locks. */
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	const char *denied = prlimit(0, RLIMIT_MEMLOCK, &all, NULL)
				 ? " (RLIMIT_MEMLOCK can't be raised)"
				 : " (a capability, or a security module)";
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, size);
	if (fd < 0) return devices_failed("loading their BPF program", errno, denied);
	int dir = dir_open(cgroup.base[CG_V2], name);
	attr = (union bpf_attr){ .target_fd = (unsigned)dir,
				 .attach_bpf_fd = (unsigned)fd,
				 .attach_type = BPF_CGROUP_DEVICE };
	/* Without a flag it is the only one: at once it takes the place of an older one. */
	size = offsetof(union bpf_attr, replace_bpf_fd);
	int failed = syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, size) ? errno : 0;
	if (failed)
		failed = devices_failed("attaching their BPF program", failed,
					" (a cgroup above has one)");
	close(dir);
	close(fd);
	return failed;
}

static int devices_v1(const char *name, const struct permit *d, int n) {
	static const char may[][4] = { "m", "rm", "wm", "rwm" };
	char text[48] = "a";
	int failed = cgroup_write(NEED_DEVICES, name, "devices.deny", text);
	for (; n-- && !failed; d++) {
		const char *which = minor(d->number) == ANY_MINOR ? "*"
								  : words("%u", minor(d->number));
		format(text, sizeof text, "%c %u:%s %s", d->type == S_IFBLK ? 'b' : 'c',
		       major(d->number), which, may[d->may & (READ | WRITE)]);
		failed = cgroup_write(NEED_DEVICES, name, "devices.allow", text);
	}
	return failed ? unable(failed, "its devices: '%s': %s", text, strerror(-failed)) : 0;
}

/*
 * Leaves its cgroup the devices of its row, and those that everybody has; not before its image is
 * unpacked, for that may have to be read from another one. cgroup.why explains a failure.
 */
static int cgroup_devices(const char *name, const struct container *c) {
	/* null, zero, full, random, urandom; tty, ptmx; 136 and any: what is in devpts */
	static const unsigned always[] = { 0x103, 0x105, 0x107, 0x108,
					   0x109, 0x500, 0x502, 0xfff088ff };
	struct permit list[MOST_PERMITS];
	struct stat st;
	int n = 0, failed, version = cgroup.version[NEED_DEVICES];

	for (; n < LEN(always); n++) list[n] = (struct permit){ READ | WRITE, S_IFCHR, always[n] };
	if (c->console && !fstat(STDIN_FILENO, &st)) /* /dev/stderr opens it once more */
		list[n++] = (struct permit){ READ | WRITE, S_IFCHR, st.st_rdev };
	for (const struct device *d = c->devices; d && d->path && n < MOST_PERMITS; d++) {
		failed = device_permit(d, &list[n]);
		if (failed && (failed != -ENOENT || !(d->may & OPTIONAL))) return failed;
		n += !failed;
	}
	failed = (version == 1 ? devices_v1 : devices_v2)(name, list, n);
	return c->tolerate & LACK(DEVICES) ? 0 : failed;
}

/* Lets clone3 start a child in the v2 cgroup, if there is one; args then owns its descriptor. */
static int cgroup_place(const char *name, struct clone3_args *args) {
	if (cgroup.base[CG_V2] < 0) return 0;
	int dir = dir_open(cgroup.base[CG_V2], name);
	if (dir < 0) return -errno;
	args->flags |= CLONE_INTO_CGROUP;
	args->cgroup = dir;
	return 0;
}

/* Moves the caller, a child, to its cgroups; placed: clone3 has put it into that of v2. */
static int cgroup_join(const char *name, int placed) {
	int failed = 0;
	for (int i = placed ? CG_V2 + 1 : CG_V2; i < NCONTROLLERS && !failed; i++)
		if (cgroup.base[i] >= 0) failed = cgroup_write(i, name, "cgroup.procs", "0");
	return failed;
}

/* What the kernel counts for a cgroup, and where: the numbers that stand after a mark. */
enum count {
	STAT_MEMORY,
	STAT_PEAK,
	STAT_LIMIT,
	STAT_TASKS,
	STAT_CPU_TIME,
	STAT_BYTES_READ,
	STAT_BYTES_WRITTEN,
	STAT_PRESSURE,
	STAT_OOM_KILLS,
	NSTATS
};

static const struct {
	enum need need;
	char v2[16], mark[14], v1[32], v1_mark[10];
} stats[NSTATS] = {
	[STAT_MEMORY] = { NEED_MEMORY, "memory.current", "", "memory.usage_in_bytes", "" },
	[STAT_PEAK] = { NEED_MEMORY, "memory.peak", "", "memory.max_usage_in_bytes", "" },
	[STAT_LIMIT] = { NEED_MEMORY, "memory.max", "", "memory.limit_in_bytes", "" },
	[STAT_TASKS] = { NEED_PIDS, "pids.current", "", "pids.current", "" },
	[STAT_CPU_TIME] = { NEED_CPU, "cpu.stat", "usage_usec ", "cpuacct.usage", "" },
	[STAT_BYTES_READ] = { NEED_IO, "io.stat", "rbytes=", "blkio.throttle.io_service_bytes",
			      "Read " },
	[STAT_BYTES_WRITTEN] = { NEED_IO, "io.stat", "wbytes=", "blkio.throttle.io_service_bytes",
				 "Write " },
	[STAT_PRESSURE] = { NEED_MEMORY, "memory.pressure", "some avg10=", "", "" },
	[STAT_OOM_KILLS] = { NEED_MEMORY, "memory.events", "oom_kill ", "memory.oom_control",
			     "oom_kill " },
};

/* One of them: bytes, tasks, microseconds, per cent. 0 if this kernel does not count it. */
static u64 cgroup_stat(const char *name, enum count count) {
	int version = cgroup.version[stats[count].need];
	if (count == STAT_CPU_TIME && cgroup.base[CG_V2] >= 0)
		version = 2; /* it takes no controller */
	int is_v2 = version == 2, dir = cgroup.base[is_v2 ? CG_V2 : (int)stats[count].need];
	const char *mark = is_v2 ? stats[count].mark : stats[count].v1_mark;
	const char *file = is_v2 ? stats[count].v2 : stats[count].v1;
	i64 number, sum = 0;
	char text[2048];
	file_read(dir, words("%s/%s", name, file), text, sizeof text);
	for (const char *p = text; (p = strstr(p, mark));) {
		p += strlen(mark);
		decimal(&p, p + strlen(p), &number);
		sum += number;
		if (!*mark) break;
	}
	return (u64)(count == STAT_CPU_TIME && version == 1 ? sum / 1000 : sum);
}

/* Stops all its tasks where they are, or lets them go on. Returns 0 or -errno: it takes v2. */
static int cgroup_freeze(const char *name, int freeze) {
	return cgroup_write(CG_V2, name, "cgroup.freeze", freeze ? "1" : "0");
}

/*
 * Kills all that is in it, at once (v2, Linux 5.14). A cgroup is of no use after that: Linux 6.18
 * kills what is cloned into it later, too.
 */
static void cgroup_kill(const char *name) { cgroup_write(CG_V2, name, "cgroup.kill", "1"); }

/* Removes an empty cgroup. One that is not empty stays: somebody else's, or about to empty. */
static int cgroup_remove(const char *name) {
	int failed = 0;
	for (int i = 0; i < NCONTROLLERS; i++)
		if (unlinkat(cgroup.base[i], name, AT_REMOVEDIR) && errno != ENOENT &&
		    errno != EBADF)
			failed = -errno;
	return failed;
}

/* ---- 12  mount ----------------------------------------------------------------------------------
 *
 * What a container sees beside its image is a row of operations, walked by one executor. Targets
 * are opened by path_open, so a link in the image can't lead a mount astray, and mounted on by
 * descriptor; that goes through /proc, which is why it happens before the root is changed.
 */

enum mount_kind {
	DO_MOUNT, /* a new file system of the type `what`, with `options` */
	DO_DIR,   /* a directory */
	DO_LINK,  /* a symbolic link to `what` */
	DO_NODE,  /* a device, with the number `flags`; its mode is 0666 if none is given */
	DO_SEAL,  /* what is mounted there becomes read-only */
	DO_LOCK,  /* what is there, if it is, becomes read-only */
	DO_HIDE,  /* what is there, if it is, is covered by something empty */
};

struct mount_op {
	enum mount_kind kind;
	const char *at; /* below the root */
	const char *what, *options;
	unsigned long flags;
	mode_t mode;
};

enum { MS_PLAIN = MS_NOSUID | MS_NODEV | MS_NOEXEC };

/* clang-format off */
#define NODE(at, number) { DO_NODE, at, NULL, NULL, number, 0 }
#define LINK(at, to) { DO_LINK, at, to, NULL, 0, 0 }
#define DIRECTORY(at) { DO_DIR, at, NULL, NULL, 0, 0 }

static const struct mount_op container_mounts[] = {
	{ DO_MOUNT, "proc", "proc", "hidepid=2", MS_PLAIN, 0 },
	{ DO_MOUNT, "sys", "sysfs", NULL, MS_PLAIN | MS_RDONLY, 0 },
	{ DO_MOUNT, "dev", "tmpfs", "mode=755,size=64k,nr_inodes=64", MS_NOSUID | MS_NOEXEC, 0 },
	NODE("dev/null", MAKEDEV(1, 3)), NODE("dev/zero", MAKEDEV(1, 5)),
	NODE("dev/full", MAKEDEV(1, 7)), NODE("dev/random", MAKEDEV(1, 8)),
	NODE("dev/urandom", MAKEDEV(1, 9)), NODE("dev/tty", MAKEDEV(5, 0)),
	LINK("dev/ptmx", "pts/ptmx"), LINK("dev/fd", "/proc/self/fd"),
	LINK("dev/stdin", "/proc/self/fd/0"), LINK("dev/stdout", "/proc/self/fd/1"),
	LINK("dev/stderr", "/proc/self/fd/2"), DIRECTORY("dev/pts"), DIRECTORY("dev/shm"),
	{ DO_MOUNT, "dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620",
	  MS_NOSUID | MS_NOEXEC, 0 },
	{ DO_MOUNT, "dev/shm", "tmpfs", "mode=1777,nr_inodes=1024", MS_PLAIN, 0 },
};
/* clang-format on */

/* For DO_HIDE and DO_LOCK: paths with a NUL behind each. The last hidden one: CVE-2020-8694. */
static const char
    to_hide[] = "proc/acpi\0proc/asound\0proc/interrupts\0proc/kallsyms\0proc/kcore\0proc/keys\0"
		"proc/key-users\0proc/scsi\0proc/latency_stats\0proc/sched_debug\0proc/timer_list\0"
		"proc/timer_stats\0sys/firmware\0sys/fs/selinux\0sys/devices/virtual/powercap\0",
    to_lock[] = "proc/bus\0proc/fs\0proc/irq\0proc/pressure\0proc/sys\0proc/sysrq-trigger\0";

/* Mounts on the descriptor `at`; with a type a new file system, without one a bind of source. */
static int mount_on(int at, const char *source, const char *type, unsigned long flags,
		    const char *options) {
	return mount(source, words("/proc/self/fd/%d", at), type, flags, options) ? -errno : 0;
}

static int bind_at(int at, int from) {
	char source[32];
	format(source, sizeof source, "/proc/self/fd/%d", from);
	return mount_on(at, source, NULL, MS_BIND, NULL);
}

/* Binds the object open at `from` over `at`. A bind takes its flags only when it is remounted. */
static int bind_on(int root, int at, int from, const char *path, unsigned long flags) {
	int failed = bind_at(at, from), mounted = failed ? failed : path_open(root, path, O_PATH);
	if (mounted < 0) return mounted;
	failed = mount_on(mounted, NULL, NULL, flags | MS_REMOUNT | MS_BIND | MS_NOSUID, NULL);
	close(mounted);
	return failed;
}

/* Binds what is open at `from` over a path below the root. */
static int mount_bind(int root, const char *path, int from, unsigned long flags) {
	int at = path_open(root, path, O_PATH);
	int failed = at < 0 ? at : bind_on(root, at, from, path, flags);
	if (at >= 0) close(at);
	return failed;
}

/*
 * Covers a directory by nothing, a file by our null device, never the image's (CVE-2025-31133). The
 * first cover of either kind is bound over the others: that has its flags, and is the same memory.
 */
static int hide(int root, int at, const char *path) {
	static int covers[2] = { -1, -1 };
	struct stat st;
	if (fstat(at, &st)) return -errno;
	int is_dir = S_ISDIR(st.st_mode), null = -1, failed;
	if (covers[is_dir] >= 0) return bind_at(at, covers[is_dir]);
	if (is_dir) {
		failed = mount_on(at, "none", "tmpfs", MS_PLAIN | MS_RDONLY,
				  "size=4k,nr_inodes=2,mode=0555");
	} else {
		null = path_open(root, "dev/null", O_PATH);
		failed = null < 0 ? null : fstat(null, &st) ? -errno : 0;
		if (!failed && (!S_ISCHR(st.st_mode) || st.st_rdev != MAKEDEV(1, 3)))
			failed = -ENODEV;
		if (!failed) failed = bind_on(root, at, null, path, MS_NOEXEC | MS_RDONLY);
		close(null);
	}
	if (!failed) covers[is_dir] = path_open(root, path, O_PATH);
	return failed;
}

/* Makes a name in a directory of ours: a link, or a device node. */
static int mount_name(int root, const struct mount_op *op) {
	const char *leaf = strrchr(op->at, '/') + 1;
	int dir = path_open(root, parent_of(op->at), O_PATH | O_DIRECTORY), failed = 0;
	if (dir < 0) return dir;
	if (op->kind == DO_LINK
		? symlinkat(op->what, dir, leaf)
		: mknodat(dir, leaf, op->mode ? op->mode : S_IFCHR | 0666, op->flags))
		failed = -errno;
	close(dir);
	return failed;
}

/* Does one operation below the open root. Returns 0 or -errno. */
static int mount_do(int root, const struct mount_op *op) {
	const unsigned long seal = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC;
	int failed;
	if (op->kind == DO_DIR) return path_mkdir(root, op->at);
	if (op->kind == DO_LINK || op->kind == DO_NODE) return mount_name(root, op);
	int at = path_open(root, op->at, O_PATH | (op->kind == DO_MOUNT ? O_DIRECTORY : 0));
	if (at == -ENOENT && (op->kind == DO_LOCK || op->kind == DO_HIDE)) return 0;
	if (at < 0) return at;
	switch (op->kind) {
	case DO_MOUNT: failed = mount_on(at, "none", op->what, op->flags, op->options); break;
	case DO_SEAL: failed = mount_on(at, NULL, NULL, seal, NULL); break;
	case DO_LOCK: failed = bind_on(root, at, at, op->at, MS_PLAIN | MS_RDONLY); break;
	default: failed = hide(root, at, op->at);
	}
	close(at);
	return failed;
}

/* ---- 13  confine --------------------------------------------------------------------------------
 *
 * What a workload keeps of root's power: the capabilities that its row names, and nothing that
 * execve(2) could give back; users of its own; the system calls that a service needs; the label of
 * a security module.
 */

enum keeps { AS_BOUNDS, AS_AMBIENT, FOR_OTHERS };

/* Takes all but `keep` out of the bounding set. The caller has CAP_SETPCAP. Returns 0 or -errno. */
static int confine_bounds(u64 keep) {
	static u64 left = ~0ULL; /* in it, after what this process has dropped, or its parents */
	int failed = 0;
	for (unsigned cap = 0; cap < 64 && !failed; cap++)
		if (left & ~keep & 1ULL << cap) failed = prctl(PR_CAPBSET_DROP, cap) ? -errno : 0;
	left &= keep;
	return failed == -EINVAL ? 0 : failed; /* the kernel knows no more of them */
}

/*
 * Drops all capabilities but `keep` from all five sets, for good, and locks the securebits: from
 * now on it does not matter who is root. AS_AMBIENT: those stay over an execve, AS_BOUNDS: they do
 * not. FOR_OTHERS: the caller has them to give to children, who do the rest. The caller has
 * CAP_SETPCAP. Returns 0 or -errno. capabilities(7), CVE-2022-24769
 */
static int confine(u64 keep, enum keeps how) {
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	const int locked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
			   SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
			   SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	int failed;
	if (syscall(SYS_capget, &header, data)) return -errno;
	for (int i = 0; i < 2; i++) { /* another user has them, but not in effect */
		data[i].effective = data[i].permitted;
		data[i].inheritable = how == AS_AMBIENT ? (uint32_t)(keep >> 32 * i) : 0;
	}
	if (syscall(SYS_capset, &header, data)) return -errno;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* capset empties it too */
	for (unsigned cap = 0; how == AS_AMBIENT && cap < 64; cap++)
		if (keep >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) &&
		    errno != EINVAL)
			return -errno;
	if ((failed = confine_bounds(keep))) return failed;
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = (uint32_t)(keep >> 32 * i);
	failed = (how != FOR_OTHERS && prctl(PR_SET_SECUREBITS, locked)) ||
		 syscall(SYS_capset, &header, data) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return failed ? -errno : 0;
}

/* Becomes that user, of no other group; libc would first stop threads, which we have not. */
static int users_become(uid_t uid, gid_t gid) {
	return syscall(CALL_32(setgroups), 0, NULL) || syscall(CALL_32(setresgid), gid, gid, gid) ||
	       syscall(CALL_32(setresuid), uid, uid, uid);
}

/* The numbers of system calls, as words: what this machine lacks stays a name, and is skipped. */
#define CALLS_AS_TEXT(...) #__VA_ARGS__
#define CALLS(...) CALLS_AS_TEXT(__VA_ARGS__)

/* clang-format off */
static const struct {
	unsigned may; /* any of these groups has them; 0: everybody */
	const char *calls;
} call_groups[] = {
	{ 0, CALLS(SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64,
	   SYS_preadv, SYS_pwritev, SYS_preadv2, SYS_pwritev2, SYS_close, SYS_close_range,
	   SYS_dup, SYS_dup2, SYS_dup3, SYS_fcntl, SYS_fcntl64, SYS_ioctl, SYS_lseek, SYS__llseek,
	   SYS_poll, SYS_ppoll, SYS_ppoll_time64, SYS_select, SYS__newselect, SYS_pselect6,
	   SYS_pselect6_time64, SYS_epoll_create, SYS_epoll_create1, SYS_epoll_ctl,
	   SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_eventfd, SYS_eventfd2,
	   SYS_signalfd, SYS_signalfd4, SYS_pipe, SYS_pipe2, SYS_splice, SYS_tee, SYS_vmsplice,
	   SYS_sendfile, SYS_sendfile64, SYS_copy_file_range, SYS_fstat, SYS_fstat64,
	   SYS_newfstatat, SYS_fstatat64, SYS_statx, SYS_mmap, SYS_mmap2, SYS_munmap, SYS_mremap,
	   SYS_mprotect, SYS_madvise, SYS_msync, SYS_mincore, SYS_mlock, SYS_mlock2, SYS_munlock,
	   SYS_mlockall, SYS_munlockall, SYS_brk, SYS_memfd_create, SYS_membarrier,
	   SYS_pkey_alloc, SYS_pkey_free, SYS_pkey_mprotect, SYS_rt_sigaction, SYS_rt_sigprocmask,
	   SYS_rt_sigpending, SYS_rt_sigsuspend, SYS_rt_sigreturn, SYS_rt_sigtimedwait,
	   SYS_rt_sigtimedwait_time64, SYS_sigaltstack, SYS_sigreturn, SYS_pause, SYS_alarm,
	   SYS_tkill, SYS_tgkill, SYS_getitimer, SYS_setitimer, SYS_timer_create,
	   SYS_timer_delete, SYS_timer_getoverrun, SYS_timer_gettime, SYS_timer_gettime64,
	   SYS_timer_gettime32, SYS_timer_settime, SYS_timer_settime64, SYS_timer_settime32,
	   SYS_timerfd_create, SYS_timerfd_gettime, SYS_timerfd_gettime64, SYS_timerfd_gettime32,
	   SYS_timerfd_settime, SYS_timerfd_settime64, SYS_timerfd_settime32, SYS_clock_getres,
	   SYS_clock_getres_time64, SYS_clock_getres_time32, SYS_clock_gettime,
	   SYS_clock_gettime64, SYS_clock_gettime32, SYS_clock_nanosleep,
	   SYS_clock_nanosleep_time64, SYS_clock_nanosleep_time32, SYS_nanosleep,
	   SYS_gettimeofday, SYS_gettimeofday_time32, SYS_time, SYS_times, SYS_exit,
	   SYS_exit_group, SYS_execve, SYS_execveat, SYS_restart_syscall, SYS_arch_prctl,
	   SYS_riscv_flush_icache, SYS_set_tid_address, SYS_set_thread_area, SYS_get_thread_area,
	   SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_futex, SYS_futex_time64,
	   SYS_futex_waitv, SYS_getpid, SYS_getppid, SYS_gettid, SYS_getuid, SYS_geteuid,
	   SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid, SYS_getgroups, SYS_getuid32,
	   SYS_geteuid32, SYS_getgid32, SYS_getegid32, SYS_getresuid32, SYS_getresgid32,
	   SYS_getgroups32, SYS_getpgrp, SYS_getpgid, SYS_getsid, SYS_capget, SYS_getcpu,
	   SYS_getrandom, SYS_uname, SYS_sysinfo, SYS_getrlimit, SYS_ugetrlimit, SYS_setrlimit,
	   SYS_prlimit64, SYS_getrusage, SYS_umask, SYS_prctl, SYS_seccomp, SYS_personality,
	   SYS_sched_yield, SYS_sched_getaffinity) },
	{ FILES, CALLS(SYS_open, SYS_openat, SYS_openat2, SYS_creat, SYS_stat, SYS_lstat,
	   SYS_stat64, SYS_lstat64, SYS_access, SYS_faccessat, SYS_faccessat2, SYS_readlink,
	   SYS_readlinkat, SYS_getdents, SYS_getdents64, SYS_getcwd, SYS_chdir, SYS_fchdir,
	   SYS_mkdir, SYS_mkdirat, SYS_rmdir, SYS_unlink, SYS_unlinkat, SYS_rename, SYS_renameat,
	   SYS_renameat2, SYS_link, SYS_linkat, SYS_symlink, SYS_symlinkat, SYS_mknod,
	   SYS_mknodat, SYS_chmod, SYS_fchmod, SYS_fchmodat, SYS_chown, SYS_lchown, SYS_fchown,
	   SYS_fchownat, SYS_chown32, SYS_lchown32, SYS_fchown32, SYS_utime, SYS_utimes,
	   SYS_futimesat, SYS_utimensat, SYS_utimensat_time64, SYS_truncate, SYS_ftruncate,
	   SYS_truncate64, SYS_ftruncate64, SYS_fallocate, SYS_fsync, SYS_fdatasync, SYS_sync,
	   SYS_syncfs, SYS_sync_file_range, SYS_sync_file_range2, SYS_arm_sync_file_range,
	   SYS_fadvise64, SYS_fadvise64_64, SYS_arm_fadvise64_64, SYS_readahead, SYS_flock,
	   SYS_statfs, SYS_fstatfs, SYS_statfs64, SYS_fstatfs64, SYS_getxattr, SYS_lgetxattr,
	   SYS_fgetxattr, SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_listxattr,
	   SYS_llistxattr, SYS_flistxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
	   SYS_inotify_init, SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
	   SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self,
	   SYS_io_setup, SYS_io_destroy, SYS_io_submit, SYS_io_cancel, SYS_io_getevents,
	   SYS_io_pgetevents, SYS_io_pgetevents_time64) },
	{ PROCESSES, CALLS(SYS_fork, SYS_vfork, SYS_wait4, SYS_waitid, SYS_kill,
	   SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pidfd_open, SYS_pidfd_send_signal,
	   SYS_setpgid, SYS_setsid, SYS_getpriority, SYS_setpriority, SYS_ioprio_get,
	   SYS_ioprio_set) },
	{ PROCESSES | THREADS, CALLS(SYS_clone) },
	{ THREADS, CALLS(SYS_sched_setaffinity, SYS_sched_getparam, SYS_sched_setparam,
	   SYS_sched_getscheduler, SYS_sched_setscheduler, SYS_sched_get_priority_max,
	   SYS_sched_get_priority_min, SYS_sched_rr_get_interval,
	   SYS_sched_rr_get_interval_time64, SYS_sched_getattr, SYS_sched_setattr) },
	{ LOCAL | INET | PACKET, CALLS(SYS_socket, SYS_socketpair, SYS_bind, SYS_connect,
	   SYS_listen, SYS_accept, SYS_accept4, SYS_getsockname, SYS_getpeername, SYS_getsockopt,
	   SYS_setsockopt, SYS_shutdown, SYS_send, SYS_sendto, SYS_sendmsg, SYS_sendmmsg,
	   SYS_recv, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_recvmmsg_time64) },
	{ USERS, CALLS(SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid,
	   SYS_setresgid, SYS_setfsuid, SYS_setfsgid, SYS_setgroups, SYS_setuid32, SYS_setgid32,
	   SYS_setreuid32, SYS_setregid32, SYS_setresuid32, SYS_setresgid32, SYS_setfsuid32,
	   SYS_setfsgid32, SYS_setgroups32, SYS_capset, SYS_chroot) },
	{ IPC, CALLS(SYS_shmget, SYS_shmat, SYS_shmctl, SYS_shmdt, SYS_semget, SYS_semop,
	   SYS_semctl, SYS_semtimedop, SYS_semtimedop_time64, SYS_msgget, SYS_msgsnd, SYS_msgrcv,
	   SYS_msgctl, SYS_mq_open, SYS_mq_unlink, SYS_mq_timedsend, SYS_mq_timedsend_time64,
	   SYS_mq_timedreceive, SYS_mq_timedreceive_time64, SYS_mq_notify, SYS_mq_getsetattr) },
	{ TRACE, CALLS(SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp,
	   SYS_pidfd_getfd) },
	{ SET_TIME, CALLS(SYS_settimeofday, SYS_settimeofday_time32, SYS_clock_settime,
	   SYS_clock_settime64, SYS_clock_settime32, SYS_adjtimex, SYS_clock_adjtime,
	   SYS_clock_adjtime64) },
	{ ADMIN, CALLS(SYS_mount, SYS_umount2, SYS_pivot_root, SYS_fsopen, SYS_fsconfig,
	   SYS_fsmount, SYS_fspick, SYS_move_mount, SYS_open_tree, SYS_mount_setattr, SYS_unshare,
	   SYS_setns, SYS_sethostname, SYS_setdomainname, SYS_bpf, SYS_perf_event_open,
	   SYS_quotactl, SYS_syslog, SYS_name_to_handle_at, SYS_open_by_handle_at,
	   SYS_fanotify_init, SYS_fanotify_mark) },
};
/* clang-format on */

enum { NEW_SPACES = 0x7e020000 }; /* every CLONE_NEW* that clone(2) takes */
enum { NOT_ADMIN = 0x40000000 };  /* a group: those rows have it that lack ADMIN */
#define ANSWER(error) (SECCOMP_RET_ERRNO | (error))

/* Calls that depend on an argument: the first row that is true of it answers. */
static const struct call_test {
	unsigned call, argument, how, value;
	unsigned may, answer; /* may: the row counts for these groups; 0: for all */
} call_tests[] = {
#define IF_BITS BPF_JSET
#define IF_EQUAL BPF_JEQ
#define IF_AT_LEAST BPF_JGE
#define ELSE BPF_JGE, 0
	{ SYS_clone, 0, IF_BITS, NEW_SPACES, NOT_ADMIN, ANSWER(EPERM) },
	{ SYS_clone, 0, IF_BITS, CLONE_THREAD, THREADS, SECCOMP_RET_ALLOW },
	{ SYS_clone, 0, ELSE, PROCESSES, SECCOMP_RET_ALLOW },
	{ SYS_clone, 0, ELSE, 0, ANSWER(EPERM) },
	{ SYS_socket, 1, IF_BITS, 8, 0, ANSWER(EAFNOSUPPORT) }, /* SOCK_PACKET: INET is PACKET */
	{ SYS_socket, 0, IF_EQUAL, AF_UNIX, LOCAL, SECCOMP_RET_ALLOW },
	{ SYS_socket, 0, IF_EQUAL, AF_INET, INET, SECCOMP_RET_ALLOW },
	{ SYS_socket, 0, IF_EQUAL, AF_INET6, INET, SECCOMP_RET_ALLOW },
	{ SYS_socket, 0, IF_EQUAL, AF_PACKET, PACKET, SECCOMP_RET_ALLOW },
	{ SYS_socket, 0, IF_EQUAL, AF_CAN, PACKET, SECCOMP_RET_ALLOW },
	{ SYS_socket, 2, IF_AT_LEAST, 1, 0, ANSWER(EAFNOSUPPORT) },
	{ SYS_socket, 0, IF_EQUAL, AF_NETLINK, INET, SECCOMP_RET_ALLOW }, /* NETLINK_ROUTE */
	{ SYS_socket, 0, ELSE, 0, ANSWER(EAFNOSUPPORT) },
	{ SYS_ioctl, 1, IF_EQUAL, TIOCSTI, 0, ANSWER(EPERM) }, /* CVE-2017-5226 */
	{ SYS_ioctl, 1, IF_EQUAL, TIOCLINUX, 0, ANSWER(EPERM) },
	{ SYS_ioctl, 1, IF_EQUAL, TIOCSETD, 0, ANSWER(EPERM) },
	{ SYS_ioctl, 1, ELSE, 0, SECCOMP_RET_ALLOW },
	{ SYS_personality, 0, IF_EQUAL, 0, 0, SECCOMP_RET_ALLOW },
	{ SYS_personality, 0, IF_EQUAL, 0xffffffff, 0, SECCOMP_RET_ALLOW }, /* asks */
	{ SYS_personality, 0, ELSE, 0, ANSWER(EPERM) },
};

enum { MOST_CALLS = 512 }; /* numbers from here on are too new for us, or of another kind */
enum { CALL_REFUSED, CALL_ALLOWED, CALL_UNKNOWN, CALL_TESTED }; /* + the first row of its tests */

static struct filter {
	unsigned may, refusal, unknown;
	uint8_t verdicts[MOST_CALLS];
	unsigned last; /* call that a verdict was given to */
	unsigned n;
	struct sock_filter code[1024];
} IN_PAGES filter;

static unsigned filtered; /* the groups of the filter that this process, or a parent, has loaded */

static void filter_add(struct filter *f, unsigned code, unsigned k, unsigned yes, unsigned no) {
	if (f->n < LEN(f->code))
		f->code[f->n] = (struct sock_filter){ code, (uint8_t)yes, (uint8_t)no, k };
	f->n++;
}

static void filter_set(struct filter *f, const char *calls, unsigned verdict) {
	i64 number;
	for (const char *p = calls; *p; p += strcspn(p, " "), p += *p == ' ')
		if (!decimal(&p, p + strlen(p), &number) && number < MOST_CALLS) {
			f->verdicts[number] = (uint8_t)verdict;
			if (number > f->last) f->last = (unsigned)number;
		}
}

/* The tests of a call, or its plain verdict. */
static void filter_leaf(struct filter *f, unsigned verdict) {
	const unsigned answers[] = { f->refusal, SECCOMP_RET_ALLOW, f->unknown };
	if (verdict < CALL_TESTED) {
		filter_add(f, BPF_RET | BPF_K, answers[verdict], 0, 0);
		return;
	}
	const struct call_test *t = &call_tests[verdict - CALL_TESTED];
	for (unsigned call = t->call; t < call_tests + LEN(call_tests) && t->call == call; t++) {
		if (t->may && !(t->may & f->may)) continue;
		filter_add(f, BPF_LD | BPF_W | BPF_ABS,
			   offsetof(struct seccomp_data, args) + 8 * t->argument, 0, 0);
		filter_add(f, BPF_JMP | BPF_K | t->how, t->value, 0, 1);
		filter_add(f, BPF_RET | BPF_K, t->answer, 0, 0);
	}
}

/* A binary tree over the numbers: many boards interpret it, for each call. Jumps are below 256. */
static int filter_tree(struct filter *f, unsigned from, unsigned to) {
	const uint8_t *v = f->verdicts;
	unsigned up = (from + to) / 2, down = up, jump = f->n;
	while (up < to && (up == from || v[up] == v[up - 1])) up++;
	while (down > from && v[down] == v[down - 1]) down--;
	unsigned middle = up < to ? up : down;
	if (middle == from) {
		filter_leaf(f, v[from]);
		return 0;
	}
	filter_add(f, BPF_JMP | BPF_JGE | BPF_K, middle, 0, 0);
	int failed = filter_tree(f, from, middle);
	if (f->n - jump - 1 > UINT8_MAX || jump >= (unsigned)LEN(f->code)) return -E2BIG;
	f->code[jump].jt = (uint8_t)(f->n - jump - 1);
	return failed ? failed : filter_tree(f, middle, to);
}

/* Loads the filter of these verdicts: it stays, for what is forked and executed too. */
static int filter_load(struct filter *f) {
	static const struct sock_filter first[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_AUDIT_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, PRIVATE_CALLS, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, PRIVATE_CALLS + 5, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, MOST_CALLS, 0, 1),
	};
	memcpy(f->code, first, sizeof first);
	f->n = LEN(first);
	filter_add(f, BPF_RET | BPF_K, f->unknown, 0, 0);
	int failed = filter_tree(f, 0, MOST_CALLS);
	struct sock_fprog program = { .len = (unsigned short)f->n, .filter = f->code };
	if (failed || f->n > (unsigned)LEN(f->code)) return -E2BIG;
	failed = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		 prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	return failed ? -errno : 0;
}

/* Any other system call ends this process. -EINVAL: a kernel without CONFIG_SECCOMP_FILTER. */
static int filter_only(const char *calls) {
	filter = (struct filter){ .refusal = SECCOMP_RET_KILL_PROCESS,
				  .unknown = SECCOMP_RET_KILL_PROCESS };
	filter_set(&filter, calls, CALL_ALLOWED);
	return filter_load(&filter);
}

/*
 * For a workload with these groups of calls. What it may not is EPERM; what is newer than all that
 * we know ENOSYS, and so is clone3, whose flags no filter can see: then libc does without. The same
 * filter is not loaded twice: each costs time with every system call.
 */
static int filter_groups(unsigned may) {
	struct filter *f = &filter;
	if (filtered == may) return 0;
	*f = (struct filter){ may, .refusal = ANSWER(EPERM), .unknown = ANSWER(ENOSYS) };
	if (!(may & ADMIN)) f->may |= NOT_ADMIN;
	for (int i = 0; i < LEN(call_groups); i++) {
		int has = !call_groups[i].may || call_groups[i].may & may;
		filter_set(f, call_groups[i].calls, has ? CALL_ALLOWED : CALL_REFUSED);
	}
	for (int i = LEN(call_tests) - 1; i >= 0; i--) /* the first row of each call comes last */
		if (f->verdicts[call_tests[i].call] != CALL_REFUSED)
			f->verdicts[call_tests[i].call] = (uint8_t)(CALL_TESTED + i);
	f->verdicts[SYS_socketpair] = f->verdicts[SYS_socket]; /* the same arguments */
	memset(f->verdicts + f->last + 1, CALL_UNKNOWN, MOST_CALLS - f->last - 1);
	f->verdicts[SYS_clone3] = CALL_UNKNOWN;
	int failed = filter_load(f);
	if (!failed) filtered = may;
	return failed;
}

/* Maps the users and groups of the namespace of a process, whose directory in /proc is open. */
static int users_map(int proc, u64 first, u64 count) {
	static const char files[][8] = { "uid_map", "gid_map" };
	const u64 own[] = { geteuid(), getegid() };
	char map[64];
	int failed = own[0] ? file_write(proc, "setgroups", "deny") : 0;
	for (int i = 0; i < LEN(files) && !failed; i++) {
		format(map, sizeof map, "0 %llu %llu", own[0] ? own[i] : first, own[0] ? 1 : count);
		failed = file_write(proc, files[i], map);
	}
	return failed;
}

/* The number of users that there are here: all, but in a container of somebody else's. */
static u64 users_all(void) {
	char map[34]; /* "%10u %10u %10u\n", the first line of user_namespaces(7) */
	i64 count = 0;
	file_read(AT_FDCWD, "/proc/self/uid_map", map, sizeof map);
	const char *last = strrchr(map, ' ');
	if (last++) decimal(&last, last + strlen(last), &count);
	return (u64)count;
}

/*
 * Makes a user namespace with IDS users from `first` on, and with CLONE_NEWNET in `more` a network
 * namespace that is theirs, which the caller enters. Both are made by a process that then ends, for
 * the caller has still to build what they shall not own. Returns a descriptor for setns(2), which
 * is the caller's, or -errno.
 */
static int users_make(u64 first, u64 more) {
	int go[2], proc = -1, users = -1, net, failed = 0;
	if (pipe2(go, O_CLOEXEC)) return -errno;
	u64 flags = CLONE_NEWUSER | CLONE_FILES | SIGCHLD | more;
	pid_t pid = (pid_t)syscall(SYS_clone, (long)flags, 0L, 0L, 0L, 0L);
	if (!pid) { /* its descriptors are ours, and in its own directory it needs no number */
		proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
		write(go[1], &proc, sizeof proc);
		for (;;) pause();
	}
	if (pid < 0 || read(go[0], &proc, sizeof proc) != sizeof proc) failed = -errno;
	if (!failed) failed = users_map(proc, first, IDS);
	if (!failed && (users = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC)) < 0) failed = -errno;
	if (!failed && more) {
		net = openat(proc, "ns/net", O_RDONLY | O_CLOEXEC);
		failed = setns(net, CLONE_NEWNET) ? -errno : 0;
		close(net);
	}
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(proc);
	close(go[0]);
	close(go[1]);
	return failed ? failed : users;
}

/* Gives the label to what this process, or a child of it, executes next. */
static int label_set(const char *label) {
	static const struct {
		char file[32], prefix[6];
	} modules[] = {
		{ "/proc/self/attr/apparmor/exec", "exec " }, /* Linux 5.8 */
		{ "/proc/self/attr/exec", "exec " },          /* AppArmor before */
		{ "/proc/self/attr/exec", "" },               /* SELinux */
		{ "/proc/self/attr/smack/current", "" },
	};
	int failed = -EINVAL, error = -EINVAL;
	for (int i = 0; i < LEN(modules) && error; i++) {
		const char *text = words("%s%s", modules[i].prefix, label);
		error = file_write(AT_FDCWD, modules[i].file, text);
		failed = error == -EINVAL || error == -ENOENT ? failed : error;
	}
	return failed;
}

enum { WHOLE_LANDLOCK = 3 }; /* of Linux 6.2; those before can't stop truncate(2) */

/* The version of Landlock; below 1: there is none. */
static int landlock_version(void) { return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1); }

/* Below these paths, and /dev, the caller can write. Needs no_new_privs. `at` fails. landlock(7) */
static int writable_set(const char *const *paths, const char **at) {
	enum { WRITE_FILE = 1 << 1, REFER = 1 << 13, TRUNCATE = 1 << 14, ALL = 0x1ff2 };
	int version = landlock_version();
	u64 all = ALL | (version > 1 ? REFER : 0) | (version > 2 ? TRUNCATE : 0);
	struct {
		u64 access;
		int32_t fd;
	} __attribute__((packed)) rule;
	struct stat st;
	int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
	int failed = rules < 0 ? -errno : 0;
	for (*at = "/dev"; !failed && *at; *at = failed ? *at : *paths++) { /* there is null */
		rule.fd = open(*at, O_PATH | O_CLOEXEC);
		int is_dir = rule.fd >= 0 && !fstat(rule.fd, &st) && S_ISDIR(st.st_mode);
		rule.access = is_dir ? all : all & (WRITE_FILE | TRUNCATE);
		if (rule.fd < 0 || syscall(SYS_landlock_add_rule, rules, 1, &rule, 0))
			failed = -errno;
		close(rule.fd);
	}
	if (!failed && syscall(SYS_landlock_restrict_self, rules, 0)) failed = -errno;
	close(rules);
	return failed;
}

/* ==== Part III: Lives that may die ============================================================ */

/* ---- 14  children -------------------------------------------------------------------------------
 *
 * What every child does first, and how its parent knows it. The parent's halves of functions
 * return -errno; the child's halves die, and the parent reads why.
 */

static struct {
	int report;         /* pipe to the parent, for a child's last words; or -1 */
	int code;           /* exit status of a death */
	int device;         /* we are PID 1 of the device: after a death nobody is left */
	const char *images; /* directory */
	const char *disk;   /* that is mounted on data_path, on a device */
	char work[48];      /* a directory of our own; the roots are mounted in it */
	char **argv;        /* of main; it and environ follow each other in memory */
	size_t args_size;
	const char *only, *skip; /* names on the kernel command line */
	const char *fault;       /* there, for a test */
	u64 began;               /* when this life did */
	int watchdog;            /* its device, or -1 */
	u64 patience;            /* ms after which that resets us */
} host = {
	.report = -1, .code = 1, .images = BOARD_IMAGES, .work = "/run/launcher", .watchdog = -1
};

static struct { /* not in `host`, for what has no first value takes no place in the file */
	char self[PATH_MAX];                   /* this program, for the rows that have its verbs */
	char sealed[64];                       /* its read-only mount */
	char images[PATH_MAX], data[PATH_MAX]; /* these directories, if one was named */
	char image[PATH_MAX];                  /* the image that is being worked on, for messages */
} IN_PAGES paths;

static void kernel_reboot(int command) {
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, command, NULL);
}

/* Says why, and ends this process. On the device itself: says why, and starts over. */
static _Noreturn __attribute__((format(__printf__, 1, 2))) void die(const char *f, ...) {
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

/* Dies of what has failed with -errno: with what, of which, and why. */
static void must(int failed, const char *what, const char *which) {
	if (failed) die("%s%s%s: %s", what, *which ? " " : "", which, strerror(-failed));
}

/* A child, as its parent knows it. */
struct task {
	pid_t pid;  /* 0: none */
	int pidfd;  /* signals go here, so they never hit a stranger */
	int report; /* its last words; end of file without any: it did its work */
};

static void task_close(const struct task *task) {
	close(task->report);
	if (task->pidfd >= 0) close(task->pidfd);
}

/* What a container is started with: descriptors, of which those that it does not get are -1. */
struct supply {
	int stdio[3];
	int orders;            /* the end of a socket pair, by which its PID 1 is asked */
	int net, users;        /* namespaces of its incarnation before; -1: they are made */
	int lease;             /* of the keeper of its device, which has them */
	int ports[MOST_PORTS]; /* listening sockets */
	struct traffic {
		u64 clients, in, out; /* all; bytes to and from the workload */
		unsigned open;        /* clients */
	} * traffic;
};

#define NO_PORTS                                                                                   \
	{ -1, -1, -1, -1, -1, -1, -1, -1 } /* MOST_PORTS */

enum { START_LIMIT = 30000, DEVICE_WAIT = 5000 }; /* ms */

/* It shall die with the parent: again after it has become somebody else, for that ends the bond. */
static void child_bind(void) {
	struct pollfd parent = { .fd = host.report };
	if (prctl(PR_SET_PDEATHSIG, SIGKILL)) die("death with the parent: %m");
	if (poll(&parent, 1, 0) && parent.revents & POLLERR)
		_exit(host.code); /* the parent was gone before the line above */
}

/* Closes all descriptors but stdio, host.report and the n that are given; -1 is none. */
static void descriptors_keep(const int *keep, int n) {
	for (unsigned from = STDERR_FILENO + 1, next; from; from = next + 1) {
		/* the lowest of the others that is kept */
		next = host.report >= (int)from ? (unsigned)host.report : ~0U;
		for (int i = 0; i < n; i++)
			if ((unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (from == next || !syscall(SYS_close_range, from, next - (next != ~0U), 0))
			continue;
		if (errno != ENOSYS) die("descriptors: %m");
		for (unsigned most = getdtablesize(); from < next && from < most; from++)
			close((int)from); /* before Linux 5.9 */
	}
}

/* The first steps of a child: its limits, and death with the parent. Signals wait. */
static void child_begin(const char *cgroup_name, int placed, int report) {
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	host.report = report;
	host.code = 125;
	host.device = 0;
	setsid(); /* Ctrl-C is for the launcher, which then stops us in order */
	child_bind();
	syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &(int){ 0 }); /* v1 takes no other there */
	must(cgroup_name ? cgroup_join(cgroup_name, placed) : 0, "joining the cgroup", "");
	file_write(AT_FDCWD, "/proc/self/oom_score_adj", "0"); /* PID 1 of the device has another */
}

/*
 * Forks a child into the cgroup of that name (NULL: the caller's) and new namespaces (CLONE_NEW*).
 * Of the caller's descriptors it has stdio and the n of `keep`: a socket or pipe that a child holds
 * does not end when its owner closes it. Returns 0 in the child, 1 in the parent, which owns the
 * descriptors of the task, or -errno.
 */
static int task_fork(struct task *task, u64 namespaces, const char *cgroup_name, const int *keep,
		     int n) {
	int report[2], pidfd = -1;
	const u64 own = namespaces | CLONE_PIDFD;
	struct clone3_args args = { .flags = own,
				    .pidfd = (uintptr_t)&pidfd,
				    .exit_signal = SIGCHLD };
	if (pipe2(report, O_CLOEXEC | O_NONBLOCK)) return -errno;
	int failed = cgroup_name ? cgroup_place(cgroup_name, &args) : 0;
	long pid = failed ? -1 : syscall(SYS_clone3, &args, sizeof args);
	int placed = pid >= 0;
	if (pid < 0 && !failed && errno == ENOSYS) /* Linux 5.2: it joins its cgroup by itself */
		pid = syscall(SYS_clone, (long)(own | SIGCHLD), 0L, &pidfd, 0L, 0L);
	if (pid < 0 && !failed && errno == EINVAL && !namespaces) pid = fork(); /* an emulator */
	if (!pid) {
		child_begin(cgroup_name, placed, report[1]);
		descriptors_keep(keep, n);
		return 0;
	}
	if (pid < 0 && !failed) failed = -errno;
	if (args.flags & CLONE_INTO_CGROUP) close((int)args.cgroup);
	close(report[1]);
	if (failed) close(report[0]);
	*task = (struct task){ failed ? 0 : (pid_t)pid, pidfd, report[0] };
	return failed ? failed : 1;
}

/* Descriptors 0 to 2 are always open, so that nothing else is ever mistaken for them. */
static void open_stdio(const char *path) {
	int fd;
	while ((fd = open(path, O_RDWR | O_NOCTTY)) >= 0 && fd <= STDERR_FILENO)
		;
	if (fd > STDERR_FILENO) close(fd);
}

/* clang-format off */
enum request_kind {
	ASK_SELF, ASK_PS, ASK_STATS, ASK_EVENTS, ASK_LOGS, ASK_START, ASK_STOP, ASK_RESTART,
	ASK_WAIT, ASK_KILL, ASK_PAUSE, ASK_UNPAUSE, ASK_LIMITS, ASK_EXEC, ASK_SAVE, ASK_POWEROFF,
	ASK_REBOOT, ASK_NET, ASK_HEALTH /* nobody but the supervisor, of PID 1 of a container */
};
/* clang-format on */

struct request { /* one packet to the supervisor; some it hands on to PID 1 of the container */
	enum request_kind kind;
	int follow;    /* go on with what comes */
	int number;    /* of ASK_LOGS: lines; of ASK_KILL: the signal; of ASK_EXEC: words */
	char name[32]; /* of the container */
	int tty;       /* of ASK_EXEC: it gets a terminal of its own, of this size: */
	unsigned short rows, columns;
	int ids[2];      /* user and group; -1: those of the workload */
	char text[2048]; /* words with a NUL behind each; of ASK_EXEC: its TERM first */
};

enum { MOST_NOTICES = 64 }; /* that are taken in one turn */

/* What PID 1 of a container tells the supervisor: nothing that the workload wrote itself. */
struct notice {
	enum notice_kind {
		NOTICE_IDLE, /* the relay has had no client for the row's .idle, and has ended */
		NOTICE_READY,
		NOTICE_WATCHDOG,
		NOTICE_STATUS
	} kind;
	char text[128]; /* of NOTICE_STATUS */
};

enum { MOST_FDS = 4 }; /* that come with a packet: of ASK_EXEC stdio, and a line for its end */

union control { /* which they come in */
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int[MOST_FDS]))];
};

/* Sends a packet, with n descriptors. Returns 0 or -errno; -EAGAIN: nobody takes it now. unix(7) */
static int packet_send(int to, const void *packet, size_t size, const int *fds, unsigned n) {
	union control control = { 0 };
	struct iovec piece = { (void *)(uintptr_t)packet, size };
	struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
	if (n) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n * sizeof *fds);
		control.head.cmsg_len = CMSG_LEN(n * sizeof *fds);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.head), fds, n * sizeof *fds);
	}
	return sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * Receives one, as recv(2), and its descriptors, which are the caller's; -1: there was none. The
 * length is that of the packet, which may be more than there was room for.
 */
static ssize_t packet_receive(int from, void *packet, size_t size, int fds[MOST_FDS]) {
	union control control = { 0 };
	struct iovec piece = { packet, size };
	struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control };
	m.msg_controllen = sizeof control; /* the kernel closes what does not fit in */
	ssize_t n = recvmsg(from, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m);
	memset(fds, -1, sizeof(int[MOST_FDS]));
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c), min(c->cmsg_len - CMSG_LEN(0), sizeof(int[MOST_FDS])));
	return n;
}

/*
 * Closes n descriptors, MOST_FDS at most, that somebody else has had: the last close(2) of a file
 * may wait, for a socket that lingers, a terminal that drains, or FUSE. A child has that one: at an
 * exit no socket lingers, and what else waits there holds up nobody.
 */
static void descriptors_drop(const int *fds, int n) {
	int go[2] = { -1, -1 }, keep[1 + MOST_FDS];
	char byte;
	if (!pipe2(go, O_CLOEXEC) && !fork()) {
		host.device = NO; /* see die */
		keep[0] = go[0];
		memcpy(keep + 1, fds, n * sizeof *fds);
		descriptors_keep(keep, n + 1);
		_exit((int)read(go[0], &byte, 1)); /* until the parent has closed its own */
	}
	for (int i = 0; i < n; i++) close(fds[i]);
	close(go[0]);
	close(go[1]);
}

/* Advises the kernel, by madvise(2), about those pages that an object has for itself. */
static void memory_advise(void *object, size_t size, int advice) {
	uintptr_t page = (uintptr_t)getpagesize(), at = ((uintptr_t)object + page - 1) & -page;
	uintptr_t end = ((uintptr_t)object + size) & -page;
	if (at < end) madvise((void *)at, end - at, advice);
}

/* Undoes what signals_hold has done. */
static void signals_reset(void) {
	sigset_t none;
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Waits for the end of a child. A signal of the set, which is blocked, is passed on to it, or kills
 * it if the child can't know. Returns its exit status, and its last words.
 */
static int task_wait(struct task *task, const sigset_t *signals, int kill_it, char *words,
		     size_t size) {
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
	task_close(task);
	if (end.si_code != CLD_EXITED && n <= 0)
		format(words, size, "%s", strsignal(end.si_status));
	return end.si_code == CLD_EXITED ? end.si_status : 128 + end.si_status;
}

/* ---- 15  unpacker -------------------------------------------------------------------------------
 *
 * The child that unpacks an image. It prepares a place and hands the work to a process that sees
 * nothing but that place and the image: with users and mounts of its own, a handful of system
 * calls, and no way out. What a hole in a parser could spoil is that place.
 */

/* Where the root of an image is mounted, or its header kept; no other file there ends so. */
static void root_path(char path[PATH_MAX], const char *image, const char *suffix) {
	const char *name = strrchr(image, '/');
	format(path, PATH_MAX, "%s/%s%s", host.work, name ? name + 1 : image, suffix);
}

/* Unmounts a root. Containers that still run in it keep it alive until they end. */
static void root_drop(const char *image) {
	char path[PATH_MAX];
	root_path(path, image, ".header");
	unlink(path);
	root_path(path, image, ".root");
	umount2(path, MNT_DETACH);
	rmdir(path);
}

/*
 * The first of the IDS user ids, outside, of the containers of an image: of its name, so that what
 * they keep is theirs after each update too. 0: they are the users of the machine.
 */
static u64 ids_first(const struct container *c) {
	const char *slash = strrchr(c->image, '/');
	uint32_t hash = 2166136261U; /* FNV-1a */
	if (c->userns == HOST || (c->tolerate & LACK(USERNS) && access("/proc/self/ns/user", F_OK)))
		return 0;
	for (const char *p = slash ? slash + 1 : c->image; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619U;
	return (u64)(0x4000 + (hash ^ hash >> 16) % 0x3fff) * IDS;
}

static int image_users(const char *image) {
	int users = 0;
	for (int i = 0; i < NCONTAINERS; i++) users += !strcmp(containers[i].image, image);
	return users;
}

/* A root may fill its container's memory; a shared one the memory of the largest that shares it. */
static u64 root_size(const struct container *c) {
	u64 size = memory_max(c);
	for (int i = 0; i < NCONTAINERS; i++)
		if (!strcmp(containers[i].image, c->image) && memory_max(&containers[i]) > size)
			size = memory_max(&containers[i]);
	return size;
}

/* Is it a file, disk or flash? To open another device, or a FIFO, may do harm, or never end. */
static int is_storage(int fd) {
	char link[PATH_MAX] = "";
	struct stat st;
	if (fstat(fd, &st) || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || !S_ISCHR(st.st_mode))
		return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
	readlink(words("/sys/dev/char/%u:%u/subsystem", major(st.st_rdev), minor(st.st_rdev)), link,
		 sizeof link - 1);
	const char *kind = strrchr(link, '/');
	return kind && (!strcmp(kind, "/mtd") || !strcmp(kind, "/ubi"));
}

/*
 * Opens the image of that name or path: a part of this program, a file in the directory of images,
 * or any file, disk or flash device. typed: of a path that a person has given, links are followed.
 */
static int image_find(struct image *m, const char *place, int typed, int anyone) {
	const struct embedded *e = __start_embedded;
	int is_path = !!strchr(place, '/');
	format(paths.image, sizeof paths.image, "%s", place);
	for (; !is_path && e != __stop_embedded; e++)
		if (!strcmp((const char *)&e->name + e->name, place))
			return image_open(m, -1, (const uint8_t *)&e->bytes + e->bytes, e->size,
					  anyone);
	if (!is_path) format(paths.image, sizeof paths.image, "%s/%s", host.images, place);
	typed &= is_path;
	int fd = typed ? open(paths.image, O_PATH | O_CLOEXEC) : path_trusted(paths.image);
	if (typed && fd < 0) fd = -errno;
	if (fd >= 0 && !is_storage(fd)) {
		close(fd);
		return refuse(m, "neither a file nor a disk or flash");
	}
	if (fd >= 0) fd = path_reopen(fd, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? refuse(m, "%s", strerror(-fd)) : image_open(m, fd, NULL, 0, anyone);
}

static IN_PAGES struct image image; /* the one that this process works on */

/* What the processes that unpack one image share. */
static struct crew {
	unsigned shard;  /* that is taken next */
	unsigned failed; /* somebody has said why */
	struct tally tally;
} * crew;

/* All that it takes to fill a directory from an open file. */
static const char unpack_calls[] = CALLS(
    SYS_pwrite64, SYS_openat, SYS_openat2, SYS_close, SYS_fchown, SYS_fchown32, SYS_fchmod,
    SYS_utimensat, SYS_utimensat_time64, SYS_symlinkat, SYS_fchownat, SYS_mkdirat, SYS_fstat,
    SYS_fstat64, SYS_newfstatat, SYS_fstatat64, SYS_statx, SYS_pread64, SYS_linkat, SYS_ftruncate,
    SYS_ftruncate64, SYS_fsetxattr, SYS_unlinkat, SYS_mknodat, SYS_write, SYS_clone, SYS_fork,
    SYS_wait4, SYS_gettid, SYS_rt_sigprocmask, SYS_prctl, SYS_exit, SYS_exit_group);

/* Leaves a worker with the root, and with nothing else that it could reach. */
static void worker_confine(int root) {
	u64 keep = CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID) | CAP(SETFCAP);
	if (!geteuid()) {
		if (fchdir(root) || chroot(".")) die("changing the root: %m");
		must(confine(keep, AS_BOUNDS), "dropping capabilities", "");
	}
	int failed = filter_only(unpack_calls);
	if (failed && failed != -EINVAL) /* a kernel without it: said when the launcher starts */
		die("a filter for system calls: %s", strerror(-failed));
}

static void unpack_shard(struct image *m, int root, unsigned shard, unsigned how) {
	image_rewind(m, shard);
	how |= shard < m->nshards - 1 ? TAR_NO_END : 0;
	int failed = image_unpack(m, root, how, &crew->tally);
	if (failed && __atomic_exchange_n(&crew->failed, 1, __ATOMIC_RELAXED)) {
		while (wait(NULL) > 0)
			; /* who was first says why, and does not outlive its parent */
		_exit(host.code);
	}
	if (failed) die("%s", m->why);
}

/* The life of the worker. An image in shards occupies every CPU: first its directories are made. */
static _Noreturn void worker(struct image *m, int root, unsigned how) {
	cpu_set_t cpus;
	int helpers = sched_getaffinity(0, sizeof cpus, &cpus) ? 0 : CPU_COUNT(&cpus) - 1;
	int status, is_helper = NO,
		    shared = m->nshards > 1 && !tar_each; /* who looks on, in order */
	unsigned shard;
	worker_confine(root);
	how |= shared ? TAR_SHARDS : 0;
	if (shared) unpack_shard(m, root, crew->shard++, how | TAR_SKELETON);
	for (unsigned i = 2; shared && i < m->nshards && helpers-- > 0 && !is_helper; i++)
		is_helper = !fork(); /* one that can't be had is not missed */
	if (is_helper) prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((shard = __atomic_fetch_add(&crew->shard, 1, __ATOMIC_RELAXED)) < m->nshards)
		unpack_shard(m, root, shard, how); /* that nobody else has taken */
	if (is_helper) _exit(0);
	while (wait(&status) > 0)
		if (status && !__atomic_exchange_n(&crew->failed, 1, __ATOMIC_RELAXED))
			die("a process of the unpacker was killed");
	if (crew->failed) _exit(host.code);
	if (shared) unpack_shard(m, root, 0, how | TAR_FINISH);
	modes_set(root, &crew->tally);
	_exit(0);
}

/* A worker without a root has one of its own, which goes with it, and takes no data. */
static int worker_root(const struct image *m, u64 spaces) {
	const char *options = words("size=%llu,nr_inodes=%llu", m->inodes << 12, m->inodes);
	if (!spaces) die("a place to unpack: it takes root, or user namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, options))
		die("a place to unpack: %m");
	return dir_open(AT_FDCWD, "/proc");
}

/*
 * Has the open image unpacked below the directory root, or below none, to see if it could be, by a
 * process that can do nothing else. It has users and mounts of its own where the kernel has such.
 * cgroup_name: as for task_fork; signals: what kills it, see task_wait. Returns 0, or -EBADMSG and
 * the reason in m->why.
 */
static int unpack(struct image *m, int root, const char *cgroup_name, const sigset_t *signals) {
	unsigned how = (geteuid() ? 0 : TAR_OWNERS) | (root < 0 ? TAR_DISCARD : 0);
	static const u64 tries[] = { CLONE_NEWUSER | CLONE_NEWNS, CLONE_NEWNS, 0 };
	u64 spaces = 0, patience = now() + SECONDS(10);
	struct task task;
	int go[2], parent = -1, most = m->ids ? 1 : LEN(tries);
	char byte = 0;
	size_t size = sizeof *crew + (how & (TAR_OWNERS | TAR_DISCARD) ? 0 : MODES_SIZE);
	crew = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (crew == MAP_FAILED || pipe2(go, O_CLOEXEC)) return refuse(m, "%m");
	/* Tasks of an unpacker that was killed a moment ago still count against the row's .pids. */
	for (int i = 0; parent < 0 && i < most; i += parent != -EAGAIN || now() > patience) {
		if (parent == -EAGAIN) poll(NULL, 0, 20);
		parent = task_fork(&task, spaces = tries[i], cgroup_name,
				   (int[]){ m->fd, root, go[0] }, 3);
	}
	if (!parent) {
		if (spaces & CLONE_NEWUSER && read(go[0], &byte, 1) != 1)
			die("its users can't be mapped");
		if (m->ids && users_become(0, 0)) die("its users: %m");
		child_bind();
		root = root < 0 ? worker_root(m, spaces) : root;
		close(go[0]);
		worker(m, root, how);
	}
	if (parent > 0 && spaces & CLONE_NEWUSER) {
		int proc = open(words("/proc/%d", task.pid), O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (!users_map(proc, m->ids, m->ids ? IDS : users_all())) write(go[1], &byte, 1);
		close(proc); /* without that byte it fails by itself */
	}
	close(go[0]);
	close(go[1]);
	if (parent < 0) return refuse(m, "a process to unpack in: %s", strerror(-parent));
	int failed = task_wait(&task, signals, YES, m->why, sizeof m->why);
	if (crew->tally.left_out)
		say("%u device nodes are left out: a container has its own", crew->tally.left_out);
	munmap(crew, size);
	return failed ? -EBADMSG : 0;
}

/* Makes a file that another is mounted on. */
static int mount_file(int root, const char *path) {
	struct mount_op file = { DO_NODE, path, NULL, NULL, 0, S_IFREG | 0644 };
	int failed = path_mkdir(root, parent_of(path));
	if (!failed) failed = mount_do(root, &file);
	return failed == -EEXIST ? 0 : failed;
}

/* The row's line of /etc/hosts, or two: whose network it shares, its addresses are. */
static size_t hosts_line(char *to, size_t size, int row) {
	const struct net *n = &containers[row].net;
	char text[40];
	size_t at = 0;
	int of = row;
	for (int i = 0; i < row && n->kind == NET_SHARE; i++)
		if (!strcmp(containers[i].name, n->link)) of = i;
	for (int v6 = 0; v6 < 2; v6++) {
		struct ip ip = row_ip(&containers[of].net, of, v6);
		if (ip.bits)
			at += format(to + at, size - at, "%s %s\n", ip_text(text, ip),
				     containers[row].name);
	}
	return at;
}

/*
 * Writes who has which name, and who resolves the others, for all that share the root: the policy
 * knows that before any of them runs. A root without /etc has neither; a link there is replaced.
 */
static void names_write(int root, uid_t ids) {
	const char *const *r = network.resolvers;
	struct stat st;
	char text[512];
	int etc = path_open(root, "etc", O_PATH | O_DIRECTORY);
	for (int file = 0; file < 2 && etc >= 0; file++) {
		const char *name = file ? "resolv.conf" : "hosts";
		const char *first = file ? "" : "127.0.0.1 localhost\n::1 localhost\n";
		int kept = file && !r && !fstatat(etc, name, &st, AT_SYMLINK_NOFOLLOW);
		if (kept && !S_ISLNK(st.st_mode)) break; /* the image has its own */
		unlinkat(etc, name, 0);
		int fd = openat(etc, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		write(fd, first, strlen(first));
		for (int row = 0; row < NCONTAINERS && !file; row++)
			write(fd, text, hosts_line(text, sizeof text, row));
		for (; file && r && *r; r++)
			write(fd, text, format(text, sizeof text, "nameserver %s\n", *r));
		fchown(fd, ids, ids);
		close(fd);
	}
	close(etc);
}

/* Makes the places where something will be mounted, for a read-only root takes them no more. */
static void mount_points(const struct container *c, int root) {
	struct stat st;
	int failed = 0;
	for (const char *at = "proc\0sys\0dev\0"; *at && !failed; at += strlen(at) + 1)
		failed = path_mkdir(root, at);
	for (const struct tmpfs *t = c->tmpfs; t && t->path && !failed; t++)
		failed = path_mkdir(root, t->path);
	for (const struct data *d = c->data; d && d->name && !failed; d++)
		failed = path_mkdir(root, d->path);
	for (const struct bind *b = c->binds; b && b->from && !failed; b++) {
		int from = path_trusted(b->from);
		int is_file = from >= 0 && !fstat(from, &st) && !S_ISDIR(st.st_mode);
		if (from >= 0) close(from);
		failed = (is_file ? mount_file : path_mkdir)(root, b->path);
	}
	must(failed, "the image has no place for a mount", "");
}

/* Its place in the table; that of the row `run` is behind all others. */
static int row_number(const struct container *c) {
	int row = 0;
	while (row < NCONTAINERS && c != &containers[row]) row++;
	return row;
}

/*
 * Sets what the image may take: what its header says, or else as much as the limit; an inode takes
 * a KiB of the kernel's memory.
 */
static void image_bound(struct image *m, u64 most) {
	u64 unpacked = header_number(header_value(m, "unpacked", NULL)), page = getpagesize();
	u64 entries = header_number(header_value(m, "entries", NULL)), many = most / 1024;
	m->inodes = (entries ? min(entries, many) : many) + 256;
	m->room = unpacked && entries ? min(unpacked + (min(entries, many) + 64) * page, most)
				      : most;
}

/* An image has the name of its file, but for the end .img: images/pack gives it that. */
static int image_named(const char *file, const char *name) {
	size_t n = strlen(file);
	n -= n > 4 && !strcmp(file + n - 4, ".img") ? 4 : 0;
	return strlen(name) == n && !strncmp(file, name, n);
}

/* Refuses an image that its header says is not for this row, or this machine; else sets bounds. */
static int image_accept(struct image *m, const struct container *c) {
	const char *name = header_value(m, "name", NULL), *arch = header_value(m, "arch", NULL);
	const char *version = header_value(m, "version", NULL);
	const char *least = header_value(m, "kernel", NULL);
	u64 unpacked = header_number(header_value(m, "unpacked", NULL)), most = root_size(c);
	struct utsname kernel = { 0 };
	uname(&kernel);
	if (c->version && (!version || version_compare(version, c->version) < 0))
		return refuse(m, "it has the version %s, and %s is the least that is accepted",
			      version ? version : "0", c->version);
	if (arch && strcmp(arch, ARCH))
		return refuse(m, "it is for %s, and this is %s", arch, ARCH);
	if (least && version_compare(kernel.release, least) < 0)
		return refuse(m, "it needs Linux %s, and this is %s", least, kernel.release);
	if (m->trusted && row_number(c) < NCONTAINERS && !image_named(c->image, name ?: ""))
		return refuse(m, "it is the image '%s', and not that of this row",
			      name ?: "without a name");
	if (unpacked > most)
		return refuse(m, "it has %llu KiB when it is unpacked, and the limit is %llu KiB",
			      unpacked >> 10, most >> 10);
	m->ids = ids_first(c);
	image_bound(m, most);
	return 0;
}

/* Unpacks what is at that place into a bounded tmpfs, and makes it read-only, for good. */
static int unpack_place(const struct container *c, struct image *m, const char *place) {
	char root[PATH_MAX], says[PATH_MAX], options[96];
	if (after(place, "/dev/")) path_wait(place, DEVICE_WAIT);
	int failed = image_find(m, place, place == c->image, NO);
	if (!failed) failed = image_accept(m, c);
	if (failed) return failed;
	root_path(root, c->image, ".root");
	/* Large pages for large files, where there are such (CONFIG_TRANSPARENT_HUGEPAGE). */
	int large = !access("/sys/kernel/mm/transparent_hugepage", F_OK);
	format(options, sizeof options, "mode=755,size=%llu,nr_inodes=%llu%s", m->room, m->inodes,
	       large ? ",huge=within_size" : "");
	if ((mkdir(root, 0755) && errno != EEXIST) ||
	    mount(strrchr(root, '/') + 1, root, "tmpfs", MS_NOSUID | MS_NODEV, options))
		die("a tmpfs for the root: %m");
	int dir = dir_open(AT_FDCWD, root);
	if (dir < 0 || fchown(dir, (uid_t)m->ids, (gid_t)m->ids)) die("%s: %m", root);
	if ((failed = unpack(m, dir, NULL, NULL))) {
		close(dir);
		umount2(root, MNT_DETACH);
		return failed;
	}
	names_write(dir, (uid_t)m->ids);
	mount_points(c, dir);
	for (int i = 0; i < NCONTAINERS; i++)
		if (!strcmp(containers[i].image, c->image)) mount_points(&containers[i], dir);
	/* What the image says of itself is kept for each start of its containers. */
	root_path(says, c->image, ".header");
	int fd = open(says, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = m->pairs_end - m->pairs;
	if (fd < 0 || write(fd, m->pairs, n) < n) die("%s: %m", says);
	close(fd);
	if (mount(NULL, root, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
		die("making the root read-only: %m");
	return 0;
}

/* The life of the unpacker: its first place, or else the fallback, and no third. */
static _Noreturn void unpacker(const struct container *c, int fallen) {
	char why[320] = "";
	journal.as = c->name;
	signals_reset();
	umask(0);
	const char *place = fallen ? c->fallback : c->place ? c->place : c->image;
	int failed = unpack_place(c, &image, place);
	if (failed && c->fallback && !fallen) {
		format(why, sizeof why, "%s: %.*s; ", paths.image, 160, image.why);
		failed = unpack_place(c, &image, c->fallback);
	}
	if (failed) die("%s%s: %s", why, paths.image, image.why);
	if (*why) { /* last words of a success: a remark */
		size_t n = format(scratch, sizeof scratch, "%s%s is taken", why, paths.image);
		write(host.report, scratch, n);
	}
	_exit(0);
}

/*
 * Starts the unpacker of the container's image, or of its fallback at once. A shared image is
 * charged to the launcher.
 */
static int container_unpack(const struct container *c, int fallen, struct task *task) {
	int parent = task_fork(task, 0, image_users(c->image) > 1 ? NULL : c->name, &journal.fd, 1);
	if (!parent) unpacker(c, fallen);
	return parent < 0 ? parent : 0;
}

/* ---- 16  construct ------------------------------------------------------------------------------
 *
 * A container is built from within, by the process that will be its PID 1, in the order in which
 * each step can still be done. Any failure is a death.
 */

static void mount_or_die(int root, const struct mount_op *op) {
	must(mount_do(root, op), "in the container:", op->at);
}

#define mount_one(root, ...) mount_or_die(root, &(struct mount_op){ __VA_ARGS__ })

/* The nodes of the row's devices; cgroup_devices has let them be used. */
static void construct_devices(const struct container *c, int root) {
	for (const struct device *d = c->devices; d && d->path; d++) {
		struct permit it;
		int failed = device_permit(d, &it);
		if (failed == -ENOENT && d->may & OPTIONAL) continue;
		must(failed, "device", d->path);
		must(path_mkdir(root, parent_of(d->path)), "a directory for device", d->path);
		it.type |= (d->may & READ ? 0444 : 0) | (d->may & WRITE ? 0222 : 0);
		mount_one(root, DO_NODE, d->path + 1, .flags = it.number, .mode = it.type);
	}
}

/* Opens, or makes, a directory that is kept; it belongs to those users, or to others of theirs. */
static int data_open(const char *name, uid_t uid, gid_t gid) {
	struct stat st;
	mkdir(data_path, 0700);
	int top = path_trusted(data_path);
	must(top < 0 ? top : 0, "the directory for what is kept,", data_path);
	mkdirat(top, name, 0755); /* root's, until it is given away: a power cut may be between */
	int dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) || (!st.st_uid && fchown(dir, uid, gid)))
		die("%s/%s: %m", data_path, name);
	if (st.st_uid && (st.st_uid ^ uid) / IDS)
		die("%s/%s belongs to user %u, which is none of this container's", data_path, name,
		    st.st_uid);
	close(top);
	return dir;
}

/* What the row binds, and what is kept for it. */
static void construct_binds(const struct container *c, int root, uid_t uid, gid_t gid) {
	for (const struct bind *b = c->binds; b && b->from; b++) {
		unsigned long flags = MS_NODEV | (b->may & WRITE ? MS_NOEXEC : MS_RDONLY);
		int from = path_trusted(b->from);
		if (from == -ENOENT && b->may & OPTIONAL) continue;
		must(from < 0 ? from : mount_bind(root, b->path, from, flags), "binding", b->from);
		close(from);
	}
	for (const struct data *d = c->data; d && d->name; d++) {
		int dir = data_open(d->name, uid, gid);
		must(mount_bind(root, d->path, dir, MS_PLAIN), "in the container:", d->path);
		close(dir);
	}
}

/* Does it say WATCHDOG=1, or anything, by sd_notify(3)? */
static int is_watched(const struct container *c) { return c->health.every && !c->health.command; }

static int notifies(const struct container *c) { return c->ready == NOTIFY || is_watched(c); }

/* A file of ours, in /dev/launcher. */
static void construct_ours(int root, const char *path, const char *from) {
	int fd = open(from, O_PATH | O_CLOEXEC);
	mount_one(root, DO_NODE, path, .mode = S_IFREG);
	must(mount_bind(root, path, fd, MS_NODEV | MS_RDONLY), "in the container:", path);
	close(fd);
}

/* The socket at which the workload says READY=1 and its like, and its PID 1 hears it. */
static int construct_notices(int root) {
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	format(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/dev/launcher/notify", root);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at)) die("/dev/launcher/notify: %m");
	return fd;
}

/* All mounts of a container below its open root. Returns the socket for its notices, or -1. */
static int construct_mounts(const struct container *c, int root, uid_t uid, gid_t gid) {
	char options[96], from[96];
	for (int i = 0; i < LEN(container_mounts); i++) mount_or_die(root, &container_mounts[i]);
	for (const char *at = to_hide; *at; at += strlen(at) + 1) mount_one(root, DO_HIDE, at);
	for (const char *at = to_lock; *at; at += strlen(at) + 1) mount_one(root, DO_LOCK, at);
	for (const struct tmpfs *t = c->tmpfs; t && t->path; t++) {
		format(options, sizeof options, "mode=1777,uid=%u,gid=%u,size=%llu,nr_inodes=%llu",
		       uid, gid, t->size, t->inodes ? t->inodes : t->size / 1024);
		mount_one(root, DO_MOUNT, t->path, "tmpfs", options, MS_PLAIN);
	}
	construct_binds(c, root, uid, gid);
	construct_devices(c, root);
	if (c->control || notifies(c)) mount_one(root, DO_DIR, "dev/launcher");
	if (c->control) {
		construct_ours(root, "dev/launcher/launcher", paths.self);
		format(from, sizeof from, "%s/%s.control", host.work, c->name);
		construct_ours(root, "dev/launcher/control", from);
	}
	int notices = notifies(c) ? construct_notices(root) : -1;
	mount_one(root, DO_SEAL, "dev");
	return notices;
}

/* Lays what is written over the read-only root: it is forgotten, and counts as memory; or kept. */
static int root_writable(const struct container *c, const char *path, int lower) {
	static const char names[][6] = { "upper", "work", "root" };
	char options[128], name[64];
	uid_t ids = (uid_t)ids_first(c);
	format(options, sizeof options, "mode=755,size=%llu,nr_inodes=%llu", c->root,
	       c->root / 1024);
	format(name, sizeof name, "%s.root", c->name);
	if (c->root == PERSISTENT
		? fchdir(data_open(name, ids, ids))
		: mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV, options) || chdir(path))
		die("a place for what is written: %m");
	for (int i = 0; i < LEN(names); i++)
		if ((mkdir(names[i], 0755) && errno != EEXIST) || chown(names[i], ids, ids))
			die("a place for what is written: %m");
	format(options, sizeof options, "lowerdir=/proc/self/fd/%d,upperdir=upper,workdir=work",
	       lower);
	if (mount("none", "root", "overlay", MS_NOSUID | MS_NODEV, options)) {
		if (errno == ENODEV && c->tolerate & LACK(OVERLAY)) return lower;
		die("a root that can be written, by overlayfs (CONFIG_OVERLAY_FS): %m");
	}
	close(lower);
	return open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Makes the root of the image the root of this mount namespace, and lets go of the old one. */
static int construct_root(const struct container *c, uid_t uid, gid_t gid) {
	char path[PATH_MAX];
	root_path(path, c->image, ".root");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) die("mounts of its own: %m");
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0 && c->root) root = root_writable(c, path, root);
	if (root < 0 || fchdir(root)) die("%s: %m", path);
	int notices = construct_mounts(c, root, uid, gid);
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		die("changing the root: %m");
	close(root);
	return notices;
}

/* The limits of its processes: the row's or sane ones, not those of who started us. */
static void construct_limits(const struct container *c) {
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit now = { 0 };
		getrlimit(i, &now);
		const struct rlimit before = now;
		rlim_t most = i == RLIMIT_CORE                           ? 0
			      : i == RLIMIT_NOFILE                       ? 4096
			      : i == RLIMIT_STACK || i == RLIMIT_MEMLOCK ? 8 << 20
									 : RLIM_INFINITY;
		now.rlim_cur = now.rlim_max = most < now.rlim_max ? most : now.rlim_max;
		for (const struct limit *l = c->limits; l && (l->most || l->resource); l++)
			if (l->resource == i) now.rlim_cur = now.rlim_max = l->most;
		if (memcmp(&now, &before, sizeof now) && prlimit(0, i, &now, NULL))
			die("limit %d of its processes: %m", i);
	}
}

/* How its processes are scheduled, and what they were to who started us. */
static void construct_process(const struct container *c) {
	u64 cpus[16] = { c->affinity };
	if (!c->affinity) memset(cpus, 0xff, sizeof cpus);
	syscall(SYS_personality, 0);
	if (setpriority(PRIO_PROCESS, 0, c->nice)) die("nice %d: %m", c->nice);
	if (syscall(SYS_sched_setscheduler, 0, c->schedule.policy, &c->schedule.priority))
		die("its scheduling policy: %m");
	if (sched_setaffinity(0, sizeof cpus, (cpu_set_t *)(void *)cpus)) die("its CPUs: %m");
	if (syscall(SYS_ioprio_set, 1, 0, c->io_priority) && c->io_priority)
		die("its I/O priority: %m");
	prctl(PR_SET_TIMERSLACK, c->timer_slack ? (unsigned long)c->timer_slack : 50000UL);
	syscall(SYS_keyctl, 1, NULL); /* KEYCTL_JOIN_SESSION_KEYRING: not that of who started us */
	must(file_write(AT_FDCWD, "/proc/self/oom_score_adj", words("%d", c->oom_score_adj)),
	     "its oom_score_adj", "");
	construct_limits(c);
}

static int sysctl_set(const struct setting *s) {
	char path[128];
	format(path, sizeof path, "/proc/sys/%s", s->name);
	for (char *p = path; (p = strchr(p, '.'));) *p = '/';
	return file_write(AT_FDCWD, path, s->value);
}

/* Settings of its own namespaces. Ports are its own, so any of its users may have the low ones. */
static void construct_sysctl(const struct container *c) {
	static const struct setting ports[] = { { "net.ipv4.ip_unprivileged_port_start", "0" },
						{ "net.ipv4.ping_group_range", "0 2147483647" } };
	for (int i = 0; i < LEN(ports) && c->net.kind != NET_HOST; i++) sysctl_set(&ports[i]);
	for (const struct setting *s = c->sysctl; s && s->name; s++)
		must(sysctl_set(s), "sysctl", s->name);
}

/* Moves the clocks of what is forked from now on. */
static void construct_clock(const struct container *c) {
	if (!c->clock.monotonic && !c->clock.boottime) return;
	if (unshare(CLONE_NEWTIME)) {
		if (errno == EINVAL && c->tolerate & LACK(TIMENS)) return;
		die(".clock: a time namespace (CONFIG_TIME_NS): %m");
	}
	must(file_write(AT_FDCWD, "/proc/self/timens_offsets",
			words("monotonic %lld 0\nboottime %lld 0\n", (i64)c->clock.monotonic,
			      (i64)c->clock.boottime)),
	     ".clock", "");
}

/* Becomes root among the users of the container, where that is nobody outside. */
static void construct_users(int users) {
	if (users < 0) return;
	if (setns(users, CLONE_NEWUSER) || users_become(0, 0)) die("users of its own: %m");
	close(users);
}

/* The user and group of the workload, in the container: the row's, or the image's, or root. */
static void user_of(const struct container *c, const struct image *says, uid_t *uid, gid_t *gid) {
	i64 ids[2] = { 0 };
	const char *user = c->user ? c->user : header_value(says, "user", NULL);
	const char *end = user ? user + strlen(user) : NULL;
	if (user && (decimal(&user, end, &ids[0]) || *user++ != ':' ||
		     decimal(&user, end, &ids[1]) || user != end || ids[0] >= IDS || ids[1] >= IDS))
		die("the image's user is not UID:GID, two numbers below %d", IDS);
	*uid = (uid_t)ids[0];
	*gid = (gid_t)ids[1];
}

/* Dies of what has failed with -errno; if a kind of link is not known, of what the kernel lacks. */
static void network_must(int failed, const struct net *n) {
	const struct link_kind *k = link_kinds;
	int fd = failed == -EOPNOTSUPP ? net_open() : -1;
	if (fd >= 0 && !unshare(CLONE_NEWNET)) {
		close(fd);
		fd = net_open(); /* of a place where it can be tried */
	}
	for (; fd >= 0 && k < link_kinds + LEN(link_kinds); k++)
		if (k->kind == n->kind && !link_known(fd, k))
			die("network %s: the kernel has no %s (%s)", n->link, k->name, k->option);
	must(failed, "network", n->link ? n->link : "");
}

/*
 * The network that its row says. From outside come: the namespace of the device, a socket in it,
 * and the link there that it is about. What its incarnation before has left it is used again.
 */
static void construct_network(const struct container *c, int is_new, int device, int outside,
			      int below) {
	const struct net *n = &c->net;
	const char *inner = n->kind == NET_DEVICE ? n->link : "eth0";
	int own = net_open(), failed = own < 0 ? own : 0;
	if (!failed && is_new)
		failed = link_ask(own, &(struct link_op){ .index = 1, .up = YES }, NULL);
	must(failed, "network lo", "");
	if (!n->kind) {
		close(own);
		return;
	}
	int row = row_number(c), index = (int)if_nametoindex(inner);
	int space = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	char name[16];
	format(name, sizeof name, "lr-%s", link_part(c->name));
	struct link_op op = { .name = name, .on = below, .space = space };
	if (is_new) /* it has the addresses of its row, and none that a router tells it */
		file_write(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/accept_ra", "0");
	if (n->kind == NET_DEVICE && !index) { /* it comes later, or back: out there */
		if (setns(device, CLONE_NEWNET)) die("the network of the device: %m");
		index = link_wait(n->link, DEVICE_WAIT);
		failed = index < 0 ? index : device_move(index, n->link, space);
		if (setns(space, CLONE_NEWNET)) die("the network of the container: %m");
		index = 0;
	} else if (n->kind == NET_BRIDGE && !index) {
		link_remove(outside, name); /* of a namespace that the kernel still clears away */
		op = (struct link_op){ name, "veth", 0, 0, below, space, inner, YES };
		failed = link_ask(outside, &op, n);
		op = (struct link_op){ .name = name, .isolated = YES };
		if (!failed && !n->open) failed = link_ask(outside, &op, NULL);
	} else if ((n->kind == NET_MACVLAN || n->kind == NET_IPVLAN) && !index) {
		op.kind = n->kind == NET_MACVLAN ? "macvlan" : "ipvlan";
		/* One of the other kind stays until the kernel has cleared its namespace away. */
		for (u64 by = now() + 1000;
		     (failed = link_ask(outside, &op, n)) == -EBUSY && now() < by;)
			poll(NULL, 0, 20);
		if (!failed) index = (int)if_nametoindex(name);
	}
	int named = (int)if_nametoindex(inner);
	if (!failed && n->kind >= NET_BRIDGE && n->kind < NET_SHARE) {
		/* One that is up can't be given a name, not even its own, before Linux 6.2. */
		op = (struct link_op){ named ? NULL : inner, .index = named ? named : index };
		op.up = YES;
		failed = net_configure(own, &op, n, row_ip(n, row, NO), row_ip(n, row, YES));
	}
	network_must(failed, n);
	close(space);
	close(own);
}

/*
 * Enters namespaces for users and network: those of before, or of who keeps its device, or new
 * ones. Returns a descriptor of those of the users, -1 if they are those of the machine.
 */
static int construct_spaces(const struct container *c, const struct supply *supply, u64 ids) {
	const struct net *n = &c->net;
	int got[MOST_FDS] = { supply->net, supply->users, -1, -1 };
	int is_own = n->kind != NET_HOST && n->kind != NET_SHARE, outside = -1, device = -1;
	int is_new = is_own && supply->net < 0, below = 0;
	if (n->kind == NET_SHARE && supply->net < 0) die("network: there is none to share");
	struct pollfd keeper = { .fd = supply->lease, .events = POLLIN };
	u64 owned = is_new && n->kind != NET_DEVICE && ids && c->keep & NET_CAPS ? CLONE_NEWNET : 0;
	if (n->kind > NET_HOST && is_own) outside = net_open();
	if (n->kind == NET_DEVICE) device = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (is_new && n->kind == NET_BRIDGE)
		below = bridge_make(outside, n->link);
	else if (is_new && (n->kind == NET_MACVLAN || n->kind == NET_IPVLAN))
		below = link_wait(n->link, DEVICE_WAIT);
	network_must(below < 0 ? below : 0, n);
	if (supply->lease >= 0 &&
	    (poll(&keeper, 1, DEVICE_WAIT) < 0 ||
	     packet_receive(supply->lease, scratch, 1, got) < 0 || got[0] < 0))
		die("network %s: nobody keeps it", n->link);
	int users = got[1] >= 0 || !ids ? got[1] : users_make(ids, owned);
	must(users < 0 && ids ? users : 0, "users of its own (CONFIG_USER_NS)", "");
	if (got[0] >= 0 ? setns(got[0], CLONE_NEWNET) : is_new && !owned && unshare(CLONE_NEWNET))
		die("a network namespace (CONFIG_NET_NS): %m");
	if (is_own && (is_new || n->kind)) construct_network(c, is_new, device, outside, below);
	return users;
}

/*
 * Builds all of it. Returns the socket for the notices of the workload, or -1. The cgroup namespace
 * is not made by clone3, where it would begin at the parent's cgroup.
 */
static int construct(const struct container *c, const struct image *says,
		     const struct supply *supply) {
	u64 ids = ids_first(c);
	int users = construct_spaces(c, supply, ids);
	uid_t uid;
	gid_t gid;
	umask(0);
	user_of(c, says, &uid, &gid);
	if (unshare(CLONE_NEWCGROUP)) die("a cgroup namespace: %m");
	if (sethostname(c->name, strlen(c->name))) die("host name: %m");
	construct_sysctl(c);
	for (int i = 0; i < 3; i++) /* descriptors 0 to 2 are always open in the parent */
		if (dup2(supply->stdio[i], i) < 0) die("stdio: %m");
	/* The pipe of the log: /dev/stdout shall open for it. */
	if (supply->stdio[1] > STDERR_FILENO) fchown(1, (uid_t)ids + uid, (gid_t)ids + gid);
	int notices = construct_root(c, (uid_t)ids + uid, (gid_t)ids + gid);
	construct_process(c);
	int failed = c->label ? label_set(c->label) : 0;
	/* What a module that is there refuses, nobody tolerates. */
	int there = file_read(AT_FDCWD, "/proc/self/attr/current", scratch, sizeof scratch) > 0;
	must(!there && c->tolerate & LACK(LABEL) ? 0 : failed, "the label", c->label);
	construct_clock(c);
	construct_users(users);
	if (prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_NAME, "launcher"))
		die("hiding from its workload: %m");
	child_bind();
	int keep[2 + MOST_PORTS] = { supply->orders, notices };
	memcpy(keep + 2, supply->ports, sizeof supply->ports);
	descriptors_keep(keep, LEN(keep));
	return notices;
}

/* A link that the keeper's namespace has, but for lo, goes back, with the name that it had. */
static struct {
	int outside; /* the namespace of the device */
	const char *name;
} keeper;

static void keeper_return(const struct nlmsghdr *h) {
	const struct ifinfomsg *link = (const struct ifinfomsg *)(h + 1);
	if (link->ifi_index != 1) device_move(link->ifi_index, keeper.name, keeper.outside);
}

/*
 * Starts a process that makes the network namespace of a row with a DEVICE, and outlives whoever
 * else is in it, even the launcher: with the last of its users a virtual device would be gone. At
 * the end of the lease, when nobody has the other end of that open, the device goes back.
 */
static int keeper_start(const struct container *c, int *lease, struct task *task) {
	int line[2], space[2];
	u64 ids = ids_first(c);
	char byte;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line)) return -errno;
	int parent = task_fork(task, 0, NULL, &line[1], 1);
	if (parent) {
		close(line[1]);
		*lease = line[0];
		return parent < 0 ? parent : 0;
	}
	keeper.name = c->net.link;
	keeper.outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	space[1] = ids ? users_make(ids, CLONE_NEWNET) : -1;
	must(ids && space[1] < 0 ? space[1] : 0, "users of its own (CONFIG_USER_NS)", "");
	if (!ids && unshare(CLONE_NEWNET)) die("a network namespace (CONFIG_NET_NS): %m");
	space[0] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, 0);
	prctl(PR_SET_NAME, "keeper"); /* who kills all that is called launcher spares it */
	must(packet_send(line[1], "", 1, space, ids ? 2 : 1), "handing over a network", "");
	close(host.report);
	host.report = -1;
	descriptors_keep((int[]){ keeper.outside, line[1] }, 2);
	must(confine(CAP(NET_ADMIN), AS_BOUNDS), "dropping capabilities", "");
	while (recv(line[1], &byte, 1, 0) > 0)
		;
	net_each(net_open(), RTM_GETLINK, keeper_return);
	_exit(0);
}

/* ---- 17  relay ----------------------------------------------------------------------------------
 *
 * For a workload that takes no socket from its supervisor: a process beside it connects to the
 * workload on the loopback of the container, accepts a client of a port of the device, and splices
 * what both say. It is charged to the container, ends with it, and can do nothing else.
 */

enum { MOST_RELAYED = 512, TURNS = 16, TRY_AGAIN = 20 }; /* clients; pieces at once; ms */
enum { LISTENERS = MOST_RELAYED };                       /* the events of those have numbers from */

static struct relayed {
	struct side { /* one end: what is read here is written to the other */
		int fd, ended;
		int pipe[2]; /* where bytes wait that the other did not take yet; -1: none */
		size_t held; /* so many */
	} sides[2];          /* the client; the workload */
	int is_taken;
} relayed[MOST_RELAYED] IN_PAGES;

static struct {
	int poller;
	u64 rests; /* when there has been nobody for long enough */
	const struct container *row;
	const struct supply *supply;
	int spare[2];         /* an empty pipe, for whoever moves something */
	int next[MOST_PORTS]; /* on its way to the workload, for the next client; or -1 */
	unsigned waiting;     /* a bit for each port whose clients have to wait */
} relay = { .spare = { -1, -1 }, .next = NO_PORTS };

static void relay_watch(int how, int fd, uint32_t events, int number) {
	struct epoll_event event = { .events = events, .data = { .u32 = (uint32_t)number } };
	epoll_ctl(relay.poller, how, fd, &event);
}

static void relay_close(struct relayed *r) {
	for (struct side *s = r->sides; s < r->sides + 2; s++) {
		close(s->fd);
		if (s->pipe[0] >= 0) close(s->pipe[0]), close(s->pipe[1]);
	}
	r->is_taken = NO;
	if (!--relay.supply->traffic->open) relay.rests = now() + relay.row->idle;
}

/* Moves what there is, and fits. Returns 0 when this way has come to its end; -1: all is over. */
static int relay_move(struct relayed *r, struct side *from, struct side *to, u64 *count) {
	for (int turn = 0; turn < TURNS; turn++) {
		int *pipe = from->held ? from->pipe : relay.spare;
		if (from->ended) return 0;
		if (relay.spare[0] < 0 && pipe2(relay.spare, O_CLOEXEC | O_NONBLOCK)) return -1;
		if (!from->held) {
			ssize_t n = splice(from->fd, NULL, pipe[1], NULL, 1 << 16,
					   SPLICE_F_NONBLOCK);
			if (n < 0) return errno == EAGAIN ? 1 : -1;
			from->ended = !n && !shutdown(to->fd, SHUT_WR);
			if (!n) return from->ended ? 0 : -1;
			from->held = (size_t)n;
		}
		ssize_t n = splice(pipe[0], NULL, to->fd, NULL, from->held, SPLICE_F_NONBLOCK);
		if (n < 0 && errno != EAGAIN) return -1;
		from->held -= n > 0 ? (size_t)n : 0;
		*count += n > 0 ? (u64)n : 0;
		if (from->held && pipe == relay.spare) { /* it waits there; others get another */
			int other[2] = { from->pipe[0], from->pipe[1] };
			memcpy(from->pipe, relay.spare, sizeof other);
			memcpy(relay.spare, other, sizeof other);
		}
		if (n < 0) return 1;
	}
	/* The others have their turn; this one is looked at again. */
	relay_watch(EPOLL_CTL_MOD, from->fd, EPOLLIN | EPOLLOUT | EPOLLET, (int)(r - relayed));
	return 1;
}

/* Something has changed for a client. */
static void relay_serve(struct relayed *r) {
	struct side *a = &r->sides[0], *b = &r->sides[1];
	int in = relay_move(r, a, b, &relay.supply->traffic->in);
	int out = in < 0 ? -1 : relay_move(r, b, a, &relay.supply->traffic->out);
	if (in < 0 || out < 0 || (!in && !out)) relay_close(r);
}

/* A connection to the workload. On the loopback, the second call knows what the first began. */
static int relay_connect(int port) {
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), failed = YES;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 2 && failed; i++)
		failed = connect(fd, (struct sockaddr *)&at, sizeof at) && errno != EISCONN;
	if (failed) close(fd);
	return failed ? -1 : fd;
}

/* Takes in a client, if the workload does; until then he waits outside, and can't be lost. */
static void relay_accept(int i) {
	struct relayed *r = relayed, *end = relayed + MOST_RELAYED;
	int one = 1, client = -1, listener = relay.supply->ports[i];
	int waited = relay.waiting >> i & 1, waits;
	while (r < end && r->is_taken) r++;
	if (relay.next[i] < 0 && r < end) relay.next[i] = relay_connect(relay.row->ports[i].to);
	if (relay.next[i] >= 0 && r < end)
		client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	waits = client < 0 && (relay.next[i] < 0 || r == end || errno != EAGAIN);
	if (waits != waited) {
		relay_watch(waits ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, listener, EPOLLIN,
			    LISTENERS + i);
		relay.waiting ^= 1U << i;
	}
	if (client < 0) return;
	*r = (struct relayed){ .is_taken = YES };
	relay.supply->traffic->clients++;
	relay.supply->traffic->open++;
	for (int side = 0; side < 2; side++) {
		r->sides[side] = (struct side){ side ? relay.next[i] : client, NO, { -1, -1 }, 0 };
		setsockopt(r->sides[side].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		relay_watch(EPOLL_CTL_ADD, r->sides[side].fd, EPOLLIN | EPOLLOUT | EPOLLET,
			    (int)(r - relayed));
	}
	relay.next[i] = -1;
}

static const char relay_calls[] = CALLS(
    SYS_epoll_ctl, SYS_epoll_wait, SYS_epoll_pwait, SYS_accept4, SYS_socket, SYS_connect,
    SYS_setsockopt, SYS_shutdown, SYS_splice, SYS_pipe2, SYS_close, SYS_clock_gettime,
    SYS_clock_gettime64, SYS_clock_gettime32, SYS_exit, SYS_exit_group);

/*
 * The life of the relay. It ends when there has been no client for the row's .idle, and leaves the
 * next one in the queue: then the container rests, and nobody is refused.
 */
static _Noreturn void relay_loop(const struct container *c, const struct supply *supply) {
	struct epoll_event events[32];
	relay.row = c;
	relay.supply = supply;
	relay.poller = epoll_create1(EPOLL_CLOEXEC);
	supply->traffic->open = 0;
	for (int i = 0; c->ports[i].port; i++)
		if (c->ports[i].to)
			relay_watch(EPOLL_CTL_ADD, supply->ports[i], EPOLLIN, LISTENERS + i);
	int keep[1 + MOST_PORTS] = { relay.poller };
	memcpy(keep + 1, supply->ports, sizeof supply->ports);
	close(host.report);
	host.report = -1;
	descriptors_keep(keep, LEN(keep));
	if (prctl(PR_SET_KEEPCAPS, 1) || users_become(IDS - 1, IDS - 1) || confine(0, AS_BOUNDS))
		_exit(host.code);
	int failed = filter_only(relay_calls);
	if (failed && failed != -EINVAL) _exit(host.code); /* whether it matters, see `give_up` */
	relay.rests = now() + c->idle;
	for (;;) {
		u64 time = now();
		int idle = c->idle && !supply->traffic->open && !relay.waiting;
		if (idle && time >= relay.rests) _exit(0);
		int timeout = relay.waiting ? TRY_AGAIN : idle ? (int)(relay.rests - time) : -1;
		int n = epoll_wait(relay.poller, events, LEN(events), timeout);
		for (int i = 0; i < n; i++) {
			int number = (int)events[i].data.u32;
			if (number >= LISTENERS)
				relay_accept(number - LISTENERS);
			else if (relayed[number].is_taken)
				relay_serve(&relayed[number]);
		}
		for (int i = 0; i < MOST_PORTS; i++)
			if (relay.waiting >> i & 1) relay_accept(i);
	}
}

/* ---- 18  inside ---------------------------------------------------------------------------------
 *
 * PID 1 of a container starts the workload, and stays: it reaps, forwards signals, executes what
 * the supervisor asks beside the workload, and ends as that does.
 */

/* What the image says of itself: read from what unpack_place has kept. */
static const struct image *image_says(const struct container *c) {
	char path[PATH_MAX];
	root_path(path, c->image, ".header");
	ssize_t n = file_read(AT_FDCWD, path, image.text, sizeof image.text);
	must(n < 0 ? (int)n : 0, "what the image says:", path);
	image.pairs = image.text;
	image.pairs_end = image.text + n;
	return &image;
}

/* All values of a key, as a list that NULL ends. */
static void image_list(const struct image *says, const char *key, const char **list) {
	const char *value = NULL;
	while ((value = header_value(says, key, value))) *list++ = value;
}

/* The environment: of each list what those before it do not say. Nothing comes from outside. */
static const char **environment(const struct container *c, const char *const *of_image,
				const char *term) {
	static const char *const defaults[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/dev/launcher",
		"HOME=/",
		"TERM=linux",
		NULL,
	};
	static char fds[24], pid[24], watchdog_usec[48];
	const char *extra[5] = { term };
	int n = 0, handed = 0;
	for (const struct port *p = c->ports; p && p->port; p++) handed += !p->to;
	format(fds, sizeof fds, "LISTEN_FDS=%d", handed);
	format(pid, sizeof pid, "LISTEN_PID=%d", getpid());
	if (!term && handed) extra[n++] = fds, extra[n++] = pid;
	if (!term && notifies(c)) extra[n++] = "NOTIFY_SOCKET=/dev/launcher/notify";
	if (!term && is_watched(c)) extra[n++] = watchdog_usec;
	const char *const *const lists[] = { extra, c->env, of_image, defaults };
	static const char *all[LEN(extra) + 56 + WORDS_MAX + LEN(defaults)]; /* 56: see ENV */

	n = 0;
	format(watchdog_usec, sizeof watchdog_usec, "WATCHDOG_USEC=%llu", c->health.every * 1000);
	for (int list = 0; list < LEN(lists); list++)
		for (const char *const *e = lists[list]; e && *e; e++) {
			size_t key = strcspn(*e, "=") + 1;
			int i = 0;
			while (i < n && strncmp(all[i], *e, key)) i++;
			if (i == n || lists[list] == c->env) all[n++] = *e;
		}
	return all;
}

/* A terminal of the container's own: who asked for it gets the other end through the line. */
static int terminal_open(const struct request *r, int line) {
	struct winsize size = { .ws_row = r->rows, .ws_col = r->columns };
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), unlocked = 0;
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked)) die("a terminal: %m");
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	if (slave < 0 || ioctl(slave, TIOCSWINSZ, &size) || ioctl(slave, TIOCSCTTY, 0))
		die("a terminal: %m");
	must(packet_send(line, "", 1, &master, 1), "handing over a terminal", "");
	close(master);
	return slave;
}

/* Gives up all that the row does not name, in the order in which each step can still be done. */
static void give_up(const struct container *c, const struct image *says) {
	must(confine(c->keep, AS_AMBIENT), "dropping capabilities", "");
	const char *cwd = header_value(says, "cwd", NULL);
	if (cwd && chdir(cwd)) die("the image's working directory %s: %m", cwd);
	int version = c->writable ? landlock_version() : WHOLE_LANDLOCK, failed = 0;
	const char *at = "";
	if (version < WHOLE_LANDLOCK && !(c->tolerate & LACK(LANDLOCK)))
		die(".writable needs Linux 6.2 and CONFIG_SECURITY_LANDLOCK:%s",
		    version > 0 ? " Landlock before can't stop truncate(2)"
				: " it has no Landlock");
	if (c->writable && version > 0) failed = writable_set(c->writable, &at);
	must(failed, ".writable", at ? at : "");
	failed = filter_groups(c->may ? (unsigned)c->may : DEFAULT);
	must(failed == -EINVAL && c->tolerate & LACK(SECCOMP) ? 0 : failed,
	     "a filter for system calls (CONFIG_SECCOMP_FILTER)", "");
}

/* Sockets of ports without .to become descriptors 3 and so on, as sd_listen_fds(3) finds them. */
static void hand_in(const struct container *c, const struct supply *supply) {
	enum { ABOVE = 3 + MOST_PORTS };
	int fds[MOST_PORTS], n = 0;
	host.report = fcntl(host.report, F_DUPFD_CLOEXEC, ABOVE);
	for (int i = 0; c->ports && c->ports[i].port; i++)
		if (!c->ports[i].to) fds[n++] = fcntl(supply->ports[i], F_DUPFD_CLOEXEC, ABOVE);
	for (int i = 0; i < n; i++) {
		fcntl(fds[i], F_SETFL, 0); /* as systemd has them: they block */
		if (dup2(fds[i], 3 + i) < 0) die("its sockets: %m");
	}
}

/*
 * The first steps of the workload, or of what r asks for beside it with these descriptors; the last
 * step replaces it. The image's command is the default of the row's.
 */
static _Noreturn void workload(const struct container *c, const struct image *says,
			       const struct supply *supply, const struct request *r,
			       const int *fds) {
	const char *entry[WORDS_MAX + 1] = { NULL }, *env[WORDS_MAX + 1] = { NULL };
	static IN_PAGES const char *words_of[sizeof((struct request *)0)->text];
	const char *const *command = c->command ? c->command : entry,
			  *term = r ? "TERM=linux" : NULL;
	uid_t uid;
	gid_t gid;
	image_list(says, "entry", entry);
	image_list(says, "env", env);
	signals_reset();
	umask(022);
	setsid();
	user_of(c, says, &uid, &gid);
	if (r && r->kind == ASK_EXEC) {
		const char *word = term = r->text, *end = r->text + sizeof r->text;
		for (int n = 0; n < r->number && (word += strlen(word) + 1) < end;)
			words_of[n++] = word;
		command = words_of;
		uid = r->ids[0] < 0 ? uid : (uid_t)r->ids[0];
		gid = r->ids[1] < 0 ? gid : (gid_t)r->ids[1];
	} else if (r) {
		command = c->health.command;
	}
	if (prctl(PR_SET_KEEPCAPS, 1) || users_become(uid, gid)) die("becoming user %u: %m", uid);
	int tty = r && r->tty ? terminal_open(r, fds[MOST_FDS - 1]) : -1;
	for (int i = 0; r && i <= STDERR_FILENO; i++)
		if (dup2(tty < 0 ? fds[i] : tty, i) < 0) die("stdio: %m");
	if (tty > STDERR_FILENO) close(tty);
	if (supply) hand_in(c, supply);
	/* Refused where a laptop's session owns it: there is no job control then. */
	if (!r && c->console) ioctl(0, TIOCSCTTY, 0);
	give_up(c, says);
	host.code = 127;
	if (!command[0]) die("neither its row nor its image says what to run");
	environ = (char **)(uintptr_t)environment(c, env, term);
	execvp(command[0], (char *const *)(uintptr_t)command);
	host.code = errno == ENOENT ? 127 : 126;
	die("executing %s: %m", command[0]);
}

/*
 * What PID 1 of a container has open, and waits for: its signals, what the supervisor asks, what
 * the workload tells by sd_notify(3), and a line for each process that was asked for, the last one
 * for health. Through a line go: to us the signals for the process, or the end of who wants it;
 * from us its last words if it could not be executed, then its status.
 */
enum { IN_SIGNALS, IN_ORDERS, IN_NOTICES, IN_LINES, IN_ALL = IN_LINES + 8 + 1 };

static struct {
	struct pollfd fds[IN_ALL];
	pid_t pids[IN_ALL]; /* of IN_SIGNALS: the workload's; of IN_ORDERS: the relay's */
} inner;

static void inner_watch(int at, int fd, pid_t pid) {
	inner.fds[at] = (struct pollfd){ .fd = fd, .events = POLLIN };
	inner.pids[at] = pid;
}

static void inner_tell(enum notice_kind kind, const char *text) {
	struct notice notice = { .kind = kind };
	format(notice.text, sizeof notice.text, "%s", text);
	send(inner.fds[IN_ORDERS].fd, &notice, sizeof notice, MSG_NOSIGNAL);
}

/* What the workload says by sd_notify(3): lines, of which these matter to the supervisor. */
static void inner_notices(void) {
	static const struct {
		char line[12];
		uint8_t is_whole, kind;
	} known[] = { { "READY=1", YES, NOTICE_READY },
		      { "WATCHDOG=1", YES, NOTICE_WATCHDOG },
		      { "STATUS=", NO, NOTICE_STATUS } };
	char text[512];
	ssize_t n;
	for (int turn = 0; turn < MOST_NOTICES; turn++) {
		if ((n = recv(inner.fds[IN_NOTICES].fd, text, sizeof text - 1, 0)) < 0) return;
		text[n] = '\0';
		for (char *line = text, *next; line; line = next) {
			if ((next = strchr(line, '\n'))) *next++ = '\0';
			for (int i = 0; i < LEN(known); i++) {
				const char *rest = after(line, known[i].line);
				if (rest && !(known[i].is_whole && *rest))
					inner_tell(known[i].kind, rest);
			}
		}
	}
}

/* Ends as the workload has, when it has, and reports the ends of others. */
static void inner_reap(void) {
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		unsigned char code = (unsigned char)(WIFSIGNALED(status) ? 128 + WTERMSIG(status)
									 : WEXITSTATUS(status));
		if (pid == inner.pids[IN_SIGNALS] || (pid == inner.pids[IN_ORDERS] && code)) {
			inner_notices(); /* READY=1, if not for long */
			_exit(code);
		}
		if (pid == inner.pids[IN_ORDERS]) inner_tell(NOTICE_IDLE, "");
		for (int i = IN_LINES; i < IN_ALL; i++) {
			if (inner.pids[i] != pid) continue;
			packet_send(inner.fds[i].fd, &code, 1, NULL, 0);
			close(inner.fds[i].fd);
			inner_watch(i, -1, 0);
		}
	}
}

/* A process beside the workload: as confined as it is, and it dies with the container. */
static void inner_exec(const struct container *c, const struct image *says, const struct request *r,
		       const int fds[MOST_FDS]) {
	int at = IN_LINES, line = fds[MOST_FDS - 1], most = IN_ALL - (r->kind == ASK_EXEC);
	while (at < most && inner.fds[at].fd >= 0) at++;
	pid_t pid = at < most ? fork() : -1;
	if (!pid) {
		host.report = line;
		host.code = 125;
		workload(c, says, NULL, r, fds);
	}
	if (pid > 0) {
		inner_watch(at, line, pid);
		return;
	}
	const char *why = at < most ? words("a process in it: %m")
				    : "as many commands run in it as can at once";
	packet_send(line, why, strlen(why), NULL, 0);
	packet_send(line, "\x7d", 1, NULL, 0); /* 125 */
	close(line);
}

static void inner_order(const struct container *c, const struct image *says) {
	static struct request r;
	int fds[MOST_FDS];
	if (packet_receive(inner.fds[IN_ORDERS].fd, &r, sizeof r, fds) <= 0) {
		inner_watch(IN_ORDERS, -1, 0);
		return;
	}
	r.text[sizeof r.text - 1] = '\0';
	if (r.kind == ASK_KILL)
		kill(inner.pids[IN_SIGNALS], r.number); /* not reaped yet, so it is no stranger */
	else if (fds[MOST_FDS - 1] >= 0)
		inner_exec(c, says, &r, fds);
	for (int i = 0; i < MOST_FDS - 1; i++) close(fds[i]);
}

/* A signal for the group of a process; or nobody wants it any more. */
static void inner_line(int at) {
	unsigned char signal = 0;
	ssize_t n = recv(inner.fds[at].fd, &signal, 1, MSG_DONTWAIT);
	int what = n == 1 ? signal : SIGKILL;
	if (kill(-inner.pids[at], what)) kill(inner.pids[at], what); /* before its setsid */
	if (n != 1) {
		close(inner.fds[at].fd);
		inner_watch(at, -1, 0);
	}
}

static _Noreturn void inner_loop(const struct container *c, const struct image *says) {
	struct signalfd_siginfo s;
	for (;;) {
		poll(inner.fds, LEN(inner.fds), -1);
		while (read(inner.fds[IN_SIGNALS].fd, &s, sizeof s) == sizeof s)
			if (s.ssi_signo != SIGCHLD) kill(inner.pids[IN_SIGNALS], (int)s.ssi_signo);
		inner_reap();
		if (inner.fds[IN_ORDERS].revents) inner_order(c, says);
		if (inner.fds[IN_NOTICES].revents) inner_notices();
		for (int i = IN_LINES; i < IN_ALL; i++)
			if (inner.fds[i].fd >= 0 && inner.fds[i].revents) inner_line(i);
	}
}

enum { STACK_USED = 64 << 10 }; /* bytes, at most, by those functions that have returned */

/* PID 1 of a container: a signal that it gets is meant for the workload. orders: or -1. */
static _Noreturn void inside(const struct container *c, const struct supply *supply) {
	u64 others = CAPS(KILL, SETUID, SETGID, SETPCAP) | c->keep; /* of what it is to execute */
	int relays = NO;
	sigset_t all;
	const struct image *says = image_says(c);
	int notices = construct(c, says, supply);
	for (const struct port *p = c->ports; p && p->port; p++) relays |= !!p->to;
	/* What they have in common, they get at once. */
	must(confine_bounds(others), "dropping capabilities", "");
	if (!c->may && !relays) filter_groups(DEFAULT); /* whether it matters, each decides below */
	sigfillset(&all); /* all are blocked since child_begin: none is lost, none kills */
	for (int i = 0; i < IN_ALL; i++) inner_watch(i, -1, 0);
	pid_t main_pid = fork();
	if (!main_pid) workload(c, says, supply, NULL, NULL);
	if (main_pid < 0) die("a process for the workload: %m");
	pid_t relay_pid = relays ? fork() : 0;
	if (!relay_pid && relays) relay_loop(c, supply);
	if (relay_pid < 0) die("a process for its .ports: %m");
	for (int i = 0; i < MOST_PORTS; i++)
		if (supply->ports[i] >= 0) close(supply->ports[i]);
	inner_watch(IN_SIGNALS, signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK), main_pid);
	inner_watch(IN_ORDERS, supply->orders, relay_pid);
	inner_watch(IN_NOTICES, notices, 0);
	if (inner.fds[IN_SIGNALS].fd < 0) die("its signals: %m");
	memset(host.argv[0], 0, host.args_size); /* /proc/1/cmdline is for everybody to read */
	memcpy(host.argv[0], "launcher", host.args_size < 8 ? host.args_size : 8);
	for (int fd = 0; fd <= STDERR_FILENO; fd++) close(fd);
	open_stdio("/dev/null");
	/* Another user than the workload, who can't touch it, but whom it can signal. */
	if (prctl(PR_SET_KEEPCAPS, 1) || users_become(IDS - 1, IDS - 1))
		die("becoming another user: %m");
	child_bind();
	int failed = confine(others, FOR_OTHERS);
	if (!failed) failed = filter_groups(DEFAULT | (unsigned)c->may);
	/* Whether it matters that the kernel has no filter, the workload has decided. */
	must(failed == -EINVAL ? 0 : failed, "confining PID 1", "");
	close(host.report); /* exec closes its last copy */
	/* What has built it, it needs no more; a process in it begins with zeros there. */
	memory_advise(&filter, sizeof filter, MADV_DONTNEED);
	memory_advise(&paths, sizeof paths, MADV_DONTNEED);
	memory_advise(scratch, sizeof scratch, MADV_DONTNEED);
	void *below = (void *)((uintptr_t)&all - STACK_USED -
			       4096); /* what is called now is above */
	memory_advise(below, STACK_USED, MADV_DONTNEED);
	inner_loop(c, says);
}

/* Starts the container in its cgroup, with descriptors that all stay the caller's. */
static int container_start(const struct container *c, const struct supply *supply,
			   struct task *task) {
	int keep[6 + MOST_PORTS] = { supply->stdio[0], supply->stdio[1], supply->orders,
				     supply->net,      supply->users,    supply->lease };
	memcpy(keep + 6, supply->ports, sizeof supply->ports);
	int parent = task_fork(task, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC,
			       c->name, keep, LEN(keep));
	if (!parent) inside(c, supply);
	return parent < 0 ? parent : 0;
}

/* ---- 19  links ----------------------------------------------------------------------------------
 *
 * The network of the device itself, and the names of all containers.
 */

enum { LINK_WAIT = 60000 }; /* ms that a link may take to be found, by who waits for it alone */

/* Brings up one link of the device; its bridge and what it is on are there, or come before. */
static void link_up(int fd, const struct net *n) {
	char name[32];
	int failed = 0, on = 0;
	format(name, sizeof name, n->kind == NET_VLAN ? "%s.%u" : "%s", n->link, n->vlan);
	struct link_op op = { .name = name, .kind = "vlan" };
	if (n->kind == NET_BRIDGE)
		failed = bridge_make(fd, name);
	else if (n->kind == NET_VLAN && (op.on = link_wait(n->link, LINK_WAIT)) > 0)
		failed = link_ask(fd, &op, n);
	if (failed == -EEXIST) failed = 0;
	if (failed >= 0 && n->kind != NET_BRIDGE) {
		on = n->bridge ? bridge_make(fd, n->bridge) : 0;
		op = (struct link_op){ .index = link_wait(name, LINK_WAIT), .up = YES };
		op.master = on < 0 ? 0 : on;
		failed = op.index < 0
			     ? op.index
			     : net_configure(fd, &op, n, ip_read(n->address), ip_read(n->address6));
		if (on < 0) failed = on;
	}
	const struct link_kind *lacks = NULL, *k = link_kinds;
	for (; failed == -EOPNOTSUPP && k < link_kinds + LEN(link_kinds); k++)
		if (k->kind == n->kind) lacks = k; /* the last one: not the wire of a row */
	if (lacks)
		say("network %s: the kernel has no %s (%s)", name, lacks->name, lacks->option);
	else if (failed < 0)
		say("network %s: %s", name, strerror(-failed));
}

/* The network of the device itself. One that is not found yet is waited for by a child. */
static void network_up(void) {
	int fd = net_open();
	link_ask(fd, &(struct link_op){ .index = 1, .up = YES }, NULL);
	for (const struct setting *s = network.sysctl; s && s->name; s++) {
		int failed = sysctl_set(s);
		if (failed) say("sysctl %s: %s", s->name, strerror(-failed));
	}
	for (const struct net *n = network.links; n && n->kind; n++) {
		int late = n->kind != NET_BRIDGE && !if_nametoindex(n->link);
		if (late && fork()) continue;
		link_up(fd, n);
		if (late) _exit(0);
	}
	close(fd);
}

/* Removes the links of ours that are left: bridges, and what a killed one had. */
static void links_clear(void) {
	int fd = net_open();
	link_remove(fd, NULL);
	close(fd);
}

/* ---- 20  boot -----------------------------------------------------------------------------------
 *
 * Makes a place where containers can be supervised: of a device that has nothing but a kernel, or
 * of a corner of a laptop, in a mount namespace of our own that vanishes with us. What a device
 * lacks is said and lived with here; whether a container can do without is decided when it starts.
 */

/*
 * Is this the launcher on its read-only mount? /proc/self/exe of a child of ours, which a container
 * can see, leads there, where nobody can write (CVE-2019-5736).
 */
static int is_sealed(void) {
	ssize_t n = readlink("/proc/self/exe", paths.self, sizeof paths.self - 1);
	paths.self[n < 0 ? 0 : n] = '\0';
	format(paths.sealed, sizeof paths.sealed, "%s/launcher", host.work);
	return !strcmp(paths.self, paths.sealed);
}

/* Makes that mount, and a directory for the roots, and executes this program again, from there. */
static void seal(void) {
	const char *path = paths.sealed;
	if (is_sealed()) return;
	if (mkdir(host.work, 0700) && errno != EEXIST) die("%s: %m", host.work);
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0755);
	close(fd);
	if (fd >= 0 && !mount(paths.self, path, NULL, MS_BIND, NULL) &&
	    !mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
		execv(path, host.argv);
	if (!host.device) die("a read-only mount of the launcher: %m");
	say("a read-only mount of the launcher: %m"); /* a device does without */
}

/* Removes the directory open at fd, with all that is in it. */
static void remove_all(int dir, const char *path, int fd) {
	int failed = tree_empty(fd);
	if (!failed && unlinkat(dir, path, AT_REMOVEDIR)) failed = -errno;
	if (failed && failed != -ENOENT)
		say("%s: what is left there can't be removed: %s", path, strerror(-failed));
}

/* Takes that mount away again, and the directory. */
static void unseal(void) {
	umount2(paths.sealed, MNT_DETACH);
	remove_all(AT_FDCWD, host.work, dir_open(AT_FDCWD, host.work));
}

static const struct {
	char at[16], type[12], options[20];
	unsigned flags;
} device_mounts[] = {
	{ "/proc", "proc", "", MS_PLAIN },
	{ "/sys", "sysfs", "", MS_PLAIN },
	{ "/dev", "devtmpfs", "mode=755", MS_NOSUID | MS_NOEXEC },
	{ "/run", "tmpfs", "mode=755,size=1m", MS_PLAIN },
	{ "/sys/fs/cgroup", "cgroup2", "", MS_PLAIN },
	{ "/sys/fs/pstore", "pstore", "", MS_PLAIN },
};

/* Is the root an initramfs, which forgets? */
static int in_memory(void) {
	struct statfs fs;
	return !statfs("/", &fs) &&
	       ((int)fs.f_type == RAMFS_MAGIC || (int)fs.f_type == TMPFS_MAGIC);
}

/* pivot_root(2) refuses the initramfs as an old root; a bind of it, moved over it, is accepted. */
static void leave_initramfs(void) {
	if (!in_memory()) return;
	mkdir("/run", 0755);
	if (mount("/", "/run", NULL, MS_BIND | MS_REC, NULL) || chdir("/run") ||
	    mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		say("leaving the initramfs: %m");
}

static void mount_device(void) {
	struct stat st, above;
	char parent[64];
	for (int i = 0; i < LEN(device_mounts); i++) {
		const char *at = device_mounts[i].at, *type = device_mounts[i].type;
		const char *options = *device_mounts[i].options ? device_mounts[i].options : NULL;
		mkdir(at, 0755);
		format(parent, sizeof parent, "%s/..", at);
		if (!stat(at, &st) && !stat(parent, &above) && st.st_dev != above.st_dev)
			continue; /* the kernel has done it, or who started us */
		if (mount(type, at, type, device_mounts[i].flags, options) &&
		    strcmp(type, "pstore")) /* few have it */
			say("mounting %s on %s: %m", type, at);
	}
	/* Else it drops lines, and kills for want of memory with 8 MiB kept for huge pages. */
	file_write(AT_FDCWD, "/proc/sys/kernel/printk_devkmsg", "on\n");
	file_write(AT_FDCWD, "/proc/sys/vm/watermark_boost_factor", "0\n");
}

/* Lines go to path, through an open file of our own: a stopped terminal can't block that one. */
static int journal_open(const char *path) {
	struct stat st;
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) return -errno;
	if (S_ISREG(st.st_mode))
		close(fd); /* a file never blocks, and its offset is shared with others */
	else
		journal.fd = fd;
	return 0;
}

static void set_log(const char *value) {
	journal.quiet = !strcmp(value, "none");
	if (!strcmp(value, "kmsg")) {
		journal_open("/dev/kmsg");
		journal.kmsg = 1;
	} else if (strcmp(value, "console") && !journal.quiet) {
		say("launcher.log=%s on the kernel command line: not console, kmsg or none", value);
	}
}

static void set_word(const char *word) {
	const char *value;
	if ((value = after(word, "launcher.only="))) /* containers to start, divided by commas */
		host.only = value;
	else if ((value = after(word, "launcher.skip="))) /* not to start */
		host.skip = value;
	else if ((value = after(word, "launcher.data="))) /* the disk of what is kept */
		host.disk = value;
	else if ((value = after(word, "launcher.log="))) /* where lines are copied to */
		set_log(value);
	else if (FAULTS && (value = after(word, "launcher.fault=")))
		host.fault = value;
	else if (after(word, "launcher."))
		say("'%s' on the kernel command line means nothing here", word);
}

/* Our words, `launcher.KEY=VALUE`; all others are the kernel's. Quotes are dropped, as it does. */
static void read_cmdline(void) {
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
static void check_names(const char *list, const char *key) {
	char name[32];
	for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',') {
		int i = 0;
		format(name, sizeof name, "%.*s", (int)strcspn(p, ","), p);
		while (i < NCONTAINERS && strcmp(containers[i].name, name)) i++;
		if (i == NCONTAINERS)
			say("%s on the kernel command line: there is no container '%s'", key, name);
	}
}

/* Loads one module, "NAME PARAMETERS"; a CPU without what it drives (ENODEV) is no error. */
static int load_module(int dir, char *name) {
	char *parameters = name + strcspn(name, " ");
	if (*parameters) *parameters++ = '\0';
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), failed = 0;
	int compressed = strstr(name, ".ko.") ? 4 : 0; /* MODULE_INIT_COMPRESSED_FILE */
	if (fd < 0 || syscall(SYS_finit_module, fd, parameters, compressed)) failed = -errno;
	close(fd);
	return failed == -EEXIST || failed == -ENODEV ? 0 : failed;
}

/* Loads the board's modules in the order of the file `load`, which the host has worked out. */
static void load_modules(const char *path) {
	static char list[8192];
	int dir = path ? dir_open(AT_FDCWD, path) : -1, loaded = 0, failed;
	if (dir < 0 || file_read(dir, "load", list, sizeof list) < 0) return;
	for (char *name = list, *next; *name; name = next) {
		next = name + strcspn(name, "\n");
		if (*next) *next++ = '\0';
		if ((failed = load_module(dir, name)))
			say("module %s: %s", name, strerror(-failed));
		loaded += !failed;
		if (!failed && in_memory()) unlinkat(dir, name, 0); /* it is in memory twice */
	}
	close(dir);
	say("%d kernel modules", loaded);
}

/* Mounts the disk for what containers keep; without it, those that keep something say that. */
static void mount_data(void) {
	static const char types[][6] = { "ext4", "f2fs", "btrfs", "ubifs" };
	int i = 0, failed = ENODEV, keep = 0;
	for (int row = 0; row < NCONTAINERS; row++)
		keep += containers[row].data || containers[row].root == PERSISTENT;
	if (!host.disk && keep && in_memory())
		say("what %d containers keep will be forgotten: no launcher.data= is given", keep);
	if (!host.disk) return;
	mkdir(data_path, 0700);
	path_wait(host.disk, DEVICE_WAIT);
	for (; i < LEN(types) && mount(host.disk, data_path, types[i], MS_PLAIN, NULL); i++)
		if (errno != ENODEV && (failed == ENODEV || failed == EINVAL)) failed = errno;
	if (i == LEN(types)) {
		if (failed == EBADMSG) failed = EUCLEAN; /* a checksum is wrong */
		say("mounting %s on %s: %s", host.disk, data_path, strerror(failed));
		data_path = "/proc/none"; /* better not started than started without its data */
	}
}

/* What this is, said once: who reads a log later wants to know. */
static void introduce(void) {
	struct utsname kernel = { 0 };
	struct sysinfo memory = { 0 };
	static const char versions[][8] = { "missing", "v1", "v2" };
	uname(&kernel);
	sysinfo(&memory);
	say("version %s for %s, on Linux %s %s with %llu MiB", VERSION, BOARD_NAME, kernel.release,
	    kernel.machine, (u64)memory.totalram * memory.mem_unit >> 20);
	say("cgroup: memory %s, pids %s, cpu %s, devices %s", versions[cgroup.version[NEED_MEMORY]],
	    versions[cgroup.version[NEED_PIDS]], versions[cgroup.version[NEED_CPU]],
	    versions[cgroup.version[NEED_DEVICES]]);
	say(any_key() ? "images: signed by one of %d keys"
		      : "images: no key; unsigned images accepted",
	    any_key());
}

/* What those who started us ignore, no workload shall. Not before seal: it executes us again. */
static void signals_default(void) {
	static const u64 defaults[8]; /* struct sigaction of the kernel: libc hides three signals */
	for (int i = is_sealed() ? 1 : _NSIG; i < _NSIG; i++)
		syscall(SYS_rt_sigaction, i, defaults, NULL, 8);
}

/* Lets the signals wait that the loop will read, so that nothing is left half made. */
static sigset_t signals_hold(void) {
	static const int wanted[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPWR };
	sigset_t set;
	sigemptyset(&set);
	for (int i = 0; i < LEN(wanted); i++) sigaddset(&set, wanted[i]);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return set;
}

/* Ends the device: nothing is left running, disks are in order, then the kernel does it. */
static void end_device(int command) {
	say(command == LINUX_REBOOT_CMD_RESTART ? "restarting" : "powering off");
	kill(-1, SIGKILL);
	sync();
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	if (command != LINUX_REBOOT_CMD_RESTART) write(host.watchdog, "V", 1), close(host.watchdog);
	if (!fork()) { /* the kernel may end the caller, and PID 1 must not end */
		kernel_reboot(command);
		_exit(1);
	}
	for (;;) pause();
}

static const char to_remember[] = "last words: ";

/*
 * Says what has to be known after a reset too: pstore may keep what user space says, or the log of
 * the kernel; most kernels have one of them.
 */
static void testify(const char *text) {
	static const char places[][12] = { "/dev/pmsg0", "/dev/kmsg" };
	say("%s", text);
	words("<2>launcher: %s%s\n", to_remember, text);
	for (int i = 0; i < LEN(places); i++) {
		int fd = open(places[i], O_WRONLY | O_CLOEXEC);
		write(fd, scratch, strlen(scratch));
		close(fd);
	}
}

/* One record of the time before the last reset: what it ended with is said, once; all go. */
static int testimony(int dir, const char *name) {
	static int said;
	file_read(dir, name, image.text, sizeof image.text);
	const char *end = strstr(image.text, to_remember);
	end = end ? end + strlen(to_remember) : strstr(image.text, "Kernel panic");
	if (end && !said++) say("before the reset: %.*s", (int)strcspn(end, "\n"), end);
	unlinkat(dir, name, 0);
	return 0;
}

static void watchdog_open(void) {
	int seconds = (int)((watchdog.timeout + 999) / 1000), status = 0;
	int dir = dir_open(AT_FDCWD, "/sys/fs/pstore");
	dir_each(dir, testimony);
	close(dir);
	if (!seconds) return;
	host.watchdog = open("/dev/watchdog", O_WRONLY | O_CLOEXEC);
	if (host.watchdog < 0) {
		say("no watchdog: /dev/watchdog: %m");
		return;
	}
	ioctl(host.watchdog, WDIOC_GETBOOTSTATUS, &status);
	if (status > 0 && status & WDIOF_CARDRESET) say("the watchdog has reset this device");
	ioctl(host.watchdog, WDIOC_SETTIMEOUT, &seconds); /* it answers with what it can */
	ioctl(host.watchdog, WDIOC_GETTIMEOUT, &seconds);
	host.patience = (u64)seconds * 1000;
	say("watchdog: resets this device after %d s", seconds);
}

/* Reads one block past the page cache, in a child: a disk that is dead never answers. */
static int disk_read(const char *disk, struct task *task) {
	static IN_PAGES char block[4096];
	int parent = task_fork(task, 0, NULL, NULL, 0);
	if (parent) return parent < 0 ? parent : 0;
	int fd = path_trusted(disk);
	if (fd >= 0) fd = path_reopen(fd, O_RDONLY | O_DIRECT);
	must(fd < 0 ? fd : 0, "reading", disk);
	if (read(fd, block, sizeof block) <= 0) die("reading %s: %m", disk);
	_exit(0);
}

/* A fault of PID 1 itself, which would be a panic: it is said, and the device starts over. */
static void on_fault(int signal, siginfo_t *fault, void *context) {
	char text[96];
	(void)context;
	if (!host.device) return; /* a child: again, and without this */
	format(text, sizeof text, "PID 1 has failed: %s at address %llx", strsignal(signal),
	       (u64)(uintptr_t)fault->si_addr);
	testify(text);
	end_device(LINUX_REBOOT_CMD_RESTART);
}

static void faults_hold(void) {
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT };
	static IN_PAGES char stack[16 << 10]; /* the usual one may be what has failed */
	stack_t other = { .ss_sp = stack, .ss_size = sizeof stack };
	struct sigaction action = { .sa_sigaction = on_fault };
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND;
	sigaltstack(&other, NULL);
	for (int i = 0; i < LEN(faults); i++) sigaction(faults[i], &action, NULL);
}

/* PID 1 of a device. Returns when containers can be started, whatever the command line holds. */
static void boot(void) {
	umask(022);
	host.device = 1;
	host.began = now();
	signals_default();
	faults_hold();
	signals_hold();
	if (!is_sealed()) {
		leave_initramfs();
		mount_device();
	}
	seal();
	file_write(AT_FDCWD, "/proc/self/oom_score_adj", "-1000"); /* children have their own */
	open_stdio("/dev/console");
	fchmod(STDIN_FILENO, 0666); /* one row has it; its users open it as /dev/stderr */
	open_stdio("/dev/null");
	if (journal_open("/dev/console")) set_log("kmsg");
	read_cmdline();
	load_modules(BOARD_MODULES);
	network_up();
	watchdog_open();
	mount_data();
	cgroup_open("launcher");
	introduce();
	check_names(host.only, "launcher.only");
	check_names(host.skip, "launcher.skip");
	kernel_reboot(LINUX_REBOOT_CMD_CAD_OFF);
}

/* Removes what a killed `launcher run` has left: a cgroup or directory that has its number. */
static int remove_dead_run(int dir, const char *name) {
	const char *number = after(name, "launcher-run-");
	i64 pid;
	if (!number || decimal(&number, number + strlen(number), &pid) || !kill((pid_t)pid, 0))
		return 0;
	int full = tree_remove_entry(dir, name);
	if (full > 0) remove_all(dir, name, full - 1);
	return 0;
}

/* Removes the cgroup of a row that was killed a moment ago, or with its `launcher up`. */
static int remove_stale(int dir, const char *name) {
	struct timespec moment = { .tv_nsec = 10000000 };
	for (int i = 0; i < 100 && unlinkat(dir, name, AT_REMOVEDIR) && errno == EBUSY; i++) {
		cgroup_kill(name);
		nanosleep(&moment, NULL); /* the kernel is still burying its processes */
	}
	return 0;
}

/* The same place for a process that is not PID 1: `launcher up` and `launcher run`. */
static void prepare_host(const char *verb, const char *cgroup_base) {
	if (geteuid()) die("'launcher %s' makes namespaces and cgroups: it has to be root", verb);
	umask(022);
	if (!is_sealed() &&
	    (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL)))
		die("a mount namespace: %m");
	seal();
	cgroup_open(cgroup_base);
}

/* Becomes the one `launcher up` of this machine, and clears what a killed one has left. */
static void prepare_up(void) {
	char path[64];
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	signals_default();
	signals_hold();
	prepare_host("up", "launcher");
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* dead orphans count against .pids until reaped */
	journal_open("/proc/self/fd/2");
	format(path, sizeof path, "%s/lock", host.work);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) die("%s: %m", path);
	if (fcntl(fd, F_SETLK, &lock)) {
		fcntl(fd, F_GETLK, &lock);
		die("process %d supervises the containers of this machine already", lock.l_pid);
	}
	for (int i = 0; i < NCONTROLLERS; i++) dir_each(cgroup.base[i], remove_stale);
	links_clear();
	introduce();
}

/* Leaves nothing of `launcher up` behind. */
static void clear_up(void) {
	links_clear();
	unseal();
	for (int i = 0; i < NCONTROLLERS; i++) {
		dir_each(cgroup.base[i], remove_stale);
		unlinkat(cgroup.base[i], "../launcher", AT_REMOVEDIR);
	}
}

/* ---- 21  ask ------------------------------------------------------------------------------------
 *
 * What the command line prints, and what it asks: a request that is sent to the supervisor, and
 * answered packet by packet.
 */

enum { SUPERVISE = -1 }; /* what a verb returns, instead of an exit status, to go on in part IV */
enum { EXIT_USAGE = 2 };

static unsigned options; /* of the verb: a bit for each first letter; j: --json */

static const char *option_values[32]; /* of those that have one */

static int option(char letter) { return options >> (letter & 31) & 1; }

struct row { /* of `launcher ps` and `launcher stats` */
	char name[32], state[12], note[128];
	u64 pid, restarts, up, stats[NSTATS]; /* up: milliseconds; as cgroup_stat gives them */
	u64 cpu; /* tenths of a per cent, found out by who asks again */
};

struct happening { /* of `launcher events` */
	u64 at;    /* milliseconds of CLOCK_BOOTTIME */
	char name[32], what[16], note[128];
};

struct link_row { /* of `launcher net`: a link, or a port */
	char container[32], name[32], kind[16], on[32], note[160];
	u64 in, out; /* bytes */
};

struct reply { /* one packet from the supervisor, as long as its kind needs */
	enum { REPLY_ROW, REPLY_EVENT, REPLY_LINK, REPLY_BYTES, REPLY_END } kind;
	int code; /* of REPLY_END: the exit status, for the text if there is any goes to stderr */
	union {
		struct row row;
		struct happening event;
		struct link_row link;
		char bytes[4096];
	};
};

/* Writes all of it to stdout, or dies: a full disk or a closed pipe is not a success. */
static void print_bytes(const char *s, size_t n) {
	while (n) {
		ssize_t done = write(STDOUT_FILENO, s, n);
		if (done < 0) die("writing: %m");
		s += done;
		n -= done;
	}
}

static __attribute__((format(__printf__, 1, 2))) void print(const char *f, ...) {
	struct text t = { scratch, scratch + sizeof scratch };
	va_list ap;
	va_start(ap, f);
	text_va(&t, f, ap);
	va_end(ap);
	print_bytes(scratch, (size_t)(t.at - scratch));
}

/* Text of somebody else's: what could steer a terminal becomes '?', or is escaped for --json. */
static void print_some(const char *s, size_t n) {
	const char *from = s;
	for (size_t good, step; n; s += step, n -= step) {
		good = text_length(s, n);
		step = good ?: 1;
		if (good && !(option('j') && strchr("\"\\\t", *s))) continue;
		print_bytes(from, (size_t)(s - from)); /* at once: a call for each byte is slow */
		from = s + step;
		if (option('j'))
			print("\\u%04x", good || (unsigned char)*s < ' ' ? *s : 0xfffd);
		else
			print("?");
	}
	print_bytes(from, (size_t)(s - from));
}

static void print_text(const char *s) { print_some(s, strlen(s)); }

/* A piece of a log, for a terminal. A character may be cut by its end: that waits for the next. */
static void print_log(const char *s, size_t n) {
	static char cut[4 + sizeof((struct reply *)0)->bytes];
	static size_t held;
	const char *from = cut, *end;
	memcpy(cut + held, s, n);
	n += held;
	for (held = 1; held < 4 && held <= n && (cut[n - held] & 0xc0) == 0x80;) held++;
	if (held > min(n, 3) || (unsigned char)cut[n - held] < 0xc0 ||
	    text_length(cut + n - held, held))
		held = 0;
	for (n -= held; (end = memchr(from, '\n', cut + n - from)); from = end + 1) {
		print_some(from, end - from);
		print_bytes("\n", 1);
	}
	print_some(from, cut + n - from);
	memmove(cut, cut + n, held);
}

/* An object: lines of `key value`, or with --json one line of all; `members` counts them. */
static int members;

static void print_key(const char *key) {
	if (option('j'))
		print("%s\"%s\": ", members++ ? ", " : "{ ", key);
	else
		print("%-10s ", key);
}

/* bare: with --json it is no string, but a number or a word of its own. */
static void print_value(const char *value, int bare) {
	const char *quote = option('j') && !bare ? "\"" : "";
	print("%s", quote);
	print_text(value);
	print("%s%s", quote, option('j') ? "" : "\n");
}

static void print_member(const char *key, const char *value, int bare) {
	print_key(key);
	print_value(value, bare);
}

static void print_end(void) {
	print(option('j') ? " }\n" : "");
	members = 0;
}

/* Two units at most: 45s, 3m10s, 7h02m, 12d05h. */
static const char *print_time(char buf[16], u64 ms) {
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

static const char *print_size(char buf[16], u64 bytes) {
	u64 tenths = bytes * 10 >> 20;
	format(buf, 16, "%llu.%lluM", tenths / 10, tenths % 10);
	return buf;
}

/* Columns of the terminal on stdout, as far as a serial line knows; a file has many. */
static size_t columns(void) {
	struct winsize size = { 0 };
	int failed = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	return failed ? PATH_MAX : (size.ws_col ?: 80);
}

/* How a field is shown. Behind the words come numbers, u64; from AS_PID on, none of it is a '-'. */
enum { AS_WORDS = 1, AS_NOTE, AS_COUNT, AS_TENTHS, AS_SIZE, AS_SECONDS, AS_PID, AS_USED, AS_TIME };

enum listing { IN_PS, IN_STATS }; /* and what has only one is like ps */

struct column {
	char head[10], key[10]; /* what stands above it; of the member for --json; "": of none */
	uint8_t kind;           /* 0: it was the last */
	int8_t width[2];        /* in each listing; negative: it begins at the left; 0: not there */
	uint16_t field;
};

#define AT(type, field) offsetof(struct type, field)
#define STAT(name) AT(row, stats[STAT_##name])

static const struct column row_columns[] = {
	{ "NAME", "name", AS_WORDS, { -12, -12 }, AT(row, name) },
	{ "STATE", "state", AS_WORDS, { -11, 0 }, AT(row, state) },
	{ "PID", "pid", AS_PID, { 6, 0 }, AT(row, pid) },
	{ "UPTIME", "up_ms", AS_TIME, { 7, 0 }, AT(row, up) },
	{ "RESTARTS", "restarts", AS_COUNT, { 8, 0 }, AT(row, restarts) },
	{ "CPU%", "", AS_TENTHS, { 0, 6 }, AT(row, cpu) },
	{ "MEMORY", "memory", AS_USED, { 7, 0 }, STAT(MEMORY) },
	{ "MEMORY", "", AS_SIZE, { 0, 7 }, STAT(MEMORY) },
	{ "PEAK", "peak", AS_SIZE, { 0, 7 }, STAT(PEAK) },
	{ "LIMIT", "limit", AS_SIZE, { 0, 7 }, STAT(LIMIT) },
	{ "TASKS", "tasks", AS_COUNT, { 0, 5 }, STAT(TASKS) },
	{ "", "cpu_us", AS_COUNT, { 0, 0 }, STAT(CPU_TIME) },
	{ "READ", "read", AS_SIZE, { 0, 7 }, STAT(BYTES_READ) },
	{ "WRITTEN", "written", AS_SIZE, { 0, 7 }, STAT(BYTES_WRITTEN) },
	{ "PRESS", "pressure", AS_COUNT, { 0, 5 }, STAT(PRESSURE) },
	{ "", "oom_kills", AS_COUNT, { 0, 0 }, STAT(OOM_KILLS) },
	{ "RESTARTS", "", AS_COUNT, { 0, 8 }, AT(row, restarts) },
	{ "NOTE", "note", AS_NOTE, { -1, 0 }, AT(row, note) },
	{ "" },
};

static const struct column event_columns[] = {
	{ "", "time", AS_SECONDS, { 10 }, AT(happening, at) },
	{ "", "container", AS_WORDS, { -12 }, AT(happening, name) },
	{ "", "event", AS_WORDS, { -11 }, AT(happening, what) },
	{ "", "note", AS_WORDS, { -1 }, AT(happening, note) },
	{ "" },
};

static const struct column link_columns[] = {
	{ "CONTAINER", "container", AS_WORDS, { -12 }, AT(link_row, container) },
	{ "LINK", "link", AS_WORDS, { -15 }, AT(link_row, name) },
	{ "KIND", "kind", AS_WORDS, { -9 }, AT(link_row, kind) },
	{ "ON", "on", AS_WORDS, { -12 }, AT(link_row, on) },
	{ "IN", "in", AS_SIZE, { 7 }, AT(link_row, in) },
	{ "OUT", "out", AS_SIZE, { 7 }, AT(link_row, out) },
	{ "NOTE", "note", AS_NOTE, { -1 }, AT(link_row, note) },
	{ "" },
};

static const char *column_text(char text[24], const struct column *c, const void *row) {
	const char *field = (const char *)row + c->field;
	u64 n;
	if (c->kind <= AS_NOTE) return field;
	memcpy(&n, field, sizeof n);
	if (!n && c->kind >= AS_PID && !option('j')) return "-";
	if (c->kind == AS_SECONDS)
		format(text, 24, "%llu.%03llu", n / 1000, n % 1000);
	else if (option('j') || c->kind == AS_COUNT || c->kind == AS_PID)
		format(text, 24, "%llu", n);
	else if (c->kind == AS_TIME)
		print_time(text, n);
	else if (c->kind == AS_TENTHS)
		format(text, 24, "%llu.%llu", n / 10, n % 10);
	else
		print_size(text, n);
	return text;
}

/* A row of a listing, as wide as the terminal; for NULL its head, which --json does without. */
static void print_row(const struct column *c, enum listing listing, const void *row) {
	char line[320], text[24];
	struct text t = { line, line + min(sizeof line - 1, columns()) };
	for (; c->kind; c++) {
		const char *value = row ? column_text(text, c, row) : c->head;
		if (option('j') && row && *c->key) print_member(c->key, value, c->kind > AS_NOTE);
		if (!c->width[listing]) continue;
		text_pad(&t, "  ", (t.at > line) + (c->kind == AS_NOTE), 0, ' ');
		text_pad(&t, value, strlen(value), c->width[listing], ' ');
	}
	*t.at = '\0';
	if (!option('j')) print_value(line, YES);
	if (row) print_end();
}

/* The supervisor's socket: of this container if its row has .control, else of this machine. */
static int control_connect(void) {
	static const struct sockaddr_un places[] = {
		{ .sun_family = AF_UNIX, .sun_path = "/dev/launcher/control" },
		{ .sun_family = AF_UNIX, .sun_path = "/run/launcher/control" },
	};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	for (int i = 0; i < LEN(places); i++)
		if (!connect(fd, (const struct sockaddr *)&places[i], sizeof places[i])) return fd;
	if (errno == ENOENT || errno == ECONNREFUSED)
		die("nothing is supervised here; 'launcher up' would");
	die("%s: %m", places[1].sun_path);
}

/*
 * Sends a request, prints the answer, and returns the exit status that comes with its end. Rows are
 * given to each, or printed.
 */
static int ask_supervisor(const struct request *request, const int *fds,
			  void (*each)(const struct row *)) {
	static const struct column *const columns_of[] = { row_columns, event_columns,
							   link_columns };
	static struct reply reply;
	int fd = control_connect(), terminal = isatty(STDOUT_FILENO);
	int failed = packet_send(fd, request, sizeof *request, fds, fds ? MOST_FDS : 0);
	must(failed, "asking the supervisor", "");
	for (;;) {
		ssize_t n = recv(fd, &reply, sizeof reply, 0);
		size_t size = n - offsetof(struct reply, bytes);
		if (n < (ssize_t)offsetof(struct reply, bytes)) die("the supervisor has gone away");
		if (reply.kind == REPLY_ROW && each)
			each(&reply.row);
		else if (reply.kind < REPLY_BYTES)
			print_row(columns_of[reply.kind], IN_PS, reply.bytes);
		else if (reply.kind == REPLY_BYTES)
			(terminal ? print_log : print_bytes)(reply.bytes, size);
		else if (size)
			say("%.*s", (int)size, reply.bytes);
		if (reply.kind != REPLY_END) continue;
		close(fd);
		return reply.code;
	}
}

/* One line of `launcher stats`: what it has used since it was asked before. */
static void row_compare(const struct row *r) {
	static struct row rows[NCONTAINERS]; /* of the supervisor's policy, which may have more */
	static u64 since, ms;
	struct row *then = rows;
	while (then < rows + LEN(rows) - 1 && *then->name && strcmp(then->name, r->name)) then++;
	if (then == rows) { /* the first of a round */
		ms = now() - since;
		since += ms;
	}
	u64 time = r->stats[STAT_CPU_TIME], before = then->stats[STAT_CPU_TIME];
	int is_first = !*then->name;
	*then = *r;
	then->cpu = time < before ? 0 : (time - before) / (ms ? ms : 1); /* 0: another cgroup */
	if (!is_first) print_row(row_columns, IN_STATS, then);
}

/* What the containers use: once to a file or pipe, again and again to a terminal. */
static int ask_stats(char **argv) {
	struct request request = { .kind = ASK_STATS };
	int failed = NO, live = isatty(STDOUT_FILENO);
	(void)argv;
	if (option('j')) return ask_supervisor(&request, NULL, NULL);
	for (int round = 0; !failed && (live || round < 2); round++) {
		if (round && live) print("\33[H\33[J");
		if (round) print_row(row_columns, IN_STATS, NULL);
		failed = ask_supervisor(&request, NULL, row_compare);
		if (!failed && (live || !round)) poll(NULL, 0, 1000);
	}
	return failed;
}

/* Prints what there is. Returns 0 at its end. */
static int pass_on(int from) {
	char bytes[4096];
	ssize_t n = read(from, bytes, sizeof bytes);
	for (ssize_t at = 0, done; at < n; at += done)
		if ((done = write(STDOUT_FILENO, bytes + at, n - at)) <= 0) return 0;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static struct { /* what was typed, and is not taken yet: a program may be slow to read */
	char bytes[4096];
	size_t n;
} IN_PAGES typed;

/* Takes in what is typed, and hands on what the terminal takes. Returns 0 at its end. */
static int type(int terminal) {
	if (!typed.n) {
		ssize_t n = read(STDIN_FILENO, typed.bytes, sizeof typed.bytes);
		if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
		typed.n = n;
	}
	ssize_t done = write(terminal, typed.bytes, typed.n);
	int failed = done < 0 && errno != EAGAIN;
	typed.n -= failed ? typed.n : done > 0 ? (size_t)done : 0;
	memmove(typed.bytes, typed.bytes + (done > 0 ? done : 0), typed.n);
	return !failed;
}

/*
 * Stays until what was executed has ended: its signals go through the line, and with a terminal all
 * that is typed and printed through that. Returns its exit status.
 */
static int exec_follow(int line, int signals) {
	enum { AT_LINE, AT_SIGNALS, AT_TYPED, AT_SCREEN, POLLED };
	struct pollfd fds[POLLED] = { [AT_LINE] = { line, POLLIN, 0 },
				      [AT_SIGNALS] = { signals, POLLIN, 0 },
				      [AT_TYPED] = { -1, POLLIN, 0 },
				      [AT_SCREEN] = { -1, POLLIN, 0 } };
	struct signalfd_siginfo s;
	struct winsize size;
	char text[512];
	int got[MOST_FDS], typing = NO;
	for (;;) {
		fds[AT_TYPED].fd = typing && !typed.n ? STDIN_FILENO : -1;
		fds[AT_SCREEN].events = typed.n ? POLLIN | POLLOUT : POLLIN;
		poll(fds, POLLED, -1);
		if (fds[AT_TYPED].revents || fds[AT_SCREEN].revents & POLLOUT)
			typing &= type(fds[AT_SCREEN].fd);
		if (fds[AT_SCREEN].revents & ~POLLOUT && !pass_on(fds[AT_SCREEN].fd))
			fds[AT_SCREEN].fd = -1;
		while (read(signals, &s, sizeof s) == sizeof s) {
			unsigned char signal = (unsigned char)s.ssi_signo;
			if (signal != SIGWINCH && signal != SIGCHLD)
				packet_send(line, &signal, 1, NULL, 0);
			else if (fds[AT_SCREEN].fd >= 0 && !ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
				ioctl(fds[AT_SCREEN].fd, TIOCSWINSZ, &size);
		}
		if (!fds[AT_LINE].revents) continue;
		ssize_t n = packet_receive(line, text, sizeof text, got);
		if (n > 1) {
			say("%.*s", (int)n, text);
		} else if (n == 1 && got[0] >= 0) {
			fcntl(got[0], F_SETFL, O_NONBLOCK);
			fds[AT_SCREEN].fd = got[0];
			typing = YES;
		} else if (n >= 0 || errno != EAGAIN) {
			while (fds[AT_SCREEN].fd >= 0 && poll(&fds[AT_SCREEN], 1, 0) > 0 &&
			       pass_on(fds[AT_SCREEN].fd))
				;
			return n == 1 ? (unsigned char)*text : 128 + SIGKILL; /* with all of it */
		}
	}
}

/* All signals, blocked: they wait for the verb to be in order again. */
static sigset_t signals_all(void) {
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	return all;
}

/* A command beside the workload, as confined as that. -t: with a terminal; -u: as that user. */
static int ask_exec(char **argv) {
	static struct request r; /* with a first value it would take its size in the file */
	r.kind = ASK_EXEC;
	struct termios before, raw;
	struct winsize size = { 0 };
	int line[2], code;
	const char *user = option_values['u' & 31], *term = getenv("TERM");
	i64 ids[2] = { -1, -1 };
	host.code = 125;
	const char *end = user ? user + strlen(user) : NULL;
	if (user && (decimal(&user, end, &ids[0]) ||
		     (*user == ':' && (user++, decimal(&user, end, &ids[1]))) || *user ||
		     ids[0] >= IDS || ids[1] >= IDS))
		die("-u %s is not UID or UID:GID, numbers below %d", option_values['u' & 31], IDS);
	for (int i = 0; i < 2; i++) r.ids[i] = (int)ids[i];
	r.tty = option('t');
	if (r.tty && (tcgetattr(STDIN_FILENO, &before) || ioctl(STDIN_FILENO, TIOCGWINSZ, &size)))
		die("-t: stdin is no terminal");
	r.rows = size.ws_row;
	r.columns = size.ws_col;
	if (format(r.name, sizeof r.name, "%s", *argv) != strlen(*argv))
		die("there is no container '%s'", *argv);
	argv++;
	if (!strcmp(*argv, "--")) argv++;
	if (!*argv) die("what to execute in %s?", r.name);
	size_t most = sizeof r.text - 1;
	size_t at = format(r.text, most, "TERM=%s", term ?: "linux") + 1;
	for (; *argv; argv++, r.number++) {
		size_t n = format(r.text + at, most - at, "%s", *argv);
		at += n + 1;
		if (n < strlen(*argv) || at >= most)
			die("the command is longer than %d bytes", (int)sizeof r.text);
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line)) die("%m");
	sigset_t all = signals_all(); /* one that comes early waits for the command to be there */
	if ((code = ask_supervisor(&r, (int[]){ 0, 1, 2, line[1] }, NULL)))
		return code == 1 ? 125 : code;
	close(line[1]);
	int signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	raw = before;
	cfmakeraw(&raw);
	if (r.tty) tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	code = exec_follow(line[0], signals);
	if (r.tty) tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	return code;
}

/* ---- 22  show -----------------------------------------------------------------------------------
 *
 * What `launcher net` shows, found out by a child of the supervisor: it may take a while. Such a
 * child speaks to the client itself.
 */

static struct {
	int client;
	struct reply reply; /* the packet that is being filled */
} answer;

/* Starts such a child, with n descriptors and its client's. Returns 0 in it; else 1, or -errno. */
static int answer_fork(int client, const int *with, int n) {
	struct task child = { 0 };
	int keep[NCONTAINERS + 1] = { client };
	memcpy(keep + 1, with, n * sizeof *with);
	int parent = task_fork(&child, 0, NULL, keep, n + 1);
	if (parent > 0) task_close(&child);
	if (!parent) fcntl(client, F_SETFL, 0); /* only this process waits for that one */
	answer.client = client;
	return parent;
}

static void answer_send(size_t size) {
	size_t n = offsetof(struct reply, bytes) + size;
	if (send(answer.client, &answer.reply, n, MSG_NOSIGNAL) < 0) _exit(1); /* it is gone */
}

static _Noreturn void answer_end(int code, const char *sentence) {
	struct reply *r = &answer.reply;
	r->kind = REPLY_END;
	r->code = code;
	answer_send(format(r->bytes, sizeof r->bytes, "%s", sentence));
	_exit(code);
}

static struct {
	int n;
	struct shown {
		struct link_row row;
		int index, on;
	} links[64];
} IN_PAGES show;

/* Takes over the value of an attribute, as far as there is room. Returns whether there is one. */
static int show_value(void *to, size_t size, const void *list, size_t n, int type) {
	const void *value = attribute(list, &n, type);
	if (value) memcpy(to, value, min(n, size));
	return !!value;
}

/* A link, or one of its addresses. */
static void show_visit(const struct nlmsghdr *h) {
	const struct ifinfomsg *link = (const struct ifinfomsg *)(h + 1);
	const struct ifaddrmsg *address = (const struct ifaddrmsg *)(h + 1);
	int is_link = h->nlmsg_type == RTM_NEWLINK;
	size_t size = NLMSG_SPACE(is_link ? sizeof *link : sizeof *address);
	size_t n = h->nlmsg_len - size, within = n;
	const uint8_t *list = (const uint8_t *)h + size, *value;
	struct shown *l = show.links, *end = l + show.n;
	struct rtnl_link_stats64 count = { 0 };
	char text[40];
	if (!is_link) {
		while (l < end && l->index != (int)address->ifa_index) l++;
		if (l == end || !(value = attribute(list, &n, IFA_ADDRESS))) return;
		struct ip ip = { .bits = (int)n * 8 };
		size_t at = strlen(l->row.note);
		memcpy(ip.bytes, value, min(n, sizeof ip.bytes));
		format(l->row.note + at, sizeof l->row.note - at, ", %s/%u", ip_text(text, ip),
		       address->ifa_prefixlen);
		return;
	}
	if (show.n == LEN(show.links)) return;
	show.n++;
	end->index = link->ifi_index;
	show_value(end->row.name, sizeof end->row.name - 1, list, n, IFLA_IFNAME);
	show_value(&end->on, sizeof end->on, list, n, IFLA_MASTER);
	show_value(&count, sizeof count, list, n, IFLA_STATS64);
	end->row.in = count.rx_bytes;
	end->row.out = count.tx_bytes;
	strcpy(end->row.kind, "device");
	if ((value = attribute(list, &within, IFLA_LINKINFO)))
		show_value(end->row.kind, sizeof end->row.kind - 1, value, within, IFLA_INFO_KIND);
	strcpy(end->row.note, link->ifi_flags & IFF_UP ? "up" : "down");
}

static void show_send(const struct link_row *row) {
	answer.reply.kind = REPLY_LINK;
	answer.reply.link = *row;
	answer_send(sizeof *row);
}

/* All links of the namespace that the caller is in. */
static void show_links(const char *container, const char *on) {
	int fd = net_open();
	memset(&show, 0, sizeof show);
	net_each(fd, RTM_GETLINK, show_visit);
	net_each(fd, RTM_GETADDR, show_visit);
	for (int i = 0; i < show.n; i++) {
		struct link_row *row = &show.links[i].row;
		const char *master = on && strcmp(row->name, "lo") ? on : "-";
		for (int k = 0; k < show.n && show.links[i].on; k++)
			if (show.links[k].index == show.links[i].on)
				master = show.links[k].row.name;
		format(row->container, sizeof row->container, "%s", container);
		format(row->on, sizeof row->on, "%s", master);
		show_send(row);
	}
	close(fd);
}

static void show_ports(const struct container *c, const struct traffic *t) {
	for (const struct port *p = c->ports; p && p->port; p++) {
		struct link_row row = { .kind = "handed in", .on = "-" };
		format(row.container, sizeof row.container, "%s", c->name);
		format(row.name, sizeof row.name, "port %d", p->port);
		if (p->to) {
			format(row.kind, sizeof row.kind, "relayed");
			format(row.on, sizeof row.on, "port %d", p->to);
			format(row.note, sizeof row.note, "%u clients, %llu until now", t->open,
			       t->clients);
			row.in = t->in;
			row.out = t->out;
		}
		show_send(&row);
	}
}

/* Starts a child that lists all: of the device, then of each row. spaces: theirs, or -1. */
static int show_start(int client, const int *spaces, const struct traffic *traffic) {
	int parent = answer_fork(client, spaces, NCONTAINERS);
	if (parent) return parent;
	show_links("-", NULL);
	for (int i = 0; i < NCONTAINERS; i++) {
		const struct net *n = &containers[i].net;
		if (spaces[i] >= 0 && !setns(spaces[i], CLONE_NEWNET))
			show_links(containers[i].name, n->kind == NET_DEVICE ? NULL : n->link);
		show_ports(&containers[i], &traffic[i]);
	}
	answer_end(0, "");
}

/* ---- 23  policy ---------------------------------------------------------------------------------
 *
 * What the policy says, in its own words, and what of that this kernel gives: found out by trying
 * or, of another kernel, from its configuration.
 */

/* Names the policy: the digest of its text; with keys from elsewhere, of that and each of them. */
static const char *policy_digest(char to[2 * DIGEST_SIZE + 1]) {
	uint8_t digest[DIGEST_SIZE + 64];
	digest_make(digest, policy_text, policy_size);
	for (const char *const *key = more_keys; *key; key++) {
		size_t n = format((char *)digest + DIGEST_SIZE, 64, "%s", *key);
		digest_make(digest, digest, DIGEST_SIZE + n);
	}
	return hex(to, digest, DIGEST_SIZE);
}

static const struct container *container_named(const char *name) {
	for (const struct container *c = containers; c < containers + NCONTAINERS; c++)
		if (!strcmp(c->name, name)) return c;
	die("there is no container '%s'", name);
}

/* The text of the policy; of one container, its row. */
static int ask_policy(char **argv) {
	char digest[2 * DIGEST_SIZE + 1];
	const char *from = policy_text, *end = policy_text + policy_size;
	if (argv[0]) {
		const char *name = words("= \"%s\",", container_named(argv[0])->name);
		const char *at = strstr(from, name), *last = at ? strstr(at, "\n\t},\n") : NULL;
		while (at && at > from && *at != '[') at--;
		if (last && *at == '[') {
			from = at;
			end = last + 5;
		} else {
			die("the row of '%s' does not look like one", argv[0]);
		}
	}
	print("/* policy: %s */\n", policy_digest(digest));
	print_bytes(from, (size_t)(end - from));
	return 0;
}

/* What takes something of the kernel beside the knobs of a cgroup. `sign`: a file that tells. */
static const struct feature {
	char name[18], option[36], sign[25];
	uint8_t need; /* NEEDS: nobody can do without it */
	uint16_t field, size;
} features[] = {
#define ASKED_BY(name) offsetof(struct container, name), sizeof(((struct container *)0)->name)
	{ "namespace: pid", "CONFIG_PID_NS", "/proc/self/ns/pid", NEEDS },
	{ "namespace: net", "CONFIG_NET_NS", "/proc/self/ns/net", NEEDS },
	{ "namespace: uts", "CONFIG_UTS_NS", "/proc/self/ns/uts", NEEDS },
	{ "namespace: ipc", "CONFIG_IPC_NS", "/proc/self/ns/ipc", NEEDS },
	{ "namespace: cgroup", "CONFIG_CGROUPS", "/proc/self/ns/cgroup", NEEDS },
	{ "userns", "CONFIG_USER_NS", "/proc/self/ns/user", NEED_USERNS },
	{ "may", "CONFIG_SECCOMP_FILTER", "/proc/sys/kernel/seccomp", NEED_SECCOMP },
	{ "devices", "CONFIG_CGROUP_BPF", "", NEED_DEVICES },
	{ "root", "CONFIG_OVERLAY_FS", "/sys/module/overlay", NEED_OVERLAY, ASKED_BY(root) },
	{ "clock", "CONFIG_TIME_NS", "/proc/self/ns/time", NEED_TIMENS, ASKED_BY(clock) },
	{ "writable", "CONFIG_SECURITY_LANDLOCK, Linux 6.2", "", NEED_LANDLOCK,
	  ASKED_BY(writable) },
	{ "label", "CONFIG_SECURITY", "", NEED_LABEL, ASKED_BY(label) },
};

/* Newer ways to do things, each with an older one behind it. */
static const struct {
	char name[18], since[10];
	uint16_t number;
} interfaces[] = {
	{ "clone3", "Linux 5.3", SYS_clone3 },
	{ "close_range", "Linux 5.9", SYS_close_range },
	{ "pidfd_send_signal", "Linux 5.1", SYS_pidfd_send_signal },
};

static struct {
	char config[512 << 10]; /* the configuration of a kernel; "": this kernel is asked */
	int missing;            /* what is asked, and can't be had */
} IN_PAGES checked;

#define CHECK_LINE "%-12s %-18s %-16s %-9s %s\n"

static int feature_given(const struct feature *f) {
	char text[64];
	if (f->need == NEED_DEVICES) return cgroup.version[NEED_DEVICES];
	if (f->need == NEED_LANDLOCK) return landlock_version() >= WHOLE_LANDLOCK;
	if (f->need == NEED_LABEL)
		return file_read(AT_FDCWD, "/proc/self/attr/current", text, sizeof text) > 0;
	return !access(f->sign, F_OK) ||
	       (f->need == NEED_OVERLAY && syscall(SYS_fsopen, "overlay", 0) >= 0);
}

/* What the configuration says of the first option that it has; without any: of the controller's. */
static const char *config_says(const char *takes, enum need need) {
	char line[64];
	const char *p = strstr(takes, "CONFIG_") ? takes : controllers[need].option;
	for (; (p = strstr(p, "CONFIG_")); p++) {
		size_t n = format(line, sizeof line, "\n%.*s=", (int)strcspn(p, ", )"), p);
		const char *at = strstr(checked.config, line);
		if (at && (at[n] == 'y' || at[n] == 'm')) return at[n] == 'y' ? "given" : "module";
	}
	return NULL;
}

/* One line: what is asked by whom, and what becomes of it. `here`, NULL: this kernel lacks it. */
static void check_print(const struct container *c, const char *what, const char *asked,
			const char *here, const char *takes, enum need need) {
	int tolerated = need < NEEDS && c->tolerate >> need & 1;
	const char *state = *checked.config ? config_says(takes, need) : here;
	const char *word = state ?: (tolerated ? "tolerated" : "missing");
	checked.missing += !state && !tolerated;
	const char *const pairs[] = { "container", c->name, "knob", what,     "asked",
				      asked,       "state", word,   "option", takes };
	for (int i = 0; i < LEN(pairs) && option('j'); i += 2)
		print_member(pairs[i], pairs[i + 1], NO);
	if (option('j'))
		print_end();
	else
		print(CHECK_LINE, c->name, what, asked, word, state ? "" : takes);
}

/* What becomes of the knob here; NULL: it is missing. */
static const char *knob_here(const struct knob *k, const struct container *c, const char *probe) {
	int version = cgroup.version[k->need];
	char path[96];
	if (version && knob_given(k, probe, c, path) >= 0)
		return version == 2 ? "given" : "given: v1";
	if (version == 1 && !k->field) return "not in v1";
	return knob_missing(k, probe, c) ? NULL : "no need";
}

/* Of a row, or a link of the device. */
static void check_net(const struct container *c, const struct net *n) {
	char what[24];
	int fd = net_open();
	for (const struct link_kind *k = link_kinds; k < link_kinds + LEN(link_kinds); k++) {
		if (k->kind != n->kind) continue;
		format(what, sizeof what, "net: %s", k->name);
		check_print(c, what, n->link, link_known(fd, k) ? "given" : NULL, k->option, NEEDS);
	}
	close(fd);
}

static void check_container(const struct container *c, const char *probe) {
	static const char zeros[64];
	char text[32];
	for (const struct feature *f = features; f < features + LEN(features); f++) {
		const char *here = feature_given(f) ? "given" : NULL;
		int asked = !f->size || memcmp((const char *)c + f->field, zeros, f->size);
		if (f->need == NEED_USERNS) asked = c->userns == OWN;
		if (asked) check_print(c, f->name, "yes", here, f->option, f->need);
	}
	check_net(c, &c->net);
	for (const struct knob *k = knobs; k < knobs + LEN(knobs); k++) {
		const void *row = k->kind == A_DISK ? (const void *)c->io.max : c;
		const char *asked = row ? knob_asked(k, row, 0, text) : NULL;
		if (!asked) continue;
		const char *takes = *k->option ? k->option : controllers[k->need].option;
		const char *here = *checked.config ? NULL : knob_here(k, c, probe);
		check_print(c, k->name, asked, here, takes, knob_need(k));
	}
}

static void config_open(const char *path) {
	ssize_t n = file_read(AT_FDCWD, path, checked.config + 1, sizeof checked.config - 1);
	if (n < 0) die("%s: %s", path, strerror((int)-n));
	if (!strstr(checked.config + 1, "CONFIG_") || n == sizeof checked.config - 2)
		die("%s: no configuration of a kernel", path);
	*checked.config = '\n'; /* each option begins a line */
}

/* What each container asks, and what it gets: here, or from a kernel of that configuration. */
static int ask_check(char **argv) {
	static const struct container kernel = { .name = "-" };
	const struct container *only = NULL;
	char probe[32];
	if (option('k'))
		config_open(argv[0] ? argv[0] : "");
	else if (argv[0])
		only = container_named(argv[0]);
	format(probe, sizeof probe, "launcher-run-%d", getpid());
	if (!*checked.config) {
		if (geteuid())
			die("'launcher check' tries what a container needs: it has to be root");
		cgroup_open(".");
		for (int i = 0; i < NCONTROLLERS; i++) mkdirat(cgroup.base[i], probe, 0755);
		if (unshare(CLONE_NEWNET)) die("a network namespace, to try links in: %m");
	}
	if (!option('j')) print(CHECK_LINE, "CONTAINER", "KNOB", "ASKED", "STATE", "TAKES");
	for (const struct container *c = containers; c < containers + NCONTAINERS; c++)
		if (!only || only == c) check_container(c, probe);
	for (const struct net *n = network.links; n && n->kind && !only; n++) check_net(&kernel, n);
	for (int i = 0; i < LEN(interfaces) && !*checked.config; i++) {
		int lacks = syscall(interfaces[i].number, -1, -1, -1, -1) && errno == ENOSYS;
		check_print(&kernel, interfaces[i].name, "yes", lacks ? "emulated" : "given",
			    interfaces[i].since, NEEDS);
	}
	if (!*checked.config) cgroup_remove(probe);
	return !!checked.missing;
}

/* ---- 24  verbs ----------------------------------------------------------------------------------
 *
 * The command line. One row of `verbs` is all that there is to say about a verb; those that ask
 * nobody do their work here.
 */

/* A file that is named on the command line is no part of this program, whatever it is called. */
static const char *as_path(const char *file) {
	static char path[PATH_MAX];
	format(path, sizeof path, "%s%s", strchr(file, '/') ? "" : "./", file);
	return path;
}

/* Unpacks into DIR, which does not exist yet or is empty: all of the image, or nothing. */
static int ask_unpack(char **argv) {
	char *into = argv[1], temporary[PATH_MAX];
	size_t n = strlen(into);
	sigset_t signals = signals_all();
	while (n > 1 && into[n - 1] == '/') into[--n] = '\0';
	if (format(temporary, sizeof temporary, "%s.partial", into) != n + 8)
		die("%s: the path is too long", into);
	if (image_find(&image, as_path(argv[0]), YES, NO)) die("%s: %s", argv[0], image.why);
	if (rmdir(into) && errno != ENOENT) die("%s: %m", into);
	if (mkdir(temporary, 0755)) die("%s: %m", temporary);
	int dir = open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	umask(0);
	int failed = unpack(&image, dir, NULL, &signals);
	if (!failed && !rename(temporary, into)) return 0;
	say("%s: %s", failed ? argv[0] : into, failed ? image.why : strerror(errno));
	remove_all(AT_FDCWD, temporary, dir);
	return 1;
}

/* Waits for a child of `run`, says its last words, and returns its exit status. */
static int run_wait(struct task *task, const sigset_t *signals) {
	char last_words[320];
	int code = task_wait(task, signals, NO, last_words, sizeof last_words);
	if (*last_words && code < 128) log_line(journal.as, last_words, strlen(last_words));
	return code;
}

/* Clears what runs that were killed have left, here and there. */
static void run_tidy(void) {
	int dir = open("/run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir_each(dir, remove_dead_run);
	close(dir);
	for (int i = 0; i < NCONTROLLERS; i++) dir_each(cgroup.base[i], remove_dead_run);
}

static void run_leave(const char *name) {
	for (int i = 0; i < NCONTROLLERS; i++) remove_stale(cgroup.base[i], name);
}

/* The name of the cgroup of what is done by hand; its directory of that name is host.work. */
static const char *run_name(void) {
	format(host.work, sizeof host.work, "/run/launcher-run-%d", getpid());
	return host.work + strlen("/run/");
}

/* One container in the foreground, by the policy's row `run`. Its exit status becomes ours. */
static int ask_run(char **argv) {
	const struct supply supply = { .stdio = { 0, 1, 2 },
				       .orders = -1,
				       .net = -1,
				       .users = -1,
				       .lease = -1,
				       .ports = NO_PORTS };
	const char *name = run_name();
	struct container c = run;
	struct task task;
	sigset_t signals;
	int failed, code = 125, skip = argv[1] && !strcmp(argv[1], "--") ? 2 : 1;

	host.code = code;
	c.name = name;
	c.image = as_path(argv[0]);
	c.ports = NULL; /* nobody listens for it */
	if (argv[skip]) c.command = (const char *const *)(argv + skip);
	signals = signals_all();
	signals_default();
	prepare_host("run", ".");
	run_tidy();
	if ((failed = cgroup_make(name, &c))) say("%s", cgroup.why);
	if (!failed && (failed = container_unpack(&c, NO, &task)))
		say("a process to unpack in: %s", strerror(-failed));
	if (!failed && !(failed = run_wait(&task, &signals)) && (failed = cgroup_devices(name, &c)))
		say("%s", cgroup.why);
	if (!failed && (failed = container_start(&c, &supply, &task)))
		say("a process for the container: %s", strerror(-failed));
	if (!failed) code = run_wait(&task, &signals);
	if (cgroup_stat(name, STAT_OOM_KILLS))
		say("out of memory: the limit is %llu KiB", memory_max(&c) >> 10);
	root_drop(c.image);
	run_leave(name);
	unseal();
	return code;
}

static int ask_up(char **argv) {
	if (argv[0]) {
		int dir = open(argv[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
		readlink(words("/proc/self/fd/%d", dir), paths.images, sizeof paths.images - 1);
		if (dir < 0) die("%s: %m", argv[0]);
		close(dir);
		host.images = paths.images;
		format(paths.data, sizeof paths.data, "%s/data", host.images);
		data_path = paths.data;
	}
	prepare_up();
	return SUPERVISE;
}

static void print_entry(const struct tar *t) {
	static const char kinds_of[] = "-hlcbdp-", special[] = "tss";
	char mode[] = "-rwxrwxrwx", owner[24], size[24];
	int is_link = t->type == '1' || t->type == '2';
	const char *path = *t->path ? t->path : ".", *link = is_link ? t->link : "";
	mode[0] = kinds_of[t->type - '0'];
	for (int i = 0; i < 9; i++)
		if (!(t->mode >> i & 1)) mode[9 - i] = '-';
	for (int i = 0; i < 3; i++)
		if (t->mode >> (9 + i) & 1) mode[9 - 3 * i] = special[i];
	format(owner, sizeof owner, "%lld:%lld", t->uid, t->gid);
	format(size, sizeof size, "%lld", t->size);
	if (option('j')) {
		print_member("mode", mode, NO);
		print_member("owner", owner, NO);
		print_member("size", size, YES);
		print_member("path", path, NO);
		print_member("link", link, NO);
	} else {
		print("%s %9s %10s ", mode, owner, size);
		print_text(path);
		print(!is_link ? "" : t->type == '1' ? " = " : " -> ");
		print_value(link, NO);
	}
	print_end();
}

static void print_signer(const struct image *m) {
	char number[2 * KEY_NUMBER + 1] = "", line[80] = "nobody";
	const char *how = !any_key()   ? "not checked here: no key is compiled in"
			  : m->trusted ? "known here"
				       : "not known here";
	if (header_value(m, "signed", NULL))
		format(line, sizeof line, "key %s, %s", hex(number, m->signer, KEY_NUMBER), how);
	print_value(option('j') ? number : line, NO);
	if (option('j')) print_member("trusted", m->trusted ? "true" : "false", YES);
}

/*
 * The row that would have the open image: its file has the name of the row's, or it says so itself
 * and is signed. For no row it is one for `launcher run`.
 */
static const struct container *image_row(const struct image *m, const char *path) {
	static struct container by_hand;
	const char *name = m->trusted ? header_value(m, "name", NULL) : NULL;
	const char *leaf = strrchr(path, '/') + 1;
	for (int by_name = 0; by_name < 2; by_name++)
		for (const struct container *c = containers; c < containers + NCONTAINERS; c++)
			if (by_name ? image_named(c->image, name ?: "") : !strcmp(c->image, leaf))
				return c;
	by_hand = run;
	by_hand.image = path;
	return &by_hand;
}

/*
 * Unpacks the open image to nowhere, within the memory of a start of that row, but a quarter of the
 * machine's, and in a cgroup where such can be had. Returns 0, or -EBADMSG with a reason in m->why.
 */
static int unpack_nowhere(struct image *m, const struct container *c) {
	const char *name = run_name();
	const sigset_t signals = signals_all();
	struct container limits = { .cpu = { .max = PERCENT(6400) },
				    .pids = 256,
				    .tolerate = ~0ULL };
	struct sysinfo machine = { 0 };
	int no_cgroup = geteuid() != 0;
	sysinfo(&machine);
	/* Not the row, but the launcher, is charged with what rows share. */
	u64 most = root_size(c) + (image_users(c->image) > 1 ? MiB(4) : 0);
	limits.memory.max = min(most, (u64)machine.totalram * machine.mem_unit / 4);
	m->inodes = min(m->inodes, limits.memory.max / 1024 + 256);
	if (no_cgroup) {
		m->ids = 0; /* there is one user to give */
	} else {
		cgroup_open(".");
		run_tidy();
		no_cgroup = cgroup_make(name, &limits);
	}
	int failed = unpack(m, -1, no_cgroup ? NULL : name, &signals);
	if (failed && !no_cgroup && cgroup_stat(name, STAT_OOM_KILLS))
		failed = refuse(m, "it takes more than %llu KiB", limits.memory.max >> 10);
	if (!geteuid()) run_leave(name);
	return failed;
}

static int ask_inspect(char **argv) {
	char digest[2 * DIGEST_SIZE + 1];
	const char *value = NULL;
	const char *path = as_path(argv[0]);
	if (image_find(&image, path, YES, YES)) die("%s: %s", argv[0], image.why);
	print_member("file", argv[0], NO);
	print_key("signer");
	print_signer(&image);
	print_member("digest", image.digests ? hex(digest, image.digest, DIGEST_SIZE) : "none", NO);
	const struct header_key *k = header_keys, *end = k + LEN(header_keys);
	for (; k < end && image.digests; k++) {
		int is_list = option('j') && k->most > 1, n = 0;
		if (is_list) print_key(k->name);
		print(is_list ? "[" : "");
		for (; (value = header_value(&image, k->name, value)); n++) {
			if (!is_list) print_key(k->name);
			print(is_list && n ? ", " : "");
			print_value(value, k->is_number);
		}
		print(is_list ? "]" : "");
	}
	print_end();
	if (!option('l')) return 0;
	const struct container *c = image_row(&image, path);
	tar_each = print_entry;
	image_bound(&image, root_size(c));
	image.room = UINT64_MAX; /* it may be for a larger machine */
	if (unpack_nowhere(&image, c)) die("%s: %s", argv[0], image.why);
	return 0;
}

/* What a start of its row would do: the image is unpacked, but to where it goes away again. */
static int ask_verify(char **argv) {
	const char *path = as_path(argv[0]);
	int failed = image_find(&image, path, YES, NO);
	const struct container *c = failed ? NULL : image_row(&image, path);
	failed = failed || image_accept(&image, c) || unpack_nowhere(&image, c);
	if (failed && !option('j')) die("%s: %s", argv[0], image.why);
	if (option('j')) {
		print_member("file", argv[0], NO);
		print_member("ok", failed ? "false" : "true", YES);
		print_key(failed ? "why" : "signer");
	} else {
		print("%s: ok; signer: ", argv[0]);
	}
	if (failed)
		print_value(image.why, NO);
	else
		print_signer(&image);
	print_end();
	return failed;
}

static int ask_version(char **argv) {
	(void)argv;
	print("launcher %s for %s\n", VERSION, BOARD_NAME);
	return 0;
}

enum { ANY = 255 }; /* number of arguments */

/* clang-format off */
static const struct verb {
	char name[11], args[39], help[44]; /* args has its options, as [-f] */
	uint8_t least, most;               /* number of arguments */
	uint8_t asks;                      /* the supervisor for that; or it does it here: */
	int (*run)(char **argv);
} verbs[] = {
	{ "ps", "[--json]", "list the containers", 0, 0, ASK_PS },
	{ "net", "[--json]", "links, addresses, ports, and who uses them", 0, 0, ASK_NET },
	{ "stats", "[--json]", "what they use; on a terminal: live", 0, 0, ASK_SELF, ask_stats },
	{ "events", "[-f] [--json]", "what happened; -f: and happens", 0, 0, ASK_EVENTS },
	{ "logs", "[-f] [-n LINES] NAME", "its output; -f: and what comes", 1, 1, ASK_LOGS },
	{ "start", "NAME", "start a container; return when it is up", 1, 1, ASK_START },
	{ "stop", "NAME", "stop a container; return when it is gone", 1, 1, ASK_STOP },
	{ "restart", "NAME", "stop it, and start it again", 1, 1, ASK_RESTART },
	{ "kill", "[-s SIGNAL] NAME", "signal its command; default TERM", 1, 1, ASK_KILL },
	{ "pause", "NAME", "stop its processes where they are", 1, 1, ASK_PAUSE },
	{ "unpause", "NAME", "let them go on", 1, 1, ASK_UNPAUSE },
	{ "wait", "NAME", "print its exit status, when it has ended", 1, 1, ASK_WAIT },
	{ "limits", "NAME LIMIT", "memory=32M, cpu=50% or pids=64, for now", 2, 2, ASK_LIMITS },
	{ "exec", "[-t] [-u UID:GID] NAME COMMAND", "a command in it; -t: with a terminal",
	  2, ANY, ASK_SELF, ask_exec },
	{ "save", "NAME", "print its root, as it is now: a tar", 1, 1, ASK_SAVE },
	{ "poweroff", "", "stop all containers, then the device", 0, 0, ASK_POWEROFF },
	{ "reboot", "", "stop all, then start the device anew", 0, 0, ASK_REBOOT },
	{ "policy", "[NAME]", "print the policy, and its digest", 0, 1, ASK_SELF, ask_policy },
	{ "check", "[--json] [--kernel-config] [NAME|FILE]", "what is asked, what the kernel gives",
	  0, 1, ASK_SELF, ask_check },
	{ "up", "[DIR]", "supervise the containers; DIR has images", 0, 1, ASK_SELF, ask_up },
	{ "run", "IMAGE [-- COMMAND]", "run one in the foreground", 1, ANY, ASK_SELF, ask_run },
	{ "inspect", "[-l] [--json] IMAGE", "what it says of itself; -l: its files",
	  1, 1, ASK_SELF, ask_inspect },
	{ "verify", "[--json] IMAGE", "would this launcher take it?", 1, 1, ASK_SELF, ask_verify },
	{ "unpack", "IMAGE DIR", "unpack an image into a directory", 2, 2, ASK_SELF, ask_unpack },
	{ "version", "", "print the version and the board", 0, 0, ASK_SELF, ask_version },
	{ "completion", "", "print what bash needs to complete all this" },
	{ "help", "", "print this" },
};
/* clang-format on */

/* What bash completes: verbs first, then names and files. */
static int completion(void) {
	print("_launcher() {\n\tlocal word=${COMP_WORDS[COMP_CWORD]}\n"
	      "\tif [ $COMP_CWORD = 1 ]; then COMPREPLY=($(compgen -W '");
	for (const struct verb *v = verbs; v < verbs + LEN(verbs); v++) print("%s ", v->name);
	print("' -- $word))\n\telse COMPREPLY=($(compgen -f -W '");
	for (int i = 0; i < NCONTAINERS; i++) print("%s ", containers[i].name);
	print("' -- $word)); fi\n}\ncomplete -o filenames -F _launcher launcher\n");
	return 0;
}

static int help(void) {
	print("usage: launcher VERB [ARGUMENTS]\n\n");
	for (const struct verb *v = verbs; v < verbs + LEN(verbs); v++)
		print("  %-11s%-22s%s%s\n", v->name, v->args,
		      strlen(v->args) > 21 ? "\n                                   " : "", v->help);
	print("\nAs PID 1 it is the init of the device, and takes launcher.only=, launcher.skip=,\n"
	      "launcher.data= and launcher.log= from the kernel command line. Exit status: 0,\n"
	      "1 failure, 2 usage. `run` and `exec` exit as their command does: 128+signal if\n"
	      "killed, 127 not found, 126 not executable, 125 a failure of the launcher.\n");
	return 0;
}

/* A number, or the name of a signal; -1: it is none. */
static int number_of(const char *s, int is_signal) {
	static const char names[] =
	    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM "
	    "TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM "
	    "PROF WINCH IO PWR SYS";
	const char *p = s, *name = names;
	i64 n;
	if (!decimal(&p, p + strlen(p), &n))
		return *p || n > (is_signal ? 64 : INT_MAX) ? -1 : (int)n;
	s += after(s, "SIG") ? 3 : 0;
	for (int i = 1; is_signal && *name; i++, name += strcspn(name, " "), name += *name == ' ')
		if (strlen(s) == strcspn(name, " ") && after(name, s)) return i;
	return -1;
}

/* Sends what the command line asks of the supervisor. */
static int ask_other(enum request_kind kind, char **argv) {
	static struct request r;
	const char *value = option_values[kind == ASK_KILL ? 's' & 31 : 'n' & 31];
	r.kind = kind == ASK_PS && option('j') ? ASK_STATS : kind; /* all that is known of them */
	r.follow = option('f');
	r.number = kind == ASK_KILL ? SIGTERM : -1;
	if (value && (r.number = number_of(value, kind == ASK_KILL)) < 0)
		die("'%s' is no %s", value, kind == ASK_KILL ? "signal" : "number of lines");
	if (kind == ASK_SAVE && isatty(STDOUT_FILENO))
		die("a tar is not for a terminal: launcher save %s >out.tar", argv[0]);
	if (argv[0] && format(r.name, sizeof r.name, "%s", argv[0]) != strlen(argv[0]))
		die("there is no container '%s'", argv[0]);
	if (argv[0] && argv[1]) format(r.text, sizeof r.text, "%s", argv[1]);
	if (kind == ASK_NET) print_row(link_columns, IN_PS, NULL);
	if (kind == ASK_PS) print_row(row_columns, IN_PS, NULL);
	return ask_supervisor(&r, NULL, NULL);
}

/* Takes the options that the verb has off the command line. Returns what is left; NULL: usage. */
static char **take_options(const struct verb *v, char **argv) {
	for (; *argv && argv[0][0] == '-'; argv++) {
		int at = argv[0][strspn(argv[0], "-")] & 31;
		if (strstr(v->args, words("[%s ", argv[0])) && argv[1])
			option_values[at] = *++argv;
		else if (!strstr(v->args, words("[%s]", argv[0])))
			return NULL;
		options |= 1U << at;
	}
	return argv;
}

/* Does what the command line says. Returns an exit status, or SUPERVISE. */
static int ask(int argc, char **argv) {
	const char *name = argc > 1 ? argv[1] : "help", *like = "help";
	const struct verb *v = verbs, *end = verbs + LEN(verbs);
	name += strspn(name, "-"); /* --help, --version */
	for (; v < end && strcmp(v->name, name); v++)
		if (is_like(name, v->name, 1 + (strlen(name) > 4))) like = v->name;
	if (v == end) {
		say("there is no verb '%s'; did you mean 'launcher %s'?", name, like);
		return EXIT_USAGE;
	}
	argv = take_options(v, argv + (argc > 1 ? 2 : 1));
	for (argc = 0; argv && argv[argc];) argc++;
	if (!argv || argc < v->least || (argc > v->most && v->most != ANY)) {
		say("usage: launcher %s %s", v->name, v->args);
		return EXIT_USAGE;
	}
	if (v->asks != ASK_SELF) return ask_other(v->asks, argv);
	return v->run ? v->run(argv) : strcmp(v->name, "help") ? completion() : help();
}

/* ---- 25  save -----------------------------------------------------------------------------------
 *
 * The root of a running container, as it is now, becomes a tar: what was written to it, too. A
 * child of the supervisor walks it. The tree is somebody else's, and may change under it: names are
 * opened one at a time, and no link is followed.
 */

static struct {
	int root;
	u64 ids;             /* the first of its users */
	char path[PATH_MAX]; /* of the entry at hand */
	size_t path_at;      /* where its name begins in it */
	int changed;         /* files that were not what they had been a moment before */
	size_t filled;       /* bytes of the packet */
	char pax[PAX_MAX], data[64 << 10];
	size_t pax_size;
	char *names; /* 'd' and a directory to walk, 'l' and a file of several names */
	size_t names_end;
	struct link { /* a table of such files, by inode */
		ino_t inode;
		dev_t device;
		size_t name; /* in names; 0: a free place, for there the root is */
	} * links;
} IN_PAGES saver;

enum { SAVE_NAMES = 64 << 20, SAVE_LINKS = 1 << 20 }; /* bytes, places: most are never touched */

static _Noreturn void save_end(int code, const char *sentence) {
	if (saver.filled) answer_send(saver.filled);
	answer_end(code, sentence);
}

#define save_die(...) save_end(1, words(__VA_ARGS__))

static void save_bytes(const void *from, size_t n) {
	char *packet = answer.reply.bytes;
	for (size_t at = 0, piece; at < n; at += piece) {
		piece = min(n - at, sizeof answer.reply.bytes - saver.filled);
		memcpy(packet + saver.filled, (const char *)from + at, piece);
		saver.filled += piece;
		if (saver.filled < sizeof answer.reply.bytes) continue;
		answer_send(saver.filled);
		saver.filled = 0;
	}
}

static void save_padding(u64 size) { save_bytes(tar_zeros, -size & (TAR_BLOCK - 1)); }

/* Keeps the path of the entry for later. Returns where it is. */
static size_t save_name(char kind) {
	size_t at = saver.names_end;
	saver.names_end += format(saver.names + at, SAVE_NAMES - at, "%c%s", kind, saver.path) + 1;
	if (saver.names_end == SAVE_NAMES) save_die("more than %d MiB of names", SAVE_NAMES >> 20);
	return at;
}

/* An extended record, "LENGTH KEY=VALUE\n": the length counts its own digits. */
static void save_record(const char *key, const char *name, const void *value, size_t size) {
	size_t n = strlen(key) + strlen(name) + size + 3, digits = 1;
	for (size_t most = 10; n + digits >= most; most *= 10) digits++;
	if (n + digits > sizeof saver.pax - saver.pax_size)
		save_die("%s: its attributes are larger than %d bytes", saver.path, PAX_MAX);
	char *to = saver.pax + saver.pax_size;
	to += format(to, sizeof saver.pax, "%u %s%s=", (unsigned)(n + digits), key, name);
	memcpy(to, value, size);
	to[size] = '\n';
	saver.pax_size += n + digits;
}

/* Octal digits, or the number itself where they are too few: the first byte tells, 0x80. */
static void save_number(char *field, int digits, u64 n) {
	int is_large = n >> 3 * digits != 0;
	for (int i = digits - !is_large; i >= 0; i--, n >>= is_large ? 8 : 3)
		field[i] = (char)(is_large ? n : '0' + (n & 7));
	if (is_large) field[0] = (char)0x80;
}

/* An owner as the container knows it; whom it does not know has made places for mounts: root. */
static unsigned save_owner(unsigned id) {
	return !saver.ids || id - (unsigned)saver.ids < IDS ? id - (unsigned)saver.ids : 0;
}

/* A name that may be too long for its field. Nothing ends it where it just fits. */
static void save_text(char *field, const char *key, const char *text) {
	size_t n = strlen(text);
	if (n > 100) save_record(key, "", text, n);
	memcpy(field, text, min(n, 100));
}

static void save_header(char h[TAR_BLOCK], char type, const struct stat *st, u64 size) {
	unsigned sum = 0;
	save_number(h + 100, 7, st->st_mode & 07777);
	save_number(h + 108, 7, save_owner(st->st_uid));
	save_number(h + 116, 7, save_owner(st->st_gid));
	save_number(h + 124, 11, size);
	save_number(h + 136, 11, st->st_mtime < 0 ? 0 : (u64)st->st_mtime);
	h[156] = type;
	memcpy(h + 257, "ustar\00000", 8);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < TAR_BLOCK; i++) sum += (unsigned char)h[i];
	save_number(h + 148, 6, sum);
	h[154] = '\0';
	save_bytes(h, TAR_BLOCK);
}

/* Writes the header of an entry, behind an extended one if it needs that. fd: for attributes. */
static void save_entry(int fd, const struct stat *st, char type, const char *link, u64 size) {
	static IN_PAGES char list[PAX_MAX], value[PAX_MAX];
	char h[TAR_BLOCK] = { 0 }, extended[TAR_BLOCK] = "PaxHeader";
	ssize_t n = fd < 0 ? 0 : flistxattr(fd, list, sizeof list), got;
	for (const char *name = list; name < list + n; name += strlen(name) + 1) {
		if ((got = fgetxattr(fd, name, value, sizeof value)) < 0)
			save_die("%s: attribute %s: %m", saver.path, name);
		save_record("SCHILY.xattr.", name, value, got);
	}
	save_text(h, "path", saver.path);
	save_text(h + 157, "linkpath", link);
	if (saver.pax_size) {
		save_header(extended, 'x', st, saver.pax_size);
		save_bytes(saver.pax, saver.pax_size);
		save_padding(saver.pax_size);
		saver.pax_size = 0;
	}
	save_header(h, type, st, size);
}

/* The name under which this file was saved already; else NULL, and this one is remembered. */
static const char *save_link(const struct stat *st) {
	unsigned hash = (unsigned)(st->st_ino * 2654435761U);
	for (unsigned i = 0; i < SAVE_LINKS; i++) {
		struct link *l = &saver.links[(hash + i) % SAVE_LINKS];
		if (l->name && l->inode == st->st_ino && l->device == st->st_dev)
			return saver.names + l->name + 1;
		if (l->name) continue;
		*l = (struct link){ st->st_ino, st->st_dev, save_name('l') };
		return NULL;
	}
	save_die("more than %d files with several names", SAVE_LINKS);
}

/* The data of a file. It keeps the size that its header has given, whatever it has become. */
static void save_data(int fd, u64 size) {
	ssize_t got = 1;
	for (u64 at = 0, n; at < size; at += n) {
		n = min(size - at, sizeof saver.data);
		if (got && (got = read(fd, saver.data, n)) < 0) save_die("%s: %m", saver.path);
		if (!got) memset(saver.data, 0, n); /* it is shorter now */
		n = got ? (u64)got : n;
		save_bytes(saver.data, n);
	}
	saver.changed += !got;
	save_padding(size);
}

/*
 * Saves one entry of the directory that is walked; one that is a directory is walked later. Sockets
 * and device nodes are not saved.
 */
static int save_one(int dir, const char *name) {
	char link[PATH_MAX] = "", *to = saver.path + saver.path_at;
	const char *other = NULL;
	struct stat st;
	int fd = -1, gone = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
	mode_t kind = gone ? 0 : st.st_mode & S_IFMT;
	if (format(to, sizeof saver.path - saver.path_at, "%s", name) < strlen(name))
		save_die("%s: the path is too long", saver.path);
	if (kind == S_IFREG || kind == S_IFDIR) {
		fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		gone = fd < 0 || fstat(fd, &st) || (st.st_mode & S_IFMT) != kind;
	}
	if (gone) {
		saver.changed++;
	} else if (kind == S_IFDIR) {
		save_entry(fd, &st, '5', "", 0);
		if (!word_in("proc,sys,dev", saver.path)) /* the launcher fills them each time */
			save_name('d');
	} else if (kind == S_IFREG && st.st_nlink > 1 && (other = save_link(&st))) {
		save_entry(-1, &st, '1', other, 0);
	} else if (kind == S_IFREG) {
		save_entry(fd, &st, '0', "", st.st_size);
		save_data(fd, st.st_size);
	} else if (kind == S_IFLNK && readlinkat(dir, name, link, sizeof link - 1) > 0) {
		save_entry(-1, &st, '2', link, 0);
	} else if (kind == S_IFIFO) {
		save_entry(-1, &st, '6', "", 0);
	}
	if (fd >= 0) close(fd);
	return 0;
}

static _Noreturn void save(void) {
	save_one(saver.root, ".");
	for (char *p = saver.names; p < saver.names + saver.names_end; p += strlen(p) + 1) {
		int dir = *p == 'd' ? path_open(saver.root, p + 1, O_RDONLY | O_DIRECTORY) : -1;
		saver.changed += *p == 'd' && dir < 0;
		if (dir < 0) continue;
		saver.path_at = strcmp(p + 1, ".") ? format(saver.path, PATH_MAX, "%s/", p + 1) : 0;
		int failed = dir_each(dir, save_one);
		if (failed && failed != -ENOENT)
			save_die("%s: its names: %s", p + 1, strerror(-failed));
		saver.changed += !!failed; /* it was removed */
		close(dir);
	}
	save_bytes(tar_zeros, sizeof tar_zeros);
	if (!saver.changed) save_end(0, "");
	save_die("%d files changed or went while they were saved", saver.changed);
}

/*
 * Starts a child that sends the root of a container, which the task is PID 1 of, to a client. The
 * descriptors stay the caller's. Returns 1 or -errno.
 */
static int save_start(int client, const struct task *task, u64 ids) {
	int parent = answer_fork(client, &task->pidfd, 1);
	if (parent) return parent;
	answer.reply.kind = REPLY_BYTES;
	saver.ids = ids;
	saver.root = open(words("/proc/%d/root", task->pid), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (saver.root < 0 ||
	    (syscall(SYS_pidfd_send_signal, task->pidfd, 0, NULL, 0) && errno != ENOSYS))
		save_die("its root: %m");
	saver.names = mmap(NULL, SAVE_NAMES + SAVE_LINKS * sizeof *saver.links,
			   PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			   0);
	if (saver.names == MAP_FAILED) save_die("memory: %m");
	saver.links = (struct link *)(void *)(saver.names + SAVE_NAMES);
	save();
}

/* ==== Part IV: The life that may not ========================================================== */

/*
 * PID 1 receives nothing that a workload can send, and never has the last reference of anything
 * that a workload can use: its recv(2) or close(2) could wait for as long as the workload likes.
 * What it is told comes from PID 1 of the container, in a struct of a fixed size.
 */

#pragma GCC poison die exit _exit

/* ---- 26  instance -------------------------------------------------------------------------------
 *
 * What a container is doing, and has. An event is looked up in the row of the state, and the action
 * found there answers with the next state. Actions never wait: a child's end, its last words and
 * the time that has come are events too.
 */

/* clang-format off */
#define STATES(X)                                                                                  \
	X(IS_WAITING, "waiting") X(IS_UNPACKING, "unpacking") X(IS_STARTING, "starting")           \
	X(IS_EXECED, "execed") X(IS_UP, "up") X(IS_STOPPING, "stopping")                           \
	X(IS_BACKING_OFF, "backing-off") X(IS_PARKED, "parked") X(IS_LISTENING, "listening")       \
	X(IS_DONE, "done")
#define EVENTS(X, s)                                                                               \
	X(s, ON_START) X(s, ON_STOP) /* somebody wants it */                                       \
	X(s, ON_GO)                  /* nothing is in its way */                                   \
	X(s, ON_EXECED)              /* the workload runs */                                       \
	X(s, ON_READY)               /* it does what others wait for */                            \
	X(s, ON_UNWELL)              /* it does not do any more what it should */                  \
	X(s, ON_EXITED)              /* the task is gone */                                        \
	X(s, ON_TIMEOUT)             /* its deadline has passed */

#define STATE_ONLY(state, word) state,
#define WORD_ONLY(state, word) word,
#define EVENT_ONLY(state, event) event,
enum state { STATES(STATE_ONLY) NSTATES };
enum event { EVENTS(EVENT_ONLY, ) NEVENTS };
enum source {
	FROM_SIGNAL, FROM_SOCKET, FROM_CLIENT, FROM_REPORT, FROM_LOG, FROM_LINE, FROM_PORT,
	FROM_INSIDE, FROM_CONTROL
};
/* clang-format on */

static const char state_names[][12] = { STATES(WORD_ONLY) };

enum { KILL_AGAIN = 1000, END_LIMIT = 30000, LOOK_AGAIN = 50 }; /* ms */
enum { MOST_KILLS = 10 }; /* attempts to kill, after which it is said that this does not help */
enum { LAST_WORDS = 32 }; /* reads, which take all that the pipe of a log holds */

struct instance {
	const struct container *row; /* of the policy */
	enum state state;
	int wanted;       /* it shall run: what a stopping one does when it has stopped */
	struct task task; /* the unpacker, or the container's PID 1; never a second one */
	int status;       /* of the latest task: exit status, or 128 + signal */
	int log[2];       /* pipe that is stdout and stderr, in every incarnation */
	int orders;       /* to PID 1 of the container; or -1 */
	int control;      /* where root of the container asks, if its row has .control; or -1 */
	int line;         /* of the health command that runs now; or -1 */
	u64 since;        /* when the state was entered; all times are now() */
	u64 deadline;     /* when its time is up; 0: never */
	u64 look;         /* when its health, or readiness, is looked at next; 0: never */
	u64 delay;        /* ms before the next restart; 0: it has not failed lately */
	u64 oom_kills;    /* of its cgroup, when the task was started */
	u64 cpu;          /* ms that the latest task took */
	const char *sick; /* why it is ended, if nobody has asked for that */
	unsigned restarts, ends, failures, kills; /* all; all; of its health, of us in a row */
	int left_out;  /* by the kernel command line, and not started since: nobody waits for it */
	int impatient; /* it has waited for others for long enough */
	int half_open; /* it was parked, and has not been well since */
	int lost;      /* it has failed, and its row wants no other try */
	int bounded;   /* its cgroup has the devices of its row, and no others */
	int calm;      /* it was, when it began to be ended for not being well */
	int paused;
	int idle;       /* it has had no client for its .idle, and takes no other: it is to rest */
	int resting;    /* it is ended, for nobody needs it now: the next client does */
	char note[128]; /* what happened last, for people */

	int net, users;        /* its namespaces, kept over restarts; or -1 */
	int lease;             /* the keeper of its DEVICE stays as long as this is open; or -1 */
	struct task keeper;    /* who gives that back */
	int ports[MOST_PORTS]; /* sockets that listen, or -1 */
	struct instance *home; /* the row whose network it SHAREs, or itself */

	struct instance *root;     /* the first row with the same image; of that one only: */
	struct instance *unpacker; /* whose task unpacks the image now */
	int unpacked;              /* the root is mounted */
	int fallen;                /* from now on it is made of the fallback */
};

/* Of the supervisor alone: what it changes after a fork would otherwise be kept for the child. */
static IN_PAGES struct instance instances[NCONTAINERS];
static IN_PAGES struct ring rings[NCONTAINERS];
static IN_PAGES struct happening happenings[32 + 8 * NCONTAINERS]; /* the latest */
static u64 happened;                                               /* events since the start */
static int poller = -1;                                            /* epoll of the loop */
static int ending;              /* the command for reboot(2) that comes next; nothing is started */
static u64 end_by;              /* when patience with that ends */
static struct traffic *traffic; /* of all rows, and shared with those who count it */
static u64 budget_at; /* when a row without any priority could have used all of the budget */

/* The loop shall look at fd, which is that of a source and its index. EPOLL_CTL_ADD or _MOD. */
static void watch(int how, int fd, uint32_t events, enum source source, int index) {
	struct epoll_event event = { .events = events };
	event.data.u64 = (u64)source << 32 | (uint32_t)index;
	if (epoll_ctl(poller, how, fd, &event)) say("watching a descriptor: %m");
}

#define note(i, ...) format((i)->note, sizeof(i)->note, __VA_ARGS__)

/* Keeps an event for `launcher events`; i: NULL for the device. */
static void record(const struct instance *i, const char *what, const char *why, u64 at) {
	struct happening *h = &happenings[happened++ % LEN(happenings)];
	h->at = at;
	format(h->name, sizeof h->name, "%s", i ? i->row->name : "-");
	format(h->what, sizeof h->what, "%s", what);
	format(h->note, sizeof h->note, "%s", why);
}

static void close_one(int *fd) {
	if (*fd >= 0) close(*fd);
	*fd = -1;
}

/* A child that was just forked may have it open too, so that closing it does not end the watch. */
static void line_close(struct instance *i) {
	if (i->line >= 0) epoll_ctl(poller, EPOLL_CTL_DEL, i->line, NULL);
	close_one(&i->line);
}

static void signal_task(struct instance *i, int signal) {
	int failed = i->task.pid && syscall(SYS_pidfd_send_signal, i->task.pidfd, signal, NULL, 0);
	if (failed && errno == ENOSYS)
		failed = kill(i->task.pid, signal); /* it is not reaped yet */
	if (failed) say("%s: signal %d: %m", i->row->name, signal);
}

static int set_paused(struct instance *i, int paused) {
	int failed = i->paused == paused ? 0 : cgroup_freeze(i->row->name, paused);
	if (failed || i->paused == paused) return failed;
	i->paused = paused;
	i->look = paused || !i->row->health.every ? 0 : now() + i->row->health.every;
	record(i, paused ? "paused" : "unpaused", "", now());
	return 0;
}

/* Forgets the root when its last user is done. A root that is kept makes the next start quick. */
static void root_forget(struct instance *i) {
	if (i->root->unpacked) root_drop(i->row->image);
	i->root->unpacked = NO;
}

static int rests(const struct instance *i) {
	return i->state == IS_DONE || i->state == IS_LISTENING;
}

/* Forgets its network, if nobody else is at home there; a device that is in it goes back. */
static void net_forget(struct instance *i) {
	for (const struct instance *k = instances; k < instances + NCONTAINERS; k++)
		if (k != i && k->home == i->home && !rests(k)) return;
	close_one(&i->home->net);
	close_one(&i->home->users);
	close_one(&i->home->lease);
}

/* Nobody wants it: it gives back all that it has, but for the sockets, and begins anew. */
static void release(struct instance *i) {
	int users = 0;
	i->wanted = i->half_open = i->resting = NO;
	i->deadline = i->delay = 0;
	for (struct instance *k = instances; k < instances + NCONTAINERS; k++)
		users += k != i && k->root == i->root && !rests(k);
	if (!users) root_forget(i);
	if (i->home != i) close_one(&i->users);
	net_forget(i);
	cgroup_remove(i->row->name);
	i->bounded = NO;
}

/*
 * A socket that listens there, or -errno. A container that is handed it could make it another one,
 * by shutdown(2) and connect(2), which is in the network of the device: so an answer to a SYN never
 * gets in, by a filter that nobody takes off. SO_LOCK_FILTER: Linux 3.9
 */
static int port_open(const struct port *p) {
	enum { FLAGS = 13, SYN_ACK = 0x12 }; /* of a TCP header */
	static struct sock_filter no_answer[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN_ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN_ACK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog drop = { LEN(no_answer), no_answer };
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6; /* which has its port at the same place */
	} at = { 0 };
	struct ip ip = ip_read(p->at);
	int on = YES, off = NO, type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd = ip.bits == 32 ? -1 : socket(AF_INET6, type, 0);
	int v4 = ip.bits == 32 || (fd < 0 && errno == EAFNOSUPPORT && !ip.bits);
	if (v4) fd = socket(AF_INET, type, 0);
	if (fd < 0) return -errno;
	at.any.sa_family = v4 ? AF_INET : AF_INET6;
	at.v4.sin_port = htons((uint16_t)p->port);
	memcpy(v4 ? (void *)&at.v4.sin_addr : &at.v6.sin6_addr, ip.bytes, v4 ? 4 : 16);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_FREEBIND : IPV6_FREEBIND, &on,
		   sizeof on); /* an address of DHCP, or of a card, may come later */
	if (!v4) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off); /* both */
	if (!setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &drop, sizeof drop) &&
	    !setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) &&
	    !bind(fd, &at.any, v4 ? sizeof at.v4 : sizeof at.v6) && !listen(fd, SOMAXCONN))
		return fd;
	int failed = -errno;
	close(fd);
	return failed;
}

/* Listens where its row says: as soon as it is wanted, so that clients wait and are not refused. */
static int ports_open(struct instance *i) {
	const struct port *p = i->row->ports;
	for (int n = 0; p && p[n].port; n++) {
		if (i->ports[n] >= 0) {
			listen(i->ports[n], SOMAXCONN); /* a container may have shut it down */
			continue;
		}
		int fd = port_open(&p[n]);
		if (fd < 0) {
			note(i, "port %d: %s", p[n].port, strerror(-fd));
			return fd;
		}
		i->ports[n] = fd;
	}
	return 0;
}

/* Waits for the first client, or does no more: its container has them. */
static void ports_watch(const struct instance *i, int watched) {
	for (int n = 0; n < MOST_PORTS; n++)
		if (i->ports[n] >= 0 && watched)
			watch(EPOLL_CTL_ADD, i->ports[n], EPOLLIN, FROM_PORT, i - instances);
		else if (i->ports[n] >= 0)
			epoll_ctl(poller, EPOLL_CTL_DEL, i->ports[n], NULL);
}

/* A child that was just forked may have them open too: see line_close. */
static void ports_close(struct instance *i) {
	ports_watch(i, NO);
	for (int n = 0; n < MOST_PORTS; n++) close_one(&i->ports[n]);
}

/*
 * Takes one restart out of the budget of the device, and more if its short life has cost more than
 * a second of CPU. The budget is a time: what was used comes back as that passes.
 */
static int budget_take(const struct instance *i) {
	u64 every = budget.every ?: SECONDS(15), time = now();
	u64 most = (budget.restarts ?: 40) * every;
	u64 used = budget_at > time ? budget_at - time : 0;
	if (used + every > most / 4 * (i->row->priority + 1)) return NO;
	budget_at = time + min(used + every * (1 + i->cpu / 1000), most);
	return YES;
}

/* Begins the end: everything is stopped, in order, and within a time. */
static void end(int command) {
	if (ending) return;
	ending = command;
	end_by = now() + END_LIMIT;
	record(NULL, "ending", "", now());
}

/* Is the status of its latest task one of a failure? */
static int has_failed(const struct instance *i) {
	int failed = i->status != 0;
	for (const int *ok = i->row->success; ok && *ok >= 0; ok++) failed &= *ok != i->status;
	return failed;
}

static int has_succeeded(const struct instance *i) {
	return i->state == IS_DONE && i->ends && !i->lost && !has_failed(i);
}

/* Does it do what others wait for? A one-shot row has done it when it has succeeded. */
static int is_ready(const struct instance *i) {
	return i->state == IS_UP || i->state == IS_LISTENING || i->left_out ||
	       (i->row->restart == NEVER && has_succeeded(i));
}

/* The first instance that keeps a waiting one from starting; NULL if there is none. */
static const struct instance *waits_for(const struct instance *i) {
	for (const int *row = i->row->after; row && *row >= 0 && !i->impatient; row++)
		if (!is_ready(&instances[*row])) return &instances[*row];
	if (i->home != i && i->home->net < 0) return i->home; /* for a network to share */
	return i->root->unpacker;                             /* of the image that both share */
}

/* ---- 27  actions --------------------------------------------------------------------------------
 *
 * What happens to an instance; each action returns the state that comes next.
 */

static enum state stay(struct instance *i) { return i->state; }

static enum state wait_turn(struct instance *i) {
	i->wanted = YES;
	i->left_out = i->impatient = i->lost = NO;
	i->deadline = !i->row->after ? 0 : now() + (i->row->wait ?: SECONDS(60));
	return IS_WAITING;
}

static enum state finish(struct instance *i) {
	ports_close(i);
	release(i);
	return IS_DONE;
}

/* Nobody needs it; at its sockets somebody may wait. */
static enum state rest(struct instance *i) {
	if (ports_open(i)) {
		say("%s: %s", i->row->name, i->note);
		finish(i);
		i->resting = YES;
		i->deadline = now() + SECONDS(5);
		return IS_BACKING_OFF;
	}
	release(i);
	ports_watch(i, YES);
	return IS_LISTENING;
}

/* The first client has come, or somebody wants it. */
static enum state wake(struct instance *i) {
	ports_watch(i, NO);
	return wait_turn(i);
}

/* The device can't afford another try now: what the row names comes instead, or a long rest. */
static enum state park(struct instance *i) {
	const struct container *c = i->row;
	u64 rest = budget.parked ?: SECONDS(300);
	char text[256];
	int falls = c->escalate & FALLBACK && !i->root->fallen;
	if (falls) {
		i->root->fallen = YES;
		root_forget(i); /* who still runs in it keeps it, until it ends */
		rest = i->delay;
	} else if (c->escalate & REBOOT) {
		format(text, sizeof text, "%s: %s; this device starts over", c->name, i->note);
		testify(text);
		end(LINUX_REBOOT_CMD_RESTART);
	}
	i->half_open = !falls;
	i->deadline = now() + rest;
	say("%s: %s; over its share of restarts, %s%llu s", c->name, i->note,
	    falls ? "its fallback is taken in " : "tried again in ", rest / 1000);
	return falls ? IS_BACKING_OFF : IS_PARKED;
}

/* Is it up for so long that what was before does not count any more? */
static int is_calm(const struct instance *i) {
	const struct container *c = i->row;
	u64 limit = c->backoff.limit ?: SECONDS(60);
	return i->state == IS_UP && now() - i->since >= (c->backoff.calm ?: limit);
}

/* It has ended, or could not begin: rest, or try again later and later. The note says why. */
static enum state conclude(struct instance *i, int failed) {
	const struct container *c = i->row;
	u64 first = c->backoff.first ?: SECONDS(1);
	u64 limit = c->backoff.limit ?: SECONDS(60);
	u64 factor = c->backoff.factor ?: 200;
	i->resting = c->start == ON_CONNECT && !failed;
	if (i->resting && now() - i->since >= first) return rest(i); /* else it may serve nobody */
	if (!i->resting && (c->restart == NEVER || (c->restart == ON_FAILURE && !failed))) {
		say("%s: %s", c->name, i->note);
		i->lost = failed;
		return finish(i);
	}
	if (i->calm || is_calm(i)) { /* it has been well for long enough */
		i->delay = i->cpu = 0;
		i->half_open = NO;
	}
	int is_first = !i->delay; /* however bad the others are, it has another try */
	i->delay = is_first ? first : min(i->delay * factor / 100, limit);
	if (i->half_open || (!budget_take(i) && !is_first)) return park(i);
	struct timespec chance;
	clock_gettime(CLOCK_MONOTONIC, &chance);
	u64 delay = i->delay + i->delay / 4 * (u64)(chance.tv_nsec / 1000 % 1000) / 1000;
	i->deadline = now() + delay;
	say("%s: %s; restart in %llu.%llu s", c->name, i->note, delay / 1000, delay % 1000 / 100);
	return IS_BACKING_OFF;
}

static enum state retry(struct instance *i) {
	if (i->resting) return rest(i);
	i->restarts++;
	return wait_turn(i);
}

/* Takes charge of the task that was just started; or, with an error, of there being none. */
static enum state begin(struct instance *i, int failed, enum state next) {
	if (failed) {
		note(i, "no process for it: %s", strerror(-failed));
		return conclude(i, YES);
	}
	if (next == IS_UNPACKING) i->root->unpacker = i;
	watch(EPOLL_CTL_ADD, i->task.report, EPOLLIN, FROM_REPORT, i - instances);
	i->deadline = next == IS_STARTING ? now() + START_LIMIT : 0;
	return next;
}

/* The keeper of a DEVICE makes the network of its row; of another, the container itself does. */
static int keep_device(struct instance *i) {
	const struct container *c = i->row;
	if (c->net.kind != NET_DEVICE || i->lease >= 0) return 0;
	int failed = keeper_start(c, &i->lease, &i->keeper);
	if (!failed) task_close(&i->keeper);
	return failed;
}

static enum state build(struct instance *i) {
	const struct container *c = i->row;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), orders[2] = { -1, -1 };
	struct supply supply = {
		{ null, i->log[1], i->log[1] }, -1, i->home->net, i->users, -1, NO_PORTS,
		&traffic[i - instances]
	};
	i->oom_kills = cgroup_stat(c->name, STAT_OOM_KILLS);
	int refused = i->bounded && !c->devices ? 0 : cgroup_devices(c->name, c);
	i->bounded = !refused;
	int failed = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, orders) ? -errno : 0;
	for (int k = 0; k < 3 && c->console; k++) supply.stdio[k] = k;
	if (!failed && !refused) failed = keep_device(i);
	supply.orders = orders[1];
	supply.lease = i->net < 0 ? i->lease : -1;
	memcpy(supply.ports, i->ports, sizeof i->ports);
	if (!failed && !refused) failed = container_start(c, &supply, &i->task);
	close_one(&null);
	close_one(&orders[1]);
	i->orders = orders[0];
	watch(EPOLL_CTL_ADD, i->orders, EPOLLIN | EPOLLET, FROM_INSIDE, i - instances);
	if (!refused && !failed) return begin(i, 0, IS_STARTING);
	close_one(&i->orders);
	if (!refused) return begin(i, failed, IS_STARTING);
	note(i, "%s", cgroup.why);
	return conclude(i, YES);
}

/* Nothing is in its way: its limits first, then its root, then the container itself. */
static enum state launch(struct instance *i) {
	const struct container *c = i->row;
	i->status = 125; /* until it is known better */
	i->calm = i->idle = NO;
	i->sick = NULL;
	i->failures = i->kills = 0;
	if (c->keep & CAP(NET_ADMIN) && i->home == i)
		net_forget(i); /* it may have been changed, or spoiled */
	if (ports_open(i)) return conclude(i, YES);
	if (c->console && !isatty(STDIN_FILENO)) {
		note(i, "has the console, and there is none");
		say("%s: %s", c->name, i->note);
		return finish(i);
	}
	if (!i->root->unpacked) { /* the image may be on a device that is not its own */
		cgroup_remove(c->name);
		i->bounded = NO;
	}
	if (cgroup_make(c->name, c)) {
		note(i, "%s", cgroup.why);
		return conclude(i, YES);
	}
	if (i->root->unpacked) return build(i);
	i->oom_kills = cgroup_stat(c->name, STAT_OOM_KILLS);
	return begin(i, container_unpack(c, i->root->fallen, &i->task), IS_UNPACKING);
}

/* The namespaces that it is in serve its next incarnation too. */
static void spaces_keep(struct instance *i) {
	int proc = open(words("/proc/%d/ns", i->task.pid), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (syscall(SYS_pidfd_send_signal, i->task.pidfd, 0, NULL, 0)) close_one(&proc);
	int is_own = i->row->net.kind != NET_HOST && i->home == i;
	if (i->net < 0 && is_own) i->net = openat(proc, "net", O_RDONLY | O_CLOEXEC);
	if (i->users < 0 && ids_first(i->row))
		i->users = openat(proc, "user", O_RDONLY | O_CLOEXEC);
	close(proc);
}

static enum state up(struct instance *i) {
	const struct container *c = i->row;
	if (i->sick) return i->state; /* too late: it is being killed */
	if (i->state == IS_STARTING) {
		record(i, state_names[IS_EXECED], "", now());
		spaces_keep(i);
	}
	i->deadline = 0;
	i->look = c->health.every ? now() + c->health.every : 0;
	say("%s: up", c->name);
	return IS_UP;
}

/* The workload runs: is that enough? */
static enum state execed(struct instance *i) {
	const struct container *c = i->row;
	if (!c->ready || i->sick) return up(i);
	spaces_keep(i);
	i->deadline = now() + (c->ready_within ?: START_LIMIT);
	i->look = c->ready == NOTIFY ? 0 : now();
	return IS_EXECED;
}

/* Explains the end of a task: its last words, else the limit that it hit, else its status. */
static void explain(struct instance *i, const char *last_words) {
	int killed = i->status > 128 && i->status <= 128 + 64;
	if (i->sick)
		note(i, "%s", i->sick);
	else if (*last_words)
		note(i, "%s", last_words);
	else if (cgroup_stat(i->row->name, STAT_OOM_KILLS) > i->oom_kills)
		note(i, "out of memory: the limit is %llu KiB", memory_max(i->row) >> 10);
	else if (killed)
		note(i, "exit %d (%s)", i->status, strsignal(i->status - 128));
	else
		note(i, "exit %d", i->status);
}

/* A network that is not kept yet may be half made. */
static enum state ended(struct instance *i) {
	if (i->net < 0) close_one(&i->lease);
	return conclude(i, has_failed(i) || i->sick);
}

/* If the task was the unpacker, there is a root now, or nothing at all. */
static void settle_root(struct instance *i) {
	if (i->root->unpacker != i) return;
	i->root->unpacker = NULL;
	i->root->unpacked = !i->status;
	if (i->status)
		root_drop(i->row->image);
	else
		say("%s: unpacked in %llu ms", i->row->image, now() - i->since);
}

static enum state unpacked(struct instance *i) {
	settle_root(i);
	if (i->status) return conclude(i, YES);
	i->status = 125; /* as in launch */
	note(i, "%s", "");
	return build(i);
}

static enum state kill_all(struct instance *i) {
	signal_task(i, SIGKILL); /* takes the whole pid namespace with it, on every kernel */
	cgroup_limit(i->row->name, i->row, "cpu=100%"); /* the dying need some too */
	i->deadline = now() + KILL_AGAIN;
	if (++i->kills == MOST_KILLS) {
		note(i, "can't be killed: a process hangs in the kernel");
		say("%s: %s", i->row->name, i->note);
	}
	return i->state;
}

static enum state abandon(struct instance *i) {
	i->sick = i->state == IS_EXECED ? "not ready in time" : "not started in time";
	say("%s: %s", i->row->name, i->sick);
	return kill_all(i);
}

static enum state terminate(struct instance *i) {
	const struct container *c = i->row;
	i->wanted = NO;
	i->sick = NULL;
	set_paused(i, NO);
	i->look = 0;
	if (i->root->unpacker == i || c->stop.signal == SIGKILL) {
		kill_all(i);
		return IS_STOPPING;
	}
	signal_task(i, c->stop.signal ?: SIGTERM);
	i->deadline = now() + (c->stop.grace ?: SECONDS(5));
	return IS_STOPPING;
}

/* It lives, and does not do what it should: ended like one that somebody stops, it has failed. */
static enum state fail(struct instance *i) {
	const char *why = i->sick;
	say("%s: %s", i->row->name, why);
	record(i, "unhealthy", why, now());
	i->calm = is_calm(i);
	enum state next = terminate(i);
	i->sick = why;
	return next;
}

static enum state want(struct instance *i) {
	i->wanted = YES;
	i->resting = NO;
	return i->state;
}

static enum state unwant(struct instance *i) {
	i->wanted = i->resting = NO;
	i->sick = NULL;
	return i->state;
}

static enum state stopped(struct instance *i) {
	settle_root(i);
	if (i->sick) return conclude(i, YES);
	say("%s: %s, %s", i->row->name, i->resting ? "rests" : "stopped", i->note);
	return i->wanted ? retry(i) : i->resting ? rest(i) : finish(i);
}

/* It has waited for others for long enough: a part of the device is better than none. */
static enum state hurry(struct instance *i) {
	const struct instance *waits = waits_for(i);
	i->impatient = YES;
	if (waits)
		say("%s: has waited for %s long enough, and starts without", i->row->name,
		    waits->row->name);
	return IS_WAITING;
}

/* clang-format off */
#define ACTIONS(X)                                                                                 \
	X(stay) X(wait_turn) X(finish) X(wake) X(retry) X(launch) X(execed) X(up) X(ended)         \
	X(unpacked) X(kill_all) X(abandon) X(terminate) X(fail) X(want) X(unwant) X(stopped)       \
	X(hurry)
#define DO_NAME(action) DO_##action,
#define ADDRESS(action) [DO_##action] = action,
#define REACT(state, start, stop, go, execed, ready, unwell, exited, timeout)                      \
	[state] = { [ON_START] = DO_##start, [ON_STOP] = DO_##stop, [ON_GO] = DO_##go,             \
		    [ON_EXECED] = DO_##execed, [ON_READY] = DO_##ready, [ON_UNWELL] = DO_##unwell, \
		    [ON_EXITED] = DO_##exited, [ON_TIMEOUT] = DO_##timeout }

/* A number takes a byte, and an address 32 with what relocates it. */
enum { NO_ACTION, ACTIONS(DO_NAME) };

static enum state (*const actions[])(struct instance *i) = { ACTIONS(ADDRESS) };

static const uint8_t reactions[NSTATES][NEVENTS] = {
	/*                   START      STOP       GO      EXECED  READY UNWELL EXITED    TIMEOUT */
	REACT(IS_WAITING,    stay,      finish,    launch, stay,   stay, stay,  stay,     hurry),
	REACT(IS_UNPACKING,  stay,      terminate, stay,   stay,   stay, stay,  unpacked, stay),
	REACT(IS_STARTING,   stay,      terminate, stay,   execed, up,   stay,  ended,    abandon),
	REACT(IS_EXECED,     stay,      terminate, stay,   stay,   up,   stay,  ended,    abandon),
	REACT(IS_UP,         stay,      terminate, stay,   stay,   stay, fail,  ended,    stay),
	REACT(IS_STOPPING,   want,      unwant,    stay,   stay,   stay, stay,  stopped,  kill_all),
	REACT(IS_BACKING_OFF,retry,     finish,    stay,   stay,   stay, stay,  stay,     retry),
	REACT(IS_PARKED,     retry,     finish,    stay,   stay,   stay, stay,  stay,     retry),
	REACT(IS_LISTENING,  wake,      finish,    stay,   stay,   stay, stay,  stay,     stay),
	REACT(IS_DONE,       wait_turn, stay,      stay,   stay,   stay, stay,  stay,     stay),
};
/* clang-format on */

#define CHECK_CELL(state, event)                                                                   \
	REFUSE(!reactions[state][event], "a state has no action for an event");
#define CHECK_ROW(state, word) EVENTS(CHECK_CELL, state)

static __attribute__((used)) void rules_of_reactions(void) { STATES(CHECK_ROW) }

static void happen(struct instance *i, enum event event) {
	enum state next = actions[reactions[i->state][event]](i);
	if (next == i->state) return;
	i->state = next;
	i->since = now();
	record(i, state_names[next], next == IS_UP ? "" : i->note, i->since);
}

/* ---- 28  watch ----------------------------------------------------------------------------------
 *
 * What is seen of a container becomes an event: its report and output, what it says of itself, what
 * its health command says of it, its end, and time. Then what can start is started.
 */

/*
 * A report pipe is readable: end of file says that the work is done; words stay there for later. Of
 * a task that has ended, its status tells whether it came so far.
 */
static void on_report(struct instance *i) {
	struct pollfd pipe = { .fd = i->task.report, .events = POLLIN };
	siginfo_t end = { 0 };
	if (!i->task.pid || poll(&pipe, 1, 0) <= 0) return;
	epoll_ctl(poller, EPOLL_CTL_DEL, i->task.report, NULL);
	waitid(P_PID, (id_t)i->task.pid, &end, WEXITED | WNOHANG | WNOWAIT);
	if (!end.si_pid && !(pipe.revents & POLLIN) && i->root->unpacker != i) happen(i, ON_EXECED);
}

static void on_log(struct instance *i) {
	struct ring *r = &rings[i - instances];
	if (ring_fill(r, i->log[0]) > 0) ring_show(r, i->row->name);
}

/* It was looked at, or its time to say something has passed: why it is not well, or NULL. */
static void on_health(struct instance *i, const char *why) {
	const struct container *c = i->row;
	line_close(i);
	i->failures = why ? i->failures + 1 : 0;
	i->look = now() + (i->state == IS_EXECED ? 5 * LOOK_AGAIN : c->health.every);
	if (!why) {
		if (c->ready == HEALTHY) happen(i, ON_READY);
	} else if (i->state == IS_UP &&
		   i->failures >=
		       (c->health.failures && c->health.command ? c->health.failures : 3)) {
		i->sick = why;
		happen(i, ON_UNWELL);
	}
}

/* The health command has ended, if it could be executed. */
static void on_line(struct instance *i) {
	unsigned char status[2];
	if (i->line < 0) return; /* its container has ended, in the same turn of the loop */
	ssize_t n = recv(i->line, status, sizeof status, MSG_DONTWAIT);
	if (n == 1)
		on_health(i, *status ? "not healthy: its health command fails" : NULL);
	else if (!n || (n < 0 && errno != EAGAIN))
		on_health(i, "not healthy: no health command can run");
}

static void health_ask(struct instance *i) {
	static struct request r;
	r.kind = ASK_HEALTH;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), line[2] = { -1, -1 };
	int failed = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line);
	int fds[MOST_FDS] = { null, i->log[1], i->log[1], line[1] };
	if (!failed) failed = packet_send(i->orders, &r, sizeof r, fds, MOST_FDS);
	close_one(&null);
	close_one(&line[1]);
	i->line = line[0];
	i->look = now() + (i->row->health.timeout ?: SECONDS(5));
	if (failed)
		on_health(i, "not healthy: it takes no health command");
	else
		watch(EPOLL_CTL_ADD, i->line, EPOLLIN, FROM_LINE, i - instances);
}

/* Does it listen at that port of TCP? The kernel lists who listens first. proc_pid_net(5) */
static int listens(const struct instance *i, unsigned port) {
	static const char *const files[] = { "tcp", "tcp6" };
	char path[48], text[4096], want[16];
	int found = 0;
	format(want, sizeof want, ":%04x ", port);
	for (char *p = want; *p; p++) *p = (char)(*p >= 'a' && *p <= 'f' ? *p - 32 : *p);
	for (int k = 0; k < LEN(files); k++) {
		format(path, sizeof path, "/proc/%d/net/%s", i->task.pid, files[k]);
		file_read(AT_FDCWD, path, text, sizeof text);
		for (char *p = text; (p = strstr(p, want));) { /* LOCAL:PORT REMOTE:0000 0A */
			p += 6;
			found |= !!after(p + strcspn(p, " "), " 0A ");
		}
	}
	return found;
}

/* What PID 1 of the container tells. */
static void on_inside(struct instance *i) {
	struct notice n;
	for (int turn = 0; i->orders >= 0 && turn < MOST_NOTICES; turn++) {
		if (recv(i->orders, &n, sizeof n, MSG_DONTWAIT) != sizeof n) return;
		if (n.kind == NOTICE_IDLE)
			i->idle = YES; /* see settle */
		else if (n.kind == NOTICE_READY && i->row->ready == NOTIFY)
			happen(i, ON_READY);
		else if (n.kind == NOTICE_WATCHDOG && i->look)
			i->look = now() + i->row->health.every;
		else if (n.kind == NOTICE_STATUS)
			note(i, "%.*s", (int)sizeof n.text, n.text);
	}
	watch(EPOLL_CTL_MOD, i->orders, EPOLLIN | EPOLLET, FROM_INSIDE, i - instances); /* again */
}

/* The time has come to look: is it ready, or well? */
static void look(struct instance *i) {
	const struct container *c = i->row;
	i->look = 0;
	if (i->state == IS_EXECED && c->ready < NOTIFY) {
		i->look = now() + LOOK_AGAIN; /* no event tells it */
		if (listens(i, (unsigned)c->ready)) happen(i, ON_READY);
	} else if (i->line >= 0) {
		on_health(i, "not healthy: its health command takes too long");
	} else if (c->health.command) {
		health_ask(i);
	} else if (c->health.every) {
		i->failures = 3;
		on_health(i, "not healthy: it has not said WATCHDOG=1 in time");
	}
}

/* The task of i has been reaped: its last output, its last words, then what that means. */
static void on_exit_of(struct instance *i, int status, const struct rusage *used) {
	char last_words[320];
	struct ring *r = &rings[i - instances];
	for (int k = 0; k < LAST_WORDS && ring_fill(r, i->log[0]) > 0; k++)
		ring_show(r, i->row->name);
	ssize_t n = read(i->task.report, last_words, sizeof last_words - 1);
	last_words[n > 0 ? n : 0] = '\0';
	on_inside(i);
	if (i->state == IS_STARTING && !*last_words && WIFEXITED(status))
		happen(i, ON_EXECED); /* it was up, if not for long */
	task_close(&i->task);
	close_one(&i->orders);
	line_close(i);
	i->task.pid = 0;
	i->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	i->ends += i->root->unpacker != i;
	i->cpu = (u64)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000 +
		 (u64)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1000;
	set_paused(i, NO);
	i->deadline = i->look = 0;
	if (!i->status && *last_words)
		say("%s: %s", i->row->name, last_words); /* it did its work, but */
	explain(i, last_words);
	happen(i, ON_EXITED);
}

/* The hardware's watchdog: fed as long as nothing proves that the device is of no use. */
static struct {
	u64 next;         /* when it is fed next; 0: there is none */
	u64 read;         /* when a block of the disk was read */
	struct task task; /* a child that reads one, and may hang */
	const char *why;  /* it is not fed */
} dog;

/* Reaps whoever has died. On a device that includes strangers, whose parents died before them. */
static void on_children(void) {
	for (;;) {
		struct rusage used;
		int status;
		pid_t pid = wait4(-1, &status, WNOHANG, &used);
		if (pid <= 0) return;
		for (struct instance *i = instances; i < instances + NCONTAINERS; i++)
			if (i->task.pid == pid)
				on_exit_of(i, status, &used);
			else if (i->keeper.pid == pid)
				i->keeper.pid = 0;
		if (dog.task.pid != pid) continue;
		if (!status) dog.read = now();
		dog.task.pid = 0;
		task_close(&dog.task);
	}
}

/* Has every container that needs this one stopped? */
static int is_last(const struct instance *i) {
	for (int k = 0; k < NCONTAINERS; k++)
		for (const int *row = containers[k].after; row && *row >= 0; row++)
			if (*row == i - instances && instances[k].state != IS_DONE) return 0;
	return 1;
}

/*
 * Starts what can start and, at the end, stops what can stop, until nothing more changes. Returns
 * whether there is more to do: who asks something waits for one start, and not for all.
 */
static int settle(void) {
	for (int changed = 1; changed;) {
		changed = 0;
		for (struct instance *i = instances; i < instances + NCONTAINERS; i++) {
			enum state before = i->state;
			if (ending && before != IS_DONE && before != IS_STOPPING && is_last(i)) {
				happen(i, ON_STOP);
			} else if (!ending && before == IS_WAITING && !waits_for(i)) {
				happen(i, ON_GO);
				return YES;
			} else if (i->idle && before == IS_UP) {
				i->idle = NO;
				i->resting = YES;
				happen(i, ON_STOP);
			}
			changed |= i->state != before;
		}
	}
	return NO;
}

/* Delivers the time-outs that are due. */
static void expire(void) {
	u64 time = now();
	for (struct instance *i = instances; i < instances + NCONTAINERS; i++) {
		if (i->look && i->look <= time) look(i);
		if (!i->deadline || i->deadline > time) continue;
		i->deadline = 0;
		happen(i, ON_TIMEOUT);
	}
}

static u64 sooner(u64 a, u64 b) { return !a || (b && b < a) ? b : a; }

/* Milliseconds until something is due, as epoll_wait(2) wants them: -1 if nothing ever is. */
static int next_due(u64 next) {
	u64 time = now();
	next = sooner(next, ending ? end_by : 0);
	for (const struct instance *i = instances; i < instances + NCONTAINERS; i++)
		next = sooner(sooner(next, i->deadline), i->look);
	return !next ? -1 : next <= time ? 0 : next - time > INT_MAX ? INT_MAX : (int)(next - time);
}

/* ---- 29  control --------------------------------------------------------------------------------
 *
 * The socket that `launcher ps` and its like talk to. A client sends one request and gets packets
 * until REPLY_END. It is served as far as its socket takes it and goes on when there is room, so a
 * slow one costs nobody anything; when all places are taken, the oldest gives way.
 */

static struct client {
	int fd;                 /* 0: a free place */
	enum request_kind kind; /* ASK_SELF: its request is not in yet */
	int follow;
	int index; /* of the container it asks about; of ASK_PS: the next row */
	u64 at;    /* position in the ring, or among the events; of ASK_WAIT: ends seen */
	u64 since;
} clients[8];

/* What the client has sent and nobody has read may hold descriptors, see descriptors_drop. */
static void client_drop(struct client *c) {
	struct msghdr left = { 0 };
	int on = YES;
	shutdown(c->fd, SHUT_RD);                                   /* nothing more can come */
	setsockopt(c->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on); /* so any packet has a flag */
	recvmsg(c->fd, &left, MSG_PEEK | MSG_DONTWAIT);
	if (left.msg_flags)
		descriptors_drop(&c->fd, 1);
	else
		close(c->fd);
	c->fd = 0;
}

/* Sends a packet of that size. Returns 0 if there is no room now, and drops who is gone. */
static int client_send(struct client *c, const struct reply *reply, size_t size) {
	size_t n = offsetof(struct reply, bytes) + size;
	if (send(c->fd, reply, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 1;
	if (errno == EAGAIN)
		watch(EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLOUT, FROM_CLIENT, c - clients);
	else
		client_drop(c);
	return 0;
}

/* The last packet: an exit status, and a sentence if it is not zero. */
static void client_end(struct client *c, int code, const char *sentence) {
	struct reply reply = { .kind = REPLY_END, .code = code };
	size_t n = format(reply.bytes, sizeof reply.bytes, "%s", sentence);
	if (client_send(c, &reply, n)) client_drop(c);
}

/* The same for a request that is over before it began, which nobody serves later. */
static void client_refuse(struct client *c, int code, const char *sentence) {
	client_end(c, code, sentence);
	if (c->fd) client_drop(c);
}

/* counts: how many of them are wanted; each is a file to read. */
static void row_fill(struct row *r, const struct instance *i, int counts) {
	const struct instance *waits = i->state == IS_WAITING ? waits_for(i) : NULL;
	u64 left = i->deadline > now() ? (i->deadline - now() + 999) / 1000 : 0;
	format(r->name, sizeof r->name, "%s", i->row->name);
	format(r->state, sizeof r->state, "%s", i->paused ? "paused" : state_names[i->state]);
	r->pid = (u64)i->task.pid;
	r->restarts = i->restarts;
	r->up = i->state == IS_UP ? now() - i->since : 0;
	for (int k = 0; k < counts; k++)
		r->stats[k] = i->state == IS_DONE ? 0 : cgroup_stat(i->row->name, (enum count)k);
	if (waits)
		format(r->note, sizeof r->note, "waits for %s", waits->row->name);
	else if (i->state == IS_BACKING_OFF)
		format(r->note, sizeof r->note, "%s; restart in %llu s", i->note, left);
	else if (i->state == IS_PARKED)
		format(r->note, sizeof r->note, "%s; over budget, tried in %llu s", i->note, left);
	else
		format(r->note, sizeof r->note, "%s", i->note);
}

static void serve_ps(struct client *c) {
	struct reply reply = { .kind = REPLY_ROW };
	for (; c->index < NCONTAINERS; c->index++) {
		row_fill(&reply.row, &instances[c->index],
			 c->kind == ASK_PS ? STAT_MEMORY + 1 : NSTATS);
		if (!client_send(c, &reply, sizeof reply.row)) return;
	}
	client_end(c, 0, "");
}

static void serve_events(struct client *c) {
	struct reply reply = { .kind = REPLY_EVENT };
	if (happened - c->at > LEN(happenings)) c->at = happened - LEN(happenings);
	for (; c->at < happened; c->at++) {
		reply.event = happenings[c->at % LEN(happenings)];
		if (!client_send(c, &reply, sizeof reply.event)) return;
	}
	if (!c->follow) client_end(c, 0, "");
}

static void serve_logs(struct client *c) {
	struct reply reply = { .kind = REPLY_BYTES };
	const char *bytes;
	size_t n;
	while ((n = ring_peek(&rings[c->index], &c->at, &bytes))) {
		n = min(n, sizeof reply.bytes);
		memcpy(reply.bytes, bytes, n);
		if (!client_send(c, &reply, n)) return;
		c->at += n;
	}
	if (!c->follow) client_end(c, 0, "");
}

/* Answers with the status of the container when it has ended, once more or already. */
static void serve_wait(struct client *c) {
	const struct instance *i = &instances[c->index];
	struct reply reply = { .kind = REPLY_BYTES };
	if (i->ends == c->at && i->state != IS_DONE) return;
	size_t n = format(reply.bytes, sizeof reply.bytes, "%d\n", i->status);
	if (client_send(c, &reply, n)) client_end(c, 0, "");
}

/* A child goes on with the client; or it could not be started, as -errno says. */
static void client_leave(struct client *c, int child) {
	if (child < 0)
		client_end(c, 1, strerror(-child));
	else
		client_drop(c);
}

static void serve_save(struct client *c) {
	const struct instance *i = &instances[c->index];
	const struct task task = i->task; /* the child has no instances */
	if (i->state == IS_UP)
		client_leave(c, save_start(c->fd, &task, ids_first(i->row)));
	else
		client_end(c, 1, "it is not running");
}

static void serve_net(struct client *c) {
	int spaces[NCONTAINERS];
	for (int i = 0; i < NCONTAINERS; i++) spaces[i] = instances[i].net;
	client_leave(c, show_start(c->fd, spaces, traffic));
}

static void serve_stop(struct client *c) {
	const struct instance *i = &instances[c->index];
	if (i->state == IS_DONE && !i->keeper.pid)
		client_end(c, 0, "");
	else if (i->wanted)
		client_end(c, 1, "somebody has started it again");
}

/* Answers when the container is up, has done its work already, or can't get there. */
static void serve_start(struct client *c) {
	const struct instance *i = &instances[c->index];
	const struct instance *waits = i->state == IS_WAITING ? waits_for(i) : NULL;
	if (i->state == IS_UP || has_succeeded(i))
		client_end(c, 0, "");
	else if (i->state == IS_DONE || i->state == IS_BACKING_OFF || i->state == IS_PARKED)
		client_end(c, 1, i->note);
	else if (waits && waits->state == IS_DONE)
		client_end(c, 1, words("it waits for %s, which is not running", waits->row->name));
}

/* -- what is done at once; each returns 0, or -errno and the reason in cgroup.why -- */

#define refuse_with(error, ...) (format(cgroup.why, sizeof cgroup.why, __VA_ARGS__), error)

static int runs(const struct instance *i) {
	if (i->state == IS_STARTING || i->state == IS_EXECED || i->state == IS_UP) return 0;
	return refuse_with(-ESRCH, "%s is not running", i->row->name);
}

/* What PID 1 of the container does; its stdio and line come with it. */
static int do_inside(struct instance *i, const struct request *r, const int *fds) {
	int n = r->kind == ASK_EXEC ? MOST_FDS : 0, failed = runs(i);
	if (failed) return failed;
	if (n && i->paused) return refuse_with(-EBUSY, "%s is paused", i->row->name);
	for (int k = 0; k < n; k++) failed = fds[k] < 0 ? -EBADF : failed;
	if (r->kind == ASK_KILL && r->number == SIGKILL)
		signal_task(i, SIGKILL);
	else if (!failed)
		failed = packet_send(i->orders, r, sizeof *r, fds, (unsigned)n);
	return failed ? cgroup_failed(i->row->name, "its PID 1", failed) : 0;
}

static int do_pause(struct instance *i, const struct request *r, const int *fds) {
	int failed = runs(i);
	(void)fds;
	if (failed) return failed;
	if (i->state != IS_UP) return refuse_with(-EBUSY, "%s is not up yet", i->row->name);
	if (!set_paused(i, r->kind == ASK_PAUSE)) return 0;
	return refuse_with(-ENOTSUP, "%s can't be paused: that takes cgroup v2, of Linux 5.2",
			   i->row->name);
}

static int do_limits(struct instance *i, const struct request *r, const int *fds) {
	int failed = runs(i);
	(void)fds;
	return failed ?: cgroup_limit(i->row->name, i->row, r->text);
}

/* What is asked of the device; asked twice, there is no more patience. */
static void end_all(int command) {
	for (struct instance *i = instances; i < instances + NCONTAINERS && ending; i++)
		if (i->task.pid) kill_all(i);
	end(command);
}

static int do_end(struct instance *i, const struct request *r, const int *fds) {
	(void)i;
	(void)fds;
	end_all(r->kind == ASK_REBOOT ? LINUX_REBOOT_CMD_RESTART : LINUX_REBOOT_CMD_POWER_OFF);
	return 0;
}

/* How each request is carried out: at once by stop, start and act, then by serve, ever again. */
static const struct {
	int named;       /* it is about one container */
	int stop, start; /* what happens to that one first */
	int (*act)(struct instance *i, const struct request *r, const int *fds);
	void (*serve)(struct client *c); /* NULL: that is all */
} requests[] = {
	[ASK_PS] = { .serve = serve_ps },
	[ASK_STATS] = { .serve = serve_ps },
	[ASK_EVENTS] = { .serve = serve_events },
	[ASK_LOGS] = { .named = YES, .serve = serve_logs },
	[ASK_START] = { .named = YES, .start = YES, .serve = serve_start },
	[ASK_STOP] = { .named = YES, .stop = YES, .serve = serve_stop },
	[ASK_RESTART] = { .named = YES, .stop = YES, .start = YES, .serve = serve_start },
	[ASK_WAIT] = { .named = YES, .serve = serve_wait },
	[ASK_KILL] = { .named = YES, .act = do_inside },
	[ASK_PAUSE] = { .named = YES, .act = do_pause },
	[ASK_UNPAUSE] = { .named = YES, .act = do_pause },
	[ASK_LIMITS] = { .named = YES, .act = do_limits },
	[ASK_EXEC] = { .named = YES, .act = do_inside },
	[ASK_SAVE] = { .named = YES, .serve = serve_save },
	[ASK_POWEROFF] = { .act = do_end },
	[ASK_REBOOT] = { .act = do_end },
	[ASK_NET] = { .serve = serve_net },
};

/* The container with that name, or NCONTAINERS, and *like is one that may be meant. */
static int find(const char *name, const char **like) {
	int i = 0;
	*like = NULL;
	for (; i < NCONTAINERS && strcmp(containers[i].name, name); i++)
		if (is_like(name, containers[i].name, 2)) *like = containers[i].name;
	return i;
}

static void client_asks(struct client *c, const struct request *r, const int *fds) {
	const char *like;
	c->kind = r->kind;
	c->follow = r->follow;
	if (r->kind <= ASK_SELF || r->kind >= LEN(requests)) {
		client_refuse(c, EXIT_USAGE, "this supervisor does not know that request");
		return;
	}
	__typeof__(*requests) *how = &requests[r->kind];
	c->index = how->named ? find(r->name, &like) : 0;
	if (c->index == NCONTAINERS) {
		client_refuse(c, 1,
			      words("there is no container '%s'%s%s%s", r->name,
				    like ? "; did you mean '" : "", like ?: "", like ? "'?" : ""));
		return;
	}
	struct instance *i = &instances[c->index];
	c->at = r->kind == ASK_WAIT   ? i->ends
		: r->kind == ASK_LOGS ? ring_lines(&rings[c->index], r->number)
				      : 0;
	if (how->stop) happen(i, ON_STOP);
	if (how->start && !ending) happen(i, ON_START);
	int failed = how->act ? how->act(i, r, fds) : 0;
	if (!how->serve) client_refuse(c, !!failed, failed ? cgroup.why : "");
}

static void on_client(struct client *c) {
	static struct request r;
	int fds[MOST_FDS];
	if (!c->fd) return;
	ssize_t n = packet_receive(c->fd, &r, sizeof r, fds);
	if (n < 0 && errno == EAGAIN) { /* there is room: serve goes on */
		watch(EPOLL_CTL_MOD, c->fd, EPOLLIN, FROM_CLIENT, c - clients);
	} else if (n != sizeof r || c->kind) {
		client_drop(c); /* it is gone, or it babbles */
	} else {
		r.name[sizeof r.name - 1] = r.text[sizeof r.text - 1] = '\0';
		client_asks(c, &r, fds);
	}
	for (int i = 0; i < MOST_FDS; i++)
		if (fds[i] >= 0) {
			descriptors_drop(fds, MOST_FDS);
			break;
		}
}

/*
 * Takes in a client: what is asked here, the policy did not foresee. A socket can be connected to
 * by its owner alone: root, or root of a container that has .control.
 */
static void on_control(int listener) {
	struct client *c = clients;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) return;
	while (FAULTS && host.fault && !strcmp(host.fault, "hang"))
		;
	if (FAULTS && host.fault) *(volatile int *)(uintptr_t)host.device = 0;
	for (struct client *k = clients; k < clients + LEN(clients); k++)
		if (!k->fd || (c->fd && k->since < c->since)) c = k;
	if (c->fd) client_drop(c);
	*c = (struct client){ .fd = fd, .since = now() };
	watch(EPOLL_CTL_ADD, fd, EPOLLIN, FROM_CLIENT, c - clients);
}

static void serve_clients(void) {
	for (struct client *c = clients; c < clients + LEN(clients); c++)
		if (c->fd && c->kind) requests[c->kind].serve(c);
}

/* ---- 30  loop -----------------------------------------------------------------------------------
 *
 * Wait, look up, call. Nothing here blocks but epoll_wait, and that has no time-out unless one is
 * due: an idle launcher does not wake up.
 */

static int signals = -1, listener = -1;

static u64 pressure(void) {
	char text[256];
	i64 percent = 0;
	file_read(AT_FDCWD, "/proc/pressure/memory", text, sizeof text);
	const char *p = strstr(text, "full avg10=");
	if (p) p += 11;
	if (p) decimal(&p, p + strlen(p), &percent);
	return (u64)percent;
}

/* Why the device should start over; NULL: it works. */
static const char *useless(void) {
	static char why[160];
	for (const struct instance *i = instances; i < instances + NCONTAINERS; i++) {
		int dead = i->state == IS_PARKED || (i->state == IS_DONE && i->lost) ||
			   i->kills >= MOST_KILLS;
		if (!i->row->critical || !dead) continue;
		format(why, sizeof why, "%s is critical, and %s: %s", i->row->name,
		       state_names[i->state], i->note);
		return why;
	}
	if (watchdog.pressure && pressure() > watchdog.pressure) return "all wait for memory";
	if (watchdog.disk && now() - dog.read > host.patience) return "the disk does not answer";
	return NULL;
}

static void dog_feed(void) {
	char text[224];
	if (!dog.next || dog.next > now()) return;
	dog.next = now() + host.patience / 3;
	if (watchdog.disk && !dog.task.pid) disk_read(watchdog.disk, &dog.task);
	const char *why = useless();
	if (!why) write(host.watchdog, "", 1);
	if (why && !dog.why) {
		format(text, sizeof text, "the watchdog is not fed any more: %s", why);
		testify(text);
	} else if (why) {
		end(LINUX_REBOOT_CMD_RESTART); /* in order, as far as there is time for that */
		end_by = min(end_by, now() + host.patience / 6);
	} else if (dog.why) {
		say("the watchdog is fed again");
	}
	dog.why = why;
}

static void on_signal(void) {
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
			if ((int)s.ssi_signo == meanings[i].signal && command) end_all(command);
		}
	on_children();
}

static void signals_open(void) {
	sigset_t set = signals_hold();
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	watch(EPOLL_CTL_ADD, signals, EPOLLIN, FROM_SIGNAL, 0);
}

/* A socket that clients with that user id connect to, and nobody else; -1: without one. */
static int socket_open(const char *name, u64 owner, enum source source, int index) {
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	format(at.sun_path, sizeof at.sun_path, "%s/%s", host.work, name);
	unlink(at.sun_path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || chmod(at.sun_path, 0600) ||
	    chown(at.sun_path, (uid_t)owner, (gid_t)owner) || listen(fd, 16)) {
		say("socket %s: %m", at.sun_path);
		close_one(&fd);
	} else {
		watch(EPOLL_CTL_ADD, fd, EPOLLIN, source, index);
	}
	return fd;
}

/* A pipe for the output of each container, for all its incarnations, and a socket if it has one. */
static void logs_open(void) {
	char name[48];
	for (struct instance *i = instances; i < instances + NCONTAINERS; i++) {
		i->row = &containers[i - instances];
		i->log[0] = i->log[1] = i->orders = i->line = i->control = -1;
		i->net = i->users = i->lease = -1;
		memset(i->ports, -1, sizeof i->ports);
		if (pipe2(i->log, O_CLOEXEC) || fcntl(i->log[0], F_SETFL, O_NONBLOCK))
			say("%s: a pipe for its log: %m", i->row->name); /* it will be refused */
		else
			watch(EPOLL_CTL_ADD, i->log[0], EPOLLIN, FROM_LOG, i - instances);
		format(name, sizeof name, "%s.control", i->row->name);
		if (i->row->control)
			i->control = socket_open(name, ids_first(i->row), FROM_CONTROL,
						 i - instances);
	}
}

/* What the kernel command line leaves over starts, in the order of the table. */
static void start_all(void) {
	char digest[2 * DIGEST_SIZE + 1];
	int left_out = 0;
	say("policy: %d containers, %s", NCONTAINERS, policy_digest(digest));
	traffic = mmap(NULL, NCONTAINERS * sizeof *traffic, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (host.device) record(NULL, "boot", "", host.began);
	record(NULL, "start", "", now());
	dog.read = now();
	dog.next = host.watchdog < 0 ? 0 : now();
	for (struct instance *i = instances; i < instances + NCONTAINERS; i++) {
		const char *name = i->row->name;
		for (i->root = instances; strcmp(i->root->row->image, i->row->image);) i->root++;
		for (i->home = i;
		     i->row->net.kind == NET_SHARE && strcmp(i->home->row->name, i->row->net.link);)
			i->home--; /* a row above */
		i->left_out = (host.only && !word_in(host.only, name)) ||
			      (host.skip && word_in(host.skip, name));
		left_out += i->left_out;
		i->state = IS_DONE;
		if (i->left_out)
			note(i, "left out by the kernel command line");
		else if (i->row->start == ON_CONNECT)
			i->state = rest(i);
		else
			happen(i, ON_START);
	}
	if (left_out) say("%d containers are left out by the kernel command line", left_out);
}

static int all_done(void) {
	for (const struct instance *i = instances; i < instances + NCONTAINERS; i++)
		if (i->state != IS_DONE || i->keeper.pid) return 0;
	return 1;
}

static void dispatch(const struct epoll_event *event) {
	uint32_t index = (uint32_t)event->data.u64;
	switch ((enum source)(event->data.u64 >> 32)) {
	case FROM_SIGNAL: on_signal(); break;
	case FROM_SOCKET: on_control(listener); break;
	case FROM_CLIENT: on_client(&clients[index]); break;
	case FROM_REPORT: on_report(&instances[index]); break;
	case FROM_LOG: on_log(&instances[index]); break;
	case FROM_CONTROL: on_control(instances[index].control); break;
	case FROM_LINE: on_line(&instances[index]); break;
	case FROM_PORT:
		if (instances[index].state == IS_LISTENING) happen(&instances[index], ON_START);
		break; /* else somebody has stopped it in the same turn */
	case FROM_INSIDE: on_inside(&instances[index]); break;
	}
}

/* Supervises until the end is asked for, and reached. Returns the command for reboot(2). */
static int supervise(void) {
	struct epoll_event events[16];
	struct rlimit files = { 4096 + 8 * NCONTAINERS, 4096 + 8 * NCONTAINERS };
	prlimit(0, RLIMIT_NOFILE, &files, NULL); /* up to seven are of each row */
	memory_advise(instances, sizeof instances, MADV_WIPEONFORK);
	memory_advise(rings, sizeof rings, MADV_WIPEONFORK);
	memory_advise(happenings, sizeof happenings, MADV_WIPEONFORK);
	poller = epoll_create1(EPOLL_CLOEXEC);
	signals_open();
	listener = socket_open("control", 0, FROM_SOCKET, 0);
	logs_open();
	start_all();
	for (;;) {
		dog_feed();
		expire();
		int more = settle();
		serve_clients();
		if (ending && (all_done() || now() >= end_by)) return ending;
		int n = epoll_wait(poller, events, LEN(events), more ? 0 : next_due(dog.next));
		for (int i = 0; i < n; i++) dispatch(&events[i]);
	}
}

int main(int argc, char **argv) {
	int code = SUPERVISE;
	char **last = *environ ? environ : argv;
	while (last[0] && last[1]) last++;
	host.argv = argv;
	host.args_size = *last + strlen(*last) - argv[0];
	open_stdio("/dev/null");
	signal(SIGCHLD, SIG_DFL); /* who started us may have ignored it, and we wait for children */
	if (getpid() == 1)
		boot();
	else
		code = ask(argc, argv);
	if (code != SUPERVISE) return code;
	int command = supervise();
	if (host.device) end_device(command);
	clear_up();
	return 0;
}
