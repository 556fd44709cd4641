/*
 * client_batch.h
 *	  Rows for the new clients of a batch.
 *
 * IDENTIFICATION
 *	  src/worker/client_batch.h
 */
#ifndef DLOCK_WORKER_CLIENT_BATCH_H
#define DLOCK_WORKER_CLIENT_BATCH_H

#include "shared/batch.h"

/* called before the rows of a batch are written, and once it is durable */
extern void dlock_client_batch_begin(void);
extern void dlock_client_batch_add(DlockDatabase *db, DlockBatch *batch,
								   bool all, bool nowait);
extern void dlock_client_batch_added(const DlockBatch *batch);

#endif							/* DLOCK_WORKER_CLIENT_BATCH_H */
