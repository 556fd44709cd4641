# What was acknowledged survives the death of the server (kill -9 of the
# postmaster, immediate shutdown): claims 4 to 6 of src/README.md.
#
# It could fail if a grant were acknowledged before its row is flushed, if a
# row said less than memory (holds, mode, role), if a restored lease's clock
# had gone on while the server was down, if tokens were counted from what the
# table happens to show, or if a hand-over were durable by halves.
#
# synchronous_commit is off here: the promise must not hang on it.
use strict;
use warnings;

use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time usleep);
use DlockNode qw(dlock_node start_writers crash kill_postmaster poll_start poll_until
  session ask begin_ask end_ask is_waiting abandon backend_pid set_stop clear_stop
  wait_stopped log_position expect_log rows try_rows poll_rows poll_ready
  table_matches);

my $node = dlock_node('crash', <<'EOCONF');
synchronous_commit = off
autovacuum = off
EOCONF

rows($node, 'CREATE ROLE crash_alice LOGIN; CREATE ROLE crash_bob LOGIN');

my $newest = 0;
my $tempdir = PostgreSQL::Test::Utils::tempdir;

# A lease as it has to be again after a crash.  Scope session is a lease like
# any other then, and scope transaction is gone.
my $durable = <<'EOSQL';
SELECT resource, token, client, role, mode, hold_count, acquired_at
FROM dlock_list() WHERE scope <> 'transaction' ORDER BY resource, token
EOSQL

# rises(TOKEN, WHAT) tests that a token is above all those seen before.
sub rises
{
	my ($token, $what) = @_;

	cmp_ok($token, '>', $newest, "token rises: $what");
	$newest = $token if $token > $newest;
	return;
}

sub take
{
	my ($what, $args) = @_;

	rises(rows($node, "SELECT dlock_acquire($args)"), $what);
	return;
}

# restart_by(HOW) ends the server and starts it again; gives the time at which
# nothing of it was running.
sub restart_by
{
	my ($how) = @_;
	my $down;

	if ($how eq 'kill -9')
	{
		kill_postmaster($node);
	}
	else
	{
		$node->stop('immediate');
	}
	$down = time();
	poll_start($node);
	poll_ready($node);
	return $down;
}

# full_again(SINCE, HOW) tests that every lease lasts for its full duration,
# counted from SINCE, and for no more than a tenth longer.
sub full_again
{
	my ($since, $how) = @_;

	is( rows(
			$node, <<EOSQL),
SELECT l.resource, l.expires_at, t.ttl
FROM dlock_list() l LEFT JOIN dlock.locks t USING (token)
WHERE (l.expires_at >= to_timestamp($since) + t.ttl
   AND l.expires_at <= clock_timestamp() + t.ttl * 1.1) IS NOT TRUE
EOSQL
		'',
		"every lease has its full duration again after $how");
	return;
}

#
# All kinds of leases
#

sub survives
{
	my ($how) = @_;
	my $p = $how =~ s/\W+/-/gr;
	my $long = 'x' x (255 - length "long-$p-");
	my $in_session = session($node);
	my $in_xact = session($node);
	my ($before, $down);

	take('plain', "'plain-$p', ttl := '10 min', client := 'c-plain'");
	take('name of 255 bytes', "'long-$p-$long', ttl := '10 min', scope := 'lease'");
	take('odd name', "'odd-$p ''\"\\ \x{c3}\x{a4}\x{e2}\x{82}\x{ac}'"
		  . ", ttl := '10 min', client := 'odd ''\"\\ \x{c3}\x{a4}'");
	take('counted', "'counted-$p', ttl := '10 min', client := 'c-count'");
	rows($node,
		"SELECT dlock_acquire('counted-$p', client := 'c-count') FROM generate_series(1, 2)"
	);
	take('shared by the first',
		"'shared-$p', ttl := '10 min', mode := 'shared', client := 'c-1'");
	take('shared by the second',
		"'shared-$p', ttl := '1 h', mode := 'shared', client := 'c-2'");
	take('longer later', "'longer-$p', ttl := '1 min', client := 'c-long'");
	rows($node, "SELECT dlock_renew('longer-$p', '20 min', client := 'c-long')");
	take('shorter later',
		"'shorter-$p', ttl := '20 min', client := 'c-short'");
	rows($node,
		"SELECT dlock_renew('shorter-$p', '5 min', client := 'c-short')");
	take('upgraded',
		"'up-$p', ttl := '10 min', mode := 'shared', client := 'c-up'");
	rows($node,
		"SELECT dlock_set_options('up-$p', mode := 'exclusive', client := 'c-up')"
	);
	take('downgraded', "'down-$p', ttl := '10 min', client := 'c-down'");
	rows($node,
		"SELECT dlock_set_options('down-$p', mode := 'shared', client := 'c-down')"
	);
	rises(
		rows(
			$node,
			"SELECT dlock_acquire('role-$p', ttl := '10 min', client := 'c-alice-$p')",
			'postgres',
			'crash_alice'),
		'taken by another role');
	rises(
		ask($in_session,
			"SELECT dlock_acquire('session-$p', ttl := '10 min', scope := 'session')"
		),
		'scope session');
	ask($in_xact, 'BEGIN');
	rises(
		ask($in_xact, "SELECT dlock_acquire('xact-$p', scope := 'transaction')"
		),
		'scope transaction');
	rises(
		ask($in_xact,
			"SELECT dlock_acquire('mixed-$p', ttl := '10 min', client := 'c-mixed')"
		),
		'lease and transaction');
	ask($in_xact,
		"SELECT dlock_acquire('mixed-$p', scope := 'transaction', client := 'c-mixed')"
	);
	# neither released nor made weaker, since not committed
	take('release not committed',
		"'unreleased-$p', ttl := '10 min', client := 'c-un'");
	ask($in_xact, "SELECT dlock_release('unreleased-$p', client := 'c-un')");
	take('released', "'released-$p', ttl := '10 min', client := 'c-rel'");
	is(rows($node, "SELECT dlock_release('released-$p', client := 'c-rel')"),
		't', 'released');
	# the release is in this one's batch or in one before
	take('last', "'last-$p', ttl := '10 min', client := 'c-last'");
	table_matches_durable();

	$before = rows($node, $durable);
	$before =~ s/(mixed-\S+?\|.*\|)2\|/${1}1|/ or die 'hold count of mixed?';
	is(scalar(my @lines = split /\n/, $before), 15, 'leases to be kept');
	$down = restart_by($how);

	is(rows($node, $durable), $before, "all leases are there after $how");
	full_again($down, $how);
	is( rows(
			$node,
			"SELECT status FROM dlock_status('xact-$p') UNION ALL SELECT status FROM dlock_status('released-$p')"
		),
		"free\nfree",
		'neither a transaction\'s nor a released lease comes back');
	is( rows($node, "SELECT expires_at IS NOT NULL AND remaining IS NOT NULL FROM dlock_status('session-$p')"
		),
		't',
		'a session\'s lease expires from now on');
	is( rows($node, "SELECT dlock_try_acquire('plain-$p', client := 'c-other')"
		),
		'',
		'a restored lease keeps others out');
	is( rows($node, "SELECT dlock_acquire('plain-$p', client := 'c-plain')"),
		rows($node, "SELECT token FROM dlock_status('plain-$p')"),
		'and its client in, with the same token');
	is( rows(
			$node,
			join ';',
			("SELECT dlock_release('counted-$p', client := 'c-count')") x 4),
		"t\nt\nt\nf",
		'a restored lease takes as many releases as it had holds');
	like(
		try_rows(
			$node, "SELECT dlock_release('role-$p', client := 'c-alice-$p')",
			'postgres', 'crash_bob'),
		qr/42501: permission denied for dlock client/,
		'a restored client still belongs to its role');
	take('after the crash', "'after-$p'");
	abandon($_) foreach $in_session, $in_xact;
	return;
}

# Hold counts of transactions are not in the table.
sub table_matches_durable
{
	return poll_rows($node, <<'EOSQL', 't');
SELECT (SELECT count(*) FROM dlock_list() WHERE scope <> 'transaction') =
	(SELECT count(*) FROM dlock.locks WHERE status = 'held')
EOSQL
}

# everything_released() leaves nothing behind, rows included.
sub everything_released
{
	rows($node,
		'SELECT sum(dlock_force_release(resource)) FROM (SELECT DISTINCT resource FROM dlock_list()) l'
	);
	poll_rows($node, 'SELECT count(*) FROM dlock.locks', '0');
	rows($node, 'VACUUM dlock.locks');
	return;
}

survives('kill -9');
everything_released();
survives('an immediate shutdown');
everything_released();

#
# Time
#

# The server is down for longer than the lease lasts.
{
	my ($down, $token);

	$token =
	  rows($node, "SELECT dlock_acquire('time', ttl := '1 s', client := 'c-time')");
	rises($token, 'short lease');
	kill_postmaster($node);
	$down = time();
	# not to give somebody time, but for the time to pass
	usleep(100_000) while time() < $down + 1.5;
	$down = time();
	poll_start($node);
	# the next client gets it, but not before its time is over
	rises(
		rows(
			$node,
			"SELECT dlock_acquire('time', timeout := '60 s', ttl := '10 min')"
		),
		'after a restored lease has expired');
	cmp_ok(time(), '>=', $down + 1,
		'a lease that ran out while the server was down has its full time again'
	);
}

# Many leases at once do not all end in one instant, and none too early.
{
	my $down;

	rows($node,
		"SELECT count(dlock_acquire('many/' || g, ttl := '10 min', client := 'c-many')) FROM generate_series(1, 2000) g"
	);
	$down = restart_by('kill -9');
	is( rows($node, "SELECT count(*) FROM dlock_list('c-many')"),
		2000, 'all of many leases are there');
	full_again($down, 'kill -9 with many leases');
	cmp_ok(
		rows(
			$node,
			"SELECT count(DISTINCT date_trunc('second', expires_at)) FROM dlock_list('c-many')"
		),
		'>=', 30,
		'their ends are spread');
	everything_released();
}

#
# Tokens
#

take('one crash after the other', "'again', ttl := '1 h', client := 'again'");
foreach my $n (1 .. 3)
{
	crash($node);
	take("crash $n of several", "'again-$n'");
}

# After everything was deleted, the table does not show how far tokens went.
everything_released();
crash($node);
take('crash with an empty table', "'empty'");
everything_released();
$node->restart;
take('restart with an empty table', "'empty'");

# Grants that were not waited for may be lost; their tokens may not.
foreach my $n (1 .. 3)
{
	my $session = session($node);

	rises(
		ask($session,
			"SET dlock.durable = off; SELECT max(dlock_acquire('loose/' || g, client := 'loose-$n')) FROM generate_series(1, 500) g"
		),
		"not durable, crash $n");
	kill_postmaster($node);
	abandon($session);
	poll_start($node);
	take("after tokens that were not durable, crash $n", "'tight-$n'");
}

# The same where tokens go past half a block, when the next one is due.
{
	my $session = session($node);

	ask($session, 'SET dlock.durable = off');
	ask($session, <<'EOSQL');
DO $$
BEGIN
	FOR i IN 1..520000 LOOP
		PERFORM dlock_acquire('block', scope := 'lease');
		PERFORM dlock_force_release('block');
	END LOOP;
END $$
EOSQL
	rises(ask($session, "SELECT dlock_acquire('block', scope := 'lease')"), 'half a block later');
	kill_postmaster($node);
	abandon($session);
	poll_start($node);
	take('crash half a block later', "'block-after'");
}

# A token that is not durable must not be seen, even with dlock.durable off:
# the very first one of a database, and the first one after a start; by the
# session that made the writer extend them, or by one that comes meanwhile.
foreach my $at ('batch_collected', 'rows_written')
{
	my $dbname = "crash_$at";

	rows($node, "CREATE DATABASE $dbname");
	rows($node, 'CREATE EXTENSION dlock', $dbname);
	poll_ready($node, $dbname);
	foreach my $which ('the first token', 'the first token after a crash')
	{
		my @sessions = map { session($node, $dbname) } 1 .. 2;
		my $pid = backend_pid($sessions[1]);
		my $position = log_position($node);

		ask($_, 'SET dlock.durable = off') foreach @sessions;
		set_stop($node, $at);
		begin_ask($sessions[0], "SELECT dlock_acquire('first', client := '$which')");
		wait_stopped($node, $at, $position);
		begin_ask($sessions[1], "SELECT dlock_acquire('second', client := '$which')");
		poll_rows($node, "SELECT wait_event_type = 'Extension' OR state <> 'active' FROM pg_stat_activity WHERE pid = $pid", 't');
		ok(is_waiting($sessions[0]) && is_waiting($sessions[1]),
			"$at: $which is not shown before it is durable");
		clear_stop($node);
		foreach my $session (@sessions)
		{
			like(end_ask($session), qr/^\d+$/, 'but then');
			$session->quit;
		}
		rows($node, "SELECT dlock_force_release('first'), dlock_force_release('second')", $dbname);
		table_matches($node, $dbname);
		crash($node);
		poll_ready($node, $dbname);
	}
}

# What is released may come back, but only until it expires.
{
	my $position = log_position($node);
	my $session = session($node);

	take('to be released',
		"'back', ttl := '1500 ms', client := 'c-back'");
	poll_rows($node, "SELECT count(*) FROM dlock.locks WHERE resource_name = 'back'", 1);
	set_stop($node, 'batch_collected');
	# this batch goes without the release
	begin_ask($session, "SELECT dlock_acquire('back-other')");
	wait_stopped($node, 'batch_collected', $position);
	is(rows($node, "SELECT dlock_release('back', client := 'c-back')"),
		't', 'released, but that is not written');
	is(rows($node, "SELECT status FROM dlock_status('back')"),
		'free', 'a release waits for nobody');
	kill_postmaster($node);
	abandon($session);
	clear_stop($node);
	poll_start($node);
	rises(
		rows(
			$node,
			"SELECT dlock_acquire('back', timeout := '60 s', client := 'c-next')"
		),
		'after a released lease that had come back');
}

#
# Stop points of the writer
#

# All that waits for a flush is in the one batch that is stopped: its table is
# locked until everybody has asked.
foreach my $point (qw(batch_collected rows_written rows_flushed))
{
	my $flushed = $point eq 'rows_flushed';
	my $p = "$point-1";
	my $position = log_position($node);
	my $locker = session($node);
	my $holder = session($node);
	my %asker;
	my ($before, $down, %after, $handed);

	take($point,
		"'count/$p', ttl := '10 min', client := 'c-stop'");
	take($point,
		"'mode/$p', ttl := '10 min', mode := 'shared', client := 'c-stop'");
	take($point, "'time/$p', ttl := '10 min', client := 'c-stop'");
	take($point, "'free/$p', ttl := '10 min', client := 'c-stop'");
	take($point, "'hand/$p', ttl := '10 min', client := 'c-stop'");
	table_matches($node);
	$handed = rows($node, "SELECT token FROM dlock_status('hand/$p')");
	set_stop($node, $point);
	ask($locker, 'BEGIN; LOCK TABLE dlock.locks IN EXCLUSIVE MODE');

	my %asks = (
		new => "dlock_acquire('new/$p', ttl := '10 min', client := 'c-stop')",
		count => "dlock_acquire('count/$p', client := 'c-stop')",
		mode => "dlock_set_options('mode/$p', mode := 'exclusive', client := 'c-stop')",
		time => "dlock_renew('time/$p', '1 h', client := 'c-stop')",
		hand => "dlock_acquire('hand/$p', ttl := '10 min', client := 'c-heir')");
	foreach my $name (sort keys %asks)
	{
		$asker{$name} = session($node);
		begin_ask($asker{$name}, "SELECT $asks{$name}");
	}
	# all of them have arrived
	poll_rows($node, "SELECT place FROM dlock_queue('hand/$p')", 1);
	poll_rows(
		$node,
		<<EOSQL,
SELECT (SELECT count(*) FROM dlock_list() WHERE
	(resource, hold_count, mode) IN (('new/$p', 1, 'exclusive'),
	('count/$p', 2, 'exclusive'), ('mode/$p', 1, 'exclusive')) OR
	resource = 'time/$p' AND remaining > '30 min')
EOSQL
		4);
	is( rows(
			$node,
			"SELECT dlock_release('free/$p', client := 'c-stop'), dlock_release('hand/$p', client := 'c-stop')"
		),
		't|t',
		"$point: a release waits for nobody");
	poll_rows($node, "SELECT holder FROM dlock_status('hand/$p')", 'c-heir');
	ask($locker, 'COMMIT');
	wait_stopped($node, $point, $position);
	is( join(' ', grep { !is_waiting($asker{$_}) } sort keys %asker),
		'', "$point: nothing is acknowledged");

	kill_postmaster($node);
	foreach my $name (sort keys %asker)
	{
		unlike(abandon($asker{$name}),
			qr/^(?:\d+|t|\(.*\))$/m, "$point: $name was never acknowledged");
	}
	abandon($_) foreach $locker, $holder;
	clear_stop($node);
	$down = time();
	poll_start($node);
	poll_ready($node);

	%after = map { my @row = split /\|/; ($row[0] => \@row) } split /\n/,
	  rows(
		$node, <<EOSQL);
SELECT split_part(l.resource, '/', 1), l.client, l.mode, l.hold_count,
	t.ttl, l.token
FROM dlock_list() l JOIN dlock.locks t USING (token)
WHERE resource LIKE '%/$p'
EOSQL
	# What was not flushed has never been; a transaction that did not commit
	# cannot have left half of a batch.
	is($after{new} ? 'there' : 'not there',
		$flushed ? 'there' : 'not there', "$point: the grant");
	is($after{count}[3], $flushed ? 2 : 1, "$point: the hold count");
	is($after{mode}[2], $flushed ? 'exclusive' : 'shared', "$point: the mode");
	is($after{time}[4], $flushed ? '01:00:00' : '00:10:00',
		"$point: the duration");
	is($after{free} ? 'there' : 'not there',
		$flushed ? 'not there' : 'there', "$point: the released lease");
	is($after{hand}[1], $flushed ? 'c-heir' : 'c-stop',
		"$point: one holder of what was handed over");
	ok($flushed ? $after{hand}[5] > $handed : $after{hand}[5] == $handed,
		"$point: with its own token");
	full_again($down, $point);
	$newest = rows($node, "SELECT max(token) FROM dlock_list()")
	  if $flushed;
	take("$point, next", "'next/$p', client := 'c-stop'");
	everything_released();
}

#
# Stop points of a backend
#

# Flushed, not acknowledged: the lease's clock does not run yet.
{
	my $session = session($node);
	my $position = log_position($node);
	my ($token, $down);

	ask($session, "SET dlock.debug_stop = 'grant_flushed'");
	begin_ask($session,
		"SELECT dlock_acquire('flushed', ttl := '1 min', client := 'c-flushed')");
	wait_stopped($node, 'grant_flushed', $position);
	ok(is_waiting($session), 'grant_flushed: not acknowledged');
	is( rows($node, "SELECT status, remaining FROM dlock_status('flushed')"),
		'exclusive|', 'grant_flushed: held, and its clock does not run');
	$token = rows($node, "SELECT token FROM dlock_status('flushed')");
	kill_postmaster($node);
	unlike(abandon($session), qr/^\d+$/m, 'grant_flushed: was never told');
	$down = time();
	poll_start($node);
	is( rows($node, "SELECT token, holder FROM dlock_status('flushed')"),
		"$token|c-flushed", 'grant_flushed: is there');
	full_again($down, 'a crash at grant_flushed');
	rises($token, 'grant_flushed');
}

# Acknowledged, and the answer on its way.
{
	my $session = session($node);
	my $position = log_position($node);
	my ($token, $down);

	ask($session, "SET dlock.debug_stop = 'grant_acknowledged'");
	begin_ask($session,
		"SELECT dlock_acquire('told', ttl := '1 min', client := 'c-told')");
	wait_stopped($node, 'grant_acknowledged', $position);
	is( rows(
			$node,
			"SELECT status, remaining <= '1 min' FROM dlock_status('told')"),
		'exclusive|t',
		'grant_acknowledged: its clock runs');
	$token = rows($node, "SELECT token FROM dlock_status('told')");
	kill_postmaster($node);
	abandon($session);
	$down = time();
	poll_start($node);
	is( rows($node, "SELECT token, holder FROM dlock_status('told')"),
		"$token|c-told", 'grant_acknowledged: is there');
	full_again($down, 'a crash at grant_acknowledged');
	rises($token, 'grant_acknowledged');
}

# Crashes while the leases are being loaded change nothing.
{
	my $before = rows($node, $durable);
	my $down;

	kill_postmaster($node);
	foreach my $n (1 .. 2)
	{
		my $position = log_position($node);

		set_stop($node, 'leases_loaded');
		poll_start($node);
		start_writers($node, 'postgres');
		wait_stopped($node, 'leases_loaded', $position);
		kill_postmaster($node);
	}
	clear_stop($node);
	$down = time();
	poll_start($node);
	is(rows($node, $durable), $before,
		'leases_loaded: a crash there loses nothing');
	full_again($down, 'a crash at leases_loaded');
	take('leases_loaded', "'loaded'");
}
everything_released();

#
# Under load
#

# Whatever was acknowledged at the moment of the crash is there, with its
# token, wherever the writer happened to be.
foreach my $n (1 .. 3)
{
	my @sessions = map { session($node) } 1 .. 4;
	my (%acknowledged, $there, @lost, $crashed_at);

	foreach my $i (0 .. $#sessions)
	{
		my $script = "$tempdir/load-$n-$i.sql";

		append_to_file($script, join '',
			map { "SELECT 'load-$n/$i/$_', dlock_acquire('load-$n/$i/$_', ttl := '10 min', client := 'c-load-$i');\n" }
			  1 .. 20000);
		$sessions[$i]{stdin} .= "\\i $script\n";
	}
	poll_until(
		'grants are acknowledged',
		sub {
			$_->{run}->pump_nb foreach @sessions;
			return join('', map { $_->{stdout} } @sessions) =~ tr/\n// >
			  200 * $n;
		});
	kill_postmaster($node);
	foreach my $session (@sessions)
	{
		# reads what was sent before the end
		%acknowledged =
		  (%acknowledged, abandon($session) =~ /^(load-\S+)\|(\d+)$/mg);
	}
	poll_start($node);
	$there = {
		map { split /\|/ } split /\n/,
		rows(
			$node,
			"SELECT resource, token FROM dlock_list() WHERE resource LIKE 'load-$n/%'"
		)
	};
	@lost =
	  grep { ($there->{$_} // 0) != $acknowledged{$_} } sort keys %acknowledged;
	is("@lost", '', 'nothing of ' . keys(%acknowledged) . ' was lost');
	$newest = (sort { $b <=> $a } $newest, values %acknowledged)[0];
	take("crash $n under load", "'load-after-$n'");
	everything_released();
}

expect_log(
	$node,
	# a killed server
	qr/client backend .*FATAL:  terminating connection due to unexpected postmaster exit/,
	# a start while the last children are still there
	qr/FATAL:  (?:lock file|pre-existing shared memory block).* (?:already exists|is still in use)/,
	qr/client backend .*ERROR:  permission denied for dlock client "c-alice-/);

done_testing();
