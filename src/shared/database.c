/*
 * database.c
 *	  The registry of databases that use dlock, and each one's shared state.
 *
 * An entry lives from the first use of the extension in a database since the
 * server was started until the writer has found that the extension is not
 * there.  A database that no session uses has no entry, and no writer; its
 * leases stay in the table, and run out there (dlock_database_unused_for).
 * In between the entry
 * is shut (the leases are not loaded yet) or open.  If a writer fails, an open
 * entry stays open, since memory is newer than the tables: requests are served
 * until they need a row to be flushed.
 *
 * Locks: the control lock is taken alone, never while a partition lock is
 * held, nor the other way round.  "open" and "epoch" are read without it by
 * processes that hold a partition lock.  The process that shuts an entry takes
 * all partition locks after that, before it takes anything down (see
 * dlock_maintenance_purge).  So a request either has finished by then, or sees
 * that the entry is shut.
 *
 * IDENTIFICATION
 *	  src/shared/database.c
 */
#include "postgres.h"

#include <signal.h>

#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "base/config.h"
#include "base/slot.h"
#include "base/wait_event.h"
#include "shared/alarm.h"
#include "shared/database.h"
#include "shared/latch.h"
#include "shared/writer_watch.h"

#define TRANCHE_CONTROL "dlock_control"

typedef struct Control
{
	uint32		next_epoch;		/* under the control lock */
	DlockTime	ready_since;	/* when the first launcher attached; 0: there
								 * was none; under the control lock */
	pg_atomic_uint32 launcher_procno;	/* DLOCK_NONE: not running */
	ConditionVariable changed;	/* an entry opened, shut or lost its writer */
	DlockDatabase databases[FLEXIBLE_ARRAY_MEMBER];
} Control;

static Control *control;
static LWLock *control_lock;

/*
 * dlock_database_shmem_size must agree with dlock_database_shmem_init.
 */
Size
dlock_database_shmem_size(void)
{
	return add_size(offsetof(Control, databases),
					mul_size(dlock_max_databases, sizeof(DlockDatabase)));
}

/*
 * dlock_database_request_locks reserves the LWLock, at server start.
 */
void
dlock_database_request_locks(void)
{
	RequestNamedLWLockTranche(TRANCHE_CONTROL, 1);
}

/*
 * entry_init prepares an unused entry, at server start.
 */
static void
entry_init(DlockDatabase *db, uint16 slot)
{
	db->slot = slot;
	db->dboid = InvalidOid;
	pg_atomic_init_u32(&db->open, 0);
	pg_atomic_init_u32(&db->epoch, 0);
	pg_atomic_init_u32(&db->writer_procno, DLOCK_NONE);
	pg_atomic_init_u64(&db->next_token, 0);
	pg_atomic_init_u64(&db->token_limit, 0);
	pg_atomic_init_u64(&db->next_ticket, 0);
	pg_atomic_init_u32(&db->dirty_head, DLOCK_NONE);
	pg_atomic_init_u32(&db->dirty_count, 0);
	pg_atomic_init_u32(&db->late_head, DLOCK_NONE);
	pg_atomic_init_u32(&db->urgent, 0);
	pg_atomic_init_u32(&db->in_futex_wait, 0);
	pg_atomic_init_u32(&db->idle, 0);
	pg_atomic_init_u64(&db->work_since, 0);
	pg_atomic_init_u32(&db->stall_told, 0);
	pg_atomic_init_u64(&db->open_batch, 1);
	pg_atomic_init_u64(&db->durable_batch, 0);
	pg_atomic_init_u64(&db->flush_since, 0);
	pg_atomic_init_u64(&db->flush_began, 0);
	pg_atomic_init_u64(&db->confirmed_since, 0);
	pg_atomic_init_u32(&db->barrier, 0);
	pg_atomic_init_u64(&db->ends_upto, 0);
	for (int i = 0; i < DLOCK_WAIT_WORDS; i++)
		pg_atomic_init_u32(&db->wait_words[i], 0);
	SpinLockInit(&db->free_lock);
	db->free_head = DLOCK_NONE;
	db->free_tail = DLOCK_NONE;
}

/*
 * dlock_database_shmem_init creates the registry, or attaches to it.
 */
void
dlock_database_shmem_init(void)
{
	bool		found;

	control = ShmemInitStruct("dlock databases", dlock_database_shmem_size(),
							  &found);
	control_lock = &GetNamedLWLockTranche(TRANCHE_CONTROL)->lock;
	if (found)
		return;

	memset(control, 0, dlock_database_shmem_size());
	pg_atomic_init_u32(&control->launcher_procno, DLOCK_NONE);
	ConditionVariableInit(&control->changed);
	for (int i = 0; i < dlock_max_databases; i++)
		entry_init(&control->databases[i], (uint16) i);
}

/*
 * wake_launcher sets the launcher's latch, if there is a launcher.
 */
static void
wake_launcher(void)
{
	dlock_latch_set_by_procno(pg_atomic_read_u32(&control->launcher_procno));
}

/*
 * find_entry returns a database's entry, or makes one.  Returns NULL if there
 * is none and create is false, or if all entries are in use.  The caller holds
 * the control lock, exclusively if create is true.
 */
static DlockDatabase *
find_entry(Oid dboid, bool create)
{
	DlockDatabase *unused = NULL;

	for (int i = 0; i < dlock_max_databases; i++)
	{
		DlockDatabase *db = &control->databases[i];

		if (db->dboid == dboid)
			return db;
		if (!OidIsValid(db->dboid) && unused == NULL)
			unused = db;
	}
	if (!create || unused == NULL)
		return NULL;

	unused->dboid = dboid;
	unused->wanted = false;
	unused->recheck = false;
	unused->stops = 0;
	unused->retry_at = 0;
	unused->no_worker = false;
	unused->unused_for = 0;
	unused->was_open = false;
	unused->name[0] = '\0';
	return unused;
}

/*
 * give_up_entry frees an entry that is not needed.  The caller holds the
 * control lock.
 */
static void
give_up_entry(DlockDatabase *db)
{
	if (!db->wanted && db->stops == 0 && db->writer == DLOCK_WRITER_NONE &&
		pg_atomic_read_u32(&db->open) == 0)
		db->dboid = InvalidOid;
}

/*
 * note_unused notes for how long no session has used a database, before it is
 * wanted.  The caller holds the control lock.
 */
static void
note_unused(DlockDatabase *db)
{
	if (!db->wanted && control->ready_since != 0)
		db->unused_for = dlock_clock_now() - control->ready_since;
}

/*
 * dlock_database_want returns the entry of a database that is thought to have
 * the extension, and wakes the launcher to start its writer.  Returns NULL if
 * all entries are in use. *epoch is set to the epoch of the present opening,
 * or to 0 if the gate is shut.
 *
 * Both are read in one hold of the lock: an entry that is freed in between
 * could be another database's, and open.
 */
DlockDatabase *
dlock_database_want(Oid dboid, uint32 *epoch)
{
	DlockDatabase *db;
	bool		news = false;

	*epoch = 0;
	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	db = find_entry(dboid, true);
	if (db != NULL)
	{
		news = !db->wanted;
		note_unused(db);
		db->wanted = true;
		if (pg_atomic_read_u32(&db->open) != 0)
			*epoch = pg_atomic_read_u32(&db->epoch);
	}
	LWLockRelease(control_lock);
	if (news)
		wake_launcher();
	return db;
}

/*
 * dlock_database_look returns the entry of a database, or NULL if there is none
 * or the writer has given the database up.  *epoch is set as above.
 */
DlockDatabase *
dlock_database_look(Oid dboid, uint32 *epoch)
{
	DlockDatabase *db;

	*epoch = 0;
	LWLockAcquire(control_lock, LW_SHARED);
	db = find_entry(dboid, false);
	if (db != NULL && !db->wanted)
		db = NULL;
	if (db != NULL && pg_atomic_read_u32(&db->open) != 0)
		*epoch = pg_atomic_read_u32(&db->epoch);
	LWLockRelease(control_lock);
	return db;
}

/*
 * dlock_database_lacks_worker returns whether the database has no writer
 * because the server has no worker slot for it.
 */
bool
dlock_database_lacks_worker(DlockDatabase *db)
{
	bool		lacks;

	LWLockAcquire(control_lock, LW_SHARED);
	lacks = db->writer == DLOCK_WRITER_NONE &&
		(db->no_worker ||
		 pg_atomic_read_u32(&control->launcher_procno) == DLOCK_NONE);
	LWLockRelease(control_lock);
	return lacks;
}

/*
 * dlock_database_is_open returns whether the gate is still open since the
 * given epoch began.  The answer lasts only as long as the caller holds a
 * partition lock.
 */
bool
dlock_database_is_open(DlockDatabase *db, uint32 epoch)
{
	return pg_atomic_read_u32(&db->open) != 0 &&
		pg_atomic_read_u32(&db->epoch) == epoch;
}

/*
 * dlock_database_wait sleeps until some entry has changed.  Returns false if
 * the time was up.  The first call only registers the caller to be woken, and
 * returns true at once.  So the caller reads what it waits for once more after
 * it was registered, and misses no change.  The caller must call
 * dlock_database_wait_done after the last call.  Handles interrupts: may raise
 * an error.
 */
bool
dlock_database_wait(DlockTime until)
{
	long		timeout = dlock_clock_ms_until(until, dlock_clock_now());

	return !ConditionVariableTimedSleep(&control->changed, timeout,
										dlock_wait_event(DLOCK_WAIT_EVENT_LOAD));
}

/*
 * dlock_database_wait_done ends the waiting that dlock_database_wait began.
 */
void
dlock_database_wait_done(void)
{
	ConditionVariableCancelSleep();
}

/*
 * dlock_database_stop stops a database's writer until dlock_database_resume.
 * A writer that runs gets SIGTERM, upon which it writes what is left and
 * exits, and no other is started.  Returns NULL if all entries are in use;
 * then the database has no writer.
 */
DlockDatabase *
dlock_database_stop(Oid dboid)
{
	DlockDatabase *db;

	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	db = find_entry(dboid, true);
	if (db != NULL)
	{
		db->stops++;
		/* the pid is the writer's as long as the entry says RUNNING */
		if (db->writer == DLOCK_WRITER_RUNNING)
			(void) kill(db->writer_pid, SIGTERM);
	}
	LWLockRelease(control_lock);
	return db;
}

/*
 * dlock_database_stopped returns whether a database has no writer.
 */
bool
dlock_database_stopped(DlockDatabase *db)
{
	bool		stopped;

	LWLockAcquire(control_lock, LW_SHARED);
	stopped = db->writer == DLOCK_WRITER_NONE;
	LWLockRelease(control_lock);
	return stopped;
}

/*
 * dlock_database_resume ends dlock_database_stop.
 */
void
dlock_database_resume(DlockDatabase *db)
{
	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	Assert(db->stops > 0);
	db->stops--;
	db->retry_at = 0;
	give_up_entry(db);
	LWLockRelease(control_lock);
	wake_launcher();
}

/*
 * dlock_database_recheck makes a writer check whether the database has the
 * extension: the one that runs, or else a new one.  If the extension has not
 * changed, that is its first use.
 */
void
dlock_database_recheck(Oid dboid, bool changed)
{
	DlockDatabase *db;
	uint32		procno = DLOCK_NONE;

	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	db = find_entry(dboid, true);
	if (db != NULL)
	{
		if (!changed)
			note_unused(db);
		db->wanted = true;
		db->recheck = true;
		db->retry_at = 0;
		procno = pg_atomic_read_u32(&db->writer_procno);
	}
	LWLockRelease(control_lock);
	dlock_latch_set_by_procno(procno);
	wake_launcher();
}

/*
 * dlock_database_shut_if shuts the gate if memory is about that table, which
 * was dropped.  It may be about a later one: no process would open that again.
 */
void
dlock_database_shut_if(Oid dboid, Oid relation)
{
	DlockDatabase *db;

	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	db = find_entry(dboid, false);
	if (db != NULL && db->relation == relation)
		pg_atomic_write_u32(&db->open, 0);
	LWLockRelease(control_lock);
	ConditionVariableBroadcast(&control->changed);
}

/*
 * dlock_database_attach makes the caller the writer of a database.  Returns
 * NULL if the entry does not expect a writer, or not any more.  If the gate is
 * shut, loading the leases is the writer's first work.
 */
DlockDatabase *
dlock_database_attach(Oid dboid, int pid, int procno, const char *name)
{
	DlockDatabase *db;
	DlockTime	now = dlock_clock_now();

	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	db = find_entry(dboid, false);
	if (db != NULL && db->writer != DLOCK_WRITER_STARTING)
		db = NULL;
	if (db != NULL && db->stops > 0)
	{
		db->writer = DLOCK_WRITER_NONE;
		db = NULL;
	}
	if (db != NULL)
	{
		db->writer = DLOCK_WRITER_RUNNING;
		db->writer_pid = pid;
		db->no_worker = false;
		strlcpy(db->name, name, sizeof(db->name));
		pg_atomic_write_u32(&db->writer_procno, procno);
		if (pg_atomic_read_u32(&db->open) == 0 &&
			pg_atomic_read_u64(&db->work_since) == 0)
			pg_atomic_write_u64(&db->work_since, (uint64) now);
	}
	LWLockRelease(control_lock);
	if (db == NULL)
		ConditionVariableBroadcast(&control->changed);
	else
		dlock_alarm_set(dlock_clock_after(now, DLOCK_STALL_TIME));
	return db;
}

/*
 * dlock_database_detach is called by the writer when it ends.  After a failure
 * the next one is started a second later.
 */
void
dlock_database_detach(DlockDatabase *db, int pid, bool failed)
{
	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	Assert(db->writer == DLOCK_WRITER_RUNNING && db->writer_pid == pid);
	db->writer = DLOCK_WRITER_NONE;
	db->writer_pid = 0;
	pg_atomic_write_u32(&db->writer_procno, DLOCK_NONE);
	if (failed)
		db->retry_at = dlock_clock_after(dlock_clock_now(), USECS_PER_SEC);
	give_up_entry(db);
	LWLockRelease(control_lock);
	ConditionVariableBroadcast(&control->changed);
	wake_launcher();
}

/*
 * dlock_database_wants_recheck returns whether the writer is to check for its
 * extension.
 */
bool
dlock_database_wants_recheck(DlockDatabase *db)
{
	bool		recheck;

	LWLockAcquire(control_lock, LW_SHARED);
	recheck = db->recheck;
	LWLockRelease(control_lock);
	return recheck;
}

/*
 * dlock_database_take_recheck does the same, and takes the request back.
 */
bool
dlock_database_take_recheck(DlockDatabase *db)
{
	bool		recheck;

	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	recheck = db->recheck;
	db->recheck = false;
	LWLockRelease(control_lock);
	return recheck;
}

/*
 * dlock_database_new_epoch begins another opening.  References that were made
 * in an earlier one find nothing from now on.
 */
uint32
dlock_database_new_epoch(DlockDatabase *db)
{
	uint32		epoch;

	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	Assert(pg_atomic_read_u32(&db->open) == 0);
	epoch = ++control->next_epoch;
	pg_atomic_write_u32(&db->epoch, epoch);
	LWLockRelease(control_lock);
	return epoch;
}

/*
 * dlock_database_unused_for returns for how long the server was ready and no
 * session used the database.  The clocks of its leases have run meanwhile: its
 * holders could have renewed them.
 */
DlockTime
dlock_database_unused_for(DlockDatabase *db)
{
	DlockTime	unused_for;

	LWLockAcquire(control_lock, LW_SHARED);
	unused_for = db->unused_for;
	LWLockRelease(control_lock);
	return unused_for;
}

/*
 * dlock_database_open opens the gate: all leases are loaded.  Returns false if
 * the writer must check for its extension first: it may have been replaced.
 * No backend waits for a batch while the gate is shut, so "urgent" and
 * "barrier" can only be left over from before, and are cleared.
 *
 * What was loaded is durable here, but perhaps not confirmed by the standbys.
 * So nothing is acknowledged before the first batch, which always is.
 */
bool
dlock_database_open(DlockDatabase *db)
{
	bool		opened;

	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	opened = !db->recheck;
	if (opened)
	{
		pg_atomic_write_u32(&db->urgent, 0);
		pg_atomic_write_u32(&db->barrier, 0);
		pg_atomic_write_u64(&db->ends_upto,
							pg_atomic_read_u64(&db->open_batch));
		pg_atomic_write_u32(&db->open, 1);
		db->unused_for = 0;
		db->was_open = true;
	}
	LWLockRelease(control_lock);
	if (opened)
		dlock_writer_watch_done(db);
	ConditionVariableBroadcast(&control->changed);
	return opened;
}

/*
 * dlock_database_shut shuts the gate to new requests.
 */
void
dlock_database_shut(DlockDatabase *db)
{
	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	pg_atomic_write_u32(&db->open, 0);
	LWLockRelease(control_lock);
	ConditionVariableBroadcast(&control->changed);
}

/*
 * dlock_database_forget is called if a database does not have the extension or
 * was dropped.  Its entry is freed as soon as it is not needed.
 */
void
dlock_database_forget(DlockDatabase *db)
{
	dlock_writer_watch_done(db);
	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	/* the extension may have been created since the caller looked */
	if (!db->recheck)
	{
		db->wanted = false;
		/* its leases were in use until now, and may be again */
		if (db->was_open)
			control->ready_since = dlock_clock_now();
		db->was_open = false;
	}
	give_up_entry(db);
	LWLockRelease(control_lock);
	ConditionVariableBroadcast(&control->changed);
}

/*
 * Launcher
 */

/*
 * dlock_database_attach_launcher makes the caller the launcher.  Writers that
 * an earlier launcher was starting are not expected any more: one that still
 * attaches finds that its entry does not say STARTING, and exits.
 */
void
dlock_database_attach_launcher(int procno)
{
	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	for (int i = 0; i < dlock_max_databases; i++)
		if (control->databases[i].writer == DLOCK_WRITER_STARTING)
			control->databases[i].writer = DLOCK_WRITER_NONE;
	pg_atomic_write_u32(&control->launcher_procno, procno);
	if (control->ready_since == 0)
		control->ready_since = dlock_clock_now();
	LWLockRelease(control_lock);
	ConditionVariableBroadcast(&control->changed);
}

/*
 * dlock_database_detach_launcher undoes dlock_database_attach_launcher.
 */
void
dlock_database_detach_launcher(void)
{
	pg_atomic_write_u32(&control->launcher_procno, DLOCK_NONE);
}

/*
 * dlock_database_at returns the entry of that number, which may be unused.
 */
DlockDatabase *
dlock_database_at(int slot)
{
	return &control->databases[slot];
}

/*
 * dlock_database_start_due returns the database if a writer is to be started
 * for this entry now, and notes that it is being started.  Otherwise it
 * returns InvalidOid, and lowers *next to the time when one is due.
 */
Oid
dlock_database_start_due(DlockDatabase *db, DlockTime now, DlockTime *next)
{
	Oid			dboid = InvalidOid;

	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	if (OidIsValid(db->dboid) && db->wanted && db->stops == 0 &&
		db->writer == DLOCK_WRITER_NONE)
	{
		if (db->retry_at <= now)
		{
			dboid = db->dboid;
			db->writer = DLOCK_WRITER_STARTING;
			db->no_worker = false;
			/* it begins with looking for the extension */
			db->recheck = false;
		}
		else
			*next = Min(*next, db->retry_at);
	}
	LWLockRelease(control_lock);
	return dboid;
}

/*
 * dlock_database_start_failed takes a start back: there was no worker slot, or
 * the process ended before it attached.
 */
void
dlock_database_start_failed(DlockDatabase *db, Oid dboid, DlockTime retry_at,
							bool no_worker)
{
	LWLockAcquire(control_lock, LW_EXCLUSIVE);
	if (db->dboid == dboid && db->writer == DLOCK_WRITER_STARTING)
	{
		db->writer = DLOCK_WRITER_NONE;
		db->retry_at = retry_at;
		db->no_worker = no_worker;
		give_up_entry(db);
	}
	LWLockRelease(control_lock);
	ConditionVariableBroadcast(&control->changed);
}

/*
 * Reports
 */

/*
 * dlock_database_report_writer returns what the writer is doing.
 */
void
dlock_database_report_writer(DlockDatabase *db, DlockWriterReport *report)
{
	LWLockAcquire(control_lock, LW_SHARED);
	report->pid = db->writer == DLOCK_WRITER_RUNNING ? db->writer_pid : 0;
	strlcpy(report->database, db->name, sizeof(report->database));
	if (report->pid == 0)
		report->activity = DLOCK_WRITER_ABSENT;
	else if (pg_atomic_read_u32(&db->open) == 0)
		report->activity = DLOCK_WRITER_LOADS;
	else if (pg_atomic_read_u64(&db->flush_since) != 0)
		report->activity = DLOCK_WRITER_FLUSHES;
	else
		report->activity = DLOCK_WRITER_WORKS;
	LWLockRelease(control_lock);
}
