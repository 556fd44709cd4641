#!/bin/bash
# Checks that the code keeps its layers: includes point down only, and what
# belongs in one place is in one place.  The rules are the two tables below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# folder: folders, and single files, that its files may include
may_include="
base:     base
durable:  base durable
shared:   base shared
engine:   base shared engine
deadlock: base shared engine deadlock
session:  base shared engine deadlock session durable/client_rows.h durable/extension.h
worker:   base shared engine deadlock session durable worker
api:      base shared engine deadlock session durable worker api
"

# what (extended regular expression) | where it may stand | why
# heap_form_tuple() and the like only build a row in memory: not listed.
only_in='
LWLock|LWTRANCHE|\bLW_(SHARED|EXCLUSIVE) | ^src/(shared/|dlock\.c) | lock order can be followed in one folder
"shared/table\.h" | ^src/((shared|engine|deadlock)/|dlock\.c) | only the engine changes who holds what
\bSPI_|\b(simple_)?heap_(open|close|insert|update|delete|fetch|beginscan|getnext|multi_insert|lock_tuple|inplace)|\btable_(open|close|begin|end|tuple|slot|scan|index|multi|finish|fetch|parallel)|\b(systable|index)_(open|close|begin|get|insert)|\bCatalogTuple | ^src/(durable/|worker/|base/compat\.h) | the hot path reads no table
\b(GetCurrent(Transaction(Start|Stop)|Statement)?|GetSQLCurrent)(Timestamp|StartTimestamp)|\bclock_gettime|\bgettimeofday|\bINSTR_TIME_SET|\btime\( | ^src/base/clock\.c | tests and wall-clock jumps meet one clock
\bDefineCustom | ^src/base/config\.c | a setting is found where the others are
\bPG_(VERSION|MAJORVERSION)_NUM\b | ^src/base/compat\.h | a new server needs changes in one file
'

# what (extended regular expression) | where it may not stand | why
never_in='
\b(ereport|elog)\(|\b(re|MemoryContext)?p?alloc[0-9a-z_]*\(|\bMemoryContextAlloc|\bpfree\(|\b(psprintf|pstrdup|pnstrdup|makeStringInfo|initStringInfo|appendStringInfo)|\blappend|\bPG_TRY|\b(WaitLatch|WaitEventSetWait|ConditionVariable[A-Z]|pg_usleep|dlock_sleep_|dlock_futex_wait|dlock_flush_)|\bCHECK_FOR_INTERRUPTS|\bSPI_|\b(table|relation|systable|index|heap)_[a-z]+\(|\bSearchSysCache|\bLock(Acquire|Relation) | ^src/engine/ | it runs under a partition lock: it may not sleep, allocate, throw or read a table
'

findings=0

finding()
{
	echo "$1"
	findings=$((findings + 1))
}

# code FILE prints the file with its comments blanked, lines kept.
code()
{
	perl -0777 -pe 's{/\*.*?\*/}{(my $c = $&) =~ tr/\n//cd; $c}gse' "$1"
}

files=$(find src -name '*.[ch]' | sort)

for file in $files; do
	folder=${file#src/}
	folder=${folder%%/*}
	[ "$file" = src/dlock.c ] || {
		allowed=$(sed -n "s/^$folder: *//p" <<<"$may_include")
		[ -n "$allowed" ] || finding "$file: folder \"$folder\" is in no layer"
		while IFS=: read -r line included; do
			[[ -z $line || " $allowed " == *" ${included%%/*} "* ||
				" $allowed " == *" $included "* ]] ||
				finding "$file:$line: $folder may not include \"$included\""
		done < <(sed -nE '/^#include "[a-z_]+\//{=;s/^#include "([^"]*)".*/\1/p}' "$file" |
			paste -d: - - |
			# headers of the server have folders of their own
			while IFS=: read -r line included; do
				[ ! -e "src/$included" ] || echo "$line:$included"
			done)
	}
	grep -qE "^ \*	  $file\$" "$file" ||
		finding "$file: header comment does not name this path after IDENTIFICATION"
done

# A forgotten object would be missed when the library is loaded, not when it
# is linked.
objects=$(make -s print-OBJS | tr ' ' '\n')
sources=$(find src -name '*.c' | sed 's/c$/o/' | LC_ALL=C sort)
[ "$objects" = "$sources" ] ||
	finding "Makefile: OBJS is not the sorted list of src/: $(diff <(echo "$objects") <(echo "$sources") | grep '^[<>]' | paste -sd ' ')"

# check_rules TABLE VERDICT looks for what the table lists in the files that its
# second column names (VERDICT "never"), or in all others ("only").
check_rules()
{
	local rule why where what file hit
	while IFS= read -r rule; do
		[ -n "$rule" ] || continue
		why=${rule##* | }
		rule=${rule% | *}
		where=${rule##* | }
		what=${rule% | *}
		for file in $files; do
			if [[ $file =~ $where ]]; then
				[ "$2" = never ] || continue
			else
				[ "$2" = only ] || continue
			fi
			while IFS= read -r hit; do
				[ -z "$hit" ] || finding "$file:$hit   <- not here: $why"
			done < <(code "$file" | grep -nE "$what" || true)
		done
	done <<<"$1"
}

check_rules "$only_in" only
check_rules "$never_in" never

if [ "$findings" -gt 0 ]; then
	echo "layers: $findings findings"
	exit 1
fi
echo "layers: ok ($(wc -w <<<"$files") files)"
