/*
 * admin_api.c
 *	  SQL: dlock_force_release, and the trigger that protects dlock.locks.
 *
 * IDENTIFICATION
 *	  src/api/admin_api.c
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/rel.h"

#include "api/args.h"
#include "session/access.h"
#include "session/release.h"

PG_FUNCTION_INFO_V1(dlock_force_release);
PG_FUNCTION_INFO_V1(dlock_refuse_write);

/*
 * dlock_force_release ends the leases of any client on a resource.  If a
 * commit in progress depends on one of them, it waits for the end of that
 * commit first.
 */
Datum
dlock_force_release(PG_FUNCTION_ARGS)
{
	DlockKey	key;
	int64		token;

	dlock_access_check_preloaded();
	key = dlock_args_resource(fcinfo, 0);
	token = dlock_args_token(fcinfo, 1);
	PG_RETURN_INT64(dlock_release_by_force(dlock_access_gate(), &key, token));
}

/*
 * dlock_refuse_write is the trigger that rejects every change to dlock.locks.
 * The dlock writer process, which bypasses triggers, is not affected.
 */
Datum
dlock_refuse_write(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("must be called as a trigger")));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot change table \"%s\" directly",
					RelationGetRelationName(((TriggerData *) fcinfo->context)->tg_relation)),
			 errdetail("The table mirrors the leases in shared memory, and only the dlock writer process changes it."),
			 errhint("Use dlock_release or dlock_force_release to end a lease.")));
	PG_RETURN_NULL();
}
