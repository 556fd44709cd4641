#!/bin/bash
# Checks that every place that names the version names the same one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

control=$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" dlock.control)
changelog=$(sed -nE 's/^## +\[?v?([0-9]+(\.[0-9]+)*).*/\1/p' docs/CHANGELOG.md | head -n 1)
# A version can be installed by its own script, or by way of updates to it.
script=$(find sql -name "dlock--$control.sql" -o -name "dlock--*--$control.sql")
shipped=$(make -s print-DATA)

rc=0
check()
{
	[ "$2" = "$3" ] || { echo "checkver: $1 says \"$2\", dlock.control says \"$3\""; rc=1; }
}
check docs/CHANGELOG.md "$changelog" "$control"
[ -n "$script" ] || { echo "checkver: no script in sql/ leads to version $control"; rc=1; }
for file in sql/dlock--*.sql; do
	[[ " $shipped " == *" $file "* ]] || { echo "checkver: $file is not in DATA of the Makefile"; rc=1; }
done
[ $rc != 0 ] || echo "checkver: ok ($control)"
exit $rc
