/*
 * detect.c
 *	  Find waits that will never end, and end one of each cycle.
 *
 * A pass searches for cycles in the graph of waits.  The graph does not show
 * one instant, since resources are copied one after the other.  So a cycle in
 * it is only suspected, and is searched for again in a second graph, which is
 * made after the first was complete.  Each wait, and each lease that it waits
 * for, is identified by a number that is never used again (ticket, token).
 * Those that are in both graphs existed all the time between the two.  So at
 * that time the cycle was real.  A wait of a real cycle ends only by an error,
 * a timeout, an expiry, a forced release, or by another session of the same
 * client.
 *
 * Waits and leases that end by themselves within dlock.deadlock_timeout are
 * left out.  By the next pass they have ended or were prolonged.
 *
 * The victim is a wait for a lease whose client or session holds what the wait
 * before it in the cycle waits for, because that will be released.  (A waiter
 * that is merely ahead in a queue may hold nothing.)  Of these it is the wait
 * with the lowest priority; then the youngest; then the one whose client has
 * the fewest leases.
 *
 * Cycles without any wait for a lease are left to PostgreSQL.
 *
 * IDENTIFICATION
 *	  src/deadlock/detect.c
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "storage/lmgr.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"

#include "base/config.h"
#include "base/debug_point.h"
#include "base/message.h"
#include "deadlock/detect.h"
#include "deadlock/digraph.h"
#include "deadlock/waitgraph.h"
#include "engine/enqueue.h"
#include "shared/deadlocks.h"
#include "shared/slots.h"
#include "shared/table.h"

/* one arc of a suspected cycle, to be found in another graph */
typedef struct Step
{
	DlockNodeKind kind;			/* of the node that it leaves */
	Oid			dboid;			/* LEASE */
	int64		ticket;			/* LEASE */
	int			pid;			/* LOCK */
	uint64		since;			/* LOCK */
	DlockArcKind arc;
	int64		token;			/* HOLDS */
} Step;

typedef struct Cycle
{
	int			length;
	Step	   *steps;
} Cycle;

/*
 * The first graph
 */

/*
 * make_step copies what identifies an arc and the node that it leaves.
 */
static Step
make_step(const DlockWaitGraph *graph, const DlockArc *arc)
{
	const DlockNode *node = &graph->nodes[arc->from];
	Step		step = {0};

	step.kind = node->kind;
	if (node->kind == DLOCK_NODE_LEASE)
	{
		step.dboid = dlock_waitgraph_queue(graph, node)->dboid;
		step.ticket = node->wait->ticket;
	}
	else
	{
		step.pid = node->pid;
		step.since = node->since;
	}
	step.arc = arc->kind;
	if (arc->kind == DLOCK_ARC_HOLDS)
		step.token = arc->hold->token;
	return step;
}

/*
 * count_leases returns how many leases a client has, read without locks.
 */
static int
count_leases(uint32 client)
{
	uint32		used = dlock_slots_leases_used();
	int			count = 0;

	for (uint32 i = 0; i < used; i++)
		if (dlock_table_lease_client(i) == client)
			count++;
	return count;
}

/*
 * gives_up_sooner returns whether wait a is a better victim than wait b.
 */
static bool
gives_up_sooner(const DlockWaitCopy *a, const DlockWaitCopy *b)
{
	int			a_leases;
	int			b_leases;

	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->waiting_since != b->waiting_since)
		return a->waiting_since > b->waiting_since;
	a_leases = count_leases(a->client);
	b_leases = count_leases(b->client);
	if (a_leases != b_leases)
		return a_leases < b_leases;
	return a->ticket > b->ticket;
}

/*
 * choose_victim returns the node whose wait is to be ended; -1 if no node of
 * the cycle waits for a lease.
 */
static int
choose_victim(const DlockWaitGraph *graph, const int *arcs, int length)
{
	int			best = -1;
	bool		best_holds = false;

	for (int i = 0; i < length; i++)
	{
		/* the arc that enters the node says whether the node holds anything */
		const DlockArc *enters = &graph->arcs[arcs[i]];
		const DlockNode *node = &graph->nodes[enters->to];
		bool		holds = enters->kind != DLOCK_ARC_AHEAD;

		if (node->kind != DLOCK_NODE_LEASE || (best_holds && !holds))
			continue;
		if (best < 0 || (holds && !best_holds) ||
			gives_up_sooner(node->wait, graph->nodes[best].wait))
		{
			best = enters->to;
			best_holds = holds;
		}
	}
	return best;
}

/*
 * arc_targets returns the target of each arc, for the search for cycles.
 */
static int *
arc_targets(const DlockWaitGraph *graph)
{
	int		   *to = palloc_extended(Max(graph->narcs, 1) * sizeof(int),
									 MCXT_ALLOC_HUGE);

	for (int i = 0; i < graph->narcs; i++)
		to[i] = graph->arcs[i].to;
	return to;
}

/*
 * suspect returns the number of cycles and copies them into *cycles.  Each is
 * searched for as if those before it were broken already.
 */
static int
suspect(const DlockWaitGraph *graph, Cycle **cycles)
{
	DlockDigraph digraph;
	int		   *arcs = palloc(Max(graph->nnodes, 1) * sizeof(int));
	int			ncycles = 0;
	int			capacity = 8;
	int			length;

	*cycles = palloc(capacity * sizeof(Cycle));
	dlock_digraph_init(&digraph, graph->nnodes, graph->first,
					   arc_targets(graph));
	while ((length = dlock_digraph_next_cycle(&digraph, arcs)) > 0)
	{
		int			loser = choose_victim(graph, arcs, length);
		Cycle	   *cycle;

		if (loser < 0)
		{
			dlock_digraph_remove(&digraph, graph->arcs[arcs[0]].to);
			continue;
		}
		dlock_digraph_remove(&digraph, loser);
		if (ncycles == capacity)
		{
			capacity *= 2;
			*cycles = repalloc(*cycles, capacity * sizeof(Cycle));
		}
		cycle = &(*cycles)[ncycles++];
		cycle->length = length;
		cycle->steps = palloc(length * sizeof(Step));
		for (int i = 0; i < length; i++)
			cycle->steps[i] = make_step(graph, &graph->arcs[arcs[i]]);
	}
	return ncycles;
}

/*
 * The second graph
 */

/*
 * find_node returns the node that a step leaves, or -1.
 */
static int
find_node(const DlockWaitGraph *graph, const Step *step)
{
	for (int i = 0; i < graph->nnodes; i++)
	{
		const DlockNode *node = &graph->nodes[i];

		if (node->kind != step->kind)
			continue;
		if (node->kind == DLOCK_NODE_LEASE ?
			node->wait->ticket == step->ticket &&
			dlock_waitgraph_queue(graph, node)->dboid == step->dboid :
			node->pid == step->pid && node->since == step->since)
			return i;
	}
	return -1;
}

/*
 * still_stands returns whether a cycle is in another graph, and copies its
 * arcs there.
 */
static bool
still_stands(const DlockWaitGraph *graph, const Cycle *cycle, int *arcs)
{
	int			first = find_node(graph, &cycle->steps[0]);
	int			from = first;

	for (int i = 0; i < cycle->length; i++)
	{
		const Step *step = &cycle->steps[i];
		int			to = i + 1 < cycle->length ?
			find_node(graph, &cycle->steps[i + 1]) : first;

		if (from < 0 || to < 0)
			return false;
		arcs[i] = -1;
		for (int a = graph->first[from]; a < graph->first[from + 1]; a++)
			if (graph->arcs[a].to == to && graph->arcs[a].kind == step->arc &&
				(step->arc != DLOCK_ARC_HOLDS ||
				 graph->arcs[a].hold->token == step->token))
				arcs[i] = a;
		if (arcs[i] < 0)
			return false;
		from = to;
	}
	return true;
}

/*
 * The description
 */

/*
 * is_in_database returns whether a node is a wait for a lease in the database
 * that the description is for.  A description has no names of other databases.
 */
static bool
is_in_database(const DlockWaitGraph *graph, const DlockNode *node,
			   const DlockDeadlock *deadlock)
{
	return node->kind == DLOCK_NODE_LEASE &&
		dlock_waitgraph_queue(graph, node)->dboid == deadlock->dboid;
}

/*
 * describe_lease_wait writes the line about a wait for a lease.
 */
static void
describe_lease_wait(StringInfo line, const DlockWaitGraph *graph,
					const DlockArc *arc, const DlockDeadlock *deadlock)
{
	const DlockNode *node = &graph->nodes[arc->from];

	if (!is_in_database(graph, node, deadlock))
	{
		appendStringInfo(line, "Process %d waits for a resource in another database, ",
						 node->pid);
		if (arc->kind == DLOCK_ARC_HOLDS)
			appendStringInfoString(line, "held by a client there.");
		else
			appendStringInfo(line, "behind process %d.",
							 graph->nodes[arc->to].pid);
		return;
	}
	appendStringInfo(line, "Client \"%s\" (process %d) waits for resource \"%s\" in %s mode, ",
					 node->wait->client_name, node->pid,
					 dlock_waitgraph_queue(graph, node)->resource,
					 dlock_mode_name(node->wait->mode));
	if (arc->kind == DLOCK_ARC_HOLDS)
		appendStringInfo(line, "held by client \"%s\" in %s mode.",
						 arc->hold->client_name,
						 dlock_mode_name(arc->hold->mode));
	else
		appendStringInfo(line, "behind client \"%s\" (process %d).",
						 graph->nodes[arc->to].wait->client_name,
						 graph->nodes[arc->to].pid);
}

/*
 * describe_lock_wait writes the line about a wait for one of PostgreSQL's
 * locks.  "before" is the arc that leads to it.
 */
static void
describe_lock_wait(StringInfo line, const DlockWaitGraph *graph,
				   const DlockArc *arc, const DlockArc *before,
				   const DlockDeadlock *deadlock)
{
	int			pid = graph->nodes[arc->from].pid;
	BlockedProcsData *data = GetBlockerStatusData(pid);
	const LockInstanceData *waits_for = NULL;

	for (int i = 0; i < data->nlocks; i++)
		if (data->locks[i].pid == pid && data->locks[i].waitLockMode != NoLock)
			waits_for = &data->locks[i];

	appendStringInfo(line, "Process %d", pid);
	if (before->kind == DLOCK_ARC_HOLDS &&
		is_in_database(graph, &graph->nodes[before->from], deadlock))
		appendStringInfo(line, ", as client \"%s\",", before->hold->client_name);
	appendStringInfoString(line, " waits for ");
	if (waits_for == NULL)
		appendStringInfoString(line, "a lock");
	else
	{
		appendStringInfo(line, "%s on ",
						 GetLockmodeName(waits_for->locktag.locktag_lockmethodid,
										 waits_for->waitLockMode));
		DescribeLockTag(line, &waits_for->locktag);
	}
	appendStringInfo(line, "; blocked by process %d.", graph->nodes[arc->to].pid);
}

/*
 * describe_cycle describes a cycle, a line for each wait, beginning with the
 * victim.  Lines that do not fit are left out.
 */
static void
describe_cycle(const DlockWaitGraph *graph, const int *arcs, int length, int loser,
			   DlockDeadlock *deadlock)
{
	const DlockNode *node = &graph->nodes[loser];
	const char *more = "\nFurther waits are not shown.";
	StringInfoData line;
	Size		used = 0;
	int			start = 0;

	memset(deadlock, 0, sizeof(*deadlock));
	deadlock->detected_at = dlock_clock_wall();
	deadlock->dboid = dlock_waitgraph_queue(graph, node)->dboid;
	deadlock->pid = node->pid;
	deadlock->nwaits = length;
	strlcpy(deadlock->client, node->wait->client_name, sizeof(deadlock->client));
	strlcpy(deadlock->resource, dlock_waitgraph_queue(graph, node)->resource,
			sizeof(deadlock->resource));

	initStringInfo(&line);
	while (graph->arcs[arcs[start]].from != loser)
		start++;
	for (int i = 0; i < length; i++)
	{
		const DlockArc *arc = &graph->arcs[arcs[(start + i) % length]];
		const DlockArc *before = &graph->arcs[arcs[(start + i + length - 1) % length]];

		if (deadlock->npids < DLOCK_DEADLOCK_PIDS)
			deadlock->pids[deadlock->npids++] = graph->nodes[arc->from].pid;
		resetStringInfo(&line);
		if (i > 0)
			appendStringInfoChar(&line, '\n');
		if (graph->nodes[arc->from].kind == DLOCK_NODE_LEASE)
			describe_lease_wait(&line, graph, arc, deadlock);
		else
			describe_lock_wait(&line, graph, arc, before, deadlock);
		if (used + line.len + strlen(more) >= sizeof(deadlock->detail))
		{
			strlcpy(deadlock->detail + used, more,
					sizeof(deadlock->detail) - used);
			break;
		}
		memcpy(deadlock->detail + used, line.data, line.len + 1);
		used += line.len;
	}
}

/*
 * resolve ends one wait of a cycle; returns false if that has ended already.
 */
static bool
resolve(const DlockWaitGraph *graph, const int *arcs, int length)
{
	int			loser = choose_victim(graph, arcs, length);
	const DlockNode *node = &graph->nodes[loser];
	const DlockQueueCopy *queue = dlock_waitgraph_queue(graph, node);
	DlockDeadlock *deadlock = palloc(sizeof(DlockDeadlock));
	DlockKey	key = dlock_key_make(queue->dboid, queue->resource,
									 (int) strlen(queue->resource));
	uint64		id;

	describe_cycle(graph, arcs, length, loser, deadlock);
	/* noted first: the victim reads it as soon as its wait has ended */
	id = dlock_deadlocks_note(deadlock);
	if (dlock_enqueue_give_up(&key, dlock_database_at(queue->database),
							  node->wait->slot, node->wait->ticket, id))
		return true;
	dlock_deadlocks_retract(id);
	return false;
}

/*
 * dlock_detect_pass searches for deadlocks once and breaks those that it
 * finds; returns how many.  Called without any lock; takes one partition lock
 * at a time.  May raise an error, since it allocates.
 */
int
dlock_detect_pass(void)
{
	MemoryContext context;
	MemoryContext old_context;
	DlockWaitGraph graph;
	DlockTime	ignore_before;
	Cycle	   *cycles;
	int			ncycles;
	int			nbroken = 0;

	if (dlock_waits_count() == 0)
		return 0;
	context = AllocSetContextCreate(CurrentMemoryContext, "dlock deadlock",
									ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);
	ignore_before = dlock_clock_after(dlock_clock_now(),
									  dlock_deadlock_timeout * (int64) 1000);
	dlock_waitgraph_build(&graph, false, ignore_before);
	ncycles = suspect(&graph, &cycles);
	if (ncycles > 0)
	{
		DlockWaitGraph again;
		int		   *arcs;

		DLOCK_DEBUG_POINT(DLOCK_STOP_DEADLOCK_SUSPECTED);
		dlock_waitgraph_build(&again, false, ignore_before);
		DLOCK_DEBUG_POINT(DLOCK_STOP_DEADLOCK_CONFIRMED);
		for (int i = 0; i < ncycles; i++)
		{
			arcs = palloc(cycles[i].length * sizeof(int));
			if (still_stands(&again, &cycles[i], arcs) &&
				resolve(&again, arcs, cycles[i].length))
				nbroken++;
		}
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return nbroken;
}

/*
 * dlock_detect_report raises the error of the backend whose wait was ended.
 */
void
dlock_detect_report(uint64 id)
{
	DlockDeadlock *deadlock = palloc(sizeof(DlockDeadlock));
	StringInfoData log;

	if (!dlock_deadlocks_get(id, deadlock))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
				 errmsg("deadlock detected")));
	initStringInfo(&log);
	appendStringInfoString(&log, deadlock->detail);
	for (int i = 0; i < deadlock->npids; i++)
		appendStringInfo(&log, "\nProcess %d: %s", deadlock->pids[i],
						 pgstat_get_backend_current_activity(deadlock->pids[i],
															 false));
	ereport(ERROR,
			(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
			 errmsg("deadlock detected"),
			 errdetail_internal("%s", dlock_message_text(deadlock->detail)),
			 errdetail_log("%s", log.data),
			 errhint("See server log for query details.")));
}
