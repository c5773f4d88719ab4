/*
 * network.h - the policy of `tests/bench/run network`: how long a container takes to start that is granted nothing
 * but the CPU, for so many starts in a row. The first row keeps the root that both share.
 */
#define LOG_SIZE KiB(4)

enum { KEEPER, QUICK, WIRED, NCONTAINERS };

static const struct container containers[] = {
	[KEEPER] = { .name = "keeper", .image = "toybox.img", .command = ARGV("sleep", "1000") },
	[QUICK] = { .name = "quick", .image = "toybox.img", .command = ARGV("date", "+%s.%N"), .after = AFTER(KEEPER),
		    .cpu = { .max = PERCENT(100) } },
	[WIRED] = { .name = "wired", .image = "toybox.img", .command = ARGV("date", "+%s.%N"), .after = AFTER(KEEPER),
		    .cpu = { .max = PERCENT(100) }, .net = BRIDGE("lrbench0") },
};

static const struct container run = { .name = "run" };
