# DlockReplay - goes through the operations of histories one by one
#
# and notes what each lets us know of the leases (DlockClaims), and where an
# answer contradicts what was known.
package DlockReplay;

use strict;
use warnings;

use parent 'DlockClaims';

use DlockClaims qw(ALWAYS end_of id_of make_zero end_zero note_part finish
  miss without_kept forget_modes);
use List::Util qw(any max min);

# These errors say that the request came to nothing.
my %is_refusal = map { $_ => 1 } qw(55P03 40P01 53200 54000 55000 25P02 25006 25000 LK001 LK005);

#
# Operations, one by one
#
# Each is looked at when its answer came, or if there is none when it began.
# A client's operations do not overlap, so that is their order.
my %replay = (
	acquire => \&_replay_acquire,
	release => \&_replay_release,
	release_all => \&_replay_release_all,
	renew => \&_replay_renew,
	renew_all => \&_replay_renew_all,
	upgrade => \&_replay_upgrade,
	downgrade => \&_replay_downgrade,
	begin => \&_replay_begin,
	commit => \&_replay_commit,
	rollback => \&_replay_rollback,
	savepoint => \&_replay_savepoint,
	rollback_to => \&_replay_rollback_to,
	fence => \&_replay_fence,
	work => \&_replay_work,
	disconnect => \&_replay_disconnect);

sub _replay
{
	my ($self) = @_;
	my @ordered = sort { ($a->{tr} // $a->{ti}) <=> ($b->{tr} // $b->{ti}) } @{ $self->{ops} };

	foreach my $op (@ordered)
	{
		$self->_tally("$op->{kind} $op->{outcome}");
		$self->_replay_op($op);
	}
	$self->_end_all_sessions;
	return;
}

sub _replay_op
{
	my ($self, $op) = @_;
	my $handler = $replay{ $op->{kind} };
	my $session = $self->_session($op);

	$session->{volatile} = 1
	  if $op->{kind} eq 'connect'
	  && $op->{outcome} ne 'fail'
	  && ($op->{arg}{durable} // 1) eq '0';
	return unless $handler;
	$self->_note_alive($session, $op) if $op->{outcome} =~ /^(?:ok|no|fail)$/;
	$handler->($self, $op, $session);
	$self->_tally('ambiguous answers') if $self->_is_ambiguous($op);
	if ($op->{outcome} =~ /^(?:lost|none)$/)
	{
		# not even asked to commit
		_settle('refused', $op, @{ $session->{tx}{events} }) if $session->{tx};
		return $self->_end_session($session, $op);
	}
	$self->_fail_transaction($session, $op) if $op->{outcome} eq 'fail' && $session->{tx};
	return;
}

sub _is_ambiguous
{
	my ($self, $op) = @_;

	return $op->{outcome} =~ /^(?:lost|none)$/
	  || $op->{outcome} eq 'fail' && !$is_refusal{ $op->{res}{state} // '' };
}

sub _key_of
{
	my ($self, $op) = @_;
	return $self->_key($op->{arg}{client}, $op->{arg}{resource});
}

#
# acquire
#
sub _replay_acquire
{
	my ($self, $op, $session) = @_;
	my $key = $self->_key_of($op);
	my $until = end_of($op);

	# one who has nothing of this resource, and so stands in line as it came
	$key->{may_share} = 1 if $op->{arg}{mode} ne 'exclusive';
	$op->{plain} = !$key->{lease} && !$key->{unknown} && $self->_is_zero($key, $until);
	push @{ $key->{requests} }, $op;
	push @{ $self->{requests}{ $key->{resource} } }, $op;

	return $self->_replay_granted($op, $session, $key) if $op->{outcome} eq 'ok';
	return miss($key, $op, $op->{outcome} ne 'fail') if $self->_is_ambiguous($op);
	$key->{first_miss} = min($key->{first_miss}, $op->{ti});
	# the lease was taken away
	finish($key, $op->{tr}) if ($op->{res}{state} // '') eq 'LK001';
	if (defined $key->{zero})
	{
		# a grant that was taken back may return with a crash
		end_zero($key, $op);
		make_zero($key, $op);
	}
	return;
}

sub _replay_granted
{
	my ($self, $op, $session, $key) = @_;
	my $arg = $op->{arg};
	my $lease = $key->{lease};
	my $again =
		$lease
	  && $lease->{token} == $op->{res}{token}
	  && $self->_prove($lease, $op->{ti}, $op);

	if ($again)
	{
		$self->_tally('grants to holders');
	}
	else
	{
		$lease = $self->_replay_new_lease($op, $key);
	}
	$key->{unknown} = $key->{tainted};
	$lease->{volatile} = 1 if $session->{volatile};
	# without a duration, a lease that is there keeps its own
	$lease->{dur} = max($lease->{dur}, $arg->{ttl} // 0);
	$self->_add_hold($op, $session, $key, $lease);
	note_part($key, $op->{tr});
	return;
}

sub _add_hold
{
	my ($self, $op, $session, $key, $lease) = @_;
	my $arg = $op->{arg};
	my $kind = { lease => 'L', session => 'S', transaction => 'T' }->{ $arg->{scope} };

	$key->{"X$kind"}++ if $arg->{mode} eq 'exclusive';
	if ($arg->{scope} eq 'lease')
	{
		$key->{L}++;
		$self->_promise($lease, $op->{ti}, $op->{ti} + $lease->{dur}, $op);
		return;
	}
	$session->{keeps}{ id_of($key) } = $key;
	if ($arg->{scope} eq 'session')
	{
		$key->{S}++;
		return;
	}
	$key->{T}++;
	$key->{T_kept} = 1 if $arg->{kept};
	$key->{T_end} = max($key->{T_end} // 0, $op->{ti} + $lease->{dur});
	my $event = { what => 'hold', key => $key, lease => $lease, kept => $arg->{kept}, mode => $arg->{mode} };

	return $self->_end_holds($session, $op, 1, $event) unless $session->{tx};
	push @{ $session->{tx}{events} }, $event;
	return;
}

# _replay_new_lease: a token that this client did not have a moment ago.
sub _replay_new_lease
{
	my ($self, $op, $key) = @_;
	my $token = $op->{res}{token};
	my $before = $self->{of_token}{$token};
	my $lease;

	$self->_violation('lost-lease',
		"$key->{client} has token $key->{lease}{token} on $key->{resource}, and was given token $token",
		$key->{lease}{op}, $key->{lease}{proof}, $op)
	  if $self->_guaranteed($key->{lease}, $op);
	finish($key, $op->{tr});
	$self->_violation('token-repeat', "token $token was given out twice",
		$before->[0]{op}, $op)
	  if $before && ($before->[0]{key} != $key || $self->_is_zero($key, $op->{tr}));
	$op->{fresh} =
		!$before
	  && !$key->{unknown}
	  && !$key->{tainted}
	  && !($key->{first_miss} < $op->{ti} && $self->_crashed($key->{first_miss}, $op->{tr}));

	end_zero($key, $op);
	forget_modes($key, $op->{fresh});
	@$key{qw(L S T T_kept T_end)} = (0, 0, 0, 0, 0);
	$key->{exact} = $op->{fresh} ? 1 : 0;
	$key->{exact_since} = $op->{ti};
	$lease = $self->_new_lease($key, $token, $op->{arg}{mode}, $op, $op->{tr});
	if ($op->{fresh})
	{
		$lease->{fresh} = 1;
		push @{ $self->{grants} }, $op;
		$self->_tally('grants');
	}
	return $lease;
}

#
# release
#
sub _replay_release
{
	my ($self, $op, $session) = @_;
	my $key = $self->_key_of($op);
	my $tx = $session->{tx};

	if ($op->{outcome} eq 'ok')
	{
		return $self->_replay_released($op, $session, $key);
	}
	if ($op->{outcome} eq 'no')
	{
		# or it has asked for the release of all holds already
		return if $tx && any { $_->{key} && $_->{key} == $key } @{ $tx->{events} };
		return $self->_replay_not_held($op, $key);
	}
	# what a transaction asked for goes with it
	return if $tx;
	$self->_release_one($key, $key->{lease}, $op, 0, 'exclusive');
	$key->{exact} = 0;
	end_zero($key, $op);
	_haunt($key, $op);
	return;
}

# _replay_not_held: the client was told that it has no such lease.
sub _replay_not_held
{
	my ($self, $op, $key) = @_;
	my $lease = $key->{lease};
	my $token = $op->{arg}{token};

	# which says nothing of a later one
	return if defined $token && $token < ($key->{newest} // 0);
	return if $lease && defined $token && $token != $lease->{token};
	$self->_violation('lost-lease',
		"$key->{client} has token $lease->{token} on $key->{resource}, and was told that it has not",
		$lease->{op}, $lease->{proof}, $op)
	  if $self->_guaranteed($lease, $op);
	$self->_tally('leases found lost') if $lease;
	my $may_be_stale = $lease || $key->{unknown} || $key->{stale};
	finish($key, $op->{tr});
	return if defined $token && $key->{unknown};
	end_zero($key, $op);
	make_zero($key, $op);
	$key->{stale} = 1 if $may_be_stale;
	return;
}

# _replay_has: the client was told that it has a lease.  Gives the lease, if
# it is known which.
sub _replay_has
{
	my ($self, $op, $key) = @_;
	my $token = $op->{arg}{token};
	my $lease = $key->{lease};
	my $force;

	if ($self->_is_zero($key, $op->{tr}))
	{
		$self->_violation('ghost-lease',
			"$key->{client} was told that it has $key->{resource}, and cannot have it",
			$key->{zero_op}, $op);
		return;
	}
	return if $key->{unknown} && !defined $token;
	$token //= $lease ? $lease->{token} : return;
	$force = $self->_taken_away($token, $op->{ti});
	$self->_violation('ghost-lease',
		"$key->{client} was told that it has token $token on $key->{resource}, which was taken away",
		$force, $op)
	  if $force;
	return $lease
	  if $lease && $lease->{token} == $token && $self->_prove($lease, $op->{ti}, $op);

	# another that it has again: back after a crash
	return if $key->{tainted} || !$self->{of_token}{$token};
	finish($key, $op->{ti});
	end_zero($key, $op);
	forget_modes($key, 0);
	@$key{qw(L S T exact)} = (1, 0, 0, 0);
	$lease = $self->_new_lease($key, $token, 'shared', $op, $op->{tr});
	$lease->{volatile} = 1;
	note_part($key, $op->{tr});
	return $lease;
}

sub _replay_released
{
	my ($self, $op, $session, $key) = @_;
	my $lease = $self->_replay_has($op, $key);
	my $tx = $session->{tx};

	return $self->_release_one($key, $lease // $key->{lease}, $op, defined $lease, 'exclusive')
	  unless $tx;
	push @{ $tx->{events} },
	  { what => 'release', key => $key, lease => $lease // $key->{lease}, sure => defined $lease,
		%{ $self->_meant($key, $tx, $op) } };
	return;
}

# _meant: which hold a release is about, which is asked for in a transaction: the
# strongest that was not asked for yet, and of equals one that is not the
# transaction's.  Those of the transaction end with it, asked for or not.
sub _meant
{
	my ($self, $key, $tx, $op) = @_;
	my @asked = grep { $_->{what} eq 'release' && $_->{key} == $key } @{ $tx->{events} };
	my $exclusive = $key->{XL} + $key->{XS};
	my %left = (
		exclusive => $exclusive,
		shared => $key->{L} + $key->{S} - $exclusive,
		'own exclusive' => $key->{XT},
		'own shared' => $key->{T} - $key->{XT});

	# it may be any
	return { mode => 'exclusive', perhaps => $key->{T} > 0 }
	  unless $key->{modes_known} && $self->_is_exact($key, $op->{tr});
	foreach my $event (@asked)
	{
		return { mode => 'exclusive', perhaps => $key->{T} > 0 } if $event->{perhaps};
		$left{ ($event->{own} ? 'own ' : '') . $event->{mode} }--;
	}
	foreach my $mode (qw(exclusive shared))
	{
		return { mode => $mode } if $left{$mode} > 0;
		return { mode => $mode, own => 1 } if $left{"own $mode"} > 0;
	}
	return { mode => 'exclusive' };
}

# _haunt: where the connection was lost, the request may be carried out later.
sub _haunt
{
	my ($key, $op) = @_;

	return unless $op->{outcome} =~ /^(?:lost|none)$/;
	$key->{haunted} = 1;
	note_part($key, $op->{ti}) if $key->{lease};
	return;
}

# _release_one takes the hold that dlock_release takes first: one in that mode,
# if there is any.
sub _release_one
{
	my ($self, $key, $lease, $op, $certain, $mode) = @_;
	my $kind;

	if (!$lease || !$key->{lease} || $lease != $key->{lease})
	{
		$key->{exact} = 0;
		return;
	}
	if ($key->{S} > 0 && $key->{L} > 0
		&& !($key->{modes_known} && $self->_is_exact($key, end_of($op))))
	{
		# it is the one or the other, and what is left may be shared
		forget_modes($key, 0);
		$self->_drop($key, $lease, 'S', 'exclusive', 1, $op, 0);
		return $self->_drop($key, $lease, 'L', 'exclusive', 1, $op, 0);
	}
	$mode = 'shared' unless $key->{XS} + $key->{XL} > 0;
	if ($mode eq 'exclusive')
	{
		$kind = $key->{XS} > 0 ? 'S' : 'L';
	}
	else
	{
		$kind = $key->{S} > $key->{XS} || !$key->{L} ? 'S' : 'L';
	}
	return $self->_drop($key, $lease, $kind, $mode, 1, $op, $certain);
}

# How many leases of a client there are for sure.
sub _count_guaranteed
{
	my ($self, $op, $count) = @_;
	my @sure = grep { $self->_guaranteed($_->{lease}, $op) } $self->_keys_of($op->{arg}{client});

	return @sure if $count >= @sure;
	$self->_violation('lost-lease',
		"$op->{arg}{client} has " . @sure . " leases, and was told of $count",
		$op, map { $_->{lease}{op} } @sure);
	return @sure;
}

sub _replay_release_all
{
	my ($self, $op, $session) = @_;
	my $client = $op->{arg}{client};

	$self->_count_guaranteed($op, $op->{res}{count}) if $op->{outcome} eq 'ok';
	foreach my $key ($self->_keys_of($client))
	{
		my $lease = $key->{lease};

		if ($op->{outcome} eq 'ok' && !$session->{tx})
		{
			# of a lease whose time is over, it takes no notice
			my $stale = $key->{unknown} || $key->{stale} || $lease && !$self->_guaranteed($lease, $op);

			$lease->{released} = $op if $lease && !$stale;
			finish($key, $op->{ti});
			end_zero($key, $op);
			make_zero($key, $op);
			$key->{stale} = 1 if $stale;
			next;
		}
		_haunt($key, $op);
		# what a session keeps may be gone since its last answer
		without_kept($key->{lease}, $session->{alive}, $key->{L}, $key->{floor} || $key->{XL} ? 'exclusive' : 'shared')
		  if $key->{lease} && $session->{keeps}{ id_of($key) } && $op->{outcome} =~ /^(?:lost|none)$/;
		finish($key, $op->{ti});
		end_zero($key, $op);
		forget_modes($key, 0);
		@$key{qw(L S T exact)} = (0, 0, 0, 0);
	}
	return;
}

#
# renew
#
# _renew: the clock of the lease began anew, for a new duration perhaps.  What
# was promised before does not count any more, if something keeps the clock
# from running.
sub _renew
{
	my ($self, $key, $lease, $op) = @_;

	$lease->{dur} = $op->{arg}{ttl} if $op->{arg}{ttl};
	$key->{T_end} = $op->{ti} + $lease->{dur};
	return unless $key->{L} > 0;
	$lease->{end} = max($lease->{from}, $op->{ti});
	$self->_promise($lease, $op->{ti}, $op->{ti} + $lease->{dur}, $op);
	return;
}

# _perhaps_renew: or it did not.
sub _perhaps_renew
{
	my ($self, $key, $op) = @_;
	my $lease = $key->{lease};
	my $dur = $op->{arg}{ttl};

	return unless $dur;
	_haunt($key, $op);
	return unless $lease;
	$lease->{dur} = min($lease->{dur}, $dur);
	$key->{T_end} = min($key->{T_end} // ALWAYS, $op->{ti} + $dur);
	$lease->{end} = max($lease->{from}, min($lease->{end}, $op->{ti} + $dur));
	return;
}

sub _replay_renew
{
	my ($self, $op, $session) = @_;
	my $key = $self->_key_of($op);
	my $lease;

	if ($op->{outcome} eq 'ok')
	{
		$lease = $self->_replay_has($op, $key) // return $self->_perhaps_renew($key, $op);
		$self->_renew($key, $lease, $op);
		$lease->{volatile} = 1 if $session->{volatile};
		return;
	}
	# it may have run out for the shorter time that was asked for, before the answer
	$self->_perhaps_renew($key, $op);
	return $self->_replay_not_held($op, $key) if ($op->{res}{state} // '') eq 'LK001';
	return;
}

sub _replay_renew_all
{
	my ($self, $op, $session) = @_;
	my %sure;

	%sure = map { id_of($_) => 1 } $self->_count_guaranteed($op, $op->{res}{count})
	  if $op->{outcome} eq 'ok';
	foreach my $key ($self->_keys_of($op->{arg}{client}))
	{
		if ($sure{ id_of($key) })
		{
			$self->_renew($key, $key->{lease}, $op);
			$key->{lease}{volatile} = 1 if $session->{volatile};
		}
		else
		{
			$self->_perhaps_renew($key, $op);
		}
	}
	return;
}

#
# Conversion
#
sub _set_mode
{
	my ($key, $lease, $mode, $time, $certain) = @_;

	return unless $lease && $key->{lease} && $key->{lease} == $lease;
	forget_modes($key, $certain) if $mode eq 'shared';
	$key->{floor} = 1 if $mode eq 'exclusive';
	note_part($key, $time);
	return;
}

sub _replay_upgrade
{
	my ($self, $op, $session) = @_;
	my $key = $self->_key_of($op);

	push @{ $key->{requests} }, $op;
	push @{ $self->{requests}{ $key->{resource} } }, $op;
	if ($op->{outcome} eq 'ok')
	{
		my $lease = $self->_replay_has($op, $key) // return;

		$lease->{volatile} = 1 if $session->{volatile};
		_set_mode($key, $lease, 'exclusive', $op->{tr}, 1);
		$self->_tally('upgrades');
		return;
	}
	return $self->_replay_not_held($op, $key) if ($op->{res}{state} // '') eq 'LK001';
	return;
}

sub _replay_downgrade
{
	my ($self, $op, $session) = @_;
	my $key = $self->_key_of($op);
	my $lease = $key->{lease};

	$key->{may_share} = 1;
	return $self->_replay_not_held($op, $key) if ($op->{res}{state} // '') eq 'LK001';
	$self->_replay_has($op, $key) if $op->{outcome} eq 'ok';
	if ($session->{tx})
	{
		push @{ $session->{tx}{events} }, { what => 'downgrade', key => $key, lease => $lease };
		return;
	}
	_set_mode($key, $lease, 'shared', $op->{ti}, $op->{outcome} eq 'ok');
	_haunt($key, $op);
	return;
}

#
# Work: what a transaction writes, and relies on a lease for
#
sub _replay_fence
{
	my ($self, $op, $session) = @_;
	my $key = $self->_key_of($op);
	my $lease;

	return $self->_replay_not_held($op, $key) if ($op->{res}{state} // '') eq 'LK001';
	return unless $op->{outcome} eq 'ok';
	$lease = $self->_replay_has($op, $key);
	push @{ $session->{tx}{events} }, { what => 'fence', key => $key, lease => $lease, op => $op }
	  if $session->{tx};
	return;
}

sub _replay_work
{
	my ($self, $op, $session) = @_;

	push @{ $session->{tx}{events} }, { what => 'work', op => $op }
	  if $op->{outcome} eq 'ok' && $session->{tx};
	return;
}

# _settle notes what became of what a transaction has written: "committed" or
# "refused", by an operation; where nobody knows, nothing.
sub _settle
{
	my ($fate, $op, @events) = @_;

	$_->{op}{$fate} = $op foreach grep { $_->{what} eq 'work' } @events;
	return;
}

#
# Transactions
#
sub _replay_begin
{
	my ($self, $op, $session) = @_;

	$session->{tx} = { events => [], marks => [] };
	return;
}

# _end_holds: the transaction's own holds are over.  Where the session is, they
# may be since its last answer; see _end_session.
sub _end_holds
{
	my ($self, $session, $op, $certain, @events) = @_;
	my $is_lost = $op->{outcome} =~ /^(?:lost|none)$/;

	foreach my $event (grep { $_->{what} eq 'hold' } @events)
	{
		my $key = $event->{key};

		next if $event->{over};
		$event->{over} = 1;
		$self->_drop($key, $event->{lease}, 'T', $event->{mode}, 1, $op, $certain);
		$key->{T_kept} = 0;
		$key->{T_end} = 0 unless $key->{T};
		delete $session->{keeps}{ id_of($key) } unless $key->{T} || $key->{S} || $is_lost;
	}
	return;
}

sub _replay_commit
{
	my ($self, $op, $session) = @_;
	my @events = @{ $session->{tx}{events} // [] };
	my $ok = $op->{outcome} eq 'ok';

	$session->{tx} = undef;
	_settle($ok ? 'committed' : 'refused', $op, @events) if $op->{outcome} =~ /^(?:ok|fail)$/;
	if (($op->{res}{state} // '') eq 'LK001')
	{
		$self->_check_commit_failed($op, @events);
		return $self->_end_holds($session, $op, 0, @events);
	}
	$op->{fenced} = [ map { $_->{op} } grep { $_->{what} eq 'fence' } @events ];
	my $has_written = any { $_->{what} eq 'work' } @events;
	my $relied_on = $has_written ? qr/^(?:hold|fence|release|downgrade)$/ : qr/^(?:hold|fence)$/;

	foreach my $event (@events)
	{
		# a commit fails if one of its holds is gone, or a lease that it has fenced or,
		# if it has written something, given back or made weaker
		$self->_prove($event->{lease}, $op->{ti}, $op)
		  if $event->{what} =~ $relied_on && $event->{lease} && !$event->{over} && $ok;
		next if $event->{own};
		$event->{key}{exact} = 0 if $event->{perhaps};
		$self->_release_one($event->{key}, $event->{lease}, $op, $ok && $event->{sure} && !$event->{perhaps}, $event->{mode})
		  if $event->{what} eq 'release';
		_set_mode($event->{key}, $event->{lease}, 'shared', $op->{ti}, $ok)
		  if $event->{what} eq 'downgrade';
		_haunt($event->{key}, $op) if $event->{what} =~ /^(?:release|downgrade)$/;
	}
	$self->_end_holds($session, $op, $ok, @events);
	return;
}

sub _check_commit_failed
{
	my ($self, $op, @events) = @_;
	# what was released in it is relied on until then
	my @holds = grep { $_->{what} =~ /^(?:hold|fence|release|downgrade)$/ && !$_->{over} } @events;
	my %kept = map { $_->{lease} => 1 } grep { $_->{kept} } @holds;
	my @lost = grep { !$_->{lease}
		  || !$kept{ $_->{lease} } && !$self->_guaranteed($_->{lease}, $op)
		  || $self->{forced}{ $_->{lease}{token} } } @holds;

	$self->_tally('commits refused');
	$self->_violation('lost-lease',
		'a commit was refused, although no lease of the transaction can be lost',
		(map { $_->{lease}{op} } @holds), $op)
	  unless @lost;
	return;
}

sub _replay_rollback
{
	my ($self, $op, $session) = @_;
	my $events = $session->{tx}{events} // [];

	$session->{tx} = undef;
	_settle('refused', $op, @$events);
	return $self->_end_holds($session, $op, $op->{outcome} eq 'ok', @$events);
}

sub _replay_savepoint
{
	my ($self, $op, $session) = @_;

	push @{ $session->{tx}{marks} }, scalar @{ $session->{tx}{events} // [] }
	  if $op->{outcome} eq 'ok' && $session->{tx};
	return;
}

# Back to the newest savepoint, which stays.
sub _replay_rollback_to
{
	my ($self, $op, $session) = @_;
	my $tx = $session->{tx};
	my @undone;

	return unless $op->{outcome} eq 'ok' && $tx && @{ $tx->{marks} };
	@undone = splice @{ $tx->{events} }, $tx->{marks}[-1];
	_settle('refused', $op, @undone);
	return $self->_end_holds($session, $op, 1, @undone);
}

# _fail_transaction: an error ends a transaction's holds at once, or those
# since its newest savepoint.
sub _fail_transaction
{
	my ($self, $session, $op) = @_;
	my $tx = $session->{tx};

	$self->_end_holds($session, $op, !@{ $tx->{marks} }, @{ $tx->{events} });
	return if @{ $tx->{marks} };
	_settle('refused', $op, @{ $tx->{events} });
	$tx->{events} = [];
	return;
}

sub _replay_disconnect
{
	my ($self, $op, $session) = @_;
	return $self->_end_session($session, $op);
}

1;
