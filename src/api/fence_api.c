/*
 * fence_api.c
 *	  SQL: dlock_fence, and the triggers of protected tables.
 *
 * The row trigger fires after the change.  So it sees the row as other
 * triggers and generated columns have left it, and it fires only for rows that
 * were written.  While consecutive rows belong to the same resource, it looks
 * the resource up only once.
 *
 * Partitions do not inherit statement triggers, so the trigger that rejects
 * TRUNCATE does not fire if a partition is truncated directly.  Therefore an
 * object access hook rejects TRUNCATE of every table that has the row trigger,
 * which partitions do inherit.
 *
 * IDENTIFICATION
 *	  src/api/fence_api.c
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "api/args.h"
#include "api/fence_api.h"
#include "api/row_resource.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/message.h"
#include "session/access.h"
#include "session/fence.h"
#include "session/lost.h"
#include "session/xact.h"

PG_FUNCTION_INFO_V1(dlock_fence);
PG_FUNCTION_INFO_V1(dlock_guard_row);
PG_FUNCTION_INFO_V1(dlock_guard_truncate);

/* the resource that was fenced last for a row, and the fences' generation */
static uint64 last_generation = 0;
static int	last_len;
static char last_name[DLOCK_NAME_MAX];

static object_access_hook_type previous_object_access = NULL;

/*
 * dlock_fence makes the commit of the transaction depend on a lease.
 */
Datum
dlock_fence(PG_FUNCTION_ARGS)
{
	DlockKey	key;
	DlockGate	gate;
	int64		token;

	dlock_access_check_preloaded();
	key = dlock_args_resource(fcinfo, 0);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("token must not be null")));
	token = dlock_args_token(fcinfo, 1);
	gate = dlock_access_gate();
	if (!dlock_fence_token(gate, &key, token))
		dlock_lost_report(gate, &key, DLOCK_NONE, token);
	PG_RETURN_VOID();
}

/*
 * Rows
 */

/*
 * table_field adds the table to the fields of an error, if the client's
 * encoding can represent the names of the table and its schema.
 */
static int
table_field(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	const char *schema = get_namespace_name(RelationGetNamespace(rel));

	if (schema == NULL || dlock_message_text(name) != name ||
		dlock_message_text(schema) != schema)
		return 0;
	return errtable(rel);
}

static void
report_not_holder(Relation rel, const DlockKey *key,
				  DlockFenceOutcome outcome, const DlockHolder *holder)
{
	ereport(ERROR,
			(errcode(ERRCODE_DLOCK_NOT_HOLDER),
			 errmsg("cannot write to table \"%s\" without holding resource \"%s\" exclusively",
					dlock_message_text(RelationGetRelationName(rel)),
					dlock_message_text(pnstrdup(key->name, key->len))),
			 outcome == DLOCK_FENCE_NOT_HELD ? errdetail("No client holds the resource.") :
			 outcome == DLOCK_FENCE_NOT_EXCLUSIVE ? errdetail("The resource is held in %s mode.",
															  dlock_mode_name(holder->ref.mode)) :
			 dlock_message_detail(psprintf("The resource is held by client \"%s\".",
										   holder->name)),
			 errhint("Acquire the resource first, in a separate statement."),
			 table_field(rel)));
}

/*
 * guard fences the resource of a row, so that the commit depends on it.
 * Throws if the caller does not hold the resource exclusively, or if the
 * resource is null.
 */
static void
guard(DlockRowResource *row_resource, TupleTableSlot *slot, Relation rel)
{
	text	   *name = dlock_row_resource_of(row_resource, slot);
	DlockKey	key;
	DlockFenceOutcome outcome;
	DlockHolder holder;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("resource of a row in table \"%s\" is null",
						dlock_message_text(RelationGetRelationName(rel))),
				 errdetail("The resource expression of a protected table must not be null for any row."),
				 table_field(rel)));
	if (last_generation == dlock_fence_generation() &&
		last_len == (int) VARSIZE_ANY_EXHDR(name) &&
		memcmp(last_name, VARDATA_ANY(name), last_len) == 0)
		return;

	key = dlock_args_resource_text(name);
	outcome = dlock_fence_own(dlock_access_gate(), &key, &holder);
	if (outcome != DLOCK_FENCED)
		report_not_holder(rel, &key, outcome, &holder);
	last_generation = dlock_fence_generation();
	last_len = key.len;
	memcpy(last_name, key.name, key.len);
}

static void
protocol_violated(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("%s", what)));
}

/*
 * prepare returns the resource expression of the table, prepared once for each
 * statement.  Throws if the trigger is not as dlock_protect creates it.
 */
static DlockRowResource *
prepare(FunctionCallInfo fcinfo, const TriggerData *data)
{
	if (fcinfo->flinfo->fn_extra == NULL)
	{
		const Trigger *trigger = data->tg_trigger;

		dlock_access_check_preloaded();
		if (trigger->tgnargs != 1)
			protocol_violated("must be called with a resource expression");
		if (data->tg_relation->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot protect foreign table \"%s\"",
							dlock_message_text(RelationGetRelationName(data->tg_relation)))));
		fcinfo->flinfo->fn_extra =
			dlock_row_resource_prepare(data->tg_relation, trigger->tgoid,
									   trigger->tgargs[0],
									   fcinfo->flinfo->fn_mcxt);
	}
	return fcinfo->flinfo->fn_extra;
}

/*
 * dlock_guard_row is the row trigger.  It checks each row that was written; of
 * an updated row, both the old and the new version.
 */
Datum
dlock_guard_row(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	DlockRowResource *row_resource;

	if (!CALLED_AS_TRIGGER(fcinfo))
		protocol_violated("must be called as a trigger");
	if (!TRIGGER_FIRED_AFTER(data->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event))
		protocol_violated("must be called as an AFTER trigger for each row");
	row_resource = prepare(fcinfo, data);
	guard(row_resource, data->tg_trigslot, data->tg_relation);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		guard(row_resource, data->tg_newslot, data->tg_relation);
	return PointerGetDatum(NULL);
}

/*
 * TRUNCATE
 */

static void
refuse_truncate(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_DLOCK_NOT_HOLDER),
			 errmsg("cannot truncate table \"%s\" because it is protected by dlock",
					dlock_message_text(RelationGetRelationName(rel))),
			 errdetail("TRUNCATE does not look at the rows, so their resources cannot be determined."),
			 errhint("Use DELETE, or call dlock_unprotect first."),
			 table_field(rel)));
}

/*
 * dlock_guard_truncate is the trigger that rejects TRUNCATE.
 */
Datum
dlock_guard_truncate(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		protocol_violated("must be called as a trigger");
	refuse_truncate(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

/*
 * dlock_fence_api_guard_function returns the OID of one of the trigger
 * functions.  If it does not exist, returns InvalidOid if "missing_ok" is set,
 * and throws otherwise.
 */
Oid
dlock_fence_api_guard_function(const char *name, bool missing_ok)
{
	List	   *qualified = list_make2(makeString("dlock"),
									   makeString(unconstify(char *, name)));

	if (missing_ok && !OidIsValid(get_namespace_oid("dlock", true)))
		return InvalidOid;
	return LookupFuncName(qualified, 0, NULL, missing_ok);
}

static bool
fires(const Trigger *trigger)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return trigger->tgenabled == TRIGGER_FIRES_ALWAYS ||
			trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA;
	return trigger->tgenabled == TRIGGER_FIRES_ALWAYS ||
		trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN;
}

static bool
is_guarded(Relation rel)
{
	Oid			function = dlock_fence_api_guard_function(DLOCK_GUARD_ROW, true);

	if (rel->trigdesc == NULL || !OidIsValid(function))
		return false;
	for (int i = 0; i < rel->trigdesc->numtriggers; i++)
		if (rel->trigdesc->triggers[i].tgfoid == function &&
			fires(&rel->trigdesc->triggers[i]))
			return true;
	return false;
}

/*
 * guard_object_access is called for every table that TRUNCATE is about to
 * empty.  The table may not be locked yet at that time, and we must not leave
 * it locked.  If the table changes between this check and TRUNCATE's lock, the
 * server calls the hook again.
 */
static void
guard_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
					int sub_id, void *arg)
{
	Relation	rel;

	if (previous_object_access != NULL)
		previous_object_access(access, class_id, object_id, sub_id, arg);
	if (access != OAT_TRUNCATE || class_id != RelationRelationId ||
		pg_class_aclcheck(object_id, GetUserId(), ACL_TRUNCATE) != ACLCHECK_OK)
		return;
	rel = try_relation_open(object_id, AccessShareLock);
	if (rel == NULL)
		return;
	if (is_guarded(rel))
		refuse_truncate(rel);
	relation_close(rel, AccessShareLock);
}

/*
 * dlock_fence_api_install installs the hook.  Called at server start; every
 * process inherits the hook.
 */
void
dlock_fence_api_install(void)
{
	previous_object_access = object_access_hook;
	object_access_hook = guard_object_access;
}
