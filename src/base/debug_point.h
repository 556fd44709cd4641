/*
 * debug_point.h
 *	  Named points at which a test can stop a process.
 *
 * They exist only in a build for tests, "make DEBUG_POINTS=1", which defines
 * DLOCK_DEBUG_POINTS.  The build that is shipped has neither the points nor
 * the settings that control them.
 *
 * IDENTIFICATION
 *	  src/base/debug_point.h
 */
#ifndef DLOCK_BASE_DEBUG_POINT_H
#define DLOCK_BASE_DEBUG_POINT_H

#ifdef DLOCK_DEBUG_POINTS

#include "base/config.h"

typedef enum DlockStopPoint
{
	DLOCK_STOP_NONE = 0,
	DLOCK_STOP_BATCH_COLLECTED, /* writer: images copied, nothing written */
	DLOCK_STOP_PART_COLLECTED,	/* writer: likewise, the batch still open */
	DLOCK_STOP_ROWS_WRITTEN,	/* writer: rows changed, not committed */
	DLOCK_STOP_ROWS_FLUSHED,	/* writer: committed, not published */
	DLOCK_STOP_GRANT_FLUSHED,	/* backend: grant durable, not acknowledged */
	DLOCK_STOP_GRANT_ACKNOWLEDGED,	/* backend: clock runs, token unreturned */
	DLOCK_STOP_LEASES_LOADED,	/* writer: leases restored, gate still shut */
	DLOCK_STOP_WRITER_STARTING, /* writer: running, not attached */
	DLOCK_STOP_SLOTS_TRIMMED,	/* writer: slots taken, rows still there */
	DLOCK_STOP_WRITER_IDLE,		/* writer: about to sleep without a timeout */
	DLOCK_STOP_SLOT_SEEN,		/* a slot was read, its lock is not taken */
	DLOCK_STOP_SLOT_CHECKED,	/* the lock is taken and the slot found to be
								 * in use or not, but its owner was not read */
	DLOCK_STOP_CLIENT_LOOKED_UP,	/* backend: a client's row was looked for,
									 * no entry is made of it */
	DLOCK_STOP_CLIENTS_CHOSEN,	/* writer: rows of clients are to be deleted */
	DLOCK_STOP_DEADLOCK_SUSPECTED,	/* between the two deadlock searches */
	DLOCK_STOP_EXTENSION_CHANGED,	/* backend: the change is visible, its
									 * invalidation messages are not sent */
	DLOCK_STOP_DEADLOCK_CONFIRMED,	/* after both, no client was chosen */
} DlockStopPoint;

extern void dlock_debug_point_wait(DlockStopPoint point);

/*
 * The process must not hold an LWLock here, because it may sleep for long, and
 * a process that holds one ignores SIGINT and SIGTERM.  The only exception is
 * slot_checked, which lies between two reads under a partition lock.
 */
#define DLOCK_DEBUG_POINT(point) \
	do { \
		if (unlikely(dlock_debug_stop == (int) (point))) \
			dlock_debug_point_wait(point); \
	} while (0)

/* renewals are answered before the standbys have confirmed them */
#define DLOCK_DEBUG_NO_BARRIER dlock_debug_no_barrier

#else

#define DLOCK_DEBUG_POINT(point) ((void) 0)
#define DLOCK_DEBUG_NO_BARRIER false

#endif							/* DLOCK_DEBUG_POINTS */

#endif							/* DLOCK_BASE_DEBUG_POINT_H */
