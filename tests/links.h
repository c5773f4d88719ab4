/* The policy of tests/boot for the network of a board: each kind of it, behind QEMU's user network. */
/* clang-format off */
#define LOG_SIZE KiB(4)

enum { SHELL, MAKER, OPEN_A, OPEN_B, GUEST, CLOSED_A, CLOSED_B, MAC, IPV, BUS, RADIO, SPARE, WEB, LAZY, NCONTAINERS };

#define NAMED(NAME) .name = NAME, .pids = 8, .cpu.max = PERCENT(100), .stop.signal = SIGKILL
#define ROW(NAME) NAMED(NAME), .image = "toybox.img", .memory.max = MiB(2)
#define SLEEPS .command = ARGV("sleep", "1000000")
#define ECHOES .command = ARGV("nc", "-6", "-p", "80", "-L", "cat")
#define LIGHTTPD(NAME) NAMED(NAME), .image = "web.img", .memory.max = MiB(14), \
	.command = ARGV("lighttpd", "-D", "-f", "/srv/lighttpd.conf"), \
	.tmpfs = LIST(tmpfs, { "/tmp", KiB(64) })

static const struct network network = {
	.links = LIST(net, DEVICE("eth0", "10.0.2.15/24", .gateway = "10.0.2.2"), VLAN(5, "eth0", "10.5.0.1/24"),
		BRIDGE("br0", "10.8.0.1/24", .address6 = "fd08::1/64")),
	.sysctl = LIST(setting, { "net.ipv4.ip_forward", "1" }),
	.resolvers = ARGV("10.0.2.3"),
};

static const struct container containers[] = {
	[SHELL] = { NAMED("shell"), .image = "toybox.img", .memory.max = MiB(6), .command = ARGV("sh"), .env = ENV("PS1=launcher# "),
		.binds = LIST(bind, { BOARD_MODULES, "/modules", READ }), .net = HOST, .console = YES, .control = YES },
	[MAKER] = { NAMED("maker"), .image = "maker.img", .place = BOARD_IMAGES "/can.img",
		.command = ARGV("/can", "make", "vcan0", "vcan"), .net = HOST, .userns = HOST, .keep = CAPS(NET_ADMIN) },
	[OPEN_A] = { ROW("open-a"), SLEEPS, .net = BRIDGE("br0", .open = YES) },
	[OPEN_B] = { ROW("open-b"), ECHOES, .net = BRIDGE("br0", .open = YES) },
	[GUEST] = { ROW("guest"), SLEEPS, .net = SHARE("open-b") },
	[CLOSED_A] = { ROW("closed-a"), SLEEPS, .net = BRIDGE("br0") },
	[CLOSED_B] = { ROW("closed-b"), ECHOES, .net = BRIDGE("br0") },
	[MAC] = { ROW("mac"), SLEEPS, .net = MACVLAN("eth0", "10.0.2.40/24") },
	[IPV] = { ROW("ipv"), SLEEPS, .net = IPVLAN("eth0", "10.0.2.41/24") }, /* a device has either, and never both */
	[BUS] = { NAMED("bus"), .image = "can.img", .memory.max = MiB(4), .command = ARGV("/can", "answer", "vcan0"),
		.net = DEVICE("vcan0"), .may = DEFAULT | PACKET },
	[RADIO] = { ROW("radio"), SLEEPS, .net = DEVICE("wlan0") },
	[SPARE] = { ROW("spare"), SLEEPS, .net = DEVICE("dummy0", "10.6.0.2/24") },
	[WEB] = { LIGHTTPD("web"), .ports = LIST(port, { 8080, .to = 80 }) },
	[LAZY] = { LIGHTTPD("lazy"), .net = BRIDGE("br0"), .ports = LIST(port, { 8081, .to = 80 }),
		.start = ON_CONNECT, .idle = SECONDS(1), .restart = ON_FAILURE },
};

static const struct container run = { .name = "run" };
