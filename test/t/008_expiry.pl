# What must hold: a lease ends when its time is over, not earlier, with or
# without another request for it, and the next waiter is served; one that is
# renewed lives on; one of scope session lives as long as its session; the
# wall clock has no say; with dlock.durable = off nobody waits for the disk.
#
# Why it could fail: deadlines stand in heaps of their own, one per partition,
# which a renewal, a release or a session's hold must keep in step; and the
# monitor sleeps, so that every earlier deadline has to wake it.
#
# Times are compared from below only: how late is a matter of the machine.
use strict;
use warnings;

use DlockNode qw(dlock_node expect_log poll_rows poll_start poll_ready set_stop
  clear_stop wait_stopped log_position kill_postmaster);
use DlockSession qw(sql_error error_parts);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = dlock_node('expiry', "log_statement = none\nrestart_after_crash = on\n");

sub value { return $node->safe_psql('postgres', $_[0]); }

#
# Renewed leases live on.  The loop runs along with what follows.
#
my $renewer = DlockSession->new($node);
$renewer->tell(q{
	DO $$
	DECLARE
		started timestamptz := clock_timestamp();
	BEGIN
		PERFORM dlock_acquire('renew:kept', ttl => '8 s', client => 'renew');
		PERFORM dlock_acquire('renew:left', ttl => '8 s', client => 'renew');
		WHILE clock_timestamp() < started + interval '10 s' LOOP
			PERFORM dlock_renew('renew:kept', client => 'renew');
			PERFORM pg_sleep(0.2);
		END LOOP;
	END $$});

# A lease of scope session, much shorter than all that follows.
my $lasting = DlockSession->new($node);
$lasting->ask(q{SELECT dlock_acquire('session:lasting', scope => 'session', ttl => '200 ms')});

#
# Many leases end at once
#
value(q{
	SET dlock.durable = off;
	SELECT count(dlock_acquire('mass:' || i, ttl => '1 hour', client => 'mass-' || i % 50))
	  FROM generate_series(1, 5000) i;
	SELECT count(dlock_acquire('live:' || i, ttl => '1 hour', client => 'live'))
	  FROM generate_series(1, 200) i});
my @waiters = map { DlockSession->new($node) } 1 .. 10;
foreach my $i (1 .. 10)
{
	$waiters[ $i - 1 ]->tell(qq{SELECT dlock_acquire('mass:$i', ttl => '1 hour', client => 'next-$i') > 0,
		clock_timestamp()});
}
poll_rows($node, 'SELECT count(*) FROM dlock_queue()', '10');
my $started = value('SELECT clock_timestamp()');
is( value(q{SELECT sum(dlock_renew_all('2 s', client => 'mass-' || i)) FROM generate_series(0, 49) i}),
	'5000', '5,000 leases will end at once');
foreach my $i (1 .. 10)
{
	my $answer = $waiters[ $i - 1 ]->answer;

	like($answer, qr/^t\|/, "waiter $i is served");
	$answer =~ s/^t\|//;
	is(value("SELECT '$answer' >= '$started'::timestamptz + '2 s'"), 't', 'and not too early');
}
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM dlock_list() WHERE client ~ '^mass-'}),
	'all the others end, though nobody asks for them');
is( value(q{SELECT count(*) FILTER (WHERE client = 'live'), count(*) FILTER (WHERE client ~ '^next-')
	FROM dlock_list()}), '200|10', 'and no lease but these');
ok( $node->poll_query_until('postgres', q{
		SELECT count(*) FILTER (WHERE owner ~ '^mass-') = 0 AND count(*) FILTER (WHERE owner = 'live') = 200
		  FROM dlock.locks WHERE status = 'held'}),
	'the table follows');
$_->close foreach @waiters;
is(value(q{SELECT count(dlock_acquire('mass:' || i, client => 'live')) FROM generate_series(11, 60) i}),
	'50', 'the resources are free');

#
# Not before its time
#
# So many that one which ends early is asked for early; asking for what ends
# later keeps up with the asking for what ends earlier.
value(q{
	SET dlock.durable = off;
	CREATE TABLE early AS
	SELECT i, i * interval '5 ms' AS lease, clock_timestamp() AS before,
		   dlock_acquire('early:' || i, ttl => i * interval '5 ms', client => 'early') AS token
	  FROM generate_series(100, 500) i});
is( value(q{
	SET dlock.durable = off;
	SELECT count(*), count(*) FILTER (WHERE new_token > token),
		   count(*) FILTER (WHERE after < before + lease)
	  FROM (SELECT *, dlock_acquire('early:' || i, client => 'early-next') AS new_token,
				   clock_timestamp() AS after FROM early ORDER BY i OFFSET 0) e}),
	'401|401|0', 'no lease ends before its time');

# The clock starts when the grant is acknowledged, however long that took.
my $slow = DlockSession->new($node);
my $next = DlockSession->new($node);
my $position = log_position($node);
set_stop($node, 'rows_flushed');
$slow->tell(q{SELECT dlock_acquire('slow', ttl => '1 s', client => 'slow')});
wait_stopped($node, 'rows_flushed', $position);
$next->tell(q{SELECT dlock_acquire('slow', client => 'slow-next') > 0, clock_timestamp()});
poll_rows($node, q{SELECT count(*) FROM dlock_queue('slow')}, '1');
value('SELECT pg_sleep(1.5)');
is(value(q{SELECT holder, expires_at FROM dlock_status('slow')}),
	'slow|', 'the clock of a lease that is not acknowledged does not run');
$started = value('SELECT clock_timestamp()');
clear_stop($node);
like($slow->answer, qr/^\d+$/, 'acknowledged later than its duration');
my $answer = $next->answer;
like($answer, qr/^t\|/, 'the waiter is served');
$answer =~ s/^t\|//;
is(value("SELECT '$answer' >= '$started'::timestamptz + '1 s'"),
	't', 'after the full duration since the acknowledgement');
$_->close foreach $slow, $next;

#
# Scope session
#
is( value(q{SELECT count(*), count(remaining), count(expires_at) FROM dlock_list()
	WHERE resource = 'session:lasting'}),
	'1|0|0', 'a lease of scope session does not end while its session lives');
my $ended = DlockSession->new($node);
$ended->ask(q{SELECT dlock_acquire('session:ended', scope => 'session', ttl => '1 hour')});
$next = DlockSession->new($node);
$next->tell(q{SELECT dlock_acquire('session:ended', client => 'session-next') > 0});
poll_rows($node, q{SELECT count(*) FROM dlock_queue('session:ended')}, '1');
value('SELECT pg_terminate_backend(' . $ended->pid . ')');
is($next->answer, 't', 'it ends with its session, and who waits is served');
$_->close foreach $ended, $next;

my (undef, $complaint) = $renewer->answer;
is($complaint, '', 'a lease that is renewed lives longer than its duration');
is( value(q{SELECT string_agg(resource, ' ') FROM dlock_list('renew')}),
	'renew:kept', 'and one that is not does not');
$renewer->close;

# kill -9 of a session: the server recovers, and the session's leases have
# their duration from then on
my $killed = DlockSession->new($node);
$killed->ask(q{
	SELECT dlock_acquire('session:killed', scope => 'session', ttl => '1 s');
	SELECT dlock_acquire('session:killed long', scope => 'session', ttl => '1 hour')});
my $before = value('SELECT clock_timestamp()');
$position = log_position($node);
kill(9, $killed->pid);
$killed->close;
$lasting->close;
$node->wait_for_log(qr/database system is ready to accept connections/, $position);
poll_ready($node);
is( value(qq{SELECT count(*) FROM dlock_list() WHERE resource = 'session:killed long'
	AND expires_at BETWEEN '$before'::timestamptz + '1 hour' - '50 ms'::interval AND clock_timestamp() + '66 min'}),
	'1', 'a killed session leaves its lease with the full duration');
is( value(qq{SELECT dlock_acquire('session:killed', client => 'session-next') > 0,
		clock_timestamp() >= '$before'::timestamptz + '1 s'}),
	't|t', 'and then it ends');
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM dlock_list() WHERE resource = 'session:lasting'}),
	'so does that of a session that the recovery ended');

#
# dlock.durable = off
#
value(q{SELECT dlock_acquire('durable:base', ttl => '1 hour', client => 'durable')});
value(q{CREATE ROLE durable_off LOGIN; ALTER ROLE durable_off SET dlock.durable = off});
my $fast = DlockSession->new($node, connstr => $node->connstr('postgres') . ' user=durable_off');
$position = log_position($node);
set_stop($node, 'batch_collected');
like(scalar $fast->ask(q{SELECT dlock_acquire('durable:1', ttl => '1 hour', scope => 'lease')}),
	qr/^\d+$/, 'acknowledged without the writer');
wait_stopped($node, 'batch_collected', $position);
like(scalar $fast->ask(q{SELECT dlock_acquire('durable:2', ttl => '1 hour', scope => 'lease')}),
	qr/^\d+$/, 'even where the writer is stuck');
is(scalar $fast->ask(q{SELECT dlock_acquire('durable:2', scope => 'lease') = token FROM dlock_status('durable:2')}),
	't', 'and so is another hold');
is( sql_error($node, 'postgres', q{
		SET statement_timeout = '500 ms';
		SELECT dlock_acquire('durable:3')})->{state},
	'57014', 'while others wait for it');
is(value(q{SELECT count(*) FROM dlock.locks WHERE resource_name IN ('durable:1', 'durable:2')}),
	'0', 'as there is no row yet');
clear_stop($node);
poll_rows($node, q{SELECT count(*) FROM dlock.locks WHERE status = 'held' AND resource_name IN ('durable:1', 'durable:2')}, '2');
pass('the rows follow');

$position = log_position($node);
set_stop($node, 'batch_collected');
my $token = $fast->ask(q{SELECT dlock_acquire('durable:lost', ttl => '1 hour', scope => 'lease')});
wait_stopped($node, 'batch_collected', $position);
kill_postmaster($node);
clear_stop($node);
poll_start($node);
is( value(q{SELECT count(*) FROM dlock_list() WHERE resource IN ('durable:base', 'durable:1', 'durable:2')}),
	'3', 'a crash leaves what had rows');
cmp_ok(value(q{SELECT dlock_acquire('durable:after')}),
	'>', $token, 'and no token that was acknowledged comes back');
$fast->close;
$node->stop;

#
# Jumps of the wall clock
#
SKIP:
{
	my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
	my $file = PostgreSQL::Test::Utils::tempdir . '/faketime';
	my $jump = sub {
		unlink $file;
		append_to_file($file, $_[0] . "\n");
		return;
	};
	my $faked = PostgreSQL::Test::Cluster->new('faked');
	my $fake_value = sub { return $faked->safe_psql('postgres', $_[0]); };
	my $offset = sub {
		return $fake_value->('SELECT extract(epoch FROM clock_timestamp())') - time;
	};

	skip 'libfaketime (package faketime) is not installed', 1
	  unless defined $library;
	$jump->('+0');
	$faked->init;
	$faked->append_conf('postgresql.conf', "fsync = on\nautovacuum = off\n");
	{
		local $ENV{LD_PRELOAD} = $library;
		local $ENV{DONT_FAKE_MONOTONIC} = 1;
		local $ENV{FAKETIME_TIMESTAMP_FILE} = $file;
		local $ENV{FAKETIME_NO_CACHE} = 1;
		skip 'the server does not start with libfaketime', 1
		  unless $faked->start(fail_ok => 1);
	}
	$jump->('+86400');
	skip 'libfaketime has no effect on the server', 1
	  unless abs($offset->() - 86400) < 3600;
	$jump->('+0');

	$fake_value->('CREATE EXTENSION dlock');
	$fake_value->(q{SELECT dlock_acquire('jump', ttl => '30 min', client => 'jump')});
	my $patient = DlockSession->new($faked);
	$patient->tell(q{SELECT dlock_acquire('jump', '30 min', client => 'jump-next') > 0});
	poll_rows($faked, q{SELECT count(*) FROM dlock_queue('jump')}, '1');

	foreach my $by ('+86400', '-86400')
	{
		my $real = time;

		# while a short lease runs, so that the monitor is awake afterwards
		$fake_value->(q{SELECT dlock_acquire('jump:short', ttl => '500 ms', client => 'jump')});
		$jump->($by);
		ok( $faked->poll_query_until('postgres', q{SELECT status = 'free' FROM dlock_status('jump:short')}),
			"clock moved by $by s: a short lease ends");
		cmp_ok(abs($offset->() - $by), '<', 3600, 'the clock has moved');
		is( $fake_value->(q{SELECT holder, remaining BETWEEN '20 min' AND '30 min',
				expires_at - clock_timestamp() BETWEEN '20 min' AND '30 min' FROM dlock_status('jump')}),
			'jump|t|t', 'a long lease does not');
		is($fake_value->(q{SELECT count(*) FROM dlock_queue('jump')}), '1', 'nor does a long wait');
		is( sql_error($faked, 'postgres', q{SELECT dlock_acquire('jump', '300 ms', client => 'jump-short')})->{state},
			'55P03', 'a short wait does');
		is( $fake_value->(q{SELECT waiters FROM dlock_renew('jump', client => 'jump')}),
			'1', 'and the lease can be renewed');
	}
	$fake_value->(q{SELECT dlock_release('jump', client => 'jump')});
	is($patient->answer, 't', 'who waited all the time is served');
	$patient->close;
	$jump->('+0');
	expect_log($faked,
		qr/client backend .*ERROR:  could not obtain a lease on resource "jump"/);
}

expect_log(
	$node,
	# killed by us
	qr/postmaster LOG:  (?:server process|client backend) \(PID \d+\) was terminated by signal 9: Killed/,
	qr/client backend .*FATAL:  terminating connection due to (?:unexpected postmaster exit|administrator command)/,
	qr/client backend .*FATAL:  the database system is (?:in recovery mode|not yet accepting connections|starting up)/,
	qr/client backend .*ERROR:  canceling statement due to statement timeout/);

done_testing();
