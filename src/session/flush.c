/*
 * flush.c
 *	  Sleep until something is durable.
 *
 * Whoever waits for a batch sleeps here: for a grant, for a change to a lease
 * that is held, for the first tokens.  What it looks for is a state in shared
 * memory, which it reads again whenever it wakes up, for whatever reason.
 *
 * IDENTIFICATION
 *	  src/session/flush.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/wait_event.h"

#include "session/flush.h"
#include "session/quorum.h"
#include "session/sleep.h"
#include "shared/pending.h"

/* from when on a wait for a flush also watches whether the client has gone */
#define LONG_FLUSH USECS_PER_SEC

/*
 * is_settled tells whether there is nothing more to wait for.
 */
static bool
is_settled(DlockGate gate, uint64 batch)
{
	return dlock_pending_is_durable(gate.db, batch) ||
		!dlock_database_is_open(gate.db, gate.epoch);
}

/*
 * dlock_flush_wait sleeps until a batch is durable, the database is shut, or it
 * is no use to wait any longer.  The caller ends the notice.
 */
DlockFlush
dlock_flush_wait(DlockGate gate, uint64 batch, DlockTime until)
{
	bool		watch = false;

	if (is_settled(gate, batch))
		return DLOCK_FLUSH_DONE;
	dlock_pending_futex_wait(gate.db, batch);
	CHECK_FOR_INTERRUPTS();
	if (is_settled(gate, batch))
		return DLOCK_FLUSH_DONE;
	dlock_pending_notify(gate.db, MyProc->pgprocno, batch);
	while (!is_settled(gate, batch))
	{
		DlockTime	now = dlock_clock_now();
		DlockTime	limit = dlock_quorum_limit(gate.db);
		DlockTime	wake = Min(until, limit);

		if (now >= until)
			return DLOCK_FLUSH_LATE;
		if (now >= limit)
			return DLOCK_FLUSH_NO_QUORUM;
		/* usually it takes no longer than a flush */
		if (!watch)
			wake = Min(wake, dlock_clock_after(now, LONG_FLUSH));
		dlock_sleep_until(wake, watch);
		watch = now + LONG_FLUSH <= dlock_clock_now();
	}
	return DLOCK_FLUSH_DONE;
}

/*
 * dlock_flush_wait_tokens waits for the first block of tokens.  It is not made
 * before it is needed: a dump that is being restored brings its bound only
 * after the extension was created.
 */
DlockFlush
dlock_flush_wait_tokens(DlockGate gate, DlockTime until)
{
	DlockFlush	flush = DLOCK_FLUSH_DONE;

	while (flush == DLOCK_FLUSH_DONE &&
		   pg_atomic_read_u64(&gate.db->token_limit) == 0 &&
		   dlock_database_is_open(gate.db, gate.epoch))
	{
		uint64		batch = pg_atomic_read_u64(&gate.db->open_batch);

		dlock_pending_wake_writer(gate.db, true);
		flush = dlock_flush_wait(gate, batch, until);
	}
	dlock_pending_unnotify(MyProc->pgprocno);
	return flush;
}

/*
 * dlock_flush_wait_change waits for a change to a lease that is held already;
 * an error where that is in vain.
 */
void
dlock_flush_wait_change(DlockGate gate, uint64 batch)
{
	DlockFlush	flush;

	if (batch == 0)
		return;
	flush = dlock_flush_wait(gate, batch, DLOCK_NEVER);
	dlock_pending_unnotify(MyProc->pgprocno);
	if (flush == DLOCK_FLUSH_NO_QUORUM)
		dlock_quorum_report(gate.db);
}

/*
 * wait_of names what a process waits for, as pg_stat_activity does; an empty
 * text where it does not wait.
 */
static const char *
wait_of(int pid)
{
	PGPROC	   *proc = BackendPidGetProc(pid);
	uint32		info = proc == NULL ? 0 :
		*(volatile uint32 *) &proc->wait_event_info;

	if (info == 0)
		return "";
	return psprintf(" It is waiting for %s: %s.", pgstat_get_wait_event_type(info),
					pgstat_get_wait_event(info));
}

/*
 * dlock_flush_writer_detail says in an error's or a message's detail what the
 * writer is at.
 */
int
dlock_flush_writer_detail(const DlockWriterReport *report)
{
	const char *wait = wait_of(report->pid);

	switch (report->activity)
	{
		case DLOCK_WRITER_ABSENT:
			return errdetail("The writer process is not running.");
		case DLOCK_WRITER_LOADS:
			return errdetail("Writer process %d is loading the leases.%s",
							 report->pid, wait);
		case DLOCK_WRITER_FLUSHES:
			return errdetail("Writer process %d is waiting for the WAL flush and the standbys.%s",
							 report->pid, wait);
		case DLOCK_WRITER_WORKS:
			break;
	}
	return errdetail("Writer process %d is active.%s", report->pid, wait);
}
