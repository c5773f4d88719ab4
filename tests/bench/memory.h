/*
 * memory.h - the policy of `tests/bench/run memory`: ROWS containers that do nothing. Each row could be told from the
 * others by its name alone.
 */
#define LOG_SIZE KiB(16)

#define CALM(row_name)                                                                             \
	{ .name = row_name, .image = "held.img", .command = ARGV("/held"), .stop.signal = SIGKILL },
#define TEN(of)                                                                                    \
	CALM(of "0") CALM(of "1") CALM(of "2") CALM(of "3") CALM(of "4")                            \
	CALM(of "5") CALM(of "6") CALM(of "7") CALM(of "8") CALM(of "9")

enum { NCONTAINERS = ROWS };

static const struct container containers[] = {
#if ROWS == 1
	CALM("a0")
#endif
#if ROWS >= 10
	TEN("a")
#endif
#if ROWS >= 50
	TEN("b") TEN("c") TEN("d") TEN("e")
#endif
};

static const struct container run = { .name = "run" };
