/*
 * ends.h
 *	  Ends of leases that are not durable yet.
 *
 * IDENTIFICATION
 *	  src/shared/ends.h
 */
#ifndef DLOCK_SHARED_ENDS_H
#define DLOCK_SHARED_ENDS_H

#include "shared/database.h"

/* the caller holds the partition lock, for dlock_ends_note exclusively */
extern void dlock_ends_note(DlockDatabase *db, uint32 hash, uint64 batch);
extern uint64 dlock_ends_batch(DlockDatabase *db, uint32 hash);

/* called at server start */
extern Size dlock_ends_shmem_size(void);
extern void dlock_ends_shmem_init(void);

#endif							/* DLOCK_SHARED_ENDS_H */
