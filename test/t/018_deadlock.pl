# Waits that would never end are found, whether they go through leases, locks of
# PostgreSQL or both, and one of each cycle is told; nobody else is.
#
# It could fail if the search missed a cycle or took something else for one, if it
# believed its first look, if a session stood for a client that it does not act
# as any more, if what ends by itself were broken, if the wrong one were told, or
# if a description ran over.
#
# Most of it has the monitor look once an hour only and asks for each pass by
# hand; leases are for two hours then, since what ends within
# dlock.deadlock_timeout is left alone.  DLOCK_DEADLOCK_SECONDS is how long the
# clients of the last part run.
use strict;
use warnings;

use FindBin;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DlockGraph qw(has_cycle is_on_cycle without random_graph graph_query);
use DlockNode qw(dlock_node poll_until session ask try_ask begin_ask end_ask
  is_waiting backend_pid set_stop clear_stop wait_stopped log_position
  expect_log worker_pid rows poll_rows run_bounded);

my $top = "$FindBin::Bin/../..";
my $seconds = $ENV{DLOCK_DEADLOCK_SECONDS} || 6;
my $seed = $ENV{DLOCK_DEADLOCK_SEED} || int(rand(1 << 30));
my $node = dlock_node('deadlock', <<'EOCONF');
dlock.deadlock_timeout = '1h'
dlock.default_ttl = '2h'
deadlock_timeout = '1h'
autovacuum = off
EOCONF
my $look = session($node);
my (%session, %pid);

note "seed $seed";
srand($seed);
expect_log($node, qr/client backend .*ERROR:  (?:deadlock detected|canceling statement due to user request)/);

#
# Sessions
#

# as(NAME) gives the session of that name; it acts as the client of that name.
sub as
{
	my ($name) = @_;

	if (!$session{$name})
	{
		$session{$name} = session($node);
		$pid{$name} = backend_pid($session{$name});
		ask($session{$name}, "SET dlock.client = '$name'");
	}
	return $session{$name};
}

# holds(NAME, RESOURCE...) acquires what must be free.
sub holds
{
	my ($name, @resources) = @_;

	ask(as($name), "SELECT dlock_acquire('$_', timeout := '0')")
	  foreach @resources;
	return;
}

# is_blocked(NAME) tells whether it waits for a lease or a lock.
sub is_blocked
{
	my ($name) = @_;

	return ask($look, "SELECT EXISTS (SELECT FROM dlock_queue() WHERE pid = $pid{$name})"
		  . " OR cardinality(pg_blocking_pids($pid{$name})) > 0") eq 't';
}

# waits(NAME, SQL) sends what has to wait, and waits until it does.
sub waits
{
	my ($name, $sql) = @_;

	begin_ask(as($name), $sql);
	poll_until("\"$name\" waits", sub { is_blocked($name) });
	return;
}

sub waits_for
{
	my ($name, $resource, $more) = @_;
	return waits($name, "SELECT dlock_acquire('$resource'" . ($more // '') . ')');
}

sub detect
{
	return ask($look, 'SELECT dlock_detect_deadlocks()');
}

# is_told(NAME, WHAT) has the session told of a deadlock; gives the message.
sub is_told
{
	my ($name, $what) = @_;
	my $answer;

	poll_until("\"$name\" is told: $what", sub { !is_waiting(as($name)) });
	$answer = end_ask(as($name));
	like($answer, qr/ERROR:  40P01: deadlock detected/, "$what: \"$name\" is told");
	return $answer;
}

sub is_not_told
{
	my ($what, @names) = @_;

	ok(is_waiting(as($_)), "$what: \"$_\" goes on waiting") foreach @names;
	return;
}

# over(NAME...) ends all waits, and gives back whatever is held; those named
# are in a transaction.
sub over
{
	my @in_transaction = @_;
	my @open = grep { $session{$_}{open} } sort keys %session;

	foreach my $name (@open)
	{
		poll_until(
			"\"$name\" has its answer",
			sub {
				ask($look, "SELECT pg_cancel_backend($pid{$name})")
				  if is_waiting(as($name));
				!is_waiting(as($name));
			});
		end_ask(as($name));
	}
	ask(as($_), 'ROLLBACK') foreach @in_transaction;
	ask(as($_), "SELECT pg_advisory_unlock_all(), set_config('dlock.client', '$_', false)")
	  foreach keys %session;
	ask($look, 'SELECT count(dlock_force_release(resource))'
		  . ' FROM (SELECT DISTINCT resource FROM dlock_list()) AS held');
	return;
}

# cycle(A, B, PREFIX) has A wait for B and then B for A.
sub cycle
{
	my ($x, $y, $prefix) = @_;

	holds($x, "$prefix/1");
	holds($y, "$prefix/2");
	waits_for($x, "$prefix/2");
	waits_for($y, "$prefix/1");
	return;
}

sub ring_ids
{
	return split /\n/, ask($look, 'SELECT id FROM dlock_deadlocks()');
}

#
# The search against a plain one, on random graphs
#

sub wrong_about
{
	my ($graph, $answer) = @_;
	my ($removed) = $answer =~ /\A\{(.*)\}\z/ or return "answer $answer";
	my $left = $graph;

	return 'missed or invented' if has_cycle($graph) != ($removed ne '');
	foreach my $n (split /,/, $removed)
	{
		return "node $n lay on no cycle" unless is_on_cycle($left, $n);
		$left = without($left, $n);
	}
	return has_cycle($left) ? 'a cycle was left' : '';
}

sub test_search
{
	my (@wrong, @graphs);
	my $with = 0;

	ask($look, 'CREATE FUNCTION dlock_debug_cycles(first int4[], "to" int4[])'
		  . " RETURNS int4[] AS 'dlock' LANGUAGE C STRICT");
	for (1 .. 8)
	{
		my @some = map { random_graph() } 1 .. 500;
		my @answers =
		  split /\n/, ask($look, join("\n;\n", map { graph_query($_) } @some));

		die scalar(@answers) . ' answers' unless @answers == @some;
		foreach my $i (0 .. $#some)
		{
			my $wrong = wrong_about($some[$i], $answers[$i]);

			push @wrong, "$wrong: " . graph_query($some[$i]) if $wrong;
			$with++ if has_cycle($some[$i]);
			push @graphs, 1;
		}
	}
	splice @wrong, 5;
	is(join("\n", @wrong), '', 'the search agrees with a plain one');
	note "$with of " . @graphs . ' graphs had cycles';
	cmp_ok($with, '>', @graphs / 5, 'enough graphs with cycles');
	cmp_ok($with, '<', @graphs * 4 / 5, '... and without');
	return;
}

#
# Live random graphs
#

# requests(NAMES, RESOURCES) has every client take something, and then ask for
# something that it does not hold; gives holders and queues as they must be.
# There are no priorities, and only the modes of the holders matter at first.
sub requests
{
	my ($names, $resources) = @_;
	my (%holds, %queue);

	foreach my $name (map { ($_) x 2 } @$names)
	{
		my $resource = $resources->[ rand @$resources ];
		my $mode = rand() < 0.5 ? 'shared' : 'exclusive';
		my $held = $holds{$resource} //= {};

		next if $held->{$name};
		next if %$held && grep { $_ eq 'exclusive' } $mode, values %$held;
		ask(as($name), "SELECT dlock_acquire('$resource', mode := '$mode', timeout := '0')");
		$held->{$name} = $mode;
	}
	foreach my $name (@$names)
	{
		my @others = grep { !$holds{$_}{$name} } @$resources;
		my $resource = $others[ rand @others ];
		my $mode = rand() < 0.5 ? 'shared' : 'exclusive';
		my $sql = "SELECT dlock_acquire('$resource', mode := '$mode')";

		if (@{ $queue{$resource} // [] }
			|| (%{ $holds{$resource} } && grep { $_ eq 'exclusive' } $mode, values %{ $holds{$resource} }))
		{
			waits($name, $sql);
			push @{ $queue{$resource} }, [ $name, $mode ];
		}
		else
		{
			ask(as($name), $sql);
			$holds{$resource}{$name} = $mode;
		}
	}
	return (\%holds, \%queue);
}

# edges(HOLDS, QUEUE) gives the rows that dlock_wait_graph() must have.
sub edges
{
	my ($holds, $queue) = @_;
	my (%waits, @edges);

	$waits{ $_->[0] } = 1 foreach map { @$_ } values %$queue;
	foreach my $resource (sort keys %$queue)
	{
		my $ahead;

		foreach my $waiter (@{ $queue->{$resource} })
		{
			my ($name, $mode) = @$waiter;
			my $held = $holds->{$resource};
			my @blockers = defined $ahead ? ([ 'ahead', $ahead ]) : map { [ 'holder', $_ ] }
			  grep { $mode eq 'exclusive' || $held->{$_} eq 'exclusive' } keys %$held;

			push @edges, [ $name, $resource, $mode, @$_, $waits{ $_->[1] } ? 't' : 'f' ]
			  foreach @blockers;
			$ahead = $name;
		}
	}
	return @edges;
}

sub live_graph
{
	my ($round, $names, $resources) = @_;
	my @edges = edges(requests($names, $resources));
	my %number = map { $names->[$_] => $_ } 0 .. $#$names;
	my @graph = map { [] } @$names;
	my $expected = join "\n", sort map { join '|', @$_ } @edges;
	my $shown = join "\n", sort split /\n/,
	  ask($look, 'SELECT waiter, resource, mode, reason, blocker, blocker_waits FROM dlock_wait_graph()');
	my $found;

	is($shown, $expected, "round $round: dlock_wait_graph() shows what was built");
	push @{ $graph[ $number{ $_->[0] } ] }, $number{ $_->[4] } foreach @edges;
	$found = detect();
	is($found > 0, has_cycle(\@graph), "round $round: deadlocks are told of if there are any");
	# Who stands behind a request that was ended waits for the holders then, and
	# may close a cycle with them that the pass before did not have.
	foreach (@$names) { last if detect() == 0; }
	is(detect(), 0, "round $round: none is left");
	over();
	return $found > 0;
}

sub test_live
{
	my @names = map { "c$_" } 1 .. 8;
	my @resources = map { "live/$_" } 1 .. 6;

	ask($look, 'SELECT dlock_wait_graph_dot()') eq "digraph dlock {\n}"
	  or die 'somebody waits';
	live_graph($_, \@names, \@resources) foreach 1 .. 10;
	return;
}

#
# What is shown
#

sub test_shown
{
	my ($answer, $log);
	my $position = log_position($node);

	holds('shown_a', 'shown');
	ask(as('shown_b'), q(SELECT pg_advisory_lock(hashtext('shown'))));
	waits('shown_a', q(SELECT pg_advisory_lock(hashtext('shown')) AS of_a));
	waits_for('shown_b', 'shown');
	waits_for('shown_c', 'shown', q(, mode := 'shared'));
	is(ask($look, 'SELECT waiter, waiter_pid, waits_for, resource, mode, reason, blocker, blocker_pid, blocker_waits'
			  . ' FROM dlock_wait_graph() ORDER BY waiter'),
		join("\n",
			"shown_b|$pid{shown_b}|lease|shown|exclusive|holder|shown_a|$pid{shown_a}|t",
			"shown_c|$pid{shown_c}|lease|shown|shared|ahead|shown_b|$pid{shown_b}|t",
			"|$pid{shown_a}|lock||" . "|lock|shown_b|$pid{shown_b}|t"),
		'each wait and what it waits for');
	is(ask($look, q(SELECT dlock_blocking_clients('shown_b'), dlock_blocking_clients('shown_c'), dlock_blocking_clients('nobody'))),
		'{shown_a}|{shown_b}|{}', 'the clients that are waited for');
	like(ask($look, 'SELECT dlock_wait_graph_dot()'),
		qr/\Adigraph dlock \{\n(?:  ".*" -> ".*" \[label=".*"\];\n){3}\}\z/, 'as a graph for Graphviz');
	is(detect(), 1, 'one deadlock');
	$answer = is_told('shown_b', 'half leases, half locks');
	like($answer,
		qr/DETAIL:  Client "shown_b" \(process $pid{shown_b}\) waits for resource "shown" in exclusive mode, held by client "shown_a" in exclusive mode\.\nProcess $pid{shown_a}, as client "shown_a", waits for ExclusiveLock on advisory lock \S+; blocked by process $pid{shown_b}\.\n/,
		'the detail has the cycle, and nobody else');
	like($answer, qr/HINT:  See server log for query details\./, '... and says where the queries are');
	unlike($answer, qr/AS of_a/, '... which are not for everybody');
	$log = slurp_file($node->logfile, $position);
	like($log, qr/Process $pid{shown_a}: SELECT pg_advisory_lock\(hashtext\('shown'\)\) AS of_a/,
		'the log has the queries');
	is_not_told('half leases, half locks', 'shown_a', 'shown_c');
	is(ask($look, 'SELECT client, pid, resource, waits, detail LIKE \'Client "shown_b"%\', detected_at > now() - interval \'1 day\''
			  . ' FROM dlock_deadlocks() LIMIT 1'),
		"shown_b|$pid{shown_b}|shown|2|t|t", 'it is kept');
	over();
	return;
}

#
# Who is told
#

sub test_victim
{
	holds('high', 'victim/1');
	holds('low', 'victim/2');
	holds('mid', 'victim/3');
	waits_for('high', 'victim/2', ', priority := 1');
	waits_for('low', 'victim/3', ', priority := -1');
	waits_for('mid', 'victim/1');
	is(detect(), 1, 'three with priorities');
	is_told('low', 'by priority');
	is_not_told('by priority', 'high', 'mid');
	over();

	cycle('late', 'early', 'age');
	is(detect(), 1, 'two of one priority');
	is_told('early', 'by age: the last to wait');
	is_not_told('by age', 'late');
	over();

	# the one ahead came last of all, and nobody waits for what it holds
	holds('high', 'ahead/1');
	holds('low', 'ahead/2', 'ahead/other');
	waits_for('high', 'ahead/2', ', priority := 5');
	waits_for('low', 'ahead/1', ', priority := 4');
	waits_for('mid', 'ahead/1', ', priority := 4');
	ask($look, q(SELECT dlock_set_options('ahead/1', priority := 6, client := 'mid')));
	is(detect(), 1, 'a place ahead is in the way');
	is_told('low', 'not the one ahead');
	is_not_told('not the one ahead', 'high', 'mid');
	over();

	cycle('one', 'two', 'disjoint/1');
	cycle('three', 'four', 'disjoint/2');
	is(detect(), 2, 'two deadlocks in one pass');
	is_told($_, 'two in one pass') foreach 'two', 'four';
	is_not_told('two in one pass', 'one', 'three');
	over();
	return;
}

#
# Two looks
#

# detect_until(POINT, SUB) does something while a pass stands at a stop point,
# and gives what the pass found.
sub detect_until
{
	my ($point, $sub) = @_;
	my $position = log_position($node);
	my $pass = as('pass');
	my $found;

	set_stop($node, $point);
	begin_ask($pass, 'SELECT dlock_detect_deadlocks()');
	wait_stopped($node, $point, $position);
	$sub->();
	clear_stop($node);
	return end_ask($pass);
}

sub cancel
{
	my ($name) = @_;

	ask($look, "SELECT pg_cancel_backend($pid{$name})");
	like(end_ask(as($name)), qr/57014/, "\"$name\" gives up by itself");
	return;
}

sub test_looks
{
	my @before;

	# the wait that changes is not that of the one who would be told
	holds('x', 'looks/1');
	holds('y', 'looks/2');
	waits_for('x', 'looks/2');
	waits_for('y', 'looks/1', ', priority := -1');
	is(detect_until('deadlock_suspected', sub { cancel('x'); waits_for('x', 'looks/2') }),
		0, 'another wait at the second look, though between the same two');
	is_not_told('another wait', 'x', 'y');

	@before = ring_ids();
	is(detect_until('deadlock_confirmed', sub { cancel('y'); waits_for('y', 'looks/1', ', priority := -1') }),
		0, 'another wait when it is its turn');
	is_not_told('another wait when it is its turn', 'x', 'y');
	is(detect_until('deadlock_confirmed', sub { cancel('y') }), 0, 'gone when it is its turn');
	is_deeply([ ring_ids() ], \@before, '... and nothing is kept of that');
	is_not_told('gone', 'x');

	waits_for('y', 'looks/1');
	is(detect_until('deadlock_suspected', sub { }), 1, 'the same waits in both looks');
	is_told('y', 'the same waits');
	over();

	# x waits for y and z; the client y lets go and comes back, past x
	holds('x', 'looks/1');
	ask(as($_), q(SELECT dlock_acquire('looks/2', mode := 'shared'))) foreach 'y', 'z';
	waits_for('x', 'looks/2', ', priority := 1');
	waits_for('y', 'looks/1');
	is(detect_until(
			'deadlock_suspected',
			sub {
				ask($look, q(SELECT dlock_release('looks/2', client := 'y')));
				ask($look, q(SELECT dlock_acquire('looks/2', mode := 'shared', priority := 2, client := 'y', timeout := '0')));
			}),
		0, 'another lease at the second look, of the same client');
	is_not_told('another lease', 'x', 'y');
	is(detect(), 1, '... which the next pass knows');
	is_told('y', 'another lease');
	over();

	holds('x', 'looks');
	ask(as('y'), 'SELECT pg_advisory_lock(1)');
	waits('x', 'SELECT pg_advisory_lock(1)');
	waits_for('y', 'looks');
	is(detect_until('deadlock_suspected', sub { cancel('x'); waits('x', 'SELECT pg_advisory_lock(1)') }),
		0, 'another wait for a lock');
	is(detect(), 1, '... which the next pass knows');
	is_told('y', 'another wait for a lock');
	over();
	return;
}

#
# As whom a session acts
#

# pooled(WHAT, FOUND, SQL...) has a session take the resource "pooled" by some
# statements, and then wait for a lock of one that waits for the resource.
sub pooled
{
	my ($what, $found, @sql) = @_;
	my $open = grep({ $_ eq 'BEGIN' } @sql) && !grep { /^(?:COMMIT|ROLLBACK)$/ } @sql;

	as('behind');
	ask(as('pool'), $_) foreach 'RESET dlock.client', @sql;
	ask(as('behind'), 'SELECT pg_advisory_lock(1)');
	waits('pool', 'SELECT pg_advisory_lock(1)');
	waits_for('behind', 'pooled');
	is(detect(), $found, $what);
	if ($found)
	{
		is_told('behind', $what);
	}
	else
	{
		is_not_told($what, 'behind');
	}
	over($open ? 'pool' : ());
	return;
}

sub test_actors
{
	my $named = q(SELECT dlock_acquire('pooled', client := 'pooled'));
	my $unnamed = q(SELECT dlock_acquire('pooled', scope := 'lease'));

	pooled('named in a call, in this transaction', 1, 'BEGIN', $named);
	pooled('... in one that is over', 0, $named);
	pooled('... that was rolled back', 0, 'BEGIN', $named, 'ROLLBACK');
	pooled('... with a lease that the session keeps', 1,
		q(SELECT dlock_acquire('pooled', client := 'pooled', scope := 'session')));
	pooled('named by the setting', 1, q(SET dlock.client = 'pooled'), $unnamed);
	pooled('... which is another one now', 0,
		q(SET dlock.client = 'pooled'), $unnamed, q(SET dlock.client = 'other'));
	pooled('... of the transaction', 1, 'BEGIN', q(SET LOCAL dlock.client = 'pooled'), $unnamed);
	pooled('... of one that is over', 0, 'BEGIN', q(SET LOCAL dlock.client = 'pooled'), $unnamed, 'COMMIT');
	pooled('... of one that was rolled back', 0,
		'BEGIN', q(SET LOCAL dlock.client = 'pooled'), $unnamed, 'ROLLBACK');
	pooled('the session itself', 1, $unnamed);
	pooled('... with a lease that it keeps', 1, q(SELECT dlock_acquire('pooled')));
	return;
}

#
# What ends by itself
#

sub test_ends
{
	holds('x', 'ends/1');
	ask(as('y'), q(SELECT dlock_acquire('ends/2', ttl := '30 min')));
	waits_for('x', 'ends/2');
	waits_for('y', 'ends/1');
	is(detect(), 0, 'a lease that ends soon is waited for');
	ask($look, q(SELECT dlock_renew('ends/2', ttl := '2 h', client := 'y')));
	is(detect(), 1, '... but not once it has been prolonged');
	is_told('y', 'a prolonged lease');
	over();

	holds('x', 'ends/1');
	holds('y', 'ends/2');
	waits_for('x', 'ends/2', q(, timeout := '30 min'));
	waits_for('y', 'ends/1');
	is(detect(), 0, 'a wait that ends soon is waited for');
	waits_for('z', 'ends/2');
	is(detect(), 0, '... and so is one behind it that is in no cycle');
	over();

	holds('x', 'ends/1');
	holds('y', 'ends/2');
	waits_for('z', 'ends/2', q(, timeout := '30 min'));
	waits_for('x', 'ends/2');
	waits_for('y', 'ends/1');
	is(detect(), 1, 'a wait that ends soon hides nobody behind it');
	is_told('y', 'behind a wait that ends soon');
	is_not_told('behind a wait that ends soon', 'x', 'z');
	over();

	holds('x', 'ends/1');
	ask(as('y'), q(SELECT dlock_acquire('ends/2', mode := 'shared')));
	waits_for('z', 'ends/2', q(, timeout := '30 min'));
	waits_for('x', 'ends/2', q(, mode := 'shared'));
	waits_for('y', 'ends/1');
	is(detect(), 0, '... and is all that is in the way of a reader behind it');
	is_not_told('behind a wait that ends soon', 'x', 'y', 'z');
	over();
	return;
}

#
# What is none of dlock's business
#

sub test_others
{
	my ($there, @before);

	ask(as('x'), 'SELECT pg_advisory_lock(1)');
	ask(as('y'), 'SELECT pg_advisory_lock(2)');
	holds('x', 'others');
	waits('x', 'SELECT pg_advisory_lock(2)');
	waits('y', 'SELECT pg_advisory_lock(1)');
	waits_for('z', 'others');
	is(detect(), 0, 'a deadlock of locks alone is left to PostgreSQL');
	is_not_told('locks alone', 'x', 'y', 'z');
	over();

	# the same names in two databases: half of a cycle in each
	rows($node, 'CREATE DATABASE other');
	rows($node, 'CREATE EXTENSION dlock', 'other');
	$there = $session{there} = session($node, 'other');
	$pid{there} = backend_pid($there);
	ask($there, q(SET dlock.client = 'y'));
	ask($there, q(SELECT dlock_acquire('mix/2')));
	rows($node, q(SELECT dlock_acquire('mix/1', client := 'x')), 'other');
	holds('x', 'mix/1');
	holds('y', 'mix/2');
	waits_for('x', 'mix/2');
	begin_ask($there, q(SELECT dlock_acquire('mix/1')));
	poll_rows($node, q(SELECT count(*) FROM dlock_queue('mix/1')), '1', 'other');
	is(detect(), 0, 'leases of two databases make no cycle');
	is(ask($look, 'SELECT waiter, resource, blocker FROM dlock_wait_graph()'),
		'x|mix/2|y', 'each database shows its own waits');
	@before = ring_ids();
	$session{elsewhere} = session($node, 'other');
	$pid{elsewhere} = backend_pid($session{elsewhere});
	begin_ask($session{elsewhere}, q(SELECT dlock_acquire('mix/2', client := 'x')));
	poll_rows($node, q(SELECT count(*) FROM dlock_queue('mix/2')), '1', 'other');
	is(detect(), 1, 'a deadlock of another database is broken too');
	is_told('elsewhere', 'another database');
	is_deeply([ ring_ids() ], \@before, '... and shown there');
	is(rows($node, 'SELECT client, resource FROM dlock_deadlocks()', 'other'), 'x|mix/2', '... alone');
	over();
	delete @session{qw(there elsewhere)};
	return;
}

# Rows of pg_authid are the same in all databases, so a wait can lead from one to
# another: to a client of which nobody here may see the name.
sub test_names
{
	my %there = map { $_ => session($node, 'other') } qw(one two);
	my %there_pid = map { $_ => backend_pid($there{$_}) } keys %there;
	my $graph = 'SELECT waiter, waiter_pid, resource, reason, blocker, blocker_pid, blocker_waits'
	  . ' FROM dlock_wait_graph() ORDER BY waiter, waiter_pid';
	my $secret = qr/secret/;
	my ($detail, $told);

	rows($node, "CREATE ROLE shared_$_") foreach qw(one two);
	ask($there{$_}, "SET dlock.client = 'secret $_'") foreach keys %there;
	ask($there{one}, 'BEGIN; ALTER ROLE shared_one CONNECTION LIMIT 1');
	ask($there{two}, "SELECT dlock_acquire('secret')");
	begin_ask($there{one}, "SELECT dlock_acquire('secret')");
	poll_rows($node, "SELECT count(*) FROM dlock_queue('secret')", '1', 'other');
	holds('x', 'mine');
	waits('x', 'ALTER ROLE shared_one CONNECTION LIMIT 2');
	ask(as('y'), 'BEGIN; ALTER ROLE shared_two CONNECTION LIMIT 1');
	waits_for('y', 'mine');
	is(ask($look, $graph), <<"EOROWS" =~ s/\n\z//r, 'a client of another database has no name');
y|$pid{y}|mine|holder|x|$pid{x}|t
|$pid{x}||lock||$there_pid{one}|t
EOROWS
	unlike(ask($look, "SELECT $_"), $secret, "... nor in $_")
	  foreach 'dlock_wait_graph_dot()', q(dlock_blocking_clients('y'));
	is(rows($node, $graph, 'other'), "secret one|$there_pid{one}|secret|holder|secret two||f",
		'the other database shows what is its own');

	# the way back: a cycle through both
	begin_ask($there{two}, 'ALTER ROLE shared_two CONNECTION LIMIT 2');
	poll_rows($node, "SELECT cardinality(pg_blocking_pids($there_pid{two}))", '1');
	is(detect(), 1, 'a cycle through two databases is found');
	$told = is_told('y', 'two databases');
	$detail = ask($look, 'SELECT detail FROM dlock_deadlocks() LIMIT 1');
	$detail =~ s/on transaction \d+/on transaction/g;
	is($detail, <<"EODETAIL" =~ s/\n\z//r, '... and its description has the names of one');
Client "y" (process $pid{y}) waits for resource "mine" in exclusive mode, held by client "x" in exclusive mode.
Process $pid{x}, as client "x", waits for ShareLock on transaction; blocked by process $there_pid{one}.
Process $there_pid{one} waits for a resource in another database, held by a client there.
Process $there_pid{two} waits for ShareLock on transaction; blocked by process $pid{y}.
EODETAIL
	unlike($told, $secret, '... and so has the error');
	over('y');
	ask($look, "SELECT pg_cancel_backend($there_pid{$_})") foreach qw(one two);
	end_ask($there{$_}) foreach qw(one two);
	$_->quit foreach values %there;
	return;
}

#
# Descriptions and the ring
#

sub test_long
{
	my $length = 8;
	my @names = map { "long $_ " . 'x' x 248 } 1 .. $length;
	my ($detail, @lines);

	holds($names[$_], $names[$_]) foreach 0 .. $#names;
	waits_for($names[ $_ - 1 ], $names[$_]) foreach 0 .. $#names;
	is(detect(), 1, 'a cycle with long names');
	is_told($names[-2], 'long names');
	$detail = ask($look, 'SELECT detail FROM dlock_deadlocks() LIMIT 1');
	@lines = split /\n/, $detail;
	is(pop @lines, 'Further waits are not shown.', 'what has no room is left out');
	cmp_ok(@lines, '>', 1, '... but not everything');
	is(scalar(grep { !/\AClient "long \d x+" \(process \d+\) waits for .* in exclusive mode\.\z/ } @lines),
		0, '... in whole lines');
	is(ask($look, 'SELECT waits FROM dlock_deadlocks() LIMIT 1'), $length, '... and the length is told');
	over();
	return;
}

sub test_ring
{
	my $kept = 32;
	my @ids;
	my $told = 0;

	cycle('x', 'y', 'ring');
	for (1 .. $kept + 1)
	{
		detect();
		$told++ if end_ask(as('y')) =~ /40P01/;
		waits_for('y', 'ring/1');
	}
	is($told, $kept + 1, 'as many deadlocks as there is room for, and one more');
	@ids = ring_ids();
	is_deeply(\@ids, [ map { $ids[0] - $_ } 0 .. $kept - 1 ], 'the last ones are kept, the newest first');
	over();
	return;
}

#
# The monitor
#

sub test_monitor
{
	my $monitor = worker_pid($node, 'dlock monitor');

	# a lower setting counts at once
	cycle('x', 'y', 'monitor');
	$node->adjust_conf('postgresql.conf', 'dlock.deadlock_timeout', "'20ms'");
	$node->reload;
	is_told('y', 'a setting that has been lowered');
	is_not_told('a setting that has been lowered', 'x');
	over();

	# a monitor finds what stood when the one before it went
	kill('STOP', $monitor) == 1 or die 'no monitor';
	cycle('x', 'y', 'monitor');
	kill('TERM', $monitor);
	kill('CONT', $monitor);
	is_told('y', 'a monitor that has just started');
	isnt(worker_pid($node, 'dlock monitor'), $monitor, '... and is another process');
	over();
	return;
}

#
# The examples of the manual
#

# Each line of a block is "/* client */ statement;  -- what comes of it".
sub example
{
	my ($block) = @_;

	foreach my $line (split /\n/, $block)
	{
		my ($name, $sql, $result) =
		  $line =~ m{\A/\* (\w+) \*/ (.*?);(?:\s+-- (.*))?\z}
		  or die "example: $line";

		if (($result // '') =~ /^waits/)
		{
			begin_ask(as($name), $sql);
			poll_until("\"$name\" waits or is told",
				sub { is_blocked($name) || !is_waiting(as($name)) });
		}
		else
		{
			end_ask(as($name)) if $session{$name} && $session{$name}{open};
			unlike(try_ask(as($name), $sql), qr/ERROR/, "example: $sql");
		}
		is_told($1, "example: $sql") if ($result // '') =~ /(\w+): ERROR 40P01/;
	}
	over();
	return;
}

sub test_manual
{
	my @blocks = slurp_file("$top/docs/deadlocks.md") =~ /^```sql\n(.*?)^```$/msg;

	cmp_ok(scalar(@blocks), '>', 0, 'docs/deadlocks.md has examples');
	example($_) foreach @blocks;
	return;
}

#
# Many clients for some time
#

# work(SCRIPT) runs it with many clients; leases end with the transaction, so
# that one that is told of a deadlock begins again.
sub work
{
	my ($name, $order) = @_;
	my $clients = 8;
	my $file = PostgreSQL::Test::Utils::tempdir . "/$name.sql";
	my ($rc, $out, $err);

	rows($node, 'TRUNCATE done; INSERT INTO done SELECT c, 0 FROM generate_series(0, ' . ($clients - 1) . ') AS c');
	append_to_file($file, join "\n",
		'\set x random(1, 6)', '\set y random(1, 6)', $order, 'BEGIN;',
		q(SELECT dlock_acquire('soak/' || :a, scope := 'transaction', client := 'soak/' || :client_id);),
		q(SELECT dlock_acquire('soak/' || :b, scope := 'transaction', client := 'soak/' || :client_id);),
		'UPDATE done SET n = n + 1 WHERE client = :client_id;', 'COMMIT;', '');
	($rc, $out, $err) = run_bounded(
		[ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', $clients, '-T', $seconds,
			'--max-tries=0', '-f', $file, 'postgres' ]);
	is($rc, 0, "$name: the clients did their work") or diag $err;
	note "$name: $_" foreach grep { /transactions actually processed|retried|retries/ } split /\n/, $out;
	is(rows($node, 'SELECT count(*) FROM done WHERE n = 0'), '0', "$name: each of them");
	return;
}

sub test_work
{
	my @before;

	# a row is updated in the transaction, but by one client only
	rows($node, 'CREATE TABLE done (client int PRIMARY KEY, n int)');
	@before = ring_ids();
	work('ordered', "\\set a least(:x, :y)\n\\set b greatest(:x, :y)");
	is_deeply([ ring_ids() ], \@before, 'ordered: no deadlock');
	work('random', "\\set a :x\n\\set b :y");
	cmp_ok((ring_ids())[0], '>', $before[0], 'random: deadlocks');
	is(rows($node, 'SELECT count(*) FROM dlock_queue()'), '0', 'nobody is left waiting');
	return;
}

test_search();
test_live();
test_shown();
test_victim();
test_looks();
test_actors();
test_ends();
test_others();
test_names();
test_long();
test_ring();
test_monitor();
test_manual();
test_work();

done_testing();
