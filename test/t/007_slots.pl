# What must hold: when leases, waiters or clients are all in use, a request
# that needs another gets 53200 and learns which setting to increase, and
# nothing else is disturbed; a slot that was given back can be used again, in
# every database.  A server that has room for fewer leases than are stored
# says so and grants nothing, and loads all of them once there is room.
#
# Why it could fail: a request that is refused half way keeps what it had; a
# free slot stays where only one database finds it; a load that stops half way
# forgets leases.
use strict;
use warnings;

use DlockNode qw(dlock_node start_writers expect_log poll_rows);
use DlockSession qw(sql_error error_parts);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = dlock_node('slots', <<'EOC');
dlock.max_leases = 64
dlock.max_waiters = 4
dlock.max_clients = 32
EOC
$node->safe_psql('postgres', 'CREATE DATABASE slots_other');
$node->safe_psql('slots_other', 'CREATE EXTENSION dlock');

sub value { return $node->safe_psql('postgres', $_[0]); }

# refused(CALL, SETTING, DATABASE): no slot, and the hint names the setting.
sub refused
{
	my ($call, $setting, $dbname) = @_;
	my $error = sql_error($node, $dbname // 'postgres', "SELECT $call");

	is($error->{state}, '53200', "53200: $call");
	like($error->{hint}, qr/"\Q$setting\E"/, "hint names $setting: $call");
	return;
}

# usable(N, DATABASE) waits until a request in a database finds N free slots.
sub usable
{
	my ($n, $dbname, $name) = @_;
	my $sql = "SELECT count(dlock_try_acquire('usable:' || i, client => 'slots-usable')) = $n
		FROM generate_series(1, $n) i";

	# one that fails has taken some
	ok($node->poll_query_until($dbname, $sql), $name);
	$node->safe_psql($dbname, q{SELECT dlock_release_all('slots-usable')});
	poll_rows($node, q{SELECT count(*) FROM dlock_list('slots-usable')}, '0', $dbname);
	return;
}

#
# Leases
#
my $fill = q{SELECT count(dlock_acquire('slot:' || i, ttl => '1 hour', client => 'slots'))
	FROM generate_series(1, %d) i};
is(value(sprintf $fill, 64), '64', 'all lease slots');
refused(q{dlock_acquire('slot:65', client => 'slots')}, 'dlock.max_leases');
refused(q{dlock_acquire('slot:65')}, 'dlock.max_leases');
refused(q{dlock_acquire('slot:65', scope => 'transaction', client => 'slots')},
	'dlock.max_leases');
refused(q{dlock_try_acquire('slot:65', client => 'slots')}, 'dlock.max_leases');
refused(q{dlock_acquire('slot:1', '1 min', client => 'slots-2')}, 'dlock.max_leases');
refused(q{dlock_acquire('slot:1', client => 'slots')}, 'dlock.max_leases', 'slots_other');

is( value(q{SELECT dlock_try_acquire('slot:1', client => 'slots-2') IS NULL}),
	't', 'a try that need not wait is answered');
is( value(q{SELECT count(*) FROM generate_series(1, 64) i,
	dlock_renew('slot:' || i, ttl => '2 hours', client => 'slots') r}),
	'64', 'renewals go on');
is(value(q{SELECT dlock_renew_all(client => 'slots')}), '64', 'and heartbeats');
is( value(q{SELECT dlock_acquire('slot:1', client => 'slots') = token
	FROM dlock_status('slot:1')}), 't', 'a lease that is held may be acquired again');
is( value(q{SELECT dlock_set_options('slot:1', ttl => '3 hours', client => 'slots')}),
	't', 'and changed');
is( value(q{SELECT count(*), max(hold_count) FROM dlock_list('slots')}),
	'64|2', 'dlock_list');
is(value(q{SELECT status, holders FROM dlock_status('slot:64')}), 'exclusive|1', 'dlock_status');
is(value(q{SELECT count(*) FROM dlock_queue()}), '0', 'dlock_queue');
is( value(q{SELECT count(*) FROM dlock.locks WHERE status = 'held' AND ttl >= '2 hours'}),
	'64', 'the writer goes on');

is(value(q{SELECT dlock_release('slot:64', client => 'slots')}), 't', 'release');
like(value(q{SELECT dlock_acquire('slot:65', ttl => '1 hour', client => 'slots')}),
	qr/^\d+$/, 'its slot is used again');
refused(q{dlock_acquire('slot:66', client => 'slots')}, 'dlock.max_leases');
is(value(q{SELECT dlock_force_release('slot:65')}), '1', 'force_release');
like(value(q{SELECT dlock_acquire('slot:66', ttl => '1 hour', client => 'slots')}),
	qr/^\d+$/, 'its slot is used again');

# what has a row, and had
is(value(q{SELECT dlock_release_all('slots')}), '64', 'release_all');
usable(64, 'slots_other', 'released slots are used again by another database');
usable(64, 'postgres', 'and then by the first');

# What never had a row: leases of a transaction, and reservations of waiters.
# By then the writer has nothing to do and sleeps.
my $transaction = DlockSession->new($node);
$transaction->ask(q{BEGIN});
is( scalar $transaction->ask(q{
		SELECT count(dlock_acquire('slot:' || i, scope => 'transaction', client => 'slots'))
		  FROM generate_series(1, 64) i}),
	'64', 'all slots for one transaction');
refused(q{dlock_try_acquire('slot:65')}, 'dlock.max_leases', 'slots_other');
$transaction->ask(q{SELECT pg_sleep(5)});
$transaction->ask(q{ROLLBACK});
usable(64, 'slots_other', 'slots of a transaction are used again by another database');
usable(64, 'postgres', 'and then by the first');
$transaction->close;

# 64 refused requests leave nothing behind
is(value(sprintf $fill, 62), '62', 'nearly all lease slots');
my $error = sql_error($node, 'postgres', q{
	SELECT dlock_acquire('refused:' || i, client => 'slots') FROM generate_series(1, 64) i});
is($error->{state}, '53200', 'a statement that runs out of slots');
is(value(q{SELECT count(*) FROM dlock_list('slots') WHERE resource ~ '^refused'}),
	'2', 'keeps what it was granted, as its error cannot take it back');
is(value(q{SELECT dlock_release_all('slots')}), '64', 'which can be released');

#
# Waiters
#
value(q{SELECT dlock_acquire('queue', ttl => '1 hour', client => 'slots')});
my @waiters = map { DlockSession->new($node) } 1 .. 5;
foreach my $i (0 .. 3)
{
	$waiters[$i]->tell(qq{SELECT dlock_acquire('queue', client => 'slots-waiter-$i')});
	poll_rows($node, q{SELECT count(*) FROM dlock_queue('queue')}, $i + 1);
}
refused(q{dlock_acquire('queue', client => 'slots')} =~ s/slots/slots-waiter-5/r,
	'dlock.max_waiters');
refused(q{dlock_try_acquire('queue', '1 min', client => 'slots-waiter-5')}, 'dlock.max_waiters');
# as often as there are leases, so that one left behind each time would show
value(q{
	DO $$
	BEGIN
		FOR i IN 1 .. 100 LOOP
			BEGIN
				PERFORM dlock_acquire('queue', '1 min', client => 'slots-waiter-5');
			EXCEPTION WHEN out_of_memory THEN
			END;
		END LOOP;
	END $$});
is( value(q{SELECT dlock_try_acquire('queue', client => 'slots-waiter-5') IS NULL}),
	't', 'a try that does not wait is answered');
is( value(q{SELECT count(dlock_acquire('slot:' || i, client => 'slots'))
	FROM generate_series(1, 59) i}),
	'59', 'refused waiters keep no lease slot: 1 held, 4 waiting, and the rest is free');
is(value(q{SELECT waiters FROM dlock_renew('queue', client => 'slots')}),
	'4', 'renewals go on');
is(value(q{SELECT waiters FROM dlock_status('queue')}), '4', 'dlock_status');
is( value(q{SELECT string_agg(client, ' ' ORDER BY place) FROM dlock_queue('queue')}),
	join(' ', map { "slots-waiter-$_" } 0 .. 3), 'dlock_queue');

value('SELECT pg_cancel_backend(' . $waiters[0]->pid . ')');
is(error_parts(($waiters[0]->answer)[1])->{state}, '57014', 'a waiter leaves');
$waiters[4]->tell(q{SELECT dlock_acquire('queue', client => 'slots-waiter-4')});
poll_rows($node, q{SELECT string_agg(client, ' ' ORDER BY place) FROM dlock_queue('queue')},
	join(' ', map { "slots-waiter-$_" } 1 .. 4));
pass('and another takes its place');
is(value(q{SELECT dlock_release('queue', client => 'slots')}), 't', 'releases go on');
foreach my $i (1 .. 4)
{
	like($waiters[$i]->answer, qr/^\d+$/, "waiter $i is served");
	value(qq{SELECT dlock_release('queue', client => 'slots-waiter-$i')});
}
$_->close foreach @waiters;
value(q{SELECT dlock_release_all('slots')});

#
# Clients
#
# every session keeps hold of the client it has acted as last
poll_rows($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'}, '1');
my $many = DlockSession->new($node);
is( scalar $many->ask(q{SELECT count(dlock_acquire('client:' || i, ttl => '1 hour', client => 'client-' || i))
	FROM generate_series(1, 32) i}), '32', 'all client slots');
refused(q{dlock_acquire('client:33', client => 'client-33')}, 'dlock.max_clients');
refused(q{dlock_try_acquire('client:33', client => 'client-33')}, 'dlock.max_clients');
refused(q{dlock_try_acquire('client:33')}, 'dlock.max_clients');
refused(q{dlock_try_acquire('client:33', client => 'client-1')}, 'dlock.max_clients', 'slots_other');
is( value(q{SELECT count(*) FROM generate_series(1, 32) i,
	dlock_renew('client:' || i, client => 'client-' || i) r}),
	'32', 'renewals go on');
is( value(q{SELECT count(dlock_acquire('client2:' || i, ttl => '1 hour', client => 'client-' || i))
	FROM generate_series(1, 32) i}),
	'32', 'those who hold something may acquire more');
is(value(q{SELECT count(*) FROM dlock_list()}), '64', 'dlock_list');
is(value(q{SELECT holder FROM dlock_status('client:32')}), 'client-32', 'dlock_status');
is(value(q{SELECT dlock_release_all('client-7')}), '2', 'releases go on');
ok( $node->poll_query_until('postgres',
		q{SELECT dlock_try_acquire('client:33', ttl => '1 hour', client => 'client-33') > 0}),
	'the slot of a client that holds nothing is used again');
refused(q{dlock_acquire('client:34', client => 'client-34')}, 'dlock.max_clients');
is( value(q{SELECT count(*) FROM dlock.clients WHERE name ~ '^client-'}),
	'33', 'no client that was refused has a row');
# client-7 is known, but holds nothing and has no slot any more
is( sql_error($node, 'postgres', q{SELECT dlock_release('client:7', client => 'client-7')})->{state},
	'', 'releasing what is not held needs no slot');
is(sql_error($node, 'postgres', q{SELECT dlock_release_all('client-7')})->{state},
	'', 'nor does releasing all');
is( sql_error($node, 'postgres', q{SELECT dlock_renew('client:7', client => 'client-7')})->{state},
	'LK001', 'nor does the answer that a lease is lost');
is( value(q{SELECT sum(dlock_release_all('client-' || i)) FROM generate_series(1, 33) i
	WHERE i <> 7}),
	'63', 'all can be released');
$many->close;
ok( $node->poll_query_until('slots_other',
		q{SELECT dlock_try_acquire('client:33', client => 'client-1') > 0}),
	'client slots are used again by another database');
$node->safe_psql('slots_other', q{SELECT dlock_release_all('client-1')});

#
# A restart with fewer slots than leases
#
usable(40, 'postgres', 'slots are free');
is(value(sprintf $fill, 40), '40', '40 leases');
my $leases = q{SELECT resource, token, client, hold_count FROM dlock_list() ORDER BY token};
my $before = value($leases);
$node->stop;
$node->adjust_conf('postgresql.conf', 'dlock.max_leases', '16');
my $position = -s $node->logfile;
$node->start;
start_writers($node, 'postgres');
$node->wait_for_log(qr/ERROR: .*could not load the leases of database "postgres"/, $position);
$node->wait_for_log(qr/HINT: .*"dlock.max_leases"/, $position);
pass('the log says that there is no room, and which setting to increase');
$error = sql_error($node, 'postgres', q{SELECT dlock_try_acquire('slot:41')});
is($error->{state}, '55000', 'the gate stays shut');
isnt($error->{hint}, '', 'with a hint');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM dlock.locks WHERE status = 'held'}),
	'40', 'no row is lost');
$node->stop;
$node->adjust_conf('postgresql.conf', 'dlock.max_leases', '40');
$node->start;
is(value($leases), $before, 'with room for all of them, all are loaded');
is(value(q{SELECT count(dlock_renew('slot:' || i, client => 'slots')) FROM generate_series(1, 40) i}),
	'40', 'and are their holder\'s');
# one restart later, as what the failed loads have left must not be lost on them
$node->restart;
is(value($leases), $before, 'and again');

expect_log(
	$node,
	qr/client backend .*ERROR:  out of dlock (?:lease|waiter|client) slots/,
	qr/client backend .*ERROR:  lease on resource "client:7" is not held/,
	# where it is asked again until it succeeds
	qr/client backend .*ERROR:  could not make a lease on resource "usable:\d+" durable in time/,
	qr/client backend .*ERROR:  canceling statement due to user request/,
	# a restart with fewer slots than leases
	qr/client backend .*ERROR:  dlock is not ready in database "postgres"/,
	qr/dlock writer ERROR:  could not load the leases of database "postgres"/);

done_testing();
