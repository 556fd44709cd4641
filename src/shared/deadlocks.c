/*
 * deadlocks.c
 *	  The deadlocks that were found last.
 *
 * A ring.  The backend whose wait was ended to break a deadlock reads the
 * description for its error message here, and administrators can see what
 * happened.
 *
 * Locks: the ring's lock is taken alone, never with another.
 *
 * IDENTIFICATION
 *	  src/shared/deadlocks.c
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shared/deadlocks.h"

#define TRANCHE_DEADLOCKS "dlock_deadlocks"

typedef struct Ring
{
	uint64		newest;			/* number of the last one; 0: none yet */
	DlockDeadlock entries[DLOCK_DEADLOCKS_KEPT];
} Ring;

static Ring *ring;
static LWLock *ring_lock;

/*
 * dlock_deadlocks_shmem_size must agree with dlock_deadlocks_shmem_init.
 */
Size
dlock_deadlocks_shmem_size(void)
{
	return sizeof(Ring);
}

/*
 * dlock_deadlocks_request_locks reserves the LWLock, at server start.
 */
void
dlock_deadlocks_request_locks(void)
{
	RequestNamedLWLockTranche(TRANCHE_DEADLOCKS, 1);
}

/*
 * dlock_deadlocks_shmem_init creates the ring, or attaches to it.
 */
void
dlock_deadlocks_shmem_init(void)
{
	bool		found;

	ring = ShmemInitStruct("dlock deadlocks", dlock_deadlocks_shmem_size(),
						   &found);
	ring_lock = &GetNamedLWLockTranche(TRANCHE_DEADLOCKS)->lock;
	if (!found)
		memset(ring, 0, sizeof(*ring));
}

/*
 * entry returns the place of a deadlock in the ring.  The caller holds the
 * ring's lock.
 */
static DlockDeadlock *
entry(uint64 id)
{
	return &ring->entries[id % DLOCK_DEADLOCKS_KEPT];
}

/*
 * dlock_deadlocks_note adds a deadlock to the ring, in place of the oldest
 * one, and returns its number.  Takes the ring's lock; cannot fail.
 */
uint64
dlock_deadlocks_note(const DlockDeadlock *deadlock)
{
	uint64		id;

	LWLockAcquire(ring_lock, LW_EXCLUSIVE);
	id = ++ring->newest;
	*entry(id) = *deadlock;
	entry(id)->id = id;
	LWLockRelease(ring_lock);
	return id;
}

/*
 * dlock_deadlocks_retract removes a deadlock that had ended before it was
 * broken.  Takes the ring's lock; cannot fail.
 */
void
dlock_deadlocks_retract(uint64 id)
{
	LWLockAcquire(ring_lock, LW_EXCLUSIVE);
	if (entry(id)->id == id)
		entry(id)->id = 0;
	LWLockRelease(ring_lock);
}

/*
 * dlock_deadlocks_get copies the deadlock of that number; returns false if it
 * is not in the ring any more.  Takes the ring's lock; cannot fail.
 */
bool
dlock_deadlocks_get(uint64 id, DlockDeadlock *deadlock)
{
	bool		found;

	LWLockAcquire(ring_lock, LW_SHARED);
	found = id != 0 && entry(id)->id == id;
	if (found)
		*deadlock = *entry(id);
	LWLockRelease(ring_lock);
	return found;
}

/*
 * dlock_deadlocks_newest returns the number of the last deadlock, which is the
 * number of deadlocks since the server started.  Takes the ring's lock; cannot
 * fail.
 */
uint64
dlock_deadlocks_newest(void)
{
	uint64		newest;

	LWLockAcquire(ring_lock, LW_SHARED);
	newest = ring->newest;
	LWLockRelease(ring_lock);
	return newest;
}
