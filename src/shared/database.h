/*
 * database.h
 *	  The registry of databases that use dlock, and each one's shared state:
 *	  gate, tokens, dirty list, free slots, writer.
 *
 * IDENTIFICATION
 *	  src/shared/database.h
 */
#ifndef DLOCK_SHARED_DATABASE_H
#define DLOCK_SHARED_DATABASE_H

#include "port/atomics.h"
#include "storage/spin.h"

#include "base/clock.h"

typedef enum DlockWriterStatus
{
	DLOCK_WRITER_NONE = 0,		/* no process */
	DLOCK_WRITER_STARTING,		/* registered by the launcher */
	DLOCK_WRITER_RUNNING,		/* attached; its pid is known */
} DlockWriterStatus;

/* what a writer is doing, as far as shared memory says */
typedef enum DlockWriterActivity
{
	DLOCK_WRITER_ABSENT,		/* there is no process */
	DLOCK_WRITER_LOADS,			/* the leases, or waits for a lock */
	DLOCK_WRITER_FLUSHES,		/* or waits for standbys */
	DLOCK_WRITER_WORKS,			/* or waits for a lock */
} DlockWriterActivity;

typedef struct DlockWriterReport
{
	DlockWriterActivity activity;
	int			pid;			/* 0: no process */
	char		database[NAMEDATALEN];
} DlockWriterReport;

/*
 * Wait words of a database.  A backend that waits for a batch waits until the
 * word at the batch's number modulo DLOCK_WAIT_WORDS changes.  At any time,
 * backends wait for the batch that is being written and for the open one.
 * With more words than that, they are not woken for another batch.
 */
#define DLOCK_WAIT_WORDS 4

/*
 * Fields without a note are guarded by the control lock.
 */
typedef struct DlockDatabase
{
	Oid			dboid;			/* InvalidOid: entry unused */
	uint16		slot;			/* own number; constant */
	DlockWriterStatus writer;
	int			writer_pid;		/* valid while RUNNING */
	bool		wanted;			/* the extension is, or may be, there */
	bool		recheck;		/* the writer is to check whether it is */
	int			stops;			/* commands that keep the writer stopped */
	DlockTime	retry_at;		/* no writer is started before that */
	bool		no_worker;		/* the last start found no worker slot */
	DlockTime	unused_for;		/* for so long the server was ready before a
								 * session used the database for the first
								 * time; 0 once its leases are loaded */
	bool		was_open;		/* its leases have been loaded since then */
	char		name[NAMEDATALEN];	/* as of when its writer attached */
	Oid			relation;		/* dlock.locks that memory is about; written
								 * by the writer while the gate is shut */

	/* changed with the control lock and every partition lock in turn */
	pg_atomic_uint32 open;		/* requests are served */
	pg_atomic_uint32 epoch;		/* of this opening; unique while the server
								 * runs */

	pg_atomic_uint32 writer_procno; /* whose latch to set, or DLOCK_NONE */

	pg_atomic_uint64 next_token;
	pg_atomic_uint64 token_limit;	/* durable; tokens up to it may be shown */
	pg_atomic_uint64 next_ticket;	/* arrival order of waiters */

	/* the dirty list and the batches: see pending.c and batch.c */
	pg_atomic_uint32 dirty_head;
	pg_atomic_uint32 dirty_count;
	pg_atomic_uint32 late_head;
	pg_atomic_uint32 urgent;	/* 0, or since when a backend has been waiting
								 * for the open batch; cleared by the cut,
								 * with all partition locks held */
	pg_atomic_uint32 in_futex_wait; /* the writer waits for urgent to change */
	pg_atomic_uint32 idle;		/* the writer sleeps without a timeout */
	pg_atomic_uint64 work_since;	/* since when the writer has had work that
									 * backends wait for: a batch, or the
									 * loading; 0: it has none.  Written by
									 * the writer, or by the process that
									 * takes the database down */
	pg_atomic_uint32 stall_told;	/* the writer is to wake the monitor when
									 * it has done that work */
	pg_atomic_uint64 open_batch;	/* changed with all partition locks held */
	pg_atomic_uint64 durable_batch; /* changed by the writer */
	pg_atomic_uint64 flush_since;	/* when the writer began to wait for flush
									 * and standbys; 0: it does not */
	pg_atomic_uint64 flush_began;	/* when the last such wait began; writer
									 * only */
	pg_atomic_uint64 confirmed_since;	/* when the wait for durable_batch
										 * began; written before that */
	pg_atomic_uint32 barrier;	/* the open batch is to be flushed even if
								 * nothing is to be written; set under a
								 * partition lock, cleared with all held */
	pg_atomic_uint32 wait_words[DLOCK_WAIT_WORDS];	/* changed when a batch is
													 * published */

	pg_atomic_uint64 ends_upto; /* see ends.c; raised under a partition lock */

	/* free slots that may have a row; under free_lock, links in the slots */
	slock_t		free_lock;
	uint32		free_head;
	uint32		free_tail;
} DlockDatabase;

/* called by backends */
extern DlockDatabase *dlock_database_want(Oid dboid, uint32 *epoch);
extern DlockDatabase *dlock_database_look(Oid dboid, uint32 *epoch);
extern bool dlock_database_lacks_worker(DlockDatabase *db);
extern bool dlock_database_is_open(DlockDatabase *db, uint32 epoch);
extern bool dlock_database_wait(DlockTime until);
extern void dlock_database_wait_done(void);

/* called around DDL on databases and on the extension */
extern DlockDatabase *dlock_database_stop(Oid dboid);
extern bool dlock_database_stopped(DlockDatabase *db);
extern void dlock_database_resume(DlockDatabase *db);
extern void dlock_database_recheck(Oid dboid, bool changed);
extern void dlock_database_shut_if(Oid dboid, Oid relation);

/* called by the writer */
extern DlockDatabase *dlock_database_attach(Oid dboid, int pid, int procno,
											const char *name);
extern void dlock_database_detach(DlockDatabase *db, int pid, bool failed);
extern bool dlock_database_wants_recheck(DlockDatabase *db);
extern bool dlock_database_take_recheck(DlockDatabase *db);
extern uint32 dlock_database_new_epoch(DlockDatabase *db);
extern bool dlock_database_open(DlockDatabase *db);
extern DlockTime dlock_database_unused_for(DlockDatabase *db);
extern void dlock_database_shut(DlockDatabase *db);
extern void dlock_database_forget(DlockDatabase *db);

/* called by the launcher */
extern void dlock_database_attach_launcher(int procno);
extern void dlock_database_detach_launcher(void);
extern DlockDatabase *dlock_database_at(int slot);
extern Oid	dlock_database_start_due(DlockDatabase *db, DlockTime now,
									 DlockTime *next);
extern void dlock_database_start_failed(DlockDatabase *db, Oid dboid,
										DlockTime retry_at, bool no_worker);

/* called to report that a writer has had work for too long */
extern void dlock_database_report_writer(DlockDatabase *db,
										 DlockWriterReport *report);

/* called at server start */
extern Size dlock_database_shmem_size(void);
extern void dlock_database_shmem_init(void);
extern void dlock_database_request_locks(void);

#endif							/* DLOCK_SHARED_DATABASE_H */
