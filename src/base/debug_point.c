/*
 * debug_point.c
 *	  Named points at which a test can stop a process.
 *
 * A process that reaches the point named by dlock.debug_stop writes a line to
 * the server log and waits there until a reload of the configuration names
 * another point, or until it is cancelled, terminated or killed.
 *
 * IDENTIFICATION
 *	  src/base/debug_point.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"

#include "base/debug_point.h"
#include "base/wait_event.h"

#ifdef DLOCK_DEBUG_POINTS

/*
 * dlock_debug_point_wait waits until dlock.debug_stop names another point.
 */
void
dlock_debug_point_wait(DlockStopPoint point)
{
	ereport(LOG,
			(errmsg("dlock stopped at debug point \"%s\"",
					GetConfigOption("dlock.debug_stop", false, false)),
			 errhidestmt(true)));

	for (;;)
	{
		/*
		 * Look before each sleep: the reload may have come before this
		 * function was called, and a wait of the server may have reset the
		 * latch since.
		 */
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (dlock_debug_stop != (int) point)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1,
						 dlock_wait_event(DLOCK_WAIT_EVENT_DEBUG_POINT));
		ResetLatch(MyLatch);
	}
	/* the latch may have been set for something else that the caller awaits */
	SetLatch(MyLatch);
}

#endif							/* DLOCK_DEBUG_POINTS */
