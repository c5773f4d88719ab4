# An AppArmor profile: all but writing below /tmp/denied, and sockets of the internet.
abi <abi/3.0>,

profile container flags=(attach_disconnected) {
	file,
	capability,
	signal,
	unix,
	ptrace,
	network unix,
	deny /tmp/denied/** w,
}
