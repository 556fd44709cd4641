# DlockLog - what nobody wants to see in a server's log
#
# Used by DlockNode for the servers of Perl tests, and by suites.sh for those of
# the other suites.  Lines are told apart by the kind of process, which
# log_line_prefix in test/dlock.conf shows (%b).
package DlockLog;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(complaints is_answer apply_retries);

my $prefix = qr/^\d{4}-\S+ \S+ \S+ \[\d+\] /;

# What a server says only because it is just starting, stopping or being
# promoted.  That it does so is what the test asked for; whether it says this
# is a matter of time: a session that has got its last answer may still be
# leaving, a standby may come back too early.  Each counts between the line
# that begins and the line that ends the event, and nowhere else.
my %phases = (
	# a process that it has begun before it was ready may say so any time later
	start => {
		begins => qr/${prefix}postmaster LOG:  starting PostgreSQL /,
		ends => qr/${prefix}postmaster LOG:  (?:received \w+ shutdown request|terminating any other active server processes)/,
		allows => [
			# a process that only says so has a type of its own since PostgreSQL 18
			qr/(?:(?:dead-end )?client backend|walsender) .*FATAL:  the database system is (?:starting up|not yet accepting connections)/ ] },
	# one in which sessions are not waited for
	shutdown => {
		begins => qr/${prefix}postmaster LOG:  received (?:fast|immediate) shutdown request/,
		ends => qr/${prefix}postmaster LOG:  database system is shut down/,
		allows => [
			qr/client backend .*FATAL:  terminating connection due to administrator command/,
			qr/dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command/,
			qr/walreceiver FATAL:  terminating walreceiver process due to administrator command/,
			qr/logical replication (?:\w+ )?worker FATAL:  terminating logical replication worker due to administrator command/,
			qr/autovacuum worker FATAL:  terminating autovacuum process due to administrator command/,
			# its standby, which was told that all is sent
			qr/walsender .*FATAL:  the database system is shutting down/ ] },
	promotion => {
		begins => qr/${prefix}startup LOG:  received promote request/,
		ends => qr/${prefix}startup LOG:  selected new timeline ID/,
		allows => [
			qr/walreceiver FATAL:  terminating walreceiver process due to administrator command/ ] });

# complaints(LOG) gives the lines that tell of something wrong.  What a
# statement or a name has in it does not count: the severity comes first.
sub complaints
{
	my ($log) = @_;
	my %during;	# the phases that have begun, with what they allow
	my @found;

	foreach my $line (split /\n/, $log)
	{
		foreach my $phase (keys %phases)
		{
			$during{$phase} = $phases{$phase}{allows} if $line =~ $phases{$phase}{begins};
			delete $during{$phase} if $line =~ $phases{$phase}{ends};
		}
		next unless is_complaint($line);
		push @found, $line
		  unless grep { $line =~ /$prefix$_/ } map { @$_ } values %during;
	}
	return @found;
}

sub is_complaint
{
	my ($line) = @_;

	return $line =~ /^TRAP:|was terminated by|Sanitizer|: runtime error: /
	  || $line =~ /$prefix.*?\b([A-Z]+\d?):  /
	  && $1 =~ /^(?:WARNING|ERROR|FATAL|PANIC)$/;
}

# apply_retries() gives patterns of what a subscription and its publisher may say
# while the server starts a worker that fails again and again: the next worker,
# or the walsender, may meet the one before, which is not gone yet.
sub apply_retries
{
	return (
		qr/logical replication (?:\w+ )?worker .*ERROR:  could not start WAL streaming: .*is active/,
		qr/logical replication (?:\w+ )?worker .*ERROR:  replication origin with ID \d+ is already active/,
		qr/logical replication (?:\w+ )?worker .*FATAL:  terminating logical replication worker due to administrator command/,
		qr/walsender .*FATAL:  connection to client lost/,
		qr/walsender .*ERROR:  replication slot "\w+" (?:is active|does not exist)/);
}

# is_answer(LINE) tells whether it is an ERROR of a session, which its client
# has been told.
sub is_answer
{
	my ($line) = @_;
	return $line =~ /$prefix(?:client backend|parallel worker)\b.*?\b([A-Z]+\d?):  / && $1 eq 'ERROR';
}

1;
