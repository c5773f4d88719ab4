/*
 * memory.h - the policy of `tests/bench/run memory` and `scale`: 1, 10, 20, 50, 64 or 500 ROWS of a
 * container that does nothing; 20 are beside a prompt, on a device
 */
#define LOG_SIZE KiB(16)

#define CALM(row_name)                                                                             \
	{ .name = row_name, .image = "held.img", .command = ARGV("/held"),                         \
	  .memory = { .max = MiB(2) }, .stop = { .signal = SIGKILL } },
#define TEN(of)                                                                                    \
	CALM(of "0") CALM(of "1") CALM(of "2") CALM(of "3") CALM(of "4")                           \
	CALM(of "5") CALM(of "6") CALM(of "7") CALM(of "8") CALM(of "9")

#define FIFTY(of) TEN(of "0") TEN(of "1") TEN(of "2") TEN(of "3") TEN(of "4")

enum { NCONTAINERS = ROWS == 20 ? 21 : ROWS };

static const struct container containers[] = {
#if ROWS == 1
	CALM("a")
#elif ROWS == 10
	TEN("a")
#elif ROWS == 20
	TEN("a") TEN("b")
	{ .name = "shell", .image = "toybox.img", .command = ARGV("sh"), .env = ENV("PS1=# "),
	  .memory = { .max = MiB(8) }, .cpu = { .max = PERCENT(100) }, .pids = 8,
	  .console = YES, .control = YES },
#elif ROWS == 50
	FIFTY("a")
#elif ROWS == 64
	FIFTY("a") TEN("b") CALM("c") CALM("d") CALM("e") CALM("f")
#elif ROWS == 500
	FIFTY("a") FIFTY("b") FIFTY("c") FIFTY("d") FIFTY("e")
	FIFTY("f") FIFTY("g") FIFTY("h") FIFTY("i") FIFTY("j")
#endif
};

static const struct container run = { .name = "run" };
