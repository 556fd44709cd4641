# worker.pl - a client of dlock that writes under its leases, also when it has
# lost them
#
#     perl worker.pl --name w1 --conninfo '...' --history FILE --seed N
#         [--resources N]
#
# All workers want the same few resources, each for itself, in every scope, and
# half of the sessions with dlock.durable = off.  What they do with them is a row
# in the table "work", with the token under which it was written, in a
# transaction that has fenced this token or holds the resource itself.  The
# table so has the order in which tokens counted.
#
# Leases are short, often neither renewed nor released, and a worker remembers
# tokens that are not its own any more: it renews, fences and commits with them
# as if nothing had happened, first of all after its connection was lost.
# None of that may succeed once somebody else was told of a later token.
#
# SIGTERM ends it after the current call; SIGKILL may end it anywhere.  Each
# connection has a client name of its own, as in client.pl.
use strict;
use warnings;

use FindBin;
use Getopt::Long;
use List::Util qw(shuffle);
use Time::HiRes qw(usleep);

use lib "$FindBin::Bin/../perl";
use DlockCalls qw(call_of quoted microseconds pick chance);
use DlockHistory;

# how many tokens a worker remembers
my $memory = 8;

my %opt = (resources => 5);
GetOptions(\%opt, 'name=s', 'conninfo=s', 'history=s', 'seed=i', 'resources=i')
  or die "usage: see the top of $0\n";
foreach my $name (qw(name conninfo history seed))
{
	die "--$name is missing\n" unless defined $opt{$name};
}
srand $opt{seed};

my $calls = DlockCalls->new(DlockHistory->new($opt{history}, $opt{name}),
	map { $_ => $opt{$_} } qw(name conninfo));
my $parent = getppid;
my $stop = 0;
$SIG{TERM} = sub { $stop = 1 };

# What it was granted, the newest last: { name, resource, token }.
my @grants;

sub my_name { return "$opt{name}." . $calls->session; }

sub any_resource { return 'w' . (1 + int rand $opt{resources}); }

# short enough to run out, long enough to be met again after a crash
sub any_ttl { return 1000 * pick(200, 400, 800, 1500, 2500); }

sub command
{
	my ($sql, $kind) = @_;
	return $calls->ask($sql, '', $kind);
}

# acquire(NAME, RESOURCE, SCOPE, TIMEOUT) gives what was granted, or undef.
sub acquire
{
	my ($name, $resource, $scope, $timeout) = @_;
	my $ttl = $scope ne 'transaction' || chance(0.4) ? any_ttl() : undef;
	my $kept = $scope eq 'session' || !defined $ttl;
	my ($outcome, $token) = $calls->ask(
		call_of(chance(0.5) ? 'dlock_try_acquire' : 'dlock_acquire',
			resource => quoted($resource),
			timeout => microseconds($timeout),
			ttl => defined $ttl ? microseconds($ttl) : undef,
			scope => quoted($scope),
			client => quoted($name)),
		'token', 'acquire', client => $name, resource => $resource, mode => 'exclusive',
		scope => $scope, priority => 0, ttl => $ttl, kept => $kept || undef,
		timeout => $timeout);
	my $grant = { name => $name, resource => $resource, token => $token };

	# a cancel may have come after the grant
	$calls->leave
	  if $outcome eq 'fail' && $scope eq 'session' && $calls->state eq '57014';
	return unless $outcome eq 'ok';
	@grants = grep { $_->{token} != $token } @grants;
	push @grants, $grant;
	shift @grants if @grants > $memory;
	return $grant;
}

# about(GRANT) gives what the history says of a request about it.
sub about
{
	my ($grant) = @_;
	return (client => $grant->{name}, resource => $grant->{resource}, token => $grant->{token});
}

sub release
{
	my ($grant) = @_;

	return $calls->ask(
		call_of('dlock_release', resource => quoted($grant->{resource}),
			token => $grant->{token}, client => quoted($grant->{name})),
		'held', 'release', about($grant));
}

sub renew
{
	my ($grant) = @_;

	return $calls->ask(
		call_of('dlock_renew', resource => quoted($grant->{resource}),
			token => $grant->{token}, client => quoted($grant->{name})),
		'held', 'renew', about($grant));
}

# write_row(GRANT) writes a row in the transaction under way.
sub write_row
{
	my ($grant) = @_;

	return $calls->ask(
		'INSERT INTO work (resource, token, client) VALUES ('
		  . join(', ', quoted($grant->{resource}), $grant->{token}, quoted($grant->{name}))
		  . ') RETURNING id',
		'id', 'work', about($grant));
}

# end_transaction(FINE) ends the one under way, if there is a connection.
sub end_transaction
{
	my ($fine) = @_;

	return unless $calls->is_connected;
	# some leases run out meanwhile
	usleep(rand(chance(0.1) ? 500_000 : 10_000));
	return command($fine && chance(0.9) ? ('COMMIT', 'commit') : ('ROLLBACK', 'rollback'));
}

# write_fenced(GRANT) writes a row in a transaction that has fenced the token.
sub write_fenced
{
	my ($grant) = @_;
	my $fine;

	return if command('BEGIN', 'begin') ne 'ok';
	$fine = $calls->ask(
		call_of('dlock_fence', resource => quoted($grant->{resource}), token => $grant->{token}),
		'held', 'fence', about($grant)) eq 'ok'
	  && write_row($grant) eq 'ok';
	return end_transaction($fine);
}

# write_releasing(GRANT) writes a row in a transaction that gives the lease back:
# that is a fence as well.
sub write_releasing
{
	my ($grant) = @_;
	my $fine;

	return if command('BEGIN', 'begin') ne 'ok';
	$fine = write_row($grant) eq 'ok' && release($grant) eq 'ok';
	return end_transaction($fine);
}

#
# What a worker does.  Each is one step between two pauses.
#
# It takes a lease, does some work, and gives it back or forgets to.  One that
# the session keeps would never end.
sub step_lease
{
	my $scope = chance(0.3) ? 'session' : 'lease';
	my $grant = acquire(my_name(), any_resource(), $scope, pick(0, 50_000, 300_000)) // return;

	foreach (1 .. int rand 3)
	{
		write_fenced($grant);
		return unless $calls->is_connected;
	}
	if ($scope eq 'lease')
	{
		return write_releasing($grant) if chance(0.3);
		release($grant) if chance(0.3);
		return;
	}
	$calls->leave
	  if chance(0.3) || release($grant) ne 'ok' && $calls->is_connected;
	return;
}

# It holds the resource for one transaction.
sub step_transaction
{
	my $grant;

	return if command('BEGIN', 'begin') ne 'ok';
	$grant = acquire(my_name(), any_resource(), 'transaction', pick(0, 50_000, 300_000));
	return unless $calls->is_connected;
	return end_transaction($grant && write_row($grant) eq 'ok');
}

# insist(GRANT) goes on with a token, whether it is its own still or not.
sub insist
{
	my ($grant) = @_;
	my $again;

	return unless $calls->is_connected;
	return renew($grant) if chance(0.3);
	return write_fenced($grant) if chance(0.7);
	# its client gets what it holds already, or a newer one
	$again = acquire($grant->{name}, $grant->{resource}, 'lease', 0);
	return $again && $calls->is_connected && write_fenced($again);
}

sub step_old
{
	return @grants ? insist(pick(@grants)) : step_transaction();
}

# It lets leases run out, without a word.
sub step_sleep
{
	usleep(1_000_000 * rand);
	return;
}

my @steps = ([ 40, \&step_lease ], [ 40, \&step_transaction ], [ 10, \&step_old ], [ 10, \&step_sleep ]);

sub step
{
	my $at = rand 100;

	foreach my $step (@steps)
	{
		$at -= $step->[0];
		return $step->[1]->() if $at < 0;
	}
	return;
}

#
# Until told to stop, or forgotten
#
while (!$stop && getppid == $parent)
{
	if (!$calls->is_connected)
	{
		my @old = @grants;

		$calls->connect(chance(0.5) ? 1 : 0) || next;
		insist($_) foreach shuffle(@old);
		next;
	}
	step();
	usleep(30_000 * rand()**2);
}
$calls->leave if $calls->is_connected;
