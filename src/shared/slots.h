/*
 * slots.h
 *	  What the workers need of the lock table: nothing of its inside.
 *
 * IDENTIFICATION
 *	  src/shared/slots.h
 */
#ifndef DLOCK_SHARED_SLOTS_H
#define DLOCK_SHARED_SLOTS_H

#include "base/clock.h"
#include "shared/database.h"

/* well under MAX_SIMUL_LWLOCKS (200), since the writer takes all at once */
#define DLOCK_NPARTITIONS 32

extern uint32 dlock_lease_trim(DlockDatabase *db, DlockTime before);
extern bool dlock_lease_any_free(DlockDatabase *db);
extern void dlock_lease_retire(uint32 idx);

/* called at server start */
extern Size dlock_table_shmem_size(void);
extern void dlock_table_shmem_init(void);
extern void dlock_table_request_locks(void);

#endif							/* DLOCK_SHARED_SLOTS_H */
