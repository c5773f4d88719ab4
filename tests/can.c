/*
 * can - makes a virtual bus, and talks on one, for tests/boot
 *
 * takes: make NAME KIND  a link of the device that needs nothing but a name: vcan, dummy
 *        answer NAME     answers each frame by one with the next identifier and the same data
 *        ask NAME TEXT   says that as frame 123 until it is answered, and prints the answer
 */

#include <errno.h>
#include <linux/can.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROTOCOL_RAW = 1, TRIES = 50, PAUSE = 100 /* ms */ };

static struct {
	struct nlmsghdr head;
	struct ifinfomsg link;
	char attributes[128];
} message;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct rtattr *put(unsigned short type, const void *value, size_t n)
{
	struct rtattr *a = (void *)((char *)&message + message.head.nlmsg_len);

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	memcpy(RTA_DATA(a), value, n);
	message.head.nlmsg_len += RTA_SPACE(n);
	return a;
}

static void make(const char *name, const char *kind)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr body;
		char asked[sizeof message];
	} answer = { 0 };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	message.head.nlmsg_type = RTM_NEWLINK;
	message.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
	message.head.nlmsg_len = NLMSG_SPACE(sizeof message.link);
	put(IFLA_IFNAME, name, strlen(name) + 1);
	struct rtattr *info = put(IFLA_LINKINFO, "", 0);
	put(IFLA_INFO_KIND, kind, strlen(kind) + 1);
	info->rta_len = (unsigned short)((char *)&message + message.head.nlmsg_len - (char *)info);
	if (send(fd, &message, message.head.nlmsg_len, 0) < 0 ||
	    recv(fd, &answer, sizeof answer, 0) < 0)
		die("rtnetlink");
	errno = -answer.body.error;
	if (errno)
		die(name);
}

static int bus(const char *name)
{
	struct sockaddr_can at = { .can_family = AF_CAN, .can_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_CAN, SOCK_RAW, PROTOCOL_RAW);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at))
		die(name);
	return fd;
}

static void answer(int fd)
{
	struct can_frame frame;

	while (read(fd, &frame, sizeof frame) == sizeof frame) {
		frame.can_id++;
		if (write(fd, &frame, sizeof frame) < 0)
			die("answer");
	}
	die("the bus");
}

static void ask(int fd, const char *text)
{
	struct can_frame frame = { .can_id = 0x123, .can_dlc = (unsigned char)strlen(text) }, got;
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	memcpy(frame.data, text, frame.can_dlc);
	for (int i = 0; i < TRIES; i++) {
		if (write(fd, &frame, sizeof frame) < 0)
			die("ask");
		if (poll(&ready, 1, PAUSE) != 1 || read(fd, &got, sizeof got) != sizeof got)
			continue;
		printf("%x %.*s\n", got.can_id, got.can_dlc, (char *)got.data);
		exit(0);
	}
	exit(1);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "make"))
		make(argv[2], argv[3]);
	else if (argc == 3 && !strcmp(argv[1], "answer"))
		answer(bus(argv[2]));
	else if (argc == 4 && !strcmp(argv[1], "ask") && strlen(argv[3]) <= CAN_MAX_DLEN)
		ask(bus(argv[2]), argv[3]);
	else
		return 2;
}
