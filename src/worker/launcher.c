/*
 * launcher.c
 *	  The process that starts a writer in every database that uses dlock.
 *
 * Which databases do is not to be seen from outside: at server start every
 * database gets a writer, and the writer of one without the extension goes at
 * once.  Later on CREATE EXTENSION, or the first call, makes an entry in the
 * registry and wakes the launcher.
 *
 *	  registry entry: NONE -> STARTING (here) -> RUNNING -> NONE (the writer)
 *					  STARTING -> NONE (here: it ended before it attached)
 *
 * IDENTIFICATION
 *	  src/worker/launcher.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "base/clock.h"
#include "base/config.h"
#include "engine/maintenance.h"
#include "shared/database.h"
#include "worker/launcher.h"
#include "worker/writer.h"

/* how long to leave a start alone that failed */
#define RETRY_TIME (1000 * 1000)

typedef struct Start
{
	BackgroundWorkerHandle *handle; /* NULL: no start under way */
	Oid			dboid;
	Oid			complained;		/* the log says that it cannot be started */
} Start;

static Start *starts;			/* by registry entry */
static List *unprobed = NIL;	/* databases not looked into since we started */

static void
at_exit(int code, Datum arg)
{
	dlock_database_detach_launcher();
}

/*
 * list_databases notes all databases that can have a writer.
 */
static void
list_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	MemoryContext old_context;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (!form->datallowconn)
			continue;
		old_context = MemoryContextSwitchTo(TopMemoryContext);
		unprobed = lappend_oid(unprobed, form->oid);
		MemoryContextSwitchTo(old_context);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

/*
 * want_unprobed puts databases into the registry as long as it has room; the
 * others follow when entries become free.
 */
static void
want_unprobed(void)
{
	while (unprobed != NIL)
	{
		uint32		epoch;

		if (dlock_database_want(linitial_oid(unprobed), &epoch) == NULL)
			return;
		unprobed = list_delete_first(unprobed);
	}
}

/*
 * database_name gives a database's name; false where it is no more.
 */
static bool
database_name(Oid dboid, char *name, Size size)
{
	char	   *found;

	StartTransactionCommand();
	found = get_database_name(dboid);
	if (found != NULL)
		strlcpy(name, found, size);
	CommitTransactionCommand();
	return found != NULL;
}

static bool
start_writer(Start *start, Oid dboid, const char *name)
{
	BackgroundWorker worker = {0};
	MemoryContext old_context;
	bool		started;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(dboid);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "dlock", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, DLOCK_WRITER_MAIN, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "dlock writer %s", name);
	strlcpy(worker.bgw_type, "dlock writer", BGW_MAXLEN);
	strlcpy(worker.bgw_extra, name, BGW_EXTRALEN);

	old_context = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, &start->handle);
	MemoryContextSwitchTo(old_context);
	start->dboid = dboid;
	if (!started)
		start->handle = NULL;
	return started;
}

/*
 * watch_start sees a start through: the process has attached, or it ended.
 * Tells whether it has just ended.
 */
static bool
watch_start(int slot)
{
	Start	   *start = &starts[slot];
	pid_t		pid;

	if (start->handle == NULL ||
		GetBackgroundWorkerPid(start->handle, &pid) != BGWH_STOPPED)
		return false;
	dlock_database_start_failed(dlock_database_at(slot), start->dboid,
								dlock_clock_after(dlock_clock_now(), RETRY_TIME));
	pfree(start->handle);
	start->handle = NULL;
	return true;
}

/*
 * serve_entry starts a writer if one is due; lowers *next to the time when it
 * will be.  Tells whether it has done anything, which is a reason to look at
 * all entries once more: it may have given one up, and looking up a name may
 * have waited for a lock, which resets our latch, whoever had set it.
 */
static bool
serve_entry(int slot, DlockTime *next)
{
	DlockDatabase *db = dlock_database_at(slot);
	DlockTime	now = dlock_clock_now();
	DlockTime	retry_at = dlock_clock_after(now, RETRY_TIME);
	char		name[NAMEDATALEN];
	Oid			dboid;
	bool		ended = watch_start(slot);

	if (starts[slot].handle != NULL)
		return false;
	dboid = dlock_database_start_due(db, now, next);
	if (!OidIsValid(dboid))
		return ended;

	if (!database_name(dboid, name, sizeof(name)))
	{
		/* dropped: nobody can be connected to it */
		dlock_maintenance_purge(db);
		dlock_database_forget(db);
		dlock_database_start_failed(db, dboid, retry_at);
	}
	else if (!start_writer(&starts[slot], dboid, name))
	{
		dlock_database_start_failed(db, dboid, retry_at);
		*next = Min(*next, retry_at);
		if (starts[slot].complained != dboid)
			ereport(LOG,
					(errmsg("dlock could not start a writer for database \"%s\"; will try again", name),
					 errhint("You might need to increase \"max_worker_processes\".")));
		starts[slot].complained = dboid;
	}
	else
		starts[slot].complained = InvalidOid;
	return true;
}

/*
 * dlock_launcher_main is the process's entry point.
 */
void
dlock_launcher_main(Datum main_arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	before_shmem_exit(at_exit, (Datum) 0);
	dlock_database_attach_launcher(MyProc->pgprocno);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	starts = MemoryContextAllocZero(TopMemoryContext,
									dlock_max_databases * sizeof(Start));
	pgstat_report_activity(STATE_IDLE, NULL);
	list_databases();

	while (!ShutdownRequestPending)
	{
		DlockTime	next = DLOCK_NEVER;
		bool		again = false;
		long		timeout;
		int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		want_unprobed();
		for (int i = 0; i < dlock_max_databases; i++)
			again |= serve_entry(i, &next);
		/* sleep only after a look at everything that has not waited itself */
		if (again)
			continue;

		timeout = dlock_clock_ms_until(next, dlock_clock_now());
		if (timeout >= 0)
			events |= WL_TIMEOUT;
		(void) WaitLatch(MyLatch, events, timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	/* not 0: if the server is not going down, start us again */
	proc_exit(1);
}

/*
 * dlock_launcher_register has the server start the launcher.
 */
void
dlock_launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "dlock", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "dlock_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "dlock launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "dlock launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
