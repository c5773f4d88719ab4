/*
 * learn.c - for tests/learn: makes the system calls that its arguments name; is sorry if one fails
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void *thread(void *nothing) { return nothing; }

static long file(void) { return open("/", O_RDONLY); }

static long children(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? -1 : waitpid(pid, NULL, 0);
}

static long threads(void)
{
	pthread_t id;

	errno = pthread_create(&id, NULL, thread, NULL);
	return errno ? -1 : pthread_join(id, NULL);
}

static long pair(void)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

/* Both with other calls of their group, which say nothing about the family. */
static long listening(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	return fd < 0 ? -1 : listen(fd, 1) && errno != EINVAL ? -1 : 0;
}

static long local(void) { return listening(AF_UNIX); }
static long inet(void) { return listening(AF_INET); }
static long inet6(void) { return socket(AF_INET6, SOCK_DGRAM, 0); }
static long route(void) { return socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE); }
static long uevent(void) { return socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT); }
static long packet(void) { return socket(AF_PACKET, SOCK_RAW, 0); }
static long vsock(void) { return socket(AF_VSOCK, SOCK_STREAM, 0); }
static long user(void) { return setuid(getuid()); }
static long groups(void) { return syscall(SYS_setgroups, 0, NULL); }
static long shm(void) { return shmget(IPC_PRIVATE, 4096, 0600); }
static long traced(void) { return ptrace(PTRACE_TRACEME, 0, NULL, NULL); }

static long memory(void)
{
	char from = 'x', to = 0;
	struct iovec out = { &to, 1 }, in = { &from, 1 };

	return syscall(SYS_process_vm_readv, getpid(), &out, 1, &in, 1, 0);
}

static long adjust(void)
{
	struct timex t = { .modes = 0 };

	return syscall(SYS_adjtimex, &t);
}

static long set_clock(void) { return clock_settime(CLOCK_REALTIME, &(struct timespec){ 1, 0 }); }
static long spaces(void) { return unshare(CLONE_NEWUTS | CLONE_NEWUSER); }

static long child_spaces(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		_exit(0);
	return pid;
}

static long keys(void) { return syscall(SYS_keyctl, 0, -3, 0); }
static long unknown(void) { return syscall(600); }
static long type(void) { return ioctl(0, TIOCSTI, "x"); }

static const struct {
	const char *name;
	long (*call)(void);
} calls[] = {
	{ "file", file },       { "children", children },   { "threads", threads }, { "pair", pair },
	{ "local", local },     { "inet", inet },           { "inet6", inet6 },     { "route", route },
	{ "uevent", uevent },   { "packet", packet },       { "vsock", vsock },     { "user", user },
	{ "groups", groups },   { "shm", shm },             { "traced", traced },   { "memory", memory },
	{ "adjust", adjust },   { "clock", set_clock },         { "spaces", spaces },   { "child_spaces", child_spaces },
	{ "keys", keys },       { "unknown", unknown },     { "type", type },
};

int main(int argc, char **argv)
{
	int sorry = 0;

	for (int i = 1; i < argc; i++)
		for (unsigned n = 0; n < sizeof calls / sizeof *calls; n++)
			if (!strcmp(calls[n].name, argv[i]) && calls[n].call() < 0) {
				dprintf(2, "%s: %s\n", argv[i], strerror(errno));
				sorry = 1;
			}
	return sorry;
}
