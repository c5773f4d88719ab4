/*
 * containers.h - the policy of tests/container and tests/boot: each row is good or bad at one thing
 */
#ifndef MORE /* rows that tests/boot adds for a kernel */
#define MORE_NAMES
#define MORE
#define LARGE_MAX MiB(24)
#endif
#define LOG_SIZE KiB(4)

static const struct budget budget = { .restarts = 10000 }; /* many rows fail here, and for ever */

enum {
	STEADY, FOLLOWER, REMOTE, TICKER, ORPHANS, SPIN, STUBBORN, QUICK,
	ONCE, FINE, FAILING, AGAIN, CRASH, HOG, FORKS, LARGE,
	CORRUPT, MISSING, UNKNOWN, NOTRUN, LATE, SCRATCHED, PROMPT, MORE_NAMES NCONTAINERS
};

#define SHELL(script) ARGV("sh", "-c", script)
#define SMALL .memory = { .max = MiB(1) } /* all of them run in the memory of a board */
#define SLOWLY { .first = SECONDS(60) } /* it is not seen again */

static const struct container containers[] = {
	[STEADY] = {
		.name    = "steady",
		.image   = "toybox.img",
		.command = SHELL("echo out; echo err >&2; exec sleep 1000"),
		SMALL,
		.restart = ALWAYS,
	},
	[FOLLOWER] = { /* takes its time to stop, so that the order of stopping shows */
		.name    = "follower",
		.image   = "toybox.img",
		.command = SHELL("trap 'sleep 0.3; exit' TERM; while :; do sleep 0.1; done"),
		.after   = AFTER(STEADY),
		SMALL,
		.restart = ALWAYS,
	},
	[REMOTE] = {
		.name    = "remote",
		.image   = "toybox.img",
		.command = SHELL("launcher ps; launcher stop nobody; echo status $?; exec sleep 1000"),
		.control = YES,
		SMALL,
		.restart = ALWAYS,
	},
	[TICKER] = {
		.name    = "ticker",
		.image   = "toybox.img",
		.command = SHELL("n=0; while n=$((n+1)); do echo tick $n; sleep 0.01; done"),
		.cpu     = { .max = PERCENT(20) },
		SMALL,
		.restart = ALWAYS,
	},
	[ORPHANS] = {
		.name    = "orphans",
		.image   = "toybox.img",
		.command = SHELL("for i in $(seq 30); do (sleep 0.01 &); done; echo left; exec sleep 1000"),
		.pids    = 40,
		.cpu     = { .max = PERCENT(50) },
		.restart = ALWAYS,
	},
	[SPIN] = {
		.name    = "spin",
		.image   = "toybox.img",
		.command = SHELL("while :; do :; done"),
		.cpu     = { .max = PERCENT(20) },
		SMALL,
		.restart = NEVER,
	},
	[STUBBORN] = {
		.name    = "stubborn",
		.image   = "toybox.img",
		.command = SHELL("trap '' TERM INT HUP; echo deaf; while :; do sleep 1; done"),
		.stop    = { .grace = MILLISECONDS(300) },
		SMALL,
		.restart = ALWAYS,
	},
	[QUICK] = {
		.name    = "quick",
		.image   = "toybox.img",
		.command = SHELL("exec sleep 1000"),
		.stop    = { .signal = SIGKILL },
		.restart = ALWAYS,
	},
	[ONCE] = {
		.name    = "once",
		.image   = "toybox.img",
		.command = SHELL("exit 3"),
		SMALL,
		.restart = NEVER,
	},
	[FINE] = {
		.name    = "fine",
		.image   = "toybox.img",
		.command = SHELL("exit 0"),
		SMALL,
		.restart = ON_FAILURE,
	},
	[FAILING] = {
		.name    = "failing",
		.image   = "toybox.img",
		.command = SHELL("exit 4"),
		.backoff = SLOWLY,
		SMALL,
		.restart = ON_FAILURE,
	},
	[AGAIN] = {
		.name    = "again",
		.image   = "toybox.img",
		.command = SHELL("exit 0"),
		.backoff = SLOWLY,
		SMALL,
		.restart = ALWAYS,
	},
	[CRASH] = {
		.name    = "crash",
		.image   = "toybox.img",
		.command = SHELL("kill -SEGV $$"),
		.backoff = { .first = MILLISECONDS(100), .limit = MILLISECONDS(800) },
		SMALL,
		.restart = ALWAYS,
	},
	[HOG] = {
		.name    = "hog",
		.image   = "toybox.img",
		.command = SHELL("exec dd if=/dev/zero of=/dev/null bs=12M"),
		.restart = NEVER,
	},
	[FORKS] = {
		.name    = "forks",
		.image   = "toybox.img",
		.command = SHELL("(while :; do sleep 1000 & done); echo full; exec sleep 1000"),
		.pids    = 12,
		.restart = ALWAYS,
	},
	[LARGE] = { /* its image takes a second to unpack at this share of a CPU */
		.name    = "large",
		.image   = "large.img",
		.command = SHELL("exec sleep 1000"),
		.memory  = { .max = LARGE_MAX },
		.cpu     = { .max = PERCENT(1) },
		.restart = NEVER,
	},
	[CORRUPT] = {
		.name    = "corrupt",
		.image   = "corrupt.img",
		.command = SHELL("exec sleep 1000"),
		.restart = NEVER,
	},
	[MISSING] = {
		.name    = "missing",
		.image   = "missing.img",
		.version = "1.2",
		.command = SHELL("exec sleep 1000"),
		.backoff = SLOWLY,
		SMALL,
		.restart = ALWAYS,
	},
	[UNKNOWN] = {
		.name    = "unknown",
		.image   = "toybox.img",
		.command = ARGV("no-such-command"),
		SMALL,
		.restart = NEVER,
	},
	[NOTRUN] = {
		.name    = "notrun",
		.image   = "toybox.img",
		.command = ARGV("/etc/passwd"),
		SMALL,
		.restart = NEVER,
	},
	[LATE] = {
		.name    = "late",
		.image   = "toybox.img",
		.command = SHELL("exec sleep 1000"),
		.after   = AFTER(CORRUPT),
		.wait    = SECONDS(3600),
		SMALL,
		.restart = ALWAYS,
	},
	[SCRATCHED] = { /* its root can be written, and saved */
		.name    = "scratched",
		.image   = "toybox.img",
		.command = SHELL("echo changed >/etc/changed; rm /etc/profile; exec sleep 1000"),
		.root    = SCRATCH(KiB(512)),
		.tmpfs   = LIST(tmpfs, { "/tmp", KiB(64) }),
		SMALL,
		.restart = ALWAYS,
	},
	[PROMPT] = {
		.name    = "prompt",
		.image   = "toybox.img",
		.command = ARGV("sh"),
		.env     = ENV("PS1=launcher# "),
		.cpu     = { .max = PERCENT(50) },
		.pids    = 16,
		.console = YES,
		.control = YES,
		.memory = { .max = MiB(3) },
		.restart = ALWAYS,
	},
	MORE
};

static const struct container run = {
	.name   = "run",
	.memory = { .max = MiB(256) },
	.cpu    = { .max = PERCENT(400) },
	.pids   = 256,
	.tmpfs  = LIST(tmpfs, { "/tmp", MiB(16) }, { "/var/lib", KiB(256) }),
};
