# Sourced by the tests that are shell scripts: TAP, at the top of the repository, in a directory of
# their own ($tmp) that vanishes with them, and with none of the variables of a make that runs them.
# shellcheck shell=sh
set -u
cd "$(dirname "$0")/.." || exit
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL FLAGS BOARD CONFIG KEY KEYS EMBED CC CROSS_COMPILE CFLAGS CPPFLAGS LDFLAGS
export LC_ALL=C
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# The count and the verdict are files, for the end of a pipe is a process of its own.
tap_next() { echo >>"$tmp/tap"; tap_number=$(wc -l <"$tmp/tap"); }

pass() { tap_next; echo "ok $tap_number - $*"; }

fail() { tap_next; : >"$tmp/tap_failed"; echo "not ok $tap_number - $*"; }

# skip WHAT REASON: a test that can't run here
skip() { tap_next; echo "ok $tap_number - $1 # SKIP $2"; }

# note: what standard input says, as a comment
note() { sed 's/^/# /'; }

# check WHAT COMMAND...: it shall succeed; when it does not, what it said is shown
check() {
	tap_what=$1
	shift
	if "$@" >"$tmp/check" 2>&1; then
		pass "$tap_what"
	else
		fail "$tap_what (exit $?)"
		note <"$tmp/check"
	fi
}

# fails COMMAND...: for check, the other way round
fails() { if "$@"; then return 1; fi; }

# nothing WHAT: standard input, a list of offences, shall be empty
nothing() {
	cat >"$tmp/nothing"
	if [ -s "$tmp/nothing" ]; then
		fail "$1"
		note <"$tmp/nothing"
	else
		pass "$1"
	fi
}

# tap_renumber NAME: takes over what another test program has said, with NAME in front
tap_renumber() {
	tap_next
	awk -v n=$((tap_number - 1)) -v name="$1" -v bad="$tmp/tap_failed" -v tap="$tmp/tap" '
		/^(not )?ok [0-9]+ / { sub(/ok [0-9]+ - /, "ok " ++n " - " name ": "); if (seen++) print "" >>tap }
		/^not ok / { print >bad }
		/^(not ok|ok|#)/' -
}

# files: what belongs to the repository, or to what has been unpacked of it
files() {
	if [ -e .git ]; then
		git -c safe.directory='*' ls-files --cached --others --exclude-standard
	else
		find . -path ./out -prune -o -type f -print | sed 's|^\./||'
	fi
}

# The headers of the libraries that launcher.c includes, for those who compile it themselves.
# shellcheck disable=SC2034
includes='-isystem out/src/lz4/lib -isystem out/src/signify-openbsd'

# make_command [VARIABLE=VALUE...]: the Makefile's own command for launcher.o on this machine,
# without the names of files
make_command() {
	make -n -W launcher.c BOARD=host "$@" out/host/launcher.o |
		sed -n 's/ -MMD .* launcher\.c$/ -I ./p'
}

# need PACKAGE...: without them there is no test at all
need() {
	images/packages "$@" || { echo "Bail out! packages are missing: $*"; exit 1; }
}

# The last line of every test: the plan, and the verdict as exit status.
finish() {
	[ -e "$tmp/tap" ] || { echo 'Bail out! nothing was tested'; exit 1; }
	echo "1..$(wc -l <"$tmp/tap")"
	[ ! -e "$tmp/tap_failed" ]
	exit
}
