/*
 * digraph.c
 *	  Cycles in a directed graph.
 *
 * A search in depth; a node from which no cycle can be reached is never looked
 * at again.  It does not recurse, since a queue can be longer than a stack is
 * deep.  Knows nothing of locks, so that it can be tested against a plain
 * reference on random graphs.
 *
 * IDENTIFICATION
 *	  src/deadlock/digraph.c
 */
#include "postgres.h"

#include "deadlock/digraph.h"

enum
{
	WHITE = 0,					/* not looked at */
	GREY,						/* on the path */
	BLACK,						/* leads to no cycle */
};

/*
 * dlock_digraph_init begins a search.  Room is taken from the current memory
 * context; the caller keeps the arrays.
 */
void
dlock_digraph_init(DlockDigraph *graph, int nnodes, const int *first,
				   const int *to)
{
	graph->nnodes = nnodes;
	graph->first = first;
	graph->to = to;
	graph->removed = palloc0(Max(nnodes, 1) * sizeof(bool));
	graph->color = palloc0(Max(nnodes, 1));
	graph->path = palloc(Max(nnodes, 1) * sizeof(int));
	graph->next = palloc(Max(nnodes, 1) * sizeof(int));
	graph->root = 0;
}

/*
 * dlock_digraph_remove takes a node out, with its arcs.
 */
void
dlock_digraph_remove(DlockDigraph *graph, int node)
{
	graph->removed[node] = true;
}

/*
 * take_cycle notes the arcs of the path from a node on, and forgets the path:
 * the caller is about to remove one of its nodes.
 */
static int
take_cycle(DlockDigraph *graph, int depth, int node, int *arcs)
{
	int			length = 0;
	bool		inside = false;

	for (int i = 0; i < depth; i++)
	{
		inside |= graph->path[i] == node;
		/* next is one past the arc that was followed */
		if (inside)
			arcs[length++] = graph->next[i] - 1;
		graph->color[graph->path[i]] = WHITE;
	}
	return length;
}

/*
 * search looks for a cycle that can be reached from a node.
 */
static int
search(DlockDigraph *graph, int start, int *arcs)
{
	int			depth = 0;

	graph->path[depth] = start;
	graph->next[depth++] = graph->first[start];
	graph->color[start] = GREY;
	while (depth > 0)
	{
		int			node = graph->path[depth - 1];
		int			target;

		if (graph->next[depth - 1] == graph->first[node + 1])
		{
			graph->color[node] = BLACK;
			depth--;
			continue;
		}
		target = graph->to[graph->next[depth - 1]++];
		if (graph->removed[target] || graph->color[target] == BLACK)
			continue;
		if (graph->color[target] == GREY)
			return take_cycle(graph, depth, target, arcs);
		graph->path[depth] = target;
		graph->next[depth++] = graph->first[target];
		graph->color[target] = GREY;
	}
	return 0;
}

/*
 * dlock_digraph_next_cycle gives the arcs of a cycle in their order, and their
 * number; 0 where there is none.  The caller removes a node of the cycle before
 * it asks for the next one.  arcs has room for as many as there are nodes.
 */
int
dlock_digraph_next_cycle(DlockDigraph *graph, int *arcs)
{
	for (; graph->root < graph->nnodes; graph->root++)
	{
		int			length;

		if (graph->removed[graph->root] || graph->color[graph->root] == BLACK)
			continue;
		length = search(graph, graph->root, arcs);
		if (length > 0)
			return length;
	}
	return 0;
}
