/*
 * holding.c
 *	  What happens to a lease that is held: found, released, renewed, changed.
 *
 * A lease is looked up by name and client once; from then on it is referred
 * to by slot and token, and whoever comes with such a reference finds either
 * that very lease or nothing.
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
#include "engine/transition.h"
#include "session/quorum.h"
#include "shared/client.h"
#include "shared/deadline.h"
#include "shared/ends.h"
#include "shared/pending.h"
#include "shared/queue.h"

/*
 * is_running tells whether a lease is anybody's: one that is there only until
 * the commits under way are over is not.
 */
static bool
is_running(const DlockLease *lease)
{
	return lease->state == DLOCK_LEASE_HELD && lease->hold_count > 0 &&
		lease->deadline > dlock_clock_now();
}

static void
copy_ref(uint32 idx, DlockLeaseRef *ref)
{
	DlockLease *lease = dlock_lease_at(idx);

	Assert(dlock_partition_held(lease->hash));
	ref->lease = idx;
	ref->hash = lease->hash;
	ref->token = lease->token;
	ref->told = lease->told;
	ref->mode = lease->mode;
	ref->own_mode = dlock_holds_survey(lease, MyProc->pgprocno, ref->own, ref->others);
}

/*
 * first_holder gives the first lease on a resource.  Partition lock held.
 */
static uint32
first_holder(const DlockKey *key)
{
	uint32		resource = dlock_resource_find(key);

	return resource == DLOCK_NONE ? DLOCK_NONE :
		dlock_resource_at(resource)->holders;
}

/*
 * dlock_holding_find looks for the lease of a client on a resource; false
 * where there is none, or its time is over.
 */
bool
dlock_holding_find(DlockGate gate, const DlockKey *key, uint32 client,
				   DlockLeaseRef *ref)
{
	uint32		resource;
	uint32		idx = DLOCK_NONE;
	bool		found;

	dlock_partition_lock(key->hash, DLOCK_LOCK_READ);
	resource = dlock_resource_find(key);
	if (resource != DLOCK_NONE)
		idx = dlock_holder_find(dlock_resource_at(resource), client);
	found = idx != DLOCK_NONE && is_running(dlock_lease_at(idx));
	if (found)
		copy_ref(idx, ref);
	dlock_partition_unlock(key->hash);
	return found;
}

/*
 * dlock_holding_find_slot gives the lease in a slot, if it is that client's.
 *
 * The hash is read without a lock, to learn which lock to take.  The slot may
 * go to a lease of another partition at any moment: that it is live must be
 * read before that it is still there (see dlock_lease_grant).
 */
bool
dlock_holding_find_slot(DlockGate gate, uint32 slot, uint32 client,
						DlockLeaseRef *ref)
{
	DlockLease *lease = dlock_lease_at(slot);
	uint32		hash = *(volatile uint32 *) &lease->hash;
	bool		found;

	if (dlock_lease_client(slot) != client)
		return false;
	DLOCK_DEBUG_POINT(DLOCK_STOP_SLOT_SEEN);
	dlock_partition_lock(hash, DLOCK_LOCK_READ);
	found = *(volatile uint8 *) &lease->state == DLOCK_LEASE_HELD;
	pg_read_barrier();
	DLOCK_DEBUG_POINT(DLOCK_STOP_SLOT_CHECKED);
	found = found && lease->hash == hash && lease->client == client &&
		lease->database == gate.db->slot && is_running(lease);
	if (found)
		copy_ref(slot, ref);
	dlock_partition_unlock(hash);
	return found;
}

static void
copy_holder(uint32 idx, DlockHolder *holder)
{
	DlockClient *client = dlock_client_at(dlock_lease_at(idx)->client);

	copy_ref(idx, &holder->ref);
	holder->client = dlock_lease_at(idx)->client;
	holder->role = client->row.role;
	memcpy(holder->name, client->name, client->name_len);
	holder->name[client->name_len] = '\0';
}

/*
 * dlock_holding_find_holder looks for the lease on a resource that has a token,
 * or where that is 0 for any, whosever it is; false where there is none.
 */
bool
dlock_holding_find_holder(DlockGate gate, const DlockKey *key, int64 token,
						  DlockHolder *holder)
{
	uint32		idx;

	dlock_partition_lock(key->hash, DLOCK_LOCK_READ);
	idx = first_holder(key);
	while (idx != DLOCK_NONE &&
		   !(is_running(dlock_lease_at(idx)) &&
			 (token == 0 || dlock_lease_at(idx)->token == token)))
		idx = dlock_lease_at(idx)->next;
	if (idx != DLOCK_NONE)
		copy_holder(idx, holder);
	dlock_partition_unlock(key->hash);
	return idx != DLOCK_NONE;
}

/*
 * stands tells whether a reference's lease is still there.  Partition lock
 * held.
 */
static bool
stands(DlockGate gate, const DlockLeaseRef *ref)
{
	DlockLease *lease = dlock_lease_at(ref->lease);

	return dlock_database_is_open(gate.db, gate.epoch) &&
		lease->database == gate.db->slot &&
		lease->token == ref->token &&
		dlock_lease_is_live(lease);
}

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
	held = stands(gate, ref) && is_running(dlock_lease_at(ref->lease)) &&
		dlock_mode_covers(dlock_lease_at(ref->lease)->mode, mode);
	if (held)
	{
		dlock_lease_at(ref->lease)->fences++;
		if (mode == DLOCK_EXCLUSIVE)
			*batch = Max(*batch, dlock_ends_batch(gate.db, ref->hash));
	}
	dlock_partition_unlock(ref->hash);
	return held;
}

/*
 * last_fence_gone does what had to wait for the commits under way.
 */
static void
last_fence_gone(uint32 idx, DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(idx);

	if (lease->hold_count <= 0)
	{
		dlock_lease_end(idx, (DlockEndCause) lease->end_cause, after);
		return;
	}
	/* where it ran out meanwhile, it has left the heap */
	if (lease->deadline != DLOCK_NEVER && !lease->in_heap)
		dlock_deadline_set(idx, lease->deadline);
	dlock_lease_settle_mode(idx, after);
}

/*
 * dlock_holding_let_go takes a fence away.
 */
void
dlock_holding_let_go(DlockGate gate, const DlockLeaseRef *ref)
{
	DlockAftermath after;

	dlock_aftermath_init(&after, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (stands(gate, ref) && --dlock_lease_at(ref->lease)->fences == 0)
		last_fence_gone(ref->lease, &after);
	dlock_partition_unlock(ref->hash);
	dlock_aftermath_run(&after);
}

/*
 * dlock_holding_release gives holds of the mode of the reference back, a session's
 * own or those of others.
 */
void
dlock_holding_release(DlockGate gate, const DlockLeaseRef *ref, uint32 session,
					  bool others, int32 count)
{
	DlockAftermath after;

	dlock_aftermath_init(&after, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (stands(gate, ref) &&
		dlock_holds_release(dlock_lease_at(ref->lease), session, ref->mode,
							others, count) > 0)
		dlock_lease_settle(ref->lease, DLOCK_END_RELEASED, true, &after);
	dlock_partition_unlock(ref->hash);
	dlock_aftermath_run(&after);
}

/*
 * dlock_holding_end_session takes away what a session that is over held, and
 * nobody has given back.
 */
void
dlock_holding_end_session(DlockGate gate, const DlockLeaseRef *ref,
						  uint32 session)
{
	DlockAftermath after;

	dlock_aftermath_init(&after, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (stands(gate, ref) &&
		dlock_holds_end_session(dlock_lease_at(ref->lease), session) > 0)
		dlock_lease_settle(ref->lease, DLOCK_END_SESSION, true, &after);
	dlock_partition_unlock(ref->hash);
	dlock_aftermath_run(&after);
}

/*
 * dlock_holding_of_session tells whether a session has a hold of a lease.
 */
bool
dlock_holding_of_session(DlockGate gate, const DlockLeaseRef *ref,
						 uint32 session)
{
	bool		result;

	dlock_partition_lock(ref->hash, DLOCK_LOCK_READ);
	result = stands(gate, ref) &&
		dlock_holds_of_session(dlock_lease_at(ref->lease), session);
	dlock_partition_unlock(ref->hash);
	return result;
}

/*
 * dlock_holding_end_transaction takes one hold of a transaction away, of the
 * mode of the reference; kept tells whether it had stopped the clock.
 */
void
dlock_holding_end_transaction(DlockGate gate, const DlockLeaseRef *ref,
							  uint32 session, bool kept)
{
	DlockAftermath after;

	dlock_aftermath_init(&after, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (stands(gate, ref) &&
		dlock_holds_end_transaction(dlock_lease_at(ref->lease), session,
									ref->mode, kept))
		dlock_lease_settle(ref->lease, DLOCK_END_TRANSACTION, false, &after);
	dlock_partition_unlock(ref->hash);
	dlock_aftermath_run(&after);
}

/*
 * row_batch gives the batch that has to be durable before a lease's row says no
 * less than memory does; 0 where it does already, where there is to be no row,
 * or where the session does not wait for rows.
 */
static uint64
row_batch(uint32 idx, DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(idx);

	if (!lease->durable || !dlock_durable)
		return 0;
	/* acknowledged without, until somebody asks for more */
	if (!lease->promised)
		dlock_lease_promise(idx, after);
	return dlock_pending_is_durable(after->db, lease->duration_batch) ?
		0 : lease->duration_batch;
}

/*
 * must_confirm tells whether renewals wait for the standbys: a primary that has
 * been replaced must not go on renewing.
 */
static bool
must_confirm(void)
{
	return dlock_durable && dlock_quorum_is_wanted() && !dlock_debug_no_barrier;
}

/*
 * dlock_holding_renew restarts a lease's clock, with a new duration unless it
 * is 0.  False where the lease is over.  batch, if not 0, is to be waited for
 * before the answer is given, and so is a barrier, if "confirm" is set; it is
 * left alone otherwise, so that one barrier can serve several leases.
 */
bool
dlock_holding_renew(DlockGate gate, const DlockLeaseRef *ref, int64 duration,
					DlockTime *deadline, int *waiters, uint64 *batch,
					bool *confirm)
{
	DlockAftermath after;
	bool		held;

	dlock_aftermath_init(&after, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	held = stands(gate, ref) && is_running(dlock_lease_at(ref->lease));
	if (held)
	{
		DlockLease *lease = dlock_lease_at(ref->lease);

		if (duration != 0 && duration != lease->duration)
			dlock_duration_set(ref->lease, duration, &after);
		/* also where another session has asked for what the row lacks */
		*batch = row_batch(ref->lease, &after);
		after.urgent |= *batch != 0;
		if (lease->durable && must_confirm())
		{
			/* a flush that carries the row is as good as any */
			if (after.marked)
				*batch = dlock_pending_barrier(gate.db);
			else
				*confirm = true;
			after.urgent |= after.marked;
		}
		if (lease->kept == 0)
			dlock_deadline_set(ref->lease,
							   dlock_clock_after(dlock_clock_now(),
												 lease->duration));
		*deadline = lease->deadline;
		*waiters = dlock_resource_at(lease->resource)->nwaiters;
	}
	dlock_partition_unlock(ref->hash);
	dlock_aftermath_run(&after);
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
 * dlock_holding_is_running tells whether a lease is still the one referred to,
 * and its time not over.
 */
bool
dlock_holding_is_running(DlockGate gate, const DlockLeaseRef *ref)
{
	bool		result;

	dlock_partition_lock(ref->hash, DLOCK_LOCK_READ);
	result = stands(gate, ref) && is_running(dlock_lease_at(ref->lease));
	dlock_partition_unlock(ref->hash);
	return result;
}

/*
 * dlock_holding_downgrade makes an exclusive lease a shared one and lets in
 * whom it kept out.  Upgrades and holds that were acknowledged since it was looked
 * up stay: the last wish counts.  If so many were that they are counted anew, all
 * stay.  Where a commit depends on the lease, those who are to be let in have to
 * wait for that.
 */
void
dlock_holding_downgrade(DlockGate gate, const DlockLeaseRef *ref)
{
	DlockAftermath after;

	dlock_aftermath_init(&after, gate.db);
	dlock_partition_lock(ref->hash, DLOCK_LOCK_WRITE);
	if (stands(gate, ref) && ref->told <= dlock_lease_at(ref->lease)->told)
	{
		DlockLease *lease = dlock_lease_at(ref->lease);

		if (lease->upgrade_told <= ref->told)
			dlock_lease_downgrade(ref->lease);
		dlock_holds_weaken(lease, ref->told);
		dlock_lease_settle_mode(ref->lease, &after);
	}
	dlock_partition_unlock(ref->hash);
	dlock_aftermath_run(&after);
}

/*
 * is_over tells whether a lease is still there although it is nobody's any more,
 * and why.
 */
static bool
is_over(uint32 idx, DlockCause *cause)
{
	const DlockLease *lease = dlock_lease_at(idx);

	if (lease->state != DLOCK_LEASE_HELD || is_running(lease))
		return false;
	cause->token = lease->token;
	cause->when = Min(lease->deadline, dlock_clock_now());
	cause->cause = lease->hold_count > 0 ? DLOCK_END_EXPIRED : lease->end_cause;
	return true;
}

/*
 * dlock_holding_find_cause completes how the lease of a client on a resource has
 * ended: that with the token, or where that is 0 the last one; false where that
 * is not remembered.  client may be DLOCK_NONE, if there is a token.
 */
bool
dlock_holding_find_cause(const DlockKey *key, uint32 client, DlockCause *cause)
{
	uint32		idx;
	bool		found;

	dlock_partition_lock(key->hash, DLOCK_LOCK_READ);
	idx = first_holder(key);
	while (idx != DLOCK_NONE &&
		   (cause->token != 0 ? dlock_lease_at(idx)->token != cause->token :
			dlock_lease_at(idx)->client != client))
		idx = dlock_lease_at(idx)->next;
	found = (idx != DLOCK_NONE && is_over(idx, cause)) ||
		dlock_causes_find(cause);
	dlock_partition_unlock(key->hash);
	return found;
}

/*
 * dlock_holding_ref_cause is the same for the lease of a reference.
 */
bool
dlock_holding_ref_cause(DlockGate gate, const DlockLeaseRef *ref,
						DlockCause *cause)
{
	bool		found;

	dlock_partition_lock(ref->hash, DLOCK_LOCK_READ);
	found = (stands(gate, ref) && is_over(ref->lease, cause)) ||
		dlock_causes_find(cause);
	dlock_partition_unlock(ref->hash);
	return found;
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
		 idx = dlock_waiter_at(idx)->next)
		count += (dlock_waiter_at(idx)->client == client);

	for (idx = res->queue_head; idx != DLOCK_NONE; idx = next)
	{
		DlockWaiter *waiter = dlock_waiter_at(idx);

		next = waiter->next;
		if (waiter->client != client || waiter->priority == priority)
			continue;
		dlock_queue_remove(res, idx);
		waiter->priority = priority;
		dlock_lease_at(waiter->lease)->priority = priority;
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
	DlockAftermath after;
	uint32		resource;
	int			count = 0;

	dlock_aftermath_init(&after, gate.db);
	dlock_partition_lock(key->hash, DLOCK_LOCK_WRITE);
	resource = dlock_resource_find(key);
	if (resource != DLOCK_NONE)
	{
		DlockResource *res = dlock_resource_at(resource);
		uint32		own = dlock_holder_find(res, client);

		if (own != DLOCK_NONE)
		{
			dlock_lease_at(own)->priority = priority;
			count++;
		}
		count += reorder(res, client, priority);
		/* a new head may fit the holders where the old one did not */
		dlock_queue_serve(resource, &after);
	}
	dlock_partition_unlock(key->hash);
	dlock_aftermath_run(&after);
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
	DlockAftermath after;
	int			count = 0;

	dlock_aftermath_init(&after, gate.db);
	dlock_partition_lock(key->hash, DLOCK_LOCK_WRITE);
	for (;;)
	{
		uint32		resource = dlock_resource_find(key);
		uint32		idx = DLOCK_NONE;

		if (resource != DLOCK_NONE)
			idx = dlock_resource_at(resource)->holders;
		*committing = false;
		while (idx != DLOCK_NONE)
		{
			DlockLease *lease = dlock_lease_at(idx);

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
		dlock_lease_end(idx, DLOCK_END_FORCED, &after);
		count++;
	}
	dlock_partition_unlock(key->hash);
	dlock_aftermath_run(&after);
	return count;
}
