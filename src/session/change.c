/*
 * change.c
 *	  Change a lease on behalf of its client.
 *
 * IDENTIFICATION
 *	  src/session/change.c
 */
#include "postgres.h"

#include "storage/ipc.h"

#include "base/config.h"
#include "engine/grant.h"
#include "session/acquire.h"
#include "session/change.h"
#include "session/lost.h"
#include "session/renew.h"
#include "session/xact.h"

/* an upgrade to be taken back if the change of the duration fails */
typedef struct UnderWay
{
	const DlockRequest *request;
	DlockGrant *grant;
} UnderWay;

static void
abandon_upgrade(int code, Datum arg)
{
	UnderWay   *under_way = (UnderWay *) DatumGetPointer(arg);

	dlock_grant_take_back(under_way->request, under_way->grant);
}

/*
 * upgrade gives a lease a stronger mode, after waiting until no other holder
 * conflicts with it.  Throws unless the upgrade is granted.
 */
static void
upgrade(DlockRequest *request, const DlockLeaseRef *ref,
		const DlockOptions *options, DlockGrant *grant)
{
	DlockRefusal refusal;
	DlockOutcome outcome;

	request->arrived = dlock_clock_now();
	request->mode = options->mode;
	request->priority = options->priority;
	request->token = ref->token;
	request->hold.durable = dlock_durable;
	outcome = dlock_acquire_lease(request, options->timeout, grant, &refusal);
	if (outcome != DLOCK_GRANTED)
		dlock_acquire_report(request, outcome, &refusal);
}

static void
change_duration(const DlockRequest *request, const DlockLeaseRef *ref,
				int64 duration)
{
	DlockRenewal renewal = {.duration = duration};

	if (duration != 0 &&
		!dlock_renew_lease(request->gate, &request->key, request->client,
						   ref->token, &renewal))
		dlock_lost_report(request->gate, &request->key, request->client,
						  ref->token);
}

static bool
is_downgrade(const DlockLeaseRef *ref, const DlockOptions *options)
{
	return options->mode_given && !dlock_mode_covers(options->mode, ref->mode);
}

/*
 * dlock_change_lease makes those changes to a held lease that can fail: first
 * the upgrade, which may take long, then the duration.  Throws if one of them
 * fails; if that is the change of the duration, or if the process ends during
 * it, the upgrade is taken back.
 *
 * A downgrade to any mode but the weakest is an upgrade to that mode as well:
 * the lease keeps that mode, even if stronger holds end before the commit.
 */
void
dlock_change_lease(DlockRequest *request, const DlockLeaseRef *ref,
				   const DlockOptions *options)
{
	DlockGrant	grant;
	UnderWay	under_way = {request, &grant};

	if (is_downgrade(ref, options))
		dlock_xact_reserve(request->gate, 1);
	if (!options->mode_given || options->mode == DLOCK_WEAKEST_MODE)
	{
		change_duration(request, ref, options->duration);
		return;
	}
	upgrade(request, ref, options, &grant);
	if (options->duration == 0)
		return;
	PG_ENSURE_ERROR_CLEANUP(abandon_upgrade, PointerGetDatum(&under_way));
	{
		change_duration(request, ref, options->duration);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon_upgrade, PointerGetDatum(&under_way));
}

/*
 * dlock_change_at_commit schedules what must change when the transaction
 * commits: a weaker mode.  Cannot fail, because the caller has called
 * dlock_change_lease before, which reserves room for the event.
 */
void
dlock_change_at_commit(DlockGate gate, const DlockLeaseRef *ref,
					   const DlockOptions *options)
{
	if (is_downgrade(ref, options))
		dlock_xact_downgrade(gate, ref, options->mode);
}
