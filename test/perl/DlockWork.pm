# DlockWork - finds old tokens that count again, and work that is out of order
#
# These are rules of DlockChecker, for histories that DlockReplay has gone
# through.  They say that a lease which has ended never comes back over a later
# one, whatever the scope and the durability of either, and whatever crashes
# come between.
package DlockWork;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(check_old_tokens check_work);

#
# old-token
#
# An acknowledged token ends each lease with a lower one that cannot be beside
# it: of the same client, or of any if one of the two is exclusive.  Whatever
# was asked for with a lower token after that must fail.

# told(OP) gives the token that an answer has told its client of, if any.
sub told
{
	my ($op) = @_;

	return if $op->{outcome} ne 'ok';
	return $op->{res}{token} if $op->{kind} eq 'acquire';
	return $op->{arg}{token} if $op->{kind} eq 'upgrade';
	return;
}

# claim(OP, TOKEN, ...) is one event of a sweep through time.
sub claim
{
	my ($op, $token, %with) = @_;

	return { op => $op, token => $token, client => $op->{arg}{client},
		resource => $op->{arg}{resource}, time => $op->{ti}, succeeds => $op->{outcome} eq 'ok',
		%with };
}

# claims_of(OP) gives the claims that a token counts, in an operation: of its
# client, or of a commit that relies on it.
sub claims_of
{
	my ($op) = @_;
	my $is_answered = $op->{outcome} =~ /^(?:ok|no)$/ || ($op->{res}{state} // '') eq 'LK001';

	return claim($op, $op->{res}{token})
	  if $op->{kind} eq 'acquire' && $op->{outcome} eq 'ok';
	return claim($op, $op->{arg}{token})
	  if $op->{kind} =~ /^(?:renew|release|upgrade|fence)$/ && defined $op->{arg}{token} && $is_answered;
	return map { claim($_, $_->{arg}{token}, op => $op, fence => $_, time => $op->{ti}) } @{ $op->{fenced} // [] }
	  if $op->{kind} eq 'commit' && $op->{outcome} eq 'ok';
	return;
}

# last_sights(SELF) gives as claims, of each token, that the last list with it
# has shown it: if that is right, so are the others.
sub last_sights
{
	my ($self) = @_;
	my %last;

	foreach my $look ($self->_looks('list'))
	{
		$last{"$_->{token} $_->{client} $_->{resource}"} = [ $look, $_ ]
		  foreach grep { defined $_->{token} } @{ $look->{rows} };
	}
	return map { my ($look, $row) = @{ $last{$_} };
		claim($look, $row->{token}, client => $row->{client}, resource => $row->{resource}, seen => 1) }
	  sort keys %last;
}

# note_told keeps the highest tokens that were acknowledged so far.
sub note_told
{
	my ($newest, $ack) = @_;
	my @of = ('any', "client $ack->{client}");

	push @of, 'exclusive' if $ack->{exclusive};
	foreach my $which (@of)
	{
		$newest->{$which} = $ack if $ack->{token} > ($newest->{$which}{token} // 0);
	}
	return;
}

# overruled(SELF, NEWEST, CLAIM) gives the acknowledgement that has ended what
# somebody claims to have.
sub overruled
{
	my ($self, $newest, $claim) = @_;
	my @of = ('exclusive', "client $claim->{client}");

	# alone, so that not even a shared one can have come beside it
	push @of, 'any' unless $self->_key($claim->{client}, $claim->{resource})->{may_share};
	foreach my $which (@of)
	{
		my $ack = $newest->{$which} // next;

		return $ack if $ack->{token} > $claim->{token};
	}
	return;
}

sub check_claim
{
	my ($self, $newest, $claim) = @_;
	my $ack = overruled($self, $newest, $claim) // return;
	my ($lease) = @{ $self->{of_token}{ $claim->{token} } // [] };
	my $granted = $lease ? $lease->{op} : undef;

	if (!$claim->{seen})
	{
		$self->_tally('old tokens that were tried');
		$self->_tally('zombies that tried')
		  if $granted && defined $granted->{tr} && $self->_crashed($granted->{tr}, $claim->{time});
	}
	return unless $claim->{succeeds};
	$self->_violation('old-token',
		"$claim->{client} has token $claim->{token} on $claim->{resource}, when $ack->{client} had been told of $ack->{token}",
		$granted, $ack->{op}, $claim->{fence}, $claim->{op});
	return;
}

# check_old_tokens sweeps through time.  Two times that are equal have no
# order, so claims come first.
sub check_old_tokens
{
	my ($self) = @_;
	my @events = last_sights($self);
	my %newest;

	foreach my $op (@{ $self->{ops} })
	{
		my $token = told($op);

		push @events, claims_of($op);
		push @events,
		  { op => $op, token => $token, client => $op->{arg}{client}, resource => $op->{arg}{resource},
			time => $op->{tr}, told => 1,
			exclusive => $op->{kind} eq 'upgrade' || $op->{arg}{mode} eq 'exclusive' }
		  if defined $token;
	}
	@events = sort { $a->{time} <=> $b->{time} || ($a->{told} // 0) <=> ($b->{told} // 0) } @events;
	foreach my $event (@events)
	{
		my $of = $newest{ $event->{resource} } //= {};

		if ($event->{told}) { note_told($of, $event); }
		else { check_claim($self, $of, $event); }
	}
	return;
}

#
# work
#
# The id of a row is drawn while its transaction relies on the token: between
# the fence, or the grant, and a commit that needs the lease to be there still.
# So rows of one resource have rising tokens, by their ids.

# check_fate: what was committed is there, and what was refused is not.
sub check_fate
{
	my ($self, $look, $op, $row) = @_;

	if ($op->{committed})
	{
		$self->_tally('rows that had to be there');
		$self->_violation('work', "row $op->{res}{id} of $op->{arg}{client} was committed, and is not there",
			$op, $op->{committed}, $look)
		  if !$row;
	}
	elsif ($op->{refused})
	{
		$self->_tally('rows that must not be there');
		$self->_violation('work', "row $op->{res}{id} of $op->{arg}{client} was not committed, and is there",
			$op, $op->{refused}, $look)
		  if $row;
	}
	return;
}

# check_order: of a lower token than one before, each is told of once.
sub check_order
{
	my ($self, $look, $op_of, @rows) = @_;
	my ($newest, %told_of);

	foreach my $row (sort { $a->{id} <=> $b->{id} } @rows)
	{
		$self->_tally('rows in order of tokens') if $newest;
		if (!$newest || $row->{token} >= $newest->{token})
		{
			$newest = $row;
			next;
		}
		next if $told_of{ $row->{token} }++;
		$self->_violation('stale-work',
			"$row->{resource}: row $row->{id} of $row->{client} was written with token $row->{token},"
			  . " after row $newest->{id} of $newest->{client} with token $newest->{token}",
			map({ my $op = $op_of->{ $_->{id} }; ($op, $op ? $op->{committed} : undef) } $newest, $row), $look);
	}
	return;
}

sub check_work
{
	my ($self) = @_;
	my ($look) = grep { $_->{kind} eq 'worktable' && $_->{outcome} eq 'ok' } @{ $self->{ops} };
	my %op_of = map { $_->{res}{id} => $_ }
	  grep { $_->{kind} eq 'work' && $_->{outcome} eq 'ok' } @{ $self->{ops} };
	my (%row_of, %of_resource);

	return unless $look;
	$row_of{ $_->{id} } = $_ foreach @{ $look->{rows} };
	push @{ $of_resource{ $_->{resource} } }, $_ foreach @{ $look->{rows} };
	check_fate($self, $look, $op_of{$_}, $row_of{$_}) foreach sort { $a <=> $b } keys %op_of;
	check_order($self, $look, \%op_of, @{ $of_resource{$_} }) foreach sort keys %of_resource;
	return;
}

1;
