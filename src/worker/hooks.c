/*
 * hooks.c
 *	  Commands of the server that concern dlock.
 *
 *	  DROP DATABASE, ALTER DATABASE RENAME or SET TABLESPACE, CREATE DATABASE
 *	  with a template: no session may be connected to the database, so its
 *	  writer is stopped until the transaction ends.
 *
 *	  CREATE EXTENSION, ALTER EXTENSION, DROP EXTENSION (also by CASCADE and
 *	  the like): after the commit, a writer checks whether the database has the
 *	  extension.  A version that is too new for the library is refused.
 *
 *	  DISCARD ALL: the session begins anew, and so does its client.
 *
 * IDENTIFICATION
 *	  src/worker/hooks.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/debug_point.h"
#include "durable/extension.h"
#include "session/access.h"
#include "session/session_holds.h"
#include "shared/database.h"
#include "worker/hooks.h"

static ProcessUtility_hook_type previous_utility = NULL;
static object_access_hook_type previous_object_access = NULL;

/* the current transaction has created, altered or dropped the extension */
static bool extension_changed = false;

/* it has run CREATE EXTENSION, perhaps in vain */
static bool extension_named = false;

/* OID of dlock.locks that it has dropped */
static Oid	relation_dropped = InvalidOid;

/* databases whose writers the current transaction has stopped */
static List *stopped = NIL;

static bool
may_create_databases(void)
{
	HeapTuple	tuple;
	bool		result = false;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return result;
}

/*
 * may_copy returns whether the user may copy a database, by the rule of
 * createdb().
 */
static bool
may_copy(Oid dboid)
{
	HeapTuple	tuple;
	bool		is_template = false;

	if (!may_create_databases())
		return false;
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	if (HeapTupleIsValid(tuple))
	{
		is_template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return is_template || object_ownercheck(DatabaseRelationId, dboid, GetUserId());
}

/*
 * database_of returns the database to which no session may be connected while
 * a command runs.
 *
 * Returns InvalidOid if the command concerns no such database, or if the user
 * has no right to the command, which will then raise the error.
 */
static Oid
database_of(Node *statement)
{
	const char *name = NULL;
	bool		is_template = false;
	Oid			dboid;

	if (IsA(statement, DropdbStmt))
		name = castNode(DropdbStmt, statement)->dbname;
	else if (IsA(statement, RenameStmt) &&
			 castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE)
		name = castNode(RenameStmt, statement)->subname;
	else if (IsA(statement, AlterDatabaseStmt))
	{
		ListCell   *cell;

		foreach(cell, castNode(AlterDatabaseStmt, statement)->options)
			if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
			name = castNode(AlterDatabaseStmt, statement)->dbname;
	}
	else if (IsA(statement, CreatedbStmt))
	{
		ListCell   *cell;

		is_template = true;
		name = "template1";
		foreach(cell, castNode(CreatedbStmt, statement)->options)
			if (strcmp(lfirst_node(DefElem, cell)->defname, "template") == 0 &&
				lfirst_node(DefElem, cell)->arg != NULL)
			name = defGetString(lfirst_node(DefElem, cell));
	}
	if (name == NULL)
		return InvalidOid;
	dboid = get_database_oid(name, true);
	if (!OidIsValid(dboid))
		return InvalidOid;
	if (is_template ? !may_copy(dboid) :
		!object_ownercheck(DatabaseRelationId, dboid, GetUserId()))
		return InvalidOid;
	return dboid;
}

/*
 * stop_writer stops a database's writer until the transaction ends, since only
 * then it is certain what becomes of the database.
 *
 * The writer never waits for us meanwhile: it works on nothing that this
 * command can have locked.
 */
static void
stop_writer(Oid dboid)
{
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);
	DlockDatabase *db;

	/* make room first: a stop that is not noted would never be ended */
	stopped = lcons(NULL, stopped);
	MemoryContextSwitchTo(old_context);
	db = dlock_database_stop(dboid);
	linitial(stopped) = db;
	while (db != NULL && !dlock_database_stopped(db))
	{
		(void) dlock_database_wait(dlock_clock_after(dlock_clock_now(),
													 USECS_PER_SEC));
		CHECK_FOR_INTERRUPTS();
	}
	dlock_database_wait_done();
}

static void
call_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest,
			 QueryCompletion *completion)
{
	if (previous_utility != NULL)
		previous_utility(pstmt, query_string, read_only_tree, context, params,
						 environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context,
								params, environment, dest, completion);
}

/*
 * utility does what is to be done before and after a command.
 *
 * A command can free its own statement: a procedure that runs ROLLBACK and
 * DEALLOCATE, for example.  So the statement is read before the command runs,
 * and not afterwards.
 */
static void
utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
		ProcessUtilityContext context, ParamListInfo params,
		QueryEnvironment *environment, DestReceiver *dest,
		QueryCompletion *completion)
{
	Node	   *statement = pstmt->utilityStmt;
	Oid			dboid = InvalidOid;
	bool		discards_all = IsA(statement, DiscardStmt) &&
		castNode(DiscardStmt, statement)->target == DISCARD_ALL;
	bool		names_extension = IsA(statement, CreateExtensionStmt) &&
		strcmp(castNode(CreateExtensionStmt, statement)->extname, "dlock") == 0;

	/* these commands run in a transaction, so the catalogs can be read */
	if (!RecoveryInProgress() && IsTransactionState() &&
		(IsA(statement, DropdbStmt) || IsA(statement, RenameStmt) ||
		 IsA(statement, AlterDatabaseStmt) || IsA(statement, CreatedbStmt)))
		dboid = database_of(statement);
	if (OidIsValid(dboid))
		stop_writer(dboid);
	call_utility(pstmt, query_string, read_only_tree, context, params,
				 environment, dest, completion);

	/* IF NOT EXISTS may have left it as it was: a writer looks in any case */
	if (names_extension)
		extension_named = true;
	if (discards_all)
	{
		dlock_session_holds_end();
		dlock_access_forget();
	}
}

/*
 * is_extension_relation returns whether a table is dlock.locks.  Every table
 * that is dropped comes here, so the name is compared first.
 */
static bool
is_extension_relation(Oid relation)
{
	char	   *name = get_rel_name(relation);

	return name != NULL && strcmp(name, "locks") == 0 &&
		relation == dlock_extension_relation();
}

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id,
			  int sub_id, void *arg)
{
	if (previous_object_access != NULL)
		previous_object_access(access, class_id, object_id, sub_id, arg);
	if (class_id == ExtensionRelationId && dlock_extension_is(object_id))
	{
		/* its row is written, and the script of that version not yet run */
		if (access == OAT_POST_CREATE || access == OAT_POST_ALTER)
			dlock_extension_check_new();
		extension_changed |= access == OAT_POST_CREATE ||
			access == OAT_POST_ALTER || access == OAT_DROP;
	}
	/* memory can only be about the one that was there before */
	if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0 &&
		!OidIsValid(relation_dropped) && is_extension_relation(object_id))
		relation_dropped = object_id;
}

/*
 * at_end is called when the outcome of the transaction is visible to the
 * workers.
 */
static void
at_end(bool committed)
{
	ListCell   *cell;

	foreach(cell, stopped)
		if (lfirst(cell) != NULL)
		dlock_database_resume((DlockDatabase *) lfirst(cell));
	if (committed && (extension_changed || extension_named))
	{
		/*
		 * No session may use the leases of an extension that was dropped.  A
		 * writer that is about to open the gate sees that it is to look again
		 * (dlock_database_open), or opens it before we shut it.
		 */
		dlock_database_recheck(MyDatabaseId, extension_changed);
		if (OidIsValid(relation_dropped))
			dlock_database_shut_if(MyDatabaseId, relation_dropped);
		DLOCK_DEBUG_POINT(DLOCK_STOP_EXTENSION_CHANGED);
	}
	stopped = NIL;
	extension_changed = false;
	extension_named = false;
	relation_dropped = InvalidOid;
}

static void
hooks_xact_callback(XactEvent event, void *arg)
{
	/* ROLLBACK TO may have brought it back */
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) &&
		OidIsValid(relation_dropped) &&
		dlock_extension_relation() == relation_dropped)
		relation_dropped = InvalidOid;
	/* COMMIT PREPARED could not shut the gate: it may be another session's */
	if (event == XACT_EVENT_PRE_PREPARE && OidIsValid(relation_dropped))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has dropped the extension \"dlock\"")));
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		at_end(event == XACT_EVENT_COMMIT);
}

/*
 * dlock_hooks_install is called at server start.  All processes inherit the
 * hooks.
 */
void
dlock_hooks_install(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
	previous_object_access = object_access_hook;
	object_access_hook = object_access;
	RegisterXactCallback(hooks_xact_callback, NULL);
}
