# DlockLook - writes what dlock_list(), dlock_queue() and the table "work" of the
# torture test show into a history
package DlockLook;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(look_list look_queue look_work is_still_primary $confirm);

# Set where there are several servers: a look counts only if the server was
# the primary still when it was taken.
our $confirm = 0;

# The columns, as a history calls them.
my %looks = (
	list => [
		'SELECT resource, client, token, mode, scope, hold_count FROM dlock_list()',
		qw(resource client token mode scope count) ],
	queue => [
		'SELECT resource, client, place, ticket, mode, priority FROM dlock_queue()',
		qw(resource client place ticket mode priority) ],
	worktable => [
		'SELECT id, resource, token, client FROM work ORDER BY id',
		qw(id resource token client) ]);

# is_still_primary(DBH) tells whether the server was the primary when this was
# asked: a standby has confirmed what was written since, so it cannot have been
# following another one.  Where none confirms, this waits until the server
# learns that it is the primary no more, and ends the connection.
sub is_still_primary
{
	my ($dbh) = @_;
	return $dbh->do(q{SELECT pg_logical_emit_message(true, 'dlock test', '')});
}

sub _look
{
	my ($kind, $history, $dbh, $session, @more) = @_;
	my ($sql, @keys) = @{ $looks{$kind} };
	my $n = $history->invoke($kind, session => $session, @more);
	my $rows = $dbh->selectall_arrayref($sql);

	if (!$rows || $confirm && !is_still_primary($dbh))
	{
		my $is_error = ($dbh->errstr // '') =~ /^ERROR:/;

		$history->result($n, $is_error ? 'fail' : 'lost', state => $dbh->state);
		return;
	}
	$history->rows($n,
		map { my $row = $_; [ map { $keys[$_] => $row->[$_] } 0 .. $#keys ] } @$rows);
	return $rows;
}

# look_list(HISTORY, DBH, SESSION, KEY => VALUE...) gives the rows, or undef.
sub look_list { return _look('list', @_); }

sub look_queue { return _look('queue', @_); }

sub look_work { return _look('worktable', @_); }

1;
