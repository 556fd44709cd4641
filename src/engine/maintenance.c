/*
 * maintenance.c
 *	  What the workers do to leases: restore, start clocks, expire, end all.
 *
 * Each exported function takes the partition locks that it needs.  None can
 * fail.
 *
 * IDENTIFICATION
 *	  src/engine/maintenance.c
 */
#include "postgres.h"

#include "base/debug_point.h"
#include "engine/holds.h"
#include "engine/lease.h"
#include "engine/maintenance.h"
#include "engine/transition.h"
#include "shared/client.h"
#include "shared/deadline.h"
#include "shared/partition.h"
#include "shared/pending.h"
#include "shared/resource.h"
#include "shared/slots.h"
#include "shared/snapshot.h"
#include "shared/table.h"

/* restored leases expire in steps, up to a tenth of their duration later */
#define SPREAD_STEPS 1000

/*
 * in_the_way returns a holder beside which a lease of that client and mode
 * cannot be, the newest of them; DLOCK_NONE if there is none.
 */
static uint32
in_the_way(const DlockResource *res, uint32 client, DlockMode mode)
{
	uint32		newest = DLOCK_NONE;

	for (uint32 idx = res->holders; idx != DLOCK_NONE;
		 idx = dlock_table_lease(idx)->next)
	{
		const DlockLease *lease = dlock_table_lease(idx);

		if ((lease->client == client ||
			 dlock_mode_conflicts(lease->mode, mode)) &&
			(newest == DLOCK_NONE ||
			 lease->token > dlock_table_lease(newest)->token))
			newest = idx;
	}
	return newest;
}

/*
 * restore_slot makes a reserved slot a holder, as the record says.  The caller
 * holds the partition lock exclusively.
 */
static void
restore_slot(uint32 idx, uint32 resource, uint32 hash,
			 const DlockRecord *record, uint32 client, DlockWakeups *wakeups)
{
	DlockLease *lease = dlock_table_lease(idx);
	DlockHold	hold = {.duration = record->duration,.scope = record->scope};

	dlock_lease_prepare(idx, hash, client, record->mode, 0, &hold);
	dlock_lease_grant(resource, idx, wakeups);
	lease->token = record->token;
	dlock_client_restore_age(client, record->token);
	dlock_holds_restore(lease, record->mode, record->hold_count);
	lease->row_mode = record->mode;
	lease->acquired_at = record->acquired_at;
	lease->state = DLOCK_LEASE_HELD;
	lease->durable = true;
	lease->promised = true;
	lease->written = true;
}

/*
 * dlock_maintenance_restore restores a lease from its row, and sets *slot to
 * its slot.  Its session, if it had one, has ended, so its clock runs.
 *
 * Rows come in any order.  Of two leases that exclude each other the older one
 * is out of date.  If the one in the way is the older, it is ended, *outdated
 * is its token, and the caller calls again: there may be more.
 */
DlockRestoreResult
dlock_maintenance_restore(DlockDatabase *db, const DlockRecord *record,
						  uint32 client, uint32 *slot, int64 *outdated)
{
	DlockKey	key = dlock_key_make(db->dboid, record->resource,
									 (int) strlen(record->resource));
	DlockWakeups wakeups;
	uint32		resource;
	uint32		other = DLOCK_NONE;
	uint32		idx;
	DlockRestoreResult result = DLOCK_RESTORED;

	idx = dlock_slots_get_lease(db);
	if (idx == DLOCK_NONE)
		return DLOCK_RESTORE_NO_SLOT;
	dlock_wakeups_init(&wakeups, db);
	dlock_partition_lock(key.hash, DLOCK_LOCK_WRITE);
	resource = dlock_resource_find(&key);
	if (resource != DLOCK_NONE)
		other = in_the_way(dlock_table_resource(resource), client,
						   record->mode);
	else
		resource = dlock_resource_create(&key, db->slot);
	if (resource == DLOCK_NONE)
		result = DLOCK_RESTORE_NO_SLOT;
	else if (other != DLOCK_NONE)
	{
		*outdated = Min(record->token, dlock_table_lease(other)->token);
		result = *outdated == record->token ?
			DLOCK_RESTORE_OUTDATED : DLOCK_RESTORE_AGAIN;
	}

	if (result == DLOCK_RESTORED)
		restore_slot(idx, resource, key.hash, record, client, &wakeups);
	else
		dlock_slots_put_lease(db, idx, dlock_clock_now());
	if (result == DLOCK_RESTORE_AGAIN)
		dlock_transition_end(other, DLOCK_END_UNTOLD, &wakeups);
	dlock_partition_unlock(key.hash);
	*slot = idx;
	return result;
}

/*
 * dlock_maintenance_start_clocks gives every restored lease its full duration,
 * and a tenth of it at most, less the time for which no session has used the
 * database.  A lease that has run out in that time ends at once.  A slot that
 * is not ours can get a lease of another database and partition at any moment:
 * see dlock_lookup_find_slot.
 */
void
dlock_maintenance_start_clocks(DlockDatabase *db)
{
	uint32		used = dlock_slots_leases_used();
	DlockTime	start = dlock_clock_now() - dlock_database_unused_for(db);

	for (uint32 i = 0; i < used; i++)
	{
		DlockLease *lease = dlock_table_lease(i);
		uint32		hash = *(volatile uint32 *) &lease->hash;
		bool		held;

		dlock_partition_lock(hash, DLOCK_LOCK_WRITE);
		held = *(volatile uint8 *) &lease->state == DLOCK_LEASE_HELD;
		pg_read_barrier();
		if (held && lease->hash == hash && lease->database == db->slot)
			dlock_lease_restart_clock(i, dlock_clock_after(start,
														   lease->duration / 10 *
														   (i % SPREAD_STEPS) / SPREAD_STEPS));
		dlock_partition_unlock(hash);
	}
}

/*
 * dismiss_first ends the wait of the first waiter of a resource, because the
 * extension was dropped.  The caller holds the partition lock exclusively.
 */
static void
dismiss_first(DlockDatabase *db, DlockResource *res, DlockWakeups *wakeups)
{
	uint32		idx = res->upgrader;

	if (idx == DLOCK_NONE)
	{
		idx = res->queue_head;
		dlock_client_unpin(dlock_table_waiter(idx)->client);
		dlock_slots_put_lease(db, dlock_table_waiter(idx)->lease, dlock_clock_now());
	}
	dlock_transition_dismiss(idx, DLOCK_WAIT_CLOSED, wakeups);
}

/*
 * empty_resource ends the waits and the leases of the resource in a slot, if
 * it is of that database.  The slot can be freed and used again before we have
 * the lock, and even while we have it: see dlock_snapshot_by_slot.
 */
static void
empty_resource(DlockDatabase *db, uint32 slot)
{
	DlockResource *res = dlock_table_resource(slot);
	uint32		hash = *(volatile uint32 *) &res->hash;
	DlockWakeups wakeups;
	bool		live;

	dlock_wakeups_init(&wakeups, db);
	DLOCK_DEBUG_POINT(DLOCK_STOP_SLOT_SEEN);
	dlock_partition_lock(hash, DLOCK_LOCK_WRITE);
	live = *(volatile int32 *) &res->nholders > 0;
	pg_read_barrier();
	DLOCK_DEBUG_POINT(DLOCK_STOP_SLOT_CHECKED);
	if (live && res->hash == hash && res->database == db->slot)
	{
		while (res->nwaiters > 0)
			dismiss_first(db, res, &wakeups);

		/*
		 * the last lease takes the resource with it: res is not read after
		 * that
		 */
		for (int n = res->nholders; n > 0; n--)
		{
			/* commits that depend on it find the database shut */
			dlock_table_lease(res->holders)->fences = 0;
			dlock_transition_end(res->holders, DLOCK_END_UNTOLD, &wakeups);
		}
	}
	dlock_partition_unlock(hash);
	dlock_wakeups_run(&wakeups);
}

/*
 * dlock_maintenance_purge ends all leases and waits of a database, whose
 * extension was dropped or whose leases are to be loaded again.
 *
 * The race: a backend reads that the database is open, another process shuts
 * it, and the backend then adds a lease or a waiter.  Backends read "open" and
 * change the table in one hold of a partition lock.  We shut the database and
 * then pass through all partition locks.  A backend that had its lock before
 * us has made its change by then, so we find it.  A backend that gets its lock
 * after us reads that the database is shut.
 */
void
dlock_maintenance_purge(DlockDatabase *db)
{
	uint32		used;
	uint32		idx;

	dlock_database_shut(db);
	dlock_partition_lock_all(DLOCK_LOCK_WRITE);
	dlock_partition_unlock_all();
	used = dlock_snapshot_slots();
	for (uint32 i = 0; i < used; i++)
		empty_resource(db, i);

	/* there are no tables to keep rows in */
	dlock_client_write_off(db->dboid);
	dlock_pending_discard(db);
	while ((idx = dlock_slots_trim_lease(db, DLOCK_NEVER)) != DLOCK_NONE)
		dlock_slots_retire_lease(idx);
}

/*
 * dlock_maintenance_expire ends the leases of a partition that have expired,
 * and lowers *next to the time when the next one expires.  It takes the
 * partition lock for one lease at a time, so that many leases that expire at
 * once do not keep others waiting.
 */
void
dlock_maintenance_expire(int partition, DlockTime *next)
{
	for (;;)
	{
		DlockWakeups wakeups;
		uint32		idx;

		dlock_partition_lock(partition, DLOCK_LOCK_WRITE);
		idx = dlock_deadline_first(partition, dlock_clock_now(), next);
		if (idx != DLOCK_NONE)
		{
			dlock_wakeups_init(&wakeups,
							   dlock_database_at(dlock_table_lease(idx)->database));
			dlock_transition_end(idx, DLOCK_END_EXPIRED, &wakeups);
		}
		dlock_partition_unlock(partition);
		if (idx == DLOCK_NONE)
			break;
		dlock_wakeups_run(&wakeups);
	}
}
