/*
 * write.c
 *	  How the writer makes changes of leases durable.
 *
 * A batch is written by one transaction: all changes up to one moment, the
 * rows of new clients, and now and then a block of tokens.  Between batches
 * the writer trims: it deletes the rows of slots that were not used again.
 *
 * IDENTIFICATION
 *	  src/worker/write.c
 */
#include "postgres.h"

#include <sched.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "base/debug_point.h"
#include "durable/store.h"
#include "durable/tokens.h"
#include "shared/batch.h"
#include "shared/pending.h"
#include "shared/slots.h"
#include "worker/client_batch.h"
#include "worker/client_maintenance.h"
#include "worker/load.h"
#include "worker/worker.h"
#include "worker/write.h"

/*
 * If the last batch had so many rows, the writer waits for more changes before
 * it closes a batch, as commit_siblings does for commits; at most so often.
 */
#define GATHER_SIBLINGS 8
#define GATHER_MAX 8

static DlockBatch batch;
static bool any_published = false;	/* a batch of this process */

/* slots taken out of the free list, whose rows are being deleted */
static uint32 trimmed[DLOCK_WRITE_TRIM_MAX];
static int	ntrimmed = 0;

/*
 * dlock_write_init is called when the writer starts.
 */
void
dlock_write_init(void)
{
	dlock_batch_init(&batch);
}

/*
 * end_durably ends a transaction that is to be flushed, and confirmed by the
 * standbys.  Backends that wait for it can see how long that takes.
 */
static void
end_durably(DlockDatabase *db)
{
	dlock_pending_flush_begins(db);
	dlock_worker_end_transaction();
	dlock_pending_flush_ends(db);
}

/*
 * extend_tokens makes the next block of tokens durable when half a block or
 * less is left, and the first block before any token is given out.  Returns
 * the new bound, or 0 if no block is due.
 */
static int64
extend_tokens(DlockDatabase *db, int64 *found)
{
	if (batch.last_token + DLOCK_TOKEN_BLOCK / 2 <
		(int64) pg_atomic_read_u64(&db->token_limit))
		return 0;
	return dlock_tokens_extend(batch.last_token, found);
}

/*
 * raise_tokens permits tokens up to the new bound.  After a restore from a
 * dump, found is the bound of the dumped database, and tokens continue above
 * it.
 */
static void
raise_tokens(DlockDatabase *db, int64 upto, int64 found)
{
	uint64		next = pg_atomic_read_u64(&db->next_token);

	while (next < (uint64) found &&
		   !pg_atomic_compare_exchange_u64(&db->next_token, &next, found))
		;
	pg_atomic_write_u64(&db->token_limit, upto);
}

/*
 * dlock_write_open opens dlock.locks for writing.  If that is not possible, it
 * ends the transaction and returns false.
 */
bool
dlock_write_open(DlockDatabase *db, bool nowait)
{
	DlockStoreStatus status = dlock_store_open(db->relation, nowait);

	if (status == DLOCK_STORE_OPEN)
		return true;
	/* most likely it was dropped while we waited for the lock */
	if (status == DLOCK_STORE_GONE)
		dlock_load_check_extension(db);
	dlock_worker_end_transaction();
	return false;
}

/*
 * dlock_write_gather lets other processes run before a batch is closed, as
 * long as more changes come of that.  With many clients and few processors,
 * fewer and larger batches cost less.  Otherwise the loop ends at once.
 */
void
dlock_write_gather(DlockDatabase *db)
{
	uint32		before;

	if (batch.nrecords < GATHER_SIBLINGS)
		return;
	for (int i = 0; i < GATHER_MAX; i++)
	{
		before = dlock_pending_count(db);
		sched_yield();
		if (dlock_pending_count(db) == before)
			return;
	}
}

/*
 * write_changes writes the rows of all slots that have changed, a part at a
 * time, and closes the batch.  With anew, all slots are marked, and the table
 * is empty.
 */
static void
write_changes(DlockDatabase *db, bool anew, bool nowait, DlockTime late_before)
{
	bool		closed;

	batch.note_before = dlock_client_maintenance_note_before();
	dlock_batch_begin(&batch);
	dlock_client_batch_begin();
	do
	{
		closed = dlock_batch_collect(db, &batch, late_before);
		if (closed)
			DLOCK_DEBUG_POINT(DLOCK_STOP_BATCH_COLLECTED);
		else
			DLOCK_DEBUG_POINT(DLOCK_STOP_PART_COLLECTED);
		dlock_client_batch_add(db, &batch, anew && batch.nparts == 1, nowait);
		dlock_store_write(batch.records, batch.nrecords);
		/* a later part may have the same slot, and updates its row */
		if (!closed)
			CommandCounterIncrement();
	} while (!closed);
}

/*
 * dlock_write_batch makes everything durable that has changed.  With nowait it
 * does nothing if another session has the table locked.  For late_before see
 * dlock_batch_collect.
 */
void
dlock_write_batch(DlockDatabase *db, bool nowait, DlockTime late_before)
{
	int64		token_upto;
	int64		found = 0;
	bool		flushed;
	bool		anew;

	dlock_worker_begin_transaction();
	if (!dlock_write_open(db, nowait))
		return;
	anew = dlock_store_is_stale();
	if (anew)
	{
		dlock_store_clear();
		dlock_pending_mark_all(db);
	}
	else
		dlock_store_delete_surplus();
	write_changes(db, anew, nowait, late_before);
	token_upto = extend_tokens(db, &found);

	/*
	 * The batches of the writer before us may be committed here and not
	 * confirmed.  Publishing ours publishes them as well.
	 */
	if (batch.barrier || !any_published)
		dlock_store_barrier();
	dlock_store_close();
	DLOCK_DEBUG_POINT(DLOCK_STOP_ROWS_WRITTEN);

	/*
	 * A grant is acknowledged when it is flushed, and confirmed by the
	 * synchronous standbys if there are any, even if transactions are set to
	 * wait for less.
	 */
	if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	/* without an XID the commit neither flushes nor waits for standbys */
	flushed = TransactionIdIsValid(GetTopTransactionIdIfAny());
	end_durably(db);
	DLOCK_DEBUG_POINT(DLOCK_STOP_ROWS_FLUSHED);

	/*
	 * SIGTERM may have ended the wait for the standbys: publish nothing.  But
	 * the clients have their rows, and the batch that is written before the
	 * process ends must not add them again.
	 */
	dlock_client_batch_added(&batch);
	if (ProcDiePending)
		return;
	if (token_upto != 0)
		raise_tokens(db, token_upto, found);
	dlock_batch_end(&batch);
	dlock_pending_publish(db, batch.number, flushed);
	any_published = true;
}

/*
 * dlock_write_put_back puts slots that dlock_write_trim has taken back into
 * the database's free list.  It is called if their rows cannot be deleted, and
 * when the process exits.
 *
 * A request that finds no slot waits for slots that are being trimmed, also in
 * other databases.  If they were not put back, it would wait until another
 * writer has written its first batch.  Only the writer refers to such a slot,
 * so no partition lock is needed.
 */
void
dlock_write_put_back(DlockDatabase *db)
{
	DlockTime	now = dlock_clock_now();

	while (ntrimmed > 0)
		dlock_slots_put_back_lease(db, trimmed[--ntrimmed], now);
}

/*
 * dlock_write_trim deletes the rows of slots that have been free since before
 * the given time, and returns how many slots it gave to the pool.  If that is
 * DLOCK_WRITE_TRIM_MAX, there may be more.
 *
 * It does not wait for a lock on the table, since requests may be waiting for
 * the slots.
 */
int
dlock_write_trim(DlockDatabase *db, DlockTime before)
{
	bool		rows = false;
	int			count;

	while (ntrimmed < DLOCK_WRITE_TRIM_MAX &&
		   (trimmed[ntrimmed] = dlock_slots_trim_lease(db, before)) != DLOCK_NONE)
		rows |= dlock_store_has_row(trimmed[ntrimmed++]);
	if (ntrimmed > 0)
		DLOCK_DEBUG_POINT(DLOCK_STOP_SLOTS_TRIMMED);
	if (rows)
	{
		dlock_worker_begin_transaction();
		/* no backend waits for that, so do not wait for disk or standbys */
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
		if (!dlock_write_open(db, true))
		{
			dlock_write_put_back(db);
			return 0;
		}
		if (!dlock_store_is_stale())
			dlock_store_remove(trimmed, ntrimmed);
		dlock_store_close();
		dlock_worker_end_transaction();
	}
	count = ntrimmed;
	while (ntrimmed > 0)
		dlock_slots_retire_lease(trimmed[--ntrimmed]);
	return count;
}
