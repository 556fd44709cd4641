#!/bin/bash
# A private server with dlock and a guided tour on it, with real sessions.
#
#     test/tools/quickstart.sh start      what "make quickstart" runs
#     test/tools/quickstart.sh stop       what "make quickstart-stop" runs
#
# All of it stands in .quickstart/ of the project.  Where the server's user
# cannot get there (root's checkout in a closed folder), or the path is too
# long for a socket, it stands below /var/tmp and .quickstart/where names it.
# shellcheck source=test/tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

project_dir=$top/.quickstart
home=

# place prints the folder of an existing tour, or nothing.
place()
{
	if [ -r "$project_dir/where" ]; then
		cat "$project_dir/where"
	elif [ -d "$project_dir" ]; then
		echo "$project_dir"
	fi
}

stop()
{
	home=$(place)
	[ -n "$home" ] || return 0
	cd /						# where the server's user may be as well
	if [ -d "$home/pg" ] && bin=$(private_bin "$home/pg") && [ -e "$home/data/postmaster.pid" ]; then
		stop_server "$home" || stop_server "$home" immediate || true
	fi
	rm -rf "$home" "$project_dir"
}

new_place()
{
	mkdir -p "$project_dir"
	home=$project_dir
	# 107 bytes is what a socket's whole path may have
	if [ "$(id -u)" = 0 ]; then
		chown "$(server_user)": "$home"
	fi
	if [ ${#home} -gt 80 ] || ! as_server_user test -w "$home" 2>/dev/null; then
		home=$(private_dir quickstart)
		echo "$home" >"$project_dir/where"
	fi
}

start_on_free_port()
{
	for ((port = 54321; port < 54421; port++)); do
		# something that listens there already?
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
		printf "port = %d\n" "$port" |
			as_server_user tee "$home/data/conf.d/port.conf" >/dev/null
		start_server "$home" 2>/dev/null && return 0
		grep -q 'could not create any TCP/IP sockets\|Address already in use' \
			"$home/server.log" || break
	done
	tail -n 20 "$home/server.log" >&2
	die "the server did not start"
}

# sql NAME SQL runs SQL in a session of its own, which acts as client NAME.
sql()
{
	PGOPTIONS="-c dlock.client=$1" "$bin/psql" -h "$home" -p "$port" \
		-U postgres -d quickstart -X -q -v ON_ERROR_STOP=1 -P footer=off -c "$2" |
		sed '${/^$/d}'
}

value()
{
	"$bin/psql" -h "$home" -p "$port" -U postgres -d quickstart -X -q -A -t -c "$1"
}

# show TEXT NAME SQL explains, shows the command, and what the session prints.
show()
{
	explain "$1"
	echo "$2=> $3"
	sql "$2" "$3"
}

explain()
{
	printf '\n-- %s\n' "$*"
}

# until_true SQL waits for a state that another session is about to reach.
until_true()
{
	local i
	for ((i = 0; i < 600; i++)); do
		[ "$(value "$1" 2>/dev/null)" != t ] || return 0
		sleep 0.05
	done
	die "did not come true in 30 seconds: $1"
}

# in_background NAME SQL starts a session that will have to wait.
in_background()
{
	echo "$1=> $2      (waits)"
	sql "$1" "$2" >"$home/session.$1" 2>&1 &
	pids[$1]=$!
}

# served NAME waits for such a session to end, and shows what it printed.
served()
{
	wait "${pids[$1]}" || { cat "$home/session.$1"; die "session of $1 failed"; }
	echo "$1   (its acquire has returned)"
	cat "$home/session.$1"
}

prepare()
{
	"$top/test/tools/packages.sh" build
	say "building (make)"
	make -s --no-print-directory -C "$top" -j"$(nproc)" all
	stop
	new_place
	(cd "$top" && install_private "$home/pg")
	bin=$(private_bin "$home/pg")
	cd "$home"
	[ "$(id -u)" != 0 ] || chown -R "$(server_user)": "$home"

	say "starting a private server in $home"
	head -c 18 /dev/urandom | base64 | as_server_user tee "$home/password" >/dev/null
	as_server_user chmod 600 "$home/password"
	# Its socket lies in a closed folder; over TCP, for drivers that know
	# nothing else, the password is asked for.
	chmod 700 "$home"
	init_server "$home" --auth-host=scram-sha-256 --pwfile="$home/password"
	as_server_user mkdir "$home/data/conf.d"
	printf "%s\n" "listen_addresses = '127.0.0.1'" "include_dir = 'conf.d'" |
		as_server_user tee -a "$home/data/postgresql.conf" >/dev/null
	start_on_free_port
	"$bin/createdb" -h "$home" -p "$port" -U postgres quickstart
	value 'CREATE EXTENSION dlock'
}

tour()
{
	local token
	declare -gA pids

	show "Alice takes a lease on a resource and gets a token." \
		alice "SELECT dlock_acquire('invoice:42', ttl := '5 min') AS token"
	token=$(value "SELECT token FROM dlock_status('invoice:42')")

	explain "Bob and then Carol want it as well; each is a session of its own."
	in_background bob "SELECT dlock_acquire('invoice:42') AS token"
	until_true "SELECT count(*) = 1 FROM dlock_queue('invoice:42')"
	in_background carol "SELECT dlock_acquire('invoice:42', ttl := '10 min') AS token"
	until_true "SELECT count(*) = 2 FROM dlock_queue('invoice:42')"
	show "They stand in line in the order in which they came." \
		dave "SELECT place, client, mode, pid, waiting_since FROM dlock_queue('invoice:42')"
	show "Dave would rather not wait: no error, no token, no place in the queue." \
		dave "SELECT dlock_try_acquire('invoice:42') AS token"
	show "Who holds it, for how long, and how many wait?" \
		dave "SELECT status, holder, token, remaining, holders, waiters FROM dlock_status('invoice:42')"

	show "Alice needs longer; the answer also tells that two others wait." \
		alice "SELECT * FROM dlock_renew('invoice:42', ttl := '5 min')"
	show "All leases of the database:" \
		alice "SELECT resource, token, client, mode, scope, hold_count, remaining FROM dlock_list()"

	show "Alice is done.  Bob, who came first, is served at once." \
		alice "SELECT dlock_release('invoice:42')"
	served bob
	show "Bob releases, and Carol is served; tokens only ever rise." \
		bob "SELECT dlock_release('invoice:42')"
	served carol

	show "Erin takes a lease of two seconds; then her session is gone for good." \
		erin "SELECT dlock_acquire('printer', ttl := '2 s') AS token"
	explain "Frank waits no longer than that: the lease of a dead client ends by itself."
	in_background frank "SELECT token, clock_timestamp() - now() AS waited FROM dlock_acquire('printer') AS token"
	served frank

	token=$(value "SELECT token FROM dlock_status('invoice:42')")
	explain "Carol still holds invoice:42 (token $token).  Now the server dies: kill -9."
	crash
	show "It is up again after crash recovery, and Carol's lease is still there." \
		carol "SELECT status, holder, token, remaining FROM dlock_status('invoice:42')"
	show "Nobody gets what she holds ..." \
		grace "SELECT dlock_try_acquire('invoice:42') AS token"
	show "... and new tokens are higher than any from before the crash." \
		grace "SELECT dlock_acquire('another') AS token"
	[ "$(value "SELECT l.token = $token AND n.token > $token
		FROM dlock_status('invoice:42') AS l, dlock_status('another') AS n")" = t ] ||
		die "the lease or the order of tokens did not survive the crash"
}

crash()
{
	local pid i
	pid=$(head -n 1 "$home/data/postmaster.pid")
	echo "\$ kill -9 $pid"
	kill -9 "$pid"
	# Its children notice and leave; until then a start is refused.
	for ((i = 0; i < 100; i++)); do
		start_server "$home" 2>/dev/null && break
		sleep 0.1
	done
	until_true "SELECT true FROM dlock_status('invoice:42')"
}

# shellcheck disable=SC2317	# called by the trap
on_exit()
{
	local rc=$? sessions
	[ $rc != 0 ] || return 0
	mapfile -t sessions < <(jobs -p)
	[ ${#sessions[@]} = 0 ] || kill "${sessions[@]}" 2>/dev/null
	echo "${home:+the server log is $home/server.log; }make quickstart-stop removes everything" >&2
}

start()
{
	trap on_exit EXIT
	prepare
	tour
	explain "Now it is yours:"
	echo "$bin/psql -h $home -p $port -U postgres quickstart"
	echo "make quickstart-stop      # stops the server and removes it"
	echo "docs/guide.md             # how to write a worker"
}

case ${1:-} in
	start)
		# for the killed server; see there
		[ -n "${reaped:-}" ] ||
			reaped=yes exec perl "$top/test/tools/reap.pl" "${BASH_SOURCE[0]}" start
		start
		;;
	stop) stop; say "removed" ;;
	*) die "usage: test/tools/quickstart.sh start|stop" ;;
esac
