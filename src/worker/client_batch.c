/*
 * client_batch.c
 *	  Rows for the new clients of a batch.
 *
 * A new client gets its row in the batch of its first lease.  If that is not
 * possible without waiting for long, because another session has the table
 * locked, for example, a row of dlock.locks notes the client's role in the
 * same batch.  The client is then owed its row, and maintenance tries again
 * until the client has it.
 *
 * IDENTIFICATION
 *	  src/worker/client_batch.c
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "durable/client_rows.h"
#include "durable/store.h"
#include "shared/client.h"
#include "worker/client_batch.h"
#include "worker/client_changes.h"
#include "worker/client_maintenance.h"
#include "worker/client_set.h"

static DlockClientSet clients;	/* the new ones of the batch */

/*
 * dlock_client_batch_begin is called before the first part of a batch.
 */
void
dlock_client_batch_begin(void)
{
	dlock_client_set_clear(&clients);
}

/*
 * take_new adds the clients of a part that have no row yet.  With all, it adds
 * every client that is owed one.
 */
static void
take_new(DlockDatabase *db, const DlockBatch *batch, bool all)
{
	uint32		slot = DLOCK_NONE;

	for (int i = 0; i < batch->nrecords; i++)
	{
		const DlockRecord *record = &batch->records[i];

		if (record->held && record->client_is_stale)
			dlock_client_maintenance_request();
		if (record->held && record->client_is_new)
			(void) dlock_client_set_take(&clients, record->client_slot);
	}
	if (all)
		slot = dlock_client_next_owed(db->dboid, 0);
	while (slot != DLOCK_NONE)
	{
		if (dlock_client_at(slot)->row.id == 0)
			(void) dlock_client_set_take(&clients, slot);
		slot = dlock_client_next_owed(db->dboid, slot + 1);
	}
}

/*
 * add_rows gives clients their rows.  If a client gets none, its role is noted
 * in dlock.locks.
 */
static void
add_rows(DlockClientRecord *some, int count, bool nowait)
{
	if (count == 0)
		return;
	if (!nowait && dlock_client_rows_lock())
	{
		MemoryContext part_context = AllocSetContextCreate(CurrentMemoryContext,
														   "dlock clients",
														   ALLOCSET_DEFAULT_SIZES);
		MemoryContext old_context = MemoryContextSwitchTo(part_context);

		dlock_client_changes_add(some, count);
		MemoryContextSwitchTo(old_context);
		MemoryContextDelete(part_context);
	}
	for (int i = 0; i < count; i++)
	{
		if (some[i].known && some[i].row.id != 0)
			dlock_store_unbind(&some[i]);
		else
			dlock_store_bind(&some[i]);
	}
}

/*
 * dlock_client_batch_add gives the new clients of a part of a batch their
 * rows, unless an earlier part has done so, and notes them in the records of
 * the leases.  With all, that is done for every client that is owed a row,
 * since dlock.locks is written anew.
 */
void
dlock_client_batch_add(DlockDatabase *db, DlockBatch *batch, bool all,
					   bool nowait)
{
	int			before = clients.count;

	take_new(db, batch, all);
	if (clients.count == 0)
		return;
	add_rows(clients.records + before, clients.count - before, nowait);
	for (int i = 0; i < batch->nrecords; i++)
	{
		DlockRecord *record = &batch->records[i];

		if (record->held && record->client_is_new)
		{
			const DlockClientRecord *client = dlock_client_set_take(&clients, record->client_slot);

			record->client_id = client->row.id;
			record->role = client->row.role;
		}
	}
}

/*
 * dlock_client_batch_added is called when the batch is durable.  It notes in
 * shared memory what the rows of the clients say.
 */
void
dlock_client_batch_added(const DlockBatch *batch)
{
	if (clients.count > 0 &&
		dlock_client_settle(clients.records, clients.count,
							batch->note_before) > 0)
		dlock_client_maintenance_request();
	dlock_client_set_clear(&clients);
}
