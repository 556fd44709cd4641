/*
 * ends.c
 *	  Ends of leases that are not durable yet.
 *
 * A lease that has a row comes back after a crash until the batch that carries
 * its end is durable.  Whoever is granted the resource in the meantime must not
 * be told before that, or two clients would rely on the same resource.  So the
 * number of that batch outlives the lease, and the resource's entry as well.
 *
 * It is kept in a word for each bucket of resource names, not for each name.
 * Names that share a bucket may wait for one another's ends: for one flush too
 * many, never for one too few.  Where a word is needed for another database
 * while it still tells of one, that database keeps the number for all of its
 * names (ends_upto).
 *
 * Locks: the words of a bucket belong to the partition of its names.
 *
 * IDENTIFICATION
 *	  src/shared/ends.c
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "storage/shmem.h"

#include "base/config.h"
#include "shared/ends.h"
#include "shared/table.h"

/* a word has the number of the batch and, below it, that of the database */
#define DATABASE_BITS 16
#define DATABASE_MASK ((UINT64CONST(1) << DATABASE_BITS) - 1)

static uint64 *ends;			/* by bucket; partition locks */
static uint32 bucket_mask;		/* constant */

/*
 * bucket_count gives a multiple of the number of partitions, both being powers
 * of two: so all names of a bucket belong to one partition.
 */
static uint32
bucket_count(void)
{
	return pg_nextpower2_32(Max(dlock_max_leases, DLOCK_NPARTITIONS));
}

/*
 * dlock_ends_shmem_size must agree with dlock_ends_shmem_init.
 */
Size
dlock_ends_shmem_size(void)
{
	return mul_size(bucket_count(), sizeof(uint64));
}

void
dlock_ends_shmem_init(void)
{
	bool		found;

	bucket_mask = bucket_count() - 1;
	ends = ShmemInitStruct("dlock ends", dlock_ends_shmem_size(), &found);
	if (!found)
		memset(ends, 0, dlock_ends_shmem_size());
}

static uint64 *
word_of(uint32 hash)
{
	Assert(dlock_partition_held(hash));
	return &ends[hash & bucket_mask];
}

/*
 * keep_for_all notes an end for all names of a database, because its word is
 * needed for another one.
 */
static void
keep_for_all(DlockDatabase *db, uint64 batch)
{
	uint64		upto = pg_atomic_read_u64(&db->ends_upto);

	while (upto < batch &&
		   !pg_atomic_compare_exchange_u64(&db->ends_upto, &upto, batch))
		;
}

/*
 * dlock_ends_note says that the end of a lease on a resource is durable with a
 * batch, the open one.
 */
void
dlock_ends_note(DlockDatabase *db, uint32 hash, uint64 batch)
{
	uint64	   *word = word_of(hash);
	uint64		owner = *word & DATABASE_MASK;

	if (owner != 0 && owner != (uint64) db->slot + 1)
		keep_for_all(dlock_database_at((int) owner - 1),
					 *word >> DATABASE_BITS);
	*word = (batch << DATABASE_BITS) | ((uint64) db->slot + 1);
}

/*
 * dlock_ends_batch gives a batch with which all ends of leases on a resource
 * are durable; 0 where none was ever noted.
 */
uint64
dlock_ends_batch(DlockDatabase *db, uint32 hash)
{
	uint64		word = *word_of(hash);
	uint64		batch = pg_atomic_read_u64(&db->ends_upto);

	if ((word & DATABASE_MASK) == (uint64) db->slot + 1)
		batch = Max(batch, word >> DATABASE_BITS);
	return batch;
}
