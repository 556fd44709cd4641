/*
 * sleep.c
 *	  Sleep until the latch is set or a deadline has passed.
 *
 * IDENTIFICATION
 *	  src/session/sleep.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"

#include "base/compat.h"
#include "base/wait_event.h"
#include "session/sleep.h"

/*
 * sleep_watching sleeps until the latch is set or the timeout is over, or the
 * client closes its connection.  It uses the set of events that the backend
 * also uses to wait for its client's commands: that set has the latch, the
 * postmaster's death and the client's socket.
 */
static void
sleep_watching(long timeout, DlockWaitEvent why)
{
	WaitEvent	event;

	ModifyWaitEvent(FeBeWaitSet, DLOCK_CLIENT_SOCKET, WL_SOCKET_CLOSED, NULL);
	if (WaitEventSetWait(FeBeWaitSet, timeout, &event, 1,
						 dlock_wait_event(why)) == 0)
		return;
	if (event.events & WL_POSTMASTER_DEATH)
		proc_exit(1);
	if (event.events & WL_SOCKET_CLOSED)
	{
		ClientConnectionLost = true;
		InterruptPending = true;
	}
}

/*
 * dlock_sleep_until sleeps until the process's latch is set or a deadline has
 * passed, and resets the latch.  It may return early.  If "watch" is set, it
 * also notices when the client closes its connection, which ends the process.
 * "event" is what pg_stat_activity shows.  Throws if the backend is cancelled
 * or terminated.
 */
void
dlock_sleep_until(DlockTime until, bool watch, DlockWaitEvent event)
{
	long		timeout = dlock_clock_ms_until(until, dlock_clock_now());
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

	if (timeout >= 0)
		events |= WL_TIMEOUT;
	/* a background worker has no client */
	if (watch && FeBeWaitSet != NULL && WaitEventSetCanReportClosed())
		sleep_watching(timeout, event);
	else
		(void) WaitLatch(MyLatch, events, timeout, dlock_wait_event(event));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}
