/*
 * load.c
 *	  How the writer loads the leases of its database.
 *
 * A writer that finds the gate shut loads: it reads all rows in one
 * transaction, puts them into shared memory, and opens the gate.  A writer
 * that finds it open follows one that failed, and loads nothing, since memory
 * is newer than the tables.
 *
 * IDENTIFICATION
 *	  src/worker/load.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/inval.h"

#include "base/debug_point.h"
#include "durable/extension.h"
#include "durable/image.h"
#include "engine/maintenance.h"
#include "shared/client.h"
#include "shared/pending.h"
#include "worker/load.h"
#include "worker/worker.h"
#include "worker/writer.h"

/*
 * newest_first compares two records for qsort.
 */
static int
newest_first(const void *a, const void *b)
{
	int64		left = ((const DlockRecord *) a)->token;
	int64		right = ((const DlockRecord *) b)->token;

	return left < right ? 1 : left > right ? -1 : 0;
}

/*
 * report_no_room raises the error that shared memory cannot hold the leases.
 */
static void
report_no_room(DlockDatabase *db)
{
	/* leave the slots to other databases */
	dlock_maintenance_purge(db);
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("could not load the leases of database \"%s\"",
					MyBgworkerEntry->bgw_extra),
			 errdetail("There are more leases or clients than shared memory has room for."),
			 errhint("Increase \"dlock.max_leases\" or \"dlock.max_clients\".")));
}

/*
 * restore_client makes a client, or finds it by name, and returns it pinned.
 */
static uint32
restore_client(DlockDatabase *db, const char *name, const DlockClientRow *row,
			   bool named, uint32 epoch)
{
	DlockKey	key = dlock_key_make(db->dboid, name, (int) strlen(name));
	bool		created;
	uint32		client = dlock_client_create(&key, epoch, row, named, NULL,
											 &created);

	if (client == DLOCK_NONE)
		report_no_room(db);
	return client;
}

/*
 * restore_lease puts the lease of a row into memory.
 */
static void
restore_lease(DlockDatabase *db, const DlockRecord *record, uint32 epoch)
{
	DlockClientRow row = {.id = record->client_id,.role = record->role,.used_at = 0};
	uint32		client = restore_client(db, record->client, &row,
										record->client_id != 0 ||
										record->client_is_new,
										epoch);
	DlockRestoreResult result = dlock_maintenance_restore(db, record, client);

	dlock_client_unpin(client);
	if (result == DLOCK_RESTORE_NO_SLOT)
		report_no_room(db);
	if (result == DLOCK_RESTORE_CONFLICT)
		ereport(WARNING,
				(errmsg("lease on resource \"%s\" with token %lld is out of date and was not loaded",
						record->resource, (long long) record->token)));
}

/*
 * restore_all puts all leases and clients into memory.
 *
 * If this database is a copy of another one, the leases belong to that
 * database and are left out.  The clients belong to the copy as well, also
 * those that have no row of their own yet.
 */
static void
restore_all(DlockDatabase *db, DlockImage *image)
{
	uint32		epoch;

	/* what an attempt that failed half way has left behind */
	dlock_maintenance_purge(db);
	epoch = dlock_database_new_epoch(db);
	for (int i = 0; i < image->nclients; i++)
	{
		uint32		client = restore_client(db, image->clients[i].name,
											&image->clients[i].row, true,
											epoch);

		dlock_client_owe(client);
		dlock_client_unpin(client);
	}
	if (!image->foreign && image->nrecords > 0)
	{
		qsort(image->records, image->nrecords, sizeof(DlockRecord),
			  newest_first);
		for (int i = 0; i < image->nrecords; i++)
			restore_lease(db, &image->records[i], epoch);
	}
	pg_atomic_write_u64(&db->next_token, image->token_upto);
	pg_atomic_write_u64(&db->token_limit, image->token_upto);
}

/*
 * dlock_load_check_extension ends the process if the database does not have
 * the extension, or not in a version that the library works with, or if it is
 * not the installation that memory is about.  In the last case the launcher
 * starts another writer, which loads the leases anew; otherwise a command that
 * changes the extension has one started.  The caller is in a transaction.
 */
void
dlock_load_check_extension(DlockDatabase *db)
{
	Oid			relation = dlock_extension_relation();
	bool		usable = OidIsValid(relation) && dlock_extension_check(WARNING);

	if (usable && relation == db->relation)
		return;
	dlock_worker_end_transaction();
	dlock_maintenance_purge(db);
	if (!usable)
		dlock_database_forget(db);
	dlock_writer_leave();
}

/*
 * dlock_load_recheck does that if another process has asked for it.
 */
void
dlock_load_recheck(DlockDatabase *db)
{
	if (!dlock_database_take_recheck(db))
		return;
	dlock_worker_begin_transaction();

	/*
	 * The backend that asked for this sends its invalidation messages after
	 * it has woken us.
	 */
	InvalidateSystemCaches();
	dlock_load_check_extension(db);
	dlock_worker_end_transaction();
}

/*
 * dlock_load_all makes memory say what the tables say, and opens the gate.
 */
void
dlock_load_all(DlockDatabase *db)
{
	DlockImage	image;
	int			count;

	dlock_worker_begin_transaction();
	if (pg_atomic_read_u32(&db->open) == 0)
		db->relation = dlock_extension_relation();
	dlock_load_check_extension(db);
	if (pg_atomic_read_u32(&db->open) != 0)
	{
		/*
		 * The writer before us failed; memory is newer than the tables.  The
		 * backends that waited for its batch wait for ours.
		 */
		dlock_pending_wake_writer(db, true);
		dlock_worker_end_transaction();
		return;
	}
	dlock_image_read(&image);
	restore_all(db, &image);
	count = image.foreign ? 0 : image.nrecords;
	dlock_worker_end_transaction();

	DLOCK_DEBUG_POINT(DLOCK_STOP_LEASES_LOADED);
	dlock_maintenance_start_clocks(db);
	while (!dlock_database_open(db))
		dlock_load_recheck(db);
	if (count > 0)
		ereport(LOG, (errmsg("dlock loaded %d leases", count)));
}
