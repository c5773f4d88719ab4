/* The policy of tests/network: rows in every kind of network, and ways to reach them. */
/* clang-format off */
#define LOG_SIZE KiB(16)

enum { ALPHA, BETA, OPEN_A, OPEN_B, LONER, WEB, GUEST, HOSTED, BUS, SPARE, RELAYED, HANDED, LAZY,
       ADMINISTRATOR, NCONTAINERS };

#define ROW(NAME) .name = NAME, .image = "toybox.img", .pids = 16, .cpu.max = PERCENT(100), .stop.signal = SIGKILL, .backoff.first = MILLISECONDS(50)
#define SLEEPS .command = ARGV("sleep", "1000000"), .restart = ALWAYS

static const struct network network = {
	.links = LIST(net, BRIDGE("lrtest1", "10.44.0.1/16", .address6 = "fd44::1/64", .mac = "02:00:00:00:44:01")),
	.resolvers = ARGV("10.44.0.1", "fd44::1"),
};

static const struct container containers[] = {
	[ALPHA] = { ROW("alpha"), SLEEPS, .net = BRIDGE("lrtest0") },
	[BETA] = { ROW("beta"), SLEEPS, .net = BRIDGE("lrtest0") },
	[OPEN_A] = { ROW("open-a"), SLEEPS, .net = BRIDGE("lrtest1", .open = YES) },
	[OPEN_B] = { ROW("open-b"), SLEEPS, .net = BRIDGE("lrtest1", "10.44.7.7/16", .address6 = "fd44::77/64", .open = YES,
		.mac = "02:00:00:00:00:77", .mtu = 1400, .gateway = "10.44.0.1", .gateway6 = "fd44::1",
		.routes = LIST(route, { "10.99.0.0/16", "10.44.9.9" })) },
	[LONER] = { ROW("loner"), SLEEPS },
	[WEB] = { ROW("web"), SLEEPS, .net = BRIDGE("lrtest1") },
	[GUEST] = { ROW("guest"), SLEEPS, .net = SHARE("web") },
	[HOSTED] = { ROW("hosted"), SLEEPS, .net = HOST },
	[BUS] = { ROW("bus"), .net = DEVICE("lrvcan0"), .command = ARGV("sleep", "1000000") },
	[SPARE] = { ROW("spare"), SLEEPS, .net = DEVICE("lrdummy0", "10.45.0.2/24"), .keep = CAPS(NET_ADMIN) },
	[RELAYED] = { ROW("relayed"), .restart = ALWAYS, .ports = LIST(port, { 18080, .to = 80 }),
		.command = ARGV("sh", "-c", "while :; do nc -l -p 80 cat; done") },
	[HANDED] = { ROW("handed"), .restart = ALWAYS, .ports = LIST(port, { 18081 }, { 18082, .at = "127.0.0.1" }), .command = ARGV("sh", "-c", "env; ls -l /proc/self/fd; sleep 100000") },
	[LAZY] = { ROW("lazy"), .restart = ON_FAILURE, .ports = LIST(port, { 18083, .to = 80 }), .start = ON_CONNECT, .idle = SECONDS(1),
		.command = ARGV("sh", "-c", "sleep 0.2; while :; do nc -l -p 80 cat; done") },
	[ADMINISTRATOR] = { ROW("admin"), SLEEPS, .net = BRIDGE("lrtest1"), .keep = CAPS(NET_ADMIN, NET_RAW), .may = DEFAULT | PACKET },
};

static const struct container run = {
	.name = "run", .memory.max = MiB(512), .cpu.max = PERCENT(400), .pids = 256, .net = BRIDGE("lrtest1", .open = YES),
};
