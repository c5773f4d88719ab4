/*
 * fields.h - the policy of tests/container for the fields of a row: each row has one, says into its
 * log what it sees of it, and is refused or not
 */
#define LOG_SIZE KiB(16)

enum {
	PLAIN, /* has none */
	USER, IMAGES_USER, HOST_USERS, KEEP, KEEP_ROOT, PORTS,
	MAY_DEFAULT, MAY_FILES, MAY_PROCESSES, MAY_THREADS, MAY_LOCAL, MAY_INET, MAY_USERS, MAY_IPC,
	MAY_TRACE, MAY_TIME, MAY_PACKET, MAY_ADMIN, FORKLESS,
	LABEL, LABEL_TOLERATED,
	SCRATCHED, PERSISTS, PERSISTS_STRANGE,
	INODES, KEPT, KEPT_TOO, KEPT_THIEF, KEPT_STRANGE, KEPT_LINK,
	BINDS, BINDS_ABSENT, DEVICES, DEVICES_ABSENT, DEVICES_OTHER, DEVICES_NONE,
	WRITABLE, WRITABLE_ABSENT, SYSCTL, SYSCTL_ABSENT, CLOCK, LIMITS, PROCESS, FIFO, TIMERS,
	NCONTAINERS
};

/* What each row has beside its field. */
#define WITH(image_name, row_name)                                                                 \
	.name = row_name, .image = image_name, .cpu = { .max = PERCENT(100) }, .pids = 8
#define NAMED(row_name) WITH("fields.img", row_name)
#define SHELL(script) ARGV("sh", "-c", script)
#define STAYS "exec sleep 1000"
#define CALLS_OF(row_name, groups) NAMED(row_name), .command = ARGV("/call"), .may = groups

static const struct container containers[] = {
	[PLAIN] = {
		NAMED("plain"),
		.command = SHELL("cut -d ' ' -f 19 /proc/self/stat; ionice -p $$; chrt -p $$; umask;"
				 "grep ^Cpus_allowed: /proc/self/status; cd /proc/self;"
				 "cat oom_score_adj timerslack_ns personality limits"),
	},
	[USER] = {
		WITH("owned.img", "user"),
		.command = SHELL("grep -E '^([UG]id|Groups)' /proc/self/status;"
				 "grep ^Cap /proc/self/status | sort -u -k 2; touch /tmp/x /root/x;"
				 "stat -c %u:%g /tmp /tmp/x; echo x >/dev/stderr; (echo x >/dev/stdout);"
				 "kill -0 1"),
		.tmpfs   = LIST(tmpfs, { "/tmp", KiB(64) }),
		.user    = "1000:2000",
	},
	[IMAGES_USER] = {
		WITH("owned.img", "images-user"),
		.command = SHELL("grep -E '^([UG]id|Groups)' /proc/self/status"),
	},
	[HOST_USERS] = {
		WITH("host.img", "host-users"),
		.command = SHELL("cat /proc/self/uid_map; grep -E '^([UG]id|Groups|Cap)' /proc/self/status;"
				 "mount -t tmpfs none /tmp"),
		.userns  = HOST,
	},
	[KEEP] = {
		NAMED("keep"),
		.command = SHELL("grep -E '^(Uid|Cap)' /proc/self/status; /call bind;"
				 "ifconfig lo down && cat /sys/class/net/lo/flags"),
		.user    = "1000:1000",
		.keep    = CAPS(NET_BIND_SERVICE, NET_ADMIN),
		.sysctl  = LIST(setting, { "net.ipv4.ip_unprivileged_port_start", "1024" }),
	},
	[KEEP_ROOT] = {
		NAMED("keep-root"),
		.command = SHELL("grep ^Cap /proc/self/status; touch /tmp/x && chown 7:8 /tmp/x && stat -c %u:%g /tmp/x;"
				 "ifconfig lo down; /call packet"),
		.tmpfs   = LIST(tmpfs, { "/tmp", KiB(64) }),
		.keep    = CAPS(CHOWN, NET_RAW),
		.may     = DEFAULT | PACKET,
	},
	[PORTS] = { /* as `keep`, without the capability */
		NAMED("ports"),
		.command = ARGV("/call", "bind"),
		.sysctl  = LIST(setting, { "net.ipv4.ip_unprivileged_port_start", "1024" }),
	},
	[MAY_DEFAULT]   = { CALLS_OF("may-default", 0) },
	[MAY_FILES]     = { CALLS_OF("may-files", FILES) },
	[MAY_PROCESSES] = { CALLS_OF("may-processes", PROCESSES) },
	[MAY_THREADS]   = { CALLS_OF("may-threads", THREADS) },
	[MAY_LOCAL]     = { CALLS_OF("may-local", LOCAL) },
	[MAY_INET]      = { CALLS_OF("may-inet", INET) },
	[MAY_USERS]     = { CALLS_OF("may-users", USERS) },
	[MAY_IPC]       = { CALLS_OF("may-ipc", IPC) },
	[MAY_TRACE]     = { CALLS_OF("may-trace", DEFAULT | TRACE) },
	[MAY_TIME]      = { CALLS_OF("may-time", SET_TIME) },
	[MAY_PACKET]    = { CALLS_OF("may-packet", PACKET), .keep = CAPS(NET_RAW) },
	[MAY_ADMIN]     = { CALLS_OF("may-admin", ADMIN | PROCESSES) },
	[FORKLESS] = {
		NAMED("forkless"),
		.command = SHELL("read -r first </etc/passwd; echo ${first%%:*}; (echo forked); echo end"),
		.may     = FILES,
	},
	[LABEL] = {
		NAMED("label"),
		.command = SHELL("echo runs"),
		.label   = "no-such-label",
	},
	[LABEL_TOLERATED] = {
		NAMED("label-tolerated"),
		.command  = SHELL("echo runs"),
		.label    = "no-such-label",
		.tolerate = LACKS(LABEL),
	},
	[SCRATCHED] = {
		NAMED("scratched"),
		.command = SHELL("echo start >>/etc/starts; wc -l </etc/starts; stat -c %u:%g /etc/starts;"
				 "dd if=/dev/zero of=/large bs=4k count=300 2>/dev/null; stat -c %s /large;" STAYS),
		.root    = SCRATCH(MiB(1)),
		.restart = ALWAYS,
	},
	[PERSISTS] = {
		NAMED("persists"),
		.command = SHELL("echo start >>/etc/starts; wc -l </etc/starts; stat -c %u:%g /etc/starts;" STAYS),
		.root    = PERSISTENT,
		.restart = ALWAYS,
	},
	[PERSISTS_STRANGE] = {
		NAMED("strange"),
		.command = SHELL("echo runs"),
		.root    = PERSISTENT,
	},
	[INODES] = {
		NAMED("inodes"),
		.command = SHELL("cd /tmp; for i in $(seq 20); do >$i || break; done; ls | wc -l;"
				 "rm *; dd if=/dev/zero of=x bs=4k count=64 2>/dev/null; stat -c %s x;"
				 "cd /new/place; for i in $(seq 20); do >$i || break; done; ls | wc -l"),
		.tmpfs   = LIST(tmpfs, { "/tmp", KiB(64), 8 }, { "/new/place", KiB(64) }),
	},
	[KEPT] = {
		NAMED("kept"),
		.command = SHELL("cd /var/lib; echo start >>starts; wc -l <starts; stat -c %u:%g . starts;" STAYS),
		.user    = "1000:2000",
		.data    = LIST(data, { "shared", "/var/lib" }),
		.restart = ALWAYS,
	},
	[KEPT_TOO] = { /* of the same users: it may have it too, as far as its mode goes */
		NAMED("kept-too"),
		.command = SHELL("stat -c %u:%g /new/data; cat /new/data/starts >/dev/null && echo read;"
				 "touch /new/data/x"),
		.after   = AFTER(KEPT),
		.data    = LIST(data, { "shared", "/new/data" }),
	},
	[KEPT_THIEF] = {
		WITH("toybox.img", "kept-thief"),
		.command = SHELL("cat /var/lib/starts"),
		.after   = AFTER(KEPT),
		.data    = LIST(data, { "shared", "/var/lib" }),
	},
	[KEPT_STRANGE] = {
		NAMED("kept-strange"),
		.command = SHELL("echo runs"),
		.data    = LIST(data, { "foreign", "/var/lib" }),
	},
	[KEPT_LINK] = {
		NAMED("kept-link"),
		.command = SHELL("echo runs"),
		.data    = LIST(data, { "linked", "/var/lib" }),
	},
	[BINDS] = {
		NAMED("binds"),
		.command = SHELL("cat /new/read/file /etc/bound; echo no >/new/read/file; touch /new/read/x;"
				 "echo no >/etc/bound; echo yes >/new/write/file; touch /new/write/made;"
				 "ls -d /new/absent/*; grep -E ' (/new/|/etc/bound)' /proc/mounts |"
				 " cut -d ' ' -f 2,4 | sort; /new/read/program; /new/write/program"),
		.binds   = LIST(bind,
				{ "/run/test/bound", "/new/read", READ },
				{ "/run/test/bound", "/new/write", READ | WRITE },
				{ "/run/test/bound/other", "/etc/bound", READ },
				{ "/run/test/absent", "/new/absent", READ | OPTIONAL }),
	},
	[BINDS_ABSENT] = {
		NAMED("binds-absent"),
		.command = SHELL("echo runs"),
		.binds   = LIST(bind, { "/run/test/absent", "/new/absent", READ }),
	},
	[DEVICES] = {
		NAMED("devices"),
		.command = SHELL("cd /dev; stat -c '%A %t:%T %n' deep/er/zero reader kmsg; ls absent;"
				 "head -c 2 deep/er/zero | xxd -p; echo x >deep/er/zero && echo written;"
				 "echo x >reader; echo end;" STAYS),
		.devices = LIST(device,
				{ "/dev/deep/er/zero", READ | WRITE, 'c', 1, 5 },
				{ "/dev/reader", READ, 'c', 1, 7 },
				{ "/dev/kmsg", READ, 'c', 1, 11 },
				{ "/dev/absent", READ | OPTIONAL }),
		.restart = ALWAYS,
	},
	[DEVICES_ABSENT] = {
		NAMED("devices-absent"),
		.command = SHELL("echo runs"),
		.devices = LIST(device, { "/dev/absent", READ }),
	},
	[DEVICES_OTHER] = {
		NAMED("devices-other"),
		.command = SHELL("echo runs"),
		.devices = LIST(device, { "/dev/full", READ, 'c', 1, 5 }),
	},
	[DEVICES_NONE] = {
		NAMED("devices-none"),
		.command = SHELL("echo runs"),
		.devices = LIST(device, { "/dev/shm", READ }),
	},
	[WRITABLE] = {
		NAMED("writable"),
		.command  = SHELL("echo a >/tmp/x; cat /tmp/x; mkdir /tmp/d; mv /tmp/x /tmp/d/y; cat /tmp/d/y;"
				  "echo b >/var/lib/x; mkdir /var/lib/d; cat /etc/passwd | wc -l; ls /var/lib | wc -l"),
		.tmpfs    = LIST(tmpfs, { "/tmp", KiB(64) }, { "/var/lib", KiB(64) }),
		.writable = ARGV("/tmp"),
	},
	[WRITABLE_ABSENT] = {
		NAMED("writable-absent"),
		.command  = SHELL("echo runs"),
		.writable = ARGV("/dev", "/no/such"),
	},
	[SYSCTL] = {
		NAMED("sysctl"),
		.command = SHELL("cat /proc/sys/kernel/shmmni /proc/sys/net/ipv4/ip_default_ttl;"
				 "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"),
		.sysctl  = LIST(setting, { "kernel.shmmni", "77" }, { "net.ipv4.ip_default_ttl", "33" }),
	},
	[SYSCTL_ABSENT] = {
		NAMED("sysctl-absent"),
		.command = SHELL("echo runs"),
		.sysctl  = LIST(setting, { "net.no_such_setting", "1" }),
	},
	[CLOCK] = {
		NAMED("clock"),
		.command = SHELL("cut -d . -f 1 /proc/uptime; cat /proc/self/timens_offsets"),
		.clock   = { .monotonic = 1000, .boottime = 864000000 },
	},
	[LIMITS] = {
		NAMED("limits"),
		.command = SHELL("ulimit -n; cat /proc/self/limits;"
				 "dd if=/dev/zero of=/tmp/x bs=4k count=4 2>&1; stat -c %s /tmp/x"),
		.tmpfs   = LIST(tmpfs, { "/tmp", KiB(64) }),
		.limits  = LIST(limit, { RLIMIT_NOFILE, 64 }, { RLIMIT_FSIZE, 8192 }, { RLIMIT_MEMLOCK, 0 }),
	},
	[PROCESS] = {
		NAMED("process"),
		.command = SHELL("cat /proc/self/oom_score_adj; cut -d ' ' -f 19 /proc/self/stat; grep ^Cpus_allowed_list /proc/self/status;"
				 "ionice -p $$; chrt -p $$"),
		.oom_score_adj = 123,
		.nice          = -5,
		.affinity      = 1,
		.io_priority   = IO_BEST_EFFORT(6),
	},
	[FIFO] = {
		NAMED("fifo"),
		.command  = SHELL("chrt -p $$"),
		.schedule = { SCHED_FIFO, 7 },
	},
	[TIMERS] = {
		NAMED("timers"),
		.command     = SHELL("cat /proc/self/timerslack_ns"),
		.timer_slack = 1234567,
	},
};

static const struct container run = { .name = "run" };
