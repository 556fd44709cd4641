/*
 * digraph.h
 *	  Cycles in a directed graph.
 *
 * IDENTIFICATION
 *	  src/deadlock/digraph.h
 */
#ifndef DLOCK_DEADLOCK_DIGRAPH_H
#define DLOCK_DEADLOCK_DIGRAPH_H

/*
 * Nodes are 0 to nnodes - 1.  The arcs of node n are first[n] to first[n+1] -
 * 1, and arc a leads to node to[a].
 */
typedef struct DlockDigraph
{
	int			nnodes;
	const int  *first;
	const int  *to;

	/* state of the search */
	bool	   *removed;		/* nodes that were removed */
	char	   *color;
	int		   *path;			/* nodes from the root to the present one */
	int		   *next;			/* for each of them, the next arc to follow */
	int			root;
} DlockDigraph;

extern void dlock_digraph_init(DlockDigraph *graph, int nnodes,
							   const int *first, const int *to);
extern int	dlock_digraph_next_cycle(DlockDigraph *graph, int *arcs);
extern void dlock_digraph_remove(DlockDigraph *graph, int node);

#endif							/* DLOCK_DEADLOCK_DIGRAPH_H */
