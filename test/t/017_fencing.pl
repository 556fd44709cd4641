# What must hold: what is written under a lock is exact: no update is lost at
# any isolation level, released before the commit or not; a holder that is
# paused for longer than its lease writes nothing late; between the check of a
# fence and the moment when the changes are visible nobody else is granted the
# resource, however long that takes and however it ends, by a crash too.
# Protected tables are protected after a dump and a restore and without dlock in
# memory.  The examples of docs/fencing.md are true.
#
# Why it could fail: the check and the commit are two moments; a wait for a
# standby that is cancelled has committed; a stopped process cannot be told.
use strict;
use warnings;

use FindBin;

use DlockLog qw(apply_retries);
use DlockNode qw(dlock_node crash poll_until poll_ready poll_rows rows try_rows
  expect_log log_position run_bounded);
use DlockSession qw(error_parts);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = dlock_node('fencing', <<'EOCONF', allows_streaming => 'logical');
max_connections = 60
synchronous_standby_names = ''
wal_retrieve_retry_interval = 100ms
dlock.quorum_timeout = 0
dlock.default_ttl = 1h
EOCONF
# what is asked for to be refused
expect_log(
	$node,
	qr/client backend .*ERROR:  could not commit because a lease was lost/,
	qr/client backend .*ERROR:  cannot (?:write to|truncate) table/,
	qr/client backend .*ERROR:  token 33 of "plan" is out of date/);

sub on_node { return rows($node, @_); }

# state(SQL) gives the SQLSTATE that a statement ends with, or its rows.
sub state
{
	my ($sql, $dbname) = @_;
	my $answer = try_rows($node, $sql, $dbname);

	return error_parts($answer)->{state} || $answer;
}

#
# The examples of docs/fencing.md
#
my $top = "$FindBin::RealBin/../..";
my %sessions;

# run_example(STATEMENT, COMMENT) runs one and tests what its comment says.
sub run_example
{
	my ($session, $statement, $comment) = @_;
	my ($out, $err) = $session->ask($statement);

	if ($comment =~ /^gives (.*)/)
	{
		is("$out$err", $1, "docs/fencing.md: $statement");
	}
	elsif ($comment =~ /^error (\S+)/)
	{
		is(error_parts($err)->{state}, $1, "docs/fencing.md: $statement");
	}
	else
	{
		is($err, '', "docs/fencing.md: $statement");
	}
	return;
}

# run_block(BLOCK) runs the statements of a block.  One ends with a line that
# ends with a semicolon or \gset, outside a quoted body.
sub run_block
{
	my ($block, $session) = @_;
	my $statement = '';

	foreach my $line (split /\n/, $block)
	{
		if ($line =~ /^-- as (\w+)/)
		{
			$sessions{$1} //= DlockSession->new($node, dbname => 'docs');
			$session = $sessions{$1};
			next;
		}
		my $comment = $line =~ s/\s*-- ((?:gives|error) .*)// ? $1 : '';

		$statement .= "$line\n";
		next if (() = $statement =~ /\$\$/g) % 2;
		next unless $line =~ /(?:;|\\gset)\s*$/;
		$statement =~ s/;?\n\z//;
		run_example($session, $statement, $comment);
		$statement = '';
	}
	is($statement, '', 'docs/fencing.md: no statement is left open');
	return $session;
}

on_node('CREATE DATABASE docs');
on_node('CREATE EXTENSION dlock', 'docs');
my @blocks = slurp_file("$top/docs/fencing.md") =~ /^```sql\n(.*?)^```/msg;
cmp_ok(scalar @blocks, '>', 4, 'docs/fencing.md has examples');
my $reader;
$reader = run_block($_, $reader) foreach @blocks;
$_->quit foreach values %sessions;

#
# Lost updates
#
on_node(q{
	CREATE TABLE stock (id int PRIMARY KEY, amount int);
	INSERT INTO stock VALUES (1, 0);
	SELECT dlock_protect('stock', $$ 'stock:' || id $$);
});
my $clients = 25;
my $rounds = 4;

# decrement(NAME, SCRIPT) has clients read, think and write back, in turns, and
# tests that every decrement counted.
sub decrement
{
	my ($name, $script) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/fencing_"
	  . ($name =~ s/\W+/_/gr) . '.sql';
	my $before = on_node('SELECT amount FROM stock');

	append_to_file($file, $script);
	my ($rc, $out, $err) = run_bounded(
		[
			'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $rounds, '--max-tries', 100_000,
			'-f', $file, $node->connstr('postgres')
		]);
	is($rc, 0, "$name: pgbench ends well") or diag("$out$err");
	is(on_node('SELECT amount FROM stock'),
		$before - $clients * $rounds, "$name: every decrement counts");
	return;
}

my $think = <<'EOSQL';
SELECT amount AS seen FROM stock WHERE id = 1 \gset
SELECT pg_sleep(0.001 * random());
UPDATE stock SET amount = :seen - 1 WHERE id = 1;
EOSQL
foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	# a lease that outlasts the transaction, released before it commits; taken
	# before it begins, so that the snapshot is newer than the grant
	decrement("released before the commit, $level", <<"EOSQL");
SET dlock.client = 'decrement-:client_id';
SELECT dlock_acquire('stock:1');
BEGIN ISOLATION LEVEL $level;
$think
SELECT dlock_release('stock:1');
COMMIT;
EOSQL
	# taken inside: the snapshot may be older than the grant, and the update
	# fails with 40001 then, rather than being lost
	decrement("taken inside the transaction, $level", <<"EOSQL");
BEGIN ISOLATION LEVEL $level;
SELECT dlock_acquire('stock:1', scope := 'transaction', client := 'decrement-:client_id');
$think
COMMIT;
EOSQL
}
expect_log($node,
	qr/client backend .*ERROR:  could not serialize access/);

#
# A holder that is stopped for longer than its lease
#
on_node(q{SELECT dlock_unprotect('stock')});

# wait_blocked(SESSION) waits until a session waits for a lock of the server.
sub wait_blocked
{
	my ($session) = @_;
	return poll_rows($node,
		'SELECT cardinality(pg_blocking_pids(' . $session->pid . ')) > 0', 't');
}

# lose_lease(RESOURCE, CLIENT) waits until a lease has run out.
sub lose_lease
{
	my ($resource, $client) = @_;

	on_node("SELECT dlock_set_options('$resource', ttl => '1 ms', client => '$client')");
	return poll_rows($node,
		"SELECT count(*) FROM dlock_list('$client') WHERE resource = '$resource'", '0');
}

foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $before = on_node('SELECT amount FROM stock');
	my $late = DlockSession->new($node);
	my $next = DlockSession->new($node);

	$late->ask(q{SET dlock.client = 'late'});
	$late->ask(q{SELECT dlock_acquire('stock:1') AS token \gset});
	$late->ask("BEGIN ISOLATION LEVEL $level");
	$late->ask(q{SELECT dlock_fence('stock:1', :token)});
	$late->ask('SELECT amount AS seen FROM stock \gset');
	$late->ask('UPDATE stock SET amount = :seen - 1');
	kill('STOP', $late->pid);
	$late->tell('COMMIT');
	lose_lease('stock:1', 'late');

	$next->ask(q{SET dlock.client = 'next'});
	$next->ask(q{SELECT dlock_acquire('stock:1')});
	$next->ask("BEGIN ISOLATION LEVEL $level");
	$next->ask('SELECT amount AS seen FROM stock \gset');
	$next->tell('UPDATE stock SET amount = :seen - 1');
	wait_blocked($next);
	kill('CONT', $late->pid);
	my ($out, $err) = $late->answer;
	is(error_parts($err)->{state}, 'LK001',
		"$level: who was stopped for too long cannot commit");
	$next->answer;
	$next->ask(q{SELECT dlock_release('stock:1')});
	is($next->ask('COMMIT'), '', "$level: the next holder can");
	is(on_node('SELECT amount FROM stock'), $before - 1, "$level: exactly one write has landed");
	$_->quit foreach $late, $next;
}

#
# Stopped, or waiting for a standby, between the check and the end of the commit
#

# hold_commit(SESSION) gives a session in whose way a commit is: behind the check
# of the fence, when temporary tables are emptied, and before the commit record.
sub hold_commit
{
	my ($session) = @_;
	my $holder = DlockSession->new($node);

	$session->ask('CREATE TEMP TABLE emptied (id int) ON COMMIT DELETE ROWS');
	$holder->ask('BEGIN');
	$holder->ask('LOCK TABLE '
		  . $session->ask(q{SELECT format('%I.%I', relnamespace::regnamespace, relname)
			FROM pg_class WHERE oid = 'emptied'::regclass})
		  . ' IN ACCESS SHARE MODE');
	return $holder;
}

# begin_fenced(RESOURCE, CLIENT, AMOUNT) gives a session that has written.
sub begin_fenced
{
	my ($resource, $client, $amount) = @_;
	my $session = DlockSession->new($node);

	$session->ask("SET dlock.client = '$client'");
	$session->ask("SELECT dlock_acquire('$resource') AS token \\gset");
	return $session;
}

sub write_fenced
{
	my ($session, $resource, $amount) = @_;

	$session->ask('BEGIN');
	$session->ask("SELECT dlock_fence('$resource', :token)");
	$session->ask("UPDATE stock SET amount = $amount");
	return;
}

# wait_in_line(RESOURCE) gives a session that waits for a resource, and reads
# what was written when it has it.
sub wait_in_line
{
	my ($resource) = @_;
	my $session = DlockSession->new($node);

	$session->ask(q{SET dlock.client = 'next'});
	$session->ask('SET dlock.durable = off');
	$session->tell("SELECT dlock_acquire('$resource') > 0; SELECT amount FROM stock");
	poll_rows($node, "SELECT count(*) FROM dlock_queue('$resource')", '1');
	return $session;
}

# run_out(RESOURCE, CLIENT) waits until a lease has no time left.
sub run_out
{
	my ($resource, $client) = @_;

	on_node("SET dlock.durable = off;
		SELECT dlock_set_options('$resource', ttl => '1 ms', client => '$client')");
	return poll_rows($node,
		"SELECT remaining FROM dlock_list('$client') WHERE resource = '$resource'",
		'00:00:00');
}

my $stopped = begin_fenced('stock:stop', 'stopped');
my $holder = hold_commit($stopped);
write_fenced($stopped, 'stock:stop', 1001);
$stopped->ask('INSERT INTO emptied VALUES (1)');
$stopped->tell('COMMIT');
wait_blocked($stopped);
kill('STOP', $stopped->pid);
my $waiting = wait_in_line('stock:stop');
run_out('stock:stop', 'stopped');
is(on_node(q{SELECT waiters FROM dlock_status('stock:stop')}),
	'1', 'stopped while it commits: nobody is granted the resource');
$holder->ask('COMMIT');
is(on_node(q{SELECT client FROM dlock_list() WHERE resource = 'stock:stop'}),
	'stopped', 'nor when nothing but the stopped process is in the way');
kill('CONT', $stopped->pid);
is($stopped->answer, '', 'it commits');
is($waiting->answer, "t\n1001", 'and the next holder reads what it wrote');
$_->quit foreach $stopped, $holder, $waiting;

# waits(SESSION) tells whether a session waits for a standby, once it does or has
# its answer.
sub waits
{
	my ($session) = @_;
	my $is_waiting = 'SELECT 1 FROM pg_stat_activity WHERE pid = '
	  . $session->pid . q{ AND wait_event = 'SyncRep'};

	return poll_until('it waits or is answered',
		sub { on_node($is_waiting) ? 'yes' : $session->answered && 'no' }) eq 'yes';
}

# commits_wait() tells whether commits wait for standbys.
sub commits_wait
{
	my $probe = DlockSession->new($node);
	my $result;

	$probe->tell(q{SELECT pg_logical_emit_message(true, 'probe', '')});
	$result = waits($probe);
	on_node('SELECT pg_cancel_backend(' . $probe->pid . ')') if $result;
	$probe->answer;
	$probe->quit;
	return $result;
}

# set_standbys(NAMES) makes commits wait for standbys, or for none.  What the
# setting shows is not yet what commits do: another process has to see it.
sub set_standbys
{
	my ($names) = @_;

	$node->adjust_conf('postgresql.conf', 'synchronous_standby_names', "'$names'");
	$node->reload;
	return poll_until("commits wait for '$names'",
		sub { commits_wait() == ($names ne '') });
}

foreach my $end (qw(cancel terminate))
{
	my $amount = $end eq 'cancel' ? 1002 : 1003;
	my $session = begin_fenced("stock:$end", 'replicated');

	write_fenced($session, "stock:$end", $amount);
	$session->ask("SELECT dlock_release('stock:$end')") if $end eq 'terminate';
	set_standbys('nobody');
	$session->tell('COMMIT');
	ok(waits($session), "$end: a commit waits for a standby");
	$waiting = wait_in_line("stock:$end");
	run_out("stock:$end", 'replicated');
	is(on_node("SELECT waiters FROM dlock_status('stock:$end')"),
		'1', "a commit that waits for a standby: nobody is granted the resource");
	# what an administrator asks for comes after it as well
	my $force = DlockSession->new($node);

	$force->tell("SELECT dlock_force_release('stock:$end')");
	poll_rows($node, 'SELECT wait_event_type FROM pg_stat_activity WHERE pid = '
		  . $force->pid, 'Extension');
	on_node("SELECT pg_${end}_backend(" . $session->pid . ')');
	like($force->answer, qr/^[01]$/, "${end}: dlock_force_release has come to its end");
	poll_rows($node, "SELECT holder FROM dlock_status('stock:$end')", 'next');
	ok(!$waiting->answered, "${end}: the next holder is not told before the end is confirmed");
	set_standbys('');
	like($waiting->answer, qr/^t\n$amount$/,
		"${end}: the commit has been made here, and the next holder reads it");
	$_->quit foreach $waiting, $force;
	$session->close;
}
expect_log(
	$node,
	qr/client backend .*WARNING:  canceling (?:the )?wait for synchronous replication/,
	qr/client backend .*FATAL:  terminating connection due to unexpected postmaster exit/,
	qr/client backend .*FATAL:  terminating connection due to administrator command/);

#
# Crash
#
# in the commit, before its record: it has not happened, and the lease is there
my $crashed = begin_fenced('stock:crash', 'crashed');
$holder = hold_commit($crashed);
my $token = $crashed->ask('SELECT :token');
my $amount = on_node('SELECT amount FROM stock');
write_fenced($crashed, 'stock:crash', 1004);
$crashed->ask('INSERT INTO emptied VALUES (1)');
$crashed->tell('COMMIT');
wait_blocked($crashed);
run_out('stock:crash', 'crashed');
crash($node);
$_->close foreach $crashed, $holder;
poll_ready($node);
is(on_node('SELECT amount FROM stock'), $amount, 'crash before the commit record: not written');

# behind it: it has happened, and the lease is there as well
$crashed = begin_fenced('stock:crash2', 'crashed');
$token = $crashed->ask('SELECT :token');
write_fenced($crashed, 'stock:crash2', 1005);
set_standbys('nobody');
$crashed->tell('COMMIT');
ok(waits($crashed), 'crash: a commit waits for a standby');
$node->adjust_conf('postgresql.conf', 'synchronous_standby_names', q{''});
crash($node);
$crashed->close;
poll_ready($node);
is(on_node('SELECT amount FROM stock'), '1005', 'crash behind the commit record: written');
is( on_node(q{SELECT token, remaining > '50 min' FROM dlock_list('crashed') WHERE resource = 'stock:crash2'}),
	"$token|t", 'the lease is there, with its time');
is(state("BEGIN; SELECT dlock_fence('stock:crash2', $token); COMMIT"),
	'', 'and can be fenced');

#
# Protected tables elsewhere
#
on_node(q{
	CREATE SCHEMA names;
	CREATE FUNCTION names.of(int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'item:' || $1 $$;
	CREATE TABLE item (id int PRIMARY KEY, region int) ;
	CREATE TABLE part (id int, region int) PARTITION BY LIST (region);
	CREATE TABLE part1 (region int, id int);
	ALTER TABLE part ATTACH PARTITION part1 FOR VALUES IN (1);
	INSERT INTO item VALUES (1, 1);
	INSERT INTO part VALUES (1, 1);
	SET search_path = names, public;
	SELECT dlock_protect('item', 'names.of(id)');
	SELECT dlock_protect('part', '''part:'' || id');
	CREATE DATABASE restored;
	CREATE DATABASE subscriber;
});

# a dump and a restore
my $dump = "$PostgreSQL::Test::Utils::tmp_check/fencing.dump";
my ($rc, $out, $err) = run_bounded(
	[ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ]);
is("$rc$err", '0', 'pg_dump');
($rc, $out, $err) = run_bounded([ 'pg_restore', '-e', '-d', $node->connstr('restored'), $dump ]);
is("$rc$err", '0', 'pg_restore');
poll_ready($node, 'restored');
is(on_node('SELECT (SELECT count(*) FROM item), (SELECT count(*) FROM part)', 'restored'),
	'1|1', 'restored: the rows');
is(state('UPDATE item SET region = 2', 'restored'), 'LK002', 'restored: protected');
is(state('UPDATE part1 SET id = 2', 'restored'), 'LK002', 'restored: protected partition');
is(state('TRUNCATE part1', 'restored'), 'LK002', 'restored: no TRUNCATE of a partition');
is( on_node(q{SELECT dlock_acquire('item:1') > 0; UPDATE item SET region = 2 RETURNING region;
	SELECT dlock_unprotect('part')}, 'restored'),
	"t\n2\nt", 'restored: works');

# logical replication
on_node('CREATE EXTENSION dlock', 'subscriber');
on_node(q{CREATE TABLE item (id int PRIMARY KEY, region int);
	SELECT dlock_protect('item', '''item:'' || id')}, 'subscriber');
on_node(q{
	CREATE PUBLICATION items FOR TABLE item;
	SELECT pg_create_logical_replication_slot('items', 'pgoutput')});
on_node(sprintf(q{CREATE SUBSCRIPTION items CONNECTION '%s' PUBLICATION items
	WITH (create_slot = false, slot_name = items)}, $node->connstr('postgres') =~ s/'/''/gr),
	'subscriber');
poll_rows($node, 'SELECT id FROM item', '1', 'subscriber');
on_node(q{SELECT dlock_acquire('item:2') > 0; INSERT INTO item VALUES (2, 1)});
poll_rows($node, 'SELECT max(id) FROM item', '2', 'subscriber');
pass('replication: applied changes are not checked');
is(state('DELETE FROM item', 'subscriber'), 'LK002', 'replication: others are');
on_node('ALTER TABLE item ENABLE ALWAYS TRIGGER dlock_protect', 'subscriber');
my $position = log_position($node);
on_node(q{SELECT dlock_acquire('item:3') > 0; INSERT INTO item VALUES (3, 1)});
$node->wait_for_log(
	qr/logical replication (?:\w+ )?worker .*ERROR:  cannot write to table "item" without holding resource "item:3"/,
	$position);
is(on_node('SELECT max(id) FROM item', 'subscriber'),
	'2', 'replication: refused where the trigger fires always');
expect_log(
	$node,
	qr/logical replication (?:\w+ )?worker .*ERROR:  cannot write to table "item"/,
	apply_retries());
on_node(q{DROP SUBSCRIPTION items}, 'subscriber');

# a foreign table that becomes a partition later
on_node(sprintf q{
	CREATE EXTENSION postgres_fdw;
	CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'postgres');
	CREATE USER MAPPING FOR CURRENT_USER SERVER here;
	CREATE TABLE far (id int, region int);
	CREATE FOREIGN TABLE part2 PARTITION OF part FOR VALUES IN (2) SERVER here OPTIONS (table_name 'far')},
	$node->host, $node->port);
is(state('INSERT INTO part VALUES (1, 2)'), '0A000', 'a foreign partition cannot be written to');
is(on_node('SELECT count(*) FROM far'), '0', 'and nothing was');
expect_log($node, qr/client backend .*ERROR:  cannot protect foreign table/);

# Virtual generated columns, which PostgreSQL 18 brought: they have no value in
# the row that the trigger sees.
SKIP:
{
	skip 'no virtual generated columns before PostgreSQL 18', 7
	  if on_node('SHOW server_version_num') < 180000;

	my $mine = q{SET dlock.client = 'virtual'; };

	on_node(q{
		CREATE TABLE virtual (id int, name text GENERATED ALWAYS AS ('virtual:' || id::text));
		SELECT dlock_protect('virtual', 'name')});
	on_node(qq{$mine SELECT dlock_acquire('virtual:' || id, ttl := '1 h') FROM generate_series(2, 3) AS id});
	is(state("$mine INSERT INTO virtual VALUES (1)"), 'LK002', 'a virtual column: INSERT of a row that is not locked');
	is(state("$mine INSERT INTO virtual VALUES (2)"), '', 'INSERT of one that is');
	is(state("$mine UPDATE virtual SET id = 1"), 'LK002', 'UPDATE to a row that is not locked');
	is(state("$mine UPDATE virtual SET id = 3"), '', 'UPDATE to one that is');
	on_node(q{ALTER TABLE virtual ALTER COLUMN name SET EXPRESSION AS ('virtual:' || (id % 2)::text)});
	is(state("$mine UPDATE virtual SET id = 3"), 'LK002', 'another expression counts at once');
	on_node('ALTER TABLE virtual DROP COLUMN name');
	is(state("$mine UPDATE virtual SET id = 4"), '42703', 'a column that was dropped');
	is(state(q{CREATE TABLE virtual_2 (id int, name text GENERATED ALWAYS AS (CASE WHEN id = 1 THEN 'one' ELSE 'other' END));
		SELECT dlock_protect('virtual_2', 'hash_record(virtual_2)::text')}), '42P17', 'not as a part of the whole row');
	expect_log(
		$node,
		qr/client backend .*ERROR:  column "name" does not exist/,
		qr/client backend .*ERROR:  a resource expression cannot use system columns/);
}

# without dlock in memory
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', q{''});
$node->restart;
foreach my $sql ('UPDATE item SET region = 3', 'INSERT INTO part VALUES (2, 1)',
	q{SELECT dlock_fence('item:1', 1)}, q{SELECT dlock_protect('stock', 'id')},
	q{SELECT dlock_unprotect('item')})
{
	is(state($sql), '55000', "not preloaded: $sql");
}
is(state('TRUNCATE item'), 'LK002', 'not preloaded: TRUNCATE');
expect_log($node, qr/client backend .*ERROR:  dlock must be loaded via/);

done_testing();
