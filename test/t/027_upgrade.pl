# Claims 45 to 48: an extension that was updated is the same as a new one; a
# server gets another library, is restarted and the extension updated, and has
# every lease, token and setting all the time; and a library that meets objects
# which it does not know says so, and touches nothing.
#
# It could fail if a change went into one of the two scripts only, if the
# library relied on objects that come with the update, if the update took the
# writer or the sessions for those of another installation, if versions were
# compared as text, or if a writer looked again and again for a version that it
# cannot use.
use strict;
use warnings;

use File::Copy qw(copy);
use FindBin;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DlockCatalog qw(catalog catalog_sql);
use DlockNode qw(dlock_node crash session ask try_ask begin_ask end_ask is_waiting
  backend_pid log_position expect_log worker_pid processes rows try_rows poll_rows
  poll_ready poll_until table_matches run_bounded);
use DlockStandby qw($standby_conf add_standby wait_streaming);

my $top = "$FindBin::Bin/../..";
my $token = qr/^\d+$/;
my $node = dlock_node('upgrade', $standby_conf . <<'EOCONF', allows_streaming => 1);
dlock.default_ttl = '1 h'
deadlock_timeout = '10 s'
EOCONF
my $extensions = $node->config_data('--sharedir') . '/extension';

#
# Versions that this test makes
#

# What 1.0 has, under other names; and an update that changes what an update may
# change: tables, functions, comments and privileges.
my @made;

sub make_script
{
	my ($name, $text) = @_;
	my $file = "$extensions/dlock--$name.sql";

	die "$file is there already" if -e $file;
	push @made, $file;
	append_to_file($file, $text);
	return;
}

END { unlink @made; }

my $script = slurp_file("$top/sql/dlock--1.0.sql");
make_script($_, $script) foreach qw(0.5 0.8.99 0.10 1.0.1 1.1 1.10 2 next);
make_script('0.9--0.10', <<'EOSQL');
LOCK TABLE dlock.locks;
ALTER TABLE dlock.locks SET (fillfactor = 50);
ALTER TABLE dlock.clients ALTER COLUMN last_used_at SET DEFAULT pg_catalog.clock_timestamp();
COMMENT ON TABLE dlock.locks IS 'changed by an update';
CREATE FUNCTION @extschema@.dlock_more() RETURNS pg_catalog.int4 LANGUAGE sql AS 'SELECT 1';
CREATE OR REPLACE FUNCTION @extschema@.dlock_current_client()
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'dlock_current_client'
LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 2;
EOSQL
make_script('0.5--0.9', "\n");
make_script('1.0--1.1', "CREATE FUNCTION dlock.never_made() RETURNS int LANGUAGE sql AS 'SELECT 1';\n");

sub version
{
	my ($dbname) = @_;
	return rows($node, q{SELECT extversion FROM pg_extension WHERE extname = 'dlock'}, $dbname);
}

# database(NAME, WHAT) makes a database with the extension: WHAT is the rest of
# CREATE EXTENSION.
sub database
{
	my ($dbname, $what) = @_;

	rows($node, "CREATE DATABASE $dbname TEMPLATE template0");
	rows($node, "CREATE SCHEMA locking; CREATE EXTENSION dlock $what", $dbname);
	return;
}

#
# A new installation and one that was updated
#

foreach my $schema ('public', 'locking')
{
	my $new;

	database("new_$schema", "SCHEMA $schema");
	database("old_$schema", "VERSION '0.9' SCHEMA $schema");
	is(version("old_$schema"), '0.9', "$schema: 0.9 is installed");
	rows($node, 'ALTER EXTENSION dlock UPDATE', "old_$schema");
	is(version("old_$schema"), version("new_$schema"), "$schema: and updated to the newest version");
	$new = catalog($node, "new_$schema");
	cmp_ok(scalar(split /\n/, $new), '>', 300, "$schema: the catalogs say a lot");
	is(catalog($node, "old_$schema"), $new, "$schema: the same of both");
}

# The comparison sees differences of every kind.
my $acquire = 'dlock_acquire(text, interval, interval, text, integer, text, text)';
foreach my $change (
	"ALTER FUNCTION $acquire STRICT",
	"ALTER FUNCTION $acquire STABLE",
	"ALTER FUNCTION $acquire SECURITY DEFINER",
	"ALTER FUNCTION $acquire PARALLEL SAFE",
	"ALTER FUNCTION $acquire COST 7",
	"ALTER FUNCTION $acquire SET search_path = ''",
	"COMMENT ON FUNCTION $acquire IS 'other'",
	"REVOKE EXECUTE ON FUNCTION $acquire FROM PUBLIC",
	'GRANT EXECUTE ON FUNCTION dlock_force_release TO PUBLIC',
	q{CREATE OR REPLACE FUNCTION dlock_release_all(client text DEFAULT NULL, resources text[] DEFAULT '{}')
		RETURNS int8 AS '$libdir/dlock', 'dlock_release_all' LANGUAGE C},
	q{CREATE OR REPLACE FUNCTION dlock_release_all(client text DEFAULT NULL, resources text[] DEFAULT NULL)
		RETURNS int8 AS '$libdir/dlock', 'dlock_renew_all' LANGUAGE C},
	"ALTER EXTENSION dlock DROP FUNCTION $acquire",
	'CREATE FUNCTION other() RETURNS int LANGUAGE sql AS $$SELECT 1$$; ALTER EXTENSION dlock ADD FUNCTION other()',
	'ALTER TABLE dlock.locks SET (fillfactor = 41)',
	'ALTER TABLE dlock.locks SET UNLOGGED',
	'ALTER TABLE dlock.locks ADD COLUMN other int',
	'ALTER TABLE dlock.locks ALTER COLUMN token TYPE int',
	'ALTER TABLE dlock.locks ALTER COLUMN owner DROP NOT NULL',
	'ALTER TABLE dlock.locks ALTER COLUMN owner SET STORAGE EXTERNAL',
	'ALTER TABLE dlock.clients ALTER COLUMN last_used_at DROP DEFAULT',
	'ALTER TABLE dlock.clients ALTER COLUMN id SET GENERATED ALWAYS',
	'ALTER TABLE dlock.clients ADD CHECK (id > 0)',
	'ALTER TABLE dlock.clients DROP CONSTRAINT clients_name_key',
	'ALTER TABLE dlock.clients ENABLE ROW LEVEL SECURITY',
	'ALTER TABLE dlock.token_blocks REPLICA IDENTITY DEFAULT',
	'CREATE INDEX ON dlock.clients (role)',
	'ALTER SEQUENCE dlock.clients_id_seq INCREMENT 2',
	'ALTER TABLE dlock.locks ENABLE TRIGGER dlock_refuse_row',
	'DROP TRIGGER dlock_refuse_write ON dlock.locks',
	q{COMMENT ON COLUMN dlock.locks.token IS 'other'},
	q{COMMENT ON TRIGGER dlock_refuse_row ON dlock.locks IS 'other'},
	q{COMMENT ON SCHEMA dlock IS 'other'},
	q{COMMENT ON EXTENSION dlock IS 'other'},
	'GRANT SELECT ON dlock.locks TO PUBLIC',
	'GRANT SELECT (token) ON dlock.locks TO PUBLIC',
	'REVOKE USAGE ON SCHEMA dlock FROM PUBLIC',
	'ALTER EXTENSION dlock DROP SCHEMA dlock',
	q{UPDATE pg_extension SET extcondition = '{"WHERE true",NULL,NULL}' WHERE extname = 'dlock'},
	q{UPDATE pg_init_privs SET initprivs = initprivs[1:1] WHERE objoid = 'dlock.locks'::regclass},
	q{CREATE TYPE dlock.other AS ENUM ('a'); ALTER EXTENSION dlock ADD TYPE dlock.other})
{
	my $before = catalog($node, 'new_public');
	my $after = rows($node, 'BEGIN; ' . $change . '; ' . catalog_sql() . 'ROLLBACK', 'new_public');

	isnt($after, $before, 'it sees: ' . $change =~ s/\s+/ /gr);
}

#
# A server of 0.9 with leases, before and after the update
#

my $leases_sql = <<'EOSQL';
SELECT resource, token, client, role, mode, scope, hold_count, acquired_at, expires_at IS NULL
FROM dlock_list() WHERE resource LIKE 'held-%' ORDER BY token
EOSQL

# What dlock keeps beside the leases, and what an administrator has set.
my $settings_sql = <<'EOSQL';
SELECT * FROM dlock.clients WHERE name LIKE 'keeper%' ORDER BY id;
SELECT has_function_privilege('public', 'dlock_list(text)', 'EXECUTE'),
	has_function_privilege('upgrade_admin', 'dlock_force_release(text, bigint)', 'EXECUTE');
SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'guarded'::regclass ORDER BY 2;
SHOW dlock.default_ttl;
EOSQL

# serves(NAME) tests that everything that 0.9 has goes on in the database "app".
my $round = 0;

sub serves
{
	my ($when) = @_;
	my %s = map { $_ => session($node, 'app') } qw(a b c);
	my $r = 'r' . ++$round;
	my $granted;

	ask($s{$_}, "SET dlock.client = '$_'") foreach keys %s;
	like($granted = ask($s{a}, "SELECT dlock_acquire('$r')"), $token, "$when: acquire");
	is(ask($s{b}, "SELECT dlock_try_acquire('$r')"), '', "$when: try");
	begin_ask($s{b}, "SELECT dlock_acquire('$r', priority := 1)");
	poll_rows($node, "SELECT client FROM dlock_queue('$r')", 'b', 'app');
	like(ask($s{a}, "SELECT waiters FROM dlock_renew('$r')"), qr/^1$/, "$when: renew");
	is(ask($s{a}, "BEGIN; INSERT INTO work VALUES ('$r'); SELECT dlock_fence('$r', $granted); COMMIT"),
		'', "$when: a fence");
	is(ask($s{a}, "SELECT dlock_release('$r')"), 't', "$when: release");
	cmp_ok(end_ask($s{b}), '>', $granted, "$when: the waiter is served with a higher token");
	like(
		try_ask($s{a}, "INSERT INTO work VALUES ('late'); SELECT dlock_fence('$r', $granted)"),
		qr/LK001: lease on resource "$r" is not held/, "$when: a late fence");
	like(try_ask($s{a}, "INSERT INTO guarded VALUES (7)"), qr/LK002: /, "$when: a protected table refuses");
	like(ask($s{a}, q{BEGIN; SELECT dlock_acquire('guarded:7', scope := 'transaction'); INSERT INTO guarded VALUES (7); DELETE FROM guarded; COMMIT}),
		$token, "$when: and accepts");
	like(ask($s{a}, "SELECT token FROM dlock_acquire_all('{$r-x,$r-y}') LIMIT 1"), $token, "$when: several at once");
	is(ask($s{a}, "SELECT dlock_set_options('$r-x', mode := 'shared', ttl := '2 h')"), 't', "$when: options");
	like(ask($s{c}, "SELECT dlock_acquire('$r-x', mode := 'shared', scope := 'session')"), $token, "$when: shared");
	is(ask($s{c}, "SELECT dlock_holds('$r-x'), dlock_holds('$r-y')"), 't|f', "$when: holds");

	# a deadlock
	begin_ask($s{c}, "SELECT dlock_acquire('$r-y')");
	poll_rows($node, "SELECT client FROM dlock_queue('$r-y')", 'c', 'app');
	like(try_ask($s{a}, "SELECT dlock_acquire('$r-x', mode := 'exclusive')"),
		qr/40P01: /, "$when: a deadlock is found");
	is(ask($s{a}, 'SELECT dlock_release_all()'), '2', "$when: release all");
	like(end_ask($s{c}), $token, "$when: and the other one goes on");
	is(rows($node, "SELECT count(*) > 0 FROM dlock_deadlocks()", 'app'), 't', "$when: deadlocks are listed");
	is(rows($node, "SELECT dlock_force_release('$r')", 'app'), '1', "$when: by force");
	$_->quit foreach values %s;
	poll_rows($node, "SELECT count(*) FROM dlock_list() WHERE resource LIKE '$r%' AND scope = 'session'", '0', 'app');
	table_matches($node, 'app');
	return;
}

# keeps(NAME, LEASES, SETTINGS) tests that nothing is missing.
sub keeps
{
	my ($when, $leases, $settings) = @_;

	is(rows($node, $leases_sql, 'app'), $leases, "$when: every lease and token");
	is(rows($node, $settings_sql, 'app'), $settings, "$when: clients, privileges, protected tables, settings");
	return;
}

rows($node, 'CREATE ROLE upgrade_user LOGIN; CREATE ROLE upgrade_admin');
database('app', q{VERSION '0.9'});
rows($node, <<'EOSQL', 'app');
ALTER DATABASE app SET dlock.default_ttl = '50 min';
CREATE TABLE work (what text);
CREATE TABLE guarded (id int);
SELECT dlock_protect('guarded', $$'guarded:' || id$$);
REVOKE EXECUTE ON FUNCTION dlock_list FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dlock_force_release TO upgrade_admin;
EOSQL
rows($node, <<'EOSQL', 'app');
SELECT dlock_acquire('held-two', client := 'keeper-1'), dlock_acquire('held-two', client := 'keeper-1'),
	dlock_acquire('held-shared', mode := 'shared', client := 'keeper-1', ttl := '3 h'),
	dlock_acquire('held-shared', mode := 'shared', client := 'keeper-2', ttl := '4 h'),
	dlock_acquire('held-changed', client := 'keeper-2');
SELECT dlock_set_options('held-changed', ttl := '5 h', mode := 'shared', client := 'keeper-2');
SET dlock.durable = off;
SELECT dlock_acquire('held-undurable', client := 'keeper-3');
EOSQL
like(rows($node, q{SELECT dlock_acquire('held-role', client := 'keeper-4')}, 'app', 'upgrade_user'),
	$token, 'leases of version 0.9 are held');
table_matches($node, 'app');
my $leases = rows($node, $leases_sql, 'app');
my $settings = rows($node, $settings_sql, 'app');
my $newest = rows($node, 'SELECT max(token) FROM dlock_list()', 'app');
serves('with 0.9');

$node->restart;
poll_ready($node, 'app');
is(version('app'), '0.9', 'after a restart the objects are still of 0.9');
keeps('restarted', $leases, $settings);
serves('before the update');
crash($node);
poll_ready($node, 'app');
keeps('after a crash before the update', $leases, $settings);

is(try_rows($node, 'ALTER EXTENSION dlock UPDATE', 'app'), '', 'the update');
is(version('app'), '1.0', 'it is 1.0 now');
keeps('updated', $leases, $settings);
serves('after the update');
cmp_ok(rows($node, q{SELECT dlock_acquire('next', client := 'keeper-1')}, 'app'), '>', $newest, 'tokens rise');
like(try_rows($node, q{SELECT dlock_try_acquire('held-two', client := 'thief')}, 'app'),
	qr/^$/, 'what is held is not available');
$node->restart;
poll_ready($node, 'app');
keeps('updated and restarted', $leases, $settings);

#
# While sessions hold, wait and commit
#

# A script that takes locks on dlock's tables holds up the writer as long as the
# transaction lasts.  The shipped one takes none.
foreach my $case (
	[ 'shipped', 'ALTER EXTENSION dlock UPDATE', '1.0', 0 ],
	[ 'locking', q{ALTER EXTENSION dlock UPDATE TO '0.10'}, '0.10', 1 ])
{
	my ($name, $update, $version, $locks) = @$case;
	my $db = "busy_$name";
	my %s;
	my $held;
	my $writer;

	database($db, q{VERSION '0.9'});
	%s = map { $_ => session($node, $db) } qw(holder waiter writing fencing updating new);
	ask($s{$_}, "SET dlock.client = '$_'") foreach keys %s;
	rows($node, 'CREATE TABLE work (what text)', $db);
	# a client that is not in memory is looked up in the table
	ask($s{new}, q{SELECT dlock_acquire('known'), dlock_release('known')});
	ask($s{holder}, q{SELECT dlock_acquire('a'), dlock_acquire('session', scope := 'session')});
	begin_ask($s{waiter}, q{SELECT dlock_acquire('a')});
	ask($s{writing}, q{BEGIN; SELECT dlock_acquire('transaction', scope := 'transaction'); INSERT INTO work VALUES ('writing')});
	ask($s{fencing}, q{SELECT dlock_acquire('fence')});
	ask($s{fencing}, q{BEGIN; SELECT dlock_fence('fence', (SELECT token FROM dlock_status('fence'))); INSERT INTO work VALUES ('fencing')});
	poll_rows($node, 'SELECT count(*) FROM dlock_queue()', '1', $db);
	$held = rows($node, 'SELECT resource, token, client, scope FROM dlock_list() ORDER BY token', $db);
	$writer = worker_pid($node, 'dlock writer', $db);

	foreach my $end ('ROLLBACK', 'COMMIT')
	{
		my $when = "$name, $end";

		is(try_ask($s{updating}, "BEGIN; $update"), '', "$when: an update among holders, waiters and transactions");
		# its own transaction may use what it has updated
		is(ask($s{updating}, 'SELECT count(*) FROM dlock_list()'), '4', "$when: the updating session sees the leases");
		is(rows($node, 'SELECT resource, token, client, scope FROM dlock_list() ORDER BY token', $db),
			$held, "$when: so do others while it is open");
		is(ask($s{holder}, q{SELECT remaining > '0' FROM dlock_renew('a')}), 't', "$when: renewals go on");
		like(ask($s{new}, "SET dlock.durable = off; SELECT dlock_acquire('$when')"), $token, "$when: grants that need no row go on");
		is(ask($s{new}, "SELECT dlock_release('$when'); RESET dlock.durable"), 't', "$when: releases, too");
		begin_ask($s{new}, "SELECT dlock_acquire('durable')");
		if ($locks)
		{
			poll_rows($node, "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = $writer", '1');
			ok(is_waiting($s{new}), "$when: durable grants wait for the lock on the table");
			ask($s{updating}, $end);
		}
		like(end_ask($s{new}), $token, "$when: a durable grant");
		ask($s{updating}, $end) unless $locks;
		is(ask($s{new}, q{SELECT dlock_release('durable')}), 't', "$when: and its release");
		is(version($db), $end eq 'COMMIT' ? $version : '0.9', "$when: the version");
		is(rows($node, 'SELECT resource, token, client, scope FROM dlock_list() ORDER BY token', $db),
			$held, "$when: every lease and token");
		ok(is_waiting($s{waiter}), "$when: who waits goes on waiting");
		is(worker_pid($node, 'dlock writer', $db), $writer, "$when: with the same writer");
	}
	is(ask($s{holder}, q{SELECT dlock_release('a')}), 't', "$name: a release after it");
	like(end_ask($s{waiter}), $token, "$name: serves who waited");
	is(try_ask($s{writing}, 'COMMIT'), '', "$name: a transaction that held a lock commits");
	is(try_ask($s{fencing}, 'COMMIT'), '', "$name: and one that depends on a lease");
	is(rows($node, 'SELECT string_agg(what, $$ $$ ORDER BY what) FROM work', $db), 'fencing writing', "$name: both are there");
	table_matches($node, $db);
	$_->quit foreach values %s;
}

#
# With a standby
#

{
	my $standby;

	database('replicated', q{VERSION '0.9'});
	poll_ready($node, 'replicated');
	rows($node, q{SELECT dlock_acquire('held-' || i, client := 'keeper-' || i) FROM generate_series(1, 3) AS i}, 'replicated');
	table_matches($node, 'replicated');
	$standby = add_standby($node, 'upgrade_standby');
	foreach my $case ('', 'ALTER EXTENSION dlock UPDATE')
	{
		rows($node, $case, 'replicated') if $case;
		$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
		is( rows($standby, $leases_sql =~ s/, expires_at IS NULL//r, 'replicated'),
			rows($node, $leases_sql =~ s/, expires_at IS NULL//r, 'replicated'),
			'the standby shows the leases, version ' . version('replicated'));
	}
	$leases = rows($node, $leases_sql, 'replicated');
	$node->stop;
	$standby->promote;
	poll_ready($standby, 'replicated');
	is(rows($standby, $leases_sql, 'replicated'), $leases, 'promoted after the update, it has every lease and token');
	is(rows($standby, q{SELECT extversion FROM pg_extension WHERE extname = 'dlock'}, 'replicated'), '1.0', 'and the version');
	expect_log($standby, qr/walreceiver FATAL:  .*could not /);
	$standby->stop;
	$node->start;
	poll_ready($node, 'app');
}

#
# Objects that the library does not know, while it runs
#

# refuses(SERVER, DATABASE, VERSION, WHICH) tests what functions say there.
sub refuses
{
	my ($server, $dbname, $version, $which) = @_;
	my $hint = $which eq 'new' ? 'Install dlock of ' : 'Run "ALTER EXTENSION dlock UPDATE"';

	foreach my $call (
		"dlock_acquire('a')", "dlock_try_acquire('a')", "dlock_acquire_all('{a,b}')", "dlock_release('a')",
		"dlock_renew('a')", "dlock_set_options('a', mode := 'shared')", "dlock_fence('a', 1)", "dlock_force_release('a')",
		"dlock_status('a')", 'dlock_list()', 'dlock_queue()', 'dlock_wait_graph()', q{dlock_protect('pg_class', 'relname')})
	{
		like(
			try_rows($server, "SELECT * FROM $call", $dbname),
			qr/ERROR:  55000: extension dlock \Q$version\E in database "$dbname" is too $which for the loaded library, which is version 1\.0\nDETAIL:  The library works with versions 0\.9 to 1\.0 of the extension\.\nHINT:  \Q$hint\E[^\n]*$/m,
			"$dbname, $version: $call");
	}
	return;
}

foreach my $version (qw(1.0.1 1.1 1.10 2))
{
	like(
		try_rows($node, "CREATE EXTENSION dlock VERSION '$version'", 'template1'),
		qr/ERROR:  55000: extension dlock \Q$version\E in database "template1" is too new for the loaded library, which is version 1\.0\n.*^HINT: /ms,
		"$version is not installed under a library of 1.0");
}
foreach my $version (qw(0.5 0.8.99 next))
{
	my $dbname = "old_$version" =~ s/\./_/gr;

	database($dbname, "VERSION '$version'");
	refuses($node, $dbname, $version, 'old');
}
{
	my $session = session($node, 'old_0_5');
	my $position = log_position($node);
	my @told;

	# no writer sees that update
	ask($session, q{BEGIN; ALTER EXTENSION dlock UPDATE TO '0.9'; SET LOCAL statement_timeout = '2500 ms'});
	like(try_ask($session, q{SELECT dlock_acquire('a')}), qr/57014/, 'what only this transaction has updated is not ready');
	@told = slurp_file($node->logfile, $position) =~ /dlock writer WARNING:  extension dlock 0\.5 .* is too old/g;
	ok(@told >= 1 && @told <= 4, 'a writer looks, but not over and over') || diag(scalar @told);
	ask($session, 'ROLLBACK');
	$session->quit;
}
is(try_rows($node, q{ALTER EXTENSION dlock UPDATE TO '0.9'}, 'old_0_5'), '', 'what is too old is updated');
like(rows($node, "SELECT dlock_acquire('a', scope := 'lease')", 'old_0_5'), $token, 'and used at once');
database('old_0_10', q{VERSION '0.10'});
like(rows($node, "SELECT dlock_acquire('a')", 'old_0_10'), $token, '0.10 comes after 0.9');

{
	my $session = session($node, 'app');
	my $held = rows($node, $leases_sql, 'app');
	my $refused = qr/ERROR:  55000: extension dlock 1\.1 in database "app" is too new for the loaded library, which is version 1\.0\n/;

	like(try_ask($session, q{ALTER EXTENSION dlock UPDATE TO '1.1'}), $refused, 'nor does an update go there');
	ask($session, 'BEGIN; SAVEPOINT s');
	like(try_ask($session, q{ALTER EXTENSION dlock UPDATE TO '1.1'}), $refused, 'in a transaction');
	like(ask($session, q{ROLLBACK TO s; SELECT dlock_acquire('after', scope := 'transaction')}), $token, 'which goes on from its savepoint');
	ask($session, 'COMMIT');
	is(version('app'), '1.0', 'the version is as before');
	is(rows($node, q{SELECT count(*) FROM pg_proc WHERE proname = 'never_made'}, 'app'), '0', 'and so are the objects');
	is(rows($node, $leases_sql, 'app'), $held, 'and the leases');
	$session->quit;
}

#
# Such objects when the library is loaded: an older one was installed again
#

{
	my $bare = PostgreSQL::Test::Cluster->new('downgraded');
	my $standby = PostgreSQL::Test::Cluster->new('downgraded_standby');
	my $position;
	my $log;

	$bare->init(allows_streaming => 1);
	$bare->append_conf('postgresql.conf', $standby_conf . "shared_preload_libraries = ''\n");
	$bare->start;
	foreach my $case ([ 'newer', '1.1' ], [ 'older', '0.5' ], [ 'fitting', '1.0' ], [ 'newest', '1.10' ])
	{
		rows($bare, "CREATE DATABASE $case->[0]");
		rows($bare, "CREATE EXTENSION dlock VERSION '$case->[1]'", $case->[0]);
	}
	$bare->backup('base');
	$standby->init_from_backup($bare, 'base', has_streaming => 1);
	$standby->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'dlock'");
	$standby->start;
	foreach my $call ('dlock_list()', "dlock_status('a')")
	{
		like(try_rows($standby, "SELECT * FROM $call", 'newer'),
			qr/ERROR:  55000: extension dlock 1\.1 in database "newer" is too new for the loaded library, which is version 1\.0\n/,
			"a standby: $call");
		like(try_rows($standby, "SELECT * FROM $call", 'older'),
			qr/ERROR:  55000: extension dlock 0\.5 in database "older" is too old for the loaded library, which is version 1\.0\n/,
			"a standby: $call");
		unlike(try_rows($standby, "SELECT * FROM $call", 'fitting'), qr/ERROR/, "a standby, another database: $call");
	}
	$standby->stop;

	$bare->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'dlock'");
	$position = log_position($bare);
	$bare->restart;
	like(rows($bare, q{SELECT dlock_acquire('a', ttl := '3 s', client := 'a')}, 'fitting'), $token, 'another database of the server works');
	refuses($bare, 'newer', '1.1', 'new');
	refuses($bare, 'older', '0.5', 'old');
	like(rows($bare, q{SELECT dlock_acquire('a', ttl := '1 h', client := 'b')}, 'fitting'), $token, 'and goes on');
	is(rows($bare, q{SELECT string_agg(datname, ' ') FROM pg_stat_activity WHERE backend_type = 'dlock writer'}),
		'fitting', 'a writer runs only there');
	$log = slurp_file($bare->logfile, $position);
	unlike($log, qr/dlock writer .*extension dlock/, 'and none was started elsewhere to find that out');
	is(rows($bare, 'SELECT count(*) FROM dlock.locks', 'newer'), '0', 'the tables are as they were');

	rows($bare, q{ALTER EXTENSION dlock UPDATE TO '0.9'; ALTER EXTENSION dlock UPDATE}, 'older');
	like(rows($bare, "SELECT dlock_acquire('a')", 'older'), $token, 'updated, it is used at once');
	is(try_rows($bare, 'DROP EXTENSION dlock; CREATE EXTENSION dlock', 'newer'), '', 'too new an extension can be dropped');
	like(rows($bare, "SELECT dlock_acquire('a')", 'newer'), $token, 'and created anew');
	expect_log($_, qr/(?:dlock writer WARNING|client backend .*ERROR):  extension dlock \S+ in database "\w+" is too (?:new|old) for the loaded library/)
	  foreach $bare, $standby;
	$bare->stop;
}

#
# The tests of pg_regress, with the objects of 0.9
#

{
	my $server = dlock_node('upgrade_regress');
	my @tests = split ' ', `make -s -C $top print-REGRESS`;
	my %newest = map { $_ => 1 } split ' ', `make -s -C $top print-REGRESS_NEWEST`;
	my $dir = "$PostgreSQL::Test::Utils::tmp_check/upgrade_regress";
	my ($rc, $out, $err);

	@tests = grep { !$newest{$_} } @tests;
	cmp_ok(scalar @tests, '>', 10, 'there are tests');
	mkdir $dir;
	rows($server, 'CREATE DATABASE regression TEMPLATE template0');
	# as pg_regress makes its database
	rows($server, "ALTER DATABASE regression SET $_") foreach "lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'",
	  "lc_time TO 'C'", "bytea_output TO 'hex'", "timezone_abbreviations TO 'Default'";
	rows($server, q{CREATE EXTENSION dlock VERSION '0.9'; CREATE EXTENSION dlock_test}, 'regression');
	poll_ready($server, 'regression');
	($rc, $out, $err) = run_bounded([
		$ENV{PG_REGRESS}, '--use-existing', '--dbname=regression', "--inputdir=$top", "--outputdir=$dir",
		'--bindir=' . $server->config_data('--bindir'), '--host=' . $server->host, '--port=' . $server->port, @tests ]);
	is($rc, 0, 'pg_regress') || diag($out, $err, -e "$dir/regression.diffs" ? slurp_file("$dir/regression.diffs") : '');
	is(rows($server, q{SELECT extversion FROM pg_extension WHERE extname = 'dlock'}, 'regression'), '0.9', 'with the objects of 0.9');
	expect_log($server, qr/(?:client backend|parallel worker) .*(?:ERROR|WARNING):  /);
}

expect_log(
	$node,
	qr/client backend .*ERROR:  extension dlock \S+ in database "\w+" is too (?:new|old) for the loaded library/,
	qr/dlock writer WARNING:  extension dlock \S+ in database "old_\w+" is too old for the loaded library/,
	qr/client backend .*ERROR:  canceling statement due to statement timeout/,
	qr/client backend .*ERROR:  (?:lease on resource "\w+" is not held|cannot write to table "guarded"|deadlock detected)/,
	qr/FATAL:  terminating connection due to unexpected postmaster exit/);

done_testing();
