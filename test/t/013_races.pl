# Races that luck would rarely hit, each forced at a stop point:
#
# - a slot that is given to somebody else after it was looked at without its
#   lock (dlock_snapshot_by_slot, dlock_lookup_find_slot, empty_resource),
#   both before the lock is taken and between the two looks under it, for the
#   lock is that of the slot's former partition and keeps nobody away;
# - slots that a writer had taken out of their free list when it died;
# - a launcher that dies while a writer is starting, which then comes first,
#   or late;
# - a client's place that others want before the writer has noted its row.
#
# It could fail if a slot's identity were looked at before it is known to be in
# use, or not at all; if a dead process's intentions stayed in shared memory;
# or if a slot number were taken for a name.
use strict;
use warnings;

use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DlockNode qw(dlock_node poll_until session ask try_ask begin_ask end_ask
  is_waiting backend_pid set_stop clear_stop wait_stopped log_position
  expect_log worker_pid processes rows try_rows poll_rows poll_ready table_matches);

# few places, so that each is soon another's
my $node = dlock_node('races', <<'EOCONF');
autovacuum = off
dlock.max_leases = 16
dlock.max_clients = 16
EOCONF
my $other = 'races_other';

sub create_database
{
	my ($dbname) = @_;

	rows($node, "CREATE DATABASE $dbname");
	rows($node, 'CREATE EXTENSION dlock', $dbname);
	return;
}

# use_slot(DATABASE) has a lease that comes and goes.  The first one after a
# start waits for the writer, to make a block of tokens durable.  Slots that
# another database has just given back may not be there for this one yet.
sub use_slot
{
	my ($dbname) = @_;
	my $sql = "BEGIN; SELECT dlock_acquire('used', scope := 'transaction', client := 'one'); ROLLBACK";

	return poll_until('there is a slot',
		sub { (try_rows($node, $sql, $dbname) // '') =~ /^\d+$/ });
}

# fresh(DATABASE...) starts anew: of all slots but the first, none was ever
# used, and that one was given back.
sub fresh
{
	my (@dbnames) = @_;

	$node->restart;
	foreach my $dbname (@dbnames)
	{
		is(rows($node, 'SELECT count(*) FROM dlock_list()', $dbname), '0', "no leases in $dbname");
		use_slot($dbname);
	}
	return;
}

create_database($other);

#
# A slot changes hands
#
# All leases are of scope transaction: the writer, which would want all
# partition locks, is not concerned.

my @blocked;

# retake(DATABASE, CLIENT) takes the slot that was given back last, for a
# resource whose partition nobody has locked.
sub retake
{
	my ($dbname, $client) = @_;

	foreach my $n (1 .. 10)
	{
		my $session = session($node, $dbname);
		my $pid = backend_pid($session);

		ask($session, 'BEGIN');
		begin_ask($session, "SELECT dlock_acquire('retaken-$n', scope := 'transaction', client := '$client')");
		poll_until(
			'it is granted, or waits for the lock',
			sub {
				!is_waiting($session)
				  || rows($node, "SELECT 1 FROM pg_stat_activity WHERE pid = $pid AND wait_event = 'dlock_partition'");
			});
		return ($session, "retaken-$n") if !is_waiting($session);
		push @blocked, $session;
	}
	die 'all resources are in the locked partition';
}

# change_hands(AT, START, FREE, RETAKE) has the process that START sets going
# look at the first slot, gives that back (FREE) and to somebody else (RETAKE):
# while the process is about to take the lock (slot_seen), or while it has it
# and is about to look whose slot it is (slot_checked).
sub change_hands
{
	my ($at, $start, $free, $retake) = @_;
	my $position = log_position($node);
	my @retaken;

	set_stop($node, 'slot_seen');
	$start->();
	wait_stopped($node, 'slot_seen', $position);
	$free->();
	if ($at eq 'slot_checked')
	{
		set_stop($node, $at);
		wait_stopped($node, $at, $position);
	}
	@retaken = $retake->();
	clear_stop($node);
	$_->quit foreach @blocked;
	@blocked = ();
	return @retaken;
}

# keeps_lease(SESSION, RESOURCE, DATABASE, WHAT): who took the slot has a lease.
sub keeps_lease
{
	my ($session, $resource, $dbname, $what) = @_;

	like(end_ask($session), qr/^\d+$/, "$what: the other one is granted");
	is( rows($node, "SELECT status, holder FROM dlock_status('$resource')", $dbname),
		'exclusive|two',
		"$what: it holds its lease");
	unlike(try_ask($session, 'COMMIT'), qr/ERROR/, "$what: and can commit with it");
	$session->quit;
	return;
}

foreach my $at ('slot_seen', 'slot_checked')
{
	my ($holder, $reader, $taker, $resource);
	my $hold = sub {
		fresh('postgres', $other);
		$holder = session($node);
		$reader = session($node);
		ask($holder, "BEGIN; SELECT dlock_acquire('old', scope := 'transaction', client := 'one')");
	};
	my $free = sub { ask($holder, 'ROLLBACK') };

	# a view shows no lease of another database
	$hold->();
	($taker, $resource) = change_hands(
		$at,
		sub { begin_ask($reader, 'SELECT resource, client FROM dlock_list()') },
		$free,
		sub { retake($other, 'two') });
	is(end_ask($reader), '', "$at: a view does not show who came after");
	keeps_lease($taker, $resource, $other, "$at, a view");
	$_->quit foreach $holder, $reader;

	# a client's heartbeat is for nobody else
	$hold->();
	($taker, $resource) = change_hands(
		$at,
		sub { begin_ask($reader, "SELECT dlock_renew_all(client := 'one')") },
		$free,
		sub { retake('postgres', 'two') });
	is(end_ask($reader), '0', "$at: dlock_renew_all does not renew another's lease");
	keeps_lease($taker, $resource, 'postgres', "$at, dlock_renew_all");
	$_->quit foreach $holder, $reader;

	# nor is the end of a database's leases; the writer looks at every slot
	create_database("races_$at");
	fresh($other, "races_$at");
	($taker, $resource) = change_hands(
		$at,
		sub { rows($node, 'DROP EXTENSION dlock', "races_$at") },
		sub { },
		sub { retake($other, 'two') });
	poll_rows($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dlock writer' AND datname = 'races_$at'", '0');
	keeps_lease($taker, $resource, $other, "$at, DROP EXTENSION elsewhere");
}

#
# Slots that a writer was about to give to all databases when it died
#

# usable() waits until another database has all slots.
sub usable
{
	my $all = "SELECT count(dlock_try_acquire('usable:' || i, client := 'usable')) = 16 FROM generate_series(1, 16) i";

	# a request that fails has taken some
	return poll_until(
		'all slots are usable',
		sub {
			my $answer = try_rows($node, $all, $other);
			rows($node, q{SELECT dlock_release_all('usable')}, $other);
			return $answer eq 't';
		});
}

my %death = (
	'another writer follows' => sub {
		my ($dbname, $writer) = @_;
		rows($node, "SELECT pg_terminate_backend($writer)");
	},
	'the extension is dropped' => sub {
		my ($dbname, $writer) = @_;
		rows($node, 'DROP EXTENSION dlock', $dbname);
		rows($node, "SELECT pg_terminate_backend($writer)");
	},
	'the extension is dropped, and it finds that' => sub {
		my ($dbname, $writer) = @_;
		rows($node, 'DROP EXTENSION dlock', $dbname);
		clear_stop($node);
	},
	'the database is dropped' => sub {
		my ($dbname, $writer) = @_;
		rows($node, "DROP DATABASE $dbname");
	});
foreach my $how (sort keys %death)
{
	my $dbname = 'races_' . $how =~ tr/ ,/_/dr;
	my ($position, $writer);

	create_database($dbname);
	fresh($dbname);
	is( rows($node, "SELECT count(dlock_acquire('trim:' || i, ttl := '1 h', client := 'trim')) FROM generate_series(1, 16) i", $dbname),
		'16', "$how: all slots are in use");
	$writer = worker_pid($node, 'dlock writer', $dbname);
	$position = log_position($node);
	set_stop($node, 'slots_trimmed');
	rows($node, "SELECT dlock_release_all('trim')", $dbname);
	wait_stopped($node, 'slots_trimmed', $position);
	$death{$how}->($dbname, $writer);
	poll_rows($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $writer", '0');
	clear_stop($node);
	ok(eval { usable() }, "$how: no slot is lost");
	is(rows($node, q{SELECT count(*) FROM dlock.locks WHERE status = 'held'}, $dbname),
		'0', "$how: and no row stays")
	  if $how =~ /writer/;
}

# Slots whose rows are being deleted are nobody's for a moment: who needs one
# waits for it.
{
	my $dbname = 'races_slots_come';
	my ($position, $session, $pid);

	create_database($dbname);
	fresh($dbname);
	rows($node, "SELECT count(dlock_acquire('trim:' || i, client := 'trim')) FROM generate_series(1, 16) i", $dbname);
	$position = log_position($node);
	set_stop($node, 'slots_trimmed');
	rows($node, "SELECT dlock_release_all('trim')", $dbname);
	wait_stopped($node, 'slots_trimmed', $position);
	$session = session($node, $dbname);
	$pid = ask($session, 'SELECT pg_backend_pid()');
	begin_ask($session, "SELECT count(dlock_acquire('again:' || i, client := 'again')) FROM generate_series(1, 16) i");
	poll_rows($node, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid AND state = 'active'", 'Extension');
	is(rows($node, q{SELECT count(*) < 16 FROM dlock_list()}, $dbname), 't', 'there are not enough slots');
	like(try_rows($node, q{SELECT dlock_try_acquire('no more', client := 'more')}, $dbname), qr/out of dlock lease slots/,
		'a request without patience is refused');
	clear_stop($node);
	is(end_ask($session), '16', 'the other one gets them');
	rows($node, q{SELECT dlock_release_all('again')}, $dbname);
	$session->quit;
}

# They are not waited for where the writer has ended, and none can take its
# place: a request elsewhere is told that there is no slot.
{
	my @dbnames = qw(races_slots_stay races_slots_wanted);
	my ($position, $writer, $answer);

	create_database($_) foreach @dbnames;
	fresh(@dbnames);
	rows($node, "SELECT count(dlock_acquire('trim:' || i, client := 'trim')) FROM generate_series(1, 15) i", $dbnames[0]);
	$writer = worker_pid($node, 'dlock writer', $dbnames[0]);
	$position = log_position($node);
	set_stop($node, 'slots_trimmed');
	rows($node, "SELECT dlock_release_all('trim')", $dbnames[0]);
	wait_stopped($node, 'slots_trimmed', $position);
	# the next writer says why it cannot go on
	expect_log($node, qr/dlock writer .*ERROR:  cannot write leases because table "dlock.locks" has an index/);
	rows($node, 'CREATE INDEX slots_stay ON dlock.locks (id)', $dbnames[0]);
	rows($node, "SELECT pg_terminate_backend($writer)");
	poll_rows($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $writer", '0');
	clear_stop($node);
	$answer = try_rows($node, q{
		SET statement_timeout = '60 s';
		SELECT count(dlock_acquire('want:' || i, client := 'want')) FROM generate_series(1, 16) i}, $dbnames[1]);
	like($answer, qr/53200: out of dlock lease slots/, 'slots that a dead writer was trimming are not waited for');
	rows($node, 'DROP INDEX dlock.slots_stay', $dbnames[0]);
	rows($node, q{SELECT dlock_release_all('want')}, $dbnames[1]);
	ok(eval { usable() }, 'and none of them is lost');
}

#
# The launcher dies while a writer is starting
#

# starting_writer(DATABASE, NOT_PID) gives the pid of a writer, another than
# that one, that has stopped before it attached.
sub starting_writer
{
	my ($dbname, $not_pid) = @_;

	return poll_until(
		'a writer is starting',
		sub {
			foreach my $pid (processes($node, "dlock writer $dbname"))
			{
				return $pid
				  if $pid != $not_pid
				  && slurp_file($node->logfile) =~
				  /\[$pid\] dlock writer LOG:  dlock stopped at debug point "writer_starting"/;
			}
			return;
		});
}

sub leaves
{
	my ($pid) = @_;
	return poll_until("process $pid leaves", sub { !kill 0, $pid });
}

foreach my $first ('expected', 'unexpected')
{
	my $dbname = "races_$first";
	my $launcher = worker_pid($node, 'dlock launcher');
	my %writer;
	my $late;

	set_stop($node, 'writer_starting');
	rows($node, "CREATE DATABASE $dbname");
	rows($node, 'CREATE EXTENSION dlock', $dbname);
	$writer{unexpected} = starting_writer($dbname, 0);
	kill 'TERM', $launcher;
	$writer{expected} = starting_writer($dbname, $writer{unexpected});
	pass('another launcher starts another writer');

	$late = $writer{ $first eq 'expected' ? 'unexpected' : 'expected' };
	kill 'STOP', $late;
	clear_stop($node);
	use_slot($dbname);
	is( rows($node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'dlock writer' AND datname = '$dbname'"),
		$writer{$first},
		"the $first one comes first: it does the work");
	kill 'CONT', $late;
	ok(eval { leaves($late) }, 'the late one leaves');
	is(join(' ', processes($node, "dlock writer $dbname")),
		$writer{$first}, 'there is one writer');
	rows($node, q{SELECT dlock_acquire('a', client := 'one'), dlock_release('a', client := 'one')}, $dbname);
}

# one that was starting dies with it
{
	my $launcher = worker_pid($node, 'dlock launcher');
	my $writer;

	set_stop($node, 'writer_starting');
	rows($node, 'CREATE DATABASE races_neither');
	rows($node, 'CREATE EXTENSION dlock', 'races_neither');
	$writer = starting_writer('races_neither', 0);
	kill 'TERM', $launcher;
	leaves($launcher);
	kill 'TERM', $writer;
	leaves($writer);
	clear_stop($node);
	use_slot('races_neither');
	pass('launcher and writer die: there are others');
}

#
# A client's place is another's by the time its row is durable
#
{
	my $asker;
	my $taker;
	my $pid;
	my $position;

	fresh('postgres');
	$asker = session($node);
	$taker = session($node);
	$pid = backend_pid($asker);
	$position = log_position($node);
	set_stop($node, 'rows_flushed');
	begin_ask($asker, "SELECT dlock_acquire('place', ttl := '1 h', client := 'place')");
	wait_stopped($node, 'rows_flushed', $position);
	rows($node, "SELECT pg_cancel_backend($pid)");
	like(end_ask($asker), qr/57014/, 'a client is gone before it is told of its lease');
	$asker->quit;
	poll_rows($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", '0');
	is( ask($taker, q{
			SET dlock.durable = off;
			SELECT count(dlock_acquire('place:' || i, ttl := '1 h', client := 'place-' || i))
			  FROM generate_series(1, 15) i}),
		'15',
		'others have all places but its own');
	like(
		try_ask($taker, q{SELECT dlock_acquire('place:16', ttl := '1 h', client := 'place-16')}),
		qr/53200: out of dlock client slots/,
		'which it keeps until its row is durable');
	clear_stop($node);
	poll_until('there is a place',
		sub { try_ask($taker, q{SELECT dlock_acquire('place:16', ttl := '1 h', client := 'place-16')}) =~ /^\d+$/ });
	table_matches($node);
	is( rows($node, q{
			SELECT count(*) FROM dlock.locks l JOIN dlock.clients c ON c.id = l.owner_id
			 WHERE l.status = 'held' AND l.owner = c.name}),
		'16',
		'each has a row of its own');
	is(rows($node, q{SELECT count(*) FROM dlock.clients WHERE name = 'place'}),
		'1', 'and so has the one that is gone');
	$taker->quit;
}

expect_log(
	$node,
	# we terminate it
	qr/dlock writer FATAL:  terminating background worker "dlock writer" due to administrator command/,
	qr/client backend .*ERROR:  canceling statement due to user request/,
	# before a slot is given back
	qr/client backend .*ERROR:  out of dlock (?:lease|client) slots/,
	# where it is asked again until it succeeds
	qr/client backend .*ERROR:  could not make a lease on resource "usable:\d+" durable in time/);

done_testing();
