/*
 * write.h
 *	  How the writer makes changes of leases durable.
 *
 * IDENTIFICATION
 *	  src/worker/write.h
 */
#ifndef DLOCK_WORKER_WRITE_H
#define DLOCK_WORKER_WRITE_H

#include "base/clock.h"
#include "shared/database.h"

/* rows deleted in one transaction */
#define DLOCK_WRITE_TRIM_MAX 1000

extern void dlock_write_init(void);
extern bool dlock_write_open(DlockDatabase *db, bool nowait);
extern void dlock_write_gather(DlockDatabase *db);
extern void dlock_write_batch(DlockDatabase *db, bool nowait,
							  DlockTime late_before);
extern int	dlock_write_trim(DlockDatabase *db, DlockTime before);
extern void dlock_write_put_back(DlockDatabase *db);

#endif							/* DLOCK_WORKER_WRITE_H */
