/*
 * watchdog.h - the policy of tests/boot's watchdog: a device that is of no use without its pump.
 * With launcher.fault= on the kernel command line, PID 1 itself fails at the next request.
 */
#define LOG_SIZE KiB(4)

static const struct budget budget = { .restarts = 8 };
static const struct watchdog watchdog = { .timeout = SECONDS(6), .pressure = 90, .disk = "/dev/vda" };

enum { PUMP, SHELL, NCONTAINERS };

static const struct container containers[] = {
	[PUMP] = {
		.name = "pump",
		.image = "toybox.img",
		.command = ARGV("sh", "-c", "sleep 1; exit 3"),
		.restart = ALWAYS,
		.backoff = { .first = MILLISECONDS(100), .limit = MILLISECONDS(200), .calm = SECONDS(60) },
		.critical = YES,
	},
	[SHELL] = {
		.name = "shell",
		.image = "toybox.img",
		.command = ARGV("sh"),
		.env = ENV("PS1=launcher# ", "HOME=/tmp"),
		.memory = { .max = MiB(8) },
		.cpu = { .max = PERCENT(80) },
		.pids = 32,
		.console = YES,
		.control = YES,
		.restart = ALWAYS,
	},
};

static const struct container run = { .name = "run" };
