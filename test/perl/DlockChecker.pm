# DlockChecker - finds out whether histories keep what dlock promises
#
#     my $checker = DlockChecker->new(read_histories(@files));
#     $checker->run;
#     $checker->{violations}	# each { rule, text, lines => [...] }
#     $checker->{counts}	# what there was to check
#
# A pure function of the histories (DlockHistory), and careful: it says only
# what the histories prove.  A server does what it is asked somewhere between
# the two lines of an operation, so a client has a lease for sure
#
#     from	 the line that told it so,
#     to	 the line with which it asked for the lease or the last renewal, plus
#			 the duration; or with which it asked for the release; or with which
#			 it, or the observer, asked for what later showed that the lease
#			 with this token was there still.
#
# A lease that a session keeps lasts for sure until the last request that the
# session answered.  An answer that is missing counts for both outcomes.  After
# a crash a lease that was released just before may be back, and one that is
# not durable may be gone.  Two times that are equal have no order.
#
# The rules:
#
#	 exclusion	 no two leases of different clients on a resource at one time,
#				 unless both are shared
#	 token-repeat	 a token is given out once
#	 token-order	 a token is above all those that were known when it was asked
#				 for
#	 old-token	 a token counts for nothing once a later one was acknowledged that
#				 cannot be beside it: no acquire gives it, nothing succeeds with it,
#				 and no list shows it, of whatever scope and durability both are,
#				 and whatever crashes came between
#	 stale-work	 rows of a resource, by their ids, have tokens that do not go down
#	 work		 what was committed is there, what was refused is not
#	 lost-lease	 a client that has a lease for sure is told so, and the lease stands
#				 in every list, also in those after a crash, with its token, and
#				 no weaker and with no fewer holds than was acknowledged
#	 ghost-lease	 nobody has what was not asked for, was refused, given back or
#				 taken away
#	 ghost-waiter	 nobody stands in line who does not wait
#	 queue-order	 a queue stands by priority, then by ticket
#	 overtaken	 nobody is granted while one who came before, with the same or a
#				 higher priority, waits for the same resource
#	 out-of-turn	 those who wait are served as they stand
#	 idle		 no client waits for a free resource: a release hands it over
#	 leak		 at the end nobody waits, nothing is held, no slot is in use
package DlockChecker;

use strict;
use warnings;

use parent 'DlockReplay';

use DlockClaims qw(NEVER ALWAYS end_of);
use DlockWork qw(check_old_tokens check_work);
use List::Util qw(any max min);

# run applies all rules.
sub run
{
	my ($self) = @_;

	$self->_note_disturbances;
	$self->_replay;
	$self->_note_seen;
	$self->_check_exclusion;
	$self->_check_lists;
	$self->_check_token_order;
	check_old_tokens($self);
	check_work($self);
	$self->_check_queues;
	$self->_check_overtaking;
	$self->_check_turns;
	$self->_check_idle;
	$self->_check_end;
	$self->_count;
	return;
}

#
# What the observer saw
#
sub _looks
{
	my ($self, $kind) = @_;

	return @{ $self->{looks}{$kind} //=
		  [ grep { $_->{kind} eq $kind && $_->{outcome} eq 'ok' } @{ $self->{ops} } ] };
}

# _note_seen: a token that was seen proves that the lease was there, also one
# whose client was not told.
sub _note_seen
{
	my ($self) = @_;
	my %unheard;

	foreach my $look ($self->_looks('list'))
	{
		foreach my $row (grep { defined $_->{token} } @{ $look->{rows} })
		{
			my $leases = $self->{of_token}{ $row->{token} };

			$self->_tally('leases seen');
			if (!$leases)
			{
				push @{ $unheard{ $row->{token} } }, [ $look, $row ];
				next;
			}
			$self->_note_seen_known($look, $row, $leases);
		}
	}
	$self->_note_unheard($unheard{$_}) foreach sort { $a <=> $b } keys %unheard;
	return;
}

sub _note_seen_known
{
	my ($self, $look, $row, $leases) = @_;
	my $key = $leases->[0]{key};

	if ($key->{client} ne $row->{client} || $key->{resource} ne $row->{resource})
	{
		$self->_violation('token-repeat',
			"token $row->{token} is $key->{client}'s on $key->{resource}, and $row->{client}'s on $row->{resource}",
			$leases->[0]{op}, $look);
		return;
	}
	foreach my $lease (@$leases)
	{
		$self->_prove($lease, $look->{ti}, $look)
		  if !$lease->{released} && $lease->{from} < $look->{ti} && $lease == $leases->[-1];
	}
	return;
}

# _note_unheard: a lease that was seen from time to time, and its client not
# told of.
sub _note_unheard
{
	my ($self, $sights) = @_;
	my ($first, $row) = @{ $sights->[0] };
	my ($last) = @{ $sights->[-1] };
	my $key = $self->_key($row->{client}, $row->{resource});
	my $mode = (any { $_->[1]{mode} ne 'exclusive' } @$sights) ? 'shared' : 'exclusive';
	my $kept = $key->{lease};
	my $lease;

	$self->_tally('leases that only the observer knew');
	foreach my $sight (@$sights)
	{
		my ($look, $other) = @$sight;

		$self->_violation('token-repeat',
			"token $row->{token} was seen with two clients or resources", $first, $look)
		  if $other->{client} ne $row->{client} || $other->{resource} ne $row->{resource};
	}
	$lease = $self->_new_lease($key, $row->{token}, $mode, $first, $first->{tr});
	$lease->{unheard} = 1;
	$lease->{parts} = [ { from => $first->{tr}, mode => $mode, count => 0 } ];
	$self->_prove($lease, $last->{ti}, $last) if $last->{ti} > $first->{tr};
	$key->{lease} = $kept;
	return;
}

#
# exclusion
#
# _spans gives the times of a lease in one mode each.
sub _spans
{
	my ($lease) = @_;
	my @parts = @{ $lease->{parts} };
	my @spans;

	foreach my $i (0 .. $#parts)
	{
		my $to = $i < $#parts ? min($parts[ $i + 1 ]{from}, $lease->{end}) : $lease->{end};

		push @spans, { %{ $parts[$i] }, to => $to, lease => $lease }
		  if $to > $parts[$i]{from};
	}
	return @spans;
}

# What is not durable may be gone after a crash.
sub _cut_volatile
{
	my ($self) = @_;

	foreach my $lease (grep { $_->{volatile} } @{ $self->{leases} })
	{
		foreach my $crash (@{ $self->{crashes} })
		{
			$lease->{end} = min($lease->{end}, max($lease->{from}, $crash->{ti}))
			  if $crash->{ti} <= $lease->{end} && end_of($crash) >= $lease->{op}{ti};
		}
	}
	return;
}

sub _check_exclusion
{
	my ($self) = @_;
	my %of_resource;

	$self->_cut_volatile;
	foreach my $lease (@{ $self->{leases} })
	{
		push @{ $of_resource{ $lease->{key}{resource} } }, _spans($lease);
	}
	foreach my $resource (sort keys %of_resource)
	{
		my @active;

		foreach my $span (sort { $a->{from} <=> $b->{from} } @{ $of_resource{$resource} })
		{
			@active = grep { $_->{to} > $span->{from} } @active;
			$self->_check_pair($resource, $_, $span) foreach @active;
			push @active, $span;
		}
	}
	return;
}

sub _check_pair
{
	my ($self, $resource, $one, $other) = @_;
	my ($a, $b) = ($one->{lease}, $other->{lease});

	return if $a->{key} == $b->{key};
	if ($one->{mode} eq 'shared' && $other->{mode} eq 'shared')
	{
		$self->_tally('shared leases at the same time');
		return;
	}
	$self->_violation('exclusion',
		"$resource: $a->{key}{client} ($one->{mode}, token $a->{token}, for sure from $one->{from} to $one->{to})"
		  . " and $b->{key}{client} ($other->{mode}, token $b->{token}, for sure from $other->{from} to $other->{to})",
		$a->{op}, $a->{proof}, $b->{op}, $b->{proof});
	return;
}

#
# Lists: exclusion, lost-lease and ghost-lease
#
sub _check_lists
{
	my ($self) = @_;
	my @leases = sort { $a->{from} <=> $b->{from} }
	  grep { !$_->{unheard} && $_->{end} > $_->{from} } @{ $self->{leases} };
	my @crashes = sort { end_of($a) <=> end_of($b) } @{ $self->{crashes} };
	my @active;

	foreach my $look ($self->_looks('list'))
	{
		my %row_of;
		my @due;

		push @active, shift @leases while @leases && $leases[0]{from} <= $look->{ti};
		@active = grep { $_->{end} >= $look->{ti} } @active;
		$self->_check_row($look, $_, \%row_of) foreach @{ $look->{rows} };
		@due = grep { $_->{end} >= $look->{tr} } @active;
		$self->_check_due($look, $_, $row_of{ $_->{token} }) foreach @due;
		while (@crashes && end_of($crashes[0]) < $look->{ti})
		{
			my $crash = shift @crashes;

			$self->_tally('crashes that were looked at');
			$self->_tally('leases that had to survive a crash',
				scalar grep { $_->{from} < $crash->{ti} } @due);
		}
	}
	return;
}

sub _check_row
{
	my ($self, $look, $row, $row_of) = @_;
	my $key = $self->_key($row->{client}, $row->{resource});
	my $token = $row->{token} // 'none';
	my $force = $self->_taken_away($token, $look->{ti});

	$row_of->{$token} = $row;
	foreach my $other (@{ $row_of->{"on $row->{resource}"} // [] })
	{
		$self->_violation('exclusion',
			"$row->{resource} was seen with $other->{client} ($other->{mode}) and $row->{client} ($row->{mode})",
			$look)
		  if "$other->{mode} $row->{mode}" ne 'shared shared';
	}
	push @{ $row_of->{"on $row->{resource}"} }, $row;
	$self->_violation('ghost-lease',
		"token $token was taken away from $row->{client}, and stands in a list",
		$force, $look)
	  if $force;
	$self->_check_not_ghost($look, $row, $key);
	return;
}

sub _check_not_ghost
{
	my ($self, $look, $row, $key) = @_;
	my @zeros = @{ $key->{zeros} };

	push @zeros,
	  { from => $key->{zero}, to => ALWAYS, since => $key->{exact_since},
		op => $key->{zero_op}, stale => $key->{stale} }
	  if defined $key->{zero};
	foreach my $zero (@zeros)
	{
		next unless $zero->{from} < $look->{ti} && $zero->{to} > $look->{tr};
		next if $zero->{stale};
		next if $zero->{since} != NEVER && $self->_crashed($zero->{since}, $look->{tr});
		$self->_violation('ghost-lease',
			"$row->{client} has nothing of $row->{resource}, and stands in a list with it",
			$zero->{op}, $look);
		return;
	}
	return;
}

# _check_due: a lease that is there for sure must stand in the list.
sub _check_due
{
	my ($self, $look, $lease, $row) = @_;
	my $key = $lease->{key};
	my @parts = grep { $_->{from} < $look->{tr} && $_->{to} > $look->{ti} } _spans($lease);
	my $holds = min(map { $_->{count} } @parts) // 0;
	my $wrong =
		!$row ? 'is not there'
	  : $row->{mode} eq 'shared' && @parts && !(any { $_->{mode} eq 'shared' } @parts)
	  ? 'is only shared'
	  : $row->{count} < $holds ? "has only $row->{count} of $holds holds"
	  : undef;

	$self->_tally('leases that had to be in a list');
	return unless $wrong;
	$self->_violation('lost-lease',
		"$key->{client} has token $lease->{token} on $key->{resource} for sure from $lease->{from} to $lease->{end}, and in a list it $wrong",
		$lease->{op}, $lease->{proof}, $look);
	return;
}

#
# token-order
#
sub _check_token_order
{
	my ($self) = @_;
	my (@known, $newest, $by);

	push @known, map { [ $_->{tr}, $_->{res}{token}, $_ ] }
	  grep { $_->{kind} eq 'acquire' && $_->{outcome} eq 'ok' } @{ $self->{ops} };
	foreach my $look ($self->_looks('list'))
	{
		push @known, map { [ $look->{tr}, $_->{token}, $look ] }
		  grep { defined $_->{token} } @{ $look->{rows} };
	}
	@known = sort { $a->[0] <=> $b->[0] } @known;
	foreach my $grant (sort { $a->{ti} <=> $b->{ti} } @{ $self->{grants} })
	{
		while (@known && $known[0][0] < $grant->{ti})
		{
			my (undef, $token, $op) = @{ shift @known };

			($newest, $by) = ($token, $op) if !defined $newest || $token > $newest;
		}
		next unless defined $newest;
		$self->_tally('tokens that had to rise');
		$self->_violation('token-order',
			"token $grant->{res}{token} was given out when $newest was known", $by, $grant)
		  if $grant->{res}{token} <= $newest;
	}
	return;
}

#
# Queues
#
# _check_queues finds the request that each row of a queue stands for.
sub _check_queues
{
	my ($self) = @_;

	$_->{requests} = [ sort { $a->{ti} <=> $b->{ti} } @{ $_->{requests} } ]
	  foreach map { values %$_ } values %{ $self->{keys} };
	foreach my $look ($self->_looks('queue'))
	{
		my %queues;

		push @{ $queues{ $_->{resource} } }, $_ foreach @{ $look->{rows} };
		$self->_tally('waiters seen', scalar @{ $look->{rows} });
		foreach my $resource (sort keys %queues)
		{
			my @rows = sort { $a->{place} <=> $b->{place} } @{ $queues{$resource} };

			$self->_check_queue($look, $resource, @rows);
		}
	}
	return;
}

sub _check_queue
{
	my ($self, $look, $resource, @rows) = @_;
	my @stand;

	foreach my $row (@rows)
	{
		my @may_be = $self->_requests_in($look, $row);
		my $request = @may_be == 1 ? $may_be[0] : undef;

		$self->_violation('ghost-waiter',
			"$row->{client} stands in line for $resource, and does not wait", $look)
		  unless @may_be;
		# an upgrade stands ahead of all, whatever its priority
		next unless $request && $request->{plain};
		$self->_note_queued($look, $row, $request);
		push @stand, { row => $row, request => $request };
		$look->{standing}{"$request->{actor} $request->{n}"} = $request;
	}
	foreach my $i (1 .. $#stand)
	{
		my ($first, $second) = map { $_->{row} } @stand[ $i - 1, $i ];

		$self->_violation('queue-order',
			"$first->{client} stands ahead of $second->{client} for $resource", $look)
		  if $first->{priority} < $second->{priority}
		  || $first->{priority} == $second->{priority} && $first->{ticket} >= $second->{ticket};
	}
	push @{ $self->{stands} }, { look => $look, requests => [ map { $_->{request} } @stand ] }
	  if @stand > 1;
	return;
}

# _requests_in gives the requests that may be under way during a look.
sub _requests_in
{
	my ($self, $look, $row) = @_;
	my $requests = $self->_key($row->{client}, $row->{resource})->{requests};
	my $high = @$requests;
	my $low = 0;
	my @found;

	# those that began before the end of the look, newest first
	while ($low < $high)
	{
		my $middle = int(($low + $high) / 2);

		if ($requests->[$middle]{ti} <= $look->{tr}) { $low = $middle + 1; }
		else { $high = $middle; }
	}
	foreach my $request (reverse @$requests[ 0 .. $low - 1 ])
	{
		# one whose connection was lost may be there for some time
		last if $request->{outcome} ne 'lost' && end_of($request) < $look->{ti};
		push @found, $request;
	}
	return @found;
}

sub _note_queued
{
	my ($self, $look, $row, $request) = @_;
	my $ticket = "$look->{actor} $look->{arg}{session}";

	$request->{queued} //= $look;	# stood in line by the end of this look
	$request->{still} = $look;	# and at the beginning of this one
	$request->{ticket}{$ticket} //= $row->{ticket};
	return;
}

# _in_turn: a request that goes by the priority with which it came.
sub _in_turn
{
	my ($self, $request) = @_;
	my ($client, $resource) = @{ $request->{arg} }{qw(client resource)};

	return $request->{in_turn} //= $request->{plain}
	  && !(
		any { $_->{ti} <= end_of($request) && end_of($_) >= $request->{ti} }
		@{ $self->{moved}{$client}{$resource} // [] }) ? 1 : 0;
}

sub _granted_in_turn
{
	my ($self, $request) = @_;
	return $request->{fresh} && $self->_in_turn($request);
}

# _check_overtaking looks at each grant and at those who stood in line before
# it was asked for.
sub _check_overtaking
{
	my ($self) = @_;

	foreach my $resource (sort keys %{ $self->{requests} })
	{
		my @waiting;

		foreach my $op (sort { $a->{ti} <=> $b->{ti} } @{ $self->{requests}{$resource} })
		{
			@waiting = grep { end_of($_) > $op->{ti} } @waiting;
			if ($self->_granted_in_turn($op))
			{
				$self->_check_overtaken($_, $op) foreach @waiting;
			}
			push @waiting, $op if $op->{queued} && $self->_in_turn($op);
		}
	}
	return;
}

sub _check_overtaken
{
	my ($self, $waiter, $grant) = @_;
	my $later;

	return unless $waiter->{queued}{tr} < $grant->{ti};
	return unless $waiter->{arg}{priority} >= $grant->{arg}{priority};
	return if $waiter->{arg}{client} eq $grant->{arg}{client};
	$self->_tally('grants that had to wait for others');
	$later = $waiter->{fresh} && $waiter->{res}{token} > $grant->{res}{token}
	  || $waiter->{still}{ti} > $grant->{tr};
	$self->_violation('overtaken',
		"$grant->{arg}{client} was granted $grant->{arg}{resource} while $waiter->{arg}{client} waited",
		$waiter, $waiter->{queued}, $grant, $waiter->{still})
	  if $later;
	return;
}

# _check_turns: of those who stood in line together, and of those with tickets
# of one priority, the grants come in that order.
sub _check_turns
{
	my ($self) = @_;
	my %with_tickets;

	foreach my $stand (@{ $self->{stands} // [] })
	{
		my @served = grep { $self->_granted_in_turn($_) } @{ $stand->{requests} };

		$self->_check_turn($stand->{look}, @served);
	}
	foreach my $request (map { @$_ } values %{ $self->{requests} })
	{
		next unless $request->{ticket} && $self->_granted_in_turn($request);
		push @{ $with_tickets{"$request->{arg}{resource} $request->{arg}{priority} $_"} }, [ $request->{ticket}{$_}, $request ]
		  foreach keys %{ $request->{ticket} };
	}
	foreach my $which (sort keys %with_tickets)
	{
		my @by_ticket = sort { $a->[0] <=> $b->[0] } @{ $with_tickets{$which} };

		$self->_check_turn(undef, map { $_->[1] } @by_ticket);
	}
	return;
}

sub _check_turn
{
	my ($self, $look, @served) = @_;

	foreach my $i (1 .. $#served)
	{
		my ($first, $second) = @served[ $i - 1, $i ];

		$self->_tally('turns in a queue');
		$self->_violation('out-of-turn',
			"$second->{arg}{client} stood behind $first->{arg}{client} for $first->{arg}{resource}, and was served before",
			$first, $second, $look // ($first->{queued}, $second->{queued}))
		  if $second->{res}{token} < $first->{res}{token};
	}
	return;
}

#
# idle
#
# _check_idle: a resource that was not in a list, while one who had stood in
# line for it before the list stood there still after it.
sub _check_idle
{
	my ($self) = @_;
	my (%queue, %free);

	foreach my $look (sort { $a->{ti} <=> $b->{ti} } map { $self->_looks($_) } qw(list queue))
	{
		my $by = "$look->{actor} $look->{arg}{session}";

		if ($look->{kind} eq 'list')
		{
			my %held = map { $_->{resource} => 1 } @{ $look->{rows} };
			my $standing = $queue{$by}{standing} // {};

			$free{$by} = {
				look => $look,
				before => $queue{$by},
				waiting => [ grep { !$held{ $standing->{$_}{arg}{resource} } } keys %$standing ] };
			next;
		}
		$self->_check_free($free{$by}, $look) if $free{$by};
		$queue{$by} = $look;
		delete $free{$by};
	}
	return;
}

sub _check_free
{
	my ($self, $free, $look) = @_;

	foreach my $which (@{ $free->{waiting} })
	{
		my $request = $look->{standing}{$which} // next;

		$self->_violation('idle',
			"$request->{arg}{client} waits for $request->{arg}{resource}, which nobody holds",
			$request, $free->{before}, $free->{look}, $look);
	}
	return;
}

#
# leak
#
sub _check_end
{
	my ($self) = @_;

	foreach my $look ($self->_looks('list'), $self->_looks('queue'))
	{
		next unless $look->{arg}{final};
		$self->_tally('final looks');
		$self->_violation('leak',
			"at the end, $_->{client} still "
			  . ($look->{kind} eq 'list' ? 'has' : 'waits for')
			  . " $_->{resource}",
			$look)
		  foreach @{ $look->{rows} };
	}
	foreach my $op (grep { $_->{kind} eq 'slots' && $_->{outcome} eq 'ok' } @{ $self->{ops} })
	{
		$self->_tally('kinds of slots looked at');
		$self->_violation('leak',
			"at the end, only $op->{res}{found} of $op->{res}{expected} $op->{arg}{of} slots are free",
			$op)
		  if $op->{res}{found} < $op->{res}{expected};
	}
	return;
}

#
# How much there was
#
sub _count
{
	my ($self) = @_;
	my %by_resource;

	push @{ $by_resource{ $_->{key}{resource} } }, $_
	  foreach grep { $_->{fresh} } @{ $self->{leases} };
	$self->_tally('crashes', scalar @{ $self->{crashes} });
	$self->_tally('resources that changed hands just before a crash', $_->{res}{changed} // 0)
	  foreach @{ $self->{crashes} };
	$self->_tally('contended grants', scalar grep { $_->{queued} } @{ $self->{grants} });
	foreach my $leases (values %by_resource)
	{
		my @in_order = sort { $a->{token} <=> $b->{token} } @$leases;

		foreach my $i (1 .. $#in_order)
		{
			my ($before, $after) = @in_order[ $i - 1, $i ];
			my $queued = $after->{op}{queued};

			next if "$before->{mode} $after->{mode}" eq 'shared shared';
			$self->_count_over($before, $after);
			if (!$before->{released})
			{
				$self->_tally('leases that ran out');
			}
			elsif ($queued && $queued->{tr} < $before->{released}{ti})
			{
				$self->_tally('hand-overs');
			}
		}
	}
	return;
}

# _count_over: what did not have to be durable itself, after what had a row.
sub _count_over
{
	my ($self, $before, $after) = @_;
	my $scope = $after->{op}{arg}{scope};

	return if $before->{volatile} || $before->{op}{arg}{scope} eq 'transaction';
	$self->_tally('transaction grants over durable ends') if $scope eq 'transaction';
	$self->_tally('other grants without durability over durable ends')
	  if $scope ne 'transaction' && $after->{volatile};
	return;
}

1;
