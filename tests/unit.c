/*
 * unit.c - tests of what launcher.c can do without a kernel's favour: text, paths, parsers, the
 * life of an instance. The file is included whole; time and the system calls that would start or
 * signal something are ours.
 */
#define _GNU_SOURCE
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

/* What the faked kernel has been asked, and how it shall answer. */
static struct {
	uint64_t time;       /* milliseconds */
	int no_process;      /* clone3 fails */
	int no_close_range;  /* it is an older kernel */
	int no_filter;       /* prctl pretends to load it */
	int started;         /* processes so far */
	int signal;          /* the latest one sent */
	const char *cmdline; /* the file that is opened instead of /proc/cmdline */
} fake;

static int fake_clock(struct timespec *t)
{
	t->tv_sec = (time_t)(fake.time / 1000);
	t->tv_nsec = (long)(fake.time % 1000 * 1000000);
	return 0;
}

static long fake_syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_pidfd_send_signal) {
		fake.signal = (int)a[1];
		return 0;
	}
	if (number == SYS_close_range && fake.no_close_range) {
		errno = ENOSYS;
		return -1;
	}
	if (number != SYS_clone3)
		return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (fake.no_process)
		return -1;
	*(int *)(uintptr_t)((uint64_t *)a[0])[1] = dup(0); /* clone_args.pidfd */
	return 1000 + ++fake.started;
}

static int fake_open(int dir, const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	int mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	return openat(dir, fake.cmdline && !strcmp(path, "/proc/cmdline") ? fake.cmdline : path,
		      flags, mode);
}

/* What launcher.c poisons at its end. */
static void leave(int code)
{
	_exit(code);
}

#define clock_gettime(clock, t) fake_clock(t)
#define syscall(...) fake_syscall(__VA_ARGS__, 0L, 0L, 0L, 0L, 0L)
#define openat(...) fake_open(__VA_ARGS__)
#define prctl(...) (fake.no_filter ? 0 : prctl(__VA_ARGS__))
#define main launcher_main
#include "../launcher.c"
#undef main

static char place[256]; /* our own directory, and a descriptor of it */
static int top;

/* -- text -- */

#define FORMATS(want, ...)                                                                         \
	do {                                                                                       \
		char buf[64];                                                                      \
		size_t n = format(buf, sizeof buf, __VA_ARGS__);                                   \
		check_bytes(buf, n, want, strlen(want), "format " #__VA_ARGS__);                   \
		check_string(buf, want, "and it is terminated");                                   \
	} while (0)

static void test_format(void)
{
	FORMATS("plain", "plain");
	FORMATS("", "%s", "");
	FORMATS("[name]", "[%s]", "name");
	FORMATS("[  name]", "[%6s]", "name");
	FORMATS("[name  ]", "[%-6s]", "name");
	FORMATS("[name]", "[%2s]", "name");
	FORMATS("na", "%.*s", 2, "name");
	FORMATS("name", "%.*s", 10, "name");
	FORMATS("", "%.*s", 0, "name");
	FORMATS("0", "%d", 0);
	FORMATS("-1", "%d", -1);
	FORMATS("-2147483648", "%d", INT_MIN);
	FORMATS("2147483647", "%d", INT_MAX);
	FORMATS("4294967295", "%u", UINT_MAX);
	FORMATS("ffffffff", "%x", UINT_MAX);
	FORMATS("-9223372036854775808", "%lld", LLONG_MIN);
	FORMATS("18446744073709551615", "%llu", ULLONG_MAX);
	FORMATS("ffffffffffffffff", "%llx", ULLONG_MAX);
	FORMATS("[   42]", "[%5d]", 42);
	FORMATS("[42   ]", "[%-5d]", 42);
	FORMATS("[00042]", "[%05d]", 42);
	FORMATS("[  -42]", "[%5d]", -42);
	FORMATS("[0042]", "[%04llu]", 42ULL);
	FORMATS("[x]", "[%c]", 'x');
	FORMATS("100%", "%d%%", 100);
	FORMATS("1 two 3", "%d %s %c", 1, "two", '3');
	errno = ENOENT;
	FORMATS("open: No such file or directory", "%s: %m", "open");
}

static void test_format_full(void)
{
	char buf[9] = "........";

	check_number((long long)format(buf, 5, "%s", "exactly"), 4,
		     "format: a full buffer keeps size-1 bytes");
	check_bytes(buf, 9, "exac\0...", 9, "format: nothing is written behind the buffer");
	check_number((long long)format(buf, 5, "%8d", 1), 4, "format: a width that does not fit");
	check_string(buf, "    ", "format: has its first blanks");
	check_number((long long)format(buf, 1, "%s", "x"), 0, "format: a buffer of one byte");
	check_string(buf, "", "format: holds the empty string");
}

static void test_print(void)
{
	char buf[16];

	check_string(print_time(buf, 0), "0s", "print_time 0");
	check_string(print_time(buf, 59999), "59s", "print_time 59.999 s");
	check_string(print_time(buf, 60000), "1m00s", "print_time 1 min");
	check_string(print_time(buf, 3599999), "59m59s", "print_time 1 h less a moment");
	check_string(print_time(buf, 3600000), "1h00m", "print_time 1 h");
	check_string(print_time(buf, 86400000), "1d00h", "print_time 1 day");
	check_string(print_time(buf, 86400000ULL * 5000), "5000d00h", "print_time 5000 days");
	check_string(print_size(buf, 0), "0.0M", "print_size 0");
	check_string(print_size(buf, 1 << 20), "1.0M", "print_size 1 MiB");
	check_string(print_size(buf, 3ULL << 40), "3145728.0M", "print_size 3 TiB");
}

/* -- log -- */

static int journal_pipe[2];

static void test_log_line(void)
{
	static const struct {
		const char *said, *shown, *what;
	} cases[] = {
		{ "plain text, 100%", "plain text, 100%", "plain text" },
		{ "", "", "an empty line" },
		{ "a\tb", "a\tb", "a tab stays" },
		{ "a\nweb: b", "a?web: b", "a newline can't begin a line of another name" },
		{ "a\rb", "a?b", "a carriage return" },
		{ "\033[2J\033]0;x\a", "?[2J?]0;x?", "escape sequences" },
		{ "\x7f\x01\x1f", "???", "control characters" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "UTF-8 of two bytes" },
		{ "\xe2\x82\xac", "\xe2\x82\xac", "UTF-8 of three bytes" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80", "UTF-8 of four bytes" },
		{ "\xc4\x9b\xe2\x9c\x93", "\xc4\x9b\xe2\x9c\x93",
		  "UTF-8 whose tail is in the range of C1" },
		{ "\x9b"
		  "31m",
		  "?31m", "a bare C1 control" },
		{ "\xc2\x9b"
		  "31m",
		  "??31m", "a C1 control in UTF-8" },
		{ "\xa0\x9b"
		  "31m",
		  "??31m", "a C1 control behind a tail byte" },
		{ "\xc3\xa9\x9b"
		  "31m",
		  "\xc3\xa9?31m", "a C1 control behind a letter" },
		{ "\xff\xfe", "??", "bytes that UTF-8 never has" },
		{ "\xc3", "?", "UTF-8 that is cut short" },
		{ "\xe2\x82(",
		  "?"
		  "?(",
		  "UTF-8 that breaks off" },
		{ "\xc0\x9b", "??", "an overlong form" },
		{ "\xed\xa0\x80", "???", "a surrogate" },
	};
	char got[1024], want[128];

	for (int i = 0; i < LEN(cases); i++) {
		log_line("web", cases[i].said, strlen(cases[i].said));
		ssize_t n = read(journal_pipe[0], got, sizeof got);
		size_t size = format(want, sizeof want, "web: %s\n", cases[i].shown);
		check_bytes(got, n < 0 ? 0 : (size_t)n, want, size, cases[i].what);
	}
}

static void test_log_limits(void)
{
	static char many[8192];
	char got[8192];

	memset(many, 'x', sizeof many);
	log_line("web", many, sizeof many);
	ssize_t n = read(journal_pipe[0], got, sizeof got);
	check(n > 400 && n <= 512 && got[n - 1] == '\n', "a very long line is cut, and ends");
	log_line("web", "a\0b", 3);
	n = read(journal_pipe[0], got, sizeof got);
	check_bytes(got, (size_t)n, "web: a?b\n", 9, "a NUL");
	journal.kmsg = 1;
	log_line("web", "x", 1);
	n = read(journal_pipe[0], got, sizeof got);
	check_bytes(got, (size_t)n, "<6>web: x\n", 10, "the kernel's log gets a priority");
	journal.kmsg = 0;

	while (write(journal_pipe[1], many, sizeof many) > 0)
		;
	while (write(journal_pipe[1], many, 1) > 0)
		;
	log_line("web", "one", 3);
	log_line("web", "two", 3);
	check_number(journal.lost, 2, "lines that the journal does not take are counted");
	while (read(journal_pipe[0], got, sizeof got) > 0)
		;
	log_line("web", "three", 5);
	n = read(journal_pipe[0], got, sizeof got - 1);
	got[n < 0 ? 0 : n] = '\0';
	check(!strncmp(got, "web: three\n", 11) && strstr(got, "2 lines"),
	      "and the number is told when there is room");
	check_number(journal.lost, 0, "and then forgotten");
}

/* -- ring -- */

static struct ring ring;

static void ring_put(const char *s, size_t n)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) || write(fd[1], s, n) != (ssize_t)n)
		check(0, "a pipe for the ring");
	close(fd[1]);
	while (ring_fill(&ring, fd[0]) > 0)
		;
	close(fd[0]);
}

/* All that a reader finds from *at on. */
static size_t ring_get(u64 *at, char *to)
{
	const char *bytes;
	size_t n, size = 0;

	while ((n = ring_peek(&ring, at, &bytes))) {
		memcpy(to + size, bytes, n);
		size += n;
		*at += n;
	}
	return size;
}

static void test_ring(void)
{
	char got[2 * LOG_SIZE], big[3 * LOG_SIZE];
	u64 at = 0, late = 0;

	ring = (struct ring){ 0 };
	check_number((long long)ring_get(&at, got), 0, "an empty ring has nothing");
	ring_put("one\n", 4);
	check_bytes(got, ring_get(&at, got), "one\n", 4, "a reader gets what was written");
	ring_put("two\n", 4);
	check_bytes(got, ring_get(&at, got), "two\n", 4, "and then what is new");
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)('a' + i % 23);
	ring_put(big, LOG_SIZE - 8);
	check_number((long long)ring_get(&late, got), LOG_SIZE,
		     "a full ring is readable from its start");
	check_bytes(got, 8, "one\ntwo\n", 8, "with its first byte");
	ring_put(big, 10);
	at = 0;
	size_t n = ring_get(&at, got);
	check(n == LOG_SIZE && !memcmp(got + n - 10, big, 10),
	      "a reader that came too late gets the latest");
	check_number((long long)at, LOG_SIZE + 10, "and is at the end");
	check_bytes(got, ring_get(&late, got), big, 10, "one that followed gets only what is new");
	ring_put(big, sizeof big);
	at = 5;
	n = ring_get(&at, got);
	check(n == LOG_SIZE && !memcmp(got, big + sizeof big - LOG_SIZE, LOG_SIZE),
	      "a flood leaves its end");
	late = ring.end;
	check_number((long long)ring_get(&late, got), 0, "who is at the end gets nothing");
}

static void check_shown(const char *want, const char *what)
{
	char got[8192];

	ring_show(&ring, "web");
	ssize_t n = read(journal_pipe[0], got, sizeof got);
	check_bytes(got, n < 0 ? 0 : (size_t)n, want, strlen(want), what);
}

static void test_ring_show(void)
{
	char many[2 * LOG_SIZE], got[8192];

	ring = (struct ring){ 0 };
	ring_put("one\ntwo\nthr", 11);
	check_shown("web: one\nweb: two\n", "whole lines are shown, the rest waits");
	check_shown("", "and nothing twice");
	ring_put("ee\n\n", 4);
	check_shown("web: three\nweb: \n", "the rest of a line, and an empty one");
	memset(many, 'x', sizeof many);
	ring_put(many, 900);
	ring_show(&ring, "web");
	ssize_t n = read(journal_pipe[0], got, sizeof got);
	check(n > 800 && n < 920, "a line that does not end is shown in pieces");
	ring_put("\n", 1);
	ring_show(&ring, "web");
	n = read(journal_pipe[0], got, sizeof got);
	check(n > 0 && got[n - 1] == '\n', "and its end");
	ring_put(many, sizeof many);
	ring_put("\nlast\n", 6);
	ring_show(&ring, "web");
	n = read(journal_pipe[0], got, sizeof got);
	check(n > 11 && !memcmp(got + n - 10, "web: last\n", 10),
	      "a flood that overtakes loses its start only");
	check(ring.shown == ring.end, "and all is shown");
	journal.quiet = 1;
	ring_put("secret\n", 7);
	check_shown("", "launcher.log=none shows nothing");
	journal.quiet = 0;
	check_shown("", "neither later");
}

/* -- files -- */

static void test_paths(void)
{
	static const struct {
		const char *path;
		int flags, error;
		const char *what;
	} cases[] = {
		{ "a/b/file", O_RDONLY, 0, "a file" },
		{ "/a//b/./file", O_RDONLY, 0, "slashes and dots do no harm" },
		{ "a/b/", O_RDONLY | O_DIRECTORY, 0, "a slash at the end" },
		{ "", O_RDONLY | O_DIRECTORY, 0, "nothing is the directory itself" },
		{ ".", O_RDONLY | O_DIRECTORY, 0, "and so is a dot" },
		{ "a/none", O_RDONLY, ENOENT, "what is not there" },
		{ "a/b/file/x", O_RDONLY, ENOTDIR, "a file is no directory" },
		{ "a/link", O_RDONLY, ELOOP, "a link is not followed" },
		{ "a/link", O_PATH, ELOOP, "nor opened itself" },
		{ "a/away/file", O_RDONLY, ENOTDIR, "a link to a directory is not walked" },
		{ "a/away", O_RDONLY | O_DIRECTORY, ENOTDIR, "nor opened as one" },
		{ "a/root/etc", O_RDONLY, ENOTDIR, "a link to / is not walked" },
		{ "..", O_RDONLY | O_DIRECTORY, EXDEV, ".. is refused" },
		{ "a/../a", O_RDONLY | O_DIRECTORY, EXDEV, ".. in the middle is refused" },
		{ "a/b/..", O_PATH, EXDEV, ".. at the end is refused" },
	};

	check(!path_mkdir(top, "a/b") && !path_mkdir(top, "/a//b/"),
	      "path_mkdir: makes a path, twice");
	close(openat(top, "a/b/file", O_WRONLY | O_CREAT, 0600));
	if (symlinkat("b/file", top, "a/link") || symlinkat("b", top, "a/away") ||
	    symlinkat("/", top, "a/root"))
		check(0, "links for the paths");
	for (int i = 0; i < LEN(cases); i++) {
		int fd = path_open(top, cases[i].path, cases[i].flags);
		check_number(fd < 0 ? -fd : 0, cases[i].error, cases[i].what);
		if (fd >= 0)
			close(fd);
	}
	check(path_mkdir(top, "a/away/new") < 0, "path_mkdir: through a link");
	check(path_mkdir(top, "a/link/new") < 0, "path_mkdir: through a link to a file");
	check(path_mkdir(top, "a/b/file/new") < 0, "path_mkdir: below a file");
	check(path_mkdir(top, "a/../../new") < 0, "path_mkdir: ..");
	check(!path_mkdir(top, "a/b/file") && !path_mkdir(top, "a/link") && !path_mkdir(top, "a/away/"),
	      "path_mkdir: what exists is left");
	check(faccessat(top, "a/b/new", F_OK, 0), "and none of them has made anything");
}

static void test_long_names(void)
{
	static char path[PATH_MAX + 16];

	memset(path, 'n', sizeof path - 1);
	path[NAME_MAX] = '\0';
	check(!path_mkdir(top, path), "path_mkdir: a name of 255 bytes");
	int fd = path_open(top, path, O_RDONLY | O_DIRECTORY);
	check(fd >= 0, "path_open: a name of 255 bytes");
	close(fd);
	path[NAME_MAX] = 'n';
	path[NAME_MAX + 1] = '\0';
	check_number(path_open(top, path, O_PATH), -ENAMETOOLONG, "path_open: a name of 256 bytes");
	check(path_mkdir(top, path) < 0, "path_mkdir: a name of 256 bytes");
	path[NAME_MAX + 1] = 'n';
	path[sizeof path - 1] = '\0';
	check_number(path_open(top, path, O_PATH), -ENAMETOOLONG,
		     "path_open: longer than any path");
	check(path_mkdir(top, path) < 0, "path_mkdir: longer than any path");
}

static void make_file_of(const char *name, const char *text)
{
	int fd = openat(top, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		check(0, "a file with a text");
	close(fd);
}

static void test_files(void)
{
	char buf[8];

	make_file_of("text", "0123456789");
	check_number(file_read(top, "text", buf, sizeof buf), 7, "file_read stops at the size");
	check_string(buf, "0123456", "and terminates");
	check_number(file_read(top, "none", buf, sizeof buf), -ENOENT, "file_read: no file");
	check_string(buf, "", "leaves nothing");
	check_number(file_write(top, "text", "abc"), 0, "file_write");
	check_number(file_write(top, "none", "abc"), -ENOENT, "file_write makes no file");
	check(word_in("memory pids cpu", "memory") && word_in("memory pids cpu", "pids") &&
		  word_in("memory pids cpu\n", "cpu") && word_in("a,b", "b"),
	      "word_in finds words");
	check(!word_in("cpuset cpuacct", "cpu") && !word_in("mycpu", "cpu") &&
		  !word_in("", "cpu") && !word_in("cpucpu", "cpu"),
	      "word_in: a part of a word is none");
	check(word_in("cpuset cpu", "cpu") && word_in("xcpu,cpu", "cpu"),
	      "word_in goes on after a part");
}

static void test_tree_empty(void)
{
	int dir = openat(top, ".", O_RDONLY | O_DIRECTORY), made = 0;

	for (; made < 3000; made++) {
		if (mkdirat(dir, "deep", 0700) || symlinkat("/", dir, "link"))
			break;
		int next = openat(dir, "deep", O_RDONLY | O_DIRECTORY);
		close(openat(next, "file", O_WRONLY | O_CREAT, 0));
		close(dir);
		dir = next;
	}
	close(dir);
	check_number(made, 3000, "a tree of 3000 levels");
	tree_empty(openat(top, ".", O_RDONLY | O_DIRECTORY));
	check_number(fcntl(top, F_GETFD) < 0, 0, "tree_empty closes only what it was given");
	dir = openat(top, ".", O_RDONLY | O_DIRECTORY);
	check_number(dir_each(dir, tree_remove_entry), 0, "tree_empty leaves nothing");
	close(dir);
	check(!faccessat(AT_FDCWD, "/tmp", F_OK, 0), "and follows no link");
}

/* -- tar -- */


static void test_tar_number(void)
{
	static const struct {
		const char *field;
		int size;
		long long want;
		int bad;
	} cases[] = {
		{ "0000644", 8, 0644, 0 },
		{ "644 \0\0\0", 8, 0644, 0 },
		{ "    644", 8, 0644, 0 },
		{ "77777777", 8, 077777777, 0 },
		{ "777777777777", 12, 0777777777777, 0 },
		{ "\0\0\0\0\0\0\0", 8, 0, 0 },
		{ "       ", 8, 0, 0 },
		{ "0000648", 8, 0, 1 },
		{ "0x00644", 8, 0, 1 },
		{ "-000644", 8, 0, 1 },
		{ "644 644", 8, 0, 1 },
		{ "644\0007\0\0", 8, 0, 1 },
		{ "garbage", 8, 0, 1 },
		{ "\x80\0\0\0\0\0\x01\x00", 8, 256, 0 },
		{ "\xff\xff\xff\xff\xff\xff\xff\xfe", 8, -2, 0 },
		{ "\x80\0\0\0\0\0\0\0\0\0\0\x05", 12, 5, 0 },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, -1, 0 },
		{ "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, INT64_MAX, 0 },
		{ "\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12, INT64_MIN, 0 },
		{ "\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, 0, 1 },
		{ "\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 12, 0, 1 },
		{ "\x80\0\0\x01\0\0\0\0\0\0\0\0", 12, 0, 1 },
		{ "\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, 0, 1 },
	};
	i64 n;

	for (int i = 0; i < LEN(cases); i++) {
		int failed = tar_number((const uint8_t *)cases[i].field, cases[i].size, &n);
		const char *field = tap_quoted(cases[i].field, (size_t)cases[i].size);
		check(!!failed == cases[i].bad && (failed || n == cases[i].want),
		      "tar_number \"%s\"", field);
	}
}

static void test_tar_clean(void)
{
	static const struct {
		const char *path, *want; /* NULL: refused */
	} cases[] = {
		{ "a", "a" },
		{ "a/b", "a/b" },
		{ "./a/b", "a/b" },
		{ "/a/b", "a/b" },
		{ "a//b/", "a/b" },
		{ "a/./b/.", "a/b" },
		{ ".", "" },
		{ "./", "" },
		{ "/", "" },
		{ "", "" },
		{ "...", "..." },
		{ "a..b", "a..b" },
		{ "..", NULL },
		{ "../a", NULL },
		{ "a/..", NULL },
		{ "a/../b", NULL },
		{ "/..", NULL },
		{ "./../a", NULL },
		{ "..a", "..a" },
		{ "a/..b/c", "a/..b/c" },
		{ "a/b/../..", NULL },
		{ ".../..", NULL },
		{ "\xff\n\033", "\xff\n\033" },
	};
	char path[PATH_MAX];
	struct tar t = { .m = &image };

	for (int i = 0; i < LEN(cases); i++) {
		format(path, sizeof path, "%s", cases[i].path);
		int failed = tar_clean(&t, path);
		check(cases[i].want ? !failed && !strcmp(path, cases[i].want) : failed == -EBADMSG,
		      "tar_clean \"%s\"", tap_quoted(cases[i].path, strlen(cases[i].path)));
	}
	memset(path, 'n', sizeof path);
	path[NAME_MAX] = '\0';
	check(!tar_clean(&t, path) && strlen(path) == NAME_MAX, "tar_clean: a name of 255 bytes");
	path[NAME_MAX] = 'n';
	path[NAME_MAX + 1] = '\0';
	check_number(tar_clean(&t, path), -EBADMSG, "tar_clean: a name of 256 bytes");
}

static void test_pax_next(void)
{
#define RECORDS(s) s, sizeof s - 1
	static const struct {
		const char *text;
		size_t size;
		int records;             /* -1: malformed */
		const char *key, *value; /* of the last one */
	} cases[] = {
		{ RECORDS(""), 0, "", "" },
		{ RECORDS("6 a=b\n"), 1, "a", "b" },
		{ RECORDS("5 a=\n"), 1, "a", "" },
		{ RECORDS("6 a=b\n9 cd=efg\n"), 2, "cd", "efg" },
		{ RECORDS("6 a=b\n10 cd=efg\n"), 2, "cd", "efg" },
		{ RECORDS("10 a=b=\nc\n"), 1, "a", "b=\nc" },
		{ RECORDS("11 path=\xff\xfe\n"), 1, "path", "\xff\xfe" },
		{ RECORDS("6 a=b\n11 cd=efg\n"), -1, NULL, NULL },
		{ RECORDS("0 a=b\n"), -1, NULL, NULL },
		{ RECORDS("5 a=b\n"), -1, NULL, NULL },
		{ RECORDS("7 a=b\n"), -1, NULL, NULL },
		{ RECORDS("7 a=b\n\n"), 1, "a", "b\n" },
		{ RECORDS("6 a=b "), -1, NULL, NULL },
		{ RECORDS("6 a=b"), -1, NULL, NULL },
		{ RECORDS("6 abc\n"), -1, NULL, NULL },
		{ RECORDS("6 =ab\n"), -1, NULL, NULL },
		{ RECORDS("4 =\n"), -1, NULL, NULL },
		{ RECORDS("3 \n"), -1, NULL, NULL },
		{ RECORDS("2 "), -1, NULL, NULL },
		{ RECORDS("1"), -1, NULL, NULL },
		{ RECORDS("\n"), -1, NULL, NULL },
		{ RECORDS(" 7 a=b\n"), -1, NULL, NULL },
		{ RECORDS("6\ta=b\n"), -1, NULL, NULL },
		{ RECORDS("-6 a=b\n"), -1, NULL, NULL },
		{ RECORDS("+7 a=b\n"), -1, NULL, NULL },
		{ RECORDS("0x6 a=b\n"), -1, NULL, NULL },
		{ RECORDS("99999 a=b\n"), -1, NULL, NULL },
		{ RECORDS("999999999999999999999999 a=b\n"), -1, NULL, NULL },
		{ RECORDS("4294967302 a=b\n"), -1, NULL, NULL },
		{ RECORDS("18446744073709551622 a=b\n"), -1, NULL, NULL },
		{ RECORDS("6 a=b\n\0\0"), -1, NULL, NULL },
	};
	struct tar *t = &tar;

	for (int i = 0; i < LEN(cases); i++) {
		struct pax_record r = { .key = "", .value = "" };
		size_t at = 0;
		int got, records = 0;
		*t = (struct tar){ .m = &image, .pax_size = cases[i].size };
		memcpy(t->pax, cases[i].text, cases[i].size);
		while ((got = pax_next(t, &at, &r)) > 0)
			records++;
		int right = (got < 0 ? -1 : records) == cases[i].records;
		if (right && got == 0)
			right = !strncmp(r.key, cases[i].key, strlen(cases[i].key)) &&
				(!records || r.key + strlen(cases[i].key) == r.value - 1) &&
				r.size == strlen(cases[i].value) &&
				!memcmp(r.value, cases[i].value, r.size);
		check(right, "pax_next \"%s\"", tap_quoted(cases[i].text, cases[i].size));
	}
}

/* -- the policy, as it reaches a container -- */

/* Somebody else makes the file, before and while it is waited for; and nobody does. */
static void test_wait(void)
{
	char path[300];
	struct timespec moment = { .tv_nsec = 50000000 };

	format(path, sizeof path, "%s/late", place);
	for (int turn = 0; turn < 2; turn++) {
		pid_t pid = fork();
		if (!pid) {
			if (turn)
				nanosleep(&moment, NULL);
			close(open(path, O_CREAT | O_WRONLY, 0600));
			leave(0);
		}
		if (!turn)
			waitpid(pid, NULL, 0);
		path_wait(path, 60000);
		check(!access(path, F_OK), "a file that %s is waited for", turn ? "comes" : "is there");
		if (turn)
			waitpid(pid, NULL, 0);
		unlink(path);
	}
	fake.time = 1000;
	path_wait(path, 0);
	check(access(path, F_OK) != 0, "a file that does not come is not waited for without end");
}

/* -- trust -- */

static void test_versions(void)
{
	static const char *const rising[] = { "0", "0.0.1", "0.1", "1", "1.1", "1.2", "1.9", "1.10",
					      "1.10.1", "2", "10", "999999999" };

	for (int a = 0; a < LEN(rising); a++)
		for (int b = 0; b < LEN(rising); b++) {
			int got = version_compare(rising[a], rising[b]);
			check((got > 0) - (got < 0) == (a > b) - (a < b), "version %s and %s: %d",
			      rising[a], rising[b], got);
		}
	check(!version_compare("1", "1.0.0"), "version 1 is 1.0.0");
	check(version_compare("6.1.0-50-cloud", "6.1") == 0, "version: what follows a - does not count");
	check(version_compare("6.1.0-50-cloud", "6.2") < 0, "version: 6.1.0-50-cloud is less than 6.2");
	check(version_compare("", "1") < 0, "version: none is less than any");
}

static void test_base64(void)
{
	static const struct {
		const char *text, *bytes;
		size_t size;
		int good;
	} rows[] = {
		{ "", "", 0, YES },
		{ "QQ==", "A", 1, YES },
		{ "QUI=", "AB", 2, YES },
		{ "QUJD", "ABC", 3, YES },
		{ "+/+/", "\xfb\xff\xbf", 3, YES },
		{ "QR==", "A", 1, NO }, /* bits that count for nothing */
		{ "QUJ=", "AB", 2, NO },
		{ "QQ=A", "A", 1, NO },
		{ "QQ", "A", 1, NO },
		{ "QQ===", "A", 1, NO },
		{ "Q===", "A", 1, NO },
		{ "QU D", "ABC", 3, NO },
		{ "QUJD", "AB", 2, NO },
		{ "QUI=", "ABC", 3, NO },
		{ "QU-D", "ABC", 3, NO },
	};

	for (int i = 0; i < LEN(rows); i++) {
		uint8_t got[4] = { 0 };
		int failed = base64(rows[i].text, strlen(rows[i].text), got, rows[i].size);
		check(failed == (rows[i].good ? 0 : -EINVAL), "base64 %s as %d bytes", rows[i].text, (int)rows[i].size);
		if (!failed)
			check(!memcmp(got, rows[i].bytes, rows[i].size), "base64 %s: the bytes", rows[i].text);
	}
}

/* -- the filter for system calls: its program, run as the kernel would run it -- */

enum { NO_ANSWER = 0x7eadbeef }; /* of a program that the kernel would refuse */

static struct {
	unsigned steps, most; /* of one run, and of the longest */
} machine;

/* classic BPF, as far as the filter speaks it */
static unsigned filter_run(const struct seccomp_data *data)
{
	const uint32_t *words = (const uint32_t *)(const void *)data;
	uint32_t a = 0;

	machine.steps = 0;
	for (unsigned at = 0; at < filter.n; at++) {
		const struct sock_filter *op = &filter.code[at];
		int yes = 0;
		machine.steps++;
		machine.most = machine.steps > machine.most ? machine.steps : machine.most;
		switch (op->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (op->k % 4 || op->k >= sizeof *data)
				return NO_ANSWER;
			a = words[op->k / 4];
			continue;
		case BPF_RET | BPF_K: return op->k;
		case BPF_JMP | BPF_JA: at += op->k; continue;
		case BPF_JMP | BPF_JEQ | BPF_K: yes = a == op->k; break;
		case BPF_JMP | BPF_JGE | BPF_K: yes = a >= op->k; break;
		case BPF_JMP | BPF_JGT | BPF_K: yes = a > op->k; break;
		case BPF_JMP | BPF_JSET | BPF_K: yes = !!(a & op->k); break;
		default: return NO_ANSWER;
		}
		at += yes ? op->jt : op->jf;
	}
	return NO_ANSWER;
}

static int calls_have(const char *calls, unsigned nr)
{
	for (const char *p = calls; *p; p += strcspn(p, " "), p += *p == ' ')
		if (*p >= '0' && *p <= '9' && strtoul(p, NULL, 10) == nr)
			return YES;
	return NO;
}

/* On arm everybody has these: libc makes them to flush caches and to set the thread's pointer. */
static int call_private(unsigned nr)
{
	return PRIVATE_CALLS != UINT32_MAX && nr >= PRIVATE_CALLS && nr - PRIVATE_CALLS <= 5;
}

/* What the tables say of a call, read as they are written. */
static unsigned groups_say(unsigned may, const struct seccomp_data *d)
{
	static unsigned last; /* the highest number that a group has */
	unsigned nr = (unsigned)d->nr;
	int allowed = NO;

	if (call_private(nr))
		return SECCOMP_RET_ALLOW;
	for (unsigned n = 1024; !last && n--;)
		for (int i = 0; !last && i < LEN(call_groups); i++)
			last = calls_have(call_groups[i].calls, n) ? n : 0;
	if (nr > last || nr == SYS_clone3)
		return ANSWER(ENOSYS);
	for (int i = 0; i < LEN(call_groups); i++)
		allowed |= calls_have(call_groups[i].calls, nr) &&
			   (!call_groups[i].may || call_groups[i].may & may);
	if (!allowed)
		return ANSWER(EPERM);
	int tested = NO;
	for (int i = 0; i < LEN(call_tests); i++) {
		const struct call_test *t = &call_tests[i];
		uint32_t value = (uint32_t)d->args[t->argument];
		if (t->call != nr)
			continue;
		tested = YES;
		if ((!t->may || t->may & may) && (t->how == BPF_JSET  ? !!(value & t->value)
						  : t->how == BPF_JEQ ? value == t->value
								      : value >= t->value))
			return t->answer;
	}
	return tested ? NO_ANSWER : SECCOMP_RET_ALLOW;
}

static int calls_tested(unsigned nr)
{
	int tested = NO;

	for (int i = 0; i < LEN(call_tests); i++)
		tested |= call_tests[i].call == nr;
	return tested;
}

/* The kernel takes the program: its jumps stay inside, and every way ends with an answer. */
static int filter_sound(void)
{
	for (unsigned i = 0; i < filter.n; i++) {
		const struct sock_filter *op = &filter.code[i];
		int jumps = BPF_CLASS(op->code) == BPF_JMP;
		if (jumps && (i + 1 + op->jt >= filter.n || i + 1 + op->jf >= filter.n))
			return NO;
	}
	return filter.n > 0 && filter.n <= BPF_MAXINSNS &&
	       BPF_CLASS(filter.code[filter.n - 1].code) == BPF_RET;
}

/* Numbers that are looked at: all near those of calls, and some that no machine has. */
static unsigned number_at(unsigned i)
{
	static const unsigned strange[] = { 4096, 65535, 0x0f0000, 0x0f0001, 0x0f0002, 0x0f0005, 0x0f0006,
					    0x0f0007, 0x40000000, 0x40000001, 0x40000038, 0x7fffffff,
					    0x80000000, UINT32_MAX - 1, UINT32_MAX };

	return i < 1024 ? i : i < 1024 + LEN(strange) ? strange[i - 1024] : 1024;
}

/* Compares the program with what `says` of each call. Returns how many calls differ. */
static int filter_differs(unsigned (*says)(unsigned, const struct seccomp_data *), unsigned may)
{
	static const uint32_t values[] = { 0, 1, 2, 3, 9, 10, 16, 17, 40, 0x11, 0x5412, 0x541c, 0x5423, 0x00020000, 0x02000000,
					   0x10000000, 0x40000000, 0x80000000, UINT32_MAX };
	struct seccomp_data d = { .arch = OUR_AUDIT_ARCH };
	int differ = 0;

	for (unsigned i = 0; number_at(i) != 1024; i++) {
		unsigned different = 0;
		d.nr = (int)number_at(i);
		for (int turn = 0; turn < LEN(values) * LEN(values) * 2; turn++) {
			uint32_t value = values[turn % LEN(values)];
			uint32_t other = values[turn / LEN(values) % LEN(values)];
			u64 high = turn & 1 ? 0xffffffff00000000 : 0; /* the kernel does not look there */
			for (int k = 0; k < 6; k++)
				d.args[k] = high | (k == turn / (LEN(values) * LEN(values)) ? value : other);
			different |= filter_run(&d) != says(may, &d);
			if (turn && !calls_tested((unsigned)d.nr))
				break;
		}
		if (different && differ++ < 5)
			tap_note("call %u: 0x%x, and it should be 0x%x", (unsigned)d.nr, filter_run(&d), says(may, &d));
	}
	return differ;
}

static unsigned list_says(const char *calls, unsigned nr)
{
	return call_private(nr) || calls_have(calls, nr) ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS;
}

static unsigned worker_says(unsigned may, const struct seccomp_data *d)
{
	(void)may;
	return list_says(unpack_calls, (unsigned)d->nr);
}

static void filter_checks(const char *what, unsigned may, int failed,
			  unsigned (*says)(unsigned, const struct seccomp_data *))
{
	static const uint32_t others[] = { 0, UINT32_MAX, OUR_AUDIT_ARCH ^ 1, OUR_AUDIT_ARCH ^ 0x40000000,
					   OUR_AUDIT_ARCH ^ 0x80000000, AUDIT_ARCH_I386 };
	int killed = YES;

	machine.most = 0;
	check(!failed && filter_sound(), "filter: %s: the kernel would take it (%d)", what, failed);
	int differ = filter_differs(says, may);
	check(!differ, "filter: %s: it answers each call as the tables say (%d differ)", what, differ);
	for (int i = 0; i < LEN(others); i++)
		for (int nr = 0; nr < 512; nr++)
			killed &= filter_run(&(struct seccomp_data){ .arch = others[i], .nr = nr }) ==
				  SECCOMP_RET_KILL_PROCESS;
	check(killed, "filter: %s: calls of another architecture end the process", what);
	tap_note("filter: %s: %u instructions, %u of them for one call", what, filter.n, machine.most);
}

static void test_filter_programs(void)
{
	static const struct {
		const char *name;
		unsigned may;
	} rows[] = {
		{ "DEFAULT", DEFAULT }, { "FILES", FILES }, { "PROCESSES", PROCESSES }, { "THREADS", THREADS },
		{ "LOCAL", LOCAL }, { "INET", INET }, { "USERS", USERS }, { "IPC", IPC }, { "TRACE", TRACE },
		{ "SET_TIME", SET_TIME }, { "PACKET", PACKET }, { "ADMIN", ADMIN }, { "nothing", 0 },
		{ "LOCAL | PACKET", LOCAL | PACKET }, { "all", UINT32_MAX },
	};

	fake.no_filter = YES;
	for (int i = 0; i < LEN(rows); i++)
		filter_checks(rows[i].name, rows[i].may, filter_groups(rows[i].may), groups_say);
	filter_checks("a worker", 0, filter_only(unpack_calls), worker_says);
	fake.no_filter = NO;
}

/* What the filter of a worker does to a call that is not on the list. */
static void test_filter(void)
{
	int status = 0, none = 77;
	pid_t pid = fork();

	if (!pid) {
		if (filter_only(unpack_calls))
			leave(none);
		close(dup2(0, 99)); /* one that is not, another that is */
		leave(0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == none)
		tap_note("no filter for system calls here");
	else if (SECCOMP_RET_KILL_PROCESS == SECCOMP_RET_ALLOW)
		check(!status, "filter: a build with sanitizers has an open one");
	else
		check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
		      "filter: a call that is not on the list ends the process (%d)", status);
}

static void test_descriptors(int older)
{
	int status = 0;

	fake.no_close_range = older;
	pid_t pid = fork();

	if (!pid) {
		static const int keep[] = { 40, -1, 5, 200 };
		for (int fd = 3; fd < 220; fd++)
			dup2(0, fd);
		descriptors_keep(keep, LEN(keep));
		for (int fd = 0; fd < 256; fd++) {
			int kept = fd < 3 || fd == 40 || fd == 5 || fd == 200;
			if ((fcntl(fd, F_GETFD) >= 0) != kept)
				leave(fd + 1);
		}
		leave(0);
	}
	waitpid(pid, &status, 0);
	check(!status, "descriptors: those that are given stay, with stdio, and no others (%d)%s",
	      WEXITSTATUS(status) - 1, older ? ", without close_range" : "");
	fake.no_close_range = NO;
}

static void test_policy(void)
{
	check_number((long long)memory_max(&containers[ALWAYS_UP]), 2 << 20, "memory_max of a row");
	check_number((long long)memory_max(&containers[ONCE]), 4 << 20,
		     "memory_max: the default is 4 MiB");
	check_number((long long)root_size(&containers[SECOND]), 8 << 20,
		     "a shared root has room for the largest");
	check_number((long long)root_size(&containers[ALWAYS_UP]), 2 << 20,
		     "one's own root has the row's");
	check_number(image_users("shared.img"), 2, "image_users: two");
	check_number(image_users("own.img"), 1, "image_users: one");
}

/* What a row that asks for everything, and one that asks for nothing, become in both versions. */
static void test_knobs(void)
{
	static const struct io disk = { "/dev/x", 1, 2, 3, 4 };
	static const struct container all = {
		.memory = { MiB(8), MiB(7), MiB(6), MiB(5), MiB(4) },
		.cpu = { PERCENT(50), PERCENT(10), 50, YES, "0-1", "0" },
		.pids = 9,
		.io = { &disk, 5000 },
		.hugetlb = { "2MB", MiB(2) },
	};
	static const char *const wanted[][5] = { /* name; of all: v2, v1; of none: v2, v1 */
		{ "memory.max", "8388608", "8388608", "4194304", "4194304" },
		{ "memory.swap", "4194304", "12582912", "0", "4194304" },
		{ "memory.high", "7340032", "7340032", "-", "-" },
		{ "memory.low", "6291456", "6291456", "-", "-" },
		{ "memory.min", "5242880", "5242880", "-", "-" },
		{ "memory.oom.group", "1", "-", "1", "-" },
		{ "pids", "9", "9", "4", "4" },
		{ "cpu.max", "50000 100000", "50000", "10000 100000", "10000" },
		{ "cpu.burst", "10000", "10000", "-", "-" },
		{ "cpu.weight", "50", "512", "-", "-" },
		{ "cpu.idle", "1", "1", "-", "-" },
		{ "cpu.cpus", "0-1", "0-1", "-", "-" },
		{ "cpu.mems", "0", "0", "-", "-" },
		{ "io.max.rbps", "rbps=1", "1", "-", "-" },
		{ "io.max.wbps", "wbps=2", "2", "-", "-" },
		{ "io.max.riops", "riops=3", "3", "-", "-" },
		{ "io.max.wiops", "wiops=4", "4", "-", "-" },
		{ "io.weight", "5000", "5000", "-", "-" },
		{ "io.weight", "1000", "1000", "-", "-" },
		{ "hugetlb.max", "2097152", "2097152", "-", "-" },
	};
	static const struct container none;
	static const struct io nothing;
	char text[32], what[64];

	check_number(LEN(knobs), LEN(wanted), "there are as many knobs as here");
	for (int i = 0; i < LEN(wanted); i++) {
		const struct knob *k = &knobs[i];
		check_string(k->name, wanted[i][0], "the knob in this place");
		for (int j = 0; j < 4; j++) {
			const void *row = k->kind == A_DISK ? (const void *)(j < 2 ? &disk : &nothing)
							  : (j < 2 ? &all : &none);
			const char *asked = knob_asked(k, row, 2 - j % 2, text);
			format(what, sizeof what, "%s, asked %s, in v%d", k->name,
			       j < 2 ? "everything" : "nothing", 2 - j % 2);
			check_string(asked ? asked : "-", wanted[i][1 + j], what);
		}
	}
}

static void test_environment(void)
{
	static const char *const replaced[] = { "A=1", "HOME=/data", "PATHOLOGY=x", "TERMINAL",
						NULL };
	static const char *many[57];
	char all[512] = "";
	size_t n = 0;

	for (const char **e = environment(&(struct container){ .env = NULL }, NULL, NULL); *e; e++)
		n++;
	check_number((long long)n, 3, "environment: without an .env, three variables");
	n = 0;
	for (const char **e = environment(&(struct container){ .env = replaced }, NULL, NULL); *e; e++)
		n += format(all + n, sizeof all - n, "%.*s|", (int)strcspn(*e, ":"), *e);
	check_string(all, "A=1|HOME=/data|PATHOLOGY=x|TERMINAL|PATH=/usr/local/sbin|TERM=linux|",
		     "environment: a row replaces, adds, and does not match by prefix");
	n = 0;
	for (int i = 0; i < 56; i++)
		many[i] = "X=1";
	for (const char **e = environment(&(struct container){ .env = many }, NULL, NULL); *e; e++)
		n++;
	check_number((long long)n, 56 + 3, "environment: as many variables as the rules allow");
}

/* -- the kernel command line -- */

static void check_cmdline(const char *line, const char *only, const char *skip, const char *said,
			  const char *what)
{
	char path[512], got[512];

	format(path, sizeof path, "%s/cmdline", place);
	make_file_of("cmdline", line);
	fake.cmdline = path;
	host.only = host.skip = NULL;
	read_cmdline();
	fake.cmdline = NULL;
	ssize_t n = read(journal_pipe[0], got, sizeof got - 1);
	got[n < 0 ? 0 : n] = '\0';
	check(!strcmp(host.only ? host.only : "-", only) &&
		  !strcmp(host.skip ? host.skip : "-", skip) &&
		  (*said ? strstr(got, said) != NULL : !*got),
	      "command line: %s", what);
}

static void test_cmdline(void)
{
	static char many[9000];

	check_cmdline("", "-", "-", "", "empty");
	check_cmdline("console=ttyS0 quiet\n", "-", "-", "", "the kernel's own words");
	check_cmdline("launcher.only=a,b\n", "a,b", "-", "", "launcher.only");
	check_cmdline("x launcher.only=a y launcher.skip=b\n", "a", "b", "",
		      "two words among others");
	check_cmdline("launcher.only=\"a b\" z\n", "a b", "-", "", "quotes hold a word together");
	check_cmdline("\"launcher.only=a b\" z\n", "a b", "-", "", "quotes around all of it");
	check_cmdline("launcher.only=\"a", "a", "-", "", "a quote that does not end");
	check_cmdline("launcher.only=a launcher.only=b", "b", "-", "",
		      "the last one wins, without a newline");
	check_cmdline("launcher.only=", "", "-", "", "an empty value");
	check_cmdline("launcher.nonsense=1", "-", "-", "launcher.nonsense=1",
		      "a word of ours that means nothing is told");
	check_cmdline("launcher.only", "-", "-", "launcher.only", "and one without a value");
	check_cmdline("launcher.log=nowhere", "-", "-", "nowhere", "and a wrong value");
	check_cmdline("notlauncher.only=a xlauncher.skip=b", "-", "-", "",
		      "words that only look like ours");
	memset(many, 'x', sizeof many - 1);
	check_cmdline(many, "-", "-", "", "longer than our buffer");
	set_word("launcher.log=none");
	check(journal.quiet, "launcher.log=none");
	set_word("launcher.log=console");
	check(!journal.quiet, "launcher.log=console");
}

/* -- the life of an instance -- */

/* A cgroup of ordinary files: what is written can be read back. */
static void cgroup_fake(void)
{
	char file[128];

	mkdirat(top, "cgroup", 0700);
	for (int c = 0; c < NCONTROLLERS; c++) {
		cgroup.version[c] = c == NEED_DEVICES ? 1 : 2;
		cgroup.base[c] = openat(top, c == CG_V2 || c == NEED_DEVICES ? "cgroup" : "none",
					O_RDONLY | O_DIRECTORY);
	}
	for (int i = 0; i < NCONTAINERS; i++) {
		mkdirat(cgroup.base[CG_V2], containers[i].name, 0700);
		for (int k = 0; k < LEN(knobs); k++) {
			format(file, sizeof file, "cgroup/%s/%s", containers[i].name,
			       *knobs[k].v2 ? knobs[k].v2 : knobs[k].name);
			make_file_of(file, "");
		}
		format(file, sizeof file, "cgroup/%s/memory.events", containers[i].name);
		make_file_of(file, "oom_kill 0\n");
		format(file, sizeof file, "cgroup/%s/cgroup.freeze", containers[i].name);
		make_file_of(file, "");
		format(file, sizeof file, "cgroup/%s/devices.allow", containers[i].name);
		make_file_of(file, "");
		format(file, sizeof file, "cgroup/%s/devices.deny", containers[i].name);
		make_file_of(file, "");
	}
}

static void test_stats(void)
{
	static const struct {
		const char *file, *text;
		enum count count;
		long long want;
	} cases[] = {
		{ "memory.events", "low 1\noom_kill 27\n", STAT_OOM_KILLS, 27 },
		{ "memory.events", "oom_kill_disable 1\noom_kill 3", STAT_OOM_KILLS, 3 },
		{ "memory.events", "oom_kill_disable 1\n", STAT_OOM_KILLS, 0 },
		{ "memory.events", "oom_kill \n", STAT_OOM_KILLS, 0 },
		{ "memory.current", "4096\n", STAT_MEMORY, 4096 },
		{ "memory.max", "max\n", STAT_LIMIT, 0 },
		{ "io.stat", "8:0 rbytes=5 wbytes=6 rios=1\n8:16 rbytes=7 wbytes=8\n", STAT_BYTES_READ, 12 },
		{ "io.stat", "8:0 rbytes=5 wbytes=6 rios=1\n8:16 rbytes=7 wbytes=8\n", STAT_BYTES_WRITTEN, 14 },
		{ "cpu.stat", "usage_usec 77\nuser_usec 70\n", STAT_CPU_TIME, 77 },
		{ "memory.pressure", "some avg10=12.34 avg60=0.00\nfull avg10=1.00\n", STAT_PRESSURE, 12 },
		{ "memory.events", "oom_kill 0\n", STAT_OOM_KILLS, 0 },
	};
	char file[64];

	for (int i = 0; i < LEN(cases); i++) {
		format(file, sizeof file, "cgroup/%s/%s", containers[0].name, cases[i].file);
		make_file_of(file, cases[i].text);
		check_number((long long)cgroup_stat(containers[0].name, cases[i].count), cases[i].want, cases[i].file);
	}
	check_number((long long)cgroup_stat("none", STAT_MEMORY), 0, "no cgroup, no number");
}

static void task_ends(struct instance *i, int code, int status)
{
	static const struct rusage used = { .ru_utime = { .tv_usec = 1000 } };
	on_exit_of(i, &(siginfo_t){ .si_code = code, .si_status = status }, &used);
}

static void instances_reset(void)
{
	for (struct instance *i = instances; i < instances + NCONTAINERS; i++) {
		if (i->task.pid) {
			close(i->task.pidfd);
			close(i->task.report);
		}
		close_one(&i->orders);
		close_one(&i->line);
		*i = (struct instance){ .state = IS_DONE,
					.root = i->root,
					.log = { i->log[0], i->log[1] },
					.orders = -1, .line = -1, .notify = i->notify };
	}
	ending = 0;
	end_by = budget_at = 0;
	fake.no_process = fake.signal = 0;
	fake.time += 1000000;
}

/* What can happen to an instance; a letter of its own each, so that a history is a word. Is it possible now? */
static int step(struct instance *i, char letter)
{
	int possible = strchr("exf", letter) ? i->task.pid
		       : letter == 't'	     ? i->deadline != 0
		       : letter == 'l'	     ? i->look != 0
		       : letter == 'r'	     ? i->state == IS_STARTING || i->state == IS_UP
		       : letter == 'z'	     ? i->state == IS_UP
					     : 1;
	int started = fake.started, busy = i->task.pid && !strchr("xf", letter);
	enum state before = i->state;

	if (!possible)
		return NO;
	if (letter == 'S' || letter == 'P') {
		happen(i, letter == 'S' ? ON_START : ON_STOP);
	} else if (letter == 'g' ||
		   letter == 'n') { /* its turn; n: the kernel has no process for it */
		possible = i->state == IS_WAITING;
		fake.no_process = letter == 'n';
		settle();
		fake.no_process = NO;
	} else if (letter == 'e') {
		on_report(i);
	} else if (letter == 'x' || letter == 'f') { /* the task ends well, or fails */
		task_ends(i, letter == 'x' ? CLD_EXITED : CLD_KILLED, letter == 'x' ? 0 : SIGSEGV);
	} else if (letter == 't' || letter == 'l') { /* time passes; it is looked at */
		fake.time = letter == 't' ? i->deadline : i->look;
		i->look = letter == 't' ? 0 : i->look;
		expire();
	} else if (letter == 'r') {
		happen(i, ON_READY);
	} else if (letter == 'z') {
		set_paused(i, !i->paused);
	}
	if (fake.started != started && (busy || (before != IS_WAITING && before != IS_UNPACKING)))
		check(NO, "'%c' in the state %s starts a process", letter, state_names[before]);
	return possible;
}

/* What is true of an instance between two events; NULL, or what is wrong. */
static const char *wrong(const struct instance *i)
{
	const struct container *c = row_of(i);
	int active = i->state == IS_UNPACKING || i->state == IS_STARTING || i->state == IS_UP ||
		     i->state == IS_STOPPING;
	int timed = i->state == IS_STARTING || i->state == IS_STOPPING || i->state == IS_BACKING_OFF ||
		    i->state == IS_PARKED;
	int watched = c->health.every && i->state == IS_UP && !i->paused;

	if (!!i->task.pid != active)
		return active ? "a state without its task" : "a task without its state";
	if (i->root->unpacker == i && i->state != IS_UNPACKING && i->state != IS_STOPPING)
		return "unpacking in another state";
	if (timed && !i->deadline)
		return "it waits for a time that never comes";
	if (!timed && i->deadline)
		return "a deadline where nothing is waited for";
	if (watched != !!i->look && i->state != IS_STARTING)
		return watched ? "nobody looks whether it is well" : "looked at in a state that needs none";
	if ((i->orders >= 0 || i->line >= 0) && !i->task.pid)
		return "a connection to a container that is gone";
	if (i->paused && i->state != IS_UP)
		return "paused, and not up";
	if (i->sick && (i->state == IS_UP || i->state == IS_UNPACKING))
		return "it is up, and sick";
	if (i->state == IS_DONE && i->wanted)
		return "wanted, and given up";
	if (i->delay > (c->backoff.limit ? c->backoff.limit : 60000))
		return "a longer pause than the policy's limit";
	if ((i->state == IS_BACKING_OFF || i->state == IS_PARKED) && c->restart == NEVER)
		return "a restart against the policy";
	return NULL;
}

static int played; /* was the last step of what was played possible? */

static const char *play(struct instance *i, const char *history)
{
	const char *bad = NULL;

	instances_reset();
	for (played = YES; *history && !bad; history++) {
		played = step(i, *history);
		bad = wrong(i);
	}
	return bad;
}

/* From wherever a history has led: a stop leads to rest, a start to being up. */
static const char *ends_well(struct instance *i, const char *history)
{
	static const char onwards[NSTATES] = {
		[IS_WAITING] = 'g',  [IS_UNPACKING] = 'x', [IS_STARTING] = 'e',
		[IS_STOPPING] = 'x', [IS_BACKING_OFF] = 't',   [IS_PARKED] = 't', [IS_DONE] = 'S',
	};
	const char *bad = play(i, history);

	happen(i, ON_STOP);
	for (int n = 0; n < 3 && i->task.pid; n++) {
		fake.signal = 0;
		step(i, 't');
		if (fake.signal != SIGKILL && !bad)
			bad = "a stop that runs out of time does not kill";
	}
	step(i, 'f');
	if (i->state != IS_DONE && !bad)
		bad = "stopped, and not at rest";
	if (!bad)
		bad = play(i, history);
	happen(i, ON_START);
	for (int n = 0; n < 8 && !bad && i->state != IS_UP; n++) {
		step(i, i->sick && i->task.pid ? 'f' : onwards[i->state]);
		if (i->state == IS_STARTING && row_of(i)->ready && fake.started)
			step(i, 'r');
		bad = wrong(i);
	}
	return !bad && i->state != IS_UP ? "started, and not up" : bad;
}

static int histories;

static const char *walk(struct instance *i, char *history, int depth, int most)
{
	const char *bad = play(i, history);

	if (!played)
		return bad;
	histories++;
	if (!bad)
		bad = ends_well(i, history);
	for (const char *letter = row_of(i)->ready ? "SPgexftrlz" : "SPgnexft"; *letter && !bad && depth < most; letter++) {
		history[depth] = *letter;
		history[depth + 1] = '\0';
		bad = walk(i, history, depth + 1, most);
		if (!bad)
			history[depth] = '\0';
	}
	return bad;
}

static void test_walk(int row)
{
	char history[16] = "";
	const char *bad;
	int before = dup(0);

	close(before);
	histories = 0;
	bad = walk(&instances[row], history, 0, 6);
	if (!bad) { /* the same, of one that is up */
		format(history, sizeof history, "%s", containers[row].ready ? "Sgxer" : "Sgxe");
		bad = walk(&instances[row], history, (int)strlen(history), 8);
	}
	if (!check(!bad, "%s: histories of up to 8 events", containers[row].name))
		tap_note("%s after \"%s\"", bad, history);
	check(histories > 1000, "they were many");
	tap_note("%d histories", histories);
	instances_reset();
	int after = dup(0);
	close(after);
	check_number(after, before, "and no descriptor is left open");
}

static void check_state(int row, enum state state, const char *what)
{
	check_string(state_names[instances[row].state], state_names[state], what);
}

static void test_backoff(void)
{
	struct instance *i = &instances[ALWAYS_UP];
	static const unsigned delays[] = { 100, 200, 350, 350 };

	play(i, "SgxeS");
	check_state(ALWAYS_UP, IS_UP, "started, unpacked, up");
	for (int n = 0; n < LEN(delays); n++) {
		step(i, 'f');
		check_number((long long)(i->deadline - now()), delays[n],
			     "a crash doubles the pause, up to the limit");
		step(i, 't');
		step(i, 'g');
		step(i, 'e');
	}
	check_number(i->restarts, LEN(delays), "restarts are counted");
	fake.time += 1000;
	step(i, 'f');
	check_number((long long)(i->deadline - now()), 100,
		     "after being well for long the pause is short again");
	play(&instances[FIRST], "Sgxex");
	check_state(FIRST, IS_DONE, "ON_FAILURE: a success is not restarted");
	play(&instances[FIRST], "Sgxef");
	check_state(FIRST, IS_BACKING_OFF, "ON_FAILURE: a failure is");
	play(&instances[ONCE], "Sgxef");
	check_state(ONCE, IS_DONE, "NEVER: a failure is not restarted");
	play(i, "Sgxex");
	check_state(ALWAYS_UP, IS_BACKING_OFF, "ALWAYS: a success is restarted");
}

static void test_budget(void)
{
	struct instance *i = &instances[ALWAYS_UP];
	int tries = 0;

	play(i, "Sgxe");
	while (i->state != IS_PARKED && tries++ < 100)
		for (const char *letter = "ftge"; *letter && i->state != IS_PARKED; letter++)
			step(i, *letter);
	check_number(tries, 11, "a quarter of 40 restarts, and the last failure");
	check_number((long long)(i->deadline - now()), 300000, "then it rests");
	play(&instances[FIRST], "");
	budget_at = now() + 1000000;
	play(&instances[FIRST], "Sgxe");
	budget_at = now() + 1000000;
	step(&instances[FIRST], 'f');
	check_state(FIRST, IS_BACKING_OFF, "who fails first is tried again, whatever others have used");
	for (const char *letter = "tgef"; *letter; letter++)
		step(&instances[FIRST], *letter);
	check_state(FIRST, IS_PARKED, "but not twice");
	for (const char *letter = "tgef"; *letter; letter++)
		step(&instances[FIRST], *letter);
	check_state(FIRST, IS_PARKED, "one that was parked and fails again is parked again");
	budget_at = 0;
	for (const char *letter = "tge"; *letter; letter++)
		step(&instances[FIRST], *letter);
	fake.time += 60000;
	step(&instances[FIRST], 'f');
	check_state(FIRST, IS_BACKING_OFF, "one that was well for long begins anew");
}

static void test_health(void)
{
	struct instance *i = &instances[WATCHED];

	play(i, "Sgxe");
	check_state(WATCHED, IS_STARTING, "executed is not ready");
	step(i, 't');
	check_number(fake.signal, SIGKILL, "not ready in time: it is killed");
	step(i, 'f');
	check_state(WATCHED, IS_BACKING_OFF, "and has failed");
	check_string(i->note, "not ready in time", "and says why");
	play(i, "Sgxer");
	check_state(WATCHED, IS_UP, "ready is up");
	step(i, 'l');
	check_state(WATCHED, IS_STOPPING, "silence is an end");
	check_number(fake.signal, SIGTERM, "in order");
	step(i, 'x');
	check_state(WATCHED, IS_BACKING_OFF, "that counts as a failure");
	play(i, "SgxerlP");
	step(i, 'x');
	check_state(WATCHED, IS_DONE, "unless somebody stops it meanwhile");
}

static void test_stop(void)
{
	struct instance *i = &instances[ALWAYS_UP];

	play(i, "SgxeP");
	check_number(fake.signal, SIGTERM, "a stop asks with SIGTERM");
	check_number((long long)(i->deadline - now()), 5000, "and waits for 5 s");
	step(i, 't');
	check_number(fake.signal, SIGKILL, "then it kills");
	step(i, 'S');
	step(i, 'f');
	check_state(ALWAYS_UP, IS_WAITING, "a start while it stops starts it afterwards");
	play(&instances[ONCE], "SgxeP");
	check_number(fake.signal, SIGKILL, "a .stop.signal of the policy is the one sent");
	play(i, "SgP");
	check_number(fake.signal, SIGKILL, "an unpacker is killed");
	step(i, 'f');
	check_state(ALWAYS_UP, IS_DONE, "and that is the stop");
}

static void test_order(void)
{
	instances_reset();
	happen(&instances[SECOND], ON_START);
	settle();
	check_state(SECOND, IS_WAITING, "a row waits for those that it comes after");
	check(waits_for(&instances[SECOND]) == &instances[FIRST], "and can say for whom");
	happen(&instances[FIRST], ON_START);
	settle();
	step(&instances[FIRST], 'x');
	settle();
	check_state(SECOND, IS_WAITING, "also while the other is starting");
	step(&instances[FIRST], 'e');
	settle();
	check_state(SECOND, IS_STARTING, "then it starts, from the root that is unpacked already");
	step(&instances[SECOND], 'e');
	ending = 1;
	settle();
	check_state(FIRST, IS_UP, "at the end the row that is needed stays");
	check_state(SECOND, IS_STOPPING, "until the one that needs it has stopped");
	step(&instances[SECOND], 'x');
	settle();
	check_state(FIRST, IS_STOPPING, "then it stops too");
	step(&instances[FIRST], 'x');
	settle();
	check(all_done(), "and all is done");
	instances_reset();
}

static void test_due(void)
{
	instances_reset();
	check_number(next_due(0), -1, "an idle loop waits for ever");
	play(&instances[ALWAYS_UP], "Sgxef");
	check_number(next_due(0), 100, "a pause is waited for");
	fake.time += 1000;
	check_number(next_due(0), 0, "what is overdue is due now");
	check_number(next_due(now() - 1), 0, "so is the watchdog");
	instances[ALWAYS_UP].deadline = now() + (1ULL << 40);
	check_number(next_due(0), INT_MAX, "34 years are not a negative number");
	instances_reset();
}

/* -- the control socket -- */

/* Sends a packet as a client, serves it, and returns what comes back. */
static ssize_t converse(const void *packet, size_t size, struct reply *reply)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair))
		return -1;
	clients[0] = (struct client){ .fd = pair[0] };
	watch(EPOLL_CTL_ADD, pair[0], EPOLLIN, FROM_CLIENT, 0);
	if (send(pair[1], packet, size, MSG_NOSIGNAL) != (ssize_t)size)
		check(0, "a packet to the control socket");
	on_client(&clients[0]);
	serve_clients();
	ssize_t n = recv(pair[1], reply, sizeof *reply, 0);
	if (clients[0].fd)
		client_drop(&clients[0]);
	close(pair[1]);
	return n;
}

static void check_refused(struct request *request, int code, const char *sentence, const char *what)
{
	static struct reply reply;

	memset(&reply, 0, sizeof reply);
	ssize_t n = converse(request, sizeof *request, &reply);
	check(n > 0 && reply.kind == REPLY_END && reply.code == code &&
		  strstr(reply.bytes, sentence),
	      "%s", what);
}

/* Clients whose refusal finds no room, and would have to wait. */
static void ask_with_a_full_socket(void)
{
	static const struct request requests_refused[] = {
		{ .kind = (enum request_kind)1000 },
		{ .kind = ASK_LOGS, .name = "nobody" },
	};
	static const char bytes[1024];
	int pair[2];

	for (int i = 0; i < LEN(requests_refused); i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair))
			abort();
		while (send(pair[0], bytes, sizeof bytes, 0) > 0 || send(pair[0], bytes, 1, 0) > 0)
			;
		clients[0] = (struct client){ .fd = pair[0] };
		watch(EPOLL_CTL_ADD, pair[0], EPOLLIN, FROM_CLIENT, 0);
		if (send(pair[1], &requests_refused[i], sizeof requests_refused[i], 0) < 0)
			abort();
		on_client(&clients[0]);
		serve_clients();
	}
}

static void test_control(void)
{
	static struct reply reply;
	static const char long_packet[4096];
	struct request request = { .kind = ASK_PS };

	instances_reset();
	ssize_t n = converse(&request, sizeof request, &reply);
	check(n > 0 && reply.kind == REPLY_ROW && !strcmp(reply.row.name, "always-up"),
	      "ps answers with rows");
	check_refused(&(struct request){ .kind = (enum request_kind) - 1 }, EXIT_USAGE, "request",
		      "a negative request");
	check_refused(&(struct request){ .kind = ASK_SELF }, EXIT_USAGE, "request", "a request of no kind");
	check_refused(&(struct request){ .kind = (enum request_kind)99 }, EXIT_USAGE, "request",
		      "an unknown request");
	check_refused(&(struct request){ .kind = ASK_STOP }, 1, "no container",
		      "a request without a name");
	check_refused(&(struct request){ .kind = ASK_STOP, .name = "nobody" }, 1, "nobody",
		      "a name that nobody has");
	memset(request.name, 'x', sizeof request.name);
	request.kind = ASK_LOGS;
	check_refused(&request, 1, "no container", "a name without an end");
	check_number(converse("x", 1, &reply), 0, "a packet that is too short ends the talk");
	n = converse(long_packet, sizeof long_packet, &reply);
	check(!n || reply.code == EXIT_USAGE, "and one that is too long");
	check_survives(ask_with_a_full_socket, "a refusal that has to wait for room");
	instances_reset();
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");

	format(place, sizeof place, "%s/unit.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(place) || (top = open(place, O_RDONLY | O_DIRECTORY)) < 0 ||
	    pipe2(journal_pipe, O_NONBLOCK))
		return 1;
	umask(022);
	journal.fd = journal_pipe[1];
	test_format();
	test_format_full();
	test_print();
	test_log_line();
	test_log_limits();
	test_ring();
	test_ring_show();
	test_paths();
	test_long_names();
	test_files();
	test_tree_empty();
	test_tar_number();
	test_tar_clean();
	test_pax_next();
	test_wait();
	test_versions();
	test_base64();
	test_filter();
	test_filter_programs();
	test_descriptors(NO);
	test_descriptors(YES);
	test_policy();
	test_knobs();
	test_environment();
	test_cmdline();

	journal.fd = open("/dev/null", O_WRONLY);
	format(host.work, sizeof host.work, "%s", place);
	poller = epoll_create1(0);
	logs_open();
	host.only = "nobody";
	start_all();
	cgroup_fake();
	for (int row = 0; row < NCONTAINERS; row++)
		if (!containers[row].after)
			test_walk(row);
	test_stats();
	test_backoff();
	test_budget();
	test_health();
	test_stop();
	test_order();
	test_due();
	test_control();
	tree_empty(top);
	check(!rmdir(place), "nothing is left behind");
	return tap_end();
}
