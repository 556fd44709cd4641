# DlockCalls - one connection of a client, which notes what it asks and hears
#
#     my $calls = DlockCalls->new($history, name => 'c1', conninfo => '...');
#     $calls->connect(1, 'SET lock_timeout = 400') or next;
#     my ($outcome, $token) = $calls->ask(
#         call_of('dlock_acquire', resource => quoted('r')),
#         'token', 'acquire', client => 'c1.1', resource => 'r', ...);
#
# Each question stands in the history (DlockHistory) right before, each answer
# right after the call.  A connection that is lost is noted as such, and the next
# one is another session.
#
# cluster => 1 is for servers that replace one another.  What is answered from
# memory alone, by a server that was replaced and does not know yet, may be out
# of date and no promise is broken by that.  So such an answer counts only if
# the server is the primary still.
package DlockCalls;

use strict;
use warnings;

use DBI;
use Exporter 'import';
use Time::HiRes qw(usleep);

use DlockLook qw(is_still_primary);

our @EXPORT_OK = qw(call_of quoted microseconds pick chance);

#
# Chance
#
sub pick { return $_[ int rand @_ ]; }

sub chance { return rand() < $_[0]; }

#
# SQL
#
sub quoted
{
	my ($value) = @_;

	return $value if $value =~ /^\d+$/;
	return "'" . ($value =~ s/'/''/gr) . "'";
}

sub microseconds { return "'$_[0] microseconds'"; }

# call_of(FUNCTION, ARGUMENT => VALUE...) writes a call; undef: not given.
sub call_of
{
	my ($function, @pairs) = @_;
	my @arguments;

	while (my ($key, $value) = splice @pairs, 0, 2)
	{
		push @arguments, "$key => $value" if defined $value;
	}
	return "SELECT $function(" . join(', ', @arguments) . ')';
}

#
# The connection
#

# new(HISTORY, name => NAME, conninfo => TEXT [, cluster => 1]) makes no
# connection yet.
sub new
{
	my ($class, $history, %with) = @_;
	my $self = bless {
		history => $history,
		cluster => 0,
		%with,
		session => 0,	# number of the connection
		farewell => 0 }, $class;

	# The server's farewell in a crash is a notice.  A client that receives it
	# knows that its session lived until then.
	$SIG{__WARN__} = sub {
		my ($text) = @_;

		return $self->{farewell} = 1
		  if $text =~ /because of crash of another server process|due to immediate shutdown/;
		print STDERR $text unless $text =~ /^\w+:  terminating connection/;
		return;
	};
	return $self;
}

# connect(DURABLE, SETTING...) tells whether there is a connection now; waits
# for a moment where there is none.
sub connect
{
	my ($self, $durable, @settings) = @_;
	my $n = $self->{history}->invoke('connect', session => $self->{session} + 1, durable => $durable);
	my $dbh = DBI->connect("dbi:Pg:$self->{conninfo} application_name=$self->{name}",
		undef, undef,
		{ PrintError => 0, RaiseError => 0, AutoCommit => 1, pg_server_prepare => 0 });

	unshift @settings, 'SET bytea_output = hex';
	push @settings, 'SET dlock.durable = off' unless $durable;
	if (!$dbh || !$dbh->do(join '; ', @settings))
	{
		$self->{history}->result($n, 'fail', state => ($dbh ? $dbh->state : $DBI::state) || '08001');
		usleep(50_000 + rand 100_000);
		return 0;
	}
	$self->{session}++;
	$self->{dbh} = $dbh;
	$self->{history}->result($n, 'ok', pid => $dbh->{pg_pid});
	return 1;
}

# leave() ends the connection.
sub leave
{
	my ($self) = @_;
	my $n = $self->{history}->invoke('disconnect', session => $self->{session});

	$self->{dbh}->disconnect;
	$self->{history}->result($n, 'ok');
	undef $self->{dbh};
	return;
}

sub is_connected { return defined $_[0]->{dbh}; }

sub session { return $_[0]->{session}; }

# state() gives the SQLSTATE of the last answer that was an error.
sub state { return $_[0]->{state} // ''; }

# _is_current(ANSWER): does the answer to such a request, or such an SQLSTATE,
# count?
sub _is_current
{
	my ($self, $answer) = @_;

	return 1 unless $self->{cluster};
	return 1 if $answer !~ /^(?:release|release_all|renew_all|downgrade|LK001)$/;
	return is_still_primary($self->{dbh});
}

# _note_failure(N) notes an error, or the end of the connection.
sub _note_failure
{
	my ($self, $n) = @_;
	my $dbh = $self->{dbh};
	my $state = $dbh->state;

	$self->{state} = $state;
	if (($dbh->errstr // '') =~ /^ERROR:/ && $self->_is_current($state))
	{
		$self->{history}->result($n, 'fail', state => $state);
		return 'fail' unless $self->{cluster} && $state eq '25006';
		# the primary is somewhere else now
	}
	else
	{
		$self->{history}->result($n, 'lost', state => $state, farewell => $self->{farewell} || undef);
	}
	$dbh->disconnect;
	undef $self->{dbh};
	return 'lost';
}

# ask(SQL, KEY, KIND, KEY => VALUE...) asks, and notes both; gives the outcome
# and the value.  KEY is what the history calls the value of a good answer;
# "held": it only says whether the lease is there; empty: there is none.  After
# "lost" there is no connection.
sub ask
{
	my ($self, $sql, $key, $kind, @pairs) = @_;
	my ($n, $row, $value, $outcome);

	$self->{farewell} = 0;
	$n = $self->{history}->invoke($kind, session => $self->{session}, @pairs);
	if ($key eq '')
	{
		return $self->_note_failure($n) unless $self->{dbh}->do($sql);
		$self->{history}->result($n, 'ok');
		return 'ok';
	}
	$row = $self->{dbh}->selectrow_arrayref($sql);
	return $self->_note_failure($n) unless $row && $self->_is_current($kind);
	$value = $row->[0];
	$outcome = !defined $value || $value eq 'f' || $value eq '0' && $key eq 'held'
	  ? 'no'
	  : 'ok';
	$self->{history}->result($n, $outcome,
		$outcome eq 'ok' && $key ne 'held' ? ($key => $value) : ());
	return wantarray ? ($outcome, $value) : $outcome;
}

1;
