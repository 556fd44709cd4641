# A table of dlock's that somebody has changed is not written and not read: the
# log says what is wrong, grants wait, everything else goes on, other databases
# too, and when the change is undone nothing is missing.
#
# It could fail if rows were put together or taken apart by fixed column numbers,
# if a repaired table kept rows from before, or if a server did not get up any
# more with such a table.
use strict;
use warnings;

use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DlockNode qw(dlock_node start_writers crash session ask try_ask begin_ask end_ask
  is_waiting set_stop clear_stop wait_stopped log_position expect_log rows
  try_rows poll_rows poll_ready table_matches);
use DlockStandby qw($standby_conf add_standby wait_streaming);

my $node = dlock_node('shape', $standby_conf . <<'EOCONF', allows_streaming => 1);
dlock.default_ttl = '1h'
EOCONF
my $token = qr/^\d+$/;
my $refused = qr/table "dlock\.\w+" does not have the expected definition/;
my $n = 0;

rows($node, 'CREATE DATABASE other');
rows($node, 'CREATE EXTENSION dlock', 'other');
poll_ready($node, $_) foreach qw(postgres other);
like(rows($node, "SELECT dlock_acquire('held-$_', client := 'holder')"),
	$token, "held-$_ is taken") foreach 1 .. 20;
table_matches($node);

# leases(SERVER) gives the leases that must not get lost.
sub leases
{
	my ($server) = @_;
	return rows($server, "SELECT resource, token, client, hold_count FROM dlock_list('holder') ORDER BY 1");
}

# wait_refused(POSITION, DETAIL, PROCESS) waits until one refuses the table.
sub wait_refused
{
	my ($position, $detail, $process) = @_;

	$node->wait_for_log(qr/$process .*ERROR:  $refused\n.*DETAIL:  \Q$detail\E/, $position);
	return pass("the $process says: $detail");
}

#
# dlock.locks, while leases are held
#
foreach my $case (
	[ 'ADD COLUMN extra integer', 'DROP COLUMN extra', 'Column "extra" is unexpected.' ],
	[ "ADD COLUMN extra text NOT NULL DEFAULT 'x'", 'DROP COLUMN extra', 'Column "extra" is unexpected.' ],
	[ 'DROP COLUMN expiration_at', 'ADD COLUMN expiration_at timestamptz', 'Column "expiration_at" is missing.' ],
	[ 'DROP COLUMN id', 'ADD COLUMN id bigint', 'Column "id" is missing.' ],
	[ 'DROP COLUMN status, DROP COLUMN token', 'ADD COLUMN token bigint, ADD COLUMN status text', 'Column "token" is missing.' ],
	[ 'ALTER COLUMN token TYPE integer', 'ALTER COLUMN token TYPE bigint', 'Column "token" is of type integer, not bigint.' ],
	[ 'ALTER COLUMN owner TYPE varchar(300)', 'ALTER COLUMN owner TYPE text', 'Column "owner" is of type character varying, not text.' ],
	[ 'ALTER COLUMN hold_count TYPE bigint', 'ALTER COLUMN hold_count TYPE integer', 'Column "hold_count" is of type bigint, not integer.' ],
	[ 'RENAME COLUMN mode TO modus', 'RENAME COLUMN modus TO mode', 'Column "mode" is missing.' ],
	[ 'SET UNLOGGED', 'SET LOGGED', 'The table is unlogged.' ])
{
	my ($change, $repair, $detail) = @$case;
	my $position = log_position($node);
	my $session = session($node);
	my $before = leases($node);

	$n++;
	note $change;
	ask($session, "SET dlock.client = 'waiter'");
	rows($node, "ALTER TABLE dlock.locks $change");
	begin_ask($session, "SELECT dlock_acquire('late-$n')");
	wait_refused($position, $detail, 'dlock writer');
	ok(is_waiting($session), 'a grant waits');
	is(leases($node), $before, 'the leases are in memory');
	like(rows($node, "SELECT dlock_acquire('other-$n', client := 'other')", 'other'),
		$token, 'another database goes on');
	like(rows($node, "SET dlock.durable = off; SELECT dlock_acquire('fast-$n', client := 'fast')"),
		$token, 'what need not be durable goes on');
	is(rows($node, "SELECT dlock_release('fast-$n', client := 'fast')"), 't', 'so do releases');
	is(rows($node, "SELECT dlock_renew_all(client := 'holder')"), '20', 'and renewals');

	rows($node, "ALTER TABLE dlock.locks $repair");
	like(end_ask($session), $token, 'repaired: who waited is served');
	is(rows($node, "SELECT dlock_release('late-$n', client := 'waiter')"), 't', 'and releases');
	is(leases($node), $before, 'nothing is missing');
	table_matches($node);
	$session->quit;
}

my $leases = leases($node);
crash($node);
poll_ready($node, $_) foreach qw(postgres other);
is(leases($node), $leases, 'nor after a crash');
is(rows($node, 'SELECT count(*) FROM dlock_list()', 'other'), $n, 'nor in the other database');

# Changed and repaired before the writer looks: rows lack what was in the column.
rows($node, 'ALTER TABLE dlock.locks DROP COLUMN status; ALTER TABLE dlock.locks ADD COLUMN status text');
like(rows($node, "SELECT dlock_acquire('more', client := 'holder')"),
	$token, 'changed and repaired at once: grants go on');
table_matches($node);
$leases = leases($node);
crash($node);
poll_ready($node);
is(leases($node), $leases, 'and all rows have been written anew');

# A standby reads the table, too.
{
	my $standby = add_standby($node, 'shape_standby');

	rows($node, 'ALTER TABLE dlock.locks ADD COLUMN extra integer');
	wait_streaming($node, $standby);
	$node->wait_for_catchup($standby, 'replay');
	like(
		try_rows($standby, $_),
		qr/ERROR:  55000: $refused\nDETAIL:  Column "extra" is unexpected\.\nHINT:  /,
		"a standby refuses as well: $_")
	  foreach 'SELECT * FROM dlock_list()', "SELECT * FROM dlock_status('more')";
	rows($node, 'ALTER TABLE dlock.locks DROP COLUMN extra');
	$node->wait_for_catchup($standby, 'replay');
	is(leases($standby), $leases, 'and shows the leases when the table is repaired');
	expect_log(
		$standby,
		qr/client backend .*ERROR:  $refused/,
		qr/walreceiver FATAL:  terminating walreceiver process due to administrator command/);
	$standby->stop;
}

# A server that starts with such a table: calls there wait for it to be repaired.
foreach my $case (
	[ 'locks', 'Column "extra" is unexpected.' ],
	[ 'token_blocks', 'Column "extra" is unexpected.' ])
{
	my ($table, $detail) = @$case;
	my ($position, $session);

	$leases = leases($node);
	rows($node, "ALTER TABLE dlock.$table ADD COLUMN extra integer");
	$position = log_position($node);
	crash($node);
	start_writers($node, 'postgres');
	wait_refused($position, $detail, 'dlock writer');
	like(rows($node, "SELECT dlock_acquire('other', client := 'other')", 'other'),
		$token, "$table was changed before the start: another database goes on");
	$session = session($node);
	begin_ask($session, 'SELECT count(*) FROM dlock_list()');
	rows($node, "ALTER TABLE dlock.$table DROP COLUMN extra");
	like(end_ask($session), $token, "$table is repaired: the leases are loaded");
	is(leases($node), $leases, 'all of them');
	$session->quit;
}

#
# dlock.token_blocks, when a block of tokens is due
#
{
	my $position = log_position($node);
	my $session;

	set_stop($node, 'leases_loaded');
	$node->restart;
	start_writers($node, 'postgres');
	wait_stopped($node, 'leases_loaded', $position);
	rows($node, 'ALTER TABLE dlock.token_blocks ALTER COLUMN upto TYPE numeric');
	$position = log_position($node);
	clear_stop($node);
	poll_ready($node);
	$session = session($node);
	begin_ask($session, "SELECT dlock_acquire('token', client := 'holder')");
	wait_refused($position, 'Column "upto" is of type numeric, not bigint.', 'dlock writer');
	ok(is_waiting($session), 'without tokens a grant waits');
	rows($node, 'ALTER TABLE dlock.token_blocks ALTER COLUMN upto TYPE bigint');
	like(end_ask($session), $token, 'token_blocks is repaired: it is served');
	$session->quit;
	table_matches($node);
}

#
# dlock.clients
#
foreach my $case (
	[ 'ADD COLUMN note text', 'DROP COLUMN note', 'Column "note" is unexpected.' ],
	[ 'RENAME COLUMN role TO owner', 'RENAME COLUMN owner TO role', 'Column "role" is missing.' ],
	[ 'ALTER COLUMN name TYPE varchar(255)', 'ALTER COLUMN name TYPE text', 'Column "name" is of type character varying, not text.' ])
{
	my ($change, $repair, $detail) = @$case;
	my $position;

	# a client that is known, and has no row as it holds nothing durable yet
	my $session = session($node);
	$n++;
	ask($session, "SET dlock.client = 'new-$n'; SELECT dlock_release_all(); SET dlock.durable = off");
	like(ask($session, "BEGIN; SELECT dlock_acquire('new-$n', scope := 'transaction')"),
		$token, 'a client without a row');
	rows($node, "ALTER TABLE dlock.clients $change");
	$position = log_position($node);
	like(
		try_rows($node, "SELECT dlock_acquire('unknown', client := 'unknown-$n')"),
		qr/ERROR:  55000: $refused\nDETAIL:  \Q$detail\E\nHINT:  /,
		"clients, $change: a client that must be looked up is refused");
	ask($session, 'SET dlock.durable = on');
	like(ask($session, "SELECT dlock_acquire('durable-$n')"), $token, 'one that is in memory goes on');
	wait_refused($position, $detail, 'dlock writer');
	is(rows($node, "SELECT count(*) FROM dlock.clients WHERE name LIKE '%new-$n'"), '0', 'without a row');

	rows($node, "ALTER TABLE dlock.clients $repair");
	like(ask($session, "SELECT dlock_acquire('again-$n'); COMMIT"), $token, 'repaired');
	poll_rows($node, "SELECT count(*) FROM dlock.clients WHERE name = 'new-$n'", '1');
	like(rows($node, "SELECT dlock_acquire('unknown-$n', client := 'unknown-$n')"),
		$token, 'and so is the other');
	table_matches($node);
	$session->quit;
}
rows($node, 'ALTER TABLE dlock.clients RENAME TO customers');
like(
	try_rows($node, "SELECT dlock_acquire('unknown', client := 'nobody')"),
	qr/ERROR:  55000: $refused\nDETAIL:  The table does not exist\./,
	'a table that is missing is refused as well');
rows($node, 'ALTER TABLE dlock.customers RENAME TO clients');
$leases = leases($node);
crash($node);
poll_ready($node);
is(leases($node), $leases, 'nothing is missing in the end');

expect_log(
	$node,
	qr/(?:dlock writer|client backend .*) ERROR:  $refused/,
	qr/client backend .*FATAL:  the database system is /,
	qr/FATAL:  terminating connection due to unexpected postmaster exit/);

done_testing();
