/*
 * release.c
 *	  Release a client's leases at commit, and any lease by force.
 *
 * IDENTIFICATION
 *	  src/session/release.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"

#include "base/wait_event.h"
#include "engine/holding.h"
#include "session/lease_refs.h"
#include "session/release.h"
#include "session/xact.h"

/* how often to check whether a commit has ended, in milliseconds */
#define COMMIT_POLL_MS 10

/*
 * dlock_release_lease schedules the release of one hold at commit.  Returns
 * false if the client does not hold the resource, does not hold it with that
 * token (0: any), or has already released all that it can release.
 */
bool
dlock_release_lease(DlockGate gate, const DlockKey *key, uint32 client,
					int64 token)
{
	DlockLeaseRef ref;

	if (!dlock_lookup_find(gate, key, client, &ref) ||
		(token != 0 && token != ref.token))
		return false;
	return dlock_xact_release(gate, &ref, false);
}

/*
 * dlock_release_client schedules the release of all holds on a client's leases
 * at commit, or only on the resources in "keys" if that is not NULL.  Returns
 * the number of leases.  Throws if the backend is cancelled or terminated.
 */
int64
dlock_release_client(DlockGate gate, uint32 client, const DlockKeys *keys)
{
	DlockLeaseRefs leases = dlock_lease_refs_find(gate, client, keys);
	int64		count = 0;

	for (int64 i = 0; i < leases.count; i++)
		if (dlock_xact_release(gate, &leases.refs[i], true))
			count++;
	dlock_lease_refs_free(&leases);
	return count;
}

/*
 * dlock_release_by_force ends the leases of any client on a resource, or only
 * the lease with the given token if that is not 0.  Returns the number of
 * leases.  Leases that were granted after the call are left alone.
 *
 * If a transaction that has fenced such a lease is committing, the function
 * waits for the end of that commit.  The transaction has already checked its
 * lease and cannot fail any more, and its changes must be visible before
 * another client is granted the resource.  Throws if the backend is cancelled
 * or terminated while it waits.
 */
int64
dlock_release_by_force(DlockGate gate, const DlockKey *key, int64 token)
{
	int64		newest = (int64) pg_atomic_read_u64(&gate.db->next_token);
	int64		count = 0;
	bool		committing = false;

	for (;;)
	{
		count += dlock_holding_force_release(gate, key, token, newest,
											 &committing);
		if (!committing)
			return count;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 COMMIT_POLL_MS, dlock_wait_event(DLOCK_WAIT_EVENT_RELEASE));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}
