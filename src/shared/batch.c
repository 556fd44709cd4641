/*
 * batch.c
 *	  What one transaction of the writer carries.
 *
 * The writer copies what the row of each dirty slot should say, a part at a
 * time: it takes up to PART_MAX slots out of the dirty list, writes their rows
 * and comes back for the next part.  When no more than that are left, it takes
 * them all and opens the next batch; that is the cut.  It holds all partition
 * locks while it takes a part, some hundred nanoseconds for each slot; nothing
 * is written or allocated meanwhile.
 *
 * A slot that changes after it was taken is put into the dirty list again, and
 * taken again.  So at the cut each row says what its slot says, as if all had
 * been copied at that instant, and the transaction makes all of them durable
 * together: a batch is a cut through the histories of all resources.  Two rows
 * that exclude each other are never durable together: the release that made
 * room for a grant is in the same batch as the grant, or in an earlier one.
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

/* slots that are taken at once */
#define PART_MAX 4096

/*
 * If processes mark slots as fast as the writer writes them, it closes the
 * batch after so many parts more than there were at the start.
 */
#define PARTS_MORE 16

/*
 * make_room gives a batch room for so many records.  Allocates in
 * TopMemoryContext; an error if there is no memory.
 */
static void
make_room(DlockBatch *batch, uint32 wanted)
{
	if (batch->records != NULL)
		pfree(batch->records);
	batch->records = NULL;
	batch->capacity = (int) wanted;
	batch->records = MemoryContextAllocHuge(TopMemoryContext,
											wanted * sizeof(DlockRecord));
}

/*
 * dlock_batch_init prepares a batch that is used for all collecting.
 * Allocates memory.
 */
void
dlock_batch_init(DlockBatch *batch)
{
	memset(batch, 0, sizeof(*batch));
	make_room(batch, PART_MAX);
}

/*
 * dlock_batch_begin is called before the first part of a batch is taken.
 */
void
dlock_batch_begin(DlockBatch *batch)
{
	batch->nparts = 0;
	batch->max_parts = 0;
}

/*
 * dlock_batch_end gives memory back that only a large last part has needed.
 */
void
dlock_batch_end(DlockBatch *batch)
{
	if (batch->capacity > PART_MAX)
		make_room(batch, PART_MAX);
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
 * take_slots copies dirty slots into the batch and takes them out of the dirty
 * list, as many as there is room for.  The caller holds all partition locks.
 */
static void
take_slots(DlockDatabase *db, DlockBatch *batch)
{
	DlockTime	now = dlock_clock_now();
	TimestampTz wall = dlock_clock_wall();
	uint32		idx = pg_atomic_read_u32(&db->dirty_head);

	batch->nrecords = 0;
	while (idx != DLOCK_NONE && batch->nrecords < batch->capacity)
	{
		DlockLease *lease = dlock_table_lease(idx);

		copy_slot(idx, &batch->records[batch->nrecords++], batch->note_before,
				  now, wall);
		lease->on_dirty = false;
		idx = lease->dirty_next;
	}
	pg_atomic_write_u32(&db->dirty_head, idx);
	pg_atomic_fetch_sub_u32(&db->dirty_count, batch->nrecords);
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
 * lock_for_part takes all partition locks, to take the next part.  If that is
 * to be the last one, there is room for it.  An error if there is no memory.
 */
static void
lock_for_part(DlockDatabase *db, DlockBatch *batch)
{
	bool		last = batch->nparts > 0 && batch->nparts >= batch->max_parts;

	dlock_partition_lock_all(DLOCK_LOCK_WRITE);
	while (last &&
		   pg_atomic_read_u32(&db->dirty_count) > (uint32) batch->capacity)
	{
		uint32		wanted = pg_atomic_read_u32(&db->dirty_count);

		dlock_partition_unlock_all();
		make_room(batch, 2 * wanted);
		dlock_partition_lock_all(DLOCK_LOCK_WRITE);
	}
}

/*
 * dlock_batch_collect copies a part of the open batch into *batch and returns
 * whether it was the last one; then it has closed the batch and opened the
 * next one.  Otherwise the caller writes the part and calls again.  Leases of
 * the late list are included if their row was due before late_before; none are
 * if that is 0.
 *
 * Called by the writer, without any lock; takes all partition locks.  If this
 * fails, the writer must end: slots that were taken are not in the dirty list.
 */
bool
dlock_batch_collect(DlockDatabase *db, DlockBatch *batch,
					DlockTime late_before)
{
	bool		last;

	lock_for_part(db, batch);
	if (batch->nparts == 0)
	{
		if (late_before != 0)
			dlock_pending_take_late(db, late_before);
		batch->max_parts = PARTS_MORE +
			(int) (pg_atomic_read_u32(&db->dirty_count) / PART_MAX);
	}
	batch->nparts++;
	take_slots(db, batch);
	last = pg_atomic_read_u32(&db->dirty_head) == DLOCK_NONE;
	if (last)
	{
		take_urgent(db);
		batch->number = pg_atomic_read_u64(&db->open_batch);
		pg_atomic_write_u64(&db->open_batch, batch->number + 1);
		batch->last_token = (int64) pg_atomic_read_u64(&db->next_token);
		batch->barrier = pg_atomic_exchange_u32(&db->barrier, 0) != 0;
	}
	dlock_partition_unlock_all();
	return last;
}
