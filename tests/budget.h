/*
 * budget.h - a policy of tests/supervise: who may be restarted how often, and what comes then
 *
 * A row is well until there is a file with its name in /flags. Eight restarts is all that there
 * are, and who has no priority gets two of them.
 */
#define LOG_SIZE KiB(16)

static const struct budget budget = { .restarts = 8, .every = SECONDS(600), .parked = SECONDS(3) };

enum { INNOCENT, MIDDLE, FIRST, COSTLY, MOODY, FALLS, BOTH, RESETS, GREEDY, NCONTAINERS };

#define DOES(its_name, its_image, calm_ms, script, ...)                                                              \
	{ .name = its_name, .image = its_image, .memory = { .max = MiB(4) },                       \
	  .cpu = { .max = PERCENT(100) }, .pids = 8, .restart = ALWAYS,                            \
	  .binds = LIST(bind, { "/run/test/flags", "/flags", READ }),                              \
	  .stop = { .signal = SIGKILL },                                                           \
	  .backoff = { .first = MILLISECONDS(100), .limit = MILLISECONDS(200), .calm = calm_ms }, \
	  .command = ARGV("sh", "-c", script), __VA_ARGS__ }
#define ROW(its_name, its_image, ...)                                                              \
	DOES(its_name, its_image, SECONDS(6),                                                      \
	     "cat /which; [ ! -e /flags/" its_name " ] || exit 1; exec /act stay", __VA_ARGS__)

static const struct container containers[] = {
	[INNOCENT] = ROW("innocent", "act.img", ),
	[MIDDLE] = ROW("middle", "act.img", .priority = 1),
	[FIRST] = ROW("first", "act.img", .priority = 3),
	[COSTLY] = DOES("costly", "act.img", SECONDS(600),
			"[ ! -e /flags/costly ] || exec /act burn=2300 exit=1; exec /act stay", .priority = 3),
	[MOODY] = DOES("moody", "act.img", SECONDS(6), "[ ! -e /flags/moody ] || exit 1; exec /act listen4=80 stay",
		       .ready = PORT(80)),
	[FALLS] = ROW("falls", "falls.img", .fallback = "second.img", .escalate = FALLBACK),
	[BOTH] = ROW("both", "both.img", .fallback = "second.img", .escalate = FALLBACK | REBOOT),
	[RESETS] = ROW("resets", "act.img", .escalate = REBOOT),
	[GREEDY] = ROW("greedy", "act.img", ),
};

static const struct container run = { .name = "run" };
