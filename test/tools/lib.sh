# shellcheck shell=bash
# What the scripts in test/ share.  To be sourced by bash, not run.
#
# Every server of the tests, the tour and the bench runs from a PRIVATE COPY
# of the PostgreSQL installation, into which dlock is installed.  PostgreSQL
# finds its folders relative to its own binary, so a copy works anywhere.
# That way neither root nor a write to system folders is needed, and nothing
# an administrator has installed is touched or tested by mistake.
#
# The server refuses to run as root; root hands all that runs servers to an
# ordinary user (DLOCK_USER, else the one of Debian's package).

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# The caller's connection defaults, locale and make flags are not ours.
for name in ${!PG@}; do
	[[ $name == PG_* ]] || unset "$name"
done
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES DEBUG_POINTS
unset LANGUAGE "${!LC_@}"
export LANG=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin

say()
{
	printf '%s\n' "# $*"
}

die()
{
	printf '%s\n' "error: $*" >&2
	exit 1
}

# make_var NAME prints a variable of the Makefile.
make_var()
{
	make -s --no-print-directory -C "$top" "print-$1"
}

# private_dir NAME prints a new directory that an ordinary user can reach.
# Not under /tmp, which may be in memory: the bench wants a real fsync.
private_dir()
{
	local dir
	dir=$(mktemp -d "${DLOCK_WORKDIR:-/var/tmp}/dlock-$1.XXXXXX")
	chmod 711 "$dir"
	echo "$dir"
}

server_user()
{
	if [ "$(id -u)" != 0 ]; then
		id -un
	elif [ -n "${DLOCK_USER:-}" ]; then
		echo "$DLOCK_USER"
	elif id postgres >/dev/null 2>&1; then
		echo postgres
	else
		echo nobody
	fi
}

# as_server_user CMD... runs CMD as a user that may run a server.
as_server_user()
{
	local user
	user=$(server_user)
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups -- \
			env USER="$user" LOGNAME="$user" HOME=/nonexistent "$@"
	else
		"$@"
	fi
}

# copy_tree DIR copies the project without what was built in it: a test must
# not depend on flags or leftovers, and a build takes seconds.
copy_tree()
{
	mkdir -p "$1"
	tar -C "$top" --exclude=./.git --exclude=./.test --exclude=./.quickstart \
		--exclude='*.o' --exclude='*.so' --exclude=.build-flags -cf - . |
		tar -C "$1" --no-same-owner -xf -
}

# install_private DIR [TARGET|VARIABLE=VALUE...] makes the private installation
# in DIR from the build in the current directory; the rest is for make, such
# as the variables of that build.  Binaries are real copies, because PostgreSQL
# resolves links before it looks where it is; everything else is linked.
install_private()
{
	local config pglib pgshare pgbin file
	config=$(make_var PG_CONFIG)
	pgbin=$("$config" --bindir)
	pglib=$("$config" --pkglibdir)
	pgshare=$("$config" --sharedir)

	mkdir -p "$1$pgbin" "$1$pglib" "$1$pgshare/extension"
	cp -L "$pgbin"/* "$1$pgbin/"
	for file in "$pglib"/* "$pgshare"/* "$pgshare"/extension/*; do
		case $file in
			"$pgshare/extension" | "$pglib"/dlock* | "$pgshare"/extension/dlock*) ;;
			*) [ -e "$1$file" ] || ln -s "$file" "$1$file" ;;
		esac
	done
	make -s --no-print-directory install "${@:2}" DESTDIR="$1" >/dev/null
}

# How all tests build the extension.  Variables of make that only tests set
# belong here.
test_build=(WERROR=1 DEBUG_POINTS=1)

# build_for_tests DIR builds the project in the current directory and makes the
# private installation in DIR, with the tests' own extension.
build_for_tests()
{
	say "building"
	make -s --no-print-directory -j"$(nproc)" all "${test_build[@]}"
	install_private "$1" install-test "${test_build[@]}"
}

# build_old_server TREE DIR builds the copy of the project in TREE for the server
# that DLOCK_OLD_PG_CONFIG names, and makes the private installation in DIR.
build_old_server()
(
	cd "$1"
	export PG_CONFIG=$DLOCK_OLD_PG_CONFIG
	build_for_tests "$2"
)

# private_bin DIR prints where the private installation has its binaries.
private_bin()
{
	echo "$1$("$(make_var PG_CONFIG)" --bindir)"
}

# wrap_server DIR has the servers of the private installation run with the
# environment DLOCK_SERVER_ENV or under the tool DLOCK_SERVER_TOOL, if these
# are set; see test/memory.
wrap_server()
{
	local postgres start
	[ -n "${DLOCK_SERVER_ENV:-}${DLOCK_SERVER_TOOL:-}" ] || return 0
	postgres=$(private_bin "$1")/postgres
	# what "pg_ctl restart" starts is what the server was called as
	start="${DLOCK_SERVER_ENV:-} exec -a \"\$0\""
	[ -z "${DLOCK_SERVER_TOOL:-}" ] || start="exec $DLOCK_SERVER_TOOL"
	mv "$postgres" "$postgres.bin"
	cat >"$postgres" <<-END
		#!/bin/bash
		# who starts a server tells first where its data is
		case \$1 in
			-D*) $start "$postgres.bin" "\$@" ;;
			*) exec "$postgres.bin" "\$@" ;;
		esac
	END
	chmod 755 "$postgres"
}

# The functions below use the private installation's binaries.
bin=${bin:-}

# init_server DIR creates a server in DIR/data, its socket to be in DIR.
init_server()
{
	as_server_user "$bin/initdb" -D "$1/data" -U postgres -E UTF8 \
		--no-locale -A trust --no-sync "${@:2}" >"$1/initdb.log" 2>&1 || {
		cat "$1/initdb.log" >&2
		return 1
	}
	{
		cat "$top/test/dlock.conf"
		echo "unix_socket_directories = '$1'"
		echo "unix_socket_permissions = 0700"
		echo "listen_addresses = ''"
	} | as_server_user tee -a "$1/data/postgresql.conf" >/dev/null
}

start_server()
{
	as_server_user "$bin/pg_ctl" -D "$1/data" -l "$1/server.log" -w -s start \
		</dev/null
}

stop_server()
{
	as_server_user "$bin/pg_ctl" -D "$1/data" -m "${2:-fast}" -w -s stop
}

# stop_servers_below DIR ends what an interrupted test left running.
stop_servers_below()
{
	local pidfile
	[ -d "$1" ] || return 0
	find "$1" -name postmaster.pid 2>/dev/null | while read -r pidfile; do
		as_server_user "$bin/pg_ctl" -D "${pidfile%/*}" -m immediate -s stop \
			2>/dev/null || true
	done
}
