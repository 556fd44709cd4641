# Reads what test/bench/run has measured: lines "workload, clients, contender,
# round, value, others", separated by tabs, and comments.  The last is what part
# of the processors, in percent, went to processes that are not the bench's.
package Results;

use strict;
use warnings;

# From here on a run is disturbed: two contenders that are divided by one
# another would not have had the same machine.
my $too_much = 10;

# read_results FILE
sub read_results
{
	my ($class, $file) = @_;
	my $self = bless {
		values => {}, others => {}, skipped => [], taken => '' }, $class;
	open my $in, '<', $file or die "could not open $file: $!\n";
	while (my $line = <$in>)
	{
		chomp $line;
		my @field = split /\t/, $line;
		if ($field[0] eq '# taken') { $self->{taken} = $field[1]; next }
		if ($field[0] eq '# skipped')
		{
			push @{ $self->{skipped} }, [ @field[ 1, 2 ] ];
			next;
		}
		die "bad line in $file: $line\n" if @field != 6;
		my ($workload, $clients, $contender, undef, $value, $others) = @field;
		die "bad value in $file: $line\n" if $value !~ /^[0-9.]+$/ || $others !~ /^\d+$/;
		push @{ $self->{values}{$workload}{$contender}{$clients} }, $value;
		push @{ $self->{others}{$workload}{$contender}{$clients} }, $others;
	}
	close $in;
	return $self;
}

# median WORKLOAD CONTENDER CLIENTS; undef where it was not measured
sub median
{
	my ($self, $workload, $contender, $clients) = @_;
	my $values = $self->{values}{$workload}{$contender}{$clients} or return;
	my @v = sort { $a <=> $b } @$values;
	my $middle = int(@v / 2);
	return @v % 2 ? $v[$middle] : ($v[ $middle - 1 ] + $v[$middle]) / 2;
}

# disturbed WORKLOAD CONTENDER CLIENTS tells whether half of the runs were; the
# median bears fewer.
sub disturbed
{
	my ($self, $workload, $contender, $clients) = @_;
	my $others = $self->{others}{$workload}{$contender}{$clients} or return 0;
	return 2 * (grep { $_ > $too_much } @$others) >= @$others;
}

# disturbances gives the number of disturbed runs, of all, and the worst share
sub disturbances
{
	my ($self) = @_;
	my @all = map { map { map { @$_ } values %$_ } values %$_ } values %{ $self->{others} };
	my ($worst) = sort { $b <=> $a } @all;
	return (scalar(grep { $_ > $too_much } @all), scalar @all, $worst);
}

# clients WORKLOAD gives the numbers of clients it was measured with
sub clients
{
	my ($self, $workload) = @_;
	my %seen = map { map { $_ => 1 } keys %$_ } values %{ $self->{values}{$workload} };
	return sort { $a <=> $b } grep { /^\d+$/ } keys %seen;
}

sub contenders
{
	my ($self, $workload) = @_;
	return sort keys %{ $self->{values}{$workload} };
}

1;
