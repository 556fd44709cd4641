#!/bin/bash
# Runs suites where it stands.  test/tools/run calls it and has prepared the
# place: an ordinary user, a built copy of the project, a private installation
# whose binaries are in $bin, and a folder $out for what the suites leave.
#
# A suite counts its tests into $out/SUITE/counts ("passed failed").  Tests
# are: pg_regress files, isolation specs, pgTAP assertions, TAP assertions.
# A suite that cannot run with this server says why in $out/SUITE/skipped.
# shellcheck source=test/tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export DEBUG_POINTS=1

out=${out:?called by test/tools/run}
cd "$top"
pgxs=$("$bin/pg_config" --pgxs)
pgxs=${pgxs%/makefiles/pgxs.mk}
trap 'stop_servers_below "$out"' EXIT
trap 'exit 130' INT TERM HUP

# Longest time for one suite, in seconds: a hang is a failure, not a stuck CI.
limit=${DLOCK_SUITE_LIMIT:-2400}

# What the servers' logs may say, by suite, where the output of a test does not
# show it.  Extended regular expressions, one a line.  DROP EXTENSION may find
# the writer at work.
# Newer versions of pg_regress connect until the server is up; the last refusal
# may come into the log after the line that says that it is up.
may_log="
regress | client backend \[unknown\] FATAL:  the database system is starting up
isolation | client backend \[unknown\] FATAL:  the database system is starting up
regress | dlock writer FATAL:  terminating background worker \"dlock writer\" due to administrator command
isolation | client backend (isolation/terminate/holder|t_terminate_b|t_pending_dies) FATAL:  terminating connection due to administrator command
isolation | client backend t_disconnect_h FATAL:  connection to client lost
"

# log_is_clean SUITE LOG... fails where a server complained: a process of its
# own of anything, a session of more than an ERROR, which its test has seen.
# Where the line ought to be announced, add it to the table above; what comes of
# starting and stopping a server is known to DlockLog.
log_is_clean()
{
	local suite=$1 log complaints allowed
	shift
	allowed=$(sed -n "s/^$suite | //p" <<<"$may_log")
	for log; do
		complaints=$(perl -I"$top/test/perl" -MDlockLog=complaints,is_answer -0777 -ne '
			print map { "$_\n" } grep { !is_answer($_) } complaints($_)' <"$log") || return 1
		[ -z "$allowed" ] || complaints=$(grep -vE -- "$allowed" <<<"$complaints" || true)
		[ -n "$complaints" ] || continue
		echo "unexpected in ${log##*/}:"
		head -n 20 <<<"$complaints"
		return 1
	done
}

# regression DIR DRIVER LIST OPTION... runs pg_regress or its isolation twin.
regression()
{
	local dir=$1 driver=$2 list=$3 rc=0
	shift 3
	[ -n "$list" ] || { echo "0 0" >"$dir/counts"; echo "no tests listed"; return 0; }
	# shellcheck disable=SC2086
	timeout -k 10 "$limit" "$pgxs/test/$driver" --bindir="$bin" \
		--outputdir="$dir" --temp-instance="$dir/server" \
		--temp-config=test/dlock.conf --load-extension=dlock \
		--load-extension=dlock_test --encoding=UTF8 "$@" $list >"$dir/output" 2>&1 || rc=$?
	# the second form is that of PostgreSQL 16 and later
	awk '/ \.\.\. +ok / || /^ok /            { passed++ }
	     / \.\.\. +FAILED/ || /^not ok /     { failed++ }
	     END { print passed + 0, failed + 0 }' "$dir/output" >"$dir/counts"
	if [ $rc = 0 ]; then
		grep -E ' \.\.\. |^ok ' "$dir/output"
	else
		cat "$dir/output"
		[ ! -e "$dir/regression.diffs" ] || cat "$dir/regression.diffs"
		tail_logs "$dir"/log/postmaster.log
	fi
	rm -rf "$dir/server"
	log_is_clean "${dir##*/}" "$dir"/log/postmaster.log || rc=1
	return $rc
}

suite_regress()
{
	local dir=$1
	shift
	regression "$dir" regress/pg_regress "${*:-$(make_var REGRESS)}"
}

suite_isolation()
{
	local dir=$1
	shift
	regression "$dir" isolation/pg_isolation_regress \
		"${*:-$(make_var ISOLATION)}" --inputdir=test/isolation
}

# files DIR SUFFIX NAME... prints the named files in DIR, or all.
files()
{
	local dir=$1 suffix=$2 name
	shift 2
	if [ $# -gt 0 ]; then
		for name; do echo "$dir/${name%"$suffix"}$suffix"; done
	else
		find "$dir" -name "*$suffix" | sort
	fi
}

suite_pgtap()
{
	local dir=$1 list rc=0
	shift
	mapfile -t list < <(files test/pgtap .sql "$@")
	[ ${#list[@]} -gt 0 ] || { echo "0 0" >"$dir/counts"; echo "no tests"; return 0; }
	if [ ! -e "$("$bin/pg_config" --sharedir)/extension/pgtap.control" ]; then
		echo "this server has no pgtap" >"$dir/skipped"
		echo "0 0" >"$dir/counts"
		return 0
	fi

	init_server "$dir" && start_server "$dir" &&
		"$bin/createdb" -h "$dir" -U postgres pgtap &&
		"$bin/psql" -h "$dir" -U postgres -d pgtap -X -q -v ON_ERROR_STOP=1 \
			-c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION dlock' &&
		DLOCK_COUNTS=$dir/counts PERL5LIB=$top/test/perl \
		timeout -k 10 "$limit" pg_prove --formatter DlockCount --failures \
			--psql-bin "$bin/psql" -h "$dir" -U postgres -d pgtap \
			"${list[@]}" 2>&1 | tee "$dir/output" || rc=$?
	[ $rc = 0 ] || tail_logs "$dir/server.log"
	stop_server "$dir" || true
	log_is_clean pgtap "$dir/server.log" || rc=1
	rm -rf "$dir/data"
	return $rc
}

suite_tap()
{
	local dir=$1 list rc=0
	shift
	mapfile -t list < <(files test/t .pl "$@")
	[ ${#list[@]} -gt 0 ] || { echo "0 0" >"$dir/counts"; echo "no tests"; return 0; }

	DLOCK_COUNTS=$dir/counts PERL5LIB=$top/test/perl:$pgxs/test/perl \
		PATH=$bin:$PATH PG_REGRESS=$pgxs/test/regress/pg_regress \
		TEMP_CONFIG=$top/test/dlock.conf TESTDIR=$dir \
		TESTDATADIR=$dir/tmp_check TESTLOGDIR=$dir/tmp_check/log \
		PG_TEST_PORT_DIR=$dir/ports \
		timeout -k 10 "$limit" prove -j"$(nproc)" --formatter DlockCount \
		--failures --timer "${list[@]}" 2>&1 | tee "$dir/output" || rc=$?
	if grep -q '^Bailout called' "$dir/output"; then
		tail_logs "$dir"/tmp_check/log/regress_log_*
	elif [ $rc != 0 ]; then
		sed -n 's,^not passed: test/t/\(.*\)\.pl$,\1,p' "$dir/output" |
			while read -r name; do
				tail_logs "$dir"/tmp_check/log/*"$name"*
			done
	fi
	# failed tests keep their servers' data: too much to take along
	stop_servers_below "$dir"
	rm -rf "$dir"/tmp_check/t_*_data "$dir/ports"
	return $rc
}

tail_logs()
{
	local log
	for log; do
		[ -s "$log" ] || continue
		echo "--- last lines of ${log##*/}"
		tail -n "${DLOCK_LOG_LINES:-60}" "$log"
	done
}

# run_suite NAME TEST... shows a suite's output in one piece when it is over.
run_suite()
{
	local name=$1 rc=0 passed=0 failed=0 started=$SECONDS
	mkdir -p "$out/$name"
	("suite_$name" "$out/$name" "${@:2}") >"$out/$name.log" 2>&1 || rc=$?
	read -r passed failed <"$out/$name/counts" 2>/dev/null || true
	# what broke before, between or after the tests is a failure as well
	[ $rc = 0 ] || [ "$failed" != 0 ] || failed=1
	echo "$passed $failed" >"$out/$name/counts"
	{
		say "$name"
		# name files as they will be called once this copy is gone
		sed -e "s,$out/,.test/,g" -e "s,$top/,,g" "$out/$name.log"
		if [ -e "$out/$name/skipped" ]; then
			say "$name: skipped: $(cat "$out/$name/skipped")"
		else
			say "$name: $passed passed, $failed failed ($((SECONDS - started)) s)"
		fi
	} >"$out/$name.shown"
	flock "$out" cat "$out/$name.shown"
	mv "$out/$name.log" "$out/$name/log.txt"
	rm "$out/$name.shown"
}

run_suites()
{
	local name
	for name; do run_suite "$name"; done
}

case ${1:-all} in
	all)
		# Perl TAP mostly waits for servers to come and go: two lanes.
		say "running regress, isolation, pgtap; at the same time tap"
		run_suites regress isolation pgtap &
		run_suites tap &
		wait
		;;
	regress | isolation | pgtap | tap) run_suite "$@" ;;
	*) die "no such suite: $1" ;;
esac

touch "$out/counted"
cat "$out"/*/counts | awk '
	{ passed += $1; failed += $2 }
	END {
		print passed + 0 " passed, " failed + 0 " failed"
		exit failed > 0 || passed == 0
	}'
