# check.pl - checks the histories of clients of dlock
#
#     perl check.pl [--quiet] FILE...
#
# The files are all histories of one run (see test/perl/DlockHistory.pm).
# Prints what there was, and each violation (see test/perl/DlockChecker.pm for
# the rules) with the lines that prove it.  Exits with 0 if there was none, 1
# if there was, 2 if a file is no history.
use strict;
use warnings;

use FindBin;
use Getopt::Long;
use List::Util qw(min);

use lib "$FindBin::Bin/../perl";
use DlockChecker;
use DlockHistory qw(read_histories);

my $shown_per_rule = 10;
my $quiet = 0;
GetOptions('quiet' => \$quiet) && @ARGV
  or usage();

sub usage
{
	print STDERR "usage: check.pl [--quiet] FILE...\n";
	exit 2;
}

sub show_counts
{
	my ($counts) = @_;
	my %outcomes;

	foreach my $what (sort keys %$counts)
	{
		my ($kind, $outcome) = $what =~ /^(\w+) (ok|no|fail|lost|none)$/ or next;

		push @{ $outcomes{$kind} }, "$outcome $counts->{$what}";
		delete $counts->{$what};
	}
	printf "%s: %s\n", $_, join ', ', @{ $outcomes{$_} } foreach sort keys %outcomes;
	print "$_: $counts->{$_}\n" foreach sort keys %$counts;
	return;
}

# show_violations prints some of each rule; gives how many there are.
sub show_violations
{
	my (@violations) = @_;
	my %of_rule;

	push @{ $of_rule{ $_->{rule} } }, $_ foreach @violations;
	foreach my $rule (sort keys %of_rule)
	{
		my @of_rule = @{ $of_rule{$rule} };

		foreach my $violation (@of_rule[ 0 .. min($shown_per_rule, scalar @of_rule) - 1 ])
		{
			print "VIOLATION $rule: $violation->{text}\n";
			print "    $_\n" foreach @{ $violation->{lines} };
		}
		print "violations of $rule: " . @of_rule . "\n";
	}
	return scalar @violations;
}

my $ops = eval { read_histories(@ARGV) };
if (!$ops)
{
	print STDERR "bad history: $@";
	exit 2;
}
my $checker = DlockChecker->new($ops);
$checker->run;
show_counts($checker->{counts}) unless $quiet;
my $violations = show_violations(@{ $checker->{violations} });
print "violations: $violations\n";
exit($violations > 0 ? 1 : 0);
