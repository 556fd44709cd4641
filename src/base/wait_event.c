/*
 * wait_event.c
 *	  What a process of dlock waits for, as pg_stat_activity shows it.
 *
 * IDENTIFICATION
 *	  src/base/wait_event.c
 */
#include "postgres.h"

#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/wait_event.h"

static const char *const event_names[DLOCK_NWAIT_EVENTS] = {
	[DLOCK_WAIT_EVENT_ACQUIRE] = "DlockAcquire",
	[DLOCK_WAIT_EVENT_FLUSH] = "DlockFlush",
	[DLOCK_WAIT_EVENT_LOAD] = "DlockLoad",
	[DLOCK_WAIT_EVENT_RELEASE] = "DlockRelease",
	[DLOCK_WAIT_EVENT_WORK] = "DlockWork",
	[DLOCK_WAIT_EVENT_DEBUG_POINT] = "DlockDebugPoint",
};

/* what pgstat_report_wait_start takes; every process inherits it */
static uint32 events[DLOCK_NWAIT_EVENTS];

/*
 * dlock_wait_event_init names the events.  The postmaster calls it when it has
 * made shared memory.  Before PostgreSQL 17, all have the name "Extension".
 */
void
dlock_wait_event_init(void)
{
	for (int i = 0; i < DLOCK_NWAIT_EVENTS; i++)
		events[i] = WaitEventExtensionNew(event_names[i]);
}

/*
 * dlock_wait_event returns what the server's functions that wait take.
 */
uint32
dlock_wait_event(DlockWaitEvent event)
{
	return events[event];
}
