/*
 * init - what an initramfs with more in it may have done before it executes the launcher
 *
 * takes: /policy.selinux, /policy.apparmor  loaded, the former enforced, if that module is active
 *        cgroup1=NAME,...  on the kernel command line: these controllers are mounted below
 *                          /sys/fs/cgroup, each on its own, as before cgroup v2
 *        cgroup2=NAME      where that one is mounted beside them
 * gives: /launcher as PID 1; what was mounted on the way is not, apart from cgroups
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define CGROUPS "/sys/fs/cgroup"

static void die(const char *what)
{
	dprintf(2, "init: %s: %m\n", what);
	exit(1); /* the kernel panics, and the test sees it */
}

static void must_mount(const char *type, const char *at, const char *options)
{
	mkdir(at, 0755);
	if (mount(type, at, type, 0, options))
		die(at);
}

/* A policy is one write, whatever its size. */
static int put(const char *file, const void *data, size_t size)
{
	int fd = open(file, O_WRONLY);
	int failed = fd < 0 || write(fd, data, size) != (ssize_t)size;

	close(fd);
	return failed;
}

static int load(const char *policy, const char *file)
{
	static char data[1 << 20];
	int fd = open(policy, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, data, sizeof data);

	if (n <= 0)
		return 0;
	close(fd);
	if (put(file, data, (size_t)n))
		die(policy);
	return 1;
}

static void load_policies(void)
{
	if (!mount("selinuxfs", "/sys/fs/selinux", "selinuxfs", 0, NULL)) {
		if (load("/policy.selinux", "/sys/fs/selinux/load") &&
		    put("/sys/fs/selinux/enforce", "1", 1))
			die("enforcing");
		umount("/sys/fs/selinux");
	}
	must_mount("securityfs", "/sys/kernel/security", NULL);
	if (!access("/sys/kernel/security/apparmor", F_OK))
		load("/policy.apparmor", "/sys/kernel/security/apparmor/.load");
	umount("/sys/kernel/security");
}

static void mount_cgroups(char *old, const char *new)
{
	char path[64];

	must_mount("tmpfs", CGROUPS, "mode=755");
	for (char *name = strtok(old, ","); name; name = strtok(NULL, ",")) {
		snprintf(path, sizeof path, CGROUPS "/%s", name);
		must_mount("cgroup", path, name);
	}
	if (new) {
		snprintf(path, sizeof path, CGROUPS "/%s", new);
		must_mount("cgroup2", path, NULL);
	}
}

int main(int argc, char **argv)
{
	char *cgroups = getenv("cgroup1");

	(void)argc;
	must_mount("sysfs", "/sys", NULL);
	load_policies();
	if (cgroups)
		mount_cgroups(cgroups, getenv("cgroup2"));
	else
		umount("/sys");
	unsetenv("cgroup1");
	unsetenv("cgroup2");
	execv("/launcher", argv);
	die("/launcher");
}
