#!/bin/bash
# Static analysis without findings: cppcheck, clang-tidy (.clang-tidy says
# which checks, and why not all), shellcheck on the scripts, whether the
# functions exist that the models name, and what can be checked of prose.
# shellcheck source=test/tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"
"$top/test/tools/packages.sh" build lint
cd "$top"

rc=0
mapfile -t sources < <(find src test/bench -name '*.c' | sort)
mapfile -t scripts < <(grep -rlE '^#!/bin/(ba)?sh|shellcheck shell=' test .ci docs/ha debian)

# cppcheck sees our own headers only: those of the server cost minutes and
# give findings that are not ours.  So it is told what the macros mean.
cppcheck -DPG_VERSION_NUM=150000 --quiet -DDLOCK_DEBUG_POINTS --error-exitcode=1 --inline-suppr --std=c99 -I src \
	--enable=warning,performance,portability \
	--suppress=missingInclude --suppress=missingIncludeSystem \
	'-DPG_FUNCTION_INFO_V1(f)=extern int f' '-DPG_MODULE_MAGIC=extern int m' \
	'-DFLEXIBLE_ARRAY_MEMBER=' "${sources[@]}" || rc=1

include=$("$(make_var PG_CONFIG)" --includedir-server)
# shellcheck disable=SC2016	# the inner shell expands
printf '%s\n' "${sources[@]}" |
	xargs -P "$(nproc)" -n 6 sh -c '
		include=$1; shift
		clang-tidy --quiet "$@" -- -std=gnu99 -DDLOCK_DEBUG_POINTS -I src -I "$include" 2>/dev/null
	' sh "$include" || rc=1

shellcheck -x "${scripts[@]}" || rc=1

test/checks/model_names.sh || rc=1
test/checks/prose.sh || rc=1

[ $rc != 0 ] || echo "lint: ok (${#sources[@]} C files, ${#scripts[@]} scripts)"
exit $rc
