/* TAP for a test in C. Included before launcher.c, which poisons printf and exit. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#undef alloca /* a macro of stdlib.h; launcher.c poisons the name */

static int tap_count, tap_failed;

static __attribute__((format(__printf__, 2, 3))) int check(int passed, const char *what, ...)
{
	va_list ap;

	va_start(ap, what);
	printf("%sok %d - ", passed ? "" : "not ", ++tap_count);
	vprintf(what, ap);
	printf("\n");
	fflush(stdout);
	va_end(ap);
	tap_failed |= !passed;
	return passed;
}

static __attribute__((format(__printf__, 1, 2))) void tap_note(const char *what, ...)
{
	va_list ap;

	va_start(ap, what);
	printf("# ");
	vprintf(what, ap);
	printf("\n");
	va_end(ap);
}

/* Bytes on one line, as C would write them. */
static const char *tap_quoted(const char *s, size_t n)
{
	static char quoted[1024];
	size_t at = 0;

	for (size_t i = 0; i < n && at < sizeof quoted - 5; i++)
		at += (size_t)sprintf(quoted + at, s[i] < ' ' || s[i] > '~' ? "\\x%02x" : "%c",
				      (unsigned char)s[i]);
	quoted[at] = '\0';
	return quoted;
}

static void check_bytes(const char *got, size_t n, const char *want, size_t size, const char *what)
{
	if (check(n == size && !memcmp(got, want, n), "%s", what))
		return;
	tap_note("got  \"%s\"", tap_quoted(got, n));
	tap_note("want \"%s\"", tap_quoted(want, size));
}

static void check_string(const char *got, const char *want, const char *what)
{
	check_bytes(got, strlen(got), want, strlen(want), what);
}

static void check_number(long long got, long long want, const char *what)
{
	if (!check(got == want, "%s", what))
		tap_note("got %lld, want %lld", got, want);
}

/* Runs it in a child; it shall come back there, and not die. */
static void check_survives(void (*run)(void), const char *what)
{
	int status = -1;
	pid_t child = fork();

	if (!child) {
		run();
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		status = -1;
	if (!check(!status, "%s", what))
		tap_note("wait status 0x%x", (unsigned)status);
}

static int tap_end(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed;
}
