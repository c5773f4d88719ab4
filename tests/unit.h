/* The policy of the unit tests: one row for each kind of restart, a pair that shares an image. */
#define LOG_SIZE KiB(1)

enum { ALWAYS_UP, FIRST, SECOND, ONCE, WATCHED, NCONTAINERS };

static const struct container containers[] = {
	[ALWAYS_UP] = {
		.name = "always-up",
		.image = "own.img",
		.command = ARGV("a"),
		.memory = { .max = MiB(2) },
		.restart = ALWAYS,
		.backoff = { .first = MILLISECONDS(100), .limit = MILLISECONDS(350) },
	},
	[FIRST] = {
		.name = "first",
		.image = "shared.img",
		.command = ARGV("b"),
		.memory = { .max = MiB(8) },
		.restart = ON_FAILURE,
	},
	[SECOND] = {
		.name = "second",
		.image = "shared.img",
		.command = ARGV("c"),
		.after = AFTER(FIRST),
		.restart = ON_FAILURE,
	},
	[ONCE] = {
		.name = "once",
		.image = "once.img",
		.command = ARGV("d"),
		.stop = { .signal = SIGKILL },
	},
	[WATCHED] = {
		.name = "watched",
		.image = "watched.img",
		.command = ARGV("e"),
		.ready = NOTIFY,
		.health = { .every = SECONDS(10) },
		.restart = ON_FAILURE,
	},
};

static const struct container run = { .name = "run" };
