# Whose hold is given back, what ends with whom, and how strong the rest is.
#
# Several sessions of one client take and release one resource at random, in
# every scope and mode, change its mode, in transactions with savepoints, and
# leave and come back.  After each step the lease must be what a plain model says:
# how many holds it has, its mode, and whether it is still the same lease.  In the
# end every session leaves, and what is left are the holds of scope lease.
#
# It could fail where a session counts for itself what it holds: another session
# of the client may have given that back and taken a hold of its own, which then
# ends with a stranger.  And where the mode belongs to the lease: then an upgrade
# outlives the hold that it was made for, or a release takes the wrong one.
#
# The seed is printed; DLOCK_HOLDS_SEED and DLOCK_HOLDS_ROUNDS change it and the
# number of sequences.
use strict;
use warnings;

use DBI;
use DlockNode qw(dlock_node expect_log poll_until rows);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{DLOCK_HOLDS_SEED} // int(rand(1_000_000));
my $rounds = $ENV{DLOCK_HOLDS_ROUNDS} // 2000;
my $steps = 14;
my $nsessions = 3;
my $node = dlock_node('holds', <<'EOCONF');
autovacuum = off
dlock.durable = off
EOCONF
my $dsn = 'dbi:Pg:host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';

srand($seed);
note("seed $seed, $rounds rounds");

#
# The model
#
# Holds are counts by session (empty: the client's), scope and mode, the oldest
# first; "last" tells when the newest of them came.  An event of a transaction has
# a level; it goes with its savepoint.

my (@holds, $lease, @sessions, $resource);
my $clock = 0;
my %floor;

my @modes = qw(exclusive shared);    # the stronger one first

sub mode_of_lease
{
	return '' unless @holds;
	return 'exclusive' if $floor{mode} eq 'exclusive' || grep { $_->{mode} eq 'exclusive' } @holds;
	return 'shared';
}

sub count_of
{
	my ($scope, $mode) = @_;
	my $n = 0;

	foreach my $hold (@holds)
	{
		$n += $hold->{count}
		  if (!defined $scope || $hold->{scope} eq $scope) && (!defined $mode || $hold->{mode} eq $mode);
	}
	return $n;
}

sub begin_lease
{
	return if @holds;
	$lease++;
	%floor = (mode => 'shared', since => 0);
	return;
}

sub add
{
	my ($session, $scope, $mode, $n) = @_;
	my $owner = $scope eq 'lease' ? '' : $session;
	my ($hold) =
	  grep { $_->{owner} eq $owner && $_->{scope} eq $scope && $_->{mode} eq $mode } @holds;

	begin_lease();
	push @holds, $hold = { owner => $owner, scope => $scope, mode => $mode, count => 0 }
	  unless $hold;
	$hold->{count} += $n // 1;
	$hold->{last} = ++$clock;
	return;
}

# weaken(TIME) makes those holds shared that came by then: of a count all but as
# many as anything has come since, if one of them has.  They keep their place, or
# join those that are alike.
sub weaken
{
	my ($time) = @_;
	my @all;

	$floor{mode} = 'shared' if $floor{since} <= $time;
	foreach my $hold (@holds)
	{
		my $kept = $hold->{last} > $time ? $clock - $time : 0;

		push @all, $hold;
		next if $hold->{mode} eq 'shared';
		$kept = $hold->{count} if $hold->{count} < $kept;
		push @all, { %$hold, mode => 'shared', count => $hold->{count} - $kept, last => $time };
		$hold->{count} = $kept;
	}
	foreach my $weak (grep { $_->{mode} eq 'shared' } @all)
	{
		my ($same) = grep { $_ != $weak && $_->{count} > 0 && $_->{mode} eq 'shared'
			  && $_->{owner} eq $weak->{owner} && $_->{scope} eq $weak->{scope} } @holds;

		next unless $same && !grep { $_ == $weak } @holds;
		$same->{count} += $weak->{count};
		$weak->{count} = 0;
	}
	@holds = grep { $_->{count} > 0 } @all;
	return;
}

# take(N, MATCH) takes up to so many holds that match; gives how many remain to
# be taken.
sub take
{
	my ($n, $match) = @_;

	foreach my $hold (grep { $match->($_) } @holds)
	{
		my $taken = $n < $hold->{count} ? $n : $hold->{count};

		$hold->{count} -= $taken;
		$n -= $taken;
	}
	@holds = grep { $_->{count} > 0 } @holds;
	return $n;
}

# A hold is the session's or its client's, or another session's.
sub is_own
{
	my ($hold, $session) = @_;
	return $hold->{scope} eq 'lease' || $hold->{owner} eq $session;
}

# release(SESSION, WHOSE, MODE, N): holds of that mode, or weaker; own ones, the
# session's first, then the client's; or those of others.
sub release
{
	my ($session, $whose, $wanted, $n) = @_;

	foreach my $mode ($wanted eq 'shared' ? 'shared' : @modes)
	{
		foreach my $scope (qw(session lease))
		{
			$n = take($n, sub {
				my ($hold) = @_;
				$hold->{mode} eq $mode && $hold->{scope} eq $scope
				  && (is_own($hold, $session) ? 'own' : 'others') eq $whose;
			});
		}
	}
	return;
}

# end_hold(SESSION, MODE): of that mode, unless it has been changed.
sub end_hold
{
	my ($session, $mode) = @_;
	my $mine = sub { $_[0]{owner} eq $session && $_[0]{scope} eq 'transaction' };

	take(1, $mine) if take(1, sub { $mine->(@_) && $_[0]{mode} eq $mode });
	return;
}

# An event is about the lease that there was when it was asked for.
sub event
{
	my ($s, $kind, %more) = @_;

	push @{ $s->{events} }, { kind => $kind, level => $s->{level}, lease => $lease, %more };
	return $s->{events}[-1];
}

sub is_there
{
	my ($event) = @_;
	return @holds && $event->{lease} == $lease;
}

sub undo
{
	my ($s, $event) = @_;

	end_hold($s->{name}, $event->{mode}) if $event->{kind} eq 'hold' && is_there($event);
	$event->{hold}{given_back} = 0 if $event->{kind} eq 'given back';
	return;
}

sub commit
{
	my ($s) = @_;

	foreach my $event (@{ $s->{events} })
	{
		next unless is_there($event);
		end_hold($s->{name}, $event->{mode}) if $event->{kind} eq 'hold';
		release($s->{name}, @$event{qw(whose mode count)}) if $event->{kind} eq 'release';
		weaken($event->{time}) if $event->{kind} eq 'downgrade';
	}
	$s->{events} = [];
	return;
}

# may_commit(SESSION): what the transaction holds is as strong as it was.
sub may_commit
{
	my ($s) = @_;

	return !grep { $_->{kind} eq 'hold' && $_->{mode} eq 'exclusive' && mode_of_lease() ne 'exclusive' }
	  @{ $s->{events} };
}

sub rollback_to
{
	my ($s, $level) = @_;

	while (@{ $s->{events} } && $s->{events}[-1]{level} >= $level)
	{
		undo($s, pop @{ $s->{events} });
	}
	return;
}

# left_of(SESSION, WHOSE, MODE) tells how many holds were not asked to be released
# yet.
sub left_of
{
	my ($s, $whose, $mode) = @_;
	my $n = 0;

	foreach my $hold (grep { $_->{scope} ne 'transaction' } @holds)
	{
		$n += $hold->{count}
		  if (is_own($hold, $s->{name}) ? 'own' : 'others') eq $whose && (!defined $mode || $hold->{mode} eq $mode);
	}
	foreach my $event (grep { $_->{kind} eq 'release' && is_there($_) } @{ $s->{events} })
	{
		$n -= $event->{count}
		  if $event->{whose} eq $whose && (!defined $mode || $event->{mode} eq $mode);
	}
	return $n;
}

# asked_for(SESSION, WHOSE, MODE, ALL) notes that such holds are to be released.
sub asked_for
{
	my ($s, $whose, $mode, $all) = @_;
	my $n = left_of($s, $whose, $mode);
	my $in_all = left_of($s, $whose);

	$n = $in_all if $in_all < $n;
	return 0 unless $n > 0;
	event($s, 'release', whose => $whose, mode => $mode, count => $all ? $n : 1);
	return 1;
}

# asked(SESSION, ALL) notes that a release is asked for: of the strongest hold that
# is the session's or its client's, then of other sessions'; gives the answer.
sub asked
{
	my ($s, $all) = @_;
	my $answer = 0;

	return 0 unless @holds;
	foreach my $mode (@modes)
	{
		$answer |= asked_for($s, 'own', $mode, $all);
		return 1 if $answer && !$all;
		foreach my $hold (reverse grep { $_->{kind} eq 'hold' && $_->{mode} eq $mode && is_there($_) && !$_->{given_back} } @{ $s->{events} })
		{
			$hold->{given_back} = 1;
			event($s, 'given back', hold => $hold);
			$answer = 1;
			return 1 unless $all;
		}
	}
	foreach my $mode (@modes)
	{
		$answer |= asked_for($s, 'others', $mode, $all);
		return 1 if $answer && !$all;
	}
	return $answer;
}

#
# Sessions
#

sub enter
{
	my ($s) = @_;

	$s->{dbh} = DBI->connect($dsn, '', '', { RaiseError => 1, PrintError => 0, AutoCommit => 1 })
	  unless $s->{dbh};
	$s->{dbh}->do(q{SET dlock.client = 'c'});
	$s->{pid} = $s->{dbh}->{pg_pid};
	@$s{qw(events level open)} = ([], 0, 0);
	return;
}

# leave(SESSION) disconnects and waits until the process has gone.
my $observer = DBI->connect($dsn, '', '', { RaiseError => 1, PrintError => 0, AutoCommit => 1 });

sub leave
{
	my ($s) = @_;

	$s->{dbh}->disconnect;
	$s->{dbh} = undef;
	poll_until('a session has gone',
		sub { !@{ $observer->selectall_arrayref("SELECT FROM pg_stat_activity WHERE pid = $s->{pid}") } });
	rollback_to($s, 0);
	take(1e9, sub { $_[0]{owner} eq $s->{name} });
	return;
}

my %acts = (
	acquire => sub {
		my ($s) = @_;
		my $scope = (qw(lease session session transaction))[ rand 4 ];
		my $mode = $modes[ rand @modes ];

		$s->{dbh}->selectrow_array(
			"SELECT dlock_acquire('$resource', ttl := '1 h', scope := '$scope', mode := '$mode')");
		if ($scope ne 'transaction')
		{
			add($s->{name}, $scope, $mode);
		}
		elsif ($s->{open})
		{
			add($s->{name}, $scope, $mode);
			event($s, 'hold', mode => $mode);
		}
		else
		{
			# it began and ended with the statement
			begin_lease();
			$clock++;
		}
		return "acquire $scope $mode";
	},
	convert => sub {
		my ($s) = @_;
		my $mode = $modes[ rand @modes ];

		return acquire_again($s) unless @holds;
		$s->{dbh}->selectrow_array("SELECT dlock_set_options('$resource', mode := '$mode')");
		if ($mode eq 'exclusive')
		{
			%floor = (mode => $mode, since => ++$clock);
		}
		elsif (mode_of_lease() eq 'exclusive')
		{
			event($s, 'downgrade', time => $clock);
		}
		commit($s) unless $s->{open};
		return "make it $mode";
	},
	release => sub {
		my ($s) = @_;
		my $all = rand() < 0.15;
		my $expected = asked($s, $all);
		my ($answer) = $s->{dbh}->selectrow_array($all ?
			'SELECT dlock_release_all() > 0' : "SELECT dlock_release('$resource')");

		commit($s) unless $s->{open};
		return ($all ? 'release all' : 'release')
		  . ($answer == $expected ? '' : " (answered $answer in place of $expected)");
	},
	begin => sub {
		my ($s) = @_;

		return acquire_again($s) if $s->{open};
		$s->{dbh}->do('BEGIN');
		$s->{open} = 1;
		$s->{level} = 1;
		return 'begin';
	},
	savepoint => sub {
		my ($s) = @_;

		return acquire_again($s) unless $s->{open};
		$s->{level}++;
		$s->{dbh}->do("SAVEPOINT s$s->{level}");
		return 'savepoint';
	},
	rollback_to => sub {
		my ($s) = @_;
		my $level;

		return acquire_again($s) unless $s->{level} > 1;
		$level = 2 + int rand($s->{level} - 1);
		$s->{dbh}->do("ROLLBACK TO s$level");
		rollback_to($s, $level);
		$s->{level} = $level;
		return "rollback to $level";
	},
	release_savepoint => sub {
		my ($s) = @_;
		my $level;

		return acquire_again($s) unless $s->{level} > 1;
		$level = 2 + int rand($s->{level} - 1);
		$s->{dbh}->do("RELEASE s$level");
		foreach my $event (@{ $s->{events} })
		{
			$event->{level} = $level - 1 if $event->{level} >= $level;
		}
		$s->{level} = $level - 1;
		return "release savepoint $level";
	},
	end => sub {
		my ($s) = @_;
		my $commit = rand() < 0.6;
		my $lost = $commit && !may_commit($s);
		my $done;

		return acquire_again($s) unless $s->{open};
		$done = eval { $s->{dbh}->do($commit ? 'COMMIT' : 'ROLLBACK'); 1 };
		$commit && !$lost ? commit($s) : rollback_to($s, 0);
		@$s{qw(level open)} = (0, 0);
		return ($commit ? 'commit' : 'rollback')
		  . ($lost ? ' of what is lost' : '')
		  . (!$done == !!$lost ? '' : ' (answered otherwise)');
	},
	leave => sub {
		my ($s) = @_;

		# another process for each is slow: DISCARD ALL ends a session as well
		if ($s->{open} || rand() < 0.2)
		{
			leave($s);
		}
		else
		{
			$s->{dbh}->do('DISCARD ALL');
			take(1e9, sub { $_[0]{owner} eq $s->{name} });
		}
		enter($s);
		return 'leave';
	});
my @chances = ((('acquire') x 5), (('release') x 5), 'convert', 'begin', 'begin', 'savepoint',
	'rollback_to', 'release_savepoint', 'end', 'end', 'leave');

sub acquire_again { return $acts{acquire}->($_[0]); }

#
# The comparison
#

# look() gives what is there: holds, token and mode, 0 where nothing is.
sub look
{
	my @row = $observer->selectrow_array(
		"SELECT hold_count, token, mode FROM dlock_list('c') WHERE resource = '$resource'");
	return @row ? @row : (0, 0, '');
}

my ($done, $checked, %seen) = (0, 0);
my $trouble = '';

@sessions = map { { name => $_ } } 'A' .. chr(ord('A') + $nsessions - 1);
enter($_) foreach @sessions;
ROUND: foreach my $round (1 .. $rounds)
{
	my (@story, $last_lease, $last_token);

	$resource = "r$round";
	(@holds, $lease) = ();
	$lease = 0;
	foreach my $step (1 .. $steps)
	{
		my $s = $sessions[ rand @sessions ];
		my $act = $chances[ rand @chances ];
		my ($count, $token, $mode);

		push @story, "$s->{name}: " . $acts{$act}->($s);
		$seen{$act}++;
		($count, $token, $mode) = look();
		$checked++;
		my $same = !$count || !$last_token || ($lease == $last_lease) == ($token == $last_token);
		if ($count != count_of() || $mode ne mode_of_lease() || !$same || $story[-1] =~ /answered/)
		{
			$trouble = sprintf "round %d: %d holds, %s, in place of %d, %s%s\n%s", $round, $count, $mode,
			  count_of(), mode_of_lease(), $same ? '' : ', or another lease', join "\n", @story;
			last ROUND;
		}
		($last_lease, $last_token) = ($lease, $token) if $count;
	}
	# the rest of the round: transactions end, some sessions leave
	foreach my $s (@sessions)
	{
		$acts{end}->($s) if $s->{open};
		$acts{leave}->($s);
	}
	if ((look())[0] != count_of('lease') || count_of() != count_of('lease'))
	{
		$trouble = "round $round: not just the holds of scope lease are left\n" . join "\n", @story;
		last;
	}
	$observer->do("SELECT dlock_force_release('$resource')");
	$done++;
}
is($trouble, '', "seed $seed: every lease was what the model says");
is($done, $rounds, "$rounds sequences, $checked looks");
cmp_ok($seen{$_} // 0, '>', $rounds / 4, "there was $_") foreach sort keys %acts;

#
# As reported
#

# K, A and B are sessions of client c.  B gives back what A took, and takes a
# hold of its own: A's end does not end that.
foreach my $with_k (0, 1)
{
	my ($k, $a, $b) = @sessions;

	$resource = "reported$with_k";
	$k->{dbh}->do('BEGIN');
	$k->{dbh}->do("SELECT dlock_acquire('$resource', scope := 'transaction')") if $with_k;
	$a->{dbh}->do("SELECT dlock_acquire('$resource', scope := 'session')");
	$b->{dbh}->do("SELECT dlock_acquire('$resource', scope := 'session')") unless $with_k;
	$b->{dbh}->do("SELECT dlock_release('$resource')");
	$b->{dbh}->do("SELECT dlock_acquire('$resource', scope := 'session')") if $with_k;
	leave($a);
	$k->{dbh}->do('COMMIT');
	is((look())[0], $with_k, 'a session has what it took and did not give back');
	enter($a);
	$observer->do("SELECT dlock_force_release('$resource')");
}

#
# At the end of a transaction
#

# Giving back very many is linear.  No time is asserted: at the quadratic cost
# this would not come to an end before the suite does.
{
	my $s = $sessions[0];
	my $n = 60_000;

	is($s->{dbh}->selectrow_array(
			"SELECT count(dlock_acquire('many' || i, ttl := '1 h', scope := 'session')) FROM generate_series(1, $n) i"),
		$n, "$n leases of a session");
	is($s->{dbh}->selectrow_array(
			"SELECT count(*) FROM generate_series(1, $n) i WHERE dlock_release('many' || i)"),
		$n, 'all given back one by one, in one transaction');
	is($observer->selectrow_array(q{SELECT count(*) FROM dlock_list('c')}), 0, 'none is left');
}

$_->{dbh}->disconnect foreach grep { $_->{dbh} } @sessions;
$observer->disconnect;
expect_log($node, qr/ERROR:  could not commit because a lease was lost/);
done_testing();
