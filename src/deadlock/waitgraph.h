/*
 * waitgraph.h
 *	  The graph of waits, across leases and the locks of PostgreSQL.
 *
 * IDENTIFICATION
 *	  src/deadlock/waitgraph.h
 */
#ifndef DLOCK_DEADLOCK_WAITGRAPH_H
#define DLOCK_DEADLOCK_WAITGRAPH_H

#include "shared/waits.h"

typedef enum DlockNodeKind
{
	DLOCK_NODE_LEASE,			/* a client that waits for a lease */
	DLOCK_NODE_LOCK,			/* a session that waits for another lock */
	DLOCK_NODE_IDLE_CLIENT,		/* a holder that does not wait */
	DLOCK_NODE_IDLE_SESSION,	/* likewise, of another lock */
} DlockNodeKind;

typedef struct DlockNode
{
	DlockNodeKind kind;
	const DlockWaitCopy *wait;	/* LEASE */
	int			pid;			/* all but IDLE_CLIENT */
	uint64		since;			/* LOCK: when the wait began */
	const char *client;			/* IDLE_CLIENT */
	uint32		client_slot;	/* LEASE, IDLE_CLIENT */
} DlockNode;

typedef enum DlockArcKind
{
	DLOCK_ARC_HOLDS,			/* the target holds the resource */
	DLOCK_ARC_AHEAD,			/* the target is ahead in the queue */
	DLOCK_ARC_LOCK,				/* the target holds a lock, or waits ahead for
								 * it */
} DlockArcKind;

typedef struct DlockArc
{
	int			from;
	int			to;
	DlockArcKind kind;
	const DlockHoldCopy *hold;	/* HOLDS */
} DlockArc;

/* the arcs of node n are first[n] .. first[n+1] - 1 */
typedef struct DlockWaitGraph
{
	DlockWaits	waits;
	DlockNode  *nodes;
	DlockArc   *arcs;
	int		   *first;
	int			nnodes;
	int			narcs;
	int			node_capacity;
	int			arc_capacity;
	int			nsessions;
	struct Session *sessions;	/* sessions that wait for a lock */
	int		   *client_wait;	/* by client: its first wait, -1: none */
	int		   *next_wait;		/* by wait: the next of the same client */
	int		   *proc_wait;		/* by process: its wait, -1: none */
	int		   *ahead;			/* by wait: the one ahead of it, -1: none */
	bool		show_idle;
	DlockTime	ignore_before;	/* waits and leases that end by then are left
								 * out */
} DlockWaitGraph;

extern void dlock_waitgraph_build(DlockWaitGraph *graph, bool show_idle,
								  DlockTime ignore_before);
extern const DlockQueueCopy *dlock_waitgraph_queue(const DlockWaitGraph *graph,
												   const DlockNode *node);

#endif							/* DLOCK_DEADLOCK_WAITGRAPH_H */
