/*
 * maintenance.h
 *	  What the workers do to leases: restore, start clocks, expire, end all.
 *
 * IDENTIFICATION
 *	  src/engine/maintenance.h
 */
#ifndef DLOCK_ENGINE_MAINTENANCE_H
#define DLOCK_ENGINE_MAINTENANCE_H

#include "base/clock.h"
#include "base/record.h"
#include "shared/database.h"

typedef enum DlockRestoreResult
{
	DLOCK_RESTORED,
	DLOCK_RESTORE_OUTDATED,		/* a newer lease is in its way */
	DLOCK_RESTORE_AGAIN,		/* an older lease was, and has been ended */
	DLOCK_RESTORE_NO_SLOT,
} DlockRestoreResult;

extern DlockRestoreResult dlock_maintenance_restore(DlockDatabase *db,
													const DlockRecord *record,
													uint32 client,
													uint32 *slot,
													int64 *outdated);
extern void dlock_maintenance_start_clocks(DlockDatabase *db);
extern void dlock_maintenance_purge(DlockDatabase *db);
extern void dlock_maintenance_expire(int partition, DlockTime *next);

#endif							/* DLOCK_ENGINE_MAINTENANCE_H */
