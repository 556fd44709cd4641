# What must hold on a server with hundreds of databases and with room for
# thousands of sessions: a database without dlock costs no process, not even at
# server start; one with dlock gets its writer when it is used; a lease runs
# out whether its database is used or not; and a session whose database cannot
# have a writer is told so, and soon.  Claims 47 and 48 of src/README.md.
#
# Why it could fail: each database gets a process to look for the extension;
# leases of a database that nobody uses begin anew when somebody does; or they
# end before their time.
use strict;
use warnings;

use DlockNode qw(dlock_node poll_until session ask begin_ask end_ask try_ask expect_log
  log_position processes rows try_rows poll_rows poll_ready);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my @dbnames = map { "databases_$_" } 1 .. 5;
my $node = dlock_node('databases', <<'EOC');
max_worker_processes = 16
dlock.max_databases = 8
log_min_messages = debug1
allow_system_table_mods = on
autovacuum = off
EOC

# started(POSITION) gives how many writers were started since then.
sub started
{
	my ($position) = @_;
	return scalar(() = slurp_file($node->logfile, $position) =~ /starting background worker process "dlock writer/g);
}

my %token;
foreach my $dbname (@dbnames)
{
	rows($node, "CREATE DATABASE $dbname");
	rows($node, 'CREATE EXTENSION dlock', $dbname);
	$token{$dbname} = rows($node, q{SELECT dlock_acquire('held', ttl := '1 h', client := 'me')}, $dbname);
	rows($node, q{SELECT dlock_acquire('short', ttl := '2 s', client := 'me')}, $dbname);
}

# Hundreds of others.  They have no files: a process that connected to one of
# them would fail.
rows($node, <<'EOSQL');
INSERT INTO pg_database
SELECT (r).*
FROM (SELECT json_populate_record(d, json_build_object('oid', 100000 + i, 'datname', 'empty_' || i)) AS r
	FROM pg_database d, generate_series(1, 295) i WHERE datname = 'template1') s
EOSQL
cmp_ok(rows($node, 'SELECT count(*) FROM pg_database WHERE datallowconn'), '>=', 300, '300 databases');

my $position = log_position($node);
$node->restart;
my $until = time() + 4;
poll_until('the launcher is there', sub { (processes($node, 'dlock launcher'))[0] });
poll_until('the short leases have run out', sub { time() > $until });
is(started($position), 0, 'no writer is started for databases that nobody uses');

my %s = map { $_ => session($node, $_) } @dbnames;
ask($s{ $dbnames[4] }, 'SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS dlock');
begin_ask($s{$_}, q{SELECT string_agg(resource || ' ' || token, ',' ORDER BY resource) FROM dlock_list('me')}) foreach @dbnames;
is(end_ask($s{$_}), "held $token{$_}", "$_: its leases are there, and those that ran out are not") foreach @dbnames;
is( rows($node, q{SELECT remaining > '54 min', remaining < '66 min' FROM dlock_status('held')}, $dbnames[0]),
	't|t', 'with the rest of their time');
like(ask($s{$_}, q{SELECT dlock_acquire('short', client := 'other')}), qr/^\d+$/, "$_: others are granted") foreach @dbnames;
is(started($position), 5, 'each database that is used has got one writer');
is(scalar(processes($node, "dlock writer $_")), 1, "$_: which is there") foreach @dbnames;
$_->quit foreach values %s;

# The time that passes before the first use counts; loading does not.
{
	my $took;

	rows($node, q{SELECT dlock_acquire('counted', ttl := '5 s', client := 'me')}, $dbnames[0]);
	$node->restart;
	$until = time() + 3;
	poll_until('some of its time is over', sub { time() > $until });
	like(rows($node, q{SELECT remaining < '3 s' FROM dlock_status('counted')}, $dbnames[0]), qr/^t$/, 'a lease goes on where it was');
	is(rows($node, q{SELECT dlock_try_acquire('counted', client := 'other') IS NULL}, $dbnames[0]), 't', 'and is held until then');
	$took = time();
	like(rows($node, q{SELECT dlock_acquire('counted', timeout := '30 s', client := 'other')}, $dbnames[0]), qr/^\d+$/, 'when the next one has it');
	cmp_ok(time() - $took, '<', 5, 'not only after its full duration');
}

# A database that was in use, and whose extension was away for a moment, has not
# been unused since the server was started.
{
	poll_rows($node, q{SELECT clock_timestamp() > pg_postmaster_start_time() + '11 s'}, 't');
	rows($node, q{SELECT dlock_acquire('kept', ttl := '10 s', client := 'me')}, $dbnames[0]);
	rows($node, 'ALTER TABLE dlock.locks RENAME TO away', $dbnames[0]);
	try_rows($node, q{SET statement_timeout = '2 s'; SELECT dlock_acquire('more', client := 'me')}, $dbnames[0]);
	poll_until('the writer is gone', sub { !processes($node, "dlock writer $dbnames[0]") });
	rows($node, 'ALTER TABLE dlock.away RENAME TO locks', $dbnames[0]);
	is(rows($node, q{SELECT dlock_try_acquire('kept', client := 'other') IS NULL}, $dbnames[0]), 't', 'a lease in use is loaded again');
	expect_log($node, qr/client backend .*ERROR:  (?:dlock is no longer available|dlock is not ready in database "$dbnames[0]"|canceling statement due to statement timeout)/);
}

#
# No worker slot
#
$node->append_conf('postgresql.conf', "max_worker_processes = 3\nmax_logical_replication_workers = 0\n");
$node->restart;
expect_log($node, qr/client backend .*ERROR:  dlock is not ready in database "databases_2"/);
like(rows($node, q{SELECT dlock_acquire('first', client := 'me')}, $dbnames[0]), qr/^\d+$/, 'the slot goes to the first database');
{
	my $took = time();
	my $session = session($node, $dbnames[1]);

	like(
		try_ask($session, q{SELECT dlock_acquire('first', client := 'me')}),
		qr/ERROR:  55000: dlock is not ready in database "databases_2"\nDETAIL:  The server has no free worker slot for the writer process\.\nHINT:  You might need to increase "max_worker_processes"/,
		'where there is none, a session is told so');
	cmp_ok(time() - $took, '<', 12, 'and soon');
	rows($node, 'DROP EXTENSION dlock', $dbnames[0]);
	poll_until('the slot is free', sub { !processes($node, "dlock writer $dbnames[0]") });
	like(ask($session, q{SELECT dlock_acquire('first', client := 'me')}), qr/^\d+$/, 'when it is free, it is served');
	$session->quit;
}

#
# Many backends
#
$node->append_conf('postgresql.conf', "max_connections = 10000\nmax_worker_processes = 16\n");
$node->restart;
like(rows($node, q{SELECT dlock_acquire('large', client := 'me')}, $dbnames[1]), qr/^\d+$/, 'room for 10,000 sessions: granted');
is(rows($node, q{SELECT dlock_release('large', client := 'me')}, $dbnames[1]), 't', 'and released');
is( rows($node, q{SELECT sum(size) BETWEEN 16 * 10000 AND 16 * 10500 FROM pg_shmem_allocations WHERE name IN ('dlock notices', 'dlock session map')}),
	't', '16 bytes for each');

rows($node, q{DELETE FROM pg_database WHERE datname LIKE 'empty_%'});
done_testing();
