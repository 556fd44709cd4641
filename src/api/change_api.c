/*
 * change_api.c
 *	  SQL: dlock_release, dlock_release_all, dlock_renew, dlock_renew_all,
 *	  dlock_set_options.
 *
 * IDENTIFICATION
 *	  src/api/change_api.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "base/clock.h"
#include "base/interval.h"
#include "engine/holding.h"
#include "session/access.h"
#include "session/change.h"
#include "session/lost.h"
#include "session/release.h"
#include "session/renew.h"

PG_FUNCTION_INFO_V1(dlock_release);
PG_FUNCTION_INFO_V1(dlock_release_all);
PG_FUNCTION_INFO_V1(dlock_renew);
PG_FUNCTION_INFO_V1(dlock_renew_all);
PG_FUNCTION_INFO_V1(dlock_set_options);

/*
 * dlock_release releases one hold when the transaction commits.
 */
Datum
dlock_release(PG_FUNCTION_ARGS)
{
	DlockKey	key;
	int64		token;
	char	   *name;
	DlockGate	gate;
	uint32		client;

	dlock_access_check_preloaded();
	key = dlock_args_resource(fcinfo, 0);
	token = dlock_args_token(fcinfo, 1);
	name = dlock_args_client(fcinfo, 2);
	gate = dlock_access_gate();
	client = dlock_access_client(gate, name, false);
	PG_RETURN_BOOL(client != DLOCK_NONE &&
				   dlock_release_lease(gate, &key, client, token));
}

/*
 * read_resources reads an array of resource names.  Returns NULL, which means
 * all resources, if none is given.
 */
static const DlockKeys *
read_resources(FunctionCallInfo fcinfo, int n, DlockKeys *keys)
{
	if (PG_ARGISNULL(n))
		return NULL;
	*keys = dlock_args_resources(fcinfo, n);
	return keys;
}

/*
 * dlock_release_all releases all leases of a client, or those on the given
 * resources, when the transaction commits.
 */
Datum
dlock_release_all(PG_FUNCTION_ARGS)
{
	char	   *name;
	DlockKeys	keys;
	const DlockKeys *wanted;
	DlockGate	gate;
	uint32		client;

	dlock_access_check_preloaded();
	name = dlock_args_client(fcinfo, 0);
	wanted = read_resources(fcinfo, 1, &keys);
	gate = dlock_access_gate();
	client = dlock_access_client(gate, name, false);
	PG_RETURN_INT64(client == DLOCK_NONE ? 0 :
					dlock_release_client(gate, client, wanted));
}

/*
 * renewal_desc returns the row type of dlock_renew.  It is made only once,
 * because renewals are frequent, and a lookup of the type in the catalogs
 * costs more than a renewal.
 */
static TupleDesc
renewal_desc(void)
{
	static TupleDesc desc = NULL;

	if (desc == NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);
		TupleDesc	made = CreateTemplateTupleDesc(3);

		TupleDescInitEntry(made, 1, "expires_at", TIMESTAMPTZOID, -1, 0);
		TupleDescInitEntry(made, 2, "remaining", INTERVALOID, -1, 0);
		TupleDescInitEntry(made, 3, "waiters", INT4OID, -1, 0);
		desc = BlessTupleDesc(made);
		MemoryContextSwitchTo(old_context);
	}
	return desc;
}

/*
 * dlock_renew restarts the clock of a lease.
 */
Datum
dlock_renew(PG_FUNCTION_ARGS)
{
	DlockKey	key;
	DlockRenewal renewal = {0};
	int64		token;
	char	   *name;
	DlockGate	gate;
	uint32		client;
	DlockTime	now;
	Interval	remaining;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	dlock_access_check_preloaded();
	key = dlock_args_resource(fcinfo, 0);
	renewal.duration = dlock_args_ttl(fcinfo, 1);
	token = dlock_args_token(fcinfo, 2);
	name = dlock_args_client(fcinfo, 3);
	gate = dlock_access_gate();
	client = dlock_access_client(gate, name, false);
	if (client == DLOCK_NONE ||
		!dlock_renew_lease(gate, &key, client, token, &renewal))
		dlock_lost_report(gate, &key, client, token);

	now = dlock_clock_now();
	nulls[0] = nulls[1] = renewal.deadline == DLOCK_NEVER;
	values[0] = TimestampTzGetDatum(dlock_clock_to_wall(renewal.deadline, now,
														dlock_clock_wall()));
	remaining = dlock_interval_from_us(Max(renewal.deadline - now, 0));
	values[1] = IntervalPGetDatum(&remaining);
	values[2] = Int32GetDatum(renewal.waiters);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(renewal_desc(), values,
													  nulls)));
}

/*
 * dlock_renew_all restarts the clocks of all leases of a client, or of those
 * on the given resources.
 */
Datum
dlock_renew_all(PG_FUNCTION_ARGS)
{
	int64		duration;
	char	   *name;
	DlockKeys	keys;
	const DlockKeys *wanted;
	DlockGate	gate;
	uint32		client;

	dlock_access_check_preloaded();
	duration = dlock_args_ttl(fcinfo, 0);
	name = dlock_args_client(fcinfo, 1);
	wanted = read_resources(fcinfo, 2, &keys);
	gate = dlock_access_gate();
	client = dlock_access_client(gate, name, false);
	PG_RETURN_INT64(client == DLOCK_NONE ? 0 :
					dlock_renew_client(gate, client, wanted, duration));
}

static void
read_options(FunctionCallInfo fcinfo, DlockOptions *options)
{
	options->timeout = dlock_args_timeout(fcinfo, 1);
	options->duration = dlock_args_ttl(fcinfo, 2);
	options->mode_given = !PG_ARGISNULL(3);
	if (options->mode_given)
		options->mode = dlock_args_mode(fcinfo, 3);
	options->priority_given = !PG_ARGISNULL(4);
	if (options->priority_given)
		options->priority = dlock_args_priority(fcinfo, 4);
}

/*
 * dlock_set_options changes a held lease, and the priority of its client's
 * waiting requests.  It makes all of the changes or none: those that can fail
 * come first.
 */
Datum
dlock_set_options(PG_FUNCTION_ARGS)
{
	DlockRequest request = {0};
	DlockOptions options = {0};
	int64		token;
	char	   *name;
	DlockLeaseRef ref;
	bool		known;
	bool		held;
	bool		waiting = false;

	dlock_access_check_preloaded();
	request.key = dlock_args_resource(fcinfo, 0);
	read_options(fcinfo, &options);
	token = dlock_args_token(fcinfo, 5);
	name = dlock_args_client(fcinfo, 6);
	request.gate = dlock_access_gate();
	request.client = dlock_access_client(request.gate, name, false);

	known = request.client != DLOCK_NONE;
	held = known &&
		dlock_lookup_find(request.gate, &request.key, request.client, &ref) &&
		(token == 0 || token == ref.token);
	if (held)
		dlock_change_lease(&request, &ref, &options);
	else if (options.mode_given || options.duration != 0)
		dlock_lost_report(request.gate, &request.key, request.client, token);
	if (known && options.priority_given && (held || token == 0))
		waiting = dlock_holding_set_priority(request.gate, &request.key,
											 request.client,
											 options.priority) > 0;
	/* a client that only waits has no lease yet, but it has a priority */
	if (!held && !waiting)
		dlock_lost_report(request.gate, &request.key, request.client, token);
	if (held)
		dlock_change_at_commit(request.gate, &ref, &options);
	PG_RETURN_BOOL(true);
}
