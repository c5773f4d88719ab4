/*
 * restarts.h - the policy of `tests/bench/run restarts`: one that dies again and again, and comes back
 * as soon as a row can ask for
 */
#define LOG_SIZE KiB(4)

static const struct budget budget = { .restarts = 1000000 }; /* none is to end what is measured */

enum { MORTAL, NCONTAINERS };

static const struct container containers[] = {
	[MORTAL] = { .name = "mortal", .image = "mortal.img", .command = ARGV("/mortal"),
		     .cpu = { .max = PERCENT(100) },
		     .binds = LIST(bind, { "/run/bench", "/run/bench", READ | WRITE }),
		     .restart = ALWAYS, .backoff = { .first = MILLISECONDS(1), .limit = MILLISECONDS(1) } },
};

static const struct container run = { .name = "run" };
