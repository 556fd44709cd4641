#!/bin/bash
# Installs the Debian packages that are missing, and says what each is for.
#
#     test/tools/packages.sh GROUP...
#
# The groups are: build, test, install, lint, model, memory, bench, ha,
# versions, all.
#
# "all" is without memory, bench, ha and versions: nobody needs valgrind, other
# lock servers, or what makes a cluster, a package or another Debian, to build
# and test.
#
# Nothing is asked: as root it uses apt-get, as another user "sudo -n" where
# that works; else it prints the command that somebody has to run.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

die()
{
	echo "$*" >&2
	exit 1
}

# How to become root; empty where that takes a password.
as_root=()
if [ "$(id -u)" = 0 ]; then
	as_root=(env)
elif sudo -n true 2>/dev/null; then
	as_root=(sudo -n)
fi

# is_available PACKAGE says whether the distribution has it.  The lists of a
# fresh machine or image are empty; then they are fetched first.
is_available()
{
	[ -n "$(apt-cache madison "$1" 2>/dev/null)" ] && return
	[ -z "$(apt-cache madison make 2>/dev/null)" ] && [ ${#as_root[@]} -gt 0 ] || return
	"${as_root[@]}" apt-get update -qq >/dev/null 2>&1 </dev/null || true
	[ -n "$(apt-cache madison "$1" 2>/dev/null)" ]
}

# server_major prints the major version of the server to build for and test.
# The Makefile decides which that is.  Where that one is still to be installed,
# its path says; where there is none at all, it is the distribution's own.
server_major()
{
	local config version
	config=$(env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
		make -s --no-print-directory -C "$top" print-PG_CONFIG)
	version=$("$config" --version 2>/dev/null || true)
	if [[ $version =~ ^PostgreSQL\ ([0-9]+) || $config =~ ^/usr/lib/postgresql/([0-9]+)/ ]]; then
		echo "${BASH_REMATCH[1]}"
	elif [ -n "${PG_CONFIG:-}" ]; then
		die "PG_CONFIG is no pg_config that works: $PG_CONFIG"
	elif is_available postgresql; then
		apt-cache depends postgresql | sed -nE 's/^ *Depends: postgresql-([0-9]+)$/\1/p' | head -n 1
	else
		die "found no PostgreSQL server with its headers; please install one, or set PG_CONFIG"
	fi
}

# so make comes before all else
[ "$*" = make ] || command -v make >/dev/null || "$0" make
[ "$*" = make ] || major=$(server_major)
major=${major:-none}
pglib=/usr/lib/postgresql/$major
pginclude=/usr/include/postgresql/$major
pgshare=/usr/share/postgresql/$major

# group | package | what proves that it is there | why.  The proof is a file,
# a command or perl:Module, so that a server built from source will do as well
# where PG_CONFIG names it.
table="
build | gcc                      | gcc                                    | compiles the extension
build | libc6-dev                | /usr/include/stdio.h                   | headers of the C library
make  | make                     | make                                   | runs the build
build | postgresql-$major            | $pglib/bin/postgres         | the server that dlock extends
build | postgresql-server-dev-$major | $pginclude/server/postgres.h | headers for extensions
test  | postgresql-$major-pgtap      | $pgshare/extension/pgtap.control | SQL tests
test  | libtap-parser-sourcehandler-pgtap-perl | pg_prove                 | runs the pgTAP tests
test  | libipc-run-perl          | perl:IPC::Run                          | PostgreSQL::Test::Cluster needs it
test  | libdbd-pg-perl           | perl:DBD::Pg                           | connects the clients of the torture test
test  | perl                     | prove                                  | runs the Perl tests
test  | pgbouncer                | pgbouncer                              | a real pooler for the tests
test  | python3-psycopg          | /usr/lib/python3/dist-packages/psycopg/__init__.py | runs the program of docs/guide.md
test  | faketime                 | faketime                               | lets a test move the wall clock
install | git                    | git                                    | makes the archive of a release
install | unzip                  | unzip                                  | unpacks it
install | perl                   | prove                                  | reads META.json
install | openssl                | openssl                                | makes a certificate for a server
model | spin                    | spin                                   | walks through the models in docs/model
memory | valgrind                | valgrind                               | make memcheck
lint  | git                      | git                                    | whitespace check
lint  | binutils                 | nm                                     | lists the exported symbols
lint  | bzip2                    | bzip2                                  | unpacks the sources with pgindent
lint  | cppcheck                 | cppcheck                               | static analysis
lint  | clang-tidy               | clang-tidy                             | static analysis
lint  | shellcheck               | shellcheck                             | checks these scripts
lint  | libhiredis-dev           | /usr/include/hiredis/hiredis.h         | headers that test/bench/load includes
lint  | libnghttp2-dev           | /usr/include/nghttp2/nghttp2.h         | headers that test/bench/load includes
bench | redis-server             | redis-server                           | a peer of the bench
bench | libhiredis-dev           | /usr/include/hiredis/hiredis.h         | its load generator
bench | etcd-server              | etcd                                   | a peer of the bench
bench | libnghttp2-dev           | /usr/include/nghttp2/nghttp2.h         | its load generator
ha    | patroni                  | patroni                                | promotes a standby when the primary fails
ha    | python3-etcd             | /usr/lib/python3/dist-packages/etcd/__init__.py | Patroni speaks to etcd with it
ha    | etcd-server              | etcd                                   | says who is the primary
ha    | haproxy                  | haproxy                                | leads clients to the primary
ha    | iproute2                 | ip                                     | gives each node a network of its own
ha    | iptables                 | iptables                               | cuts that network
ha    | util-linux               | unshare                                | the same for processes
versions | mmdebstrap            | mmdebstrap                             | makes a root of another Debian
versions | debian-archive-keyring | /usr/share/keyrings/debian-archive-keyring.gpg | keys to check what comes into it
versions | uidmap                | newuidmap                              | gives an ordinary user the ids for it
versions | util-linux            | unshare                                | runs tests in it
"

# Where the distribution has none of these for the server, tests are skipped.
optional=" postgresql-$major-pgtap "

# in_groups GROUP WANTED... says whether a group is among those wanted.
in_groups()
{
	local group=$1
	shift
	[[ " $* " == *" $group "* ]] && return
	[[ " $* " == *" all "* && " memory bench ha versions " != *" $group "* ]]
}

# Debian's sbin folders are not in every user's PATH.
PATH=$PATH:/usr/sbin:/sbin

is_there()
{
	case $1 in
		perl:*) perl -M"${1#perl:}" -e 1 2>/dev/null ;;
		*/*) test -e "$1" ;;
		*) command -v "$1" >/dev/null ;;
	esac
}

missing=()
while IFS='|' read -r group package proof why; do
	read -r group <<<"$group"; read -r package <<<"$package"
	read -r proof <<<"$proof"
	[ -n "$group" ] || continue
	in_groups "$group" "$@" || continue
	is_there "$proof" && continue
	case $proof in
		"$pglib"/* | "$pgshare"/* | "$pginclude"/*)
			# another server was asked for: it is not for us to judge it
			[[ -n ${PG_CONFIG:-} && $PG_CONFIG != "$pglib"/* ]] && continue ;;
	esac
	if [[ $optional == *" $package "* ]] && ! is_available "$package"; then
		echo "this distribution has no package $package:$why; they are skipped"
		continue
	fi
	echo "missing package $package:$why"
	missing+=("$package")
done <<<"$table"

[ ${#missing[@]} -gt 0 ] || exit 0

if [ ${#as_root[@]} = 0 ]; then
	echo "cannot install packages as user $(id -un) without a password; please run:" >&2
	echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 1
fi
command -v apt-get >/dev/null || die "no apt-get here; please install what matches: ${missing[*]}"

install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
	apt-get install -y -qq --no-install-recommends "${missing[@]}")
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
# shellcheck disable=SC2317	# called by the trap
clean_up()
{
	rm -f "$log"
	[ -z "${our_policy:-}" ] || "${as_root[@]}" rm -f "$policy"
}
trap clean_up EXIT
# Debian starts the services that it installs.  Nobody asked for those.
if [[ " $* " == *" ha "* && ! -e $policy ]]; then
	our_policy=yes
	printf '%s\n' '#!/bin/sh' 'exit 101' | "${as_root[@]}" tee "$policy" >/dev/null
	"${as_root[@]}" chmod 755 "$policy"
fi
echo "installing: ${missing[*]}"
# The lists of a fresh machine or image are empty or old: try, update, try.
if ! "${install[@]}" >"$log" 2>&1 </dev/null; then
	"${as_root[@]}" apt-get update -qq >"$log" 2>&1 </dev/null || true
	if ! "${install[@]}" >>"$log" 2>&1 </dev/null; then
		tail -n 30 "$log" >&2
		echo "could not install: ${missing[*]}" >&2
		exit 1
	fi
fi
