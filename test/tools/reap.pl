# reap.pl - runs a command and buries the orphans that it leaves
#
#     perl reap.pl COMMAND [ARGUMENT...]
#
# A postmaster killed by a test is an orphan, for pg_ctl starts it in the
# background.  Where process 1 is no real init, as in many containers, it
# stays a zombie; its pid file then looks alive, and the data directory
# cannot be started again.  So this process adopts orphans and waits for them.
use strict;
use warnings;

my $PR_SET_CHILD_SUBREAPER = 36;

eval {
	no warnings;
	require 'syscall.ph';
	syscall(&SYS_prctl, $PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
} or warn "reap.pl: cannot adopt orphans here; going on without\n";

my $pid = fork // die "fork: $!";
if (!$pid)
{
	exec @ARGV or die "$ARGV[0]: $!";
}

$SIG{$_} = sub { kill $_[0], $pid }
  foreach qw(HUP INT TERM);

while (1)
{
	my $dead = wait;
	next if $dead == -1 && $!{EINTR};
	exit($? & 127 ? 128 + ($? & 127) : $? >> 8) if $dead == $pid;
}
