/*
 * turns.c - for tests/bench/run: runs contestants in turn, each from its first instruction until it is reaped
 *
 * takes: LIST  a contestant a line: NAME, a tab, COMMAND [ARGUMENT]... [; COMMAND...]. Of a word, % becomes a number
 *              that no other run has; N<FILE opens a file as descriptor N; @FILE is a mount namespace, entered before
 *        LOG   what they say
 *        [ROUNDS]
 * gives: a line for each: NAME, a tab, and its times in ms, or "failed", its status and the last that it said
 *
 * As PID 1 of a board it starts /launcher in its own place, waits for its control socket, has its
 * lists in /bench and as many rounds as `rounds=` on the kernel's command line says, and powers off.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 32, WORDS = 64, WARM_UPS = 2, PATIENCE = 60 }; /* the last: seconds */

extern char **environ;

static struct contestant {
	char *name, *command;
	double *took; /* ms of each round */
	int space;    /* its mount namespace, if it is not ours */
	int status;   /* what it has failed with */
	char why[200];
} contestants[MOST];

static int count, runs, rounds, own_space;
static const char *log_file;
static volatile pid_t running;

static void too_long(int signal) {
	(void)signal;
	kill(running, SIGKILL);
}

static double now(void) {
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e3 * t.tv_sec + 1e-6 * t.tv_nsec;
}

static void list_read(const char *path) {
	static char line[16384];
	FILE *list = fopen(path, "r");

	if (!list) {
		perror(path);
		exit(1);
	}
	while (count < MOST && fgets(line, sizeof line, list)) {
		struct contestant *c = &contestants[count];
		char *command = strchr(line, '\t');

		line[strcspn(line, "\n")] = '\0';
		if (!command) continue;
		*command++ = '\0';
		c->space = -1;
		if (*command == '@') {
			char *end = strchr(command, ' ');

			*end = '\0';
			c->space = open(command + 1, O_RDONLY | O_CLOEXEC);
			command = end + 1;
		}
		c->name = strdup(line);
		c->command = strdup(command);
		c->took = calloc((size_t)rounds, sizeof *c->took);
		count++;
	}
	fclose(list);
}

/* The words of a command, up to a semicolon, behind which *at is then; what they open goes to files. */
static void words(char **at, char *to[WORDS], posix_spawn_file_actions_t *files) {
	static char numbered[WORDS][64];
	int n = 0;

	for (char *word; (word = strtok_r(NULL, " ", at)) && strcmp(word, ";") && n < WORDS - 1;) {
		char *mark = strchr(word, '%'), *from = strchr(word, '<');

		if (from) {
			posix_spawn_file_actions_addopen(files, atoi(word), from + 1, O_RDONLY, 0);
			continue;
		}
		if (mark) {
			snprintf(numbered[n], sizeof numbered[n], "%.*s%d-%d%s", (int)(mark - word),
				 word, (int)getpid(), runs, mark + 1);
			word = numbered[n];
		}
		to[n++] = word;
	}
	to[n] = NULL;
}

/* The status of one command of a contestant, as a shell has it. */
static int command_run(char **at) {
	posix_spawn_file_actions_t files;
	char *argv[WORDS];
	pid_t pid;
	int status;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, log_file, O_WRONLY | O_APPEND | O_CREAT, 0644);
	posix_spawn_file_actions_adddup2(&files, 1, 2);
	words(at, argv, &files);
	status = argv[0] ? posix_spawn(&pid, argv[0], &files, NULL, argv, environ) : 0;
	posix_spawn_file_actions_destroy(&files);
	if (!argv[0]) return 0;
	if (status) return 127;
	running = pid;
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The last line that the log has got behind that offset. */
static void last_words(off_t from, char *to, size_t size) {
	char text[2000];
	int fd = open(log_file, O_RDONLY);
	off_t end = lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, text, sizeof text - 1,
			  end - from < (off_t)sizeof text ? from : end - (off_t)sizeof text + 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	while (n > 0 && (unsigned char)text[n - 1] <= ' ') text[--n] = '\0';
	snprintf(to, size, "%.*s", (int)size - 1,
		 strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text);
}

static off_t log_size(void) {
	struct stat st;

	return stat(log_file, &st) ? 0 : st.st_size;
}

static void turn(struct contestant *c, double *took) {
	char *commands = strdup(c->command), *at = commands;
	off_t said = log_size();
	double began;

	runs++;
	if (c->space >= 0) setns(c->space, CLONE_NEWNS);
	usleep((unsigned)runs * 7919 %
	       10000); /* at another moment of the kernel's clocks each time */
	alarm(PATIENCE);
	began = now();
	while (at && *at && !c->status) c->status = command_run(&at);
	*took = now() - began;
	alarm(0);
	if (c->space >= 0) setns(own_space, CLONE_NEWNS);
	if (c->status) last_words(said, c->why, sizeof c->why);
	free(commands);
}

static void device_become(void) {
	mkdir("/proc", 0555);
	mount("proc", "/proc", "proc", 0, NULL);
	rounds = getenv("rounds") ? atoi(getenv("rounds")) : 1;
	if (fork()) {
		execl("/launcher", "/launcher", NULL);
		perror("/launcher");
		_exit(1);
	}
	/* It leaves the initramfs, and we follow. */
	while (access("/proc/1/root/run/launcher/control", F_OK)) usleep(10000);
	if (chroot("/proc/1/root") || chdir("/")) perror("following the launcher");
	/* LXC wants a terminal, and a root that has relatime, which nobody can give it later. */
	mkdir("/dev/pts", 0755);
	if (mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=0666") ||
	    mount("/bench/root", "/bench/root", NULL, MS_BIND, NULL) ||
	    mount(NULL, "/bench/root", NULL, MS_REMOUNT | MS_BIND | MS_RELATIME, NULL))
		perror("mounts for LXC");
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
}

int main(int argc, char **argv) {
	int is_device = getpid() == 1;
	const char *list = is_device ? "/bench/list" : argv[1];
	double unused;

	if (is_device)
		device_become();
	else if (argc != 4) {
		fprintf(stderr, "usage: turns LIST LOG ROUNDS\n");
		return 2;
	} else
		rounds = atoi(argv[3]);
	log_file = is_device ? "/run/turns.log" : argv[2];
	own_space = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	signal(SIGALRM, too_long);
	list_read(list);
	for (int round = -WARM_UPS; round < rounds; round++)
		for (struct contestant *c = contestants; c < contestants + count; c++)
			if (!c->status) turn(c, round < 0 ? &unused : &c->took[round]);
	for (struct contestant *c = contestants; c < contestants + count; c++) {
		printf("turns: %s\t", c->name);
		if (c->status) printf("failed %d: %s", c->status, c->why);
		for (int i = 0; i < rounds && !c->status; i++) printf("%.4f ", c->took[i]);
		printf("\n");
	}
	fflush(stdout);
	if (is_device) execl("/launcher", "/launcher", "poweroff", NULL);
	return 0;
}
