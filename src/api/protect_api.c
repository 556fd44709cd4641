/*
 * protect_api.c
 *	  SQL: dlock_protect, dlock_unprotect.
 *
 * A protected table has two ordinary triggers.  \d shows them, pg_dump dumps
 * them, and partitions inherit the one for rows.
 *
 * IDENTIFICATION
 *	  src/api/protect_api.c
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "api/fence_api.h"
#include "api/row_resource.h"
#include "base/compat.h"
#include "base/message.h"
#include "durable/extension.h"
#include "session/access.h"

PG_FUNCTION_INFO_V1(dlock_protect);
PG_FUNCTION_INFO_V1(dlock_unprotect);

#define ROW_TRIGGER "dlock_protect"
#define TRUNCATE_TRIGGER "dlock_protect_truncate"

/*
 * open_target opens and locks the table that the first argument names.  Throws
 * if it does not exist or the caller does not own it.
 */
static Relation
open_target(FunctionCallInfo fcinfo, LOCKMODE lock)
{
	Oid			relid;
	Relation	rel;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table must not be null")));
	relid = PG_GETARG_OID(0);
	/* check first, so that only the owner can queue for a lock on the table */
	if (get_rel_name(relid) != NULL && !object_ownercheck(RelationRelationId, relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
	rel = try_relation_open(relid, lock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table with OID %u does not exist", relid)));
	if (!object_ownercheck(RelationRelationId, relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(rel->rd_rel->relkind),
					   RelationGetRelationName(rel));
	return rel;
}

static void
cannot_protect(Relation rel, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot protect \"%s\"",
					dlock_message_text(RelationGetRelationName(rel))),
			 errdetail_internal("%s", detail)));
}

/*
 * check_target throws if a trigger on the table would not fire for all of its
 * rows.
 */
static void
check_target(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	ListCell   *cell;

	if (rel->rd_rel->relkind == RELKIND_RELATION)
	{
		if (IsSystemRelation(rel))
			cannot_protect(rel, "It is a system table.");
		if (find_inheritance_children(relid, NoLock) != NIL)
			cannot_protect(rel, "Other tables inherit from it, and its triggers do not fire for their rows.");
		return;
	}
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		cannot_protect(rel, "It is not an ordinary or partitioned table.");
	foreach(cell, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			cannot_protect(rel, "One of its partitions is a foreign table.");
	}
}

/*
 * our_triggers returns the OIDs of the triggers that protect a table.
 */
static List *
our_triggers(Relation rel)
{
	Oid			row = dlock_fence_api_guard_function(DLOCK_GUARD_ROW, false);
	Oid			truncate = dlock_fence_api_guard_function(DLOCK_GUARD_TRUNCATE, false);
	List	   *result = NIL;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tgfoid == row || trigger->tgfoid == truncate)
			result = lappend_oid(result, trigger->tgoid);
	}
	return result;
}

static void
create_trigger(Oid relid, const char *name, const char *function, bool row,
			   int16 timing, int16 events, char *expression)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);

	stmt->trigname = pstrdup(name);
	stmt->funcname = list_make2(makeString("dlock"),
								makeString(pstrdup(function)));
	if (expression != NULL)
		stmt->args = list_make1(makeString(expression));
	stmt->row = row;
	stmt->timing = timing;
	stmt->events = events;
	(void) CreateTrigger(stmt, "", relid, InvalidOid, InvalidOid, InvalidOid,
						 dlock_fence_api_guard_function(function, false), InvalidOid,
						 NULL, false, false);
	CommandCounterIncrement();
}

/*
 * dlock_protect requires every write to a table to hold the resource that an
 * expression computes from the row.
 */
Datum
dlock_protect(PG_FUNCTION_ARGS)
{
	Relation	rel;
	Oid			relid;
	char	   *expression;

	dlock_access_check_preloaded();
	(void) dlock_extension_check(ERROR);
	PreventCommandIfReadOnly("dlock_protect()");
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("resource expression must not be null")));
	rel = open_target(fcinfo, ShareRowExclusiveLock);
	relid = RelationGetRelid(rel);
	check_target(rel);
	if (our_triggers(rel) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" is already protected",
						dlock_message_text(RelationGetRelationName(rel))),
				 errhint("Use dlock_unprotect first.")));
	expression = dlock_row_resource_check(rel,
										  text_to_cstring(PG_GETARG_TEXT_PP(1)));
	relation_close(rel, NoLock);
	create_trigger(relid, ROW_TRIGGER, DLOCK_GUARD_ROW, true,
				   TRIGGER_TYPE_AFTER,
				   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE,
				   expression);
	create_trigger(relid, TRUNCATE_TRIGGER, DLOCK_GUARD_TRUNCATE, false,
				   TRIGGER_TYPE_BEFORE, TRIGGER_TYPE_TRUNCATE, NULL);
	PG_RETURN_VOID();
}

/*
 * dlock_unprotect undoes dlock_protect.  Returns whether the table was
 * protected.
 */
Datum
dlock_unprotect(PG_FUNCTION_ARGS)
{
	Relation	rel;
	List	   *triggers;
	ListCell   *cell;

	dlock_access_check_preloaded();
	PreventCommandIfReadOnly("dlock_unprotect()");
	/* the lock that DROP TRIGGER takes */
	rel = open_target(fcinfo, AccessExclusiveLock);
	triggers = our_triggers(rel);
	relation_close(rel, NoLock);
	foreach(cell, triggers)
	{
		ObjectAddress address;

		ObjectAddressSet(address, TriggerRelationId, lfirst_oid(cell));
		performDeletion(&address, DROP_RESTRICT, 0);
	}
	PG_RETURN_BOOL(triggers != NIL);
}
