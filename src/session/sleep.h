/*
 * sleep.h
 *	  Sleep until the latch is set or a deadline has passed.
 *
 * IDENTIFICATION
 *	  src/session/sleep.h
 */
#ifndef DLOCK_SESSION_SLEEP_H
#define DLOCK_SESSION_SLEEP_H

#include "base/clock.h"
#include "base/wait_event.h"

extern void dlock_sleep_until(DlockTime until, bool watch,
							  DlockWaitEvent event);

#endif							/* DLOCK_SESSION_SLEEP_H */
