# DlockStandby - standbys for the tests of replication
#
#     my $east = add_standby($primary, 'east');
#     set_synchronous($primary, 'FIRST 1 (east)', 'east:sync');
#     hold($east);		# connected, but confirms nothing from now on
#     let_go($east);
#
# A standby that is held is one whose walreceiver is stopped (SIGSTOP): the
# connection stays, and the server can still be asked.  The timeouts by which
# a server would end such a connection must be off: $standby_conf.
package DlockStandby;

use strict;
use warnings;

use Exporter 'import';
use DlockNode qw(poll_rows rows);
use PostgreSQL::Test::Cluster;

our @EXPORT_OK = qw($standby_conf add_standby set_synchronous hold let_go
  wait_streaming wait_sync_rep next_xid);

our $standby_conf = <<'EOCONF';
autovacuum = off
wal_sender_timeout = 0
wal_receiver_timeout = 0
wal_retrieve_retry_interval = 100ms
wal_keep_size = 512MB
EOCONF

my %held;	# pids of walreceivers, by name of the node

# add_standby(PRIMARY, NAME) gives a running standby that is up to date.
sub add_standby
{
	my ($primary, $name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$primary->backup($name);
	$standby->init_from_backup($primary, $name, has_streaming => 1);
	$standby->start;
	wait_streaming($primary, $standby);
	return $standby;
}

sub wait_streaming
{
	my ($primary, $standby) = @_;

	$primary->wait_for_catchup($standby, 'flush');
	return;
}

# set_synchronous(PRIMARY, NAMES, STATES) sets synchronous_standby_names and
# waits until it is in effect: STATES is like "east:sync west:potential".  The
# checkpointer tells whether commits wait at all; it reads its signals before
# it does what CHECKPOINT asks for.
sub set_synchronous
{
	my ($primary, $names, $states) = @_;

	rows($primary, "ALTER SYSTEM SET synchronous_standby_names = '$names'");
	$primary->reload;
	poll_rows($primary, 'SHOW synchronous_standby_names', $names);
	rows($primary, 'CHECKPOINT');
	poll_rows(
		$primary, q{
		SELECT coalesce(string_agg(application_name || ':' || sync_state, ' '
				ORDER BY application_name), '')
		  FROM pg_stat_replication WHERE sync_state <> 'async'},
		$states);
	return;
}

# hold(STANDBY) keeps it from confirming anything, until let_go(STANDBY).
sub hold
{
	my ($standby) = @_;
	my $pid = rows($standby, 'SELECT pid FROM pg_stat_wal_receiver');

	die $standby->name . ' has no walreceiver' if $pid eq '';
	kill 'STOP', $pid or die "could not stop process $pid: $!";
	$held{ $standby->name } = $pid;
	return;
}

sub let_go
{
	my ($standby) = @_;
	my $pid = delete $held{ $standby->name } // return;

	kill 'CONT', $pid or die "could not continue process $pid: $!";
	return;
}

# A server does not stop while its walreceiver is held.
END
{
	kill 'CONT', values %held;
}

# wait_sync_rep(NODE, DATABASE, NOT) waits until the writer waits for standbys,
# one with another pid than NOT; gives its pid.
sub wait_sync_rep
{
	my ($node, $dbname, $not) = @_;
	my $where = "WHERE backend_type = 'dlock writer' AND wait_event = 'SyncRep'
		AND datname = '" . ($dbname // 'postgres') . "' AND pid <> " . ($not // 0);

	poll_rows($node, "SELECT count(*) FROM pg_stat_activity $where", '1');
	return rows($node, "SELECT pid FROM pg_stat_activity $where");
}

# next_xid(NODE) rises with every transaction that writes.
sub next_xid
{
	my ($node) = @_;
	return rows($node, 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
}

1;
