# What must hold: a copy of a running system, made by a base backup, by
# recovery to a point in time or by pg_upgrade, has the leases of its moment,
# under the same tokens and for the same clients, and believes each for its
# duration and a tenth of it at most, also one that in the original a session
# keeps for ever; its own tokens are above all that its tables know of.  A dump
# and logical replication carry no lease.  None of that disturbs the original.
#
# Why it could fail: the files are copied one by one while the writer is at
# work; the session that kept a lease is not there in the copy, so nobody would
# end it; database and table are known by OIDs, which a copy shares with its
# original, or does not; what the copy has inherited from the configuration may
# keep it from writing.
use strict;
use warnings;

use DlockLog qw(apply_retries);
use DlockNode qw(dlock_node session ask begin_ask end_ask poll_until rows
  try_rows poll_rows poll_ready table_matches log_position expect_log);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $token = qr/^\d+$/;
my $tempdir = PostgreSQL::Test::Utils::tempdir;

# what two servers are compared by
my $leases_sql = <<'EOSQL';
SELECT resource, token, client, role, mode, scope, hold_count, acquired_at
FROM dlock_list() WHERE client <> 'busy' AND scope <> 'transaction' ORDER BY token
EOSQL
my $upto_sql = 'SELECT max(upto) FROM dlock.token_blocks';

# clock_is_right(NODE): each lease has been given its duration when the server
# started, and up to a tenth on top.
sub clock_is_right
{
	my ($node) = @_;

	# the wall clock is read at another moment than the monotonic one
	is(rows($node, <<'EOSQL'), '0|0|t', $node->name . ': each lease has its duration, and up to a tenth on top');
SELECT count(*) FILTER (WHERE expires_at IS NULL OR
		expires_at < pg_postmaster_start_time() + ttl - interval '50 ms'),
	count(*) FILTER (WHERE remaining > ttl * 1.1),
	count(*) > 3
FROM dlock_list() JOIN dlock.locks USING (token)
EOSQL
	return;
}

# without_short(LEASES) leaves out those that may have come to their end.
sub without_short
{
	return join "\n", grep { !/short/ } split /\n/, $_[0];
}

# short_ones_end(NODE): what was kept for ever by a session of the original
# goes to the next client here, not before the 2 seconds that it was taken for.
sub short_ones_end
{
	my ($node) = @_;

	foreach my $resource ('short', 'session-short')
	{
		like(rows($node, "SELECT dlock_acquire('$resource', ttl := '1 h', client := 'next')"),
			$token, $node->name . ": \"$resource\" comes to an end");
		is(rows($node, <<EOSQL), 't', $node->name . ': but not before its time');
SELECT acquired_at >= pg_postmaster_start_time() + interval '1950 ms'
FROM dlock_list('next') WHERE resource = '$resource'
EOSQL
	}
	return;
}

#
# The original
#

my $source = dlock_node('source', undef,
	has_archiving => 1, allows_streaming => 'logical');
my ($keeper, $transaction, $waiter, $busy) = map { session($source) } 1 .. 4;

rows($source, <<'EOSQL');
CREATE ROLE copy_owner;
CREATE DATABASE app;
CREATE TABLE stop (a int PRIMARY KEY);
SELECT dlock_acquire('long', ttl := '20 min', client := 'alice'),
	dlock_acquire('long', client := 'alice'),
	dlock_acquire('shared', mode := 'shared', ttl := '20 min', client := 'alice'),
	dlock_acquire('shared', mode := 'shared', ttl := '20 min', client := 'bob'),
	dlock_acquire('short', ttl := '20 min', client := 'kept');
SET ROLE copy_owner;
SELECT dlock_acquire('role', ttl := '20 min', client := 'carol');
RESET ROLE;
SELECT dlock_acquire('gone', ttl := '20 min', client := 'alice');
SELECT dlock_release('gone', client := 'alice');
SET dlock.durable = off;
SELECT dlock_acquire('undurable', ttl := '20 min', client := 'dave');
EOSQL
rows($source, 'CREATE EXTENSION dlock', 'app');
rows($source, "SELECT dlock_acquire('app', ttl := '20 min', client := 'alice')", 'app');
# a session keeps three leases, one of which is not of its scope
ask($keeper, <<'EOSQL');
SELECT dlock_acquire('short', scope := 'session', client := 'kept'),
	dlock_set_options('short', ttl := '2 s', client := 'kept'),
	dlock_acquire('session', ttl := '20 min', scope := 'session'),
	dlock_acquire('session-short', ttl := '2 s', scope := 'session')
EOSQL
ask($transaction, q{BEGIN; SELECT dlock_acquire('transaction', scope := 'transaction')});
begin_ask($waiter, q{SELECT dlock_acquire('long', client := 'waiter')});
poll_rows($source, 'SELECT count(*) FROM dlock_queue()', 1);
table_matches($source);
poll_rows($source,
	q{SELECT ttl, scope FROM dlock.locks WHERE resource_name = 'short'}, '00:00:02|lease');

#
# Base backup, while leases are taken one after the other
#

begin_ask($busy, <<'EOSQL');
DO $$
BEGIN
	FOR i IN 1 .. 50000 LOOP
		EXIT WHEN EXISTS (SELECT FROM stop);
		PERFORM dlock_acquire('busy/' || i, ttl := '1 h', client := 'busy');
	END LOOP;
END
$$
EOSQL
poll_rows($source, q{SELECT count(*) > 20 FROM dlock_list('busy')}, 't');
# all but the last one are acknowledged
my $acknowledged = rows($source, q{SELECT count(*) - 1 FROM dlock_list('busy')});
$source->backup('base');
rows($source, 'INSERT INTO stop VALUES (1)');
end_ask($busy);
my $expected = rows($source, $leases_sql);
my $upto = rows($source, $upto_sql);

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($source, 'base');
# else it would write into the original's archive
$copy->append_conf('postgresql.conf', "archive_mode = off\n");
$copy->start;
poll_ready($copy, $_) foreach 'postgres', 'app';

is(rows($copy, 'SELECT DISTINCT source FROM dlock_list()'), 'memory', 'copy: leases are loaded');
clock_is_right($copy);
is(without_short(rows($copy, $leases_sql)), without_short($expected),
	'copy: leases with their tokens and clients');
is(rows($copy, q{SELECT status FROM dlock_status('gone')}), 'free', 'copy: what was released is free');
is(rows($copy, q{SELECT status FROM dlock_status('transaction')}), 'free', 'copy: no lease of a transaction');
is(rows($copy, 'SELECT count(*) FROM dlock_queue()'), 0, 'copy: nobody waits');
is(rows($copy, q{SELECT client FROM dlock_list()}, 'app'), 'alice', 'copy: a lease of another database');

my $taken = rows($copy, q{SELECT count(*) FROM dlock_list('busy')});
cmp_ok($taken, '>=', $acknowledged, 'copy: what was acknowledged before the backup is there');
is( rows($copy, q{SELECT resource, token FROM dlock_list('busy') ORDER BY token}),
	rows($source, "SELECT resource, token FROM dlock_list('busy') ORDER BY token LIMIT $taken"),
	'copy: of what was taken during the backup, all up to one moment');

is(rows($copy, q{SELECT dlock_try_acquire('long', client := 'thief')}), '', 'copy: what is held is not available');
cmp_ok(rows($copy, q{SELECT dlock_acquire('new', ttl := '1 h', client := 'thief')}),
	'>', $upto, 'copy: its first token is above all that the original may have given out by then');
short_ones_end($copy);
like(
	try_rows($copy, q{SET ROLE copy_owner; SELECT dlock_release('long', client := 'alice')}),
	qr/42501: permission denied for dlock client "alice"/,
	'copy: a client belongs to its role');
is(rows($copy, q{SELECT dlock_release('long', client := 'alice') AND dlock_release('long', client := 'alice')}),
	't', 'copy: a holder releases');
like(rows($copy, q{SELECT dlock_try_acquire('long', ttl := '1 h', client := 'thief')}), $token, 'copy: and the next one gets it');
is(rows($source, $leases_sql), $expected, 'the original keeps its leases');
like(rows($source, q{SELECT waiters FROM dlock_renew('short', client := 'kept')}),
	$token, 'and renews one that a client of the copy has by now');

#
# Recovery to a point in time
#

rows($source, q{SELECT dlock_release_all('busy')});
my $wal = rows($source, q{SELECT pg_walfile_name(pg_create_restore_point('copy'))});
# all this is after the point
rows($source, q{SELECT dlock_release('long', client := 'alice'), dlock_release('long', client := 'alice')});
like(end_ask($waiter), $token, 'the original: the waiter is served');
rows($source, q{SELECT dlock_acquire('late', ttl := '20 min', client := 'alice')});
rows($source, 'SELECT pg_switch_wal()');
poll_rows($source, "SELECT last_archived_wal >= '$wal' FROM pg_stat_archiver", 't');
$_->quit foreach $keeper, $transaction, $waiter, $busy;
poll_rows($source, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'}, 1);
$source->restart;
my $newest = rows($source, q{SELECT max(dlock_acquire('newest/' || i, ttl := '20 min', client := 'alice')) FROM generate_series(1, 1000) i});
cmp_ok($newest, '>', $upto, 'the original goes on with another block of tokens');

my $past = PostgreSQL::Test::Cluster->new('past');
$past->init_from_backup($source, 'base', has_restoring => 1, standby => 0);
$past->append_conf('postgresql.conf', <<'EOCONF');
archive_mode = off
recovery_target_name = 'copy'
recovery_target_action = 'pause'
# as if it had been copied from a primary with standbys
synchronous_standby_names = 'elsewhere'
dlock.quorum_timeout = '200 ms'
EOCONF
$past->start;
poll_rows($past, 'SELECT pg_get_wal_replay_pause_state()', 'paused');

is(rows($past, $leases_sql), $expected, 'past: before it is opened, the leases of that moment can be seen');
is(rows($past, 'SELECT DISTINCT source FROM dlock_list()'), 'table', 'past: in the table');
is( rows($past, q{SELECT status, expires_at IS NULL, remaining IS NULL FROM dlock_status('session')}),
	'exclusive|t|t', 'past: what a session keeps shows no end');
like(try_rows($past, q{SELECT dlock_acquire('new')}),
	qr/25006: cannot change leases during recovery/, 'past: and nothing can be taken');
$upto = rows($past, $upto_sql);
rows($past, 'SELECT pg_wal_replay_resume()');
poll_rows($past, 'SELECT pg_is_in_recovery()', 'f');
poll_rows($past, 'SELECT DISTINCT source FROM dlock_list()', 'memory');
clock_is_right($past);
is(without_short(rows($past, $leases_sql)), without_short($expected),
	'past: leases as of the point in time');
is(rows($past, q{SELECT status FROM dlock_status('late')}), 'free', 'past: none from after it');

# a configuration that names standbys of the original
like(try_rows($past, q{SELECT dlock_acquire('new', client := 'thief')}),
	qr/LK003: no quorum of synchronous standbys.*Not connected: "elsewhere"/s,
	'past: no grant without the standbys that its configuration asks for');
is(rows($past, q{SELECT dlock_release('shared', client := 'bob')}), 't', 'past: releases go on');
poll_rows($past, q{SELECT status FROM dlock_status('short')}, 'free');
pass('past: and so does the end of leases');
$past->adjust_conf('postgresql.conf', 'synchronous_standby_names', "''");
$past->reload;
my $first = poll_until('the writer is through', sub {
	my $answer = try_rows($past, q{SELECT dlock_acquire('new', ttl := '1 h', client := 'thief')});

	return $answer =~ $token ? $answer : 0;
});
cmp_ok($first, '>', $upto, 'past: its first token is above all that its table knows of');
short_ones_end($past);

# What the original has done since then is not known here.
cmp_ok($first, '<=', $newest, 'past: the original may have given the same tokens out since');
rows($past, 'UPDATE dlock.token_blocks SET upto = upto + 1000000000');
$past->restart;
cmp_ok(rows($past, q{SELECT dlock_acquire('raised', ttl := '1 h', client := 'thief')}),
	'>', $newest + 900_000_000, 'past: unless the bound is raised');

#
# pg_upgrade, of the copy
#

$expected = rows($copy, $leases_sql);
$upto = rows($copy, $upto_sql);
my $clients = rows($copy, 'SELECT * FROM dlock.clients ORDER BY id');
$copy->stop;
my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
$upgraded->init;
{
	my $bin = $upgraded->config_data('--bindir');
	my $output = '';
	my $result = IPC::Run::run(
		[
			'pg_upgrade', '--no-sync', '-b', $bin, '-B', $bin,
			'-d', $copy->data_dir, '-D', $upgraded->data_dir,
			'-s', $upgraded->host, '-p', $copy->port, '-P', $upgraded->port
		],
		'<' => \undef,
		'>&' => \$output,
		# it leaves a script where it is called
		init => sub { chdir $tempdir or die "chdir: $!"; },
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	ok($result, 'pg_upgrade') or diag($output);
}
$upgraded->start;
poll_ready($upgraded, $_) foreach 'postgres', 'app';
is(rows($upgraded, $leases_sql), $expected, 'upgraded: all leases are there');
is(rows($upgraded, 'SELECT DISTINCT source FROM dlock_list()'), 'memory', 'upgraded: and loaded');
clock_is_right($upgraded);
is(rows($upgraded, 'SELECT client FROM dlock_list()', 'app'), 'alice', 'upgraded: also in another database');
is(rows($upgraded, 'SELECT * FROM dlock.clients ORDER BY id'), $clients, 'upgraded: the clients');
cmp_ok(rows($upgraded, q{SELECT dlock_acquire('upgraded', ttl := '1 h', client := 'erin')}),
	'>', $upto, 'upgraded: tokens go on');
poll_rows($upgraded, q{SELECT id > (SELECT max(id) FROM dlock.clients WHERE name <> 'erin') FROM dlock.clients WHERE name = 'erin'}, 't');
table_matches($upgraded);
like(
	try_rows($upgraded, q{DELETE FROM dlock.locks}),
	qr/42501: cannot change table "locks" directly/,
	'upgraded: the table is protected');
is(try_rows($upgraded, 'DROP EXTENSION dlock; CREATE EXTENSION dlock', 'app'),
	'', 'upgraded: the extension is whole');

#
# Dumps, into another server
#

$upto = rows($source, $upto_sql);
$source->command_ok([ 'pg_dump', '-Fc', '-f', "$tempdir/dump", $source->connstr('postgres') ], 'pg_dump');
$source->command_ok([ 'pg_dump', '--data-only', '-f', "$tempdir/data.sql", '-t', 'dlock.*', '-t', 'stop', $source->connstr('postgres') ], 'pg_dump --data-only');
unlike(slurp_file("$tempdir/data.sql"), qr/newest/, 'a dump carries no leases');
rows($upgraded, "CREATE DATABASE $_ TEMPLATE template0") foreach 'sections', 'data';
foreach my $section ('pre-data', 'data', 'post-data')
{
	$upgraded->command_ok(
		[ 'pg_restore', '-e', "--section=$section", '-d', $upgraded->connstr('sections'), "$tempdir/dump" ],
		"pg_restore --section=$section");
	is(rows($upgraded, 'SELECT count(*) FROM dlock_list()', 'sections'), 0, "no lease, $section");
}
rows($upgraded, 'CREATE EXTENSION dlock; CREATE TABLE stop (a int)', 'data');
is(rows($upgraded, 'SELECT count(*) FROM dlock_list()', 'data'), 0, 'the writer is there');
$upgraded->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$tempdir/data.sql", $upgraded->connstr('data') ],
	'data-only restore');
foreach my $dbname ('sections', 'data')
{
	is(rows($upgraded, 'SELECT count(*) FROM dlock_list()', $dbname), 0, "$dbname: no lease");
	is( rows($upgraded, 'SELECT id, name, role FROM dlock.clients ORDER BY id', $dbname),
		rows($source, 'SELECT id, name, role FROM dlock.clients ORDER BY id'),
		"$dbname: all clients");
	cmp_ok(rows($upgraded, q{SELECT dlock_acquire('long', ttl := '1 h', client := 'alice')}, $dbname),
		'>', $upto, "$dbname: tokens are above those of the dump");
}

#
# Logical replication, of one's own tables
#

rows($source, 'CREATE PUBLICATION copy FOR TABLES IN SCHEMA public');
is(rows($source, q{SELECT count(*) FROM pg_publication_tables WHERE schemaname = 'dlock'}),
	0, 'a publication of the schemas in use leaves the tables of dlock alone');
rows($upgraded, 'CREATE DATABASE subscriber TEMPLATE template0');
rows($upgraded, <<'EOSQL', 'subscriber');
CREATE EXTENSION dlock;
CREATE TABLE stop (a int PRIMARY KEY);
SELECT dlock_acquire('long', ttl := '1 h', client := 'own');
EOSQL
rows($upgraded, "CREATE SUBSCRIPTION copy CONNECTION '" . $source->connstr . " dbname=postgres' PUBLICATION copy", 'subscriber');
rows($source, q{SELECT dlock_acquire('published', ttl := '1 h', client := 'alice'); INSERT INTO stop VALUES (2)});
rows($source, q{SELECT dlock_release('published', client := 'alice')});
table_matches($source);
rows($source, 'INSERT INTO stop VALUES (3)');
poll_rows($upgraded, 'SELECT count(*) FROM stop', 3, 'subscriber');
foreach my $when ('now', 'after a restart')
{
	is(rows($upgraded, 'SELECT resource, client FROM dlock_list()', 'subscriber'),
		'long|own', "the subscriber has its own leases only, $when");
	last if $when ne 'now';
	$upgraded->restart;
	poll_ready($upgraded, 'subscriber');
}
rows($upgraded, 'DROP SUBSCRIPTION copy', 'subscriber');

#
# Logical replication, of all tables
#
# Rows of somebody else's leases must not get into dlock.locks, neither with the
# first copy of its rows nor one by one later: the writer would take them for
# its own when it starts the next time.

rows($source, 'CREATE PUBLICATION everything FOR ALL TABLES');
foreach my $copies ('true', 'false')
{
	my $position = log_position($upgraded);
	my $dbname = "copies_$copies";

	rows($upgraded, "CREATE DATABASE $dbname TEMPLATE template0");
	rows($upgraded, <<'EOSQL', $dbname);
CREATE EXTENSION dlock;
CREATE TABLE stop (a int PRIMARY KEY);
SELECT dlock_acquire('long', ttl := '1 h', client := 'own');
EOSQL
	rows($upgraded, "CREATE SUBSCRIPTION $dbname CONNECTION '" . $source->connstr
		  . " dbname=postgres' PUBLICATION everything WITH (copy_data = $copies)", $dbname);
	rows($source, qq{SELECT dlock_acquire('for $dbname', ttl := '1 h', client := 'alice')});
	# a new row, or one of a lease before that is used again
	ok($upgraded->wait_for_log(qr/logical replication (?:\w+ )?worker ERROR:  (?:cannot change table "locks" directly|logical replication target relation "dlock\.locks" has neither REPLICA IDENTITY)/, $position),
		"all tables, copy_data = $copies: the subscription fails aloud");
	is(rows($upgraded, q{SELECT resource_name, owner FROM dlock.locks WHERE status = 'held'}, $dbname),
		'long|own', 'no foreign row got in');
}
$upgraded->restart;
foreach my $dbname ('copies_true', 'copies_false')
{
	poll_ready($upgraded, $dbname);
	is(rows($upgraded, 'SELECT resource, client FROM dlock_list()', $dbname),
		'long|own', "$dbname: its own lease only, after a restart");
	rows($upgraded, "DROP SUBSCRIPTION $dbname", $dbname);
}

# A session that calls itself a replica fires no ordinary triggers.
foreach my $change (
	q{INSERT INTO dlock.locks SELECT * FROM dlock.locks},
	q{UPDATE dlock.locks SET owner = 'thief'},
	q{DELETE FROM dlock.locks},
	q{TRUNCATE dlock.locks})
{
	like(try_rows($upgraded, "SET session_replication_role = replica; $change", 'copies_true'),
		qr/42501: cannot change table "locks" directly/, "as a replica: $change");
}

expect_log($copy,
	qr/client backend .*ERROR:  permission denied for dlock client "alice"/);
expect_log($past,
	qr/client backend .*ERROR:  (?:cannot change leases during recovery|no quorum of synchronous standbys)/);
expect_log($upgraded,
	qr/client backend .*ERROR:  cannot change table "locks" directly/,
	# the subscription goes down with the server
	qr/logical replication (?:\w+ )?worker ERROR:  cannot change table "locks" directly/,
	qr/logical replication (?:\w+ )?worker ERROR:  logical replication target relation "dlock\.locks" has neither REPLICA IDENTITY/,
	# dlock's other tables are published as well
	qr/logical replication (?:\w+ )?worker ERROR:  duplicate key value violates unique constraint "clients_\w+"/,
	apply_retries());
expect_log($source, apply_retries());

done_testing();
