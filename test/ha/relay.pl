# relay.pl - passes TCP connections on, late if it is told to
#
#     perl relay.pl LISTEN-ADDRESS PORT TO-ADDRESS PORT DELAY-MS
#
# The kernel's own means for a slow network (netem) is often not there.  This
# stands on the path of the replication: after SIGUSR1 each piece of data
# waits DELAY-MS before it goes on, either way; after SIGUSR2 none does.
use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use List::Util qw(min);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my ($address, $port, $to_address, $to_port, $delay_ms) = @ARGV;
die "usage: see the top of $0\n" unless defined $delay_ms;

my $delay = 0;
$SIG{USR1} = sub { $delay = $delay_ms / 1000 };
$SIG{USR2} = sub { $delay = 0 };
$SIG{PIPE} = 'IGNORE';

my $listener = IO::Socket::INET->new(
	LocalAddr => $address, LocalPort => $port, Listen => 64, ReuseAddr => 1)
  or die "$address:$port: $!\n";
my $readers = IO::Select->new($listener);
my %peer;	# socket => the other end
my %late;	# socket => [ [ due, data ], ... ] to be written to it; undef: end
my $most_late = 64;	# pieces

sub now { return clock_gettime(CLOCK_MONOTONIC); }

sub open_pair
{
	my $client = $listener->accept // return;
	my $server = IO::Socket::INET->new(PeerAddr => $to_address, PeerPort => $to_port, Timeout => 2);

	return close $client unless $server;
	$_->blocking(0) foreach $client, $server;
	$peer{$client} = $server;
	$peer{$server} = $client;
	$late{$_} = [] foreach $client, $server;
	$readers->add($client, $server);
	return;
}

sub close_pair
{
	my ($socket) = @_;
	my $other = delete $peer{$socket} // return;

	delete $peer{$other};
	foreach my $end ($socket, $other)
	{
		delete $late{$end};
		$readers->remove($end);
		close $end;
	}
	return;
}

# The end of a connection is passed on like data, after it.
sub take
{
	my ($socket) = @_;
	my $other = $peer{$socket} // return;
	my $got = sysread $socket, my $data, 65536;

	return if !defined $got && ($!{EAGAIN} || $!{EINTR});
	if (!$got)
	{
		$readers->remove($socket);
		$data = undef;
	}
	push @{ $late{$other} }, [ now() + $delay, $data ];
	return;
}

# give writes what is due to a socket that can take it.
sub give
{
	my ($socket) = @_;
	my $queue = $late{$socket};

	while ($queue && @$queue && $queue->[0][0] <= now())
	{
		my $written = defined $queue->[0][1] ? syswrite $socket, $queue->[0][1] : 0;

		return if !defined $written && ($!{EAGAIN} || $!{EINTR});
		return close_pair($socket) unless $written;
		substr $queue->[0][1], 0, $written, '';
		shift @$queue if $queue->[0][1] eq '';
	}
	return;
}

# One end must not wait for the other: a reader that has many connections may
# want to hear something from another one first.
while (1)
{
	my $time = now();
	my @waiting = grep { @{ $late{$_} } } values %peer;
	my $due = min(map { $late{$_}[0][0] } @waiting);
	my $writers = IO::Select->new(grep { $late{$_}[0][0] <= $time } @waiting);
	my $until = defined $due && $due > $time ? $due - $time : undef;
	# who is far behind is not read for
	my $open = IO::Select->new($listener,
		grep { $readers->exists($_) && @{ $late{ $peer{$_} } } < $most_late } values %peer);
	my ($can_read, $can_write) = IO::Select->select($open, $writers, undef, $until);

	foreach my $socket (@{ $can_read // [] })
	{
		if ($socket == $listener) { open_pair(); }
		else { take($socket); }
	}
	give($_) foreach @{ $can_write // [] };
}
