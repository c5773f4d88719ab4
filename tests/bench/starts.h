/*
 * starts.h - the policy of `tests/bench/run starts`: a container that does nothing, with the confinement that every
 * row has. The first row keeps the root that both share.
 */
#define LOG_SIZE KiB(4)
#define LIKE_THE_PEERS .memory = { .max = MiB(64) }, .pids = 64, .cpu = { .max = PERCENT(100) }

enum { KEEPER, NOTHING, NCONTAINERS };

static const struct container containers[] = {
	[KEEPER] = { .name = "keeper", .image = "tiny.img", .command = ARGV("/pause"), .stop.signal = SIGKILL },
	[NOTHING] = { .name = "nothing", .image = "tiny.img", .command = ARGV("/true"), .after = AFTER(KEEPER), LIKE_THE_PEERS },
};

static const struct container run = { .name = "run", LIKE_THE_PEERS };
