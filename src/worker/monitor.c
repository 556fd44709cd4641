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
 * IDENTIFICATION
 *	  src/worker/monitor.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "base/clock.h"
#include "base/config.h"
#include "lease/deadlock.h"
#include "lease/upkeep.h"
#include "shared/database.h"
#include "shared/slots.h"
#include "shared/waits.h"
#include "worker/monitor.h"

static void
at_exit(int code, Datum arg)
{
	dlock_monitor_detach();
}

/*
 * expire_due ends what has run out; gives the time of the next.
 */
static DlockTime
expire_due(void)
{
	DlockTime	next = DLOCK_NEVER;

	for (int i = 0; i < DLOCK_NPARTITIONS; i++)
		dlock_upkeep_expire(i, &next);
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
		(void) dlock_deadlock_pass();
	if (dlock_waits_count() == 0)
		next = DLOCK_NEVER;
	else if (due || next > soonest)
		next = soonest;			/* also where the setting has been lowered */
	return next;
}

/*
 * dlock_monitor_main is the process's entry point.
 */
void
dlock_monitor_main(Datum main_arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	before_shmem_exit(at_exit, (Datum) 0);
	dlock_monitor_attach(MyProc->pgprocno);
	BackgroundWorkerUnblockSignals();

	while (!ShutdownRequestPending)
	{
		DlockTime	due;
		long		timeout;
		int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		/* while we look, every new deadline wakes us */
		dlock_monitor_set_due(DLOCK_NEVER);
		due = expire_due();
		due = Min(due, break_deadlocks());
		dlock_monitor_set_due(due);

		timeout = dlock_clock_ms_until(due, dlock_clock_now());
		if (timeout >= 0)
			events |= WL_TIMEOUT;
		(void) WaitLatch(MyLatch, events, timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	/* not 0: if the server is not going down, start us again */
	proc_exit(1);
}

/*
 * dlock_monitor_register has the server start the monitor.
 */
void
dlock_monitor_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "dlock", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "dlock_monitor_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "dlock monitor", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "dlock monitor", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
