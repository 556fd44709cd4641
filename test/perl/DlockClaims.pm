# DlockClaims - what is known for sure of who holds what, at one moment of a replay
#
# A key is one client and one resource.  What is asked and answered changes
# what is known of it, and makes leases: intervals of time in which the client
# has the resource for sure (see DlockChecker for what that means).  The steps
# are here; which operation takes which steps is DlockReplay's business.
package DlockClaims;

use strict;
use warnings;

use Exporter 'import';
use List::Util qw(any max min);

# before and after all times
use constant NEVER => -1;
use constant ALWAYS => 9e18;

our @EXPORT_OK = qw(NEVER ALWAYS end_of id_of make_zero end_zero note_part
  finish miss without_kept forget_modes);

sub new
{
	my ($class, $ops) = @_;

	return bless {
		ops => $ops,
		violations => [],
		counts => {},
		keys => {},	# {CLIENT}{RESOURCE}
		sessions => {},	# {ACTOR}{SESSION}
		leases => [],
		of_token => {},	# {TOKEN} => its leases; more than one after a crash
		requests => {},	# {RESOURCE} => acquires and upgrades, as they began
		grants => [] }, $class;
}

sub _violation
{
	my ($self, $rule, $text, @ops) = @_;
	my %shown;
	my @lines = map { ($_->{where}, $_->{answer} // ()) }
	  grep { defined && !$shown{$_}++ } @ops;

	push @{ $self->{violations} }, { rule => $rule, text => $text, lines => \@lines };
	return;
}

sub _tally
{
	my ($self, $what, $by) = @_;

	$self->{counts}{$what} += $by // 1;
	return;
}

#
# What was done to the server
#
sub _note_disturbances
{
	my ($self) = @_;

	$self->{crashes} = [];
	$self->{forced} = {};
	$self->{moved} = {};
	foreach my $op (@{ $self->{ops} })
	{
		my $arg = $op->{arg};

		push @{ $self->{crashes} }, $op if $op->{kind} eq 'crash';
		push @{ $self->{forced}{ $arg->{token} } }, $op if $op->{kind} eq 'force';
		push @{ $self->{moved}{ $arg->{client} }{ $arg->{resource} } }, $op
		  if $op->{kind} eq 'priority';
	}
	return;
}

sub end_of
{
	my ($op) = @_;
	return $op->{tr} // ALWAYS;
}

# _crashed(FROM, TO): may there have been a crash between?
sub _crashed
{
	my ($self, $from, $to) = @_;
	return any { $_->{ti} <= $to && end_of($_) >= $from } @{ $self->{crashes} };
}

# _clamp(TOKEN, TIME, END) cuts what was promised at a time by what
# administrators may have done afterwards.
sub _clamp
{
	my ($self, $token, $time, $end) = @_;

	foreach my $force (@{ $self->{forced}{$token} // [] })
	{
		$end = min($end, max($time, $force->{ti})) if end_of($force) >= $time;
	}
	return $end;
}

# _perhaps_forced: may an administrator have ended the lease by then?
sub _perhaps_forced
{
	my ($self, $lease, $time) = @_;
	return any { $_->{ti} <= $time } @{ $self->{forced}{ $lease->{token} } // [] };
}

# _taken_away(TOKEN, TIME) gives the operation that has ended a lease for sure
# by then.
sub _taken_away
{
	my ($self, $token, $time) = @_;

	foreach my $force (@{ $self->{forced}{$token} // [] })
	{
		return $force
		  if $force->{outcome} eq 'ok'
		  && ($force->{res}{count} // 0) > 0
		  && $force->{tr} < $time
		  && !$self->_crashed($force->{ti}, $time);
	}
	return;
}

#
# A key: one client and one resource, and what is known of its lease
#
# L, S, T: at least so many holds of scopes lease, session and transaction.
# XL, XS, XT: of these, at least so many are exclusive; floor: the lease was made
# exclusive, whatever its holds.  The lease is exclusive as long as there is any
# of that.  modes_known: there are no more exclusive ones, as far as exact goes.
# exact: these are all, by what was asked since exact_since.
# unknown: there may be a lease that the client was not told of; tainted: or
# may be one any time later.  haunted: a request whose connection was lost may
# weaken the lease any time later, so that no promise counts any more.
# lease: the one that it has, or had until its time was over.  newest: the
# highest token that it was told of.  may_share: it has asked for less than to
# be alone.
# zero: no lease for sure, since then; zeros: when that was so.  stale: its
# time may just be over, then lists show it until somebody takes it away.
sub _key
{
	my ($self, $client, $resource) = @_;

	return $self->{keys}{$client}{$resource} //= {
		client => $client,
		resource => $resource,
		L => 0,
		S => 0,
		T => 0,
		XL => 0,
		XS => 0,
		XT => 0,
		floor => 0,
		modes_known => 1,
		exact => 1,
		exact_since => NEVER,
		unknown => 0,
		tainted => 0,
		haunted => 0,
		first_miss => ALWAYS,
		zero => NEVER,
		zeros => [],
		requests => [] };
}

sub _keys_of
{
	my ($self, $client) = @_;
	my $of = $self->{keys}{$client} // {};

	return map { $of->{$_} } sort keys %$of;
}

sub holds_of { return $_[0]->{L} + $_[0]->{S} + $_[0]->{T}; }

sub exclusive_holds_of { return $_[0]->{XL} + $_[0]->{XS} + $_[0]->{XT}; }

# forget_modes: no hold is exclusive, or where that is not known, any may be.
sub forget_modes
{
	my ($key, $known) = @_;

	@$key{qw(XL XS XT floor modes_known)} = (0, 0, 0, 0, $known);
	return;
}

# take_exclusive(KEY, KIND, N) takes exclusive holds away, of one kind.
sub take_exclusive
{
	my ($key, $kind, $n) = @_;

	$key->{"X$kind"} = max(0, $key->{"X$kind"} - $n);
	return;
}

sub _is_exact
{
	my ($self, $key, $time) = @_;

	return $key->{exact}
	  && ($key->{exact_since} == NEVER || !$self->_crashed($key->{exact_since}, $time));
}

# _is_zero: the client has no lease for sure, up to that time.
sub _is_zero
{
	my ($self, $key, $time) = @_;
	return defined $key->{zero} && $self->_is_exact($key, $time);
}

# make_zero: none since some time in the operation.
sub make_zero
{
	my ($key, $op) = @_;

	$key->{stale} = 0;
	forget_modes($key, 1);
	@$key{qw(L S T unknown lease)} = (0, 0, 0, $key->{tainted}, undef);
	return if $key->{tainted};
	@$key{qw(exact exact_since zero zero_op)} = (1, $op->{ti}, $op->{tr}, $op);
	return;
}

# end_zero: from an operation on, there may be a lease.
sub end_zero
{
	my ($key, $op) = @_;

	return unless defined $key->{zero};
	push @{ $key->{zeros} },
	  { from => $key->{zero}, to => $op->{ti}, since => $key->{exact_since},
		op => $key->{zero_op}, stale => $key->{stale} };
	undef $key->{zero};
	return;
}

#
# Leases
#
# from, end: the client has it for sure; parts: as of a time, at least this
# mode and so many holds.
sub _new_lease
{
	my ($self, $key, $token, $mode, $op, $from) = @_;
	my $lease = {
		key => $key,
		token => $token,
		from => $from,
		end => $from,
		mode => $mode,
		dur => 0,
		volatile => 0,
		parts => [],
		op => $op };

	push @{ $self->{leases} }, $lease;
	push @{ $self->{of_token}{$token} }, $lease;
	$key->{lease} = $lease;
	$key->{newest} = max($key->{newest} // 0, $token);
	return $lease;
}

sub note_part
{
	my ($key, $from) = @_;
	my $lease = $key->{lease};

	$lease->{mode} = $key->{floor} || exclusive_holds_of($key) > 0 ? 'exclusive' : 'shared';
	push @{ $lease->{parts} },
	  $key->{haunted}
	  ? { from => $from, mode => 'shared', count => 0 }
	  : { from => $from, mode => $lease->{mode}, count => holds_of($key) };
	return;
}

# _guaranteed: the client has the lease for sure during an operation.
sub _guaranteed
{
	my ($self, $lease, $op) = @_;

	return
		defined $lease
	  && $lease->{from} <= $op->{ti}
	  && $lease->{end} >= end_of($op)
	  && !($lease->{volatile} && $self->_crashed($lease->{from}, end_of($op)));
}

# _prove: the lease with that token was there when the operation began, or
# later, so it was all the time before.  Not if it was over and may have come
# back with a crash.
sub _prove
{
	my ($self, $lease, $time, $op) = @_;

	return 0 if $lease->{end} < $time && $self->_crashed($lease->{end}, $time);
	if ($time > $lease->{end})
	{
		$lease->{end} = $time;
		$lease->{proof} = $op;
	}
	return 1;
}

sub _promise
{
	my ($self, $lease, $time, $end, $op) = @_;

	return if $lease->{key}{haunted};
	$end = $self->_clamp($lease->{token}, $time, $end);
	if ($end > $lease->{end})
	{
		$lease->{end} = $end;
		$lease->{proof} = $op;
	}
	return;
}

# finish: no more can be said about the key's lease.
sub finish
{
	my ($key, $end) = @_;
	my $lease = $key->{lease};

	return unless $lease;
	$lease->{end} = max($lease->{from}, min($lease->{end}, $end));
	undef $key->{lease};
	return;
}

# miss: what became of a request is not known.  How many holds there are is
# not, either.
sub miss
{
	my ($key, $op, $lost) = @_;

	end_zero($key, $op);
	$key->{exact} = 0;
	$key->{unknown} = 1;
	$key->{tainted} = 1 if $lost;
	$key->{first_miss} = min($key->{first_miss}, $op->{ti});
	return;
}

# _drop takes holds away in an operation: L, S or T, exclusive ones or not.  Where
# that is not certain, or how many there were is not, no more holds may be counted
# on, and no end either.  The drop says nothing of a lease that an administrator may
# have ended before: the session need not have heard of that yet.
sub _drop
{
	my ($self, $key, $lease, $kind, $mode, $n, $op, $certain) = @_;
	my $exact = $certain && $self->_is_exact($key, end_of($op));
	my $kept = $key->{S} > 0 || $key->{T_kept};

	return unless $lease && $key->{lease} && $lease == $key->{lease};
	$key->{exact} = 0 unless $exact;
	$key->{$kind} = max(0, $key->{$kind} - $n);
	take_exclusive($key, $kind, $n) if $mode eq 'exclusive';
	if (holds_of($key) > 0)
	{
		# what was promised for the time after the session's end is void
		$lease->{end} = max($lease->{from}, min($lease->{end}, $op->{ti}))
		  if $kind eq 'L' && !$key->{L};
		note_part($key, $op->{ti});
		$self->_promise($lease, $op->{ti}, $op->{ti} + $lease->{dur}, $op)
		  if $certain
		  && $key->{L} > 0
		  && $kind ne 'L'
		  && $kept
		  && !$self->_perhaps_forced($lease, $op->{ti});
		return;
	}
	$lease->{released} = $op if $certain;
	finish($key, $op->{ti});
	make_zero($key, $op) if $exact && defined $op->{tr};
	return;
}

#
# Sessions
#
sub _session
{
	my ($self, $op) = @_;

	return $self->{sessions}{ $op->{actor} }{ $op->{arg}{session} // '' } //=
	  { alive => NEVER, keeps => {}, volatile => 0, tx => undef };
}

sub id_of { return "$_[0]->{client} $_[0]->{resource}"; }

# _note_alive: the session has answered, so it lived when that was asked, and
# what it keeps was there.
sub _note_alive
{
	my ($self, $session, $op) = @_;

	$session->{alive} = $op->{ti};
	foreach my $key (values %{ $session->{keeps} })
	{
		my $lease = $key->{lease} // next;
		my $until = $op->{ti};

		next unless $key->{S} + $key->{T} > 0;
		next if $self->_perhaps_forced($lease, $op->{ti});
		if ($key->{S} > 0 || $key->{T_kept})
		{
			$until += $lease->{dur} if $key->{L} > 0;
		}
		else
		{
			$until = min($until, $key->{T_end} // 0);
		}
		$self->_promise($lease, $op->{ti}, $until, $op);
	}
	return;
}

# without_kept: the holds that a session keeps are there for sure until it has
# answered last, and only the others afterwards, which are at least so strong.
sub without_kept
{
	my ($lease, $time, $others, $mode) = @_;
	my @before = grep { $_->{from} <= $time } @{ $lease->{parts} };
	my @after = grep { $_->{from} > $time } @{ $lease->{parts} };

	push @before, { %{ $before[-1] }, from => $time } if @before;
	foreach my $part (@before ? $before[-1] : (), @after)
	{
		$part->{count} = min($part->{count}, $others);
		$part->{mode} = 'shared' if $mode ne 'exclusive';
	}
	$lease->{parts} = [ @before, @after ];
	return;
}

# _end_all_sessions: of those that are not known to have ended, nothing is
# known since their last answer, either.
sub _end_all_sessions
{
	my ($self) = @_;

	foreach my $session (map { values %$_ } values %{ $self->{sessions} })
	{
		foreach my $key (values %{ $session->{keeps} })
		{
			without_kept($key->{lease}, $session->{alive}, $key->{L}, $key->{floor} || $key->{XL} ? 'exclusive' : 'shared')
			  if $key->{lease};
		}
	}
	return;
}

# _end_session: its holds are gone, or will be soon.  If it heard the farewell
# of a crash, it lived until then, and its leases come back, to run out like
# others.
sub _end_session
{
	my ($self, $session, $op) = @_;

	foreach my $key (values %{ $session->{keeps} })
	{
		my $lease = $key->{lease};

		if (   $lease
			&& $key->{S} > 0
			&& $op->{res}{farewell}
			&& !$lease->{volatile}
			&& !$self->_perhaps_forced($lease, $op->{tr}))
		{
			$self->_promise($lease, $session->{alive}, $session->{alive} + $lease->{dur}, $op);
			$key->{L} += $key->{S};
			$key->{XL} += $key->{XS};
			$self->_tally('sessions whose lease outlived them');
		}
		end_zero($key, $op);
		@$key{qw(S T T_kept T_end exact XS XT)} = (0, 0, 0, 0, 0, 0, 0);
		without_kept($lease, $session->{alive}, $key->{L}, $key->{floor} || $key->{XL} ? 'exclusive' : 'shared')
		  if $lease;
		finish($key, ALWAYS) unless $key->{L} > 0;
	}
	$session->{keeps} = {};
	$session->{tx} = undef;
	return;
}

1;
