/*
 * grant.c
 *	  The lease engine: a request from its arrival to its acknowledgement.
 *
 *	  dlock_engine_acquire		granted, in line, or refused
 *	  dlock_engine_acquire_all	several at once: all granted, or none
 *	  dlock_engine_queue_result	what became of a place in line
 *	  dlock_engine_leave_queue	give the place up
 *	  dlock_engine_give_up		take the place away, because of a deadlock
 *	  dlock_engine_acknowledge	the client is told: the lease's clock starts
 *	  dlock_engine_take_back	the client will not be told
 *
 * Each takes the resource's partition lock, and no other lock; acquire_all takes
 * those of all its resources.
 *
 * IDENTIFICATION
 *	  src/engine/grant.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"

#include "base/config.h"
#include "engine/grant.h"
#include "engine/holds.h"
#include "engine/transition.h"
#include "shared/client.h"
#include "shared/pending.h"
#include "shared/queue.h"

/*
 * copy_refusal notes who is in the way: the holders but for the client itself,
 * which may ask for more than it holds.
 */
static void
copy_refusal(const DlockResource *res, uint32 own, uint32 waiter,
			 DlockRefusal *refusal)
{
	uint32		other = res->holders;

	if (other != DLOCK_NONE && dlock_lease_at(other)->client == own)
		other = dlock_lease_at(other)->next;
	memset(refusal, 0, offsetof(DlockRefusal, holder));
	refusal->holder[0] = '\0';
	refusal->nholders = res->nholders;
	if (dlock_holder_find(res, own) != DLOCK_NONE)
		refusal->nholders--;
	refusal->nwaiters = res->nwaiters;
	if (waiter != DLOCK_NONE)
		refusal->place = dlock_queue_place(res, waiter);
	if (other != DLOCK_NONE)
	{
		DlockLease *lease = dlock_lease_at(other);
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
 * may_be_granted: the mode fits all holders, and nobody of equal or higher
 * priority waits ahead.  An upgrade waits ahead of everybody.
 */
static bool
may_be_granted(const DlockResource *res, const DlockRequest *request)
{
	if (dlock_holders_conflict(res, request->mode) ||
		res->upgrader != DLOCK_NONE)
		return false;
	return res->queue_head == DLOCK_NONE ||
		dlock_waiter_at(res->queue_head)->priority < request->priority;
}

static void
acknowledge(const DlockRequest *request, DlockGrant *grant, DlockTime now)
{
	DlockLease *lease = dlock_lease_at(grant->lease);

	lease->state = DLOCK_LEASE_HELD;
	dlock_clock_restart(grant->lease, now);
	if (grant->told)
		return;
	dlock_lease_tell(grant->lease, &request->hold);
	grant->downgrades = lease->downgrades;
	grant->told = true;
}

/*
 * add_hold counts the hold that was granted at once, and acknowledges it if
 * nothing needs to be flushed first.
 */
static void
add_hold(const DlockRequest *request, uint32 idx, uint32 *spare,
		 DlockGrant *grant, DlockAftermath *after)
{
	DlockDatabase *db = request->gate.db;

	grant->lease = idx;
	grant->token = dlock_lease_at(idx)->token;
	grant->joined = dlock_lease_at(idx)->hold_count > 0;
	dlock_hold_add(idx, &request->hold, spare, after);
	grant->batch = dlock_hold_batch(db, idx, &request->hold);
	grant->must_flush = grant->batch != 0;
	if (!grant->must_flush)
	{
		acknowledge(request, grant, dlock_clock_now());
		return;
	}
	/* a lease that is held already must not run out while we flush */
	dlock_clock_restart(idx, dlock_clock_now());
	after->urgent = true;
}

/*
 * stand_in_line puts a request into the queue.  lease is a slot reserved for
 * it, so that a hand-over can never fail, or the held one for an upgrade.
 */
static DlockOutcome
stand_in_line(const DlockRequest *request, uint32 resource, uint32 lease,
			  bool upgrade, DlockGrant *grant)
{
	uint32		idx = dlock_waiter_alloc();
	DlockWaiter *waiter;

	if (idx == DLOCK_NONE)
		return DLOCK_NO_WAITER_SLOT;

	waiter = dlock_waiter_at(idx);
	waiter->spare = DLOCK_NONE;
	if (request->hold.counts)
	{
		waiter->spare = dlock_hold_count_alloc();
		if (waiter->spare == DLOCK_NONE)
		{
			dlock_waiter_free(idx);
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
	waiter->token = upgrade ? dlock_lease_at(lease)->token : 0;
	waiter->batch = 0;
	waiter->deadlock = 0;
	waiter->deadline = request->deadline;
	waiter->waiting_since = dlock_clock_wall();
	pg_atomic_fetch_add_u32(&dlock_client_at(request->client)->waiting, 1);
	dlock_queue_insert(dlock_resource_at(resource), idx);
	grant->waiter = idx;
	/* the monitor looks for deadlocks as long as anybody waits */
	dlock_monitor_alarm(dlock_clock_after(dlock_clock_now(),
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
	int64		born = dlock_client_born(request->client);
	int64		other;

	if (born == 0)
		return false;
	for (uint32 i = res->holders; i != DLOCK_NONE; i = dlock_lease_at(i)->next)
	{
		other = dlock_client_born(dlock_lease_at(i)->client);
		if (dlock_lease_at(i)->client != request->client && other < born)
			return true;
	}
	if (upgrade)
		return false;
	for (uint32 i = res->queue_head; i != DLOCK_NONE; i = dlock_waiter_at(i)->next)
	{
		other = dlock_client_born(dlock_waiter_at(i)->client);
		if (dlock_waiter_at(i)->client != request->client &&
			dlock_waiter_at(i)->priority >= request->priority &&
			other != 0 && other < born)
			return true;
	}
	return false;
}

/*
 * may_wait tells whether a request may stand in line: DLOCK_QUEUED, or what it
 * is refused with.
 */
static DlockOutcome
may_wait(const DlockRequest *request, const DlockResource *res, bool upgrade,
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
 * line_up reserves a slot and stands in line.
 */
static DlockOutcome
line_up(const DlockRequest *request, uint32 resource, DlockGrant *grant)
{
	DlockDatabase *db = request->gate.db;
	uint32		idx = dlock_lease_alloc(db);
	DlockOutcome outcome;

	if (idx == DLOCK_NONE)
		return DLOCK_NO_LEASE_SLOT;
	dlock_lease_prepare(idx, request->key.hash, request->client, request->mode,
						request->priority, &request->hold);
	outcome = stand_in_line(request, resource, idx, false, grant);
	if (outcome != DLOCK_QUEUED)
	{
		dlock_client_unpin(request->client);
		dlock_lease_free(db, idx, dlock_clock_now());
	}
	return outcome;
}

/*
 * strengthen serves a client that asks for more than it holds.  Where another
 * session of the client waits for the same already, this one will be served
 * with it.
 */
static DlockOutcome
strengthen(const DlockRequest *request, uint32 resource, uint32 own,
		   uint32 *spare, bool wait, DlockGrant *grant, DlockAftermath *after)
{
	DlockResource *res = dlock_resource_at(resource);
	DlockOutcome outcome;

	if (res->nholders == 1)
	{
		dlock_lease_strengthen(own, request->mode);
		add_hold(request, own, spare, grant, after);
		dlock_client_serve(res, own, after);
		return DLOCK_GRANTED;
	}
	outcome = may_wait(request, res, true, wait);
	if (outcome != DLOCK_QUEUED)
		return outcome;
	if (res->upgrader == DLOCK_NONE)
		return stand_in_line(request, resource, own, true, grant);
	if (dlock_waiter_at(res->upgrader)->client == request->client)
		return line_up(request, resource, grant);
	return DLOCK_UPGRADE_DEADLOCK;
}

/*
 * start serves a client that holds nothing yet.
 */
static DlockOutcome
start(const DlockRequest *request, uint32 resource, bool wait,
	  DlockGrant *grant, DlockAftermath *after)
{
	uint32		idx;
	uint32		spare = DLOCK_NONE;

	if (!may_be_granted(dlock_resource_at(resource), request))
	{
		DlockOutcome outcome = may_wait(request, dlock_resource_at(resource),
										false, wait);

		return outcome == DLOCK_QUEUED ?
			line_up(request, resource, grant) : outcome;
	}
	idx = dlock_lease_alloc(request->gate.db);
	if (idx == DLOCK_NONE)
		return DLOCK_NO_LEASE_SLOT;
	dlock_lease_prepare(idx, request->key.hash, request->client, request->mode,
						request->priority, &request->hold);
	dlock_lease_grant(resource, idx, after);
	add_hold(request, idx, &spare, grant, after);
	dlock_client_serve(dlock_resource_at(resource), idx, after);
	return DLOCK_GRANTED;
}

/*
 * find_resource gives the resource of a request without holders whose time is
 * over, making it if it is free.
 */
static uint32
find_resource(const DlockRequest *request, DlockAftermath *after)
{
	DlockTime	now = dlock_clock_now();
	uint32		resource;

	do
	{
		resource = dlock_resource_find(&request->key);
	} while (resource != DLOCK_NONE && dlock_expired_end(resource, now, after));

	if (resource == DLOCK_NONE)
		resource = dlock_resource_create(&request->key, request->gate.db->slot);
	return resource;
}

/*
 * hold_more serves a client that holds the resource already.
 */
static DlockOutcome
hold_more(const DlockRequest *request, uint32 resource, uint32 own, bool wait,
		  DlockGrant *grant, DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(own);
	uint32		spare = DLOCK_NONE;
	DlockOutcome outcome = DLOCK_GRANTED;

	if (request->token != 0 && request->token != lease->token)
		return DLOCK_NOT_HELD;
	/* there for the commits that depend on it, but not its client's any more */
	if (!request->hold.counts &&
		(lease->hold_count <= 0 || lease->deadline <= dlock_clock_now()))
		return DLOCK_NOT_HELD;
	if (lease->hold_count == PG_INT32_MAX)
		return DLOCK_TOO_MANY_HOLDS;
	if (dlock_holds_need_room(lease, &request->hold))
	{
		spare = dlock_hold_count_alloc();
		if (spare == DLOCK_NONE)
			return DLOCK_NO_HOLD_SLOT;
	}
	if (!dlock_mode_covers(lease->mode, request->mode))
		outcome = strengthen(request, resource, own, &spare, wait, grant,
							 after);
	else
		add_hold(request, own, &spare, grant, after);
	dlock_hold_count_free(spare);
	return outcome;
}

static DlockOutcome
acquire(const DlockRequest *request, bool wait, DlockGrant *grant,
		DlockRefusal *refusal, DlockAftermath *after)
{
	uint32		resource;
	DlockResource *res;
	uint32		own;
	DlockOutcome outcome;

	if (!dlock_database_is_open(request->gate.db, request->gate.epoch))
		return DLOCK_SHUT;
	resource = find_resource(request, after);
	if (resource == DLOCK_NONE)
		return DLOCK_NO_LEASE_SLOT;
	res = dlock_resource_at(resource);
	own = dlock_holder_find(res, request->client);

	if (own == DLOCK_NONE && !request->hold.counts)
		outcome = DLOCK_NOT_HELD;
	else if (own == DLOCK_NONE)
		outcome = start(request, resource, wait, grant, after);
	else
		outcome = hold_more(request, resource, own, wait, grant, after);

	if (outcome != DLOCK_GRANTED && outcome != DLOCK_QUEUED)
	{
		copy_refusal(res, request->client, DLOCK_NONE, refusal);
		/* made for nothing? */
		dlock_queue_serve(resource, after);
	}
	return outcome;
}

void
dlock_engine_init_grant(DlockGrant *grant)
{
	memset(grant, 0, sizeof(*grant));
	grant->waiter = DLOCK_NONE;
	grant->lease = DLOCK_NONE;
}

/*
 * dlock_engine_acquire grants a request, puts it in line, or says why not.
 */
DlockOutcome
dlock_engine_acquire(const DlockRequest *request, bool wait,
					 DlockGrant *grant, DlockRefusal *refusal)
{
	DlockAftermath after;
	DlockOutcome outcome;

	dlock_engine_init_grant(grant);
	dlock_aftermath_init(&after, request->gate.db);
	dlock_partition_lock(request->key.hash, DLOCK_LOCK_WRITE);
	outcome = acquire(request, wait, grant, refusal, &after);
	dlock_partition_unlock(request->key.hash);
	dlock_aftermath_run(&after);
	return outcome;
}

/*
 * is_in_the_way tells whether somebody keeps a request from being granted now,
 * and notes who.
 */
static bool
is_in_the_way(const DlockRequest *request, DlockAftermath *after,
			  DlockRefusal *refusal)
{
	DlockTime	now = dlock_clock_now();
	uint32		resource;
	uint32		own;
	DlockResource *res;
	bool		blocked;

	do
	{
		resource = dlock_resource_find(&request->key);
	} while (resource != DLOCK_NONE && dlock_expired_end(resource, now, after));
	if (resource == DLOCK_NONE)
		return false;
	res = dlock_resource_at(resource);
	own = dlock_holder_find(res, request->client);
	if (own == DLOCK_NONE)
		blocked = !may_be_granted(res, request);
	else
		blocked = res->nholders > 1 &&
			!dlock_mode_covers(dlock_lease_at(own)->mode, request->mode);
	if (blocked)
		copy_refusal(res, request->client, DLOCK_NONE, refusal);
	return blocked;
}

/*
 * grant_all serves all requests that have no lease yet: all of them, or the
 * first in the way is told.  The locks of all are held, so that nobody sees
 * only some of them granted.  When slots run out on the way, the caller takes
 * back what was granted.
 */
static DlockOutcome
grant_all(const DlockRequest *requests, int count, DlockGrant *grants,
		  int *which, DlockRefusal *refusal, DlockAftermath *after)
{
	DlockOutcome outcome = DLOCK_GRANTED;
	int			i;

	for (i = 0; i < count; i++)
	{
		*which = i;
		if (grants[i].lease == DLOCK_NONE &&
			is_in_the_way(&requests[i], after, refusal))
			return DLOCK_BUSY;
	}
	for (i = 0; i < count && outcome == DLOCK_GRANTED; i++)
	{
		*which = i;
		if (grants[i].lease == DLOCK_NONE)
			outcome = acquire(&requests[i], false, &grants[i], refusal, after);
	}
	return outcome;
}

/*
 * dlock_engine_acquire_all grants all requests at one instant, or tells which
 * of them cannot be.  They are for different resources, of one client.  Those
 * whose grant has a lease already are left as they are.
 */
DlockOutcome
dlock_engine_acquire_all(const DlockRequest *requests, int count,
						 DlockGrant *grants, int *which,
						 DlockRefusal *refusal)
{
	DlockAftermath after;
	DlockOutcome outcome;
	uint32		partitions = 0;

	for (int i = 0; i < count; i++)
		partitions |= 1U << dlock_partition_of(requests[i].key.hash);
	dlock_aftermath_init(&after, requests[0].gate.db);
	dlock_partition_lock_some(partitions, DLOCK_LOCK_WRITE);
	outcome = grant_all(requests, count, grants, which, refusal, &after);
	dlock_partition_unlock_some(partitions);
	dlock_aftermath_run(&after);
	return outcome;
}

/*
 * take_result reads what became of a place in line.  Partition lock held.
 */
static DlockOutcome
take_result(DlockGrant *grant)
{
	DlockWaiter *waiter = dlock_waiter_at(grant->waiter);

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
 * dlock_engine_queue_result tells how it stands with a place in line, and
 * gives the place up once it is decided.
 */
DlockOutcome
dlock_engine_queue_result(const DlockRequest *request, DlockGrant *grant)
{
	DlockOutcome outcome;

	/* cheap look first: a latch is set for many reasons */
	if (pg_atomic_read_u32(&dlock_waiter_at(grant->waiter)->state) ==
		DLOCK_WAIT_QUEUED)
		return DLOCK_QUEUED;

	dlock_partition_lock(request->key.hash, DLOCK_LOCK_READ);
	outcome = take_result(grant);
	dlock_partition_unlock(request->key.hash);
	if (outcome != DLOCK_QUEUED)
	{
		dlock_waiter_free(grant->waiter);
		grant->waiter = DLOCK_NONE;
	}
	return outcome;
}

/*
 * dlock_engine_leave_queue gives a place in line up and notes who was in the
 * way; false if it has been decided meanwhile.
 */
bool
dlock_engine_leave_queue(const DlockRequest *request, DlockGrant *grant,
						 DlockRefusal *refusal)
{
	DlockWaiter *waiter = dlock_waiter_at(grant->waiter);
	DlockAftermath after;
	bool		left = false;

	dlock_aftermath_init(&after, request->gate.db);
	dlock_partition_lock(request->key.hash, DLOCK_LOCK_WRITE);
	if (pg_atomic_read_u32(&waiter->state) == DLOCK_WAIT_QUEUED)
	{
		uint32		resource = waiter->resource;
		DlockResource *res = dlock_resource_at(resource);

		left = true;
		copy_refusal(res, request->client, grant->waiter, refusal);
		dlock_queue_remove(res, grant->waiter);
		pg_atomic_fetch_sub_u32(&dlock_client_at(waiter->client)->waiting, 1);
		if (!waiter->upgrade)
		{
			dlock_client_unpin(waiter->client);
			dlock_lease_free(request->gate.db, waiter->lease, dlock_clock_now());
		}
		/* those behind may not have been held up by the holders */
		dlock_queue_serve(resource, &after);
	}
	dlock_partition_unlock(request->key.hash);
	dlock_aftermath_run(&after);
	if (left)
	{
		dlock_waiter_free(grant->waiter);
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
		idx = dlock_waiter_at(idx)->next;
	return idx == slot;
}

/*
 * dlock_engine_give_up takes a place in line away, because its wait is part of
 * a deadlock; false where it has been given up meanwhile.  A slot that is not
 * in the queue may be anybody's: its fields say nothing.
 */
bool
dlock_engine_give_up(const DlockKey *key, DlockDatabase *db, uint32 slot,
					 int64 ticket, uint64 deadlock)
{
	DlockWaiter *waiter = dlock_waiter_at(slot);
	DlockAftermath after;
	uint32		resource;
	bool		found;

	dlock_aftermath_init(&after, db);
	dlock_partition_lock(key->hash, DLOCK_LOCK_WRITE);
	resource = dlock_resource_find(key);
	found = resource != DLOCK_NONE &&
		stands_in(dlock_resource_at(resource), slot) &&
		waiter->ticket == ticket;
	if (found)
	{
		if (!waiter->upgrade)
		{
			dlock_client_unpin(waiter->client);
			dlock_lease_free(db, waiter->lease, dlock_clock_now());
		}
		waiter->deadlock = deadlock;
		dlock_waiter_dismiss(slot, DLOCK_WAIT_DEADLOCK, &after);
		dlock_queue_serve(resource, &after);
	}
	dlock_partition_unlock(key->hash);
	dlock_aftermath_run(&after);
	return found;
}

/*
 * still_granted tells whether the lease is the one that was granted.
 */
static bool
still_granted(const DlockRequest *request, const DlockGrant *grant)
{
	DlockLease *lease = dlock_lease_at(grant->lease);

	return dlock_database_is_open(request->gate.db, request->gate.epoch) &&
		dlock_lease_is_live(lease) &&
		lease->token == grant->token &&
		lease->client == request->client &&
		lease->database == request->gate.db->slot;
}

/*
 * is_late tells whether a server that took our place since the standbys have
 * confirmed a lease could have seen it run out already: it goes by the duration
 * that the confirmed row shows, and may have given the resource to somebody else.
 */
static bool
is_late(const DlockRequest *request, const DlockGrant *grant, DlockTime now)
{
	const DlockLease *lease = dlock_lease_at(grant->lease);

	return grant->must_flush && request->quorum && lease->durable &&
		dlock_clock_after(dlock_pending_confirmed_since(request->gate.db),
						  dlock_duration_sure(lease)) <= now;
}

/*
 * dlock_engine_acknowledge starts the lease's clock: its client is being told
 * now.  False if it may not be told: the lease was taken away by force, has run
 * out, or is there for commits under way alone.  grant->again tells whether to ask anew, as if the
 * request had come a moment later; time that has run out elsewhere is lost.
 */
bool
dlock_engine_acknowledge(const DlockRequest *request, DlockGrant *grant)
{
	DlockTime	now;
	bool		stands;

	dlock_partition_lock(request->key.hash, DLOCK_LOCK_WRITE);
	now = dlock_clock_now();
	grant->again = false;
	stands = still_granted(request, grant) &&
		(request->hold.counts || dlock_lease_at(grant->lease)->hold_count > 0);
	if (!stands || dlock_lease_at(grant->lease)->deadline <= now)
	{
		grant->again = grant->joined && request->hold.counts;
		stands = false;
	}
	else if (is_late(request, grant, now))
		stands = false;
	else
		acknowledge(request, grant, now);
	dlock_partition_unlock(request->key.hash);
	return stands;
}

/*
 * undo takes away what a request was granted, unless it is gone: given back, or
 * made weaker, by another session of the client.
 */
static void
undo(const DlockRequest *request, const DlockGrant *grant,
	 DlockAftermath *after)
{
	DlockLease *lease = dlock_lease_at(grant->lease);

	if (request->hold.counts)
	{
		if (dlock_holds_take_back(lease, &request->hold, grant->told))
			dlock_lease_settle(grant->lease, DLOCK_END_UNTOLD,
							   request->hold.scope != DLOCK_SCOPE_TRANSACTION,
							   after);
		return;
	}
	if (!grant->told)
		lease->upgrading--;
	else if (lease->downgrades == grant->downgrades &&
			 lease->upgrades < DLOCK_UPGRADES_MAX)
		lease->upgrades--;
	dlock_lease_settle_mode(grant->lease, after);
}

/*
 * dlock_engine_take_back undoes a request whose client will not hear of it,
 * whether it stands in line or has been granted.
 */
void
dlock_engine_take_back(const DlockRequest *request, DlockGrant *grant)
{
	DlockAftermath after;
	DlockRefusal ignored;

	if (grant->waiter != DLOCK_NONE &&
		(dlock_engine_leave_queue(request, grant, &ignored) ||
		 dlock_engine_queue_result(request, grant) != DLOCK_GRANTED))
		return;

	dlock_aftermath_init(&after, request->gate.db);
	dlock_partition_lock(request->key.hash, DLOCK_LOCK_WRITE);
	if (still_granted(request, grant))
		undo(request, grant, &after);
	dlock_partition_unlock(request->key.hash);
	dlock_aftermath_run(&after);
}
