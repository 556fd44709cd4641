/*
 * resource.c
 *	  Resources by name: a hash table whose chains belong to partitions.
 *
 * The buckets are dealt out to the partitions, so that one partition lock covers
 * a whole chain.  The caller of every function holds that lock.
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
 * dlock_resource_shmem_init makes the hash table, or attaches to it.
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
 * dlock_resource_find looks a resource up; DLOCK_NONE where it is free.
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
 * dlock_resource_create adds a resource that is known to be absent;
 * DLOCK_NONE where the pool is empty.
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
	/* who looks without the lock sees the counts rise after this only */
	pg_write_barrier();
	res->next = *head;
	*head = idx;
	return idx;
}

/*
 * dlock_resource_remove forgets a resource that nobody holds or waits for.
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
