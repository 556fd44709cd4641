/*
 * clients.h
 *	  What the writer does about the rows of clients.
 *
 * IDENTIFICATION
 *	  src/worker/clients.h
 */
#ifndef DLOCK_WORKER_CLIENTS_H
#define DLOCK_WORKER_CLIENTS_H

#include "durable/store.h"
#include "shared/database.h"
#include "shared/pending.h"

/* called for a batch: before the cut, before its rows, once it is durable */
extern TimestampTz dlock_clients_note_before(void);
extern void dlock_clients_add(DlockDatabase *db, DlockBatch *batch, bool all,
							  bool nowait);
extern void dlock_clients_added(void);

/* called between batches: before, in and after a transaction */
extern bool dlock_clients_due(DlockDatabase *db, bool is_busy);
extern void dlock_clients_write(DlockDatabase *db);
extern void dlock_clients_written(DlockDatabase *db);
extern void dlock_clients_put_off(void);

extern void dlock_clients_init(void);

#endif							/* DLOCK_WORKER_CLIENTS_H */
