/*
 * holding.c
 *	  What happens to a lease that is held: released, renewed, changed.
 *
 * Each exported function takes the partition lock.  It refers to the lease by
 * slot and token (see lookup.c) and does nothing if that lease has ended.
 * None of them sleeps, allocates or raises an error.
 *
 * IDENTIFICATION
 *	  src/engine/holding.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"

#include "base/config.h"
#include "engine/holding.h"
#include "engine/holds.h"
#include "engine/lease.h"
#include "engine/transition.h"
#include "shared/client.h"
#include "shared/deadline.h"
#include "shared/ends.h"
#include "shared/partition.h"
#include "shared/pending.h"
#include "shared/queue.h"
#include "shared/resource.h"
#include "shared/table.h"

/*
 * dlock_holding_keep puts a fence on a lease, for a transaction that is about
 * to commit: whatever happens to the lease, no other client gets the resource
 * before dlock_holding_let_go.  Its clock continues.  Returns false if the
 * lease has ended or expired, or is not held in that mode any more; then there
 * is no fence.
 *
 * batch is raised to the one that must be durable before the commit.  There is
 * one if another session of the client has made the lease stronger, and still
 * waits until the ends of those who were in its way are durable.  The weakest
 * mode is that of the first hold, which was acknowledged.
 */
bool
dlock_holding_keep(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode,
				   uint64 *batch)
{
	bool		held;

	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	held = dlock_lookup_stands(gate, ref) && dlock_lookup_runs(dlock_table_lease(ref->lease)) &&
		ref->told >= dlock_table_lease(ref->lease)->lost_told &&
		dlock_mode_covers(dlock_table_lease(ref->lease)->mode, mode);
	if (held)
	{
		dlock_table_lease(ref->lease)->fences++;
		if (mode != DLOCK_WEAKEST_MODE)
			*batch = Max(*batch, dlock_ends_batch(gate.db, ref->hash));
	}
	dlock_partition_unlock(ref->hash);
	return held;
}

/*
 * last_fence_gone does what had to wait for the commits under way: the lease
 * ends if it has no holds, or its clock and its mode are set anew.  The caller
 * holds the partition lock exclusively.
 */
static void
last_fence_gone(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	if (lease->hold_count <= 0)
	{
		dlock_transition_end(idx, (DlockEndCause) lease->end_cause, wakeups);
		return;
	}
	/* if it expired while there were fences, it has left the heap */
	if (lease->deadline != DLOCK_NEVER && !lease->in_heap)
		dlock_deadline_set(idx, lease->deadline);
	dlock_transition_settle_mode(idx, wakeups);
}

/*
 * dlock_holding_let_go removes a fence.  If it was the last one, what had to
 * wait for it is done now.
 */
void
dlock_holding_let_go(DlockGate gate, const DlockLeaseRef *ref)
{
	DlockWakeups wakeups;

	dlock_wakeups_init(&wakeups, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (dlock_lookup_stands(gate, ref) && --dlock_table_lease(ref->lease)->fences == 0)
		last_fence_gone(ref->lease, &wakeups);
	dlock_partition_unlock(ref->hash);
	dlock_wakeups_run(&wakeups);
}

/*
 * dlock_holding_release gives back up to "count" holds of the mode of the
 * reference: the session's own, or those of other sessions.
 */
void
dlock_holding_release(DlockGate gate, const DlockLeaseRef *ref, uint32 session,
					  bool others, int32 count)
{
	DlockWakeups wakeups;

	dlock_wakeups_init(&wakeups, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (dlock_lookup_stands(gate, ref) &&
		ref->told >= dlock_table_lease(ref->lease)->lost_told &&
		dlock_holds_release(dlock_table_lease(ref->lease), session, ref->mode,
							others, count) > 0)
		dlock_transition_settle(ref->lease, DLOCK_END_RELEASED, true, &wakeups);
	dlock_partition_unlock(ref->hash);
	dlock_wakeups_run(&wakeups);
}

/*
 * dlock_holding_end_session removes the holds of a session that has ended, as
 * far as they were not given back before.
 */
void
dlock_holding_end_session(DlockGate gate, const DlockLeaseRef *ref,
						  uint32 session)
{
	DlockWakeups wakeups;

	dlock_wakeups_init(&wakeups, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (dlock_lookup_stands(gate, ref) &&
		dlock_holds_end_session(dlock_table_lease(ref->lease), session) > 0)
		dlock_transition_settle(ref->lease, DLOCK_END_SESSION, true, &wakeups);
	dlock_partition_unlock(ref->hash);
	dlock_wakeups_run(&wakeups);
}

/*
 * dlock_holding_end_transaction removes one hold of a session's transaction,
 * of the mode of the reference.  "kept" says whether the hold stops the clock.
 */
void
dlock_holding_end_transaction(DlockGate gate, const DlockLeaseRef *ref,
							  uint32 session, bool kept)
{
	DlockWakeups wakeups;

	dlock_wakeups_init(&wakeups, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (dlock_lookup_stands(gate, ref) &&
		dlock_holds_end_transaction(dlock_table_lease(ref->lease), session,
									ref->mode, kept))
		dlock_transition_settle(ref->lease, DLOCK_END_TRANSACTION, false, &wakeups);
	dlock_partition_unlock(ref->hash);
	dlock_wakeups_run(&wakeups);
}

/*
 * row_batch returns the batch that must be durable before a lease's row says
 * no less than memory does.  Returns 0 if that is so already, if the lease has
 * no row, or if the session does not wait for rows.  The caller holds the
 * partition lock exclusively.
 */
static uint64
row_batch(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	if (!lease->durable || !dlock_durable)
		return 0;
	/* it was acknowledged without being durable */
	if (!lease->promised)
		dlock_lease_promise(idx, wakeups);
	return dlock_pending_is_durable(wakeups->db, lease->duration_batch) ?
		0 : lease->duration_batch;
}

/*
 * dlock_holding_renew restarts a lease's clock, with a new duration if one is
 * given.  Returns false if the lease has ended or expired.
 *
 * If renewal->batch is not 0, the caller waits for that batch before it
 * answers; if renewal->confirm is set, it also waits for a barrier.  "confirm"
 * is never reset, so that one barrier can serve several leases.
 */
bool
dlock_holding_renew(DlockGate gate, const DlockLeaseRef *ref,
					DlockRenewal *renewal)
{
	DlockWakeups wakeups;
	bool		held;

	dlock_wakeups_init(&wakeups, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	held = dlock_lookup_stands(gate, ref) &&
		dlock_lookup_runs(dlock_table_lease(ref->lease));
	if (held)
	{
		DlockLease *lease = dlock_table_lease(ref->lease);

		if (renewal->duration != 0 && renewal->duration != lease->duration)
			dlock_lease_set_duration(ref->lease, renewal->duration, &wakeups);
		/* also if another session has asked for what the row lacks */
		renewal->batch = row_batch(ref->lease, &wakeups);
		wakeups.urgent |= renewal->batch != 0;
		if (lease->durable && renewal->quorum)
		{
			/* the flush that carries the row serves as well */
			if (wakeups.marked)
				renewal->batch = dlock_pending_barrier(gate.db);
			else
				renewal->confirm = true;
			wakeups.urgent |= wakeups.marked;
		}
		if (lease->kept == 0)
			dlock_deadline_set(ref->lease,
							   dlock_clock_after(dlock_clock_now(),
												 lease->duration));
		renewal->deadline = lease->deadline;
		renewal->waiters = dlock_table_resource(lease->resource)->nwaiters;
	}
	dlock_partition_unlock(ref->hash);
	dlock_wakeups_run(&wakeups);
	return held;
}

/*
 * dlock_holding_barrier has a batch flushed from now on, even if nothing has
 * changed, and returns the number of the batch to wait for.  Any partition
 * lock keeps the writer from cutting the open batch, so we take the first one.
 */
uint64
dlock_holding_barrier(DlockGate gate)
{
	uint64		batch;

	dlock_partition_lock(0, DLOCK_LOCK_READ);
	batch = dlock_pending_barrier(gate.db);
	dlock_partition_unlock(0);
	dlock_pending_wake_writer(gate.db, true);
	return batch;
}

/*
 * dlock_holding_downgrade gives a lease a weaker mode, and grants requests
 * that fit then.  Upgrades and holds that were acknowledged after ref was
 * looked up keep their mode: the later request counts.  If the lease's counter
 * of acknowledgements was reset since then, all keep their mode.  If commits
 * under way depend on the lease, it becomes weaker only when the last of them
 * has ended.
 */
void
dlock_holding_downgrade(DlockGate gate, const DlockLeaseRef *ref,
						DlockMode mode)
{
	DlockWakeups wakeups;

	dlock_wakeups_init(&wakeups, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (dlock_lookup_stands(gate, ref) && ref->told <= dlock_table_lease(ref->lease)->told)
	{
		DlockLease *lease = dlock_table_lease(ref->lease);

		dlock_lease_downgrade(ref->lease, mode, ref->told);
		dlock_holds_weaken(lease, mode, ref->told);
		dlock_transition_settle_mode(ref->lease, &wakeups);
	}
	dlock_partition_unlock(ref->hash);
	dlock_wakeups_run(&wakeups);
}

/*
 * reorder gives the waiters of a client another priority, and returns how many
 * waiters the client has.  They are counted before any is moved: a waiter that
 * moves towards the end of the queue is met a second time, and then has the
 * new priority.  The caller holds the partition lock exclusively.
 */
static int
reorder(DlockResource *res, uint32 client, int32 priority)
{
	int			count = 0;
	uint32		idx;
	uint32		next;

	for (idx = res->queue_head; idx != DLOCK_NONE;
		 idx = dlock_table_waiter(idx)->next)
		count += (dlock_table_waiter(idx)->client == client);

	for (idx = res->queue_head; idx != DLOCK_NONE; idx = next)
	{
		DlockWaiter *waiter = dlock_table_waiter(idx);

		next = waiter->next;
		if (waiter->client != client || waiter->priority == priority)
			continue;
		dlock_queue_remove(res, idx);
		waiter->priority = priority;
		dlock_table_lease(waiter->lease)->priority = priority;
		dlock_queue_insert(res, idx);
	}
	return count;
}

/*
 * dlock_holding_set_priority gives a client's lease and its waiters on a
 * resource another priority; returns how many there were.  Does nothing if the
 * database is shut.
 */
int
dlock_holding_set_priority(DlockGate gate, const DlockKey *key, uint32 client,
						   int32 priority)
{
	DlockWakeups wakeups;
	uint32		resource;
	int			count = 0;

	dlock_wakeups_init(&wakeups, gate.db);
	dlock_partition_lock(key->hash, DLOCK_LOCK_WRITE);
	if (dlock_database_is_open(gate.db, gate.epoch) &&
		(resource = dlock_resource_find(key)) != DLOCK_NONE)
	{
		DlockResource *res = dlock_table_resource(resource);
		uint32		own = dlock_lease_of_client(res, client);

		if (own != DLOCK_NONE)
		{
			dlock_table_lease(own)->priority = priority;
			count++;
		}
		if (res->upgrader != DLOCK_NONE &&
			dlock_table_waiter(res->upgrader)->client == client)
		{
			dlock_table_waiter(res->upgrader)->priority = priority;
			count++;
		}
		count += reorder(res, client, priority);
		/* the new head of the queue may fit the holders */
		dlock_transition_serve_queue(resource, &wakeups);
	}
	dlock_partition_unlock(key->hash);
	dlock_wakeups_run(&wakeups);
	return count;
}

/*
 * is_meant returns whether a lease is to be ended by force: it has that token,
 * or, if the token is 0, a token up to "newest".
 */
static bool
is_meant(const DlockLease *lease, int64 token, int64 newest)
{
	return token != 0 ? lease->token == token : lease->token <= newest;
}

/*
 * dlock_holding_force_release ends the leases on a resource that have a token
 * up to "newest", or the one that has "token" if that is not 0; returns how
 * many.  It leaves those on which commits under way depend; *committing says
 * whether there are any.  Does nothing if the database is shut.
 */
int
dlock_holding_force_release(DlockGate gate, const DlockKey *key, int64 token,
							int64 newest, bool *committing)
{
	DlockWakeups wakeups;
	int			count = 0;

	dlock_wakeups_init(&wakeups, gate.db);
	dlock_partition_lock(key->hash, DLOCK_LOCK_WRITE);
	for (;;)
	{
		uint32		idx = DLOCK_NONE;

		if (dlock_database_is_open(gate.db, gate.epoch))
			idx = dlock_lookup_first_holder(key);
		*committing = false;
		while (idx != DLOCK_NONE)
		{
			DlockLease *lease = dlock_table_lease(idx);

			if (is_meant(lease, token, newest))
			{
				if (lease->fences == 0)
					break;
				*committing = true;
			}
			idx = lease->next;
		}
		if (idx == DLOCK_NONE)
			break;
		dlock_transition_end(idx, DLOCK_END_FORCED, &wakeups);
		count++;
	}
	dlock_partition_unlock(key->hash);
	dlock_wakeups_run(&wakeups);
	return count;
}
