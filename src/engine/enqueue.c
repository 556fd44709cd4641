/*
 * enqueue.c
 *	  A place in a resource's queue: taken, decided, given up.
 *
 * Each of the public functions says which lock it takes, or is to be called
 * under.
 *
 * IDENTIFICATION
 *	  src/engine/enqueue.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"

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
 * dlock_enqueue_refusal notes who is in the way: the holders but for the client itself,
 * which may ask for more than it holds.
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
 * stand_in_line puts a request into the queue.  lease is a slot reserved for
 * it, so that a hand-over can never fail, or the held one for an upgrade.
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
	waiter->procno = MyProc->pgprocno;
	waiter->pid = MyProcPid;
	waiter->priority = request->priority;
	waiter->mode = request->mode;
	waiter->upgrade = upgrade;
	waiter->must_flush = false;
	waiter->joined = false;
	/* whoever sees to it that standbys do not keep it waiting for ever, too */
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
	/* the monitor looks for deadlocks as long as anybody waits */
	dlock_alarm_set(dlock_clock_after(dlock_clock_now(),
									  dlock_deadlock_timeout * (int64) 1000));
	return DLOCK_QUEUED;
}

/*
 * waits_for_older tells whether somebody in the way has been holding leases for
 * longer than the client: then each might wait for the other.  Whoever holds
 * nothing keeps nobody waiting.  An upgrade has nobody of the queue in its way.
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
 * dlock_enqueue_may_wait tells whether a request may stand in line: DLOCK_QUEUED, or what it
 * is refused with.
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
 * dlock_enqueue_request reserves a slot and stands in line.
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
 * dlock_enqueue_upgrade puts a request for a stronger mode ahead of the queue;
 * own is the lease that its client holds.
 */
DlockOutcome
dlock_enqueue_upgrade(const DlockRequest *request, uint32 resource, uint32 own,
					  DlockGrant *grant)
{
	return stand_in_line(request, resource, own, true, grant);
}

/*
 * take_result reads what became of a place in line.  Partition lock held.
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
 * dlock_enqueue_result tells how it stands with a place in line, and
 * gives the place up once it is decided.
 */
DlockOutcome
dlock_enqueue_result(const DlockRequest *request, DlockGrant *grant)
{
	DlockOutcome outcome;

	/* cheap look first: a latch is set for many reasons */
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
 * dlock_enqueue_leave gives a place in line up and notes who was in the
 * way; false if it has been decided meanwhile.
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
 * stands_in tells whether a waiter's slot is in a resource's queue.
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
 * dlock_enqueue_give_up takes a place in line away, because its wait is part of
 * a deadlock; false where it has been given up meanwhile.  A slot that is not
 * in the queue may be anybody's: its fields say nothing.
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
		dlock_transition_serve_queue(resource, &wakeups);
	}
	dlock_partition_unlock(key->hash);
	dlock_wakeups_run(&wakeups);
	return found;
}
