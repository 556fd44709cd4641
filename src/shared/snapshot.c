/*
 * snapshot.c
 *	  Copies of resources with their holders and waiters, for readers.
 *
 * A resource is copied under its partition lock, with all its holders and
 * waiters.  Different resources are copied at different instants.  Room is
 * made without the lock; if there was too little, the resource is copied
 * again.
 *
 * IDENTIFICATION
 *	  src/shared/snapshot.c
 */
#include "postgres.h"

#include "base/debug_point.h"
#include "shared/client.h"
#include "shared/partition.h"
#include "shared/resource.h"
#include "shared/slots.h"
#include "shared/snapshot.h"
#include "shared/table.h"

/*
 * dlock_snapshot_init prepares a copy, which can be used again and again.
 * Allocates in the current memory context.
 */
void
dlock_snapshot_init(DlockResourceCopy *copy)
{
	memset(copy, 0, sizeof(*copy));
	copy->holder_capacity = 4;
	copy->waiter_capacity = 16;
	copy->holders = palloc(copy->holder_capacity * sizeof(DlockHolderCopy));
	copy->waiters = palloc(copy->waiter_capacity * sizeof(DlockWaiterCopy));
}

/*
 * copy_client copies a client's name and role.  The caller holds a partition
 * lock under which the client has a lease or a waiter.
 */
static void
copy_client(uint32 idx, char *name, Oid *role)
{
	DlockClient *client = dlock_client_at(idx);

	memcpy(name, client->name, client->name_len);
	name[client->name_len] = '\0';
	*role = client->row.role;
}

/*
 * copy_holder copies a lease.  The caller holds the partition lock.
 */
static void
copy_holder(DlockDatabase *db, const DlockLease *lease, DlockHolderCopy *copy)
{
	/*
	 * a token above the durable limit might be given out again after a crash
	 */
	copy->token = 0;
	if (lease->token <= (int64) pg_atomic_read_u64(&db->token_limit))
		copy->token = lease->token;
	copy->mode = lease->mode;
	copy->scope = lease->scope;
	copy->hold_count = lease->hold_count;
	copy->acquired_at = lease->acquired_at;
	copy->deadline = lease->deadline;
	copy->held = lease->state == DLOCK_LEASE_HELD && lease->hold_count > 0;
	copy_client(lease->client, copy->client, &copy->role);
}

/*
 * copy_waiter copies a waiter.  The caller holds the partition lock.
 */
static void
copy_waiter(uint32 idx, DlockWaiterCopy *copy)
{
	DlockWaiter *waiter = dlock_table_waiter(idx);

	copy->ticket = waiter->ticket;
	copy->mode = waiter->mode;
	copy->priority = waiter->priority;
	copy->pid = waiter->pid;
	copy->waiting_since = waiter->waiting_since;
	copy->deadline = waiter->deadline;
	copy_client(waiter->client, copy->client, &copy->role);
}

/*
 * copy_resource copies a resource with its holders and waiters.  If there is
 * too little room it returns false, with their numbers in *copy.  The caller
 * holds the partition lock.
 */
static bool
copy_resource(DlockDatabase *db, const DlockResource *res,
			  DlockResourceCopy *copy)
{
	bool		fits = res->nholders <= copy->holder_capacity &&
		res->nwaiters <= copy->waiter_capacity;

	Assert(dlock_partition_held(res->hash));
	copy->nholders = res->nholders;
	copy->nwaiters = res->nwaiters;
	if (!fits)
		return false;

	memcpy(copy->resource, res->name, res->name_len);
	copy->resource[res->name_len] = '\0';
	copy->nholders = 0;
	for (uint32 i = res->holders; i != DLOCK_NONE; i = dlock_table_lease(i)->next)
		copy_holder(db, dlock_table_lease(i), &copy->holders[copy->nholders++]);
	copy->nwaiters = 0;
	if (res->upgrader != DLOCK_NONE)
		copy_waiter(res->upgrader, &copy->waiters[copy->nwaiters++]);
	for (uint32 i = res->queue_head; i != DLOCK_NONE; i = dlock_table_waiter(i)->next)
		copy_waiter(i, &copy->waiters[copy->nwaiters++]);
	return true;
}

/*
 * make_room makes room for as many holders and waiters as *copy says.  An
 * error if there is no memory.
 */
static void
make_room(DlockResourceCopy *copy)
{
	if (copy->nholders > copy->holder_capacity)
	{
		copy->holder_capacity = copy->nholders * 2;
		copy->holders = repalloc_huge(copy->holders,
									  copy->holder_capacity * sizeof(DlockHolderCopy));
	}
	if (copy->nwaiters > copy->waiter_capacity)
	{
		copy->waiter_capacity = copy->nwaiters * 2;
		copy->waiters = repalloc_huge(copy->waiters,
									  copy->waiter_capacity * sizeof(DlockWaiterCopy));
	}
}

/*
 * dlock_snapshot_by_name copies the resource of that name; returns false if no
 * client holds it or waits for it.  Takes the partition lock.  An error if
 * there is no memory.
 */
bool
dlock_snapshot_by_name(DlockDatabase *db, const DlockKey *key,
					   DlockResourceCopy *copy)
{
	for (;;)
	{
		uint32		idx;
		bool		done = true;

		dlock_partition_lock(key->hash, DLOCK_LOCK_READ);
		idx = dlock_resource_find(key);
		if (idx != DLOCK_NONE)
			done = copy_resource(db, dlock_table_resource(idx), copy);
		dlock_partition_unlock(key->hash);
		if (done)
			return idx != DLOCK_NONE;
		make_room(copy);
	}
}

/*
 * dlock_snapshot_by_slot copies the resource in a slot; returns false if there
 * is none, or it is of another database.  Takes the partition lock.  An error
 * if there is no memory.
 *
 * We read the hash without a lock, to learn which lock to take.  Before we
 * have the lock, and even while we have it, the slot can be freed and given to
 * a resource of another partition.  So under the lock we first read whether
 * the slot is in use, and then the hash once more.  dlock_resource_create
 * writes in the opposite order: first the hash, and the counts of holders and
 * waiters rise only after that.  If the counts that we read belong to such
 * another resource, the hash that we read afterwards is that resource's, and
 * we skip the slot.  If the hash is unchanged, we hold the right lock.
 */
bool
dlock_snapshot_by_slot(DlockDatabase *db, uint32 slot, DlockResourceCopy *copy)
{
	DlockResource *res = dlock_table_resource(slot);

	for (;;)
	{
		uint32		hash = *(volatile uint32 *) &res->hash;
		bool		live;
		bool		done = true;

		DLOCK_DEBUG_POINT(DLOCK_STOP_SLOT_SEEN);
		dlock_partition_lock(hash, DLOCK_LOCK_READ);
		live = *(volatile int32 *) &res->nholders +
			*(volatile int32 *) &res->nwaiters > 0;
		pg_read_barrier();
		DLOCK_DEBUG_POINT(DLOCK_STOP_SLOT_CHECKED);
		live = live && res->hash == hash && res->database == db->slot;
		if (live)
			done = copy_resource(db, res, copy);
		dlock_partition_unlock(hash);
		if (done)
			return live;
		make_room(copy);
	}
}

/*
 * dlock_snapshot_slots returns an upper bound of the slots that
 * dlock_snapshot_by_slot can be called with.
 */
uint32
dlock_snapshot_slots(void)
{
	return dlock_slots_resources_used();
}
