/*
 * acquire_api.c
 *	  SQL: dlock_acquire, dlock_try_acquire.
 *
 * IDENTIFICATION
 *	  src/api/acquire_api.c
 */
#include "postgres.h"

#include "fmgr.h"

#include "api/args.h"
#include "base/config.h"
#include "lease/access.h"
#include "lease/acquire.h"

PG_FUNCTION_INFO_V1(dlock_acquire);
PG_FUNCTION_INFO_V1(dlock_try_acquire);

/*
 * acquire does what both functions have in common.
 */
static DlockOutcome
acquire(FunctionCallInfo fcinfo, DlockRequest *request, DlockGrant *grant,
		DlockRefusal *refusal)
{
	int64		timeout;
	int64		lease;
	char	   *client;

	dlock_access_check_preloaded();
	request->key = dlock_arg_resource(fcinfo, 0);
	timeout = dlock_arg_timeout(fcinfo, 1);
	lease = dlock_arg_lease(fcinfo, 2);
	request->mode = dlock_arg_mode(fcinfo, 3);
	request->priority = dlock_arg_priority(fcinfo, 4);
	request->hold.scope = dlock_arg_scope(fcinfo, 5);
	client = dlock_arg_client(fcinfo, 6);
	request->hold.duration_given = lease != 0;
	request->hold.duration = lease != 0 ? lease :
		(int64) Min(dlock_default_lease, dlock_max_lease) * 1000;
	request->hold.durable = dlock_durable;
	request->hold.counts = true;

	request->gate = dlock_access_gate();
	request->client = dlock_access_client(request->gate, client, true);
	return dlock_acquire_lease(request, timeout, grant, refusal);
}

/*
 * dlock_acquire waits for a lease and returns its token.
 */
Datum
dlock_acquire(PG_FUNCTION_ARGS)
{
	DlockRequest request = {0};
	DlockGrant	grant;
	DlockRefusal refusal;
	DlockOutcome outcome = acquire(fcinfo, &request, &grant, &refusal);

	if (outcome != DLOCK_GRANTED)
		dlock_acquire_report(&request, outcome, &refusal);
	PG_RETURN_INT64(grant.token);
}

/*
 * dlock_try_acquire returns NULL where the lease is not to be had in time.
 */
Datum
dlock_try_acquire(PG_FUNCTION_ARGS)
{
	DlockRequest request = {0};
	DlockGrant	grant;
	DlockRefusal refusal;
	DlockOutcome outcome;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be null"),
				 errhint("Use dlock_acquire to wait without a limit.")));
	outcome = acquire(fcinfo, &request, &grant, &refusal);
	if (outcome == DLOCK_BUSY || outcome == DLOCK_TIMED_OUT)
		PG_RETURN_NULL();
	if (outcome != DLOCK_GRANTED)
		dlock_acquire_report(&request, outcome, &refusal);
	PG_RETURN_INT64(grant.token);
}
