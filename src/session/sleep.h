/*
 * sleep.h
 *	  Sleep until a latch is set, or a time has come.
 *
 * IDENTIFICATION
 *	  src/session/sleep.h
 */
#ifndef DLOCK_SESSION_SLEEP_H
#define DLOCK_SESSION_SLEEP_H

#include "base/clock.h"

extern void dlock_sleep_until(DlockTime until, bool watch);

#endif							/* DLOCK_SESSION_SLEEP_H */
