/*
 * partition.h
 *	  The locks of the lock table's partitions, and their deadline heaps.
 *
 * IDENTIFICATION
 *	  src/shared/partition.h
 */
#ifndef DLOCK_SHARED_PARTITION_H
#define DLOCK_SHARED_PARTITION_H

/* well below MAX_SIMUL_LWLOCKS (200), since the writer takes all at once */
#define DLOCK_NPARTITIONS 32

typedef enum DlockLockMode
{
	DLOCK_LOCK_READ,
	DLOCK_LOCK_WRITE,
} DlockLockMode;

/*
 * In ascending order.  One at a time, except for dlock_partition_lock_some and
 * dlock_partition_lock_all.
 */
extern void dlock_partition_lock(uint32 hash, DlockLockMode mode);
extern void dlock_partition_unlock(uint32 hash);
extern bool dlock_partition_held(uint32 hash);
extern void dlock_partition_lock_some(uint32 partitions, DlockLockMode mode);
extern void dlock_partition_unlock_some(uint32 partitions);
extern void dlock_partition_lock_all(DlockLockMode mode);
extern void dlock_partition_unlock_all(void);
extern int	dlock_partition_of(uint32 hash);

/* root of the partition's deadline heap; deadline.c only */
extern uint32 *dlock_partition_heap(int partition);

/* called at server start */
extern Size dlock_partition_shmem_size(void);
extern void dlock_partition_shmem_init(void);
extern void dlock_partition_request_locks(void);

#endif							/* DLOCK_SHARED_PARTITION_H */
