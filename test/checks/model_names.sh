#!/bin/bash
# Fails where a model names a function that is not in the code.
#
# Each step of docs/model/*.pml says in its comment which functions it stands
# for: "code: name, name" up to anything that is not a name or a comma.  A
# function is there if a line in src begins with its name and a parenthesis,
# as every definition does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

names()
{
	perl -0777 -ne '
		while (/\bcode:((?:[\s*]*\w+,)*[\s*]*\w+)/g) {
			my ($list, $line) = ($1, 1 + (substr($_, 0, $-[0]) =~ tr/\n//));
			print "$ARGV:$line $_\n" for $list =~ /\w+/g;
		}' "$1"
}

rc=0
count=0
for model in docs/model/*.pml; do
	before=$count
	while read -r place name; do
		count=$((count + 1))
		grep -qE "^$name\(" src/*.c src/*/*.c && continue
		echo "$place: no function \"$name\" in src"
		rc=1
	done < <(names "$model")
	[ "$count" -gt "$before" ] || { echo "$model names no function"; rc=1; }
done
[ $rc != 0 ] || echo "model names: ok ($count)"
exit $rc
