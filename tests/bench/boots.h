/*
 * boots.h - the policy of `tests/bench/run boots`: one container of the usual confinement. It may use the CPU as it
 * likes, as all contestants do, and say to the kernel's log when it runs.
 */
#define LOG_SIZE KiB(16)

enum { FIRST, NCONTAINERS };

static const struct container containers[] = {
	[FIRST] = { .name = "first", .image = "bench.img", .command = ARGV("/bin/first"), .memory = { .max = MiB(16) },
		    .cpu = { .max = PERCENT(100) }, .pids = 8, .devices = LIST(device, { "/dev/kmsg", WRITE }) },
};

static const struct container run = { .name = "run" };
