/* For builds of launcher.c with sanitizers, which come with the machine's own C library. */
#define _GNU_SOURCE
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#undef alloca
#undef makedev
#define makedev(major, minor) ((major) << 8 | (minor)) /* glibc's is no constant */
#define error(sentence) weak /* what is instrumented does not fold, so the rules would all fire */

/* The sanitizers make system calls of their own. */
#undef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS SECCOMP_RET_ALLOW
