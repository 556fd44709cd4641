/*
 * wakeups.c
 *	  Whom a change concerns, to be woken once the partition lock is released.
 *
 * IDENTIFICATION
 *	  src/engine/wakeups.c
 */
#include "postgres.h"

#include "engine/wakeups.h"
#include "shared/latch.h"
#include "shared/pending.h"

void
dlock_wakeups_init(DlockWakeups *wakeups, DlockDatabase *db)
{
	wakeups->db = db;
	wakeups->marked = false;
	wakeups->urgent = false;
	wakeups->nprocs = 0;
}

/*
 * dlock_wakeups_run wakes whom the change concerns.
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
 * dlock_wakeups_add notes a process to wake; a large group is woken under the lock.
 */
void
dlock_wakeups_add(DlockWakeups *wakeups, uint32 procno)
{
	if (wakeups->nprocs == DLOCK_WAKEUPS_MAX)
		dlock_latch_set_by_procno(procno);
	else
		wakeups->procs[wakeups->nprocs++] = procno;
}
