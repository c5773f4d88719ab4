/*
 * supervise - a workload that does, one after the other, what its arguments say
 *
 * takes: STEP...
 *   say=TEXT     sends TEXT by sd_notify(3), as a client of its own would
 *   print=TEXT   prints a line
 *   sleep=MS     waits
 *   burn=MS      uses so much CPU time; 0: for ever
 *   listen4=PORT listen6=PORT  listens at a port of TCP
 *   turn4=FD,PORT turn6=FD,PORT  makes a listening socket one that connects to that port of the loopback
 *   beat=MS,N    says WATCHDOG=1 so often
 *   tick=MS      prints a number, and the next one after so long, for ever
 *   signals      prints the number of each signal that it gets, from now on
 *   ids          prints its user, group and further groups
 *   args         prints how many arguments follow, and each; they are no steps
 *   send=BYTES   prints so many bytes of every value, through a terminal that changes none
 *   take=BYTES   reads so many through such a terminal, and prints their sum
 *   stay         waits for ever
 *   exit=STATUS  ends
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static const char *value; /* of the step at hand, behind its = */

static int is(const char *step, const char *name)
{
	size_t n = strlen(name);

	value = step + n;
	return !strncmp(step, name, n);
}

static void fail(const char *what)
{
	perror(what);
	exit(99);
}

static void nap(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t))
		;
}

static void say(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strncpy(to.sun_path, path ? path : "/dev/launcher/notify", sizeof to.sun_path - 1);
	if (sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof to) < 0)
		fail(to.sun_path);
	close(fd);
}

static void burn(long ms)
{
	struct timespec t;

	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	while (!ms || t.tv_sec * 1000 + t.tv_nsec / 1000000 < ms);
}

static void listen_at(int family, int port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(family, SOCK_STREAM, 0), is_v4 = family == AF_INET;

	if (bind(fd, is_v4 ? (void *)&v4 : (void *)&v6, is_v4 ? sizeof v4 : sizeof v6) || listen(fd, 1))
		fail("listening");
}

static void turn(int family, const char *what)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(strchr(what, ',') + 1)) };
	struct timeval patience = { .tv_usec = 300000 };
	int fd = atoi(what);

	inet_pton(AF_INET6, family == AF_INET ? "::ffff:127.0.0.1" : "::1", &to.sin6_addr);
	if (shutdown(fd, SHUT_RDWR) || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience))
		fail("a socket that listens no more");
	printf("v%d: %s\n", family == AF_INET ? 4 : 6,
	       connect(fd, (struct sockaddr *)&to, sizeof to) ? strerror(errno) : "connected");
}

static void got(int number)
{
	char text[16];

	write(STDOUT_FILENO, text, (size_t)snprintf(text, sizeof text, "got %d\n", number));
}

static void catch_all(void)
{
	for (int i = 1; i < 65; i++)
		signal(i, got);
}

static void raw(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t))
		return;
	cfmakeraw(&t);
	if (tcsetattr(fd, TCSANOW, &t))
		fail("a raw terminal");
}

static void send_bytes(long n)
{
	uint32_t x = 1;

	raw(STDOUT_FILENO);
	for (; n > 0; n--, x = x * 1664525 + 1013904223)
		putchar((int)(x >> 24));
}

static void take_bytes(long n)
{
	char bytes[4096];
	uint32_t hash = 2166136261;
	ssize_t got_now;

	raw(STDIN_FILENO);
	puts("ready");
	fflush(stdout);
	for (; n > 0 && (got_now = read(STDIN_FILENO, bytes, sizeof bytes)) > 0; n -= got_now)
		for (ssize_t i = 0; i < got_now; i++)
			hash = (hash ^ (unsigned char)bytes[i]) * 16777619;
	printf("sum %08x\n", (unsigned)hash);
}

static void ids(void)
{
	gid_t groups[32];
	int n = getgroups(32, groups);

	printf("%d:%d ", (int)getuid(), (int)getgid());
	for (int i = 0; i < n; i++)
		printf("%d ", (int)groups[i]);
	putchar('\n');
}

static void args(char **argv)
{
	int n = 0;

	while (argv[n])
		n++;
	printf("%d", n);
	for (int i = 0; i < n; i++)
		printf(" [%s]", argv[i]);
	putchar('\n');
}

int main(int argc, char **argv)
{
	long n = 0, times;

	for (char **step = argv + 1; step < argv + argc; step++, fflush(stdout)) {
		if (is(*step, "say="))
			say(value);
		else if (is(*step, "print="))
			puts(value);
		else if (is(*step, "sleep="))
			nap(atol(value));
		else if (is(*step, "burn="))
			burn(atol(value));
		else if (is(*step, "listen4="))
			listen_at(AF_INET, atoi(value));
		else if (is(*step, "listen6="))
			listen_at(AF_INET6, atoi(value));
		else if (is(*step, "turn4="))
			turn(AF_INET, value);
		else if (is(*step, "turn6="))
			turn(AF_INET6, value);
		else if (is(*step, "beat="))
			for (n = atol(value), times = atol(strchr(value, ',') + 1); times--; nap(n))
				say("WATCHDOG=1");
		else if (is(*step, "tick="))
			for (times = atol(value);; nap(times), fflush(stdout))
				printf("tick %ld\n", ++n);
		else if (is(*step, "signals"))
			catch_all();
		else if (is(*step, "send="))
			send_bytes(atol(value));
		else if (is(*step, "take="))
			take_bytes(atol(value));
		else if (is(*step, "stay"))
			for (;;)
				pause();
		else if (is(*step, "ids"))
			ids();
		else if (is(*step, "exit="))
			return atoi(value);
		else if (is(*step, "args"))
			return args(step + 1), 0;
		else
			fail(*step);
	}
	return 0;
}
