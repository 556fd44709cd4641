# shellcheck shell=bash
# What the scripts of "make test-versions" share.  To be sourced by bash.
# shellcheck source=test/tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

# version | Debian's suite that has it | where else packages are taken from.
# "security" is that of a stable suite; of any other suite, only what is built
# from PostgreSQL itself is taken.  A dash: no suite has it.
suites="
15 | bookworm | security
16 | - |
17 | trixie | security
18 | forky |
19 | sid | experimental
"

all_versions()
{
	sed -nE 's/^([0-9]+) \|.*/\1/p' <<<"$suites"
}

# suite_of VERSION prints the suite that has it; "-" where none has.
suite_of()
{
	local found
	found=$(sed -nE "s/^$1 \| ([^ ]+) .*/\1/p" <<<"$suites")
	echo "${found:--}"
}

# further_suite_of VERSION prints where else packages are taken from.
further_suite_of()
{
	sed -nE "s/^$1 \| [^ ]+ \| (.+)/\1/p" <<<"$suites"
}

# The version from which the test of pg_upgrade comes, and its libraries that a
# later suite may lack.  It is the suite's own minor release, without the security
# updates since: what a newer one dumps, an older one of the later version may
# not understand.
# shellcheck disable=SC2034	# the other scripts use it
old_version=$(all_versions | head -n 1)
# shellcheck disable=SC2034
old_libraries="libicu72 libldap-2.5-0 libxml2 libgnutls30 libp11-kit0 libtasn1-6 libidn2-0
	libunistring2 libnettle8 libhogweed6 libgmp10"

# Where the roots are, and where Debian is: from where this machine has its own
# packages.
cache=${DLOCK_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/dlock}/roots
# shellcheck disable=SC2016	# apt-get expands
mirror=${DLOCK_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null |
	grep -v security | head -n 1)}
mirror=${mirror%/}

# root_of VERSION prints the folder of its root, whether it is there or not.
root_of()
{
	echo "$cache/$1-$(suite_of "$1")"
}

# recipe VERSION prints what its root is made from; a root with another recipe
# is made again.  Count up the number when "root" makes roots in another way.
recipe()
{
	echo "PostgreSQL $1 of $(suite_of "$1") $(further_suite_of "$1") from $mirror, recipe 3"
}

# root_is_made VERSION says whether its root is there and complete.
root_is_made()
{
	[ "$(cat "$(root_of "$1").made" 2>/dev/null)" = "$(recipe "$1")" ]
}

# What begins a command that handles files of a root: an ordinary user gets a
# range of user ids for it, and is 0 among them.
# shellcheck disable=SC2034	# the other scripts use it
in_ids=()
# shellcheck disable=SC2034
[ "$(id -u)" = 0 ] || in_ids=(unshare --user --map-root-user --map-auto --)
