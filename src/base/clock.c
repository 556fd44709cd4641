/*
 * clock.c
 *	  The only reader of time.
 *
 * Leases and timeouts run on CLOCK_MONOTONIC.  Wall-clock time is for people
 * and for the informative columns of dlock.locks; no decision rests on it.
 *
 * IDENTIFICATION
 *	  src/base/clock.c
 */
#include "postgres.h"

#include <limits.h>
#include <time.h>

#include "common/int.h"
#include "utils/timestamp.h"

#include "base/clock.h"

/*
 * dlock_clock_now reads the monotonic clock, the same for all processes.
 */
DlockTime
dlock_clock_now(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (DlockTime) ts.tv_sec * USECS_PER_SEC + ts.tv_nsec / 1000;
}

/*
 * dlock_clock_after adds a duration, and says "never" rather than overflow.
 */
DlockTime
dlock_clock_after(DlockTime start, int64 duration)
{
	int64		due;

	if (start == DLOCK_NEVER || duration == DLOCK_NEVER ||
		pg_add_s64_overflow(start, duration, &due))
		return DLOCK_NEVER;
	return due;
}

/*
 * dlock_clock_ms_until gives how long to sleep, rounded up so that the
 * sleeper never wakes before it is due; -1 means for ever.
 */
long
dlock_clock_ms_until(DlockTime due, DlockTime now)
{
	if (due == DLOCK_NEVER)
		return -1;
	if (due <= now)
		return 0;
	/* WaitLatch takes no more than INT_MAX; an early wake-up is harmless */
	return (long) Min((due - now + 999) / 1000, (int64) INT_MAX);
}

/*
 * dlock_clock_wall reads the wall clock.
 */
TimestampTz
dlock_clock_wall(void)
{
	return GetCurrentTimestamp();
}

/*
 * dlock_clock_to_wall estimates the wall-clock time of a monotonic instant.
 */
TimestampTz
dlock_clock_to_wall(DlockTime due, DlockTime now, TimestampTz wall)
{
	int64		result;

	if (due == DLOCK_NEVER || pg_add_s64_overflow(wall, due - now, &result) ||
		!IS_VALID_TIMESTAMP(result))
		return DT_NOEND;
	return result;
}
