/*
 * waitgraph.c
 *	  The graph of waits, across leases and the locks of PostgreSQL.
 *
 * Nodes are waits: places in the queues of resources, and sessions that wait
 * for one of PostgreSQL's locks.  Arcs:
 *
 *	  first in line -> every holder in its way			(HOLDS)
 *	  anybody else in line that holds -> the first		(AHEAD)
 *	  anybody else in line -> the one ahead				(AHEAD)
 *	  session -> those that block it					(LOCK)
 *
 * Only the first in a queue has arcs to holders; all others wait for it, and
 * so for what it waits for.
 *
 * An arc to a holder leads to everything that can keep the holder from
 * releasing: all waits of its client, in whichever session; waits of sessions
 * that act as the client; and if the lease has holds that end with a session
 * or its transaction, the waits of these sessions, as whichever client.  A
 * client that holds a lease and does not wait can release it: there a path
 * ends.
 *
 * Waits and leases that end by themselves soon are left out.  A waiter behind
 * such a wait has an arc to the waiter ahead of that.
 *
 * A parallel worker that waits for a lock counts as the session that it works
 * for.
 *
 * A session that waits for a lock becomes a node only if a path leads to it,
 * since reading what blocks it stops the lock manager for a moment.
 *
 * IDENTIFICATION
 *	  src/deadlock/waitgraph.c
 */
#include "postgres.h"

#include "storage/proc.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/config.h"
#include "deadlock/waitgraph.h"
#include "shared/session_map.h"
#include "shared/table.h"

#define WAIT_CLASS 0xFF000000U

typedef struct Session
{
	int			pid;
	int			leader_pid;		/* the session that it works for; itself if
								 * there is none */
	int			leader_procno;
	uint64		since;
	int			node;			/* -1: not a node yet */
} Session;

/*
 * Nodes and arcs
 */

/*
 * add_node adds a node and returns its number.
 */
static int
add_node(DlockWaitGraph *graph, DlockNodeKind kind)
{
	DlockNode  *node;

	if (graph->nnodes == graph->node_capacity)
	{
		graph->node_capacity *= 2;
		graph->nodes = repalloc_huge(graph->nodes, graph->node_capacity *
									 sizeof(DlockNode));
		graph->first = repalloc_huge(graph->first, (graph->node_capacity + 1) *
									 sizeof(int));
	}
	node = &graph->nodes[graph->nnodes];
	memset(node, 0, sizeof(*node));
	node->kind = kind;
	node->client_slot = DLOCK_NONE;
	return graph->nnodes++;
}

/*
 * add_arc adds an arc.  The arcs of a node are added one after the other.
 */
static void
add_arc(DlockWaitGraph *graph, int from, int to, DlockArcKind kind,
		const DlockHoldCopy *hold)
{
	DlockArc   *arc;

	if (graph->narcs == graph->arc_capacity)
	{
		graph->arc_capacity *= 2;
		graph->arcs = repalloc_huge(graph->arcs, graph->arc_capacity *
									sizeof(DlockArc));
	}
	arc = &graph->arcs[graph->narcs++];
	arc->from = from;
	arc->to = to;
	arc->kind = kind;
	arc->hold = hold;
}

/*
 * is_left_out returns whether a wait ends by itself soon.
 */
static bool
is_left_out(const DlockWaitGraph *graph, const DlockWaitCopy *wait)
{
	return wait->deadline <= graph->ignore_before;
}

/*
 * find_sessions lists the sessions that wait for one of PostgreSQL's locks.
 * It reads without locks.  A session that it misses is found in the next pass;
 * one that is not waiting any more is not blocked by any session, so it has no
 * arcs.
 */
static void
find_sessions(DlockWaitGraph *graph)
{
	graph->sessions = palloc(ProcGlobal->allProcCount * sizeof(Session));
	graph->nsessions = 0;
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		PGPROC	   *leader = *(PGPROC *volatile *) &proc->lockGroupLeader;
		Session    *session = &graph->sessions[graph->nsessions];

		if (proc->pid == 0 ||
			(*(volatile uint32 *) &proc->wait_event_info & WAIT_CLASS) != PG_WAIT_LOCK)
			continue;
		session->pid = proc->pid;
		session->leader_pid = leader != NULL ? leader->pid : proc->pid;
		session->leader_procno = leader != NULL ? GetNumberFromPGProc(leader) : (int) i;
		session->since = pg_atomic_read_u64(&proc->waitStart);
		session->node = -1;
		graph->nsessions++;
	}
}

/*
 * node_of_session returns the node of a session, and makes it if need be.
 */
static int
node_of_session(DlockWaitGraph *graph, Session *session)
{
	if (session->node < 0)
	{
		DlockNode  *node;

		session->node = add_node(graph, DLOCK_NODE_LOCK);
		node = &graph->nodes[session->node];
		node->pid = session->pid;
		node->since = session->since;
	}
	return session->node;
}

/*
 * The arcs of each kind of node
 */

/*
 * add_idle_client adds an arc to a holder that does not wait.
 */
static void
add_idle_client(DlockWaitGraph *graph, int from, const DlockHoldCopy *hold)
{
	int			node = add_node(graph, DLOCK_NODE_IDLE_CLIENT);

	graph->nodes[node].client = hold->client_name;
	graph->nodes[node].client_slot = hold->client;
	add_arc(graph, from, node, DLOCK_ARC_HOLDS, hold);
}

/*
 * ends_with returns whether a lease has holds that end with a session.
 */
static bool
ends_with(const DlockWaitGraph *graph, const DlockHoldCopy *hold, int procno)
{
	for (int i = 0; i < hold->nsessions; i++)
		if (graph->waits.sessions[hold->first_session + i] == (uint32) procno)
			return true;
	return false;
}

/*
 * add_session_waits adds arcs to the waits for leases of the sessions that
 * some holds of a lease end with.  The caller has added those of the lease's
 * own client.
 */
static void
add_session_waits(DlockWaitGraph *graph, int from, const DlockHoldCopy *hold)
{
	for (int s = 0; s < hold->nsessions; s++)
	{
		uint32		procno = graph->waits.sessions[hold->first_session + s];
		int			i = graph->proc_wait[procno];

		/* a session waits for one lease at a time */
		if (i >= 0 && graph->waits.waits[i].client != hold->client &&
			!is_left_out(graph, &graph->waits.waits[i]))
			add_arc(graph, from, i, DLOCK_ARC_HOLDS, hold);
	}
}

/*
 * add_hold_arc adds arcs to everything that can keep a holder from releasing.
 */
static void
add_hold_arc(DlockWaitGraph *graph, int from, const DlockHoldCopy *hold)
{
	int			before = graph->narcs;

	for (int i = graph->client_wait[hold->client]; i >= 0; i = graph->next_wait[i])
		if (!is_left_out(graph, &graph->waits.waits[i]))
			add_arc(graph, from, i, DLOCK_ARC_HOLDS, hold);
	add_session_waits(graph, from, hold);
	for (int i = 0; i < graph->nsessions; i++)
		if (dlock_session_map_has(graph->sessions[i].leader_procno, hold->client) ||
			ends_with(graph, hold, graph->sessions[i].leader_procno))
			add_arc(graph, from, node_of_session(graph, &graph->sessions[i]),
					DLOCK_ARC_HOLDS, hold);
	if (graph->narcs == before && graph->show_idle)
		add_idle_client(graph, from, hold);
}

/*
 * add_lease_arcs adds the arcs of a wait for a lease.
 */
static void
add_lease_arcs(DlockWaitGraph *graph, int from)
{
	const DlockWaitCopy *wait = &graph->waits.waits[from];
	const DlockQueueCopy *queue = &graph->waits.queues[wait->queue];

	if (is_left_out(graph, wait))
		return;
	if (graph->ahead[from] >= 0)
	{
		add_arc(graph, from, graph->ahead[from], DLOCK_ARC_AHEAD, NULL);
		return;
	}
	for (int i = 0; i < queue->nholds; i++)
	{
		const DlockHoldCopy *hold = &graph->waits.holds[queue->first_hold + i];

		if (hold->client != wait->client &&
			dlock_mode_conflicts(hold->mode, wait->mode) &&
			hold->deadline > graph->ignore_before)
			add_hold_arc(graph, from, hold);
	}
}

/*
 * add_blocker adds arcs to the waits of a session that blocks another one.
 */
static void
add_blocker(DlockWaitGraph *graph, int from, int pid)
{
	int			before = graph->narcs;

	for (int i = 0; i < graph->waits.nwaits; i++)
		if (graph->waits.waits[i].pid == pid &&
			!is_left_out(graph, &graph->waits.waits[i]))
			add_arc(graph, from, i, DLOCK_ARC_LOCK, NULL);
	for (int i = 0; i < graph->nsessions; i++)
		if (graph->sessions[i].leader_pid == pid)
			add_arc(graph, from, node_of_session(graph, &graph->sessions[i]),
					DLOCK_ARC_LOCK, NULL);
	if (graph->narcs == before && graph->show_idle)
	{
		int			node = add_node(graph, DLOCK_NODE_IDLE_SESSION);

		graph->nodes[node].pid = pid;
		add_arc(graph, from, node, DLOCK_ARC_LOCK, NULL);
	}
}

/*
 * add_lock_arcs adds the arcs of a session that waits for a lock.
 */
static void
add_lock_arcs(DlockWaitGraph *graph, int from)
{
	int			pid = graph->nodes[from].pid;
	ArrayType  *array = DatumGetArrayTypeP(DirectFunctionCall1(pg_blocking_pids,
															   Int32GetDatum(pid)));
	int			count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	const int32 *pids = (const int32 *) ARR_DATA_PTR(array);

	for (int i = 0; i < count; i++)
	{
		bool		seen = false;

		for (int j = 0; j < i; j++)
			seen |= pids[j] == pids[i];
		/* a prepared transaction has no session: pid 0 */
		if (!seen && pids[i] != 0)
			add_blocker(graph, from, pids[i]);
	}
}

/*
 * note_holders notes for each holder of a queue's resource that its client holds
 * that one.
 */
static void
note_holders(const DlockWaitGraph *graph, int queue, int *holds_of)
{
	const DlockQueueCopy *copy = &graph->waits.queues[queue];

	for (int i = 0; i < copy->nholds; i++)
		holds_of[graph->waits.holds[copy->first_hold + i].client] = queue;
}

/*
 * ahead_of returns the wait that another one is behind, or -1.  If the client of
 * the wait is itself a holder, that is the upgrader alone, whose place it takes
 * next.
 */
static int
ahead_of(const DlockWaitGraph *graph, int i, const int *holds_of)
{
	const DlockWaitCopy *wait = &graph->waits.waits[i];
	int			first = graph->waits.queues[wait->queue].first_wait;
	int			before = holds_of[wait->client] == wait->queue ? first : i - 1;

	if (i == first)
		return -1;
	return is_left_out(graph, &graph->waits.waits[before]) ?
		graph->ahead[before] : before;
}

/*
 * link_waits makes a node of every place in line, and notes who is ahead and
 * which waits a client has.
 */
static void
link_waits(DlockWaitGraph *graph)
{
	DlockWaits *waits = &graph->waits;
	int		   *holds_of;		/* by client: the last of the queues so far
								 * whose resource it holds, -1: none */

	holds_of = palloc(dlock_max_clients * sizeof(int));
	memset(holds_of, 0xFF, dlock_max_clients * sizeof(int));
	graph->client_wait = palloc(dlock_max_clients * sizeof(int));
	memset(graph->client_wait, 0xFF, dlock_max_clients * sizeof(int));
	graph->next_wait = palloc(Max(waits->nwaits, 1) * sizeof(int));
	graph->ahead = palloc(Max(waits->nwaits, 1) * sizeof(int));
	graph->proc_wait = palloc(ProcGlobal->allProcCount * sizeof(int));
	memset(graph->proc_wait, 0xFF, ProcGlobal->allProcCount * sizeof(int));
	for (int i = 0; i < waits->nwaits; i++)
	{
		const DlockWaitCopy *wait = &waits->waits[i];
		int			node = add_node(graph, DLOCK_NODE_LEASE);

		graph->nodes[node].wait = wait;
		graph->nodes[node].pid = wait->pid;
		graph->nodes[node].client_slot = wait->client;
		if (i == waits->queues[wait->queue].first_wait)
			note_holders(graph, wait->queue, holds_of);
		graph->ahead[i] = ahead_of(graph, i, holds_of);
		graph->next_wait[i] = graph->client_wait[wait->client];
		graph->client_wait[wait->client] = i;
		graph->proc_wait[wait->procno] = i;
	}
	pfree(holds_of);
}

/*
 * dlock_waitgraph_build makes the graph of the present waits, in the current
 * memory context.  With show_idle it has nodes for holders that do not wait.
 * Waits and leases that end by ignore_before are left out.  Called without any
 * lock; takes one partition lock at a time.  An error if there is no memory.
 */
void
dlock_waitgraph_build(DlockWaitGraph *graph, bool show_idle,
					  DlockTime ignore_before)
{
	memset(graph, 0, sizeof(*graph));
	graph->show_idle = show_idle;
	graph->ignore_before = ignore_before;
	dlock_waits_copy(&graph->waits);
	graph->node_capacity = graph->waits.nwaits + 64;
	graph->nodes = palloc_extended(graph->node_capacity * sizeof(DlockNode),
								   MCXT_ALLOC_HUGE);
	graph->first = palloc_extended((graph->node_capacity + 1) * sizeof(int),
								   MCXT_ALLOC_HUGE);
	graph->arc_capacity = graph->waits.nwaits + 64;
	graph->arcs = palloc_extended(graph->arc_capacity * sizeof(DlockArc),
								  MCXT_ALLOC_HUGE);
	link_waits(graph);
	find_sessions(graph);

	/*
	 * adding arcs may add nodes at the end, which get their arcs in their
	 * turn
	 */
	for (int i = 0; i < graph->nnodes; i++)
	{
		graph->first[i] = graph->narcs;
		if (graph->nodes[i].kind == DLOCK_NODE_LEASE)
			add_lease_arcs(graph, i);
		else if (graph->nodes[i].kind == DLOCK_NODE_LOCK)
			add_lock_arcs(graph, i);
	}
	graph->first[graph->nnodes] = graph->narcs;
}

/*
 * dlock_waitgraph_queue returns the queue that a wait for a lease is in.
 */
const DlockQueueCopy *
dlock_waitgraph_queue(const DlockWaitGraph *graph, const DlockNode *node)
{
	Assert(node->kind == DLOCK_NODE_LEASE);
	return &graph->waits.queues[node->wait->queue];
}
