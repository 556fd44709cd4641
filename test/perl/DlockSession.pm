# DlockSession - a psql session of its own, for calls that wait
#
#     my $session = DlockSession->new($node, dbname => 'postgres');
#     my ($out, $err) = $session->ask('SELECT 1');
#     $session->tell("SELECT dlock_acquire('a')");	# does not wait for it
#     ... $session->answered ...
#     my ($out, $err) = $session->answer;
#
# connstr => '...' connects elsewhere, to a pooler for example.  Errors show
# their SQLSTATE.  A session that was terminated answers with what it said
# until then.
package DlockSession;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time usleep);

our @EXPORT_OK = qw(sql_error error_parts);

sub new
{
	my ($class, $node, %options) = @_;
	my $connstr = $options{connstr}
	  // $node->connstr($options{dbname} // 'postgres');
	my $self = bless { in => '', out => '', err => '', marker => 0 }, $class;

	$self->{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $connstr, '-f', '-' ],
		'<' => \$self->{in},
		'>' => \$self->{out},
		'2>' => \$self->{err});
	($self->{pid}) = $self->ask('SELECT pg_backend_pid()');
	return $self;
}

# pid gives the server process, as it was when the session began.
sub pid
{
	return $_[0]->{pid};
}

# tell hands a command over and leaves it running.
sub tell
{
	my ($self, $sql) = @_;
	my $marker = 'end of answer ' . ++$self->{marker};

	$self->{in} .= "$sql\n;\n\\echo $marker\n\\warn $marker\n";
	$self->_pump(sub { $self->{in} eq '' });
	return;
}

# answered tells whether the last command has come to its end.
sub answered
{
	my ($self) = @_;
	my $marker = qr/^end of answer $self->{marker}$/m;

	eval { $self->{run}->pump_nb };
	return ($self->{out} =~ $marker && $self->{err} =~ $marker)
	  || !$self->{run}->pumpable;
}

# answer waits for the last command, and gives its output and its errors.
sub answer
{
	my ($self) = @_;
	my ($out, $err);

	$self->_pump(sub { $self->answered });
	($out, $err) = @$self{qw(out err)};
	s/\n?^end of answer \d+\n//mg for $out, $err;
	chomp($out, $err);
	@$self{qw(out err)} = ('', '');
	return wantarray ? ($out, $err) : $out;
}

sub ask
{
	my ($self, $sql) = @_;

	$self->tell($sql);
	return $self->answer;
}

# quit ends the session in peace.
sub quit
{
	my ($self) = @_;
	my $run = delete $self->{run} or return;

	$self->{in} .= "\\q\n";
	eval { $run->finish };
	return;
}

# close ends psql, whatever it is doing; the server notices in its own time.
sub close
{
	my ($self) = @_;
	my $run = delete $self->{run} or return;

	eval { $run->kill_kill(grace => 5) };
	return;
}

sub DESTROY
{
	local ($?, $@);
	$_[0]->close;
	return;
}

sub _pump
{
	my ($self, $done) = @_;
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;

	until ($done->())
	{
		die "timed out; output so far: $self->{out}$self->{err}"
		  if time > $until;
		eval { $self->{run}->pump_nb };
		last unless $self->{run}->pumpable;
		usleep(5_000);
	}
	return;
}

# error_parts(TEXT) gives the first error in what psql printed: SQLSTATE,
# message, detail and hint; empty strings where there is none.
sub error_parts
{
	my ($text) = @_;
	my %error = map { $_ => '' } qw(state message detail hint);

	if ($text =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5}): (.*)/)
	{
		@error{qw(state message)} = ($1, $2);
		my $rest = $';
		$error{detail} = $1 if $rest =~ /^DETAIL:  (.*)/m;
		$error{hint} = $1 if $rest =~ /^HINT:  (.*)/m;
	}
	return \%error;
}

# sql_error(NODE, DATABASE, SQL) runs SQL in a new session and gives its error.
sub sql_error
{
	my ($node, $dbname, $sql) = @_;
	my ($rc, $out, $err) = $node->psql($dbname, $sql,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	return error_parts($err);
}

1;
