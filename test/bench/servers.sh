# shellcheck shell=bash
# shellcheck disable=SC2154	# work and bin are set by run and lib.sh
# The servers of the bench: PostgreSQL with dlock, and the peers that are
# installed.  All are our own, below $work, as an ordinary user; services
# that Debian's packages may have started are not used.  To be sourced.

# etcd takes settings from the environment as well; the caller's are not ours.
for name in ${!ETCD_@}; do
	unset "$name"
done

# each peer that runs, and its job; NAME.pid has the server itself
peer_names=()
peer_jobs=()

# why_not PEER prints why a peer cannot take part, or nothing.
why_not()
{
	local program library
	case $1 in
		redis_*) program=redis-server library=hiredis/hiredis.h ;;
		etcd) program=etcd library=nghttp2/nghttp2.h ;;
		*) return 0 ;;
	esac
	if ! command -v "$program" >/dev/null; then
		echo "$program is not installed, see make bench-deps"
	elif [ ! -e "/usr/include/$library" ]; then
		echo "$library is not installed, see make bench-deps"
	fi
}

start_postgres()
{
	init_server "$work"
	as_server_user tee -a "$work/data/postgresql.conf" >/dev/null <<-'CONF'
		fsync = on
		max_wal_size = 4GB
		shared_buffers = 256MB
		log_min_messages = warning
		max_connections = 1100
		dlock.max_leases = 200000
	CONF
	start_server "$work"
	export PGHOST=$work PGUSER=postgres PGDATABASE=postgres
	sql -v empty="$work/tree/test/bench/empty/bench_empty.so" -f test/bench/setup.sql
}

# sql ARG... runs psql; prints bare values.
sql()
{
	"$bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

# free_port prints a port of the loopback interface that nobody listens on.
free_port()
{
	local port
	for ((port = ${1:-23790}; port < 24790; port++)); do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
	die "no free port"
}

# start_peer NAME COMMAND... starts a server in the background.
start_peer()
{
	local name=$1
	shift
	# shellcheck disable=SC2016	# the inner shell expands
	as_server_user bash -c 'echo $$ >"$1"; shift; exec "$@"' start \
		"$work/$name.pid" "$@" >"$work/$name.log" 2>&1 </dev/null &
	peer_names+=("$name")
	peer_jobs+=($!)
}

start_redis()
{
	local name=$1
	shift
	mkdir "$work/$name"
	[ "$(id -u)" != 0 ] || chown "$(server_user)": "$work/$name"
	start_peer "$name" redis-server --port 0 --unixsocket "$work/$name.sock" \
		--dir "$work/$name" --save "" "$@"
	await_peer "$name"
}

start_etcd()
{
	local client peer
	client=$(free_port)
	peer=$(free_port $((client + 1)))
	etcd_address=127.0.0.1:$client
	start_peer etcd etcd --data-dir "$work/etcd" \
		--listen-client-urls "http://$etcd_address" \
		--advertise-client-urls "http://$etcd_address" \
		--listen-peer-urls "http://127.0.0.1:$peer" \
		--initial-advertise-peer-urls "http://127.0.0.1:$peer" \
		--initial-cluster "default=http://127.0.0.1:$peer"
	await_peer etcd
}

# run_load PEER CLIENTS SECONDS runs the load generator.
run_load()
{
	case $1 in
		redis_*) "$work/tree/test/bench/load/load-redis" "$work/$1.sock" "$2" "$3" ;;
		etcd) "$work/tree/test/bench/load/load-etcd" "$etcd_address" "$2" "$3" ;;
	esac
}

# await_peer NAME waits until a pair of lock and unlock succeeds.
await_peer()
{
	local end=$((SECONDS + 30))
	until run_load "$1" 1 0 >"$work/await.log" 2>&1; do
		if [ $SECONDS -ge $end ] || ! kill -0 "${peer_jobs[-1]}" 2>/dev/null; then
			cat "$work/await.log" >&2
			tail -n 20 "$work/$1.log" >&2
			die "$1 did not start"
		fi
		sleep 0.1
	done
}

start_contender()
{
	case $1 in
		redis_always) start_redis "$1" --appendonly yes --appendfsync always ;;
		redis_memory) start_redis "$1" --appendonly no ;;
		etcd) start_etcd ;;
	esac
}

# stop_peers ends the peers and waits for them.
stop_peers()
{
	local i pid
	for i in "${!peer_names[@]}"; do
		pid=$(cat "$work/${peer_names[i]}.pid" 2>/dev/null) || continue
		kill "$pid" 2>/dev/null || true
		wait "${peer_jobs[i]}" 2>/dev/null || true
	done
	peer_names=()
	peer_jobs=()
}

# cpu_ticks prints what /proc has counted so far: all ticks of all processors,
# those not idle, and those of our own processes.  Threads of the kernel go as
# ours: most of their work is our writes.
cpu_ticks()
{
	local pids="$$ ${crowd:-}" name
	for name in "${peer_names[@]}"; do
		pids+=" $(cat "$work/$name.pid")"
	done
	# processes may end while they are read
	{ cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v pids="$pids" \
		-v postmaster="$(head -n 1 "$work/data/postmaster.pid")" '
		BEGIN {
			n = split(pids " " postmaster, list, " ")
			for (i = 1; i <= n; i++)
				ours[list[i]] = 1
			getline cpu <"/proc/stat"
			split(cpu, c, " ")
			busy = c[2] + c[3] + c[4] + c[7] + c[8] + c[9]
			all = busy + c[5] + c[6]
		}
		{
			pid = $1
			sub(/^.*\) /, "")		# now $2 is the parent, $12 to $15 the times
			if (pid in ours || $2 == postmaster || $2 == 2)
				used += $12 + $13 + (pid in ours ? $14 + $15 : 0)
		}
		END { print all, busy, used }'
}

# measured COMMAND... runs it, returns what it returns, and leaves in $others
# what part of the processors, in percent, went to processes that are not ours
# (or, on a virtual machine, to other machines).
measured()
{
	local before after rc=0
	before=$(cpu_ticks)
	"$@" || rc=$?
	after=$(cpu_ticks)
	# shellcheck disable=SC2034	# it is recorded with the result
	others=$(awk -v before="$before" -v after="$after" 'BEGIN {
		split(before, b, " "); split(after, a, " ")
		share = 100 * ((a[2] - b[2]) - (a[3] - b[3])) / (a[1] - b[1])
		printf "%.0f", (share > 0 ? share : 0) }')
	return $rc
}
