# What must hold: a standby shows the leases of its primary and changes none;
# what was acknowledged is there after a promotion, with its full duration,
# under tokens that are never given out again; with a synchronous standby
# nothing is acknowledged that the standby has not confirmed, in whatever way
# the wait for it ends, and what was not acknowledged does not stay.
#
# Why it could fail: a standby has the table only, not the shared memory; a
# wait for synchronous standbys that is cancelled has committed all the same,
# and looks like one that was confirmed.
#
# Here requests wait for the standby as long as it takes: dlock.quorum_timeout
# is for 014_quorum.pl.
use strict;
use warnings;

use DlockNode qw(dlock_node expect_log);
use DlockSession qw(sql_error error_parts);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = <<'EOCONF';
max_connections = 30
wal_sender_timeout = 0
dlock.quorum_timeout = 0
EOCONF
my $primary = dlock_node('primary', $conf, allows_streaming => 1);
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub on_primary { return $primary->safe_psql('postgres', $_[0]); }
sub on_standby { return $standby->safe_psql('postgres', $_[0]); }

# the columns that a primary and its standby must agree on
my $leases = q{
	SELECT resource, token, client, role, mode, scope, hold_count, acquired_at
	  FROM dlock_list() WHERE scope <> 'transaction' ORDER BY token};

# sync_wait(DATABASE, PID, SESSION) waits until a writer other than PID waits
# for the standby, and gives its pid; or until SESSION, for which it should
# wait, has been answered all the same.
sub sync_wait
{
	my ($dbname, $not_pid, $session) = @_;
	my $writer = "FROM pg_stat_activity WHERE backend_type = 'dlock writer'
		AND datname = '$dbname' AND wait_event = 'SyncRep' AND pid <> "
	  . ($not_pid // 0);
	my $answered = defined $session
	  ? "OR EXISTS (SELECT FROM pg_stat_activity WHERE state <> 'active' AND pid = "
	  . $session->pid . ')'
	  : '';

	$primary->poll_query_until('postgres', "SELECT count(*) = 1 $answered $writer")
	  or die "the writer does not wait for the standby";
	return on_primary("SELECT pid $writer");
}

# unanswered(SESSION, NAME): the call is still under way.
sub unanswered
{
	my ($session, $name) = @_;

	is( on_primary('SELECT state FROM pg_stat_activity WHERE pid = ' . $session->pid)
		  . ($session->answered ? ' answered' : ''),
		'active',
		$name);
	return;
}

#
# Reading on a standby
#
on_primary(q{
	CREATE ROLE sb_reader;
	SELECT dlock_acquire('sb:excl', ttl => '20 min', client => 'sb-alice');
	SELECT dlock_acquire('sb:excl', client => 'sb-alice');
	SELECT dlock_acquire('sb:shared', ttl => '20 min', mode => 'shared', client => 'sb-bob');
	SELECT dlock_acquire('sb:shared', ttl => '20 min', mode => 'shared', client => 'sb-carol');
	SELECT dlock_acquire('sb:gone', client => 'sb-alice');
	SELECT dlock_release('sb:gone', client => 'sb-alice');
});
my $session = DlockSession->new($primary);
$session->ask(q{SELECT dlock_acquire('sb:session', ttl => '20 min', scope => 'session')});
$session->ask(q{BEGIN; SELECT dlock_acquire('sb:transaction', scope => 'transaction')});
my $waiter = DlockSession->new($primary);
$waiter->tell(q{SELECT dlock_acquire('sb:excl', client => 'sb-dave')});
$primary->poll_query_until('postgres',
	"SELECT count(*) = 1 FROM dlock_queue('sb:excl')")
  or die 'nobody waits';
$primary->poll_query_until('postgres',
	"SELECT count(*) = 0 FROM dlock.locks WHERE resource_name = 'sb:gone'")
  or die 'the writer has not settled';
$primary->wait_for_catchup($standby);

is(on_standby($leases), on_primary($leases), 'dlock_list agrees with the primary');
is(on_standby('SELECT DISTINCT source FROM dlock_list()'),
	'table', 'dlock_list: source');
is(on_standby("SELECT string_agg(resource, ' ' ORDER BY resource) FROM dlock_list('sb-alice')"),
	'sb:excl', 'dlock_list of one client');
my $status = q{SELECT status, mode, holders, token, holder
	FROM dlock_status('%s')};
foreach my $resource ('sb:excl', 'sb:shared', 'sb:session', 'sb:gone')
{
	is(on_standby(sprintf $status, $resource),
		on_primary(sprintf $status, $resource),
		"dlock_status('$resource') agrees with the primary");
}
is( on_standby(q{SELECT status, waiters, source FROM dlock_status('sb:excl')}),
	'exclusive|0|table', 'dlock_status: source, and no waiters');
is(on_standby(q{SELECT status, source FROM dlock_status('sb:transaction')}),
	'free|table', 'a lease of a transaction is not in the table');
is( on_standby(q{SELECT expires_at > clock_timestamp() AND remaining <= '20 min'
	FROM dlock_status('sb:excl')}), 't', 'dlock_status: time left');
is(on_standby('SELECT count(*) FROM dlock_queue()'), '0', 'dlock_queue is empty');
is(on_standby(q{SELECT count(*) FROM dlock_queue('sb:excl')}),
	'0', 'dlock_queue of one resource is empty');
is(on_standby(q{SET ROLE sb_reader; SELECT status FROM dlock_status('sb:excl')}),
	'exclusive', 'every role may look');
is( on_standby(q{SET dlock.client = 'sb-alice'; SELECT dlock_holds('sb:excl'), dlock_holds('sb:shared'), dlock_holds('sb:gone')}),
	't|f|f', 'dlock_holds by the setting');
is( on_standby(q{SELECT dlock_holds('sb:excl', token, 'sb-alice'), dlock_holds('sb:excl', token + 1, 'sb-alice'),
	dlock_holds('sb:excl', client => 'sb-bob') FROM dlock_status('sb:excl')}),
	't|f|f', 'dlock_holds by token and client');
is(on_standby(q{SET ROLE sb_reader; SELECT dlock_holds('sb:excl', client => 'sb-alice')}),
	'f', 'what belongs to another role is not held');
is(on_standby(q{SELECT dlock_holds('sb:excl'), dlock_current_client() IS NULL}),
	'f|t', 'a session without a name is no client on a standby');
is(on_standby(q{SET dlock.client = 'sb-alice'; SELECT dlock_current_client()}),
	'sb-alice', 'one with a name is');
is( on_standby(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dlock%'}),
	'0', 'no process of dlock runs during recovery');

foreach my $call (
	q{dlock_acquire('sb:new')},
	q{dlock_acquire('sb:new', scope => 'transaction')},
	q{dlock_try_acquire('sb:new')},
	q{dlock_release('sb:excl', client => 'sb-alice')},
	q{dlock_release_all('sb-alice')},
	q{dlock_renew('sb:excl', client => 'sb-alice')},
	q{dlock_renew_all(client => 'sb-alice')},
	q{dlock_set_options('sb:excl', mode => 'shared', client => 'sb-alice')},
	q{dlock_fence('sb:excl', 1)},
	q{dlock_force_release('sb:excl')})
{
	my $error = sql_error($standby, 'postgres', "SELECT $call");

	is($error->{state}, '25006', "25006 on a standby: $call");
	is( $error->{hint},
		sprintf('Connect to the primary server. This server replicates from host "%s", port %d.',
			$primary->host, $primary->port),
		"the hint tells where to go: $call");
}
is(on_standby($leases), on_primary($leases), 'nothing has changed');
$waiter->close;
$session->close;

#
# A synchronous standby
#
$primary->safe_psql('postgres', q{CREATE DATABASE sb_tokens});
$primary->safe_psql('sb_tokens', q{CREATE EXTENSION dlock});
$primary->safe_psql('postgres', q{CREATE DATABASE sb_local});
$primary->safe_psql('postgres', q{ALTER DATABASE sb_local SET synchronous_commit = local});
$primary->safe_psql('sb_local', q{CREATE EXTENSION dlock});
on_primary(q{ALTER SYSTEM SET synchronous_standby_names = 'standby'});
$primary->reload;
$primary->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'})
  or die 'the standby is not synchronous';

on_primary(q{
	SELECT dlock_acquire('sync:upgrade', mode => 'shared', ttl => '20 min', client => 'sync-up')});
$standby->stop('immediate');
ok($standby->start(fail_ok => 1), 'standby comes back');
$primary->wait_for_catchup($standby);
is(on_standby(q{SELECT holder FROM dlock_status('sync:upgrade')}),
	'sync-up', 'what was acknowledged is on the standby');

$standby->stop;

# The first to come is with whom the writer gets stuck; the others queue up
# behind it, whatever it is that they need.
my %wait;
$wait{cancel} = DlockSession->new($primary);
$wait{cancel}->tell(q{SELECT dlock_acquire('sync:cancel', client => 'sync-cancel')});
sync_wait('postgres');
unanswered($wait{cancel}, 'an acquire is not acknowledged while the standby is away');

$wait{kill} = DlockSession->new($primary);
$wait{kill}->tell(q{SELECT dlock_acquire('sync:kill', client => 'sync-kill')});
$primary->poll_query_until('postgres',
	q{SELECT status = 'exclusive' FROM dlock_status('sync:kill')})
  or die 'sync:kill is not granted';

foreach my $call (
	q{dlock_acquire('sync:timeout', client => 'sync-timeout')},
	q{dlock_try_acquire('sync:timeout', client => 'sync-timeout')},
	q{dlock_acquire('sync:timeout', scope => 'session', client => 'sync-timeout')},
	q{dlock_acquire('sync:upgrade', mode => 'shared', client => 'sync-up')},
	q{dlock_acquire('sync:upgrade', mode => 'exclusive', client => 'sync-up')},
	q{dlock_set_options('sync:upgrade', mode => 'exclusive', client => 'sync-up')},
	q{dlock_renew('sync:upgrade', ttl => '1 hour', client => 'sync-up')})
{
	my ($rc, $out, $err) = $primary->psql('postgres',
		"SET statement_timeout = '500ms'; SELECT $call",
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	is(error_parts($err)->{state} . $out,
		'57014', "ends by statement_timeout, without a result: $call");
}
is(on_primary(q{SELECT status FROM dlock_status('sync:timeout')}),
	'free', 'and the grant is undone');
is( on_primary(q{SELECT mode, hold_count FROM dlock_list('sync-up')}),
	'shared|1', 'and so are the upgrade and the hold');

on_primary('SELECT pg_cancel_backend(' . $wait{cancel}->pid . ')');
my ($out, $err) = $wait{cancel}->answer;
is(error_parts($err)->{state} . $out,
	'57014', 'pg_cancel_backend ends the wait, without a token');
$primary->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $wait{kill}->pid . ')');
($out, $err) = $wait{kill}->answer;
is(error_parts($err)->{state} . $out,
	'57P01', 'pg_terminate_backend ends the wait, without a token');
$primary->poll_query_until('postgres',
	q{SELECT status = 'free' FROM dlock_status('sync:kill')});
foreach my $resource ('sync:cancel', 'sync:kill')
{
	is(on_primary("SELECT status FROM dlock_status('$resource')"),
		'free', "$resource is free");
}
# what waits for no standby goes on
like( on_primary(q{
	SET statement_timeout = '60s';
	SET dlock.durable = off;
	SELECT dlock_acquire('sync:other', client => 'sync-other')}),
	qr/^\d+$/, 'a grant with dlock.durable = off does not wait for the standby');
is( on_primary(q{
	SET statement_timeout = '60s';
	SELECT dlock_release('sync:other', client => 'sync-other')}),
	't', 'nor does a release');
is(on_primary(q{SELECT status FROM dlock_status('sync:other')}),
	'free', 'which takes effect');
# ... unless a row is under way that would come back in its place
$wait{next} = DlockSession->new($primary);
$wait{next}->ask('SET dlock.durable = off');
$wait{next}->tell(q{SELECT dlock_acquire('sync:cancel', client => 'sync-next')});
$primary->poll_query_until('postgres',
	q{SELECT status = 'exclusive' FROM dlock_status('sync:cancel')})
  or die 'sync:cancel is not granted';
unanswered($wait{next}, 'what was undone may be on its way to the standby');

# The writer itself is told to stop.
my $writer = sync_wait('postgres');
$wait{writer} = DlockSession->new($primary);
$wait{writer}->tell(q{SELECT dlock_acquire('sync:writer', ttl => '20 min', client => 'sync-writer')});
$primary->poll_query_until('postgres',
	q{SELECT status = 'exclusive' FROM dlock_status('sync:writer')})
  or die 'sync:writer is not granted';
on_primary("SELECT pg_terminate_backend($writer)");
$writer = sync_wait('postgres', $writer, $wait{writer});
unanswered($wait{writer}, 'terminating the writer acknowledges nothing');
# from here on the request is in the very batch that is waited for
on_primary("SELECT pg_cancel_backend($writer)");
is( sql_error($primary, 'postgres', q{
		SET statement_timeout = '500ms';
		SELECT dlock_acquire('sync:timeout', client => 'sync-timeout')})->{state},
	'57014', 'cancelling the writer acknowledges nothing to the next to come');
unanswered($wait{writer}, 'nor to who is waiting');
is(sync_wait('postgres'), $writer, 'the writer still waits');
on_primary("SELECT pg_terminate_backend($writer)");
sync_wait('postgres', $writer, $wait{writer});
unanswered($wait{writer}, 'nor does terminating it again');

# A block of tokens counts only once the standby has it: else the standby
# would give the same tokens out again.
my $tokens = DlockSession->new($primary, dbname => 'sb_tokens');
$tokens->tell(q{BEGIN; SELECT dlock_acquire('tokens', scope => 'transaction')});
$writer = sync_wait('sb_tokens');
on_primary("SELECT pg_terminate_backend($writer)");
sync_wait('sb_tokens', $writer, $tokens);
unanswered($tokens, 'no token from a block that the standby has not confirmed');
is( sql_error($primary, 'sb_tokens', q{
		SET statement_timeout = '500ms';
		SELECT dlock_acquire('tokens:2', scope => 'transaction')})->{state},
	'57014', 'nor for the next to come');

# The settings of the writer's database must not weaken what others rely on.
is( sql_error($primary, 'sb_local', q{
		SET statement_timeout = '500ms';
		SELECT dlock_acquire('local')})->{state},
	'57014', 'synchronous_commit = local does not acknowledge unconfirmed grants');

$standby->start;
like($wait{writer}->answer, qr/^\d+$/, 'the grant is acknowledged once the standby is back');
like($tokens->answer, qr/^\d+$/, 'and so is the token');
like($wait{next}->answer, qr/^\d+$/, 'and so is what came after an undone grant');
is($wait{next}->ask(q{SELECT dlock_release('sync:cancel', client => 'sync-next')}), 't', 'it is released');
$tokens->close;
$primary->poll_query_until('postgres', q{
	SELECT count(*) = 0 FROM dlock.locks
	 WHERE resource_name IN ('sync:cancel', 'sync:timeout', 'sync:kill')})
  or diag 'rows stay';
$primary->wait_for_catchup($standby);
foreach my $resource ('sync:cancel', 'sync:timeout', 'sync:kill')
{
	is(on_primary("SELECT status FROM dlock_status('$resource')"),
		'free', "$resource is free on the primary when the standby is back");
	is(on_standby("SELECT status FROM dlock_status('$resource')"),
		'free', "and on the standby");
}
is(on_standby(q{SELECT holder FROM dlock_status('sync:writer')}),
	'sync-writer', 'the acknowledged lease is on the standby');
is( on_standby(q{SELECT mode, hold_count FROM dlock_list('sync-up')}),
	'shared|1', 'what was undone is undone on the standby');

# Fast shutdown while the writer waits.
$standby->stop;
$wait{shutdown} = DlockSession->new($primary);
$wait{shutdown}->tell(q{SELECT dlock_acquire('sync:shutdown', client => 'sync-shutdown')});
sync_wait('postgres');
unanswered($wait{shutdown}, 'an acquire waits for the standby');
ok($primary->stop('fast', fail_ok => 1), 'fast shutdown does not hang');
($out, $err) = $wait{shutdown}->answer;
is(error_parts($err)->{state} . $out, '57P01', 'and the acquire was not acknowledged');
$primary->start;
$standby->start;
$primary->wait_for_catchup($standby);

#
# Promotion
#
on_primary(q{SELECT dlock_acquire('promote:' || i, client => 'sb-alice', ttl => '20 min')
	FROM generate_series(1, 20) i});
on_primary(q{SELECT dlock_release('sb:excl', client => 'sb-alice')});
$session = DlockSession->new($primary);
$session->ask(q{SELECT dlock_acquire('promote:session', scope => 'session', ttl => '20 min')});
# tokens of what is not in the table may not come back either
my $last_token = $session->ask(q{
	BEGIN;
	SELECT max(dlock_acquire('promote:late' || i, scope => 'transaction'))
	  FROM generate_series(1, 50) i});
$primary->poll_query_until('postgres', q{
	SELECT count(*) = 1 FROM dlock.locks
	 WHERE resource_name = 'sb:excl' AND hold_count = 1})
  or die 'the writer has not settled';
$primary->wait_for_catchup($standby);
my $before = on_primary($leases);
is(on_standby($leases), $before, 'the standby has it all');
my $stayed = DlockSession->new($standby);
is($stayed->ask(q{SELECT source FROM dlock_status('sb:excl')}), 'table',
	'a session that will see the promotion');

$primary->stop('immediate');
my $promoted_at = on_standby('SELECT clock_timestamp()');
is( on_standby(qq{SELECT count(*) FROM dlock_list()
	WHERE resource ~ '^promote:' AND expires_at > '$promoted_at'::timestamptz + '20 min' - '50 ms'::interval}),
	'0', 'so far every lease would end within 20 minutes from now');
# nobody can be named who is not there
$standby->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver')
  or die 'the standby has not noticed';
is( sql_error($standby, 'postgres', q{SELECT dlock_acquire('promote:early')})->{hint},
	'Connect to the primary server, for example with "target_session_attrs=read-write".',
	'the hint of a standby without a primary');
$standby->promote;

my ($first_token, $error) =
  $stayed->ask(q{SELECT dlock_acquire('promote:new', client => 'sb-new')});
like($first_token, qr/^\d+$/, "acquire in a session from before the promotion $error");
cmp_ok($first_token, '>', $last_token, 'tokens go on above all that were given out');
is(on_standby("SELECT * FROM ($leases) l WHERE client <> 'sb-new'"),
	$before, 'every lease was loaded');
is(on_standby('SELECT DISTINCT source FROM dlock_list()'),
	'memory', 'and is in memory');
is( on_standby(qq{
	SELECT count(*) FILTER (WHERE expires_at < '$promoted_at'::timestamptz + '20 min' - '50 ms'::interval),
		   count(*) FILTER (WHERE expires_at > clock_timestamp() + '22 min'),
		   count(*) > 20
	  FROM dlock_list() WHERE resource ~ '^(sb|promote):' AND client <> 'sb-new'}),
	'0|0|t', 'with its full duration, spread by up to a tenth');
is( on_standby(q{SELECT count(dlock_try_acquire('promote:' || i, client => 'sb-thief'))
	FROM generate_series(1, 20) i}),
	'0', 'nobody else gets what is held');
like( on_standby(q{SELECT expires_at FROM dlock_renew('promote:1', client => 'sb-alice')}),
	qr/^\d/, 'its holder renews');
is(on_standby(q{SELECT dlock_release('promote:1', client => 'sb-alice')}),
	't', 'and releases');
like(on_standby(q{SELECT dlock_try_acquire('promote:1', client => 'sb-thief')}),
	qr/^\d+$/, 'then the next one gets it');
$stayed->close;
$session->close;

expect_log(
	$primary,
	# waits for the standby that we cut short, and a fast shutdown
	qr/client backend .*ERROR:  canceling statement due to (?:statement timeout|user request)/,
	qr/client backend .*FATAL:  (?:terminating connection due to administrator command|connection to client lost)/,
	qr/walsender .*FATAL:  the database system is (?:shutting down|starting up|not yet accepting connections)/,
	qr/dlock writer WARNING:  canceling the wait for synchronous replication and terminating connection due to administrator command/,
	# a writer that we told to go, in a wait or between two
	qr/dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command/);
expect_log(
	$standby,
	qr/client backend .*ERROR:  cannot change leases during recovery/,
	# one of the two servers is away
	qr/walreceiver FATAL:  (?:terminating walreceiver process due to administrator command|could not receive data from WAL stream|(?:streaming replication receiver "\w+" )?could not connect to the primary server)/);

done_testing();
