/*
 * acquire_api.c
 *	  SQL: dlock_acquire, dlock_try_acquire, dlock_acquire_all,
 *	  dlock_try_acquire_all.
 *
 * IDENTIFICATION
 *	  src/api/acquire_api.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "api/args.h"
#include "base/clock.h"
#include "base/config.h"
#include "session/access.h"
#include "session/acquire.h"
#include "session/acquire_all.h"

PG_FUNCTION_INFO_V1(dlock_acquire);
PG_FUNCTION_INFO_V1(dlock_try_acquire);
PG_FUNCTION_INFO_V1(dlock_acquire_all);
PG_FUNCTION_INFO_V1(dlock_try_acquire_all);

/* names in one call; a limit, because it locks all their partitions at once */
#define RESOURCES_MAX 10000

/*
 * default_scope returns the scope for calls that give none.  A lease of the
 * session's anonymous client must end with the session, because no other
 * session could release it.
 */
static DlockScope
default_scope(const char *client)
{
	return dlock_access_is_anonymous(client) ?
		DLOCK_SCOPE_SESSION : DLOCK_SCOPE_LEASE;
}

/*
 * read_request fills in a request from the arguments that all functions have
 * in common, that is, all but the resource.  Returns the timeout.
 */
static int64
read_request(FunctionCallInfo fcinfo, DlockRequest *request)
{
	int64		timeout = dlock_args_timeout(fcinfo, 1);
	int64		ttl;
	char	   *client;

	request->arrived = dlock_clock_now();
	ttl = dlock_args_ttl(fcinfo, 2);
	request->mode = dlock_args_mode(fcinfo, 3);
	request->priority = dlock_args_priority(fcinfo, 4);
	client = dlock_args_client(fcinfo, 6);
	request->hold.scope = dlock_args_scope(fcinfo, 5, default_scope(client));
	request->hold.duration_given = ttl != 0;
	request->hold.duration = ttl != 0 ? ttl :
		(int64) Min(dlock_default_ttl, dlock_max_ttl) * 1000;
	request->hold.durable = dlock_durable;
	request->hold.counts = true;

	request->gate = dlock_access_gate();
	request->client = dlock_access_client(request->gate, client, true);
	return timeout;
}

/*
 * acquire_one does the work of both functions for one resource.  Returns the
 * outcome.
 */
static DlockOutcome
acquire_one(FunctionCallInfo fcinfo, DlockRequest *request, DlockGrant *grant,
			DlockRefusal *refusal)
{
	int64		timeout;

	dlock_access_check_preloaded();
	request->key = dlock_args_resource(fcinfo, 0);
	timeout = read_request(fcinfo, request);
	return dlock_acquire_lease(request, timeout, grant, refusal);
}

/*
 * is_not_now returns whether the try functions report an outcome as NULL or no
 * rows: the resource did not become available within the timeout.
 */
static bool
is_not_now(DlockOutcome outcome)
{
	return outcome == DLOCK_BUSY || outcome == DLOCK_TOO_YOUNG ||
		outcome == DLOCK_TIMED_OUT || outcome == DLOCK_LOCK_TIMEOUT;
}

static void
check_timeout(FunctionCallInfo fcinfo, const char *instead)
{
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be null"),
				 errhint("Use %s to wait without a limit.", instead)));
}

/*
 * dlock_acquire acquires a lease, waiting if necessary, and returns its token.
 */
Datum
dlock_acquire(PG_FUNCTION_ARGS)
{
	DlockRequest request = {0};
	DlockGrant	grant;
	DlockRefusal refusal;
	DlockOutcome outcome = acquire_one(fcinfo, &request, &grant, &refusal);

	if (outcome != DLOCK_GRANTED)
		dlock_acquire_report(&request, outcome, &refusal);
	PG_RETURN_INT64(grant.token);
}

/*
 * dlock_try_acquire is like dlock_acquire, but returns NULL if the resource
 * does not become available within the timeout.
 */
Datum
dlock_try_acquire(PG_FUNCTION_ARGS)
{
	DlockRequest request = {0};
	DlockGrant	grant;
	DlockRefusal refusal;
	DlockOutcome outcome;

	check_timeout(fcinfo, "dlock_acquire");
	outcome = acquire_one(fcinfo, &request, &grant, &refusal);
	if (is_not_now(outcome))
		PG_RETURN_NULL();
	if (outcome != DLOCK_GRANTED)
		dlock_acquire_report(&request, outcome, &refusal);
	PG_RETURN_INT64(grant.token);
}

/*
 * Several resources in one call
 */

/*
 * read_requests returns a request for each resource of an array, in the order
 * of their names, without duplicates.
 */
static DlockRequest *
read_requests(FunctionCallInfo fcinfo, const DlockRequest *options, int *count)
{
	DlockKeys	names = dlock_args_resources(fcinfo, 0);
	DlockRequest *requests = palloc(Max(names.count, 1) * sizeof(DlockRequest));

	*count = names.count;
	for (int i = 0; i < *count; i++)
	{
		requests[i] = *options;
		requests[i].key = names.keys[i];
	}
	return requests;
}

static void
emit_grants(FunctionCallInfo fcinfo, const DlockRequest *requests,
			const DlockGrant *grants, int count)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	for (int i = 0; i < count; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false, false};

		values[0] = PointerGetDatum(cstring_to_text_with_len(requests[i].key.name,
															 requests[i].key.len));
		values[1] = Int64GetDatum(grants[i].token);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * check_resources throws if a call has more names than allowed, before any
 * work is done for them.
 */
static void
check_resources(FunctionCallInfo fcinfo)
{
	const ArrayType *names;
	int			nnames;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("resources must not be null")));
	names = PG_GETARG_ARRAYTYPE_P(0);
	nnames = ArrayGetNItems(ARR_NDIM(names), ARR_DIMS(names));
	if (nnames > RESOURCES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many resources in one call"),
				 errdetail("The array has %d elements; at most %d are allowed.",
						   nnames, RESOURCES_MAX),
				 errhint("Use one resource name for a group of resources, or acquire them in several calls.")));
}

/*
 * acquire_all does the work of both functions for several resources.  If
 * "or_nothing" is set, it returns no rows for the outcomes of is_not_now.
 */
static void
acquire_all(FunctionCallInfo fcinfo, bool or_nothing)
{
	DlockRequest options = {0};
	DlockRequest *requests;
	DlockGrant *grants;
	DlockRefusal refusal;
	DlockOutcome outcome;
	int64		timeout;
	int			count;
	int			which;

	InitMaterializedSRF(fcinfo, 0);
	check_resources(fcinfo);
	timeout = read_request(fcinfo, &options);
	requests = read_requests(fcinfo, &options, &count);
	if (count == 0)
		return;
	grants = palloc(count * sizeof(DlockGrant));
	outcome = dlock_acquire_all_leases(requests, count, timeout, grants, &which,
									   &refusal);
	if (or_nothing && is_not_now(outcome))
		return;
	if (outcome != DLOCK_GRANTED)
		dlock_acquire_report(&requests[which], outcome, &refusal);
	emit_grants(fcinfo, requests, grants, count);
}

/*
 * dlock_acquire_all waits until all of the resources are available, acquires
 * them at the same instant, and returns their tokens.
 */
Datum
dlock_acquire_all(PG_FUNCTION_ARGS)
{
	dlock_access_check_preloaded();
	acquire_all(fcinfo, false);
	return (Datum) 0;
}

/*
 * dlock_try_acquire_all is like dlock_acquire_all, but returns no rows if the
 * resources do not all become available within the timeout.
 */
Datum
dlock_try_acquire_all(PG_FUNCTION_ARGS)
{
	dlock_access_check_preloaded();
	check_timeout(fcinfo, "dlock_acquire_all");
	acquire_all(fcinfo, true);
	return (Datum) 0;
}
