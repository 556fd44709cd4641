/*
 * holding.c
 *	  What happens to a lease that is held: released, renewed, changed.
 *
 * Each function takes the partition lock.  It refers to the lease by slot and
 * token (see lookup.c), and does nothing where that lease has ended.
 *
 * IDENTIFICATION
 *	  src/engine/holding.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"

#include "base/config.h"
#include "base/debug_point.h"
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
 * dlock_holding_keep fences a lease for a transaction that is about to commit:
 * whatever happens to the lease, nobody else gets it before the fence is let
 * go.  Its clock runs on meanwhile.  False where the lease is over, or is not
 * held any more in a mode.
 *
 * batch is raised to the one that must be durable before the commit.  There is
 * one if another session of the client has made the lease exclusive, and still
 * waits until the ends of those who shared it are durable.
 */
bool
dlock_holding_keep(DlockGate gate, const DlockLeaseRef *ref, DlockMode mode,
				   uint64 *batch)
{
	bool		held;

	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	held = dlock_lookup_stands(gate, ref) && dlock_lookup_runs(dlock_table_lease(ref->lease)) &&
		dlock_mode_covers(dlock_table_lease(ref->lease)->mode, mode);
	if (held)
	{
		dlock_table_lease(ref->lease)->fences++;
		if (dlock_mode_conflicts(mode, mode))
			*batch = Max(*batch, dlock_ends_batch(gate.db, ref->hash));
	}
	dlock_partition_unlock(ref->hash);
	return held;
}

/*
 * last_fence_gone does what had to wait for the commits under way.
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
	/* where it ran out meanwhile, it has left the heap */
	if (lease->deadline != DLOCK_NEVER && !lease->in_heap)
		dlock_deadline_set(idx, lease->deadline);
	dlock_transition_settle_mode(idx, wakeups);
}

/*
 * dlock_holding_let_go takes a fence away.
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
 * dlock_holding_release gives holds of the mode of the reference back, a session's
 * own or those of others.
 */
void
dlock_holding_release(DlockGate gate, const DlockLeaseRef *ref, uint32 session,
					  bool others, int32 count)
{
	DlockWakeups wakeups;

	dlock_wakeups_init(&wakeups, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (dlock_lookup_stands(gate, ref) &&
		dlock_holds_release(dlock_table_lease(ref->lease), session, ref->mode,
							others, count) > 0)
		dlock_transition_settle(ref->lease, DLOCK_END_RELEASED, true, &wakeups);
	dlock_partition_unlock(ref->hash);
	dlock_wakeups_run(&wakeups);
}

/*
 * dlock_holding_end_session takes away what a session that is over held, and
 * nobody has given back.
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
 * dlock_holding_end_transaction takes one hold of a transaction away, of the
 * mode of the reference; kept tells whether it had stopped the clock.
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
 * row_batch gives the batch that has to be durable before a lease's row says no
 * less than memory does; 0 where it does already, where there is to be no row,
 * or where the session does not wait for rows.
 */
static uint64
row_batch(uint32 idx, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);

	if (!lease->durable || !dlock_durable)
		return 0;
	/* acknowledged without, until somebody asks for more */
	if (!lease->promised)
		dlock_lease_promise(idx, wakeups);
	return dlock_pending_is_durable(wakeups->db, lease->duration_batch) ?
		0 : lease->duration_batch;
}

/*
 * dlock_holding_renew restarts a lease's clock, with a new duration if one is
 * given.  False where the lease has ended.
 *
 * If renewal->batch is not 0, the caller waits for that batch before it answers;
 * if renewal->confirm is set, also for a barrier.  confirm is left alone
 * otherwise, so that one barrier can serve several leases.
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
		/* also where another session has asked for what the row lacks */
		renewal->batch = row_batch(ref->lease, &wakeups);
		wakeups.urgent |= renewal->batch != 0;
		if (lease->durable && renewal->quorum)
		{
			/* a flush that carries the row is as good as any */
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
 * dlock_holding_barrier asks for a flush that begins from now on; gives the
 * batch to wait for.  Any partition lock keeps the writer from closing it.
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
 * dlock_holding_downgrade gives a lease a weaker mode and lets in whom it kept
 * out.  Upgrades and holds that were acknowledged since it was looked
 * up stay: the last wish counts.  If so many were that they are counted anew, all
 * stay.  Where a commit depends on the lease, those who are to be let in have to
 * wait for that.
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

		if (lease->upgrade_told <= ref->told)
			dlock_lease_downgrade(ref->lease, mode);
		dlock_holds_weaken(lease, mode, ref->told);
		dlock_transition_settle_mode(ref->lease, &wakeups);
	}
	dlock_partition_unlock(ref->hash);
	dlock_wakeups_run(&wakeups);
}

/*
 * reorder gives the waiters of a client another priority; tells how many
 * waiters the client has.  A waiter that moves back is met again: it then has
 * the priority, and is counted by then.
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
 * resource another priority; tells how many there were.
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
		count += reorder(res, client, priority);
		/* a new head may fit the holders where the old one did not */
		dlock_transition_serve_queue(resource, &wakeups);
	}
	dlock_partition_unlock(key->hash);
	dlock_wakeups_run(&wakeups);
	return count;
}

/*
 * is_meant tells whether a lease is one of those to be ended by force: that
 * with the token, or all that are not newer than another.
 */
static bool
is_meant(const DlockLease *lease, int64 token, int64 newest)
{
	return token != 0 ? lease->token == token : lease->token <= newest;
}

/*
 * dlock_holding_force_release ends the leases on a resource up to the newest
 * token, or the one with that token; tells how many.  Those on which a commit
 * under way depends are left; committing tells whether there are any.
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
