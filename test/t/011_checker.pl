# What must hold: the checker of the torture test accepts every history that
# keeps dlock's promises.  It rejects each history that breaks a promise, by
# the rule for that promise and by no other.
#
# Why it could fail: a rule that is too strict reports a correct server some
# day, and a rule that is too lax never reports anything.  A run of the torture
# test shows neither.
#
# The histories are the files in test/histories; test/README.md describes them.
use strict;
use warnings;

use DlockNode qw(run_bounded);
use File::Find;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my $check = "$FindBin::Bin/../torture/check.pl";
my $histories = "$FindBin::Bin/../histories";
my $dir = PostgreSQL::Test::Utils::tempdir;
my $files = 0;

#
# From the short form to a history
#
my %defaults = (
	acquire => 'mode=exclusive scope=lease priority=0 ttl=1000');
my %row_defaults = (
	list => 'mode=exclusive count=1',
	queue => 'mode=exclusive priority=0');

sub filled
{
	my ($defaults, @words) = @_;
	my %given = map { /^(\w+)=/ ? ($1 => 1) : () } @words;

	return join ' ', @words, grep { /^(\w+)=/ && !$given{$1} } split ' ', $defaults;
}

sub written
{
	my ($text) = @_;
	my (%n, %kind);
	my @history;

	foreach my $line (split /\n/, $text)
	{
		my ($time, $actor, $what, @words) = split ' ', $line;

		if ($what eq 'ask')
		{
			my $kind = $kind{$actor} = shift @words;
			my $defaults = ($defaults{$kind} // '') . " session=1 client=$actor";

			push @history, "$time $actor invoke " . ++$n{$actor} . " $kind " . filled($defaults, @words);
			next;
		}
		my $defaults = $what eq 'row' ? $row_defaults{ $kind{$actor} } // '' : '';
		push @history, "$time $actor $what $n{$actor} " . filled($defaults, @words);
	}
	return join "\n", @history, '';
}

#
# The files
#

# history_files() gives the names of all files, without the folder.
sub history_files
{
	my @found;

	find({ no_chdir => 1, wanted => sub {
		push @found, $1 if m{^\Q$histories\E/(.+)\.history$};
	} }, $histories);
	return sort @found;
}

# history(NAME) gives what its comment says is to be found, and the text after
# the comment.
sub history
{
	my ($name) = @_;
	my $text = slurp_file("$histories/$name.history");

	$text =~ s/\A(?:# .*\n)+# finding: (.+)\n//
	  or die "$name.history does not begin with a comment and a finding";
	return ($1, $text);
}

# verdict(TEXT) gives the exit code and the rules that were broken.
sub verdict
{
	my ($text) = @_;
	my $file = "$dir/" . ++$files . '.history';
	my ($status, $out, $err);

	append_to_file($file, $text);
	($status, $out, $err) = run_bounded([ $^X, $check, '--quiet', $file ]);
	return ($status >> 8, join(' ', $out =~ /^violations of (\S+):/mg), $out . $err);
}

foreach my $name (history_files())
{
	my ($finding, $text) = history($name);
	my ($status, $broken, $said);

	if ($name =~ m{^accept/})
	{
		die "$name.history is to be accepted" if $finding ne 'none';
		($status, $broken, $said) = verdict(written($text));
		is("exit $status $broken", 'exit 0 ', $name) or diag $said;
	}
	elsif ($name =~ m{^reject/([^/]+)/})
	{
		die "$name.history is to break the rule $1" if $finding !~ /(?<!\S)\Q$1\E(?!\S)/;
		($status, $broken, $said) = verdict(written($text));
		is("exit $status $broken", "exit 1 $finding", $name) or diag $said;
	}
	elsif ($name =~ m{^unreadable/})
	{
		die "$name.history is to be unreadable" if $finding ne 'unreadable';
		($status, $broken, $said) = verdict($text);
		is($status, 2, $name) or diag $said;
		like($said, qr/^bad history: .+:\d+: /m, "$name: the message has file and line");
	}
	else
	{
		die "$name.history is in no folder of the test";
	}
}

#
# What cannot be a file there
#
{
	my ($status) = verdict(written('10 a ask acquire resource=r') . '12 a ok 1 tok');
	is($status, 0, 'the last line is incomplete: accepted');
}
is((run_bounded([ $^X, $check, "$dir/none" ]))[0] >> 8, 2, 'no such file');

done_testing();
