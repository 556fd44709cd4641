# No wake-up is lost: whatever a process of dlock's waits for otherwise (a lock
# of PostgreSQL, a standby), it afterwards sees what has come meanwhile, and
# goes to sleep only when there is nothing to do.  And if a writer does have
# work for long, the log says so.
#
# It could fail because all waits of a process share one latch: a wait for a
# lock or a standby resets it, whichever process had set it.  A wake-up during
# such a wait is gone, and who has seen that the writer was told already does
# not tell it again.
#
# So each table of dlock's is locked, in a database of its own, while its
# workers are idle, at each point of their work, or starting; requests arrive,
# the lock goes, and that is all that happens: no other request, release or
# time-out comes to the rescue.  All of that without and with standbys.
#
# Nobody else may wake the workers here: no deadlock of dlock's is looked for but
# where that is the point, and leases are long.  Who waits for a lock is woken by
# deadlock_timeout and lock_timeout (200 ms for a writer's new clients), even if
# the wait is over by then; so each wait is longer.
use strict;
use warnings;

use DlockNode qw(dlock_node start_writers poll_until session ask begin_ask end_ask
  is_waiting backend_pid set_stop clear_stop log_position expect_log
  worker_pid processes rows poll_rows poll_ready);
use DlockStandby qw($standby_conf add_standby set_synchronous hold let_go
  wait_sync_rep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = dlock_node('wakeups', <<EOCONF, allows_streaming => 1);
$standby_conf
fsync = off
max_connections = 60
max_worker_processes = 40
deadlock_timeout = '10 ms'
dlock.quorum_timeout = 0
dlock.deadlock_timeout = '1 d'
dlock.default_ttl = '1 h'
EOCONF
my @tables = qw(locks clients token_blocks);
my $standby;		# once there is one, it is synchronous
my $number = 0;		# of what needs a name of its own
my $round = 'first';	# likewise, for databases

# database_of(TABLE) gives the database in which that table will be locked.
# Names are short, since the title of a process has little room.
sub database_of
{
	my ($table) = @_;
	return substr($table, 0, 5) . "_$round";
}

# each_database(SUB) gives what SUB(TABLE, DATABASE) gives, by table.
sub each_database
{
	my ($sub) = @_;
	return map { ($_ => $sub->($_, database_of($_))) } @tables;
}

sub create_databases
{
	my (@names) = @_;

	foreach my $name (@names)
	{
		rows($node, "CREATE DATABASE $name");
		rows($node, 'CREATE EXTENSION dlock', $name);
		poll_ready($node, $name);
	}
	return;
}

#
# What the workers are at
#

# writer_of(DATABASE) gives the pid of its writer, also of one that is starting.
sub writer_of
{
	my ($dbname) = @_;
	return poll_until("there is a writer of $dbname",
		sub { (processes($node, "dlock writer $dbname"))[0] });
}

# wait_stopped_at(POINT, POSITION, PID...) waits until each of the processes has
# said, after that position in the log, that it stopped there.
sub wait_stopped_at
{
	my ($point, $position, @pids) = @_;

	foreach my $pid (@pids)
	{
		$node->wait_for_log(qr/\[$pid\] .*dlock stopped at debug point "$point"/,
			$position);
	}
	return;
}

# stop_writers(POINT, SUB) has the writers of our databases stop at a point, to
# which SUB brings them.
sub stop_writers
{
	my ($point, $sub) = @_;
	my $position = log_position($node);

	set_stop($node, $point);
	$sub->() if $sub;
	wait_stopped_at($point, $position,
		map { writer_of(database_of($_)) } @tables);
	return;
}

# idle_writers() waits until our writers are about to sleep until somebody
# wakes them; they stay there until clear_stop or another set_stop.
sub idle_writers
{
	stop_writers('writer_idle');
	return;
}

# wait_for_lock(PID, ASKER) waits until a process has been waiting for a lock for
# some time, as the session ASKER sees it.
sub wait_for_lock
{
	my ($pid, $asker) = @_;

	return poll_until(
		"process $pid waits for a lock",
		sub {
			ask($asker, qq{
				SELECT count(*) > 0 FROM pg_locks WHERE pid = $pid AND NOT granted
				   AND waitstart < clock_timestamp() - '300 ms'::interval}) eq 't';
		});
}

# wait_for_locks(LOCKER, TABLE...) waits until the writers wait for the locks on
# these tables.
sub wait_for_locks
{
	my ($locker, @of) = @_;

	wait_for_lock(writer_of(database_of($_)), $locker->{$_}) foreach @of;
	return;
}

#
# Requests and locks
#

# new_session(DATABASE) gives a session for requests.  One that hangs fails in
# the end, so that the test goes on.
sub new_session
{
	my ($dbname) = @_;
	my $session = session($node, $dbname);

	$session->{server_pid} = backend_pid($session);
	ask($session, q{SET statement_timeout = '60 s'});
	return $session;
}

# request(DATABASE, RESOURCE, CLIENT) gives a session that asks for a lease,
# which has to be durable.
sub request
{
	my ($dbname, $resource, $client) = @_;
	my $session = new_session($dbname);

	begin_ask($session, "SELECT dlock_acquire('$resource', client := '$client')");
	return $session;
}

# wait_asleep(SESSION...) waits until each sleeps in a call, or has its answer.
sub wait_asleep
{
	foreach my $session (@_)
	{
		poll_until(
			'a request sleeps',
			sub {
				!is_waiting($session) || rows($node, qq{
					SELECT count(*) FROM pg_stat_activity
					 WHERE pid = $session->{server_pid}
					   AND wait_event_type IN ('Extension', 'Lock')}) eq '1';
			});
	}
	return;
}

# known_clients() gives, by table, sessions whose client is in memory already,
# and has no row.  For such a request it is the writer that needs dlock.clients,
# else it is the session itself.
sub known_clients
{
	return each_database(
		sub {
			my $session = new_session($_[1]);

			ask($session, q{SET dlock.client = 'known-} . ++$number . q{'});
			ask($session, q{BEGIN; SELECT dlock_acquire('known', scope := 'transaction'); ROLLBACK});
			return $session;
		});
}

# ask_known(SESSION...) has them make their requests.
sub ask_known
{
	my @sessions = @_;

	begin_ask($_, q{SELECT dlock_acquire('known-} . ++$number . q{')}) foreach @sessions;
	wait_asleep(@sessions);
	return;
}

# new_requests(WHAT) gives a request in each of our databases, by table, once
# they sleep; all sessions are there before the first asks.
sub new_requests
{
	my ($what) = @_;
	my %request = each_database(sub { new_session($_[1]) });

	foreach my $session (values %request)
	{
		$number++;
		begin_ask($session, "SELECT dlock_acquire('$what-$number', client := 'client-$number')");
	}
	wait_asleep(values %request);
	return %request;
}

# begin_locks() has our tables locked, each by a session of its own that may
# have to wait for the writer.
sub begin_locks
{
	return each_database(
		sub {
			my ($table, $dbname) = @_;
			my $session = session($node, $dbname);

			# its own commit waits for no standby
			begin_ask($session, qq{
				SET synchronous_commit = local;
				BEGIN; LOCK TABLE dlock.$table IN ACCESS EXCLUSIVE MODE});
			return $session;
		});
}

sub lock_tables
{
	my %locker = begin_locks();

	end_ask($_) foreach values %locker;
	return %locker;
}

# answered(WHAT, LOCKER, REQUEST...) ends the locks, and tests that then each of
# the requests is answered.
sub answered
{
	my ($what, $locker, @requests) = @_;

	$what = "$round: $what";
	ask($_, 'COMMIT') foreach values %$locker;
	foreach my $table (@tables)
	{
		foreach my $request (@requests)
		{
			like(end_ask($request->{$table}), qr/^\d+$/, "$what, $table locked");
		}
	}
	# only now, so that nothing else has happened
	$_->quit foreach values %$locker, map { values %$_ } @requests;
	return;
}

#
# The writer
#

# idle: before it sleeps, and while it does
sub idle_phase
{
	my ($first) = @_;
	my (%locker, %request, %known);

	idle_writers();
	%locker = lock_tables();
	%request = new_requests('idle');
	clear_stop($node);
	wait_for_locks(\%locker, 'locks', $first ? 'token_blocks' : ());
	answered($first ? 'first request of a database' : 'about to sleep', \%locker, \%request);

	%known = known_clients();
	idle_writers();
	clear_stop($node);
	%locker = lock_tables();
	ask_known(values %known);
	%request = new_requests('idle');
	wait_for_locks(\%locker, 'locks');
	answered('idle', \%locker, \%request, \%known);
	return;
}

# about to delete the rows of free slots, which nobody waits for.  The slot has
# a row and comes free when the writer has been idle for long, or it would be
# awake anyway.  A request may come then; or a renewal, which with a standby is a
# reason for a batch but nothing to write; or a reload of the configuration,
# which here tells it to stop before it becomes idle.
sub trim_phase
{
	my ($what) = @_;
	my (%keeper, %locker, %request);

	%keeper = each_database(
		sub {
			my ($table, $dbname) = @_;
			my $keeper = session($node, $dbname);

			rows($node, "SELECT dlock_acquire('renewed', client := 'renewed')", $dbname);
			ask($keeper, q{BEGIN; SELECT dlock_acquire('trim', scope := 'transaction', client := 'trim')});
			rows($node, q{SELECT dlock_acquire('trim', client := 'trim')}, $dbname);
			rows($node, q{SELECT dlock_release('trim', client := 'trim')}, $dbname);
			is(rows($node, q{SELECT scope FROM dlock_list() WHERE resource = 'trim'}, $dbname),
				'transaction', "$round: a slot that has a row is kept, $table");
			return $keeper;
		});
	idle_writers();
	stop_writers('slots_trimmed', sub { ask($_, 'ROLLBACK') foreach values %keeper });
	# the writer does not wait for the table now, but puts the slots back
	%locker = lock_tables();
	clear_stop($node);
	if ($what eq 'request')
	{
		hold($standby) if $standby;
		%request = new_requests('trim');
		answered_after_standby('trimming', \%locker, \%request);
	}
	elsif ($what eq 'renewal')
	{
		%request = each_database(sub { new_session($_[1]) });
		begin_ask($_, q{SELECT waiters FROM dlock_renew('renewed', client := 'renewed')}) foreach values %request;
		wait_asleep(values %request);
		answered('trimming, a renewal', \%locker, \%request);
		like(rows($node, q{SET statement_timeout = '60 s'; SELECT dlock_acquire('later', client := 'later')}, database_of('locks')),
			qr/^\d+$/, "$round: nor is a later request forgotten");
	}
	else
	{
		stops_when_unlocked('trimming', \%locker);
	}
	$_->quit foreach values %keeper;
	return;
}

# stops_when_unlocked(WHAT, LOCKER) has the configuration tell the writers to
# stop before they sleep, and tests that they do once the locks have gone.
sub stops_when_unlocked
{
	my ($what, $locker) = @_;
	my $position = log_position($node);

	set_stop($node, 'writer_idle');
	ask($_, 'COMMIT') foreach values %$locker;
	foreach my $table (@tables)
	{
		my $pid = writer_of(database_of($table));

		ok(eval { wait_stopped_at('writer_idle', $position, $pid); 1 },
			"$round: a reload, $what, $table locked");
	}
	clear_stop($node);
	$_->quit foreach values %$locker;
	return;
}

# looking whether the extension is still there, which takes a lock on a catalog,
# just before it becomes idle
sub recheck_phase
{
	my %locker;

	idle_writers();
	each_database(sub { rows($node, 'SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS dlock', $_[1]) });
	%locker = each_database(
		sub {
			my $session = session($node, $_[1]);

			ask($session, q{
				SET synchronous_commit = local;
				BEGIN; LOCK TABLE pg_extension IN ACCESS EXCLUSIVE MODE});
			return $session;
		});
	clear_stop($node);
	wait_for_locks(\%locker, @tables);
	stops_when_unlocked('looking for the extension', \%locker);
	return;
}

# answered_after_standby(...) is answered, and has the requests wait for the
# standby on their way, if there is one.
sub answered_after_standby
{
	my ($what, $locker, @requests) = @_;

	if ($standby)
	{
		ask($_, 'COMMIT') foreach values %$locker;
		wait_sync_rep($node, database_of($_)) foreach @tables;
		let_go($standby);
		ask($_, 'BEGIN') foreach values %$locker;
	}
	answered($what, $locker, @requests);
	return;
}

# in the middle of a batch: a request comes for the next one, and somebody
# stands in line for the table behind the writer
sub batch_phase
{
	my ($point) = @_;
	my %known = known_clients();
	my (%first, %locker, %second);

	stop_writers($point, sub { %first = new_requests("batch-$point") });
	%locker = begin_locks();
	%second = new_requests("next-$point");
	ask_known(values %known);
	clear_stop($node);
	end_ask($_) foreach values %locker;
	answered($point, \%locker, \%first, \%second, \%known);
	return;
}

# while it waits for the standby
sub standby_phase
{
	my (%first, %locker, %second);

	hold($standby);
	%first = new_requests('standby');
	wait_sync_rep($node, database_of($_)) foreach @tables;
	%locker = begin_locks();
	%second = new_requests('standby-next');
	let_go($standby);
	end_ask($_) foreach values %locker;
	answered('waiting for a standby', \%locker, \%first, \%second);
	return;
}

# the table is locked when the writer goes, and the next one comes
sub next_writer_phase
{
	my %locker = lock_tables();
	my %request = new_requests('terminated');
	my %old = each_database(sub { writer_of($_[1]) });

	foreach my $table (@tables)
	{
		rows($node, "SELECT pg_terminate_backend($old{$table})");
		poll_until('there is another writer',
			sub { (writer_of(database_of($table)) // 0) != $old{$table} });
	}
	wait_for_locks(\%locker, 'locks');
	answered('the next writer', \%locker, \%request);
	return;
}

# loading, at the start of the server: calls wait for the gate
sub loading_phase
{
	my ($point) = @_;
	my $position = log_position($node);
	my (%locker, %request);

	set_stop($node, $point);
	$node->restart;
	start_writers($node, map { database_of($_) } @tables);
	wait_stopped_at($point, $position, map { writer_of(database_of($_)) } @tables);
	%locker = lock_tables();
	%request = new_requests("loading-$point");
	clear_stop($node);
	wait_for_locks(\%locker, 'locks', $point eq 'writer_starting' ? 'token_blocks' : ());
	answered("loading, $point", \%locker, \%request);
	return;
}

#
# The monitor
#

# expire(DATABASE, RESOURCE) has a lease run out, without the writer's help.
sub expire
{
	my ($dbname, $resource) = @_;

	rows($node, qq{
		SET dlock.durable = off;
		SELECT dlock_renew('$resource', '1 ms', client => 'holder')}, $dbname);
	return;
}

# It hands a lease over that has run out, which is for the writer to write.
sub expiry_phase
{
	my (%locker, %request);

	each_database(sub { rows($node, q{SELECT dlock_acquire('expires', client := 'holder')}, $_[1]) });
	%request = each_database(sub { request($_[1], 'expires', "next-$round") });
	wait_asleep(values %request);
	idle_writers();
	clear_stop($node);
	%locker = lock_tables();
	each_database(
		sub {
			expire($_[1], 'expires');
			poll_rows($node, q{SELECT holder FROM dlock_status('expires')}, "next-$round", $_[1]);
		});
	answered('handed over by the monitor', \%locker, \%request);
	return;
}

# What comes while it looks for deadlocks waits for its next look.  Nobody else
# has it look again: that takes a day.
sub pass_phase
{
	my $dbname = database_of('locks');
	my $monitor = worker_pid($node, 'dlock monitor');
	my $position = log_position($node);
	my %s = map { $_ => session($node, $dbname) } qw(one two);
	my ($request, $victim, $other);

	rows($node, q{SELECT dlock_acquire('pass', client := 'holder')}, $dbname);
	ask($s{$_}, "SET dlock.client = 'dead-$_'; SELECT dlock_acquire('dead-$_')") foreach keys %s;
	$request = request($dbname, 'pass', 'waiter');
	begin_ask($s{one}, q{SELECT dlock_acquire('dead-two')});
	begin_ask($s{two}, q{SELECT dlock_acquire('dead-one')});
	poll_rows($node, 'SELECT count(*) FROM dlock_queue()', '3', $dbname);

	$node->adjust_conf('postgresql.conf', 'dlock.deadlock_timeout', '100');
	set_stop($node, 'deadlock_suspected');
	wait_stopped_at('deadlock_suspected', $position, $monitor);
	$node->adjust_conf('postgresql.conf', 'dlock.deadlock_timeout', '86400000');
	$node->reload;
	poll_rows($node, 'SHOW dlock.deadlock_timeout', '1d');
	expire($dbname, 'pass');
	clear_stop($node);
	like(end_ask($request), qr/^\d+$/,
		"$round: a lease that runs out while the monitor looks for deadlocks");
	poll_until('one gives up', sub { grep { !is_waiting($_) } values %s });
	($victim, $other) = sort { is_waiting($a) <=> is_waiting($b) } values %s;
	like(end_ask($victim), qr/40P01/, "$round: and it finds the deadlock");
	ask($victim, 'SELECT dlock_release_all()');
	like(end_ask($other), qr/^\d+$/, "$round: which is broken");
	$_->quit foreach $request, values %s;
	return;
}

#
# The launcher
#

# new_launcher() has another one take over: what it knows of databases, it has
# to look up.
sub new_launcher
{
	my $old = worker_pid($node, 'dlock launcher');

	kill 'TERM', $old;
	return poll_until(
		'there is another launcher',
		sub {
			my $pid = worker_pid($node, 'dlock launcher');
			return $pid != $old && $pid;
		});
}

# It looks a name up in pg_database, and meanwhile other databases need it.  A
# session that connects would have to wait as well, so all are there before.
sub launcher_phase
{
	my %s;
	my ($launcher, $writer, $terminate);

	# in this order they stand in the registry, and are looked at
	create_databases('wake_first', 'wake_second');
	%s = map { $_ => session($node, $_ eq 'asker' ? 'wake_first' : 'postgres') }
	  qw(asker locker dropper keeper looker);
	my %pid = map { $_ => backend_pid($s{$_}) } keys %s;
	ask($s{asker}, q{SELECT dlock_acquire('before', client := 'asker')});
	# ends the writer of wake_first, and has a request wait for the next one
	$terminate = sub {
		my ($what) = @_;
		ask($s{looker}, "SELECT pg_terminate_backend($writer)");
		poll_until('the writer is gone', sub { !kill(0, $writer) });
		begin_ask($s{asker}, qq{
			SET statement_timeout = '60 s';
			SELECT dlock_acquire('$what', client := 'asker')});
		poll_until('the request sleeps',
			sub { ask($s{looker}, "SELECT wait_event_type FROM pg_stat_get_activity($pid{asker})") eq 'Extension' });
	};

	$launcher = new_launcher();
	$writer = writer_of('wake_first');
	ask($s{locker}, 'BEGIN; LOCK TABLE pg_database IN ACCESS EXCLUSIVE MODE');
	$terminate->('own');
	wait_for_lock($launcher, $s{looker});
	ask($s{locker}, 'COMMIT');
	like(end_ask($s{asker}), qr/^\d+$/, 'the launcher waits for a lock: the database that it is about');

	# the same for another one.  That one is dropped, so no writer is started
	# for it, which would wake the launcher.
	$writer = writer_of('wake_first');
	ask($s{keeper}, q{BEGIN; COMMENT ON DATABASE wake_second IS ''});
	begin_ask($s{dropper}, 'DROP DATABASE wake_second');
	wait_for_lock($pid{dropper}, $s{looker});
	begin_ask($s{locker}, 'BEGIN; LOCK TABLE pg_database IN ACCESS EXCLUSIVE MODE');
	wait_for_lock($pid{locker}, $s{looker});
	ask($s{keeper}, 'ROLLBACK');
	end_ask($s{$_}) foreach qw(dropper locker);
	wait_for_lock($launcher, $s{looker});
	$terminate->('other');
	ask($s{locker}, 'COMMIT');
	like(end_ask($s{asker}), qr/^\d+$/, 'the launcher waits for a lock: a database that it had looked at before');
	$_->quit foreach values %s;
	return;
}

#
# What the log says of a writer that has work for long
#

my $begins = qr/LOG:  dlock writer of database "(\w+)" has had pending work since (\S+ \S+)$/m;
my $ends = qr/LOG:  dlock writer of database "(\w+)" has caught up$/m;

sub log_since
{
	my ($position) = @_;
	return slurp_file($node->logfile, $position);
}

# count(LOG, PATTERN) gives how many lines match.
sub count
{
	my ($log, $pattern) = @_;
	return scalar grep { /$pattern/ } split /\n/, $log;
}

# stalls(WHAT, DATABASE, WHY, SUB, SUB) tests that the log says, once, that the
# writer has had work since the first SUB, and why it may not get on; and, once,
# when that is over, which the second SUB brings about.
sub stalls
{
	my ($what, $dbname, $why, $begin, $end) = @_;
	my $position = log_position($node);
	my $before = rows($node, 'SELECT clock_timestamp()');
	my $after;
	my ($log, $name, $since);

	$begin->();
	$after = rows($node, 'SELECT clock_timestamp()');
	$node->wait_for_log($begins, $position);
	# the lines that belong to it may come a moment later
	$node->wait_for_log(qr/ HINT:  See .*\n/, $position);
	$log = log_since($position);
	($name, $since) = $log =~ $begins;
	is($name, $dbname, "$what: the log names the database");
	is(rows($node, "SELECT '$since' BETWEEN '$before'::timestamptz - '1 s'::interval AND '$after'::timestamptz"),
		't', "$what: and since when: $since");
	is(rows($node, "SELECT clock_timestamp() >= '$since'::timestamptz + '5 s'::interval"),
		't', "$what: it is no hurry");
	like($log, $why, "$what: and why");
	unlike($log, $ends, "$what: it is not over");

	# the monitor looks again and again
	foreach my $n (1 .. 3)
	{
		rows($node, "SET dlock.durable = off; SELECT dlock_acquire('again-$n', ttl := '1 ms', scope := 'lease')");
		poll_rows($node, "SELECT count(*) FROM dlock_list() WHERE resource = 'again-$n'", '0');
	}
	$end->();
	$node->wait_for_log($ends, $position);
	$log = log_since($position);
	is(count($log, $begins), 1, "$what: the log says once that it begins");
	is(count($log, $ends), 1, "$what: and once that it is over");
	is(($log =~ $ends)[0], $dbname, "$what: with the name");
	return;
}

sub stall_tests
{
	my $dbname = database_of('locks');
	my ($locker, $request, $writer, $position);

	stalls(
		'the table is locked', $dbname,
		qr/DETAIL:  Writer process \d+ is active\. It is waiting for Lock: relation\.\n.*HINT:  See pg_stat_activity and pg_locks/,
		sub {
			$locker = session($node, $dbname);
			ask($locker, 'BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
			$request = request($dbname, 'stall-lock', 'stalled');
			wait_asleep($request);
		},
		sub {
			ask($locker, 'COMMIT');
			like(end_ask($request), qr/^\d+$/, 'the table is free again');
			$_->quit foreach $locker, $request;
		});
	stalls(
		'no writer', $dbname,
		qr/DETAIL:  The writer process is not running\.\n.*HINT:  See earlier log messages/,
		sub {
			$writer = writer_of($dbname);
			set_stop($node, 'writer_starting');
			rows($node, "SELECT pg_terminate_backend($writer)");
			poll_until('the writer is gone', sub { !kill(0, $writer) });
			$request = request($dbname, 'stall-writer', 'stalled');
			wait_asleep($request);
		},
		sub {
			clear_stop($node);
			like(end_ask($request), qr/^\d+$/, 'there is a writer again');
			$request->quit;
		});
	stalls(
		'no standby', $dbname,
		qr/DETAIL:  Writer process \d+ is waiting for the WAL flush and the standbys\. It is waiting for IPC: SyncRep\.\n.*HINT:  See pg_stat_activity/,
		sub {
			hold($standby);
			$request = request($dbname, 'stall-standby', 'stalled');
			wait_asleep($request);
		},
		sub {
			let_go($standby);
			like(end_ask($request), qr/^\d+$/, 'there is a standby again');
			$request->quit;
		});
	stalls(
		'loading', $dbname,
		qr/DETAIL:  Writer process \d+ is loading the leases\. It is waiting for Extension: (?:Extension|DlockDebugPoint)\.\n.*HINT:  See pg_stat_activity/,
		sub {
			# another installation, which has to be loaded
			set_stop($node, 'leases_loaded');
			rows($node, 'DROP EXTENSION dlock; CREATE EXTENSION dlock', $dbname);
		},
		sub {
			clear_stop($node);
			poll_ready($node, $dbname);
		});
	return;
}

sub switches
{
	my ($pid) = @_;
	return (slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m)[0];
}

# Where nobody has work, nobody looks for it, and where many have, not each time;
# and work that is done at once is not worth a line.
sub idle_test
{
	my $monitor = worker_pid($node, 'dlock monitor');
	my $position = log_position($node);
	my ($before, $until, $session, $from);

	rows($node, q{SELECT dlock_acquire('quick', client := 'quick'), dlock_release('quick', client := 'quick')});
	$until = rows($node, q{SELECT clock_timestamp() + '6 s'});
	poll_rows($node, "SELECT clock_timestamp() > '$until'", 't');
	$before = switches($monitor);
	$until = rows($node, q{SELECT clock_timestamp() + '6 s'});
	poll_rows($node, "SELECT clock_timestamp() > '$until'", 't');
	is(switches($monitor), $before, 'the monitor sleeps while nobody has work');

	# each of these gives the writer work, one after the other
	$session = session($node);
	$from = time;
	ask($session, 'DO $$ BEGIN FOR i IN 1 .. 300 LOOP'
		  . q{ PERFORM dlock_acquire('often', client := 'quick'); PERFORM dlock_renew('often', client := 'quick');}
		  . ' END LOOP; END $$');
	cmp_ok(switches($monitor) - $before, '<=', 2 + 2 * int((time() - $from) / 5 + 1),
		'nor does each request wake it');
	$session->quit;
	unlike(log_since($position), $begins, 'work that is done at once is no stall');
	return;
}

#
# All of them
#

sub all_phases
{
	create_databases(map { database_of($_) } @tables);
	idle_phase(1);
	idle_phase(0);
	trim_phase('request');
	trim_phase('renewal') if $standby;
	trim_phase('reload') unless $standby;
	recheck_phase() unless $standby;
	batch_phase($_) foreach qw(batch_collected rows_written rows_flushed);
	standby_phase() if $standby;
	next_writer_phase();
	expiry_phase();
	return;
}

all_phases();
pass_phase();
loading_phase($_) foreach qw(writer_starting leases_loaded);
launcher_phase();

$round = 'second';
$standby = add_standby($node, 'east');
set_synchronous($node, 'FIRST 1 (east)', 'east:sync');
all_phases();
stall_tests();
idle_test();

expect_log(
	$node,
	# we terminate it
	qr/dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command/,
	# it does not wait long for dlock.clients
	qr/dlock writer ERROR:  canceling statement due to lock timeout/,
	qr/client backend .*ERROR:  deadlock detected/);
# its primary is stopped first
expect_log($standby, qr/walreceiver FATAL:  /);

done_testing();
