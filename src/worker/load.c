/*
 * load.c
 *	  How the writer loads the leases of its database.
 *
 * A writer that finds the gate shut loads: it reads the rows one after the
 * other in one transaction, puts each lease into shared memory, and opens the
 * gate.  The rows stay as they are, and the store adopts them.  A writer that
 * finds the gate open follows one that failed, and loads nothing, since memory
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
#include "durable/store.h"
#include "engine/maintenance.h"
#include "shared/client.h"
#include "shared/partition.h"
#include "shared/pending.h"
#include "worker/load.h"
#include "worker/worker.h"
#include "worker/writer.h"

/* loading under way */
typedef struct Loading
{
	DlockDatabase *db;
	uint32		epoch;
	bool		foreign;		/* the leases are another database's */
	int64		token_upto;
	int			count;			/* leases loaded */
} Loading;

/* shared memory has some of the leases, and the gate is shut */
static bool half_loaded = false;

/*
 * report_no_room raises the error that shared memory cannot hold the leases.
 */
static void
report_no_room(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("could not load the leases of database \"%s\"",
					MyBgworkerEntry->bgw_extra),
			 errdetail("There are more leases or clients than shared memory has room for."),
			 errhint("Increase \"dlock.max_leases\" or \"dlock.max_clients\".")));
}

/*
 * load_client makes a client, or finds it by name, and returns it pinned.
 */
static uint32
load_client(const Loading *loading, const char *name,
			const DlockClientRow *row, bool named)
{
	DlockKey	key = dlock_key_make(loading->db->dboid, name,
									 (int) strlen(name));
	bool		created;
	uint32		client = dlock_client_create(&key, loading->epoch, row, named,
											 NULL, &created);

	if (client == DLOCK_NONE)
		report_no_room();
	return client;
}

static void
report_outdated(const DlockRecord *record, int64 token)
{
	ereport(WARNING,
			(errmsg("lease on resource \"%s\" with token %lld is out of date and was not loaded",
					record->resource, (long long) token)));
}

/*
 * load_lease puts the lease of a row into memory.  If the lease is out of
 * date, its row is to be deleted.
 */
static void
load_lease(Loading *loading, const DlockImageRow *row)
{
	const DlockRecord *record = &row->record;
	DlockClientRow client_row = {.id = record->client_id,.role = record->role};
	uint32		client = load_client(loading, record->client, &client_row,
									 record->client_id != 0 ||
									 record->client_is_new);
	DlockRestoreResult result;
	uint32		slot;
	int64		outdated;

	do
	{
		result = dlock_maintenance_restore(loading->db, record, client,
										   &slot, &outdated);
		if (result == DLOCK_RESTORE_OUTDATED || result == DLOCK_RESTORE_AGAIN)
			report_outdated(record, outdated);
	} while (result == DLOCK_RESTORE_AGAIN);
	if (result == DLOCK_RESTORE_NO_SLOT)
	{
		dlock_client_unpin(client);
		report_no_room();
	}

	if (result == DLOCK_RESTORED)
	{
		loading->count++;
		dlock_store_adopt_lease(slot, &row->place);
		/* it may have a row by now that this one does not show */
		if (record->client_is_new)
			dlock_client_owe(client);
	}
	else
		dlock_store_adopt_surplus(&row->place);
	dlock_client_unpin(client);
}

/*
 * load_row puts what a row says into memory.
 *
 * If this database is a copy of another one, the leases belong to that
 * database and are left out.  The clients belong to the copy as well, also
 * those that have no row of their own yet.
 */
static void
load_row(const DlockImageRow *row, void *arg)
{
	Loading    *loading = arg;

	if (row->kind == DLOCK_IMAGE_CLIENT)
	{
		uint32		client = load_client(loading, row->client.name,
										 &row->client.row, true);

		dlock_client_owe(client);
		dlock_store_adopt_client(client, &row->place);
		dlock_client_unpin(client);
		return;
	}
	if (row->kind == DLOCK_IMAGE_LEASE)
		loading->token_upto = Max(loading->token_upto, row->record.token);
	if (row->kind == DLOCK_IMAGE_LEASE && !loading->foreign)
		load_lease(loading, row);
	else
		dlock_store_adopt_surplus(&row->place);
}

/*
 * load_rows puts everything into memory that the tables say.
 */
static void
load_rows(Loading *loading)
{
	DlockImageTokens tokens;
	DlockImageFile file;

	/* what an attempt that failed half way has left behind */
	dlock_maintenance_purge(loading->db);
	loading->epoch = dlock_database_new_epoch(loading->db);
	half_loaded = true;
	dlock_image_read_tokens(&tokens);
	loading->foreign = tokens.foreign;
	loading->token_upto = tokens.upto;
	dlock_image_read_locks(load_row, loading, &file);
	dlock_store_adopt_file(&file);
	pg_atomic_write_u64(&loading->db->next_token, loading->token_upto);
	pg_atomic_write_u64(&loading->db->token_limit, loading->token_upto);
}

/*
 * end_expired ends the leases that have run out while no session used the
 * database, so that no session finds them.
 */
static void
end_expired(void)
{
	DlockTime	next = DLOCK_NEVER;

	for (int i = 0; i < DLOCK_NPARTITIONS; i++)
		dlock_maintenance_expire(i, &next);
}

/*
 * dlock_load_undo is called when the process ends.  If it has loaded some
 * leases and not opened the gate, it gives their slots back, since they may be
 * all that other databases could use.
 */
void
dlock_load_undo(DlockDatabase *db)
{
	if (half_loaded)
		dlock_maintenance_purge(db);
	half_loaded = false;
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
	Loading		loading = {.db = db};

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
	load_rows(&loading);
	dlock_worker_end_transaction();

	DLOCK_DEBUG_POINT(DLOCK_STOP_LEASES_LOADED);
	dlock_maintenance_start_clocks(db);
	end_expired();
	while (!dlock_database_open(db))
		dlock_load_recheck(db);
	half_loaded = false;
	/* what was loaded is to be confirmed before a session has to wait for it */
	if (dlock_store_has_surplus() || loading.count > 0)
		dlock_pending_wake_writer(db, true);
	if (loading.count > 0)
		ereport(LOG, (errmsg("dlock loaded %d leases", loading.count)));
}
