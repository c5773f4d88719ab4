/*
 * supervise.h - a policy of tests/supervise: what is ready, what is well, and targets for the verbs
 */
#define LOG_SIZE KiB(64)

/* Nobody is parked for what these do; see budget.h for that. */
static const struct budget budget = { .restarts = 1000 };

enum {
	PLAIN, NOTIFIED, NOTIFIED_USER, FOLLOWER, UNREADY, UNREADY_BACK, BRIEF, HEALED,
	PORT4, PORT6, NO_PORT, GATE, IMPATIENT, ONE, AFTER_ONE, THREE, AFTER_THREE, BAD, AFTER_BAD,
	SIDE1, SIDE2, SIDE3,
	SICK_NEVER, SICK_FAILURE, SICK_ALWAYS, RECOVERS, SLOW, NO_COMMAND, BEATS,
	LATER, CHANCE, CALM, FINE, OTHER, AGAIN,
	CATCHES, TICKER, BUSY, CONFINED, ROOT, FEW, STRICT, EXITS, ABSENT, NCONTAINERS
};

#define DO(...) ARGV("/act", __VA_ARGS__)
#define SHELL(script) ARGV("sh", "-c", script)
#define LIMITED(its_name, mib, percent, tasks, ...)                                                \
	{ .name = its_name, .image = "act.img", .memory = { .max = MiB(mib) },                     \
	  .cpu = { .max = PERCENT(percent) }, .pids = tasks, __VA_ARGS__ }
#define ROW(its_name, ...)                                                                         \
	LIMITED(its_name, 4, 100, 8, .stop = { .signal = SIGKILL }, __VA_ARGS__)
#define TMP .tmpfs = LIST(tmpfs, { "/tmp", KiB(64) })
#define QUICKLY .backoff = { .first = MILLISECONDS(100), .limit = MILLISECONDS(100) }
#define SLOWLY .backoff = { .first = SECONDS(60) } /* it is not seen again */
#define WELL_UNTIL_SICK                                                                            \
	.health = { .command = SHELL("[ ! -e /tmp/sick ]"), .every = MILLISECONDS(500) }

static const struct container containers[] = {
	/* what is ready */
	[PLAIN] = ROW("plain", .command = DO("stay")),
	[NOTIFIED] = ROW("notified", .ready = NOTIFY, .restart = ALWAYS,
			 .command = SHELL("echo $NOTIFY_SOCKET; exec /act say=STATUS=warming sleep=1000 "
					  "say='READY=1\nSTATUS=serving 1' stay")),
	[NOTIFIED_USER] = ROW("notified-user", .ready = NOTIFY, .user = "1000:1000",
			      .command = DO("sleep=500", "say=READY=1", "stay")),
	[FOLLOWER] = ROW("follower", .command = DO("stay"), .after = AFTER(NOTIFIED, NOTIFIED_USER)),
	[UNREADY] = ROW("unready", .ready = NOTIFY, .ready_within = SECONDS(1), .command = DO("stay")),
	[UNREADY_BACK] = ROW("unready-back", .ready = NOTIFY, .ready_within = SECONDS(1), .restart = ON_FAILURE,
			     SLOWLY, .command = DO("say=STATUS=never", "stay")),
	[BRIEF] = ROW("brief", .ready = NOTIFY, .command = DO("exit=0")),
	[HEALED] = ROW("healed", .ready = HEALTHY, TMP, .command = SHELL("sleep 1; touch /tmp/well; exec /act stay"),
		       .health = { .command = SHELL("[ -e /tmp/well ]"), .every = SECONDS(1) }),
	[PORT4] = ROW("port4", .ready = PORT(8080), .command = DO("listen4=80", "sleep=1000", "listen4=8080", "stay")),
	[PORT6] = ROW("port6", .ready = PORT(443), .command = DO("sleep=1000", "listen6=443", "stay")),
	[NO_PORT] = ROW("no-port", .ready = PORT(8080), .ready_within = SECONDS(1), .command = DO("listen4=8081", "stay")),
	[GATE] = ROW("gate", .ready = NOTIFY, .ready_within = SECONDS(600), .command = DO("stay")),
	[IMPATIENT] = ROW("impatient", .command = DO("stay"), .after = AFTER(GATE), .wait = SECONDS(1)),
	[ONE] = ROW("one", .ready = NOTIFY, .command = DO("sleep=500", "exit=0")),
	[AFTER_ONE] = ROW("after-one", .command = DO("stay"), .after = AFTER(ONE)),
	[THREE] = ROW("three", .ready = NOTIFY, .command = DO("sleep=500", "exit=3"), .success = STATUSES(2, 3)),
	[AFTER_THREE] = ROW("after-three", .command = DO("stay"), .after = AFTER(THREE)),
	[BAD] = ROW("bad", .ready = NOTIFY, .command = DO("exit=4")),
	[AFTER_BAD] = ROW("after-bad", .command = DO("stay"), .after = AFTER(BAD), .wait = SECONDS(600)),
	[SIDE1] = ROW("side1", .ready = NOTIFY, .command = DO("sleep=4000", "say=READY=1", "stay")),
	[SIDE2] = ROW("side2", .ready = NOTIFY, .command = DO("sleep=4000", "say=READY=1", "stay")),
	[SIDE3] = ROW("side3", .ready = NOTIFY, .command = DO("sleep=4000", "say=READY=1", "stay")),

	/* what is well */
	[SICK_NEVER] = ROW("sick-never", TMP, WELL_UNTIL_SICK, .command = DO("stay"), QUICKLY),
	[SICK_FAILURE] = ROW("sick-failure", TMP, WELL_UNTIL_SICK, .command = DO("stay"), QUICKLY, .restart = ON_FAILURE),
	[SICK_ALWAYS] = ROW("sick-always", TMP, WELL_UNTIL_SICK, .command = DO("stay"), QUICKLY, .restart = ALWAYS),
	[RECOVERS] = ROW("recovers", TMP, .command = DO("stay"), .restart = ALWAYS, /* fails twice in each three */
			 .health = { .command = SHELL("n=$(cat /tmp/n); n=$((n+1)); echo $n >/tmp/n; echo look $n; [ $((n%3)) = 0 ]"),
				     .every = MILLISECONDS(500) }),
	[SLOW] = ROW("slow", TMP, .command = DO("stay"), .restart = ALWAYS, QUICKLY,
		     .health = { .command = SHELL("[ ! -e /tmp/sick ] || exec sleep 54321"), .every = MILLISECONDS(500),
				 .timeout = SECONDS(1), .failures = 1 }),
	[NO_COMMAND] = ROW("no-command", .command = DO("stay"),
			   .health = { .command = ARGV("no-such-command"), .every = MILLISECONDS(200), .failures = 2 }),
	[BEATS] = ROW("beats", .command = SHELL("echo $NOTIFY_SOCKET $WATCHDOG_USEC; exec /act beat=250,12 stay"),
		      .health = { .every = SECONDS(2) }),

	/* when it comes back */
	[LATER] = ROW("later", .command = DO("exit=1"), .restart = ON_FAILURE,
		      .backoff = { .first = MILLISECONDS(200), .limit = SECONDS(1), .factor = 300 }),
	[CHANCE] = ROW("chance", .command = DO("exit=1"), .restart = ON_FAILURE,
		       .backoff = { .first = SECONDS(40), .limit = SECONDS(40) }),
	[CALM] = ROW("calm", .command = DO("stay"), .restart = ALWAYS, TMP,
		     .health = { .command = SHELL("[ ! -e /tmp/sick ]"), .every = MILLISECONDS(500), .failures = 1 },
		     .backoff = { .first = MILLISECONDS(100), .limit = SECONDS(2), .factor = 1000, .calm = SECONDS(3) }),
	[FINE] = ROW("fine", .command = DO("exit=3"), .restart = ON_FAILURE, .success = STATUSES(143, 3)),
	[OTHER] = ROW("other", .command = DO("exit=4"), .restart = ON_FAILURE, .success = STATUSES(143, 3), SLOWLY),
	[AGAIN] = ROW("again", .command = DO("exit=3"), .restart = ALWAYS, .success = STATUSES(3), SLOWLY),

	/* what the verbs work on */
	[CATCHES] = ROW("catches", .command = DO("signals", "print=set", "stay"), .restart = ALWAYS, QUICKLY),
	[TICKER] = LIMITED("ticker", 4, 100, 8, .command = DO("tick=20")),
	[BUSY] = LIMITED("busy", 4, 30, 8, .command = DO("burn=0")),
	[CONFINED] = LIMITED("confined", 8, 100, 32, .command = SHELL("echo set; exec /act stay"),
			     .tmpfs = LIST(tmpfs, { "/tmp", KiB(64) }, { "/other", KiB(64) }), .user = "1000:1001",
			 .keep = CAPS(NET_RAW), .may = DEFAULT | PACKET, .writable = ARGV("/tmp"), .oom_score_adj = 321,
			 .nice = 3, .limits = LIST(limit, { RLIMIT_NOFILE, 77 }), .env = ENV("WORD=of the row")),
	[ROOT] = LIMITED("root", 32, 200, 64, .command = DO("stay"), TMP, .stop = { .signal = SIGKILL }),
	[FEW] = LIMITED("few", 4, 100, 3, .command = DO("stay")),
	[STRICT] = ROW("strict", .command = DO("stay"), .may = FILES),
	[EXITS] = LIMITED("exits", 6, 100, 8, .command = DO("sleep=1000", "exit=7")),
	[ABSENT] = ROW("absent", .command = ARGV("no-such-command")),
};

static const struct container run = { .name = "run" };
