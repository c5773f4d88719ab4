/*
 * places.h - the policy of tests/boot for images outside of the initramfs: in the launcher itself,
 * on a disk, on a disk that is corrupt, in a flash
 */
#define LOG_SIZE KiB(4)

enum { DISK, FLASH, CORRUPT, BOTH, OLD, SCRATCHED, PROMPT, NCONTAINERS };

#define SMALL .memory = { .max = MiB(4) }, .cpu = { .max = PERCENT(50) }, .pids = 8
#define SLOWLY { .first = SECONDS(60) } /* it is not seen again */

static const struct container containers[] = {
	[DISK] = { /* the image is smaller than its disk; what to run, it says itself */
		.name     = "disk",
		.image    = "greet.img",
		.place    = "/dev/vda",
		.version  = "1.2",
		.root     = SCRATCH(KiB(64)),
		SMALL,
	},
	[FLASH] = { /* what is there, only one board has */
		.name     = "flash",
		.image    = "flash.img",
		.place    = "/dev/mtd0",
		.version  = "1.0",
		SMALL,
	},
	[CORRUPT] = {
		.name     = "corrupt",
		.image    = "toybox.img",
		.place    = "/dev/vdb",
		.fallback = "toybox.img", /* which is inside of the launcher */
		.command  = ARGV("sh", "-c", "echo saved by the fallback; exec sleep 1000"),
		SMALL,
	},
	[BOTH] = {
		.name     = "both",
		.image    = "both.img",
		.place    = "/dev/vdb",
		.fallback = "/dev/vdc", /* there is none */
		.command  = ARGV("true"),
		.restart  = ALWAYS,
		.backoff  = SLOWLY,
		SMALL,
	},
	[OLD] = {
		.name     = "old",
		.image    = "greet2.img",
		.place    = "/dev/vda",
		.version  = "1.10",
		SMALL,
	},
	[SCRATCHED] = {
		.name     = "scratched",
		.image    = "toybox.img",
		.place    = "/dev/vdb",
		.fallback = "toybox.img",
		.command  = ARGV("sh", "-c", "rm /etc/profile; echo data >/etc/data; ls /etc; exec sleep 1000"),
		.root     = SCRATCH(KiB(256)),
		SMALL,
	},
	[PROMPT] = {
		.name     = "prompt",
		.image    = "toybox.img",
		.place    = "/dev/vdb",
		.fallback = "toybox.img",
		.command  = ARGV("sh"),
		.env      = ENV("PS1=launcher# "),
		.tmpfs    = LIST(tmpfs, { "/tmp", MiB(2) }),
		.console  = YES,
		.control  = YES,
		.restart  = ALWAYS,
		.memory   = { .max = MiB(8) }, .cpu = { .max = PERCENT(80) }, .pids = 16,
	},
};

static const struct container run = { .name = "run", .memory = { .max = MiB(16) }, .pids = 8 };
