/*
 * acquire_all.c
 *	  Acquire several leases, all or none.
 *
 * All of the leases are granted at the same instant, while the backend holds
 * the locks of all the partitions concerned.  If some resources are not
 * available, the backend joins the queue of the first of them in the order of
 * names, and holds none of the resources while it waits.  When it is granted
 * that one, it requests all of them again, without waiting.  If another is not
 * available by then, it gives the first back and joins the other's queue.
 *
 * A request therefore never holds one of its resources while it waits for
 * another, so two such requests cannot wait for each other, in whatever order
 * their names were given.  The price: a place in one queue counts for nothing
 * in the next, and under steady contention for many resources a request may
 * have to queue several times.
 *
 * The requests are "eager": the backend is woken as soon as it is granted the
 * one resource, not only when that grant is durable.  So all of the grants are
 * made durable by one flush, and no resource is kept from other clients during
 * the flush of a grant that may have to be given back.
 *
 * IDENTIFICATION
 *	  src/session/acquire_all.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "base/compat.h"
#include "base/debug_point.h"
#include "engine/grant.h"
#include "session/acquire.h"
#include "session/acquire_all.h"
#include "shared/pending.h"

/* what abandon_all must take back if the wait is interrupted */
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
	dlock_pending_unnotify(MyProcNumber);
}

/*
 * wait_for_one gives all of the resources back, joins the queue of one of
 * them, and sleeps until that request is decided.  Returns its outcome.
 * Throws if the backend is cancelled or terminated.
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
 * get_all waits until all of the requests are granted, or only tries to get
 * them if "wait" is not set.  Returns the outcome; unless it is DLOCK_GRANTED,
 * *which is the index of the request that it belongs to.  Throws if the
 * backend is cancelled or terminated.
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
 * acknowledge_all waits once, until all of the grants are durable, and then
 * acknowledges each of them, which starts its clock.  That includes grants
 * that need not be durable: a backend that grants an eager request from the
 * queue leaves the acknowledgement to us.  Returns the outcome, and sets
 * *which as get_all does.
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
 * dlock_acquire_all_leases makes requests of one client for different
 * resources, which must be in the order of their names, and returns the common
 * outcome.  "timeout" is as for dlock_acquire_lease, and limits the whole
 * call.  If the outcome is not DLOCK_GRANTED, the requests have left nothing
 * behind, and *which is the index of the request that the outcome belongs to.
 * Throws as dlock_acquire_lease does.
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
		dlock_pending_unnotify(MyProcNumber);
	}
	for (int i = 0; i < count && outcome == DLOCK_GRANTED; i++)
		dlock_acquire_note(&requests[i], &grants[i]);
	DLOCK_DEBUG_POINT(DLOCK_STOP_GRANT_ACKNOWLEDGED);
	if (outcome == DLOCK_TIMED_OUT && by_setting)
		return DLOCK_LOCK_TIMEOUT;
	return outcome;
}
