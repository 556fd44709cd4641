/*
 * wakeups.c
 *	  The processes to wake once the partition lock is released.
 *
 * Setting a latch may take a system call, so it is not done under the lock.
 *
 * IDENTIFICATION
 *	  src/engine/wakeups.c
 */
#include "postgres.h"

#include "engine/wakeups.h"
#include "shared/latch.h"
#include "shared/pending.h"

/*
 * dlock_wakeups_init prepares an empty list for changes in a database.  Called
 * before the partition lock is taken, or under it.
 */
void
dlock_wakeups_init(DlockWakeups *wakeups, DlockDatabase *db)
{
	wakeups->db = db;
	wakeups->marked = false;
	wakeups->urgent = false;
	wakeups->nprocs = 0;
}

/*
 * dlock_wakeups_run wakes the processes in the list, and the writer if there
 * are rows to write.  Called after the partition lock was released.  Cannot
 * fail.
 */
void
dlock_wakeups_run(DlockWakeups *wakeups)
{
	if (wakeups->marked || wakeups->urgent)
		dlock_pending_wake_writer(wakeups->db, wakeups->urgent);
	for (int i = 0; i < wakeups->nprocs; i++)
		dlock_latch_set_by_procno(wakeups->procs[i]);
}

/*
 * dlock_wakeups_add adds a process to the list.  If the list is full, the
 * process is woken at once, under the partition lock, which the caller holds.
 */
void
dlock_wakeups_add(DlockWakeups *wakeups, uint32 procno)
{
	if (wakeups->nprocs == DLOCK_WAKEUPS_MAX)
		dlock_latch_set_by_procno(procno);
	else
		wakeups->procs[wakeups->nprocs++] = procno;
}
