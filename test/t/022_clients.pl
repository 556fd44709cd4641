# A client's name belongs to the role that used it first, from the first durable
# grant on, whatever happens to the server and even while dlock.clients is locked.
# When it was not used for dlock.client_retention, any role can have it.
#
# It could fail if a grant were acknowledged whose client is noted nowhere
# durable, or only in the row of a lease that ends; if what could not be written
# were not tried again; if one new client kept the others of its batch from
# getting their rows, or cost a row's worth of work for each of its leases; if a
# client were forgotten that somebody uses, or one whose row a session has just
# read; if memory remembered what the table has forgotten; or if forgetting kept
# grants waiting.
use strict;
use warnings;

use DlockNode qw(dlock_node crash poll_until session ask try_ask begin_ask
  end_ask is_waiting backend_pid set_stop clear_stop wait_stopped log_position
  expect_log worker_pid new_writer rows try_rows poll_rows poll_ready
  table_matches);
use DlockStandby qw($standby_conf add_standby wait_streaming);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $token = qr/^\d+$/;
my $node = dlock_node('clients', <<EOCONF, allows_streaming => 1);
$standby_conf
autovacuum = off
dlock.client_retention = '30d'
EOCONF

rows($node, <<'EOSQL');
CREATE ROLE clients_alice LOGIN;
CREATE ROLE clients_bob LOGIN;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'refused %', NEW.name; END $$;
EOSQL

# alice(SQL, NODE, DATABASE) and bob(SQL, NODE, DATABASE) give the answer that
# the role gets, whatever it is.
sub alice
{
	my ($sql, $server, $dbname) = @_;
	return try_rows($server // $node, $sql, $dbname // 'postgres', 'clients_alice');
}

sub bob
{
	my ($sql, $server, $dbname) = @_;
	return try_rows($server // $node, $sql, $dbname // 'postgres', 'clients_bob');
}

# belongs(CLIENT, WHAT, NODE, DATABASE): the name is alice's, and bob cannot have it.
sub belongs
{
	my ($client, $what, $server, $dbname) = @_;

	like(bob("SELECT dlock_acquire('thief', client := '$client')", $server, $dbname),
		qr/42501: permission denied for dlock client "\Q$client\E".*role "clients_alice"/s,
		"$what: \"$client\" is still alice's");
	return;
}

# take(CLIENT): alice has a lease as that client.
sub take
{
	my ($client, $resource) = @_;
	my $answer = alice("SELECT dlock_acquire('" . ($resource // $client) . "', ttl := '1 h', client := '$client')");

	die "alice did not get it: $answer" unless $answer =~ $token;
	return $answer;
}

# give(CLIENT): and gives it back.
sub give
{
	my ($client, $resource) = @_;
	my $answer = alice("SELECT dlock_release('" . ($resource // $client) . "', client := '$client')");

	die "alice had it no more: $answer" unless $answer eq 't';
	return;
}

# has_row(CLIENT, NODE, DATABASE) waits until the client has its row, and nothing
# stands in for that.
sub has_row
{
	my ($client, $server, $dbname) = @_;

	return poll_rows($server // $node, <<EOSQL, 'clients_alice|0', $dbname // 'postgres');
SELECT (SELECT role FROM dlock.clients WHERE name = '$client'),
	(SELECT count(*) FROM dlock.locks WHERE owner = '$client' AND status = 'client')
EOSQL
}

#
# Somebody has dlock.clients locked
#

# The lock is in nobody's way but the writer's.
{
	my $locker = session($node);

	ask($locker, 'BEGIN; LOCK TABLE dlock.clients IN SHARE MODE');
	take('locked-held');
	take('locked-released');
	give('locked-released');
	table_matches($node);
	is(rows($node, 'SELECT count(*) FROM dlock.clients'), 0, 'locked: no client has its row');
	belongs($_, 'locked') foreach 'locked-held', 'locked-released';
	crash($node);
	poll_ready($node);
	eval { $locker->quit };
	belongs($_, 'locked, and a crash') foreach 'locked-held', 'locked-released';
	ok(eval { has_row($_) }, "after that, \"$_\" has its row") foreach 'locked-held', 'locked-released';
	is( rows($node, q{SELECT resource, role FROM dlock_list('locked-held')}),
		'locked-held|clients_alice', 'its lease is there');
	give('locked-held');
}

# A lock that goes away while the server runs: nobody has to do anything.
{
	my $locker = session($node);

	ask($locker, 'BEGIN; LOCK TABLE dlock.clients IN SHARE MODE');
	take('freed-held');
	take('freed-released');
	give('freed-released');
	table_matches($node);
	is( rows($node, q{SELECT owner, owner_role FROM dlock.locks WHERE status = 'client' ORDER BY 1}),
		"freed-held|clients_alice\nfreed-released|clients_alice", 'in place of their rows');
	# neither of another writer, nor of another file of the table
	new_writer($node, 'postgres');
	rows($node, 'VACUUM FULL dlock.locks');
	take('freed-held', 'freed-held-2');
	is( rows($node, q{SELECT owner, owner_role FROM dlock.locks WHERE status = 'client' ORDER BY 1}),
		"freed-held|clients_alice\nfreed-released|clients_alice", 'which are written anew');
	ask($locker, 'ROLLBACK');
	$locker->quit;
	ok(eval { has_row($_) }, "when the lock is gone, \"$_\" has its row") foreach 'freed-held', 'freed-released';
	take('freed-held', 'freed-held-3');
	is( rows($node, <<'EOSQL'), 't', 'and the next lease knows of it');
SELECT l.owner_id = c.id FROM dlock.locks l JOIN dlock.clients c ON c.name = l.owner
WHERE l.resource_name = 'freed-held-3' AND l.status = 'held'
EOSQL
	crash($node);
	poll_ready($node);
	belongs($_, 'then a crash') foreach 'freed-held', 'freed-released';
}

# Names that other transactions have half inserted, of which one is rolled back.
{
	my $half = session($node);

	ask($half, <<'EOSQL');
BEGIN;
INSERT INTO dlock.clients (name, role) SELECT 'half-' || i, 'clients_bob' FROM generate_series(1, 20) i
EOSQL
	take("half-$_") foreach 1 .. 20;
	take('whole');
	ok(eval { has_row('whole') }, 'half inserted names keep nobody else from getting a row');
	give("half-$_") foreach 1 .. 20;
	# most likely in one batch
	is( alice(<<'EOSQL'), '21', 'names of both kinds');
SET dlock.durable = off;
SELECT count(dlock_acquire(name, ttl := '1 h', client := name))
FROM (SELECT 'half-' || i FROM generate_series(1, 20) i UNION ALL SELECT 'whole-2') AS n (name)
EOSQL
	ok(eval { has_row('whole-2') }, 'nor do they if there are many');
	give("half-$_") foreach 1 .. 20;
	ask($half, 'ROLLBACK');
	$half->quit;
	ok(eval { has_row("half-$_") }, "half-$_ has its row when they are gone") foreach 1, 20;
}

# Whatever keeps a row from being written may outlast any crash.
{
	rows($node, 'CREATE TRIGGER refuse BEFORE INSERT ON dlock.clients FOR EACH ROW EXECUTE FUNCTION refuse()');
	my $writer = worker_pid($node, 'dlock writer', 'postgres');

	take('refused-held');
	take('refused-released');
	give('refused-released');
	# without a name: it is to stay without one
	like(rows($node, q{SELECT dlock_acquire('anonymous', ttl := '1 h', scope := 'lease')}), $token, 'a session without a name');
	table_matches($node);
	is(worker_pid($node, 'dlock writer', 'postgres'), $writer, 'the writer goes on');
	foreach my $round (1 .. 2)
	{
		crash($node);
		poll_ready($node);
		belongs($_, "refused, and crash $round") foreach 'refused-held', 'refused-released';
		take('refused-held', "refused-$round");
		# written anew by now
		is( rows($node, q{SELECT owner_id, count(*) FROM dlock.locks WHERE owner = 'refused-held' AND status = 'held' GROUP BY 1}),
			'0|' . ($round + 1), 'the rows of its leases say that it has a name');
	}
	$node->restart;
	belongs($_, 'refused, and a restart') foreach 'refused-held', 'refused-released';
	rows($node, 'CREATE DATABASE clients_copy TEMPLATE postgres');
	poll_ready($node, 'clients_copy');
	belongs($_, 'in a copy of the database', $node, 'clients_copy') foreach 'refused-held', 'refused-released';
	rows($node, 'DROP TRIGGER refuse ON dlock.clients', $_) foreach 'postgres', 'clients_copy';
	foreach my $dbname ('postgres', 'clients_copy')
	{
		ok(eval { has_row($_, $node, $dbname) }, "at last \"$_\" has its row, in $dbname")
		  foreach 'refused-held', 'refused-released';
	}
	rows($node, 'DROP DATABASE clients_copy');
	crash($node);
	poll_ready($node);
	is( rows($node, q{SELECT client ~ '^session/', role FROM dlock_list() WHERE resource = 'anonymous'}),
		't|' . rows($node, 'SELECT current_user'), 'who had no name has a lease');
	is( rows($node, q{SELECT count(*) FROM dlock.clients WHERE name ~ '^session/'}), 0, 'and no row');
	is( rows($node, q{SELECT owner_id IS NULL FROM dlock.locks WHERE resource_name = 'anonymous'}),
		't', 'nor does its lease say that it should have one');
}

# Where nothing is durable, nothing is bound.
{
	my $session = session($node, 'postgres', 'clients_alice');

	like(ask($session, q{BEGIN; SELECT dlock_acquire('bound', scope := 'transaction', client := 'unbound')}),
		$token, 'a lease of a transaction');
	belongs('unbound', 'as long as it is used');
	ask($session, 'COMMIT');
	belongs('unbound', 'and as long as the session is about it');
	ask($session, 'DISCARD ALL');
	like(bob(q{SELECT dlock_acquire('bound', client := 'unbound')}), $token, 'then it is anybody\'s');
	$session->quit;
}

# A standby that is promoted.
{
	my $standby = add_standby($node, 'clients_standby');
	my $locker = session($node);

	ask($locker, 'BEGIN; LOCK TABLE dlock.clients IN SHARE MODE');
	take('promoted-held');
	take('promoted-released');
	give('promoted-released');
	table_matches($node);
	wait_streaming($node, $standby);
	is(rows($standby, q{SELECT count(*) FROM dlock.clients WHERE name ~ '^promoted'}), 0, 'not on the standby either');
	is(rows($standby, q{SELECT client FROM dlock_list() WHERE client ~ '^promoted'}),
		'promoted-held', 'where what stands for its row is no lease');
	$standby->promote;
	poll_rows($standby, 'SELECT DISTINCT source FROM dlock_list()', 'memory');
	belongs($_, 'after a promotion', $standby) foreach 'promoted-held', 'promoted-released';
	ok(eval { has_row($_, $standby) }, "there \"$_\" has its row") foreach 'promoted-held', 'promoted-released';
	ask($locker, 'COMMIT');
	$locker->quit;
	expect_log(
		$standby,
		qr/walreceiver .*FATAL:  terminating walreceiver process due to administrator command/,
		qr/client backend .*ERROR:  permission denied for dlock client/);
}

#
# Many at once
#

sub last_id
{
	return rows($node, 'SELECT last_value FROM dlock.clients_id_seq');
}

# One row for a client, however many leases it begins with.
{
	my $before = last_id();

	is( alice(q{SELECT count(*) FROM dlock_try_acquire_all(ARRAY(SELECT 'many/' || i FROM generate_series(1, 10000) i), client := 'many')}),
		10000, 'a client that nobody knows takes 10000 leases');
	ok(eval { has_row('many') }, 'and has one row');
	cmp_ok(last_id() - $before, '<=', 32, 'which was not tried for each lease');
	is( rows($node, <<'EOSQL'), '10000', 'all of them know it');
SELECT count(*) FROM dlock.locks l JOIN dlock.clients c ON c.id = l.owner_id WHERE l.status = 'held' AND c.name = 'many'
EOSQL
	is(alice(q{SELECT dlock_release_all('many')}), 10000, 'given back');
	# nobody below is to wait for the ends of these
	table_matches($node);
}

# in_one_batch(NAMES, BAD) has alice take a lease for each of the clients, in one
# batch; the writer, which is stopped meanwhile, goes on where one cannot have a row.
# They are written when they have some age, since nobody waits for them.
sub in_one_batch
{
	my ($name, $what) = @_;
	my $session = session($node, 'postgres', 'clients_alice');
	my $writer = worker_pid($node, 'dlock writer', 'postgres');
	my $position = log_position($node);
	my $stopper = session($node);

	set_stop($node, 'batch_collected');
	begin_ask($stopper, q{SELECT dlock_acquire('stopper', client := 'stopper')});
	wait_stopped($node, 'batch_collected', $position);
	is( ask($session, <<EOSQL), 300, "$what: 300 clients");
SET dlock.durable = off;
SELECT count(dlock_acquire('$name/' || i, ttl := '1 h', client := '$name-' || i)) FROM generate_series(1, 300) i
EOSQL
	clear_stop($node);
	like(end_ask($stopper), $token, "$what: the one before");
	like(ask($session, "SET dlock.durable = on; SELECT dlock_acquire('$name/last', client := '$name-last')"),
		$token, "$what: acknowledged");
	is(worker_pid($node, 'dlock writer', 'postgres'), $writer, "$what: by the same writer");
	rows($node, q{SELECT dlock_release('stopper', client := 'stopper')});
	$_->quit foreach $session, $stopper;
	return;
}

in_one_batch('together', 'at once');
ok(poll_rows($node, <<'EOSQL', '301|301'), 'each has its row, and the leases know');
SELECT count(DISTINCT c.id) || '|' || count(*) FROM dlock.locks l JOIN dlock.clients c ON c.id = l.owner_id AND c.name = l.owner
WHERE l.status = 'held' AND l.owner ~ '^together'
EOSQL

# One of them is there already, one may not be there.
{
	my $session = session($node, 'postgres', 'clients_alice');

	# known here before it has a row, which somebody then makes
	ask($session, q{BEGIN; SELECT dlock_acquire('early', scope := 'transaction', client := 'mixed-7')});
	rows($node, <<'EOSQL');
INSERT INTO dlock.clients (name, role) VALUES ('mixed-7', 'clients_alice');
CREATE TRIGGER refuse BEFORE INSERT ON dlock.clients FOR EACH ROW WHEN (NEW.name = 'mixed-8') EXECUTE FUNCTION refuse();
EOSQL
	in_one_batch('mixed', 'at once, with one that fails');
	ok(poll_rows($node, <<'EOSQL', '300|300'), 'all but that one have rows');
SELECT count(DISTINCT c.id) || '|' || count(*) FROM dlock.locks l JOIN dlock.clients c ON c.id = l.owner_id AND c.name = l.owner
WHERE l.status = 'held' AND l.owner ~ '^mixed'
EOSQL
	is( rows($node, q{SELECT owner, owner_role FROM dlock.locks WHERE status = 'client' AND owner ~ '^mixed'}),
		'mixed-8|clients_alice', 'and that one has what stands for it');
	rows($node, 'DROP TRIGGER refuse ON dlock.clients');
	ok(eval { has_row('mixed-8') }, 'until it can have one');
	ask($session, 'COMMIT');
	$session->quit;
}
rows($node, 'SELECT sum(dlock_force_release(resource)) FROM dlock_list()');

#
# Forgetting
#
# How old a row may become, its clients decide: here it is made old by hand.
# Then it goes with the next pass, which a new writer begins with.

# age(PATTERN, SESSIONS): the clients were not used for long, except for those of
# that many sessions.  A client is in use until its session's process has ended
# and the end of its last lease is written.
sub age
{
	my ($which, $sessions) = @_;

	poll_rows($node, q{SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^clients_'}, $sessions // 0);
	table_matches($node);
	rows($node, "UPDATE dlock.clients SET last_used_at = now() - interval '40 days', created_at = now() - interval '50 days' WHERE name ~ '$which'");
	return;
}

sub set_retention
{
	my ($value) = @_;

	$node->adjust_conf('postgresql.conf', 'dlock.client_retention', $value);
	$node->reload;
	return poll_rows($node, 'SHOW dlock.client_retention', $value);
}

# remaining(PATTERN) gives the names that still have a row.
sub remaining
{
	my ($pattern) = @_;
	return "SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM dlock.clients WHERE name ~ '$pattern'";
}

is(rows($node, q{SELECT boot_val::int * '1 s'::interval FROM pg_settings WHERE name = 'dlock.client_retention'}),
	'720:00:00', 'clients are remembered for 30 days');

{
	my %s = map { $_ => session($node, 'postgres', 'clients_alice') } qw(lease waiter session cached);
	my $before;

	# clients of each kind: all have a row that says that they were not used for long
	foreach my $kind (qw(unused lease waiter session young pinned cached))
	{
		take("old-$kind");
		give("old-$kind");
	}
	# more than one portion, most of them made by hand
	rows($node, q{INSERT INTO dlock.clients (name, role) SELECT 'old-row-' || i, 'clients_alice' FROM generate_series(1, 5000) i});
	ask($s{lease}, q{SELECT dlock_acquire('old-lease', ttl := '1 h', client := 'old-lease')});
	$s{lease}->quit;
	begin_ask($s{waiter}, q{SELECT dlock_acquire('old-lease', client := 'old-waiter')});
	poll_rows($node, q{SELECT client FROM dlock_queue()}, 'old-waiter');
	ask($s{session}, q{SELECT dlock_release('nothing', client := 'old-session')});
	# known in memory, and nobody's at the moment
	ask($s{cached}, q{SELECT dlock_release('nothing', client := 'old-cached'), dlock_release('nothing', client := 'new-cached')});
	age('^old-(?!young)', 3);
	rows($node, q{UPDATE dlock.clients SET last_used_at = now() - interval '25 days' WHERE name = 'old-young'});
	rows($node, q{UPDATE dlock.clients SET last_used_at = 'infinity' WHERE name = 'old-pinned'});
	rows($node, q{UPDATE dlock.clients SET last_used_at = '-infinity' WHERE name = 'old-row-77'});

	# with 0, nobody is forgotten
	set_retention('0');
	new_writer($node, 'postgres');
	# the next batch comes after whatever it begins with
	take('new-after-pass');
	take('new-after-pass');
	is(rows($node, q{SELECT count(*) FROM dlock.clients WHERE name ~ '^old-'}), 5007, 'retention 0: all stay');

	set_retention('30d');
	ok( eval {
			poll_rows($node, remaining('^old-'), 'old-lease old-pinned old-session old-waiter old-young');
		},
		'retention 30 days: clients go that nobody uses, and only those');
	poll_rows($node, q{SELECT bool_and(last_used_at > now() - interval '1 hour') FROM dlock.clients WHERE name IN ('old-lease', 'old-waiter', 'old-session')}, 't');
	pass('and the rows of others say that they are in use');
	is( rows($node, q{SELECT last_used_at FROM dlock.clients WHERE name = 'old-pinned'}),
		'infinity', 'but for one that is to stay for ever');
	belongs("old-$_", 'in use') foreach qw(lease waiter session young pinned);
	foreach my $kind (qw(unused cached row-77))
	{
		like(bob("SELECT dlock_acquire('bobs-$kind', ttl := '1 h', client := 'old-$kind')"),
			$token, "\"old-$kind\" is anybody's");
		like(alice("SELECT dlock_acquire('alices-$kind', client := 'old-$kind')"),
			qr/42501: permission denied.*role "clients_bob"/s, "and now it is bob's");
	}
	give('old-lease');
	like(end_ask($s{waiter}), $token, 'the waiter is served');
	$s{$_}->quit foreach qw(waiter session cached);
}

# A durable grant says that a client is in use, also where no pass comes by.
{
	take('old-noted');
	give('old-noted');
	rows($node, q{UPDATE dlock.clients SET last_used_at = now() - interval '10 days', created_at = now() - interval '50 days' WHERE name = 'old-noted'});
	# else memory knows better than the row
	$node->restart;
	take('old-noted');
	poll_rows($node, q{SELECT last_used_at > now() - interval '1 hour' FROM dlock.clients WHERE name = 'old-noted'}, 't');
	pass('a grant is noted in the row');
	is( rows($node, q{SELECT created_at < now() - interval '40 days' FROM dlock.clients WHERE name = 'old-noted'}),
		't', 'which is the same');
	give('old-noted');
}

# Others have rows locked, or need them.
{
	my $locker = session($node);
	my $writer;

	rows($node, q{INSERT INTO dlock.clients (name, role) SELECT 'old-locked-' || i, 'clients_alice' FROM generate_series(1, 1000) i});
	rows($node, <<'EOSQL');
CREATE TABLE wanted (id bigint REFERENCES dlock.clients);
INSERT INTO wanted SELECT id FROM dlock.clients WHERE name IN ('old-locked-500', 'old-locked-501');
EOSQL
	age('^old-locked');
	ask($locker, q{BEGIN; SELECT FROM dlock.clients WHERE name ~ '^old-locked-1' FOR UPDATE});
	$writer = new_writer($node, 'postgres');
	poll_rows($node, q{SELECT count(*) FROM dlock.clients WHERE name ~ '^old-locked'}, 112 + 2);
	pass('rows that somebody has locked stay, and those that another table needs');
	like(take('new-locked'), $token, 'grants go on');
	ask($locker, 'ROLLBACK');
	$locker->quit;
	is(worker_pid($node, 'dlock writer', 'postgres'), $writer, 'so does the writer');
	rows($node, 'DROP TABLE wanted');
	new_writer($node, 'postgres');
	ok(eval { poll_rows($node, remaining('^old-locked'), '') }, 'and when nobody wants them, they go');
}

# A session has read the row, and it is deleted before the client is there.
{
	my $session;
	my $position;
	my $id;

	take('old-read');
	give('old-read');
	$id = rows($node, q{SELECT id FROM dlock.clients WHERE name = 'old-read'});
	set_retention('0');
	age('^old-read');
	# nobody remembers it, but for the row
	$node->restart;
	$session = session($node, 'postgres', 'clients_alice');
	$position = log_position($node);
	set_stop($node, 'client_looked_up');
	begin_ask($session, q{SELECT dlock_acquire('old-read', ttl := '1 h', client := 'old-read')});
	wait_stopped($node, 'client_looked_up', $position);
	set_retention('30d');
	poll_rows($node, remaining('^old-read'), '');
	clear_stop($node);
	like(end_ask($session), $token, 'a client whose row is deleted when it has been read');
	$session->quit;
	is( rows($node, <<EOSQL), 'clients_alice|t|t', 'it has another one, and its lease knows');
SELECT c.role, c.id > $id, c.id = l.owner_id FROM dlock.clients c JOIN dlock.locks l ON l.owner = c.name
WHERE c.name = 'old-read' AND l.status = 'held'
EOSQL
	$node->restart;
	belongs('old-read', 'that');
	give('old-read');
}

# Between the choice and the deletion somebody uses the client.
{
	my $session = session($node, 'postgres', 'clients_alice');
	my $position;

	take('old-chosen');
	give('old-chosen');
	age('^old-chosen', 1);
	$position = log_position($node);
	set_stop($node, 'clients_chosen');
	new_writer($node, 'postgres');
	wait_stopped($node, 'clients_chosen', $position);
	is(ask($session, q{SELECT dlock_release('nothing', client := 'old-chosen')}), 'f', 'a client is used that is about to be forgotten');
	clear_stop($node);
	poll_rows($node, remaining('^old-chosen'), '');
	belongs('old-chosen', 'in use without a row');
	take('old-chosen');
	ok(eval { has_row('old-chosen') }, 'it gets one with its next lease');
	give('old-chosen');
	$session->quit;
}

# A fast shutdown in the middle of a portion: what has ended is written first.
{
	my $session = session($node, 'postgres', 'clients_alice');
	my $position;

	take('old-shutdown');
	give('old-shutdown');
	like(ask($session, q{SELECT dlock_acquire('ended', ttl := '1 h', client := 'ending')}), $token, 'a durable lease');
	age('^old-shutdown', 1);
	$position = log_position($node);
	set_stop($node, 'clients_chosen');
	new_writer($node, 'postgres');
	wait_stopped($node, 'clients_chosen', $position);
	is(ask($session, q{SELECT dlock_release('ended', client := 'ending')}), 't', 'its end is not written yet');
	$session->quit;

	my $writer = rows($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dlock writer' AND datname = 'postgres'});
	$position = log_position($node);
	$node->adjust_conf('postgresql.conf', 'dlock.debug_stop', 'none');
	my $stop = IPC::Run::start([ 'pg_ctl', '-D', $node->data_dir, '-m', 'fast', 'stop' ], '>', \my $out);
	$node->wait_for_log(qr/aborting any active transactions/, $position);
	kill 'HUP', $writer;
	ok($stop->finish, 'a fast shutdown goes through');
	$node->{_pid} = undef;
	$node->start;
	poll_ready($node);
	is(rows($node, q{SELECT count(*) FROM dlock_list() WHERE resource = 'ended'}), '0', 'and it was written');
}

# The setting in force, and time: a client that is not used for a second is
# forgotten, and one that has a lease stays for as long.
{
	take('short-lease');
	take('short-unused');
	give('short-unused');
	rows($node, q{UPDATE dlock.clients SET last_used_at = 'infinity' WHERE name !~ '^short-'});
	set_retention('1s');
	ok(eval { poll_rows($node, remaining('^short-'), 'short-lease') }, 'retention 1 second');
	my $noted = rows($node, q{SELECT last_used_at FROM dlock.clients WHERE name = 'short-lease'});
	poll_rows($node, "SELECT last_used_at > '$noted' FROM dlock.clients WHERE name = 'short-lease'", 't');
	pass('and who has a lease is in use, again and again');
	give('short-lease');
	ok(eval { poll_rows($node, remaining('^short-'), '') }, 'until it has none');
	set_retention('30d');
}

# Very many: in portions, so that grants go on.
{
	my $session = session($node, 'postgres', 'clients_alice');
	my ($refused, $left, %seen) = (0, 1);

	rows($node, <<'EOSQL');
INSERT INTO dlock.clients (name, role, last_used_at)
SELECT 'old-very-' || i, 'clients_alice', now() - interval '40 days' FROM generate_series(1, 100000) i
EOSQL
	new_writer($node, 'postgres');
	while ($left)
	{
		# a grant that is not durable within a second is an error
		$refused++
		  if try_ask($session, "SELECT dlock_try_acquire('very', client := 'new-very')") !~ $token;
		ask($session, "SELECT dlock_release('very', client := 'new-very')");
		$left = rows($node, q{SELECT count(*) FROM dlock.clients WHERE name ~ '^old-very'});
		$seen{$left} = 1;
	}
	pass('100000 clients are forgotten');
	is($refused, 0, 'grants went on');
	cmp_ok(scalar(grep { $_ > 0 && $_ < 100000 } keys %seen), '>', 0, 'for they went in portions');
	$session->quit;
}

#
# Few places in memory
#
# Then a client's place is soon another's, and what one has looked up is soon
# out of date.

my $few = dlock_node('clients_few', <<'EOCONF');
autovacuum = off
dlock.max_leases = 100
dlock.max_clients = 16
EOCONF
rows($few, <<'EOSQL');
CREATE ROLE clients_alice LOGIN;
CREATE ROLE clients_bob LOGIN;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'refused %', NEW.name; END $$;
EOSQL

# Bob has looked a name up that nobody had.  By the time that he takes it, alice
# has had it, has given her lease back and is not in memory any more.
{
	my $bob = session($few, 'postgres', 'clients_bob');
	my $alice = session($few);
	my $position = log_position($few);

	# alice does not stop where he does
	ask($alice, q{SET dlock.debug_stop = 'none'; SET ROLE clients_alice});
	set_stop($few, 'client_looked_up');
	begin_ask($bob, q{SELECT dlock_acquire('late', client := 'late')});
	wait_stopped($few, 'client_looked_up', $position);
	like(ask($alice, q{SELECT dlock_acquire('late', client := 'late')}), $token, 'alice is first');
	is(ask($alice, q{SELECT dlock_release('late', client := 'late')}), 't', 'has been there');
	foreach my $i (1 .. 20)
	{
		ask($alice, "SELECT dlock_acquire('other', scope := 'transaction', client := 'other-$i')");
	}
	pass('and is not there any more');
	clear_stop($few);
	like(end_ask($bob), qr/42501: permission denied for dlock client "late".*role "clients_alice"/s,
		'bob is late');
	$_->quit foreach $alice, $bob;
}

# Clients that are owed a row keep their places, until they have it or the
# extension is dropped.
{
	my $full = qr/53200: out of dlock client slots/;
	my $take = q{SELECT dlock_acquire('owed-%d', ttl := '1 h', client := 'owed-%1$d'), dlock_release('owed-%1$d', client := 'owed-%1$d')};
	my $places = sub {
		my ($dbname) = @_;

		return try_rows($few, q{SELECT count(dlock_acquire('places-' || i, scope := 'transaction', client := 'places-' || i)) FROM generate_series(1, 16) i}, $dbname);
	};
	my $i = 0;
	my $answer;

	rows($few, 'CREATE DATABASE clients_other');
	rows($few, 'CREATE EXTENSION dlock', 'clients_other');
	rows($few, 'CREATE TRIGGER refuse BEFORE INSERT ON dlock.clients FOR EACH ROW EXECUTE FUNCTION refuse()');
	do
	{
		$answer = try_rows($few, sprintf $take, ++$i);
	} while ($i < 20 && $answer =~ /^\d+\|t$/);
	is($i, 17, 'there are 16 places');
	like($answer, $full, 'and clients without a row keep theirs');
	like($places->('clients_other'), $full, 'also before clients of other databases');
	# else the last lease is there again
	table_matches($few);
	crash($few);
	poll_ready($few);
	is( rows($few, q{SELECT count(*) FROM dlock.locks WHERE status = 'client'}), 16, 'after a crash as well');
	rows($few, 'DROP TRIGGER refuse ON dlock.clients');
	poll_rows($few, q{SELECT count(*) FROM dlock.clients WHERE name ~ '^owed-'}, 16);
	poll_until('their places are free', sub { $places->('clients_other') eq '16' });
	pass('with their rows they need no places');

	rows($few, 'CREATE TRIGGER refuse BEFORE INSERT ON dlock.clients FOR EACH ROW EXECUTE FUNCTION refuse()');
	rows($few, sprintf $take, $_) foreach 101 .. 116;
	like($places->('clients_other'), $full, 'again');
	rows($few, 'DROP EXTENSION dlock');
	poll_until('their places are free', sub { $places->('clients_other') eq '16' });
	pass('nor without the extension');
	rows($few, 'CREATE EXTENSION dlock');
	poll_ready($few);
	like(try_rows($few, q{SELECT dlock_acquire('owed', client := 'owed-101')}, 'postgres', 'clients_bob'),
		$token, 'and their names are free');
}

expect_log(
	$_,
	# we keep it from writing, or send it away
	qr/dlock writer ERROR:  refused /,
	qr/dlock writer ERROR:  update or delete on table "clients" violates foreign key constraint/,
	qr/dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command/,
	# recovery of a database that was dropped since
	qr/startup WARNING:  (?:could not open directory|some useless files may be left behind)/,
	# answers
	qr/client backend .*ERROR:  permission denied for dlock client/,
	qr/client backend .*ERROR:  out of dlock client slots/,
	qr/client backend .*FATAL:  terminating connection due to (?:administrator command|unexpected postmaster exit)/,
	qr/client backend .*FATAL:  the database system is (?:in recovery mode|not yet accepting connections|starting up)/
) foreach $node, $few;

done_testing();
