/*
 * monitor.c
 *	  The process that ends leases whose time is over, and deadlocks.
 *
 * One for the whole server: it looks at shared memory alone, needs no
 * database, and so never waits for a disk or a standby.
 *
 * As long as anybody waits it looks for deadlocks, once in every
 * dlock.deadlock_timeout; the first to wait wakes it.
 *
 * It also says in the log when a writer has had work for too long, and when
 * that is over.  Who gives a writer work sets the alarm for that, the writer
 * wakes it at the end; as long as no writer has work it does not look.
 *
 * What it looks for stands in shared memory, and no part of a pass waits for a
 * latch.  So whatever comes while it looks finds that it announces no time at
 * which it will look again, and sets its latch, which stays set.
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

/* a writer of which the log says that it has had work for too long */
typedef struct Stall
{
	bool		told;
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
 * expire_due ends what has run out; gives the time of the next.
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
 * break_deadlocks looks for deadlocks if that is due; gives the time of the
 * next look.
 */
static DlockTime
break_deadlocks(void)
{
	static DlockTime next = DLOCK_NEVER;	/* nobody waits */
	DlockTime	now = dlock_clock_now();
	DlockTime	soonest = dlock_clock_after(now, dlock_deadlock_timeout * (int64) 1000);
	bool		due = now >= next;

	if (due)
		(void) dlock_detect_pass();
	if (dlock_waits_count() == 0)
		next = DLOCK_NEVER;
	else if (due || next > soonest)
		next = soonest;			/* also where the setting has been lowered */
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
			(errmsg("dlock writer of database \"%s\" has had work since %s",
					report->database, wall_time(since)),
			 dlock_flush_writer_detail(report),
			 report->activity == DLOCK_WRITER_ABSENT ?
			 errhint("See earlier messages of \"dlock writer\" and \"dlock launcher\".") :
			 errhint("See pg_stat_activity and pg_locks for what the process waits for.")));
}

static void
tell_end(const char *database, DlockTime since)
{
	ereport(LOG,
			(errmsg("dlock writer of database \"%s\" is up to date again",
					database),
			 errdetail("It had work since %s.", wall_time(since))));
}

/*
 * watch_writer says in the log when a writer has had work for too long, and
 * when that is over; gives the time of the next look.
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
		/* the writer wakes us from now on; it may just have finished */
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
 * watch_writers does that for all of them.  Who gives a writer work wakes us
 * unless we look soon enough anyway.  So that not each one does where writers
 * are done at once, we look again in a while after we were woken.
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
	dlock_alarm_attach(MyProc->pgprocno);
	BackgroundWorkerUnblockSignals();
	stalls = MemoryContextAllocZero(TopMemoryContext,
									dlock_max_databases * sizeof(Stall));

	while (!ShutdownRequestPending)
	{
		DlockTime	due;

		dlock_worker_serve_signals();

		/*
		 * While we look, everything new that has a time wakes us.  The first
		 * look passes through all partition locks, so that who has begun to
		 * wait under one of them before is counted by the second.
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
