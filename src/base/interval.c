/*
 * interval.c
 *	  Convert durations between intervals and microseconds.
 *
 * IDENTIFICATION
 *	  src/base/interval.c
 */
#include "postgres.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/interval.h"

/*
 * dlock_interval_to_us converts an interval to microseconds.  Like the
 * comparison of intervals, it counts a month as 30 days and a day as 24 hours.
 * Returns false if the result does not fit.
 */
bool
dlock_interval_to_us(const Interval *span, int64 *us)
{
	int64		days;
	int64		day_us;

	days = (int64) span->month * DAYS_PER_MONTH + span->day;
	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &day_us))
		return false;
	return !pg_add_s64_overflow(day_us, span->time, us);
}

/*
 * dlock_interval_from_us converts microseconds to an interval without days and
 * months.
 */
Interval
dlock_interval_from_us(int64 us)
{
	Interval	span = {0};

	span.time = us;
	return span;
}

/*
 * dlock_interval_text returns a duration as text, for a message (palloc'd).
 */
char *
dlock_interval_text(int64 us)
{
	Interval	span = dlock_interval_from_us(us);

	return DatumGetCString(DirectFunctionCall1(interval_out,
											   IntervalPGetDatum(&span)));
}
