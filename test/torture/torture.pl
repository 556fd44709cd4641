# torture.pl - many clients, a server that is disturbed all the time, and a check
#
#     perl torture.pl --dir DIR [--socket-dir DIR] [--seconds N] [--seed N]
#         [--clients N] [--workers N]
#
# Starts a private server in DIR with the programs in PATH, and clients
# (client.pl) and workers (worker.pl) that work at random; cancels, terminates
# and kills them and the server's processes; and in the end lets all leases run
# out, looks whether anything was left behind, and has the histories checked
# (check.pl).  The last quarter of the time is without crashes, for a crash
# wipes out what a leak has left.
#
# What is done, and when, follows from the seed; how the processes get along
# with one another does not, so a seed repeats the mixture, not the run.
#
# Exits with 0 if everything was as it must be.  DIR/*.history, DIR/server.log
# and DIR/clients.log tell what happened; the server itself is removed.
use strict;
use warnings;

use DBI;
use DBD::Pg;
use File::Path qw(rmtree);
use FindBin;
use Getopt::Long;
use List::Util qw(shuffle);
use POSIX qw(WNOHANG);
use Time::HiRes qw(time usleep);

use lib "$FindBin::Bin/../perl";
use DlockHistory;
use DlockLook qw(look_list look_queue look_work);

my %opt = (seconds => 60, clients => 28, workers => 10, seed => 1 + int rand 1_000_000);
GetOptions(\%opt, 'dir=s', 'socket-dir=s', 'seconds=i', 'seed=i', 'clients=i', 'workers=i')
  && defined $opt{dir}
  or die "usage: see the top of $0\n";
$| = 1;
print "seed $opt{seed}, $opt{clients} clients, $opt{workers} workers, $opt{seconds} s\n";
srand $opt{seed};

my $here = $FindBin::Bin;
my $dir = $opt{dir};
my $data = "$dir/data";
-d $dir || mkdir $dir or die "$dir: $!\n";
# a socket's path must be short
my $socket_dir = $opt{'socket-dir'} // $dir;
# how long anything may take that is to happen at all
my $limit = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180;
my $processes = $opt{clients} + $opt{workers};
my %slots = (lease => 500, waiter => 2 * $processes, client => 300);
my @failures;

sub fail
{
	my ($text) = @_;

	push @failures, $text;
	print "FAILED: $text\n";
	return;
}

# poll_until(WHAT, SUB) waits until SUB gives true, and gives that; dies where
# it never does.
sub poll_until
{
	my ($what, $sub) = @_;
	my $until = time() + $limit;

	while (1)
	{
		my $result = $sub->();
		return $result if $result;
		die "timed out waiting until $what\n" if time() > $until;
		usleep(20_000);
	}
}

#
# The server
#
my $conninfo = "host=$socket_dir port=5432 dbname=postgres user=postgres connect_timeout=30";

sub run_command
{
	my (@command) = @_;

	system(@command) == 0 or die "@command failed: $?\n";
	return;
}

sub append
{
	my ($file, $text) = @_;

	open my $handle, '>>', $file or die "$file: $!\n";
	print $handle $text;
	close $handle or die "$file: $!\n";
	return;
}

sub slurp
{
	my ($file) = @_;
	my $text;

	open my $handle, '<', $file or return '';
	local $/ = undef;
	$text = <$handle>;
	close $handle;
	return $text // '';
}

sub pg_ctl
{
	my (@arguments) = @_;

	run_command("pg_ctl -D '$data' -l '$dir/server.log' -w -t $limit -s @arguments </dev/null >>'$dir/pg_ctl.log' 2>&1");
	return;
}

sub start_server
{
	run_command("initdb -D '$data' -U postgres -E UTF8 --no-locale -A trust --no-sync >'$dir/initdb.log' 2>&1");
	append("$data/postgresql.conf", slurp("$here/../dlock.conf") . <<"EOC");
unix_socket_directories = '$socket_dir'
listen_addresses = ''
max_connections = @{[ 4 * $processes + 20 ]}
log_line_prefix = '%m [%p] %b %e '
log_error_verbosity = terse
log_min_messages = warning
log_min_error_statement = panic
fsync = on
# many crashes: short recoveries
checkpoint_timeout = 30s
# of a lease for which none is given
dlock.default_ttl = 3s
dlock.max_leases = $slots{lease}
dlock.max_waiters = $slots{waiter}
dlock.max_clients = $slots{client}
EOC
	pg_ctl('start');
	connect_server()->do('CREATE EXTENSION dlock') or die "no extension\n";
	connect_server()->do(
		'CREATE TABLE work (id bigserial PRIMARY KEY, resource text NOT NULL, token int8 NOT NULL, client text NOT NULL)')
	  or die "no table\n";
	return;
}

sub postmaster_pid
{
	my ($pid) = slurp("$data/postmaster.pid") =~ /^(\d+)/;
	return $pid // 0;
}

sub connect_server
{
	return DBI->connect("dbi:Pg:$conninfo application_name=harness", undef, undef,
		{ PrintError => 0, PrintWarn => 0, RaiseError => 0, AutoCommit => 1, pg_server_prepare => 0 });
}

# The harness's own connection, made again when it was lost.
my $dbh;

sub server
{
	return $dbh if $dbh && $dbh->ping > 0;
	return $dbh = poll_until('the server takes connections', sub { connect_server() });
}

sub rows
{
	my ($sql, @values) = @_;
	return @{ server()->selectall_arrayref($sql, undef, @values) // [] };
}

sub value
{
	my ($row) = rows(@_);
	return $row ? $row->[0] : undef;
}

sub wait_ready
{
	return poll_until('the leases are loaded', sub { defined value('SELECT count(*) FROM dlock_list()') });
}

# children_of_server gives { pid => title }.
sub children_of_server
{
	my $postmaster = postmaster_pid();
	my %children;

	foreach my $file (glob '/proc/[0-9]*/stat')
	{
		my ($pid) = $file =~ /(\d+)/;

		next unless $postmaster && slurp($file) =~ /\) \S $postmaster /;
		$children{$pid} = slurp("/proc/$pid/cmdline") =~ s/\0/ /gr;
	}
	return \%children;
}

# children_like(PATTERN) gives the pids of those with such titles.
sub children_like
{
	my ($pattern) = @_;
	my $children = children_of_server();

	return sort { $a <=> $b } grep { $children->{$_} =~ $pattern } keys %$children;
}

# kill_child(SIGNAL, PATTERN) tells whether there was one.
sub kill_child
{
	my ($signal, $pattern) = @_;
	my ($pid) = children_like($pattern);

	return $pid ? kill($signal, $pid) : 0;
}

#
# The clients
#
my %processes;	# {PID} => { what, number, stopped }
my %incarnation;

sub spawn
{
	my ($what, @command) = @_;
	my $pid = fork // die "fork: $!\n";

	if (!$pid)
	{
		$_->{InactiveDestroy} = 1 foreach grep { defined } $dbh;
		open STDIN, '<', '/dev/null' or die "/dev/null: $!";
		open STDOUT, '>>', "$dir/clients.log" or die "$dir/clients.log: $!";
		open STDERR, '>&', \*STDOUT or die "stdout: $!";
		POSIX::nice(5);
		exec { $^X } $^X, @command or POSIX::_exit(1);
	}
	$processes{$pid} = { what => $what };
	return $pid;
}

# Every process has a name of its own: one that was killed may have left a
# request behind that is still served.  The first numbers are clients', the
# others workers'.
sub start_client
{
	my ($number) = @_;
	my ($kind, $program) = $number <= $opt{clients} ? ('c', 'client.pl') : ('w', 'worker.pl');
	my $name = $kind . $number . ('a' .. 'zzz')[ $incarnation{$number}++ ];
	my $pid = spawn("client $name",
		"$here/$program", '--name', $name, '--conninfo', $conninfo,
		'--history', "$dir/$name.history", '--seed', int rand 1e9);

	$processes{$pid}{number} = $number;
	return;
}

sub start_observer
{
	return spawn('observer', "$here/observe.pl", '--conninfo', $conninfo,
		'--history', "$dir/observer.history");
}

sub client_pids
{
	return sort { $a <=> $b } grep { defined $processes{$_}{number} } keys %processes;
}

# reap notices processes that have ended; gives what is still there.
sub reap
{
	while ((my $pid = waitpid -1, WNOHANG) > 0)
	{
		my $process = delete $processes{$pid} // next;

		# one that has just begun knows no better than to die of a SIGTERM
		next if $? == 0 || $process->{killed} || $process->{told} && $? == 15;
		fail("$process->{what} ended with status $?");
	}
	return keys %processes;
}

#
# Disturbances
#
my $history = DlockHistory->new("$dir/harness.history", 'harness');

# Each is noted before and after.
sub disturb
{
	my ($how, $sub) = @_;
	my $n = $history->invoke('disturb', how => $how);

	$sub->();
	$history->result($n, 'ok');
	return;
}

sub any_row
{
	my (@rows) = rows(@_);
	return @rows ? $rows[ int rand @rows ] : undef;
}

sub cancel_waiter
{
	my $row = any_row(q{SELECT pid FROM dlock_queue() ORDER BY ticket}) // return;
	disturb('cancel-waiter', sub { rows('SELECT pg_cancel_backend(' . $row->[0] . ')') });
	return;
}

my $any_backend = q{SELECT pid FROM pg_stat_activity WHERE application_name ~ '^[cw]\d' ORDER BY backend_start};

sub cancel_any
{
	my $row = any_row($any_backend) // return;
	disturb('cancel', sub { rows('SELECT pg_cancel_backend(' . $row->[0] . ')') });
	return;
}

sub terminate_any
{
	my $row = any_row($any_backend) // return;
	disturb('terminate', sub { rows('SELECT pg_terminate_backend(' . $row->[0] . ')') });
	return;
}

sub terminate_waiter
{
	my $row = any_row(q{SELECT pid FROM dlock_queue() ORDER BY ticket}) // return;
	disturb('terminate-waiter', sub { rows('SELECT pg_terminate_backend(' . $row->[0] . ')') });
	return;
}

sub terminate_worker
{
	my $which = (qw(writer monitor launcher))[ int rand 3 ];
	disturb("terminate-$which", sub { kill_child('TERM', qr/dlock $which/) });
	return;
}

sub kill_client
{
	my @pids = grep { !$processes{$_}{stopped} } client_pids();
	my $pid = $pids[ int rand @pids ] // return;
	my $number = $processes{$pid}{number};

	disturb(
		'kill-client',
		sub {
			$processes{$pid}{killed} = 1;
			kill 'KILL', $pid;
			start_client($number);
		});
	return;
}

# Processes that sleep for a while: clients through the end of their leases, and
# the server's workers, so that grants wait to be flushed, and leases to be
# ended.  A process of its own wakes them: they may hold what we wait for.
my @asleep;	# [ until, pid ]

sub put_to_sleep
{
	my ($what, $pid) = @_;
	my $until = time() + rand 2;

	disturb("stop-$what", sub { kill 'STOP', $pid });
	push @asleep, [ $until, $pid ];
	return if fork // die "fork: $!\n";
	$_->{InactiveDestroy} = 1 foreach grep { defined } $dbh;
	usleep(20_000) while time() < $until;
	kill 'CONT', $pid;
	POSIX::_exit(0);
}

sub stop_client
{
	my @pids = grep { !$processes{$_}{stopped} } client_pids();
	my $pid = $pids[ int rand @pids ] // return;

	$processes{$pid}{stopped} = 1;
	return put_to_sleep('client', $pid);
}

sub stop_worker
{
	my $which = (qw(writer writer monitor))[ int rand 3 ];
	my ($pid) = children_like(qr/dlock $which/);

	return put_to_sleep($which, $pid) if $pid;
	return;
}

sub wake_up
{
	my ($until) = @_;

	foreach my $sleeper (grep { $_->[0] <= $until } @asleep)
	{
		kill 'CONT', $sleeper->[1];
		$processes{ $sleeper->[1] }{stopped} = 0 if $processes{ $sleeper->[1] };
	}
	@asleep = grep { $_->[0] > $until } @asleep;
	return;
}

sub force
{
	my ($resource, $token) = @_;
	my $n = $history->invoke('force', resource => $resource, token => $token);
	my $count = value(q{SELECT dlock_force_release(?, ?)}, $resource, $token);

	$history->result($n, defined $count ? ('ok', count => $count) : ('lost'));
	return;
}

sub force_release
{
	my $row = any_row(q{SELECT resource, token FROM dlock_list() WHERE token IS NOT NULL ORDER BY resource, token})
	  // return;
	return force(@$row);
}

# what workers have, and is not one transaction's only
my $work_leases = q{SELECT resource, token FROM dlock_list()
	WHERE resource ~ '^w' AND scope <> 'transaction' AND token IS NOT NULL ORDER BY resource};

sub force_worker
{
	my $row = any_row($work_leases) // return;
	return force(@$row);
}

sub move_waiter
{
	my $row = any_row(q{SELECT resource, client FROM dlock_queue() ORDER BY ticket}) // return;
	my ($resource, $client) = @$row;
	my $priority = int rand 3;
	my $n = $history->invoke('priority', resource => $resource, client => $client, priority => $priority);

	# LK001 if it has gone meanwhile
	rows(q{SELECT dlock_set_options(?, priority => ?, client => ?)}, $resource, $priority, $client);
	$history->result($n, 'ok');
	return;
}

my @disturbances = (
	[ 30, \&cancel_waiter ],
	[ 10, \&cancel_any ],
	[ 8, \&terminate_any ],
	[ 8, \&terminate_waiter ],
	[ 2, \&terminate_worker ],
	[ 2, \&stop_worker ],
	[ 6, \&kill_client ],
	[ 8, \&stop_client ],
	[ 8, \&force_release ],
	[ 4, \&force_worker ],
	[ 10, \&move_waiter ]);

sub disturb_somehow
{
	my $total = 0;
	my $at;

	$total += $_->[0] foreach @disturbances;
	$at = rand $total;
	foreach my $one (@disturbances)
	{
		$at -= $one->[0];
		return $one->[1]->() if $at < 0;
	}
	return;
}

#
# Crashes: between the two lines of the history, the server loses its memory
#
# kill_server kills the postmaster; its children notice, and until the last has
# left, no other one starts.
sub kill_server
{
	my $pid = postmaster_pid();

	kill('KILL', $pid) or return 0;
	poll_until('the postmaster is gone', sub { !kill(0, $pid) });
	poll_until('the server starts', sub { return eval { pg_ctl('start'); 1 } });
	return 1;
}

# goes_on(SUB) tells whether leases can be seen and something be committed; calls
# SUB if that takes too long.
sub goes_on
{
	my ($sub) = @_;
	my $until = time() + 0.3;
	my $session = server();
	my $is_ready;

	$session->do(q{SELECT count(*), pg_logical_emit_message(true, 'torture', '') FROM dlock_list()},
		{ pg_async => DBD::Pg::PG_ASYNC() });
	usleep(10_000) until ($is_ready = $session->pg_ready) || time() > $until;
	$sub->() unless $is_ready;
	$session->pg_result;
	return $is_ready;
}

# stop_writer has it sleep where nobody else needs what it holds.
sub stop_writer
{
	foreach (1 .. 20)
	{
		kill_child('STOP', qr/dlock writer/) or return;
		return if goes_on(sub { kill_child('CONT', qr/dlock writer/) });
		usleep(rand 20_000);
	}
	return;
}

# end_unwritten has leases of workers end, by their time and by force, while
# the writer cannot make that durable.  Gives how many of these resources others
# have got.  They may not be told of it.
sub end_unwritten
{
	my (%before, %after);

	disturb('stop-writer', \&stop_writer);
	%before = map { @$_ } rows($work_leases);
	foreach my $resource (sort keys %before)
	{
		force($resource, $before{$resource}) if rand() < 0.5;
	}
	usleep(300_000 + rand 400_000);
	%after = map { @$_ } rows('SELECT resource, max(token) FROM dlock_list() GROUP BY resource');
	return scalar grep { ($after{$_} // 0) > $before{$_} } keys %before;
}

# What each kind does: before it, and then.
my %crashes = (
	'kill-backend' => [ undef, sub {
		my $row = any_row($any_backend);
		return $row ? kill('KILL', $row->[0]) : 0;
	} ],
	'kill-writer' => [ undef, sub { kill_child('KILL', qr/dlock writer/) } ],
	'kill-monitor' => [ undef, sub { kill_child('KILL', qr/dlock monitor/) } ],
	'kill-launcher' => [ undef, sub { kill_child('KILL', qr/dlock launcher/) } ],
	'restart' => [ undef, sub { pg_ctl('-m immediate restart'); return 1; } ],
	'kill-server' => [ undef, \&kill_server ],
	# what is acknowledged while nothing can be flushed is lost
	'kill-stopped-writer' => [ \&end_unwritten, sub { kill_child('KILL', qr/dlock writer/) } ],
	'kill-server-and-stopped-writer' => [ \&end_unwritten, sub {
		kill_child('KILL', qr/dlock writer/);
		return kill_server();
	} ],
	'kill-active' => [ undef, sub {
		my $row = any_row(q{SELECT pid FROM pg_stat_activity
			WHERE application_name ~ '^[cw]\d' AND state = 'active' ORDER BY pid}) // any_row($any_backend);
		return $row ? kill('KILL', $row->[0]) : 0;
	} ]);

sub crash
{
	my ($how) = @_;
	my ($before, $kill) = @{ $crashes{$how} };
	my ($n, $hit, $changed);

	# the server would wait for a sleeping child
	wake_up(time() + $limit);
	$changed = $before->() if $before;
	$n = $history->invoke('crash', how => $how);
	$hit = $kill->();

	# the memory is gone once this session is
	poll_until('the server has crashed', sub { !$dbh || $dbh->ping <= 0 }) if $hit;
	undef $dbh;
	wait_ready();
	$history->result($n, 'ok', changed => $changed);
	return;
}

# crash_plan gives [ seconds, kind ]: every kind once before any comes again,
# and first those that a promise made too early cannot survive.
sub crash_plan
{
	my $last = 0.75 * $opt{seconds};
	my $n = int($last / 6) || 1;
	my @kinds = sort keys %crashes;
	my @order = (shuffle(grep { /stopped/ } @kinds), shuffle(grep { !/stopped/ } @kinds));

	push @order, shuffle(@kinds) while @order < $n;
	return map { [ $last * ($_ + 0.5 + 0.3 * rand) / $n, $order[$_] ] } 0 .. $n - 1;
}

sub disturb_for
{
	my ($seconds) = @_;
	my $start = time();
	my @plan = crash_plan();

	while (time() < $start + $seconds)
	{
		reap();
		wake_up(time());
		if (@plan && time() >= $start + $plan[0][0])
		{
			crash((shift @plan)->[1]);
			next;
		}
		disturb_somehow();
		usleep(200_000 * rand());
	}
	return;
}

#
# The end
#
# stop_clients tells all clients to finish.  A client that cannot do so waits
# for something that never comes.
sub stop_clients
{
	wake_up(time() + $limit);
	$processes{$_}{told} = 1 foreach client_pids();
	kill 'TERM', client_pids();
	eval {
		poll_until('all clients have finished', sub { reap(); return !client_pids() });
		1;
	} and return;
	fail("$processes{$_}{what} does not come to an end") foreach client_pids();
	show("who waits:", map { join ' ', @$_ } rows('SELECT resource, client, place, pid FROM dlock_queue()'));
	$processes{$_}{killed} = 1 foreach client_pids();
	kill 'KILL', client_pids();
	return;
}

sub stop_process
{
	my ($pid) = @_;

	kill 'TERM', $pid;
	poll_until('the observer has finished', sub { reap(); return !$processes{$pid} });
	return;
}

sub show
{
	print "    $_\n" foreach @_;
	return;
}

# wait_for(WHAT, SQL) waits until a query gives true; tells if it never does.
sub wait_for
{
	my ($what, $sql) = @_;

	eval {
		poll_until($what, sub { value($sql) });
		1;
	} or fail("never: $what");
	return;
}

sub look_finally
{
	wait_for('nobody waits', 'SELECT count(*) = 0 FROM dlock_queue()');
	wait_for('nothing is held', 'SELECT count(*) = 0 FROM dlock_list()');
	look_list($history, server(), 1, final => 1) or die "no final list\n";
	look_queue($history, server(), 1, final => 1) or die "no final queue\n";
	look_work($history, server(), 1) or die "no work\n";
	wait_for('the table is empty as well', q{SELECT count(*) = 0 FROM dlock.locks WHERE status = 'held'});
	return;
}

# look_slots(OF, SUB) counts the slots that can be used; some come free only
# a moment later.
sub look_slots
{
	my ($of, $sub) = @_;
	my $n = $history->invoke('slots', of => $of);
	my $found = 0;

	eval { poll_until('', sub { $found = $sub->(); return $found == $slots{$of} }) };
	$history->result($n, 'ok', found => $found, expected => $slots{$of});
	value(q{SELECT dlock_force_release(resource) FROM dlock_list()});
	return;
}

# fill(CALL) takes as many leases as there are places for; gives how many.
sub fill
{
	my ($n, $call) = @_;

	value(q{SELECT count(dlock_force_release(resource)) FROM dlock_list()});
	foreach my $i (1 .. $n)
	{
		return $i - 1 unless defined value($call =~ s/%/$i/gr);
	}
	return $n;
}

# Waiters need a connection each.
sub fill_waiters
{
	my @waiting;
	my $found;

	value(q{SELECT dlock_acquire('slot', ttl => '1 hour', client => 'slots')});
	foreach my $i (1 .. $slots{waiter})
	{
		my $session = connect_server() // last;

		push @waiting, $session;
		$session->do("SELECT dlock_acquire('slot', client => 'slot$i')",
			{ pg_async => DBD::Pg::PG_ASYNC() });
	}
	eval { poll_until('', sub {
		$found = value('SELECT count(*) FROM dlock_queue()');
		return $found == @waiting || any_ready(@waiting) }) };
	foreach my $session (@waiting)
	{
		$session->pg_cancel;
		$session->disconnect;
	}
	return $found;
}

sub any_ready
{
	return grep { $_->pg_ready } @_;
}

sub check_slots
{
	look_slots('lease', sub { fill($slots{lease}, q{SELECT dlock_try_acquire('slot:%', ttl => '1 hour', client => 'slots')}) });
	look_slots('client', sub { fill($slots{client}, q{SELECT dlock_try_acquire('slot:%', ttl => '1 hour', client => 'slot%')}) });
	look_slots('waiter', \&fill_waiters);
	return;
}

#
# The server's log
#
# What it may say.  The rest of its warnings and errors fails the run.
my @expected_log = (
	qr/ERROR:  (?:could not obtain a lease|could not make a lease on resource "\S+" durable in time|lease on resource "\S+" is not held|deadlock detected)/,
	qr/ERROR:  canceling statement due to (?:user request|lock timeout|statement timeout)/,
	qr/ERROR:  could not commit because a lease was lost/,
	qr/ERROR:  dlock is not ready in database/,
	qr/ERROR:  out of dlock (?:lease|waiter|client) slots/,
	qr/FATAL:  terminating (?:connection|background worker "dlock \w+") due to administrator command/,
	qr/FATAL:  terminating connection due to unexpected postmaster exit/,
	qr/FATAL:  connection to client lost/,
	qr/FATAL:  the database system is (?:in recovery mode|starting up|shutting down|not yet accepting connections)/,
	qr/FATAL:  the database system is not accepting connections/,
	# a start while the last children of a killed server are still there
	qr/FATAL:  (?:lock file|pre-existing shared memory block).* (?:already exists|is still in use)/,
	# it had gone when we came to cancel or to terminate it
	qr/WARNING:  PID \d+ is not a PostgreSQL backend process/,
	# what we have killed
	qr/was terminated by signal 9: Killed/);

sub check_log
{
	my @lines = grep { /\b(?:WARNING|ERROR|FATAL|PANIC):  |TRAP:|was terminated by signal/ }
	  split /\n/, slurp("$dir/server.log");
	my @wrong;

	foreach my $line (@lines)
	{
		push @wrong, $line unless grep { $line =~ $_ } @expected_log;
	}
	fail(@wrong . ' unexpected lines in the server log') if @wrong;
	show(grep { defined } @wrong[ 0 .. 19 ]);
	return;
}

# What a client hears of its server before it can listen, libpq prints.
sub check_clients_log
{
	my @lines = grep { !/^(?:FATAL|WARNING):  terminating connection|^(?:DETAIL|HINT):  |^\s*$/ }
	  split /\n/, slurp("$dir/clients.log");

	fail('clients complain') if @lines;
	show(@lines);
	return;
}

sub check_histories
{
	my $status = system($^X, "$here/check.pl", glob "$dir/*.history");

	fail('the histories show violations') if $status == 256;
	fail("check.pl ended with status $status") if $status != 0 && $status != 256;
	return;
}

#
# All of it
#
my $began = time();

sub say_phase
{
	my ($what) = @_;

	printf "%.0f s: %s\n", time() - $began, $what;
	return;
}

sub torture
{
	my $observer;

	start_server();
	$observer = start_observer();
	start_client($_) foreach 1 .. $processes;
	say_phase('clients at work');
	disturb_for($opt{seconds});
	say_phase('clients told to stop');
	stop_clients();
	say_phase('waiting for leases to run out');
	look_finally();
	stop_process($observer);
	say_phase('counting slots');
	check_slots();
	say_phase('checking');
	return;
}

$SIG{$_} = sub { die "interrupted\n" } foreach qw(INT TERM HUP);
my $done = eval { torture(); 1 };
fail($@ =~ s/\n\z//r) unless $done;
kill 'KILL', keys %processes;
waitpid $_, 0 foreach keys %processes;
$dbh->disconnect if $dbh;
eval { pg_ctl('-m fast stop'); 1 } or fail('the server does not stop');
rmtree($data);
check_log();
check_clients_log();
check_histories();
print @failures ? "torture: FAILED (seed $opt{seed})\n" : "torture: ok\n";
exit(@failures ? 1 : 0);
