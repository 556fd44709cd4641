# No shutdown hangs because of dlock, and a restart gives out nothing before
# all leases are loaded: claim 5 of src/README.md.
#
# It could fail if the writer did not leave when it is told to (in the middle
# of a batch, or waiting for its table), if a waiter or a backend that waits
# for a flush ignored its termination, if the writer left before those that a
# smart shutdown lets finish, or if a call slipped through before the load.
use strict;
use warnings;

use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time usleep);
use DlockNode qw(dlock_node start_writers poll_until session ask try_ask begin_ask
  end_ask is_waiting abandon set_stop clear_stop wait_stopped log_position
  expect_log rows try_rows poll_rows poll_ready table_matches);

my $node = dlock_node('restart', <<'EOCONF');
autovacuum = off
EOCONF

# A second database, so that there are two writers to stop.
rows($node, 'CREATE DATABASE restart_other');
rows($node, 'CREATE EXTENSION dlock', 'restart_other');

my $newest = 0;

sub rises
{
	my ($token, $what) = @_;

	cmp_ok($token, '>', $newest, "token rises: $what");
	$newest = $token if $token > $newest;
	return;
}

#
# Fast and immediate shutdown, whatever the writer is at
#

foreach my $mode ('fast', 'immediate')
{
	foreach my $at (qw(rest table_locked batch_collected rows_written
		rows_flushed))
	{
		my $what = "$mode shutdown, writer at $at";
		my $p = "$mode-$at";
		my $position = log_position($node);
		my %s = map { $_ => session($node) }
		  qw(holder first second locker unflushed idle);
		my $other = session($node, 'restart_other');
		my $token;

		$token = ask($s{holder},
			"SELECT dlock_acquire('held-$p', ttl := '10 min', client := 'holder')");
		rises($token, $what);
		ask($s{holder}, "SELECT dlock_acquire('session-$p', scope := 'session')");
		ask($s{holder},
			"SELECT dlock_acquire('gone-$p', ttl := '10 min', client := 'holder')"
		);
		# a release that is not committed
		ask($s{idle},
			"SELECT dlock_acquire('kept-$p', ttl := '10 min', client := 'idle')"
		);
		ask($s{idle},
			"BEGIN; SELECT dlock_release('kept-$p', client := 'idle')");
		ask($s{idle},
			"SELECT dlock_acquire('xact-$p', scope := 'transaction')");
		ask($other,
			"SELECT dlock_acquire('held-$p', ttl := '10 min', client := 'other')"
		);
		foreach my $n (qw(first second))
		{
			begin_ask($s{$n}, "SELECT dlock_acquire('held-$p', client := '$n')");
			poll_rows($node,
				"SELECT count(*) FROM dlock_queue('held-$p') WHERE client = '$n'",
				1);
		}
		table_matches($node);

		if ($at eq 'table_locked')
		{
			ask($s{locker},
				'BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
		}
		elsif ($at ne 'rest')
		{
			set_stop($node, $at);
		}
		if ($at ne 'rest')
		{
			begin_ask($s{unflushed},
				"SELECT dlock_acquire('unflushed-$p', client := 'unflushed')");
			poll_rows($node, "SELECT status FROM dlock_status('unflushed-$p')",
				'exclusive');
			wait_stopped($node, $at, $position) if $at ne 'table_locked';
			poll_rows(
				$node,
				"SELECT count(*) > 0 FROM pg_locks WHERE relation = 'dlock.locks'::regclass AND NOT granted",
				't') if $at eq 'table_locked';
		}
		# what nobody waits for
		is( ask($s{holder},
				"SELECT dlock_release('gone-$p', client := 'holder')"),
			't',
			"$what: released just before");
		# the answer tells that it is committed; the release follows at once
		poll_rows($node, "SELECT status FROM dlock_status('gone-$p')", 'free');

		ok($node->stop($mode, fail_ok => 1), "$what: does not hang");
		unlike(abandon($s{$_}), qr/^\d+$/m, "$what: $_ was not told anything")
		  foreach qw(first second unflushed);
		abandon($_) foreach $other, @s{qw(holder locker idle)};

		clear_stop($node);
		$node->start;
		poll_ready($node);
		is( rows(
				$node,
				"SELECT token, holder, waiters FROM dlock_status('held-$p')"),
			"$token|holder|0",
			"$what: the lease is there, and nobody waits");
		is( rows($node, "SELECT holder FROM dlock_status('kept-$p')"),
			'idle', "$what: a release that was not committed has no effect");
		is(rows($node, "SELECT status FROM dlock_status('xact-$p')"),
			'free', "$what: a transaction's lease ended with it");
		is( rows(
				$node, "SELECT holder FROM dlock_status('held-$p')",
				'restart_other'),
			'other',
			"$what: the other database has its lease");
		is(rows($node, "SELECT status FROM dlock_status('gone-$p')"),
			'free', "$what: the writer wrote what nobody waited for")
		  if $mode eq 'fast' && $at eq 'rest';
		rises(rows($node, "SELECT dlock_acquire('next-$p')"), "after $what");
	}
}

#
# Smart shutdown: connected clients may finish, and dlock serves them
#

foreach my $at (qw(rest batch_collected rows_flushed))
{
	my $what = "smart shutdown, writer at $at";
	my %s = map { $_ => session($node) } qw(holder waiter fresh);
	my $position = log_position($node);
	my $postmaster = $node->{_pid};
	my ($token, $fresh);

	$token = ask($s{holder},
		"SELECT dlock_acquire('smart-$at', ttl := '10 min', client := 'holder')");
	begin_ask($s{waiter},
		"SELECT dlock_acquire('smart-$at', ttl := '10 min', client := 'waiter')");
	poll_rows($node, "SELECT place FROM dlock_queue('smart-$at')", 1);
	set_stop($node, $at) if $at ne 'rest';
	begin_ask($s{fresh},
		"SELECT dlock_acquire('smart-new-$at', ttl := '10 min', client := 'fresh')"
	);
	wait_stopped($node, $at, $position) if $at ne 'rest';

	kill 'TERM', $postmaster;
	$node->wait_for_log(qr/received smart shutdown request/, $position);
	poll_until(
		'new connections are refused',
		sub { $node->psql('postgres', 'SELECT 1') != 0 });
	is( ask($s{holder}, "SELECT dlock_release('smart-$at', client := 'holder')"
		),
		't',
		"$what: release");
	if ($at ne 'rest')
	{
		ok(is_waiting($s{fresh}) && is_waiting($s{waiter}),
			"$what: not acknowledged before it is flushed");
		# as clear_stop, which would want to connect
		$node->adjust_conf('postgresql.conf', 'dlock.debug_stop', 'none');
		$node->reload;
	}
	cmp_ok(end_ask($s{waiter}),
		'>', $token, "$what: the waiter is served, durably");
	$fresh = end_ask($s{fresh});
	like($fresh, qr/^\d+$/, "$what: and so are requests under way");
	rises($fresh, $what);
	rises(ask($s{fresh}, "SELECT dlock_acquire('smart-late-$at')"),
		"$what, new request");
	ok(kill(0, $postmaster), "$what: waits for its clients");
	$_->quit foreach values %s;
	ok( poll_until('the server is down', sub { !kill(0, $postmaster) }),
		"$what: does not hang");
	$node->_update_pid(0);

	$node->start;
	poll_ready($node);
	is( rows(
			$node,
			"SELECT holder FROM dlock_status('smart-$at') UNION ALL SELECT holder FROM dlock_status('smart-new-$at')"
		),
		"waiter\nfresh",
		"$what: their leases are there");
	rises(rows($node, "SELECT dlock_acquire('smart-next-$at')"),
		"after $what");
}

#
# The gate
#

{
	my $position;
	my %s;
	my ($token, $later, $opened);

	$token = rows($node,
		"SELECT dlock_acquire('gate', ttl := '2 s', client := 'before')");
	rises($token, 'before the gate');
	$node->stop;
	$position = log_position($node);
	set_stop($node, 'leases_loaded');
	$node->start;
	start_writers($node, 'postgres', 'restart_other');
	# both databases' writers: all leases are in memory, the gates are shut
	poll_until(
		'both writers have loaded',
		sub {
			2 == (() = slurp_file($node->logfile, $position) =~
				  /dlock stopped at debug point "leases_loaded"/g);
		});

	%s = map { $_ => session($node) } qw(busy free list queue renew release);
	begin_ask($s{busy}, "SELECT dlock_try_acquire('gate', client := 'other')");
	begin_ask($s{free}, "SELECT dlock_acquire('gate-free')");
	begin_ask($s{list}, "SELECT token FROM dlock_list('before')");
	begin_ask($s{queue}, 'SELECT count(*) FROM dlock_queue()');
	begin_ask($s{renew},
		"SELECT waiters FROM dlock_renew('gate', client := 'before')");
	begin_ask($s{release},
		"SELECT dlock_release('gate', $token + 1, client := 'before')");
	poll_rows(
		$node,
		"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Extension' AND query ~ 'FROM dlock|SELECT dlock' AND pid <> pg_backend_pid()",
		6);
	is(join(' ', grep { !is_waiting($s{$_}) } sort keys %s),
		'', 'every call waits for the gate');
	like(
		try_rows($node,
			"SET statement_timeout = '100 ms'; SELECT dlock_acquire('gate-late')"),
		qr/canceling statement due to statement timeout/,
		'a wait for the gate can be cancelled');
	# the time that passes at the gate is not the lease's
	$later = time() + 2.5;
	usleep(50_000) while time() < $later;
	$opened = time();
	clear_stop($node);
	is(end_ask($s{busy}), '', 'a restored lease is held at once');
	is(end_ask($s{list}), $token, 'and listed');
	is(end_ask($s{queue}), '0', 'nobody waits for it');
	is(end_ask($s{renew}), '0', 'it can be renewed');
	is(end_ask($s{release}), 'f', 'a token that is not its is refused');
	rises(end_ask($s{free}), 'first grant after the gate');
	rises(
		ask($s{busy},
			"SELECT dlock_acquire('gate', timeout := '60 s', client := 'other')"
		),
		'after the restored lease');
	cmp_ok(time(), '>=', $opened + 2,
		'which had its full duration from when the gate opened');
	$_->quit foreach values %s;
}

# Where the gate stays shut, a call gives up after a while.
{
	my $position;
	my $session;

	$node->stop;
	$position = log_position($node);
	set_stop($node, 'leases_loaded');
	$node->start;
	start_writers($node, 'postgres');
	wait_stopped($node, 'leases_loaded', $position);
	$session = session($node);
	like(
		try_ask($session, "SELECT dlock_acquire('shut')"),
		qr/ERROR:  55000: dlock is not ready in database "postgres".*HINT:  See the server log/s,
		'a call gives up when the leases are not loaded');
	ok($node->stop('fast', fail_ok => 1),
		'shutdown does not hang where the gate is shut');
	abandon($session);
	clear_stop($node);
	$node->start;
	poll_ready($node);
	rises(rows($node, "SELECT dlock_acquire('shut-after')"), 'after that');
}

#
# Less memory than there are leases: nothing is given out, and nothing is lost
#

{
	my $count = 300;
	my $position;

	rows($node,
		"SELECT count(dlock_acquire('much/' || g, ttl := '1 h', client := 'much')) FROM generate_series(1, $count) g"
	);
	$node->append_conf('postgresql.conf', 'dlock.max_leases = 100');
	$position = log_position($node);
	$node->restart;
	start_writers($node, 'postgres');
	$node->wait_for_log(
		qr/could not load the leases of database "postgres".*HINT:  Increase "dlock.max_leases"/s,
		$position);
	like(
		try_rows($node,
			"SET statement_timeout = '1 s'; SELECT dlock_acquire('little')"),
		qr/canceling statement due to statement timeout|not ready/,
		'nothing is granted where not all leases could be loaded');
	# A load that failed gives back what it had taken; it is tried again, so
	# that there may be a moment without room.
	ok( scalar(
			grep {
				$node->psql('restart_other',
					"SELECT dlock_acquire('little/$_')") == 0
			} 1 .. 5),
		'the other database is served');
	$node->adjust_conf('postgresql.conf', 'dlock.max_leases', '1000');
	$node->restart;
	poll_ready($node);
	is(rows($node, "SELECT count(*) FROM dlock_list('much')"),
		$count, 'all leases are there when there is room again');
	is( rows(
			$node,
			"SELECT dlock_acquire('little') > max(token) FROM dlock_list('much')"
		),
		't',
		'and tokens rise');
	table_matches($node);
}

expect_log(
	$node,
	# fast shutdown
	qr/client backend .*FATAL:  terminating connection due to administrator command/,
	qr/dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command/,
	# a smart one
	qr/client backend .*FATAL:  the database system is shutting down/,
	qr/client backend .*ERROR:  canceling statement due to statement timeout/,
	qr/client backend .*ERROR:  dlock is not ready in database "postgres"/,
	# a load that finds too little room
	qr/dlock writer ERROR:  could not load the leases of database "(?:postgres|restart_other)"/,
	qr/client backend .*ERROR:  out of dlock lease slots/);

done_testing();
