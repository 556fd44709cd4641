/*
 * worker.c
 *	  What dlock's background processes have in common.
 *
 * The launcher and the monitor run as long as the server is not a standby; the
 * launcher starts a writer in each database that uses dlock.
 *
 * IDENTIFICATION
 *	  src/worker/worker.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "base/wait_event.h"
#include "worker/worker.h"

/* seconds after which the server starts a process again that has ended */
#define RESTART_TIME 1

/*
 * dlock_worker_describe fills in what the server must know of a process.  The
 * type is its name as well, unless the caller sets another.
 */
void
dlock_worker_describe(BackgroundWorker *worker, const char *type,
					  const char *entry_point, int flags)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | flags;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = RESTART_TIME;
	strlcpy(worker->bgw_library_name, "dlock", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, entry_point, BGW_MAXLEN);
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
}

/*
 * dlock_worker_register makes the server start a process, and start it again
 * whenever it ends.
 *
 * Not while pg_upgrade runs the server.  It notes the next transaction ID of
 * the old server before it starts that for the last time, and takes the files
 * as they are afterwards.  The new server would give out again the IDs that a
 * writer has used in between, and judge the rows by those transactions.
 */
void
dlock_worker_register(const char *type, const char *entry_point, int flags)
{
	BackgroundWorker worker;

	if (IsBinaryUpgrade)
		return;
	dlock_worker_describe(&worker, type, entry_point, flags);
	RegisterBackgroundWorker(&worker);
}

/*
 * dlock_worker_watch_config has the process read the configuration when the
 * server is told to, and once soon.  The process has the settings of the moment
 * when it was started, and a SIGHUP that has come since then was ignored.
 */
void
dlock_worker_watch_config(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	ConfigReloadPending = true;
}

/*
 * dlock_worker_init sets up signals, and what is called when the process ends.
 * The caller attaches to shared memory after that, so that whatever happens
 * then is undone, and unblocks signals last.
 */
void
dlock_worker_init(pg_on_exit_callback detach)
{
	dlock_worker_watch_config();
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	before_shmem_exit(detach, (Datum) 0);
}

/*
 * dlock_worker_override_settings overrides what an administrator may have set
 * for sessions, of the whole server or of one database, and what would stop a
 * worker or make it wait less than it must.  A worker calls it when it has
 * connected.
 */
void
dlock_worker_override_settings(void)
{
	static const char *const settings[][2] = {
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"search_path", ""},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"transaction_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"session_replication_role", "origin"},
		{"exit_on_error", "off"},
		{"role", "none"},
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
		/* not every server has every setting */
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET,
							PGC_S_OVERRIDE);
}

/*
 * dlock_worker_serve_signals does what signals have asked for; called in each
 * turn of a process's loop.
 */
void
dlock_worker_serve_signals(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * dlock_worker_sleep waits until the latch is set or the time has come, and
 * returns whether the latch was set.
 *
 * The latch is reset at the end.  So before the next sleep the caller must
 * look at everything for which another process may have set it, and must not
 * wait for anything between that look and the sleep.
 */
bool
dlock_worker_sleep(DlockTime until)
{
	long		timeout = dlock_clock_ms_until(until, dlock_clock_now());
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	bool		woken;

	if (timeout >= 0)
		events |= WL_TIMEOUT;
	woken = (WaitLatch(MyLatch, events, timeout,
					   dlock_wait_event(DLOCK_WAIT_EVENT_WORK)) &
			 WL_LATCH_SET) != 0;
	ResetLatch(MyLatch);
	return woken;
}

/*
 * dlock_worker_begin_transaction begins a transaction with an active snapshot.
 */
void
dlock_worker_begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
dlock_worker_end_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/*
 * dlock_worker_exit ends a process that was told to.  The exit code is not 0,
 * so that the server starts it again, unless the server itself shuts down.
 */
void
dlock_worker_exit(void)
{
	proc_exit(1);
}
