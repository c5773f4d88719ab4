/*
 * counts.c - the workload of tests/counts: without an argument it is done at once, with one it never is
 */
#include <unistd.h>

int main(int argc, char **argv) {
	(void)argv;
	while (argc > 1) pause();
	return 0;
}
