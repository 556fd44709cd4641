# observe.pl - looks at all leases and all waiters, again and again
#
#     perl observe.pl --conninfo '...' --history FILE [--interval MS] [--cluster]
#
# --cluster: what it sees counts only if the server is the primary still.
# What it sees goes into a history (DlockHistory).  Each connection is a
# session of its own there: ticket numbers mean something only as long as the
# server's memory lasts, and no session lasts longer.  SIGTERM ends it.
use strict;
use warnings;

use DBI;
use FindBin;
use Getopt::Long;
use Time::HiRes qw(usleep);

use lib "$FindBin::Bin/../perl";
use DlockHistory;
use DlockLook qw(look_list look_queue $confirm);

my %opt = (interval => 50);
GetOptions(\%opt, 'conninfo=s', 'history=s', 'interval=i',
	'cluster' => \$confirm)
  or die "usage: see the top of $0\n";
foreach my $name (qw(conninfo history))
{
	die "--$name is missing\n" unless defined $opt{$name};
}

my $history = DlockHistory->new($opt{history}, 'observer');
my $parent = getppid;
my $stop = 0;
my $session = 0;
$SIG{TERM} = sub { $stop = 1 };
# the server's farewell in a crash
$SIG{__WARN__} = sub { print STDERR $_[0] unless $_[0] =~ /^\w+:  terminating connection/ };

while (!$stop && getppid == $parent)
{
	my $dbh = DBI->connect("dbi:Pg:$opt{conninfo} application_name=observer",
		undef, undef,
		{ PrintError => 0, RaiseError => 0, AutoCommit => 1, pg_server_prepare => 0 });

	if (!$dbh)
	{
		usleep(20_000);
		next;
	}
	$session++;
	while (!$stop)
	{
		look_list($history, $dbh, $session) or last;
		look_queue($history, $dbh, $session) or last;
		usleep($opt{interval} * 1000);
	}
	$dbh->disconnect;
}
