/*
 * alarm.c
 *	  Waking the monitor in time for a deadline.
 *
 * The monitor announces the time until which it will sleep.  A process that
 * sets an earlier deadline wakes it.
 *
 * The race: the monitor reads the deadlines and then announces the earliest
 * one.  In between, a process may set a deadline in a partition that the
 * monitor has read already.  Therefore the monitor announces DLOCK_NEVER
 * before it reads the deadlines, and the process calls dlock_alarm_set after
 * it has set the deadline, still holding the partition lock under which the
 * monitor reads it.
 *
 * - The process had the partition lock before the monitor: the monitor reads
 *   the new deadline.
 * - The monitor had it before the process: the process reads DLOCK_NEVER and
 *   sets the monitor's latch, which stays set and ends the next sleep; or it
 *   reads the time that the monitor announced afterwards, and sets the latch
 *   if its own deadline is earlier.
 *
 * What the monitor reads without a lock ("urgent" and "work_since" of a
 * database) is changed before a full barrier that precedes dlock_alarm_set.
 * The monitor has a full barrier between announcing DLOCK_NEVER and reading
 * them, so again either it sees the change or the process sees DLOCK_NEVER.
 *
 * IDENTIFICATION
 *	  src/shared/alarm.c
 */
#include "postgres.h"

#include "port/atomics.h"
#include "storage/shmem.h"

#include "base/slot.h"
#include "shared/alarm.h"
#include "shared/latch.h"

typedef struct Alarm
{
	pg_atomic_uint32 procno;	/* the monitor's, or DLOCK_NONE */
	pg_atomic_uint64 due;		/* the monitor sleeps until then */
} Alarm;

static Alarm *alarm_state;

/*
 * dlock_alarm_shmem_size must agree with dlock_alarm_shmem_init.
 */
Size
dlock_alarm_shmem_size(void)
{
	return sizeof(Alarm);
}

/*
 * dlock_alarm_shmem_init creates the alarm, or attaches to it.
 */
void
dlock_alarm_shmem_init(void)
{
	bool		found;

	alarm_state = ShmemInitStruct("dlock alarm", dlock_alarm_shmem_size(),
								  &found);
	if (found)
		return;
	pg_atomic_init_u32(&alarm_state->procno, DLOCK_NONE);
	pg_atomic_init_u64(&alarm_state->due, 0);
}

/*
 * dlock_alarm_attach makes the caller the monitor: from now on alarms set its
 * latch.  Takes no lock and cannot fail.
 */
void
dlock_alarm_attach(int procno)
{
	pg_atomic_write_u32(&alarm_state->procno, procno);
}

/*
 * dlock_alarm_detach undoes dlock_alarm_attach; there is no monitor then.
 * Cannot fail.
 */
void
dlock_alarm_detach(void)
{
	pg_atomic_write_u32(&alarm_state->procno, DLOCK_NONE);
}

/*
 * dlock_alarm_set_due announces until when the monitor will sleep.  What the
 * monitor reads after this call is read after the announcement.
 */
void
dlock_alarm_set_due(DlockTime due)
{
	pg_atomic_write_u64(&alarm_state->due, (uint64) due);
	pg_memory_barrier();
}

/*
 * dlock_alarm_set wakes the monitor unless it will wake up by that time
 * anyway.  The caller has set a deadline and still holds the partition lock
 * under which the monitor reads it, or has passed a full barrier since the
 * change.  Cannot fail.
 */
void
dlock_alarm_set(DlockTime due)
{
	if (due < (DlockTime) pg_atomic_read_u64(&alarm_state->due))
		dlock_alarm_ring();
}

/*
 * dlock_alarm_ring wakes the monitor now.  Takes no lock and cannot fail.
 */
void
dlock_alarm_ring(void)
{
	dlock_latch_set_by_procno(pg_atomic_read_u32(&alarm_state->procno));
}
