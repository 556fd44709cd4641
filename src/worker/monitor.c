/*
 * monitor.c
 *	  The process that ends expired leases, and deadlocks.
 *
 * There is one monitor for the whole server.  It reads shared memory alone and
 * needs no database, so it never waits for a disk or a standby.
 *
 * While clients wait, it looks for deadlocks once in every
 * dlock.deadlock_timeout.  The first client that waits wakes it.
 *
 * It also reports in the log when a writer has had work for more than
 * DLOCK_STALL_TIME, and when that writer is up to date again.  The process
 * that gives a writer work sets the alarm for that time.  Once the monitor has
 * reported a writer, that writer wakes the monitor when it has done its work.
 *
 * Everything that the monitor looks for is a state in shared memory, and no
 * part of a pass waits for the latch.  While the monitor looks, it announces
 * DLOCK_NEVER as the time of its next look.  So a process that changes
 * something meanwhile sets the monitor's latch, which stays set and ends the
 * next sleep (see shared/alarm.c).
 *
 * IDENTIFICATION
 *	  src/worker/monitor.c
 */
#include "postgres.h"

#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/config.h"
#include "deadlock/detect.h"
#include "engine/maintenance.h"
#include "session/flush.h"
#include "shared/alarm.h"
#include "shared/database.h"
#include "shared/partition.h"
#include "shared/slots.h"
#include "shared/waits.h"
#include "shared/writer_watch.h"
#include "worker/monitor.h"
#include "worker/worker.h"

/* a writer that may have been reported in the log */
typedef struct Stall
{
	bool		told;			/* reported, and not yet up to date again */
	DlockTime	since;
	char		database[NAMEDATALEN];
} Stall;

static Stall *stalls;			/* by registry entry */

static void
detach_monitor(int code, Datum arg)
{
	dlock_alarm_detach();
}

/*
 * expire_due ends the leases that have expired, and returns the time of the
 * next one.
 */
static DlockTime
expire_due(void)
{
	DlockTime	next = DLOCK_NEVER;

	for (int i = 0; i < DLOCK_NPARTITIONS; i++)
		dlock_maintenance_expire(i, &next);
	return next;
}

/*
 * break_deadlocks looks for deadlocks if that is due, and returns the time of
 * the next look.
 */
static DlockTime
break_deadlocks(void)
{
	static DlockTime next = DLOCK_NEVER;	/* no client waits */
	DlockTime	now = dlock_clock_now();
	DlockTime	soonest = dlock_clock_after(now, dlock_deadlock_timeout * (int64) 1000);
	bool		due = now >= next;

	if (due)
		(void) dlock_detect_pass();
	if (dlock_waits_count() == 0)
		next = DLOCK_NEVER;
	else if (due || next > soonest)
		next = soonest;			/* also if the setting was lowered */
	return next;
}

/*
 * The watch over the writers
 */

static const char *
wall_time(DlockTime when)
{
	return timestamptz_to_str(dlock_clock_to_wall(when, dlock_clock_now(),
												  dlock_clock_wall()));
}

static void
tell_begin(const DlockWriterReport *report, DlockTime since)
{
	ereport(LOG,
			(errmsg("dlock writer of database \"%s\" has had pending work since %s",
					report->database, wall_time(since)),
			 dlock_flush_writer_detail(report),
			 report->activity == DLOCK_WRITER_ABSENT ?
			 errhint("See earlier log messages of the dlock writer and the dlock launcher.") :
			 errhint("See pg_stat_activity and pg_locks to find out what the process is waiting for.")));
}

static void
tell_end(const char *database, DlockTime since)
{
	ereport(LOG,
			(errmsg("dlock writer of database \"%s\" has caught up",
					database),
			 errdetail("Its work had been pending since %s.", wall_time(since))));
}

/*
 * watch_writer reports in the log when a writer has had work for too long, and
 * when it is up to date again.  Returns the time of the next look.
 */
static DlockTime
watch_writer(DlockDatabase *db, Stall *stall)
{
	DlockTime	since;

	if (!stall->told && (since = dlock_writer_watch_stalled_since(db)) != 0)
	{
		DlockWriterReport report;

		dlock_database_report_writer(db, &report);
		tell_begin(&report, since);
		stall->told = true;
		stall->since = since;
		strlcpy(stall->database, report.database, sizeof(stall->database));
		/* from now on the writer wakes us, but it may have finished before */
		dlock_writer_watch_await_done(db, true);
	}
	if (stall->told)
	{
		if (dlock_writer_watch_stalled_since(db) != 0)
			return DLOCK_NEVER;
		dlock_writer_watch_await_done(db, false);
		tell_end(stall->database, stall->since);
		stall->told = false;
	}
	since = dlock_writer_watch_since(db);
	return since == 0 ? DLOCK_NEVER :
		dlock_clock_after(since, DLOCK_STALL_TIME);
}

/*
 * watch_writers does that for all writers.
 *
 * The process that gives a writer work wakes the monitor unless the monitor
 * will look soon enough.  If writers get work often and finish it at once,
 * that would be a wake-up each time.  So after a wake-up the monitor looks
 * again within DLOCK_STALL_TIME in any case.
 */
static DlockTime
watch_writers(bool woken)
{
	DlockTime	next = DLOCK_NEVER;

	if (woken)
		next = dlock_clock_after(dlock_clock_now(), DLOCK_STALL_TIME);
	for (int i = 0; i < dlock_max_databases; i++)
	{
		DlockTime	due = watch_writer(dlock_database_at(i), &stalls[i]);

		next = Min(next, due);
	}
	return next;
}

/*
 * dlock_monitor_main is the process's entry point.
 */
void
dlock_monitor_main(Datum main_arg)
{
	bool		woken = false;

	dlock_worker_init(detach_monitor);
	dlock_alarm_attach(MyProcNumber);
	BackgroundWorkerUnblockSignals();
	stalls = MemoryContextAllocZero(TopMemoryContext,
									dlock_max_databases * sizeof(Stall));
	/* an earlier monitor may have asked, and ended */
	for (int i = 0; i < dlock_max_databases; i++)
		dlock_writer_watch_await_done(dlock_database_at(i), false);

	while (!ShutdownRequestPending)
	{
		DlockTime	due;

		dlock_worker_serve_signals();

		/*
		 * From here on, every new deadline wakes us.  expire_due passes
		 * through all partition locks.  A client that began to wait under one
		 * of them before we had it is counted by break_deadlocks; one that
		 * begins later finds DLOCK_NEVER and wakes us.
		 */
		dlock_alarm_set_due(DLOCK_NEVER);
		due = expire_due();
		due = Min(due, break_deadlocks());
		due = Min(due, watch_writers(woken));
		dlock_alarm_set_due(due);
		woken = dlock_worker_sleep(due);
	}
	dlock_worker_exit();
}

/*
 * dlock_monitor_register makes the server start the monitor.
 */
void
dlock_monitor_register(void)
{
	dlock_worker_register("dlock monitor", "dlock_monitor_main", 0);
}
