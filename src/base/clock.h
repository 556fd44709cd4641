/*
 * clock.h
 *	  Read the clocks.
 *
 * IDENTIFICATION
 *	  src/base/clock.h
 */
#ifndef DLOCK_BASE_CLOCK_H
#define DLOCK_BASE_CLOCK_H

#include "datatype/timestamp.h"

/* microseconds on the monotonic clock, which wall-clock jumps do not move */
typedef int64 DlockTime;

#define DLOCK_NEVER PG_INT64_MAX

extern DlockTime dlock_clock_now(void);
extern DlockTime dlock_clock_after(DlockTime start, int64 duration);
extern long dlock_clock_ms_until(DlockTime due, DlockTime now);
extern TimestampTz dlock_clock_wall(void);
extern TimestampTz dlock_clock_to_wall(DlockTime due, DlockTime now,
									   TimestampTz wall);

#endif							/* DLOCK_BASE_CLOCK_H */
