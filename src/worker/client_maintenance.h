/*
 * client_maintenance.h
 *	  Maintenance of the rows of clients between batches.
 *
 * IDENTIFICATION
 *	  src/worker/client_maintenance.h
 */
#ifndef DLOCK_WORKER_CLIENT_MAINTENANCE_H
#define DLOCK_WORKER_CLIENT_MAINTENANCE_H

#include "datatype/timestamp.h"

#include "shared/database.h"

/* called for a batch, before the cut */
extern TimestampTz dlock_client_maintenance_note_before(void);

/* called when a client is owed something */
extern void dlock_client_maintenance_request(void);

/* called between batches: before, in and after a transaction */
extern bool dlock_client_maintenance_due(DlockDatabase *db, bool is_busy);
extern void dlock_client_maintenance_write(DlockDatabase *db);
extern void dlock_client_maintenance_written(DlockDatabase *db);
extern void dlock_client_maintenance_put_off(void);

extern void dlock_client_maintenance_init(void);

#endif							/* DLOCK_WORKER_CLIENT_MAINTENANCE_H */
