/*
 * config.h - the policy: what runs on this device, and what each container may use
 *
 * One row is one container; order is start order, stopping is the reverse. What a row does not
 * say, its container does not get; the fields are explained in launcher.c, chapter 1. A row that
 * makes no sense does not build: the compiler says why. Another policy: make CONFIG=my.h
 */
/* clang-format off */
#define LOG_SIZE KiB(16) /* of the latest output kept in memory for each container */

/* Only images that one of these has signed are run; without any (try it: images/keygen), all are. */
static const char *const keys[MOST_KEYS] = { NULL };

/* The hardware's watchdog, where a board has one; see `critical` below. */
static const struct watchdog watchdog = { .timeout = SECONDS(30) };

enum { CLOCK, SENSOR, FLAKY, SHELL, NCONTAINERS };

static const struct container containers[] = {
	[CLOCK] = {
		.name    = "clock",
		.image   = "toybox.img",
		.command = ARGV("sh", "-c", "while date +'it is %T'; do sleep 20; done"),
		.memory  = { .max = MiB(4) },
		.cpu     = { .max = PERCENT(20) },
		.pids    = 8,
		.restart = ALWAYS,
		.critical = YES,
		.health  = { .command = ARGV("pidof", "sleep"), .every = SECONDS(60) },
	},
	[SENSOR] = {
		.name    = "sensor",
		.image   = "toybox.img",
		.command = ARGV("sh", "-c", "while echo load $(cut -d' ' -f1-3 /proc/loadavg); do sleep 30; done"),
		.after   = AFTER(CLOCK),
		.memory  = { .max = MiB(4) },
		.cpu     = { .max = PERCENT(20) },
		.pids    = 8,
		.tmpfs   = LIST(tmpfs, { "/tmp", KiB(256) }),
		.restart = ON_FAILURE,
		.stop    = { .signal = SIGKILL },
	},
	[FLAKY] = { /* crashes on purpose: see it come back, later each time */
		.name    = "flaky",
		.image   = "toybox.img",
		.command = ARGV("sh", "-c", "echo about to crash; sleep 1; kill -SEGV $$"),
		.memory  = { .max = MiB(4) },
		.cpu     = { .max = PERCENT(20) },
		.pids    = 4,
		.restart = ON_FAILURE,
		.backoff = { .first = SECONDS(1), .limit = SECONDS(60) },
	},
	[SHELL] = { /* the prompt: its stdio is the console, and launcher's verbs work in it */
		.name    = "shell",
		.image   = "toybox.img",
		.command = ARGV("sh"),
		.env     = ENV("PS1=launcher# ", "HOME=/tmp"),
		.after   = AFTER(SENSOR),
		.memory  = { .max = MiB(8) },
		.cpu     = { .max = PERCENT(80) },
		.pids    = 32,
		.tmpfs   = LIST(tmpfs, { "/tmp", MiB(1) }),
		.console = YES,
		.control = YES,
		.restart = ALWAYS, /* `exit` gives a new prompt */
		.backoff = { .first = MILLISECONDS(100), .limit = SECONDS(5) },
		.stop    = { .signal = SIGHUP }, /* an interactive shell ignores SIGTERM */
	},
};

/* The row of `launcher run IMAGE -- COMMAND`: one container by hand, in the foreground. */
static const struct container run = {
	.name   = "run",
	.memory = { .max = MiB(512) },
	.cpu    = { .max = PERCENT(400) },
	.pids   = 256,
	.tmpfs  = LIST(tmpfs, { "/tmp", MiB(16) }, { "/run", MiB(1) }),
};
