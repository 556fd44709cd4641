#!/bin/bash
# Installs the Debian packages that are missing, and says what each is for.
#
#     test/packages.sh GROUP...     groups: build, test, lint, all
#
# Nothing is asked: as root it uses apt-get, as another user "sudo -n" where
# that works; else it prints the command that somebody has to run.
set -euo pipefail

major=15
pglib=/usr/lib/postgresql/$major
pginclude=/usr/include/postgresql/$major
pgshare=/usr/share/postgresql/$major

# group | package | what proves that it is there | why.  The proof is a file,
# a command or perl:Module, so that a server built from source will do as well
# where PG_CONFIG names it.
table="
build | gcc                      | gcc                                    | compiles the extension
build | libc6-dev                | /usr/include/stdio.h                   | headers of the C library
build | make                     | make                                   | runs the build
build | postgresql-$major            | $pglib/bin/postgres         | the server that dlock extends
build | postgresql-server-dev-$major | $pginclude/server/postgres.h | headers for extensions
test  | postgresql-$major-pgtap      | $pgshare/extension/pgtap.control | SQL tests
test  | libtap-parser-sourcehandler-pgtap-perl | pg_prove                 | runs the pgTAP tests
test  | libipc-run-perl          | perl:IPC::Run                          | PostgreSQL::Test::Cluster needs it
test  | perl                     | prove                                  | runs the Perl tests
test  | pgbouncer                | pgbouncer                              | a real pooler for the tests
test  | faketime                 | faketime                               | lets a test move the wall clock
lint  | git                      | git                                    | whitespace check
lint  | binutils                 | nm                                     | lists the exported symbols
lint  | cppcheck                 | cppcheck                               | static analysis
lint  | clang-tidy               | clang-tidy                             | static analysis
lint  | shellcheck               | shellcheck                             | checks these scripts
"

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
	[[ -n $group && ( " $* " == *" $group "* || " $* " == *" all "* ) ]] || continue
	is_there "$proof" && continue
	case $proof in
		"$pglib"/* | "$pgshare"/* | "$pginclude"/*)
			# another server was asked for: it is not for us to judge it
			[[ -n ${PG_CONFIG:-} && $PG_CONFIG != "$pglib"/* ]] && continue ;;
	esac
	echo "missing package $package:$why"
	missing+=("$package")
done <<<"$table"

[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
	as_root=(env)
elif sudo -n true 2>/dev/null; then
	as_root=(sudo -n)
else
	echo "cannot install packages as user $(id -un) without a password; please run:" >&2
	echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 1
fi
command -v apt-get >/dev/null || {
	echo "no apt-get here; please install what matches: ${missing[*]}" >&2
	exit 1
}

install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
	apt-get install -y -qq --no-install-recommends "${missing[@]}")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
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
