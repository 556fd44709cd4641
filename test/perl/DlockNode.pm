# DlockNode - what the Perl tests of dlock share
#
# When a test is done, its servers are stopped and their logs are read: a
# complaint that expect_log did not announce is a failed test.  What a server
# may say because it is started or stopped need not be announced (DlockLog).
#
# No test sleeps in place of an order: a wait polls for a condition and dies
# when it has not come true within $PostgreSQL::Test::Utils::timeout_default.
package DlockNode;

use strict;
use warnings;

use DlockLog qw(complaints);
use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

our @EXPORT_OK = qw(dlock_node crash kill_postmaster poll_start poll_until
  limit session ask try_ask begin_ask end_ask is_waiting abandon backend_pid
  set_stop clear_stop wait_stopped log_position expect_log
  worker_pid new_writer start_writers new_database sleeping processes poll_ready rows try_rows poll_rows table_matches run_bounded);

# dlock_node(NAME, CONF, ...) gives a running server with dlock in database
# postgres.  test/dlock.conf is in effect already (TEMP_CONFIG); CONF comes
# after it.  fsync is on, for crashes are what most of these tests are about.
# The rest are options of Cluster's init, such as allows_streaming => 1.
sub dlock_node
{
	my ($name, $conf, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(%init);
	$node->append_conf('postgresql.conf', "fsync = on\ndlock.debug_stop = none\n");
	$node->append_conf('postgresql.conf', $conf) if defined $conf;
	$node->start;
	die "these tests need a dlock that was built with \"make DEBUG_POINTS=1\"\n"
	  if $node->safe_psql('postgres', q{SELECT current_setting('dlock.debug_stop', true) IS NULL}) eq 't';
	$node->safe_psql('postgres', 'CREATE EXTENSION dlock');
	return $node;
}

#
# Waiting
#

# limit() is how long any wait may take, in seconds.
sub limit
{
	return $PostgreSQL::Test::Utils::timeout_default;
}

# poll_until(WHAT, SUB) waits until SUB gives true, and gives that.
sub poll_until
{
	my ($what, $sub) = @_;
	my $until = time() + limit();

	while (1)
	{
		my $result = $sub->();
		return $result if $result;
		die "timed out waiting until $what" if time() > $until;
		usleep(20_000);
	}
}

#
# Crashes
#

# kill_postmaster(NODE) kills it (kill -9) and waits until it is gone.
sub kill_postmaster
{
	my ($node) = @_;
	my $pid = $node->{_pid};

	$node->kill9;
	poll_until('the postmaster is gone', sub { !kill(0, $pid) });
	return;
}

# crash(NODE) kills the postmaster (kill -9) and starts the server again.
sub crash
{
	my ($node) = @_;

	kill_postmaster($node);
	poll_start($node);
	return;
}

# poll_start(NODE) starts a server that was killed.  Its children notice the
# postmaster's death a moment later; until the last has left, the start fails.
sub poll_start
{
	my ($node) = @_;

	poll_until('the server starts', sub { $node->start(fail_ok => 1) });
	return;
}

#
# Sessions
#

# session(NODE, DATABASE, USER) gives a psql that goes on after errors and
# shows their SQLSTATE.
sub session
{
	my ($node, $dbname, $user) = @_;
	my @user = defined $user ? ('-U', $user) : ();
	my $session = $node->background_psql(
		$dbname // 'postgres',
		on_error_stop => 0,
		extra_params => [ '-v', 'VERBOSITY=verbose', @user ]);

	$session->set_query_timer_restart;
	return $session;
}

# begin_ask(SESSION, SQL) sends a statement without waiting for its end; it
# has been sent when this returns, but not more.
sub begin_ask
{
	my ($session, $sql) = @_;
	my $n = ++$session->{asked};

	die 'the last answer was not fetched' if $session->{open};
	$session->{open} = 1;
	$session->{timeout}->start;
	$session->{stdin} .=
	  "\\echo begin $n:\n$sql\n;\n\\echo end $n:\n\\warn end $n:\n";
	$session->{run}->pump until $session->{stdout} =~ s/begin $n:\n//;
	return;
}

# end_ask(SESSION) waits for the answer: output, then errors and notices.
sub end_ask
{
	my ($session) = @_;
	my $n = $session->{asked};
	my $answer;

	$session->{run}->pump
	  until $session->{stdout} =~ /end $n:\n/
	  && $session->{stderr} =~ /end $n:\n/;
	$session->{timeout}->reset;
	$answer = $session->{stdout} . $session->{stderr};
	@$session{qw(stdout stderr)} = ('', '');
	$session->{open} = 0;
	$answer =~ s/\n?end $n:\n//g;
	return $answer;
}

# try_ask(SESSION, SQL) gives the answer, whatever it is.
sub try_ask
{
	my ($session, $sql) = @_;

	begin_ask($session, $sql);
	return end_ask($session);
}

# ask(SESSION, SQL) gives the answer, which must not be an error.
sub ask
{
	my ($session, $sql) = @_;
	my $answer = try_ask($session, $sql);

	die "\"$sql\" failed: $answer" if $answer =~ /\b(?:ERROR|FATAL):/;
	return $answer;
}

# is_waiting(SESSION) tells whether the answer has not come yet.
sub is_waiting
{
	my ($session) = @_;
	my $n = $session->{asked};

	$session->{run}->pump_nb;
	return $session->{stdout} !~ /end $n:\n/;
}

# abandon(SESSION) takes leave of a session whose server was killed; gives
# what it had heard.
sub abandon
{
	my ($session) = @_;

	$session->{stdin} .= "\\q\n";
	eval { $session->{run}->finish };
	return $session->{stdout} . $session->{stderr};
}

sub backend_pid
{
	my ($session) = @_;
	return ask($session, 'SELECT pg_backend_pid()');
}

# rows(NODE, SQL, DATABASE, USER) gives the rows of a query, as text; dies
# where that fails.
sub rows
{
	my ($node, $sql, $dbname, $user) = @_;
	return $node->safe_psql(
		$dbname // 'postgres', $sql,
		timeout => limit(),
		extra_params => [ defined $user ? ('-U', $user) : () ]);
}

# try_rows(NODE, SQL, DATABASE, USER) gives rows, then errors and notices.
sub try_rows
{
	my ($node, $sql, $dbname, $user) = @_;
	my @answer = $node->psql(
		$dbname // 'postgres', $sql,
		timeout => limit(),
		extra_params =>
		  [ '-v', 'VERBOSITY=verbose', defined $user ? ('-U', $user) : () ]);
	return join "\n", grep { $_ ne '' } @answer[ 1, 2 ];
}

# poll_rows(NODE, SQL, EXPECTED, DATABASE) waits until a query gives that.
sub poll_rows
{
	my ($node, $sql, $expected, $dbname) = @_;

	return poll_until(
		"$sql gives $expected",
		sub {
			my $done = eval { $node->poll_query_until($dbname // 'postgres', $sql, $expected) };

			# psql had left, without a server, before it was told the query
			die $@ if $@ && $@ !~ /Broken pipe/;
			die "timed out waiting for: $sql" unless $done || $@;
			return $done;
		});
}

# new_database(NODE, NAME) makes a database with the extension, ready to use.
sub new_database
{
	my ($node, $name) = @_;

	rows($node, "CREATE DATABASE $name TEMPLATE template0");
	rows($node, 'CREATE EXTENSION dlock', $name);
	poll_ready($node, $name);
	return;
}

# poll_ready(NODE, DATABASE) waits until the server takes connections and the
# leases are loaded.
sub poll_ready
{
	my ($node, $dbname) = @_;
	return poll_rows($node, 'SELECT count(*) >= 0 FROM dlock_list()', 't',
		$dbname);
}

#
# Processes and stop points
#

# worker_pid(NODE, TYPE, DATABASE) gives the pid of "dlock writer" and the
# like, once there is one.
sub worker_pid
{
	my ($node, $type, $dbname) = @_;
	my $where = "backend_type = '$type'";

	return monitor_pid($node) if $type eq 'dlock monitor';
	$where .= " AND datname = '$dbname'" if defined $dbname;
	return poll_until("there is a $type",
		sub { rows($node, "SELECT pid FROM pg_stat_activity WHERE $where") });
}

# new_writer(NODE, DATABASE) terminates a database's writer and gives the pid of
# the next one, whose first pass over dlock.clients is at once.
sub new_writer
{
	my ($node, $dbname) = @_;
	my $old = worker_pid($node, 'dlock writer', $dbname);

	rows($node, "SELECT pg_terminate_backend($old)");
	return poll_until(
		'there is another writer',
		sub {
			my $pid = worker_pid($node, 'dlock writer', $dbname);
			return $pid != $old && $pid;
		});
}

# start_writers(NODE, DATABASE...) has the writers of databases started, as the
# first call of a function does, but does not wait until the leases are loaded.
sub start_writers
{
	my ($node, @dbnames) = @_;

	rows($node, 'SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS dlock', $_) foreach @dbnames;
	return;
}

# sleeping(NODE, PID...) gives how many of these sessions sleep in a call of
# dlock.
sub sleeping
{
	my ($node, @pids) = @_;

	return rows($node, sprintf q{
		SELECT count(*) FROM pg_stat_activity
		 WHERE state = 'active' AND wait_event_type = 'Extension'
		   AND pid IN (%s)}, join ', ', 0, @pids);
}

# The monitor has no database, and so no row in pg_stat_activity.
sub monitor_pid
{
	my ($node) = @_;

	return poll_until('there is a dlock monitor',
		sub { (processes($node, 'dlock monitor'))[0] });
}

# processes(NODE, TITLE) gives the pids of a server's processes of that title,
# also of those that wait for a lock, or for a standby.
sub processes
{
	my ($node, $title) = @_;
	my @pids;

	foreach my $stat (glob '/proc/[0-9]*/stat')
	{
		my $pid = (split '/', $stat)[2];
		# it may be gone by now
		my $text = eval { slurp_file($stat) } // '';
		my $command = eval { slurp_file("/proc/$pid/cmdline") } // '';

		push @pids, $pid
		  if $text =~ /\) \S $node->{_pid} /
		  && $command =~ /: \Q$title\E(?:\s+waiting.*)?[\s\0]*\z/s;
	}
	return @pids;
}

# set_stop(NODE, POINT) makes processes stop at a point from now on, and
# clear_stop(NODE) lets go those that have; both also work on a server that is
# down.  A session that sees the value was started after the postmaster had
# signalled its other children, so they see it before they begin anything.
sub set_stop
{
	my ($node, $point) = @_;

	$node->adjust_conf('postgresql.conf', 'dlock.debug_stop', $point);
	return unless defined $node->{_pid};
	$node->reload;
	return poll_rows($node, 'SHOW dlock.debug_stop', $point);
}

sub clear_stop
{
	my ($node) = @_;
	return set_stop($node, 'none');
}

# wait_stopped(NODE, POINT, POSITION) waits until a process has said, after
# that position in the log, that it stopped there.
sub wait_stopped
{
	my ($node, $point, $position) = @_;
	return $node->wait_for_log(qr/dlock stopped at debug point "$point"/,
		$position);
}

#
# The server log
#

sub log_position
{
	my ($node) = @_;
	return -s $node->logfile;
}

my %expected;	# patterns, by name of the node

# expect_log(NODE, PATTERN...) announces complaints.  A pattern may tell the
# kind of process too, which stands before the severity: "client backend",
# "dlock writer" and so on.
sub expect_log
{
	my ($node, @patterns) = @_;

	push @{ $expected{ $node->name } }, @patterns;
	return;
}

# unexpected(NODE) gives the complaints in its log that were not announced.
sub unexpected
{
	my ($node) = @_;
	my @found = complaints(slurp_file($node->logfile));

	foreach my $pattern (@{ $expected{ $node->name } // [] })
	{
		@found = grep { !/$pattern/ } @found;
	}
	return @found;
}

# check_logs stops all servers and tests that their logs are as announced.
sub check_logs
{
	foreach my $node (@PostgreSQL::Test::Cluster::all_nodes)
	{
		my @found;

		$node->stop;
		next unless -e $node->logfile;
		@found = unexpected($node);
		splice @found, 20;
		is(join("\n", @found),
			'', 'nothing unexpected in the log of ' . $node->name);
	}
	return;
}

# No test can forget it.
{
	no warnings 'redefine';
	my $done_testing = \&Test::Builder::done_testing;

	*Test::Builder::done_testing = sub {
		local $Test::Builder::Level = $Test::Builder::Level + 1;

		check_logs() unless defined $_[0]->parent;
		return $done_testing->(@_);
	};
}

#
# Leases
#

# table_matches(NODE, DATABASE) waits until dlock.locks says the same as
# memory; what nobody waits for is written a moment later.
sub table_matches
{
	my ($node, $dbname) = @_;

	return poll_rows($node, <<'EOSQL', 't', $dbname);
WITH mem AS (
	SELECT resource, token, client, mode, hold_count FROM dlock_list()
	WHERE scope <> 'transaction'),
tab AS (
	SELECT resource_name, token, owner, mode, hold_count FROM dlock.locks
	WHERE status = 'held')
SELECT NOT EXISTS (TABLE mem EXCEPT ALL TABLE tab)
   AND NOT EXISTS (TABLE tab EXCEPT ALL TABLE mem)
EOSQL
}

# run_bounded(COMMAND) runs a command, gives its exit code, output and errors,
# and dies where it does not come to an end.
sub run_bounded
{
	my ($command) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(
		$command,
		'<' => \undef,
		'>' => \$out,
		'2>' => \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return ($?, $out, $err);
}

1;
