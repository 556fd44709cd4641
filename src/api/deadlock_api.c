/*
 * deadlock_api.c
 *	  SQL: dlock_wait_graph, dlock_deadlocks, dlock_detect_deadlocks.
 *
 * dlock_debug_cycles is in builds for tests only.  They declare it, to compare
 * the search for cycles with a simpler one.
 *
 * IDENTIFICATION
 *	  src/api/deadlock_api.c
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "deadlock/detect.h"
#include "deadlock/digraph.h"
#include "deadlock/waitgraph.h"
#include "session/access.h"
#include "shared/deadlocks.h"

PG_FUNCTION_INFO_V1(dlock_wait_graph);
PG_FUNCTION_INFO_V1(dlock_deadlocks);
PG_FUNCTION_INFO_V1(dlock_detect_deadlocks);
#ifdef DLOCK_DEBUG_POINTS
PG_FUNCTION_INFO_V1(dlock_debug_cycles);
#endif

/* columns of dlock_wait_graph */
enum
{
	COL_WAITER,
	COL_WAITER_PID,
	COL_WAITS_FOR,
	COL_RESOURCE,
	COL_MODE,
	COL_REASON,
	COL_BLOCKER,
	COL_BLOCKER_PID,
	COL_BLOCKER_WAITS,
	NCOLS
};

typedef struct EdgeRow
{
	Datum		values[NCOLS];
	bool		nulls[NCOLS];
} EdgeRow;

static void
set_text(EdgeRow *row, int column, const char *value)
{
	row->nulls[column] = value == NULL;
	if (value != NULL)
		row->values[column] = CStringGetTextDatum(value);
}

static void
set_pid(EdgeRow *row, int column, int pid)
{
	row->nulls[column] = pid == 0;
	row->values[column] = Int32GetDatum(pid);
}

/*
 * is_here returns false if a node is a wait for a lease of another database.
 * A session that waits for a lock may be in any database.
 */
static bool
is_here(const DlockWaitGraph *graph, const DlockNode *node)
{
	return node->kind != DLOCK_NODE_LEASE ||
		dlock_waitgraph_queue(graph, node)->dboid == MyDatabaseId;
}

/*
 * find_shown returns, for each node, whether it is shown as a waiter.  It
 * marks the waits for leases of this database, and the sessions that can be
 * reached from them.  It does not follow a path beyond a wait for a lease of
 * another database.
 */
static bool *
find_shown(const DlockWaitGraph *graph)
{
	bool	   *shown = palloc0(Max(graph->nnodes, 1) * sizeof(bool));
	int		   *pending = palloc_extended(Max(graph->nnodes, 1) * sizeof(int),
										  MCXT_ALLOC_HUGE);
	int			npending = 0;

	for (int i = 0; i < graph->nnodes; i++)
		if (graph->nodes[i].kind == DLOCK_NODE_LEASE &&
			is_here(graph, &graph->nodes[i]))
		{
			shown[i] = true;
			pending[npending++] = i;
		}
	while (npending > 0)
	{
		int			from = pending[--npending];

		for (int a = graph->first[from]; a < graph->first[from + 1]; a++)
		{
			int			to = graph->arcs[a].to;

			if (shown[to] || !is_here(graph, &graph->nodes[to]))
				continue;
			shown[to] = true;
			pending[npending++] = to;
		}
	}
	pfree(pending);
	return shown;
}

static void
set_waiter(EdgeRow *row, const DlockWaitGraph *graph, const DlockNode *node)
{
	bool		lease = node->kind == DLOCK_NODE_LEASE;

	set_text(row, COL_WAITER, lease ? node->wait->client_name : NULL);
	set_pid(row, COL_WAITER_PID, node->pid);
	set_text(row, COL_WAITS_FOR, lease ? "lease" : "lock");
	set_text(row, COL_RESOURCE,
			 lease ? dlock_waitgraph_queue(graph, node)->resource : NULL);
	set_text(row, COL_MODE, lease ? dlock_mode_name(node->wait->mode) : NULL);
}

static void
set_blocker(EdgeRow *row, const DlockWaitGraph *graph, const DlockArc *arc,
			const DlockNode *node)
{
	static const char *const reasons[] = {
		[DLOCK_ARC_HOLDS] = "holder",
		[DLOCK_ARC_AHEAD] = "ahead",
		[DLOCK_ARC_LOCK] = "lock",
	};
	const char *client = arc->hold != NULL ? arc->hold->client_name : NULL;

	if (client == NULL && node->kind == DLOCK_NODE_LEASE &&
		is_here(graph, node))
		client = node->wait->client_name;
	set_text(row, COL_REASON, reasons[arc->kind]);
	set_text(row, COL_BLOCKER, client);
	set_pid(row, COL_BLOCKER_PID, node->pid);
	row->nulls[COL_BLOCKER_WAITS] = false;
	row->values[COL_BLOCKER_WAITS] =
		BoolGetDatum(node->kind == DLOCK_NODE_LEASE ||
					 node->kind == DLOCK_NODE_LOCK);
}

/*
 * dlock_wait_graph returns the waits for leases of this database, and those of
 * the sessions that can be reached from them.  It shows no names of other
 * databases: if one of their clients blocks a wait, the row has the id of its
 * process, but not the name of the client.
 */
Datum
dlock_wait_graph(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DlockWaitGraph graph;
	bool	   *shown;

	dlock_access_check_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	/* on a standby no session can wait for a lease */
	if (RecoveryInProgress())
		return (Datum) 0;
	(void) dlock_access_gate();
	dlock_waitgraph_build(&graph, true, 0);
	shown = find_shown(&graph);
	for (int i = 0; i < graph.narcs; i++)
	{
		const DlockArc *arc = &graph.arcs[i];
		EdgeRow		row = {0};

		if (!shown[arc->from])
			continue;
		set_waiter(&row, &graph, &graph.nodes[arc->from]);
		set_blocker(&row, &graph, arc, &graph.nodes[arc->to]);
		tuplestore_putvalues(result->setResult, result->setDesc, row.values,
							 row.nulls);
	}
	return (Datum) 0;
}

/*
 * dlock_deadlocks returns the most recently detected deadlocks of this
 * database, newest first.
 */
Datum
dlock_deadlocks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DlockDeadlock *deadlock = palloc(sizeof(DlockDeadlock));
	uint64		newest;

	dlock_access_check_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	newest = dlock_deadlocks_newest();
	for (uint64 id = newest; id > 0 && id + DLOCK_DEADLOCKS_KEPT > newest; id--)
	{
		Datum		values[7];
		bool		nulls[7] = {false};

		if (!dlock_deadlocks_get(id, deadlock) ||
			deadlock->dboid != MyDatabaseId)
			continue;
		values[0] = Int64GetDatum((int64) deadlock->id);
		values[1] = TimestampTzGetDatum(deadlock->detected_at);
		values[2] = CStringGetTextDatum(deadlock->client);
		values[3] = Int32GetDatum(deadlock->pid);
		values[4] = CStringGetTextDatum(deadlock->resource);
		values[5] = Int32GetDatum(deadlock->nwaits);
		values[6] = CStringGetTextDatum(deadlock->detail);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * dlock_detect_deadlocks searches for deadlocks now, in all databases, and
 * breaks those that it finds.  Returns their number.
 */
Datum
dlock_detect_deadlocks(PG_FUNCTION_ARGS)
{
	dlock_access_check_preloaded();
	(void) dlock_access_gate();
	PG_RETURN_INT32(dlock_detect_pass());
}

#ifdef DLOCK_DEBUG_POINTS

/*
 * dlock_debug_cycles takes the arcs of a graph.  In SQL, where arrays begin
 * with 1, the arcs of node n lead to the nodes to[first[n + 1] + 1] through
 * to[first[n + 2]].  Removes one node of each cycle until there is no cycle
 * left, and returns these nodes in the order of their removal.
 */
Datum
dlock_debug_cycles(PG_FUNCTION_ARGS)
{
	ArrayType  *first = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *to = PG_GETARG_ARRAYTYPE_P(1);
	int			nnodes = ArrayGetNItems(ARR_NDIM(first), ARR_DIMS(first)) - 1;
	int		   *arcs = palloc(Max(nnodes, 1) * sizeof(int));
	Datum	   *removed = palloc(Max(nnodes, 1) * sizeof(Datum));
	int			nremoved = 0;
	DlockDigraph graph;

	dlock_digraph_init(&graph, nnodes, (int *) ARR_DATA_PTR(first),
					   (int *) ARR_DATA_PTR(to));
	while (dlock_digraph_next_cycle(&graph, arcs) > 0)
	{
		int			node = graph.to[arcs[0]];

		dlock_digraph_remove(&graph, node);
		removed[nremoved++] = Int32GetDatum(node);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(removed, nremoved, INT4OID,
										  sizeof(int32), true, TYPALIGN_INT));
}

#endif							/* DLOCK_DEBUG_POINTS */
