/*
 * misbehave - a workload for each way in which one can misbehave
 *
 * takes: NAME of the table at the end
 * gives: a line when it is as bad as it will get; most of them never end
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int arguments;
static char **words;

#define say(...) dprintf(STDOUT_FILENO, __VA_ARGS__)

static const char *why(void)
{
	return strerror(errno);
}

static void stay(void)
{
	for (;;)
		pause();
}

static void rest(long microseconds)
{
	nanosleep(&(struct timespec){ microseconds / 1000000, microseconds % 1000000 * 1000 }, NULL);
}

static void deaf(void)
{
	for (int i = 1; i < 65; i++)
		signal(i, SIG_IGN);
}

/* -- the memory and the CPU -- */

static void fork_bomb(void)
{
	say("bomb\n");
	for (;;)
		fork();
}

static void *thread(void *unused)
{
	stay();
	return unused;
}

static void thread_bomb(void)
{
	pthread_t id;
	int n = 1;

	while (!pthread_create(&id, NULL, thread, NULL))
		n++;
	say("%d threads\n", n);
	stay();
}

static void memory_hog(void)
{
	for (;;) {
		char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p != MAP_FAILED)
			memset(p, 1, 65536);
	}
}

static void fill_file(const char *path)
{
	static char block[65536];
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	memset(block, 1, sizeof block);
	while (write(fd, block, sizeof block) > 0)
		;
	say("full: %s\n", why());
	stay();
}

static void shm_hog(void)
{
	fill_file("/dev/shm/x");
}

static void tmpfs_hog(void)
{
	fill_file("/tmp/x");
}

static void file_hog(void)
{
	char path[32];
	int n = 0;

	for (;; n++) {
		snprintf(path, sizeof path, "/tmp/%d", n);
		if (open(path, O_WRONLY | O_CREAT, 0600) < 0)
			break;
	}
	say("%d files: %s\n", n, why());
	stay();
}

static void cpu_hog(void)
{
	say("nice: %s\n", setpriority(PRIO_PROCESS, 0, -20) ? why() : "done");
	for (int i = 1; i < 8; i++)
		if (!fork())
			break;
	for (volatile int i = 0;; i++)
		;
}

/* Takes all that it can as soon as it shall end. */
static void on_term_hog(int signal)
{
	(void)signal;
	memory_hog();
}

static void grow_late(void)
{
	signal(SIGTERM, on_term_hog);
	say("waits\n");
	stay();
}

static void open_all(void)
{
	int n = 3;

	while (open("/dev/null", O_RDONLY) >= 0)
		n++;
	say("%d descriptors: %s\n", n, why());
	stay();
}

static void fill_pipe(void)
{
	static char block[4096];
	int ends[2];

	say("pipe\n");
	if (!pipe(ends))
		while (write(ends[1], block, sizeof block) > 0)
			;
}

/* -- the log -- */

static void flood_lines(void)
{
	for (unsigned n = 1;; n++)
		say("line %u of many\n", n);
}

static void flood_long(void)
{
	static char block[65536];

	memset(block, 'x', sizeof block);
	for (int i = 0; i < 200 << 20 >> 16; i++)
		if (write(STDOUT_FILENO, block, sizeof block) != sizeof block)
			exit(1);
}

static void flood_bytes(void)
{
	static const char line[] = "one byte after the other\n";

	for (const char *p = line;; p = p[1] ? p + 1 : line)
		if (write(STDOUT_FILENO, p, 1) != 1)
			exit(1);
}

static void flood_zeros(void)
{
	static const char zeros[64];

	while (write(STDOUT_FILENO, zeros, sizeof zeros) > 0)
		;
}

static void flood_tty(void)
{
	static char block[4096];

	memset(block, 'y', sizeof block);
	while (write(STDOUT_FILENO, block, sizeof block) > 0)
		;
}

static void escapes(void)
{
	for (;;) {
		say("\33[2J\33]0;owned\7 %s \377\376\300\257\355\240\200\342\200 end\n", "\303\274");
		if (write(STDOUT_FILENO, "a\0b\rc\n", 6) != 6)
			exit(1);
		rest(100000);
	}
}

static void close_stdio(void)
{
	say("closes\n");
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	stay();
}

/* -- the end -- */

static void ignore_term(void)
{
	signal(SIGTERM, SIG_IGN);
	say("ignores\n");
	stay();
}

static void block_all(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	say("blocks\n");
	stay();
}

static void sessions(void)
{
	deaf();
	for (int i = 0; i < 10; i++)
		if (!fork()) {
			setsid();
			stay();
		}
	say("10 sessions\n");
	stay();
}

static void stop_itself(void)
{
	say("stops\n");
	raise(SIGSTOP);
	stay();
}

/* Leaves a child behind that has nothing of its parent. */
static void daemonize(void)
{
	if (fork())
		exit(0);
	setsid();
	if (fork())
		exit(0);
	close_stdio();
}

static void hold_log(void)
{
	if (fork())
		exit(0);
	setsid();
	deaf();
	stay();
}

static void hang_in_vfork(void)
{
	say("vfork\n");
	if (!vfork())
		for (;;)
			pause();
}

static void segfault(void)
{
	volatile char *volatile nowhere = NULL;

	*nowhere = 1;
}

static void succeed(void)
{
}

static void exit_255(void)
{
	exit(255);
}

static void exec_other(void)
{
	say("executes\n");
	execl("/misbehave", "[something else]", "stay", NULL);
}

static void rename_itself(void)
{
	prctl(PR_SET_NAME, "launcher");
	for (char *p = words[0]; p < words[arguments - 1] + strlen(words[arguments - 1]); p++)
		*p = 'L';
	say("renamed\n");
	stay();
}

/* -- other processes -- */

static void kill_all(void)
{
	int n = 0;

	for (int i = 0; i < 3; i++)
		if (!fork()) {
			setsid();
			stay();
		}
	kill(-1, SIGKILL);
	while (wait(NULL) > 0)
		n++;
	say("%d killed\n", n);
	stay();
}

static void kill_init(void)
{
	int refused = 0;

	for (int i = 0; i < 65; i++)
		refused += kill(1, i) && errno == EPERM;
	say("%d refused\n", refused);
	stay();
}

/* With CAP_KILL: PID 1 hands what it gets on to us. */
static void storm_init(void)
{
	int sent = 0;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int i = 0; i < 100000; i++)
		sent += !kill(1, 1 + i % 31);
	say("%d sent\n", sent);
	stay();
}

static void orphans(void)
{
	for (int n = 0; n < 2000;) {
		pid_t child = fork();
		if (child < 0) {
			rest(1000);
		} else if (!child) {
			if (!fork()) {
				srandom((unsigned)getpid());
				rest(random() % 20000);
			}
			_exit(0);
		} else {
			waitpid(child, NULL, 0);
			n++;
		}
	}
	say("left\n");
	stay();
}

static void zombies(void)
{
	int n = 0;
	pid_t child;

	for (; n < 1000 && (child = fork()); n += child > 0)
		if (child < 0)
			rest(1000);
	if (n < 1000)
		_exit(0);
	say("%d children\n", n);
	stay();
}

static void trace_itself(void)
{
	say("traceme: %s\n", ptrace(PTRACE_TRACEME, 0, 0, 0) ? why() : "done");
	say("attach: %s\n", ptrace(PTRACE_ATTACH, 1, 0, 0) ? why() : "done");
	stay();
}

/* Holds a child in a stop, that nobody ends. */
static void trace_child(void)
{
	pid_t child = fork();

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		stay();
	}
	waitpid(child, NULL, 0);
	say("holds\n");
	stay();
}

/* -- the launcher -- */

static int notify_open(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", getenv("NOTIFY_SOCKET"));
	if (connect(fd, (struct sockaddr *)&at, sizeof at)) {
		say("notify: %s\n", why());
		stay();
	}
	return fd;
}

static void flood_notify(void)
{
	static const char text[] = "READY=1\nSTATUS=\33[31mflood %n\nWATCHDOG=1\n";
	int fd = notify_open();

	for (int i = 1; i < 4; i++)
		if (!fork())
			break;
	for (;;)
		send(fd, text, sizeof text - 1, 0);
}

static void send_descriptors(int to, int fd, int n)
{
	static union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(250 * sizeof(int))];
	} control;
	struct iovec piece = { "READY=", 6 };
	struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control };

	m.msg_controllen = CMSG_SPACE((unsigned)n * sizeof fd);
	control.head.cmsg_len = CMSG_LEN((unsigned)n * sizeof fd);
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	for (int i = 0; i < n; i++)
		memcpy(CMSG_DATA(&control.head) + i * (int)sizeof fd, &fd, sizeof fd);
	sendmsg(to, &m, 0);
}

/* All but what it should say, and that at last. */
static void rubbish_notify(void)
{
	static const char *const lies[] = { "", "\n", "READY=10", "READY=1x", " READY=1", "READY=",
					    "READY", "=1", "ready=1", "READY=0", "STATUS=", "STATUS" };
	static char block[65536];
	int fd = notify_open();

	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
		send(fd, lies[i], strlen(lies[i]), 0);
	for (int i = 0; i < 500; i++) {
		for (size_t k = 0; k < sizeof block; k++)
			block[k] = (char)random();
		send(fd, block, (size_t)random() % sizeof block, 0);
		send_descriptors(fd, fd, 250);
	}
	memset(block, 'R', sizeof block);
	send(fd, block, sizeof block, 0);
	say("has lied\n");
	rest(300000);
	send(fd, "STATUS=honest\nREADY=1", 21, 0);
	stay();
}

/* Sends to the socket that the arguments name what nobody closes at once: a connection that lingers, with data to send. */
static void linger(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct linger patience = { .l_onoff = 1, .l_linger = 5 };
	socklen_t size = sizeof at;
	static char block[65536];
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), peer, way;

	if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&at, &size) || connect(fd, (struct sockaddr *)&at, size) ||
	    (peer = accept(listener, NULL, NULL)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &patience, sizeof patience))
		say("a connection: %s\n", why());
	while (send(fd, block, sizeof block, MSG_DONTWAIT) > 0)
		;
	snprintf(to.sun_path, sizeof to.sun_path, "%s", arguments > 2 ? words[2] : "");
	way = socket(AF_UNIX, strstr(to.sun_path, "notify") ? SOCK_DGRAM : SOCK_SEQPACKET, 0);
	if (connect(way, (struct sockaddr *)&to, sizeof to))
		say("%s: %s\n", to.sun_path, why());
	send_descriptors(way, fd, 1);
	close(fd);
	close(way);
	say("lingers\n");
	stay();
}

static void write_launcher(void)
{
	static const char *const names[] = { "/dev/launcher", "/dev/launcher/launcher",
					     "/dev/launcher/control", "/dev/launcher/new" };
	int done = 0;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		done += open(names[i], O_WRONLY | O_CREAT | O_TRUNC, 0666) >= 0;
		done += !truncate(names[i], 0);
		done += !unlink(names[i]);
		done += !rename(names[i], "/tmp/x");
		done += !chmod(names[i], 0777);
		done += !chown(names[i], 1, 1);
		done += !link(names[i], "/tmp/y");
		done += !mkdir(names[i], 0777);
	}
	say("%d succeeded\n", done);
	stay();
}

/* -- the neighbour -- */

static void quiet(void)
{
	for (unsigned n = 1;; n++) {
		say("quiet %u\n", n);
		rest(20000);
	}
}

static const struct {
	const char *name;
	void (*does)(void);
} table[] = {
	{ "fork-bomb", fork_bomb },       { "thread-bomb", thread_bomb },
	{ "memory-hog", memory_hog },     { "shm-hog", shm_hog },
	{ "tmpfs-hog", tmpfs_hog },       { "file-hog", file_hog },
	{ "cpu-hog", cpu_hog },           { "grow-late", grow_late },
	{ "open-all", open_all },         { "fill-pipe", fill_pipe },
	{ "flood-lines", flood_lines },   { "flood-long", flood_long },
	{ "flood-bytes", flood_bytes },   { "flood-zeros", flood_zeros },
	{ "flood-tty", flood_tty },       { "escapes", escapes },
	{ "close-stdio", close_stdio },   { "ignore-term", ignore_term },
	{ "block-all", block_all },       { "sessions", sessions },
	{ "stop-itself", stop_itself },   { "daemon", daemonize },
	{ "hold-log", hold_log },         { "vfork", hang_in_vfork },
	{ "segfault", segfault },         { "succeed", succeed },
	{ "exit-255", exit_255 },         { "exec-other", exec_other },
	{ "rename", rename_itself },      { "kill-all", kill_all },
	{ "kill-init", kill_init },       { "storm-init", storm_init },
	{ "orphans", orphans },           { "zombies", zombies },
	{ "trace-itself", trace_itself }, { "trace-child", trace_child },
	{ "flood-notify", flood_notify }, { "rubbish-notify", rubbish_notify },
	{ "write-launcher", write_launcher }, { "linger", linger },
	{ "quiet", quiet },               { "stay", stay },
};

int main(int argc, char **argv)
{
	arguments = argc;
	words = argv;
	for (size_t i = 0; i < sizeof table / sizeof *table && argc > 1; i++)
		if (!strcmp(argv[1], table[i].name)) {
			table[i].does();
			return 0;
		}
	say("there is no '%s'\n", argc > 1 ? argv[1] : "");
	return 2;
}
