/*
 * pending.h
 *	  What the writer has to make durable, and which processes wait for it.
 *
 * IDENTIFICATION
 *	  src/shared/pending.h
 */
#ifndef DLOCK_SHARED_PENDING_H
#define DLOCK_SHARED_PENDING_H

#include "shared/database.h"

/* the caller holds a partition lock */
extern uint64 dlock_pending_mark(DlockDatabase *db, uint32 lease);
extern uint64 dlock_pending_barrier(DlockDatabase *db);
extern void dlock_pending_notify(DlockDatabase *db, uint32 procno,
								 uint64 batch);

/* the caller holds no lock */
extern void dlock_pending_unnotify(uint32 procno);
extern void dlock_pending_wake_writer(DlockDatabase *db, bool urgent);
extern bool dlock_pending_is_durable(DlockDatabase *db, uint64 batch);
extern void dlock_pending_futex_wait(DlockDatabase *db, uint64 batch);
extern DlockTime dlock_pending_flush_since(DlockDatabase *db);
extern DlockTime dlock_pending_confirmed_since(DlockDatabase *db);

/* called by the writer */
extern bool dlock_pending_is_urgent(DlockDatabase *db);
extern bool dlock_pending_any(DlockDatabase *db);
extern uint32 dlock_pending_count(DlockDatabase *db);
extern bool dlock_pending_futex_wait_for_work(DlockDatabase *db);
extern void dlock_pending_set_idle(DlockDatabase *db, bool idle);
extern bool dlock_pending_any_late(DlockDatabase *db);
extern void dlock_pending_take_late(DlockDatabase *db, DlockTime before);
extern void dlock_pending_flush_begins(DlockDatabase *db);
extern void dlock_pending_flush_ends(DlockDatabase *db);
extern void dlock_pending_publish(DlockDatabase *db, uint64 batch,
								  bool confirmed);
extern void dlock_pending_mark_all(DlockDatabase *db);

/* called when a database is taken down */
extern void dlock_pending_discard(DlockDatabase *db);

/* called at server start */
extern Size dlock_pending_shmem_size(void);
extern void dlock_pending_shmem_init(void);

#endif							/* DLOCK_SHARED_PENDING_H */
