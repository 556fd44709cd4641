/*
 * wakeups.h
 *	  The processes to wake once the partition lock is released.
 *
 * IDENTIFICATION
 *	  src/engine/wakeups.h
 */
#ifndef DLOCK_ENGINE_WAKEUPS_H
#define DLOCK_ENGINE_WAKEUPS_H

#include "shared/database.h"

#define DLOCK_WAKEUPS_MAX 32

/* what to do once the partition lock is released */
typedef struct DlockWakeups
{
	DlockDatabase *db;
	bool		marked;			/* the writer has rows to write */
	bool		urgent;			/* and a backend waits for them */
	int			nprocs;			/* backends to wake */
	uint32		procs[DLOCK_WAKEUPS_MAX];
} DlockWakeups;

extern void dlock_wakeups_init(DlockWakeups *wakeups, DlockDatabase *db);
extern void dlock_wakeups_run(DlockWakeups *wakeups);

/* the caller holds a partition lock */
extern void dlock_wakeups_add(DlockWakeups *wakeups, uint32 procno);

#endif							/* DLOCK_ENGINE_WAKEUPS_H */
