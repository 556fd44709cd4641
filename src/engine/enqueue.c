/*
 * enqueue.c
 *	  A place in a resource's queue: take it, read the result, leave it.
 *
 * dlock_enqueue_refusal, dlock_enqueue_may_wait, dlock_enqueue_request and
 * dlock_enqueue_upgrade are called with the partition lock held exclusively.
 * dlock_enqueue_result, dlock_enqueue_leave and dlock_enqueue_give_up take it.
 * No function here sleeps, allocates or raises an error.
 *
 * IDENTIFICATION
 *	  src/engine/enqueue.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"

#include "base/compat.h"
#include "base/config.h"
#include "engine/enqueue.h"
#include "engine/lease.h"
#include "engine/transition.h"
#include "shared/alarm.h"
#include "shared/client.h"
#include "shared/partition.h"
#include "shared/queue.h"
#include "shared/resource.h"
#include "shared/slots.h"
#include "shared/table.h"

/*
 * dlock_enqueue_refusal copies into *refusal what keeps a request from being
 * granted: the holders, except the client itself (own), which may ask for more
 * than it holds; and the place of the waiter, if that is not DLOCK_NONE.  The
 * caller holds the partition lock.  Cannot fail.
 */
void
dlock_enqueue_refusal(const DlockResource *res, uint32 own, uint32 waiter,
					  DlockRefusal *refusal)
{
	uint32		other = res->holders;

	if (other != DLOCK_NONE && dlock_table_lease(other)->client == own)
		other = dlock_table_lease(other)->next;
	memset(refusal, 0, offsetof(DlockRefusal, holder));
	refusal->holder[0] = '\0';
	refusal->nholders = res->nholders;
	if (dlock_lease_of_client(res, own) != DLOCK_NONE)
		refusal->nholders--;
	refusal->nwaiters = res->nwaiters;
	if (waiter != DLOCK_NONE)
		refusal->place = dlock_queue_place(res, waiter);
	if (other != DLOCK_NONE)
	{
		DlockLease *lease = dlock_table_lease(other);
		DlockClient *client = dlock_client_at(lease->client);

		refusal->mode = lease->mode;
		refusal->remaining = DLOCK_NEVER;
		if (lease->deadline != DLOCK_NEVER)
			refusal->remaining = Max(lease->deadline - dlock_clock_now(), 0);
		memcpy(refusal->holder, client->name, client->name_len);
		refusal->holder[client->name_len] = '\0';
	}
}

/*
 * stand_in_line puts a request into the queue; DLOCK_QUEUED, or an outcome
 * that names the kind of slot that has run out.  "lease" is a slot reserved
 * for the request, so that a later grant needs no slot and cannot fail; of an
 * upgrade it is the lease that the client holds.  The caller holds the
 * partition lock exclusively.
 */
static DlockOutcome
stand_in_line(const DlockRequest *request, uint32 resource, uint32 lease,
			  bool upgrade, DlockGrant *grant)
{
	uint32		idx = dlock_slots_get_waiter();
	DlockWaiter *waiter;

	if (idx == DLOCK_NONE)
		return DLOCK_NO_WAITER_SLOT;

	waiter = dlock_table_waiter(idx);
	waiter->spare = DLOCK_NONE;
	if (request->hold.counts)
	{
		waiter->spare = dlock_slots_get_hold_count();
		if (waiter->spare == DLOCK_NONE)
		{
			dlock_slots_put_waiter(idx);
			return DLOCK_NO_HOLD_SLOT;
		}
	}
	pg_atomic_init_u32(&waiter->state, DLOCK_WAIT_QUEUED);
	waiter->resource = resource;
	waiter->client = request->client;
	waiter->lease = lease;
	waiter->procno = MyProcNumber;
	waiter->pid = MyProcPid;
	waiter->priority = request->priority;
	waiter->mode = request->mode;
	waiter->upgrade = upgrade;
	waiter->must_flush = false;
	waiter->joined = false;

	/*
	 * a client that bounds its wait for standbys is woken at the grant as
	 * well
	 */
	waiter->eager = request->eager || request->quorum;
	waiter->hold = request->hold;
	waiter->ticket = (int64) pg_atomic_add_fetch_u64(&request->gate.db->next_ticket, 1);
	waiter->token = upgrade ? dlock_table_lease(lease)->token : 0;
	waiter->batch = 0;
	waiter->deadlock = 0;
	waiter->deadline = request->deadline;
	waiter->waiting_since = dlock_clock_wall();
	pg_atomic_fetch_add_u32(&dlock_client_at(request->client)->waiting, 1);
	dlock_queue_insert(dlock_table_resource(resource), idx);
	grant->waiter = idx;
	/* the monitor searches for deadlocks while there are waiters */
	dlock_alarm_set(dlock_clock_after(dlock_clock_now(),
									  dlock_deadlock_timeout * (int64) 1000));
	return DLOCK_QUEUED;
}

/*
 * waits_for_older returns whether the request would wait for a client that has
 * been holding leases for longer than its own client: then each might wait for
 * the other.  No client can be waiting for one that holds no lease, so such a
 * client may always wait.  An upgrade waits for holders only, not for the
 * queue.  The caller holds the partition lock.
 */
static bool
waits_for_older(const DlockRequest *request, const DlockResource *res,
				bool upgrade)
{
	int64		start_token = dlock_client_start_token(request->client);
	int64		other;

	if (start_token == 0)
		return false;
	for (uint32 i = res->holders; i != DLOCK_NONE; i = dlock_table_lease(i)->next)
	{
		other = dlock_client_start_token(dlock_table_lease(i)->client);
		if (dlock_table_lease(i)->client != request->client && other < start_token)
			return true;
	}
	if (upgrade)
		return false;
	for (uint32 i = res->queue_head; i != DLOCK_NONE; i = dlock_table_waiter(i)->next)
	{
		other = dlock_client_start_token(dlock_table_waiter(i)->client);
		if (dlock_table_waiter(i)->client != request->client &&
			dlock_table_waiter(i)->priority >= request->priority &&
			other != 0 && other < start_token)
			return true;
	}
	return false;
}

/*
 * dlock_enqueue_may_wait returns whether a request may enter the queue:
 * DLOCK_QUEUED, or the outcome with which it is refused.  The caller holds the
 * partition lock.  Cannot fail.
 */
DlockOutcome
dlock_enqueue_may_wait(const DlockRequest *request, const DlockResource *res, bool upgrade,
					   bool wait)
{
	if (!wait || dlock_deadlock_policy == DLOCK_POLICY_NO_WAIT)
		return DLOCK_BUSY;
	if (dlock_deadlock_policy == DLOCK_POLICY_WAIT_DIE &&
		waits_for_older(request, res, upgrade))
		return DLOCK_TOO_YOUNG;
	return DLOCK_QUEUED;
}

/*
 * dlock_enqueue_request reserves a lease slot and puts the request into the
 * queue; DLOCK_QUEUED, or an outcome that names the kind of slot that has run
 * out.  The caller holds the partition lock exclusively.
 */
DlockOutcome
dlock_enqueue_request(const DlockRequest *request, uint32 resource, DlockGrant *grant)
{
	DlockDatabase *db = request->gate.db;
	uint32		idx = dlock_slots_get_lease(db);
	DlockOutcome outcome;

	if (idx == DLOCK_NONE)
		return DLOCK_NO_LEASE_SLOT;
	dlock_lease_prepare(idx, request->key.hash, request->client, request->mode,
						request->priority, &request->hold);
	outcome = stand_in_line(request, resource, idx, false, grant);
	if (outcome != DLOCK_QUEUED)
	{
		dlock_client_unpin(request->client);
		dlock_slots_put_lease(db, idx, dlock_clock_now());
	}
	return outcome;
}

/*
 * dlock_enqueue_upgrade puts a request for a stronger mode ahead of the queue.
 * "own" is the lease that its client holds.  There is no other upgrader.
 * Returns DLOCK_QUEUED, or an outcome that names the kind of slot that has run
 * out.  The caller holds the partition lock exclusively.
 */
DlockOutcome
dlock_enqueue_upgrade(const DlockRequest *request, uint32 resource, uint32 own,
					  DlockGrant *grant)
{
	return stand_in_line(request, resource, own, true, grant);
}

/*
 * take_result reads the result of a place in the queue into *grant, and
 * returns it as an outcome.  The caller holds the partition lock.
 */
static DlockOutcome
take_result(DlockGrant *grant)
{
	DlockWaiter *waiter = dlock_table_waiter(grant->waiter);

	switch ((DlockWaitState) pg_atomic_read_u32(&waiter->state))
	{
		case DLOCK_WAIT_QUEUED:
			return DLOCK_QUEUED;
		case DLOCK_WAIT_LOST:
			return DLOCK_LOST;
		case DLOCK_WAIT_CLOSED:
			return DLOCK_SHUT;
		case DLOCK_WAIT_DEADLOCK:
			grant->deadlock = waiter->deadlock;
			return DLOCK_DEADLOCK;
		case DLOCK_WAIT_GRANTED:
			break;
	}
	grant->lease = waiter->lease;
	grant->token = waiter->token;
	grant->batch = waiter->batch;
	grant->must_flush = waiter->must_flush;
	grant->joined = waiter->joined;
	return DLOCK_GRANTED;
}

/*
 * dlock_enqueue_result returns the result of a place in the queue,
 * DLOCK_QUEUED if there is none yet.  If there is one, the place is freed.
 * Takes the partition lock, shared, if the state says that there may be a
 * result.  Cannot fail.
 */
DlockOutcome
dlock_enqueue_result(const DlockRequest *request, DlockGrant *grant)
{
	DlockOutcome outcome;

	/* read without the lock first: a latch is set for many reasons */
	if (pg_atomic_read_u32(&dlock_table_waiter(grant->waiter)->state) ==
		DLOCK_WAIT_QUEUED)
		return DLOCK_QUEUED;

	dlock_partition_lock(request->key.hash, DLOCK_LOCK_READ);
	outcome = take_result(grant);
	dlock_partition_unlock(request->key.hash);
	if (outcome != DLOCK_QUEUED)
	{
		dlock_slots_put_waiter(grant->waiter);
		grant->waiter = DLOCK_NONE;
	}
	return outcome;
}

/*
 * dlock_enqueue_leave takes a request out of the queue, copies what kept it
 * from being granted into *refusal, and returns true.  Returns false if the
 * request was decided before we had the lock; then the caller reads the
 * result.  Takes the partition lock exclusively.  Cannot fail.
 */
bool
dlock_enqueue_leave(const DlockRequest *request, DlockGrant *grant,
					DlockRefusal *refusal)
{
	DlockWaiter *waiter = dlock_table_waiter(grant->waiter);
	DlockWakeups wakeups;
	bool		left = false;

	dlock_wakeups_init(&wakeups, request->gate.db);
	dlock_partition_lock(request->key.hash, DLOCK_LOCK_WRITE);
	if (pg_atomic_read_u32(&waiter->state) == DLOCK_WAIT_QUEUED)
	{
		uint32		resource = waiter->resource;
		DlockResource *res = dlock_table_resource(resource);

		left = true;
		dlock_enqueue_refusal(res, request->client, grant->waiter, refusal);
		dlock_queue_remove(res, grant->waiter);
		pg_atomic_fetch_sub_u32(&dlock_client_at(waiter->client)->waiting, 1);
		if (!waiter->upgrade)
		{
			dlock_client_unpin(waiter->client);
			dlock_slots_put_lease(request->gate.db, waiter->lease, dlock_clock_now());
		}
		else
			dlock_transition_next_upgrade(res, &wakeups);
		/* those behind may not have been held up by the holders */
		dlock_transition_serve_queue(resource, &wakeups);
	}
	dlock_partition_unlock(request->key.hash);
	dlock_wakeups_run(&wakeups);
	if (left)
	{
		dlock_slots_put_waiter(grant->waiter);
		grant->waiter = DLOCK_NONE;
	}
	return left;
}

/*
 * stands_in returns whether a waiter's slot is in a resource's queue.  The
 * caller holds the partition lock.
 */
static bool
stands_in(const DlockResource *res, uint32 slot)
{
	uint32		idx = res->queue_head;

	if (res->upgrader == slot)
		return true;
	while (idx != DLOCK_NONE && idx != slot)
		idx = dlock_table_waiter(idx)->next;
	return idx == slot;
}

/*
 * dlock_enqueue_give_up ends a wait in order to break a deadlock; the waiter
 * finds DLOCK_WAIT_DEADLOCK.  Returns false if the wait has ended already.
 * Called by the process that searches for deadlocks.  Takes the partition lock
 * exclusively.  Cannot fail.
 *
 * The caller has read slot and ticket without the lock.  The wait may have
 * ended since, and the slot may belong to another waiter, of any resource,
 * whose fields this partition lock does not guard.  So we first search this
 * resource's queue for the slot.  Only if it is there does the lock guard its
 * fields, and the ticket says whether it is still the same wait.
 */
bool
dlock_enqueue_give_up(const DlockKey *key, DlockDatabase *db, uint32 slot,
					  int64 ticket, uint64 deadlock)
{
	DlockWaiter *waiter = dlock_table_waiter(slot);
	DlockWakeups wakeups;
	uint32		resource;
	bool		found;

	dlock_wakeups_init(&wakeups, db);
	dlock_partition_lock(key->hash, DLOCK_LOCK_WRITE);
	resource = dlock_resource_find(key);
	found = resource != DLOCK_NONE &&
		stands_in(dlock_table_resource(resource), slot) &&
		waiter->ticket == ticket;
	if (found)
	{
		if (!waiter->upgrade)
		{
			dlock_client_unpin(waiter->client);
			dlock_slots_put_lease(db, waiter->lease, dlock_clock_now());
		}
		waiter->deadlock = deadlock;
		dlock_transition_dismiss(slot, DLOCK_WAIT_DEADLOCK, &wakeups);
		if (waiter->upgrade)
			dlock_transition_next_upgrade(dlock_table_resource(resource), &wakeups);
		dlock_transition_serve_queue(resource, &wakeups);
	}
	dlock_partition_unlock(key->hash);
	dlock_wakeups_run(&wakeups);
	return found;
}
