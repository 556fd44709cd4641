/*
 * waits.c
 *	  Copies of all queues at once, for the search for deadlocks.
 *
 * Each resource is copied under its partition lock.  Different resources are
 * copied at different instants, so a deadlock is believed only if a second
 * copy shows it as well (see deadlock/detect.c).  Resources are found through
 * the waiters' slots, since there may be far more resources without waiters.
 *
 * IDENTIFICATION
 *	  src/shared/waits.c
 */
#include "postgres.h"

#include "base/config.h"
#include "shared/client.h"
#include "shared/partition.h"
#include "shared/slots.h"
#include "shared/table.h"
#include "shared/waits.h"

/*
 * dlock_waits_count returns the number of waiters in all databases.  Needs no
 * lock.
 */
uint32
dlock_waits_count(void)
{
	return dlock_slots_waiters_taken();
}

/*
 * copy_name copies a client's name.
 */
static void
copy_name(char *to, uint32 client)
{
	DlockClient *from = dlock_client_at(client);

	memcpy(to, from->name, from->name_len);
	to[from->name_len] = '\0';
}

/*
 * copy_wait copies a waiter.  There is room.
 */
static void
copy_wait(DlockWaits *waits, uint32 slot)
{
	DlockWaiter *waiter = dlock_table_waiter(slot);
	DlockWaitCopy *copy = &waits->waits[waits->nwaits++];

	copy->slot = slot;
	copy->client = waiter->client;
	copy->queue = waits->nqueues;
	copy->procno = waiter->procno;
	copy->pid = waiter->pid;
	copy->ticket = waiter->ticket;
	copy->priority = waiter->priority;
	copy->mode = waiter->mode;
	copy->upgrade = waiter->upgrade;
	copy->deadline = waiter->deadline;
	copy->waiting_since = waiter->waiting_since;
	copy_name(copy->client_name, waiter->client);
}

/*
 * next_session returns the next count of a lease's holds that end with a
 * session, after "count"; the first one if that is NULL.  NULL if there is
 * none.  The caller holds the partition lock.
 */
static const DlockHoldCount *
next_session(const DlockLease *lease, const DlockHoldCount *count)
{
	do
	{
		if (count == NULL)
			count = &lease->holds;
		else if (count->next == DLOCK_NONE)
			return NULL;
		else
			count = dlock_table_hold_count(count->next);
	} while (count->count == 0 || count->session == DLOCK_NO_SESSION);
	return count;
}

/*
 * count_sessions returns how much room copy_hold needs at most for the
 * sessions of all holders of a resource.  The caller holds the partition lock.
 */
static int
count_sessions(const DlockResource *res)
{
	int			n = 0;

	for (uint32 i = res->holders; i != DLOCK_NONE; i = dlock_table_lease(i)->next)
	{
		const DlockHoldCount *count = NULL;

		while ((count = next_session(dlock_table_lease(i), count)) != NULL)
			n++;
	}
	return n;
}

/*
 * is_copied returns whether a session is among the copied ones, from index
 * first on.  A session can have several counts, one for each scope and mode.
 */
static bool
is_copied(const DlockWaits *waits, int first, uint32 session)
{
	for (int i = first; i < waits->nsessions; i++)
		if (waits->sessions[i] == session)
			return true;
	return false;
}

/*
 * copy_hold copies a lease and the sessions that some of its holds end with.
 * There is room.
 */
static void
copy_hold(DlockWaits *waits, const DlockLease *lease)
{
	DlockHoldCopy *copy = &waits->holds[waits->nholds++];
	const DlockHoldCount *count = NULL;

	copy->first_session = waits->nsessions;
	while ((count = next_session(lease, count)) != NULL)
		if (!is_copied(waits, copy->first_session, count->session))
			waits->sessions[waits->nsessions++] = count->session;
	copy->nsessions = waits->nsessions - copy->first_session;
	copy->client = lease->client;
	copy->mode = lease->mode;
	copy->token = lease->token;
	copy->deadline = lease->deadline;
	copy_name(copy->client_name, lease->client);
}

/*
 * copy_queue copies a resource, whose holders have nsessions sessions; returns
 * false if there is no room.  The caller holds the partition lock.
 */
static bool
copy_queue(DlockWaits *waits, const DlockResource *res, int nsessions)
{
	DlockQueueCopy *queue = &waits->queues[waits->nqueues];

	Assert(dlock_partition_held(res->hash));
	if (waits->nqueues == waits->queue_capacity ||
		res->nholders > waits->hold_capacity - waits->nholds ||
		res->nwaiters > waits->wait_capacity - waits->nwaits ||
		nsessions > waits->session_capacity - waits->nsessions)
		return false;
	queue->dboid = dlock_database_at(res->database)->dboid;
	queue->database = res->database;
	memcpy(queue->resource, res->name, res->name_len);
	queue->resource[res->name_len] = '\0';
	queue->first_hold = waits->nholds;
	for (uint32 i = res->holders; i != DLOCK_NONE; i = dlock_table_lease(i)->next)
		copy_hold(waits, dlock_table_lease(i));
	queue->first_wait = waits->nwaits;
	if (res->upgrader != DLOCK_NONE)
		copy_wait(waits, res->upgrader);
	for (uint32 i = res->queue_head; i != DLOCK_NONE; i = dlock_table_waiter(i)->next)
		copy_wait(waits, i);
	queue->nholds = waits->nholds - queue->first_hold;
	queue->nwaits = waits->nwaits - queue->first_wait;
	waits->nqueues++;
	return true;
}

/*
 * grow makes more room: at least for a resource with that many holders,
 * waiters and sessions.  An error if there is no memory.
 */
static void
grow(DlockWaits *waits, int nholds, int nwaits, int nsessions)
{
	waits->queue_capacity = 2 * waits->queue_capacity + 64;
	waits->hold_capacity = 2 * waits->hold_capacity + 2 * nholds + 64;
	waits->wait_capacity = 2 * waits->wait_capacity + 2 * nwaits + 64;
	waits->session_capacity = 2 * waits->session_capacity + 2 * nsessions + 64;
	waits->queues = repalloc_huge(waits->queues, waits->queue_capacity *
								  sizeof(DlockQueueCopy));
	waits->holds = repalloc_huge(waits->holds, waits->hold_capacity *
								 sizeof(DlockHoldCopy));
	waits->waits = repalloc_huge(waits->waits, waits->wait_capacity *
								 sizeof(DlockWaitCopy));
	waits->sessions = repalloc_huge(waits->sessions, waits->session_capacity *
									sizeof(uint32));
}

/*
 * visit copies the resource in a slot, if it has waiters.  The slot can be
 * freed and used again at any moment, as dlock_snapshot_by_slot explains.  Any
 * resource with waiters that is in the slot under the right lock is copied;
 * otherwise the slot is skipped.
 */
static void
visit(DlockWaits *waits, uint32 slot)
{
	DlockResource *res = dlock_table_resource(slot);

	for (;;)
	{
		uint32		hash = *(volatile uint32 *) &res->hash;
		bool		done = true;
		int			nholds;
		int			nwaits;
		int			nsessions = 0;

		dlock_partition_lock(hash, DLOCK_LOCK_READ);
		nwaits = *(volatile int32 *) &res->nwaiters;
		nholds = *(volatile int32 *) &res->nholders;
		pg_read_barrier();
		if (nwaits > 0 && res->hash == hash)
		{
			nsessions = count_sessions(res);
			done = copy_queue(waits, res, nsessions);
		}
		dlock_partition_unlock(hash);
		if (done)
			return;
		grow(waits, nholds, nwaits, nsessions);
	}
}

/*
 * dlock_waits_copy copies every resource that has waiters, into the current
 * memory context.  Takes one partition lock at a time.  An error if there is
 * no memory.
 */
void
dlock_waits_copy(DlockWaits *waits)
{
	bool	   *seen = palloc0(dlock_max_leases * sizeof(bool));
	uint32		used = dlock_slots_waiters_used();

	memset(waits, 0, sizeof(*waits));
	waits->queues = palloc(1);
	waits->holds = palloc(1);
	waits->waits = palloc(1);
	waits->sessions = palloc(1);
	grow(waits, 0, 0, 0);
	for (uint32 i = 0; i < used; i++)
	{
		uint32		slot = *(volatile uint32 *) &dlock_table_waiter(i)->resource;

		/* a free waiter slot still has the resource where its waiter was */
		if (slot >= (uint32) dlock_max_leases || seen[slot])
			continue;
		seen[slot] = true;
		if (*(volatile int32 *) &dlock_table_resource(slot)->nwaiters > 0)
			visit(waits, slot);
	}
	pfree(seen);
}
