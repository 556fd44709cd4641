# What must hold with many leases: the writer's memory does not grow with the
# number of leases, whatever it does with them (load, write, write anew), and
# what it does in parts is still one cut: claims 4, 29, 45 and 46 of
# src/README.md.
#
# Why it could fail: a copy of all leases is made or kept; a row says what its
# lease said when the first part was taken; something is told before all parts
# are durable; the rows that were there before a restart are written twice, or
# left when their lease has ended, and come back as leases.
use strict;
use warnings;

use DlockNode qw(dlock_node poll_until kill_postmaster crash poll_start session ask
  begin_ask end_ask is_waiting abandon backend_pid sleeping set_stop clear_stop wait_stopped log_position
  expect_log worker_pid rows poll_rows poll_ready table_matches);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $many = 100_000;
my $some = 9_000;	# more than one part, whose size is in shared/batch.c

# A copy of so many leases takes more than twice that.
my $limit = 24;

my $node = dlock_node('sizes', <<'EOC');
dlock.max_leases = 120000
dlock.max_clients = 30000
shared_buffers = 128MB
autovacuum = off
EOC

expect_log(
	$node,
	qr/client backend .*FATAL:  terminating connection due to unexpected postmaster exit/,
	qr/client backend .*ERROR:  lease on resource "back" is not held/);

# own_memory() gives the megabytes that the writer has for itself.
sub own_memory
{
	my $pid = worker_pid($node, 'dlock writer', 'postgres');

	slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m or die 'no RssAnon';
	return $1 / 1024;
}

sub is_small
{
	my ($what) = @_;
	my $memory = own_memory();

	cmp_ok($memory, '<', $limit, "memory of the writer: $what");
	note sprintf '%.1f MB', $memory;
	return;
}

sub leases
{
	return rows($node, q{SELECT count(*), sum(token), min(client), max(client) FROM dlock_list()});
}

#
# Writing, loading, and writing anew
#
rows($node, <<"EOSQL");
SET dlock.durable = off;
SELECT count(dlock_acquire('many:' || i, ttl := '1 h', scope := 'lease', client := 'client:' || i % 20000))
FROM generate_series(1, $many) i
EOSQL
poll_rows($node, q{SELECT count(*) FROM dlock.locks WHERE status = 'held'}, $many);
table_matches($node);
is(rows($node, 'SELECT count(*), count(DISTINCT name) FROM dlock.clients'), '20000|20000', 'each client has its row');
is( rows($node, 'SELECT count(*) FROM dlock.locks l JOIN dlock.clients c ON c.id = l.owner_id AND c.name = l.owner'),
	$many, 'which the rows of its leases name');
is_small('many leases are written');

my $before = leases();
my $marks = rows($node, q{SELECT sum(xmin::text::int8), count(*) FROM dlock.locks WHERE status = 'held'});

crash($node);
is(leases(), $before, 'after a crash all leases are there');
like(rows($node, q{SELECT dlock_acquire('first', client := 'new')}), qr/^\d+$/, 'and others are granted');
is_small('they are loaded');
is( rows($node, q{SELECT sum(xmin::text::int8), count(*) FROM dlock.locks WHERE resource_name LIKE 'many:%'}),
	$marks, 'their rows are left as they were');
is(rows($node, q{SELECT dlock_release('first', client := 'new')}), 't', 'released');

# a row that was there is updated, in its place
rows($node, q{SELECT dlock_set_options('many:7', ttl := '2 h', client := 'client:7'),
	dlock_release('many:8', client := 'client:8')});
table_matches($node);
is( rows($node, q{SELECT ttl FROM dlock.locks WHERE resource_name = 'many:7'}),
	'02:00:00', 'a lease that was loaded is changed');
$before = leases();
crash($node);
is(leases(), $before, 'and is loaded as it was changed, and not if it was released');
is_small('they are loaded again');

rows($node, 'VACUUM FULL dlock.locks');
like(rows($node, q{SELECT dlock_acquire('anew', client := 'new')}), qr/^\d+$/, 'all rows are written anew');
is_small('all rows are written anew');
table_matches($node);
$before = leases();
crash($node);
is(leases(), $before, 'and say the same as before');

#
# Parts
#

# in_parts(WHAT, SUB) calls SUB while the writer has taken the first part of a
# batch, which has the lease on "back" in it, and has not closed the batch.
sub in_parts
{
	my ($what, $sub) = @_;
	my %s = map { $_ => session($node) } qw(locker owner other);
	my $position;

	note $what;
	rows($node, "SET dlock.durable = off; SELECT count(dlock_acquire('some:' || i, ttl := '1 h', scope := 'lease', client := 'some')) FROM generate_series(1, $some) i");
	ask($s{owner}, q{SET dlock.client = 'owner'; SELECT dlock_acquire('back', ttl := '1 h')});
	my $pid = backend_pid($s{owner});
	table_matches($node);
	$position = log_position($node);
	set_stop($node, 'part_collected');
	ask($s{locker}, 'BEGIN; LOCK TABLE dlock.locks IN ACCESS EXCLUSIVE MODE');
	is(rows($node, q{SELECT dlock_release_all('some')}), $some, 'many are released');
	# the slot that was marked last is taken first
	begin_ask($s{owner}, q{SELECT dlock_set_options('back', ttl := '2 h')});
	poll_until('the owner waits for its change', sub { sleeping($node, $pid) });
	ask($s{locker}, 'ROLLBACK');
	wait_stopped($node, 'part_collected', $position);
	$sub->(\%s);
	abandon($_) foreach values %s;
	return;
}

# take_over(SESSIONS) ends the lease while its row is being written as held.
sub take_over
{
	my ($s) = @_;

	is(rows($node, q{SELECT dlock_force_release('back')}), '1', 'the lease ends');
	begin_ask($s->{other}, q{SET dlock.client = 'other'; BEGIN; SELECT dlock_acquire('back', scope := 'transaction') > 0});
	poll_rows($node, q{SELECT holder FROM dlock_status('back')}, 'other');
	ok(is_waiting($s->{other}), 'the next grant waits until that is durable');
	ok(is_waiting($s->{owner}), 'and nothing of the batch is told');
	return;
}

in_parts('a crash between two parts', sub {
	my ($s) = @_;

	take_over($s);
	kill_postmaster($node);
	unlike(abandon($s->{other}), qr/^t$/m, 'nobody was told of the next grant');
	clear_stop($node);
	poll_start($node);
	is(rows($node, q{SELECT holder FROM dlock_status('back')}), 'owner', 'the lease is back');
	is(rows($node, q{SELECT remaining < '1.2 h' FROM dlock_status('back')}), 't', 'with what was durable');
	is(rows($node, q{SELECT count(*) FROM dlock_list('some')}), $some, 'and all others');
	table_matches($node);
	rows($node, q{SELECT dlock_release_all('some'), dlock_force_release('back')});
});

in_parts('a lease that changes between two parts', sub {
	my ($s) = @_;

	take_over($s);
	clear_stop($node);
	like(end_ask($s->{other}), qr/^t$/m, 'when all is durable, the next one has it');
	is( rows($node, q{SELECT count(*) FROM dlock.locks WHERE status = 'held' AND (resource_name = 'back' OR owner = 'some')}),
		'0', 'and no row says what was when the first part was taken');
	crash($node);
	is(rows($node, q{SELECT status FROM dlock_status('back')}), 'free', 'nor does a crash bring that back');
	is(rows($node, q{SELECT count(*) FROM dlock_list('some')}), '0', 'nor the others');
	table_matches($node);
});
is_small('after that');

#
# Rows that no lease has any more
#
{
	my $position = log_position($node);

	like(rows($node, q{SELECT dlock_acquire('empty', client := 'new')}), qr/^\d+$/, 'a lease');
	set_stop($node, 'slots_trimmed');
	is(rows($node, q{SELECT dlock_release('empty', client := 'new')}), 't', 'is released');
	wait_stopped($node, 'slots_trimmed', $position);
	poll_rows($node, q{SELECT count(*) > 0 FROM dlock.locks WHERE status = 'released'}, 't');
	kill_postmaster($node);
	clear_stop($node);
	poll_start($node);
	poll_ready($node);
	poll_rows($node, q{SELECT count(*) FROM dlock.locks WHERE status = 'released'}, '0');
	table_matches($node);
}

# tamper(INSERTS) adds rows, as nobody should.
sub tamper
{
	my (@inserts) = @_;

	rows($node, join ';',
		'ALTER TABLE dlock.locks DISABLE TRIGGER ALL',
		(map { <<"EOSQL" } @inserts),
INSERT INTO dlock.locks
SELECT id, resource_name, token + ($_->{add}), NULL, '$_->{owner}', owner_role, '$_->{mode}', scope,
	hold_count, acquired_at, ttl, expiration_at, status
FROM dlock.locks WHERE resource_name = '$_->{resource}' AND status = 'held' LIMIT 1
EOSQL
		'ALTER TABLE dlock.locks ENABLE ALWAYS TRIGGER dlock_refuse_write',
		'ALTER TABLE dlock.locks ENABLE ALWAYS TRIGGER dlock_refuse_row');
	return;
}

# Of rows that exclude each other the newest counts, in whatever order they are.
{
	my $position;

	expect_log($node, qr/dlock writer WARNING:  lease on resource "twice:/);
	rows($node, q{SELECT dlock_acquire('twice:' || r, ttl := '1 h', client := 'true') FROM unnest('{old,new,same}'::text[]) r});
	rows($node, q{SELECT dlock_acquire('twice:shared', mode := 'shared', ttl := '1 h', client := 'true-' || i) FROM generate_series(1, 3) i});
	table_matches($node);
	tamper(
		{ resource => 'twice:old', add => -1, owner => 'false', mode => 'exclusive' },
		{ resource => 'twice:new', add => 1000, owner => 'false', mode => 'exclusive' },
		{ resource => 'twice:same', add => 2000, owner => 'true', mode => 'shared' },
		{ resource => 'twice:shared', add => 3000, owner => 'false', mode => 'exclusive' });
	$before = rows($node, q{SELECT dlock_acquire('twice:above', ttl := '1 h', client := 'true')});
	$position = log_position($node);
	crash($node);
	is(rows($node, q{SELECT resource, client FROM dlock_list() WHERE resource LIKE 'twice:%' ORDER BY 1, 2}), <<'EOT' =~ s/\n\z//r, 'of rows that exclude each other the newest is loaded');
twice:above|true
twice:new|false
twice:old|true
twice:same|true
twice:shared|false
EOT
	is( scalar(() = slurp_file($node->logfile, $position) =~ /WARNING:  lease on resource "twice:\w+" with token \d+ is out of date/g),
		6, 'and each other one is reported');
	table_matches($node);
	is( rows($node, q{SELECT count(*) FROM dlock.locks WHERE resource_name LIKE 'twice:%'}),
		'5', 'its row is gone');
	is(rows($node, q{SELECT mode FROM dlock_status('twice:same')}), 'shared', 'also of one client');
	is( rows($node, q{SELECT count(dlock_force_release(resource)) FROM dlock_list() WHERE resource LIKE 'twice:%'}),
		'5', 'they are released');
	table_matches($node);
	$position = log_position($node);
	crash($node);
	is(rows($node, q{SELECT count(*) FROM dlock_list() WHERE resource LIKE 'twice:%'}), '0', 'and none comes back');
	unlike(slurp_file($node->logfile, $position), qr/out of date/, 'nor is any reported');
}

done_testing();
