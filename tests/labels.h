/*
 * labels.h - a policy for tests/boot: containers whose label one security module knows, and the
 * others not; tests/selinux.cil and tests/apparmor.profile say what a label denies
 */
#define LOG_SIZE KiB(4)

enum { PLAIN, SELINUX, APPARMOR, PROMPT, NCONTAINERS };

#define ATTEMPT                                                                                    \
	ARGV("sh", "-c",                                                                           \
	     "cat /proc/self/attr/current; echo; ifconfig lo | head -n 1; mkdir /tmp/denied;"      \
	     "echo data >/tmp/denied/file && echo written; echo end; exec sleep 1000")

#define COMMON .image = "toybox.img", .memory = { .max = MiB(2) }, .pids = 8

static const struct container containers[] = {
	[PLAIN] = {
		.name    = "plain",
		.command = ATTEMPT,
		.tmpfs   = LIST(tmpfs, { "/tmp", KiB(64) }),
		COMMON,
	},
	[SELINUX] = {
		.name    = "selinux",
		.command = ATTEMPT,
		.label   = "system_u:system_r:container_t:s0:c1,c2",
		.tmpfs   = LIST(tmpfs, { "/tmp", KiB(64) }),
		COMMON,
	},
	[APPARMOR] = {
		.name    = "apparmor",
		.command = ATTEMPT,
		.label   = "container",
		.tmpfs   = LIST(tmpfs, { "/tmp", KiB(64) }),
		COMMON,
	},
	[PROMPT] = {
		.name    = "prompt",
		.command = ARGV("sh"),
		.env     = ENV("PS1=launcher# "),
		.console = YES,
		.control = YES,
		COMMON,
	},
};

static const struct container run = { .name = "run" };
