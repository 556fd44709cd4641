/*
 * partition.c
 *	  The locks of the lock table's partitions, and their deadline heaps.
 *
 * A resource belongs to the partition that its hash selects.  Partition locks
 * come before every other lock of dlock.  A process takes one at a time; with
 * dlock_partition_lock_some and dlock_partition_lock_all it takes several, in
 * ascending order.
 *
 * IDENTIFICATION
 *	  src/shared/partition.c
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "base/slot.h"
#include "shared/partition.h"

#define TRANCHE_PARTITION "dlock_partition"

typedef struct Partition
{
	uint32		heap;			/* deadline heap; under the partition lock */
	char		pad[PG_CACHE_LINE_SIZE - sizeof(uint32)];
} Partition;

static Partition *partitions;
static LWLockPadded *locks;

/*
 * dlock_partition_shmem_size must agree with dlock_partition_shmem_init.
 */
Size
dlock_partition_shmem_size(void)
{
	return DLOCK_NPARTITIONS * sizeof(Partition);
}

/*
 * dlock_partition_shmem_init creates the partitions, or attaches to them.
 */
void
dlock_partition_shmem_init(void)
{
	bool		found;

	partitions = ShmemInitStruct("dlock partitions",
								 dlock_partition_shmem_size(), &found);
	locks = GetNamedLWLockTranche(TRANCHE_PARTITION);
	if (found)
		return;
	for (int i = 0; i < DLOCK_NPARTITIONS; i++)
		partitions[i].heap = DLOCK_NONE;
}

/*
 * dlock_partition_request_locks reserves the LWLocks, at server start.
 */
void
dlock_partition_request_locks(void)
{
	RequestNamedLWLockTranche(TRANCHE_PARTITION, DLOCK_NPARTITIONS);
}

/*
 * dlock_partition_of returns the number of the partition that a hash belongs
 * to.
 */
int
dlock_partition_of(uint32 hash)
{
	return (int) (hash % DLOCK_NPARTITIONS);
}

/*
 * dlock_partition_lock takes the partition lock of a hash, and sleeps until it
 * is available.  The number of a partition serves as a hash, too.  The caller
 * holds no lock of dlock, except for the functions below.
 */
void
dlock_partition_lock(uint32 hash, DlockLockMode mode)
{
	LWLockAcquire(&locks[dlock_partition_of(hash)].lock,
				  mode == DLOCK_LOCK_WRITE ? LW_EXCLUSIVE : LW_SHARED);
}

/*
 * dlock_partition_unlock releases the partition lock of a hash.
 */
void
dlock_partition_unlock(uint32 hash)
{
	LWLockRelease(&locks[dlock_partition_of(hash)].lock);
}

/*
 * dlock_partition_held returns whether this process holds the partition lock
 * of a hash.  For assertions.
 */
bool
dlock_partition_held(uint32 hash)
{
	return LWLockHeldByMe(&locks[dlock_partition_of(hash)].lock);
}

/*
 * dlock_partition_lock_some takes the locks of the partitions whose bits are
 * set, in ascending order.
 */
void
dlock_partition_lock_some(uint32 partitions, DlockLockMode mode)
{
	StaticAssertStmt(DLOCK_NPARTITIONS <= 32, "a bit for each partition");
	for (int i = 0; i < DLOCK_NPARTITIONS; i++)
		if (partitions & (1U << i))
			dlock_partition_lock(i, mode);
}

/*
 * dlock_partition_unlock_some releases the locks of the partitions whose bits
 * are set.
 */
void
dlock_partition_unlock_some(uint32 partitions)
{
	for (int i = DLOCK_NPARTITIONS - 1; i >= 0; i--)
		if (partitions & (1U << i))
			dlock_partition_unlock(i);
}

/*
 * dlock_partition_lock_all takes all partition locks, in ascending order.
 */
void
dlock_partition_lock_all(DlockLockMode mode)
{
	for (int i = 0; i < DLOCK_NPARTITIONS; i++)
		dlock_partition_lock(i, mode);
}

/*
 * dlock_partition_unlock_all releases all partition locks, the last one first.
 * A process that waits for the first one then finds the others free, instead
 * of waiting for one after the other.
 */
void
dlock_partition_unlock_all(void)
{
	for (int i = DLOCK_NPARTITIONS - 1; i >= 0; i--)
		dlock_partition_unlock(i);
}

/*
 * dlock_partition_heap returns where the root of a partition's deadline heap
 * is stored.  The caller holds the partition lock.  For deadline.c only.
 */
uint32 *
dlock_partition_heap(int partition)
{
	return &partitions[partition].heap;
}
