/*
 * limits.h - the policy of tests/limits.py: rows that ask a cgroup for something, and what they do
 */
#define LOG_SIZE KiB(4)

enum {
	FULL, WEIGHED, IDLE, GUARDED, TOLERANT, HUGE, HOG, SPIN, FORKS, LISTED, OTHER, LENIENT,
	ABSENT, FALSE, NODIR, RAW, CPUS, NCONTAINERS
};

#define SHELL(script) ARGV("sh", "-c", script)
#define NAMED(n) .name = n, .image = "toybox.img", .restart = ALWAYS, .backoff.first = SECONDS(60)
#define SMALL .memory.max = MiB(2)
#define SLEEP .command = SHELL("exec sleep 1000")
#ifndef VDA
#define VDA "/dev/vda" /* of a board */
#endif

/* What can be opened: R and W of each node, when the test has made them all. */
#define OPENS                                                                                      \
	"until [ -e /dev/probe.end ]; do sleep 0.1; done; for f in /dev/probe.*; do "             \
	"(: <$f) 2>/dev/null && echo $f r; (: >>$f) 2>/dev/null && echo $f w; done; "              \
	"(: <" VDA ") 2>&1; (: >>" VDA ") 2>&1; echo tried; "
/* 3 MiB that nobody has read lately, of the first or the second half of the disk; how long that takes, in 10 ms */
#define NOW "$(cut -d' ' -f1 /proc/uptime | tr -d .)"
#define READS(half)                                                                                \
	"n=$(($(blockdev --getsize64 " VDA ") / 8388608)); n=$((($(date +%s) % n + n * " half ") * 64)); a=" NOW "; " \
	"dd if=" VDA " of=/dev/null bs=64k count=48 skip=$n 2>/dev/null; echo took $((" NOW " - a)); "

#ifdef __arm__ /* for five minutes Linux 6.1 panics then: "BUG at block/blk-throttle.c", jiffies wrap */
#define HELD .io.max = NULL
#else
#define HELD .io.max = LIST(io, { VDA, .rbps = MiB(1) })
#endif

static const struct container containers[] = {
	[FULL] = {
		NAMED("full"),
		.command = SHELL("grep Cpus_allowed_list /proc/self/status; exec sleep 1000"),
		.memory  = { .max = MiB(8), .swap = MiB(1) },
		.cpu     = { .max = PERCENT(50), .burst = PERCENT(20), .weight = 250, .cpus = "0", .mems = "0" },
		.pids    = 9,
		.io.max  = LIST(io, { VDA, MiB(4), MiB(2), 100, 50 }),
		.cgroup  = LIST(setting, { "pids.max", "8" }), /* is written last */
	},
	[WEIGHED] = { NAMED("weighed"), SLEEP, SMALL, .io.weight = 300 },
	[IDLE] = { NAMED("idle"), SLEEP, SMALL, .cpu = { .max = PERCENT(20), .idle = YES } },
	[GUARDED] = {
		NAMED("guarded"), SLEEP,
		.memory = { .high = MiB(3), .low = MiB(2), .min = MiB(1) },
	},
	[TOLERANT] = {
		NAMED("tolerant"), SLEEP,
		.memory   = { .max = MiB(5), .high = MiB(3), .low = MiB(2), .min = MiB(1) },
		.tolerate = LACKS(MEMORY, SWAP, PIDS, CPU, DEVICES),
	},
	[HUGE] = { NAMED("huge"), SLEEP, SMALL, .hugetlb = { "2MB", MiB(4) } },
	[HOG] = {
		NAMED("hog"),
		.command = SHELL("exec dd if=/dev/zero of=/dev/null bs=12M"),
		.memory  = { .max = MiB(2) },
	},
	[SPIN] = {
		NAMED("spin"),
		.command = SHELL("while :; do :; done"),
		.cpu     = { .max = PERCENT(30) },
	},
	[FORKS] = {
		NAMED("forks"),
		.command = SHELL("(while :; do sleep 1000 & done); echo full; exec sleep 1000"),
		.pids    = 7,
	},
	[LISTED] = {
		NAMED("listed"),
		.command = SHELL(OPENS READS("0") "exec sleep 1000"),
		.cpu     = { .max = PERCENT(50) },
		.pids    = 9,
		HELD,
		.devices = LIST(device, { VDA, READ }, { "/dev/absent", READ | OPTIONAL },
				{ "/dev/probe.kmsg", WRITE, 'c', 1, 11 }, { "/dev/probe.tun", READ | WRITE, 'c', 10, 200 }),
	},
	[OTHER] = { NAMED("other"), .command = SHELL(OPENS "exec sleep 1000"), .pids = 9 },
	[LENIENT] = {
		NAMED("lenient"),
		.command  = SHELL(OPENS READS("1") "exec sleep 1000"),
		.cpu      = { .max = PERCENT(50) },
		.pids     = 9,
		.devices  = LIST(device, { VDA, READ | WRITE }),
		.tolerate = LACKS(DEVICES),
	},
	[ABSENT] = { NAMED("absent"), SLEEP, SMALL, .devices = LIST(device, { "/dev/absent", READ }) },
	[FALSE] = { NAMED("false"), SLEEP, SMALL, .devices = LIST(device, { "/dev/null", READ, 'c', 1, 5 }) },
	[NODIR] = { NAMED("nodir"), SLEEP, SMALL, .devices = LIST(device, { "/dev/.", READ }) },
	[RAW] = { NAMED("raw"), SLEEP, SMALL, .cgroup = LIST(setting, { "pids.least", "1" }) },
	[CPUS] = { NAMED("cpus"), SLEEP, SMALL, .cpu.cpus = "one" },
};

static const struct container run = { .name = "run", .memory.max = MiB(8), .pids = 9 };
