#!/bin/bash
# Checks the symbols of a built dlock.so.  The server loads modules into one
# name space, so that a name without the prefix could hide, or be hidden by,
# one of the server or of another module.
#
# A build that is shipped must not have the debug points of the tests either,
# nor the settings that control them.
#
#     test/checks/exports.sh dlock.so
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

# only what is loaded: the notes for debuggers name source files
leftovers=$({ nm "$1" | awk '{ print $NF }'; strings -d "$1"; } |
	grep -iE 'debug_?(point|stop|no_barrier)' || true)
if [ -n "$leftovers" ]; then
	echo "exports: $1 has debug points, which are for tests (make DEBUG_POINTS=1):"
	echo "$leftovers"
	exit 1
fi
echo "exports: ok ($(wc -l <<<"$symbols") symbols)"
