# An error keeps its SQLSTATE whatever encoding its reader has: the names in it
# belong to others, and a character that the client's encoding lacks would make
# 22P05 of any error.  The server's log has the names as they are.
#
# It could fail for each message with a name in it, for fields beside the message,
# and for servers whose encoding is not UTF8.
use strict;
use warnings;

use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DlockNode qw(dlock_node session ask try_ask begin_ask end_ask log_position
  expect_log rows poll_rows);

my $node = dlock_node('encoding', <<'EOCONF', allows_streaming => 1);
dlock.default_ttl = '2h'
dlock.deadlock_timeout = '1h'
EOCONF

# U+20AC, U+0416 and U+1F512 are not in LATIN1; U+00E9 is
my $name = q{U&'\20AC caf\00E9 \0416\+01F512'};
my $utf8 = "\xE2\x82\xAC caf\xC3\xA9 \xD0\x96\xF0\x9F\x94\x92";
my $escaped = '\\\\u20AC caf\xE9 \\\\u0416\\\\U0001F512';
my $position = log_position($node);

# reader(DATABASE, USER) gives a session with client_encoding = LATIN1.
sub reader
{
	my $session = session($node, @_);

	ask($session, 'SET client_encoding = LATIN1');
	return $session;
}

# is_error(SESSION, SQL, STATE, TEXT, WHAT) tests that a statement fails, and
# what the client hears.
sub is_error
{
	my ($session, $sql, $state, $text, $what) = @_;
	my $answer = ref $sql ? end_ask($session) : try_ask($session, $sql);

	like($answer, qr/ERROR:  $state: [\s\S]*$text/, $what);
	return $answer;
}

rows($node, <<"EOSQL");
SELECT dlock_acquire('held', client := $name);
SELECT dlock_acquire($name, client := $name);
CREATE TABLE U&"t \\20AC" (id int, name text);
GRANT ALL ON U&"t \\20AC" TO PUBLIC;
CREATE VIEW entrance AS SELECT * FROM U&"t \\20AC";
SELECT dlock_protect(U&'"t \\20AC"', \$\$ '\xE2\x82\xAC:' || name \$\$);
INSERT INTO entrance SELECT 1, 'row' FROM dlock_acquire(U&'\\20AC:row', scope := 'transaction');
SELECT dlock_acquire(U&'\\20AC:row', client := $name);
SELECT dlock_acquire(U&'\\20AC:shared', client := $name, mode := 'shared');
CREATE ROLE U&"r \\20AC";
GRANT ALL ON SCHEMA public TO U&"r \\20AC";
SET ROLE U&"r \\20AC";
SELECT dlock_acquire('of a role', client := 'of a role');
SELECT dlock_acquire('of a role 2', client := U&'\\20AC role');
RESET ROLE;
CREATE ROLE plain LOGIN;
EOSQL

#
# One session
#
my $latin1 = reader();
my $plain = reader('postgres', 'plain');

is_error($latin1, "SELECT dlock_acquire('held', timeout := '0')",
	'55P03', qr/DETAIL:  The resource is held in exclusive mode by client "$escaped", /, 'the holder');
is_error($latin1, "SET lock_timeout = '10ms'; SELECT dlock_acquire('held'); RESET lock_timeout",
	'55P03', qr/DETAIL:  The resource is held in exclusive mode by client "$escaped", /, 'the holder, by lock_timeout');
ask($latin1, 'RESET lock_timeout');
is_error($latin1, "SELECT dlock_acquire($name, timeout := '0')",
	'55P03', qr/could not obtain a lease on resource "$escaped"/, 'the resource');
is_error($latin1, "SELECT FROM dlock_acquire_all(ARRAY['free', $name], timeout := '0')",
	'55P03', qr/could not obtain a lease on resource "$escaped"/, 'one of several resources');
is_error($latin1, "SELECT dlock_renew($name)",
	'LK001', qr/lease on resource "$escaped" is not held/, 'a resource that is not held');
is_error($latin1, "SELECT dlock_acquire('x', mode := $name)",
	'22023', qr/unrecognized lease mode: "$escaped"/, 'a mode');
is_error($latin1, "SELECT dlock_acquire('x', scope := $name)",
	'22023', qr/unrecognized lease scope: "$escaped"/, 'a scope');
is_error($plain, "SELECT dlock_acquire('x', client := 'of a role')",
	'42501', qr/DETAIL:  The client belongs to role "r \\u20AC"\./, 'the role of a client');
is_error($plain, q{SELECT dlock_acquire('x', client := U&'\20AC role')},
	'42501', qr/permission denied for dlock client "\\u20AC role"/, 'a client of another role');
is_error($latin1, "UPDATE entrance SET id = 2",
	'LK002', qr/cannot write to table "t \\u20AC" without holding resource "\\u20AC:row" exclusively[\s\S]*DETAIL:  The resource is held by client "$escaped"\./,
	'a protected table');
is_error($latin1, "INSERT INTO entrance VALUES (1, NULL)",
	'22004', qr/resource of a row in table "t \\u20AC" is null/, 'a row without a resource');
is_error($latin1, q{TRUNCATE U&"t \20AC"},
	'LK002', qr/cannot truncate table "t \\u20AC"/, 'TRUNCATE of a protected table');
is_error($latin1, q{SELECT dlock_protect(U&'"t \20AC"', 'name')},
	'42710', qr/table "t \\u20AC" is already protected/, 'a table that is already protected');
rows($node, q{ALTER TABLE U&"t \20AC" RENAME COLUMN name TO title});
is_error($latin1, 'UPDATE entrance SET id = 2',
	'42703', qr/column "name" does not exist[\s\S]*CONTEXT:  resource expression "[^"]*\\u20AC:/, 'the expression of a protected table');
rows($node, q{ALTER TABLE dlock.clients ADD COLUMN U&"c \20AC" int});
is_error($latin1, "SELECT dlock_acquire('x', client := 'new')",
	'55000', qr/DETAIL:  Column "c \\u20AC" is unexpected\./, 'a column');
rows($node, q{ALTER TABLE dlock.clients DROP COLUMN U&"c \20AC"});

{
	my $locker = session($node);

	ask($locker, 'BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
	is_error($latin1, q{SELECT dlock_try_acquire(U&'\20AC late')},
		'LK005', qr/could not make a lease on resource "\\u20AC late" durable in time/, 'a grant that is not durable in time');
	ask($locker, 'ROLLBACK');
	$locker->quit;
}

# out of a transaction block there is a transaction as well; in one that is
# about to commit there is one still
ask($latin1, 'BEGIN');
ask($latin1, "SELECT dlock_acquire('gone', scope := 'transaction', ttl := '1 h')");
is_error($latin1, "SELECT dlock_acquire('held', timeout := '0')",
	'55P03', qr/client "$escaped"/, 'in a transaction block');
ask($latin1, 'ROLLBACK');

# what can be told is told as it is, and so it is for a client of another kind
is_error($latin1, q{SELECT dlock_renew(U&'caf\00E9')},
	'LK001', qr/lease on resource "caf\xE9" is not held/, 'a name that LATIN1 has');
foreach my $encoding ('UTF8', 'SQL_ASCII')
{
	ask($latin1, "SET client_encoding = $encoding");
	is_error($latin1, "SELECT dlock_acquire('held', timeout := '0')",
		'55P03', qr/client "\Q$utf8\E"/, "$encoding has all names");
}
ask($latin1, 'SET client_encoding = EUC_JP');
is_error($latin1, "SELECT dlock_acquire('held', timeout := '0')",
	'55P03', qr/client "\\u20AC caf\x8F\xAB\xB1 \xA7\xA8\\U0001F512"/, 'EUC_JP has some');
ask($latin1, 'SET client_encoding = LATIN1');

#
# Two sessions
#
{
	my $other = reader();

	ask($latin1, "SET dlock.client = $name");
	ask($other, q{SET dlock.client = U&'\0416'});
	ask($other, q{SELECT dlock_acquire('deadlock', timeout := '0')});
	begin_ask($latin1, q{SELECT dlock_acquire('deadlock')});
	poll_rows($node, 'SELECT count(*) FROM dlock_queue()', '1');
	begin_ask($other, "SELECT dlock_acquire($name)");
	poll_rows($node, 'SELECT count(*) FROM dlock_queue()', '2');
	rows($node, 'SELECT dlock_detect_deadlocks()');
	is_error($other, \'', '40P01',
		qr/deadlock detected[\s\S]*DETAIL:  Client "\\u0416" \(process \d+\) waits for resource "$escaped" in exclusive mode, held by client "$escaped" in exclusive mode/,
		'a deadlock');
	ask($other, 'SELECT dlock_release_all()');
	end_ask($latin1);

	# two holders that both want more
	ask($other, q{SELECT dlock_acquire(U&'\20AC:shared', mode := 'shared')});
	begin_ask($latin1, q{SELECT dlock_acquire(U&'\20AC:shared')});
	poll_rows($node, 'SELECT count(*) FROM dlock_queue()', '1');
	is_error($other, q{SELECT dlock_acquire(U&'\20AC:shared')}, '40P01',
		qr/deadlock detected[\s\S]*DETAIL:  Two holders of resource "\\u20AC:shared" are waiting/, 'two upgrades');
	ask($other, q{SET dlock.deadlock_policy = wait_die; SET dlock.client = U&'\0416'});
	is_error($other, q{SELECT dlock_acquire(U&'\20AC:row')}, '40P01',
		qr/cannot wait for a lease on resource "\\u20AC:row"/, 'a policy');
	ask($other, 'SELECT dlock_release_all()');
	end_ask($latin1);
	$other->quit;
}

#
# Names of other things
#
{
	my ($session, $answer);

	rows($node, q{CREATE DATABASE U&"db \20AC"});
	$session = reader("db \xE2\x82\xAC");
	ask($session, 'BEGIN; CREATE EXTENSION dlock');
	is_error($session, "SELECT dlock_acquire('x')",
		'55000', qr/dlock is not ready in database "db \\u20AC"/, 'a database');
	$session->quit;

	rows($node, qq{ALTER SYSTEM SET synchronous_standby_names = '"s \xE2\x82\xAC"'});
	rows($node, "ALTER SYSTEM SET dlock.quorum_timeout = '100ms'");
	$node->reload;
	# until the checkpointer has told everybody that commits have to wait
	rows($node, 'CHECKPOINT');
	is_error($latin1, "SELECT dlock_acquire('quorum')",
		'LK003', qr/DETAIL:  .*Not connected: "s \\u20AC"/, 'a standby');
	rows($node, 'ALTER SYSTEM RESET synchronous_standby_names');
	rows($node, 'ALTER SYSTEM RESET dlock.quorum_timeout');
	$node->reload;
}
$latin1->quit;
$plain->quit;

# the log is in the server's encoding and lacks nothing
{
	my $log = slurp_file($node->logfile, $position);

	like($log, qr/DETAIL:  The resource is held in exclusive mode by client "\Q$utf8\E"/, 'the log has the holder');
	like($log, qr/DETAIL:  The resource is held by client "\Q$utf8\E"/, '... that of a protected table');
	like($log, qr/DETAIL:  The client belongs to role "r \xE2\x82\xAC"/, '... the role');
	like($log, qr/DETAIL:  Client "\xD0\x96" \(process \d+\) waits for resource "\Q$utf8\E"/, '... the deadlock');
	unlike($log, qr/untranslatable|has no equivalent/, 'nothing was to be converted that cannot be');
}

#
# Servers of other encodings
#
foreach my $case (
	[ 'SQL_ASCII', 'UTF8', q{convert_from('\xE9e282ac20', 'SQL_ASCII')}, "\\\\xE9\xE2\x82\xAC " ],
	[ 'WIN1251', 'KOI8R', q{convert_from('\x88c6', 'WIN1251')}, "\\\\x88\xF6" ])
{
	my ($server, $client, $holder, $shown) = @$case;
	my $dbname = lc $server;
	my $session;

	rows($node, "CREATE DATABASE $dbname ENCODING '$server' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
	rows($node, 'CREATE EXTENSION dlock', $dbname);
	rows($node, "SELECT dlock_acquire('held', client := $holder)", $dbname);
	$session = session($node, $dbname);
	ask($session, "SET client_encoding = $client");
	is_error($session, "SELECT dlock_acquire('held', timeout := '0')",
		'55P03', qr/by client "$shown"/, "a server with $server, a client with $client");
	$session->quit;
}

expect_log(
	$node,
	qr/client backend .*ERROR:  (?:could not obtain a lease|could not make a lease|lease on resource|unrecognized lease|permission denied for dlock client)/,
	qr/client backend .*ERROR:  (?:canceling statement due to lock timeout|cannot write to table|cannot truncate table|resource of a row)/,
	qr/client backend .*ERROR:  (?:table ".*" (?:is already protected|does not have the expected definition)|column "name" does not exist)/,
	qr/client backend .*ERROR:  (?:deadlock detected|cannot wait|dlock is not ready|no quorum)/);

done_testing();
