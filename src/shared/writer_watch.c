/*
 * writer_watch.c
 *	  How long a writer has had work, and what tells the monitor that it is
 *	  done.
 *
 * Work is a batch that is waited for, or the loading of the leases.  "urgent"
 * of a database is the time since when a backend has been waiting for the open
 * batch.  The cut moves it to work_since, which is cleared when the batch is
 * published.
 *
 * IDENTIFICATION
 *	  src/shared/writer_watch.c
 */
#include "postgres.h"

#include "base/clock.h"
#include "shared/alarm.h"
#include "shared/writer_watch.h"

/*
 * since_of_urgent gives the time that "urgent" stands for: milliseconds of the
 * monotonic clock, modulo 2^32 (see dlock_pending_wake_writer).
 */
static DlockTime
since_of_urgent(uint32 urgent)
{
	DlockTime	now = dlock_clock_now();

	return now - (uint32) ((uint32) (now / 1000) - urgent) * (int64) 1000;
}

/*
 * dlock_writer_watch_since returns since when some process has been waiting
 * for the writer; 0 if none is.
 *
 * The cut first writes into work_since what "urgent" stands for, and then
 * clears "urgent".  We read them in the other order, so we never miss work
 * while it moves from the one to the other.
 */
DlockTime
dlock_writer_watch_since(DlockDatabase *db)
{
	uint32		urgent = pg_atomic_read_u32(&db->urgent);
	DlockTime	since;

	pg_read_barrier();
	since = (DlockTime) pg_atomic_read_u64(&db->work_since);
	if (since == 0 && urgent != 0 && pg_atomic_read_u32(&db->open) != 0)
		since = since_of_urgent(urgent);
	return since;
}

/*
 * dlock_writer_watch_stalled_since is dlock_writer_watch_since if that is at
 * least DLOCK_STALL_TIME ago, else 0.
 */
DlockTime
dlock_writer_watch_stalled_since(DlockDatabase *db)
{
	DlockTime	since = dlock_writer_watch_since(db);

	return since != 0 && dlock_clock_now() - since >= DLOCK_STALL_TIME ? since : 0;
}

/*
 * dlock_writer_watch_await_done sets whether the writer wakes the monitor when
 * it has done its work.
 *
 * The writer may finish just before that is set, and then wakes no process.
 * So the monitor reads the state of the work once more after setting it: each
 * side writes its own word by an exchange, which is a full barrier, and then
 * reads the other's.
 */
void
dlock_writer_watch_await_done(DlockDatabase *db, bool wanted)
{
	pg_atomic_exchange_u32(&db->stall_told, wanted ? 1 : 0);
}

/*
 * dlock_writer_watch_done notes that the writer has done its work.  Either the
 * monitor sees that, or we see that it is to be woken (see
 * dlock_writer_watch_await_done).
 */
void
dlock_writer_watch_done(DlockDatabase *db)
{
	pg_atomic_exchange_u64(&db->work_since, 0);
	if (pg_atomic_read_u32(&db->stall_told) != 0)
		dlock_alarm_ring();
}
