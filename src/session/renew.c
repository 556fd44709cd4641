/*
 * renew.c
 *	  Renew leases on behalf of a client.
 *
 * IDENTIFICATION
 *	  src/session/renew.c
 */
#include "postgres.h"

#include "base/config.h"
#include "base/debug_point.h"
#include "engine/holding.h"
#include "session/flush.h"
#include "session/lease_refs.h"
#include "session/quorum.h"
#include "session/renew.h"

/*
 * must_confirm returns whether the standbys must confirm renewals.  Without
 * that, a primary that has been replaced could keep renewing leases after the
 * new primary has granted the resources to other clients.
 */
static bool
must_confirm(void)
{
	return dlock_durable && dlock_quorum_is_wanted() && !DLOCK_DEBUG_NO_BARRIER;
}

/*
 * dlock_renew_lease restarts the clock of one lease.  Returns false if the
 * client does not hold the lease, does not hold it with that token (0: any),
 * or if the lease has ended while we waited for the standbys to confirm the
 * renewal.  Throws if there is no quorum of standbys, or if the backend is
 * cancelled or terminated.
 */
bool
dlock_renew_lease(DlockGate gate, const DlockKey *key, uint32 client,
				  int64 token, DlockRenewal *renewal)
{
	DlockLeaseRef ref;

	if (dlock_durable)
		dlock_quorum_check(gate.db);
	renewal->quorum = must_confirm();
	if (!dlock_lookup_find(gate, key, client, &ref) ||
		(token != 0 && token != ref.token) ||
		!dlock_holding_renew(gate, &ref, renewal))
		return false;
	if (renewal->confirm)
		renewal->batch = dlock_holding_barrier(gate);
	if (!dlock_durable || renewal->batch == 0)
		return true;
	dlock_flush_wait_change(gate, renewal->batch);
	return dlock_lookup_is_running(gate, &ref);
}

/*
 * dlock_renew_client restarts the clocks of a client's leases: all of them if
 * "keys" is NULL, else those on the resources in "keys".  Returns the number
 * of leases that were renewed and still run after the renewal was confirmed.
 * Throws as dlock_renew_lease does.
 */
int64
dlock_renew_client(DlockGate gate, uint32 client, const DlockKeys *keys,
				   int64 duration)
{
	DlockRenewal renewal = {.duration = duration};
	DlockLeaseRefs leases;
	uint64		last_batch = 0;
	int64		count = 0;

	if (dlock_durable)
		dlock_quorum_check(gate.db);
	renewal.quorum = must_confirm();
	leases = dlock_lease_refs_find(gate, client, keys);
	for (int64 i = 0; i < leases.count; i++)
	{
		if (!dlock_holding_renew(gate, &leases.refs[i], &renewal))
			continue;
		last_batch = Max(last_batch, renewal.batch);
		leases.refs[count++] = leases.refs[i];
	}
	if (renewal.confirm)
		last_batch = dlock_holding_barrier(gate);
	if (dlock_durable && last_batch != 0)
	{
		int64		renewed = count;

		dlock_flush_wait_change(gate, last_batch);
		/* some leases may have ended while we waited */
		count = 0;
		for (int64 i = 0; i < renewed; i++)
			if (dlock_lookup_is_running(gate, &leases.refs[i]))
				count++;
	}
	dlock_lease_refs_free(&leases);
	return count;
}
