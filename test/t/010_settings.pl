# What an administrator sets, adds or does around dlock costs no lease and stops
# no grant; where it must, the call says so within its time and leaves nothing
# behind: claims 4, 8 and 40 of src/README.md.
#
# It could fail if the writer obeyed settings that are meant for sessions, if it
# wrote past what the server does for SQL (publications, indexes), if a grant
# waited for a lock that its own transaction holds, if a new installation of the
# extension inherited leases or tokens of the old one, if a time limit ended
# where the wait for the disk begins, or if a transaction lost its lease between
# its last check and the moment at which others see its changes.
use strict;
use warnings;

use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DlockNode qw(dlock_node crash poll_until session ask try_ask begin_ask
  end_ask is_waiting backend_pid set_stop clear_stop wait_stopped log_position
  expect_log worker_pid new_writer new_database rows try_rows poll_rows
  poll_ready table_matches);

my $node = dlock_node('settings', <<'EOCONF');
autovacuum = off
wal_level = logical
max_wal_senders = 4
EOCONF
my $tempdir = PostgreSQL::Test::Utils::tempdir;
my $token = qr/\A\d+\z/;

sub upto
{
	my ($dbname) = @_;
	return rows($node, 'SELECT max(upto) FROM dlock.token_blocks', $dbname);
}

# has_row(CLIENT, DATABASE): the client has its row, and its leases know of it.
sub has_row
{
	my ($client, $dbname) = @_;
	return rows($node, <<EOSQL, $dbname);
SELECT count(*) > 0 AND bool_and(l.owner_id IS NOT DISTINCT FROM c.id)
FROM dlock.clients c JOIN dlock.locks l ON l.owner = c.name
WHERE c.name = '$client' AND l.status = 'held'
EOSQL
}

#
# Settings of a database
#

# The row of a new client, a block of tokens and the rows of leases are written
# under each setting alone, by a writer that has started with it.  It has to
# wait for the table for a moment, which is when time limits count.
{
	rows($node, 'CREATE ROLE settings_app');
	new_database($node, 'settings_db');
	# settings that PostgreSQL has had since
	my @later = map { "$_ = '10 ms'" }
	  grep { rows($node, "SELECT 1 FROM pg_settings WHERE name = '$_'") }
	  'transaction_timeout';
	foreach my $setting (
		'default_transaction_read_only = on',
		'default_transaction_isolation = serializable',
		'default_transaction_deferrable = on',
		'role = settings_app',
		"lock_timeout = '10 ms'",
		"statement_timeout = '10 ms'",
		"idle_in_transaction_session_timeout = '10 ms'",
		@later,
		"search_path = ''",
		'session_replication_role = replica',
		'synchronous_commit = off')
	{
		my ($name) = $setting =~ /^(\w+)/;
		my ($locker, $fresh);
		my ($writer, $before);

		$before = upto('settings_db') || 0;
		rows($node, "ALTER DATABASE settings_db SET $setting");
		# without a block of tokens at hand
		$writer = new_writer($node, 'settings_db');
		{
			local $ENV{PGOPTIONS} =
			  "-c default_transaction_read_only=off -c role=none -c statement_timeout=0 "
			  . "-c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c search_path=public"
			  . join('', map { / / ? " -c $`=0" : () } @later);
			$locker = session($node, 'settings_db');
			$fresh = session($node, 'settings_db');
			is(rows($node, "SELECT dlock_acquire('$name', ttl := '10 min', client := '$name') > 0", 'settings_db'),
				't', "$name: a durable lease");
			ask($locker, 'BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
			begin_ask($fresh, "SELECT dlock_acquire('$name-2', ttl := '10 min', client := '$name-2')");
			poll_rows($node, <<EOSQL, 't');
SELECT count(*) > 0 FROM pg_locks
WHERE pid = $writer AND NOT granted AND clock_timestamp() > waitstart + interval '50 ms'
EOSQL
			ask($locker, 'COMMIT');
			like(end_ask($fresh), $token, "$name: another one, after a wait");
			is(has_row($name, 'settings_db'), 't', "$name: the client has its row");
			is(has_row("$name-2", 'settings_db'), 't', "$name: so has the other");
			is(worker_pid($node, 'dlock writer', 'settings_db'),
				$writer, "$name: written by one and the same process");
			cmp_ok(upto('settings_db'), '>=', $before, "$name: tokens");
			$_->quit foreach $locker, $fresh;
		}
		# a session that has it may lock as well
		unless ($name eq 'statement_timeout')
		{
			local $ENV{PGOPTIONS} = '-c search_path=public';
			like(rows($node, "SELECT dlock_acquire('$name-3', ttl := '10 min', scope := 'lease')", 'settings_db'),
				$token, "$name: a session that has the setting");
		}
		rows($node, 'ALTER DATABASE settings_db RESET ALL');
	}
	# what was acknowledged is there
	my $count = rows($node, 'SELECT count(*) FROM dlock_list()', 'settings_db');
	crash($node);
	poll_ready($node, 'settings_db');
	is(rows($node, 'SELECT count(*) FROM dlock_list()', 'settings_db'),
		$count, 'all of them survive a crash');
}

# A publication of all tables makes the server refuse to delete from a table
# without replica identity; every block of tokens replaces the last one.
{
	my ($before, $first);

	new_database($node, 'settings_pub');
	rows($node, 'CREATE PUBLICATION settings_all FOR ALL TABLES', 'settings_pub');
	$first = rows($node,
		"SELECT dlock_acquire('pub-1', ttl := '10 min', client := 'pub')",
		'settings_pub');
	$before = upto('settings_pub');
	$node->restart;
	poll_ready($node, 'settings_pub');
	is(rows($node, "SELECT dlock_acquire('pub-2', ttl := '10 min', client := 'pub-2') > $first", 'settings_pub'),
		't', 'all tables published: a durable lease after a restart');
	cmp_ok(upto('settings_pub'), '>', $before, 'another block of tokens');
	is(rows($node, 'SELECT count(*) FROM dlock.token_blocks', 'settings_pub'),
		1, 'instead of the last one');
	is(rows($node, "SELECT dlock_release('pub-1', client := 'pub')", 'settings_pub'),
		't', 'a release');
	table_matches($node, 'settings_pub');
}

# A reload that comes while a worker is starting: the server has the new settings
# and does not tell the worker, for it ignores the signal then.  Here the server
# does not know of them either.
{
	my $session = session($node);
	my $position = log_position($node);

	poll_ready($node);
	$node->adjust_conf('postgresql.conf', 'dlock.debug_stop', 'batch_collected');
	new_writer($node, 'postgres');
	begin_ask($session, q{SELECT dlock_acquire('reloaded', client := 'reloaded')});
	wait_stopped($node, 'batch_collected', $position);
	pass('a worker that has just been started knows the configuration');
	clear_stop($node);
	like(end_ask($session), $token, 'and the next reload');
	$session->quit;
}

#
# The table is not to be written
#

# What a grant that cannot be made durable tells: what the writer is at, and what
# to do.  One that dies again and again may be anywhere, or nowhere.
my $again = qr/HINT:  The request was withdrawn\. Try again with a longer timeout, or see the server log for what is delaying the writer\./;
my $locked = qr/DETAIL:  Writer process \d+ is active\. It is waiting for Lock: relation\./;
my $at_work = qr/DETAIL:  (?:The writer process is not running\.|Writer process \d+ is (?:loading the leases|active)\..*)/;

# An index: grants fail in time, and go on when it has gone.
{
	my $position;

	# with tokens at hand; see below for a database that never had any
	like(rows($node, "SELECT dlock_acquire('index-1', ttl := '10 min', client := 'index')"),
		$token, 'a grant before');
	$position = log_position($node);
	rows($node, 'CREATE INDEX settings_index ON dlock.locks (token)');
	like(
		try_rows($node, "SELECT dlock_acquire('index', timeout := '1 s', client := 'index')"),
		qr/ERROR:  LK005: could not make a lease on resource "index" durable in time\n.*$at_work\n$again/,
		'a grant that cannot be flushed fails in time');
	is(rows($node, "SELECT status, waiters FROM dlock_status('index')"),
		'free|0', 'and leaves nothing behind');
	$node->wait_for_log(qr/HINT:  Drop the index/, $position);
	rows($node, 'DROP INDEX dlock.settings_index');
	like(rows($node, "SELECT dlock_acquire('index-2', ttl := '10 min', client := 'index')"),
		$token, 'without the index, grants go on');
	is(rows($node, "SELECT count(*) FROM dlock.locks WHERE resource_name = 'index'"),
		0, 'and nothing was left in the table');
	table_matches($node);
}

# A lock: a try gives up after the second that every flush has.  That is an error,
# for nobody else has the resource.
{
	my $locker = session($node);

	ask($locker, 'BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
	like(
		try_rows($node, "SELECT dlock_try_acquire('locked', client := 'locked')"),
		qr/ERROR:  LK005: could not make a lease on resource "locked" durable in time\n$locked\n$again/,
		'a try that cannot be flushed tells why');
	foreach my $function ('dlock_acquire', 'dlock_try_acquire')
	{
		like(
			try_rows($node, "SET lock_timeout = '1500 ms'; SET statement_timeout = '20 s';"
				  . " SELECT $function('locked', timeout := '1 h', client := 'locked')"),
			qr/ERROR:  LK005: could not make a lease on resource "locked" durable in time\n$locked\n$again/,
			"lock_timeout bounds the flush as well: $function");
	}
	is(rows($node, "SELECT status, waiters FROM dlock_status('locked')"),
		'free|0', 'and they leave nothing behind');
	ask($locker, 'COMMIT');
	$locker->quit;
	like(rows($node, "SELECT dlock_try_acquire('locked', client := 'locked-2')"),
		$token, 'the resource is available again');
	table_matches($node);
}

# Likewise for the first grant of all, which waits for a block of tokens first.
{
	my $locker;

	new_database($node, 'settings_first');
	$locker = session($node, 'settings_first');
	ask($locker, 'BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
	foreach my $call (
		"SELECT dlock_acquire('first', timeout := '1 s')",
		"SET lock_timeout = '1 s'; SELECT dlock_acquire('first')",
		"SELECT dlock_try_acquire('first')",
		"SET lock_timeout = '1 s'; SELECT dlock_try_acquire('first', timeout := '1 h')")
	{
		like(
			try_rows($node, "SET statement_timeout = '20 s'; $call", 'settings_first'),
			qr/ERROR:  LK005: could not make a lease on resource "first" durable in time\n$locked\n$again/,
			"no tokens yet: $call fails in time");
	}
	is(rows($node, "SELECT status, waiters FROM dlock_status('first')", 'settings_first'),
		'free|0', 'and they leave nothing behind');
	ask($locker, 'COMMIT');
	$locker->quit;
	like(rows($node, "SELECT dlock_try_acquire('first')", 'settings_first'),
		$token, 'and then there are tokens');
}

# A client's row that another transaction has half inserted: the grant does not
# wait for it, not even where it is the caller's own.
{
	my $session = session($node);

	ask($session,
		"BEGIN; INSERT INTO dlock.clients (name, role) VALUES ('half', current_user::regrole)");
	like(try_ask($session, "SELECT dlock_acquire('half', ttl := '10 min', client := 'half')"),
		$token, 'a grant to a client whose row is not committed');
	like(rows($node, "SELECT dlock_acquire('half-else', ttl := '10 min', client := 'half-else')"),
		$token, 'others are not held up');
	ask($session, 'COMMIT');
	$session->quit;
	like(rows($node, "SELECT dlock_acquire('half-2', ttl := '10 min', client := 'half')"),
		$token, 'and once it is committed');
	is( rows($node, <<'EOSQL'),
SELECT l.owner_id = c.id
FROM dlock.locks l JOIN dlock.clients c ON c.name = l.owner
WHERE l.resource_name = 'half-2' AND l.status = 'held'
EOSQL
		't',
		'the lease knows its client');
}

# A request for a longer duration is cancelled before its flush.  The next
# request for that duration waits for the flush as well.
{
	my $session = session($node);
	my $position = log_position($node);
	my $pid = backend_pid($session);
	my $asleep = <<EOSQL;
SELECT count(*) FROM pg_stat_activity
WHERE pid = $pid AND state = 'active' AND wait_event_type = 'Extension'
EOSQL

	ask($session, "SELECT dlock_acquire('longer', ttl := '10 min', client := 'longer')");
	set_stop($node, 'batch_collected');
	like(
		try_ask($session,
			"SET statement_timeout = '500 ms'; SELECT waiters FROM dlock_renew('longer', '1 h', client := 'longer')"),
		qr/57014: canceling statement due to statement timeout/,
		'a longer duration waits for its flush');
	wait_stopped($node, 'batch_collected', $position);
	ask($session, 'RESET statement_timeout');
	begin_ask($session, "SELECT waiters FROM dlock_renew('longer', '1 h', client := 'longer')");
	poll_until('it waits or has answered',
		sub { !is_waiting($session) || rows($node, $asleep) });
	ok(is_waiting($session), 'so does the same duration once more');
	is(rows($node, "SELECT ttl FROM dlock.locks WHERE resource_name = 'longer' AND status = 'held'"),
		'00:10:00', 'for the row says less');
	clear_stop($node);
	is(end_ask($session), '0', 'answered');
	is(rows($node, "SELECT ttl FROM dlock.locks WHERE resource_name = 'longer' AND status = 'held'"),
		'01:00:00', 'when the row says so');
	$session->quit;
}

# A new client whose first batch failed has its row with the next.
{
	my $session = session($node);
	my $position = log_position($node);

	rows($node, <<'EOSQL');
CREATE FUNCTION settings_refuse() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'refused at commit'; END $$;
CREATE CONSTRAINT TRIGGER settings_refuse AFTER INSERT ON dlock.clients
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settings_refuse();
EOSQL
	begin_ask($session, "SELECT dlock_acquire('failed', ttl := '10 min', client := 'failed')");
	foreach (1 .. 2)
	{
		$position = $node->wait_for_log(qr/ERROR:  refused at commit/, $position);
	}
	ok(is_waiting($session), 'a batch that failed is not acknowledged');
	rows($node, 'DROP TRIGGER settings_refuse ON dlock.clients');
	like(end_ask($session), $token, 'by the next writer it is');
	is(has_row('failed'), 't', 'a client that was in the failed batch has its row');

	set_stop($node, 'rows_written');
	$position = log_position($node);
	begin_ask($session, "SELECT dlock_acquire('ended', ttl := '10 min', client := 'ended')");
	wait_stopped($node, 'rows_written', $position);
	rows($node, "SELECT pg_terminate_backend(" . worker_pid($node, 'dlock writer', 'postgres') . ")");
	clear_stop($node);
	like(end_ask($session), $token, 'a writer is terminated in the middle of a batch');
	is(has_row('ended'), 't', 'a client that was in that batch has its row');
	$session->quit;
	rows($node, 'DROP FUNCTION settings_refuse');
}

#
# Installed anew
#

# In one transaction, so that the writer never sees the database without it.
{
	my ($old, @new);

	new_database($node, 'settings_anew');
	foreach my $i (1 .. 20)
	{
		$old = rows($node, "SELECT dlock_acquire('anew/$i', ttl := '10 min', client := 'anew')", 'settings_anew');
	}
	is( try_rows($node, 'BEGIN; DROP EXTENSION dlock; CREATE EXTENSION dlock; COMMIT', 'settings_anew'),
		'', 'dropped and created in one transaction');
	poll_rows($node, 'SELECT count(*) FROM dlock_list()', 0, 'settings_anew');
	is(rows($node, "SELECT status FROM dlock_status('anew/1')", 'settings_anew'),
		'free', 'no lease of the old installation is left');
	foreach my $round (1 .. 3)
	{
		push @new,
		  rows($node, "SELECT dlock_acquire('anew/$round/$_', ttl := '10 min', client := 'anew')", 'settings_anew')
		  foreach 1 .. 5;
		cmp_ok(upto('settings_anew'), '>=', $new[-1], "tokens are within the durable bound, $round");
		is(rows($node, "SELECT count(*) FROM dlock.locks WHERE resource_name LIKE 'anew/$round/%' AND status = 'held'", 'settings_anew'),
			5, "leases are in the new table, $round");
		$node->stop('immediate');
		$node->start;
		poll_ready($node, 'settings_anew');
		is(rows($node, 'SELECT count(*) FROM dlock_list()', 'settings_anew'),
			5 * $round, "and survive, $round");
	}
	is("@new", join(' ', sort { $a <=> $b } @new), 'tokens rise over restarts');
	is(scalar(keys %{ { map { $_ => 1 } @new } }), 15, 'and none is given twice');
}

# A dump tells how far tokens were given out, and the first one is above that.
{
	my $dump = "$tempdir/settings.sql";
	my $bound;

	# two blocks more than a new database has
	foreach (1 .. 2)
	{
		new_writer($node, 'settings_anew');
		rows($node, "SELECT dlock_acquire('dump', ttl := '10 min', client := 'dump')", 'settings_anew');
	}
	$bound = upto('settings_anew');
	$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('settings_anew') ], 'pg_dump');
	rows($node, 'CREATE DATABASE settings_restored TEMPLATE template0');
	$node->command_ok(
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('settings_restored') ],
		'restored');
	cmp_ok(rows($node, "SELECT dlock_acquire('dump', client := 'dump')", 'settings_restored'),
		'>', $bound, 'the first token is above all that the dump may know of');
	cmp_ok(upto('settings_restored'), '>', $bound, 'and durable');
}

# Who has no right to copy a database does not send its writer away.
{
	my $writer;

	new_database($node, 'settings_template');
	rows($node, 'CREATE ROLE settings_creator LOGIN CREATEDB');
	rows($node, "SELECT dlock_acquire('template', ttl := '10 min', client := 'template')", 'settings_template');
	$writer = worker_pid($node, 'dlock writer', 'settings_template');
	like(
		try_rows($node, 'CREATE DATABASE settings_copy TEMPLATE settings_template', 'postgres', 'settings_creator'),
		qr/42501: permission denied to copy database "settings_template"/,
		'CREATE DATABASE by one who must not copy');
	like(
		try_rows($node, 'DROP DATABASE settings_template', 'postgres', 'settings_creator'),
		qr/42501: must be owner of database/, 'DROP DATABASE likewise');
	like(
		try_rows($node, 'ALTER DATABASE settings_template RENAME TO settings_copy', 'postgres', 'settings_creator'),
		qr/42501: must be owner of database/, 'ALTER DATABASE RENAME likewise');
	is(worker_pid($node, 'dlock writer', 'settings_template'),
		$writer, 'the writer has stayed');
	is(try_rows($node, 'CREATE DATABASE settings_copy TEMPLATE settings_template'),
		'', 'who may does');
	is(rows($node, "SELECT count(*) FROM dlock_list()", 'settings_copy'),
		0, 'and the copy has no leases');
	isnt(worker_pid($node, 'dlock writer', 'settings_template'),
		$writer, 'for which the writer had to go');
	is(rows($node, "SELECT holder FROM dlock_status('template')", 'settings_template'),
		'template', 'but no lease');
}

#
# Leases of a transaction
#

# While a commit waits for its standby, its changes are not visible: the lease
# stays, although its time is over.
{
	my $holder = session($node);
	my $other = session($node);
	my $pid = backend_pid($holder);

	rows($node, 'CREATE TABLE settings_written (i int)');
	# the first one after a start waits for a block of tokens
	rows($node, "SELECT dlock_acquire('tx-before', ttl := '10 min', client := 'tx-before')");
	rows($node, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	$node->reload;
	poll_rows($node, 'SHOW synchronous_standby_names', 'nobody');
	# the checkpointer, which puts it in force, sees it before it begins
	rows($node, 'CHECKPOINT');

	# not durable, and with tokens at hand: waits for nobody
	ask($holder, "SET dlock.client = 'tx'");
	begin_ask($holder, <<'EOSQL');
BEGIN;
SELECT dlock_acquire('tx', scope := 'transaction', ttl := '2 s') > 0;
INSERT INTO settings_written VALUES (1);
COMMIT
EOSQL
	poll_rows($node, "SELECT wait_event FROM pg_stat_activity WHERE pid = $pid", 'SyncRep');
	is( ask($other, "SELECT dlock_try_acquire('tx', timeout := '3 s', scope := 'transaction', client := 'tx-other')"),
		'', 'a lease does not run out during the commit');
	ok(is_waiting($holder), 'which goes on');
	is(rows($node, 'SELECT count(*) FROM settings_written'), 0, 'nobody sees its changes');
	begin_ask($other, "SELECT dlock_acquire('tx', scope := 'transaction', client := 'tx-other') > 0");
	poll_rows($node, "SELECT client FROM dlock_queue('tx')", 'tx-other');
	rows($node, 'ALTER SYSTEM RESET synchronous_standby_names');
	$node->reload;
	is(end_ask($holder), 't', 'the commit comes to its end');
	is(end_ask($other), 't', 'and then the next has the lease');
	is(ask($other, 'SELECT count(*) FROM settings_written'), 1, 'and sees the changes');
	$_->quit foreach $holder, $other;
}

# A lease that was taken away makes the commit fail.
{
	my $session = session($node);

	foreach my $lease ('', ", ttl := '10 min'")
	{
		ask($session, "BEGIN; SELECT dlock_acquire('forced', scope := 'transaction', client := 'forced'$lease)");
		ask($session, 'INSERT INTO settings_written VALUES (2)');
		is(rows($node, "SELECT dlock_force_release('forced')"), 1, "a transaction's lease is taken away$lease");
		like(try_ask($session, 'COMMIT'), qr/ERROR:  LK001: could not commit because a lease was lost/,
			"COMMIT fails$lease");
		is(rows($node, 'SELECT count(*) FROM settings_written WHERE i = 2'), 0, "nothing was committed$lease");
		is(rows($node, "SELECT status FROM dlock_status('forced')"), 'free', "and nothing is held$lease");
	}
	# what was rolled back is not missed
	ask($session, 'BEGIN; SAVEPOINT s');
	ask($session, "SELECT dlock_acquire('forced', scope := 'transaction', client := 'forced')");
	rows($node, "SELECT dlock_force_release('forced')");
	ask($session, 'ROLLBACK TO s; INSERT INTO settings_written VALUES (3)');
	is(try_ask($session, 'COMMIT'), '', 'a lease that was given up before is not missed');
	$session->quit;
}

expect_log(
	$node,
	# what we keep the writer from
	qr/dlock writer ERROR:  cannot write leases because table "dlock.locks" has an index/,
	qr/dlock writer ERROR:  refused at commit/,
	qr/dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command/,
	# answers
	qr/client backend .*ERROR:  canceling statement due to statement timeout/,
	qr/client backend .*ERROR:  could not make a lease on resource "(?:index|locked|first)" durable in time/,
	qr/client backend .*ERROR:  permission denied to copy database|must be owner of database/,
	qr/client backend .*ERROR:  could not commit because a lease was lost/,
	qr/client backend .*FATAL:  terminating connection due to (?:administrator command|unexpected postmaster exit)/,
	qr/client backend .*FATAL:  the database system is (?:in recovery mode|not yet accepting connections|starting up)/);

done_testing();
