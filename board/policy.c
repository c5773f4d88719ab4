/*
 * policy - checks what no compiler folds of the rules of the policy, and tells what it takes of a kernel
 *
 * takes: nothing. It is compiled with the policy and the first part of launcher.c, for the machine that builds.
 * gives: lines "WORD 1" or "WORD 0", with the words that board/NAME/modules may begin a line with; or fails
 *        with the sentence of a rule that the policy breaks
 */
#include "words.h"
#include <err.h>
#include <stdio.h>

/* Has it rows or links of that kind, or of any? */
static int has_net(int kind)
{
	for (const struct net *n = network.links; n && n->kind; n++)
		if (!kind || n->kind == kind)
			return 1;
	for (int i = 0; i < NCONTAINERS; i++)
		if (kind ? containers[i].net.kind == kind : containers[i].net.kind != NONE)
			return 1;
	return 0;
}

static int has_written_root(void)
{
	for (int i = 0; i < NCONTAINERS; i++)
		if (containers[i].root)
			return 1;
	return 0;
}

int main(void)
{
	const char *whose, *wrong;

	if (policy_size > 1 << 20) /* DIGESTED_MAX of the launcher */
		errx(1, "it has more than 1 MiB of text");
	rules();
	if (refused)
		errx(1, "%s", refused);
	if ((wrong = networks_wrong(&whose)))
		errx(1, "%s: %s", whose, wrong);
	dprintf(1, "NET %d\nBRIDGE %d\nMACVLAN %d\nIPVLAN %d\nVLAN %d\nOVERLAY %d\nWATCHDOG %d\n", has_net(NONE),
		has_net(NET_BRIDGE), has_net(NET_MACVLAN), has_net(NET_IPVLAN), has_net(NET_VLAN),
		has_written_root(), watchdog.timeout > 0);
	return 0;
}
