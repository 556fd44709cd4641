/*
 * slots.c
 *	  Free slots: of leases, resources, waiters and counts of holds.
 *
 * Slots come from fixed pools.  A pool hands out returned slots first, the most
 * recent first, so that those in use stay dense and warm.  A lease slot that has
 * become free waits in its database's free list until it is used again, since it
 * may have a row; the writer deletes that row before the slot returns to the pool.
 *
 * Under a partition lock the spinlock of a pool or of a database's free list may
 * be taken for a few instructions; nothing is ever taken under a spinlock.
 *
 * IDENTIFICATION
 *	  src/shared/slots.c
 */
#include "postgres.h"

#include "storage/shmem.h"
#include "storage/spin.h"

#include "base/config.h"
#include "shared/latch.h"
#include "shared/slots.h"
#include "shared/table.h"

typedef struct Pool
{
	slock_t		lock;
	uint32		head;			/* returned slots; under lock */
	uint32		used;			/* slots ever handed out; under lock */
	uint32		taken;			/* slots handed out now; under lock */
	uint32		size;			/* constant */
} Pool;

typedef struct Slots
{
	Pool		leases;
	Pool		resources;
	Pool		waiters;
	Pool		holds;
	pg_atomic_uint32 trimmed;	/* leases between a free list and the pool */
	pg_atomic_uint32 untrimmed; /* times that one has come out of that state */
} Slots;

static Slots *slots;

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
 * dlock_slots_shmem_size must agree with dlock_slots_shmem_init.
 */
Size
dlock_slots_shmem_size(void)
{
	return sizeof(Slots);
}

/*
 * dlock_slots_shmem_init makes the pools, or attaches to them.
 */
void
dlock_slots_shmem_init(void)
{
	bool		found;

	slots = ShmemInitStruct("dlock slots", dlock_slots_shmem_size(), &found);
	if (found)
		return;
	pool_init(&slots->leases, dlock_max_leases);
	/* a resource exists only while a client holds it or waits for it */
	pool_init(&slots->resources, dlock_max_leases);
	pool_init(&slots->waiters, dlock_max_waiters);
	pool_init(&slots->holds, dlock_table_hold_counts());
	pg_atomic_init_u32(&slots->trimmed, 0);
	pg_atomic_init_u32(&slots->untrimmed, 0);
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
	return &dlock_table_lease(idx)->next;
}

static uint32 *
resource_next(uint32 idx)
{
	return &dlock_table_resource(idx)->next;
}

static uint32 *
waiter_next(uint32 idx)
{
	return &dlock_table_waiter(idx)->next;
}

static uint32 *
hold_next(uint32 idx)
{
	return &dlock_table_hold_count(idx)->next;
}

/*
 * dlock_slots_get_lease gives a free slot, or DLOCK_NONE where there is none.
 *
 * The database's own free slots come first: their rows are there already.
 */
uint32
dlock_slots_get_lease(DlockDatabase *db)
{
	uint32		idx;

	SpinLockAcquire(&db->free_lock);
	idx = db->free_head;
	if (idx != DLOCK_NONE)
	{
		db->free_head = dlock_table_lease(idx)->next;
		if (db->free_head != DLOCK_NONE)
			dlock_table_lease(db->free_head)->prev = DLOCK_NONE;
		else
			db->free_tail = DLOCK_NONE;
	}
	SpinLockRelease(&db->free_lock);

	if (idx == DLOCK_NONE)
		idx = pool_get(&slots->leases, lease_next);
	if (idx != DLOCK_NONE)
	{
		Assert(dlock_table_lease(idx)->state == DLOCK_LEASE_FREE);
		dlock_table_lease(idx)->database = db->slot;
		dlock_table_lease(idx)->state = DLOCK_LEASE_RESERVED;
	}
	return idx;
}

static void
untrimmed(void)
{
	/* in this order: see dlock_slots_trimmed */
	pg_atomic_fetch_add_u32(&slots->untrimmed, 1);
	pg_atomic_fetch_sub_u32(&slots->trimmed, 1);
}

/*
 * dlock_slots_put_lease puts a slot into its database's free list.  Only the
 * writer knows whether it has a row; it moves slots on to the pool.
 */
void
dlock_slots_put_lease(DlockDatabase *db, uint32 idx, DlockTime now)
{
	DlockLease *lease = dlock_table_lease(idx);

	Assert(lease->database == db->slot && !lease->in_heap);
	if (lease->state == DLOCK_LEASE_TRIMMED)
		untrimmed();
	lease->state = DLOCK_LEASE_FREE;
	lease->deadline = now;
	SpinLockAcquire(&db->free_lock);
	lease->prev = DLOCK_NONE;
	lease->next = db->free_head;
	if (db->free_head != DLOCK_NONE)
		dlock_table_lease(db->free_head)->prev = idx;
	else
		db->free_tail = idx;
	db->free_head = idx;
	SpinLockRelease(&db->free_lock);

	/* a writer that sleeps without a timeout would never trim it */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&db->idle) != 0)
		dlock_latch_set_by_procno(pg_atomic_read_u32(&db->writer_procno));
}

/*
 * dlock_slots_trim_lease takes the slot that has been free for longest out of the
 * database's free list, if that was before the given time.  DLOCK_NONE if
 * there is none, or if its row is still to be written.
 *
 * A free slot is put into a list of what is to be written before it enters this
 * one, and by nobody while it is here, so that can be read under this list's lock
 * alone.
 */
uint32
dlock_slots_trim_lease(DlockDatabase *db, DlockTime before)
{
	uint32		idx;

	SpinLockAcquire(&db->free_lock);
	idx = db->free_tail;
	if (idx != DLOCK_NONE &&
		(dlock_table_lease(idx)->deadline >= before || dlock_table_lease(idx)->on_dirty ||
		 dlock_table_lease(idx)->on_late))
		idx = DLOCK_NONE;
	if (idx != DLOCK_NONE)
	{
		db->free_tail = dlock_table_lease(idx)->prev;
		if (db->free_tail != DLOCK_NONE)
			dlock_table_lease(db->free_tail)->next = DLOCK_NONE;
		else
			db->free_head = DLOCK_NONE;
		dlock_table_lease(idx)->state = DLOCK_LEASE_TRIMMED;
		pg_atomic_fetch_add_u32(&slots->trimmed, 1);
	}
	SpinLockRelease(&db->free_lock);
	return idx;
}

/*
 * dlock_slots_trimmed counts the slots between a free list and the pool: somebody
 * who finds none will find them in a moment.  *untrimmed changes whenever one has
 * come out of that state.
 */
uint32
dlock_slots_trimmed(uint32 *untrimmed)
{
	uint32		trimmed = pg_atomic_read_u32(&slots->trimmed);

	/* what has left the one is in the other */
	pg_read_barrier();
	*untrimmed = pg_atomic_read_u32(&slots->untrimmed);
	return trimmed;
}

/*
 * dlock_slots_any_free_lease tells whether there is anything to trim, now or later.
 */
bool
dlock_slots_any_free_lease(DlockDatabase *db)
{
	return *(volatile uint32 *) &db->free_head != DLOCK_NONE;
}

/*
 * dlock_slots_put_back_lease returns a slot that the writer of a database has
 * trimmed to the free list; it does nothing where that was done already, because
 * the database was taken down in between.
 */
void
dlock_slots_put_back_lease(DlockDatabase *db, uint32 idx, DlockTime now)
{
	const DlockLease *lease = dlock_table_lease(idx);

	/* nobody but the writer of a database trims its slots */
	if (lease->state == DLOCK_LEASE_TRIMMED && lease->database == db->slot)
		dlock_slots_put_lease(db, idx, now);
}

/*
 * dlock_slots_retire_lease gives a trimmed slot, whose row is gone, to the pool.
 */
void
dlock_slots_retire_lease(uint32 idx)
{
	Assert(dlock_table_lease(idx)->state == DLOCK_LEASE_TRIMMED);
	dlock_table_lease(idx)->state = DLOCK_LEASE_FREE;
	pool_put(&slots->leases, idx, lease_next);
	untrimmed();
}

uint32
dlock_slots_get_waiter(void)
{
	return pool_get(&slots->waiters, waiter_next);
}

/*
 * dlock_slots_put_waiter gives a waiter back, and the room that its hold did not
 * need.  Called by its own backend, once it is out of the queue.
 */
void
dlock_slots_put_waiter(uint32 idx)
{
	dlock_slots_put_hold_count(dlock_table_waiter(idx)->spare);
	pool_put(&slots->waiters, idx, waiter_next);
}

uint32
dlock_slots_get_hold_count(void)
{
	return pool_get(&slots->holds, hold_next);
}

/*
 * dlock_slots_put_hold_count gives it back; DLOCK_NONE is none.
 */
void
dlock_slots_put_hold_count(uint32 idx)
{
	if (idx != DLOCK_NONE)
		pool_put(&slots->holds, idx, hold_next);
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
 * dlock_slots_leases_used bounds the slots that were ever used.  A slot handed
 * out a moment later may be missed: the caller's answer is as of its start.
 */
uint32
dlock_slots_leases_used(void)
{
	return high_water(&slots->leases);
}

uint32
dlock_slots_resources_used(void)
{
	return high_water(&slots->resources);
}

uint32
dlock_slots_waiters_used(void)
{
	return high_water(&slots->waiters);
}

/*
 * dlock_slots_waiters_taken tells how many waiters there are, without a lock.
 */
uint32
dlock_slots_waiters_taken(void)
{
	return *(volatile uint32 *) &slots->waiters.taken;
}

uint32
dlock_slots_get_resource(void)
{
	return pool_get(&slots->resources, resource_next);
}

void
dlock_slots_put_resource(uint32 idx)
{
	pool_put(&slots->resources, idx, resource_next);
}
