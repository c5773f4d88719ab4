/*
 * mortal.c - for tests/bench/run: lives for as many ms as /run/bench/life says, and fails
 * gives: in /run/bench/log, "S NS" for its first instruction, "E NS" for its last; CLOCK_MONOTONIC
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct timespec now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t;
}

static void put(int log, char what, struct timespec t)
{
	dprintf(log, "%c %lld%09ld\n", what, (long long)t.tv_sec, t.tv_nsec);
}

int main(void)
{
	struct timespec born = now();
	char life[16] = "";
	int log, file;

	write(3, "\n", 1); /* to s6: it is ready. With others that descriptor is closed. */
	log = open("/run/bench/log", O_WRONLY | O_APPEND);
	file = open("/run/bench/life", O_RDONLY);
	if (log < 0 || file < 0 || read(file, life, sizeof life - 1) <= 0)
		return 2;
	put(log, 'S', born);
	usleep(atoi(life) * 1000);
	put(log, 'E', now());
	return 1;
}
