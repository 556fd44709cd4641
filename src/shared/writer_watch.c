/*
 * writer_watch.c
 *	  How long a writer has had work, and waking the monitor when the work is
 *	  done.
 *
 * Work is a batch that a backend waits for, or the loading of the leases.
 * "urgent" of a database is the time since when a backend has been waiting for
 * the open batch.  The cut moves it to work_since, which is cleared when the
 * batch is published.
 *
 * IDENTIFICATION
 *	  src/shared/writer_watch.c
 */
#include "postgres.h"

#include "base/clock.h"
#include "shared/alarm.h"
#include "shared/writer_watch.h"

/*
 * since_of_urgent returns the time that "urgent" stands for.  "urgent" is in
 * milliseconds of the monotonic clock, modulo 2^32 (see hurry_writer in
 * pending.c).
 */
static DlockTime
since_of_urgent(uint32 urgent)
{
	DlockTime	now = dlock_clock_now();

	return now - (uint32) ((uint32) (now / 1000) - urgent) * (int64) 1000;
}

/*
 * dlock_writer_watch_since returns since when a process has been waiting for
 * the writer; 0 if none is.  Needs no lock.
 *
 * The cut first writes into work_since what "urgent" stands for, and then
 * clears "urgent".  We read them in the opposite order, so we never miss work
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
 * dlock_writer_watch_stalled_since returns the same if that is at least
 * DLOCK_STALL_TIME ago, else 0.  Needs no lock.
 */
DlockTime
dlock_writer_watch_stalled_since(DlockDatabase *db)
{
	DlockTime	since = dlock_writer_watch_since(db);

	return since != 0 && dlock_clock_now() - since >= DLOCK_STALL_TIME ? since : 0;
}

/*
 * dlock_writer_watch_await_done sets whether the writer wakes the monitor when
 * its work is done.  Called by the monitor, without any lock.
 *
 * The writer may finish just before that is set, and then wakes no process.
 * So the monitor reads work_since once more after setting it.  The monitor
 * writes stall_told and then reads work_since; the writer writes work_since
 * and then reads stall_told.  Both write by an atomic exchange, which is a
 * full barrier.  So either the monitor sees that the work is done, or the
 * writer sees that it has to wake the monitor.
 */
void
dlock_writer_watch_await_done(DlockDatabase *db, bool wanted)
{
	pg_atomic_exchange_u32(&db->stall_told, wanted ? 1 : 0);
}

/*
 * dlock_writer_watch_done notes that the writer has done its work, and wakes
 * the monitor if it waits for that (see dlock_writer_watch_await_done).
 * Called by the writer, or by the process that takes the database down.
 * Cannot fail.
 */
void
dlock_writer_watch_done(DlockDatabase *db)
{
	pg_atomic_exchange_u64(&db->work_since, 0);
	if (pg_atomic_read_u32(&db->stall_told) != 0)
		dlock_alarm_ring();
}
