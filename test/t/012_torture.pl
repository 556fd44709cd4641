# What must hold: whatever some 40 clients and a hostile administrator do to a
# server for most of a minute, crashes included, every promise of dlock is kept
# (test/perl/DlockChecker.pm lists the rules), and in the end nothing is left.
# Some of the clients write under leases of all scopes and durabilities, and go
# on with tokens that are not theirs any more.
#
# Why it could fail: each of the other tests looks at one thing in an order
# that somebody thought of.
#
# DLOCK_TORTURE_SECONDS and DLOCK_TORTURE_SEED give other lengths and seeds;
# "make torture" is the same outside of the suites.
use strict;
use warnings;

use File::Path qw(rmtree);
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{DLOCK_TORTURE_SECONDS} || 45;
my $seed = $ENV{DLOCK_TORTURE_SEED} || 1 + int rand 1_000_000;
my $limit = $PostgreSQL::Test::Utils::timeout_default;

# what there has to be in a run of any length, in the words of check.pl
my @certain = (
	'grants', 'grants to holders', 'contended grants', 'hand-overs',
	'leases that ran out', 'leases found lost', 'upgrades',
	'shared leases at the same time', 'ambiguous answers', 'crashes',
	'crashes that were looked at', 'leases that had to survive a crash',
	'leases that had to be in a list', 'waiters seen', 'turns in a queue',
	'grants that had to wait for others', 'tokens that had to rise',
	'final looks', 'kinds of slots looked at',
	# old tokens, and work
	'transaction grants over durable ends',
	'other grants without durability over durable ends',
	'resources that changed hands just before a crash', 'old tokens that were tried',
	'zombies that tried', 'rows in order of tokens', 'rows that had to be there',
	'rows that must not be there');

my $dir = "$PostgreSQL::Test::Utils::tmp_check/torture";
my $out = '';
rmtree($dir);
diag "seed $seed";
my $fine = IPC::Run::run(
	[ $^X, "$FindBin::Bin/../torture/torture.pl", '--dir', $dir,
		'--socket-dir', PostgreSQL::Test::Utils::tempdir_short(),
		'--seconds', $seconds, '--seed', $seed ],
	'<' => \undef,
	'>&' => \$out,
	IPC::Run::timeout($seconds + 5 * $limit));

ok($fine, "every promise was kept (seed $seed)") or diag $out;
note $out;
foreach my $what (@certain)
{
	my ($count) = $out =~ /^\Q$what\E: (\d+)$/m;

	cmp_ok($count // 0, '>', 0, $what);
}
foreach my $kind (qw(acquire release release_all renew renew_all upgrade downgrade
	commit rollback rollback_to savepoint connect disconnect fence work force priority))
{
	ok($out =~ /^$kind: .*\bok [1-9]/m, "$kind was answered");
}
rmtree($dir) if $fine;

done_testing();
