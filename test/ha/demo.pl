# demo.pl - brings a cluster up, shows what a fail-over does to leases, and
# keeps it up until somebody wants it gone (file "stop"); see test/ha/run
use strict;
use warnings;

use FindBin;
use Time::HiRes qw(usleep);

use lib $FindBin::Bin;
use Cluster;

$| = 1;
my $cluster = Cluster->new;
my $work = $ENV{work};
$SIG{$_} = sub { exit 1 } foreach qw(INT TERM HUP);
END { $cluster->down if $cluster }

sub explain { print "\n-- @_\n"; return; }

# show SQL asks the primary through HAProxy, as soon as that leads somewhere.
sub show
{
	my ($sql) = @_;
	my $answer = $cluster->poll("an answer to: $sql", sub {
		my $text = $cluster->through_haproxy($sql);
		return defined $text && [$text];
	});

	print "=> $sql\n";
	print "   $_\n" foreach $answer->[0] eq '' ? '(NULL)' : split /\n/, $answer->[0];
	return $answer->[0];
}

sub show_nodes
{
	foreach my $name ($cluster->names)
	{
		my $state = $cluster->value($name,
			q{SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END}) // 'no answer';
		printf "   %s  %-10s  %s\n", $name, $cluster->address($name), $state;
	}
	return;
}

print "starting etcd, Patroni and PostgreSQL on three nodes, and HAProxy\n";
print "(this machine has no namespaces for us: nodes are addresses of the loopback network)\n"
  unless $cluster->has_namespaces;
$cluster->up;
Cluster::write_file("$work/conninfo", $cluster->conninfo('haproxy'));
Cluster::write_file("$work/mode", $ENV{HA_MODE});
explain('The nodes.  HAProxy leads its port 5000 to the primary.');
show_nodes();

explain('Alice takes a lease.  One of the standbys has confirmed it when she gets her token.');
my $token = show(q{SELECT dlock_acquire('invoice:42', ttl := '2 min', client := 'alice')});
my $primary = $cluster->primary;

explain("Now $primary, the primary, is lost: kill -9 of etcd, Patroni and PostgreSQL.");
$cluster->kill_process($primary, $_) foreach qw(patroni etcd);
$cluster->kill_server($primary);
my $new = $cluster->poll('another one is the primary', sub { $cluster->primary });
print "   $new is the primary now\n";

explain("Alice's lease is there, under her token, with its full duration again.");
show(q{SELECT holder, token, remaining FROM dlock_status('invoice:42')});
explain('Nobody else gets it ...');
show(q{SELECT dlock_try_acquire('invoice:42', client := 'bob')});
explain('... she renews it on the new primary ...');
show(q{SELECT * FROM dlock_renew('invoice:42', client := 'alice')});
explain('... and tokens go on rising.');
my $next = show(q{SELECT dlock_acquire('another', client := 'bob')});
die "tokens do not rise: $token, $next\n" unless $next > $token;

explain("$primary comes back, and is made a standby.");
$cluster->start_etcd($primary);
$cluster->start_patroni($primary);
$cluster->wait_stable;
show_nodes();
Cluster::write_file("$work/shown", '');
usleep(200_000) until -e "$work/stop";
