# What must hold: whatever 32 sessions do to 20 resources at once, acquire,
# share, upgrade, time out, roll back, disconnect, get cancelled or killed, no
# two holds that exclude each other overlap, tokens are unique and rise, and
# in the end nobody waits, nothing is held, and the table says what memory
# says, without having grown out of proportion.
#
# Why it could fail: every way to leave a queue meets every way to be granted
# somewhere; and a snapshot that stays open keeps the table from being pruned.
use strict;
use warnings;

use DlockNode qw(dlock_node expect_log poll_rows poll_until table_matches run_bounded limit);
use DlockSession;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = 8;	# of each of the two runs
my $node = dlock_node('stress', <<'EOC');
log_statement = none
log_min_messages = warning
log_min_error_statement = panic
synchronous_commit = off
EOC
my $dir = PostgreSQL::Test::Utils::tempdir;

sub value { return $node->safe_psql('postgres', $_[0]); }

# Every hold is noted from inside its time, "got" after the grant and "gone"
# before the release; the sequence tells what came first.  A hold whose mode
# changes has two parts.
value(<<'EOS');
CREATE SEQUENCE instants;
CREATE TABLE holds (resource text, token bigint, part int, mode text, kind text,
	got bigint DEFAULT nextval('instants'), gone bigint, UNIQUE (token, part))
	WITH (fillfactor = 50);
CREATE TABLE outcomes (kind text, outcome text);

-- dlock_acquire whose time is over, and an upgrade that is refused; LK005
-- is for a machine that takes more than a second to flush
CREATE FUNCTION acquire(resource text, timeout interval, client text) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
	RETURN dlock_acquire(resource, timeout, client => client, ttl => '1 hour');
EXCEPTION WHEN lock_not_available OR SQLSTATE 'LK005' THEN
	RETURN NULL;
END $$;
CREATE FUNCTION upgrade(resource text, timeout interval, client text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM dlock_set_options(resource, mode => 'exclusive', client => client, timeout => timeout);
	RETURN 'done';
EXCEPTION WHEN lock_not_available OR SQLSTATE 'LK005' THEN
	RETURN 'timeout';
WHEN deadlock_detected THEN
	RETURN 'deadlock';
END $$;
EOS

#
# What the sessions do
#
my $choose = <<'EOS';
\set r random_zipfian(1, 20, 1.1)
\set ms random(0, 150)
\set priority random(0, 2)
\set hold random(0, 10000)
EOS
my $try = q{SELECT coalesce(t, 0) AS token, (t IS NOT NULL)::int AS got
  FROM dlock_try_acquire('r:r', :ms * interval '1 ms', priority => :priority, ttl => '1 hour'};
my $named = q{client => 'p:client_id'};

sub note_got
{
	my ($kind, $mode, $part) = @_;
	return sprintf q{INSERT INTO holds (resource, token, part, mode, kind) VALUES ('r:r', :token, %d, '%s', '%s');},
	  $part // 0, $mode, $kind;
}

sub note_gone
{
	my ($part) = @_;
	return sprintf q{UPDATE holds SET gone = nextval('instants') WHERE token = :token AND part = %d;}, $part // 0;
}

my %scripts = (
	'exclusive@6' => "$try, $named) t \\gset\n\\if :got\n"
	  . note_got('exclusive', 'exclusive') . "\n\\sleep :hold us\nBEGIN;\n" . note_gone()
	  . "\nSELECT dlock_release('r:r', :token, $named);\nCOMMIT;\n\\endif\n",
	'shared@4' => "$try, mode => 'shared', $named) t \\gset\n\\if :got\n"
	  . note_got('shared', 'shared') . "\n\\sleep :hold us\nBEGIN;\n" . note_gone()
	  . "\nSELECT dlock_release('r:r', :token, $named);\nCOMMIT;\n\\endif\n",
	'raising@3' => "SELECT coalesce(t, 0) AS token, (t IS NOT NULL)::int AS got"
	  . " FROM acquire('r:r', :ms * interval '1 ms', 'p:client_id') t \\gset\n\\if :got\n"
	  . note_got('raising', 'exclusive') . "\nBEGIN;\n" . note_gone()
	  . "\nSELECT dlock_release('r:r', :token, $named);\nCOMMIT;\n\\endif\n",
	# a release that is rolled back, a second hold, and both released
	'rollback@2' => "$try, $named) t \\gset\n\\if :got\n"
	  . note_got('rollback', 'exclusive')
	  . "\nBEGIN;\nSELECT dlock_release('r:r', :token, $named);\nROLLBACK;\n"
	  . "SELECT dlock_acquire('r:r', $named);\nSELECT dlock_release('r:r', :token, $named);\n\\sleep :hold us\nBEGIN;\n"
	  . note_gone() . "\nSELECT dlock_release('r:r', :token, $named);\nCOMMIT;\n\\endif\n",
	# the first acquire goes with its savepoint
	'transaction@3' => "BEGIN;\nSAVEPOINT s;\n"
	  . "SELECT dlock_try_acquire('r:r', scope => 'transaction');\nROLLBACK TO s;\n"
	  . "$try, scope => 'transaction') t \\gset\n\\if :got\n"
	  . note_got('transaction', 'exclusive') . "\n\\sleep :hold us\n" . note_gone()
	  . "\n\\endif\nCOMMIT;\n",
	# not one \if in another: some releases of pgbench run the inner one always
	'upgrade@2' => "\\set up 0\n$try, mode => 'shared', $named) t \\gset\n\\if :got\n"
	  . note_got('upgrade', 'shared')
	  . "\nSELECT u AS outcome, (u = 'done')::int AS up FROM upgrade('r:r', :ms * interval '1 ms', 'p:client_id') u \\gset\n"
	  . "INSERT INTO outcomes VALUES ('upgrade', ':outcome');\n\\endif\n\\if :up\n"
	  . note_got('upgrade', 'exclusive', 1) . "\n\\sleep :hold us\n" . note_gone(1)
	  . "\n\\endif\n\\if :got\nBEGIN;\n" . note_gone()
	  . "\nSELECT dlock_release('r:r', :token, $named);\nCOMMIT;\n\\endif\n",
	'downgrade@2' => "$try, $named) t \\gset\n\\if :got\n"
	  . note_got('downgrade', 'exclusive') . "\nBEGIN;\n" . note_gone()
	  . "\nSELECT dlock_set_options('r:r', mode => 'shared', token => :token, $named);\nCOMMIT;\n"
	  . note_got('downgrade', 'shared', 1) . "\n\\sleep :hold us\nBEGIN;\n" . note_gone(1)
	  . "\nSELECT dlock_release('r:r', :token, $named);\nCOMMIT;\n\\endif\n",
	# taken and left to its time
	'abandoned@1' => "SELECT dlock_try_acquire('r:r', :ms * interval '1 ms', '20 ms', client => 'a:client_id');\n");

# disconnects without a release
my $session_script = "$try, scope => 'session') t \\gset\n\\if :got\n"
  . note_got('session', 'exclusive') . "\n\\sleep :hold us\n" . note_gone() . "\n\\endif\n";

sub script_file
{
	my ($name, $text) = @_;

	append_to_file("$dir/$name.sql", $choose . $text);
	return "$dir/$name.sql";
}

my @main = map {
	my ($name, $weight) = split '@';
	('-f', script_file($name, $scripts{$_}) . "\@$weight")
} sort keys %scripts;
my @reconnecting = ('-C', '-f', script_file('session', $session_script));

# Those who wait in line are cancelled, and those who wait for the disk.  Short
# statements: a long one would keep a snapshot open.
my @cancelling = ('-f', script_file('cancel', <<'EOS'));
SELECT count(pg_cancel_backend(pid))
  FROM (SELECT pid FROM dlock_queue() WHERE client ~ '^v' ORDER BY random() LIMIT 1) v;
\sleep 10 ms
SELECT count(pg_cancel_backend(pid))
  FROM pg_stat_activity
 WHERE application_name = 'victim' AND state = 'active' AND query ~ '^SELECT dlock_acquire'
   AND pid NOT IN (SELECT pid FROM dlock_queue());
\sleep 10 ms
EOS

# A victim is a psql that waits, and is cancelled while it does.  A cancel that
# comes when the grant was acknowledged, but not received yet, ends the
# statement and not the lease: the victim gives back by name what it may have.
# A cancel that hits a later statement makes a hold go without its note, or its
# release fail; so releases are repeated, which is harmless.
sub victim_script
{
	my ($client) = @_;
	my $script = '';

	foreach (1 .. 25 * $seconds)
	{
		my $resource = 'r' . (1 + int(20 * rand()**2));
		my $mode = rand() < 0.3 ? 'shared' : 'exclusive';
		my $timeout = int rand 60;
		my $release = <<"EOS";
BEGIN;
UPDATE holds SET gone = nextval('instants') WHERE token = :token AND gone IS NULL;
SELECT dlock_release('$resource', client => '$client');
COMMIT;
EOS

		$script .= <<"EOS" . $release x 3;
\\set token 0
SELECT dlock_acquire('$resource', '$timeout ms', '1 hour', '$mode', client => '$client') AS token \\gset
INSERT INTO holds (resource, token, part, mode, kind)
SELECT '$resource', :token, 0, '$mode', 'victim' WHERE :token > 0;
EOS
	}
	return $script;
}

#
# A run
#
# start_run(COMMAND) starts a program that goes on without us, so what it
# prints goes to a file.
my $runs = 0;

sub start_run
{
	my ($command) = @_;
	my $log = "$dir/run" . ++$runs . '.log';

	return {
		log => $log,
		harness => IPC::Run::start(
			$command,
			'<' => '/dev/null',
			'>&' => $log,
			IPC::Run::timeout(limit() + $seconds))
	};
}

sub pgbench
{
	my ($clients, @options) = @_;
	return start_run([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port,
		'-c', $clients, '-j', 1, '-T', $seconds, @options, 'postgres' ]);
}

# run_all(NAME) has 32 sessions at work for a while, and gives how many holds
# there were.
sub run_all
{
	my ($name) = @_;
	my $before = value('SELECT count(*) FROM holds');
	my @benches = (
		pgbench(24, @main),
		pgbench(4, @reconnecting),
		pgbench(1, @cancelling));
	my @victims = map {
		my $file = "$dir/victim$runs.sql";
		append_to_file($file, victim_script("v$_"));
		start_run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres') . ' application_name=victim', '-f', $file ])
	} 1 .. 4;
	my $errors;

	foreach my $run (@benches)
	{
		$run->{harness}->finish;
		is($run->{harness}->result(0), 0, "$name: pgbench") or diag slurp_file($run->{log});
	}
	$_->{harness}->finish foreach @victims;
	$errors = join '', map { slurp_file($_->{log}) } @victims;
	like($errors, qr/ERROR:  57014/, "$name: some requests were cancelled");
	like($errors, qr/ERROR:  55P03/, "$name: some ran into their timeouts");
	unlike($errors, qr/(?:ERROR|FATAL|PANIC):  (?!57014|55P03|LK005|25P02)/, "$name: no other errors");
	note "$name: cancelled " . (() = $errors =~ /57014/g) . ', timed out ' . (() = $errors =~ /55P03/g);
	return value('SELECT count(*) FROM holds') - $before;
}

sub check
{
	my ($name) = @_;

	note "$name: ", value(q{SELECT string_agg(kind || ' ' || n, ', ') FROM
		(SELECT kind, count(*) AS n FROM holds GROUP BY kind ORDER BY kind) k});
	note "$name: upgrades ", value(q{SELECT string_agg(outcome || ' ' || n, ', ') FROM
		(SELECT outcome, count(*) AS n FROM outcomes GROUP BY outcome ORDER BY outcome) k});
	is(value(q{SELECT count(DISTINCT kind) FROM holds}), '9', "$name: every kind of session was granted");
	is(value(q{SELECT count(*) FROM dlock_queue()}), '0', "$name: nobody waits");
	ok( $node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM dlock_list() WHERE resource ~ '^r'}),
		"$name: nothing is held") or diag value(q{SELECT * FROM dlock_list() WHERE resource ~ '^r'});
	# a hold whose end a cancel kept from being noted ended no later than the
	# session's next; it was released, so leave it out
	is( value(q{
		CREATE TEMP TABLE spans AS
			SELECT resource, token, mode, int8range(got, gone) AS span FROM holds WHERE gone IS NOT NULL;
		CREATE INDEX ON spans USING gist (span);
		ANALYZE spans;
		SELECT count(*) FROM spans a JOIN spans b
			ON a.span && b.span AND a.resource = b.resource AND a.token < b.token
		 WHERE 'exclusive' IN (a.mode, b.mode)}),
		'0', "$name: no two holds that exclude each other overlap");
	cmp_ok(
		value(q{SELECT count(*) FROM holds a JOIN holds b USING (resource)
			WHERE a.token < b.token AND a.mode = 'shared' AND b.mode = 'shared'
			  AND a.got < b.got AND b.got < a.gone}),
		'>', 0, "$name: some shared holds do");
	# of two shared holds the newer one may be noted, and over, first
	is( value(q{
		SELECT count(*)
		  FROM (SELECT token, mode, is_got,
					   max(token) FILTER (WHERE NOT is_got) OVER before AS newest_gone,
					   max(token) FILTER (WHERE NOT is_got AND mode = 'exclusive') OVER before AS newest_exclusive_gone
				  FROM holds, LATERAL (VALUES (got, true), (gone, false)) e(instant, is_got)
				 WHERE part = 0 AND instant IS NOT NULL
				WINDOW before AS (PARTITION BY resource ORDER BY instant)) e
		 WHERE is_got AND token <= CASE mode WHEN 'exclusive' THEN newest_gone ELSE newest_exclusive_gone END}),
		'0', "$name: tokens rise");
	is(value(q{SELECT count(*) FROM holds WHERE gone IS NULL AND kind <> 'victim'}),
		'0', "$name: every hold was seen to its end");
	ok(table_matches($node), "$name: the table agrees with memory");
	is( value(q{SELECT string_agg(format('%s %s %s %s %s', resource, client, mode, scope, hold_count), ', ' ORDER BY resource, client)
		FROM dlock_list()}),
		'static1 s1 exclusive lease 2, static2 s1 shared lease 1, static2 s2 shared lease 1, static3 s3 exclusive session 1',
		"$name: and what was held before is held still");
	return;
}

# What nobody touches meanwhile.
my $static = DlockSession->new($node);
$static->ask(q{
	SELECT dlock_acquire('static1', ttl => '1 hour', client => 's1');
	SELECT dlock_acquire('static1', client => 's1');
	SELECT dlock_acquire('static2', ttl => '1 hour', mode => 'shared', client => 's1');
	SELECT dlock_acquire('static2', ttl => '1 hour', mode => 'shared', client => 's2');
	SELECT dlock_acquire('static3', scope => 'session', client => 's3')});

my $size = q{SELECT pg_relation_size('dlock.locks')};
my $holds = run_all('plain run');
check('plain run');
note "plain run: $holds holds, table of ", value($size), ' bytes';
cmp_ok(value($size), '<', 400_000, 'plain run: the table has not grown');

# A snapshot that stays open keeps every version of a row.
my $reader = DlockSession->new($node);
$reader->ask(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM dlock.locks});
$holds = run_all('with an open snapshot');
check('with an open snapshot');
note "with an open snapshot: $holds holds, table of ", value($size), ' bytes';
cmp_ok(value($size), '<', 400_000 + 1000 * $holds,
	'with an open snapshot: the table has grown in proportion at most');
$reader->ask('COMMIT');
$reader->close;
poll_until('the table is small again', sub { value('VACUUM dlock.locks'); return value($size) < 400_000 });
pass('then the table becomes small again');

# A waiter whose client is gone leaves the queue as well.
my $gone = DlockSession->new($node);
$gone->tell(q{SELECT dlock_acquire('static1', client => 'gone')});
poll_rows($node, q{SELECT count(*) FROM dlock_queue('static1')}, '1');
$gone->close;
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM dlock_queue('static1')}),
	'a waiter that loses its connection leaves the queue');
$static->close;

expect_log(
	$node,
	# the victims' lot
	qr/client backend victim ERROR:  (?:canceling statement due to user request|could not obtain a lease on resource|current transaction is aborted)/,
	qr/client backend 009_stress.pl FATAL:  connection to client lost/);

done_testing();
