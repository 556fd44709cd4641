/*
 * sleep.c
 *	  Sleep until a latch is set, or a time has come.
 *
 * IDENTIFICATION
 *	  src/session/sleep.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "session/sleep.h"

/*
 * sleep_watching waits for the latch or the time, and for the client to go
 * away: the set of events that a backend reads its client with knows all that.
 */
static void
sleep_watching(long timeout)
{
	WaitEvent	event;

	ModifyWaitEvent(FeBeWaitSet, DLOCK_CLIENT_SOCKET, WL_SOCKET_CLOSED, NULL);
	if (WaitEventSetWait(FeBeWaitSet, timeout, &event, 1, PG_WAIT_EXTENSION) == 0)
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
 * dlock_sleep_until waits for the latch or the time; with "watch" for the
 * client to go away as well.
 */
void
dlock_sleep_until(DlockTime until, bool watch)
{
	long		timeout = dlock_clock_ms_until(until, dlock_clock_now());
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

	if (timeout >= 0)
		events |= WL_TIMEOUT;
	/* a background worker has no client */
	if (watch && FeBeWaitSet != NULL && WaitEventSetCanReportClosed())
		sleep_watching(timeout);
	else
		(void) WaitLatch(MyLatch, events, timeout, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}
