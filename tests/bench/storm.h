/*
 * storm.h - the policy of `tests/bench/run storm`: eight that die at once and come back at once, and one
 * that has nothing to do with them
 */
#define LOG_SIZE KiB(4)
#define DIES(n) { .name = "storm-" #n, .image = "toybox.img", .command = ARGV("false"),            \
		  .restart = ALWAYS, .backoff = { .first = MILLISECONDS(1), .limit = MILLISECONDS(1) } }

static const struct budget budget = { .restarts = 1000000 };

enum { CALM, NCONTAINERS = 9 };

static const struct container containers[] = {
	[CALM] = { .name = "calm", .image = "toybox.img", .command = ARGV("sleep", "1000"), .stop.signal = SIGKILL },
	DIES(1), DIES(2), DIES(3), DIES(4), DIES(5), DIES(6), DIES(7), DIES(8),
};

static const struct container run = { .name = "run" };
