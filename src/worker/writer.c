/*
 * writer.c
 *	  The process that makes a database's leases durable.
 *
 * The writer loads all leases and opens the gate.  Then it writes one batch
 * after the other: it collects what has changed, writes the rows in one
 * transaction, commits (which flushes, and waits for synchronous standbys),
 * and wakes the backends that wait for the batch.
 *
 * A grant is written at once, because a backend waits for it.  A change that
 * no backend waits for, such as a release, is written with the next batch, or
 * RELEASE_DELAY after the writer has seen it, whichever comes first.
 *
 * Any error ends the process.  The launcher starts another one, which finds
 * the gate open and the leases in memory, and writes all rows anew.
 *
 * SIGINT is ignored: a cancelled wait for the standbys would look like a
 * confirmed one.  SIGTERM ends such a wait; then the batch is not published.
 *
 * IDENTIFICATION
 *	  src/worker/writer.c
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/debug_point.h"
#include "durable/store.h"
#include "shared/database.h"
#include "shared/pending.h"
#include "shared/slots.h"
#include "worker/client_maintenance.h"
#include "worker/load.h"
#include "worker/worker.h"
#include "worker/write.h"
#include "worker/writer.h"

/* microseconds for which a release that was seen may stay unwritten */
#define RELEASE_DELAY (100 * 1000)

/*
 * The row of a lease that no backend waits for is written when the lease is
 * this old.  The writer looks for such leases as often.
 */
#define LATE_DELAY (500 * 1000)

/* how long a free slot keeps its row for the next lease */
#define ROW_KEEP_TIME (1000 * 1000)

/* for so long after its last batch, the writer looks for more by itself */
#define ALERT_TIME (3 * 1000 * 1000)

static DlockDatabase *db;
static bool finished = false;	/* the process ends without a failure */
static volatile sig_atomic_t cancel_allowed = false;
static volatile sig_atomic_t in_portion = false;	/* of maintenance */
static volatile sig_atomic_t told_to_go = false;	/* SIGTERM came in one */

/*
 * cut_short ends the statement under way, as cancelling a query does.
 */
static void
cut_short(void)
{
	InterruptPending = true;
	QueryCancelPending = true;
}

/*
 * handle_cancel handles SIGINT.  While a portion of maintenance allows it,
 * that is lock_timeout, or a role that cancels the process.  At all other
 * times SIGINT is ignored.
 */
static void
handle_cancel(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (cancel_allowed)
		cut_short();
	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * handle_terminate handles SIGTERM, which ends the process.
 *
 * In a portion of maintenance, die() would end the process at once, before
 * write_the_rest has written what is left.  So there the handler only cuts the
 * portion short, and go_if_told ends the process afterwards.
 */
static void
handle_terminate(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (!in_portion)
	{
		die_compat();
		return;
	}
	told_to_go = true;
	if (cancel_allowed)
		cut_short();
	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * go_if_told ends a portion of maintenance.  A SIGTERM that came in the
 * portion takes effect now.
 */
static void
go_if_told(void)
{
	in_portion = false;
	if (told_to_go)
	{
		InterruptPending = true;
		ProcDiePending = true;
	}
}

/*
 * dlock_writer_allow_cancel sets whether SIGINT cancels the statement under
 * way.
 */
void
dlock_writer_allow_cancel(bool allowed)
{
	cancel_allowed = allowed;
	if (allowed && told_to_go)
		cut_short();
	/* a cancel that came too late must not end the wait for the standbys */
	if (!allowed)
		QueryCancelPending = false;
}

/*
 * dlock_writer_is_leaving returns whether SIGTERM came in this portion.
 */
bool
dlock_writer_is_leaving(void)
{
	return told_to_go;
}

static void
detach_writer(int code, Datum arg)
{
	dlock_pending_flush_ends(db);
	dlock_write_put_back(db);
	dlock_load_undo(db);
	dlock_database_detach(db, MyProcPid, !finished);
}

/*
 * dlock_writer_leave ends the process, which has nothing more to do.
 */
void
dlock_writer_leave(void)
{
	finished = true;
	proc_exit(0);
}

/*
 * tend_clients does a portion of maintenance on the rows of clients, if one is
 * due, and returns whether it was.
 */
static bool
tend_clients(bool busy)
{
	if (!dlock_client_maintenance_due(db, busy))
		return false;
	in_portion = true;
	dlock_worker_begin_transaction();
	/* no backend waits for that */
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	if (dlock_write_open(db, true))
	{
		dlock_client_maintenance_write(db);
		dlock_store_close();
		dlock_worker_end_transaction();
		dlock_client_maintenance_written(db);
		pgstat_report_stat(false);
	}
	else
		dlock_client_maintenance_put_off();
	go_if_told();
	return true;
}

/*
 * The loop
 */

/*
 * has_work returns whether there is a reason not to sleep.  It reads the state
 * of everything that another process can have changed.  The latch does not say
 * whether there is work, since each wait for a lock or a standby has reset it.
 * Changes to be written and slots to be trimmed count only if the writer is
 * about to sleep without a timeout: otherwise their time has been set.
 */
static bool
has_work(bool idle)
{
	if (InterruptPending || ProcDiePending || ConfigReloadPending ||
		dlock_pending_is_urgent(db) || dlock_database_wants_recheck(db))
		return true;
	return idle && (dlock_pending_any(db) || dlock_pending_any_late(db) ||
					dlock_slots_any_free_lease(db));
}

/*
 * sleep_for_work sleeps until there is work or the time has come.
 *
 * As long as there is a timeout, only backends that wait for a batch wake the
 * writer, at first by the word that it waits for.  With DLOCK_NEVER the writer
 * announces that it is idle, and every change wakes it.
 *
 * The race: a process changes something after has_work has looked at it and
 * before the writer sleeps.  That process changes the state, passes a full
 * barrier, reads whether the writer is idle, and then sets the latch.  The
 * writer announces that it is idle, passes a full barrier, and then looks.  So
 * either has_work sees the change or the latch is set.  Nothing between
 * has_work and the sleep resets the latch, so it ends the sleep at once.
 */
static void
sleep_for_work(DlockTime until)
{
	bool		idle = until == DLOCK_NEVER;

	if (!idle && dlock_pending_futex_wait_for_work(db))
		return;
	if (idle)
	{
		DLOCK_DEBUG_POINT(DLOCK_STOP_WRITER_IDLE);
		dlock_pending_set_idle(db, true);
	}
	if (!has_work(idle))
		(void) dlock_worker_sleep(until);
	if (idle)
		dlock_pending_set_idle(db, false);
}

/*
 * attend does what is due, and returns the time until which to sleep.
 */
static DlockTime
attend(void)
{
	static DlockTime dirty_since = 0;	/* 0: nothing is left to write */
	static DlockTime late_since = 0;	/* 0: nothing is left to write late */
	static DlockTime alert_until = 0;
	static DlockTime next_trim = 0;
	bool		urgent = dlock_pending_is_urgent(db);
	DlockTime	now = dlock_clock_now();
	bool		late_due;

	if (dirty_since == 0 && dlock_pending_any(db))
		dirty_since = now;
	if (late_since == 0 && dlock_pending_any_late(db))
		late_since = now;
	late_due = late_since != 0 && now >= late_since + LATE_DELAY;
	if (urgent)
		dlock_write_gather(db);
	if (urgent || late_due ||
		(dirty_since != 0 && now >= dirty_since + RELEASE_DELAY))
	{
		dlock_write_batch(db, false, late_due ? now - LATE_DELAY : 0);
		dirty_since = 0;
		if (late_due)
			late_since = 0;
		alert_until = now + ALERT_TIME;
		pgstat_report_stat(false);
		/* more may have changed meanwhile */
		return 0;
	}
	if (now >= next_trim)
	{
		int			count = dlock_write_trim(db, now - ROW_KEEP_TIME);

		if (count < DLOCK_WRITE_TRIM_MAX)
			next_trim = now + ROW_KEEP_TIME;
		pgstat_report_stat(false);
		/* that may have taken long: look at everything again */
		if (count > 0)
			return 0;
	}
	if (dirty_since != 0)
		return dirty_since + RELEASE_DELAY;
	if (late_since != 0)
		return Min(late_since + LATE_DELAY, now + RELEASE_DELAY);
	if (now < alert_until)
		return now + RELEASE_DELAY;
	/* as long as slots are to be trimmed, we sleep with a timeout */
	if (dlock_slots_any_free_lease(db))
		return Min(next_trim, now + RELEASE_DELAY);
	return DLOCK_NEVER;
}

/*
 * write_the_rest writes what is left, unless another session has dlock.locks
 * locked, and ends the process.
 */
static void
write_the_rest(void)
{
	/* from now on only an error may end the process */
	HOLD_INTERRUPTS();
	if (dlock_pending_any(db) || dlock_pending_any_late(db))
		dlock_write_batch(db, true, DLOCK_NEVER);
	RESUME_INTERRUPTS();
	dlock_writer_leave();
}

static void
start_up(Oid dboid)
{
	dlock_worker_watch_config();
	pqsignal(SIGTERM, handle_terminate);
	pqsignal(SIGINT, handle_cancel);

	BackgroundWorkerUnblockSignals();
	DLOCK_DEBUG_POINT(DLOCK_STOP_WRITER_STARTING);

	db = dlock_database_attach(dboid, MyProcPid, MyProcNumber,
							   MyBgworkerEntry->bgw_extra);
	if (db == NULL)
		proc_exit(0);

	/*
	 * Registered before InitPostgres registers its own, so called after them:
	 * when the entry says that there is no writer, no process is connected to
	 * the database any more.
	 */
	on_shmem_exit(detach_writer, (Datum) 0);

	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	dlock_worker_override_settings();
	dlock_write_init();
	dlock_client_maintenance_init();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * dlock_writer_main is the process's entry point.  Its argument is the OID of
 * the database.
 */
void
dlock_writer_main(Datum main_arg)
{
	start_up(DatumGetObjectId(main_arg));
	dlock_load_all(db);

	for (;;)
	{
		DlockTime	until;

		if (ProcDiePending)
			write_the_rest();
		dlock_worker_serve_signals();
		dlock_load_recheck(db);
		until = attend();
		if (!tend_clients(until == 0) && until != 0)
			sleep_for_work(until);
	}
}
