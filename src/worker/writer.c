/*
 * writer.c
 *	  The process that makes a database's leases durable.
 *
 * It loads all leases and opens the gate, then writes one batch after the
 * other: collect what changed, write the rows in one transaction, commit
 * (which flushes, and waits for synchronous standbys), tell everybody.
 *
 * Grants are written at once.  What nobody waits for, such as a release, is
 * left for the next batch or for RELEASE_DELAY, whichever comes first.
 *
 * Any error ends the process.  The launcher starts another, which finds the
 * gate open and memory in order, and writes all rows anew.
 *
 * SIGINT is ignored: a cancelled wait for the standbys would look like a
 * confirmed one.  SIGTERM ends such a wait; then nothing is published.
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
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/clock.h"
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

/* how long a release may stay unwritten */
#define RELEASE_DELAY (100 * 1000)

/*
 * How old a lease gets before its row is written that nobody waits for, and how
 * often such leases are looked for.
 */
#define LATE_DELAY (500 * 1000)

/* how long a free slot keeps its row for the next lease */
#define ROW_KEEP_TIME (1000 * 1000)

/* how long after its last work the writer goes on looking for more */
#define ALERT_TIME (3 * 1000 * 1000)

static DlockDatabase *db;
static bool finished = false;	/* going in peace */
static volatile sig_atomic_t cancel_allowed = false;
static volatile sig_atomic_t in_portion = false;
static volatile sig_atomic_t told_to_go = false;	/* in a portion */

/*
 * cut_short ends what is under way, as cancelling a query does.
 */
static void
cut_short(void)
{
	InterruptPending = true;
	QueryCancelPending = true;
}

/*
 * handle_cancel serves lock_timeout, which comes as SIGINT.  At all other times
 * SIGINT is nothing to us.
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
 * handle_terminate has us go.  In a portion for clients that would throw us
 * out at once, before write_the_rest has written what is left; so it cuts the portion
 * short, and go_if_told has us go afterwards.
 */
static void
handle_terminate(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (!in_portion)
	{
		die(postgres_signal_arg);
		return;
	}
	told_to_go = true;
	if (cancel_allowed)
		cut_short();
	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * go_if_told ends a portion: SIGTERM is heard again, also one that has come
 * meanwhile.
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
 * dlock_writer_allow_cancel says whether lock_timeout, or anybody who cancels
 * us, is to be heard.
 */
void
dlock_writer_allow_cancel(bool allowed)
{
	cancel_allowed = allowed;
	if (allowed && told_to_go)
		cut_short();
	/* one that came too late must not reach the wait for the standbys */
	if (!allowed)
		QueryCancelPending = false;
}

/*
 * dlock_writer_is_leaving: a portion was cut short for that?
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
	dlock_database_detach(db, MyProcPid, !finished);
}

/*
 * dlock_writer_leave ends the process where there is nothing more to do.
 */
void
dlock_writer_leave(void)
{
	finished = true;
	proc_exit(0);
}

/*
 * tend_clients sees to the rows of clients, a portion at a time; tells whether
 * there was anything to do.
 */
static bool
tend_clients(bool busy)
{
	if (!dlock_client_maintenance_due(db, busy))
		return false;
	in_portion = true;
	dlock_worker_begin_transaction();
	/* nobody waits for that */
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
 * has_work tells whether there is a reason not to sleep: every one that others
 * can bring about, read where it stands.  The latch tells of none: each wait
 * for a lock or a standby has reset it.  What is to be written or trimmed is a
 * reason only where no time was set for it.
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
 * sleep_for_work waits for a wake-up or the time, at first for those only who
 * wait for us; DLOCK_NEVER has everybody wake us for any change.
 *
 * Nothing between the look and the sleep may reset the latch: who changes what
 * we have looked at sets it afterwards.
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
 * attend does what is due; gives the time until which to sleep.
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
		/* more may have come meanwhile */
		return 0;
	}
	if (now >= next_trim)
	{
		int			count = dlock_write_trim(db, now - ROW_KEEP_TIME);

		if (count < DLOCK_WRITE_TRIM_MAX)
			next_trim = now + ROW_KEEP_TIME;
		pgstat_report_stat(false);
		/* that may have taken long: more may have come, and time has passed */
		if (count > 0)
			return 0;
	}
	if (dirty_since != 0)
		return dirty_since + RELEASE_DELAY;
	if (late_since != 0)
		return Min(late_since + LATE_DELAY, now + RELEASE_DELAY);
	if (now < alert_until)
		return now + RELEASE_DELAY;
	/* nobody wakes us for what is to be written */
	if (dlock_slots_any_free_lease(db))
		return Min(next_trim, now + RELEASE_DELAY);
	return DLOCK_NEVER;
}

/*
 * write_the_rest writes what is left, as far as that is possible at once.
 */
static void
write_the_rest(void)
{
	/* nothing may throw us out now but an error */
	HOLD_INTERRUPTS();
	if (dlock_pending_any(db) || dlock_pending_any_late(db))
		dlock_write_batch(db, true, DLOCK_NEVER);
	RESUME_INTERRUPTS();
	dlock_writer_leave();
}

/*
 * isolate_from_settings keeps what an administrator has set for sessions in
 * this database from stopping us.
 */
static void
isolate_from_settings(void)
{
	static const char *const settings[][2] = {
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"search_path", ""},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"session_replication_role", "origin"},
		{"role", "none"},
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET,
						PGC_S_OVERRIDE);
}

static void
start_up(Oid dboid)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_terminate);
	pqsignal(SIGINT, handle_cancel);

	BackgroundWorkerUnblockSignals();
	DLOCK_DEBUG_POINT(DLOCK_STOP_WRITER_STARTING);

	db = dlock_database_attach(dboid, MyProcPid, MyProc->pgprocno,
							   MyBgworkerEntry->bgw_extra);
	if (db == NULL)
		proc_exit(0);
	/* registered first, so called last: we are off the list of processes */
	on_shmem_exit(detach_writer, (Datum) 0);

	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	isolate_from_settings();
	dlock_write_init();
	dlock_client_maintenance_init();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * dlock_writer_main is the process's entry point; its argument the database.
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
		if (dlock_database_take_recheck(db))
		{
			dlock_worker_begin_transaction();
			/* whoever woke us tells of its changes only after it has */
			InvalidateSystemCaches();
			dlock_load_check_extension(db);
			dlock_worker_end_transaction();
		}
		until = attend();
		if (!tend_clients(until == 0) && until != 0)
			sleep_for_work(until);
	}
}
