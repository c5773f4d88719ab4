/*
 * planted.h - the policy of tests/container for paths that lead by where a container writes: GUEST
 * and ROOT plant links there, and the other rows are to have what is behind them
 */
#define LOG_SIZE KiB(64)
#define DATA "/run/test/images/data/" /* of `launcher up /run/test/images` */
#define SHARED "/run/test/shared"

enum { BANK, GUEST, ROOT, READS, READS_BELOW, READS_ROOTS, READS_SHARED, WRITES, LINKED, PLACED, FALLEN, DEVICES, NCONTAINERS };

#define ROW(row_name, image_name) .name = row_name, .image = image_name, .cpu = { .max = PERCENT(100) }, .pids = 8
#define SLEEPS .command = ARGV("sleep", "1000"), .stop = { .signal = SIGKILL }
#define LOOKS .command = ARGV("sh", "-c", "cat /in/canary /in/etc/hostname /in 2>/dev/null; echo looked")
#define BINDS(from, may) .binds = LIST(bind, { from, "/in", may })

static const struct container containers[] = {
	[BANK] = { ROW("bank", "host.img"), SLEEPS, .userns = HOST, .data = LIST(data, { "bank", "/d" }) },
	[GUEST] = { ROW("guest", "toybox.img"), SLEEPS, .data = LIST(data, { "guest", "/d" }) },
	[ROOT] = { ROW("root", "host.img"), SLEEPS, .userns = HOST, .data = LIST(data, { "root", "/d" }),
		BINDS(SHARED, READ | WRITE) },
	[READS] = { ROW("reads", "reads.img"), LOOKS, BINDS(DATA "guest/pub", READ) },
	[READS_BELOW] = { ROW("reads-below", "below.img"), LOOKS, BINDS(DATA "guest/pub/canary", READ | OPTIONAL) },
	[READS_ROOTS] = { ROW("reads-roots", "roots.img"), LOOKS, BINDS(DATA "root/pub", READ) },
	[READS_SHARED] = { ROW("reads-shared", "lock"), LOOKS, BINDS(SHARED "/pub", READ) },
	[WRITES] = { ROW("writes", "writes.img"), .userns = HOST, BINDS(DATA "guest/pub", READ | WRITE),
		.command = ARGV("sh", "-c", "echo written >/in/canary; echo looked") },
	[LINKED] = { ROW("linked", "control"), .command = ARGV("cat", "/a", "/b"),
		.binds = LIST(bind, { "/run/test/links/relative", "/a", READ }, { "/run/test/links/absolute", "/b", READ }) },
	[PLACED] = { ROW("placed", "placed.img"), .command = ARGV("echo", "looked"), .place = DATA "guest/pub" },
	[FALLEN] = { ROW("fallen", "fallen.img"), .command = ARGV("echo", "looked"), .fallback = DATA "guest/pub" },
	[DEVICES] = { ROW("devices", "devices.img"), .command = ARGV("echo", "looked"),
		.devices = LIST(device, { "/dev/shm/planted", READ }) },
};

static const struct container run = { .name = "run", .binds = LIST(bind, { SHARED "/none", "/none", READ | OPTIONAL }) };
