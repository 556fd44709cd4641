# Nothing is acknowledged over an end that could still be undone.
#
# A durable lease that has ended comes back after a crash until its end is
# durable as well.  A client that is granted the resource before that must not be
# told, whatever the grant itself needs: scope transaction and dlock.durable =
# off wait for nothing of their own, and so overtook the end of the lease before
# them.  Their data was durable, the end was not, and after a crash the old
# holder went on under its old token.
#
# The writer is kept from writing by a lock on its table, so that ends are known
# in memory only.  Each resource has its own way to end and its own way to be
# granted; all of them go through one crash.
use strict;
use warnings;

use DlockNode qw(dlock_node kill_postmaster poll_start poll_ready poll_until
  poll_rows rows try_rows table_matches log_position expect_log set_stop
  clear_stop wait_stopped);
use DlockSession qw(error_parts);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = dlock_node('ends', <<'EOCONF', allows_streaming => 1);
autovacuum = off
max_connections = 100
dlock.deadlock_timeout = '1 d'
EOCONF

# sessions that are there when the postmaster is killed
expect_log($node, qr/client backend .*FATAL:  terminating connection due to unexpected postmaster exit/,
	qr/client backend .*ERROR:  lease on resource ".*" is not held/,
	# started again before the last child of the killed one has left
	qr/FATAL:  (?:lock file|pre-existing shared memory block).* (?:already exists|is still in use)/);
rows($node, 'CREATE TABLE work (id serial, resource text, token bigint)');

my @sessions;

sub connect_to
{
	my ($set) = @_;
	my $session = DlockSession->new($node);

	$session->ask("SET timezone = 'UTC'; $set");
	push @sessions, $session;
	return $session;
}

# forget_sessions() takes leave of the sessions of a server that was killed.
sub forget_sessions
{
	$_->close foreach @sessions;
	@sessions = ();
	return;
}

# block_writer(TABLE) keeps the writer from writing; gives the session that does.
sub block_writer
{
	my $session = connect_to('');

	$session->ask('BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
	return $session;
}

# settled(SESSION...) waits until each of them has an answer, or sleeps in dlock.
sub settled
{
	foreach my $session (@_)
	{
		my $pid = $session->pid;

		poll_until(
			'a session sleeps or has its answer',
			sub {
				$session->answered || rows($node, "
					SELECT count(*) FROM pg_stat_activity WHERE pid = $pid
					 AND state = 'active' AND wait_event_type = 'Extension'");
			});
	}
	return;
}

#
# The ways in which a lease ends, each for a session that acts as client x
#

my %end = (
	expired => sub {
		my ($x, $r) = @_;

		$x->ask("SET dlock.durable = off; SELECT dlock_renew('$r', '1 ms'); RESET dlock.durable");
		poll_rows($node, "SELECT count(*) FROM dlock_list('x') WHERE resource = '$r'", '0');
	},
	released => sub {
		my ($x, $r) = @_;
		$x->ask("SELECT dlock_release('$r')");
	},
	forced => sub {
		my ($x, $r) = @_;
		rows($node, "SELECT dlock_force_release('$r')");
	},
	left => sub {
		my ($x, $r) = @_;

		# the session that took it goes
		$x->{gone}{$r}->quit;
		poll_rows($node, "SELECT count(*) FROM dlock_list('x') WHERE resource = '$r'", '0');
	});

#
# The ways in which the next client is granted it
#

my %grant = (
	transaction => "BEGIN; SELECT dlock_acquire('%r', scope := 'transaction')",
	undurable => "SET dlock.durable = off; SELECT dlock_acquire('%r')",
	several => "SET dlock.durable = off; SELECT token FROM dlock_acquire_all('{%r}')",
	shared => "BEGIN; SELECT dlock_acquire('%r', mode := 'shared', scope := 'transaction')");

# take(X, RESOURCE, HOW) has client x hold it, durably; gives the token.
sub take
{
	my ($x, $r, $how) = @_;

	if ($how eq 'left')
	{
		$x->{gone}{$r} = connect_to('SET dlock.client = x');
		return $x->{gone}{$r}
		  ->ask("SELECT dlock_acquire('$r', ttl := '1 h', scope := 'session')");
	}
	return $x->ask("SELECT dlock_acquire('$r', ttl := '1 h')");
}

# end_all(X, BEFORE) has client x take and lose a resource for every pair of
# ways, with the writer blocked from the end on.  Those who want them next stand
# in line already where BEFORE is set.  Gives the resources, and who blocks.
sub end_all
{
	my ($x, $before) = @_;
	my %resources;
	my $blocker;

	foreach my $end (sort keys %end)
	{
		foreach my $grant (sort keys %grant)
		{
			my $r = "$end-$grant-" . ($before ? 'queued' : 'later');
			my $y = connect_to("SET dlock.client = 'y-$r'");
			(my $sql = $grant{$grant}) =~ s/%r/$r/;

			$resources{$r} = {
				end => $end, sql => $sql, y => $y, t1 => take($x, $r, $end) };
		}
	}
	if ($before)
	{
		$_->{y}->tell($_->{sql}) foreach values %resources;
		poll_rows($node, 'SELECT count(*) FROM dlock_queue()',
			scalar keys %resources);
	}
	$blocker = block_writer();
	$end{ $resources{$_}{end} }->($x, $_) foreach sort keys %resources;
	unless ($before)
	{
		$_->{y}->tell($_->{sql}) foreach values %resources;
	}
	settled(map { $_->{y} } values %resources);
	return (\%resources, $blocker);
}

sub restart_after_crash
{
	kill_postmaster($node);
	poll_start($node);
	poll_ready($node);
	return;
}

foreach my $before (0, 1)
{
	my $when = $before ? 'handed over' : 'granted';
	my ($x, $resources, $blocker);
	my $lost = 0;

	# crash while nothing of the ends is durable
	$x = connect_to('SET dlock.client = x');
	($resources, $blocker) = end_all($x, $before);
	foreach my $r (sort keys %$resources)
	{
		my $acknowledged = $resources->{$r}{y}->answered;

		ok(!$acknowledged, "not $when before the end is durable: $r");
		$lost++ if $acknowledged;
	}
	restart_after_crash();
	forget_sessions();
	$x = connect_to('SET dlock.client = x');
	foreach my $r (sort keys %$resources)
	{
		is( $x->ask(
				"SELECT count(*) FROM dlock_renew('$r', token := $resources->{$r}{t1})"),
			1,
			"so the old one may come back after a crash: $r");
	}
	is($x->ask('SELECT dlock_release_all()'), scalar keys %$resources,
		'all have come back');

	# the same, and the ends become durable before the crash
	($resources, $blocker) = end_all($x, $before);
	$blocker->ask('ROLLBACK');
	foreach my $r (sort keys %$resources)
	{
		my $one = $resources->{$r};

		($one->{t2}) = $one->{y}->answer =~ /(\d+)\s*\z/;
		cmp_ok($one->{t2} // 0, '>', $one->{t1}, "$when once it is durable: $r");
		$one->{y}->ask("INSERT INTO work (resource, token) VALUES ('$r', $one->{t2}); COMMIT")
		  if $one->{sql} =~ /BEGIN/;
	}
	restart_after_crash();
	forget_sessions();
	$x = connect_to('SET dlock.client = x');
	foreach my $r (sort keys %$resources)
	{
		my ($out, $err) =
		  $x->ask("SELECT count(*) FROM dlock_renew('$r', token := $resources->{$r}{t1})");

		is(error_parts($err)->{state}, 'LK001', "the old one does not come back: $r");
		($out, $err) = $x->ask("SELECT dlock_try_acquire('$r')");
		ok($out eq '' || $out > $resources->{$r}{t2}, "tokens rise: $r");
	}
	$x->ask('SELECT dlock_release_all()');
	rows($node, q{SELECT dlock_force_release(resource) FROM dlock_list()});
	forget_sessions();
}

#
# A lease that is made weaker
#

{
	my $x = connect_to('SET dlock.client = x');
	my $y = connect_to('SET dlock.client = y');
	my $blocker;

	$x->ask(q{SELECT dlock_acquire('weaker', ttl := '1 h')});
	$blocker = block_writer();
	$x->ask(q{SELECT dlock_set_options('weaker', mode := 'shared')});
	$y->tell(q{BEGIN; SELECT dlock_acquire('weaker', mode := 'shared', scope := 'transaction')});
	settled($y);
	ok(!$y->answered, 'nobody shares it before it is durably shared');
	$blocker->ask('ROLLBACK');
	like(scalar $y->answer, qr/\d/, 'then it is shared');
	forget_sessions();
}

#
# Two sessions of one client
#

# The first has to wait, so has the second: that the client holds it proves
# nothing as long as the first has not been told.
{
	my $x = connect_to('SET dlock.client = x');
	my $y = connect_to('SET dlock.client = y');
	my $again = connect_to('SET dlock.client = y');
	my $blocker;

	$x->ask(q{SELECT dlock_acquire('two', ttl := '1 h')});
	$blocker = block_writer();
	$end{released}->($x, 'two');
	$y->tell(q{SELECT dlock_acquire('two')});
	settled($y);
	$again->tell(q{BEGIN; SELECT dlock_acquire('two', scope := 'transaction')});
	settled($again);
	ok(!$again->answered, 'a second session waits for the same end');
	$blocker->ask('ROLLBACK');
	is(scalar $again->answer, scalar $y->answer, 'and has the same lease');
	forget_sessions();
}

# An upgrade by a hold of the transaction waits for those who shared it; so does
# the commit of another session that relies on the upgrade.
{
	my $x = connect_to('SET dlock.client = x');
	my $other = connect_to('SET dlock.client = x');
	my $z = connect_to('SET dlock.client = z');
	my $blocker;
	my $token;

	$token = $x->ask(q{SELECT dlock_acquire('up', ttl := '1 h', mode := 'shared')});
	$z->ask(q{SELECT dlock_acquire('up', ttl := '1 h', mode := 'shared')});
	$blocker = block_writer();
	$z->ask(q{SELECT dlock_release('up')});
	$x->tell(q{BEGIN; SELECT dlock_acquire('up', scope := 'transaction')});
	settled($x);
	ok(!$x->answered, 'an upgrade waits for the end of another holder');
	$other->ask(qq{BEGIN; SELECT dlock_fence('up', $token);
		INSERT INTO work (resource, token) VALUES ('up', $token)});
	$other->tell('COMMIT');
	settled($other);
	ok(!$other->answered, 'so does a commit that relies on it');
	$blocker->ask('ROLLBACK');
	is(scalar $x->answer, $token, 'the upgrade is granted then');
	is($other->answer, '', 'and the commit succeeds');
	is(rows($node, q{SELECT count(*) FROM work WHERE resource = 'up'}), 1,
		'its row is there');
	forget_sessions();
}

#
# An upgrade that is undone while a commit depends on it
#

# The first session of client x upgrades its shared lease and waits for the
# flush.  The second writes what only an exclusive holder may, and its commit is
# under way when the first gives up.  The next holder reads what it wrote.
rows($node, 'CREATE TABLE account (balance int); INSERT INTO account VALUES (100)');
expect_log($node,
	qr/client backend .*ERROR:  (?:canceling statement|could not make a lease on resource "undo-timeout" durable|could not commit|no quorum)/,
	qr/client backend .*FATAL:  terminating connection due to administrator command/,
	qr/dlock writer WARNING:  canceling the wait for synchronous replication/);

my %give_up = (
	cancel => [
		'', sub { rows($node, 'SELECT pg_cancel_backend(' . $_[0]->pid . ')') }, '57014' ],
	termination => [
		'', sub { rows($node, 'SELECT pg_terminate_backend(' . $_[0]->pid . ')') }, '57P01' ],
	timeout => [ ", timeout := '10 ms'", sub { }, 'LK005' ],
	quorum => [ '', sub { }, 'LK003' ]);

# set_standbys(NAMES) has commits wait for standbys, of which there are none.
sub set_standbys
{
	my ($names) = @_;

	rows($node, "ALTER SYSTEM SET synchronous_standby_names = '$names'");
	$node->reload;
	poll_rows($node, 'SHOW synchronous_standby_names', $names);
	# the checkpointer tells whether commits wait at all
	rows($node, 'CHECKPOINT');
	return;
}

foreach my $how (sort keys %give_up)
{
	my ($option, $act, $state) = @{ $give_up{$how} };
	my $first = connect_to("SET dlock.client = x; SET dlock.quorum_timeout = '300 ms'");
	my $second = connect_to('SET dlock.client = x; CREATE TEMP TABLE rest (n int) ON COMMIT DELETE ROWS');
	my $next = connect_to('SET dlock.client = next');
	my $holder = connect_to('');
	my $token = $first->ask("SELECT dlock_acquire('undo-$how', ttl := '1 h', mode := 'shared')");
	my $blocker;
	my ($out, $err);

	$second->ask('SELECT 1');
	if ($how eq 'quorum')
	{
		set_standbys('nobody');
	}
	else
	{
		$blocker = block_writer();
	}
	$holder->ask('BEGIN');
	$holder->ask('LOCK TABLE ' . rows($node, "
		SELECT relnamespace::regnamespace || '.rest' FROM pg_class WHERE relname = 'rest'")
		  . ' IN ACCESS SHARE MODE');
	$first->tell("SELECT dlock_acquire('undo-$how'$option)");
	poll_rows($node, "SELECT mode FROM dlock_status('undo-$how')", 'exclusive');
	$second->ask("BEGIN; SELECT dlock_fence('undo-$how', $token);
		UPDATE account SET balance = balance - 10");
	$second->tell('INSERT INTO rest VALUES (1); COMMIT');
	poll_rows($node, 'SELECT count(*) FROM pg_stat_activity WHERE pid = '
		  . $second->pid . q{ AND wait_event_type = 'Lock'}, '1');
	$next->tell("SET dlock.durable = off; BEGIN;
		SELECT dlock_acquire('undo-$how', mode := 'shared', scope := 'transaction') > 0");
	poll_rows($node, 'SELECT count(*) FROM dlock_queue()', '1');

	$act->($first);
	($out, $err) = $first->answer;
	is(error_parts($err)->{state}, $state, "an upgrade gives up: $how");
	is(rows($node, 'SELECT count(*) FROM dlock_queue()'), 1,
		"nobody shares the lease while a commit depends on it: $how");
	$holder->ask('COMMIT');
	is(scalar $second->answer, '', "the commit succeeds: $how") if $how ne 'quorum';
	$blocker->ask('ROLLBACK') if defined $blocker;
	set_standbys('') if $how eq 'quorum';
	is(scalar $second->answer, '', "the commit succeeds: $how") if $how eq 'quorum';
	is(scalar $next->answer, 't', "then it is shared: $how");
	is($next->ask('SELECT balance FROM account'), rows($node, 'SELECT balance FROM account'),
		"and shows what was written: $how");
	is(rows($node, "SELECT mode FROM dlock_list('x') WHERE resource = 'undo-$how'"),
		'shared', "the lease is shared again: $how");
	$_->quit foreach $first, $second, $next, $holder;
	forget_sessions();
	rows($node, 'SELECT dlock_force_release(resource) FROM dlock_list()');
}

# A transaction that took the lease as exclusive does not commit when another
# session of its client has made it shared.
{
	my $x = connect_to('SET dlock.client = x');
	my $other = connect_to('SET dlock.client = x');
	my $y = connect_to('SET dlock.client = y');
	my ($out, $err);

	$x->ask(q{BEGIN; SELECT dlock_acquire('mode', scope := 'transaction');
		UPDATE account SET balance = balance - 1});
	$other->ask(q{SELECT dlock_set_options('mode', mode := 'shared')});
	like($y->ask(q{SELECT dlock_acquire('mode', mode := 'shared')}), qr/\d/,
		'a lease is made shared by another session');
	($out, $err) = $x->ask('COMMIT');
	is(error_parts($err)->{state}, 'LK001', 'the commit that needs it exclusive fails');
	like(error_parts($err)->{detail}, qr/no longer held in exclusive mode/, 'and says why');
	forget_sessions();
	rows($node, 'SELECT dlock_force_release(resource) FROM dlock_list()');
}

# A lease that another session makes shared while a hold of it as exclusive is
# made durable: it stays exclusive for that hold, and nobody comes in.
foreach my $call (q{dlock_acquire('shrunk') > 0}, q{dlock_set_options('shrunk', mode := 'exclusive')})
{
	my ($x, $y) = map { connect_to("SET dlock.debug_stop = none; SET dlock.client = $_") } qw(x y);
	my $other = connect_to('SET dlock.client = x');
	my $position = log_position($node);

	$x->ask(q{SELECT dlock_acquire('shrunk', ttl := '1 h')});
	$x->ask(q{SELECT dlock_set_options('shrunk', mode := 'shared')}) if $call =~ /options/;
	set_stop($node, 'grant_flushed');
	$other->tell("SELECT $call");
	wait_stopped($node, 'grant_flushed', $position);
	$x->ask(q{SELECT dlock_set_options('shrunk', mode := 'shared')});
	is($y->ask(q{SELECT dlock_try_acquire('shrunk', mode := 'shared')}), '',
		"it is exclusive before that is acknowledged: $call");
	clear_stop($node);
	is(scalar $other->answer, 't', 'and afterwards');
	is(rows($node, q{SELECT mode FROM dlock_status('shrunk')}), 'exclusive', 'exclusively');
	is($other->ask(q{SELECT dlock_set_options('shrunk', mode := 'shared')}), 't', 'until the client wants less');
	like($y->ask(q{SELECT dlock_try_acquire('shrunk', mode := 'shared')}), qr/\d/, 'then it is shared');
	forget_sessions();
	rows($node, 'SELECT dlock_force_release(resource) FROM dlock_list()');
}

# A lease whose row may come later is not written with the end of the one before
# it in the slot: else its own end had to be waited for, and so on for ever.
{
	my $session = connect_to('SET dlock.client = quick');
	my $before;

	$session->ask(q{SELECT dlock_acquire('quick')});
	$before = rows($node, 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
	$session->ask(q{SELECT dlock_release('quick')});
	$session->ask('SET dlock.durable = off');
	$session->ask(<<'EOSQL');
DO $$
BEGIN
	FOR i IN 1..3000 LOOP
		PERFORM dlock_acquire('quick');
		PERFORM dlock_force_release('quick');
	END LOOP;
END $$
EOSQL
	cmp_ok(rows($node, 'SELECT pg_snapshot_xmax(pg_current_snapshot())') - $before, '<', 1000,
		'leases that are not durable wait for no batch of their own');
	forget_sessions();
}

# Requests that are taken back leave nothing of the mode that they asked for.
{
	my ($one, $two, $three) = map { connect_to('SET dlock.client = x') } 1 .. 3;
	my $blocker;

	$one->ask(q{SELECT dlock_acquire('down', ttl := '1 h')});
	$one->ask(q{BEGIN; SELECT dlock_set_options('down', mode := 'shared')});
	$blocker = block_writer();
	$two->tell(q{SELECT dlock_acquire('down')});
	settled($two);
	rows($node, 'SELECT pg_cancel_backend(' . $two->pid . ')');
	like(($two->answer)[1], qr/57014/, 'an exclusive hold is cancelled');
	$one->ask('COMMIT');
	$blocker->ask('ROLLBACK');
	is(rows($node, q{SELECT mode FROM dlock_status('down')}), 'shared', 'a downgrade asked for before it is not lost');

	$one->ask(q{SELECT dlock_acquire('up2', ttl := '1 h', mode := 'shared')});
	$blocker = block_writer();
	$_->tell(q{SELECT dlock_acquire('up2')}) foreach $two, $three;
	settled($two, $three);
	foreach my $session ($two, $three)
	{
		rows($node, 'SELECT pg_cancel_backend(' . $session->pid . ')');
		$session->answer;
	}
	$blocker->ask('ROLLBACK');
	is(rows($node, q{SELECT mode, hold_count FROM dlock_list('x') WHERE resource = 'up2'}), 'shared|1',
		'two upgrades of a client, both taken back');
	forget_sessions();
	rows($node, 'SELECT dlock_force_release(resource) FROM dlock_list()');
}

#
# A lease that runs out while a hold is added to it
#

# Its client asks for what it has, and has it no more when that is durable: it
# is granted anew, as if it had asked a moment later.  So it is where others
# have it by then.
foreach my $other ('', 'other')
{
	my $x = connect_to('SET dlock.client = x');
	my $y = connect_to('SET dlock.client = other');
	my $blocker;
	my ($t1, $t2);

	$t1 = $x->ask("SELECT dlock_acquire('again$other', ttl := '300 ms')");
	$blocker = block_writer();
	$x->tell("SELECT dlock_acquire('again$other', ttl := '300 ms')");
	poll_rows($node, "SELECT hold_count FROM dlock_list('x') WHERE resource = 'again$other'", '2');
	if ($other)
	{
		$y->tell("SELECT dlock_acquire('again$other', ttl := '300 ms')");
		poll_rows($node, "SELECT holder FROM dlock_status('again$other')", 'other');
	}
	else
	{
		poll_rows($node, "SELECT status FROM dlock_status('again$other')", 'free');
	}
	ok(!$x->answered, 'a lease runs out while its flush is waited for');
	$blocker->ask('ROLLBACK');
	($t2) = $x->answer =~ /^(\d+)$/;
	cmp_ok($t2 // 0, '>', $t1, 'its client is granted it anew' . ($other && ', in its turn'));
	forget_sessions();
}

#
# A renewal promises what the row says, and no more
#

# Another session of the client has asked for a longer time, or for the first
# durable hold, and waits for the flush: a renewal without a time of its own is
# told of the same, and so waits for the same.
{
	my $x = connect_to('SET dlock.client = x');
	my $other = connect_to('SET dlock.client = x');
	my $holder = connect_to('SET dlock.client = x');
	my $blocker;

	$x->ask(q{SELECT dlock_acquire('longer', ttl := '10 s')});
	$holder->ask(q{BEGIN; SELECT dlock_acquire('first', scope := 'transaction')});
	$blocker = block_writer();
	$x->tell(q{SELECT expires_at > clock_timestamp() + '1 h' FROM dlock_renew('longer', ttl := '2 h')});
	settled($x);
	$other->tell(q{SELECT expires_at > clock_timestamp() + '1 h' FROM dlock_renew('longer')});
	settled($other);
	ok(!$other->answered, 'a renewal waits for a longer time that is not durable');
	$blocker->ask('ROLLBACK');
	is($x->answer . $other->answer, 'tt', 'both are told of the longer time then');

	$blocker = block_writer();
	$x->tell(q{SELECT dlock_acquire('first') > 0});
	settled($x);
	$other->tell(q{SELECT waiters FROM dlock_renew('first')});
	settled($other);
	ok(!$other->answered, 'a renewal waits for the first row of a lease');
	$blocker->ask('ROLLBACK');
	is($x->answer . $other->answer, 't0', 'and is answered then');
	forget_sessions();
	rows($node, 'SELECT dlock_force_release(resource) FROM dlock_list()');
}

#
# Nothing to wait for
#

# What was never written cannot come back.
{
	my $x = connect_to('SET dlock.client = x');
	my $y = connect_to('SET dlock.client = y; SET dlock.durable = off');
	my $blocker = block_writer();

	$x->ask(q{BEGIN; SELECT dlock_acquire('none', scope := 'transaction')});
	$x->ask('COMMIT');
	like($y->ask(q{SELECT dlock_acquire('none')}), qr/\d/,
		'nothing to wait for after a lease of a transaction');
	$y->ask(q{SELECT dlock_release('none')});
	$x->ask(q{SET dlock.durable = off});
	like($x->ask(q{SELECT dlock_acquire('none')}), qr/\d/,
		'nor after one that was not durable');
	$blocker->ask('ROLLBACK');
	forget_sessions();
}

# With dlock.durable = off the row follows; once it is there the lease comes
# back like any other.
{
	my $x = connect_to('SET dlock.client = x; SET dlock.durable = off');
	my $y = connect_to('SET dlock.client = y; SET dlock.durable = off');
	my $blocker;

	$x->ask(q{SELECT dlock_acquire('followed', ttl := '1 h')});
	poll_rows($node, q{SELECT count(*) FROM dlock.locks
		WHERE resource_name = 'followed' AND status = 'held'}, '1');
	$blocker = block_writer();
	$x->ask(q{SELECT dlock_release('followed')});
	$y->tell(q{SELECT dlock_acquire('followed')});
	settled($y);
	ok(!$y->answered, 'one whose row has followed is waited for');
	$blocker->ask('ROLLBACK');
	like(scalar $y->answer, qr/\d/, 'and then it is granted');

	# ... and a session that wants it durable waits for that
	$x->ask(q{SELECT dlock_acquire('late', ttl := '1 h')});
	$blocker = block_writer();
	$x->ask('SET dlock.durable = on');
	$x->tell(q{SELECT waiters FROM dlock_renew('late')});
	settled($x);
	ok(!$x->answered, 'a durable renewal makes a lease durable that was not');
	$blocker->ask('ROLLBACK');
	is(scalar $x->answer, 0, 'and is answered then');
	restart_after_crash();
	forget_sessions();
	is(rows($node, q{SELECT count(*) FROM dlock_list('x') WHERE resource = 'late'}),
		1, 'it survives a crash');
}

#
# Two databases that share a word
#

# There are 32 words here, so that each tells of many names.
{
	my $small = dlock_node('words', 'dlock.max_leases = 16');
	my ($x, $y, $blocker);

	rows($small, 'CREATE DATABASE other');
	rows($small, 'CREATE EXTENSION dlock', 'other');
	($x, $y, $blocker) = map { DlockSession->new($small) } 1 .. 3;
	$x->ask('SET dlock.client = x');
	$x->ask(q{SELECT dlock_acquire('r', ttl := '1 h')});
	$blocker->ask('BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
	$x->ask(q{SELECT dlock_release('r')});
	rows($small, q{DO $$ BEGIN
		FOR i IN 1 .. 200 LOOP
			PERFORM dlock_acquire('r' || i, client => 'c');
			COMMIT;
			PERFORM dlock_release('r' || i, client => 'c');
			COMMIT;
		END LOOP; END $$}, 'other');
	$y->tell(q{SET dlock.client = y; BEGIN; SELECT dlock_acquire('r', scope := 'transaction')});
	poll_until('the next client sleeps or has its answer', sub {
		$y->answered || rows($small, 'SELECT count(*) FROM pg_stat_activity WHERE pid = '
			  . $y->pid . q{ AND state = 'active' AND wait_event_type = 'Extension'}) });
	ok(!$y->answered, 'an end is not forgotten for those of another database');
	$blocker->ask('ROLLBACK');
	like(scalar $y->answer, qr/\d/, 'and no longer waited for than needed');
	$_->quit foreach $x, $y, $blocker;
}

done_testing();
