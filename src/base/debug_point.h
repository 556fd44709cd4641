/*
 * debug_point.h
 *	  Named points at which a test can stop a process.
 *
 * IDENTIFICATION
 *	  src/base/debug_point.h
 */
#ifndef DLOCK_BASE_DEBUG_POINT_H
#define DLOCK_BASE_DEBUG_POINT_H

#include "base/config.h"

typedef enum DlockStopPoint
{
	DLOCK_STOP_NONE = 0,
	DLOCK_STOP_BATCH_COLLECTED, /* writer: images copied, nothing written */
	DLOCK_STOP_ROWS_WRITTEN,	/* writer: rows changed, not committed */
	DLOCK_STOP_ROWS_FLUSHED,	/* writer: committed, nobody told */
	DLOCK_STOP_GRANT_FLUSHED,	/* backend: grant durable, not acknowledged */
	DLOCK_STOP_GRANT_ACKNOWLEDGED,	/* backend: clock runs, token not returned */
	DLOCK_STOP_LEASES_LOADED,	/* writer: leases restored, gate still shut */
} DlockStopPoint;

extern void dlock_debug_wait(DlockStopPoint point);

/* No LWLock may be held here: the process may sleep for long. */
#define DLOCK_DEBUG_POINT(point) \
	do { \
		if (unlikely(dlock_debug_stop == (int) (point))) \
			dlock_debug_wait(point); \
	} while (0)

#endif							/* DLOCK_BASE_DEBUG_POINT_H */
