# What must hold: docs/guide.md is true as it stands.  Its SQL gives the output
# that it shows.  Its Python program does its work and leaves no lease behind;
# it commits nothing when its lease is taken away, wherever it is at that
# moment; it renews its lease while it works, goes away when somebody else has
# it, and comes to its end under the same lease when the server crashes.
#
# Why it could fail: nobody runs a page by hand after each change.  A program
# that is only read has no heartbeat that stops, and no commit that fails.
use strict;
use warnings;

use FindBin;
use IPC::Run;

use DlockNode qw(dlock_node crash poll_ready poll_rows limit rows expect_log);
use DlockSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = dlock_node('guide');
my $page = slurp_file("$FindBin::RealBin/../../docs/guide.md");

rows($node, 'CREATE DATABASE guide');
expect_log(
	$node,
	qr/client backend .*ERROR:  client name is required/,
	qr/client backend .*ERROR:  could not obtain a lease on resource "invoice:\d+"/,
	qr/client backend .*ERROR:  could not commit because a lease was lost/,
	qr/client backend .*ERROR:  lease on resource "invoice:\d+" is not held/,
	qr/client backend .*ERROR:  cannot write to table "invoice" without holding/,
	qr/client backend .*FATAL:  terminating connection due to unexpected postmaster exit/);

#
# SQL
#
my %sessions;
my $asked = 0;

# session(NAME) gives the session of that name, which prints as the page says.
sub session
{
	my ($name) = @_;

	return $sessions{$name} if $sessions{$name};
	$sessions{$name} = DlockSession->new($node, dbname => 'guide');
	$sessions{$name}->ask(join "\n",
		'\set QUIET on', '\pset tuples_only off', '\pset format aligned',
		'\pset footer off', '\pset null NULL', '\set VERBOSITY default');
	return $sessions{$name};
}

# statements(BLOCK) splits a block.  A statement ends with a line that ends with
# a semicolon or \gset.
sub statements
{
	my ($block) = @_;
	my @statements = $block =~ /\G(.*?(?:;|\\gset)\n)/sg;

	is(join('', @statements), $block, 'no statement is left open');
	return @statements;
}

# run_block(BLOCK) gives what psql prints for it, results and errors in order.
sub run_block
{
	my ($block) = @_;
	my $name = $block =~ s/^-- session (\w+)\n// ? $1 : 'worker';
	my $printed = '';

	foreach my $statement (statements($block))
	{
		my ($out, $err) = session($name)->ask($statement);

		$asked++;
		$printed .= "$out\n$err\n";
	}
	return $printed =~ s/^psql:<stdin>:\d+: //mgr;
}

# Tokens of the page, and those that the server gave instead: the same token on
# the page is the same here, and another is another.
my (%given, %shown);

sub same_token
{
	my ($shown, $given) = @_;

	return $shown eq $given if "$shown$given" !~ /^\d+$/;
	return ($given{$shown} //= $given) eq $given
	  && ($shown{$given} //= $shown) eq $shown;
}

# masked(TEXT) gives it with the same times and widths everywhere; tokens are
# taken out and given as well.
sub masked
{
	my ($text) = @_;
	my ($column, @masked, @tokens);

	$text =~ s/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d(?::\d\d)?/TIME/g;
	$text =~ s/\d\d:\d\d:\d\d(?:\.\d+)?/INTERVAL/g;
	my @lines = grep { !/^\s*$/ } split /\n/, $text;

	while (@lines)
	{
		my $line = shift @lines;
		my @cells = map { s/^\s+|\s+$//gr } split /\|/, $line, -1;

		undef $column if $line =~ /^[A-Z]+: /;
		if (@lines && $lines[0] =~ /^-[-+]*$/)
		{
			# the names of the columns, and the line below
			($column) = grep { $cells[$_] eq 'token' } 0 .. $#cells;
			shift @lines;
		}
		elsif (defined $column)
		{
			push @tokens, $cells[$column];
			$cells[$column] = 'TOKEN';
		}
		push @masked, join ' | ', @cells;
	}
	return (join("\n", @masked), @tokens);
}

# compare(PRINTED, EXPECTED, NAME) tests that psql has printed what the page
# shows.  Details and hints may be left out there.
sub compare
{
	my ($printed, $expected, $name) = @_;

	foreach my $field (qw(DETAIL HINT))
	{
		$printed =~ s/^$field:.*\n//mg unless $expected =~ /^$field:/m;
	}
	my ($is, @given) = masked($printed);
	my ($ought, @shown) = masked($expected);

	is($is, $ought, "$name: output");
	is(scalar @given, scalar @shown, "$name: as many tokens");
	ok(same_token($shown[$_], $given[$_]),
		"$name: token $given[$_] where the page has $shown[$_]")
	  foreach 0 .. $#shown;
	return;
}

# A block of the page, with its indentation if it is part of a list, or what is
# to happen in between.
my $part = qr/^([ ]*)```(\w+)\n(.*?)^\1```$|^<!--\ test:\ (\w+)\ -->$/msx;
my @parts;
while ($page =~ /$part/g)
{
	my ($indent, $kind, $text, $event) = ($1, $2, $3, $4);

	push @parts, defined $event
	  ? { kind => $event, text => '' }
	  : { kind => $kind, text => $text =~ s/^$indent//mgr };
}
my ($program) = map { $_->{text} } grep { $_->{kind} eq 'python' } @parts;

for (my $i = 0; $i < @parts; $i++)
{
	my ($kind, $text) = @{ $parts[$i] }{qw(kind text)};
	my ($name) = $text =~ /(.*)/;

	if ($kind eq 'crash')
	{
		crash($node);
		%sessions = ();
		poll_ready($node, 'guide');
	}
	next unless $kind eq 'sql';
	my $printed = run_block($text);

	if ($i < $#parts && $parts[ $i + 1 ]{kind} eq 'text')
	{
		compare($printed, $parts[ ++$i ]{text}, $name);
	}
	else
	{
		unlike($printed, qr/\b(?:ERROR|FATAL|WARNING):/, "$name: no complaint");
	}
}
cmp_ok($asked, '>', 30, 'the page has statements');
is(scalar(grep { $_->{kind} eq 'crash' } @parts), 1, 'the page has a crash');
$_->quit foreach values %sessions;

#
# Python
#
my $script = "$PostgreSQL::Test::Utils::tmp_check/guide_worker.py";
my ($python) = grep { system("$_ -c 'import psycopg' 2>/dev/null") == 0 } qw(python3 /usr/bin/python3);
my $next_invoice = 1000;

ok(defined $program, 'the page has a program');
die 'there is no Python with psycopg' unless defined $python;
append_to_file($script, $program);

sub on_guide { return rows($node, $_[0], 'guide'); }

# new_invoice() gives the number of one that is open.
sub new_invoice
{
	my $invoice = $next_invoice++;

	on_guide(qq{
		SET dlock.client = 'setup';
		SELECT dlock_acquire('invoice:$invoice');
		INSERT INTO invoice VALUES ($invoice, 10, 'open');
		SELECT dlock_release('invoice:$invoice')});
	return $invoice;
}

# start_worker(INVOICE, TTL) starts the program.
sub start_worker
{
	my ($invoice, $ttl) = @_;
	my %worker = (out => '', err => '', invoice => $invoice);

	local %ENV = (
		%ENV,
		PGHOST => $node->host,
		PGPORT => $node->port,
		PGDATABASE => 'guide',
		PGAPPNAME => "worker $invoice",
		WORKER_TTL => $ttl);
	$worker{run} = IPC::Run::start(
		[ $python, $script, $invoice ],
		'<' => \undef,
		'>' => \$worker{out},
		'2>' => \$worker{err},
		IPC::Run::timeout(limit()));
	return \%worker;
}

# end_worker(WORKER) gives its exit code.
sub end_worker
{
	my ($worker) = @_;

	IPC::Run::finish($worker->{run});
	note "worker of invoice $worker->{invoice}: $worker->{out}$worker->{err}";
	return $worker->{run}->result(0);
}

# connections(WORKER, CONDITION) counts those of the program's sessions for
# which it is true.
sub connections
{
	my ($worker, $condition) = @_;
	return "SELECT count(*) FROM pg_stat_activity
		WHERE application_name = 'worker $worker->{invoice}' AND ($condition)";
}

# wait_in_the_middle(WORKER) waits until it waits for a lock of the server and
# its heartbeat has been answered once.
sub wait_in_the_middle
{
	my ($worker) = @_;

	poll_rows($node, connections($worker, q{wait_event_type = 'Lock'}), '1');
	return poll_rows($node,
		connections($worker, q{state = 'idle' AND query LIKE '%dlock_renew%'}), '1');
}

# hold_table() gives a session in whose way readers of the table are.
sub hold_table
{
	my $holder = DlockSession->new($node, dbname => 'guide');

	$holder->ask('BEGIN');
	$holder->ask('LOCK TABLE invoice IN ACCESS EXCLUSIVE MODE');
	return $holder;
}

sub take_away
{
	my ($worker) = @_;
	return on_guide("SELECT dlock_force_release('invoice:$worker->{invoice}')");
}

sub status_of
{
	my ($worker) = @_;
	return on_guide("SELECT status FROM invoice WHERE id = $worker->{invoice}");
}

sub leases_of
{
	my ($worker) = @_;
	return on_guide("SELECT count(*) FROM dlock_list() WHERE resource = 'invoice:$worker->{invoice}'");
}

# undisturbed, and once more
my $worker = start_worker(new_invoice(), 30);
is(end_worker($worker), 0, 'undisturbed: ends well');
is($worker->{err}, '', 'undisturbed: no complaint');
is(status_of($worker), 'charged', 'undisturbed: the work is done');
is(leases_of($worker), '0', 'undisturbed: the lease is given back');
$worker = start_worker($worker->{invoice}, 30);
is(end_worker($worker), 0, 'a second time: ends well');
is(leases_of($worker), '0', 'a second time: the lease is given back');

# somebody else has it
my $other = DlockSession->new($node, dbname => 'guide');
my $invoice = new_invoice();
$other->ask("SELECT dlock_acquire('invoice:$invoice', ttl := '10 min', client := 'other')");
$worker = start_worker($invoice, 30);
is(end_worker($worker), 2, 'somebody else has it: exit code');
like($worker->{err}, qr/^55P03: could not obtain a lease/, 'somebody else has it: the error');
is(status_of($worker), 'open', 'somebody else has it: nothing is written');
$other->quit;

# The lease is taken away while it works.  The next heartbeat comes much later,
# so it is the fence that notices.
$invoice = new_invoice();
my $holder = hold_table();
$worker = start_worker($invoice, 3600);
wait_in_the_middle($worker);
is(take_away($worker), '1', 'taken away before the write');
$holder->quit;
is(end_worker($worker), 1, 'taken away before the write: exit code');
like($worker->{err}, qr/^LK001: lease on resource "invoice:$invoice" is not held/,
	'taken away before the write: it notices');
is(status_of($worker), 'open', 'taken away before the write: nothing is committed');

# the same, and the heartbeat notices: it closes its connection
$invoice = new_invoice();
$holder = hold_table();
$worker = start_worker($invoice, 9);
wait_in_the_middle($worker);
take_away($worker);
poll_rows($node, connections($worker, 'true'), '1');
$holder->quit;
is(end_worker($worker), 1, 'heartbeat: exit code');
is($worker->{err}, "the lease on invoice:$invoice is lost\n", 'heartbeat: it notices');
is(status_of($worker), 'open', 'heartbeat: nothing is committed');

# the same between the write and the end of the COMMIT
on_guide(q{
	CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(25);
		RETURN NULL;
	END $$;
	CREATE CONSTRAINT TRIGGER wait_at_commit AFTER UPDATE ON invoice
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_commit()});
$holder = DlockSession->new($node, dbname => 'guide');
$holder->ask('SELECT pg_advisory_lock(25)');
$worker = start_worker(new_invoice(), 3600);
wait_in_the_middle($worker);
is(take_away($worker), '1', 'taken away before the commit');
$holder->quit;
is(end_worker($worker), 1, 'taken away before the commit: exit code');
like($worker->{err}, qr/^LK001: could not commit because a lease was lost/,
	'taken away before the commit: it notices');
is(status_of($worker), 'open', 'taken away before the commit: nothing is committed');

# It works for longer than its lease lasts: the lease goes on.
$invoice = new_invoice();
$holder = hold_table();
$worker = start_worker($invoice, 9);
wait_in_the_middle($worker);
poll_rows($node,
	"SELECT expires_at > acquired_at + '11 s' FROM dlock_list() WHERE resource = 'invoice:$invoice'",
	't', 'guide');
$holder->quit;
is(end_worker($worker), 0, 'long work: the lease is renewed');
is(status_of($worker), 'charged', 'long work: the work is done');

# the server crashes
$invoice = new_invoice();
$holder = hold_table();
$worker = start_worker($invoice, 30);
wait_in_the_middle($worker);
crash($node);
$holder->close;
is(end_worker($worker), 0, 'crash: ends well');
like($worker->{out}, qr/^token (\d+)\ntoken \1\ninvoice $invoice is charged$/,
	'crash: under the same lease');
is(status_of($worker), 'charged', 'crash: the work is done');
is(leases_of($worker), '0', 'crash: the lease is given back');

done_testing();
