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

/* a part of the changes of a database up to one moment, copied */
typedef struct DlockBatch
{
	uint64		number;			/* set when the batch is closed */
	int			nrecords;
	int			capacity;
	int			nparts;			/* taken before this one */
	int			max_parts;		/* when so many were taken, the next one
								 * closes the batch */
	DlockRecord *records;
	int64		last_token;		/* newest token when the batch was cut */
	bool		barrier;		/* flushed even if it has no records */

	/*
	 * Set by the caller before the cut.  A client that has a lease, and whose
	 * row in dlock.clients says that it was last used before this time, is
	 * owed an update of that row.
	 */
	TimestampTz note_before;
} DlockBatch;

/* called by the writer */
extern void dlock_batch_init(DlockBatch *batch);
extern void dlock_batch_begin(DlockBatch *batch);
extern bool dlock_batch_collect(DlockDatabase *db, DlockBatch *batch,
								DlockTime late_before);
extern void dlock_batch_end(DlockBatch *batch);

#endif							/* DLOCK_SHARED_BATCH_H */
