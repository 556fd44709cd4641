# Modes of holds where several sessions of a client change them at once, and
# some of the changes come to nothing.
#
# It could fail where an upgrade that is undone sets the mode to what it was
# before, although it has been changed since: then a lease is exclusive beside a
# shared one.  Or where an upgrade stays that nobody was told of, because the
# process was terminated; where a commit depends on the mode of a hold, and not on
# that in which its session had the lease; where what is left of an old lease
# makes a new one stronger; where a release takes what another session relies on.
use strict;
use warnings;

use DlockNode qw(dlock_node expect_log log_position poll_until rows set_stop clear_stop wait_stopped);
use DlockSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = dlock_node('modes', <<'EOCONF');
autovacuum = off
EOCONF

sub as
{
	my ($client) = @_;
	my $session = DlockSession->new($node);

	$session->ask("SET dlock.client = '$client'");
	return $session;
}

# has(RESOURCE) lists who has it, how strong, and with how many holds.
sub has
{
	my ($resource) = @_;
	return join ', ', split /\n/, rows($node,
		"SELECT concat_ws(' ', client, mode, hold_count) FROM dlock_list() WHERE resource = '$resource' ORDER BY client");
}

# Upgrades with a new ttl stop when they have been acknowledged; then the writer
# is kept from writing, and they wait for their ttl to be written.  Gives the
# session that keeps the writer.
sub upgrade_and_wait
{
	my ($resource, @sessions) = @_;
	my $locker = DlockSession->new($node);

	set_stop($node, 'grant_acknowledged');
	foreach my $session (@sessions)
	{
		my $position = log_position($node);

		$session->tell("SELECT dlock_set_options('$resource', mode := 'exclusive', ttl := '1 h')");
		wait_stopped($node, 'grant_acknowledged', $position);
	}
	$locker->ask('BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
	clear_stop($node);
	poll_until('the new ttl is in force', sub {
		rows($node, "SELECT remaining > '59 min' FROM dlock_list() WHERE resource = '$resource'") =~ /^t/ });
	foreach my $session (@sessions)
	{
		my $pid = $session->pid;

		poll_until('a session waits for it', sub {
			rows($node, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid AND state = 'active'") eq 'Extension' });
	}
	return $locker;
}

sub stop_waiting
{
	my ($session, $how) = @_;
	my $pid = $session->pid;

	rows($node, "SELECT pg_${how}_backend($pid)");
	return $session->answer;
}

foreach my $how (qw(cancel terminate))
{
	my $a = as('a');
	my $locker;

	$a->ask("SELECT dlock_acquire('$how', mode := 'shared', ttl := '10 min')");
	$locker = upgrade_and_wait($how, $a);
	stop_waiting($a, $how);
	poll_until('the upgrade is undone', sub { has($how) eq 'a shared 1' });
	is(has($how), 'a shared 1', "an upgrade whose ttl cannot be written: $how");
	$locker->ask('ROLLBACK');
}

{
	my ($a, $b) = (as('two'), as('two'));
	my $locker;

	$a->ask(q{SELECT dlock_acquire('two', mode := 'shared', ttl := '10 min')});
	$locker = upgrade_and_wait('two', $a, $b);
	stop_waiting($a, 'cancel');
	is(has('two'), 'two exclusive 1', 'the other one relies on it');
	stop_waiting($b, 'cancel');
	is(has('two'), 'two shared 1', 'both come to nothing');
	$locker->ask('ROLLBACK');
}

{
	my ($a, $b, $other) = (as('down'), as('down'), as('other'));
	my $locker;

	$a->ask(q{SELECT dlock_acquire('down', mode := 'shared', ttl := '10 min')});
	$a->ask(q{SELECT dlock_set_options('down', mode := 'exclusive')});
	$locker = upgrade_and_wait('down', $a);
	$b->ask(q{SELECT dlock_set_options('down', mode := 'shared')});
	$other->tell(q{SELECT dlock_acquire('down', mode := 'shared') > 0});
	poll_until('another one is let in', sub { has('down') eq 'down shared 1, other shared 1' });
	stop_waiting($a, 'cancel');
	is(has('down'), 'down shared 1, other shared 1', 'an upgrade is undone after it was overruled');
	$locker->ask('ROLLBACK');
	is($other->answer, 't', 'and the other one is told');
	$node->restart;
	is(has('down'), 'down shared 1, other shared 1', 'after a restart as well');
}

# A lease that was released while a commit depends on it, and acquired anew: as
# it was asked for then.
{
	my ($a, $b, $other, $locker) = (as('anew'), as('anew'), as('other'), DlockSession->new($node));
	my $token = $b->ask(q{SELECT dlock_acquire('anew', mode := 'shared', ttl := '20 h')});

	$b->ask(q{SELECT dlock_set_options('anew', mode := 'exclusive')});
	$a->ask('CREATE TEMP TABLE held (value int) ON COMMIT DELETE ROWS');
	$locker->ask('BEGIN; LOCK TABLE ' . $a->ask(q{SELECT concat(relnamespace::regnamespace, '.held') FROM pg_class WHERE oid = 'held'::regclass})
		  . ' IN ACCESS SHARE MODE');
	$a->ask("BEGIN; INSERT INTO held VALUES (1); SELECT dlock_fence('anew', $token)");
	$a->tell('COMMIT');
	poll_until('the commit waits', sub { rows($node, 'SELECT cardinality(pg_blocking_pids(' . $a->pid . '))') > 0 });
	is($b->ask(q{SELECT dlock_release('anew')}), 't', 'the last hold is given back');
	like($b->ask(q{SELECT dlock_acquire('anew', mode := 'shared', ttl := '1 min', scope := 'session')}), qr/^\d+$/, 'and another one taken');
	$locker->ask('COMMIT');
	$a->answer;
	is($other->ask(q{SELECT dlock_try_acquire('anew', mode := 'shared') > 0}), 't', 'a shared lease is shared');
	is(rows($node, q{SELECT mode, scope FROM dlock_list('anew') WHERE resource = 'anew'}), 'shared|session', 'of the new scope');
	$b->ask(q{SELECT dlock_acquire('anew', mode := 'shared', scope := 'lease')});
	$b->ask(q{DISCARD ALL});
	is(rows($node, q{SELECT remaining < '2 min' FROM dlock_list('anew') WHERE resource = 'anew'}), 't', 'and for the new time');
}

# An upgrade that is granted and not acknowledged when the last hold goes.
{
	my ($a, $b, $c) = (as('none'), as('none'), as('none'));
	my $locker = DlockSession->new($node);
	my $token = $b->ask(q{SELECT dlock_acquire('none', mode := 'shared')});

	$a->ask('CREATE TEMP TABLE held (value int) ON COMMIT DELETE ROWS');
	$locker->ask('BEGIN; LOCK TABLE ' . $a->ask(q{SELECT concat(relnamespace::regnamespace, '.held') FROM pg_class WHERE oid = 'held'::regclass})
		  . ' IN ACCESS SHARE MODE');
	$a->ask("BEGIN; INSERT INTO held VALUES (1); SELECT dlock_fence('none', $token)");
	$a->tell('COMMIT');
	poll_until('the commit waits', sub { rows($node, 'SELECT cardinality(pg_blocking_pids(' . $a->pid . '))') > 0 });
	my $position = log_position($node);
	set_stop($node, 'grant_flushed');
	$c->tell(q{SELECT dlock_set_options('none', mode := 'exclusive')});
	wait_stopped($node, 'grant_flushed', $position);
	is($b->ask(q{SELECT dlock_release('none')}), 't', 'the last hold goes while an upgrade is granted');
	clear_stop($node);
	like(($c->answer)[1], qr/LK001/, 'which is told that there is no lease');
	$b->ask(q{SELECT dlock_acquire('none', mode := 'shared')});
	$locker->ask('COMMIT');
	$a->answer;
	is(has('none'), 'none shared 1', 'and leaves nothing');
}

# A release depends on the mode in which its session had the lease, however it
# came to be so strong; not on what other sessions have made of it.
{
	my ($a, $b) = (as('fence'), as('fence'));

	rows($node, 'CREATE TABLE fenced (value int)');
	foreach my $how (q{SELECT dlock_acquire('fence')},
		q{SELECT dlock_acquire('fence', mode := 'shared'), dlock_set_options('fence', mode := 'exclusive')})
	{
		$a->ask($how);
		$a->ask(q{BEGIN; INSERT INTO fenced VALUES (1); SELECT dlock_release('fence')});
		$b->ask(q{SELECT dlock_set_options('fence', mode := 'shared')});
		like(($a->ask('COMMIT'))[1], qr/LK001/, "made shared by another session: $how");
		$a->ask(q{SELECT dlock_release_all()});
	}
	$a->ask(q{SELECT dlock_acquire('fence', mode := 'shared')});
	$b->ask(q{BEGIN; SELECT dlock_acquire('fence', scope := 'transaction')});
	$a->ask(q{BEGIN; INSERT INTO fenced VALUES (2); SELECT dlock_release('fence')});
	$b->ask('COMMIT');
	is(($a->ask('COMMIT; SELECT max(value) FROM fenced'))[0], '2', 'the transaction of another session was exclusive meanwhile');
}

# A downgrade is for what was acknowledged by then: a hold that comes to nothing
# afterwards does not keep the lease exclusive, one of the same kind that is
# acknowledged does.
{
	my ($a, $b) = (as('wish'), as('wish'));

	$a->ask(q{SELECT dlock_acquire('wish')});
	$b->ask(q{SET dlock.debug_stop = 'grant_flushed'});
	$b->tell(q{SELECT dlock_acquire('wish')});
	poll_until('another hold is granted', sub { has('wish') eq 'wish exclusive 2' });
	$a->ask(q{SELECT dlock_set_options('wish', mode := 'shared')});
	is(has('wish'), 'wish exclusive 2', 'it is not acknowledged yet');
	stop_waiting($b, 'cancel');
	is(has('wish'), 'wish shared 1', 'and comes to nothing');
	$a->ask(q{SELECT dlock_release_all()});

	$a->ask(q{SELECT dlock_acquire('wish')});
	$a->ask(q{BEGIN; SELECT dlock_set_options('wish', mode := 'shared')});
	$b->ask(q{SET dlock.debug_stop = 'none'});
	$b->ask(q{SELECT dlock_acquire('wish')});
	$a->ask('COMMIT');
	is(has('wish'), 'wish exclusive 2', 'the last wish counts');
	$b->ask(q{SELECT dlock_release('wish')});
	is(has('wish'), 'wish shared 1', 'as long as it is one');
}

# What another session took for itself is given back last.
{
	my ($a, $b) = (as('own'), as('own'));

	$a->ask(q{SELECT dlock_acquire('own', mode := 'shared', scope := 'session')});
	$b->ask(q{SELECT dlock_acquire('own', scope := 'session')});
	$a->ask(q{SELECT dlock_release('own')});
	is(has('own'), 'own exclusive 1', 'the other session has what it took');
	is($a->ask(q{SELECT dlock_release('own')}), 't', 'and after that it can be given back');
	is(has('own'), '', 'by any session of the client');
}

expect_log(
	$node,
	qr/client backend .*(?:ERROR:  canceling statement due to user request|FATAL:  terminating connection due to administrator command)/,
	qr/client backend .*ERROR:  (?:could not commit because a lease was lost|lease on resource "none" is not held)/);
done_testing();
