/* The policy of tests/network: rows in every kind of network, and ways to reach them. */
/* clang-format off */
#define LOG_SIZE KiB(16)

enum { ALPHA, BETA, OPEN_A, OPEN_B, LONER, OWNER, GUEST, HOSTED, BUS, SPARE, NAKED, NOWHERE, TAKEN, ECHO_ROW, HANDED, SERVER, SHOP,
       LAZY, EAGER, ADMINISTRATOR, DHCP, CALLER, NCONTAINERS };

#define ROW(NAME) .name = NAME, .image = "toybox.img", .pids = 16, .cpu.max = PERCENT(100), .stop.signal = SIGKILL, \
	.backoff.first = MILLISECONDS(50)
#define SLEEPS .command = ARGV("sleep", "1000000"), .restart = ALWAYS
#define ECHOES .command = ARGV("nc", "-p", "80", "-L", "cat")
#define DEBIAN(NAME) .name = NAME, .image = "debian.img", .memory.max = MiB(128), .pids = 16, .cpu.max = PERCENT(200), \
	.tmpfs = LIST(tmpfs, { "/run", MiB(1) }, { "/tmp", MiB(1) }, { "/var/log", MiB(1) }, { "/var/lib/nginx", MiB(1) })
#define NGINX .command = ARGV("nginx", "-c", "/srv/nginx.conf")

static const struct network network = {
	.links = LIST(net, BRIDGE("lrtest1", "10.44.0.1/16", .address6 = "fd44::1/64", .mac = "02:00:00:00:44:01")),
	.resolvers = ARGV("10.44.0.1", "fd44::1"),
};

static const struct container containers[] = {
	[ALPHA] = { ROW("alpha"), SLEEPS, .net = BRIDGE("lrtest0") },
	[BETA] = { ROW("beta"), ECHOES, .restart = ALWAYS, .net = BRIDGE("lrtest0") },
	[OPEN_A] = { ROW("open-a"), SLEEPS, .net = BRIDGE("lrtest1", .open = YES) },
	[OPEN_B] = { ROW("open-b"), .command = ARGV("nc", "-6", "-p", "80", "-L", "cat"), .restart = ALWAYS, .net = BRIDGE("lrtest1", "10.44.7.7/16", .address6 = "fd44::77/64",
		.open = YES, .mac = "02:00:00:00:00:77", .mtu = 1400, .gateway = "10.44.0.1", .gateway6 = "fd44::1",
		.routes = LIST(route, { "10.99.0.0/16", "10.44.9.9" }, { "10.98.0.0/16" }, { "fd98::/32", "fd44::9" })) },
	[LONER] = { ROW("loner"), SLEEPS },
	[OWNER] = { ROW("owner"), ECHOES, .restart = ALWAYS, .net = BRIDGE("lrtest1") },
	[GUEST] = { ROW("guest"), SLEEPS, .net = SHARE("owner") },
	[HOSTED] = { ROW("hosted"), SLEEPS, .net = HOST },
	[BUS] = { ROW("bus"), .command = ARGV("sleep", "1000000"), .net = DEVICE("lrmove0") },
	[SPARE] = { ROW("spare"), SLEEPS, .net = DEVICE("lrmove1", "10.45.0.2/24"), .keep = CAPS(NET_ADMIN) },
	[NAKED] = { ROW("naked"), .command = ARGV("sleep", "1000000"), .net = MACVLAN("lrlower", "10.46.0.2/24") },
	[NOWHERE] = { ROW("nowhere"), .command = ARGV("sleep", "1000000"), .net = DEVICE("lrnone0") },
	[TAKEN] = { ROW("taken"), .command = ARGV("sleep", "1000000"), .ports = LIST(port, { 18099 }) },
	[ECHO_ROW] = { ROW("echo"), ECHOES, .restart = ALWAYS, .ports = LIST(port, { 18080, .to = 80 }) },
	[HANDED] = { DEBIAN("handed"), .restart = ALWAYS, .ports = LIST(port, { 18081 }, { 18082, .at = "127.0.0.1" }),
		.command = ARGV("lighttpd", "-D", "-f", "/srv/lighttpd.conf") },
	[SERVER] = { DEBIAN("server"), NGINX, .restart = ALWAYS, .ports = LIST(port, { 18090, .to = 80 }) },
	[SHOP] = { DEBIAN("shop"), NGINX, .restart = ON_FAILURE, .net = BRIDGE("lrtest1"), .start = ON_CONNECT,
		.ports = LIST(port, { 18091, .to = 80 }), .idle = SECONDS(1) },
	[LAZY] = { ROW("lazy"), ECHOES, .restart = ON_FAILURE, .ports = LIST(port, { 18083, .to = 80 }), .start = ON_CONNECT,
		.idle = MILLISECONDS(30) },
	[EAGER] = { ROW("eager"), .command = ARGV("true"), .restart = ON_FAILURE, .ports = LIST(port, { 18084, .to = 80 }),
		.start = ON_CONNECT },
	[ADMINISTRATOR] = { ROW("admin"), SLEEPS, .net = BRIDGE("lrtest1"), .keep = CAPS(NET_ADMIN, NET_RAW),
		.may = DEFAULT | PACKET },
	[DHCP] = { .name = "dhcp", .image = "dhcp.img", .pids = 8, .command = ARGV("udhcpc", "-f", "-i", "lrdhcp0", "-A", "1", "-s", "/script"),
		.restart = ALWAYS, .net = DEVICE("lrdhcp0"), .keep = CAPS(NET_ADMIN, NET_RAW, NET_BIND_SERVICE), .may = DEFAULT | PACKET,
		.data = LIST(data, { "dhcp", "/var/lib/dhcp" }) },
	[CALLER] = { .name = "caller", .image = "act.img", .pids = 16, .command = ARGV("/act", "turn4=3,18085", "turn6=4,18085", "stay"),
		.ports = LIST(port, { 18086 }, { 18087 }) },
};

static const struct container run = {
	.name = "run", .memory.max = MiB(512), .cpu.max = PERCENT(400), .pids = 256, .net = BRIDGE("lrtest1", .open = YES),
};
