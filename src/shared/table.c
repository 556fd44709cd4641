/*
 * table.c
 *	  The lock table in shared memory: partitions, the hash of resources, and
 *	  the pools that leases, resources and waiters come from.
 *
 * Resources stand in a chained hash table whose buckets are dealt out to the
 * partitions, so that one partition lock covers a whole chain.  Slots come
 * from fixed pools; a pool hands out returned slots first, most recent first,
 * so that those in use stay dense and warm.
 *
 * Locks: partition LWLocks first.  Under one, the spinlock of a pool or of a
 * database's free list may be taken for a few instructions; nothing is ever
 * taken under a spinlock.
 *
 * IDENTIFICATION
 *	  src/shared/table.c
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "base/config.h"
#include "shared/table.h"

#define TRANCHE_PARTITION "dlock_partition"

typedef struct Pool
{
	slock_t		lock;
	uint32		head;			/* returned slots; under lock */
	uint32		used;			/* slots ever handed out; under lock */
	uint32		taken;			/* slots handed out now; under lock */
	uint32		size;			/* constant */
} Pool;

typedef struct Partition
{
	uint32		heap;			/* deadline heap; under the partition lock */
	char		pad[PG_CACHE_LINE_SIZE - sizeof(uint32)];
} Partition;

typedef struct Table
{
	uint32		bucket_mask;	/* constant */
	Pool		leases;
	Pool		resources;
	Pool		waiters;
	Pool		holds;
	pg_atomic_uint32 trimmed;	/* leases between a free list and the pool */
	pg_atomic_uint32 untrimmed; /* times that one has come out of that state */
	Partition	partitions[DLOCK_NPARTITIONS];
} Table;

static Table *table;
static uint32 *buckets;			/* heads of the chains; partition locks */
static uint32 *lease_client;	/* by slot; written under partition locks */
static DlockLease *leases;
static DlockResource *resources;
static DlockWaiter *waiters;
static DlockHoldCount *holds;
static LWLockPadded *locks;

static uint32
bucket_count(void)
{
	return pg_nextpower2_32(Max(dlock_max_leases, DLOCK_NPARTITIONS));
}

/*
 * hold_size gives how many counts of holds there is room for besides the one in
 * each lease: one for each lease that a second session holds, or one session in
 * another scope or mode, and one for each waiter.
 */
static int
hold_size(void)
{
	return dlock_max_leases + dlock_max_waiters;
}

/*
 * dlock_table_shmem_size must agree with dlock_table_shmem_init.
 */
Size
dlock_table_shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(Table));

	size = add_size(size, MAXALIGN(mul_size(bucket_count(), sizeof(uint32))));
	size = add_size(size, MAXALIGN(mul_size(dlock_max_leases, sizeof(uint32))));
	size = add_size(size, mul_size(dlock_max_leases, sizeof(DlockLease)));
	size = add_size(size, MAXALIGN(mul_size(dlock_max_leases, sizeof(DlockResource))));
	size = add_size(size, mul_size(dlock_max_waiters, sizeof(DlockWaiter)));
	size = add_size(size, mul_size(hold_size(), sizeof(DlockHoldCount)));
	return size;
}

void
dlock_table_request_locks(void)
{
	RequestNamedLWLockTranche(TRANCHE_PARTITION, DLOCK_NPARTITIONS);
}

static void
pool_init(Pool *pool, int size)
{
	SpinLockInit(&pool->lock);
	pool->head = DLOCK_NONE;
	pool->used = 0;
	pool->taken = 0;
	pool->size = size;
}

/*
 * dlock_table_shmem_init makes the table, or attaches to it.
 */
void
dlock_table_shmem_init(void)
{
	bool		found;
	char	   *base;
	Size		offset = MAXALIGN(sizeof(Table));

	base = ShmemInitStruct("dlock table", dlock_table_shmem_size(), &found);
	locks = GetNamedLWLockTranche(TRANCHE_PARTITION);

	table = (Table *) base;
	buckets = (uint32 *) (base + offset);
	offset += MAXALIGN(bucket_count() * sizeof(uint32));
	lease_client = (uint32 *) (base + offset);
	offset += MAXALIGN(dlock_max_leases * sizeof(uint32));
	leases = (DlockLease *) (base + offset);
	offset += dlock_max_leases * sizeof(DlockLease);
	resources = (DlockResource *) (base + offset);
	offset += MAXALIGN(dlock_max_leases * sizeof(DlockResource));
	waiters = (DlockWaiter *) (base + offset);
	offset += dlock_max_waiters * sizeof(DlockWaiter);
	holds = (DlockHoldCount *) (base + offset);

	if (found)
		return;

	memset(base, 0, dlock_table_shmem_size());
	table->bucket_mask = bucket_count() - 1;
	for (uint32 i = 0; i < bucket_count(); i++)
		buckets[i] = DLOCK_NONE;
	for (int i = 0; i < dlock_max_leases; i++)
		lease_client[i] = DLOCK_NONE;
	for (int i = 0; i < DLOCK_NPARTITIONS; i++)
		table->partitions[i].heap = DLOCK_NONE;
	pool_init(&table->leases, dlock_max_leases);
	/* a resource exists only while somebody holds it or waits for it */
	pool_init(&table->resources, dlock_max_leases);
	pool_init(&table->waiters, dlock_max_waiters);
	pool_init(&table->holds, hold_size());
	pg_atomic_init_u32(&table->trimmed, 0);
	pg_atomic_init_u32(&table->untrimmed, 0);
}

/*
 * Partition locks
 */

int
dlock_partition_of(uint32 hash)
{
	return (int) (hash % DLOCK_NPARTITIONS);
}

void
dlock_partition_lock(uint32 hash, DlockLockMode mode)
{
	LWLockAcquire(&locks[dlock_partition_of(hash)].lock,
				  mode == DLOCK_LOCK_WRITE ? LW_EXCLUSIVE : LW_SHARED);
}

void
dlock_partition_unlock(uint32 hash)
{
	LWLockRelease(&locks[dlock_partition_of(hash)].lock);
}

bool
dlock_partition_held(uint32 hash)
{
	return LWLockHeldByMe(&locks[dlock_partition_of(hash)].lock);
}

/*
 * dlock_partition_lock_some takes the partitions whose bits are set.
 */
void
dlock_partition_lock_some(uint32 partitions, DlockLockMode mode)
{
	StaticAssertStmt(DLOCK_NPARTITIONS <= 32, "a bit for each partition");
	for (int i = 0; i < DLOCK_NPARTITIONS; i++)
		if (partitions & (1U << i))
			dlock_partition_lock(i, mode);
}

void
dlock_partition_unlock_some(uint32 partitions)
{
	for (int i = DLOCK_NPARTITIONS - 1; i >= 0; i--)
		if (partitions & (1U << i))
			dlock_partition_unlock(i);
}

void
dlock_partition_lock_all(DlockLockMode mode)
{
	for (int i = 0; i < DLOCK_NPARTITIONS; i++)
		dlock_partition_lock(i, mode);
}

/*
 * dlock_partition_unlock_all releases in reverse, so that whoever waits for
 * the first partition does not run into the others one by one.
 */
void
dlock_partition_unlock_all(void)
{
	for (int i = DLOCK_NPARTITIONS - 1; i >= 0; i--)
		dlock_partition_unlock(i);
}

uint32 *
dlock_partition_heap(int partition)
{
	return &table->partitions[partition].heap;
}

/*
 * Slots
 */

DlockLease *
dlock_lease_at(uint32 idx)
{
	Assert(idx < (uint32) dlock_max_leases);
	return &leases[idx];
}

DlockResource *
dlock_resource_at(uint32 idx)
{
	Assert(idx < (uint32) dlock_max_leases);
	return &resources[idx];
}

DlockWaiter *
dlock_waiter_at(uint32 idx)
{
	Assert(idx < (uint32) dlock_max_waiters);
	return &waiters[idx];
}

DlockHoldCount *
dlock_hold_count_at(uint32 idx)
{
	Assert(idx < (uint32) hold_size());
	return &holds[idx];
}

/*
 * pool_get takes a slot out of a pool; next tells where a slot keeps its link.
 */
static uint32
pool_get(Pool *pool, uint32 *(*next) (uint32 idx))
{
	uint32		idx = DLOCK_NONE;

	SpinLockAcquire(&pool->lock);
	if (pool->head != DLOCK_NONE)
	{
		idx = pool->head;
		pool->head = *next(idx);
	}
	else if (pool->used < pool->size)
		idx = pool->used++;
	if (idx != DLOCK_NONE)
		pool->taken++;
	SpinLockRelease(&pool->lock);
	return idx;
}

static void
pool_put(Pool *pool, uint32 idx, uint32 *(*next) (uint32 idx))
{
	SpinLockAcquire(&pool->lock);
	*next(idx) = pool->head;
	pool->head = idx;
	pool->taken--;
	SpinLockRelease(&pool->lock);
}

static uint32 *
lease_next(uint32 idx)
{
	return &leases[idx].next;
}

static uint32 *
resource_next(uint32 idx)
{
	return &resources[idx].next;
}

static uint32 *
waiter_next(uint32 idx)
{
	return &waiters[idx].next;
}

static uint32 *
hold_next(uint32 idx)
{
	return &holds[idx].next;
}

/*
 * dlock_lease_alloc gives a free slot, or DLOCK_NONE where there is none.
 *
 * The database's own free slots come first: their rows are there already.
 */
uint32
dlock_lease_alloc(DlockDatabase *db)
{
	uint32		idx;

	SpinLockAcquire(&db->free_lock);
	idx = db->free_head;
	if (idx != DLOCK_NONE)
	{
		db->free_head = leases[idx].next;
		if (db->free_head != DLOCK_NONE)
			leases[db->free_head].prev = DLOCK_NONE;
		else
			db->free_tail = DLOCK_NONE;
	}
	SpinLockRelease(&db->free_lock);

	if (idx == DLOCK_NONE)
		idx = pool_get(&table->leases, lease_next);
	if (idx != DLOCK_NONE)
	{
		Assert(leases[idx].state == DLOCK_LEASE_FREE);
		leases[idx].database = db->slot;
		leases[idx].state = DLOCK_LEASE_RESERVED;
	}
	return idx;
}

static void
untrimmed(void)
{
	/* in this order: see dlock_lease_trimmed */
	pg_atomic_fetch_add_u32(&table->untrimmed, 1);
	pg_atomic_fetch_sub_u32(&table->trimmed, 1);
}

/*
 * dlock_lease_free puts a slot into its database's free list.  Only the
 * writer knows whether it has a row; it moves slots on to the pool.
 */
void
dlock_lease_free(DlockDatabase *db, uint32 idx, DlockTime now)
{
	DlockLease *lease = &leases[idx];

	Assert(lease->database == db->slot && !lease->in_heap);
	if (lease->state == DLOCK_LEASE_TRIMMED)
		untrimmed();
	lease->state = DLOCK_LEASE_FREE;
	lease->deadline = now;
	SpinLockAcquire(&db->free_lock);
	lease->prev = DLOCK_NONE;
	lease->next = db->free_head;
	if (db->free_head != DLOCK_NONE)
		leases[db->free_head].prev = idx;
	else
		db->free_tail = idx;
	db->free_head = idx;
	SpinLockRelease(&db->free_lock);

	/* a writer that sleeps without a timeout would never trim it */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&db->dozing) != 0)
		dlock_wake_proc(pg_atomic_read_u32(&db->writer_procno));
}

/*
 * dlock_lease_trim takes the slot that has been free for longest out of the
 * database's free list, if that was before the given time.  DLOCK_NONE if
 * there is none, or if its row is still to be written.
 *
 * A free slot is put into a list of what is to be written before it enters this
 * one, and by nobody while it is here, so that can be read under this list's lock
 * alone.
 */
uint32
dlock_lease_trim(DlockDatabase *db, DlockTime before)
{
	uint32		idx;

	SpinLockAcquire(&db->free_lock);
	idx = db->free_tail;
	if (idx != DLOCK_NONE &&
		(leases[idx].deadline >= before || leases[idx].on_dirty ||
		 leases[idx].on_late))
		idx = DLOCK_NONE;
	if (idx != DLOCK_NONE)
	{
		db->free_tail = leases[idx].prev;
		if (db->free_tail != DLOCK_NONE)
			leases[db->free_tail].next = DLOCK_NONE;
		else
			db->free_head = DLOCK_NONE;
		leases[idx].state = DLOCK_LEASE_TRIMMED;
		pg_atomic_fetch_add_u32(&table->trimmed, 1);
	}
	SpinLockRelease(&db->free_lock);
	return idx;
}

/*
 * dlock_lease_trimmed counts the slots between a free list and the pool: somebody
 * who finds none will find them in a moment.  *untrimmed changes whenever one has
 * come out of that state.
 */
uint32
dlock_lease_trimmed(uint32 *untrimmed)
{
	uint32		trimmed = pg_atomic_read_u32(&table->trimmed);

	/* what has left the one is in the other */
	pg_read_barrier();
	*untrimmed = pg_atomic_read_u32(&table->untrimmed);
	return trimmed;
}

/*
 * dlock_lease_any_free tells whether there is anything to trim, now or later.
 */
bool
dlock_lease_any_free(DlockDatabase *db)
{
	return *(volatile uint32 *) &db->free_head != DLOCK_NONE;
}

/*
 * dlock_lease_retire gives a trimmed slot, whose row is gone, to the pool.
 */
void
dlock_lease_retire(uint32 idx)
{
	Assert(leases[idx].state == DLOCK_LEASE_TRIMMED);
	leases[idx].state = DLOCK_LEASE_FREE;
	pool_put(&table->leases, idx, lease_next);
	untrimmed();
}

uint32
dlock_waiter_alloc(void)
{
	return pool_get(&table->waiters, waiter_next);
}

/*
 * dlock_waiter_free gives a waiter back, and the room that its hold did not
 * need.  Called by its own backend, once it is out of the queue.
 */
void
dlock_waiter_free(uint32 idx)
{
	dlock_hold_count_free(waiters[idx].spare);
	pool_put(&table->waiters, idx, waiter_next);
}

uint32
dlock_hold_count_alloc(void)
{
	return pool_get(&table->holds, hold_next);
}

/*
 * dlock_hold_count_free gives it back; DLOCK_NONE is none.
 */
void
dlock_hold_count_free(uint32 idx)
{
	if (idx != DLOCK_NONE)
		pool_put(&table->holds, idx, hold_next);
}

static uint32
high_water(Pool *pool)
{
	uint32		used;

	SpinLockAcquire(&pool->lock);
	used = pool->used;
	SpinLockRelease(&pool->lock);
	return used;
}

/*
 * dlock_lease_high_water bounds the slots that were ever used.  A slot handed
 * out a moment later may be missed: the caller's answer is as of its start.
 */
uint32
dlock_lease_high_water(void)
{
	return high_water(&table->leases);
}

uint32
dlock_resource_high_water(void)
{
	return high_water(&table->resources);
}

uint32
dlock_waiter_high_water(void)
{
	return high_water(&table->waiters);
}

/*
 * dlock_waiter_count tells how many waiters there are, without a lock.
 */
uint32
dlock_waiter_count(void)
{
	return *(volatile uint32 *) &table->waiters.taken;
}

uint32
dlock_lease_client(uint32 idx)
{
	return *(volatile uint32 *) &lease_client[idx];
}

void
dlock_lease_set_client(uint32 idx, uint32 client)
{
	*(volatile uint32 *) &lease_client[idx] = client;
}

/*
 * Resources
 */

/*
 * dlock_resource_find looks a resource up; DLOCK_NONE where it is free.
 */
uint32
dlock_resource_find(const DlockKey *key)
{
	uint32		idx = buckets[key->hash & table->bucket_mask];

	Assert(dlock_partition_held(key->hash));
	while (idx != DLOCK_NONE)
	{
		DlockResource *res = &resources[idx];

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
	uint32		idx = pool_get(&table->resources, resource_next);
	uint32	   *head = &buckets[key->hash & table->bucket_mask];
	DlockResource *res;

	Assert(dlock_partition_held(key->hash));
	if (idx == DLOCK_NONE)
		return DLOCK_NONE;
	res = &resources[idx];
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
	DlockResource *res = &resources[idx];
	uint32	   *link = &buckets[res->hash & table->bucket_mask];

	Assert(dlock_partition_held(res->hash));
	Assert(res->nholders == 0 && res->nwaiters == 0);
	while (*link != idx)
		link = &resources[*link].next;
	*link = res->next;
	pool_put(&table->resources, idx, resource_next);
}
