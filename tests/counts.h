/*
 * counts.h - the policy of tests/counts: a row that is restarted at once, and one that stays
 */
#define LOG_SIZE KiB(4)

#ifdef INSTRUCTIONS /* valgrind works in the process that it counts: its walls are built, and hold nothing back */
#undef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS SECCOMP_RET_ALLOW
#define chroot(directory) 0
#endif

static const struct budget budget = { .restarts = 1000000 };

enum { AGAIN, STAYS, NCONTAINERS };

static const struct container containers[] = {
	[AGAIN] = { .name = "again",
		    .image = "tiny.img",
		    .command = ARGV("/bin/true", "again"),
		    .restart = ALWAYS,
		    .backoff = { .first = MILLISECONDS(1), .limit = MILLISECONDS(1) } },
	[STAYS] = { .name = "stays", .image = "tiny.img", .command = ARGV("/bin/true", "stays") },
};

static const struct container run = { .name = "run" };
