/*
 * launcher.c
 *	  The process that starts a writer in every database that uses dlock.
 *
 * Whether a database has the extension can only be seen from inside, and a
 * server may have hundreds of databases.  So a writer is started when a session
 * uses dlock in a database for the first time since the server was started:
 * CREATE EXTENSION or the first call makes an entry in the registry and wakes
 * the launcher.  A writer that does not find the extension exits at once.
 *
 *	  registry entry: NONE -> STARTING (launcher) -> RUNNING -> NONE (writer)
 *					  STARTING -> NONE (launcher: it ended before it attached)
 *
 * IDENTIFICATION
 *	  src/worker/launcher.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/proc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/config.h"
#include "engine/maintenance.h"
#include "shared/database.h"
#include "worker/launcher.h"
#include "worker/worker.h"
#include "worker/writer.h"

/* microseconds until a start that failed is tried again */
#define RETRY_TIME (1000 * 1000)

/* datconnlimit of a database that is being dropped; old minor releases lack it */
#define INVALID_DATABASE_LIMIT (-2)

typedef struct Start
{
	BackgroundWorkerHandle *handle; /* NULL: no start under way */
	Oid			dboid;
	Oid			complained;		/* reported that it has no writer */
} Start;

static Start *starts;			/* by registry entry */

static void
detach_launcher(int code, Datum arg)
{
	dlock_database_detach_launcher();
}

/*
 * database_name returns a database's name in *name; false if there is no such
 * database, or if DROP DATABASE was interrupted, after which no process can
 * connect to it.
 */
static bool
database_name(Oid dboid, char *name, Size size)
{
	HeapTuple	tuple;
	bool		usable = false;

	StartTransactionCommand();

	/*
	 * The backend that has dropped the database sends its invalidation
	 * messages after it has woken us.
	 */
	InvalidateSystemCaches();
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		usable = database->datconnlimit != INVALID_DATABASE_LIMIT;
		strlcpy(name, NameStr(database->datname), size);
		ReleaseSysCache(tuple);
	}
	CommitTransactionCommand();
	return usable;
}

static bool
start_writer(Start *start, Oid dboid, const char *name)
{
	BackgroundWorker worker;
	MemoryContext old_context;
	bool		started;

	dlock_worker_describe(&worker, "dlock writer", DLOCK_WRITER_MAIN,
						  BGWORKER_BACKEND_DATABASE_CONNECTION);
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(dboid);
	worker.bgw_notify_pid = MyProcPid;
	snprintf(worker.bgw_name, BGW_MAXLEN, "dlock writer %s", name);
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
 * watch_start checks on a writer that is being started: has it attached, or
 * ended?  Returns whether it has just ended.
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
								dlock_clock_after(dlock_clock_now(), RETRY_TIME),
								false);
	pfree(start->handle);
	start->handle = NULL;
	return true;
}

/*
 * serve_entry starts a writer if one is due, and otherwise lowers *next to the
 * time when one will be.
 *
 * Returns whether it has done anything.  Then all entries must be looked at
 * once more, for two reasons: an entry may have become free, and looking up a
 * database's name may have waited for a lock.  Such a wait resets our latch,
 * which another process may have set for an entry that we had looked at
 * before.
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
		/* dropped, or as good as: no session is connected to it */
		dlock_maintenance_purge(db);
		dlock_database_forget(db);
		dlock_database_start_failed(db, dboid, retry_at, false);
	}
	else if (!start_writer(&starts[slot], dboid, name))
	{
		dlock_database_start_failed(db, dboid, retry_at, true);
		*next = Min(*next, retry_at);
		if (starts[slot].complained != dboid)
			ereport(LOG,
					(errmsg("could not start the dlock writer for database \"%s\"; will try again", name),
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
	dlock_worker_init(detach_launcher);
	dlock_database_attach_launcher(MyProcNumber);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	dlock_worker_override_settings();

	starts = MemoryContextAllocZero(TopMemoryContext,
									dlock_max_databases * sizeof(Start));
	pgstat_report_activity(STATE_IDLE, NULL);

	while (!ShutdownRequestPending)
	{
		DlockTime	next = DLOCK_NEVER;
		bool		again = false;

		dlock_worker_serve_signals();
		for (int i = 0; i < dlock_max_databases; i++)
			again |= serve_entry(i, &next);
		/* sleep only after a pass that has waited for nothing */
		if (!again)
			(void) dlock_worker_sleep(next);
	}
	dlock_worker_exit();
}

/*
 * dlock_launcher_register makes the server start the launcher.
 */
void
dlock_launcher_register(void)
{
	dlock_worker_register("dlock launcher", "dlock_launcher_main",
						  BGWORKER_BACKEND_DATABASE_CONNECTION);
}
