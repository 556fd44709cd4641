/*
 * change.c
 *	  Release, renew and change leases on behalf of a client.
 *
 * IDENTIFICATION
 *	  src/lease/change.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "base/config.h"
#include "lease/change.h"
#include "lease/flush.h"
#include "lease/quorum.h"
#include "lease/scope.h"

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

	if (!dlock_holding_find(gate, key, client, &ref) ||
		(token != 0 && token != ref.token))
		return false;
	return dlock_scope_release(gate, &ref, false);
}

/*
 * dlock_release_client asks for the release of all that a client holds; tells
 * how many leases that are.
 */
int64
dlock_release_client(DlockGate gate, uint32 client)
{
	uint32		used = dlock_lease_high_water();
	int64		count = 0;

	for (uint32 i = 0; i < used; i++)
	{
		DlockLeaseRef ref;

		if (dlock_holding_find_slot(gate, i, client, &ref) &&
			dlock_scope_release(gate, &ref, true))
			count++;
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
	}
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

/*
 * dlock_renew_lease restarts the clock of one lease; false where the client
 * does not hold it (any more), or not with that token.  It may have run out
 * while its renewal was being confirmed.
 */
bool
dlock_renew_lease(DlockGate gate, const DlockKey *key, uint32 client,
				  int64 token, int64 duration, DlockTime *deadline,
				  int *waiters)
{
	DlockLeaseRef ref;
	uint64		batch;
	bool		confirm = false;

	if (dlock_durable)
		dlock_quorum_check(gate.db);
	if (!dlock_holding_find(gate, key, client, &ref) ||
		(token != 0 && token != ref.token) ||
		!dlock_holding_renew(gate, &ref, duration, deadline, waiters, &batch,
							 &confirm))
		return false;
	if (confirm)
		batch = dlock_holding_barrier(gate);
	if (!dlock_durable || batch == 0)
		return true;
	dlock_flush_wait_change(gate, batch);
	return dlock_holding_is_running(gate, &ref);
}

/*
 * renew_all restarts the clock of every lease of a client; tells how many
 * there are, up to which batch to wait, and whether they are to be confirmed.
 */
static int64
renew_all(DlockGate gate, uint32 client, int64 duration, uint64 *last_batch,
		  bool *confirm)
{
	uint32		used = dlock_lease_high_water();
	int64		count = 0;

	for (uint32 i = 0; i < used; i++)
	{
		DlockLeaseRef ref;
		DlockTime	deadline;
		int			waiters;
		uint64		batch;

		if (dlock_holding_find_slot(gate, i, client, &ref) &&
			dlock_holding_renew(gate, &ref, duration, &deadline, &waiters,
								&batch, confirm))
		{
			*last_batch = Max(*last_batch, batch);
			count++;
		}
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	return count;
}

/*
 * count_running tells how many leases a client holds.
 */
static int64
count_running(DlockGate gate, uint32 client)
{
	uint32		used = dlock_lease_high_water();
	int64		count = 0;

	for (uint32 i = 0; i < used; i++)
	{
		DlockLeaseRef ref;

		if (dlock_holding_find_slot(gate, i, client, &ref))
			count++;
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	return count;
}

/*
 * dlock_renew_client restarts the clock of every lease of a client; tells how
 * many there are.
 */
int64
dlock_renew_client(DlockGate gate, uint32 client, int64 duration)
{
	uint64		last_batch = 0;
	bool		confirm = false;
	int64		count;

	if (dlock_durable)
		dlock_quorum_check(gate.db);
	count = renew_all(gate, client, duration, &last_batch, &confirm);
	if (confirm)
		last_batch = dlock_holding_barrier(gate);
	if (!dlock_durable || last_batch == 0)
		return count;
	dlock_flush_wait_change(gate, last_batch);
	/* some may have run out meanwhile, and others have come */
	return Min(count, count_running(gate, client));
}
