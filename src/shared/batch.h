/*
 * batch.h
 *	  What one transaction of the writer carries.
 *
 * IDENTIFICATION
 *	  src/shared/batch.h
 */
#ifndef DLOCK_SHARED_BATCH_H
#define DLOCK_SHARED_BATCH_H

#include "base/record.h"
#include "shared/database.h"

/* one consistent cut through all changes of a database, as copied facts */
typedef struct DlockBatch
{
	uint64		number;
	int			nrecords;
	int			capacity;
	DlockRecord *records;
	int64		last_token;		/* newest token at the time of the cut */
	bool		barrier;		/* to be flushed in any case */
	TimestampTz note_before;	/* set before the cut: whose row was not used
								 * since then is owed that, if it has a lease */
} DlockBatch;

/* called by the writer */
extern void dlock_batch_init(DlockBatch *batch);
extern void dlock_batch_collect(DlockDatabase *db, DlockBatch *batch,
								DlockTime late_before);

#endif							/* DLOCK_SHARED_BATCH_H */
