/*
 * shim - a kernel that lacks some system calls
 *
 * takes: CALL[,CALL...] PROGRAM [ARGUMENT...]; a call is one of the table, or a number
 * gives: what PROGRAM does, for which and for whose children those calls do not exist (ENOSYS)
 *
 * It needs CAP_SYS_ADMIN and does not set no_new_privs, which would change what is tested.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_CALLS 100
#define CALL(name) { #name, SYS_##name }

static const struct {
	const char *name;
	int number;
} calls[] = {
	CALL(bpf), CALL(clone3), CALL(close_range), CALL(copy_file_range), CALL(execveat),
	CALL(faccessat2), CALL(finit_module), CALL(fsconfig), CALL(fsmount), CALL(fsopen),
	CALL(fspick), CALL(getdents64), CALL(getrandom), CALL(io_uring_setup), CALL(landlock_create_ruleset),
	CALL(memfd_create), CALL(mount_setattr), CALL(move_mount), CALL(name_to_handle_at),
	CALL(open_tree), CALL(openat2), CALL(pidfd_getfd), CALL(pidfd_open),
	CALL(pidfd_send_signal), CALL(preadv2), CALL(renameat2), CALL(seccomp), CALL(setns),
	CALL(statx), CALL(waitid),
};

static int number_of(const char *name)
{
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		if (!strcmp(name, calls[i].name))
			return calls[i].number;
	char *end;
	long number = strtol(name, &end, 10);
	if (end == name || *end) {
		fprintf(stderr, "shim: no call is known as '%s'\n", name);
		exit(2);
	}
	return (int)number;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fputs("usage: shim CALL[,CALL...] PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	struct sock_filter code[2 + 2 * MOST_CALLS] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	unsigned short n = 1;
	for (char *name = strtok(argv[1], ","); name && n <= 2 * MOST_CALLS; name = strtok(NULL, ",")) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ, (unsigned)number_of(name), 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET, SECCOMP_RET_ERRNO | ENOSYS);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { n, code };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) {
		perror("shim: seccomp");
		return 1;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
