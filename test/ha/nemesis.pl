# nemesis.pl - disturbs a three-node cluster while clients work, and judges
#
# Called by test/ha/run.  Arguments, all NAME=VALUE:
#
#     ROUNDS	 how often each disturbance comes, in an order by chance (1)
#     SEED	 of that chance
#     NEMESIS	 which ones, with blanks between them (all)
#     CLIENTS	 how many (12); half of them come through HAProxy, half by a
#			 connection string with all servers; half of each kind keep their
#			 leases for long
#     SETTINGS	 of the servers, in addition: "name=value name=value"
#
# Each client writes down what it asks and what it is told (DlockHistory), and
# DlockChecker judges.  In the end a table: for each disturbance, how many
# operations there were, what was violated, and how long nobody was granted
# anything; and each longer time without a grant, with what was done then.
# Exits with 1 if anything was violated or did not come to an end.  What it says
# is in nemesis.log as well; a file "keep" says that the logs are wanted.
use strict;
use warnings;

use FindBin;
use List::Util qw(max shuffle sum0);
use POSIX ();
use Time::HiRes qw(time usleep);

use lib $FindBin::Bin, "$FindBin::Bin/../perl";
use Cluster;
use DlockChecker;
use DlockHistory qw(now_us read_histories);

# Longer than any lease of the clients (10 s, and a tenth more after a restart).
my $longer_than_leases = 14;
# Between two disturbances, and for those that are no failure.
my $while = 5;
# A cluster at rest that grants nothing for so long, in seconds, is stuck.
my $service_limit = 30;
# A time without any grant, in seconds, that wants to be explained.
my $long_gap = 25;

my %opt = (ROUNDS => 1, SEED => 1 + int rand 1_000_000, NEMESIS => '', CLIENTS => 12, SETTINGS => '');
foreach my $argument (@ARGV)
{
	my ($name, $value) = $argument =~ /^(\w+)=(.*)$/ or die "not NAME=VALUE: $argument\n";

	die "unknown: $name\n" unless exists $opt{$name};
	$opt{$name} = $value if $value ne '';
}
$| = 1;
srand $opt{SEED};
open my $kept_output, '>>', "$ENV{work}/nemesis.log" or die "$ENV{work}/nemesis.log: $!\n";
say_kept("seed $opt{SEED}, $opt{CLIENTS} clients, rounds $opt{ROUNDS}\n");

my $began = time();
# what the histories' clock shows at a time of day
my $clock_offset = $began * 1_000_000 - now_us();
my $cluster = Cluster->new;
my $folder = $cluster->folder('clients');
my @windows;	# of disturbances: { what, from, to, timeline }
my @failures;
$SIG{$_} = sub { exit 1 } foreach qw(INT TERM HUP);
END { $cluster->down if $cluster }

sub say_kept
{
	my ($text) = @_;

	print $text;
	print $kept_output $text;
	$kept_output->flush;
	return;
}

sub note
{
	my ($text) = @_;
	return say_kept(sprintf "%4.0f s  %s\n", time() - $began, $text);
}

sub fail
{
	my ($text) = @_;

	push @failures, $text;
	note("FAILED: $text");
	return;
}

#
# Disturbances.  Each gets the primary and the two others, in an order by
# chance, and leaves the cluster such that it can come to rest by itself.
#
sub wait_seconds
{
	my ($seconds) = @_;

	usleep(1_000_000 * $seconds);
	return;
}

sub wait_for_another
{
	my ($old) = @_;
	my $new = $cluster->poll("another node than $old is the primary",
		sub { my $name = $cluster->primary; return defined $name && $name ne $old && $name; });

	note("  $new is the primary now");
	return $new;
}

sub kill_primary
{
	my ($primary) = @_;
	return $cluster->kill_server($primary);
}

# The server goes on without its Patroni, and is a primary still when another
# one is promoted.
sub kill_patroni
{
	my ($primary) = @_;

	$cluster->kill_process($primary, 'patroni');
	wait_for_another($primary);
	wait_seconds($longer_than_leases);
	$cluster->start_patroni($primary);
	return;
}

sub stop_patroni
{
	my ($primary) = @_;

	$cluster->signal('STOP', $primary, 'patroni');
	wait_for_another($primary);
	wait_seconds($longer_than_leases);
	$cluster->signal('CONT', $primary, 'patroni');
	return;
}

sub kill_node
{
	my ($primary) = @_;

	$cluster->kill_process($primary, $_) foreach qw(patroni etcd);
	$cluster->kill_server($primary);
	wait_for_another($primary);
	$cluster->start_etcd($primary);
	$cluster->start_patroni($primary);
	return;
}

sub kill_standby
{
	my (undef, $standby) = @_;
	return $cluster->kill_server($standby);
}

# All processes of the primary's server sleep through their leases.
sub stop_primary
{
	my ($primary) = @_;
	my @pids = $cluster->server_processes($primary);

	kill 'STOP', @pids;
	wait_seconds($longer_than_leases);
	# some may have been ended meanwhile
	kill 'CONT', @pids;
	return;
}

sub cut_primary
{
	my ($primary, @standbys) = @_;

	$cluster->cut($primary, @standbys);
	wait_for_another($primary);
	wait_seconds($longer_than_leases);
	$cluster->mend_network($primary);
	return;
}

# Clients still reach the old primary, and nobody tells it to step down.
sub cut_primary_unwatched
{
	my ($primary, @standbys) = @_;

	$cluster->signal('STOP', $primary, 'patroni');
	$cluster->cut($primary, @standbys);
	wait_for_another($primary);
	wait_seconds($longer_than_leases);
	$cluster->mend_network($primary);
	$cluster->signal('CONT', $primary, 'patroni');
	return;
}

sub cut_standby
{
	my ($primary, $standby, $other) = @_;

	$cluster->cut($standby, $primary, $other);
	wait_seconds($longer_than_leases);
	$cluster->mend_network($standby);
	return;
}

# The standby that has all commits is cut off from the other one, and then the
# primary dies; its etcd stays, so the other one could have itself promoted.
sub lone_standby
{
	my ($primary, $standby, $other) = @_;

	$cluster->cut($other, $primary, $standby);
	wait_seconds($while);
	$cluster->kill_process($primary, 'patroni');
	$cluster->kill_server($primary);
	$cluster->cut($standby, $primary, $other);
	$cluster->on($other, qw(iptables -w -F));
	$cluster->cut($other, $standby);
	wait_seconds(2 * $cluster->ttl + 15);
	my $promoted = $cluster->primary;
	fail("$promoted was promoted, and may lack acknowledged commits") if defined $promoted;
	$cluster->mend_network($_) foreach $standby, $other;
	$cluster->start_patroni($primary);
	return;
}

sub lossy_network
{
	my ($primary) = @_;

	$cluster->lossy($primary, 0.1);
	wait_seconds(3 * $while);
	fail('no packet was lost') unless $cluster->dropped($primary) > 0;
	$cluster->mend_network($primary);
	return;
}

sub slow_network
{
	my ($primary) = @_;

	$cluster->slow($primary, 1);
	$cluster->poll('the standbys lag behind', sub {
		($cluster->value($primary, q{SELECT min(flush_lag) > '50 ms' FROM pg_stat_replication}) // '') eq 't';
	});
	wait_seconds(3 * $while);
	$cluster->slow($primary, 0);
	return;
}

sub clock_jump
{
	my ($primary) = @_;

	my $by = (-3600, 3600)[ int rand 2 ];

	$cluster->move_clock($primary, $by);
	$cluster->poll("the clock of $primary has jumped", sub {
		my $now = $cluster->value($primary, 'SELECT extract(epoch FROM clock_timestamp())');
		return defined $now && abs($now - time() - $by) < 600;
	});
	wait_seconds(2 * $while);
	$cluster->move_clock($primary, 0);
	return;
}

# What each needs beyond processes to kill.
my %nemeses = (
	'kill-primary' => [ \&kill_primary ],
	'kill-patroni' => [ \&kill_patroni ],
	'stop-patroni' => [ \&stop_patroni ],
	'kill-node' => [ \&kill_node ],
	'kill-standby' => [ \&kill_standby ],
	'stop-primary' => [ \&stop_primary ],
	'cut-primary' => [ \&cut_primary, 'network' ],
	'cut-primary-unwatched' => [ \&cut_primary_unwatched, 'network' ],
	'cut-standby' => [ \&cut_standby, 'network' ],
	'lone-standby' => [ \&lone_standby, 'network' ],
	'lossy-network' => [ \&lossy_network, 'network' ],
	'slow-network' => [ \&slow_network ],
	'clock-jump' => [ \&clock_jump, 'clock' ]);

# chosen gives the names, each ROUNDS times; says what cannot be had here.
sub chosen
{
	my @names = $opt{NEMESIS} ne '' ? split(' ', $opt{NEMESIS}) : sort keys %nemeses;
	my %has = (network => $cluster->has_namespaces, clock => $cluster->can_move_clock);
	my @can;

	foreach my $name (@names)
	{
		my $nemesis = $nemeses{$name} // die "no such disturbance: $name\n";
		my $need = $nemesis->[1];

		if (defined $need && !$has{$need})
		{
			note("left out: $name, since this machine lets nobody "
				  . ($need eq 'clock' ? 'move a clock (no libfaketime)' : 'have networks of his own'));
			next;
		}
		push @can, $name;
	}
	return map { shuffle(@can) } 1 .. $opt{ROUNDS};
}

#
# Clients
#
my @clients;

sub start_client
{
	my ($number) = @_;
	my $name = "c$number";
	my $way = $number % 2 ? 'haproxy' : 'hosts';

	$cluster->start('clients', $name, 'nice', $^X, "$ENV{work}/tree/test/torture/client.pl",
		'--name', $name, '--history', "$folder/$name.history", '--seed', int rand 1e9,
		'--conninfo', $cluster->conninfo($way), '--resources', 12, '--max-wait', 3,
		'--cluster', $number % 4 < 2 ? '--keep' : ());
	push @clients, $name;
	return;
}

sub start_observer
{
	$cluster->start('clients', 'observer', $^X, "$ENV{work}/tree/test/torture/observe.pl",
		'--history', "$folder/observer.history", '--conninfo', $cluster->conninfo('haproxy'),
		'--interval', 300, '--cluster');
	push @clients, 'observer';
	return;
}

sub stop_clients
{
	foreach my $name (@clients)
	{
		$cluster->signal('TERM', 'clients', $name) if $cluster->is_running('clients', $name);
	}
	foreach my $name (@clients)
	{
		$cluster->poll("$name has finished", sub { !$cluster->is_running('clients', $name) });
		my $status = $cluster->status('clients', $name);
		fail("$name ended with status $status") if $status;
	}
	return;
}

#
# The run
#
my $history;

# probe asks for a lease of its own, as another client each time, and gives
# whether it got one.  Lists come from memory; only a grant shows that the
# primary's writer and a standby are at work.
my $probes;
my $probe_number = 0;

sub probe
{
	my $name = 'probe' . ++$probe_number;
	my $n = $probes->invoke('acquire', session => $probe_number, client => $name,
		resource => $name, mode => 'exclusive', scope => 'lease', priority => 0,
		ttl => 1_000_000, timeout => 5_000_000);
	my $token = $cluster->through_haproxy(
		"SELECT dlock_acquire('$name', timeout := '5 s', ttl := '1 s', client := '$name')");

	# without an answer, nobody knows
	return $probes->result($n, 'lost') unless defined $token;
	$probes->result($n, 'ok', token => $token);
	return 1;
}

sub disturb
{
	my ($what) = @_;
	my $primary = $cluster->wait_stable;

	$cluster->poll('a lease is granted at rest', \&probe, $service_limit);
	my %window = (what => $what, from => now_us(), before => $cluster->timeline($primary));
	my $n = $history->invoke('crash', how => $what);

	note("$what ($primary is the primary)");
	$nemeses{$what}[0]->($primary, shuffle($cluster->others($primary)));
	$primary = $cluster->wait_stable;
	$cluster->poll('a lease is granted', \&probe, $service_limit);
	$history->result($n, 'ok');
	$window{to} = now_us();
	$window{after} = $cluster->timeline($primary);
	note("  at rest; $primary is the primary, timeline $window{after}");
	push @windows, \%window;
	return;
}

sub run_all
{
	my @plan;

	$cluster->set(split /=/, $_, 2) foreach split ' ', $opt{SETTINGS};
	$cluster->up;
	$history = DlockHistory->new("$folder/nemesis.history", 'nemesis');
	$probes = DlockHistory->new("$folder/probe.history", 'probe');
	@plan = chosen();
	note('the cluster is up');
	start_observer();
	start_client($_) foreach 1 .. $opt{CLIENTS};
	wait_seconds($while);
	foreach my $what (@plan)
	{
		disturb($what);
		wait_seconds($while);
	}
	note('clients told to stop');
	$cluster->wait_stable;
	stop_clients();
	$cluster->poll('all leases have ended and nobody waits', sub {
		($cluster->through_haproxy(
			'SELECT (SELECT count(*) FROM dlock_list()) + (SELECT count(*) FROM dlock_queue())') // '') eq '0';
	});
	return;
}

#
# The judgement
#
# Where a busy machine made the nodes choose again at rest, the checker has to
# know.
sub add_silent_failovers
{
	my ($ops) = @_;

	foreach my $i (1 .. $#windows)
	{
		my ($last, $next) = @windows[ $i - 1, $i ];

		next if $last->{after} == $next->{before};
		note("there was a fail-over nobody asked for between $last->{what} and $next->{what}");
		push @$ops,
		  { kind => 'crash', arg => {}, res => {}, rows => [], actor => 'nemesis', outcome => 'ok',
			n => 0, where => '', ti => $last->{to}, tr => $next->{from} };
	}
	return sort { $a->{ti} <=> $b->{ti} } @$ops;
}

# window_of(TIME) gives the disturbance that was last, or the first one.
sub window_of
{
	my ($time) = @_;
	my ($last) = grep { $_->{from} <= $time } reverse @windows;

	return $last // $windows[0];
}

sub time_of_violation
{
	my ($violation) = @_;
	return max(0, map { /^\S+: (\d+) / ? $1 : () } @{ $violation->{lines} });
}

# without_service(WINDOW, TIMES) gives the longest time in it, in seconds,
# between two grants.
sub without_service
{
	my ($window, @times) = @_;
	my $longest = 0;

	foreach my $i (1 .. $#times)
	{
		next if $times[$i] < $window->{from} || $times[ $i - 1 ] > $window->{to};
		$longest = max($longest, $times[$i] - $times[ $i - 1 ]);
	}
	return $longest / 1_000_000;
}

# time_of_day(TIME) writes a time of the histories as logs do, in UTC.
sub time_of_day
{
	my ($time) = @_;
	my $seconds = ($time + $clock_offset) / 1_000_000;

	return POSIX::strftime('%H:%M:%S', gmtime $seconds) . sprintf '.%03d', 1000 * ($seconds - int $seconds);
}

# report_gaps(TIME...) tells of each long time between two grants.
sub report_gaps
{
	my (@times) = @_;
	my $logs = "$FindBin::Bin/../../.test/ha" =~ s{[^/]+/[^/]+/\.\./\.\./}{}r;

	foreach my $i (1 .. $#times)
	{
		my ($from, $to) = @times[ $i - 1, $i ];
		my @during = map { $_->{what} } grep { $_->{from} <= $to && $_->{to} >= $from } @windows;

		next if $to - $from < 1_000_000 * $long_gap;
		say_kept(sprintf "NO GRANT for %.1f s: %s to %s UTC, %.0f s to %.0f s, %s; histories and logs are in %s\n",
			($to - $from) / 1_000_000, time_of_day($from), time_of_day($to),
			($from + $clock_offset) / 1_000_000 - $began, ($to + $clock_offset) / 1_000_000 - $began,
			@during ? "during @during" : 'at rest', $logs);
		open my $keep, '>', "$ENV{work}/keep" or die "$ENV{work}/keep: $!\n";
	}
	return;
}

sub median
{
	my (@sorted) = sort { $a <=> $b } @_;
	return $sorted[ $#sorted / 2 ];
}

sub print_table
{
	my ($ops, $violations) = @_;
	my @grants = sort { $a <=> $b }
	  map { $_->{tr} } grep { $_->{kind} eq 'acquire' && $_->{outcome} eq 'ok' } @$ops;
	my %row;

	foreach my $window (@windows)
	{
		my $row = $row{ $window->{what} } //= { rounds => 0, ops => 0, violations => 0 };

		$row->{rounds}++;
		$row->{ops} += grep { $_->{actor} =~ /^c/ && defined $_->{tr}
			  && $_->{tr} >= $window->{from} && $_->{tr} <= $window->{to} } @$ops;
		push @{ $row->{gaps} }, without_service($window, @grants);
		$row->{failovers} += $window->{after} - $window->{before};
	}
	$row{ window_of(time_of_violation($_))->{what} }{violations}++ foreach @$violations;
	say_kept(sprintf "\n%-22s %6s %10s %10s %10s   %s\n", qw(nemesis rounds operations violations fail-overs),
		'seconds without service: median, max');
	foreach my $what (sort keys %row)
	{
		my $row = $row{$what};

		say_kept(sprintf "%-22s %6d %10d %10d %10d   %.1f %.1f\n", $what,
			@$row{qw(rounds ops violations failovers)}, median(@{ $row->{gaps} }), max(@{ $row->{gaps} }));
	}
	report_gaps(@grants);
	return;
}

sub judge
{
	my $ops = read_histories(glob "$folder/*.history");
	my $checker = DlockChecker->new([ add_silent_failovers($ops) ]);
	my @violations;

	$checker->run;
	@violations = @{ $checker->{violations} };
	foreach my $what (sort keys %{ $checker->{counts} })
	{
		say_kept("$what: $checker->{counts}{$what}\n");
	}
	foreach my $violation (@violations[ 0 .. ($#violations > 9 ? 9 : $#violations) ])
	{
		say_kept("VIOLATION $violation->{rule}: $violation->{text}\n");
		say_kept("    $_\n") foreach @{ $violation->{lines} };
	}
	my %of_rule;
	$of_rule{ $_->{rule} }++ foreach @violations;
	say_kept("violations of $_: $of_rule{$_}\n") foreach sort keys %of_rule;
	print_table($ops, \@violations) if @windows;
	fail(@violations . ' violations') if @violations;
	fail('nobody was granted anything') unless ($checker->{counts}{grants} // 0) > 0;
	return;
}

# What a server must never say; the rest of its complaints is what it is here
# for.
sub check_logs
{
	foreach my $name ($cluster->names)
	{
		my @lines = grep { /PANIC:  |TRAP:|was terminated by signal (?!9:)/ }
		  split /\n/, Cluster::slurp($cluster->folder($name) . '/patroni.log');

		fail("the log of $name: $_") foreach @lines;
	}
	return;
}

my $done = eval { run_all(); 1 };
fail($@ =~ s/\n\z//r) unless $done;
eval { judge(); 1 } or fail("no judgement: $@");
check_logs();
say_kept(@failures ? "ha: FAILED (seed $opt{SEED})\n" : "ha: ok\n");
exit(@failures ? 1 : 0);
