# What must hold: behind a transaction pooler, 1,000 clients over 20 server
# connections each hold what they were granted, and nobody else does, although
# every statement may run in another session; behind a session pooler, the
# next user of a server connection inherits neither leases nor client.
#
# Why it could fail: anything that ties a lease to the session it was taken
# in, a cached client for example, makes clients lose or mix up their locks.
use strict;
use warnings;

use DlockNode qw(dlock_node run_bounded);
use DlockSession;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $clients = 1000;
my $rounds = 4;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}),
  '/usr/sbin';
plan skip_all => 'pgbouncer is not installed' unless defined $pgbouncer;

# pgbench and pgbouncer need a file descriptor for each client
my $more_files = 'ulimit -Sn $(ulimit -Hn); test $(ulimit -n) = unlimited || test $(ulimit -n) -ge '
  . (2 * $clients) . ' && exec "$@"';
plan skip_all => "the limit on open files is too low for $clients clients"
  if system('sh', '-c', $more_files, 'sh', 'true') != 0;

my $node = dlock_node('pooled', <<'EOC');
log_statement = none
log_min_messages = warning
log_min_error_statement = panic
max_connections = 40
synchronous_commit = off
EOC
my $user = $node->safe_psql('postgres', 'SELECT current_user');

#
# The pooler
#
my $dir = PostgreSQL::Test::Utils::tempdir;
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $server = 'host=' . $node->host . ' port=' . $node->port . " user=$user dbname=postgres";
PostgreSQL::Test::Utils::append_to_file("$dir/pgbouncer.ini", <<"EOC");
[databases]
transaction_pool = $server pool_mode=transaction pool_size=20
session_pool = $server pool_mode=session pool_size=1
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = @{[ $node->host ]}
auth_type = any
max_client_conn = @{[ $clients + 100 ]}
server_reset_query = DISCARD ALL
query_wait_timeout = 0
logfile = $dir/pgbouncer.log
log_connections = 0
log_disconnections = 0
EOC
my ($out, $err) = ('', '');
my $pooler = IPC::Run::start(
	[ 'sh', '-c', $more_files, 'sh', $pgbouncer, '-q', "$dir/pgbouncer.ini" ],
	'<' => \undef, '>' => \$out, '2>' => \$err);

sub through
{
	return 'host=' . $node->host . " port=$port user=$user dbname=$_[0]";
}

END
{
	local $?;
	$pooler->kill_kill if defined $pooler;
}

my $until = time + $PostgreSQL::Test::Utils::timeout_default;
while ($node->psql('', 'SELECT 1', connstr => through('transaction_pool'), stdout => \my $one) != 0)
{
	die "pgbouncer does not start: $err" if time > $until || !$pooler->pumpable;
	usleep(100_000);
}

#
# Transaction pooling
#
# "owners" says who is at work on a resource.  It is changed by holders only,
# and cleared in the transaction that asks for the release.  In "holds" a
# sequence, drawn inside the holding time, tells what came first.
#
$node->safe_psql('postgres', <<"EOS");
CREATE TABLE owners (resource text PRIMARY KEY, client text) WITH (fillfactor = 20);
INSERT INTO owners SELECT 'hot' || i FROM generate_series(1, 200) i;
INSERT INTO owners SELECT 'own' || i FROM generate_series(0, $clients - 1) i;
CREATE TABLE holds (resource text, client text, token bigint UNIQUE, got_pid int,
	found text, got bigint, renewed bool, gone bigint, gone_pid int, released bool)
	WITH (fillfactor = 50);
CREATE SEQUENCE instants;
EOS

# locking(RESOURCE, CLIENT): a pgbench script that locks, works, and unlocks.
# CLIENT 'argument' names the client in each call, 'setting' by SET LOCAL.
sub locking
{
	my ($resource, $client) = @_;
	my $begin = $client eq 'setting' ? "BEGIN;\nSET LOCAL dlock.client = 'c:client_id';" : '';
	my $end = $client eq 'setting' ? 'COMMIT;' : '';
	my $argument = $client eq 'argument' ? ", client => 'c:client_id'" : '';
	my $set_local = $client eq 'setting' ? "SET LOCAL dlock.client = 'c:client_id';" : '';

	return <<"EOS";
$begin
SELECT coalesce(t, 0) AS token, (t IS NOT NULL)::int AS got
  FROM dlock_try_acquire('$resource', '5 ms', ttl => '1 hour'$argument) t \\gset
$end
\\if :got
BEGIN;
INSERT INTO holds (resource, client, token, got_pid, found, got)
SELECT '$resource', 'c:client_id', :token, pg_backend_pid(), client, nextval('instants')
  FROM owners WHERE resource = '$resource';
UPDATE owners SET client = 'c:client_id' WHERE resource = '$resource';
COMMIT;
BEGIN;
$set_local
UPDATE holds SET renewed = (SELECT expires_at > clock_timestamp() + interval '59 minutes'
	FROM dlock_renew('$resource', token => :token$argument))
 WHERE token = :token;
COMMIT;
BEGIN;
$set_local
UPDATE owners SET client = NULL WHERE resource = '$resource' AND client = 'c:client_id';
UPDATE holds SET gone = nextval('instants'), gone_pid = pg_backend_pid(),
	released = dlock_release('$resource', :token$argument)
 WHERE token = :token;
COMMIT;
\\endif
EOS
}

my @scripts;
foreach my $client ('argument', 'setting')
{
	my $file = "$dir/$client.sql";

	# nobody else wants a client's own resource; five want each of the others
	append_to_file($file,
		"\\set n random(1, 200)\n" . locking('own:client_id', $client) . locking('hot:n', $client));
	push @scripts, '-f', $file;
}
my ($rc, $report, $complaints) = run_bounded([
	'sh', '-c', $more_files, 'sh', 'pgbench', '-n',
	'-h', $node->host, '-p', $port, '-U', $user,
	'-c', $clients, '-j', 2, '-t', $rounds, @scripts, 'transaction_pool' ]);
is($rc, 0, "$clients clients do their work") or diag $complaints;
like($report, qr{^number of transactions actually processed: (\d+)/\1$}m,
	'all of it');

sub value { return $node->safe_psql('postgres', $_[0]); }

is( value(q{SELECT count(*), count(DISTINCT client) FROM holds WHERE resource LIKE 'own%'}),
	$rounds * $clients . "|$clients",
	'every client got its own resource every time');
is( value(q{SELECT count(*) > 100, count(DISTINCT client) > 100, max(n) > 2 FROM (
	SELECT client, count(*) OVER (PARTITION BY resource) AS n
	  FROM holds WHERE resource LIKE 'hot%') h}),
	't|t|t', 'and many clients got resources that others wanted, one after the other');
note value(q{SELECT count(*) || ' holds of contended resources' FROM holds WHERE resource LIKE 'hot%'});
is(value(q{SELECT count(*) FROM holds WHERE found IS NOT NULL}),
	'0', 'nobody found another at work');
is(value(q{SELECT count(*) FROM holds WHERE renewed IS NOT TRUE}),
	'0', 'every renewal found the lease');
is(value(q{SELECT count(*) FROM holds WHERE released IS NOT TRUE}),
	'0', 'every release found the lease');
is( value(q{
	SELECT count(*)
	  FROM (SELECT got, max(coalesce(gone, 9e18)) OVER (PARTITION BY resource ORDER BY token
			ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS others_gone FROM holds) h
	 WHERE others_gone > got}),
	'0', 'no two holds of a resource overlap, and tokens rise');
cmp_ok(value(q{SELECT count(DISTINCT got_pid) FROM holds}),
	'<=', 20, 'no more than 20 server connections');
cmp_ok(value(q{SELECT count(*) FROM holds WHERE got_pid <> gone_pid}),
	'>', $clients / 2, 'most leases were released in another session');
is(value(q{SELECT count(*) FROM owners WHERE client IS NOT NULL}),
	'0', 'nobody is at work any more');
is(value(q{SELECT (SELECT count(*) FROM dlock_list()), (SELECT count(*) FROM dlock_queue())}),
	'0|0', 'no lease and no waiter stays');
$node->poll_query_until('postgres', "SELECT count(*) = $clients FROM dlock.clients")
  or diag 'clients have no rows';
is(value(q{SELECT count(*) FROM dlock.clients WHERE name ~ '^c[0-9]+$'}),
	$clients, 'every client has its row');

#
# Session pooling
#
my $first = DlockSession->new($node, connstr => through('session_pool'));
$first->ask(q{
	SELECT dlock_acquire('pool:session', scope => 'session');
	SELECT dlock_acquire('pool:lease', ttl => '1 hour', scope => 'lease');
	SELECT dlock_acquire('pool:default', ttl => '1 hour');
	SET dlock.client = 'pool-named';
	SELECT dlock_acquire('pool:named', scope => 'session');
	SELECT dlock_acquire('pool:named lease', ttl => '1 hour')});
my $anonymous = value(q{SELECT holder FROM dlock_status('pool:session')});
like($anonymous, qr{^session/}, 'an anonymous client behind the pooler');
my $waiter = DlockSession->new($node);
$waiter->tell(q{SELECT dlock_acquire('pool:session', client => 'pool-waiter')});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM dlock_queue('pool:session')})
  or die 'nobody waits';

$first->quit;
like($waiter->answer, qr/^\d+$/, 'DISCARD ALL gives leases of scope session to who waits');
my $second = DlockSession->new($node, connstr => through('session_pool'));
is($second->pid, $first->pid, 'the next user has the same server connection');
is( value(q{SELECT string_agg(resource, ', ' ORDER BY resource) FROM dlock_list()
	WHERE client <> 'pool-waiter'}),
	'pool:lease, pool:named lease', 'only leases of scope lease stay');
is($second->ask(q{SHOW dlock.client}), '', 'dlock.client is reset');
is( $second->ask(q{SELECT dlock_release('pool:lease'), dlock_try_acquire('pool:lease')}),
	'f|', 'what the last user holds is not the next one\'s');
$second->ask(q{SELECT dlock_acquire('pool:second', scope => 'session')});
my $other = value(q{SELECT holder FROM dlock_status('pool:second')});
like($other, qr{^session/}, 'the next user is an anonymous client');
isnt($other, $anonymous, 'and another one');

$second->close;
ok( $node->poll_query_until('postgres', q{SELECT status = 'free' FROM dlock_status('pool:second')}),
	'so does a client that disappears');
is($node->safe_psql('postgres', 'SELECT pg_backend_pid()', connstr => through('session_pool')),
	$first->pid, 'while the server connection stays');
$waiter->close;

done_testing();
