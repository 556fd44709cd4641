/*
 * ends.c
 *	  Ends of leases that are not durable yet.
 *
 * If the server crashes, a lease that has a row is loaded again, unless the
 * batch that carries its end is durable.  A client that is granted the
 * resource before that must not be told until the batch is durable.  Otherwise
 * two clients could rely on the same resource.  So the number of that batch
 * outlives the lease, and the resource's entry as well.
 *
 * It is kept in one word for each bucket of resource names, with a few bits of
 * the name's hash, the tag.  If two names of one bucket have ends that are not
 * durable, the tag is set to 0, which stands for all names of the bucket:
 * grants of these names then wait for each other's ends.  That can be one
 * flush too many, never one too few.  If a word is needed for another database
 * while the end in it is not durable, that database keeps the number for all
 * its names (ends_upto).  The number of the first batch after loading is kept
 * in the same way: an end that was loaded may not be confirmed by the standbys.
 *
 * Locks: the word of a bucket is guarded by the partition lock of the bucket's
 * names.
 *
 * IDENTIFICATION
 *	  src/shared/ends.c
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "storage/shmem.h"

#include "base/config.h"
#include "shared/ends.h"
#include "shared/partition.h"
#include "shared/pending.h"
#include "shared/table.h"

/*
 * A word has, from the upper bits to the lower, the number of the batch, the
 * number of the database plus 1, and the tag of a name; tag 0: of any name.
 */
#define TAG_BITS 7
#define DATABASE_BITS 13
#define LOW_BITS (TAG_BITS + DATABASE_BITS)

typedef struct End
{
	uint64		batch;
	int			database;		/* 0: the word was never used */
	uint32		tag;
} End;

static uint64 *ends;			/* by bucket; under partition locks */
static uint32 bucket_mask;		/* constant */

/*
 * ends_buckets returns a power of two that is a multiple of the number of
 * partitions.  So all names of a bucket belong to one partition.
 */
static uint32
ends_buckets(void)
{
	return pg_nextpower2_32(Max(dlock_max_leases, DLOCK_NPARTITIONS));
}

/*
 * dlock_ends_shmem_size must agree with dlock_ends_shmem_init.
 */
Size
dlock_ends_shmem_size(void)
{
	return mul_size(ends_buckets(), sizeof(uint64));
}

/*
 * dlock_ends_shmem_init creates the words, or attaches to them.
 */
void
dlock_ends_shmem_init(void)
{
	bool		found;

	bucket_mask = ends_buckets() - 1;
	ends = ShmemInitStruct("dlock ends", dlock_ends_shmem_size(), &found);
	if (!found)
		memset(ends, 0, dlock_ends_shmem_size());
}

/*
 * word_of returns the word of a resource.  The caller holds the partition
 * lock.
 */
static uint64 *
word_of(uint32 hash)
{
	Assert(dlock_partition_held(hash));
	return &ends[hash & bucket_mask];
}

/*
 * tag_of returns a few bits of a hash, never 0.  The bits that choose the
 * bucket are mixed with the others.
 */
static uint32
tag_of(uint32 hash)
{
	return Max((hash * 0x9E3779B1U) >> (32 - TAG_BITS), 1);
}

/*
 * unpack splits a word into its parts.
 */
static End
unpack(uint64 word)
{
	End			end;

	StaticAssertStmt(4096 < (1 << DATABASE_BITS), "dlock.max_databases fits");
	end.batch = word >> LOW_BITS;
	end.database = (int) ((word >> TAG_BITS) & ((1 << DATABASE_BITS) - 1));
	end.tag = (uint32) (word & ((1 << TAG_BITS) - 1));
	return end;
}

/*
 * keep_for_all keeps an end for all names of a database, because its word is
 * needed for another database.  The caller holds a partition lock, but not
 * that of every name of the database: hence the compare-and-swap.
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
 * dlock_ends_note records that the end of a lease on a resource is durable
 * with a batch, which is the open one.  The caller holds the partition lock
 * exclusively.  Cannot fail.
 */
void
dlock_ends_note(DlockDatabase *db, uint32 hash, uint64 batch)
{
	uint64	   *word = word_of(hash);
	End			last = unpack(*word);
	uint32		tag = tag_of(hash);
	DlockDatabase *owner;

	if (last.database != 0)
	{
		owner = dlock_database_at(last.database - 1);
		if (!dlock_pending_is_durable(owner, last.batch))
		{
			if (owner != db)
				keep_for_all(owner, last.batch);
			else if (last.tag != tag)
				tag = 0;
		}
	}
	*word = (batch << LOW_BITS) | ((uint64) (db->slot + 1) << TAG_BITS) | tag;
}

/*
 * dlock_ends_batch returns a batch with which all ends of leases on a resource
 * are durable; 0 if no end was ever recorded.  The caller holds the partition
 * lock.  Cannot fail.
 */
uint64
dlock_ends_batch(DlockDatabase *db, uint32 hash)
{
	End			end = unpack(*word_of(hash));
	uint64		batch = pg_atomic_read_u64(&db->ends_upto);

	if (end.database == db->slot + 1 &&
		(end.tag == 0 || end.tag == tag_of(hash)))
		batch = Max(batch, end.batch);
	return batch;
}
