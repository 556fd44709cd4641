# DlockHistory - what clients of dlock were told, and when: writing and reading
#
# A history is a text file, written by one actor (a client, the observer, who
# disturbs) while it works.  A line has words with blanks between them:
#
#     TIME ACTOR invoke N KIND KEY=VALUE...	 about to ask; N counts from 1
#     TIME ACTOR row N KEY=VALUE...			 one row of an answer
#     TIME ACTOR ok|no|fail|lost N KEY=VALUE...	 the answer
#
# TIME is CLOCK_MONOTONIC in microseconds, so all files of one run are of one
# machine and one boot.  An actor asks one thing at a time.  "no" is a polite
# refusal (others have it, not held), "fail" an error (state=SQLSTATE), "lost"
# the end of the connection: nobody knows what became of the request.  Nor is
# that known where the answer is missing, since a client was killed.
#
# Each line is written with one system call before, or right after, the call
# that it is about: what was acted upon stands in the file, whenever the
# client is killed.
#
# A value has no blanks.  Durations are in microseconds.  Kinds:
#
#     connect session [durable=0]	 disconnect session
#     acquire session client resource mode scope priority [ttl] [kept=1]	-> token
#     release session client resource [token]
#     release_all session client	-> count
#     renew session client resource [token] [ttl]
#     renew_all session client [ttl]	-> count
#     upgrade session client resource [token]	 downgrade likewise
#     begin, commit, rollback, savepoint, rollback_to: session
#     fence session client resource token
#     work session client resource token	-> id; a row that is written in the
#		 transaction under way, while it relies on the token.  id rises.
#     list session [final=1]	 rows: resource client token mode scope count
#     queue session [final=1]	 rows: resource client place ticket mode priority
#     worktable session	 all of these, in the end; rows: id resource token client
#     crash how	-> [changed]	 the server's memory is lost between the two lines;
#		 so many resources had got another holder while nothing could be flushed
#     force resource token	-> count
#     priority resource client priority
#     disturb how		 anything that must change nothing of what is promised
#     slots of		-> found, expected
#
# "kept" tells that the hold stops the lease's clock (scope session, and scope
# transaction without a duration).  A list shows no token as long as it is not
# sure to be durable.  A "final" look comes when all clients have
# gone, and their leases had the time to end.
package DlockHistory;

use strict;
use warnings;

use Exporter 'import';
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT_OK = qw(now_us read_histories);

sub now_us
{
	return int(clock_gettime(CLOCK_MONOTONIC) * 1_000_000);
}

#
# Writing
#

# new(FILE, ACTOR) begins a history.
sub new
{
	my ($class, $file, $actor) = @_;

	open my $handle, '>>', $file or die "$file: $!";
	return bless { file => $file, handle => $handle, actor => $actor, n => 0 },
	  $class;
}

sub _line
{
	my ($self, $time, $what, $n, @pairs) = @_;
	my @words = ($time, $self->{actor}, $what, $n);
	my ($line, $written);

	push @words, shift @pairs if @pairs % 2;
	while (my ($key, $value) = splice @pairs, 0, 2)
	{
		next unless defined $value;
		die "not a word: \"$value\"" unless $value =~ /^\S+$/;
		push @words, "$key=$value";
	}
	$line = join(' ', @words) . "\n";
	$written = syswrite $self->{handle}, $line;
	die "$self->{file}: $!" unless defined $written;
	die "$self->{file}: disk full" unless $written == length $line;
	return;
}

# invoke(KIND, KEY => VALUE...) says what is about to be asked; gives its N.
sub invoke
{
	my ($self, $kind, @pairs) = @_;

	$self->_line(now_us(), 'invoke', ++$self->{n}, $kind, @pairs);
	return $self->{n};
}

# result(N, OUTCOME, KEY => VALUE...) says what the answer was.
sub result
{
	my ($self, $n, $outcome, @pairs) = @_;

	$self->_line(now_us(), $outcome, $n, @pairs);
	return;
}

# rows(N, ROW...) writes an answer of many rows, each a list of pairs, as of
# now.  The answer's time is that of its last line, which is never too early.
sub rows
{
	my ($self, $n, @rows) = @_;
	my $time = now_us();

	$self->_line($time, 'row', $n, @$_) foreach @rows;
	$self->_line($time, 'ok', $n, rows => scalar @rows);
	return;
}

#
# Reading
#
my %kinds = map { $_ => 1 }
  qw(connect disconnect acquire release release_all renew renew_all upgrade
  downgrade begin commit rollback savepoint rollback_to fence work list queue
  worktable crash force priority disturb slots);
my %needs = (
	acquire => [qw(session client resource mode scope priority)],
	release => [qw(session client resource)],
	renew => [qw(session client resource)],
	upgrade => [qw(session client resource)],
	downgrade => [qw(session client resource)],
	fence => [qw(session client resource token)],
	work => [qw(session client resource token)],
	release_all => [qw(session client)],
	renew_all => [qw(session client)],
	force => [qw(resource token)],
	priority => [qw(resource client)],
	map({ $_ => ['session'] }
		qw(connect disconnect begin commit rollback savepoint rollback_to)));
my %row_needs = (
	list => [qw(resource client mode count)],
	queue => [qw(resource client place ticket mode priority)],
	worktable => [qw(id resource token client)]);
my %ok_needs = (
	acquire => ['token'],
	work => ['id'],
	release_all => ['count'],
	renew_all => ['count'],
	slots => [qw(found expected)]);
my %is_number = map { $_ => 1 }
  qw(token id ttl priority count place ticket found expected rows changed);

sub _pairs
{
	my ($where, @words) = @_;
	my %pairs;

	foreach my $word (@words)
	{
		my ($key, $value) = $word =~ /^(\w+)=(.*)$/
		  or die "$where: not KEY=VALUE: \"$word\"\n";
		die "$where: not a number: \"$word\"\n"
		  if $is_number{$key} && $value !~ /^-?\d+$/;
		$pairs{$key} = $value;
	}
	return \%pairs;
}

sub _require
{
	my ($where, $pairs, $keys) = @_;

	foreach my $key (@{ $keys // [] })
	{
		die "$where: $key is missing\n" unless defined $pairs->{$key};
	}
	return;
}

# _begin gives a new operation.
sub _begin
{
	my ($where, $time, $actor, $n, $line, $kind, @words) = @_;
	my $arg = _pairs($where, @words);

	die "$where: unknown kind\n" unless defined $kind && $kinds{$kind};
	_require($where, $arg, $needs{$kind});
	return {
		actor => $actor,
		n => $n,
		kind => $kind,
		arg => $arg,
		ti => $time,
		outcome => 'none',
		res => {},
		rows => [],
		where => "$where: $line" };
}

# _read_file reads the operations of one file.  A last line without an end was
# being written when its writer was killed.
sub _read_file
{
	my ($file, $ops) = @_;
	my (%open, %last_n);
	my $last_time = 0;

	open my $handle, '<', $file or die "$file: $!\n";
	while (my $line = <$handle>)
	{
		my $where = ($file =~ s{.*/}{}r) . ":$.";

		next if $line =~ /^\s*(?:#|$)/;
		last if $line !~ s/\n\z//;
		my ($time, $actor, $what, $n, @words) = split ' ', $line;
		die "$where: no history line: $line\n"
		  unless defined $n && $time =~ /^\d+$/ && $n =~ /^\d+$/;
		die "$where: time runs backwards\n" if $time < $last_time;
		$last_time = $time;
		if ($what eq 'invoke')
		{
			die "$where: one request at a time\n" if $open{$actor};
			die "$where: numbers must rise\n"
			  if $n <= ($last_n{$actor} // 0);
			$last_n{$actor} = $n;
			$open{$actor} = _begin($where, $time, $actor, $n, $line, @words);
			push @$ops, $open{$actor};
			next;
		}
		my $op = $open{$actor};
		die "$where: answer to nothing\n" unless $op && $op->{n} == $n;
		my $pairs = _pairs($where, @words);
		if ($what eq 'row')
		{
			_require($where, $pairs, $row_needs{ $op->{kind} });
			push @{ $op->{rows} }, $pairs;
			next;
		}
		die "$where: unknown word \"$what\"\n"
		  unless $what =~ /^(?:ok|no|fail|lost)$/;
		_require($where, $pairs, $ok_needs{ $op->{kind} }) if $what eq 'ok';
		@$op{qw(tr outcome res answer)} =
		  ($time, $what, $pairs, "$where: $line");
		delete $open{$actor};
	}
	close $handle or die "$file: $!\n";
	return;
}

# read_histories(FILE...) gives all operations, in the order of their begin;
# dies where a file is not what a history is.
#
# An operation has actor, n, kind, arg, ti (time of invoke), tr (of answer, or
# undef), outcome ("none": no answer), res, rows, where and answer (the lines).
sub read_histories
{
	my (@files) = @_;
	my @ops;

	_read_file($_, \@ops) foreach @files;
	# sort is stable: what stands in one file stays in order
	return [ sort { $a->{ti} <=> $b->{ti} } @ops ];
}

1;
