/*
 * release.c
 *	  Release leases: at commit on behalf of a client, at once by force.
 *
 * IDENTIFICATION
 *	  src/session/release.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "engine/holding.h"
#include "session/lease_refs.h"
#include "session/release.h"
#include "session/xact.h"

/* how often to look whether a commit is over, in milliseconds */
#define COMMIT_POLL_MS 10

/*
 * dlock_release_lease asks for the release of one hold at commit; false where
 * the client does not hold the resource, or not with that token.
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
 * dlock_release_client asks for the release of what a client holds, all of it
 * or what is in the list; tells how many leases that are.
 */
int64
dlock_release_client(DlockGate gate, uint32 client, const DlockKeys *keys)
{
	DlockLeaseRefs	leases = dlock_lease_refs_find(gate, client, keys);
	int64		count = 0;

	for (int64 i = 0; i < leases.count; i++)
		if (dlock_xact_release(gate, &leases.refs[i], true))
			count++;
	dlock_lease_refs_free(&leases);
	return count;
}

/*
 * dlock_release_by_force ends the leases on a resource, or the one with that
 * token, whosever they are; tells how many.  A commit under way that depends
 * on one is waited for: once it has been checked it cannot be stopped, and its
 * changes must be there before somebody else is granted the resource.
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
						 COMMIT_POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}
