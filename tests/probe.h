/*
 * probe.h - the policy of tests/container and tests/boot for a container that is granted nothing:
 * every field but .memory has its default, and tests/probe.c looks from within at what that is; the
 * names of all that it walks through stay in the row's memory, as long as the kernel keeps them
 */
#define LOG_SIZE KiB(64) /* all that it says */

enum { PROBE, NCONTAINERS };

static const struct container containers[] = {
	[PROBE] = {
		.name    = "probe",
		.image   = "probe.img",
		.command = ARGV("/probe"),
		.memory  = { .max = MiB(8) },
	},
};

/* What tests/container gives to roots that are hostile: a place to mount more than they expect. */
static const struct container run = {
	.name   = "run",
	.memory = { .max = MiB(64) },
	.cpu    = { .max = PERCENT(400) },
	.pids   = 16,
	.tmpfs  = LIST(tmpfs, { "/tmp", MiB(1) }, { "/run", KiB(64) }, { "/var/lib/deep", KiB(64) }),
};
