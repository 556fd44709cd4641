/*
 * writer.c
 *	  The process that makes a database's leases durable.
 *
 * It loads all leases and opens the gate, then writes one batch after the
 * other: collect what changed, write the rows in one transaction, commit
 * (which flushes, and waits for synchronous standbys), tell everybody.
 *
 * Grants are written at once.  What nobody waits for, such as a release, is
 * left for the next batch or for RELEASE_DELAY, whichever comes first.
 *
 * Any error ends the process.  The launcher starts another, which finds the
 * gate open and memory in order, and writes all rows anew.
 *
 * SIGINT is ignored: a cancelled wait for the standbys would look like a
 * confirmed one.  SIGTERM ends such a wait; then nothing is published.
 *
 * IDENTIFICATION
 *	  src/worker/writer.c
 */
#include "postgres.h"

#include <sched.h>
#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/clock.h"
#include "base/debug_point.h"
#include "durable/extension.h"
#include "durable/image.h"
#include "durable/store.h"
#include "durable/tokens.h"
#include "engine/maintenance.h"
#include "shared/client.h"
#include "shared/database.h"
#include "shared/pending.h"
#include "shared/slots.h"
#include "worker/clients.h"
#include "worker/worker.h"
#include "worker/writer.h"

/* how long a release may stay unwritten */
#define RELEASE_DELAY (100 * 1000)

/*
 * How old a lease gets before its row is written that nobody waits for, and how
 * often such leases are looked for.
 */
#define LATE_DELAY (500 * 1000)

/* how long a free slot keeps its row for the next lease */
#define ROW_KEEP_TIME (1000 * 1000)

/* how long after its last work the writer goes on looking for more */
#define ALERT_TIME (3 * 1000 * 1000)

/* rows deleted in one transaction */
#define TRIM_MAX 1000

/*
 * From how many rows in the last batch on to wait for others, as commit_siblings
 * does for commits, and how often at most.
 */
#define GATHER_SIBLINGS 8
#define GATHER_MAX 8

static DlockDatabase *db;
static DlockBatch batch;
static bool finished = false;	/* going in peace */
static volatile sig_atomic_t cancel_allowed = false;
static volatile sig_atomic_t in_portion = false;
static volatile sig_atomic_t told_to_go = false;	/* in a portion */

/*
 * cut_short ends what is under way, as cancelling a query does.
 */
static void
cut_short(void)
{
	InterruptPending = true;
	QueryCancelPending = true;
}

/*
 * handle_cancel serves lock_timeout, which comes as SIGINT.  At all other times
 * SIGINT is nothing to us.
 */
static void
handle_cancel(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (cancel_allowed)
		cut_short();
	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * handle_terminate has us go.  In a portion for clients that would throw us
 * out at once, before finish has written what is left; so it cuts the portion
 * short, and go_if_told has us go afterwards.
 */
static void
handle_terminate(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (!in_portion)
	{
		die(postgres_signal_arg);
		return;
	}
	told_to_go = true;
	if (cancel_allowed)
		cut_short();
	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * go_if_told ends a portion: SIGTERM is heard again, also one that has come
 * meanwhile.
 */
static void
go_if_told(void)
{
	in_portion = false;
	if (told_to_go)
	{
		InterruptPending = true;
		ProcDiePending = true;
	}
}

/*
 * dlock_writer_allow_cancel says whether lock_timeout, or anybody who cancels
 * us, is to be heard.
 */
void
dlock_writer_allow_cancel(bool allowed)
{
	cancel_allowed = allowed;
	if (allowed && told_to_go)
		cut_short();
	/* one that came too late must not reach the wait for the standbys */
	if (!allowed)
		QueryCancelPending = false;
}

/*
 * dlock_writer_is_leaving: a portion was cut short for that?
 */
bool
dlock_writer_is_leaving(void)
{
	return told_to_go;
}

static void
detach_writer(int code, Datum arg)
{
	dlock_pending_flush_ends(db);
	dlock_database_detach(db, MyProcPid, !finished);
}

/*
 * end_durably ends a transaction that is to be flushed, and confirmed by the
 * standbys.  Backends that wait for it can see how long that takes.
 */
static void
end_durably(void)
{
	dlock_pending_flush_begins(db);
	dlock_worker_end_transaction();
	dlock_pending_flush_ends(db);
}

/*
 * leave ends the process where there is nothing more to do.
 */
static void
leave(void)
{
	finished = true;
	proc_exit(0);
}

/*
 * Loading
 */

static int
newest_first(const void *a, const void *b)
{
	int64		left = ((const DlockRecord *) a)->token;
	int64		right = ((const DlockRecord *) b)->token;

	return left < right ? 1 : left > right ? -1 : 0;
}

static void
report_no_room(void)
{
	/* other databases can use what we do not get along with */
	dlock_maintenance_purge(db);
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("could not load the leases of database \"%s\"",
					MyBgworkerEntry->bgw_extra),
			 errdetail("There are more leases or clients than shared memory has room for."),
			 errhint("Increase \"dlock.max_leases\" or \"dlock.max_clients\".")));
}

/*
 * restore_client gives a client by name, pinned.
 */
static uint32
restore_client(const char *name, const DlockClientRow *row, bool named,
			   uint32 epoch)
{
	DlockKey	key = dlock_key_make(db->dboid, name, (int) strlen(name));
	bool		created;
	uint32		client = dlock_client_create(&key, epoch, row, named, NULL,
											 &created);

	if (client == DLOCK_NONE)
		report_no_room();
	return client;
}

static void
restore(const DlockRecord *record, uint32 epoch)
{
	DlockClientRow row = {.id = record->client_id,.role = record->role,.used_at = 0};
	uint32		client = restore_client(record->client, &row,
										record->client_id != 0 ||
										record->client_is_new,
										epoch);
	DlockRestoreResult result = dlock_maintenance_restore(db, record, client);

	dlock_client_unpin(client);
	if (result == DLOCK_RESTORE_NO_SLOT)
		report_no_room();
	if (result == DLOCK_RESTORE_CONFLICT)
		ereport(WARNING,
				(errmsg("lease on resource \"%s\" with token %lld is out of date and was not loaded",
						record->resource, (long long) record->token)));
}

/*
 * restore_all puts every lease into memory; those of another database, of
 * which this one is a copy, are not ours.  Its clients are, also those that
 * have no row of their own yet.
 */
static void
restore_all(DlockImage *image)
{
	uint32		epoch;

	/* what an attempt that failed half way has left */
	dlock_maintenance_purge(db);
	epoch = dlock_database_new_epoch(db);
	for (int i = 0; i < image->nclients; i++)
	{
		uint32		client = restore_client(image->clients[i].name,
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
			restore(&image->records[i], epoch);
	}
	pg_atomic_write_u64(&db->next_token, image->token_upto);
	pg_atomic_write_u64(&db->token_limit, image->token_upto);
}

/*
 * check_extension ends the process where the database does not have the
 * extension, or not the one any more that memory is about.  In the latter case
 * the launcher starts another writer, which loads.  In a transaction.
 */
static void
check_extension(void)
{
	Oid			relation = dlock_extension_relation();

	if (OidIsValid(relation) && relation == db->relation)
		return;
	dlock_worker_end_transaction();
	dlock_maintenance_purge(db);
	if (!OidIsValid(relation))
		dlock_database_forget(db);
	leave();
}

/*
 * load makes memory say what the tables say, and opens the gate.
 */
static void
load(void)
{
	DlockImage	image;
	int			count;

	dlock_worker_begin_transaction();
	if (pg_atomic_read_u32(&db->open) == 0)
		db->relation = dlock_extension_relation();
	check_extension();
	if (pg_atomic_read_u32(&db->open) != 0)
	{
		/*
		 * The process before us failed; memory is the truth.  Whoever waited
		 * for its batch waits for ours.
		 */
		dlock_pending_wake_writer(db, true);
		dlock_worker_end_transaction();
		return;
	}
	dlock_image_read(&image);
	restore_all(&image);
	count = image.foreign ? 0 : image.nrecords;
	dlock_worker_end_transaction();

	DLOCK_DEBUG_POINT(DLOCK_STOP_LEASES_LOADED);
	dlock_maintenance_start_clocks(db);
	dlock_database_open(db);
	if (count > 0)
		ereport(LOG, (errmsg("dlock loaded %d leases", count)));
}

/*
 * Writing
 */

/*
 * extend_tokens makes the next block of tokens durable long before the last
 * one is used up, and the first before any token is given out.  Gives the new
 * bound, 0 where none is due.
 */
static int64
extend_tokens(int64 *found)
{
	if (batch.last_token + DLOCK_TOKEN_BLOCK / 2 <
		(int64) pg_atomic_read_u64(&db->token_limit))
		return 0;
	return dlock_tokens_extend(batch.last_token, found);
}

/*
 * raise_tokens lets tokens up to the bound be given out, none of them below
 * what a restored dump says was given out before.
 */
static void
raise_tokens(int64 upto, int64 found)
{
	uint64		next = pg_atomic_read_u64(&db->next_token);

	while (next < (uint64) found &&
		   !pg_atomic_compare_exchange_u64(&db->next_token, &next, found))
		;
	pg_atomic_write_u64(&db->token_limit, upto);
}

/*
 * open_store makes ready for writing; false, and out of the transaction, where
 * that cannot be.
 */
static bool
open_store(bool nowait)
{
	DlockStoreStatus status = dlock_store_open(db->relation, nowait);

	if (status == DLOCK_STORE_OPEN)
		return true;
	/* dropped while we waited for the lock, most likely */
	if (status == DLOCK_STORE_GONE)
		check_extension();
	dlock_worker_end_transaction();
	return false;
}

/*
 * gather lets others have the processor before a batch is closed, as long as
 * more requests come of that.  Where many come anyway, and processors are
 * short, fewer and larger batches cost less; else this is over at once.
 */
static void
gather(void)
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
 * write_batch makes everything durable that has changed; nothing where nowait
 * is asked for and somebody has the table locked.  For late_before see
 * dlock_pending_collect.
 */
static void
write_batch(bool nowait, DlockTime late_before)
{
	int64		token_upto;
	int64		found = 0;
	bool		flushed;
	bool		anew;

	dlock_worker_begin_transaction();
	if (!open_store(nowait))
		return;
	anew = dlock_store_is_stale();
	if (anew)
	{
		dlock_store_clear();
		dlock_pending_mark_all(db);
	}
	batch.note_before = dlock_clients_note_before();
	dlock_pending_collect(db, &batch, late_before);
	DLOCK_DEBUG_POINT(DLOCK_STOP_BATCH_COLLECTED);

	token_upto = extend_tokens(&found);
	dlock_clients_add(db, &batch, anew, nowait);
	dlock_store_write(batch.records, batch.nrecords);
	if (batch.barrier)
		dlock_store_barrier();
	dlock_store_close();
	DLOCK_DEBUG_POINT(DLOCK_STOP_ROWS_WRITTEN);

	/*
	 * Acknowledged means flushed, and confirmed by the standbys if there are
	 * any that are synchronous, even where transactions are set to wait for
	 * less.
	 */
	if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	/* without an XID the commit neither flushes nor waits for standbys */
	flushed = TransactionIdIsValid(GetTopTransactionIdIfAny());
	end_durably();
	DLOCK_DEBUG_POINT(DLOCK_STOP_ROWS_FLUSHED);

	/* told to go: the wait for the standbys may have been cut short */
	if (ProcDiePending)
		return;
	if (token_upto != 0)
		raise_tokens(token_upto, found);
	dlock_clients_added();
	dlock_pending_publish(db, batch.number, flushed);
}

/*
 * trim deletes the rows of slots that have been free for a while; tells how
 * many slots these are, TRIM_MAX where there may be more.
 */
static int
trim(DlockTime before)
{
	static uint32 slots[TRIM_MAX];
	bool		rows = false;
	int			count = 0;

	while (count < TRIM_MAX &&
		   (slots[count] = dlock_slots_trim_lease(db, before)) != DLOCK_NONE)
		rows |= dlock_store_has_row(slots[count++]);
	if (count > 0)
		DLOCK_DEBUG_POINT(DLOCK_STOP_SLOTS_TRIMMED);
	if (rows)
	{
		dlock_worker_begin_transaction();
		/* nobody waits for that: neither shall we, for disk or standbys */
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
		if (open_store(false))
		{
			if (!dlock_store_is_stale())
				dlock_store_remove(slots, count);
			dlock_store_close();
			dlock_worker_end_transaction();
		}
	}
	for (int i = 0; i < count; i++)
		dlock_slots_retire_lease(slots[i]);
	return count;
}

/*
 * tend_clients sees to the rows of clients, a portion at a time; tells whether
 * there was anything to do.
 */
static bool
tend_clients(bool busy)
{
	if (!dlock_clients_due(db, busy))
		return false;
	in_portion = true;
	dlock_worker_begin_transaction();
	/* nobody waits for that */
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	if (open_store(true))
	{
		dlock_clients_write(db);
		dlock_store_close();
		dlock_worker_end_transaction();
		dlock_clients_written(db);
		pgstat_report_stat(false);
	}
	else
		dlock_clients_put_off();
	go_if_told();
	return true;
}

/*
 * The loop
 */

/*
 * is_wanted tells whether there is a reason not to sleep: every one that others
 * can bring about, read where it stands.  The latch tells of none: each wait
 * for a lock or a standby has reset it.  What is to be written or trimmed is a
 * reason only where no time was set for it.
 */
static bool
is_wanted(bool dozing)
{
	if (InterruptPending || ProcDiePending || ConfigReloadPending ||
		dlock_pending_is_urgent(db) || dlock_database_wants_recheck(db))
		return true;
	return dozing && (dlock_pending_any(db) || dlock_pending_any_late(db) ||
					  dlock_slots_any_free_lease(db));
}

/*
 * sleep_for_work waits for a wake-up or the time, at first for those only who
 * wait for us; DLOCK_NEVER has everybody wake us for any change.
 *
 * Nothing between the look and the sleep may reset the latch: who changes what
 * we have looked at sets it afterwards.
 */
static void
sleep_for_work(DlockTime until)
{
	bool		dozing = until == DLOCK_NEVER;

	if (!dozing && dlock_pending_nap_for_work(db))
		return;
	if (dozing)
	{
		DLOCK_DEBUG_POINT(DLOCK_STOP_WRITER_DOZING);
		dlock_pending_doze(db, true);
	}
	if (!is_wanted(dozing))
		(void) dlock_worker_sleep(until);
	if (dozing)
		dlock_pending_doze(db, false);
}

/*
 * attend does what is due; gives the time until which to sleep.
 */
static DlockTime
attend(void)
{
	static DlockTime dirty_since = 0;	/* 0: nothing is left to write */
	static DlockTime late_since = 0;	/* 0: nothing is left to write late */
	static DlockTime alert_until = 0;
	static DlockTime next_trim = 0;
	bool		urgent = dlock_pending_is_urgent(db);
	DlockTime	now = dlock_clock_now();
	bool		late_due;

	if (dirty_since == 0 && dlock_pending_any(db))
		dirty_since = now;
	if (late_since == 0 && dlock_pending_any_late(db))
		late_since = now;
	late_due = late_since != 0 && now >= late_since + LATE_DELAY;
	if (urgent)
		gather();
	if (urgent || late_due ||
		(dirty_since != 0 && now >= dirty_since + RELEASE_DELAY))
	{
		write_batch(false, late_due ? now - LATE_DELAY : 0);
		dirty_since = 0;
		if (late_due)
			late_since = 0;
		alert_until = now + ALERT_TIME;
		pgstat_report_stat(false);
		/* more may have come meanwhile */
		return 0;
	}
	if (now >= next_trim)
	{
		int			count = trim(now - ROW_KEEP_TIME);

		if (count < TRIM_MAX)
			next_trim = now + ROW_KEEP_TIME;
		pgstat_report_stat(false);
		/* that may have taken long: more may have come, and time has passed */
		if (count > 0)
			return 0;
	}
	if (dirty_since != 0)
		return dirty_since + RELEASE_DELAY;
	if (late_since != 0)
		return Min(late_since + LATE_DELAY, now + RELEASE_DELAY);
	if (now < alert_until)
		return now + RELEASE_DELAY;
	/* nobody wakes us for what is to be written */
	if (dlock_slots_any_free_lease(db))
		return Min(next_trim, now + RELEASE_DELAY);
	return DLOCK_NEVER;
}

/*
 * finish writes what is left, as far as that is possible at once.
 */
static void
finish(void)
{
	/* nothing may throw us out now but an error */
	HOLD_INTERRUPTS();
	if (dlock_pending_any(db) || dlock_pending_any_late(db))
		write_batch(true, DLOCK_NEVER);
	RESUME_INTERRUPTS();
	leave();
}

/*
 * isolate_from_settings keeps what an administrator has set for sessions in
 * this database from stopping us.
 */
static void
isolate_from_settings(void)
{
	static const char *const settings[][2] = {
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"search_path", ""},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"session_replication_role", "origin"},
		{"role", "none"},
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET,
						PGC_S_OVERRIDE);
}

static void
start(Oid dboid)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_terminate);
	pqsignal(SIGINT, handle_cancel);

	BackgroundWorkerUnblockSignals();
	DLOCK_DEBUG_POINT(DLOCK_STOP_WRITER_STARTING);

	db = dlock_database_attach(dboid, MyProcPid, MyProc->pgprocno,
							   MyBgworkerEntry->bgw_extra);
	if (db == NULL)
		proc_exit(0);
	/* registered first, so called last: we are off the list of processes */
	on_shmem_exit(detach_writer, (Datum) 0);

	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	isolate_from_settings();
	dlock_pending_init_batch(&batch);
	dlock_clients_init();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * dlock_writer_main is the process's entry point; its argument the database.
 */
void
dlock_writer_main(Datum main_arg)
{
	start(DatumGetObjectId(main_arg));
	load();

	for (;;)
	{
		DlockTime	until;

		if (ProcDiePending)
			finish();
		dlock_worker_serve_signals();
		if (dlock_database_take_recheck(db))
		{
			dlock_worker_begin_transaction();
			/* whoever woke us tells of its changes only after it has */
			InvalidateSystemCaches();
			check_extension();
			dlock_worker_end_transaction();
		}
		until = attend();
		if (!tend_clients(until == 0) && until != 0)
			sleep_for_work(until);
	}
}
