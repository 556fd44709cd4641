# DlockGraph - directed graphs, and a plain way to tell whether they have cycles
#
# A graph is a list with, for each node, a reference to the list of nodes that
# its arcs lead to.  Everything here is as simple as it can be, for it is what
# the search for deadlocks is compared with.
package DlockGraph;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(has_cycle is_on_cycle without random_graph graph_query);

# has_cycle(GRAPH) is Kahn's: take away nodes that nothing leads to, as long
# as there are any; what is left has a cycle.
sub has_cycle
{
	my ($graph) = @_;
	my @entering = (0) x @$graph;
	my $taken = 0;
	my @free;

	$entering[$_]++ foreach map { @$_ } @$graph;
	@free = grep { $entering[$_] == 0 } 0 .. $#$graph;
	while (@free)
	{
		my $node = pop @free;

		$taken++;
		foreach my $to (@{ $graph->[$node] })
		{
			push @free, $to if --$entering[$to] == 0;
		}
	}
	return $taken < @$graph;
}

# is_on_cycle(GRAPH, NODE) tells whether a way leads from the node to itself.
sub is_on_cycle
{
	my ($graph, $node) = @_;
	my @todo = @{ $graph->[$node] };
	my %seen;

	while (@todo)
	{
		my $next = pop @todo;

		return 1 if $next == $node;
		push @todo, @{ $graph->[$next] } unless $seen{$next}++;
	}
	return 0;
}

# without(GRAPH, NODE) gives the graph without any arc of the node.
sub without
{
	my ($graph, $node) = @_;

	return [
		map {
			my $from = $_;
			$from == $node ? [] : [ grep { $_ != $node } @{ $graph->[$from] } ]
		} 0 .. $#$graph
	];
}

# forward(N, ARCS) gives a graph without cycles: all arcs lead from a number
# to a higher one, the nodes then being shuffled.
sub forward
{
	my ($n, $arcs) = @_;
	my @graph = map { [] } 1 .. $n;

	for (1 .. $n > 1 ? $arcs : 0)
	{
		my ($a, $b) = sort { $a <=> $b } (int(rand($n)), int(rand($n)));

		push @{ $graph[$a] }, $b if $a != $b;
	}
	return \@graph;
}

sub shuffled
{
	my ($graph) = @_;
	my @place = (0 .. $#$graph);
	my @result;

	for (my $i = $#place; $i > 0; $i--)
	{
		my $j = int(rand($i + 1));

		@place[ $i, $j ] = @place[ $j, $i ];
	}
	$result[ $place[$_] ] = [ map { $place[$_] } @{ $graph->[$_] } ]
	  foreach 0 .. $#$graph;
	return \@result;
}

# ring(N, CLOSED) gives a chain of all nodes, closed or one arc short of it.
sub ring
{
	my ($n, $closed) = @_;
	my @graph = map { [ $_ + 1 ] } 0 .. $n - 1;

	$graph[-1] = $closed ? [0] : [];
	return \@graph;
}

# random_graph() gives one of many kinds: with cycles, almost with one, and
# such as queues give.
sub random_graph
{
	my $n = 1 + int(rand(12));
	my $kind = int(rand(6));
	my $graph;

	if ($kind == 0)
	{
		$graph = [ map { [] } 1 .. $n ];
		push @{ $graph->[ rand($n) ] }, int(rand($n)) foreach 1 .. rand(2 * $n);
	}
	elsif ($kind == 1)
	{
		$graph = forward($n, 3 * $n);
	}
	elsif ($kind == 2)
	{
		# one arc back, which closes a cycle or does not
		$graph = forward($n, int(1.5 * $n));
		push @{ $graph->[ rand($n) ] }, int(rand($n));
	}
	elsif ($kind == 3)
	{
		# rings side by side, most of them open, with arcs between them
		$graph = [];
		foreach my $ring (map { ring(1 + int(rand(5)), rand() < 0.3) } 1 .. 3)
		{
			my $start = @$graph;

			push @$graph, map { [ map { $_ + $start } @$_ ] } @$ring;
			push @{ $graph->[ rand($start) ] }, $start if $start > 0;
		}
	}
	elsif ($kind == 4)
	{
		# two ways to one node are no cycle
		$graph = forward($n, 2 * $n);
		push @$_, @$_ foreach @$graph;
	}
	else
	{
		$graph = ring(40 + int(rand(200)), rand() < 0.5);
	}
	return shuffled($graph);
}

# graph_query(GRAPH) gives the call that has dlock look at the graph.
sub graph_query
{
	my ($graph) = @_;
	my @first = (0);

	push @first, $first[-1] + @$_ foreach @$graph;
	return sprintf q(SELECT dlock_debug_cycles('{%s}', '{%s}')),
	  join(',', @first), join(',', map { @$_ } @$graph);
}

1;
