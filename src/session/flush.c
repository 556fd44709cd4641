/*
 * flush.c
 *	  Wait until a batch is durable.
 *
 * A backend sleeps here after a grant, after a change to a held lease, and
 * before the first block of tokens exists.  It waits for a state in shared
 * memory, and reads that state again each time it wakes up, for whatever
 * reason.
 *
 * IDENTIFICATION
 *	  src/session/flush.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/wait_event.h"
#include "session/flush.h"
#include "session/quorum.h"
#include "session/sleep.h"
#include "shared/pending.h"

/* after this time a wait also watches whether the client has disconnected */
#define LONG_FLUSH USECS_PER_SEC

/*
 * is_settled returns whether there is nothing more to wait for.
 */
static bool
is_settled(DlockGate gate, uint64 batch)
{
	return dlock_pending_is_durable(gate.db, batch) ||
		!dlock_database_is_open(gate.db, gate.epoch);
}

/*
 * dlock_flush_wait sleeps until a batch is durable or the database is closed,
 * but not beyond "until" or the limit of dlock_quorum_limit.  Returns what
 * ended the wait.  Throws if the backend is cancelled or terminated.  In every
 * case the caller must call dlock_pending_unnotify afterwards.
 *
 * Most flushes take so short that one futex wait is enough, which is cheaper
 * than a latch.  If it is not, we ask the writer for a wake-up by our latch.
 * No wake-up is lost: we store our notice first and read the state after that;
 * the writer publishes the state first and reads the notices after that.  So
 * either we see that the batch is durable, or the writer sees our notice and
 * sets our latch.
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
	dlock_pending_notify(gate.db, MyProcNumber, batch);
	while (!is_settled(gate, batch))
	{
		DlockTime	now = dlock_clock_now();
		DlockTime	limit = dlock_quorum_limit(gate.db);
		DlockTime	wake = Min(until, limit);

		if (now >= until)
			return DLOCK_FLUSH_LATE;
		if (now >= limit)
			return DLOCK_FLUSH_NO_QUORUM;
		/* watching costs system calls; at first we expect an early end */
		if (!watch)
			wake = Min(wake, dlock_clock_after(now, LONG_FLUSH));
		dlock_sleep_until(wake, watch, DLOCK_WAIT_EVENT_FLUSH);
		watch = now + LONG_FLUSH <= dlock_clock_now();
	}
	return DLOCK_FLUSH_DONE;
}

/*
 * dlock_flush_wait_tokens waits for the first block of tokens.  Returns and
 * throws as dlock_flush_wait does.  The writer does not allocate the block
 * before a backend needs it: when a dump is restored, the upper bound of the
 * tokens issued before is restored only after CREATE EXTENSION.
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
	dlock_pending_unnotify(MyProcNumber);
	return flush;
}

/*
 * dlock_flush_wait_change waits, without a time limit of its own, until a
 * change to a held lease is durable; batch 0 means that there is nothing to
 * wait for.  Throws if there is no quorum of standbys, or if the backend is
 * cancelled or terminated.
 */
void
dlock_flush_wait_change(DlockGate gate, uint64 batch)
{
	DlockFlush	flush;

	if (batch == 0)
		return;
	flush = dlock_flush_wait(gate, batch, DLOCK_NEVER);
	dlock_pending_unnotify(MyProcNumber);
	if (flush == DLOCK_FLUSH_NO_QUORUM)
		dlock_quorum_report(gate.db);
}

/*
 * wait_of returns a sentence that names what a process waits for, in the words
 * of pg_stat_activity, or an empty string if it does not wait.
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
 * dlock_flush_writer_detail is an errdetail() that describes what the writer
 * process is doing.
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
