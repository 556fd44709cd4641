#!/bin/bash
# Checks that src/ is formatted as pgindent does it, and that the list of our
# typedefs is complete.  With "fix" it makes both so (make indent).
#
#     test/checks/indent.sh [fix]
# shellcheck source=test/tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"
cd "$top"

list=src/tools/typedefs.list
tools=${DLOCK_PGINDENT:-$top/.test/pgindent}
work=$(mktemp -d)
# pg_bsd_indent leaves its backups where it is called
trap 'rm -rf "$work" pgsrc*.BAK' EXIT

if ! test/tools/pgindent.sh "$tools" >"$work/log" 2>&1; then
	cat "$work/log"
	echo "indent: NOT CHECKED, the source package with pgindent is not available here"
	# who asked for it by name is to know
	[ "${1:-}" != fix ] || exit 1
	exit 0
fi

mapfile -t sources < <(find src test/bench -name '*.[ch]' | LC_ALL=C sort)
perl -0777 -ne '
	s{/\*.*?\*/}{}gs;
	print "$1\n" while /^\}\s*(\w+);/gm;
	print "$1\n" while /^typedef\s[^;{}]*?\b\(?\*?(\w+)\)?(?:\s*\([^;{}]*\))?;/gm;
	print "$1\n" while /^(?:typedef\s+)?(?:struct|union|enum)\s+(\w+)\s*\n\{/gm;' \
	"${sources[@]}" | LC_ALL=C sort -u >"$work/typedefs"
if [ "${1:-}" = fix ]; then
	cp "$work/typedefs" "$list"
elif ! diff -u "$list" "$work/typedefs"; then
	echo "indent: $list is out of date: run \"make indent\""
	exit 1
fi

LC_ALL=C sort -u "$tools/typedefs.list" "$list" >"$work/all"
indent()
{
	"$tools/pgindent" --indent="$tools/pg_bsd_indent" --typedefs="$work/all" "$@" "${sources[@]}"
}
if [ "${1:-}" = fix ]; then
	indent
elif ! indent --check --diff >"$work/diff"; then
	head -n 100 "$work/diff"
	echo "indent: not as pgindent has it: run \"make indent\""
	exit 1
fi
echo "indent: ok (${#sources[@]} files)"
