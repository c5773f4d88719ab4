/*
 * held.c - for tests/bench/run: a workload that does nothing; and the floor, the least that can hold N of them: one
 * process, and a PID 1 in each container, which make the system calls that this takes and nothing else
 * takes: nothing; or N ROOT, a directory with this program as /held and with an empty /proc and /dev
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int inside(const char *root) {
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(root, root, NULL, MS_BIND | MS_REC, NULL) || chdir(root) ||
	    mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) ||
	    mount("dev", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k") ||
	    syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH))
		return 1;
	if (!vfork()) {
		execl("/held", "held", NULL);
		_exit(127);
	}
	return wait(NULL) < 0;
}

int main(int argc, char **argv) {
	const int spaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC |
			   CLONE_NEWCGROUP;

	for (int n = argc == 3 ? atoi(argv[1]) : 0; n; n--)
		if (!syscall(SYS_clone, spaces | SIGCHLD, 0, 0, 0, 0)) _exit(inside(argv[2]));
	while (argc < 3) pause();
	while (wait(NULL) > 0)
		;
	return 0;
}
