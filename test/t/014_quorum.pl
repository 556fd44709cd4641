# What must hold where standbys are synchronous:
#
# - a grant is acknowledged when they have confirmed it, and not before; one
#   that they do not confirm in time is not reported and does not stay;
# - a renewal is answered after a flush that began after the call and was
#   confirmed, one for all that wait, and none on a single server;
# - when they have confirmed nothing for dlock.quorum_timeout, whatever would
#   wait for them fails with LK003, which names those that are missing; what
#   waits for nobody goes on; and it is over when they are back.
#
# Why it could fail: renewals change no row, so there may be nothing to flush,
# and the flush under way began too early; the writer waits for standbys in
# more than one place; a grant that is handed over meets no check at its
# arrival; and who waits cannot tell a slow standby from one that has gone.
#
# Requests wait for ever here (dlock.quorum_timeout = 0), but where it is the
# guard that is tested: a loaded machine must not look like a lost standby.
# Some clients wait for each other crosswise, so nobody looks for deadlocks.
# fsync is off: nothing crashes but servers.
use strict;
use warnings;

use DlockNode qw(dlock_node expect_log poll_rows poll_until rows set_stop
  clear_stop wait_stopped log_position sleeping table_matches);
use DlockSession qw(error_parts sql_error);
use DlockStandby qw($standby_conf add_standby set_synchronous hold let_go
  wait_streaming wait_sync_rep next_xid);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $primary = dlock_node('primary', <<EOCONF, allows_streaming => 1);
$standby_conf
fsync = off
max_connections = 60
dlock.quorum_timeout = 0
dlock.deadlock_timeout = '1 d'
dlock.default_ttl = '20 min'
EOCONF

sub on_primary { return rows($primary, $_[0]); }

# is_free(RESOURCE, NAME)
sub is_free
{
	my ($resource, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return is(on_primary("SELECT status FROM dlock_status('$resource')"),
		'free', $name);
}

# wait_until_idle() waits until all is written and no row of a released lease
# is left to delete: from then on the writer writes only what it is asked to.
sub wait_until_idle
{
	table_matches($primary);
	return poll_rows($primary, q{
		SELECT count(*) FROM dlock.locks WHERE status <> 'held'}, '0');
}

# waiting(SQL) gives a session in which that waits for the writer.
sub waiting
{
	my ($sql) = @_;
	my $session = DlockSession->new($primary);

	$session->tell($sql);
	poll_until("there is waiting or an answer: $sql",
		sub { $session->answered || sleeping($primary, $session->pid) });
	return $session;
}

# expire(RESOURCE...) has leases run out, without waiting for a standby.
sub expire
{
	foreach my $resource (@_)
	{
		my $token = on_primary("SELECT token FROM dlock_status('$resource')");

		on_primary(qq{
			SET dlock.durable = off;
			SELECT dlock_renew('$resource', '1 ms', client => holder)
			  FROM dlock_status('$resource')});
		poll_rows($primary, "SELECT token IS DISTINCT FROM $token FROM dlock_status('$resource')", 't');
	}
	return;
}

# how requests are made that are to fail for want of a quorum
my $guard = q{SET dlock.quorum_timeout = '200 ms'; SET statement_timeout = '30 s'; };

# no_quorum(SQL, NAME, DATABASE) tests that SQL fails with LK003; gives the error.
sub no_quorum
{
	my ($sql, $name, $dbname) = @_;
	my ($rc, $out, $err) = $primary->psql(
		$dbname // 'postgres', "$guard $sql",
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	my $error = error_parts($err);
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is("$error->{state} $error->{message}$out",
		'LK003 no quorum of synchronous standbys', "LK003: $name");
	return $error;
}

#
# A single server
#

# Others write as well, so what they write may come between once or twice.
{
	my ($same_xid, $same_place) = (0, 0);

	on_primary(q{
		SELECT dlock_acquire('single', client => 'c');
		SELECT dlock_acquire('single:' || i, client => 'all') FROM generate_series(1, 20) i});
	wait_until_idle();
	foreach my $attempt (1 .. 5)
	{
		my $xid = next_xid($primary);
		my $place = on_primary('SELECT pg_current_wal_insert_lsn()');

		on_primary(q{
			SELECT count(*) FROM generate_series(1, 100) i,
				LATERAL dlock_renew('single', client => CASE WHEN i > 0 THEN 'c' END);
			SELECT dlock_renew_all(client => 'all')});
		$same_xid ||= next_xid($primary) == $xid;
		$same_place ||= on_primary('SELECT pg_current_wal_insert_lsn()') eq $place;
		last if $same_place && $same_xid;
	}
	ok($same_xid, 'renewals on a single server take no transaction');
	ok($same_place, 'and write nothing');
	on_primary(q{SELECT dlock_release('single', client => 'c'), dlock_release_all(client => 'all')});
}

#
# Grants
#
my $east = add_standby($primary, 'east');
my $west = add_standby($primary, 'west');

# The first token is made durable: some of what follows waits for nobody.
set_synchronous($primary, 'FIRST 1 (east)', 'east:sync');

# what the clients have been told of
on_primary(q{
	SELECT dlock_acquire('held', client => 'alice');
	SELECT dlock_acquire('line', client => 'alice');
	SELECT dlock_acquire('both', mode => 'shared', client => 'alice');
	SELECT dlock_acquire('both', mode => 'shared', client => 'bob');
	SELECT dlock_acquire('down', client => 'alice');
	SELECT dlock_acquire('many:' || i, client => 'many') FROM generate_series(1, 200) i});
wait_until_idle();

hold($east);
{
	my %session = map {
		$_ => waiting("SELECT dlock_acquire('grant:$_', client => '$_')")
	} qw(told cancelled terminated gone);
	my $began = time;
	my ($out, $err);

	my $writer = wait_sync_rep($primary);
	my $error = sql_error($primary, 'postgres',
		q{SELECT dlock_acquire('grant:timeout', timeout => '1500 ms', client => 'late')});
	is("$error->{state} $error->{message}",
		'LK005 could not make a lease on resource "grant:timeout" durable in time',
		'timeout bounds the wait for standbys');
	is($error->{detail}, "Writer process $writer is waiting for the WAL flush and the standbys. It is waiting for IPC: SyncRep.", 'and says so');
	is($error->{hint}, 'The request was withdrawn. Try again with a longer timeout, or see the server log for what is delaying the writer.', 'and what to do');
	cmp_ok(time - $began, '>=', 1.5, 'not before its time');
	is( sql_error($primary, 'postgres', q{
			SET lock_timeout = '1200 ms';
			SELECT dlock_acquire('grant:timeout', client => 'late')})->{state},
		'LK005', 'so does lock_timeout');
	is( sql_error($primary, 'postgres',
			q{SELECT dlock_try_acquire('grant:timeout', timeout => '1200 ms', client => 'late')})->{state},
		'LK005', 'to try is an error as well');
	is_free('grant:timeout', 'and nothing stays');

	on_primary('SELECT pg_cancel_backend(' . $session{cancelled}->pid . ')');
	on_primary('SELECT pg_terminate_backend(' . $session{terminated}->pid . ')');
	($out, $err) = $session{cancelled}->answer;
	is(error_parts($err)->{state} . $out, '57014', 'a cancelled wait gives no token');
	($out, $err) = $session{terminated}->answer;
	is(error_parts($err)->{state} . $out, '57P01', 'nor does a terminated one');
	$session{gone}->close;
	foreach my $who (qw(cancelled terminated gone))
	{
		poll_rows($primary, "SELECT status FROM dlock_status('grant:$who')", 'free');
		pass("$who: the lease does not stay");
	}
	ok(!$session{told}->answered, 'who waits is not told before the standby has confirmed it');
	let_go($east);
	like($session{told}->answer, qr/^\d+$/, 'but then');
	on_primary(q{SELECT dlock_release('grant:told', client => 'told')});
	wait_until_idle();
	is(on_primary(q{SELECT count(*) FROM dlock.locks WHERE resource_name LIKE 'grant:%'}),
		'0', 'nothing stays in the table');
}

# As synchronous_commit asks: the standby has it on disk, but not applied.
{
	my ($session, $error, $at);

	on_primary('ALTER SYSTEM SET synchronous_commit = remote_apply');
	$primary->reload;
	poll_rows($primary, 'SHOW synchronous_commit', 'remote_apply');
	rows($east, 'SELECT pg_wal_replay_pause()');
	poll_rows($east, 'SELECT pg_get_wal_replay_pause_state()', 'paused');
	$session = waiting(q{SELECT dlock_acquire('applied', client => 'alice')});
	wait_sync_rep($primary);
	$at = on_primary('SELECT pg_current_wal_flush_lsn()');
	poll_rows($primary, "SELECT flush_lsn >= '$at' FROM pg_stat_replication WHERE application_name = 'east'", 't');
	ok(!$session->answered, 'remote_apply: flushed by the standby is not enough');
	$error = no_quorum(q{SELECT dlock_acquire('applied:2', client => 'alice')}, 'remote_apply');
	like($error->{detail}, qr/ Connected but behind: "east"\.$/,
		'remote_apply: the detail names the standby that has not applied it');
	rows($east, 'SELECT pg_wal_replay_resume()');
	like($session->answer, qr/^\d+$/, 'remote_apply: acknowledged once it is applied');
	on_primary('ALTER SYSTEM RESET synchronous_commit');
	$primary->reload;
	poll_rows($primary, 'SHOW synchronous_commit', 'on');
	on_primary(q{SELECT dlock_release('applied', client => 'alice')});
}

#
# The renewal barrier
#

# waits_for_standby(SQL) tells whether SQL is answered only after the standby
# has confirmed something; gives its answer as well, and how far the clock was
# before that.
sub waits_for_standby
{
	my ($sql) = @_;
	my ($session, $waited, $confirmed);

	wait_until_idle();
	hold($east);
	$session = waiting($sql);
	$waited = !$session->answered;
	wait_sync_rep($primary) if $waited;
	$confirmed = on_primary('SELECT clock_timestamp()');
	let_go($east);
	return ($waited, scalar $session->answer, $confirmed);
}

my %renewals = (
	'renew' => q{SELECT expires_at FROM dlock_renew('held', client => 'alice')},
	'renew with the same duration' =>
	  q{SELECT expires_at FROM dlock_renew('held', '20 min', client => 'alice')},
	'renew with a shorter duration' =>
	  q{SELECT expires_at FROM dlock_renew('held', '19 min', client => 'alice')},
	'renew_all' => q{SELECT dlock_renew_all(client => 'many')},
	'set_options' => q{SELECT dlock_set_options('held', ttl => '20 min', client => 'alice')});

foreach my $name (sort keys %renewals)
{
	my ($waited, $answer, $confirmed) = waits_for_standby($renewals{$name});

	ok($waited, "$name waits for the standby");
	is(on_primary("SELECT '$answer'::timestamptz <= '$confirmed'::timestamptz + '20 min'::interval"),
		't', "$name: the time counts from before the flush began")
	  if $name =~ /^renew\b(?!_)/;
	next if $name =~ /shorter/;	# which the row has to follow

	# would the assertion above notice?
	($waited, $answer) =
	  waits_for_standby("SET dlock.debug_no_barrier = on; $renewals{$name}");
	ok(!$waited, "$name without the barrier does not");
	isnt($answer, '', "$name without the barrier is answered");
}

{
	my ($waited, $answer) = waits_for_standby(
		q{SELECT expires_at FROM dlock_renew('held', '30 min', client => 'alice')});

	ok($waited, 'so does one that makes the lease longer');
	$east->stop('immediate');
	is(rows($primary, q{SELECT ttl FROM dlock.locks WHERE resource_name = 'held'}),
		'00:30:00', 'which is written');
	$east->start;
	is(rows($east, q{SELECT ttl FROM dlock.locks WHERE resource_name = 'held'}),
		'00:30:00', 'on the standby, too, by the time of the answer');
	wait_streaming($primary, $east);
}

{
	my ($waited, $answer) = waits_for_standby(
		q{SET dlock.durable = off; SELECT waiters FROM dlock_renew('held', client => 'alice')});

	is("$waited$answer", '0', 'dlock.durable = off waits for nobody');
	($waited, $answer) = waits_for_standby(q{
		BEGIN;
		SELECT dlock_acquire('scope', scope => 'transaction', ttl => '1 min') > 0;
		SELECT waiters FROM dlock_renew('scope');
		COMMIT});
	is("$waited$answer", "t\n0", 'nor does a lease of a transaction');
	($waited, $answer) = waits_for_standby(q{SELECT dlock_renew_all(client => 'nobody')});
	is("$waited$answer", '0', 'nor does a renewal of nothing');
}

# The flush that is under way has begun before the call.
{
	my $position = log_position($primary);
	my ($first, $renewal);

	set_stop($primary, 'rows_flushed');
	$first = waiting(q{SELECT dlock_acquire('under:way', client => 'alice')});
	wait_stopped($primary, 'rows_flushed', $position);
	$renewal = waiting(q{SELECT waiters FROM dlock_renew('held', client => 'alice')});
	ok(!$first->answered && !$renewal->answered, 'a flush is under way');
	$position = log_position($primary);
	set_stop($primary, 'batch_collected');
	like($first->answer, qr/^\d+$/, 'who waited for that flush is told');
	wait_stopped($primary, 'batch_collected', $position);
	ok(!$renewal->answered, 'a renewal that came later waits for the next');
	clear_stop($primary);
	is($renewal->answer, '0', 'and is told then');
	on_primary(q{SELECT dlock_release('under:way', client => 'alice')});
}

# One for all: the first has a flush of its own, since it finds the writer idle.
{
	my @sessions = map { DlockSession->new($primary) } 0 .. 20;
	my $number = 0;
	my $before;

	foreach my $session (@sessions)
	{
		$session->ask('SET dlock.client = ' . "'shared:" . $number++ . "'");
		$session->ask(q{SELECT dlock_acquire(current_setting('dlock.client'))});
	}
	wait_until_idle();
	$before = next_xid($primary);
	hold($east);
	foreach my $session (@sessions)
	{
		$session->tell(q{SELECT waiters FROM dlock_renew(current_setting('dlock.client'))});
		wait_sync_rep($primary) if $session == $sessions[0];
	}
	poll_until('all renewals wait', sub { sleeping($primary, map { $_->pid } @sessions) == @sessions });
	let_go($east);
	is(join(' ', map { scalar $_->answer } @sessions),
		join(' ', (0) x @sessions), 'all renewals are answered');
	is(next_xid($primary) - $before, 2, 'the first and 20 others cost two flushes');
	$_->ask('SELECT dlock_release_all()') foreach @sessions;
	$_->quit foreach @sessions;

	wait_until_idle();
	$before = next_xid($primary);
	is((waits_for_standby($renewals{renew_all}))[1], '200', 'dlock_renew_all of 200 leases');
	is(next_xid($primary) - $before, 1, 'costs one flush');
	$before = next_xid($primary);
	is((waits_for_standby(q{SELECT dlock_set_options('held', ttl => '40 min', client => 'alice')}))[1],
		't', 'a longer duration');
	is(next_xid($primary) - $before, 1, 'is written and confirmed by one flush');
}

# A lease that runs out while its renewal is being confirmed is lost, and may
# be another client's by now.
{
	my (@renewals, @answers, $next);

	on_primary(q{SELECT dlock_acquire('short:' || i, client => 'short') FROM generate_series(1, 3) i});
	hold($east);
	@renewals = map { waiting("SET dlock.client = 'short'; $_") }
	  q{SELECT waiters FROM dlock_renew('short:1')},
	  q{SELECT dlock_set_options('short:2', ttl => '19 min')},
	  q{SELECT dlock_renew_all()};
	wait_sync_rep($primary);
	expire('short:1', 'short:2', 'short:3');
	$next = waiting(q{SET dlock.durable = off; SELECT dlock_acquire('short:1', client => 'next')});
	is(on_primary(q{SELECT holder FROM dlock_status('short:1')}), 'next',
		'a lease runs out while its renewal waits for the standby');
	is(join(' ', map { $_->answered || 0 } @renewals), '0 0 0', 'which it still does');
	ok(!$next->answered, 'and so does the next holder, for its end');
	let_go($east);
	like(scalar $next->answer, qr/^\d+$/, 'who is told once that is confirmed');
	@answers = map { [ $_->answer ] } @renewals;
	is(error_parts($answers[$_][1])->{state} . $answers[$_][0], 'LK001', "its client is told that it is lost: call $_")
	  foreach 0, 1;
	is($answers[2][0], '0', 'and no lease is counted');
	on_primary(q{SELECT dlock_release('short:1', client => 'next')});
}

#
# The quorum guard
#
# missing(NAMES, STATES, EXPECTED) tests which standbys the detail names.
sub missing
{
	my ($names, $states, $expected) = @_;
	my $error;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	set_synchronous($primary, $names, $states);
	$error = no_quorum(q{SELECT dlock_acquire('missing')}, $names);
	is($error->{detail} =~ s/^Leases have been waiting for confirmation since \S+ \S+\.(?: |$)//r,
		$expected, "$names: who is missing");
	return;
}

# back() waits until grants are confirmed again, in a session with the guard.
sub back
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	poll_until("it is over: $name", sub {
		($primary->psql('postgres', "$guard SELECT dlock_acquire('back', client => 'back')"))[1] =~ /^\d+$/ });
	is(on_primary(q{SELECT dlock_force_release('back')}), '1', "over by itself: $name");
	return;
}

wait_until_idle();

# A standby that is connected but confirms nothing.
{
	my $upgrade = waiting(q{SELECT dlock_set_options('both', mode => 'exclusive', client => 'alice')});
	my $in_line = waiting(q{SET dlock.quorum_timeout = '200 ms'; SELECT dlock_acquire('line', client => 'bob')});
	my $in_line_behind = waiting(q{SELECT dlock_acquire('line', client => 'carol')});
	my $token = on_primary(q{SELECT token FROM dlock_status('held')});
	my ($patient, $renewal, $other, $began, $error, $since, $out, $err);

	on_primary(q{
		SELECT dlock_acquire('expires', client => 'alice');
		SELECT dlock_acquire('upgrade', mode => 'shared', client => 'alice')});
	$other = waiting(q{SELECT dlock_acquire('expires', client => 'bob')});
	hold($east);
	$began = on_primary('SELECT clock_timestamp()');
	$patient = waiting(q{SELECT dlock_acquire('patient', client => 'alice')});
	$renewal = waiting(q{SELECT waiters FROM dlock_renew('held', client => 'alice')});
	wait_sync_rep($primary);

	$error = no_quorum(q{SELECT dlock_acquire('new')}, 'a new request');
	($since) = $error->{detail} =~
	  /^Leases have been waiting for confirmation since (\S+ \S+)\. Connected but behind: "east"\.$/;
	is(on_primary("SELECT '@{[$since // 'infinity']}'::timestamptz BETWEEN '$began' AND clock_timestamp() - '200 ms'::interval"),
		't', "the detail tells since when, and who is behind: $error->{detail}");
	isnt($error->{hint}, '', 'there is a hint');
	is_free('new', 'nothing stays');

	# at once: they do not even stand in line
	no_quorum($_, "at once: $_") foreach
	  q{SELECT dlock_acquire('held', client => 'bob')},
	  q{SELECT dlock_acquire('held', scope => 'session', client => 'bob')},
	  q{SELECT dlock_try_acquire('held', timeout => '1 h', client => 'bob')},
	  q{SELECT dlock_set_options('upgrade', mode => 'exclusive', client => 'alice')};
	is(on_primary(q{SELECT string_agg(client, ' ' ORDER BY client) FROM dlock_queue()}),
		'alice bob bob carol', 'who stood in line before still does');
	no_quorum($_, $_) foreach
	  q{SELECT dlock_renew('held', client => 'alice')},
	  q{SELECT dlock_renew('held', '50 min', client => 'alice')},
	  q{SELECT dlock_renew_all(client => 'alice')},
	  q{SELECT dlock_set_options('held', ttl => '50 min', client => 'alice')},
	  q{SELECT dlock_acquire('held', client => 'alice')};
	is( on_primary(q{SELECT token, hold_count FROM dlock_list() WHERE resource = 'held'}),
		"$token|1", 'the lease runs on');
	no_quorum(q{SET dlock.debug_no_barrier = on; SELECT dlock_renew('held', client => 'alice')},
		'also without the barrier, while something else waits for the standby');

	# what waits for no standby
	like(on_primary(qq{$guard SET dlock.durable = off; SELECT dlock_acquire('loose', client => 'alice')}),
		qr/^\d+$/, 'dlock.durable = off is served');
	like(on_primary(qq{$guard SET dlock.durable = off; SELECT expires_at FROM dlock_renew('held', client => 'alice')}),
		qr/^\d/, 'and renews');
	like(on_primary(qq{$guard BEGIN; SELECT dlock_acquire('scope', scope => 'transaction'); COMMIT}),
		qr/^\d+$/, 'scope transaction is served');
	is(on_primary(qq{$guard SELECT status FROM dlock_status('held')}), 'exclusive', 'dlock_status');
	is(on_primary(qq{$guard SELECT dlock_release('loose', client => 'alice')}), 't', 'dlock_release');
	is_free('loose', 'takes effect');
	is(on_primary(qq{$guard SELECT dlock_set_options('down', mode => 'shared', client => 'alice')}),
		't', 'a weaker mode');
	is(on_primary(q{SELECT mode FROM dlock_status('down')}), 'shared', 'takes effect');
	is(on_primary(qq{$guard SELECT dlock_set_options('line', priority => 1, client => 'bob')}),
		't', 'a priority');
	is( sql_error($primary, 'postgres',
			q{SELECT dlock_set_options('both', mode => 'exclusive', client => 'bob')})->{state},
		'40P01', 'two upgrades are told of their deadlock');
	is(on_primary(qq{$guard SELECT dlock_force_release('down')}), '1', 'dlock_force_release');

	# who gets the lock by hand-over, or by expiry
	is(on_primary(q{SELECT dlock_release('line', client => 'alice')}), 't', 'the holder releases');
	($out, $err) = $in_line->answer;
	is(error_parts($err)->{state} . $out, 'LK003', 'who is next in line learns that there is no quorum');
	poll_rows($primary, q{SELECT holder, waiters FROM dlock_status('line')}, 'carol|0');
	ok(!$in_line_behind->answered, 'the lease goes on to the next, who has no guard');
	expire('expires');
	is(on_primary(q{SELECT holder, waiters FROM dlock_status('expires')}), 'bob|0',
		'a lease expires, and the next one has it');
	ok(!$other->answered, 'but is not told before the standby has confirmed it');
	is(on_primary(q{SELECT dlock_release('both', client => 'bob')}), 't', 'way for the upgrade');
	poll_rows($primary, q{SELECT mode, holders FROM dlock_status('both')}, 'exclusive|1');
	ok(!$upgrade->answered, 'which waits for the standby');

	# another writer has to wait just the same
	my $writer = wait_sync_rep($primary);
	on_primary("SELECT pg_terminate_backend($writer)");
	isnt(wait_sync_rep($primary, 'postgres', $writer), $writer, 'another writer');
	no_quorum(q{SELECT dlock_acquire('new')}, 'with another writer');
	is(join(' ', map { $_->answered ? 'answered' : 'waits' } $patient, $renewal, $other, $in_line_behind, $upgrade),
		'waits waits waits waits waits', 'nobody was told by the change of writers');

	let_go($east);
	like($patient->answer, qr/^\d+$/, 'dlock.quorum_timeout = 0 waits as long as it takes');
	like($_->answer, qr/^\d+$/, 'the next in line is told') foreach $in_line_behind, $other;
	is($upgrade->answer, 't', 'so is the upgrade');
	is($renewal->answer, '0', 'so is who renews');
	back('a standby that was behind');
	is(on_primary(q{SELECT count(*) FROM dlock_list() WHERE resource IN ('new', 'missing')}),
		'0', 'what failed has left nothing');
}

# Times differ by session.
{
	my $long;

	hold($east);
	$long = waiting(q{SET dlock.quorum_timeout = '1 h'; SELECT dlock_acquire('long', client => 'alice')});
	no_quorum(q{SELECT dlock_acquire('short')}, 'a short patience');
	no_quorum(q{SET dlock.quorum_timeout = '700 ms'; SELECT dlock_acquire('short')}, 'a longer one');
	ok(!$long->answered, 'a very long one');
	let_go($east);
	like($long->answer, qr/^\d+$/, 'which is rewarded');
	on_primary(q{SELECT dlock_release_all('alice')});
}

# The writer deletes rows that are not needed any more, with commits of their
# own; nobody waits for these, but for the writer.
{
	my $position = log_position($primary);
	my ($error, $patient);

	wait_until_idle();
	set_stop($primary, 'slots_trimmed');
	on_primary(q{
		SELECT dlock_acquire('trim', client => 'alice');
		SELECT dlock_release('trim', client => 'alice')});
	wait_stopped($primary, 'slots_trimmed', $position);
	hold($east);
	clear_stop($primary);
	$patient = waiting(q{SELECT dlock_acquire('trim:2', client => 'alice')});
	wait_sync_rep($primary);
	no_quorum(q{SELECT dlock_acquire('trim:3')}, 'while the writer deletes rows');
	let_go($east);
	like($patient->answer, qr/^\d+$/, 'the writer goes on');
	on_primary(q{SELECT dlock_release('trim:2', client => 'alice')});
}

# The first token of a database.
on_primary('CREATE DATABASE fresh');
rows($primary, 'CREATE EXTENSION dlock', 'fresh');
poll_rows($primary, 'SELECT count(*) FROM dlock_list()', '0', 'fresh');
hold($east);
no_quorum(q{SELECT dlock_acquire('first')}, 'the first token', 'fresh');
no_quorum(q{SET dlock.durable = off; SELECT dlock_acquire('first')},
	'the first token, which has to be durable in any case', 'fresh');
no_quorum(q{BEGIN; SELECT dlock_acquire('first', scope => 'transaction')},
	'the first token, for a transaction', 'fresh');
is(rows($primary, q{SELECT status FROM dlock_status('first')}, 'fresh'), 'free', 'nothing stays');
let_go($east);
like(rows($primary, q{SELECT dlock_acquire('first')}, 'fresh'), qr/^\d+$/, 'there is a first token once it is over');

#
# Which standbys
#
wait_until_idle();
hold($east);
missing('FIRST 1 (east, west)', 'east:sync west:potential', 'Connected but behind: "east".');
missing('FIRST 2 (east, west)', 'east:sync west:sync', 'Connected but behind: "east".');
set_synchronous($primary, 'ANY 1 (east, west)', 'east:quorum west:quorum');
back('ANY 1, and one of two confirms');
hold($west);
missing('ANY 1 (east, west)', 'east:quorum west:quorum', 'Connected but behind: "east", "west".');
missing('ANY 1 (east, north)', 'east:quorum', 'Not connected: "north". Connected but behind: "east".');
missing('*', 'east:sync west:potential', 'Connected but behind: "east", "west".');
let_go($_) foreach $east, $west;
back('*');

set_synchronous($primary, 'ANY 1 (east, west)', 'east:quorum west:quorum');
$east->stop;
poll_rows($primary, 'SELECT count(*) FROM pg_stat_replication', '1');
back('ANY 1, and one of two is there');
set_synchronous($primary, 'FIRST 1 (east, west)', 'west:sync');
back('FIRST 1, and the second of two is there');
missing('FIRST 2 (east, west)', 'west:sync', 'Not connected: "east".');
missing('FIRST 2 (*)', 'west:sync', 'Not connected: "*".');
missing('east', '', 'Not connected: "east".');
$west->stop;
poll_rows($primary, 'SELECT count(*) FROM pg_stat_replication', '0');
missing('ANY 1 (east, west)', '', 'Not connected: "east", "west".');
missing('*', '', 'Not connected: "*".');
{
	my $patient = waiting(q{SELECT dlock_acquire('names', client => 'alice')});

	$west->start;
	like($patient->answer, qr/^\d+$/, 'a standby has come back');
	back('*, and one is there');
}

# A server that stood still after the confirmation, for longer than the lease:
# meanwhile another may have taken its place, and given the resource away.
{
	my $position = log_position($primary);
	my $late = DlockSession->new($primary);

	set_stop($primary, 'grant_flushed');
	$late->tell(q{SELECT dlock_acquire('late', ttl => '500 ms', client => 'alice')});
	wait_stopped($primary, 'grant_flushed', $position);
	my $over = on_primary(q{SELECT clock_timestamp() + '500 ms'});
	poll_rows($primary, "SELECT clock_timestamp() > '$over'", 't');
	clear_stop($primary);
	my ($out, $err) = $late->answer;
	is(error_parts($err)->{state} . $out,
		'LK001', 'a grant that could be over elsewhere is not acknowledged');
	is_free('late', 'and is undone');
}

# The same for a lease that is held already, by a session whose server may be no
# primary any more: a stronger mode, and one more hold, which asks for a longer
# time than the lease has.  Batches with nothing to flush prove nothing.
foreach my $call (
	q{SELECT dlock_set_options('late:more', mode => 'exclusive', client => 'alice')},
	q{SELECT dlock_acquire('late:more', mode => 'shared', client => 'alice')})
{
	my $position = log_position($primary);
	my $keeper = DlockSession->new($primary);
	my $late = DlockSession->new($primary);
	my ($over, $out, $err);

	$keeper->ask(q{SELECT dlock_acquire('late:more', ttl => '500 ms', mode => 'shared',
		scope => 'session', client => 'alice')});
	set_stop($primary, 'grant_flushed');
	$late->tell($call);
	wait_stopped($primary, 'grant_flushed', $position);
	$over = time() + 1;
	while (time() < $over)
	{
		on_primary(q{SET dlock.debug_stop = none; SET dlock.durable = off;
			SELECT dlock_acquire('late:other'); SELECT dlock_release('late:other')});
	}
	clear_stop($primary);
	($out, $err) = $late->answer;
	is(error_parts($err)->{state} . $out, 'LK001',
		"what could be over elsewhere is not acknowledged: $call");
	is(on_primary(q{SELECT mode, hold_count FROM dlock_list('alice') WHERE resource = 'late:more'}),
		'shared|1', 'and is undone');
	$_->quit foreach $keeper, $late;
	poll_rows($primary, q{SELECT count(*) FROM dlock_list('alice') WHERE scope = 'session'}, '0');
	on_primary(q{SELECT dlock_force_release('late:more')});
}

# Where flush and standby always take longer than the lease, a further hold is
# refused, and not asked for again and again.
{
	my $session = DlockSession->new($primary);
	my ($out, $err);

	on_primary("ALTER SYSTEM SET $_") foreach 'fsync = on', 'commit_delay = 100000', 'commit_siblings = 0';
	$primary->reload;
	poll_rows($primary, 'SHOW commit_delay', '100000');
	$session->ask(q{SET dlock.durable = off; SET dlock.client = hasty;
		SELECT dlock_acquire('hasty', ttl := '20 ms', scope := 'session')});
	$session->ask(q{SET dlock.durable = on; SET statement_timeout = '30 s'});
	($out, $err) = $session->ask(q{SELECT dlock_acquire('hasty', scope := 'session')});
	is(error_parts($err)->{state} . $out, 'LK001', 'a lease that no flush is quick enough for is not held twice');
	is(on_primary(q{SELECT hold_count FROM dlock_list('hasty')}), '1', 'but once, as before');
	$session->quit;
	on_primary("ALTER SYSTEM RESET $_") foreach qw(fsync commit_delay commit_siblings);
	$primary->reload;
	poll_rows($primary, 'SHOW commit_delay', '0');
}

# Writers that are terminated one after the other while they wait for a standby,
# where nothing else is to be written: what one has committed is there for the
# next to find, and is confirmed by nobody.
{
	my ($pid, $next);

	on_primary('CREATE DATABASE lonely');
	rows($primary, 'CREATE EXTENSION dlock', 'lonely');
	rows($primary, q{SELECT dlock_acquire('lonely', client := 'alice')}, 'lonely');
	set_synchronous($primary, 'ghost', '');
	$next = sub {
		my ($before, $session) = @_;
		my $found;

		poll_until(
			'a writer waits for the standby, or the session has its answer',
			sub {
				$found = on_primary(qq{
					SELECT pid FROM pg_stat_activity
					 WHERE backend_type = 'dlock writer' AND datname = 'lonely' AND
						   wait_event = 'SyncRep' AND pid <> $before});
				return $found || $session && $session->answered;
			});
		return $found;
	};
	rows($primary, q{SELECT dlock_force_release('lonely')}, 'lonely');
	$pid = $next->(0);
	my $session = DlockSession->new($primary, dbname => 'lonely');
	$session->tell(q{BEGIN; SELECT dlock_acquire('lonely', scope := 'transaction', client := 'bob')});
	poll_until('it waits', sub { sleeping($primary, $session->pid) });
	foreach my $n (1 .. 3)
	{
		on_primary("SELECT pg_terminate_backend($pid)");
		$pid = $next->($pid, $session) or last;
	}
	ok(!$session->answered, 'no grant over an end that three writers have not had confirmed');
	$session->close;

	# The same for what is loaded after a crash: this lease was never confirmed.
	$session = DlockSession->new($primary, dbname => 'lonely');
	$session->tell(q{SELECT dlock_acquire('unconfirmed', client := 'carol')});
	poll_until('it waits', sub { sleeping($primary, $session->pid) });
	on_primary("SELECT pg_terminate_backend($pid)");
	$next->($pid);
	$primary->stop('immediate');
	$session->close;
	$primary->start;
	$session = DlockSession->new($primary, dbname => 'lonely');
	$session->tell(q{BEGIN; SELECT dlock_acquire('unconfirmed', scope := 'transaction', client := 'carol')});
	poll_until('it waits, or is answered', sub { $session->answered || sleeping($primary, $session->pid) });
	$next->(0, $session);
	ok(!$session->answered, 'nor of a hold on a lease that was loaded and is not confirmed');
	set_synchronous($primary, '', '');
	like($session->answer, qr/^\d+$/, 'it is granted when nobody has to confirm');
	$session->quit;
}

{
	my $patient;

	# An administrator does without.
	set_synchronous($primary, 'east', '');
	no_quorum(q{SELECT dlock_acquire('names:2')}, 'no standby that counts');
	$patient = waiting(q{SELECT dlock_acquire('names:2', client => 'alice')});
	set_synchronous($primary, '', '');
	like($patient->answer, qr/^\d+$/, 'no standby is wanted any more');
}

expect_log(
	$primary,
	qr/client backend .*ERROR:  no quorum of synchronous standbys/,
	qr/client backend .*ERROR:  could not make a lease on resource "grant:timeout" durable in time/,
	qr/client backend .*ERROR:  canceling statement due to user request/,
	qr/client backend .*ERROR:  deadlock detected/,
	qr/client backend .*ERROR:  lease on resource "(?:short:[12]|late|late:more|hasty)" is not held/,
	qr/client backend .*FATAL:  (?:terminating connection due to administrator command|connection to client lost)/,
	qr/dlock writer WARNING:  canceling the wait for synchronous replication and terminating connection due to administrator command/,
	qr/dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command/);
expect_log(
	$_,
	# stopped, or its primary was
	qr/walreceiver FATAL:  /)
  foreach $east, $west;

done_testing();
