/*
 * The policy of the unit tests: one row for each kind of restart, pairs that share an image
 * and a network, one that starts ON_CONNECT.
 */
#define LOG_SIZE KiB(1)

enum { ALWAYS_UP, FIRST, SECOND, ONCE, WATCHED, LAZY, GUEST, NCONTAINERS };

static const struct network network = {
	.links = LIST(net, DEVICE("eth0"), BRIDGE("br1", "10.44.0.1/16", .address6 = "fd44::1/64")),
};

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
		.net = BRIDGE("br0"),
		.restart = ON_FAILURE,
	},
	[SECOND] = {
		.name = "second",
		.image = "shared.img",
		.command = ARGV("c"),
		.after = AFTER(FIRST),
		.net = BRIDGE("br1"),
		.restart = ON_FAILURE,
	},
	[ONCE] = {
		.name = "once",
		.image = "once.img",
		.command = ARGV("d"),
		.net = BRIDGE("br0", "10.7.1.77/24"),
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
	[LAZY] = {
		.name = "lazy",
		.image = "lazy.img",
		.command = ARGV("f"),
		.ports = LIST(port, { 80, .to = 80 }, { 81, .to = 81, .at = "127.0.0.1" }),
		.start = ON_CONNECT,
		.idle = SECONDS(10),
		.restart = ON_FAILURE,
	},
	[GUEST] = {
		.name = "guest",
		.image = "lazy.img",
		.command = ARGV("g"),
		.after = AFTER(ONCE),
		.net = SHARE("once"),
		.restart = ON_FAILURE,
	},
};

static const struct container run = { .name = "run" };
