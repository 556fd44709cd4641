# shellcheck shell=bash
# The workloads of the bench: workload_NAME measures and records.
# To be sourced by run, which sets $clients, $duration, $rounds, $names (the
# contenders of workload pairs), $point (clients of the other workloads) and
# $snapshot_duration.
# shellcheck disable=SC2154

other_leases=100000

# record WORKLOAD CLIENTS CONTENDER ROUND VALUE, with what others took of the
# processors meanwhile.
record()
{
	[[ $5 =~ ^[0-9.]+$ && $5 =~ [1-9] ]] || die "$1: $3 gave \"$5\""
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@" "$others" >>"$results"
}

# alternate COMMAND VARIANT... runs "COMMAND VARIANT ROUND" for all variants
# in turn, every second round backwards, so that what drifts does not always
# hit the same one.
alternate()
{
	local command=$1 round variant order
	shift
	for ((round = 1; round <= rounds; round++)); do
		order=("$@")
		if [ $((round % 2)) = 0 ]; then
			mapfile -t order < <(printf '%s\n' "$@" | tac)
		fi
		for variant in "${order[@]}"; do
			"$command" "$variant" "$round"
		done
	done
}

# run_pgbench SCRIPT SETTINGS ARG... runs pgbench; its output is in
# $work/pgbench.log then.
run_pgbench()
{
	local script=$1 settings=$2
	shift 2
	if ! PGOPTIONS=$settings measured "$bin/pgbench" -n -M prepared -j 2 \
		-f "test/bench/$script" "$@" >"$work/pgbench.log" 2>&1 ||
		grep -q aborted "$work/pgbench.log"; then
		grep -v '^DETAIL' "$work/pgbench.log" | head -n 10 >&2
		tail -n 10 "$work/server.log" >&2
		die "pgbench failed with $script"
	fi
}

tps()
{
	sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$1"
}

# leases_left prints how many leases are held by others than "holder".
leases_left()
{
	sql -c "SELECT count(*) FROM dlock_list() WHERE client <> 'holder'"
}

# assert_released fails where a pair has left its lease behind: then it was
# not a pair.
assert_released()
{
	local left
	left=$(leases_left)
	[ "$left" = 0 ] || die "$left leases were not released"
	left=$(sql -c 'SELECT count(*) FROM lease_table')
	[ "$left" = 0 ] || die "$left rows of lease_table were not deleted"
}

# --- pairs: acquire and release of a resource of the client's own

pairs_of()
{
	local name=$1 round=$2 kind script settings
	IFS='|' read -r _ kind script settings < <(grep "^$name " <<<"$contenders")
	read -r kind script <<<"$kind $script"
	if [ "$kind" = sql ]; then
		run_pgbench "$script" "${settings# }" -c "$c" -T "$duration"
		assert_released
	else
		measured run_load "$name" "$c" "$duration" >"$work/pgbench.log"
	fi
	record pairs "$c" "$name" "$round" "$(tps "$work/pgbench.log")"
}

workload_pairs()
{
	local c
	for c in $clients; do
		alternate pairs_of "${names[@]}"
	done
}

# --- renew: statements per second that renew, or do nothing

renew_of()
{
	local script=$1.sql
	[ "$1" != empty ] || script=renew_empty.sql
	run_pgbench "$script" '' -D held=0 -c "$point" -T "$duration"
	record renew "$point" "$1" "$2" "$(tps "$work/pgbench.log")"
	sql -o /dev/null -c 'SELECT dlock_force_release(resource) FROM dlock_list()'
}

workload_renew()
{
	alternate renew_of renew renew_value empty
}

# --- held: durable pairs with many other leases, and without

# take_others takes them all, and sees that they are in the table.
take_others()
{
	local written i
	PGOPTIONS='-c dlock.durable=off -c dlock.client=holder' sql -o /dev/null -c "
		SELECT count(dlock_acquire('held:' || i, ttl := '24 h', scope := 'lease'))
		FROM generate_series(1, $other_leases) AS i"
	# leases that were acknowledged before they are durable are written late
	for ((i = 0; i < 600; i++)); do
		written=$(sql -c "SELECT count(*) FROM dlock.locks WHERE owner = 'holder' AND status = 'held'")
		[ "$written" != "$other_leases" ] || break
		sleep 0.1
	done
	[ "$written" = "$other_leases" ] || die "$written other leases instead of $other_leases"
}

# drop_others gives them back and waits until their rows are gone as well.
drop_others()
{
	local end=$((SECONDS + 60))
	sql -o /dev/null -c "SELECT dlock_release_all('holder')"
	until [ "$(sql -c 'SELECT count(*) < 1000 FROM dlock.locks')" = t ]; do
		[ $SECONDS -lt $end ] || die "rows of released leases stay in dlock.locks"
		sleep 0.2
	done
}

held_of()
{
	[ "$1" != with ] || take_others
	sql -c 'VACUUM dlock.locks'
	run_pgbench dlock.sql '' -c "$point" -T "$duration"
	assert_released
	record held "$point" "$1" "$2" "$(tps "$work/pgbench.log")"
	[ "$1" != with ] || drop_others
}

workload_held()
{
	alternate held_of without with
}

# --- snapshot: durable pairs while a snapshot stays open, and without

snapshots_open()
{
	sql -c "SELECT count(*) FROM pg_stat_activity
		WHERE application_name = 'snapshot' AND backend_xmin IS NOT NULL"
}

open_snapshot()
{
	local end=$((SECONDS + 30))
	rm -f "$work/snapshot.in"
	mkfifo "$work/snapshot.in"
	PGAPPNAME=snapshot sql -o /dev/null <"$work/snapshot.in" &
	snapshot_job=$!
	exec {snapshot_input}>"$work/snapshot.in"
	echo "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM dlock.locks;" >&"$snapshot_input"
	until [ "$(snapshots_open)" = 1 ]; do
		[ $SECONDS -lt $end ] || die "the snapshot was not taken"
		sleep 0.1
	done
}

close_snapshot()
{
	[ "$(snapshots_open)" = 1 ] || die "the snapshot did not stay open"
	exec {snapshot_input}>&-
	wait "$snapshot_job"
}

# tail_tps prints the average of the last quarter of a run with progress.
tail_tps()
{
	awk -v all="$snapshot_duration" '
		$1 == "progress:" && $2 > all * 0.75 { sum += $4; n++ }
		END { if (n == 0) exit 1; print sum / n }' "$work/pgbench.log"
}

snapshot_of()
{
	local every=$(((snapshot_duration + 23) / 24))
	sql -c 'VACUUM dlock.locks'
	[ "$1" != with ] || open_snapshot
	run_pgbench dlock.sql '' -c "$point" -T "$snapshot_duration" -P "$every"
	[ "$1" != with ] || close_snapshot
	assert_released
	record snapshot "$point" "$1" "$2" "$(tps "$work/pgbench.log")"
	record snapshot_tail "$point" "$1" "$2" "$(tail_tps)"
}

workload_snapshot()
{
	# a run is long, and long runs differ less
	local rounds=$((rounds < 2 ? rounds : 2))
	alternate snapshot_of without with
}

# --- handover: grants per second when all wait for one resource
#
# Counted by tokens, from when every client has had its turn twice: pgbench's
# own figure would have in it how long a thousand sessions take to connect and
# to make their first call.

newest_token()
{
	sql -c "SELECT coalesce(max(token), 0) FROM dlock_list()"
}

# await_turns CLIENTS waits until each client has had its turn twice.
await_turns()
{
	local first='' token end=$((SECONDS + 300))
	until [ -n "$first" ] && [ $((token - first)) -ge $((2 * $1)) ]; do
		kill -0 "$crowd" 2>/dev/null || return 1
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
		token=$(newest_token)
		# none where nobody holds it just then
		[ "$token" = 0 ] || first=${first:-$token}
		[ "$token" != 0 ] || token=${first:-0}
	done
}

# count_grants prints the grants per second of the next seconds.
count_grants()
{
	sql -c "SELECT coalesce(max(token), 0), extract(epoch FROM clock_timestamp()) FROM dlock_list()" \
		-c "SELECT pg_sleep($duration)" \
		-c "SELECT coalesce(max(token), 0), extract(epoch FROM clock_timestamp()) FROM dlock_list()" |
		awk -F'|' 'NF == 2 { token[++n] = $1; at[n] = $2 }
			END {
				if (n != 2 || !token[1] || !token[2])
					exit 1
				print (token[2] - token[1]) / (at[2] - at[1])
			}'
}

# disperse ends the crowd and what it holds.
disperse()
{
	local end=$((SECONDS + 60))
	kill "$crowd"
	wait "$crowd" 2>/dev/null || true
	crowd=
	until [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'")" = 0 ]; do
		[ $SECONDS -lt $end ] || die "sessions of pgbench do not end"
		sleep 0.1
	done
	sql -o /dev/null -c "SELECT dlock_force_release('one')"
}

handover_of()
{
	local settings='' workload=handover waiters=$1
	if [[ $1 == memory_* ]]; then
		workload=handover_memory settings='-c dlock.durable=off'
		waiters=${1#memory_}
	fi
	# one more, who holds; far longer than it takes, it is ended by us
	PGOPTIONS=$settings "$bin/pgbench" -n -M prepared -j 2 -c $((waiters + 1)) \
		-T 3600 -f test/bench/handover.sql >"$work/pgbench.log" 2>&1 &
	crowd=$!
	if ! await_turns $((waiters + 1)) || ! measured count_grants >"$work/grants.log"; then
		tail -n 10 "$work/pgbench.log" "$work/server.log" >&2
		die "no hand-over among $waiters waiters"
	fi
	disperse
	record "$workload" 1000 "waiters_$waiters" "$2" "$(cat "$work/grants.log")"
}

workload_handover()
{
	alternate handover_of 10 1000 memory_10 memory_1000
}

# --- expiry: how late a waiter returns after the end of a dead client's lease

workload_expiry()
{
	local waiters=100 figure value
	sql -c 'TRUNCATE expiry_sample'
	run_pgbench expiry.sql '' -c "$waiters" -t 6
	assert_released
	[ "$(sql -c 'SELECT count(*) >= 500 FROM expiry_sample WHERE late_ms > 0')" = t ] ||
		die "less than 500 waiters came back after the end of the lease"
	while IFS='|' read -r figure value; do
		record expiry "$waiters" "$figure" 1 "$value"
	done < <(sql -c "
		SELECT unnest(ARRAY['p50_ms', 'p99_ms', 'max_ms']),
			unnest(percentile_disc(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY late_ms))
		FROM expiry_sample")
}

# --- memory: what a lease slot takes of shared memory

# shared_memory LEASES prints the bytes that dlock has with so many slots.
shared_memory()
{
	sql -c "ALTER SYSTEM SET dlock.max_leases = $1"
	stop_server "$work"
	start_server "$work"
	sql -c "SELECT sum(allocated_size) FROM pg_shmem_allocations WHERE name LIKE 'dlock%'"
}

workload_memory()
{
	local few=100000 many=200000 small large others=0
	small=$(shared_memory $few)
	large=$(shared_memory $many)
	sql -c 'ALTER SYSTEM RESET dlock.max_leases'
	stop_server "$work"
	start_server "$work"
	record memory - bytes_per_slot 1 $(((large - small + many - few - 1) / (many - few)))
	record memory - "bytes_in_all_with_${few}_slots" 1 "$small"
}
