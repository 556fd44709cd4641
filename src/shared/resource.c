/*
 * resource.c
 *	  Resources by name: a hash table whose chains belong to partitions.
 *
 * The number of buckets is a multiple of the number of partitions, so that one
 * partition lock covers a whole chain.  The caller of every function holds
 * that lock.
 *
 * IDENTIFICATION
 *	  src/shared/resource.c
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "storage/shmem.h"

#include "base/config.h"
#include "shared/partition.h"
#include "shared/resource.h"
#include "shared/slots.h"
#include "shared/table.h"

static uint32 *buckets;			/* heads of the chains; partition locks */
static uint32 bucket_mask;		/* constant */

/*
 * resource_buckets returns the number of buckets: a power of two, and a
 * multiple of the number of partitions.
 */
static uint32
resource_buckets(void)
{
	return pg_nextpower2_32(Max(dlock_max_leases, DLOCK_NPARTITIONS));
}

/*
 * dlock_resource_shmem_size must agree with dlock_resource_shmem_init.
 */
Size
dlock_resource_shmem_size(void)
{
	return mul_size(resource_buckets(), sizeof(uint32));
}

/*
 * dlock_resource_shmem_init creates the hash table, or attaches to it.
 */
void
dlock_resource_shmem_init(void)
{
	bool		found;

	buckets = ShmemInitStruct("dlock resources", dlock_resource_shmem_size(),
							  &found);
	bucket_mask = resource_buckets() - 1;
	if (found)
		return;
	for (uint32 i = 0; i < resource_buckets(); i++)
		buckets[i] = DLOCK_NONE;
}

/*
 * dlock_resource_find returns the resource of that name; DLOCK_NONE if no
 * client holds it or waits for it.  The caller holds the partition lock.
 */
uint32
dlock_resource_find(const DlockKey *key)
{
	uint32		idx = buckets[key->hash & bucket_mask];

	Assert(dlock_partition_held(key->hash));
	while (idx != DLOCK_NONE)
	{
		DlockResource *res = dlock_table_resource(idx);

		if (res->hash == key->hash &&
			dlock_key_matches(key, dlock_database_at(res->database)->dboid,
							  res->name, res->name_len))
			return idx;
		idx = res->next;
	}
	return DLOCK_NONE;
}

/*
 * dlock_resource_create adds a resource, which does not exist yet, and returns
 * it; DLOCK_NONE if the pool is empty.  It has no holders or waiters yet: if
 * none comes, the caller removes it before it releases the lock.  The caller
 * holds the partition lock exclusively.
 */
uint32
dlock_resource_create(const DlockKey *key, uint16 database)
{
	uint32		idx = dlock_slots_get_resource();
	uint32	   *head = &buckets[key->hash & bucket_mask];
	DlockResource *res;

	Assert(dlock_partition_held(key->hash));
	if (idx == DLOCK_NONE)
		return DLOCK_NONE;
	res = dlock_table_resource(idx);
	res->hash = key->hash;
	res->database = database;
	res->holders = DLOCK_NONE;
	res->queue_head = DLOCK_NONE;
	res->queue_tail = DLOCK_NONE;
	res->upgrader = DLOCK_NONE;
	res->nholders = 0;
	res->nwaiters = 0;
	res->name_len = (uint8) key->len;
	memcpy(res->name, key->name, key->len);

	/*
	 * a process that reads the counts without our lock and finds one above 0
	 * reads the new hash afterwards (see dlock_snapshot_by_slot)
	 */
	pg_write_barrier();
	res->next = *head;
	*head = idx;
	return idx;
}

/*
 * dlock_resource_remove removes a resource without holders and waiters.  The
 * caller holds the partition lock exclusively.  Cannot fail.
 */
void
dlock_resource_remove(uint32 idx)
{
	DlockResource *res = dlock_table_resource(idx);
	uint32	   *link = &buckets[res->hash & bucket_mask];

	Assert(dlock_partition_held(res->hash));
	Assert(res->nholders == 0 && res->nwaiters == 0);
	while (*link != idx)
		link = &dlock_table_resource(*link)->next;
	*link = res->next;
	dlock_slots_put_resource(idx);
}
