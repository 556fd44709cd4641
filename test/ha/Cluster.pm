# Cluster - three nodes under Patroni, etcd and HAProxy on one machine
#
# A node is a member of etcd, a Patroni and its PostgreSQL.  Their
# configuration is that of docs/ha, with other addresses, folders and times.
# Runs in the namespaces that test/ha/run made: each node has its own network
# namespace and address there, as have HAProxy and the clients together.
package Cluster;

use strict;
use warnings;

use DBI;
use File::Basename qw(dirname);
use List::Util qw(sum0);
use POSIX ();
use Time::HiRes qw(time usleep);

my $top = dirname(__FILE__) . '/../..';
my $net = '10.77.0';
my @names = qw(node1 node2 node3);
my $superuser_password = 'change-me-1';	# as in docs/ha/patroni.yml
my $relay_port = 5442;
my $relay_delay_ms = 60;

# What is otherwise than in docs/ha: times, so that a test need not wait as
# long, and how the server's user is known.
my %times = (ttl => 10, loop_wait => 2, retry_timeout => 3);

# new reads where it is from the environment that test/ha/run made.
sub new
{
	my ($class) = @_;
	my $self = bless {
		dir => $ENV{work},
		bin => $ENV{bin},
		namespaces => $ENV{HA_MODE} eq 'namespaces',
		drop => [ split ' ', $ENV{HA_DROP} ],
		limit => $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180,
		pids => {} }, $class;
	# another network than any other run's on the loopback
	$net = '127.' . (64 + $$ % 128) . '.' . (($$ >> 7) % 250) unless $self->{namespaces};
	return $self;
}

sub names { return @names; }

sub others
{
	my ($self, $name) = @_;
	return grep { $_ ne $name } @names;
}

# set(NAME, VALUE) adds a setting to what the servers begin with.
sub set
{
	my ($self, $name, $value) = @_;

	$self->{settings}{$name} = "'$value'";
	return;
}

sub ttl { return $times{ttl}; }

sub has_namespaces { return $_[0]->{namespaces}; }

sub address
{
	my ($self, $name) = @_;
	return $name eq 'clients' ? "$net.10" : $net . '.1' . ($name =~ s/\D//gr);
}

sub folder
{
	my ($self, $name) = @_;
	return "$self->{dir}/$name";
}

# poll(WHAT, SUB, LIMIT) waits until SUB gives true, and gives that.
sub poll
{
	my ($self, $what, $sub, $limit) = @_;
	my $until = time() + ($limit // $self->{limit});

	while (1)
	{
		my $result = $sub->();
		return $result if $result;
		die "timed out waiting until $what\n" if time() > $until;
		usleep(100_000);
	}
}

#
# Processes
#
sub run_command
{
	my (@command) = @_;

	system(@command) == 0 or die "@command failed: $?\n";
	return;
}

# _in(NAME) begins a command that is to run on a node.
sub _in
{
	my ($self, $name) = @_;
	return $self->{namespaces} ? ('ip', 'netns', 'exec', $name) : ();
}

# on(NAME, COMMAND...) runs a command on a node, as who owns the namespaces.
sub on
{
	my ($self, $name, @command) = @_;
	return run_command($self->_in($name), @command);
}

# start(NAME, WHAT, COMMAND...) starts a process on a node as an ordinary
# user, in the node's folder; what it prints goes to WHAT.log there.
sub start
{
	my ($self, $name, $what, @command) = @_;
	my $folder = $self->folder($name);
	my $pid = fork // die "fork: $!\n";

	if (!$pid)
	{
		# all that PostgreSQL and Patroni start is then found by its group
		POSIX::setpgid(0, 0);
		$SIG{$_} = 'DEFAULT' foreach qw(INT TERM HUP);
		open STDIN, '<', '/dev/null' or die "/dev/null: $!\n";
		open STDOUT, '>>', "$folder/$what.log" or die "$folder/$what.log: $!\n";
		open STDERR, '>&', \*STDOUT or die "stdout: $!\n";
		chdir $folder or die "$folder: $!\n";
		my @env = ("PATH=$self->{bin}:$ENV{PATH}", "HOME=$folder",
			"HA_CLOCK=$folder/clock", 'LANG=C.UTF-8', 'PYTHONUNBUFFERED=1');
		my @all = ($self->_in($name), @{ $self->{drop} }, 'env', @env, @command);
		exec { $all[0] } @all or POSIX::_exit(1);
	}
	$self->{pids}{"$name $what"} = $pid;
	return $pid;
}

sub reap
{
	my ($self) = @_;

	while ((my $dead = waitpid -1, POSIX::WNOHANG()) > 0)
	{
		$self->{gone}{$dead} = $?;
	}
	return;
}

sub is_running
{
	my ($self, $name, $what) = @_;
	my $pid = $self->{pids}{"$name $what"};

	$self->reap;
	return defined $pid && !defined $self->{gone}{$pid};
}

# status(NAME, WHAT) is how a process has ended.
sub status
{
	my ($self, $name, $what) = @_;
	return $self->{gone}{ $self->{pids}{"$name $what"} };
}

sub signal
{
	my ($self, $signal, $name, $what) = @_;

	die "no $what on $name\n" unless $self->is_running($name, $what);
	kill $signal, $self->{pids}{"$name $what"} or die "kill: $!\n";
	return;
}

# kill_process(NAME, WHAT) kills a process and waits until it is gone.
sub kill_process
{
	my ($self, $name, $what) = @_;

	$self->signal('KILL', $name, $what);
	$self->poll("$what of $name is gone", sub { !$self->is_running($name, $what) });
	return;
}

sub slurp
{
	my ($file) = @_;
	my $text;

	open my $handle, '<', $file or return '';
	local $/ = undef;
	$text = <$handle>;
	close $handle;
	return $text // '';
}

sub write_file
{
	my ($file, $text, $mode) = @_;

	open my $handle, '>', $file or die "$file: $!\n";
	print $handle $text;
	close $handle or die "$file: $!\n";
	chmod $mode, $file or die "$file: $!\n" if defined $mode;
	return;
}

sub postmaster
{
	my ($self, $name) = @_;
	my ($pid) = slurp($self->folder($name) . '/data/postmaster.pid') =~ /^(\d+)/;
	my $title = defined $pid ? slurp("/proc/$pid/cmdline") : '';

	return $title =~ /postgres/ ? $pid : undef;
}

# server_processes(NAME): the postmaster, then its children.
sub server_processes
{
	my ($self, $name) = @_;
	my $postmaster = $self->postmaster($name) // return;
	my @pids = ($postmaster);

	foreach my $file (glob '/proc/[0-9]*/stat')
	{
		push @pids, $file =~ /(\d+)/ if slurp($file) =~ /\) \S $postmaster /;
	}
	return @pids;
}

# kill_server(NAME) kills the postmaster; its children notice.
sub kill_server
{
	my ($self, $name) = @_;
	my $pid = $self->postmaster($name) // die "no server on $name\n";

	kill 'KILL', $pid or die "kill: $!\n";
	$self->poll("the server of $name is gone",
		sub { ($self->postmaster($name) // 0) != $pid });
	return;
}

# down ends all processes, where no namespace of theirs does it.
sub down
{
	my ($self) = @_;
	my @pids;

	return if $self->{namespaces};
	foreach my $key (keys %{ $self->{pids} })
	{
		my ($name, $what) = split ' ', $key;

		kill 'KILL', $self->{pids}{$key} if $self->is_running($name, $what);
	}
	push @pids, $self->server_processes($_) foreach @names;
	kill 'KILL', @pids;
	return;
}

#
# Configuration
#
# _configure(NAME, FILE, TO, SUB...) writes a file of docs/ha for a node.  A line
# that names all nodes does so here; else node1 stands for the node itself.  Each
# SUB changes a line.
sub _configure
{
	my ($self, $name, $file, $to, @replace) = @_;
	my $folder = $self->folder($name);
	my $text = '';

	foreach my $line (split /^/, slurp("$top/docs/ha/$file"))
	{
		if ($line =~ /192\.0\.2\.11.*192\.0\.2\.13/ || $name eq 'clients')
		{
			$line =~ s/192\.0\.2\.1(\d)/$self->address($1 ? "node$1" : 'clients')/ge;
		}
		elsif ($line !~ /node3/)
		{
			$line =~ s/192\.0\.2\.11/$self->address($name)/ge;
			$line =~ s/\bnode1\b/$name/g;
		}
		$line =~ s{192\.0\.2\.0/24}{$net.0/24};
		$_->($line) foreach @replace;
		$text .= $line;
	}
	write_file("$folder/$to", $text);
	return;
}

sub _replication_goes_by_relay
{
	$_[0] =~ s/:5432\b/:$relay_port/g if $_[0] =~ /^\s+connect_address:.*:5432|node1=.*node3=/;
	return;
}

sub _configure_node
{
	my ($self, $name) = @_;
	my $folder = $self->folder($name);

	# in memory where there is a place: this is not about disks, and one that
	# others use as well would make etcd slow
	my $etcd = $self->{namespaces} ? "/run/$name.etcd" : "$folder/etcd";

	mkdir $etcd, 0700 or die "$etcd: $!\n";
	$self->own($etcd);
	$self->_configure($name, 'etcd.conf', 'etcd.conf',
		sub { $_[0] =~ s{/var/lib/etcd/dlock}{$etcd} });
	$self->_configure($name, 'patroni.yml', 'patroni.yml',
		\&_replication_goes_by_relay,
		sub {
			$_[0] =~ s{/var/lib/postgresql/\d+/dlock}{$folder/data};
			$_[0] =~ s{/var/lib/postgresql/}{$folder/};
			$_[0] =~ s{/usr/lib/postgresql/\d+/bin}{$self->{bin}};
			$_[0] =~ s{/var/run/postgresql}{$folder};
			$_[0] =~ s{/etc/patroni/}{$folder/}g;
			$_[0] =~ s/local all all peer/local all all scram-sha-256/;
			# connections to a loopback address come from 127.0.0.1
			$_[0] =~ s{\Q$net\E\.0/24}{127.0.0.0/8} unless $self->{namespaces};
			$_[0] =~ s/^(\s+)(\w+): \d+$/$1$2: $times{$2}/ if $_[0] =~ /^\s+(\w+): / && defined $times{$1};
			$_[0] =~ s/^(\s+)wal_level:.*\n/$self->_server_settings($1) . $&/e;
		});
	run_command('cp', "$top/docs/ha/promote_quorum", "$folder/promote_quorum");
	chmod 0755, "$folder/promote_quorum" or die "$folder/promote_quorum: $!\n";
	write_file("$folder/pgpass", "*:*:*:postgres:$superuser_password\n", 0600);
	write_file("$folder/clock", "+0\n", 0644);
	return;
}

# Settings of the test alone.
sub _server_settings
{
	my ($self, $indent) = @_;
	my %settings = (
		log_line_prefix => q{'%m [%p] %b %q%a '},
		# many clusters' worth of crashes: short recoveries
		checkpoint_timeout => '30s',
		%{ $self->{settings} // {} });

	return join '', map { "$indent$_: $settings{$_}\n" } sort keys %settings;
}

# _fake_clock has servers run with a wall clock that can be moved.
sub _fake_clock
{
	my ($self) = @_;
	my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
	my $postgres = "$self->{bin}/postgres";

	$self->{library} = $library // return;
	rename $postgres, "$postgres.bin" or die "$postgres: $!\n";
	write_file($postgres, <<~"EOS", 0755);
		#!/bin/sh
		case \$1 in
			-D*)
				export LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE="\$HA_CLOCK"
				export FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_CACHE_DURATION=1
				;;
		esac
		exec "$postgres.bin" "\$@"
		EOS
	return;
}

sub can_move_clock { return defined $_[0]->{library}; }

sub move_clock
{
	my ($self, $name, $seconds) = @_;

	write_file($self->folder($name) . '/clock', sprintf("%+d\n", $seconds));
	return;
}

#
# Up
#
sub _make_network
{
	my ($self) = @_;

	return unless $self->{namespaces};
	run_command(qw(ip link add name dlock0 type bridge));
	run_command(qw(ip link set dlock0 up));
	foreach my $name (@names, 'clients')
	{
		run_command(qw(ip netns add), $name);
		run_command(qw(ip link add name), "v-$name", qw(type veth peer name eth0 netns), $name);
		run_command(qw(ip link set), "v-$name", qw(master dlock0 up));
		$self->on($name, qw(ip link set lo up));
		$self->on($name, qw(ip address add), $self->address($name) . '/24', qw(dev eth0));
		$self->on($name, qw(ip link set eth0 up));
	}
	return;
}

# own(FILE...) gives files to who runs the servers.
sub own
{
	my ($self, @files) = @_;

	my ($user) = "@{ $self->{drop} }" =~ /--reuid (\S+)/ or return;
	run_command('chown', '-R', "$user:", @files);
	return;
}

sub start_etcd
{
	my ($self, $name) = @_;
	my @settings = grep { /^\w+=/ } split /\n/, slurp($self->folder($name) . '/etcd.conf');

	$self->start($name, 'etcd', 'env', @settings, 'etcd');
	return;
}

sub start_patroni
{
	my ($self, $name) = @_;

	$self->start($name, 'patroni', '/usr/bin/patroni', 'patroni.yml');
	return;
}

# up starts everything, with a database that has dlock.
sub up
{
	my ($self) = @_;

	$self->_make_network;
	$self->_fake_clock;
	foreach my $name (@names, 'clients')
	{
		mkdir $self->folder($name), 0700;
		$self->_configure_node($name) unless $name eq 'clients';
	}
	$self->_configure('clients', 'haproxy.cfg', 'haproxy.cfg');
	$self->own(map { $self->folder($_) } @names, 'clients');
	$self->start_etcd($_) foreach @names;
	foreach my $name (@names)
	{
		$self->start_patroni($name);
		$self->start($name, 'relay', 'perl', "$self->{dir}/tree/test/ha/relay.pl",
			$self->address($name), $relay_port, $self->address($name), 5432, $relay_delay_ms);
		# the first one makes the cluster
		$self->poll('there is a primary', sub { defined $self->primary }) if $name eq $names[0];
	}
	$self->start('clients', 'haproxy', 'haproxy', '-db', '-f', 'haproxy.cfg');
	$self->wait_stable;
	$self->value($self->primary, 'CREATE EXTENSION dlock');
	return;
}

#
# Asking the nodes
#
# Connections are made in another process each, on the clients' side.
sub value
{
	my ($self, $name, $sql) = @_;
	return $self->_psql($self->address($name), 5432, $sql);
}

# through_haproxy(SQL) asks the primary.
sub through_haproxy
{
	my ($self, $sql) = @_;
	return $self->_psql($self->address('clients'), 5000, $sql);
}

sub _psql
{
	my ($self, $host, $port, $sql) = @_;
	my @command = ($self->_in('clients'), @{ $self->{drop} }, 'env', "PGPASSWORD=$superuser_password",
		'timeout', '10', "$self->{bin}/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1',
		'-d', "host=$host port=$port user=postgres dbname=postgres connect_timeout=3", '-c', $sql);

	open my $pipe, '-|', "@{[ map { quoted($_) } @command ]} 2>>" . quoted("$self->{dir}/psql.log")
	  or die "psql: $!\n";
	local $/ = undef;
	my $text = <$pipe> // '';
	return close($pipe) ? $text =~ s/\n\z//r : undef;
}

sub quoted
{
	my ($word) = @_;
	return "'" . ($word =~ s/'/'\\''/gr) . "'";
}

# patroni_says(NAME, WHAT): does a node's Patroni answer that with yes?
sub patroni_says
{
	my ($self, $name, $what) = @_;
	my $url = 'http://' . $self->address($name) . ":8008/$what";
	my $code = "import sys, urllib.request as r\nprint(r.urlopen(sys.argv[1], timeout=3).status)";

	return system(join(' ', map { quoted($_) } $self->_in('clients'), 'timeout', '5',
			'/usr/bin/python3', '-c', $code, $url) . ' >/dev/null 2>&1') == 0;
}

# primary gives the one node whose Patroni says it is the primary, and whose
# server takes changes.
sub primary
{
	my ($self) = @_;

	foreach my $name (@names)
	{
		return $name if $self->patroni_says($name, 'primary')
		  && ($self->value($name, 'SELECT pg_is_in_recovery()') // '') eq 'f';
	}
	return;
}

# is_stable: a primary, and both others stream from it and answer.
sub is_stable
{
	my ($self) = @_;
	my $primary = $self->primary // return 0;

	foreach my $name ($self->others($primary))
	{
		return 0 if ($self->value($name, 'SELECT pg_is_in_recovery()') // '') ne 't';
	}
	my $streaming = $self->value($primary,
		q{SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'}) // 0;

	return $streaming == $#names;
}

sub wait_stable
{
	my ($self) = @_;

	$self->poll('both standbys follow a primary', sub { $self->is_stable });
	return $self->primary;
}

sub timeline
{
	my ($self, $name) = @_;
	return hex substr $self->value($name, 'SELECT pg_walfile_name(pg_current_wal_lsn())') // '0', 0, 8;
}

#
# Networks
#
sub _filter
{
	my ($self, $name, @rule) = @_;
	return $self->on($name, 'iptables', '-w', @rule);
}

# cut(NAME, OTHER...) drops what goes between a node and others.
sub cut
{
	my ($self, $name, @others) = @_;

	foreach my $other (@others)
	{
		my $address = $self->address($other);

		$self->_filter($name, '-A', 'INPUT', '-s', $address, '-j', 'DROP');
		$self->_filter($name, '-A', 'OUTPUT', '-d', $address, '-j', 'DROP');
	}
	return;
}

# lossy(NAME, PART) drops a part of what comes from the other nodes and goes to them.
sub lossy
{
	my ($self, $name, $part) = @_;

	foreach my $other ($self->others($name))
	{
		my $address = $self->address($other);
		my @some = (qw(-m statistic --mode random --probability), $part, '-j', 'DROP');

		$self->_filter($name, '-A', 'INPUT', '-s', $address, @some);
		$self->_filter($name, '-A', 'OUTPUT', '-d', $address, @some);
	}
	return;
}

# dropped(NAME) is how many packets were lost at a node.
sub dropped
{
	my ($self, $name) = @_;
	my $command = join ' ', map { quoted($_) } $self->_in($name), qw(iptables -w -nvxL);

	return sum0(map { /^\s*(\d+)\s+\d+\s+DROP/ ? $1 : () } split /\n/, `$command`);
}

sub mend_network
{
	my ($self, $name) = @_;
	return $self->_filter($name, '-F');
}

sub slow
{
	my ($self, $name, $on) = @_;
	return $self->signal($on ? 'USR1' : 'USR2', $name, 'relay');
}

#
# For clients
#
sub conninfo
{
	my ($self, $way) = @_;
	my $who = "dbname=postgres user=postgres password=$superuser_password connect_timeout=3 "
	  . 'keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=10000';

	return 'host=' . $self->address('clients') . " port=5000 $who" if $way eq 'haproxy';
	return 'host=' . join(',', map { $self->address($_) } @names)
	  . " port=5432 target_session_attrs=read-write $who";
}

1;
