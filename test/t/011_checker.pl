# What must hold: the checker of the torture test accepts what dlock may do,
# and rejects each history in which a promise is broken, by the rule that says
# so, and no other.
#
# Why it could fail: a rule that is too strict finds fault with a right server
# some day, and one that is too lax never finds anything; neither shows in a
# run of the torture test.
#
# Histories are written here in short: TIME ACTOR ask KIND..., and TIME ACTOR
# ok|no|fail|lost|row; what is left out is filled in.
use strict;
use warnings;

use DlockNode qw(run_bounded);
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my $check = "$FindBin::Bin/../torture/check.pl";
my $dir = PostgreSQL::Test::Utils::tempdir;
my $files = 0;

#
# From the short form to a history
#
my %defaults = (
	acquire => 'mode=exclusive scope=lease priority=0 ttl=1000',
	connect => '', disconnect => '', begin => '', commit => '', rollback => '',
	savepoint => '', rollback_to => '', work => '', fence => '', worktable => '');
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
	my (@lines) = @_;
	my (%n, %kind);
	my @history;

	foreach my $line (grep { $_ ne '' } map { s/^\s+|\s+$//gr } @lines)
	{
		my ($time, $actor, $what, @words) = split ' ', $line;

		if ($what eq 'ask')
		{
			my $kind = $kind{$actor} = shift @words;
			my $defaults = ($defaults{$kind} // '') . " session=1 client=$actor";

			push @history, "$time $actor invoke " . ++$n{$actor} . " $kind " . filled($defaults, @words);
			next;
		}
		my $defaults = $what eq 'row' ? $row_defaults{ $kind{$actor} } : '';
		push @history, "$time $actor $what $n{$actor} " . filled($defaults, @words);
	}
	return join "\n", @history, '';
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

sub history_is
{
	my ($name, $exit, $rules, @lines) = @_;
	my ($status, $broken, $said) = verdict(written(@lines));

	is("exit $status $broken", "exit $exit $rules", $name) or diag $said;
	return;
}

# accepted(NAME, HISTORY)
sub accepted
{
	my ($name, $text) = @_;
	return history_is("accepted: $name", 0, '', split /\n/, $text);
}

# rejected(RULE, NAME, HISTORY)
sub rejected
{
	my ($rule, $name, $text) = @_;
	return history_is("$rule: $name", 1, $rule, split /\n/, $text);
}

# unreadable(NAME, TEXT), as it stands
sub unreadable
{
	my ($name, $text) = @_;
	my ($status, undef, $said) = verdict($text);

	is($status, 2, "no history: $name") or diag $said;
	like($said, qr/^bad history: .+:\d+: /m, 'and where is told');
	return;
}

#
# What may be
#
accepted('a hand-over, heard before the release is answered', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 b ask acquire resource=r
30 a ask release resource=r
31 b ok token=2
32 a ok
EOH
accepted('a lease that runs out', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
20 b ask acquire resource=r
110 b ok token=2
EOH
accepted('the strongest hold is given back first', <<'EOH');
10 a ask acquire resource=r ttl=10000 mode=shared
12 a ok token=1
13 a ask acquire resource=r ttl=10000
14 a ok token=1
15 a ask release resource=r
16 a ok
20 b ask acquire resource=r mode=shared
21 b ok token=2
EOH
accepted('an upgrade that ends with its transaction', <<'EOH');
10 a ask acquire resource=r ttl=10000 mode=shared
12 a ok token=1
13 a ask begin
14 a ok
15 a ask acquire resource=r scope=transaction kept=1
16 a ok token=1
17 a ask release resource=r
18 a ok
20 a ask commit
21 a ok
22 b ask acquire resource=r mode=shared
23 b ok token=2
30 o ask list
31 o row resource=r client=a token=1 mode=shared
31 o row resource=r client=b token=2 mode=shared
31 o ok
EOH
accepted('an upgrade that ends with its savepoint', <<'EOH');
10 a ask acquire resource=r ttl=10000 mode=shared
12 a ok token=1
13 a ask begin
14 a ok
15 a ask savepoint
16 a ok
17 a ask acquire resource=r scope=transaction kept=1
18 a ok token=1
20 a ask rollback_to
21 a ok
22 b ask acquire resource=r mode=shared
23 b ok token=2
24 a ask commit
25 a ok
EOH
accepted('a commit that is refused because what it has released is lost', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
20 a ask begin
21 a ok
22 a ask work resource=r token=1
23 a ok id=1
24 a ask release resource=r
25 a ok
150 b ask acquire resource=r
151 b ok token=2
160 a ask commit
161 a fail state=LK001
EOH
accepted('shared leases together', <<'EOH');
10 a ask acquire resource=r mode=shared
11 b ask acquire resource=r mode=shared
12 a ok token=2
13 b ok token=1
20 o ask list
21 o row resource=r client=a token=2 mode=shared
21 o row resource=r client=b token=1 mode=shared
21 o ok
EOH
accepted('a lease renewed for so short a time that it is over before the answer', <<'EOH');
10 a ask acquire resource=r ttl=1000
12 a ok token=1
20 a ask renew resource=r token=1 ttl=50
75 b ask acquire resource=r
76 b ok token=2
90 a fail state=LK001
EOH
accepted('a renewed lease, found lost in the end', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
20 b ask acquire resource=r
90 a ask renew resource=r token=1 ttl=50
92 a ok
140 b ok token=2
141 a ask renew resource=r token=1
142 a fail state=LK001
EOH
accepted('a shorter duration', <<'EOH');
10 a ask acquire resource=r ttl=10000
12 a ok token=1
20 a ask renew resource=r ttl=100
21 a ok
120 b ask acquire resource=r
121 b ok token=2
EOH
accepted('a renewal without an answer, which may have made it shorter', <<'EOH');
10 a ask acquire resource=r ttl=10000
12 a ok token=1
20 a ask renew resource=r ttl=100
21 a lost
120 b ask acquire resource=r
121 b ok token=2
EOH
accepted('a grant without an answer, seen by the observer', <<'EOH');
10 a ask acquire resource=r
12 a lost
20 o ask list
21 o row resource=r client=a token=1
21 o ok
30 b ask acquire resource=r
1031 b ok token=2
EOH
accepted('a killed client, nothing known', <<'EOH');
10 a ask acquire resource=r
20 b ask acquire resource=r
21 b ok token=1
EOH
accepted('a cancel that came too late, and what follows', <<'EOH');
10 a ask acquire resource=r
12 a fail state=57014
20 o ask list
21 o row resource=r client=a token=1
21 o ok
22 a ask release resource=r
23 a ok
24 a ask release resource=r
25 a no
30 b ask acquire resource=r
31 b ok token=2
EOH
accepted('a timeout', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 b ask acquire resource=r
30 b fail state=55P03
31 b ask acquire resource=r
32 b no
EOH
accepted('a grant that could not be made durable in time, and comes back with a crash', <<'EOH');
10 a ask acquire resource=r
12 a fail state=LK005
20 h ask crash
30 h ok
40 o ask list
41 o row resource=r client=a token=1
41 o ok
EOH
accepted('a hold that could not be made durable in time, on a lease that stays', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 a ask acquire resource=r
21 a fail state=LK005
30 o ask list
31 o row resource=r client=a token=1
31 o ok
40 a ask release resource=r
41 a ok
42 b ask acquire resource=r
43 b ok token=2
EOH
accepted('a release at commit', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
20 a ask begin
21 a ok
22 a ask release resource=r
23 a ok
24 a ask release resource=r
25 a no
30 a ask commit
31 b ok token=2
32 a ok
EOH
accepted('a release that was rolled back', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 a ask begin
21 a ok
22 a ask release resource=r
23 a ok
24 a ask rollback
25 a ok
30 a ask renew resource=r token=1
31 a ok
EOH
accepted('two holds, one of them taken back by a savepoint', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask acquire resource=r
14 a ok token=1
20 a ask begin
21 a ok
22 a ask release resource=r
23 a ok
24 a ask savepoint
25 a ok
26 a ask release resource=r
27 a ok
28 a ask rollback_to
29 a ok
30 a ask commit
31 a ok
40 o ask list
41 o row resource=r client=a token=1 count=1
41 o ok
50 a ask release resource=r
51 a ok
60 o ask list
61 o ok
EOH
accepted('release and acquire in one transaction keep the lease', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 a ask begin
21 a ok
22 a ask release resource=r
23 a ok
24 a ask acquire resource=r
25 a ok token=1
26 a ask commit
27 a ok
30 o ask list
31 o row resource=r client=a token=1
31 o ok
EOH
accepted('a lease of a transaction', <<'EOH');
10 a ask begin
11 a ok
12 a ask acquire resource=r scope=transaction kept=1
13 a ok token=1
14 b ask acquire resource=r
20 a ask commit
21 b ok token=2
22 a ok
30 a ask acquire resource=r
31 a no
EOH
accepted('a commit that is refused, for the lease had run out', <<'EOH');
10 a ask begin
11 a ok
12 a ask acquire resource=r scope=transaction ttl=10
13 a ok token=1
30 b ask acquire resource=r
31 b ok token=2
40 a ask commit
41 a fail state=LK001
EOH
accepted('a commit that is refused, for the first of two leases had run out', <<'EOH');
10 a ask begin
11 a ok
12 a ask acquire resource=r scope=transaction ttl=10
13 a ok token=1
40 a ask acquire resource=r scope=transaction kept=1
41 a ok token=2
42 a ask commit
43 a fail state=LK001
EOH
accepted('a clock that a transaction has stopped once, and the next one has not', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
20 a ask begin
21 a ok
22 a ask acquire resource=r scope=transaction kept=1 ttl=100
23 a ok token=1
24 a ask commit
25 a ok
90 a ask begin
91 a ok
92 a ask acquire resource=r scope=transaction ttl=50
93 a ok token=1
94 a ask commit
95 a ok
143 b ask acquire resource=r
144 b ok token=2
EOH
accepted('a lease of a session that was terminated', <<'EOH');
5 a ask connect
6 a ok
10 a ask acquire resource=r scope=session kept=1
12 a ok token=1
20 a ask renew resource=r token=1
21 a ok
22 b ask acquire resource=r
23 b ok token=2
30 a ask renew resource=r token=1
31 a lost
EOH
foreach my $end ("60 a ask begin\n61 a lost\n", '')
{
	accepted('a session that was terminated, and nobody knows yet' . ($end && ', but then'), <<"EOH");
10 a ask acquire resource=r
12 a ok token=1
13 a ask acquire resource=r scope=session kept=1
14 a ok token=1
20 o ask list
21 o row resource=r client=a token=1
21 o ok
$end
EOH
}
accepted('a release of all without an answer, of a session that was terminated', <<'EOH');
5 a ask connect
6 a ok
10 a ask acquire resource=r
12 a ok token=1
13 a ask acquire resource=r scope=session kept=1
14 a ok token=1
16 o ask list
17 o row resource=r client=a token=1
17 o ok
20 a ask release_all
21 a lost
30 o ask list
31 o row resource=r client=a token=1
31 o ok
EOH
foreach my $end ('commit', 'rollback')
{
	accepted("a hold of a transaction that a crash has ended before its $end", <<"EOH");
5 a ask connect
6 a ok
10 a ask acquire resource=r
12 a ok token=1
14 a ask begin
15 a ok
16 a ask acquire resource=r scope=transaction kept=1
17 a ok token=1
20 h ask crash
30 h ok
40 o ask list
41 o row resource=r client=a token=1
41 o ok
50 a ask $end
51 a lost farewell=1
EOH
}
accepted('a lease that outlived its session in a crash, and was released then', <<'EOH');
5 a ask connect
6 a ok
10 a ask acquire resource=r scope=session kept=1
12 a ok token=1
14 a ask begin
15 a ok
20 h ask crash
30 h ok
31 a ask rollback
32 a lost farewell=1
33 a ask connect session=2
34 a ok
35 a ask release_all session=2
36 a ok count=1
40 b ask acquire resource=r
41 b ok token=1001
EOH
accepted('a lease of a session that disconnects', <<'EOH');
10 a ask acquire resource=r scope=session kept=1
12 a ok token=1
20 b ask acquire resource=r
30 a ask disconnect
31 b ok token=2
32 a ok
EOH
accepted('upgrade and downgrade', <<'EOH');
10 a ask acquire resource=r mode=shared
12 a ok token=1
13 b ask acquire resource=r mode=shared
14 b ok token=2
20 a ask upgrade resource=r
21 b ask release resource=r
22 b ok
23 a ok
24 b ask acquire resource=r mode=shared
30 a ask downgrade resource=r
31 b ok token=3
32 a ok
EOH
accepted('an upgrade that runs out of time', <<'EOH');
10 a ask acquire resource=r mode=shared
12 a ok token=1
13 b ask acquire resource=r mode=shared
14 b ok token=2
20 a ask upgrade resource=r
30 a fail state=55P03
40 o ask list
41 o row resource=r client=a token=1 mode=shared
41 o row resource=r client=b token=2 mode=shared
41 o ok
EOH
accepted('a crash, and more than the full duration again', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
50 h ask crash
80 h ok
81 o ask list
82 o row resource=r client=a token=1
82 o ok
150 b ask acquire resource=r
151 b no
200 b ask acquire resource=r
201 b ok token=1001
EOH
accepted('a release that a crash forgets', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 a ask release resource=r
21 a ok
50 h ask crash
80 h ok
81 o ask list
82 o row resource=r client=a token=1
82 o ok
90 a ask acquire resource=r
91 a ok token=1
EOH
accepted('a lease that is not durable, and a crash', <<'EOH');
5 a ask connect durable=0
6 a ok
10 a ask acquire resource=r
12 a ok token=1
50 h ask crash
80 h ok
81 o ask list
82 o ok
90 b ask acquire resource=r
91 b ok token=1001
EOH
accepted('a lease that is not durable, acknowledged before the crash had come', <<'EOH');
5 a ask connect durable=0
6 a ok
40 h ask crash
50 a ask acquire resource=r
52 a ok token=1
80 h ok
90 b ask acquire resource=r
91 b ok token=1001
EOH
accepted('a lease that was taken away by force', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
20 h ask force resource=r token=1
21 b ok token=2
22 h ok count=1
30 a ask renew resource=r token=1
31 a fail state=LK001
EOH
accepted('a session is told nothing of it', <<'EOH');
10 a ask acquire resource=r scope=session kept=1
12 a ok token=1
20 h ask force resource=r token=1
22 h ok count=1
30 b ask acquire resource=r
31 b ok token=2
40 a ask acquire resource=s
41 a ok token=3
EOH
accepted('a transaction that ends later is told nothing of it, either', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
13 a ask begin
14 a ok
15 a ask acquire resource=r scope=transaction kept=1
16 a ok token=1
20 h ask force resource=r token=1
22 h ok count=1
30 a ask rollback
31 a ok
40 b ask acquire resource=r ttl=100
41 b ok token=2
EOH
accepted('a lease whose time is over may stand in lists until somebody takes it', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
200 a ask release resource=r
201 a no
210 o ask list
211 o row resource=r client=a token=1
211 o ok
EOH
accepted('which neither a second question nor release_all changes', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
200 a ask release resource=r
201 a no
202 a ask release resource=r
203 a no
204 a ask release_all
205 a ok count=0
210 o ask list
211 o row resource=r client=a token=1
211 o ok
EOH
accepted('a lease without a token, which may not be shown yet', <<'EOH');
10 a ask acquire resource=r
20 o ask list
21 o row resource=r client=a
21 o ok
22 a ok token=1
EOH
accepted('higher priority first, then the order of arrival', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
14 o ask queue
15 o row resource=r client=b place=1 ticket=1
15 o ok
16 c ask acquire resource=r priority=1
17 o ask queue
18 o row resource=r client=c place=1 ticket=2 priority=1
18 o row resource=r client=b place=2 ticket=1
18 o ok
20 a ask release resource=r
21 c ok token=2
22 a ok
23 c ask release resource=r
24 b ok token=3
25 c ok
EOH
accepted('a waiter that was moved', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
14 o ask queue
15 o row resource=r client=b place=1 ticket=1
15 o ok
16 c ask acquire resource=r
17 h ask priority resource=r client=c priority=5
18 h ok
20 a ask release resource=r
21 c ok token=2
22 a ok
23 c ask release resource=r
24 b ok token=3
25 c ok
EOH
accepted('an upgrade stands ahead of all', <<'EOH');
10 a ask acquire resource=r mode=shared
12 a ok token=1
13 b ask acquire resource=r mode=shared
14 b ok token=2
15 c ask acquire resource=r priority=3
20 a ask acquire resource=r
21 o ask queue
22 o row resource=r client=a place=1 ticket=9
22 o row resource=r client=c place=2 ticket=3 priority=3
22 o ok
30 b ask release resource=r
31 a ok token=1
32 b ok
EOH
accepted('one who came before may have gone', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
14 o ask queue
15 o row resource=r client=b place=1 ticket=1
15 o ok
16 c ask acquire resource=r
17 b fail state=55P03
20 a ask release resource=r
21 c ok token=2
22 a ok
30 b ask acquire resource=r
50 c ask release resource=r
51 c ok
52 b ok token=3
EOH
accepted('tickets begin anew with every session of the observer', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
14 o ask queue
15 o row resource=r client=b place=1 ticket=9
15 o ok
20 a ask release resource=r
21 b ok token=2
22 a ok
30 h ask crash
40 h ok
41 d ask acquire resource=r
42 o ask queue session=2
43 o row resource=r client=d place=1 ticket=1
43 o ok
1020 d ok token=1001
EOH
accepted('a resource that becomes free while lists and queues are looked at', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
14 c ask acquire resource=s
15 o ask queue
16 o row resource=r client=b place=1 ticket=1
16 o ok
17 b fail state=55P03
18 a ask release resource=r
19 a ok
20 o ask list
21 o ok
22 b ask acquire resource=r
23 d ask acquire resource=r
24 o ask queue
25 o row resource=r client=b place=1 ticket=5
25 o ok
26 d ok token=4
EOH
accepted('tokens of requests at the same time', <<'EOH');
10 a ask acquire resource=r
11 b ask acquire resource=s
12 a ok token=2
13 b ok token=1
EOH
#
# Old tokens, and work, that are all right
#
accepted('a lease that comes back with a crash, when nobody else was told of it', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
120 b ask acquire resource=r scope=transaction
130 h ask crash
131 b lost
140 h ok
150 a ask renew resource=r token=1
151 a ok
EOH
accepted('what is not durable may be gone after a crash', <<'EOH');
5 b ask connect durable=0
6 b ok
10 a ask acquire resource=r ttl=100
12 a ok token=1
120 b ask acquire resource=r
121 b ok token=2
130 h ask crash
140 h ok
150 a ask renew resource=r token=1
151 a fail state=LK001
160 c ask acquire resource=r
161 c ok token=1001
EOH
accepted('old tokens that are tried in vain', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
120 b ask acquire resource=r ttl=100
121 b ok token=2
130 a ask renew resource=r token=1
131 a fail state=LK001
132 a ask begin
133 a ok
134 a ask fence resource=r token=1
135 a fail state=LK001
136 a ask rollback
137 a ok
138 a ask release resource=r token=1
139 a no
140 a ask acquire resource=r
141 a no
EOH
accepted('an old token in vain says nothing of a later lease', <<'EOH');
10 a ask acquire resource=r ttl=10
12 a ok token=1
30 a ask acquire resource=r
31 a ok token=2
40 a ask renew resource=r token=1
41 a fail state=LK001
50 o ask list
51 o row resource=r client=a token=2
51 o ok
60 a ask renew resource=r token=2
61 a ok
EOH
accepted('a lower token asked for before the higher one was told of', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
95 a ask release resource=r token=1
96 b ask acquire resource=r
98 b ok token=2
99 a ok
EOH
accepted('a lower token beside a higher one, both shared', <<'EOH');
10 a ask acquire resource=r mode=shared
12 a ok token=1
13 b ask acquire resource=r mode=shared
14 b ok token=2
20 a ask renew resource=r token=1
21 a ok
22 a ask acquire resource=r mode=shared
23 a ok token=1
EOH
accepted('a lower token beside a higher one, made shared before', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask downgrade resource=r
14 a ok
15 b ask acquire resource=r mode=shared
16 b ok token=2
20 a ask renew resource=r token=1
21 a ok
EOH
accepted('an upgrade after the release of a higher token', <<'EOH');
10 a ask acquire resource=r mode=shared
12 a ok token=1
13 b ask acquire resource=r mode=shared
14 b ok token=2
15 b ask release resource=r
16 b ok
20 a ask upgrade resource=r token=1
21 a ok
EOH
accepted('a list that began before', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
120 o ask list
121 b ask acquire resource=r
122 b ok token=2
123 o row resource=r client=a token=1
123 o ok
EOH
accepted('work, fenced and under leases of transactions', <<'EOH');
10 a ask acquire resource=r ttl=100
11 a ok token=1
12 a ask begin
13 a ok
14 a ask fence resource=r token=1
15 a ok
16 a ask work resource=r token=1
17 a ok id=1
18 a ask commit
19 a ok
110 b ask begin
111 b ok
112 b ask acquire resource=r scope=transaction kept=1
113 b ok token=2
114 b ask work resource=r token=2
115 b ok id=2
116 b ask commit
117 b ok
200 h ask worktable
201 h row id=1 resource=r token=1 client=a
201 h row id=2 resource=r token=2 client=b
201 h ok
EOH
accepted('a commit that is refused for a fence', <<'EOH');
10 a ask acquire resource=r ttl=100
11 a ok token=1
12 a ask begin
13 a ok
14 a ask fence resource=r token=1
15 a ok
16 a ask work resource=r token=1
17 a ok id=1
120 b ask acquire resource=r
121 b ok token=2
130 a ask commit
131 a fail state=LK001
200 h ask worktable
201 h ok
EOH
accepted('a commit that is refused for a lease that it has released', <<'EOH');
10 a ask acquire resource=r ttl=100
11 a ok token=1
12 a ask begin
13 a ok
14 a ask work resource=r token=1
15 a ok id=1
16 a ask release resource=r token=1
17 a ok
130 a ask commit
131 a fail state=LK001
EOH
foreach my $row ('', "201 h row id=1 resource=r token=1 client=a\n")
{
	accepted('a commit without an answer, ' . ($row ? 'made' : 'not made'), <<"EOH");
10 a ask acquire resource=r
11 a ok token=1
12 a ask begin
13 a ok
14 a ask fence resource=r token=1
15 a ok
16 a ask work resource=r token=1
17 a ok id=1
18 a ask commit
19 a lost
200 h ask worktable
${row}201 h ok
EOH
}
accepted('work of clients that were killed', <<'EOH');
10 a ask work resource=r token=1
20 b ask begin
21 b ok
22 b ask work resource=r token=2
23 b ok id=2
24 b ask commit
200 h ask worktable
201 h row id=1 resource=r token=1 client=a
201 h row id=2 resource=r token=2 client=b
201 h ok
EOH
accepted('tokens of one resource say nothing of another', <<'EOH');
200 h ask worktable
201 h row id=1 resource=r token=2 client=a
201 h row id=2 resource=s token=1 client=b
201 h row id=3 resource=r token=2 client=a
201 h ok
EOH
accepted('nothing is left', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask release_all
14 a ok count=1
15 h ask list final=1
16 h ok
17 h ask queue final=1
18 h ok
19 h ask slots of=lease
20 h ok found=5 expected=5
EOH
{
	my ($status) = verdict(written('10 a ask acquire resource=r') . '12 a ok 1 tok');
	is($status, 0, 'accepted: a last line that was being written');
}

#
# exclusion
#
rejected('exclusion', 'in the promised time', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
20 b ask acquire resource=r
100 b ok token=2
EOH
rejected('exclusion', 'in the time of a renewal', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
20 b ask acquire resource=r
90 a ask renew resource=r token=1
92 a ok
150 b ok token=2
EOH
rejected('exclusion', 'in the time of a heartbeat', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
20 b ask acquire resource=r
90 a ask renew_all
92 a ok count=1
150 b ok token=2
EOH
rejected('exclusion old-token', 'as a later renewal proves', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
20 b ask acquire resource=r
150 b ok token=2
200 a ask renew resource=r token=1
201 a ok
EOH
rejected('exclusion old-token', 'as a later list proves', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
120 b ask acquire resource=r ttl=20
121 b ok token=2
200 o ask list
201 o row resource=r client=a token=1
201 o ok
EOH
rejected('exclusion', 'as a commit proves', <<'EOH');
10 a ask begin
11 a ok
12 a ask acquire resource=r scope=transaction ttl=10
13 a ok token=1
30 b ask acquire resource=r
31 b ok token=2
40 a ask commit
41 a ok
EOH
rejected('exclusion', 'as a session that lives proves', <<'EOH');
10 a ask acquire resource=r scope=session kept=1
12 a ok token=1
20 b ask acquire resource=r
21 b ok token=2
30 a ask acquire resource=s
31 a ok token=3
EOH
rejected('exclusion', 'shared and exclusive', <<'EOH');
10 a ask acquire resource=r mode=shared
12 a ok token=1
20 b ask acquire resource=r
21 b ok token=2
EOH
rejected('exclusion', 'upgraded beside another', <<'EOH');
10 a ask acquire resource=r mode=shared
12 a ok token=1
13 b ask acquire resource=r mode=shared
14 b ok token=2
20 a ask upgrade resource=r
21 a ok
EOH
rejected('exclusion', 'before the downgrade', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r mode=shared
14 b ok token=2
20 a ask downgrade resource=r
21 a ok
EOH
rejected('exclusion', 'before the commit that releases', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
20 a ask begin
21 a ok
22 a ask release resource=r
23 a ok
24 b ok token=2
30 a ask commit
31 a ok
EOH
rejected('exclusion', 'after a release that was rolled back', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 a ask begin
21 a ok
22 a ask release resource=r
23 a ok
24 a ask rollback
25 a ok
30 b ask acquire resource=r
31 b ok token=2
EOH
rejected('exclusion', 'after a release that a savepoint took back', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 a ask begin
21 a ok
22 a ask savepoint
23 a ok
24 a ask release resource=r
25 a ok
26 a ask rollback_to
27 a ok
28 a ask commit
29 a ok
30 b ask acquire resource=r
31 b ok token=2
EOH
rejected('exclusion', 'after one of two holds was released', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask acquire resource=r
14 a ok token=1
20 a ask release resource=r
21 a ok
30 b ask acquire resource=r
31 b ok token=2
EOH
rejected('exclusion', 'beside a weaker hold that was left', <<'EOH');
10 a ask acquire resource=r ttl=10000 mode=shared
12 a ok token=1
13 a ask acquire resource=r ttl=10000
14 a ok token=1
15 a ask release resource=r
16 a ok
20 b ask acquire resource=r
21 b ok token=2
EOH
rejected('exclusion', 'before the transaction that made it exclusive is over', <<'EOH');
10 a ask acquire resource=r ttl=10000 mode=shared
12 a ok token=1
13 a ask begin
14 a ok
15 a ask acquire resource=r scope=transaction kept=1
16 a ok token=1
20 b ask acquire resource=r mode=shared
21 b ok token=2
30 a ask commit
31 a ok
EOH
rejected('exclusion', 'beside a lease made exclusive, whose holds are shared', <<'EOH');
10 a ask acquire resource=r ttl=10000 mode=shared
12 a ok token=1
13 a ask acquire resource=r ttl=10000 mode=shared
14 a ok token=1
15 a ask upgrade resource=r
16 a ok
17 a ask release resource=r
18 a ok
20 b ask acquire resource=r mode=shared
21 b ok token=2
EOH
rejected('exclusion', 'when a transaction has stopped the clock', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
20 a ask begin
21 a ok
22 a ask acquire resource=r scope=transaction kept=1 ttl=100
23 a ok token=1
80 a ask commit
81 a ok
150 b ask acquire resource=r
151 b ok token=2
EOH
rejected('exclusion', 'after a crash, in the promised time', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
50 h ask crash
80 h ok
90 b ask acquire resource=r
91 b ok token=1001
EOH
rejected('exclusion', 'in one list', <<'EOH');
10 a ask acquire resource=r
11 b ask acquire resource=r
20 o ask list
21 o row resource=r client=a token=1
21 o row resource=r client=b token=2
21 o ok
EOH
rejected('exclusion old-token', 'with a lease that only the observer knows', <<'EOH');
10 a ask acquire resource=r
12 a lost
20 o ask list
21 o row resource=r client=a token=1
21 o ok
22 b ask acquire resource=r ttl=10
23 b ok token=2
40 o ask list
41 o row resource=r client=a token=1
41 o ok
EOH

#
# Tokens
#
rejected('token-repeat', 'two clients', <<'EOH');
10 a ask acquire resource=r
11 b ask acquire resource=s
12 a ok token=1
13 b ok token=1
EOH
rejected('token-repeat', 'again after a release', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask release resource=r
14 a ok
15 a ask acquire resource=r
16 a ok token=1
EOH
rejected('token-repeat', 'in a list, with another client', <<'EOH');
10 a ask acquire resource=r ttl=1
11 b ask acquire resource=s
12 a ok token=1
20 o ask list
21 o row resource=s client=b token=1
21 o ok
EOH
rejected('token-repeat', 'in lists, with two clients', <<'EOH');
10 a ask acquire resource=r
11 b ask acquire resource=s
20 o ask list
21 o row resource=s client=b token=1
21 o ok
22 o ask list
23 o row resource=r client=a token=1
23 o ok
EOH
rejected('old-token token-order', 'a lower one later', <<'EOH');
10 a ask acquire resource=r
12 a ok token=2
13 a ask release resource=r
14 a ok
20 b ask acquire resource=r
21 b ok token=1
EOH
rejected('token-order', 'on another resource', <<'EOH');
10 a ask acquire resource=r
12 a ok token=2
20 b ask acquire resource=s
21 b ok token=1
EOH
rejected('token-order', 'after a crash', <<'EOH');
10 a ask acquire resource=r
12 a ok token=2
13 h ask crash
14 h ok
20 b ask acquire resource=s
21 b ok token=1
EOH
rejected('token-order', 'below one that was seen', <<'EOH');
10 a ask acquire resource=r
12 o ask list
13 o row resource=r client=a token=7
13 o ok
20 b ask acquire resource=s
21 b ok token=6
EOH

#
# Old tokens
#
# b is told of 2 when a's lease is over, and a goes on with 1 when the server has
# lost its memory: as b's lease was not durable, or was its transaction's
my %over = (
	'a lease that is not durable' => "13 b ask connect durable=0\n14 b ok\n110 b ask acquire resource=r\n111 b ok token=2\n",
	"a transaction's lease" => <<'EOH',
110 b ask begin
111 b ok
112 b ask acquire resource=r scope=transaction kept=1
113 b ok token=2
114 b ask work resource=r token=2
115 b ok id=1
116 b ask commit
117 b ok
EOH
	'a forced end' => <<'EOH');
20 h ask force resource=r token=1
21 h ok count=1
110 b ask acquire resource=r scope=transaction
111 b ok token=2
EOH
my %goes_on = (
	'renews' => "150 a ask renew resource=r token=1\n151 a ok\n",
	'fences' => "150 a ask begin\n151 a ok\n152 a ask fence resource=r token=1\n153 a ok\n",
	'releases' => "150 a ask release resource=r token=1\n151 a ok\n",
	'acquires' => "150 a ask acquire resource=r\n151 a ok token=1\n",
	'is listed' => "150 o ask list\n151 o row resource=r client=a token=1\n151 o ok\n");
foreach my $over (sort keys %over)
{
	foreach my $how (sort keys %goes_on)
	{
		rejected('old-token', "$over, a crash, and the one before $how", <<"EOH");
10 a ask acquire resource=r ttl=90
12 a ok token=1
$over{$over}130 h ask crash
140 h ok
$goes_on{$how}
EOH
	}
}
rejected('old-token', 'of the same client', <<'EOH');
5 a ask connect durable=0
6 a ok
10 a ask acquire resource=r ttl=20
12 a ok token=1
40 a ask acquire resource=r
41 a ok token=2
50 h ask crash
60 h ok
70 a ask acquire resource=r
71 a ok token=1
EOH
rejected('old-token', 'of the same client, shared', <<'EOH');
5 a ask connect durable=0
6 a ok
10 a ask acquire resource=r ttl=20 mode=shared
12 a ok token=1
40 a ask acquire resource=r mode=shared
41 a ok token=2
50 h ask crash
60 h ok
70 a ask renew resource=r token=1
71 a ok
EOH
rejected('old-token', 'of one who was alone, and others came that share', <<'EOH');
5 b ask connect durable=0
6 b ok
10 a ask acquire resource=r ttl=20
12 a ok token=1
40 b ask acquire resource=r mode=shared
41 b ok token=2
50 h ask crash
60 h ok
70 a ask renew resource=r token=1
71 a ok
EOH
rejected('old-token', 'when the later one was made exclusive', <<'EOH');
5 b ask connect durable=0
6 b ok
10 a ask acquire resource=r ttl=20 mode=shared
12 a ok token=1
13 b ask acquire resource=r mode=shared
14 b ok token=2
40 b ask upgrade resource=r token=2
41 b ok
50 h ask crash
60 h ok
70 a ask renew resource=r token=1
71 a ok
EOH

#
# Work
#
rejected('stale-work', 'a lower token later', <<'EOH');
200 h ask worktable
201 h row id=1 resource=r token=1 client=a
201 h row id=2 resource=r token=2 client=b
201 h row id=40 resource=r token=1 client=a
201 h ok
EOH
rejected('old-token stale-work', 'as a whole', <<'EOH');
10 a ask acquire resource=r ttl=90
12 a ok token=1
110 b ask begin
111 b ok
112 b ask acquire resource=r scope=transaction kept=1
113 b ok token=2
114 b ask work resource=r token=2
115 b ok id=1
116 b ask commit
117 b ok
130 h ask crash
140 h ok
150 a ask begin
151 a ok
152 a ask fence resource=r token=1
153 a ok
154 a ask work resource=r token=1
155 a ok id=34
156 a ask commit
157 a ok
200 h ask worktable
201 h row id=1 resource=r token=2 client=b
201 h row id=34 resource=r token=1 client=a
201 h ok
EOH
my $committed = <<'EOH';
10 a ask acquire resource=r ttl=100
11 a ok token=1
12 a ask begin
13 a ok
14 a ask fence resource=r token=1
15 a ok
16 a ask work resource=r token=1
17 a ok id=1
EOH
my $is_there = <<'EOH';
200 h ask worktable
201 h row id=1 resource=r token=1 client=a
201 h ok
EOH
rejected('work', 'committed, and not there', "${committed}18 a ask commit\n19 a ok\n200 h ask worktable\n201 h ok\n");
rejected('work', 'a commit was refused, and it is there', <<"EOH");
${committed}120 b ask acquire resource=r
121 b ok token=2
130 a ask commit
131 a fail state=LK001
$is_there
EOH
rejected('work', 'rolled back, and there', "${committed}18 a ask rollback\n19 a ok\n$is_there");
rejected('work', 'never committed, and there', "${committed}18 a ask renew resource=r token=1\n19 a lost\n$is_there");
rejected('work', 'rolled back to a savepoint, and there', <<"EOH");
10 a ask begin
11 a ok
12 a ask savepoint
13 a ok
16 a ask work resource=r token=1
17 a ok id=1
18 a ask rollback_to
19 a ok
20 a ask commit
21 a ok
$is_there
EOH
rejected('lost-lease', 'a commit is refused for a fence in vain', <<'EOH');
10 a ask acquire resource=r
11 a ok token=1
12 a ask begin
13 a ok
14 a ask fence resource=r token=1
15 a ok
16 a ask commit
17 a fail state=LK001
EOH
rejected('exclusion', 'a commit that has released it, though it was lost before', <<'EOH');
10 a ask acquire resource=r ttl=100
12 a ok token=1
20 a ask begin
21 a ok
22 a ask work resource=r token=1
23 a ok id=1
24 a ask release resource=r
25 a ok
150 b ask acquire resource=r
151 b ok token=2
160 a ask commit
161 a ok
EOH
rejected('lost-lease', 'a fence is refused', <<'EOH');
10 a ask acquire resource=r
11 a ok token=1
12 a ask begin
13 a ok
14 a ask fence resource=r token=1
15 a fail state=LK001
EOH
rejected('exclusion old-token', 'a commit that relies on it, though its fence came before', <<'EOH');
10 a ask acquire resource=r ttl=20
12 a ok token=1
14 a ask begin
15 a ok
16 a ask fence resource=r token=1
17 a ok
40 b ask acquire resource=r
41 b ok token=2
50 a ask commit
51 a ok
EOH

#
# lost-lease
#
rejected('lost-lease', 'not in a list', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 o ask list
21 o ok
EOH
rejected('lost-lease', 'not in a list after a crash', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 h ask crash
30 h ok
40 o ask list
41 o ok
EOH
rejected('lost-lease', 'not in a list after a hold that could not be made durable in time', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 a ask acquire resource=r
21 a fail state=LK005
30 o ask list
31 o ok
EOH
rejected('lost-lease', 'not in a list, but there later', <<'EOH');
10 a ask acquire resource=r ttl=5
12 a ok token=1
20 o ask list
21 o ok
30 a ask renew resource=r token=1
31 a ok
EOH
rejected('lost-lease', 'of a session, after a crash', <<'EOH');
10 a ask acquire resource=r scope=session kept=1
12 a ok token=1
14 a ask begin
15 a ok
20 h ask crash
30 h ok
31 a ask rollback
32 a lost farewell=1
40 o ask list
41 o ok
EOH
rejected('lost-lease', 'with another token', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 o ask list
21 o row resource=r client=a token=2
21 o ok
EOH
rejected('lost-lease', 'weaker', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 o ask list
21 o row resource=r client=a token=1 mode=shared
21 o ok
EOH
rejected('lost-lease', 'weaker after an upgrade and a crash', <<'EOH');
10 a ask acquire resource=r mode=shared
12 a ok token=1
13 a ask upgrade resource=r
14 a ok
20 h ask crash
30 h ok
40 o ask list
41 o row resource=r client=a token=1 mode=shared
41 o ok
EOH
rejected('lost-lease', 'fewer holds', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask acquire resource=r
14 a ok token=1
20 o ask list
21 o row resource=r client=a token=1 count=1
21 o ok
EOH
rejected('lost-lease', 'fewer holds, while the session lives', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask acquire resource=r scope=session kept=1
14 a ok token=1
20 o ask list
21 o row resource=r client=a token=1
21 o ok
30 a ask begin
31 a ok
EOH
rejected('lost-lease', 'a renewal for a shorter time is refused too early', <<'EOH');
10 a ask acquire resource=r ttl=1000
12 a ok token=1
20 a ask renew resource=r token=1 ttl=50
60 a fail state=LK001
EOH
rejected('lost-lease', 'a renewal is refused', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 a ask renew resource=r token=1
21 a fail state=LK001
EOH
rejected('lost-lease', 'a release is refused', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 a ask release resource=r
21 a no
EOH
rejected('lost-lease', 'an upgrade is refused', <<'EOH');
10 a ask acquire resource=r mode=shared
12 a ok token=1
20 a ask upgrade resource=r
21 a fail state=LK001
EOH
rejected('lost-lease', 'a heartbeat counts too few', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask acquire resource=s
14 a ok token=2
20 a ask renew_all
21 a ok count=1
EOH
rejected('lost-lease', 'another grant in the time of the first', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask acquire resource=r
14 a ok token=2
EOH
rejected('lost-lease', 'a commit is refused', <<'EOH');
10 a ask begin
11 a ok
12 a ask acquire resource=r scope=transaction kept=1
13 a ok token=1
20 a ask commit
21 a fail state=LK001
EOH

#
# Ghosts
#
rejected('ghost-lease', 'in a list after its release', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask release resource=r
14 a ok
20 o ask list
21 o row resource=r client=a token=1
21 o ok
EOH
rejected('ghost-lease', 'in a list after its transaction', <<'EOH');
10 a ask begin
11 a ok
12 a ask acquire resource=r scope=transaction kept=1
13 a ok token=1
14 a ask rollback
15 a ok
20 o ask list
21 o row resource=r client=a token=1
21 o ok
EOH
rejected('ghost-lease', 'in a list after a refusal', <<'EOH');
10 a ask acquire resource=r
12 a fail state=55P03
20 o ask list
21 o row resource=r client=a token=1
21 o ok
EOH
rejected('ghost-lease', 'in a list after a grant that could not be made durable in time', <<'EOH');
10 a ask acquire resource=r
12 a fail state=LK005
20 o ask list
21 o row resource=r client=a token=1
21 o ok
EOH
rejected('ghost-lease', 'in a list after a cancel that was made good', <<'EOH');
10 a ask acquire resource=r
12 a fail state=57014
13 a ask release resource=r
14 a ok
15 a ask release resource=r
16 a no
17 a ask acquire resource=r
18 a no
20 o ask list
21 o row resource=r client=a token=1
21 o ok
EOH
rejected('ghost-lease', 'never asked for', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 o ask list
21 o row resource=r client=a token=1
21 o row resource=s client=a token=2
21 o ok
EOH
rejected('ghost-lease', 'released twice', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask release resource=r
14 a ok
15 a ask release resource=r
16 a ok
EOH
rejected('ghost-lease', 'renewed after its release', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 a ask release resource=r
14 a ok
15 a ask renew resource=r token=1
16 a ok
EOH
rejected('ghost-lease', 'renewed after it was taken away', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 h ask force resource=r token=1
14 h ok count=1
15 a ask renew resource=r token=1
16 a ok
EOH
rejected('ghost-lease', 'in a list after it was taken away', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 h ask force resource=r token=1
14 h ok count=1
20 o ask list
21 o row resource=r client=a token=1
21 o ok
EOH
rejected('ghost-waiter', 'after a timeout', <<'EOH');
10 a ask acquire resource=r
12 a fail state=55P03
20 o ask queue
21 o row resource=r client=a place=1 ticket=1
21 o ok
EOH
rejected('ghost-waiter', 'after the grant', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
20 o ask queue
21 o row resource=r client=a place=1 ticket=1
21 o ok
EOH
rejected('ghost-waiter', 'never asked for', <<'EOH');
20 o ask queue
21 o row resource=r client=a place=1 ticket=1
21 o ok
EOH

#
# Queues
#
my $two_wait = <<'EOH';
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
14 c ask acquire resource=r
EOH
rejected('queue-order', 'by priority', <<'EOH');
13 b ask acquire resource=r
14 c ask acquire resource=r priority=1
20 o ask queue
21 o row resource=r client=b place=1 ticket=1
21 o row resource=r client=c place=2 ticket=2 priority=1
21 o ok
EOH
rejected('queue-order', 'by ticket', $two_wait . <<'EOH');
20 o ask queue
21 o row resource=r client=b place=1 ticket=2
21 o row resource=r client=c place=2 ticket=1
21 o ok
EOH
rejected('out-of-turn', 'of those who stood together', $two_wait . <<'EOH');
20 o ask queue
21 o row resource=r client=b place=1 ticket=1
21 o row resource=r client=c place=2 ticket=2
21 o ok
30 a ask release resource=r
31 a ok
32 c ok token=2
33 c ask release resource=r
34 c ok
35 b ok token=3
EOH
rejected('out-of-turn', 'of those with tickets', $two_wait . <<'EOH');
20 o ask queue
21 o row resource=r client=b place=1 ticket=1
21 o ok
30 a ask release resource=r
31 a ok
32 o ask queue
33 o row resource=r client=c place=1 ticket=2
33 o ok
34 c ok token=2
35 c ask release resource=r
36 c ok
37 b ok token=3
EOH
my $one_waits = <<'EOH';
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
14 o ask queue
15 o row resource=r client=b place=1 ticket=1
15 o ok
EOH
rejected('overtaken', 'by one who came later', $one_waits . <<'EOH');
16 c ask acquire resource=r
20 a ask release resource=r
21 a ok
22 c ok token=2
23 c ask release resource=r
24 c ok
25 b ok token=3
EOH
rejected('overtaken', 'and waits still', $one_waits . <<'EOH');
16 c ask acquire resource=r
20 a ask release resource=r
21 a ok
22 c ok token=2
30 o ask queue
31 o row resource=r client=b place=1 ticket=1
31 o ok
40 b fail state=55P03
EOH
rejected('overtaken', 'shared beside shared, past one who is exclusive', <<'EOH');
10 a ask acquire resource=r mode=shared
12 a ok token=1
13 b ask acquire resource=r
14 o ask queue
15 o row resource=r client=b place=1 ticket=1
15 o ok
16 c ask acquire resource=r mode=shared
17 c ok token=2
20 o ask queue
21 o row resource=r client=b place=1 ticket=1
21 o ok
EOH

rejected('idle', 'one waits before and after', <<'EOH');
10 a ask acquire resource=r
12 a ok token=1
13 b ask acquire resource=r
14 o ask queue
15 o row resource=r client=b place=1 ticket=1
15 o ok
18 a ask release resource=r
19 a ok
20 o ask list
21 o ok
24 o ask queue
25 o row resource=r client=b place=1 ticket=1
25 o ok
30 b ok token=2
EOH

#
# leak
#
rejected('leak', 'a lease', <<'EOH');
10 a ask acquire resource=r
12 a lost
5000 h ask list final=1
5001 h row resource=r client=a token=1
5001 h ok
EOH
rejected('leak', 'a waiter', <<'EOH');
10 a ask acquire resource=r
12 a lost
5000 h ask queue final=1
5001 h row resource=r client=a place=1 ticket=1
5001 h ok
EOH
rejected('leak', 'a slot', <<'EOH');
10 h ask slots of=waiter
11 h ok found=4 expected=5
EOH

#
# What is no history
#
my $asked = "10 a invoke 1 begin session=1\n";
unreadable('no line of it', "hello\n");
unreadable('an unknown kind', "10 a invoke 1 steal session=1\n");
unreadable('an unknown word', "${asked}11 a maybe 1\n");
unreadable('an answer to nothing', "10 a ok 1\n");
unreadable('an answer to something else', "${asked}11 a ok 2\n");
unreadable('two questions at once', "${asked}11 a invoke 2 commit session=1\n");
unreadable('a number again', "${asked}11 a ok 1\n12 a invoke 1 commit session=1\n");
unreadable('time that runs backwards', "${asked}9 a ok 1\n");
unreadable('something missing', "10 a invoke 1 acquire session=1 client=a\n");
unreadable('an answer without a token',
	"10 a invoke 1 acquire session=1 client=a resource=r mode=shared scope=lease priority=0\n11 a ok 1\n");
unreadable('a word that is no number', "10 a invoke 1 force resource=r token=x\n");
unreadable('a duration that is no number',
	"10 a invoke 1 acquire session=1 client=a resource=r mode=shared scope=lease priority=0 ttl=1s\n");
unreadable('no pair', "10 a invoke 1 begin session\n");
is((run_bounded([ $^X, $check, "$dir/none" ]))[0] >> 8, 2, 'no history: no such file');

done_testing();
