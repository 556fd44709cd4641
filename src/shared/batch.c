/*
 * batch.c
 *	  What one transaction of the writer carries.
 *
 * The writer collects a batch under all partition locks at once: it copies
 * what the row of each dirty slot should say, empties the dirty list and opens
 * the next batch.  So a batch is a cut through the histories of all resources
 * at one instant.  Two rows that exclude each other are never durable
 * together: the release that made room for a grant is in the same batch as the
 * grant, or in an earlier one.  Collecting takes some hundred nanoseconds for
 * each dirty slot; nothing is written or allocated while the locks are held.
 *
 * IDENTIFICATION
 *	  src/shared/batch.c
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "shared/batch.h"
#include "shared/client.h"
#include "shared/partition.h"
#include "shared/pending.h"
#include "shared/table.h"
#include "shared/writer_watch.h"

/*
 * dlock_batch_init prepares a batch that is used for all collecting.
 * Allocates in TopMemoryContext; an error if there is no memory.
 */
void
dlock_batch_init(DlockBatch *batch)
{
	memset(batch, 0, sizeof(*batch));
	batch->capacity = 256;
	batch->records = MemoryContextAlloc(TopMemoryContext,
										batch->capacity * sizeof(DlockRecord));
}

/*
 * lease_has_row returns whether a slot's row should show the lease.  A lease
 * that stands in the late list has no row yet.  Its slot may be in this batch
 * all the same, to show the end of the lease that had the slot before.  If the
 * batch showed the lease as well, grants after its end would have to wait
 * until that end is durable.  The caller holds all partition locks.
 */
static bool
lease_has_row(const DlockLease *lease)
{
	return lease->durable &&
		(lease->state == DLOCK_LEASE_PENDING ||
		 lease->state == DLOCK_LEASE_HELD) &&
		(lease->promised || lease->written || !lease->on_late);
}

/*
 * copy_slot copies what a slot's row should say, and notes what the writer
 * owes its client.  The caller holds all partition locks.  The lease has a pin
 * on its client, so the client's name does not change.
 */
static void
copy_slot(uint32 idx, DlockRecord *record, TimestampTz note_before,
		  DlockTime now, TimestampTz wall)
{
	DlockLease *lease = dlock_table_lease(idx);

	record->slot = idx;
	record->held = lease_has_row(lease);
	record->token = lease->token;
	lease->written = record->held;
	if (record->held)
	{
		DlockResource *res = dlock_table_resource(lease->resource);
		DlockClient *client = dlock_client_at(lease->client);
		DlockTime	due = lease->deadline;

		if (lease->state == DLOCK_LEASE_PENDING && lease->kept == 0)
			due = dlock_clock_after(now, lease->duration);
		record->client_slot = lease->client;
		record->client_is_new = client->named && client->row.id == 0;
		record->client_id = client->row.id;
		record->role = client->row.role;
		record->client_is_stale = client->named && !record->client_is_new &&
			client->row.used_at < note_before;
		/* the lease may end before its client's row is written */
		if (record->client_is_new || record->client_is_stale)
			dlock_client_owe(lease->client);
		record->mode = lease->row_mode;
		record->scope = lease->scope;
		if (lease->scope == DLOCK_SCOPE_TRANSACTION)
			record->scope = lease->session_holds > 0 ?
				DLOCK_SCOPE_SESSION : DLOCK_SCOPE_LEASE;
		record->hold_count = lease->hold_count - lease->transaction_holds;
		record->acquired_at = lease->acquired_at;
		record->duration = lease->duration;
		record->expires_at = dlock_clock_to_wall(due, now, wall);
		memcpy(record->resource, res->name, res->name_len);
		record->resource[res->name_len] = '\0';
		memcpy(record->client, client->name, client->name_len);
		record->client[client->name_len] = '\0';
	}
}

/*
 * make_batch_room makes room in the batch for all dirty slots.  The caller
 * holds no lock.  An error if there is no memory.
 */
static void
make_batch_room(DlockDatabase *db, DlockBatch *batch)
{
	uint32		wanted = pg_atomic_read_u32(&db->dirty_count);

	if (wanted <= (uint32) batch->capacity)
		return;
	batch->capacity = (int) Min((Size) wanted * 2, (Size) PG_INT32_MAX);
	pfree(batch->records);
	batch->records = MemoryContextAllocHuge(TopMemoryContext,
											batch->capacity * sizeof(DlockRecord));
}

/*
 * take_slots copies all dirty slots into the batch and empties the dirty list.
 * There is room.  The caller holds all partition locks.
 */
static void
take_slots(DlockDatabase *db, DlockBatch *batch)
{
	DlockTime	now = dlock_clock_now();
	TimestampTz wall = dlock_clock_wall();
	uint32		idx = pg_atomic_read_u32(&db->dirty_head);

	batch->nrecords = 0;
	while (idx != DLOCK_NONE)
	{
		DlockLease *lease = dlock_table_lease(idx);

		copy_slot(idx, &batch->records[batch->nrecords++], batch->note_before,
				  now, wall);
		lease->on_dirty = false;
		idx = lease->dirty_next;
	}
	pg_atomic_write_u32(&db->dirty_head, DLOCK_NONE);
	pg_atomic_write_u32(&db->dirty_count, 0);
}

/*
 * take_urgent clears "urgent", because the open batch is being cut, and keeps
 * its time in work_since (see writer_watch.c).  The caller holds all partition
 * locks.
 */
static void
take_urgent(DlockDatabase *db)
{
	/* if a process sets it after this, the writer's next turn serves it */
	if (pg_atomic_read_u32(&db->urgent) == 0)
		return;
	pg_atomic_write_u64(&db->work_since,
						(uint64) dlock_writer_watch_since(db));
	pg_write_barrier();
	pg_atomic_exchange_u32(&db->urgent, 0);
}

/*
 * dlock_batch_collect closes the open batch, copies its changes into *batch
 * and opens the next batch.  Leases of the late list are included if their row
 * was due before late_before; none are if that is 0.
 *
 * Called by the writer, without any lock; takes all partition locks.  Room is
 * made before that.  If more slots have become dirty by the time that the
 * locks are held, it releases them and tries again.  An error if there is no
 * memory; then no batch was cut.
 */
void
dlock_batch_collect(DlockDatabase *db, DlockBatch *batch,
					DlockTime late_before)
{
	for (;;)
	{
		make_batch_room(db, batch);
		dlock_partition_lock_all(DLOCK_LOCK_WRITE);
		if (late_before != 0)
			dlock_pending_take_late(db, late_before);
		if (pg_atomic_read_u32(&db->dirty_count) <= (uint32) batch->capacity)
			break;
		dlock_partition_unlock_all();
	}
	take_urgent(db);
	take_slots(db, batch);
	batch->number = pg_atomic_read_u64(&db->open_batch);
	pg_atomic_write_u64(&db->open_batch, batch->number + 1);
	batch->last_token = (int64) pg_atomic_read_u64(&db->next_token);
	batch->barrier = pg_atomic_exchange_u32(&db->barrier, 0) != 0;
	dlock_partition_unlock_all();
}
