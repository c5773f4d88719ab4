/*
 * misbehave.h - the policies of tests/misbehave: workloads that misbehave, each in its way, beside a
 * quiet one; or with FIFTY as many rows as there can be, of which the image of one is broken
 */
#define LOG_SIZE KiB(16)

static const struct budget budget = { .restarts = 1000000 };

#define ROW(row_name, ...) { .name = row_name, .image = "misbehave.img", __VA_ARGS__ }

#ifndef FIFTY

enum {
	QUIET,
	FORK_BOMB, THREAD_BOMB, MEMORY_HOG, OOM_LOOP, SHM_HOG, TMPFS_HOG, FILE_HOG, CPU_HOG, GROW_LATE,
	OPEN_ALL, FILL_PIPE,
	FLOOD_LINES, FLOOD_LONG, FLOOD_BYTES, FLOOD_ZEROS, ESCAPES, CLOSE_STDIO,
	IGNORE_TERM, BLOCK_ALL, SESSIONS, STOP_ITSELF, DAEMON, HOLD_LOG, VFORK,
	SEGFAULT, SUCCEED, EXIT_255, MISSING, EXEC_OTHER, RENAME,
	KILL_ALL, KILL_INIT, STORM_INIT, ORPHANS, ZOMBIES, TRACE_ITSELF, TRACE_CHILD,
	FLOOD_NOTIFY, RUBBISH_NOTIFY, NEVER_READY, WRITE_LAUNCHER, TTY,
	NCONTAINERS
};

/* All of them shall fit into two CPUs, and their ends into the time of a test. */
#define WITH(percent, row_name, ...)                                                               \
	ROW(row_name, .command = ARGV("/misbehave", row_name), .cpu = { .max = PERCENT(percent) }, \
	    .stop = { .grace = MILLISECONDS(300) }, __VA_ARGS__)
#define BAD(row_name, ...) WITH(5, row_name, __VA_ARGS__)
#define LOOP .restart = ALWAYS, .backoff = { .first = MILLISECONDS(100), .limit = MILLISECONDS(500) }

static const struct container containers[] = {
	[QUIET] = ROW("quiet", .command = ARGV("/misbehave", "quiet"), .cpu = { .max = PERCENT(50) },
		      .pids = 16, .restart = ALWAYS),

	[FORK_BOMB] = BAD("fork-bomb", .pids = 16, .memory = { .max = MiB(16) }),
	[THREAD_BOMB] = BAD("thread-bomb", .pids = 64),
	[MEMORY_HOG] = BAD("memory-hog"),
	[OOM_LOOP] = ROW("oom-loop", .command = ARGV("/misbehave", "memory-hog"), LOOP),
	[SHM_HOG] = BAD("shm-hog"),
	[TMPFS_HOG] = BAD("tmpfs-hog", .tmpfs = LIST(tmpfs, { "/tmp", MiB(64) })),
	[FILE_HOG] = BAD("file-hog", .tmpfs = LIST(tmpfs, { "/tmp", MiB(1) })),
	[CPU_HOG] = BAD("cpu-hog", .pids = 10),
	[GROW_LATE] = WITH(20, "grow-late"),
	[OPEN_ALL] = WITH(20, "open-all", .memory = { .max = MiB(16) }),
	[FILL_PIPE] = BAD("fill-pipe"),

	[FLOOD_LINES] = WITH(2, "flood-lines"),
	[FLOOD_LONG] = WITH(100, "flood-long"),
	[FLOOD_BYTES] = WITH(2, "flood-bytes"),
	[FLOOD_ZEROS] = WITH(2, "flood-zeros"),
	[ESCAPES] = BAD("escapes"),
	[CLOSE_STDIO] = BAD("close-stdio"),

	[IGNORE_TERM] = BAD("ignore-term"),
	[BLOCK_ALL] = BAD("block-all"),
	[SESSIONS] = BAD("sessions", .pids = 16),
	[STOP_ITSELF] = BAD("stop-itself"),
	[DAEMON] = BAD("daemon"),
	[HOLD_LOG] = BAD("hold-log", LOOP),
	[VFORK] = BAD("vfork"),

	[SEGFAULT] = BAD("segfault", LOOP),
	[SUCCEED] = BAD("succeed", LOOP),
	[EXIT_255] = BAD("exit-255"),
	[MISSING] = ROW("missing", .command = ARGV("/no/such/file")),
	[EXEC_OTHER] = BAD("exec-other"),
	[RENAME] = BAD("rename"),

	[KILL_ALL] = BAD("kill-all", .pids = 8),
	[KILL_INIT] = BAD("kill-init"),
	[STORM_INIT] = WITH(50, "storm-init", .keep = CAPS(KILL)),
	/* What the kernel keeps of a dead task for a while counts as memory. */
	[ORPHANS] = WITH(50, "orphans", .pids = 64, .memory = { .max = MiB(128) }),
	[ZOMBIES] = WITH(50, "zombies", .pids = 1100, .memory = { .max = MiB(128) }),
	[TRACE_ITSELF] = BAD("trace-itself"),
	[TRACE_CHILD] = BAD("trace-child", .may = DEFAULT | TRACE),

	[FLOOD_NOTIFY] = WITH(100, "flood-notify", .ready = NOTIFY, .pids = 8),
	[RUBBISH_NOTIFY] = WITH(50, "rubbish-notify", .ready = NOTIFY),
	[NEVER_READY] = ROW("never-ready", .command = ARGV("/misbehave", "ignore-term"), .ready = NOTIFY,
			    .ready_within = SECONDS(1), .stop = { .grace = MILLISECONDS(300) }, LOOP),
	[WRITE_LAUNCHER] = BAD("write-launcher", .control = YES, .tmpfs = LIST(tmpfs, { "/tmp", KiB(64) })),
	[TTY] = ROW("tty", .command = ARGV("/misbehave", "stay"), .pids = 16),
};

#else

#define FIVE(X) X("a") X("b") X("c") X("d") X("e")
#define CALM(row_name) ROW(row_name, .command = ARGV("/misbehave", "stay")),
#define TEN(first)                                                                                 \
	CALM(first "0") CALM(first "1") CALM(first "2") CALM(first "3") CALM(first "4")             \
	CALM(first "5") CALM(first "6") CALM(first "7") CALM(first "8") CALM(first "9")

enum { MORTAL, CRASH, BROKEN, STORMED, SLOW, ASKER, WELL, LOOKED_AT, NCONTAINERS = 64 };

static const struct container containers[] = {
	[MORTAL] = ROW("mortal", .command = ARGV("/misbehave", "succeed"), .cpu = { .max = PERCENT(200) },
		       .restart = ALWAYS, .backoff = { .first = MILLISECONDS(1), .limit = MILLISECONDS(1) }),
	[CRASH] = ROW("crash", .command = ARGV("/misbehave", "segfault"), .restart = ALWAYS),
	[BROKEN] = { .name = "broken", .image = "broken.img", .restart = ALWAYS },
	[STORMED] = ROW("stormed", .command = ARGV("/misbehave", "stay"), .restart = ALWAYS),
	[SLOW] = ROW("slow", .command = ARGV("/misbehave", "ignore-term"), .restart = ALWAYS,
		     .stop = { .grace = MILLISECONDS(500) }),
	[ASKER] = { .name = "asker", .image = "asker.img", .command = ARGV("/misbehave", "stay"), .control = YES, .pids = 16,
		    .health = { .every = SECONDS(1000) } }, /* it has a socket for notices */
	[WELL] = ROW("well", .command = ARGV("/misbehave", "stay"), .pids = 32, .cpu = { .max = PERCENT(100) },
		     .health = { .command = ARGV("/misbehave", "succeed"), .every = SECONDS(1), .failures = 1 }),
	[LOOKED_AT] = ROW("looked-at", .command = ARGV("/misbehave", "stay"), /* for longer than it lives */
			  .health = { .command = ARGV("/misbehave", "stay"), .every = MILLISECONDS(100),
				      .timeout = SECONDS(1000) }),
	FIVE(TEN) CALM("f0") CALM("f1") CALM("f2") CALM("f3") CALM("f4") CALM("f5")
};

#endif

static const struct container run = { .name = "run" };
