# What must hold when a synchronous standby takes over, wherever its primary
# was at that moment: what was acknowledged is there, with its full time; what
# was not is there as a whole or not at all; no resource has two holders; no
# token is ever given out for two grants, however often the two servers change
# places; nothing is granted before all is loaded; and the old primary, where
# it goes on, neither grants nor renews.
#
# Why it could fail: the standby has rows but no shared memory; what the
# primary had in memory, and what its tokens had come to, the standby cannot
# know; an old primary that is alone has no reason to doubt what it has in
# memory; and one that comes back brings shared memory and rows of another
# history along.
#
# fsync is off: servers are killed here, but not the machine.
use strict;
use warnings;

use DlockNode qw(dlock_node start_writers expect_log poll_rows poll_until rows set_stop
  clear_stop wait_stopped log_position kill_postmaster poll_start table_matches
  processes sleeping run_bounded);
use DlockSession qw(error_parts sql_error);
use DlockStandby qw($standby_conf add_standby set_synchronous hold let_go
  wait_streaming wait_sync_rep);
use File::Copy;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The two servers, by what they are at present.
my $primary = dlock_node('north', <<EOCONF, allows_streaming => 1);
$standby_conf
fsync = off
wal_log_hints = on
max_connections = 60
dlock.quorum_timeout = 0
dlock.default_ttl = '20 min'
EOCONF
my $standby = add_standby($primary, 'south');
my $both = sprintf 'host=%s,%s port=%s,%s dbname=postgres target_session_attrs=read-write',
  map { ($primary->$_, $standby->$_) } qw(host port);

my $promotions = 0;
my $newest = 0;
my %grant_of;					# resource and client, by token

sub on_primary { return rows($primary, $_[0]); }

# anywhere(SQL) has libpq find the primary.
sub anywhere
{
	my ($sql) = @_;
	my ($rc, $out, $err) =
	  run_bounded([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $both, '-c', $sql ]);

	die "\"$sql\" failed: $err" if $rc;
	chomp $out;
	return $out;
}

# a lease as a fail-over has to leave it
my $leases = q{
	SELECT resource, token, client, role, mode, hold_count, acquired_at
	  FROM dlock_list() WHERE scope <> 'transaction' %s ORDER BY token};

# note_tokens(NODE) reads all leases, acknowledged or not; gives those tokens
# that were seen for another grant before.
sub note_tokens
{
	my ($node) = @_;
	my @twice;

	foreach my $row (split /\n/, rows($node,
		'SELECT token, resource, client FROM dlock_list() WHERE token IS NOT NULL'))
	{
		my ($token, $grant) = split /\|/, $row, 2;

		push @twice, "$token $grant" if ($grant_of{$token} //= $grant) ne $grant;
		$newest = $token if $token > $newest;
	}
	return "@twice";
}

# take(NAME, SQL) tests that a grant's token is above all there ever were.
sub take
{
	my ($name, $sql) = @_;
	my $token = anywhere($sql);
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	cmp_ok($token, '>', $newest, "$name: the token rises");
	$newest = $token if $token > $newest;
	return $token;
}

# waiting(SQL) gives a session that has sent that to the primary.
sub waiting
{
	my ($sql) = @_;
	my $session = DlockSession->new($primary);

	$session->tell($sql);
	return $session;
}

# promote(NAME) makes the standby the primary, and the other way round; the old
# one is down, or left alone.
sub promote
{
	my ($name) = @_;
	my $at = rows($standby, 'SELECT clock_timestamp()');

	$standby->promote;
	change_places($name, $at);
	return;
}

# change_places(NAME, AT) tests what must hold in any case after a promotion
# that came after AT.
sub change_places
{
	my ($name, $at) = @_;

	($primary, $standby) = ($standby, $primary);
	$promotions++;
	is( on_primary(qq{
			SELECT l.resource, l.expires_at, t.ttl
			  FROM dlock_list() l LEFT JOIN dlock.locks t USING (token)
			 WHERE (l.expires_at >= '$at'::timestamptz + t.ttl
				AND l.expires_at <= clock_timestamp() + t.ttl * 1.1) IS NOT TRUE}),
		'', "$name: every lease has its full time again");
	is( on_primary(q{
			SELECT resource FROM dlock_list() GROUP BY resource
			HAVING count(*) > 1 AND bool_or(mode = 'exclusive')}),
		'', "$name: nothing has two holders");
	is(note_tokens($primary), '', "$name: no token has become another grant's");
	return;
}

# rejoin(NAME) makes the old primary, which is down, a standby of the new one.
sub rejoin
{
	my ($name) = @_;
	my $conf = $standby->data_dir . '/postgresql.conf';
	my $kept = PostgreSQL::Test::Utils::tempdir . '/postgresql.conf';

	on_primary('CHECKPOINT');	# tells pg_rewind of the new timeline
	copy($conf, $kept) or die "could not copy $conf: $!";
	my ($rc, $out, $err) = run_bounded(
		[ 'pg_rewind', '--no-sync', '--source-server', $primary->connstr,
			'--target-pgdata', $standby->data_dir ]);
	die "pg_rewind failed: $out$err" if $rc;
	copy($kept, $conf) or die "could not copy $kept: $!";
	$standby->adjust_conf('postgresql.conf', 'primary_conninfo', undef);
	$standby->adjust_conf('postgresql.conf', 'dlock.debug_stop', 'none');
	$standby->enable_streaming($primary);
	poll_start($standby);
	wait_streaming($primary, $standby);
	table_matches($primary);
	$primary->wait_for_catchup($standby);
	is(rows($standby, sprintf $leases, ''), on_primary(sprintf $leases, ''),
		"$name: the old primary, as a standby, shows the leases of the new one");
	is(rows($standby, 'SELECT string_agg(DISTINCT source, $$ $$) FROM dlock_list()'),
		'table', "$name: from the table");
	is(scalar(map { processes($standby, $_) } 'dlock monitor', 'dlock launcher', 'dlock writer postgres'),
		0, "$name: without any process");
	set_synchronous($primary, $standby->name, $standby->name . ':sync');
	return;
}

sub crash_and_promote
{
	my ($name) = @_;

	kill_postmaster($primary);
	let_go($standby);
	promote($name);
	return;
}

# All that was acknowledged, of every kind; gives what must be there later.
sub take_all_kinds
{
	my ($p) = @_;

	anywhere(qq{
		SELECT dlock_acquire('kept/$p', client => 'alice');
		SELECT dlock_acquire('kept/$p', client => 'alice');
		SELECT dlock_acquire('shared/$p', mode => 'shared', client => c) FROM unnest('{alice,bob,carol}'::text[]) c;
		SELECT dlock_acquire('upgraded/$p', mode => 'shared', client => 'alice');
		SELECT dlock_set_options('upgraded/$p', mode => 'exclusive', client => 'alice');
		SELECT dlock_acquire('renewed/$p', ttl => '10 min', client => 'alice');
		SELECT dlock_renew('renewed/$p', '1 h', client => 'alice')});
	is(note_tokens($primary), '', "$p: tokens are new");
	return on_primary(sprintf $leases, "AND resource LIKE '%/$p'");
}

set_synchronous($primary, 'south', 'south:sync');

#
# The primary is killed at each of the writer's stop points
#
# All that waits is in the one batch that is stopped: the table is locked until
# everybody has asked.  "sent" is no stop point, but a standby that is held.
sub killed_at
{
	my ($point) = @_;
	my $p = $point;
	my $position = log_position($primary);
	my $locker = DlockSession->new($primary);
	my (%asks, %asker, $kept, $handed, %after, $flushed, $told);

	$kept = take_all_kinds($p);
	anywhere(join ';', map { "SELECT dlock_acquire('$_/$p', ttl => '10 min', client => 'dave')" }
		qw(count time free hand));
	anywhere("SELECT dlock_acquire('mode/$p', mode => 'shared', client => 'dave')");
	$handed = on_primary("SELECT token FROM dlock_status('hand/$p')");
	table_matches($primary);

	%asks = (
		new => "dlock_acquire('new/$p', client => 'dave')",
		count => "dlock_acquire('count/$p', client => 'dave')",
		mode => "dlock_set_options('mode/$p', mode => 'exclusive', client => 'dave')",
		time => "dlock_renew('time/$p', '1 h', client => 'dave')",
		barrier => "dlock_renew('free/$p', client => 'dave')",
		hand => "dlock_acquire('hand/$p', client => 'heir')");
	if ($point eq 'sent') { hold($standby) }
	else { set_stop($primary, $point) }
	$locker->ask('BEGIN; LOCK TABLE dlock.locks IN EXCLUSIVE MODE');
	$asker{$_} = waiting("SELECT $asks{$_}") foreach sort keys %asks;
	poll_rows($primary, "SELECT place FROM dlock_queue('hand/$p')", '1');
	poll_until('all wait that are not answered', sub {
		my @open = grep { !$_->answered } values %asker;

		return sleeping($primary, map { $_->pid } @open) == @open });
	is(on_primary("SELECT dlock_release('hand/$p', client => 'dave'), dlock_release('free/$p', client => 'dave')"),
		't|t', "$p: a release waits for nobody");
	poll_rows($primary, "SELECT holder FROM dlock_status('hand/$p')", 'heir');
	is(note_tokens($primary), '', "$p: tokens of what is under way are new");
	$locker->ask('COMMIT');
	if ($point eq 'sent') { wait_sync_rep($primary) }
	else { wait_stopped($primary, $point, $position) }
	is(join(' ', grep { $asker{$_}->answered } sort keys %asker), '',
		"$p: nothing is acknowledged");

	crash_and_promote($p);
	$told = join ' ', map { scalar $_->answer } values %asker;
	unlike($told, qr/[0-9t]/, "$p: nor was it when the server died");
	is(on_primary(sprintf $leases, "AND resource ~ '^(kept|shared|upgraded|renewed)/$p'"),
		$kept, "$p: what was acknowledged is there");

	%after = map { my @row = split /\|/; ($row[0] => \@row) } split /\n/,
	  on_primary(qq{
		SELECT split_part(l.resource, '/', 1), l.client, l.mode, l.hold_count, t.ttl, l.token
		  FROM dlock_list() l JOIN dlock.locks t USING (token) WHERE resource LIKE '%/$p'});
	$flushed =
		$point eq 'rows_flushed' ? 1
	  : $point eq 'sent' ? defined $after{new} || 0
	  : 0;
	is( join(' ', defined $after{new} || 0, $after{count}[3], $after{mode}[2],
			$after{time}[4], defined $after{free} || 0, $after{hand}[1]),
		$flushed ? '1 2 exclusive 01:00:00 0 heir' : '0 1 shared 00:10:00 1 dave',
		"$p: what was under way is there " . ($flushed ? 'as a whole' : 'not at all'));
	ok($flushed ? $after{hand}[5] > $handed : $after{hand}[5] == $handed,
		"$p: what was handed over has the token of its holder");
	is(anywhere("SELECT dlock_try_acquire('kept/$p', client => 'thief')"), '',
		"$p: nobody else gets what is held");
	take($p, "SELECT dlock_acquire('next/$p', scope => 'lease')");
	is(anywhere("SELECT sum(dlock_force_release(resource)) > 0 FROM (SELECT DISTINCT resource FROM dlock_list()) l"),
		't', "$p: all is released");
	$_->close foreach $locker, values %asker;
	anywhere(qq{SELECT dlock_acquire('left/$p', client => 'alice')});
	rejoin($p);
	return;
}

killed_at($_) foreach qw(batch_collected rows_written sent rows_flushed);

#
# The primary is killed before and after a backend has told its client
#
foreach my $point (qw(grant_flushed grant_acknowledged))
{
	my $kept = take_all_kinds($point);
	my $position = log_position($primary);
	my $session = waiting(
		"SET dlock.debug_stop = '$point'; SELECT dlock_acquire('point', client => 'alice')");
	my $token;

	wait_stopped($primary, $point, $position);
	$token = on_primary(q{SELECT token FROM dlock_status('point')});
	crash_and_promote($point);
	unlike($session->answer, qr/\d/, "$point: the client was never told");
	is(on_primary(q{SELECT token, holder FROM dlock_status('point')}), "$token|alice",
		"$point: the standbys have confirmed it, so it is there");
	is(on_primary(sprintf $leases, "AND resource LIKE '%/$point'"),
		$kept, "$point: what was acknowledged is there");
	is(anywhere(q{SELECT dlock_acquire('point', client => 'alice')}), $token,
		"$point: its client finds it");
	take($point, "SELECT dlock_acquire('next/$point', scope => 'lease')");
	anywhere(q{SELECT dlock_force_release('point')});
	rejoin($point);
}

#
# The standby is killed first, in the middle of a batch
#
{
	my $p = 'standby-killed';
	my $kept = take_all_kinds($p);
	my $position = log_position($primary);
	my $session;

	set_stop($primary, 'rows_written');
	$session = waiting(qq{SELECT dlock_acquire('$p', client => 'alice')});
	wait_stopped($primary, 'rows_written', $position);
	is(note_tokens($primary), '', "$p: tokens are new");
	$standby->stop('immediate');
	clear_stop($primary);
	wait_sync_rep($primary);
	ok(!$session->answered, "$p: nothing is acknowledged");
	kill_postmaster($primary);
	unlike($session->answer, qr/\d/, "$p: nor was it when the server died");
	poll_start($standby);
	promote($p);
	is(on_primary(sprintf $leases, "AND resource LIKE '%/$p'"), $kept,
		"$p: what was acknowledged is there");
	is(on_primary(qq{SELECT status FROM dlock_status('$p')}), 'free',
		"$p: what the standby has never seen is not");
	take($p, qq{SELECT dlock_acquire('$p', client => 'bob')});
	rejoin($p);
}

#
# Leases of every scope and mode, and the gate
#
{
	my $p = 'every-scope';
	my $session = DlockSession->new($primary);
	my $position = log_position($standby);
	my ($kept, @late, @answers, $last, $at);

	$session->ask(qq{
		SET dlock.client = 'carol';
		SELECT dlock_acquire('lease:s/$p', mode => 'shared');
		SELECT dlock_acquire('lease:x/$p');
		SELECT dlock_acquire('session:s/$p', mode => 'shared', scope => 'session');
		SELECT dlock_acquire('session:x/$p', scope => 'session', ttl => '7 min');
		SELECT dlock_acquire('session:x/$p')});
	take_all_kinds($p);
	$kept = on_primary(sprintf $leases, "AND resource LIKE '%/$p'");
	# tokens of what no table tells of
	$last = $session->ask(qq{
		BEGIN;
		SELECT dlock_acquire('transaction:s/$p', mode => 'shared', scope => 'transaction') > 0;
		SELECT dlock_acquire('transaction:x/$p', scope => 'transaction')});
	($last) = $last =~ /(\d+)$/;
	is(note_tokens($primary), '', "$p: tokens are new");
	is($newest, $last, "$p: also those of transactions");
	set_stop($standby, 'leases_loaded');
	# the session is not asked: its connection is lost with the server
	kill_postmaster($primary);
	$session->close;
	$at = rows($standby, 'SELECT clock_timestamp()');
	$standby->promote;
	start_writers($standby, 'postgres');
	wait_stopped($standby, 'leases_loaded', $position);
	@late = map { my $late = DlockSession->new($standby); $late->tell($_); $late }
	  "SELECT dlock_try_acquire('lease:s/$p', client => 'thief')",
	  "SELECT dlock_acquire('free/$p', client => 'thief')",
	  "SELECT count(*) FROM dlock_list('carol') WHERE resource ~ '^(lease|session):'";
	poll_until('all wait that are not answered', sub {
		my @open = grep { !$_->answered } @late;

		return sleeping($standby, map { $_->pid } @open) == @open });
	is(join(' ', map { $_->answered || 0 } @late), '0 0 0',
		"$p: nothing is granted or shown before all is loaded");
	clear_stop($standby);
	@answers = map { scalar $_->answer } @late;
	is($answers[0], '', "$p: then what is held is not granted");
	cmp_ok($answers[1], '>', $newest, "$p: and what is free is");
	is($answers[2], '4', "$p: all leases are seen");
	$_->quit foreach @late;
	change_places($p, $at);
	is(on_primary(sprintf $leases, "AND resource LIKE '%/$p' AND client <> 'thief'"), $kept,
		"$p: every lease is there");
	is( on_primary(qq{SELECT count(*) FROM dlock_list() WHERE resource LIKE 'session:_/$p' AND expires_at IS NOT NULL}),
		'2', "$p: those of the lost session run out in their time");
	is(on_primary(qq{SELECT count(*) FROM dlock_list() WHERE resource LIKE 'transaction:_/$p'}),
		'0', "$p: those of the lost transaction are gone");
	rejoin($p);
}

#
# The old primary goes on, alone
#
{
	my $p = 'alone';
	my $guard = q{SET dlock.quorum_timeout = '200 ms'; SET statement_timeout = '30 s'; };
	my $renew = q{SELECT waiters FROM dlock_renew('alone', client => 'old')};
	my $session = DlockSession->new($primary);
	my ($old, $next, %renewals, $token);

	# on the old primary it runs on, however long this test takes
	$session->ask(q{SELECT dlock_acquire('alone', scope => 'session', ttl => '2 s', client => 'old')});
	anywhere(q{SELECT dlock_acquire('alone:2', client => 'old')});
	note_tokens($primary);
	$old = $primary;
	promote($p);
	$next = waiting(q{SELECT dlock_acquire('alone', client => 'next')});
	poll_until('the lease has gone to the next client', sub {
		my ($rc, $out, $err) = $old->psql('postgres', "$guard $renew",
			extra_params => [ '-v', 'VERBOSITY=verbose' ]);
		my $answered = $next->answered;

		$renewals{ $out . error_parts($err)->{state} }++;
		return $answered });
	is(join(' ', sort keys %renewals), 'LK003', "$p: the old primary refuses to renew");
	$token = $next->answer;
	cmp_ok($token, '>', $newest, "$p: the lease ran out on the new one, and went to the next");
	is(sql_error($old, 'postgres', "$guard SELECT dlock_renew('alone:2', client => 'old')")->{state},
		'LK003', "$p: nor does it renew what is still held on the new one");
	is(sql_error($old, 'postgres', "$guard SELECT dlock_acquire('alone:3', client => 'old')")->{state},
		'LK003', "$p: the old primary refuses to grant");
	is(sql_error($old, 'postgres', "$guard SELECT dlock_renew_all(client => 'old')")->{state},
		'LK003', "$p: and to renew all");
	# would the first assertion notice?
	is(rows($old, "SET dlock.debug_no_barrier = on; $renew"), '0',
		"$p: without the barrier there would be two holders");

	$old->stop('immediate');
	$session->close;
	take($p, q{SELECT dlock_acquire('alone:3', client => 'next')});
	rejoin($p);
	is(rows($standby, q{SELECT token, holder FROM dlock_status('alone')}), "$token|next",
		"$p: what the old primary believed is forgotten");
}

#
# Many leases at once
#
{
	my $p = 'many';

	anywhere(q{SELECT count(dlock_acquire('many:' || i, ttl => '10 min', client => 'many')) FROM generate_series(1, 1000) i});
	is(note_tokens($primary), '', "$p: tokens are new");
	crash_and_promote($p);
	is(on_primary(q{SELECT count(*) FROM dlock_list('many')}), '1000', "$p: all are there");
	cmp_ok(on_primary(q{SELECT count(DISTINCT date_trunc('second', expires_at)) FROM dlock_list('many')}),
		'>=', 30, "$p: they do not end all at once");
	take($p, q{SELECT dlock_acquire('after:many', scope => 'lease')});
	rejoin($p);
	is(anywhere(q{SELECT dlock_release_all('many')}), '1000', "$p: and are released");
}
is($promotions, 10, 'the two servers have changed places again and again');

foreach my $node ($primary, $standby)
{
	expect_log(
		$node,
		qr/client backend .*FATAL:  terminating connection due to (?:unexpected postmaster exit|administrator command)/,
		qr/client backend .*ERROR:  no quorum of synchronous standbys/,
		# stopped while it writes the last releases
		qr/dlock writer WARNING:  canceling the wait for synchronous replication and terminating connection due to administrator command/,
		# its primary was killed, or it was
		qr/walreceiver FATAL:  /,
		qr/FATAL:  (?:the database system is (?:starting up|not yet accepting connections)|terminating walreceiver)/,
		# a start while the last children are still there
		qr/FATAL:  (?:lock file|pre-existing shared memory block).* (?:already exists|is still in use)/);
}

done_testing();
