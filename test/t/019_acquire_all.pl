# dlock_acquire_all: all of the resources or none, whatever comes between: slots
# that run out on the way, a cancelled or terminated session, a crash, missing
# standbys.  All rows are written in one transaction.  And clients that want
# overlapping sets, named in any order, all get on.
#
# Why it could fail: a thousand grants are made before anybody knows whether
# they last; what was granted first must be taken back with the rest; a lease
# that was waited for in line is in an earlier batch than the others; and a
# client that kept one resource while it waits for another would sooner or
# later meet one that does the same the other way round.
use strict;
use warnings;

use DlockNode qw(dlock_node crash kill_postmaster expect_log poll_rows poll_start
  poll_ready poll_until set_stop clear_stop wait_stopped log_position rows
  table_matches);
use DlockSession qw(sql_error error_parts);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $slots = 1200;
my $node = dlock_node('all', <<EOCONF, allows_streaming => 1);
dlock.max_leases = $slots
dlock.max_waiters = 100
dlock.default_ttl = '20 min'
dlock.deadlock_timeout = '5 ms'
dlock.quorum_timeout = '200 ms'
autovacuum = off
EOCONF

sub value { return rows($node, $_[0]); }

# names(PREFIX, N) gives an array of resources, last one first.
sub names
{
	my ($prefix, $n) = @_;
	return "ARRAY(SELECT '$prefix:' || i FROM generate_series($n, 1, -1) AS i)";
}

# held(PREFIX) tells how many of them anybody has.
sub held
{
	my ($prefix) = @_;
	return value("SELECT count(*) FROM dlock_list() WHERE resource LIKE '$prefix:%'");
}

# starts(SQL) gives a session in which that is under way, in line or for the disk.
sub starts
{
	my ($sql) = @_;
	my $session = DlockSession->new($node);

	$session->tell($sql);
	poll_rows($node, 'SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $session->pid,
		'Extension');
	return $session;
}

sub waits_in_line
{
	my ($client, $resource) = @_;

	poll_rows($node, "SELECT count(*) FROM dlock_queue('$resource') WHERE client = '$client'", 1);
	return;
}

#
# A thousand
#

is(value('SELECT count(*) FROM dlock_acquire_all(' . names('many', 1000) . q{, client => 'many')}),
	1000, 'a thousand at once');
is(value(q{SELECT count(*), count(DISTINCT xmin::text) FROM dlock.locks
	WHERE resource_name LIKE 'many:%' AND status = 'held'}),
	'1000|1', 'their rows were there at once, written by one transaction');
is(value('SELECT count(*) FROM dlock_acquire_all(' . names('many', 1000) . q{, client => 'many')}),
	1000, 'once more');
is(value(q{SELECT min(hold_count), max(hold_count) FROM dlock_list('many')}),
	'2|2', 'one hold more of each');
is(value(q{SELECT dlock_release('many:500', client => 'many'), dlock_release('many:500', client => 'many')}),
	't|t', 'one of them is given back');
is(value(q{SELECT dlock_acquire('many:500', client => 'other') > 0}), 't', 'and is somebody else\'s');
is(value('SELECT count(*) FROM dlock_try_acquire_all(' . names('many', 1000) . q{, client => 'many')}),
	0, 'for want of one, none');
is(value(q{SELECT count(*), min(hold_count), max(hold_count) FROM dlock_list('many')}),
	'999|2|2', 'no hold was added to any other');
value(q{SELECT dlock_release_all('many'), dlock_release_all('other')});

#
# Slots
#

foreach my $more (1, 100)
{
	my $error = sql_error($node, 'postgres',
		'SELECT dlock_acquire_all(' . names('slot', $slots + $more) . q{, client => 'slots')});

	is($error->{state}, '53200', "$more more than there are slots for");
	like($error->{hint}, qr/dlock\.max_leases/, 'the hint names the setting');
	is(held('slot'), 0, 'none of them is held');
}
is(value(q{SELECT count(*) FROM dlock_try_acquire_all(} . names('slot', 1000) . q{, client => 'slots')}),
	1000, 'what there are slots for is granted');
{
	my $error = sql_error($node, 'postgres',
		'SELECT dlock_acquire_all(' . names('slot', $slots + 1) . q{, client => 'slots')});

	is($error->{state}, '53200', 'a thousand of them are held already');
	is(value(q{SELECT count(*), max(hold_count) FROM dlock_list('slots')}),
		'1000|1', 'these stay as they were');
}
value(q{SELECT dlock_release_all('slots')});
table_matches($node);

#
# Ended while it waits for the flush
#

foreach my $end (qw(cancel terminate disconnect))
{
	my $position = log_position($node);
	my ($session, $out, $err);

	set_stop($node, 'rows_written');
	$session = starts('SELECT dlock_acquire_all(' . names($end, 100) . qq{, client => '$end')});
	wait_stopped($node, 'rows_written', $position);
	is(held($end), 100, "$end: all are granted, none is durable");
	if ($end eq 'disconnect')
	{
		$session->close;
	}
	else
	{
		value("SELECT pg_${end}_backend(" . $session->pid . ')');
		($out, $err) = $session->answer;
		is(error_parts($err)->{state} . $out, $end eq 'cancel' ? '57014' : '57P01',
			"$end: told so");
	}
	poll_rows($node, "SELECT count(*) FROM dlock_list() WHERE resource LIKE '$end:%'", 0);
	pass("$end: none is held");
	is(sql_error($node, 'postgres', 'SELECT count(*) FROM dlock_try_acquire_all(' . names($end, 100)
			. q{, client => 'next', scope => 'transaction')})->{state},
		'LK005', "$end: nobody has them before that is durable");
	is(held($end), 0, "$end: and nobody holds them");
	clear_stop($node);
	is(value("SELECT count(*) FROM dlock_try_acquire_all(" . names($end, 100)
			. q{, client => 'next', scope => 'transaction')}),
		100, "$end: then they are free for others");
	table_matches($node);
	is(value("SELECT count(*) FROM dlock.locks WHERE resource_name LIKE '$end:%' AND status = 'held'"),
		0, "$end: nor is there any row");
}

# durable, but its client was not told
{
	my $session = DlockSession->new($node);
	my ($out, $err);

	$session->ask(q{SET dlock.debug_stop = 'grant_flushed'});
	$session->tell('SELECT dlock_acquire_all(' . names('late', 100) . q{, client => 'late', scope => 'session')});
	poll_rows($node, q{SELECT count(*) FROM dlock.locks WHERE resource_name LIKE 'late:%' AND status = 'held'}, 100);
	value('SELECT pg_cancel_backend(' . $session->pid . ')');
	($out, $err) = $session->answer;
	is(error_parts($err)->{state} . $out, '57014', 'cancelled when all were durable');
	is(held('late'), 0, 'none is held');
	$session->ask('SET dlock.debug_stop = none');
	is(scalar $session->ask('SELECT count(*) FROM dlock_acquire_all(' . names('late', 100) . q{, client => 'late', scope => 'session')}),
		100, 'the session goes on');
	$session->quit;
	poll_rows($node, q{SELECT count(*) FROM dlock_list() WHERE resource LIKE 'late:%'}, 0);
	pass('its end gives all of them back');
	table_matches($node);
}

# one of them is taken away before its client is told: all are given back
{
	my $position = log_position($node);
	my ($session, $out, $err);

	set_stop($node, 'grant_flushed');
	$session = DlockSession->new($node);
	$session->tell('SELECT dlock_acquire_all(' . names('force', 5) . q{, client => 'force')});
	wait_stopped($node, 'grant_flushed', $position);
	value(q{SELECT dlock_force_release('force:3')});
	clear_stop($node);
	($out, $err) = $session->answer;
	is(error_parts($err)->{state} . $out, 'LK001', 'one taken away: told so');
	is(held('force'), 0, 'none is held');
}

#
# Crash
#

foreach my $case (
	[ 'batch_collected' => 0 ],
	[ 'rows_written' => 0 ],
	[ 'rows_flushed' => 100 ],
	[ 'grant_flushed' => 100 ],
	[ 'grant_acknowledged' => 100 ])
{
	my ($point, $expected) = @$case;
	my $position = log_position($node);
	my $session;

	set_stop($node, $point);
	$session = DlockSession->new($node);
	$session->tell('SELECT dlock_acquire_all(' . names("crash_$point", 100) . q{, client => 'crash')});
	wait_stopped($node, $point, $position);
	kill_postmaster($node);
	$session->close;
	clear_stop($node);
	poll_start($node);
	poll_ready($node);
	is(held("crash_$point"), $expected, "killed at $point: "
		  . ($expected ? 'all are there' : 'none is there'));
	value(q{SELECT dlock_release_all('crash')});
	table_matches($node);
}

# The lease that was waited for in line is granted before the others, and may be
# written before them.  A crash in between leaves it alone; its client has not
# been told of any.
{
	my ($position, $session);

	value(q{SELECT dlock_acquire('between:2', client => 'holder')});
	table_matches($node);
	$session = starts('SELECT dlock_acquire_all(' . names('between', 3) . q{, client => 'between')});
	waits_in_line('between', 'between:2');
	$position = log_position($node);
	set_stop($node, 'rows_flushed');
	value(q{SELECT dlock_release('between:2', client => 'holder')});
	wait_stopped($node, 'rows_flushed', $position);
	kill_postmaster($node);
	$session->close;
	clear_stop($node);
	poll_start($node);
	poll_ready($node);
	like(value(q{SELECT string_agg(resource, ' ' ORDER BY resource) FROM dlock_list('between')}),
		qr/^between:2$|^between:1 between:2 between:3$/,
		'killed while what was waited for is written: that lease, or all');
	is(value('SELECT count(*) FROM dlock_acquire_all(' . names('between', 3) . q{, '0', client => 'between')}),
		3, 'which is in nobody\'s way who asks again');
	value(q{SELECT dlock_release_all('between')});
	table_matches($node);
}

#
# No standby confirms
#

{
	my ($in_line, $alone, $out, $err);

	# all is written, so that nothing waits for a standby before we ask for it
	value(q{SELECT dlock_acquire(r, client => 'holder') FROM unnest('{quorum:2,quorum:alone}'::text[]) AS r});
	table_matches($node);
	poll_rows($node, q{SELECT count(*) FROM dlock.locks WHERE status <> 'held'}, 0);
	value(q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
	$node->reload;
	poll_rows($node, 'SHOW synchronous_standby_names', 'nobody');
	# the checkpointer tells whether commits wait
	value('CHECKPOINT');
	$in_line = starts('SELECT dlock_acquire_all(' . names('quorum', 3) . q{, client => 'in_line')});
	waits_in_line('in_line', 'quorum:2');
	$alone = starts(q{SELECT dlock_acquire('quorum:alone', client => 'alone')});
	waits_in_line('alone', 'quorum:alone');

	foreach my $when ('while it waits', 'at once')
	{
		my $error = sql_error($node, 'postgres',
			'SELECT dlock_acquire_all(' . names('standby', 10) . q{, client => 'standby')});

		is($error->{state}, 'LK003', "LK003 $when");
		is(held('standby'), 0, 'none is held');
	}
	is(sql_error($node, 'postgres', 'SELECT dlock_try_acquire_all(' . names('standby', 10) . q{, client => 'standby')})->{state},
		'LK003', 'to try is an error as well');
	is(value('SELECT count(*) FROM dlock_acquire_all(' . names('xact', 10)
			. q{, client => 'standby', scope => 'transaction')}), 10, 'a transaction\'s leases wait for no standby');

	value(q{SELECT dlock_release_all('holder')});
	foreach my $session ($in_line, $alone)
	{
		($out, $err) = $session->answer;
		is(error_parts($err)->{state} . $out, 'LK003', 'who is served in line learns it as well, without a limit of its own');
	}
	is(held('quorum'), 0, 'none is held');

	value(q{ALTER SYSTEM RESET synchronous_standby_names});
	$node->reload;
	is(poll_until('standbys are not asked for any more', sub {
			my ($rc, $got) = $node->psql('postgres',
				'SELECT count(*) FROM dlock_acquire_all(' . names('standby', 10) . q{, client => 'standby')});
			return $got eq '10' ? $got : 0;
		}), 10, 'without standbys it goes on');
	value(q{SELECT dlock_release_all('standby')});
	table_matches($node);
}

#
# Everybody gets on
#
# Each takes two to five of twelve resources, in any order of names, and marks
# each as its own for a transaction; a mark that is there already is somebody
# else's who holds it at the same time.

my $clients = 8;
my $rounds = 60;

value(<<'EOSQL');
CREATE TABLE marks (resource text PRIMARY KEY, client text);
INSERT INTO marks SELECT 'soak:' || i FROM generate_series(1, 12) i;
CREATE TABLE trouble (client text, what text);
CREATE PROCEDURE soak(client text, rounds int, OUT served int, OUT refused int) LANGUAGE plpgsql AS $$
DECLARE
	wanted text[];
	marked int;
	got int;
BEGIN
	served := 0;
	refused := 0;
	WHILE served < rounds LOOP
		SELECT array_agg(r) INTO wanted FROM (
			SELECT resource AS r FROM marks ORDER BY random() LIMIT 2 + floor(random() * 4)::int) AS w;
		IF random() < 0.3 THEN
			BEGIN
				SELECT count(*) INTO got FROM dlock_try_acquire_all(wanted, '2 ms', client => client);
			EXCEPTION WHEN SQLSTATE 'LK005' THEN
				-- a machine that takes more than a second to flush
				got := 0;
			END;
		ELSE
			SELECT count(*) INTO got FROM dlock_acquire_all(wanted, client => client);
		END IF;
		IF got = 0 THEN
			refused := refused + 1;
			COMMIT;
			CONTINUE;
		END IF;
		COMMIT;
		UPDATE marks SET client = soak.client WHERE resource = ANY (wanted) AND marks.client IS NULL;
		GET DIAGNOSTICS marked = ROW_COUNT;
		IF got <> cardinality(wanted) OR marked <> got THEN
			INSERT INTO trouble VALUES (soak.client, format('wanted %s, got %s, marked %s', wanted, got, marked));
		END IF;
		COMMIT;
		UPDATE marks SET client = NULL WHERE marks.client = soak.client;
		PERFORM dlock_release_all(client => soak.client);
		COMMIT;
		served := served + 1;
	END LOOP;
END $$;
EOSQL

my @sessions = map { DlockSession->new($node) } 1 .. $clients;

$sessions[ $_ - 1 ]->tell("CALL soak('soak-$_', $rounds, NULL, NULL)") foreach 1 .. $clients;
foreach my $i (1 .. $clients)
{
	my ($out, $err) = $sessions[ $i - 1 ]->answer;

	like($out . $err, qr/^$rounds\|\d+$/, "client $i came to its end without an error");
}
is(value('TABLE trouble'), '', 'nobody met anybody in what it held');
is(value('SELECT count(*) FROM dlock_deadlocks()'), 0, 'no deadlock was seen');
is(value(q{SELECT count(*) FROM dlock_list() WHERE client LIKE 'soak-%'}), 0, 'nothing is left');
is(value('SELECT count(*) FROM dlock_queue()'), 0, 'and nobody waits');
table_matches($node);

expect_log(
	$node,
	qr/client backend .*ERROR:  out of dlock lease slots/,
	qr/client backend .*ERROR:  could not make a lease on resource "(?:cancel|terminate|disconnect):\d+" durable in time/,
	# ended by us
	qr/client backend .*ERROR:  canceling statement due to user request/,
	qr/client backend .*FATAL:  (?:terminating connection due to administrator command|connection to client lost|terminating connection due to unexpected postmaster exit)/,
	qr/client backend .*FATAL:  the database system is (?:in recovery mode|not yet accepting connections|starting up)/,
	qr/client backend .*ERROR:  lease on resource "force:3" is not held/,
	# nobody confirms
	qr/client backend .*ERROR:  no quorum of synchronous standbys/,
	qr/dlock writer WARNING:  canceling the wait for synchronous replication/);

done_testing();
