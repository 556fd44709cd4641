# Claim 49: pg_upgrade, by copy and by link, takes over every lease, client and
# token, and the new server goes on with them.  Where dlock is not preloaded in
# the new server, pg_upgrade says so before it changes anything.
#
# It could fail if dlock's processes ran in the servers that pg_upgrade starts:
# the transaction IDs that they use in the old one are given out again in the
# new one; if the new server took the database for a copy of another one; or if
# a table were not where the old one was.
#
# The old server is the one that DLOCK_OLD_PG_CONFIG names; without it the old
# server is of the same version as the new one.
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Spec::Functions qw(rel2abs);
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DlockNode qw(expect_log rows try_rows poll_ready poll_rows table_matches
  session ask begin_ask end_ask);
use IPC::Run;

my $token = qr/^\d+$/;
my $tempdir = rel2abs(PostgreSQL::Test::Utils::tempdir);
my @databases = qw(postgres app);
# the log shows the kind of process; a writer logs that it has loaded leases
my $at_work = qr/\] dlock (?:launcher|writer|monitor) /;

my $leases_sql = <<'EOSQL';
SELECT resource, token, client, role, mode, scope, hold_count, acquired_at
FROM dlock_list() WHERE client LIKE 'keeper%' ORDER BY token
EOSQL
my $clients_sql = 'SELECT id, name, role, created_at FROM dlock.clients WHERE name LIKE $$keeper%$$ ORDER BY id';

#
# The old server
#

my $old = PostgreSQL::Test::Cluster->new('old', $ENV{DLOCK_OLD_BIN} ? (install_path => dirname($ENV{DLOCK_OLD_BIN})) : ());
my $old_bin = $old->config_data('--bindir');

$old->init;
$old->append_conf('postgresql.conf', "fsync = on\ndlock.default_ttl = '1 h'\n");
$old->start;
rows($old, 'CREATE ROLE upgrade_owner LOGIN; CREATE DATABASE app; CREATE DATABASE "without dlock"');
rows($old, q{CREATE EXTENSION dlock VERSION '0.9'});
rows($old, q{CREATE SCHEMA locking; GRANT USAGE ON SCHEMA locking TO PUBLIC; CREATE EXTENSION dlock VERSION '0.9' SCHEMA locking; ALTER DATABASE app SET search_path = locking, public}, 'app');
rows($old, <<'EOSQL', $_) foreach @databases;
CREATE TABLE guarded (id int);
SELECT dlock_protect('guarded', $$'guarded:' || id$$);
SELECT dlock_acquire('two', client := 'keeper-1'), dlock_acquire('two', client := 'keeper-1'),
	dlock_acquire('shared', mode := 'shared', client := 'keeper-1'),
	dlock_acquire('shared', mode := 'shared', client := 'keeper-2', ttl := '2 h');
SELECT dlock_set_options('two', ttl := '3 h', client := 'keeper-1');
GRANT EXECUTE ON FUNCTION dlock_force_release TO upgrade_owner;
SET ROLE upgrade_owner;
SELECT dlock_acquire('role', client := 'keeper-3');
RESET ROLE;
SET dlock.durable = off;
SELECT dlock_acquire('undurable', client := 'keeper-1');
EOSQL
my (%leases, %clients, %newest);
foreach my $dbname (@databases)
{
	table_matches($old, $dbname);
	$leases{$dbname} = rows($old, $leases_sql, $dbname);
	$clients{$dbname} = rows($old, $clients_sql, $dbname);
	$newest{$dbname} = rows($old, 'SELECT max(upto) FROM dlock.token_blocks', $dbname);
	is(scalar(split /\n/, $leases{$dbname}), 5, "$dbname: leases are held");
}
note 'from ' . rows($old, 'SHOW server_version');
my $checksums = rows($old, 'SHOW data_checksums');

# stop_old() stops it while a short lease is held.  Where a writer loads it, it
# comes to its end soon after.
sub stop_old
{
	rows($old, q{SELECT dlock_acquire('brief', ttl := '1 s', client := 'brief')}, $_) foreach @databases;
	$old->stop;
	return;
}
stop_old();

#
# New servers
#

# new_server(NAME, PRELOADED) makes an empty cluster.
sub new_server
{
	my ($name, $preloaded) = @_;
	my $new = PostgreSQL::Test::Cluster->new($name);
	my ($major) = $new->config_data('--version') =~ /(\d+)/;

	# 18 turns them on unless told otherwise, and pg_upgrade changes nothing
	$new->init(extra => [ $checksums eq 'on' ? '--data-checksums' : $major >= 18 ? '--no-data-checksums' : () ]);
	$new->append_conf('postgresql.conf', "fsync = on\ndlock.default_ttl = '1 h'\nshared_preload_libraries = '"
		  . ($preloaded ? 'dlock' : '') . "'\n");
	return $new;
}

# pg_upgrade(NEW, OPTION...) gives whether it succeeded, and what it said.
sub pg_upgrade
{
	my ($new, @options) = @_;
	my $bin = $new->config_data('--bindir');
	my $output = '';
	my $result = IPC::Run::run(
		[
			"$bin/pg_upgrade", '--no-sync', '--retain', '-b', $old_bin, '-B', $bin,
			'-d', rel2abs($old->data_dir), '-D', rel2abs($new->data_dir),
			'-s', $new->host, '-p', $old->port, '-P', $new->port, @options
		],
		'<' => \undef,
		'>&' => \$output,
		# it leaves scripts where it is called
		init => sub { chdir $tempdir or die "chdir: $!"; },
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	return ($result, $output);
}

# left_files(NEW, NAME) gives what pg_upgrade has left in files of that name.
sub left_files
{
	my ($new, $name) = @_;
	my $dir = $new->data_dir . '/pg_upgrade_output.d';

	return join '', map { slurp_file($_) } glob("$dir/*/$name"), glob("$dir/*/log/$name");
}

# is_whole(SERVER, WHEN) tests that it has everything that the old server had.
sub is_whole
{
	my ($server, $when) = @_;

	foreach my $dbname (@databases)
	{
		poll_ready($server, $dbname);
		is(rows($server, $leases_sql, $dbname), $leases{$dbname}, "$when, $dbname: every lease and token");
		is(rows($server, $clients_sql, $dbname), $clients{$dbname}, "$when, $dbname: every client");
		is( rows($server, q{SELECT count(*) FROM dlock_list() WHERE client LIKE 'keeper%' AND (source <> 'memory' OR expires_at < pg_postmaster_start_time() + interval '1 h' - interval '50 ms')}, $dbname),
			'0', "$when, $dbname: they are loaded, with their full duration");
		poll_rows($server, q{SELECT status FROM dlock_status('brief')}, 'free', $dbname);
		pass("$when, $dbname: and one that was short comes to its end");
	}
	return;
}

# goes_on(SERVER, WHEN) tests that leases are taken, waited for and enforced.
# What it takes it gives back.
sub goes_on
{
	my ($server, $when) = @_;

	foreach my $dbname (@databases)
	{
		my $waiter = session($server, $dbname);
		my $writing = session($server, $dbname);
		my $first = rows($server, q{SELECT dlock_acquire('new', client := 'one')}, $dbname);

		cmp_ok($first, '>', $newest{$dbname}, "$when, $dbname: tokens are above all of the old server");
		is(rows($server, q{SELECT dlock_try_acquire('two', client := 'thief')}, $dbname), '', "$when, $dbname: what is held is not available");
		begin_ask($waiter, q{SELECT dlock_acquire('new', client := 'other')});
		poll_rows($server, 'SELECT count(*) FROM dlock_queue()', '1', $dbname);
		is(rows($server, q{SELECT dlock_release('new', client := 'one')}, $dbname), 't', "$when, $dbname: a release");
		cmp_ok(end_ask($waiter), '>', $first, "$when, $dbname: serves the waiter");
		like(try_rows($server, q{INSERT INTO guarded VALUES (1)}, $dbname), qr/LK002: /, "$when, $dbname: a protected table refuses");
		ask($writing, q{SET dlock.client = 'writing'; BEGIN; SELECT dlock_acquire('guarded:1', scope := 'transaction')});
		is(ask($writing, q{INSERT INTO guarded VALUES (1); COMMIT}), '', "$when, $dbname: and accepts");
		like(try_rows($server, q{SET ROLE upgrade_owner; SELECT dlock_release('two', client := 'keeper-1')}, $dbname),
			qr/42501: permission denied for dlock client "keeper-1"/, "$when, $dbname: clients belong to their roles");
		is(rows($server, q{SET ROLE upgrade_owner; SELECT dlock_force_release('new')}, $dbname), '1', "$when, $dbname: privileges are as granted");
		like(try_rows($server, 'DELETE FROM dlock.locks', $dbname), qr/42501: cannot change table "locks" directly/, "$when, $dbname: the table is protected");
		table_matches($server, $dbname);
		$_->quit foreach $waiter, $writing;
	}
	return;
}

sub announce
{
	my ($server) = @_;
	return expect_log($server, qr/client backend .*ERROR:  (?:cannot write to table "guarded"|permission denied for dlock client|cannot change table "locks" directly|dlock must be loaded via)/);
}

#
# dlock is forgotten in the new server
#

{
	my $new = new_server('forgotten', 0);
	my ($result, $output);

	foreach my $options ([ '--check' ], [])
	{
		($result, $output) = pg_upgrade($new, @$options);
		ok(!$result, "not preloaded: pg_upgrade @$options stops");
		like($output, qr/loadable_libraries\.txt/, 'and names a file');
		like(left_files($new, 'loadable_libraries.txt'),
			qr/could not load library "(?:\$libdir\/)?dlock": ERROR:  dlock must be loaded via "shared_preload_libraries"\n.*HINT:  Add dlock to "shared_preload_libraries" and restart the server\./s,
			'which says what is missing');
	}
	$old->start;
	is_whole($old, 'not preloaded: the old server goes on');
	stop_old();

	# nothing was done, so the same cluster can be used
	$new->append_conf('postgresql.conf', "shared_preload_libraries = 'dlock'\n");
	($result, $output) = pg_upgrade($new, '--check');
	ok($result, 'preloaded: pg_upgrade --check') || diag($output);
}

#
# By copy
#

{
	my $new = new_server('copied', 1);
	my ($result, $output) = pg_upgrade($new);

	ok($result, 'by copy') || diag($output, left_files($new, '*'));
	note 'to ' . $new->config_data('--version');
	like(left_files($new, 'pg_upgrade_server.log'), qr/database system is ready/, 'the logs of the servers that it started');
	unlike(left_files($new, 'pg_upgrade_server.log'), $at_work, 'show no process of dlock');
	$new->start;
	is_whole($new, 'by copy');
	goes_on($new, 'by copy');
	$new->restart;
	is_whole($new, 'by copy, restarted');

	# pg_upgrade keeps the version of the extension, and leaves a script
	is(rows($new, q{SELECT extversion FROM pg_extension WHERE extname = 'dlock'}), '0.9', 'by copy: the version');
	$new->command_ok([ $new->installed_command('psql'), '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$tempdir/update_extensions.sql", $new->connstr('postgres') ],
		'the script of pg_upgrade');
	foreach my $dbname (@databases)
	{
		is(rows($new, q{SELECT extversion = (SELECT default_version FROM pg_available_extensions WHERE name = 'dlock') FROM pg_extension WHERE extname = 'dlock'}, $dbname),
			't', "updates the extension in $dbname");
	}
	is_whole($new, 'by copy, updated');
	goes_on($new, 'by copy, updated');
	announce($new);
	$new->stop;
}

#
# By link, into a server whose configuration lacks dlock afterwards
#

{
	my $new = new_server('linked', 0);
	my ($result, $output) = pg_upgrade($new, '--link', '-O', '-c shared_preload_libraries=dlock');

	ok($result, 'by link') || diag($output, left_files($new, '*'));
	unlike(left_files($new, 'pg_upgrade_server.log'), $at_work, 'by link: no process of dlock meanwhile');
	ok(-e $old->data_dir . '/global/pg_control.old', 'by link: the old server cannot be started again');
	$new->start;
	like(try_rows($new, $_, 'app'),
		qr/ERROR:  55000: dlock must be loaded via "shared_preload_libraries"\n.*HINT:  Add dlock to/s,
		"without dlock in the configuration: $_")
	  foreach q{SELECT dlock_try_acquire('two')}, 'SELECT * FROM dlock_list()', 'INSERT INTO guarded VALUES (1)';
	is(rows($new, q{SELECT count(*) FROM dlock.locks WHERE status = 'held' AND owner LIKE 'keeper%'}, 'app'), '5', 'the rows are there');
	$new->append_conf('postgresql.conf', "shared_preload_libraries = 'dlock'\n");
	$new->restart;
	is_whole($new, 'by link');
	goes_on($new, 'by link');
	announce($new);
	$new->stop;
}

done_testing();
