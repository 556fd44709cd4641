#!/bin/bash
# Checks the symbols of a built dlock.so.  The server loads modules into one
# name space, so that a name without the prefix could hide, or be hidden by,
# one of the server or of another module.
#
#     test/check_exports.sh dlock.so
set -euo pipefail

symbols=$(nm -D --defined-only "$1" | awk '{ print $NF }')
[ -n "$symbols" ] || { echo "exports: $1 exports nothing"; exit 1; }

# what the server itself asks a module for, and what the linker adds
foreign=$(grep -vE '^(dlock_|pg_finfo_dlock_)|^(Pg_magic_func|_PG_init|_PG_fini|_init|_fini)$' <<<"$symbols" || true)
if [ -n "$foreign" ]; then
	echo "exports: without prefix dlock_ in $1:"
	echo "$foreign"
	exit 1
fi
echo "exports: ok ($(wc -l <<<"$symbols") symbols)"
