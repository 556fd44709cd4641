/*
 * grant.c
 *	  A request from its arrival to its acknowledgement.
 *
 *	  dlock_grant_request		granted, in the queue, or refused
 *	  dlock_grant_all			several at once: all granted, or none
 *	  dlock_grant_acknowledge	the client will be told; start the clock
 *	  dlock_grant_take_back		the client will not be told; undo the request
 *
 * Each takes the resource's partition lock; dlock_grant_all takes those of all
 * its resources, and dlock_grant_take_back takes the lock up to three times,
 * one after the other.  Static functions are called under the lock, which is
 * held exclusively.  No function here sleeps, allocates or raises an error.
 *
 * IDENTIFICATION
 *	  src/engine/grant.c
 */
#include "postgres.h"

#include "engine/enqueue.h"
#include "engine/grant.h"
#include "engine/holds.h"
#include "engine/lease.h"
#include "engine/transition.h"
#include "shared/partition.h"
#include "shared/pending.h"
#include "shared/resource.h"
#include "shared/slots.h"
#include "shared/table.h"

/*
 * may_be_granted returns whether a request of a client without a lease can be
 * granted now: its mode fits all holders, there is no upgrader, and no waiter
 * has the same priority or a higher one.
 */
static bool
may_be_granted(const DlockResource *res, const DlockRequest *request)
{
	if (dlock_lease_conflicts(res, request->mode, DLOCK_NONE) ||
		res->upgrader != DLOCK_NONE)
		return false;
	return res->queue_head == DLOCK_NONE ||
		dlock_table_waiter(res->queue_head)->priority < request->priority;
}

/*
 * acknowledge makes a granted lease HELD, starts its clock, and counts the
 * acknowledgement.  One that was counted when it was granted, since nothing
 * had to be flushed, comes here again in dlock_grant_acknowledge.
 */
static void
acknowledge(const DlockRequest *request, DlockGrant *grant, DlockTime now)
{
	DlockLease *lease = dlock_table_lease(grant->lease);

	lease->state = DLOCK_LEASE_HELD;
	dlock_lease_restart_clock(grant->lease, now);
	if (grant->told)
		return;
	dlock_lease_tell(grant->lease, &request->hold);
	if (!request->hold.counts)
		grant->downgrades =
			DLOCK_LEASE_UPGRADES(lease, request->hold.mode)->downgrades;
	grant->told_at = lease->told;
	grant->told = true;
}

/*
 * grant_hold adds a hold that is granted at once, and acknowledges it unless
 * it must be flushed first.
 */
static void
grant_hold(const DlockRequest *request, uint32 idx, uint32 *spare,
		   DlockGrant *grant, DlockWakeups *wakeups)
{
	DlockDatabase *db = request->gate.db;

	grant->lease = idx;
	grant->token = dlock_table_lease(idx)->token;
	grant->joined = dlock_table_lease(idx)->hold_count > 0 ||
		dlock_table_lease(idx)->fences > 0;
	dlock_lease_add_hold(idx, &request->hold, spare, wakeups);
	grant->batch = dlock_lease_hold_batch(db, idx, &request->hold);
	grant->must_flush = grant->batch != 0;
	if (!grant->must_flush)
	{
		acknowledge(request, grant, dlock_clock_now());
		return;
	}
	/* the lease, if it was held before, must not expire while we flush */
	dlock_lease_restart_clock(idx, dlock_clock_now());
	wakeups->urgent = true;
}

/*
 * may_follow returns whether a client that holds a lease may wait behind an
 * upgrader without a deadlock: the upgrader is another session of the same
 * client, or it does not wait for this client's lease.
 */
static bool
may_follow(const DlockRequest *request, uint32 own, uint32 upgrader)
{
	const DlockWaiter *waiter = dlock_table_waiter(upgrader);

	return waiter->client == request->client ||
		!dlock_mode_conflicts(dlock_table_lease(own)->mode, waiter->mode);
}

/*
 * strengthen serves a client that asks for more than it holds.  Where another
 * session of the client waits for the same already, this one will be served
 * with it.
 */
static DlockOutcome
strengthen(const DlockRequest *request, uint32 resource, uint32 own,
		   uint32 *spare, bool wait, DlockGrant *grant, DlockWakeups *wakeups)
{
	DlockResource *res = dlock_table_resource(resource);
	DlockOutcome outcome;

	if (!dlock_lease_conflicts(res, request->mode, own))
	{
		dlock_lease_strengthen(own, request->mode);
		grant_hold(request, own, spare, grant, wakeups);
		dlock_transition_serve_client(res, own, wakeups);
		return DLOCK_GRANTED;
	}
	outcome = dlock_enqueue_may_wait(request, res, true, wait);
	if (outcome != DLOCK_QUEUED)
		return outcome;
	if (res->upgrader == DLOCK_NONE)
		return dlock_enqueue_upgrade(request, resource, own, grant);
	if (may_follow(request, own, res->upgrader))
		return dlock_enqueue_request(request, resource, grant);
	return DLOCK_UPGRADE_DEADLOCK;
}

/*
 * grant_lease serves a client that has no lease on the resource.
 */
static DlockOutcome
grant_lease(const DlockRequest *request, uint32 resource, bool wait,
			DlockGrant *grant, DlockWakeups *wakeups)
{
	uint32		idx;
	uint32		spare = DLOCK_NONE;

	if (!may_be_granted(dlock_table_resource(resource), request))
	{
		DlockOutcome outcome = dlock_enqueue_may_wait(request, dlock_table_resource(resource),
													  false, wait);

		return outcome == DLOCK_QUEUED ?
			dlock_enqueue_request(request, resource, grant) : outcome;
	}
	idx = dlock_slots_get_lease(request->gate.db);
	if (idx == DLOCK_NONE)
		return DLOCK_NO_LEASE_SLOT;
	dlock_lease_prepare(idx, request->key.hash, request->client, request->mode,
						request->priority, &request->hold);
	dlock_lease_grant(resource, idx, wakeups);
	grant_hold(request, idx, &spare, grant, wakeups);
	dlock_transition_serve_client(dlock_table_resource(resource), idx, wakeups);
	return DLOCK_GRANTED;
}

/*
 * find_resource returns the resource of a request, without holders that have
 * expired.  It creates the resource if need be; DLOCK_NONE if there is no
 * slot.
 */
static uint32
find_resource(const DlockRequest *request, DlockWakeups *wakeups)
{
	DlockTime	now = dlock_clock_now();
	uint32		resource;

	do
	{
		resource = dlock_resource_find(&request->key);
	} while (resource != DLOCK_NONE && dlock_transition_end_expired(resource, now, wakeups));

	if (resource == DLOCK_NONE)
		resource = dlock_resource_create(&request->key, request->gate.db->slot);
	return resource;
}

/*
 * hold_more serves a client that has a lease on the resource already.
 */
static DlockOutcome
hold_more(const DlockRequest *request, uint32 resource, uint32 own, bool wait,
		  DlockGrant *grant, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(own);
	uint32		spare = DLOCK_NONE;
	DlockOutcome outcome = DLOCK_GRANTED;

	if (request->token != 0 && request->token != lease->token)
		return DLOCK_NOT_HELD;
	/* kept by commits (README, section 9): its client does not hold it */
	if (!request->hold.counts &&
		(lease->hold_count <= 0 || lease->deadline <= dlock_clock_now()))
		return DLOCK_NOT_HELD;
	/* expired, and kept by fences: its client does not get these holds back */
	if (lease->fences > 0 && lease->deadline <= dlock_clock_now() &&
		dlock_holds_expire(lease) > 0)
	{
		dlock_lease_downgrade(own, DLOCK_WEAKEST_MODE, PG_UINT32_MAX);
		dlock_transition_settle(own, DLOCK_END_EXPIRED, true, wakeups);
	}
	if (lease->hold_count == PG_INT32_MAX)
		return DLOCK_TOO_MANY_HOLDS;
	if (dlock_holds_need_room(lease, &request->hold))
	{
		spare = dlock_slots_get_hold_count();
		if (spare == DLOCK_NONE)
			return DLOCK_NO_HOLD_SLOT;
	}
	if (!dlock_mode_covers(lease->mode, request->mode))
		outcome = strengthen(request, resource, own, &spare, wait, grant,
							 wakeups);
	else
		grant_hold(request, own, &spare, grant, wakeups);
	dlock_slots_put_hold_count(spare);
	return outcome;
}

/*
 * acquire_locked serves a request; may put it into the queue if "wait" is set.
 */
static DlockOutcome
acquire_locked(const DlockRequest *request, bool wait, DlockGrant *grant,
			   DlockRefusal *refusal, DlockWakeups *wakeups)
{
	uint32		resource;
	DlockResource *res;
	uint32		own;
	DlockOutcome outcome;

	if (!dlock_database_is_open(request->gate.db, request->gate.epoch))
		return DLOCK_SHUT;
	resource = find_resource(request, wakeups);
	if (resource == DLOCK_NONE)
		return DLOCK_NO_LEASE_SLOT;
	res = dlock_table_resource(resource);
	own = dlock_lease_of_client(res, request->client);

	if (own == DLOCK_NONE && !request->hold.counts)
		outcome = DLOCK_NOT_HELD;
	else if (own == DLOCK_NONE)
		outcome = grant_lease(request, resource, wait, grant, wakeups);
	else
		outcome = hold_more(request, resource, own, wait, grant, wakeups);

	if (outcome != DLOCK_GRANTED && outcome != DLOCK_QUEUED)
	{
		dlock_enqueue_refusal(res, request->client, DLOCK_NONE, refusal);
		/* remove the resource if it was created for this request */
		dlock_transition_serve_queue(resource, wakeups);
	}
	return outcome;
}

/*
 * dlock_grant_init prepares a grant without lease and waiter.
 */
void
dlock_grant_init(DlockGrant *grant)
{
	memset(grant, 0, sizeof(*grant));
	grant->waiter = DLOCK_NONE;
	grant->lease = DLOCK_NONE;
}

/*
 * dlock_grant_request grants a request, puts it into the queue if "wait" is
 * set, or refuses it; the outcome says which, and *refusal why.  Takes the
 * partition lock exclusively.  Cannot fail.
 */
DlockOutcome
dlock_grant_request(const DlockRequest *request, bool wait,
					DlockGrant *grant, DlockRefusal *refusal)
{
	DlockWakeups wakeups;
	DlockOutcome outcome;

	dlock_grant_init(grant);
	dlock_wakeups_init(&wakeups, request->gate.db);
	dlock_partition_lock(request->key.hash, DLOCK_LOCK_WRITE);
	outcome = acquire_locked(request, wait, grant, refusal, &wakeups);
	dlock_partition_unlock(request->key.hash);
	dlock_wakeups_run(&wakeups);
	return outcome;
}

/*
 * is_in_the_way returns whether a request cannot be granted now, and copies
 * what keeps it from that into *refusal.  Ends holders that have expired.
 */
static bool
is_in_the_way(const DlockRequest *request, DlockWakeups *wakeups,
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
	} while (resource != DLOCK_NONE && dlock_transition_end_expired(resource, now, wakeups));
	if (resource == DLOCK_NONE)
		return false;
	res = dlock_table_resource(resource);
	own = dlock_lease_of_client(res, request->client);
	if (own == DLOCK_NONE)
		blocked = !may_be_granted(res, request);
	else
		blocked = dlock_lease_conflicts(res, request->mode, own) &&
			!dlock_mode_covers(dlock_table_lease(own)->mode, request->mode);
	if (blocked)
		dlock_enqueue_refusal(res, request->client, DLOCK_NONE, refusal);
	return blocked;
}

/*
 * grant_all grants all requests that have no lease yet.  If one of them cannot
 * be granted, none is, and *which names it.  The caller holds the locks of all
 * their partitions, so no process sees only some of them granted.  If slots
 * run out on the way, the outcome says so, and the caller takes back what was
 * granted.
 */
static DlockOutcome
grant_all(const DlockRequest *requests, int count, DlockGrant *grants,
		  int *which, DlockRefusal *refusal, DlockWakeups *wakeups)
{
	DlockOutcome outcome = DLOCK_GRANTED;
	int			i;

	for (i = 0; i < count; i++)
	{
		*which = i;
		if (grants[i].lease == DLOCK_NONE &&
			is_in_the_way(&requests[i], wakeups, refusal))
			return DLOCK_BUSY;
	}
	for (i = 0; i < count && outcome == DLOCK_GRANTED; i++)
	{
		*which = i;
		if (grants[i].lease == DLOCK_NONE)
			outcome = acquire_locked(&requests[i], false, &grants[i], refusal, wakeups);
	}
	return outcome;
}

/*
 * dlock_grant_all grants all requests at one instant, or none of them; then
 * *which is the first one that could not be granted, and *refusal says why.
 * The requests are for different resources and have the same client.  Those
 * whose grant has a lease already are skipped.  If slots run out on the way,
 * the caller takes back what was granted.  Takes the partition locks of all
 * requests exclusively.  Cannot fail.
 */
DlockOutcome
dlock_grant_all(const DlockRequest *requests, int count,
				DlockGrant *grants, int *which,
				DlockRefusal *refusal)
{
	DlockWakeups wakeups;
	DlockOutcome outcome;
	uint32		partitions = 0;

	for (int i = 0; i < count; i++)
		partitions |= 1U << dlock_partition_of(requests[i].key.hash);
	dlock_wakeups_init(&wakeups, requests[0].gate.db);
	dlock_partition_lock_some(partitions, DLOCK_LOCK_WRITE);
	outcome = grant_all(requests, count, grants, which, refusal, &wakeups);
	dlock_partition_unlock_some(partitions);
	dlock_wakeups_run(&wakeups);
	return outcome;
}

/*
 * still_granted returns whether the lease slot still has the lease that was
 * granted.
 */
static bool
still_granted(const DlockRequest *request, const DlockGrant *grant)
{
	DlockLease *lease = dlock_table_lease(grant->lease);

	return dlock_database_is_open(request->gate.db, request->gate.epoch) &&
		dlock_lease_is_live(lease) &&
		lease->token == grant->token &&
		lease->client == request->client &&
		lease->database == request->gate.db->slot;
}

/*
 * may_be_expired_elsewhere returns whether another server may have given the
 * resource to another client.  A server that was promoted after the standbys
 * had confirmed the lease starts the lease's clock with the duration in the
 * confirmed row.  If that duration has passed since then, the lease may have
 * expired there.
 */
static bool
may_be_expired_elsewhere(const DlockRequest *request, const DlockGrant *grant, DlockTime now)
{
	const DlockLease *lease = dlock_table_lease(grant->lease);

	return grant->must_flush && request->quorum && lease->durable &&
		dlock_clock_after(dlock_pending_confirmed_since(request->gate.db),
						  dlock_lease_sure_duration(lease)) <= now;
}

/*
 * dlock_grant_acknowledge starts the lease's clock, because the client is
 * about to be told of the grant.  Returns false if the client must not be
 * told: the lease has ended, has expired, is kept by fences alone, or may have
 * expired on another server.  grant->again is then set if the request joined a
 * lease that was there before, and that lease has ended or expired: the caller
 * makes the request again, as if it had come a moment later.  Takes the
 * partition lock exclusively.  Cannot fail.
 */
bool
dlock_grant_acknowledge(const DlockRequest *request, DlockGrant *grant)
{
	DlockTime	now;
	bool		stands;

	dlock_partition_lock(request->key.hash, DLOCK_LOCK_WRITE);
	now = dlock_clock_now();
	grant->again = false;
	stands = still_granted(request, grant) &&
		(request->hold.counts || dlock_table_lease(grant->lease)->hold_count > 0);
	if (!stands || dlock_table_lease(grant->lease)->deadline <= now)
	{
		grant->again = grant->joined && request->hold.counts;
		stands = false;
	}
	else if (may_be_expired_elsewhere(request, grant, now))
		stands = false;
	else
		acknowledge(request, grant, now);
	dlock_partition_unlock(request->key.hash);
	return stands;
}

/*
 * undo takes away what a request was granted.  Another session of the client
 * may have given the hold back, or a downgrade may have undone the upgrade;
 * then there is nothing to undo.
 */
static void
undo(const DlockRequest *request, const DlockGrant *grant,
	 DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(grant->lease);
	DlockUpgrades *upgrades;

	if (request->hold.counts)
	{
		if (dlock_holds_take_back(lease, &request->hold, grant->told))
			dlock_transition_settle(grant->lease, DLOCK_END_UNTOLD,
									request->hold.scope != DLOCK_SCOPE_TRANSACTION,
									wakeups);
		return;
	}
	upgrades = DLOCK_LEASE_UPGRADES(lease, request->hold.mode);
	if (!grant->told)
		upgrades->untold--;
	else if (upgrades->downgrades == grant->downgrades &&
			 upgrades->told < DLOCK_UPGRADES_MAX)
		upgrades->told--;
	dlock_transition_settle_mode(grant->lease, wakeups);
}

/*
 * dlock_grant_take_back undoes a request whose client will not be told of it.
 * Cannot fail, so it can be called while an error is handled.
 *
 * If the request is in the queue, it leaves.  The process that releases the
 * lease may grant it just before we have the lock: then dlock_enqueue_leave
 * returns false, dlock_enqueue_result reads the grant, and we undo that as
 * well.  The partition lock is released between these steps.  If the lease
 * ends in between, still_granted finds that there is nothing to undo.
 */
void
dlock_grant_take_back(const DlockRequest *request, DlockGrant *grant)
{
	DlockWakeups wakeups;
	DlockRefusal ignored;

	if (grant->waiter != DLOCK_NONE &&
		(dlock_enqueue_leave(request, grant, &ignored) ||
		 dlock_enqueue_result(request, grant) != DLOCK_GRANTED))
		return;

	dlock_wakeups_init(&wakeups, request->gate.db);
	dlock_partition_lock(request->key.hash, DLOCK_LOCK_WRITE);
	if (still_granted(request, grant))
		undo(request, grant, &wakeups);
	dlock_partition_unlock(request->key.hash);
	dlock_wakeups_run(&wakeups);
}
