# client.pl - one client of dlock that works at random and notes what it is told
#
#     perl client.pl --name c1 --conninfo '...' --history FILE --seed N
#         [--resources N] [--max-wait SECONDS] [--cluster [--keep]]
#
# --cluster is for servers that replace one another.  What is answered from
# memory alone, by a server that was replaced and does not know yet, may be
# out of date and no promise is broken by that.  So such an answer counts only
# if the server is the primary still; and there are no scopes and settings
# whose leases end with a session or a crash.  --keep: it holds what it has for
# long, and renews it all the time.
#
# It connects by the given conninfo, whatever is behind that, and again after
# any loss; takes, shares, renews, converts and gives back leases, in and
# outside transactions; and writes what it asks and what it hears into its own
# history (DlockHistory) right before and after each call.  SIGTERM ends it
# after the current call; SIGKILL may end it anywhere.
#
# Each connection has a client name of its own.  So a request whose fate is
# unknown, and may be served long after its connection is gone, can never be
# taken for another.  Leases that were known when a connection broke are
# renewed and released under their old names by the next one.
use strict;
use warnings;

use FindBin;
use Getopt::Long;
use Time::HiRes qw(usleep);

use lib "$FindBin::Bin/../perl";
use DlockCalls qw(call_of quoted microseconds pick chance);
use DlockHistory;

my %opt = (resources => 32, 'max-wait' => 1, cluster => 0, keep => 0);
GetOptions(\%opt, 'name=s', 'conninfo=s', 'history=s', 'seed=i', 'resources=i',
	'max-wait=f', 'cluster', 'keep')
  or die "usage: see the top of $0\n";
foreach my $name (qw(name conninfo history seed))
{
	die "--$name is missing\n" unless defined $opt{$name};
}
srand $opt{seed};

my $calls = DlockCalls->new(DlockHistory->new($opt{history}, $opt{name}),
	map { $_ => $opt{$_} } qw(name conninfo cluster));
my $parent = getppid;
my $stop = 0;
$SIG{TERM} = sub { $stop = 1 };

my $in_transaction = 0;

# What this client believes to hold: {NAME}{RESOURCE} = { token, mode, kept }.
# It may be wrong, for time passes; the checker knows better.
my %holds;

# Some resources are wanted much more than others.
sub any_resource
{
	return 'r' . (1 + int($opt{resources} * rand()**2));
}

sub any_ttl
{
	# a short one that is renewed all the time soon shows whether it still counts
	return 2_000_000 if $opt{keep};
	return 1000 * ($opt{cluster} ? pick(2000, 5000, 10_000) : pick(100, 300, 800, 2000, 5000, 5000));
}

#
# Asking
#
sub forget_session
{
	$in_transaction = 0;
	foreach my $name (keys %holds)
	{
		my $of = $holds{$name};

		delete @$of{ grep { $of->{$_}{kept} } keys %$of };
		delete $holds{$name} unless %$of;
	}
	return;
}

# ask is that of DlockCalls; with the connection, what it keeps is lost.
sub ask
{
	my ($outcome, $value) = $calls->ask(@_);

	forget_session() if $outcome eq 'lost';
	return wantarray ? ($outcome, $value) : $outcome;
}

#
# Connection
#
sub connect_again
{
	my $durable = $opt{cluster} || chance(0.9) ? 1 : 0;
	my @settings;

	push @settings, 'SET lock_timeout = 400' if chance(0.1);
	# such a limit would end the wait for a standby, with a warning only
	push @settings, 'SET statement_timeout = 600' if chance(0.1) && !$opt{cluster};
	return $calls->connect($durable, @settings);
}

# my_name is who this connection acquires as.
sub my_name { return "$opt{name}." . $calls->session; }

#
# Holds
#
sub all_holds
{
	return map { my $name = $_; map { [ $name, $_ ] } sort keys %{ $holds{$name} } }
	  sort keys %holds;
}

sub any_hold { return pick(all_holds()); }

sub forget
{
	my ($name, $resource) = @_;

	delete $holds{$name}{$resource};
	delete $holds{$name} unless %{ $holds{$name} };
	return;
}

# settle(NAME, RESOURCE) makes sure, by releasing until there is nothing left,
# after an answer that did not say.
sub settle
{
	my ($name, $resource) = @_;

	forget($name, $resource);
	while ($calls->is_connected && !$in_transaction)
	{
		my ($outcome) = release($name, $resource);
		return if $outcome eq 'no';
		return if $outcome eq 'fail' && $stop;
	}
	return;
}

#
# Single requests
#
sub release
{
	my ($name, $resource, $token) = @_;

	return ask(
		call_of('dlock_release', resource => quoted($resource), token => $token,
			client => quoted($name)),
		'held', 'release', client => $name, resource => $resource, token => $token);
}

# acquire(NAME, RESOURCE, OPTIONS) asks for a lease and remembers it.
# A request without a limit is made only where no hold of ours lasts as long
# as we do: else two clients could wait for each other for ever.
sub acquire
{
	my ($name, $resource, %with) = @_;
	my $scope = $with{scope} // 'lease';
	my $mode = $with{mode} // (chance(0.3) ? 'shared' : 'exclusive');
	my $ttl = $with{ttl} // any_ttl();
	my $try = chance(0.5);
	my $priority = pick((0) x 8, 1, 2);
	my $patient = !$in_transaction && $scope eq 'lease' && chance(0.08)
	  && !grep { $holds{ $_->[0] }{ $_->[1] }{kept} } all_holds();
	my $timeout =
		$patient ? undef
	  : $try && chance(0.4) ? 0
	  : int(1_000_000 * $opt{'max-wait'} * rand()**2);
	my $given = $scope ne 'transaction' || chance(0.5);
	my $kept = $scope eq 'session' || !$given;

	$try = 0 if $patient;
	my ($outcome, $token) = ask(
		call_of(
			$try ? 'dlock_try_acquire' : 'dlock_acquire',
			resource => quoted($resource),
			timeout => defined $timeout ? microseconds($timeout) : undef,
			ttl => $given ? microseconds($ttl) : undef,
			mode => quoted($mode),
			priority => $priority,
			scope => quoted($scope),
			client => quoted($name)),
		'token', 'acquire', client => $name, resource => $resource, mode => $mode,
		scope => $scope, priority => $priority, ttl => $given ? $ttl : undef,
		kept => $kept || undef, timeout => $timeout // 'none');
	if ($outcome eq 'ok' && $scope ne 'transaction')
	{
		$holds{$name}{$resource}{token} = $token;
		$holds{$name}{$resource}{mode} = $mode
		  unless ($holds{$name}{$resource}{mode} // '') eq 'exclusive';
		$holds{$name}{$resource}{kept} ||= $kept;
	}
	forget($name, $resource) if $outcome eq 'lost' && $holds{$name};
	# a cancel may have come after the grant
	settle($name, $resource)
	  if $outcome eq 'fail' && !$in_transaction && $calls->state eq '57014';
	return $outcome;
}

#
# What a client does.  Each is one step between two pauses.
#
sub step_take { return acquire(my_name(), any_resource(),
		scope => !$opt{cluster} && chance(0.2) ? 'session' : 'lease'); }

# take what is held already once more, or in another mode
sub step_again
{
	my ($name, $resource) = @{ any_hold() };

	return acquire($name, $resource);
}

sub step_give
{
	my ($name, $resource) = @{ any_hold() };
	my ($outcome) = release($name, $resource,
		chance(0.5) ? $holds{$name}{$resource}{token} : undef);

	return settle($name, $resource) if $outcome eq 'fail';
	forget($name, $resource) if $outcome eq 'no' || $outcome eq 'lost' || chance(0.8);
	return;
}

sub step_give_all
{
	my ($name) = @{ any_hold() };

	ask(call_of('dlock_release_all', client => quoted($name)),
		'count', 'release_all', client => $name);
	delete $holds{$name};
	return;
}

sub step_renew
{
	my ($name, $resource) = @{ any_hold() };
	# a longer duration would have to be written
	my $ttl = !$opt{keep} && chance(0.4) ? any_ttl() : undef;
	my $token = $holds{$name}{$resource}{token};
	my ($outcome) = ask(
		call_of('dlock_renew', resource => quoted($resource),
			ttl => $ttl ? microseconds($ttl) : undef, token => $token,
			client => quoted($name)),
		'held', 'renew', client => $name, resource => $resource, token => $token,
		ttl => $ttl);

	forget($name, $resource) if $outcome eq 'lost' || $outcome eq 'fail' && $calls->state eq 'LK001';
	return;
}

sub step_renew_all
{
	my ($name) = @{ any_hold() };
	my $ttl = chance(0.2) ? any_ttl() : undef;
	my ($outcome) = ask(
		call_of('dlock_renew_all', ttl => $ttl ? microseconds($ttl) : undef,
			client => quoted($name)),
		'count', 'renew_all', client => $name, ttl => $ttl);

	delete $holds{$name} if $outcome eq 'lost';
	return;
}

sub step_upgrade
{
	my ($name, $resource) = @{ any_hold() };
	my $token = $holds{$name}{$resource}{token};
	my ($outcome) = ask(
		call_of('dlock_set_options', resource => quoted($resource), mode => "'exclusive'",
			token => $token, timeout => microseconds(int rand 300_000), client => quoted($name)),
		'held', 'upgrade', client => $name, resource => $resource, token => $token);

	$holds{$name}{$resource}{mode} = 'exclusive' if $outcome eq 'ok';
	forget($name, $resource) if $outcome eq 'lost' || $outcome eq 'fail' && $calls->state eq 'LK001';
	return;
}

sub downgrade
{
	my ($name, $resource) = @_;

	return ask(
		call_of('dlock_set_options', resource => quoted($resource), mode => "'shared'",
			client => quoted($name)),
		'held', 'downgrade', client => $name, resource => $resource);
}

sub step_downgrade
{
	my ($name, $resource) = @{ any_hold() };
	my ($outcome) = downgrade($name, $resource);

	$holds{$name}{$resource}{mode} = 'shared' if $outcome eq 'ok';
	forget($name, $resource) if $outcome ne 'ok';
	return;
}

# one_in_transaction does one thing in a transaction; false where that failed.
sub one_in_transaction
{
	my ($savepoint) = @_;
	my $what = rand;
	my $outcome;

	if ($what < 0.4)
	{
		$outcome = acquire(my_name(), any_resource(), scope => 'transaction');
	}
	elsif ($what < 0.5)
	{
		$outcome = acquire(my_name(), any_resource());
	}
	elsif ($what < 0.8 && %holds)
	{
		($outcome) = release(@{ any_hold() });
	}
	elsif ($what < 0.85 && %holds)
	{
		($outcome) = downgrade(@{ any_hold() });
	}
	elsif ($what < 0.95)
	{
		$outcome = ask("SAVEPOINT s$$savepoint", '', 'savepoint');
		$$savepoint++ if $outcome eq 'ok';
	}
	elsif ($$savepoint > 0)
	{
		$outcome = ask('ROLLBACK TO s' . ($$savepoint - 1), '', 'rollback_to');
	}
	else
	{
		return 1;
	}
	return $outcome =~ /^(?:ok|no)$/;
}

# A transaction; its failure is often part of what it is for.  What it may
# have released is forgotten at its end, or else settled.
sub step_transaction
{
	my $savepoint = 0;
	my $fine;

	return if ask('BEGIN', '', 'begin') ne 'ok';
	$in_transaction = 1;
	$fine = one_in_transaction(\$savepoint);
	foreach (1 .. int rand 4)
	{
		usleep(rand 10_000);
		$fine &&= one_in_transaction(\$savepoint);
	}
	# if the connection is lost, what it had released is not
	return unless $calls->is_connected;
	if ($fine && chance(0.8))
	{
		my $outcome = ask('COMMIT', '', 'commit');
		%holds = () if $outcome ne 'ok';
	}
	elsif (ask('ROLLBACK', '', 'rollback') ne 'ok')
	{
		%holds = ();
	}
	$in_transaction = 0;
	return;
}

sub step_leave
{
	$calls->leave;
	forget_session();
	return;
}

# WEIGHT without, and with holds
my @steps = (
	[ 50, 20, \&step_take ],
	[ 8, 6, \&step_transaction ],
	[ 0.4, 0.4, \&step_leave ],
	[ 0, 3, \&step_again ],
	[ 0, 32, \&step_give ],
	[ 0, 2, \&step_give_all ],
	[ 0, 8, \&step_renew ],
	[ 0, 2, \&step_renew_all ],
	[ 0, 7, \&step_upgrade ],
	[ 0, 2, \&step_downgrade ]);

my @keeping = (
	[ 50, 0, \&step_take ],
	[ 0.4, 0, \&step_leave ],
	[ 0, 0.1, \&step_give ],
	[ 0, 100, \&step_renew ]);

sub step
{
	my $column = %holds ? 1 : 0;
	my @choice = $opt{keep} ? @keeping : $opt{cluster} ? grep { $_->[2] != \&step_transaction } @steps : @steps;
	my $total = 0;
	my $at;

	$total += $_->[$column] foreach @choice;
	$at = rand $total;
	foreach my $step (@choice)
	{
		$at -= $step->[$column];
		return $step->[2]->() if $at < 0;
	}
	return;
}

#
# Until told to stop, or forgotten
#
while (!$stop && getppid == $parent)
{
	$calls->is_connected || connect_again() || next;
	step();
	usleep(($opt{cluster} ? 300_000 : 40_000) * rand()**2);
}

# Some give back what they have, the others leave it to its time.
if ($calls->is_connected)
{
	foreach my $name (sort keys %holds)
	{
		last unless $calls->is_connected && chance(0.5);
		ask(call_of('dlock_release_all', client => quoted($name)),
			'count', 'release_all', client => $name);
	}
	step_leave() if $calls->is_connected;
}
