# The death of any process of dlock's, by error or by kill -9, costs time and
# nothing else: claims 3 and 8 of src/README.md.
#
# It could fail if a new writer wrote only what changed after the old one's
# last batch, if what an aborted batch carried (rows, clients, tokens) were
# believed to be durable, if sessions that waited for that batch never heard,
# if rows were looked for where they stood before the table was rewritten, or
# if a dead waiter kept its place or took a grant with it.
use strict;
use warnings;

use Test::More;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time);
use DlockNode qw(dlock_node crash poll_until session ask try_ask begin_ask
  end_ask is_waiting abandon backend_pid set_stop clear_stop wait_stopped
  log_position expect_log worker_pid rows try_rows poll_rows poll_ready
  table_matches limit);

my $node = dlock_node('worker', <<'EOCONF');
autovacuum = off
restart_after_crash = on
allow_in_place_tablespaces = on
EOCONF
my $tempdir = PostgreSQL::Test::Utils::tempdir;

my $newest = 0;

sub rises
{
	my ($token, $what) = @_;

	cmp_ok($token, '>', $newest, "token rises: $what");
	$newest = $token if $token > $newest;
	return;
}

my $leases = <<'EOSQL';
SELECT resource, token, client, mode, hold_count FROM dlock_list()
WHERE scope <> 'transaction' ORDER BY 1, 2
EOSQL

# survives_crash(WHAT) tests that what memory says is what a crash leaves.
sub survives_crash
{
	my ($what) = @_;
	my $before;

	table_matches($node);
	$before = rows($node, $leases);
	crash($node);
	poll_ready($node);
	is(rows($node, $leases), $before, "a crash after that: $what");
	rises(rows($node, "SELECT dlock_acquire('after', client := 'after')"),
		$what);
	rows($node, "SELECT dlock_release('after', client := 'after')");
	return;
}

#
# The writer dies of an error
#

{
	my %s = map { $_ => session($node) } qw(holder fresh queued longer quick);
	my $position;
	my $quick;

	rises(
		ask($s{holder},
			"SELECT dlock_acquire('error-held', ttl := '10 min', client := 'holder')"
		),
		'before the error');
	ask($s{holder},
		"SELECT dlock_acquire('error-long', ttl := '10 min', client := 'holder')"
	);
	$position = log_position($node);
	rows($node, 'CREATE INDEX worker_index ON dlock.locks (resource_name)');
	begin_ask($s{fresh},
		"SELECT dlock_acquire('error-new', ttl := '10 min', client := 'fresh')");
	begin_ask($s{longer},
		"SELECT waiters FROM dlock_renew('error-long', '1 h', client := 'holder')"
	);
	begin_ask($s{queued},
		"SELECT dlock_acquire('error-held', ttl := '10 min', client := 'queued')"
	);
	# the launcher tries again and again
	foreach (1 .. 2)
	{
		$position = $node->wait_for_log(
			qr/ERROR:  cannot write leases because table "dlock.locks" has an index\n.*HINT:  Drop the index/,
			$position);
	}

	# meanwhile: all that needs no flush
	$quick = ask($s{quick},
		"SET dlock.durable = off; SELECT dlock_acquire('error-quick', ttl := '10 min', client := 'quick')"
	);
	rises($quick, 'not durable, without a writer');
	is( ask($s{quick},
			"SELECT dlock_try_acquire('error-held', client := 'quick')"),
		'',
		'without a writer: a try');
	is( ask($s{quick},
			"SELECT waiters FROM dlock_renew('error-quick', client := 'quick')"),
		'0',
		'without a writer: a renewal');
	is( ask($s{quick}, "SELECT place, client FROM dlock_queue('error-held')"),
		'1|queued', 'without a writer: a look');
	like(
		try_ask($s{quick},
			"SET dlock.durable = on; SET statement_timeout = '200 ms'; SELECT dlock_acquire('error-cancelled', client := 'quick')"
		),
		qr/57014: canceling statement due to statement timeout/,
		'without a writer: statement_timeout bounds the wait for the flush');
	is( rows($node, "SELECT status FROM dlock_status('error-cancelled')"),
		'free',
		'without a writer: a grant that nobody was told of is taken back');
	is( ask($s{holder},
			"SELECT dlock_release('error-held', client := 'holder')"),
		't',
		'without a writer: a release');
	poll_rows($node, "SELECT holder FROM dlock_status('error-held')", 'queued');
	is( join(' ', grep { !is_waiting($s{$_}) } qw(fresh longer queued)),
		'', 'without a writer: nothing durable is acknowledged');

	rows($node, 'DROP INDEX dlock.worker_index');
	like(end_ask($s{fresh}), qr/^\d+$/, 'a grant that waited for a new writer');
	like(end_ask($s{queued}), qr/^\d+$/, 'a hand-over that waited for it');
	is(end_ask($s{longer}), '0', 'a longer duration that waited for it');
	$_->quit foreach values %s;
	survives_crash('after a writer died of errors');
	is( rows($node, "SELECT token FROM dlock_status('error-quick')"),
		$quick, 'not durable, but written all the same');
}

#
# The writer is terminated, at each point of a batch
#

foreach my $at (qw(rest batch_collected rows_written rows_flushed))
{
	my $p = "terminate-$at";
	my %s = map { $_ => session($node) } qw(fresh other);
	my $position = log_position($node);
	my $writer = worker_pid($node, 'dlock writer', 'postgres');

	ask($s{other},
		"SELECT dlock_acquire('$p-old', ttl := '10 min', client := 'old')");
	set_stop($node, $at) if $at ne 'rest';
	# the client is new as well, and is to get its row
	begin_ask($s{fresh},
		"SELECT dlock_acquire('$p-new', ttl := '10 min', client := '$p')")
	  if $at ne 'rest';
	wait_stopped($node, $at, $position) if $at ne 'rest';
	ok(is_waiting($s{fresh}), "$p: not acknowledged") if $at ne 'rest';
	# at this one point nothing else wakes the next writer
	is(rows($node, "SELECT dlock_release('$p-old', client := 'old')"),
		't', "$p: released meanwhile")
	  if $at ne 'rows_written';
	is( rows($node, "SELECT pg_terminate_backend($writer)"),
		't', "$p: writer told to go");
	poll_rows($node,
		"SELECT count(*) FROM pg_stat_activity WHERE pid = $writer", 0);
	clear_stop($node);
	begin_ask($s{fresh},
		"SELECT dlock_acquire('$p-new', ttl := '10 min', client := '$p')")
	  if $at eq 'rest';
	rises(end_ask($s{fresh}), "$p: acknowledged by the next writer");
	isnt(worker_pid($node, 'dlock writer', 'postgres'),
		$writer, "$p: there is another writer");
	ok( eval {
			poll_rows($node, <<EOSQL, 't');
SELECT c.id = l.owner_id FROM dlock.clients c JOIN dlock.locks l
	ON l.owner = c.name AND l.status = 'held'
WHERE c.name = '$p'
EOSQL
		},
		"$p: a client that was new has its row, and its lease knows it");
	$_->quit foreach values %s;
	survives_crash($p);
	is( rows($node, "SELECT status FROM dlock_status('$p-old')"),
		$at eq 'rows_written' ? 'exclusive' : 'free',
		"$p: what was released stays so");
	rows($node, "SELECT dlock_release('$p-new', client := '$p')");
}

# Cancelling it has no effect, even in the middle of a batch.
{
	my $session = session($node);
	my $position = log_position($node);
	my $writer = worker_pid($node, 'dlock writer', 'postgres');

	set_stop($node, 'rows_written');
	begin_ask($session, "SELECT dlock_acquire('cancel', client := 'cancel')");
	wait_stopped($node, 'rows_written', $position);
	is(rows($node, "SELECT pg_cancel_backend($writer)"),
		't', 'writer cancelled');
	clear_stop($node);
	rises(end_ask($session), 'acknowledged all the same');
	is(worker_pid($node, 'dlock writer', 'postgres'),
		$writer, 'and by the same writer');
	$session->quit;
}

#
# The other workers are terminated
#

foreach my $type ('dlock launcher', 'dlock monitor')
{
	my $pid = worker_pid($node, $type);

	rows($node,
		"SELECT dlock_acquire('end-$type', ttl := '200 ms', client := 'end')");
	kill 'TERM', $pid;
	ok( poll_until(
			"there is another $type",
			sub { !kill(0, $pid) && worker_pid($node, $type) != $pid }),
		"$type starts again");
	poll_rows($node, "SELECT status FROM dlock_status('end-$type')", 'free');
	rises(rows($node, "SELECT dlock_acquire('next-$type', ttl := '1 min')"),
		"$type terminated");
}
# the launcher starts writers again
rows($node, 'CREATE DATABASE worker_late');
rows($node, 'CREATE EXTENSION dlock', 'worker_late');
like(rows($node, "SELECT dlock_acquire('late')", 'worker_late'),
	qr/^\d+$/, 'a new launcher starts writers');

#
# kill -9: the server's crash recovery
#

foreach my $victim ('dlock writer', 'dlock monitor', 'dlock launcher',
	'holder', 'waiter', 'flush')
{
	my %s = map { $_ => session($node) } qw(holder waiter flush watcher);
	my %pid = map { $_ => backend_pid($s{$_}) } keys %s;
	my $p = $victim =~ s/ /-/r;
	my $position = log_position($node);
	my ($before, $down, $pid);

	rises(
		ask($s{holder},
			"SELECT dlock_acquire('kill-$p', ttl := '10 min', client := 'holder')"
		),
		"before kill -9 of a $victim");
	ask($s{watcher},
		"SELECT dlock_acquire('kill-session-$p', ttl := '10 min', scope := 'session', client := 'watcher')"
	);
	ask($s{watcher},
		"BEGIN; SELECT dlock_acquire('kill-xact-$p', scope := 'transaction')");
	begin_ask($s{waiter},
		"SELECT dlock_acquire('kill-$p', ttl := '10 min', client := 'waiter')"
	);
	poll_rows($node, "SELECT place FROM dlock_queue('kill-$p')", 1);
	table_matches($node);
	$before = rows($node, $leases);
	if ($victim eq 'flush')
	{
		set_stop($node, 'rows_written');
		begin_ask($s{flush},
			"SELECT dlock_acquire('kill-new-$p', client := 'flush')");
		wait_stopped($node, 'rows_written', $position);
	}
	$pid = $pid{$victim} // worker_pid($node, $victim,
		$victim eq 'dlock writer' ? 'postgres' : undef);
	$down = time();
	kill 'KILL', $pid;
	$node->wait_for_log(
		qr/all server processes terminated; reinitializing/, $position);
	poll_ready($node);
	clear_stop($node);

	is(rows($node, $leases), $before, "kill -9 of a $victim: all leases");
	is( rows(
			$node, <<EOSQL),
SELECT count(*) FROM dlock_list() l LEFT JOIN dlock.locks t USING (token)
WHERE (l.expires_at >= to_timestamp($down) + t.ttl) IS NOT TRUE
EOSQL
		0,
		"kill -9 of a $victim: with their full duration");
	is( rows($node, 'SELECT count(*) FROM dlock_queue()'),
		0, "kill -9 of a $victim: nobody waits");
	unlike(abandon($s{$_}),
		qr/^\d+$/m, "kill -9 of a $victim: $_ was told nothing")
	  foreach qw(waiter flush);
	abandon($_) foreach @s{qw(holder watcher)};
	rises(
		rows(
			$node,
			"SELECT dlock_acquire('kill-next-$p', ttl := '100 ms', client := 'next')"
		),
		"kill -9 of a $victim");
	# monitor, writer and launcher are at work
	poll_rows($node, "SELECT status FROM dlock_status('kill-next-$p')", 'free');
	is( rows($node, "SELECT dlock_release('kill-$p', client := 'holder')"),
		't', "kill -9 of a $victim: a restored lease can be released");
	table_matches($node);
	like(
		rows($node, "SELECT dlock_acquire('kill-$p', client := 'late')",
			'worker_late'),
		qr/^\d+$/, "kill -9 of a $victim: the other database is served");
}

#
# Clients that die
#

# A waiter whose connection is gone leaves the queue, and takes no grant along.
{
	my %s = map { $_ => session($node) } qw(holder dead next);
	my $pid = backend_pid($s{dead});

	ask($s{holder},
		"SELECT dlock_acquire('gone', ttl := '10 min', client := 'gone-holder')");
	begin_ask($s{dead},
		"SELECT dlock_acquire('gone', ttl := '10 min', client := 'gone-dead')");
	poll_rows($node, "SELECT client FROM dlock_queue('gone') WHERE place = 1",
		'gone-dead');
	begin_ask($s{next},
		"SELECT dlock_acquire('gone', ttl := '10 min', client := 'gone-next')");
	poll_rows($node, "SELECT client FROM dlock_queue('gone') WHERE place = 2",
		'gone-next');
	$s{dead}{run}->kill_kill;
	my $left = eval {
		poll_until(
			'a dead waiter has left',
			sub {
				rows($node, "SELECT client FROM dlock_queue('gone')") eq
				  'gone-next';
			});
	};
	ok($left, 'a waiter whose client has died leaves the queue');
	rows($node, "SELECT pg_terminate_backend($pid)") unless $left;
	poll_rows($node, "SELECT count(*) FROM dlock_queue('gone')", 1);
	ask($s{holder}, "SELECT dlock_release('gone', client := 'gone-holder')");
	like(end_ask($s{next}), qr/^\d+$/, 'and the next is served');
	$s{$_}->quit foreach qw(holder next);
}

# A backend that is terminated before it could tell takes the grant back.
{
	my %s = map { $_ => session($node) } qw(flushed next);
	my $pid = backend_pid($s{flushed});
	my $position = log_position($node);

	ask($s{flushed}, "SET dlock.debug_stop = 'grant_flushed'");
	begin_ask($s{flushed},
		"SELECT dlock_acquire('untold', ttl := '10 min', client := 'untold')");
	wait_stopped($node, 'grant_flushed', $position);
	begin_ask($s{next},
		"SELECT dlock_acquire('untold', ttl := '10 min', client := 'next')");
	poll_rows($node, "SELECT place FROM dlock_queue('untold')", 1);
	rows($node, "SELECT pg_terminate_backend($pid)");
	rises(end_ask($s{next}),
		'a grant that a terminated backend could not tell goes to the next');
	abandon($s{flushed});
	$s{next}->quit;
	survives_crash('a grant was taken back');
}

#
# Somebody else is at the table
#

# It is locked: durable grants wait, all else goes on, nothing is lost.
{
	my %s = map { $_ => session($node) } qw(locker fresh cancelled quick);

	ask($s{locker}, 'BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
	begin_ask($s{fresh},
		"SELECT dlock_acquire('lock-new', ttl := '10 min', client := 'fresh')");
	poll_rows($node, "SELECT status FROM dlock_status('lock-new')", 'exclusive');
	begin_ask($s{cancelled},
		"SELECT dlock_acquire('lock-cancelled', client := 'cancelled')");
	poll_rows($node, "SELECT status FROM dlock_status('lock-cancelled')",
		'exclusive');
	rises(
		ask($s{quick},
			"SET dlock.durable = off; SELECT dlock_acquire('lock-quick', ttl := '10 min', client := 'quick')"
		),
		'not durable, table locked');
	is( rows($node, "SELECT sum(dlock_force_release('lock-cancelled'))"),
		1, 'table locked: a lease is taken away');
	ok(is_waiting($s{fresh}), 'table locked: not acknowledged');
	ask($s{locker}, 'COMMIT');
	like(end_ask($s{fresh}), qr/^\d+$/, 'and acknowledged when it is free');
	like(
		end_ask($s{cancelled}),
		qr/LK001: lease on resource "lock-cancelled" is not held/,
		'a lease that was taken away before it was acknowledged is an error');
	$_->quit foreach values %s;
	survives_crash('the table was locked');
}

# It is rewritten, moved and vacuumed, again and again, under load.
{
	my $script = "$tempdir/rewrite.sql";
	my $script_held = "$tempdir/held.sql";
	my ($out, $err) = ('', '');
	my ($bench, $rounds);
	my @rewrites = (
		'VACUUM FULL dlock.locks',
		'VACUUM dlock.locks',
		'VACUUM FREEZE dlock.locks',
		'ALTER TABLE dlock.locks SET TABLESPACE worker_space',
		'VACUUM FULL',
		'ANALYZE dlock.locks',
		'ALTER TABLE dlock.locks SET TABLESPACE pg_default',
		'ALTER TABLE dlock.locks SET (fillfactor = 50)');

	# a lock on the table for a second keeps a grant from being durable in time
	rows($node, <<'EOSQL');
CREATE FUNCTION try_rewritten(resource text, client text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	RETURN dlock_try_acquire(resource, '10 ms', '10 min', client := client);
EXCEPTION WHEN SQLSTATE 'LK005' THEN
	RETURN NULL;
END $$;
EOSQL
	append_to_file($script, <<'EOSQL');
\set r random(1, 60)
SELECT try_rewritten('rewrite/' || :r, 'rewrite/' || :client_id);
\set r random(1, 60)
SELECT dlock_release('rewrite/' || :r, client := 'rewrite/' || :client_id);
EOSQL
	append_to_file($script_held, <<'EOSQL');
\set s random(600, 1200)
SELECT dlock_acquire('rewrite/held/' || :client_id, ttl := :s * interval '1 s', client := 'rewrite/' || :client_id);
SELECT expires_at FROM dlock_renew('rewrite/held/' || :client_id, :s * interval '1 s', client := 'rewrite/' || :client_id);
EOSQL
	rows($node, "CREATE TABLESPACE worker_space LOCATION ''");
	$bench = IPC::Run::start(
		[
			'pgbench', '-n', '-c', '6', '-j', '2', '-t', '300',
			'-f', "$script\@4", '-f', "$script_held\@1",
			$node->connstr('postgres')
		],
		'>', \$out, '2>', \$err,
		IPC::Run::timeout(limit()));
	$rounds = 0;
	do
	{
		foreach my $rewrite (@rewrites)
		{
			rows($node, $rewrite);
			# it may have ended since we looked
			eval { $bench->pump_nb } if $bench->pumpable;
		}
		$rounds++;
	} while ($bench->pumpable && $rounds < 100);
	ok($bench->finish, 'no call failed while the table was rewritten')
	  or diag($err);
	note("$rounds rounds of rewrites");
	survives_crash('the table was rewritten under load');
	is( rows(
			$node,
			"SELECT count(*) > 0, bool_and(l.remaining <= t.ttl * 1.1) FROM dlock_list() l JOIN dlock.locks t USING (token) WHERE resource LIKE 'rewrite/held/%'"
		),
		't|t',
		'leases whose duration changed all the time are there');
}

# CLUSTER needs an index, and so stops the writer until that is dropped.
{
	my $session = session($node);
	my $position = log_position($node);

	rows($node, 'CREATE INDEX worker_index ON dlock.locks (token)');
	rows($node, 'CLUSTER dlock.locks USING worker_index');
	begin_ask($session,
		"SELECT dlock_acquire('cluster', ttl := '10 min', client := 'cluster')"
	);
	$node->wait_for_log(qr/table "dlock.locks" has an index/, $position);
	rows($node, 'DROP INDEX dlock.worker_index');
	like(end_ask($session), qr/^\d+$/, 'after CLUSTER');
	$session->quit;
	survives_crash('CLUSTER');
}

# Nobody can change it by SQL.
foreach my $change (
	'DELETE FROM dlock.locks',
	'UPDATE dlock.locks SET token = 0',
	"INSERT INTO dlock.locks SELECT * FROM dlock.locks",
	'TRUNCATE dlock.locks')
{
	like(try_rows($node, $change),
		qr/42501: cannot change table "locks" directly/, "refused: $change");
}

expect_log(
	$node,
	qr/dlock writer ERROR:  cannot write leases because table "dlock.locks" has an index/,
	qr/client backend .*ERROR:  cannot change table "locks" directly/,
	qr/client backend .*ERROR:  canceling statement due to statement timeout/,
	qr/client backend .*ERROR:  lease on resource "lock-cancelled" is not held/,
	# terminated by us, or with the server
	qr/dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command/,
	qr/client backend .*FATAL:  terminating connection due to administrator command/,
	qr/client backend .*FATAL:  terminating connection due to unexpected postmaster exit/,
	# killed by us
	qr/postmaster LOG:  .* \(PID \d+\) was terminated by signal 9: Killed/,
	qr/client backend .*FATAL:  the database system is (?:in recovery mode|not yet accepting connections|starting up)/,
	qr/client backend .*FATAL:  connection to client lost/);
$node->stop;

#
# Too few worker processes
#

# Room for the launcher, the monitor and one writer: other databases that use
# dlock have to wait until the first one's writer goes, and the log names each.
my $few = dlock_node('few', <<'EOCONF');
autovacuum = off
max_logical_replication_workers = 0
max_worker_processes = 3
EOCONF
{
	my @others = ('few_other', 'few_third');
	my $position = log_position($few);
	my %s;
	my $session;

	like(rows($few, "SELECT dlock_acquire('few', client := 'few')"),
		qr/^\d+$/, 'one writer fits');
	foreach my $db (@others)
	{
		rows($few, "CREATE DATABASE $db");
		rows($few, 'CREATE EXTENSION dlock', $db);
		$s{$db} = session($few, $db);
		begin_ask($s{$db}, "SELECT dlock_acquire('few')");
	}
	foreach my $db (@others)
	{
		like(
			end_ask($s{$db}),
			qr/ERROR:  55000: dlock is not ready in database "$db".*HINT:  .*max_worker_processes/s,
			"$db: a call where no writer could be started tells what to do");
		like(
			slurp_file($few->logfile, $position),
			qr/LOG:  could not start the dlock writer for database "$db"; will try again\n.*HINT:  You might need to increase "max_worker_processes"/,
			"$db: and so does the log");
	}
	cmp_ok(
		scalar(() = slurp_file($few->logfile, $position) =~
			  /could not start the dlock writer/g),
		'<', 10, 'but not at every attempt');
	$s{few_third}->quit;
	rows($few, 'DROP DATABASE few_third');
	$session = $s{few_other};
	begin_ask($session, "SELECT dlock_acquire('few', scope := 'lease')");
	like(rows($few, "SELECT dlock_acquire('few-2')"),
		qr/^\d+$/, 'the other database is not disturbed');
	rows($few, 'DROP EXTENSION dlock');
	like(end_ask($session), qr/^\d+$/, 'a writer is started once there is room');
	$session->quit;
	$few->append_conf('postgresql.conf', 'max_worker_processes = 8');
	$few->restart;
	rows($few, 'CREATE EXTENSION dlock');
	like(rows($few, "SELECT dlock_acquire('few')"),
		qr/^\d+$/, 'more worker processes are enough for both');
	is(rows($few, "SELECT status FROM dlock_status('few')", 'few_other'),
		'exclusive', 'and nothing was lost');
}
expect_log($few,
	qr/client backend .*ERROR:  dlock is not ready in database "few_(?:other|third)"/);

done_testing();
