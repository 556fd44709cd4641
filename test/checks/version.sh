#!/bin/bash
# Checks that every place that names the version names the same one, and that no
# script of an earlier version was changed: test/checks/frozen.sha256 has their
# checksums.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

control=$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" dlock.control)
changelog=$(sed -nE 's/^## +\[?v?([0-9]+(\.[0-9]+)*).*/\1/p' docs/CHANGELOG.md | head -n 1)
# A version can be installed by its own script, or by way of updates to it.
script=$(find sql -name "dlock--$control.sql" -o -name "dlock--*--$control.sql")
shipped=$(make -s print-DATA)

# PGXN wants three numbers in a version: what is 1.0 to PostgreSQL is 1.0.0 there.
pgxn=$control
while [[ $pgxn != *.*.* ]]; do pgxn+=.0; done

# meta KEY... prints a value of META.json.
meta()
{
	perl -MJSON::PP -0777 -e '
		my $value = decode_json(readline STDIN);
		$value = $value->{$_} foreach @ARGV;
		print $value // ""' -- "$@" <META.json
}

# Debian calls 1.0~dev what comes before 1.0; what follows the dash is the package's.
debian=$(sed -n '1s/^dlock (\([^~-]*\)[~-].*/\1/p' debian/changelog)

rc=0
check()
{
	[ "$2" = "$3" ] || { echo "checkver: $1 says \"$2\", by dlock.control it is \"$3\""; rc=1; }
}
check docs/CHANGELOG.md "$changelog" "$control"
check debian/changelog "$debian" "$control"
check "META.json: version" "$(meta version)" "$pgxn"
check "META.json: provides" "$(meta provides dlock version)" "$pgxn"
check "META.json: provides" "$(meta provides dlock file)" "sql/dlock--$control.sql"
[ -n "$script" ] || { echo "checkver: no script in sql/ leads to version $control"; rc=1; }
for file in sql/dlock--*.sql; do
	[[ " $shipped " == *" $file "* ]] || { echo "checkver: $file is not in DATA of the Makefile"; rc=1; }
done

# The library knows its own version, and the oldest one whose objects it accepts.
constant()
{
	sed -n "s/^#define $1 \"\(.*\)\"/\1/p" src/base/version.h
}
check src/base/version.h "$(constant DLOCK_VERSION)" "$control"
oldest=$(constant DLOCK_OLDEST_VERSION)
[ -e "sql/dlock--$oldest.sql" ] ||
	{ echo "checkver: the oldest version of src/base/version.h, \"$oldest\", has no script"; rc=1; }

# A script that leads to the version of dlock.control is still being written.
frozen=test/checks/frozen.sha256
for file in sql/dlock--*.sql; do
	[[ $file == *"--$control.sql" ]] || grep -q "  $file\$" "$frozen" ||
		{ echo "checkver: $file is of an earlier version, and not in $frozen"; rc=1; }
done
sha256sum --check --strict --quiet "$frozen" ||
	{ echo "checkver: a script that was frozen has changed; put the change into an update script"; rc=1; }
[ $rc != 0 ] || echo "checkver: ok ($control)"
exit $rc
