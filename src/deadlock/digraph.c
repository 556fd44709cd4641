/*
 * digraph.c
 *	  Cycles in a directed graph.
 *
 * A depth-first search.  A node from which no cycle can be reached is never
 * visited again.  The search does not recurse, since a queue can be longer
 * than the stack is deep.  This file does not depend on locks, so a test can
 * compare it with a simple reference on random graphs.
 *
 * IDENTIFICATION
 *	  src/deadlock/digraph.c
 */
#include "postgres.h"

#include "deadlock/digraph.h"

enum
{
	WHITE = 0,					/* not visited */
	GREY,						/* on the path */
	BLACK,						/* leads to no cycle */
};

/*
 * dlock_digraph_init begins a search.  It allocates in the current memory
 * context; the arrays stay the caller's.
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
 * dlock_digraph_remove removes a node with its arcs.
 */
void
dlock_digraph_remove(DlockDigraph *graph, int node)
{
	graph->removed[node] = true;
}

/*
 * take_cycle copies the arcs of the path from a node on, and returns how many.
 * It resets the path, since the caller is about to remove one of its nodes.
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
 * search returns the length of a cycle that can be reached from a node, and
 * copies its arcs; 0 if there is none.
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
 * dlock_digraph_next_cycle copies the arcs of a cycle in their order and
 * returns their number; 0 if there is no cycle.  The caller removes a node of
 * the cycle before it calls this again.  "arcs" has room for as many as there
 * are nodes.
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
