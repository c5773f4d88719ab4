/*
 * call - makes system calls, and says of each how the kernel answers
 *
 * takes: CALL... of the table below; none: all of them
 * gives: a line "CALL ANSWER" for each; the answer is ok or the name of an errno
 *
 * Where it does not matter that a call succeeds, its arguments are wrong in a way that the kernel
 * sees only when it gets to see the call at all: EFAULT or EINVAL, and not the EPERM of a filter.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static long do_fork(void)
{
	long child = syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);

	if (!child)
		_exit(0);
	return child; /* who may not wait leaves it to PID 1 */
}

static long do_space(void)
{
	long child = syscall(SYS_clone, (long)(SIGCHLD | CLONE_NEWUSER), 0L, 0L, 0L, 0L);

	if (!child)
		_exit(0);
	return child;
}

/* A port that takes CAP_NET_BIND_SERVICE, if the network does not say otherwise. */
static long do_bind(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(80) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? fd : bind(fd, (struct sockaddr *)&to, sizeof to);
}

static const struct {
	const char *name;
	long (*does)(void);
	long number, args[3];
} calls[] = {
	{ "open", NULL, SYS_openat, { -1, (long)"/", 0 } },
	{ "fork", do_fork, 0, { 0 } },
	{ "priority", NULL, SYS_getpriority, { 0, 0, 0 } },
	{ "schedule", NULL, SYS_sched_getscheduler, { 0, 0, 0 } },
	{ "unix", NULL, SYS_socket, { AF_UNIX, SOCK_STREAM, 0 } },
	{ "inet", NULL, SYS_socket, { AF_INET, SOCK_DGRAM, 0 } },
	{ "route", NULL, SYS_socket, { AF_NETLINK, SOCK_RAW, 0 } },
	{ "audit", NULL, SYS_socket, { AF_NETLINK, SOCK_RAW, 9 } },
	{ "vsock", NULL, SYS_socket, { 40, SOCK_STREAM, 0 } },
	{ "packet", NULL, SYS_socket, { AF_PACKET, SOCK_DGRAM, 0 } },
	{ "bind", do_bind, 0, { 0 } },
	{ "chroot", NULL, SYS_chroot, { 0, 0, 0 } },
	{ "shm", NULL, SYS_shmctl, { -1, 0, 0 } },
	{ "read", NULL, SYS_process_vm_readv, { 1, 0, 0 } },
	{ "time", NULL, SYS_clock_settime, { 0, 0, 0 } },
	{ "mount", NULL, SYS_mount, { 0, 0, 0 } },
	{ "space", do_space, 0, { 0 } },
	{ "push", NULL, SYS_ioctl, { 0, TIOCSTI, 0 } },
	{ "persona", NULL, SYS_personality, { 0x0040000, 0, 0 } },
	{ "reboot", NULL, SYS_reboot, { 0, 0, 0 } },
	{ "key", NULL, SYS_keyctl, { 0, -3, 0 } },
	{ "swap", NULL, SYS_swapon, { 0, 0, 0 } },
	{ "clone3", NULL, SYS_clone3, { 0, 0, 0 } },
	{ "newer", NULL, 511, { 0, 0, 0 } },
	{ "trace", NULL, SYS_ptrace, { 0, 0, 0 } }, /* PTRACE_TRACEME: the last, for it changes us */
};

static const char *answer(long result)
{
	static char other[24];

	if (result >= 0)
		return "ok";
	switch (errno) {
	case EPERM: return "EPERM";
	case EACCES: return "EACCES";
	case EFAULT: return "EFAULT";
	case EINVAL: return "EINVAL";
	case ENOSYS: return "ENOSYS";
	case ENOTTY: return "ENOTTY";
	case EAFNOSUPPORT: return "EAFNOSUPPORT";
	}
	snprintf(other, sizeof other, "errno-%d", errno);
	return other;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		int asked = argc < 2;
		for (int k = 1; k < argc; k++)
			asked |= !strcmp(argv[k], calls[i].name);
		if (!asked)
			continue;
		const long *a = calls[i].args;
		long result = calls[i].does ? calls[i].does()
					    : syscall(calls[i].number, a[0], a[1], a[2], 0L, 0L, 0L);
		printf("%s %s\n", calls[i].name, answer(result));
		fflush(stdout);
	}
	return 0;
}
