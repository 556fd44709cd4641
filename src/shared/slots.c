/*
 * slots.c
 *	  Free slots of leases, resources, waiters and hold counts.
 *
 * Slots come from fixed pools.  A pool hands out the slot first that was
 * returned last, so that the slots in use stay close together and in the CPU
 * caches.
 *
 * A lease slot may have a row in dlock.locks when it becomes free.  It is put
 * into its database's free list, from which the database's next lease takes it
 * and updates the row in place.  The writer trims that list: it deletes the
 * rows of slots that have been free for a while, and returns the slots to the
 * pool.
 *
 * Locks: the spinlock of a pool or of a free list may be taken under a
 * partition lock, for a few instructions.  No other lock is taken under a
 * spinlock.
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
	pg_atomic_uint32 trimmed;	/* lease slots in state TRIMMED */
	pg_atomic_uint32 untrimmed; /* how often a slot has left that state */
} Slots;

static Slots *slots;

/*
 * pool_init prepares a pool none of whose slots was used, at server start.
 */
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
 * dlock_slots_shmem_init creates the pools, or attaches to them.
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
 * pool_get takes a slot out of a pool and returns it; DLOCK_NONE if there is
 * none.  "next" returns where a slot stores its link.
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

/*
 * pool_put returns a slot to its pool.
 */
static void
pool_put(Pool *pool, uint32 idx, uint32 *(*next) (uint32 idx))
{
	SpinLockAcquire(&pool->lock);
	*next(idx) = pool->head;
	pool->head = idx;
	pool->taken--;
	SpinLockRelease(&pool->lock);
}

/*
 * where a slot of each kind stores its link
 */
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
 * dlock_slots_get_lease returns a free lease slot, now RESERVED; DLOCK_NONE if
 * there is none.  It prefers the database's own free list, whose slots have
 * rows already.
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

/*
 * untrimmed counts a slot that has left the state TRIMMED.  It raises one
 * counter before it lowers the other; dlock_slots_trimmed says why.
 */
static void
untrimmed(void)
{
	/* in this order */
	pg_atomic_fetch_add_u32(&slots->untrimmed, 1);
	pg_atomic_fetch_sub_u32(&slots->trimmed, 1);
}

/*
 * dlock_slots_put_lease puts a lease slot into its database's free list; "now"
 * is kept as the time since when the slot is free.  Only the writer can find
 * out whether the slot has a row; it moves the slot on to the pool.  Cannot
 * fail.
 *
 * An idle writer would never trim the slot, so it is woken.  We add the slot
 * and then read "idle"; the writer sets "idle" and then reads the list
 * (dlock_slots_any_free_lease).  There is a full barrier in between on both
 * sides, so either we set its latch, or it sees the slot.
 */
void
dlock_slots_put_lease(DlockDatabase *db, uint32 idx, DlockTime now)
{
	DlockLease *lease = dlock_table_lease(idx);
	bool		was_trimmed = lease->state == DLOCK_LEASE_TRIMMED;

	Assert(lease->database == db->slot && !lease->in_heap);
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
	/* not before: a request would find the slot neither here nor there */
	if (was_trimmed)
		untrimmed();

	/* see above */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&db->idle) != 0)
		dlock_latch_set_by_procno(pg_atomic_read_u32(&db->writer_procno));
}

/*
 * dlock_slots_trim_lease takes the slot out of the database's free list that
 * has been free for longest, and makes it TRIMMED.  Returns DLOCK_NONE if
 * there is none that was free before the given time, or if its row is still to
 * be written.
 *
 * A slot enters the dirty list or the late list only before it enters the free
 * list.  While it is free, on_dirty and on_late can only be cleared.  So the
 * free list's spinlock suffices to read them.
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
 * dlock_slots_trimmed returns the number of TRIMMED slots.  A request that has
 * found no free slot can be made again, since these will be free in a moment.
 * *untrimmed changes whenever a slot leaves that state.  Needs no lock.
 *
 * A slot that leaves the state raises "untrimmed" and then lowers "trimmed"
 * (see untrimmed).  We read them in the opposite order.  So a slot that is not
 * in "trimmed" any more when we read it has been counted in *untrimmed.
 */
uint32
dlock_slots_trimmed(uint32 *untrimmed)
{
	uint32		trimmed = pg_atomic_read_u32(&slots->trimmed);

	/* see above */
	pg_read_barrier();
	*untrimmed = pg_atomic_read_u32(&slots->untrimmed);
	return trimmed;
}

/*
 * dlock_slots_any_free_lease returns whether the database's free list has any
 * slot, which the writer will trim now or later.  Needs no lock.
 */
bool
dlock_slots_any_free_lease(DlockDatabase *db)
{
	return *(volatile uint32 *) &db->free_head != DLOCK_NONE;
}

/*
 * dlock_slots_put_back_lease returns a slot that the writer has trimmed, but
 * whose row it has not deleted, to the database's free list.  Does nothing if
 * that was done already, because the database was taken down in between.
 * Called by the database's writer, without any lock.  Cannot fail.
 */
void
dlock_slots_put_back_lease(DlockDatabase *db, uint32 idx, DlockTime now)
{
	const DlockLease *lease = dlock_table_lease(idx);

	/* only the database's writer trims its slots */
	if (lease->state == DLOCK_LEASE_TRIMMED && lease->database == db->slot)
		dlock_slots_put_lease(db, idx, now);
}

/*
 * dlock_slots_retire_lease returns a TRIMMED slot, whose row has been deleted,
 * to the pool of all databases.  Cannot fail.
 */
void
dlock_slots_retire_lease(uint32 idx)
{
	Assert(dlock_table_lease(idx)->state == DLOCK_LEASE_TRIMMED);
	dlock_table_lease(idx)->state = DLOCK_LEASE_FREE;
	pool_put(&slots->leases, idx, lease_next);
	untrimmed();
}

/*
 * dlock_slots_get_waiter returns a free waiter slot; DLOCK_NONE if there is
 * none.
 */
uint32
dlock_slots_get_waiter(void)
{
	return pool_get(&slots->waiters, waiter_next);
}

/*
 * dlock_slots_put_waiter frees a waiter slot, and the hold count that was kept
 * for it if that was not needed.  Called by the waiter's own backend, once the
 * waiter is out of the queue.  Cannot fail.
 */
void
dlock_slots_put_waiter(uint32 idx)
{
	dlock_slots_put_hold_count(dlock_table_waiter(idx)->spare);
	pool_put(&slots->waiters, idx, waiter_next);
}

/*
 * dlock_slots_get_hold_count returns a free hold count; DLOCK_NONE if there is
 * none.
 */
uint32
dlock_slots_get_hold_count(void)
{
	return pool_get(&slots->holds, hold_next);
}

/*
 * dlock_slots_put_hold_count frees a hold count; DLOCK_NONE: does nothing.
 * Cannot fail.
 */
void
dlock_slots_put_hold_count(uint32 idx)
{
	if (idx != DLOCK_NONE)
		pool_put(&slots->holds, idx, hold_next);
}

/*
 * high_water returns how many slots of a pool were ever used.
 */
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
 * dlock_slots_leases_used returns an upper bound of the lease slots that were
 * ever used.  A slot that is used for the first time after this call may be
 * missed: the caller's answer is as of this call.
 */
uint32
dlock_slots_leases_used(void)
{
	return high_water(&slots->leases);
}

/*
 * dlock_slots_resources_used returns the same for resources.
 */
uint32
dlock_slots_resources_used(void)
{
	return high_water(&slots->resources);
}

/*
 * dlock_slots_waiters_used returns the same for waiters.
 */
uint32
dlock_slots_waiters_used(void)
{
	return high_water(&slots->waiters);
}

/*
 * dlock_slots_waiters_taken returns how many waiter slots are in use.  Needs
 * no lock.
 */
uint32
dlock_slots_waiters_taken(void)
{
	return *(volatile uint32 *) &slots->waiters.taken;
}

/*
 * dlock_slots_get_resource returns a free resource slot; DLOCK_NONE if there
 * is none.
 */
uint32
dlock_slots_get_resource(void)
{
	return pool_get(&slots->resources, resource_next);
}

/*
 * dlock_slots_put_resource frees a resource slot.  Cannot fail.
 */
void
dlock_slots_put_resource(uint32 idx)
{
	pool_put(&slots->resources, idx, resource_next);
}
