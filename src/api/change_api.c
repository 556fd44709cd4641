/*
 * change_api.c
 *	  SQL: dlock_release, dlock_release_all, dlock_renew, dlock_renew_all,
 *	  dlock_set_options.
 *
 * IDENTIFICATION
 *	  src/api/change_api.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "base/clock.h"
#include "base/config.h"
#include "lease/access.h"
#include "lease/acquire.h"
#include "lease/change.h"
#include "lease/scope.h"

PG_FUNCTION_INFO_V1(dlock_release);
PG_FUNCTION_INFO_V1(dlock_release_all);
PG_FUNCTION_INFO_V1(dlock_renew);
PG_FUNCTION_INFO_V1(dlock_renew_all);
PG_FUNCTION_INFO_V1(dlock_set_options);

/*
 * dlock_release gives one hold back at commit.
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
	key = dlock_arg_resource(fcinfo, 0);
	token = dlock_arg_token(fcinfo, 1);
	name = dlock_arg_client(fcinfo, 2);
	gate = dlock_access_gate();
	client = dlock_access_client(gate, name, false);
	PG_RETURN_BOOL(client != DLOCK_NONE &&
				   dlock_release_lease(gate, &key, client, token));
}

/*
 * dlock_release_all gives all that a client holds back at commit.
 */
Datum
dlock_release_all(PG_FUNCTION_ARGS)
{
	char	   *name;
	DlockGate	gate;
	uint32		client;

	dlock_access_check_preloaded();
	name = dlock_arg_client(fcinfo, 0);
	gate = dlock_access_gate();
	client = dlock_access_client(gate, name, false);
	PG_RETURN_INT64(client == DLOCK_NONE ? 0 :
					dlock_release_client(gate, client));
}

static void
report_lost(const DlockKey *key)
{
	DlockRequest request = {0};

	request.key = *key;
	dlock_acquire_report(&request, DLOCK_LOST, NULL);
}

/*
 * renewal_desc gives the row type of dlock_renew, made once: heartbeats are
 * frequent, and looking it up in the catalogs costs more than a renewal.
 */
static TupleDesc
renewal_desc(void)
{
	static TupleDesc desc = NULL;

	if (desc == NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);
		TupleDesc	made = CreateTemplateTupleDesc(2);

		TupleDescInitEntry(made, 1, "expires_at", TIMESTAMPTZOID, -1, 0);
		TupleDescInitEntry(made, 2, "waiters", INT4OID, -1, 0);
		desc = BlessTupleDesc(made);
		MemoryContextSwitchTo(old_context);
	}
	return desc;
}

/*
 * dlock_renew restarts a lease's clock.
 */
Datum
dlock_renew(PG_FUNCTION_ARGS)
{
	DlockKey	key;
	int64		duration;
	int64		token;
	char	   *name;
	DlockGate	gate;
	uint32		client;
	DlockTime	deadline;
	int			waiters;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	dlock_access_check_preloaded();
	key = dlock_arg_resource(fcinfo, 0);
	duration = dlock_arg_lease(fcinfo, 1);
	token = dlock_arg_token(fcinfo, 2);
	name = dlock_arg_client(fcinfo, 3);
	gate = dlock_access_gate();
	client = dlock_access_client(gate, name, false);
	if (client == DLOCK_NONE ||
		!dlock_renew_lease(gate, &key, client, token, duration, &deadline,
						   &waiters))
		report_lost(&key);

	nulls[0] = deadline == DLOCK_NEVER;
	values[0] = TimestampTzGetDatum(dlock_clock_to_wall(deadline,
														dlock_clock_now(),
														dlock_clock_wall()));
	values[1] = Int32GetDatum(waiters);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(renewal_desc(), values,
													  nulls)));
}

/*
 * dlock_renew_all restarts the clock of all that a client holds.
 */
Datum
dlock_renew_all(PG_FUNCTION_ARGS)
{
	int64		duration;
	char	   *name;
	DlockGate	gate;
	uint32		client;

	dlock_access_check_preloaded();
	duration = dlock_arg_lease(fcinfo, 0);
	name = dlock_arg_client(fcinfo, 1);
	gate = dlock_access_gate();
	client = dlock_access_client(gate, name, false);
	PG_RETURN_INT64(client == DLOCK_NONE ? 0 :
					dlock_renew_client(gate, client, duration));
}

/*
 * convert changes the mode of a lease: stronger at once, waiting for the
 * other holders; weaker at commit, like a release.
 */
static void
convert(DlockGate gate, const DlockKey *key, uint32 client,
		const DlockLeaseRef *ref, DlockMode mode, int32 priority,
		int64 timeout)
{
	DlockRequest request = {0};
	DlockGrant	grant;
	DlockRefusal refusal;
	DlockOutcome outcome;

	if (mode == DLOCK_SHARED)
	{
		if (ref->mode == DLOCK_EXCLUSIVE)
			dlock_scope_downgrade(gate, ref);
		return;
	}
	request.arrived = dlock_clock_now();
	request.gate = gate;
	request.key = *key;
	request.client = client;
	request.mode = mode;
	request.priority = priority;
	request.token = ref->token;
	request.hold.durable = dlock_durable;
	outcome = dlock_acquire_lease(&request, timeout, &grant, &refusal);
	if (outcome != DLOCK_GRANTED)
		dlock_acquire_report(&request, outcome, &refusal);
}

/*
 * dlock_set_options changes a held lease, or how a client waits.
 */
Datum
dlock_set_options(PG_FUNCTION_ARGS)
{
	DlockKey	key;
	DlockMode	mode = DLOCK_SHARED;
	int64		duration;
	int64		token;
	char	   *name;
	int64		timeout;
	int32		priority = 0;
	DlockGate	gate;
	uint32		client;
	DlockLeaseRef ref;
	DlockTime	deadline;
	int			waiters;
	bool		held;
	bool		waiting = false;

	dlock_access_check_preloaded();
	key = dlock_arg_resource(fcinfo, 0);
	if (!PG_ARGISNULL(1))
		mode = dlock_arg_mode(fcinfo, 1);
	duration = dlock_arg_lease(fcinfo, 2);
	if (!PG_ARGISNULL(3))
		priority = dlock_arg_priority(fcinfo, 3);
	token = dlock_arg_token(fcinfo, 4);
	name = dlock_arg_client(fcinfo, 5);
	timeout = dlock_arg_timeout(fcinfo, 6);
	gate = dlock_access_gate();
	client = dlock_access_client(gate, name, false);

	held = client != DLOCK_NONE &&
		dlock_holding_find(gate, &key, client, &ref) &&
		(token == 0 || token == ref.token);
	if (client != DLOCK_NONE && !PG_ARGISNULL(3) && (held || token == 0))
		waiting = dlock_holding_set_priority(gate, &key, client, priority) > 0;
	/* a waiting client has no lease yet, but a priority it has */
	if (!held && !(waiting && PG_ARGISNULL(1) && duration == 0))
		report_lost(&key);
	if (duration != 0 &&
		!dlock_renew_lease(gate, &key, client, ref.token, duration, &deadline,
						   &waiters))
		report_lost(&key);
	if (!PG_ARGISNULL(1))
		convert(gate, &key, client, &ref, mode, priority, timeout);
	PG_RETURN_BOOL(true);
}
