# DlockNode - what the Perl tests of dlock share
package DlockNode;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

our @EXPORT_OK = qw(dlock_node crash poll_start);

# dlock_node(NAME, CONF) gives a running server with dlock in database
# postgres.  test/dlock.conf is in effect already (TEMP_CONFIG); CONF comes
# after it.  fsync is on, for crashes are what most of these tests are about.
sub dlock_node
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', "fsync = on\n");
	$node->append_conf('postgresql.conf', $conf) if defined $conf;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION dlock');
	return $node;
}

# crash(NODE) kills the postmaster (kill -9) and starts the server again.
sub crash
{
	my ($node) = @_;

	$node->kill9;
	poll_start($node);
	return;
}

# poll_start(NODE) starts a server that was killed.  Its children notice the
# postmaster's death a moment later; until the last has left, the start fails.
sub poll_start
{
	my ($node) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $node->start(fail_ok => 1);
		usleep(100_000);
	}
	die "server did not start again after it was killed";
}

1;
