# What must hold: what a server complains of fails the test that nobody has
# announced it to, save for what it says because it is started, stopped or
# promoted, and only while it is.
#
# Why it could fail: a session that has got its last answer may still be leaving
# when the next step stops the server, so tests would fail now and then; and
# where that is forgiven, more may be forgiven than that.
use strict;
use warnings;

use DlockLog qw(complaints is_answer);
use DlockNode qw(dlock_node expect_log poll_rows rows session try_rows abandon
  backend_pid);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# found(NAME, EXPECTED, LINE...) tests which of some lines, by number, are
# complaints.  A line is "KIND SEVERITY:  MESSAGE".
sub found
{
	my ($name, $expected, @lines) = @_;
	my $n = 0;
	my @log = map { '2026-11-21 17:00:00.000 UTC [' . ++$n . "] $_\n" } @lines;
	my @numbers = map { /\[(\d+)\]/ ? $1 : $_ } complaints(join '', @log);

	return is("@numbers", $expected, $name);
}

my $terminated = 'client backend psql FATAL:  terminating connection due to administrator command';
my $ended = 'dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command';
my $receiver = 'walreceiver FATAL:  terminating walreceiver process due to administrator command';
my $stopping = 'postmaster LOG:  received fast shutdown request';
my $stopped = 'postmaster LOG:  database system is shut down';
my $starting = 'postmaster LOG:  starting PostgreSQL 15.1 on some machine';
my $started = 'postmaster LOG:  database system is ready to accept connections';
my $too_early = 'client backend [unknown] FATAL:  the database system is starting up';

found('severities', '1 2 4 6',
	'client backend psql WARNING:  x', 'dlock writer ERROR:  x', 'dlock writer LOG:  ERROR:  x',
	'client backend [unknown] FATAL:  x', 'dlock monitor INFO:  x', 'startup PANIC:  x');
found('a name that looks like one', '', "client backend psql LOG:  statement: SELECT 'ERROR:  x'");
found('a killed process', '1', 'postmaster LOG:  server process (PID 1) was terminated by signal 9: Killed');
found('told to go, and nobody stops the server', '1 2', $terminated, $ended);
found('told to go with the server', '', $stopping, $terminated, $ended, $receiver, $stopped);
found('before that, and after it', '1 5', $terminated, $stopping, $terminated, $stopped, $terminated);
found('stopped immediately', '', 'postmaster LOG:  received immediate shutdown request', $terminated, $stopped);
found('a smart shutdown waits for sessions', '2',
	'postmaster LOG:  received smart shutdown request', $terminated, $stopped);
found('a session that tells of a shutdown', '2',
	"client backend psql LOG:  statement: $stopping", $terminated);
found('anything else at a shutdown', '2 3 4', $stopping,
	'dlock writer ERROR:  x', 'client backend psql WARNING:  x',
	'dlock monitor FATAL:  terminating background worker "dlock monitor" due to administrator command', $stopped);
found('too early', '1 6', $too_early, $starting, $too_early, $started, $stopping, $too_early);
found('too early, but later told', '', $starting, $started, $too_early);
found('told to go with the promotion', '1 5', $receiver, 'startup LOG:  received promote request',
	$receiver, 'startup LOG:  selected new timeline ID: 2', $receiver);

is(join(' ', map { is_answer("2026-11-21 17:00:00.000 UTC [1] $_") ? 1 : 0 }
		'client backend psql ERROR:  x', 'parallel worker ERROR:  x', 'client backend psql FATAL:  x',
		'client backend psql WARNING:  x', 'dlock writer ERROR:  x'),
	'1 1 0 0 0', 'what a client has been told');

#
# A server
#
my $node = dlock_node('log');
my $given_up = session($node);
my $at_work = session($node);
my @lines;

rows($node, 'SELECT pg_terminate_backend(' . backend_pid($given_up) . ', 60000)');
try_rows($node, q{DO $$ BEGIN RAISE WARNING 'made by hand'; END $$});
$node->restart;
abandon($_) foreach $given_up, $at_work;
@lines = complaints(slurp_file($node->logfile));
is(scalar @lines, 2, 'two complaints') or diag join "\n", @lines;
like($lines[0], qr/FATAL:  terminating connection/, 'a session that we terminate');
like($lines[1], qr/WARNING:  made by hand/, 'a warning');
like(slurp_file($node->logfile),
	qr/received fast shutdown request.*FATAL:  terminating connection.*database system is shut down/s,
	'not the session that the restart has ended');
expect_log($node,
	qr/client backend .*FATAL:  terminating connection due to administrator command/,
	qr/client backend .*WARNING:  made by hand/);

done_testing();
