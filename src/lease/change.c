/*
 * change.c
 *	  Release, renew and change leases on behalf of a client.
 *
 * IDENTIFICATION
 *	  src/lease/change.c
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/config.h"
#include "lease/acquire.h"
#include "lease/change.h"
#include "lease/quorum.h"
#include "lease/scope.h"

/*
 * dlock_release_lease asks for the release of one hold at commit; false where
 * the client does not hold the resource, or not with that token.
 */
bool
dlock_release_lease(DlockGate gate, const DlockKey *key, uint32 client,
					int64 token)
{
	DlockLeaseRef ref;

	if (!dlock_holding_find(gate, key, client, &ref) ||
		(token != 0 && token != ref.token))
		return false;
	return dlock_scope_release(gate, &ref, false, dlock_scope_mark());
}

/*
 * dlock_release_client asks for the release of all that a client holds; tells
 * how many leases that are.
 */
int64
dlock_release_client(DlockGate gate, uint32 client)
{
	uint32		used = dlock_lease_high_water();
	int			mark = dlock_scope_mark();
	int64		count = 0;

	for (uint32 i = 0; i < used; i++)
	{
		DlockLeaseRef ref;

		if (dlock_holding_find_slot(gate, i, client, &ref) &&
			dlock_scope_release(gate, &ref, true, mark))
			count++;
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	return count;
}

/*
 * dlock_renew_lease restarts the clock of one lease; false where the client
 * does not hold it (any more), or not with that token.
 */
bool
dlock_renew_lease(DlockGate gate, const DlockKey *key, uint32 client,
				  int64 token, int64 duration, DlockTime *deadline,
				  int *waiters)
{
	DlockLeaseRef ref;
	uint64		batch;

	if (dlock_durable)
		dlock_quorum_check(gate.db);
	if (!dlock_holding_find(gate, key, client, &ref) ||
		(token != 0 && token != ref.token) ||
		!dlock_holding_renew(gate, &ref, duration, deadline, waiters, &batch))
		return false;
	if (dlock_durable)
		dlock_wait_durable(gate, batch);
	return true;
}

/*
 * dlock_renew_client restarts the clock of every lease of a client; tells how
 * many there are.
 */
int64
dlock_renew_client(DlockGate gate, uint32 client, int64 duration)
{
	uint32		used = dlock_lease_high_water();
	uint64		last_batch = 0;
	int64		count = 0;

	if (dlock_durable)
		dlock_quorum_check(gate.db);
	for (uint32 i = 0; i < used; i++)
	{
		DlockLeaseRef ref;
		DlockTime	deadline;
		int			waiters;
		uint64		batch;

		if (dlock_holding_find_slot(gate, i, client, &ref) &&
			dlock_holding_renew(gate, &ref, duration, &deadline, &waiters,
								&batch))
		{
			last_batch = Max(last_batch, batch);
			count++;
		}
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	if (dlock_durable)
		dlock_wait_durable(gate, last_batch);
	return count;
}
