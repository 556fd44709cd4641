/*
 * clock.c
 *	  Read the clocks.  No other file does.
 *
 * Leases and timeouts run on CLOCK_MONOTONIC.  Wall-clock time is shown to
 * users and stored in the informative columns of dlock.locks; no decision
 * depends on it.
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
 * dlock_clock_now returns the time of the monotonic clock, which is the same
 * for all processes.
 */
DlockTime
dlock_clock_now(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (DlockTime) ts.tv_sec * USECS_PER_SEC + ts.tv_nsec / 1000;
}

/*
 * dlock_clock_after returns the time that is a duration after "start", or
 * DLOCK_NEVER if the sum would overflow.
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
 * dlock_clock_ms_until returns how long to sleep until a time, in
 * milliseconds, rounded up so that the sleep does not end too early; -1 means
 * without a limit.
 */
long
dlock_clock_ms_until(DlockTime due, DlockTime now)
{
	if (due == DLOCK_NEVER)
		return -1;
	if (due <= now)
		return 0;
	/* WaitLatch accepts at most INT_MAX; waking up early does no harm */
	return (long) Min((due - now + 999) / 1000, (int64) INT_MAX);
}

/*
 * dlock_clock_wall returns the time of the wall clock.
 */
TimestampTz
dlock_clock_wall(void)
{
	return GetCurrentTimestamp();
}

/*
 * dlock_clock_to_wall estimates the wall-clock time of a monotonic time, given
 * the present time of both clocks.  Returns DT_NOEND for DLOCK_NEVER and for
 * times beyond the range of a timestamp.
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
