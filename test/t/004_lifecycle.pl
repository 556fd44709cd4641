# dlock comes and goes with its library, its extension, its database and its
# owners, and never blocks or breaks the commands that do that: claims
# 6 and 13 of src/README.md.
#
# It could fail if a writer kept a database or a table busy, if a command that
# is refused or rolled back left the writer away, if a copy of a database took
# over the original's leases or tokens, if waiters were forgotten when their
# extension went, or if a session went on with what it knew from before.
use strict;
use warnings;

use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DlockNode qw(dlock_node crash session ask try_ask begin_ask end_ask
  is_waiting backend_pid abandon set_stop clear_stop wait_stopped log_position
  expect_log worker_pid new_database rows try_rows poll_rows poll_ready
  table_matches limit);

my $tempdir = PostgreSQL::Test::Utils::tempdir;
my $token = qr/^\d+$/;

#
# Not preloaded
#

my $bare = PostgreSQL::Test::Cluster->new('bare');
$bare->init;
$bare->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$bare->start;
rows($bare, 'CREATE EXTENSION dlock');
foreach my $call (
	"dlock_acquire('a')", "dlock_try_acquire('a')",
	"dlock_release('a')", 'dlock_release_all()',
	"dlock_renew('a')", 'dlock_renew_all()',
	"dlock_status('a')", 'dlock_list()',
	'dlock_queue()', "dlock_set_options('a', mode := 'shared')",
	"dlock_holds('a')", 'dlock_current_client()',
	"dlock_force_release('a')")
{
	like(
		try_rows($bare, "SELECT * FROM $call"),
		qr/ERROR:  55000: dlock must be loaded via "shared_preload_libraries"\n.*HINT:  Add dlock to/s,
		"not preloaded: $call");
}
is(rows($bare, "SET dlock.client = 'me'; SELECT count(*) FROM dlock.locks"),
	0, 'not preloaded: settings and tables do no harm');
rows($bare, 'CREATE DATABASE bare_copy TEMPLATE postgres', 'template1');
rows($bare, 'DROP EXTENSION dlock');
rows($bare, 'CREATE EXTENSION dlock');
$bare->append_conf('postgresql.conf', "shared_preload_libraries = 'dlock'\n");
$bare->restart;
like(rows($bare, "SELECT dlock_acquire('a', ttl := '10 min', client := 'me')"),
	$token, 'preloaded later on');
like(rows($bare, "SELECT dlock_acquire('a')", 'bare_copy'),
	$token, 'preloaded later on, in another database');
$bare->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$bare->restart;
like(
	try_rows($bare, "SELECT dlock_try_acquire('a')"),
	qr/55000: dlock must be loaded/,
	'not preloaded any more');
$bare->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'dlock'");
$bare->restart;
is(rows($bare, "SELECT holder FROM dlock_status('a')"),
	'me', 'preloaded again: the lease is there');
expect_log($bare, qr/client backend .*ERROR:  dlock must be loaded via/);
$bare->stop;

my $node = dlock_node('lifecycle', <<'EOCONF');
autovacuum = off
allow_in_place_tablespaces = on
EOCONF

# command(SQL, DATABASE, USER) runs a command that nobody may hold up; gives
# its errors.  What takes longer than any wait here may take is held up.
sub command
{
	my ($sql, $dbname, $user) = @_;
	local $ENV{PGOPTIONS} = '-c statement_timeout=' . limit() . 's';

	return try_rows($node, $sql, $dbname, $user);
}

#
# Several databases
#

new_database($node, "life_$_") foreach qw(a b);
foreach my $db (qw(life_a life_b))
{
	like(
		rows($node,
			"SELECT dlock_acquire('same', ttl := '1 h', client := '$db')",
			$db),
		$token,
		"$db: takes the resource");
}
foreach my $db (qw(life_a life_b))
{
	is(rows($node, "SELECT holder FROM dlock_status('same')", $db),
		$db, "$db: holds it");
	is(rows($node, 'SELECT count(*) FROM dlock_list()', $db),
		1, "$db: lists its own leases only");
}
is(rows($node, "SELECT dlock_release_all(client := 'life_b')", 'life_a'),
	0, 'a client of the same name is another one elsewhere');
is(rows($node, "SELECT dlock_release('same', client := 'life_b')", 'life_b'),
	't', 'life_b: releases it');
is(rows($node, "SELECT holder FROM dlock_status('same')", 'life_a'),
	'life_a', 'life_a: does not notice');

#
# DROP EXTENSION and CREATE EXTENSION
#

{
	my %s = map { $_ => session($node, 'life_a') }
	  qw(holder waiter upgrader shared session_holder late);
	my $writer = worker_pid($node, 'dlock writer', 'life_a');

	like(
		ask($s{holder},
			"SELECT dlock_acquire('drop', ttl := '1 h', client := 'holder')"),
		$token,
		'before DROP EXTENSION');
	like(
		ask($s{session_holder},
			"SELECT dlock_acquire('drop-session', scope := 'session')"),
		$token,
		'before DROP EXTENSION: scope session');
	foreach my $client (qw(shared upgrader))
	{
		ask($s{$client},
			"SELECT dlock_acquire('drop-shared', ttl := '1 h', mode := 'shared', client := '$client')"
		);
	}
	begin_ask($s{waiter}, "SELECT dlock_acquire('drop', client := 'waiter')");
	begin_ask($s{upgrader},
		"SELECT dlock_set_options('drop-shared', mode := 'exclusive', client := 'upgrader')"
	);
	poll_rows($node, 'SELECT count(*) FROM dlock_queue()', 2, 'life_a');

	is(command('BEGIN; DROP EXTENSION dlock; ROLLBACK', 'life_a'),
		'', 'DROP EXTENSION, rolled back');
	is( rows($node, "SELECT holder, waiters FROM dlock_status('drop')",
			'life_a'),
		'holder|1',
		'has no effect on who holds and who waits');
	like(
		try_rows(
			$node, "BEGIN; SAVEPOINT s; DROP EXTENSION dlock; ROLLBACK TO s; SELECT dlock_try_acquire('drop-savepoint'); COMMIT",
			'life_a'),
		$token,
		'DROP EXTENSION, rolled back to a savepoint');
	ok(is_waiting($s{$_}), "the $_ waits on") foreach qw(waiter upgrader);

	is(command('DROP EXTENSION dlock', 'life_a'),
		'', 'DROP EXTENSION with holders and waiters');
	foreach my $waiting (qw(waiter upgrader))
	{
		like(
			end_ask($s{$waiting}),
			qr/ERROR:  55000: dlock is no longer available/,
			"the $waiting is told");
	}
	poll_rows($node,
		"SELECT count(*) FROM pg_stat_activity WHERE pid = $writer", 0);
	like(try_ask($s{late}, "SELECT dlock_acquire('drop')"),
		qr/42883: function dlock_acquire/, 'no function, no lease');

	# again in one of the sessions, and used in the others
	is(try_ask($s{holder}, 'CREATE EXTENSION dlock'),
		'', 'CREATE EXTENSION again');
	is( ask($s{session_holder},
			'SELECT count(*) FROM dlock_list()'),
		0, 'no lease has come through');
	is( ask($s{holder}, "SELECT dlock_release('drop', client := 'holder')"),
		'f', 'an old session does not hold its old lease');
	is( ask($s{holder}, "SELECT dlock_release_all(client := 'holder')"),
		0, 'nor any other');
	like(
		ask($s{$_},
			"SELECT dlock_acquire('again-$_', ttl := '1 h', client := '$_')"),
		$token,
		"an old session goes on: $_") foreach sort keys %s;
	like(ask($s{session_holder}, "SELECT dlock_acquire('drop-session', scope := 'session')"),
		$token, 'an old session goes on: scope session');
	$_->quit foreach values %s;
	poll_rows($node, "SELECT status FROM dlock_status('drop-session')",
		'free', 'life_a');
	table_matches($node, 'life_a');
}

# The waiters' writer is stopped in the middle of a batch: DROP EXTENSION
# waits for the batch, as it would for any transaction that uses the table.
{
	my %s = map { $_ => session($node, 'life_b') } qw(fresh drop);
	my $position = log_position($node);

	set_stop($node, 'batch_collected');
	begin_ask($s{fresh}, "SELECT dlock_acquire('drop-flush')");
	wait_stopped($node, 'batch_collected', $position);
	begin_ask($s{drop}, 'DROP EXTENSION dlock');
	poll_rows(
		$node,
		"SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = 'life_b')",
		't');
	clear_stop($node);
	is(end_ask($s{drop}), '', 'DROP EXTENSION while a batch is written');
	# it may have been acknowledged before
	like(end_ask($s{fresh}), qr/^\d+$|55000|42883/,
		'a session that waited for the batch is told');
	is(try_ask($s{drop}, 'CREATE EXTENSION dlock'), '', 'and back again');
	like(ask($s{fresh}, "SELECT dlock_acquire('drop-flush')"),
		$token, 'it works');
	$_->quit foreach values %s;
}

# The waiter's writer is still loading: when that has come to nothing, the waiter
# is told at once, and asks for no other writer.
{
	my %s = map { $_ => session($node, 'life_b') } qw(early drop);
	my $pid = backend_pid($s{early});
	my $position = log_position($node);

	ask($s{drop}, 'DROP EXTENSION dlock');
	set_stop($node, 'leases_loaded');
	ask($s{drop}, 'CREATE EXTENSION dlock');
	wait_stopped($node, 'leases_loaded', $position);
	begin_ask($s{early}, "SELECT dlock_acquire('drop-load')");
	poll_rows($node, 'SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $pid, 'Extension');
	ask($s{drop}, 'DROP EXTENSION dlock');
	ok(is_waiting($s{early}), 'a session waits while the leases are loaded');
	clear_stop($node);
	like(
		end_ask($s{early}),
		qr/ERROR:  55000: dlock is not ready in database "life_b"\n.*DETAIL:  The extension was dropped/s,
		'DROP EXTENSION while the leases are loaded');
	is(try_ask($s{drop}, 'CREATE EXTENSION dlock'), '', 'and back again');
	like(ask($s{early}, "SELECT dlock_acquire('drop-load')"), $token, 'it works');
	$_->quit foreach values %s;
}

# A DROP DATABASE that was interrupted leaves a database that no process can
# connect to.  No writer is started for it.
{
	my $position;

	new_database($node, 'life_half');
	like(rows($node, "SELECT dlock_acquire('half', ttl := '1 h', client := 'half')", 'life_half'),
		$token, 'a lease in a database');
	$position = log_position($node);
	rows($node, q{UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'life_half'});
	rows($node, 'SELECT pg_terminate_backend(' . worker_pid($node, 'dlock writer', 'life_half') . ')');
	# the launcher comes by that entry before it comes to this one
	new_database($node, 'life_next');
	is(rows($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dlock writer' AND datname = 'life_half'}),
		0, 'half dropped, it has no writer');
	unlike(slurp_file($node->logfile, $position), qr/dlock writer .*invalid database/, 'and none was started');
	rows($node, 'DROP DATABASE life_half');
	rows($node, 'DROP DATABASE life_next');
}

# A transaction that creates the extension cannot use it yet; one that does
# not commit leaves nothing.
{
	my $session = session($node, 'life_b');

	rows($node, 'DROP EXTENSION dlock', 'life_b');
	is(try_ask($session, 'BEGIN; CREATE EXTENSION dlock'),
		'', 'CREATE EXTENSION in a transaction');
	like(
		try_ask($session, "SELECT dlock_acquire('early')"),
		qr/ERROR:  55000: dlock is not ready in database "life_b"\n.*HINT:  Commit the transaction first/s,
		'a call in the transaction that creates the extension');
	ask($session, 'ROLLBACK');
	like(try_ask($session, "SELECT dlock_acquire('early')"),
		qr/42883: function dlock_acquire/, 'CREATE EXTENSION, rolled back');
	is( try_ask($session, 'BEGIN; CREATE EXTENSION dlock; COMMIT'),
		'', 'CREATE EXTENSION, committed');
	like(ask($session, "SELECT dlock_acquire('early', ttl := '1 h', scope := 'lease')"),
		$token, 'and now it works');
	# The old leases must be gone when the commit returns, and the first call
	# must be served; often, for it was once left to the writer's next turn.
	foreach my $way (
		'DROP EXTENSION dlock; CREATE EXTENSION dlock',
		'BEGIN; DROP EXTENSION dlock; CREATE EXTENSION dlock; COMMIT')
	{
		my @answers;

		foreach my $n (1 .. 15)
		{
			ask($session, $way);
			push @answers,
			  ask($session, "SELECT status FROM dlock_status('early')"),
			  try_ask($session,
				"SELECT dlock_acquire('early', ttl := '1 h', scope := 'lease')") =~ s/^\d+$/token/r,
			  ask($session, "SELECT status FROM dlock_status('early')");
		}
		is(join("\n", @answers), join("\n", ('free', 'token', 'exclusive') x 15),
			"a new beginning, each time: $way");
	}
	$session->quit;
}

# It is replaced, and the backend that has done that has not sent its
# invalidation messages yet: a session that comes by meanwhile waits for the new
# leases, and does not take the extension for dropped.
{
	my %s = map { $_ => session($node, 'life_b') } qw(user owner);
	my $pid = backend_pid($s{user});
	my $position = log_position($node);

	# what it knows of the catalogs is that of the old one
	like(ask($s{user}, "SELECT dlock_acquire('replaced')"), $token, 'a session knows the extension');
	# now it knows the schema, and has to look for the table
	rows($node, 'VACUUM ANALYZE dlock.locks', 'life_b');
	set_stop($node, 'extension_changed');
	begin_ask($s{owner}, 'BEGIN; DROP EXTENSION dlock; CREATE EXTENSION dlock; COMMIT');
	wait_stopped($node, 'extension_changed', $position);
	begin_ask($s{user}, "SELECT dlock_acquire('replaced')");
	poll_rows($node, "SELECT wait_event_type = 'Extension' OR state <> 'active' FROM pg_stat_activity WHERE pid = $pid", 't');
	clear_stop($node);
	is(end_ask($s{owner}), '', 'it is replaced');
	like(end_ask($s{user}), $token, 'and the new one serves the session, which came by in between');
	$_->quit foreach values %s;
}

# The extension is replaced while a transaction is open that has named it, knows
# it from before, and has changed nothing.  Its commit once shut the gate of the
# new extension, and no process opened it again.
{
	my $session = session($node, 'life_b');

	like(ask($session, "BEGIN; SELECT dlock_acquire('named', client := 'before')"),
		$token, 'a transaction knows the extension');
	like(
		try_ask($session, 'CREATE EXTENSION IF NOT EXISTS dlock'),
		qr/already exists, skipping/,
		'and names it');
	rows($node, 'DROP EXTENSION dlock', 'life_b');
	rows($node, 'CREATE EXTENSION dlock', 'life_b');
	like(rows($node, "SELECT dlock_acquire('named', client := 'after')", 'life_b'),
		$token, 'another session replaces it');
	ask($session, 'COMMIT');
	like(try_ask($session, "SELECT dlock_acquire('later', client := 'after')"),
		$token, 'and the new one goes on when that transaction ends');
	$session->quit;
}

# It cannot be dropped by a transaction that another session may commit.
{
	like(try_rows($node, "BEGIN; DROP EXTENSION dlock; CREATE EXTENSION dlock; PREPARE TRANSACTION 'drop'", 'life_b'),
		qr/0A000: cannot PREPARE a transaction that has dropped the extension "dlock"/,
		'DROP EXTENSION cannot be prepared');
	like(try_rows($node, "BEGIN; SAVEPOINT s; DROP EXTENSION dlock; ROLLBACK TO s; PREPARE TRANSACTION 'drop'", 'life_b'),
		qr/^$/, 'unless it was rolled back');
	rows($node, "ROLLBACK PREPARED 'drop'", 'life_b');
	is(rows($node, "SELECT dlock_holds('later', client := 'after')", 'life_b'),
		't', 'and leases stay as they are');
}

# The extension goes with its schema.
{
	my %s = map { $_ => session($node, 'life_b') } qw(waiter drop);

	rows($node,
		'DROP EXTENSION dlock; CREATE SCHEMA life; CREATE EXTENSION dlock SCHEMA life',
		'life_b');
	ask($s{drop}, "SELECT life.dlock_acquire('schema', ttl := '1 h', client := 'x')");
	begin_ask($s{waiter}, "SELECT life.dlock_acquire('schema')");
	poll_rows($node, 'SELECT count(*) FROM life.dlock_queue()', 1, 'life_b');
	unlike(try_ask($s{drop}, 'DROP SCHEMA life CASCADE'),
		qr/ERROR/, 'DROP SCHEMA ... CASCADE');
	like(
		end_ask($s{waiter}),
		qr/55000: dlock is no longer available/,
		'tells the waiters');
	rows($node, 'CREATE EXTENSION dlock', 'life_b');
	like(ask($s{waiter}, "SELECT dlock_acquire('schema')"),
		$token, 'and the next extension works');
	$_->quit foreach values %s;
}

#
# Databases
#

# A database is dropped with all its leases, and its number of registry
# entries does not run out.
foreach my $n (1 .. 3)
{
	new_database($node, 'life_drop');
	rows($node,
		"SELECT dlock_acquire('drop/' || g, ttl := '1 h', client := 'drop') FROM generate_series(1, 20) g",
		'life_drop');
	is(command('DROP DATABASE life_drop'), '', "DROP DATABASE, $n");
}

# Somebody is connected: refused, and the writer comes back; by force: gone.
{
	my %s;
	my $writer;

	new_database($node, 'life_drop');
	%s = map { $_ => session($node, 'life_drop') } qw(holder waiter fresh);
	ask($s{holder}, "SELECT dlock_acquire('force', ttl := '1 h', client := 'h')");
	begin_ask($s{waiter}, "SELECT dlock_acquire('force', client := 'w')");
	poll_rows($node, 'SELECT count(*) FROM dlock_queue()', 1, 'life_drop');
	foreach my $refused (
		'DROP DATABASE life_drop',
		'ALTER DATABASE life_drop RENAME TO life_dropped',
		'CREATE DATABASE life_copy TEMPLATE life_drop')
	{
		like(command($refused), qr/55006: /,
			"refused while somebody is connected: $refused");
		like(ask($s{fresh}, "SELECT dlock_acquire('after the refusal', client := 'w')"),
			$token, 'and the writer is back');
	}
	ok(is_waiting($s{waiter}), 'the waiter did not notice');
	is(command('DROP DATABASE life_drop WITH (FORCE)'),
		'', 'DROP DATABASE WITH (FORCE) with holders and waiters');
	unlike(abandon($s{$_}), qr/^\d+$/m, "no grant was told: $_")
	  foreach qw(waiter);
	abandon($_) foreach @s{qw(holder fresh)};
}

# Renamed, moved, copied.
rows($node, "CREATE TABLESPACE life_space LOCATION ''");
{
	my $before;
	my $newest;

	new_database($node, 'life_1');
	# released and not yet written, held, shared, long since written
	$newest = rows(
		$node,
		"SELECT max(dlock_acquire('move/' || g, ttl := '1 h', mode := 'shared', client := 'move')) FROM generate_series(1, 20) g",
		'life_1');
	$before = rows($node,
		'SELECT resource, token, client, mode, hold_count FROM dlock_list() ORDER BY 1',
		'life_1');

	is(command('ALTER DATABASE life_1 RENAME TO life_2'),
		'', 'ALTER DATABASE RENAME');
	is( rows(
			$node,
			'SELECT resource, token, client, mode, hold_count FROM dlock_list() ORDER BY 1',
			'life_2'),
		$before,
		'keeps all leases');
	cmp_ok(rows($node, "SELECT dlock_acquire('next', scope := 'lease')", 'life_2'),
		'>', $newest, 'and takes new ones');
	is(command('BEGIN; ALTER DATABASE life_2 RENAME TO life_3; ROLLBACK'),
		'', 'ALTER DATABASE RENAME, rolled back');
	cmp_ok(rows($node, "SELECT dlock_acquire('next-2', scope := 'lease')", 'life_2'),
		'>', $newest, 'and still takes new ones');
	is(command('ALTER DATABASE life_2 SET TABLESPACE life_space'),
		'', 'ALTER DATABASE SET TABLESPACE');
	is( rows(
			$node,
			"SELECT resource, token, client, mode, hold_count FROM dlock_list('move') ORDER BY 1",
			'life_2'),
		$before,
		'keeps all leases');
	cmp_ok(rows($node, "SELECT dlock_acquire('next-3', scope := 'lease')", 'life_2'),
		'>', $newest, 'and takes new ones');

	$newest = rows($node, 'SELECT max(token) FROM dlock_list()', 'life_2');
	foreach my $strategy (qw(wal_log file_copy))
	{
		my $copy = "life_copy_$strategy";
		my $mine;

		is( command(
				"CREATE DATABASE $copy TEMPLATE life_2 STRATEGY $strategy"),
			'',
			"CREATE DATABASE TEMPLATE, $strategy");
		is(rows($node, 'SELECT count(*) FROM dlock_list()', $copy),
			0, 'the copy has no leases');
		$mine = rows($node,
			"SELECT dlock_acquire('move/1', ttl := '1 h', client := 'copy')", $copy);
		cmp_ok($mine, '>', $newest, 'its tokens continue above');
		is( rows($node, 'SELECT count(*) FROM dlock.locks', $copy),
			1, 'its table is its own');
		is( rows(
				$node,
				"SELECT count(*) FROM dlock.clients WHERE name = 'move'",
				$copy),
			1,
			'it knows the clients');
		is( rows(
				$node,
				"SELECT resource, token, client, mode, hold_count FROM dlock_list('move') ORDER BY 1",
				'life_2'),
			$before,
			'the original keeps its leases');
		cmp_ok(
			rows($node, "SELECT dlock_acquire('next-$strategy', scope := 'lease')", 'life_2'),
			'>', $newest, 'and takes new ones');
	}

	# all of that again from the tables alone
	crash($node);
	is( rows(
			$node,
			"SELECT resource, token, client, mode, hold_count FROM dlock_list('move') ORDER BY 1",
			'life_2'),
		$before,
		'the original after a crash');
	is( rows($node, 'SELECT resource, client FROM dlock_list()',
			'life_copy_wal_log'),
		'move/1|copy',
		'the copy after a crash');
	is(command("DROP DATABASE $_"), '', "DROP DATABASE $_")
	  foreach qw(life_2 life_copy_wal_log life_copy_file_copy);
}

# The same while the writer is at work, or cannot go on with it.
foreach my $at (qw(batch_collected rows_written rows_flushed))
{
	my $session;
	my $position;

	new_database($node, 'life_1');
	$session = session($node, 'life_1');
	ask($session,
		"SET dlock.durable = off; SELECT dlock_acquire('at', ttl := '1 h', client := 'at')"
	);
	table_matches($node, 'life_1');
	$position = log_position($node);
	set_stop($node, $at);
	ask($session,
		"SELECT dlock_acquire('at-2', ttl := '1 h', client := 'at')");
	wait_stopped($node, $at, $position);
	$session->quit;
	poll_rows($node,
		"SELECT count(*) FROM pg_stat_activity WHERE datname = 'life_1' AND backend_type = 'client backend'",
		0);
	is(command('ALTER DATABASE life_1 RENAME TO life_2'),
		'', "ALTER DATABASE RENAME, writer at $at");
	is( command('CREATE DATABASE life_3 TEMPLATE life_2'),
		'', "CREATE DATABASE TEMPLATE, writer at $at");
	clear_stop($node);
	is( rows($node, 'SELECT resource FROM dlock_list() ORDER BY 1', 'life_2'),
		"at\nat-2",
		"nothing was lost, writer at $at");
	table_matches($node, 'life_2');
	is(rows($node, 'SELECT count(*) FROM dlock_list()', 'life_3'),
		0, "the copy has no leases, writer at $at");
	# It has left that point once it has made another lease durable.  Else it could
	# read the configuration only when that says again where to stop, and say so
	# no second time.
	rows($node, "SELECT dlock_acquire('flushed', client := 'at')", 'life_2');
	set_stop($node, $at);
	$position = log_position($node);
	rows($node,
		"SET dlock.durable = off; SELECT dlock_acquire('at-3', client := 'at')",
		'life_2');
	wait_stopped($node, $at, $position);
	is(command('DROP DATABASE life_2'), '', "DROP DATABASE, writer at $at");
	clear_stop($node);
	is(command('DROP DATABASE life_3'), '', "DROP DATABASE, writer at $at");
}

# A database from a template with the extension is ready at once.
rows($node, 'CREATE DATABASE life_template IS_TEMPLATE true');
rows($node, 'CREATE EXTENSION dlock', 'life_template');
rows($node, "SELECT dlock_acquire('t', ttl := '1 h', scope := 'lease')", 'life_template');
is(command('CREATE DATABASE life_1 TEMPLATE life_template'),
	'', 'CREATE DATABASE from a template with the extension');
like(rows($node, "SELECT dlock_acquire('t')", 'life_1'),
	$token, 'has dlock ready');
is(command('ALTER DATABASE life_1 WITH CONNECTION LIMIT 10'),
	'', 'another ALTER DATABASE');

# Who may not do it does not disturb it either.
{
	my $writer = worker_pid($node, 'dlock writer', 'life_1');

	rows($node, 'CREATE ROLE life_nobody LOGIN; CREATE ROLE life_maker LOGIN CREATEDB');
	foreach my $try (
		[ 'life_nobody', "SELECT pg_terminate_backend($writer)", '42501' ],
		[ 'life_nobody', "SELECT pg_cancel_backend($writer)", '42501' ],
		[ 'life_nobody', 'DROP DATABASE life_1', '42501' ],
		[ 'life_nobody', 'DROP DATABASE life_1 WITH (FORCE)', '42501' ],
		[ 'life_nobody', 'ALTER DATABASE life_1 RENAME TO x', '42501' ],
		[ 'life_nobody', 'ALTER DATABASE life_1 SET TABLESPACE life_space', '42501' ],
		[ 'life_nobody', 'CREATE DATABASE x TEMPLATE life_1', '42501' ],
		[ 'life_maker', 'CREATE DATABASE x TEMPLATE life_1', '42501' ],
		[ 'life_maker', 'DROP DATABASE life_1', '42501' ],
		[ 'life_nobody', 'DROP EXTENSION dlock', '42501' ],
		[ 'life_nobody', 'BEGIN; LOCK TABLE dlock.locks', '42501' ],
		[ 'life_nobody', 'CREATE INDEX ON dlock.locks (id)', '42501' ],
		[ 'life_nobody', "SELECT dlock_force_release('t')", '42501' ],
		[ 'life_nobody', "SET dlock.debug_stop = 'rows_written'", '42501' ])
	{
		my ($user, $sql, $state) = @$try;

		# a transaction block would be another error
		like(command($sql, $sql =~ /DATABASE/ ? 'postgres' : 'life_1', $user),
			qr/ERROR:  $state:/, "$user: $sql");
		is( rows($node,
				"SELECT pid FROM pg_stat_activity WHERE backend_type = 'dlock writer' AND datname = 'life_1'"
			),
			$writer,
			'the writer stays');
	}
	like(rows($node, "SELECT dlock_acquire('nobody')", 'life_1', 'life_nobody'),
		$token, 'while anybody may take a lease');
}

#
# Dump and restore
#

{
	my $dump = "$tempdir/life_1.sql";
	my $custom = "$tempdir/life_1.dump";
	my $waiter = session($node, 'life_1');
	my ($newest, $clients, $script);
	my $clients_sql =
	  q{SELECT id, name, role, created_at FROM dlock.clients WHERE name ~ '^dump-([1-5]|role)$' ORDER BY id};

	rows(
		$node, 'CREATE ROLE life_owner; GRANT life_owner TO life_maker;
		SELECT count(dlock_acquire(\'dump/\' || g, ttl := \'1 h\', client := \'dump-\' || g)) FROM generate_series(1, 5) g',
		'life_1');
	rows(
		$node,
		"SET ROLE life_owner; SELECT dlock_acquire('dump-role', ttl := '1 h', client := 'dump-role')",
		'life_1');
	begin_ask($waiter,
		"SELECT dlock_acquire('dump/1', client := 'dump-waiter')");
	poll_rows($node, 'SELECT count(*) FROM dlock_queue()', 1, 'life_1');
	poll_rows($node,
		"SELECT count(*) FROM dlock.clients WHERE name ~ '^dump-([1-5]|role)\$'",
		6, 'life_1');
	$clients = rows($node, $clients_sql, 'life_1');
	$newest = rows($node, 'SELECT max(token) FROM dlock_list()', 'life_1');
	# whatever was given out before, and is not to be seen any more
	rows(
		$node,
		"SELECT dlock_acquire('dump-gone', client := 'dump-1'); SELECT dlock_release('dump-gone', client := 'dump-1')",
		'life_1');

	$node->command_ok(
		[ 'pg_dump', '-f', $dump, '-d', $node->connstr('life_1') ],
		'pg_dump while leases are held and waited for');
	$node->command_ok(
		[ 'pg_dump', '-Fc', '-f', $custom, '-d', $node->connstr('life_1') ],
		'pg_dump -Fc');
	$node->command_ok([ 'pg_dumpall', '-f', "$tempdir/all.sql" ],
		'pg_dumpall');
	$script = slurp_file($dump);
	unlike($script, qr{dump/1}, 'a dump carries no leases');
	ok(is_waiting($waiter), 'the waiter did not notice');
	rows($node, "SELECT dlock_force_release('dump/1')", 'life_1');
	like(end_ask($waiter), $token, 'and is served');
	$waiter->quit;

	# In steps, so that the writer is there before the dump's rows are; all at
	# once; and in one transaction.
	foreach my $way ('in steps', 'plain', 'pg_restore', 'pg_restore -1')
	{
		my $db = 'life_' . ($way =~ s/\W+/_/gr);

		rows($node, "CREATE DATABASE $db TEMPLATE template0");
		if ($way eq 'in steps')
		{
			rows($node, 'CREATE EXTENSION dlock', $db);
			is(rows($node, 'SELECT count(*) FROM dlock_list()', $db),
				0, "$way: the writer has loaded");
		}
		if ($way =~ /^pg_restore/)
		{
			$node->command_ok(
				[
					'pg_restore', $way =~ /-1/ ? '-1' : '-e',
					'-d', $node->connstr($db), $custom
				],
				"$way");
		}
		else
		{
			$node->command_ok(
				[
					'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump,
					'-d', $node->connstr($db)
				],
				"restore, $way");
		}
		is(rows($node, 'SELECT count(*) FROM dlock_list()', $db),
			0, "$way: no lease comes along");
		cmp_ok(
			rows($node, "SELECT dlock_acquire('new', ttl := '1 h', client := 'dump-1')", $db),
			'>',
			$newest + 1,
			"$way: the first token is above all of the old database");
		is(rows($node, $clients_sql, $db), $clients,
			"$way: clients and their roles are there");
		like(
			try_rows($node, "SELECT dlock_acquire('other', client := 'dump-role')",
				$db, 'life_nobody'),
			qr/42501: permission denied for dlock client "dump-role"/,
			"$way: a client belongs to its role");
		rows($node, "SELECT dlock_acquire('added', client := 'added')", $db);
		poll_rows(
			$node,
			"SELECT id > (SELECT max(id) FROM dlock.clients WHERE name LIKE 'dump-%') FROM dlock.clients WHERE name = 'added'",
			't',
			$db);
		table_matches($node, $db);
	}
	crash($node);
	foreach my $way ('in_steps', 'plain', 'pg_restore', 'pg_restore_1')
	{
		is( rows($node, "SELECT holder FROM dlock_status('new')",
				"life_$way"),
			'dump-1',
			"$way: what was taken there survives a crash");
		is(command("DROP DATABASE life_$way"), '', "DROP DATABASE life_$way");
	}
}

#
# Roles
#

{
	my $oid;
	my $expected;

	rows($node, 'CREATE ROLE life_leaver LOGIN');
	rows($node, "SELECT dlock_acquire('role', ttl := '1 h', client := 'leaver')",
		'life_1', 'life_leaver');
	$oid = rows($node, "SELECT 'life_leaver'::regrole::oid");
	poll_rows($node, "SELECT role FROM dlock.clients WHERE name = 'leaver'",
		'life_leaver', 'life_1');
	is(command('DROP ROLE life_leaver'), '', 'DROP ROLE of an owner');
	foreach my $when ('after DROP ROLE', 'after DROP ROLE and a crash')
	{
		is( rows(
				$node, "SELECT role, client FROM dlock_list('leaver')",
				'life_1'),
			"$oid|leaver",
			"the lease is still listed $when");
		like(
			try_rows(
				$node,
				"SELECT dlock_release('role', client := 'leaver')",
				'life_1', 'life_nobody'),
			qr/42501: permission denied for dlock client "leaver"\n.*The role that the client belongs to no longer exists/s,
			"the client is nobody else's $when");
		crash($node) if $when eq 'after DROP ROLE';
	}
	is( rows(
			$node, "SELECT dlock_renew('role', client := 'leaver') IS NOT NULL",
			'life_1'),
		't',
		'a superuser may act for it');
	$node->command_ok(
		[
			'pg_dump', '-f', "$tempdir/leaver.sql", '-d',
			$node->connstr('life_1')
		],
		'pg_dump with a client whose role is gone');
	rows($node, 'CREATE DATABASE life_leaver TEMPLATE template0');
	$node->command_ok(
		[
			'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1',
			'-f', "$tempdir/leaver.sql", '-d', $node->connstr('life_leaver')
		],
		'restored');
	is( rows($node, "SELECT dlock_force_release('role')", 'life_1'),
		1, 'the lease can be ended');
	# one that owns the database and the extension
	rows($node, 'CREATE ROLE life_boss LOGIN CREATEDB SUPERUSER');
	rows($node, 'CREATE DATABASE life_boss', 'postgres', 'life_boss');
	rows($node, 'CREATE EXTENSION dlock', 'life_boss', 'life_boss');
	rows($node, "SELECT dlock_acquire('boss', ttl := '1 h', client := 'boss')",
		'life_boss', 'life_boss');
	is( command(
			"REASSIGN OWNED BY life_boss TO CURRENT_USER; DROP OWNED BY life_boss",
			'life_boss'),
		'',
		'REASSIGN OWNED, DROP OWNED of the extension\'s owner');
	is(command('DROP ROLE life_boss', 'life_boss'),
		'', 'DROP ROLE of the extension\'s owner');
	like(rows($node, "SELECT dlock_acquire('boss-2')", 'life_boss'),
		$token, 'and dlock goes on');
	is( rows($node, "SELECT client FROM dlock_status('boss'), dlock_list() WHERE dlock_list.resource = 'boss'", 'life_boss'),
		'boss', 'its lease as well');
}

expect_log(
	$node,
	# answers
	qr/client backend .*ERROR:  dlock is no longer available/,
	qr/client backend .*ERROR:  cannot PREPARE a transaction that has dropped the extension/,
	qr/client backend .*ERROR:  function dlock_\w+\(.*\) does not exist/,
	qr/client backend .*ERROR:  dlock is not ready in database "life_b"/,
	qr/client backend .*ERROR:  (?:source )?database "life_drop" is being accessed by other users/,
	qr/client backend .*ERROR:  (?:permission denied|must be owner of|must be a superuser|must be a member)/,
	# DROP DATABASE WITH (FORCE)
	qr/client backend .*FATAL:  terminating connection due to administrator command/,
	# a writer sent away in the middle of a batch
	qr/dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command/,
	# a crash soon after DROP DATABASE: the server removes its files once more
	qr{startup WARNING:  could not open directory "(?:base|pg_tblspc)/.*": No such file},
	qr/startup WARNING:  some useless files may be left behind in old database directory/,
	qr/client backend .*FATAL:  terminating connection due to unexpected postmaster exit/);

done_testing();
