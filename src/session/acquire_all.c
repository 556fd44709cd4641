/*
 * acquire_all.c
 *	  Take several leases, all or none.
 *
 * All are granted at one instant, under the locks of all partitions concerned.
 * Where one of them is not to be had, the request stands in line for that one
 * alone, the first by name, and holds none of the others meanwhile.  Once it
 * has that one it tries for all again without waiting; if another is not to be
 * had by then, it gives the first back and stands in line for the other.
 *
 * It is woken at the hand-over, not when that is durable, so that all are flushed
 * together and nothing is kept from others for a flush in vain.
 *
 * So two such requests never wait for each other, whatever order their names
 * were given in.  What that costs: the place in one line is no place in the
 * next, and under steady contention for many resources a request may stand in
 * line several times.
 *
 * IDENTIFICATION
 *	  src/session/acquire_all.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "base/debug_point.h"
#include "engine/grant.h"
#include "session/acquire.h"
#include "session/acquire_all.h"
#include "shared/pending.h"
#include "shared/slots.h"

/* what must be taken back if we do not come to the end */
typedef struct UnderWay
{
	const DlockRequest *requests;
	DlockGrant *grants;
	int			count;
	bool		active;
} UnderWay;

static void
take_back_all(const UnderWay *all)
{
	for (int i = 0; i < all->count; i++)
		if (all->grants[i].lease != DLOCK_NONE ||
			all->grants[i].waiter != DLOCK_NONE)
		{
			dlock_grant_take_back(&all->requests[i], &all->grants[i]);
			dlock_grant_init(&all->grants[i]);
		}
}

static void
abandon_all(int code, Datum arg)
{
	UnderWay   *all = (UnderWay *) DatumGetPointer(arg);

	if (!all->active)
		return;
	all->active = false;
	take_back_all(all);
	dlock_pending_unnotify(MyProc->pgprocno);
}

/*
 * wait_for_one stands in line for one of the resources, holding none of them.
 */
static DlockOutcome
wait_for_one(const UnderWay *all, int which, DlockRefusal *refusal)
{
	const DlockRequest *request = &all->requests[which];
	DlockGrant *grant = &all->grants[which];
	DlockOutcome outcome;

	take_back_all(all);
	outcome = dlock_grant_request(request, true, grant, refusal);
	if (outcome == DLOCK_QUEUED)
		outcome = dlock_acquire_wait_in_queue(request, grant, refusal);
	return outcome;
}

/*
 * get_all waits until all are granted.
 */
static DlockOutcome
get_all(const UnderWay *all, bool wait, int *which, DlockRefusal *refusal)
{
	for (;;)
	{
		DlockOutcome outcome = dlock_grant_all(all->requests,
														all->count,
														all->grants, which,
														refusal);

		if (outcome != DLOCK_BUSY || !wait)
			return outcome;
		if (dlock_clock_now() >= all->requests[0].deadline)
			return DLOCK_TIMED_OUT;
		CHECK_FOR_INTERRUPTS();
		outcome = wait_for_one(all, *which, refusal);
		if (outcome != DLOCK_GRANTED)
			return outcome;
	}
}

/*
 * acknowledge_all waits until all are durable, in one wait, and starts their
 * clocks; also of one that need not be durable, since whoever is granted it in
 * line leaves that to us.
 */
static DlockOutcome
acknowledge_all(const UnderWay *all, int *which, DlockRefusal *refusal)
{
	uint64		batch = 0;
	DlockGate	gate = all->requests[0].gate;

	for (int i = 0; i < all->count; i++)
		if (all->grants[i].must_flush)
			batch = Max(batch, all->grants[i].batch);
	if (batch != 0)
	{
		DlockOutcome outcome = dlock_acquire_wait_for_flush(&all->requests[0], batch);

		*which = 0;
		if (outcome != DLOCK_GRANTED)
			return outcome;
	}
	for (int i = 0; i < all->count; i++)
	{
		*which = i;
		if (!dlock_grant_acknowledge(&all->requests[i], &all->grants[i]))
		{
			refusal->token = all->grants[i].token;
			return dlock_database_is_open(gate.db, gate.epoch) ?
				DLOCK_LOST : DLOCK_SHUT;
		}
	}
	return DLOCK_GRANTED;
}

/*
 * dlock_acquire_all_leases serves requests of one client for different
 * resources, in the order of their names.  timeout as for dlock_acquire_lease;
 * it bounds the whole.  Where the outcome is not DLOCK_GRANTED, none is held,
 * and which tells the request that it is about.
 */
DlockOutcome
dlock_acquire_all_leases(DlockRequest *requests, int count, int64 timeout,
						 DlockGrant *grants, int *which, DlockRefusal *refusal)
{
	UnderWay	all = {requests, grants, count, true};
	bool		by_setting;
	DlockOutcome outcome;

	*which = 0;
	for (int i = 0; i < count; i++)
	{
		requests[i].eager = true;
		dlock_grant_init(&grants[i]);
	}
	outcome = dlock_acquire_prepare(requests, count, &timeout, &by_setting);
	if (outcome == DLOCK_GRANTED)
	{
		PG_ENSURE_ERROR_CLEANUP(abandon_all, PointerGetDatum(&all));
		{
			DlockSlotsLook look;
			bool		again;

			do
			{
				CHECK_FOR_INTERRUPTS();
				dlock_acquire_look_at_slots(&look);
				outcome = get_all(&all, timeout > 0, which, refusal);
				if (outcome == DLOCK_GRANTED)
					outcome = acknowledge_all(&all, which, refusal);
				again = dlock_acquire_again(&requests[*which], outcome,
											&grants[*which]);
				if (outcome != DLOCK_GRANTED)
					take_back_all(&all);
				again = again ||
					dlock_acquire_slots_come(&requests[*which], outcome, &look);
			} while (again);
			all.active = false;
		}
		PG_END_ENSURE_ERROR_CLEANUP(abandon_all, PointerGetDatum(&all));
		dlock_pending_unnotify(MyProc->pgprocno);
	}
	for (int i = 0; i < count && outcome == DLOCK_GRANTED; i++)
		dlock_acquire_note(&requests[i], &grants[i]);
	DLOCK_DEBUG_POINT(DLOCK_STOP_GRANT_ACKNOWLEDGED);
	if (outcome == DLOCK_TIMED_OUT && by_setting)
		return DLOCK_LOCK_TIMEOUT;
	return outcome;
}
