/*
 * unit.c - tests of what launcher.c can do without a kernel's favour: text, paths, parsers, the
 * life of an instance. The file is included whole; time and the system calls that would start or
 * signal something are ours.
 */
#define _GNU_SOURCE
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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
	int no_port;         /* somebody else has it */
	int bound;           /* ports so far */
	struct sockaddr_in6 at[2]; /* the latest of them, by their parity */
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

/* No port of the machine is taken: who listens without one gets any that is free. */
static int fake_bind(int fd, const struct sockaddr *at, socklen_t n)
{
	if (at->sa_family == AF_UNIX)
		return bind(fd, at, n);
	memcpy(&fake.at[fake.bound++ % 2], at, n);
	errno = EADDRINUSE;
	return fake.no_port ? -1 : 0;
}

/* What launcher.c poisons at its end. */
static void leave(int code)
{
	_exit(code);
}

/* What runs a board's programs here, qemu-user, does not know this option. */
static int fake_option(int fd, int level, int name, const void *value, socklen_t size)
{
	if (level == SOL_SOCKET && name == SO_LOCK_FILTER)
		return 0;
	return setsockopt(fd, level, name, value, size);
}

#define clock_gettime(clock, t) fake_clock(t)
#define syscall(...) fake_syscall(__VA_ARGS__, 0L, 0L, 0L, 0L, 0L)
#define openat(...) fake_open(__VA_ARGS__)
#define bind(...) fake_bind(__VA_ARGS__)
#define setsockopt(...) fake_option(__VA_ARGS__)
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

/* Every first byte, with any number of others behind it that go on a character. */
static void test_text_length(void)
{
	char s[513];
	int wrong = 0;

	memset(s, 0xa0, sizeof s);
	for (int first = 0; first < 256; first++) {
		size_t want = first == '\t' || (first >= ' ' && first < 0x7f) ? 1
			      : first < 0xc2 || first == 0xed || first >= 0xf4 ? 0
			      : first < 0xe0					? 2
			      : first < 0xf0					? 3
										: 4;
		s[0] = (char)first;
		for (size_t n = 1; n <= sizeof s; n++)
			wrong += text_length(s, n) != (want <= n ? want : 0);
	}
	check_number(wrong, 0, "text_length: all first bytes and lengths");
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

/* Strings that lie in a table: one that just fits has no NUL, and no compiler says so. */
static void test_tables(void)
{
#define ENDS(table, field)                                                                       \
	for (int i = 0; i < LEN(table); i++)                                                     \
		check(memchr(table[i].field, '\0', sizeof table[i].field) != NULL,               \
		      #table "[%d]." #field " has an end", i)
	ENDS(verbs, name);
	ENDS(verbs, args);
	ENDS(verbs, help);
	ENDS(features, name);
	ENDS(features, option);
	ENDS(features, sign);
	ENDS(interfaces, name);
	ENDS(interfaces, since);
	ENDS(row_columns, head);
	ENDS(row_columns, key);
	ENDS(link_columns, head);
	ENDS(link_columns, key);
	ENDS(event_columns, key);
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

static void test_error_text(void)
{
	check_string(error_text(ENOENT), "No such file or directory", "an error that libc knows");
	for (int error = 1; error < 134; error++)
		if (strstr(error_text(error), "No error"))
			check_number(error, 0, "an error has a text");
	check(!!strstr(error_text(EUCLEAN), "fsck"), "an error that musl does not know");
	check(strstr(error_text(133), "133") || strstr(error_text(133), "Memory"), "and another one");
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
	for (int i = 0; i < 2 * LEN(cases); i++) {
		path_walks = i >= LEN(cases);
		int n = i % LEN(cases), fd = path_open(top, cases[n].path, cases[n].flags);
		check_number(fd < 0 ? -fd : 0, cases[n].error, cases[n].what);
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

static int visit_none(int dir, const char *name)
{
	return dir < 0 || !name;
}

static void test_dir_each(void)
{
	mkdirat(top, "gone", 0700);
	int gone = dir_open(top, "gone"), file = openat(top, "file", O_RDONLY | O_CREAT, 0600);
	unlinkat(top, "gone", AT_REMOVEDIR);
	check_number(dir_each(gone, visit_none), -ENOENT, "dir_each: a directory that was removed");
	check_number(dir_each(file, visit_none), -ENOTDIR, "dir_each: no directory");
	check_number(tree_empty(file), -ENOTDIR, "tree_empty: no directory");
	check_number(tree_empty(-1), -errno, "tree_empty: none");
	unlinkat(top, "file", 0);
	close(gone);
}

/* -- digest -- */

/* What b3sum says of so many bytes that count to 250, again and again. */
static void test_digest(void)
{
	static const struct {
		size_t size;
		const char *digest;
	} cases[] = {
		{ 0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262" },
		{ 1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213" },
		{ 63, "e9bc37a594daad83be9470df7f7b3798297c3d834ce80ba85d6e207627b7db7b" },
		{ 64, "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d1f4c6dc7f2511b98" },
		{ 65, "de1e5fa0be70df6d2be8fffd0e99ceaa8eb6e8c93a63f2d8d1c30ecb6b263dee" },
		{ 128, "f17e570564b26578c33bb7f44643f539624b05df1a76c81f30acd548c44b45ef" },
		{ 1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11" },
		{ 1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7" },
		{ 1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444" },
		{ 2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a" },
		{ 2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030" },
		{ 3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2" },
		{ 3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3" },
		{ 4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969" },
		{ 4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995" },
		{ 5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff" },
		{ 7168, "61da957ec2499a95d6b8023e2b0e604ec7f6b50e80a9678b89d2628e99ada77a" },
		{ 8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b" },
		{ 65536, "68d647e619a930e7b1082f74f334b0c65a315725569bdc123f0ee11881717bfe" },
		{ 65537, "7c99f9840a73dfcb6e5bfe4ff6d1558acab7e015640790c26411818bdbe17eca" },
		{ 1000000, "5e82c663d164c54e4fcdfcd70e3ca464662228bdbad45cce2e0c2bff999064ef" },
		{ 1048576, "74cb441fd087764ca9c3694da742ebe30cbeb3060a17009ca81825c7a8d10343" },
	};
	static uint8_t bytes[DIGESTED_MAX];
	uint8_t digest[DIGEST_SIZE], fast[BLAKE3_LANES][DIGEST_SIZE], plain[BLAKE3_LANES][DIGEST_SIZE];
	char text[2 * DIGEST_SIZE + 1];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = i % 251;
	for (int n = 0; n < LEN(cases); n++) {
		digest_make(digest, bytes, cases[n].size);
		check_string(hex(text, digest, DIGEST_SIZE), cases[n].digest, "digest_make");
	}
	for (size_t n = 1; n <= BLAKE3_LANES; n++) {
		blake3_fast(fast[0], bytes, n, BLAKE3_LEAF, 7, BLAKE3_END);
		blake3_plain(plain[0], bytes, n, BLAKE3_LEAF, 7, BLAKE3_END);
		check_number(memcmp(fast, plain, n * DIGEST_SIZE), 0, "a CPU without vectors");
	}
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
	uint32_t words[sizeof *data / 4], a = 0;

	memcpy(words, data, sizeof words);
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
	unsigned ours = may & ADMIN ? may : may | NOT_ADMIN;
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
		if (t->call != (nr == SYS_socketpair ? SYS_socket : nr))
			continue;
		tested = YES;
		if ((!t->may || t->may & ours) && (t->how == BPF_JSET  ? !!(value & t->value)
						  : t->how == BPF_JEQ ? value == t->value
								      : value >= t->value))
			return t->answer;
	}
	return tested ? NO_ANSWER : SECCOMP_RET_ALLOW;
}

static int calls_tested(unsigned nr)
{
	int tested = nr == SYS_socketpair;

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
		{ "LOCAL | PACKET", LOCAL | PACKET }, { "all", 2 * ADMIN - 1 },
	};

	fake.no_filter = YES;
	for (int i = 0; i < LEN(rows); i++)
		filter_checks(rows[i].name, rows[i].may, filter_groups(rows[i].may), groups_say);
	filter_checks("a worker", 0, filter_only(unpack_calls), worker_says);
	fake.no_filter = NO;
}

/*
 * What is reached with some groups and nothing else, whatever the tables say: sockets of a family,
 * processes and threads, namespaces, ioctls, clocks. Asked of the program, and tried for real.
 */
static struct reach {
	unsigned call;
	long args[3];
	unsigned any, also; /* one of these groups, and all of those; any 0: nobody */
} reaches[192];
static int reaches_n;

enum { ALL_MAY = 2 * ADMIN - 1 };

static void reach(unsigned call, long first, long second, unsigned any, unsigned also)
{
	reaches[reaches_n++] = (struct reach){ call, { first, second, 0 }, any, also };
}

static void reaches_make(void)
{
	static const unsigned of_family[46] = { [AF_UNIX] = LOCAL, [AF_INET] = INET, [AF_INET6] = INET,
						[AF_NETLINK] = INET, [AF_PACKET] = PACKET, [AF_CAN] = PACKET };
	static const long spaces[] = { CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
				       CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET };
	const unsigned tasks = PROCESSES | THREADS;

	for (long family = 0; family < LEN(of_family); family++)
		for (int i = 0; i < 3; i++) /* SOCK_PACKET makes an AF_PACKET of an AF_INET */
			reach(i ? SYS_socket : SYS_socketpair, family, i < 2 ? SOCK_DGRAM : SOCK_PACKET | SOCK_CLOEXEC,
			      i < 2 ? of_family[family] : 0, 0);
	reach(SYS_clone, SIGCHLD, 0, PROCESSES, 0);
	reach(SYS_clone, CLONE_VFORK | SIGCHLD, 0, PROCESSES, 0);
	reach(SYS_clone, CLONE_THREAD, 0, tasks, 0); /* EINVAL: a thread shares more */
	for (int i = 0; i < LEN(spaces); i++) {
		reach(SYS_clone, spaces[i] | SIGCHLD, 0, PROCESSES, ADMIN);
		reach(SYS_clone, spaces[i] | CLONE_THREAD, 0, tasks, ADMIN);
	}
	reach(SYS_ioctl, 0, TIOCSTI, 0, 0);
	reach(SYS_ioctl, 0, TIOCLINUX, 0, 0);
	reach(SYS_ioctl, 0, TIOCSETD, 0, 0);
	reach(SYS_ioctl, 0, TIOCGWINSZ, ALL_MAY, 0);
	reach(SYS_adjtimex, -1, 0, SET_TIME, 0);
#ifdef SYS_clock_settime64
	reach(SYS_clock_settime64, 0, 0, SET_TIME, 0);
#else
	reach(SYS_clock_settime, 0, 0, SET_TIME, 0);
#endif
}

/* Tries all with these groups, in a process of its own: what is refused is 0 in `got`. */
static int reaches_try(unsigned may, int filters, uint8_t got[LEN(reaches)])
{
	int line[2], failed = 0;
	pid_t pid = pipe(line) ? -1 : fork();

	for (int i = 0; !pid && i < reaches_n; i++) {
		const struct reach *r = &reaches[i];
		int fds[2];
		if (!i) {
			signal(SIGCHLD, SIG_IGN);
			filtered = UINT32_MAX;
			if (filters && filter_groups(may))
				leave(1);
		}
		errno = 0;
		long result = r->call == SYS_socketpair
				      ? syscall(r->call, r->args[0], r->args[1], 0L, fds)
				      : syscall(r->call, r->args[0], r->args[1], r->args[2], 0L, 0L);
		if (r->call == SYS_clone && !result)
			leave(0);
		got[i] = result >= 0 || (errno != EPERM && errno != EAFNOSUPPORT);
		if (result > 0 && r->call == SYS_socket)
			close((int)result);
	}
	if (!pid)
		leave(write(line[1], got, (size_t)reaches_n) != reaches_n);
	close(line[1]);
	failed = pid < 0 || read(line[0], got, (size_t)reaches_n) != reaches_n;
	close(line[0]);
	waitpid(pid, NULL, 0);
	return failed;
}

static void test_filter_reach(void)
{
	static const unsigned several[] = { 0, THREADS | ADMIN, PROCESSES | ADMIN, THREADS | INET, DEFAULT, ALL_MAY };
	uint8_t bare[LEN(reaches)], got[LEN(reaches)];
	unsigned may;

	reaches_make();
	int none = reaches_try(0, NO, bare) || reaches_try(DEFAULT, YES, got);
	if (none)
		tap_note("no filter for system calls here");
	for (int turn = 0; turn < 11 + LEN(several); turn++) {
		int wrong = 0, tried = 0;
		may = turn < 11 ? 1U << turn : several[turn - 11];
		fake.no_filter = YES;
		filtered = UINT32_MAX;
		int failed = filter_groups(may);
		fake.no_filter = NO;
		failed = failed || (!none && reaches_try(may, YES, got));
		for (int i = 0; i < reaches_n; i++) {
			const struct reach *r = &reaches[i];
			struct seccomp_data d = { .nr = (int)r->call, .arch = OUR_AUDIT_ARCH };
			for (int k = 0; k < 3; k++)
				d.args[k] = (u64)r->args[k];
			int wanted = (r->any == ALL_MAY || r->any & may) && (r->also & may) == r->also;
			int differs = (filter_run(&d) == SECCOMP_RET_ALLOW) != wanted;
			tried += !none && bare[i];
			differs |= !none && bare[i] && got[i] != wanted;
			if (differs && wrong++ < 5)
				tap_note("call %u(0x%lx, 0x%lx): it should be %s", r->call, r->args[0], r->args[1],
					 wanted ? "reached" : "refused");
		}
		check(!failed && !wrong, "filter: with the groups 0x%x %d of %d calls do what they shall, %d for real", may,
		      reaches_n - wrong, reaches_n, tried);
	}
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

/* EPERM has many reasons; only EINVAL and ENOSYS are a kernel without the option. */
static void test_devices_failed(void)
{
	static const struct {
		int error;
		const char *hint;
	} rows[] = { { EPERM, "(denied)" }, { EINVAL, "CONFIG_CGROUP_BPF" },
		     { ENOSYS, "CONFIG_CGROUP_BPF" }, { ENOMEM, NULL } };
	char why[160];

	for (int i = 0; i < LEN(rows); i++) {
		check_number(devices_failed("loading", rows[i].error, " (denied)"), -rows[i].error,
			     "a program that is not taken: its error");
		format(why, sizeof why, "its devices: loading: %s", strerror(rows[i].error));
		check(!strncmp(cgroup.why, why, strlen(why)), "what failed, and the kernel's reason");
		check(rows[i].hint ? !!strstr(cgroup.why, rows[i].hint) : !strchr(cgroup.why, '('),
		      "what that means, if it is known");
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

/* -- addresses -- */

static void test_ip_read(void)
{
	static const struct {
		const char *text;
		int bits, prefix;
		u64 high, low;
	} good[] = {
		{ "10.7.0.2/24", 32, 24, 0, 0x0a070002 },
		{ "10.7.0.2", 32, -1, 0, 0x0a070002 },
		{ "0.0.0.0/0", 32, 0, 0, 0 },
		{ "255.255.255.255/32", 32, 32, 0, 0xffffffff },
		{ "::", 128, -1, 0, 0 },
		{ "::/0", 128, 0, 0, 0 },
		{ "::1", 128, -1, 0, 1 },
		{ "1::", 128, -1, 1ULL << 48, 0 },
		{ "fd07::2/64", 128, 64, 0xfd07ULL << 48, 2 },
		{ "fd07::a:b/128", 128, 128, 0xfd07ULL << 48, 0xa000b },
		{ "1:2:3:4:5:6:7:8", 128, -1, 0x0001000200030004, 0x0005000600070008 },
		{ "1:2:3:4:5:6:7:8/127", 128, 127, 0x0001000200030004, 0x0005000600070008 },
		{ "::2:3:4:5:6:7:8", 128, -1, 0x0000000200030004, 0x0005000600070008 },
		{ "1::3:4:5:6:7:8", 128, -1, 0x0001000000030004, 0x0005000600070008 },
		{ "1:2::4:5:6:7:8", 128, -1, 0x0001000200000004, 0x0005000600070008 },
		{ "1:2:3::5:6:7:8", 128, -1, 0x0001000200030000, 0x0005000600070008 },
		{ "1:2:3:4::6:7:8", 128, -1, 0x0001000200030004, 0x0000000600070008 },
		{ "1:2:3:4:5::7:8", 128, -1, 0x0001000200030004, 0x0005000000070008 },
		{ "1:2:3:4:5:6::8", 128, -1, 0x0001000200030004, 0x0005000600000008 },
		{ "1:2:3:4:5:6:7::", 128, -1, 0x0001000200030004, 0x0005000600070000 },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128, -1, UINT64_MAX, UINT64_MAX },
		{ "0abc:00de::f", 128, -1, 0x0abc00de00000000, 0xf },
	};
	static const char *const bad[] = {
		"", "/", "/24", "a", "1", "10.7.0", "10.7.0.2.3", "10.7.0.256", "10.7.0.1000", "10.7.0.12345",
		"10.7..2", ".10.7.0.2", "10.7.0.2.", "10.7.0.", "10.7.0.2/", "10.7.0.2/33", "10.7.0.2/-1",
		"10.7.0.2/a", "10.7.0.2/24/", "10.7.0.2/24/8", "10.7.0.2/2.4", "10.7.0.2 ", " 10.7.0.2", "10.7.0.-2",
		"10.7.0.a", "a.7.0.2", "1a.7.0.2", "10.b.0.2", "0xa.7.0.2", "10:7.0.2", "10.7:0.2", "10.7.0:2",
		"1:10.7.0.2", "10,7,0,2", "eth0", "localhost",
		":", ":::", "1:::2", "::1::", "1::2::3", ":1", "1:", ":1::", ":1::2", "::1:", ":1:2:3:4:5:6:7",
		":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "1:2:3:4:5:6:7:8:9",
		"::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "1:2:3:4:5:6:7:8::", "12345::", "::12345", "g::",
		"fd07::2/129", "fd07::2/", "fd07::2/99999", "fd07::2/6a", "fd07::2/:", "fd07::2%1", "[::1]", "::1 ",
		":/64", "::ffff:10.7.0.2", "::10.7.0.2", "10.7.0.2::",
	};

	for (int i = 0; i < LEN(good); i++) {
		struct ip ip = ip_read(good[i].text);
		u64 halves[2] = { htobe64(good[i].high), htobe64(good[i].low) };
		if (good[i].bits == 32) { /* it comes first */
			halves[0] = htobe64(good[i].low << 32);
			halves[1] = 0;
		}
		check(ip.bits == good[i].bits && ip.prefix == good[i].prefix && !memcmp(ip.bytes, halves, 16),
		      "ip_read \"%s\"", good[i].text);
	}
	for (int i = 0; i < LEN(bad); i++)
		check(!ip_read(bad[i]).bits, "ip_read \"%s\": no address", bad[i]);
	check(!ip_read(NULL).bits, "ip_read: nothing is no address");
}

static void test_ip_text(void)
{
	static const struct {
		const char *text, *bytes;
		size_t n;
	} cases[] = {
		{ "10.7.0.2", "\x0a\x07\x00\x02", 4 },
		{ "0.0.0.0", "\0\0\0\0", 4 },
		{ "255.255.255.255", "\xff\xff\xff\xff", 4 },
		{ "::", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
		{ "::1", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16 },
		{ "1::", "\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
		{ "fd07::2", "\xfd\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16 },
		{ "1:2:3:4:5:6:7:8", "\0\1\0\2\0\3\0\4\0\5\0\6\0\7\0\10", 16 },
		{ "0:2:3:4:5:6:7:8", "\0\0\0\2\0\3\0\4\0\5\0\6\0\7\0\10", 16 },
		{ "1:2:3:4:5:6:7:0", "\0\1\0\2\0\3\0\4\0\5\0\6\0\7\0\0", 16 },
		{ "1::4:0:0:7:8", "\0\1\0\0\0\0\0\4\0\0\0\0\0\7\0\10", 16 },
		{ "1:0:0:4::8", "\0\1\0\0\0\0\0\4\0\0\0\0\0\0\0\10", 16 },
		{ "0:0:3::", "\0\0\0\0\0\3\0\0\0\0\0\0\0\0\0\0", 16 },
		{ "abcd:ef01:2345:6789:abcd:ef01:2345:6789",
		  "\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89", 16 },
		{ "", "", 0 },
	};
	char text[40];

	for (int i = 0; i < LEN(cases); i++) {
		struct ip ip = { .bits = (int)cases[i].n * 8 };
		memcpy(ip.bytes, cases[i].bytes, cases[i].n);
		check_string(ip_text(text, ip), cases[i].text, "ip_text: as one writes it");
		ip = ip_read(cases[i].text);
		check_bytes((char *)ip.bytes, (size_t)ip.bits / 8, cases[i].bytes, cases[i].n,
			    "ip_read: it reads what is written");
	}
}

static void test_ip_shares(void)
{
	static const struct {
		const char *a, *b;
		int prefix, shares;
	} cases[] = {
		{ "10.7.0.2", "10.7.0.3", 24, YES },	  { "10.7.0.2", "10.7.1.2", 24, NO },
		{ "10.7.0.2", "10.7.1.2", 23, YES },	  { "10.7.0.2", "10.7.0.3", 31, YES },
		{ "10.7.0.2", "10.7.0.3", 32, NO },	  { "10.7.0.2", "10.7.0.2", 32, YES },
		{ "10.7.0.2", "138.7.0.2", 1, NO },	  { "10.7.0.2", "202.9.9.9", 0, YES },
		{ "fd07::2", "fd07::3", 64, YES },	  { "fd07::2", "fd07:0:0:1::2", 64, NO },
		{ "fd07::2", "fd07:0:0:1::2", 63, YES },  { "fd07::2", "fd07::8000:0:0:2", 64, YES },
		{ "fd07::2", "fd07::8000:0:0:2", 65, NO }, { "fd07::2", "fd07::3", 127, YES },
		{ "fd07::2", "fd07::3", 128, NO },	  { "fd07::2", "fd07::2", 128, YES },
		{ "fd07::2", "7d07::2", 1, NO },	  { "fd07::2", "1::", 0, YES },
		{ "0.0.0.1", "::1", 0, NO },		  { "10.7.0.2", "::a07:2", 32, NO },
	};

	for (int i = 0; i < LEN(cases); i++)
		check(ip_shares(ip_read(cases[i].a), ip_read(cases[i].b), cases[i].prefix) == cases[i].shares,
		      "ip_shares: %s and %s, %d bits", cases[i].a, cases[i].b, cases[i].prefix);
}

/* The addresses that rows have, as their line of /etc/hosts says. */
static void test_row_ip(void)
{
	static const struct {
		int row;
		const char *line, *what;
	} cases[] = {
		{ ALWAYS_UP, "", "a row without a network has no address" },
		{ FIRST, "10.7.1.3 first\nfd07:0:0:1::3 first\n", "on a bridge, by the places of both" },
		{ SECOND, "10.44.0.4 second\nfd44::4 second\n", "on one of the device, after its address" },
		{ ONCE, "10.7.1.77 once\nfd07:0:0:1::5 once\n", "one that the row gives itself" },
		{ GUEST, "10.7.1.77 guest\nfd07:0:0:1::5 guest\n", "and who shares its network" },
	};
	char text[512], got[40];

	for (int i = 0; i < LEN(cases); i++) {
		text[0] = '\0';
		hosts_line(text, sizeof text, cases[i].row);
		check_string(text, cases[i].line, cases[i].what);
	}
	check_string(ip_text(got, bridge_ip("br0", NO)), "10.7.1.1", "a bridge has the first of its net");
	check_string(ip_text(got, bridge_ip("br0", YES)), "fd07:0:0:1::1", "in IPv6 too");
	check_string(ip_text(got, bridge_ip("br1", NO)), "10.44.0.1", "but for one that the device says");
	struct ip ip = row_ip(&(struct net)BRIDGE("br1"), row_number(&run), NO);
	check_string(ip_text(got, ip), "10.44.0.9", "what is run by hand comes after all rows");
	check_number(ip.prefix, 16, "in the net of the bridge");
}

/*
 * -- messages: what we send is what ip(8) of iproute2 6.1 sends for the same, as strace saw it --
 *
 * Both are taken apart, so that the order of attributes does not count. What differs is said: "-" is
 * only in that of ip, "+" only in ours. NAME=VALUE, with the numbers of linux/if_link.h and its like;
 * 18 is IFLA_LINKINFO, and has .1 the kind, .2 the data of it, .4 and .5 those of a port. A kind is the
 * same with a NUL and without one, for the kernel as for us.
 */

static struct parts {
	char text[32][128];
	int n;
} of_ip, ours;

static void part_add(struct parts *p, const char *path, const char *name, const uint8_t *value, size_t n)
{
	char *text = p->text[p->n];
	size_t at = format(text, sizeof *p->text, "%s%s=", path, name);

	if (p->n == LEN(p->text) - 1 || at + 2 * n >= sizeof *p->text) {
		check(NO, "a message of few and short parts");
		return;
	}
	for (size_t i = 0; i < n; i++)
		at += format(text + at, sizeof *p->text - at, "%02x", value[i]);
	p->n++;
}

static int part_has(const struct parts *p, const char *text)
{
	for (int i = 0; i < p->n; i++)
		if (!strcmp(p->text[i], text))
			return YES;
	return NO;
}

/* Attributes up to the end, each of which has to have a length that fits. */
static void parts_of_list(struct parts *p, const char *above, const uint8_t *at, const uint8_t *end)
{
	struct rtattr a;
	char path[32];

	while (at < end) {
		size_t room = (size_t)(end - at);
		memcpy(&a, at, room < sizeof a ? 0 : sizeof a);
		if (room < sizeof a || a.rta_len < sizeof a || RTA_ALIGN(a.rta_len) > room) {
			part_add(p, above, "broken", NULL, 0);
			return;
		}
		const uint8_t *value = at + sizeof a, *last = at + a.rta_len;
		size_t head = 0, size = (size_t)(last - value);
		format(path, sizeof path, "%s%s%d", above, *above ? "." : "", a.rta_type & NLA_TYPE_MASK);
		int is_peer = !strcmp(path, "18.2.1") && part_has(p, "18.1=76657468"); /* of a veth */
		int holds = !strcmp(path, "18") || !strcmp(path, "18.2") || !strcmp(path, "18.5") || is_peer;
		if (is_peer)
			head = sizeof(struct ifinfomsg);
		if ((!strcmp(path, "18.1") || !strcmp(path, "18.4")) && size && !value[size - 1])
			size--;
		if (!holds || head || !size)
			part_add(p, path, "", value, holds ? head : size);
		if (holds)
			parts_of_list(p, path, value + head, last);
		at += RTA_ALIGN(a.rta_len);
	}
}

/* All but the number that ip gives each message. */
static void parts_of(struct parts *p, const uint8_t *bytes, size_t n)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)bytes;
	const struct ifinfomsg *link = (const struct ifinfomsg *)(h + 1);
	int is_link = h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_DELLINK;
	size_t size = h->nlmsg_type == RTM_NEWADDR    ? sizeof(struct ifaddrmsg)
		      : h->nlmsg_type == RTM_NEWROUTE ? sizeof(struct rtmsg)
						      : sizeof *link;

	p->n = 0;
	part_add(p, "", "type", bytes + 4, 2);
	part_add(p, "", "flags", bytes + 6, 2);
	if (!is_link) {
		part_add(p, "", "about", (const uint8_t *)link, size);
	} else {
		part_add(p, "", "family", (const uint8_t *)link, 4);
		part_add(p, "", "index", (const uint8_t *)&link->ifi_index, 4);
		part_add(p, "", "set", (const uint8_t *)&link->ifi_flags, 8);
	}
	if (h->nlmsg_len == n)
		parts_of_list(p, "", bytes + NLMSG_SPACE(size), bytes + n);
	else
		part_add(p, "", "length", bytes, 4);
}

static size_t differ(char *to, size_t size, char sign, const struct parts *a, const struct parts *b)
{
	size_t at = 0;

	for (int i = 0; i < a->n; i++)
		if (!part_has(b, a->text[i]))
			at += format(to + at, size - at, " %c%s", sign, a->text[i]);
	return at;
}

static void check_message(const union message *m, const char *command, const char *hex, const char *want)
{
	static _Alignas(8) uint8_t bytes[256];
	char got[512];
	size_t n = strlen(hex) / 2, at;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(hex_of(hex[2 * i]) << 4 | hex_of(hex[2 * i + 1]));
	parts_of(&of_ip, bytes, n);
	parts_of(&ours, m->bytes, m->head.nlmsg_len);
	at = differ(got, sizeof got, '-', &of_ip, &ours);
	at += differ(got + at, sizeof got - at, '+', &ours, &of_ip);
	got[at] = '\0';
	for (int i = 0; i < ours.n; i++)
		for (int k = 0; k < i; k++)
			if (!strcmp(ours.text[i], ours.text[k]))
				check(NO, "%s is in the message once", ours.text[i]);
	check_string(got, want, command);
}

static void test_message_link(void)
{
	enum { BRIDGE_INDEX = 2, ETH0 = 3, WEB = 4, SPACE = 4 };
#define NET_SAYS .mtu = 1400, .mac = "02:00:00:00:00:77"
	static const struct {
		const char *command, *bytes;
		struct link_op op;
		struct net net;
		const char *differs;
	} cases[] = {
		{ "ip link add br7 mtu 1400 address 02:00:00:00:00:77 group 1818326382 type bridge",
		  "5400000010000506badc0a6b00000000000000000000000000000000000000000800040078050000"
		  "0a000100020000000077000008001b006e75616c0800030062723700100012000a00010062726964"
		  "67650000",
		  { .name = "br7", .kind = "bridge" }, BRIDGE("br7", NET_SAYS),
		  " +18.2=" }, /* no data */
		{ "ip link add lr-a up master br0 group 1818326382 type veth peer name eth0 netns inner "
		  "mtu 1400 address 02:00:00:00:00:77",
		  "8800000010000506badc0a6b000000000000000000000000010000000100000008000a0002000000"
		  "08001b006e75616c090003006c722d61000000004c0012000800010076657468400002003c000100"
		  "0000000000000000000000000000000008001c000400000008000400780500000a00010002000000"
		  "00770000090003006574683000000000",
		  { "lr-a", "veth", 0, 0, BRIDGE_INDEX, SPACE, "eth0", YES }, BRIDGE("br0", NET_SAYS), "" },
		{ "ip link add link eth0 name lr-a netns inner group 1818326382 type macvlan mode private",
		  "6000000010000506badc0a6b000000000000000000000000000000000000000008001c0004000000"
		  "08001b006e75616c0800050003000000090003006c722d61000000001c0012000b0001006d616376"
		  "6c616e000c0002000800010001000000",
		  { .name = "lr-a", .kind = "macvlan", .on = ETH0, .space = SPACE }, MACVLAN("eth0"), "" },
		{ "ip link add link eth0 name lr-a netns inner mtu 1400 address 02:00:00:00:00:77 "
		  "group 1818326382 type macvlan mode bridge",
		  "7400000010000506badc0a6b000000000000000000000000000000000000000008001c0004000000"
		  "08000400780500000a000100020000000077000008001b006e75616c080005000300000009000300"
		  "6c722d61000000001c0012000b0001006d6163766c616e000c0002000800010004000000",
		  { .name = "lr-a", .kind = "macvlan", .on = ETH0, .space = SPACE },
		  MACVLAN("eth0", .open = YES, NET_SAYS), "" },
		{ "ip link add link eth0 name lr-a netns inner group 1818326382 type ipvlan mode l2 private",
		  "6800000010000506badc0a6b000000000000000000000000000000000000000008001c0004000000"
		  "08001b006e75616c0800050003000000090003006c722d6100000000240012000a0001006970766c"
		  "616e00001400020006000100000000000600020001000000",
		  { .name = "lr-a", .kind = "ipvlan", .on = ETH0, .space = SPACE }, IPVLAN("eth0"), "" },
		{ "ip link add link eth0 name lr-a netns inner group 1818326382 type ipvlan mode l2",
		  "6800000010000506badc0a6b000000000000000000000000000000000000000008001c0004000000"
		  "08001b006e75616c0800050003000000090003006c722d6100000000240012000a0001006970766c"
		  "616e00001400020006000100000000000600020000000000",
		  { .name = "lr-a", .kind = "ipvlan", .on = ETH0, .space = SPACE },
		  IPVLAN("eth0", .open = YES), " -18.2.2=0000" }, /* no flags: the default */
		{ "ip link add link eth0 name eth0.7 group 1818326382 type vlan id 7",
		  "5400000010000506badc0a6b000000000000000000000000000000000000000008001b006e75616c"
		  "08000500030000000b000300657468302e3700001800120008000100766c616e0c00020006000100"
		  "07000000",
		  { .name = "eth0.7", .kind = "vlan", .on = ETH0 }, VLAN(7, "eth0"), "" },
		{ "ip link set dev eth0 name eth1 up",
		  "2c00000010000500badc0a6b00000000000000000300000001000000010000000900030065746831"
		  "00000000",
		  { .name = "eth1", .index = ETH0, .up = YES }, BRIDGE("br0"), "" },
		{ "ip link set dev eth1 name eth0",
		  "2c00000010000500badc0a6b00000000000000000300000000000000000000000900030065746830"
		  "00000000",
		  { .name = "eth0", .index = ETH0 }, BRIDGE("br0"), "" },
		{ "ip link set dev lo up",
		  "2000000010000500badc0a6b0000000000000000010000000100000001000000",
		  { .index = 1, .up = YES }, { 0 }, "" },
		{ "ip link set dev eth0 mtu 1400 address 02:00:00:00:00:77 up",
		  "3400000010000500bbdc0a6b00000000000000000300000001000000010000000800040078050000"
		  "0a0001000200000000770000",
		  { .index = ETH0, .up = YES }, DEVICE("eth0", NET_SAYS), "" },
		{ "ip link set dev eth0 netns inner",
		  "2800000010000500badc0a6b000000000000000003000000000000000000000008001c0004000000",
		  { .name = "eth0", .space = SPACE }, DEVICE("eth0"),
		  " -index=03000000 +index=00000000 +3=6574683000" }, /* found by its name */
		{ "ip link set dev lr-web master br0 up",
		  "2800000010000500bbdc0a6b000000000000000004000000010000000100000008000a0002000000",
		  { .index = WEB, .master = BRIDGE_INDEX, .up = YES }, DEVICE("lr-web"), "" },
		{ "ip link set dev lr-web up type can bitrate 500000",
		  "5400000010000500bbdc0a6b00000000000000000400000001000000010000003400120007000100"
		  "63616e00280002002400010020a10700000000000000000000000000000000000000000000000000"
		  "00000000",
		  { .index = WEB, .up = YES }, DEVICE("lr-web", .bitrate = 500000), "" },
	};
	union message m;

	for (int i = 0; i < LEN(cases); i++) {
		message_link(&m, &cases[i].op, &cases[i].net);
		check_message(&m, cases[i].command, cases[i].bytes, cases[i].differs);
	}
	message_link(&m, &(struct link_op){ .name = "can0", .space = SPACE },
		     &(struct net)DEVICE("can0", .bitrate = 500000));
	parts_of(&ours, m.bytes, m.head.nlmsg_len);
	check(part_has(&ours, "28=04000000") && ours.n == 7, "a bus gets its bitrate only as it comes up");
}

static void test_messages(void)
{
	enum { WEB = 8 };
	union message m;
	const struct net nothing = { 0 };
	const struct ip none = { 0 }, all = { .bits = 32 }, all6 = { .bits = 128 };

	/* Found by its name. */
	message_link(&m, &(struct link_op){ .name = "lr-web", .removed = YES }, &nothing);
	check_message(&m, "ip link del dev lr-web",
		      "2000000011000500bbdc0a6b0000000000000000040000000000000000000000",
		      " -index=04000000 +index=00000000 +3=6c722d77656200");
	message_link(&m, &(struct link_op){ .removed = YES }, &nothing);
	check_message(&m, "ip link del group 1818326382",
		      "2800000011000500bbdc0a6b000000000000000000000000000000000000000008001b006e75616c", "");
	message_link(&m, &(struct link_op){ .name = "lr-web", .isolated = YES }, &nothing);
	check_message(&m, "ip link set dev lr-web type bridge_slave isolated on",
		      "4000000010000500bbdc0a6b00000000000000000800000000000000000000002000120010000400"
		      "6272696467655f736c6176650c0005000500210001000000",
		      " -index=08000000 -18.4=6272696467655f736c617665 +index=00000000 +3=6c722d77656200"
		      " +18.4=627269646765"); /* which the kernel does not read: it asks the port */
	message_address(&m, WEB, ip_read("10.7.0.2/24"));
	check_message(&m, "ip address replace 10.7.0.2/24 dev lr-web",
		      "2800000014000505bbdc0a6b000000000218000008000000080002000a070002080001000a070002", "");
	message_address(&m, WEB, ip_read("fd07::2/64"));
	check_message(&m, "ip address replace fd07::2/64 dev lr-web nodad",
		      "4000000014000505bbdc0a6b000000000a4002000800000014000200fd0700000000000000000000"
		      "0000000214000100fd070000000000000000000000000002", "");
	message_route(&m, WEB, all, ip_read("10.7.0.1"));
	check_message(&m, "ip route replace default via 10.7.0.1 dev lr-web",
		      "2c00000018000505bbdc0a6b0000000002000000fe03000100000000080005000a07000108000400"
		      "08000000", "");
	message_route(&m, WEB, ip_read("10.99.0.0/16"), ip_read("10.7.0.9"));
	check_message(&m, "ip route replace 10.99.0.0/16 via 10.7.0.9 dev lr-web",
		      "3400000018000505bbdc0a6b0000000002100000fe03000100000000080001000a63000008000500"
		      "0a0700090800040008000000", "");
	message_route(&m, WEB, ip_read("10.9.0.0/16"), none);
	check_message(&m, "ip route replace 10.9.0.0/16 dev lr-web",
		      "2c00000018000505bbdc0a6b0000000002100000fe03fd0100000000080001000a09000008000400"
		      "08000000", "");
	message_route(&m, WEB, all6, ip_read("fd07::1"));
	check_message(&m, "ip -6 route replace default via fd07::1 dev lr-web",
		      "4c00000018000505bbdc0a6b000000000a000000fe03000100000000140001000000000000000000"
		      "000000000000000014000500fd0700000000000000000000000000010800040008000000",
		      " -1=00000000000000000000000000000000"); /* ::, of which no bit counts */
	message_route(&m, WEB, ip_read("fd09::/32"), none);
	check_message(&m, "ip -6 route replace fd09::/32 dev lr-web",
		      "3800000018000505bbdc0a6b000000000a200000fe0300010000000014000100fd09000000000000"
		      "00000000000000000800040008000000", "");
	message_route(&m, WEB, ip_read("fd09::/32"), ip_read("fd07::9"));
	check_message(&m, "ip -6 route replace fd09::/32 via fd07::9 dev lr-web",
		      "4c00000018000505bbdc0a6b000000000a200000fe0300010000000014000100fd09000000000000"
		      "000000000000000014000500fd0700000000000000000000000000090800040008000000", "");
}

/* The bytes, in front of memory that nobody may touch. */
static const uint8_t *at_the_edge(const void *bytes, size_t n)
{
	static uint8_t *edge;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!edge) {
		uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE))
			abort();
		edge = pages + page;
	}
	memcpy(edge - n, bytes, n);
	return edge - n;
}

static void test_attribute(void)
{
	union message m;
	const struct ifinfomsg about = { 0 };
	size_t head = NLMSG_SPACE(sizeof about), n, outside = 0, found = 0;

	message_begin(&m, RTM_NEWLINK, 0, &about, sizeof about);
	put_text(&m, 3, "web");
	size_t nest = nest_begin(&m, NLA_F_NESTED | 18);
	put_text(&m, 1, "veth");
	nest_end(&m, nest);
	message_put(&m, 5, "123", 3);
	size_t all = m.head.nlmsg_len - head, last = all - 8;
	const uint8_t *list = m.bytes + head, *p, *edge;
	n = all;
	p = attribute(list, &n, 3);
	check_bytes((const char *)p, p ? n : 0, "web", 4, "attribute: the first");
	n = all;
	p = attribute(list, &n, 5);
	check_bytes((const char *)p, p ? n : 0, "123", 3, "attribute: the last, and its own length");
	n = all;
	p = attribute(list, &n, 18);
	p = p ? attribute(p, &n, 1) : NULL;
	check_bytes((const char *)p, p ? n : 0, "veth", 5, "attribute: one in another, whatever its flags");
	n = all;
	check(!attribute(list, &n, 1) && !n, "attribute: one that only another holds is not there");
	n = 0;
	check(!attribute(list, &n, 3) && !n, "attribute: none in nothing");

	for (size_t size = 0; size < all; size++) { /* cut short anywhere */
		edge = at_the_edge(list, size);
		n = size;
		p = attribute(edge, &n, 5);
		outside += p && (p < edge || p + n > edge + size);
		found += !!p;
	}
	check(!outside && found == 1, "attribute: of a list that is cut, only what is whole");
	outside = found = 0;
	for (unsigned lie = 0; lie <= UINT16_MAX; lie += lie < 64 || lie > UINT16_MAX - 64 ? 1 : 61) {
		uint8_t bytes[128];
		unsigned short length = (unsigned short)lie;
		memcpy(bytes, list, all);
		memcpy(bytes + last, &length, sizeof length);
		edge = at_the_edge(bytes, all);
		n = all;
		p = attribute(edge, &n, 5);
		outside += p && (p < edge || p + n > edge + all);
		found += !!p;
		memcpy(bytes, &length, sizeof length); /* now all that follows is elsewhere */
		edge = at_the_edge(bytes, all);
		n = all;
		p = attribute(edge, &n, 5);
		outside += p && (p < edge || p + n > edge + all);
	}
	check(!outside && found == 5, "attribute: a length that lies leads nowhere");
}

static int kernel[2]; /* ours; what we are for it */

static void kernel_says(const void *bytes, size_t n)
{
	if (send(kernel[0], bytes, n, 0) != (ssize_t)n)
		check(NO, "an answer of the kernel");
}

static void kernel_open(void)
{
	const struct timeval patience = { .tv_sec = 10 };

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, kernel) ||
	    setsockopt(kernel[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience))
		check(NO, "a socket instead of the kernel");
}

static void kernel_close(void)
{
	close(kernel[0]);
	close(kernel[1]);
}

static void test_net_ask(void)
{
	union message m, asked;
	const struct net nothing = { 0 };
	struct {
		struct nlmsghdr head;
		struct nlmsgerr body;
	} answer = { { sizeof answer, NLMSG_ERROR, 0, 0, 0 }, { .error = 0 } };

	kernel_open();
	message_link(&m, &(struct link_op){ .name = "lr-web", .removed = YES }, &nothing);
	kernel_says(&answer, sizeof answer);
	check_number(net_ask(kernel[1], &m), 0, "net_ask: done");
	ssize_t n = recv(kernel[0], &asked, sizeof asked, MSG_DONTWAIT);
	check(n == (ssize_t)m.head.nlmsg_len && !memcmp(&asked, &m, (size_t)n), "net_ask: the message, once");
	answer.body.error = -EEXIST;
	kernel_says(&answer, sizeof answer);
	check_number(net_ask(kernel[1], &m), -EEXIST, "net_ask: refused");
	answer.head.nlmsg_type = NLMSG_DONE;
	kernel_says(&answer, sizeof answer);
	check_number(net_ask(kernel[1], &m), -EPROTO, "net_ask: no answer to what was asked");
	kernel_close();
	check(net_ask(-1, &m) == -EBADF, "net_ask: nobody to ask");
}

static struct {
	unsigned seen[16];
	int n;
} dump;

static void dump_visit(const struct nlmsghdr *h)
{
	if (dump.n < LEN(dump.seen))
		dump.seen[dump.n++] = h->nlmsg_seq;
}

/* A packet of messages that have these lengths, of which the first has that number, and so on. */
static size_t dump_packet(uint8_t *to, unsigned number, const unsigned *lengths)
{
	size_t at = 0;

	for (; *lengths; lengths++) {
		struct nlmsghdr h = { *lengths, RTM_NEWLINK, NLM_F_MULTI, number++, 0 };
		memcpy(to + at, &h, sizeof h);
		at += NLMSG_ALIGN(*lengths);
	}
	return at;
}

static void test_net_each(void)
{
	static _Alignas(8) uint8_t packet[16400];
	const struct nlmsghdr done = { sizeof done, NLMSG_DONE, NLM_F_MULTI, 99, 0 };
	union message asked;

	kernel_open();
	size_t n = dump_packet(packet, 1, (unsigned[]){ 32, 33, 16, 0 });
	memcpy(packet + n, &done, sizeof done);
	dump_packet(packet + n + sizeof done, 98, (unsigned[]){ 16, 0 });
	kernel_says(packet, n - 16);
	kernel_says(packet + n - 16, 16 + sizeof done + 16);
	dump.n = 0;
	check_number(net_each(kernel[1], RTM_GETLINK, dump_visit), 0, "net_each: to its end");
	check(dump.n == 3 && dump.seen[0] == 1 && dump.seen[1] == 2 && dump.seen[2] == 3,
	      "net_each: all of two packets, in order, and none behind the end");
	recv(kernel[0], &asked, sizeof asked, MSG_DONTWAIT);
	check(asked.head.nlmsg_type == RTM_GETLINK && asked.head.nlmsg_flags == (NLM_F_REQUEST | NLM_F_DUMP),
	      "net_each: it asks for all of them");

	static const unsigned lies[] = { 33, 17, 15, 1, 0x7fffffff, 0xfffffff0, UINT32_MAX };
	for (int i = 0; i < LEN(lies); i++) {
		n = dump_packet(packet, 1, (unsigned[]){ 16, 32, 0 });
		memcpy(packet + 16, &lies[i], sizeof lies[i]);
		kernel_says(packet, i ? 32 : n); /* the one that lies is the last, or longer than it is */
		kernel_says(&done, sizeof done);
		dump.n = 0;
		int failed = net_each(kernel[1], RTM_GETLINK, dump_visit);
		check(!failed && dump.n == 1, "net_each: a message of %u bytes in a packet of %d is left", lies[i],
		      i ? 32 : 48);
	}
	/* The largest packet that it takes, and one byte of padding that is not there. */
	n = dump_packet(packet, 1, (unsigned[]){ 16, 16384 - 16 - 1, 0 }) - 1;
	kernel_says(packet, n);
	kernel_says(&done, sizeof done);
	dump.n = 0;
	check(!net_each(kernel[1], RTM_GETLINK, dump_visit) && dump.n == 2, "net_each: a packet of 16383 bytes");
	kernel_close();
	check_number(net_each(-1, RTM_GETLINK, dump_visit), -EBADF, "net_each: nobody to ask");
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
	on_exit_of(i, code == CLD_EXITED ? status << 8 : status, &used); /* as wait(2) says it */
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
		close_one(&i->net);
		close_one(&i->users);
		ports_close(i);
		*i = (struct instance){ .row = i->row, .state = IS_DONE,
					.root = i->root, .home = i->home,
					.net = -1, .users = -1, .lease = -1,
					.ports = { -1, -1, -1, -1, -1, -1, -1, -1 },
					.log = { i->log[0], i->log[1] },
					.orders = -1, .line = -1, .control = -1 };
	}
	ending = 0;
	end_by = budget_at = 0;
	fake.no_process = fake.no_port = fake.signal = 0;
	fake.time += 1000000;
}

/* What can happen to an instance; a letter of its own each, so that a history is a word. Is it possible now? */
static int step(struct instance *i, char letter)
{
	int possible = strchr("exf", letter) ? i->task.pid
		       : letter == 't'	     ? i->deadline != 0
		       : letter == 'l'	     ? i->look != 0
		       : letter == 'r'	     ? i->state == IS_STARTING || i->state == IS_EXECED || i->state == IS_UP
		       : letter == 'z'	     ? i->state == IS_UP
		       : letter == 'q' ? i->state == IS_STARTING || i->state == IS_EXECED || i->state == IS_UP
		       : letter == 'c'	     ? i->state == IS_LISTENING
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
	} else if (letter == 'c') { /* a client connects */
		happen(i, ON_START);
	} else if (letter == 'q') { /* it is quiet: no client for long */
		const struct notice quiet = { .kind = NOTICE_IDLE };
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) || dup2(pair[0], i->orders) < 0 ||
		    send(pair[1], &quiet, sizeof quiet, 0) != sizeof quiet)
			check(NO, "word from inside");
		close(pair[0]);
		close(pair[1]);
		on_inside(i);
		settle();
	}
	if (fake.started != started && (busy || (before != IS_WAITING && before != IS_UNPACKING)))
		check(NO, "'%c' in the state %s starts a process", letter, state_names[before]);
	return possible;
}

/* What is true of an instance between two events; NULL, or what is wrong. */
static const char *wrong(const struct instance *i)
{
	const struct container *c = i->row;
	int active = i->state == IS_UNPACKING || i->state == IS_STARTING || i->state == IS_EXECED ||
		     i->state == IS_UP || i->state == IS_STOPPING;
	int timed = i->state == IS_STARTING || i->state == IS_EXECED || i->state == IS_STOPPING || i->state == IS_BACKING_OFF ||
		    i->state == IS_PARKED;
	int watched = c->health.every && i->state == IS_UP && !i->paused;

	int listens = 0, ports = 0;

	for (const struct port *p = c->ports; p && p->port; p++)
		listens += i->ports[ports++] >= 0;
	if (listens != ports && (active || i->state == IS_LISTENING))
		return "a port where nobody listens";
	if (listens && i->state == IS_DONE)
		return "at rest, and it listens";
	if (rests(i) && (i->net >= 0 || i->users >= 0))
		return "at rest, and it has a network";
	if (i->state == IS_LISTENING && (c->start != ON_CONNECT || i->wanted || i->resting))
		return "it listens, and is wanted, or shall not";
	if (!!i->task.pid != active)
		return active ? "a state without its task" : "a task without its state";
	if (i->root->unpacker == i && i->state != IS_UNPACKING && i->state != IS_STOPPING)
		return "unpacking in another state";
	if (timed && !i->deadline)
		return "it waits for a time that never comes";
	if (!timed && i->deadline)
		return "a deadline where nothing is waited for";
	if (watched != !!i->look && i->state != IS_EXECED)
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
		[IS_LISTENING] = 'c', [IS_EXECED] = 'r',
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
	for (const char *letter = i->row->ready  ? "SPgexftrlz"
				  : i->row->idle ? "SPgexftcq"
						    : "SPgnexft"; *letter && !bad && depth < most; letter++) {
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

/* A log on a terminal: what arrives in pieces comes out as text that steers nothing. */
static void test_print_log(void)
{
	static const char *const pieces[] = { "a\33[31mb\n\n\tc\r", "\n\xc3", "\xa9\xe2\x82", "\xac\xf0\n", "\xff\xe2", "x\xc2" };
	static const char wanted[] = "a?[31mb\n\n\tc?\n\xc3\xa9\xe2\x82\xac?\n??x";
	char got[128];
	int go[2], before = dup(STDOUT_FILENO);

	fflush(stdout);
	if (before < 0 || pipe(go) || dup2(go[1], STDOUT_FILENO) < 0)
		return (void)check(NO, "a pipe for a log");
	for (int i = 0; i < LEN(pieces); i++)
		print_log(pieces[i], strlen(pieces[i]));
	dup2(before, STDOUT_FILENO);
	ssize_t n = read(go[0], got, sizeof got);
	check_bytes(got, n > 0 ? (size_t)n : 0, wanted, sizeof wanted - 1,
		    "a log on a terminal: no byte steers it, and no character is cut");
	close(go[0]);
	close(go[1]);
	close(before);
}

static void test_health(void)
{
	struct instance *i = &instances[WATCHED];

	play(i, "Sgxe");
	check_state(WATCHED, IS_EXECED, "executed is not ready");
	step(i, 't');
	check_number(fake.signal, SIGKILL, "not ready in time: it is killed");
	step(i, 'f');
	check_state(WATCHED, IS_BACKING_OFF, "and has failed");
	check_string(i->note, "not ready in time", "and says why");
	play(i, "Sgxer");
	check_state(WATCHED, IS_UP, "ready is up");
	play(i, "Sgxr");
	check_state(WATCHED, IS_UP, "so is who says it before the supervisor knows that it was executed");
	step(i, 'e');
	check_state(WATCHED, IS_UP, "which changes nothing then");
	play(i, "Sgxer");
	step(i, 'l');
	check_state(WATCHED, IS_STOPPING, "silence is an end");
	check_number(fake.signal, SIGTERM, "in order");
	step(i, 'x');
	check_state(WATCHED, IS_BACKING_OFF, "that counts as a failure");
	play(i, "SgxerlP");
	step(i, 'x');
	check_state(WATCHED, IS_DONE, "unless somebody stops it meanwhile");
	play(i, "Sgx");
	check_number(i->ends, 0, "the end of the unpacker is none of the workload");
	check_number(i->status, 125, "and its status none either");
	play(i, "Sgxerx");
	check_number(i->ends, 1, "that of the workload is");
	play(i, "Sgxeq");
	check_state(WATCHED, IS_EXECED, "no client for long: not before it is ready");
	step(i, 'r');
	settle();
	check_state(WATCHED, IS_STOPPING, "but then it rests");
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

/* Does the loop see that somebody is at a port of that row? It is somebody who waits at fd. */
static int client_seen(int row, int fd, struct epoll_event *seen)
{
	struct pollfd client = { .fd = fd, .events = POLLIN };
	struct epoll_event events[64];

	check_number(poll(&client, 1, 10000), 1, "a client is there");
	int n = epoll_wait(poller, events, LEN(events), 0);
	for (*seen = (struct epoll_event){ 0 }; n-- > 0;)
		if (events[n].data.u64 == ((u64)FROM_PORT << 32 | (unsigned)row))
			*seen = events[n];
	return !!seen->events;
}

/* Somebody connects to the socket, whatever port it has. */
static int client_of(int fd)
{
	struct sockaddr_in6 at;
	struct sockaddr_in to = { .sin_family = AF_INET };
	socklen_t n = sizeof at;
	int client = socket(AF_INET, SOCK_STREAM, 0);

	if (getsockname(fd, (struct sockaddr *)&at, &n))
		check(NO, "the port of a row");
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = at.sin6_port; /* where that of IPv4 is, too */
	check(!connect(client, (struct sockaddr *)&to, sizeof to), "a client connects");
	return client;
}

static void test_listening(void)
{
	struct instance *i = &instances[LAZY];
	struct epoll_event seen;
	int others = 0;

	instances_reset();
	host.only = "lazy";
	start_all();
	host.only = "nobody";
	check_state(LAZY, IS_LISTENING, "ON_CONNECT: at the boot it listens");
	for (int row = 0; row < NCONTAINERS; row++)
		others += row != LAZY && instances[row].state != IS_DONE;
	check_number(others, 0, "and what is left out does not");
	check(is_ready(i), "who comes after it does not wait for its first client");
	check_number(next_due(0), -1, "nor does the loop for a time");

	int client = client_of(i->ports[1]);
	check(client_seen(LAZY, i->ports[1], &seen), "the loop sees a client of any port");
	dispatch(&seen);
	check_state(LAZY, IS_WAITING, "who starts it");
	for (const char *letter = "gxe"; *letter; letter++)
		step(i, *letter);
	check_state(LAZY, IS_UP, "and it comes up");
	check(!client_seen(LAZY, i->ports[1], &seen), "from then on clients are not the loop's");
	step(i, 'q');
	check_state(LAZY, IS_STOPPING, "without clients for long it is stopped");
	check_number(fake.signal, SIGTERM, "in order");
	step(i, 'x');
	check_state(LAZY, IS_LISTENING, "and listens again");
	check_number(i->restarts, 0, "which is no restart");
	check(client_seen(LAZY, i->ports[1], &seen), "who connected while it was stopped is not lost");
	close(client);

	play(i, "Sgxe");
	shutdown(i->ports[0], SHUT_RDWR);
	step(i, 'q');
	step(i, 'x');
	client = client_of(i->ports[0]);
	check(client_seen(LAZY, i->ports[0], &seen), "a port that the container has shut down listens again");
	close(client);

	int elsewhere = dup(i->ports[0]); /* as in a child that was just forked */
	step(i, 'P');
	check_state(LAZY, IS_DONE, "a stop ends the listening");
	check(i->ports[0] < 0 && i->ports[1] < 0, "and closes the ports");
	client = client_of(elsewhere);
	check(!client_seen(LAZY, elsewhere, &seen), "whoever else has them open");
	close(client);
	close(elsewhere);
	play(i, "Sgxeqx");
	ending = 1;
	settle();
	check(all_done(), "at the end nobody listens");
	instances_reset();
}

static void test_resting(void)
{
	struct instance *i = &instances[LAZY];

	play(i, "SgxeqS");
	step(i, 'x');
	check_state(LAZY, IS_WAITING, "a start while it goes to rest: it does not");
	play(i, "SgxeqP");
	step(i, 'x');
	check_state(LAZY, IS_DONE, "a stop while it goes to rest: it does not listen");
	play(i, "Sgxeqf");
	check_state(LAZY, IS_LISTENING, "going to rest with a failure is going to rest");
	play(i, "Sgxef");
	check_state(LAZY, IS_BACKING_OFF, "a failure waits");
	step(i, 't');
	check_state(LAZY, IS_WAITING, "for a restart, and not for a client");
	play(i, "Sgxe");
	fake.time += 1000;
	step(i, 'x');
	check_state(LAZY, IS_LISTENING, "a success waits for the next client");
	play(i, "Sgxex");
	check_state(LAZY, IS_BACKING_OFF, "but a soon one, that may have served nobody, later");
	step(i, 't');
	check_state(LAZY, IS_LISTENING, "then for a client");
	check_number(i->restarts, 0, "and not for a restart");
	play(i, "Sgxe");
	fake.no_port = YES;
	ports_close(i);
	step(i, 'q');
	step(i, 'x');
	check_state(LAZY, IS_BACKING_OFF, "a port that can't be had any more is tried later");
	check(strstr(i->note, "port 80: ") != NULL, "and it says so");
	fake.no_port = NO;
	step(i, 't');
	check_state(LAZY, IS_LISTENING, "to listen there again");
	play(i, "S");
	fake.no_port = YES;
	step(i, 'g');
	check_state(LAZY, IS_BACKING_OFF, "one that is not free yet, too");
	check(strstr(i->note, "port 80: ") != NULL, "and says so");
	instances_reset();
}

static void test_ports(void)
{
	static const uint8_t local[] = { 127, 0, 0, 1 };

	fake.bound = 0;
	play(&instances[LAZY], "Sg");
	const struct sockaddr_in *second = (const struct sockaddr_in *)&fake.at[1];
	check_number(fake.bound, 2, "each of .ports is bound once");
	check(ntohs(fake.at[0].sin6_port) == 80 && ntohs(second->sin_port) == 81, "to its number");
	check(fake.at[0].sin6_family == AF_INET ||
		      !memcmp(&fake.at[0].sin6_addr, &in6addr_any, sizeof in6addr_any),
	      "without an .at to all addresses");
	check(second->sin_family == AF_INET && !memcmp(&second->sin_addr, local, 4),
	      "with one to that");
	instances_reset();
}

/* A row that shares a network waits for it, and keeps it as long as it needs it. */
static void test_share(void)
{
	struct instance *home = &instances[ONCE], *guest = &instances[GUEST];

	play(&instances[LAZY], "Sgxeqx"); /* of the same image */
	step(guest, 'S');
	settle();
	check_state(GUEST, IS_WAITING, "SHARE: the row waits for the other's network");
	guest->impatient = YES;
	check(waits_for(guest) == home, "however impatient it is");
	for (const char *letter = "Sgx"; *letter; letter++)
		step(home, *letter);
	home->task.pid = getpid(); /* one that has namespaces */
	step(home, 'e');
	check(home->net >= 0, "who is up has one, over restarts");
	step(guest, 'g');
	check_state(GUEST, IS_UNPACKING, "and who shares it can start");
	step(guest, 'x');
	guest->task.pid = getpid();
	step(guest, 'e');
	check_state(GUEST, IS_UP, "and come up");
	check_number(guest->net, -1, "without one of its own");
	step(home, 'P');
	step(home, 'x');
	check_state(ONCE, IS_DONE, "the other can stop");
	check(home->net >= 0, "its network stays with who shares it");
	step(guest, 'P');
	step(guest, 'x');
	check_number(home->net, -1, "and goes with the last of them");
	check(!guest->root->unpacked, "as does a root: who only listens needs none");
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
	test_text_length();
	test_format_full();
	test_print();
	test_tables();
	test_log_line();
	test_log_limits();
	test_ring();
	test_ring_show();
	test_error_text();
	test_paths();
	test_digest();
	test_long_names();
	test_files();
	test_tree_empty();
	test_dir_each();
	test_tar_number();
	test_tar_clean();
	test_pax_next();
	test_wait();
	test_versions();
	test_base64();
	test_filter();
	test_filter_programs();
	test_filter_reach();
	test_descriptors(NO);
	test_descriptors(YES);
	test_policy();
	test_knobs();
	test_devices_failed();
	test_environment();
	test_cmdline();
	test_ip_read();
	test_ip_text();
	test_ip_shares();
	test_row_ip();
	test_message_link();
	test_messages();
	test_attribute();
	test_net_ask();
	test_net_each();

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
	test_print_log();
	test_health();
	test_stop();
	test_order();
	test_due();
	test_listening();
	test_resting();
	test_ports();
	test_share();
	test_control();
	tree_empty(top);
	check(!rmdir(place), "nothing is left behind");
	return tap_end();
}
